//! What a server says in SMB1.

use super::transaction::Transaction;
use super::{
    BLOCKS_MAX, Block, CREATE, CREATE_NEW, HEADER_BYTES, Header, NEGOTIATE, NT_CREATE_ANDX, NT_TRANS, OPEN, OPEN_ANDX,
    SESSION_SETUP_ANDX, TRANS, TRANS2, TREE_CONNECT, TREE_CONNECT_ANDX, TREE_DISCONNECT, WRITE_AND_CLOSE, data,
    exchange, tree_connect,
};
use crate::smb::bytes::{array_at, narrow_string, u8_at, u16_at, u32_at, u64_at};
use crate::smb::event::{Command, Detail, Dialect, Exchange, Negotiate, Open, ShareType, Status};
use crate::smb::frame::{Data, Message};
use crate::smb::rpc::{RPC_BYTES_MAX, written_guid};
use crate::smb::state::{Handle, Key, Request, State};
use crate::smb::transfer::Way;
use crate::smb::{names, ntlm};
use crate::{Observer, OddityKind};

/// Reads what a server says.
pub(crate) fn answer(message: Message<'_>, state: &mut State, observer: &mut dyn Observer) -> Option<Data> {
    let header = Header::read(message.head)?;
    // The break of an oplock comes unasked, with this multiplex id (MS-CIFS, 3.3.4.2).
    if header.message_id & 0xFFFF == 0xFFFF {
        return None;
    }
    let mut data = None;
    let mut at = HEADER_BYTES;
    let mut command = header.command;
    for index in 0..BLOCKS_MAX {
        let block = Block::read(message.head, at, command);
        let key = Key { command: Command::V1(command), message_id: header.message_id };
        match state.take(key) {
            Some(request) => data = data.or(answered(message, header, block, request, state, observer)),
            // The results of a transaction may come in several messages, of which the first was the answer.
            None if index > 0 || matches!(command, TRANS | TRANS2 | NT_TRANS) => {}
            None => {
                state.oddities.tell(message.place, OddityKind::Tolerated, "answer_without_request", observer);
                let request = Request { place: message.place, handle: None, exchange: unseen(header, command) };
                data = data.or(answered(message, header, block, request, state, observer));
            }
        }
        match block.and_then(|block| block.next()) {
            Some((next, next_at)) if next_at > at => (command, at) = (next, next_at),
            Some(_) | None => break,
        }
    }
    // A block that failed ends the chain: what was asked behind it is not done, and not answered.
    if !header.status.is_success() {
        while let Some(request) = state.take_v1(header.message_id) {
            state.tell(request, observer);
        }
    }
    data
}

fn unseen(header: Header, command: u8) -> Exchange<'static> {
    let detail = match command {
        NEGOTIATE => Detail::Negotiate(Box::default()),
        SESSION_SETUP_ANDX => Detail::SessionSetup(Box::default()),
        TREE_CONNECT_ANDX => tree_connect((&[]).into(), b""),
        NT_CREATE_ANDX => Detail::Open(Box::default()),
        _ => Detail::Other,
    };
    exchange(header, command, detail)
}

/// Puts an answer into its request, and tells both.
fn answered(
    message: Message<'_>,
    header: Header,
    block: Option<Block<'_>>,
    mut request: Request,
    state: &mut State,
    observer: &mut dyn Observer,
) -> Option<Data> {
    let status = header.status;
    let is_success = status.is_success();
    request.exchange.status = Some(status);
    let words = block.map(|block| block.words).unwrap_or_default();
    let bytes = block.map(|block| block.bytes).unwrap_or_default();
    let command = block.map_or(header.command, |block| block.command);
    let mut carried = None;
    let mut call = None;
    match &mut request.exchange.detail {
        Detail::Negotiate(negotiate) if is_success => negotiated(negotiate, words, bytes, state),
        Detail::SessionSetup(setup) => {
            request.exchange.session_id = header.user_id.into();
            setup.is_guest = is_success && u16_at(words, 4).unwrap_or(0) & 1 != 0;
            let blob_bytes = if words.len() == 8 { usize::from(u16_at(words, 6).unwrap_or(0)) } else { 0 };
            if let Some(blob) = bytes.get(..blob_bytes).filter(|blob| !blob.is_empty()) {
                ntlm::server_blob(blob, setup);
                state.challenge = setup.challenge;
            }
            if let Some(block) = block {
                let text = block.text_from(blob_bytes, header.is_wide);
                let (os, rest) = state.string(text, header.is_wide, message.place, observer);
                setup.server_native_os = os;
                setup.server_native_lm = state.string(rest, header.is_wide, message.place, observer).0;
            }
        }
        Detail::TreeConnect { path, service, share_type, .. } if is_success => {
            let tree_id = match command {
                TREE_CONNECT => u16_at(words, 2).unwrap_or(header.tree_id),
                _ => header.tree_id,
            };
            request.exchange.tree_id = tree_id.into();
            let name = if command == TREE_CONNECT { &[] } else { narrow_string(bytes).0 };
            *service = name[..name.len().min(16)].to_vec().into();
            *share_type = match name {
                b"A:" => Some(ShareType::Disk),
                b"IPC" => Some(ShareType::Pipe),
                b"LPT1:" => Some(ShareType::Printer),
                _ => None,
            };
            state.connect(tree_id.into(), path, name == b"IPC");
        }
        Detail::Open(open) if is_success => {
            if let Some(file_id) = opened(open, command, words, message.head) {
                let mut id = [0; 16];
                id[..2].copy_from_slice(&file_id.to_le_bytes());
                open.file_id = Some(id);
                let (is_pipe, bytes) = (open.target.is_pipe(), open.file_bytes);
                let handle = Handle::V1(file_id);
                state.transfers.open(handle, header.message_id, &open.name, is_pipe, bytes, observer);
            }
        }
        Detail::Read { file, offset, bytes_asked, bytes } if is_success || is_overflow(status) => {
            if let Some(handle) = request.handle
                && let Some(block) = block
                && let Some((at, count)) = data(&block, message.bytes)
            {
                *bytes = u32::try_from(count).unwrap_or(u32::MAX);
                if *bytes < *bytes_asked && is_success {
                    state.transfers.end_at(handle, offset.saturating_add(count as u64));
                }
                if count > 0 {
                    match state.carry(handle, Way::Read, *offset, message.place, observer) {
                        Some(sink) => {
                            *file = Some(sink.file);
                            carried = Some(Data { sink, at, bytes: count });
                        }
                        None => call = Some((handle, at, count)),
                    }
                }
            }
        }
        Detail::Write { file, .. } => {
            if let Some(file) = file
                && !is_success
            {
                state.transfers.spoil(*file);
            }
            if command == WRITE_AND_CLOSE
                && is_success
                && let Some(handle) = request.handle
            {
                state.transfers.close(handle, observer);
            }
        }
        Detail::Close { .. } if is_success => {
            if let Some(handle) = request.handle {
                state.transfers.close(handle, observer);
            }
        }
        Detail::Transaction { .. } => {
            // The data of the answer (MS-CIFS, 2.2.4.33.2) is that of the pipe.
            if let Some(handle) = request.handle
                && command == TRANS
                && let (Some(count), Some(at)) = (u16_at(words, 12), u16_at(words, 14))
            {
                call = Some((handle, at.into(), count.into()));
            }
        }
        _ => {}
    }
    if command == TREE_DISCONNECT && is_success {
        state.disconnect(header.tree_id.into());
    }
    state.tell(request, observer);
    if let Some((handle, at, bytes)) = call
        && let Some((call, place)) = message.within(at, bytes.min(RPC_BYTES_MAX))
    {
        let pipe = state.transfers.name(handle);
        state.rpc(call, place, &pipe, observer);
    }
    carried
}

