//! Redis' serialisation protocol (redis.io, "Redis serialization protocol specification", RESP2 and RESP3): commands,
//! logins, errors, and the file that a replica is sent.
//!
//! Large values are not kept: of each argument its beginning is told, and its length. Replies are skipped by their
//! structure. A server that makes another its replica sends it a database file; with a rogue one that is a program, so
//! it is told as a file.
//!
//! The state of a flow is bounded: the beginnings of [`ARGUMENTS_MAX`] arguments (8 KiB), an inline command or a line
//! of a reply (4 KiB each), [`COMMANDS_WAITING_MAX`] commands without a reply (16 bytes each, and 2 KiB for each of at
//! most [`LOGINS_WAITING_MAX`] logins): about 60 KiB, and less than 1 KiB for a flow that behaves.

mod reply;
mod request;

use std::collections::VecDeque;

use reply::{Replies, Top};
use request::Requests;

use crate::oddities::Oddities;
use crate::{Command, Decoder, Fact, Login, Observer, OddityKind, Place, Secret, Side};

/// The number of arguments of a command that are told, its name not counted.
pub const ARGUMENTS_MAX: usize = 8;

/// The bytes of an argument that are told: a line for a crontab, a key for a login, the beginning of a script.
pub const ARGUMENT_BYTES_MAX: usize = 1024;

/// The longest line that is understood, in bytes: an inline command, an error.
pub const LINE_BYTES_MAX: usize = 4096;

/// The number of commands that may wait for their replies. When there are more, replies are not paired any more.
pub const COMMANDS_WAITING_MAX: usize = 1024;

/// The number of logins that may wait for their replies.
pub const LOGINS_WAITING_MAX: usize = 8;

/// What only this protocol has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event<'a> {
    /// A command.
    Command {
        /// Its name, as it was sent.
        name: &'a [u8],
        /// Its first arguments, at most [`ARGUMENTS_MAX`].
        arguments: &'a [Argument],
        /// How many arguments it has.
        arguments_count: u64,
    },
    /// The server answered with an error.
    Error {
        /// The kind and the message, such as `NOAUTH Authentication required.`, at most [`LINE_BYTES_MAX`] bytes.
        message: &'a [u8],
    },
}

/// An argument of a command.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Argument {
    /// Its beginning, at most [`ARGUMENT_BYTES_MAX`] bytes.
    pub begin: Vec<u8>,
    /// How long it is, in bytes.
    pub bytes: u64,
}

/// Reads one flow.
#[derive(Debug, Default)]
pub struct Reader {
    requests: Requests,
    replies: Replies,
    waiting: VecDeque<Option<Box<Waiting>>>,
    /// Replies are not paired with commands: some were lost, or they come without being asked for.
    is_unpaired: bool,
    oddities: Oddities,
}

/// A command of whose reply more is to be told.
#[derive(Debug)]
enum Waiting {
    Login {
        user: Vec<u8>,
        password: Vec<u8>,
        place: Place,
    },
    /// PSYNC or SYNC: a file may follow.
    Replicate,
}

impl Decoder for Reader {
    fn data(&mut self, side: Side, bytes: &[u8], observer: &mut dyn Observer) {
        let Self { requests, replies, waiting, is_unpaired, oddities } = self;
        match side {
            Side::Client => requests.take(bytes, oddities, observer, &mut |words, count, place, oddities, observer| {
                tell_command(words, count, place, observer);
                let next = waits_for(words, place);
                if *is_unpaired {
                    tell_unanswered(next.as_ref(), observer);
                    return;
                }
                let logins = waiting.iter().flatten().count();
                let is_full = waiting.len() >= COMMANDS_WAITING_MAX || (next.is_some() && logins >= LOGINS_WAITING_MAX);
                if is_full {
                    oddities.tell(place, OddityKind::Bound, "too_many_commands_without_reply", observer);
                }
                // The answers to these are not one for each command.
                if is_full || is_subscription(words) {
                    *is_unpaired = true;
                    for waiting in waiting.drain(..).flatten() {
                        tell_unanswered(Some(&waiting), observer);
                    }
                    tell_unanswered(next.as_ref(), observer);
                    return;
                }
                waiting.push_back(next.map(Box::new));
            }),
            Side::Server => replies.take(bytes, oddities, observer, &mut |top, place, observer| {
                if let Top::Error(message) = top {
                    observer.fact(place, Fact::Redis(Event::Error { message }));
                }
                match waiting.pop_front().flatten().as_deref() {
                    Some(Waiting::Login { user, password, place }) => {
                        tell_login(user, password, top.accepts(), *place, observer);
                        false
                    }
                    Some(Waiting::Replicate) => top.announces_file(),
                    None => false,
                }
            }),
        }
    }

