//! SMB1 (MS-CIFS and MS-SMB).

mod trans;

pub(super) use self::trans::Searches;

use super::files::{Found, Stat};
use super::login::{self, Step, Visitor};
use super::opens::{Handle, Open, Opened, Tree, Wish};
use super::server::{Broken, Server, TRANSFER_BYTES_MAX};
use super::status::Status;
use super::wire::{Letters, Out, length_u16, slice_at, text_of_narrow, text_of_wide, u8_at, u16_at, u32_at, wide};
use super::{Dialect, info, v2};

/// The length of a header (MS-CIFS, 2.2.3.1).
const HEADER_BYTES: usize = 32;

/// Commands in one message: clients chain two, at most three. Those beyond are not answered.
const CHAIN_MAX: usize = 8;

/// Dialects in a negotiation that are looked at. The longest list seen has 12.
const DIALECTS_MAX: usize = 64;

/// Requests that a client may have on the way, and the longest message that it may send but for writes, in bytes; as
/// Samba has them.
const REQUESTS_MAX: u16 = 50;
const BUFFER_BYTES_MAX: u32 = 16_644;

/// Flags of a header (MS-CIFS, 2.2.3.1): case does not count, paths are plain, it is an answer; and Unicode, statuses of
/// NT, extended security, long names.
const FLAGS: u8 = 0x88;
const UNICODE: u16 = 0x8000;
const NT_STATUS: u16 = 0x4000;
const EXTENDED_SECURITY: u16 = 0x0800;
const LONG_NAMES: u16 = 0x0001;

const CREATE_DIRECTORY: u8 = 0x00;
const DELETE_DIRECTORY: u8 = 0x01;
const CLOSE: u8 = 0x04;
const FLUSH: u8 = 0x05;
const DELETE: u8 = 0x06;
const RENAME: u8 = 0x07;
const QUERY_INFORMATION: u8 = 0x08;
const SET_INFORMATION: u8 = 0x09;
const CHECK_DIRECTORY: u8 = 0x10;
const LOCKING_ANDX: u8 = 0x24;
const TRANS: u8 = 0x25;
const ECHO: u8 = 0x2B;
const OPEN_ANDX: u8 = 0x2D;
const READ_ANDX: u8 = 0x2E;
const WRITE_ANDX: u8 = 0x2F;
const TRANS2: u8 = 0x32;
const FIND_CLOSE2: u8 = 0x34;
const TREE_DISCONNECT: u8 = 0x71;
const NEGOTIATE: u8 = 0x72;
const SESSION_SETUP_ANDX: u8 = 0x73;
const LOGOFF_ANDX: u8 = 0x74;
const TREE_CONNECT_ANDX: u8 = 0x75;
const QUERY_DISK: u8 = 0x80;
const NT_TRANS: u8 = 0xA0;
const NT_CREATE_ANDX: u8 = 0xA2;
const NT_CANCEL: u8 = 0xA4;
const NO_MORE: u8 = 0xFF;

/// A header, and what changes in it along a chain.
struct Request<'a> {
    /// From the header on.
    message: &'a [u8],
    flags2: u16,
    tree_id: u16,
    user_id: u16,
    /// What an opening of this chain gave.
    handle: Option<Handle>,
}

/// A command's words and bytes (MS-CIFS, 2.2.3.2 and 2.2.3.3).
struct Block<'a> {
    words: &'a [u8],
    bytes: &'a [u8],
    /// Where `bytes` begins, from the header on.
    bytes_at: usize,
}

/// What is answered to one command: words, and bytes behind them. Of a chained command the words begin behind those that
/// point to the next one.
struct Answer {
    status: Status,
    words: Out,
    /// Given where the bytes begin, from the header on, for those that must lie at even places.
    bytes: Box<dyn FnOnce(usize) -> Vec<u8>>,
}

