//! Behaviors and metric values in AWS's shapes, and back.

use komainu_aws::iot;
use komainu_detect::{BehaviorDraft, CriteriaDraft, ExpectedDraft, ProfileError, ValidationRules};
use komainu_model::{
    Behavior, Comparison, ConfidenceLevel, Criteria, ExpectedValue, IndicatorMatch, MetricValue, RemoteHost, Statistic,
};

use crate::error::ApiError;

/// Checks each behavior. An error says all that is wrong with all of them.
pub(super) fn read_behaviors(behaviors: Vec<iot::Behavior>, rules: ValidationRules) -> Result<Vec<Behavior>, ApiError> {
    let mut problems = Vec::new();
    let read = |behavior| draft_of(behavior).check(rules).map_err(|found| problems.extend(found)).ok();
    let behaviors: Vec<Behavior> = behaviors.into_iter().filter_map(read).collect();
    if problems.is_empty() { Ok(behaviors) } else { Err(ProfileError::Invalid { problems }.into()) }
}

/// The behavior as it was written, for the core to check.
pub(super) fn draft_of(behavior: iot::Behavior) -> BehaviorDraft {
    BehaviorDraft {
        name: behavior.name,
        metric: behavior.metric,
        dimension: behavior.metric_dimension.map(|dimension| dimension.dimension_name),
        criteria: behavior.criteria.map(|criteria| CriteriaDraft {
            operator: criteria.comparison_operator,
            value: criteria.value.map(|value| ExpectedDraft {
                count: value.count,
                cidrs: value.cidrs,
                ports: value.ports.map(|ports| ports.into_iter().map(i64::from).collect()),
                number: value.number,
                numbers: value.numbers,
                strings: value.strings,
            }),
            duration_s: criteria.duration_seconds.map(i64::from),
            datapoints_to_alarm: criteria.consecutive_datapoints_to_alarm.map(i64::from),
            datapoints_to_clear: criteria.consecutive_datapoints_to_clear.map(i64::from),
            // A threshold without a statistic is one that is missing, not one that is absent.
            statistic: criteria.statistical_threshold.map(|threshold| threshold.statistic.unwrap_or_default()),
            confidence: criteria.ml_detection_config.map(|config| config.confidence_level),
        }),
        suppress_alerts: behavior.suppress_alerts.unwrap_or(false),
        export_metric: behavior.export_metric.unwrap_or(false),
    }
}

/// The behavior as AWS shows it.
pub(super) fn show_behavior(behavior: &Behavior) -> iot::Behavior {
    iot::Behavior {
        name: behavior.name.to_string(),
        metric: Some(behavior.metric.as_str().to_owned()),
        metric_dimension: None,
        criteria: behavior.criteria.as_ref().map(show_criteria),
        // AWS leaves the flags out when they were not set.
        suppress_alerts: behavior.suppress_alerts.then_some(true),
        export_metric: behavior.export_metric.then_some(true),
    }
}

fn show_criteria(criteria: &Criteria) -> iot::BehaviorCriteria {
    let mut shown = iot::BehaviorCriteria {
        duration_seconds: criteria.duration_s.map(|seconds| i32::try_from(seconds).unwrap_or(i32::MAX)),
        consecutive_datapoints_to_alarm: Some(criteria.datapoints_to_alarm.into()),
        consecutive_datapoints_to_clear: Some(criteria.datapoints_to_clear.into()),
        ..Default::default()
    };
    let mut value = iot::MetricValue::default();
    let operator = match &criteria.expected {
        ExpectedValue::Count(comparison, count) => {
            value.count = Some(i64::try_from(*count).unwrap_or(i64::MAX));
            comparison_word(*comparison)
        }
        ExpectedValue::Number(comparison, number) => {
            value.number = Some(*number);
            comparison_word(*comparison)
        }
        ExpectedValue::Numbers { within, set } => {
            value.numbers = Some(set.clone());
            if *within { "in-set" } else { "not-in-set" }
        }
        ExpectedValue::Strings { within, set } => {
            value.strings = Some(set.clone());
            if *within { "in-set" } else { "not-in-set" }
        }
        ExpectedValue::Cidrs { within, set } => {
            value.cidrs = Some(set.iter().map(ToString::to_string).collect());
            if *within { "in-cidr-set" } else { "not-in-cidr-set" }
        }
        ExpectedValue::Ports { within, set } => {
            value.ports = Some(set.iter().map(|port| i32::from(*port)).collect());
            if *within { "in-port-set" } else { "not-in-port-set" }
        }
        ExpectedValue::Statistical(comparison, statistic) => {
            let statistic = Some(statistic_word(*statistic).to_owned());
            shown.statistical_threshold = Some(iot::StatisticalThreshold { statistic });
            shown.comparison_operator = Some(comparison_word(*comparison).to_owned());
            return shown;
        }
        ExpectedValue::Learned(level) => {
            let confidence_level = confidence_word(*level).to_owned();
            shown.ml_detection_config = Some(iot::MachineLearningDetectionConfig { confidence_level });
            return shown;
        }
    };
    shown.comparison_operator = Some(operator.to_owned());
    shown.value = Some(value);
    shown
}

