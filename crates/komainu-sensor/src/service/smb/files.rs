//! The files of the shares: those of the persona, and what a client does to them while it is connected.
//!
//! What one client changes, no other sees. Contents are kept for reading back, up to [`KEPT_BYTES_MAX`] of a connection.
//! What is beyond is taken, counts for the size, and reads as zeros; the record of the connection has the whole file all
//! the same, for it is made of what went over the wire.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::Share;
use super::status::Status;

/// Files and directories that a client may make in its connection: worms leave a handful. Beyond it the disk is full.
const MADE_MAX: usize = 64;

/// The longest name, in bytes: what file systems of Linux have.
const NAME_BYTES_MAX: usize = 255;

/// How deep directories may lie in each other.
const DEPTH_MAX: usize = 32;

/// The longest file, in bytes: the longest artifact. Beyond it the disk is full.
const FILE_BYTES_MAX: u64 = 32 << 20;

/// Bytes that a connection has for reading back: twice as many as it may make a persona say by default.
const KEPT_BYTES_MAX: u64 = 16 << 20;

/// Memory is taken in steps, so that the counter that all connections share is seldom touched.
const MEMORY_STEP_BYTES: u64 = 64 * 1024;

/// The unit in which a disk is given out, and in which contents are kept, in bytes.
pub(super) const CLUSTER_BYTES: u64 = 4096;

/// FILE_ATTRIBUTE_DIRECTORY, _ARCHIVE and the ones that a client may set (MS-FSCC, 2.6).
pub(super) const DIRECTORY: u32 = 0x10;
const ARCHIVE: u32 = 0x20;
const SETTABLE: u32 = 0x27;

/// 100 ns since 1601 (FILETIME; MS-DTYP, 2.3.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct FileTime(pub(super) u64);

impl FileTime {
    /// From microseconds since 1970.
    pub(super) fn of_micros(micros: i64) -> Self {
        const SECONDS_1601_TO_1970: u64 = 11_644_473_600;
        let micros = u64::try_from(micros).unwrap_or(0);
        Self((SECONDS_1601_TO_1970 * 1_000_000).saturating_add(micros).saturating_mul(10))
    }

    /// Seconds since 1970, as SMB1's old commands have them.
    pub(super) fn unix_s(self) -> u32 {
        u32::try_from((self.0 / 10_000_000).saturating_sub(11_644_473_600)).unwrap_or(u32::MAX)
    }
}

/// Memory that the files of all connections of a persona share.
#[derive(Debug)]
pub(super) struct Memory {
    left_bytes: AtomicU64,
}

impl Memory {
    pub(super) fn new(bytes_max: u64) -> Arc<Self> {
        Arc::new(Self { left_bytes: AtomicU64::new(bytes_max) })
    }

    fn take(&self, bytes: u64) -> bool {
        self.left_bytes.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(bytes)).is_ok()
    }

    fn give_back(&self, bytes: u64) {
        self.left_bytes.fetch_add(bytes, Ordering::Relaxed);
    }
}

/// What a connection took of it.
#[derive(Debug)]
struct Purse {
    memory: Arc<Memory>,
    taken_bytes: u64,
    used_bytes: u64,
}

impl Purse {
    /// Takes memory, if there is so much.
    fn spend(&mut self, bytes: u64) -> bool {
        let used = self.used_bytes.saturating_add(bytes);
        if used > KEPT_BYTES_MAX {
            return false;
        }
        while self.taken_bytes < used {
            if !self.memory.take(MEMORY_STEP_BYTES) {
                return false;
            }
            self.taken_bytes += MEMORY_STEP_BYTES;
        }
        self.used_bytes = used;
        true
    }

    fn refund(&mut self, bytes: u64) {
        self.used_bytes = self.used_bytes.saturating_sub(bytes);
    }
}

impl Drop for Purse {
    fn drop(&mut self) {
        self.memory.give_back(self.taken_bytes);
    }
}

/// A file or directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct NodeId(pub(super) u64);

