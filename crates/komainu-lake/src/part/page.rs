//! The values of a page, out of their encodings. Only those that parts are written with; a value is never missing.
//!
//! The encodings are those of Parquet's format (`Encodings.md`): plain, the hybrid of runs and packed bits for codes of a
//! dictionary, and differences in packed bits. All of them are read with bounds: a page that is damaged is told so.

use ahash::HashSet;

use crate::block::Words;

/// What is wrong with a page.
pub(crate) type Problem = &'static str;

/// The longest that a packed code may be, in bits: a part has fewer rows in a group than that.
const CODE_BITS_MAX: u32 = 32;

/// Appends the codes of a page that is coded by a dictionary of `words` words.
pub(crate) fn codes(page: &[u8], values: usize, words: usize, codes: &mut Vec<u32>) -> Result<(), Problem> {
    let (&bits, mut rest) = page.split_first().ok_or("a page has no width")?;
    let bits = u32::from(bits);
    if bits > CODE_BITS_MAX {
        return Err("the codes of a page are too wide");
    }
    let begin = codes.len();
    let end = begin + values;
    codes.reserve(values);
    while codes.len() < end {
        let (header, after) = varint(rest)?;
        let wanted = end - codes.len();
        if header & 1 == 0 {
            let length = usize::try_from(header >> 1).map_err(|_| "a run is too long")?;
            let bytes = bits.div_ceil(8) as usize;
            let code = after.get(..bytes).ok_or("a page ends within a run")?;
            let code = code.iter().rev().fold(0_u32, |code, byte| code << 8 | u32::from(*byte));
            if length == 0 {
                return Err("a run is empty");
            }
            codes.resize(codes.len() + length.min(wanted), code);
            rest = &after[bytes..];
        } else {
            let groups = usize::try_from(header >> 1).map_err(|_| "a run is too long")?;
            let bytes = groups.checked_mul(bits as usize).ok_or("a run is too long")?;
            // The last group of a page may be cut off behind its last value.
            let packed = &after[..bytes.min(after.len())];
            let length = groups.saturating_mul(8).min(wanted);
            if length == 0 {
                return Err("a run is empty");
            }
            unpack_codes(packed, bits, length, codes)?;
            rest = &after[bytes.min(after.len())..];
        }
    }
    let most = codes[begin..].iter().fold(0, |most, code| most.max(*code));
    if values > 0 && most as usize >= words { Err("a code has no word") } else { Ok(()) }
}

/// Appends the codes of some rows of a page, which ascend, without reading the others one by one.
pub(crate) fn codes_at(
    page: &[u8],
    values: usize,
    words: usize,
    rows: &[u32],
    codes: &mut Vec<u32>,
) -> Result<(), Problem> {
    let (&bits, mut rest) = page.split_first().ok_or("a page has no width")?;
    let bits = u32::from(bits);
    if bits > CODE_BITS_MAX {
        return Err("the codes of a page are too wide");
    }
    if rows.last().is_some_and(|row| *row as usize >= values) {
        return Err("a page has another number of values");
    }
    let begin = codes.len();
    let (mut rows, mut at) = (rows, 0_usize);
    while !rows.is_empty() {
        let (header, after) = varint(rest)?;
        let groups = usize::try_from(header >> 1).map_err(|_| "a run is too long")?;
        let is_run = header & 1 == 0;
        let length = if is_run { groups } else { groups.saturating_mul(8) };
        let end = at.saturating_add(length);
        if length == 0 {
            return Err("a run is empty");
        }
        let (here, later) = rows.split_at(rows.partition_point(|row| (*row as usize) < end));
        if is_run {
            let bytes = bits.div_ceil(8) as usize;
            let code = after.get(..bytes).ok_or("a page ends within a run")?;
            let code = code.iter().rev().fold(0_u32, |code, byte| code << 8 | u32::from(*byte));
            codes.resize(codes.len() + here.len(), code);
            rest = &after[bytes..];
        } else {
            let bytes = groups.checked_mul(bits as usize).ok_or("a run is too long")?.min(after.len());
            let packed = &after[..bytes];
            let bit = |row: &u32| (*row as usize - at) * bits as usize;
            if here.last().is_some_and(|row| packed.len() * 8 < bit(row) + bits as usize) {
                return Err("a page ends within packed codes");
            }
            codes.extend(here.iter().map(|row| bits_at(packed, bit(row), bits) as u32));
            rest = &after[bytes..];
        }
        (rows, at) = (later, end);
    }
    let most = codes[begin..].iter().fold(0, |most, code| most.max(*code));
    if codes.len() > begin && most as usize >= words { Err("a code has no word") } else { Ok(()) }
}

