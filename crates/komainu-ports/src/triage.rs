//! Saying what a sample is without running it.

use std::error::Error;

/// Looks at samples. Whoever answers must expect the worst of the bytes, and have them looked at where nothing can be
/// opened.
pub trait Triage: Send + Sync {
    /// What `contents` are. Equal contents get equal reports, as long as the rules stay the same. Blocks, for no longer
    /// than the engine says.
    fn triage(&self, contents: &[u8]) -> Result<StaticReport, TriageError>;
}

/// What is known of a sample without running it. The engine bounds each text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StaticReport {
    /// The whole report, as it is stored and shown: docs/triage.md has its shape.
    pub json: String,
    /// The sample, as lowercase hex.
    pub sha256: String,
    /// What it is: `elf`, `script-shell`, `zip`, …
    pub kind: String,
    /// For which instruction set, if it is a program: `arm`, `mipsel`, …
    pub isa: Option<String>,
    /// How suspicious it is.
    pub level: TriageLevel,
    /// Its family, if it was voted for.
    pub family: Option<String>,
}

/// How suspicious a sample is. Nothing is ever said to be harmless.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum TriageLevel {
    /// Nothing was found.
    Unremarkable,
    /// Something was found that honest programs rarely have.
    Suspicious,
    /// Several things were found, or a family.
    Malicious,
}

/// Why nothing can be said of a sample.
#[derive(Debug, thiserror::Error)]
pub enum TriageError {
    /// It has more bytes than are looked at. Asking again changes nothing.
    #[error("a sample of {bytes} bytes is not looked at: {bytes_max} are the most")]
    TooLarge {
        /// What it has.
        bytes: usize,
        /// What is looked at.
        bytes_max: usize,
    },
    /// Looking took too long. Asking again most likely changes nothing.
    #[error("looking at the sample took longer than {limit_ms} ms")]
    TimedOut {
        /// What it had, in milliseconds.
        limit_ms: u64,
    },
    /// The engine failed, perhaps because of the sample; the next sample may go well.
    #[error("cannot look at a sample while {doing}")]
    Failed {
        /// What was tried.
        doing: &'static str,
        /// Why it failed.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
}

/// Says what it was told to say: the double for tests.
#[derive(Debug)]
pub struct MemoryTriage {
    /// What is said of samples: their contents, and the report.
    reports: Vec<(Vec<u8>, StaticReport)>,
    bytes_max: usize,
}

impl MemoryTriage {
    /// Knows these samples, and refuses what has more than `bytes_max` bytes.
    pub fn new(reports: Vec<(Vec<u8>, StaticReport)>, bytes_max: usize) -> Self {
        Self { reports, bytes_max }
    }
}

impl Triage for MemoryTriage {
    fn triage(&self, contents: &[u8]) -> Result<StaticReport, TriageError> {
        if contents.len() > self.bytes_max {
            return Err(TriageError::TooLarge { bytes: contents.len(), bytes_max: self.bytes_max });
        }
        let known = self.reports.iter().find(|(known, _)| known == contents);
        let report = known.map(|(_, report)| report.clone());
        report.ok_or_else(|| TriageError::Failed {
            doing: "looking for what was said of it",
            source: "nothing was".into(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conformance_triage::{SCRIPT, SCRIPT_SHA256, check_triage};

    #[test]
    fn memory_looks_at_samples() {
        let report = StaticReport {
            json: format!("{{\"sha256\":\"{SCRIPT_SHA256}\"}}"),
            sha256: SCRIPT_SHA256.into(),
            kind: "script-shell".into(),
            isa: None,
            level: TriageLevel::Suspicious,
            family: None,
        };
        check_triage(&MemoryTriage::new(vec![(SCRIPT.to_vec(), report)], 1000), 1000);
    }
}