#[derive(Debug)]
struct Node {
    /// None for the root of a share.
    parent: Option<NodeId>,
    name: String,
    /// The name by which it is found: case does not count.
    folded: String,
    /// None for a directory.
    contents: Option<Contents>,
    times: Times,
    attributes: u32,
    is_made_here: bool,
    is_to_be_deleted: bool,
}

/// When something was created, read, written and changed.
#[derive(Debug, Clone, Copy)]
pub(super) struct Times {
    pub(super) created: FileTime,
    pub(super) accessed: FileTime,
    pub(super) written: FileTime,
    pub(super) changed: FileTime,
}

#[derive(Debug, Default)]
struct Contents {
    /// The persona's, as far as they were not cut off.
    given: Arc<[u8]>,
    given_bytes: usize,
    /// What was written, in whole clusters by their number; paid for by the purse.
    clusters: BTreeMap<u64, Box<[u8]>>,
    bytes: u64,
}

impl Contents {
    fn given(bytes: &Arc<[u8]>) -> Self {
        Self { given: bytes.clone(), given_bytes: bytes.len(), clusters: BTreeMap::new(), bytes: bytes.len() as u64 }
    }

    /// A cluster as the persona has it; zeros where it has nothing.
    fn given_cluster(&self, number: u64) -> Vec<u8> {
        let given = &self.given[..self.given_bytes];
        let start = usize::try_from(number * CLUSTER_BYTES).unwrap_or(usize::MAX).min(given.len());
        let mut cluster = given[start..given.len().min(start + CLUSTER_BYTES as usize)].to_vec();
        cluster.resize(CLUSTER_BYTES as usize, 0);
        cluster
    }

    fn read(&self, mut offset: u64, count: usize) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(count);
        while bytes.len() < count {
            let (number, within) = (offset / CLUSTER_BYTES, (offset % CLUSTER_BYTES) as usize);
            let here = (CLUSTER_BYTES as usize - within).min(count - bytes.len());
            match self.clusters.get(&number) {
                Some(cluster) => bytes.extend_from_slice(&cluster[within..within + here]),
                None => bytes.extend_from_slice(&self.given_cluster(number)[within..within + here]),
            }
            offset += here as u64;
        }
        bytes
    }

    fn write(&mut self, mut offset: u64, mut bytes: &[u8], purse: &mut Purse) {
        self.bytes = self.bytes.max(offset + bytes.len() as u64);
        while !bytes.is_empty() {
            let (number, within) = (offset / CLUSTER_BYTES, (offset % CLUSTER_BYTES) as usize);
            let (here, rest) = bytes.split_at((CLUSTER_BYTES as usize - within).min(bytes.len()));
            if !self.clusters.contains_key(&number) && purse.spend(CLUSTER_BYTES) {
                self.clusters.insert(number, self.given_cluster(number).into());
            }
            if let Some(cluster) = self.clusters.get_mut(&number) {
                cluster[within..within + here.len()].copy_from_slice(here);
            }
            offset += here.len() as u64;
            bytes = rest;
        }
    }

    fn set_end(&mut self, end: u64, purse: &mut Purse) {
        self.bytes = end;
        self.given_bytes = self.given_bytes.min(usize::try_from(end).unwrap_or(usize::MAX));
        let gone = self.clusters.split_off(&end.div_ceil(CLUSTER_BYTES));
        purse.refund(gone.len() as u64 * CLUSTER_BYTES);
        if let Some(last) = self.clusters.get_mut(&(end / CLUSTER_BYTES)) {
            last[(end % CLUSTER_BYTES) as usize..].fill(0);
        }
    }
}

/// What can be asked of a file or directory.
#[derive(Debug, Clone)]
pub(super) struct Stat {
    pub(super) id: NodeId,
    pub(super) name: String,
    pub(super) is_directory: bool,
    pub(super) bytes: u64,
    pub(super) times: Times,
    pub(super) attributes: u32,
    pub(super) is_to_be_deleted: bool,
}

impl Stat {
    /// What it takes on the disk, in bytes.
    pub(super) fn allocated_bytes(&self) -> u64 {
        self.bytes.next_multiple_of(CLUSTER_BYTES)
    }
}

