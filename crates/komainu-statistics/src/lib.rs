//! What the statistics of attacks need besides counting.
//!
//! In: counts by time and by the values of some columns, as the lake groups them ([`Counts`]); facts about samples; files of
//! the operator about what was published. Out: peaks with what is usual and how unusual they are ([`find_peaks`]); which
//! publications lie near them ([`nearby`]); what differs between two periods or products ([`compare`]); what was seen for the
//! first time ([`first_seen`]); statistics of samples ([`malware_statistics`]) and whether two series rise and fall together
//! ([`SeriesRelation`]).
//!
//! Equal inputs give equal outputs, in the same order. Everything that is kept has a bound, and what is left out at a bound is
//! counted. Values of columns may be an attacker's words and are handed through as they are. Not here: reading rows from where
//! they lie, files, a clock, and pages in which all this is shown. How well peaks are found stands in `docs/statistics.md`.

mod comparison;
mod counts;
mod day;
mod first_seen;
#[cfg(fuzzing)]
pub mod fuzzing;
mod malware;
mod peaks;
mod publications;
mod relation;
mod watched;

pub use comparison::{Change, Comparison, ComparisonError, Row, Rule, Side, compare};
pub use counts::{BUCKETS_MAX, Cadence, Counts, CountsError, Key};
pub use day::Day;
pub use first_seen::{FirstSeen, FirstSeenList, first_seen};
pub use malware::{Elsewhere, MalwareStatistics, SampleFact, Tally, TimeToProtect, malware_statistics};
pub use peaks::{Finding, Kind, Peaks, Scope, Unjudged, find_peaks};
pub use publications::{
    CveId, EPSS_BYTES_MAX, Epss, KEV_BYTES_MAX, Likelihood, Mistake, NOTES_BYTES_MAX, Nearby, Occasion, Problem,
    Publication, Relation, Source, Span, nearby, read_epss, read_kev, read_notes,
};
pub use relation::SeriesRelation;
pub use watched::unwatched_days;
