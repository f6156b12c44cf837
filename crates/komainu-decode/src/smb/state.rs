//! What one message leaves behind for later ones: requests without an answer, open files, connected shares.

use std::borrow::Cow;
use std::collections::VecDeque;

use super::bytes::{narrow_string, utf8_of_wide, wide_string};
use super::event::{Command, Detail, Dialect, Event, Exchange, Mechanism, Status, Target};
use super::rpc;
use super::transfer::{Sink, Transfers, Way};
use super::{v1, v2};
use crate::oddities::Oddities;
use crate::{Fact, Login, Observer, OddityKind, Place, Secret};

/// How many requests wait for their answers: servers grant up to 8,192 at a time, clients use a few dozen. The oldest is
/// told without an answer when there are more.
const REQUESTS_MAX: usize = 128;

/// How many bytes of names and proofs the waiting requests keep, together.
const REQUESTS_BYTES_MAX: usize = 64 * 1024;

/// How many shares are remembered; the oldest is forgotten.
const TREES_MAX: usize = 32;

/// How much of the path of a share is remembered, in bytes: names of hosts have at most 255, names of shares 80.
const SHARE_BYTES_MAX: usize = 512;

/// How much of a name is kept, in bytes as it was sent. Paths on Windows have at most 260 UTF-16 units, unless a program
/// asks for more; on Linux 4,096 bytes.
pub(super) const NAME_BYTES_MAX: usize = 4096;

/// How much of a proof is kept, in bytes. NTLMv2 responses have a few hundred.
const PROOF_BYTES_MAX: usize = 4096;

/// Which answer belongs to which request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Key {
    pub(super) command: Command,
    pub(super) message_id: u64,
}

/// How an open file is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Handle {
    /// SMB1's FID.
    V1(u16),
    /// SMB2's FileId.
    V2([u8; 16]),
    /// What a CREATE with this message id opens (MS-SMB2, 3.3.5.2.7.2).
    Created(u64),
}

/// A request that waits for its answer.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) place: Place,
    pub(super) handle: Option<Handle>,
    pub(super) exchange: Exchange<'static>,
}

impl Request {
    pub(super) fn key(&self) -> Key {
        Key { command: self.exchange.command, message_id: self.exchange.message_id }
    }
}

#[derive(Debug)]
struct Tree {
    id: u32,
    share: Vec<u8>,
    is_pipe: bool,
}

#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) oddities: Oddities,
    pub(super) transfers: Transfers,
    requests: VecDeque<Request>,
    requests_bytes: usize,
    trees: VecDeque<Tree>,
    pub(super) dialect: Option<Dialect>,
    /// Whether the server wants passwords in the clear (SMB1).
    pub(super) is_plain_text: Option<bool>,
    /// The last challenge of the server.
    pub(super) challenge: Option<[u8; 8]>,
    /// What the next request of a compound takes over (SMB2).
    pub(super) related: v2::Related,
}

impl State {
    /// Keeps a request until its answer comes.
    pub(super) fn ask(&mut self, mut request: Request, observer: &mut dyn Observer) {
        if let Detail::SessionSetup(setup) = &mut request.exchange.detail
            && setup.proof.len() > PROOF_BYTES_MAX
        {
            setup.proof.to_mut().truncate(PROOF_BYTES_MAX);
            self.oddities.tell(request.place, OddityKind::Bound, "proof_too_long", observer);
        }
        self.requests_bytes += kept_bytes(&request.exchange.detail);
        self.requests.push_back(request);
        while self.requests.len() > REQUESTS_MAX || self.requests_bytes > REQUESTS_BYTES_MAX {
            let Some(oldest) = self.requests.pop_front() else { break };
            self.requests_bytes -= kept_bytes(&oldest.exchange.detail);
            self.oddities.tell(oldest.place, OddityKind::Bound, "too_many_requests", observer);
            self.tell(oldest, observer);
        }
    }

    /// Takes the request that an answer belongs to.
    pub(super) fn take(&mut self, key: Key) -> Option<Request> {
        let at = self.requests.iter().position(|request| request.key() == key)?;
        let request = self.requests.remove(at)?;
        self.requests_bytes -= kept_bytes(&request.exchange.detail);
        Some(request)
    }

