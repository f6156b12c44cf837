//! The transactions of SMB1: listings, information on files, and calls over pipes (MS-CIFS, 2.2.4.33, 2.2.4.46).
//!
//! Each is one request and one answer; what clients send in several parts is not needed for any of them.

use std::collections::BTreeMap;

use super::{Answer, Block, HEADER_BYTES, Request, Taken, need_writable, stat_of, text_of};
use crate::service::smb::files::{Found, Stat};
use crate::service::smb::info;
use crate::service::smb::listing::Listing;
use crate::service::smb::opens::{Handle, Open, Tree};
use crate::service::smb::server::Server;
use crate::service::smb::status::Status;
use crate::service::smb::v2::{entries, set_file_info};
use crate::service::smb::wire::{Letters, Out, length_u16, slice_at, u8_at, u16_at, u32_at, u64_at};

/// The most data that an answer has, in bytes; with its header it is a message as clients expect it.
const DATA_BYTES_MAX: usize = 16_000;

/// Listings that a client may have on the way. Beyond it the oldest is forgotten.
const SEARCHES_MAX: usize = 16;

/// Listings that are not over, by the id that the client has.
#[derive(Debug, Default)]
pub(in crate::service::smb) struct Searches {
    open: BTreeMap<u16, Listing>,
    next: u16,
}

impl Searches {
    fn begin(&mut self, listing: Listing) -> u16 {
        if self.open.len() >= SEARCHES_MAX {
            self.open.pop_first();
        }
        self.next = self.next % 0xFFFE + 1;
        self.open.insert(self.next, listing);
        self.next
    }

    pub(super) fn close(&mut self, id: u16) {
        self.open.remove(&id);
    }
}

/// The parts of a transaction, where they lie.
struct Transaction<'a> {
    setup: &'a [u8],
    parameters: &'a [u8],
    data: &'a [u8],
    /// How much data the client takes.
    data_bytes_max: usize,
}

fn transaction<'a>(request: &Request<'a>, block: &Block<'a>) -> Result<Transaction<'a>, Status> {
    let part = |count_at, at| {
        let (count, at) = (usize::from(block.u16(count_at)?), usize::from(block.u16(at)?));
        match count {
            0 => Ok(&[][..]),
            _ => slice_at(request.message, at, count).ok_or(Status::INVALID_PARAMETER),
        }
    };
    // What comes in parts has more in all than is here.
    if block.u16(0)? > block.u16(18)? || block.u16(2)? > block.u16(22)? {
        return Err(Status::NOT_SUPPORTED);
    }
    Ok(Transaction {
        setup: block.words.get(28..).unwrap_or_default(),
        parameters: part(18, 20)?,
        data: part(22, 24)?,
        data_bytes_max: usize::from(block.u16(6)?).min(DATA_BYTES_MAX),
    })
}

/// The answer to a transaction (MS-CIFS, 2.2.4.46.2): parameters and data, each at a multiple of four.
fn answer(status: Status, parameters: Vec<u8>, data: Vec<u8>) -> Result<Answer, Status> {
    // Behind the header, the count of words, ten words, and the count of bytes.
    const BYTES_AT: usize = HEADER_BYTES + 1 + 20 + 2;
    const PARAMETERS_AT: usize = BYTES_AT.next_multiple_of(4);
    let data_at = (PARAMETERS_AT + parameters.len()).next_multiple_of(4);
    let (parameters_bytes, data_bytes) = (length_u16(parameters.len()), length_u16(data.len()));
    let mut words = Out::new();
    words.u16(parameters_bytes).u16(data_bytes).u16(0);
    words.u16(parameters_bytes).u16(length_u16(PARAMETERS_AT)).u16(0);
    words.u16(data_bytes).u16(length_u16(data_at)).u16(0).u16(0);
    let mut bytes = Out::new();
    bytes.zeros(PARAMETERS_AT - BYTES_AT).bytes(&parameters);
    bytes.zeros(data_at - BYTES_AT - bytes.len()).bytes(&data);
    let bytes = bytes.take();
    Ok(Answer { status, words, bytes: Box::new(move |_| bytes) })
}

