//! Measured values over time, as lines: against what others measure, and against what is allowed.

use maud::{Markup, html};

use crate::axis::{NumberAxis, VALUE_MAX};
use crate::frame::{Annotation, Frame, SLICES_MAX, Slice, SliceLink};
use crate::layout::{PLOT_PX, pixels};
use crate::legend::{Entry, legend, series_class};
use crate::path::{Path, unit_x, unit_y};
use crate::text::visible;
use crate::{Language, Link, TimeRange, number};

/// Lines at most, one for each colour; the first are drawn.
const LINES_MAX: usize = 8;

/// Thresholds at most; the first are drawn.
const THRESHOLDS_MAX: usize = 6;

/// Columns of a line into which its points are drawn, at most; each shows its first, smallest, largest and last.
const COLUMNS_MAX: usize = 240;

/// Columns of a threshold's text.
const THRESHOLD_COLUMNS_MAX: usize = 40;

/// Columns of a name in what appears under the pointer.
const SLICE_COLUMNS_MAX: usize = 24;

/// The distance of two thresholds' texts, in pixels.
const THRESHOLD_ROW_PX: f64 = 13.0;

/// Measured values over time.
pub struct Lines<'a> {
    /// What is shown: the name for those who do not see it.
    pub title: &'a str,
    /// The language of the page.
    pub language: Language,
    /// The time that is shown. Points outside of it are left out.
    pub range: TimeRange,
    /// What is said after a value, such as `bytes`; may be nothing.
    pub unit: &'a str,
    /// What was measured.
    pub lines: &'a [Line<'a>],
    /// What others measured, behind the lines.
    pub band: Option<Band<'a>>,
    /// What is allowed.
    pub thresholds: &'a [Threshold<'a>],
    /// What happened.
    pub annotations: &'a [Annotation<'a>],
    /// Two points further apart than this are not joined: nothing is known of the time between. In milliseconds.
    pub gap_ms: i64,
    /// Where a part of the time leads.
    pub slice_link: Option<SliceLink<'a>>,
}

/// Values of one source.
pub struct Line<'a> {
    /// Its name; may be anybody's text.
    pub label: &'a str,
    /// Times in milliseconds since 1970 and values, in any order. What is no finite number is left out.
    pub points: &'a [(i64, f64)],
    /// Where its name in the legend leads.
    pub link: Option<Link>,
}

/// From where to where the values of many sources reach.
pub struct Band<'a> {
    /// Whose; may be anybody's text.
    pub label: &'a str,
    /// Times in milliseconds since 1970, smallest and largest values, in any order.
    pub points: &'a [(i64, f64, f64)],
}

/// A value that is not to be exceeded, or not to be fallen below.
pub struct Threshold<'a> {
    /// What is said of it; may be anybody's text.
    pub label: &'a str,
    /// The value.
    pub value: f64,
    /// What follows.
    pub severity: Severity,
}

/// What crossing a threshold means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Severity {
    /// An alarm.
    Alarm,
    /// A warning, or the end of an alarm.
    Warning,
}

/// Lines, before a band and among thresholds, under their names.
pub fn lines(chart: &Lines<'_>) -> Markup {
    lines_with_marks(chart, &[])
}

