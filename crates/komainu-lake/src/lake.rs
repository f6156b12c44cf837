//! The lake: what is in memory of it, and how it changes.

mod append;
mod folder;
mod upkeep;

use std::collections::BTreeMap;
use std::fs::File;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64};

use komainu_model::Timestamp;
use komainu_ports::{
    Lake, LakeAnswer, LakeAppended, LakeBatchName, LakeError, LakeListing, LakeQuestion, LakeRows, LakeTable,
    LakeTableState, TimeBucket, TimeRange,
};
use parking_lot::{Mutex, RwLock};

use self::append::Pending;
pub use self::upkeep::UpkeepDone;
use crate::block::{Block, HotRows};
use crate::catalog::{Applied, Catalog, Contents};
use crate::count::{self, MonthBlocks};
use crate::part::Part;
use crate::rollup::{self, Rollups};
use crate::{hot, list};

/// How often the catalog is read again when a part that it names is gone: it was merged meanwhile.
const READ_TRIES_MAX: usize = 5;

/// When rows leave memory, and when files are merged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LakeLimits {
    /// Rows of one table in no file from which on they are written to one.
    pub hot_rows: usize,
    /// Bytes of memory of one table's rows in no file from which on they are written to one: attackers choose how long texts
    /// are.
    pub hot_bytes: usize,
    /// Rows of one table in no file at which whoever brings more waits until they are in one: each takes about 100 bytes of
    /// memory.
    pub hot_rows_max: usize,
    /// Bytes of memory of one table's rows in no file at which whoever brings more waits. A single batch may have more.
    pub hot_bytes_max: usize,
    /// Files of one month and about the same size from which on they are merged.
    pub alike_parts: usize,
}

impl Default for LakeLimits {
    fn default() -> Self {
        Self { hot_rows: 131_072, hot_bytes: 64 << 20, hot_rows_max: 1 << 20, hot_bytes_max: 256 << 20, alike_parts: 6 }
    }
}

/// Rows in files of Parquet, with a catalog in SQLite.
#[derive(Debug)]
pub struct ParquetLake {
    folder: PathBuf,
    limits: LakeLimits,
    state: RwLock<State>,
    /// None when the lake is only read.
    writer: Option<Writer>,
}

#[derive(Debug)]
struct Writer {
    /// Held as long as the lake is open, so that nobody else writes to it.
    _lock: File,
    catalog: Mutex<CatalogWriter>,
    pending: Mutex<Vec<Arc<Pending>>>,
    next_part: AtomicI64,
    /// Whether a file is not where the catalog says: the folder refused it.
    is_unsettled: AtomicBool,
    /// Held while files are written, merged or removed.
    upkeep: Mutex<()>,
}

#[derive(Debug)]
struct CatalogWriter {
    catalog: Catalog,
    applied: Applied,
}

/// What is in the lake.
#[derive(Debug, Default)]
struct State {
    months: BTreeMap<(LakeTable, i64), Month>,
    /// Counts of all rows, those in no file among them.
    rollups: Rollups,
}

/// The rows of one table and month.
#[derive(Debug, Default)]
struct Month {
    parts: Vec<Arc<Part>>,
    hot: Vec<Arc<HotRows>>,
    /// Parts that cannot be opened, with the reason.
    broken: Vec<(String, String)>,
}

impl ParquetLake {
    /// Opens the lake in a folder, or makes it. What a process that was killed left unfinished is finished or removed.
    ///
    /// # Errors
    ///
    /// When another process has it open, and when the catalog cannot be read. A part that cannot be opened is none: what is
    /// asked about its month is refused, and everything else goes on.
    pub fn open(folder: &Path, limits: LakeLimits) -> Result<Self, LakeError> {
        let lock = folder::prepare(folder)?;
        let mut catalog = Catalog::open(folder)?;
        let contents = catalog.read()?;
        folder::mend(folder, &contents.parts)?;
        let next_part = contents.parts.iter().map(|part| part.name.number).max().unwrap_or(0) + 1;
        let applied = Applied::of(contents.applied.clone());
        let state = State::of(folder, contents)?;
        let writer = Writer {
            _lock: lock,
            catalog: Mutex::new(CatalogWriter { catalog, applied }),
            pending: Mutex::default(),
            next_part: AtomicI64::new(next_part),
            is_unsettled: AtomicBool::new(false),
            upkeep: Mutex::new(()),
        };
        Ok(Self { folder: folder.to_owned(), limits, state: RwLock::new(state), writer: Some(writer) })
    }