/// TRANSACTION: pipes (MS-CIFS, 2.2.5).
pub(super) fn trans(
    server: &mut Server,
    request: &Request<'_>,
    block: &Block<'_>,
    tree: Tree,
) -> Result<Answer, Status> {
    const SET_STATE: u16 = 0x01;
    const TRANSACT: u16 = 0x26;
    const WAIT: u16 = 0x53;
    if tree != Tree::Pipes {
        return Err(Status::INVALID_DEVICE_REQUEST);
    }
    let transaction = transaction(request, block)?;
    match u16_at(transaction.setup, 0) {
        Some(TRANSACT) => {
            let handle = request.handle(u16_at(transaction.setup, 2).ok_or(Status::INVALID_PARAMETER)?);
            let Open::Pipe(pipe) = server.opens.get(handle)? else { return Err(Status::INVALID_DEVICE_REQUEST) };
            pipe.write(&server.persona, transaction.data)?;
            let (data, is_more) = pipe.read(transaction.data_bytes_max).unwrap_or_default();
            answer(if is_more { Status::BUFFER_OVERFLOW } else { Status::OK }, Vec::new(), data)
        }
        Some(SET_STATE | WAIT) => answer(Status::OK, Vec::new(), Vec::new()),
        Some(_) | None => Err(Status::NOT_SUPPORTED),
    }
}

/// NT_TRANSACT (MS-CIFS, 2.2.7): only who may do what is told.
pub(super) fn nt_trans(block: &Block<'_>) -> Result<Answer, Status> {
    const QUERY_SECURITY: u16 = 6;
    if block.u16(36)? != QUERY_SECURITY {
        return Err(Status::NOT_SUPPORTED);
    }
    // MS-CIFS, 2.2.4.62.2: 18 words, then parameters and data.
    const BYTES_AT: usize = HEADER_BYTES + 1 + 36 + 2;
    const PARAMETERS_AT: usize = BYTES_AT.next_multiple_of(4);
    let descriptor = info::security_descriptor();
    let bytes_u32 = u32::from(length_u16(descriptor.len()));
    let parameters_at = u32::from(length_u16(PARAMETERS_AT));
    let mut words = Out::new();
    words.zeros(3).u32(4).u32(bytes_u32).u32(4).u32(parameters_at).u32(0);
    words.u32(bytes_u32).u32(parameters_at + 4).u32(0).u8(0);
    let mut bytes = Out::new();
    bytes.zeros(PARAMETERS_AT - BYTES_AT).u32(bytes_u32).bytes(&descriptor);
    let bytes = bytes.take();
    Answer::with(words, move |_| bytes)
}

