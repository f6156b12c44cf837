//! Policies, their versions, and whom they count for.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use komainu_model::{
    CertificateId, Policy, PolicyAttachment, PolicyName, PolicyTarget, PolicyVersion, PolicyVersionId, Record,
    RecordKey, Timestamp,
};

use crate::listing::{Listed, after};
use crate::policy::PolicyDocument;
use crate::{Decision, Registry, RegistryError, ResourceKind};

/// So many versions a policy may have (AWS IoT quotas, as the next one).
const VERSIONS_MAX: usize = 5;
/// So many policies may be attached to one target.
const POLICIES_OF_TARGET_MAX: usize = 10;

/// A policy that is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CreatePolicy {
    /// Its name.
    pub name: PolicyName,
    /// The document of its first version.
    pub document: Arc<str>,
    /// Its tags.
    pub tags: BTreeMap<String, String>,
}

/// A version of a policy that is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CreatePolicyVersion {
    /// The policy.
    pub name: PolicyName,
    /// The document.
    pub document: Arc<str>,
    /// It counts from now on.
    pub set_as_default: bool,
}

/// A place in the list of policies, which is in the order of their age.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct PolicyMarker {
    /// When the policy was created.
    pub created_at: Timestamp,
    /// The policy.
    pub name: PolicyName,
}

impl PolicyMarker {
    /// The place of a policy.
    pub fn of(policy: &Policy) -> Self {
        Self { created_at: policy.created_at, name: policy.name.clone() }
    }
}

impl Registry {
    /// Creates a policy; its first version is number 1.
    pub fn create_policy(&self, wanted: &CreatePolicy, now: Timestamp) -> Decision<Policy> {
        PolicyDocument::parse(&wanted.document)?;
        if self.policies.contains_key(&wanted.name) {
            return Err(RegistryError::AlreadyExists {
                kind: ResourceKind::Policy,
                name: wanted.name.to_string(),
                id: wanted.name.to_string(),
                arn: self.policy_arn(&wanted.name),
                differs: false,
            });
        }
        let first = PolicyVersionId(1);
        let policy = Policy {
            name: wanted.name.clone(),
            versions: vec![PolicyVersion { id: first, document: wanted.document.clone(), created_at: now }],
            default_version: first,
            next_version: PolicyVersionId(2),
            created_at: now,
            modified_at: now,
            generation: 1,
        };
        let mut changes = vec![self.put_change(Record::Policy(policy.clone()))];
        changes.extend(self.new_tags(self.policy_arn(&wanted.name), &wanted.tags)?);
        Ok((policy, changes))
    }

    /// Adds a version to a policy.
    pub fn create_policy_version(&self, wanted: &CreatePolicyVersion, now: Timestamp) -> Decision<PolicyVersion> {
        let mut policy = self.policy(&wanted.name)?.clone();
        PolicyDocument::parse(&wanted.document)?;
        if policy.versions.len() >= VERSIONS_MAX {
            return Err(RegistryError::VersionsLimitExceeded { policy: policy.name.to_string(), max: VERSIONS_MAX });
        }
        let version = PolicyVersion { id: policy.next_version, document: wanted.document.clone(), created_at: now };
        policy.versions.push(version.clone());
        policy.next_version = PolicyVersionId(policy.next_version.0.saturating_add(1));
        if wanted.set_as_default {
            policy.default_version = version.id;
        }
        Ok((version, vec![self.put_changed_policy(policy, now)]))
    }

    /// Lets another version of a policy count.
    pub fn set_default_policy_version(&self, name: &PolicyName, id: PolicyVersionId, now: Timestamp) -> Decision<()> {
        let mut policy = self.policy(name)?.clone();
        self.policy_version(name, id)?;
        if policy.default_version == id {
            return Ok(((), Vec::new()));
        }
        policy.default_version = id;
        Ok(((), vec![self.put_changed_policy(policy, now)]))
    }

    /// Deletes a version of a policy that does not count.
    pub fn delete_policy_version(&self, name: &PolicyName, id: PolicyVersionId, now: Timestamp) -> Decision<()> {
        let mut policy = self.policy(name)?.clone();
        self.policy_version(name, id)?;
        if policy.default_version == id {
            return Err(RegistryError::DeleteConflict {
                kind: ResourceKind::PolicyVersion,
                name: format!("{name} {}", id.0),
                reason: "it is the default version".to_owned(),
            });
        }
        policy.versions.retain(|version| version.id != id);
        Ok(((), vec![self.put_changed_policy(policy, now)]))
    }

    /// Deletes a policy that has one version and that nothing is attached to.
    pub fn delete_policy(&self, name: &PolicyName) -> Decision<()> {
        let policy = self.policy(name)?;
        let conflict =
            |reason| RegistryError::DeleteConflict { kind: ResourceKind::Policy, name: name.to_string(), reason };
        if let Some(targets) = self.policy_targets.get(name) {
            return Err(conflict(format!("it is attached to {} targets; detach it first", targets.len())));
        }
        let others = policy.versions.len().saturating_sub(1);
        if others > 0 {
            return Err(conflict(format!("it has {others} versions besides the default one; delete them first")));
        }
        let mut changes = vec![self.delete_change(RecordKey::Policy(name.clone()))];
        changes.extend(self.forget_tags(self.policy_arn(name)));
        Ok(((), changes))
    }

    fn put_changed_policy(&self, mut policy: Policy, now: Timestamp) -> komainu_model::Change {
        policy.modified_at = now;
        policy.generation += 1;
        self.put_change(Record::Policy(policy))
    }

