//! What people at the console do with profiles and topics, decided by the cores and kept.

use std::collections::{BTreeMap, BTreeSet};

use komainu_model::{
    AccountId, Arn, Behavior, BehaviorName, DeliveryState, DetectTarget, GroupName, Metric, ProfileName, Region, Scope,
    ThingName, Timestamp, TopicName,
};
use komainu_ports::{
    DeliveryContent, Directory, ManualClock, MemoryStore, Page, ProfileDesk, ProfileDeskError, ProfileDraft, SeededIds,
    TopicDesk, TopicDeskError,
};
use komainu_registry::{CreateGroup, CreateThing, RegistryError};
use komainu_respond::RespondRules;

use super::*;

fn scope() -> Scope {
    Scope { account: AccountId::parse("123456789012").unwrap(), region: Region::parse("us-east-1").unwrap() }
}

/// Things `camera-1`, `camera-2`, `printer`; the cameras are in the group `cameras`, which is in `eyes`.
fn control(store: &Arc<MemoryStore>) -> Arc<ControlPlane> {
    let rules = ControlRules {
        account: scope().account,
        behaviors: ValidationRules::default(),
        notifications: RespondRules::default(),
    };
    let clock = Arc::new(ManualClock::new(Timestamp::from_unix_seconds(1_000_000)));
    let control = ControlPlane::open(rules, store.clone(), clock, Arc::new(SeededIds::new(1))).unwrap();
    let decide = |what: &dyn Fn(&View<'_>) -> Result<Vec<Change>, RegistryError>| {
        control.decide(&scope(), |view| Ok::<_, ProfileDeskError>(((), what(view).unwrap()))).unwrap();
    };
    for name in ["camera-1", "camera-2", "printer"] {
        let wanted =
            CreateThing { name: ThingName::parse(name).unwrap(), type_name: None, attributes: BTreeMap::new() };
        decide(&|view| Ok(view.registry.create_thing(&wanted, name.into(), view.now)?.1));
    }
    for (name, parent) in [("eyes", None), ("cameras", Some("eyes"))] {
        let wanted = CreateGroup {
            name: GroupName::parse(name).unwrap(),
            parent: parent.map(|parent| GroupName::parse(parent).unwrap()),
            description: None,
            attributes: BTreeMap::new(),
            tags: BTreeMap::new(),
        };
        decide(&|view| Ok(view.registry.create_group(&wanted, name.into(), view.now)?.1));
    }
    for name in ["camera-1", "camera-2"] {
        let (thing, group) = (ThingName::parse(name).unwrap(), GroupName::parse("cameras").unwrap());
        decide(&|view| Ok(view.registry.add_thing_to_group(&thing, &group)?.1));
    }
    control
}

fn group(name: &str) -> DetectTarget {
    DetectTarget::Group(GroupName::parse(name).unwrap())
}

fn draft(targets: &[DetectTarget]) -> ProfileDraft {
    ProfileDraft {
        name: ProfileName::parse("p").unwrap(),
        description: String::new(),
        behaviors: vec![Behavior {
            name: BehaviorName::parse("b").unwrap(),
            metric: Metric::parse("m").unwrap(),
            criteria: None,
            suppress_alerts: false,
            export_metric: false,
        }],
        alert_topic: Some(scope().arn("sns", "alarms")),
        metrics_to_retain: [Metric::parse("other").unwrap()].into(),
        targets: targets.iter().cloned().collect(),
    }
}

