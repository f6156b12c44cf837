//! What is done besides: rows in no file are written to one, small files are merged, old ones are removed.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use komainu_model::Timestamp;
use komainu_ports::{LakeError, LakeRows, LakeTable, TimeBucket};

use super::{CatalogWriter, ParquetLake, folder};
use crate::block::HotRows;
use crate::merge::merge;
use crate::part::{GROUP_ROWS_MAX, Part, PartName};
use crate::rollup;

/// A part is not made larger than this many rows by a merge.
const PART_ROWS_MAX: u64 = 64 << 20;

/// When a month is over, late rows may come for so long before its files become one, in milliseconds: two days.
const LATE_MS: i64 = 2 * 86_400_000;

/// What upkeep has done.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct UpkeepDone {
    /// Rows that are in files now.
    pub rows_written: u64,
    /// Files that were merged.
    pub parts_merged: u64,
}

/// Rows in no file, and the memory that they take.
#[derive(Debug, Clone, Copy)]
struct Hot {
    rows: usize,
    bytes: usize,
}

impl ParquetLake {
    /// Writes the rows of tables that have enough in no file to files, and merges small files and those of months that are
    /// over. To be called every few seconds. Blocks, up to minutes.
    pub fn keep(&self, now: Timestamp) -> Result<UpkeepDone, LakeError> {
        self.keep_from(Hot { rows: self.limits.hot_rows, bytes: self.limits.hot_bytes }, now)
    }

    /// The same, for all rows that are in no file: other programs see them then. To be called every few minutes.
    pub fn keep_all(&self, now: Timestamp) -> Result<UpkeepDone, LakeError> {
        self.keep_from(Hot { rows: 1, bytes: usize::MAX }, now)
    }

    fn keep_from(&self, enough: Hot, now: Timestamp) -> Result<UpkeepDone, LakeError> {
        let _turn = self.writer()?.upkeep.lock();
        self.settle()?;
        let mut done = UpkeepDone::default();
        for table in LakeTable::ALL {
            let hot = self.hot(table);
            if hot.rows >= enough.rows || hot.bytes >= enough.bytes {
                done.rows_written += self.write_hot(table)?;
            }
        }
        while let Some(parts) = self.parts_to_merge(now) {
            done.parts_merged += parts.len() as u64;
            self.merge_parts(&parts)?;
        }
        Ok(done)
    }

    /// Places what could not be placed before.
    fn settle(&self) -> Result<(), LakeError> {
        let writer = self.writer()?;
        if writer.is_unsettled.load(Ordering::Relaxed) {
            let mut catalog = writer.catalog.lock();
            folder::settle(&self.folder, &catalog.catalog.read()?.parts)?;
            writer.is_unsettled.store(false, Ordering::Relaxed);
        }
        Ok(())
    }

    /// What there is of a table in no file.
    fn hot(&self, table: LakeTable) -> Hot {
        let state = self.state.read();
        let months = state.months.range((table, i64::MIN)..=(table, i64::MAX));
        let mut all = Hot { rows: 0, bytes: 0 };
        for hot in months.flat_map(|(_, month)| &month.hot) {
            all.rows += hot.rows.len();
            all.bytes += hot.bytes;
        }
        all
    }

    fn has_room(&self, rows: &LakeRows) -> bool {
        let (hot, limits) = (self.hot(rows.table()), &self.limits);
        hot.rows + rows.len() <= limits.hot_rows_max && hot.bytes <= limits.hot_bytes_max
    }

    /// Waits until there is room for rows that are in no file.
    pub(super) fn wait_for_room(&self, rows: &[LakeRows]) -> Result<(), LakeError> {
        for rows in rows {
            if !self.has_room(rows) {
                let _turn = self.writer()?.upkeep.lock();
                if !self.has_room(rows) {
                    self.write_hot(rows.table())?;
                }
            }
        }
        Ok(())
    }

    /// Writes all rows of a table that are in no file to files; says how many.
    fn write_hot(&self, table: LakeTable) -> Result<u64, LakeError> {
        let hot: BTreeMap<i64, Vec<Arc<HotRows>>> = {
            let state = self.state.read();
            let months = state.months.range((table, i64::MIN)..=(table, i64::MAX));
            let months = months.filter(|(_, month)| !month.hot.is_empty() && month.broken.is_empty());
            months.map(|((_, number), month)| (*number, month.hot.clone())).collect()
        };
        let mut written_rows = 0;
        for (month, hot) in hot {
            // By part of a group, so that rows that are sorted are never more than a batch may have.
            let mut pieces = vec![Vec::new()];
            let mut rows = 0;
            for piece in hot {
                if rows + piece.rows.len() > 8 * GROUP_ROWS_MAX {
                    pieces.push(Vec::new());
                    rows = 0;
                }
                rows += piece.rows.len();
                pieces.last_mut().expect("there is one at least").push(piece);
            }
            for hot in pieces.into_iter().filter(|hot| !hot.is_empty()) {
                written_rows += self.write_hot_rows(table, month, &hot)?;
            }
        }
        Ok(written_rows)
    }

