//! Where state and history are written down.

use std::ops::ControlFlow;

use komainu_model::{
    ActiveViolation, Arn, Behavior, Change, Datapoint, Delivery, ExpectedValue, Metric, ProfileName, Record,
    ReporterName, Scope, Timestamp, VerificationState, ViolationEvent, ViolationId,
};

use crate::vitals::StoreCounts;

/// The control plane's records, the history of the last 14 days, and the outbox.
///
/// Calls block; an edge makes them where blocking is allowed.
pub trait Store: Send + Sync {
    /// Every record, to build the cores' state from at start.
    fn load(&self) -> Result<Vec<(Scope, Record)>, StoreError>;

    /// Carries out all changes or none. Durable when it returns `Ok`.
    fn commit(&self, batch: &[Change]) -> Result<(), StoreError>;

    /// Active violations in the order (started, id), newest first.
    fn active_violations(
        &self,
        scope: &Scope,
        query: &ActiveViolationQuery,
        page: &Page,
    ) -> Result<Paged<ActiveViolation>, StoreError>;

    /// Violation events in the order (time, id), newest first.
    fn violation_events(
        &self,
        scope: &Scope,
        query: &ViolationEventQuery,
        page: &Page,
    ) -> Result<Paged<ViolationEvent>, StoreError>;

    /// Sets what people found out about a violation, in its active record and in all its events. Says whether the
    /// violation is known.
    fn verify_violation(
        &self,
        scope: &Scope,
        violation: &ViolationId,
        state: VerificationState,
        description: Option<&str>,
    ) -> Result<bool, StoreError>;

    /// A violation by its identity: its active record while it is in alarm, and the events in its life.
    fn violation(&self, scope: &Scope, violation: &ViolationId) -> Result<ViolationLife, StoreError>;

    /// How many violations are active, and of which devices: those with most that nobody has verified first, then those
    /// whose alarm is the newest. At most `reporters_max` devices are named; all are counted.
    fn alarm_totals(&self, scope: &Scope, reporters_max: usize) -> Result<AlarmTotals, StoreError>;

    /// The metrics of which there are values of a device, in the order of their names, each with the time of its latest
    /// value; at most `limit`.
    fn measured(
        &self,
        scope: &Scope,
        reporter: &ReporterName,
        limit: usize,
    ) -> Result<Vec<(Metric, Timestamp)>, StoreError>;

    /// Values of one metric of one device in the order of time, oldest first.
    fn datapoints(&self, scope: &Scope, query: &DatapointQuery, page: &Page) -> Result<Paged<Datapoint>, StoreError>;

    /// Shows `visit` every value that is not older than `since`, of every scope, in the order of time, until it has seen
    /// enough. `visit` may call the store.
    fn replay_datapoints(
        &self,
        since: Timestamp,
        visit: &mut dyn FnMut(Scope, Datapoint) -> ControlFlow<()>,
    ) -> Result<(), StoreError>;

    /// At most `limit` deliveries that are due at `now`, the longest due first, then the earliest asked for.
    fn deliveries_due(&self, now: Timestamp, limit: usize) -> Result<Vec<Delivery>, StoreError>;

    /// When the next delivery is due that is not due at `now`.
    fn next_delivery_at(&self, now: Timestamp) -> Result<Option<Timestamp>, StoreError>;

    /// Deliveries of a topic, those that are tried and those that were given up, in the order (asked for, id), newest first.
    fn deliveries_of_topic(&self, topic: &Arn, page: &Page) -> Result<Paged<Delivery>, StoreError>;

    /// How much there is of what somebody waits for or has to answer, in all scopes.
    fn counts(&self) -> Result<StoreCounts, StoreError>;

    /// Removes history (events, values, dead deliveries, contacts, sightings, refused candidates) older than `before`.
    fn prune(&self, before: Timestamp) -> Result<Pruned, StoreError>;
}

