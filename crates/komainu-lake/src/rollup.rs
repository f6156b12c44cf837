//! Counts that stand ready: a few narrow tables for what dashboards ask.
//!
//! A cube counts the rows of each hour or day by some columns. What is asked is answered by the smallest cube that has the
//! columns, if the asked time begins and ends with its pieces of time; the rest is for the kernels. Counts are added up, in
//! any order, so that late rows need nothing special.

use std::cmp::Ordering;
use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Arc;

use ahash::RandomState;
use hashbrown::HashMap;
use komainu_model::Timestamp;
use komainu_ports::{
    LakeAnswer, LakeEffort, LakeKind, LakeQuestion, LakeRows, LakeTable, LakeValues, TimeBucket, TimeRange,
};

use crate::block::{HotRows, Values, Word, Words};
use crate::histogram::{Buckets, Codes, groups_of_rows};
use crate::window::{Selection, holds};
use crate::words::Lexicon;

/// Different words of one column that are counted by cubes. With more of them, which only somebody brings about who makes up
/// names, what is asked about that column is answered by the kernels.
const WORDS_MAX: usize = 60_000;

/// Bits of a code.
const CODE_BITS: u32 = 20;

const CODE_MASK: u64 = (1 << CODE_BITS) - 1;

/// The code of what has none of its own: a word too many, or a number that is too large. No port is.
pub(crate) const OTHER: u32 = CODE_MASK as u32;

/// A cube.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Cube {
    /// Its number in the catalog; never given to another.
    pub(crate) number: i64,
    table: LakeTable,
    bucket: TimeBucket,
    /// Up to three columns, in the order of the table's.
    columns: &'static [usize],
}

/// Places of columns of the attacks.
mod attacks {
    pub(super) const COUNTRY: usize = 2;
    pub(super) const SENSOR: usize = 4;
    pub(super) const APPLIANCE: usize = 5;
    pub(super) const MODEL: usize = 6;
    pub(super) const PROTOCOL: usize = 7;
    pub(super) const PORT: usize = 9;
    pub(super) const LABEL: usize = 10;
}

const fn day(number: i64, columns: &'static [usize]) -> Cube {
    Cube { number, table: LakeTable::Attacks, bucket: TimeBucket::Day, columns }
}

const fn month(number: i64, columns: &'static [usize]) -> Cube {
    Cube { number, table: LakeTable::Attacks, bucket: TimeBucket::Month, columns }
}

const fn hour(number: i64, columns: &'static [usize]) -> Cube {
    Cube { number, table: LakeTable::Attacks, bucket: TimeBucket::Hour, columns }
}

/// So many columns a cube has at most.
const CUBE_COLUMNS_MAX: usize = 3;

/// The cubes. A wide one would have nearly as many cells as there are attacks.
pub(crate) const CUBES: &[Cube] = &[
    day(1, &[attacks::COUNTRY]),
    day(2, &[attacks::PROTOCOL]),
    day(3, &[attacks::LABEL]),
    day(4, &[attacks::SENSOR, attacks::APPLIANCE, attacks::MODEL]),
    day(5, &[attacks::APPLIANCE, attacks::MODEL, attacks::PROTOCOL]),
    day(6, &[attacks::COUNTRY, attacks::PROTOCOL]),
    day(7, &[attacks::COUNTRY, attacks::APPLIANCE]),
    day(8, &[attacks::PORT]),
    day(9, &[attacks::PROTOCOL, attacks::LABEL]),
    hour(10, &[attacks::PROTOCOL]),
    hour(11, &[attacks::COUNTRY]),
    hour(12, &[attacks::APPLIANCE, attacks::PROTOCOL]),
    hour(13, &[attacks::PORT]),
    hour(14, &[attacks::LABEL]),
    hour(15, &[attacks::SENSOR]),
    // Ports are many: what is asked about years is added up from months.
    month(16, &[attacks::PORT]),
];

/// The counts of all cubes.
#[derive(Debug)]
pub(crate) struct Rollups {
    words: BTreeMap<(LakeTable, usize), Lexicon>,
    /// Columns that have values without a code of their own: what is asked about them is not answered here.
    incomplete: BTreeSet<(LakeTable, usize)>,
    /// One for each cube.
    counts: Vec<BTreeMap<i64, Cells>>,
}

