//! Which rows of a block a question means.

use std::sync::Arc;

use komainu_ports::{LakeError, LakeFilter, LakeTest, LakeValue, TimeRange};

use crate::block::{Block, Values, Word, Words};
use crate::part::sort_columns;

/// A stretch of a block's rows, whose columns are read when they are first asked for.
pub(crate) struct Window<'a> {
    block: &'a Block,
    begin: usize,
    end: usize,
    /// The rows of the block that are left, when those between are not meant.
    left: Option<Vec<u32>>,
    columns: Vec<Option<Values>>,
}

/// When so few of a window's rows are meant, one of so many, other columns are read of them only.
const FEW: usize = 16;

/// The rows of a window that are meant.
#[derive(Debug)]
pub(crate) enum Selection {
    /// All of them.
    All,
    /// These, in their order; not none.
    Rows(Vec<u32>),
}

impl<'a> Window<'a> {
    /// The rows of a block that may be meant; none when it has none. One value of the first sorting column that is asked for
    /// is found without reading what others have.
    pub(crate) fn of(block: &'a Block, range: TimeRange, filters: &[LakeFilter]) -> Result<Option<Self>, LakeError> {
        let (first, last) = block.times();
        if last < range.from.unix_millis() || first >= range.to.unix_millis() || block.rows() == 0 {
            return Ok(None);
        }
        let mut window = Self { block, begin: 0, end: block.rows(), left: None, columns: Vec::new() };
        window.columns.resize_with(block.table().columns().len(), || None);
        let Block::Stored(group) = block else { return Ok(Some(window)) };
        let sorted = sort_columns(block.table())[0];
        for filter in filters.iter().filter(|filter| filter.column == sorted) {
            let LakeTest::OneOf(values) = &filter.test else { continue };
            let texts: Vec<&str> = values
                .iter()
                .filter_map(|value| if let LakeValue::Text(text) = value { Some(&**text) } else { None })
                .collect();
            if !group.may_have(sorted, &texts) {
                return Ok(None);
            }
            if let [text] = texts[..] {
                let (begin, end) = group.rows_of(sorted, text)?;
                if begin >= end {
                    return Ok(None);
                }
                (window.begin, window.end) = (begin, end);
                // All of these rows have it: neither the test nor anybody else need read the column.
                let words = Words::Shared(vec![Arc::from(text)]);
                window.columns[sorted] = Some(Values::Coded { codes: vec![0; end - begin], words });
            }
        }
        Ok(Some(window))
    }

    pub(crate) fn len(&self) -> usize {
        self.left.as_ref().map_or(self.end - self.begin, Vec::len)
    }

    /// Leaves out the rows that are not meant when they are nearly all; what is meant of the window then.
    pub(crate) fn leave(&mut self, selection: Selection) -> Selection {
        match selection {
            Selection::Rows(rows) if self.left.is_none() && rows.len() * FEW <= self.len() => {
                for values in &mut self.columns {
                    *values = values.take().map(|values| values.at(&rows));
                }
                let begin = self.begin as u32;
                self.left = Some(rows.into_iter().map(|row| begin + row).collect());
                Selection::All
            }
            selection => selection,
        }
    }

