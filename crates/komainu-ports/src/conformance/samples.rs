//! Values to write down: every kind of change, with what engines get wrong — extremes, empty texts, quotes,
//! wildcards of query languages, text outside ASCII, control characters where free text allows them.

use std::collections::{BTreeMap, BTreeSet};

use komainu_model::{
    AccessKey, AccessKeyId, AccessKeyNote, AccessKeyStatus, AccountId, ActiveViolation, AlertContext, AlertTarget,
    AlertTargetKind, Arn, Batch, Behavior, BehaviorName, Certificate, CertificateId, CertificateMode,
    CertificateStatus, Change, CloudMetric, Comparison, ConfidenceLevel, Criteria, Datapoint, Delivery, DeliveryId,
    DeliveryState, DetectTarget, DeviceMetric, ExpectedValue, GroupMembership, GroupName, IndicatorId, IndicatorMatch,
    KomainuMetric, Metric, MetricName, MetricToRetain, MetricValue, Notification, NotificationKind,
    NotificationSignature, Policy, PolicyAttachment, PolicyName, PolicyTarget, PolicyVersion, PolicyVersionId,
    ProfileName, Protocol, Record, Region, Remote, ReporterName, ResourceTags, Role, SampleDigest, Scope, SecretKey,
    SecurityProfile, SightingWay, Statistic, Subscription, SubscriptionId, SubscriptionState, SubscriptionToken, Thing,
    ThingGroup, ThingName, ThingPrincipal, ThingPrincipalType, ThingType, ThingTypeName, Timestamp, Topic, TopicName,
    VerificationState, ViolationEvent, ViolationEventType, ViolationId,
};

/// Free text of the worst sort that is still text.
const AWKWARD: &str = "O'Brien \"quoted\" \\ %_* \u{0}\t\n\r\u{7f} 守り狛犬 🐕 \u{202e}txt' OR 1=1; --";

/// One change of every kind, every record kind and every variant of the values in them.
pub fn sample_batch() -> Batch {
    let mut batch = Batch::new();
    batch.extend(records().into_iter().map(|record| Change::Put(scope(), record)));
    batch.extend(records().into_iter().take(3).map(|record| Change::Put(other_scope(), record)));
    batch.extend(events().into_iter().map(|event| Change::AppendViolationEvent(scope(), event)));
    batch.extend(datapoints().into_iter().map(|datapoint| Change::AppendDatapoint(scope(), datapoint)));
    batch.extend(deliveries().into_iter().map(Change::PutDelivery));
    batch
}

pub(super) fn scope() -> Scope {
    scope_named("123456789012", "us-east-1")
}

/// Differs from [`scope`] in the region alone.
pub(super) fn other_scope() -> Scope {
    scope_named("123456789012", "kyoto-1")
}

fn scope_named(account: &str, region: &str) -> Scope {
    Scope {
        account: AccountId::parse(account).expect("twelve digits"),
        region: Region::parse(region).expect("lower-case letters"),
    }
}

pub(super) fn at(millis: i64) -> Timestamp {
    Timestamp::from_unix_millis(millis)
}

/// The `number`th identifier: `000000nn-0000-4000-8000-000000000000`.
pub(super) fn uuid(number: u32) -> String {
    format!("{number:08x}-0000-4000-8000-000000000000")
}

pub(super) fn violation_id(number: u32) -> ViolationId {
    ViolationId::parse(&uuid(number)).expect("a UUID")
}

pub(super) fn reporter(name: &str) -> ReporterName {
    ReporterName::parse(name).expect("a name in a test")
}

pub(super) fn profile_name(name: &str) -> ProfileName {
    ProfileName::parse(name).expect("a name in a test")
}

/// A static behavior of a device metric.
pub(super) fn behavior(name: &str) -> Behavior {
    let metric = Metric::Device(DeviceMetric::AllBytesOut);
    behavior_of(name, metric, ExpectedValue::Count(Comparison::LessThan, 10_000))
}

