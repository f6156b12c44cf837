//! Regular contacts.

use std::collections::BTreeMap;

/// So many intervals make a period.
const INTERVALS_MIN: usize = 3;
/// The shortest period: below it, contacts are one conversation or a loop of tries.
const PERIOD_MIN_US: u64 = 900_000;
/// So many contacts in a row may be missed.
const MISSED_MAX: u64 = 2;
/// How far intervals may be off in the middle, in thousandths of the period.
const JITTER_PERMILLE_MAX: u64 = 250;

/// A regular contact.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Beacon {
    /// The time between two contacts, in milliseconds.
    pub period_ms: u64,
    /// How far the middle one of the intervals is off, in thousandths of the period.
    pub jitter_permille: u64,
    /// How many intervals were seen.
    pub intervals: u64,
}

impl Beacon {
    /// The period in seconds, without needless digits.
    pub fn period_s(&self) -> String {
        let tenths = (self.period_ms + 50) / 100;
        if self.period_ms >= 10_000 || tenths.is_multiple_of(10) {
            ((self.period_ms + 500) / 1000).to_string()
        } else {
            format!("{}.{}", tenths / 10, tenths % 10)
        }
    }
}

/// The period of contacts at these times, in microseconds, run by run.
///
/// The period is the median of the intervals, which single late or early contacts do not move. An interval that is a
/// multiple of it, because contacts in between were missed, counts as that many.
pub(super) fn of(runs: &BTreeMap<u16, Vec<u64>>) -> Option<Beacon> {
    let mut intervals: Vec<u64> = Vec::new();
    for times in runs.values() {
        let mut times = times.clone();
        times.sort_unstable();
        // Contacts within a moment are one: a retry, or a request in two parts.
        times.dedup_by(|later, earlier| later.abs_diff(*earlier) < PERIOD_MIN_US / 3);
        intervals.extend(times.windows(2).map(|pair| pair[1] - pair[0]));
    }
    if intervals.len() < INTERVALS_MIN {
        return None;
    }
    let period = median(&mut intervals);
    if period < PERIOD_MIN_US {
        return None;
    }
    let mut off: Vec<u64> = intervals
        .iter()
        .map(|interval| {
            let periods = ((interval + period / 2) / period).max(1);
            // A long silence fits some multiple of any period, and says nothing for it.
            if periods > MISSED_MAX + 1 { period } else { interval.abs_diff(periods * period) }
        })
        .collect();
    let jitter_permille = median(&mut off).saturating_mul(1000) / period;
    (jitter_permille <= JITTER_PERMILLE_MAX).then_some(Beacon {
        period_ms: period / 1000,
        jitter_permille,
        intervals: intervals.len() as u64,
    })
}

/// The middle one; of a list that is not empty.
fn median(values: &mut [u64]) -> u64 {
    values.sort_unstable();
    values.get(values.len() / 2).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(seconds: &[f64], period_ms: Option<u64>) {
        let times = seconds.iter().map(|s| (s * 1e6) as u64).collect();
        assert_eq!(of(&BTreeMap::from([(0, times)])).map(|beacon| beacon.period_ms), period_ms, "{seconds:?}");
    }

    #[test]
    fn periods_are_found() {
        check(&[0.0, 10.0, 20.0, 30.0], Some(10_000));
        // One late, one missed.
        check(&[0.0, 10.0, 20.5, 30.0, 50.0, 60.0], Some(10_000));
        // Each contact twice within a moment.
        check(&[0.0, 0.01, 5.0, 5.01, 10.0, 10.01, 15.0], Some(5_000));
    }

    #[test]
    fn what_is_not_regular_has_no_period() {
        check(&[], None);
        check(&[0.0, 10.0, 20.0], None);
        check(&[0.0, 1.0, 9.0, 11.0, 31.0, 34.0], None);
        check(&[0.0, 0.1, 0.2, 0.3, 0.4, 0.5], None);
    }

    #[test]
    fn periods_are_said_without_needless_digits() {
        let say = |period_ms| Beacon { period_ms, jitter_permille: 0, intervals: 3 }.period_s();
        assert_eq!([say(60_003), say(2_500), say(2_999), say(10_400)], ["60", "2.5", "3", "10"]);
    }
}
