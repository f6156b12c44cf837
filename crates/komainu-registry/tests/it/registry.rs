//! The registry's rules.

use std::collections::BTreeMap;
use std::time::Duration;

use komainu_model::{
    AccountId, Arn, CertificateId, CertificateMode, CertificateStatus, Change, GroupName, PolicyName, PolicyTarget,
    PolicyVersionId, Region, Scope, ThingName, ThingPrincipalType, ThingTypeName, Timestamp,
};
use komainu_registry::{
    AttributeUpdate, AttributeValueFilter, CertificateMarker, CreateGroup, CreatePolicy, CreatePolicyVersion,
    CreateThing, CreateThingType, Decision, GroupFilter, NewCertificate, PolicyMarker, Registry, RegistryError,
    ResourceKind, ThingFilter, TypeUpdate, UpdateGroup, UpdateThing, UpdateThingType,
};
use proptest::prelude::*;

const ALLOW_ALL: &str = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"iot:*","Resource":"*"}]}"#;

/// A registry and the time, which passes only when told.
struct World {
    registry: Registry,
    now: Timestamp,
    log: Vec<Change>,
}

impl World {
    fn new() -> Self {
        let account = AccountId::parse("123456789012").unwrap();
        let scope = Scope { account, region: Region::parse("us-east-1").unwrap() };
        Self { registry: Registry::new(scope), now: Timestamp::from_unix_seconds(1_000_000), log: Vec::new() }
    }

    /// Carries out what was decided.
    fn carry_out<T>(&mut self, decide: impl FnOnce(&Registry, Timestamp) -> Decision<T>) -> Result<T, RegistryError> {
        let (value, changes) = decide(&self.registry, self.now)?;
        changes.iter().for_each(|change| self.registry.apply(change));
        self.log.extend(changes);
        Ok(value)
    }

    fn pass(&mut self, seconds: u64) {
        self.now = self.now.plus(Duration::from_secs(seconds));
    }

    fn create_thing(
        &mut self,
        name: &str,
        type_name: Option<&str>,
        attributes: &[(&str, &str)],
    ) -> Result<(), Problem> {
        let wanted =
            CreateThing { name: thing(name), type_name: type_name.map(thing_type), attributes: pairs(attributes) };
        self.carry_out(|registry, now| registry.create_thing(&wanted, "id".into(), now)).map(drop).map_err(problem)
    }

    fn create_type(&mut self, name: &str) {
        let wanted = CreateThingType {
            name: thing_type(name),
            description: None,
            searchable_attributes: Vec::new(),
            tags: BTreeMap::new(),
        };
        self.carry_out(|registry, now| registry.create_thing_type(&wanted, "id".into(), now)).unwrap();
    }

    fn create_group(&mut self, name: &str, parent: Option<&str>) -> Result<(), Problem> {
        let wanted = CreateGroup {
            name: group(name),
            parent: parent.map(group),
            description: None,
            attributes: BTreeMap::new(),
            tags: BTreeMap::new(),
        };
        self.carry_out(|registry, now| registry.create_group(&wanted, "id".into(), now)).map(drop).map_err(problem)
    }

    fn join(&mut self, thing_name: &str, group_name: &str) -> Result<(), Problem> {
        self.carry_out(|registry, _| registry.add_thing_to_group(&thing(thing_name), &group(group_name)))
            .map_err(problem)
    }

    fn register(&mut self, id: CertificateId, status: CertificateStatus) -> Result<(), Problem> {
        let new = NewCertificate {
            id,
            pem: "PEM".into(),
            status,
            mode: CertificateMode::Default,
            not_before: self.now,
            not_after: self.now.plus(Duration::from_secs(3600)),
        };
        self.carry_out(|registry, now| registry.register_certificate(&new, now)).map(drop).map_err(problem)
    }

    fn create_policy(&mut self, name: &str) -> Result<(), Problem> {
        let wanted = CreatePolicy { name: policy(name), document: ALLOW_ALL.into(), tags: BTreeMap::new() };
        self.carry_out(|registry, now| registry.create_policy(&wanted, now)).map(drop).map_err(problem)
    }

    fn add_version(&mut self, name: &str, set_as_default: bool) -> Result<u32, Problem> {
        let wanted = CreatePolicyVersion { name: policy(name), document: ALLOW_ALL.into(), set_as_default };
        let version = self.carry_out(|registry, now| registry.create_policy_version(&wanted, now));
        version.map(|version| version.id.0).map_err(problem)
    }

    fn attach(&mut self, name: &str, target: PolicyTarget) -> Result<(), Problem> {
        self.carry_out(|registry, _| registry.attach_policy(&policy(name), &target)).map_err(problem)
    }

    fn speak(&mut self, thing_name: &str, id: CertificateId, kind: ThingPrincipalType) -> Result<(), Problem> {
        self.carry_out(|registry, _| registry.attach_thing_principal(&thing(thing_name), id, kind)).map_err(problem)
    }
}

/// What kind of error it was: what a test cares about.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Problem {
    NotFound(ResourceKind),
    AlreadyExists,
    Invalid(&'static str),
    VersionConflict,
    LimitExceeded,
    VersionsLimitExceeded,
    DeleteConflict,
    MalformedPolicy,
    CertificateState,
}

fn problem(error: RegistryError) -> Problem {
    match error {
        RegistryError::NotFound { kind, .. } => Problem::NotFound(kind),
        RegistryError::AlreadyExists { .. } => Problem::AlreadyExists,
        RegistryError::Invalid { field, .. } => Problem::Invalid(field),
        RegistryError::VersionConflict { .. } => Problem::VersionConflict,
        RegistryError::LimitExceeded { .. } => Problem::LimitExceeded,
        RegistryError::VersionsLimitExceeded { .. } => Problem::VersionsLimitExceeded,
        RegistryError::DeleteConflict { .. } => Problem::DeleteConflict,
        RegistryError::MalformedPolicy(_) => Problem::MalformedPolicy,
        RegistryError::CertificateState { .. } => Problem::CertificateState,
    }
}

