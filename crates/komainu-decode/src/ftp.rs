//! File Transfer Protocol (RFC 959): commands with their replies, logins, and where the data connections are.
//!
//! A data connection is a flow of its own. [`Event::DataChannel`] tells where it is and what it carries; whoever keeps
//! the flows decodes it with a [`DataReader`].
//!
//! The state of a flow is bounded: [`COMMANDS_WAITING_MAX`] commands without a reply (16 KiB of them), the replies to
//! one of them (16 KiB), and the beginning of a line of each side (4 KiB): about 40 KiB, and less than one for a flow
//! that behaves.

mod data;
mod endpoint;

use std::collections::VecDeque;

pub use data::{DataReader, Direction};
pub use endpoint::DataAddress;

use crate::oddities::Oddities;
use crate::pending::{Pending, Step};
use crate::{Command, Decoder, Fact, Login, Observer, OddityKind, Place, Secret, Side};

/// The longest line of either side, in bytes: a path of the longest length that Linux takes, and a word.
pub const LINE_BYTES_MAX: usize = 4096 + 64;

/// The number of commands that may wait for their replies.
pub const COMMANDS_WAITING_MAX: usize = 64;

/// The bytes of commands that may wait for their replies.
const COMMANDS_WAITING_BYTES_MAX: usize = 16 * 1024;

/// The bytes of the replies to one command that are told.
const REPLY_BYTES_MAX: usize = 16 * 1024;

/// The lines of the replies to one command that are told.
const REPLY_LINES_MAX: usize = 256;

/// What only this protocol has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event<'a> {
    /// A command and the replies to it. Told when the last reply is there, or will not come any more, at the place of
    /// the command; without a command (a greeting) at the place of the reply.
    Exchange(Exchange<'a>),
    /// A transfer was asked for, and its data connection is known.
    DataChannel {
        /// Where it is.
        address: DataAddress,
        /// Whether the server listens there (PASV, EPSV), or the client (PORT, EPRT).
        passive: bool,
        /// The command that transfers, such as `STOR` or `LIST`, in capitals.
        command: &'a [u8],
        /// Its path; empty where there is none.
        path: &'a [u8],
        /// Where in the file the transfer begins (REST), in bytes.
        offset: u64,
    },
    /// The server agreed to encrypt (RFC 2228, RFC 4217): nothing is told of what follows.
    Encrypted {
        /// The mechanism, such as `TLS`.
        mechanism: &'a [u8],
    },
}

/// A command and the replies to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exchange<'a> {
    /// The command as it was sent; empty for a reply to none.
    pub command: &'a [u8],
    /// What follows it.
    pub argument: &'a [u8],
    /// The codes of the replies, such as `150` and `226`.
    pub codes: &'a [[u8; 3]],
    /// The lines of all replies, without the codes.
    pub lines: &'a [Vec<u8>],
    /// Some lines of the replies are missing: there were too many, or they were too long.
    pub are_lines_cut: bool,
    /// The port of the data connection that was agreed upon, and whether the server listens there.
    pub data_port: Option<(u16, bool)>,
}

/// Reads one control connection.
#[derive(Debug)]
pub struct Reader {
    pending: [Pending; 2],
    /// The beginning of a side's line was too long, or lost: its end is skipped.
    is_skipping: [bool; 2],
    is_encrypted: bool,
    waiting: VecDeque<Waiting>,
    waiting_bytes: usize,
    /// More commands came than may wait: replies cannot be told apart any more.
    has_overflowed: bool,
    reply: Replies,
    /// The name that a password is expected for.
    user: Option<Named>,
    channel: Channel,
    oddities: Oddities,
}

/// A command that waits for its reply.
#[derive(Debug)]
struct Waiting {
    command: Vec<u8>,
    argument: Vec<u8>,
    place: Place,
    /// With PASS, who says it.
    user: Option<Named>,
}

/// A user name and the place of the command that gave it.
#[derive(Debug)]
struct Named {
    name: Vec<u8>,
    place: Place,
}

/// Replies to one command.
#[derive(Debug, Default)]
struct Replies {
    codes: Vec<[u8; 3]>,
    lines: Vec<Vec<u8>>,
    bytes: usize,
    are_lines_cut: bool,
    /// The code of a reply of several lines that has not ended.
    open: Option<[u8; 3]>,
    begin: u64,
}

/// The data connection that is being agreed upon: its two halves come in either order.
#[derive(Debug, Default)]
struct Channel {
    address: Option<(DataAddress, bool)>,
    /// PASV or EPSV was asked and not answered yet.
    is_asked: bool,
    transfer: Option<(Vec<u8>, Vec<u8>, Place)>,
    offset: u64,
}

