//! The launcher: makes the namespaces of a jail, starts the one process in it, and ends it.

use std::fs;
use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sched::{CloneFlags, unshare};
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::signal::{Signal, kill};
use nix::sys::time::TimeVal;
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{ForkResult, Gid, Pid, Uid, fork, getresgid, getresuid, setgroups, setresgid, setresuid};
use rustix::process::{DumpableBehavior, PidfdFlags, pidfd_open, set_dumpable_behavior};
use rustix::thread::{CapabilitySet, CapabilitySets, clear_ambient_capability_set, set_capabilities};

use crate::filesystem;
use crate::inside::{become_program, give_up_capabilities};
use crate::message::{EndedBy, HowEnded, JailEnd, Order, Said, Word, receive, send, wait_for};
use crate::problem::{Problem, problem};
use crate::user::JailUser;

/// The number of the user in the jail: not root's, so that starting a program gives no capability back.
const USER_INSIDE: u32 = 1_000;

/// `CLONE_NEWTIME` (linux/sched.h), which nix does not name. Older kernels than 5.6 have no such namespace.
const NEW_TIME: CloneFlags = CloneFlags::from_bits_retain(0x80);

/// Bytes of what the process in the jail says when it fails.
const FAILURE_BYTES_MAX: u64 = 4_096;

