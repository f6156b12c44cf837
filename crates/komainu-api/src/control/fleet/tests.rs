//! The fleet as the console sees it, of a control plane in memory.

use std::collections::BTreeMap;

use komainu_detect::{NewProfile, ValidationRules};
use komainu_model::{
    AccountId, Behavior, BehaviorName, Change, Comparison, Criteria, DeviceMetric, ExpectedValue, Metric, Region,
    Timestamp,
};
use komainu_ports::{ManualClock, MemoryStore, SeededIds};
use komainu_registry::{CreateGroup, CreateThing, RegistryError};
use komainu_respond::RespondRules;

use super::*;
use crate::ControlRules;

fn scope() -> Scope {
    Scope { account: AccountId::parse("123456789012").unwrap(), region: Region::parse("us-east-1").unwrap() }
}

fn group(name: &str) -> GroupName {
    GroupName::parse(name).unwrap()
}

fn change(control: &ControlPlane, what: impl FnOnce(&View<'_>) -> Result<Vec<Change>, RegistryError>) {
    let decided = control.decide::<(), FleetError>(&scope(), |view| Ok(((), what(view).unwrap())));
    decided.unwrap();
}

/// The groups `site`, `site` over `hall`, and `other`; `cam-1` in the hall, `cam-2` on the site, `lamp` nowhere. `Ports` judges
/// the site, `All` everything.
fn control() -> Arc<ControlPlane> {
    let rules = ControlRules {
        account: AccountId::parse("123456789012").unwrap(),
        behaviors: ValidationRules::default(),
        notifications: RespondRules::default(),
    };
    let clock = Arc::new(ManualClock::new(Timestamp::from_unix_seconds(1_000_000)));
    let control = ControlPlane::open(rules, Arc::new(MemoryStore::new()), clock, Arc::new(SeededIds::new(1))).unwrap();
    for (name, parent) in [("site", None), ("hall", Some("site")), ("other", None)] {
        let wanted = CreateGroup {
            name: group(name),
            parent: parent.map(group),
            description: None,
            attributes: BTreeMap::new(),
            tags: BTreeMap::new(),
        };
        change(&control, |view| Ok(view.registry.create_group(&wanted, "id".into(), view.now)?.1));
    }
    for (name, of) in [("cam-1", Some("hall")), ("cam-2", Some("site")), ("lamp", None)] {
        let name = ThingName::parse(name).unwrap();
        let wanted = CreateThing { name: name.clone(), type_name: None, attributes: BTreeMap::new() };
        change(&control, |view| Ok(view.registry.create_thing(&wanted, "id".into(), view.now)?.1));
        if let Some(of) = of {
            change(&control, |view| Ok(view.registry.add_thing_to_group(&name, &group(of))?.1));
        }
    }
    for (name, target) in [("Ports", DetectTarget::Group(group("site"))), ("All", DetectTarget::AllThings)] {
        let criteria = Criteria {
            expected: ExpectedValue::Count(Comparison::LessThan, 5),
            duration_s: None,
            datapoints_to_alarm: 1,
            datapoints_to_clear: 1,
        };
        let behavior = Behavior {
            name: BehaviorName::parse("open").unwrap(),
            metric: Metric::Device(DeviceMetric::NumListeningTcpPorts),
            criteria: Some(criteria),
            suppress_alerts: false,
            export_metric: false,
        };
        let new = NewProfile {
            name: ProfileName::parse(name).unwrap(),
            description: None,
            behaviors: vec![behavior],
            alert_targets: Vec::new(),
            metrics_to_retain: Vec::new(),
            metrics_export: None,
        };
        change(&control, |view| Ok(view.profiles.create(new, view.now).unwrap().1));
        change(&control, |view| Ok(view.profiles.attach(&ProfileName::parse(name).unwrap(), target).unwrap().1));
    }
    control
}

#[test]
fn things_are_found_by_name_and_group() {
    let control = control();
    let check = |part: Option<&str>, of: Option<&str>, after: Option<&str>, expected: &[&str]| {
        let query = ThingQuery {
            name_part: part.map(str::to_owned),
            group: of.map(group),
            after: after.map(|name| ThingName::parse(name).unwrap()),
            limit: 2,
            ..ThingQuery::default()
        };
        let found = control.things(&scope(), &query);
        let names: Vec<&str> = found.things.iter().map(|thing| thing.name.as_str()).collect();
        assert_eq!((names.as_slice(), found.registered), (expected, 3), "{query:?}");
        found.more
    };
    assert!(check(None, None, None, &["cam-1", "cam-2"]));
    assert!(!check(None, None, Some("cam-2"), &["lamp"]));
    assert!(!check(Some("CAM"), None, None, &["cam-1", "cam-2"]));
    check(Some("amp"), None, None, &["lamp"]);
    check(Some("x"), None, None, &[]);
    check(None, Some("site"), None, &["cam-1", "cam-2"]);
    check(None, Some("hall"), None, &["cam-1"]);
    check(Some("2"), Some("site"), None, &["cam-2"]);
    check(None, Some("nowhere"), None, &[]);
    let among = |of: Option<&str>| {
        let names = ["cam-1", "lamp", "nobody"].map(|name| ThingName::parse(name).unwrap());
        let query = ThingQuery { group: of.map(group), among: Some(names.into()), limit: 9, ..ThingQuery::default() };
        control.things(&scope(), &query).things.iter().map(|thing| thing.name.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(
        (among(None), among(Some("site"))),
        (vec!["cam-1".to_owned(), "lamp".to_owned()], vec!["cam-1".to_owned()])
    );
}

#[test]
fn a_device_is_judged_by_its_groups() {
    let control = control();
    let check = |name: &str, registered: bool, expected: &[&str]| {
        let device = control.device(&scope(), &ReporterName::parse(name).unwrap());
        let profiles: Vec<&str> = device.profiles.iter().map(|profile| profile.name.as_str()).collect();
        assert_eq!((device.thing.is_some(), profiles.as_slice()), (registered, expected), "{name}");
    };
    check("cam-1", true, &["All", "Ports"]);
    check("lamp", true, &["All"]);
    check("a stranger\u{202e}", false, &["All"]);
}

#[test]
fn groups_are_a_tree() {
    let control = control();
    let lines = |part: Option<&str>, skip| {
        let query = GroupQuery { name_part: part.map(str::to_owned), skip, limit: 2 };
        let found = control.groups(&scope(), &query);
        let line = |group: &GroupSummary| format!("{}{} {}", " ".repeat(group.depth), group.name, group.things_under);
        (found.groups.iter().map(line).collect::<Vec<_>>(), found.found)
    };
    assert_eq!(lines(None, 0), (vec!["other 0".to_owned(), "site 2".to_owned()], 3));
    assert_eq!(lines(None, 2), (vec![" hall 1".to_owned()], 3));
    assert_eq!(lines(Some("HA"), 0), (vec![" hall 1".to_owned()], 1));
    let hall = control.group(&scope(), &group("hall")).unwrap();
    assert_eq!(hall.above, [group("site")]);
    let profiles: Vec<&str> = hall.profiles.iter().map(|attached| attached.profile.name.as_str()).collect();
    assert_eq!(profiles, ["Ports", "All"]);
    let site = control.group(&scope(), &group("site")).unwrap();
    assert_eq!((site.summary.things, site.summary.children, site.below.len()), (1, 1, 1));
    assert!(control.group(&scope(), &group("nowhere")).is_none());
}

#[test]
fn suppressing_is_an_update_of_the_profile() {
    let control = control();
    let behavior = |profile: &str, behavior: &str| JudgedBehavior {
        profile: ProfileName::parse(profile).unwrap(),
        behavior: BehaviorName::parse(behavior).unwrap(),
    };
    let seen = || {
        let profile = control.security_profile(&scope(), &ProfileName::parse("Ports").unwrap()).unwrap();
        (profile.version, profile.behaviors[0].suppress_alerts)
    };
    let open = behavior("Ports", "open");
    assert_eq!(seen(), (1, false));
    assert!(matches!(control.suppress_alerts(&scope(), &open, 7), Err(FleetError::Changed { .. })));
    assert_eq!(seen(), (1, false));
    control.suppress_alerts(&scope(), &open, 1).unwrap();
    assert_eq!(seen(), (2, true));
    // Doing it again changes nothing, whatever version was seen.
    control.suppress_alerts(&scope(), &open, 1).unwrap();
    assert_eq!(seen(), (2, true));
    control.resume_alerts(&scope(), &open, 2).unwrap();
    assert_eq!(seen(), (3, false));
    for missing in [behavior("Ports", "closed"), behavior("Nothing", "open")] {
        assert!(matches!(control.suppress_alerts(&scope(), &missing, 1), Err(FleetError::Missing(_))));
    }
}
