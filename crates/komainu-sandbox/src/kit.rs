//! Kits: what a guest of one processor is made of.
//!
//! A kit is a folder with a kernel, a root filesystem and `kit.json`, which `cargo xtask kits` builds. It is the
//! operator's own; what is checked here is that it is whole and that a mistake in it is told before anything runs.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use komainu_trace::GuestIsa;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::limits::{KIT_FILE_BYTES_MAX, KIT_JSON_BYTES_MAX};

/// The kernel's name in a kit.
const KERNEL: &str = "kernel";
/// The root filesystem's name in a kit.
const ROOT: &str = "root.cpio.gz";

/// A kit that was found whole.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kit {
    /// Its processor.
    pub isa: GuestIsa,
    /// The kernel's file.
    pub kernel: PathBuf,
    /// The root filesystem's file, packed.
    pub root: PathBuf,
    /// The program that is its machine: `qemu-system-…`.
    pub qemu: String,
    /// The arguments that choose the machine and the processor.
    pub machine: Vec<String>,
    /// How devices are attached to the machine.
    pub virtio: Virtio,
    /// Memory of the guest, in MiB.
    pub memory_mib: u32,
    /// The kernel's command line.
    pub command_line: String,
    /// The kernel's version.
    pub kernel_version: String,
    /// SHA-256 over everything above that a guest sees, in hexadecimal digits.
    pub digest: String,
}

/// How virtio devices are attached to a machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Virtio {
    /// On a PCI bus.
    Pci,
    /// At addresses of their own.
    Mmio,
}

impl Virtio {
    /// What the names of such devices end in.
    pub(crate) fn suffix(self) -> &'static str {
        match self {
            Self::Pci => "pci",
            Self::Mmio => "device",
        }
    }
}

/// Why there is no kit.
#[derive(Debug, thiserror::Error)]
pub enum KitError {
    /// The folder has none.
    #[error("there is no kit `{}`; `cargo xtask kits {isa}` makes it, if it is one of those that it lists (docs/kits.md)", .folder.display())]
    None {
        /// The processor.
        isa: GuestIsa,
        /// Where it would be.
        folder: PathBuf,
    },
    /// A file of it cannot be read.
    #[error("cannot read `{}`", .path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// `kit.json` says something else than it should, or a file is not the one that it names.
    #[error("the kit `{}` is broken: {reason}; `cargo xtask kits {isa}` makes it anew", .folder.display())]
    Broken {
        /// The processor.
        isa: GuestIsa,
        /// Where it is.
        folder: PathBuf,
        /// What is wrong.
        reason: String,
    },
}

/// `kit.json`. Keys that are not named here are for readers.
#[derive(Deserialize)]
struct WireKit {
    isa: GuestIsa,
    qemu: String,
    machine: Vec<String>,
    virtio: Virtio,
    memory_mib: u32,
    command_line: String,
    kernel_version: String,
    files: WireFiles,
}

/// SHA-256 of the files, in hexadecimal digits.
#[derive(Deserialize)]
struct WireFiles {
    kernel: String,
    #[serde(rename = "root.cpio.gz")]
    root: String,
}

/// Memory of guests, in MiB: a kernel needs some, and many guests run at once.
const MEMORY_MIB: std::ops::RangeInclusive<u32> = 16..=512;

/// What a kit may say to QEMU besides what is said here: which machine and which processor.
const MACHINE_OPTIONS: &[&str] = &["-M", "-machine", "-cpu", "-bios", "-global"];

impl Kit {
    /// Whether its machine is MIPS's Malta board, of which QEMU has to be told where devices are.
    pub(crate) fn is_malta(&self) -> bool {
        self.machine.iter().any(|word| word == "malta")
    }

    /// Reads the kit for `isa` in the folder of all kits, and compares its files with the digests that it names.
    pub fn read(kits: &Path, isa: GuestIsa) -> Result<Self, KitError> {
        let folder = kits.join(isa.name());
        let path = folder.join("kit.json");
        let json = match read_bounded(&path, KIT_JSON_BYTES_MAX) {
            Ok(json) => json,
            Err(source) if source.kind() == io::ErrorKind::NotFound => return Err(KitError::None { isa, folder }),
            Err(source) => return Err(KitError::Read { path, source }),
        };
        let broken = |reason: String| KitError::Broken { isa, folder: folder.clone(), reason };
        let wire: WireKit = serde_json::from_slice(&json).map_err(|error| broken(format!("kit.json: {error}")))?;
        check(&wire, isa).map_err(|reason| broken(format!("kit.json: {reason}")))?;
        let file = |name: &str, wanted: &str| {
            let path = folder.join(name);
            let digest = sha256(&path).map_err(|source| KitError::Read { path: path.clone(), source })?;
            if digest != wanted {
                return Err(broken(format!("`{name}` is not the one that kit.json names")));
            }
            // A jail shows files by names that mean the same everywhere; the folder of kits may be named from here.
            fs::canonicalize(&path).map_err(|source| KitError::Read { path, source })
        };
        let (kernel, root) = (file(KERNEL, &wire.files.kernel)?, file(ROOT, &wire.files.root)?);
        let digest = digest(&wire);
        let WireKit { qemu, machine, virtio, memory_mib, command_line, kernel_version, .. } = wire;
        Ok(Self { isa, kernel, root, qemu, machine, virtio, memory_mib, command_line, kernel_version, digest })
    }
}

