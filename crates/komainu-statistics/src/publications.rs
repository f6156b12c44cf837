//! What was published, and what of it has to do with a peak.
//!
//! Three files of the operator are read: the list of weaknesses that are known to be exploited (CISA's KEV, JSON), how likely
//! each is to be (FIRST's EPSS, CSV), and own notes (CSV). Each reader gives what it understood and what it did not.

mod cells;
mod cve;
mod epss;
mod kev;
mod mistake;
mod nearby;
mod notes;

use std::fmt;

pub use cve::CveId;
pub use epss::{EPSS_BYTES_MAX, Epss, Likelihood, read_epss};
pub use kev::{KEV_BYTES_MAX, read_kev};
pub use mistake::Mistake;
pub use nearby::{Nearby, Occasion, Relation, Span, nearby};
pub use notes::{NOTES_BYTES_MAX, read_notes};

use crate::day::Day;

/// The most problems of a file that are told one by one; the last one says how many more there are.
const PROBLEMS_MAX: usize = 100;
/// The longest text of a publication that is kept, in characters; the rest is cut off.
const TEXT_CHARS_MAX: usize = 500;

/// Something that was published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Publication {
    /// When, or when it was taken into the list.
    pub day: Day,
    /// What it is called.
    pub title: String,
    /// The weakness.
    pub cve: Option<CveId>,
    /// Where it is from.
    pub source: Source,
    /// What it concerns: makers and products, or protocol, appliance and model.
    pub concerns: Vec<String>,
    /// Where to read about it: `http://` or `https://`.
    pub url: Option<String>,
}

/// Where a publication is from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Source {
    /// The list of weaknesses that are known to be exploited.
    Kev {
        /// Whether by those who demand ransom.
        by_ransomware: bool,
    },
    /// The operator's own notes.
    Note,
}

/// A part of a file that is not taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The line or, in a list of JSON, the entry, from 1; 0 if it is about the file.
    pub entry: usize,
    /// What is wrong.
    pub reason: Mistake,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.entry {
            0 => write!(f, "{}", self.reason),
            entry => write!(f, "entry {entry}: {}", self.reason),
        }
    }
}

/// Problems as they come up, of which the first are kept and all are counted.
#[derive(Debug, Default)]
struct Problems {
    told: Vec<Problem>,
    left_out: usize,
}

impl Problems {
    fn add(&mut self, entry: usize, reason: Mistake) {
        if self.told.len() < PROBLEMS_MAX {
            self.told.push(Problem { entry, reason });
        } else {
            self.left_out += 1;
        }
    }

    fn told(mut self) -> Vec<Problem> {
        if self.left_out > 0 {
            self.told.push(Problem { entry: 0, reason: Mistake::More(self.left_out) });
        }
        self.told
    }
}

/// A text from a file: what would move or hide text around it where it is shown is taken out, and its length is bounded.
fn text(value: &str) -> String {
    let moves_text = |character: char| {
        // Marks, embeddings, overrides and isolates of Unicode's bidirectional algorithm (UAX 9, 2).
        matches!(character, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    let kept = value.trim().chars().filter(|character| !character.is_control() && !moves_text(*character));
    let kept = kept.take(TEXT_CHARS_MAX);
    kept.collect::<String>().trim().to_owned()
}
