//! SMB1 (MS-CIFS and MS-SMB).

mod client;
mod server;
mod transaction;

use std::borrow::Cow;

pub(super) use client::request;
pub(super) use server::answer;

use super::bytes::{narrow_string, slice_at, u8_at, u16_at, u32_at, wide_string};
use super::event::{Command, Detail, Exchange, Status};
use super::frame::{MESSAGE_BYTES_MAX, Shape};
use super::rpc::RPC_BYTES_MAX;
use super::state::{Handle, Key, State};
use crate::Side;

/// The length of the header (MS-CIFS, 2.2.3.1).
pub(super) const HEADER_BYTES: usize = 32;

/// How many blocks of a chain are read. Clients chain two, at most three.
const BLOCKS_MAX: usize = 8;

/// How many dialects of a negotiation are told. The longest list seen has 12.
const DIALECTS_MAX: usize = 32;

pub(super) const NEGOTIATE: u8 = 0x72;
const CREATE_DIRECTORY: u8 = 0x00;
const DELETE_DIRECTORY: u8 = 0x01;
const OPEN: u8 = 0x02;
const CREATE: u8 = 0x03;
const CLOSE: u8 = 0x04;
const DELETE: u8 = 0x06;
const RENAME: u8 = 0x07;
const QUERY_INFORMATION: u8 = 0x08;
const SET_INFORMATION: u8 = 0x09;
const READ: u8 = 0x0A;
const WRITE: u8 = 0x0B;
const CREATE_NEW: u8 = 0x0F;
const CHECK_DIRECTORY: u8 = 0x10;
const TRANS: u8 = 0x25;
const WRITE_AND_CLOSE: u8 = 0x2C;
const OPEN_ANDX: u8 = 0x2D;
const READ_ANDX: u8 = 0x2E;
const WRITE_ANDX: u8 = 0x2F;
const TRANS2: u8 = 0x32;
const SESSION_SETUP_ANDX: u8 = 0x73;
const LOGOFF_ANDX: u8 = 0x74;
const TREE_CONNECT: u8 = 0x70;
const TREE_DISCONNECT: u8 = 0x71;
const TREE_CONNECT_ANDX: u8 = 0x75;
const SEARCH: u8 = 0x81;
const FIND: u8 = 0x82;
const FIND_UNIQUE: u8 = 0x83;
const NT_TRANS: u8 = 0xA0;
const NT_CREATE_ANDX: u8 = 0xA2;
const NT_CANCEL: u8 = 0xA4;
const NT_RENAME: u8 = 0xA5;
const NO_MORE_BLOCKS: u8 = 0xFF;

/// FILE_DIRECTORY_FILE among the options of an opening (MS-SMB, 2.2.4.9.1).
const DIRECTORY_FILE: u32 = 1;

/// A header (MS-CIFS, 2.2.3.1).
#[derive(Debug, Clone, Copy)]
struct Header {
    command: u8,
    status: Status,
    is_wide: bool,
    /// Process and multiplex id.
    message_id: u64,
    tree_id: u16,
    user_id: u16,
}

impl Header {
    fn read(bytes: &[u8]) -> Option<Self> {
        let flags = u16_at(bytes, 10)?;
        let status = match flags & 0x4000 {
            0 => Status::Dos { class: u8_at(bytes, 5)?, code: u16_at(bytes, 7)? },
            _ => Status::Nt(u32_at(bytes, 5)?),
        };
        let (process_high, process_low) = (u16_at(bytes, 12)?, u16_at(bytes, 26)?);
        let process = u64::from(process_high) << 16 | u64::from(process_low);
        Some(Self {
            command: u8_at(bytes, 4)?,
            status,
            is_wide: flags & 0x8000 != 0,
            message_id: process << 16 | u64::from(u16_at(bytes, 30)?),
            tree_id: u16_at(bytes, 24)?,
            user_id: u16_at(bytes, 28)?,
        })
    }
}

/// A command's parameters and data: the words and the bytes (MS-CIFS, 2.2.3.2 and 2.2.3.3).
#[derive(Debug, Clone, Copy)]
struct Block<'a> {
    command: u8,
    words: &'a [u8],
    bytes: &'a [u8],
    /// Where `bytes` begins, from the header on.
    bytes_at: usize,
}

impl<'a> Block<'a> {
    fn read(head: &'a [u8], at: usize, command: u8) -> Option<Self> {
        let words_bytes = 2 * usize::from(u8_at(head, at)?);
        let words = slice_at(head, at + 1, words_bytes)?;
        let bytes_at = at + 1 + words_bytes + 2;
        let rest = head.get(bytes_at..)?;
        // A write of more than 64 KiB has a count that is wrong.
        let count = usize::from(u16_at(head, bytes_at - 2)?);
        let bytes = if is_counted(command) { &rest[..rest.len().min(count)] } else { rest };
        Some(Self { command, words, bytes, bytes_at })
    }

