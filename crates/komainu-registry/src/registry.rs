//! The state of one scope, and how changes come into it.

use std::collections::{BTreeMap, BTreeSet};

use komainu_model::{
    Arn, Certificate, CertificateId, Change, GroupMembership, GroupName, Policy, PolicyAttachment, PolicyName,
    PolicyTarget, Record, RecordKey, Scope, Thing, ThingGroup, ThingName, ThingPrincipal, ThingPrincipalType,
    ThingType, ThingTypeName, Timestamp,
};

use crate::{RegistryError, ResourceKind};

/// An answer, and the changes that make it true.
pub type Decision<T> = Result<(T, Vec<Change>), RegistryError>;

/// Things, types, groups, certificates and policies of one scope.
///
/// Both directions of every connection (thing and group, thing and certificate, policy and target, group and parent)
/// are kept, and always agree: [`Registry::apply`] is the only way in.
#[derive(Debug, Clone, PartialEq)]
pub struct Registry {
    pub(crate) scope: Scope,
    pub(crate) things: BTreeMap<ThingName, Thing>,
    pub(crate) thing_types: BTreeMap<ThingTypeName, ThingType>,
    pub(crate) groups: BTreeMap<GroupName, ThingGroup>,
    pub(crate) group_children: BTreeMap<GroupName, BTreeSet<GroupName>>,
    pub(crate) group_things: BTreeMap<GroupName, BTreeSet<ThingName>>,
    pub(crate) thing_groups: BTreeMap<ThingName, BTreeSet<GroupName>>,
    pub(crate) certificates: BTreeMap<CertificateId, Certificate>,
    pub(crate) certificates_by_age: BTreeSet<(Timestamp, CertificateId)>,
    pub(crate) thing_principals: BTreeMap<ThingName, BTreeMap<CertificateId, ThingPrincipalType>>,
    pub(crate) principal_things: BTreeMap<CertificateId, BTreeMap<ThingName, ThingPrincipalType>>,
    pub(crate) policies: BTreeMap<PolicyName, Policy>,
    pub(crate) policy_targets: BTreeMap<PolicyName, BTreeSet<PolicyTarget>>,
    pub(crate) target_policies: BTreeMap<PolicyTarget, BTreeSet<PolicyName>>,
    pub(crate) tags: BTreeMap<Arn, BTreeMap<String, String>>,
}

impl Registry {
    /// The empty registry of a scope.
    pub fn new(scope: Scope) -> Self {
        Self {
            scope,
            things: BTreeMap::new(),
            thing_types: BTreeMap::new(),
            groups: BTreeMap::new(),
            group_children: BTreeMap::new(),
            group_things: BTreeMap::new(),
            thing_groups: BTreeMap::new(),
            certificates: BTreeMap::new(),
            certificates_by_age: BTreeSet::new(),
            thing_principals: BTreeMap::new(),
            principal_things: BTreeMap::new(),
            policies: BTreeMap::new(),
            policy_targets: BTreeMap::new(),
            target_policies: BTreeMap::new(),
            tags: BTreeMap::new(),
        }
    }

    /// Whose state it is.
    pub fn scope(&self) -> &Scope {
        &self.scope
    }

    /// Carries a change into memory. The same change twice is the same as once; changes of other scopes and of records
    /// that are not the registry's are passed over.
    pub fn apply(&mut self, change: &Change) {
        match change {
            Change::Put(scope, record) if *scope == self.scope => self.put(record),
            Change::Delete(scope, key) if *scope == self.scope => self.delete(key),
            Change::Put(..)
            | Change::Delete(..)
            | Change::AppendViolationEvent(..)
            | Change::AppendDatapoint(..)
            | Change::PutDelivery(..)
            | Change::DeleteDelivery(..)
            | Change::Indicators(_) => {}
        }
    }

    fn put(&mut self, record: &Record) {
        match record {
            Record::Thing(thing) => {
                self.things.insert(thing.name.clone(), thing.clone());
            }
            Record::ThingType(thing_type) => {
                self.thing_types.insert(thing_type.name.clone(), thing_type.clone());
            }
            Record::ThingGroup(group) => {
                self.forget_parent(&group.name);
                if let Some(parent) = &group.parent {
                    self.group_children.entry(parent.clone()).or_default().insert(group.name.clone());
                }
                self.groups.insert(group.name.clone(), group.clone());
            }
            Record::GroupMembership(GroupMembership { group, thing }) => {
                insert_both(&mut self.group_things, &mut self.thing_groups, group, thing);
            }
            Record::Certificate(certificate) => {
                if let Some(former) = self.certificates.insert(certificate.id, certificate.clone()) {
                    self.certificates_by_age.remove(&(former.created_at, former.id));
                }
                self.certificates_by_age.insert((certificate.created_at, certificate.id));
            }
            Record::ThingPrincipal(ThingPrincipal { thing, certificate, kind }) => {
                self.thing_principals.entry(thing.clone()).or_default().insert(*certificate, *kind);
                self.principal_things.entry(*certificate).or_default().insert(thing.clone(), *kind);
            }
            Record::Policy(policy) => {
                self.policies.insert(policy.name.clone(), policy.clone());
            }
            Record::PolicyAttachment(PolicyAttachment { policy, target }) => {
                insert_both(&mut self.policy_targets, &mut self.target_policies, policy, target);
            }
            Record::ResourceTags(tags) => {
                self.tags.insert(tags.resource.clone(), tags.tags.clone());
            }
            Record::SecurityProfile(_)
            | Record::Topic(_)
            | Record::Subscription(_)
            | Record::AccessKey(_)
            | Record::ActiveViolation(_) => {}
        }
    }