/// Where a path leads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Found {
    There(NodeId),
    /// The directory is there, and has nothing of this name.
    Missing {
        parent: NodeId,
        name: String,
    },
}

/// An entry of a directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Entry {
    Itself(NodeId),
    Above(NodeId),
    Child(NodeId),
}

/// The files of a connection. The root of the share with index `i` is node `i`.
#[derive(Debug)]
pub(super) struct Files {
    nodes: BTreeMap<NodeId, Node>,
    next: u64,
    made: usize,
    purse: Purse,
}

impl Files {
    pub(super) fn new(shares: &[Share], memory: Arc<Memory>, now: FileTime) -> Self {
        let mut nodes = BTreeMap::new();
        let times = Times { created: now, accessed: now, written: now, changed: now };
        let mut add = |parent, name: &str, contents| {
            let id = NodeId(nodes.len() as u64);
            let attributes = attributes_of(&contents);
            let (name, folded) = (name.to_owned(), fold(name));
            let (is_made_here, is_to_be_deleted) = (false, false);
            nodes
                .insert(id, Node { parent, name, folded, contents, times, attributes, is_made_here, is_to_be_deleted });
        };
        for _ in shares {
            add(None, "", None);
        }
        for (index, share) in shares.iter().enumerate() {
            for (name, bytes) in &share.files {
                add(Some(root(index)), name, Some(Contents::given(bytes)));
            }
        }
        let next = nodes.len() as u64;
        Self { nodes, next, made: 0, purse: Purse { memory, taken_bytes: 0, used_bytes: 0 } }
    }

    /// Where a path leads from the root of a share; `\` and `/` part its names.
    pub(super) fn find(&self, share: usize, path: &str) -> Result<Found, Status> {
        let mut at = root(share);
        let mut names = path.split(['\\', '/']).filter(|name| !name.is_empty() && *name != ".").peekable();
        for _ in 0..DEPTH_MAX {
            let Some(name) = names.next() else { return Ok(Found::There(at)) };
            if name == ".." {
                return Err(Status::OBJECT_PATH_SYNTAX_BAD);
            }
            if !is_name(name) {
                return Err(Status::OBJECT_NAME_INVALID);
            }
            if !self.is_directory(at) {
                return Err(Status::OBJECT_PATH_NOT_FOUND);
            }
            let folded = fold(name);
            let child = self.nodes.iter().find(|(_, node)| node.parent == Some(at) && node.folded == folded);
            match child {
                Some((id, _)) => at = *id,
                None if names.peek().is_some() => return Err(Status::OBJECT_PATH_NOT_FOUND),
                None => return Ok(Found::Missing { parent: at, name: name.to_owned() }),
            }
        }
        if names.peek().is_some() { Err(Status::OBJECT_PATH_NOT_FOUND) } else { Ok(Found::There(at)) }
    }

    /// Makes an empty file, or a directory.
    pub(super) fn make(
        &mut self,
        parent: NodeId,
        name: String,
        is_directory: bool,
        now: FileTime,
    ) -> Result<NodeId, Status> {
        if self.made >= MADE_MAX {
            return Err(Status::DISK_FULL);
        }
        self.made += 1;
        let id = NodeId(self.next);
        self.next += 1;
        let contents = (!is_directory).then(Contents::default);
        let attributes = attributes_of(&contents);
        let times = Times { created: now, accessed: now, written: now, changed: now };
        let folded = fold(&name);
        let node = Node {
            parent: Some(parent),
            name,
            folded,
            contents,
            times,
            attributes,
            is_made_here: true,
            is_to_be_deleted: false,
        };
        self.nodes.insert(id, node);
        Ok(id)
    }

    /// Whether it may be deleted.
    pub(super) fn may_delete(&self, id: NodeId) -> Result<(), Status> {
        let node = self.nodes.get(&id).ok_or(Status::FILE_CLOSED)?;
        if node.parent.is_none() {
            return Err(Status::CANNOT_DELETE);
        }
        match self.nodes.values().any(|node| node.parent == Some(id)) {
            true => Err(Status::DIRECTORY_NOT_EMPTY),
            false => Ok(()),
        }
    }

