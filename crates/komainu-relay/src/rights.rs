//! Who runs with which rights.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;

use komainu_model::ApplianceIndex;
use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Gid, Pid, Uid, User};

/// A user without rights.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WorkerUser {
    /// Its number.
    pub uid: u32,
    /// The number of its group.
    pub gid: u32,
}

/// As whom devices are examined: each as a user of its own, so that whoever was taken over by one device has no hold on
/// what examines another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ExaminerUids {
    first: u32,
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
    /// A number is that of a user, or none that a user may have.
    #[error(
        "sensor.reset_uid is {first}: it must be the first of {} numbers that no user of this machine has",
        ExaminerUids::COUNT
    )]
    ExaminerUids {
        /// What was asked for.
        first: u32,
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

impl ExaminerUids {
    /// How many numbers there are: as many as an inventory may have devices.
    const COUNT: u32 = crate::inventory::DEVICES_MAX as u32;

    /// From `first` on. No user may have one of the numbers: neither one that is listed, nor `worker`.
    pub fn new(first: u32, worker: u32) -> Result<Self, RightsError> {
        let refused = RightsError::ExaminerUids { first };
        // The highest number means nobody at all (setresuid(2)).
        let Some(end) = first.checked_add(Self::COUNT).filter(|_| first > 0) else { return Err(refused) };
        for number in first..end {
            if number == worker || User::from_uid(Uid::from_raw(number)).map_err(system)?.is_some() {
                return Err(refused);
            }
        }
        Ok(Self { first })
    }

    /// As whom a device is examined.
    pub(crate) fn of(self, device: ApplianceIndex) -> WorkerUser {
        let number = self.first + u32::from(device.0) % Self::COUNT;
        WorkerUser { uid: number, gid: number }
    }
}

/// Ends every process of a user: of nobody else than whoever examined a device, and may have left something behind.
pub(crate) fn end_processes(user: WorkerUser) -> io::Result<()> {
    /// A process that starts another one while it is looked for is found the next time.
    const PASSES_MAX: usize = 16;
    for _ in 0..PASSES_MAX {
        let mut has_found = false;
        for entry in fs::read_dir("/proc")? {
            let entry = entry?;
            let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<i32>().ok()) else { continue };
            // One that is gone meanwhile needs not be ended.
            if entry.metadata().is_ok_and(|metadata| metadata.uid() == user.uid) {
                has_found = true;
                let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
            }
        }
        if !has_found {
            break;
        }
    }
    Ok(())
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

    #[test]
    fn nobody_has_the_number_of_an_examiner() {
        let check = |first, is_ok| assert_eq!(ExaminerUids::new(first, 65_534).is_ok(), is_ok, "{first}");
        check(61_044, true);
        check(0, false);
        // One of them is root's, the worker's, none.
        check(u32::MAX, false);
        check(65_500, false);
        let uids = ExaminerUids::new(61_044, 65_534).unwrap();
        assert_eq!((uids.of(ApplianceIndex(0)).uid, uids.of(ApplianceIndex(63)).uid), (61_044, 61_107));
    }
}
