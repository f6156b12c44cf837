//! QEMU: which one is here, and what it is told.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use komainu_trace::GuestIsa;
use serde::{Deserialize, Serialize};

use crate::kit::Kit;

/// Where programs are looked for when nobody says where QEMU is: the environment of a server is not asked.
const PROGRAM_FOLDERS: &[&str] = &["/usr/local/bin", "/usr/bin", "/bin"];

/// The oldest QEMU that works: `-netdev stream` came with it.
const VERSION_MIN: QemuVersion = QemuVersion { major: 7, minor: 2 };

/// The name of the port in the guest that its agent listens at.
const AGENT_PORT: &str = "komainu.agent";

/// The descriptors of a QEMU, besides the usual three. The jail puts them there.
pub(crate) const AGENT_DESCRIPTOR: i32 = 3;
pub(crate) const NETWORK_DESCRIPTOR: i32 = 4;
pub(crate) const QMP_DESCRIPTOR: i32 = 5;
pub(crate) const SNAPSHOT_DESCRIPTOR: i32 = 6;

/// Memory for translated code, in MiB. QEMU would take an eighth of the host's; the kernel and a sample need a tenth of this.
const TRANSLATED_MIB: u32 = 64;

/// A QEMU that was found and is new enough.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Qemu {
    /// The program.
    pub program: PathBuf,
    /// What it says of its version, for instance `7.2.22 (Debian 1:7.2+dfsg-7+deb12u18)`.
    pub version: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct QemuVersion {
    major: u32,
    minor: u32,
}

/// Why there is no QEMU for a processor.
#[derive(Debug, thiserror::Error)]
pub enum QemuError {
    /// It is not installed.
    #[error("there is no program `{program}`; on Debian and Ubuntu the package `{package}` has it")]
    None {
        /// The program.
        program: String,
        /// The package.
        package: &'static str,
    },
    /// It cannot be started, or does not say which one it is.
    #[error("`{} --version` does not say a version", .program.display())]
    Unknown {
        /// The program.
        program: PathBuf,
    },
    /// It is too old.
    #[error("`{}` is version {version}; {}.{} is the oldest that works", .program.display(), VERSION_MIN.major, VERSION_MIN.minor)]
    Old {
        /// The program.
        program: PathBuf,
        /// What it says.
        version: String,
    },
}

impl Qemu {
    /// Finds the QEMU of a kit, in `folder` or where programs usually are, and asks it for its version.
    pub fn find(kit_program: &str, isa: GuestIsa, folder: Option<&Path>) -> Result<Self, QemuError> {
        let folders: Vec<&Path> = match folder {
            Some(folder) => vec![folder],
            None => PROGRAM_FOLDERS.iter().map(Path::new).collect(),
        };
        let found = folders.into_iter().map(|folder| folder.join(kit_program)).find(|program| program.is_file());
        let program =
            found.ok_or_else(|| QemuError::None { program: kit_program.to_owned(), package: debian_package(isa) })?;
        let said =
            Command::new(&program).arg("--version").env_clear().stdin(Stdio::null()).stderr(Stdio::null()).output();
        let text = said.map(|said| String::from_utf8_lossy(&said.stdout).into_owned()).unwrap_or_default();
        let Some((number, version)) = version(&text) else { return Err(QemuError::Unknown { program }) };
        if number < VERSION_MIN {
            return Err(QemuError::Old { program, version });
        }
        Ok(Self { program, version })
    }
}

/// The version in what `--version` prints.
fn version(text: &str) -> Option<(QemuVersion, String)> {
    let version = text.lines().next()?.strip_prefix("QEMU emulator version ")?;
    let mut numbers = version.split(['.', ' ']);
    let mut number = || numbers.next()?.parse().ok();
    let parsed = QemuVersion { major: number()?, minor: number()? };
    Some((parsed, version.chars().filter(|letter| !letter.is_control()).take(128).collect()))
}

fn debian_package(isa: GuestIsa) -> &'static str {
    match isa {
        GuestIsa::Arm | GuestIsa::Arm64 => "qemu-system-arm",
        GuestIsa::Mips | GuestIsa::Mipsel => "qemu-system-mips",
        GuestIsa::X86 | GuestIsa::X86_64 => "qemu-system-x86",
        GuestIsa::Powerpc => "qemu-system-ppc",
        GuestIsa::Sparc64 => "qemu-system-sparc",
        GuestIsa::Sh4 | GuestIsa::Riscv64 | GuestIsa::M68k => "qemu-system-misc",
    }
}

/// How a machine begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Beginning {
    /// It boots.
    Cold,
    /// It goes on where a snapshot stands, which is at [`SNAPSHOT_DESCRIPTOR`].
    Snapshot,
}

/// How the machine's time goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Pace {
    /// As the host's.
    Host,
    /// By the number of instructions that the guest has done, so that runs are alike.
    Instructions,
}

