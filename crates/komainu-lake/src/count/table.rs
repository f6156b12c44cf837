//! Counts in a table that has a cell for each group there could be.

use komainu_ports::GROUP_COLUMNS_MAX;

use super::groups::{Found, Group};

/// Cells of a table: 16 MiB of counts, which caches hold for the most part. With more of them, sorting is faster.
const CELLS_MAX: u64 = 4 << 20;

/// Counts by piece of time and numbers of words.
#[derive(Debug, Default)]
pub(super) struct Table {
    first_bucket: i64,
    buckets: u64,
    /// How many words of each column there is room for.
    pub(super) sizes: Vec<u32>,
    pub(super) counts: Vec<u32>,
    /// Of each group how many different values it has, and the run of equal ones that it saw last; empty when nobody asked.
    pub(super) distinct: Vec<u32>,
    pub(super) last_runs: Vec<u32>,
    has_runs: bool,
    /// Rows that were counted: fewer than a count can be.
    rows: u64,
}

impl Table {
    pub(super) fn new(has_runs: bool) -> Self {
        Self { has_runs, ..Self::default() }
    }

    /// Makes room for these pieces of time and so many words of each column, and for so many more rows. Says whether that is
    /// possible; what is counted stays.
    pub(super) fn make_room(&mut self, (first, last): (i64, i64), words: &[usize], rows: usize) -> bool {
        if self.rows + rows as u64 > u64::from(u32::MAX) {
            return false;
        }
        self.rows += rows as u64;
        let has_buckets = self.first_bucket <= first && last < self.first_bucket + self.buckets as i64;
        let has_words = words.iter().zip(&self.sizes).all(|(words, size)| *words <= *size as usize);
        if !self.counts.is_empty() && has_buckets && has_words {
            return true;
        }
        let (first, last) = match self.counts.is_empty() {
            true => (first, last),
            false => (first.min(self.first_bucket), last.max(self.first_bucket + self.buckets as i64 - 1)),
        };
        // A little more than there are: the next block has words of its own.
        let sizes = words.iter().enumerate().map(|(column, words)| {
            let before = self.sizes.get(column).copied().unwrap_or(0);
            if *words <= before as usize { before } else { (words + words / 4 + 2).min(u32::MAX as usize) as u32 }
        });
        let sizes: Vec<u32> = sizes.collect();
        let buckets = (last - first) as u64 + 1;
        let cells = sizes.iter().fold(buckets, |cells, size| cells.saturating_mul(u64::from(*size)));
        if cells > CELLS_MAX {
            return false;
        }
        let cells = cells as usize;
        let of_runs = || if self.has_runs { vec![0; cells] } else { Vec::new() };
        let (distinct, last_runs) = (of_runs(), of_runs());
        let (has_runs, rows) = (self.has_runs, self.rows);
        let table =
            Self { first_bucket: first, buckets, sizes, counts: vec![0; cells], distinct, last_runs, has_runs, rows };
        let old = std::mem::replace(self, table);
        for (cell, count) in old.counts.iter().enumerate().filter(|(_, count)| **count > 0) {
            if let Some(here) = self.cell(&old.group(cell)) {
                self.counts[here] = *count;
                if self.has_runs {
                    self.distinct[here] = old.distinct[cell];
                    self.last_runs[here] = old.last_runs[cell];
                }
            }
        }
        true
    }

    /// Where the cells of a piece of time begin.
    pub(super) fn begin_of(&self, bucket: i64) -> usize {
        (bucket - self.first_bucket) as usize * self.sizes.iter().map(|size| *size as usize).product::<usize>()
    }

    /// Adds another table, if it has the same groups.
    pub(super) fn add(&mut self, other: &Self) -> bool {
        let is_alike = (self.first_bucket, self.buckets) == (other.first_bucket, other.buckets)
            && self.sizes == other.sizes
            && !self.has_runs
            && self.rows + other.rows <= u64::from(u32::MAX);
        if is_alike {
            self.counts.iter_mut().zip(&other.counts).for_each(|(count, other)| *count += other);
            self.rows += other.rows;
        }
        is_alike
    }

    /// The groups that have rows, in their order, and the run that each saw last.
    pub(super) fn found(&self) -> impl Iterator<Item = (Found, u32)> + '_ {
        self.counts.iter().enumerate().filter(|(_, count)| **count > 0).map(|(cell, count)| {
            let distinct = u64::from(self.distinct.get(cell).copied().unwrap_or(0));
            let found = Found { group: self.group(cell), count: u64::from(*count), distinct };
            (found, self.last_runs.get(cell).copied().unwrap_or(0))
        })
    }

    fn group(&self, cell: usize) -> Group {
        let (mut rest, mut words) = (cell as u64, [0; GROUP_COLUMNS_MAX]);
        for (column, size) in self.sizes.iter().enumerate().rev() {
            words[column] = (rest % u64::from(*size)) as u32;
            rest /= u64::from(*size);
        }
        Group { bucket: self.first_bucket + rest as i64, words }
    }

    fn cell(&self, group: &Group) -> Option<usize> {
        let bucket = u64::try_from(group.bucket - self.first_bucket).ok().filter(|bucket| *bucket < self.buckets)?;
        let columns = group.words.iter().zip(&self.sizes);
        let cell = columns.fold(bucket, |cell, (word, size)| cell * u64::from(*size) + u64::from(*word));
        usize::try_from(cell).ok()
    }
}
