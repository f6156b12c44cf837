//! Two periods or two products beside each other: what is new, gone, more or less, and what may be chance.
//!
//! **The rule.** If nothing changed, how the sum of both counts divides among the sides is left to chance, as if a coin that is
//! weighted by their exposures were thrown for each. From how it did divide, Wilson's interval (Journal of the American
//! Statistical Association 22, 1927) says between which ratios the true one lies for 999 of 1,000 such divisions; with
//! hundreds of rows, less would call something a change in every table. What comes in clumps is thrown by the clump. A change
//! is real if the interval leaves 1 out and the ratio is far enough from 1 to matter.

use std::collections::BTreeMap;
use std::fmt;

use crate::counts::Key;

/// The most rows of a table; those that matter least are summed up.
const ROWS_MAX: usize = 10_000;
/// Half of the width of the interval in spreads: 999 of 1,000.
const SPREADS: f64 = 3.29;
/// A rate that differs by less than this is as good as equal, however sure.
const RATIO_MIN: f64 = 1.1;

/// One side of a comparison.
#[derive(Debug, Clone, Copy)]
pub struct Side<'a> {
    /// The counts of it; those of one key add up.
    pub counts: &'a [(Key, u64)],
    /// For how much it was counted, in a unit that both sides share: days, or days times devices. Above zero.
    pub exposure: f64,
}

/// How sure a comparison has to be.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rule {
    /// How many of what is counted come together for one reason: attempts of one visit, visits of one scan. With 1 each is by
    /// itself. Larger values call less a change.
    pub clumping: f64,
}

impl Default for Rule {
    /// Four: a visit makes about four events.
    fn default() -> Self {
        Self { clumping: 4.0 }
    }
}

/// What became of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Change {
    /// Only on the second side, and too many for chance.
    New,
    /// Only on the first side, and too many for chance.
    Gone,
    /// More on the second side.
    Risen,
    /// Less on the second side.
    Fallen,
    /// May be chance, or too little to matter.
    Chance,
}

/// One key on both sides.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// Which.
    pub key: Key,
    /// The counts of both sides.
    pub counts: (u64, u64),
    /// What share of its side each is, 0 to 1.
    pub shares: (f64, f64),
    /// How many more the second side has than the first would have in its exposure.
    pub difference: f64,
    /// The second rate over the first; `None` if the first is zero.
    pub ratio: Option<f64>,
    /// Between which ratios the true one lies, as far as chance goes.
    pub ratio_interval: (f64, f64),
    /// What became of it.
    pub change: Change,
}

/// In a sentence: `2.5 times as many (2.1 to 3.0)`.
impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (low, high) = self.ratio_interval;
        match (self.change, self.ratio) {
            (Change::New, _) => write!(f, "new: {}", self.counts.1),
            (Change::Gone, _) => write!(f, "gone: were {}", self.counts.0),
            (Change::Chance, None) => write!(f, "{} where there was none; may be chance", self.counts.1),
            (Change::Chance, Some(ratio)) => {
                write!(f, "{ratio:.1} times as many ({low:.1} to {high:.1}); no change to speak of")
            }
            (Change::Risen | Change::Fallen, ratio) => {
                write!(f, "{:.1} times as many ({low:.1} to {high:.1})", ratio.unwrap_or_default())
            }
        }
    }
}

/// Both sides beside each other.
#[derive(Debug, Clone, PartialEq)]
pub struct Comparison {
    /// The sums of both sides, as a row without a key.
    pub total: Row,
    /// Changes first, those that make most of the difference ahead; then what may be chance, in the same order.
    pub rows: Vec<Row>,
    /// So many rows are left out at the bound.
    pub rows_left_out: usize,
}

/// A comparison cannot be made.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
pub enum ComparisonError {
    /// A side was not exposed at all, or the exposure is no number.
    #[error("cannot compare with an exposure of {0}: it has to be a number above zero")]
    Exposure(f64),
    /// The clumping is no number from 1 on.
    #[error("cannot compare with a clumping of {0}: it has to be a number from 1 on")]
    Clumping(f64),
}

