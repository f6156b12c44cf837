//! What the console asks about the fleet.

use std::sync::Arc;

use komainu_detect::{Part, ProfileError, ProfileUpdate};
use komainu_model::{
    DetectTarget, GroupName, ProfileName, ReporterName, Scope, SecurityProfile, Thing, ThingName, ThingTypeName,
};
use komainu_ports::{
    AttachedProfile, Fleet, FleetDevice, FleetError, FleetGroup, GroupList, GroupQuery, GroupSummary, JudgedBehavior,
    ThingList, ThingQuery, ThingSummary,
};
use komainu_registry::ThingSearch;

use super::{ControlPlane, View};

/// Certificates of one thing that are looked at; a device has one, or two while it changes them.
const CERTIFICATES_MAX: usize = 100;

impl Fleet for ControlPlane {
    fn things(&self, scope: &Scope, query: &ThingQuery) -> ThingList {
        let search = ThingSearch {
            name_part: query.name_part.clone(),
            group: query.group.clone(),
            type_name: query.type_name.clone(),
            among: query.among.clone(),
        };
        self.read(scope, |view| {
            let found = view.registry.find_things(&search, query.after.as_ref(), query.limit);
            let summary = |thing: &Thing| ThingSummary {
                name: thing.name.clone(),
                type_name: thing.type_name.clone(),
                groups: view.registry.groups_of_thing(&thing.name).cloned().collect(),
            };
            ThingList {
                things: found.items.into_iter().map(summary).collect(),
                more: found.more,
                registered: view.registry.things_count() as u64,
            }
        })
    }

    fn thing_types(&self, scope: &Scope, limit: usize) -> Vec<ThingTypeName> {
        self.read(scope, |view| {
            let types = view.registry.list_thing_types(None, limit);
            types.items.into_iter().map(|known| known.name.clone()).collect()
        })
    }

    fn device(&self, scope: &Scope, reporter: &ReporterName) -> FleetDevice {
        self.read(scope, |view| {
            let registry = view.registry;
            let thing = ThingName::parse(reporter.as_str()).ok().and_then(|name| registry.thing(&name).ok());
            let Some(thing) = thing else {
                return FleetDevice { profiles: view.profiles.of_device(false, &[]), ..FleetDevice::default() };
            };
            let over: Vec<GroupName> = registry.groups_over_thing(&thing.name).into_iter().cloned().collect();
            let principals = registry.list_principals_of_thing(&thing.name, None, None, CERTIFICATES_MAX);
            let principals = principals.map(|listed| listed.items).unwrap_or_default();
            FleetDevice {
                groups: registry.groups_of_thing(&thing.name).cloned().collect(),
                certificates: principals.iter().filter_map(|(id, _)| registry.certificate(id).ok().cloned()).collect(),
                profiles: view.profiles.of_device(true, &over),
                thing: Some(thing.clone()),
            }
        })
    }

    fn groups(&self, scope: &Scope, query: &GroupQuery) -> GroupList {
        let part = query.name_part.as_ref().map(|part| part.to_ascii_lowercase());
        self.read(scope, |view| {
            let mut lines = view.registry.group_tree();
            if let Some(part) = &part {
                lines.retain(|name| name.as_str().to_ascii_lowercase().contains(part.as_str()));
            }
            let groups = lines.iter().skip(query.skip).take(query.limit).map(|name| summary(view, name)).collect();
            GroupList { groups, found: lines.len() }
        })
    }

    fn group(&self, scope: &Scope, name: &GroupName) -> Option<FleetGroup> {
        self.read(scope, |view| {
            let group = view.registry.group(name).ok()?.clone();
            let lineage: Vec<GroupName> = view.registry.lineage(name).cloned().collect();
            let targets = lineage.iter().cloned().map(DetectTarget::Group);
            let targets = targets.chain([DetectTarget::RegisteredThings, DetectTarget::AllThings]);
            let attached = |target: DetectTarget| {
                let profiles: Vec<Arc<SecurityProfile>> = view.profiles.of_target(&target).cloned().collect();
                profiles.into_iter().map(move |profile| AttachedProfile { target: target.clone(), profile })
            };
            Some(FleetGroup {
                group,
                summary: summary(view, name),
                above: lineage.iter().skip(1).rev().cloned().collect(),
                below: view.registry.children_of(name).map(|name| summary(view, name)).collect(),
                profiles: targets.flat_map(attached).collect(),
            })
        })
    }

    fn security_profile(&self, scope: &Scope, name: &ProfileName) -> Option<Arc<SecurityProfile>> {
        self.read(scope, |view| view.profiles.describe(name).ok().cloned())
    }

    fn suppress_alerts(
        &self,
        scope: &Scope,
        behavior: &JudgedBehavior,
        expected_version: u64,
    ) -> Result<(), FleetError> {
        self.set_alerts(scope, behavior, expected_version, true)
    }

    fn resume_alerts(&self, scope: &Scope, behavior: &JudgedBehavior, expected_version: u64) -> Result<(), FleetError> {
        self.set_alerts(scope, behavior, expected_version, false)
    }
}

impl ControlPlane {
    fn set_alerts(
        &self,
        scope: &Scope,
        wanted: &JudgedBehavior,
        expected_version: u64,
        suppressed: bool,
    ) -> Result<(), FleetError> {
        self.decide(scope, |view| {
            let missing = || FleetError::Missing(wanted.clone());
            let profile = view.profiles.describe(&wanted.profile).map_err(|_| missing())?;
            let mut behaviors = profile.behaviors.clone();
            let behavior = behaviors.iter_mut().find(|behavior| behavior.name == wanted.behavior);
            let behavior = behavior.ok_or_else(missing)?;
            if behavior.suppress_alerts == suppressed {
                return Ok(((), Vec::new()));
            }
            behavior.suppress_alerts = suppressed;
            let update = ProfileUpdate {
                expected_version: Some(expected_version),
                behaviors: Part::Replace(behaviors),
                ..ProfileUpdate::default()
            };
            match view.profiles.update(&wanted.profile, update, view.now) {
                Ok((_, changes)) => Ok(((), changes)),
                Err(ProfileError::VersionConflict { name, .. }) => Err(FleetError::Changed { profile: name }),
                Err(ProfileError::NotFound { .. }) => Err(missing()),
                Err(error) => Err(FleetError::Refused(error.to_string())),
            }
        })
    }
}

/// A group that is there, as lists have it.
fn summary(view: &View<'_>, name: &GroupName) -> GroupSummary {
    let registry = view.registry;
    GroupSummary {
        name: name.clone(),
        depth: registry.lineage(name).count().saturating_sub(1),
        children: registry.children_of(name).count() as u64,
        things: registry.things_in_group(name) as u64,
        things_under: registry.things_under_group(name) as u64,
        profiles: view.profiles.of_target(&DetectTarget::Group(name.clone())).count() as u64,
    }
}

#[cfg(test)]
mod tests;