/// Why the launcher ends before it has anything to say.
#[derive(Debug, thiserror::Error)]
#[error("cannot understand who wants a jail; only `komainu` starts this command")]
pub struct LauncherError(#[from] io::Error);

/// Is the launcher: takes an order from its standard input, which is a socket, and answers there. Must be called before
/// there is a second thread. Comes back when the jail has ended.
pub fn run_launcher() -> Result<(), LauncherError> {
    let socket = io::stdin().as_fd().try_clone_to_owned()?;
    let Some((order, given)) = receive::<Order>(socket.as_fd())? else { return Ok(()) };
    match launch(&order, given) {
        Ok((pid, deadline)) => {
            // Nobody may be there any more; then the wait is short.
            let _ = send(socket.as_fd(), &Said::Started { pid: pid.as_raw().unsigned_abs() }, &[]);
            let end = hold(socket.as_fd(), pid, deadline)?;
            let _ = send(socket.as_fd(), &Said::Ended(end), &[]);
        }
        Err((doing, error)) => {
            let reason = format!("{error}{}", remedy(&doing));
            send(socket.as_fd(), &Said::Failed { doing, reason }, &[])?;
        }
    }
    Ok(())
}

/// Starts the program in its jail.
fn launch(order: &Order, given: Vec<OwnedFd>) -> Result<(Pid, Instant), Problem> {
    let deadline = Instant::now() + order.limits.time_max();
    if Uid::effective().is_root() {
        lay_open(order)?;
    }
    become_user(order.user)?;
    // The first to go when memory is short. A process may always say so of itself.
    fs::write("/proc/self/oom_score_adj", "1000").map_err(problem("offering itself when memory is short"))?;
    leave_keys().map_err(problem("leaving the session's keys"))?;
    enter_namespaces()?;

    let (begin, begin_end) = nix::unistd::pipe2(nix::fcntl::OFlag::O_CLOEXEC).map_err(problem("making a pipe"))?;
    let (failure_end, failure) = nix::unistd::pipe2(nix::fcntl::OFlag::O_CLOEXEC).map_err(problem("making a pipe"))?;
    // SAFETY: this process has one thread, so the child may do whatever this one may.
    let pid = match unsafe { fork() }.map_err(problem("starting the process of the jail"))? {
        ForkResult::Child => {
            drop((begin_end, failure_end));
            become_program(order, given, begin, failure);
            // SAFETY: ends the process at once, without what the launcher would still do at its own end.
            unsafe { libc::_exit(1) }
        }
        ForkResult::Parent { child } => child,
    };
    drop((begin, failure, given));
    give_up_capabilities().map_err(problem("giving up capabilities"))?;
    set_dumpable_behavior(DumpableBehavior::NotDumpable).map_err(problem("hiding the launcher"))?;
    nix::unistd::write(&begin_end, b"b").map_err(problem("starting the process of the jail"))?;

    // At its end when the program is started: then the other end is closed.
    let mut failed = String::new();
    let read = fs::File::from(failure_end).take(FAILURE_BYTES_MAX).read_to_string(&mut failed);
    read.map_err(problem("listening to the process of the jail"))?;
    match failed.split_once('\n') {
        None => Ok((pid, deadline)),
        Some((doing, reason)) => {
            let _ = waitpid(pid, None);
            Err((doing.to_owned(), io::Error::other(reason.trim_end())))
        }
    }
}

/// Root may name files in folders that only root may pass. Where it may not make a mount namespace, as in some containers,
/// the user of the jail has to be allowed to pass them.
fn lay_open(order: &Order) -> Result<(), Problem> {
    match unshare(CloneFlags::CLONE_NEWNS) {
        Ok(()) => filesystem::lay_open(&order.visible),
        Err(Errno::EPERM) => Ok(()),
        Err(error) => Err(problem(NAMESPACES)(error)),
    }
}

/// Makes sure that this process is a user without rights.
fn become_user(user: Option<JailUser>) -> Result<(), Problem> {
    if Uid::effective().is_root() {
        let Some(user) = user.filter(|user| user.uid != 0 && user.gid != 0) else {
            return Err(("becoming a user without rights".to_owned(), io::Error::other("nobody says which")));
        };
        let (uid, gid) = (Uid::from_raw(user.uid), Gid::from_raw(user.gid));
        setgroups(&[])
            .and_then(|()| setresgid(gid, gid, gid))
            .and_then(|()| setresuid(uid, uid, uid))
            .map_err(problem("becoming a user without rights"))?;
        // Who changes its user is hidden from that user, and could not write down who it is in its namespace.
        set_dumpable_behavior(DumpableBehavior::Dumpable).map_err(problem("becoming a user without rights"))?;
    }
    let users = getresuid().map_err(problem("looking at its user"))?;
    let groups = getresgid().map_err(problem("looking at its group"))?;
    let is_root = [users.real, users.effective, users.saved].iter().any(|user| user.is_root())
        || [groups.real, groups.effective, groups.saved].iter().any(|group| group.as_raw() == 0);
    if is_root {
        return Err((
            "becoming a user without rights".to_owned(),
            io::Error::other("it is still root, or in its group"),
        ));
    }
    // A user without rights may have been given some (capabilities(7), "ambient").
    let none = CapabilitySet::empty();
    clear_ambient_capability_set()
        .and_then(|()| set_capabilities(None, CapabilitySets { effective: none, permitted: none, inheritable: none }))
        .and_then(|()| rustix::thread::set_no_new_privs(true))
        .map_err(problem("giving up capabilities"))
}

/// Joins a session of its own for keys: those of whoever started it may open doors.
fn leave_keys() -> nix::Result<()> {
    // SAFETY: a number and no name: the kernel reads no memory of ours.
    let result = unsafe { libc::syscall(libc::SYS_keyctl, libc::KEYCTL_JOIN_SESSION_KEYRING, std::ptr::null::<u8>()) };
    match Errno::result(result) {
        // A kernel without keys has none to leave; and where a container forbids the call, it forbids keys.
        Ok(_) | Err(Errno::ENOSYS | Errno::EPERM) => Ok(()),
        Err(error) => Err(error),
    }
}

/// Makes all namespaces, and writes down who this user is in the new one of users.
fn enter_namespaces() -> Result<(), Problem> {
    let (uid, gid) = (Uid::current(), Gid::current());
    let all = CloneFlags::CLONE_NEWUSER
        | CloneFlags::CLONE_NEWNS
        | CloneFlags::CLONE_NEWPID
        | CloneFlags::CLONE_NEWNET
        | CloneFlags::CLONE_NEWIPC
        | CloneFlags::CLONE_NEWUTS
        | CloneFlags::CLONE_NEWCGROUP;
    match unshare(all | NEW_TIME) {
        Err(Errno::EINVAL) => unshare(all),
        made => made,
    }
    .map_err(problem(NAMESPACES))?;
    fs::write("/proc/self/setgroups", "deny")
        .and_then(|()| fs::write("/proc/self/uid_map", format!("{USER_INSIDE} {uid} 1")))
        .and_then(|()| fs::write("/proc/self/gid_map", format!("{USER_INSIDE} {gid} 1")))
        .map_err(problem(NAMESPACES))
}

const NAMESPACES: &str = "making namespaces";

/// What an operator can do about it.
fn remedy(doing: &str) -> &'static str {
    let says = |path: &str, wanted: &str| fs::read_to_string(path).is_ok_and(|value| value.trim() == wanted);
    if doing.starts_with("making /") {
        "; the user of the jail must be allowed to read it, and to pass the folders above it"
    } else if doing != NAMESPACES && doing != filesystem::FIRST_STEP {
        ""
    } else if says("/proc/sys/kernel/unprivileged_userns_clone", "0") {
        "; this machine lets only root make namespaces of users: set kernel.unprivileged_userns_clone = 1 in /etc/sysctl.d"
    } else if says("/proc/sys/user/max_user_namespaces", "0") {
        "; this machine lets nobody make namespaces of users: set user.max_user_namespaces in /etc/sysctl.d to 1000 or more"
    } else if says("/proc/sys/kernel/apparmor_restrict_unprivileged_userns", "1") {
        // There they can be made, and nothing can be done in them.
        "; AppArmor keeps namespaces of users from programs without a profile: install one for komainu that has `userns,` \
         (docs/containment.md)"
    } else {
        "; in a container, it must be allowed to make namespaces of users (docs/containment.md)"
    }
}

