//! Counts over time by the values of some columns: what the lake gives, and what peaks are looked for in.

use std::collections::BTreeMap;
use std::time::Duration;

use komainu_model::Timestamp;

/// The most series of one table: every protocol on every appliance of a large house of products, several times over.
const SERIES_MAX: usize = 10_000;
/// The most buckets of one table: more than two years of hours.
pub const BUCKETS_MAX: usize = 20_000;
/// The most counts of one table, series times buckets; with what is remembered of each, and sums, at most 200 MB.
const COUNTS_MAX: usize = 4_000_000;
/// The most columns by which a table is grouped.
const COLUMNS_MAX: usize = 4;
/// The longest value of a column that names a series, in bytes. Longer ones count in the whole only.
const VALUE_BYTES_MAX: usize = 256;

/// How long a bucket is. It decides what the same time of other weeks is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cadence {
    /// A day; compared with the same day of other weeks.
    Day,
    /// An hour; compared with the same hour of the same day of other weeks.
    Hour,
}

impl Cadence {
    /// How long a bucket is.
    pub const fn width(self) -> Duration {
        match self {
            Self::Day => Duration::from_secs(24 * 3600),
            Self::Hour => Duration::from_secs(3600),
        }
    }
}

/// The values by which rows are grouped, in the order of the table's columns. They may be an attacker's words: data, and
/// nothing else.
pub type Key = Vec<String>;

/// A table cannot be made so large.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CountsError {
    /// It covers too long a time for its cadence.
    #[error("{buckets} buckets of time are asked for, at most {BUCKETS_MAX} can be looked at")]
    TooManyBuckets {
        /// How many were asked for.
        buckets: usize,
    },
    /// It is grouped by too much.
    #[error("{columns} columns are asked for, from 1 to {COLUMNS_MAX} can be looked at")]
    Columns {
        /// How many were asked for.
        columns: usize,
    },
}

/// Counts of consecutive buckets for each key that occurs. A bucket without a row is a count of zero, unless
/// [`Counts::set_missing`] says that nothing was recorded then.
///
/// Holds at most `SERIES_MAX` series and `COUNTS_MAX` counts; a key beyond counts in the whole only.
#[derive(Debug, Clone)]
pub struct Counts {
    pub(crate) columns: Vec<String>,
    pub(crate) cadence: Cadence,
    first: Timestamp,
    pub(crate) missing: Vec<bool>,
    pub(crate) series: BTreeMap<Key, Vec<u64>>,
    pub(crate) total: Vec<u64>,
    left_out: u64,
    outside: u64,
}

impl Counts {
    /// An empty table of `buckets` buckets, of which the first begins at `first`.
    pub fn new(columns: &[&str], cadence: Cadence, first: Timestamp, buckets: usize) -> Result<Self, CountsError> {
        if buckets > BUCKETS_MAX {
            return Err(CountsError::TooManyBuckets { buckets });
        }
        if !(1..=COLUMNS_MAX).contains(&columns.len()) {
            return Err(CountsError::Columns { columns: columns.len() });
        }
        Ok(Self {
            columns: columns.iter().map(|column| (*column).to_owned()).collect(),
            cadence,
            first,
            missing: vec![false; buckets],
            series: BTreeMap::new(),
            total: vec![0; buckets],
            left_out: 0,
            outside: 0,
        })
    }

    /// Adds a row: so many in the bucket in which `at` lies. Rows of one key and bucket add up.
    ///
    /// # Panics
    ///
    /// If the key has another number of values than the table has columns.
    pub fn add(&mut self, at: Timestamp, key: &Key, count: u64) {
        assert_eq!(key.len(), self.columns.len(), "a key has a value for each column");
        let Some(bucket) = self.bucket(at) else {
            self.outside = self.outside.saturating_add(count);
            return;
        };
        self.total[bucket] = self.total[bucket].saturating_add(count);
        if let Some(series) = self.series.get_mut(key) {
            series[bucket] = series[bucket].saturating_add(count);
            return;
        }
        let series_max = SERIES_MAX.min(COUNTS_MAX / self.total.len().max(1));
        if self.series.len() >= series_max || key.iter().any(|value| value.len() > VALUE_BYTES_MAX) {
            self.left_out = self.left_out.saturating_add(count);
            return;
        }
        let mut series = vec![0; self.total.len()];
        series[bucket] = count;
        self.series.insert(key.clone(), series);
    }

