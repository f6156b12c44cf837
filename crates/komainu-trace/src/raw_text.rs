//! Bytes that a sample chose, as text that harms nobody.

use std::fmt::{self, Write as _};
use std::str::FromStr;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Bytes that a sample chose. Written out they are printable ASCII, with `\xNN` for every other byte and `\\` for the
/// backslash: lossless, one line, without markup's or a terminal's control characters.
#[derive(Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RawText(pub Vec<u8>);

/// A written form that no bytes have.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("cannot read escaped bytes: at character {at} there is none of `\\\\`, `\\xNN` and printable ASCII")]
pub struct RawTextError {
    /// Where in the text, counted in bytes from its begin.
    pub at: usize,
}

impl fmt::Display for RawText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for &byte in &self.0 {
            match byte {
                b'\\' => f.write_str("\\\\")?,
                b' '..=b'~' => f.write_char(char::from(byte))?,
                _ => write!(f, "\\x{byte:02x}")?,
            }
        }
        Ok(())
    }
}

impl fmt::Debug for RawText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{self}\"")
    }
}

impl FromStr for RawText {
    type Err = RawTextError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let bytes = text.as_bytes();
        let mut raw = Vec::with_capacity(bytes.len());
        let mut at = 0;
        while let Some(&byte) = bytes.get(at) {
            let (value, length) = match (byte, bytes.get(at + 1)) {
                (b'\\', Some(b'\\')) => (b'\\', 2),
                (b'\\', Some(b'x')) => (hex_byte(bytes, at + 2).ok_or(RawTextError { at })?, 4),
                (b'\\', _) => return Err(RawTextError { at }),
                (b' '..=b'~', _) => (byte, 1),
                _ => return Err(RawTextError { at }),
            };
            raw.push(value);
            at += length;
        }
        Ok(Self(raw))
    }
}

fn hex_byte(bytes: &[u8], at: usize) -> Option<u8> {
    let digit = |at: usize| char::from(*bytes.get(at)?).to_digit(16);
    u8::try_from(digit(at)? * 16 + digit(at + 1)?).ok()
}

impl From<&[u8]> for RawText {
    fn from(bytes: &[u8]) -> Self {
        Self(bytes.to_vec())
    }
}

impl From<&str> for RawText {
    fn from(text: &str) -> Self {
        Self(text.as_bytes().to_vec())
    }
}

impl Serialize for RawText {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for RawText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_comes_back() {
        let all = RawText((0..=255).collect());
        let written = all.to_string();
        assert!(written.bytes().all(|byte| (b' '..=b'~').contains(&byte)), "{written}");
        assert_eq!(written.parse(), Ok(all));
    }

    #[test]
    fn what_is_no_written_form_is_told_with_its_place() {
        for (text, at) in [("a\\", 1), ("\\x4", 0), ("\\xg0", 0), ("ab\n", 2), ("\\n", 0), ("é", 0)] {
            assert_eq!(text.parse::<RawText>(), Err(RawTextError { at }), "{text:?}");
        }
    }
}
