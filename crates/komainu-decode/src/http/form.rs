//! multipart/form-data (RFC 7578, RFC 2046 section 5.1) as it arrives.

use memchr::memmem::Finder;
use memchr::{memchr, memchr2};

/// The longest boundary that is looked for. 70 characters are allowed (RFC 2046, 5.1.1).
const BOUNDARY_BYTES_MAX: usize = 200;
/// The bytes of the header of one part that are kept; what follows is not looked at. Three short fields are usual.
const PART_HEADER_BYTES_MAX: usize = 4096;

/// Finds the parts of a form in the pieces of a body. Keeps the header of one part and, when a piece ends within what
/// may be a boundary, where those bytes were.
#[derive(Debug)]
pub(super) struct Form {
    /// CR LF, two hyphens, the boundary.
    delimiter: Vec<u8>,
    /// Finds the delimiter without its CR, which senders forget.
    finder: Finder<'static>,
    state: State,
    /// How many bytes of the delimiter the last pieces ended with, and where they were.
    matched: Matched,
    header: Vec<u8>,
    header_offset: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Before the first boundary, or within a part whose beginning is unknown.
    Outside,
    /// Behind a boundary, at the rest of its line; so many hyphens were seen.
    Boundary { hyphens: u8 },
    /// Within the header of a part.
    Header,
    /// Within the content of a part.
    Content,
    /// Behind the last boundary.
    After,
}

#[derive(Debug, Default)]
struct Matched {
    /// Where in the delimiter the held bytes begin: behind CR or CR LF when that is missing.
    from: usize,
    /// Where in the delimiter they end; they are `from..to`.
    to: usize,
    /// Where in the flow they are; more than one where chunks were between them.
    held: Vec<(u64, usize)>,
}