/// The counts of one piece of time, in the order of their keys. A key is the codes of up to three values, [`CODE_BITS`] each,
/// that of the first column lowest. The code of a text is a number given to it, that of a number itself.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Cells {
    pub(crate) keys: Vec<u64>,
    pub(crate) counts: Vec<u32>,
}

/// What some rows add to the cubes.
#[derive(Debug, Default)]
pub(crate) struct Delta(Vec<CubeDelta>);

/// What rows of one table and month add to one cube.
#[derive(Debug)]
struct CubeDelta {
    /// The cube's place.
    cube: usize,
    /// The words of its columns.
    words: Vec<Arc<Words>>,
    /// Pieces of time, codes of words, and counts.
    cells: Vec<(i64, [u32; CUBE_COLUMNS_MAX], u32)>,
}

/// Cells of rows are counted in a table of this size at most; with more of them, in a map.
const TABLE_CELLS_MAX: u64 = 1 << 20;

/// What rows add to the cubes of their table, whatever their order.
pub(crate) fn delta<'r>(rows: impl IntoIterator<Item = &'r HotRows>) -> Delta {
    Delta(rows.into_iter().filter(|hot| !hot.rows.is_empty()).flat_map(|hot| delta_of(&hot.rows)).collect())
}

fn delta_of(rows: &LakeRows) -> Vec<CubeDelta> {
    let cubes = || CUBES.iter().enumerate().filter(|(_, cube)| cube.table == rows.table());
    let mut columns: BTreeMap<usize, (Vec<u32>, Arc<Words>)> = BTreeMap::new();
    for column in cubes().flat_map(|(_, cube)| cube.columns) {
        if let (Entry::Vacant(place), Values::Coded { codes, words }) =
            (columns.entry(*column), Values::of(&rows.columns()[*column]))
        {
            place.insert((codes, Arc::new(words)));
        }
    }
    let first = rows.times().iter().copied().min().unwrap_or(0);
    let last = rows.times().iter().copied().max().unwrap_or(0);
    let of_cube = |(place, cube): (usize, &Cube)| {
        let number = |at: i64| cube.bucket.number(Timestamp::from_unix_millis(at));
        let (first, last) = (number(first), number(last));
        let columns: Vec<&(Vec<u32>, Arc<Words>)> = cube.columns.iter().map(|column| &columns[column]).collect();
        let coded: Vec<Codes<'_>> =
            columns.iter().map(|(codes, words)| Codes { codes, numbers: None, size: words.len() as u32 }).collect();
        let buckets = Buckets { bucket: cube.bucket, first, times: rows.times() };
        let buckets = (first != last).then_some(buckets);
        let cells = columns
            .iter()
            .fold((last - first) as u64 + 1, |cells, (_, words)| cells.saturating_mul(words.len() as u64));
        let counted: Vec<(u32, u32)> = if cells <= TABLE_CELLS_MAX {
            let mut table = vec![0_u32; cells as usize];
            groups_of_rows(buckets, &coded, &Selection::All, rows.len(), |groups| {
                groups.iter().for_each(|group| table[*group as usize] += 1);
            });
            (0..).zip(table).filter(|(_, count)| *count > 0).collect()
        } else {
            // A batch has fewer rows than 32 bits can count, and so few columns with many words that groups fit as well.
            let mut table: HashMap<u32, u32, RandomState> = HashMap::default();
            groups_of_rows(buckets, &coded, &Selection::All, rows.len(), |groups| {
                groups.iter().for_each(|group| *table.entry(*group).or_insert(0) += 1);
            });
            table.into_iter().collect()
        };
        let cells = counted.into_iter().map(|(group, count)| {
            let (mut rest, mut codes) = (group, [0; CUBE_COLUMNS_MAX]);
            for (column, (_, words)) in columns.iter().enumerate().rev() {
                codes[column] = rest % words.len() as u32;
                rest /= words.len() as u32;
            }
            (first + i64::from(rest), codes, count)
        });
        let words = columns.iter().map(|(_, words)| words.clone()).collect();
        CubeDelta { cube: place, words, cells: cells.collect() }
    };
    cubes().map(of_cube).collect()
}