    pub(super) fn delete(&mut self, id: NodeId) -> Result<(), Status> {
        self.may_delete(id)?;
        if let Some(node) = self.nodes.remove(&id) {
            self.made -= usize::from(node.is_made_here);
            if let Some(mut contents) = node.contents {
                contents.set_end(0, &mut self.purse);
            }
        }
        Ok(())
    }

    /// Gives a file or directory another name, in the same share.
    pub(super) fn rename(&mut self, id: NodeId, share: usize, path: &str, replaces: bool) -> Result<(), Status> {
        if self.nodes.get(&id).ok_or(Status::FILE_CLOSED)?.parent.is_none() {
            return Err(Status::ACCESS_DENIED);
        }
        let (parent, name) = match self.find(share, path)? {
            Found::Missing { parent, name } => (parent, name),
            Found::There(there) => {
                let node = self.nodes.get(&there).ok_or(Status::FILE_CLOSED)?;
                let Some(parent) = node.parent else { return Err(Status::OBJECT_NAME_COLLISION) };
                let name = last_name(path).to_owned();
                if there != id {
                    if !replaces || node.contents.is_none() {
                        return Err(Status::OBJECT_NAME_COLLISION);
                    }
                    self.delete(there)?;
                }
                (parent, name)
            }
        };
        // A directory cannot go into itself.
        let mut above = Some(parent);
        while let Some(ancestor) = above {
            if ancestor == id {
                return Err(Status::INVALID_PARAMETER);
            }
            above = self.nodes.get(&ancestor).and_then(|node| node.parent);
        }
        let node = self.nodes.get_mut(&id).ok_or(Status::FILE_CLOSED)?;
        node.folded = fold(&name);
        node.name = name;
        node.parent = Some(parent);
        Ok(())
    }

    /// The bytes from `offset`, `count` at most. The end of a file is an error of its own.
    pub(super) fn read(&self, id: NodeId, offset: u64, count: usize) -> Result<Vec<u8>, Status> {
        let node = self.nodes.get(&id).ok_or(Status::FILE_CLOSED)?;
        let contents = node.contents.as_ref().ok_or(Status::INVALID_DEVICE_REQUEST)?;
        let left = usize::try_from(contents.bytes.saturating_sub(offset)).unwrap_or(usize::MAX);
        if left == 0 {
            return Err(Status::END_OF_FILE);
        }
        Ok(contents.read(offset, count.min(left)))
    }

    pub(super) fn write(&mut self, id: NodeId, offset: u64, bytes: &[u8], now: FileTime) -> Result<(), Status> {
        let end = offset.checked_add(bytes.len() as u64);
        if end.is_none_or(|end| end > FILE_BYTES_MAX) {
            return Err(Status::DISK_FULL);
        }
        let Self { nodes, purse, .. } = self;
        let node = nodes.get_mut(&id).ok_or(Status::FILE_CLOSED)?;
        let contents = node.contents.as_mut().ok_or(Status::INVALID_DEVICE_REQUEST)?;
        if !bytes.is_empty() {
            contents.write(offset, bytes, purse);
            (node.times.written, node.times.changed) = (now, now);
        }
        Ok(())
    }

    /// Sets the end of a file, in bytes.
    pub(super) fn set_end(&mut self, id: NodeId, end: u64, now: FileTime) -> Result<(), Status> {
        if end > FILE_BYTES_MAX {
            return Err(Status::DISK_FULL);
        }
        let Self { nodes, purse, .. } = self;
        let node = nodes.get_mut(&id).ok_or(Status::FILE_CLOSED)?;
        let contents = node.contents.as_mut().ok_or(Status::INVALID_PARAMETER)?;
        contents.set_end(end, purse);
        (node.times.written, node.times.changed) = (now, now);
        Ok(())
    }

    pub(super) fn is_directory(&self, id: NodeId) -> bool {
        self.nodes.get(&id).is_some_and(|node| node.contents.is_none())
    }

