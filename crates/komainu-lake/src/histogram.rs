//! The innermost loop: rows to numbers of groups, and an addition for each.
//!
//! Rows are taken in pieces that stay in the fastest cache, column by column, so that each step is a loop without branches that
//! the compiler can make wide.

use komainu_model::Timestamp;
use komainu_ports::TimeBucket;

use crate::window::Selection;

/// So many rows are taken at a time.
const PIECE_ROWS: usize = 4096;

/// Which number a piece of time has: counted from `first`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Buckets<'a> {
    pub(crate) bucket: TimeBucket,
    pub(crate) first: i64,
    /// Milliseconds since 1970, of one month.
    pub(crate) times: &'a [i64],
}

/// A column that is grouped by.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Codes<'a> {
    pub(crate) codes: &'a [u32],
    /// The number of each code, below `size`; codes are numbers themselves without it.
    pub(crate) numbers: Option<&'a [u32]>,
    pub(crate) size: u32,
}

/// Shows `visit` the numbers of rows' groups, in the order of the rows, piece by piece. The number of a group is that of its
/// piece of time (or zero), times the size of each column plus the column's number, and fits 32 bits.
pub(crate) fn groups_of_rows(
    buckets: Option<Buckets<'_>>,
    columns: &[Codes<'_>],
    selection: &Selection,
    rows: usize,
    mut visit: impl FnMut(&[u32]),
) {
    let mut piece = [0_u32; PIECE_ROWS];
    let selected = selection.len(rows);
    let mut begin = 0;
    while begin < selected {
        let length = PIECE_ROWS.min(selected - begin);
        let groups = &mut piece[..length];
        match selection {
            Selection::All => {
                let rows = begin..begin + length;
                match buckets {
                    Some(buckets) => bucket_numbers(buckets, groups, buckets.times[rows.clone()].iter().copied()),
                    None => groups.fill(0),
                }
                for column in columns {
                    add_column(column, groups, column.codes[rows.clone()].iter().copied());
                }
            }
            Selection::Rows(rows) => {
                let rows = &rows[begin..begin + length];
                match buckets {
                    Some(buckets) => {
                        let times = rows.iter().map(|row| buckets.times[*row as usize]);
                        bucket_numbers(buckets, groups, times);
                    }
                    None => groups.fill(0),
                }
                for column in columns {
                    add_column(column, groups, rows.iter().map(|row| column.codes[*row as usize]));
                }
            }
        }
        visit(groups);
        begin += length;
    }
}

fn bucket_numbers(buckets: Buckets<'_>, groups: &mut [u32], times: impl Iterator<Item = i64>) {
    let Buckets { bucket, first, .. } = buckets;
    let base = bucket.start(first).unix_millis();
    // A month and a week are fewer milliseconds than 32 bits can count, and those are divided at once.
    let since = |time: i64| time.wrapping_sub(base) as u32;
    let groups = groups.iter_mut().zip(times);
    match bucket {
        TimeBucket::Hour => groups.for_each(|(group, time)| *group = since(time) / 3_600_000),
        TimeBucket::Day => groups.for_each(|(group, time)| *group = since(time) / 86_400_000),
        TimeBucket::Week => groups.for_each(|(group, time)| *group = since(time) / 604_800_000),
        TimeBucket::Month => groups.for_each(|(group, time)| {
            *group = (bucket.number(Timestamp::from_unix_millis(time)) - first) as u32;
        }),
    }
}

fn add_column(column: &Codes<'_>, groups: &mut [u32], codes: impl Iterator<Item = u32>) {
    let groups = groups.iter_mut().zip(codes);
    let size = column.size;
    match column.numbers {
        Some(numbers) => groups.for_each(|(group, code)| {
            *group = group.wrapping_mul(size).wrapping_add(numbers[code as usize]);
        }),
        None => groups.for_each(|(group, code)| *group = group.wrapping_mul(size).wrapping_add(code)),
    }
}
