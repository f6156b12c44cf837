//! What the process gives up before it sees a frame.

use std::collections::BTreeMap;
use std::io;

use nix::libc;
use nix::sys::resource::{Resource, setrlimit};
use nix::unistd::{Gid, Uid, setgroups, setresgid, setresuid};
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
};

/// The user without rights that Linux shows where there is no other (`overflowuid`).
const NOBODY: u32 = 65_534;

/// Memory, in bytes of address space: 40 MB that are used, and room for what guests may hold at their worst.
const PROCESS_BYTES_MAX: u64 = 1 << 30;

/// What a file that is written to may become, in bytes: packets and events have bounds that are smaller by default.
const FILE_BYTES_MAX: u64 = 1 << 30;

/// Descriptors: the kernel gives no number from here on, and those below are standard input, output and error.
const DESCRIPTORS_MAX: u64 = 3;

/// The system calls that the process may make; any other one ends it. None of them makes a descriptor, a process or a
/// thread, or reaches a file or a network that is not open.
pub(crate) const ALLOWED: &[&str] = &[
    "brk",
    "clock_gettime",
    "close",
    "exit",
    "exit_group",
    "fcntl",
    "futex",
    "getrandom",
    "madvise",
    "mmap",
    "mprotect",
    "mremap",
    "munmap",
    "poll",
    "ppoll",
    "read",
    "restart_syscall",
    "rt_sigreturn",
    "sched_yield",
    "sigaltstack",
    "write",
];

/// The number of an allowed system call; none where this processor does not have it.
fn number(name: &str) -> Option<i64> {
    Some(match name {
        "brk" => libc::SYS_brk,
        "clock_gettime" => libc::SYS_clock_gettime,
        "close" => libc::SYS_close,
        "exit" => libc::SYS_exit,
        "exit_group" => libc::SYS_exit_group,
        "fcntl" => libc::SYS_fcntl,
        "futex" => libc::SYS_futex,
        "getrandom" => libc::SYS_getrandom,
        "madvise" => libc::SYS_madvise,
        "mmap" => libc::SYS_mmap,
        "mprotect" => libc::SYS_mprotect,
        "mremap" => libc::SYS_mremap,
        "munmap" => libc::SYS_munmap,
        #[cfg(target_arch = "x86_64")]
        "poll" => libc::SYS_poll,
        "ppoll" => libc::SYS_ppoll,
        "read" => libc::SYS_read,
        "restart_syscall" => libc::SYS_restart_syscall,
        "rt_sigreturn" => libc::SYS_rt_sigreturn,
        "sched_yield" => libc::SYS_sched_yield,
        "sigaltstack" => libc::SYS_sigaltstack,
        "write" => libc::SYS_write,
        _ => return None,
    })
}

/// Gives up, for good, everything but the descriptors that are open. Only for a thread that is alone in its process.
pub(crate) fn confine() -> io::Result<()> {
    nix::sys::prctl::set_no_new_privs()?;
    // A dump would have what the guest said in it.
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
        (Resource::RLIMIT_FSIZE, FILE_BYTES_MAX),
        (Resource::RLIMIT_NOFILE, DESCRIPTORS_MAX),
        (Resource::RLIMIT_NPROC, 0),
    ] {
        setrlimit(resource, most, most)?;
    }
    seccompiler::apply_filter(&filter()?).map_err(io::Error::other)
}

