//! The files that a session sees: those of the device, and above them what the session changed.
//!
//! The device's files are shared by all sessions; a session holds only what it wrote, and a mark for what it removed.
//! A copy of one of the device's files shares its bytes until it is written to.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::machine::{Contents, Device, Machine, View};

/// Why something cannot be done to a file, as C libraries say it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Errno {
    NotFound,
    Exists,
    NotDirectory,
    IsDirectory,
    NotEmpty,
    ReadOnly,
    NoSpace,
    TooManyLinks,
    Permission,
    Invalid,
    Busy,
}

impl Errno {
    /// The text of `strerror`.
    pub(crate) fn text(self) -> &'static str {
        match self {
            Self::NotFound => "No such file or directory",
            Self::Exists => "File exists",
            Self::NotDirectory => "Not a directory",
            Self::IsDirectory => "Is a directory",
            Self::NotEmpty => "Directory not empty",
            Self::ReadOnly => "Read-only file system",
            Self::NoSpace => "No space left on device",
            Self::TooManyLinks => "Too many levels of symbolic links",
            Self::Permission => "Permission denied",
            Self::Invalid => "Invalid argument",
            Self::Busy => "Device or resource busy",
        }
    }
}

/// Symbolic links that are followed in one path, as in Linux (`MAXSYMLINKS`).
const LINKS_MAX: usize = 40;
/// The longest path, in bytes, as in Linux (`PATH_MAX`).
const PATH_BYTES_MAX: usize = 4_096;
/// What an entry costs besides its bytes, in bytes: so that many empty files reach the limit, too.
const ENTRY_BYTES: usize = 128;

/// What a session changed.
#[derive(Debug, Clone, Default)]
pub(crate) struct Overlay {
    /// By absolute path; `None` is a mark that something of the device was removed.
    entries: BTreeMap<Vec<u8>, Option<Entry>>,
    /// What the entries hold, in bytes.
    bytes: usize,
}

/// Something that the session made.
#[derive(Debug, Clone)]
struct Entry {
    mode: u16,
    /// Seconds since the session began.
    changed_s: u64,
    kind: EntryKind,
}

#[derive(Debug, Clone)]
enum EntryKind {
    Folder,
    Link(Vec<u8>),
    Device(Device),
    File {
        data: Data,
        /// Whether these very bytes were taken as a capture, or are the device's own.
        is_known: bool,
    },
}

/// The bytes of a file: those of the device, or the session's own.
#[derive(Debug, Clone)]
pub(crate) enum Data {
    /// Bytes that are shared with the device.
    Shared(Arc<[u8]>),
    /// Bytes of this session.
    Owned(Vec<u8>),
}

impl Data {
    pub(crate) fn bytes(&self) -> &[u8] {
        match self {
            Self::Shared(bytes) => bytes,
            Self::Owned(bytes) => bytes,
        }
    }
}

/// What a path leads to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Stat {
    pub(crate) kind: Kind,
    pub(crate) mode: u16,
    pub(crate) uid: u32,
    pub(crate) size: usize,
    /// Seconds since the session began; `None` is the device's own time.
    pub(crate) changed_s: Option<u64>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Kind {
    Folder,
    File,
    Link(Vec<u8>),
    Device(Device),
}

/// What marks of removed files may hold beyond the limit, in bytes: no more than there are files of the device that
/// can be removed.
#[cfg(any(test, fuzzing))]
pub(crate) const MARKS_BYTES_MAX: usize = 64 << 10;

impl Overlay {
    /// What the entries hold, counted anew.
    #[cfg(any(test, fuzzing))]
    pub(crate) fn bytes_held(&self) -> usize {
        let held = self.entries.iter().map(|(place, entry)| cost(place, entry.as_ref())).sum();
        assert_eq!(self.bytes, held, "what is held was counted right");
        held
    }
}

/// Makes a path absolute and takes out `.` and empty parts; `..` stays, because it is followed after links.
fn absolute(folder: &[u8], path: &[u8]) -> Vec<u8> {
    let mut whole = Vec::with_capacity(folder.len() + path.len() + 1);
    if !path.starts_with(b"/") {
        whole.extend_from_slice(folder);
        whole.push(b'/');
    }
    whole.extend_from_slice(path);
    whole
}

