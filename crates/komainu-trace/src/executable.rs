//! For which processor a file is: the few bytes that the guest has to be chosen by.

use crate::GuestIsa;

/// What a file is, as far as a guest has to be chosen for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Executable {
    /// A program for this processor.
    Program(GuestIsa),
    /// A program for a processor that no guest has, by the number of its ELF header (`e_machine`).
    ForeignProgram(u16),
    /// A text for an interpreter; it runs on every processor.
    Script,
    /// Something else. A guest runs it as a script of its shell, or not at all.
    Other,
}

impl Executable {
    /// Looks at the beginning of a file. Numbers of processors are those of the System V ABI's register of `e_machine`.
    pub fn of(contents: &[u8]) -> Self {
        if contents.starts_with(b"#!") {
            return Self::Script;
        }
        let Some(header) = contents.get(..20).filter(|header| header.starts_with(b"\x7fELF")) else {
            return Self::Other;
        };
        // Class at 4 (1 is 32 bits), byte order at 5 (1 is little-endian), processor at 18.
        let (is_64, is_little) = (header[4] == 2, header[5] != 2);
        let machine = [header[18], header[19]];
        let machine = if is_little { u16::from_le_bytes(machine) } else { u16::from_be_bytes(machine) };
        match (machine, is_little, is_64) {
            (40, true, false) => Self::Program(GuestIsa::Arm),
            (183, true, true) => Self::Program(GuestIsa::Arm64),
            (8, false, false) => Self::Program(GuestIsa::Mips),
            (8, true, false) => Self::Program(GuestIsa::Mipsel),
            (3 | 6, true, false) => Self::Program(GuestIsa::X86),
            // A program with 32-bit pointers for a 64-bit processor (x32) says 62 as well; no kit runs it.
            (62, true, true) => Self::Program(GuestIsa::X86_64),
            (20, false, false) => Self::Program(GuestIsa::Powerpc),
            (42, true, false) => Self::Program(GuestIsa::Sh4),
            (243, true, true) => Self::Program(GuestIsa::Riscv64),
            (43, false, true) => Self::Program(GuestIsa::Sparc64),
            (4, false, false) => Self::Program(GuestIsa::M68k),
            _ => Self::ForeignProgram(machine),
        }
    }

    /// The processor of the guest that fits best; none if no guest can run it.
    pub fn guest(self) -> Option<GuestIsa> {
        match self {
            Self::Program(isa) => Some(isa),
            // Most devices that are attacked have one.
            Self::Script | Self::Other => Some(GuestIsa::Arm),
            Self::ForeignProgram(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_guest_follows_from_the_first_bytes() {
        let elf = |class: u8, order: u8, machine: u16| {
            let machine = if order == 2 { machine.to_be_bytes() } else { machine.to_le_bytes() };
            [&b"\x7fELF"[..], &[class, order, 1], &[0; 9], &[2, 0], &machine, &[0; 4]].concat()
        };
        let check = |contents: &[u8], expected: Executable| assert_eq!(Executable::of(contents), expected);
        check(&elf(1, 1, 40), Executable::Program(GuestIsa::Arm));
        check(&elf(1, 2, 40), Executable::ForeignProgram(40));
        check(&elf(2, 1, 183), Executable::Program(GuestIsa::Arm64));
        check(&elf(1, 2, 8), Executable::Program(GuestIsa::Mips));
        check(&elf(1, 1, 8), Executable::Program(GuestIsa::Mipsel));
        check(&elf(2, 2, 43), Executable::Program(GuestIsa::Sparc64));
        check(&elf(1, 1, 62), Executable::ForeignProgram(62));
        check(&elf(1, 1, 195), Executable::ForeignProgram(195));
        check(b"#!/bin/sh\n", Executable::Script);
        check(b"\x7fELF", Executable::Other);
        check(b"", Executable::Other);
        assert_eq!(Executable::Script.guest(), Some(GuestIsa::Arm));
        assert_eq!(Executable::ForeignProgram(195).guest(), None);
    }
}
