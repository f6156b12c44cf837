//! SMB2 and SMB3 (MS-SMB2).

use super::files::{FileTime, Files, Stat};
use super::listing::Listing;
use super::login::{self, Step, Visitor};
use super::opens::{Handle, Open, Tree, Wish};
use super::server::{Broken, Server, TRANSFER_BYTES_MAX};
use super::signing::{SIGNATURE_BYTES, Signer};
use super::status::Status;
use super::wire::{
    Letters, Out, length_u16, length_u32, slice_at, slice_at_u32, text_of_wide, u8_at, u16_at, u32_at, u64_at,
};
use super::{Dialect, info};

/// The length of a header (2.2.1).
const HEADER_BYTES: usize = 64;

/// Requests in one message: clients chain three or four. Those beyond are not answered.
const COMPOUND_MAX: usize = 16;

/// The most that all answers to one message have together, in bytes; what is beyond fails. It is what a chain of reads
/// can ask for at once.
const ANSWERS_BYTES_MAX: usize = 512 * 1024;

/// What a client may ask for before it is answered (3.3.1.2).
const CREDITS_MAX: u16 = 128;

const NEGOTIATE: u16 = 0;
const SESSION_SETUP: u16 = 1;
const LOGOFF: u16 = 2;
const TREE_CONNECT: u16 = 3;
const TREE_DISCONNECT: u16 = 4;
const CREATE: u16 = 5;
const CLOSE: u16 = 6;
const FLUSH: u16 = 7;
const READ: u16 = 8;
const WRITE: u16 = 9;
const LOCK: u16 = 10;
const IOCTL: u16 = 11;
const CANCEL: u16 = 12;
const ECHO: u16 = 13;
const QUERY_DIRECTORY: u16 = 14;
const CHANGE_NOTIFY: u16 = 15;
const QUERY_INFO: u16 = 16;
const SET_INFO: u16 = 17;

/// Flags of a header.
const IS_ANSWER: u32 = 1;
const RELATED: u32 = 4;
const SIGNED: u32 = 8;

/// The FileId of the request before, in a chain (3.3.5.2.7.2).
const SAME_FILE: [u8; 16] = [0xFF; 16];

/// A request that is being answered.
struct Request<'a> {
    /// From its header on, up to the next one.
    bytes: &'a [u8],
    tree_id: u32,
    session_id: u64,
    related: &'a mut Related,
}

/// What a request of a chain takes over from the one before.
#[derive(Debug, Default)]
struct Related {
    session_id: u64,
    tree_id: u32,
    handle: Option<Handle>,
    /// The one before failed with it.
    failed: Option<Status>,
}

/// A whole answer, and who is to sign it.
struct Told {
    bytes: Vec<u8>,
    signer: Option<Signer>,
}

/// The body of an answer, and its status: either nothing went wrong, or there is more to come.
struct Answer {
    status: Status,
    body: Vec<u8>,
}

impl Answer {
    fn ok(mut body: Out) -> Result<Self, Status> {
        Ok(Self { status: Status::OK, body: body.take() })
    }
}

/// Answers a message of one request or several.
pub(super) fn answer(server: &mut Server, message: &[u8]) -> Result<Vec<u8>, Broken> {
    let mut answers = Vec::new();
    let mut related = Related::default();
    let mut rest = message;
    let mut last_at = 0;
    let mut signers = Vec::new();
    for _ in 0..COMPOUND_MAX {
        let next = u32_at(rest, 20).ok_or(Broken)? as usize;
        if rest.len() < HEADER_BYTES {
            return Err(Broken);
        }
        let (bytes, behind) = match next {
            0 => (rest, &[][..]),
            _ if next >= HEADER_BYTES && next <= rest.len() => rest.split_at(next),
            _ => return Err(Broken),
        };
        let room = answers.len() < ANSWERS_BYTES_MAX;
        if let Some(one) = answer_one(server, bytes, &mut related, room)? {
            if !answers.is_empty() {
                // Each begins at a multiple of eight, to which the one before points.
                answers.resize(usize::next_multiple_of(answers.len(), 8), 0);
                let distance = length_u32(answers.len() - last_at).to_le_bytes();
                answers[last_at + 20..last_at + 24].copy_from_slice(&distance);
                last_at = answers.len();
            }
            signers.push((answers.len(), one.signer));
            answers.extend(one.bytes);
        }
        if behind.is_empty() {
            break;
        }
        rest = behind;
    }
    // A signature is of everything up to the next answer.
    let mut end = answers.len();
    for (start, signer) in signers.into_iter().rev() {
        if let Some(signer) = signer {
            signer.sign(&mut answers[start..end]);
        }
        end = start;
    }
    Ok(answers)
}

