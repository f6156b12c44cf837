//! Asking an operator's rules about bytes that a stranger left or said.

use std::error::Error;
use std::sync::atomic::{AtomicU64, Ordering};

/// Asks rules about payloads. Whoever answers must expect the worst of the bytes: they are samples.
pub trait PayloadScanner: Send + Sync {
    /// The rules that hold for `contents`, in the order of the rules. Equal contents get equal answers. Blocks, for no
    /// longer than the engine says.
    fn scan(&self, contents: &[u8]) -> Result<Vec<PayloadMatch>, ScanError>;

    /// Learns that nothing will be asked for a while, and gives back what only scanning needs. Blocks while a scan runs.
    fn rest(&self);
}

/// A rule that holds for a payload. The engine bounds each list and each text of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PayloadMatch {
    /// Whose rule it is: the name of the file that it stands in.
    pub namespace: String,
    /// Its name.
    pub rule: String,
    /// Its tags, in their order.
    pub tags: Vec<String>,
    /// What it says of itself, names and values, in their order.
    pub meta: Vec<(String, String)>,
    /// Where its patterns were found.
    pub places: Vec<PatternPlace>,
}

/// Where a pattern of a rule was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PatternPlace {
    /// The pattern's name, such as `$a`.
    pub pattern: String,
    /// Where it begins in the payload, in bytes.
    pub offset: u64,
    /// How long it is there, in bytes.
    pub bytes: u64,
}

/// Why nothing can be said of a payload.
#[derive(Debug, thiserror::Error)]
pub enum ScanError {
    /// It has more bytes than are looked at. Asking again changes nothing.
    #[error("a payload of {bytes} bytes is not scanned: {bytes_max} are the most")]
    TooLarge {
        /// What it has.
        bytes: usize,
        /// What is looked at.
        bytes_max: usize,
    },
    /// The rules were not done in time. Asking again most likely changes nothing.
    #[error("the rules took longer than {limit_ms} ms")]
    TimedOut {
        /// What they had, in milliseconds.
        limit_ms: u64,
    },
    /// The engine failed; asking again may help.
    #[error("cannot scan a payload while {doing}")]
    Failed {
        /// What was tried.
        doing: &'static str,
        /// Why it failed.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
}

/// A scanner that looks for words: the double for tests.
#[derive(Debug, Default)]
pub struct MemoryScanner {
    /// The rules: a word, and what follows where it stands.
    rules: Vec<(Vec<u8>, PayloadMatch)>,
    bytes_max: usize,
    scans: AtomicU64,
}

impl MemoryScanner {
    /// Looks for these words in payloads of at most `bytes_max` bytes. The places of the matches are filled in.
    pub fn new(rules: Vec<(Vec<u8>, PayloadMatch)>, bytes_max: usize) -> Self {
        Self { rules, bytes_max, scans: AtomicU64::new(0) }
    }

    /// How often it was asked.
    pub fn scans(&self) -> u64 {
        self.scans.load(Ordering::Relaxed)
    }
}

impl PayloadScanner for MemoryScanner {
    fn scan(&self, contents: &[u8]) -> Result<Vec<PayloadMatch>, ScanError> {
        self.scans.fetch_add(1, Ordering::Relaxed);
        if contents.len() > self.bytes_max {
            return Err(ScanError::TooLarge { bytes: contents.len(), bytes_max: self.bytes_max });
        }
        let holds = |(word, found): &(Vec<u8>, PayloadMatch)| {
            let offset = contents.windows(word.len().max(1)).position(|window| window == word)?;
            let place = PatternPlace { pattern: "$word".into(), offset: offset as u64, bytes: word.len() as u64 };
            Some(PayloadMatch { places: vec![place], ..found.clone() })
        };
        Ok(self.rules.iter().filter_map(holds).collect())
    }

    fn rest(&self) {}
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conformance_payload::{CONFORMANCE_RULE, CONFORMANCE_WORD, check_payload_scanner};

    #[test]
    fn memory_scans_payloads() {
        let rule = PayloadMatch {
            namespace: "conformance".into(),
            rule: CONFORMANCE_RULE.into(),
            tags: vec!["tag".into()],
            meta: vec![("komainu_label".into(), "dropper".into())],
            places: Vec::new(),
        };
        let scanner = MemoryScanner::new(vec![(CONFORMANCE_WORD.into(), rule)], 1000);
        check_payload_scanner(&scanner, 1000);
    }
}
