//! Charts for people who look: numbers over time, shares, lists, heat maps and the map of the world, as SVG and HTML.
//!
//! In: typed values, and texts of which any may be an attacker's. Out: markup that is the same for the same values. Not
//! here: where the numbers come from, a table of the same numbers, and the colours: a page sets `--text`, `--muted`,
//! `--line`, `--card` (what is behind), `--accent`, `--alarm`, `--warn`, `--series-1` to `--series-8`, `--map-land` and
//! `--map-hot`, and carries [`STYLE`] once.
//!
//! # How a chart fits every width
//!
//! The server does not know how wide a page is. Times are therefore drawn in per cent of the width, numbers in pixels
//! of the height; only what has no text (areas, lines) is stretched. Letters keep their size. Labels are placed so that
//! they do not touch where a plot is 640 px wide; what would touch on a phone, or in the third of a page, is left out
//! there, by a container query.
//!
//! # What a script may use
//!
//! Nothing needs one: what leads somewhere is a plain link ([`Link`]), which also says `data-filter="column=value"`,
//! both percent-encoded, and `data-safe` with how the value is passed on. A chart over time has one `rect.k-brush` that covers exactly its plot and carries `data-from`
//! and `data-to` in milliseconds since 1970: where a drag lies in the rectangle's `getBoundingClientRect()` gives its
//! times. There is neither a script nor a `style` attribute in what is written, so a strict Content-Security-Policy
//! holds.
//!
//! # Hostile texts
//!
//! Labels are cut to a bounded number of columns, with more of them in the text that appears under the pointer.
//! Characters that are not seen or that turn the direction of writing are written as escapes. Links lead only to the
//! same origin.
//!
//! # Looking at them
//!
//! `cargo run -p komainu-charts --example gallery` writes a page with all of them. The golden files of the tests are
//! renewed with `KOMAINU_UPDATE_GOLDEN=1`, and the dots of the map by the package in `worldmap/`.

mod axis;
mod bar_list;
mod calendar;
mod country;
mod frame;
mod heat_map;
mod language;
mod layout;
mod legend;
mod lines;
mod link;
mod number;
mod path;
mod share;
mod sparkline;
mod stacked;
mod text;
mod world;

pub use bar_list::{BarList, BarRow, bar_list};
pub use calendar::TimeRange;
pub use country::Country;
pub use frame::{Annotation, Peak, SliceLink};
pub use heat_map::{CellLink, HeatMap, HeatRow, heat_map, hours_of_week};
pub use language::Language;
pub use lines::{Band, Line, Lines, Severity, Threshold, lines, lines_with_marks};
pub use link::Link;
pub use share::{Share, ShareBar, share_bar};
pub use sparkline::sparkline;
pub use stacked::{Series, Stacked, stacked_area, stacked_bars};
pub use world::{MapArc, MapSensor, Place, WorldMap, world_map};

/// The stylesheet of all charts, for the page that embeds them.
pub const STYLE: &str = include_str!("charts.css");