    fn delete(&mut self, key: &RecordKey) {
        match key {
            RecordKey::Thing(name) => {
                self.things.remove(name);
            }
            RecordKey::ThingType(name) => {
                self.thing_types.remove(name);
            }
            RecordKey::ThingGroup(name) => {
                self.forget_parent(name);
                self.groups.remove(name);
            }
            RecordKey::GroupMembership(GroupMembership { group, thing }) => {
                remove_both(&mut self.group_things, &mut self.thing_groups, group, thing);
            }
            RecordKey::Certificate(id) => {
                if let Some(former) = self.certificates.remove(id) {
                    self.certificates_by_age.remove(&(former.created_at, former.id));
                }
            }
            RecordKey::ThingPrincipal(thing, certificate) => {
                if let Some(certificates) = self.thing_principals.get_mut(thing) {
                    certificates.remove(certificate);
                    if certificates.is_empty() {
                        self.thing_principals.remove(thing);
                    }
                }
                if let Some(things) = self.principal_things.get_mut(certificate) {
                    things.remove(thing);
                    if things.is_empty() {
                        self.principal_things.remove(certificate);
                    }
                }
            }
            RecordKey::Policy(name) => {
                self.policies.remove(name);
            }
            RecordKey::PolicyAttachment(PolicyAttachment { policy, target }) => {
                remove_both(&mut self.policy_targets, &mut self.target_policies, policy, target);
            }
            RecordKey::ResourceTags(resource) => {
                self.tags.remove(resource);
            }
            RecordKey::SecurityProfile(_)
            | RecordKey::Topic(_)
            | RecordKey::Subscription(_)
            | RecordKey::AccessKey(_)
            | RecordKey::ActiveViolation(_) => {}
        }
    }

    fn forget_parent(&mut self, group: &GroupName) {
        let Some(parent) = self.groups.get(group).and_then(|former| former.parent.clone()) else { return };
        if let Some(children) = self.group_children.get_mut(&parent) {
            children.remove(group);
            if children.is_empty() {
                self.group_children.remove(&parent);
            }
        }
    }

    /// A thing.
    pub fn thing(&self, name: &ThingName) -> Result<&Thing, RegistryError> {
        self.things.get(name).ok_or_else(|| RegistryError::not_found(ResourceKind::Thing, name))
    }

    /// A thing type.
    pub fn thing_type(&self, name: &ThingTypeName) -> Result<&ThingType, RegistryError> {
        self.thing_types.get(name).ok_or_else(|| RegistryError::not_found(ResourceKind::ThingType, name))
    }

    /// A thing group.
    pub fn group(&self, name: &GroupName) -> Result<&ThingGroup, RegistryError> {
        self.groups.get(name).ok_or_else(|| RegistryError::not_found(ResourceKind::ThingGroup, name))
    }

    /// A certificate.
    pub fn certificate(&self, id: &CertificateId) -> Result<&Certificate, RegistryError> {
        self.certificates.get(id).ok_or_else(|| RegistryError::not_found(ResourceKind::Certificate, id))
    }

    /// A policy.
    pub fn policy(&self, name: &PolicyName) -> Result<&Policy, RegistryError> {
        self.policies.get(name).ok_or_else(|| RegistryError::not_found(ResourceKind::Policy, name))
    }

    /// The identities of all certificates, in their order.
    pub fn certificate_ids(&self) -> impl Iterator<Item = &CertificateId> {
        self.certificates.keys()
    }

    pub(crate) fn put_change(&self, record: Record) -> Change {
        Change::Put(self.scope.clone(), record)
    }

    pub(crate) fn delete_change(&self, key: RecordKey) -> Change {
        Change::Delete(self.scope.clone(), key)
    }

    /// The ARN of a thing.
    pub fn thing_arn(&self, name: &ThingName) -> Arn {
        self.scope.arn("iot", format_args!("thing/{name}"))
    }

    /// The ARN of a thing type.
    pub fn thing_type_arn(&self, name: &ThingTypeName) -> Arn {
        self.scope.arn("iot", format_args!("thingtype/{name}"))
    }

    /// The ARN of a thing group.
    pub fn group_arn(&self, name: &GroupName) -> Arn {
        self.scope.arn("iot", format_args!("thinggroup/{name}"))
    }

    /// The ARN of a certificate.
    pub fn certificate_arn(&self, id: &CertificateId) -> Arn {
        self.scope.arn("iot", format_args!("cert/{id}"))
    }

    /// The ARN of a policy.
    pub fn policy_arn(&self, name: &PolicyName) -> Arn {
        self.scope.arn("iot", format_args!("policy/{name}"))
    }
}

/// Connects `a` and `b` in both directions.
fn insert_both<A: Ord + Clone, B: Ord + Clone>(
    forward: &mut BTreeMap<A, BTreeSet<B>>,
    backward: &mut BTreeMap<B, BTreeSet<A>>,
    a: &A,
    b: &B,
) {
    forward.entry(a.clone()).or_default().insert(b.clone());
    backward.entry(b.clone()).or_default().insert(a.clone());
}

/// Parts `a` and `b` in both directions.
fn remove_both<A: Ord, B: Ord>(
    forward: &mut BTreeMap<A, BTreeSet<B>>,
    backward: &mut BTreeMap<B, BTreeSet<A>>,
    a: &A,
    b: &B,
) {
    remove_one(forward, a, b);
    remove_one(backward, b, a);
}

fn remove_one<A: Ord, B: Ord>(map: &mut BTreeMap<A, BTreeSet<B>>, key: &A, member: &B) {
    if let Some(members) = map.get_mut(key) {
        members.remove(member);
        if members.is_empty() {
            map.remove(key);
        }
    }
}