impl Answer {
    fn ok(words: Out) -> Result<Self, Status> {
        Self::with(words, |_| Vec::new())
    }

    fn empty() -> Result<Self, Status> {
        Self::ok(Out::new())
    }

    fn with(words: Out, bytes: impl FnOnce(usize) -> Vec<u8> + 'static) -> Result<Self, Status> {
        Ok(Self { status: Status::OK, words, bytes: Box::new(bytes) })
    }
}

fn is_chained(command: u8) -> bool {
    matches!(
        command,
        LOCKING_ANDX
            | OPEN_ANDX
            | READ_ANDX
            | WRITE_ANDX
            | SESSION_SETUP_ANDX
            | LOGOFF_ANDX
            | TREE_CONNECT_ANDX
            | NT_CREATE_ANDX
    )
}

/// Answers a message: one command, or a chain of them.
pub(super) fn answer(server: &mut Server, message: &[u8]) -> Result<Vec<u8>, Broken> {
    let flags2 = u16_at(message, 10).ok_or(Broken)?;
    let first = u8_at(message, 4).ok_or(Broken)?;
    let (tree_id, user_id) = (u16_at(message, 24).ok_or(Broken)?, u16_at(message, 28).ok_or(Broken)?);
    let mut request = Request { message, flags2, tree_id, user_id, handle: None };
    // It is never answered (MS-CIFS, 2.2.4.65), and nothing waits here that could be cancelled.
    if first == NT_CANCEL {
        return Ok(Vec::new());
    }
    if first == NEGOTIATE
        && let Some(answer) = upgrade(server, &request)
    {
        return Ok(answer);
    }
    if first == ECHO {
        return Ok(echo(&request));
    }
    let mut out = Out::new();
    out.bytes(message.get(..HEADER_BYTES).ok_or(Broken)?);
    let mut status = Status::OK;
    let (mut command, mut at) = (first, HEADER_BYTES);
    // Where the words that point to the next command are, and are to be filled in.
    let mut pointer_at: Option<usize> = None;
    for _ in 0..CHAIN_MAX {
        let done = match block(message, at) {
            Some(block) => dispatch(server, command, &mut request, &block).map(|answer| (answer, block)),
            None => Err(Status::INVALID_PARAMETER),
        };
        if let Some(pointer_at) = pointer_at.take() {
            out.put_u16(pointer_at, u16::from(command));
            out.put_u16(pointer_at + 2, length_u16(out.len()));
        }
        let (answer, block) = match done {
            Ok(done) => done,
            Err(failed) => {
                status = failed;
                out.u8(0).u16(0);
                break;
            }
        };
        status = answer.status;
        let head_bytes = if is_chained(command) { 4 } else { 0 };
        out.u8(((head_bytes + answer.words.len()) / 2) as u8);
        let chain_at = out.len();
        if is_chained(command) {
            out.u16(NO_MORE.into()).u16(0);
        }
        out.bytes(answer.words.as_slice());
        let bytes = (answer.bytes)(out.len() + 2);
        // The count of a long read is wrong, as everywhere; its words have the right one.
        out.u16(length_u16(bytes.len())).bytes(&bytes);
        let next = is_chained(command).then(|| u8_at(block.words, 0)).flatten().filter(|next| *next != NO_MORE);
        let next_at = u16_at(block.words, 2).map(usize::from).filter(|next_at| *next_at > at);
        let (Some(next), Some(next_at)) = (next, next_at) else { break };
        if status != Status::OK {
            break;
        }
        pointer_at = Some(chain_at);
        (command, at) = (next, next_at);
    }
    if let Some(pointer_at) = pointer_at {
        out.put_u16(pointer_at, NO_MORE.into());
    }
    Ok(with_header(out, &request, status))
}