    /// The next block: its command and where it begins.
    fn next(&self) -> Option<(u8, usize)> {
        let is_chained = matches!(
            self.command,
            0x24 | OPEN_ANDX
                | READ_ANDX
                | WRITE_ANDX
                | SESSION_SETUP_ANDX
                | LOGOFF_ANDX
                | TREE_CONNECT_ANDX
                | NT_CREATE_ANDX
        );
        let [next, _, low, high, ..] = *self.words else { return None };
        let is_more = is_chained && next != NO_MORE_BLOCKS;
        is_more.then_some((next, usize::from(u16::from_le_bytes([low, high]))))
    }

    /// What is in `bytes` from `at` on; text of two bytes is aligned to the header.
    fn text_from(&self, at: usize, is_wide: bool) -> &'a [u8] {
        let pad = if is_wide { (self.bytes_at + at) & 1 } else { 0 };
        self.bytes.get(at + pad..).unwrap_or_default()
    }

    /// Text behind a byte that says what it is (MS-CIFS, 2.2.4, the old commands), and what is behind it.
    fn tagged(&self, at: usize, is_wide: bool) -> Option<(&'a [u8], usize)> {
        const TEXT: u8 = 4;
        if u8_at(self.bytes, at)? != TEXT {
            return None;
        }
        let raw = self.text_from(at + 1, is_wide);
        let (text, rest) = if is_wide { wide_string(raw) } else { narrow_string(raw) };
        Some((text, self.bytes.len() - rest.len()))
    }
}

fn is_counted(command: u8) -> bool {
    !matches!(command, WRITE_ANDX | READ_ANDX)
}

/// How much of the message must be there before it is read. `bytes` begins with its header, and is not more than it.
pub(super) fn shape(bytes: &[u8], message_bytes: usize, side: Side, state: &State) -> Shape {
    let (Some(header), Some(words)) = (Header::read(bytes), u8_at(bytes, HEADER_BYTES)) else {
        return Shape::Need(HEADER_BYTES + 1);
    };
    let carries = match side {
        Side::Client => matches!(header.command, WRITE_ANDX | WRITE | WRITE_AND_CLOSE),
        Side::Server => matches!(header.command, READ_ANDX | READ),
    };
    if !carries {
        // Of listings and properties, only the status is told.
        let is_bulk = side == Side::Server && header.command == TRANS2;
        return if is_bulk { Shape::Head(MESSAGE_BYTES_MAX) } else { Shape::Whole };
    }
    let block_bytes = HEADER_BYTES + 1 + 2 * usize::from(words) + 2 + 3;
    if bytes.len() < block_bytes.min(message_bytes) {
        return Shape::Need(block_bytes);
    }
    let Some(block) = Block::read(bytes, HEADER_BYTES, header.command) else { return Shape::Whole };
    let handle = match side {
        Side::Client => u16_at(block.words, if header.command == WRITE_ANDX { 4 } else { 0 }).map(Handle::V1),
        Side::Server => {
            let key = Key { command: Command::V1(header.command), message_id: header.message_id };
            state.asked(key).and_then(|request| request.handle)
        }
    };
    let is_pipe = handle.and_then(|handle| state.transfers.get(handle)).is_some_and(|opened| opened.is_pipe);
    match data(&block, message_bytes) {
        Some((at, bytes)) if is_pipe => Shape::Head(at + bytes.min(RPC_BYTES_MAX)),
        Some((at, _)) => Shape::Head(at),
        None => Shape::Whole,
    }
}

/// Where the data of a write or of the answer to a read is, cut to the end of the message. (MS-CIFS, 2.2.4.42, 2.2.4.43;
/// MS-SMB, 2.2.4.2, 2.2.4.3)
fn data(block: &Block<'_>, message_bytes: usize) -> Option<(usize, usize)> {
    let word = |at| u16_at(block.words, at).map(usize::from);
    let (at, bytes) = match block.command {
        WRITE_ANDX => (word(22)?, word(18)? << 16 | word(20)?),
        READ_ANDX => (word(12)?, word(14)? << 16 | word(10)?),
        WRITE => (block.bytes_at + 3, word(2)?),
        READ => (block.bytes_at + 3, word(0)?),
        WRITE_AND_CLOSE => (block.bytes_at + 1, word(2)?),
        _ => return None,
    };
    let room = message_bytes.checked_sub(at).filter(|_| at >= block.bytes_at)?;
    Some((at, bytes.min(room)))
}

fn exchange(header: Header, command: u8, detail: Detail<'static>) -> Exchange<'static> {
    Exchange {
        command: Command::V1(command),
        status: None,
        message_id: header.message_id,
        session_id: header.user_id.into(),
        tree_id: header.tree_id.into(),
        dialect: None,
        detail,
    }
}

fn tree_connect(path: Cow<'static, [u8]>, service: &[u8]) -> Detail<'static> {
    // A service has seven letters at most (MS-CIFS, 2.2.4.55.1).
    let service_asked = service[..service.len().min(16)].to_vec().into();
    Detail::TreeConnect { path, service_asked, service: (&[]).into(), share_type: None }
}
