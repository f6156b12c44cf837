//! Deliveries of every kind.

use std::collections::BTreeMap;

use komainu_model::*;

pub(super) fn at(seconds: i64) -> Timestamp {
    Timestamp::from_unix_seconds(1_795_400_000 + seconds)
}

pub(super) fn delivery(protocol: Protocol, endpoint: &str, kind: NotificationKind) -> Delivery {
    let account = AccountId::parse("123456789012").unwrap();
    let scope = Scope { account, region: Region::parse("us-east-1").unwrap() };
    Delivery {
        id: DeliveryId::parse("0a1b2c3d-4e5f-5a6b-8c7d-9e0f1a2b3c4d").unwrap(),
        subscription: SubscriptionId::parse("6f5e4d3c-2b1a-4098-8765-43210fedcba9").unwrap(),
        subscription_token: token(),
        protocol,
        endpoint: endpoint.to_owned(),
        raw: false,
        notification: Notification {
            message_id: "22b80b92-fdea-4c2c-8f9d-bdfb0c7bf324".into(),
            topic: scope.arn("sns", "MisbehavingDevices"),
            kind,
            at: at(0),
            signature: NotificationSignature::V1,
            sender_name: None,
        },
        scope,
        attempts: 0,
        state: DeliveryState::Due(at(0)),
        last_error: None,
        created_at: at(0),
    }
}

pub(super) fn mail(kind: NotificationKind) -> Delivery {
    delivery(Protocol::Email, "operator@example.com", kind)
}

pub(super) fn token() -> SubscriptionToken {
    SubscriptionToken::parse(&"0123456789abcdef".repeat(4)).unwrap()
}

pub(super) fn confirmation() -> NotificationKind {
    NotificationKind::SubscriptionConfirmation { token: token(), expires_at: at(3 * 24 * 3600) }
}

pub(super) fn farewell() -> NotificationKind {
    NotificationKind::UnsubscribeConfirmation { token: token(), expires_at: at(3 * 24 * 3600) }
}

pub(super) fn message(subject: Option<&str>, message: &str) -> NotificationKind {
    NotificationKind::Message {
        subject: subject.map(str::to_owned),
        message: message.to_owned(),
        attributes: BTreeMap::new(),
        alert: None,
    }
}

/// What a mail says that stands for others.
pub(super) fn held_back(count: u64, subject: &str, message: &str) -> NotificationKind {
    NotificationKind::Message {
        subject: Some(subject.to_owned()),
        message: message.to_owned(),
        attributes: BTreeMap::from([(HELD_BACK_ATTRIBUTE.to_owned(), ("Number".to_owned(), count.to_string()))]),
        alert: None,
    }
}

pub(super) fn event(kind: ViolationEventType) -> ViolationEvent {
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
                datapoints_to_clear: 1,
            }),
            suppress_alerts: false,
            export_metric: false,
        },
        value: Some(MetricValue::Count(52_480)),
        confidence: None,
        kind,
        verification: VerificationState::Unknown,
        verification_description: None,
        at: at(0),
    }
}

/// The alert of an event of an alarm that was raised 25 minutes before, or now.
pub(super) fn alert(event: ViolationEvent, subject: &str) -> NotificationKind {
    alert_with(event, subject, Vec::new())
}

fn alert_with(event: ViolationEvent, subject: &str, indicators: Vec<Indicator>) -> NotificationKind {
    let started_at = match event.kind {
        ViolationEventType::InAlarm => event.at,
        ViolationEventType::AlarmCleared | ViolationEventType::AlarmInvalidated => at(-1_500),
    };
    let groups = vec!["allMyDevices".to_owned(), "buildingSeven".to_owned()];
    NotificationKind::Message {
        subject: Some(subject.to_owned()),
        message: "{}".to_owned(),
        attributes: BTreeMap::new(),
        alert: Some(Box::new(AlertContext { event, started_at, groups, indicators })),
    }
}

pub(super) fn alarm() -> NotificationKind {
    alert(event(ViolationEventType::InAlarm), "[Komainu] MyDevice: bytesOut out of bounds")
}

