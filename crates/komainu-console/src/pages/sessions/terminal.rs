//! What the terminal of a session showed, and when: readable as it is, played by the script.

use komainu_model::Timestamp;
use komainu_ports::SessionEvent;
use maud::{Markup, html};

use crate::shown::shown_lines;
use crate::visit::Visit;

/// Bytes of markup that a terminal has on a page; with the rest, a page has less than 150 KB.
const TERMINAL_BYTES_MAX: usize = 56_000;

/// Characters of one piece: sensors write at most 4 KiB in one.
const PIECE_CHARS_MAX: usize = 4_096;

/// The card; nothing for sessions without a terminal.
pub(super) fn card(visit: &Visit, events: &[SessionEvent]) -> Markup {
    let pieces = pieces(events);
    let Some(begin) = pieces.first().map(|piece| piece.at) else { return html! {} };
    let (mut shown, mut bytes) = (Vec::new(), 0);
    for piece in &pieces {
        let markup = html! {
            span.typed[piece.is_typed] data-at=(piece.at.unix_millis().saturating_sub(begin.unix_millis())) {
                (shown_lines(piece.text, PIECE_CHARS_MAX)) @if piece.is_typed { "\n" }
            }
        };
        bytes += markup.0.len();
        if bytes > TERMINAL_BYTES_MAX {
            break;
        }
        shown.push(markup);
    }
    html! {
        section.card.replay data-replay data-play=(visit.text("session.play")) data-pause=(visit.text("session.pause"))
            data-speed=(visit.text("session.speed")) {
            div.card-head { h2 { (visit.text("session.terminal")) } }
            pre.terminal tabindex="0" role="region" aria-label=(visit.text("session.terminal")) { @for piece in &shown { (piece) } }
            @if shown.len() < pieces.len() { p.note.warn { (visit.text("session.terminal-cut")) } }
            p.small.muted { (visit.text("session.terminal-note")) }
        }
    }
}

/// A part of what was to be seen.
struct Piece<'e> {
    at: Timestamp,
    text: &'e str,
    /// Whether it was typed and the terminal did not show it by itself.
    is_typed: bool,
}

fn pieces(events: &[SessionEvent]) -> Vec<Piece<'_>> {
    let of_terminal: Vec<&SessionEvent> = events.iter().filter(|event| event.kind == "telnet").collect();
    let mut pieces = Vec::new();
    for (place, event) in of_terminal.iter().enumerate() {
        if let Some(text) = field(event, "output") {
            pieces.push(Piece { at: event.at, text, is_typed: false });
        } else if let Some(text) = field(event, "input.line") {
            // Most terminals show what is typed: then it begins what they show next.
            let next = of_terminal[place + 1..].iter().find_map(|event| field(event, "output"));
            if next.is_none_or(|next| !next.starts_with(text)) {
                pieces.push(Piece { at: event.at, text, is_typed: true });
            }
        }
    }
    pieces
}

fn field<'e>(event: &'e SessionEvent, key: &str) -> Option<&'e str> {
    event.fields.iter().find(|(name, _)| name == key).map(|(_, value)| value.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_typed_is_there_once() {
        let check = |events: &[(&str, &str)], expected: &[(&str, bool)]| {
            let events: Vec<SessionEvent> = events
                .iter()
                .map(|(key, text)| SessionEvent {
                    at: Timestamp::from_unix_seconds(0),
                    kind: "telnet".to_owned(),
                    fields: vec![((*key).to_owned(), (*text).to_owned())],
                })
                .collect();
            let found: Vec<_> = pieces(&events).iter().map(|piece| (piece.text, piece.is_typed)).collect();
            assert_eq!(found, expected);
        };
        check(
            &[("output", "$ "), ("input.line", "id"), ("output", "id\r\nuid=0\r\n")],
            &[("$ ", false), ("id\r\nuid=0\r\n", false)],
        );
        check(
            &[("output", "$ "), ("input.line", "id"), ("output", "uid=0\r\n")],
            &[("$ ", false), ("id", true), ("uid=0\r\n", false)],
        );
        check(&[("input.line", "id")], &[("id", true)]);
        check(&[("input.role", "password"), ("option.verb", "do")], &[]);
    }
}
