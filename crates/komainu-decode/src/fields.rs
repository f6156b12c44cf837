//! Numbers and strings of binary formats, big-endian, read where they lie.

/// Bytes from which fields are taken one after another. What is not there is none, and then nothing is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Fields<'a> {
    rest: &'a [u8],
}

impl<'a> Fields<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// What has not been taken.
    pub(crate) fn rest(&self) -> &'a [u8] {
        self.rest
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (array, rest) = self.rest.split_first_chunk::<N>()?;
        self.rest = rest;
        Some(*array)
    }

    pub(crate) fn u8(&mut self) -> Option<u8> {
        self.array().map(u8::from_be_bytes)
    }

    pub(crate) fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_be_bytes)
    }

    pub(crate) fn u24(&mut self) -> Option<u32> {
        self.array().map(|[high, middle, low]| u32::from_be_bytes([0, high, middle, low]))
    }

    pub(crate) fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_be_bytes)
    }

    pub(crate) fn take(&mut self, bytes: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.rest.split_at_checked(bytes)?;
        self.rest = rest;
        Some(taken)
    }

    /// A string behind its length in one byte.
    pub(crate) fn string8(&mut self) -> Option<&'a [u8]> {
        self.string(|fields| fields.u8().map(u32::from))
    }

    /// A string behind its length in two bytes.
    pub(crate) fn string16(&mut self) -> Option<&'a [u8]> {
        self.string(|fields| fields.u16().map(u32::from))
    }

    /// A string behind its length in three bytes.
    pub(crate) fn string24(&mut self) -> Option<&'a [u8]> {
        self.string(Self::u24)
    }

    /// A string behind its length in four bytes.
    pub(crate) fn string32(&mut self) -> Option<&'a [u8]> {
        self.string(Self::u32)
    }

    fn string(&mut self, length: impl FnOnce(&mut Self) -> Option<u32>) -> Option<&'a [u8]> {
        let mut ahead = *self;
        let bytes = usize::try_from(length(&mut ahead)?).ok()?;
        let string = ahead.take(bytes)?;
        *self = ahead;
        Some(string)
    }
}

/// The two-byte numbers in `bytes`; an odd byte at the end is left out.
pub(crate) fn numbers16(bytes: &[u8]) -> impl Iterator<Item = u16> {
    bytes.as_chunks::<2>().0.iter().map(|pair| u16::from_be_bytes(*pair))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_there_takes_nothing() {
        let mut fields = Fields::new(&[0, 2, b'a', b'b', 0, 3, b'c']);
        assert_eq!(fields.string16(), Some(&b"ab"[..]));
        assert_eq!(fields.string16(), None);
        assert_eq!(fields.u24(), Some(0x00_03_63));
        assert_eq!((fields.u8(), fields.is_empty()), (None, true));
    }
}