    fn gap(&mut self, side: Side, bytes: u64, observer: &mut dyn Observer) {
        let is_within = match side {
            Side::Client => self.requests.gap(bytes, &mut self.oddities, observer),
            Side::Server => self.replies.gap(bytes, &mut self.oddities, observer),
        };
        if !is_within {
            self.unpair(observer);
        }
    }

    fn finish(&mut self, _: Side, _: &mut dyn Observer) {}

    fn end(&mut self, observer: &mut dyn Observer) {
        self.requests.end(&mut self.oddities, observer);
        self.replies.end(observer);
        self.unpair(observer);
    }
}

impl Reader {
    /// Gives up pairing replies with commands.
    fn unpair(&mut self, observer: &mut dyn Observer) {
        self.is_unpaired = true;
        for waiting in self.waiting.drain(..).flatten() {
            tell_unanswered(Some(&waiting), observer);
        }
    }
}

fn tell_command(words: &[Argument], count: u64, place: Place, observer: &mut dyn Observer) {
    let Some((name, arguments)) = words.split_first() else { return };
    let arguments_count = count.saturating_sub(1);
    observer.fact(place, Fact::Redis(Event::Command { name: &name.begin, arguments, arguments_count }));
    // What the best-known rogue module adds.
    if name.begin.eq_ignore_ascii_case(b"system.exec")
        && let Some(Argument { begin: line, .. }) = arguments.first()
    {
        observer.fact(place, Fact::Command(Command { line }));
    }
}

fn is_subscription(words: &[Argument]) -> bool {
    const NAMES: [&[u8]; 5] = [b"SUBSCRIBE", b"PSUBSCRIBE", b"SSUBSCRIBE", b"MONITOR", b"CLIENT"];
    let Some((name, arguments)) = words.split_first() else { return false };
    let is_reply_switch = arguments.first().is_some_and(|word| word.begin.eq_ignore_ascii_case(b"REPLY"));
    NAMES.iter().any(|subscription| {
        name.begin.eq_ignore_ascii_case(subscription) && (*subscription != b"CLIENT" || is_reply_switch)
    })
}

/// What is to be told of the reply to a command.
fn waits_for(words: &[Argument], place: Place) -> Option<Waiting> {
    let (name, arguments) = words.split_first()?;
    let is = |word: &Argument, name: &str| word.begin.eq_ignore_ascii_case(name.as_bytes());
    let login = |user: &[u8], password: &Argument| {
        let (user, password) = (user.to_vec(), password.begin.clone());
        Some(Waiting::Login { user, password, place })
    };
    match arguments {
        [password] if is(name, "AUTH") => login(&[], password),
        [user, password, ..] if is(name, "AUTH") => login(&user.begin, password),
        // `HELLO 3 AUTH user password SETNAME name` in any order.
        [_, options @ ..] if is(name, "HELLO") => {
            let at = options.iter().position(|word| is(word, "AUTH"))?;
            let [_, user, password, ..] = options.get(at..)? else { return None };
            login(&user.begin, password)
        }
        _ if is(name, "PSYNC") || is(name, "SYNC") => Some(Waiting::Replicate),
        _ => None,
    }
}

fn tell_unanswered(waiting: Option<&Waiting>, observer: &mut dyn Observer) {
    if let Some(Waiting::Login { user, password, place }) = waiting {
        tell_login(user, password, None, *place, observer);
    }
}

fn tell_login(user: &[u8], password: &[u8], accepted: Option<bool>, place: Place, observer: &mut dyn Observer) {
    observer.fact(place, Fact::Login(Login { user, secret: Secret::Password(password), accepted }));
}
