//! Two properties against each other, as shades: hours and weekdays, protocols and appliances.

use maud::{Markup, html};

use crate::legend::Shades;
use crate::text::{HOVER_COLUMNS_MAX, columns, visible};
use crate::{Language, Link, number};

/// Rows at most; the first are shown, and how many more there are.
const ROWS_MAX: usize = 60;

/// Columns at most; the first are shown.
const COLUMNS_MAX: usize = 48;

/// Columns of text of a row's name in the markup. What of it has room is decided by the page's width.
const ROW_LABEL_COLUMNS_MAX: usize = 60;

/// Columns of text of a column's name; it stands upright if it is longer than [`FLAT_LABEL_COLUMNS_MAX`].
const COLUMN_LABEL_COLUMNS_MAX: usize = 16;

/// A column's name this long has room above its cells.
const FLAT_LABEL_COLUMNS_MAX: usize = 2;

/// Counts by two properties.
pub struct HeatMap<'a> {
    /// What is counted: the name for those who do not see it.
    pub title: &'a str,
    /// The language of the page.
    pub language: Language,
    /// The names of the columns; may be anybody's texts.
    pub columns: &'a [&'a str],
    /// The rows, from above.
    pub rows: &'a [HeatRow<'a>],
    /// Where a cell leads, by its row and column.
    pub cell_link: Option<CellLink<'a>>,
}

/// Where the cell of a row and a column leads.
pub type CellLink<'a> = &'a dyn Fn(usize, usize) -> Option<Link>;

/// One row.
pub struct HeatRow<'a> {
    /// Its name; may be anybody's text.
    pub label: &'a str,
    /// A count for each column; what is missing is nothing.
    pub counts: &'a [u64],
}

/// A table whose cells are shaded. It is the table of its numbers as well: each cell says its number to those who do
/// not see it, and under the pointer.
pub fn heat_map(map: &HeatMap<'_>) -> Markup {
    let names = &map.columns[..map.columns.len().min(COLUMNS_MAX)];
    let rows = &map.rows[..map.rows.len().min(ROWS_MAX)];
    let shades = Shades::of(rows.iter().flat_map(|row| row.counts.iter().take(names.len()).copied()));
    let is_flat = names.iter().all(|name| columns(&visible(name, COLUMN_LABEL_COLUMNS_MAX)) <= FLAT_LABEL_COLUMNS_MAX);
    // Beyond this many names, there is not room for each.
    let every = if names.len() > 12 { 3 } else { 1 };
    let hidden = map.rows.len() - rows.len();
    html! {
        figure class="k-chart k-heat" {
            @if rows.is_empty() || names.is_empty() {
                p class="k-none" { (map.language.no_data()) }
            } @else {
                table class=(if is_flat { "k-flat" } else { "k-upright" }) {
                    caption { (visible(map.title, HOVER_COLUMNS_MAX)) }
                    thead { tr {
                        td {}
                        @for (index, name) in names.iter().enumerate() {
                            th scope="col" title=(visible(name, HOVER_COLUMNS_MAX)) {
                                span class=[(is_flat && index % every != 0).then_some("k-w")] {
                                    (visible(name, COLUMN_LABEL_COLUMNS_MAX))
                                }
                            }
                        }
                    } }
                    tbody {
                        @for (index, row) in rows.iter().enumerate() { (heat_row(map, shades, names, index, row)) }
                    }
                }
                @if hidden > 0 { p class="k-none" { (map.language.and_more(&number::grouped(hidden as u128))) } }
                (shades.legend())
            }
        }
    }
}

/// Hours against weekdays: seven rows from Monday on, of 24 hours each. A cell leads where its weekday, counted from
/// Monday as 0, and its hour do.
pub fn hours_of_week(
    title: &str,
    language: Language,
    counts: &[[u64; 24]; 7],
    cell_link: Option<CellLink<'_>>,
) -> Markup {
    let hours: Vec<String> = (0..24).map(|hour| format!("{hour:02}")).collect();
    let columns: Vec<&str> = hours.iter().map(String::as_str).collect();
    let weekdays = language.weekdays();
    let rows: Vec<HeatRow<'_>> =
        weekdays.iter().zip(counts).map(|(label, counts)| HeatRow { label, counts: counts.as_slice() }).collect();
    heat_map(&HeatMap { title, language, columns: &columns, rows: &rows, cell_link })
}

fn heat_row(map: &HeatMap<'_>, shades: Shades, names: &[&str], index: usize, row: &HeatRow<'_>) -> Markup {
    let short = |label: &str| visible(label, COLUMN_LABEL_COLUMNS_MAX);
    let label = short(row.label);
    html! {
        tr {
            th scope="row" title=(visible(row.label, HOVER_COLUMNS_MAX)) {
                bdi { (visible(row.label, ROW_LABEL_COLUMNS_MAX)) }
            }
            @for (column, name) in names.iter().enumerate() {
                @let count = row.counts.get(column).copied().unwrap_or(0);
                @let link = map.cell_link.and_then(|link_of| link_of(index, column));
                @let number = number::grouped(u128::from(count));
                td class=(shades.class_of(count))
                    title=(format!("{label} · {}{}{number}", short(name), map.language.colon())) {
                    (Link::around(link.as_ref(), html! { span { (number) } }))
                }
            }
        }
    }
}
