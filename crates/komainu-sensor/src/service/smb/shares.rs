//! What is told of the shares and of the server over `srvsvc` and `wkssvc` (MS-SRVS, MS-WKST).
//!
//! `NetrShareGetInfo` tells the path of a share on the device: worms ask for it to know where a file that they left lies.

use super::wire::{Out, length_u32, slice_at_u32, text_of_wide, u32_at, wide};
use super::{Share, Smb};

/// Why a call cannot be answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum CallError {
    /// There is no such operation.
    Operation,
    /// Its arguments cannot be read.
    Arguments,
}

/// Errors of Windows (MS-ERREF, 2.2).
const UNKNOWN_LEVEL: u32 = 124;
const NO_SUCH_SHARE: u32 = 2310;

/// The name of the share of named pipes.
pub(super) const PIPES: &str = "IPC$";

/// SV_TYPE_WORKSTATION, _SERVER, _NT, _SERVER_UNIX (MS-SRVS, 2.2.2.7).
const SERVER_TYPE: u32 = 0x0000_9A03;

/// PLATFORM_ID_NT (MS-SRVS, 2.2.2.6).
const PLATFORM: u32 = 500;

/// The version that Samba says it has.
const VERSION: (u32, u32) = (4, 9);

/// What is told of a share.
struct Told<'a> {
    name: &'a str,
    /// 0 a disk, 3 named pipes; the highest bit for special ones (MS-SRVS, 2.2.2.4).
    kind: u32,
    comment: &'a str,
    path: String,
}

fn told(persona: &Smb) -> impl Iterator<Item = Told<'_>> {
    let disk = |share: &Share| share.path.replace('/', "\\");
    let disks = persona.shares.iter().map(move |share| Told {
        name: &share.name,
        kind: 0,
        comment: &share.comment,
        path: format!("C:{}", disk(share)),
    });
    let comment = persona.pipes_comment.as_str();
    disks.chain([Told { name: PIPES, kind: 0x8000_0003, comment, path: "C:\\tmp".into() }])
}

/// Answers a call of MS-SRVS, 3.1.4.
pub(super) fn srvsvc(persona: &Smb, operation: u16, stub: &[u8]) -> Result<Vec<u8>, CallError> {
    const SHARE_ENUM: u16 = 15;
    const SHARE_GET_INFO: u16 = 16;
    const SERVER_GET_INFO: u16 = 21;
    const SHARE_ENUM_STICKY: u16 = 36;
    let mut arguments = Arguments { stub, at: 0 };
    match operation {
        SHARE_ENUM | SHARE_ENUM_STICKY => {
            arguments.optional_text()?;
            let level = arguments.u32()?;
            Ok(share_enum(persona, level))
        }
        SHARE_GET_INFO => {
            arguments.optional_text()?;
            let name = arguments.text()?;
            let level = arguments.u32()?;
            Ok(share_get_info(persona, &name, level))
        }
        SERVER_GET_INFO => {
            arguments.optional_text()?;
            let level = arguments.u32()?;
            Ok(server_get_info(persona, level))
        }
        _ => Err(CallError::Operation),
    }
}

/// Answers a call of MS-WKST, 3.2.4.
pub(super) fn wkssvc(persona: &Smb, operation: u16, stub: &[u8]) -> Result<Vec<u8>, CallError> {
    const GET_INFO: u16 = 0;
    if operation != GET_INFO {
        return Err(CallError::Operation);
    }
    let mut arguments = Arguments { stub, at: 0 };
    arguments.optional_text()?;
    let level = arguments.u32()?;
    let mut answer = Answer::default();
    answer.fixed.u32(level);
    if level != 100 {
        answer.fixed.u32(0).u32(UNKNOWN_LEVEL);
        return Ok(answer.finish());
    }
    answer.referent();
    answer.fixed.u32(PLATFORM);
    answer.text(&persona.server_name);
    answer.text(&persona.workgroup);
    answer.fixed.u32(VERSION.0).u32(VERSION.1);
    answer.settle();
    answer.fixed.u32(0);
    Ok(answer.finish())
}

/// MS-SRVS, 3.1.4.8.
fn share_enum(persona: &Smb, level: u32) -> Vec<u8> {
    let mut answer = Answer::default();
    answer.fixed.u32(level).u32(level);
    if !matches!(level, 0 | 1 | 2 | 501 | 502) {
        answer.fixed.u32(0).u32(0).u32(0).u32(UNKNOWN_LEVEL);
        return answer.finish();
    }
    let count = length_u32(told(persona).count());
    answer.referent();
    answer.fixed.u32(count);
    answer.referent();
    answer.fixed.u32(count);
    for share in told(persona) {
        share_info(&mut answer, &share, level);
    }
    answer.settle();
    // How many there are, no handle to go on with, and that it worked.
    answer.fixed.u32(count).u32(0).u32(0);
    answer.finish()
}

