//! Attacks, what was seen in them, and what devices measured, as columns: for questions about all of it at once.

mod bucket;
mod filter;
mod rows;
mod when;

use std::error::Error;
use std::fmt;
use std::ops::ControlFlow;
use std::sync::Arc;

use komainu_model::Timestamp;

pub use self::bucket::TimeBucket;
pub use self::rows::{LakeRows, LakeRowsBuilder, LakeValues};
pub use self::when::When;

/// So many columns a question may group by.
pub const GROUP_COLUMNS_MAX: usize = 4;

/// So many tests a question may have.
pub const FILTERS_MAX: usize = 16;

/// So many values one test may name.
pub const FILTER_VALUES_MAX: usize = 1024;

/// The longest text of a row, in bytes. What is longer is cut by whoever makes rows.
pub const LAKE_TEXT_BYTES_MAX: usize = 4096;

/// The longest name of a stream of batches, in bytes: that of a sensor's spool, with account and region, has half of it.
pub const LAKE_STREAM_BYTES_MAX: usize = 512;

/// So many rows one batch may have: a bulk load hands in its rows in parts of this size.
pub const BATCH_ROWS_MAX: usize = 4 << 20;

/// So many rows one list may have.
pub const LISTED_ROWS_MAX: usize = 10_000;

/// The tables of the lake.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LakeTable {
    /// One row for each session of a stranger with a sensor.
    Attacks,
    /// What sessions showed: credentials, commands, URLs, files, CVEs and the like, one row each.
    Observables,
    /// What devices reported and what was measured of them, one row for each number, address, port or word.
    Datapoints,
    /// With whom devices said that they were connected, one row for each report and peer.
    Connections,
}

/// A column of a table. Its name is what other programs see in the files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LakeColumn {
    /// Its name: a word in lower case.
    pub name: &'static str,
    /// What its values are.
    pub kind: LakeKind,
}

/// What the values of a column are. There is no missing value: an empty text or a zero stands for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LakeKind {
    /// A point in time, in milliseconds. The first column of each table is the row's time.
    Time,
    /// A text.
    Text,
    /// A whole number below 2^32.
    Number,
    /// A number with a fraction.
    Float,
}

/// A value of a row. A text is shared between the rows that have it.
#[derive(Debug, Clone, PartialEq)]
#[expect(missing_docs, reason = "the names are those of the kinds")]
pub enum LakeValue {
    Time(Timestamp),
    Text(Arc<str>),
    Number(u32),
    Float(f64),
}

/// Whose rows a batch has, and which part of them: what comes again under the same name changes nothing.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LakeBatchName {
    /// A stream of rows, such as one life of a sensor's spool: at most [`LAKE_STREAM_BYTES_MAX`].
    pub stream: String,
    /// The batch's number in the stream.
    pub sequence: u64,
}

/// What became of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LakeAppended {
    /// Its rows are there now.
    New,
    /// It came before: nothing has changed.
    Known,
}

/// A part of the time: from `from` on and before `to`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimeRange {
    /// The first point that is meant.
    pub from: Timestamp,
    /// The first point after it that is not.
    pub to: Timestamp,
}

/// A test of a column. A row is meant when all tests of a question hold.
#[derive(Debug, Clone, PartialEq)]
pub struct LakeFilter {
    /// The column, by its place in the table's columns.
    pub column: usize,
    /// What must hold of its value.
    pub test: LakeTest,
}

/// What must hold of a value.
#[derive(Debug, Clone, PartialEq)]
pub enum LakeTest {
    /// It is one of these.
    OneOf(Vec<LakeValue>),
    /// It is none of these.
    NoneOf(Vec<LakeValue>),
    /// It is a text that begins like this.
    BeginsWith(String),
    /// It is a text that has this in it; upper and lower case of ASCII are the same.
    Contains(String),
    /// It is a number, and not less than the first and not more than the second.
    Between(f64, f64),
}

