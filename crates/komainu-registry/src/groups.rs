//! Static groups of things, and who is in them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use komainu_model::{
    Change, GroupMembership, GroupName, PolicyAttachment, PolicyTarget, Record, RecordKey, ThingGroup, ThingName,
    Timestamp,
};

use crate::attributes::{AttributeUpdate, check_attribute_count, check_description};
use crate::listing::{Listed, after, entries_after};
use crate::things::check_version;
use crate::{Decision, Registry, RegistryError, ResourceKind};

/// So many attributes a group may have (AWS IoT quotas, as the next ones).
const ATTRIBUTES_MAX: usize = 50;
/// So many groups may stand above each other, the lowest one included.
const DEPTH_MAX: usize = 7;
/// So many groups may stand directly under one.
const CHILDREN_MAX: usize = 100;
/// So many groups a thing may be in.
const GROUPS_OF_THING_MAX: usize = 10;

/// A group that is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CreateGroup {
    /// Its name.
    pub name: GroupName,
    /// The group it stands under.
    pub parent: Option<GroupName>,
    /// What people write about it.
    pub description: Option<String>,
    /// Its attributes.
    pub attributes: BTreeMap<String, String>,
    /// Its tags.
    pub tags: BTreeMap<String, String>,
}

/// How a group should change; `None` keeps what there is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UpdateGroup {
    /// Its name.
    pub name: GroupName,
    /// What people write about it.
    pub description: Option<String>,
    /// Its attributes.
    pub attributes: Option<AttributeUpdate>,
    /// The version it must have now.
    pub expected_version: Option<u64>,
}

/// Which groups. A group must satisfy everything that is given.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GroupFilter {
    /// Under this group.
    pub parent: Option<GroupName>,
    /// Only those directly under the parent, and without a parent only those that stand under none.
    pub direct_only: bool,
    /// With names that begin so.
    pub name_prefix: Option<String>,
}

impl Registry {
    /// Creates a group; `id` is a new UUID. To create the same group again is no error and changes nothing.
    pub fn create_group(&self, wanted: &CreateGroup, id: Arc<str>, now: Timestamp) -> Decision<ThingGroup> {
        check_description("thingGroupDescription", wanted.description.as_deref())?;
        let attributes = AttributeUpdate::Replace(wanted.attributes.clone()).apply(&BTreeMap::new())?;
        check_attribute_count(&attributes, ATTRIBUTES_MAX, "a thing group")?;
        if let Some(present) = self.groups.get(&wanted.name) {
            let same = present.parent == wanted.parent
                && present.description == wanted.description
                && present.attributes == attributes;
            if same {
                return Ok((present.clone(), Vec::new()));
            }
            return Err(RegistryError::AlreadyExists {
                kind: ResourceKind::ThingGroup,
                name: wanted.name.to_string(),
                id: present.id.to_string(),
                arn: self.group_arn(&wanted.name),
                differs: true,
            });
        }
        if let Some(parent) = &wanted.parent {
            self.check_takes_child(parent)?;
        }
        let group = ThingGroup {
            name: wanted.name.clone(),
            id,
            parent: wanted.parent.clone(),
            description: wanted.description.clone(),
            attributes,
            version: 1,
            created_at: now,
        };
        let mut changes = vec![self.put_change(Record::ThingGroup(group.clone()))];
        changes.extend(self.new_tags(self.group_arn(&wanted.name), &wanted.tags)?);
        Ok((group, changes))
    }

    fn check_takes_child(&self, parent: &GroupName) -> Result<(), RegistryError> {
        let field = "parentGroupName";
        if !self.groups.contains_key(parent) {
            return Err(RegistryError::invalid(field, format!("thing group `{parent}` does not exist")));
        }
        if self.lineage(parent).count() >= DEPTH_MAX {
            let reason = format!("thing group `{parent}` is at level {DEPTH_MAX}, the lowest that is allowed");
            return Err(RegistryError::invalid(field, reason));
        }
        if self.group_children.get(parent).is_some_and(|children| children.len() >= CHILDREN_MAX) {
            let reason = format!("thing group `{parent}` has {CHILDREN_MAX} groups under it, more are not allowed");
            return Err(RegistryError::invalid(field, reason));
        }
        Ok(())
    }

    /// Changes a group.
    pub fn update_group(&self, update: &UpdateGroup) -> Decision<ThingGroup> {
        let present = self.group(&update.name)?;
        check_version(ResourceKind::ThingGroup, update.name.as_str(), update.expected_version, present.version)?;
        let mut group = present.clone();
        if let Some(description) = &update.description {
            check_description("thingGroupDescription", Some(description))?;
            group.description = Some(description.clone());
        }
        if let Some(attributes) = &update.attributes {
            group.attributes = attributes.apply(&present.attributes)?;
            check_attribute_count(&group.attributes, ATTRIBUTES_MAX, "a thing group")?;
        }
        group.version += 1;
        let changes = vec![self.put_change(Record::ThingGroup(group.clone()))];
        Ok((group, changes))
    }