fn unpack_codes(packed: &[u8], bits: u32, length: usize, codes: &mut Vec<u32>) -> Result<(), Problem> {
    if packed.len() < (length * bits as usize).div_ceil(8) {
        return Err("a page ends within packed codes");
    }
    if bits == 0 {
        codes.resize(codes.len() + length, 0);
        return Ok(());
    }
    let width = bits as usize;
    let mask = (1_u64 << bits) - 1;
    // Eight codes are as many bytes as a code has bits. Those of half a group fit a word of eight bytes, which may reach into
    // the next group: at the end of the page codes are read one by one.
    let whole = match packed.len().checked_sub(16) {
        Some(last) if width <= 15 => (last / width).min(length / 8),
        _ => 0,
    };
    let word = |at: usize| u64::from_le_bytes(packed[at..at + 8].try_into().expect("a word of eight bytes"));
    for group in 0..whole {
        let at = group * width;
        let (low, high) = (word(at), word(at + width / 2) >> (width % 2 * 4));
        codes.extend_from_slice(&[
            (low & mask) as u32,
            (low >> width & mask) as u32,
            (low >> (2 * width) & mask) as u32,
            (low >> (3 * width) & mask) as u32,
            (high & mask) as u32,
            (high >> width & mask) as u32,
            (high >> (2 * width) & mask) as u32,
            (high >> (3 * width) & mask) as u32,
        ]);
    }
    codes.extend((whole * 8..length).map(|place| bits_at(packed, place * width, bits) as u32));
    Ok(())
}

/// `bits` bits, 56 at most, that begin at a bit.
fn bits_at(packed: &[u8], bit: usize, bits: u32) -> u64 {
    let mut word = [0; 8];
    let from = &packed[(bit / 8).min(packed.len())..];
    let length = from.len().min(8);
    word[..length].copy_from_slice(&from[..length]);
    (u64::from_le_bytes(word) >> (bit % 8)) & ((1_u64 << bits) - 1)
}

/// Appends the times of a page that is coded as differences.
pub(crate) fn differences(page: &[u8], values: usize, times: &mut Vec<i64>) -> Result<(), Problem> {
    let (block, rest) = varint(page)?;
    let (miniblocks, rest) = varint(rest)?;
    let (total, rest) = varint(rest)?;
    let (first, mut rest) = zigzag(rest)?;
    if total != values as u64 {
        return Err("a page has another number of values");
    }
    // What the format allows: blocks of a multiple of 128, miniblocks of a multiple of 32.
    let is_usual = (128..=65_536).contains(&block) && block % 128 == 0 && (1..=512).contains(&miniblocks);
    if !is_usual || block % miniblocks != 0 || (block / miniblocks) % 32 != 0 {
        return Err("the blocks of a page are unusual");
    }
    let (miniblocks, in_miniblock) = (miniblocks as usize, (block / miniblocks) as usize);
    if values == 0 {
        return Ok(());
    }
    let end = times.len() + values;
    times.reserve(values);
    times.push(first);
    let mut last = first;
    while times.len() < end {
        let (least, after) = zigzag(rest)?;
        let widths = after.get(..miniblocks).ok_or("a page ends within a block")?;
        rest = &after[miniblocks..];
        for width in widths {
            let wanted = end - times.len();
            if wanted == 0 {
                break;
            }
            let bits = u32::from(*width);
            if bits > 64 {
                return Err("differences are too wide");
            }
            let bytes = in_miniblock * bits as usize / 8;
            let packed = rest.get(..bytes).ok_or("a page ends within packed differences")?;
            let length = in_miniblock.min(wanted);
            last = unpack_differences(packed, bits, length, least, last, times);
            rest = &rest[bytes..];
        }
    }
    Ok(())
}

fn unpack_differences(packed: &[u8], bits: u32, length: usize, least: i64, mut last: i64, times: &mut Vec<i64>) -> i64 {
    if bits <= 56 {
        let mask = (1_u64 << bits) - 1;
        // Most words lie wholly in the page; those at its end are read with less ease.
        let whole = match packed.len().checked_sub(8) {
            Some(last) if bits > 0 => (last * 8 / bits as usize + 1).min(length),
            _ => 0,
        };
        times.extend((0..whole).map(|place| {
            let bit = place * bits as usize;
            let word: [u8; 8] = packed[bit / 8..bit / 8 + 8].try_into().expect("a window of eight bytes");
            let difference = (u64::from_le_bytes(word) >> (bit % 8)) & mask;
            last = last.wrapping_add(least).wrapping_add(difference as i64);
            last
        }));
        times.extend((whole..length).map(|place| {
            let difference = if bits == 0 { 0 } else { bits_at(packed, place * bits as usize, bits) };
            last = last.wrapping_add(least).wrapping_add(difference as i64);
            last
        }));
    } else {
        times.extend((0..length).map(|place| {
            let bit = place * bits as usize;
            let low = bits_at(packed, bit, 32);
            let high = bits_at(packed, bit + 32, bits - 32);
            last = last.wrapping_add(least).wrapping_add((high << 32 | low) as i64);
            last
        }));
    }
    last
}