/// Whether there is more to read in a pipe than was asked for: STATUS_BUFFER_OVERFLOW, or ERRDOS/ERRmoredata.
fn is_overflow(status: Status) -> bool {
    matches!(status, Status::Nt(0x8000_0005) | Status::Dos { class: 1, code: 234 })
}

/// MS-CIFS, 2.2.4.52.2, and MS-SMB, 2.2.4.5.2: 17 words of NT LM 0.12, 13 of LAN Manager, 1 of the core protocol.
fn negotiated(negotiate: &mut Negotiate<'static>, words: &[u8], bytes: &[u8], state: &mut State) {
    const ENCRYPT_PASSWORDS: u16 = 2;
    const EXTENDED_SECURITY: u32 = 0x8000_0000;
    let chosen = u16_at(words, 0).and_then(|index| negotiate.names.get(usize::from(index)));
    negotiate.chosen = chosen.map(|name| Dialect::Named(names::dialect(name)));
    state.dialect = negotiate.chosen;
    let mode = match words.len() / 2 {
        17 => u8_at(words, 2).map(u16::from),
        13 => u16_at(words, 2),
        _ => Some(0),
    };
    if negotiate.chosen.is_some() {
        negotiate.is_plain_text = mode.is_some_and(|mode| mode & ENCRYPT_PASSWORDS == 0);
        state.is_plain_text = Some(negotiate.is_plain_text);
    }
    if words.len() / 2 == 17 {
        if u32_at(words, 19).is_some_and(|capabilities| capabilities & EXTENDED_SECURITY != 0) {
            negotiate.server_guid = array_at(bytes, 0).map(written_guid);
        } else {
            state.challenge = array_at(bytes, 0);
        }
    }
}

/// What an opening came to; its FID.
fn opened(open: &mut Open<'_>, command: u8, words: &[u8], head: &[u8]) -> Option<u16> {
    match command {
        // MS-CIFS, 2.2.4.64.2.
        NT_CREATE_ANDX => {
            open.action = u32_at(words, 7);
            open.times = times(words, 11);
            open.file_bytes = u64_at(words, 55);
            open.is_directory = u8_at(words, 67).is_some_and(|flag| flag != 0);
            u16_at(words, 5)
        }
        // 2.2.4.41.2: the low bits of the result are 1 opened, 2 created, 3 truncated.
        OPEN_ANDX => {
            open.file_bytes = u32_at(words, 12).map(u64::from);
            open.action = u16_at(words, 22).map(|result| u32::from(result & 3));
            u16_at(words, 4)
        }
        OPEN => {
            open.file_bytes = u32_at(words, 8).map(u64::from);
            u16_at(words, 0)
        }
        CREATE | CREATE_NEW => u16_at(words, 0),
        // 2.2.7.1.2.
        NT_TRANS => {
            let parameters = Transaction::answer_parameters_nt(words, head)?;
            open.action = u32_at(parameters, 4);
            open.times = times(parameters, 12);
            open.file_bytes = u64_at(parameters, 56);
            open.is_directory = u8_at(parameters, 68).is_some_and(|flag| flag != 0);
            u16_at(parameters, 2)
        }
        // 2.2.6.1.2.
        TRANS2 => {
            let parameters = Transaction::answer_parameters(words, head)?;
            open.file_bytes = u32_at(parameters, 8).map(u64::from);
            open.action = u16_at(parameters, 18).map(|result| u32::from(result & 3));
            u16_at(parameters, 0)
        }
        _ => None,
    }
}

fn times(bytes: &[u8], at: usize) -> Option<[u64; 4]> {
    Some([u64_at(bytes, at)?, u64_at(bytes, at + 8)?, u64_at(bytes, at + 16)?, u64_at(bytes, at + 24)?])
}
