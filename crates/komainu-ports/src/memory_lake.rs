//! The lake in memory: the double for tests, and the plain answer that an engine's fast one is compared with. It looks through
//! everything each time.

use std::cmp::Ordering;
use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::sync::{Mutex, MutexGuard, PoisonError};

use komainu_model::Timestamp;

use crate::lake::{
    BATCH_ROWS_MAX, Lake, LakeAnswer, LakeAppended, LakeBatchName, LakeEffort, LakeError, LakeFilter, LakeGroup,
    LakeListing, LakeOrder, LakeQuestion, LakeRows, LakeRowsBuilder, LakeTable, LakeTableState, LakeValue, TimeBucket,
    TimeRange,
};

/// A [`Lake`] that is forgotten when it is dropped.
#[derive(Debug, Default)]
pub struct MemoryLake(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    known: BTreeSet<LakeBatchName>,
    /// As they came.
    pieces: Vec<LakeRows>,
}

impl MemoryLake {
    fn locked(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn of_table(&self, table: LakeTable) -> impl Iterator<Item = &LakeRows> {
        self.pieces.iter().filter(move |piece| piece.table() == table)
    }
}

impl Lake for MemoryLake {
    fn append(&self, name: &LakeBatchName, rows: &[LakeRows]) -> Result<LakeAppended, LakeError> {
        name.check()?;
        let total: usize = rows.iter().map(LakeRows::len).sum();
        if total > BATCH_ROWS_MAX {
            let problem = format!("{total} rows are more than the {BATCH_ROWS_MAX} of a batch");
            return Err(LakeError::invalid("rows", problem));
        }
        let mut state = self.locked();
        if !state.known.insert(name.clone()) {
            return Ok(LakeAppended::Known);
        }
        state.pieces.extend(rows.iter().filter(|piece| !piece.is_empty()).cloned());
        Ok(LakeAppended::New)
    }

    fn holds(&self, name: &LakeBatchName) -> bool {
        self.locked().known.contains(name)
    }

    fn count(&self, question: &LakeQuestion) -> Result<LakeAnswer, LakeError> {
        question.check()?;
        let state = self.locked();
        let mut kinds = Vec::new();
        for piece in state.of_table(question.table) {
            for row in meant(piece, question.range, &question.filters) {
                let values: Vec<LakeValue> = question.group_by.iter().map(|column| piece.value(row, *column)).collect();
                let distinct = question.distinct.map(|column| piece.value(row, column));
                let number = question.bucket.map(|bucket| bucket.number(time(piece, row)));
                kinds.push((number, values, distinct));
            }
        }
        kinds.sort_by(|(number, values, distinct), (other_number, other_values, other_distinct)| {
            let by_group = number.cmp(other_number).then_with(|| in_order(values, other_values));
            by_group.then_with(|| in_order(distinct.as_slice(), other_distinct.as_slice()))
        });
        let mut groups = Vec::new();
        for piece_of_time in kinds.chunk_by(|one, next| one.0 == next.0) {
            let alike = piece_of_time.chunk_by(|one, next| one.1 == next.1).map(|alike| LakeGroup {
                bucket: question.bucket.zip(alike[0].0).map(|(bucket, number)| bucket.start(number)),
                values: alike[0].1.clone(),
                count: alike.len() as u64,
                distinct: match question.distinct {
                    Some(_) => alike.chunk_by(|one, next| one.2 == next.2).count() as u64,
                    None => 0,
                },
            });
            let mut alike: Vec<LakeGroup> = alike.collect();
            // Sorting is stable: those with as many stay in the order of their values.
            alike.sort_by_key(|group| std::cmp::Reverse(group.count));
            alike.truncate(question.top.unwrap_or(usize::MAX));
            groups.extend(alike);
        }
        let rows_scanned = state.of_table(question.table).map(|piece| piece.len() as u64).sum();
        let effort = LakeEffort { from_rollups: false, rows_scanned, parts: 0 };
        Ok(LakeAnswer::of_groups(question, &groups, kinds.len() as u64, effort))
    }

