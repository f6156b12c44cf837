//! The transactions of SMB1: TRANSACTION, TRANSACTION2 and NT_TRANSACT (MS-CIFS, 2.2.4.33, 2.2.4.46, 2.2.4.62).

use std::borrow::Cow;

use super::Block;
use super::client::Asked;
use crate::smb::bytes::{slice_at, u8_at, u16_at, u32_at, u64_at};
use crate::smb::event::{Change, Detail};

const FIND_FIRST2: u16 = 0x01;
const OPEN2: u16 = 0x00;
const QUERY_PATH_INFORMATION: u16 = 0x05;
const SET_PATH_INFORMATION: u16 = 0x06;
const QUERY_FILE_INFORMATION: u16 = 0x07;
const SET_FILE_INFORMATION: u16 = 0x08;
const CREATE_DIRECTORY: u16 = 0x0D;
const GET_DFS_REFERRAL: u16 = 0x10;

/// TRANSACT_NMPIPE: a write to a pipe, and a read of the answer (MS-CIFS, 2.2.5.6).
const TRANSACT_NMPIPE: u16 = 0x26;

/// NT_TRANSACT_CREATE (MS-CIFS, 2.2.7.1).
const NT_CREATE: u16 = 0x01;

/// The parts of a transaction, where they lie.
#[derive(Debug, Clone, Copy)]
pub(super) struct Transaction<'a> {
    setup: &'a [u8],
    function: u16,
    parameters: &'a [u8],
    data: &'a [u8],
    data_at: usize,
}

impl<'a> Transaction<'a> {
    /// TRANSACTION and TRANSACTION2.
    pub(super) fn read(words: &'a [u8], head: &'a [u8]) -> Option<Self> {
        let at = |at| u16_at(words, at).map(usize::from);
        let setup = words.get(28..).unwrap_or_default();
        let data_at = at(24)?;
        Some(Self {
            setup,
            function: u16_at(setup, 0).unwrap_or(u16::MAX),
            parameters: part(head, at(20)?, at(18)?),
            data: part(head, data_at, at(22)?),
            data_at,
        })
    }

    pub(super) fn read_nt(words: &'a [u8], head: &'a [u8]) -> Option<Self> {
        let at = |at| u32_at(words, at).and_then(|at| usize::try_from(at).ok());
        let data_at = at(31)?;
        Some(Self {
            setup: words.get(38..).unwrap_or_default(),
            function: u16_at(words, 36)?,
            parameters: part(head, at(23)?, at(19)?),
            data: part(head, data_at, at(27)?),
            data_at,
        })
    }