fn thing(name: &str) -> ThingName {
    ThingName::parse(name).unwrap()
}

fn thing_type(name: &str) -> ThingTypeName {
    ThingTypeName::parse(name).unwrap()
}

fn group(name: &str) -> GroupName {
    GroupName::parse(name).unwrap()
}

fn policy(name: &str) -> PolicyName {
    PolicyName::parse(name).unwrap()
}

fn certificate(number: u8) -> CertificateId {
    CertificateId::from_sha256([number; 32])
}

fn pairs(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

fn many(count: usize) -> Vec<(String, String)> {
    (0..count).map(|number| (format!("a{number}"), "x".to_owned())).collect()
}

#[test]
fn a_thing_is_created_once() {
    let mut world = World::new();
    assert_eq!(world.create_thing("lamp", None, &[("site", "ulm")]), Ok(()));
    let before = world.registry.clone();
    assert_eq!(world.create_thing("lamp", None, &[("site", "ulm")]), Ok(()));
    assert_eq!(world.registry, before);
    assert_eq!(world.create_thing("lamp", None, &[("site", "bonn")]), Err(Problem::AlreadyExists));
    assert_eq!(world.create_thing("lamp", None, &[]), Err(Problem::AlreadyExists));
    assert_eq!(world.create_thing("door", Some("Door"), &[]), Err(Problem::NotFound(ResourceKind::ThingType)));
}

#[test]
fn attributes_have_bounds() {
    let mut world = World::new();
    world.create_type("Bulb");
    let invalid = Err(Problem::Invalid("attributes"));
    let mut check = |name: &str, type_name, attributes: &[(&str, &str)], expected: Result<(), Problem>| {
        assert_eq!(world.create_thing(name, type_name, attributes), expected, "{attributes:?}");
    };
    check("a", None, &[("a.b_c,@/:#-", "x=[1]")], Ok(()));
    check("b", None, &[("", "x")], invalid.clone());
    check("b", None, &[("a b", "x")], invalid.clone());
    check("b", None, &[("a=", "x")], invalid.clone());
    check("b", None, &[("a", "x y")], invalid.clone());
    check("b", None, &[("a", "ü")], invalid.clone());
    check("b", None, &[(&"n".repeat(129), "x")], invalid.clone());
    check("b", None, &[("a", &"v".repeat(801))], invalid.clone());
    check("c", None, &[(&"n".repeat(128), &"v".repeat(800))], Ok(()));
    let many = many(51);
    let many: Vec<_> = many.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    check("d", None, &many[..3], Ok(()));
    check("e", None, &many[..4], invalid.clone());
    check("e", Some("Bulb"), &many[..50], Ok(()));
    check("f", Some("Bulb"), &many, invalid);
}

#[test]
fn a_thing_is_updated() {
    let mut world = World::new();
    world.create_type("Bulb");
    world.create_thing("lamp", None, &[("a", "1"), ("b", "2")]).unwrap();
    let mut update = |type_name, attributes, expected_version| {
        let update = UpdateThing { name: thing("lamp"), type_name, attributes, expected_version };
        let updated = world.carry_out(|registry, _| registry.update_thing(&update)).map_err(problem)?;
        Ok((updated.attributes, updated.type_name.map(|name| name.to_string()), updated.version))
    };
    let replace = |attributes: &[(&str, &str)]| Some(AttributeUpdate::Replace(pairs(attributes)));
    let merge = |attributes: &[(&str, &str)]| Some(AttributeUpdate::Merge(pairs(attributes)));
    let bulb = || Some("Bulb".to_owned());
    let set = || TypeUpdate::Set(thing_type("Bulb"));
    assert_eq!(
        update(TypeUpdate::Keep, merge(&[("b", ""), ("c", "3")]), None),
        Ok((pairs(&[("a", "1"), ("c", "3")]), None, 2))
    );
    assert_eq!(update(set(), None, Some(2)), Ok((pairs(&[("a", "1"), ("c", "3")]), bulb(), 3)));
    assert_eq!(update(TypeUpdate::Keep, replace(&[("d", "4")]), Some(2)), Err(Problem::VersionConflict));
    assert_eq!(update(TypeUpdate::Keep, replace(&[("d", "4")]), Some(3)), Ok((pairs(&[("d", "4")]), bulb(), 4)));
    assert_eq!(update(TypeUpdate::Remove, None, None), Ok((pairs(&[("d", "4")]), None, 5)));
    let too_many = merge(&[("e", "5"), ("f", "6"), ("g", "7")]);
    assert_eq!(update(TypeUpdate::Keep, too_many.clone(), None), Err(Problem::Invalid("attributes")));
    assert_eq!(update(set(), too_many, None).unwrap().2, 6);
    assert_eq!(update(TypeUpdate::Remove, None, None), Err(Problem::Invalid("attributes")));
}

#[test]
fn a_thing_is_deleted_when_nothing_speaks_for_it() {
    let mut world = World::new();
    world.create_thing("lamp", None, &[]).unwrap();
    world.create_group("lamps", None).unwrap();
    world.join("lamp", "lamps").unwrap();
    world.register(certificate(1), CertificateStatus::Active).unwrap();
    world.speak("lamp", certificate(1), ThingPrincipalType::NonExclusiveThing).unwrap();
    let mut delete = |version| world.carry_out(|registry, _| registry.delete_thing(&thing("lamp"), version));
    assert_eq!(delete(Some(7)).map_err(problem), Err(Problem::VersionConflict));
    assert_eq!(delete(None).map_err(problem), Err(Problem::Invalid("thingName")));
    world.carry_out(|registry, _| registry.detach_thing_principal(&thing("lamp"), certificate(1))).unwrap();
    world.carry_out(|registry, _| registry.delete_thing(&thing("lamp"), Some(1))).unwrap();
    world.carry_out(|registry, _| registry.delete_thing(&thing("lamp"), None)).unwrap();
    // A thing that gets the name later is in no group.
    world.create_thing("lamp", None, &[]).unwrap();
    assert!(world.registry.groups_over_thing(&thing("lamp")).is_empty());
    assert!(world.registry.list_things_in_group(&group("lamps"), None, 9).unwrap().items.is_empty());
}

#[test]
fn things_are_listed_by_name_in_parts() {
    let mut world = World::new();
    world.create_type("Bulb");
    for (name, type_name, attributes) in [
        ("c", Some("Bulb"), &[("site", "ulm-1")][..]),
        ("a", None, &[("site", "ulm-2")]),
        ("d", Some("Bulb"), &[("room", "ulm-1")]),
        ("b", None, &[]),
    ] {
        world.create_thing(name, type_name, attributes).unwrap();
    }
    let list = |filter: &ThingFilter, after: Option<&str>, limit| {
        let listed = world.registry.list_things(filter, after.map(thing).as_ref(), limit);
        (listed.items.iter().map(|thing| thing.name.as_str()).collect::<Vec<_>>().join(""), listed.more)
    };
    let check = |filter: ThingFilter, after, limit, names: &str, more| {
        assert_eq!(list(&filter, after, limit), (names.to_owned(), more), "{filter:?} after {after:?}");
    };
    let all = ThingFilter::default();
    let value = |value: AttributeValueFilter| ThingFilter { attribute_value: Some(value), ..ThingFilter::default() };
    let bulbs = ThingFilter { type_name: Some(thing_type("Bulb")), ..ThingFilter::default() };
    let site = ThingFilter { attribute_name: Some("site".into()), ..ThingFilter::default() };
    check(all.clone(), None, 3, "abc", true);
    check(all.clone(), Some("c"), 3, "d", false);
    check(all.clone(), Some("bb"), 1, "c", true);
    check(all.clone(), None, 4, "abcd", false);
    check(all, Some("d"), 4, "", false);
    check(bulbs, None, 9, "cd", false);
    check(site.clone(), None, 1, "a", true);
    check(value(AttributeValueFilter::Equals("ulm-1".into())), None, 9, "cd", false);
    check(value(AttributeValueFilter::StartsWith("ulm".into())), None, 9, "acd", false);
    let both = ThingFilter { attribute_value: Some(AttributeValueFilter::Equals("ulm-1".into())), ..site };
    check(both, None, 9, "c", false);
}

#[test]
fn a_thing_type_is_deprecated_before_it_is_deleted() {
    let mut world = World::new();
    world.create_type("Bulb");
    world.create_thing("lamp", Some("Bulb"), &[]).unwrap();
    let bulb = thing_type("Bulb");
    let invalid = Err(Problem::Invalid("thingTypeName"));
    let delete =
        |world: &mut World| world.carry_out(|registry, now| registry.delete_thing_type(&bulb, now)).map_err(problem);
    assert_eq!(delete(&mut world), invalid);
    world.carry_out(|registry, now| registry.deprecate_thing_type(&bulb, now)).unwrap();
    assert_eq!(world.create_thing("door", Some("Bulb"), &[]), invalid);
    world.pass(299);
    assert_eq!(delete(&mut world), invalid);
    world.pass(1);
    assert_eq!(delete(&mut world), invalid, "a thing has it");
    world.carry_out(|registry, _| registry.delete_thing(&thing("lamp"), None)).unwrap();
    world.carry_out(|registry, _| registry.undo_deprecate_thing_type(&bulb)).unwrap();
    world.create_thing("lamp", Some("Bulb"), &[]).unwrap();
    world.carry_out(|registry, _| registry.delete_thing(&thing("lamp"), None)).unwrap();
    world.carry_out(|registry, now| registry.deprecate_thing_type(&bulb, now)).unwrap();
    world.pass(300);
    assert_eq!(delete(&mut world), Ok(()));
    assert_eq!(delete(&mut world), Err(Problem::NotFound(ResourceKind::ThingType)));
}

#[test]
fn properties_of_thing_types_have_bounds() {
    let mut world = World::new();
    world.create_type("Bulb");
    let mut update = |description: Option<&str>, attributes: Option<&[&str]>| {
        let update = UpdateThingType {
            name: thing_type("Bulb"),
            description: description.map(str::to_owned),
            searchable_attributes: attributes.map(|names| names.iter().map(|name| (*name).to_owned()).collect()),
        };
        world.carry_out(|registry, _| registry.update_thing_type(&update)).map_err(problem)
    };
    assert_eq!(update(Some("Lamps of all kinds"), Some(&["a", "b", "c"])), Ok(()));
    assert_eq!(update(Some(&"ü".repeat(2028)), None), Ok(()));
    assert_eq!(update(Some(&"ü".repeat(2029)), None), Err(Problem::Invalid("thingTypeDescription")));
    assert_eq!(update(Some("a\nb"), None), Err(Problem::Invalid("thingTypeDescription")));
    assert_eq!(update(None, Some(&["a", "b", "c", "d"])), Err(Problem::Invalid("searchableAttributes")));
    assert_eq!(update(None, Some(&["a b"])), Err(Problem::Invalid("searchableAttributes")));
}

#[test]
fn groups_stand_in_hierarchies_of_bounded_depth() {
    let mut world = World::new();
    assert_eq!(world.create_group("g1", Some("nowhere")), Err(Problem::Invalid("parentGroupName")));
    world.create_group("g1", None).unwrap();
    for level in 2..=7 {
        world.create_group(&format!("g{level}"), Some(&format!("g{}", level - 1))).unwrap();
    }
    assert_eq!(world.create_group("g8", Some("g7")), Err(Problem::Invalid("parentGroupName")));
    assert_eq!(world.create_group("g7", Some("g6")), Ok(()), "the same group again");
    assert_eq!(world.create_group("g7", None), Err(Problem::AlreadyExists));
    let lineage: Vec<_> = world.registry.lineage(&group("g3")).map(GroupName::as_str).collect();
    assert_eq!(lineage, ["g3", "g2", "g1"]);
    let mut delete = |name: &str, version| {
        world.carry_out(|registry, _| registry.delete_group(&group(name), version)).map_err(problem)
    };
    assert_eq!(delete("g6", None), Err(Problem::Invalid("thingGroupName")));
    assert_eq!(delete("g7", Some(2)), Err(Problem::VersionConflict));
    assert_eq!(delete("g7", Some(1)), Ok(()));
    assert_eq!(delete("g6", None), Ok(()));
    assert_eq!(delete("g6", None), Ok(()), "deleting what is not there is no error");
}

#[test]
fn a_group_has_at_most_a_hundred_groups_directly_under_it() {
    let mut world = World::new();
    world.create_group("root", None).unwrap();
    for number in 0..100 {
        world.create_group(&format!("g{number}"), Some("root")).unwrap();
    }
    assert_eq!(world.create_group("g100", Some("root")), Err(Problem::Invalid("parentGroupName")));
    assert_eq!(world.create_group("g100", Some("g99")), Ok(()));
}

#[test]
fn a_thing_is_in_one_group_of_a_hierarchy_and_in_ten_in_all() {
    let mut world = World::new();
    world.create_thing("lamp", None, &[]).unwrap();
    world.create_group("root", None).unwrap();
    world.create_group("left", Some("root")).unwrap();
    world.create_group("right", Some("root")).unwrap();
    assert_eq!(world.join("door", "left"), Err(Problem::NotFound(ResourceKind::Thing)));
    assert_eq!(world.join("lamp", "nowhere"), Err(Problem::NotFound(ResourceKind::ThingGroup)));
    assert_eq!(world.join("lamp", "left"), Ok(()));
    assert_eq!(world.join("lamp", "left"), Ok(()), "again");
    assert_eq!(world.join("lamp", "right"), Err(Problem::Invalid("thingGroupName")));
    assert_eq!(world.join("lamp", "root"), Err(Problem::Invalid("thingGroupName")));
    let over: Vec<_> = world.registry.groups_over_thing(&thing("lamp")).into_iter().map(GroupName::as_str).collect();
    assert_eq!(over, ["left", "root"]);
    // From one to the other in one step, and all or nothing.
    let mut change = |add: &[&str], remove: &[&str]| {
        let (add, remove): (Vec<_>, Vec<_>) =
            (add.iter().map(|name| group(name)).collect(), remove.iter().map(|name| group(name)).collect());
        world.carry_out(|registry, _| registry.update_groups_of_thing(&thing("lamp"), &add, &remove)).map_err(problem)
    };
    assert_eq!(change(&["nowhere"], &["left"]), Err(Problem::NotFound(ResourceKind::ThingGroup)));
    assert_eq!(change(&["right"], &["left"]), Ok(()));
    assert_eq!(change(&[], &["left"]), Ok(()), "it is not in it");
    let groups = world.registry.list_groups_of_thing(&thing("lamp"), None, 9).unwrap();
    assert_eq!(groups.items, [&group("right")]);
    for number in 1..10 {
        world.create_group(&format!("g{number}"), None).unwrap();
        world.join("lamp", &format!("g{number}")).unwrap();
    }
    world.create_group("g10", None).unwrap();
    assert_eq!(world.join("lamp", "g10"), Err(Problem::Invalid("thingGroupName")));
}

#[test]
fn groups_are_listed_by_place_and_prefix() {
    let mut world = World::new();
    for (name, parent) in [("r", None), ("ra", Some("r")), ("rab", Some("ra")), ("rb", Some("r")), ("s", None)] {
        world.create_group(name, parent).unwrap();
    }
    let check = |parent: Option<&str>, direct_only, prefix: Option<&str>, after: Option<&str>, expected: &[&str]| {
        let filter = GroupFilter { parent: parent.map(group), direct_only, name_prefix: prefix.map(str::to_owned) };
        let listed = world.registry.list_groups(&filter, after.map(group).as_ref(), 9).unwrap();
        let names: Vec<_> = listed.items.iter().map(|group| group.name.as_str()).collect();
        assert_eq!(names, expected, "{filter:?}");
    };
    check(None, false, None, None, &["r", "ra", "rab", "rb", "s"]);
    check(None, true, None, None, &["r", "s"]);
    check(Some("r"), true, None, None, &["ra", "rb"]);
    check(Some("r"), false, None, None, &["ra", "rab", "rb"]);
    check(None, false, Some("ra"), None, &["ra", "rab"]);
    check(Some("r"), false, Some("rb"), None, &["rb"]);
    check(None, false, None, Some("ra"), &["rab", "rb", "s"]);
    let filter = GroupFilter { parent: Some(group("x")), ..GroupFilter::default() };
    let error = world.registry.list_groups(&filter, None, 9).map(drop).map_err(problem);
    assert_eq!(error, Err(Problem::NotFound(ResourceKind::ThingGroup)));
}

#[test]
fn the_things_of_a_group_are_listed_with_and_without_those_below() {
    let mut world = World::new();
    world.create_group("root", None).unwrap();
    world.create_group("leaf", Some("root")).unwrap();
    for (name, group) in [("a", "leaf"), ("b", "root"), ("c", "leaf"), ("d", "root")] {
        world.create_thing(name, None, &[]).unwrap();
        world.join(name, group).unwrap();
    }
    let root = group("root");
    let direct = world.registry.list_things_in_group(&root, None, 9).unwrap();
    assert_eq!(direct.items, [&thing("b"), &thing("d")]);
    let all = |after: Option<&str>, limit| {
        let listed = world.registry.list_things_under_group(&root, after.map(thing).as_ref(), limit).unwrap();
        (listed.items.iter().map(|thing| thing.as_str()).collect::<Vec<_>>().join(""), listed.more)
    };
    assert_eq!(all(None, 9), ("abcd".to_owned(), false));
    assert_eq!(all(None, 2), ("ab".to_owned(), true));
    assert_eq!(all(Some("b"), 2), ("cd".to_owned(), false));
}

#[test]
fn a_groups_update_is_checked_against_its_version() {
    let mut world = World::new();
    world.create_group("lamps", None).unwrap();
    let mut update = |description: Option<&str>, attributes: &[(&str, &str)], expected_version| {
        let update = UpdateGroup {
            name: group("lamps"),
            description: description.map(str::to_owned),
            attributes: Some(AttributeUpdate::Merge(pairs(attributes))),
            expected_version,
        };
        let group = world.carry_out(|registry, _| registry.update_group(&update)).map_err(problem)?;
        Ok((group.version, group.description, group.attributes))
    };
    assert_eq!(update(Some("x"), &[("a", "1")], Some(1)), Ok((2, Some("x".to_owned()), pairs(&[("a", "1")]))));
    assert_eq!(update(None, &[("a", "")], None), Ok((3, Some("x".to_owned()), pairs(&[]))));
    assert_eq!(update(None, &[], Some(2)), Err(Problem::VersionConflict));
    assert_eq!(update(Some("\u{7}"), &[], None), Err(Problem::Invalid("thingGroupDescription")));
}

#[test]
fn a_certificate_is_deleted_when_it_is_out_of_use() {
    use CertificateStatus::{Active, Inactive, Revoked};
    let mut world = World::new();
    let id = certificate(1);
    world.register(id, Active).unwrap();
    assert_eq!(world.register(id, Inactive), Err(Problem::AlreadyExists));
    world.create_thing("lamp", None, &[]).unwrap();
    world.create_policy("all").unwrap();
    world.speak("lamp", id, ThingPrincipalType::NonExclusiveThing).unwrap();
    world.attach("all", PolicyTarget::Certificate(id)).unwrap();
    let delete = |world: &mut World| world.carry_out(|registry, _| registry.delete_certificate(&id)).map_err(problem);
    let force = |world: &mut World| {
        world.carry_out(|registry, _| registry.delete_certificate_with_attachments(&id)).map_err(problem)
    };
    let set = |world: &mut World, status| {
        world.carry_out(|registry, now| registry.update_certificate(&id, status, now)).map_err(problem)
    };
    assert_eq!(delete(&mut world), Err(Problem::CertificateState));
    assert_eq!(force(&mut world), Err(Problem::CertificateState));
    assert_eq!(set(&mut world, Inactive), Ok(()));
    assert_eq!(world.registry.certificate(&id).unwrap().version, 2);
    assert_eq!(set(&mut world, Inactive), Ok(()), "again");
    assert_eq!(world.registry.certificate(&id).unwrap().version, 2);
    assert_eq!(set(&mut world, Active), Ok(()));
    assert_eq!(set(&mut world, Revoked), Ok(()));
    assert_eq!(set(&mut world, Active), Err(Problem::CertificateState));
    assert_eq!(delete(&mut world), Err(Problem::DeleteConflict), "a thing is attached");
    assert_eq!(force(&mut world), Err(Problem::DeleteConflict), "a thing is attached");
    world.carry_out(|registry, _| registry.detach_thing_principal(&thing("lamp"), id)).unwrap();
    assert_eq!(delete(&mut world), Err(Problem::DeleteConflict), "a policy is attached");
    assert_eq!(force(&mut world), Ok(()));
    assert_eq!(delete(&mut world), Err(Problem::NotFound(ResourceKind::Certificate)));
    assert_eq!(
        world.registry.list_targets_of_policy(&policy("all"), None, 9).unwrap().items,
        <[&PolicyTarget; 0]>::default()
    );
}

#[test]
fn certificates_are_listed_by_age() {
    let mut world = World::new();
    for number in [3, 1, 2] {
        world.register(certificate(number), CertificateStatus::Active).unwrap();
        world.pass(1);
    }
    let numbers = |listed: komainu_registry::Listed<&komainu_model::Certificate>| {
        (listed.items.iter().map(|certificate| certificate.id.sha256()[0]).collect::<Vec<_>>(), listed.more)
    };
    let marker = |number| {
        let certificate = world.registry.certificate(&certificate(number)).unwrap();
        Some(CertificateMarker { created_at: certificate.created_at, id: certificate.id })
    };
    assert_eq!(numbers(world.registry.list_certificates_oldest_first(None, 2)), (vec![3, 1], true));
    assert_eq!(numbers(world.registry.list_certificates_oldest_first(marker(1), 2)), (vec![2], false));
    assert_eq!(numbers(world.registry.list_certificates_latest_first(None, 2)), (vec![2, 1], true));
    assert_eq!(numbers(world.registry.list_certificates_latest_first(marker(1), 2)), (vec![3], false));
}

#[test]
fn a_certificate_that_speaks_exclusively_speaks_for_one_thing() {
    use ThingPrincipalType::{ExclusiveThing, NonExclusiveThing};
    let mut world = World::new();
    world.create_thing("lamp", None, &[]).unwrap();
    world.create_thing("door", None, &[]).unwrap();
    for number in [1, 2] {
        world.register(certificate(number), CertificateStatus::Active).unwrap();
    }
    let invalid = Err(Problem::Invalid("principal"));
    assert_eq!(
        world.speak("lamp", certificate(9), NonExclusiveThing),
        Err(Problem::NotFound(ResourceKind::Certificate))
    );
    assert_eq!(world.speak("roof", certificate(1), NonExclusiveThing), Err(Problem::NotFound(ResourceKind::Thing)));
    assert_eq!(world.speak("lamp", certificate(1), ExclusiveThing), Ok(()));
    assert_eq!(world.speak("lamp", certificate(1), ExclusiveThing), Ok(()), "again");
    assert_eq!(world.speak("lamp", certificate(1), NonExclusiveThing), invalid);
    assert_eq!(world.speak("door", certificate(1), NonExclusiveThing), invalid);
    assert_eq!(world.speak("lamp", certificate(2), NonExclusiveThing), Ok(()));
    assert_eq!(world.speak("door", certificate(2), NonExclusiveThing), Ok(()));
    assert_eq!(world.speak("door", certificate(2), ExclusiveThing), invalid);
    let registry = &world.registry;
    let of_lamp = |kind| registry.list_principals_of_thing(&thing("lamp"), kind, None, 9).unwrap().items;
    assert_eq!(of_lamp(None), [(certificate(1), ExclusiveThing), (certificate(2), NonExclusiveThing)]);
    assert_eq!(of_lamp(Some(ExclusiveThing)), [(certificate(1), ExclusiveThing)]);
    let (lamp, door) = (thing("lamp"), thing("door"));
    let of_second = registry.list_things_of_principal(&certificate(2), None, None, 1).unwrap();
    assert_eq!((of_second.items, of_second.more), (vec![(&door, NonExclusiveThing)], true));
    let of_second = registry.list_things_of_principal(&certificate(2), None, Some(&door), 1).unwrap();
    assert_eq!((of_second.items, of_second.more), (vec![(&lamp, NonExclusiveThing)], false));
}

#[test]
fn a_policy_has_at_most_five_versions() {
    let mut world = World::new();
    assert_eq!(world.add_version("p", false), Err(Problem::NotFound(ResourceKind::Policy)));
    world.create_policy("p").unwrap();
    assert_eq!(world.create_policy("p"), Err(Problem::AlreadyExists));
    assert_eq!(world.add_version("p", false), Ok(2));
    assert_eq!(world.add_version("p", true), Ok(3));
    assert_eq!(world.add_version("p", false), Ok(4));
    assert_eq!(world.add_version("p", false), Ok(5));
    assert_eq!(world.add_version("p", false), Err(Problem::VersionsLimitExceeded));
    let delete = |world: &mut World, number| {
        let id = PolicyVersionId(number);
        world.carry_out(|registry, now| registry.delete_policy_version(&policy("p"), id, now)).map_err(problem)
    };
    assert_eq!(delete(&mut world, 3), Err(Problem::DeleteConflict));
    assert_eq!(delete(&mut world, 5), Ok(()));
    assert_eq!(delete(&mut world, 5), Err(Problem::NotFound(ResourceKind::PolicyVersion)));
    assert_eq!(world.add_version("p", false), Ok(6), "numbers are not used twice");
    let set = |world: &mut World, number| {
        let id = PolicyVersionId(number);
        world.carry_out(|registry, now| registry.set_default_policy_version(&policy("p"), id, now)).map_err(problem)
    };
    assert_eq!(set(&mut world, 1), Ok(()));
    assert_eq!(set(&mut world, 5), Err(Problem::NotFound(ResourceKind::PolicyVersion)));
    assert_eq!(world.registry.policy(&policy("p")).unwrap().default_version, PolicyVersionId(1));
}

#[test]
fn a_policy_is_deleted_when_nothing_needs_it() {
    let mut world = World::new();
    world.create_policy("p").unwrap();
    world.add_version("p", false).unwrap();
    world.create_group("g", None).unwrap();
    world.attach("p", PolicyTarget::Group(group("g"))).unwrap();
    let delete =
        |world: &mut World| world.carry_out(|registry, _| registry.delete_policy(&policy("p"))).map_err(problem);
    assert_eq!(delete(&mut world), Err(Problem::DeleteConflict));
    let target = PolicyTarget::Group(group("g"));
    world.carry_out(|registry, _| registry.detach_policy(&policy("p"), &target)).unwrap();
    world.carry_out(|registry, _| registry.detach_policy(&policy("p"), &target)).unwrap();
    assert_eq!(delete(&mut world), Err(Problem::DeleteConflict));
    world.carry_out(|registry, now| registry.delete_policy_version(&policy("p"), PolicyVersionId(2), now)).unwrap();
    assert_eq!(delete(&mut world), Ok(()));
    assert_eq!(delete(&mut world), Err(Problem::NotFound(ResourceKind::Policy)));
}

#[test]
fn a_malformed_policy_is_not_stored() {
    let mut world = World::new();
    let wanted = CreatePolicy { name: policy("p"), document: "{}".into(), tags: BTreeMap::new() };
    let created = world.carry_out(|registry, now| registry.create_policy(&wanted, now)).map(drop).map_err(problem);
    assert_eq!(created, Err(Problem::MalformedPolicy));
    world.create_policy("p").unwrap();
    let wanted = CreatePolicyVersion { name: policy("p"), document: "{}".into(), set_as_default: true };
    let created = world.carry_out(|registry, now| registry.create_policy_version(&wanted, now));
    assert_eq!(created.map(drop).map_err(problem), Err(Problem::MalformedPolicy));
}

#[test]
fn policies_of_groups_above_count() {
    let mut world = World::new();
    let id = certificate(1);
    world.register(id, CertificateStatus::Active).unwrap();
    world.create_thing("lamp", None, &[]).unwrap();
    world.create_group("root", None).unwrap();
    world.create_group("leaf", Some("root")).unwrap();
    world.create_group("other", None).unwrap();
    world.join("lamp", "leaf").unwrap();
    for (name, target) in [
        ("own", PolicyTarget::Certificate(id)),
        ("leafs", PolicyTarget::Group(group("leaf"))),
        ("roots", PolicyTarget::Group(group("root"))),
        ("others", PolicyTarget::Group(group("other"))),
        ("own", PolicyTarget::Group(group("root"))),
    ] {
        let _ = world.create_policy(name);
        world.attach(name, target).unwrap();
    }
    let over = |world: &World| {
        let policies = world.registry.policies_over_principal(&id);
        policies.into_iter().map(PolicyName::as_str).map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(over(&world), ["own"]);
    world.speak("lamp", id, ThingPrincipalType::NonExclusiveThing).unwrap();
    assert_eq!(over(&world), ["leafs", "own", "roots"]);
    let names = |listed: komainu_registry::Listed<&PolicyName>| {
        listed.items.into_iter().map(PolicyName::to_string).collect::<Vec<_>>()
    };
    let registry = &world.registry;
    let (leaf, principal) = (PolicyTarget::Group(group("leaf")), PolicyTarget::Certificate(id));
    assert_eq!(names(registry.list_policies_of_target(&leaf, None, 9).unwrap()), ["leafs"]);
    assert_eq!(names(registry.list_policies_over_target(&leaf, None, 9).unwrap()), ["leafs", "own", "roots"]);
    assert_eq!(names(registry.list_policies_over_target(&principal, Some(&policy("leafs")), 1).unwrap()), ["own"]);
    assert_eq!(registry.default_document(&policy("own")).map(|document| &**document), Some(ALLOW_ALL));
}

#[test]
fn a_target_has_at_most_ten_policies() {
    let mut world = World::new();
    world.register(certificate(1), CertificateStatus::Active).unwrap();
    let target = PolicyTarget::Certificate(certificate(1));
    for number in 0..11 {
        world.create_policy(&format!("p{number}")).unwrap();
        let expected = if number < 10 { Ok(()) } else { Err(Problem::LimitExceeded) };
        assert_eq!(world.attach(&format!("p{number}"), target.clone()), expected);
    }
    assert_eq!(world.attach("p0", target), Ok(()), "again");
    let nobody = PolicyTarget::Certificate(certificate(2));
    assert_eq!(world.attach("p0", nobody), Err(Problem::NotFound(ResourceKind::Certificate)));
}

#[test]
fn policies_are_listed_by_age() {
    let mut world = World::new();
    for name in ["b", "a", "c"] {
        world.create_policy(name).unwrap();
        world.pass(1);
    }
    let names = |listed: komainu_registry::Listed<&komainu_model::Policy>| {
        (listed.items.iter().map(|policy| policy.name.as_str()).collect::<Vec<_>>().join(""), listed.more)
    };
    let marker = PolicyMarker::of(world.registry.policy(&policy("a")).unwrap());
    assert_eq!(names(world.registry.list_policies_oldest_first(None, 2)), ("ba".to_owned(), true));
    assert_eq!(names(world.registry.list_policies_oldest_first(Some(&marker), 2)), ("c".to_owned(), false));
    assert_eq!(names(world.registry.list_policies_latest_first(None, 2)), ("ca".to_owned(), true));
    assert_eq!(names(world.registry.list_policies_latest_first(Some(&marker), 2)), ("b".to_owned(), false));
}

#[test]
fn tags_have_bounds_and_end_with_their_resource() {
    let mut world = World::new();
    world.create_group("lamps", None).unwrap();
    let arn = world.registry.group_arn(&group("lamps"));
    let tag = |world: &mut World, tags: &[(&str, &str)]| {
        world.carry_out(|registry, _| registry.tag(&arn, &pairs(tags))).map_err(problem)
    };
    assert_eq!(tag(&mut world, &[("Team", "Ulm & Bonn"), ("a/b:c=d+e-f@g h.ü", "")]), Ok(()));
    assert_eq!(tag(&mut world, &[("Team", "Köln")]), Ok(()));
    for bad in ["", "a;b", "aws:x", "AWS:x"] {
        assert_eq!(tag(&mut world, &[(bad, "x")]), Err(Problem::Invalid("tags")), "{bad}");
    }
    assert_eq!(tag(&mut world, &[(&"k".repeat(129), "x")]), Err(Problem::Invalid("tags")));
    assert_eq!(tag(&mut world, &[("k", &"v".repeat(257))]), Err(Problem::Invalid("tags")));
    assert_eq!(world.registry.tags(&arn).get("Team").map(String::as_str), Some("Köln"));
    let many = many(48);
    let many: Vec<_> = many.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
    assert_eq!(tag(&mut world, &many), Ok(()));
    assert_eq!(tag(&mut world, &[("another", "")]), Err(Problem::LimitExceeded));
    world.carry_out(|registry, _| registry.untag(&arn, &["Team".to_owned(), "none".to_owned()])).unwrap();
    assert_eq!(world.registry.tags(&arn).len(), 49);
    world.carry_out(|registry, _| registry.delete_group(&group("lamps"), None)).unwrap();
    world.create_group("lamps", None).unwrap();
    assert!(world.registry.tags(&arn).is_empty());
}

#[test]
fn only_some_kinds_of_resources_have_tags() {
    let mut world = World::new();
    world.create_group("lamps", None).unwrap();
    let check = |arn: &str, expected| {
        assert_eq!(world.registry.has_taggable(&Arn::parse(arn).unwrap()), expected, "{arn}");
    };
    check("arn:aws:iot:us-east-1:123456789012:thinggroup/lamps", Some(true));
    check("arn:aws:iot:us-east-1:123456789012:thinggroup/doors", Some(false));
    check("arn:aws:iot:us-east-1:123456789012:thinggroup/a/b", Some(false));
    check("arn:aws:iot:us-east-1:123456789012:policy/p", Some(false));
    check("arn:aws:iot:us-east-1:123456789012:thing/lamp", None);
    check("arn:aws:iot:eu-west-1:123456789012:thinggroup/lamps", None);
    check("arn:aws:sns:us-east-1:123456789012:thinggroup/lamps", None);
    check("arn:aws:iot:us-east-1:123456789012:x", None);
}

#[test]
fn changes_of_another_scope_are_passed_over() {
    let mut world = World::new();
    world.create_thing("lamp", None, &[]).unwrap();
    let account = AccountId::parse("999999999999").unwrap();
    let mut other = Registry::new(Scope { account, region: Region::parse("us-east-1").unwrap() });
    world.log.iter().for_each(|change| other.apply(change));
    assert!(other.list_things(&ThingFilter::default(), None, 9).items.is_empty());
}

/// What is done to a registry at random; the numbers choose names out of a few.
#[derive(Debug, Clone)]
enum Step {
    CreateThing(u8),
    DeleteThing(u8),
    CreateGroup(u8, Option<u8>),
    DeleteGroup(u8),
    Join(u8, u8),
    Leave(u8, u8),
    Register(u8),
    Deactivate(u8),
    Delete(u8),
    Speak(u8, u8, bool),
    Silence(u8, u8),
    CreatePolicy(u8),
    DeletePolicy(u8),
    Attach(u8, u8, bool),
    Tag(u8),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let n = || 0u8..4;
    let step = prop_oneof![
        n().prop_map(Step::CreateThing),
        n().prop_map(Step::DeleteThing),
        (n(), prop::option::of(n())).prop_map(|(name, parent)| Step::CreateGroup(name, parent)),
        n().prop_map(Step::DeleteGroup),
        (n(), n()).prop_map(|(thing, group)| Step::Join(thing, group)),
        (n(), n()).prop_map(|(thing, group)| Step::Leave(thing, group)),
        n().prop_map(Step::Register),
        n().prop_map(Step::Deactivate),
        n().prop_map(Step::Delete),
        (n(), n(), any::<bool>()).prop_map(|(thing, id, exclusive)| Step::Speak(thing, id, exclusive)),
        (n(), n()).prop_map(|(thing, id)| Step::Silence(thing, id)),
        n().prop_map(Step::CreatePolicy),
        n().prop_map(Step::DeletePolicy),
        (n(), n(), any::<bool>()).prop_map(|(policy, target, to_group)| Step::Attach(policy, target, to_group)),
        n().prop_map(Step::Tag),
    ];
    prop::collection::vec(step, 0..60)
}

impl World {
    /// Does one step; whether the rules allow it does not matter.
    fn step(&mut self, step: &Step) {
        let name = |number: &u8| format!("n{number}");
        let _ = match step {
            Step::CreateThing(n) => self.create_thing(&name(n), None, &[]),
            Step::DeleteThing(n) => {
                self.carry_out(|registry, _| registry.delete_thing(&thing(&name(n)), None)).map_err(problem)
            }
            Step::CreateGroup(n, parent) => self.create_group(&name(n), parent.as_ref().map(name).as_deref()),
            Step::DeleteGroup(n) => {
                self.carry_out(|registry, _| registry.delete_group(&group(&name(n)), None)).map_err(problem)
            }
            Step::Join(n, g) => self.join(&name(n), &name(g)),
            Step::Leave(n, g) => self
                .carry_out(|registry, _| registry.remove_thing_from_group(&thing(&name(n)), &group(&name(g))))
                .map_err(problem),
            Step::Register(n) => self.register(certificate(*n), CertificateStatus::Active),
            Step::Deactivate(n) => self
                .carry_out(|registry, now| {
                    registry.update_certificate(&certificate(*n), CertificateStatus::Inactive, now)
                })
                .map_err(problem),
            Step::Delete(n) => self
                .carry_out(|registry, _| registry.delete_certificate_with_attachments(&certificate(*n)))
                .map_err(problem),
            Step::Speak(n, id, true) => self.speak(&name(n), certificate(*id), ThingPrincipalType::ExclusiveThing),
            Step::Speak(n, id, false) => self.speak(&name(n), certificate(*id), ThingPrincipalType::NonExclusiveThing),
            Step::Silence(n, id) => self
                .carry_out(|registry, _| registry.detach_thing_principal(&thing(&name(n)), certificate(*id)))
                .map_err(problem),
            Step::CreatePolicy(n) => self.create_policy(&name(n)),
            Step::DeletePolicy(n) => {
                self.carry_out(|registry, _| registry.delete_policy(&policy(&name(n)))).map_err(problem)
            }
            Step::Attach(n, target, true) => self.attach(&name(n), PolicyTarget::Group(group(&name(target)))),
            Step::Attach(n, target, false) => self.attach(&name(n), PolicyTarget::Certificate(certificate(*target))),
            Step::Tag(n) => {
                let arn = self.registry.group_arn(&group(&name(n)));
                if self.registry.has_taggable(&arn) != Some(true) {
                    return;
                }
                self.carry_out(|registry, _| registry.tag(&arn, &pairs(&[("k", "v")]))).map_err(problem)
            }
        };
        self.pass(1);
    }
}

proptest! {
    /// What a store keeps is enough: records in any order, and some of them twice, give the same registry.
    #[test]
    fn a_registry_is_what_its_records_say(steps in steps()) {
        let mut world = World::new();
        steps.iter().for_each(|step| world.step(step));
        let mut records = BTreeMap::new();
        for change in &world.log {
            match change {
                Change::Put(_, record) => {
                    records.insert(record.key(), change.clone());
                }
                Change::Delete(_, key) => {
                    records.remove(key);
                }
                other => panic!("a registry does not decide {other:?}"),
            }
        }
        let mut loaded = Registry::new(world.registry.scope().clone());
        records.values().chain(records.values()).for_each(|change| loaded.apply(change));
        prop_assert_eq!(&loaded, &world.registry);
        let mut backwards = Registry::new(world.registry.scope().clone());
        records.values().rev().for_each(|change| backwards.apply(change));
        prop_assert_eq!(&backwards, &world.registry);
    }
}
