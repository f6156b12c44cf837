//! What was not understood.

use std::fmt;

/// A value that was left out, and why. Both texts may be shown to the device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Where in the report it stands, in the schema's long names: `metrics.network_stats.bytes_in`.
    pub metric: String,
    /// What is wrong with it.
    pub reason: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.metric, self.reason)
    }
}

/// Nothing of a report can be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{problem}")]
pub struct ReportError {
    /// The device's number for the report, when that much could be read.
    pub report_id: Option<u64>,
    /// What is wrong with the report.
    pub problem: Unusable,
}

/// Why nothing of a report can be used. Displays as a text that may be shown to the device.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unusable {
    /// It is over the bound.
    #[error("report has {bytes} bytes, at most {bytes_max} are allowed")]
    TooLarge {
        /// Its size.
        bytes: usize,
        /// The bound.
        bytes_max: usize,
    },
    /// It is not of the encoding its topic names.
    #[error("report is not valid {encoding}: {reason}")]
    Syntax {
        /// `JSON` or `CBOR`.
        encoding: &'static str,
        /// What the decoder says.
        reason: String,
    },
    /// A part that every report must have is missing or wrong.
    #[error("{0}")]
    Structure(Problem),
}
