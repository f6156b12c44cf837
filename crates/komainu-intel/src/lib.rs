//! From what a session showed to what it was: a label, with its evidence.
//!
//! In: the bytes of both sides, the facts that decoders find in them, what was done in a persona's shell, each with its
//! time, and the rules that hold for what was brought. Out: alerts, as rules hold, and at the end a [`Verdict`]: one of nine
//! labels, the weaknesses that were tried, techniques of ATT&CK, how sure that is and which bytes show it, where the client
//! is and whether it is a scanner that is known.
//!
//! And from what malware turned out to be in contact with to indicators: [`learn`] decides what becomes one and for how long,
//! [`IndicatorPolicy`] what never does, [`read_list`] reads the lists of others.
//!
//! Rules are a subset of the language of Suricata; some for attacks on connected devices are built in. Everything that
//! is kept has a bound. Not here: files, sockets, a clock, and how a verdict is written down.

mod builtin;
mod classifier;
#[cfg(fuzzing)]
pub mod fuzzing;
mod geo;
mod indicators;
mod payload;
mod rules;
mod scanners;
mod sources;
mod verdict;

pub use builtin::BUILT_IN_RULES;
pub use classifier::{Classifier, FlowEnds, Watch};
pub use geo::{AsnError, AsnTable, Origin, country};
pub use indicators::{
    IndicatorPolicy, LIST_BYTES_MAX, LIST_ENTRIES_MAX, Lesson, ListFormat, NOTE_CHARS_MAX, Objection, PROVENANCE_MAX,
    ReadList, VALID_FOR_MAX, expired, indicator_id, learn, read_list, revoked,
};
pub use payload::PayloadRule;
pub use rules::{About, RULE_BYTES_MAX, RULES_MAX, RuleList, RuleSet, Unsupported};
pub use scanners::{Scanner, Scanners, UnusableLine};
pub use verdict::{Alert, Evidence, Label, Verdict};
