//! As whom a jail is made when root asks for one.

use nix::unistd::{Uid, User};
use serde::{Deserialize, Serialize};

/// A user without rights.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct JailUser {
    /// Its number, not 0.
    pub uid: u32,
    /// The number of its group, not 0.
    pub gid: u32,
}

/// Why a user is not the one of a jail.
#[derive(Debug, thiserror::Error)]
pub enum JailUserError {
    /// There is no such user.
    #[error("there is no user {name:?}: sandbox.user must be a name or a number")]
    NoSuchUser {
        /// What was asked for.
        name: String,
    },
    /// The user may do everything.
    #[error("sandbox.user is {name:?}, which is root: what holds a sample must have no rights")]
    Root {
        /// What was asked for.
        name: String,
    },
    /// The list of users cannot be read.
    #[error("cannot read the list of users")]
    System(#[from] nix::errno::Errno),
}

impl JailUser {
    /// The account that is taken where nobody says another.
    pub const DEFAULT_NAME: &str = "komainu-sandbox";

    /// The number that is taken where there is no such account. It is outside of the ranges that Debian gives to accounts
    /// (Debian Policy 9.2.2: 61184 to 65519 are not given out), and none of those by which devices are examined.
    pub const DEFAULT_NUMBER: u32 = 61_300;

    /// Finds a user by name or number. A number needs no entry in the list of users.
    pub fn find(name: &str) -> Result<Self, JailUserError> {
        let user = match (User::from_name(name)?, name.parse::<u32>()) {
            (Some(user), _) => Self { uid: user.uid.as_raw(), gid: user.gid.as_raw() },
            (None, Ok(number)) => {
                let known = User::from_uid(Uid::from_raw(number))?;
                Self { uid: number, gid: known.map_or(number, |user| user.gid.as_raw()) }
            }
            (None, Err(_)) => return Err(JailUserError::NoSuchUser { name: name.to_owned() }),
        };
        // The highest number means nobody at all (setresuid(2)).
        let is_none = user.uid == u32::MAX || user.gid == u32::MAX;
        if user.uid == 0 || user.gid == 0 || is_none {
            return Err(JailUserError::Root { name: name.to_owned() });
        }
        Ok(user)
    }

    /// The account of that name, or else the number that nobody has.
    pub fn find_default() -> Result<Self, JailUserError> {
        match Self::find(Self::DEFAULT_NAME) {
            Err(JailUserError::NoSuchUser { .. }) => Ok(Self { uid: Self::DEFAULT_NUMBER, gid: Self::DEFAULT_NUMBER }),
            found => found,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_without_rights_are_found() {
        let check = |name: &str, expected: Result<u32, &str>| match (JailUser::find(name), expected) {
            (Ok(user), Ok(uid)) => assert_eq!(user.uid, uid),
            (Err(error), Err(text)) => assert!(error.to_string().contains(text), "{error}"),
            (found, _) => panic!("{name}: {found:?}"),
        };
        check("61300", Ok(61_300));
        check("0", Err("which is root"));
        check("root", Err("which is root"));
        check("4294967295", Err("no rights"));
        check("no such user", Err("there is no user"));
    }
}