/// The answer to a negotiation of SMB1 that names dialects of SMB2 (3.3.5.3).
pub(super) fn answer_smb1(server: &mut Server, names_any_dialect: bool) -> Vec<u8> {
    // The wildcard says that the client is to negotiate again, in SMB2.
    const WILDCARD: u16 = 0x02FF;
    let is_wildcard = names_any_dialect && server.persona.dialect_max > Dialect::V202;
    if !is_wildcard {
        server.dialect = Some(Dialect::V202);
    }
    let body = negotiated(server, if is_wildcard { WILDCARD } else { revision(Dialect::V202) }, false);
    let mut out = Out::new();
    let status = Status::OK;
    Head { command: NEGOTIATE, status, credits: 1, flags: 0, message_id: 0, tree_id: 0, session_id: 0 }.write(&mut out);
    out.bytes(&body);
    out.take()
}

/// The header of an answer (2.2.1).
struct Head {
    command: u16,
    status: Status,
    credits: u16,
    flags: u32,
    message_id: u64,
    tree_id: u32,
    session_id: u64,
}

impl Head {
    fn write(&self, out: &mut Out) {
        out.bytes(b"\xFESMB").u16(64).u16(1).u32(self.status.0).u16(self.command).u16(self.credits);
        out.u32(IS_ANSWER | self.flags).u32(0).u64(self.message_id).u32(0).u32(self.tree_id).u64(self.session_id);
        // The signature comes later, if one does.
        out.zeros(SIGNATURE_BYTES);
    }
}

fn answer_one(server: &mut Server, bytes: &[u8], related: &mut Related, room: bool) -> Result<Option<Told>, Broken> {
    let field = |at| u32_at(bytes, at).ok_or(Broken);
    let command = u16_at(bytes, 12).ok_or(Broken)?;
    let wanted = u16_at(bytes, 14).ok_or(Broken)?;
    let charge = u16_at(bytes, 6).ok_or(Broken)?.max(1);
    let flags = field(16)?;
    let message_id = u64_at(bytes, 24).ok_or(Broken)?;
    let (mut tree_id, mut session_id) = (field(36)?, u64_at(bytes, 40).ok_or(Broken)?);
    // It is never answered (3.3.5.16), and nothing waits here that could be cancelled.
    if command == CANCEL {
        return Ok(None);
    }
    if flags & RELATED == 0 {
        *related = Related { session_id, tree_id, ..Related::default() };
    } else {
        (session_id, tree_id) = (related.session_id, related.tree_id);
    }
    server.credits = server.credits.saturating_sub(charge);
    let granted = wanted.clamp(1, CREDITS_MAX).min(CREDITS_MAX.saturating_sub(server.credits).max(1));
    server.credits = server.credits.saturating_add(granted);
    let is_signed = flags & SIGNED != 0;
    let is_allowed = check_signature(server, session_id, command, is_signed, bytes);
    // A session that the request ends signs the answer all the same.
    let signer = server.session(session_id).and_then(|session| session.signer.clone()).filter(|_| is_signed);
    let mut request = Request { bytes, tree_id, session_id, related };
    let done = match room {
        true => is_allowed.and_then(|()| dispatch(server, command, &mut request)),
        false => Err(Status::INSUFFICIENT_RESOURCES),
    };
    let Request { tree_id, session_id, related, .. } = request;
    (related.session_id, related.tree_id) = (session_id, tree_id);
    let mut out = Out::new();
    let status = match &done {
        Ok(answer) => answer.status,
        Err(status) => *status,
    };
    related.failed = done.is_err().then_some(status);
    // The end of a login is signed whether the client asked for it or not (3.3.5.5.3).
    let is_login = command == SESSION_SETUP && status == Status::OK;
    let of_login = server.session(session_id).and_then(|session| session.signer.clone()).filter(|_| is_login);
    let signer = of_login.or(signer);
    let flags = flags & RELATED | if signer.is_some() { SIGNED } else { 0 };
    Head { command, status, credits: granted, flags, message_id, tree_id, session_id }.write(&mut out);
    match done {
        Ok(answer) => drop(out.bytes(&answer.body)),
        // 2.2.2.
        Err(_) => drop(out.u16(9).u8(0).u8(0).u32(0).u8(0)),
    }
    let told = out.take();
    match command {
        NEGOTIATE => {
            server.preauth.add(bytes);
            server.preauth.add(&told);
        }
        SESSION_SETUP if status == Status::MORE_PROCESSING_REQUIRED => {
            if let Some(session) = server.session_mut(session_id) {
                session.preauth.add(&told);
            }
        }
        _ => {}
    }
    Ok(Some(Told { bytes: told, signer }))
}

