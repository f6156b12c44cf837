//! The names of the hub's log events, and of those who speak VirusTotal's API, as they stand in the field `event`. They are
//! an interface: operators filter and alert by them. `docs/events.md` says what each means and which fields it has; a test
//! compares the two.

/// A sensor came that was not heard of before, or not for a while.
pub(crate) const SENSOR_SEEN: &str = "hub.sensor_seen";
/// A request was not a sensor's to make.
pub(crate) const SENSOR_REFUSED: &str = "hub.sensor_refused";
/// Records never came.
pub(crate) const RECORDS_MISSING: &str = "hub.records_missing";
/// Records were removed to make room.
pub(crate) const RECORDS_REMOVED: &str = "hub.records_removed";
/// Captures were removed to make room.
pub(crate) const CAPTURES_REMOVED: &str = "hub.captures_removed";
/// Records, an artifact or a capture could not be kept.
pub(crate) const NOT_KEPT: &str = "hub.not_kept";
/// An artifact is kept, and is no sample yet.
pub(crate) const SAMPLE_NOT_SUBMITTED: &str = "hub.sample_not_submitted";
/// In which visits samples came is not kept.
pub(crate) const MENTIONS_NOT_KEPT: &str = "hub.mentions_not_kept";
/// Records say something of attacks that cannot be counted.
pub(crate) const ATTACKS_NOT_COUNTED: &str = "hub.attacks_not_counted";
/// Records are kept, and are not in the lake yet.
pub(crate) const LAKE_NOT_APPENDED: &str = "hub.lake_not_appended";
/// Records came into the lake that it did not have.
pub(crate) const LAKE_CAUGHT_UP: &str = "hub.lake_caught_up";

/// A file was handed in.
pub(crate) const VIRUSTOTAL_TAKEN_IN: &str = "virustotal.taken_in";
/// A file was handed in and could not be kept.
pub(crate) const VIRUSTOTAL_NOT_KEPT: &str = "virustotal.not_kept";
/// Somebody came with a key that is none.
pub(crate) const VIRUSTOTAL_REFUSED: &str = "virustotal.refused";
/// A store failed.
pub(crate) const VIRUSTOTAL_UNAVAILABLE: &str = "virustotal.unavailable";
/// A document of the laboratory cannot be read.
pub(crate) const VIRUSTOTAL_UNREADABLE: &str = "virustotal.unreadable";

/// Somebody who reads came with a key that is none.
pub(crate) const READING_REFUSED: &str = "reading.refused";
/// What was to be read cannot be.
pub(crate) const READING_UNAVAILABLE: &str = "reading.unavailable";

/// All of them, for the test.
#[cfg(test)]
const ALL: &[&str] = &[
    SENSOR_SEEN,
    SENSOR_REFUSED,
    RECORDS_MISSING,
    RECORDS_REMOVED,
    CAPTURES_REMOVED,
    NOT_KEPT,
    SAMPLE_NOT_SUBMITTED,
    MENTIONS_NOT_KEPT,
    ATTACKS_NOT_COUNTED,
    LAKE_NOT_APPENDED,
    LAKE_CAUGHT_UP,
    VIRUSTOTAL_TAKEN_IN,
    VIRUSTOTAL_NOT_KEPT,
    VIRUSTOTAL_REFUSED,
    VIRUSTOTAL_UNAVAILABLE,
    VIRUSTOTAL_UNREADABLE,
    READING_REFUSED,
    READING_UNAVAILABLE,
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_documentation_lists_the_same_events() {
        let documented: Vec<&str> = include_str!("../../../docs/events.md")
            .lines()
            .filter_map(|line| line.strip_prefix("| `")?.split('`').next())
            .filter(|name| ["hub.", "virustotal.", "reading."].iter().any(|start| name.starts_with(start)))
            .collect();
        assert_eq!(documented, ALL);
    }

    /// A name that is declared and not in `ALL` would escape the comparison.
    #[test]
    fn every_declared_name_is_compared() {
        let declared = include_str!("events.rs").lines().filter(|line| line.starts_with("pub(crate) const ")).count();
        assert_eq!(declared, ALL.len());
    }
}
