//! What one thread counts.

use ahash::RandomState;
use hashbrown::{HashMap, HashSet};
use komainu_model::Timestamp;
use komainu_ports::{GROUP_COLUMNS_MAX, LakeError, LakeQuestion};
use parking_lot::Mutex;

use super::groups::{Found, Group, merged};
use super::keys::Keys;
use super::table::Table;
use super::{GROUPS_MAX, MonthBlocks, PAIRS_MAX, WORDS_MAX, counts_runs, within};
use crate::block::{Block, Values, Word, Words};
use crate::histogram::{Buckets, Codes, groups_of_rows};
use crate::part::sort_columns;
use crate::window::{Selection, Window};
use crate::words::Lexicon;

/// Groups of a block are looked up in a table of this size at most; with more of them, in a map.
const BLOCK_CELLS_MAX: u64 = 1 << 20;

/// What the threads of a question share: a word has the same number for all of them.
pub(super) struct Shared<'q> {
    pub(super) question: &'q LakeQuestion,
    /// A lexicon for each column that is grouped by.
    pub(super) lexicons: Mutex<Vec<Lexicon>>,
    /// The values of the distinct column.
    values: Mutex<Option<Lexicon>>,
}

/// What one thread has counted: in a table as long as that has room, else as sorted numbers; in a map when it is asked for
/// different values that are not counted as runs.
pub(super) struct Tally<'s> {
    shared: &'s Shared<'s>,
    question: &'s LakeQuestion,
    table: Table,
    keys: Keys,
    map: GroupMap,
    /// Runs of equal values are counted in the map from now on: the table had no room.
    is_out_of_table: bool,
    runs: u32,
    pub(super) rows: u64,
    pub(super) rows_scanned: u64,
}

/// Counts by group.
#[derive(Debug, Default)]
struct GroupMap {
    places: HashMap<Group, u32, RandomState>,
    found: Vec<Found>,
    /// Of each group, the run of equal values that it saw last.
    last_runs: Vec<u32>,
    /// Groups and values that were seen together.
    pairs: HashSet<(u32, u32), RandomState>,
}

/// The columns that say of which group a row is.
struct Columns {
    /// None when all rows are of one piece of time, or nobody asked.
    times: Option<Vec<i64>>,
    coded: Vec<(Vec<u32>, Words)>,
    /// The first and the last piece of time.
    buckets: (i64, i64),
    /// For each column the numbers of the words that rows have, and how many words it has by now.
    numbers: Vec<Vec<u32>>,
    words: Vec<usize>,
}

impl<'q> Shared<'q> {
    pub(super) fn new(question: &'q LakeQuestion) -> Self {
        let kind = |column: usize| question.table.columns()[column].kind;
        Self {
            question,
            lexicons: Mutex::new(question.group_by.iter().map(|column| Lexicon::new(kind(*column))).collect()),
            values: Mutex::new(question.distinct.map(|column| Lexicon::new(kind(column)))),
        }
    }
}

/// The groups that several threads have found, each once.
pub(super) fn found(tallies: Vec<Tally<'_>>) -> Result<Vec<Found>, LakeError> {
    let mut tables: Vec<Table> = Vec::new();
    let mut all_keys: Vec<Keys> = Vec::new();
    let mut maps: Vec<GroupMap> = Vec::new();
    for tally in tallies {
        let Tally { table, keys, map, .. } = tally;
        if !table.counts.is_empty() && !tables.last_mut().is_some_and(|last| last.add(&table)) {
            tables.push(table);
        }
        if !keys.is_empty() {
            all_keys.push(keys);
        }
        if !map.found.is_empty() {
            match maps.last_mut() {
                Some(all) => all.add(map)?,
                None => maps.push(map),
            }
        }
    }
    let places = tables.len() + all_keys.len() + maps.len();
    let mut found: Vec<Found> = tables.iter().flat_map(|table| table.found().map(|(found, _)| found)).collect();
    drop(tables);
    let is_one_stretch = all_keys.len() <= 1;
    found.extend(all_keys.iter().flat_map(Keys::found));
    drop(all_keys);
    found.extend(maps.into_iter().flat_map(|map| map.found));
    within(found.len(), 2 * GROUPS_MAX, "groups")?;
    let is_sorted = places == 1 && is_one_stretch && found.is_sorted_by_key(|found| found.group);
    if !is_sorted {
        found = merged(found);
    } else {
        found.dedup_by(|next, kept| {
            let is_same = next.group == kept.group;
            kept.count += if is_same { next.count } else { 0 };
            is_same
        });
    }
    within(found.len(), GROUPS_MAX, "groups")?;
    Ok(found)
}

