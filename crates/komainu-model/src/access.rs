//! Operators' access keys.

use std::fmt;
use std::sync::Arc;

use crate::{InvalidName, NameProblem, Timestamp};

/// The public part of an access key: 16 to 128 characters of `A-Z a-z 0-9 _`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AccessKeyId(Arc<str>);

impl AccessKeyId {
    /// Takes 16 to 128 word characters, as AWS does.
    pub fn parse(text: &str) -> Result<Self, InvalidName> {
        let is_id = (16..=128).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
        if is_id {
            Ok(Self(text.into()))
        } else {
            let expected = "16 to 128 characters of a-z A-Z 0-9 _";
            Err(InvalidName { kind: "access key id", problem: NameProblem::Form { expected } })
        }
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for AccessKeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The secret part of an access key, at least 16 printable characters. It never shows itself.
#[derive(Clone, PartialEq, Eq)]
pub struct SecretKey(Arc<str>);

impl SecretKey {
    /// Takes 16 to 256 printable ASCII characters.
    pub fn parse(text: &str) -> Result<Self, InvalidName> {
        if (16..=256).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic()) {
            Ok(Self(text.into()))
        } else {
            let expected = "16 to 256 printable ASCII characters";
            Err(InvalidName { kind: "secret access key", problem: NameProblem::Form { expected } })
        }
    }

    /// The secret itself, for signing and for storing.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretKey(…)")
    }
}

/// An operator's access key. Signature Version 4 needs the secret itself, so it is kept as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccessKey {
    /// The public part.
    pub id: AccessKeyId,
    /// The secret part.
    pub secret: SecretKey,
    /// Whether it opens the control plane.
    pub status: AccessKeyStatus,
    /// When it was created.
    pub created_at: Timestamp,
}

/// Whether an access key opens the control plane.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AccessKeyStatus {
    /// It does.
    Active,
    /// It does not, for good.
    Revoked,
}