/// The same with points that are not as they should be marked as alarms: times in milliseconds since 1970 and values, in any
/// order. Of more points in one column, the largest and the smallest are marked.
pub fn lines_with_marks(chart: &Lines<'_>, marks: &[(i64, f64)]) -> Markup {
    let marks = Points::of(chart.range, marks.iter().copied());
    let drawn: Vec<Points> =
        chart.lines.iter().take(LINES_MAX).map(|line| Points::of(chart.range, line.points.iter().copied())).collect();
    let band = chart.band.as_ref().map(|band| BandEdges::of(chart.range, band));
    let thresholds: Vec<&Threshold<'_>> =
        chart.thresholds.iter().filter(|threshold| threshold.value.is_finite()).take(THRESHOLDS_MAX).collect();
    let axis = NumberAxis::of_values(
        drawn
            .iter()
            .flat_map(|points| points.0.iter().map(|(_, value)| *value))
            .chain(band.iter().flat_map(BandEdges::values))
            .chain(thresholds.iter().map(|threshold| threshold.value)),
    );
    let is_empty = drawn.iter().all(|points| points.0.is_empty()) && band.as_ref().is_none_or(BandEdges::is_empty);
    let plane = html! {
        @if let Some(band) = &band {
            path class="k-band" d=(band.outline(chart, &axis)) {}
        }
        @for (index, points) in drawn.iter().enumerate() {
            @let (line, dots) = points.outline(chart, &axis);
            @if !line.is_empty() { path class=(format!("k-line {}", series_class(index))) d=(line.into_text()) {} }
            @if !dots.is_empty() { path class=(format!("k-dots {}", series_class(index))) d=(dots.into_text()) {} }
        }
        @if !marks.0.is_empty() { path class="k-dots k-mark" d=(marks.marks(chart, &axis)) {} }
    };
    let frame = Frame {
        title: chart.title,
        description: describe(chart, &drawn),
        language: chart.language,
        range: chart.range,
        axis: &axis,
        annotations: chart.annotations,
        peaks: Vec::new(),
        slices: if is_empty { Vec::new() } else { slices(chart, &drawn) },
        slice_link: chart.slice_link,
        plane: (!is_empty).then_some(plane),
        over: threshold_lines(&axis, &thresholds),
    };
    let mut entries: Vec<Entry<'_>> = chart
        .lines
        .iter()
        .take(LINES_MAX)
        .enumerate()
        .map(|(index, line)| Entry {
            class: series_class(index),
            label: line.label,
            value: None,
            link: line.link.as_ref(),
        })
        .collect();
    entries.extend(chart.band.as_ref().map(|band| Entry {
        class: "k-b".to_owned(),
        label: band.label,
        value: None,
        link: None,
    }));
    html! {
        figure class="k-chart" {
            @if entries.len() > 1 { (legend(&entries)) }
            (frame.draw())
        }
    }
}

/// The points of a line that can be drawn, by time.
struct Points(Vec<(i64, f64)>);

impl Points {
    fn of(range: TimeRange, points: impl Iterator<Item = (i64, f64)>) -> Self {
        let mut within: Vec<(i64, f64)> = points
            .filter(|(time_ms, value)| range.holds(*time_ms) && value.is_finite())
            .map(|(time_ms, value)| (time_ms, value.clamp(-VALUE_MAX, VALUE_MAX)))
            .collect();
        within.sort_by_key(|(time_ms, _)| *time_ms);
        Self(within)
    }

    /// The stretches between whose points no gap is.
    fn stretches(&self, gap_ms: i64) -> impl Iterator<Item = &[(i64, f64)]> {
        self.0.chunk_by(move |before, after| after.0 - before.0 <= gap_ms)
    }

    /// A dot for each point that is kept.
    fn marks(&self, chart: &Lines<'_>, axis: &NumberAxis) -> String {
        let mut dots = Path::default();
        let kept = reduced(chart.range, &self.0);
        kept.into_iter().for_each(|at| dots.dot(on_plane(chart.range, axis, at)));
        dots.into_text()
    }

    /// The lines, and a dot for each point that stands alone.
    fn outline(&self, chart: &Lines<'_>, axis: &NumberAxis) -> (Path, Path) {
        let (mut line, mut dots) = (Path::default(), Path::default());
        for stretch in self.stretches(chart.gap_ms) {
            let mut points = reduced(chart.range, stretch).into_iter().map(|at| on_plane(chart.range, axis, at));
            let Some(first) = points.next() else { continue };
            let mut rest = points.peekable();
            if rest.peek().is_none() {
                dots.dot(first);
                continue;
            }
            line.move_to(first);
            rest.for_each(|point| line.line_to(point));
        }
        (line, dots)
    }
}

fn on_plane(range: TimeRange, axis: &NumberAxis, (time_ms, value): (i64, f64)) -> (i32, i32) {
    (unit_x(range.place_of(time_ms)), unit_y(axis.depth_of(value)))
}

fn column_of(range: TimeRange, time_ms: i64, columns: usize) -> usize {
    // Within the range, so between 0 and the number of columns.
    (range.place_of(time_ms) * columns as f64) as usize
}

