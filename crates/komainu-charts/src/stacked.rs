//! Counts over time, series upon series: as areas, or as bars.

use maud::{Markup, html};

use crate::axis::NumberAxis;
use crate::frame::{Annotation, Frame, Peak, PeakMark, SLICES_MAX, Slice, SliceLink, peaks_within};
use crate::layout::{PLANE_HEIGHT, PLANE_WIDTH};
use crate::legend::{Entry, legend, series_class};
use crate::path::{BEYOND, Path, unit_x, unit_y};
use crate::text::visible;
use crate::{Language, Link, TimeRange, number};

/// Series with a colour of their own; those after them are added up.
const SERIES_MAX: usize = 8;

/// Columns into which the buckets of an area are drawn, at most: one for about three pixels. 730 days in 8 series then
/// take less than 40 KB.
const AREA_COLUMNS_MAX: usize = 240;

/// Bars at most: one for about four pixels.
const BAR_COLUMNS_MAX: usize = 160;

/// Columns of a series' name in what appears under the pointer: it is said for every slice.
const SLICE_COLUMNS_MAX: usize = 20;

/// Counts over time.
pub struct Stacked<'a> {
    /// What is shown: the name for those who do not see it.
    pub title: &'a str,
    /// The language of the page.
    pub language: Language,
    /// The time that the buckets divide into equal parts.
    pub range: TimeRange,
    /// From the bottom up. The first eight have colours of their own, the rest is added up as "Other".
    pub series: &'a [Series<'a>],
    /// What happened.
    pub annotations: &'a [Annotation<'a>],
    /// When there was more than usual.
    pub peaks: &'a [Peak<'a>],
    /// Where a part of the time leads.
    pub slice_link: Option<SliceLink<'a>>,
}

/// One kind of what is counted.
pub struct Series<'a> {
    /// Its name; may be anybody's text.
    pub label: &'a str,
    /// One for each bucket of the range; where nothing is known, none. A series that is shorter than the longest ends
    /// early.
    pub counts: &'a [Option<u64>],
    /// Where its name in the legend leads.
    pub link: Option<Link>,
}

/// Areas upon each other, under the names of their series.
///
/// Where there are more buckets than columns, each column shows the bucket that has most: a peak is never averaged
/// away.
pub fn stacked_area(chart: &Stacked<'_>) -> Markup {
    let stack = Stack::of(chart);
    let columns = stack.columns(AREA_COLUMNS_MAX);
    let axis = stack.axis();
    let plane = html! {
        // From the top down: each series' upper edge is then drawn over the lower edge of the one above.
        @for level in (0..stack.levels()).rev() {
            path class=(format!("k-area {}", stack.class(level))) d=(area(&stack, &columns, &axis, level)) {}
        }
    };
    draw(chart, &stack, &axis, plane)
}

/// Bars upon each other, under the names of their series. Of more buckets than bars, the larger ones are shown.
pub fn stacked_bars(chart: &Stacked<'_>) -> Markup {
    let stack = Stack::of(chart);
    let columns = stack.columns(BAR_COLUMNS_MAX);
    let axis = stack.axis();
    let plane = html! {
        @for level in 0..stack.levels() {
            path class=(format!("k-bars-over-time {}", stack.class(level))) d=(bars(&stack, &columns, &axis, level)) {}
        }
    };
    draw(chart, &stack, &axis, plane)
}

/// The series that are drawn, and what they add up to.
struct Stack<'a> {
    language: Language,
    series: &'a [Series<'a>],
    buckets: usize,
    /// Of each bucket; none where no series knows anything.
    totals: Vec<Option<u128>>,
}

impl<'a> Stack<'a> {
    fn of(chart: &Stacked<'a>) -> Self {
        let buckets = chart.series.iter().map(|series| series.counts.len()).max().unwrap_or(0);
        let mut totals: Vec<Option<u128>> = vec![None; buckets];
        for series in chart.series {
            for (total, count) in totals.iter_mut().zip(series.counts) {
                if let Some(count) = count {
                    *total = Some(total.unwrap_or(0) + u128::from(*count));
                }
            }
        }
        Self { language: chart.language, series: chart.series, buckets, totals }
    }