#[test]
fn a_profile_comes_with_its_targets_and_keeps_what_a_draft_does_not_have() {
    let store = Arc::new(MemoryStore::new());
    let control = control(&store);
    let name = ProfileName::parse("p").unwrap();
    let missing = control.create_profile(&scope(), &draft(&[group("ears")]));
    assert!(matches!(missing, Err(ProfileDeskError::Invalid(_))), "{missing:?}");
    assert!(control.profile(&scope(), &name).is_none(), "half of it was made");
    control.create_profile(&scope(), &draft(&[group("eyes")])).unwrap();
    let again = control.create_profile(&scope(), &draft(&[group("eyes")]));
    assert!(matches!(again, Err(ProfileDeskError::Exists)), "{again:?}");
    let profile = control.profile(&scope(), &name).unwrap();
    assert_eq!((profile.version, profile.targets.clone()), (1, [group("eyes")].into()));
    assert_eq!(profile.description, None);
    assert_eq!(profile.alert_targets[0].role.as_str(), "arn:aws:iam::123456789012:role/komainu-alerts");
    let judged = control.device(&scope(), &komainu_model::ReporterName::parse("camera-1").unwrap());
    assert_eq!(judged.profiles, std::slice::from_ref(&profile));

    // What was exported, and the role, were said by AWS's client.
    control
        .decide(&scope(), |view| {
            let mut profile = komainu_model::SecurityProfile::clone(view.profiles.describe(&name).unwrap());
            profile.behaviors[0].export_metric = true;
            profile.metrics_to_retain[0].export = true;
            profile.alert_targets[0].role = Arn::parse("arn:aws:iam::123456789012:role/of-others").unwrap();
            let put = Change::Put(scope(), Record::SecurityProfile(profile));
            Ok::<_, ProfileDeskError>(((), vec![put]))
        })
        .unwrap();
    let stale = control.replace_profile(&scope(), &draft(&[]), 7);
    assert!(matches!(stale, Err(ProfileDeskError::Changed(1))), "{stale:?}");
    let wanted = ProfileDraft { description: "new".to_owned(), ..draft(&[DetectTarget::AllThings]) };
    control.replace_profile(&scope(), &wanted, 1).unwrap();
    let replaced = control.profile(&scope(), &name).unwrap();
    assert_eq!((replaced.version, replaced.targets.clone()), (2, [DetectTarget::AllThings].into()));
    assert_eq!(replaced.description.as_deref(), Some("new"));
    assert!(replaced.behaviors[0].export_metric && replaced.metrics_to_retain[0].export);
    assert_eq!(replaced.alert_targets[0].role.as_str(), "arn:aws:iam::123456789012:role/of-others");

    let stale = control.delete_profile(&scope(), &name, 1);
    assert!(matches!(stale, Err(ProfileDeskError::Changed(2))), "{stale:?}");
    control.delete_profile(&scope(), &name, 2).unwrap();
    let gone = control.delete_profile(&scope(), &name, 2);
    assert!(matches!(gone, Err(ProfileDeskError::Missing)), "{gone:?}");
}

#[test]
fn things_of_targets_are_counted_once() {
    let control = control(&Arc::new(MemoryStore::new()));
    let check = |targets: &[DetectTarget], expected: &[&str]| {
        let targets: BTreeSet<DetectTarget> = targets.iter().cloned().collect();
        let (things, count) = control.things_of(&scope(), &targets, 10);
        assert_eq!(things.iter().map(ThingName::as_str).collect::<Vec<_>>(), expected, "{targets:?}");
        assert_eq!(count, expected.len() as u64);
        assert_eq!(control.things_of(&scope(), &targets, 1), (things.into_iter().take(1).collect(), count));
    };
    check(&[], &[]);
    check(&[group("cameras")], &["camera-1", "camera-2"]);
    check(&[group("eyes"), group("cameras")], &["camera-1", "camera-2"]);
    check(&[group("ears")], &[]);
    check(&[DetectTarget::UnregisteredThings], &[]);
    check(&[DetectTarget::RegisteredThings, group("eyes")], &["camera-1", "camera-2", "printer"]);
    check(&[DetectTarget::AllThings], &["camera-1", "camera-2", "printer"]);
}

#[test]
fn topics_tell_no_secret() {
    let control = control(&Arc::new(MemoryStore::new()));
    let desk: &dyn TopicDesk = control.as_ref();
    let refused = desk.create_topic(&scope(), "night shift");
    assert!(matches!(refused, Err(TopicDeskError::Refused(_))), "{refused:?}");
    let topic = desk.create_topic(&scope(), "night").unwrap();
    assert_eq!(desk.create_topic(&scope(), "night").unwrap(), topic);
    let refused = desk.subscribe(&scope(), &topic, "email", "nonsense");
    assert!(matches!(refused, Err(TopicDeskError::Refused(_))), "{refused:?}");
    let missing = desk.subscribe(&scope(), &TopicName::parse("day").unwrap(), "email", "a@example.com");
    assert!(matches!(missing, Err(TopicDeskError::Missing)), "{missing:?}");
    let id = desk.subscribe(&scope(), &topic, "https", "https://user:secret@example.com/hook").unwrap();
    let subscriptions = desk.subscriptions(&scope(), &topic, None, 10);
    assert_eq!(subscriptions.len(), 1);
    assert_eq!((&subscriptions[0].id, subscriptions[0].endpoint.as_str()), (&id, "https://****:****@example.com/hook"));
    let summary = desk.topic(&scope(), &topic).unwrap();
    assert_eq!((summary.confirmed, summary.pending), (0, 1));
    assert_eq!(desk.topics(&scope(), None, 10), [summary]);

    // The owner of the address is asked; a message to everybody goes to nobody yet.
    desk.publish(&scope(), &topic, "subject", "message").unwrap();
    let deliveries = desk.deliveries(&scope(), &topic, &Page { after: None, limit: 10 }).unwrap().items;
    assert_eq!(deliveries.len(), 1);
    assert_eq!(deliveries[0].content, DeliveryContent::Confirmation);
    assert!(matches!(deliveries[0].state, DeliveryState::Due(_)));
    assert!(!format!("{deliveries:?}{subscriptions:?}").contains("secret"));

    desk.unsubscribe(&scope(), &topic, &id).unwrap();
    desk.unsubscribe(&scope(), &topic, &id).unwrap();
    assert!(desk.subscriptions(&scope(), &topic, None, 10).is_empty());
}
