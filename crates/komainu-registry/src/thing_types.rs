//! Thing types.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use komainu_model::{Record, RecordKey, ThingType, ThingTypeName, Timestamp};

use crate::attributes::{check_attribute_name, check_description};
use crate::listing::{Listed, entries_after};
use crate::{Decision, Registry, RegistryError, ResourceKind};

/// So many attributes of a type are searched for (CreateThingType, `searchableAttributes`).
const SEARCHABLE_ATTRIBUTES_MAX: usize = 3;

/// So long a type must have been deprecated before it can be deleted (DeleteThingType).
const DEPRECATED_BEFORE_DELETE: Duration = Duration::from_secs(5 * 60);

/// A thing type that is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CreateThingType {
    /// Its name.
    pub name: ThingTypeName,
    /// What people write about it.
    pub description: Option<String>,
    /// Attributes that are searched for.
    pub searchable_attributes: Vec<String>,
    /// Its tags.
    pub tags: BTreeMap<String, String>,
}

/// How a thing type should change; `None` keeps what there is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UpdateThingType {
    /// Its name.
    pub name: ThingTypeName,
    /// What people write about it.
    pub description: Option<String>,
    /// Attributes that are searched for.
    pub searchable_attributes: Option<Vec<String>>,
}

impl Registry {
    /// Creates a thing type; `id` is a new UUID. To create the same type again is no error and changes nothing.
    pub fn create_thing_type(&self, wanted: &CreateThingType, id: Arc<str>, now: Timestamp) -> Decision<ThingType> {
        check_properties(wanted.description.as_deref(), &wanted.searchable_attributes)?;
        if let Some(present) = self.thing_types.get(&wanted.name) {
            let same = present.description == wanted.description
                && present.searchable_attributes == wanted.searchable_attributes;
            if same {
                return Ok((present.clone(), Vec::new()));
            }
            return Err(RegistryError::AlreadyExists {
                kind: ResourceKind::ThingType,
                name: wanted.name.to_string(),
                id: present.id.to_string(),
                arn: self.thing_type_arn(&wanted.name),
                differs: true,
            });
        }
        let thing_type = ThingType {
            name: wanted.name.clone(),
            id,
            description: wanted.description.clone(),
            searchable_attributes: wanted.searchable_attributes.clone(),
            created_at: now,
            deprecated_at: None,
        };
        let mut changes = vec![self.put_change(Record::ThingType(thing_type.clone()))];
        changes.extend(self.new_tags(self.thing_type_arn(&wanted.name), &wanted.tags)?);
        Ok((thing_type, changes))
    }

    /// Changes a thing type.
    pub fn update_thing_type(&self, update: &UpdateThingType) -> Decision<()> {
        let mut thing_type = self.thing_type(&update.name)?.clone();
        if let Some(description) = &update.description {
            thing_type.description = Some(description.clone());
        }
        if let Some(attributes) = &update.searchable_attributes {
            thing_type.searchable_attributes = attributes.clone();
        }
        check_properties(thing_type.description.as_deref(), &thing_type.searchable_attributes)?;
        Ok(((), vec![self.put_change(Record::ThingType(thing_type))]))
    }

    /// Keeps new things from taking the type.
    pub fn deprecate_thing_type(&self, name: &ThingTypeName, now: Timestamp) -> Decision<()> {
        let mut thing_type = self.thing_type(name)?.clone();
        if thing_type.deprecated_at.is_some() {
            return Ok(((), Vec::new()));
        }
        thing_type.deprecated_at = Some(now);
        Ok(((), vec![self.put_change(Record::ThingType(thing_type))]))
    }

    /// Lets new things take the type again.
    pub fn undo_deprecate_thing_type(&self, name: &ThingTypeName) -> Decision<()> {
        let mut thing_type = self.thing_type(name)?.clone();
        thing_type.deprecated_at = None;
        Ok(((), vec![self.put_change(Record::ThingType(thing_type))]))
    }

    /// Deletes a thing type that has been deprecated for five minutes and that no thing has.
    pub fn delete_thing_type(&self, name: &ThingTypeName, now: Timestamp) -> Decision<()> {
        let thing_type = self.thing_type(name)?;
        let field = "thingTypeName";
        match thing_type.deprecated_at {
            None => {
                let reason = format!("thing type `{name}` is not deprecated; deprecate it first");
                return Err(RegistryError::invalid(field, reason));
            }
            Some(since) if now.since(since) < DEPRECATED_BEFORE_DELETE => {
                let reason = format!("thing type `{name}` can be deleted five minutes after it was deprecated");
                return Err(RegistryError::invalid(field, reason));
            }
            Some(_) => {}
        }
        if let Some(thing) = self.things.values().find(|thing| thing.type_name.as_ref() == Some(name)) {
            let reason = format!("thing type `{name}` is the type of thing `{}`", thing.name);
            return Err(RegistryError::invalid(field, reason));
        }
        let mut changes = vec![self.delete_change(RecordKey::ThingType(name.clone()))];
        changes.extend(self.forget_tags(self.thing_type_arn(name)));
        Ok(((), changes))
    }

    /// Thing types in the order of their names.
    pub fn list_thing_types(&self, after: Option<&ThingTypeName>, limit: usize) -> Listed<&ThingType> {
        Listed::first(entries_after(&self.thing_types, after).map(|(_, thing_type)| thing_type), limit)
    }

    /// Checks that a thing can take the type.
    pub(crate) fn check_type_is_usable(&self, name: &ThingTypeName) -> Result<(), RegistryError> {
        match self.thing_type(name)?.deprecated_at {
            Some(_) => Err(RegistryError::invalid("thingTypeName", format!("thing type `{name}` is deprecated"))),
            None => Ok(()),
        }
    }
}

fn check_properties(description: Option<&str>, searchable_attributes: &[String]) -> Result<(), RegistryError> {
    check_description("thingTypeDescription", description)?;
    let (field, count) = ("searchableAttributes", searchable_attributes.len());
    if count > SEARCHABLE_ATTRIBUTES_MAX {
        let reason = format!("{count} are given, at most {SEARCHABLE_ATTRIBUTES_MAX} are allowed");
        return Err(RegistryError::invalid(field, reason));
    }
    searchable_attributes.iter().try_for_each(|name| check_attribute_name(field, name))
}
