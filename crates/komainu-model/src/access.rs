//! Operators' access keys.

use std::fmt;
use std::sync::Arc;

use crate::{InvalidName, NameProblem, Role, Timestamp};

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

/// Who uses an access key and what for, in the words of whoever made it: up to 200 bytes on one line. May be empty.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AccessKeyNote(Arc<str>);

/// The most bytes of a note: a name, a team and a purpose, and a list of keys can still be read.
const NOTE_BYTES_MAX: usize = 200;

impl AccessKeyNote {
    /// Takes up to 200 bytes without control characters; spaces around them are left out.
    pub fn parse(text: &str) -> Result<Self, InvalidName> {
        let text = text.trim();
        if text.len() <= NOTE_BYTES_MAX && !text.chars().any(char::is_control) {
            Ok(Self(text.into()))
        } else {
            let expected = "at most 200 bytes without control characters";
            Err(InvalidName { kind: "note of an access key", problem: NameProblem::Form { expected } })
        }
    }

    /// The note as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for AccessKeyNote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// An operator's access key. Signature Version 4 needs the secret itself, so it is kept as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccessKey {
    /// The public part.
    pub id: AccessKeyId,
    /// The secret part.
    pub secret: SecretKey,
    /// What its holder may do.
    pub role: Role,
    /// Who that is.
    pub note: AccessKeyNote,
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_is_one_line() {
        let check = |text: &str, expected: Option<&str>| {
            let note = AccessKeyNote::parse(text);
            assert_eq!(note.as_ref().ok().map(AccessKeyNote::as_str), expected, "{text:?}");
        };
        check("", Some(""));
        check("  Grafana of the SOC ", Some("Grafana of the SOC"));
        check("監視", Some("監視"));
        check("a\nb", None);
        check("a\u{1b}[31m", None);
        check(&"a".repeat(200), Some(&"a".repeat(200)));
        check(&"a".repeat(201), None);
    }
}
