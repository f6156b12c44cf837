//! What an artifact is, by its first bytes.

use std::fmt;

/// What an artifact is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// An ELF file, for this machine.
    Elf {
        /// The machine, such as `arm`, `mips`, `mipsel`; `unknown` for one without a name here.
        machine: &'static str,
    },
    /// A script that begins with `#!`.
    Script,
    /// A PE file.
    Pe,
    /// A gzip archive.
    Gzip,
    /// A ZIP archive, such as an Android package.
    Zip,
    /// Text in UTF-8.
    Text,
    /// Something else.
    Data,
}

impl Kind {
    /// Looks at the beginning of `contents`.
    pub fn of(contents: &[u8]) -> Self {
        match contents {
            [0x7F, b'E', b'L', b'F', ..] => Self::Elf { machine: elf_machine(contents).unwrap_or("unknown") },
            [b'#', b'!', ..] => Self::Script,
            [b'M', b'Z', ..] => Self::Pe,
            [0x1F, 0x8B, ..] => Self::Gzip,
            [b'P', b'K', 3, 4, ..] => Self::Zip,
            _ if is_text(contents) => Self::Text,
            _ => Self::Data,
        }
    }

    /// The machine that an ELF file is for.
    pub fn machine(self) -> Option<&'static str> {
        match self {
            Self::Elf { machine } => Some(machine),
            Self::Script | Self::Pe | Self::Gzip | Self::Zip | Self::Text | Self::Data => None,
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Elf { machine } => write!(formatter, "elf/{machine}"),
            Self::Script => formatter.write_str("script"),
            Self::Pe => formatter.write_str("pe"),
            Self::Gzip => formatter.write_str("gzip"),
            Self::Zip => formatter.write_str("zip"),
            Self::Text => formatter.write_str("text"),
            Self::Data => formatter.write_str("data"),
        }
    }
}

/// `e_machine` (System V ABI, chapter 4, ELF header), read in the byte order that byte 5 tells.
fn elf_machine(contents: &[u8]) -> Option<&'static str> {
    let is_big_endian = *contents.get(5)? == 2;
    let machine: [u8; 2] = contents.get(18..20)?.try_into().ok()?;
    let machine = if is_big_endian { u16::from_be_bytes(machine) } else { u16::from_le_bytes(machine) };
    Some(match (machine, is_big_endian) {
        (2 | 18 | 43, _) => "sparc",
        (3, _) => "x86",
        (4, _) => "m68k",
        (8, true) => "mips",
        (8, false) => "mipsel",
        (20 | 21, _) => "powerpc",
        (40, false) => "arm",
        (40, true) => "armeb",
        (42, _) => "sh4",
        (45 | 93 | 195, _) => "arc",
        (62, _) => "x86_64",
        (183, _) => "aarch64",
        (243, _) => "riscv",
        _ => return None,
    })
}

/// Bytes that decide whether something is text.
const TEXT_BYTES: usize = 4096;

fn is_text(contents: &[u8]) -> bool {
    let begin = &contents[..contents.len().min(TEXT_BYTES)];
    let text = match std::str::from_utf8(begin) {
        Ok(text) => text,
        // The cut may lie within a character.
        Err(error) if error.error_len().is_none() && begin.len() < contents.len() => {
            std::str::from_utf8(&begin[..error.valid_up_to()]).expect("it is valid up to there")
        }
        Err(_) => return false,
    };
    !text.is_empty() && text.chars().all(|shown| !shown.is_control() || matches!(shown, '\n' | '\r' | '\t' | '\x1b'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(contents: &[u8], expected: &str) {
        assert_eq!(Kind::of(contents).to_string(), expected, "{contents:?}");
    }

    #[test]
    fn by_the_first_bytes() {
        let elf = |data: u8, machine: [u8; 2]| {
            let mut header = [0; 52];
            header[..6].copy_from_slice(&[0x7F, b'E', b'L', b'F', 1, data]);
            header[18..20].copy_from_slice(&machine);
            header
        };
        check(&elf(1, [40, 0]), "elf/arm");
        check(&elf(1, [8, 0]), "elf/mipsel");
        check(&elf(2, [0, 8]), "elf/mips");
        check(&elf(1, [0xFF, 0xFF]), "elf/unknown");
        check(&elf(1, [40, 0])[..10], "elf/unknown");
        check(b"#!/bin/sh\n", "script");
        check(b"hello\n", "text");
        check("日本".as_bytes(), "text");
        check(&"日本".as_bytes()[..4], "data");
        check(b"\x00\x01", "data");
        check(b"", "data");
        check(b"PK\x03\x04", "zip");
    }
}
