//! What may become of the profiles of a scope.

use komainu_detect::{
    BEHAVIORS_MAX, NewProfile, PROFILES_PER_TARGET_MAX, Part, ProfileError, ProfileUpdate, Profiles, ValidationRules,
};
use komainu_model::{
    AccountId, AlertTarget, AlertTargetKind, Arn, Behavior, BehaviorName, Change, Comparison, Criteria, DetectTarget,
    DeviceMetric, ExpectedValue, GroupName, Metric, MetricToRetain, ProfileName, Region, Scope, Timestamp,
};

const NOW: Timestamp = Timestamp::from_unix_seconds(1_560_278_102);
const LATER: Timestamp = Timestamp::from_unix_seconds(1_560_352_711);

fn scope() -> Scope {
    Scope { account: AccountId::parse("123456789012").unwrap(), region: Region::parse("us-west-2").unwrap() }
}

fn name(text: &str) -> ProfileName {
    ProfileName::parse(text).unwrap()
}

fn behavior(name: &str) -> Behavior {
    Behavior {
        name: BehaviorName::parse(name).unwrap(),
        metric: Metric::Device(DeviceMetric::AllBytesOut),
        criteria: Some(Criteria {
            expected: ExpectedValue::Count(Comparison::LessThan, 10_000),
            duration_s: Some(300),
            datapoints_to_alarm: 1,
            datapoints_to_clear: 1,
        }),
        suppress_alerts: false,
        export_metric: false,
    }
}

fn new(name_text: &str) -> NewProfile {
    NewProfile {
        name: name(name_text),
        description: Some("what is normal".to_owned()),
        behaviors: vec![behavior("bytesOut")],
        alert_targets: Vec::new(),
        metrics_to_retain: Vec::new(),
        metrics_export: None,
    }
}

fn group(text: &str) -> DetectTarget {
    DetectTarget::Group(GroupName::parse(text).unwrap())
}

/// Profiles that carry out what they decide.
struct World(Profiles);

impl World {
    fn with(names: &[&str]) -> Self {
        let mut world = Self(Profiles::new(scope(), ValidationRules::default()));
        for name in names {
            let decided = world.0.create(new(name), NOW);
            world.carry_out(decided).unwrap();
        }
        world
    }

    fn carry_out<T>(&mut self, decided: Result<(T, Vec<Change>), ProfileError>) -> Result<T, String> {
        let (value, changes) = decided.map_err(|error| error.to_string())?;
        changes.iter().for_each(|change| self.0.apply(change));
        Ok(value)
    }

    fn attach(&mut self, profile: &str, target: DetectTarget) -> Result<(), String> {
        let decided = self.0.attach(&name(profile), target);
        self.carry_out(decided).map(drop)
    }

    fn of_device(&self, registered: bool, groups: &[&str]) -> String {
        let groups: Vec<GroupName> = groups.iter().map(|group| GroupName::parse(group).unwrap()).collect();
        let profiles = self.0.of_device(registered, &groups);
        profiles.iter().map(|profile| profile.name.as_str()).collect::<Vec<_>>().join(" ")
    }
}

#[test]
fn deciding_changes_nothing() {
    let world = World::with(&["a"]);
    world.0.create(new("b"), NOW).unwrap();
    world.0.attach(&name("a"), DetectTarget::AllThings).unwrap();
    world.0.delete(&name("a"), None).unwrap();
    assert_eq!(world.0.iter().count(), 1);
    assert_eq!(world.of_device(true, &[]), "");
}

#[test]
fn a_profile_is_created_described_updated_and_deleted() {
    let mut world = World::with(&["CheckRogueDevices"]);
    let rogue = name("CheckRogueDevices");
    let described = world.0.describe(&rogue).unwrap();
    assert_eq!((described.version, described.created_at, described.modified_at), (1, NOW, NOW));
    assert_eq!(
        world.0.create(new("CheckRogueDevices"), NOW).unwrap_err().to_string(),
        "security profile CheckRogueDevices already exists"
    );

    let update = ProfileUpdate {
        expected_version: Some(1),
        behaviors: Part::Replace(vec![behavior("one"), behavior("two")]),
        metrics_to_retain: Part::Replace(vec![MetricToRetain {
            metric: Metric::Device(DeviceMetric::AllBytesIn),
            export: false,
        }]),
        ..ProfileUpdate::default()
    };
    let decided = world.0.update(&rogue, update.clone(), LATER);
    let updated = world.carry_out(decided).unwrap();
    assert_eq!((updated.version, updated.created_at, updated.modified_at), (2, NOW, LATER));
    assert_eq!((updated.behaviors.len(), updated.description.as_deref()), (2, Some("what is normal")));
    assert_eq!(
        world.0.update(&rogue, update, LATER).unwrap_err().to_string(),
        "security profile CheckRogueDevices has version 2, not 1"
    );
    let update = ProfileUpdate { behaviors: Part::Delete, ..ProfileUpdate::default() };
    let decided = world.0.update(&rogue, update, LATER);
    let updated = world.carry_out(decided).unwrap();
    assert_eq!((updated.behaviors.len(), updated.metrics_to_retain.len(), updated.version), (0, 1, 3));

    assert!(matches!(world.0.delete(&rogue, Some(1)), Err(ProfileError::VersionConflict { .. })));
    world.attach("CheckRogueDevices", DetectTarget::AllThings).unwrap();
    let decided = world.0.delete(&rogue, Some(3));
    world.carry_out(decided).unwrap();
    assert_eq!(world.0.describe(&rogue).unwrap_err().to_string(), "security profile CheckRogueDevices does not exist");
    assert_eq!(world.of_device(true, &[]), "");
    assert_eq!(world.0.delete(&rogue, Some(3)).unwrap().1, []);
}