impl Default for Reader {
    fn default() -> Self {
        Self {
            pending: [Side::Client, Side::Server].map(|side| Pending::new(side, LINE_BYTES_MAX)),
            is_skipping: [false; 2],
            is_encrypted: false,
            waiting: VecDeque::new(),
            waiting_bytes: 0,
            has_overflowed: false,
            reply: Replies::default(),
            user: None,
            channel: Channel::default(),
            oddities: Oddities::default(),
        }
    }
}

impl Decoder for Reader {
    fn data(&mut self, side: Side, bytes: &[u8], observer: &mut dyn Observer) {
        if self.is_encrypted {
            return self.pending[side.index()].ignore(bytes);
        }
        let mut pending = std::mem::replace(&mut self.pending[side.index()], Pending::new(side, LINE_BYTES_MAX));
        let fed = pending.feed(bytes, |bytes, offset| {
            if self.is_encrypted {
                return Step::Used(bytes.len());
            }
            let end = bytes.iter().position(|byte| *byte == b'\n');
            let Some(end) = end.filter(|end| *end <= LINE_BYTES_MAX) else {
                // Told here and not by the bound of what is kept, so that it does not depend on how a line is cut.
                if !self.is_skipping[side.index()] && bytes.len() > LINE_BYTES_MAX {
                    self.is_skipping[side.index()] = true;
                    let place = Place { side, offset, bytes: LINE_BYTES_MAX as u64 };
                    self.oddities.tell(place, OddityKind::Bound, "line_too_long", observer);
                }
                return match end {
                    Some(end) => {
                        self.is_skipping[side.index()] = false;
                        Step::Used(end + 1)
                    }
                    None if self.is_skipping[side.index()] => Step::Used(bytes.len()),
                    None => Step::More,
                };
            };
            if !std::mem::take(&mut self.is_skipping[side.index()]) {
                let line = bytes[..end].strip_suffix(b"\r").unwrap_or(&bytes[..end]);
                let place = Place { side, offset, bytes: line.len() as u64 };
                match side {
                    Side::Client => self.command(line, place, observer),
                    Side::Server => self.reply_line(line, place, observer),
                }
            }
            Step::Used(end + 1)
        });
        debug_assert!(fed.is_ok(), "a line that is too long is skipped");
        self.pending[side.index()] = pending;
    }

    fn gap(&mut self, side: Side, bytes: u64, observer: &mut dyn Observer) {
        let rest = self.pending[side.index()].rest_place();
        let place = Place { offset: rest.offset + rest.bytes, bytes, ..rest };
        self.pending[side.index()].skip_gap(bytes);
        if self.is_encrypted {
            return;
        }
        self.is_skipping[side.index()] = true;
        self.oddities.tell(place, OddityKind::Gap, "lines_lost", observer);
        // Which reply answers which command is not known any more; both are still told.
        self.tell_all(observer);
        self.reply = Replies::default();
    }

    fn finish(&mut self, _: Side, _: &mut dyn Observer) {}

    fn end(&mut self, observer: &mut dyn Observer) {
        for side in [Side::Client, Side::Server] {
            let pending = &self.pending[side.index()];
            if !pending.rest().is_empty() && !self.is_skipping[side.index()] && !self.is_encrypted {
                self.oddities.tell(pending.rest_place(), OddityKind::Tolerated, "line_not_ended", observer);
            }
        }
        self.tell_all(observer);
        if let Some(user) = self.user.take() {
            tell_login(&user, None, user.place, None, observer);
        }
    }
}

