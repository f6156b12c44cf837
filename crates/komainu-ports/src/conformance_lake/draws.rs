//! Rows and questions by chance: equal seeds, equal draws.

use komainu_model::Timestamp;

use super::{Row, at_of, collected, name};
use crate::lake::{
    FILTER_VALUES_MAX, Lake, LakeAppended, LakeFilter, LakeKind, LakeQuestion, LakeRows, LakeTable, LakeTest,
    LakeValue, TimeBucket, TimeRange,
};

/// Numbers by chance, of the generator that is called SplitMix64.
pub(super) struct Draws(u64);

impl Draws {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub(super) fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }

    /// Some numbers come much more often than others, as addresses and passwords do.
    fn often_small(&mut self, bound: usize) -> usize {
        let bound = 1 + self.below(bound);
        self.below(bound)
    }

    fn one_in(&mut self, times: usize) -> bool {
        self.below(times) == 0
    }
}

/// 2026-03-01, where the months of the rows have their middle.
pub(super) fn middle() -> Timestamp {
    Timestamp::from_unix_seconds(1_772_323_200)
}

const DAY_MS: i64 = 86_400_000;

/// The days of the rows, around the middle.
const DAYS: usize = 300;

/// Rows of all tables, in batches.
pub(super) struct SomeRows {
    pub(super) batches: Vec<Vec<LakeRows>>,
    rows: Vec<(LakeTable, Row)>,
}

impl SomeRows {
    pub(super) fn drawn(seed: u64) -> Self {
        let mut draws = Draws::new(seed);
        let mut some = Self { batches: Vec::new(), rows: Vec::new() };
        for _ in 0..9 {
            let mut batch = Vec::new();
            for table in LakeTable::ALL {
                let count = [0, 1, 60, 200][draws.below(4)];
                let rows: Vec<Row> = (0..count).map(|_| draws.row(table)).collect();
                batch.push(collected(table, &rows));
                some.rows.extend(rows.into_iter().map(|row| (table, row)));
            }
            some.batches.push(batch);
        }
        for table in LakeTable::ALL {
            let rows: Vec<Row> = (0..20).map(|_| draws.row(table)).collect();
            some.batches.push(vec![collected(table, &rows)]);
            some.rows.extend(rows.into_iter().map(|row| (table, row)));
        }
        some
    }

    pub(super) fn bring(&self, lake: &dyn Lake, stream: &str) {
        for (sequence, batch) in self.batches.iter().enumerate() {
            assert_eq!(lake.append(&name(stream, sequence as u64), batch).unwrap(), LakeAppended::New);
        }
    }

    pub(super) fn all(&self) -> impl Iterator<Item = &(LakeTable, Row)> {
        self.rows.iter()
    }

    pub(super) fn of_table(&self, table: LakeTable) -> impl Iterator<Item = &Row> {
        self.rows.iter().filter(move |(of, _)| *of == table).map(|(_, row)| row)
    }

    pub(super) fn meant(
        &self,
        table: LakeTable,
        range: TimeRange,
        filters: &[LakeFilter],
    ) -> impl Iterator<Item = &Row> {
        self.of_table(table).filter(move |row| {
            let at = at_of(row);
            range.from <= at
                && at < range.to
                && filters.iter().all(|filter| is_meant(&row[filter.column], &filter.test))
        })
    }
}

/// What a test says, once more and in other words than [`LakeTest::holds`] has.
fn is_meant(value: &LakeValue, test: &LakeTest) -> bool {
    let number = |value: &LakeValue| match value {
        LakeValue::Number(number) => Some(f64::from(*number)),
        LakeValue::Float(number) => Some(*number),
        LakeValue::Text(_) | LakeValue::Time(_) => None,
    };
    match test {
        LakeTest::OneOf(values) => values.iter().any(|other| other == value),
        LakeTest::NoneOf(values) => values.iter().all(|other| other != value),
        LakeTest::BeginsWith(beginning) => value.to_string().strip_prefix(beginning.as_str()).is_some(),
        LakeTest::Contains(part) => value.to_string().to_ascii_lowercase().contains(&part.to_ascii_lowercase()),
        LakeTest::Between(least, most) => number(value).is_some_and(|number| number >= *least && number <= *most),
    }
}

impl Draws {
    fn row(&mut self, table: LakeTable) -> Row {
        (0..table.columns().len()).map(|column| self.value(table, column)).collect()
    }

