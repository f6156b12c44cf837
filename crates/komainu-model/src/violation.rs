//! Violations: a device that is not as its profile says.

use crate::id::uuid_type;
use crate::{Behavior, ConfidenceLevel, MetricValue, ProfileName, ReporterName, Timestamp};

uuid_type! {
    /// One violation from its alarm to its end. Derived from profile, behavior, device and first datapoint, so that
    /// replaying the same input gives the same id.
    ViolationId, "violation id"
}

/// What happened in a violation's life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ViolationEventType {
    /// Enough violating datapoints in a row.
    InAlarm,
    /// Enough conforming datapoints in a row.
    AlarmCleared,
    /// No data for two days, or the device is no longer judged by the behavior.
    AlarmInvalidated,
}

/// What people found out about a violation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub enum VerificationState {
    /// Nobody has looked yet.
    #[default]
    Unknown,
    /// It was what it looked like.
    TruePositive,
    /// It was what it looked like, and expected.
    BenignPositive,
    /// It was not what it looked like.
    FalsePositive,
}

impl VerificationState {
    /// Its word in addresses, forms and what other tools read.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::TruePositive => "true-positive",
            Self::BenignPositive => "benign-positive",
            Self::FalsePositive => "false-positive",
        }
    }
}

/// One event in a violation's life; kept for 14 days.
#[derive(Debug, Clone, PartialEq)]
pub struct ViolationEvent {
    /// The violation.
    pub violation: ViolationId,
    /// The device.
    pub reporter: ReporterName,
    /// The profile.
    pub profile: ProfileName,
    /// The behavior as it was then.
    pub behavior: Behavior,
    /// The value that decided it.
    pub value: Option<MetricValue>,
    /// The learned model's confidence, when it was a learned behavior.
    pub confidence: Option<ConfidenceLevel>,
    /// What happened.
    pub kind: ViolationEventType,
    /// What people found out.
    pub verification: VerificationState,
    /// What people wrote about it; at most 1,000 characters.
    pub verification_description: Option<String>,
    /// When it happened.
    pub at: Timestamp,
}

/// A violation that is in alarm.
#[derive(Debug, Clone, PartialEq)]
pub struct ActiveViolation {
    /// The violation.
    pub id: ViolationId,
    /// The device.
    pub reporter: ReporterName,
    /// The profile.
    pub profile: ProfileName,
    /// The behavior as it was when the alarm was raised. Only whether its alerts are suppressed is as it was last, when the
    /// device was looked at.
    pub behavior: Behavior,
    /// The latest violating value.
    pub last_value: Option<MetricValue>,
    /// The learned model's confidence, when it is a learned behavior.
    pub confidence: Option<ConfidenceLevel>,
    /// What people found out.
    pub verification: VerificationState,
    /// What people wrote about it; at most 1,000 characters.
    pub verification_description: Option<String>,
    /// When the latest violating datapoint came.
    pub last_at: Timestamp,
    /// When the alarm was raised.
    pub started_at: Timestamp,
}
