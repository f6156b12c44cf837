//! The names of the sensor's log events, as they stand in the field `event`. They are an interface: operators filter
//! and alert by them. `docs/events.md` says what each means and which fields it has; a test compares the two.

/// A listener is open.
pub(crate) const LISTENING: &str = "sensor.listening";
/// The sensor has stopped.
pub(crate) const STOPPED: &str = "sensor.stopped";
/// Connections did not end in time when the sensor stopped.
pub(crate) const STOP_TIMED_OUT: &str = "sensor.stop_timed_out";
/// A listening socket could not accept a connection.
pub(crate) const ACCEPT_FAILED: &str = "sensor.accept_failed";
/// Somebody connected.
pub(crate) const CONNECTED: &str = "sensor.connected";
/// An event log could not be written.
pub(crate) const LOG_NOT_WRITTEN: &str = "sensor.log_not_written";
/// An artifact could not be stored.
pub(crate) const ARTIFACT_NOT_STORED: &str = "sensor.artifact_not_stored";
/// A bound is reached.
pub(crate) const LIMIT_REACHED: &str = "sensor.limit_reached";

/// All of them, for the test.
#[cfg(test)]
const ALL: &[&str] = &[
    LISTENING,
    STOPPED,
    STOP_TIMED_OUT,
    ACCEPT_FAILED,
    CONNECTED,
    LOG_NOT_WRITTEN,
    ARTIFACT_NOT_STORED,
    LIMIT_REACHED,
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_documentation_lists_the_same_events() {
        let documented: Vec<&str> = include_str!("../../../docs/events.md")
            .lines()
            .filter_map(|line| line.strip_prefix("| `sensor.")?.split('`').next())
            .collect();
        let names: Vec<&str> = ALL.iter().map(|name| name.strip_prefix("sensor.").unwrap()).collect();
        assert_eq!(documented, names);
    }

    /// A name that is declared and not in `ALL` would escape the comparison.
    #[test]
    fn every_declared_name_is_compared() {
        let declared = include_str!("events.rs").lines().filter(|line| line.starts_with("pub(crate) const ")).count();
        assert_eq!(declared, ALL.len());
    }
}
