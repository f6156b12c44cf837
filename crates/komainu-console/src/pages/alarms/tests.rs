//! Alarms and devices of a fleet that was written down before.

use std::sync::Arc;

use hyper::Method;
use komainu_model::{ActiveViolation, Behavior, SecurityProfile, ViolationEvent};
use komainu_model::{
    BehaviorName, Change, Comparison, Criteria, Datapoint, DeviceMetric, ExpectedValue, GroupName, Metric, MetricValue,
    Record, Role, ThingGroup, ThingName, Timestamp, ViolationEventType,
};
use komainu_ports::{FleetGroup, GroupSummary, MemoryLake, MemoryStore, Store, ThingSummary};

use super::*;
use crate::Console;
use crate::form_key::FormKey;
use crate::request::tests::{FixedFleet, NOW, ask, console_of, english_of_japanese, token};
use crate::test_desks::scope;

const HOSTILE: &str = "<b>\u{202e}a/b";

fn behavior() -> Behavior {
    Behavior {
        name: BehaviorName::parse("few").unwrap(),
        metric: Metric::Device(DeviceMetric::NumListeningTcpPorts),
        criteria: Some(Criteria {
            expected: ExpectedValue::Count(Comparison::LessThanEquals, 5),
            duration_s: Some(300),
            datapoints_to_alarm: 2,
            datapoints_to_clear: 1,
        }),
        suppress_alerts: false,
        export_metric: false,
    }
}

fn id(number: u32) -> ViolationId {
    ViolationId::parse(&format!("{number:08x}-0000-4000-8000-000000000000")).unwrap()
}

fn reporter(name: &str) -> ReporterName {
    ReporterName::parse(name).unwrap()
}

/// The alarm `1` of `cam`, and `2` of a stranger with a hostile name.
fn console() -> (Arc<Console>, Arc<FixedFleet>) {
    let store = Arc::new(MemoryStore::new());
    let at = Timestamp::from_unix_millis(NOW.unix_millis() - 60_000);
    for (number, name) in [(1, "cam"), (2, HOSTILE)] {
        let value = MetricValue::Count(9);
        let active = ActiveViolation {
            id: id(number),
            reporter: reporter(name),
            profile: ProfileName::parse("Ports").unwrap(),
            behavior: behavior(),
            last_value: Some(value.clone()),
            confidence: None,
            verification: VerificationState::Unknown,
            verification_description: None,
            last_at: at,
            started_at: at,
        };
        let event = ViolationEvent {
            violation: active.id.clone(),
            reporter: active.reporter.clone(),
            profile: active.profile.clone(),
            behavior: behavior(),
            value: Some(value.clone()),
            confidence: None,
            kind: ViolationEventType::InAlarm,
            verification: VerificationState::Unknown,
            verification_description: None,
            at,
        };
        let datapoint = Datapoint { reporter: reporter(name), metric: behavior().metric, value, at };
        let changes = [
            Change::Put(scope(), Record::ActiveViolation(active)),
            Change::AppendViolationEvent(scope(), event),
            Change::AppendDatapoint(scope(), datapoint),
        ];
        store.commit(&changes).unwrap();
    }
    let hall = GroupName::parse("hall").unwrap();
    let summary = GroupSummary { name: hall.clone(), depth: 0, children: 0, things: 1, things_under: 1, profiles: 0 };
    let group = ThingGroup {
        name: hall.clone(),
        id: "id".into(),
        parent: None,
        description: Some(HOSTILE.to_owned()),
        attributes: BTreeMap::new(),
        version: 1,
        created_at: NOW,
    };
    let profile = SecurityProfile {
        name: ProfileName::parse("Ports").unwrap(),
        description: None,
        behaviors: vec![behavior()],
        alert_targets: Vec::new(),
        metrics_to_retain: Vec::new(),
        metrics_export: None,
        targets: Default::default(),
        version: 3,
        created_at: NOW,
        modified_at: NOW,
    };
    let thing = |name: &str| ThingSummary {
        name: ThingName::parse(name).unwrap(),
        type_name: None,
        groups: if name == "cam" { vec![hall.clone()] } else { Vec::new() },
    };
    let fleet = Arc::new(FixedFleet {
        things: vec![thing("cam"), thing("lamp")],
        groups: vec![FleetGroup { group, summary, above: Vec::new(), below: Vec::new(), profiles: Vec::new() }],
        profiles: parking_lot::Mutex::new(vec![Arc::new(profile)]),
        connected: vec![reporter("cam")],
    });
    (console_of(Arc::new(MemoryLake::default()), fleet.clone(), store), fleet)
}

