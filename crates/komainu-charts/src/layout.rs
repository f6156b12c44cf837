//! The sizes that charts over time have in common.

/// The width of a plot for which labels are placed, in pixels. Down to the width at which `charts.css` turns to
/// [`NARROW_PX`], labels have two thirds of the room that they were given here, which is still enough.
pub(crate) const WIDE_PX: f64 = 640.0;

/// The width of a plot on a phone (390 px less the page's and the axis' margins); below it nothing is promised.
pub(crate) const NARROW_PX: f64 = 280.0;

/// What one column of a label's text takes, in pixels: the mean of digits and small letters at 11 px, rounded up.
pub(crate) const COLUMN_PX: f64 = 6.4;

/// The height of a plot, in pixels.
pub(crate) const PLOT_PX: u32 = 180;

/// The stretched plane behind the labels: units over its width.
pub(crate) const PLANE_WIDTH: i32 = 1000;

/// Units over the height of the plane: two for a pixel, so that a line is as fine as screens of today.
pub(crate) const PLANE_HEIGHT: i32 = PLOT_PX as i32 * 2;

/// A place between 0 and 1 as a percentage for an attribute; what is no number is 0.
pub(crate) fn percent(part: f64) -> String {
    let part = if part.is_finite() { part.clamp(0.0, 1.0) } else { 0.0 };
    let text = format!("{:.2}", part * 100.0);
    format!("{}%", text.trim_end_matches('0').trim_end_matches('.'))
}

/// A length in pixels for an attribute; what is no number is 0.
pub(crate) fn pixels(length: f64) -> String {
    let length = if length.is_finite() { length } else { 0.0 };
    let text = format!("{length:.1}");
    text.strip_suffix(".0").unwrap_or(&text).to_owned()
}
