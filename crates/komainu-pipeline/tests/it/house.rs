//! A pipeline with everything around it.

use std::collections::{BTreeSet, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use komainu_intel::IndicatorPolicy;
use komainu_model::{
    AccountId, AlertContext, AlertTarget, AlertTargetKind, Arn, Behavior, BehaviorName, CertificateId, Change,
    ClientId, Comparison, Criteria, Delivery, DeliveryId, DeliveryState, DisconnectReason, ExpectedValue, GroupName,
    Metric, Notification, NotificationKind, NotificationSignature, ProfileName, Protocol, Region, ReporterName, Scope,
    SecurityProfile, SubscriptionId, SubscriptionToken, Timestamp,
};
use komainu_pipeline::{Indicators, Pipeline, PipelineConfig, PipelinePorts};
use komainu_ports::{
    ActiveViolationQuery, AlertRouter, BoxFuture, Broker, BrokerError, ByteStream, Clock, Courier, DeliveryOutcome,
    DeviceProfiles, Directory, MemoryLake, MemoryStore, MeterReading, OutboundMessage, Page, PeerInfo, Presence,
    Principal, ReportEncoding, ReportMessage, ReportSink, ReportSinkError, Store, ViolationEventQuery,
    WebSocketIdentity,
};
use tokio::sync::Notify;
use tokio::time::Instant;

/// A window's beginning.
pub(crate) const START_S: i64 = 1_700_000_100;

pub(crate) fn scope() -> Scope {
    Scope { account: AccountId::parse("123456789012").unwrap(), region: Region::parse("us-east-1").unwrap() }
}

/// `NAME METRIC LIMIT WINDOW_S`: less than the limit is normal.
pub(crate) fn behavior(text: &str) -> Behavior {
    let words: Vec<&str> = text.split(' ').collect();
    Behavior {
        name: BehaviorName::parse(words[0]).unwrap(),
        metric: Metric::parse(words[1]).unwrap(),
        criteria: Some(Criteria {
            expected: ExpectedValue::Count(Comparison::LessThan, words[2].parse().unwrap()),
            duration_s: words.get(3).map(|word| word.parse().unwrap()),
            datapoints_to_alarm: 1,
            datapoints_to_clear: 1,
        }),
        suppress_alerts: false,
        export_metric: false,
    }
}

pub(crate) struct House {
    pub(crate) ports: PipelinePorts,
    pub(crate) store: Arc<MemoryStore>,
    pub(crate) broker: Arc<FakeBroker>,
    pub(crate) courier: Arc<FakeCourier>,
    pub(crate) pipeline: Arc<Pipeline>,
}

impl House {
    pub(crate) async fn new(behaviors: &[&str]) -> Self {
        Self::with(behaviors.iter().map(|text| behavior(text)).collect()).await
    }

    pub(crate) async fn with(behaviors: Vec<Behavior>) -> Self {
        let arn = scope().arn("sns", "MisbehavingDevices");
        let profile = SecurityProfile {
            name: ProfileName::parse("CheckRogueDevices").unwrap(),
            description: None,
            behaviors,
            alert_targets: vec![AlertTarget { kind: AlertTargetKind::Sns, target: arn.clone(), role: arn }],
            metrics_to_retain: Vec::new(),
            metrics_export: None,
            targets: [].into(),
            version: 1,
            created_at: Timestamp::default(),
            modified_at: Timestamp::default(),
        };
        let store = Arc::new(MemoryStore::new());
        let broker = Arc::new(FakeBroker::default());
        let courier = Arc::new(FakeCourier::default());
        let clock: Arc<dyn Clock> = Arc::new(TokioClock { since: Instant::now(), ahead: Duration::ZERO });
        let mut policy = IndicatorPolicy::default();
        policy.documentation_allowed = true;
        let indicators =
            Indicators::open(policy, store.clone(), store.clone(), Default::default(), clock.clone()).unwrap();
        let ports = PipelinePorts {
            store: store.clone(),
            directory: Arc::new(FakeDirectory(Arc::new(profile))),
            broker: broker.clone(),
            router: Arc::new(FakeRouter::default()),
            courier: courier.clone(),
            clock,
            indicators,
            lake_feed: store.clone(),
            lake: Arc::new(MemoryLake::default()),
            observers: Vec::new(),
            outbox: Arc::new(Notify::new()),
        };
        let pipeline = Pipeline::start(PipelineConfig::default(), ports.clone()).await.unwrap();
        Self { ports, store, broker, courier, pipeline }
    }

    /// The server is killed, or stopped, and starts again on the same store.
    pub(crate) async fn restart(&mut self) {
        self.pipeline = Pipeline::start(PipelineConfig::default(), self.ports.clone()).await.unwrap();
    }

    /// The server starts again so many seconds after the beginning of the test.
    pub(crate) async fn restart_after(&mut self, seconds: u64) {
        self.ports.clock = Arc::new(TokioClock { since: Instant::now(), ahead: Duration::from_secs(seconds) });
        self.restart().await;
    }

    pub(crate) async fn send(
        &self,
        thing: &str,
        encoding: ReportEncoding,
        payload: &[u8],
    ) -> Result<(), ReportSinkError> {
        let received_at = self.ports.clock.now();
        let payload = payload.to_vec().into();
        self.pipeline
            .submit(ReportMessage { scope: scope(), thing: thing.into(), encoding, payload, received_at })
            .await
    }

    pub(crate) async fn bytes_out(&self, report_id: u64, bytes_out: u64) -> Result<(), ReportSinkError> {
        let report = format!(
            r#"{{"header":{{"report_id":{report_id},"version":"1.0"}},"metrics":{{"network_stats":{{"bytes_out":{bytes_out}}}}}}}"#
        );
        self.send("MyDevice", ReportEncoding::Json, report.as_bytes()).await
    }

    /// Every event in the history, oldest first: `KIND BEHAVIOR SECONDS_SINCE_START VERIFICATION`.
    pub(crate) fn events(&self) -> Vec<String> {
        let query = ViolationEventQuery {
            from: Timestamp::from_unix_millis(i64::MIN),
            to: Timestamp::from_unix_millis(i64::MAX),
            reporter: None,
            profile: None,
            criteria: None,
            include_suppressed: true,
            verification: None,
        };
        let page = self.store.violation_events(&scope(), &query, &Page { after: None, limit: 100 }).unwrap();
        let show = |event: &komainu_model::ViolationEvent| {
            let at_s = event.at.unix_seconds_fractional() - START_S as f64;
            format!("{:?} {} {at_s:.1} {:?}", event.kind, event.behavior.name, event.verification)
        };
        page.items.iter().rev().map(show).collect()
    }

    pub(crate) fn active(&self) -> Vec<komainu_model::ActiveViolation> {
        let query = ActiveViolationQuery { include_suppressed: true, ..ActiveViolationQuery::default() };
        self.store.active_violations(&scope(), &query, &Page { after: None, limit: 100 }).unwrap().items
    }
}

pub(crate) async fn pass(seconds: f64) {
    tokio::time::sleep(Duration::from_secs_f64(seconds)).await;
}

/// The time of the test's runtime, and more.
struct TokioClock {
    since: Instant,
    ahead: Duration,
}

impl Clock for TokioClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_unix_seconds(START_S).plus(self.since.elapsed() + self.ahead)
    }
}

