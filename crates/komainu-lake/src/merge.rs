//! Several parts of one month to one: rows are taken in their order, group by group, so that none is in memory as a whole.

use std::cmp::Ordering;
use std::io;
use std::sync::Arc;

use ahash::RandomState;
use hashbrown::HashMap;
use komainu_ports::{LakeError, LakeKind, LakeRows, LakeTable, LakeValues};

use crate::block::{Values, Word};
use crate::part::{GROUP_ROWS_MAX, Group, Part, PartWriter, sort_columns};

/// Writes all rows of some parts of one table and month.
pub(crate) fn merge(parts: &[Arc<Part>], writer: &mut PartWriter) -> Result<(), LakeError> {
    let Some(table) = parts.first().map(|part| part.table) else { return Ok(()) };
    let mut cursors = Vec::with_capacity(parts.len());
    for part in parts {
        if let Some(cursor) = Cursor::begin(part)? {
            cursors.push(cursor);
        }
    }
    let mut merged = Merged::new(table);
    while let Some(first) = least(&cursors, None) {
        let end = match least(&cursors, Some(first)) {
            Some(second) => cursors[first].end_before(&cursors[second]),
            None => cursors[first].rows,
        };
        let cursor = &mut cursors[first];
        let end = end.min(cursor.row + (GROUP_ROWS_MAX - merged.rows));
        merged.take(cursor, end);
        cursor.row = end;
        if merged.rows == GROUP_ROWS_MAX {
            merged.write(writer, &mut cursors)?;
        }
        if cursors[first].row == cursors[first].rows && !cursors[first].next_group()? {
            cursors.swap_remove(first);
        }
    }
    merged.write(writer, &mut cursors)
}

/// The cursor whose row comes first, without one of them.
fn least(cursors: &[Cursor], without: Option<usize>) -> Option<usize> {
    (0..cursors.len())
        .filter(|place| Some(*place) != without)
        .min_by(|a, b| cursors[*a].compare(cursors[*a].row, &cursors[*b], cursors[*b].row))
}

/// Where one part is being read.
struct Cursor {
    groups: std::vec::IntoIter<Group>,
    table: LakeTable,
    columns: Vec<Values>,
    rows: usize,
    row: usize,
    /// For each column the numbers that its words have in what is merged, as far as they were looked up.
    known: Vec<Vec<u32>>,
}

impl Cursor {
    fn begin(part: &Arc<Part>) -> Result<Option<Self>, LakeError> {
        let groups = part.groups()?.into_iter();
        let (columns, known) = (Vec::new(), Vec::new());
        let mut cursor = Self { groups, table: part.table, columns, rows: 0, row: 0, known };
        Ok(cursor.next_group()?.then_some(cursor))
    }

    /// Goes to the next group that has rows; says whether there is one.
    fn next_group(&mut self) -> Result<bool, LakeError> {
        for group in self.groups.by_ref() {
            if group.rows() == 0 {
                continue;
            }
            self.columns =
                (0..self.table.columns().len()).map(|column| group.column(column)).collect::<Result<_, _>>()?;
            (self.rows, self.row) = (group.rows(), 0);
            self.forget();
            return Ok(true);
        }
        Ok(false)
    }

    /// Forgets which numbers words have.
    fn forget(&mut self) {
        let unknown = |values: &Values| match values {
            Values::Coded { words, .. } => vec![u32::MAX; words.len()],
            Values::Time(_) | Values::Float(_) => Vec::new(),
        };
        self.known = self.columns.iter().map(unknown).collect();
    }

    /// The first row from here on that comes after the other cursor's row.
    fn end_before(&self, other: &Self) -> usize {
        let mut end = self.row + 1;
        // Rows of the same words differ in their times only.
        let mut by_words = self.compare_words(self.row, other, other.row);
        while end < self.rows {
            if !self.has_words_of(end, end - 1) {
                by_words = self.compare_words(end, other, other.row);
            }
            if by_words.then_with(|| self.time(end).cmp(&other.time(other.row))).is_gt() {
                break;
            }
            end += 1;
        }
        end
    }

    fn compare(&self, row: usize, other: &Self, other_row: usize) -> Ordering {
        self.compare_words(row, other, other_row).then_with(|| self.time(row).cmp(&other.time(other_row)))
    }

    fn compare_words(&self, row: usize, other: &Self, other_row: usize) -> Ordering {
        let mut orders =
            sort_columns(self.table).iter().map(|column| self.word(*column, row).cmp(&other.word(*column, other_row)));
        orders.find(|order| order.is_ne()).unwrap_or(Ordering::Equal)
    }

    /// Whether two rows have the same words in the columns that are sorted by.
    fn has_words_of(&self, row: usize, other: usize) -> bool {
        sort_columns(self.table).iter().all(|column| match &self.columns[*column] {
            Values::Coded { codes, .. } => codes[row] == codes[other],
            Values::Time(_) | Values::Float(_) => true,
        })
    }

    fn word(&self, column: usize, row: usize) -> Word<'_> {
        match &self.columns[column] {
            Values::Coded { codes, words } => words.get(codes[row]),
            Values::Time(_) | Values::Float(_) => Word::Number(0),
        }
    }

    fn time(&self, row: usize) -> i64 {
        match &self.columns[0] {
            Values::Time(times) => times[row],
            Values::Coded { .. } | Values::Float(_) => 0,
        }
    }
}

/// Rows that are merged and not written yet.
pub(crate) struct Merged {
    table: LakeTable,
    rows: usize,
    columns: Vec<LakeValues>,
    known: Vec<HashMap<Arc<str>, u32, RandomState>>,
}

