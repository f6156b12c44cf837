//! One side of a stream on which both sides send requests and responses, with a body only where its length is said:
//! RTSP and SIP.

use memchr::memchr;

use super::{ContentLength, HeadScan, Headers, field, head_flaws, is_method, request_line, starts_with_ignoring_case};
use crate::OddityKind::{self, Bound, Gap, Skipped, Tolerated};
use crate::pending::{Pending, Step};
use crate::{Place, Side};

/// The bytes of a head that are looked at as a whole; of the rest, only how long the body is. Heads of these protocols
/// have one or two kilobytes.
pub(crate) const HEAD_BYTES_MAX: usize = 16 * 1024;

/// The bytes of one line that are looked at where lines are read one by one.
const LINE_BYTES_MAX: usize = 4 * 1024;

/// How a protocol differs from the others.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Dialect {
    /// What its version begins with, such as `SIP/`.
    pub(crate) protocol: &'static [u8],
    /// The short name of `Content-Length`, or the long one again.
    pub(crate) length_short: &'static str,
    /// Whether binary frames that begin with `$` may stand between messages (RFC 2326, 10.12).
    pub(crate) has_frames: bool,
}

/// Reads what one side says.
#[derive(Debug)]
pub(crate) struct Talker {
    dialect: Dialect,
    side: Side,
    pending: Pending,
    state: State,
    scan: HeadScan,
    /// Whether there was a message: before the first, every line is taken for the start of one.
    has_spoken: bool,
}

#[derive(Debug, Clone, Copy)]
enum State {
    /// Between messages, or within a head.
    Head,
    /// In the rest of a head of which the beginning was told; `in_line`: not at the beginning of a line.
    HeadRest { length: Option<u64>, in_line: bool },
    /// In a body or a frame, of which so many bytes are left: at least one.
    Skip(u64),
    /// Somewhere; `in_line`: not at the beginning of a line.
    Lost { in_line: bool },
}

