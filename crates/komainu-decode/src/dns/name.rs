//! Names and their compression.

use std::fmt;

/// A name in bytes as it is on the wire, without compression (RFC 1035, 2.3.4).
const NAME_BYTES_MAX: usize = 255;

/// The pointers that are followed for a name: as many as it can have labels.
const POINTERS_MAX: u32 = 127;

/// A name within a message: its labels, from the one at `at` on. It was followed to its end once, so it has one.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Name<'a> {
    message: &'a [u8],
    at: usize,
}

/// What stands at a place of a name.
enum Part<'a> {
    Label { label: &'a [u8], next: usize },
    Pointer { to: usize, next: usize },
    Root { next: usize },
}

impl<'a> Name<'a> {
    /// Reads the name at `at`; gives back where what follows it begins. None when it is cut, too long or goes round.
    pub(super) fn parse(message: &'a [u8], at: usize) -> Option<(Self, usize)> {
        let (mut here, mut next, mut bytes, mut pointers) = (at, None, 0, 0);
        // A pointer must point before where the name began or where the last one pointed to (RFC 1035, 4.1.4: to a
        // prior occurrence), so this ends.
        let mut before = at;
        loop {
            match part(message, here)? {
                Part::Label { label, next } => {
                    bytes += 1 + label.len();
                    here = next;
                }
                Part::Pointer { to, next: behind } => {
                    pointers += 1;
                    if to >= before || pointers > POINTERS_MAX {
                        return None;
                    }
                    next = next.or(Some(behind));
                    (here, before) = (to, to);
                }
                Part::Root { next: behind } => {
                    return Some((Self { message, at }, next.unwrap_or(behind)));
                }
            }
            // With the byte of the root.
            if bytes >= NAME_BYTES_MAX {
                return None;
            }
        }
    }

    /// The labels, the outermost domain last.
    pub fn labels(&self) -> impl Iterator<Item = &'a [u8]> {
        let (message, mut here) = (self.message, self.at);
        std::iter::from_fn(move || {
            loop {
                match part(message, here)? {
                    Part::Label { label, next } => {
                        here = next;
                        return Some(label);
                    }
                    Part::Pointer { to, .. } => here = to,
                    Part::Root { .. } => return None,
                }
            }
        })
    }

    /// The labels with dots between them, as they were sent; empty for the root.
    pub fn dotted(&self) -> Vec<u8> {
        let mut dotted = Vec::new();
        for label in self.labels() {
            if !dotted.is_empty() {
                dotted.push(b'.');
            }
            dotted.extend_from_slice(label);
        }
        dotted
    }
}

fn part(message: &[u8], at: usize) -> Option<Part<'_>> {
    let (length, rest) = message.get(at..)?.split_first()?;
    match length {
        0 => Some(Part::Root { next: at + 1 }),
        1..=0x3F => {
            let label = rest.get(..usize::from(*length))?;
            Some(Part::Label { label, next: at + 1 + label.len() })
        }
        0xC0..=0xFF => {
            let low = rest.first()?;
            Some(Part::Pointer { to: usize::from(u16::from_be_bytes([length & 0x3F, *low])), next: at + 2 })
        }
        // Reserved (RFC 6891, 5: extended labels are no more).
        0x40..=0xBF => None,
    }
}

impl fmt::Debug for Name<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}", self.dotted().escape_ascii())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pointers_point_back() {
        let message = b"\x03net\0\x04host\xC0\x00rest";
        let (name, next) = Name::parse(message, 5).unwrap();
        assert_eq!((name.dotted(), next), (b"host.net".to_vec(), 12));
    }

    #[test]
    fn what_goes_round_or_ahead_is_no_name() {
        for message in
            [&b"\xC0\x00"[..], b"\x01a\xC0\x00", b"\xC0\x02\xC0\x00", b"\xC0\x02\x01a\0", b"\x40a", b"\x05abc"]
        {
            assert!(Name::parse(message, 0).is_none(), "{message:x?}");
        }
        assert!(Name::parse(b"\xC0\x02\xC0\x00", 2).is_none());
    }

    #[test]
    fn names_are_no_longer_than_the_bound() {
        let mut message = b"\x3F".to_vec();
        message.extend(std::iter::repeat_n(b'a', 63));
        let mut message = message.repeat(3);
        let begin = message.clone();
        message.extend_from_slice(&[60]);
        message.extend(std::iter::repeat_n(b'b', 60));
        message.push(0);
        assert_eq!(Name::parse(&message, 0).unwrap().1, 254);
        let mut message = begin.repeat(2);
        message.push(0);
        assert!(Name::parse(&message, 0).is_none());
    }
}
