//! What charts over time have in common: axes, notes, peaks, the places that say numbers, and the rectangle for
//! scripts.

use maud::{Markup, html};

use crate::axis::{NumberAxis, Room, time_ticks};
use crate::layout::{COLUMN_PX, NARROW_PX, PLANE_HEIGHT, PLANE_WIDTH, PLOT_PX, WIDE_PX, percent, pixels};
use crate::text::{HOVER_COLUMNS_MAX, columns, visible};
use crate::{Language, Link, TimeRange, number};

/// Notes of a chart at most; the first are drawn. With more, nothing could be read.
const ANNOTATIONS_MAX: usize = 24;

/// Peaks of a chart at most; the first are drawn.
const PEAKS_MAX: usize = 50;

/// Columns of a note: at [`NARROW_PX`], that leaves it room on one side of its line.
const ANNOTATION_COLUMNS_MAX: usize = 24;

/// Rows of notes above each other; what fits in none is a line whose text appears under the pointer.
const ANNOTATION_ROWS: usize = 3;

/// The height of a row of notes, in pixels.
const ANNOTATION_ROW_PX: u32 = 15;

/// Between a note and its line, and between two notes, in pixels.
const ANNOTATION_GAP_PX: f64 = 5.0;

/// Places of a chart that say their numbers. More of them would be larger than the drawing.
pub(crate) const SLICES_MAX: usize = 48;

/// Something that happened, which explains what is seen: "CVE-2025-1234 published".
#[derive(Debug, Clone)]
pub struct Annotation<'a> {
    /// When, in milliseconds since 1970. What is out of the chart's range is not drawn.
    pub at_ms: i64,
    /// What; may be anybody's text.
    pub label: &'a str,
    /// Where more of it is told.
    pub link: Option<Link>,
}

/// A time at which there was more than usual; it is marked at the height of its value.
#[derive(Debug, Clone)]
pub struct Peak<'a> {
    /// When, in milliseconds since 1970. What is out of the chart's range is not drawn.
    pub at_ms: i64,
    /// What is said of it; may be anybody's text.
    pub label: &'a str,
    /// Where more of it is told.
    pub link: Option<Link>,
}

/// Where a part of a chart's time leads.
pub type SliceLink<'a> = &'a dyn Fn(TimeRange) -> Option<Link>;

/// A part of the time, and what is said when the pointer is there.
pub(crate) struct Slice {
    pub(crate) range: TimeRange,
    pub(crate) lines: Vec<String>,
}

/// A peak and where its mark stands: from the left and from above, 0 to 1.
pub(crate) struct PeakMark<'a> {
    pub(crate) peak: &'a Peak<'a>,
    pub(crate) place: f64,
    pub(crate) depth: f64,
}

/// Everything that is drawn.
pub(crate) struct Frame<'a> {
    pub(crate) title: &'a str,
    pub(crate) description: String,
    pub(crate) language: Language,
    pub(crate) range: TimeRange,
    pub(crate) axis: &'a NumberAxis,
    pub(crate) annotations: &'a [Annotation<'a>],
    pub(crate) peaks: Vec<PeakMark<'a>>,
    pub(crate) slices: Vec<Slice>,
    pub(crate) slice_link: Option<SliceLink<'a>>,
    /// What is drawn in units of the plane, which cuts off whatever is beyond it; nothing if there are no values.
    pub(crate) plane: Option<Markup>,
    /// What is drawn over it, in per cent of the width and pixels of the height.
    pub(crate) over: Markup,
}

