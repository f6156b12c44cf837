//! From the bytes of a client to the keys of a terminal.

/// A key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::service) enum Key {
    /// One that is part of a line.
    Byte(u8),
    /// Backspace or delete.
    Erase,
    /// ^U.
    EraseLine,
    /// ^C, or telnet's interrupt.
    Interrupt,
    /// ^D.
    EndOfInput,
    /// Enter.
    Enter,
}

/// What was said so far of something that takes several bytes.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum State {
    #[default]
    Text,
    /// After CR: LF or NUL belongs to it (RFC 854, "The Telnet Printer").
    Return,
    /// After IAC.
    Command,
    /// After IAC and WILL, WONT, DO or DONT: the option.
    Option,
    /// In a subnegotiation (RFC 855).
    Subnegotiation,
    /// After IAC in a subnegotiation.
    SubnegotiationCommand,
    /// After ESC.
    Escape,
    /// After ESC [: up to a letter or `~` (ECMA-48, 5.4).
    Sequence,
}

/// Reads what a client types.
#[derive(Debug)]
pub(super) struct Keys {
    state: State,
    /// Whether a byte 255 begins a command of telnet.
    is_telnet: bool,
}

const SE: u8 = 240;
const INTERRUPT_PROCESS: u8 = 244;
const ERASE_CHARACTER: u8 = 247;
const ERASE_LINE: u8 = 248;
const SB: u8 = 250;
const WILL: u8 = 251;
const DONT: u8 = 254;
const IAC: u8 = 255;

impl Keys {
    /// Of a client that speaks telnet.
    pub(super) const fn of_telnet() -> Self {
        Self { state: State::Text, is_telnet: true }
    }

    /// Of a client that sends the keys and nothing else.
    pub(super) const fn plain() -> Self {
        Self { state: State::Text, is_telnet: false }
    }

    /// Takes a byte; it is not always a key.
    pub(super) fn byte(&mut self, byte: u8) -> Option<Key> {
        let state = std::mem::take(&mut self.state);
        match (state, byte) {
            (State::Text | State::Return | State::Escape | State::Sequence, IAC) if self.is_telnet => {
                self.state = State::Command;
                None
            }
            (State::Return, b'\n' | 0) => None,
            (State::Text | State::Return, _) => self.text(byte),
            // A byte 255 of the text (RFC 854).
            (State::Command, IAC) => Some(Key::Byte(IAC)),
            (State::Command, SB) => {
                self.state = State::Subnegotiation;
                None
            }
            (State::Command, WILL..=DONT) => {
                self.state = State::Option;
                None
            }
            (State::Command, INTERRUPT_PROCESS) => Some(Key::Interrupt),
            (State::Command, ERASE_CHARACTER) => Some(Key::Erase),
            (State::Command, ERASE_LINE) => Some(Key::EraseLine),
            (State::Command, _) | (State::Option, _) => None,
            (State::Subnegotiation, IAC) => {
                self.state = State::SubnegotiationCommand;
                None
            }
            (State::SubnegotiationCommand, SE) => None,
            (State::Subnegotiation | State::SubnegotiationCommand, _) => {
                self.state = State::Subnegotiation;
                None
            }
            (State::Escape, b'[' | b'O') => {
                self.state = State::Sequence;
                None
            }
            (State::Escape, _) => None,
            (State::Sequence, b'0'..=b'9' | b';') => {
                self.state = State::Sequence;
                None
            }
            (State::Sequence, _) => None,
        }
    }

    fn text(&mut self, byte: u8) -> Option<Key> {
        Some(match byte {
            b'\r' => {
                self.state = State::Return;
                Key::Enter
            }
            b'\n' => Key::Enter,
            0x08 | 0x7F => Key::Erase,
            0x15 => Key::EraseLine,
            0x03 => Key::Interrupt,
            0x04 => Key::EndOfInput,
            0x1B => {
                self.state = State::Escape;
                return None;
            }
            // The line editor of BusyBox does nothing with the others that a client could mean.
            0x00..0x20 if byte != b'\t' => return None,
            byte => Key::Byte(byte),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(bytes: &[u8], expected: &[Key]) {
        let mut keys = Keys::of_telnet();
        let pressed: Vec<Key> = bytes.iter().filter_map(|byte| keys.byte(*byte)).collect();
        assert_eq!(pressed, expected, "{bytes:?}");
        assert_eq!(keys.byte(b'z'), Some(Key::Byte(b'z')), "{bytes:?} leaves nothing open");
    }

    #[test]
    fn what_is_typed() {
        use Key::{Byte, EndOfInput, Enter, Erase, EraseLine, Interrupt};
        check(b"a\r\nb", &[Byte(b'a'), Enter, Byte(b'b')]);
        check(b"\r\0\r\r\n\n", &[Enter, Enter, Enter, Enter]);
        check(b"\x7f\x08\x15\x03\x04\x01", &[Erase, Erase, EraseLine, Interrupt, EndOfInput]);
        check(b"\x1b[A\x1bOB\x1b[3~a", &[Byte(b'a')]);
    }

    #[test]
    fn without_telnet_nothing_is_negotiated() {
        let mut keys = Keys::plain();
        let pressed: Vec<Key> = [255, 253, b'\r', b'\n'].iter().filter_map(|byte| keys.byte(*byte)).collect();
        assert_eq!(pressed, [Key::Byte(255), Key::Byte(253), Key::Enter]);
    }

    #[test]
    fn what_is_negotiated_is_not_typed() {
        use Key::{Byte, Erase, Interrupt};
        check(&[255, 253, 1, 255, 251, 31, b'a'], &[Byte(b'a')]);
        check(&[255, 250, 31, 0, 80, 0, 24, 255, 240, b'a'], &[Byte(b'a')]);
        check(&[255, 250, 31, 255, 255, 0, 24, 255, 240, b'a'], &[Byte(b'a')]);
        check(&[255, 255, 255, 241, 255, 244, 255, 247], &[Byte(255), Interrupt, Erase]);
    }
}