/// A measured value as AWS shows it. Addresses are shown as `cidrs`, the only member for them.
pub(super) fn show_value(value: &MetricValue) -> iot::MetricValue {
    let mut shown = iot::MetricValue::default();
    match value {
        MetricValue::Count(count) => shown.count = Some(i64::try_from(*count).unwrap_or(i64::MAX)),
        MetricValue::Addresses(addresses) => shown.cidrs = Some(addresses.iter().map(ToString::to_string).collect()),
        MetricValue::Ports(ports) => shown.ports = Some(ports.iter().map(|port| i32::from(*port)).collect()),
        MetricValue::Number(number) => shown.number = Some(*number),
        MetricValue::Numbers(numbers) => shown.numbers = Some(numbers.clone()),
        MetricValue::Strings(strings) => shown.strings = Some(strings.clone()),
        // AWS's shape has room for all three: how many, with whom, and what is known of it.
        MetricValue::Matches(matches) => {
            shown.count = Some(i64::try_from(matches.len()).unwrap_or(i64::MAX));
            if !matches.is_empty() {
                shown.cidrs = Some(matches.iter().filter_map(address_of).collect());
                shown.strings = Some(matches.iter().map(ToString::to_string).collect());
            }
        }
    }
    shown
}

fn address_of(found: &IndicatorMatch) -> Option<String> {
    match &found.remote.host {
        RemoteHost::Address(address) => Some(address.to_string()),
        RemoteHost::Name(_) => None,
    }
}

/// AWS's word for a learned model's confidence.
pub(super) fn confidence_word(level: ConfidenceLevel) -> &'static str {
    match level {
        ConfidenceLevel::Low => "LOW",
        ConfidenceLevel::Medium => "MEDIUM",
        ConfidenceLevel::High => "HIGH",
    }
}

fn comparison_word(comparison: Comparison) -> &'static str {
    match comparison {
        Comparison::LessThan => "less-than",
        Comparison::LessThanEquals => "less-than-equals",
        Comparison::GreaterThan => "greater-than",
        Comparison::GreaterThanEquals => "greater-than-equals",
    }
}

fn statistic_word(statistic: Statistic) -> &'static str {
    match statistic {
        Statistic::Average => "Average",
        Statistic::P0 => "p0",
        Statistic::P0_1 => "p0.1",
        Statistic::P0_01 => "p0.01",
        Statistic::P1 => "p1",
        Statistic::P10 => "p10",
        Statistic::P50 => "p50",
        Statistic::P90 => "p90",
        Statistic::P99 => "p99",
        Statistic::P99_9 => "p99.9",
        Statistic::P99_99 => "p99.99",
        Statistic::P100 => "p100",
    }
}

#[cfg(test)]
mod tests {
    use komainu_model::{IndicatorId, Remote, SampleDigest, SightingWay, Timestamp};
    use serde_json::json;

    use super::*;

    const RULES: ValidationRules = ValidationRules { short_windows_allowed: false };

    fn of_json(behavior: serde_json::Value) -> iot::Behavior {
        serde_json::from_value(behavior).unwrap()
    }

