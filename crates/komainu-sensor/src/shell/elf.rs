//! The program file that a device shows of itself: a small, inert ELF of our own.
//!
//! Loaders read the first bytes of a program to learn the processor (`dd bs=52 count=1 if=/bin/echo`), so class, byte
//! order, machine and flags are right: System V ABI, chapter 4 "Object Files", and the supplement of each processor.
//! The code is one instruction that jumps to itself; the rest is filling, which nothing ever runs.

use super::machine::Cpu;

/// How large the file is, in bytes: large enough for a file of many programs, small enough to print.
pub(crate) const STUB_BYTES: usize = 135_636;

/// What kernel and loader of a processor ask of a file.
struct Format {
    is_64: bool,
    is_big_endian: bool,
    machine: u16,
    flags: u32,
    base: u32,
    /// Jumps to itself.
    code: &'static [u8],
}

const fn format(cpu: Cpu) -> Format {
    let (is_64, is_big_endian, machine, flags, base, code): (_, _, _, _, _, &[u8]) = match cpu {
        // EABI version 5; soft and hard float (ELF for the Arm Architecture, 4.2 "ELF header").
        Cpu::Armv5 => (false, false, 40, 0x0500_0200, 0x8000, b"\xfe\xff\xff\xea"),
        Cpu::Armv7 => (false, false, 40, 0x0500_0400, 0x1_0000, b"\xfe\xff\xff\xea"),
        Cpu::Aarch64 => (true, false, 183, 0, 0x40_0000, b"\x00\x00\x00\x14"),
        // noreorder, pic, cpic, o32, mips32r2 (MIPS ABI supplement, "e_flags").
        Cpu::Mips => (false, true, 8, 0x7000_1007, 0x40_0000, b"\x10\x00\xff\xff\x00\x00\x00\x00"),
        Cpu::Mipsel => (false, false, 8, 0x7000_1007, 0x40_0000, b"\xff\xff\x00\x10\x00\x00\x00\x00"),
        Cpu::Sh4 => (false, false, 42, 9, 0x40_0000, b"\xfe\xaf\x09\x00"),
        Cpu::Powerpc => (false, true, 20, 0, 0x1000_0000, b"\x48\x00\x00\x00"),
        Cpu::X86 => (false, false, 3, 0, 0x0804_8000, b"\xeb\xfe\x90\x90"),
        Cpu::X86_64 => (true, false, 62, 0, 0x40_0000, b"\xeb\xfe\x90\x90"),
    };
    Format { is_64, is_big_endian, machine, flags, base, code }
}

/// The stub of a processor.
pub(crate) fn stub(cpu: Cpu) -> Vec<u8> {
    let format = format(cpu);
    let mut file = Writer { bytes: Vec::with_capacity(STUB_BYTES), is_big_endian: format.is_big_endian };
    let header_bytes: u16 = if format.is_64 { 64 } else { 52 };
    let segment_bytes: u16 = if format.is_64 { 56 } else { 32 };
    let code_at = u32::from(header_bytes + segment_bytes);

    let class = if format.is_64 { 2 } else { 1 };
    let order = if format.is_big_endian { 2 } else { 1 };
    file.bytes.extend_from_slice(b"\x7fELF");
    file.bytes.extend_from_slice(&[class, order, 1, 0]);
    file.bytes.extend_from_slice(&[0; 8]);
    file.half(2); // ET_EXEC
    file.half(format.machine);
    file.word(1);
    file.address(format.base + code_at, format.is_64);
    file.address(u32::from(header_bytes), format.is_64);
    file.address(0, format.is_64); // no sections
    file.word(format.flags);
    file.half(header_bytes);
    file.half(segment_bytes);
    file.half(1);
    file.half(if format.is_64 { 64 } else { 40 });
    file.half(0);
    file.half(0);

    let size = STUB_BYTES as u32;
    file.word(1); // PT_LOAD
    if format.is_64 {
        file.word(5); // readable, executable
    }
    file.address(0, format.is_64);
    file.address(format.base, format.is_64);
    file.address(format.base, format.is_64);
    file.address(size, format.is_64);
    file.address(size, format.is_64);
    if !format.is_64 {
        file.word(5);
    }
    file.address(0x1000, format.is_64);
    file.bytes.extend_from_slice(format.code);

    let mut state = u32::from(format.machine).wrapping_mul(0x9e37_79b9) | 1;
    while file.bytes.len() < STUB_BYTES {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        file.word(if state & 0x3000_0000 == 0 { 0 } else { state >> 3 });
    }
    file.bytes.truncate(STUB_BYTES);
    file.bytes
}