/// Something in a form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Found<'a> {
    /// A part begins; its header fields begin at the offset of the flow and end before `end`.
    Part { header: &'a [u8], offset: u64, end: u64 },
    /// Content of the part, at an offset of the flow.
    Content { bytes: &'a [u8], offset: u64 },
    /// The part ends before an offset of the flow.
    PartEnd { offset: u64 },
}

impl Form {
    /// A form whose parts are separated by `boundary`; none when there can be no such boundary.
    pub(super) fn new(boundary: &[u8]) -> Option<Self> {
        let is_usable = (1..=BOUNDARY_BYTES_MAX).contains(&boundary.len()) && memchr2(b'\r', b'\n', boundary).is_none();
        is_usable.then(|| Self {
            delimiter: [b"\r\n--", boundary].concat(),
            finder: Finder::new(&[b"\n--", boundary].concat()).into_owned(),
            state: State::Outside,
            // The first boundary may be the first line; no line end is before it then.
            matched: Matched { from: 2, to: 2, held: Vec::new() },
            header: Vec::new(),
            header_offset: 0,
        })
    }

    /// Takes the next piece of the body, which is at `offset` of the flow.
    pub(super) fn piece(&mut self, piece: &[u8], offset: u64, found: &mut impl FnMut(Found<'_>)) {
        let mut at = 0;
        while at < piece.len() {
            let (rest, here) = (&piece[at..], offset + at as u64);
            at += match self.state {
                State::Outside | State::Content => self.content(rest, here, found),
                State::Boundary { hyphens } => self.boundary(hyphens, rest),
                State::Header => self.header(rest, here, found),
                State::After => rest.len(),
            };
        }
    }

    /// Learns that bytes are lost. Content goes on behind them only when the flow says which part it belongs to, so the
    /// part is over.
    pub(super) fn skip(&mut self) {
        self.matched = Matched::default();
        self.header.clear();
        if self.state != State::After {
            self.state = State::Outside;
        }
    }

    /// Learns that the body is over: bytes that might have been a boundary were content.
    pub(super) fn end(&mut self, found: &mut impl FnMut(Found<'_>)) {
        self.release(found);
    }

    /// Content up to the next delimiter. Gives back how many bytes were used.
    fn content(&mut self, piece: &[u8], offset: u64, found: &mut impl FnMut(Found<'_>)) -> usize {
        if self.matched.to > 0 {
            let wanted = &self.delimiter[self.matched.to..];
            let same = wanted.iter().zip(piece).take_while(|(wanted, byte)| wanted == byte).count();
            if same == wanted.len() {
                let start = self.matched.held.first().map_or(offset, |(start, _)| *start);
                self.delimiter_found(start, found);
                return same;
            }
            if same == piece.len() {
                self.matched.hold(same, offset);
                return same;
            }
            // The bytes that were held cannot be the beginning of another delimiter: line ends are only at its start,
            // and a second CR is seen by what follows here.
            self.matched.hold(same, offset);
            self.release(found);
            if same > 0 {
                return same;
            }
        }
        if let Some(line_feed) = self.finder.find(piece) {
            let start = line_feed - usize::from(piece[..line_feed].ends_with(b"\r"));
            self.tell_content(&piece[..start], offset, found);
            self.delimiter_found(offset + start as u64, found);
            return line_feed + self.finder.needle().len();
        }
        // The piece may end within a delimiter.
        let mut searched = piece.len().saturating_sub(self.delimiter.len());
        while let Some(line_end) = memchr2(b'\r', b'\n', &piece[searched..]) {
            let start = searched + line_end;
            let from = usize::from(piece[start] == b'\n');
            let wanted = &self.delimiter[from..];
            let same = wanted.iter().zip(&piece[start..]).take_while(|(wanted, byte)| wanted == byte).count();
            if start + same == piece.len() {
                self.tell_content(&piece[..start], offset, found);
                self.matched = Matched { from, to: from, held: Vec::new() };
                self.matched.hold(same, offset + start as u64);
                return piece.len();
            }
            searched = start + 1;
        }
        self.tell_content(piece, offset, found);
        piece.len()
    }

    fn tell_content(&self, bytes: &[u8], offset: u64, found: &mut impl FnMut(Found<'_>)) {
        if self.state == State::Content && !bytes.is_empty() {
            found(Found::Content { bytes, offset });
        }
    }

    fn delimiter_found(&mut self, offset: u64, found: &mut impl FnMut(Found<'_>)) {
        if self.state == State::Content {
            found(Found::PartEnd { offset });
        }
        self.matched = Matched::default();
        self.state = State::Boundary { hyphens: 0 };
    }

    /// Tells held bytes as content.
    fn release(&mut self, found: &mut impl FnMut(Found<'_>)) {
        let Matched { from, held, .. } = std::mem::take(&mut self.matched);
        let mut at = from;
        for (offset, bytes) in held {
            self.tell_content(&self.delimiter[at..at + bytes], offset, found);
            at += bytes;
        }
    }

    /// The rest of the line of a boundary: `--` says that it is the last.
    fn boundary(&mut self, hyphens: u8, piece: &[u8]) -> usize {
        match piece {
            [b'-', ..] if hyphens == 0 => {
                self.state = State::Boundary { hyphens: 1 };
                1
            }
            [b'-', ..] if hyphens == 1 => {
                self.state = State::After;
                1
            }
            _ => match memchr(b'\n', piece) {
                Some(line_feed) => {
                    self.state = State::Header;
                    self.header.clear();
                    line_feed + 1
                }
                None => {
                    // Not at the start of the rest any more, so hyphens do not count.
                    self.state = State::Boundary { hyphens: 2 };
                    piece.len()
                }
            },
        }
    }

    /// Lines of a part's header, up to the empty one.
    fn header(&mut self, piece: &[u8], offset: u64, found: &mut impl FnMut(Found<'_>)) -> usize {
        if self.header.is_empty() {
            self.header_offset = offset;
        }
        let room = PART_HEADER_BYTES_MAX - self.header.len();
        let used = memchr(b'\n', piece).map_or(piece.len(), |line_feed| line_feed + 1).min(room);
        self.header.extend_from_slice(&piece[..used]);
        let is_full = used == room;
        let is_over = self.header.ends_with(b"\n\n") || self.header.ends_with(b"\n\r\n");
        let is_empty = matches!(self.header[..], [b'\n'] | [b'\r', b'\n']);
        // A header beyond the bound is no header: what follows is taken as content.
        if is_over || is_empty || is_full {
            let end = offset + used as u64;
            found(Found::Part { header: &self.header, offset: self.header_offset, end });
            self.state = State::Content;
            // A boundary may follow at once: the line end of the empty line counts as the one before it.
            self.matched = Matched { from: 2, to: 2, held: Vec::new() };
        }
        used
    }
}

impl Matched {
    /// Holds `bytes` more bytes, which are at `offset`.
    fn hold(&mut self, bytes: usize, offset: u64) {
        self.to += bytes;
        match self.held.last_mut() {
            _ if bytes == 0 => {}
            Some((start, held)) if *start + *held as u64 == offset => *held += bytes,
            _ => self.held.push((offset, bytes)),
        }
    }
}
