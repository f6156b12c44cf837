//! Times as pages show them.

use komainu_model::Timestamp;
use maud::{Markup, html};

/// A time, to the second, in UTC.
pub(crate) fn time(at: Timestamp) -> Markup {
    let text = text(at);
    html! { time datetime=(text.replace(' ', "T") + "Z") { (text) } }
}

/// The same as plain text.
pub(crate) fn text(at: Timestamp) -> String {
    match jiff::Timestamp::from_second(at.unix_seconds()) {
        Ok(time) => time.strftime("%Y-%m-%d %H:%M:%S").to_string(),
        Err(_) => at.unix_seconds().to_string(),
    }
}

/// The time of the day alone, with the whole time under the pointer.
pub(crate) fn clock(at: Timestamp) -> Markup {
    let text = text(at);
    let clock = text.get(11..).unwrap_or(&text);
    html! { time datetime=(text.replace(' ', "T") + "Z") title=(text) { (clock) } }
}

/// The day alone.
pub(crate) fn day(at: Timestamp) -> Markup {
    let text = text(at);
    let day = text.get(..10).unwrap_or(&text);
    html! { time datetime=(day) { (day) } }
}

/// A time without its year, with the whole time under the pointer.
pub(crate) fn in_year(at: Timestamp) -> Markup {
    let text = text(at);
    let short = text.get(5..).unwrap_or(&text);
    html! { time datetime=(text.replace(' ', "T") + "Z") title=(text) { (short) } }
}
