//! How much of the machine a jail may use.

use std::time::Duration;

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use serde::{Deserialize, Serialize};

/// The most that the one process of a jail may use. All of them always hold, with or without control groups: the process
/// can start no other, so what bounds a process bounds the jail.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Address space in bytes, which is more than what is held in memory: QEMU reserves 300 to 600 MiB beside the memory of
    /// the guest and its translations.
    pub memory_bytes_max: u64,
    /// Threads, the first one included.
    pub threads_max: u64,
    /// Seconds of processor time of all threads.
    pub cpu_s_max: u64,
    /// Seconds from the start to the end, whatever the program does.
    pub time_s_max: u64,
    /// Bytes of each file it writes: of descriptors that it was given, and of its scratch folder.
    pub file_bytes_max: u64,
    /// Open descriptors, those that it was given included. QEMU has an event for each queue of each device on PCI: a serial
    /// port alone takes about 70.
    pub descriptors_max: u64,
    /// Bytes of all files in its scratch folder, `/scratch`, which are held in memory. With 0 there is no such folder.
    pub scratch_bytes_max: u64,
}

impl Default for Limits {
    /// Enough for QEMU with a guest of 256 MiB for two minutes.
    fn default() -> Self {
        Self {
            memory_bytes_max: 1 << 30,
            threads_max: 32,
            cpu_s_max: 180,
            time_s_max: 120,
            file_bytes_max: 512 << 20,
            descriptors_max: 256,
            scratch_bytes_max: 0,
        }
    }
}

/// Signals that wait to be delivered: each timer of the process holds one (timer_create(2)).
const PENDING_SIGNALS_MAX: u64 = 64;

/// Bytes of a thread's stack, as Linux has it for the first one.
const STACK_BYTES_MAX: u64 = 8 << 20;

/// One byte, not none: with 0, a core dump still goes to the program that `core_pattern` names, outside of the jail and
/// as root; exactly 1 is the value with which the kernel gives up both kinds (fs/coredump.c, "RLIMIT_CORE is set to 1").
const CORE_BYTES_MAX: u64 = 1;

impl Limits {
    /// How long the jail may be there.
    pub(crate) fn time_max(&self) -> Duration {
        Duration::from_secs(self.time_s_max)
    }

    /// What is wrong with them: a limit that limits nothing, or with which nothing runs.
    pub(crate) fn problem(&self) -> Option<&'static str> {
        /// More than any machine has, in bytes: whoever says so wants no limit.
        const BYTES_LIMITLESS: u64 = 1 << 46;
        let Self { memory_bytes_max, threads_max, cpu_s_max, time_s_max, file_bytes_max, descriptors_max, .. } = *self;
        let is_counted = |value: u64, most: u64| (1..=most).contains(&value);
        if !is_counted(memory_bytes_max, BYTES_LIMITLESS) {
            return Some("memory_bytes_max must be from 1 byte to 64 TiB");
        }
        if !is_counted(threads_max, 4_096) {
            return Some("threads_max must be from 1 to 4096");
        }
        if !is_counted(cpu_s_max, 7 * 86_400) || !is_counted(time_s_max, 7 * 86_400) {
            return Some("cpu_s_max and time_s_max must be from 1 second to 7 days");
        }
        if file_bytes_max > BYTES_LIMITLESS || self.scratch_bytes_max > memory_bytes_max {
            return Some("file_bytes_max must be at most 64 TiB, scratch_bytes_max at most memory_bytes_max");
        }
        if !is_counted(descriptors_max, 4_096) || descriptors_max < 8 {
            return Some("descriptors_max must be from 8 to 4096");
        }
        None
    }

    /// Sets them for this process and looks whether they are set. It must be in its own user namespace: there the
    /// kernel counts its threads apart from all others of the same user.
    ///
    /// The last step before the program starts, since from here on memory may be short.
    pub(crate) fn set(&self) -> nix::Result<()> {
        for (resource, most) in [
            (Resource::RLIMIT_CORE, CORE_BYTES_MAX),
            (Resource::RLIMIT_CPU, self.cpu_s_max),
            (Resource::RLIMIT_FSIZE, self.file_bytes_max),
            (Resource::RLIMIT_MEMLOCK, 0),
            (Resource::RLIMIT_MSGQUEUE, 0),
            (Resource::RLIMIT_NICE, 0),
            (Resource::RLIMIT_NOFILE, self.descriptors_max),
            // The launcher is in the same namespace, and is one more.
            (Resource::RLIMIT_NPROC, self.threads_max + 1),
            (Resource::RLIMIT_RTPRIO, 0),
            (Resource::RLIMIT_SIGPENDING, PENDING_SIGNALS_MAX),
            (Resource::RLIMIT_STACK, STACK_BYTES_MAX),
            (Resource::RLIMIT_AS, self.memory_bytes_max),
        ] {
            // An outer limit that is lower stays: nobody here may raise it.
            let (_, outer) = getrlimit(resource)?;
            let most = most.min(outer);
            setrlimit(resource, most, most)?;
            if getrlimit(resource)? != (most, most) {
                return Err(nix::errno::Errno::EPERM);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_that_limits_nothing_is_a_problem() {
        let check = |change: fn(&mut Limits), is_problem: bool| {
            let mut limits = Limits::default();
            change(&mut limits);
            assert_eq!(limits.problem().is_some(), is_problem, "{limits:?}");
        };
        check(|_| (), false);
        check(|limits| limits.memory_bytes_max = 0, true);
        check(|limits| limits.memory_bytes_max = u64::MAX, true);
        check(|limits| limits.threads_max = 0, true);
        check(|limits| limits.threads_max = u64::MAX, true);
        check(|limits| limits.cpu_s_max = 0, true);
        check(|limits| limits.time_s_max = u64::MAX, true);
        check(|limits| limits.file_bytes_max = 0, false);
        check(|limits| limits.file_bytes_max = u64::MAX, true);
        check(|limits| limits.descriptors_max = 7, true);
        check(|limits| limits.scratch_bytes_max = 1 << 31, true);
    }
}
