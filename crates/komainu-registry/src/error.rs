//! Why the registry does not do what is asked.

use std::fmt;

use komainu_model::{Arn, CertificateStatus};

use crate::policy::MalformedPolicy;

/// Why the registry does not do what is asked, made for the caller's decision.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RegistryError {
    /// It is not there.
    #[error("{kind} {name:?} does not exist")]
    NotFound {
        /// What kind of thing it would be.
        kind: ResourceKind,
        /// The name that was asked for.
        name: String,
    },
    /// It is there already, and not as it is wanted.
    #[error("{kind} {name:?} already exists{}", differing(*.differs))]
    AlreadyExists {
        /// What kind of thing it is.
        kind: ResourceKind,
        /// Its name.
        name: String,
        /// The identity of the one that is there.
        id: String,
        /// The ARN of the one that is there.
        arn: Arn,
        /// It would have been taken as the same if it had the same properties.
        differs: bool,
    },
    /// What is asked is against a rule.
    #[error("{field}: {reason}")]
    Invalid {
        /// The input it is about, as AWS spells it.
        field: &'static str,
        /// The rule, and what is against it.
        reason: String,
    },
    /// It has changed since the caller looked.
    #[error("{kind} {name:?} has version {actual}, not the expected {expected}")]
    VersionConflict {
        /// What kind of thing it is.
        kind: ResourceKind,
        /// Its name.
        name: String,
        /// What the caller expected.
        expected: u64,
        /// What it is.
        actual: u64,
    },
    /// There would be too many.
    #[error("at most {max} {what} are allowed")]
    LimitExceeded {
        /// Of what, in the plural.
        what: &'static str,
        /// The bound.
        max: usize,
    },
    /// The policy has as many versions as it can have.
    #[error("policy {policy:?} has {max} versions already; delete one first")]
    VersionsLimitExceeded {
        /// The policy.
        policy: String,
        /// The bound.
        max: usize,
    },
    /// Something still depends on it.
    #[error("{kind} {name:?} cannot be deleted: {reason}")]
    DeleteConflict {
        /// What kind of thing it is.
        kind: ResourceKind,
        /// Its name.
        name: String,
        /// What depends on it.
        reason: String,
    },
    /// The policy document cannot be used.
    #[error(transparent)]
    MalformedPolicy(#[from] MalformedPolicy),
    /// The certificate's status does not allow it.
    #[error("certificate {id} is {}: {reason}", status_word(*.status))]
    CertificateState {
        /// The certificate.
        id: String,
        /// Its status.
        status: CertificateStatus,
        /// Why that is in the way.
        reason: &'static str,
    },
}

impl RegistryError {
    pub(crate) fn invalid(field: &'static str, reason: impl Into<String>) -> Self {
        Self::Invalid { field, reason: reason.into() }
    }

    pub(crate) fn not_found(kind: ResourceKind, name: impl fmt::Display) -> Self {
        Self::NotFound { kind, name: name.to_string() }
    }
}

/// What kind of thing a resource is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the names say it")]
pub enum ResourceKind {
    Thing,
    ThingType,
    ThingGroup,
    Certificate,
    Policy,
    PolicyVersion,
}

impl fmt::Display for ResourceKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Thing => "thing",
            Self::ThingType => "thing type",
            Self::ThingGroup => "thing group",
            Self::Certificate => "certificate",
            Self::Policy => "policy",
            Self::PolicyVersion => "policy version",
        })
    }
}

fn differing(differs: bool) -> &'static str {
    if differs { " with different properties" } else { "" }
}

fn status_word(status: CertificateStatus) -> &'static str {
    match status {
        CertificateStatus::Active => "active",
        CertificateStatus::Inactive => "inactive",
        CertificateStatus::Revoked => "revoked",
        CertificateStatus::PendingActivation => "pending activation",
    }
}
