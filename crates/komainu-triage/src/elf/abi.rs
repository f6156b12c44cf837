//! What flags and attributes say of the processor that a program needs.

use crate::elf::{Image, Section};
use crate::report::Elf;
use crate::text::shown;

/// Bytes of attributes that are read.
const ATTRIBUTES_BYTES_MAX: u64 = 64 << 10;

/// `Tag_CPU_arch` of ARM. Source: Addenda to, and Errata in, the ABI for the Arm Architecture, 3.3.5.2.
const ARM_ARCHITECTURES: [&str; 23] = [
    "pre-v4",
    "v4",
    "v4T",
    "v5T",
    "v5TE",
    "v5TEJ",
    "v6",
    "v6KZ",
    "v6T2",
    "v6K",
    "v7",
    "v6-M",
    "v6S-M",
    "v7E-M",
    "v8-A",
    "v8-R",
    "v8-M.baseline",
    "v8-M.mainline",
    "v8.1-A",
    "v8.2-A",
    "v8.3-A",
    "v8.1-M.mainline",
    "v9-A",
];

/// `EF_MIPS_ARCH`, in steps of 0x10000000. Source: MIPS ABI supplements and binutils' readelf.
const MIPS_ARCHITECTURES: [&str; 11] =
    ["mips1", "mips2", "mips3", "mips4", "mips5", "mips32", "mips64", "mips32r2", "mips64r2", "mips32r6", "mips64r6"];

/// `Tag_GNU_MIPS_ABI_FP`.
const MIPS_FLOATS: [&str; 8] =
    ["any float", "hard-float double", "hard-float single", "soft-float", "old fp64", "fpxx", "fp64", "fp64a"];

/// Says it in words.
pub(super) fn describe(image: &Image<'_>, elf: &Elf, sections: &[Section<'_>]) -> Vec<String> {
    let flags = elf.flags;
    let mut said = Vec::new();
    match &*elf.isa {
        "arm" | "armeb" => {
            said.push(format!("EABI{}", flags >> 24));
            for (bit, meaning) in [(0x0080_0000, "BE8"), (0x400, "hard-float ABI"), (0x200, "soft-float ABI")] {
                if flags & bit != 0 {
                    said.push(meaning.to_owned());
                }
            }
            arm_attributes(image, sections, &mut said);
        }
        "mips" | "mipsel" | "mips64" | "mips64el" => {
            let abi = match (flags & 0x0000_f000, flags & 0x20 != 0, image.is_64) {
                (_, true, _) => "N32",
                (0x1000, ..) => "O32",
                (0x2000, ..) => "O64",
                (0x3000, ..) => "EABI32",
                (0x4000, ..) => "EABI64",
                (_, _, true) => "N64",
                _ => "no ABI named",
            };
            said.push(abi.to_owned());
            said.extend(MIPS_ARCHITECTURES.get((flags >> 28) as usize).map(|name| (*name).to_owned()));
            let bits = [
                (1, "noreorder"),
                (2, "PIC"),
                (4, "CPIC"),
                (0x200, "FP64"),
                (0x400, "NaN2008"),
                (0x0200_0000, "microMIPS"),
            ];
            said.extend(bits.iter().filter(|(bit, _)| flags & bit != 0).map(|(_, name)| (*name).to_owned()));
            mips_attributes(image, sections, &mut said);
        }
        "riscv32" | "riscv64" => {
            if flags & 1 != 0 {
                said.push("RVC".to_owned());
            }
            let float = ["soft-float ABI", "single-float ABI", "double-float ABI", "quad-float ABI"];
            said.push(float[(flags >> 1 & 3) as usize].to_owned());
            if flags & 8 != 0 {
                said.push("RVE".to_owned());
            }
        }
        "ppc64" | "ppc64le" if flags & 3 != 0 => said.push(format!("ELFv{}", flags & 3)),
        "sh4" | "sh4eb" => {
            // Source: SuperH ELF psABI and binutils' `elf/sh.h`.
            let name = match flags & 0x1f {
                1 => Some("sh1"),
                2 => Some("sh2"),
                3 => Some("sh3"),
                8 => Some("sh3e"),
                9 => Some("sh4"),
                12 => Some("sh4a"),
                16 => Some("sh4-nofpu"),
                _ => None,
            };
            said.extend(name.map(str::to_owned));
        }
        "arc" | "arceb" => {
            // Source: ARC ABI manual, "ELF header".
            let name = match flags & 0xff {
                2 => Some("ARC600"),
                3 => Some("ARC700"),
                5 => Some("ARCv2EM"),
                6 => Some("ARCv2HS"),
                _ => None,
            };
            said.extend(name.map(str::to_owned));
        }
        _ => {}
    }
    said
}

