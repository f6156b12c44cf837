//! Where messages begin and end, and which of their bytes are data of a file.
//!
//! A message is read as soon as its head is there; the data of a write or of the answer to a read is handed on as it
//! comes.

use super::bytes::array_at;
use super::event::Event;
use super::state::State;
use super::transfer::Sink;
use super::{v1, v2};
use crate::pending::Step;
use crate::{Fact, Observer, OddityKind, Place, Side};

/// How much of a message is kept until it is there. Tickets of Kerberos and lists of changes are longer than what other
/// requests have; the data of writes and reads does not count.
pub(super) const MESSAGE_BYTES_MAX: usize = 16 * 1024;

/// How far a beginning of a message is looked for after a gap: as far as one message can reach.
const LOOK_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// How long a message of the session service itself may be. With names without a scope, the longest has 68 bytes
/// (RFC 1002, 4.3.2); a scope has 220 at most for each of two names.
const SESSION_BYTES_MAX: usize = 512;

/// The header of the session service (RFC 1002, 4.3.1; MS-SMB2, 2.1).
const SESSION_HEADER_BYTES: usize = 4;

/// A message, or as much of it as is kept.
#[derive(Debug, Clone, Copy)]
pub(super) struct Message<'a> {
    /// From its header on.
    pub(super) head: &'a [u8],
    /// How long all of it is.
    pub(super) bytes: usize,
    /// `head` is less than was asked for: the message is longer than the bound.
    pub(super) is_cut: bool,
    /// All of it.
    pub(super) place: Place,
}

impl<'a> Message<'a> {
    /// The bytes from `at`, as far as they are there, and their place.
    pub(super) fn within(&self, at: usize, bytes: usize) -> Option<(&'a [u8], Place)> {
        let rest = self.head.get(at..)?;
        let part = &rest[..rest.len().min(bytes)];
        let place = Place { offset: self.place.offset + at as u64, bytes: part.len() as u64, ..self.place };
        Some((part, place))
    }
}

/// How much of a message must be there before it is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    /// So many bytes, to say more.
    Need(usize),
    /// So many bytes; what is behind them is skipped or handed on.
    Head(usize),
    /// All of it, up to the bound.
    Whole,
}

/// Data of a file within a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Data {
    pub(super) sink: Sink,
    /// From the header of the message.
    pub(super) at: usize,
    pub(super) bytes: usize,
}

/// Where one side is.
#[derive(Debug)]
pub(super) struct Frames {
    side: Side,
    mode: Mode,
    /// The bytes of the session message that were not used yet, or not skipped.
    left: usize,
    has_told_encrypted: bool,
    has_told_compressed: bool,
}

#[derive(Debug, Clone, Copy)]
enum Mode {
    /// In front of a session message.
    Between,
    /// In front of a message of SMB, in a session message.
    Message,
    /// Within the data of a file, of which so many bytes are left; behind it, so many bytes of the message.
    Data { sink: Sink, bytes: usize, behind: usize },
    /// In front of so many bytes that nobody looks at.
    Skip(usize),
    /// Nobody knows where; so many bytes were looked at.
    Lost { looked: u64 },
    /// Nothing more is read.
    Silent,
}

impl Frames {
    pub(super) fn new(side: Side) -> Self {
        Self { side, mode: Mode::Between, left: 0, has_told_encrypted: false, has_told_compressed: false }
    }

    /// Whether nothing more is read.
    pub(super) fn is_silent(&self) -> bool {
        matches!(self.mode, Mode::Silent)
    }

    /// Reads on; `at` is the offset of the first byte.
    pub(super) fn step(&mut self, bytes: &[u8], at: u64, state: &mut State, observer: &mut dyn Observer) -> Step {
        match self.mode {
            Mode::Between => self.session_header(bytes, at, state, observer),
            Mode::Message => self.message(bytes, at, state, observer),
            Mode::Data { sink, bytes: left, behind } => {
                let part = &bytes[..bytes.len().min(left)];
                state.transfers.part(sink, part, self.place(at, part.len()), observer);
                self.data_went_by(sink, left, behind, part.len());
                self.used(part.len())
            }
            Mode::Skip(left) => {
                let skipped = bytes.len().min(left);
                self.mode = Mode::Skip(left - skipped);
                self.used(skipped)
            }
            Mode::Lost { looked } => self.look(bytes, at, looked, state, observer),
            Mode::Silent => Step::Used(bytes.len()),
        }
    }