    /// Deletes a group, its memberships, its attachments to policies and its tags. Deleting what is not there is no
    /// error (DeleteThingGroup); a group with groups under it stays. What else knows the group is the caller's to part.
    pub fn delete_group(&self, name: &GroupName, expected_version: Option<u64>) -> Decision<()> {
        let Some(group) = self.groups.get(name) else { return Ok(((), Vec::new())) };
        check_version(ResourceKind::ThingGroup, name.as_str(), expected_version, group.version)?;
        if let Some(children) = self.group_children.get(name) {
            let reason = format!("thing group `{name}` has {} groups under it; delete them first", children.len());
            return Err(RegistryError::invalid("thingGroupName", reason));
        }
        let target = PolicyTarget::Group(name.clone());
        let memberships = self
            .group_things
            .get(name)
            .into_iter()
            .flatten()
            .map(|thing| RecordKey::GroupMembership(GroupMembership { group: name.clone(), thing: thing.clone() }));
        let attachments = self.target_policies.get(&target).into_iter().flatten().map(|policy| {
            RecordKey::PolicyAttachment(PolicyAttachment { policy: policy.clone(), target: target.clone() })
        });
        let keys = memberships.chain(attachments).chain([RecordKey::ThingGroup(name.clone())]);
        let mut changes: Vec<Change> = keys.map(|key| self.delete_change(key)).collect();
        changes.extend(self.forget_tags(self.group_arn(name)));
        Ok(((), changes))
    }

    /// Puts a thing into a group. A thing that is there already stays.
    pub fn add_thing_to_group(&self, thing: &ThingName, group: &GroupName) -> Decision<()> {
        self.update_groups_of_thing(thing, std::slice::from_ref(group), &[])
    }

    /// Takes a thing out of a group. A thing that is not in it is no error.
    pub fn remove_thing_from_group(&self, thing: &ThingName, group: &GroupName) -> Decision<()> {
        self.update_groups_of_thing(thing, &[], std::slice::from_ref(group))
    }

    /// Takes a thing out of some groups, then puts it into others; all or nothing.
    pub fn update_groups_of_thing(&self, thing: &ThingName, add: &[GroupName], remove: &[GroupName]) -> Decision<()> {
        self.thing(thing)?;
        let mut groups = self.thing_groups.get(thing).cloned().unwrap_or_default();
        let mut changes = Vec::new();
        for group in remove {
            self.group(group)?;
            if groups.remove(group) {
                let membership = GroupMembership { group: group.clone(), thing: thing.clone() };
                changes.push(self.delete_change(RecordKey::GroupMembership(membership)));
            }
        }
        for group in add {
            self.group(group)?;
            if groups.contains(group) {
                continue;
            }
            self.check_can_join(thing, group, &groups)?;
            groups.insert(group.clone());
            let membership = GroupMembership { group: group.clone(), thing: thing.clone() };
            changes.push(self.put_change(Record::GroupMembership(membership)));
        }
        Ok(((), changes))
    }

    /// Checks that a thing in `groups` may be in `group`, too. Two groups of one hierarchy are not allowed (AWS IoT
    /// developer guide, "Static thing groups").
    fn check_can_join(
        &self,
        thing: &ThingName,
        group: &GroupName,
        groups: &BTreeSet<GroupName>,
    ) -> Result<(), RegistryError> {
        if groups.len() >= GROUPS_OF_THING_MAX {
            let reason = format!("thing `{thing}` is in {GROUPS_OF_THING_MAX} groups, more are not allowed");
            return Err(RegistryError::invalid("thingGroupName", reason));
        }
        let root = self.lineage(group).last();
        match groups.iter().find(|other| self.lineage(other).last() == root) {
            Some(other) => {
                let reason = format!("thing `{thing}` is in group `{other}`, which is in the same hierarchy");
                Err(RegistryError::invalid("thingGroupName", reason))
            }
            None => Ok(()),
        }
    }

