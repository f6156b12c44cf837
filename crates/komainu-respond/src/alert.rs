//! From a violation to messages.

use std::collections::BTreeMap;
use std::sync::Arc;

use komainu_model::{
    AlertContext, Arn, Behavior, Comparison, ConfidenceLevel, Criteria, Delivery, ExpectedValue, Indicator,
    IndicatorSource, KomainuMetric, Metric, MetricValue, Provenance, RemoteHost, Statistic, Timestamp,
    VerificationState, ViolationEvent, ViolationEventType,
};
use serde_json::{Map, Value, json};
use uuid::Uuid;

use crate::message::{Message, SUBJECT_CHARS_MAX, shortened};
use crate::{RespondError, Topics};

/// Device and behavior get at most so many characters of a subject.
const SUBJECT_NAME_CHARS_MAX: usize = 34;
/// So many items of a set are told, and so many characters of each.
const VALUE_ITEMS_MAX: usize = 200;
const VALUE_TEXT_CHARS_MAX: usize = 200;

impl Topics {
    /// The messages to everybody who subscribed to `target` about an event in a violation's life; none when the
    /// behavior's alerts are suppressed. The same event again gives the same deliveries, not further ones.
    pub fn route_alert(
        &self,
        alert: &AlertContext,
        target: &Arn,
        now: Timestamp,
    ) -> Result<Vec<Delivery>, RespondError> {
        let topic = self.topic(target)?;
        if alert.event.behavior.suppress_alerts {
            return Ok(Vec::new());
        }
        let message_id = message_id(&alert.event, target);
        let message = message(alert);
        Ok(self.fan_out(topic, &message, Some(alert), &message_id, &mut self.budgets_of(topic), now))
    }
}

/// The subject of an alert, at most 100 characters.
pub fn alert_subject(event: &ViolationEvent) -> String {
    let device = shortened(event.reporter.as_str(), SUBJECT_NAME_CHARS_MAX);
    let behavior = shortened(event.behavior.name.as_str(), SUBJECT_NAME_CHARS_MAX);
    let is_threat = event.behavior.metric == Metric::Komainu(KomainuMetric::IndicatorMatches);
    let what = match event.kind {
        ViolationEventType::InAlarm if is_threat => "in contact with a known threat",
        ViolationEventType::InAlarm => "out of bounds",
        ViolationEventType::AlarmCleared => "back to normal",
        ViolationEventType::AlarmInvalidated => "no longer judged",
    };
    shortened(&format!("[Komainu] {device}: {behavior} {what}"), SUBJECT_CHARS_MAX)
}

/// The text of an alert for programs: AWS's `ViolationEvent` as JSON, its time in milliseconds. When its value names
/// indicators, what is known of them stands beside it as `indicators`.
pub fn alert_message(alert: &AlertContext) -> String {
    let event = &alert.event;
    let mut object = Map::new();
    let mut put = |name: &str, value: Value| object.insert(name.to_owned(), value);
    put("violationId", event.violation.as_str().into());
    put("thingName", event.reporter.as_str().into());
    put("securityProfileName", event.profile.as_str().into());
    put("behavior", behavior_json(&event.behavior));
    if let Some(value) = &event.value {
        put("metricValue", metric_value_json(value));
    }
    if let Some(confidence) = event.confidence {
        put("violationEventAdditionalInfo", json!({"confidenceLevel": confidence_word(confidence)}));
    }
    put("violationEventType", event_type_word(event.kind).into());
    let verification = match event.verification {
        VerificationState::Unknown => "UNKNOWN",
        VerificationState::TruePositive => "TRUE_POSITIVE",
        VerificationState::BenignPositive => "BENIGN_POSITIVE",
        VerificationState::FalsePositive => "FALSE_POSITIVE",
    };
    put("verificationState", verification.into());
    if let Some(description) = &event.verification_description {
        put("verificationStateDescription", description.as_str().into());
    }
    put("violationEventTime", event.at.unix_millis().into());
    if !alert.indicators.is_empty() {
        put("indicators", alert.indicators.iter().map(indicator_json).collect());
    }
    Value::Object(object).to_string()
}

/// The attributes let subscriptions filter alerts: by device, profile, behavior, kind of event.
fn message(alert: &AlertContext) -> Message {
    let event = &alert.event;
    let attributes = [
        ("thingName", event.reporter.as_str()),
        ("securityProfileName", event.profile.as_str()),
        ("behaviorName", event.behavior.name.as_str()),
        ("violationEventType", event_type_word(event.kind)),
    ];
    let attributes = attributes.map(|(name, value)| (name.to_owned(), ("String".to_owned(), value.to_owned())));
    Message::of_alert(alert_subject(event), alert_message(alert), BTreeMap::from(attributes))
}

/// One message for one event and topic, however often it is routed.
fn message_id(event: &ViolationEvent, target: &Arn) -> Arc<str> {
    let name = format!("{} {} {target}", event.violation, event_type_word(event.kind));
    Uuid::new_v5(&Uuid::NAMESPACE_OID, name.as_bytes()).to_string().into()
}

fn event_type_word(kind: ViolationEventType) -> &'static str {
    match kind {
        ViolationEventType::InAlarm => "in-alarm",
        ViolationEventType::AlarmCleared => "alarm-cleared",
        ViolationEventType::AlarmInvalidated => "alarm-invalidated",
    }
}

fn behavior_json(behavior: &Behavior) -> Value {
    let mut object = Map::new();
    object.insert("name".to_owned(), behavior.name.as_str().into());
    object.insert("metric".to_owned(), behavior.metric.as_str().into());
    if let Some(criteria) = &behavior.criteria {
        object.insert("criteria".to_owned(), criteria_json(criteria));
    }
    object.insert("suppressAlerts".to_owned(), behavior.suppress_alerts.into());
    Value::Object(object)
}