/// A question whose answer is counted: how many rows there are of each kind.
#[derive(Debug, Clone, PartialEq)]
pub struct LakeQuestion {
    /// Of which table.
    pub table: LakeTable,
    /// Of which time.
    pub range: TimeRange,
    /// Which rows.
    pub filters: Vec<LakeFilter>,
    /// Into which pieces of time they are sorted; none makes one of all.
    pub bucket: Option<TimeBucket>,
    /// By which columns they are sorted, at most [`GROUP_COLUMNS_MAX`].
    pub group_by: Vec<usize>,
    /// Of which column different values are counted, exactly, besides the rows.
    pub distinct: Option<usize>,
    /// Only so many groups of each piece of time are wanted, those with the most rows.
    pub top: Option<usize>,
}

/// The answer: groups in the order of time, and in each piece of time those with the most rows first; groups with as many are
/// in the order of their values. Column by column, for an answer may have a hundred thousand groups.
#[derive(Debug, Clone, PartialEq)]
pub struct LakeAnswer {
    /// When each group's piece of time begins, in milliseconds since 1970; nothing without pieces.
    pub buckets: Vec<i64>,
    /// The values of each group, a column for each that was grouped by.
    pub keys: Vec<LakeValues>,
    /// How many rows each group has; never zero.
    pub counts: Vec<u64>,
    /// How many different values the distinct column has in each group; nothing when nobody asked.
    pub distinct: Vec<u64>,
    /// All rows that are meant, those of groups that were not wanted among them.
    pub rows: u64,
    /// How it was found.
    pub effort: LakeEffort,
}

/// Rows that are alike.
#[derive(Debug, Clone, PartialEq)]
pub struct LakeGroup {
    /// When their piece of time begins; none without pieces.
    pub bucket: Option<Timestamp>,
    /// Their values of the columns that are grouped by.
    pub values: Vec<LakeValue>,
    /// How many there are.
    pub count: u64,
    /// How many different values the distinct column has among them; zero when nobody asked.
    pub distinct: u64,
}

/// What an answer cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LakeEffort {
    /// Whether counts that stood ready were enough.
    pub from_rollups: bool,
    /// Rows that were looked at.
    pub rows_scanned: u64,
    /// Files that were looked at.
    pub parts: u32,
}

/// A question whose answer is a list of rows.
#[derive(Debug, Clone, PartialEq)]
pub struct LakeListing {
    /// Of which table.
    pub table: LakeTable,
    /// Of which time.
    pub range: TimeRange,
    /// Which rows.
    pub filters: Vec<LakeFilter>,
    /// Which of them come first.
    pub order: LakeOrder,
    /// So many at most, 1..=[`LISTED_ROWS_MAX`].
    pub limit: usize,
}

/// Which rows of a list come first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LakeOrder {
    /// The latest.
    Newest,
    /// The earliest.
    Oldest,
}

/// What is in the lake.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LakeTableState {
    /// Which table.
    pub table: LakeTable,
    /// Rows, all of them.
    pub rows: u64,
    /// Rows that are in no file yet.
    pub hot_rows: u64,
    /// The files with the rest.
    pub parts: u64,
    /// Their bytes.
    pub bytes: u64,
    /// The earliest and the latest time of a row; none without rows.
    pub times: Option<(Timestamp, Timestamp)>,
}

/// Keeps rows and answers questions about them. Calls may block, for a second and more when a question has no ready answer.
pub trait Lake: Send + Sync {
    /// Takes the rows of a batch, of one table or of several: all or none, durable on return.
    fn append(&self, name: &LakeBatchName, rows: &[LakeRows]) -> Result<LakeAppended, LakeError>;

    /// Whether a batch came before.
    fn holds(&self, name: &LakeBatchName) -> bool;

    /// Counts.
    fn count(&self, question: &LakeQuestion) -> Result<LakeAnswer, LakeError>;