    pub(super) fn stat(&self, id: NodeId) -> Result<Stat, Status> {
        let node = self.nodes.get(&id).ok_or(Status::FILE_CLOSED)?;
        Ok(Stat {
            id,
            name: node.name.clone(),
            is_directory: node.contents.is_none(),
            bytes: node.contents.as_ref().map_or(0, |contents| contents.bytes),
            times: node.times,
            attributes: node.attributes,
            is_to_be_deleted: node.is_to_be_deleted,
        })
    }

    /// Its path from the root of the share, such as `\a\b`; `\` for the root.
    pub(super) fn path(&self, id: NodeId) -> String {
        let mut names = Vec::new();
        let mut at = self.nodes.get(&id);
        while let Some(node) = at
            && let Some(parent) = node.parent
        {
            names.push(node.name.as_str());
            at = self.nodes.get(&parent);
        }
        let path: String = names.iter().rev().flat_map(|name| ["\\", name]).collect();
        if path.is_empty() { "\\".into() } else { path }
    }

    /// What is in a directory: itself and the one above, then the rest, the oldest first.
    pub(super) fn list(&self, directory: NodeId) -> Vec<Entry> {
        let parent = self.nodes.get(&directory).and_then(|node| node.parent).unwrap_or(directory);
        let children = self.nodes.iter().filter(|(_, node)| node.parent == Some(directory));
        [Entry::Itself(directory), Entry::Above(parent)]
            .into_iter()
            .chain(children.map(|(id, _)| Entry::Child(*id)))
            .collect()
    }

    /// What is told of an entry: the first two are called `.` and `..`.
    pub(super) fn stat_of_entry(&self, entry: Entry) -> Result<Stat, Status> {
        match entry {
            Entry::Itself(id) => Ok(Stat { name: ".".into(), ..self.stat(id)? }),
            Entry::Above(id) => Ok(Stat { name: "..".into(), ..self.stat(id)? }),
            Entry::Child(id) => self.stat(id),
        }
    }

    /// Sets attributes (MS-FSCC, 2.6) and times; 0 leaves each as it is.
    pub(super) fn set_basic(&mut self, id: NodeId, times: [u64; 4], attributes: u32) -> Result<(), Status> {
        let node = self.nodes.get_mut(&id).ok_or(Status::FILE_CLOSED)?;
        let known = &mut node.times;
        let fields = [&mut known.created, &mut known.accessed, &mut known.written, &mut known.changed];
        for (field, time) in fields.into_iter().zip(times) {
            // The highest two mean that later changes shall not be seen (MS-FSCC, 2.4.7).
            if time != 0 && time < u64::MAX - 1 {
                *field = FileTime(time);
            }
        }
        if attributes != 0 {
            let kind = if node.contents.is_none() { DIRECTORY } else { 0 };
            node.attributes = attributes & SETTABLE | kind;
        }
        Ok(())
    }

    /// Says whether it goes away when it is closed.
    pub(super) fn set_to_be_deleted(&mut self, id: NodeId, is_to_be_deleted: bool) -> Result<(), Status> {
        if is_to_be_deleted {
            self.may_delete(id)?;
        }
        self.nodes.get_mut(&id).ok_or(Status::FILE_CLOSED)?.is_to_be_deleted = is_to_be_deleted;
        Ok(())
    }
}

fn root(share: usize) -> NodeId {
    NodeId(share as u64)
}

fn attributes_of(contents: &Option<Contents>) -> u32 {
    if contents.is_some() { ARCHIVE } else { DIRECTORY }
}

fn fold(name: &str) -> String {
    name.to_lowercase()
}

fn last_name(path: &str) -> &str {
    path.rsplit(['\\', '/']).find(|name| !name.is_empty()).unwrap_or("")
}

/// Whether this can be the name of a file: no wildcard, no stream, no control character (MS-FSCC, 2.1.5.2).
pub(super) fn is_name(name: &str) -> bool {
    let is_reserved = |letter: char| letter.is_control() || matches!(letter, '"' | '*' | ':' | '<' | '>' | '?' | '|');
    !name.is_empty() && name.len() <= NAME_BYTES_MAX && !name.contains(is_reserved)
}