pub(super) fn behavior_of(name: &str, metric: Metric, expected: ExpectedValue) -> Behavior {
    Behavior {
        name: BehaviorName::parse(name).expect("a name in a test"),
        metric,
        criteria: Some(Criteria { expected, duration_s: Some(300), datapoints_to_alarm: 1, datapoints_to_clear: 10 }),
        suppress_alerts: false,
        export_metric: false,
    }
}

pub(super) fn active_violation(number: u32, started_at: Timestamp) -> ActiveViolation {
    ActiveViolation {
        id: violation_id(number),
        reporter: reporter("MyDevice"),
        profile: profile_name("CheckRogueDevices"),
        behavior: behavior("bytesOut"),
        last_value: Some(MetricValue::Count(10_001)),
        confidence: None,
        verification: VerificationState::Unknown,
        verification_description: None,
        last_at: started_at,
        started_at,
    }
}

pub(super) fn violation_event(number: u32, kind: ViolationEventType, at: Timestamp) -> ViolationEvent {
    ViolationEvent {
        violation: violation_id(number),
        reporter: reporter("MyDevice"),
        profile: profile_name("CheckRogueDevices"),
        behavior: behavior("bytesOut"),
        value: Some(MetricValue::Count(10_001)),
        confidence: None,
        kind,
        verification: VerificationState::Unknown,
        verification_description: None,
        at,
    }
}

pub(super) fn datapoint(device: &str, metric: Metric, value: MetricValue, at: Timestamp) -> Datapoint {
    Datapoint { reporter: reporter(device), metric, value, at }
}

pub(super) fn delivery(number: u32, state: DeliveryState) -> Delivery {
    Delivery {
        id: DeliveryId::parse(&uuid(number)).expect("a UUID"),
        scope: scope(),
        subscription: SubscriptionId::parse(&uuid(900)).expect("a UUID"),
        subscription_token: token('a'),
        protocol: Protocol::Email,
        endpoint: "operator@example.com".to_owned(),
        raw: false,
        notification: Notification {
            message_id: uuid(901).into(),
            topic: scope().arn("sns", "MisbehavingDevices"),
            kind: NotificationKind::Message {
                subject: None,
                message: "a message".to_owned(),
                attributes: BTreeMap::new(),
                alert: None,
            },
            at: at(0),
            signature: NotificationSignature::V1,
            sender_name: None,
        },
        attempts: 0,
        state,
        last_error: None,
        created_at: at(0),
    }
}

/// Records of every kind, in every variant.
pub(super) fn records() -> Vec<Record> {
    let mut records = fleet_records();
    records.extend(policy_records());
    records.push(Record::SecurityProfile(security_profile()));
    records.push(Record::SecurityProfile(empty_security_profile()));
    records.extend(notification_records());
    for (number, value) in metric_values().into_iter().enumerate() {
        let number = 100 + number as u32;
        records.push(Record::ActiveViolation(ActiveViolation {
            last_value: Some(value),
            confidence: Some(ConfidenceLevel::Medium),
            reporter: reporter("Gerät №1 'o\"' %_"),
            ..active_violation(number, at(1_700_000_000_000 + i64::from(number)))
        }));
    }
    for (number, verification) in verification_states().into_iter().enumerate() {
        records.push(Record::ActiveViolation(ActiveViolation {
            verification,
            verification_description: Some("naïve \"check\"\nsecond line".to_owned()),
            last_value: None,
            ..active_violation(200 + number as u32, at(-1))
        }));
    }
    records.extend([AccessKeyStatus::Active, AccessKeyStatus::Revoked].into_iter().map(|status| {
        Record::AccessKey(AccessKey {
            id: AccessKeyId::parse(&format!("AKIA{:?}KEY00000000", status)).expect("word characters"),
            secret: SecretKey::parse("wJalr/XUtnFEMI+\"'\\~!=").expect("printable characters"),
            role: Role::Admin,
            note: AccessKeyNote::default(),
            status,
            created_at: at(i64::MAX),
        })
    }));
    records
}

