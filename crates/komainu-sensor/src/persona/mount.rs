//! Which file systems a persona has besides those of a small device, and thus where it can be written to.

use serde::Deserialize;

use super::{Device, PersonaError};
use crate::shell::{Machine, Mount};

/// File systems that a persona may name. Devices have a handful.
const MOUNTS_MAX: usize = 16;

/// The longest place, source or type, in bytes.
const TEXT_BYTES_MAX: usize = 64;

/// What the kernel makes; nothing else can be there.
const OF_THE_KERNEL: [&str; 3] = ["/proc", "/sys", "/dev"];

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct MountText {
    at: String,
    source: String,
    r#type: String,
    #[serde(default)]
    read_only: bool,
    kib: u32,
    #[serde(default)]
    used_kib: u32,
}

/// Checks what a persona says, and mounts it; `device` is for errors.
pub(super) fn mount_all(machine: &mut Machine, all: Vec<MountText>, device: &Device<'_>) -> Result<(), PersonaError> {
    if all.len() > MOUNTS_MAX {
        return Err(device.wrong("mount", format!("must be at most {MOUNTS_MAX}")));
    }
    for (number, one) in all.into_iter().enumerate() {
        let field = |field: &str| format!("mount[{number}].{field}");
        for (name, text) in [("at", &one.at), ("source", &one.source), ("type", &one.r#type)] {
            let is_word = !text.is_empty() && !text.chars().any(|one| one.is_control() || one.is_whitespace());
            if !is_word || text.len() > TEXT_BYTES_MAX {
                return Err(device.wrong(field(name), format!("must be a word of at most {TEXT_BYTES_MAX} bytes")));
            }
        }
        let is_plain = one.at == "/"
            || one
                .at
                .strip_prefix('/')
                .is_some_and(|path| path.split('/').all(|part| !matches!(part, "" | "." | "..")));
        if !is_plain {
            return Err(device.wrong(field("at"), "must be / or a path such as /mnt/hdd"));
        }
        if OF_THE_KERNEL
            .iter()
            .any(|made| one.at.strip_prefix(made).is_some_and(|rest| !rest.starts_with(|letter: char| letter != '/')))
        {
            return Err(device.wrong(field("at"), "is what the kernel makes"));
        }
        if one.used_kib > one.kib {
            return Err(device.wrong(field("used_kib"), "must not be more than kib"));
        }
        machine.mount(Mount {
            source: one.source.into(),
            at: one.at.into(),
            kind: one.r#type.into(),
            options: if one.read_only { "ro,relatime".into() } else { "rw,relatime".into() },
            kib: one.kib,
            used_kib: one.used_kib,
        });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::persona::{PersonaError, check};

    fn persona(mount: &str) -> Result<(), String> {
        let text =
            format!("name = \"x\"\ntype = \"x\"\nhost_name = \"x\"\ncpu = \"mips\"\n{mount}\n[[raw]]\nports = [9]\n");
        let files = [("persona.toml".to_owned(), text.into_bytes())].into();
        check("x", &files).map(drop).map_err(|error| match error {
            PersonaError::Field { field, problem, .. } => format!("{field} {problem}"),
            other => format!("{other:?}"),
        })
    }

    fn refused(at: &str, rest: &str, expected: &str) {
        let mount = format!("[[mount]]\nat = \"{at}\"\nsource = \"/dev/sda1\"\ntype = \"ext3\"\n{rest}");
        let said = persona(&mount).unwrap_err();
        assert!(said.contains(expected), "{at}: {said}");
    }

    #[test]
    fn mistakes_are_told_by_their_field() {
        persona("[[mount]]\nat = \"/device\"\nsource = \"/dev/sda1\"\ntype = \"ext3\"\nkib = 5\nused_kib = 5").unwrap();
        refused("mnt", "kib = 1", "mount[0].at must be / or a path");
        refused("/mnt/", "kib = 1", "mount[0].at must be / or a path");
        refused("/mnt/../etc", "kib = 1", "mount[0].at must be / or a path");
        refused("/m n", "kib = 1", "mount[0].at must be a word");
        refused("/proc", "kib = 1", "mount[0].at is what the kernel makes");
        refused("/dev/shm", "kib = 1", "mount[0].at is what the kernel makes");
        refused("/mnt", "kib = 1\nused_kib = 2", "mount[0].used_kib must not be more");
        let many = "[[mount]]\nat = \"/a\"\nsource = \"b\"\ntype = \"c\"\nkib = 1\n".repeat(17);
        assert!(persona(&many).unwrap_err().contains("mount must be at most 16"));
    }
}