    /// Says that nothing was recorded in the bucket in which `at` lies: its zeros are no zeros.
    pub fn set_missing(&mut self, at: Timestamp) {
        if let Some(bucket) = self.bucket(at) {
            self.missing[bucket] = true;
        }
    }

    /// What was counted of keys that found no room: it is in the whole, and not looked at by itself.
    pub fn left_out(&self) -> u64 {
        self.left_out
    }

    /// What was counted before the first bucket or after the last: it is nowhere.
    pub fn outside(&self) -> u64 {
        self.outside
    }

    /// When a bucket begins.
    pub(crate) fn begin_of(&self, bucket: usize) -> Timestamp {
        let width_ms = self.cadence.width().as_millis() as i64;
        Timestamp::from_unix_millis(self.first.unix_millis().saturating_add(bucket as i64 * width_ms))
    }

    fn bucket(&self, at: Timestamp) -> Option<usize> {
        let since_ms = at.unix_millis().checked_sub(self.first.unix_millis())?;
        let bucket = usize::try_from(since_ms.div_euclid(self.cadence.width().as_millis() as i64)).ok()?;
        (bucket < self.total.len()).then_some(bucket)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(hour: i64) -> Timestamp {
        Timestamp::from_unix_seconds(hour * 3600)
    }

    fn key(text: &str) -> Key {
        vec![text.to_owned()]
    }

    #[test]
    fn rows_add_up_in_their_bucket() {
        let mut counts = Counts::new(&["protocol"], Cadence::Hour, at(10), 3).unwrap();
        for (hour, count) in [(10, 1), (10, 2), (12, 4), (9, 8), (13, 16)] {
            counts.add(at(hour), &key("upnp"), count);
        }
        counts.add(Timestamp::from_unix_millis(at(11).unix_millis() - 1), &key("smb"), 32);
        assert_eq!(counts.series[&key("upnp")], [3, 0, 4]);
        assert_eq!(counts.series[&key("smb")], [32, 0, 0]);
        assert_eq!((counts.total.as_slice(), counts.outside()), ([35, 0, 4].as_slice(), 24));
        assert_eq!(counts.begin_of(2), at(12));
    }

    #[test]
    fn what_finds_no_room_is_in_the_whole() {
        let mut counts = Counts::new(&["password"], Cadence::Day, at(0), 2).unwrap();
        for number in 0..SERIES_MAX + 5 {
            counts.add(at(0), &key(&number.to_string()), 1);
        }
        counts.add(at(0), &key(&"x".repeat(VALUE_BYTES_MAX + 1)), 7);
        counts.add(at(0), &key("3"), 1);
        assert_eq!((counts.series.len(), counts.left_out()), (SERIES_MAX, 12));
        assert_eq!(counts.total[0], SERIES_MAX as u64 + 13);
    }

    #[test]
    fn tables_are_bounded() {
        let check = |columns: &[&str], buckets: usize| Counts::new(columns, Cadence::Day, at(0), buckets).is_ok();
        assert!(check(&["a"], BUCKETS_MAX) && check(&["a", "b", "c", "d"], 1) && check(&["a"], 0));
        assert!(!check(&["a"], BUCKETS_MAX + 1) && !check(&[], 1) && !check(&["a"; 5], 1));
        // With as many buckets as there can be, there is room for fewer series.
        let mut counts = Counts::new(&["a"], Cadence::Hour, at(0), BUCKETS_MAX).unwrap();
        for number in 0..COUNTS_MAX / BUCKETS_MAX + 1 {
            counts.add(at(0), &key(&number.to_string()), 1);
        }
        assert_eq!(counts.left_out(), 1);
    }

    #[test]
    fn times_out_of_range_are_no_harm() {
        let mut counts = Counts::new(&["a"], Cadence::Day, Timestamp::from_unix_millis(i64::MIN), 2).unwrap();
        counts.add(Timestamp::from_unix_millis(i64::MAX), &key("x"), u64::MAX);
        counts.add(Timestamp::from_unix_millis(i64::MIN), &key("x"), u64::MAX);
        counts.add(Timestamp::from_unix_millis(i64::MIN), &key("x"), 1);
        counts.set_missing(Timestamp::from_unix_millis(i64::MAX));
        assert_eq!((counts.total[0], counts.outside()), (u64::MAX, u64::MAX));
    }
}
