//! Taking batches. Whoever comes while others' batches are being made durable waits, and has its own made durable with those
//! of everybody else who waited.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use komainu_model::Timestamp;
use komainu_ports::{BATCH_ROWS_MAX, LakeAppended, LakeBatchName, LakeError, LakeRows, LakeTable, TimeBucket};
use parking_lot::Mutex;

use super::{CatalogWriter, ParquetLake, State, folder};
use crate::block::HotRows;
use crate::catalog::{Catalog, CatalogChange};
use crate::hot;
use crate::merge::{Merged, picked, sorted, writing};
use crate::part::{GROUP_ROWS_MAX, Part, PartName, PartWriter, Written, sorted_order};
use crate::rollup::{self, CUBES, Delta};

/// A batch that waits.
#[derive(Debug)]
pub(super) struct Pending {
    name: LakeBatchName,
    /// Its rows month by month, and as they stand in the catalog; none when it is done.
    rows: Mutex<Vec<(HotRows, Vec<u8>)>>,
    /// What they add to the counts.
    delta: Delta,
    done: Mutex<Option<Result<LakeAppended, String>>>,
}

impl ParquetLake {
    pub(super) fn append_rows(&self, name: &LakeBatchName, rows: &[LakeRows]) -> Result<LakeAppended, LakeError> {
        name.check()?;
        let total: usize = rows.iter().map(LakeRows::len).sum();
        if total > BATCH_ROWS_MAX {
            let problem = format!("{total} rows are more than the {BATCH_ROWS_MAX} of a batch");
            return Err(LakeError::invalid("rows", problem));
        }
        let writer = self.writer()?;
        if writer.catalog.lock().applied.holds(&name.stream, name.sequence) {
            return Ok(LakeAppended::Known);
        }
        let by_month = by_month(rows)?;
        if total >= GROUP_ROWS_MAX {
            return self.append_files(name, by_month);
        }
        self.wait_for_room(rows)?;
        let delta = rollup::delta(&by_month);
        let rows = by_month.into_iter().map(|rows| {
            let encoded = hot::encode(&rows.rows);
            (rows, encoded)
        });
        let (rows, done) = (Mutex::new(rows.collect()), Mutex::new(None));
        let pending = Arc::new(Pending { name: name.clone(), rows, delta, done });
        writer.pending.lock().push(pending.clone());
        let mut catalog = writer.catalog.lock();
        if pending.done.lock().is_none() {
            let waiting = std::mem::take(&mut *writer.pending.lock());
            self.commit(&mut catalog, &waiting);
        }
        drop(catalog);
        let done = pending.done.lock().take().expect("a batch is done when its turn is over");
        done.map_err(|problem| LakeError::Unavailable { doing: "keeping rows", source: problem.into() })
    }

    /// Makes batches durable and visible, all of them or none.
    fn commit(&self, writer: &mut CatalogWriter, waiting: &[Arc<Pending>]) {
        let CatalogWriter { catalog, applied } = writer;
        let before = waiting.iter().map(|pending| pending.name.stream.as_str()).collect::<Vec<_>>();
        let saved = applied.save(&before);
        let mut ends = Vec::with_capacity(waiting.len());
        let mut numbers = Vec::new();
        let committed = catalog.change("keeping rows", |change| {
            for pending in waiting {
                let LakeBatchName { stream, sequence } = &pending.name;
                if applied.holds(stream, *sequence) {
                    ends.push(LakeAppended::Known);
                    continue;
                }
                let (first, last, gone) = applied.add(stream, *sequence);
                change.put_applied(stream, first, last, gone)?;
                for (rows, encoded) in &*pending.rows.lock() {
                    numbers.push(change.put_hot(rows.rows.table(), rows.month, encoded)?);
                }
                ends.push(LakeAppended::New);
            }
            Ok(())
        });
        if let Err(error) = committed {
            applied.restore(saved);
            let problem = match std::error::Error::source(&error) {
                Some(cause) => format!("{error}: {cause}"),
                None => error.to_string(),
            };
            waiting.iter().for_each(|pending| *pending.done.lock() = Some(Err(problem.clone())));
            return;
        }
        let mut numbers = numbers.into_iter();
        for (pending, end) in waiting.iter().zip(ends) {
            if end == LakeAppended::New {
                let rows = std::mem::take(&mut *pending.rows.lock()).into_iter();
                let hot = rows.zip(numbers.by_ref()).map(|((rows, _), number)| Arc::new(HotRows { number, ..rows }));
                let hot: Vec<Arc<HotRows>> = hot.collect();
                self.state.write().add_counted(&hot, &pending.delta);
            }
            *pending.done.lock() = Some(Ok(end));
        }
    }

    /// Takes a batch that is worth files of its own.
    fn append_files(&self, name: &LakeBatchName, rows: Vec<HotRows>) -> Result<LakeAppended, LakeError> {
        let writer = self.writer()?;
        let delta = rollup::delta(&rows);
        let rows: Vec<Arc<HotRows>> = rows.into_iter().map(Arc::new).collect();
        let mut parts = Vec::new();
        let mut months: BTreeMap<(LakeTable, i64), Vec<Arc<HotRows>>> = BTreeMap::new();
        for rows in rows {
            months.entry((rows.rows.table(), rows.month)).or_default().push(rows);
        }
        for ((table, month), rows) in &months {
            match self.write_part(*table, *month, rows) {
                Ok(part) => parts.push(part),
                Err(error) => {
                    parts.iter().for_each(|(part, _)| discard(&self.folder, part));
                    return Err(error);
                }
            }
        }
        let mut catalog = writer.catalog.lock();
        let CatalogWriter { catalog, applied } = &mut *catalog;
        if applied.holds(&name.stream, name.sequence) {
            parts.iter().for_each(|(part, _)| discard(&self.folder, part));
            return Ok(LakeAppended::Known);
        }
        let saved = applied.save(&[&name.stream]);
        let (first, last, gone) = applied.add(&name.stream, name.sequence);
        let changed = self
            .change_parts(catalog, &parts, &[], &delta, |change| change.put_applied(&name.stream, first, last, gone));
        if let Err(error) = changed {
            applied.restore(saved);
            return Err(error);
        }
        let mut state = self.state.write();
        state.add_counted(&[], &delta);
        self.add_parts(&mut state, parts)?;
        Ok(LakeAppended::New)
    }

