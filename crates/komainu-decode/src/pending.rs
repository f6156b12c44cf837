//! What a side said and a decoder has not understood yet.

use crate::{Place, Side};

/// The end of what a side said that is not a whole unit yet, and where in the flow it is.
///
/// What comes in one piece is parsed where it lies; only the beginning of a unit that is cut is copied.
#[derive(Debug)]
pub(crate) struct Pending {
    side: Side,
    /// The beginning of a unit.
    carry: Vec<u8>,
    /// How many bytes of the side were used, or lost.
    offset: u64,
    /// The bound of `carry`.
    bytes_max: usize,
}

/// What a parser says of the bytes in front of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// So many bytes are done with; more may follow. Never 0.
    Used(usize),
    /// There is no whole unit yet.
    More,
}

/// More than the bound would have to be kept: the unit is too long for the decoder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TooLong;

impl Pending {
    pub(crate) fn new(side: Side, bytes_max: usize) -> Self {
        Self { side, carry: Vec::new(), offset: 0, bytes_max }
    }

    /// Gives `parse` what is known of the side from `place` on, again and again, until it says that it needs more.
    ///
    /// `parse` gets the bytes and the offset of the first of them. When more than the bound would have to be kept, that
    /// is dropped and counted as used.
    pub(crate) fn feed(&mut self, bytes: &[u8], mut parse: impl FnMut(&[u8], u64) -> Step) -> Result<(), TooLong> {
        if self.carry.is_empty() {
            let used = Self::run(bytes, self.offset, &mut parse);
            self.offset += used as u64;
            return self.keep(&bytes[used..]);
        }
        self.carry.extend_from_slice(bytes);
        let carry = std::mem::take(&mut self.carry);
        let used = Self::run(&carry, self.offset, &mut parse);
        self.offset += used as u64;
        if carry.len() - used > self.bytes_max {
            self.offset += (carry.len() - used) as u64;
            return Err(TooLong);
        }
        self.carry = carry;
        self.carry.drain(..used);
        Ok(())
    }

    fn run(bytes: &[u8], offset: u64, parse: &mut impl FnMut(&[u8], u64) -> Step) -> usize {
        let mut used = 0;
        while used < bytes.len() {
            match parse(&bytes[used..], offset + used as u64) {
                Step::Used(more) => {
                    debug_assert!(more > 0 && more <= bytes.len() - used, "a step uses bytes that are there");
                    used += more.clamp(1, bytes.len() - used);
                }
                Step::More => break,
            }
        }
        used
    }

    fn keep(&mut self, rest: &[u8]) -> Result<(), TooLong> {
        if rest.len() > self.bytes_max {
            self.offset += rest.len() as u64;
            return Err(TooLong);
        }
        self.carry.extend_from_slice(rest);
        Ok(())
    }

    /// Drops what is kept and skips what was lost; gives back how many bytes were dropped.
    pub(crate) fn skip_gap(&mut self, bytes: u64) -> usize {
        let dropped = self.carry.len();
        self.carry = Vec::new();
        self.offset += dropped as u64 + bytes;
        dropped
    }

    /// Counts bytes that nobody looks at.
    pub(crate) fn ignore(&mut self, bytes: &[u8]) {
        self.offset += (self.carry.len() + bytes.len()) as u64;
        self.carry = Vec::new();
    }

    /// What is kept: the beginning of a unit that has not been completed.
    pub(crate) fn rest(&self) -> &[u8] {
        &self.carry
    }

    /// The place of the `bytes` bytes from `offset`.
    pub(crate) fn place(&self, offset: u64, bytes: usize) -> Place {
        Place { side: self.side, offset, bytes: bytes as u64 }
    }

    /// The place of what is kept.
    pub(crate) fn rest_place(&self) -> Place {
        self.place(self.offset, self.carry.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Lines of what comes in pieces of `size`.
    fn lines(text: &[u8], size: usize, bytes_max: usize) -> (Vec<(u64, Vec<u8>)>, usize) {
        let mut pending = Pending::new(Side::Client, bytes_max);
        let (mut lines, mut too_long) = (Vec::new(), 0);
        for piece in text.chunks(size) {
            let fed = pending.feed(piece, |bytes, offset| match bytes.iter().position(|byte| *byte == b'\n') {
                Some(end) => {
                    lines.push((offset, bytes[..end].to_vec()));
                    Step::Used(end + 1)
                }
                None => Step::More,
            });
            too_long += usize::from(fed.is_err());
        }
        (lines, too_long)
    }

    #[test]
    fn cuts_make_no_difference() {
        let text = b"one\ntwo\n\nthree\nfour";
        let (whole, _) = lines(text, text.len(), 16);
        assert_eq!(whole.len(), 4);
        assert_eq!(whole[3], (9, b"three".to_vec()));
        for size in 1..text.len() {
            assert_eq!(lines(text, size, 16).0, whole, "in pieces of {size}");
        }
    }

    #[test]
    fn what_is_too_long_is_dropped_and_counted() {
        let (lines, too_long) = lines(b"0123456789abcdef\nnext\n", 4, 8);
        assert_eq!(too_long, 1);
        assert_eq!(lines.last(), Some(&(17, b"next".to_vec())));
    }
}
