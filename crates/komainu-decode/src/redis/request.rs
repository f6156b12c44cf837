//! What a client sends: arrays of bulk strings, or inline commands.

use super::{ARGUMENT_BYTES_MAX, ARGUMENTS_MAX, Argument, LINE_BYTES_MAX};
use crate::oddities::Oddities;
use crate::pending::{Pending, Step};
use crate::{Observer, OddityKind, Place, Side};

/// The longest command, in arguments (Redis: `PROTO_MBULK_LEN`).
const WORDS_MAX: u64 = 1024 * 1024;

/// The longest word, in bytes (Redis: `proto-max-bulk-len`).
const WORD_BYTES_MAX: u64 = 512 * 1024 * 1024;

/// Is told of a command: its first words, how many there are, and its place.
pub(super) type Told<'t> = dyn FnMut(&[Argument], u64, Place, &mut Oddities, &mut dyn Observer) + 't;

/// The client's side.
#[derive(Debug)]
pub(super) struct Requests {
    pending: Pending,
    state: State,
    /// The first words of the command that is being read.
    words: Vec<Argument>,
    /// Bytes of the word that is being read were lost: its beginning ends there.
    has_hole: bool,
    /// How many words it has.
    count: u64,
    /// Where it begins.
    begin: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// A command begins.
    Command,
    /// So many words of an array follow, each with its length.
    Length {
        words_left: u64,
    },
    /// So many bytes of a word follow, and then a line end.
    Word {
        words_left: u64,
        bytes_left: u64,
    },
    /// A line is too long: its end is skipped.
    SkipLine,
    /// Bytes were lost: what follows is skipped up to a line that begins an array.
    Resync,
    GivenUp,
}

impl Default for Requests {
    fn default() -> Self {
        let pending = Pending::new(Side::Client, LINE_BYTES_MAX);
        Self { pending, state: State::Command, words: Vec::new(), has_hole: false, count: 0, begin: 0 }
    }
}

impl Requests {
    pub(super) fn take(
        &mut self,
        bytes: &[u8],
        oddities: &mut Oddities,
        observer: &mut dyn Observer,
        told: &mut Told<'_>,
    ) {
        let mut pending = std::mem::replace(&mut self.pending, Pending::new(Side::Client, LINE_BYTES_MAX));
        let fed = pending.feed(bytes, |bytes, offset| self.step(bytes, offset, oddities, observer, told));
        debug_assert!(fed.is_ok(), "a line that is too long is skipped");
        self.pending = pending;
    }

    /// Skips what was lost. True when it was all within a word.
    pub(super) fn gap(&mut self, bytes: u64, oddities: &mut Oddities, observer: &mut dyn Observer) -> bool {
        let rest = self.pending.rest_place();
        let place = Place { offset: rest.offset + rest.bytes, bytes, ..rest };
        self.pending.skip_gap(bytes);
        oddities.tell(place, OddityKind::Gap, "command_lost", observer);
        match &mut self.state {
            State::Word { bytes_left, .. } if *bytes_left >= bytes => {
                *bytes_left -= bytes;
                self.has_hole = true;
                true
            }
            State::GivenUp => true,
            state => {
                *state = State::Resync;
                self.words.clear();
                false
            }
        }
    }

    pub(super) fn end(&mut self, oddities: &mut Oddities, observer: &mut dyn Observer) {
        let is_open = match self.state {
            State::Command => !self.pending.rest().is_empty(),
            State::Length { .. } | State::Word { .. } => true,
            State::SkipLine | State::Resync | State::GivenUp => false,
        };
        if is_open {
            oddities.tell(self.pending.rest_place(), OddityKind::Tolerated, "command_cut_off", observer);
        }
    }