impl Reader {
    fn command(&mut self, line: &[u8], place: Place, observer: &mut dyn Observer) {
        // Telnet's "interrupt process" and "synch" may stand in front of ABOR (RFC 959, 4.1.3).
        let begin = line.iter().position(|byte| !matches!(byte, 0xF0..|b' '| 0)).unwrap_or(line.len());
        let line = &line[begin..];
        if line.is_empty() {
            return;
        }
        let place = Place { offset: place.offset + begin as u64, bytes: line.len() as u64, ..place };
        let word_end = line.iter().position(|byte| *byte == b' ').unwrap_or(line.len());
        let (command, argument) = (&line[..word_end], line.get(word_end + 1..).unwrap_or_default());
        let name = command.to_ascii_uppercase();
        let mut user = None;
        match name.as_slice() {
            b"USER" => {
                if let Some(earlier) = self.user.replace(Named { name: argument.to_vec(), place }) {
                    tell_login(&earlier, None, earlier.place, None, observer);
                }
            }
            b"PASS" => user = self.user.take(),
            b"PORT" => self.channel.agree(endpoint::of_port(argument), false),
            b"EPRT" => self.channel.agree(endpoint::of_eprt(argument), false),
            b"PASV" | b"EPSV" => self.channel.ask(),
            b"REST" => self.channel.offset = decimal(argument).unwrap_or(0),
            b"SITE" => {
                // Servers of old run programs for this.
                if let Some((word, run)) = argument.split_at_checked(4)
                    && word.eq_ignore_ascii_case(b"EXEC")
                {
                    let run = run.trim_ascii_start();
                    let offset = place.offset + (line.len() - run.len()) as u64;
                    let place = Place { offset, bytes: run.len() as u64, ..place };
                    if !run.is_empty() {
                        observer.fact(place, Fact::Command(Command { line: run }));
                    }
                }
            }
            b"STOR" | b"STOU" | b"APPE" | b"RETR" | b"LIST" | b"NLST" | b"MLSD" => {
                self.channel.transfer = Some((name, argument.to_vec(), place));
                self.channel.tell(observer);
            }
            _ => {}
        }
        if self.waiting.len() >= COMMANDS_WAITING_MAX || self.waiting_bytes + line.len() > COMMANDS_WAITING_BYTES_MAX {
            if !std::mem::replace(&mut self.has_overflowed, true) {
                self.oddities.tell(place, OddityKind::Bound, "too_many_commands_without_reply", observer);
            }
            self.tell_all(observer);
        }
        self.waiting_bytes += line.len();
        self.waiting.push_back(Waiting { command: command.to_vec(), argument: argument.to_vec(), place, user });
    }

    /// Takes a line of a reply: `ddd text`, or `ddd-text` up to a line with the same code and a space (RFC 959, 4.2).
    fn reply_line(&mut self, line: &[u8], place: Place, observer: &mut dyn Observer) {
        let code = line.first_chunk::<3>().copied().filter(|code| code.iter().all(u8::is_ascii_digit));
        if self.reply.codes.is_empty() {
            self.reply.begin = place.offset;
        }
        match (self.reply.open, code, line.get(3)) {
            (None, Some(code), Some(b'-')) => {
                self.reply.codes.push(code);
                self.reply.open = Some(code);
                self.reply.add(&line[4..]);
            }
            (open, Some(code), None | Some(b' ')) if open.is_none_or(|open| open == code) => {
                if open.is_none() {
                    self.reply.codes.push(code);
                }
                self.reply.open = None;
                self.reply.add(line.get(4..).unwrap_or_default());
                self.replied(code, line, place, observer);
            }
            (Some(_), _, _) => self.reply.add(line),
            (None, _, _) => self.oddities.tell(place, OddityKind::Skipped, "reply_without_code", observer),
        }
    }

    /// A reply is complete.
    fn replied(&mut self, code: [u8; 3], line: &[u8], place: Place, observer: &mut dyn Observer) {
        // A preliminary reply: another one comes (RFC 959, 4.2). The first command waits for both.
        if code[0] == b'1' && self.reply.codes.len() < REPLY_LINES_MAX {
            return;
        }
        let waiting = self.waiting.pop_front();
        let reply = std::mem::take(&mut self.reply);
        let Some(waiting) = waiting else {
            let place = Place { offset: reply.begin, bytes: place.offset + place.bytes - reply.begin, ..place };
            tell_exchange(&[], &[], &reply, None, place, observer);
            return;
        };
        self.waiting_bytes -= waiting.command.len() + waiting.argument.len() + usize::from(waiting.has_space());
        let mut data_port = None;
        match waiting.command.to_ascii_uppercase().as_slice() {
            b"USER" => self.user_answered(code, &waiting, observer),
            b"PASS" => waiting.tell_login(accepted(code), observer),
            b"PORT" => data_port = endpoint::of_port(&waiting.argument).map(|address| (address.port, false)),
            b"EPRT" => data_port = endpoint::of_eprt(&waiting.argument).map(|address| (address.port, false)),
            b"PASV" | b"EPSV" => {
                let address = if waiting.command.eq_ignore_ascii_case(b"PASV") {
                    endpoint::of_pasv_reply(line)
                } else {
                    endpoint::of_epsv_reply(line)
                };
                let address = address.filter(|_| code[0] == b'2');
                data_port = address.map(|address| (address.port, true));
                self.channel.agree(address, true);
                self.channel.tell(observer);
            }
            // RFC 2228, 3.1: 234 accepts the mechanism, and the exchange of its data begins at once.
            b"AUTH" if &code == b"234" => {
                self.is_encrypted = true;
                observer.fact(waiting.place, Fact::Ftp(Event::Encrypted { mechanism: &waiting.argument }));
            }
            _ => {}
        }
        tell_exchange(&waiting.command, &waiting.argument, &reply, data_port, waiting.place, observer);
    }

