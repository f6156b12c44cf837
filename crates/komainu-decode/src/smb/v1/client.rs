//! What a client says in SMB1.

use std::borrow::Cow;

use super::transaction::{self, Transaction};
use super::{
    BLOCKS_MAX, Block, CHECK_DIRECTORY, CLOSE, CREATE, CREATE_DIRECTORY, CREATE_NEW, DELETE, DELETE_DIRECTORY,
    DIALECTS_MAX, DIRECTORY_FILE, FIND, FIND_UNIQUE, HEADER_BYTES, Header, NEGOTIATE, NT_CANCEL, NT_CREATE_ANDX,
    NT_RENAME, NT_TRANS, OPEN, OPEN_ANDX, QUERY_INFORMATION, READ, READ_ANDX, RENAME, SEARCH, SESSION_SETUP_ANDX,
    SET_INFORMATION, TRANS, TRANS2, TREE_CONNECT, TREE_CONNECT_ANDX, WRITE, WRITE_AND_CLOSE, WRITE_ANDX, data,
    exchange, tree_connect,
};
use crate::smb::bytes::{narrow_string, slice_at, u16_at, u32_at, utf8_of_wide};
use crate::smb::event::{Detail, Disposition, Mechanism, Negotiate, Open, SessionSetup};
use crate::smb::frame::{Data, Message};
use crate::smb::ntlm;
use crate::smb::rpc::RPC_BYTES_MAX;
use crate::smb::state::{Handle, Request, State};
use crate::smb::transfer::Way;
use crate::{Observer, OddityKind};

/// Reads what a client says.
pub(crate) fn request(message: Message<'_>, state: &mut State, observer: &mut dyn Observer) -> Option<Data> {
    let header = Header::read(message.head)?;
    let mut data = None;
    let mut at = HEADER_BYTES;
    let mut command = header.command;
    for _ in 0..BLOCKS_MAX {
        let block = Block::read(message.head, at, command);
        let mut asked = Asked { header, message, state, observer, handle: None, data: None };
        let detail = block.and_then(|block| asked.detail(block)).unwrap_or_else(|| {
            let (kind, what) = match message.is_cut {
                true => (OddityKind::Bound, "message_too_long"),
                false => (OddityKind::Tolerated, "request_malformed"),
            };
            asked.state.oddities.tell(message.place, kind, what, asked.observer);
            Detail::Other
        });
        let handle = asked.handle;
        data = data.or(asked.data);
        let request = Request { place: message.place, handle, exchange: exchange(header, command, detail) };
        // NT_CANCEL is never answered (MS-CIFS, 2.2.4.65); secondary requests are not answered by themselves.
        if matches!(command, NT_CANCEL | 0x26 | 0x33 | 0xA1) {
            state.tell(request, observer);
        } else {
            state.ask(request, observer);
        }
        match block.and_then(|block| block.next()) {
            Some((next, next_at)) if next_at > at => (command, at) = (next, next_at),
            Some(_) => {
                state.oddities.tell(message.place, OddityKind::Skipped, "chain_goes_back", observer);
                break;
            }
            None => break,
        }
    }
    data
}

/// A block of a request that is being read.
pub(super) struct Asked<'a, 'o> {
    pub(super) header: Header,
    pub(super) message: Message<'a>,
    pub(super) state: &'a mut State,
    pub(super) observer: &'a mut (dyn Observer + 'o),
    pub(super) handle: Option<Handle>,
    data: Option<Data>,
}