impl Default for Rollups {
    fn default() -> Self {
        Self {
            words: BTreeMap::new(),
            incomplete: BTreeSet::new(),
            counts: CUBES.iter().map(|_| BTreeMap::new()).collect(),
        }
    }
}

impl Rollups {
    /// Gives a word the code that it has in the catalog; they come in the order of their codes.
    pub(crate) fn learn(&mut self, table: LakeTable, column: usize, code: u32, word: &str) {
        if code == OTHER {
            self.incomplete.insert((table, column));
        } else {
            let kind = table.columns()[column].kind;
            let lexicon = self.words.entry((table, column)).or_insert_with(|| Lexicon::new(kind));
            lexicon.number(Word::Text(word));
        }
    }

    /// The words with their codes, without as many of each column as `known` says, and the columns that have values without
    /// a code.
    pub(crate) fn words(&self, known: impl Fn(LakeTable, usize) -> u32) -> Vec<(LakeTable, usize, u32, String)> {
        let coded = self.words.iter().flat_map(|((table, column), words)| {
            (known(*table, *column)..words.len() as u32).filter_map(|code| match words.word(code) {
                Word::Text(text) => Some((*table, *column, code, text.to_owned())),
                Word::Number(_) => None,
            })
        });
        let other = self.incomplete.iter().map(|(table, column)| (*table, *column, OTHER, String::new()));
        coded.chain(other).collect()
    }