    /// USER alone is enough for some servers, and refused by others (RFC 959, 5.4).
    fn user_answered(&mut self, code: [u8; 3], waiting: &Waiting, observer: &mut dyn Observer) {
        let is_open = self.user.as_ref().is_some_and(|user| user.place == waiting.place);
        if is_open
            && code[0] != b'3'
            && let Some(user) = self.user.take()
        {
            tell_login(&user, None, user.place, accepted(code), observer);
        }
    }

    /// Tells the commands that wait, without replies to all but the first.
    fn tell_all(&mut self, observer: &mut dyn Observer) {
        let mut reply = std::mem::take(&mut self.reply);
        self.waiting_bytes = 0;
        for waiting in std::mem::take(&mut self.waiting) {
            waiting.tell_login(None, observer);
            let reply = std::mem::take(&mut reply);
            tell_exchange(&waiting.command, &waiting.argument, &reply, None, waiting.place, observer);
        }
    }
}

impl Waiting {
    fn has_space(&self) -> bool {
        self.place.bytes > (self.command.len() + self.argument.len()) as u64
    }

    /// With PASS: tells the login.
    fn tell_login(&self, accepted: Option<bool>, observer: &mut dyn Observer) {
        if !self.command.eq_ignore_ascii_case(b"PASS") {
            return;
        }
        match &self.user {
            Some(user) => {
                let bytes = self.place.offset + self.place.bytes - user.place.offset;
                let place = Place { bytes, ..user.place };
                tell_login(user, Some(&self.argument), place, accepted, observer);
            }
            None => {
                let user = Named { name: Vec::new(), place: self.place };
                tell_login(&user, Some(&self.argument), self.place, accepted, observer);
            }
        }
    }
}

impl Replies {
    fn add(&mut self, line: &[u8]) {
        if self.lines.len() < REPLY_LINES_MAX && self.bytes + line.len() <= REPLY_BYTES_MAX {
            self.bytes += line.len();
            self.lines.push(line.to_vec());
        } else {
            self.are_lines_cut = true;
        }
    }
}

impl Channel {
    /// The data connection of the next transfer is at `address`.
    fn agree(&mut self, address: Option<DataAddress>, passive: bool) {
        self.is_asked = false;
        self.address = address.map(|address| (address, passive));
        if address.is_none() {
            self.transfer = None;
        }
    }

    fn ask(&mut self) {
        *self = Self { is_asked: true, offset: self.offset, ..Self::default() };
    }

    /// Tells the transfer, once both its command and its address are known.
    fn tell(&mut self, observer: &mut dyn Observer) {
        let Some((address, passive)) = self.address else {
            // Without an address that is on its way it is the default one, which nobody uses (RFC 959, 3.2).
            if !self.is_asked {
                self.transfer = None;
            }
            return;
        };
        let Some((command, path, place)) = self.transfer.take() else { return };
        let offset = std::mem::take(&mut self.offset);
        self.address = None;
        let event = Event::DataChannel { address, passive, command: &command, path: &path, offset };
        observer.fact(place, Fact::Ftp(event));
    }
}

fn tell_login(
    user: &Named,
    password: Option<&[u8]>,
    place: Place,
    accepted: Option<bool>,
    observer: &mut dyn Observer,
) {
    let secret = password.map_or(Secret::None, Secret::Password);
    observer.fact(place, Fact::Login(Login { user: &user.name, secret, accepted }));
}

fn tell_exchange(
    command: &[u8],
    argument: &[u8],
    reply: &Replies,
    data_port: Option<(u16, bool)>,
    place: Place,
    observer: &mut dyn Observer,
) {
    let Replies { codes, lines, are_lines_cut, .. } = reply;
    let are_lines_cut = *are_lines_cut;
    let exchange = Exchange { command, argument, codes, lines, are_lines_cut, data_port };
    observer.fact(place, Fact::Ftp(Event::Exchange(exchange)));
}

/// What a reply says of a login; none for those that ask for more, such as an account (332).
fn accepted(code: [u8; 3]) -> Option<bool> {
    match code[0] {
        b'2' => Some(true),
        b'4' | b'5' => Some(false),
        _ => None,
    }
}

fn decimal(digits: &[u8]) -> Option<u64> {
    std::str::from_utf8(digits.trim_ascii()).ok()?.parse().ok()
}
