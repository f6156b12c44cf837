//! How to read the numbers: what is counted and what is not.

use maud::{Markup, html};

use crate::monthly::{Edition, sheet};

pub(super) fn section(edition: &Edition<'_>) -> Markup {
    let text = |key: &'static str| edition.text(key);
    let points = [
        (text("watch.attacks"), text("monthly.read-attacks")),
        (text("monthly.sources"), text("monthly.read-sources")),
        (text("trends.change"), text("monthly.read-change")),
        (text("overview.unusual"), text("monthly.read-unusual")),
        (text("monthly.new-samples"), text("monthly.read-samples")),
        (text("monthly.alarms"), text("monthly.read-alarms")),
        (text("monthly.loop"), text("monthly.read-loop")),
        (text("column.country"), text("monthly.read-country")),
        (text("monthly.times"), text("monthly.read-times")),
    ];
    sheet::section(
        edition,
        sheet::Of::Fleet,
        edition.text("monthly.reading"),
        html! {
            @if edition.asker.is_made_up { p.caution { (edition.text("monthly.made-up-about")) } }
            @if !edition.is_over() { p.caution { (edition.text("monthly.goes-on-about")) } }
            dl.reading {
                @for (title, about) in points { dt { (title) } dd { (about) } }
            }
        },
    )
}
