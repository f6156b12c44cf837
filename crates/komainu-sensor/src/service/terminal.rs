//! The terminal of a small device: keys become lines with their echo, and what a shell prints is shown.

mod keys;

use std::time::Duration;

use self::keys::{Key, Keys};
use crate::shell::{Shell, ShellEvent};

/// The longest line, in bytes. The terminal of a device takes fewer; what is beyond is dropped, as there.
pub(super) const LINE_BYTES_MAX: usize = 8192;

/// The longest that a command takes. `sleep 3600` is not worth a connection.
pub(super) const DELAY_MAX: Duration = Duration::from_secs(30);

/// What a persona does next.
#[derive(Debug, Default)]
pub(super) struct Turn {
    /// The echo, and what is known without delay.
    pub(super) at_once: Vec<u8>,
    /// How long what was asked for takes.
    pub(super) delay: Duration,
    pub(super) then: Vec<u8>,
    pub(super) events: Vec<ShellEvent>,
    pub(super) is_last: bool,
    /// The status with which the shell ended, if it did.
    pub(super) status: u8,
}

/// The line that is being typed.
#[derive(Debug)]
pub(super) struct Editor {
    keys: Keys,
    line: Vec<u8>,
}

/// What came of a byte.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Pressed {
    /// Nothing but its echo.
    Nothing,
    /// A line was entered.
    Line(Vec<u8>),
    /// ^C; the line is gone.
    Interrupt,
    /// ^D on an empty line.
    EndOfInput,
}

impl Editor {
    /// Of a client that speaks telnet.
    pub(super) const fn of_telnet() -> Self {
        Self { keys: Keys::of_telnet(), line: Vec::new() }
    }

    /// Of a client that sends the keys and nothing else.
    pub(super) const fn plain() -> Self {
        Self { keys: Keys::plain(), line: Vec::new() }
    }

    /// Takes a byte that the client typed and adds its echo; what is typed is not shown without `shows`.
    pub(super) fn press(&mut self, byte: u8, shows: bool, echo: &mut Vec<u8>) -> Pressed {
        match self.keys.byte(byte) {
            None => {}
            Some(Key::Byte(byte)) if self.line.len() < LINE_BYTES_MAX => {
                self.line.push(byte);
                if shows {
                    echo.push(byte);
                }
            }
            Some(Key::Byte(_)) => {}
            Some(Key::Erase) => {
                let is_erased = self.line.pop().is_some();
                if is_erased && shows {
                    echo.extend_from_slice(b"\x08 \x08");
                }
            }
            Some(Key::EraseLine) => {
                let erased = std::mem::take(&mut self.line).len();
                if shows {
                    echo.extend(b"\x08 \x08".repeat(erased));
                }
            }
            Some(Key::Interrupt) => {
                self.line.clear();
                return Pressed::Interrupt;
            }
            Some(Key::EndOfInput) if self.line.is_empty() => return Pressed::EndOfInput,
            Some(Key::EndOfInput) => {}
            Some(Key::Enter) => {
                echo.extend_from_slice(b"\r\n");
                return Pressed::Line(std::mem::take(&mut self.line));
            }
        }
        Pressed::Nothing
    }

    /// Bytes of the line so far.
    #[cfg(test)]
    pub(super) fn typed(&self) -> usize {
        self.line.len()
    }
}

/// Has a shell do what a line says: `turn` shows what it prints and its next prompt, or is the last.
pub(super) fn enter(shell: &mut Shell, line: &[u8], turn: &mut Turn, now: Duration) {
    let reaction = shell.line(line, now);
    turn.events.extend(reaction.events);
    turn.delay = reaction.delay.min(DELAY_MAX);
    let said = if turn.delay.is_zero() { &mut turn.at_once } else { &mut turn.then };
    push(said, &reaction.output);
    turn.is_last = reaction.is_over;
    turn.status = reaction.status;
    if !reaction.is_over {
        said.extend(shell.prompt());
    }
}

/// Adds what a program printed, with the line ends of a terminal.
pub(super) fn push(to: &mut Vec<u8>, printed: &[u8]) {
    for byte in printed {
        if *byte == b'\n' {
            to.push(b'\r');
        }
        to.push(*byte);
    }
}

/// Text with the line ends of a terminal.
pub(super) fn text(text: &str) -> Vec<u8> {
    text.replace("\r\n", "\n").replace('\n', "\r\n").into_bytes()
}
