//! The security profiles of one scope: what may be done with them, and what then has to be written down.
//!
//! A method decides and changes nothing: it returns the changes. Once they are durable they come back through
//! [`Profiles::apply`].

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use komainu_model::{
    AlertTarget, Arn, Behavior, Change, DetectTarget, GroupName, MetricToRetain, ProfileName, ProfilePart,
    ProfileProblem, Record, RecordKey, Scope, SecurityProfile, Timestamp,
};

use crate::behavior::{ValidationRules, validate};

/// So many profiles may be attached to one target (AWS IoT developer guide, AttachSecurityProfile).
pub const PROFILES_PER_TARGET_MAX: usize = 5;
/// So many behaviors may stand in one profile (AWS IoT API reference, CreateSecurityProfile).
pub const BEHAVIORS_MAX: usize = 100;
/// So many profiles may be in one scope; it bounds what is asked for each device.
pub const PROFILES_MAX: usize = 1000;
/// So many metrics may be kept without being judged.
pub const METRICS_TO_RETAIN_MAX: usize = 100;
/// The longest description, in characters (AWS IoT API reference, `securityProfileDescription`).
pub const DESCRIPTION_CHARS_MAX: usize = 1000;
/// AWS's alert targets are a map by kind, and there is one kind.
pub const ALERT_TARGETS_MAX: usize = 1;
/// The longest topic for exported metrics, in bytes (AWS IoT API reference, `mqttTopic`).
pub const EXPORT_TOPIC_BYTES_MAX: usize = 512;

/// The security profiles of one scope.
#[derive(Debug)]
pub struct Profiles {
    scope: Scope,
    rules: ValidationRules,
    by_name: BTreeMap<ProfileName, Arc<SecurityProfile>>,
    /// The names of the profiles of each target. Follows from `by_name`.
    by_target: BTreeMap<DetectTarget, BTreeSet<ProfileName>>,
}

/// A profile that is to be.
#[derive(Debug, Clone, PartialEq)]
pub struct NewProfile {
    /// Its name.
    pub name: ProfileName,
    /// What people wrote about it.
    pub description: Option<String>,
    /// Its behaviors.
    pub behaviors: Vec<Behavior>,
    /// Where alerts go.
    pub alert_targets: Vec<AlertTarget>,
    /// Metrics whose values are kept although no behavior judges them.
    pub metrics_to_retain: Vec<MetricToRetain>,
    /// Where metrics are exported to: `(MQTT topic, role)`.
    pub metrics_export: Option<(String, Arn)>,
}

/// What is to change in a profile.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ProfileUpdate {
    /// The version that the writer of the update has seen.
    pub expected_version: Option<u64>,
    /// What people wrote about it; `None` leaves it.
    pub description: Option<String>,
    /// Its behaviors.
    pub behaviors: Part<Vec<Behavior>>,
    /// Where alerts go.
    pub alert_targets: Part<Vec<AlertTarget>>,
    /// Metrics whose values are kept although no behavior judges them.
    pub metrics_to_retain: Part<Vec<MetricToRetain>>,
    /// Where metrics are exported to.
    pub metrics_export: Part<(String, Arn)>,
}

/// What is to become of one part of a profile.
#[derive(Debug, Clone, PartialEq, Default)]
pub enum Part<T> {
    /// It stays.
    #[default]
    Keep,
    /// It is replaced.
    Replace(T),
    /// It is removed.
    Delete,
}

/// Why it may not be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProfileError {
    /// The request does not make sense.
    #[error("{}", .problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Invalid {
        /// All that is wrong.
        problems: Vec<ProfileProblem>,
    },
    /// There is no such profile.
    #[error("security profile {name} does not exist")]
    NotFound {
        /// The name that was asked for.
        name: ProfileName,
    },
    /// There is such a profile already.
    #[error("security profile {name} already exists")]
    AlreadyExists {
        /// The name that was asked for.
        name: ProfileName,
    },
    /// The profile has changed since the writer saw it.
    #[error("security profile {name} has version {found}, not {expected}")]
    VersionConflict {
        /// The profile.
        name: ProfileName,
        /// The version the writer has seen.
        expected: u64,
        /// The version it has.
        found: u64,
    },
    /// There are as many as may be.
    #[error("at most {max} {what} are allowed")]
    LimitExceeded {
        /// Of what.
        what: ProfileLimit,
        /// How many.
        max: usize,
    },
}

