//! The client's open line and the server's.

use super::dialogue::{Dialogue, Line, Prompt};
use super::{Event, LINE_BYTES_MAX, OUTPUT_BYTES_MAX};
use crate::oddities::Oddities;
use crate::{Fact, Observer, OddityKind, Place, Side};

// What a line discipline does with control characters (POSIX, 11.1.9, and the usual bindings).
const NUL: u8 = 0;
const CTRL_C: u8 = 3;
const CTRL_D: u8 = 4;
const BACKSPACE: u8 = 8;
const CTRL_U: u8 = 0x15;
const ESC: u8 = 0x1B;
const DELETE: u8 = 0x7F;

/// The line that the client is typing.
#[derive(Debug, Default)]
pub(super) struct Typed {
    line: Vec<u8>,
    /// Where it begins and ends on the wire; none before its first byte.
    range: Option<(u64, u64)>,
    /// What the server asked for when its first byte came, and in which words.
    prompt: Prompt,
    prompt_text: Vec<u8>,
    escape: Escape,
    is_cut: bool,
    /// CR ended a line; LF or NUL after it belongs to it (RFC 854, "end of line").
    after_cr: bool,
    /// The beginning of the line was lost.
    is_lost: bool,
}

impl Typed {
    pub(super) fn take(
        &mut self,
        data: &[u8],
        place: Place,
        printed: &mut Printed,
        dialogue: &mut Dialogue,
        oddities: &mut Oddities,
        observer: &mut dyn Observer,
    ) {
        for (index, byte) in data.iter().enumerate() {
            let at = place.offset + index as u64;
            // IAC IAC is one byte of two.
            let end = if data.len() == 1 { place.offset + place.bytes } else { at + 1 };
            if std::mem::take(&mut self.after_cr) && matches!(*byte, b'\n' | NUL) {
                continue;
            }
            if matches!(*byte, b'\r' | b'\n') {
                self.after_cr = *byte == b'\r';
                self.complete(at, printed, dialogue, oddities, observer);
                continue;
            }
            match &mut self.range {
                Some((_, range_end)) => *range_end = end,
                None => {
                    self.range = Some((at, end));
                    self.see(printed, dialogue);
                }
            }
            if self.escape.swallows(*byte) {
                continue;
            }
            match *byte {
                NUL | CTRL_D => {}
                BACKSPACE | DELETE => {
                    self.line.pop();
                }
                CTRL_C | CTRL_U => self.line.clear(),
                byte if self.line.len() < LINE_BYTES_MAX => self.line.push(byte),
                _ => self.is_cut = true,
            }
        }
    }

    fn complete(
        &mut self,
        end: u64,
        printed: &mut Printed,
        dialogue: &mut Dialogue,
        oddities: &mut Oddities,
        observer: &mut dyn Observer,
    ) {
        if self.range.is_none() {
            self.see(printed, dialogue);
        }
        let typed = std::mem::take(self);
        self.after_cr = typed.after_cr;
        let (begin, _) = typed.range.unwrap_or((end, end));
        if typed.is_cut {
            let place = Place { side: Side::Client, offset: begin, bytes: end - begin };
            oddities.tell(place, OddityKind::Bound, "line_too_long", observer);
        }
        printed.tell(observer);
        if !typed.is_lost {
            let line = Line { text: typed.line, offset: begin, bytes: end - begin };
            dialogue.line(line, typed.prompt, &typed.prompt_text, observer);
        }
    }

    /// Remembers what the server asks for: the echo of what is typed will stand behind it.
    fn see(&mut self, printed: &Printed, dialogue: &Dialogue) {
        self.prompt = dialogue.prompt_of(printed.open_line());
        self.prompt_text.clear();
        if self.prompt != Prompt::None {
            self.prompt_text.extend_from_slice(printed.open_line());
        }
    }

    /// Learns that bytes were lost: what is left of the line is none.
    pub(super) fn lose(&mut self) {
        *self = Self { is_lost: true, ..Self::default() };
    }

    /// A line that was not ended was not sent off either: it is odd, and no command.
    pub(super) fn end(&mut self, oddities: &mut Oddities, observer: &mut dyn Observer) {
        if let Some((begin, end)) = self.range.filter(|_| !self.line.is_empty() && !self.is_lost) {
            let place = Place { side: Side::Client, offset: begin, bytes: end - begin };
            oddities.tell(place, OddityKind::Tolerated, "line_not_ended", observer);
        }
    }
}

/// A key that is no character, or a report of the terminal: an escape sequence (ECMA-48, 5.4).
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Escape {
    #[default]
    None,
    /// ESC was typed.
    Begun,
    /// ESC [ or ESC O was typed.
    Sequence,
}

impl Escape {
    /// Whether a byte belongs to a sequence.
    fn swallows(&mut self, byte: u8) -> bool {
        let (next, is_swallowed) = match (*self, byte) {
            (_, ESC) => (Self::Begun, true),
            (Self::None, _) => (Self::None, false),
            (Self::Begun, b'[' | b'O') => (Self::Sequence, true),
            (Self::Begun, _) => (Self::None, true),
            (Self::Sequence, 0x20..=0x3F) => (Self::Sequence, true),
            (Self::Sequence, _) => (Self::None, true),
        };
        *self = next;
        is_swallowed
    }
}

/// What the server printed and was not told yet: its open line.
#[derive(Debug, Default)]
pub(super) struct Printed {
    text: Vec<u8>,
    begin: u64,
    end: u64,
    /// CR was printed; NUL after it is no text (RFC 854, "carriage return").
    after_cr: bool,
}

impl Printed {
    pub(super) fn take(&mut self, data: &[u8], place: Place, dialogue: &mut Dialogue, observer: &mut dyn Observer) {
        for (index, byte) in data.iter().enumerate() {
            let at = place.offset + index as u64;
            // A prompt usually ends in a space; what waits for it is told behind it.
            if *byte != b' ' && self.text.last() == Some(&b':') {
                self.look(dialogue, observer);
            }
            if self.text.is_empty() {
                self.begin = at;
            }
            self.end = if data.len() == 1 { place.offset + place.bytes } else { at + 1 };
            let is_padding = std::mem::replace(&mut self.after_cr, *byte == b'\r') && *byte == NUL;
            if !is_padding {
                self.text.push(*byte);
            }
            if *byte == b'\n' || self.text.len() == OUTPUT_BYTES_MAX {
                let line = std::mem::take(&mut self.text);
                dialogue.printed(&line, observer);
                self.text = line;
                self.tell(observer);
            } else if *byte == b' ' {
                self.look(dialogue, observer);
            }
        }
    }

    /// Shows the open line to the dialogue, if it may be a prompt that a line was sent for already.
    fn look(&mut self, dialogue: &mut Dialogue, observer: &mut dyn Observer) {
        let prompt = dialogue.early_prompt(&self.text);
        if prompt == Prompt::None {
            return;
        }
        let line = self.text.clone();
        if dialogue.is_waiting() {
            self.tell(observer);
        }
        dialogue.asks(prompt, &line, observer);
    }

    pub(super) fn open_line(&self) -> &[u8] {
        &self.text
    }

    /// Tells what was not told yet; what follows begins a line of its own.
    pub(super) fn tell(&mut self, observer: &mut dyn Observer) {
        if !self.text.is_empty() {
            let place = Place { side: Side::Server, offset: self.begin, bytes: self.end - self.begin };
            observer.fact(place, Fact::Telnet(Event::Output { text: &self.text }));
            self.text.clear();
        }
    }
}
