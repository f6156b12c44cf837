//! What a client says in SMB2.

use std::borrow::Cow;

use super::{
    CANCEL, CLOSE, CREATE, DIALECTS_MAX, DIRECTORY_FILE, HEADER_BYTES, Header, IOCTL, NEGOTIATE, PIPE_TRANSCEIVE,
    QUERY_DIRECTORY, READ, Related, SESSION_SETUP, SET_INFO, TREE_CONNECT, WRITE, exchange, write_data,
};
use crate::smb::bytes::{array_at, slice_at, u8_at, u16_at, u32_at, u64_at};
use crate::smb::event::{Change, Command, Detail, Disposition, Negotiate, Open, SessionSetup};
use crate::smb::frame::{Data, Message};
use crate::smb::ntlm;
use crate::smb::rpc::{RPC_BYTES_MAX, written_guid};
use crate::smb::state::{Handle, Key, Request, State};
use crate::smb::transfer::Way;
use crate::{Observer, OddityKind};

/// Reads what a client says.
pub(crate) fn request(message: Message<'_>, state: &mut State, observer: &mut dyn Observer) -> Option<Data> {
    let Message { head, place, .. } = message;
    let mut header = Header::read(head)?;
    let body = head.get(HEADER_BYTES..)?;
    if header.flags & Header::RELATED == 0 {
        state.related = Related { session_id: header.session_id, tree_id: header.tree_id, handle: None };
    } else {
        if header.session_id == u64::MAX {
            header.session_id = state.related.session_id;
        }
        if header.tree_id == u32::MAX {
            header.tree_id = state.related.tree_id;
        }
    }
    if header.command == CREATE {
        state.related.handle = Some(Handle::Created(header.message_id));
    }
    let mut asked = Asked { header, message, state, observer, handle: None, data: None };
    let detail = asked.detail(body).unwrap_or_else(|| {
        // Too short for what its command needs, or cut at the bound.
        if message.is_cut {
            asked.state.oddities.tell(place, OddityKind::Bound, "message_too_long", asked.observer);
        } else {
            asked.state.oddities.tell(place, OddityKind::Tolerated, "request_malformed", asked.observer);
        }
        Detail::Other
    });
    let Asked { handle, data, .. } = asked;
    let exchange = exchange(header, detail);
    let request = Request { place, handle, exchange };
    // A CANCEL is never answered (3.3.5.16).
    if header.command == CANCEL {
        state.tell(request, observer);
    } else {
        state.ask(request, observer);
    }
    data
}

/// A request that is being read.
struct Asked<'a, 'o> {
    header: Header,
    message: Message<'a>,
    state: &'a mut State,
    observer: &'a mut (dyn Observer + 'o),
    handle: Option<Handle>,
    data: Option<Data>,
}

