//! Things, their groups, certificates and policies. The names follow AWS IoT's.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use crate::id::{InvalidName, NameProblem, is_iot_name_char, name_type};
use crate::{Arn, Timestamp};

name_type! {
    /// The name of a registered thing: 1 to 128 characters of `[a-zA-Z0-9:_-]` (CreateThing, `thingName`).
    ThingName, "thing name", 128, "a-z A-Z 0-9 : _ -", is_iot_name_char
}
name_type! {
    /// The name of a thing type: 1 to 128 characters of `[a-zA-Z0-9:_-]`.
    ThingTypeName, "thing type name", 128, "a-z A-Z 0-9 : _ -", is_iot_name_char
}
name_type! {
    /// The name of a thing group: 1 to 128 characters of `[a-zA-Z0-9:_-]`.
    GroupName, "thing group name", 128, "a-z A-Z 0-9 : _ -", is_iot_name_char
}
name_type! {
    /// The name of an IoT policy: 1 to 128 characters of `[\w+=,.@-]`.
    PolicyName, "policy name", 128, "a-z A-Z 0-9 _ + = , . @ -",
    |c| c.is_ascii_alphanumeric() || matches!(c, '_' | '+' | '=' | ',' | '.' | '@' | '-')
}

/// A certificate's identity: the SHA-256 of its DER form, as 64 lower-case hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CertificateId([u8; 32]);

impl CertificateId {
    /// The identity whose digest is `sha256`.
    pub const fn from_sha256(sha256: [u8; 32]) -> Self {
        Self(sha256)
    }

    /// Takes 64 hexadecimal digits.
    pub fn parse(text: &str) -> Result<Self, InvalidName> {
        let form =
            InvalidName { kind: "certificate id", problem: NameProblem::Form { expected: "64 hexadecimal digits" } };
        let digits = text.as_bytes();
        if digits.len() != 64 {
            return Err(form);
        }
        let mut sha256 = [0u8; 32];
        for (byte, pair) in sha256.iter_mut().zip(digits.chunks_exact(2)) {
            let nibble = |digit: u8| (digit as char).to_digit(16).map(|value| value as u8);
            match (nibble(pair[0]), nibble(pair[1])) {
                (Some(high), Some(low)) => *byte = high << 4 | low,
                _ => return Err(form),
            }
        }
        Ok(Self(sha256))
    }

    /// The digest.
    pub const fn sha256(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Display for CertificateId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for CertificateId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CertificateId({self})")
    }
}

/// A registered device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Thing {
    /// Its name, unique within a scope.
    pub name: ThingName,
    /// A UUID that stays the thing's own when another thing gets its name later.
    pub id: Arc<str>,
    /// Its type, when it has one.
    pub type_name: Option<ThingTypeName>,
    /// Its attributes; at most 50 with a type and 3 without, as AWS's quotas have it.
    pub attributes: BTreeMap<String, String>,
    /// Starts at 1 and grows with every update.
    pub version: u64,
    /// When it was registered.
    pub created_at: Timestamp,
}

/// What things have in common.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ThingType {
    /// Its name, unique within a scope.
    pub name: ThingTypeName,
    /// A UUID of its own.
    pub id: Arc<str>,
    /// What people wrote about it.
    pub description: Option<String>,
    /// Attributes that are searched for; at most three.
    pub searchable_attributes: Vec<String>,
    /// When it was created.
    pub created_at: Timestamp,
    /// Since when no new thing can take this type.
    pub deprecated_at: Option<Timestamp>,
}

/// A static group of things; it may stand under a parent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ThingGroup {
    /// Its name, unique within a scope.
    pub name: GroupName,
    /// A UUID of its own.
    pub id: Arc<str>,
    /// The group it stands under.
    pub parent: Option<GroupName>,
    /// What people wrote about it.
    pub description: Option<String>,
    /// Its attributes.
    pub attributes: BTreeMap<String, String>,
    /// Starts at 1 and grows with every update.
    pub version: u64,
    /// When it was created.
    pub created_at: Timestamp,
}

/// That a thing is in a group.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GroupMembership {
    /// The group.
    pub group: GroupName,
    /// The thing.
    pub thing: ThingName,
}

/// A device certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Certificate {
    /// The SHA-256 of its DER form.
    pub id: CertificateId,
    /// Its PEM form.
    pub pem: Arc<str>,
    /// Whether it opens the gate.
    pub status: CertificateStatus,
    /// How it was registered.
    pub mode: CertificateMode,
    /// Not valid before.
    pub not_before: Timestamp,
    /// Not valid after.
    pub not_after: Timestamp,
    /// When it was registered.
    pub created_at: Timestamp,
    /// When its status last changed.
    pub modified_at: Timestamp,
    /// Grows with every change of status, from 1.
    pub version: u64,
}

/// Whether a certificate opens the gate. The words are AWS's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CertificateStatus {
    /// It does.
    Active,
    /// It does not, for now.
    Inactive,
    /// It does not, for good.
    Revoked,
    /// It waits for an operator after its first connection.
    PendingActivation,
}

/// How a certificate was registered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CertificateMode {
    /// Issued by our own certificate authority.
    Default,
    /// Registered by itself, without its certificate authority.
    SniOnly,
}

/// That a certificate speaks for a thing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ThingPrincipal {
    /// The thing.
    pub thing: ThingName,
    /// The certificate.
    pub certificate: CertificateId,
    /// Whether the certificate may be attached to other things, too.
    pub kind: ThingPrincipalType,
}

/// Whether a certificate speaks for one thing only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ThingPrincipalType {
    /// For this thing only.
    ExclusiveThing,
    /// For this thing and perhaps others.
    NonExclusiveThing,
}

/// What principals may do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// Its name, unique within a scope.
    pub name: PolicyName,
    /// Its versions in rising order; 1 to 5 of them.
    pub versions: Vec<PolicyVersion>,
    /// The version that counts; one of `versions`.
    pub default_version: PolicyVersionId,
    /// The number the next version gets; numbers are not used twice.
    pub next_version: PolicyVersionId,
    /// When it was created.
    pub created_at: Timestamp,
    /// When it last changed.
    pub modified_at: Timestamp,
    /// Grows with every change, from 1.
    pub generation: u64,
}

/// One version of a policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyVersion {
    /// Its number.
    pub id: PolicyVersionId,
    /// The policy document, JSON, as it was given.
    pub document: Arc<str>,
    /// When it was created.
    pub created_at: Timestamp,
}

/// The number of a policy's version, from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PolicyVersionId(pub u32);

/// That a policy counts for a target.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct PolicyAttachment {
    /// The policy.
    pub policy: PolicyName,
    /// For whom it counts.
    pub target: PolicyTarget,
}

/// For whom a policy counts.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum PolicyTarget {
    /// For connections with this certificate.
    Certificate(CertificateId),
    /// For the things of this group and of the groups under it.
    Group(GroupName),
}

/// The tags of one resource.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResourceTags {
    /// The resource.
    pub resource: Arn,
    /// At most 50 tags.
    pub tags: BTreeMap<String, String>,
}