impl Pace {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Host => "host",
            Self::Instructions => "instructions",
        }
    }
}

/// Everything that QEMU is told. Where a snapshot is bound to something, it is bound to these but for the beginning.
pub(crate) fn arguments(kit: &Kit, pace: Pace, beginning: Beginning) -> Vec<String> {
    let suffix = kit.virtio.suffix();
    let mut arguments: Vec<String> = kit.machine.clone();
    let mut tell = |option: &str, value: String| arguments.extend([option.to_owned(), value]);
    tell("-m", kit.memory_mib.to_string());
    tell("-smp", "1".to_owned());
    tell("-accel", format!("tcg,tb-size={TRANSLATED_MIB}"));
    if pace == Pace::Instructions {
        tell("-icount", "shift=3,align=off,sleep=on".to_owned());
    }
    tell("-kernel", path(&kit.kernel));
    tell("-initrd", path(&kit.root));
    tell("-append", kit.command_line.clone());
    // The clock of the machine is always the same; the agent sets that of the guest.
    tell("-rtc", "base=2024-01-01T00:00:00,clock=vm".to_owned());
    for value in [format!("socket,id=agent,fd={AGENT_DESCRIPTOR}"), format!("socket,id=qmp,fd={QMP_DESCRIPTOR}")] {
        tell("-chardev", value);
    }
    tell("-mon", "chardev=qmp,mode=control".to_owned());
    tell("-netdev", format!("stream,id=network,server=off,addr.type=fd,addr.str={NETWORK_DESCRIPTOR}"));
    tell("-device", format!("virtio-serial-{suffix}"));
    tell("-device", format!("virtserialport,chardev=agent,name={AGENT_PORT}"));
    // Malta's four slots share two interrupt lines (PIIX4), whose controller waits for an edge: of two devices that raise a
    // line at the same moment, both are deaf from then on. The serial port, the first device, has a line of its own, since all
    // orders come that way; the card, which was deaf in 4 of 84 runs when it shared that line, has the other one with the source
    // of random numbers, which speaks once a minute.
    let slot = |number: u8| if kit.is_malta() { format!(",addr={number:#x}") } else { String::new() };
    tell("-object", "rng-builtin,id=random".to_owned());
    tell("-device", format!("virtio-rng-{suffix},rng=random{}", slot(20)));
    let no_rom = if suffix == "pci" { ",romfile=" } else { "" };
    tell("-device", format!("virtio-net-{suffix},netdev=network{no_rom}{}", slot(21)));
    tell("-display", "none".to_owned());
    tell("-serial", "null".to_owned());
    tell("-monitor", "none".to_owned());
    // Without a second start, a guest that begins anew is over, as one that is switched off.
    arguments.extend(["-nodefaults", "-no-user-config", "-no-reboot"].map(str::to_owned));
    if beginning == Beginning::Snapshot {
        arguments.extend(["-incoming".to_owned(), format!("fd:{SNAPSHOT_DESCRIPTOR}")]);
    }
    arguments
}

/// A path in the language of QEMU's options. `-kernel` and `-initrd` take a path as it is.
fn path(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read() {
        let check = |text: &str, expected: Option<(u32, u32, &str)>| {
            let read = version(text);
            let read = read.as_ref().map(|(number, text)| (number.major, number.minor, text.as_str()));
            assert_eq!(read, expected, "{text}");
        };
        let debian = "QEMU emulator version 7.2.22 (Debian 1:7.2+dfsg-7+deb12u18+b3)\nCopyright (c) 2003-2022\n";
        check(debian, Some((7, 2, "7.2.22 (Debian 1:7.2+dfsg-7+deb12u18+b3)")));
        check("QEMU emulator version 10.0.50\n", Some((10, 0, "10.0.50")));
        check("QEMU emulator version x.2\n", None);
        check("sh 7.2\n", None);
        check("", None);
    }

    #[test]
    fn a_qemu_that_is_not_there_or_old_is_said_with_its_package() {
        let folder = tempfile::tempdir().unwrap();
        let find = || Qemu::find("qemu-system-sh4", GuestIsa::Sh4, Some(folder.path()));
        assert!(find().unwrap_err().to_string().contains("qemu-system-misc"));
        let program = folder.path().join("qemu-system-sh4");
        let write = |text: &str| {
            std::fs::write(&program, format!("#!/bin/sh\necho '{text}'\n")).unwrap();
            std::fs::set_permissions(&program, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        };
        write("QEMU emulator version 7.1.9");
        assert!(find().unwrap_err().to_string().contains("7.2 is the oldest"));
        write("hello");
        assert!(matches!(find(), Err(QemuError::Unknown { .. })));
        write("QEMU emulator version 8.0.0");
        assert_eq!(find().unwrap().version, "8.0.0");
    }
}
