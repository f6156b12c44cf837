//! Which sensors there are, and how they are.

use komainu_model::{Scope, ThingName, Timestamp};

use crate::sensor_records::SensorTotals;

/// A sensor, as it is known to operators.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SensorStatus {
    /// Its name.
    pub name: ThingName,
    /// When it was heard of last.
    pub last_seen: Option<Timestamp>,
    /// Whether that was a moment ago.
    pub is_online: bool,
    /// What it said of its health, since the hub started.
    pub health: Option<SensorHealth>,
    /// How far the newest line of its last batch was ahead of the hub's clock when it came, in milliseconds. It is some seconds
    /// behind as a rule, for lines wait for one to two seconds; and far behind when they had to wait for the hub.
    pub ahead_ms: Option<i64>,
    /// Artifacts that it has sent since the hub started.
    pub artifacts: u64,
    /// Captures that it has sent since the hub started.
    pub captures: u64,
    /// What it has handed in.
    pub records: Option<SensorTotals>,
}

/// A sensor's own word: shown to operators, and used for nothing. Texts are printable ASCII.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SensorHealth {
    /// Its version of Komainu.
    pub version: String,
    /// How long it has been running, in seconds.
    pub uptime_s: u64,
    /// Connections at this moment.
    pub connections: u64,
    /// Connections since it started.
    pub connections_total: u64,
    /// Connections since it started that a bound kept out.
    pub refused: u64,
    /// Bytes in its spool.
    pub spool_bytes: u64,
    /// How old the oldest record in its spool is, in seconds.
    pub spool_age_s: u64,
    /// Lines since it started that it could not write down.
    pub lines_lost: u64,
    /// Captures of sessions that wait for the hub.
    pub captures: u64,
    /// Their bytes.
    pub captures_bytes: u64,
    /// Captures since it started that it dropped before the hub had them.
    pub captures_dropped: u64,
    /// What is open: persona, service and port.
    pub doors: Vec<String>,
}

/// Knows the sensors. Calls do not block for long: what they answer is in memory.
pub trait SensorRollCall: Send + Sync {
    /// Every sensor of a scope that was heard of since the hub started, or of which records are kept, in the order of their
    /// names.
    fn sensors(&self, scope: &Scope) -> Vec<SensorStatus>;
}