/// TRANSACTION2 (MS-CIFS, 2.2.6).
pub(super) fn trans2(
    server: &mut Server,
    request: &Request<'_>,
    block: &Block<'_>,
    tree: Tree,
) -> Result<Answer, Status> {
    const FIND_FIRST: u16 = 0x01;
    const FIND_NEXT: u16 = 0x02;
    const QUERY_DISK: u16 = 0x03;
    const QUERY_PATH: u16 = 0x05;
    const SET_PATH: u16 = 0x06;
    const QUERY_FILE: u16 = 0x07;
    const SET_FILE: u16 = 0x08;
    const MAKE_DIRECTORY: u16 = 0x0D;
    const DFS_REFERRAL: u16 = 0x10;
    let transaction = transaction(request, block)?;
    let parameters = transaction.parameters;
    let word = |at| u16_at(parameters, at).ok_or(Status::INVALID_PARAMETER);
    // Parameters begin at a multiple of four, so texts in them need no alignment.
    let text = |at: usize| {
        let Taken { text, .. } = text_of(parameters.get(at..).unwrap_or_default(), request.is_wide());
        text
    };
    let function = u16_at(transaction.setup, 0).ok_or(Status::INVALID_PARAMETER)?;
    if function == DFS_REFERRAL {
        return Err(Status::NOT_FOUND);
    }
    let Tree::Disk(share) = tree else { return Err(Status::INVALID_DEVICE_REQUEST) };
    match function {
        FIND_FIRST => {
            let wanted = Wanted { count: word(2)?, flags: word(4)?, level: word(6)?, letters: request.letters() };
            find_first(server, share, &text(12), wanted, transaction.data_bytes_max)
        }
        FIND_NEXT => {
            let wanted = Wanted { count: word(2)?, flags: word(10)?, level: word(4)?, letters: request.letters() };
            find_next(server, word(0)?, wanted, transaction.data_bytes_max)
        }
        QUERY_DISK => {
            let level = word(0)?;
            let told = match level {
                1 => info::allocation_of_smb1(),
                0x102..=0x105 => {
                    // The volume, its size, the device and its attributes: the classes 1, 3, 4 and 5.
                    let class = [1, 3, 4, 5][usize::from(level - 0x102)];
                    info::of_disk(&server.persona, share, class, server.began.0)?
                }
                1000.. => info::of_disk(&server.persona, share, level - 1000, server.began.0)?,
                _ => return Err(Status::INVALID_INFO_CLASS),
            };
            answer(Status::OK, Vec::new(), told)
        }
        QUERY_PATH => {
            let stat = stat_of(server, share, &text(6))?;
            query(server, &stat, word(0)?, request.letters())
        }
        QUERY_FILE => {
            let node = server.opens.file(Handle(word(0)?))?.node;
            let stat = server.files.stat(node)?;
            query(server, &stat, word(2)?, request.letters())
        }
        SET_PATH => {
            need_writable(server, share)?;
            let node = stat_of(server, share, &text(6))?.id;
            // Only times and attributes are set by path; the rest needs a handle.
            match word(0)? {
                0x101 | 1004 => set_basic(server, node, transaction.data)?,
                1 | 2 => {}
                _ => return Err(Status::INVALID_INFO_CLASS),
            }
            answer(Status::OK, vec![0, 0], Vec::new())
        }
        SET_FILE => {
            let handle = Handle(word(0)?);
            set_file(server, handle, word(2)?, transaction.data)?;
            answer(Status::OK, vec![0, 0], Vec::new())
        }
        MAKE_DIRECTORY => {
            super::make_directory(server, share, &text(4))?;
            answer(Status::OK, vec![0, 0], Vec::new())
        }
        _ => Err(Status::NOT_SUPPORTED),
    }
}

fn set_basic(server: &mut Server, node: crate::service::smb::files::NodeId, data: &[u8]) -> Result<(), Status> {
    let field = |at| u64_at(data, at).ok_or(Status::INFO_LENGTH_MISMATCH);
    let attributes = u32_at(data, 32).ok_or(Status::INFO_LENGTH_MISMATCH)?;
    server.files.set_basic(node, [field(0)?, field(8)?, field(16)?, field(24)?], attributes)
}

/// MS-CIFS, 2.2.8.4; the levels from 1000 on are the classes of SMB2 (MS-SMB, 2.2.2.3.5).
fn set_file(server: &mut Server, handle: Handle, level: u16, data: &[u8]) -> Result<(), Status> {
    const RENAME: u16 = 1010;
    let class = match level {
        0x101 => 4,
        0x102 => 13,
        0x103 => 19,
        0x104 => 20,
        RENAME => {
            // Shorter numbers than in SMB2 (MS-FSCC, 2.4.42.1).
            let mut wide = Out::new();
            let length = u32_at(data, 8).ok_or(Status::INFO_LENGTH_MISMATCH)?;
            wide.u8(u8_at(data, 0).unwrap_or(0)).zeros(15).u32(length).bytes(data.get(12..).unwrap_or_default());
            return set_file_info(server, handle, 10, wide.as_slice());
        }
        1000.. => level - 1000,
        _ => return Err(Status::INVALID_INFO_CLASS),
    };
    set_file_info(server, handle, class, data)
}

