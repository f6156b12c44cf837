//! How names that users choose are checked, and how a refused one is explained.

use std::fmt;

/// A name that a user gave and that its type does not allow. Displays as a fragment that names the field's type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvalidName {
    /// What the name was for, in words: `thing name`.
    pub kind: &'static str,
    /// What is wrong with it.
    pub problem: NameProblem,
}

/// What is wrong with a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NameProblem {
    /// It has no characters.
    Empty,
    /// It is longer than its bound, in bytes.
    TooLong {
        /// Its length in bytes.
        bytes: usize,
        /// The bound in bytes.
        bytes_max: usize,
    },
    /// It has a character that is not allowed.
    Character {
        /// The first such character.
        found: char,
        /// What is allowed, as people write it: `a-z A-Z 0-9 : _ -`.
        allowed: &'static str,
    },
    /// It does not have the form that is asked for.
    Form {
        /// The form in words.
        expected: &'static str,
    },
}

impl fmt::Display for InvalidName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.problem {
            NameProblem::Empty => write!(f, "{} is empty", self.kind),
            NameProblem::TooLong { bytes, bytes_max } => {
                write!(f, "{} has {bytes} bytes, at most {bytes_max} are allowed", self.kind)
            }
            NameProblem::Character { found, allowed } => {
                write!(f, "{} contains {found:?}, allowed are {allowed}", self.kind)
            }
            NameProblem::Form { expected } => write!(f, "{} must be {expected}", self.kind),
        }
    }
}

impl std::error::Error for InvalidName {}

/// Checks length and characters of a name that users choose.
pub(crate) fn check_name(
    kind: &'static str,
    text: &str,
    bytes_max: usize,
    allowed: &'static str,
    is_allowed: fn(char) -> bool,
) -> Result<(), InvalidName> {
    let problem = if text.is_empty() {
        NameProblem::Empty
    } else if text.len() > bytes_max {
        NameProblem::TooLong { bytes: text.len(), bytes_max }
    } else if let Some(found) = text.chars().find(|c| !is_allowed(*c)) {
        NameProblem::Character { found, allowed }
    } else {
        return Ok(());
    };
    Err(InvalidName { kind, problem })
}

/// Declares a name that users choose: a string with a bound in bytes and a set of characters.
macro_rules! name_type {
    ($(#[$doc:meta])* $name:ident, $kind:literal, $bytes_max:literal, $allowed:literal, $is_allowed:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(std::sync::Arc<str>);

        impl $name {
            /// Checks `text` and takes it as a name.
            pub fn parse(text: &str) -> Result<Self, $crate::InvalidName> {
                $crate::id::check_name($kind, text, $bytes_max, $allowed, $is_allowed)?;
                Ok(Self(text.into()))
            }

            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

/// Declares an identifier that Komainu makes: a UUID in its hyphenated lower-case form.
macro_rules! uuid_type {
    ($(#[$doc:meta])* $name:ident, $kind:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(std::sync::Arc<str>);

        impl $name {
            /// Takes a UUID in its hyphenated lower-case form.
            pub fn parse(text: &str) -> Result<Self, $crate::InvalidName> {
                if $crate::id::is_uuid(text) {
                    Ok(Self(text.into()))
                } else {
                    Err($crate::InvalidName {
                        kind: $kind,
                        problem: $crate::NameProblem::Form { expected: "a UUID in lower case with hyphens" },
                    })
                }
            }

            /// The identifier as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

pub(crate) use {name_type, uuid_type};

/// Whether `text` is a UUID in its hyphenated lower-case form.
pub(crate) fn is_uuid(text: &str) -> bool {
    text.len() == 36
        && text.bytes().enumerate().all(|(at, byte)| match at {
            8 | 13 | 18 | 23 => byte == b'-',
            _ => matches!(byte, b'0'..=b'9' | b'a'..=b'f'),
        })
}

/// The characters of AWS IoT names: `[a-zA-Z0-9:_-]+`.
pub(crate) fn is_iot_name_char(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, ':' | '_' | '-')
}