impl<'s> Tally<'s> {
    pub(super) fn new(shared: &'s Shared<'s>) -> Self {
        let question = shared.question;
        Self {
            shared,
            question,
            table: Table::new(counts_runs(question)),
            keys: Keys::new(question.group_by.len()),
            map: GroupMap::default(),
            is_out_of_table: false,
            runs: 0,
            rows: 0,
            rows_scanned: 0,
        }
    }

    pub(super) fn count_block(&mut self, block: &Block) -> Result<(), LakeError> {
        let Some((mut window, selection)) = self.look_at(block)? else { return Ok(()) };
        let values = self.question.distinct.map(|column| window.copy_column(column)).transpose()?;
        let columns = Columns::read(&mut window, self.shared, &selection)?;
        match values {
            None => self.count_groups(&columns, &selection, window.len()),
            Some(values) => self.count_pairs(&columns, &values, &selection, window.len()),
        }
    }

    /// Counts the rows of a month, and the different values of the column by which they are sorted.
    pub(super) fn count_month(&mut self, month: &MonthBlocks) -> Result<(), LakeError> {
        if month.parts.len() + month.hot.len() > 1 || !month.hot.is_empty() {
            // A value may be in several places: which were seen with a group is remembered, for this month only.
            return month.parts.iter().flatten().chain(&month.hot).try_for_each(|block| self.count_block(block));
        }
        let mut last_word = None;
        month.parts.iter().flatten().try_for_each(|block| self.count_runs(block, &mut last_word))
    }

    /// Ends what this thread does.
    pub(super) fn sort_keys(&mut self) -> Result<(), LakeError> {
        within(self.keys.sort(), 2 * GROUPS_MAX, "groups")
    }

