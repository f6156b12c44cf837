//! What a client has open: files, directories and named pipes, and how they come to be open.

use std::collections::BTreeMap;

use super::Smb;
use super::files::{FileTime, Files, Found, NodeId, Stat};
use super::listing::Listing;
use super::pipe::{self, Pipe};
use super::status::Status;

/// Files, directories and pipes that a client may have open at a time: as many as the records follow.
const OPENS_MAX: usize = 64;

/// Pipes among them: clients have one, or two.
const PIPES_MAX: usize = 8;

/// Rights (MS-SMB2, 2.2.13.1): to write or append data, to delete, and generic ones that include them.
const WRITE_RIGHTS: u32 = 0x0000_0002 | 0x0000_0004 | 0x4000_0000 | 0x1000_0000;
const DELETE_RIGHT: u32 = 0x0001_0000;

/// Options of an opening (MS-SMB2, 2.2.13).
const DIRECTORY_FILE: u32 = 0x0000_0001;
const NON_DIRECTORY_FILE: u32 = 0x0000_0040;
const DELETE_ON_CLOSE: u32 = 0x0000_1000;

/// Where a tree leads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tree {
    /// The share with this index.
    Disk(usize),
    /// IPC$.
    Pipes,
}

/// The handle of something that is open. It is a FID in SMB1, and within a FileId in SMB2.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Handle(pub(super) u16);

/// Something that is open.
#[derive(Debug)]
pub(super) enum Open {
    File(OpenFile),
    Pipe(Box<Pipe>),
}

#[derive(Debug)]
pub(super) struct OpenFile {
    pub(super) share: usize,
    pub(super) node: NodeId,
    /// It may be written to.
    is_writable: bool,
    /// How far a directory was listed.
    pub(super) listing: Option<Listing>,
}

/// What is asked for when something is opened.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wish<'a> {
    pub(super) path: &'a str,
    pub(super) access: u32,
    /// What to do if it is there, or not: 0 to 5 (MS-SMB2, 2.2.13).
    pub(super) disposition: u32,
    pub(super) options: u32,
}

/// What an opening came to.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) handle: Handle,
    /// 0 superseded, 1 opened, 2 created, 3 overwritten.
    pub(super) action: u32,
    /// None for a pipe.
    pub(super) stat: Option<Stat>,
}

/// What is open in a connection.
#[derive(Debug)]
pub(super) struct Opens {
    opens: BTreeMap<Handle, Open>,
    next: u16,
}

impl Opens {
    pub(super) fn new() -> Self {
        // Handles of Samba begin in the thousands.
        Self { opens: BTreeMap::new(), next: 0x1A2B }
    }

    /// Opens what a client wishes.
    pub(super) fn open(
        &mut self,
        persona: &Smb,
        files: &mut Files,
        tree: Tree,
        wish: Wish<'_>,
        now: FileTime,
    ) -> Result<Opened, Status> {
        if self.opens.len() >= OPENS_MAX {
            return Err(Status::TOO_MANY_OPENED_FILES);
        }
        match tree {
            Tree::Pipes => {
                let pipe = pipe::of_name(wish.path).ok_or(Status::OBJECT_NAME_NOT_FOUND)?;
                if self.opens.values().filter(|open| matches!(open, Open::Pipe(_))).count() >= PIPES_MAX {
                    return Err(Status::TOO_MANY_OPENED_FILES);
                }
                let handle = self.insert(Open::Pipe(Box::new(pipe)));
                Ok(Opened { handle, action: 1, stat: None })
            }
            Tree::Disk(share) => {
                let is_share_writable = persona.shares[share].is_writable;
                let (node, action) = place(files, share, is_share_writable, wish, now)?;
                let stat = files.stat(node)?;
                let is_writable = is_share_writable && !stat.is_directory;
                let handle = self.insert(Open::File(OpenFile { share, node, is_writable, listing: None }));
                if wish.options & DELETE_ON_CLOSE != 0 {
                    files.set_to_be_deleted(node, true).inspect_err(|_| drop(self.opens.remove(&handle)))?;
                }
                Ok(Opened { handle, action, stat: Some(stat) })
            }
        }
    }

