//! Security profiles: what is normal for the devices of a group.
//!
//! Criteria state what is **normal**; a datapoint that does not satisfy them violates
//! (AWS IoT API reference, `BehaviorCriteria`).

use std::collections::BTreeSet;

use ipnet::IpNet;

use crate::id::{is_iot_name_char, name_type};
use crate::{Arn, GroupName, Metric, Timestamp};

name_type! {
    /// The name of a security profile: 1 to 128 characters of `[a-zA-Z0-9:_-]`.
    ProfileName, "security profile name", 128, "a-z A-Z 0-9 : _ -", is_iot_name_char
}
name_type! {
    /// The name of a behavior within its profile: 1 to 128 characters of `[a-zA-Z0-9:_-]`.
    BehaviorName, "behavior name", 128, "a-z A-Z 0-9 : _ -", is_iot_name_char
}

/// What is normal for the devices of its targets, and who hears of it when one is not.
#[derive(Debug, Clone, PartialEq)]
pub struct SecurityProfile {
    /// Its name, unique within a scope.
    pub name: ProfileName,
    /// What people wrote about it.
    pub description: Option<String>,
    /// At most 100 behaviors with names of their own.
    pub behaviors: Vec<Behavior>,
    /// Where alerts go; AWS knows one kind.
    pub alert_targets: Vec<AlertTarget>,
    /// Metrics whose values are kept although no behavior judges them.
    pub metrics_to_retain: Vec<MetricToRetain>,
    /// Where the metrics of the profile's devices are exported to, as it was given: `(MQTT topic, role)`.
    pub metrics_export: Option<(String, Arn)>,
    /// Whose devices it is for.
    pub targets: BTreeSet<DetectTarget>,
    /// Starts at 1 and grows with every update.
    pub version: u64,
    /// When it was created.
    pub created_at: Timestamp,
    /// When it last changed.
    pub modified_at: Timestamp,
}

/// A metric whose values are kept although no behavior judges it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MetricToRetain {
    /// The metric.
    pub metric: Metric,
    /// Whether its values are exported.
    pub export: bool,
}

/// Where alerts go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AlertTarget {
    /// The kind of target.
    pub kind: AlertTargetKind,
    /// The topic.
    pub target: Arn,
    /// The role that may publish to it. Kept and shown, not needed: the server publishes by itself.
    pub role: Arn,
}

/// The kind of an alert target.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum AlertTargetKind {
    /// A notification topic.
    Sns,
}

/// Whose devices a profile is for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DetectTarget {
    /// `.../all/things`: every device.
    AllThings,
    /// `.../all/registered-things`: devices whose name is registered.
    RegisteredThings,
    /// `.../all/unregistered-things`: devices whose name is not registered.
    UnregisteredThings,
    /// The things of this group and of the groups under it.
    Group(GroupName),
}

/// One expectation of one metric.
#[derive(Debug, Clone, PartialEq)]
pub struct Behavior {
    /// Its name, unique within its profile.
    pub name: BehaviorName,
    /// What it judges.
    pub metric: Metric,
    /// What is normal. AWS allows a behavior without criteria; it judges nothing and keeps the metric's values.
    pub criteria: Option<Criteria>,
    /// Violations are recorded and nobody is told.
    pub suppress_alerts: bool,
    /// Whether the metric's values are exported.
    pub export_metric: bool,
}

/// What is normal, and how often it must fail before people are told.
#[derive(Debug, Clone, PartialEq)]
pub struct Criteria {
    /// What the value is compared with.
    pub expected: ExpectedValue,
    /// The window in seconds; needed for sums, not given for values of a moment.
    pub duration_s: Option<u32>,
    /// So many violating datapoints in a row raise the alarm: 1..=10.
    pub datapoints_to_alarm: u8,
    /// So many conforming datapoints in a row clear it: 1..=10.
    pub datapoints_to_clear: u8,
}

/// What a value is compared with.
#[derive(Debug, Clone, PartialEq)]
pub enum ExpectedValue {
    /// A whole number.
    Count(Comparison, u64),
    /// A number of a custom metric.
    Number(Comparison, f64),
    /// Every number is one of these (`true`) or none of them is (`false`).
    Numbers {
        /// `in-set`, else `not-in-set`.
        within: bool,
        /// The set.
        set: Vec<f64>,
    },
    /// Every string is one of these or none of them is.
    Strings {
        /// `in-set`, else `not-in-set`.
        within: bool,
        /// The set.
        set: Vec<String>,
    },
    /// Every address is in one of these networks or none of them is.
    Cidrs {
        /// `in-cidr-set`, else `not-in-cidr-set`.
        within: bool,
        /// The networks.
        set: Vec<IpNet>,
    },
    /// Every port is one of these or none of them is.
    Ports {
        /// `in-port-set`, else `not-in-port-set`.
        within: bool,
        /// The ports.
        set: Vec<u16>,
    },
    /// Compared with a percentile of the same metric over the profile's devices in the same window.
    Statistical(Comparison, Statistic),
    /// Compared with a learned model.
    Learned(ConfidenceLevel),
}

/// How numbers are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Comparison {
    /// `less-than`.
    LessThan,
    /// `less-than-equals`.
    LessThanEquals,
    /// `greater-than`.
    GreaterThan,
    /// `greater-than-equals`.
    GreaterThanEquals,
}

/// A percentile that AWS knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[expect(missing_docs, reason = "the names are the percentiles; P0_01 is p0.01")]
pub enum Statistic {
    Average,
    P0,
    P0_1,
    P0_01,
    P1,
    P10,
    P50,
    P90,
    P99,
    P99_9,
    P99_99,
    P100,
}

/// How sure a learned model must be; `High` gives the fewest alarms.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[expect(missing_docs, reason = "AWS's words")]
pub enum ConfidenceLevel {
    Low,
    Medium,
    High,
}