/// Fills in what differs from the header of the request.
fn with_header(mut out: Out, request: &Request<'_>, status: Status) -> Vec<u8> {
    let flags2 = request.flags2 & (UNICODE | NT_STATUS | EXTENDED_SECURITY) | LONG_NAMES;
    let mut bytes = out.take();
    if request.flags2 & NT_STATUS != 0 {
        bytes[5..9].copy_from_slice(&status.0.to_le_bytes());
    } else {
        let (class, code) = status.dos();
        let [low, high] = code.to_le_bytes();
        bytes[5..9].copy_from_slice(&[class, 0, low, high]);
    }
    bytes[9] = FLAGS;
    bytes[10..12].copy_from_slice(&flags2.to_le_bytes());
    // No signature.
    bytes[14..24].fill(0);
    bytes[24..26].copy_from_slice(&request.tree_id.to_le_bytes());
    bytes[28..30].copy_from_slice(&request.user_id.to_le_bytes());
    bytes
}

fn block(message: &[u8], at: usize) -> Option<Block<'_>> {
    let words_bytes = 2 * usize::from(u8_at(message, at)?);
    let words = slice_at(message, at + 1, words_bytes)?;
    let bytes_at = at + 1 + words_bytes + 2;
    let rest = message.get(bytes_at..)?;
    let count = usize::from(u16_at(message, bytes_at - 2)?);
    Some(Block { words, bytes: &rest[..rest.len().min(count)], bytes_at })
}

impl Block<'_> {
    fn u16(&self, at: usize) -> Result<u16, Status> {
        u16_at(self.words, at).ok_or(Status::INVALID_PARAMETER)
    }

    fn u32(&self, at: usize) -> Result<u32, Status> {
        u32_at(self.words, at).ok_or(Status::INVALID_PARAMETER)
    }
}

/// A text, and how many bytes it and its end have.
struct Taken {
    text: String,
    bytes: usize,
}

impl Request<'_> {
    fn is_wide(&self) -> bool {
        self.flags2 & UNICODE != 0
    }

    fn letters(&self) -> Letters {
        if self.is_wide() { Letters::Wide } else { Letters::Narrow }
    }

    /// The text of a block from `at` on, up to its NUL; text of two bytes is aligned to the header.
    fn text(&self, block: &Block<'_>, at: usize) -> Taken {
        let pad = if self.is_wide() { (block.bytes_at + at) & 1 } else { 0 };
        let raw = block.bytes.get(at + pad..).unwrap_or_default();
        let Taken { text, bytes } = text_of(raw, self.is_wide());
        Taken { text, bytes: pad + bytes }
    }

    /// A text behind the byte that says what it is (MS-CIFS, 2.2.1.1.5), and where the next one begins.
    fn tagged(&self, block: &Block<'_>, at: usize) -> Result<(String, usize), Status> {
        const TEXT: u8 = 4;
        if u8_at(block.bytes, at) != Some(TEXT) {
            return Err(Status::INVALID_PARAMETER);
        }
        let Taken { text, bytes } = self.text(block, at + 1);
        Ok((text, at + 1 + bytes))
    }

    /// The handle in a command; in a chain the one that was opened in front of it.
    fn handle(&self, id: u16) -> Handle {
        self.handle.unwrap_or(Handle(id))
    }

    /// Texts as an answer has them, each with its NUL.
    fn texts(&self, texts: &[&str]) -> impl FnOnce(usize) -> Vec<u8> + 'static {
        let letters = self.letters();
        let texts: Vec<u8> = texts.iter().flat_map(|text| letters.of(&format!("{text}\0"))).collect();
        move |at| {
            let mut out = Out::new();
            out.zeros(if letters == Letters::Wide { at & 1 } else { 0 }).bytes(&texts);
            out.take()
        }
    }
}

