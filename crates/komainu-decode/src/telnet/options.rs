//! Telnet's commands, taken out of the text.

use crate::OddityKind;

/// The longest subnegotiation whose parameters are told, in bytes: an environment of some variables.
const PARAMETERS_BYTES_MAX: usize = 1024;

// Commands (RFC 854, "TELNET COMMAND STRUCTURE").
const SE: u8 = 240;
const NOP: u8 = 241;
const GO_AHEAD: u8 = 249;
const SB: u8 = 250;
const WILL: u8 = 251;
const WONT: u8 = 252;
const DO: u8 = 253;
const DONT: u8 = 254;
const IAC: u8 = 255;

// Options whose parameters are read.
const TERMINAL_TYPE: u8 = 24;
const WINDOW_SIZE: u8 = 31;
const NEW_ENVIRON: u8 = 39;

/// What a side says of an option, or another command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Negotiation<'a> {
    /// The side offers to use an option.
    Will(u8),
    /// The side does not use an option.
    Wont(u8),
    /// The side asks the other to use an option.
    Do(u8),
    /// The side asks the other not to use an option.
    Dont(u8),
    /// The type of the client's terminal (RFC 1091).
    TerminalType(&'a [u8]),
    /// The size of the client's window (RFC 1073); 0 means unknown.
    WindowSize {
        /// Its width, in characters.
        columns: u16,
        /// Its height, in lines.
        rows: u16,
    },
    /// A variable of the client's environment (RFC 1572). `USER` names who logs in.
    Variable {
        /// Its name.
        name: &'a [u8],
        /// Its value; none when it is not defined.
        value: Option<&'a [u8]>,
    },
    /// The parameters of another option, or of one of those above in another form.
    Parameters {
        /// The option.
        option: u8,
        /// What was said, at most 1024 bytes.
        bytes: &'a [u8],
    },
    /// A command without an option, such as "are you there" (246) or "interrupt process" (244).
    Command(u8),
}

/// The name of an option (IANA, "Telnet Options"), in lower case with underscores; none when it is uncommon.
pub const fn option_name(option: u8) -> Option<&'static str> {
    Some(match option {
        0 => "binary",
        1 => "echo",
        3 => "suppress_go_ahead",
        5 => "status",
        6 => "timing_mark",
        18 => "logout",
        TERMINAL_TYPE => "terminal_type",
        25 => "end_of_record",
        WINDOW_SIZE => "window_size",
        32 => "terminal_speed",
        33 => "remote_flow_control",
        34 => "linemode",
        35 => "x_display_location",
        36 => "environ",
        37 => "authentication",
        38 => "encryption",
        NEW_ENVIRON => "new_environ",
        46 => "start_tls",
        _ => return None,
    })
}

