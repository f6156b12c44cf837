//! Who runs with which rights.

use std::io;

use nix::errno::Errno;
use nix::unistd::{Gid, Uid, User};

/// A user without rights.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WorkerUser {
    /// Its number.
    pub uid: u32,
    /// The number of its group.
    pub gid: u32,
}

/// Why a process has the wrong rights.
#[derive(Debug, thiserror::Error)]
pub enum RightsError {
    /// There is no such user.
    #[error("there is no user {name:?}: sensor.user must be a name or a number of this machine's")]
    NoSuchUser {
        /// What was asked for.
        name: String,
    },
    /// The user may do everything.
    #[error("sensor.user is {name:?}, which is root: what talks to strangers must have no rights")]
    Root {
        /// What was asked for.
        name: String,
    },
    /// The guard does not run as root.
    #[error("a sensor with devices must be started as root: it gives up its rights where it talks to strangers")]
    NotRoot,
    /// The process that talks to strangers still has rights.
    #[error("the process that talks to strangers still has rights ({what})")]
    StillThere {
        /// Which.
        what: &'static str,
    },
    /// The system refused something.
    #[error("cannot find out or change what this process may do")]
    System(#[from] io::Error),
}

impl WorkerUser {
    /// Finds a user by name or number. A number needs no entry in the list of users.
    pub fn find(name: &str) -> Result<Self, RightsError> {
        let known = User::from_name(name).map_err(system)?;
        let user = match (known, name.parse::<u32>()) {
            (Some(user), _) => Self { uid: user.uid.as_raw(), gid: user.gid.as_raw() },
            (None, Ok(number)) => {
                let known = User::from_uid(Uid::from_raw(number)).map_err(system)?;
                Self { uid: number, gid: known.map_or(number, |user| user.gid.as_raw()) }
            }
            (None, Err(_)) => return Err(RightsError::NoSuchUser { name: name.to_owned() }),
        };
        if user.uid == 0 || user.gid == 0 {
            return Err(RightsError::Root { name: name.to_owned() });
        }
        Ok(user)
    }
}

/// Fails unless this process is root.
pub fn need_root() -> Result<(), RightsError> {
    if Uid::effective().is_root() { Ok(()) } else { Err(RightsError::NotRoot) }
}

/// Makes sure that this thread, and each that it starts, has no rights and never gets any: call it before there is
/// another thread.
pub fn give_up_rights() -> Result<(), RightsError> {
    nix::sys::prctl::set_no_new_privs().map_err(system)?;
    // Started by another name, it would be listed by that one.
    nix::sys::prctl::set_name(c"komainu").map_err(system)?;
    let still_there = |what| Err(RightsError::StillThere { what });
    if Uid::effective().is_root() || Uid::current().is_root() {
        return still_there("the user is root");
    }
    if Gid::effective().as_raw() == 0 || Gid::current().as_raw() == 0 {
        return still_there("the group is root's");
    }
    let status = std::fs::read_to_string("/proc/thread-self/status")?;
    let has_capability = |name: &str| {
        let value = status.lines().find_map(|line| line.strip_prefix(name));
        !value.is_some_and(|value| value.chars().all(|c| c.is_whitespace() || matches!(c, '0' | ':')))
    };
    if ["CapInh", "CapPrm", "CapEff", "CapAmb"].into_iter().any(has_capability) {
        return still_there("it has capabilities");
    }
    Ok(())
}

fn system(error: Errno) -> RightsError {
    RightsError::System(error.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_without_rights_are_found() {
        let check = |name: &str, expected: Result<u32, &str>| match (WorkerUser::find(name), expected) {
            (Ok(user), Ok(uid)) => assert_eq!(user.uid, uid),
            (Err(error), Err(text)) => assert!(error.to_string().contains(text), "{error}"),
            (found, _) => panic!("{name}: {found:?}"),
        };
        check("54321", Ok(54_321));
        check("0", Err("which is root"));
        check("root", Err("which is root"));
        check("no such user", Err("there is no user"));
    }
}
