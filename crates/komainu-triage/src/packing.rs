//! Whether a program is packed, from several signs: none of them says it alone.
//!
//! Entropy above a fixed threshold says nothing: honest programs for Thumb, RISC-V and with compressed instructions reach
//! more than seven bits. So each instruction set has a threshold, measured (docs/triage.md).

use crate::elf::{Parsed, Program};
use crate::report::Packing;
use crate::said::{apart, said};

/// The mark of UPX in its header and trailer.
const UPX_MARK: &[u8] = b"UPX!";

/// Highest entropy of code of honest programs, in thousandths of a bit, rounded up and with a tenth of a bit added
/// (docs/triage.md says how it was measured).
const ENTROPY_LIMITS: &[(&str, u32)] = &[
    ("arm", 7_400),
    ("arm64", 7_000),
    ("m68k", 6_850),
    ("mips", 6_750),
    ("mips64el", 6_500),
    ("mipsel", 6_550),
    ("powerpc", 6_800),
    ("ppc64le", 6_750),
    ("riscv64", 7_500),
    ("s390x", 6_500),
    ("sh4", 7_450),
    ("sparc64", 7_050),
    ("x86", 6_800),
    ("x86_64", 6_900),
];

/// For instruction sets that were not measured.
const ENTROPY_LIMIT_ELSE: u32 = 7_500;

/// A piece below this size says little by its entropy.
const ENTROPY_BYTES_MIN: u64 = 4_096;

/// Says whether a program is packed.
pub(crate) fn packing(bytes: &[u8], elf: &Parsed<'_>) -> Packing {
    let mut reasons = Vec::new();
    let mut packer = None;
    let limit =
        ENTROPY_LIMITS.iter().find(|(isa, _)| *isa == elf.told.isa).map_or(ENTROPY_LIMIT_ELSE, |(_, limit)| *limit);
    let loads: Vec<&Program> = elf.programs.iter().filter(|program| program.is_load()).collect();

    let has_mark = memchr::memmem::find(bytes, UPX_MARK).is_some();
    let head = upx_head(bytes, elf);
    if has_mark {
        packer = Some("upx");
        reasons.push(said("the mark `UPX!` is in the file", "ファイルに `UPX!` の印がある"));
    } else if let Some(mark) = head {
        packer = Some("upx-altered");
        reasons.push(said(
            format!("UPX's header stands behind the program headers, with the mark {mark:08x} instead of its own"),
            format!("プログラムヘッダーの後に UPX のヘッダーがあり、本来の印の代わりに {mark:08x} がある"),
        ));
    }
    let runs_and_writes = loads.iter().any(|program| program.is_executable() && program.is_writable());
    let code_entropy = elf
        .told
        .regions
        .iter()
        .filter(|region| region.access.contains('x') && region.bytes >= ENTROPY_BYTES_MIN)
        .map(|region| region.entropy_millibits)
        .max();
    let is_dense = code_entropy.is_some_and(|entropy| entropy > limit);
    if let Some(entropy) = code_entropy.filter(|_| is_dense) {
        let millibits = |all: u32| format!("{}.{:03}", all / 1000, all % 1000);
        let (found, limit, isa) = (millibits(entropy), millibits(limit), &elf.told.isa);
        reasons.push(said(
            format!("code has {found} bits of entropy for each byte; honest programs for {isa} stay below {limit}"),
            format!(
                "コードのエントロピーが 1 バイトあたり {found} ビットある。{isa} 用の通常のプログラムは {limit} 未満"
            ),
        ));
    }
    let mut signs = 0;
    if elf.sections.is_empty() && !loads.is_empty() {
        signs += 1;
        reasons.push(said("there are no sections", "セクションがない"));
    }
    if runs_and_writes {
        signs += 1;
        reasons.push(said("a segment is both writable and executable", "書き込みと実行の両方ができるセグメントがある"));
    }
    // A packer reserves the room into which it unpacks.
    let grows = loads.iter().any(|program| {
        program.is_executable()
            && program.memory_bytes > program.file_bytes.max(1).saturating_mul(4)
            && program.memory_bytes > 0x1_0000
    });
    if grows {
        signs += 1;
        reasons.push(said(
            "an executable segment is much larger in memory than in the file",
            "実行可能なセグメントが、ファイルよりメモリ上ではるかに大きい",
        ));
    }
    let verdict = match (packer.is_some(), is_dense, signs) {
        (true, ..) | (_, true, 1..) => "packed",
        (_, true, 0) | (_, false, 2..) => "suspected",
        _ => "none",
    };
    let (reasons, reasons_ja) = apart(reasons);
    Packing { verdict: verdict.into(), packer: packer.map(str::to_owned), reasons, reasons_ja }
}

/// UPX's `l_info` stands behind the program headers: a check sum, the mark, a size, the version of the loader and the
/// format. Gives a mark that is not UPX's own. Source: UPX's description of its ELF formats; versions 11 to 14, formats
/// of Linux 10 to 40 and 130 to 150.
fn upx_head(bytes: &[u8], elf: &Parsed<'_>) -> Option<u32> {
    let (head, step) = if elf.told.class_bits == 64 { (64, 56) } else { (52, 32) };
    let at = head + step * usize::try_from(elf.told.program_headers).ok().filter(|count| (1..=8).contains(count))?;
    let info = bytes.get(at..at + 24)?;
    let mark = u32::from_be_bytes(info[4..8].try_into().ok()?);
    let size = info[8..10].try_into().ok().map(if elf.is_big { u16::from_be_bytes } else { u16::from_le_bytes })?;
    let is_format = matches!(info[11], 10..=40 | 130..=150);
    let is_head = matches!(info[10], 11..=14) && is_format && (64..=8_192).contains(&size);
    // `p_info` behind it: the size of the program, and of a block, both larger than nothing.
    let word = |at: usize| {
        let word = info[at..at + 4].try_into().ok();
        word.map(if elf.is_big { u32::from_be_bytes } else { u32::from_le_bytes })
    };
    let unpacked = word(16)?;
    let is_plausible = unpacked as usize > bytes.len() / 2 && (unpacked as usize) < bytes.len() * 64;
    (is_head && is_plausible && elf.sections.is_empty() && mark != u32::from_be_bytes(*b"UPX!")).then_some(mark)
}
