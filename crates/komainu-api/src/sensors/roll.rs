//! Which sensors there are, and when each was heard of last.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use komainu_model::{Scope, Timestamp};
use komainu_ports::{LogBudget, SensorHealth, SensorKey, SensorRollCall, SensorStatus, SensorTotals};
use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::Api;

/// A sensor that said nothing for so long, in seconds, is not online: three times its interval of health.
const ONLINE_S: u64 = 90;

/// Sensors that are remembered. Only registered things get here; beyond this, further ones are not listed until they
/// have handed in records.
const SENSORS_MAX: usize = 10_000;

/// Artifacts and captures that are taken at the same time: a capture is in memory as a whole, 8 MiB, an artifact takes
/// its room on the disk before it is there, 32 MiB.
const BODIES_AT_ONCE_MAX: usize = 4;

/// How long one waits for its turn. Then its sensor is asked to come again.
const BODY_TURN: Duration = Duration::from_secs(30);

/// What is remembered of sensors while the hub runs.
#[derive(Debug)]
pub(crate) struct SensorRoll {
    seen: Mutex<BTreeMap<SensorKey, Seen>>,
    turns: Arc<Semaphore>,
    pub(super) refused: LogBudget,
    pub(super) removed: LogBudget,
    pub(super) captures_removed: LogBudget,
    pub(super) not_kept: LogBudget,
    pub(super) not_submitted: LogBudget,
    pub(super) mentions_not_kept: LogBudget,
    pub(super) attacks_not_counted: LogBudget,
    pub(super) lake_not_appended: LogBudget,
    /// Whether there may be records that the lake does not have. At the start there may be: the server may have ended
    /// between the two.
    pub(super) lake_is_behind: AtomicBool,
}

#[derive(Debug, Default)]
struct Seen {
    at: Option<Timestamp>,
    health: Option<SensorHealth>,
    /// By how much its last batch was ahead of our clock.
    ahead_ms: Option<i64>,
    artifacts: u64,
    captures: u64,
}

impl Default for SensorRoll {
    fn default() -> Self {
        Self {
            seen: Mutex::default(),
            turns: Arc::new(Semaphore::new(BODIES_AT_ONCE_MAX)),
            refused: LogBudget::default(),
            removed: LogBudget::default(),
            captures_removed: LogBudget::default(),
            not_kept: LogBudget::default(),
            not_submitted: LogBudget::default(),
            mentions_not_kept: LogBudget::default(),
            attacks_not_counted: LogBudget::default(),
            lake_not_appended: LogBudget::default(),
            lake_is_behind: AtomicBool::new(true),
        }
    }
}

impl SensorRoll {
    fn note(&self, sensor: &SensorKey, note: impl FnOnce(&mut Seen)) {
        let mut seen = self.seen.lock();
        if seen.len() < SENSORS_MAX || seen.contains_key(sensor) {
            note(seen.entry(sensor.clone()).or_default());
        }
    }

    /// Notes that a sensor was heard of; says whether that is news.
    pub(super) fn note_seen(&self, sensor: &SensorKey, now: Timestamp) -> bool {
        let mut is_news = false;
        self.note(sensor, |seen| {
            is_news = !seen.at.is_some_and(|at| is_online(at, now));
            seen.at = Some(now);
        });
        is_news
    }

    pub(super) fn note_health(&self, sensor: &SensorKey, health: SensorHealth) {
        self.note(sensor, |seen| seen.health = Some(health));
    }

    /// Notes of when the newest line of a batch is that came now.
    pub(super) fn note_clock(&self, sensor: &SensorKey, newest: Timestamp, now: Timestamp) {
        let ahead_ms = newest.unix_millis().saturating_sub(now.unix_millis());
        self.note(sensor, |seen| seen.ahead_ms = Some(ahead_ms));
    }

    pub(super) fn note_artifact(&self, sensor: &SensorKey) {
        self.note(sensor, |seen| seen.artifacts += 1);
    }

    pub(super) fn note_capture(&self, sensor: &SensorKey) {
        self.note(sensor, |seen| seen.captures += 1);
    }

    /// The right to bring an artifact or a capture; none when too many others do.
    pub(super) async fn body_turn(&self) -> Option<OwnedSemaphorePermit> {
        tokio::time::timeout(BODY_TURN, self.turns.clone().acquire_owned()).await.ok()?.ok()
    }
}

impl SensorRollCall for Api {
    fn sensors(&self, scope: &Scope) -> Vec<SensorStatus> {
        let now = self.clock.now();
        let mut totals: BTreeMap<SensorKey, Option<SensorTotals>> =
            self.records.sensors().into_iter().map(|totals| (totals.sensor.clone(), Some(totals))).collect();
        let seen = self.roll.seen.lock();
        for sensor in seen.keys() {
            totals.entry(sensor.clone()).or_default();
        }
        let nothing = Seen::default();
        let of_scope = totals.into_iter().filter(|(sensor, _)| sensor.scope == *scope);
        of_scope
            .map(|(sensor, records)| {
                let Seen { at, health, ahead_ms, artifacts, captures } = seen.get(&sensor).unwrap_or(&nothing);
                let last_received_at = records.as_ref().and_then(|records| records.last_received_at);
                SensorStatus {
                    name: sensor.name,
                    last_seen: (*at).max(last_received_at),
                    is_online: at.is_some_and(|at| is_online(at, now)),
                    health: health.clone(),
                    ahead_ms: *ahead_ms,
                    artifacts: *artifacts,
                    captures: *captures,
                    records,
                }
            })
            .collect()
    }
}

fn is_online(last_seen: Timestamp, now: Timestamp) -> bool {
    now.since(last_seen) <= Duration::from_secs(ONLINE_S)
}