/// The texts of a dictionary. Nobody relies on that no text is there twice: who counts goes by the words.
pub(crate) fn texts(page: &[u8], values: usize) -> Result<Words, Problem> {
    let mut ends = Vec::with_capacity(values.min(page.len() / 4));
    let mut bytes = Vec::with_capacity(page.len());
    let mut rest = page;
    for _ in 0..values {
        let (length, after) = rest.split_first_chunk::<4>().ok_or("a dictionary ends within a length")?;
        let length = u32::from_le_bytes(*length) as usize;
        let text = after.get(..length).ok_or("a dictionary ends within a text")?;
        bytes.extend_from_slice(text);
        ends.push(u32::try_from(bytes.len()).map_err(|_| "a dictionary is too large")?);
        rest = &after[length..];
    }
    let text = String::from_utf8(bytes).map_err(|_| "a text is not UTF-8")?;
    match ends.iter().all(|end| text.is_char_boundary(*end as usize)) {
        true => Ok(Words::Page { text, ends }),
        false => Err("a text is not UTF-8"),
    }
}

/// The numbers of a dictionary. No number is there twice.
pub(crate) fn numbers(page: &[u8], values: usize) -> Result<Vec<u32>, Problem> {
    if page.len() != values * 4 {
        return Err("a dictionary has another number of numbers");
    }
    let numbers: Vec<u32> =
        page.chunks_exact(4).map(|bytes| u32::from_le_bytes(bytes.try_into().expect("four bytes"))).collect();
    let different: HashSet<u32> = numbers.iter().copied().collect();
    if different.len() == numbers.len() { Ok(numbers) } else { Err("a number is in a dictionary twice") }
}

/// Appends the numbers with fractions of a page that has them as they are.
pub(crate) fn floats(page: &[u8], values: usize, floats: &mut Vec<f64>) -> Result<(), Problem> {
    if page.len() != values * 8 {
        return Err("a page has another number of values");
    }
    floats.extend(page.chunks_exact(8).map(|bytes| f64::from_le_bytes(bytes.try_into().expect("eight bytes"))));
    Ok(())
}

fn varint(bytes: &[u8]) -> Result<(u64, &[u8]), Problem> {
    let mut number = 0_u64;
    for (place, byte) in bytes.iter().take(10).enumerate() {
        number |= u64::from(byte & 0x7f) << (7 * place);
        if byte & 0x80 == 0 {
            return Ok((number, &bytes[place + 1..]));
        }
    }
    Err("a page ends within a number")
}

