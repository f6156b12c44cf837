//! A line so small that it stands in a row of a table.

use maud::{Markup, html};

use crate::layout::{PLANE_HEIGHT, PLANE_WIDTH};
use crate::number;
use crate::path::{BEYOND, Path, unit_x, unit_y};
use crate::text::{HOVER_COLUMNS_MAX, visible};

/// Columns of a sparkline at most; each shows its largest count.
const COLUMNS_MAX: usize = 60;

/// Units between the ends of the scale and the edges: half of a dot.
const INSET: i32 = 42;

/// A small area of counts; where nothing is known, none. `title` says what they are; the largest is said after it.
pub fn sparkline(title: &str, counts: &[Option<u64>]) -> Markup {
    let columns: Vec<Option<u64>> = columns(counts);
    let largest = columns.iter().flatten().max().copied().unwrap_or(0);
    // The largest count is the upper edge, not the end of an axis: there are no ticks to read.
    let depth = |count: u64| 1.0 - count as f64 / largest.max(1) as f64;
    let mut area = Path::default();
    let mut dots = Path::default();
    let place = |column: usize| unit_x((column as f64 + 0.5) / columns.len() as f64);
    let mut column = 0;
    while column < columns.len() {
        let known: Vec<i32> = columns[column..]
            .iter()
            .map_while(|count| count.map(|count| unit_y(depth(count)).clamp(INSET, PLANE_HEIGHT - INSET)))
            .collect();
        let end = column + known.len();
        // As wide as the time that is known; out of the picture at its ends, so that no line is seen there.
        let left = if column == 0 { -BEYOND } else { place(column) };
        let right = if end == columns.len() { PLANE_WIDTH + BEYOND } else { place(end.saturating_sub(1)) };
        match known.as_slice() {
            [] => {}
            [y] => dots.dot((place(column), *y)),
            [first, .., last] => {
                area.move_to((left, PLANE_HEIGHT + BEYOND));
                area.line_to((left, *first));
                known.iter().zip(column..).for_each(|(y, column)| area.line_to((place(column), *y)));
                area.line_to((right, *last));
                area.line_to((right, PLANE_HEIGHT + BEYOND));
                area.close();
            }
        }
        column = end.max(column + 1);
    }
    html! {
        svg class="k-spark k-s1" role="img" preserveAspectRatio="none"
            viewBox=(format!("0 0 {PLANE_WIDTH} {PLANE_HEIGHT}")) {
            title { (visible(title, HOVER_COLUMNS_MAX)) " (≤ " (number::grouped(u128::from(largest))) ")" }
            @if !area.is_empty() { path class="k-area" d=(area.into_text()) {} }
            @if !dots.is_empty() { path class="k-dots" d=(dots.into_text()) {} }
        }
    }
}

fn columns(counts: &[Option<u64>]) -> Vec<Option<u64>> {
    let count = counts.len().min(COLUMNS_MAX);
    (0..count)
        .map(|column| {
            let part = &counts[column * counts.len() / count..(column + 1) * counts.len() / count];
            part.iter().flatten().max().copied()
        })
        .collect()
}
