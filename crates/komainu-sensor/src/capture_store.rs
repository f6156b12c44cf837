//! The packets of sessions: one pcapng file for each, until the hub has it or newer ones need its room.
//!
//! A file has the name of its session: `SESSION.pcapng`, or `SESSION.confidential.pcapng` when it tells of a device that
//! is not out yet, so that the mark cannot be lost beside it. It is written under another name and gets its own when it
//! is whole. Files are not forced to the disk: a power cut may cost the youngest, and the hub refuses one that it tore.
//!
//! The store is bounded by its own bound and, with a hub, by what the records that wait for it leave of the spool's bound.
//! At either the oldest captures go, for they are the ones that are missed least: records push captures out, never the
//! other way round.

use std::collections::VecDeque;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use komainu_model::Confidentiality;
use komainu_ports::{LogBudget, RecordedSession};
use parking_lot::Mutex;
use tokio::sync::Notify;
use tracing::warn;

use crate::events;

/// The largest capture of a session in bytes: what the hub takes at once.
pub const CAPTURE_BYTES_MAX: u64 = 8 * 1024 * 1024;

/// How many captures: bounds the folder, and the memory in which they are counted, about 60 bytes each.
const CAPTURES_MAX: usize = 100_000;

/// How the name of a file ends that is not whole yet.
const UNFINISHED: &str = ".new";

/// The captures of sessions.
#[derive(Debug)]
pub struct CaptureStore {
    folder: PathBuf,
    bytes_max: u64,
    captures_max: usize,
    state: Mutex<State>,
    budget: LogBudget,
    /// Told when a capture is added.
    pub(crate) added: Notify,
}

#[derive(Debug, Default)]
struct State {
    /// The oldest first.
    captures: VecDeque<SessionCapture>,
    /// Bytes of all captures, and of those that are being written.
    bytes: u64,
    /// Captures that are being written.
    unfinished: usize,
    /// Bytes that records leave; none when they share no bound with captures.
    left: Option<u64>,
    dropped: u64,
}

/// A capture in the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SessionCapture {
    /// Whose packets it has.
    pub session: RecordedSession,
    /// Who may see it.
    pub confidentiality: Confidentiality,
    /// Its size.
    pub bytes: u64,
    /// When it was added, by the disk; in the order in which captures came.
    pub added_at: SystemTime,
}

/// How the store stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CapturesStanding {
    /// Captures in it.
    pub captures: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Captures since the start that were removed, or not taken, before the hub had them.
    pub dropped: u64,
}

/// Why a capture is dropped: the field `why` of the event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CaptureDropped {
    /// It is larger than a capture may be.
    TooLarge,
    /// The store's own bound in bytes.
    StoreBytes,
    /// The store's bound in files.
    StoreCount,
    /// Records that wait for the hub need the room.
    Spool,
    /// The process died while it was written.
    Unfinished,
    /// The disk failed, or somebody removed it.
    Disk,
    /// The hub will never take it.
    Refused,
}

impl CaptureDropped {
    const fn as_str(self) -> &'static str {
        match self {
            Self::TooLarge => "capture_bytes_max",
            Self::StoreBytes => "sessions_bytes_max",
            Self::StoreCount => "captures_max",
            Self::Spool => "spool_bytes_max",
            Self::Unfinished => "unfinished",
            Self::Disk => "disk",
            Self::Refused => "refused",
        }
    }
}

impl CaptureStore {
    /// Opens the store in a folder, or makes it. What a process that was killed did not finish is removed and counted as
    /// dropped; so only one process may do so at a time.
    pub fn open(folder: &Path, bytes_max: u64) -> io::Result<Self> {
        Self::open_bounded(folder, bytes_max, CAPTURES_MAX)
    }

