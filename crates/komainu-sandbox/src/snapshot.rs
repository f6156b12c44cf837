//! Snapshots: guests that have booted and wait for their job, kept in a folder.
//!
//! A snapshot goes with one kit, one QEMU and one set of arguments; whatever of these changes, it is built anew and the old
//! one is removed, so there are at most two for each processor. It is a file: a head that says what it goes with, what the
//! agent said until it was ready, and the state of the machine as QEMU writes it. It is not packed: a guest of 64 MiB has 10
//! to 30 MiB that are not zero, and unpacking them would take longer than everything else on the way to the first
//! instruction.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::kit::Kit;
use crate::limits::{PRELUDE_BYTES_MAX, SNAPSHOT_BYTES_MAX, SNAPSHOT_WAIT_MAX};
use crate::qemu::{Beginning, Pace, Qemu, arguments};

/// With what every snapshot begins; the number changes with the form.
const MAGIC: &[u8; 8] = b"KMNSNAP1";
/// Bytes of the head.
const HEAD_BYTES_MAX: usize = 64 << 10;
/// How often one looks whether another process is done with the same snapshot.
const LOCK_LOOK: Duration = Duration::from_millis(50);

/// The folder of snapshots.
#[derive(Debug, Clone)]
pub struct Snapshots {
    folder: PathBuf,
}

/// A snapshot that is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredSnapshot {
    /// Its processor and pace, such as `arm.host`.
    pub name: String,
    /// Bytes on the disk.
    pub bytes: u64,
    /// The version of the QEMU that it goes with.
    pub qemu: String,
    /// The version of its kernel.
    pub kernel: String,
}

/// A snapshot, opened.
#[derive(Debug)]
pub(crate) struct Snapshot {
    /// Stands where the state of the machine begins. It cannot be written to.
    pub(crate) state: File,
    /// What the agent said until it was ready.
    pub(crate) prelude: Vec<u8>,
}

/// What a snapshot goes with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SnapshotHead {
    isa: String,
    pace: String,
    kernel: String,
    kit: String,
    qemu: String,
    arguments: Vec<String>,
}

/// The lengths of what follows a head.
#[derive(Serialize, Deserialize)]
struct Lengths {
    prelude: u32,
    state: u64,
}

/// Why there is no snapshot.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SnapshotError {
    /// The folder does not do what it should.
    #[error("cannot {doing} `{}`", .path.display())]
    Folder {
        doing: &'static str,
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    /// Another process builds it, for too long.
    #[error("another process has been building the snapshot `{0}` for minutes")]
    Waited(String),
    /// It cannot be built.
    #[error("cannot build the snapshot: {0}")]
    Build(String),
}

impl SnapshotHead {
    pub(crate) fn new(kit: &Kit, qemu: &Qemu, pace: Pace) -> Self {
        // Where the files of the kit lie makes no difference; their digests are in that of the kit.
        let kit_anywhere = Kit { kernel: "kernel".into(), root: "root".into(), ..kit.clone() };
        Self {
            isa: kit.isa.name().to_owned(),
            pace: pace.name().to_owned(),
            kernel: kit.kernel_version.clone(),
            kit: kit.digest.clone(),
            qemu: qemu.version.clone(),
            arguments: arguments(&kit_anywhere, pace, Beginning::Cold),
        }
    }

    /// For whatever it goes with, the same file: the new one takes the place of the old one.
    fn name(&self) -> String {
        format!("{}.{}", self.isa, self.pace)
    }
}

impl Snapshots {
    /// The snapshots in a folder, which is made if it is not there.
    pub fn new(folder: PathBuf) -> Self {
        Self { folder }
    }