    fn write_hot_rows(&self, table: LakeTable, month: i64, hot: &[Arc<HotRows>]) -> Result<u64, LakeError> {
        let written = self.write_part(table, month, hot)?;
        let rows = written.1.rows;
        let delta = rollup::delta(hot.iter().map(|hot| &**hot));
        let mut catalog = self.writer()?.catalog.lock();
        let CatalogWriter { catalog, .. } = &mut *catalog;
        self.change_parts(catalog, std::slice::from_ref(&written), hot, &delta, |_| Ok(()))?;
        let mut state = self.state.write();
        // The counts have these rows since they came.
        self.add_parts(&mut state, vec![written])?;
        if let Some(month) = state.months.get_mut(&(table, month)) {
            month.hot.retain(|kept| !hot.iter().any(|gone| gone.number == kept.number));
        }
        Ok(rows)
    }

    /// Parts of one month that should be one.
    fn parts_to_merge(&self, now: Timestamp) -> Option<Vec<Arc<Part>>> {
        let state = self.state.read();
        for ((_, number), month) in state.months.iter().filter(|(_, month)| month.parts.len() > 1) {
            let rows: u64 = month.parts.iter().map(|part| part.rows).sum();
            let is_over = TimeBucket::Month.start(number + 1).unix_millis().saturating_add(LATE_MS) < now.unix_millis();
            if is_over && rows <= PART_ROWS_MAX {
                return Some(month.parts.clone());
            }
            // Parts of about the same size: each is four times as large as those of the class below it.
            let mut classes: BTreeMap<u32, Vec<Arc<Part>>> = BTreeMap::new();
            for part in &month.parts {
                classes.entry((part.rows / 4096).max(1).ilog(4)).or_default().push(part.clone());
            }
            let alike = classes.into_values().find(|parts| parts.len() >= self.limits.alike_parts);
            if let Some(parts) = alike.filter(|parts| parts.iter().map(|part| part.rows).sum::<u64>() <= PART_ROWS_MAX)
            {
                return Some(parts);
            }
        }
        None
    }

    fn merge_parts(&self, parts: &[Arc<Part>]) -> Result<(), LakeError> {
        let Some((table, month)) = parts.first().map(|part| (part.table, part.name.month)) else { return Ok(()) };
        let (name, written) = self.write_part_with(table, month, |part| merge(parts, part))?;
        let gone: Vec<i64> = parts.iter().map(|part| part.name.number).collect();
        let before: u64 = parts.iter().map(|part| part.rows).sum();
        if written.rows != before {
            let problem = format!("{before} rows became {} when it was merged", written.rows);
            return Err(LakeError::Damaged { part: name.to_string(), problem });
        }
        let mut catalog = self.writer()?.catalog.lock();
        catalog.catalog.change("merging parts", |change| {
            change.put_part(&name, &written)?;
            change.remove_parts(gone.iter().copied())
        })?;
        // From here on the old ones are none, whatever is in the folder.
        if folder::replace(&self.folder, &name, true, &gone).is_err() {
            self.writer()?.is_unsettled.store(true, Ordering::Relaxed);
        }
        let mut state = self.state.write();
        if let Some(month) = state.months.get_mut(&(table, month)) {
            month.parts.retain(|part| !gone.contains(&part.name.number));
        }
        self.add_parts(&mut state, vec![(name, written)])
    }

    /// Removes the months that are wholly before a point in time; says how many rows they had.
    pub(super) fn remove_before(&self, before: Timestamp) -> Result<u64, LakeError> {
        let _turn = self.writer()?.upkeep.lock();
        let old: Vec<(LakeTable, i64)> = {
            let state = self.state.read();
            let is_old = |month: &i64| TimeBucket::Month.start(month.saturating_add(1)) <= before;
            state.months.keys().filter(|(_, month)| is_old(month)).copied().collect()
        };
        let mut removed = 0;
        for (table, month) in old {
            let mut catalog = self.writer()?.catalog.lock();
            let (parts, hot): (Vec<i64>, Vec<i64>) = {
                let state = self.state.read();
                let Some(month) = state.months.get(&(table, month)) else { continue };
                removed += month.parts.iter().map(|part| part.rows).sum::<u64>();
                removed += month.hot.iter().map(|hot| hot.rows.len() as u64).sum::<u64>();
                (
                    month.parts.iter().map(|part| part.name.number).collect(),
                    month.hot.iter().map(|hot| hot.number).collect(),
                )
            };
            catalog.catalog.change("removing a month", |change| {
                change.remove_parts(parts.iter().copied())?;
                change.remove_hot(hot.iter().copied())?;
                change.forget_cells(table, month)
            })?;
            let number = self.writer()?.next_part.fetch_add(1, Ordering::Relaxed);
            if folder::replace(&self.folder, &PartName { table, month, number }, false, &parts).is_err() {
                self.writer()?.is_unsettled.store(true, Ordering::Relaxed);
            }
            let mut state = self.state.write();
            state.months.remove(&(table, month));
            state.rollups.forget(table, month);
        }
        Ok(removed)
    }
}