/// All devices are under one profile.
struct FakeDirectory(Arc<SecurityProfile>);

impl Directory for FakeDirectory {
    fn generation(&self) -> u64 {
        1
    }

    fn principal(&self, _: &CertificateId) -> Option<Arc<Principal>> {
        None
    }

    fn device(&self, _: &Scope, _: &ReporterName) -> DeviceProfiles {
        let groups = vec![GroupName::parse("allMyDevices").unwrap()];
        DeviceProfiles { registered: true, groups, profiles: vec![self.0.clone()] }
    }

    fn profiles(&self) -> Vec<(Scope, Arc<SecurityProfile>)> {
        vec![(scope(), self.0.clone())]
    }
}

/// Writes down what is published; gives out readings that a test put in.
#[derive(Default)]
pub(crate) struct FakeBroker {
    published: Mutex<Vec<OutboundMessage>>,
    pub(crate) readings: Mutex<Vec<MeterReading>>,
}

impl FakeBroker {
    pub(crate) fn published(&self) -> Vec<OutboundMessage> {
        std::mem::take(&mut self.published.lock().unwrap())
    }

    /// `TOPIC PAYLOAD` of each message.
    pub(crate) fn published_texts(&self) -> Vec<String> {
        let text = |message: OutboundMessage| {
            let payload = String::from_utf8(message.payload.to_vec()).unwrap();
            format!("{} {payload}", message.topic)
        };
        self.published().into_iter().map(text).collect()
    }
}

impl Presence for FakeBroker {
    fn is_connected(&self, _: &Scope, _: &ReporterName) -> bool {
        false
    }
}