impl Asked<'_, '_> {
    fn detail(&mut self, body: &[u8]) -> Option<Detail<'static>> {
        Some(match self.header.command {
            NEGOTIATE => {
                let count = usize::from(u16_at(body, 2)?).min(DIALECTS_MAX);
                Detail::Negotiate(Box::new(Negotiate {
                    revisions: (0..count).map_while(|index| u16_at(body, 36 + 2 * index)).collect(),
                    client_guid: array_at(body, 12).map(written_guid),
                    ..Negotiate::default()
                }))
            }
            SESSION_SETUP => {
                let mut setup = SessionSetup { challenge: self.state.challenge, ..SessionSetup::default() };
                ntlm::client_blob(self.buffer(u16_at(body, 12)?, u16_at(body, 14)?)?, &mut setup);
                Detail::SessionSetup(Box::new(setup))
            }
            TREE_CONNECT => Detail::TreeConnect {
                path: self.wide(u16_at(body, 4)?, u16_at(body, 6)?)?,
                service_asked: (&[]).into(),
                service: (&[]).into(),
                share_type: None,
            },
            CREATE => self.create(body)?,
            CLOSE => {
                let handle = self.handle(body, 8)?;
                self.state.transfers.closing(handle);
                Detail::Close { name: self.state.transfers.name(handle).into() }
            }
            READ => {
                self.handle(body, 16)?;
                Detail::Read { file: None, offset: u64_at(body, 8)?, bytes_asked: u32_at(body, 4)?, bytes: 0 }
            }
            WRITE => self.write(body)?,
            IOCTL => self.control(body)?,
            QUERY_DIRECTORY => {
                let handle = self.handle(body, 8)?;
                Detail::Find {
                    pattern: self.wide(u16_at(body, 24)?, u16_at(body, 26)?)?,
                    directory: self.state.transfers.name(handle).into(),
                }
            }
            SET_INFO => self.set_info(body)?,
            _ => Detail::Other,
        })
    }

    fn create(&mut self, body: &[u8]) -> Option<Detail<'static>> {
        let name = self.wide(u16_at(body, 44)?, u16_at(body, 46)?)?;
        let options = u32_at(body, 40)?;
        let (share, target) = self.state.share_of(self.header.tree_id, &name);
        Some(Detail::Open(Box::new(Open {
            share,
            name,
            target,
            disposition: Some(Disposition(u32_at(body, 36)?)),
            access: Some(u32_at(body, 24)?),
            options: Some(options),
            is_directory: options & DIRECTORY_FILE != 0,
            ..Open::default()
        })))
    }

    fn write(&mut self, body: &[u8]) -> Option<Detail<'static>> {
        let (offset, bytes) = (u64_at(body, 8)?, u32_at(body, 4)?);
        let handle = self.handle(body, 16)?;
        let place = self.message.place;
        let Some((at, carried)) = write_data(self.message.head, self.message.bytes) else {
            self.state.oddities.tell(place, OddityKind::Skipped, "data_beyond_message", self.observer);
            return Some(Detail::Write { file: None, offset, bytes });
        };
        if u32::try_from(carried) != Ok(bytes) {
            self.state.oddities.tell(place, OddityKind::Tolerated, "data_beyond_message", self.observer);
        }
        self.expect(handle);
        if carried == 0 {
            return Some(Detail::Write { file: None, offset, bytes });
        }
        let sink = self.state.carry(handle, Way::Write, offset, place, self.observer);
        match sink {
            Some(sink) => self.data = Some(Data { sink, at, bytes: carried }),
            None => self.rpc(handle, at, carried),
        }
        Some(Detail::Write { file: sink.map(|sink| sink.file), offset, bytes })
    }

    /// A file that the same compound creates is not open yet when it is written to.
    fn expect(&mut self, handle: Handle) {
        if let Handle::Created(message_id) = handle
            && let Some(request) = self.state.asked(Key { command: Command::V2(CREATE), message_id })
            && let Detail::Open(open) = &request.exchange.detail
        {
            let (name, is_pipe) = (open.name.clone(), open.target.is_pipe());
            self.state.transfers.expect(message_id, &name, is_pipe, self.observer);
        }
    }

    fn control(&mut self, body: &[u8]) -> Option<Detail<'static>> {
        let code = u32_at(body, 4)?;
        if code == PIPE_TRANSCEIVE {
            let handle = self.handle(body, 8)?;
            let (at, bytes) = (u32_at(body, 24)?, u32_at(body, 28)?);
            self.rpc(handle, usize::try_from(at).ok()?, usize::try_from(bytes).ok()?);
        }
        Some(Detail::Control { code })
    }

    /// 2.2.39; the classes are in MS-FSCC, 2.4.
    fn set_info(&mut self, body: &[u8]) -> Option<Detail<'static>> {
        const FILE: u8 = 1;
        let (info_type, class) = (u8_at(body, 2)?, u8_at(body, 3)?);
        let handle = self.handle(body, 16)?;
        let bytes = usize::try_from(u32_at(body, 4)?).ok()?;
        let at = usize::from(u16_at(body, 8)?);
        let head = self.message.head;
        let buffer = slice_at(head, at, bytes).or_else(|| head.get(at..)).unwrap_or_default();
        let name = self.state.transfers.name(handle).into();
        let change = match (info_type, class) {
            (FILE, 10 | 65) => {
                let length = usize::try_from(u32_at(buffer, 16)?).ok()?;
                let raw = slice_at(buffer, 20, length)?;
                let to = self.state.text(raw, true, self.message.place, self.observer);
                return Some(Detail::Rename { from: name, to });
            }
            (FILE, 13 | 64) => Change::Delete(u8_at(buffer, 0)? & 1 != 0),
            (FILE, 20) => Change::End(u64_at(buffer, 0)?),
            _ => Change::Level { info_type, level: class.into() },
        };
        Some(Detail::SetInfo { name, change })
    }

    /// The file that a request is about.
    fn handle(&mut self, body: &[u8], at: usize) -> Option<Handle> {
        let id: [u8; 16] = array_at(body, at)?;
        let related = self.state.related.handle.filter(|_| id == [0xFF; 16]);
        let handle = related.unwrap_or(Handle::V2(id));
        self.state.related.handle = Some(handle);
        self.handle = Some(handle);
        Some(handle)
    }

    /// What is at an offset from the header; empty if it has no length.
    fn buffer(&self, at: u16, bytes: u16) -> Option<&[u8]> {
        if bytes == 0 { Some(&[]) } else { slice_at(self.message.head, at.into(), bytes.into()) }
    }

    fn wide(&mut self, at: u16, bytes: u16) -> Option<Cow<'static, [u8]>> {
        let raw = if bytes == 0 { &[][..] } else { slice_at(self.message.head, at.into(), bytes.into())? };
        Some(self.state.text(raw, true, self.message.place, self.observer))
    }

    fn rpc(&mut self, handle: Handle, at: usize, bytes: usize) {
        let call = self.message.within(at, bytes.min(RPC_BYTES_MAX));
        if let Some((call, place)) = call {
            let pipe = self.state.transfers.name(handle);
            self.state.rpc(call, place, &pipe, self.observer);
        }
    }
}
