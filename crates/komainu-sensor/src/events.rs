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
/// A payload could not be scanned.
pub(crate) const SCAN_FAILED: &str = "sensor.scan_failed";
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
/// Captures of sessions were removed, or not taken, before the hub had them.
pub(crate) const CAPTURE_DROPPED: &str = "sensor.capture_dropped";

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
/// The frames of a device are captured.
pub(crate) const CAPTURE_BEGAN: &str = "sensor.capture_began";
/// The frames of a device are not captured.
pub(crate) const CAPTURE_FAILED: &str = "sensor.capture_failed";
/// Frames of a device came faster than they were read.
pub(crate) const FRAMES_DROPPED: &str = "sensor.frames_dropped";
/// Frames of a device are not kept, because the disk failed.
pub(crate) const FRAMES_NOT_WRITTEN: &str = "sensor.frames_not_written";
/// A step of the reset of a device is over.
pub(crate) const RESET_STEP: &str = "sensor.reset_step";
/// What is told of a reset could not be read.
pub(crate) const RESET_NOT_READ: &str = "sensor.reset_not_read";

/// A device's shared folders are watched, for the first time or again.
pub(crate) const SHARE_WATCHED: &str = "sensor.share_watched";
/// A device's shared folders cannot be seen.
pub(crate) const SHARE_NOT_WATCHED: &str = "sensor.share_not_watched";
/// A part of a device's shared folders was not seen.
pub(crate) const SHARE_INCOMPLETE: &str = "sensor.share_incomplete";
/// What is known of a device's shared folders could not be read or kept.
pub(crate) const SHARE_STATE_LOST: &str = "sensor.share_state_lost";

/// A sensor listens for outposts.
pub(crate) const OUTPOSTS_AWAITED: &str = "sensor.outposts_awaited";
/// An outpost has opened its tunnel.
pub(crate) const OUTPOST_CAME: &str = "sensor.outpost_came";
/// The tunnel of an outpost is no more.
pub(crate) const OUTPOST_GONE: &str = "sensor.outpost_gone";
/// Whoever came to where outposts are awaited is none.
pub(crate) const OUTPOST_UNKNOWN: &str = "sensor.outpost_unknown";
/// An outpost asked for something that it may not have.
pub(crate) const OUTPOST_REFUSED: &str = "sensor.outpost_refused";
/// An outpost has its tunnel, and its ports are open.
pub(crate) const TUNNEL_OPEN: &str = "sensor.tunnel_open";
/// An outpost has no tunnel, and its ports are closed.
pub(crate) const TUNNEL_CLOSED: &str = "sensor.tunnel_closed";
/// A sensor would not have a stranger whom an outpost brought.
pub(crate) const STRANGER_REFUSED: &str = "sensor.stranger_refused";

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
    SCAN_FAILED,
    LIMIT_REACHED,
    SPOOL_NOT_WRITTEN,
    HUB_ANSWERS,
    HUB_FAILS,
    BATCH_REFUSED,
    ARTIFACT_NOT_SENT,
    CAPTURE_DROPPED,
    DEVICE_RELAYED,
    RELAYED,
    DEVICE_UNREACHABLE,
    CLOUD_CLOSED,
    EGRESS_NOT_HEARD,
    INCIDENT,
    QUARANTINE_FAILED,
    CAPTURE_BEGAN,
    CAPTURE_FAILED,
    FRAMES_DROPPED,
    FRAMES_NOT_WRITTEN,
    RESET_STEP,
    RESET_NOT_READ,
    SHARE_WATCHED,
    SHARE_NOT_WATCHED,
    SHARE_INCOMPLETE,
    SHARE_STATE_LOST,
    OUTPOSTS_AWAITED,
    OUTPOST_CAME,
    OUTPOST_GONE,
    OUTPOST_UNKNOWN,
    OUTPOST_REFUSED,
    TUNNEL_OPEN,
    TUNNEL_CLOSED,
    STRANGER_REFUSED,
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