/// Whether a request of a session that has a key may be answered (3.3.5.2.4).
fn check_signature(server: &Server, id: u64, command: u16, is_signed: bool, bytes: &[u8]) -> Result<(), Status> {
    let Some(session) = server.session(id) else { return Ok(()) };
    let Some(signer) = &session.signer else { return Ok(()) };
    let is_login = matches!(command, NEGOTIATE | SESSION_SETUP);
    match is_signed {
        true if !signer.has_signed(bytes) => Err(Status::ACCESS_DENIED),
        false if session.must_sign && !is_login => Err(Status::ACCESS_DENIED),
        true | false => Ok(()),
    }
}

fn dispatch(server: &mut Server, command: u16, request: &mut Request<'_>) -> Result<Answer, Status> {
    match command {
        NEGOTIATE => return negotiate(server, request),
        SESSION_SETUP => return session_setup(server, request),
        ECHO => return Answer::ok(empty()),
        _ => {}
    }
    if !server.is_in(request.session_id) {
        return Err(Status::USER_SESSION_DELETED);
    }
    match command {
        LOGOFF => {
            server.end_session(request.session_id);
            return Answer::ok(empty());
        }
        TREE_CONNECT => return tree_connect(server, request),
        _ => {}
    }
    let tree = server.tree(request.tree_id).ok_or(Status::NETWORK_NAME_DELETED)?;
    match command {
        TREE_DISCONNECT => {
            server.disconnect(request.tree_id);
            Answer::ok(empty())
        }
        CREATE => create(server, request, tree),
        CLOSE => close(server, request),
        FLUSH => {
            handle(server, request, 8)?;
            Answer::ok(empty())
        }
        READ => read(server, request),
        WRITE => write(server, request),
        LOCK => {
            // Nobody else is there whom a lock could keep out.
            handle(server, request, 8)?;
            Answer::ok(empty())
        }
        IOCTL => control(server, request),
        QUERY_DIRECTORY => query_directory(server, request),
        QUERY_INFO => query_info(server, request, tree),
        SET_INFO => set_info(server, request),
        // As a server without a watch on its files.
        CHANGE_NOTIFY => Err(Status::NOT_SUPPORTED),
        _ => Err(Status::INVALID_PARAMETER),
    }
}

/// The body of most answers that say nothing.
fn empty() -> Out {
    let mut out = Out::new();
    out.u16(4).u16(0);
    out
}

impl<'a> Request<'a> {
    fn u8(&self, at: usize) -> Result<u8, Status> {
        u8_at(self.bytes, HEADER_BYTES + at).ok_or(Status::INVALID_PARAMETER)
    }

    fn u16(&self, at: usize) -> Result<u16, Status> {
        u16_at(self.bytes, HEADER_BYTES + at).ok_or(Status::INVALID_PARAMETER)
    }