    /// The rows of a block that are meant; none when there is none.
    fn look_at<'b>(&mut self, block: &'b Block) -> Result<Option<(Window<'b>, Selection)>, LakeError> {
        let LakeQuestion { range, filters, .. } = self.question;
        let Some(mut window) = Window::of(block, *range, filters)? else { return Ok(None) };
        self.rows_scanned += window.len() as u64;
        let Some(selection) = window.select(*range, filters)? else { return Ok(None) };
        self.rows += selection.len(window.len()) as u64;
        let selection = window.leave(selection);
        Ok(Some((window, selection)))
    }

    /// Counts the rows of each group.
    fn count_groups(&mut self, columns: &Columns, selection: &Selection, rows: usize) -> Result<(), LakeError> {
        let selected = selection.len(rows);
        if self.table.make_room(columns.buckets, &columns.words, selected) {
            self.visit_table(columns, selection, rows, |table, begin, groups| {
                let counts = &mut table.counts[begin..];
                groups.iter().for_each(|group| counts[*group as usize] += 1);
            });
            return Ok(());
        }
        if self.keys.have_room(columns.buckets, &columns.words) {
            self.take_keys(columns, selection, selected);
            return within(self.keys.sort_if_many(), 2 * GROUPS_MAX, "groups");
        }
        for place in self.places_of_rows(columns, selection, rows)? {
            self.map.found[place as usize].count += 1;
        }
        Ok(())
    }

    fn take_keys(&mut self, columns: &Columns, selection: &Selection, selected: usize) {
        let first = columns.buckets.0;
        let coded = columns.coded.iter().zip(&columns.numbers);
        let coded: Vec<Codes<'_>> =
            coded.map(|((codes, _), numbers)| Codes { codes, numbers: Some(numbers), size: 0 }).collect();
        match (&columns.times, self.question.bucket) {
            (Some(times), Some(bucket)) => {
                let number = |place| bucket.number(Timestamp::from_unix_millis(times[selection.row(place)]));
                self.keys.take(first, selected, selection, number, &coded);
            }
            _ => self.keys.take(first, selected, selection, |_| first, &coded),
        }
    }

    /// Counts the rows of each group, and which values it has.
    fn count_pairs(
        &mut self,
        columns: &Columns,
        values: &Values,
        selection: &Selection,
        rows: usize,
    ) -> Result<(), LakeError> {
        let Values::Coded { codes, words } = values else { return Ok(()) };
        let places = self.places_of_rows(columns, selection, rows)?;
        let codes = (0..places.len()).map(|place| codes[selection.row(place)]);
        let codes: Vec<u32> = codes.collect();
        let numbers = {
            let mut lexicon = self.shared.values.lock();
            let lexicon = lexicon.as_mut().expect("a question with a distinct column has a lexicon for it");
            numbers_of(lexicon, words, codes.iter().copied())?
        };
        let mut last = (u32::MAX, u32::MAX);
        for (place, code) in places.into_iter().zip(codes) {
            let found = &mut self.map.found[place as usize];
            found.count += 1;
            if last == (place, code) {
                continue;
            }
            last = (place, code);
            if self.map.pairs.insert((place, numbers[code as usize])) {
                found.distinct += 1;
            }
        }
        within(self.map.pairs.len(), PAIRS_MAX, "pairs of a group and a value")
    }

    fn count_runs(&mut self, block: &Block, last_word: &mut Option<String>) -> Result<(), LakeError> {
        let Some((mut window, selection)) = self.look_at(block)? else { return Ok(()) };
        let sorted = window.copy_column(sort_columns(self.question.table)[0])?;
        let columns = Columns::read(&mut window, self.shared, &selection)?;
        let Values::Coded { codes, words } = &sorted else { return Ok(()) };
        let (Some(first), Some(last)) = (codes.first(), codes.last()) else { return Ok(()) };
        // A run may have begun in the block before.
        let word = |code: u32| if let Word::Text(text) = words.get(code) { text } else { "" };
        let goes_on = last_word.as_deref() == Some(word(*first));
        let begin = if goes_on { self.runs } else { self.runs + 1 };
        *last_word = Some(word(*last).to_owned());
        // Codes are given in the order in which words come, so that a code is the number of its run.
        self.runs = begin + last.saturating_sub(*first);
        let (rows, first) = (window.len(), *first);
        let run_of = |row: usize| begin + codes[selection.row(row)].saturating_sub(first);
        if !self.is_out_of_table && !self.table.make_room(columns.buckets, &columns.words, selection.len(rows)) {
            // What goes on across blocks is counted in one place.
            let table = std::mem::replace(&mut self.table, Table::new(true));
            table.found().try_for_each(|(found, last_run)| self.map.put(found, last_run))?;
            self.is_out_of_table = true;
        }
        if self.is_out_of_table {
            for (row, place) in self.places_of_rows(&columns, &selection, rows)?.into_iter().enumerate() {
                let (found, last_run) = (&mut self.map.found[place as usize], &mut self.map.last_runs[place as usize]);
                found.count += 1;
                found.distinct += u64::from(*last_run != run_of(row));
                *last_run = run_of(row);
            }
            return Ok(());
        }
        let mut row = 0;
        self.visit_table(&columns, &selection, rows, |table, begin, groups| {
            for group in groups {
                let (cell, run) = (begin + *group as usize, run_of(row));
                row += 1;
                table.counts[cell] += 1;
                table.distinct[cell] += u32::from(table.last_runs[cell] != run);
                table.last_runs[cell] = run;
            }
        });
        Ok(())
    }

    /// Shows `visit` the cells of rows' groups, in the order of the rows: where the stretch begins that they are counted from,
    /// and their numbers there.
    fn visit_table(
        &mut self,
        columns: &Columns,
        selection: &Selection,
        rows: usize,
        mut visit: impl FnMut(&mut Table, usize, &[u32]),
    ) {
        let table = &mut self.table;
        let sizes = table.sizes.clone();
        let coded = columns.coded.iter().zip(&columns.numbers).zip(&sizes);
        let coded: Vec<Codes<'_>> =
            coded.map(|(((codes, _), numbers), size)| Codes { codes, numbers: Some(numbers), size: *size }).collect();
        // Counted from the block's first piece of time: from the table's, it may be more milliseconds than are counted with.
        let first = columns.buckets.0;
        let buckets = columns.times.as_ref().zip(self.question.bucket);
        let buckets = buckets.map(|(times, bucket)| Buckets { bucket, first, times });
        let begin = table.begin_of(first);
        groups_of_rows(buckets, &coded, selection, rows, |groups| visit(table, begin, groups));
    }

    /// The place of each row's group in the map.
    fn places_of_rows(&mut self, columns: &Columns, selection: &Selection, rows: usize) -> Result<Vec<u32>, LakeError> {
        let mut places = Vec::with_capacity(selection.len(rows));
        let (first, last) = columns.buckets;
        let cells = columns
            .coded
            .iter()
            .fold((last - first) as u64 + 1, |cells, (_, words)| cells.saturating_mul(words.len() as u64));
        if cells <= BLOCK_CELLS_MAX {
            let coded: Vec<Codes<'_>> = columns
                .coded
                .iter()
                .map(|(codes, words)| Codes { codes, numbers: None, size: words.len() as u32 })
                .collect();
            let buckets = columns.times.as_ref().zip(self.question.bucket);
            let buckets = buckets.map(|(times, bucket)| Buckets { bucket, first, times });
            let mut keys = Vec::with_capacity(selection.len(rows));
            groups_of_rows(buckets, &coded, selection, rows, |groups| keys.extend_from_slice(groups));
            let mut known = vec![u32::MAX; cells as usize];
            for key in keys {
                let place = &mut known[key as usize];
                if *place == u32::MAX {
                    *place = self.map.place(columns.group(u64::from(key)))?;
                }
                places.push(*place);
            }
            return Ok(places);
        }
        for place in 0..selection.len(rows) {
            let row = selection.row(place);
            let mut group = Group { bucket: first, words: [0; GROUP_COLUMNS_MAX] };
            if let (Some(times), Some(bucket)) = (&columns.times, self.question.bucket) {
                group.bucket = bucket.number(Timestamp::from_unix_millis(times[row]));
            }
            for (word, ((codes, _), numbers)) in group.words.iter_mut().zip(columns.coded.iter().zip(&columns.numbers))
            {
                *word = numbers[codes[row] as usize];
            }
            places.push(self.map.place(group)?);
        }
        Ok(places)
    }
}

