//! Rows as the kernels see them: columns of codes, each with its words, whether they come from a file or are in memory.

use std::sync::Arc;

use komainu_ports::{LakeError, LakeKind, LakeRows, LakeTable, LakeValue, LakeValues};

use crate::part::Group;

/// The values of one column of a block.
#[derive(Debug, Clone)]
pub(crate) enum Values {
    /// Milliseconds since 1970.
    Time(Vec<i64>),
    /// Codes, each with a word.
    Coded { codes: Vec<u32>, words: Words },
    /// Numbers with fractions.
    Float(Vec<f64>),
}

/// What codes stand for; no word is there twice.
#[derive(Debug, Clone)]
pub(crate) enum Words {
    /// Texts of a file: one after the other, and where each ends.
    Page { text: String, ends: Vec<u32> },
    /// Texts in memory.
    Shared(Vec<Arc<str>>),
    /// Numbers.
    Numbers(Vec<u32>),
}

/// A word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Word<'a> {
    Text(&'a str),
    Number(u32),
}

/// Some rows of one month.
#[derive(Debug, Clone)]
pub(crate) enum Block {
    /// A group of rows of a file, sorted as their table is.
    Stored(Group),
    /// Rows that are in no file yet, in no order.
    Hot(Arc<HotRows>),
}

/// Rows that are in no file yet; all of one month.
#[derive(Debug)]
pub(crate) struct HotRows {
    /// Under which number they are in the catalog; zero when they are not.
    pub(crate) number: i64,
    pub(crate) month: i64,
    pub(crate) rows: LakeRows,
    /// What they take in memory.
    pub(crate) bytes: usize,
}

impl HotRows {
    pub(crate) fn new(number: i64, month: i64, rows: LakeRows) -> Self {
        let bytes = rows.columns().iter().map(bytes_of).sum();
        Self { number, month, rows, bytes }
    }
}

/// What a column takes in memory: each of its words has a pointer, and the counters of a text that is shared.
fn bytes_of(values: &LakeValues) -> usize {
    match values {
        LakeValues::Time(times) => size_of_val(times.as_slice()),
        LakeValues::Number(numbers) => size_of_val(numbers.as_slice()),
        LakeValues::Float(numbers) => size_of_val(numbers.as_slice()),
        LakeValues::Text { codes, words } => {
            let words: usize =
                words.iter().map(|word| word.len() + size_of::<Arc<str>>() + 2 * size_of::<usize>()).sum();
            size_of_val(codes.as_slice()) + words
        }
    }
}

impl Block {
    pub(crate) fn table(&self) -> LakeTable {
        match self {
            Self::Stored(group) => group.part().table,
            Self::Hot(hot) => hot.rows.table(),
        }
    }

    pub(crate) fn rows(&self) -> usize {
        match self {
            Self::Stored(group) => group.rows(),
            Self::Hot(hot) => hot.rows.len(),
        }
    }

    /// The earliest and the latest time.
    pub(crate) fn times(&self) -> (i64, i64) {
        match self {
            Self::Stored(group) => group.times(),
            Self::Hot(hot) => {
                let least = hot.rows.times().iter().copied().min().unwrap_or(i64::MAX);
                (least, hot.rows.times().iter().copied().max().unwrap_or(i64::MIN))
            }
        }
    }

    /// The values of a column.
    pub(crate) fn column(&self, column: usize) -> Result<Values, LakeError> {
        match self {
            Self::Stored(group) => group.column(column),
            Self::Hot(hot) => Ok(Values::of(&hot.rows.columns()[column])),
        }
    }
}

impl Values {
    pub(crate) fn of(values: &LakeValues) -> Self {
        match values {
            LakeValues::Time(times) => Self::Time(times.clone()),
            LakeValues::Text { codes, words } => {
                Self::Coded { codes: codes.clone(), words: Words::Shared(words.clone()) }
            }
            LakeValues::Number(numbers) => {
                let mut known = hashbrown::HashMap::<u32, u32, ahash::RandomState>::default();
                let mut words = Vec::new();
                let codes = numbers.iter().map(|number| {
                    *known.entry(*number).or_insert_with(|| {
                        words.push(*number);
                        words.len() as u32 - 1
                    })
                });
                let codes = codes.collect();
                Self::Coded { codes, words: Words::Numbers(words) }
            }
            LakeValues::Float(numbers) => Self::Float(numbers.clone()),
        }
    }

    /// The times; empty for a column of another kind.
    pub(crate) fn into_times(self) -> Vec<i64> {
        match self {
            Self::Time(times) => times,
            Self::Coded { .. } | Self::Float(_) => Vec::new(),
        }
    }

    /// The values of some rows, with all words.
    pub(crate) fn at(self, rows: &[u32]) -> Self {
        match self {
            Self::Time(times) => Self::Time(rows.iter().map(|row| times[*row as usize]).collect()),
            Self::Float(numbers) => Self::Float(rows.iter().map(|row| numbers[*row as usize]).collect()),
            Self::Coded { codes, words } => {
                Self::Coded { codes: rows.iter().map(|row| codes[*row as usize]).collect(), words }
            }
        }
    }

    /// Those rows' values, in that order.
    pub(crate) fn pick(&self, kind: LakeKind, rows: &[u32]) -> LakeValues {
        match self {
            Self::Time(times) => LakeValues::Time(rows.iter().map(|row| times[*row as usize]).collect()),
            Self::Float(numbers) => LakeValues::Float(rows.iter().map(|row| numbers[*row as usize]).collect()),
            Self::Coded { codes, words } if kind == LakeKind::Number => {
                let number = |row: &u32| match words.get(codes[*row as usize]) {
                    Word::Number(number) => number,
                    Word::Text(_) => 0,
                };
                LakeValues::Number(rows.iter().map(number).collect())
            }
            Self::Coded { codes, words } => {
                let mut places = vec![u32::MAX; words.len()];
                let mut picked: Vec<Arc<str>> = Vec::new();
                let codes = rows.iter().map(|row| {
                    let code = codes[*row as usize];
                    let place = &mut places[code as usize];
                    if *place == u32::MAX {
                        *place = picked.len() as u32;
                        picked.push(match words {
                            Words::Shared(words) => words[code as usize].clone(),
                            Words::Page { .. } | Words::Numbers(_) => match words.get(code) {
                                Word::Text(text) => Arc::from(text),
                                Word::Number(number) => Arc::from(number.to_string()),
                            },
                        });
                    }
                    *place
                });
                let codes = codes.collect();
                LakeValues::Text { codes, words: picked }
            }
        }
    }
}

impl Words {
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Page { ends, .. } => ends.len(),
            Self::Shared(words) => words.len(),
            Self::Numbers(numbers) => numbers.len(),
        }
    }

    /// The word of a code, which is below [`Words::len`].
    pub(crate) fn get(&self, code: u32) -> Word<'_> {
        let place = code as usize;
        match self {
            Self::Page { text, ends } => {
                let begin = if place == 0 { 0 } else { ends[place - 1] as usize };
                Word::Text(&text[begin..ends[place] as usize])
            }
            Self::Shared(words) => Word::Text(&words[place]),
            Self::Numbers(numbers) => Word::Number(numbers[place]),
        }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = Word<'_>> {
        (0..self.len() as u32).map(|code| self.get(code))
    }
}

impl Word<'_> {
    pub(crate) fn value(self) -> LakeValue {
        match self {
            Self::Text(text) => LakeValue::text(text),
            Self::Number(number) => LakeValue::Number(number),
        }
    }
}
