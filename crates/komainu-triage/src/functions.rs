//! Hashes of functions in which addresses and constants do not matter, so that variants of a program are recognised.
//!
//! Code is read from its beginning to its end, instruction by instruction. A function begins where a symbol says so, where
//! the program begins, where a call goes to, and where an instruction stands that sets up a stack frame; it ends where the
//! next one begins. Of each instruction only the bits are hashed that say what it does and with which registers: displaced
//! code, other addresses, other keys and other ports give the same hash.
//!
//! Instruction masks of our own instead of a disassembler: each is a few lines from the manual of its processor, and
//! nothing foreign parses hostile code.
//!
//! Sources: Arm ARM (A32, T32, A64), MIPS32 volume II, Power ISA book I, SPARC V8 and V9, SH-4 software manual, RISC-V
//! unprivileged ISA, Intel SDM volume 2 (appendix A), z/Architecture Principles of Operation.

mod x86;

use std::collections::BTreeSet;

use crate::elf::{Image, Program, Section, Symbol};
use crate::limits::{CODE_BYTES_MAX, FUNCTION_HASHES_MAX, FUNCTIONS_MAX};
use crate::report::Functions;

/// A function with fewer instructions is in every program, one with more is cut: it may be data.
const INSTRUCTIONS_MIN: usize = 6;
const INSTRUCTIONS_MAX: usize = 4_096;

/// One instruction.
struct Instruction {
    /// Its length, in bytes.
    bytes: usize,
    /// The bits that matter.
    kept: u64,
    /// Where it calls, relative to itself; with MIPS the address within 256 MiB.
    call: Option<Call>,
    /// It sets up a frame.
    is_prologue: bool,
}

enum Call {
    Relative(i64),
    InRegion(u64),
}

/// What reads instructions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Decoder {
    Arm,
    Thumb,
    Arm64,
    Mips,
    PowerPc,
    Sparc,
    Sh4,
    RiscV,
    X86 { is_64: bool },
    S390,
}

/// A piece of code and its address.
struct Code<'a> {
    bytes: &'a [u8],
    address: u64,
}