fn criteria_json(criteria: &Criteria) -> Value {
    let mut object = Map::new();
    let mut put = |name: &str, value: Value| object.insert(name.to_owned(), value);
    let set = |within, inside: &'static str, outside: &'static str| if within { inside } else { outside };
    match &criteria.expected {
        ExpectedValue::Count(comparison, count) => {
            put("comparisonOperator", comparison_word(*comparison).into());
            put("value", json!({"count": count}));
        }
        ExpectedValue::Number(comparison, number) => {
            put("comparisonOperator", comparison_word(*comparison).into());
            put("value", json!({"number": number}));
        }
        ExpectedValue::Numbers { within, set: numbers } => {
            put("comparisonOperator", set(*within, "in-set", "not-in-set").into());
            put("value", json!({"numbers": numbers}));
        }
        ExpectedValue::Strings { within, set: strings } => {
            put("comparisonOperator", set(*within, "in-set", "not-in-set").into());
            put("value", json!({"strings": strings}));
        }
        ExpectedValue::Cidrs { within, set: cidrs } => {
            put("comparisonOperator", set(*within, "in-cidr-set", "not-in-cidr-set").into());
            let cidrs: Vec<String> = cidrs.iter().map(ToString::to_string).collect();
            put("value", json!({"cidrs": cidrs}));
        }
        ExpectedValue::Ports { within, set: ports } => {
            put("comparisonOperator", set(*within, "in-port-set", "not-in-port-set").into());
            put("value", json!({"ports": ports}));
        }
        ExpectedValue::Statistical(comparison, statistic) => {
            put("comparisonOperator", comparison_word(*comparison).into());
            put("statisticalThreshold", json!({"statistic": statistic_word(*statistic)}));
        }
        ExpectedValue::Learned(confidence) => {
            put("mlDetectionConfig", json!({"confidenceLevel": confidence_word(*confidence)}));
        }
    }
    if let Some(duration_s) = criteria.duration_s {
        put("durationSeconds", duration_s.into());
    }
    put("consecutiveDatapointsToAlarm", criteria.datapoints_to_alarm.into());
    put("consecutiveDatapointsToClear", criteria.datapoints_to_clear.into());
    Value::Object(object)
}

/// A value as AWS's `MetricValue`. Of a set that a device made very large the beginning is told: the device must not
/// decide whether the alert fits.
fn metric_value_json(value: &MetricValue) -> Value {
    match value {
        MetricValue::Count(count) => json!({"count": count}),
        MetricValue::Addresses(addresses) => {
            let cidrs: Vec<String> = addresses.iter().take(VALUE_ITEMS_MAX).map(ToString::to_string).collect();
            json!({"cidrs": cidrs})
        }
        MetricValue::Ports(ports) => json!({"ports": &ports[..ports.len().min(VALUE_ITEMS_MAX)]}),
        MetricValue::Number(number) => json!({"number": number}),
        MetricValue::Numbers(numbers) => json!({"numbers": &numbers[..numbers.len().min(VALUE_ITEMS_MAX)]}),
        MetricValue::Strings(strings) => {
            let strings: Vec<String> =
                strings.iter().take(VALUE_ITEMS_MAX).map(|text| shortened(text, VALUE_TEXT_CHARS_MAX)).collect();
            json!({"strings": strings})
        }
        MetricValue::Matches(matches) => {
            let named = &matches[..matches.len().min(VALUE_ITEMS_MAX)];
            let address = |found: &komainu_model::IndicatorMatch| match &found.remote.host {
                RemoteHost::Address(address) => Some(address.to_string()),
                RemoteHost::Name(_) => None,
            };
            let cidrs: Vec<String> = named.iter().filter_map(address).collect();
            let strings: Vec<String> = named.iter().map(ToString::to_string).collect();
            json!({"count": matches.len(), "cidrs": cidrs, "strings": strings})
        }
    }
}

/// An indicator with the way back to what taught it.
fn indicator_json(indicator: &Indicator) -> Value {
    let provenance = |origin: &Provenance| {
        let mut object = Map::new();
        let mut put = |name: &str, value: Option<String>| {
            if let Some(value) = value {
                object.insert(name.to_owned(), value.into());
            }
        };
        put("sampleSha256", origin.sample.map(|sample| sample.to_string()));
        put("detonation", origin.detonation.as_ref().map(ToString::to_string));
        put("session", origin.session.as_ref().map(ToString::to_string));
        put("sensor", origin.sensor.as_ref().map(ToString::to_string));
        object.insert("taughtAt".to_owned(), origin.at.unix_millis().into());
        Value::Object(object)
    };
    let source = match &indicator.source {
        IndicatorSource::Detonation(id) => format!("detonation {id}"),
        IndicatorSource::Operator => "operator".to_owned(),
        IndicatorSource::Feed(name) => format!("feed {name}"),
    };
    json!({
        "indicatorId": indicator.id.to_string(),
        "value": indicator.value.to_string(),
        "threat": indicator.threat.as_str(),
        "confidence": indicator.confidence.percent(),
        "source": source,
        "provenance": indicator.provenance.iter().map(provenance).collect::<Vec<_>>(),
    })
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

fn confidence_word(confidence: ConfidenceLevel) -> &'static str {
    match confidence {
        ConfidenceLevel::Low => "LOW",
        ConfidenceLevel::Medium => "MEDIUM",
        ConfidenceLevel::High => "HIGH",
    }
}
