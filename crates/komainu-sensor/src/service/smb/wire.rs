//! Little-endian numbers and text in messages of SMB.

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

/// The `count` bytes from `at`.
pub(super) fn slice_at(bytes: &[u8], at: usize, count: usize) -> Option<&[u8]> {
    bytes.get(at..at.checked_add(count)?)
}

/// The `count` bytes from `at`, where both are 32 bits long in the message.
pub(super) fn slice_at_u32(bytes: &[u8], at: u32, count: u32) -> Option<&[u8]> {
    slice_at(bytes, usize::try_from(at).ok()?, usize::try_from(count).ok()?)
}

/// UTF-16LE as text, up to a NUL. What is no UTF-16 becomes U+FFFD: a device's file system does the like.
pub(super) fn text_of_wide(wide: &[u8]) -> String {
    let (units, _) = wide.as_chunks::<2>();
    let units = units.iter().map(|unit| u16::from_le_bytes(*unit)).take_while(|unit| *unit != 0);
    char::decode_utf16(units).map(|character| character.unwrap_or(char::REPLACEMENT_CHARACTER)).collect()
}

/// Text of one byte for each letter, up to a NUL.
pub(super) fn text_of_narrow(narrow: &[u8]) -> String {
    let end = narrow.iter().position(|byte| *byte == 0).unwrap_or(narrow.len());
    String::from_utf8_lossy(&narrow[..end]).into_owned()
}

/// Text as UTF-16LE, without a NUL.
pub(super) fn wide(text: &str) -> Vec<u8> {
    text.encode_utf16().flat_map(u16::to_le_bytes).collect()
}

/// How text is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Letters {
    /// UTF-16LE: always in SMB2.
    Wide,
    /// A byte or several for each letter: in SMB1 for clients that do not say that they know Unicode.
    Narrow,
}

impl Letters {
    /// Text, without a NUL.
    pub(super) fn of(self, text: &str) -> Vec<u8> {
        match self {
            Self::Wide => wide(text),
            Self::Narrow => text.as_bytes().to_vec(),
        }
    }
}

/// A length as it is written in 32 bits. What is written here is far shorter than 4 GiB: each part has a bound.
pub(super) fn length_u32(bytes: usize) -> u32 {
    u32::try_from(bytes).unwrap_or(u32::MAX)
}

/// A length as it is written in 16 bits; for parts that are bounded below 64 KiB.
pub(super) fn length_u16(bytes: usize) -> u16 {
    u16::try_from(bytes).unwrap_or(u16::MAX)
}

/// A message, or a part of one, that is being written.
#[derive(Debug, Default)]
pub(super) struct Out(Vec<u8>);

impl Out {
    pub(super) fn new() -> Self {
        Self::default()
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn u8(&mut self, value: u8) -> &mut Self {
        self.bytes(&[value])
    }

    pub(super) fn u16(&mut self, value: u16) -> &mut Self {
        self.bytes(&value.to_le_bytes())
    }

    pub(super) fn u32(&mut self, value: u32) -> &mut Self {
        self.bytes(&value.to_le_bytes())
    }

    pub(super) fn u64(&mut self, value: u64) -> &mut Self {
        self.bytes(&value.to_le_bytes())
    }

    pub(super) fn bytes(&mut self, bytes: &[u8]) -> &mut Self {
        self.0.extend_from_slice(bytes);
        self
    }

    pub(super) fn zeros(&mut self, count: usize) -> &mut Self {
        self.0.resize(self.0.len() + count, 0);
        self
    }

    /// Zeros up to the next multiple of `unit`.
    pub(super) fn pad_to(&mut self, unit: usize) -> &mut Self {
        self.0.resize(self.0.len().next_multiple_of(unit), 0);
        self
    }

    /// Writes over what is at `at`, which must have been written before.
    pub(super) fn put_u32(&mut self, at: usize, value: u32) {
        self.put(at, &value.to_le_bytes());
    }

    /// The same with 16 bits.
    pub(super) fn put_u16(&mut self, at: usize, value: u16) {
        self.put(at, &value.to_le_bytes());
    }

    fn put(&mut self, at: usize, bytes: &[u8]) {
        self.0[at..at + bytes.len()].copy_from_slice(bytes);
    }

    pub(super) fn take(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.0)
    }

    pub(super) fn as_slice(&self) -> &[u8] {
        &self.0
    }
}