/// MS-CIFS, 2.2.8.3.
fn query(server: &Server, stat: &Stat, level: u16, letters: Letters) -> Result<Answer, Status> {
    let path = server.files.path(stat.id);
    let told = match level {
        0x101 => info::of_file(4, stat, &path, letters)?,
        0x102 => info::of_file(5, stat, &path, letters)?,
        0x103 => info::of_file(7, stat, &path, letters)?,
        0x104 => info::of_file(9, stat, &path, letters)?,
        0x107 => info::all_of_smb1(stat, &path, letters),
        0x108 => info::of_file(21, stat, &path, letters)?,
        0x109 => info::of_file(22, stat, &path, letters)?,
        1000.. => info::of_file(level - 1000, stat, &path, letters)?,
        _ => return Err(Status::INVALID_INFO_CLASS),
    };
    answer(Status::OK, vec![0, 0], told)
}

/// What is wanted of a listing.
#[derive(Clone, Copy)]
struct Wanted {
    count: u16,
    flags: u16,
    level: u16,
    letters: Letters,
}

/// The class of information that a level of a listing is (MS-CIFS, 2.2.2.3.1).
fn class_of(level: u16) -> Result<u16, Status> {
    Ok(match level {
        0x101 => 1,
        0x102 => 2,
        0x103 => 12,
        0x104 => 3,
        0x105 => 38,
        0x106 => 37,
        _ => return Err(Status::INVALID_INFO_CLASS),
    })
}

/// MS-CIFS, 2.2.6.2.
fn find_first(
    server: &mut Server,
    share: usize,
    path: &str,
    wanted: Wanted,
    bytes_max: usize,
) -> Result<Answer, Status> {
    let (directory, pattern) = path.rsplit_once(['\\', '/']).unwrap_or(("", path));
    let directory = match server.files.find(share, directory)? {
        Found::There(node) if server.files.is_directory(node) => node,
        Found::There(_) | Found::Missing { .. } => return Err(Status::OBJECT_PATH_NOT_FOUND),
    };
    let listing = Listing::new(&server.files, directory, pattern);
    find(server, listing, None, wanted, bytes_max)
}

/// MS-CIFS, 2.2.6.3. The listing goes on where it was, whatever name the client says that it had last.
fn find_next(server: &mut Server, id: u16, wanted: Wanted, bytes_max: usize) -> Result<Answer, Status> {
    let listing = server.searches.open.remove(&id).ok_or(Status::NO_MORE_FILES)?;
    find(server, listing, Some(id), wanted, bytes_max)
}

fn find(
    server: &mut Server,
    mut listing: Listing,
    id: Option<u16>,
    wanted: Wanted,
    bytes_max: usize,
) -> Result<Answer, Status> {
    const CLOSE: u16 = 1;
    const CLOSE_AT_END: u16 = 2;
    let found = entries(
        &server.files,
        &mut listing,
        (class_of(wanted.level)?, wanted.letters),
        bytes_max,
        wanted.count.into(),
    )?;
    let is_end = listing.peek(&server.files).is_none();
    let is_over = wanted.flags & CLOSE != 0 || is_end && wanted.flags & CLOSE_AT_END != 0;
    let mut parameters = Out::new();
    match id {
        None => {
            let id = if is_over { 1 } else { server.searches.begin(listing) };
            parameters.u16(id);
        }
        Some(id) if !is_over => drop(server.searches.open.insert(id, listing)),
        Some(_) => {}
    }
    parameters.u16(found.count).u16(is_end.into()).u16(0).u16(length_u16(found.last_at));
    answer(Status::OK, parameters.take(), found.bytes)
}
