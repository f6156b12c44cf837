//! What happened in a session, one thing after the other.

use komainu_ports::{SessionEvent, SessionRecord};
use maud::{Markup, html};

use super::path_of;
use crate::address::defanged;
use crate::shown::shown_briefly;
use crate::time;
use crate::value::{shown_as, value};
use crate::visit::Visit;
use crate::watch::{brief, grouped};

/// Events of one page.
const EVENTS_MAX: usize = 150;

/// Bytes of markup of one page's events; with the rest, a page has less than 150 KB.
const EVENTS_BYTES_MAX: usize = 56_000;

/// Characters of one text that are shown; how much is left out is said. The records have all of it.
const TEXT_CHARS_MAX: usize = 600;

/// Texts of an event that the page has no words for.
const FIELDS_MAX: usize = 16;

/// What is told elsewhere on the page, or says nothing that another event does not: what the terminal showed, and files that
/// have a line `artifact` as well.
const UNTOLD: [&str; 2] = ["telnet", "fileinfo"];

/// The card.
pub(super) fn card(visit: &Visit, record: &SessionRecord) -> Markup {
    let summary = &record.summary;
    let told: Vec<&SessionEvent> =
        record.events.iter().filter(|event| !UNTOLD.contains(&event.kind.as_str())).collect();
    let from = visit.query.one("from").parse().unwrap_or(0_usize).min(told.len());
    let (mut lines, mut bytes) = (Vec::new(), 0);
    for event in told[from..].iter().take(EVENTS_MAX) {
        let line = line(visit, event, event.at.unix_millis().saturating_sub(summary.began_at.unix_millis()));
        bytes += line.0.len();
        // One event always has room.
        if bytes > EVENTS_BYTES_MAX && !lines.is_empty() {
            break;
        }
        lines.push(line);
    }
    let here = path_of(summary.session, summary.sensor.name.as_str(), summary.began_at);
    let next = from + lines.len();
    html! {
        section.card #transcript {
            div.card-head {
                h2 { (visit.text("session.transcript")) }
                span.small.muted { (visit.filled("session.events", &[("count", &grouped(told.len() as u64))])) }
            }
            @if told.is_empty() { p.muted { (visit.text("session.no-events")) } }
            @else {
                div.scroll tabindex="0" {
                    table.rows.transcript {
                        thead { tr { th.number { (visit.text("session.when")) } th { (visit.text("session.what")) } th { (visit.text("session.content")) } } }
                        tbody { @for line in &lines { (line) } }
                    }
                }
            }
            nav.pages aria-label=(visit.text("audit.pages")) {
                @if from > 0 { a.button href={ (here) "#transcript" } { (visit.text("session.from-start")) } }
                @if next < told.len() { a.button rel="next" href={ (here) "&from=" (next) "#transcript" } { (visit.text("session.next")) } }
            }
        }
    }
}

fn line(visit: &Visit, event: &SessionEvent, after_ms: i64) -> Markup {
    let word = visit.texts.word("session-kind", &event.kind).map_or_else(|| brief(&event.kind), str::to_owned);
    let class = match event.kind.as_str() {
        "alert" | "yara" | "artifact" | "run" => "badge bad",
        "login" | "url" | "fetch" => "badge warn",
        _ => "badge",
    };
    html! {
        tr {
            td.number.muted title=(time::text(event.at)) { (offset(after_ms)) }
            td { span class=(class) { (word) } }
            td.wide { (content(visit, event)) }
        }
    }
}

/// A name with its password, as the lake keeps both as one credential.
fn login(user: &str, password: &str) -> Markup {
    let shown = [user, password].map(|text| shown_briefly(text, TEXT_CHARS_MAX));
    shown_as("credential", &format!("{user}:{password}"), html! { (shown[0]) " : " (shown[1]) })
}

/// How long after the beginning: `+1:02.3`.
fn offset(millis: i64) -> String {
    let (sign, millis) = if millis < 0 { ('-', -millis) } else { ('+', millis) };
    format!("{sign}{}:{:02}.{}", millis / 60_000, millis / 1000 % 60, millis / 100 % 10)
}

fn content(visit: &Visit, event: &SessionEvent) -> Markup {
    let field = |key: &str| event.fields.iter().find(|(name, _)| name == key).map(|(_, value)| value.as_str());
    let cut = |text: &str| shown_briefly(text, TEXT_CHARS_MAX);
    let one = |key: &str| field(key).map_or_else(String::new, cut);
    match event.kind.as_str() {
        "login" => {
            let secret = ["password", "key", "password_hmac_sha256", "mechanism"]
                .iter()
                .find_map(|key| Some((*key, field(key)?)));
            html! {
                @match secret {
                    Some(("password", password)) => code.break { (login(field("user").unwrap_or_default(), password)) },
                    _ => code.break { (one("user")) },
                }
                @if let Some((key, secret)) = secret.filter(|(key, _)| *key != "password") {
                    " : " code.break { (cut(secret)) } @if key == "password_hmac_sha256" { " " span.small.muted { "HMAC-SHA256" } }
                }
                @match field("accepted") {
                    Some("true") => { " " span.badge.bad { (visit.text("session.let-in")) } }
                    Some("false") => { " " span.badge { (visit.text("session.kept-out")) } }
                    _ => {}
                }
            }
        }
        "command" => {
            html! { code.break { (shown_as("command", field("line").unwrap_or_default(), html! { (one("line")) })) } }
        }
        "url" | "fetch" => html! {
            code.break { (shown_as("url", field("url").unwrap_or_default(), html! { (defanged(&one("url"))) })) }
            @for key in ["program", "to", "outcome"] { @if field(key).is_some() { " " span.muted { (one(key)) } } }
        },
        "artifact" => {
            let digest = field("sha256").filter(|digest| komainu_model::SampleDigest::parse(digest).is_ok());
            html! {
                code.break { (one("name")) } " " span.muted { (one("bytes")) " B · " (one("kind")) " · " (one("via")) }
                @if let Some(digest) = digest { br; span.mono.break { (shown_as("sample", digest, html! { (digest) })) } }
            }
        }
        "run" => html! { code.break { (one("path")) " " (one("arguments")) } },
        "note" => html! { (one("what")) @if field("detail").is_some() { " " code.break { (one("detail")) } } },
        "alert" => html! {
            strong { (one("signature")) } " " span.muted { (one("category")) " · " (one("signature_id")) }
        },
        "http" => html! {
            code.break { (one("http_method")) " " (one("url")) }
            @if field("status").is_some() { " " span.muted { "→ " (one("status")) } }
            @if let Some(agent) = field("http_user_agent") {
                " " span.small { (value("user_agent", agent)) }
            }
        },
        _ => html! {
            @for (key, value) in event.fields.iter().take(FIELDS_MAX) {
                span.nowrap { span.muted { (brief(key)) "=" } } code.break { (brief(value)) } " "
            }
            @if event.fields.len() > FIELDS_MAX { span.muted { "…" } }
        },
    }
}
