//! Answers against counting by hand.

use std::collections::{BTreeMap, BTreeSet};

use komainu_model::Timestamp;

use super::draws::{Draws, SomeRows};
use super::{Row, at_of, everything};
use crate::lake::{
    GROUP_COLUMNS_MAX, Lake, LakeGroup, LakeKind, LakeQuestion, LakeTable, LakeValue, TimeBucket, TimeRange,
};

/// So many questions by chance for each table.
const QUESTIONS: usize = 80;

pub(super) fn answers_like_counting_by_hand(lake: &dyn Lake, seed: u64) {
    let rows = SomeRows::drawn(seed);
    rows.bring(lake, "a");
    check_all(lake, &rows, TimeRange::ALL.from, seed);
}

/// Asks everything about rows of which those before `since` were removed.
pub(super) fn check_all(lake: &dyn Lake, rows: &SomeRows, since: Timestamp, seed: u64) {
    let check = |question: &LakeQuestion| {
        let (groups, total) = counted_by_hand(rows, since, question);
        let answer = lake.count(question).unwrap();
        assert_eq!(answer.rows, total, "{question:?}");
        assert_eq!(answer.len(), groups.len(), "{question:?}");
        for (told, expected) in answer.groups().zip(&groups) {
            assert_eq!(&told, expected, "{question:?}");
        }
    };
    for table in LakeTable::ALL {
        let columns: Vec<usize> = (0..table.columns().len())
            .filter(|column| matches!(table.columns()[*column].kind, LakeKind::Text | LakeKind::Number))
            .collect();
        // Every shape once: by each column and by as many as may be, with each piece of time, counting each column.
        for bucket in TimeBucket::ALL.map(Some).into_iter().chain([None]) {
            let question = LakeQuestion { bucket, ..everything(table) };
            check(&question);
            for column in &columns {
                let group_by = vec![*column];
                check(&LakeQuestion { group_by: group_by.clone(), ..question.clone() });
                check(&LakeQuestion { group_by, top: Some(2), distinct: Some(*column), ..question.clone() });
                check(&LakeQuestion { distinct: Some(*column), ..question.clone() });
            }
            for most in 2..=GROUP_COLUMNS_MAX.min(columns.len()) {
                for group_by in columns.windows(most) {
                    let distinct = Some(columns[0]);
                    check(&LakeQuestion { group_by: group_by.to_vec(), distinct, top: Some(5), ..question.clone() });
                }
            }
        }
        let mut draws = Draws::new(seed);
        for _ in 0..QUESTIONS {
            check(&draws.question(table));
        }
    }
}

/// A value that has an order, for maps.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Key {
    Number(u32),
    Text(String),
}

/// For each kind of rows how many there are, and the different values among them.
type Counts = BTreeMap<Vec<Key>, (u64, BTreeSet<Vec<Key>>)>;

fn keys(row: &Row, columns: &[usize]) -> Vec<Key> {
    let key = |column: &usize| match &row[*column] {
        LakeValue::Number(number) => Key::Number(*number),
        LakeValue::Text(text) => Key::Text(text.to_string()),
        LakeValue::Time(_) | LakeValue::Float(_) => panic!("such columns are not grouped by"),
    };
    columns.iter().map(key).collect()
}

/// The groups, and how many rows are meant.
fn counted_by_hand(rows: &SomeRows, since: Timestamp, question: &LakeQuestion) -> (Vec<LakeGroup>, u64) {
    let distinct_columns = question.distinct.as_slice();
    let mut pieces: BTreeMap<Option<Timestamp>, Counts> = BTreeMap::new();
    let mut total = 0;
    for row in rows.meant(question.table, question.range, &question.filters).filter(|row| at_of(row) >= since) {
        let piece = question.bucket.map(|bucket| bucket.start(bucket.number(at_of(row))));
        let (count, seen) = pieces.entry(piece).or_default().entry(keys(row, &question.group_by)).or_default();
        *count += 1;
        seen.extend(question.distinct.map(|_| keys(row, distinct_columns)));
        total += 1;
    }
    let mut groups = Vec::new();
    for (bucket, alike) in pieces {
        let mut alike: Vec<(Vec<Key>, u64, usize)> =
            alike.into_iter().map(|(values, (count, seen))| (values, count, seen.len())).collect();
        alike.sort_by(|one, other| other.1.cmp(&one.1).then_with(|| one.0.cmp(&other.0)));
        for (values, count, distinct) in alike.into_iter().take(question.top.unwrap_or(usize::MAX)) {
            let value = |key| match key {
                Key::Number(number) => LakeValue::Number(number),
                Key::Text(text) => LakeValue::text(&text),
            };
            let values = values.into_iter().map(value).collect();
            groups.push(LakeGroup { bucket, values, count, distinct: distinct as u64 });
        }
    }
    (groups, total)
}