/// MS-SRVS, 3.1.4.10.
fn share_get_info(persona: &Smb, name: &str, level: u32) -> Vec<u8> {
    let mut answer = Answer::default();
    answer.fixed.u32(level);
    let share = told(persona).find(|share| share.name.eq_ignore_ascii_case(name));
    match share {
        Some(share) if matches!(level, 0 | 1 | 2 | 501 | 502 | 1005) => {
            answer.referent();
            share_info(&mut answer, &share, level);
            answer.settle();
            answer.fixed.u32(0);
        }
        Some(_) => drop(answer.fixed.u32(0).u32(UNKNOWN_LEVEL)),
        None => drop(answer.fixed.u32(0).u32(NO_SUCH_SHARE)),
    }
    answer.finish()
}

/// MS-SRVS, 2.2.4.22 to 2.2.4.29.
fn share_info(answer: &mut Answer, share: &Told<'_>, level: u32) {
    if level == 1005 {
        // No cache, no DFS.
        answer.fixed.u32(0);
        return;
    }
    answer.text(share.name);
    if level == 0 {
        return;
    }
    answer.fixed.u32(share.kind);
    answer.text(share.comment);
    match level {
        2 | 502 => {
            // No permissions of old, as many users as wish, one of them there.
            answer.fixed.u32(0).u32(u32::MAX).u32(1);
            answer.text(&share.path);
            // No password.
            answer.fixed.u32(0);
            if level == 502 {
                // No security descriptor.
                answer.fixed.u32(0).u32(0);
            }
        }
        501 => drop(answer.fixed.u32(0)),
        _ => {}
    }
}

/// MS-SRVS, 3.1.4.17.
fn server_get_info(persona: &Smb, level: u32) -> Vec<u8> {
    let mut answer = Answer::default();
    answer.fixed.u32(level);
    if !matches!(level, 100..=102) {
        answer.fixed.u32(0).u32(UNKNOWN_LEVEL);
        return answer.finish();
    }
    answer.referent();
    answer.fixed.u32(PLATFORM);
    answer.text(&persona.server_name);
    if level > 100 {
        answer.fixed.u32(VERSION.0).u32(VERSION.1).u32(SERVER_TYPE);
        answer.text(&persona.server_comment);
    }
    if level > 101 {
        // As many users as wish, disconnected after 15 minutes, not hidden, announced every 4 minutes and 3 seconds.
        answer.fixed.u32(u32::MAX).u32(15).u32(0).u32(240).u32(3).u32(0);
        answer.text("C:\\");
    }
    answer.settle();
    answer.fixed.u32(0);
    answer.finish()
}

/// An answer in NDR (C706, chapter 14): what texts point to comes behind the structure that has the pointers.
#[derive(Default)]
struct Answer {
    fixed: Out,
    behind: Vec<String>,
    referents: u32,
}

impl Answer {
    /// A pointer to something.
    fn referent(&mut self) {
        self.referents += 1;
        self.fixed.u32(0x0002_0000 + 4 * self.referents);
    }

    fn text(&mut self, text: &str) {
        self.referent();
        self.behind.push(format!("{text}\0"));
    }

    /// Writes the texts that were pointed to.
    fn settle(&mut self) {
        for text in std::mem::take(&mut self.behind) {
            let units = wide(&text);
            let count = length_u32(units.len() / 2);
            self.fixed.u32(count).u32(0).u32(count).bytes(&units).pad_to(4);
        }
    }

    fn finish(mut self) -> Vec<u8> {
        self.fixed.take()
    }
}

/// The arguments of a call in NDR.
struct Arguments<'a> {
    stub: &'a [u8],
    at: usize,
}

impl Arguments<'_> {
    fn u32(&mut self) -> Result<u32, CallError> {
        let value = u32_at(self.stub, self.at).ok_or(CallError::Arguments)?;
        self.at += 4;
        Ok(value)
    }

    fn text(&mut self) -> Result<String, CallError> {
        let (_max, _offset, count) = (self.u32()?, self.u32()?, self.u32()?);
        let bytes = count.checked_mul(2).ok_or(CallError::Arguments)?;
        let at = u32::try_from(self.at).map_err(|_| CallError::Arguments)?;
        let units = slice_at_u32(self.stub, at, bytes).ok_or(CallError::Arguments)?;
        let text = text_of_wide(units);
        self.at = (self.at + units.len()).next_multiple_of(4);
        Ok(text)
    }

    fn optional_text(&mut self) -> Result<(), CallError> {
        if self.u32()? != 0 {
            self.text()?;
        }
        Ok(())
    }
}
