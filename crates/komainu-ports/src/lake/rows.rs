//! Rows, column by column.

use std::collections::HashMap;
use std::sync::Arc;

use komainu_model::Timestamp;

use super::{BATCH_ROWS_MAX, LAKE_TEXT_BYTES_MAX, LakeError, LakeKind, LakeTable, LakeValue};

/// Rows of one table, column by column: what is handed to the lake, and what comes in pieces out of it. Every column has a value
/// for every row, and every code of a text its word.
#[derive(Debug, Clone, PartialEq)]
pub struct LakeRows {
    table: LakeTable,
    rows: usize,
    columns: Vec<LakeValues>,
}

/// The values of one column of some rows.
#[derive(Debug, Clone, PartialEq)]
pub enum LakeValues {
    /// Milliseconds since 1970.
    Time(Vec<i64>),
    /// For each row the place of its text in `words`.
    Text {
        /// One for each row.
        codes: Vec<u32>,
        /// The texts.
        words: Vec<Arc<str>>,
    },
    /// Whole numbers.
    Number(Vec<u32>),
    /// Numbers with a fraction.
    Float(Vec<f64>),
}

impl LakeRows {
    /// No rows of a table.
    pub fn none(table: LakeTable) -> Self {
        LakeRowsBuilder::new(table).finish()
    }

    /// These columns as rows, if they are the columns of the table.
    pub fn from_columns(table: LakeTable, columns: Vec<LakeValues>) -> Result<Self, LakeError> {
        let wanted = table.columns();
        if columns.len() != wanted.len() {
            let problem = format!("{} has {} columns, not {}", table.as_str(), wanted.len(), columns.len());
            return Err(LakeError::invalid("rows", problem));
        }
        let rows = columns.first().map_or(0, LakeValues::len);
        for (column, values) in wanted.iter().zip(&columns) {
            let problem = match values {
                values if values.len() != rows => format!("has {} values for {rows} rows", values.len()),
                LakeValues::Text { codes, words } if codes.iter().any(|code| *code as usize >= words.len()) => {
                    "has a code without a word".to_owned()
                }
                LakeValues::Text { words, .. } if words.iter().any(|word| word.len() > LAKE_TEXT_BYTES_MAX) => {
                    format!("has a text of more than {LAKE_TEXT_BYTES_MAX} bytes")
                }
                values if values.kind() != column.kind => "has values of another kind".to_owned(),
                _ => continue,
            };
            return Err(LakeError::invalid("rows", format!("column {} {problem}", column.name)));
        }
        if rows > BATCH_ROWS_MAX {
            return Err(LakeError::invalid(
                "rows",
                format!("{rows} rows are more than the {BATCH_ROWS_MAX} of a batch"),
            ));
        }
        Ok(Self { table, rows, columns })
    }

    /// Of which table they are.
    pub fn table(&self) -> LakeTable {
        self.table
    }

    /// How many they are.
    pub fn len(&self) -> usize {
        self.rows
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.rows == 0
    }

    /// Their columns, in the order of the table's.
    pub fn columns(&self) -> &[LakeValues] {
        &self.columns
    }

    /// Their columns, to be kept.
    pub fn into_columns(self) -> Vec<LakeValues> {
        self.columns
    }

    /// Their times, in milliseconds since 1970.
    pub fn times(&self) -> &[i64] {
        match self.columns.first() {
            Some(LakeValues::Time(times)) => times,
            _ => &[],
        }
    }

    /// The value of a row in a column.
    ///
    /// # Panics
    ///
    /// When there is no such row or column.
    pub fn value(&self, row: usize, column: usize) -> LakeValue {
        self.columns[column].value(row)
    }
}