    /// Lists rows, in the order of their times.
    fn list(&self, listing: &LakeListing) -> Result<LakeRows, LakeError>;

    /// Shows `visit` all rows that are meant, piece by piece and in no order, until it says that it has enough. A listing's
    /// order and limit do not count.
    fn visit(&self, listing: &LakeListing, visit: &mut dyn FnMut(LakeRows) -> ControlFlow<()>)
    -> Result<(), LakeError>;

    /// What is there.
    fn state(&self) -> Result<Vec<LakeTableState>, LakeError>;

    /// Removes all rows of pieces of storage that are wholly older than `before`; says how many rows those were.
    fn retain(&self, before: Timestamp) -> Result<u64, LakeError>;
}

/// Why the lake could not do it.
#[derive(Debug, thiserror::Error)]
pub enum LakeError {
    /// The question or the rows make no sense; the same would not later, either.
    #[error("{field}: {problem}")]
    Invalid {
        /// What of it is wrong.
        field: &'static str,
        /// Why.
        problem: String,
    },
    /// The answer would need more memory than a question may take.
    #[error(
        "the answer has more than {bound} {what}: ask for a shorter time, fewer columns, or less of it with a filter"
    )]
    TooLarge {
        /// Of what there are too many.
        what: &'static str,
        /// How many there may be.
        bound: u64,
    },
    /// A file is damaged or was taken away. What others hold goes on to be answered when the question is about them only.
    #[error("part {part} of the lake cannot be read: {problem}")]
    Damaged {
        /// Its path below the lake's folder.
        part: String,
        /// What is wrong with it.
        problem: String,
    },
    /// The medium failed; trying again may help.
    #[error("the lake is unavailable while {doing}")]
    Unavailable {
        /// What was tried.
        doing: &'static str,
        /// Why it failed.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
}

const fn time(name: &'static str) -> LakeColumn {
    LakeColumn { name, kind: LakeKind::Time }
}

const fn text(name: &'static str) -> LakeColumn {
    LakeColumn { name, kind: LakeKind::Text }
}

const fn number(name: &'static str) -> LakeColumn {
    LakeColumn { name, kind: LakeKind::Number }
}

const ATTACKS: &[LakeColumn] = &[
    time("time"),
    text("source"),
    text("country"),
    number("asn"),
    text("sensor"),
    text("appliance"),
    text("model"),
    text("protocol"),
    text("transport"),
    number("port"),
    text("label"),
    text("release"),
];

const OBSERVABLES: &[LakeColumn] = &[
    time("time"),
    text("kind"),
    text("value"),
    text("source"),
    text("country"),
    text("sensor"),
    text("appliance"),
    text("model"),
    text("protocol"),
    text("release"),
];

const DATAPOINTS: &[LakeColumn] = &[
    time("time"),
    text("device"),
    text("metric"),
    text("item"),
    LakeColumn { name: "value", kind: LakeKind::Float },
    text("account"),
    text("region"),
];

const CONNECTIONS: &[LakeColumn] =
    &[time("time"), text("device"), text("remote"), number("port"), text("account"), text("region")];

impl LakeTable {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Attacks, Self::Observables, Self::Datapoints, Self::Connections];

    /// The word for it, and the name of its folder.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Attacks => "attacks",
            Self::Observables => "observables",
            Self::Datapoints => "datapoints",
            Self::Connections => "connections",
        }
    }

    /// The table with this name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|table| table.as_str() == name)
    }

    /// Its columns; the first is the time of the row.
    pub const fn columns(self) -> &'static [LakeColumn] {
        match self {
            Self::Attacks => ATTACKS,
            Self::Observables => OBSERVABLES,
            Self::Datapoints => DATAPOINTS,
            Self::Connections => CONNECTIONS,
        }
    }

    /// The place of a column.
    pub fn column(self, name: &str) -> Option<usize> {
        self.columns().iter().position(|column| column.name == name)
    }
}