    /// So many bytes were lost from `at` on; those that were there, but could not be read alone, are among them.
    pub(super) fn gap(&mut self, lost: u64, at: u64, state: &mut State, observer: &mut dyn Observer) {
        let place = Place { side: self.side, offset: at, bytes: lost };
        if self.is_silent() || lost == 0 {
            return;
        }
        state.oddities.tell(place, OddityKind::Gap, "bytes_lost", observer);
        if let Mode::Data { sink, .. } = self.mode {
            state.transfers.spoil(sink.file);
        }
        // A gap within a session message leaves no doubt about where the next one begins.
        match usize::try_from(lost).ok().filter(|lost| *lost <= self.left) {
            None => {
                self.left = 0;
                self.mode = Mode::Lost { looked: 0 };
            }
            Some(lost) => {
                match self.mode {
                    Mode::Data { sink, bytes, behind } if lost <= bytes => {
                        self.data_went_by(sink, bytes, behind, lost);
                    }
                    Mode::Skip(bytes) if lost <= bytes => self.mode = Mode::Skip(bytes - lost),
                    _ => self.mode = Mode::Skip(self.left - lost),
                }
                let _ = self.used(lost);
            }
        }
    }

    /// The side says nothing more; `rest` is what it said and could not be read yet.
    pub(super) fn finish(&mut self, rest: Place, state: &mut State, observer: &mut dyn Observer) {
        let is_cut_off = match self.mode {
            Mode::Between => rest.bytes > 0,
            Mode::Message | Mode::Data { .. } | Mode::Skip(_) => true,
            Mode::Lost { .. } | Mode::Silent => false,
        };
        if is_cut_off {
            state.oddities.tell(rest, OddityKind::Skipped, "message_cut_off", observer);
        }
        if let Mode::Data { sink, .. } = self.mode {
            state.transfers.spoil(sink.file);
        }
        self.mode = Mode::Silent;
    }

    fn data_went_by(&mut self, sink: Sink, left: usize, behind: usize, went: usize) {
        let sink = Sink { offset: sink.offset.saturating_add(went as u64), ..sink };
        self.mode = match left - went {
            0 => Mode::Skip(behind),
            left => Mode::Data { sink, bytes: left, behind },
        };
    }

    /// Counts bytes of a session message as used, and goes on to what follows.
    fn used(&mut self, bytes: usize) -> Step {
        self.left -= bytes;
        if matches!(self.mode, Mode::Skip(0)) {
            self.mode = Mode::Message;
        }
        if self.left == 0 {
            self.mode = Mode::Between;
        }
        Step::Used(bytes)
    }

    fn session_header(&mut self, bytes: &[u8], at: u64, state: &mut State, observer: &mut dyn Observer) -> Step {
        let Some([kind, length @ ..]) = array_at::<SESSION_HEADER_BYTES>(bytes, 0) else { return Step::More };
        // 17 bits over NetBIOS, 24 in direct TCP: the bits between are zero over NetBIOS.
        let [high, middle, low] = length.map(usize::from);
        let length = high << 16 | middle << 8 | low;
        match kind {
            0 => {
                self.left = length;
                self.mode = if length == 0 { Mode::Between } else { Mode::Message };
            }
            0x81..=0x85 if length <= SESSION_BYTES_MAX => {
                let Some(body) = bytes.get(SESSION_HEADER_BYTES..SESSION_HEADER_BYTES + length) else {
                    return Step::More;
                };
                let place = self.place(at, SESSION_HEADER_BYTES + length);
                session_service(kind, body, place, observer);
                return Step::Used(SESSION_HEADER_BYTES + length);
            }
            _ => {
                let place = self.place(at, SESSION_HEADER_BYTES);
                state.oddities.tell(place, OddityKind::Skipped, "no_session_message", observer);
                self.mode = Mode::Lost { looked: 0 };
                return Step::Used(1);
            }
        }
        Step::Used(SESSION_HEADER_BYTES)
    }

