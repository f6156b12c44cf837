//! Little-endian numbers and text where they lie in a message.

pub(super) fn u8_at(bytes: &[u8], at: usize) -> Option<u8> {
    bytes.get(at).copied()
}

pub(super) fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..)?.first_chunk().map(|field| u16::from_le_bytes(*field))
}

pub(super) fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().map(|field| u32::from_le_bytes(*field))
}

pub(super) fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    bytes.get(at..)?.first_chunk().map(|field| u64::from_le_bytes(*field))
}

pub(super) fn array_at<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..)?.first_chunk().copied()
}

/// The `count` bytes from `at`.
pub(super) fn slice_at(bytes: &[u8], at: usize, count: usize) -> Option<&[u8]> {
    bytes.get(at..at.checked_add(count)?)
}

/// UTF-16LE as UTF-8. A surrogate that is alone becomes the three bytes that UTF-8 would have for it, so that different
/// names stay different; an odd byte at the end is dropped.
pub(super) fn utf8_of_wide(wide: &[u8]) -> Vec<u8> {
    let (pairs, _) = wide.as_chunks::<2>();
    let mut utf8 = Vec::with_capacity(pairs.len());
    for unit in char::decode_utf16(pairs.iter().map(|pair| u16::from_le_bytes(*pair))) {
        match unit {
            Ok(character) => utf8.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes()),
            Err(alone) => {
                let [high, low] = alone.unpaired_surrogate().to_be_bytes();
                utf8.extend([0xE0 | high >> 4, 0x80 | (high & 0x0F) << 2 | low >> 6, 0x80 | low & 0x3F]);
            }
        }
    }
    utf8
}

/// Text up to its NUL, or to the end where there is none; and what is behind.
pub(super) fn narrow_string(bytes: &[u8]) -> (&[u8], &[u8]) {
    match bytes.iter().position(|byte| *byte == 0) {
        Some(end) => (&bytes[..end], &bytes[end + 1..]),
        None => (bytes, &[]),
    }
}

/// The same of UTF-16LE; the text is not converted.
pub(super) fn wide_string(bytes: &[u8]) -> (&[u8], &[u8]) {
    let (pairs, _) = bytes.as_chunks::<2>();
    match pairs.iter().position(|pair| *pair == [0, 0]) {
        Some(end) => (&bytes[..end * 2], &bytes[end * 2 + 2..]),
        None => (bytes, &[]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wide_text_stays_distinct() {
        let wide = |units: &[u16]| units.iter().flat_map(|unit| unit.to_le_bytes()).collect::<Vec<u8>>();
        assert_eq!(utf8_of_wide(&wide(&[0x72, 0x65E5, 0xD83D, 0xDE00])), "r日😀".as_bytes());
        assert_eq!(utf8_of_wide(&wide(&[0xD83D, 0x72])), b"\xed\xa0\xbdr");
        assert_eq!(utf8_of_wide(b"a\0b"), b"a");
    }

    #[test]
    fn strings_end_at_their_nul() {
        assert_eq!(narrow_string(b"ab\0c"), (&b"ab"[..], &b"c"[..]));
        assert_eq!(wide_string(b"a\0b\0\0\0c\0"), (&b"a\0b\0"[..], &b"c\0"[..]));
        assert_eq!(wide_string(b"a\0b"), (&b"a\0b"[..], &b""[..]));
    }
}