    fn u32(&self, at: usize) -> Result<u32, Status> {
        u32_at(self.bytes, HEADER_BYTES + at).ok_or(Status::INVALID_PARAMETER)
    }

    fn u64(&self, at: usize) -> Result<u64, Status> {
        u64_at(self.bytes, HEADER_BYTES + at).ok_or(Status::INVALID_PARAMETER)
    }

    /// What its body points to: an offset from the header, and a length.
    fn part(&self, at: u32, count: u32) -> Result<&'a [u8], Status> {
        if count == 0 {
            return Ok(&[]);
        }
        slice_at_u32(self.bytes, at, count).ok_or(Status::INVALID_PARAMETER)
    }

    fn text(&self, at: usize) -> Result<String, Status> {
        let raw = self.part(self.u16(at)?.into(), self.u16(at + 2)?.into())?;
        Ok(text_of_wide(raw))
    }
}

/// The file that a request is about; `at` is where its body names it.
fn handle(server: &mut Server, request: &mut Request<'_>, at: usize) -> Result<Handle, Status> {
    let id = slice_at(request.bytes, HEADER_BYTES + at, 16).ok_or(Status::INVALID_PARAMETER)?;
    let handle = if id == SAME_FILE {
        if let Some(status) = request.related.failed {
            return Err(status);
        }
        request.related.handle.ok_or(Status::INVALID_PARAMETER)?
    } else {
        handle_of_id(id).ok_or(Status::FILE_CLOSED)?
    };
    server.opens.get(handle)?;
    request.related.handle = Some(handle);
    Ok(handle)
}

/// A FileId has the handle in both of its halves (2.2.14.1).
fn id_of_handle(out: &mut Out, handle: Handle) {
    out.u64(0x5A00_0000 | u64::from(handle.0)).u64(handle.0.into());
}

fn handle_of_id(id: &[u8]) -> Option<Handle> {
    let (first, second) = (u64_at(id, 0)?, u64_at(id, 8)?);
    let handle = u16::try_from(second).ok()?;
    (first == 0x5A00_0000 | second).then_some(Handle(handle))
}

const fn revision(dialect: Dialect) -> u16 {
    match dialect {
        Dialect::Nt1 => 0,
        Dialect::V202 => 0x0202,
        Dialect::V210 => 0x0210,
        Dialect::V300 => 0x0300,
        Dialect::V302 => 0x0302,
        Dialect::V311 => 0x0311,
    }
}

/// 3.3.5.4.
fn negotiate(server: &mut Server, request: &mut Request<'_>) -> Result<Answer, Status> {
    let count = usize::from(request.u16(2)?);
    let offered = slice_at(request.bytes, HEADER_BYTES + 36, 2 * count).ok_or(Status::INVALID_PARAMETER)?;
    let known = [Dialect::V311, Dialect::V302, Dialect::V300, Dialect::V210, Dialect::V202];
    let is_offered = |dialect: &Dialect| (0..count).any(|at| u16_at(offered, 2 * at) == Some(revision(*dialect)));
    let chosen =
        known.into_iter().filter(|dialect| *dialect <= server.persona.dialect_max).find(|dialect| is_offered(dialect));
    let dialect = chosen.ok_or(Status::NOT_SUPPORTED)?;
    server.dialect = Some(dialect);
    let mut out = Out::new();
    out.bytes(&negotiated(server, revision(dialect), dialect == Dialect::V311));
    Answer::ok(out)
}

/// The body of the answer to a negotiation (2.2.4).
fn negotiated(server: &Server, revision: u16, has_contexts: bool) -> Vec<u8> {
    const FIXED_BYTES: usize = 64;
    let blob = login::opening();
    let blob_at = HEADER_BYTES + FIXED_BYTES;
    let contexts_at = (blob_at + blob.len()).next_multiple_of(8);
    let transfer = length_u32(TRANSFER_BYTES_MAX);
    let mut out = Out::new();
    // Messages may be signed, and need not be.
    out.u16(65).u16(1).u16(revision).u16(has_contexts.into()).bytes(&server.guid).u32(0);
    out.u32(transfer).u32(transfer).u32(transfer).u64(server.now.0).u64(0);
    out.u16(length_u16(blob_at)).u16(length_u16(blob.len()));
    out.u32(if has_contexts { length_u32(contexts_at) } else { 0 }).bytes(&blob);
    if has_contexts {
        // Integrity before authentication: one algorithm, SHA-512, and salt (2.2.4.1.1).
        out.pad_to(8).u16(1).u16(38).u32(0).u16(1).u16(32).u16(1).bytes(&server.salt);
    }
    out.take()
}