    /// How many words each column has.
    pub(crate) fn word_counts(&self) -> impl Iterator<Item = ((LakeTable, usize), u32)> + '_ {
        self.words.iter().map(|(column, words)| (*column, words.len() as u32))
    }

    /// The cells that rows add, by cube and piece of time, with codes that are these rollups'.
    pub(crate) fn cells(&mut self, delta: &Delta) -> BTreeMap<(usize, i64), Cells> {
        let mut all: BTreeMap<(usize, i64), Vec<(u64, u32)>> = BTreeMap::new();
        for of_cube in &delta.0 {
            let cube = &CUBES[of_cube.cube];
            let columns = cube.columns.iter().zip(&of_cube.words);
            let codes: Vec<Vec<u32>> = columns.map(|(column, words)| self.codes(cube.table, *column, words)).collect();
            let mut open: Option<(i64, &mut Vec<(u64, u32)>)> = None;
            let mut cells: Vec<&(i64, [u32; CUBE_COLUMNS_MAX], u32)> = of_cube.cells.iter().collect();
            cells.sort_unstable_by_key(|(bucket, ..)| *bucket);
            for (bucket, local, count) in cells {
                let key = (0..).zip(&codes).fold(0, |key, (place, codes)| {
                    key | u64::from(codes[local[place as usize] as usize]) << (CODE_BITS * place)
                });
                match &mut open {
                    Some((of, cells)) if of == bucket => cells.push((key, *count)),
                    _ => {
                        let cells = all.entry((of_cube.cube, *bucket)).or_default();
                        cells.push((key, *count));
                        open = Some((*bucket, cells));
                    }
                }
            }
        }
        let sorted = all.into_iter().map(|(place, mut cells)| {
            cells.sort_unstable();
            (place, Cells::of(cells))
        });
        sorted.collect()
    }

    /// The codes of words, in their order.
    fn codes(&mut self, table: LakeTable, column: usize, words: &Words) -> Vec<u32> {
        let lexicon = self.words.entry((table, column)).or_insert_with(|| Lexicon::new(table.columns()[column].kind));
        let codes: Vec<u32> = words
            .iter()
            .map(|word| match word {
                Word::Number(number) => number.min(OTHER),
                word => match lexicon.find(word) {
                    Some(number) => number,
                    None if lexicon.len() >= WORDS_MAX => OTHER,
                    None => lexicon.number(word),
                },
            })
            .collect();
        if codes.contains(&OTHER) {
            self.incomplete.insert((table, column));
        }
        codes
    }

    /// Adds cells to what is counted.
    pub(crate) fn add(&mut self, cube: usize, bucket: i64, cells: &Cells) {
        self.counts[cube].entry(bucket).or_default().add(cells);
    }

    /// Forgets the pieces of time of a table in a month.
    pub(crate) fn forget(&mut self, table: LakeTable, month: i64) {
        for (cube, counts) in CUBES.iter().zip(&mut self.counts).filter(|(cube, _)| cube.table == table) {
            let Range { start, end } = cube.buckets_of_month(month);
            let mut later = counts.split_off(&start);
            counts.append(&mut later.split_off(&end));
        }
    }

    /// The answer, if a cube has it.
    pub(crate) fn answer(&self, question: &LakeQuestion, times: (i64, i64)) -> Option<LakeAnswer> {
        if question.distinct.is_some() {
            return None;
        }
        let fitting = CUBES.iter().zip(&self.counts).filter(|(cube, _)| cube.fits(question, times));
        let (cube, counts) = fitting
            .filter(|(cube, _)| {
                let asked =
                    question.group_by.iter().copied().chain(question.filters.iter().map(|filter| filter.column));
                asked.into_iter().all(|column| !self.incomplete.contains(&(cube.table, column)))
            })
            .min_by_key(|(_, counts)| {
                let first = counts.iter().next_back().map_or(0, |(_, cells)| cells.keys.len());
                counts.len().saturating_mul(first)
            })?;
        Some(self.sum(cube, counts, question))
    }

    fn sum(&self, cube: &Cube, counts: &BTreeMap<i64, Cells>, question: &LakeQuestion) -> LakeAnswer {
        let filters: Vec<(u32, Vec<bool>)> = question
            .filters
            .iter()
            .filter_map(|filter| {
                let shift = cube.shift_of(filter.column)?;
                let allowed = match self.kind(cube.table, filter.column) {
                    LakeKind::Number => {
                        (0..=u32::from(u16::MAX)).map(|number| holds(&filter.test, Word::Number(number))).collect()
                    }
                    LakeKind::Text | LakeKind::Time | LakeKind::Float => {
                        let words = self.words.get(&(cube.table, filter.column))?;
                        (0..words.len() as u32).map(|number| holds(&filter.test, words.word(number))).collect()
                    }
                };
                Some((shift, allowed))
            })
            .collect();
        let shifts: Vec<u32> = question.group_by.iter().filter_map(|column| cube.shift_of(*column)).collect();
        let mask = shifts.iter().fold(0_u64, |mask, shift| mask | CODE_MASK << shift);
        let mut sum = Sum { question, ranks: Vec::new(), answer: empty(question) };
        sum.ranks = question.group_by.iter().map(|column| self.ranks(cube.table, *column)).collect();
        let mut open: Option<(i64, Groups)> = None;
        for (bucket, cells) in counts.range(cube.buckets(question.range)) {
            let piece = question.bucket.map_or(0, |asked| asked.number(cube.bucket.start(*bucket)));
            let (_, groups) = match &mut open {
                Some(open) if open.0 == piece => open,
                open => {
                    if let Some((piece, groups)) = open.take() {
                        sum.close(piece, groups, &shifts);
                    }
                    let is_alone = question.bucket == Some(cube.bucket);
                    open.insert((piece, Groups::new(&shifts, cells.keys.len(), is_alone)))
                }
            };
            for (key, count) in cells.keys.iter().zip(&cells.counts) {
                let is_meant = filters
                    .iter()
                    .all(|(shift, allowed)| allowed.get((key >> shift & CODE_MASK) as usize).copied().unwrap_or(false));
                if is_meant {
                    groups.add(key & mask, *count);
                }
            }
        }
        if let Some((piece, groups)) = open.take() {
            sum.close(piece, groups, &shifts);
        }
        let mut answer = sum.answer;
        answer.keys = question
            .group_by
            .iter()
            .zip(answer.keys)
            .map(|(column, codes)| match (codes, self.words.get(&(cube.table, *column))) {
                (LakeValues::Number(codes), Some(words)) if self.kind(cube.table, *column) == LakeKind::Text => {
                    words.column(codes)
                }
                (codes, _) => codes,
            })
            .collect();
        answer
    }

    fn kind(&self, table: LakeTable, column: usize) -> LakeKind {
        table.columns()[column].kind
    }

    fn ranks(&self, table: LakeTable, column: usize) -> Vec<u32> {
        match (self.kind(table, column), self.words.get(&(table, column))) {
            (LakeKind::Text, Some(words)) => words.ranks(),
            _ => Vec::new(),
        }
    }
}

