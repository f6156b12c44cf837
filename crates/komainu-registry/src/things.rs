//! Things.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use komainu_model::{GroupMembership, GroupName, Record, RecordKey, Thing, ThingName, ThingTypeName, Timestamp};

use crate::attributes::{AttributeUpdate, check_attribute_count};
use crate::listing::{Listed, after, entries_after};
use crate::{Decision, Registry, RegistryError, ResourceKind};

/// So many attributes a thing without a type may have (AWS IoT quotas, "thing attributes").
const UNTYPED_ATTRIBUTES_MAX: usize = 3;
/// So many attributes a thing with a type may have (same place).
const TYPED_ATTRIBUTES_MAX: usize = 50;

/// A thing that is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CreateThing {
    /// Its name.
    pub name: ThingName,
    /// Its type.
    pub type_name: Option<ThingTypeName>,
    /// Its attributes.
    pub attributes: BTreeMap<String, String>,
}

/// How a thing should change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UpdateThing {
    /// Its name.
    pub name: ThingName,
    /// Its type.
    pub type_name: TypeUpdate,
    /// Its attributes; `None` keeps them.
    pub attributes: Option<AttributeUpdate>,
    /// The version it must have now.
    pub expected_version: Option<u64>,
}

/// How a thing's type should change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TypeUpdate {
    /// Not at all.
    Keep,
    /// To this type.
    Set(ThingTypeName),
    /// To none.
    Remove,
}

/// Which things. A thing must satisfy everything that is given.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ThingFilter {
    /// Of this type.
    pub type_name: Option<ThingTypeName>,
    /// With this attribute.
    pub attribute_name: Option<String>,
    /// With this value of an attribute: of the one that is named, else of any.
    pub attribute_value: Option<AttributeValueFilter>,
}

/// Which value of an attribute.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AttributeValueFilter {
    /// This one.
    Equals(String),
    /// Those that begin so.
    StartsWith(String),
}

/// Which things somebody looks for. A thing must satisfy everything that is given.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ThingSearch {
    /// With this in its name; upper and lower case of ASCII are the same.
    pub name_part: Option<String>,
    /// In this group or in one under it; a group that is not there has no things.
    pub group: Option<GroupName>,
    /// Of this type.
    pub type_name: Option<ThingTypeName>,
    /// One of these; names that no thing has are passed over.
    pub among: Option<BTreeSet<ThingName>>,
}

impl ThingFilter {
    fn takes(&self, thing: &Thing) -> bool {
        let value_fits = |value: &str| match &self.attribute_value {
            None => true,
            Some(AttributeValueFilter::Equals(wanted)) => value == wanted,
            Some(AttributeValueFilter::StartsWith(wanted)) => value.starts_with(wanted.as_str()),
        };
        let attribute_fits = match &self.attribute_name {
            Some(name) => thing.attributes.get(name).is_some_and(|value| value_fits(value)),
            None => self.attribute_value.is_none() || thing.attributes.values().any(|value| value_fits(value)),
        };
        attribute_fits && self.type_name.as_ref().is_none_or(|wanted| thing.type_name.as_ref() == Some(wanted))
    }
}

impl Registry {
    /// Creates a thing; `id` is a new UUID. To create the same thing again is no error and changes nothing
    /// (CreateThing).
    pub fn create_thing(&self, wanted: &CreateThing, id: Arc<str>, now: Timestamp) -> Decision<Thing> {
        let attributes = AttributeUpdate::Replace(wanted.attributes.clone()).apply(&BTreeMap::new())?;
        if let Some(present) = self.things.get(&wanted.name) {
            if present.type_name == wanted.type_name && present.attributes == attributes {
                return Ok((present.clone(), Vec::new()));
            }
            return Err(RegistryError::AlreadyExists {
                kind: ResourceKind::Thing,
                name: wanted.name.to_string(),
                id: present.id.to_string(),
                arn: self.thing_arn(&wanted.name),
                differs: true,
            });
        }
        if let Some(type_name) = &wanted.type_name {
            self.check_type_is_usable(type_name)?;
        }
        let thing = Thing {
            name: wanted.name.clone(),
            id,
            type_name: wanted.type_name.clone(),
            attributes,
            version: 1,
            created_at: now,
        };
        check_thing_attribute_count(&thing)?;
        let changes = vec![self.put_change(Record::Thing(thing.clone()))];
        Ok((thing, changes))
    }

    /// Changes a thing.
    pub fn update_thing(&self, update: &UpdateThing) -> Decision<Thing> {
        let present = self.thing(&update.name)?;
        check_version(ResourceKind::Thing, update.name.as_str(), update.expected_version, present.version)?;
        let mut thing = present.clone();
        match &update.type_name {
            TypeUpdate::Keep => {}
            TypeUpdate::Set(type_name) if present.type_name.as_ref() == Some(type_name) => {}
            TypeUpdate::Set(type_name) => {
                self.check_type_is_usable(type_name)?;
                thing.type_name = Some(type_name.clone());
            }
            TypeUpdate::Remove => thing.type_name = None,
        }
        if let Some(attributes) = &update.attributes {
            thing.attributes = attributes.apply(&present.attributes)?;
        }
        check_thing_attribute_count(&thing)?;
        thing.version += 1;
        let changes = vec![self.put_change(Record::Thing(thing.clone()))];
        Ok((thing, changes))
    }