/// Why the store could not do it.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// What is stored cannot be read: it was damaged, or written by a newer version.
    #[error("stored {what} cannot be read: {reason}")]
    Damaged {
        /// What was to be read.
        what: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// A page token that this store did not give.
    #[error("page token is not valid")]
    BadPageToken,
    /// The medium failed; trying again may help.
    #[error("store is unavailable while {doing}")]
    Unavailable {
        /// What was tried.
        doing: &'static str,
        /// Why it failed.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// Which active violations.
#[derive(Debug, Clone, Default)]
pub struct ActiveViolationQuery {
    /// Only this device's.
    pub reporter: Option<ReporterName>,
    /// Only this profile's.
    pub profile: Option<ProfileName>,
    /// Only of behaviors of this kind.
    pub criteria: Option<CriteriaKind>,
    /// Suppressed ones, too. AWS's default is that they are left out.
    pub include_suppressed: bool,
    /// Only in this state of verification.
    pub verification: Option<VerificationState>,
}

/// Which violation events.
#[derive(Debug, Clone)]
pub struct ViolationEventQuery {
    /// Not before.
    pub from: Timestamp,
    /// Not after.
    pub to: Timestamp,
    /// Only this device's.
    pub reporter: Option<ReporterName>,
    /// Only this profile's.
    pub profile: Option<ProfileName>,
    /// Only of behaviors of this kind.
    pub criteria: Option<CriteriaKind>,
    /// Suppressed ones, too.
    pub include_suppressed: bool,
    /// Only in this state of verification.
    pub verification: Option<VerificationState>,
}

/// What is stored of one violation; nothing of one that is not known.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ViolationLife {
    /// While it is in alarm.
    pub active: Option<ActiveViolation>,
    /// Its events of the last 14 days, oldest first. There are three kinds, and each comes once.
    pub events: Vec<ViolationEvent>,
}

/// How many violations are active.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AlarmTotals {
    /// All of them.
    pub all: AlarmCounts,
    /// How many devices they are of.
    pub reporters: u64,
    /// The first of the devices.
    pub of_reporters: Vec<(ReporterName, AlarmCounts)>,
}

/// How many violations are active of one device, or of all.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct AlarmCounts {
    /// Active ones.
    pub active: u64,
    /// Those among them that nobody has verified, and whose alerts are not suppressed.
    pub unverified: u64,
    /// Those among them whose alerts are suppressed.
    pub suppressed: u64,
    /// When the newest alarm was raised.
    pub latest_at: Timestamp,
}

impl AlarmCounts {
    /// Counts those of another device as well.
    pub fn add(&mut self, other: &Self) {
        self.active += other.active;
        self.unverified += other.unverified;
        self.suppressed += other.suppressed;
        self.latest_at = self.latest_at.max(other.latest_at);
    }
}

/// The kinds of criteria, as AWS filters by them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CriteriaKind {
    /// Compared with a fixed value.
    Static,
    /// Compared with a percentile.
    Statistical,
    /// Compared with a learned model.
    MachineLearning,
}

impl CriteriaKind {
    /// The kind of a behavior's criteria; a behavior without criteria has none and is found by no kind.
    pub fn of(behavior: &Behavior) -> Option<Self> {
        Some(match behavior.criteria.as_ref()?.expected {
            ExpectedValue::Count(..)
            | ExpectedValue::Number(..)
            | ExpectedValue::Numbers { .. }
            | ExpectedValue::Strings { .. }
            | ExpectedValue::Cidrs { .. }
            | ExpectedValue::Ports { .. } => Self::Static,
            ExpectedValue::Statistical(..) => Self::Statistical,
            ExpectedValue::Learned(_) => Self::MachineLearning,
        })
    }
}

/// Which values.
#[derive(Debug, Clone)]
pub struct DatapointQuery {
    /// The device.
    pub reporter: ReporterName,
    /// The metric.
    pub metric: Metric,
    /// Not before.
    pub from: Timestamp,
    /// Not after.
    pub to: Timestamp,
}

/// Which part of a list.
#[derive(Debug, Clone)]
pub struct Page {
    /// What follows this, or the beginning.
    pub after: Option<PageToken>,
    /// At most so many, 1..=1000.
    pub limit: usize,
}

/// Where a page ended; text that a client hands back as it got it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PageToken(pub String);

/// A part of a list. Pages are stable: what is inserted meanwhile neither repeats nor hides an older item.
#[derive(Debug, Clone)]
pub struct Paged<T> {
    /// The part.
    pub items: Vec<T>,
    /// Where it ended, when there is more.
    pub next: Option<PageToken>,
}

/// What was removed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Pruned {
    /// Violation events.
    pub violation_events: u64,
    /// Values.
    pub datapoints: u64,
    /// Dead deliveries.
    pub deliveries: u64,
    /// Whom devices were in contact with.
    pub contacts: u64,
    /// Who was seen with an indicator.
    pub sightings: u64,
    /// Candidates that did not become indicators.
    pub refused: u64,
}
