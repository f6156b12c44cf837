//! Which system calls a jailed program may make.
//!
//! Three answers. What QEMU needs to emulate, to talk over the descriptors it was given and to write its snapshot is allowed,
//! where possible only with the arguments it needs. What only someone makes who wants out ([`DEADLY`]) ends the program at
//! once: the end says so. Everything else fails with `EPERM`, since QEMU, its libraries and newer versions of them try what
//! a kernel offers and go on without it.

use std::collections::BTreeMap;

use libc::c_long;
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule, TargetArch,
};

/// Allowed with any arguments: QEMU 7.2 to 10 with TCG, measured by strace over boot, migration to and from a descriptor,
/// and the end; besides what their C library and newer ones use in place of these.
#[rustfmt::skip]
const ALLOWED: &[c_long] = &[
    // Descriptors that are there.
    libc::SYS_read, libc::SYS_write, libc::SYS_readv, libc::SYS_writev, libc::SYS_pread64, libc::SYS_pwrite64,
    libc::SYS_preadv, libc::SYS_pwritev, libc::SYS_preadv2, libc::SYS_pwritev2, libc::SYS_lseek, libc::SYS_close,
    libc::SYS_close_range, libc::SYS_dup, libc::SYS_dup3, libc::SYS_fstat, libc::SYS_ftruncate, libc::SYS_fallocate,
    libc::SYS_fsync, libc::SYS_fdatasync, libc::SYS_sync_file_range, libc::SYS_fadvise64, libc::SYS_flock,
    libc::SYS_sendmsg, libc::SYS_recvmsg, libc::SYS_recvfrom, libc::SYS_shutdown, libc::SYS_getsockname,
    libc::SYS_getpeername,
    // Files that are visible.
    libc::SYS_openat, libc::SYS_newfstatat, libc::SYS_statx, libc::SYS_faccessat, libc::SYS_faccessat2,
    libc::SYS_readlinkat, libc::SYS_getdents64, libc::SYS_getcwd, libc::SYS_chdir, libc::SYS_fchdir, libc::SYS_statfs,
    libc::SYS_fstatfs, libc::SYS_unlinkat, libc::SYS_umask,
    // Waiting, and events of its own.
    libc::SYS_ppoll, libc::SYS_pselect6, libc::SYS_epoll_create1, libc::SYS_epoll_ctl, libc::SYS_epoll_pwait,
    libc::SYS_epoll_pwait2, libc::SYS_eventfd2, libc::SYS_signalfd4, libc::SYS_timerfd_create, libc::SYS_timerfd_settime,
    libc::SYS_timerfd_gettime, libc::SYS_nanosleep, libc::SYS_clock_nanosleep,
    // Memory. It must be able to become executable: TCG is a compiler.
    libc::SYS_mmap, libc::SYS_munmap, libc::SYS_mprotect, libc::SYS_mremap, libc::SYS_madvise, libc::SYS_msync,
    libc::SYS_mincore, libc::SYS_brk, libc::SYS_membarrier, libc::SYS_get_mempolicy,
    // Threads and signals of its own.
    libc::SYS_futex, libc::SYS_futex_waitv, libc::SYS_set_robust_list, libc::SYS_get_robust_list, libc::SYS_rseq,
    libc::SYS_set_tid_address, libc::SYS_sched_yield, libc::SYS_sched_getaffinity, libc::SYS_sched_getparam,
    libc::SYS_sched_getscheduler, libc::SYS_getpriority, libc::SYS_rt_sigaction, libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn, libc::SYS_rt_sigtimedwait, libc::SYS_rt_sigsuspend, libc::SYS_rt_sigpending,
    libc::SYS_sigaltstack, libc::SYS_restart_syscall, libc::SYS_exit, libc::SYS_exit_group,
    // Fails with ENOSYS, see `Filters::new`.
    libc::SYS_clone3,
    // What it is and what time it is.
    libc::SYS_getpid, libc::SYS_gettid, libc::SYS_getppid, libc::SYS_getuid, libc::SYS_geteuid, libc::SYS_getgid,
    libc::SYS_getegid, libc::SYS_getresuid, libc::SYS_getresgid, libc::SYS_getgroups, libc::SYS_getpgid, libc::SYS_getsid,
    libc::SYS_getrusage, libc::SYS_times, libc::SYS_gettimeofday, libc::SYS_clock_gettime, libc::SYS_clock_getres,
    libc::SYS_uname, libc::SYS_sysinfo, libc::SYS_getrandom, libc::SYS_getcpu, libc::SYS_capget,
];