impl LakeValue {
    /// A text.
    pub fn text(text: &str) -> Self {
        Self::Text(text.into())
    }

    /// Its kind.
    pub const fn kind(&self) -> LakeKind {
        match self {
            Self::Time(_) => LakeKind::Time,
            Self::Text(_) => LakeKind::Text,
            Self::Number(_) => LakeKind::Number,
            Self::Float(_) => LakeKind::Float,
        }
    }
}

impl fmt::Display for LakeValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Time(at) => write!(f, "{}", at.unix_millis()),
            Self::Text(text) => f.write_str(text),
            Self::Number(number) => write!(f, "{number}"),
            Self::Float(number) => write!(f, "{number}"),
        }
    }
}

impl LakeError {
    /// The error that says what is wrong with a question or with rows.
    pub fn invalid(field: &'static str, problem: impl Into<String>) -> Self {
        Self::Invalid { field, problem: problem.into() }
    }
}

impl TimeRange {
    /// All of time.
    pub const ALL: Self =
        Self { from: Timestamp::from_unix_millis(i64::MIN), to: Timestamp::from_unix_millis(i64::MAX) };

    /// Whether a point is in it.
    pub fn contains(&self, at: Timestamp) -> bool {
        self.from <= at && at < self.to
    }
}

impl LakeBatchName {
    /// Says what is wrong with the name, if anything is.
    pub fn check(&self) -> Result<(), LakeError> {
        match self.stream.len() {
            0..=LAKE_STREAM_BYTES_MAX => Ok(()),
            bytes => Err(LakeError::invalid("stream", format!("{bytes} bytes are more than {LAKE_STREAM_BYTES_MAX}"))),
        }
    }
}

impl LakeQuestion {
    /// Says what is wrong with the question, if anything is.
    pub fn check(&self) -> Result<(), LakeError> {
        let columns = self.table.columns();
        check_filters(self.table, &self.filters)?;
        if self.group_by.len() > GROUP_COLUMNS_MAX {
            let problem = format!("{} columns are more than {GROUP_COLUMNS_MAX}", self.group_by.len());
            return Err(LakeError::invalid("group_by", problem));
        }
        for (place, column) in self.group_by.iter().enumerate() {
            let known =
                columns.get(*column).ok_or_else(|| LakeError::invalid("group_by", "there is no such column"))?;
            match known.kind {
                LakeKind::Text | LakeKind::Number => {}
                LakeKind::Time => {
                    return Err(LakeError::invalid("group_by", "times are sorted into pieces of time with a bucket"));
                }
                LakeKind::Float => {
                    let problem = format!("{} has a value of its own in each row", known.name);
                    return Err(LakeError::invalid("group_by", problem));
                }
            }
            if self.group_by[..place].contains(column) {
                return Err(LakeError::invalid("group_by", format!("{} is named twice", known.name)));
            }
        }
        match self.distinct.map(|column| columns.get(column)) {
            None | Some(Some(LakeColumn { kind: LakeKind::Text | LakeKind::Number, .. })) => {}
            Some(Some(LakeColumn { name, .. })) => {
                return Err(LakeError::invalid("distinct", format!("values of {name} are not counted")));
            }
            Some(None) => return Err(LakeError::invalid("distinct", "there is no such column")),
        }
        if self.top == Some(0) {
            return Err(LakeError::invalid("top", "0 groups are none: ask for one at least"));
        }
        Ok(())
    }
}

impl LakeListing {
    /// Says what is wrong with it, if anything is.
    pub fn check(&self) -> Result<(), LakeError> {
        check_filters(self.table, &self.filters)?;
        if !(1..=LISTED_ROWS_MAX).contains(&self.limit) {
            return Err(LakeError::invalid("limit", format!("it is 1 to {LISTED_ROWS_MAX}")));
        }
        Ok(())
    }
}