    fn is_empty(&self) -> bool {
        self.totals.iter().all(Option::is_none)
    }

    /// The series, and everything else as one.
    fn levels(&self) -> usize {
        self.series.len().min(SERIES_MAX + 1)
    }

    fn class(&self, level: usize) -> String {
        series_class(level)
    }

    fn label(&self, level: usize) -> &'a str {
        if level < SERIES_MAX { self.series[level].label } else { self.language.other() }
    }

    /// The series that are drawn at this level.
    fn series_at(&self, level: usize) -> &'a [Series<'a>] {
        if level < SERIES_MAX { &self.series[level..=level] } else { &self.series[SERIES_MAX..] }
    }

    fn count(&self, level: usize, bucket: usize) -> u128 {
        let count_of = |series: &Series<'_>| series.counts.get(bucket).copied().flatten().unwrap_or(0);
        self.series_at(level).iter().map(|series| u128::from(count_of(series))).sum()
    }

    /// All up to this level, without it.
    fn below(&self, level: usize, bucket: usize) -> u128 {
        (0..level).map(|below| self.count(below, bucket)).sum()
    }

    fn axis(&self) -> NumberAxis {
        NumberAxis::of_counts(self.totals.iter().flatten().max().copied().unwrap_or(0) as f64)
    }

    /// Which bucket each column shows: the one that has most, or none if nothing is known of any.
    fn columns(&self, columns_max: usize) -> Vec<Option<usize>> {
        let count = self.buckets.min(columns_max);
        (0..count)
            .map(|column| {
                let buckets = column * self.buckets / count..(column + 1) * self.buckets / count;
                buckets.filter(|bucket| self.totals[*bucket].is_some()).max_by_key(|bucket| self.totals[*bucket])
            })
            .collect()
    }

    fn slices(&self, range: TimeRange) -> Vec<Slice> {
        let count = self.buckets.min(SLICES_MAX);
        (0..count)
            .map(|slice| {
                let (first, end) = (slice * self.buckets / count, (slice + 1) * self.buckets / count);
                Slice { range: range.part(first, end, self.buckets), lines: self.slice_lines(first..end) }
            })
            .collect()
    }

    fn slice_lines(&self, buckets: std::ops::Range<usize>) -> Vec<String> {
        if buckets.clone().all(|bucket| self.totals[bucket].is_none()) {
            return vec![self.language.no_data().to_owned()];
        }
        let mut lines = Vec::new();
        let line = |label: &str, count: u128| {
            format!("{}{}{}", visible(label, SLICE_COLUMNS_MAX), self.language.colon(), number::grouped(count))
        };
        // As they lie upon each other.
        for level in (0..self.levels()).rev() {
            let count: u128 = buckets.clone().map(|bucket| self.count(level, bucket)).sum();
            if count > 0 {
                lines.push(line(self.label(level), count));
            }
        }
        if lines.len() != 1 {
            lines.push(line(self.language.total(), buckets.filter_map(|bucket| self.totals[bucket]).sum()));
        }
        lines
    }
}

fn draw<'a>(chart: &Stacked<'a>, stack: &Stack<'a>, axis: &NumberAxis, plane: Markup) -> Markup {
    let entries: Vec<Entry<'_>> = (0..stack.levels())
        .map(|level| Entry {
            class: stack.class(level),
            label: stack.label(level),
            value: None,
            link: stack.series_at(level).first().filter(|_| level < SERIES_MAX).and_then(|series| series.link.as_ref()),
        })
        .collect();
    // A peak is marked where its bucket is drawn.
    let mark = |peak: &'a Peak<'a>| {
        // Within the range, so between 0 and the number of buckets.
        let bucket = (chart.range.place_of(peak.at_ms) * stack.buckets as f64) as usize;
        let total = stack.totals.get(bucket).copied().flatten().unwrap_or(0) as f64;
        PeakMark { peak, place: (bucket as f64 + 0.5) / stack.buckets.max(1) as f64, depth: axis.depth_of(total) }
    };
    let frame = Frame {
        title: chart.title,
        description: describe(chart, stack),
        language: chart.language,
        range: chart.range,
        axis,
        annotations: chart.annotations,
        peaks: peaks_within(chart.range, chart.peaks).map(mark).collect(),
        slices: stack.slices(chart.range),
        slice_link: chart.slice_link,
        plane: (!stack.is_empty()).then_some(plane),
        over: html! {},
    };
    html! {
        figure class="k-chart" {
            @if entries.len() > 1 { (legend(&entries)) }
            (frame.draw())
        }
    }
}