/// The folder and the name of an absolute path without `..`.
pub(crate) fn split(path: &[u8]) -> (&[u8], &[u8]) {
    match path.iter().rposition(|&byte| byte == b'/') {
        Some(0) => (b"/", path.get(1..).unwrap_or_default()),
        Some(at) => (path.get(..at).unwrap_or_default(), path.get(at + 1..).unwrap_or_default()),
        None => (b"", path),
    }
}

/// A path in a folder.
pub(crate) fn join(folder: &[u8], name: &[u8]) -> Vec<u8> {
    let mut path = folder.to_vec();
    if !path.ends_with(b"/") {
        path.push(b'/');
    }
    path.extend_from_slice(name);
    path
}

/// The files as one session sees them.
pub(crate) struct Files<'a> {
    pub(crate) machine: &'a Machine,
    pub(crate) overlay: &'a mut Overlay,
    pub(crate) view: View,
    /// Since the session began.
    pub(crate) now_s: u64,
    /// The most that the overlay may hold, in bytes.
    pub(crate) bytes_max: usize,
}

impl Files<'_> {
    /// Where a path leads, links followed; the last part need not exist. A link at the end is followed too, unless it
    /// is asked for itself.
    pub(crate) fn place(&self, folder: &[u8], path: &[u8], follow_last: bool) -> Result<Vec<u8>, Errno> {
        if path.is_empty() || path.len() > PATH_BYTES_MAX {
            return Err(Errno::NotFound);
        }
        let mut todo: Vec<Vec<u8>> = Vec::new();
        let push = |todo: &mut Vec<Vec<u8>>, path: &[u8]| {
            todo.extend(path.split(|&b| b == b'/').rev().filter(|part| !part.is_empty()).map(<[u8]>::to_vec));
        };
        push(&mut todo, &absolute(folder, path));
        let must_be_folder = path.ends_with(b"/");
        let mut at: Vec<u8> = b"/".to_vec();
        let mut links = 0;
        while let Some(part) = todo.pop() {
            if part == b"." {
                continue;
            }
            if part == b".." {
                at.truncate(at.iter().rposition(|&byte| byte == b'/').unwrap_or(0).max(1));
                continue;
            }
            let next = self.own_process(join(&at, &part));
            if next.len() > PATH_BYTES_MAX {
                return Err(Errno::NotFound);
            }
            let is_last = todo.is_empty();
            match self.entry(&next) {
                Some(Stat { kind: Kind::Link(target), .. }) if !is_last || follow_last || must_be_folder => {
                    links += 1;
                    if links > LINKS_MAX {
                        return Err(Errno::TooManyLinks);
                    }
                    if target.starts_with(b"/") {
                        at = b"/".to_vec();
                    }
                    push(&mut todo, &target);
                    continue;
                }
                Some(Stat { kind: Kind::Folder, .. }) => {}
                Some(_) if !is_last || must_be_folder => return Err(Errno::NotDirectory),
                None if !is_last => return Err(Errno::NotFound),
                _ => {}
            }
            at = next;
        }
        Ok(at)
    }

    /// `/proc/PID` of the session's shell is `/proc/self`.
    fn own_process(&self, path: Vec<u8>) -> Vec<u8> {
        if path == format!("/proc/{}", self.view.pid).as_bytes() { b"/proc/self".to_vec() } else { path }
    }

    /// What is at an absolute path without links.
    fn entry(&self, path: &[u8]) -> Option<Stat> {
        if let Some(entry) = self.overlay.entries.get(path) {
            let entry = entry.as_ref()?;
            let (kind, size) = match &entry.kind {
                EntryKind::Folder => (Kind::Folder, 60),
                EntryKind::Link(target) => (Kind::Link(target.clone()), target.len()),
                EntryKind::Device(device) => (Kind::Device(*device), 0),
                EntryKind::File { data, .. } => (Kind::File, data.bytes().len()),
            };
            let changed_s = Some(entry.changed_s);
            return Some(Stat { kind, mode: entry.mode, uid: self.machine.uid, size, changed_s });
        }
        let file = self.machine.files.get(path)?;
        let (kind, size) = match &file.contents {
            Contents::Folder => (Kind::Folder, 0),
            Contents::Link(target) => (Kind::Link(target.clone()), target.len()),
            Contents::Bytes(bytes) => {
                // Files of /proc have no size.
                (Kind::File, if path.starts_with(b"/proc/") { 0 } else { bytes.len() })
            }
            Contents::Made(_) => (Kind::File, 0),
            Contents::Device(device) => (Kind::Device(*device), 0),
        };
        Some(Stat { kind, mode: file.mode, uid: file.uid, size, changed_s: None })
    }

    /// What a path leads to, links followed.
    pub(crate) fn stat(&self, folder: &[u8], path: &[u8]) -> Result<Stat, Errno> {
        self.entry(&self.place(folder, path, true)?).ok_or(Errno::NotFound)
    }

    /// What is at a path, a link itself if it is one.
    pub(crate) fn stat_link(&self, folder: &[u8], path: &[u8]) -> Result<Stat, Errno> {
        self.entry(&self.place(folder, path, false)?).ok_or(Errno::NotFound)
    }

    /// The names in a folder, in order.
    pub(crate) fn list(&self, folder: &[u8], path: &[u8]) -> Result<Vec<Vec<u8>>, Errno> {
        let place = self.place(folder, path, true)?;
        match self.entry(&place) {
            Some(Stat { kind: Kind::Folder, .. }) => Ok(self.names(&place)),
            Some(_) => Err(Errno::NotDirectory),
            None => Err(Errno::NotFound),
        }
    }

    fn names(&self, place: &[u8]) -> Vec<Vec<u8>> {
        let prefix = if place == b"/" { b"/".to_vec() } else { join(place, b"") };
        let direct = |path: &Vec<u8>| -> Option<Option<Vec<u8>>> {
            let rest = path.strip_prefix(prefix.as_slice())?;
            Some((!rest.is_empty() && !rest.contains(&b'/')).then(|| rest.to_vec()))
        };
        let mut names: BTreeMap<Vec<u8>, bool> = BTreeMap::new();
        for (path, _) in self.machine.files.range(prefix.clone()..) {
            match direct(path) {
                Some(Some(name)) => names.insert(name, true),
                Some(None) => None,
                None => break,
            };
        }
        for (path, entry) in self.overlay.entries.range(prefix.clone()..) {
            match direct(path) {
                Some(Some(name)) => names.insert(name, entry.is_some()),
                Some(None) => None,
                None => break,
            };
        }
        names.into_iter().filter(|(_, is_there)| *is_there).map(|(name, _)| name).collect()
    }

    /// The bytes of a file.
    pub(crate) fn read(&self, folder: &[u8], path: &[u8]) -> Result<Data, Errno> {
        let place = self.place(folder, path, true)?;
        if let Some(entry) = self.overlay.entries.get(&place) {
            return match entry.as_ref().map(|entry| &entry.kind) {
                Some(EntryKind::File { data, .. }) => Ok(data.clone()),
                Some(EntryKind::Folder) => Err(Errno::IsDirectory),
                Some(EntryKind::Device(device)) => Ok(Data::Owned(device_bytes(*device))),
                Some(EntryKind::Link(_)) | None => Err(Errno::NotFound),
            };
        }
        match self.machine.files.get(&place).map(|file| &file.contents) {
            Some(Contents::Bytes(bytes)) => Ok(Data::Shared(bytes.clone())),
            Some(Contents::Made(make)) => Ok(Data::Owned(make(self.machine, self.view))),
            Some(Contents::Device(device)) => Ok(Data::Owned(device_bytes(*device))),
            Some(Contents::Folder) => Err(Errno::IsDirectory),
            Some(Contents::Link(_)) | None => Err(Errno::NotFound),
        }
    }

    /// Whether something may be made, changed or removed at an absolute path.
    fn check_writable(&self, place: &[u8]) -> Result<(), Errno> {
        match self.machine.mount_of(place) {
            Some(mount) if mount.is_writable() && mount.kind != "proc" && mount.kind != "sysfs" => Ok(()),
            Some(mount) if mount.is_writable() => Err(Errno::Permission),
            _ => Err(Errno::ReadOnly),
        }
    }

    fn check_parent(&self, place: &[u8]) -> Result<(), Errno> {
        match self.entry(split(place).0) {
            Some(Stat { kind: Kind::Folder, .. }) => Ok(()),
            Some(_) => Err(Errno::NotDirectory),
            None => Err(Errno::NotFound),
        }
    }

    /// What the session may still write, in bytes.
    pub(crate) fn room(&self) -> usize {
        self.bytes_max.saturating_sub(self.overlay.bytes)
    }

    /// Opens a file for writing: makes it if it is not there. What it held is cut off by the caller.
    pub(crate) fn open(&mut self, folder: &[u8], path: &[u8], mode: u16) -> Result<Opened, Errno> {
        let place = self.place(folder, path, true)?;
        match self.entry(&place) {
            Some(Stat { kind: Kind::Folder, .. }) => return Err(Errno::IsDirectory),
            Some(Stat { kind: Kind::Device(device), .. }) => return Ok(Opened::Device(device)),
            Some(Stat { kind: Kind::Link(_), .. }) => return Err(Errno::TooManyLinks),
            // Settings of the kernel can be written, and nothing comes of it.
            Some(_) if place.starts_with(b"/proc/sys/") => return Ok(Opened::Device(Device::Null)),
            Some(_) => self.check_writable(&place)?,
            None => {
                if path.ends_with(b"/") {
                    return Err(Errno::IsDirectory);
                }
                self.check_parent(&place)?;
                self.check_writable(&place)?;
                self.put(&place, mode, EntryKind::File { data: Data::Owned(Vec::new()), is_known: true })?;
            }
        }
        Ok(Opened::File(place))
    }

    /// Writes into a file that was opened; `at` is the offset, or the end.
    pub(crate) fn write(&mut self, place: &[u8], at: Option<usize>, bytes: &[u8]) -> Result<(), Errno> {
        let room = self.bytes_max.saturating_sub(self.overlay.bytes);
        let now_s = self.now_s;
        if !self.overlay.entries.contains_key(place) {
            // A file of the device: from here on the session has its own.
            let (Some(stat), Ok(data)) = (self.entry(place), self.read(b"/", place)) else { return Ok(()) };
            self.put(place, stat.mode, EntryKind::File { data, is_known: true })?;
        }
        let Some(Some(Entry { kind: EntryKind::File { data, is_known }, changed_s, .. })) =
            self.overlay.entries.get_mut(place)
        else {
            // It was removed while it was open: what is written to it is lost.
            return Ok(());
        };
        let before = owned_len(data);
        let length = data.bytes().len();
        let start = at.unwrap_or(length);
        let end = start.saturating_add(bytes.len());
        let grows = end.max(length).saturating_sub(before);
        if grows > room {
            return Err(Errno::NoSpace);
        }
        if let Data::Shared(shared) = data {
            *data = Data::Owned(shared.to_vec());
        }
        if let Data::Owned(owned) = data {
            if owned.len() < end {
                owned.resize(end, 0);
            }
            if let Some(window) = owned.get_mut(start..end) {
                window.copy_from_slice(bytes);
            }
        }
        *is_known &= bytes.is_empty();
        *changed_s = now_s;
        self.overlay.bytes += grows;
        Ok(())
    }

    /// Cuts a file to nothing, and gives what it held if that was not known.
    pub(crate) fn truncate(&mut self, place: &[u8]) -> Option<Vec<u8>> {
        let lost = self.unknown(place);
        if let Some(stat) = self.entry(place) {
            let empty = EntryKind::File { data: Data::Owned(Vec::new()), is_known: true };
            // There is room: what was there was larger, or a mark is as large as the entry.
            let _ = self.put(place, stat.mode, empty);
        }
        lost
    }

    /// Gives a file new contents, shared ones if they are.
    pub(crate) fn store(&mut self, place: &[u8], mode: u16, data: Data, is_known: bool) -> Result<(), Errno> {
        self.put(place, mode, EntryKind::File { data, is_known })
    }

    /// Whether the bytes of a file are known: captured before, or the device's own.
    pub(crate) fn is_known(&self, place: &[u8]) -> bool {
        match self.overlay.entries.get(place) {
            Some(Some(Entry { kind: EntryKind::File { is_known, .. }, .. })) => *is_known,
            _ => true,
        }
    }

    /// The bytes of a file that are not known yet; from now on they are.
    pub(crate) fn unknown(&mut self, place: &[u8]) -> Option<Vec<u8>> {
        match self.overlay.entries.get_mut(place) {
            Some(Some(Entry { kind: EntryKind::File { data, is_known }, .. })) if !*is_known => {
                *is_known = true;
                Some(data.bytes().to_vec())
            }
            _ => None,
        }
    }

    /// Learns that what a file holds is recorded elsewhere.
    pub(crate) fn know(&mut self, place: &[u8]) {
        if let Some(Some(Entry { kind: EntryKind::File { is_known, .. }, .. })) = self.overlay.entries.get_mut(place) {
            *is_known = true;
        }
    }

    /// The paths of all files that the session wrote and nobody has seen yet.
    pub(crate) fn unknown_paths(&self) -> Vec<Vec<u8>> {
        self.overlay.entries.keys().filter(|path| !self.is_known(path)).cloned().collect()
    }

    pub(crate) fn make_folder(&mut self, folder: &[u8], path: &[u8], mode: u16) -> Result<(), Errno> {
        let place = self.place(folder, path, false)?;
        if self.entry(&place).is_some() {
            return Err(Errno::Exists);
        }
        self.check_parent(&place)?;
        self.check_writable(&place)?;
        self.put(&place, mode, EntryKind::Folder)
    }

    pub(crate) fn make_link(&mut self, folder: &[u8], path: &[u8], target: &[u8]) -> Result<(), Errno> {
        let place = self.place(folder, path, false)?;
        if self.entry(&place).is_some() {
            return Err(Errno::Exists);
        }
        self.check_parent(&place)?;
        self.check_writable(&place)?;
        self.put(&place, 0o777, EntryKind::Link(target.to_vec()))
    }

    /// Changes the permission bits; the path is absolute and without links.
    pub(crate) fn set_mode(&mut self, place: &[u8], mode: u16) -> Result<(), Errno> {
        self.check_writable(place)?;
        self.own(place)?;
        if let Some(Some(entry)) = self.overlay.entries.get_mut(place) {
            entry.mode = mode;
        }
        Ok(())
    }

    /// Sets the time of a file to now.
    pub(crate) fn touch(&mut self, place: &[u8]) -> Result<(), Errno> {
        self.check_writable(place)?;
        self.own(place)?;
        let now_s = self.now_s;
        if let Some(Some(entry)) = self.overlay.entries.get_mut(place) {
            entry.changed_s = now_s;
        }
        Ok(())
    }

    /// Takes something of the device into the overlay, unchanged.
    fn own(&mut self, place: &[u8]) -> Result<(), Errno> {
        if self.overlay.entries.contains_key(place) {
            return Ok(());
        }
        let Some(stat) = self.entry(place) else { return Err(Errno::NotFound) };
        let kind = match stat.kind {
            Kind::Folder => EntryKind::Folder,
            Kind::Link(target) => EntryKind::Link(target),
            Kind::Device(device) => EntryKind::Device(device),
            Kind::File => EntryKind::File { data: self.read(b"/", place)?, is_known: true },
        };
        self.put(place, stat.mode, kind)
    }

    /// Removes a file, link or device.
    pub(crate) fn remove(&mut self, place: &[u8]) -> Result<(), Errno> {
        match self.entry(place) {
            None => return Err(Errno::NotFound),
            Some(Stat { kind: Kind::Folder, .. }) => return Err(Errno::IsDirectory),
            Some(_) => self.check_writable(place)?,
        }
        self.forget(place)
    }

    /// Removes an empty folder.
    pub(crate) fn remove_folder(&mut self, place: &[u8]) -> Result<(), Errno> {
        match self.entry(place) {
            None => return Err(Errno::NotFound),
            Some(Stat { kind: Kind::Folder, .. }) => {}
            Some(_) => return Err(Errno::NotDirectory),
        }
        if self.machine.mounts.iter().any(|mount| mount.at.as_bytes() == place) {
            return Err(Errno::Busy);
        }
        self.check_writable(place)?;
        if !self.names(place).is_empty() {
            return Err(Errno::NotEmpty);
        }
        self.forget(place)
    }

    /// Moves a file, or a folder with what is in it; both paths are absolute and without links.
    pub(crate) fn rename(&mut self, from: &[u8], to: &[u8]) -> Result<(), Errno> {
        let stat = self.entry(from).ok_or(Errno::NotFound)?;
        self.check_parent(to)?;
        self.check_writable(from)?;
        self.check_writable(to)?;
        if from == to {
            return Ok(());
        }
        match self.entry(to).map(|there| there.kind) {
            Some(Kind::Folder) if stat.kind != Kind::Folder => return Err(Errno::IsDirectory),
            Some(Kind::Folder) if !self.names(to).is_empty() => return Err(Errno::NotEmpty),
            Some(kind) if kind != Kind::Folder && stat.kind == Kind::Folder => return Err(Errno::NotDirectory),
            _ => {}
        }
        if stat.kind == Kind::Folder {
            if join(to, b"").starts_with(&join(from, b"")) {
                return Err(Errno::Invalid);
            }
            let prefix = join(from, b"");
            let below = |path: &&Vec<u8>| path.starts_with(&prefix);
            let mut paths: Vec<Vec<u8>> =
                self.overlay.entries.range(prefix.clone()..).map(|(path, _)| path).take_while(below).cloned().collect();
            paths.extend(self.machine.files.range(prefix.clone()..).map(|(path, _)| path).take_while(below).cloned());
            paths.sort_unstable();
            paths.dedup();
            self.own(from)?;
            self.shift(from, to)?;
            for path in paths {
                let rest = path.strip_prefix(prefix.as_slice()).unwrap_or_default();
                if self.entry(&path).is_some() {
                    self.own(&path)?;
                    self.shift(&path, &join(to, rest))?;
                }
            }
            return Ok(());
        }
        self.own(from)?;
        self.shift(from, to)
    }

    /// Moves one entry of the overlay.
    fn shift(&mut self, from: &[u8], to: &[u8]) -> Result<(), Errno> {
        let Some(Some(entry)) = self.overlay.entries.remove(from) else { return Err(Errno::NotFound) };
        self.overlay.bytes = self.overlay.bytes.saturating_sub(cost(from, Some(&entry)));
        self.forget(from).or_else(|error| if error == Errno::NotFound { Ok(()) } else { Err(error) })?;
        self.insert(to, Some(entry));
        Ok(())
    }

    fn forget(&mut self, place: &[u8]) -> Result<(), Errno> {
        if let Some(old) = self.overlay.entries.remove(place) {
            self.overlay.bytes = self.overlay.bytes.saturating_sub(cost(place, old.as_ref()));
        }
        if self.machine.files.contains_key(place) {
            // The device has fewer files than the limit has room for marks.
            self.insert(place, None);
        }
        Ok(())
    }

    fn put(&mut self, place: &[u8], mode: u16, kind: EntryKind) -> Result<(), Errno> {
        let entry = Entry { mode, changed_s: self.now_s, kind };
        let old = self.overlay.entries.get(place).map_or(0, |old| cost(place, old.as_ref()));
        let new = cost(place, Some(&entry));
        if new > old && self.overlay.bytes - old + new > self.bytes_max {
            return Err(Errno::NoSpace);
        }
        self.insert(place, Some(entry));
        Ok(())
    }

    fn insert(&mut self, place: &[u8], entry: Option<Entry>) {
        let new = cost(place, entry.as_ref());
        let old = self.overlay.entries.insert(place.to_vec(), entry);
        let old = old.map_or(0, |old| cost(place, old.as_ref()));
        self.overlay.bytes = self.overlay.bytes.saturating_sub(old) + new;
    }
}

/// What was opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Opened {
    /// A file, at this absolute path.
    File(Vec<u8>),
    Device(Device),
}

fn owned_len(data: &Data) -> usize {
    match data {
        Data::Shared(_) => 0,
        Data::Owned(bytes) => bytes.len(),
    }
}

fn cost(place: &[u8], entry: Option<&Entry>) -> usize {
    let held = match entry.map(|entry| &entry.kind) {
        Some(EntryKind::File { data, .. }) => owned_len(data),
        Some(EntryKind::Link(target)) => target.len(),
        Some(EntryKind::Folder | EntryKind::Device(_)) | None => 0,
    };
    ENTRY_BYTES + place.len() + held
}

/// How much an endless device gives at once, in bytes.
const ENDLESS_BYTES: usize = 65_536;

fn device_bytes(device: Device) -> Vec<u8> {
    match device {
        Device::Null | Device::Terminal | Device::Other => Vec::new(),
        Device::Zero | Device::Full => vec![0; ENDLESS_BYTES],
        Device::Random => {
            let mut state = 0x2545_f491_4f6c_dd1d_u64;
            (0..ENDLESS_BYTES)
                .map(|_| {
                    state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                    (state >> 56) as u8
                })
                .collect()
        }
    }
}