    fn open_bounded(folder: &Path, bytes_max: u64, captures_max: usize) -> io::Result<Self> {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        let mut unfinished = 0;
        for file in fs::read_dir(folder)? {
            let file = file?;
            if file.file_name().to_str().is_some_and(|name| name.ends_with(UNFINISHED)) {
                fs::remove_file(file.path())?;
                unfinished += 1;
            }
        }
        let captures = Self::list(folder)?;
        let bytes = captures.iter().map(|capture| capture.bytes).sum();
        let store = Self {
            folder: folder.to_owned(),
            bytes_max,
            captures_max,
            state: Mutex::new(State { captures: captures.into(), bytes, ..State::default() }),
            budget: LogBudget::default(),
            added: Notify::new(),
        };
        let mut state = store.state.lock();
        store.drop_all(&mut state, unfinished, CaptureDropped::Unfinished, None);
        store.make_room(&mut state, 0, 0);
        drop(state);
        Ok(store)
    }

    /// The captures in a folder, the oldest first, while another process may write to it.
    pub fn list(folder: &Path) -> io::Result<Vec<SessionCapture>> {
        let mut captures = Vec::new();
        for file in fs::read_dir(folder)? {
            let file = file?;
            let Some((session, confidentiality)) = file.file_name().to_str().and_then(parts_of_name) else { continue };
            let file = match file.metadata() {
                Ok(file) => file,
                // The hub has it by now, or its room was needed.
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(error),
            };
            captures.push(SessionCapture { session, confidentiality, bytes: file.len(), added_at: file.modified()? });
        }
        captures.sort_by_key(|capture| (capture.added_at, capture.session));
        Ok(captures)
    }

    /// The name of the file with a session's packets.
    pub fn file_name(session: RecordedSession, confidentiality: Confidentiality) -> String {
        match confidentiality {
            Confidentiality::Open => format!("{session}.pcapng"),
            Confidentiality::Confidential => format!("{session}.confidential.pcapng"),
        }
    }

    /// Adds the packets of a session, a whole pcapng file; the oldest captures make room for it. True when it is in the
    /// store; what is not is counted as dropped. A session that is there already stays as it is.
    pub fn add(&self, session: RecordedSession, confidentiality: Confidentiality, pcapng: &[u8]) -> bool {
        let bytes = pcapng.len() as u64;
        {
            let mut state = self.state.lock();
            if bytes > CAPTURE_BYTES_MAX {
                self.drop_all(&mut state, 1, CaptureDropped::TooLarge, None);
                return false;
            }
            // Room is taken before the write, so that captures at the same time cannot exceed the bound together.
            if let Some(why) = self.make_room(&mut state, bytes, 1) {
                self.drop_all(&mut state, 1, why, None);
                return false;
            }
            state.bytes += bytes;
            state.unfinished += 1;
        }
        let path = self.folder.join(Self::file_name(session, confidentiality));
        let unfinished = path.with_added_extension(&UNFINISHED[1..]);
        let written = write(&unfinished, pcapng);
        let mut state = self.state.lock();
        state.unfinished -= 1;
        // The time by which captures are ordered is told under the lock, and never goes back.
        let last = state.captures.back().map(|capture| capture.added_at);
        let added = written.and_then(|file| finish(&file, last, &unfinished, &path)).inspect_err(|_| {
            let _ = fs::remove_file(&unfinished);
        });
        match added {
            Ok(Some(added_at)) => {
                state.captures.push_back(SessionCapture { session, confidentiality, bytes, added_at });
                // Records may have taken more of the common bound meanwhile.
                self.make_room(&mut state, 0, 0);
                drop(state);
                self.added.notify_one();
                true
            }
            Ok(None) => {
                state.bytes -= bytes;
                true
            }
            Err(error) => {
                state.bytes -= bytes;
                self.drop_all(&mut state, 1, CaptureDropped::Disk, Some(&error));
                false
            }
        }
    }

    /// Says how many bytes records leave of a bound that they share with captures. The oldest captures make room at once.
    pub(crate) fn leave(&self, bytes: u64) {
        let mut state = self.state.lock();
        state.left = Some(bytes);
        self.make_room(&mut state, 0, 0);
    }