fn text_of(raw: &[u8], is_wide: bool) -> Taken {
    if is_wide {
        let (units, _) = raw.as_chunks::<2>();
        let end = units.iter().position(|unit| *unit == [0, 0]).unwrap_or(units.len());
        return Taken { text: text_of_wide(&raw[..2 * end]), bytes: raw.len().min(2 * end + 2) };
    }
    let end = raw.iter().position(|byte| *byte == 0).unwrap_or(raw.len());
    Taken { text: text_of_narrow(&raw[..end]), bytes: raw.len().min(end + 1) }
}

fn dispatch(server: &mut Server, command: u8, request: &mut Request<'_>, block: &Block<'_>) -> Result<Answer, Status> {
    match command {
        NEGOTIATE => return negotiate(server, request, block),
        SESSION_SETUP_ANDX => return session_setup(server, request, block),
        _ => {}
    }
    if !server.is_in(request.user_id.into()) {
        return Err(Status::ACCESS_DENIED);
    }
    match command {
        TREE_CONNECT_ANDX => return tree_connect(server, request, block),
        LOGOFF_ANDX => {
            server.end_session(request.user_id.into());
            return Answer::empty();
        }
        _ => {}
    }
    let tree = server.tree(request.tree_id.into()).ok_or(Status::SMB_BAD_TID)?;
    match command {
        TREE_DISCONNECT => {
            server.disconnect(request.tree_id.into());
            return Answer::empty();
        }
        NT_CREATE_ANDX => return nt_create(server, request, block, tree),
        OPEN_ANDX => return open(server, request, block, tree),
        CLOSE => {
            let handle = request.handle(block.u16(0)?);
            server.opens.close(&mut server.files, handle)?;
            return Answer::empty();
        }
        READ_ANDX => return read(server, request, block),
        WRITE_ANDX => return write(server, request, block),
        // What is written is there, and nobody else is there whom a lock could keep out.
        FLUSH => return Answer::empty(),
        LOCKING_ANDX => return Answer::empty(),
        TRANS => return trans::trans(server, request, block, tree),
        TRANS2 => return trans::trans2(server, request, block, tree),
        NT_TRANS => return trans::nt_trans(block),
        FIND_CLOSE2 => {
            server.searches.close(block.u16(0)?);
            return Answer::empty();
        }
        _ => {}
    }
    let Tree::Disk(share) = tree else { return Err(Status::INVALID_DEVICE_REQUEST) };
    match command {
        CREATE_DIRECTORY => {
            let (path, _) = request.tagged(block, 0)?;
            make_directory(server, share, &path)
        }
        DELETE => {
            let (path, _) = request.tagged(block, 0)?;
            delete(server, share, &path, false)
        }
        DELETE_DIRECTORY => {
            let (path, _) = request.tagged(block, 0)?;
            delete(server, share, &path, true)
        }
        RENAME => {
            let (from, at) = request.tagged(block, 0)?;
            let (to, _) = request.tagged(block, at)?;
            need_writable(server, share)?;
            let node = stat_of(server, share, &from)?.id;
            server.files.rename(node, share, &to, false)?;
            Answer::empty()
        }
        CHECK_DIRECTORY => {
            let (path, _) = request.tagged(block, 0)?;
            let stat = stat_of(server, share, &path)?;
            if stat.is_directory { Answer::empty() } else { Err(Status::NOT_A_DIRECTORY) }
        }
        QUERY_INFORMATION => {
            let (path, _) = request.tagged(block, 0)?;
            let stat = stat_of(server, share, &path)?;
            let mut words = Out::new();
            words.u16(old_attributes(&stat)).u32(stat.times.written.unix_s());
            words.u32(u32::try_from(stat.bytes).unwrap_or(u32::MAX)).zeros(10);
            Answer::ok(words)
        }
        SET_INFORMATION => {
            let (path, _) = request.tagged(block, 0)?;
            need_writable(server, share)?;
            let node = stat_of(server, share, &path)?.id;
            server.files.set_basic(node, [0; 4], block.u16(0)?.into())?;
            Answer::empty()
        }
        QUERY_DISK => {
            let mut words = Out::new();
            for word in info::old_disk() {
                words.u16(word);
            }
            words.u16(0);
            Answer::ok(words)
        }
        _ => Err(Status::SMB_BAD_COMMAND),
    }
}