fn zigzag(bytes: &[u8]) -> Result<(i64, &[u8]), Problem> {
    let (number, rest) = varint(bytes)?;
    Ok(((number >> 1) as i64 ^ -((number & 1) as i64), rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_of_every_width_are_read() {
        for bits in 0..=20_u32 {
            // 203 codes in packed groups of eight, the last of them cut off.
            let expected: Vec<u32> =
                (0..203_u32).map(|place| place.wrapping_mul(2_654_435_761) & ((1 << bits) - 1)).collect();
            let mut packed = vec![0_u8; 26 * bits as usize];
            for (place, code) in expected.iter().enumerate() {
                for bit in 0..bits as usize {
                    let at = place * bits as usize + bit;
                    packed[at / 8] |= ((code >> bit & 1) as u8) << (at % 8);
                }
            }
            let mut page = vec![bits as u8, (26 << 1) | 1];
            page.extend(&packed);
            let mut read = vec![7];
            codes(&page, 203, 1 << bits, &mut read).unwrap();
            assert_eq!(read[1..], expected, "{bits} bits");
            // Padding behind the last code may be missing.
            page.truncate(2 + (203 * bits as usize).div_ceil(8));
            read.clear();
            codes(&page, 203, 1 << bits, &mut read).unwrap();
            assert_eq!(read, expected, "{bits} bits, cut off");
            for step in [1, 2, 7, 100, 202] {
                let rows: Vec<u32> = (0..203).step_by(step).collect();
                let of_rows: Vec<u32> = rows.iter().map(|row| expected[*row as usize]).collect();
                read.clear();
                codes_at(&page, 203, 1 << bits, &rows, &mut read).unwrap();
                assert_eq!(read, of_rows, "{bits} bits, each {step}th");
            }
        }
    }

    #[test]
    fn runs_and_packed_codes_follow_each_other() {
        let check = |page: &[u8], values: usize, words: usize, expected: Result<&[u32], &str>| {
            let mut read = Vec::new();
            let done = codes(page, values, words, &mut read).map(|()| read.as_slice());
            assert_eq!(done, expected, "{page:?}");
            let rows: Vec<u32> = (0..values as u32).collect();
            let mut read = Vec::new();
            let done = codes_at(page, values, words, &rows, &mut read).map(|()| read.as_slice());
            assert_eq!(done, expected, "{page:?}, row by row");
        };
        // Five times 3, then 0 1 2 3 4 5 6 7 of three bits, as the format's document has it.
        check(
            &[3, 5 << 1, 3, (1 << 1) | 1, 0b1000_1000, 0b1100_0110, 0b1111_1010],
            13,
            8,
            Ok(&[3, 3, 3, 3, 3, 0, 1, 2, 3, 4, 5, 6, 7]),
        );
        check(&[3, 200, 1, 3], 4, 8, Ok(&[3, 3, 3, 3]));
        check(&[9, 2 << 1, 0x2c, 0x01], 2, 301, Ok(&[300, 300]));
        check(&[], 0, 1, Err("a page has no width"));
        check(&[33], 1, 1, Err("the codes of a page are too wide"));
        check(&[3], 1, 8, Err("a page ends within a number"));
        check(&[3, 4], 1, 8, Err("a page ends within a run"));
        check(&[3, 0, 1], 1, 8, Err("a run is empty"));
        check(&[3, 1], 1, 8, Err("a run is empty"));
        check(&[8, 3, 1], 8, 256, Err("a page ends within packed codes"));
        check(&[3, 2, 7], 1, 7, Err("a code has no word"));
    }

    #[test]
    fn differences_that_make_no_sense_are_refused() {
        let check = |page: &[u8], values: usize, expected: Result<&[i64], &str>| {
            let mut read = Vec::new();
            let done = differences(page, values, &mut read).map(|()| read.as_slice());
            assert_eq!(done, expected, "{page:?}");
        };
        // Blocks of 128, four miniblocks, one value: 7.
        check(&[0x80, 0x01, 4, 1, 14], 1, Ok(&[7]));
        // 7, 5, 3: the least difference is -2, and packed are differences from it, which need no bit.
        check(&[0x80, 0x01, 4, 3, 14, 3, 0, 0, 0, 0], 3, Ok(&[7, 5, 3]));
        check(&[0x80, 0x01, 4, 3, 14], 2, Err("a page has another number of values"));
        check(&[0x80, 0x01, 3, 1, 14], 1, Err("the blocks of a page are unusual"));
        check(&[0x80, 0x80, 0x80, 0x80, 0x10, 4, 1, 14], 1, Err("the blocks of a page are unusual"));
        check(&[0x80, 0x01, 4, 3, 14, 3, 0, 0], 3, Err("a page ends within a block"));
        check(&[0x80, 0x01, 4, 3, 14, 3, 65, 0, 0, 0], 3, Err("differences are too wide"));
        check(&[0x80, 0x01, 4, 3, 14, 3, 8, 0, 0, 0, 1], 3, Err("a page ends within packed differences"));
    }

    #[test]
    fn dictionaries_are_read() {
        let texts_of = |page: &[u8], values: usize| {
            let words = texts(page, values)?;
            Ok(words.iter().map(|word| word.value().to_string()).collect::<Vec<String>>())
        };
        let page = b"\x02\0\0\0ab\0\0\0\0\x03\0\0\0\xe2\x82\xac";
        assert_eq!(texts_of(page, 3), Ok(vec!["ab".to_owned(), String::new(), "\u{20ac}".to_owned()]));
        assert_eq!(texts_of(page, 4), Err("a dictionary ends within a length"));
        assert_eq!(texts_of(b"\x02\0\0\0a", 1), Err("a dictionary ends within a text"));
        // Two texts that are none alone are not one together.
        assert_eq!(texts_of(b"\x01\0\0\0\xe2\x02\0\0\0\x82\xac", 2), Err("a text is not UTF-8"));
        assert_eq!(numbers(&[1, 0, 0, 0, 255, 255, 255, 255], 2), Ok(vec![1, u32::MAX]));
        assert_eq!(numbers(&[1, 0, 0, 0, 1, 0, 0, 0], 2), Err("a number is in a dictionary twice"));
        assert_eq!(numbers(&[1, 0, 0], 1), Err("a dictionary has another number of numbers"));
    }
}
