//! A conversation: messages are cut out of what a client says, one after the other, and each is answered.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::files::{FileTime, Files};
use super::login::bytes_of_seed;
use super::opens::{Opens, Tree};
use super::signing::{Preauth, Signer};
use super::status::Status;
use super::wire::{Out, length_u32};
use super::{Dialect, Smb, shares, v1, v2};

/// The longest message, in bytes: what the 17 bits of the session service can say (RFC 1002, 4.3.1). Writes and reads are
/// offered up to half of it. A client that says more is cut off.
const MESSAGE_BYTES_MAX: usize = 0x1_FFFF;

const SESSION_HEADER_BYTES: usize = 4;

/// The most that a READ or WRITE may carry, and that is told of a directory at once, in bytes.
pub(super) const TRANSFER_BYTES_MAX: usize = 64 * 1024;

/// Shares that a client may be connected to at a time.
const TREES_MAX: usize = 32;

/// Sessions that a client may have in one connection.
const SESSIONS_MAX: usize = 16;

/// A client asks for a session, which is granted (RFC 1002, 4.3.2 and 4.3.3); it keeps the connection alive.
const SESSION_MESSAGE: u8 = 0x00;
const SESSION_REQUEST: u8 = 0x81;
const SESSION_KEEP_ALIVE: u8 = 0x85;
const SESSION_GRANTED: &[u8] = &[0x82, 0, 0, 0];

/// The conversation cannot go on.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Broken;

/// A conversation with one client.
///
/// It holds, at worst: 128 KiB of a message that is not whole and one read behind it, 16 MiB of contents of files (and
/// 128 MiB for all connections of a persona), 160 KiB of listings, and 8 pipes with 48 KiB of answers each. A client that
/// logs in and lists has some kilobytes.
pub(super) struct Server {
    pub(super) persona: Arc<Smb>,
    input: Vec<u8>,
    /// How much of it was answered.
    input_used: usize,
    /// Who the server is.
    pub(super) guid: [u8; 16],
    pub(super) salt: [u8; 32],
    pub(super) challenge: [u8; 8],
    pub(super) began: FileTime,
    pub(super) now: FileTime,
    /// What was negotiated; none before.
    pub(super) dialect: Option<Dialect>,
    /// What a client of SMB2 may ask for before it is answered.
    pub(super) credits: u16,
    /// What was said when SMB 3.1.1 was negotiated.
    pub(super) preauth: Preauth,
    sessions: BTreeMap<u64, Session>,
    trees: BTreeMap<u32, Tree>,
    next_id: u16,
    pub(super) files: Files,
    pub(super) opens: Opens,
    /// Listings of SMB1 that are not over.
    pub(super) searches: v1::Searches,
}

/// A client that logs in or has logged in.
#[derive(Default)]
pub(super) struct Session {
    is_in: bool,
    /// What was said up to the end of the login.
    pub(super) preauth: Preauth,
    /// None for a guest.
    pub(super) signer: Option<Signer>,
    /// The client has said that it takes signed messages only; so does the server then (MS-SMB2, 3.3.5.5.3).
    pub(super) must_sign: bool,
}

impl Server {
    pub(super) fn new(persona: Arc<Smb>, seed: u64, now_us: i64) -> Self {
        let now = FileTime::of_micros(now_us);
        // A server is the same for everybody; what it challenges with is not.
        let name_seed = persona.server_name.bytes().fold(7, |seed: u64, byte| seed.wrapping_mul(31) ^ u64::from(byte));
        Self {
            input: Vec::new(),
            input_used: 0,
            guid: bytes_of_seed(name_seed, b"guid"),
            salt: bytes_of_seed(seed, b"salt"),
            challenge: bytes_of_seed(seed, b"challenge"),
            began: now,
            now,
            dialect: None,
            credits: 1,
            preauth: Preauth::default(),
            sessions: BTreeMap::new(),
            trees: BTreeMap::new(),
            next_id: 0,
            files: Files::new(&persona.shares, persona.memory.clone(), now),
            opens: Opens::new(),
            searches: v1::Searches::default(),
            persona,
        }
    }

    /// Takes what the client says. [`turn`](Self::turn) is to be called until it has nothing more, before the next piece.
    pub(super) fn take(&mut self, bytes: &[u8]) {
        self.input.drain(..std::mem::take(&mut self.input_used));
        self.input.extend_from_slice(bytes);
    }

