//! Telnet (RFC 854): options, the login dialogue, commands, and both sides' text.
//!
//! The dialogue is read as a person at the terminal would: what the server's open line ends in says what the client's
//! next line is. Loaders of botnets do not wait for prompts; lines that come early wait here and are paired with the
//! prompts in the order in which the server shows them, as the line discipline of the device does.
//!
//! The state of a flow is bounded: the client's open line ([`LINE_BYTES_MAX`]), lines that wait (16 KiB), the name and
//! password of one login (two lines), the server's open line ([`OUTPUT_BYTES_MAX`]) and a subnegotiation of each side
//! (1 KiB): less than 45 KiB, and a few hundred bytes for a flow that behaves.

mod dialogue;
mod options;
mod screen;

use dialogue::Dialogue;
pub use options::{Negotiation, option_name};
use options::{Scanner, Token};
use screen::{Printed, Typed};

use crate::oddities::Oddities;
use crate::{Decoder, Fact, Observer, OddityKind, Place, Side};

/// The longest line of a client, in bytes. Linux' line discipline takes 4096; raw shells take more.
pub const LINE_BYTES_MAX: usize = 8192;

/// The longest piece of output that is told at once, in bytes: ten lines of a terminal.
pub const OUTPUT_BYTES_MAX: usize = 1024;

/// The number of options of a flow that are told. Clients send about ten; a flood of them is no news.
pub const OPTIONS_MAX: u32 = 128;

/// What only this protocol has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event<'a> {
    /// A side offered, refused, asked for or described an option.
    Option(Negotiation<'a>),
    /// The server's text, as the terminal gets it: a line with its end, or what there is of it when the client
    /// answers, at most [`OUTPUT_BYTES_MAX`] bytes. Told in order and without holes, so that a transcript is their
    /// concatenation. What a server echoes is output.
    Output {
        /// The text.
        text: &'a [u8],
    },
    /// A line of the client that is not empty, told when it is known what it is for.
    Input {
        /// The line after editing (backspace, ^U, ^C), without its end, at most [`LINE_BYTES_MAX`] bytes.
        line: &'a [u8],
        /// What it is for.
        role: Role,
    },
}

/// What a line of a client is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// The answer to a prompt for a user name.
    User,
    /// The answer to a prompt for a password.
    Password,
    /// A command.
    Command,
}

/// Reads one flow.
#[derive(Debug, Default)]
pub struct Reader {
    scanners: [Scanner; 2],
    typed: Typed,
    printed: Printed,
    dialogue: Dialogue,
    oddities: Oddities,
    options_told: u32,
}

impl Decoder for Reader {
    fn data(&mut self, side: Side, bytes: &[u8], observer: &mut dyn Observer) {
        let Self { scanners, typed, printed, dialogue, oddities, options_told } = self;
        scanners[side.index()].scan(bytes, &mut |token, offset, bytes| {
            let place = Place { side, offset, bytes };
            match token {
                Token::Data(data) => match side {
                    Side::Client => typed.take(data, place, printed, dialogue, oddities, observer),
                    Side::Server => printed.take(data, place, dialogue, observer),
                },
                Token::Negotiation(negotiation) => {
                    *options_told = options_told.saturating_add(1);
                    if *options_told <= OPTIONS_MAX {
                        observer.fact(place, Fact::Telnet(Event::Option(negotiation)));
                    } else if *options_told == OPTIONS_MAX + 1 {
                        oddities.tell(place, OddityKind::Bound, "too_many_options", observer);
                    }
                }
                Token::Odd(kind, what) => oddities.tell(place, kind, what, observer),
            }
        });
    }

    fn gap(&mut self, side: Side, bytes: u64, observer: &mut dyn Observer) {
        let offset = self.scanners[side.index()].skip(bytes);
        let place = Place { side, offset, bytes };
        match side {
            Side::Client => {
                self.typed.lose();
                self.dialogue.client_lost();
            }
            Side::Server => self.printed.tell(observer),
        }
        self.oddities.tell(place, OddityKind::Gap, "text_lost", observer);
    }

    fn finish(&mut self, _: Side, _: &mut dyn Observer) {}

    fn end(&mut self, observer: &mut dyn Observer) {
        for side in [Side::Client, Side::Server] {
            if let Some((offset, bytes)) = self.scanners[side.index()].unfinished() {
                let place = Place { side, offset, bytes };
                self.oddities.tell(place, OddityKind::Tolerated, "option_cut_off", observer);
            }
        }
        let shown = self.printed.open_line().to_vec();
        self.printed.tell(observer);
        self.dialogue.end(&shown, observer);
        self.typed.end(&mut self.oddities, observer);
    }
}