    /// A value of a column, as rows have it and as tests name it.
    fn value(&mut self, table: LakeTable, column: usize) -> LakeValue {
        match table.columns()[column].kind {
            LakeKind::Time => LakeValue::Time(self.time()),
            LakeKind::Text => {
                let texts = [
                    "",
                    "telnet",
                    "Telnet",
                    "ssh",
                    "192.0.2.7",
                    "192.0.2.70",
                    "CN",
                    "JP",
                    "wget http://192.0.2.1/a",
                    "root:xc3511",
                    "日本",
                    "\0",
                    "\u{202e}x",
                ];
                match self.below(8) {
                    // Now and then a text of its own, so that there are many of them.
                    0 => LakeValue::text(&format!("198.51.100.{}", self.below(200))),
                    _ => LakeValue::text(texts[self.often_small(texts.len())]),
                }
            }
            LakeKind::Number => {
                let numbers = [0, 22, 23, 80, 2323, 65_535, 65_536, u32::MAX];
                match self.below(6) {
                    0 => LakeValue::Number(self.below(3_000) as u32),
                    _ => LakeValue::Number(numbers[self.often_small(numbers.len())]),
                }
            }
            LakeKind::Float => match self.below(8) {
                0 => LakeValue::Float(-1.5),
                1 => LakeValue::Float(1e12),
                _ => LakeValue::Float(self.below(100) as f64 / 4.0),
            },
        }
    }

    /// Often one that others have as well, often one at the very edge of a piece of time, and sometimes one far away.
    fn time(&mut self) -> Timestamp {
        let day = self.below(DAYS) as i64 - DAYS as i64 / 2;
        let midnight = middle().unix_millis() + day * DAY_MS;
        Timestamp::from_unix_millis(match self.below(6) {
            0 => midnight,
            1 => midnight - 1,
            2 => middle().unix_millis() + self.below(5) as i64,
            _ => midnight + self.below(DAY_MS as usize) as i64,
        })
    }

    pub(super) fn range(&mut self) -> TimeRange {
        let (one, other) = (self.time(), self.time());
        let (from, to) = if self.one_in(8) { (one, other) } else { (one.min(other), one.max(other)) };
        let whole = |at: Timestamp, bucket: TimeBucket| bucket.start(bucket.number(at));
        match self.below(5) {
            0 => TimeRange::ALL,
            1 => TimeRange { from: whole(from, TimeBucket::Month), to: whole(to, TimeBucket::Month) },
            2 => TimeRange { from: whole(from, TimeBucket::Day), to: whole(to, TimeBucket::Day) },
            3 => TimeRange { from, to: whole(to, TimeBucket::Hour) },
            _ => TimeRange { from, to },
        }
    }

    pub(super) fn filters(&mut self, table: LakeTable) -> Vec<LakeFilter> {
        let count = [0, 0, 1, 1, 2, 3][self.below(6)];
        (0..count).map(|_| self.filter(table)).collect()
    }

    fn filter(&mut self, table: LakeTable) -> LakeFilter {
        let column = 1 + self.below(table.columns().len() - 1);
        let kind = table.columns()[column].kind;
        let values = |draws: &mut Self| {
            let count = match draws.below(20) {
                0 => 0,
                1 => FILTER_VALUES_MAX,
                _ => 1 + draws.below(4),
            };
            (0..count).map(|_| draws.value(table, column)).collect()
        };
        let test = match (self.below(4), kind) {
            (0, _) => LakeTest::NoneOf(values(self)),
            (1, _) => LakeTest::OneOf(values(self)),
            (2, LakeKind::Text) => {
                LakeTest::BeginsWith(["", "192.0.2.", "t", "日", "198.51.100.1"][self.below(5)].into())
            }
            (_, LakeKind::Text) => {
                LakeTest::Contains(["", "TEL", "2.7", "\0", "本", "WGET http"][self.below(6)].into())
            }
            _ => {
                let bound = |draws: &mut Self| draws.below(200) as f64 / 2.0;
                LakeTest::Between(bound(self), bound(self) * [1.0, 1_000.0][self.below(2)])
            }
        };
        LakeFilter { column, test }
    }

    pub(super) fn question(&mut self, table: LakeTable) -> LakeQuestion {
        let countable: Vec<usize> = (0..table.columns().len())
            .filter(|column| matches!(table.columns()[*column].kind, LakeKind::Text | LakeKind::Number))
            .collect();
        let mut group_by = Vec::new();
        for _ in 0..self.below(5) {
            let column = countable[self.below(countable.len())];
            if !group_by.contains(&column) {
                group_by.push(column);
            }
        }
        LakeQuestion {
            table,
            range: self.range(),
            filters: self.filters(table),
            bucket: (!self.one_in(3)).then(|| TimeBucket::ALL[self.below(4)]),
            group_by,
            distinct: self.one_in(2).then(|| countable[self.below(countable.len())]),
            top: self.one_in(3).then(|| [1, 2, 5, usize::MAX][self.below(4)]),
        }
    }
}
