//! What has to be known of each device's quarantine after a new start: `resets/DEVICE.json` in the data folder, root's
//! alone. And who examines a device: `resets/DEVICE.lock`, one process at a time.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use komainu_model::{ApplianceName, Timestamp};
use serde::{Deserialize, Serialize};

/// The form of the file.
const VERSION: u32 = 1;

/// Bytes of a file: a few numbers.
const FILE_BYTES_MAX: u64 = 64 * 1024;

/// How long an attempt counts.
const DAY_MS: i64 = 86_400_000;

/// The folder of ledgers.
#[derive(Debug, Clone)]
pub(crate) struct Ledger {
    folder: PathBuf,
}

/// What is known of a device's quarantine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Standing {
    version: u32,
    /// Grows whenever somebody begins or ends a quarantine: who examined meanwhile must not end it.
    pub(crate) generation: u64,
    /// A reset is due by itself.
    pub(crate) is_wanted: bool,
    /// When resets were begun by themselves, in milliseconds since 1970.
    attempts: Vec<i64>,
}

impl Default for Standing {
    fn default() -> Self {
        Self { version: VERSION, generation: 0, is_wanted: false, attempts: Vec::new() }
    }
}

impl Standing {
    /// Counts an attempt, unless there were as many within the last 24 hours.
    pub(crate) fn try_attempt(&mut self, now: Timestamp, attempts_max: u32) -> bool {
        let has_room = self.may_attempt(now, attempts_max);
        if has_room {
            self.attempts.push(now.unix_millis());
        }
        has_room
    }

    /// Whether another attempt would be counted.
    pub(crate) fn may_attempt(&mut self, now: Timestamp, attempts_max: u32) -> bool {
        let now = now.unix_millis();
        // A clock that was set back a little must not make room, and one that was far ahead must not take it for years.
        self.attempts.retain(|at| now.saturating_sub(*at).saturating_abs() < DAY_MS);
        self.attempts.len() < attempts_max as usize
    }
}

/// That no other process examines the device, until it is dropped.
#[derive(Debug)]
pub(crate) struct Examining(#[expect(dead_code, reason = "the lock ends with the file")] File);

impl Ledger {
    /// In this data folder.
    pub(crate) fn open(data: &Path) -> io::Result<Self> {
        Ok(Self { folder: private_folder(data, "resets")? })
    }

    /// Lets `change` look at what is known of a device and change it. Nobody else does meanwhile; what is written is on
    /// the disk on return.
    pub(crate) fn with<T>(&self, device: &ApplianceName, change: impl FnOnce(&mut Standing) -> T) -> io::Result<T> {
        let lock = self.create("lock")?;
        lock.lock()?;
        let path = self.folder.join(format!("{device}.json"));
        let before = read(&path)?;
        let mut standing = before.clone();
        let outcome = change(&mut standing);
        if standing != before {
            let text = serde_json::to_vec(&standing).map_err(io::Error::from)?;
            replace(&path, &text)?;
        }
        Ok(outcome)
    }

    /// Notes that somebody has begun or ended a quarantine; no reset is due by itself then.
    pub(crate) fn by_hand(&self, device: &ApplianceName) -> io::Result<()> {
        self.with(device, |standing| {
            standing.generation += 1;
            standing.is_wanted = false;
        })
    }

    /// That this process may examine a device; none when another one does.
    pub(crate) fn examine(&self, device: &ApplianceName) -> io::Result<Option<Examining>> {
        let lock = self.create(&format!("{device}.lock"))?;
        match lock.try_lock() {
            Ok(()) => Ok(Some(Examining(lock))),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }

    fn create(&self, name: &str) -> io::Result<File> {
        OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(self.folder.join(name))
    }
}

fn read(path: &Path) -> io::Result<Standing> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Standing::default()),
        Err(error) => return Err(error),
    };
    let mut text = Vec::new();
    file.take(FILE_BYTES_MAX).read_to_end(&mut text)?;
    let standing: Standing = serde_json::from_slice(&text)?;
    if standing.version != VERSION {
        return Err(io::Error::new(io::ErrorKind::InvalidData, format!("{} has another form", path.display())));
    }
    Ok(standing)
}

/// A folder of a data folder that is this user's alone.
pub(crate) fn private_folder(data: &Path, name: &str) -> io::Result<PathBuf> {
    let folder = data.join(name);
    match DirBuilder::new().mode(0o700).create(&folder) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        Ok(()) | Err(_) => {}
    }
    let metadata = fs::symlink_metadata(&folder)?;
    if !metadata.is_dir() || metadata.uid() != nix::unistd::Uid::effective().as_raw() {
        let problem = format!("{} is no folder of the user as whom this runs", folder.display());
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, problem));
    }
    Ok(folder)
}

/// Writes a file so that it is there whole, or as it was before.
pub(crate) fn replace(path: &Path, contents: &[u8]) -> io::Result<()> {
    let new = path.with_extension("new");
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
    file.write_all(contents)?;
    file.sync_all()?;
    fs::rename(&new, path)?;
    path.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(hours: i64) -> Timestamp {
        Timestamp::from_unix_millis(hours * 3_600_000)
    }

    #[test]
    fn attempts_are_bounded_within_a_day() {
        let mut standing = Standing::default();
        let mut check = |hours, expected: bool| assert_eq!(standing.try_attempt(at(hours), 2), expected, "{hours} h");
        check(100, true);
        check(101, true);
        check(102, false);
        // The clock was set back.
        check(99, false);
        check(123, false);
        check(124, true);
        check(124, false);
        check(125, true);
    }

    #[test]
    fn what_is_known_outlasts_the_process() {
        let data = tempfile::tempdir().unwrap();
        let (porch, fridge) = (ApplianceName::parse("porch").unwrap(), ApplianceName::parse("fridge").unwrap());
        Ledger::open(data.path()).unwrap().with(&porch, |standing| standing.is_wanted = true).unwrap();
        let ledger = Ledger::open(data.path()).unwrap();
        assert!(ledger.with(&porch, |standing| standing.is_wanted).unwrap());
        assert!(!ledger.with(&fridge, |standing| standing.is_wanted).unwrap());
        ledger.by_hand(&porch).unwrap();
        assert_eq!(ledger.with(&porch, |standing| (standing.is_wanted, standing.generation)).unwrap(), (false, 1));
    }

    #[test]
    fn a_file_that_cannot_be_read_is_an_error() {
        let data = tempfile::tempdir().unwrap();
        let porch = ApplianceName::parse("porch").unwrap();
        let ledger = Ledger::open(data.path()).unwrap();
        for text in ["", "{}", r#"{"version":2,"generation":0,"is_wanted":true,"attempts":[]}"#] {
            fs::write(data.path().join("resets/porch.json"), text).unwrap();
            assert!(ledger.with(&porch, |_| ()).is_err(), "{text}");
        }
        // The form of this version.
        let text = r#"{"version":1,"generation":7,"is_wanted":true,"attempts":[1700000000000]}"#;
        fs::write(data.path().join("resets/porch.json"), text).unwrap();
        assert_eq!(ledger.with(&porch, |standing| standing.generation).unwrap(), 7);
    }

    #[test]
    fn one_examines_at_a_time() {
        let data = tempfile::tempdir().unwrap();
        let porch = ApplianceName::parse("porch").unwrap();
        let ledger = Ledger::open(data.path()).unwrap();
        let first = ledger.examine(&porch).unwrap();
        assert!(first.is_some());
        assert!(ledger.examine(&porch).unwrap().is_none());
        drop(first);
        assert!(ledger.examine(&porch).unwrap().is_some());
    }
}
