//! What a server says in SMB2.

use super::{
    ATTRIBUTE_DIRECTORY, CREATE, END_OF_FILE, HEADER_BYTES, Header, NEGOTIATE, PENDING, PIPE_TRANSCEIVE, SESSION_SETUP,
    TREE_CONNECT, TREE_DISCONNECT, exchange, read_data,
};
use crate::smb::bytes::{array_at, slice_at, u8_at, u16_at, u32_at, u64_at};
use crate::smb::event::{Command, Detail, Dialect, Open, ShareType, Status};
use crate::smb::frame::{Data, Message};
use crate::smb::ntlm;
use crate::smb::rpc::{RPC_BYTES_MAX, written_guid};
use crate::smb::state::{Handle, Key, Request, State};
use crate::smb::transfer::Way;
use crate::{Observer, OddityKind};

/// Reads what a server says.
pub(crate) fn answer(message: Message<'_>, state: &mut State, observer: &mut dyn Observer) -> Option<Data> {
    let Message { head, place, .. } = message;
    let header = Header::read(head)?;
    let body = head.get(HEADER_BYTES..)?;
    let status = Status::Nt(header.status);
    // What a server says unasked, such as the break of an oplock, has this message id (2.2.23.1); and an interim answer
    // (3.3.4.2) is followed by another.
    if header.message_id == u64::MAX || (status == PENDING && header.flags & Header::ASYNC != 0) {
        return None;
    }
    let key = Key { command: Command::V2(header.command), message_id: header.message_id };
    let mut request = match state.take(key) {
        Some(request) => request,
        // The client asked in the manner of SMB1 (3.3.5.3.1).
        None if header.command == NEGOTIATE && header.message_id == 0 => {
            state.take_negotiate().unwrap_or_else(|| unseen(message, header))
        }
        None => {
            state.oddities.tell(place, OddityKind::Tolerated, "answer_without_request", observer);
            unseen(message, header)
        }
    };
    request.exchange.status = Some(status);
    if request.exchange.session_id == 0 {
        request.exchange.session_id = header.session_id;
    }
    let mut data = None;
    let mut call = None;
    match &mut request.exchange.detail {
        Detail::Negotiate(negotiate) if status.is_success() => {
            let dialect = u16_at(body, 4).map(Dialect::Revision);
            negotiate.chosen = dialect;
            negotiate.server_guid = array_at(body, 8).map(written_guid);
            negotiate.read_bytes_max = u32_at(body, 32);
            negotiate.write_bytes_max = u32_at(body, 36);
            state.dialect = dialect;
        }
        Detail::SessionSetup(setup) => {
            let flags = u16_at(body, 2).filter(|_| status.is_success()).unwrap_or(0);
            setup.is_guest = flags & 1 != 0;
            setup.is_anonymous = flags & 2 != 0;
            if let (Some(at), Some(bytes)) = (u16_at(body, 4), u16_at(body, 6))
                && let Some(blob) = slice_at(head, at.into(), bytes.into())
            {
                ntlm::server_blob(blob, setup);
                state.challenge = setup.challenge;
            }
        }
        Detail::TreeConnect { path, share_type, .. } if status.is_success() => {
            request.exchange.tree_id = header.tree_id;
            let kind = match u8_at(body, 2).unwrap_or(0) {
                1 => ShareType::Disk,
                2 => ShareType::Pipe,
                3 => ShareType::Printer,
                other => ShareType::Unknown(other),
            };
            *share_type = Some(kind);
            state.connect(header.tree_id, path, kind == ShareType::Pipe);
        }
        Detail::Open(open) if status.is_success() => {
            opened(open, body);
            if let Some(id) = open.file_id {
                let is_pipe = open.target.is_pipe();
                let (handle, bytes) = (Handle::V2(id), open.file_bytes);
                state.transfers.open(handle, header.message_id, &open.name, is_pipe, bytes, observer);
            }
        }
        Detail::Open(_) => state.transfers.refuse(header.message_id, observer),
        Detail::Read { file, offset, bytes_asked, bytes } => {
            let handle = request.handle;
            if let Some(handle) = handle
                && status == END_OF_FILE
            {
                state.transfers.end_at(handle, *offset);
            }
            if let Some(handle) = handle
                && let Some((at, carried)) = read_data(head, message.bytes)
            {
                *bytes = u32::try_from(carried).unwrap_or(u32::MAX);
                if *bytes < *bytes_asked && status.is_success() {
                    state.transfers.end_at(handle, offset.saturating_add(carried as u64));
                }
                if carried > 0 {
                    match state.carry(handle, Way::Read, *offset, place, observer) {
                        Some(sink) => {
                            *file = Some(sink.file);
                            data = Some(Data { sink, at, bytes: carried });
                        }
                        None => call = Some((handle, at, carried)),
                    }
                }
            }
        }
        Detail::Write { file: Some(file), .. } if !status.is_success() => state.transfers.spoil(*file),
        Detail::Close { .. } if status.is_success() => {
            if let Some(handle) = request.handle {
                state.transfers.close(handle, observer);
            }
        }
        Detail::Rename { to, .. } if status.is_success() => {
            if let Some(handle) = request.handle {
                state.transfers.rename(handle, to);
            }
        }
        Detail::Control { code: PIPE_TRANSCEIVE } => {
            if let Some(handle) = request.handle
                && let (Some(at), Some(bytes)) = (u32_at(body, 32), u32_at(body, 36))
                && let (Ok(at), Ok(bytes)) = (usize::try_from(at), usize::try_from(bytes))
            {
                call = Some((handle, at, bytes));
            }
        }
        _ => {}
    }
    if header.command == TREE_DISCONNECT && status.is_success() {
        state.disconnect(request.exchange.tree_id);
    }
    state.tell(request, observer);
    if let Some((handle, at, bytes)) = call
        && let Some((call, place)) = message.within(at, bytes.min(RPC_BYTES_MAX))
    {
        let pipe = state.transfers.name(handle);
        state.rpc(call, place, &pipe, observer);
    }
    data
}

/// 2.2.14.
fn opened(open: &mut Open<'_>, body: &[u8]) {
    open.action = u32_at(body, 4);
    open.times = (|| Some([u64_at(body, 8)?, u64_at(body, 16)?, u64_at(body, 24)?, u64_at(body, 32)?]))();
    open.file_bytes = u64_at(body, 48);
    open.is_directory = u32_at(body, 56).is_some_and(|attributes| attributes & ATTRIBUTE_DIRECTORY != 0);
    open.file_id = array_at(body, 64);
}

/// What an answer says whose request was not seen.
fn unseen(message: Message<'_>, header: Header) -> Request {
    let detail = match header.command {
        NEGOTIATE => Detail::Negotiate(Box::default()),
        SESSION_SETUP => Detail::SessionSetup(Box::default()),
        TREE_CONNECT => Detail::TreeConnect {
            path: (&[]).into(),
            service_asked: (&[]).into(),
            service: (&[]).into(),
            share_type: None,
        },
        CREATE => Detail::Open(Box::default()),
        _ => Detail::Other,
    };
    Request { place: message.place, handle: None, exchange: exchange(header, detail) }
}