/// The filter of system calls.
fn filter() -> io::Result<BpfProgram> {
    let failed = |error: seccompiler::BackendError| io::Error::other(error);
    let mut rules: BTreeMap<i64, Vec<SeccompRule>> = BTreeMap::new();
    for name in ALLOWED {
        let Some(number) = number(name) else { continue };
        // The argument that decides, how it is compared, and with what.
        let argument = match *name {
            // No memory that is or becomes executable: the third argument is the protection.
            "mmap" | "mprotect" => Some((2, SeccompCmpOp::MaskedEq(u64::from(libc::PROT_EXEC.unsigned_abs())), 0)),
            // The standard library, built with checks, asks whether a descriptor that it closes is open.
            "fcntl" => Some((1, SeccompCmpOp::Eq, u64::from(libc::F_GETFD.unsigned_abs()))),
            _ => None,
        };
        let conditions = match argument {
            Some((number, compared, value)) => {
                let condition =
                    SeccompCondition::new(number, SeccompCmpArgLen::Dword, compared, value).map_err(failed)?;
                vec![SeccompRule::new(vec![condition]).map_err(failed)?]
            }
            None => Vec::new(),
        };
        rules.insert(number, conditions);
    }
    let arch = std::env::consts::ARCH.try_into().map_err(failed)?;
    let filter = SeccompFilter::new(rules, SeccompAction::KillProcess, SeccompAction::Allow, arch).map_err(failed)?;
    filter.try_into().map_err(failed)
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;
    use std::os::fd::AsRawFd;
    use std::os::unix::process::ExitStatusExt;
    use std::process::{Command, Stdio};

    use nix::sys::socket::{self, AddressFamily, Backlog, MsgFlags, SockFlag, SockType, SockaddrIn};

    use super::*;

    #[test]
    fn each_allowed_call_has_a_number_and_a_line_in_the_docs() {
        let mut sorted = ALLOWED.to_vec();
        sorted.sort_unstable();
        assert_eq!(sorted, ALLOWED);
        let docs = include_str!("../../../docs/netsim.md");
        for name in ALLOWED {
            assert!(number(name).is_some() || *name == "poll", "{name}");
            assert!(docs.contains(&format!("`{name}`")), "{name} is not in the docs");
        }
    }

    /// Something that the confined process must not be able to do.
    const TRIES: &[&str] = &[
        "nothing",
        "socket",
        "packet-socket",
        "unix-socket",
        "bind",
        "connect",
        "listen",
        "open",
        "open-write",
        "spawn",
        "thread",
        "kill",
        "unlink",
        "rename",
        "memfd",
        "dup",
        "unshare",
        "pipe",
        "chdir",
        "sendto",
    ];

    fn try_to(what: &str) {
        let prepared = socket::socket(AddressFamily::Inet, SockType::Stream, SockFlag::empty(), None).unwrap();
        let address = SockaddrIn::new(127, 0, 0, 1, 9);
        let fd = prepared.as_raw_fd();
        confine().unwrap();
        let was_possible = match what {
            "nothing" => std::process::exit(0),
            "socket" => UdpSocket::bind("127.0.0.1:0").is_ok(),
            "packet-socket" => socket::socket(AddressFamily::Packet, SockType::Raw, SockFlag::empty(), None).is_ok(),
            "unix-socket" => std::os::unix::net::UnixDatagram::unbound().is_ok(),
            "bind" => socket::bind(fd, &address).is_ok(),
            "connect" => socket::connect(fd, &address).is_ok(),
            "listen" => socket::listen(&prepared, Backlog::MAXCONN).is_ok(),
            "sendto" => socket::sendto(fd, b"x", &address, MsgFlags::empty()).is_ok(),
            "open" => std::fs::File::open("/etc/passwd").is_ok(),
            "open-write" => std::fs::File::create("/tmp/netsim-must-not-be").is_ok(),
            "spawn" => Command::new("/bin/true").status().is_ok(),
            "thread" => std::thread::Builder::new().spawn(|| {}).is_ok(),
            "kill" => nix::sys::signal::kill(nix::unistd::Pid::from_raw(1), None).is_ok(),
            "unlink" => std::fs::remove_file("/tmp/netsim-must-not-be").is_ok(),
            "rename" => std::fs::rename("/tmp/netsim-a", "/tmp/netsim-b").is_ok(),
            "memfd" => nix::sys::memfd::memfd_create("x", nix::sys::memfd::MFdFlags::empty()).is_ok(),
            "dup" => prepared.try_clone().is_ok(),
            "unshare" => nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWUSER).is_ok(),
            "pipe" => std::io::pipe().is_ok(),
            "chdir" => nix::unistd::chdir("/").is_ok(),
            other => panic!("{other}"),
        };
        // A call that fails is still a call that was let through.
        std::process::exit(if was_possible { 1 } else { 2 });
    }

    /// Becomes a confined process that tries what the variable says.
    #[test]
    #[ignore = "is the process that the other test starts"]
    fn confined_child() {
        try_to(&std::env::var("NETSIM_TRY").unwrap());
    }

    #[test]
    fn a_forbidden_call_ends_the_process() {
        for what in TRIES {
            let status = Command::new("/proc/self/exe")
                .args(["--exact", "confinement::tests::confined_child", "--ignored"])
                .env("NETSIM_TRY", what)
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .status()
                .unwrap();
            if *what == "nothing" {
                assert_eq!(status.code(), Some(0), "what is allowed goes on: {status}");
            } else {
                assert_eq!(status.signal(), Some(libc::SIGSYS), "{what}: {status}");
            }
        }
    }
}