fn fleet_records() -> Vec<Record> {
    let mut records = vec![
        Record::Thing(Thing {
            name: thing_name("MyDevice"),
            id: uuid(1).into(),
            type_name: Some(ThingTypeName::parse("sensor:v2").expect("a name")),
            attributes: awkward_map(),
            version: u64::MAX,
            created_at: at(1_700_000_000_123),
        }),
        Record::Thing(Thing {
            name: thing_name(&"x".repeat(128)),
            id: uuid(2).into(),
            type_name: None,
            attributes: BTreeMap::new(),
            version: 1,
            created_at: at(i64::MIN),
        }),
        Record::ThingType(ThingType {
            name: ThingTypeName::parse("sensor:v2").expect("a name"),
            id: uuid(3).into(),
            description: Some(AWKWARD.to_owned()),
            searchable_attributes: vec!["b".to_owned(), "a".to_owned(), "b".to_owned()],
            created_at: at(0),
            deprecated_at: Some(at(1)),
        }),
        Record::ThingGroup(ThingGroup {
            name: group_name("allMyDevices"),
            id: uuid(4).into(),
            parent: Some(group_name("root_-:")),
            description: Some(String::new()),
            attributes: awkward_map(),
            version: 7,
            created_at: at(0),
        }),
        Record::ThingGroup(ThingGroup {
            name: group_name("root_-:"),
            id: uuid(5).into(),
            parent: None,
            description: None,
            attributes: BTreeMap::new(),
            version: 1,
            created_at: at(0),
        }),
        // Two memberships that run together the same way when nothing stands between their parts.
        Record::GroupMembership(GroupMembership { group: group_name("a"), thing: thing_name("b:c") }),
        Record::GroupMembership(GroupMembership { group: group_name("a:b"), thing: thing_name("c") }),
        Record::ResourceTags(ResourceTags { resource: scope().arn("iot", "thing/MyDevice"), tags: awkward_map() }),
        Record::ResourceTags(ResourceTags {
            resource: Arn::parse("arn:aws:iot:::Gerät/'%").expect("an ARN"),
            tags: BTreeMap::new(),
        }),
    ];
    let statuses = [
        CertificateStatus::Active,
        CertificateStatus::Inactive,
        CertificateStatus::Revoked,
        CertificateStatus::PendingActivation,
    ];
    for (number, status) in statuses.into_iter().enumerate() {
        let number = number as u8;
        let id = CertificateId::from_sha256([number.wrapping_sub(1); 32]);
        let (mode, kind) = match number % 2 {
            0 => (CertificateMode::Default, ThingPrincipalType::ExclusiveThing),
            _ => (CertificateMode::SniOnly, ThingPrincipalType::NonExclusiveThing),
        };
        records.push(Record::Certificate(Certificate {
            id,
            pem: "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n".into(),
            status,
            mode,
            not_before: at(-2_208_988_800_000),
            not_after: at(253_402_300_799_000),
            created_at: at(1),
            modified_at: at(2),
            version: 3,
        }));
        records.push(Record::ThingPrincipal(ThingPrincipal { thing: thing_name("MyDevice"), certificate: id, kind }));
    }
    records
}

fn policy_records() -> Vec<Record> {
    let name = PolicyName::parse("Allow_+=,.@-").expect("a name");
    let version = |id, document: &str| PolicyVersion {
        id: PolicyVersionId(id),
        document: document.into(),
        created_at: at(i64::from(id)),
    };
    vec![
        Record::Policy(Policy {
            name: name.clone(),
            versions: vec![version(2, "{ \"Statement\" :\n[] }"), version(u32::MAX, AWKWARD)],
            default_version: PolicyVersionId(2),
            next_version: PolicyVersionId(u32::MAX),
            created_at: at(0),
            modified_at: at(1),
            generation: 12,
        }),
        Record::PolicyAttachment(PolicyAttachment {
            policy: name.clone(),
            target: PolicyTarget::Certificate(CertificateId::from_sha256([0xab; 32])),
        }),
        Record::PolicyAttachment(PolicyAttachment {
            policy: name,
            // A group whose name could be taken for a certificate.
            target: PolicyTarget::Group(group_name(&"ab".repeat(32))),
        }),
    ]
}