    /// The snapshots that are there, in order of their names.
    pub fn list(&self) -> io::Result<Vec<StoredSnapshot>> {
        let entries = match fs::read_dir(&self.folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        let mut stored = Vec::new();
        for entry in entries {
            let entry = entry?;
            let mut file = File::open(entry.path())?;
            // What is no snapshot is a lock, or a file that is being written.
            let Ok((head, _)) = read_head(&mut file) else { continue };
            let bytes = file.metadata()?.len();
            stored.push(StoredSnapshot { name: head.name(), bytes, qemu: head.qemu, kernel: head.kernel });
        }
        stored.sort_by(|one, other| one.name.cmp(&other.name));
        Ok(stored)
    }

    /// Removes all of them; the next run of each processor builds its own anew.
    pub fn clear(&self) -> io::Result<usize> {
        let stored = self.list()?;
        for one in &stored {
            fs::remove_file(self.folder.join(format!("{}.snapshot", one.name)))?;
        }
        Ok(stored.len())
    }

    /// The snapshot that goes with `head`. If there is none, `build` writes the state of a machine to the file and gives
    /// what its agent said; meanwhile other processes wait.
    pub(crate) fn open_or_build(
        &self,
        head: &SnapshotHead,
        build: impl FnOnce(&mut File) -> Result<Vec<u8>, String>,
    ) -> Result<Snapshot, SnapshotError> {
        let path = self.folder.join(format!("{}.snapshot", head.name()));
        if let Some(snapshot) = open(&path, head)? {
            return Ok(snapshot);
        }
        let at = |doing: &'static str, path: &Path| {
            let path = path.to_owned();
            move |source| SnapshotError::Folder { doing, path, source }
        };
        let make = || DirBuilder::new().recursive(true).mode(0o700).create(&self.folder);
        make().map_err(at("make the folder", &self.folder))?;
        let lock_path = self.folder.join(format!("{}.lock", head.name()));
        let lock = File::create(&lock_path).map_err(at("make", &lock_path))?;
        self.lock(&lock, head)?;
        // Another process may have built it while this one waited.
        if let Some(snapshot) = open(&path, head)? {
            return Ok(snapshot);
        }
        let new_path = self.folder.join(format!("{}.new", head.name()));
        let written = self.write(head, &new_path, build).and_then(|()| {
            fs::rename(&new_path, &path).map_err(at("put in its place", &new_path))?;
            File::open(&self.folder).and_then(|folder| folder.sync_all()).map_err(at("keep", &self.folder))
        });
        if let Err(error) = written {
            // What is half written is never read; it only takes space.
            let _ = fs::remove_file(&new_path);
            return Err(error);
        }
        open(&path, head)?.ok_or_else(|| SnapshotError::Build("it is gone again".to_owned()))
    }

    /// Released when the file is closed.
    fn lock(&self, lock: &File, head: &SnapshotHead) -> Result<(), SnapshotError> {
        let deadline = Instant::now() + SNAPSHOT_WAIT_MAX;
        loop {
            match lock.try_lock() {
                Ok(()) => return Ok(()),
                Err(TryLockError::WouldBlock) if Instant::now() < deadline => thread::sleep(LOCK_LOOK),
                Err(TryLockError::WouldBlock) => return Err(SnapshotError::Waited(head.name())),
                Err(TryLockError::Error(source)) => {
                    return Err(SnapshotError::Folder { doing: "lock in", path: self.folder.clone(), source });
                }
            }
        }
    }

    fn write(
        &self,
        head: &SnapshotHead,
        path: &Path,
        build: impl FnOnce(&mut File) -> Result<Vec<u8>, String>,
    ) -> Result<(), SnapshotError> {
        let at = |source| SnapshotError::Folder { doing: "write", path: path.to_owned(), source };
        let mut state = tempfile_in(&self.folder).map_err(at)?;
        let prelude = build(&mut state).map_err(SnapshotError::Build)?;
        let state_bytes = state.stream_position().map_err(at)?;
        state.rewind().map_err(at)?;
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path).map_err(at)?;
        let lengths = Lengths {
            prelude: u32::try_from(prelude.len())
                .map_err(|_| SnapshotError::Build("its agent says too much".into()))?,
            state: state_bytes,
        };
        let json = serde_json::to_vec(&(head, lengths)).expect("texts, lists and numbers are JSON");
        let json_bytes = u32::try_from(json.len()).map_err(|_| SnapshotError::Build("its head is too long".into()))?;
        let mut write = || {
            file.write_all(MAGIC)?;
            file.write_all(&json_bytes.to_be_bytes())?;
            file.write_all(&json)?;
            file.write_all(&prelude)?;
            io::copy(&mut state, &mut file)?;
            file.sync_all()
        };
        write().map_err(at)
    }
}

/// A file without a name, gone when it is closed.
fn tempfile_in(folder: &Path) -> io::Result<File> {
    let flags = rustix::fs::OFlags::TMPFILE | rustix::fs::OFlags::RDWR | rustix::fs::OFlags::CLOEXEC;
    Ok(File::from(rustix::fs::open(folder, flags, rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR)?))
}

/// The snapshot in a file, if it is one and goes with `head`.
fn open(path: &Path, head: &SnapshotHead) -> Result<Option<Snapshot>, SnapshotError> {
    let at = |source| SnapshotError::Folder { doing: "read", path: path.to_owned(), source };
    let mut state = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(at(error)),
    };
    let Ok((found, lengths)) = read_head(&mut state) else { return Ok(None) };
    if found != *head {
        return Ok(None);
    }
    let mut prelude = vec![0; lengths.prelude as usize];
    state.read_exact(&mut prelude).map_err(at)?;
    Ok(Some(Snapshot { state, prelude }))
}

