//! The two axes of a chart: where ticks stand, and what is written at them.

use crate::Language;
use crate::calendar::{DAY_MS, Date, HOUR_MS, MINUTE_MS, TimeRange, clock, month_ms};
use crate::layout::{NARROW_PX, WIDE_PX};

/// Ticks of an axis of time at most: each then has 64 px at [`WIDE_PX`], and `09 Nov` takes 40.
const TIME_TICKS_MAX: i64 = 10;

/// The room that a label on the axis of time needs, in pixels.
const TIME_LABEL_PX: f64 = 52.0;

/// Steps of an axis of numbers at most; one more where it reaches below nothing.
const NUMBER_STEPS: f64 = 5.0;

/// Values are kept below this, so that no calculation with them overflows. Nothing that is measured is as large.
pub(crate) const VALUE_MAX: f64 = 1e30;

/// The axis of values: from `low` to `high`, both of which are ticks.
#[derive(Debug, Clone)]
pub(crate) struct NumberAxis {
    low: f64,
    high: f64,
    pub(crate) ticks: Vec<f64>,
}

impl NumberAxis {
    /// For counts up to `max`: from nothing, in whole steps.
    pub(crate) fn of_counts(max: f64) -> Self {
        let max = if max.is_finite() { max.clamp(0.0, VALUE_MAX) } else { 0.0 };
        Self::with_step(0.0, max.max(1.0), nice(max.max(1.0) / NUMBER_STEPS).max(1.0))
    }

    /// For measured values: nothing always belongs to it, or small changes of a large value would look like large ones.
    pub(crate) fn of_values(values: impl Iterator<Item = f64>) -> Self {
        let (mut low, mut high) = (0.0f64, 0.0f64);
        for value in values.filter(|value| value.is_finite()) {
            low = low.min(value.max(-VALUE_MAX));
            high = high.max(value.min(VALUE_MAX));
        }
        if high - low < 1e-12 {
            high = low + 1.0;
        }
        Self::with_step(low, high, nice((high - low) / NUMBER_STEPS))
    }

    fn with_step(low: f64, high: f64, step: f64) -> Self {
        let (first, last) = ((low / step).floor(), (high / step).ceil());
        // A step is at least a fifth of the way: there are a handful.
        let count = (last - first) as usize;
        let ticks = (0..=count).map(|index| (first + index as f64) * step).collect();
        Self { low: first * step, high: last * step, ticks }
    }

    /// How far below the upper edge a value lies: 0 is the upper edge, 1 the lower.
    pub(crate) fn depth_of(&self, value: f64) -> f64 {
        let value = if value.is_nan() { self.low } else { value };
        1.0 - ((value - self.low) / (self.high - self.low)).clamp(0.0, 1.0)
    }
}

/// The next of 1, 2, 2.5 and 5 times a power of ten. 2.5 is no step between whole numbers, so that below 10 it is not
/// used.
fn nice(step: f64) -> f64 {
    let power = 10f64.powf(step.log10().floor());
    let factor = step / power;
    // A factor that is a hair above its step, because a power of ten is no exact number, is that step.
    let fits = |candidate: f64| factor <= candidate * (1.0 + 1e-9);
    let candidates: &[f64] = if power == 1.0 { &[1.0, 2.0, 5.0] } else { &[1.0, 2.0, 2.5, 5.0] };
    power * candidates.iter().copied().find(|candidate| fits(*candidate)).unwrap_or(10.0)
}

/// A label on the axis of time.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct TimeTick {
    /// Between 0 and 1.
    pub(crate) place: f64,
    pub(crate) label: String,
    pub(crate) room: Room,
}

/// In which charts there is room for a label.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Room {
    /// In every one, also in the third of a page.
    Tiny,
    /// From a phone's width on.
    Narrow,
    /// In wide ones.
    Wide,
}

