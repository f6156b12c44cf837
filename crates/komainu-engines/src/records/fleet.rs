//! Things, groups, certificates and policies, as they are stored.

use std::collections::BTreeMap;

use komainu_model::{
    Arn, Certificate, CertificateId, CertificateMode, CertificateStatus, GroupMembership, GroupName, Policy,
    PolicyAttachment, PolicyName, PolicyTarget, PolicyVersion, PolicyVersionId, ResourceTags, Thing, ThingGroup,
    ThingName, ThingPrincipal, ThingPrincipalType, ThingType, ThingTypeName, Timestamp,
};
use serde::{Deserialize, Serialize};

use super::Damage;
use super::word::Spelled;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct StoredThing {
    name: String,
    id: String,
    type_name: Option<String>,
    attributes: BTreeMap<String, String>,
    version: u64,
    created_at_ms: i64,
}

impl From<&Thing> for StoredThing {
    fn from(thing: &Thing) -> Self {
        Self {
            name: thing.name.to_string(),
            id: thing.id.to_string(),
            type_name: thing.type_name.as_ref().map(ThingTypeName::to_string),
            attributes: thing.attributes.clone(),
            version: thing.version,
            created_at_ms: thing.created_at.unix_millis(),
        }
    }
}

impl TryFrom<StoredThing> for Thing {
    type Error = Damage;