impl LakeValues {
    /// How many values there are.
    pub fn len(&self) -> usize {
        match self {
            Self::Time(values) => values.len(),
            Self::Text { codes, .. } => codes.len(),
            Self::Number(values) => values.len(),
            Self::Float(values) => values.len(),
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The value of a row.
    ///
    /// # Panics
    ///
    /// When there is no such row.
    pub fn value(&self, row: usize) -> LakeValue {
        match self {
            Self::Time(values) => LakeValue::Time(Timestamp::from_unix_millis(values[row])),
            Self::Text { codes, words } => LakeValue::Text(words[codes[row] as usize].clone()),
            Self::Number(values) => LakeValue::Number(values[row]),
            Self::Float(values) => LakeValue::Float(values[row]),
        }
    }

    /// No values of a kind.
    fn none(kind: LakeKind) -> Self {
        match kind {
            LakeKind::Time => Self::Time(Vec::new()),
            LakeKind::Text => Self::Text { codes: Vec::new(), words: Vec::new() },
            LakeKind::Number => Self::Number(Vec::new()),
            LakeKind::Float => Self::Float(Vec::new()),
        }
    }

    /// These values, all of that kind.
    pub(super) fn of<'v>(kind: LakeKind, values: impl Iterator<Item = &'v LakeValue>) -> Self {
        let (mut column, mut known) = (Self::none(kind), HashMap::new());
        values.for_each(|value| column.push(&mut known, value));
        column
    }

    fn push(&mut self, known: &mut HashMap<Arc<str>, u32>, value: &LakeValue) {
        match (self, value) {
            (Self::Time(values), LakeValue::Time(at)) => values.push(at.unix_millis()),
            (Self::Number(values), LakeValue::Number(number)) => values.push(*number),
            (Self::Float(values), LakeValue::Float(number)) => values.push(*number),
            (Self::Text { codes, words }, LakeValue::Text(text)) => codes.push(code_of(known, words, text)),
            (_, value) => panic!("a value of a row is of another kind: {value:?}"),
        }
    }

    const fn kind(&self) -> LakeKind {
        match self {
            Self::Time(_) => LakeKind::Time,
            Self::Text { .. } => LakeKind::Text,
            Self::Number(_) => LakeKind::Number,
            Self::Float(_) => LakeKind::Float,
        }
    }
}

/// Collects rows.
#[derive(Debug)]
pub struct LakeRowsBuilder {
    table: LakeTable,
    rows: usize,
    columns: Vec<LakeValues>,
    /// For each column of texts, where each word stands.
    known: Vec<HashMap<Arc<str>, u32>>,
}

impl LakeRowsBuilder {
    /// Nothing yet.
    pub fn new(table: LakeTable) -> Self {
        let columns: Vec<LakeValues> = table.columns().iter().map(|column| LakeValues::none(column.kind)).collect();
        let known = columns.iter().map(|_| HashMap::new()).collect();
        Self { table, rows: 0, columns, known }
    }

    /// Adds a row. Of a text that is too long, so much is kept as may be.
    ///
    /// # Panics
    ///
    /// When these are not the values of a row of the table.
    pub fn push(&mut self, row: &[LakeValue]) {
        assert_eq!(row.len(), self.columns.len(), "a row has a value for every column of its table");
        for ((values, known), value) in self.columns.iter_mut().zip(&mut self.known).zip(row) {
            values.push(known, value);
        }
        self.rows += 1;
    }

    /// How many rows there are so far.
    pub fn len(&self) -> usize {
        self.rows
    }

    /// Whether there are none so far.
    pub fn is_empty(&self) -> bool {
        self.rows == 0
    }

    /// The rows.
    pub fn finish(self) -> LakeRows {
        LakeRows { table: self.table, rows: self.rows, columns: self.columns }
    }
}

fn code_of(known: &mut HashMap<Arc<str>, u32>, words: &mut Vec<Arc<str>>, text: &Arc<str>) -> u32 {
    let text = match text.len() {
        0..=LAKE_TEXT_BYTES_MAX => text.clone(),
        _ => Arc::from(&text[..text.floor_char_boundary(LAKE_TEXT_BYTES_MAX)]),
    };
    if let Some(code) = known.get(&text) {
        return *code;
    }
    let code = u32::try_from(words.len()).expect("a batch has fewer rows than that");
    words.push(text.clone());
    known.insert(text, code);
    code
}