/// The ticks of a range: at round times, few enough not to touch.
pub(crate) fn time_ticks(range: TimeRange, language: Language) -> Vec<TimeTick> {
    let step = TimeStep::for_length(range.length_ms());
    let times = step.times(range);
    let spacing_px = NARROW_PX * step.length_ms() as f64 / range.length_ms() as f64;
    let every = (TIME_LABEL_PX / spacing_px).ceil().clamp(1.0, 1000.0) as usize;
    times
        .into_iter()
        .enumerate()
        .map(|(index, time_ms)| TimeTick {
            place: range.place_of(time_ms),
            label: step.label(time_ms, language),
            room: match index % (2 * every) {
                0 => Room::Tiny,
                within if within == every => Room::Narrow,
                _ => Room::Wide,
            },
        })
        .collect()
}

/// How far ticks stand apart.
#[derive(Debug, Clone, Copy)]
enum TimeStep {
    /// Milliseconds; parts of a day.
    Clock(i64),
    Days(i64),
    Months(i64),
}

impl TimeStep {
    fn for_length(length_ms: i64) -> Self {
        const STEPS: [TimeStep; 29] = [
            TimeStep::Clock(1000),
            TimeStep::Clock(10_000),
            TimeStep::Clock(MINUTE_MS),
            TimeStep::Clock(2 * MINUTE_MS),
            TimeStep::Clock(5 * MINUTE_MS),
            TimeStep::Clock(10 * MINUTE_MS),
            TimeStep::Clock(15 * MINUTE_MS),
            TimeStep::Clock(30 * MINUTE_MS),
            TimeStep::Clock(HOUR_MS),
            TimeStep::Clock(2 * HOUR_MS),
            TimeStep::Clock(3 * HOUR_MS),
            TimeStep::Clock(6 * HOUR_MS),
            TimeStep::Clock(12 * HOUR_MS),
            TimeStep::Days(1),
            TimeStep::Days(2),
            TimeStep::Days(7),
            TimeStep::Days(14),
            TimeStep::Months(1),
            TimeStep::Months(2),
            TimeStep::Months(3),
            TimeStep::Months(6),
            TimeStep::Months(12),
            TimeStep::Months(24),
            TimeStep::Months(60),
            TimeStep::Months(120),
            TimeStep::Months(240),
            TimeStep::Months(600),
            TimeStep::Months(1200),
            TimeStep::Months(6000),
        ];
        let fits = |step: &TimeStep| length_ms / step.length_ms() <= TIME_TICKS_MAX;
        STEPS.into_iter().find(fits).unwrap_or(Self::Months(12_000))
    }

    fn length_ms(self) -> i64 {
        match self {
            Self::Clock(step_ms) => step_ms,
            Self::Days(days) => days * DAY_MS,
            Self::Months(months) => months * 30 * DAY_MS,
        }
    }

    /// The round times in the range. There are few: the step was chosen so.
    fn times(self, range: TimeRange) -> Vec<i64> {
        /// 1970 began on a Thursday: weeks begin four days after that.
        const MONDAY_MS: i64 = 4 * DAY_MS;
        let at = |index: i64| match self {
            Self::Clock(step_ms) => index * step_ms,
            Self::Days(days) => MONDAY_MS + index * days * DAY_MS,
            Self::Months(months) => month_ms(index * months),
        };
        let start = match self {
            Self::Months(months) => Date::at(range.from_ms()).year * 12 / months,
            Self::Clock(step_ms) => range.from_ms() / step_ms,
            Self::Days(days) => (range.from_ms() - MONDAY_MS).div_euclid(days * DAY_MS),
        };
        (start..)
            .map(at)
            .skip_while(|time_ms| *time_ms < range.from_ms())
            .take_while(|time| range.holds(*time))
            .collect()
    }

    fn label(self, time_ms: i64, language: Language) -> String {
        let Date { year, month, day } = Date::at(time_ms);
        match self {
            Self::Clock(_) if time_ms % DAY_MS != 0 => clock(time_ms),
            Self::Clock(_) | Self::Days(_) => language.day(month, day),
            Self::Months(_) if month != 1 => language.month(month).to_owned(),
            Self::Months(_) => language.year(year),
        }
    }
}