/// Attributes in the 16 bits that the old commands have for them.
fn old_attributes(stat: &Stat) -> u16 {
    (stat.attributes & 0x3F) as u16
}

fn need_writable(server: &Server, share: usize) -> Result<(), Status> {
    if server.persona.shares[share].is_writable { Ok(()) } else { Err(Status::ACCESS_DENIED) }
}

fn stat_of(server: &Server, share: usize, path: &str) -> Result<Stat, Status> {
    match server.files.find(share, path)? {
        Found::There(node) => server.files.stat(node),
        Found::Missing { .. } => Err(Status::OBJECT_NAME_NOT_FOUND),
    }
}

fn make_directory(server: &mut Server, share: usize, path: &str) -> Result<Answer, Status> {
    need_writable(server, share)?;
    match server.files.find(share, path)? {
        Found::There(_) => Err(Status::OBJECT_NAME_COLLISION),
        Found::Missing { parent, name } => {
            server.files.make(parent, name, true, server.now)?;
            Answer::empty()
        }
    }
}

fn delete(server: &mut Server, share: usize, path: &str, is_directory: bool) -> Result<Answer, Status> {
    need_writable(server, share)?;
    let stat = stat_of(server, share, path)?;
    match (stat.is_directory, is_directory) {
        (true, false) => Err(Status::FILE_IS_A_DIRECTORY),
        (false, true) => Err(Status::NOT_A_DIRECTORY),
        (true, true) | (false, false) => {
            server.files.delete(stat.id)?;
            Answer::empty()
        }
    }
}

/// The names of dialects in a negotiation (MS-CIFS, 2.2.4.52.1).
fn dialects<'a>(block: &Block<'a>) -> Vec<&'a [u8]> {
    let names = block.bytes.split(|byte| *byte == 0).filter_map(|name| name.strip_prefix(b"\x02"));
    names.take(DIALECTS_MAX).collect()
}

/// The answer to a client that offers SMB2 among dialects of SMB1, if the persona speaks it.
fn upgrade(server: &mut Server, request: &Request<'_>) -> Option<Vec<u8>> {
    if server.persona.dialect_max == Dialect::Nt1 {
        return None;
    }
    let block = block(request.message, HEADER_BYTES)?;
    let names = dialects(&block);
    let any = names.contains(&&b"SMB 2.???"[..]);
    let first = names.contains(&&b"SMB 2.002"[..]);
    let is_offered = first || any && server.persona.dialect_max > Dialect::V202;
    is_offered.then(|| v2::answer_smb1(server, any))
}

/// MS-CIFS, 2.2.4.52; MS-SMB, 2.2.4.5.
fn negotiate(server: &mut Server, request: &Request<'_>, block: &Block<'_>) -> Result<Answer, Status> {
    /// Unicode, large files, commands of NT, remote calls, statuses of NT, searches of NT, all levels of information, large
    /// reads and writes.
    const CAPABILITIES: u32 = 0x0000_E27C;
    const CAPABLE_OF_EXTENDED_SECURITY: u32 = 0x8000_0000;
    let index = dialects(block).iter().position(|name| *name == b"NT LM 0.12");
    let mut words = Out::new();
    let Some(index) = index else {
        // None of them.
        words.u16(0xFFFF);
        return Answer::ok(words);
    };
    server.dialect = Some(Dialect::Nt1);
    let has_extended_security = request.flags2 & EXTENDED_SECURITY != 0;
    let (extended, challenge_bytes) = match has_extended_security {
        true => (CAPABLE_OF_EXTENDED_SECURITY, 0),
        false => (0, 8),
    };
    // Users log in, with encrypted passwords; messages are not signed.
    words.u16(length_u16(index)).u8(3).u16(REQUESTS_MAX).u16(1).u32(BUFFER_BYTES_MAX).u32(65_536).u32(0);
    words.u32(CAPABILITIES | extended).u64(server.now.0).u16(0).u8(challenge_bytes);
    let mut bytes = Out::new();
    if has_extended_security {
        bytes.bytes(&server.guid).bytes(&login::opening());
    } else {
        bytes.bytes(&server.challenge);
        for text in [&server.persona.workgroup, &server.persona.server_name] {
            // Always of two bytes, whatever the client says: so do Windows and Samba.
            bytes.bytes(&wide(text)).u16(0);
        }
    }
    let bytes = bytes.take();
    Answer::with(words, move |_| bytes)
}

