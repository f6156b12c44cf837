//! Tags of resources.

use std::collections::BTreeMap;

use komainu_model::{Arn, Change, GroupName, PolicyName, Record, RecordKey, ResourceTags, ThingTypeName};

use crate::{Decision, Registry, RegistryError};

/// So many tags a resource may have (AWS tagging quotas, as the next ones).
const TAGS_MAX: usize = 50;
/// The longest key in characters.
const KEY_CHARS_MAX: usize = 128;
/// The longest value in characters.
const VALUE_CHARS_MAX: usize = 256;

impl Registry {
    /// Whether `resource` is there, when it is of a kind of the registry's that can have tags: thing groups, thing
    /// types and policies. `None` for every other kind.
    pub fn has_taggable(&self, resource: &Arn) -> Option<bool> {
        let (kind, name) = resource.resource_in("iot", &self.scope)?.split_once('/')?;
        match kind {
            "thinggroup" => Some(GroupName::parse(name).is_ok_and(|name| self.groups.contains_key(&name))),
            "thingtype" => Some(ThingTypeName::parse(name).is_ok_and(|name| self.thing_types.contains_key(&name))),
            "policy" => Some(PolicyName::parse(name).is_ok_and(|name| self.policies.contains_key(&name))),
            _ => None,
        }
    }

    /// The tags of a resource.
    pub fn tags(&self, resource: &Arn) -> &BTreeMap<String, String> {
        static NONE: BTreeMap<String, String> = BTreeMap::new();
        self.tags.get(resource).unwrap_or(&NONE)
    }

    /// Sets tags of a resource that the caller knows to be there; other tags of it stay.
    pub fn tag(&self, resource: &Arn, tags: &BTreeMap<String, String>) -> Decision<()> {
        tags.iter().try_for_each(|(key, value)| check_tag(key, value))?;
        let mut all = self.tags(resource).clone();
        all.extend(tags.iter().map(|(key, value)| (key.clone(), value.clone())));
        if all.len() > TAGS_MAX {
            return Err(RegistryError::LimitExceeded { what: "tags on one resource", max: TAGS_MAX });
        }
        Ok(((), vec![self.put_change(Record::ResourceTags(ResourceTags { resource: resource.clone(), tags: all }))]))
    }

    /// Removes tags of a resource; keys that it does not have are no error.
    pub fn untag(&self, resource: &Arn, keys: &[String]) -> Decision<()> {
        let mut tags = self.tags(resource).clone();
        tags.retain(|key, _| !keys.contains(key));
        if tags.is_empty() {
            return Ok(((), self.forget_tags(resource.clone()).into_iter().collect()));
        }
        Ok(((), vec![self.put_change(Record::ResourceTags(ResourceTags { resource: resource.clone(), tags }))]))
    }

    /// The change that gives a new resource its first tags.
    pub fn new_tags(&self, resource: Arn, tags: &BTreeMap<String, String>) -> Result<Option<Change>, RegistryError> {
        tags.iter().try_for_each(|(key, value)| check_tag(key, value))?;
        if tags.len() > TAGS_MAX {
            // The operations that create know no other error for it.
            return Err(RegistryError::invalid(
                "tags",
                format!("{} are given, at most {TAGS_MAX} are allowed", tags.len()),
            ));
        }
        let tags = ResourceTags { resource, tags: tags.clone() };
        Ok((!tags.tags.is_empty()).then(|| self.put_change(Record::ResourceTags(tags))))
    }

    /// The change that ends the tags of a resource that ends.
    pub fn forget_tags(&self, resource: Arn) -> Option<Change> {
        self.tags.contains_key(&resource).then(|| self.delete_change(RecordKey::ResourceTags(resource)))
    }
}

/// Checks `[\p{L}\p{Z}\p{N}_.:/=+\-@]*` for keys, and lengths. Keys that begin with `aws:` are AWS's own.
fn check_tag(key: &str, value: &str) -> Result<(), RegistryError> {
    let field = "tags";
    let chars = key.chars().count();
    if chars == 0 || chars > KEY_CHARS_MAX {
        return Err(RegistryError::invalid(
            field,
            format!("key has {chars} characters, 1 to {KEY_CHARS_MAX} are allowed"),
        ));
    }
    if let Some(found) = key.chars().find(|c| !c.is_alphanumeric() && !c.is_whitespace() && !"_.:/=+-@".contains(*c)) {
        return Err(RegistryError::invalid(field, format!("key {key:?} contains {found:?}, which is not allowed")));
    }
    if key.get(..4).is_some_and(|start| start.eq_ignore_ascii_case("aws:")) {
        return Err(RegistryError::invalid(field, format!("key {key:?} begins with aws:, which is reserved")));
    }
    let chars = value.chars().count();
    if chars > VALUE_CHARS_MAX {
        return Err(RegistryError::invalid(
            field,
            format!("value of {key:?} has {chars} characters, at most {VALUE_CHARS_MAX} are allowed"),
        ));
    }
    Ok(())
}