/// 3.3.5.5.
fn session_setup(server: &mut Server, request: &mut Request<'_>) -> Result<Answer, Status> {
    const GUEST: u16 = 1;
    const ANONYMOUS: u16 = 2;
    const SIGNING_REQUIRED: u8 = 2;
    let dialect = server.dialect.ok_or(Status::INVALID_PARAMETER)?;
    let blob = request.part(request.u16(12)?.into(), request.u16(14)?.into())?;
    let is_known = server.has_session(request.session_id);
    if request.session_id != 0 && !is_known {
        return Err(Status::USER_SESSION_DELETED);
    }
    let step = login::step(&server.persona, blob, server.challenge, server.now);
    let session_id = match (&step, is_known) {
        (Step::Refused, _) => {
            server.end_session(request.session_id);
            return Err(Status::LOGON_FAILURE);
        }
        (Step::Continue(_) | Step::In(..), true) => request.session_id,
        (Step::Continue(_) | Step::In(..), false) => server.begin_session()?.into(),
    };
    request.session_id = session_id;
    let must_sign = request.u8(3)? & SIGNING_REQUIRED != 0;
    if let Some(session) = server.session_mut(session_id) {
        session.preauth.add(request.bytes);
        // Whoever logs in again in a session goes on with its key (3.3.5.5.3).
        if let Step::In(Visitor::Account(key), _) = &step
            && session.signer.is_none()
        {
            session.signer = Some(Signer::new(dialect, key, &session.preauth));
            session.must_sign = must_sign;
        }
    }
    let (status, flags, blob) = match step {
        Step::Continue(blob) => (Status::MORE_PROCESSING_REQUIRED, 0, blob),
        Step::In(visitor, blob) => {
            server.let_in(session_id);
            let flags = match visitor {
                Visitor::Anonymous => ANONYMOUS,
                Visitor::Guest => GUEST,
                Visitor::Account(_) => 0,
            };
            (Status::OK, flags, blob)
        }
        Step::Refused => return Err(Status::LOGON_FAILURE),
    };
    let mut out = Out::new();
    out.u16(9).u16(flags).u16(length_u16(HEADER_BYTES + 8)).u16(length_u16(blob.len())).bytes(&blob);
    Ok(Answer { status, body: out.take() })
}

/// 3.3.5.7.
fn tree_connect(server: &mut Server, request: &mut Request<'_>) -> Result<Answer, Status> {
    let (id, tree) = server.connect(&request.text(4)?)?;
    request.tree_id = id.into();
    let kind = match tree {
        Tree::Disk(_) => 1,
        Tree::Pipes => 2,
    };
    let mut out = Out::new();
    // Not to be cached offline.
    out.u16(16).u8(kind).u8(0).u32(0x30).u32(0).u32(info::ALL_RIGHTS);
    Answer::ok(out)
}

/// 3.3.5.9.
fn create(server: &mut Server, request: &mut Request<'_>, tree: Tree) -> Result<Answer, Status> {
    let path = request.text(44)?;
    let wish = Wish { path: &path, access: request.u32(24)?, disposition: request.u32(36)?, options: request.u32(40)? };
    let opened = server.opens.open(&server.persona, &mut server.files, tree, wish, server.now)?;
    request.related.handle = Some(opened.handle);
    let mut out = Out::new();
    out.u16(89).u8(0).u8(0).u32(opened.action);
    attributes(&mut out, opened.stat.as_ref());
    out.u32(0);
    id_of_handle(&mut out, opened.handle);
    out.u32(0).u32(0);
    Answer::ok(out)
}