fn get(console: &Arc<Console>, path: &str) -> (u16, String) {
    ask(console, Some(Role::Viewer), Method::GET, path, "")
}

fn post(console: &Arc<Console>, role: Role, path: &str, form: &str) -> u16 {
    let key = FormKey::of(&token(role));
    ask(console, Some(role), Method::POST, path, &format!("form_key={}&{form}", key.as_str())).0
}

#[test]
fn what_others_wrote_is_text_on_every_page() {
    let (console, _) = console();
    let device = format!("/devices/{}", crate::address::part(HOSTILE));
    let check = |path: &str, has: &[&str]| {
        let (status, text) = get(&console, path);
        assert_eq!(status, 200, "{path}: {text}");
        for has in has {
            assert!(text.contains(has), "{path} has no {has:?}: {text}");
        }
        assert!(!text.contains("<b>") && !text.contains('\u{202e}'), "{path} shows what it should not: {text}");
        assert_eq!(english_of_japanese(&console, Some(Role::Analyst), Method::GET, path, ""), [""; 0], "{path}");
    };
    let hostile = "&lt;b&gt;\\u{202e}a/b";
    check("/", &[hostile, "2 not verified", &device]);
    check("/alarms", &[hostile, "more than 5 within 5 min, twice in a row", &device]);
    check("/alarms?device=cam&state=unknown", &[&format!("/alarms/{}", id(1))]);
    check("/alarms?state=true-positive", &["No active alarm fits"]);
    check("/alarms?device=%01", &["No active alarm fits"]);
    check(&format!("/alarms/{}", id(2)), &[hostile, "Timeline", "<svg"]);
    check("/devices", &[hostile, "cam", "lamp", "not registered"]);
    check("/devices?group=hall", &["cam"]);
    check("/devices?group=%3Cb%3E", &["No registered device fits"]);
    check(&device, &[hostile, "not registered", "k-mark"]);
    check("/devices/cam", &["place", "&lt;b&gt;\\u{202e}", "connected", "hall"]);
    check("/groups", &["hall"]);
    check("/groups/hall", &[hostile, "cam", "Devices in alarm"]);
    check("/search?q=cam", &["/devices/cam"]);
    check(&format!("/search?q={}", id(1)), &[&format!("/alarms/{}", id(1))]);
    for path in ["/devices/nobody", "/groups/nobody", "/alarms/nobody", &format!("/alarms/{}", id(9))] {
        assert_eq!(get(&console, path).0, 404, "{path}");
    }
}

#[test]
fn analysts_say_what_they_found_out() {
    let (console, _) = console();
    let path = format!("/alarms/{}/verify", id(1));
    let state = || {
        let active = console.history.violation(&scope(), &id(1)).unwrap().active.unwrap();
        (active.verification, active.verification_description)
    };
    let long = format!("state=true-positive&description={}", "x".repeat(1_001));
    assert_eq!(post(&console, Role::Viewer, &path, "state=true-positive"), 403);
    assert_eq!(post(&console, Role::Analyst, &path, "state=nonsense"), 400);
    assert_eq!(post(&console, Role::Analyst, &path, &long), 200);
    assert_eq!(state(), (VerificationState::Unknown, None));
    assert_eq!(post(&console, Role::Analyst, &path, "state=true-positive&description=+a+%0D%0Ab+"), 303);
    assert_eq!(state(), (VerificationState::TruePositive, Some("a \nb".to_owned())));
    assert_eq!(post(&console, Role::Analyst, &format!("/alarms/{}/verify", id(9)), "state=true-positive"), 404);
    // It is not among the new ones any more.
    let (_, text) = get(&console, "/alarms");
    let (new, others) = text.split_once("Looked into").unwrap();
    assert!(!new.contains(&format!("/alarms/{}", id(1))) && others.contains(&format!("/alarms/{}", id(1))));
}

