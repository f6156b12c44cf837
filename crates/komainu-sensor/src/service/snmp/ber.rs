//! Elements of the Basic Encoding Rules (X.690), as they are written, and object identifiers.

use std::fmt;

/// The numbers of an object identifier (RFC 3416, 4.1).
const NUMBERS_MAX: usize = 128;

/// An element: its tag, its length and its content.
pub(super) fn element(tag: u8, content: &[u8]) -> Vec<u8> {
    let bytes = content.len();
    let length = match bytes {
        0..=0x7F => vec![bytes as u8],
        0x80..=0xFF => vec![0x81, bytes as u8],
        0x100..=0xFFFF => vec![0x82, (bytes >> 8) as u8, bytes as u8],
        _ => vec![0x83, (bytes >> 16) as u8, (bytes >> 8) as u8, bytes as u8],
    };
    [&[tag], &length[..], content].concat()
}

/// An `INTEGER`.
pub(super) fn integer(value: i64) -> Vec<u8> {
    element(0x02, &number(value))
}

/// The content of an `INTEGER`: as few bytes as have its sign (8.3).
pub(super) fn number(value: i64) -> Vec<u8> {
    let bytes = value.to_be_bytes();
    let is_needless = |pair: &[u8]| matches!((pair[0], pair[1] & 0x80), (0, 0) | (0xFF, 0x80));
    let skip = bytes.windows(2).take_while(|pair| is_needless(pair)).count();
    bytes[skip..].to_vec()
}

/// The content of a number that has no sign; it is written as if it had one.
pub(super) fn unsigned(value: u32) -> Vec<u8> {
    number(value.into())
}

/// An object identifier. They are in the order of their numbers.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Oid(Vec<u32>);

impl Oid {
    /// Reads numbers with dots between them.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let numbers: Option<Vec<u32>> = text.split('.').map(|number| number.parse().ok()).collect();
        let numbers = numbers.filter(|numbers| (2..=NUMBERS_MAX).contains(&numbers.len()))?;
        // The first two are sent as one number (8.19.4).
        let is_valid = numbers[0] < 2 && numbers[1] < 40 || numbers[0] == 2 && numbers[1] < u32::MAX - 80;
        is_valid.then_some(Self(numbers))
    }

    /// Reads what was sent. None when a number is cut or has more than 32 bits.
    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let mut numbers = Vec::new();
        let (mut value, mut is_open) = (0u32, false);
        for byte in bytes {
            value = value.checked_mul(128)? | u32::from(byte & 0x7F);
            is_open = byte & 0x80 != 0;
            if is_open {
                continue;
            }
            if numbers.is_empty() {
                let first = (value / 40).min(2);
                numbers.extend([first, value - first * 40]);
            } else {
                numbers.push(value);
            }
            if numbers.len() > NUMBERS_MAX {
                return None;
            }
            value = 0;
        }
        (!is_open && !numbers.is_empty()).then_some(Self(numbers))
    }

    /// As it is sent, without tag and length.
    pub(super) fn encoded(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        let first = self.0.first().copied().unwrap_or_default() * 40 + self.0.get(1).copied().unwrap_or_default();
        for value in std::iter::once(first).chain(self.0.iter().skip(2).copied()) {
            for shift in [28, 21, 14, 7] {
                if value >> shift != 0 {
                    bytes.push((value >> shift) as u8 | 0x80);
                }
            }
            bytes.push(value as u8 & 0x7F);
        }
        bytes
    }
}

impl fmt::Display for Oid {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let numbers: Vec<String> = self.0.iter().map(u32::to_string).collect();
        formatter.write_str(&numbers.join("."))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn lengths_and_numbers() {
        assert_eq!(element(4, &[1]), [4, 1, 1]);
        assert_eq!(element(4, &[0; 200])[..3], [4, 0x81, 200]);
        assert_eq!(element(4, &[0; 300])[..4], [4, 0x82, 1, 44]);
        for (value, expected) in
            [(0, &[0][..]), (127, &[0x7F]), (128, &[0, 0x80]), (-1, &[0xFF]), (-128, &[0x80]), (-129, &[0xFF, 0x7F])]
        {
            assert_eq!(number(value), expected, "{value}");
        }
        assert_eq!(unsigned(u32::MAX), [0, 0xFF, 0xFF, 0xFF, 0xFF]);
        assert_eq!(integer(i64::MIN).len(), 10);
    }

    #[test]
    fn object_identifiers() {
        let check = |text: &str, bytes: &[u8]| {
            let oid = Oid::parse(text).unwrap();
            assert_eq!(oid.encoded(), bytes, "{text}");
            assert_eq!(Oid::decode(bytes), Some(oid.clone()), "{text}");
            assert_eq!(oid.to_string(), text);
        };
        check("1.3.6.1.2.1.1.5.0", &[0x2B, 6, 1, 2, 1, 1, 5, 0]);
        check("1.3.113549", &[0x2B, 0x86, 0xF7, 0x0D]);
        check("2.999.3", &[0x88, 0x37, 3]);
        check("1.3.4294967295", &[0x2B, 0x8F, 0xFF, 0xFF, 0xFF, 0x7F]);
        for text in ["", "1", "1.40", "3.1", "1.3.x", "1.3.", "1.3.4294967296"] {
            assert_eq!(Oid::parse(text), None, "{text}");
        }
        for bytes in [&[][..], &[0x2B, 0x86], &[0xFF; 9], &[0x2B; 200]] {
            assert_eq!(Oid::decode(bytes), None, "{bytes:x?}");
        }
        assert!(Oid::parse("1.3.6.1").unwrap() < Oid::parse("1.3.6.1.0").unwrap());
        assert!(Oid::parse("1.3.6.9").unwrap() < Oid::parse("1.3.6.10").unwrap());
    }

    proptest! {
        #[test]
        fn whatever_is_sent_is_read_or_not(bytes in proptest::collection::vec(any::<u8>(), 0..150)) {
            if let Some(oid) = Oid::decode(&bytes) {
                prop_assert_eq!(Oid::decode(&oid.encoded()), Some(oid));
            }
        }
    }
}