    fn step(
        &mut self,
        bytes: &[u8],
        offset: u64,
        oddities: &mut Oddities,
        observer: &mut dyn Observer,
        told: &mut Told<'_>,
    ) -> Step {
        if let State::Word { words_left, bytes_left } = self.state {
            return self.word(words_left, bytes_left, bytes, offset, oddities, observer, told);
        }
        if self.state == State::GivenUp {
            return Step::Used(bytes.len());
        }
        let end = bytes.iter().position(|byte| *byte == b'\n');
        let Some(end) = end.filter(|end| *end < LINE_BYTES_MAX || self.is_skipping()) else {
            if self.is_skipping() {
                return Step::Used(bytes.len());
            }
            if bytes.len() < LINE_BYTES_MAX {
                return Step::More;
            }
            let place = Place { side: Side::Client, offset, bytes: LINE_BYTES_MAX as u64 };
            oddities.tell(place, OddityKind::Bound, "line_too_long", observer);
            self.state = State::SkipLine;
            return Step::Used(LINE_BYTES_MAX);
        };
        let line = bytes[..end].strip_suffix(b"\r").unwrap_or(&bytes[..end]);
        let place = Place { side: Side::Client, offset, bytes: end as u64 + 1 };
        match self.state {
            State::SkipLine => self.state = State::Command,
            State::Resync if line.first() != Some(&b'*') => {}
            State::Command | State::Resync => self.command(line, place, oddities, observer, told),
            State::Length { words_left } => self.length(words_left, line, place, oddities, observer),
            State::Word { .. } | State::GivenUp => {}
        }
        Step::Used(end + 1)
    }

    fn is_skipping(&self) -> bool {
        matches!(self.state, State::SkipLine | State::Resync)
    }

    fn command(
        &mut self,
        line: &[u8],
        place: Place,
        oddities: &mut Oddities,
        observer: &mut dyn Observer,
        told: &mut Told<'_>,
    ) {
        self.begin = place.offset;
        self.words.clear();
        if let Some(digits) = line.strip_prefix(b"*") {
            match number(digits) {
                Some(count @ 1..) if count as u64 <= WORDS_MAX => {
                    self.count = count as u64;
                    self.state = State::Length { words_left: self.count };
                }
                // An empty array is no command.
                Some(..=0) => self.state = State::Command,
                Some(_) | None => self.give_up(place, "array_length_unreadable", oddities, observer),
            }
            return;
        }
        self.state = State::Command;
        let mut count = 0;
        for word in inline_words(line) {
            count += 1;
            if self.words.len() <= ARGUMENTS_MAX {
                let begin = word[..word.len().min(ARGUMENT_BYTES_MAX)].to_vec();
                self.words.push(Argument { begin, bytes: word.len() as u64 });
            }
        }
        if count > 0 {
            let bytes = line.len() as u64;
            told(&self.words, count, Place { bytes, ..place }, oddities, observer);
        }
        self.words = Vec::new();
    }

    fn length(
        &mut self,
        words_left: u64,
        line: &[u8],
        place: Place,
        oddities: &mut Oddities,
        observer: &mut dyn Observer,
    ) {
        let length = line.strip_prefix(b"$").and_then(number).and_then(|length| u64::try_from(length).ok());
        let Some(bytes) = length.filter(|length| *length <= WORD_BYTES_MAX) else {
            return self.give_up(place, "word_length_unreadable", oddities, observer);
        };
        if self.words.len() <= ARGUMENTS_MAX {
            self.words.push(Argument { begin: Vec::new(), bytes });
        }
        self.has_hole = false;
        // The line end behind the word is read with it.
        self.state = State::Word { words_left, bytes_left: bytes + 2 };
    }