/// Waits for the end of the program, and brings it about when it is told to, when nobody is there any more who could tell,
/// and when its time is over.
fn hold(socket: BorrowedFd<'_>, pid: Pid, deadline: Instant) -> Result<JailEnd, LauncherError> {
    let known = rustix::process::Pid::from_raw(pid.as_raw()).expect("a process that was started has a number");
    let process = pidfd_open(known, PidfdFlags::empty()).map_err(io::Error::from)?;
    let mut by = EndedBy::Itself;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let [is_told, has_ended] = wait_for([socket, process.as_fd()], left)?;
        if has_ended {
            break;
        }
        if is_told {
            // Whatever is said, and also nothing more: there is only one thing to be told.
            let _ = receive::<Word>(socket);
            by = EndedBy::Holder;
        } else if Instant::now() >= deadline {
            by = EndedBy::TimeOver;
        } else {
            continue;
        }
        kill(pid, Signal::SIGKILL).map_err(io::Error::from)?;
        break;
    }
    let how = match waitpid(pid, None).map_err(io::Error::from)? {
        WaitStatus::Exited(_, status) => HowEnded::Exited(status),
        WaitStatus::Signaled(_, signal, _) => HowEnded::Killed(signal as i32),
        other => return Err(io::Error::other(format!("the program neither ended nor was killed: {other:?}")).into()),
    };
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN).map_err(io::Error::from)?;
    // In KiB (getrusage(2)).
    let memory_bytes_max = u64::try_from(usage.max_rss()).unwrap_or_default() << 10;
    Ok(JailEnd { how, by, user: duration(usage.user_time()), system: duration(usage.system_time()), memory_bytes_max })
}

fn duration(time: TimeVal) -> Duration {
    let micros = u64::try_from(time.tv_usec()).unwrap_or_default();
    Duration::from_secs(u64::try_from(time.tv_sec()).unwrap_or_default()) + Duration::from_micros(micros)
}