impl Frame<'_> {
    pub(crate) fn draw(&self) -> Markup {
        let notes = place_annotations(self.range, self.annotations);
        let rows = notes.iter().filter_map(|note| note.row).map(|row| row as u32 + 1).max().unwrap_or(0);
        let top = rows * ANNOTATION_ROW_PX;
        let slice_links: Vec<Option<Link>> =
            self.slices.iter().map(|slice| self.slice_link.and_then(|link_of| link_of(slice.range))).collect();
        let has_links = slice_links.iter().any(Option::is_some)
            || notes.iter().any(|note| note.annotation.link.is_some())
            || self.peaks.iter().any(|mark| mark.peak.link.is_some());
        html! {
            svg class="k-svg k-axes" height=(top + PLOT_PX) role=(role(has_links)) {
                title { (visible(self.title, HOVER_COLUMNS_MAX)) }
                desc { (self.description) }
                g transform=(format!("translate(0 {top})")) {
                    rect class="k-brush" width="100%" height=(PLOT_PX)
                        data-from=(self.range.from_ms()) data-to=(self.range.to_ms()) {}
                    (number_axis(self.axis))
                    (time_axis(self.range, self.language))
                    @match &self.plane {
                        Some(plane) => {
                            svg class="k-plane" width="100%" height=(PLOT_PX) preserveAspectRatio="none"
                                viewBox=(format!("0 0 {PLANE_WIDTH} {PLANE_HEIGHT}")) { (plane) }
                        }
                        None => {
                            text class="k-empty" x="50%" y=(PLOT_PX / 2) { (self.language.no_data()) }
                        }
                    }
                    (self.over)
                    @for (slice, link) in self.slices.iter().zip(&slice_links) {
                        (Link::around_passed(link.as_ref(), slice_rect(self.range, slice)))
                    }
                    @for PeakMark { peak, place, depth } in &self.peaks {
                        (Link::around(peak.link.as_ref(), html! {
                            circle class="k-peak" cx=(percent(*place)) cy=(pixels(depth * f64::from(PLOT_PX))) r="4.5" {
                                title { (visible(peak.label, HOVER_COLUMNS_MAX)) }
                            }
                        }))
                    }
                    @for note in &notes {
                        (Link::around(note.annotation.link.as_ref(), note.draw(rows)))
                    }
                }
            }
        }
    }
}

/// A picture, unless something in it leads somewhere: what is within a picture cannot be reached by assistive
/// technology.
pub(crate) fn role(has_links: bool) -> &'static str {
    if has_links { "group" } else { "img" }
}

/// The peaks of a chart that are drawn.
pub(crate) fn peaks_within<'a>(range: TimeRange, peaks: &'a [Peak<'a>]) -> impl Iterator<Item = &'a Peak<'a>> {
    peaks.iter().filter(move |peak| range.holds(peak.at_ms)).take(PEAKS_MAX)
}

fn number_axis(axis: &NumberAxis) -> Markup {
    html! {
        g class="k-grid" {
            @for tick in &axis.ticks {
                @let y = pixels(axis.depth_of(*tick) * f64::from(PLOT_PX));
                line x2="100%" y1=(y) y2=(y) {}
                text x="-8" y=(y) dy="4" { (number::short(*tick)) }
            }
        }
    }
}

fn time_axis(range: TimeRange, language: Language) -> Markup {
    html! {
        g class="k-times" {
            @for tick in time_ticks(range, language) {
                // A label in the middle of the last tick would stand out of the chart.
                @let end = if tick.place > 0.97 { "k-e" } else { "k-middle" };
                @let class = match tick.room {
                    Room::Tiny => end.to_owned(),
                    Room::Narrow => format!("{end} k-n"),
                    Room::Wide => format!("{end} k-w"),
                };
                text class=(class) x=(percent(tick.place)) y=(PLOT_PX + 18) { (tick.label) }
            }
        }
    }
}

fn slice_rect(whole: TimeRange, slice: &Slice) -> Markup {
    let (from, to) = (whole.place_of(slice.range.from_ms()), whole.place_of(slice.range.to_ms()));
    html! {
        rect class="k-slice" x=(percent(from)) width=(percent(to - from)) height=(PLOT_PX) {
            title {
                (slice.range.text())
                @for line in &slice.lines { "\n" (line) }
            }
        }
    }
}

/// A note and where its text stands.
struct Note<'a> {
    annotation: &'a Annotation<'a>,
    text: String,
    place: f64,
    /// Counted from above; none if there is no room.
    row: Option<usize>,
    /// Left of its line.
    is_left: bool,
    /// There is no room for the text when the chart is narrow.
    wide_only: bool,
}

impl Note<'_> {
    fn draw(&self, rows: u32) -> Markup {
        let x = percent(self.place);
        // Above the plot: rows are negative there. A line without a text begins at the plot.
        let top = self.row.map_or(0, |row| (row as i32 - rows as i32) * ANNOTATION_ROW_PX as i32);
        let class = match (self.is_left, self.wide_only) {
            (false, false) => None,
            (false, true) => Some("k-w"),
            (true, false) => Some("k-e"),
            (true, true) => Some("k-w k-e"),
        };
        html! {
            g class="k-note" {
                title { (visible(self.annotation.label, HOVER_COLUMNS_MAX)) }
                line x1=(x) x2=(x) y1=(top) y2=(PLOT_PX) {}
                // The line is thin: the pointer finds it by this.
                line class="k-touch" x1=(x) x2=(x) y1=(top) y2=(PLOT_PX) {}
                @if self.row.is_some() {
                    text class=[class] x=(x) y=(top + 10) dx=(if self.is_left { "-5" } else { "5" }) { (self.text) }
                }
            }
        }
    }
}

