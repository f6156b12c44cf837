//! How long an instruction of x86 is, and which of its bytes say what it does. Source: Intel SDM volume 2, appendix A.

use crate::functions::{Call, Instruction};

/// The processor takes no longer instruction.
const BYTES_MAX: usize = 15;

/// Reads one instruction; none when it does not end.
pub(super) fn decode(bytes: &[u8], is_64: bool) -> Option<Instruction> {
    let bytes = &bytes[..bytes.len().min(BYTES_MAX)];
    let mut reader = Reader { bytes, at: 0, kept: 0xcbf2_9ce4_8422_2325 };
    let mut is_16 = false;
    let mut is_wide = false;
    let mut opcode = reader.kept()?;
    loop {
        match opcode {
            0x66 => is_16 = true,
            0x26 | 0x2e | 0x36 | 0x3e | 0x64 | 0x65 | 0x67 | 0xf0 | 0xf2 | 0xf3 => {}
            0x40..=0x4f if is_64 => is_wide = opcode & 8 != 0,
            _ => break,
        }
        opcode = reader.kept()?;
    }
    let number = if is_16 { 2 } else { 4 };
    let mut call = None;
    let is_vex = |reader: &Reader<'_>| is_64 || reader.bytes.get(reader.at).is_some_and(|byte| byte >> 6 == 3);
    match opcode {
        0x0f => {
            let second = reader.kept()?;
            match second {
                0x38 => {
                    reader.kept()?;
                    reader.operand()?;
                }
                0x3a => {
                    reader.kept()?;
                    reader.operand()?;
                    reader.skip(1)?;
                }
                _ => second_map(&mut reader, second, number)?,
            }
        }
        0xc5 if is_vex(&reader) => {
            reader.skip(1)?;
            let second = reader.kept()?;
            second_map(&mut reader, second, number)?;
        }
        0xc4 | 0x62 if is_vex(&reader) => {
            let map = reader.kept()? & 7;
            reader.skip(if opcode == 0x62 { 2 } else { 1 })?;
            let operation = reader.kept()?;
            if map == 1 {
                second_map(&mut reader, operation, number)?;
            } else {
                reader.operand()?;
                reader.skip(usize::from(map == 3))?;
            }
        }
        _ => {
            let modrm = if has_operand(opcode, is_64) { Some(reader.operand()?) } else { None };
            let tests = modrm.is_some_and(|modrm| modrm >> 3 & 7 < 2);
            let length = match opcode {
                0x00..=0x3f if opcode & 7 == 4 => 1,
                0x00..=0x3f if opcode & 7 == 5 => number,
                0x68 | 0x69 | 0x81 | 0xa9 | 0xc7 => number,
                0x6a | 0x6b | 0x70..=0x7f | 0x80 | 0x82 | 0x83 | 0xa8 | 0xb0..=0xb7 | 0xc0 | 0xc1 | 0xc6 | 0xcd => 1,
                0xd4 | 0xd5 | 0xe0..=0xe7 | 0xeb => 1,
                0xa0..=0xa3 if is_64 => 8,
                0xa0..=0xa3 => 4,
                0xb8..=0xbf if is_wide => 8,
                0xb8..=0xbf => number,
                0xc2 | 0xca => 2,
                0xc8 => 3,
                0xe8 | 0xe9 => 4,
                0x9a | 0xea if !is_64 => number + 2,
                0xf6 if tests => 1,
                0xf7 if tests => number,
                _ => 0,
            };
            let rest = reader.at;
            reader.skip(length)?;
            if opcode == 0xe8 {
                let distance = i32::from_le_bytes(bytes.get(rest..rest + 4)?.try_into().ok()?);
                call = Some(Call::Relative(i64::from(distance) + reader.at as i64));
            }
        }
    }
    let length = reader.at;
    let beginnings: [&[u8]; 4] = [b"\x55\x89\xe5", b"\x55\x48\x89\xe5", b"\xf3\x0f\x1e\xfa", b"\xf3\x0f\x1e\xfb"];
    let is_prologue = beginnings.iter().any(|beginning| bytes.starts_with(beginning));
    Some(Instruction { bytes: length, kept: reader.kept, call, is_prologue })
}