impl GroupMap {
    fn place(&mut self, group: Group) -> Result<u32, LakeError> {
        if let Some(place) = self.places.get(&group) {
            return Ok(*place);
        }
        within(self.found.len() + 1, GROUPS_MAX, "groups")?;
        let place = self.found.len() as u32;
        self.places.insert(group, place);
        self.found.push(Found { group, count: 0, distinct: 0 });
        self.last_runs.push(0);
        Ok(place)
    }

    fn put(&mut self, found: Found, last_run: u32) -> Result<(), LakeError> {
        let place = self.place(found.group)? as usize;
        self.found[place] = found;
        self.last_runs[place] = last_run;
        Ok(())
    }

    /// Adds what another thread has found: what was seen with a value by both is counted once.
    fn add(&mut self, other: Self) -> Result<(), LakeError> {
        let mut places = Vec::with_capacity(other.found.len());
        for found in &other.found {
            let place = self.place(found.group)?;
            self.found[place as usize].count += found.count;
            places.push(place);
        }
        for (place, value) in other.pairs {
            let here = places[place as usize];
            if self.pairs.insert((here, value)) {
                self.found[here as usize].distinct += 1;
            }
        }
        within(self.pairs.len(), PAIRS_MAX, "pairs of a group and a value")
    }
}

impl Columns {
    fn read(window: &mut Window<'_>, shared: &Shared<'_>, selection: &Selection) -> Result<Self, LakeError> {
        let question = shared.question;
        let (first, last) = window.block().times();
        let buckets = match question.bucket {
            None => (0, 0),
            Some(bucket) => {
                let number = |at: i64| bucket.number(Timestamp::from_unix_millis(at));
                (number(first), number(last))
            }
        };
        let times = if buckets.0 == buckets.1 { None } else { Some(window.take_column(0)?.into_times()) };
        let mut coded = Vec::with_capacity(question.group_by.len());
        for column in &question.group_by {
            if let Values::Coded { codes, words } = window.take_column(*column)? {
                coded.push((codes, words));
            }
        }
        let mut lexicons = shared.lexicons.lock();
        let mut numbers = Vec::with_capacity(coded.len());
        for (lexicon, (codes, words)) in lexicons.iter_mut().zip(&coded) {
            numbers.push(match selection {
                Selection::Rows(rows) if rows.len() < words.len() => {
                    numbers_of(lexicon, words, rows.iter().map(|row| codes[*row as usize]))?
                }
                Selection::All if codes.len() < words.len() => numbers_of(lexicon, words, codes.iter().copied())?,
                Selection::All | Selection::Rows(_) => numbers_of(lexicon, words, 0..words.len() as u32)?,
            });
        }
        let words = lexicons.iter().map(Lexicon::len).collect();
        Ok(Self { times, coded, buckets, numbers, words })
    }

    /// The group that has this number in its block.
    fn group(&self, mut key: u64) -> Group {
        let mut group = Group { bucket: 0, words: [0; GROUP_COLUMNS_MAX] };
        for (column, (_, words)) in self.coded.iter().enumerate().rev() {
            group.words[column] = self.numbers[column][(key % words.len() as u64) as usize];
            key /= words.len() as u64;
        }
        group.bucket = self.buckets.0 + key as i64;
        group
    }
}

/// The numbers of the words that have these codes, in the order of all codes.
fn numbers_of(lexicon: &mut Lexicon, words: &Words, codes: impl Iterator<Item = u32>) -> Result<Vec<u32>, LakeError> {
    let mut numbers = vec![u32::MAX; words.len()];
    for code in codes {
        let number = &mut numbers[code as usize];
        if *number == u32::MAX {
            *number = lexicon.number(words.get(code));
        }
    }
    within(lexicon.len(), WORDS_MAX, "different values")?;
    Ok(numbers)
}

impl Selection {
    /// The row of the window that is the `place`th that is meant.
    fn row(&self, place: usize) -> usize {
        match self {
            Self::All => place,
            Self::Rows(rows) => rows[place] as usize,
        }
    }
}