    fn list(&self, listing: &LakeListing) -> Result<LakeRows, LakeError> {
        listing.check()?;
        let state = self.locked();
        let mut places = Vec::new();
        for piece in state.of_table(listing.table) {
            places.extend(meant(piece, listing.range, &listing.filters).map(|row| (time(piece, row), piece, row)));
        }
        match listing.order {
            LakeOrder::Newest => places.sort_by_key(|(at, ..)| std::cmp::Reverse(*at)),
            LakeOrder::Oldest => places.sort_by_key(|(at, ..)| *at),
        }
        let mut rows = LakeRowsBuilder::new(listing.table);
        for (_, piece, row) in places.into_iter().take(listing.limit) {
            push(&mut rows, piece, row);
        }
        Ok(rows.finish())
    }

    fn visit(
        &self,
        listing: &LakeListing,
        visit: &mut dyn FnMut(LakeRows) -> ControlFlow<()>,
    ) -> Result<(), LakeError> {
        LakeListing { limit: 1, ..listing.clone() }.check()?;
        // Whoever visits may ask the lake something else meanwhile.
        let pieces: Vec<LakeRows> = self.locked().of_table(listing.table).cloned().collect();
        for piece in &pieces {
            let mut rows = LakeRowsBuilder::new(listing.table);
            for row in meant(piece, listing.range, &listing.filters) {
                push(&mut rows, piece, row);
            }
            if !rows.is_empty() && visit(rows.finish()).is_break() {
                break;
            }
        }
        Ok(())
    }

    fn state(&self) -> Result<Vec<LakeTableState>, LakeError> {
        let state = self.locked();
        let of_table = |table| {
            let rows: u64 = state.of_table(table).map(|piece| piece.len() as u64).sum();
            let times = || state.of_table(table).flat_map(LakeRows::times).copied().map(Timestamp::from_unix_millis);
            let times = times().min().zip(times().max());
            LakeTableState { table, rows, hot_rows: rows, parts: 0, bytes: 0, times }
        };
        Ok(LakeTable::ALL.into_iter().map(of_table).collect())
    }

    fn retain(&self, before: Timestamp) -> Result<u64, LakeError> {
        let mut state = self.locked();
        let mut removed = 0;
        for piece in &mut state.pieces {
            let mut kept = LakeRowsBuilder::new(piece.table());
            for row in 0..piece.len() {
                let month = TimeBucket::Month.number(time(piece, row));
                if TimeBucket::Month.start(month + 1) <= before {
                    removed += 1;
                } else {
                    push(&mut kept, piece, row);
                }
            }
            *piece = kept.finish();
        }
        Ok(removed)
    }
}

/// The rows of a piece that are meant.
fn meant(piece: &LakeRows, range: TimeRange, filters: &[LakeFilter]) -> impl Iterator<Item = usize> {
    (0..piece.len()).filter(move |row| {
        range.contains(time(piece, *row))
            && filters.iter().all(|filter| filter.test.holds(&piece.value(*row, filter.column)))
    })
}

fn time(piece: &LakeRows, row: usize) -> Timestamp {
    Timestamp::from_unix_millis(piece.times()[row])
}

fn push(rows: &mut LakeRowsBuilder, piece: &LakeRows, row: usize) {
    let values: Vec<LakeValue> = (0..piece.columns().len()).map(|column| piece.value(row, column)).collect();
    rows.push(&values);
}

/// The order of values of the same columns.
fn in_order(values: &[LakeValue], others: &[LakeValue]) -> Ordering {
    let mut orders = values.iter().zip(others).map(|pair| match pair {
        (LakeValue::Time(at), LakeValue::Time(other)) => at.cmp(other),
        (LakeValue::Text(text), LakeValue::Text(other)) => text.cmp(other),
        (LakeValue::Number(number), LakeValue::Number(other)) => number.cmp(other),
        (LakeValue::Float(number), LakeValue::Float(other)) => number.total_cmp(other),
        (LakeValue::Time(_) | LakeValue::Text(_) | LakeValue::Number(_) | LakeValue::Float(_), _) => {
            unreachable!("a column has values of one kind")
        }
    });
    orders.find(|order| order.is_ne()).unwrap_or(Ordering::Equal)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::conformance_lake::{check_durable_lake, check_lake};

    #[test]
    fn memory_is_a_lake() {
        check_lake(&mut || Arc::new(MemoryLake::default()));
    }

    #[test]
    fn memory_stays_while_somebody_holds_it() {
        let lake = Arc::new(MemoryLake::default());
        check_durable_lake(&mut || lake.clone());
    }
}