/// Times, sizes and attributes, as CREATE and CLOSE tell them; zeros for a pipe.
fn attributes(out: &mut Out, stat: Option<&Stat>) {
    const NORMAL: u32 = 0x80;
    match stat {
        Some(stat) => {
            let times = stat.times;
            out.u64(times.created.0).u64(times.accessed.0).u64(times.written.0).u64(times.changed.0);
            out.u64(stat.allocated_bytes()).u64(stat.bytes).u32(stat.attributes);
        }
        None => drop(out.zeros(48).u32(NORMAL)),
    }
}

/// 3.3.5.10.
fn close(server: &mut Server, request: &mut Request<'_>) -> Result<Answer, Status> {
    const TELL_ATTRIBUTES: u16 = 1;
    let flags = request.u16(2)? & TELL_ATTRIBUTES;
    let handle = handle(server, request, 8)?;
    let stat = server.opens.close(&mut server.files, handle)?;
    let mut out = Out::new();
    out.u16(60);
    match stat {
        Some(stat) if flags != 0 => {
            out.u16(flags).u32(0);
            attributes(&mut out, Some(&stat));
        }
        Some(_) | None => drop(out.zeros(58)),
    }
    Answer::ok(out)
}

/// 3.3.5.12.
fn read(server: &mut Server, request: &mut Request<'_>) -> Result<Answer, Status> {
    let count = request.u32(4)? as usize;
    let offset = request.u64(8)?;
    let least = request.u32(32)? as usize;
    if count > TRANSFER_BYTES_MAX {
        return Err(Status::INVALID_PARAMETER);
    }
    let handle = handle(server, request, 16)?;
    let (bytes, is_more) = match server.opens.get(handle)? {
        // Nothing waits, and nobody will write it: a client that wrote has its answer already.
        Open::Pipe(pipe) => pipe.read(count).ok_or(Status::END_OF_FILE)?,
        Open::File(file) => {
            let node = file.node;
            (server.files.read(node, offset, count)?, false)
        }
    };
    if bytes.len() < least {
        return Err(Status::END_OF_FILE);
    }
    let mut out = Out::new();
    out.u16(17).u8(length_u16(HEADER_BYTES + 16) as u8).u8(0).u32(length_u32(bytes.len())).u32(0).u32(0).bytes(&bytes);
    let status = if is_more { Status::BUFFER_OVERFLOW } else { Status::OK };
    Ok(Answer { status, body: out.take() })
}

/// 3.3.5.13.
fn write(server: &mut Server, request: &mut Request<'_>) -> Result<Answer, Status> {
    let bytes = request.part(request.u16(2)?.into(), request.u32(4)?)?;
    let offset = request.u64(8)?;
    let handle = handle(server, request, 16)?;
    match server.opens.get(handle)? {
        Open::Pipe(pipe) => pipe.write(&server.persona, bytes)?,
        Open::File(_) => {
            let node = server.opens.writable(handle)?.node;
            server.files.write(node, offset, bytes, server.now)?;
        }
    }
    let mut out = Out::new();
    out.u16(17).u16(0).u32(length_u32(bytes.len())).u32(0).u32(0);
    Answer::ok(out)
}

