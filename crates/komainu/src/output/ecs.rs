//! Lines with the names of the Elastic Common Schema, version 8.17 (<https://www.elastic.co/guide/en/ecs/8.17/>). What has no
//! name there stands under `komainu`.

use std::net::IpAddr;

use bytes::Bytes;
use komainu_api::metric_value_json;
use komainu_model::{Scope, Timestamp, ViolationEvent, ViolationEventType};
use komainu_ports::{LakeRows, LakeTable, LakeValue};
use serde_json::{Map, Value, json};

const ECS_VERSION: &str = "8.17.0";

/// Bytes of a line. A longer one, of a value with thousands of parts, goes without the value.
const LINE_BYTES_MAX: usize = 32 * 1024;

/// Numbers of severity (`event.severity`), as syslog has them (RFC 5424, section 6.2.1).
pub(super) const ALARM_SEVERITY: u8 = 4;
pub(super) const ATTACK_SEVERITY: u8 = 6;

/// An event of a violation.
pub(super) fn alarm(scope: &Scope, event: &ViolationEvent) -> Bytes {
    let action = match event.kind {
        ViolationEventType::InAlarm => "in-alarm",
        ViolationEventType::AlarmCleared => "alarm-cleared",
        ViolationEventType::AlarmInvalidated => "alarm-invalidated",
    };
    let mut line = json!({
        "@timestamp": time(event.at),
        "ecs": {"version": ECS_VERSION},
        "message": format!("{}: {} of profile {}, {action}", event.reporter, event.behavior.name, event.profile),
        "event": {
            "kind": "alert",
            "category": ["intrusion_detection"],
            "type": ["info"],
            "action": action,
            "id": event.violation.to_string(),
            "module": "komainu",
            "dataset": "komainu.alarm",
            "severity": ALARM_SEVERITY,
        },
        "rule": {"name": event.behavior.name.to_string(), "ruleset": event.profile.to_string()},
        "device": {"id": event.reporter.to_string()},
        "cloud": {"account": {"id": scope.account.to_string()}, "region": scope.region.to_string()},
        "komainu": {"metric": event.behavior.metric.as_str(), "verification": event.verification.as_str()},
    });
    let without_value = line.to_string();
    if let Some(value) = event.value.as_ref() {
        line["komainu"]["value"] = metric_value_json(value);
    }
    let whole = line.to_string();
    if whole.len() <= LINE_BYTES_MAX { whole.into() } else { without_value.into() }
}

/// A session of a stranger with a sensor: one row of attacks. What a row does not know is left out.
pub(super) fn attack(rows: &LakeRows, row: usize) -> (Timestamp, Bytes) {
    let value = |name: &str| LakeTable::Attacks.column(name).map(|column| rows.value(row, column));
    let word = |name: &str| match value(name) {
        Some(LakeValue::Text(text)) if !text.is_empty() => Some(text.as_ref().to_owned()),
        _ => None,
    };
    let number = |name: &str| match value(name) {
        Some(LakeValue::Number(number)) if number != 0 => Some(number),
        _ => None,
    };
    let at = match value("time") {
        Some(LakeValue::Time(at)) => at,
        _ => Timestamp::default(),
    };
    let source = word("source");
    let ip = source.as_deref().filter(|source| source.parse::<IpAddr>().is_ok());
    let line = some(vec![
        ("@timestamp", Some(time(at))),
        ("ecs", Some(json!({"version": ECS_VERSION}))),
        (
            "event",
            Some(json!({
                "kind": "event",
                "category": ["network", "intrusion_detection"],
                "type": ["connection"],
                "action": "attack",
                "module": "komainu",
                "dataset": "komainu.attack",
                "severity": ATTACK_SEVERITY,
            })),
        ),
        (
            "source",
            object(vec![
                ("ip", ip.map(Value::from)),
                ("address", source.as_deref().map(Value::from)),
                ("geo", object(vec![("country_iso_code", word("country").map(Value::from))])),
                ("as", object(vec![("number", number("asn").map(Value::from))])),
            ]),
        ),
        ("destination", object(vec![("port", number("port").map(Value::from))])),
        (
            "network",
            object(vec![
                ("protocol", word("protocol").map(Value::from)),
                ("transport", word("transport").map(Value::from)),
            ]),
        ),
        (
            "observer",
            object(vec![
                ("name", word("sensor").map(Value::from)),
                ("product", word("model").map(Value::from)),
                ("type", Some("honeypot".into())),
            ]),
        ),
        ("tags", word("label").map(|label| json!([label]))),
        (
            "komainu",
            object(vec![
                ("appliance", word("appliance").map(Value::from)),
                ("label", word("label").map(Value::from)),
                ("release", word("release").map(Value::from)),
            ]),
        ),
    ]);
    (at, Value::Object(line).to_string().into())
}