    fn message(&mut self, bytes: &[u8], at: u64, state: &mut State, observer: &mut dyn Observer) -> Step {
        let bytes = &bytes[..bytes.len().min(self.left)];
        let header_bytes = match bytes {
            [0xFE, b'S', b'M', b'B', ..] => v2::HEADER_BYTES,
            [0xFF, b'S', b'M', b'B', ..] => v1::HEADER_BYTES,
            [0xFD, b'S', b'M', b'B', ..] => return self.encrypted(bytes, at, observer),
            [0xFC, b'S', b'M', b'B', ..] => {
                if !self.has_told_compressed {
                    self.has_told_compressed = true;
                    observer.fact(self.place(at, self.left), Fact::Smb(Event::Compressed));
                }
                return self.skip();
            }
            [] | [_] | [_, _] | [_, _, _] if bytes.len() < self.left => return Step::More,
            _ => {
                let place = self.place(at, self.left.min(4));
                state.oddities.tell(place, OddityKind::Skipped, "no_smb_message", observer);
                // Whatever had the look of a session header was none: its length is not to be trusted.
                self.left = 0;
                self.mode = Mode::Lost { looked: 0 };
                return Step::Used(1);
            }
        };
        if bytes.len() < header_bytes {
            if bytes.len() < self.left {
                return Step::More;
            }
            let place = self.place(at, self.left);
            state.oddities.tell(place, OddityKind::Skipped, "message_too_short", observer);
            return self.skip();
        }
        let is_v2 = header_bytes == v2::HEADER_BYTES;
        let (message_bytes, is_well) = match v2::message_bytes(bytes, self.left) {
            Some(length) if is_v2 => length,
            Some(_) | None => (self.left, true),
        };
        let there = &bytes[..bytes.len().min(message_bytes)];
        let shape = match is_v2 {
            true => v2::shape(there, message_bytes, self.side, state),
            false => v1::shape(there, message_bytes, self.side, state),
        };
        let (wanted, is_whole) = match shape {
            Shape::Need(bytes) => (bytes.min(message_bytes), false),
            Shape::Head(bytes) => (bytes.min(message_bytes), false),
            Shape::Whole => (message_bytes, true),
        };
        let head_bytes = wanted.min(MESSAGE_BYTES_MAX);
        let Some(head) = there.get(..head_bytes) else { return Step::More };
        let place = self.place(at, message_bytes);
        if !is_well {
            state.oddities.tell(place, OddityKind::Tolerated, "next_command_beyond_message", observer);
        }
        let is_cut = is_whole && head_bytes < wanted;
        let message = Message { head, bytes: message_bytes, is_cut, place };
        let data = match (is_v2, self.side) {
            (true, Side::Client) => v2::request(message, state, observer),
            (true, Side::Server) => v2::answer(message, state, observer),
            (false, Side::Client) => v1::request(message, state, observer),
            (false, Side::Server) => v1::answer(message, state, observer),
        };
        self.mode = Mode::Skip(message_bytes - head_bytes);
        if let Some(Data { sink, at: data_at, bytes }) = data {
            let here = head.get(data_at..).unwrap_or_default();
            let here = &here[..here.len().min(bytes)];
            if !here.is_empty() {
                state.transfers.part(sink, here, self.place(at + data_at as u64, here.len()), observer);
            }
            if data_at + here.len() == head_bytes && bytes > here.len() {
                let sink = Sink { offset: sink.offset.saturating_add(here.len() as u64), ..sink };
                let left = bytes - here.len();
                self.mode = Mode::Data { sink, bytes: left, behind: message_bytes - head_bytes - left };
            }
        }
        self.used(head_bytes)
    }

    /// MS-SMB2, 2.2.41.
    fn encrypted(&mut self, bytes: &[u8], at: u64, observer: &mut dyn Observer) -> Step {
        const HEADER_BYTES: usize = 52;
        if bytes.len() < HEADER_BYTES.min(self.left) {
            return Step::More;
        }
        if !self.has_told_encrypted {
            self.has_told_encrypted = true;
            let session_id = array_at(bytes, 44).map_or(0, u64::from_le_bytes);
            observer.fact(self.place(at, self.left), Fact::Smb(Event::Encrypted { session_id }));
        }
        self.skip()
    }