    /// What was given comes back as it was, with AWS's defaults filled in.
    #[test]
    fn behaviors_come_back_as_they_were_given() {
        let check = |metric: &str, operator: &str, value: serde_json::Value, duration_s: Option<u32>| {
            let mut criteria = json!({"comparisonOperator": operator, "value": value,
                "consecutiveDatapointsToAlarm": 2, "consecutiveDatapointsToClear": 1});
            if let Some(duration_s) = duration_s {
                criteria["durationSeconds"] = json!(duration_s);
            }
            let given = of_json(json!({"name": "b", "metric": metric, "criteria": criteria, "suppressAlerts": true}));
            let read = read_behaviors(vec![given.clone()], RULES).unwrap();
            assert_eq!(show_behavior(&read[0]), given);
        };
        check("aws:num-messages-received", "less-than-equals", json!({"count": 100}), Some(300));
        check("aws:all-bytes-out", "less-than", json!({"count": 10000}), Some(300));
        check("aws:num-listening-tcp-ports", "greater-than", json!({"count": 0}), None);
        check("aws:listening-tcp-ports", "in-port-set", json!({"ports": [22, 443]}), None);
        check("aws:listening-udp-ports", "not-in-port-set", json!({"ports": [53]}), None);
        check("aws:destination-ip-addresses", "in-cidr-set", json!({"cidrs": ["10.0.0.0/8", "fe80::/10"]}), None);
        check("aws:source-ip-address", "not-in-cidr-set", json!({"cidrs": ["192.0.2.0/24"]}), None);
        check("komainu:indicator-matches", "less-than", json!({"count": 1}), None);
        check("komainu:indicator-matches", "less-than-equals", json!({"number": 0.0}), Some(300));
        check("cpu_usage", "greater-than-equals", json!({"number": 1.5}), None);
        check("modes", "in-set", json!({"strings": ["a", "b"]}), None);
        check("modes", "not-in-set", json!({"numbers": [1.0, 2.5]}), None);
    }

    #[test]
    fn every_problem_of_every_behavior_is_told() {
        let wrong = [
            json!({"name": "one", "metric": "aws:all-bytes-out", "criteria": {"comparisonOperator": "less-than",
                "value": {"count": 1}, "durationSeconds": 300, "consecutiveDatapointsToAlarm": 11}}),
            json!({"name": "two"}),
        ];
        let error = read_behaviors(wrong.into_iter().map(of_json).collect(), RULES).unwrap_err();
        let expected = "Behavior one is malformed. consecutiveDatapointsToAlarm 11 should be in range[1,10]; \
                        Behavior two is malformed. metric is missing";
        assert_eq!(error, ApiError::invalid(expected));
    }

    #[test]
    fn values_are_shown_in_their_member() {
        let check = |value: MetricValue, expected: serde_json::Value| {
            assert_eq!(serde_json::to_value(show_value(&value)).unwrap(), expected);
        };
        check(MetricValue::Count(u64::MAX), json!({"count": i64::MAX}));
        check(MetricValue::Addresses(vec!["192.0.2.1".parse().unwrap()]), json!({"cidrs": ["192.0.2.1"]}));
        check(MetricValue::Ports(vec![22]), json!({"ports": [22]}));
        check(MetricValue::Number(0.5), json!({"number": 0.5}));
        check(MetricValue::Numbers(vec![1.0]), json!({"numbers": [1.0]}));
        check(MetricValue::Strings(vec!["x".to_owned()]), json!({"strings": ["x"]}));
        check(MetricValue::Matches(Vec::new()), json!({"count": 0}));
        let found = IndicatorMatch {
            indicator: IndicatorId::parse("6d3c4c1e-6a26-5f2f-9b7e-0123456789ab").unwrap(),
            remote: Remote::parse("203.0.113.66:23").unwrap(),
            way: SightingWay::LookingBack,
            seen_at: Timestamp::from_unix_millis(5),
            sample: Some(SampleDigest::from_sha256([0xab; 32])),
        };
        let text =
            "indicator=6d3c4c1e-6a26-5f2f-9b7e-0123456789ab remote=203.0.113.66:23 way=looking-back seen_at_ms=5";
        let text = format!("{text} sample={}", "ab".repeat(32));
        check(MetricValue::Matches(vec![found]), json!({"count": 1, "cidrs": ["203.0.113.66"], "strings": [text]}));
    }
}