#[test]
fn requests_that_make_no_sense_say_all_that_is_wrong() {
    fn check(change: impl FnOnce(&mut NewProfile), expected: &str) {
        let mut new = new("p");
        change(&mut new);
        assert_eq!(World::with(&[]).0.create(new, NOW).unwrap_err().to_string(), expected);
    }
    let arn = Arn::parse("arn:aws:sns:us-west-2:123456789012:MisbehavingDevices").unwrap();
    check(
        |new| new.description = Some("x".repeat(1001)),
        "securityProfileDescription has 1001 characters, at most 1000 are allowed",
    );
    check(|new| new.description = Some("a\nb".to_owned()), "securityProfileDescription has control characters");
    check(
        |new| {
            new.behaviors = vec![behavior("same"); 2];
            new.behaviors[0].criteria.as_mut().unwrap().duration_s = None;
        },
        "Behavior same is malformed. Metric aws:all-bytes-out needs durationSeconds; \
         Behavior same is malformed. Its name is used more than once",
    );
    check(
        |new| new.behaviors = (0..=BEHAVIORS_MAX).map(|n| behavior(&format!("b{n}"))).collect(),
        "behaviors has 101 elements, at most 100 are allowed",
    );
    check(
        |new| {
            let target = AlertTarget { kind: AlertTargetKind::Sns, target: arn.clone(), role: arn.clone() };
            new.alert_targets = vec![target; 2];
        },
        "alertTargets has 2 elements, at most 1 are allowed",
    );
    check(
        |new| new.metrics_export = Some(("a/#".to_owned(), arn.clone())),
        "metricsExportConfig.mqttTopic should be a topic of 1 to 512 bytes without wildcards",
    );
}

#[test]
fn devices_are_judged_by_the_profiles_of_their_targets() {
    let mut world = World::with(&["all", "known", "unknown", "grouped"]);
    world.attach("all", DetectTarget::AllThings).unwrap();
    world.attach("known", DetectTarget::RegisteredThings).unwrap();
    world.attach("unknown", DetectTarget::UnregisteredThings).unwrap();
    world.attach("grouped", group("allMyDevices")).unwrap();
    world.attach("grouped", group("other")).unwrap();
    world.attach("grouped", DetectTarget::AllThings).unwrap();
    assert_eq!(world.of_device(true, &["allMyDevices", "other"]), "all grouped known");
    assert_eq!(world.of_device(false, &[]), "all grouped unknown");
    let decided = world.0.detach(&name("grouped"), &DetectTarget::AllThings);
    world.carry_out(decided).unwrap();
    assert_eq!(world.of_device(true, &[]), "all known");
    assert_eq!(world.of_device(true, &["other"]), "all grouped known");
    let changes = world.0.detach_all(&group("other"));
    changes.iter().for_each(|change| world.0.apply(change));
    assert_eq!(world.of_device(true, &["other"]), "all known");
    let targets = &world.0.describe(&name("grouped")).unwrap().targets;
    assert_eq!(targets.iter().collect::<Vec<_>>(), [&group("allMyDevices")]);
    assert_eq!(world.0.detach(&name("grouped"), &group("other")).unwrap().1, []);
}

#[test]
fn a_target_takes_five_profiles() {
    let names = ["a", "b", "c", "d", "e", "f"];
    let mut world = World::with(&names);
    for name in &names[..PROFILES_PER_TARGET_MAX] {
        world.attach(name, group("g")).unwrap();
    }
    assert_eq!(world.attach("f", group("g")).unwrap_err(), "at most 5 security profiles for one target are allowed");
    world.attach("a", group("g")).unwrap();
    world.attach("f", group("h")).unwrap();
    assert_eq!(world.attach("x", group("h")).unwrap_err(), "security profile x does not exist");
}

#[test]
fn other_scopes_are_left_alone() {
    let mut world = World::with(&["a"]);
    let other = Scope { region: Region::parse("kyoto-1").unwrap(), ..scope() };
    let changes = Profiles::new(other, ValidationRules::default()).create(new("b"), NOW).unwrap().1;
    changes.iter().for_each(|change| world.0.apply(change));
    assert_eq!(world.0.iter().count(), 1);
}

#[test]
fn values_and_flags_of_an_update_are_not_given_together() {
    assert_eq!(Part::of_request(None::<u8>, false), Some(Part::Keep));
    assert_eq!(Part::of_request(Some(1), false), Some(Part::Replace(1)));
    assert_eq!(Part::of_request(None::<u8>, true), Some(Part::Delete));
    assert_eq!(Part::of_request(Some(1), true), None);
}