/// An answer that is being put together.
struct Sum<'q> {
    question: &'q LakeQuestion,
    /// Of each column the order of its words; empty when codes are numbers.
    ranks: Vec<Vec<u32>>,
    answer: LakeAnswer,
}

fn empty(question: &LakeQuestion) -> LakeAnswer {
    LakeAnswer {
        buckets: Vec::new(),
        keys: question.group_by.iter().map(|_| LakeValues::Number(Vec::new())).collect(),
        counts: Vec::new(),
        distinct: Vec::new(),
        rows: 0,
        effort: LakeEffort { from_rollups: true, ..LakeEffort::default() },
    }
}

/// Counts by key.
enum Groups {
    /// Of keys that stand in their order and come once: those of one piece of time of a cube, as long as no other comes.
    Few(Vec<(u64, u64)>),
    /// By one column: a count for each of its codes, at this shift.
    ByCode(u32, Vec<u64>),
    ByKey(HashMap<u64, u64, RandomState>),
}

impl Groups {
    /// For the groups of one piece of time of a cube alone, which has so many cells, or of several.
    fn new(shifts: &[u32], cells: usize, is_alone: bool) -> Self {
        match shifts {
            [shift] if !is_alone && cells > 64 => Self::ByCode(*shift, Vec::new()),
            _ => Self::Few(Vec::with_capacity(cells)),
        }
    }

    fn add(&mut self, key: u64, count: u32) {
        let count = u64::from(count);
        match self {
            Self::Few(groups) => match groups.last_mut() {
                Some((last, sum)) if *last == key => *sum += count,
                Some((last, _)) if *last > key => {
                    let mut all: HashMap<u64, u64, RandomState> = groups.drain(..).collect();
                    *all.entry(key).or_insert(0) += count;
                    *self = Self::ByKey(all);
                }
                _ => groups.push((key, count)),
            },
            Self::ByCode(shift, counts) => {
                let code = (key >> *shift) as usize;
                if code >= counts.len() {
                    counts.resize(code + 1, 0);
                }
                counts[code] += count;
            }
            Self::ByKey(groups) => *groups.entry(key).or_insert(0) += count,
        }
    }

    fn counted(self) -> Vec<(u64, u64)> {
        match self {
            Self::Few(groups) => groups,
            Self::ByCode(shift, counts) => (0..)
                .zip(counts)
                .filter(|(_, count)| *count > 0)
                .map(|(code, count): (u64, u64)| (code << shift, count))
                .collect(),
            Self::ByKey(groups) => groups.into_iter().collect(),
        }
    }
}

impl Sum<'_> {
    /// Takes the groups of a piece of time.
    fn close(&mut self, piece: i64, groups: Groups, shifts: &[u32]) {
        let mut groups = groups.counted();
        self.answer.rows += groups.iter().map(|(_, count)| count).sum::<u64>();
        let rank = |key: u64, column: usize| {
            let code = (key >> shifts[column] & CODE_MASK) as u32;
            self.ranks[column].get(code as usize).copied().unwrap_or(code)
        };
        let order = |(a, of_a): &(u64, u64), (b, of_b): &(u64, u64)| {
            let by_words =
                || (0..shifts.len()).map(|column| rank(*a, column).cmp(&rank(*b, column))).find(|order| order.is_ne());
            of_b.cmp(of_a).then_with(|| by_words().unwrap_or(Ordering::Equal))
        };
        // There are 65,536 ports, and people want to see the first few.
        if let Some(top) = self.question.top.filter(|top| *top < groups.len()) {
            groups.select_nth_unstable_by(top, order);
            groups.truncate(top);
        }
        groups.sort_unstable_by(order);
        for (column, shift) in shifts.iter().enumerate() {
            if let LakeValues::Number(codes) = &mut self.answer.keys[column] {
                codes.extend(groups.iter().map(|(key, _)| (key >> shift & CODE_MASK) as u32));
            }
        }
        if let Some(bucket) = self.question.bucket {
            let start = bucket.start(piece).unix_millis();
            self.answer.buckets.resize(self.answer.buckets.len() + groups.len(), start);
        }
        self.answer.counts.extend(groups.iter().map(|(_, count)| count));
    }
}

