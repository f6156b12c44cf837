//! Lines that somebody types at a shell.

use super::TEXT_BYTES_MAX;
use crate::oddities::Oddities;
use crate::{Command, Fact, Observer, OddityKind, Place};

/// The open line.
#[derive(Debug, Default)]
pub(super) struct Lines {
    line: Vec<u8>,
    /// Where it begins and ends; none before its first byte.
    range: Option<(u64, u64)>,
    is_cut: bool,
    is_lost: bool,
}

impl Lines {
    /// Takes what is typed; each line is a command.
    pub(super) fn take(&mut self, bytes: &[u8], place: Place, oddities: &mut Oddities, observer: &mut dyn Observer) {
        for (index, byte) in bytes.iter().enumerate() {
            let at = place.offset + index as u64;
            if matches!(*byte, b'\r' | b'\n') {
                self.complete(place, oddities, observer);
                continue;
            }
            let (_, end) = self.range.get_or_insert((at, at));
            *end = at + 1;
            match *byte {
                // ^D, backspace, delete, ^C, ^U: what the terminal of the shell does with them.
                4 => {}
                8 | 0x7F => {
                    self.line.pop();
                }
                3 | 0x15 => self.line.clear(),
                byte if self.line.len() < TEXT_BYTES_MAX => self.line.push(byte),
                _ => self.is_cut = true,
            }
        }
    }

    /// Learns that bytes were lost: what is left of the line is none.
    pub(super) fn lose(&mut self) {
        *self = Self { is_lost: true, ..Self::default() };
    }

    fn complete(&mut self, place: Place, oddities: &mut Oddities, observer: &mut dyn Observer) {
        let Self { line, range, is_cut, is_lost } = std::mem::take(self);
        let Some((begin, end)) = range.filter(|_| !is_lost) else { return };
        let place = Place { offset: begin, bytes: end - begin, ..place };
        if is_cut {
            oddities.tell(place, OddityKind::Bound, "line_too_long", observer);
        }
        if !line.trim_ascii().is_empty() {
            observer.fact(place, Fact::Command(Command { line: &line }));
        }
    }
}
