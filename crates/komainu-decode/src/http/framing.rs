//! How long a body is (RFC 9112, 6 and 7).

use memchr::memchr;

use crate::OddityKind::{self, Bound, Skipped, Tolerated};
use crate::message::ContentLength;

/// The bytes of a chunk-size line and of a trailer line that are looked at; the rest of a longer one is skipped. Both
/// are short in every real message.
const CHUNK_LINE_BYTES_MAX: usize = 1024;

/// The significant hexadecimal digits of a chunk size that fit 64 bits.
const CHUNK_DIGITS_MAX: usize = 16;

/// What the header fields of a message say about its body.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Framing {
    length: Option<u64>,
    is_chunked: bool,
    /// A transfer coding that is not chunked.
    is_coded: bool,
    /// The first thing about these fields that is not allowed.
    oddity: Option<&'static str>,
}

impl Framing {
    /// Takes a header field into account.
    pub(super) fn field(&mut self, name: &[u8], value: &[u8]) {
        if name.eq_ignore_ascii_case(b"content-length") {
            let said = ContentLength::parse(value);
            if !said.is_well_formed {
                self.oddity.get_or_insert("content_length_malformed");
            }
            match (self.length, said.bytes) {
                (None, bytes) => self.length = bytes,
                (Some(first), Some(bytes)) if first != bytes => {
                    self.oddity.get_or_insert("content_lengths_differ");
                }
                (Some(_), _) => {}
            }
        } else if name.eq_ignore_ascii_case(b"transfer-encoding") {
            // The last coding is the one that frames the body (RFC 9112, 6.3).
            let last = value.rsplit(|byte| *byte == b',').next().unwrap_or_default();
            let is_last = last.trim_ascii().eq_ignore_ascii_case(b"chunked");
            // `xchunked`, `chunked;q=1` and the like: senders who try what the other party makes of it.
            let is_hidden = value.to_ascii_lowercase().windows(7).any(|part| part == b"chunked");
            self.is_chunked |= is_last || is_hidden;
            self.is_coded |= !(is_last || is_hidden || value.eq_ignore_ascii_case(b"identity"));
            if !is_last {
                self.oddity.get_or_insert("transfer_encoding_unknown");
            }
        }
    }

    /// What is not allowed about the fields.
    pub(super) fn oddity(&self) -> Option<&'static str> {
        let is_both = self.is_chunked && self.length.is_some();
        self.oddity.or(is_both.then_some("length_and_chunked"))
    }

    /// The body of a request; none when there is none.
    pub(super) fn of_request(&self) -> Option<Body> {
        if self.is_chunked { Some(Body::Chunk(Chunk::Size)) } else { self.length.and_then(Body::of_length) }
    }

    /// The body of a response that may have one.
    pub(super) fn of_response(&self) -> Option<Body> {
        match self.length {
            _ if self.is_chunked => Some(Body::Chunk(Chunk::Size)),
            Some(bytes) if !self.is_coded => Body::of_length(bytes),
            Some(_) | None => Some(Body::UntilClose),
        }
    }

    /// How long the content is, where that was said.
    pub(super) fn bytes_expected(&self) -> Option<u64> {
        self.length.filter(|_| !self.is_chunked)
    }
}

/// What is left of a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Body {
    /// So many bytes, at least one.
    Length(u64),
    /// Everything until the side has said everything.
    UntilClose,
    /// Chunks.
    Chunk(Chunk),
    /// Nothing.
    Over,
}

/// What comes next in a chunked body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Chunk {
    /// A line with a size.
    Size,
    /// The rest of a line with a size that was too long, then so many bytes.
    SizeRest(u64),
    /// So many bytes, at least one.
    Data(u64),
    /// The line end behind the bytes.
    DataEnd,
    /// A line of the trailer.
    Trailer,
    /// The rest of a line of the trailer that was too long.
    TrailerRest,
}

/// What the next bytes of a body are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Read {
    /// So many bytes of content, at least one.
    Content(usize),
    /// So many bytes around the content, at least one.
    Around(usize),
    /// More bytes are needed.
    More,
    /// No body any more: these bytes are something else.
    Broken,
}

impl Body {
    fn of_length(bytes: u64) -> Option<Self> {
        (bytes > 0).then_some(Self::Length(bytes))
    }