    /// Removes the oldest captures until so many more have room; says which bound is in the way when they cannot have it.
    /// What could not be had by removing everything removes nothing.
    fn make_room(&self, state: &mut State, bytes: u64, captures: usize) -> Option<CaptureDropped> {
        let in_the_way = |state: &State, bytes: u64, captures: usize| {
            if state.left.is_some_and(|left| bytes > left) {
                Some(CaptureDropped::Spool)
            } else if bytes > self.bytes_max {
                Some(CaptureDropped::StoreBytes)
            } else if captures > self.captures_max {
                Some(CaptureDropped::StoreCount)
            } else {
                None
            }
        };
        if let Some(why) = in_the_way(state, bytes, captures) {
            return Some(why);
        }
        while let Some(why) = in_the_way(state, state.bytes + bytes, state.captures.len() + state.unfinished + captures)
        {
            let Some(oldest) = state.captures.pop_front() else { return Some(why) };
            let removed = fs::remove_file(self.path(&oldest));
            state.bytes -= oldest.bytes;
            self.drop_all(state, 1, why, removed.err().as_ref());
        }
        None
    }

    /// Counts captures that the hub will not get from here.
    fn drop_all(&self, state: &mut State, captures: u64, why: CaptureDropped, error: Option<&io::Error>) {
        if captures == 0 {
            return;
        }
        state.dropped += captures;
        if let Some(suppressed) = self.budget.take_now() {
            let (why, error) = (why.as_str(), error.map(tracing::field::display));
            warn!(event = events::CAPTURE_DROPPED, captures, why, error, suppressed, "captures are dropped");
        }
    }

    /// The capture that goes out next: the oldest.
    pub(crate) fn first(&self) -> Option<SessionCapture> {
        self.state.lock().captures.front().copied()
    }

    /// The packets of a session.
    pub fn read(&self, capture: &SessionCapture) -> io::Result<Vec<u8>> {
        let mut pcapng = Vec::new();
        File::open(self.path(capture))?.take(CAPTURE_BYTES_MAX).read_to_end(&mut pcapng)?;
        Ok(pcapng)
    }

    /// Removes a capture that the hub has.
    pub(crate) fn remove(&self, capture: &SessionCapture) -> io::Result<()> {
        let mut state = self.state.lock();
        match fs::remove_file(self.path(capture)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => {}
        }
        forget(&mut state, capture);
        Ok(())
    }

    /// Removes a capture that the hub will not get, and counts it.
    pub(crate) fn give_up(&self, capture: &SessionCapture, why: CaptureDropped, error: Option<&io::Error>) {
        let mut state = self.state.lock();
        let _ = fs::remove_file(self.path(capture));
        // One that was removed to make room is counted already.
        if forget(&mut state, capture) {
            self.drop_all(&mut state, 1, why, error);
        }
    }

    /// How the store stands.
    pub fn standing(&self) -> CapturesStanding {
        let state = self.state.lock();
        let bytes = state.captures.iter().map(|capture| capture.bytes).sum();
        CapturesStanding { captures: state.captures.len() as u64, bytes, dropped: state.dropped }
    }

    fn path(&self, capture: &SessionCapture) -> PathBuf {
        self.folder.join(Self::file_name(capture.session, capture.confidentiality))
    }
}

/// Takes a capture out of the list; says whether it was there. It is the first, unless room was made meanwhile.
fn forget(state: &mut State, capture: &SessionCapture) -> bool {
    let Some(at) = state.captures.iter().position(|known| known == capture) else { return false };
    state.captures.remove(at);
    state.bytes -= capture.bytes;
    true
}

fn write(path: &Path, pcapng: &[u8]) -> io::Result<File> {
    let mut file = OpenOptions::new().create_new(true).write(true).mode(0o600).open(path)?;
    file.write_all(pcapng)?;
    Ok(file)
}