/// Whether a file is an ELF, for this processor or another; `None` if it is none.
pub(crate) fn runs_on(file: &[u8], cpu: Cpu) -> Option<bool> {
    let rest = file.strip_prefix(b"\x7fELF")?;
    let format = format(cpu);
    let (Some(&class), Some(&order), Some(&[a, b])) = (rest.first(), rest.get(1), rest.get(14..16)) else {
        return Some(false);
    };
    let machine = if format.is_big_endian { u16::from_be_bytes([a, b]) } else { u16::from_le_bytes([a, b]) };
    let is_order_right = order == if format.is_big_endian { 2 } else { 1 };
    // A 64-bit PC runs the programs of its 32-bit ancestor.
    let is_ancestor = cpu == Cpu::X86_64 && class == 1 && machine == 3;
    let is_same = class == if format.is_64 { 2 } else { 1 } && machine == format.machine;
    Some(is_order_right && (is_same || is_ancestor))
}

struct Writer {
    bytes: Vec<u8>,
    is_big_endian: bool,
}

impl Writer {
    fn half(&mut self, value: u16) {
        self.bytes.extend_from_slice(&if self.is_big_endian { value.to_be_bytes() } else { value.to_le_bytes() });
    }

    fn word(&mut self, value: u32) {
        self.bytes.extend_from_slice(&if self.is_big_endian { value.to_be_bytes() } else { value.to_le_bytes() });
    }

    /// An address or offset; ours are small, and all 64-bit processors here are little-endian.
    fn address(&mut self, value: u32, is_64: bool) {
        self.word(value);
        if is_64 {
            self.word(0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_header_names_the_processor() {
        let check = |cpu, class: u8, order: u8, machine: [u8; 2]| {
            let file = stub(cpu);
            assert_eq!(file.len(), STUB_BYTES);
            assert_eq!(&file[..6], &[0x7f, b'E', b'L', b'F', class, order]);
            assert_eq!(&file[18..20], &machine, "{cpu:?}");
        };
        check(Cpu::Armv5, 1, 1, [40, 0]);
        check(Cpu::Armv7, 1, 1, [40, 0]);
        check(Cpu::Aarch64, 2, 1, [183, 0]);
        check(Cpu::Mips, 1, 2, [0, 8]);
        check(Cpu::Mipsel, 1, 1, [8, 0]);
        check(Cpu::Sh4, 1, 1, [42, 0]);
        check(Cpu::Powerpc, 1, 2, [0, 20]);
        check(Cpu::X86, 1, 1, [3, 0]);
        check(Cpu::X86_64, 2, 1, [62, 0]);
    }

    #[test]
    fn a_processor_runs_its_own_files_only() {
        for of in Cpu::ALL {
            for on in Cpu::ALL {
                let is_arm = |cpu| matches!(cpu, Cpu::Armv5 | Cpu::Armv7);
                let expected = of == on || is_arm(of) && is_arm(on) || (of, on) == (Cpu::X86, Cpu::X86_64);
                assert_eq!(runs_on(&stub(of), on), Some(expected), "{of:?} on {on:?}");
            }
        }
        assert_eq!(runs_on(b"#!/bin/sh\n", Cpu::Mips), None);
        assert_eq!(runs_on(b"\x7fELF", Cpu::Mips), Some(false));
    }
}