/// 3.3.5.15.
fn control(server: &mut Server, request: &mut Request<'_>) -> Result<Answer, Status> {
    const DFS_GET_REFERRALS: u32 = 0x0006_0194;
    const DFS_GET_REFERRALS_EX: u32 = 0x0006_01B0;
    const PIPE_WAIT: u32 = 0x0011_0018;
    const PIPE_TRANSCEIVE: u32 = 0x0011_C017;
    const VALIDATE_NEGOTIATE_INFO: u32 = 0x0014_0204;
    let code = request.u32(4)?;
    let id = slice_at(request.bytes, HEADER_BYTES + 8, 16).ok_or(Status::INVALID_PARAMETER)?;
    let longest = (request.u32(44)? as usize).min(TRANSFER_BYTES_MAX);
    let (answer, is_more) = match code {
        PIPE_TRANSCEIVE => {
            let input = request.part(request.u32(24)?, request.u32(28)?)?;
            let handle = handle(server, request, 8)?;
            let Open::Pipe(pipe) = server.opens.get(handle)? else { return Err(Status::INVALID_DEVICE_REQUEST) };
            pipe.write(&server.persona, input)?;
            pipe.read(longest).unwrap_or_default()
        }
        PIPE_WAIT => (Vec::new(), false),
        DFS_GET_REFERRALS | DFS_GET_REFERRALS_EX => return Err(Status::NOT_FOUND),
        // What was negotiated, again (2.2.32.6).
        VALIDATE_NEGOTIATE_INFO => {
            let mut out = Out::new();
            out.u32(0).bytes(&server.guid).u16(1).u16(server.dialect.map_or(0, revision));
            (out.take(), false)
        }
        _ => return Err(Status::INVALID_DEVICE_REQUEST),
    };
    let at = length_u32(HEADER_BYTES + 48);
    let mut out = Out::new();
    out.u16(49).u16(0).u32(code).bytes(id).u32(at).u32(0).u32(at).u32(length_u32(answer.len())).u32(0).u32(0);
    out.bytes(&answer);
    Ok(Answer { status: if is_more { Status::BUFFER_OVERFLOW } else { Status::OK }, body: out.take() })
}

/// 3.3.5.18.
fn query_directory(server: &mut Server, request: &mut Request<'_>) -> Result<Answer, Status> {
    const RESTART: u8 = 0x01;
    const SINGLE: u8 = 0x02;
    const REOPEN: u8 = 0x10;
    let class = request.u8(2)?.into();
    let flags = request.u8(3)?;
    let longest = (request.u32(28)? as usize).min(TRANSFER_BYTES_MAX);
    let pattern = request.text(24)?;
    let handle = handle(server, request, 8)?;
    let file = server.opens.file(handle)?;
    if !server.files.is_directory(file.node) {
        return Err(Status::INVALID_PARAMETER);
    }
    if flags & (RESTART | REOPEN) != 0 || file.listing.is_none() {
        file.listing = Some(Listing::new(&server.files, file.node, &pattern));
    }
    let listing = file.listing.as_mut().ok_or(Status::INVALID_PARAMETER)?;
    let count_max = if flags & SINGLE != 0 { 1 } else { usize::MAX };
    let entries = entries(&server.files, listing, (class, Letters::Wide), longest, count_max)?;
    let mut out = Out::new();
    out.u16(9).u16(length_u16(HEADER_BYTES + 8)).u32(length_u32(entries.bytes.len())).bytes(&entries.bytes);
    Answer::ok(out)
}

/// Entries of a directory as they are told at once.
pub(super) struct Entries {
    pub(super) bytes: Vec<u8>,
    pub(super) count: u16,
    /// Where the last one begins.
    pub(super) last_at: usize,
}

/// Takes as many entries as fit.
pub(super) fn entries(
    files: &Files,
    listing: &mut Listing,
    (class, letters): (u16, Letters),
    bytes_max: usize,
    count_max: usize,
) -> Result<Entries, Status> {
    let mut all = Out::new();
    let (mut count, mut last_at) = (0, 0);
    while usize::from(count) < count_max
        && let Some(stat) = listing.peek(files)
    {
        let entry = info::entry(class, &stat, letters).ok_or(Status::INVALID_INFO_CLASS)?;
        let at = all.len().next_multiple_of(8);
        if at + entry.len() > bytes_max {
            if count == 0 {
                return Err(Status::INFO_LENGTH_MISMATCH);
            }
            break;
        }
        all.pad_to(8);
        if count > 0 {
            all.put_u32(last_at, length_u32(at - last_at));
        }
        all.bytes(entry.as_slice());
        (count, last_at) = (count + 1, at);
        listing.take();
    }
    if count == 0 {
        return Err(if listing.has_told { Status::NO_MORE_FILES } else { Status::NO_SUCH_FILE });
    }
    Ok(Entries { bytes: all.take(), count, last_at })
}

