//! What is wrong with a part of a file.

use std::fmt;

/// Why a part of a file is not taken. Displays in English for logs; pages say it in the words of their readers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mistake {
    /// The file is too large.
    FileLarge {
        /// How large it is.
        bytes: usize,
        /// How much is read.
        bytes_max: usize,
    },
    /// The JSON is no list of weaknesses; what its reader says.
    NoList(String),
    /// An entry of the JSON is no weakness; what its reader says.
    NoWeakness(String),
    /// So many entries are behind those that are read.
    LeftOut {
        /// How many.
        count: usize,
        /// How many are read.
        read_max: usize,
    },
    /// There are as many entries as may be.
    Full {
        /// How many may be.
        count_max: usize,
    },
    /// So many more entries have mistakes.
    More(usize),
    /// The line is too long.
    LineLong {
        /// How long it may be, in bytes.
        bytes_max: usize,
    },
    /// The line has too many cells.
    ManyCells {
        /// How many there may be.
        count_max: usize,
    },
    /// A quoted cell has no end.
    OpenQuote,
    /// The line is no text.
    NotUtf8,
    /// The heading lacks a column.
    NoColumn(&'static str),
    /// The heading names a column that there is not.
    UnknownColumn {
        /// Those that there are.
        known: &'static [&'static str],
    },
    /// The heading names a column twice.
    ColumnTwice(String),
    /// The line has more cells than the heading.
    MoreCells,
    /// No CVE identifier stands in this column.
    NoCve(&'static str),
    /// No day stands in this column.
    NoDay(&'static str),
    /// No number from 0 to 1 stands in this column.
    NoShare(&'static str),
    /// The title is empty.
    NoTitle,
    /// The link is none.
    NoLink,
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::FileLarge { bytes, bytes_max } => {
                write!(f, "the file has {bytes} bytes, at most {bytes_max} are read")
            }
            Self::NoList(said) => write!(f, "it is no list of exploited weaknesses: {said}"),
            Self::NoWeakness(said) => write!(f, "it is no weakness: {said}"),
            Self::LeftOut { count, read_max } => {
                write!(f, "{count} entries behind the first {read_max} are not read")
            }
            Self::Full { count_max } => write!(f, "there are already {count_max} entries"),
            Self::More(count) => write!(f, "{count} more entries are not taken"),
            Self::LineLong { bytes_max } => write!(f, "it has more than {bytes_max} bytes"),
            Self::ManyCells { count_max } => write!(f, "it has more than {count_max} columns"),
            Self::OpenQuote => f.write_str("a quotation in it does not end"),
            Self::NotUtf8 => f.write_str("it is no text in UTF-8"),
            Self::NoColumn(name) => write!(f, "the heading has no column `{name}`"),
            Self::UnknownColumn { known } => {
                write!(f, "the heading names a column that is none of {}", known.join(", "))
            }
            Self::ColumnTwice(name) => write!(f, "the heading names the column `{name}` twice"),
            Self::MoreCells => f.write_str("it has more cells than the heading; a text with a comma stands in quotes"),
            Self::NoCve(column) => write!(f, "`{column}` is no CVE identifier"),
            Self::NoDay(column) => write!(f, "`{column}` is no day such as 2019-04-07"),
            Self::NoShare(column) => write!(f, "`{column}` is no number from 0 to 1"),
            Self::NoTitle => f.write_str("`title` is empty"),
            Self::NoLink => f.write_str("`url` begins with neither https:// nor http://"),
        }
    }
}