/// The functions of a program.
pub(crate) fn of(
    image: &Image<'_>,
    isa: &str,
    entry: u64,
    programs: &[Program],
    sections: &[Section<'_>],
    symbols: &[Symbol<'_>],
) -> Functions {
    let is_thumb = entry & 1 == 1;
    let decoder = match isa {
        "arm" | "armeb" if is_thumb => Decoder::Thumb,
        "arm" | "armeb" => Decoder::Arm,
        "arm64" | "arm64_be" => Decoder::Arm64,
        "mips" | "mipsel" | "mips64" | "mips64el" => Decoder::Mips,
        "powerpc" | "powerpcle" | "ppc64" | "ppc64le" => Decoder::PowerPc,
        "sparc" | "sparc64" => Decoder::Sparc,
        "sh4" | "sh4eb" => Decoder::Sh4,
        "riscv32" | "riscv64" => Decoder::RiscV,
        "x86" => Decoder::X86 { is_64: false },
        "x86_64" | "x32" => Decoder::X86 { is_64: true },
        "s390" | "s390x" => Decoder::S390,
        _ => return Functions::default(),
    };
    let mut starts: BTreeSet<u64> = BTreeSet::new();
    starts.insert(entry & !1);
    for symbol in symbols {
        if symbol.is_function() && symbol.is_defined() {
            starts.insert(symbol.value & !u64::from(is_thumb));
        }
    }
    let mut left = CODE_BYTES_MAX;
    let mut found = Vec::new();
    for code in code(image, programs, sections) {
        let bytes = &code.bytes[..code.bytes.len().min(left)];
        left -= bytes.len();
        // A64 and A32 have little-endian instructions also in big-endian programs (BE8).
        let is_big = image.is_big && !matches!(decoder, Decoder::Arm64);
        found.extend(hashes(decoder, is_big, &Code { bytes, ..code }, &mut starts));
        if found.len() >= FUNCTIONS_MAX {
            break;
        }
    }
    let count = found.len().min(FUNCTIONS_MAX) as u64;
    found.truncate(FUNCTIONS_MAX);
    found.sort_unstable();
    found.dedup();
    let kept = found.iter().take(FUNCTION_HASHES_MAX);
    Functions { found: count, hashes: kept.map(|hash| format!("{hash:016x}")).collect() }
}

/// How alike the functions of two programs are, in percent of those that either has: by their smallest hashes.
///
/// Source: Broder, "On the resemblance and containment of documents", 1997, section 4.
pub fn functions_alike_percent(one: &[String], other: &[String]) -> u8 {
    let both: BTreeSet<&String> = one.iter().chain(other).take(2 * FUNCTION_HASHES_MAX).collect();
    let sample: Vec<_> = both.into_iter().take(FUNCTION_HASHES_MAX).collect();
    let (one, other): (BTreeSet<_>, BTreeSet<_>) = (one.iter().collect(), other.iter().collect());
    let common = sample.iter().filter(|hash| one.contains(*hash) && other.contains(*hash)).count();
    // Below 101, and an empty sample has nothing in common.
    u8::try_from(100 * common / sample.len().max(1)).unwrap_or(100)
}

/// Executable sections; where there are none that can be believed, executable segments.
fn code<'a>(image: &Image<'a>, programs: &[Program], sections: &[Section<'_>]) -> Vec<Code<'a>> {
    let of_sections: Vec<_> = sections
        .iter()
        .filter(|section| section.kind == 1 && section.is_executable() && !section.name.starts_with(b".plt"))
        .map(|section| Code { bytes: image.clipped(section.offset, section.bytes), address: section.address })
        .filter(|code| !code.bytes.is_empty())
        .collect();
    if !of_sections.is_empty() {
        return of_sections;
    }
    programs
        .iter()
        .filter(|program| program.is_load() && program.is_executable())
        .map(|program| Code { bytes: image.clipped(program.offset, program.file_bytes), address: program.address })
        .collect()
}

/// The hashes of the functions of one piece.
fn hashes(decoder: Decoder, is_big: bool, code: &Code<'_>, starts: &mut BTreeSet<u64>) -> Vec<u64> {
    let mut instructions: Vec<(u64, u64)> = Vec::new();
    let mut at = 0;
    while let Some(rest) = code.bytes.get(at..).filter(|rest| !rest.is_empty()) {
        let address = code.address.wrapping_add(at as u64);
        let Some(instruction) = decode(decoder, is_big, rest) else {
            at += step(decoder);
            continue;
        };
        if instruction.is_prologue && starts.len() < 4 * FUNCTIONS_MAX {
            starts.insert(address);
        }
        if let Some(call) = instruction.call
            && starts.len() < 4 * FUNCTIONS_MAX
        {
            starts.insert(match call {
                Call::Relative(distance) => address.wrapping_add_signed(distance),
                Call::InRegion(place) => address & 0xffff_ffff_f000_0000 | place,
            });
        }
        instructions.push((address, instruction.kept));
        at += instruction.bytes;
    }
    let mut hashes = Vec::new();
    let mut hash = Hash::default();
    let mut next = starts.iter().copied().peekable();
    for (address, kept) in instructions {
        // Both go up, so each start is looked at once. One that lies within an instruction is none.
        while next.next_if(|start| *start < address).is_some() {}
        if next.next_if_eq(&address).is_some() {
            hashes.extend(hash.end());
            hash = Hash::default();
        }
        hash.add(kept);
    }
    hashes.extend(hash.end());
    hashes
}

/// FNV-1a over the kept bits, with the finish of SplitMix64, so that the smallest ones are a fair sample.
struct Hash {
    state: u64,
    instructions: usize,
}

impl Default for Hash {
    fn default() -> Self {
        Self { state: 0xcbf2_9ce4_8422_2325, instructions: 0 }
    }
}

impl Hash {
    fn add(&mut self, kept: u64) {
        if self.instructions < INSTRUCTIONS_MAX {
            for byte in kept.to_le_bytes() {
                self.state = (self.state ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
            }
        }
        self.instructions += 1;
    }

    fn end(&self) -> Option<u64> {
        let mut hash = self.state;
        hash = (hash ^ hash >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        hash = (hash ^ hash >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        (self.instructions >= INSTRUCTIONS_MIN).then_some(hash ^ hash >> 31)
    }
}

/// How far to go on when nothing can be read.
fn step(decoder: Decoder) -> usize {
    match decoder {
        Decoder::X86 { .. } => 1,
        Decoder::Thumb | Decoder::Sh4 | Decoder::RiscV | Decoder::S390 => 2,
        Decoder::Arm | Decoder::Arm64 | Decoder::Mips | Decoder::PowerPc | Decoder::Sparc => 4,
    }
}

fn decode(decoder: Decoder, is_big: bool, bytes: &[u8]) -> Option<Instruction> {
    let half = |at: usize| {
        let bytes = bytes.get(at..at + 2)?.try_into().ok()?;
        Some(u32::from(if is_big { u16::from_be_bytes(bytes) } else { u16::from_le_bytes(bytes) }))
    };
    let word = || {
        let bytes = bytes.get(..4)?.try_into().ok()?;
        Some(if is_big { u32::from_be_bytes(bytes) } else { u32::from_le_bytes(bytes) })
    };
    match decoder {
        Decoder::Arm => word().map(arm),
        Decoder::Arm64 => word().map(arm64),
        Decoder::Mips => word().map(mips),
        Decoder::PowerPc => word().map(powerpc),
        Decoder::Sparc => word().map(sparc),
        Decoder::Sh4 => half(0).map(sh4),
        Decoder::Thumb => {
            let first = half(0)?;
            if first >> 11 >= 0b11101 { Some(thumb_32(first << 16 | half(2)?)) } else { Some(thumb_16(first)) }
        }
        Decoder::RiscV => {
            // Instructions are little-endian whatever data are.
            if bytes[0] & 3 == 3 { word().map(riscv_32) } else { half(0).map(riscv_16) }
        }
        Decoder::X86 { is_64 } => x86::decode(bytes, is_64),
        Decoder::S390 => s390(bytes),
    }
}

/// A number of so many bits with a sign.
fn signed(value: u32, bits: u32) -> i64 {
    let shift = 32 - bits;
    i64::from((value << shift).cast_signed() >> shift)
}

fn fixed(bytes: usize, kept: u32, call: Option<i64>, is_prologue: bool) -> Instruction {
    Instruction { bytes, kept: kept.into(), call: call.map(Call::Relative), is_prologue }
}

fn arm(word: u32) -> Instruction {
    let kept = match word >> 25 & 7 {
        // MOVW and MOVT have four more bits of the number above the register.
        1 if word & 0x0fb0_0000 == 0x0300_0000 => word & 0xfff0_f000,
        1 | 2 => word & 0xffff_f000,
        5 => word & 0xff00_0000,
        _ => word,
    };
    let is_call = word & 0x0f00_0000 == 0x0b00_0000 && word >> 28 != 15;
    let call = is_call.then(|| 8 + 4 * signed(word, 24));
    // PUSH of the link register.
    fixed(4, kept, call, word & 0xffff_4000 == 0xe92d_4000)
}

fn thumb_16(half: u32) -> Instruction {
    let kept = match half >> 12 {
        _ if half & 0xf500 == 0xb100 => half & 0xfd07,
        0 | 1 if half & 0xf800 != 0x1800 => half & 0xf83f,
        2 | 3 | 9 | 10 | 13 => half & 0xff00,
        4 if half & 0xf800 == 0x4800 => half & 0xff00,
        6..=8 => half & 0xf83f,
        14 => half & 0xf800,
        _ => half,
    };
    fixed(2, kept, None, half & 0xff00 == 0xb500)
}

fn thumb_32(word: u32) -> Instruction {
    let is_branch = word & 0xf800_8000 == 0xf000_8000;
    let kept = match word {
        _ if is_branch => word & 0xf800_d000,
        _ if word & 0xf800_8000 == 0xf000_0000 => word & 0xfbf0_8f00,
        _ if word & 0xfe00_0000 == 0xf800_0000 => word & 0xfff0_f000,
        _ => word,
    };
    let call = (word & 0xf800_d000 == 0xf000_d000).then(|| {
        let (sign, one, other) = (word >> 26 & 1, word >> 13 & 1, word >> 11 & 1);
        let (high, low) = (!(one ^ sign) & 1, !(other ^ sign) & 1);
        let value = sign << 23 | high << 22 | low << 21 | (word >> 16 & 0x3ff) << 11 | word & 0x7ff;
        4 + 2 * signed(value, 24)
    });
    fixed(4, kept, call, word & 0xffff_4000 == 0xe92d_4000)
}

fn arm64(word: u32) -> Instruction {
    let kept = match word {
        _ if word & 0x7c00_0000 == 0x1400_0000 => word & 0xfc00_0000,
        _ if word & 0xff00_0000 == 0x5400_0000 => word & 0xff00_001f,
        _ if word & 0x7c00_0000 == 0x3400_0000 => word & 0xff00_001f,
        _ if word & 0x1f00_0000 == 0x1000_0000 => word & 0x9f00_001f,
        _ if word & 0x1f80_0000 == 0x1100_0000 => word & 0xffc0_03ff,
        _ if word & 0x1f80_0000 == 0x1280_0000 => word & 0xffe0_001f,
        _ if word & 0x3b00_0000 == 0x3900_0000 => word & 0xffc0_03ff,
        _ if word & 0x3b00_0000 == 0x1800_0000 => word & 0xff00_001f,
        _ => word,
    };
    let call = (word & 0xfc00_0000 == 0x9400_0000).then(|| 4 * signed(word, 26));
    // The frame pointer and the link register are pushed.
    fixed(4, kept, call, word & 0xffc0_7fff == 0xa980_7bfd)
}

fn mips(word: u32) -> Instruction {
    let operation = word >> 26;
    let kept = match operation {
        0 | 0x11 | 0x1c | 0x1f => word,
        2 | 3 => word & 0xfc00_0000,
        _ => word & 0xffff_0000,
    };
    let call = match operation {
        3 => Some(Call::InRegion(u64::from(word & 0x03ff_ffff) << 2)),
        1 if word >> 16 == 0x0411 => Some(Call::Relative(4 + 4 * signed(word, 16))),
        _ => None,
    };
    // The stack pointer goes down.
    let is_prologue = matches!(word & 0xffff_8000, 0x27bd_8000 | 0x67bd_8000);
    Instruction { bytes: 4, kept: kept.into(), call, is_prologue }
}

fn powerpc(word: u32) -> Instruction {
    let kept = match word >> 26 {
        18 => word & 0xfc00_0003,
        16 | 58 | 62 => word & 0xffff_0003,
        2..=15 | 24..=29 | 32..=55 => word & 0xffff_0000,
        _ => word,
    };
    let call = (word & 0xfc00_0003 == 0x4800_0001).then(|| signed(word & 0x03ff_fffc, 26));
    let is_prologue = matches!(word & 0xffff_8000, 0x9421_8000 | 0xf821_8000);
    fixed(4, kept, call, is_prologue)
}

fn sparc(word: u32) -> Instruction {
    let kept = match word >> 30 {
        0 => word & 0xffc0_0000,
        1 => word & 0xc000_0000,
        _ if word & 0x2000 != 0 => word & 0xffff_e000,
        _ => word,
    };
    let call = (word >> 30 == 1).then(|| 4 * signed(word, 30));
    // SAVE with a negative number.
    fixed(4, kept, call, word & 0xffff_f000 == 0x9de3_b000)
}

fn sh4(half: u32) -> Instruction {
    let kept = match half >> 12 {
        1 | 5 => half & 0xfff0,
        7..=9 | 12..=14 => half & 0xff00,
        10 | 11 => half & 0xf000,
        _ => half,
    };
    let call = (half >> 12 == 11).then(|| 4 + 2 * signed(half, 12));
    // The link register is pushed.
    fixed(2, kept, call, half == 0x4f22)
}

fn riscv_16(half: u32) -> Instruction {
    let kept = match (half & 3, half >> 13) {
        (0, _) => half & 0xe39f,
        (1, 0..=3) => half & 0xef83,
        (1, 4) if half >> 10 & 3 != 3 => half & 0xef83,
        (1, 5) => half & 0xe003,
        (1, 6 | 7) => half & 0xe383,
        (2, 0..=3) => half & 0xef83,
        (2, 5..) => half & 0xe07f,
        _ => half,
    };
    // The stack pointer goes down.
    fixed(2, kept, None, matches!(half & 0xff83, 0x7101 | 0x1101))
}

fn riscv_32(word: u32) -> Instruction {
    let kept = match word & 0x7f {
        0x37 | 0x17 | 0x6f => word & 0xfff,
        0x13 | 0x03 | 0x67 | 0x1b | 0x07 => word & 0x000f_ffff,
        0x23 | 0x63 | 0x27 => word & 0x01ff_f07f,
        _ => word,
    };
    let call = (word & 0xfff == 0xef).then(|| {
        let value = (word >> 31) << 20 | (word >> 12 & 0xff) << 12 | (word >> 20 & 1) << 11 | (word >> 21 & 0x3ff) << 1;
        signed(value, 21)
    });
    fixed(4, kept, call, word & 0x800f_ffff == 0x8001_0113)
}

fn s390(bytes: &[u8]) -> Option<Instruction> {
    let length = match bytes.first()? >> 6 {
        0 => 2,
        1 | 2 => 4,
        _ => 6,
    };
    let instruction = bytes.get(..length)?;
    let first = u32::from(instruction[0]) << 8 | u32::from(instruction[1]);
    let is_call = first & 0xff0f == 0xc005;
    let call = is_call
        .then(|| 2 * i64::from(i32::from_be_bytes([instruction[2], instruction[3], instruction[4], instruction[5]])));
    // Instructions of six bytes have the rest of what they do in the last one.
    let last = if length == 6 && instruction[0] >> 4 == 0xe { u32::from(instruction[5]) } else { 0 };
    // STMG of registers from 6 on.
    let is_prologue = instruction[0] == 0xeb && length == 6 && instruction[5] == 0x24 && instruction[2] >> 4 == 0xf;
    Some(fixed(length, first << 8 | last, call, is_prologue))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is kept of an instruction, where it calls, and whether it begins a function.
    #[track_caller]
    fn check(seen: Instruction, kept: u64, call: Option<i64>, is_prologue: bool) {
        let target = seen.call.map(|call| match call {
            Call::Relative(distance) => distance,
            Call::InRegion(place) => i64::try_from(place).unwrap(),
        });
        assert_eq!((seen.kept, target, seen.is_prologue), (kept, call, is_prologue), "{:x}", seen.kept);
    }

    #[test]
    fn numbers_are_left_out_and_registers_stay() {
        check(arm(0xe3a0_1017), 0xe3a0_1000, None, false);
        check(arm(0xe92d_4010), 0xe92d_4010, None, true);
        check(arm(0xebff_fffe), 0xeb00_0000, Some(0), false);
        check(arm64(0x97ff_ffff), 0x9400_0000, Some(-4), false);
        check(arm64(0xa9be_7bfd), 0xa9be_7bfd, None, true);
        check(mips(0x27bd_ffe0), 0x27bd_0000, None, true);
        check(mips(0x0c10_0040), 0x0c00_0000, Some(0x40_0100), false);
        check(powerpc(0x9421_fff0), 0x9421_0000, None, true);
        check(powerpc(0x4bff_fff1), 0x4800_0001, Some(-16), false);
        check(sparc(0x9de3_bfa0), 0x9de3_a000, None, true);
        check(sh4(0x4f22), 0x4f22, None, true);
        check(sh4(0xbffe), 0xb000, Some(0), false);
        check(thumb_16(0xb510), 0xb510, None, true);
        check(thumb_32(0xf7ff_fffe), 0xf000_d000, Some(0), false);
        check(riscv_32(0x0000_00ef), 0xef, Some(0), false);
        check(riscv_16(0x1141), 0x0101, None, true);
    }

    #[test]
    fn displaced_code_with_other_numbers_has_the_same_hashes() {
        // addiu sp, -N; six times lui with a number; jal; jr ra; nop. Twice, so that there are two functions.
        let code = |number: u32, callee: u32| -> Vec<u8> {
            let function = |frame: u32| {
                let middle = (0..6).map(move |step| 0x3c02_0000 | (number + step));
                std::iter::once(0x27bd_0000 | frame).chain(middle).chain([0x0c00_0000 | callee, 0x03e0_0008, 0])
            };
            let other = function(0xffd0).chain([0x0085_1021, 0x0085_1021]);
            function(0xffe0).chain(other).flat_map(u32::to_be_bytes).collect()
        };
        let of = |number, callee, address| {
            let bytes = code(number, callee);
            hashes(Decoder::Mips, true, &Code { bytes: &bytes, address }, &mut BTreeSet::new())
        };
        let first = of(1, 0x10_0000, 0x40_0000);
        assert_eq!(first.len(), 2);
        assert_eq!(first, of(500, 0x20_0000, 0x80_0000));
        assert_ne!(first[0], first[1]);
        let shown = |hashes: &[u64]| hashes.iter().map(|hash| format!("{hash:016x}")).collect::<Vec<_>>();
        assert_eq!(functions_alike_percent(&shown(&first), &shown(&first)), 100);
        assert_eq!(functions_alike_percent(&shown(&first), &shown(&first[..1])), 50);
        assert_eq!(functions_alike_percent(&[], &[]), 0);
    }
}