    fn insert(&mut self, open: Open) -> Handle {
        // There are far fewer than 65,535 open.
        while self.next == 0 || self.next == u16::MAX || self.opens.contains_key(&Handle(self.next)) {
            self.next = self.next.wrapping_add(1);
        }
        let handle = Handle(self.next);
        self.next = self.next.wrapping_add(1);
        self.opens.insert(handle, open);
        handle
    }

    pub(super) fn get(&mut self, handle: Handle) -> Result<&mut Open, Status> {
        self.opens.get_mut(&handle).ok_or(Status::FILE_CLOSED)
    }

    /// The file or directory behind a handle.
    pub(super) fn file(&mut self, handle: Handle) -> Result<&mut OpenFile, Status> {
        match self.get(handle)? {
            Open::File(file) => Ok(file),
            Open::Pipe(_) => Err(Status::INVALID_DEVICE_REQUEST),
        }
    }

    /// The file behind a handle, if it may be changed.
    pub(super) fn writable(&mut self, handle: Handle) -> Result<&mut OpenFile, Status> {
        let file = self.file(handle)?;
        if file.is_writable { Ok(file) } else { Err(Status::ACCESS_DENIED) }
    }

    /// Closes; gives back what is known of a file that is still there.
    pub(super) fn close(&mut self, files: &mut Files, handle: Handle) -> Result<Option<Stat>, Status> {
        match self.opens.remove(&handle).ok_or(Status::FILE_CLOSED)? {
            Open::Pipe(_) => Ok(None),
            Open::File(file) => {
                let stat = files.stat(file.node).ok();
                if stat.as_ref().is_some_and(|stat| stat.is_to_be_deleted) {
                    // It may have got something in it meanwhile; then it stays, as on a device.
                    let _ = files.delete(file.node);
                }
                Ok(stat)
            }
        }
    }
}

/// Finds the file or directory, or makes it; and what was done.
fn place(
    files: &mut Files,
    share: usize,
    is_writable: bool,
    wish: Wish<'_>,
    now: FileTime,
) -> Result<(NodeId, u32), Status> {
    const SUPERSEDE: u32 = 0;
    const OPEN: u32 = 1;
    const CREATE: u32 = 2;
    const OPEN_IF: u32 = 3;
    const OVERWRITE: u32 = 4;
    const OVERWRITE_IF: u32 = 5;
    if wish.disposition > OVERWRITE_IF {
        return Err(Status::INVALID_PARAMETER);
    }
    let changes = wish.access & (WRITE_RIGHTS | DELETE_RIGHT) != 0 || wish.options & DELETE_ON_CLOSE != 0;
    match files.find(share, wish.path)? {
        Found::There(node) => {
            let stat = files.stat(node)?;
            if stat.is_to_be_deleted {
                return Err(Status::DELETE_PENDING);
            }
            if wish.disposition == CREATE {
                return Err(Status::OBJECT_NAME_COLLISION);
            }
            if stat.is_directory && wish.options & NON_DIRECTORY_FILE != 0 {
                return Err(Status::FILE_IS_A_DIRECTORY);
            }
            if !stat.is_directory && wish.options & DIRECTORY_FILE != 0 {
                return Err(Status::NOT_A_DIRECTORY);
            }
            let overwrites = matches!(wish.disposition, SUPERSEDE | OVERWRITE | OVERWRITE_IF);
            if (changes || overwrites) && !is_writable {
                return Err(Status::ACCESS_DENIED);
            }
            if overwrites {
                files.set_end(node, 0, now)?;
            }
            let action = match wish.disposition {
                SUPERSEDE => 0,
                OVERWRITE | OVERWRITE_IF => 3,
                _ => 1,
            };
            Ok((node, action))
        }
        Found::Missing { .. } if matches!(wish.disposition, OPEN | OVERWRITE) => Err(Status::OBJECT_NAME_NOT_FOUND),
        Found::Missing { .. } if !is_writable => Err(Status::ACCESS_DENIED),
        Found::Missing { parent, name } => {
            let is_directory = wish.options & DIRECTORY_FILE != 0;
            debug_assert!(matches!(wish.disposition, SUPERSEDE | CREATE | OPEN_IF | OVERWRITE_IF));
            Ok((files.make(parent, name, is_directory, now)?, 2))
        }
    }
}
