use komainu_model::{
    AlertContext, Arn, Behavior, BehaviorName, Change, Comparison, Criteria, ExpectedValue, Metric, MetricValue,
    NotificationKind, ProfileName, ReporterName, Timestamp, VerificationState, ViolationEvent, ViolationEventType,
    ViolationId,
};
use komainu_respond::{RespondError, alert_message, alert_subject};

use crate::{World, arn};

fn event(kind: ViolationEventType) -> ViolationEvent {
    ViolationEvent {
        violation: ViolationId::parse("6d3c4c1e-6a26-5f2f-9b7e-0123456789ab").unwrap(),
        reporter: ReporterName::parse("MyDevice").unwrap(),
        profile: ProfileName::parse("CheckRogueDevices").unwrap(),
        behavior: Behavior {
            name: BehaviorName::parse("bytesOut").unwrap(),
            metric: Metric::parse("aws:all-bytes-out").unwrap(),
            criteria: Some(Criteria {
                expected: ExpectedValue::Count(Comparison::LessThan, 10_000),
                duration_s: Some(300),
                datapoints_to_alarm: 1,
                datapoints_to_clear: 2,
            }),
            suppress_alerts: false,
            export_metric: false,
        },
        value: Some(MetricValue::Count(52_000)),
        confidence: None,
        kind,
        verification: VerificationState::Unknown,
        verification_description: None,
        at: Timestamp::from_unix_millis(1_795_400_000_123),
    }
}

fn alert(event: ViolationEvent) -> AlertContext {
    AlertContext { started_at: event.at, event, groups: vec!["allMyDevices".to_owned()], indicators: Vec::new() }
}

fn route(world: &mut World, alert: &AlertContext, target: &Arn) {
    let deliveries = world.topics.route_alert(alert, target, world.now).unwrap();
    world.carry_out(deliveries.into_iter().map(Change::PutDelivery).collect());
}

#[test]
fn the_message_is_the_violation_event_with_milliseconds() {
    let expected = concat!(
        r#"{"violationId":"6d3c4c1e-6a26-5f2f-9b7e-0123456789ab","thingName":"MyDevice","#,
        r#""securityProfileName":"CheckRogueDevices","behavior":{"name":"bytesOut","metric":"aws:all-bytes-out","#,
        r#""criteria":{"comparisonOperator":"less-than","value":{"count":10000},"durationSeconds":300,"#,
        r#""consecutiveDatapointsToAlarm":1,"consecutiveDatapointsToClear":2},"suppressAlerts":false},"#,
        r#""metricValue":{"count":52000},"violationEventType":"in-alarm","verificationState":"UNKNOWN","#,
        r#""violationEventTime":1795400000123}"#,
    );
    assert_eq!(alert_message(&alert(event(ViolationEventType::InAlarm))), expected);
}

#[test]
fn subjects_say_what_happened_in_a_hundred_characters() {
    let check = |kind, expected: &str| assert_eq!(alert_subject(&event(kind)), expected);
    check(ViolationEventType::InAlarm, "[Komainu] MyDevice: bytesOut out of bounds");
    check(ViolationEventType::AlarmCleared, "[Komainu] MyDevice: bytesOut back to normal");
    check(ViolationEventType::AlarmInvalidated, "[Komainu] MyDevice: bytesOut no longer judged");
    let mut long = event(ViolationEventType::AlarmInvalidated);
    long.reporter = ReporterName::parse(&"d".repeat(128)).unwrap();
    long.behavior.name = BehaviorName::parse(&"b".repeat(128)).unwrap();
    let subject = alert_subject(&long);
    assert!(subject.chars().count() <= 100 && subject.ends_with("b… no longer judged"), "{subject}");
}

#[test]
fn everybody_on_the_targets_is_told_once() {
    let (mut world, topic) = World::with_topic();
    let other = world.create("others");
    world.subscribed(&topic, "email", "ops@example.com", &[]);
    world.subscribed(&other, "https", "https://example.com/", &[]);
    let gone = arn("arn:aws:sns:us-east-1:123456789012:gone");
    let in_alarm = alert(event(ViolationEventType::InAlarm));
    let unreachable = world.topics.route_alert(&in_alarm, &gone, world.now);
    assert_eq!(unreachable, Err(RespondError::NotFound { what: "topic" }));
    route(&mut world, &in_alarm, &topic);
    route(&mut world, &in_alarm, &other);
    assert_eq!(world.outbox.len(), 2);
    for delivery in world.outbox.values() {
        let NotificationKind::Message { subject, alert, .. } = &delivery.notification.kind else { panic!("a message") };
        assert_eq!(subject.as_deref(), Some("[Komainu] MyDevice: bytesOut out of bounds"));
        assert_eq!(alert.as_ref().unwrap().groups, ["allMyDevices"]);
    }
    // After a crash the same event is routed again, later.
    world.pass(30);
    route(&mut world, &in_alarm, &topic);
    assert_eq!(world.outbox.len(), 2);
    route(&mut world, &alert(event(ViolationEventType::AlarmCleared)), &topic);
    assert_eq!(world.outbox.len(), 3);
}

#[test]
fn suppressed_alerts_tell_nobody() {
    let (mut world, topic) = World::with_topic();
    world.subscribed(&topic, "email", "ops@example.com", &[]);
    let mut suppressed = event(ViolationEventType::InAlarm);
    suppressed.behavior.suppress_alerts = true;
    assert_eq!(world.topics.route_alert(&alert(suppressed), &topic, world.now), Ok(Vec::new()));
}

#[test]
fn filters_choose_among_alerts() {
    let (mut world, topic) = World::with_topic();
    let filter = r#"{"violationEventType": ["in-alarm"], "thingName": [{"prefix": "My"}]}"#;
    world.subscribed(&topic, "email", "ops@example.com", &[("FilterPolicy", filter)]);
    let count = |kind| world.topics.route_alert(&alert(event(kind)), &topic, world.now).unwrap().len();
    assert_eq!((count(ViolationEventType::InAlarm), count(ViolationEventType::AlarmCleared)), (1, 0));
}

#[test]
fn a_device_cannot_talk_its_alert_away() {
    let (mut world, topic) = World::with_topic();
    world.subscribed(&topic, "https", "https://example.com/", &[]);
    let mut hostile = event(ViolationEventType::InAlarm);
    hostile.reporter = ReporterName::parse("a\u{2028}b\u{202e}c").unwrap();
    hostile.value = Some(MetricValue::Strings(vec!["\u{0}".repeat(10_000); 1_000]));
    route(&mut world, &alert(hostile), &topic);
    let (_, text) = world.sent().remove(0);
    assert!(text.len() < 262_144, "{} bytes", text.len());
}