impl LakeAnswer {
    /// How many groups there are.
    pub fn len(&self) -> usize {
        self.counts.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.counts.is_empty()
    }

    /// The answer that has these groups.
    pub(crate) fn of_groups(question: &LakeQuestion, groups: &[LakeGroup], rows: u64, effort: LakeEffort) -> Self {
        let columns = question.group_by.iter().map(|column| question.table.columns()[*column].kind);
        let keys = columns
            .enumerate()
            .map(|(place, kind)| LakeValues::of(kind, groups.iter().map(|group| &group.values[place])));
        Self {
            buckets: groups.iter().filter_map(|group| group.bucket).map(Timestamp::unix_millis).collect(),
            keys: keys.collect(),
            counts: groups.iter().map(|group| group.count).collect(),
            distinct: question.distinct.map_or(Vec::new(), |_| groups.iter().map(|group| group.distinct).collect()),
            rows,
            effort,
        }
    }

    /// The groups one by one.
    pub fn groups(&self) -> impl Iterator<Item = LakeGroup> + '_ {
        (0..self.len()).map(|group| LakeGroup {
            bucket: self.buckets.get(group).map(|at| Timestamp::from_unix_millis(*at)),
            values: self.keys.iter().map(|column| column.value(group)).collect(),
            count: self.counts[group],
            distinct: self.distinct.get(group).copied().unwrap_or(0),
        })
    }
}

fn check_filters(table: LakeTable, filters: &[LakeFilter]) -> Result<(), LakeError> {
    if filters.len() > FILTERS_MAX {
        return Err(LakeError::invalid("filters", format!("{} tests are more than {FILTERS_MAX}", filters.len())));
    }
    for LakeFilter { column, test } in filters {
        let column =
            table.columns().get(*column).ok_or_else(|| LakeError::invalid("filters", "there is no such column"))?;
        let fits = match test {
            LakeTest::OneOf(values) | LakeTest::NoneOf(values) => {
                if values.len() > FILTER_VALUES_MAX {
                    let problem = format!("{} values are more than {FILTER_VALUES_MAX}", values.len());
                    return Err(LakeError::invalid("filters", problem));
                }
                column.kind != LakeKind::Time && values.iter().all(|value| value.kind() == column.kind)
            }
            LakeTest::BeginsWith(_) | LakeTest::Contains(_) => column.kind == LakeKind::Text,
            LakeTest::Between(..) => matches!(column.kind, LakeKind::Number | LakeKind::Float),
        };
        if !fits {
            let what = match column.kind {
                LakeKind::Time => "a time, which is chosen with the range",
                LakeKind::Text => "a text",
                LakeKind::Number => "a whole number below 2^32",
                LakeKind::Float => "a number",
            };
            return Err(LakeError::invalid("filters", format!("{} is {what}", column.name)));
        }
    }
    Ok(())
}

impl LakeTest {
    /// Whether it holds of a value.
    pub fn holds(&self, value: &LakeValue) -> bool {
        match (self, value) {
            (Self::OneOf(values), value) => values.contains(value),
            (Self::NoneOf(values), value) => !values.contains(value),
            (Self::BeginsWith(beginning), LakeValue::Text(text)) => text.starts_with(beginning.as_str()),
            (Self::Contains(part), LakeValue::Text(text)) => contains_ignoring_case(text, part),
            (Self::Between(least, most), LakeValue::Number(number)) => (*least..=*most).contains(&f64::from(*number)),
            (Self::Between(least, most), LakeValue::Float(number)) => (*least..=*most).contains(number),
            (Self::BeginsWith(_) | Self::Contains(_) | Self::Between(..), _) => false,
        }
    }
}

fn contains_ignoring_case(text: &str, part: &str) -> bool {
    let (text, part) = (text.as_bytes(), part.as_bytes());
    part.is_empty() || text.windows(part.len()).any(|window| window.eq_ignore_ascii_case(part))
}

#[cfg(test)]
mod tests;