    /// Deletes a thing and its memberships. Deleting what is not there is no error (DeleteThing); a thing that
    /// certificates are attached to stays.
    pub fn delete_thing(&self, name: &ThingName, expected_version: Option<u64>) -> Decision<()> {
        let Some(thing) = self.things.get(name) else { return Ok(((), Vec::new())) };
        check_version(ResourceKind::Thing, name.as_str(), expected_version, thing.version)?;
        if let Some(certificates) = self.thing_principals.get(name) {
            let reason = format!("thing `{name}` has {} attached principals; detach them first", certificates.len());
            return Err(RegistryError::invalid("thingName", reason));
        }
        let memberships = self
            .thing_groups
            .get(name)
            .into_iter()
            .flatten()
            .map(|group| RecordKey::GroupMembership(GroupMembership { group: group.clone(), thing: name.clone() }));
        let keys = memberships.chain([RecordKey::Thing(name.clone())]);
        Ok(((), keys.map(|key| self.delete_change(key)).collect()))
    }

    /// Things in the order of their names.
    pub fn list_things(&self, filter: &ThingFilter, after: Option<&ThingName>, limit: usize) -> Listed<&Thing> {
        let things = entries_after(&self.things, after).map(|(_, thing)| thing);
        Listed::first(things.filter(|thing| filter.takes(thing)), limit)
    }

    /// Things that somebody looks for, in the order of their names.
    pub fn find_things(&self, search: &ThingSearch, start: Option<&ThingName>, limit: usize) -> Listed<&Thing> {
        let part = search.name_part.as_ref().map(|part| part.to_ascii_lowercase());
        let takes = |thing: &&Thing| {
            let name_fits =
                part.as_ref().is_none_or(|part| thing.name.as_str().to_ascii_lowercase().contains(part.as_str()));
            name_fits && search.type_name.as_ref().is_none_or(|wanted| thing.type_name.as_ref() == Some(wanted))
        };
        if let Some(among) = &search.among {
            let under = search.group.as_ref().map(|group| self.groups_under(group));
            let is_in = |thing: &&Thing| {
                let mut groups = self.groups_of_thing(&thing.name);
                under.as_ref().is_none_or(|under| groups.any(|group| under.contains(group)))
            };
            let things = among.range::<ThingName, _>(after(start)).filter_map(|name| self.things.get(name));
            return Listed::first(things.filter(takes).filter(is_in), limit);
        }
        let Some(group) = &search.group else {
            return Listed::first(entries_after(&self.things, start).map(|(_, thing)| thing).filter(takes), limit);
        };
        // The first of each group are enough to know the first of all of them.
        let of_group = |group: &&GroupName| {
            let members = self.group_things.get(*group).into_iter();
            let things = members.flat_map(|things| things.range::<ThingName, _>(after(start)));
            let things = things.filter_map(|name| self.things.get(name)).filter(takes).take(limit + 1);
            things.map(|thing| (&thing.name, thing)).collect::<Vec<_>>()
        };
        let found: BTreeMap<&ThingName, &Thing> = self.groups_under(group).iter().flat_map(of_group).collect();
        Listed::first(found.into_values(), limit)
    }

    /// How many things there are.
    pub fn things_count(&self) -> usize {
        self.things.len()
    }

    /// The names of the groups that a thing is in directly; none of a thing that is not there.
    pub fn groups_of_thing(&self, thing: &ThingName) -> impl Iterator<Item = &GroupName> {
        self.thing_groups.get(thing).into_iter().flat_map(BTreeSet::iter)
    }

    /// Whether there is a thing of this name, given as any text.
    pub fn has_thing_named(&self, name: &str) -> bool {
        ThingName::parse(name).is_ok_and(|name| self.things.contains_key(&name))
    }
}

fn check_thing_attribute_count(thing: &Thing) -> Result<(), RegistryError> {
    match &thing.type_name {
        Some(_) => check_attribute_count(&thing.attributes, TYPED_ATTRIBUTES_MAX, "a thing with a type"),
        None => check_attribute_count(&thing.attributes, UNTYPED_ATTRIBUTES_MAX, "a thing without a type"),
    }
}

/// Checks that something is as the caller saw it.
pub(crate) fn check_version(
    kind: ResourceKind,
    name: &str,
    expected: Option<u64>,
    actual: u64,
) -> Result<(), RegistryError> {
    match expected {
        Some(expected) if expected != actual => {
            Err(RegistryError::VersionConflict { kind, name: name.to_owned(), expected, actual })
        }
        _ => Ok(()),
    }
}