    /// Leaves the rest of a session message alone.
    fn skip(&mut self) -> Step {
        // One byte is used here, for a step uses some; the protocol id is there.
        self.mode = Mode::Skip(self.left - 1);
        self.used(1)
    }

    /// Looks for a session header with a message of SMB behind it.
    fn look(&mut self, bytes: &[u8], at: u64, looked: u64, state: &mut State, observer: &mut dyn Observer) -> Step {
        const PATTERN_BYTES: usize = 8;
        let Some(room) = LOOK_BYTES_MAX.checked_sub(looked).filter(|room| *room > 0) else {
            state.oddities.tell(self.place(at, 1), OddityKind::GaveUp, "no_message_found", observer);
            self.mode = Mode::Silent;
            return Step::Used(bytes.len());
        };
        let room = usize::try_from(room).map_or(bytes.len(), |room| bytes.len().min(room + PATTERN_BYTES - 1));
        let bytes = &bytes[..room];
        let is_header = |window: &[u8]| match window {
            [0, high, middle, low, id @ 0xFC..=0xFF, b'S', b'M', b'B'] => {
                let length = usize::from(*high) << 16 | usize::from(*middle) << 8 | usize::from(*low);
                length >= if *id == 0xFF { v1::HEADER_BYTES } else { v2::HEADER_BYTES }
            }
            _ => false,
        };
        let found = bytes.windows(PATTERN_BYTES).position(is_header);
        let passed = found.unwrap_or((bytes.len() + 1).saturating_sub(PATTERN_BYTES));
        if found.is_some() {
            self.mode = Mode::Between;
        } else {
            self.mode = Mode::Lost { looked: looked + passed as u64 };
        }
        match (passed, found) {
            (0, None) => Step::More,
            (0, Some(_)) => self.session_header(bytes, at, state, observer),
            (passed, _) => Step::Used(passed),
        }
    }

    fn place(&self, offset: u64, bytes: usize) -> Place {
        Place { side: self.side, offset, bytes: bytes as u64 }
    }
}

/// RFC 1002, 4.3.2 to 4.3.6.
fn session_service(kind: u8, body: &[u8], place: Place, observer: &mut dyn Observer) {
    let event = match kind {
        0x81 => {
            let (called, rest) = netbios_name(body);
            let (calling, _) = netbios_name(rest);
            Event::SessionRequest { called: called.into(), calling: calling.into() }
        }
        0x82 => Event::SessionAnswer { is_accepted: true },
        0x83 | 0x84 => Event::SessionAnswer { is_accepted: false },
        _ => return,
    };
    observer.fact(place, Fact::Smb(event));
}

/// A name in its first-level encoding (RFC 1001, 14.1): each half of a byte is a letter from `A` on. The last of its 16
/// bytes tells the kind of service and does not belong to the name.
fn netbios_name(bytes: &[u8]) -> (Vec<u8>, &[u8]) {
    let (Some(32), Some(letters)) = (bytes.first(), bytes.get(1..33)) else { return (Vec::new(), &[]) };
    let (pairs, _) = letters.as_chunks::<2>();
    let mut name: Vec<u8> =
        pairs.iter().take(15).map(|[high, low]| high.wrapping_sub(b'A') << 4 | low.wrapping_sub(b'A') & 0x0F).collect();
    name.truncate(name.trim_ascii_end().len());
    // Behind the letters is the scope, of which the empty one is a zero.
    let rest = &bytes[33..];
    let scope_end = rest.iter().position(|byte| *byte == 0).map_or(rest.len(), |end| end + 1);
    (name, &rest[scope_end..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_of_netbios() {
        let name = b"\x20CKFDENECFDEFFCFGEFFCCACACACACACA\0\x01";
        assert_eq!(netbios_name(name), (b"*SMBSERVER".to_vec(), &b"\x01"[..]));
        assert_eq!(netbios_name(b"\x20short"), (Vec::new(), &b""[..]));
    }
}