    /// Takes the request that a later block of an answer's chain belongs to, or what is left of a chain (SMB1).
    pub(super) fn take_v1(&mut self, message_id: u64) -> Option<Request> {
        let is_it = |request: &Request| {
            request.exchange.message_id == message_id && matches!(request.exchange.command, Command::V1(_))
        };
        let at = self.requests.iter().position(is_it)?;
        self.take(self.requests.get(at)?.key())
    }

    /// Takes a negotiation in the manner of SMB1, which SMB2 may answer.
    pub(super) fn take_negotiate(&mut self) -> Option<Request> {
        let negotiate = Command::V1(v1::NEGOTIATE);
        let request = self.requests.iter().find(|request| request.exchange.command == negotiate)?;
        self.take(request.key())
    }

    /// The request that an answer will belong to.
    pub(super) fn asked(&self, key: Key) -> Option<&Request> {
        self.requests.iter().find(|request| request.key() == key)
    }

    /// Tells an exchange, and the login that it is.
    pub(super) fn tell(&mut self, request: Request, observer: &mut dyn Observer) {
        let Request { place, mut exchange, .. } = request;
        if self.transfers.take_forgotten() {
            self.oddities.tell(place, OddityKind::Bound, "too_many_open_files", observer);
        }
        exchange.dialect = self.dialect;
        if let Detail::SessionSetup(setup) = &exchange.detail
            && let Some(mechanism) = setup.mechanism
            && exchange.status != Some(MORE_PROCESSING_REQUIRED)
        {
            let secret = match mechanism {
                _ if setup.is_guest || setup.is_anonymous => Secret::None,
                Mechanism::Kerberos => Secret::Response { mechanism: "kerberos", bytes: &setup.proof },
                _ if setup.proof.is_empty() && setup.user.is_empty() => Secret::None,
                Mechanism::Plain => Secret::Password(&setup.proof),
                Mechanism::Ntlm => Secret::Response { mechanism: "ntlm", bytes: &setup.proof },
                Mechanism::Ntlmssp => Secret::Response { mechanism: "ntlmssp", bytes: &setup.proof },
            };
            let accepted = exchange.status.map(Status::is_success);
            observer.fact(place, Fact::Login(Login { user: &setup.user, secret, accepted }));
        }
        observer.fact(place, Fact::Smb(Event::Exchange(exchange)));
    }

    /// Tells what waits, and ends all files.
    pub(super) fn end(&mut self, observer: &mut dyn Observer) {
        while let Some(request) = self.requests.pop_front() {
            self.tell(request, observer);
        }
        self.requests_bytes = 0;
        self.transfers.end(observer);
    }

    /// Remembers a share.
    pub(super) fn connect(&mut self, id: u32, path: &[u8], is_pipe: bool) {
        self.disconnect(id);
        if self.trees.len() == TREES_MAX {
            self.trees.pop_front();
        }
        let share = path[..path.len().min(SHARE_BYTES_MAX)].to_vec();
        self.trees.push_back(Tree { id, share, is_pipe: is_pipe || is_ipc(path) });
    }

    /// Forgets a share.
    pub(super) fn disconnect(&mut self, id: u32) {
        self.trees.retain(|tree| tree.id != id);
    }

    /// The share, as it was connected, and what `name` means on it.
    pub(super) fn share_of(&self, tree_id: u32, name: &[u8]) -> (Cow<'static, [u8]>, Target) {
        match self.trees.iter().find(|tree| tree.id == tree_id) {
            None => (Cow::Borrowed(&[]), Target::File),
            Some(tree) if !tree.is_pipe => (tree.share.clone().into(), Target::File),
            Some(tree) if is_path(name) => (tree.share.clone().into(), Target::PipePath),
            Some(tree) => (tree.share.clone().into(), Target::Pipe),
        }
    }