impl Broker for FakeBroker {
    fn publish(&self, _: Scope, message: OutboundMessage) -> BoxFuture<'_, Result<(), BrokerError>> {
        self.published.lock().unwrap().push(message);
        Box::pin(async { Ok(()) })
    }

    fn publish_as(&self, _: CertificateId, _: PeerInfo, _: OutboundMessage) -> BoxFuture<'_, Result<(), BrokerError>> {
        unreachable!("the pipeline speaks in the server's own name")
    }

    fn may_publish_as(&self, _: CertificateId, _: &PeerInfo, _: &str) -> Result<(), BrokerError> {
        unreachable!("the pipeline asks for no rights")
    }

    fn websocket(&self, _: Box<dyn ByteStream>, _: PeerInfo, _: WebSocketIdentity) -> BoxFuture<'static, ()> {
        unreachable!("the pipeline has no streams")
    }

    fn disconnect(&self, _: &Scope, _: &ClientId, _: DisconnectReason) -> bool {
        false
    }

    fn drain_meters(&self, readings: &mut Vec<MeterReading>) {
        readings.append(&mut self.readings.lock().unwrap());
    }
}

/// One subscriber hears of every alert.
#[derive(Default)]
struct FakeRouter(AtomicU64);

impl AlertRouter for FakeRouter {
    fn route(&self, _: &Scope, target: &Arn, alert: &AlertContext, now: Timestamp) -> Vec<Delivery> {
        assert_eq!(target.resource(), "MisbehavingDevices");
        let number = self.0.fetch_add(1, Ordering::SeqCst);
        let groups = alert.groups.join(",");
        let text = format!("{:?} {} {groups}", alert.event.kind, alert.event.behavior.name);
        vec![delivery(number, "ops@example.com", &text, now)]
    }
}

pub(crate) fn delivery(number: u64, endpoint: &str, text: &str, now: Timestamp) -> Delivery {
    let uuid = |kind: u64| format!("{number:08x}-0000-4000-8000-{kind:012x}");
    Delivery {
        id: DeliveryId::parse(&uuid(1)).unwrap(),
        scope: scope(),
        subscription: SubscriptionId::parse(&uuid(2)).unwrap(),
        subscription_token: SubscriptionToken::parse(&"a".repeat(64)).unwrap(),
        protocol: Protocol::Email,
        endpoint: endpoint.to_owned(),
        raw: false,
        notification: Notification {
            message_id: uuid(3).into(),
            topic: scope().arn("sns", "MisbehavingDevices"),
            kind: NotificationKind::Message {
                subject: None,
                message: text.to_owned(),
                attributes: Default::default(),
                alert: None,
            },
            at: now,
            signature: NotificationSignature::V1,
            sender_name: None,
        },
        attempts: 0,
        state: DeliveryState::Due(now),
        last_error: None,
        created_at: now,
    }
}

/// Carries messages as the test says; takes a second for each.
#[derive(Default)]
pub(crate) struct FakeCourier {
    /// What becomes of the next attempts; `Done` when it is empty.
    pub(crate) outcomes: Mutex<VecDeque<DeliveryOutcome>>,
    tried: Mutex<Vec<String>>,
    /// The ids of what was tried, by which a receiver sees that it got the same message twice.
    pub(crate) ids: Mutex<BTreeSet<DeliveryId>>,
}

impl FakeCourier {
    /// What was tried since this was last asked: `RECEIVER MESSAGE`.
    pub(crate) fn tried(&self) -> Vec<String> {
        std::mem::take(&mut self.tried.lock().unwrap())
    }

    pub(crate) fn will(&self, outcome: DeliveryOutcome, times: usize) {
        self.outcomes.lock().unwrap().extend(std::iter::repeat_n(outcome, times));
    }
}

impl Courier for FakeCourier {
    fn deliver<'a>(&'a self, delivery: &'a Delivery) -> BoxFuture<'a, DeliveryOutcome> {
        Box::pin(async move {
            let NotificationKind::Message { message, .. } = &delivery.notification.kind else { panic!("no message") };
            self.ids.lock().unwrap().insert(delivery.id.clone());
            self.tried.lock().unwrap().push(format!("{} {message}", delivery.endpoint));
            let outcome = self.outcomes.lock().unwrap().pop_front().unwrap_or(DeliveryOutcome::Done);
            tokio::time::sleep(Duration::from_secs(1)).await;
            outcome
        })
    }
}

/// Puts a message into the outbox as the control plane does.
pub(crate) fn put(house: &House, delivery: Delivery) {
    house.store.commit(&[Change::PutDelivery(delivery)]).unwrap();
    house.ports.outbox.notify_one();
}
