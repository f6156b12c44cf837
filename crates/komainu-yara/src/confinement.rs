//! What the process that scans gives up before it sees a payload.

use std::io;

use nix::sys::resource::{Resource, setrlimit};
use nix::unistd::{Gid, Uid, setgroups, setresgid, setresuid};

use crate::limits::PROCESS_BYTES_MAX;

/// The user without rights that Linux shows where there is no other (`overflowuid`).
const NOBODY: u32 = 65_534;

/// Descriptors: standard input, output and error. The kernel gives no number from here on, so nothing can be opened, no
/// file and no connection.
const DESCRIPTORS_MAX: u64 = 3;

/// Gives up getting rights, for this thread and those that it starts from here on.
pub(crate) fn give_up_new_rights() -> io::Result<()> {
    Ok(nix::sys::prctl::set_no_new_privs()?)
}

/// Gives up, for good, files, connections, further processes and threads, rights, and memory beyond the bound. Every
/// descriptor that is needed must be open, and every thread started.
pub(crate) fn confine() -> io::Result<()> {
    // A dump would have the payload in it.
    nix::sys::prctl::set_dumpable(false)?;
    if Uid::effective().is_root() {
        // In a user namespace there may be no other user, and root is nobody outside of it.
        let _ = setgroups(&[])
            .and_then(|()| setresgid(Gid::from_raw(NOBODY), Gid::from_raw(NOBODY), Gid::from_raw(NOBODY)))
            .and_then(|()| setresuid(Uid::from_raw(NOBODY), Uid::from_raw(NOBODY), Uid::from_raw(NOBODY)));
    }
    for (resource, most) in [
        (Resource::RLIMIT_AS, PROCESS_BYTES_MAX),
        (Resource::RLIMIT_CORE, 0),
        (Resource::RLIMIT_FSIZE, 0),
        (Resource::RLIMIT_NOFILE, DESCRIPTORS_MAX),
        (Resource::RLIMIT_NPROC, 0),
    ] {
        setrlimit(resource, most, most)?;
    }
    Ok(())
}