    /// The group and the groups above it, from the lowest to the root.
    pub fn lineage<'a>(&'a self, group: &GroupName) -> impl Iterator<Item = &'a GroupName> + use<'a> {
        let parent = |group: &GroupName| self.groups.get(group).and_then(|group| group.parent.as_ref());
        let lowest = self.groups.get_key_value(group).map(|(name, _)| name);
        // Parents are given at creation and must exist, so there is no ring; the bound holds for damaged records, too.
        std::iter::successors(lowest, move |group| parent(group)).take(DEPTH_MAX)
    }

    /// The groups of a thing and the groups above them, in the order of their names.
    pub fn groups_over_thing(&self, thing: &ThingName) -> BTreeSet<&GroupName> {
        self.thing_groups.get(thing).into_iter().flatten().flat_map(|group| self.lineage(group)).collect()
    }

    /// The groups that a thing is in directly, in the order of their names.
    pub fn list_groups_of_thing(
        &self,
        thing: &ThingName,
        start: Option<&GroupName>,
        limit: usize,
    ) -> Result<Listed<&GroupName>, RegistryError> {
        self.thing(thing)?;
        let groups =
            self.thing_groups.get(thing).into_iter().flat_map(|groups| groups.range::<GroupName, _>(after(start)));
        Ok(Listed::first(groups, limit))
    }

    /// The things that are in a group directly, in the order of their names.
    pub fn list_things_in_group(
        &self,
        group: &GroupName,
        start: Option<&ThingName>,
        limit: usize,
    ) -> Result<Listed<&ThingName>, RegistryError> {
        self.group(group)?;
        let things =
            self.group_things.get(group).into_iter().flat_map(|things| things.range::<ThingName, _>(after(start)));
        Ok(Listed::first(things, limit))
    }

    /// The things that are in a group or in one under it, in the order of their names, each once.
    pub fn list_things_under_group(
        &self,
        group: &GroupName,
        start: Option<&ThingName>,
        limit: usize,
    ) -> Result<Listed<&ThingName>, RegistryError> {
        self.group(group)?;
        let groups = self.groups_under(group);
        let things: BTreeSet<&ThingName> = groups
            .iter()
            .filter_map(|group| self.group_things.get(*group))
            .flat_map(|things| things.range::<ThingName, _>(after(start)).take(limit + 1))
            .collect();
        Ok(Listed::first(things.into_iter(), limit))
    }

    /// The group and all groups under it, in the order of their names.
    pub fn groups_under<'a>(&'a self, group: &'a GroupName) -> BTreeSet<&'a GroupName> {
        let mut found = BTreeSet::from([group]);
        let mut to_visit = vec![group];
        while let Some(group) = to_visit.pop() {
            for child in self.group_children.get(group).into_iter().flatten() {
                if found.insert(child) {
                    to_visit.push(child);
                }
            }
        }
        found
    }

    /// All groups as the lines of a tree: each is followed by those under it, and brothers stand in the order of their names.
    pub fn group_tree(&self) -> Vec<&GroupName> {
        let mut lines = Vec::with_capacity(self.groups.len());
        // The last one is the next line.
        let mut to_come: Vec<&GroupName> =
            self.groups.values().rev().filter(|group| group.parent.is_none()).map(|group| &group.name).collect();
        while let Some(group) = to_come.pop() {
            lines.push(group);
            to_come.extend(self.children_of(group).rev());
        }
        lines
    }

    /// The groups directly under a group, in the order of their names.
    pub fn children_of(&self, group: &GroupName) -> impl DoubleEndedIterator<Item = &GroupName> {
        self.group_children.get(group).into_iter().flat_map(BTreeSet::iter)
    }

    /// How many things are in a group directly.
    pub fn things_in_group(&self, group: &GroupName) -> usize {
        self.group_things.get(group).map_or(0, BTreeSet::len)
    }

    /// How many things are in a group and in those under it. A thing is in one group of a hierarchy, so each counts once.
    pub fn things_under_group(&self, group: &GroupName) -> usize {
        self.groups_under(group).into_iter().map(|group| self.things_in_group(group)).sum()
    }

    /// Groups in the order of their names. A parent that is not there is an error.
    pub fn list_groups(
        &self,
        filter: &GroupFilter,
        after: Option<&GroupName>,
        limit: usize,
    ) -> Result<Listed<&ThingGroup>, RegistryError> {
        if let Some(parent) = &filter.parent {
            self.group(parent)?;
        }
        let under = filter.parent.as_ref().map(|parent| self.groups_under(parent));
        let takes = |group: &&ThingGroup| {
            let prefix_fits =
                filter.name_prefix.as_ref().is_none_or(|prefix| group.name.as_str().starts_with(prefix.as_str()));
            let place_fits = match (&filter.parent, &under) {
                (Some(parent), _) if filter.direct_only => group.parent.as_ref() == Some(parent),
                (Some(parent), Some(under)) => group.name != *parent && under.contains(&group.name),
                _ => !filter.direct_only || group.parent.is_none(),
            };
            prefix_fits && place_fits
        };
        Ok(Listed::first(entries_after(&self.groups, after).map(|(_, group)| group).filter(takes), limit))
    }
}