/// MS-CIFS, 2.2.4.53; MS-SMB, 2.2.4.6.
fn session_setup(server: &mut Server, request: &mut Request<'_>, block: &Block<'_>) -> Result<Answer, Status> {
    const EXTENDED_WORDS: usize = 12;
    const NTLM_WORDS: usize = 13;
    server.dialect.ok_or(Status::INVALID_PARAMETER)?;
    let persona = server.persona.clone();
    let texts = [persona.native_os.as_str(), &persona.native_lm, &persona.workgroup];
    if block.words.len() == 2 * EXTENDED_WORDS {
        let blob = slice_at(block.bytes, 0, block.u16(14)?.into()).ok_or(Status::INVALID_PARAMETER)?;
        let (status, guest, blob) = match login::step(&persona, blob, server.challenge, server.now) {
            Step::Continue(blob) => (Status::MORE_PROCESSING_REQUIRED, 0, blob),
            Step::In(visitor, blob) => (Status::OK, is_guest(visitor), blob),
            Step::Refused => {
                server.end_session(request.user_id.into());
                return Err(Status::LOGON_FAILURE);
            }
        };
        if !server.has_session(request.user_id.into()) {
            request.user_id = server.begin_session()?;
        }
        if status == Status::OK {
            server.let_in(request.user_id.into());
        }
        let mut words = Out::new();
        words.u16(guest).u16(length_u16(blob.len()));
        let texts = request.texts(&texts);
        let bytes = move |at| [&blob[..], &texts(at + blob.len())].concat();
        return Ok(Answer { status, words, bytes: Box::new(bytes) });
    }
    if block.words.len() != 2 * NTLM_WORDS {
        return Err(Status::INVALID_PARAMETER);
    }
    let (lm_bytes, nt_bytes) = (usize::from(block.u16(14)?), usize::from(block.u16(16)?));
    let lm = slice_at(block.bytes, 0, lm_bytes).ok_or(Status::INVALID_PARAMETER)?;
    let nt = slice_at(block.bytes, lm_bytes, nt_bytes).ok_or(Status::INVALID_PARAMETER)?;
    let user = request.text(block, lm_bytes + nt_bytes);
    let domain = request.text(block, lm_bytes + nt_bytes + user.bytes);
    let visitor = login::bare_visitor(&persona, &user.text, &domain.text, lm, nt, server.challenge);
    let visitor = visitor.ok_or(Status::LOGON_FAILURE)?;
    request.user_id = server.begin_session()?;
    server.let_in(request.user_id.into());
    let mut words = Out::new();
    words.u16(is_guest(visitor));
    Answer::with(words, request.texts(&texts))
}

/// The action of a login: 1 for a guest, who has no key with which messages could be signed. Here nothing is signed.
fn is_guest(visitor: Visitor) -> u16 {
    match visitor {
        Visitor::Anonymous | Visitor::Guest | Visitor::Account(_) => 1,
    }
}