/// Something that a side said.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Heard<'a> {
    /// The head of a message, or the beginning of it.
    Head { head: &'a [u8], is_cut: bool },
    /// Something that is not allowed.
    Odd(OddityKind, &'static str),
}

impl Talker {
    pub(crate) fn new(side: Side, dialect: Dialect) -> Self {
        Self {
            dialect,
            side,
            pending: Pending::new(side, HEAD_BYTES_MAX),
            state: State::Head,
            scan: HeadScan::default(),
            has_spoken: false,
        }
    }

    /// Takes what the side said next.
    pub(crate) fn data(&mut self, bytes: &[u8], hear: &mut dyn FnMut(Place, Heard<'_>)) {
        let Self { dialect, side, pending, state, scan, has_spoken } = self;
        let mut parser = Parser { dialect: *dialect, side: *side, state, scan, has_spoken };
        let fed = pending.feed(bytes, |bytes, offset| parser.step(bytes, offset, hear));
        if fed.is_err() {
            // Each state asks for more only below the bound.
            self.state = State::Lost { in_line: true };
        }
    }

    /// Learns that bytes are lost.
    pub(crate) fn gap(&mut self, bytes: u64, hear: &mut dyn FnMut(Place, Heard<'_>)) {
        self.tell_unfinished(hear);
        self.pending.skip_gap(0);
        hear(Place { bytes, ..self.pending.rest_place() }, Heard::Odd(Gap, "bytes_lost"));
        self.pending.skip_gap(bytes);
        self.scan = HeadScan::default();
        self.state = match self.state {
            State::Skip(left) if bytes < left => State::Skip(left - bytes),
            State::Skip(left) if bytes == left => State::Head,
            State::Head | State::HeadRest { .. } | State::Skip(_) | State::Lost { .. } => {
                State::Lost { in_line: false }
            }
        };
    }

    /// Learns that nothing more comes.
    pub(crate) fn finish(&mut self, hear: &mut dyn FnMut(Place, Heard<'_>)) {
        self.tell_unfinished(hear);
        self.pending.skip_gap(0);
    }

    /// Tells a message of which only the beginning of the head came.
    fn tell_unfinished(&mut self, hear: &mut dyn FnMut(Place, Heard<'_>)) {
        let (rest, place) = (self.pending.rest(), self.pending.rest_place());
        let is_head =
            rest.first().is_some_and(u8::is_ascii_graphic) && !(self.dialect.has_frames && rest.starts_with(b"$"));
        if let State::Head = self.state
            && is_head
        {
            hear(place, Heard::Head { head: rest, is_cut: true });
            hear(place, Heard::Odd(Tolerated, "head_incomplete"));
        }
    }
}

/// A talker without what waits.
struct Parser<'a> {
    dialect: Dialect,
    side: Side,
    state: &'a mut State,
    scan: &'a mut HeadScan,
    has_spoken: &'a mut bool,
}

impl Parser<'_> {
    fn step(&mut self, bytes: &[u8], offset: u64, hear: &mut dyn FnMut(Place, Heard<'_>)) -> Step {
        match *self.state {
            State::Head => self.in_head(bytes, offset, hear),
            State::HeadRest { length, in_line } => self.in_head_rest(bytes, length, in_line),
            State::Skip(left) => {
                let used = usize::try_from(left).map_or(bytes.len(), |left| left.min(bytes.len()));
                self.skip(left - used as u64);
                Step::Used(used)
            }
            State::Lost { in_line: true } => {
                let end = memchr(b'\n', bytes);
                *self.state = State::Lost { in_line: end.is_none() };
                Step::Used(end.map_or(bytes.len(), |line_feed| line_feed + 1))
            }
            State::Lost { in_line: false } => {
                let window = &bytes[..bytes.len().min(LINE_BYTES_MAX)];
                match memchr(b'\n', window) {
                    Some(line_feed) if self.is_certain_start(&window[..line_feed]) => {
                        *self.state = State::Head;
                        self.in_head(bytes, offset, hear)
                    }
                    Some(line_feed) => Step::Used(line_feed + 1),
                    None if window.len() < LINE_BYTES_MAX => Step::More,
                    None => {
                        *self.state = State::Lost { in_line: true };
                        Step::Used(window.len())
                    }
                }
            }
        }
    }

    fn in_head(&mut self, bytes: &[u8], offset: u64, hear: &mut dyn FnMut(Place, Heard<'_>)) -> Step {
        match bytes {
            // Empty lines keep a connection alive (RFC 5626, 3.5.1).
            [b'\r' | b'\n', ..] => {
                return Step::Used(bytes.iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count());
            }
            // A dollar sign, a channel, a length of 16 bits (RFC 2326, 10.12).
            [b'$', rest @ ..] if self.dialect.has_frames => {
                let [_, high, low, ..] = rest else { return Step::More };
                self.skip(u64::from(u16::from_be_bytes([*high, *low])));
                return Step::Used(4);
            }
            [first, ..] if *self.has_spoken && !first.is_ascii_alphabetic() => {
                let place = Place { side: self.side, offset, bytes: 0 };
                hear(place, Heard::Odd(Skipped, "bytes_between_messages"));
                *self.state = State::Lost { in_line: true };
                return self.step(bytes, offset, hear);
            }
            _ => {}
        }
        let window = &bytes[..bytes.len().min(HEAD_BYTES_MAX)];
        let place = |bytes: usize| Place { side: self.side, offset, bytes: bytes as u64 };
        match self.scan.end(window) {
            Some(end) => {
                *self.scan = HeadScan::default();
                *self.has_spoken = true;
                let head = &window[..end];
                hear(place(end), Heard::Head { head, is_cut: false });
                for what in head_flaws(head) {
                    hear(place(end), Heard::Odd(Tolerated, what));
                }
                let mut length = None;
                let (_, lines) = super::split_first_line(head);
                for (name, value) in Headers::new(lines) {
                    if !self.take_length(&mut length, name, value) {
                        hear(place(end), Heard::Odd(Tolerated, "content_length_malformed"));
                    }
                }
                self.skip(length.unwrap_or(0));
                Step::Used(end)
            }
            None if window.len() < HEAD_BYTES_MAX => Step::More,
            None => {
                *self.scan = HeadScan::default();
                *self.has_spoken = true;
                hear(place(window.len()), Heard::Head { head: window, is_cut: true });
                hear(place(window.len()), Heard::Odd(Bound, "head_too_long"));
                let mut length = None;
                let (_, lines) = super::split_first_line(window);
                for (name, value) in Headers::new(lines) {
                    self.take_length(&mut length, name, value);
                }
                *self.state = State::HeadRest { length, in_line: !window.ends_with(b"\n") };
                Step::Used(window.len())
            }
        }
    }

    /// The rest of a head that was too long: only how long the body is counts.
    fn in_head_rest(&mut self, bytes: &[u8], mut length: Option<u64>, in_line: bool) -> Step {
        let window = &bytes[..bytes.len().min(LINE_BYTES_MAX)];
        let line_feed = memchr(b'\n', window);
        let used = line_feed.map_or(window.len(), |line_feed| line_feed + 1);
        if line_feed.is_none() && !in_line && window.len() < LINE_BYTES_MAX {
            return Step::More;
        }
        match line_feed {
            Some(line_feed) if !in_line && matches!(window[..line_feed], [] | [b'\r']) => {
                self.skip(length.unwrap_or(0));
            }
            _ => {
                if !in_line && line_feed.is_some() {
                    let (name, value) = field(&window[..used]);
                    self.take_length(&mut length, name, value);
                }
                *self.state = State::HeadRest { length, in_line: line_feed.is_none() };
            }
        }
        Step::Used(used)
    }

    /// Takes the length of a body from a header field, the first that there is. Gives back whether it is well-formed.
    fn take_length(&self, length: &mut Option<u64>, name: &[u8], value: &[u8]) -> bool {
        let is_length = name.eq_ignore_ascii_case(b"content-length")
            || name.eq_ignore_ascii_case(self.dialect.length_short.as_bytes());
        if !is_length {
            return true;
        }
        let said = ContentLength::parse(value);
        *length = length.or(said.bytes);
        said.is_well_formed
    }

    /// So many bytes belong to a body or a frame.
    fn skip(&mut self, bytes: u64) {
        *self.state = if bytes == 0 { State::Head } else { State::Skip(bytes) };
    }

    /// Whether a line can be nothing else than the start line of a message.
    fn is_certain_start(&self, line: &[u8]) -> bool {
        let (method, target, version) = request_line(line, self.dialect.protocol);
        starts_with_ignoring_case(line, self.dialect.protocol)
            || (is_method(method) && !target.is_empty() && !version.is_empty())
    }
}
