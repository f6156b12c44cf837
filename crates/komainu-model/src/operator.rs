//! People who use the console.

use std::fmt;

use crate::id::name_type;
use crate::{InvalidName, NameProblem};

name_type! {
    /// The name under which an operator signs in: 1 to 64 characters of `a-z 0-9 . _ - @`. Without capitals, so that no
    /// two names differ in them only.
    OperatorName, "operator name", 64, "a-z 0-9 . _ - @",
    |c| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '.' | '_' | '-' | '@')
}

/// What an operator may do. Each role may do what those before it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// Look.
    Viewer,
    /// Work: answer alarms, change profiles, hand samples in.
    Analyst,
    /// Say who may do what.
    Admin,
}

impl Role {
    /// All of them, the least first.
    pub const ALL: [Self; 3] = [Self::Viewer, Self::Analyst, Self::Admin];

    /// The word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Analyst => "analyst",
            Self::Admin => "admin",
        }
    }

    /// Takes the word for it.
    pub fn parse(text: &str) -> Result<Self, InvalidName> {
        let problem = NameProblem::Form { expected: "viewer, analyst or admin" };
        Self::ALL.into_iter().find(|role| role.as_str() == text).ok_or(InvalidName { kind: "role", problem })
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A language that the console speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Language {
    /// English.
    English,
    /// Japanese.
    Japanese,
}

impl Language {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::English, Self::Japanese];

    /// Its tag (BCP 47).
    pub const fn tag(self) -> &'static str {
        match self {
            Self::English => "en",
            Self::Japanese => "ja",
        }
    }

    /// Takes its tag.
    pub fn parse(text: &str) -> Result<Self, InvalidName> {
        let problem = NameProblem::Form { expected: "en or ja" };
        Self::ALL.into_iter().find(|language| language.tag() == text).ok_or(InvalidName { kind: "language", problem })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_no_capitals_and_nothing_that_looks_like_another() {
        let check = |text: &str, is_name| assert_eq!(OperatorName::parse(text).is_ok(), is_name, "{text:?}");
        check("aiko", true);
        check("aiko.tanaka@example.com", true);
        check("Aiko", false);
        check("", false);
        check("аiko", false);
        check("a b", false);
        check("<b>", false);
        check(&"a".repeat(64), true);
        check(&"a".repeat(65), false);
    }

    #[test]
    fn words_are_read_as_they_are_written() {
        for role in Role::ALL {
            assert_eq!(Role::parse(role.as_str()), Ok(role));
        }
        for language in Language::ALL {
            assert_eq!(Language::parse(language.tag()), Ok(language));
        }
        assert!(Role::parse("root").is_err());
        assert!(Role::Viewer < Role::Analyst && Role::Analyst < Role::Admin);
    }
}
