//! What holds whatever is decided: durable first, all or nothing, in order, and everybody hears of it.

use std::collections::BTreeMap;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use futures_util::FutureExt;
use komainu_model::{
    AccessKeyId, AccessKeyNote, AccessKeyStatus, AlertContext, Arn, Behavior, BehaviorName, CertificateId,
    CertificateMode, CertificateStatus, CloudMetric, GroupName, Metric, PolicyName, PolicyTarget, ProfileName,
    Protocol, Region, ReporterName, Role, SecretKey, Subscription, SubscriptionId, SubscriptionState,
    SubscriptionToken, ThingName, ThingPrincipalType, Topic, TopicName, VerificationState, ViolationEvent,
    ViolationEventType, ViolationId,
};
use komainu_ports::conformance_access_keys::check_access_keys;
use komainu_ports::{AccessKeyError, AccessKeys, AlertRouter, Directory, ManualClock, MemoryStore, SeededIds};
use komainu_registry::{CreateGroup, CreatePolicy, CreateThing, NewCertificate, RegistryError};
use komainu_respond::{PublishRequest, RespondError};

use super::*;

const ALLOW_ALL: &str = r#"{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"iot:*","Resource":"*"}}"#;

/// Errors of a test's decisions.
#[derive(Debug, thiserror::Error)]
enum Failed {
    #[error(transparent)]
    Registry(#[from] RegistryError),
    #[error(transparent)]
    Respond(#[from] RespondError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

struct World {
    store: Arc<MemoryStore>,
    control: Arc<ControlPlane>,
}

impl World {
    fn new() -> Self {
        Self::on(Arc::new(MemoryStore::new()))
    }

    fn on(store: Arc<MemoryStore>) -> Self {
        let rules = ControlRules {
            account: AccountId::parse("123456789012").unwrap(),
            behaviors: ValidationRules::default(),
            notifications: RespondRules::default(),
        };
        let clock = Arc::new(ManualClock::new(Timestamp::from_unix_seconds(1_000_000)));
        let control = ControlPlane::open(rules, store.clone(), clock, Arc::new(SeededIds::new(1))).unwrap();
        Self { store, control }
    }

    /// The same store, started again.
    fn restarted(&self) -> Self {
        Self::on(self.store.clone())
    }

    fn create_thing(&self, region: &str, name: &str) -> Result<(), Failed> {
        let wanted =
            CreateThing { name: ThingName::parse(name).unwrap(), type_name: None, attributes: BTreeMap::new() };
        self.control
            .decide(&scope(region), |view| Ok(view.registry.create_thing(&wanted, "id".into(), view.now)?))
            .map(|_: komainu_model::Thing| ())
    }

    fn has_thing(&self, region: &str, name: &str) -> bool {
        self.control.read(&scope(region), |view| view.registry.has_thing_named(name))
    }

    /// A certificate that speaks for the thing `lamp` in the group `lamps`, each with a policy.
    fn enrol(&self) -> CertificateId {
        let id = CertificateId::from_sha256([7; 32]);
        self.create_thing("us-east-1", "lamp").unwrap();
        let (lamp, lamps) = (ThingName::parse("lamp").unwrap(), GroupName::parse("lamps").unwrap());
        let decide = |what: &dyn Fn(&View<'_>) -> Result<Vec<Change>, RegistryError>| {
            self.control.decide::<(), Failed>(&scope("us-east-1"), |view| Ok(((), what(view)?))).unwrap();
        };
        decide(&|view| {
            let wanted = CreateGroup {
                name: lamps.clone(),
                parent: None,
                description: None,
                attributes: BTreeMap::new(),
                tags: BTreeMap::new(),
            };
            Ok(view.registry.create_group(&wanted, "id".into(), view.now)?.1)
        });
        decide(&|view| Ok(view.registry.add_thing_to_group(&lamp, &lamps)?.1));
        decide(&|view| {
            let new = NewCertificate {
                id,
                pem: "PEM".into(),
                status: CertificateStatus::Active,
                mode: CertificateMode::Default,
                not_before: view.now,
                not_after: view.now.plus(Duration::from_secs(60)),
            };
            Ok(view.registry.register_certificate(&new, view.now)?.1)
        });
        decide(&|view| Ok(view.registry.attach_thing_principal(&lamp, id, ThingPrincipalType::NonExclusiveThing)?.1));
        for (name, target) in [("own", PolicyTarget::Certificate(id)), ("groups", PolicyTarget::Group(lamps.clone()))] {
            let name = PolicyName::parse(name).unwrap();
            decide(&|view| {
                let wanted = CreatePolicy { name: name.clone(), document: ALLOW_ALL.into(), tags: BTreeMap::new() };
                Ok(view.registry.create_policy(&wanted, view.now)?.1)
            });
            decide(&|view| Ok(view.registry.attach_policy(&name, &target)?.1));
        }
        id
    }
}

fn scope(region: &str) -> Scope {
    Scope { account: AccountId::parse("123456789012").unwrap(), region: Region::parse(region).unwrap() }
}

#[test]
fn what_was_decided_is_there_after_a_restart() {
    let world = World::new();
    world.create_thing("us-east-1", "lamp").unwrap();
    assert!(world.has_thing("us-east-1", "lamp"));
    assert!(world.restarted().has_thing("us-east-1", "lamp"));
}

#[test]
fn regions_know_nothing_of_each_other() {
    let world = World::new();
    world.create_thing("us-east-1", "lamp").unwrap();
    assert!(!world.has_thing("eu-west-1", "lamp"));
}

#[test]
fn what_the_store_cannot_keep_has_not_happened() {
    let world = World::new();
    world.create_thing("us-east-1", "lamp").unwrap();
    let heard = Arc::new(Counter::default());
    world.control.observe(heard.clone());
    let generation = world.control.generation();
    world.store.break_medium();
    let failed = world.create_thing("us-east-1", "door");
    assert!(matches!(failed, Err(Failed::Store(StoreError::Unavailable { .. }))), "{failed:?}");
    assert!(!world.has_thing("us-east-1", "door"));
    assert_eq!(world.control.generation(), generation);
    assert_eq!(heard.batches(), 0);
    world.store.mend_medium();
    assert!(!world.restarted().has_thing("us-east-1", "door"));
    world.create_thing("us-east-1", "door").unwrap();
    assert!(world.has_thing("us-east-1", "door"));
}

#[test]
fn what_is_refused_changes_nothing() {
    let world = World::new();
    let generation = world.control.generation();
    let name = ThingName::parse("lamp").unwrap();
    let group = GroupName::parse("lamps").unwrap();
    let refused: Result<(), Failed> =
        world.control.decide(&scope("us-east-1"), |view| Ok(view.registry.add_thing_to_group(&name, &group)?));
    assert!(matches!(refused, Err(Failed::Registry(RegistryError::NotFound { .. }))));
    assert_eq!(world.control.generation(), generation);
}

/// Counts batches, and asks at each whether it is visible already.
#[derive(Default)]
struct Counter(AtomicUsize);

impl Counter {
    fn batches(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }
}

impl ChangeObserver for Counter {
    fn committed(&self, _: &[Change]) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

/// Creates one more thing whenever it hears of one, up to `door-3`, and remembers the order.
struct Chain {
    control: Arc<ControlPlane>,
    heard: Mutex<Vec<String>>,
}

impl ChangeObserver for Chain {
    fn committed(&self, batch: &[Change]) {
        let Some(Change::Put(scope, Record::Thing(thing))) = batch.first() else { return };
        assert!(self.control.read(scope, |view| view.registry.thing(&thing.name).is_ok()), "it is visible");
        let number = {
            let mut heard = self.heard.lock();
            heard.push(thing.name.to_string());
            heard.len()
        };
        if number <= 3 {
            let wanted = CreateThing {
                name: ThingName::parse(&format!("door-{number}")).unwrap(),
                type_name: None,
                attributes: BTreeMap::new(),
            };
            let created: Result<_, Failed> =
                self.control.decide(scope, |view| Ok(view.registry.create_thing(&wanted, "id".into(), view.now)?));
            created.unwrap();
        }
    }
}

#[test]
fn an_observer_hears_in_order_and_may_change_something_itself() {
    let world = World::new();
    let chain = Arc::new(Chain { control: world.control.clone(), heard: Mutex::default() });
    world.control.observe(chain.clone());
    world.create_thing("us-east-1", "lamp").unwrap();
    assert_eq!(*chain.heard.lock(), ["lamp", "door-1", "door-2", "door-3"]);
}

#[test]
fn deciders_take_turns() {
    let world = World::new();
    let counter = Arc::new(Counter::default());
    world.control.observe(counter.clone());
    std::thread::scope(|threads| {
        for thread in 0..4 {
            let world = &world;
            threads.spawn(move || {
                for number in 0..25 {
                    // Every name is wanted by two threads; the same thing twice is no error and no change.
                    world.create_thing("us-east-1", &format!("t{}-{number}", thread / 2)).unwrap();
                }
            });
        }
    });
    assert_eq!(counter.batches(), 50);
    assert_eq!(world.store.load().unwrap().len(), 50);
}

#[test]
fn a_principal_is_as_the_latest_change_left_it() {
    let world = World::new();
    let id = world.enrol();
    let principal = world.control.principal(&id).unwrap();
    assert_eq!(principal.scope, scope("us-east-1"));
    assert_eq!(principal.things.iter().map(|attached| attached.thing.name.as_str()).collect::<Vec<_>>(), ["lamp"]);
    assert_eq!(principal.policies.len(), 2);
    assert!(Arc::ptr_eq(&principal, &world.control.principal(&id).unwrap()), "nothing has changed");
    let generation = world.control.generation();
    let revoke = |view: &View<'_>| view.registry.update_certificate(&id, CertificateStatus::Revoked, view.now);
    world.control.decide::<(), Failed>(&scope("us-east-1"), |view| Ok(revoke(view)?)).unwrap();
    assert!(world.control.generation() > generation);
    let principal = world.control.principal(&id).unwrap();
    assert_eq!(principal.certificate.status, CertificateStatus::Revoked);
    assert!(world.control.principal(&CertificateId::from_sha256([8; 32])).is_none());
    let again = world.restarted().control.principal(&id).unwrap();
    assert_eq!((again.policies.len(), again.things.len()), (2, 1));
}

#[test]
fn a_device_is_judged_by_its_name() {
    let world = World::new();
    world.enrol();
    let device = |region: &str, name: &str| {
        let device = world.control.device(&scope(region), &ReporterName::parse(name).unwrap());
        let groups: Vec<_> = device.groups.iter().map(|group| group.as_str().to_owned()).collect();
        (device.registered, groups)
    };
    assert_eq!(device("us-east-1", "lamp"), (true, vec!["lamps".to_owned()]));
    assert_eq!(device("us-east-1", "no thing's name"), (false, vec![]));
    assert_eq!(device("eu-west-1", "lamp"), (false, vec![]));
}

#[test]
fn the_control_plane_keeps_access_keys() {
    check_access_keys(&*World::new().control);
}

#[test]
fn access_keys_are_made_listed_and_revoked() {
    let world = World::new();
    let note = |text: &str| AccessKeyNote::parse(text).unwrap();
    let made = world.control.create(Role::Viewer, note("Grafana")).unwrap();
    assert!(made.id.as_str().starts_with("AKIA") && made.id.as_str().len() == 20, "{}", made.id);
    assert_eq!(made.secret.expose().len(), 40);
    let id = AccessKeyId::parse("AKIAIOSFODNN7EXAMPLE").unwrap();
    let secret = SecretKey::parse("wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY").unwrap();
    world.control.create_as(id.clone(), secret.clone(), Role::Admin, note("")).unwrap();
    let again = world.control.create_as(id.clone(), secret, Role::Admin, note(""));
    assert!(matches!(again, Err(AccessKeyError::AlreadyExists { .. })));
    assert_eq!(world.control.list().len(), 2);
    world.control.revoke(&id).unwrap();
    world.control.revoke(&id).unwrap();
    let world = world.restarted();
    assert_eq!(world.control.access_key(&id).map(|key| key.status), Some(AccessKeyStatus::Revoked));
    assert_eq!(world.control.access_key(&made.id), Some(made));
    assert_eq!(world.control.list().iter().map(|key| key.used_at).collect::<Vec<_>>(), [None, None]);
    world.control.note_use_of_access_key(&id);
    assert_eq!(world.control.list().iter().filter(|key| key.used_at.is_some()).count(), 1);
    world.control.delete(&id).unwrap();
    assert_eq!((world.control.access_key(&id), world.restarted().control.list().len()), (None, 1));
    let unknown = AccessKeyId::parse("AKIAIOSFODNN7NOBODYS").unwrap();
    assert!(matches!(world.control.revoke(&unknown), Err(AccessKeyError::NotFound { .. })));
}

/// A world with a topic `alarms` and one confirmed subscription by mail.
fn world_with_topic() -> (World, Arn) {
    let store = Arc::new(MemoryStore::new());
    let (scope, topic) = (scope("us-east-1"), TopicName::parse("alarms").unwrap());
    let arn = scope.arn("sns", &topic);
    let created_at = Timestamp::from_unix_seconds(1);
    let subscription = Subscription {
        id: SubscriptionId::parse("0e3c1f2a-0000-4000-8000-000000000001").unwrap(),
        topic: topic.clone(),
        protocol: Protocol::Email,
        endpoint: "duty@example.com".to_owned(),
        state: SubscriptionState::Confirmed { authenticate_on_unsubscribe: false },
        attributes: BTreeMap::new(),
        token: SubscriptionToken::parse(&"a".repeat(64)).unwrap(),
        created_at,
    };
    let topic = Topic { name: topic, attributes: BTreeMap::new(), created_at };
    let records = [Record::Topic(topic), Record::Subscription(subscription)];
    store.commit(&records.map(|record| Change::Put(scope.clone(), record))).unwrap();
    (World::on(store), arn)
}

#[test]
fn an_alert_goes_to_the_subscribers_of_its_topic() {
    let (world, arn) = world_with_topic();
    let at = Timestamp::from_unix_seconds(2);
    let event = ViolationEvent {
        violation: ViolationId::parse("0e3c1f2a-0000-4000-8000-000000000002").unwrap(),
        reporter: ReporterName::parse("lamp").unwrap(),
        profile: ProfileName::parse("p").unwrap(),
        behavior: Behavior {
            name: BehaviorName::parse("b").unwrap(),
            metric: Metric::Cloud(CloudMetric::NumMessagesSent),
            criteria: None,
            suppress_alerts: false,
            export_metric: false,
        },
        value: None,
        confidence: None,
        kind: ViolationEventType::InAlarm,
        verification: VerificationState::Unknown,
        verification_description: None,
        at,
    };
    let alert = AlertContext { event, started_at: at, groups: Vec::new(), indicators: Vec::new() };
    let route = |target: &Arn| world.control.route(&scope("us-east-1"), target, &alert, at);
    let deliveries = route(&arn);
    let endpoints: Vec<_> = deliveries.iter().map(|delivery| delivery.endpoint.as_str()).collect();
    assert_eq!(endpoints, ["duty@example.com"]);
    assert_eq!(route(&scope("us-east-1").arn("sns", "nobody")), []);
    assert_eq!(world.control.route(&scope("eu-west-1"), &arn, &alert, at), []);
}

#[test]
fn the_outbox_is_told_of_messages_and_of_nothing_else() {
    let (world, arn) = world_with_topic();
    let outbox = world.control.outbox();
    let generation = world.control.generation();
    world.create_thing("us-east-1", "lamp").unwrap();
    assert!(outbox.notified().now_or_never().is_none());
    assert_eq!(world.control.generation(), generation + 1);
    let request = PublishRequest { message: "hello".to_owned(), ..PublishRequest::default() };
    let published: Result<(), Failed> = world.control.decide(&scope("us-east-1"), |view| {
        Ok(((), view.topics.publish(&arn, request, "0e3c1f2a-0000-4000-8000-000000000003".into(), view.now)?))
    });
    published.unwrap();
    assert!(outbox.notified().now_or_never().is_some());
    assert_eq!(world.control.generation(), generation + 1, "no device is judged differently");
}