    /// Opens the lake in a folder for reading, as it is at this moment, while another process may write to it. None when
    /// there is none.
    pub fn open_to_read(folder: &Path) -> Result<Option<Self>, LakeError> {
        let Some(mut catalog) = Catalog::open_to_read(folder)? else { return Ok(None) };
        let mut tries = 1;
        let state = loop {
            let state = State::of(folder, catalog.read()?)?;
            // What was merged since the catalog was read is in it under another name.
            if tries == READ_TRIES_MAX || state.months.values().all(|month| month.broken.is_empty()) {
                break state;
            }
            tries += 1;
        };
        let limits = LakeLimits::default();
        Ok(Some(Self { folder: folder.to_owned(), limits, state: RwLock::new(state), writer: None }))
    }

    fn writer(&self) -> Result<&Writer, LakeError> {
        let source = "it was opened for reading";
        self.writer.as_ref().ok_or_else(|| LakeError::Unavailable { doing: "changing it", source: source.into() })
    }

    /// The blocks of the months of a table that a range touches.
    fn months(&self, table: LakeTable, range: TimeRange) -> Result<Vec<(i64, MonthBlocks)>, LakeError> {
        let first = TimeBucket::Month.number(range.from);
        let last = TimeBucket::Month.number(range.to);
        let mut found = Vec::new();
        // Files are not read while the state is locked.
        for ((_, number), month) in self.state.read().months.range((table, first)..=(table, last.max(first))) {
            if let Some((part, problem)) = month.broken.first() {
                return Err(LakeError::Damaged { part: part.clone(), problem: problem.clone() });
            }
            let parts = month
                .parts
                .iter()
                .filter(|part| part.times.0 < range.to.unix_millis() && part.times.1 >= range.from.unix_millis());
            let month = Month { parts: parts.cloned().collect(), hot: month.hot.clone(), broken: Vec::new() };
            found.push((*number, month));
        }
        let blocks = found.into_iter().map(|(number, Month { parts, hot, .. })| {
            let stored = |part: Arc<Part>| Ok(part.groups()?.into_iter().map(Block::Stored).collect());
            let parts = parts.into_iter().map(stored).collect::<Result<Vec<Vec<Block>>, LakeError>>()?;
            Ok((number, MonthBlocks { parts, hot: hot.into_iter().map(Block::Hot).collect() }))
        });
        blocks.collect()
    }

    fn blocks(&self, table: LakeTable, range: TimeRange) -> Result<Vec<Block>, LakeError> {
        let months = self.months(table, range)?.into_iter();
        Ok(months.flat_map(|(_, month)| month.parts.into_iter().flatten().chain(month.hot)).collect())
    }

    /// The answer to how many different sources there are on each day: it was counted when files were written. Only months
    /// whose rows are in several places are counted now.
    fn distinct_by_day(&self, question: &LakeQuestion) -> Result<Option<LakeAnswer>, LakeError> {
        let is_asked = question.distinct == Some(crate::part::sort_columns(question.table)[0])
            && question.bucket == Some(TimeBucket::Day)
            && question.group_by.is_empty()
            && question.filters.is_empty();
        if !is_asked {
            return Ok(None);
        }
        let mut by_day = BTreeMap::new();
        let mut uncounted = Vec::new();
        let counted = {
            let state = self.state.read();
            let Some(times) = state.times(question.table) else { return Ok(None) };
            let counted = state.rollups.answer(&LakeQuestion { distinct: None, ..question.clone() }, times);
            let first = TimeBucket::Month.number(question.range.from);
            let last = TimeBucket::Month.number(question.range.to);
            for ((_, number), month) in state.months.range((question.table, first)..=(question.table, last.max(first)))
            {
                match (&month.parts[..], &month.hot[..], &month.broken[..]) {
                    ([], [], []) => {}
                    ([part], [], []) => {
                        let first_day = TimeBucket::Day.number(TimeBucket::Month.start(*number));
                        by_day.extend((first_day..).zip(part.distinct_by_day.iter().copied().map(u64::from)));
                    }
                    // A source may be in several places.
                    _ => uncounted.push(*number),
                }
            }
            counted
        };
        let Some(mut counted) = counted else { return Ok(None) };
        let number = |at: &i64| TimeBucket::Day.number(Timestamp::from_unix_millis(*at));
        for month in uncounted {
            let range = TimeRange {
                from: question.range.from.max(TimeBucket::Month.start(month)),
                to: question.range.to.min(TimeBucket::Month.start(month + 1)),
            };
            let blocks = self.months(question.table, range)?.into_iter().map(|(_, blocks)| blocks).collect();
            let of_month = count::count(&LakeQuestion { range, ..question.clone() }, blocks)?;
            by_day.extend(of_month.buckets.iter().map(number).zip(of_month.distinct));
        }
        let distinct = counted.buckets.iter().map(|at| by_day.get(&number(at)).copied().unwrap_or(0));
        counted.distinct = distinct.collect();
        counted.distinct.truncate(counted.counts.len());
        Ok(Some(counted))
    }
}