/// 3.3.5.20.
fn query_info(server: &mut Server, request: &mut Request<'_>, tree: Tree) -> Result<Answer, Status> {
    const FILE: u8 = 1;
    const FILE_SYSTEM: u8 = 2;
    const SECURITY: u8 = 3;
    let (kind, class) = (request.u8(2)?, u16::from(request.u8(3)?));
    let longest = (request.u32(4)? as usize).min(TRANSFER_BYTES_MAX);
    let handle = handle(server, request, 24)?;
    let mut told = match (kind, tree) {
        (FILE, Tree::Disk(_)) => {
            let node = server.opens.file(handle)?.node;
            info::of_file(class, &server.files.stat(node)?, &server.files.path(node), Letters::Wide)?
        }
        (FILE_SYSTEM, Tree::Disk(share)) => info::of_disk(&server.persona, share, class, server.began.0)?,
        (SECURITY, _) => info::security_descriptor(),
        // A pipe: FilePipeInformation and the like are not asked for by those who call procedures.
        (FILE | FILE_SYSTEM, Tree::Pipes) => return Err(Status::INVALID_DEVICE_REQUEST),
        _ => return Err(Status::INVALID_INFO_CLASS),
    };
    let is_cut = told.len() > longest;
    told.truncate(longest);
    let mut out = Out::new();
    out.u16(9).u16(length_u16(HEADER_BYTES + 8)).u32(length_u32(told.len())).bytes(&told);
    Ok(Answer { status: if is_cut { Status::BUFFER_OVERFLOW } else { Status::OK }, body: out.take() })
}

/// 3.3.5.21.
fn set_info(server: &mut Server, request: &mut Request<'_>) -> Result<Answer, Status> {
    const FILE: u8 = 1;
    const SECURITY: u8 = 3;
    let (kind, class) = (request.u8(2)?, u16::from(request.u8(3)?));
    let buffer = request.part(request.u16(8)?.into(), request.u32(4)?)?;
    let handle = handle(server, request, 16)?;
    match kind {
        FILE => set_file_info(server, handle, class, buffer)?,
        // Rights are taken and mean nothing.
        SECURITY => drop(server.opens.writable(handle)?),
        _ => return Err(Status::NOT_SUPPORTED),
    }
    let mut out = Out::new();
    out.u16(2);
    Answer::ok(out)
}

/// Sets what is told of a file (MS-FSCC, 2.4); SMB1 has the same.
pub(super) fn set_file_info(server: &mut Server, handle: Handle, class: u16, buffer: &[u8]) -> Result<(), Status> {
    let now: FileTime = server.now;
    let file = server.opens.file(handle)?;
    let (node, share) = (file.node, file.share);
    if !server.persona.shares[share].is_writable {
        return Err(Status::ACCESS_DENIED);
    }
    let field = |at| u64_at(buffer, at).ok_or(Status::INFO_LENGTH_MISMATCH);
    match class {
        4 => {
            let attributes = u32_at(buffer, 32).ok_or(Status::INFO_LENGTH_MISMATCH)?;
            server.files.set_basic(node, [field(0)?, field(8)?, field(16)?, field(24)?], attributes)
        }
        10 | 65 => {
            let replaces = u8_at(buffer, 0).ok_or(Status::INFO_LENGTH_MISMATCH)? & 1 != 0;
            let length = u32_at(buffer, 16).ok_or(Status::INFO_LENGTH_MISMATCH)?;
            let name = slice_at_u32(buffer, 20, length).ok_or(Status::INFO_LENGTH_MISMATCH)?;
            server.files.rename(node, share, &text_of_wide(name), replaces)
        }
        13 | 64 => {
            let is_to_be_deleted = u8_at(buffer, 0).ok_or(Status::INFO_LENGTH_MISMATCH)? & 1 != 0;
            server.files.set_to_be_deleted(node, is_to_be_deleted)
        }
        // The position is the client's own; what is allocated is never too little.
        14 | 16 | 19 => Ok(()),
        20 => server.files.set_end(node, field(0)?, now),
        15 => Err(Status::EAS_NOT_SUPPORTED),
        _ => Err(Status::INVALID_INFO_CLASS),
    }
}
