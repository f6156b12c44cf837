//! What a server sends: values, skipped by their structure.

use super::LINE_BYTES_MAX;
use super::request::number;
use crate::oddities::Oddities;
use crate::pending::{Pending, Step};
use crate::{Fact, FileEvent, FileNumber, FileVia, Observer, OddityKind, Place, Side};

/// How deep values may stand in one another. Redis' own replies need about five.
const DEPTH_MAX: usize = 32;

/// The mark at the end of a file whose length is not known before (Redis: `CONFIG_RUN_ID_SIZE`), in bytes.
const MARK_BYTES: usize = 40;

/// The beginning of a reply to a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Top<'a> {
    /// A short text, such as `OK`.
    Text(&'a [u8]),
    Error(&'a [u8]),
    /// Anything else.
    Value,
}

impl Top<'_> {
    /// What the reply says of a login.
    pub(super) fn accepts(self) -> Option<bool> {
        match self {
            // Within a transaction the command is only taken; an unknown version of the protocol is refused first.
            Self::Text(b"QUEUED") => None,
            Self::Error(message) if message.starts_with(b"NOPROTO") => None,
            Self::Error(_) => Some(false),
            Self::Text(_) | Self::Value => Some(true),
        }
    }

    /// Whether a database file follows ("Redis replication").
    pub(super) fn announces_file(self) -> bool {
        matches!(self, Self::Text(text) if text.starts_with(b"FULLRESYNC"))
    }
}

/// Is told of the beginning of a reply. Gives back whether a file follows it.
pub(super) type Told<'t> = dyn FnMut(Top<'_>, Place, &mut dyn Observer) -> bool + 't;

/// The server's side.
#[derive(Debug)]
pub(super) struct Replies {
    pending: Pending,
    state: State,
    /// How many values of each open aggregate follow, the innermost last.
    open: Vec<u64>,
    /// The next value is a file.
    expects_file: bool,
    file: Option<OpenFile>,
    files: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Value,
    /// So many bytes of a value follow, its line end included.
    Bytes(u64),
    File(u64),
    /// A file follows up to the mark, which nobody knows to be in it ("Redis replication", diskless).
    FileUntil([u8; MARK_BYTES]),
    SkipLine,
    GivenUp,
}

#[derive(Debug, Clone, Copy)]
struct OpenFile {
    number: FileNumber,
    offset: u64,
    is_complete: bool,
}

impl Default for Replies {
    fn default() -> Self {
        Self {
            pending: Pending::new(Side::Server, LINE_BYTES_MAX),
            state: State::Value,
            open: Vec::new(),
            expects_file: false,
            file: None,
            files: 0,
        }
    }
}

impl Replies {
    pub(super) fn take(
        &mut self,
        bytes: &[u8],
        oddities: &mut Oddities,
        observer: &mut dyn Observer,
        told: &mut Told<'_>,
    ) {
        let mut pending = std::mem::replace(&mut self.pending, Pending::new(Side::Server, LINE_BYTES_MAX));
        let fed = pending.feed(bytes, |bytes, offset| self.step(bytes, offset, oddities, observer, told));
        debug_assert!(fed.is_ok(), "a line that is too long is skipped");
        self.pending = pending;
    }

    /// Skips what was lost. True when it was all within a value.
    pub(super) fn gap(&mut self, bytes: u64, oddities: &mut Oddities, observer: &mut dyn Observer) -> bool {
        self.tell_rest(observer);
        let rest = self.pending.rest_place();
        self.pending.skip_gap(bytes);
        let place = Place { offset: rest.offset + rest.bytes, bytes, ..rest };
        oddities.tell(place, OddityKind::Gap, "reply_lost", observer);
        match &mut self.state {
            State::Bytes(left) if *left > bytes => {
                *left -= bytes;
                true
            }
            State::File(left) if *left > bytes => {
                *left -= bytes;
                self.lose(bytes);
                true
            }
            State::FileUntil(_) => {
                self.lose(bytes);
                true
            }
            State::GivenUp => true,
            State::Value | State::Bytes(_) | State::File(_) | State::SkipLine => {
                // A reply cannot be found again in the middle of others.
                self.give_up(Place { bytes: 0, ..place }, "replies_lost", oddities, observer);
                false
            }
        }
    }