    /// One version of a policy.
    pub fn policy_version(&self, name: &PolicyName, id: PolicyVersionId) -> Result<&PolicyVersion, RegistryError> {
        let version = self.policy(name)?.versions.iter().find(|version| version.id == id);
        version.ok_or_else(|| RegistryError::not_found(ResourceKind::PolicyVersion, format_args!("{name} {}", id.0)))
    }

    /// Lets a policy count for a target. The same again changes nothing.
    pub fn attach_policy(&self, name: &PolicyName, target: &PolicyTarget) -> Decision<()> {
        self.policy(name)?;
        self.check_target(target)?;
        let attached = self.target_policies.get(target);
        if attached.is_some_and(|policies| policies.contains(name)) {
            return Ok(((), Vec::new()));
        }
        if attached.is_some_and(|policies| policies.len() >= POLICIES_OF_TARGET_MAX) {
            return Err(RegistryError::LimitExceeded { what: "policies on one target", max: POLICIES_OF_TARGET_MAX });
        }
        let attachment = PolicyAttachment { policy: name.clone(), target: target.clone() };
        Ok(((), vec![self.put_change(Record::PolicyAttachment(attachment))]))
    }

    /// Ends that a policy counts for a target. Where it does not, that is no error.
    pub fn detach_policy(&self, name: &PolicyName, target: &PolicyTarget) -> Decision<()> {
        self.policy(name)?;
        let attached = self.target_policies.get(target).is_some_and(|policies| policies.contains(name));
        let key = RecordKey::PolicyAttachment(PolicyAttachment { policy: name.clone(), target: target.clone() });
        Ok(((), if attached { vec![self.delete_change(key)] } else { Vec::new() }))
    }

    fn check_target(&self, target: &PolicyTarget) -> Result<(), RegistryError> {
        match target {
            PolicyTarget::Certificate(id) => self.certificate(id).map(drop),
            PolicyTarget::Group(name) => self.group(name).map(drop),
        }
    }

    /// Policies, the latest first.
    pub fn list_policies_latest_first(&self, after: Option<&PolicyMarker>, limit: usize) -> Listed<&Policy> {
        let mut policies: Vec<_> = self.policies.values().map(|policy| (PolicyMarker::of(policy), policy)).collect();
        policies.sort_by(|(a, _), (b, _)| Reverse(a).cmp(&Reverse(b)));
        let follows = |(marker, _): &(PolicyMarker, _)| after.is_none_or(|after| marker < after);
        Listed::first(policies.into_iter().filter(follows).map(|(_, policy)| policy), limit)
    }

    /// Policies, the oldest first.
    pub fn list_policies_oldest_first(&self, after: Option<&PolicyMarker>, limit: usize) -> Listed<&Policy> {
        let mut policies: Vec<_> = self.policies.values().map(|policy| (PolicyMarker::of(policy), policy)).collect();
        policies.sort_by(|(a, _), (b, _)| a.cmp(b));
        let follows = |(marker, _): &(PolicyMarker, _)| after.is_none_or(|after| marker > after);
        Listed::first(policies.into_iter().filter(follows).map(|(_, policy)| policy), limit)
    }

    /// The targets of a policy, certificates first, in the order of their identities.
    pub fn list_targets_of_policy(
        &self,
        name: &PolicyName,
        start: Option<&PolicyTarget>,
        limit: usize,
    ) -> Result<Listed<&PolicyTarget>, RegistryError> {
        self.policy(name)?;
        let targets = self
            .policy_targets
            .get(name)
            .into_iter()
            .flat_map(|targets| targets.range::<PolicyTarget, _>(after(start)));
        Ok(Listed::first(targets, limit))
    }

    /// The policies that are attached to a target itself, in the order of their names.
    pub fn list_policies_of_target(
        &self,
        target: &PolicyTarget,
        start: Option<&PolicyName>,
        limit: usize,
    ) -> Result<Listed<&PolicyName>, RegistryError> {
        self.check_target(target)?;
        let policies = self
            .target_policies
            .get(target)
            .into_iter()
            .flat_map(|policies| policies.range::<PolicyName, _>(after(start)));
        Ok(Listed::first(policies, limit))
    }

    /// The policies that are attached to a target or to a group above it, in the order of their names, each once.
    pub fn list_policies_over_target(
        &self,
        target: &PolicyTarget,
        start: Option<&PolicyName>,
        limit: usize,
    ) -> Result<Listed<&PolicyName>, RegistryError> {
        self.check_target(target)?;
        let policies = match target {
            PolicyTarget::Certificate(id) => self.policies_over_principal(id),
            PolicyTarget::Group(name) => self.lineage(name).flat_map(|group| self.policies_of_group(group)).collect(),
        };
        let follows = |name: &&PolicyName| start.is_none_or(|start| *name > start);
        Ok(Listed::first(policies.into_iter().filter(follows), limit))
    }

    fn policies_of_group(&self, group: &komainu_model::GroupName) -> impl Iterator<Item = &PolicyName> {
        self.target_policies.get(&PolicyTarget::Group(group.clone())).into_iter().flatten()
    }

    /// Every policy that counts for a certificate: its own, and those of the groups over its things.
    pub fn policies_over_principal(&self, certificate: &CertificateId) -> BTreeSet<&PolicyName> {
        let own = self.target_policies.get(&PolicyTarget::Certificate(*certificate)).into_iter().flatten();
        let groups: BTreeSet<_> =
            self.things_of_principal(certificate).flat_map(|(thing, _)| self.groups_over_thing(&thing.name)).collect();
        own.chain(groups.into_iter().flat_map(|group| self.policies_of_group(group))).collect()
    }

    /// The document of a policy that counts now.
    pub fn default_document(&self, name: &PolicyName) -> Option<&Arc<str>> {
        let policy = self.policies.get(name)?;
        policy.versions.iter().find(|version| version.id == policy.default_version).map(|version| &version.document)
    }
}