const _: () = assert!(WIDE_PX / TIME_TICKS_MAX as f64 > TIME_LABEL_PX, "labels have room in a wide chart");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_axis_of_counts_has_round_whole_steps() {
        let check = |max: f64, expected: &[f64]| assert_eq!(NumberAxis::of_counts(max).ticks, expected, "{max}");
        check(0.0, &[0.0, 1.0]);
        check(1.0, &[0.0, 1.0]);
        check(3.0, &[0.0, 1.0, 2.0, 3.0]);
        check(9.0, &[0.0, 2.0, 4.0, 6.0, 8.0, 10.0]);
        check(100.0, &[0.0, 20.0, 40.0, 60.0, 80.0, 100.0]);
        check(120.0, &[0.0, 25.0, 50.0, 75.0, 100.0, 125.0]);
        check(2130.0, &[0.0, 500.0, 1000.0, 1500.0, 2000.0, 2500.0]);
        check(f64::NAN, &[0.0, 1.0]);
    }

    #[test]
    fn an_axis_of_values_holds_nothing_and_all_of_them() {
        let check = |values: &[f64], expected: &str| {
            let ticks = NumberAxis::of_values(values.iter().copied()).ticks;
            assert_eq!(
                ticks.into_iter().map(crate::number::short).collect::<Vec<_>>().join(" "),
                expected,
                "{values:?}"
            );
        };
        check(&[], "0 0.2 0.4 0.6 0.8 1");
        check(&[0.0, 0.0], "0 0.2 0.4 0.6 0.8 1");
        check(&[-3.0, 7.0], "−4 −2 0 2 4 6 8");
        check(&[-0.4], "−0.4 −0.3 −0.2 −0.1 0");
        check(&[f64::NAN, 0.4], "0 0.1 0.2 0.3 0.4");
        for axis in [NumberAxis::of_values([f64::MAX, f64::MIN].into_iter()), NumberAxis::of_counts(f64::MAX)] {
            assert!(axis.ticks.len() < 12 && axis.ticks.iter().all(|tick| tick.is_finite()));
        }
    }

    #[test]
    fn every_length_of_time_has_a_few_round_ticks() {
        let from_ms = 1_794_182_400_000;
        let check = |length_ms: i64, expected: &str| {
            let ticks = time_ticks(TimeRange::new(from_ms, from_ms + length_ms), Language::English);
            let labels: Vec<&str> = ticks.iter().map(|tick| tick.label.as_str()).collect();
            assert_eq!(labels.join(" | "), expected);
        };
        check(HOUR_MS, "09 Nov | 00:10 | 00:20 | 00:30 | 00:40 | 00:50");
        check(DAY_MS, "09 Nov | 03:00 | 06:00 | 09:00 | 12:00 | 15:00 | 18:00 | 21:00");
        check(14 * DAY_MS, "09 Nov | 11 Nov | 13 Nov | 15 Nov | 17 Nov | 19 Nov | 21 Nov");
        check(90 * DAY_MS, "09 Nov | 23 Nov | 07 Dec | 21 Dec | 04 Jan | 18 Jan | 01 Feb");
        check(730 * DAY_MS, "2027 | Apr | Jul | Oct | 2028 | Apr | Jul | Oct");
    }

    #[test]
    fn ticks_never_touch() {
        let mut length_ms = 1000;
        while length_ms < 8000 * 365 * DAY_MS {
            let ticks = time_ticks(TimeRange::new(1_794_182_400_123, 1_794_182_400_123 + length_ms), Language::English);
            assert!(ticks.len() <= 12, "{length_ms}");
            for pair in ticks.windows(2) {
                assert!((pair[1].place - pair[0].place) * WIDE_PX >= TIME_LABEL_PX - 8.0, "{length_ms}");
            }
            let narrow: Vec<&TimeTick> = ticks.iter().filter(|tick| tick.room != Room::Wide).collect();
            for pair in narrow.windows(2) {
                assert!((pair[1].place - pair[0].place) * NARROW_PX >= TIME_LABEL_PX - 8.0, "{length_ms}");
            }
            length_ms = length_ms * 13 / 10;
        }
    }
}
