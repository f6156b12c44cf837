//! Files that a client writes onto a device whose shell it could use as well: they are there for the shell, and what was
//! sent is an artifact, whatever room the session has for it.

use std::time::Duration;

use komainu_decode::{Command, Fact, FileEvent, FileNumber, FileVia, Login, Place, Secret, Side};

use crate::link::Link;
use crate::shell::{CaptureReason, Errno, Opened, Shell, ShellEvent, note_of};

/// What a conversation has to have written down because no decoder can see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Record {
    /// Something that was done in the shell.
    Shell(ShellEvent),
    /// A command line.
    Command(Vec<u8>),
    /// A login with a password.
    Password { user: Vec<u8>, password: Vec<u8>, accepted: bool },
    /// A login with a key.
    PublicKey { user: Vec<u8>, fingerprint: String, accepted: bool },
    /// A file begins.
    FileBegin { file: u32, name: Vec<u8>, via: FileVia },
    /// Bytes of a file.
    FilePart { file: u32, offset: u64, bytes: Vec<u8> },
    /// A file ends.
    FileEnd { file: u32, is_complete: bool },
    /// Something else that tells what somebody is up to.
    Remark { what: &'static str, detail: Vec<u8> },
}

impl Record {
    /// Writes it down as something that the client did now.
    pub(super) fn write(self, link: &mut Link) {
        let now = link.now();
        let keeper = link.keeper();
        let place = Place { side: Side::Client, offset: 0, bytes: 0 };
        match self {
            Self::Shell(event) => keeper.shell_event(now, event),
            Self::Command(line) => keeper.fact(now, place, &Fact::Command(Command { line: &line })),
            Self::Password { user, password, accepted } => {
                let secret = Secret::Password(&password);
                keeper.fact(now, place, &Fact::Login(Login { user: &user, secret, accepted: Some(accepted) }));
            }
            Self::PublicKey { user, fingerprint, accepted } => {
                let secret = Secret::PublicKey { fingerprint: &fingerprint };
                keeper.fact(now, place, &Fact::Login(Login { user: &user, secret, accepted: Some(accepted) }));
            }
            Self::FileBegin { file, name, via } => {
                let begin = FileEvent::Begin { file: FileNumber(file), name: &name, via, bytes_expected: None };
                keeper.fact(now, place, &Fact::File(begin));
            }
            Self::FilePart { file, offset, bytes } => {
                let part = FileEvent::Part { file: FileNumber(file), offset, bytes: &bytes };
                keeper.fact(now, place, &Fact::File(part));
            }
            Self::FileEnd { file, is_complete } => {
                keeper.fact(now, place, &Fact::File(FileEvent::End { file: FileNumber(file), is_complete }));
            }
            Self::Remark { what, detail } => keeper.remark(now, what, &detail),
        }
    }
}

/// A file that is being written.
#[derive(Debug)]
pub(super) struct Upload {
    /// Its absolute path; none for a device file, which takes everything and keeps nothing.
    place: Option<Vec<u8>>,
}

impl Upload {
    /// Opens a file of the device for writing and adds what that tells. What it held goes, unless `keeps`.
    pub(super) fn open(
        shell: &mut Shell,
        (folder, path): (&[u8], &[u8]),
        mode: u16,
        keeps: bool,
        now: Duration,
        events: &mut Vec<ShellEvent>,
    ) -> Result<Self, Errno> {
        let mut files = shell.files(now);
        match files.open(folder, path, mode)? {
            Opened::Device(_) => Ok(Self { place: None }),
            Opened::File(place) => {
                if !keeps
                    && let Some(contents) = files.truncate(&place)
                    && !contents.is_empty()
                {
                    let why = CaptureReason::Overwritten;
                    events.push(ShellEvent::Captured { path: place.clone(), contents, why });
                }
                events.extend(note_of(&place).map(ShellEvent::Noted));
                Ok(Self { place: Some(place) })
            }
        }
    }

    /// Its absolute path, if it is kept.
    pub(super) fn place(&self) -> Option<&[u8]> {
        self.place.as_deref()
    }

    /// Writes at an offset, or at the end. Beyond the room that the session has, bytes are lost to the shell: a client
    /// that is told so would stop, and what it brings is worth more than that the shell has all of it.
    pub(super) fn write(&self, shell: &mut Shell, at: Option<u64>, bytes: &[u8], now: Duration) {
        let Some(place) = &self.place else { return };
        let mut files = shell.files(now);
        let at = at.map(|at| usize::try_from(at).unwrap_or(usize::MAX));
        let room = files.room();
        if files.write(place, at, bytes) == Err(Errno::NoSpace) && at.is_none() {
            let _ = files.write(place, None, &bytes[..bytes.len().min(room)]);
        }
        files.know(place);
    }
}