    fn try_from(stored: StoredThing) -> Result<Self, Damage> {
        Ok(Self {
            name: ThingName::parse(&stored.name)?,
            id: stored.id.into(),
            type_name: stored.type_name.as_deref().map(ThingTypeName::parse).transpose()?,
            attributes: stored.attributes,
            version: stored.version,
            created_at: Timestamp::from_unix_millis(stored.created_at_ms),
        })
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct StoredThingType {
    name: String,
    id: String,
    description: Option<String>,
    searchable_attributes: Vec<String>,
    created_at_ms: i64,
    deprecated_at_ms: Option<i64>,
}

impl From<&ThingType> for StoredThingType {
    fn from(thing_type: &ThingType) -> Self {
        Self {
            name: thing_type.name.to_string(),
            id: thing_type.id.to_string(),
            description: thing_type.description.clone(),
            searchable_attributes: thing_type.searchable_attributes.clone(),
            created_at_ms: thing_type.created_at.unix_millis(),
            deprecated_at_ms: thing_type.deprecated_at.map(Timestamp::unix_millis),
        }
    }
}

impl TryFrom<StoredThingType> for ThingType {
    type Error = Damage;

    fn try_from(stored: StoredThingType) -> Result<Self, Damage> {
        Ok(Self {
            name: ThingTypeName::parse(&stored.name)?,
            id: stored.id.into(),
            description: stored.description,
            searchable_attributes: stored.searchable_attributes,
            created_at: Timestamp::from_unix_millis(stored.created_at_ms),
            deprecated_at: stored.deprecated_at_ms.map(Timestamp::from_unix_millis),
        })
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct StoredThingGroup {
    name: String,
    id: String,
    parent: Option<String>,
    description: Option<String>,
    attributes: BTreeMap<String, String>,
    version: u64,
    created_at_ms: i64,
}

impl From<&ThingGroup> for StoredThingGroup {
    fn from(group: &ThingGroup) -> Self {
        Self {
            name: group.name.to_string(),
            id: group.id.to_string(),
            parent: group.parent.as_ref().map(GroupName::to_string),
            description: group.description.clone(),
            attributes: group.attributes.clone(),
            version: group.version,
            created_at_ms: group.created_at.unix_millis(),
        }
    }
}

impl TryFrom<StoredThingGroup> for ThingGroup {
    type Error = Damage;

    fn try_from(stored: StoredThingGroup) -> Result<Self, Damage> {
        Ok(Self {
            name: GroupName::parse(&stored.name)?,
            id: stored.id.into(),
            parent: stored.parent.as_deref().map(GroupName::parse).transpose()?,
            description: stored.description,
            attributes: stored.attributes,
            version: stored.version,
            created_at: Timestamp::from_unix_millis(stored.created_at_ms),
        })
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct StoredGroupMembership {
    group: String,
    thing: String,
}

impl From<&GroupMembership> for StoredGroupMembership {
    fn from(membership: &GroupMembership) -> Self {
        Self { group: membership.group.to_string(), thing: membership.thing.to_string() }
    }
}

impl TryFrom<StoredGroupMembership> for GroupMembership {
    type Error = Damage;

    fn try_from(stored: StoredGroupMembership) -> Result<Self, Damage> {
        Ok(Self { group: GroupName::parse(&stored.group)?, thing: ThingName::parse(&stored.thing)? })
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct StoredCertificate {
    id: String,
    pem: String,
    status: Spelled<CertificateStatus>,
    mode: Spelled<CertificateMode>,
    not_before_ms: i64,
    not_after_ms: i64,
    created_at_ms: i64,
    modified_at_ms: i64,
    version: u64,
}

impl From<&Certificate> for StoredCertificate {
    fn from(certificate: &Certificate) -> Self {
        Self {
            id: certificate.id.to_string(),
            pem: certificate.pem.to_string(),
            status: Spelled(certificate.status),
            mode: Spelled(certificate.mode),
            not_before_ms: certificate.not_before.unix_millis(),
            not_after_ms: certificate.not_after.unix_millis(),
            created_at_ms: certificate.created_at.unix_millis(),
            modified_at_ms: certificate.modified_at.unix_millis(),
            version: certificate.version,
        }
    }
}

impl TryFrom<StoredCertificate> for Certificate {
    type Error = Damage;

    fn try_from(stored: StoredCertificate) -> Result<Self, Damage> {
        Ok(Self {
            id: CertificateId::parse(&stored.id)?,
            pem: stored.pem.into(),
            status: stored.status.0,
            mode: stored.mode.0,
            not_before: Timestamp::from_unix_millis(stored.not_before_ms),
            not_after: Timestamp::from_unix_millis(stored.not_after_ms),
            created_at: Timestamp::from_unix_millis(stored.created_at_ms),
            modified_at: Timestamp::from_unix_millis(stored.modified_at_ms),
            version: stored.version,
        })
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct StoredThingPrincipal {
    thing: String,
    certificate: String,
    kind: Spelled<ThingPrincipalType>,
}

impl From<&ThingPrincipal> for StoredThingPrincipal {
    fn from(attached: &ThingPrincipal) -> Self {
        Self {
            thing: attached.thing.to_string(),
            certificate: attached.certificate.to_string(),
            kind: Spelled(attached.kind),
        }
    }
}

impl TryFrom<StoredThingPrincipal> for ThingPrincipal {
    type Error = Damage;

    fn try_from(stored: StoredThingPrincipal) -> Result<Self, Damage> {
        Ok(Self {
            thing: ThingName::parse(&stored.thing)?,
            certificate: CertificateId::parse(&stored.certificate)?,
            kind: stored.kind.0,
        })
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct StoredPolicy {
    name: String,
    versions: Vec<StoredPolicyVersion>,
    default_version: u32,
    next_version: u32,
    created_at_ms: i64,
    modified_at_ms: i64,
    generation: u64,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StoredPolicyVersion {
    id: u32,
    document: String,
    created_at_ms: i64,
}

impl From<&Policy> for StoredPolicy {
    fn from(policy: &Policy) -> Self {
        let version = |version: &PolicyVersion| StoredPolicyVersion {
            id: version.id.0,
            document: version.document.to_string(),
            created_at_ms: version.created_at.unix_millis(),
        };
        Self {
            name: policy.name.to_string(),
            versions: policy.versions.iter().map(version).collect(),
            default_version: policy.default_version.0,
            next_version: policy.next_version.0,
            created_at_ms: policy.created_at.unix_millis(),
            modified_at_ms: policy.modified_at.unix_millis(),
            generation: policy.generation,
        }
    }
}

impl TryFrom<StoredPolicy> for Policy {
    type Error = Damage;

    fn try_from(stored: StoredPolicy) -> Result<Self, Damage> {
        let version = |version: StoredPolicyVersion| PolicyVersion {
            id: PolicyVersionId(version.id),
            document: version.document.into(),
            created_at: Timestamp::from_unix_millis(version.created_at_ms),
        };
        let policy = Self {
            name: PolicyName::parse(&stored.name)?,
            versions: stored.versions.into_iter().map(version).collect(),
            default_version: PolicyVersionId(stored.default_version),
            next_version: PolicyVersionId(stored.next_version),
            created_at: Timestamp::from_unix_millis(stored.created_at_ms),
            modified_at: Timestamp::from_unix_millis(stored.modified_at_ms),
            generation: stored.generation,
        };
        if policy.versions.iter().any(|version| version.id == policy.default_version) {
            Ok(policy)
        } else {
            Err(Damage(format!("policy {} has no version {}", policy.name, stored.default_version)))
        }
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct StoredPolicyAttachment {
    policy: String,
    target: StoredPolicyTarget,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum StoredPolicyTarget {
    Certificate(String),
    Group(String),
}

impl From<&PolicyAttachment> for StoredPolicyAttachment {
    fn from(attachment: &PolicyAttachment) -> Self {
        let target = match &attachment.target {
            PolicyTarget::Certificate(id) => StoredPolicyTarget::Certificate(id.to_string()),
            PolicyTarget::Group(name) => StoredPolicyTarget::Group(name.to_string()),
        };
        Self { policy: attachment.policy.to_string(), target }
    }
}

impl TryFrom<StoredPolicyAttachment> for PolicyAttachment {
    type Error = Damage;

    fn try_from(stored: StoredPolicyAttachment) -> Result<Self, Damage> {
        let target = match stored.target {
            StoredPolicyTarget::Certificate(id) => PolicyTarget::Certificate(CertificateId::parse(&id)?),
            StoredPolicyTarget::Group(name) => PolicyTarget::Group(GroupName::parse(&name)?),
        };
        Ok(Self { policy: PolicyName::parse(&stored.policy)?, target })
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct StoredResourceTags {
    resource: String,
    tags: BTreeMap<String, String>,
}

impl From<&ResourceTags> for StoredResourceTags {
    fn from(tags: &ResourceTags) -> Self {
        Self { resource: tags.resource.to_string(), tags: tags.tags.clone() }
    }
}

impl TryFrom<StoredResourceTags> for ResourceTags {
    type Error = Damage;

    fn try_from(stored: StoredResourceTags) -> Result<Self, Damage> {
        Ok(Self { resource: Arn::parse(&stored.resource)?, tags: stored.tags })
    }
}