/// A number of seven bits to the byte.
fn uleb(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..63).step_by(7) {
        let (first, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(first & 0x7f) << shift;
        if first & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

/// The attributes of the whole file of one vendor. Source: Arm ABI addenda, 3.2.
fn attributes<'a>(image: &Image<'a>, sections: &[Section<'_>], name: &[u8], vendor: &[u8]) -> Option<&'a [u8]> {
    let section = sections.iter().find(|section| section.name == name)?;
    let bytes = image.clipped(section.offset, section.bytes.min(ATTRIBUTES_BYTES_MAX));
    let mut rest = bytes.strip_prefix(b"A")?;
    while rest.len() > 4 {
        let length = Image { bytes: rest, ..*image }.u32(0)? as usize;
        let part = rest.get(4..length)?;
        if let Some(of_vendor) = part.strip_prefix(vendor).and_then(|part| part.strip_prefix(b"\0")) {
            // A part for the whole file has the tag 1, and its length behind it.
            let length = Image { bytes: of_vendor, ..*image }.u32(1)? as usize;
            return if of_vendor.first() == Some(&1) { of_vendor.get(5..length) } else { None };
        }
        rest = &rest[length..];
    }
    None
}

fn arm_attributes(image: &Image<'_>, sections: &[Section<'_>], said: &mut Vec<String>) {
    let Some(mut rest) = attributes(image, sections, b".ARM.attributes", b"aeabi") else { return };
    while let Some(tag) = uleb(&mut rest) {
        // 4, 5, 65 and 67 are texts, 32 a number and a text; else odd tags above 32 are texts.
        let is_text = matches!(tag, 4 | 5 | 65 | 67) || (tag > 32 && tag % 2 == 1);
        if is_text || tag == 32 {
            if tag == 32 && uleb(&mut rest).is_none() {
                return;
            }
            let Some(end) = memchr::memchr(0, rest) else { return };
            if tag == 5 {
                said.push(format!("CPU {}", shown(&rest[..end])));
            }
            rest = &rest[end + 1..];
            continue;
        }
        let Some(value) = uleb(&mut rest) else { return };
        match tag {
            6 => {
                let name = usize::try_from(value).ok().and_then(|value| ARM_ARCHITECTURES.get(value));
                said.extend(name.map(|name| format!("ARM{name}")));
            }
            9 if value > 0 => said.push(format!("Thumb-{value}")),
            28 if value == 1 => said.push("VFP registers for arguments".to_owned()),
            _ => {}
        }
    }
}

fn mips_attributes(image: &Image<'_>, sections: &[Section<'_>], said: &mut Vec<String>) {
    let Some(mut rest) = attributes(image, sections, b".gnu.attributes", b"gnu") else { return };
    while let (Some(tag), Some(value)) = (uleb(&mut rest), uleb(&mut rest)) {
        if tag == 4 {
            let name = usize::try_from(value).ok().and_then(|value| MIPS_FLOATS.get(value));
            said.extend(name.map(|name| (*name).to_owned()));
        }
    }
}