/// What there may be only so many of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProfileLimit {
    /// Profiles.
    Profiles,
    /// Profiles of one target.
    OfTarget,
}

impl fmt::Display for ProfileLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Profiles => "security profiles",
            Self::OfTarget => "security profiles for one target",
        })
    }
}

impl Profiles {
    /// No profiles, in `scope`.
    pub fn new(scope: Scope, rules: ValidationRules) -> Self {
        Self { scope, rules, by_name: BTreeMap::new(), by_target: BTreeMap::new() }
    }

    /// Takes a change that is durable. Changes of other scopes and of other things are none of its business.
    pub fn apply(&mut self, change: &Change) {
        match change {
            Change::Put(scope, Record::SecurityProfile(profile)) if *scope == self.scope => {
                self.remove(&profile.name);
                for target in &profile.targets {
                    self.by_target.entry(target.clone()).or_default().insert(profile.name.clone());
                }
                self.by_name.insert(profile.name.clone(), Arc::new(profile.clone()));
            }
            Change::Delete(scope, RecordKey::SecurityProfile(name)) if *scope == self.scope => self.remove(name),
            Change::Put(..)
            | Change::Delete(..)
            | Change::AppendViolationEvent(..)
            | Change::AppendDatapoint(..)
            | Change::PutDelivery(..)
            | Change::DeleteDelivery(..)
            | Change::Indicators(_) => {}
        }
    }

    fn remove(&mut self, name: &ProfileName) {
        let Some(profile) = self.by_name.remove(name) else { return };
        for target in &profile.targets {
            if let Some(names) = self.by_target.get_mut(target) {
                names.remove(name);
                if names.is_empty() {
                    self.by_target.remove(target);
                }
            }
        }
    }