/// Reads the head of a snapshot and leaves the file behind it. What is no whole snapshot is an error.
fn read_head(file: &mut File) -> io::Result<(SnapshotHead, Lengths)> {
    let no_snapshot = || io::Error::new(io::ErrorKind::InvalidData, "no snapshot");
    let mut start = [0; 12];
    file.read_exact(&mut start)?;
    let (magic, json_bytes) = start.split_at(8);
    let json_bytes = u32::from_be_bytes(json_bytes.try_into().map_err(|_| no_snapshot())?) as usize;
    if magic != MAGIC || json_bytes > HEAD_BYTES_MAX {
        return Err(no_snapshot());
    }
    let mut json = vec![0; json_bytes];
    file.read_exact(&mut json)?;
    let (head, lengths): (SnapshotHead, Lengths) = serde_json::from_slice(&json)?;
    let behind = file.stream_position()?;
    let bytes = file.seek(SeekFrom::End(0))?;
    file.seek(SeekFrom::Start(behind))?;
    let is_bounded = lengths.prelude as usize <= PRELUDE_BYTES_MAX && lengths.state <= SNAPSHOT_BYTES_MAX;
    // A file that was cut off by a full disk is no snapshot.
    if !is_bounded || behind + u64::from(lengths.prelude) + lengths.state != bytes {
        return Err(no_snapshot());
    }
    Ok((head, lengths))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(qemu: &str) -> SnapshotHead {
        SnapshotHead {
            isa: "arm".into(),
            pace: "host".into(),
            kernel: "6.1".into(),
            kit: "abc".into(),
            qemu: qemu.into(),
            arguments: vec!["-m".into(), "64".into()],
        }
    }

    fn state(snapshot: &mut Snapshot) -> String {
        let mut state = String::new();
        snapshot.state.read_to_string(&mut state).unwrap();
        state
    }

    fn say(state: &'static str) -> impl FnOnce(&mut File) -> Result<Vec<u8>, String> {
        move |file| {
            file.write_all(state.as_bytes()).map_err(|error| error.to_string())?;
            Ok(b"ready".to_vec())
        }
    }

    fn never(_: &mut File) -> Result<Vec<u8>, String> {
        panic!("it is there")
    }

    #[test]
    fn a_snapshot_is_built_once_and_anew_when_what_it_goes_with_changes() {
        let folder = tempfile::tempdir().unwrap();
        let snapshots = Snapshots::new(folder.path().join("cache"));
        assert_eq!(snapshots.list().unwrap(), []);
        let mut built = snapshots.open_or_build(&head("7.2"), say("first")).unwrap();
        assert_eq!((state(&mut built).as_str(), &*built.prelude), ("first", &b"ready"[..]));
        assert_eq!(state(&mut snapshots.open_or_build(&head("7.2"), never).unwrap()), "first");
        assert_eq!(state(&mut snapshots.open_or_build(&head("8.0"), say("second")).unwrap()), "second");
        let stored = snapshots.list().unwrap();
        assert_eq!(stored.len(), 1, "the old one is gone: {stored:?}");
        assert_eq!((&*stored[0].name, &*stored[0].qemu), ("arm.host", "8.0"));
        assert_eq!(snapshots.clear().unwrap(), 1);
        assert_eq!(snapshots.list().unwrap(), []);
    }

    #[test]
    fn a_snapshot_that_cannot_be_written_to_or_is_not_whole_is_no_danger() {
        let folder = tempfile::tempdir().unwrap();
        let snapshots = Snapshots::new(folder.path().to_owned());
        let mut built = snapshots.open_or_build(&head("7.2"), say("state")).unwrap();
        assert!(built.state.write_all(b"poison").is_err());
        let path = folder.path().join("arm.host.snapshot");
        let whole = fs::read(&path).unwrap();
        for cut in 0..whole.len() {
            fs::write(&path, &whole[..cut]).unwrap();
            assert!(open(&path, &head("7.2")).unwrap().is_none(), "cut at {cut}");
        }
        let mut again = snapshots.open_or_build(&head("7.2"), say("anew")).unwrap();
        assert_eq!(state(&mut again), "anew");
    }

    #[test]
    fn what_cannot_be_built_leaves_nothing_behind() {
        let folder = tempfile::tempdir().unwrap();
        let snapshots = Snapshots::new(folder.path().to_owned());
        let error = snapshots.open_or_build(&head("7.2"), |_| Err("no agent".to_owned())).unwrap_err();
        assert_eq!(error.to_string(), "cannot build the snapshot: no agent");
        assert_eq!(snapshots.list().unwrap(), []);
        assert!(!folder.path().join("arm.host.new").exists());
    }

    #[test]
    fn two_that_want_the_same_build_it_once() {
        let folder = tempfile::tempdir().unwrap();
        let snapshots = Snapshots::new(folder.path().to_owned());
        let built = std::sync::atomic::AtomicU32::new(0);
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    let mut snapshot = snapshots
                        .open_or_build(&head("7.2"), |file| {
                            built.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
                            say("once")(file)
                        })
                        .unwrap();
                    assert_eq!(state(&mut snapshot), "once");
                });
            }
        });
        assert_eq!(built.into_inner(), 1);
    }
}