fn security_profile() -> SecurityProfile {
    let custom = || Metric::Custom(MetricName::parse("battery:level_-").expect("a name"));
    let mut behaviors: Vec<Behavior> = expected_values()
        .into_iter()
        .enumerate()
        .map(|(number, expected)| behavior_of(&format!("expects-{number}"), custom(), expected))
        .collect();
    for metric in metrics() {
        let name = format!("judges-{}", metric.as_str().replace(':', "_"));
        behaviors.push(Behavior { criteria: None, suppress_alerts: true, export_metric: true, ..behavior(&name) });
        behaviors.push(behavior_of(&format!("{name}-2"), metric, ExpectedValue::Count(Comparison::GreaterThan, 0)));
    }
    let retained = metrics().into_iter().enumerate();
    SecurityProfile {
        name: profile_name("CheckRogueDevices"),
        description: Some(AWKWARD.to_owned()),
        behaviors,
        alert_targets: vec![AlertTarget {
            kind: AlertTargetKind::Sns,
            target: scope().arn("sns", "MisbehavingDevices"),
            role: Arn::parse("arn:aws:iam::123456789012:role/alert").expect("an ARN"),
        }],
        metrics_to_retain: retained.map(|(number, metric)| MetricToRetain { metric, export: number == 0 }).collect(),
        metrics_export: Some((AWKWARD.to_owned(), Arn::parse("arn:aws:iam::1:role/x").expect("an ARN"))),
        targets: BTreeSet::from([
            DetectTarget::AllThings,
            DetectTarget::RegisteredThings,
            DetectTarget::UnregisteredThings,
            DetectTarget::Group(group_name("allMyDevices")),
        ]),
        version: 9,
        created_at: at(1),
        modified_at: at(2),
    }
}

fn empty_security_profile() -> SecurityProfile {
    SecurityProfile {
        name: profile_name("empty"),
        description: None,
        behaviors: Vec::new(),
        alert_targets: Vec::new(),
        metrics_to_retain: Vec::new(),
        metrics_export: None,
        targets: BTreeSet::new(),
        version: 1,
        created_at: at(0),
        modified_at: at(0),
    }
}

fn notification_records() -> Vec<Record> {
    let subscription = |number: u32, protocol, state| {
        Record::Subscription(Subscription {
            id: SubscriptionId::parse(&uuid(number)).expect("a UUID"),
            topic: topic_name(),
            protocol,
            endpoint: AWKWARD.to_owned(),
            state,
            attributes: awkward_map(),
            token: token('0'),
            created_at: at(4),
        })
    };
    let confirmed = |authenticate_on_unsubscribe| SubscriptionState::Confirmed { authenticate_on_unsubscribe };
    vec![
        Record::Topic(Topic { name: topic_name(), attributes: awkward_map(), created_at: at(3) }),
        subscription(10, Protocol::Email, SubscriptionState::Pending { expires_at: at(5) }),
        subscription(11, Protocol::EmailJson, confirmed(true)),
        subscription(12, Protocol::Http, confirmed(false)),
        subscription(13, Protocol::Https, confirmed(false)),
    ]
}

fn events() -> Vec<ViolationEvent> {
    let mut events = Vec::new();
    let kinds = [ViolationEventType::InAlarm, ViolationEventType::AlarmCleared, ViolationEventType::AlarmInvalidated];
    for (number, kind) in kinds.into_iter().enumerate() {
        events.push(violation_event(1, kind, at(1_700_000_000_000 + number as i64)));
    }
    for (number, value) in metric_values().into_iter().enumerate() {
        events.push(ViolationEvent {
            value: Some(value),
            confidence: Some(ConfidenceLevel::Low),
            ..violation_event(10 + number as u32, ViolationEventType::InAlarm, at(1_700_000_001_000))
        });
    }
    for (number, verification) in verification_states().into_iter().enumerate() {
        events.push(ViolationEvent {
            value: None,
            confidence: Some(ConfidenceLevel::High),
            verification,
            verification_description: Some(String::new()),
            ..violation_event(100 + number as u32, ViolationEventType::InAlarm, at(1_700_000_002_000))
        });
    }
    events
}

