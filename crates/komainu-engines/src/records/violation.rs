//! Violations and their events, as they are stored.
//!
//! What people found out changes later for all events of a violation at once, so it is kept beside the bodies, in
//! columns; see [`Verification`].

use komainu_model::{
    ActiveViolation, Behavior, ConfidenceLevel, MetricValue, ProfileName, ReporterName, Timestamp, VerificationState,
    ViolationEvent, ViolationEventType, ViolationId,
};
use komainu_ports::{CriteriaKind, StoreError};
use serde::{Deserialize, Serialize};

use super::profile::StoredBehavior;
use super::value::StoredValue;
use super::word::{Spelled, Word};
use super::{Damage, to_json};

/// What people found out, as it stands in columns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Verification {
    /// The state's word.
    pub(crate) state: String,
    /// What people wrote about it.
    pub(crate) description: Option<String>,
}

/// The word of a state of verification.
pub(crate) fn verification_word(state: VerificationState) -> &'static str {
    state.word()
}

/// The word that filters find a behavior's criteria by.
pub(crate) fn criteria_word(kind: CriteriaKind) -> &'static str {
    match kind {
        CriteriaKind::Static => "static",
        CriteriaKind::Statistical => "statistical",
        CriteriaKind::MachineLearning => "machine-learning",
    }
}

/// The place of an event among the events of one violation at one time.
pub(crate) fn event_step(kind: ViolationEventType) -> i64 {
    match kind {
        ViolationEventType::InAlarm => 0,
        ViolationEventType::AlarmCleared => 1,
        ViolationEventType::AlarmInvalidated => 2,
    }
}

/// Writes an active violation, without what people found out.
pub(crate) fn encode_active_violation(violation: &ActiveViolation) -> String {
    to_json(&StoredActiveViolation {
        id: violation.id.to_string(),
        reporter: violation.reporter.to_string(),
        profile: violation.profile.to_string(),
        behavior: StoredBehavior::from(&violation.behavior),
        last_value: violation.last_value.as_ref().map(StoredValue::from),
        confidence: violation.confidence.map(Spelled),
        last_at_ms: violation.last_at.unix_millis(),
        started_at_ms: violation.started_at.unix_millis(),
    })
}

/// Reads an active violation.
pub(crate) fn decode_active_violation(body: &str, verification: Verification) -> Result<ActiveViolation, StoreError> {
    try_decode_active_violation(body, verification).map_err(|damage| damage.of("active violation"))
}

/// Writes a violation event, without what people found out.
pub(crate) fn encode_event(event: &ViolationEvent) -> String {
    to_json(&StoredEvent::from(event))
}

/// Reads a violation event.
pub(crate) fn decode_event(body: &str, verification: Verification) -> Result<ViolationEvent, StoreError> {
    let event = serde_json::from_str::<StoredEvent>(body).map_err(Damage::from);
    event
        .and_then(|stored| stored.into_event(verification.parse()?, verification.description))
        .map_err(|damage| damage.of("violation event"))
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StoredActiveViolation {
    id: String,
    reporter: String,
    profile: String,
    behavior: StoredBehavior,
    last_value: Option<StoredValue>,
    confidence: Option<Spelled<ConfidenceLevel>>,
    last_at_ms: i64,
    started_at_ms: i64,
}

fn try_decode_active_violation(body: &str, verification: Verification) -> Result<ActiveViolation, Damage> {
    let stored: StoredActiveViolation = serde_json::from_str(body)?;
    Ok(ActiveViolation {
        id: ViolationId::parse(&stored.id)?,
        reporter: ReporterName::parse(&stored.reporter)?,
        profile: ProfileName::parse(&stored.profile)?,
        behavior: Behavior::try_from(stored.behavior)?,
        last_value: stored.last_value.map(MetricValue::try_from).transpose()?,
        confidence: stored.confidence.map(|confidence| confidence.0),
        verification: verification.parse()?,
        verification_description: verification.description,
        last_at: Timestamp::from_unix_millis(stored.last_at_ms),
        started_at: Timestamp::from_unix_millis(stored.started_at_ms),
    })
}

impl Verification {
    fn parse(&self) -> Result<VerificationState, Damage> {
        let unknown = || Damage(format!("{} {:?} is not known", VerificationState::KIND, self.state));
        VerificationState::from_word(&self.state).ok_or_else(unknown)
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct StoredEvent {
    violation: String,
    reporter: String,
    profile: String,
    behavior: StoredBehavior,
    value: Option<StoredValue>,
    confidence: Option<Spelled<ConfidenceLevel>>,
    kind: Spelled<ViolationEventType>,
    at_ms: i64,
}

impl From<&ViolationEvent> for StoredEvent {
    fn from(event: &ViolationEvent) -> Self {
        Self {
            violation: event.violation.to_string(),
            reporter: event.reporter.to_string(),
            profile: event.profile.to_string(),
            behavior: StoredBehavior::from(&event.behavior),
            value: event.value.as_ref().map(StoredValue::from),
            confidence: event.confidence.map(Spelled),
            kind: Spelled(event.kind),
            at_ms: event.at.unix_millis(),
        }
    }
}

impl StoredEvent {
    pub(super) fn into_event(
        self,
        verification: VerificationState,
        verification_description: Option<String>,
    ) -> Result<ViolationEvent, Damage> {
        Ok(ViolationEvent {
            violation: ViolationId::parse(&self.violation)?,
            reporter: ReporterName::parse(&self.reporter)?,
            profile: ProfileName::parse(&self.profile)?,
            behavior: Behavior::try_from(self.behavior)?,
            value: self.value.map(MetricValue::try_from).transpose()?,
            confidence: self.confidence.map(|confidence| confidence.0),
            kind: self.kind.0,
            verification,
            verification_description,
            at: Timestamp::from_unix_millis(self.at_ms),
        })
    }
}