/// Gives a file its name; says when, which is after `last`. None: a file of that name is there.
fn finish(file: &File, last: Option<SystemTime>, from: &Path, to: &Path) -> io::Result<Option<SystemTime>> {
    let mut at = file.metadata()?.modified()?;
    // The disk's clock ticks a few hundred times a second, and may be set back.
    if let Some(last) = last
        && at <= last
    {
        at = last + Duration::from_micros(1);
        file.set_modified(at)?;
    }
    // A link does not replace what is there, as a renaming would.
    let linked = fs::hard_link(from, to);
    fs::remove_file(from)?;
    match linked {
        Ok(()) => Ok(Some(at)),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(None),
        Err(error) => Err(error),
    }
}

fn parts_of_name(name: &str) -> Option<(RecordedSession, Confidentiality)> {
    let stem = name.strip_suffix(".pcapng")?;
    Some(match stem.strip_suffix(".confidential") {
        Some(session) => (RecordedSession::parse(session)?, Confidentiality::Confidential),
        None => (RecordedSession::parse(stem)?, Confidentiality::Open),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn session(number: u32) -> RecordedSession {
        RecordedSession::parse(&format!("{number:032x}")).unwrap()
    }

    fn add(store: &CaptureStore, number: u32, bytes: usize) -> bool {
        store.add(session(number), Confidentiality::Open, &vec![number as u8; bytes])
    }

    /// Takes everything out in order.
    fn drain(store: &CaptureStore) -> Vec<RecordedSession> {
        let mut drained = Vec::new();
        while let Some(capture) = store.first() {
            assert_eq!(store.read(&capture).unwrap().len() as u64, capture.bytes);
            drained.push(capture.session);
            store.remove(&capture).unwrap();
        }
        drained
    }

    fn names(folder: &Path) -> Vec<String> {
        let names = fs::read_dir(folder).unwrap().map(|file| file.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<String> = names.collect();
        names.sort();
        names
    }

    #[test]
    fn captures_come_out_in_the_order_of_their_coming_across_starts() {
        let folder = tempfile::tempdir().unwrap();
        // Neither the order of their names, nor that of a directory.
        for (start, numbers) in [[9, 3, 7], [8, 1, 5]].into_iter().enumerate() {
            let store = CaptureStore::open(folder.path(), 1 << 20).unwrap();
            assert_eq!(store.standing().captures, 3 * start as u64);
            assert!(numbers.iter().all(|number| add(&store, *number, 10)));
        }
        let store = CaptureStore::open(folder.path(), 1 << 20).unwrap();
        assert_eq!(store.standing(), CapturesStanding { captures: 6, bytes: 60, dropped: 0 });
        assert_eq!(drain(&store), [9, 3, 7, 8, 1, 5].map(session));
        assert_eq!(store.standing(), CapturesStanding::default());
        assert!(names(folder.path()).is_empty());
    }

    #[test]
    fn at_its_bound_the_oldest_go_and_are_counted() {
        let folder = tempfile::tempdir().unwrap();
        let store = CaptureStore::open(folder.path(), 100).unwrap();
        for number in 0..5 {
            assert!(add(&store, number, 40));
        }
        assert_eq!(store.standing(), CapturesStanding { captures: 2, bytes: 80, dropped: 3 });
        assert!(!add(&store, 9, 101), "more than all of it");
        assert!(!add(&store, 8, CAPTURE_BYTES_MAX as usize + 1));
        assert_eq!(store.standing(), CapturesStanding { captures: 2, bytes: 80, dropped: 5 }, "it pushed nothing out");
        drop(store);
        let smaller = CaptureStore::open(folder.path(), 40).unwrap();
        assert_eq!(smaller.standing(), CapturesStanding { captures: 1, bytes: 40, dropped: 1 });
        assert_eq!(drain(&smaller), [session(4)]);
    }

    #[test]
    fn so_many_files_and_no_more() {
        let folder = tempfile::tempdir().unwrap();
        let store = CaptureStore::open_bounded(folder.path(), 1 << 20, 3).unwrap();
        for number in 0..7 {
            assert!(add(&store, number, 1));
        }
        assert_eq!(store.standing().dropped, 4);
        assert_eq!(drain(&store), [4, 5, 6].map(session));
    }

    #[test]
    fn records_push_captures_out() {
        let folder = tempfile::tempdir().unwrap();
        let store = CaptureStore::open(folder.path(), 1 << 20).unwrap();
        store.leave(100);
        assert!((0..2).all(|number| add(&store, number, 50)));
        store.leave(60);
        assert_eq!(store.standing(), CapturesStanding { captures: 1, bytes: 50, dropped: 1 });
        assert!(add(&store, 2, 50), "a newer one is worth more");
        store.leave(0);
        assert!(!add(&store, 3, 1));
        assert_eq!(store.standing(), CapturesStanding { captures: 0, bytes: 0, dropped: 4 });
        assert!(names(folder.path()).is_empty());
    }

    /// As it is when the process dies between the write and the renaming, or between the link and the removal.
    #[test]
    fn what_was_not_finished_is_dropped_and_counted() {
        let folder = tempfile::tempdir().unwrap();
        let store = CaptureStore::open(folder.path(), 1 << 20).unwrap();
        assert!(add(&store, 1, 10));
        drop(store);
        let torn = folder.path().join(CaptureStore::file_name(session(2), Confidentiality::Open) + UNFINISHED);
        fs::write(torn, "to").unwrap();
        let store = CaptureStore::open(folder.path(), 1 << 20).unwrap();
        assert_eq!(store.standing(), CapturesStanding { captures: 1, bytes: 10, dropped: 1 });
        assert_eq!(names(folder.path()), [CaptureStore::file_name(session(1), Confidentiality::Open)]);
        assert!(add(&store, 2, 10), "its name is free");
    }

    #[test]
    fn a_session_is_there_once() {
        let folder = tempfile::tempdir().unwrap();
        let store = CaptureStore::open(folder.path(), 1 << 20).unwrap();
        assert!(add(&store, 1, 10));
        assert!(add(&store, 1, 99));
        assert_eq!(store.standing(), CapturesStanding { captures: 1, bytes: 10, dropped: 0 });
        assert_eq!(drain(&store), [session(1)]);
        assert_eq!(store.state.lock().bytes, 0);
    }

    #[test]
    fn what_is_confidential_stays_so() {
        let folder = tempfile::tempdir().unwrap();
        let store = CaptureStore::open(folder.path(), 1 << 20).unwrap();
        store.add(session(1), Confidentiality::Confidential, b"x");
        store.add(session(2), Confidentiality::Open, b"x");
        let marks = |captures: Vec<SessionCapture>| captures.iter().map(|of| of.confidentiality).collect::<Vec<_>>();
        assert_eq!(
            marks(CaptureStore::list(folder.path()).unwrap()),
            [Confidentiality::Confidential, Confidentiality::Open]
        );
        assert_eq!(parts_of_name("1.pcapng"), None);
        assert_eq!(parts_of_name(&format!("{}.open.pcapng", session(1))), None);
    }

    #[test]
    fn what_is_given_up_is_counted_once() {
        let folder = tempfile::tempdir().unwrap();
        let store = CaptureStore::open(folder.path(), 1 << 20).unwrap();
        assert!(add(&store, 1, 10));
        let first = store.first().unwrap();
        store.leave(0);
        store.give_up(&first, CaptureDropped::Disk, None);
        assert_eq!(store.standing(), CapturesStanding { captures: 0, bytes: 0, dropped: 1 });
        store.leave(100);
        assert!(add(&store, 2, 10));
        store.give_up(&store.first().unwrap(), CaptureDropped::Refused, None);
        assert_eq!(store.standing(), CapturesStanding { captures: 0, bytes: 0, dropped: 2 });
    }
}
