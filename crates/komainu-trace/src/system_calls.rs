//! The names of system calls on each processor, and what their arguments mean.

mod tables;

use crate::guest::GuestAct;
use crate::{GuestIsa, RawText};

/// The name of a system call. None for a number that the kernel does not have.
pub(crate) fn name(isa: GuestIsa, number: u32) -> Option<&'static str> {
    let table = match isa {
        GuestIsa::Arm => tables::ARM,
        GuestIsa::Arm64 => tables::ARM64,
        GuestIsa::Mips | GuestIsa::Mipsel => tables::MIPS,
        GuestIsa::X86 => tables::X86,
        GuestIsa::X86_64 => tables::X86_64,
        GuestIsa::Powerpc => tables::POWERPC,
        GuestIsa::Sh4 => tables::SH4,
        GuestIsa::Riscv64 => tables::RISCV64,
        GuestIsa::Sparc64 => tables::SPARC64,
        GuestIsa::M68k => tables::M68K,
    };
    let place = table.binary_search_by_key(&number, |&(number, _)| number).ok()?;
    table.get(place).map(|&(_, name)| name)
}

/// What an act is made of: a path, and the number in the argument behind it. None if that is not everything.
type Meaning = fn(RawText, u32) -> Option<GuestAct>;

/// What kind of call it is, with the places of what matters among its arguments.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Group {
    Exec,
    Open(usize),
    Path(usize, Meaning),
    Paths(usize, usize, fn(RawText, RawText) -> GuestAct),
    Write,
    Socket,
    Listen,
    Kill,
    KillThread,
    Trace,
    Control,
    DeviceControl,
    ChangeUser(usize),
    ChangeModeOf,
    Module,
    Machine,
    Other,
}

impl PartialEq for Group {
    fn eq(&self, other: &Self) -> bool {
        std::mem::discriminant(self) == std::mem::discriminant(other)
    }
}

impl Group {
    /// The group of a call by its name.
    pub(crate) fn of(name: &str) -> Self {
        let look: Meaning = |path, _| Some(GuestAct::Look { path });
        let unlink: Meaning = |path, _| Some(GuestAct::Unlink { path });
        let make_folder: Meaning = |path, _| Some(GuestAct::MakeFolder { path });
        let change_folder: Meaning = |path, _| Some(GuestAct::ChangeFolder { path });
        let change_mode: Meaning = |path, mode| Some(GuestAct::ChangeMode { path, mode: mode & 0o7777 });
        let unmount: Meaning =
            |target, _| Some(GuestAct::Mount { source: RawText::default(), target, kind: RawText::default() });
        // Its other names come from a probe, which tells the whole.
        let mount: Meaning = |_, _| None;
        let rename = |from, to| GuestAct::Move { from, to };
        match name {
            "execve" | "execveat" => Self::Exec,
            "open" | "creat" => Self::Open(0),
            "openat" | "openat2" => Self::Open(1),
            "unlink" | "rmdir" => Self::Path(0, unlink),
            "unlinkat" => Self::Path(1, unlink),
            "rename" | "link" => Self::Paths(0, 1, rename),
            "renameat" | "renameat2" | "linkat" => Self::Paths(1, 3, rename),
            "mkdir" => Self::Path(0, make_folder),
            "mkdirat" => Self::Path(1, make_folder),
            "chmod" => Self::Path(0, change_mode),
            "fchmodat" => Self::Path(1, change_mode),
            "fchmod" => Self::ChangeModeOf,
            "chdir" | "chroot" => Self::Path(0, change_folder),
            "stat" | "stat64" | "lstat" | "lstat64" | "oldstat" | "oldlstat" | "access" | "readlink" | "statfs"
            | "statfs64" => Self::Path(0, look),
            "newfstatat" | "fstatat" | "fstatat64" | "statx" | "faccessat" | "faccessat2" | "readlinkat"
            | "inotify_add_watch" => Self::Path(1, look),
            "mount" => Self::Path(1, mount),
            "umount" | "umount2" | "oldumount" => Self::Path(0, unmount),
            "write" | "pwrite64" => Self::Write,
            "socket" => Self::Socket,
            "listen" => Self::Listen,
            "kill" | "tkill" => Self::Kill,
            "tgkill" => Self::KillThread,
            "ptrace" => Self::Trace,
            "prctl" => Self::Control,
            "ioctl" => Self::DeviceControl,
            "setuid" | "setuid32" | "setfsuid" | "setfsuid32" => Self::ChangeUser(0),
            "setreuid" | "setreuid32" | "setresuid" | "setresuid32" => Self::ChangeUser(1),
            "init_module" | "finit_module" | "delete_module" => Self::Module,
            "reboot" | "sethostname" | "setdomainname" | "settimeofday" | "stime" | "clock_settime"
            | "clock_settime64" | "adjtimex" | "clock_adjtime" | "clock_adjtime64" | "swapon" | "swapoff"
            | "kexec_load" | "kexec_file_load" | "iopl" | "ioperm" | "acct" | "pivot_root" => Self::Machine,
            _ => Self::Other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_are_sorted_and_know_what_every_processor_has() {
        for isa in GuestIsa::ALL {
            let names: Vec<_> = (0..6000).filter_map(|number| name(isa, number)).collect();
            assert!(names.len() > 250, "{isa}: {}", names.len());
            for every in ["execve", "openat", "unlinkat", "connect", "ptrace", "init_module"] {
                assert_eq!(names.iter().filter(|&&name| name == every).count(), 1, "{isa}: {every}");
            }
        }
    }

    #[test]
    fn numbers_are_those_of_the_processor() {
        for (isa, number, expected) in [
            (GuestIsa::Arm, 5, Some("open")),
            (GuestIsa::Arm, 283, Some("connect")),
            (GuestIsa::Arm64, 56, Some("openat")),
            (GuestIsa::Mips, 4005, Some("open")),
            (GuestIsa::Mipsel, 5, None),
            (GuestIsa::X86, 102, Some("socketcall")),
            (GuestIsa::X86_64, 59, Some("execve")),
            (GuestIsa::Riscv64, 79, Some("newfstatat")),
            (GuestIsa::Sparc64, 59, Some("execve")),
            (GuestIsa::M68k, u32::MAX, None),
        ] {
            assert_eq!(name(isa, number), expected, "{isa} {number}");
        }
    }
}