#[test]
fn alerts_are_suppressed_on_what_was_seen() {
    let (console, fleet) = console();
    let path = format!("/alarms/{}/suppress", id(1));
    let seen = || {
        let profiles = fleet.profiles.lock();
        (profiles[0].version, profiles[0].behaviors[0].suppress_alerts)
    };
    assert_eq!(post(&console, Role::Viewer, &path, "version=3&reason=r"), 403);
    assert_eq!(post(&console, Role::Analyst, &path, "version=&reason=r"), 400);
    for form in ["version=3&reason=+", "version=2&reason=r"] {
        post(&console, Role::Analyst, &path, form);
        assert_eq!(seen(), (3, false), "{form}");
    }
    assert_eq!(post(&console, Role::Analyst, &path, "version=3&reason=a+test"), 303);
    assert_eq!(seen(), (4, true));
    let active = console.history.violation(&scope(), &id(1)).unwrap().active.unwrap();
    assert_eq!(active.verification_description.as_deref(), Some("a test"));
    // Nobody is told, so that it does not stand among what is new.
    let (_, text) = get(&console, "/alarms");
    assert!(text.contains("are suppressed and not shown"), "{text}");
    assert!(get(&console, "/alarms?suppressed=1").1.contains(&format!("/alarms/{}", id(1))));
    assert_eq!(post(&console, Role::Analyst, &path.replace("suppress", "resume"), "version=4&reason=over"), 303);
    assert_eq!(seen(), (5, false));
    let audit = ask(&console, Some(Role::Admin), Method::GET, "/admin/audit", "").1;
    assert!(audit.contains("Ports/few a test") && audit.contains("alerts resumed"), "{audit}");
}

#[test]
fn a_page_stays_small_whatever_devices_are_called() {
    let (console, _) = console();
    let strings = MetricValue::Strings(vec!["\u{e0001}".repeat(200); 4_096]);
    for number in 10..110 {
        // 32 characters of four bytes, which are written as nine.
        let name = "\u{e0001}".repeat(31) + &number.to_string();
        let behavior = Behavior {
            metric: Metric::parse("cpu").unwrap(),
            criteria: Some(Criteria {
                expected: ExpectedValue::Strings { within: true, set: vec!["\u{e0001}".repeat(250); 100] },
                ..behavior().criteria.unwrap()
            }),
            ..behavior()
        };
        let active = ActiveViolation {
            id: id(number),
            reporter: reporter(&name),
            profile: ProfileName::parse(&"p".repeat(128)).unwrap(),
            behavior: behavior.clone(),
            last_value: Some(strings.clone()),
            confidence: None,
            verification: if number % 3 == 0 { VerificationState::TruePositive } else { VerificationState::Unknown },
            verification_description: Some("\u{e0001}".repeat(1_000)),
            last_at: NOW,
            started_at: NOW,
        };
        let event = ViolationEvent {
            violation: active.id.clone(),
            reporter: active.reporter.clone(),
            profile: active.profile.clone(),
            behavior,
            value: Some(strings.clone()),
            confidence: None,
            kind: ViolationEventType::InAlarm,
            verification: active.verification,
            verification_description: None,
            at: NOW,
        };
        let changes =
            [Change::Put(scope(), Record::ActiveViolation(active)), Change::AppendViolationEvent(scope(), event)];
        console.history.commit(&changes).unwrap();
    }
    for path in ["/", "/alarms", "/devices", &format!("/alarms/{}", id(10))] {
        let (status, text) = get(&console, path);
        assert_eq!(status, 200, "{path}");
        assert!(text.len() < 150_000, "{path} has {} bytes", text.len());
    }
    let more = get(&console, "/alarms").1;
    assert!(more.contains("rel=\"next\""), "{more}");
}