    /// Reads on in `bytes`, which are not empty. Says what is not allowed, too.
    pub(super) fn read(&mut self, bytes: &[u8]) -> (Read, Option<(OddityKind, &'static str)>) {
        match self {
            Self::Length(left) => {
                let used = within(*left, bytes);
                *left -= used as u64;
                if *left == 0 {
                    *self = Self::Over;
                }
                (Read::Content(used), None)
            }
            Self::UntilClose => (Read::Content(bytes.len()), None),
            Self::Chunk(chunk) => {
                let (next, read, oddity) = chunk.read(bytes);
                *self = next.map_or(Self::Over, Self::Chunk);
                (read, oddity)
            }
            Self::Over => (Read::Broken, None),
        }
    }

    /// Learns that `bytes` bytes are lost. Gives back whether they were all content; otherwise the body is over, and
    /// nobody knows where.
    pub(super) fn skip(&mut self, bytes: u64) -> bool {
        match self {
            Self::UntilClose => true,
            Self::Length(left) if bytes < *left => {
                *left -= bytes;
                true
            }
            Self::Length(left) if bytes == *left => {
                *self = Self::Over;
                true
            }
            Self::Chunk(Chunk::Data(left)) if bytes < *left => {
                *left -= bytes;
                true
            }
            Self::Chunk(chunk @ Chunk::Data(_)) if *chunk == Chunk::Data(bytes) => {
                *chunk = Chunk::DataEnd;
                true
            }
            Self::Length(_) | Self::Chunk(_) | Self::Over => {
                *self = Self::Over;
                false
            }
        }
    }
}

/// How many of `bytes` belong to the `left` that are expected.
fn within(left: u64, bytes: &[u8]) -> usize {
    usize::try_from(left).map_or(bytes.len(), |left| left.min(bytes.len()))
}

impl Chunk {
    /// What comes next, what was read, and what is not allowed about it.
    fn read(self, bytes: &[u8]) -> (Option<Self>, Read, Option<(OddityKind, &'static str)>) {
        match self {
            Self::Size => Self::size(bytes),
            Self::Data(left) => {
                let used = within(left, bytes);
                let left = left - used as u64;
                let next = if left == 0 { Self::DataEnd } else { Self::Data(left) };
                (Some(next), Read::Content(used), None)
            }
            Self::DataEnd => match bytes {
                [b'\r', b'\n', ..] => (Some(Self::Size), Read::Around(2), None),
                [b'\r'] => (Some(self), Read::More, None),
                [b'\n' | b'\r', ..] => (Some(Self::Size), Read::Around(1), Some((Tolerated, "chunk_end_malformed"))),
                _ => match Self::size(bytes) {
                    (_, Read::More, _) => (Some(self), Read::More, None),
                    (next, read, oddity) => (next, read, oddity.or(Some((Tolerated, "chunk_end_missing")))),
                },
            },
            Self::SizeRest(bytes_left) => match memchr(b'\n', bytes) {
                Some(line_feed) => (Some(Self::after_size(bytes_left)), Read::Around(line_feed + 1), None),
                None => (Some(self), Read::Around(bytes.len()), None),
            },
            Self::Trailer => match line_bytes(bytes) {
                Line::Whole(line_feed) => {
                    let is_last = matches!(bytes[..line_feed], [] | [b'\r']);
                    ((!is_last).then_some(Self::Trailer), Read::Around(line_feed + 1), None)
                }
                Line::TooLong => {
                    let oddity = Some((Bound, "trailer_line_too_long"));
                    (Some(Self::TrailerRest), Read::Around(CHUNK_LINE_BYTES_MAX), oddity)
                }
                Line::More => (Some(self), Read::More, None),
            },
            Self::TrailerRest => match memchr(b'\n', bytes) {
                Some(line_feed) => (Some(Self::Trailer), Read::Around(line_feed + 1), None),
                None => (Some(self), Read::Around(bytes.len()), None),
            },
        }
    }

    /// A line with a size in hexadecimal digits and extensions, which are skipped (RFC 9112, 7.1.1).
    fn size(bytes: &[u8]) -> (Option<Self>, Read, Option<(OddityKind, &'static str)>) {
        let (line, is_whole) = match line_bytes(bytes) {
            Line::Whole(line_feed) => (&bytes[..line_feed], true),
            Line::TooLong => (&bytes[..CHUNK_LINE_BYTES_MAX], false),
            Line::More => return (Some(Self::Size), Read::More, None),
        };
        let text = line.trim_ascii_start();
        let digits = text.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
        if digits == 0 {
            return (None, Read::Broken, Some((Skipped, "chunk_size_malformed")));
        }
        let zeros = text.iter().take_while(|byte| **byte == b'0').count();
        let mut oddity = None;
        let size = if digits - zeros.min(digits) > CHUNK_DIGITS_MAX {
            oddity = Some((Tolerated, "chunk_size_too_large"));
            u64::MAX
        } else {
            text[..digits].iter().fold(0, |size, digit| size << 4 | u64::from(hex_value(*digit)))
        };
        if !matches!(text[digits..].trim_ascii_start(), [] | [b';', ..]) || text.len() != line.len() {
            oddity = oddity.or(Some((Tolerated, "chunk_size_malformed")));
        }
        if is_whole {
            (Some(Self::after_size(size)), Read::Around(line.len() + 1), oddity)
        } else {
            (Some(Self::SizeRest(size)), Read::Around(line.len()), Some((Bound, "chunk_extension_too_long")))
        }
    }

    fn after_size(size: u64) -> Self {
        // The last chunk has the size 0; the trailer follows (RFC 9112, 7.1).
        if size == 0 { Self::Trailer } else { Self::Data(size) }
    }
}

enum Line {
    /// The line feed is there.
    Whole(usize),
    TooLong,
    More,
}

fn line_bytes(bytes: &[u8]) -> Line {
    match memchr(b'\n', &bytes[..bytes.len().min(CHUNK_LINE_BYTES_MAX)]) {
        Some(line_feed) => Line::Whole(line_feed),
        None if bytes.len() >= CHUNK_LINE_BYTES_MAX => Line::TooLong,
        None => Line::More,
    }
}

fn hex_value(digit: u8) -> u8 {
    match digit {
        b'0'..=b'9' => digit - b'0',
        b'a'..=b'f' => digit - b'a' + 10,
        b'A'..=b'F' => digit - b'A' + 10,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn framing(fields: &[(&str, &str)]) -> Framing {
        let mut framing = Framing::default();
        for (name, value) in fields {
            framing.field(name.as_bytes(), value.as_bytes());
        }
        framing
    }

    #[test]
    fn chunks_count_for_more_than_a_length() {
        let both = framing(&[("Content-Length", "5"), ("transfer-encoding", "gzip, Chunked")]);
        assert_eq!(both.of_request(), Some(Body::Chunk(Chunk::Size)));
        assert_eq!(both.oddity(), Some("length_and_chunked"));
        assert_eq!(both.bytes_expected(), None);
    }

    #[test]
    fn the_first_of_several_lengths_counts() {
        let two = framing(&[("Content-Length", "5"), ("content-length", "6")]);
        assert_eq!(two.of_request(), Some(Body::Length(5)));
        assert_eq!(two.oddity(), Some("content_lengths_differ"));
        assert_eq!(framing(&[("Content-Length", "5"), ("content-length", "5")]).oddity(), None);
    }

    #[test]
    fn without_a_length_a_response_goes_on_until_the_end() {
        assert_eq!(framing(&[]).of_response(), Some(Body::UntilClose));
        assert_eq!(framing(&[]).of_request(), None);
        assert_eq!(framing(&[("Content-Length", "0")]).of_response(), None);
        assert_eq!(framing(&[("Content-Length", "-1")]).of_request(), None);
    }

    #[test]
    fn sizes_of_chunks_are_read_leniently() {
        let check = |line: &[u8], next, oddity: Option<&str>| {
            let (said, _, odd) = Chunk::size(line);
            assert_eq!((said, odd.map(|(_, what)| what)), (next, oddity), "{}", line.escape_ascii());
        };
        check(b"a\r\n", Some(Chunk::Data(10)), None);
        check(b"A;x=\"y\"\n", Some(Chunk::Data(10)), None);
        check(b"0000000000000000000001 \r\n", Some(Chunk::Data(1)), None);
        check(b"00\r\n", Some(Chunk::Trailer), None);
        check(b"0x5\r\n", Some(Chunk::Trailer), Some("chunk_size_malformed"));
        check(b"fffffffffffffffff\r\n", Some(Chunk::Data(u64::MAX)), Some("chunk_size_too_large"));
        check(b"-1\r\n", None, Some("chunk_size_malformed"));
        check(&[b'1'; CHUNK_LINE_BYTES_MAX], Some(Chunk::SizeRest(u64::MAX)), Some("chunk_extension_too_long"));
    }
}
