//! The self-test: a jail around this program, which tries from inside what must not be possible.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::net::UdpSocket;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;

use nix::sys::resource::{Resource, getrlimit};
use rustix::thread::{CapabilitySet, capabilities, capability_is_in_bounding_set};
use serde::{Deserialize, Serialize};

use crate::jail::{Jail, JailError};
use crate::limits::Limits;
use crate::user::JailUser;

/// What was tried in the jail, and whether the jail held.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// What must be so, in words.
    pub what: String,
    /// Whether it is so.
    pub holds: bool,
    /// What was seen.
    pub seen: String,
}

/// The limits of the self-test. The memory is enough for any build of this program.
const LIMITS: Limits = Limits {
    memory_bytes_max: 1 << 30,
    threads_max: 16,
    cpu_s_max: 10,
    time_s_max: 20,
    file_bytes_max: 1 << 20,
    descriptors_max: 32,
    scratch_bytes_max: 1 << 20,
};

/// Bytes that the process in the jail may say.
const FINDINGS_BYTES_MAX: u64 = 64 << 10;

/// Makes a jail and has [`run_self_test`] run in it. `launcher` and `tester` are the arguments by which this program becomes
/// [`run_launcher`](crate::run_launcher) and [`run_self_test`].
pub fn self_test(
    launcher: Vec<String>,
    tester: Vec<String>,
    user: Option<JailUser>,
) -> Result<Vec<Finding>, JailError> {
    let program = std::env::current_exe().map_err(JailError::Launcher)?;
    let (mut said, theirs) = UnixStream::pair().map_err(JailError::Launcher)?;
    let jail = Jail {
        launcher,
        program,
        arguments: tester,
        environment: Vec::new(),
        read_only: Vec::new(),
        descriptors: vec![(OwnedFd::from(theirs), 1)],
        limits: LIMITS,
        user,
    };
    let mut child = jail.start()?;
    said.set_read_timeout(Some(LIMITS.time_max())).map_err(JailError::Launcher)?;
    let mut json = String::new();
    (&mut said).take(FINDINGS_BYTES_MAX).read_to_string(&mut json).map_err(JailError::Launcher)?;
    let end = child.wait(LIMITS.time_max()).map_err(JailError::Launcher)?;
    let mut findings: Vec<Finding> = serde_json::from_str(&json).map_err(|_| {
        let end = end.map_or_else(|| "it did not end".to_owned(), |end| format!("{:?}", end.how));
        JailError::Refused { doing: "testing the jail from inside".to_owned(), reason: end }
    })?;
    findings.push(outside(child.pid(), user));
    Ok(findings)
}

/// As whom the jail was made.
fn outside(pid: u32, user: Option<JailUser>) -> Finding {
    let own = nix::unistd::Uid::effective();
    let outer = match user.filter(|_| own.is_root()) {
        Some(user) => user.uid,
        None => own.as_raw(),
    };
    Finding {
        what: "outside of the jail it is a user without rights".to_owned(),
        holds: outer != 0,
        seen: format!("user {outer}, process {pid}"),
    }
}

/// Is the process in the jail: tries, and says what came of it as JSON on standard output.
pub fn run_self_test() -> io::Result<()> {
    let json = serde_json::to_vec(&findings()).expect("lists, texts and truths are JSON");
    io::stdout().write_all(&json)
}

fn findings() -> Vec<Finding> {
    let finding = |what: &str, (holds, seen): (bool, String)| Finding { what: what.to_owned(), holds, seen };
    vec![
        finding("it is not root and has no capability", without_rights()),
        finding("it is alone in its list of processes", alone()),
        finding("it sees the files that were named and no others", files()),
        finding("it can write nowhere but in its scratch folder", writing()),
        finding("it has no network and can make no socket", sockets()),
        finding("a filter of system calls is in force", filtered()),
        finding("it can start no program", programs()),
        finding("its memory is limited", memory()),
        finding("its threads are limited", threads()),
        finding("its descriptors are limited", descriptors()),
        finding("its processor time, files and core dumps are limited", resources()),
    ]
}

fn without_rights() -> (bool, String) {
    let uid = nix::unistd::getuid();
    let empty = CapabilitySet::empty();
    let has_none = capabilities(None)
        .is_ok_and(|sets| sets.effective == empty && sets.permitted == empty && sets.inheritable == empty);
    let is_bounded = !capability_is_in_bounding_set(CapabilitySet::SYS_ADMIN).unwrap_or(true);
    (!uid.is_root() && has_none && is_bounded, format!("user {uid}"))
}