fn datapoints() -> Vec<Datapoint> {
    let values = metric_values().into_iter().enumerate();
    let mut datapoints: Vec<Datapoint> = values
        .map(|(number, value)| {
            let metric = Metric::Custom(MetricName::parse("any").expect("a name"));
            datapoint("Gerät №1 'o\"' %_", metric, value, at(1_700_000_000_000 + number as i64))
        })
        .collect();
    for metric in metrics() {
        datapoints.push(datapoint("MyDevice", metric, MetricValue::Count(1), at(1_700_000_000_000)));
    }
    datapoints
}

fn deliveries() -> Vec<Delivery> {
    let notification = |kind| Notification {
        message_id: uuid(50).into(),
        topic: scope().arn("sns", "MisbehavingDevices"),
        kind,
        at: at(6),
        signature: NotificationSignature::V2,
        sender_name: Some(AWKWARD.to_owned()),
    };
    let alert = AlertContext {
        event: violation_event(1, ViolationEventType::InAlarm, at(1_700_000_000_000)),
        started_at: at(1_700_000_000_000),
        groups: vec!["allMyDevices".to_owned(), AWKWARD.to_owned()],
        indicators: Vec::new(),
    };
    let kinds = [
        NotificationKind::SubscriptionConfirmation { token: token('b'), expires_at: at(7) },
        NotificationKind::UnsubscribeConfirmation { token: token('c'), expires_at: at(8) },
        NotificationKind::Message {
            subject: Some(AWKWARD.to_owned()),
            message: AWKWARD.to_owned(),
            attributes: BTreeMap::from([("k".to_owned(), ("String".to_owned(), AWKWARD.to_owned()))]),
            alert: Some(Box::new(alert)),
        },
        NotificationKind::Message { subject: None, message: String::new(), attributes: BTreeMap::new(), alert: None },
    ];
    let protocols = [Protocol::Email, Protocol::EmailJson, Protocol::Http, Protocol::Https];
    let mut deliveries: Vec<Delivery> = kinds
        .into_iter()
        .zip(protocols)
        .enumerate()
        .map(|(number, (kind, protocol))| Delivery {
            protocol,
            notification: notification(kind),
            raw: number == 1,
            attempts: u32::MAX,
            last_error: Some(AWKWARD.to_owned()),
            endpoint: AWKWARD.to_owned(),
            created_at: at(7),
            ..delivery(60 + number as u32, DeliveryState::Due(at(1_000 + number as i64)))
        })
        .collect();
    deliveries.push(delivery(70, DeliveryState::Dead(at(2_000))));
    deliveries
}

/// Every variant of a metric's value.
fn metric_values() -> Vec<MetricValue> {
    let address = |text: &str| text.parse().expect("an address");
    vec![
        MetricValue::Count(0),
        MetricValue::Count(255),
        MetricValue::Count(256),
        MetricValue::Count(i64::MAX as u64 + 1),
        MetricValue::Count(u64::MAX),
        MetricValue::Addresses(vec![]),
        MetricValue::Addresses(vec![address("192.0.2.1"), address("2001:db8::1"), address("::ffff:192.0.2.1")]),
        MetricValue::Ports(vec![]),
        MetricValue::Ports(vec![65535, 0, 443, 443]),
        MetricValue::Number(0.1 + 0.2),
        MetricValue::Number(-0.0),
        MetricValue::Number(f64::MIN_POSITIVE / 2.0),
        MetricValue::Number(f64::MAX),
        MetricValue::Number(f64::INFINITY),
        MetricValue::Number(f64::NEG_INFINITY),
        MetricValue::Numbers(vec![]),
        MetricValue::Numbers(vec![2.5, -1e300, 5e-324]),
        MetricValue::Strings(vec![]),
        MetricValue::Strings(vec![String::new(), AWKWARD.to_owned()]),
        MetricValue::Matches(vec![]),
        MetricValue::Matches(vec![IndicatorMatch {
            indicator: IndicatorId::from_bytes([7; 16]),
            remote: Remote::parse("[2001:db8::1]:23").expect("an address"),
            way: SightingWay::LookingBack,
            seen_at: at(-1),
            sample: Some(SampleDigest::from_sha256([0xab; 32])),
        }]),
    ]
}