/// MS-CIFS, 2.2.4.55; MS-SMB, 2.2.4.7.
fn tree_connect(server: &mut Server, request: &mut Request<'_>, block: &Block<'_>) -> Result<Answer, Status> {
    const EXTENDED_ANSWER: u16 = 8;
    let flags = block.u16(4)?;
    let Taken { text: path, .. } = request.text(block, block.u16(6)?.into());
    let (id, tree) = server.connect(&path)?;
    request.tree_id = id;
    let mut words = Out::new();
    // Searches may name attributes that must be there.
    words.u16(1);
    if flags & EXTENDED_ANSWER != 0 {
        words.u32(info::ALL_RIGHTS).u32(info::ALL_RIGHTS);
    }
    let (service, system): (&[u8], &str) = match tree {
        Tree::Disk(_) => (b"A:\0", "NTFS"),
        Tree::Pipes => (b"IPC\0", ""),
    };
    let texts = request.texts(&[system]);
    Answer::with(words, move |at| [service, &texts(at + service.len())].concat())
}

/// MS-CIFS, 2.2.4.64; MS-SMB, 2.2.4.9.
fn nt_create(server: &mut Server, request: &mut Request<'_>, block: &Block<'_>, tree: Tree) -> Result<Answer, Status> {
    // The length of the name may count its NUL, or not; it ends at it in any case.
    let pad = if request.is_wide() { block.bytes_at & 1 } else { 0 };
    let raw = block.bytes.get(pad..).unwrap_or_default();
    let raw = &raw[..raw.len().min(block.u16(5)?.into())];
    let Taken { text: path, .. } = text_of(raw, request.is_wide());
    let wish = Wish { path: &path, access: block.u32(15)?, disposition: block.u32(35)?, options: block.u32(39)? };
    let opened = server.opens.open(&server.persona, &mut server.files, tree, wish, server.now)?;
    request.handle = Some(opened.handle);
    let mut words = Out::new();
    words.u8(0).u16(opened.handle.0).u32(opened.action);
    nt_attributes(&mut words, &opened);
    Answer::ok(words)
}

/// Times, attributes, sizes, what it is, and whether it is a directory.
fn nt_attributes(words: &mut Out, opened: &Opened) {
    const NORMAL: u32 = 0x80;
    match &opened.stat {
        Some(stat) => {
            let times = stat.times;
            words.u64(times.created.0).u64(times.accessed.0).u64(times.written.0).u64(times.changed.0);
            words.u32(stat.attributes).u64(stat.allocated_bytes()).u64(stat.bytes);
            words.u16(0).u16(7).u8(stat.is_directory.into());
        }
        // A pipe of messages, of which there may be 255.
        None => drop(words.zeros(32).u32(NORMAL).u64(4096).u64(0).u16(2).u16(0x05FF).u8(0)),
    }
}

/// MS-CIFS, 2.2.4.41.
fn open(server: &mut Server, request: &mut Request<'_>, block: &Block<'_>, tree: Tree) -> Result<Answer, Status> {
    /// What the mode of an opening means: reading is 0 in its lowest bits.
    const WRITE_RIGHT: u32 = 2;
    const READ_RIGHT: u32 = 1;
    const NON_DIRECTORY_FILE: u32 = 0x40;
    let Taken { text: path, .. } = request.text(block, 0);
    let access = if block.u16(6)? & 7 == 0 { READ_RIGHT } else { READ_RIGHT | WRITE_RIGHT };
    // The lowest bits say what to do if it is there: fail, open, cut off; another bit, whether to make it.
    let function = block.u16(16)?;
    let disposition = match (function & 3, function & 0x10 != 0) {
        (0, _) => 2,
        (1, false) => 1,
        (1, true) => 3,
        (_, false) => 4,
        (_, true) => 5,
    };
    let wish = Wish { path: &path, access, disposition, options: NON_DIRECTORY_FILE };
    let opened = server.opens.open(&server.persona, &mut server.files, tree, wish, server.now)?;
    request.handle = Some(opened.handle);
    let mut words = Out::new();
    words.u16(opened.handle.0);
    match &opened.stat {
        Some(stat) => {
            words.u16(old_attributes(stat)).u32(stat.times.written.unix_s());
            words.u32(u32::try_from(stat.bytes).unwrap_or(u32::MAX));
        }
        None => drop(words.zeros(10)),
    }
    words.u16(block.u16(6)? & 7).u16(0).u16(0).u16(opened.action.min(3) as u16).u32(0).u16(0);
    Answer::ok(words)
}