impl Cube {
    /// Whether it has the answer to a question about a table whose earliest and latest times are these.
    fn fits(&self, question: &LakeQuestion, (first, last): (i64, i64)) -> bool {
        let has = |column: usize| self.columns.contains(&column);
        let is_fine_enough = match (self.bucket, question.bucket) {
            (_, None) | (TimeBucket::Hour, Some(_)) => true,
            (TimeBucket::Day, Some(bucket)) => bucket != TimeBucket::Hour,
            (TimeBucket::Week | TimeBucket::Month, Some(bucket)) => bucket == self.bucket,
        };
        let begins = |at: Timestamp| self.bucket.start(self.bucket.number(at)) == at;
        // What begins before the first row or ends behind the last cuts through nothing.
        let (from, to) = (question.range.from, question.range.to);
        let is_aligned = (from.unix_millis() <= first || begins(from)) && (to.unix_millis() > last || begins(to));
        self.table == question.table
            && is_fine_enough
            && is_aligned
            && question.group_by.iter().copied().all(has)
            && question.filters.iter().all(|filter| has(filter.column))
    }

    fn shift_of(&self, column: usize) -> Option<u32> {
        self.columns.iter().position(|known| *known == column).map(|place| CODE_BITS * place as u32)
    }

    fn buckets(&self, range: TimeRange) -> Range<i64> {
        let start = self.bucket.number(range.from);
        let end = self.bucket.number(range.to);
        let is_cut = self.bucket.start(end) < range.to;
        start..(end + i64::from(is_cut)).max(start)
    }

    /// The pieces of time of a month.
    pub(crate) fn buckets_of_month(&self, month: i64) -> Range<i64> {
        let start = TimeBucket::Month.start(month);
        let end = TimeBucket::Month.start(month + 1);
        self.bucket.number(start)..self.bucket.number(end)
    }

    pub(crate) const fn table(&self) -> LakeTable {
        self.table
    }
}

impl Cells {
    fn of(sorted: Vec<(u64, u32)>) -> Self {
        let mut cells = Self::default();
        for (key, count) in sorted {
            match (cells.keys.last(), cells.counts.last_mut()) {
                (Some(last), Some(counted)) if *last == key => *counted = counted.saturating_add(count),
                _ => {
                    cells.keys.push(key);
                    cells.counts.push(count);
                }
            }
        }
        cells
    }

    /// Adds other cells to these.
    pub(crate) fn add(&mut self, other: &Self) {
        if self.keys.is_empty() {
            self.clone_from(other);
            return;
        }
        let mut all: Vec<(u64, u32)> = Vec::with_capacity(self.keys.len() + other.keys.len());
        let (mut here, mut there) = (0, 0);
        while here < self.keys.len() || there < other.keys.len() {
            let takes_here = match (self.keys.get(here), other.keys.get(there)) {
                (Some(a), Some(b)) => a <= b,
                (here, _) => here.is_some(),
            };
            if takes_here {
                all.push((self.keys[here], self.counts[here]));
                here += 1;
            } else {
                all.push((other.keys[there], other.counts[there]));
                there += 1;
            }
        }
        *self = Self::of(all);
    }

    /// As they stand in the catalog: differences of keys and counts, each as a number of as many bytes as it needs.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.keys.len() * 3);
        let mut last = 0;
        for (key, count) in self.keys.iter().zip(&self.counts) {
            put(&mut bytes, key - last);
            put(&mut bytes, u64::from(*count));
            last = *key;
        }
        bytes
    }

    pub(crate) fn decode(mut bytes: &[u8]) -> Option<Self> {
        let mut cells = Self::default();
        let mut last = 0_u64;
        while !bytes.is_empty() {
            last = last.checked_add(take(&mut bytes)?)?;
            cells.keys.push(last);
            cells.counts.push(u32::try_from(take(&mut bytes)?).ok()?);
        }
        Some(cells)
    }
}

/// Appends a number, seven bits a byte, the lowest first.
pub(crate) fn put(bytes: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
}

/// Takes such a number.
pub(crate) fn take(bytes: &mut &[u8]) -> Option<u64> {
    let mut number = 0_u64;
    for place in 0..10 {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        number |= u64::from(byte & 0x7f) << (7 * place);
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}