    /// A text as it is kept and told: UTF-8, up to a bound.
    pub(super) fn text(
        &mut self,
        raw: &[u8],
        is_wide: bool,
        place: Place,
        observer: &mut dyn Observer,
    ) -> Cow<'static, [u8]> {
        let kept = &raw[..raw.len().min(NAME_BYTES_MAX)];
        if kept.len() < raw.len() {
            self.oddities.tell(place, OddityKind::Bound, "name_too_long", observer);
        }
        if is_wide { utf8_of_wide(kept).into() } else { kept.to_vec().into() }
    }

    /// A text that ends with NUL, and what is behind it.
    pub(super) fn string<'a>(
        &mut self,
        bytes: &'a [u8],
        is_wide: bool,
        place: Place,
        observer: &mut dyn Observer,
    ) -> (Cow<'static, [u8]>, &'a [u8]) {
        let (raw, rest) = if is_wide { wide_string(bytes) } else { narrow_string(bytes) };
        (self.text(raw, is_wide, place, observer), rest)
    }

    /// Tells the calls in what a pipe carried; `place` is theirs.
    pub(super) fn rpc(&mut self, bytes: &[u8], place: Place, pipe: &[u8], observer: &mut dyn Observer) {
        for call in rpc::fragments(bytes, pipe) {
            observer.fact(place, Fact::Smb(Event::Rpc(call)));
        }
    }

    /// Begins to carry bytes of a file. None when the handle is that of a pipe.
    pub(super) fn carry(
        &mut self,
        handle: Handle,
        way: Way,
        offset: u64,
        place: Place,
        observer: &mut dyn Observer,
    ) -> Option<Sink> {
        self.transfers.begin(handle, way, offset, place, &mut self.oddities, observer)
    }
}

/// The status that asks for another round of a login.
pub(super) const MORE_PROCESSING_REQUIRED: Status = Status::Nt(0xC000_0016);

/// What a request keeps on the heap.
fn kept_bytes(detail: &Detail<'_>) -> usize {
    match detail {
        Detail::Negotiate(negotiate) => {
            negotiate.names.iter().map(|name| name.len() + size_of::<Cow<'_, [u8]>>()).sum::<usize>()
                + 2 * negotiate.revisions.len()
        }
        Detail::SessionSetup(setup) => {
            size_of_val(&**setup)
                + [&setup.user, &setup.domain, &setup.workstation, &setup.proof, &setup.native_os, &setup.native_lm]
                    .into_iter()
                    .map(|text| text.len())
                    .sum::<usize>()
        }
        Detail::TreeConnect { path, service_asked, .. } => path.len() + service_asked.len(),
        Detail::Open(open) => size_of_val(&**open) + open.share.len() + open.name.len(),
        Detail::Close { name } | Detail::SetInfo { name, .. } | Detail::Path { name } => name.len(),
        Detail::Rename { from, to } => from.len() + to.len(),
        Detail::Find { pattern, directory } => pattern.len() + directory.len(),
        Detail::Transaction { name, .. } => name.len(),
        Detail::Read { .. } | Detail::Write { .. } | Detail::Control { .. } | Detail::Other => 0,
    }
}

/// Whether a share is the one for named pipes.
fn is_ipc(path: &[u8]) -> bool {
    let name = path.rsplit(|byte| *byte == b'\\' || *byte == b'/').next().unwrap_or_default();
    name.eq_ignore_ascii_case(b"IPC$")
}

/// Whether what is asked for on the share of named pipes is a path. A name of a pipe may have `\` or `\PIPE\` in front of
/// it; whatever has a separator behind that is a path, and so is what has the separator of Unix anywhere.
fn is_path(name: &[u8]) -> bool {
    let name = name.strip_prefix(b"\\").unwrap_or(name);
    let name = match name.split_at_checked(5) {
        Some((prefix, rest)) if prefix.eq_ignore_ascii_case(b"PIPE\\") => rest,
        _ => name,
    };
    name.iter().any(|byte| matches!(byte, b'/' | b'\\'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_no_name_of_a_pipe() {
        for pipe in [&b"srvsvc"[..], b"\\srvsvc", b"\\PIPE\\srvsvc", b"\\pipe\\spoolss", b""] {
            assert!(!is_path(pipe), "{}", pipe.escape_ascii());
        }
        for path in [&b"/data/share/a.so"[..], b"\\PIPE\\/data/a.so", b"\\data\\a.so", b"\\PIPE\\data\\a.so"] {
            assert!(is_path(path), "{}", path.escape_ascii());
        }
    }

    #[test]
    fn the_share_of_pipes_is_known_by_its_name() {
        assert!(is_ipc(b"\\\\192.0.2.1\\ipc$"));
        assert!(is_ipc(b"IPC$"));
        assert!(!is_ipc(b"\\\\host\\files"));
    }
}