fn describe(chart: &Stacked<'_>, stack: &Stack<'_>) -> String {
    let language = chart.language;
    let colon = language.colon();
    let period = format!("{}{colon}{}", language.period(), chart.range.text());
    let most =
        (0..stack.buckets).filter(|bucket| stack.totals[*bucket].is_some()).max_by_key(|bucket| stack.totals[*bucket]);
    match most.and_then(|bucket| stack.totals[bucket].map(|total| (bucket, total))) {
        Some((bucket, total)) => {
            let all: u128 = stack.totals.iter().flatten().sum();
            format!(
                "{period}; {}{colon}{}; {}{colon}{} ({})",
                language.total(),
                number::grouped(all),
                language.largest(),
                number::grouped(total),
                chart.range.part(bucket, bucket + 1, stack.buckets).text()
            )
        }
        None => format!("{period}; {}", language.no_data()),
    }
}

/// The outline of one level: one piece for each stretch of columns without a gap.
fn area(stack: &Stack<'_>, columns: &[Option<usize>], axis: &NumberAxis, level: usize) -> String {
    let mut path = Path::default();
    let mut begin = 0;
    while begin < columns.len() {
        let known: Vec<usize> = columns[begin..].iter().map_while(|bucket| *bucket).collect();
        if known.is_empty() {
            begin += 1;
            continue;
        }
        let end = begin + known.len();
        // A bucket is drawn in its middle; the first and last reach to their outer sides, and out of the plane where
        // the plane ends, so that no line is seen there.
        let side = |column: usize| PLANE_WIDTH * column as i32 / columns.len() as i32;
        let left = if begin == 0 { -BEYOND } else { side(begin) };
        let right = if end == columns.len() { PLANE_WIDTH + BEYOND } else { side(end) };
        let edge = |above: bool| {
            let depth = |bucket: usize| {
                let below = stack.below(level, bucket) + if above { stack.count(level, bucket) } else { 0 };
                // The lowest edge lies out of the plane.
                if below == 0 && !above { PLANE_HEIGHT + BEYOND } else { unit_y(axis.depth_of(below as f64)) }
            };
            let middle = |bucket: usize| unit_x((bucket as f64 + 0.5) / stack.buckets as f64);
            let first = known.first().map(|bucket| (left, depth(*bucket)));
            let last = known.last().map(|bucket| (right, depth(*bucket)));
            let between = known.iter().map(|bucket| (middle(*bucket), depth(*bucket)));
            first.into_iter().chain(between).chain(last).collect::<Vec<_>>()
        };
        let upper = edge(true);
        path.move_to(upper[0]);
        for point in upper.into_iter().skip(1).chain(edge(false).into_iter().rev()) {
            path.line_to(point);
        }
        path.close();
        begin = end;
    }
    path.into_text()
}

fn bars(stack: &Stack<'_>, columns: &[Option<usize>], axis: &NumberAxis, level: usize) -> String {
    let mut path = Path::default();
    let width = PLANE_WIDTH as f64 / columns.len().max(1) as f64;
    // A fifth of a bar's room is left between two; a bar is one unit wide at least.
    let bar = ((width * 0.8) as i32).max(1);
    for (column, bucket) in columns.iter().enumerate() {
        let Some(bucket) = *bucket else { continue };
        let below = stack.below(level, bucket);
        let bottom = unit_y(axis.depth_of(below as f64));
        let top = unit_y(axis.depth_of((below + stack.count(level, bucket)) as f64));
        let left = (width * (column as f64 + 0.5)) as i32 - bar / 2;
        if top < bottom {
            path.move_to((left, bottom));
            path.line_to((left, top));
            path.line_to((left + bar, top));
            path.line_to((left + bar, bottom));
            path.close();
        }
    }
    path.into_text()
}