/// The same under the names that only the oldest 64-bit port of Linux has.
#[cfg(target_arch = "x86_64")]
#[rustfmt::skip]
const ALLOWED_HERE: &[c_long] = &[
    libc::SYS_open, libc::SYS_stat, libc::SYS_lstat, libc::SYS_access, libc::SYS_readlink, libc::SYS_getdents,
    libc::SYS_unlink, libc::SYS_dup2, libc::SYS_poll, libc::SYS_select, libc::SYS_epoll_create, libc::SYS_epoll_wait,
    libc::SYS_eventfd, libc::SYS_signalfd, libc::SYS_arch_prctl, libc::SYS_time, libc::SYS_getrlimit, libc::SYS_getpgrp,
];
#[cfg(not(target_arch = "x86_64"))]
const ALLOWED_HERE: &[c_long] = &[];

/// What nobody uses by mistake.
#[rustfmt::skip]
const DEADLY: &[c_long] = &[
    libc::SYS_ptrace, libc::SYS_process_vm_readv, libc::SYS_process_vm_writev, libc::SYS_kcmp, libc::SYS_pidfd_getfd,
    libc::SYS_mount, libc::SYS_umount2, libc::SYS_pivot_root, libc::SYS_chroot, libc::SYS_open_tree, libc::SYS_move_mount,
    libc::SYS_fsopen, libc::SYS_fsconfig, libc::SYS_fsmount, libc::SYS_mount_setattr, libc::SYS_name_to_handle_at,
    libc::SYS_open_by_handle_at, libc::SYS_setns, libc::SYS_unshare, libc::SYS_bpf, libc::SYS_perf_event_open,
    libc::SYS_keyctl, libc::SYS_add_key, libc::SYS_request_key, libc::SYS_init_module, libc::SYS_finit_module,
    libc::SYS_delete_module, libc::SYS_kexec_load, libc::SYS_reboot, libc::SYS_swapon, libc::SYS_swapoff,
    libc::SYS_settimeofday, libc::SYS_clock_settime, libc::SYS_adjtimex, libc::SYS_clock_adjtime, libc::SYS_sethostname,
    libc::SYS_setdomainname, libc::SYS_setuid, libc::SYS_setgid, libc::SYS_setresuid, libc::SYS_setresgid,
    libc::SYS_setreuid, libc::SYS_setregid, libc::SYS_setgroups, libc::SYS_setfsuid, libc::SYS_setfsgid, libc::SYS_capset,
    libc::SYS_acct, libc::SYS_quotactl, libc::SYS_syslog, libc::SYS_vhangup, libc::SYS_fanotify_init,
    libc::SYS_lookup_dcookie,
];

#[cfg(target_arch = "x86_64")]
const DEADLY_HERE: &[c_long] =
    &[libc::SYS_iopl, libc::SYS_ioperm, libc::SYS_modify_ldt, libc::SYS_kexec_file_load, libc::SYS_uselib];
#[cfg(not(target_arch = "x86_64"))]
const DEADLY_HERE: &[c_long] = &[];

/// The filters, made before memory is limited.
pub(crate) struct Filters {
    programs: [BpfProgram; 3],
}