    pub(crate) fn block(&self) -> &'a Block {
        self.block
    }

    /// The values of a column in this window.
    pub(crate) fn column(&mut self, column: usize) -> Result<&Values, LakeError> {
        if self.columns[column].is_none() {
            let is_whole = self.len() == self.block.rows();
            let values = match self.block {
                Block::Stored(group) if let Some(rows) = &self.left => group.column_at(column, rows)?,
                block if let Some(rows) = &self.left => block.column(column)?.at(rows),
                Block::Stored(group) if !is_whole => group.column_between(column, self.begin, self.end)?,
                block => block.column(column)?,
            };
            self.columns[column] = Some(values);
        }
        Ok(self.columns[column].as_ref().expect("it was read above"))
    }

    /// The values of a column, which may be asked for once more.
    pub(crate) fn copy_column(&mut self, column: usize) -> Result<Values, LakeError> {
        Ok(self.column(column)?.clone())
    }

    /// The values of a column, to be kept; whoever asks for them once more has them read again.
    pub(crate) fn take_column(&mut self, column: usize) -> Result<Values, LakeError> {
        self.column(column)?;
        Ok(self.columns[column].take().expect("it was read above"))
    }

    /// The rows that are meant; none when there is none.
    pub(crate) fn select(&mut self, range: TimeRange, filters: &[LakeFilter]) -> Result<Option<Selection>, LakeError> {
        let mut selection = Selection::All;
        for filter in filters {
            let values = self.column(filter.column)?;
            if !selection.narrow(values, &filter.test) {
                return Ok(None);
            }
        }
        let (first, last) = self.block.times();
        let (from, to) = (range.from.unix_millis(), range.to.unix_millis());
        if (first < from || last >= to) && !selection.narrow_to_times(self.column(0)?, from, to) {
            return Ok(None);
        }
        Ok(Some(selection))
    }
}

impl Selection {
    /// How many of the rows of a window of this length.
    pub(crate) fn len(&self, window: usize) -> usize {
        match self {
            Self::All => window,
            Self::Rows(rows) => rows.len(),
        }
    }

    /// Keeps the rows of which the test holds; says whether there is one.
    fn narrow(&mut self, values: &Values, test: &LakeTest) -> bool {
        match values {
            Values::Coded { codes, words } => {
                let holds: Vec<bool> = words.iter().map(|word| holds(test, word)).collect();
                if holds.iter().all(|holds| *holds) {
                    return true;
                }
                if holds.iter().all(|holds| !*holds) {
                    return false;
                }
                self.keep(codes.len(), |row| holds[codes[row as usize] as usize])
            }
            Values::Float(numbers) => {
                self.keep(numbers.len(), |row| test.holds(&LakeValue::Float(numbers[row as usize])))
            }
            Values::Time(_) => true,
        }
    }

    fn narrow_to_times(&mut self, values: &Values, from: i64, to: i64) -> bool {
        let Values::Time(times) = values else { return true };
        self.keep(times.len(), |row| (from..to).contains(&times[row as usize]))
    }

    fn keep(&mut self, length: usize, is_kept: impl Fn(u32) -> bool) -> bool {
        match self {
            Self::All => {
                // Without a branch for each row: what is not kept is written over by the next.
                let mut rows = vec![0_u32; length];
                let mut kept = 0;
                for row in 0..length as u32 {
                    rows[kept] = row;
                    kept += usize::from(is_kept(row));
                }
                rows.truncate(kept);
                *self = Self::Rows(rows);
                kept > 0
            }
            Self::Rows(rows) => {
                rows.retain(|row| is_kept(*row));
                !rows.is_empty()
            }
        }
    }
}

/// Whether a test holds of a word.
pub(crate) fn holds(test: &LakeTest, word: Word<'_>) -> bool {
    match (test, word) {
        (LakeTest::OneOf(values), word) => values.iter().any(|value| is(value, word)),
        (LakeTest::NoneOf(values), word) => !values.iter().any(|value| is(value, word)),
        (LakeTest::Between(least, most), Word::Number(number)) => (*least..=*most).contains(&f64::from(number)),
        (LakeTest::BeginsWith(beginning), Word::Text(text)) => text.starts_with(beginning.as_str()),
        (LakeTest::Contains(_), Word::Text(_)) => test.holds(&word.value()),
        (LakeTest::Between(..) | LakeTest::BeginsWith(_) | LakeTest::Contains(_), _) => false,
    }
}

fn is(value: &LakeValue, word: Word<'_>) -> bool {
    match (value, word) {
        (LakeValue::Text(text), Word::Text(word)) => &**text == word,
        (LakeValue::Number(number), Word::Number(word)) => *number == word,
        (LakeValue::Time(_) | LakeValue::Float(_) | LakeValue::Text(_) | LakeValue::Number(_), _) => false,
    }
}