    /// Writes rows of one month to a file that is not placed yet.
    pub(super) fn write_part(
        &self,
        table: LakeTable,
        month: i64,
        rows: &[Arc<HotRows>],
    ) -> Result<(PartName, Written), LakeError> {
        let rows = match rows {
            [rows] => sorted(&rows.rows, &sorted_order(&rows.rows))?,
            rows => {
                let rows = joined(table, rows)?;
                sorted(&rows, &sorted_order(&rows))?
            }
        };
        self.write_part_with(table, month, |part| part.write(&rows).map_err(writing))
    }

    pub(super) fn write_part_with(
        &self,
        table: LakeTable,
        month: i64,
        fill: impl FnOnce(&mut PartWriter) -> Result<(), LakeError>,
    ) -> Result<(PartName, Written), LakeError> {
        let number = self.writer()?.next_part.fetch_add(1, Ordering::Relaxed);
        let name = PartName { table, month, number };
        let path = folder::new_path_of(&self.folder, &name);
        let write = || {
            let mut part = PartWriter::create(&path, table, month).map_err(writing)?;
            fill(&mut part)?;
            part.finish().map_err(writing)
        };
        match write() {
            Ok(written) => Ok((name, written)),
            Err(error) => {
                discard(&self.folder, &name);
                Err(error)
            }
        }
    }

    /// Makes parts known in the place of rows that are in the catalog, with what they add to the counts there, and places
    /// them.
    pub(super) fn change_parts(
        &self,
        catalog: &mut Catalog,
        parts: &[(PartName, Written)],
        hot: &[Arc<HotRows>],
        delta: &Delta,
        also: impl FnOnce(&mut CatalogChange<'_>) -> rusqlite::Result<()>,
    ) -> Result<(), LakeError> {
        // Words get their numbers before the catalog has them; a number that is not used does no harm.
        let (cells, words) = {
            let mut state = self.state.write();
            let cells = state.rollups.cells(delta);
            let words = state.rollups.words(|table, column| catalog.word_count(table, column));
            (cells, words)
        };
        let changed = catalog.change("keeping parts", |change| {
            for (name, written) in parts {
                change.put_part(name, written)?;
            }
            change.remove_hot(hot.iter().map(|rows| rows.number))?;
            for (table, column, code, word) in &words {
                change.put_word(*table, *column, *code, word)?;
            }
            for ((cube, bucket), cells) in &cells {
                change.add_cells(CUBES[*cube].number, *bucket, cells)?;
            }
            also(change)
        });
        if let Err(error) = changed {
            parts.iter().for_each(|(name, _)| discard(&self.folder, name));
            return Err(error);
        }
        catalog.has_words(&words);
        // From here on they are known, wherever they are: what cannot be placed now is placed later.
        for (name, _) in parts {
            if folder::place(&self.folder, name).is_err() {
                self.writer()?.is_unsettled.store(true, Ordering::Relaxed);
            }
        }
        Ok(())
    }

    /// Makes parts visible that the catalog knows.
    pub(super) fn add_parts(&self, state: &mut State, parts: Vec<(PartName, Written)>) -> Result<(), LakeError> {
        for (name, written) in parts {
            let path = folder::find(&self.folder, &name);
            let (table, month) = (name.table, name.month);
            let part = Part::open(&path, name, written)?;
            state.months.entry((table, month)).or_default().parts.push(Arc::new(part));
        }
        Ok(())
    }
}

fn discard(folder: &Path, name: &PartName) {
    // What stays is removed at the next start.
    let _ = std::fs::remove_file(folder::new_path_of(folder, name));
}

/// The rows of each table and month.
pub(super) fn by_month(rows: &[LakeRows]) -> Result<Vec<HotRows>, LakeError> {
    let mut all = Vec::new();
    for rows in rows.iter().filter(|rows| !rows.is_empty()) {
        let month = |time: &i64| TimeBucket::Month.number(Timestamp::from_unix_millis(*time));
        let first = rows.times().iter().min().map_or(0, month);
        let last = rows.times().iter().max().map_or(0, month);
        if first == last {
            all.push(HotRows::new(0, first, rows.clone()));
            continue;
        }
        let mut places: BTreeMap<i64, Vec<u32>> = BTreeMap::new();
        for (time, row) in rows.times().iter().zip(0..) {
            places.entry(month(time)).or_default().push(row);
        }
        for (month, places) in places {
            all.push(HotRows::new(0, month, picked(rows, &places)?));
        }
    }
    Ok(all)
}

/// Rows of several batches as one.
fn joined(table: LakeTable, hot: &[Arc<HotRows>]) -> Result<LakeRows, LakeError> {
    let mut joined = Merged::new(table);
    for rows in hot {
        joined.take_rows(&rows.rows);
    }
    joined.into_rows()
}
