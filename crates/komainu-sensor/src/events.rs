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
/// A socket for datagrams could not be read.
pub(crate) const RECEIVE_FAILED: &str = "sensor.receive_failed";
/// Somebody connected.
pub(crate) const CONNECTED: &str = "sensor.connected";
/// An event log could not be written.
pub(crate) const LOG_NOT_WRITTEN: &str = "sensor.log_not_written";
/// An artifact could not be stored.
pub(crate) const ARTIFACT_NOT_STORED: &str = "sensor.artifact_not_stored";
/// A bound is reached.
pub(crate) const LIMIT_REACHED: &str = "sensor.limit_reached";
/// Records will not reach the hub, because the spool could not take them.
pub(crate) const SPOOL_NOT_WRITTEN: &str = "sensor.spool_not_written";
/// Records reach the hub.
pub(crate) const HUB_ANSWERS: &str = "sensor.hub_answers";
/// Records do not reach the hub.
pub(crate) const HUB_FAILS: &str = "sensor.hub_fails";
/// The hub will never take a batch.
pub(crate) const BATCH_REFUSED: &str = "sensor.batch_refused";
/// An artifact could not be sent to the hub.
pub(crate) const ARTIFACT_NOT_SENT: &str = "sensor.artifact_not_sent";

/// A real device is relayed.
pub(crate) const DEVICE_RELAYED: &str = "sensor.device_relayed";
/// A stranger reaches a real device.
pub(crate) const RELAYED: &str = "sensor.relayed";
/// A real device could not be reached.
pub(crate) const DEVICE_UNREACHABLE: &str = "sensor.device_unreachable";
/// A device's cloud could not be let through.
pub(crate) const CLOUD_CLOSED: &str = "sensor.cloud_closed";
/// What devices try could not be heard from the packet filter.
pub(crate) const EGRESS_NOT_HEARD: &str = "sensor.egress_not_heard";
/// A device turned to somebody whom it has no reason to know.
pub(crate) const INCIDENT: &str = "sensor.incident";
/// A device could not be put into quarantine.
pub(crate) const QUARANTINE_FAILED: &str = "sensor.quarantine_failed";

/// All of them, for the test.
#[cfg(test)]
const ALL: &[&str] = &[
    LISTENING,
    STOPPED,
    STOP_TIMED_OUT,
    ACCEPT_FAILED,
    RECEIVE_FAILED,
    CONNECTED,
    LOG_NOT_WRITTEN,
    ARTIFACT_NOT_STORED,
    LIMIT_REACHED,
    SPOOL_NOT_WRITTEN,
    HUB_ANSWERS,
    HUB_FAILS,
    BATCH_REFUSED,
    ARTIFACT_NOT_SENT,
    DEVICE_RELAYED,
    RELAYED,
    DEVICE_UNREACHABLE,
    CLOUD_CLOSED,
    EGRESS_NOT_HEARD,
    INCIDENT,
    QUARANTINE_FAILED,
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
