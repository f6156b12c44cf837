//! Parts of a whole, as one bar.

use maud::{Markup, html};

use crate::frame::role;
use crate::layout::percent;
use crate::legend::{Entry, legend, series_class};
use crate::text::{HOVER_COLUMNS_MAX, visible};
use crate::{Language, Link, number};

/// Parts with a colour of their own; those after them are added up.
const PARTS_MAX: usize = 8;

/// The height of the bar, in pixels.
const BAR_PX: u32 = 14;

/// Parts of a whole.
pub struct ShareBar<'a> {
    /// What is divided: the name for those who do not see it.
    pub title: &'a str,
    /// The language of the page.
    pub language: Language,
    /// In the order in which they are shown. The first eight have colours of their own, the rest is added up as
    /// "Other".
    pub parts: &'a [Share<'a>],
}

/// One part.
pub struct Share<'a> {
    /// Its name; may be anybody's text.
    pub label: &'a str,
    /// How many.
    pub count: u64,
    /// Where it leads.
    pub link: Option<Link>,
}

/// One bar of all parts, above their names, numbers and percentages.
pub fn share_bar(chart: &ShareBar<'_>) -> Markup {
    let own = &chart.parts[..chart.parts.len().min(PARTS_MAX)];
    let rest = &chart.parts[own.len()..];
    let count_of = |parts: &[Share<'_>]| parts.iter().map(|part| u128::from(part.count)).sum::<u128>();
    let whole = count_of(chart.parts);
    let mut parts: Vec<(&str, u128, Option<&Link>)> =
        own.iter().map(|part| (part.label, u128::from(part.count), part.link.as_ref())).collect();
    if !rest.is_empty() {
        parts.push((chart.language.other(), count_of(rest), None));
    }
    let entries: Vec<Entry<'_>> = parts
        .iter()
        .enumerate()
        .map(|(index, (label, count, link))| Entry {
            class: series_class(index),
            label,
            value: Some(format!("{} · {}", number::grouped(*count), number::share(*count, whole))),
            link: *link,
        })
        .collect();
    let mut before = 0u128;
    let mut place = |count: u128| {
        let from = before as f64 / whole as f64;
        before += count;
        (from, count as f64 / whole as f64)
    };
    html! {
        figure class="k-chart k-share" {
            svg class="k-svg" height=(BAR_PX) role=(role(parts.iter().any(|(_, _, link)| link.is_some()))) {
                title { (visible(chart.title, HOVER_COLUMNS_MAX)) }
                desc { (chart.language.total()) (chart.language.colon()) (number::grouped(whole)) }
                rect class="k-q0" width="100%" height=(BAR_PX) {}
                @if whole > 0 {
                    @for (entry, (label, count, link)) in entries.iter().zip(&parts) {
                        @let (from, length) = place(*count);
                        @if *count > 0 {
                            (Link::around_passed(*link, html! {
                                rect class=(format!("k-part {}", entry.class)) x=(percent(from)) width=(percent(length))
                                    height=(BAR_PX) {
                                    title {
                                        (visible(label, HOVER_COLUMNS_MAX)) (chart.language.colon())
                                        (entry.value.as_deref().unwrap_or_default())
                                    }
                                }
                            }))
                        }
                    }
                }
            }
            @if parts.is_empty() { p class="k-none" { (chart.language.no_data()) } } @else { (legend(&entries)) }
        }
    }
}
