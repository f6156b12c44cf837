//! The Basic Encoding Rules of ASN.1 (X.690), as far as SNMP and certificates need them.
//!
//! Elements are taken one after another from the bytes in front; nothing recurses.

use std::fmt;

/// `INTEGER`.
pub(crate) const INTEGER: u8 = 0x02;
/// `OCTET STRING`.
pub(crate) const OCTET_STRING: u8 = 0x04;
/// `OBJECT IDENTIFIER`.
pub(crate) const OBJECT_IDENTIFIER: u8 = 0x06;
/// `SEQUENCE`.
pub(crate) const SEQUENCE: u8 = 0x30;
/// `SET`.
pub(crate) const SET: u8 = 0x31;

/// Elements that have not been taken.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Elements<'a> {
    rest: &'a [u8],
}

impl<'a> Elements<'a> {
    pub(crate) fn of(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    pub(crate) fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// The tag of the next element.
    pub(crate) fn tag(&self) -> Option<u8> {
        self.rest.first().copied()
    }

    /// Takes the next element: its tag and its content. None when it is broken or cut, or has a tag of several bytes
    /// or no definite length, which neither protocol uses.
    pub(crate) fn any(&mut self) -> Option<(u8, &'a [u8])> {
        let (tag, rest) = self.rest.split_first()?;
        if tag & 0x1F == 0x1F {
            return None;
        }
        let (first, rest) = rest.split_first()?;
        let (length, rest) = match first {
            0..=0x7F => (usize::from(*first), rest),
            0x81..=0x84 => {
                let (digits, rest) = rest.split_at_checked(usize::from(first & 0x7F))?;
                let length = digits.iter().fold(0u32, |length, digit| (length << 8) | u32::from(*digit));
                (usize::try_from(length).ok()?, rest)
            }
            _ => return None,
        };
        let (content, rest) = rest.split_at_checked(length)?;
        self.rest = rest;
        Some((*tag, content))
    }

    /// Takes the next element if it has this tag.
    pub(crate) fn take(&mut self, tag: u8) -> Option<&'a [u8]> {
        if self.tag() != Some(tag) {
            return None;
        }
        self.any().map(|(_, content)| content)
    }

    /// Takes the next element, whose content is elements, if it has this tag.
    pub(crate) fn inside(&mut self, tag: u8) -> Option<Self> {
        self.take(tag).map(Self::of)
    }

    /// Takes an `INTEGER` of at most eight bytes.
    pub(crate) fn integer(&mut self) -> Option<i64> {
        self.take(INTEGER).and_then(integer)
    }
}

/// The content of an `INTEGER`.
pub(crate) fn integer(content: &[u8]) -> Option<i64> {
    let first = *content.first()?;
    if content.len() > 8 {
        return None;
    }
    let sign = if first & 0x80 == 0 { 0 } else { -1 };
    Some(content.iter().fold(sign, |value, byte| (value << 8) | i64::from(*byte)))
}

/// An object identifier as it was sent; its text has numbers and dots.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Oid<'a>(pub(crate) &'a [u8]);

impl Oid<'_> {
    /// The encoded bytes.
    pub fn bytes(&self) -> &[u8] {
        self.0
    }
}

impl fmt::Display for Oid<'_> {
    /// X.690, 8.19. A number beyond 64 bits or one that is cut is shown as `?`.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (mut value, mut is_first) = (Some(0u64), true);
        for byte in self.0 {
            value = value.and_then(|value| value.checked_mul(128)).map(|value| value | u64::from(byte & 0x7F));
            if byte & 0x80 != 0 {
                continue;
            }
            match (value, is_first) {
                // The first two numbers are sent as one.
                (Some(both), true) => {
                    let first = (both / 40).min(2);
                    write!(formatter, "{first}.{}", both - first * 40)?;
                }
                (Some(value), false) => write!(formatter, ".{value}")?,
                (None, true) => formatter.write_str("?")?,
                (None, false) => formatter.write_str(".?")?,
            }
            (value, is_first) = (Some(0), false);
        }
        if self.0.last().is_some_and(|byte| byte & 0x80 != 0) {
            formatter.write_str(if is_first { "?" } else { ".?" })?;
        }
        Ok(())
    }
}

impl fmt::Debug for Oid<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{self}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_object_identifiers() {
        let check = |bytes: &[u8], expected: &str| assert_eq!(Oid(bytes).to_string(), expected);
        check(&[0x2B, 6, 1, 2, 1, 1, 5, 0], "1.3.6.1.2.1.1.5.0");
        check(&[0x2B, 0x86, 0xF7, 0x0D], "1.3.113549");
        check(&[0x88, 0x37, 3], "2.999.3");
        check(&[0x2B, 0x86], "1.3.?");
        check(&[], "");
        check(&[0xFF; 30], "?");
    }

    #[test]
    fn integers_have_a_sign() {
        assert_eq!(Elements::of(&[2, 1, 0x7F]).integer(), Some(127));
        assert_eq!(Elements::of(&[2, 2, 0xFF, 0x7F]).integer(), Some(-129));
        assert_eq!(Elements::of(&[2, 4, 0x7F, 0xFF, 0xFF, 0xFF]).integer(), Some(i64::from(i32::MAX)));
        assert_eq!(Elements::of(&[2, 0]).integer(), None);
        assert_eq!(Elements::of(&[2, 9, 0, 0, 0, 0, 0, 0, 0, 0, 1]).integer(), None);
    }

    #[test]
    fn lengths_that_lie_take_nothing() {
        for bytes in [&[0x30][..], &[0x30, 0x84], &[0x30, 2, 0], &[0x30, 0x80, 0, 0], &[0x1F, 1, 0], &[0x30, 0x85]] {
            assert_eq!(Elements::of(bytes).any(), None, "{bytes:x?}");
        }
    }
}
