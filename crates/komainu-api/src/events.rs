//! The names of the hub's log events, as they stand in the field `event`. They are an interface: operators filter and
//! alert by them. `docs/events.md` says what each means and which fields it has; a test compares the two.

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

/// All of them, for the test.
#[cfg(test)]
const ALL: &[&str] = &[SENSOR_SEEN, SENSOR_REFUSED, RECORDS_MISSING, RECORDS_REMOVED, CAPTURES_REMOVED, NOT_KEPT];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_documentation_lists_the_same_events() {
        let documented: Vec<&str> = include_str!("../../../docs/events.md")
            .lines()
            .filter_map(|line| line.strip_prefix("| `hub.")?.split('`').next())
            .collect();
        let names: Vec<&str> = ALL.iter().map(|name| name.strip_prefix("hub.").unwrap()).collect();
        assert_eq!(documented, names);
    }

    /// A name that is declared and not in `ALL` would escape the comparison.
    #[test]
    fn every_declared_name_is_compared() {
        let declared = include_str!("events.rs").lines().filter(|line| line.starts_with("pub(crate) const ")).count();
        assert_eq!(declared, ALL.len());
    }
}
