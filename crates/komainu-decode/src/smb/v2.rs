//! SMB2 and SMB3 (MS-SMB2).

mod client;
mod server;

pub(super) use client::request;
pub(super) use server::answer;

use super::bytes::{array_at, u8_at, u16_at, u32_at, u64_at};
use super::event::{Command, Detail, Exchange, Status};
use super::frame::Shape;
use super::rpc::RPC_BYTES_MAX;
use super::state::{Handle, Key, State};
use crate::Side;

/// The length of the header (2.2.1).
pub(super) const HEADER_BYTES: usize = 64;

const NEGOTIATE: u16 = 0;
const SESSION_SETUP: u16 = 1;
const TREE_CONNECT: u16 = 3;
const TREE_DISCONNECT: u16 = 4;
const CREATE: u16 = 5;
const CLOSE: u16 = 6;
const READ: u16 = 8;
const WRITE: u16 = 9;
const IOCTL: u16 = 11;
const CANCEL: u16 = 12;
const QUERY_DIRECTORY: u16 = 14;
const QUERY_INFO: u16 = 16;
const SET_INFO: u16 = 17;

/// Where the data of a WRITE may begin at the earliest (2.2.21), and that of the answer to a READ (2.2.20).
const WRITE_HEAD_BYTES: usize = HEADER_BYTES + 48;
const READ_HEAD_BYTES: usize = HEADER_BYTES + 16;

/// FSCTL_PIPE_TRANSCEIVE: a write to a pipe, and a read of the answer (2.2.31).
const PIPE_TRANSCEIVE: u32 = 0x0011_C017;

/// FILE_DIRECTORY_FILE among the options of an opening (2.2.13).
const DIRECTORY_FILE: u32 = 1;

/// FILE_ATTRIBUTE_DIRECTORY (MS-FSCC, 2.6).
const ATTRIBUTE_DIRECTORY: u32 = 0x10;

const PENDING: Status = Status::Nt(0x0000_0103);
const BUFFER_OVERFLOW: Status = Status::Nt(0x8000_0005);
const END_OF_FILE: Status = Status::Nt(0xC000_0011);

/// How many dialects of a negotiation are told. There are six.
const DIALECTS_MAX: usize = 64;

/// A header (2.2.1).
#[derive(Debug, Clone, Copy)]
struct Header {
    status: u32,
    command: u16,
    flags: u32,
    next: u32,
    message_id: u64,
    tree_id: u32,
    session_id: u64,
}

impl Header {
    const ASYNC: u32 = 2;
    const RELATED: u32 = 4;

    fn read(bytes: &[u8]) -> Option<Self> {
        Some(Self {
            status: u32_at(bytes, 8)?,
            command: u16_at(bytes, 12)?,
            flags: u32_at(bytes, 16)?,
            next: u32_at(bytes, 20)?,
            message_id: u64_at(bytes, 24)?,
            tree_id: u32_at(bytes, 36)?,
            session_id: array_at(bytes, 40).map(u64::from_le_bytes)?,
        })
    }
}

/// What a request of a compound takes over from the one before (3.3.5.2.7.2).
#[derive(Debug, Default)]
pub(super) struct Related {
    session_id: u64,
    tree_id: u32,
    handle: Option<Handle>,
}

/// How long the message at the beginning of `bytes` is, if others follow in the same compound (2.2.1, NextCommand).
/// `left` is the length of the compound. None when there is no whole header.
pub(super) fn message_bytes(bytes: &[u8], left: usize) -> Option<(usize, bool)> {
    let next = usize::try_from(Header::read(bytes.get(..HEADER_BYTES)?)?.next).ok()?;
    match next {
        0 => Some((left, true)),
        _ if next >= HEADER_BYTES && next <= left => Some((next, true)),
        _ => Some((left, false)),
    }
}

/// How much of the message must be there before it is read. `bytes` begins with its header, and is not more than it.
pub(super) fn shape(bytes: &[u8], message_bytes: usize, side: Side, state: &State) -> Shape {
    let Some(header) = Header::read(bytes) else { return Shape::Need(HEADER_BYTES) };
    match (side, header.command) {
        (Side::Client, WRITE) => {
            if bytes.len() < WRITE_HEAD_BYTES.min(message_bytes) {
                return Shape::Need(WRITE_HEAD_BYTES);
            }
            let is_pipe = array_at(bytes, HEADER_BYTES + 16)
                .map(|id| state.related.handle.filter(|_| id == [0xFF; 16]).unwrap_or(Handle::V2(id)))
                .and_then(|handle| state.transfers.get(handle))
                .is_some_and(|opened| opened.is_pipe);
            head_of(write_data(bytes, message_bytes), is_pipe)
        }
        (Side::Server, READ) => {
            if bytes.len() < READ_HEAD_BYTES.min(message_bytes) {
                return Shape::Need(READ_HEAD_BYTES);
            }
            let key = Key { command: Command::V2(READ), message_id: header.message_id };
            let is_pipe = state
                .asked(key)
                .and_then(|request| state.transfers.get(request.handle?))
                .is_some_and(|opened| opened.is_pipe);
            head_of(read_data(bytes, message_bytes), is_pipe)
        }
        // Of listings and properties, only the status is told.
        (Side::Server, QUERY_DIRECTORY | QUERY_INFO) => Shape::Head(HEADER_BYTES),
        _ => Shape::Whole,
    }
}

fn head_of(data: Option<(usize, usize)>, is_pipe: bool) -> Shape {
    match data {
        Some((at, bytes)) if is_pipe => Shape::Head(at + bytes.min(RPC_BYTES_MAX)),
        Some((at, _)) => Shape::Head(at),
        None => Shape::Whole,
    }
}

/// Where the data of a WRITE is, cut to the end of the message.
fn write_data(bytes: &[u8], message_bytes: usize) -> Option<(usize, usize)> {
    let at = usize::from(u16_at(bytes, HEADER_BYTES + 2)?);
    data_within(at, u32_at(bytes, HEADER_BYTES + 4)?, WRITE_HEAD_BYTES, message_bytes)
}

/// Where the data of the answer to a READ is, cut to the end of the message.
fn read_data(bytes: &[u8], message_bytes: usize) -> Option<(usize, usize)> {
    let status = Status::Nt(u32_at(bytes, 8)?);
    if !status.is_success() && status != BUFFER_OVERFLOW {
        return None;
    }
    let at = usize::from(u8_at(bytes, HEADER_BYTES + 2)?);
    data_within(at, u32_at(bytes, HEADER_BYTES + 4)?, READ_HEAD_BYTES, message_bytes)
}

fn data_within(at: usize, bytes: u32, at_min: usize, message_bytes: usize) -> Option<(usize, usize)> {
    let room = message_bytes.checked_sub(at).filter(|_| at >= at_min)?;
    Some((at, usize::try_from(bytes).map_or(room, |bytes| bytes.min(room))))
}

fn exchange(header: Header, detail: Detail<'static>) -> Exchange<'static> {
    Exchange {
        command: Command::V2(header.command),
        status: None,
        message_id: header.message_id,
        session_id: header.session_id,
        tree_id: header.tree_id,
        dialect: None,
        detail,
    }
}