impl Merged {
    pub(crate) fn new(table: LakeTable) -> Self {
        let columns = LakeRows::none(table).into_columns();
        let known = columns.iter().map(|_| HashMap::default()).collect();
        Self { table, rows: 0, columns, known }
    }

    /// Takes a cursor's rows from where it is to `end`.
    fn take(&mut self, cursor: &mut Cursor, end: usize) {
        let rows = cursor.row..end;
        for (column, values) in cursor.columns.iter().enumerate() {
            match (&mut self.columns[column], values) {
                (LakeValues::Time(all), Values::Time(times)) => all.extend_from_slice(&times[rows.clone()]),
                (LakeValues::Float(all), Values::Float(numbers)) => all.extend_from_slice(&numbers[rows.clone()]),
                (LakeValues::Number(all), Values::Coded { codes, words }) => {
                    all.extend(codes[rows.clone()].iter().map(|code| match words.get(*code) {
                        Word::Number(number) => number,
                        Word::Text(_) => 0,
                    }));
                }
                (LakeValues::Text { codes: all, words: merged }, Values::Coded { codes, words }) => {
                    let (numbers, known) = (&mut cursor.known[column], &mut self.known[column]);
                    all.extend(codes[rows.clone()].iter().map(|code| {
                        let number = &mut numbers[*code as usize];
                        if *number == u32::MAX {
                            *number = number_of(words.get(*code), known, merged);
                        }
                        *number
                    }));
                }
                (LakeValues::Time(_) | LakeValues::Float(_) | LakeValues::Number(_) | LakeValues::Text { .. }, _) => {}
            }
        }
        self.rows += rows.len();
    }

    /// Takes rows that are in memory.
    pub(crate) fn take_rows(&mut self, rows: &LakeRows) {
        for (column, values) in rows.columns().iter().enumerate() {
            match (&mut self.columns[column], values) {
                (LakeValues::Time(all), LakeValues::Time(times)) => all.extend_from_slice(times),
                (LakeValues::Float(all), LakeValues::Float(numbers)) => all.extend_from_slice(numbers),
                (LakeValues::Number(all), LakeValues::Number(numbers)) => all.extend_from_slice(numbers),
                (LakeValues::Text { codes: all, words: merged }, LakeValues::Text { codes, words }) => {
                    let known = &mut self.known[column];
                    let numbers: Vec<u32> =
                        words.iter().map(|word| number_of(Word::Text(word), known, merged)).collect();
                    all.extend(codes.iter().map(|code| numbers[*code as usize]));
                }
                (LakeValues::Time(_) | LakeValues::Float(_) | LakeValues::Number(_) | LakeValues::Text { .. }, _) => {}
            }
        }
        self.rows += rows.len();
    }

    pub(crate) fn into_rows(self) -> Result<LakeRows, LakeError> {
        LakeRows::from_columns(self.table, self.columns)
    }

    fn write(&mut self, writer: &mut PartWriter, cursors: &mut [Cursor]) -> Result<(), LakeError> {
        let merged = std::mem::replace(self, Self::new(self.table));
        cursors.iter_mut().for_each(Cursor::forget);
        writer.write(&merged.into_rows()?).map_err(writing)
    }
}

fn number_of(word: Word<'_>, known: &mut HashMap<Arc<str>, u32, RandomState>, words: &mut Vec<Arc<str>>) -> u32 {
    let Word::Text(text) = word else { return 0 };
    if let Some(number) = known.get(text) {
        return *number;
    }
    let (text, number) = (Arc::<str>::from(text), words.len() as u32);
    words.push(text.clone());
    known.insert(text, number);
    number
}

/// The error of a part that could not be written.
pub(crate) fn writing(source: io::Error) -> LakeError {
    LakeError::Unavailable { doing: "writing a part", source: source.into() }
}

/// Rows of one month, sorted as their table is.
pub(crate) fn sorted(rows: &LakeRows, order: &[u32]) -> Result<LakeRows, LakeError> {
    let columns =
        rows.columns().iter().zip(rows.table().columns()).map(|(values, column)| match (values, column.kind) {
            (LakeValues::Time(times), _) => LakeValues::Time(order.iter().map(|row| times[*row as usize]).collect()),
            (LakeValues::Float(numbers), _) => {
                LakeValues::Float(order.iter().map(|row| numbers[*row as usize]).collect())
            }
            (LakeValues::Number(numbers), _) => {
                LakeValues::Number(order.iter().map(|row| numbers[*row as usize]).collect())
            }
            (
                LakeValues::Text { codes, words },
                LakeKind::Text | LakeKind::Time | LakeKind::Number | LakeKind::Float,
            ) => {
                LakeValues::Text { codes: order.iter().map(|row| codes[*row as usize]).collect(), words: words.clone() }
            }
        });
    LakeRows::from_columns(rows.table(), columns.collect())
}

/// Some of the rows, in this order, with only the words that they have.
pub(crate) fn picked(rows: &LakeRows, places: &[u32]) -> Result<LakeRows, LakeError> {
    let columns = sorted(rows, places)?.into_columns().into_iter().map(|values| match values {
        LakeValues::Text { codes, words } => {
            let mut numbers = vec![u32::MAX; words.len()];
            let mut kept = Vec::new();
            let codes = codes.iter().map(|code| {
                let number = &mut numbers[*code as usize];
                if *number == u32::MAX {
                    *number = kept.len() as u32;
                    kept.push(words[*code as usize].clone());
                }
                *number
            });
            LakeValues::Text { codes: codes.collect(), words: kept }
        }
        values @ (LakeValues::Time(_) | LakeValues::Number(_) | LakeValues::Float(_)) => values,
    });
    LakeRows::from_columns(rows.table(), columns.collect())
}
