//! The names of the relay's log events, as they stand in the field `event`. They are an interface: operators filter
//! and alert by them. `docs/events.md` says what each means and which fields it has; a test compares the two.

/// The packet filter holds the devices.
pub(crate) const HELD: &str = "relay.held";
/// The unprivileged process was started.
pub(crate) const WORKER_STARTED: &str = "relay.worker_started";
/// The unprivileged process has ended.
pub(crate) const WORKER_ENDED: &str = "relay.worker_ended";
/// The unprivileged process asked for something that it may not have, or that the system refused.
pub(crate) const REFUSED: &str = "relay.refused";
/// The channel between the two processes failed.
pub(crate) const CHANNEL_FAILED: &str = "relay.channel_failed";
/// What devices have used of their day could not be read; it begins anew.
pub(crate) const DAY_UNKNOWN: &str = "relay.day_unknown";
/// The quotas of a new day could not be begun.
pub(crate) const QUOTAS_NOT_RESET: &str = "relay.quotas_not_reset";
/// A device is reset after an incident.
pub(crate) const RESET_BEGUN: &str = "relay.reset_begun";
/// A reset is over.
pub(crate) const RESET_ENDED: &str = "relay.reset_ended";
/// A device could not be reset.
pub(crate) const RESET_IMPOSSIBLE: &str = "relay.reset_impossible";
/// What has to be known of a quarantine could not be written down.
pub(crate) const LEDGER_NOT_WRITTEN: &str = "relay.ledger_not_written";
/// The process that examines took too long.
pub(crate) const EXAMINER_KILLED: &str = "relay.examiner_killed";
/// The way of the examiner to a device could not be closed.
pub(crate) const EXAMINATION_NOT_ENDED: &str = "relay.examination_not_ended";
/// What is told of a reset was not written down.
pub(crate) const RESET_NOT_TOLD: &str = "relay.reset_not_told";
/// The guard has stopped; the rules stay.
pub(crate) const STOPPED: &str = "relay.stopped";

/// All of them, for the test.
#[cfg(test)]
const ALL: &[&str] = &[
    HELD,
    WORKER_STARTED,
    WORKER_ENDED,
    REFUSED,
    CHANNEL_FAILED,
    DAY_UNKNOWN,
    QUOTAS_NOT_RESET,
    RESET_BEGUN,
    RESET_ENDED,
    RESET_IMPOSSIBLE,
    LEDGER_NOT_WRITTEN,
    EXAMINER_KILLED,
    EXAMINATION_NOT_ENDED,
    RESET_NOT_TOLD,
    STOPPED,
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_documentation_lists_the_same_events() {
        let documented: Vec<&str> = include_str!("../../../docs/events.md")
            .lines()
            .filter_map(|line| line.strip_prefix("| `relay.")?.split('`').next())
            .collect();
        let names: Vec<&str> = ALL.iter().map(|name| name.strip_prefix("relay.").unwrap()).collect();
        assert_eq!(documented, names);
    }

    /// A name that is declared and not in `ALL` would escape the comparison.
    #[test]
    fn every_declared_name_is_compared() {
        let declared = include_str!("events.rs").lines().filter(|line| line.starts_with("pub(crate) const ")).count();
        assert_eq!(declared, ALL.len());
    }
}
