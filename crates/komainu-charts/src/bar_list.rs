//! Who or what has most: names, bars, numbers.

use maud::{Markup, html};

use crate::layout::percent;
use crate::text::{HOVER_COLUMNS_MAX, visible};
use crate::{Language, Link, number};

/// Rows at most; the first are shown, and how many more there are.
const ROWS_MAX: usize = 100;

/// Columns of a name in the markup. What of it has room is decided by the page's width; this bounds the markup.
const LABEL_COLUMNS_MAX: usize = 80;

/// Names with their counts.
pub struct BarList<'a> {
    /// What is counted: the name for those who do not see it.
    pub title: &'a str,
    /// The language of the page.
    pub language: Language,
    /// In the order in which they are shown.
    pub rows: &'a [BarRow<'a>],
}

/// One name.
pub struct BarRow<'a> {
    /// The name; may be an attacker's text.
    pub label: &'a str,
    /// How often.
    pub count: u64,
    /// Where it leads.
    pub link: Option<Link>,
}

/// A list with a bar for each number. The longest bar is that of the largest number.
pub fn bar_list(list: &BarList<'_>) -> Markup {
    let largest = list.rows.iter().map(|row| row.count).max().unwrap_or(0);
    let hidden = list.rows.len().saturating_sub(ROWS_MAX);
    html! {
        @if list.rows.is_empty() {
            p class="k-none" { (list.language.no_data()) }
        } @else {
            ul class="k-bar-list" aria-label=(visible(list.title, HOVER_COLUMNS_MAX)) {
                @for row in list.rows.iter().take(ROWS_MAX) {
                    li title=(visible(row.label, HOVER_COLUMNS_MAX)) { (Link::around(row.link.as_ref(), html! {
                        // Not the direction of the page, so that a name in Arabic begins where its first letter is.
                        bdi class="k-name" {
                            @if row.label.is_empty() { i { (list.language.empty()) } }
                            @else { (visible(row.label, LABEL_COLUMNS_MAX)) }
                        } " "
                        span class="k-track" {
                            @if row.count > 0 {
                                @let length = percent(row.count as f64 / largest as f64);
                                svg class="k-bar" width=(length) height="8" aria-hidden="true" {}
                            }
                        }
                        " " span class="k-num" { (number::grouped(u128::from(row.count))) }
                    })) }
                }
            }
            @if hidden > 0 {
                p class="k-none" { (list.language.and_more(&number::grouped(hidden as u128))) }
            }
        }
    }
}
