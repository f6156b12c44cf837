//! What a process gives up before it sees a sample.

use std::collections::BTreeMap;
use std::io;

use nix::libc;
use nix::sys::resource::{Resource, setrlimit};
use nix::unistd::{Gid, Uid, setgroups, setresgid, setresuid};
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule, TargetArch,
};

/// The user without rights that Linux shows where there is no other (`overflowuid`).
const NOBODY: u32 = 65_534;

/// Descriptors: standard input, output and error. The kernel gives no number from here on, so nothing can be opened, no
/// file and no connection.
const DESCRIPTORS_MAX: u64 = 3;

/// System calls that are left: answering, memory, waiting, and ending. Every other one fails with `EPERM`; none of the code
/// that looks at samples makes one.
const CALLS: &[libc::c_long] = &[
    libc::SYS_read,
    libc::SYS_readv,
    libc::SYS_recvfrom,
    libc::SYS_recvmsg,
    libc::SYS_write,
    libc::SYS_writev,
    libc::SYS_sendto,
    libc::SYS_sendmsg,
    libc::SYS_ppoll,
    libc::SYS_close,
    libc::SYS_munmap,
    libc::SYS_mremap,
    libc::SYS_brk,
    libc::SYS_madvise,
    libc::SYS_futex,
    libc::SYS_membarrier,
    libc::SYS_rseq,
    libc::SYS_set_robust_list,
    libc::SYS_clock_gettime,
    libc::SYS_clock_nanosleep,
    libc::SYS_nanosleep,
    libc::SYS_gettimeofday,
    libc::SYS_sched_yield,
    libc::SYS_sched_getaffinity,
    libc::SYS_getrandom,
    libc::SYS_getpid,
    libc::SYS_gettid,
    libc::SYS_tgkill,
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_sigaltstack,
    libc::SYS_restart_syscall,
    libc::SYS_exit,
    libc::SYS_exit_group,
];

/// Those that are left as long as no memory becomes executable; the kind of access is their third argument.
const CALLS_ABOUT_MEMORY: [libc::c_long; 2] = [libc::SYS_mmap, libc::SYS_mprotect];

/// What of the confinement cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum ConfineError {
    /// The kernel refuses a limit.
    #[error("cannot limit the process")]
    Limits(#[from] io::Error),
    /// The kernel refuses the filter of system calls, or has none for this processor.
    #[error("cannot filter system calls")]
    Filter(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// Gives up getting rights, for this thread and those that it starts from here on.
pub fn give_up_new_rights() -> io::Result<()> {
    Ok(nix::sys::prctl::set_no_new_privs()?)
}

/// Gives up, for good and for all threads, files, connections, further processes and threads, rights, memory beyond so many
/// bytes of address space, and system calls that looking at a sample does not need. Every descriptor that is needed must
/// be open, and every thread started, by a thread that has given up new rights.
pub fn confine(memory_bytes_max: u64) -> Result<(), ConfineError> {
    // A dump would have the sample in it.
    nix::sys::prctl::set_dumpable(false).map_err(io::Error::from)?;
    if Uid::effective().is_root() {
        // In a user namespace there may be no other user, and root is nobody outside of it.
        let _ = setgroups(&[])
            .and_then(|()| setresgid(Gid::from_raw(NOBODY), Gid::from_raw(NOBODY), Gid::from_raw(NOBODY)))
            .and_then(|()| setresuid(Uid::from_raw(NOBODY), Uid::from_raw(NOBODY), Uid::from_raw(NOBODY)));
    }
    for (resource, most) in [
        (Resource::RLIMIT_AS, memory_bytes_max),
        (Resource::RLIMIT_CORE, 0),
        (Resource::RLIMIT_FSIZE, 0),
        (Resource::RLIMIT_NOFILE, DESCRIPTORS_MAX),
        (Resource::RLIMIT_NPROC, 0),
    ] {
        setrlimit(resource, most, most).map_err(io::Error::from)?;
    }
    let filter = filter().map_err(|error| ConfineError::Filter(Box::new(error)))?;
    seccompiler::apply_filter_all_threads(&filter).map_err(|error| ConfineError::Filter(Box::new(error)))
}

fn filter() -> Result<BpfProgram, seccompiler::BackendError> {
    let mut rules: BTreeMap<i64, Vec<SeccompRule>> = CALLS.iter().map(|call| (*call, Vec::new())).collect();
    #[cfg(target_arch = "x86_64")]
    rules.insert(libc::SYS_poll, Vec::new());
    // A constant of three bits.
    let executable = libc::PROT_EXEC.unsigned_abs().into();
    for call in CALLS_ABOUT_MEMORY {
        let not_executable = SeccompCondition::new(2, SeccompCmpArgLen::Dword, SeccompCmpOp::MaskedEq(executable), 0)?;
        rules.insert(call, vec![SeccompRule::new(vec![not_executable])?]);
    }
    let refused = SeccompAction::Errno(libc::EPERM.unsigned_abs());
    let processor: TargetArch = std::env::consts::ARCH.try_into()?;
    SeccompFilter::new(rules, refused, SeccompAction::Allow, processor)?.try_into()
}