/// Of each column's points the first, smallest, largest and last: what is drawn of the rest lies between them. U. Jugel
/// et al., "M4: A Visualization-Oriented Time Series Data Aggregation", 2014.
fn reduced(range: TimeRange, stretch: &[(i64, f64)]) -> Vec<(i64, f64)> {
    if stretch.len() <= COLUMNS_MAX {
        return stretch.to_vec();
    }
    let mut kept = Vec::new();
    for points in stretch.chunk_by(|a, b| column_of(range, a.0, COLUMNS_MAX) == column_of(range, b.0, COLUMNS_MAX)) {
        let by_value = |a: &usize, b: &usize| points[*a].1.total_cmp(&points[*b].1);
        let smallest = (0..points.len()).min_by(by_value).unwrap_or(0);
        let largest = (0..points.len()).max_by(by_value).unwrap_or(0);
        let mut indices = [0, smallest, largest, points.len() - 1];
        indices.sort_unstable();
        let mut last = None;
        for index in indices {
            if last != Some(index) {
                kept.push(points[index]);
            }
            last = Some(index);
        }
    }
    kept
}

/// Both edges of a band, column by column.
struct BandEdges {
    /// Time, smallest, largest.
    points: Vec<(i64, f64, f64)>,
}

impl BandEdges {
    fn of(range: TimeRange, band: &Band<'_>) -> Self {
        let mut within: Vec<(i64, f64, f64)> = band
            .points
            .iter()
            .filter(|(time_ms, low, high)| range.holds(*time_ms) && low.is_finite() && high.is_finite())
            .map(|(time_ms, a, b)| {
                let (a, b) = (a.clamp(-VALUE_MAX, VALUE_MAX), b.clamp(-VALUE_MAX, VALUE_MAX));
                (*time_ms, a.min(b), a.max(b))
            })
            .collect();
        within.sort_by_key(|(time_ms, _, _)| *time_ms);
        if within.len() > COLUMNS_MAX {
            let same = |a: &(i64, f64, f64), b: &(i64, f64, f64)| {
                column_of(range, a.0, COLUMNS_MAX) == column_of(range, b.0, COLUMNS_MAX)
            };
            let widest = |points: &[(i64, f64, f64)]| {
                let low = points.iter().map(|point| point.1).fold(f64::MAX, f64::min);
                let high = points.iter().map(|point| point.2).fold(f64::MIN, f64::max);
                (points[points.len() / 2].0, low, high)
            };
            within = within.chunk_by(same).map(widest).collect();
        }
        Self { points: within }
    }

    fn is_empty(&self) -> bool {
        self.points.is_empty()
    }

    fn values(&self) -> impl Iterator<Item = f64> {
        self.points.iter().flat_map(|(_, low, high)| [*low, *high])
    }

    fn outline(&self, chart: &Lines<'_>, axis: &NumberAxis) -> String {
        let mut path = Path::default();
        // Columns may be further apart than the points were.
        let gap_ms = chart.gap_ms.saturating_add(chart.range.length_ms() / COLUMNS_MAX as i64);
        for stretch in self.points.chunk_by(|before, after| after.0 - before.0 <= gap_ms) {
            let at = |time_ms: i64, value: f64| on_plane(chart.range, axis, (time_ms, value));
            let upper = stretch.iter().map(|(time_ms, _, high)| at(*time_ms, *high));
            let lower = stretch.iter().rev().map(|(time_ms, low, _)| at(*time_ms, *low));
            let mut points = upper.chain(lower);
            if let Some(first) = points.next() {
                path.move_to(first);
                points.for_each(|point| path.line_to(point));
                path.close();
            }
        }
        path.into_text()
    }
}