fn check(wire: &WireKit, isa: GuestIsa) -> Result<(), String> {
    if wire.isa != isa {
        return Err(format!("it is for {}", wire.isa));
    }
    let name = wire.qemu.strip_prefix("qemu-system-").unwrap_or_default();
    if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
        return Err(format!("`{}` is no program `qemu-system-…`", wire.qemu.escape_debug()));
    }
    let mut arguments = wire.machine.iter();
    while let Some(option) = arguments.next() {
        if !MACHINE_OPTIONS.contains(&&**option) {
            return Err(format!("`{}` does not choose a machine", option.escape_debug()));
        }
        if arguments.next().is_none_or(|value| value.starts_with('-')) {
            return Err(format!("`{option}` has no value"));
        }
    }
    if !MEMORY_MIB.contains(&wire.memory_mib) {
        return Err(format!(
            "{} MiB of memory; {} to {} are possible",
            wire.memory_mib,
            MEMORY_MIB.start(),
            MEMORY_MIB.end()
        ));
    }
    Ok(())
}

/// What a guest sees of the kit. The digests of the files stand for the files.
fn digest(wire: &WireKit) -> String {
    let mut hash = Sha256::new();
    let memory = wire.memory_mib.to_string();
    let texts =
        [&*wire.files.kernel, &*wire.files.root, &*wire.qemu, wire.virtio.suffix(), &*memory, &*wire.command_line];
    for text in texts.into_iter().chain(wire.machine.iter().map(String::as_str)) {
        hash.update(text.as_bytes());
        hash.update([0]);
    }
    hex::encode(hash.finalize())
}

fn read_bounded(path: &Path, bytes_max: u64) -> io::Result<Vec<u8>> {
    let mut contents = Vec::new();
    File::open(path)?.take(bytes_max + 1).read_to_end(&mut contents)?;
    if contents.len() as u64 > bytes_max {
        return Err(io::Error::new(io::ErrorKind::InvalidData, format!("it has more than {bytes_max} bytes")));
    }
    Ok(contents)
}

fn sha256(path: &Path) -> io::Result<String> {
    let mut hash = Sha256::new();
    let copied = io::copy(&mut File::open(path)?.take(KIT_FILE_BYTES_MAX + 1), &mut HashWriter(&mut hash))?;
    if copied > KIT_FILE_BYTES_MAX {
        return Err(io::Error::new(io::ErrorKind::InvalidData, format!("it has more than {KIT_FILE_BYTES_MAX} bytes")));
    }
    Ok(hex::encode(hash.finalize()))
}

struct HashWriter<'a>(&'a mut Sha256);

impl io::Write for HashWriter<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {

    use super::*;

    /// SHA-256 of `abc`.
    const ABC: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

    fn kit(change: impl Fn(String) -> String) -> Result<Kit, KitError> {
        let kits = tempfile::tempdir().unwrap();
        let folder = kits.path().join("arm");
        fs::create_dir(&folder).unwrap();
        fs::write(folder.join("kernel"), "abc").unwrap();
        fs::write(folder.join("root.cpio.gz"), "abc").unwrap();
        let json = format!(
            r#"{{"isa": "arm", "qemu": "qemu-system-arm", "machine": ["-M", "virt", "-cpu", "cortex-a15"],
            "virtio": "mmio", "memory_mib": 64, "console": "ttyAMA0", "command_line": "quiet", "kernel_version": "6.1",
            "files": {{"kernel": "{ABC}", "root.cpio.gz": "{ABC}"}}}}"#
        );
        fs::write(folder.join("kit.json"), change(json)).unwrap();
        Kit::read(kits.path(), GuestIsa::Arm)
    }

    #[test]
    fn a_whole_kit_is_read() {
        let kit = kit(|json| json).unwrap();
        assert_eq!((&*kit.qemu, kit.memory_mib, kit.virtio), ("qemu-system-arm", 64, Virtio::Mmio));
        assert!(kit.kernel.ends_with("arm/kernel"));
    }

    #[test]
    fn whatever_a_guest_sees_changes_the_digest() {
        let plain = kit(|json| json).unwrap().digest;
        for (from, to) in [("quiet", "loud"), ("64,", "65,"), ("mmio", "pci"), ("cortex-a15", "cortex-a7")] {
            assert_ne!(kit(|json| json.replace(from, to)).unwrap().digest, plain, "{from} to {to}");
        }
        assert_eq!(kit(|json| json.replace("ttyAMA0", "ttyS0")).unwrap().digest, plain, "for readers only");
    }

    #[test]
    fn what_is_wrong_with_a_kit_is_said() {
        let check = |from: &str, to: &str, expected: &str| {
            let error = kit(|json| json.replacen(from, to, 1)).unwrap_err().to_string();
            assert!(error.contains(expected), "{from} to {to}: {error}");
        };
        check("\"arm\"", "\"mips\"", "it is for mips");
        check("qemu-system-arm", "../sh", "no program");
        check("-cpu", "-monitor", "does not choose a machine");
        check("cortex-a15", "-S", "has no value");
        check("64", "6400", "MiB of memory");
        check("mmio", "usb", "unknown variant");
        check(ABC, &ABC.replace('b', "c"), "`kernel` is not the one");
        check("{", "", "kit.json: ");
        let none = Kit::read(Path::new("/nowhere"), GuestIsa::Sh4).unwrap_err().to_string();
        assert!(none.contains("cargo xtask kits sh4"), "{none}");
    }
}
