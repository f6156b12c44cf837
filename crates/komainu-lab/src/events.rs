//! The names of the laboratory's log events, as they stand in the field `event`. They are an interface: operators filter and
//! alert by them. `docs/events.md` says what each means and which fields it has; a test compares the two.

/// The workers work.
pub(crate) const STARTED: &str = "lab.started";
/// A sample has a report.
pub(crate) const REPORT_MADE: &str = "lab.report_made";
/// An attempt at a sample did not get to its end; there will be another.
pub(crate) const ATTEMPT_FAILED: &str = "lab.attempt_failed";
/// A sample has no report and is not tried again.
pub(crate) const SAMPLE_FAILED: &str = "lab.sample_failed";
/// Artifacts became samples of which nobody had told.
pub(crate) const FOUND: &str = "lab.found";
/// The store, or the indicators, failed.
pub(crate) const STORE_UNAVAILABLE: &str = "lab.store_unavailable";
/// The workers did not end in time.
pub(crate) const STOP_TIMED_OUT: &str = "lab.stop_timed_out";
/// Somebody else knows a sample.
pub(crate) const KNOWN_ELSEWHERE: &str = "lab.known_elsewhere";
/// Somebody who is asked about samples did not answer.
pub(crate) const LOOKUP_DELAYED: &str = "lab.lookup_delayed";
/// Somebody who is asked about samples does not accept the key.
pub(crate) const LOOKUP_REFUSED: &str = "lab.lookup_refused";
/// What others know could not be kept, or whom to ask about could not be read.
pub(crate) const LOOKUP_NOT_KEPT: &str = "lab.lookup_not_kept";
/// A list of digests was read. For the program, which reads them.
pub const LIST_READ: &str = "lab.list_read";
/// A line of a list of digests cannot be used. For the program, which reads them.
pub const LIST_LINE_UNUSABLE: &str = "lab.list_line_unusable";

/// All of them, for the test.
#[cfg(test)]
const ALL: &[&str] = &[
    STARTED,
    REPORT_MADE,
    ATTEMPT_FAILED,
    SAMPLE_FAILED,
    FOUND,
    STORE_UNAVAILABLE,
    STOP_TIMED_OUT,
    KNOWN_ELSEWHERE,
    LOOKUP_DELAYED,
    LOOKUP_REFUSED,
    LOOKUP_NOT_KEPT,
    LIST_READ,
    LIST_LINE_UNUSABLE,
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_documentation_lists_the_same_events() {
        let documented: Vec<&str> = include_str!("../../../docs/events.md")
            .lines()
            .filter_map(|line| line.strip_prefix("| `lab.")?.split('`').next())
            .collect();
        let names: Vec<&str> = ALL.iter().map(|name| name.strip_prefix("lab.").unwrap()).collect();
        assert_eq!(documented, names);
    }

    /// A name that is declared and not in `ALL` would escape the comparison.
    #[test]
    fn every_declared_name_is_compared() {
        let is_name = |line: &&str| line.starts_with("pub(crate) const ") || line.starts_with("pub const ");
        let declared = include_str!("events.rs").lines().filter(is_name).count();
        assert_eq!(declared, ALL.len());
    }
}