    /// The answer to the next message; none when there is no whole one. Empty for a message that has no answer.
    pub(super) fn turn(&mut self, now_us: i64) -> Option<Result<Vec<u8>, Broken>> {
        self.now = FileTime::of_micros(now_us);
        let waiting = self.input.get(self.input_used..)?;
        let [kind, high, middle, low] = *waiting.first_chunk()?;
        let length = u32::from_be_bytes([0, high, middle, low]) as usize;
        if length > MESSAGE_BYTES_MAX {
            return Some(Err(Broken));
        }
        if waiting.len() < SESSION_HEADER_BYTES + length {
            return None;
        }
        let start = self.input_used + SESSION_HEADER_BYTES;
        self.input_used = start + length;
        Some(match kind {
            SESSION_MESSAGE => {
                let input = std::mem::take(&mut self.input);
                let answer = self.message(&input[start..start + length]);
                self.input = input;
                answer.map(|answer| framed(&answer))
            }
            SESSION_REQUEST => Ok(SESSION_GRANTED.to_vec()),
            SESSION_KEEP_ALIVE => Ok(Vec::new()),
            _ => Err(Broken),
        })
    }

    fn message(&mut self, message: &[u8]) -> Result<Vec<u8>, Broken> {
        match message {
            [0xFE, b'S', b'M', b'B', ..] if self.persona.dialect_max > Dialect::Nt1 => v2::answer(self, message),
            [0xFF, b'S', b'M', b'B', ..] => v1::answer(self, message),
            _ => Err(Broken),
        }
    }

    /// Begins a session that is not let in yet.
    pub(super) fn begin_session(&mut self) -> Result<u16, Status> {
        if self.sessions.len() >= SESSIONS_MAX {
            return Err(Status::REQUEST_NOT_ACCEPTED);
        }
        let id = self.fresh_id(|server, id| server.sessions.contains_key(&u64::from(id)));
        self.sessions.insert(id.into(), Session { preauth: self.preauth.clone(), ..Session::default() });
        Ok(id)
    }

    pub(super) fn has_session(&self, id: u64) -> bool {
        self.sessions.contains_key(&id)
    }

    pub(super) fn session(&self, id: u64) -> Option<&Session> {
        self.sessions.get(&id)
    }

    pub(super) fn session_mut(&mut self, id: u64) -> Option<&mut Session> {
        self.sessions.get_mut(&id)
    }

    pub(super) fn let_in(&mut self, id: u64) {
        self.sessions.entry(id).or_default().is_in = true;
    }

    pub(super) fn is_in(&self, id: u64) -> bool {
        self.sessions.get(&id).is_some_and(|session| session.is_in)
    }

    pub(super) fn end_session(&mut self, id: u64) {
        self.sessions.remove(&id);
    }

    /// Connects a share, such as `\\host\share`.
    pub(super) fn connect(&mut self, path: &str) -> Result<(u16, Tree), Status> {
        let name = path.rsplit(['\\', '/']).next().unwrap_or("");
        let folded = name.to_lowercase();
        let tree = match self.persona.shares.iter().position(|share| share.name.to_lowercase() == folded) {
            Some(index) => Tree::Disk(index),
            None if name.eq_ignore_ascii_case(shares::PIPES) => Tree::Pipes,
            None => return Err(Status::BAD_NETWORK_NAME),
        };
        if self.trees.len() >= TREES_MAX {
            return Err(Status::INSUFFICIENT_RESOURCES);
        }
        let id = self.fresh_id(|server, id| server.trees.contains_key(&u32::from(id)));
        self.trees.insert(id.into(), tree);
        Ok((id, tree))
    }

    pub(super) fn tree(&self, id: u32) -> Option<Tree> {
        self.trees.get(&id).copied()
    }

    pub(super) fn disconnect(&mut self, id: u32) -> bool {
        self.trees.remove(&id).is_some()
    }

    /// An id that is not in use. There are far fewer in use than 65,534.
    fn fresh_id(&mut self, is_used: impl Fn(&Self, u16) -> bool) -> u16 {
        loop {
            self.next_id = self.next_id % 0xFFFE + 1;
            if !is_used(self, self.next_id) {
                return self.next_id;
            }
        }
    }
}

/// A message behind the header of the session service; nothing for no message.
fn framed(message: &[u8]) -> Vec<u8> {
    if message.is_empty() {
        return Vec::new();
    }
    let mut out = Out::new();
    out.bytes(&length_u32(message.len()).to_be_bytes()).bytes(message);
    out.take()
}