/// What a side's bytes are made of.
#[derive(Debug)]
pub(super) enum Token<'a> {
    /// Text. In the place of a token of one byte 255 there are two.
    Data(&'a [u8]),
    Negotiation(Negotiation<'a>),
    Odd(OddityKind, &'static str),
}

/// Takes the commands out of what one side says.
#[derive(Debug, Default)]
pub(super) struct Scanner {
    state: State,
    /// How many bytes came before those that are looked at.
    offset: u64,
    /// Where the command began that is being read.
    begin: u64,
    /// The parameters of the subnegotiation that is being read.
    parameters: Vec<u8>,
    are_parameters_cut: bool,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum State {
    #[default]
    Text,
    /// IAC was seen.
    Command,
    /// IAC and WILL, WONT, DO or DONT were seen.
    Verb(u8),
    /// IAC SB was seen.
    Parameters,
    /// The same, with parameters of this option.
    ParametersOf(u8),
    /// The same, and then IAC.
    ParametersCommand(u8),
}

impl Scanner {
    /// Gives each token, its offset and the number of its bytes on the wire to `told`.
    pub(super) fn scan(&mut self, bytes: &[u8], told: &mut dyn FnMut(Token<'_>, u64, u64)) {
        let mut rest = bytes;
        while let Some((&byte, after)) = rest.split_first() {
            if self.state == State::Text && byte != IAC {
                let (text, after) = rest.split_at(rest.iter().position(|byte| *byte == IAC).unwrap_or(rest.len()));
                told(Token::Data(text), self.offset, text.len() as u64);
                self.offset += text.len() as u64;
                rest = after;
                continue;
            }
            let at = self.offset;
            self.offset += 1;
            rest = after;
            self.state = self.step(byte, at, told);
        }
    }

    /// Skips bytes that were lost, and gives back where they were.
    pub(super) fn skip(&mut self, bytes: u64) -> u64 {
        let lost = self.offset;
        self.offset += bytes;
        self.state = State::Text;
        self.parameters = Vec::new();
        self.are_parameters_cut = false;
        lost
    }

    /// The place of a command that has not ended.
    pub(super) fn unfinished(&self) -> Option<(u64, u64)> {
        (self.state != State::Text).then(|| (self.begin, self.offset - self.begin))
    }

    fn step(&mut self, byte: u8, at: u64, told: &mut dyn FnMut(Token<'_>, u64, u64)) -> State {
        let begin = self.begin;
        let mut tell = |token: Token<'_>| told(token, begin, at + 1 - begin);
        match (self.state, byte) {
            (State::Text, _) => {
                self.begin = at;
                State::Command
            }
            (State::Command, IAC) => {
                tell(Token::Data(&[IAC]));
                State::Text
            }
            (State::Command, WILL..=DONT) => State::Verb(byte),
            (State::Command, SB) => State::Parameters,
            (State::Command, SE) => {
                tell(Token::Odd(OddityKind::Tolerated, "end_without_subnegotiation"));
                State::Text
            }
            // No operation, and one that every half-duplex prompt ends in: no news.
            (State::Command, NOP | GO_AHEAD) => State::Text,
            (State::Command, NOP..=GO_AHEAD) => {
                tell(Token::Negotiation(Negotiation::Command(byte)));
                State::Text
            }
            (State::Command, _) => {
                tell(Token::Odd(OddityKind::Tolerated, "command_unknown"));
                State::Text
            }
            (State::Verb(verb), option) => {
                tell(Token::Negotiation(match verb {
                    WILL => Negotiation::Will(option),
                    WONT => Negotiation::Wont(option),
                    DO => Negotiation::Do(option),
                    _ => Negotiation::Dont(option),
                }));
                State::Text
            }
            (State::Parameters, option) => State::ParametersOf(option),
            (State::ParametersOf(option), IAC) => State::ParametersCommand(option),
            (State::ParametersOf(option), byte) => {
                self.parameter(byte);
                State::ParametersOf(option)
            }
            (State::ParametersCommand(option), IAC) => {
                self.parameter(IAC);
                State::ParametersOf(option)
            }
            (State::ParametersCommand(option), SE) => {
                self.tell_parameters(option, &mut tell);
                State::Text
            }
            // Another command in the middle: the end was forgotten, and a command begins here.
            (State::ParametersCommand(option), byte) => {
                self.tell_parameters(option, &mut tell);
                tell(Token::Odd(OddityKind::Tolerated, "subnegotiation_not_ended"));
                self.begin = at - 1;
                self.state = State::Command;
                self.step(byte, at, told)
            }
        }
    }

    fn parameter(&mut self, byte: u8) {
        if self.parameters.len() < PARAMETERS_BYTES_MAX {
            self.parameters.push(byte);
        } else {
            self.are_parameters_cut = true;
        }
    }

    fn tell_parameters(&mut self, option: u8, tell: &mut dyn FnMut(Token<'_>)) {
        match (option, self.parameters.as_slice()) {
            // IS (RFC 1091, 2).
            (TERMINAL_TYPE, [0, name @ ..]) => tell(Token::Negotiation(Negotiation::TerminalType(name))),
            (WINDOW_SIZE, &[a, b, c, d]) => {
                let (columns, rows) = (u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]));
                tell(Token::Negotiation(Negotiation::WindowSize { columns, rows }));
            }
            // IS or INFO (RFC 1572, 2).
            (NEW_ENVIRON, [0 | 2, variables @ ..]) => tell_variables(variables, tell),
            (_, bytes) => tell(Token::Negotiation(Negotiation::Parameters { option, bytes })),
        }
        if self.are_parameters_cut {
            tell(Token::Odd(OddityKind::Bound, "subnegotiation_too_long"));
        }
        // Kept small between the rare long ones.
        self.parameters = Vec::new();
        self.are_parameters_cut = false;
    }
}

/// `VAR name [VALUE value]`, again and again (RFC 1572, 2).
fn tell_variables(bytes: &[u8], tell: &mut dyn FnMut(Token<'_>)) {
    const VAR: u8 = 0;
    const VALUE: u8 = 1;
    const ESC: u8 = 2;
    const USERVAR: u8 = 3;
    let mut at = 0;
    // The end of the text from `at`: the next type byte that is not escaped.
    let text_end = |mut at: usize| {
        while let Some(byte) = bytes.get(at) {
            match *byte {
                ESC => at += 2,
                VAR | VALUE | USERVAR => break,
                _ => at += 1,
            }
        }
        at.min(bytes.len())
    };
    let unescaped = |begin: usize, end: usize| {
        let mut text = Vec::with_capacity(end - begin);
        let mut escaped = false;
        for byte in &bytes[begin..end] {
            if *byte == ESC && !escaped {
                escaped = true;
            } else {
                text.push(*byte);
                escaped = false;
            }
        }
        text
    };
    while at < bytes.len() {
        let name_end = text_end(at + 1);
        let name = unescaped((at + 1).min(name_end), name_end);
        at = name_end;
        let mut value = None;
        if bytes.get(at) == Some(&VALUE) {
            let value_end = text_end(at + 1);
            value = Some(unescaped((at + 1).min(value_end), value_end));
            at = value_end;
        }
        tell(Token::Negotiation(Negotiation::Variable { name: &name, value: value.as_deref() }));
    }
}