/// An object of what is there; none without any.
fn object(members: Vec<(&str, Option<Value>)>) -> Option<Value> {
    Some(some(members)).filter(|members| !members.is_empty()).map(Value::Object)
}

fn some(members: Vec<(&str, Option<Value>)>) -> Map<String, Value> {
    members.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect()
}

fn time(at: Timestamp) -> Value {
    calendar(at).into()
}

/// A point in time as RFC 3339 has it, in milliseconds.
pub(super) fn calendar(at: Timestamp) -> String {
    let calendar = jiff::Timestamp::from_millisecond(at.unix_millis()).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
    format!("{calendar:.3}")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use komainu_model::{
        AccountId, Behavior, BehaviorName, Metric, MetricValue, ProfileName, Region, ReporterName, VerificationState,
        ViolationId,
    };
    use komainu_ports::LakeRowsBuilder;

    use super::*;

    fn told() -> [Value; 2] {
        let scope = Scope { account: AccountId::parse("123456789012").unwrap(), region: Region::parse("r-1").unwrap() };
        let event = ViolationEvent {
            violation: ViolationId::parse("0e3c1f2a-0000-4000-8000-000000000001").unwrap(),
            reporter: ReporterName::parse("lamp <b>\u{202e}").unwrap(),
            profile: ProfileName::parse("calm").unwrap(),
            behavior: Behavior {
                name: BehaviorName::parse("quiet").unwrap(),
                metric: Metric::parse("aws:num-messages-sent").unwrap(),
                criteria: None,
                suppress_alerts: false,
                export_metric: false,
            },
            value: Some(MetricValue::Count(7)),
            confidence: None,
            kind: ViolationEventType::InAlarm,
            verification: VerificationState::Unknown,
            verification_description: None,
            at: Timestamp::from_unix_millis(1_700_000_000_123),
        };
        let mut rows = LakeRowsBuilder::new(LakeTable::Attacks);
        let text = LakeValue::text;
        rows.push(&[
            LakeValue::Time(Timestamp::from_unix_seconds(1_700_000_000)),
            text("192.0.2.7"),
            text("NL"),
            LakeValue::Number(64_500),
            text("gate-3"),
            text("camera"),
            text("X-100"),
            text("telnet"),
            text("tcp"),
            LakeValue::Number(23),
            text("mirai\n\"x\""),
            text("released"),
        ]);
        let lines = [alarm(&scope, &event), attack(&rows.finish(), 0).1];
        lines.map(|line| {
            assert!(!line.contains(&b'\n'), "a line has one line");
            serde_json::from_slice(&line).unwrap()
        })
    }

    /// The names of all members, with dots between them.
    fn names(value: &Value, before: &str, all: &mut BTreeSet<String>) {
        match value {
            Value::Object(members) => {
                for (name, value) in members {
                    names(value, &if before.is_empty() { name.clone() } else { format!("{before}.{name}") }, all);
                }
            }
            _ => drop(all.insert(before.to_owned())),
        }
    }

    #[test]
    fn the_documentation_has_all_fields() {
        let mut used = BTreeSet::new();
        told().iter().for_each(|line| names(line, "", &mut used));
        let page = include_str!("../../../../docs/output.md");
        let fields = page.split("\n## Fields\n").nth(1).unwrap().split("\n## ").next().unwrap();
        let documented: BTreeSet<String> =
            fields.lines().filter_map(|line| Some(line.strip_prefix("| `")?.split('`').next()?.to_owned())).collect();
        assert_eq!(used, documented);
    }

    #[test]
    fn values_stand_where_ecs_has_them() {
        let [alarm, attack] = told();
        let check =
            |line: &Value, place: &str, expected: Value| assert_eq!(line.pointer(place), Some(&expected), "{place}");
        check(&alarm, "/@timestamp", json!("2023-11-14T22:13:20.123Z"));
        check(&alarm, "/event/kind", json!("alert"));
        check(&alarm, "/rule/name", json!("quiet"));
        check(&alarm, "/device/id", json!("lamp <b>\u{202e}"));
        check(&alarm, "/komainu/value", json!(7));
        check(&attack, "/event/kind", json!("event"));
        check(&attack, "/source/ip", json!("192.0.2.7"));
        check(&attack, "/source/geo/country_iso_code", json!("NL"));
        check(&attack, "/destination/port", json!(23));
        check(&attack, "/tags", json!(["mirai\n\"x\""]));
    }
}