/// Puts two sides beside each other.
pub fn compare(first: Side<'_>, second: Side<'_>, rule: Rule) -> Result<Comparison, ComparisonError> {
    for exposure in [first.exposure, second.exposure] {
        if !(exposure.is_finite() && exposure > 0.0) {
            return Err(ComparisonError::Exposure(exposure));
        }
    }
    if !(rule.clumping.is_finite() && rule.clumping >= 1.0) {
        return Err(ComparisonError::Clumping(rule.clumping));
    }
    let mut counts: BTreeMap<&Key, (u64, u64)> = BTreeMap::new();
    for (key, count) in first.counts {
        let known = &mut counts.entry(key).or_default().0;
        *known = known.saturating_add(*count);
    }
    for (key, count) in second.counts {
        let known = &mut counts.entry(key).or_default().1;
        *known = known.saturating_add(*count);
    }
    let sum =
        |sums: (u64, u64), counts: &(u64, u64)| (sums.0.saturating_add(counts.0), sums.1.saturating_add(counts.1));
    let sums = counts.values().fold((0, 0), sum);
    let exposure = second.exposure / first.exposure;
    let row = |key: Key, counts: (u64, u64)| row(key, counts, sums, exposure, rule);
    let mut rows: Vec<Row> = counts.iter().map(|(key, counts)| row((*key).clone(), *counts)).collect();
    rows.retain(|row| row.counts != (0, 0));
    rows.sort_by(|one, other| {
        let is_chance = |row: &Row| row.change == Change::Chance;
        let by_size = other.difference.abs().total_cmp(&one.difference.abs());
        is_chance(one).cmp(&is_chance(other)).then(by_size).then_with(|| one.key.cmp(&other.key))
    });
    let rows_left_out = rows.len().saturating_sub(ROWS_MAX);
    rows.truncate(ROWS_MAX);
    Ok(Comparison { total: row(Key::new(), sums), rows, rows_left_out })
}

fn row(key: Key, counts: (u64, u64), sums: (u64, u64), exposure: f64, rule: Rule) -> Row {
    let (first, second) = (counts.0 as f64, counts.1 as f64);
    let share = |count: f64, sum: u64| if sum == 0 { 0.0 } else { count / sum as f64 };
    let ratio_interval = ratio_interval(first, second, exposure, rule);
    let ratio = (counts.0 > 0).then(|| second / first / exposure);
    let matters = |ratio: f64| !(1.0 / RATIO_MIN..=RATIO_MIN).contains(&ratio);
    let is_chance = ratio_interval.0 <= 1.0 && ratio_interval.1 >= 1.0 || !ratio.is_none_or(matters);
    let change = match counts {
        _ if is_chance => Change::Chance,
        (0, _) => Change::New,
        (_, 0) => Change::Gone,
        _ if ratio_interval.0 > 1.0 => Change::Risen,
        _ => Change::Fallen,
    };
    Row {
        key,
        counts,
        shares: (share(first, sums.0), share(second, sums.1)),
        difference: second - first * exposure,
        ratio,
        ratio_interval,
        change,
    }
}