impl Lake for ParquetLake {
    fn append(&self, name: &LakeBatchName, rows: &[LakeRows]) -> Result<LakeAppended, LakeError> {
        self.append_rows(name, rows)
    }

    fn holds(&self, name: &LakeBatchName) -> bool {
        self.writer.as_ref().is_some_and(|writer| writer.catalog.lock().applied.holds(&name.stream, name.sequence))
    }

    fn count(&self, question: &LakeQuestion) -> Result<LakeAnswer, LakeError> {
        question.check()?;
        if let Some(answer) = self.distinct_by_day(question)? {
            return Ok(answer);
        }
        {
            let state = self.state.read();
            let Some(times) = state.times(question.table) else { return count::count(question, Vec::new()) };
            if let Some(answer) = state.rollups.answer(question, times) {
                return Ok(answer);
            }
        }
        let months = self.months(question.table, question.range)?;
        count::count(question, months.into_iter().map(|(_, month)| month).collect())
    }

    fn list(&self, listing: &LakeListing) -> Result<LakeRows, LakeError> {
        listing.check()?;
        list::list(listing, self.blocks(listing.table, listing.range)?)
    }

    fn visit(
        &self,
        listing: &LakeListing,
        visit: &mut dyn FnMut(LakeRows) -> ControlFlow<()>,
    ) -> Result<(), LakeError> {
        listing.check()?;
        list::visit(listing, &self.blocks(listing.table, listing.range)?, visit)
    }

    fn state(&self) -> Result<Vec<LakeTableState>, LakeError> {
        let state = self.state.read();
        let of = |table: LakeTable| {
            let months = || state.months.range((table, i64::MIN)..=(table, i64::MAX)).map(|(_, month)| month);
            let parts = || months().flat_map(|month| &month.parts);
            let hot_rows = months().flat_map(|month| &month.hot).map(|hot| hot.rows.len() as u64).sum();
            LakeTableState {
                table,
                rows: parts().map(|part| part.rows).sum::<u64>() + hot_rows,
                hot_rows,
                parts: parts().count() as u64,
                bytes: parts().map(|part| part.bytes).sum(),
                times: state
                    .times(table)
                    .map(|(first, last)| (Timestamp::from_unix_millis(first), Timestamp::from_unix_millis(last))),
            }
        };
        Ok(LakeTable::ALL.into_iter().map(of).collect())
    }

    fn retain(&self, before: Timestamp) -> Result<u64, LakeError> {
        self.remove_before(before)
    }
}

impl State {
    fn of(folder: &Path, contents: Contents) -> Result<Self, LakeError> {
        let mut state = Self { months: BTreeMap::new(), rollups: contents.rollups };
        for known in contents.parts {
            let month = state.months.entry((known.name.table, known.name.month)).or_default();
            let path = folder::find(folder, &known.name);
            let name = known.name.to_string();
            match Part::open(&path, known.name, known.written) {
                Ok(part) => month.parts.push(Arc::new(part)),
                Err(LakeError::Damaged { problem, .. }) => month.broken.push((name, problem)),
                Err(error) => return Err(error),
            }
        }
        for known in contents.hot {
            let damaged = || LakeError::Damaged {
                part: crate::catalog::FILE.to_owned(),
                problem: format!("rows {} of it cannot be read", known.number),
            };
            let rows = hot::decode(known.table, &known.rows).ok_or_else(damaged)?;
            let hot = Arc::new(HotRows::new(known.number, known.month, rows));
            state.add_hot(&[hot]);
        }
        Ok(state)
    }

    /// Adds rows that are in no file, and what they count.
    fn add_hot(&mut self, hot: &[Arc<HotRows>]) {
        self.add_counted(hot, &rollup::delta(hot.iter().map(|hot| &**hot)));
    }

    fn add_counted(&mut self, hot: &[Arc<HotRows>], delta: &rollup::Delta) {
        for ((cube, bucket), cells) in self.rollups.cells(delta) {
            self.rollups.add(cube, bucket, &cells);
        }
        for rows in hot {
            self.months.entry((rows.rows.table(), rows.month)).or_default().hot.push(rows.clone());
        }
    }

    /// The earliest and the latest time of a table's rows.
    fn times(&self, table: LakeTable) -> Option<(i64, i64)> {
        let months = self.months.range((table, i64::MIN)..=(table, i64::MAX)).map(|(_, month)| month);
        let all = months.flat_map(|month| {
            let hot = month.hot.iter().map(|hot| Block::Hot(hot.clone()).times());
            month.parts.iter().map(|part| part.times).chain(hot)
        });
        all.reduce(|(first, last), (from, to)| (first.min(from), last.max(to)))
    }
}