impl Asked<'_, '_> {
    fn detail(&mut self, block: Block<'_>) -> Option<Detail<'static>> {
        let words = block.words;
        Some(match block.command {
            NEGOTIATE => self.negotiate(block),
            SESSION_SETUP_ANDX => Detail::SessionSetup(Box::new(self.session_setup(block)?)),
            TREE_CONNECT_ANDX => {
                let password = usize::from(u16_at(words, 6)?);
                let (path, rest) = self.string(block.text_from(password, self.header.is_wide));
                tree_connect(path, narrow_string(rest).0)
            }
            TREE_CONNECT => {
                // Three tagged texts (MS-CIFS, 2.2.4.50.1), none of two bytes.
                let (path, password_at) = block.tagged(0, false)?;
                let (_, service_at) = block.tagged(password_at, false)?;
                let path = self.state.text(path, false, self.message.place, self.observer);
                tree_connect(path, block.tagged(service_at, false)?.0)
            }
            NT_CREATE_ANDX => {
                let raw = block.text_from(0, self.header.is_wide);
                // The length may be one that counts the NUL, or not.
                let name = &raw[..raw.len().min(usize::from(u16_at(words, 5)?))];
                self.open(name, u32_at(words, 15), u32_at(words, 35), u32_at(words, 39))
            }
            OPEN_ANDX => self.open(block.text_from(0, self.header.is_wide), None, None, None),
            OPEN | CREATE | CREATE_NEW => {
                let (name, _) = block.tagged(0, self.header.is_wide)?;
                self.open(name, None, None, None)
            }
            CLOSE => {
                let handle = self.handle(u16_at(words, 0)?);
                self.state.transfers.closing(handle);
                Detail::Close { name: self.state.transfers.name(handle).into() }
            }
            DELETE | CREATE_DIRECTORY | DELETE_DIRECTORY | QUERY_INFORMATION | SET_INFORMATION | CHECK_DIRECTORY => {
                let (name, _) = block.tagged(0, self.header.is_wide)?;
                Detail::Path { name: self.text(name) }
            }
            SEARCH | FIND | FIND_UNIQUE => {
                let (pattern, _) = block.tagged(0, self.header.is_wide)?;
                Detail::Find { pattern: self.text(pattern), directory: (&[]).into() }
            }
            RENAME | NT_RENAME => {
                let (from, to_at) = block.tagged(0, self.header.is_wide)?;
                let (to, _) = block.tagged(to_at, self.header.is_wide)?;
                Detail::Rename { from: self.text(from), to: self.text(to) }
            }
            READ => {
                self.handle(u16_at(words, 0)?);
                let (offset, bytes_asked) = (u32_at(words, 4)?.into(), u16_at(words, 2)?.into());
                Detail::Read { file: None, offset, bytes_asked, bytes: 0 }
            }
            READ_ANDX => {
                self.handle(u16_at(words, 4)?);
                let high = u16_at(words, 14).filter(|high| *high != u16::MAX).unwrap_or(0);
                let bytes_asked = u32::from(high) << 16 | u32::from(u16_at(words, 10)?);
                Detail::Read { file: None, offset: offset(words, 6, 20)?, bytes_asked, bytes: 0 }
            }
            WRITE => self.write(block, u16_at(words, 0)?, u32_at(words, 4)?.into())?,
            WRITE_AND_CLOSE => {
                let write = self.write(block, u16_at(words, 0)?, u32_at(words, 4)?.into())?;
                if let Some(handle) = self.handle {
                    self.state.transfers.closing(handle);
                }
                write
            }
            WRITE_ANDX => self.write(block, u16_at(words, 4)?, offset(words, 6, 24)?)?,
            TRANS => transaction::trans(self, Transaction::read(words, self.message.head)?, block),
            TRANS2 => transaction::trans2(self, Transaction::read(words, self.message.head)?)?,
            NT_TRANS => transaction::nt_trans(self, Transaction::read_nt(words, self.message.head)?)?,
            _ => Detail::Other,
        })
    }

    /// MS-CIFS, 2.2.4.52.1: each name stands behind a 2 and ends with NUL.
    fn negotiate(&mut self, block: Block<'_>) -> Detail<'static> {
        let mut names = Vec::new();
        let mut bytes = block.bytes;
        while let [2, rest @ ..] = bytes
            && names.len() < DIALECTS_MAX
        {
            let (name, behind) = narrow_string(rest);
            names.push(self.state.text(name, false, self.message.place, self.observer));
            bytes = behind;
        }
        Detail::Negotiate(Box::new(Negotiate { names, ..Negotiate::default() }))
    }

    /// MS-CIFS, 2.2.4.53.1, and MS-SMB, 2.2.4.6.1. What it is shows in the number of its words: 10 before NT, 13 since,
    /// 12 with a security blob.
    fn session_setup(&mut self, block: Block<'_>) -> Option<SessionSetup<'static>> {
        let is_wide = self.header.is_wide;
        let mut setup = SessionSetup { challenge: self.state.challenge, ..SessionSetup::default() };
        let password = usize::from(u16_at(block.words, 14)?);
        match block.words.len() / 2 {
            12 => {
                ntlm::client_blob(block.bytes.get(..password)?, &mut setup);
                let (os, rest) = self.string(block.text_from(password, is_wide));
                setup.native_os = os;
                setup.native_lm = self.string(rest).0;
            }
            13 => {
                let wide_password = usize::from(u16_at(block.words, 16)?);
                let lm = block.bytes.get(..password)?;
                let nt = slice_at(block.bytes, password, wide_password)?;
                self.prove(&mut setup, lm, nt);
                self.names(&mut setup, block.text_from(password + wide_password, is_wide));
            }
            _ => {
                self.prove(&mut setup, block.bytes.get(..password)?, &[]);
                self.names(&mut setup, block.text_from(password, is_wide));
            }
        }
        Some(setup)
    }

    /// Passwords or responses, of which a response of LM or NTLM has 24 bytes and one of NTLMv2 more.
    fn prove(&mut self, setup: &mut SessionSetup<'static>, lm: &[u8], nt: &[u8]) {
        const RESPONSE_BYTES: usize = 24;
        let looks_like_response = lm.len() == RESPONSE_BYTES || nt.len() >= RESPONSE_BYTES;
        if self.state.is_plain_text.unwrap_or(!looks_like_response) {
            let password = if lm.is_empty() { utf8_of_wide(nt) } else { lm.to_vec() };
            let end = password.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
            setup.proof = password[..end].to_vec().into();
            setup.mechanism = Some(Mechanism::Plain);
        } else {
            let response = if nt.is_empty() { lm } else { nt };
            setup.proof = if matches!(response, [0] | []) { (&[]).into() } else { response.to_vec().into() };
            setup.mechanism = Some(Mechanism::Ntlm);
        }
    }

    fn names(&mut self, setup: &mut SessionSetup<'static>, bytes: &[u8]) {
        let (user, rest) = self.string(bytes);
        let (domain, rest) = self.string(rest);
        let (os, rest) = self.string(rest);
        (setup.user, setup.domain, setup.native_os) = (user, domain, os);
        setup.native_lm = self.string(rest).0;
    }

    pub(super) fn open(
        &mut self,
        name: &[u8],
        access: Option<u32>,
        disposition: Option<u32>,
        options: Option<u32>,
    ) -> Detail<'static> {
        let (name, _) = self.string(name);
        let (share, target) = self.state.share_of(self.header.tree_id.into(), &name);
        Detail::Open(Box::new(Open {
            share,
            name,
            target,
            disposition: disposition.map(Disposition),
            access,
            options,
            is_directory: options.is_some_and(|options| options & DIRECTORY_FILE != 0),
            ..Open::default()
        }))
    }

    fn write(&mut self, block: Block<'_>, file_id: u16, offset: u64) -> Option<Detail<'static>> {
        let handle = self.handle(file_id);
        let place = self.message.place;
        let Some((at, bytes)) = data(&block, self.message.bytes) else {
            self.state.oddities.tell(place, OddityKind::Skipped, "data_beyond_message", self.observer);
            return Some(Detail::Write { file: None, offset, bytes: 0 });
        };
        let told = u32::try_from(bytes).unwrap_or(u32::MAX);
        if bytes == 0 {
            return Some(Detail::Write { file: None, offset, bytes: 0 });
        }
        let sink = self.state.carry(handle, Way::Write, offset, place, self.observer);
        match sink {
            Some(sink) => self.data = Some(Data { sink, at, bytes }),
            None => self.rpc(handle, at, bytes),
        }
        Some(Detail::Write { file: sink.map(|sink| sink.file), offset, bytes: told })
    }

    pub(super) fn handle(&mut self, file_id: u16) -> Handle {
        let handle = Handle::V1(file_id);
        self.handle = Some(handle);
        handle
    }

    /// Where text begins that would begin at `at`, in a part that begins at an even place.
    pub(super) fn even(&self, at: usize) -> usize {
        if self.header.is_wide { at.next_multiple_of(2) } else { at }
    }

    fn text(&mut self, raw: &[u8]) -> Cow<'static, [u8]> {
        self.state.text(raw, self.header.is_wide, self.message.place, self.observer)
    }

    pub(super) fn string<'a>(&mut self, bytes: &'a [u8]) -> (Cow<'static, [u8]>, &'a [u8]) {
        self.state.string(bytes, self.header.is_wide, self.message.place, self.observer)
    }

    pub(super) fn rpc(&mut self, handle: Handle, at: usize, bytes: usize) {
        if let Some((call, place)) = self.message.within(at, bytes.min(RPC_BYTES_MAX)) {
            let pipe = self.state.transfers.name(handle);
            self.state.rpc(call, place, &pipe, self.observer);
        }
    }
}

/// An offset whose high half only newer clients send.
fn offset(words: &[u8], low_at: usize, high_at: usize) -> Option<u64> {
    let high = u32_at(words, high_at).unwrap_or(0);
    Some(u64::from(high) << 32 | u64::from(u32_at(words, low_at)?))
}