/// Every variant of what a value is compared with.
fn expected_values() -> Vec<ExpectedValue> {
    let network = |text: &str| text.parse().expect("a network");
    let mut expected = vec![
        ExpectedValue::Count(Comparison::LessThanEquals, u64::MAX),
        ExpectedValue::Number(Comparison::GreaterThanEquals, -0.1),
        ExpectedValue::Number(Comparison::LessThan, f64::NEG_INFINITY),
        ExpectedValue::Numbers { within: true, set: vec![1.0, 0.3] },
        ExpectedValue::Numbers { within: false, set: vec![] },
        ExpectedValue::Strings { within: true, set: vec![AWKWARD.to_owned()] },
        ExpectedValue::Strings { within: false, set: vec![] },
        ExpectedValue::Cidrs { within: true, set: vec![network("10.0.0.0/8"), network("2001:db8::/32")] },
        ExpectedValue::Cidrs { within: false, set: vec![network("0.0.0.0/0"), network("192.0.2.7/24")] },
        ExpectedValue::Ports { within: true, set: vec![0, 65535] },
        ExpectedValue::Ports { within: false, set: vec![] },
    ];
    let statistics = [
        Statistic::Average,
        Statistic::P0,
        Statistic::P0_1,
        Statistic::P0_01,
        Statistic::P1,
        Statistic::P10,
        Statistic::P50,
        Statistic::P90,
        Statistic::P99,
        Statistic::P99_9,
        Statistic::P99_99,
        Statistic::P100,
    ];
    expected.extend(statistics.map(|statistic| ExpectedValue::Statistical(Comparison::GreaterThan, statistic)));
    let levels = [ConfidenceLevel::Low, ConfidenceLevel::Medium, ConfidenceLevel::High];
    expected.extend(levels.map(ExpectedValue::Learned));
    expected
}

fn metrics() -> Vec<Metric> {
    let custom = Metric::Custom(MetricName::parse("battery:level_-").expect("a name"));
    let device = DeviceMetric::ALL.map(Metric::Device);
    let others = CloudMetric::ALL.map(Metric::Cloud).into_iter().chain(KomainuMetric::ALL.map(Metric::Komainu));
    device.into_iter().chain(others).chain([custom]).collect()
}

fn verification_states() -> [VerificationState; 4] {
    [
        VerificationState::Unknown,
        VerificationState::TruePositive,
        VerificationState::BenignPositive,
        VerificationState::FalsePositive,
    ]
}

fn awkward_map() -> BTreeMap<String, String> {
    BTreeMap::from([
        (String::new(), String::new()),
        ("a".to_owned(), AWKWARD.to_owned()),
        (AWKWARD.to_owned(), "a".to_owned()),
    ])
}

fn thing_name(name: &str) -> ThingName {
    ThingName::parse(name).expect("a name in a test")
}

fn group_name(name: &str) -> GroupName {
    GroupName::parse(name).expect("a name in a test")
}

fn topic_name() -> TopicName {
    TopicName::parse("MisbehavingDevices").expect("a name")
}

fn token(digit: char) -> SubscriptionToken {
    SubscriptionToken::parse(&digit.to_string().repeat(64)).expect("hexadecimal digits")
}