/// Gives each note a row in which it touches no other, at every width from [`NARROW_PX`] on.
fn place_annotations<'a>(range: TimeRange, annotations: &'a [Annotation<'a>]) -> Vec<Note<'a>> {
    let mut within: Vec<&Annotation<'_>> =
        annotations.iter().filter(|annotation| range.holds(annotation.at_ms)).take(ANNOTATIONS_MAX).collect();
    within.sort_by_key(|annotation| annotation.at_ms);
    let mut notes: Vec<Note<'_>> = Vec::new();
    for annotation in within {
        let text = visible(annotation.label, ANNOTATION_COLUMNS_MAX);
        let place = range.place_of(annotation.at_ms);
        let mut note = Note { annotation, text, place, row: None, is_left: false, wide_only: false };
        // The middle of the chart is where the text has more room.
        let places = [place > 0.5, place <= 0.5]
            .into_iter()
            .flat_map(|is_left| (0..ANNOTATION_ROWS).map(move |row| (is_left, row)));
        let is_free_at = |row: usize, is_left: bool, width_px: f64, also_wide: bool| {
            is_free(&notes, &Note { text: note.text.clone(), is_left, ..note }, row, width_px, also_wide)
        };
        let everywhere = places.clone().find(|(is_left, row)| {
            is_free_at(*row, *is_left, NARROW_PX, false) && is_free_at(*row, *is_left, WIDE_PX, true)
        });
        let when_wide = || {
            let widths_px = [WIDE_PX * 2.0 / 3.0, WIDE_PX];
            places.clone().find(|(is_left, row)| widths_px.iter().all(|px| is_free_at(*row, *is_left, *px, true)))
        };
        let (wide_only, found) = (everywhere.is_none(), everywhere.or_else(when_wide));
        note.wide_only = wide_only;
        if let Some((is_left, row)) = found {
            (note.is_left, note.row) = (is_left, Some(row));
        }
        notes.push(note);
    }
    notes
}

/// Whether the note's text stays in the chart, and touches no text in that row, and no line that begins in that row or
/// above it. `also_wide` says whether texts that only wide charts have are there.
fn is_free(notes: &[Note<'_>], note: &Note<'_>, row: usize, width_px: f64, also_wide: bool) -> bool {
    let (from, to) = span(note, width_px);
    let is_inside = from >= 0.0 && to <= width_px;
    is_inside
        && notes.iter().all(|other| {
            let Some(other_row) = other.row else { return true };
            let line = other.place * width_px;
            let crosses_line = other_row <= row && line > from && line < to;
            // The note's own line goes through the rows below.
            let own_line = note.place * width_px;
            let (other_from, other_to) = span(other, width_px);
            let is_shown = also_wide || !other.wide_only;
            let is_crossed = is_shown && other_row >= row && own_line > other_from && own_line < other_to;
            let touches = is_shown && other_row == row && from < other_to && other_from < to;
            !crosses_line && !is_crossed && !touches
        })
}

/// From where to where a note's text reaches, in pixels.
fn span(note: &Note<'_>, width_px: f64) -> (f64, f64) {
    let at = note.place * width_px;
    let length = columns(&note.text) as f64 * COLUMN_PX + ANNOTATION_GAP_PX;
    if note.is_left { (at - length, at) } else { (at, at + length) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notes_never_touch() {
        let range = TimeRange::new(0, 1_000_000_000);
        let label = "CVE-2026-12345 published";
        let annotations: Vec<Annotation<'_>> = (0..ANNOTATIONS_MAX as i64)
            .map(|index| Annotation { at_ms: index * index * 1_700_000 + index * 1_000_000, label, link: None })
            .collect();
        let notes = place_annotations(range, &annotations);
        assert_eq!(notes.len(), ANNOTATIONS_MAX);
        assert!(notes.iter().filter(|note| note.row.is_some()).count() >= ANNOTATION_ROWS);
        for (width_px, also_wide) in [(NARROW_PX, false), (450.0, true), (WIDE_PX, true), (2000.0, true)] {
            for (index, note) in notes.iter().enumerate() {
                let Some(row) = note.row.filter(|_| also_wide || !note.wide_only) else { continue };
                assert!(is_free(&notes[..index], note, row, width_px, also_wide), "{index} at {width_px}");
                let (from, to) = span(note, width_px);
                assert!(from >= 0.0 && to <= width_px, "{index} at {width_px}: {from} to {to}");
            }
        }
    }
}