/// MS-CIFS, 2.2.4.42; MS-SMB, 2.2.4.2.
fn read(server: &mut Server, request: &Request<'_>, block: &Block<'_>) -> Result<Answer, Status> {
    let handle = request.handle(block.u16(4)?);
    let low = block.u32(6)?.into();
    let offset = u32_at(block.words, 20).map_or(low, |high| u64::from(high) << 32 | low);
    // The high half is a timeout of pipes if it is all ones.
    let high = block.u16(14).ok().filter(|high| *high != u16::MAX).unwrap_or(0);
    let count = (usize::from(high) << 16 | usize::from(block.u16(10)?)).min(TRANSFER_BYTES_MAX - 1);
    let (bytes, is_more) = match server.opens.get(handle)? {
        Open::Pipe(pipe) => pipe.read(count).unwrap_or_default(),
        Open::File(file) => {
            let node = file.node;
            // At the end of a file SMB1 answers with nothing.
            match server.files.read(node, offset, count) {
                Ok(bytes) => (bytes, false),
                Err(Status::END_OF_FILE) => (Vec::new(), false),
                Err(status) => return Err(status),
            }
        }
    };
    // Behind the header, the count of words, twelve words, the count of bytes, and one byte.
    const AT: u16 = 32 + 1 + 24 + 2 + 1;
    let mut words = Out::new();
    words.u16(0xFFFF).u16(0).u16(0).u16(length_u16(bytes.len())).u16(AT).u16(0).zeros(8);
    let status = if is_more { Status::BUFFER_OVERFLOW } else { Status::OK };
    Ok(Answer { status, words, bytes: Box::new(move |_| [&[0], &bytes[..]].concat()) })
}

/// MS-CIFS, 2.2.4.43; MS-SMB, 2.2.4.3.
fn write(server: &mut Server, request: &Request<'_>, block: &Block<'_>) -> Result<Answer, Status> {
    let handle = request.handle(block.u16(4)?);
    let low = block.u32(6)?.into();
    let offset = u32_at(block.words, 24).map_or(low, |high| u64::from(high) << 32 | low);
    let count = usize::from(block.u16(18)?) << 16 | usize::from(block.u16(20)?);
    let bytes = slice_at(request.message, block.u16(22)?.into(), count).ok_or(Status::INVALID_PARAMETER)?;
    match server.opens.get(handle)? {
        Open::Pipe(pipe) => pipe.write(&server.persona, bytes)?,
        Open::File(_) => {
            let node = server.opens.writable(handle)?.node;
            server.files.write(node, offset, bytes, server.now)?;
        }
    }
    let mut words = Out::new();
    words.u16((count & 0xFFFF) as u16).u16(0xFFFF).u16((count >> 16) as u16).u16(0);
    Answer::ok(words)
}

/// MS-CIFS, 2.2.4.39: what is said comes back, once, however often it was asked for.
fn echo(request: &Request<'_>) -> Vec<u8> {
    let mut out = Out::new();
    out.bytes(&request.message[..HEADER_BYTES.min(request.message.len())]);
    if out.len() < HEADER_BYTES {
        return Vec::new();
    }
    match block(request.message, HEADER_BYTES).filter(|block| u16_at(block.words, 0) != Some(0)) {
        Some(block) => drop(out.u8(1).u16(1).u16(length_u16(block.bytes.len())).bytes(block.bytes)),
        None => return Vec::new(),
    }
    with_header(out, request, Status::OK)
}
