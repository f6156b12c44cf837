//! What is around a report: the head with its style and its policy, the title, what stands on each printed page.

use komainu_statistics::Day;
use maud::{DOCTYPE, Markup, PreEscaped, html};

use crate::monthly::{Edition, attacks};
use crate::time;

/// Nothing is fetched and nothing runs; style stands in the document itself.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'";

const STYLE: &str = include_str!("monthly.css");

/// What a section is about, and so whether it is made up when attacks are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Of {
    /// The lake.
    Attacks,
    /// Devices, samples and indicators, which are never made up.
    Fleet,
}

/// The whole document.
pub(super) fn document(edition: &Edition<'_>, content: Markup) -> String {
    let month = edition.month.name(edition.asker.texts);
    let title = edition.text("monthly.title");
    let made_up = edition.asker.is_made_up;
    let document = html! {
        (DOCTYPE)
        html lang=(edition.asker.language.tag()) {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="robots" content="noindex";
                // Telephones make links of what looks like a number to call.
                meta name="format-detection" content="telephone=no, date=no, address=no, email=no, url=no";
                meta name="referrer" content="no-referrer";
                meta http-equiv="Content-Security-Policy" content=(POLICY);
                title { (title) " " (month) " · Komainu" }
                style { (PreEscaped(komainu_charts::STYLE)) (PreEscaped(STYLE)) (PreEscaped(margins(edition, title, &month))) }
            }
            body {
                main {
                    header.title {
                        (mark())
                        div {
                            h1 { (title) " " span.month { (month) } }
                            p.muted { (times(edition)) }
                        }
                    }
                    @if made_up { p.caution.made-up { (edition.text("monthly.made-up")) } }
                    @if !edition.is_over() {
                        p.caution { (edition.filled("monthly.until", &[("day", &attacks::last_day(edition).to_string())])) }
                    }
                    (content)
                    footer {
                        p {
                            (edition.filled("monthly.made-at", &[("time", time::text(edition.asker.now).get(..16).unwrap_or_default())]))
                            " · Komainu"
                        }
                    }
                }
            }
        }
    };
    document.into_string()
}

/// A section with its title; one about made-up attacks says so itself, because people cut reports into pieces.
pub(super) fn section(edition: &Edition<'_>, of: Of, title: &str, content: Markup) -> Markup {
    html! {
        section {
            h2 {
                (title)
                @if edition.asker.is_made_up && of == Of::Attacks { " " span.tag.made-up { (edition.text("monthly.made-up-tag")) } }
            }
            (content)
        }
    }
}

/// From when to when, and beside what.
fn times(edition: &Edition<'_>) -> String {
    let from = Day::of(edition.period.range.from).to_string();
    let to = attacks::last_day(edition).to_string();
    let before = edition.month.before().name(edition.asker.texts);
    edition.filled("monthly.from-to", &[("from", &from), ("to", &to), ("before", &before)])
}

/// What stands above and below each printed page. The texts are ours.
fn margins(edition: &Edition<'_>, title: &str, month: &str) -> String {
    let above = if edition.asker.is_made_up { edition.text("monthly.made-up-page") } else { "" };
    let [left, above] = [format!("Komainu · {title} {month}"), above.to_owned()].map(|text| css_string(&text));
    format!(
        "@page{{@top-left{{content:{left}}}@top-right{{content:{above}}}\
         @bottom-right{{content:counter(page) \" / \" counter(pages)}}}}"
    )
}

/// A text as CSS has it (CSS Syntax Module Level 3, section 4.3.5): what would end it, or the element around it, is escaped.
fn css_string(text: &str) -> String {
    let mut string = String::from("\"");
    for character in text.chars() {
        match character {
            '"' | '\\' | '<' | '>' | '\0'..='\u{1f}' => string.push_str(&format!("\\{:x} ", u32::from(character))),
            other => string.push(other),
        }
    }
    string + "\""
}

/// The mark, as the console has it.
fn mark() -> Markup {
    html! {
        svg.mark viewBox="0 0 24 24" width="40" height="40" aria-hidden="true" {
            path d="M12 1.8 22.2 12 12 22.2 1.8 12Z" fill="var(--brand)" {}
            path d="M12 6.6 17.4 12 12 17.4 6.6 12Z" fill="#fff" fill-opacity=".28" {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_of_css_end_where_they_should() {
        let check = |text: &str, expected: &str| assert_eq!(css_string(text), expected);
        check("2026年10月", "\"2026年10月\"");
        check("a\"b\\c</style>", "\"a\\22 b\\5c c\\3c /style\\3e \"");
    }
}