/// The processor of this machine is none for which there is a list.
#[derive(Debug, thiserror::Error)]
#[error("system calls of this machine cannot be filtered")]
pub(crate) struct FilterError(#[from] seccompiler::BackendError);

impl Filters {
    /// Makes them. `program_number` is the descriptor of the program that is to be started: it may be started by that
    /// number and in no other way. The number must be one that the kernel gives out to nobody later, so that nothing else
    /// is ever started.
    pub(crate) fn new(program_number: i32) -> Result<Self, FilterError> {
        let arch = TargetArch::try_from(std::env::consts::ARCH)?;
        let any = |calls: &[&[c_long]]| -> BTreeMap<i64, Vec<SeccompRule>> {
            calls.iter().copied().flatten().map(|call| (*call, Vec::new())).collect()
        };
        let mut allowed = any(&[ALLOWED, ALLOWED_HERE]);
        allowed.extend(allowed_in_part(program_number)?);
        let deadly =
            SeccompFilter::new(any(&[DEADLY, DEADLY_HERE]), SeccompAction::Allow, SeccompAction::KillProcess, arch)?;
        // Its arguments are in memory, where no filter sees them; without it the C library uses `clone`, whose are not.
        let absent = SeccompFilter::new(
            any(&[&[libc::SYS_clone3]]),
            SeccompAction::Allow,
            SeccompAction::Errno(libc::ENOSYS.unsigned_abs()),
            arch,
        )?;
        let rest = SeccompAction::Errno(libc::EPERM.unsigned_abs());
        let listed = SeccompFilter::new(allowed, rest, SeccompAction::Allow, arch)?;
        Ok(Self { programs: [deadly.try_into()?, absent.try_into()?, listed.try_into()?] })
    }

    /// Has this thread, and each that it starts, obey them from now on. The kernel asks all three and takes the strictest
    /// answer. The one that no longer lets filters be added is the last.
    pub(crate) fn apply(&self) -> Result<(), seccompiler::Error> {
        self.programs.iter().try_for_each(|program| seccompiler::apply_filter(program))
    }
}

/// Allowed with some arguments.
fn allowed_in_part(program_number: i32) -> Result<BTreeMap<i64, Vec<SeccompRule>>, FilterError> {
    let number = |value: i32| u64::from(value.unsigned_abs());
    let is =
        |argument: u8, value: u64| SeccompCondition::new(argument, SeccompCmpArgLen::Dword, SeccompCmpOp::Eq, value);
    let is_address =
        |argument: u8, value: u64| SeccompCondition::new(argument, SeccompCmpArgLen::Qword, SeccompCmpOp::Eq, value);
    let masked = |argument: u8, mask: u64, value: u64| {
        SeccompCondition::new(argument, SeccompCmpArgLen::Qword, SeccompCmpOp::MaskedEq(mask), value)
    };
    let one_of = |argument: u8, values: &[u64]| -> Result<Vec<SeccompRule>, FilterError> {
        values.iter().map(|value| Ok(SeccompRule::new(vec![is(argument, *value)?])?)).collect()
    };
    let all = |conditions: Vec<SeccompCondition>| SeccompRule::new(conditions);

    // A thread shares everything with its process; whatever shares less is a process.
    let thread = number(libc::CLONE_VM | libc::CLONE_FS | libc::CLONE_FILES | libc::CLONE_SIGHAND | libc::CLONE_THREAD);
    let apart = number(
        libc::CLONE_NEWNS
            | libc::CLONE_NEWCGROUP
            | libc::CLONE_NEWUTS
            | libc::CLONE_NEWIPC
            | libc::CLONE_NEWUSER
            | libc::CLONE_NEWPID
            | libc::CLONE_NEWNET
            | libc::CLONE_PTRACE
            | libc::CLONE_VFORK
            | libc::CLONE_PARENT,
    );
    let mut rules = BTreeMap::from([
        (libc::SYS_clone, vec![all(vec![masked(0, thread | apart, thread)?])?]),
        (libc::SYS_execveat, vec![all(vec![is(0, number(program_number))?, is(4, number(libc::AT_EMPTY_PATH))?])?]),
        // To the other end only: a name would be one of the namespace where the socket was made.
        (libc::SYS_sendto, vec![all(vec![is_address(4, 0)?])?]),
        // In its own list of processes the program is the first.
        (libc::SYS_tgkill, vec![all(vec![is(0, 1)?])?]),
        (libc::SYS_prlimit64, one_of(0, &[0, 1])?),
        (
            libc::SYS_fcntl,
            one_of(
                1,
                &[
                    libc::F_DUPFD,
                    libc::F_GETFD,
                    libc::F_SETFD,
                    libc::F_GETFL,
                    libc::F_DUPFD_CLOEXEC,
                    libc::F_OFD_GETLK,
                    libc::F_OFD_SETLK,
                ]
                .map(number),
            )?,
        ),
        // Whether something is a terminal, how much there is to read, and not to wait.
        (libc::SYS_ioctl, one_of(1, &[libc::TCGETS, libc::FIONREAD, libc::FIONBIO])?),
        (
            libc::SYS_prctl,
            one_of(
                0,
                &[
                    libc::PR_SET_NAME,
                    libc::PR_GET_NAME,
                    libc::PR_SET_TIMERSLACK,
                    libc::PR_GET_DUMPABLE,
                    libc::PR_SET_VMA,
                    libc::PR_CAPBSET_READ,
                ]
                .map(number),
            )?,
        ),
    ]);
    if let Some(fcntl) = rules.get_mut(&libc::SYS_fcntl) {
        // Not O_ASYNC: it sends signals.
        let signals = number(libc::O_ASYNC);
        fcntl.push(all(vec![is(1, number(libc::F_SETFL))?, masked(2, signals, 0)?])?);
    }
    let own = u64::try_from(libc::SOL_SOCKET).unwrap_or_default();
    let asked = [libc::SO_TYPE, libc::SO_ERROR, libc::SO_SNDBUF, libc::SO_RCVBUF, libc::SO_ACCEPTCONN, libc::SO_DOMAIN];
    let asked = asked.map(|name| Ok::<_, FilterError>(all(vec![is(1, own)?, is(2, number(name))?])?));
    rules.insert(libc::SYS_getsockopt, asked.into_iter().collect::<Result<_, _>>()?);
    Ok(rules)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn no_system_call_is_both_allowed_and_deadly() {
        let allowed: BTreeSet<_> = [ALLOWED, ALLOWED_HERE].concat().into_iter().collect();
        let deadly: BTreeSet<_> = [DEADLY, DEADLY_HERE].concat().into_iter().collect();
        assert_eq!(allowed.intersection(&deadly).count(), 0);
        assert_eq!(allowed.len(), ALLOWED.len() + ALLOWED_HERE.len(), "each is named once");
        let in_part = allowed_in_part(100).unwrap();
        assert!(in_part.keys().all(|call| !allowed.contains(call) && !deadly.contains(call)));
    }

    #[test]
    fn nothing_that_reaches_out_is_allowed() {
        let in_part = allowed_in_part(100).unwrap();
        for call in [
            libc::SYS_socket,
            libc::SYS_socketpair,
            libc::SYS_connect,
            libc::SYS_bind,
            libc::SYS_listen,
            libc::SYS_accept4,
            libc::SYS_sendmmsg,
            libc::SYS_execve,
            libc::SYS_kill,
            libc::SYS_memfd_create,
            libc::SYS_io_uring_setup,
            libc::SYS_userfaultfd,
            libc::SYS_shmget,
            libc::SYS_pipe2,
            libc::SYS_setsockopt,
            libc::SYS_seccomp,
        ] {
            assert!(!ALLOWED.contains(&call) && !in_part.contains_key(&call), "{call}");
        }
    }

    #[test]
    fn the_filters_are_short_enough_for_the_kernel() {
        // BPF_MAXINSNS (linux/bpf_common.h).
        assert!(Filters::new(100).unwrap().programs.iter().all(|program| program.len() <= 4_096));
    }
}
