//! Whether two series rise and fall together, such as attacks and samples per day.
//!
//! Spearman's rank correlation: only which day had more counts, so that one day of a million does not decide. Its interval is
//! that of Fisher's transformation with the variance that Bonett and Wright give for ranks (Psychometrika 65, 2000).

use std::fmt;

/// With fewer days nothing is said: the interval would reach from opposite to equal.
const DAYS_MIN: usize = 20;
/// Below this a relation is weak, from [`STRONG`] on strong.
const WEAK: f64 = 0.3;
/// From this on a relation is strong.
const STRONG: f64 = 0.7;

/// How two series are related.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum SeriesRelation {
    /// There are too few days to say.
    TooFewDays {
        /// So many there are.
        days: usize,
    },
    /// One of both is the same on every day.
    Constant {
        /// So many days there are.
        days: usize,
    },
    /// It can be said.
    Ranked {
        /// So many days there are.
        days: usize,
        /// The rank correlation, from -1 to 1.
        correlation: f64,
        /// Where the true one lies, for 95 of 100 such pairs of series.
        interval: (f64, f64),
    },
}

impl SeriesRelation {
    /// The relation of two series with a value for each day.
    pub fn of(pairs: &[(u64, u64)]) -> Self {
        let days = pairs.len();
        if days < DAYS_MIN {
            return Self::TooFewDays { days };
        }
        let ranks = [ranks(pairs.iter().map(|pair| pair.0)), ranks(pairs.iter().map(|pair| pair.1))];
        let mean = (days as f64 + 1.0) / 2.0;
        let product = |one: &[f64], other: &[f64]| -> f64 {
            one.iter().zip(other).map(|(one, other)| (one - mean) * (other - mean)).sum()
        };
        let spread = (product(&ranks[0], &ranks[0]) * product(&ranks[1], &ranks[1])).sqrt();
        if spread == 0.0 {
            return Self::Constant { days };
        }
        let correlation = (product(&ranks[0], &ranks[1]) / spread).clamp(-1.0, 1.0);
        // At exactly 1 the transformation has no end.
        let place = correlation.clamp(-0.999_999, 0.999_999).atanh();
        let reach = 1.96 * ((1.0 + correlation * correlation / 2.0) / (days as f64 - 3.0)).sqrt();
        Self::Ranked { days, correlation, interval: ((place - reach).tanh(), (place + reach).tanh()) }
    }
}

/// What it means, with no word about what causes what.
impl fmt::Display for SeriesRelation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (days, correlation, (low, high)) = match self {
            Self::TooFewDays { days } => return write!(f, "{days} days are too few to say; {DAYS_MIN} are needed"),
            Self::Constant { days } => {
                return write!(f, "nothing can be said: one of both is the same on all of {days} days");
            }
            Self::Ranked { days, correlation, interval } => (days, *correlation, *interval),
        };
        let strength = match correlation.abs() {
            size if size < WEAK => "weakly",
            size if size < STRONG => "clearly",
            _ => "closely",
        };
        match (low, high) {
            (low, high) if low <= 0.0 && high >= 0.0 => {
                f.write_str("days with more of one are not days with more of the other, as far as can be seen")?;
            }
            (low, _) if low > 0.0 => write!(f, "days with more of one tend to have more of the other, {strength}")?,
            _ => write!(f, "days with more of one tend to have less of the other, {strength}")?,
        }
        write!(f, " (rank correlation {correlation:.2}, {low:.2} to {high:.2}, {days} days)")
    }
}

/// The rank of each value; equal ones share the mean of theirs.
fn ranks(values: impl Iterator<Item = u64>) -> Vec<f64> {
    let mut order: Vec<(u64, usize)> = values.zip(0..).collect();
    order.sort_unstable();
    let mut ranks = vec![0.0; order.len()];
    let mut begin = 0;
    for equal in order.chunk_by(|one, other| one.0 == other.0) {
        let rank = begin as f64 + (equal.len() as f64 + 1.0) / 2.0;
        for (_, place) in equal {
            ranks[*place] = rank;
        }
        begin += equal.len();
    }
    ranks
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(days: u64, pair: impl Fn(u64) -> (u64, u64), expected: &str) {
        let pairs: Vec<_> = (0..days).map(pair).collect();
        assert_eq!(SeriesRelation::of(&pairs).to_string(), expected);
    }

    #[test]
    fn sentences() {
        check(19, |day| (day, day), "19 days are too few to say; 20 are needed");
        check(30, |day| (day, 5), "nothing can be said: one of both is the same on all of 30 days");
        check(
            30,
            |day| (day, day * day * 1000),
            "days with more of one tend to have more of the other, closely (rank correlation 1.00, 1.00 to 1.00, 30 days)",
        );
        check(
            30,
            |day| (day, u64::MAX - day),
            "days with more of one tend to have less of the other, closely (rank correlation -1.00, -1.00 to -1.00, 30 days)",
        );
        check(
            100,
            |day| (day * 37 % 101, day * 59 % 97),
            "days with more of one are not days with more of the other, as far as can be seen \
             (rank correlation 0.03, -0.17 to 0.22, 100 days)",
        );
    }

    #[test]
    fn equal_values_share_their_rank() {
        assert_eq!(ranks([5, 1, 5, 9, 5].into_iter()), [3.0, 1.0, 3.0, 5.0, 3.0]);
        assert_eq!(ranks([].into_iter()), [0.0; 0]);
    }
}