    #[expect(clippy::too_many_arguments, reason = "a step of the one state machine")]
    fn word(
        &mut self,
        words_left: u64,
        bytes_left: u64,
        bytes: &[u8],
        offset: u64,
        oddities: &mut Oddities,
        observer: &mut dyn Observer,
        told: &mut Told<'_>,
    ) -> Step {
        let used = usize::try_from(bytes_left).unwrap_or(usize::MAX).min(bytes.len());
        let is_kept = self.count - words_left <= ARGUMENTS_MAX as u64 && !self.has_hole;
        if let Some(word) = self.words.last_mut().filter(|_| is_kept) {
            // Without the line end behind it.
            let of_word = usize::try_from(bytes_left.saturating_sub(2)).unwrap_or(usize::MAX).min(used);
            let space = ARGUMENT_BYTES_MAX - word.begin.len();
            word.begin.extend_from_slice(&bytes[..of_word.min(space)]);
        }
        let bytes_left = bytes_left - used as u64;
        self.state = match (bytes_left, words_left) {
            (1.., _) => State::Word { words_left, bytes_left },
            (0, 2..) => State::Length { words_left: words_left - 1 },
            (0, _) => {
                let bytes = offset + used as u64 - self.begin;
                let place = Place { side: Side::Client, offset: self.begin, bytes };
                told(&self.words, self.count, place, oddities, observer);
                self.words = Vec::new();
                State::Command
            }
        };
        Step::Used(used.max(1))
    }

    fn give_up(&mut self, place: Place, what: &'static str, oddities: &mut Oddities, observer: &mut dyn Observer) {
        oddities.tell(place, OddityKind::GaveUp, what, observer);
        self.state = State::GivenUp;
        self.words = Vec::new();
    }
}

/// A decimal number with a sign.
pub(super) fn number(digits: &[u8]) -> Option<i64> {
    std::str::from_utf8(digits).ok()?.parse().ok()
}

/// The words of an inline command: separated by spaces, in quotes where they hold some (Redis: `sdssplitargs`).
fn inline_words(line: &[u8]) -> Vec<Vec<u8>> {
    let mut words = Vec::new();
    let mut rest = line.trim_ascii_start();
    while let Some(&first) = rest.first() {
        let mut word = Vec::new();
        if matches!(first, b'"' | b'\'') {
            rest = &rest[1..];
            while let Some((&byte, after)) = rest.split_first() {
                rest = after;
                match (byte, after) {
                    (byte, _) if byte == first => break,
                    (b'\\', [b'x', high, low, after @ ..]) if first == b'"' && hex(*high, *low).is_some() => {
                        word.extend(hex(*high, *low));
                        rest = after;
                    }
                    (b'\\', [escaped, after @ ..]) if first == b'"' || *escaped == b'\'' => {
                        word.push(match escaped {
                            b'n' if first == b'"' => b'\n',
                            b'r' if first == b'"' => b'\r',
                            b't' if first == b'"' => b'\t',
                            b'b' if first == b'"' => 8,
                            b'a' if first == b'"' => 7,
                            other => *other,
                        });
                        rest = after;
                    }
                    (byte, _) => word.push(byte),
                }
            }
        } else {
            let (plain, after) = rest.split_at(rest.iter().position(u8::is_ascii_whitespace).unwrap_or(rest.len()));
            word.extend_from_slice(plain);
            rest = after;
        }
        words.push(word);
        rest = rest.trim_ascii_start();
    }
    words
}

fn hex(high: u8, low: u8) -> Option<u8> {
    let digit = |byte: u8| char::from(byte).to_digit(16);
    u8::try_from(digit(high)? * 16 + digit(low)?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_an_inline_command() {
        let words = |line: &str| {
            inline_words(line.as_bytes())
                .iter()
                .map(|word| word.escape_ascii().to_string())
                .collect::<Vec<_>>()
                .join("|")
        };
        assert_eq!(words("set a  b "), "set|a|b");
        assert_eq!(words(r#"set x "a b\n\x41\"""#), r#"set|x|a b\nA\""#);
        assert_eq!(words(r"set x 'a b\n\''"), r"set|x|a b\\n\'");
        assert_eq!(words(r#"x "open"#), "x|open");
        assert_eq!(words(r#"x """#), "x|");
        assert_eq!(words(""), "");
    }
}