    /// Every profile, in the order of their names.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<SecurityProfile>> {
        self.by_name.values()
    }

    /// The profile called `name`.
    pub fn describe(&self, name: &ProfileName) -> Result<&Arc<SecurityProfile>, ProfileError> {
        self.by_name.get(name).ok_or_else(|| ProfileError::NotFound { name: name.clone() })
    }

    /// The profiles attached to exactly this target, in the order of their names.
    pub fn of_target<'a>(&'a self, target: &DetectTarget) -> impl Iterator<Item = &'a Arc<SecurityProfile>> + use<'a> {
        self.by_target.get(target).into_iter().flatten().filter_map(|name| self.by_name.get(name))
    }

    /// The profiles that a device is judged by, in the order of their names, each once. `groups` are its groups and
    /// those above them.
    pub fn of_device(&self, registered: bool, groups: &[GroupName]) -> Vec<Arc<SecurityProfile>> {
        let by_registration =
            if registered { DetectTarget::RegisteredThings } else { DetectTarget::UnregisteredThings };
        let mut names = BTreeSet::new();
        for target in [DetectTarget::AllThings, by_registration]
            .into_iter()
            .chain(groups.iter().map(|group| DetectTarget::Group(group.clone())))
        {
            names.extend(self.by_target.get(&target).into_iter().flatten());
        }
        names.into_iter().filter_map(|name| self.by_name.get(name)).cloned().collect()
    }

    /// Makes a profile.
    pub fn create(&self, new: NewProfile, now: Timestamp) -> Result<(Arc<SecurityProfile>, Vec<Change>), ProfileError> {
        if self.by_name.contains_key(&new.name) {
            return Err(ProfileError::AlreadyExists { name: new.name });
        }
        if self.by_name.len() >= PROFILES_MAX {
            return Err(ProfileError::LimitExceeded { what: ProfileLimit::Profiles, max: PROFILES_MAX });
        }
        let profile = SecurityProfile {
            name: new.name,
            description: new.description,
            behaviors: new.behaviors,
            alert_targets: new.alert_targets,
            metrics_to_retain: new.metrics_to_retain,
            metrics_export: new.metrics_export,
            targets: BTreeSet::new(),
            version: 1,
            created_at: now,
            modified_at: now,
        };
        self.check(&profile)?;
        Ok(self.put(profile))
    }

    /// Changes a profile.
    pub fn update(
        &self,
        name: &ProfileName,
        update: ProfileUpdate,
        now: Timestamp,
    ) -> Result<(Arc<SecurityProfile>, Vec<Change>), ProfileError> {
        let mut profile = SecurityProfile::clone(self.describe(name)?);
        check_version(&profile, update.expected_version)?;
        if let Some(description) = update.description {
            profile.description = Some(description);
        }
        update.behaviors.carry_out(&mut profile.behaviors);
        update.alert_targets.carry_out(&mut profile.alert_targets);
        update.metrics_to_retain.carry_out(&mut profile.metrics_to_retain);
        match update.metrics_export {
            Part::Keep => {}
            Part::Replace(export) => profile.metrics_export = Some(export),
            Part::Delete => profile.metrics_export = None,
        }
        self.check(&profile)?;
        profile.version += 1;
        profile.modified_at = now;
        Ok(self.put(profile))
    }

    /// Lets a profile that was just made or changed be for these targets and no others. Whether their groups exist is for the
    /// caller to know. The profile's version stays.
    pub fn retarget(
        &self,
        profile: &SecurityProfile,
        targets: BTreeSet<DetectTarget>,
    ) -> Result<(Arc<SecurityProfile>, Vec<Change>), ProfileError> {
        for target in targets.iter() {
            let others = self.of_target(target).filter(|other| other.name != profile.name);
            if others.count() >= PROFILES_PER_TARGET_MAX {
                let what = ProfileLimit::OfTarget;
                return Err(ProfileError::LimitExceeded { what, max: PROFILES_PER_TARGET_MAX });
            }
        }
        Ok(self.put(SecurityProfile { targets, ..profile.clone() }))
    }

    /// Removes a profile and its attachments. Removing what is not there is no error (AWS IoT API reference,
    /// DeleteSecurityProfile, knows no ResourceNotFoundException).
    pub fn delete(&self, name: &ProfileName, expected_version: Option<u64>) -> Result<((), Vec<Change>), ProfileError> {
        let Some(profile) = self.by_name.get(name) else { return Ok(((), Vec::new())) };
        check_version(profile, expected_version)?;
        Ok(((), vec![Change::Delete(self.scope.clone(), RecordKey::SecurityProfile(name.clone()))]))
    }

    /// Lets the devices of `target` be judged by a profile. Whether the target's group exists is for the caller to
    /// know. Attaching twice is attaching once. The profile's version stays.
    pub fn attach(
        &self,
        name: &ProfileName,
        target: DetectTarget,
    ) -> Result<(Arc<SecurityProfile>, Vec<Change>), ProfileError> {
        let profile = self.describe(name)?;
        if profile.targets.contains(&target) {
            return Ok((profile.clone(), Vec::new()));
        }
        if self.of_target(&target).count() >= PROFILES_PER_TARGET_MAX {
            let what = ProfileLimit::OfTarget;
            return Err(ProfileError::LimitExceeded { what, max: PROFILES_PER_TARGET_MAX });
        }
        let mut profile = SecurityProfile::clone(profile);
        profile.targets.insert(target);
        Ok(self.put(profile))
    }

    /// Undoes [`Profiles::attach`]. Detaching what is not attached is no error.
    pub fn detach(
        &self,
        name: &ProfileName,
        target: &DetectTarget,
    ) -> Result<(Arc<SecurityProfile>, Vec<Change>), ProfileError> {
        let mut profile = SecurityProfile::clone(self.describe(name)?);
        if !profile.targets.remove(target) {
            return Ok((Arc::new(profile), Vec::new()));
        }
        Ok(self.put(profile))
    }

    /// What has to change when `target` is no more: a thing group that is deleted.
    pub fn detach_all(&self, target: &DetectTarget) -> Vec<Change> {
        self.of_target(target)
            .flat_map(|profile| {
                let mut profile = SecurityProfile::clone(profile);
                profile.targets.remove(target);
                self.put(profile).1
            })
            .collect()
    }

    fn put(&self, profile: SecurityProfile) -> (Arc<SecurityProfile>, Vec<Change>) {
        let change = Change::Put(self.scope.clone(), Record::SecurityProfile(profile.clone()));
        (Arc::new(profile), vec![change])
    }

    fn check(&self, profile: &SecurityProfile) -> Result<(), ProfileError> {
        let mut problems = Vec::new();
        if let Some(description) = &profile.description {
            let chars = description.chars().count();
            if chars > DESCRIPTION_CHARS_MAX {
                problems.push(ProfileProblem::DescriptionLong { chars, chars_max: DESCRIPTION_CHARS_MAX });
            }
            if description.chars().any(char::is_control) {
                problems.push(ProfileProblem::DescriptionControls);
            }
        }
        for (part, count, count_max) in [
            (ProfilePart::Behaviors, profile.behaviors.len(), BEHAVIORS_MAX),
            (ProfilePart::AlertTargets, profile.alert_targets.len(), ALERT_TARGETS_MAX),
            (ProfilePart::MetricsToRetain, profile.metrics_to_retain.len(), METRICS_TO_RETAIN_MAX),
        ] {
            if count > count_max {
                problems.push(ProfileProblem::TooMany { part, count, count_max });
            }
        }
        let is_topic =
            |topic: &str| (1..=EXPORT_TOPIC_BYTES_MAX).contains(&topic.len()) && !topic.contains(['+', '#', '\0']);
        if profile.metrics_export.as_ref().is_some_and(|(topic, _role)| !is_topic(topic)) {
            problems.push(ProfileProblem::ExportTopic { bytes_max: EXPORT_TOPIC_BYTES_MAX });
        }
        problems.extend(validate(&profile.behaviors, self.rules));
        if problems.is_empty() { Ok(()) } else { Err(ProfileError::Invalid { problems }) }
    }
}