fn second_map(reader: &mut Reader<'_>, operation: u8, number: usize) -> Option<()> {
    match operation {
        0x80..=0x8f => reader.skip(number),
        0x05..=0x09 | 0x0b | 0x0e | 0x30..=0x37 | 0x77 | 0xa0..=0xa2 | 0xa8..=0xaa | 0xc8..=0xcf => Some(()),
        _ => {
            reader.operand()?;
            let has_number = matches!(operation, 0x70..=0x73 | 0xa4 | 0xac | 0xba | 0xc2 | 0xc4..=0xc6);
            reader.skip(usize::from(has_number))
        }
    }
}

fn has_operand(opcode: u8, is_64: bool) -> bool {
    match opcode {
        0x00..=0x3f => opcode & 7 < 4,
        0x62 => !is_64,
        0x63 | 0x69 | 0x6b | 0x80..=0x8f | 0xc0 | 0xc1 | 0xc4..=0xc7 | 0xd0..=0xd3 | 0xd8..=0xdf => true,
        0xf6 | 0xf7 | 0xfe | 0xff => true,
        _ => false,
    }
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
    kept: u64,
}

impl Reader<'_> {
    /// A byte that says what is done.
    fn kept(&mut self) -> Option<u8> {
        let byte = *self.bytes.get(self.at)?;
        self.at += 1;
        self.kept = (self.kept ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        Some(byte)
    }

    /// Bytes that are an address or a constant.
    fn skip(&mut self, bytes: usize) -> Option<()> {
        self.at += bytes;
        (self.at <= self.bytes.len()).then_some(())
    }

    /// ModR/M, SIB and a displacement; gives the first.
    fn operand(&mut self) -> Option<u8> {
        let modrm = self.kept()?;
        let (mode, register) = (modrm >> 6, modrm & 7);
        let base = if mode != 3 && register == 4 { self.kept()? & 7 } else { register };
        match mode {
            0 if base == 5 => self.skip(4)?,
            1 => self.skip(1)?,
            2 => self.skip(4)?,
            _ => {}
        }
        Some(modrm)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instructions_have_the_lengths_of_the_manual() {
        let check = |bytes: &[u8], is_64: bool| {
            let mut padded = bytes.to_vec();
            padded.extend([0x90; 15]);
            assert_eq!(decode(&padded, is_64).unwrap().bytes, bytes.len(), "{bytes:x?}");
        };
        for (bytes, is_64) in [
            (&[0x55][..], true),
            (&[0x48, 0x89, 0xe5], true),
            (&[0x48, 0x83, 0xec, 0x10], true),
            (&[0xe8, 1, 2, 3, 4], true),
            (&[0x48, 0xb8, 1, 2, 3, 4, 5, 6, 7, 8], true),
            (&[0xb8, 1, 2, 3, 4], true),
            (&[0x66, 0xb8, 1, 2], false),
            (&[0x8b, 0x44, 0x24, 0x10], false),
            (&[0x8b, 0x84, 0x24, 1, 2, 3, 4], false),
            (&[0x8b, 0x04, 0x85, 1, 2, 3, 4], false),
            (&[0x48, 0x8d, 0x05, 1, 2, 3, 4], true),
            (&[0xf7, 0xc1, 1, 2, 3, 4], true),
            (&[0xf7, 0xd9], true),
            (&[0x0f, 0x84, 1, 2, 3, 4], true),
            (&[0x0f, 0xb6, 0xc0], true),
            (&[0x66, 0x0f, 0x3a, 0x0f, 0xc1, 8], true),
            (&[0xc5, 0xf8, 0x77], true),
            (&[0xc4, 0xe2, 0x7d, 0x18, 0x05, 1, 2, 3, 4], true),
            (&[0xf3, 0x0f, 0x1e, 0xfa], true),
            (&[0xc8, 1, 2, 3], false),
            (&[0x81, 0x3d, 1, 2, 3, 4, 5, 6, 7, 8], true),
        ] {
            check(bytes, is_64);
        }
        assert!(decode(&[0xe8, 1], true).is_none());
    }
}