fn alone() -> (bool, String) {
    let (pid, parent) = (std::process::id(), std::os::unix::process::parent_id());
    ((pid, parent) == (1, 0), format!("process {pid}, parent {parent}"))
}

fn files() -> (bool, String) {
    let names = |path: &str| -> Vec<String> {
        let entries = fs::read_dir(path).into_iter().flatten().flatten();
        let mut names: Vec<_> = entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    };
    let (root, devices) = (names("/"), names("/dev"));
    let has_kernel =
        ["/proc/self", "/sys/kernel", "/run", "/etc/passwd"].iter().any(|path| PathBuf::from(path).exists());
    (devices == ["null", "urandom", "zero"] && !has_kernel, format!("/{{{}}}", root.join(",")))
}

fn writing() -> (bool, String) {
    let tried = ["/new", "/dev/new", "/usr/new", "/etc/new"];
    let written: Vec<_> = tried.into_iter().filter(|path| File::create(path).is_ok()).collect();
    let has_scratch = fs::write("/scratch/new", "something").is_ok();
    (written.is_empty() && has_scratch, format!("wrote {written:?} and /scratch: {has_scratch}"))
}

fn sockets() -> (bool, String) {
    let network = UdpSocket::bind("127.0.0.1:0").map(drop);
    let local = UnixStream::pair().map(drop);
    (network.is_err() && local.is_err(), format!("{}, {}", said(network), said(local)))
}

fn filtered() -> (bool, String) {
    // Asking for it is not allowed by the filter; without one it is answered.
    let asked = rustix::thread::secure_computing_mode().map(drop).map_err(io::Error::from);
    (asked.is_err(), said(asked))
}

fn programs() -> (bool, String) {
    // The one program that is there for certain: this one, under the name by which it was started.
    let own = std::env::args_os().next().unwrap_or_default();
    let quiet = std::process::Stdio::null;
    let mut command = std::process::Command::new(own);
    let started = command.arg("--list").stdin(quiet()).stdout(quiet()).stderr(quiet()).status().map(drop);
    (started.is_err(), said(started))
}

fn memory() -> (bool, String) {
    let mut reserved: Vec<u8> = Vec::new();
    let got = reserved.try_reserve_exact(usize::try_from(LIMITS.memory_bytes_max).unwrap_or(usize::MAX));
    (
        got.is_err(),
        format!("{} MiB are {}", LIMITS.memory_bytes_max >> 20, if got.is_ok() { "given" } else { "refused" }),
    )
}

fn threads() -> (bool, String) {
    let mut held = Vec::new();
    let (hold, held_until) = std::sync::mpsc::channel::<()>();
    let held_until = std::sync::Arc::new(std::sync::Mutex::new(held_until));
    while held.len() as u64 <= LIMITS.threads_max {
        let until = std::sync::Arc::clone(&held_until);
        let wait = move || {
            let _ = until.lock().map(|until| until.recv());
        };
        match std::thread::Builder::new().stack_size(64 << 10).spawn(wait) {
            Ok(thread) => held.push(thread),
            Err(_) => break,
        }
    }
    let count = held.len() as u64 + 1;
    drop(hold);
    for thread in held {
        let _ = thread.join();
    }
    (count <= LIMITS.threads_max, format!("{count} of {}", LIMITS.threads_max))
}

fn descriptors() -> (bool, String) {
    let mut held = Vec::new();
    while held.len() as u64 <= LIMITS.descriptors_max {
        match File::open("/dev/null") {
            Ok(file) => held.push(file),
            Err(_) => break,
        }
    }
    ((held.len() as u64) < LIMITS.descriptors_max, format!("opened {} more, of {}", held.len(), LIMITS.descriptors_max))
}

fn resources() -> (bool, String) {
    let limit = |resource| getrlimit(resource).map_or(u64::MAX, |(_, hard)| hard);
    let seen = [Resource::RLIMIT_CPU, Resource::RLIMIT_FSIZE, Resource::RLIMIT_CORE].map(limit);
    let most = [LIMITS.cpu_s_max, LIMITS.file_bytes_max, 1];
    (seen.iter().zip(most).all(|(seen, most)| *seen <= most), format!("{seen:?}"))
}

fn said(result: io::Result<()>) -> String {
    result.map_or_else(|error| error.to_string(), |()| "it was allowed".to_owned())
}