/// Between which ratios the true one lies; from zero to infinity if nothing was counted.
fn ratio_interval(first: f64, second: f64, exposure: f64, rule: Rule) -> (f64, f64) {
    let throws = (first + second) / rule.clumping;
    if throws == 0.0 {
        return (0.0, f64::INFINITY);
    }
    let share = second / (first + second);
    let square = SPREADS * SPREADS / throws;
    let middle = (share + square / 2.0) / (1.0 + square);
    let reach = (share * (1.0 - share) * square + square * square / 4.0).sqrt() / (1.0 + square);
    let ratio = |share: f64| share / (1.0 - share) / exposure;
    // At the ends the interval ends exactly; a sum of floating-point numbers need not.
    let low = if second == 0.0 { 0.0 } else { ratio((middle - reach).max(0.0)) };
    let high = if first == 0.0 { f64::INFINITY } else { ratio((middle + reach).min(1.0)) };
    (low, high)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(rows: &[(&str, u64)]) -> Vec<(Key, u64)> {
        rows.iter().map(|(key, count)| (vec![(*key).to_owned()], *count)).collect()
    }

    #[track_caller]
    fn check(first: &[(&str, u64)], second: &[(&str, u64)], days: (f64, f64), expected: &[(&str, Change, &str)]) {
        let (first, second) = (counts(first), counts(second));
        let side = |counts, exposure| Side { counts, exposure };
        let comparison = compare(side(&first, days.0), side(&second, days.1), Rule::default()).unwrap();
        let told: Vec<_> =
            comparison.rows.iter().map(|row| (row.key[0].as_str(), row.change, row.to_string())).collect();
        let told: Vec<_> = told.iter().map(|(key, change, text)| (*key, *change, text.as_str())).collect();
        assert_eq!(told, expected);
    }

    #[test]
    fn changes_are_told_apart_from_chance() {
        check(
            &[
                ("telnet", 10_000),
                ("http", 5_000),
                ("smb", 3_000),
                ("coap", 3),
                ("ftp", 900),
                ("dns", 0),
                ("ssh", 1000),
            ],
            &[
                ("telnet", 10_200),
                ("http", 9_000),
                ("smb", 1_000),
                ("coap", 6),
                ("mqtt", 700),
                ("rtsp", 2),
                ("ssh", 1050),
            ],
            (30.0, 30.0),
            &[
                ("http", Change::Risen, "1.8 times as many (1.6 to 2.0)"),
                ("smb", Change::Fallen, "0.3 times as many (0.3 to 0.4)"),
                ("ftp", Change::Gone, "gone: were 900"),
                ("mqtt", Change::New, "new: 700"),
                ("telnet", Change::Chance, "1.0 times as many (0.9 to 1.1); no change to speak of"),
                ("ssh", Change::Chance, "1.1 times as many (0.8 to 1.4); no change to speak of"),
                ("coap", Change::Chance, "2.0 times as many (0.1 to 47.2); no change to speak of"),
                ("rtsp", Change::Chance, "2 where there was none; may be chance"),
            ],
        );
    }

    #[test]
    fn periods_of_unequal_length_are_compared_by_rate() {
        check(
            &[("a", 1000)],
            &[("a", 2000)],
            (30.0, 60.0),
            &[("a", Change::Chance, "1.0 times as many (0.8 to 1.3); no change to speak of")],
        );
        check(&[("a", 1000)], &[("a", 1000)], (30.0, 60.0), &[("a", Change::Fallen, "0.5 times as many (0.4 to 0.7)")]);
    }

    #[test]
    fn shares_and_differences() {
        let (first, second) = (counts(&[("a", 60), ("a", 20), ("b", 20)]), counts(&[("a", 300), ("b", 100)]));
        let side = |counts, exposure| Side { counts, exposure };
        let comparison = compare(side(&first, 1.0), side(&second, 2.0), Rule { clumping: 1.0 }).unwrap();
        let row = &comparison.rows[0];
        assert_eq!((row.counts, row.shares, row.difference), ((80, 300), (0.8, 0.75), 140.0));
        assert_eq!((comparison.total.counts, comparison.total.ratio), ((100, 400), Some(2.0)));
    }

    /// Two halves of the same thing: hardly a row of 5,000 is called a change.
    #[test]
    fn equal_sides_have_no_changes() {
        let mut state = 1_u64;
        let mut is_counted = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            state >> 63 == 1
        };
        let mut side = || -> Vec<(Key, u64)> {
            let mut count = |row: u64| (0..2 + row % 200 * 2).filter(|_| is_counted()).count() as u64;
            (0..5000).map(|row| (vec![row.to_string()], count(row))).collect()
        };
        let (first, second) = (side(), side());
        let side = |counts| Side { counts, exposure: 1.0 };
        let comparison = compare(side(&first), side(&second), Rule { clumping: 1.0 }).unwrap();
        let changes = comparison.rows.iter().filter(|row| row.change != Change::Chance).count();
        assert!(changes <= 5, "{changes}");
    }

    #[test]
    fn what_cannot_be_compared_is_refused() {
        let side = |exposure| Side { counts: &[], exposure };
        for exposure in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            assert!(compare(side(1.0), side(exposure), Rule::default()).is_err());
        }
        assert!(compare(side(1.0), side(1.0), Rule { clumping: 0.5 }).is_err());
        let empty = compare(side(1.0), side(1.0), Rule::default()).unwrap();
        assert_eq!((empty.rows.len(), empty.total.change), (0, Change::Chance));
        let most = counts(&[("a", u64::MAX), ("b", u64::MAX)]);
        assert!(compare(Side { counts: &most, exposure: 1.0 }, side(1.0), Rule::default()).is_ok());
    }
}