/// Dashed lines over the whole width, with their texts at the end; texts that would touch are moved apart.
fn threshold_lines(axis: &NumberAxis, thresholds: &[&Threshold<'_>]) -> Markup {
    let mut from_top: Vec<(f64, &Threshold<'_>)> =
        thresholds.iter().map(|threshold| (axis.depth_of(threshold.value) * f64::from(PLOT_PX), *threshold)).collect();
    from_top.sort_by(|a, b| a.0.total_cmp(&b.0));
    // A text stands above its line, or below it where the line above is too near.
    let mut free_y = 0.0f64;
    let mut placed = Vec::new();
    for (y, threshold) in from_top {
        let above = y - 4.0;
        let text_y = if above - THRESHOLD_ROW_PX >= free_y { above } else { (y + 12.0).max(free_y + THRESHOLD_ROW_PX) };
        free_y = text_y.max(y);
        placed.push((y, text_y, threshold));
    }
    html! {
        @for (y, text_y, threshold) in placed {
            @let class = match threshold.severity { Severity::Alarm => "k-alarm", Severity::Warning => "k-warn" };
            @let label = visible(threshold.label, THRESHOLD_COLUMNS_MAX);
            g class=(format!("k-threshold {class}")) {
                title { (label) " (" (number::value(threshold.value)) ")" }
                line x2="100%" y1=(pixels(y)) y2=(pixels(y)) {}
                // Below the axis is no room for a text; the line says it under the pointer.
                @if text_y <= f64::from(PLOT_PX) { text x="100%" y=(pixels(text_y)) dx="-2" { (label) } }
            }
        }
    }
}

fn with_unit(value: f64, unit: &str) -> String {
    let unit = visible(unit, SLICE_COLUMNS_MAX);
    if unit.is_empty() { number::value(value) } else { format!("{} {unit}", number::value(value)) }
}

/// From where to where each line goes in each part of the time.
fn slices(chart: &Lines<'_>, drawn: &[Points]) -> Vec<Slice> {
    let mut slices: Vec<Slice> = (0..SLICES_MAX)
        .map(|index| Slice { range: chart.range.part(index, index + 1, SLICES_MAX), lines: Vec::new() })
        .collect();
    for (line, points) in chart.lines.iter().zip(drawn) {
        let mut found: Vec<Option<(f64, f64)>> = vec![None; SLICES_MAX];
        for (time_ms, value) in &points.0 {
            if let Some(range) = found.get_mut(column_of(chart.range, *time_ms, SLICES_MAX)) {
                let (low, high) = range.unwrap_or((*value, *value));
                *range = Some((low.min(*value), high.max(*value)));
            }
        }
        for (slice, range) in slices.iter_mut().zip(found) {
            let Some((low, high)) = range else { continue };
            let values = if low == high {
                with_unit(low, chart.unit)
            } else {
                format!("{} – {}", number::value(low), with_unit(high, chart.unit))
            };
            slice.lines.push(format!("{}{}{values}", visible(line.label, SLICE_COLUMNS_MAX), chart.language.colon()));
        }
    }
    slices.retain(|slice| !slice.lines.is_empty());
    slices
}

fn describe(chart: &Lines<'_>, drawn: &[Points]) -> String {
    let (language, colon) = (chart.language, chart.language.colon());
    let period = format!("{}{colon}{}", language.period(), chart.range.text());
    let largest = drawn.iter().flat_map(|points| &points.0).max_by(|a, b| a.1.total_cmp(&b.1));
    match largest {
        Some((time_ms, value)) => format!(
            "{period}; {}{colon}{} ({})",
            language.largest(),
            with_unit(*value, chart.unit),
            crate::calendar::moment(*time_ms)
        ),
        None => format!("{period}; {}", language.no_data()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_of_points_keep_every_peak() {
        let range = TimeRange::new(0, 10_000_000);
        let points: Vec<(i64, f64)> =
            (0..10_000).map(|index| (index * 1000, if index == 7777 { 99.0 } else { (index % 7) as f64 })).collect();
        let kept = reduced(range, &points);
        assert!(kept.len() <= 4 * COLUMNS_MAX);
        assert!(kept.contains(&(7_777_000, 99.0)));
        assert!(kept.is_sorted_by_key(|(time_ms, _)| *time_ms));
        assert_eq!((kept.first(), kept.last()), (points.first(), points.last()));
    }

    #[test]
    fn points_far_apart_are_not_joined() {
        let points =
            Points::of(TimeRange::new(0, 100_000), [(1, 1.0), (2, f64::NAN), (60_000, 3.0), (5, 2.0)].into_iter());
        let stretches: Vec<usize> = points.stretches(1000).map(<[(i64, f64)]>::len).collect();
        assert_eq!(stretches, [2, 1]);
    }
}
