//! Rows themselves.

use std::cmp::Reverse;
use std::ops::ControlFlow;

use komainu_ports::{LakeError, LakeListing, LakeOrder, LakeRows, LakeRowsBuilder, LakeValues};
use parking_lot::Mutex;

use crate::block::{Block, Values};
use crate::threads;
use crate::window::{Selection, Window};

/// The rows of a listing, in its order.
pub(crate) fn list(listing: &LakeListing, mut blocks: Vec<Block>) -> Result<LakeRows, LakeError> {
    // What can have the first rows is looked at first; then most of the rest need not be read.
    match listing.order {
        LakeOrder::Newest => blocks.sort_by_key(|block| Reverse(block.times().1)),
        LakeOrder::Oldest => blocks.sort_by_key(|block| block.times().0),
    }
    let found = Mutex::new(Found { listing, pieces: Vec::new(), rows: Vec::new() });
    let look = |block: &Block| {
        let last = {
            let found = found.lock();
            if found.is_enough_without(block) {
                return Ok(());
            }
            found.last_wanted()
        };
        let Some(mut window) = Window::of(block, listing.range, &listing.filters)? else { return Ok(()) };
        let Some(selection) = window.select(listing.range, &listing.filters)? else { return Ok(()) };
        let Some(FirstRows { times, columns }) = first_of(listing, &mut window, &selection, last)? else {
            return Ok(());
        };
        found.lock().take(times, columns);
        Ok(())
    };
    threads::spread(&blocks, || (), |(), block| look(block), |()| Ok(()))?;
    found.into_inner().finish()
}

/// Shows all rows of a listing, whatever their order, block by block.
pub(crate) fn visit(
    listing: &LakeListing,
    blocks: &[Block],
    visit: &mut dyn FnMut(LakeRows) -> ControlFlow<()>,
) -> Result<(), LakeError> {
    for block in blocks {
        let Some(mut window) = Window::of(block, listing.range, &listing.filters)? else { continue };
        let Some(selection) = window.select(listing.range, &listing.filters)? else { continue };
        let rows: Vec<u32> = match selection {
            Selection::All => (0..window.len() as u32).collect(),
            Selection::Rows(rows) => rows,
        };
        let rows = LakeRows::from_columns(listing.table, pick(&mut window, &rows)?)?;
        if visit(rows).is_break() {
            break;
        }
    }
    Ok(())
}

/// Some rows of one block, in the order of the listing.
struct FirstRows {
    times: Vec<i64>,
    columns: Vec<LakeValues>,
}

/// The first rows so far.
struct Found<'l> {
    listing: &'l LakeListing,
    /// Rows of blocks that were found.
    pieces: Vec<Vec<LakeValues>>,
    /// Times, and the piece and row of each, in the order of the listing, as many as are wanted.
    rows: Vec<(i64, u32, u32)>,
}

impl Found<'_> {
    /// The time of the last row, when there are as many as are wanted.
    fn last_wanted(&self) -> Option<i64> {
        self.rows.last().filter(|_| self.rows.len() >= self.listing.limit).map(|(time, ..)| *time)
    }

    /// Whether all that is wanted comes before every row of this block and those behind it.
    fn is_enough_without(&self, block: &Block) -> bool {
        self.last_wanted().is_some_and(|last| match self.listing.order {
            LakeOrder::Newest => block.times().1 < last,
            LakeOrder::Oldest => block.times().0 > last,
        })
    }

    /// Takes rows of a block, in the order of the listing.
    fn take(&mut self, times: Vec<i64>, columns: Vec<LakeValues>) {
        let piece = self.pieces.len() as u32;
        self.pieces.push(columns);
        self.rows.extend(times.into_iter().zip(0..).map(|(time, row)| (time, piece, row)));
        match self.listing.order {
            LakeOrder::Newest => self.rows.sort_by_key(|(time, ..)| Reverse(*time)),
            LakeOrder::Oldest => self.rows.sort_by_key(|(time, ..)| *time),
        }
        self.rows.truncate(self.listing.limit);
        // What others have pushed out takes no memory.
        let mut is_used = vec![false; self.pieces.len()];
        self.rows.iter().for_each(|(_, piece, _)| is_used[*piece as usize] = true);
        let unused = self.pieces.iter_mut().zip(is_used).filter(|(_, is_used)| !is_used);
        unused.for_each(|(columns, _)| *columns = Vec::new());
    }

    fn finish(self) -> Result<LakeRows, LakeError> {
        let mut builder = LakeRowsBuilder::new(self.listing.table);
        for (_, piece, row) in &self.rows {
            let columns = &self.pieces[*piece as usize];
            builder.push(&columns.iter().map(|values| values.value(*row as usize)).collect::<Vec<_>>());
        }
        Ok(builder.finish())
    }
}

/// Of the rows of a window that are meant those that come first and before `last`, as many as are wanted: their times and their
/// columns.
fn first_of(
    listing: &LakeListing,
    window: &mut Window<'_>,
    selection: &Selection,
    last: Option<i64>,
) -> Result<Option<FirstRows>, LakeError> {
    let Values::Time(times) = window.column(0)? else { return Ok(None) };
    let is_wanted = |time: i64| match (last, listing.order) {
        (None, _) => true,
        (Some(last), LakeOrder::Newest) => time > last,
        (Some(last), LakeOrder::Oldest) => time < last,
    };
    let mut wanted: Vec<(i64, u32)> = match selection {
        Selection::All => times.iter().copied().zip(0..).collect(),
        Selection::Rows(rows) => rows.iter().map(|row| (times[*row as usize], *row)).collect(),
    };
    wanted.retain(|(time, _)| is_wanted(*time));
    if wanted.is_empty() {
        return Ok(None);
    }
    let order = |a: &(i64, u32), b: &(i64, u32)| match listing.order {
        LakeOrder::Newest => b.0.cmp(&a.0).then(a.1.cmp(&b.1)),
        LakeOrder::Oldest => a.cmp(b),
    };
    if wanted.len() > listing.limit {
        wanted.select_nth_unstable_by(listing.limit, order);
        wanted.truncate(listing.limit);
    }
    wanted.sort_unstable_by(order);
    let rows: Vec<u32> = wanted.iter().map(|(_, row)| *row).collect();
    let columns = pick(window, &rows)?;
    Ok(Some(FirstRows { times: wanted.into_iter().map(|(time, _)| time).collect(), columns }))
}

/// These rows of a window, all columns.
fn pick(window: &mut Window<'_>, rows: &[u32]) -> Result<Vec<LakeValues>, LakeError> {
    let columns = window.block().table().columns();
    (0..columns.len()).map(|column| Ok(window.column(column)?.pick(columns[column].kind, rows))).collect()
}
