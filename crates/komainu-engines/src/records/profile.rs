//! Security profiles and their behaviors, as they are stored.

use komainu_model::{
    AlertTarget, AlertTargetKind, Arn, Behavior, BehaviorName, Comparison, ConfidenceLevel, Criteria, DetectTarget,
    ExpectedValue, GroupName, Metric, MetricToRetain, ProfileName, SecurityProfile, Statistic, Timestamp,
};
use serde::{Deserialize, Serialize};

use super::Damage;
use super::word::{Exact, Spelled};

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct StoredSecurityProfile {
    name: String,
    description: Option<String>,
    behaviors: Vec<StoredBehavior>,
    alert_targets: Vec<StoredAlertTarget>,
    metrics_to_retain: Vec<StoredMetricToRetain>,
    metrics_export: Option<StoredMetricsExport>,
    targets: Vec<StoredDetectTarget>,
    version: u64,
    created_at_ms: i64,
    modified_at_ms: i64,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StoredAlertTarget {
    kind: Spelled<AlertTargetKind>,
    target: String,
    role: String,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StoredMetricToRetain {
    metric: String,
    export: bool,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StoredMetricsExport {
    mqtt_topic: String,
    role: String,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum StoredDetectTarget {
    AllThings,
    RegisteredThings,
    UnregisteredThings,
    Group(String),
}

impl From<&SecurityProfile> for StoredSecurityProfile {
    fn from(profile: &SecurityProfile) -> Self {
        Self {
            name: profile.name.to_string(),
            description: profile.description.clone(),
            behaviors: profile.behaviors.iter().map(StoredBehavior::from).collect(),
            alert_targets: profile.alert_targets.iter().map(StoredAlertTarget::from).collect(),
            metrics_to_retain: profile.metrics_to_retain.iter().map(StoredMetricToRetain::from).collect(),
            metrics_export: profile.metrics_export.as_ref().map(|(mqtt_topic, role)| StoredMetricsExport {
                mqtt_topic: mqtt_topic.clone(),
                role: role.to_string(),
            }),
            targets: profile.targets.iter().map(StoredDetectTarget::from).collect(),
            version: profile.version,
            created_at_ms: profile.created_at.unix_millis(),
            modified_at_ms: profile.modified_at.unix_millis(),
        }
    }
}

impl TryFrom<StoredSecurityProfile> for SecurityProfile {
    type Error = Damage;

    fn try_from(stored: StoredSecurityProfile) -> Result<Self, Damage> {
        let metrics_export = match stored.metrics_export {
            Some(export) => Some((export.mqtt_topic, Arn::parse(&export.role)?)),
            None => None,
        };
        Ok(Self {
            name: ProfileName::parse(&stored.name)?,
            description: stored.description,
            behaviors: stored.behaviors.into_iter().map(Behavior::try_from).collect::<Result<_, _>>()?,
            alert_targets: stored.alert_targets.into_iter().map(AlertTarget::try_from).collect::<Result<_, _>>()?,
            metrics_to_retain: stored
                .metrics_to_retain
                .into_iter()
                .map(MetricToRetain::try_from)
                .collect::<Result<_, _>>()?,
            metrics_export,
            targets: stored.targets.into_iter().map(DetectTarget::try_from).collect::<Result<_, _>>()?,
            version: stored.version,
            created_at: Timestamp::from_unix_millis(stored.created_at_ms),
            modified_at: Timestamp::from_unix_millis(stored.modified_at_ms),
        })
    }
}

impl From<&AlertTarget> for StoredAlertTarget {
    fn from(target: &AlertTarget) -> Self {
        Self { kind: Spelled(target.kind), target: target.target.to_string(), role: target.role.to_string() }
    }
}

impl TryFrom<StoredAlertTarget> for AlertTarget {
    type Error = Damage;

    fn try_from(stored: StoredAlertTarget) -> Result<Self, Damage> {
        Ok(Self { kind: stored.kind.0, target: Arn::parse(&stored.target)?, role: Arn::parse(&stored.role)? })
    }
}

impl From<&MetricToRetain> for StoredMetricToRetain {
    fn from(retained: &MetricToRetain) -> Self {
        Self { metric: retained.metric.as_str().to_owned(), export: retained.export }
    }
}

impl TryFrom<StoredMetricToRetain> for MetricToRetain {
    type Error = Damage;

    fn try_from(stored: StoredMetricToRetain) -> Result<Self, Damage> {
        Ok(Self { metric: Metric::parse(&stored.metric)?, export: stored.export })
    }
}

impl From<&DetectTarget> for StoredDetectTarget {
    fn from(target: &DetectTarget) -> Self {
        match target {
            DetectTarget::AllThings => Self::AllThings,
            DetectTarget::RegisteredThings => Self::RegisteredThings,
            DetectTarget::UnregisteredThings => Self::UnregisteredThings,
            DetectTarget::Group(name) => Self::Group(name.to_string()),
        }
    }
}

impl TryFrom<StoredDetectTarget> for DetectTarget {
    type Error = Damage;

    fn try_from(stored: StoredDetectTarget) -> Result<Self, Damage> {
        Ok(match stored {
            StoredDetectTarget::AllThings => Self::AllThings,
            StoredDetectTarget::RegisteredThings => Self::RegisteredThings,
            StoredDetectTarget::UnregisteredThings => Self::UnregisteredThings,
            StoredDetectTarget::Group(name) => Self::Group(GroupName::parse(&name)?),
        })
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct StoredBehavior {
    name: String,
    metric: String,
    criteria: Option<StoredCriteria>,
    suppress_alerts: bool,
    export_metric: bool,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StoredCriteria {
    expected: StoredExpectedValue,
    duration_s: Option<u32>,
    datapoints_to_alarm: u8,
    datapoints_to_clear: u8,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
enum StoredExpectedValue {
    Count { comparison: Spelled<Comparison>, value: u64 },
    Number { comparison: Spelled<Comparison>, value: Exact },
    Numbers { within: bool, set: Vec<Exact> },
    Strings { within: bool, set: Vec<String> },
    Cidrs { within: bool, set: Vec<String> },
    Ports { within: bool, set: Vec<u16> },
    Statistical { comparison: Spelled<Comparison>, statistic: Spelled<Statistic> },
    Learned { confidence: Spelled<ConfidenceLevel> },
}

impl From<&Behavior> for StoredBehavior {
    fn from(behavior: &Behavior) -> Self {
        Self {
            name: behavior.name.to_string(),
            metric: behavior.metric.as_str().to_owned(),
            criteria: behavior.criteria.as_ref().map(|criteria| StoredCriteria {
                expected: StoredExpectedValue::from(&criteria.expected),
                duration_s: criteria.duration_s,
                datapoints_to_alarm: criteria.datapoints_to_alarm,
                datapoints_to_clear: criteria.datapoints_to_clear,
            }),
            suppress_alerts: behavior.suppress_alerts,
            export_metric: behavior.export_metric,
        }
    }
}

impl TryFrom<StoredBehavior> for Behavior {
    type Error = Damage;

    fn try_from(stored: StoredBehavior) -> Result<Self, Damage> {
        let criteria = match stored.criteria {
            Some(criteria) => Some(Criteria {
                expected: ExpectedValue::try_from(criteria.expected)?,
                duration_s: criteria.duration_s,
                datapoints_to_alarm: criteria.datapoints_to_alarm,
                datapoints_to_clear: criteria.datapoints_to_clear,
            }),
            None => None,
        };
        Ok(Self {
            name: BehaviorName::parse(&stored.name)?,
            metric: Metric::parse(&stored.metric)?,
            criteria,
            suppress_alerts: stored.suppress_alerts,
            export_metric: stored.export_metric,
        })
    }
}

impl From<&ExpectedValue> for StoredExpectedValue {
    fn from(expected: &ExpectedValue) -> Self {
        match expected {
            ExpectedValue::Count(comparison, value) => Self::Count { comparison: Spelled(*comparison), value: *value },
            ExpectedValue::Number(comparison, value) => {
                Self::Number { comparison: Spelled(*comparison), value: Exact(*value) }
            }
            ExpectedValue::Numbers { within, set } => {
                Self::Numbers { within: *within, set: set.iter().copied().map(Exact).collect() }
            }
            ExpectedValue::Strings { within, set } => Self::Strings { within: *within, set: set.clone() },
            ExpectedValue::Cidrs { within, set } => {
                Self::Cidrs { within: *within, set: set.iter().map(|network| network.to_string()).collect() }
            }
            ExpectedValue::Ports { within, set } => Self::Ports { within: *within, set: set.clone() },
            ExpectedValue::Statistical(comparison, statistic) => {
                Self::Statistical { comparison: Spelled(*comparison), statistic: Spelled(*statistic) }
            }
            ExpectedValue::Learned(confidence) => Self::Learned { confidence: Spelled(*confidence) },
        }
    }
}

impl TryFrom<StoredExpectedValue> for ExpectedValue {
    type Error = Damage;

    fn try_from(stored: StoredExpectedValue) -> Result<Self, Damage> {
        Ok(match stored {
            StoredExpectedValue::Count { comparison, value } => Self::Count(comparison.0, value),
            StoredExpectedValue::Number { comparison, value } => Self::Number(comparison.0, value.0),
            StoredExpectedValue::Numbers { within, set } => {
                Self::Numbers { within, set: set.into_iter().map(|number| number.0).collect() }
            }
            StoredExpectedValue::Strings { within, set } => Self::Strings { within, set },
            StoredExpectedValue::Cidrs { within, set } => {
                let network = |text: &String| text.parse().map_err(|_| Damage(format!("{text:?} is not a network")));
                Self::Cidrs { within, set: set.iter().map(network).collect::<Result<_, _>>()? }
            }
            StoredExpectedValue::Ports { within, set } => Self::Ports { within, set },
            StoredExpectedValue::Statistical { comparison, statistic } => Self::Statistical(comparison.0, statistic.0),
            StoredExpectedValue::Learned { confidence } => Self::Learned(confidence.0),
        })
    }
}