/// Whether a device is one of those that a profile with these targets is for. `groups` are its groups and those above them.
pub fn is_for(targets: &BTreeSet<DetectTarget>, registered: bool, groups: &[GroupName]) -> bool {
    targets.iter().any(|target| match target {
        DetectTarget::AllThings => true,
        DetectTarget::RegisteredThings => registered,
        DetectTarget::UnregisteredThings => !registered,
        DetectTarget::Group(group) => groups.contains(group),
    })
}

fn check_version(profile: &SecurityProfile, expected: Option<u64>) -> Result<(), ProfileError> {
    match expected {
        Some(expected) if expected != profile.version => {
            Err(ProfileError::VersionConflict { name: profile.name.clone(), expected, found: profile.version })
        }
        Some(_) | None => Ok(()),
    }
}

impl<T> Part<Vec<T>> {
    fn carry_out(self, list: &mut Vec<T>) {
        match self {
            Self::Keep => {}
            Self::Replace(new) => *list = new,
            Self::Delete => list.clear(),
        }
    }
}

impl<T> Part<T> {
    /// What a request asks for that has a value and a flag for deleting, each perhaps not given. `None` when it asks
    /// for both, which AWS refuses.
    pub fn of_request(value: Option<T>, delete: bool) -> Option<Self> {
        match (value, delete) {
            (None, false) => Some(Self::Keep),
            (Some(value), false) => Some(Self::Replace(value)),
            (None, true) => Some(Self::Delete),
            (Some(_), true) => None,
        }
    }
}