    /// The parameters of an answer to TRANSACTION2 (MS-CIFS, 2.2.4.46.2).
    pub(super) fn answer_parameters(words: &[u8], head: &'a [u8]) -> Option<&'a [u8]> {
        slice_at(head, u16_at(words, 8)?.into(), u16_at(words, 6)?.into())
    }

    /// The parameters of an answer to NT_TRANSACT (MS-CIFS, 2.2.4.62.2).
    pub(super) fn answer_parameters_nt(words: &[u8], head: &'a [u8]) -> Option<&'a [u8]> {
        let at = |at| u32_at(words, at).and_then(|at| usize::try_from(at).ok());
        slice_at(head, at(15)?, at(11)?)
    }
}

/// A part of a message, as far as it is there.
fn part(head: &[u8], at: usize, bytes: usize) -> &[u8] {
    let rest = head.get(at..).unwrap_or_default();
    &rest[..rest.len().min(bytes)]
}

/// What a TRANSACTION is about: a pipe, most of the time.
pub(super) fn trans(asked: &mut Asked<'_, '_>, transaction: Transaction<'_>, block: Block<'_>) -> Detail<'static> {
    let (name, _) = asked.string(block.text_from(0, asked.header.is_wide));
    let subcommand = u16_at(transaction.setup, 0);
    if subcommand == Some(TRANSACT_NMPIPE)
        && let Some(file_id) = u16_at(transaction.setup, 2)
    {
        let handle = asked.handle(file_id);
        asked.rpc(handle, transaction.data_at, transaction.data.len());
    }
    Detail::Transaction { subcommand, name }
}

/// What a TRANSACTION2 is about (MS-CIFS, 2.2.6).
pub(super) fn trans2(asked: &mut Asked<'_, '_>, transaction: Transaction<'_>) -> Option<Detail<'static>> {
    let Transaction { function, parameters, data, .. } = transaction;
    let path = |at| parameters.get(at..);
    Some(match function {
        OPEN2 => asked.open(path(28)?, None, None, None),
        FIND_FIRST2 => Detail::Find { pattern: asked.string(path(12)?).0, directory: (&[]).into() },
        SET_PATH_INFORMATION => {
            let name = asked.string(path(6)?).0;
            set(asked, name, u16_at(parameters, 0)?, data)?
        }
        SET_FILE_INFORMATION => {
            let handle = asked.handle(u16_at(parameters, 0)?);
            let name = asked.state.transfers.name(handle).into();
            set(asked, name, u16_at(parameters, 2)?, data)?
        }
        QUERY_FILE_INFORMATION => {
            let handle = asked.handle(u16_at(parameters, 0)?);
            let name = asked.state.transfers.name(handle).into();
            Detail::Transaction { subcommand: Some(function), name }
        }
        QUERY_PATH_INFORMATION => Detail::Transaction { subcommand: Some(function), name: asked.string(path(6)?).0 },
        CREATE_DIRECTORY => Detail::Transaction { subcommand: Some(function), name: asked.string(path(4)?).0 },
        GET_DFS_REFERRAL => Detail::Transaction { subcommand: Some(function), name: asked.string(path(2)?).0 },
        u16::MAX => Detail::Transaction { subcommand: None, name: (&[]).into() },
        _ => Detail::Transaction { subcommand: Some(function), name: (&[]).into() },
    })
}

fn set(asked: &mut Asked<'_, '_>, name: Cow<'static, [u8]>, level: u16, data: &[u8]) -> Option<Detail<'static>> {
    /// FileRenameInformation by its pass-through level (MS-SMB, 2.2.2.3.5; MS-FSCC, 2.4.42.1).
    const RENAME: u16 = 1010;
    if level == RENAME {
        let length = usize::try_from(u32_at(data, 8)?).ok()?;
        // The new name is UTF-16 there, whatever the header says.
        let raw = slice_at(data, 12, length)?;
        let to = asked.state.text(raw, true, asked.message.place, asked.observer);
        return Some(Detail::Rename { from: name, to });
    }
    let change: Change = change(level, data)?;
    Some(Detail::SetInfo { name, change })
}

/// What is set by a level of information of SMB1, the pass-through ones of Windows among them (MS-CIFS, 2.2.2.3.4;
/// MS-SMB, 2.2.2.3.5).
fn change(level: u16, data: &[u8]) -> Option<Change> {
    Some(match level {
        0x0102 | 1013 => Change::Delete(u8_at(data, 0)? != 0),
        0x0104 | 1020 => Change::End(u64_at(data, 0)?),
        _ => Change::Level { info_type: 0, level },
    })
}

/// What an NT_TRANSACT is about (MS-CIFS, 2.2.7).
pub(super) fn nt_trans(asked: &mut Asked<'_, '_>, transaction: Transaction<'_>) -> Option<Detail<'static>> {
    let Transaction { function, parameters, .. } = transaction;
    if function != NT_CREATE {
        return Some(Detail::Transaction { subcommand: Some(function), name: (&[]).into() });
    }
    let length = usize::try_from(u32_at(parameters, 44)?).ok()?;
    // The name is aligned to two bytes where it is text of two bytes; parameters begin at a multiple of four.
    let name = slice_at(parameters, asked.even(53), length)?;
    let (access, disposition, options) = (u32_at(parameters, 8), u32_at(parameters, 28), u32_at(parameters, 32));
    Some(asked.open(name, access, disposition, options))
}
