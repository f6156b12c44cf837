//! Which colour is which series, and which shade which number.

use maud::{Markup, html};

use crate::text::{HOVER_COLUMNS_MAX, visible};
use crate::{Link, number};

/// Shades of the heat map and of the world map, besides that of nothing.
const SHADES: u8 = 7;

/// Columns of a name in a legend.
pub(crate) const LEGEND_COLUMNS_MAX: usize = 28;

/// One name of a legend.
pub(crate) struct Entry<'a> {
    /// The class of the colour.
    pub(crate) class: String,
    pub(crate) label: &'a str,
    /// What is said after it.
    pub(crate) value: Option<String>,
    pub(crate) link: Option<&'a Link>,
}

/// The names under their colours.
pub(crate) fn legend(entries: &[Entry<'_>]) -> Markup {
    html! {
        ul class="k-legend" {
            @for entry in entries {
                li class=(entry.class) title=(visible(entry.label, HOVER_COLUMNS_MAX)) {
                    (Link::around(entry.link, html! { (visible(entry.label, LEGEND_COLUMNS_MAX)) }))
                    @if let Some(value) = &entry.value { " " span class="k-num" { (value) } }
                }
            }
        }
    }
}

/// The class of a series: `k-s1` to `k-s8`, or that of everything else.
pub(crate) fn series_class(index: usize) -> String {
    if index < 8 { format!("k-s{}", index + 1) } else { "k-s0".to_owned() }
}

/// The shade of each number, by its order of magnitude between the smallest and the largest that is not nothing.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Shades {
    smallest: u64,
    largest: u64,
}

impl Shades {
    pub(crate) fn of(numbers: impl Iterator<Item = u64>) -> Self {
        let (mut smallest, mut largest) = (u64::MAX, 0);
        for number in numbers.filter(|number| *number > 0) {
            smallest = smallest.min(number);
            largest = largest.max(number);
        }
        Self { smallest, largest }
    }

    /// From `k-q0`, nothing, to `k-q7`.
    pub(crate) fn class_of(self, number: u64) -> &'static str {
        const CLASSES: [&str; SHADES as usize + 1] = ["k-q0", "k-q1", "k-q2", "k-q3", "k-q4", "k-q5", "k-q6", "k-q7"];
        if number == 0 {
            return CLASSES[0];
        }
        if self.smallest >= self.largest {
            return CLASSES[usize::from(SHADES)];
        }
        let ratio = |number: u64| (number as f64 / self.smallest as f64).ln();
        let place = (ratio(number) / ratio(self.largest)).clamp(0.0, 1.0);
        // At most SHADES - 1 is added.
        CLASSES[1 + (place * f64::from(SHADES)).min(f64::from(SHADES - 1)) as usize]
    }

    /// From which number to which the shades go. Nothing if there is nothing to tell apart.
    pub(crate) fn legend(self) -> Markup {
        let Self { smallest, largest } = self;
        html! {
            @if largest > 0 {
                p class="k-scale" {
                    span { (number::grouped(u128::from(smallest.min(largest)))) }
                    svg width="98" height="10" aria-hidden="true" {
                        @for shade in 1..=SHADES {
                            @let x = (u32::from(shade) - 1) * 14;
                            rect class=(format!("k-q{shade}")) x=(x) width="12" height="10" rx="2" {}
                        }
                    }
                    span { (number::grouped(u128::from(largest))) }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shades_go_by_orders_of_magnitude() {
        let shades = Shades::of([0, 1, 10, 10_000_000].into_iter());
        let check = |number: u64, expected: &str| assert_eq!(shades.class_of(number), expected, "{number}");
        check(0, "k-q0");
        check(1, "k-q1");
        check(11, "k-q2");
        check(10_000_000, "k-q7");
        check(u64::MAX, "k-q7");
        assert_eq!(Shades::of([5, 0, 5].into_iter()).class_of(5), "k-q7");
        assert_eq!(Shades::of([0].into_iter()).class_of(0), "k-q0");
        assert_eq!(Shades::of([u64::MAX, 1].into_iter()).class_of(1 << 32), "k-q4");
    }
}