    pub(super) fn end(&mut self, observer: &mut dyn Observer) {
        self.tell_rest(observer);
        let place = self.pending.rest_place();
        self.end_file(place, false, observer);
    }

    fn step(
        &mut self,
        bytes: &[u8],
        offset: u64,
        oddities: &mut Oddities,
        observer: &mut dyn Observer,
        told: &mut Told<'_>,
    ) -> Step {
        let within = |left: u64| usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len());
        match self.state {
            State::GivenUp => return Step::Used(bytes.len()),
            State::Bytes(left) => {
                let used = within(left);
                self.state = State::Bytes(left - used as u64);
                if left == used as u64 {
                    self.value_ends();
                }
                return Step::Used(used);
            }
            State::File(left) => {
                let used = within(left);
                let place = Place { side: Side::Server, offset, bytes: used as u64 };
                self.part(&bytes[..used], place, observer);
                self.state = State::File(left - used as u64);
                if left == used as u64 {
                    self.end_file(Place { offset: offset + used as u64, bytes: 0, ..place }, true, observer);
                    self.state = State::Value;
                }
                return Step::Used(used);
            }
            State::FileUntil(mark) => return self.until(&mark, bytes, offset, observer),
            State::Value | State::SkipLine => {}
        }
        let is_skipping = self.state == State::SkipLine;
        let end = bytes.iter().position(|byte| *byte == b'\n');
        let Some(end) = end.filter(|end| *end < LINE_BYTES_MAX || is_skipping) else {
            if is_skipping {
                return Step::Used(bytes.len());
            }
            if bytes.len() < LINE_BYTES_MAX {
                return Step::More;
            }
            // A long number or a long error: its beginning says what it is.
            self.state = State::SkipLine;
            let place = Place { side: Side::Server, offset, bytes: LINE_BYTES_MAX as u64 };
            oddities.tell(place, OddityKind::Bound, "reply_line_too_long", observer);
            self.line(&bytes[..LINE_BYTES_MAX], place, oddities, observer, told);
            if self.state == State::Value {
                self.state = State::SkipLine;
            }
            return Step::Used(LINE_BYTES_MAX);
        };
        let line = bytes[..end].strip_suffix(b"\r").unwrap_or(&bytes[..end]);
        if is_skipping {
            self.state = State::Value;
        } else {
            let place = Place { side: Side::Server, offset, bytes: line.len() as u64 };
            self.line(line, place, oddities, observer, told);
        }
        Step::Used(end + 1)
    }

    /// Takes the line that begins a value.
    fn line(
        &mut self,
        line: &[u8],
        place: Place,
        oddities: &mut Oddities,
        observer: &mut dyn Observer,
        told: &mut Told<'_>,
    ) {
        let Some((&kind, rest)) = line.split_first() else {
            // Keeps the connection alive while a file is made ("Redis replication").
            return;
        };
        let is_top = self.open.is_empty();
        self.expects_file &= kind == b'$';
        // Attributes stand in front of a value, pushed messages in front of a reply; neither answers a command.
        if is_top && !matches!(kind, b'|' | b'>') && !self.expects_file {
            self.expects_file = told(top(kind, rest), place, observer);
            if self.expects_file {
                return;
            }
        }
        match (kind, number(rest)) {
            (b'$', Some(length @ 0..)) if std::mem::take(&mut self.expects_file) && is_top => {
                self.begin_file(Some(length as u64), place, observer);
                self.state = State::File(length as u64);
                if length == 0 {
                    self.end_file(place, true, observer);
                    self.state = State::Value;
                }
            }
            (b'$', None) if rest.starts_with(b"EOF:") && std::mem::take(&mut self.expects_file) => {
                match rest.get(4..).and_then(|mark| mark.try_into().ok()) {
                    Some(mark) => {
                        self.begin_file(None, place, observer);
                        self.state = State::FileUntil(mark);
                    }
                    None => self.give_up(place, "file_mark_unreadable", oddities, observer),
                }
            }
            // Null.
            (b'$' | b'*', Some(-1)) => self.value_ends(),
            (b'$' | b'!' | b'=', Some(length @ 0..)) => self.state = State::Bytes((length as u64).saturating_add(2)),
            (b'*' | b'~' | b'>' | b'%' | b'|', Some(count @ 0..)) => {
                let values = if matches!(kind, b'%' | b'|') { 2 } else { 1 };
                let count = (count as u64).saturating_mul(values);
                match (count, kind) {
                    (0, b'|') => {}
                    (0, _) => self.value_ends(),
                    (_, _) if self.open.len() == DEPTH_MAX => {
                        self.give_up(place, "replies_too_deep", oddities, observer);
                    }
                    (_, _) => {
                        // An attribute is none of the values of the aggregate that it stands in, but ends like one.
                        if let Some(left) = self.open.last_mut().filter(|_| kind == b'|') {
                            *left = left.saturating_add(1);
                        }
                        self.open.push(count);
                    }
                }
            }
            (b'+' | b'-' | b':' | b'_' | b'#' | b',' | b'(', _) => self.value_ends(),
            (_, _) => self.give_up(place, "reply_unreadable", oddities, observer),
        }
    }

    /// A value has ended, and with it the aggregates whose last it was.
    fn value_ends(&mut self) {
        self.state = State::Value;
        while let Some(left) = self.open.last_mut() {
            *left -= 1;
            if *left > 0 {
                return;
            }
            self.open.pop();
        }
    }

    fn begin_file(&mut self, bytes_expected: Option<u64>, place: Place, observer: &mut dyn Observer) {
        let number = FileNumber(self.files);
        self.files = self.files.saturating_add(1);
        self.file = Some(OpenFile { number, offset: 0, is_complete: true });
        let begin = FileEvent::Begin { file: number, name: &[], via: FileVia::RedisReplication, bytes_expected };
        observer.fact(place, Fact::File(begin));
    }

    /// Takes bytes of a file that ends in `mark`; keeps back what may be the beginning of the mark.
    fn until(&mut self, mark: &[u8; MARK_BYTES], bytes: &[u8], offset: u64, observer: &mut dyn Observer) -> Step {
        if bytes.len() < MARK_BYTES {
            return Step::More;
        }
        let found = bytes.windows(MARK_BYTES).position(|window| window == mark);
        let used = found.unwrap_or(bytes.len() - (MARK_BYTES - 1));
        if used > 0 {
            self.part(&bytes[..used], Place { side: Side::Server, offset, bytes: used as u64 }, observer);
        }
        if found.is_none() {
            return Step::Used(used);
        }
        let place = Place { side: Side::Server, offset: offset + used as u64, bytes: MARK_BYTES as u64 };
        self.end_file(place, true, observer);
        self.state = State::Value;
        Step::Used(used + MARK_BYTES)
    }

    /// What was kept back of a file belongs to it, as the mark does not come any more.
    fn tell_rest(&mut self, observer: &mut dyn Observer) {
        if let State::FileUntil(_) = self.state
            && !self.pending.rest().is_empty()
        {
            let (rest, place) = (self.pending.rest().to_vec(), self.pending.rest_place());
            self.part(&rest, place, observer);
        }
    }

    fn lose(&mut self, bytes: u64) {
        if let Some(file) = &mut self.file {
            file.offset += bytes;
            file.is_complete = false;
        }
    }

    fn part(&mut self, bytes: &[u8], place: Place, observer: &mut dyn Observer) {
        if let Some(OpenFile { number, offset, .. }) = &mut self.file {
            observer.fact(place, Fact::File(FileEvent::Part { file: *number, offset: *offset, bytes }));
            *offset += bytes.len() as u64;
        }
    }

    fn end_file(&mut self, place: Place, is_whole: bool, observer: &mut dyn Observer) {
        if let Some(OpenFile { number: file, is_complete, .. }) = self.file.take() {
            let is_complete = is_complete && is_whole;
            observer.fact(place, Fact::File(FileEvent::End { file, is_complete }));
        }
    }

    fn give_up(&mut self, place: Place, what: &'static str, oddities: &mut Oddities, observer: &mut dyn Observer) {
        self.end_file(place, false, observer);
        oddities.tell(place, OddityKind::GaveUp, what, observer);
        self.state = State::GivenUp;
        self.open = Vec::new();
    }
}

fn top(kind: u8, rest: &[u8]) -> Top<'_> {
    match kind {
        b'+' => Top::Text(rest),
        b'-' => Top::Error(rest),
        // A long error; its text is in the bytes that follow.
        b'!' => Top::Error(&[]),
        _ => Top::Value,
    }
}