pub(super) fn cleared() -> NotificationKind {
    let event = ViolationEvent { value: Some(MetricValue::Count(1_204)), ..event(ViolationEventType::AlarmCleared) };
    alert(event, "[Komainu] MyDevice: bytesOut back to normal")
}

pub(super) fn invalidated() -> NotificationKind {
    let event = ViolationEvent { value: None, ..event(ViolationEventType::AlarmInvalidated) };
    alert(event, "[Komainu] MyDevice: bytesOut no longer judged")
}

/// Open ports that nobody expects.
pub(super) fn ports() -> NotificationKind {
    let mut event = event(ViolationEventType::InAlarm);
    event.behavior.name = BehaviorName::parse("openPorts").unwrap();
    event.behavior.metric = Metric::parse("aws:listening-tcp-ports").unwrap();
    event.behavior.criteria = Some(Criteria {
        expected: ExpectedValue::Ports { within: true, set: vec![22, 443, 8883] },
        duration_s: None,
        datapoints_to_alarm: 1,
        datapoints_to_clear: 1,
    });
    event.value = Some(MetricValue::Ports(vec![22, 443, 2323, 48101]));
    alert(event, "[Komainu] MyDevice: openPorts out of bounds")
}

/// A device that was in contact with what a sample taught.
pub(super) fn threat(way: SightingWay) -> NotificationKind {
    let mut event = event(ViolationEventType::InAlarm);
    event.profile = ProfileName::parse("KomainuIndicators").unwrap();
    event.behavior.name = BehaviorName::parse("indicatorMatches").unwrap();
    event.behavior.metric = Metric::Komainu(KomainuMetric::IndicatorMatches);
    event.behavior.criteria = Some(Criteria {
        expected: ExpectedValue::Count(Comparison::LessThan, 1),
        duration_s: None,
        datapoints_to_alarm: 1,
        datapoints_to_clear: 10,
    });
    let id = IndicatorId::parse("8d6f4a1c-2f1b-5c3d-9e8f-001122334455").unwrap();
    let sample = Some(SampleDigest::from_sha256([0xab; 32]));
    let remote = Remote::parse("203.0.113.66:23").unwrap();
    event.value =
        Some(MetricValue::Matches(vec![IndicatorMatch { indicator: id, remote, way, seen_at: at(-60), sample }]));
    let indicator = Indicator {
        id,
        value: IndicatorValue::parse("203.0.113.66:23").unwrap(),
        threat: Threat::CommandAndControl,
        confidence: Confidence::new(90).unwrap(),
        source: IndicatorSource::Detonation(DetonationId::parse("d-20261123-7").unwrap()),
        provenance: vec![Provenance {
            sample,
            detonation: Some(DetonationId::parse("d-20261123-7").unwrap()),
            session: Some(SessionId::parse("0192f7a1-3c5e-7b1a-8f00-123456789abc").unwrap()),
            sensor: Some(SensorName::parse("tokyo").unwrap()),
            at: at(-30),
        }],
        provenance_dropped: 0,
        first_seen: at(-30),
        valid_from: at(-30),
        valid_until: at(30 * 24 * 3600),
        state: IndicatorState::Active,
        note: None,
    };
    alert_with(event, "[Komainu] MyDevice: indicatorMatches in contact with a known threat", vec![indicator])
}

/// A device that tries to speak through its name and its values.
pub(super) fn hostile() -> NotificationKind {
    let mut event = event(ViolationEventType::InAlarm);
    event.reporter = ReporterName::parse("</td><script>alert(1)</script>$(reboot)'\"&\u{202e}gpj.exe").unwrap();
    event.behavior.metric = Metric::parse("ssids").unwrap();
    event.behavior.criteria = Some(Criteria {
        expected: ExpectedValue::Strings { within: true, set: vec!["factory".to_owned()] },
        duration_s: None,
        datapoints_to_alarm: 1,
        datapoints_to_clear: 1,
    });
    event.value =
        Some(MetricValue::Strings(vec!["<img src=x onerror=alert(1)>\r\nBcc: victim@example.com".to_owned()]));
    alert(event, "[Komainu] </td><script>alert(1)</script>\u{202e}: bytesOut out of bounds")
}
