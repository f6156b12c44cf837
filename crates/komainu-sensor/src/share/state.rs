//! What is known of a device's shared folders, kept over restarts: `shares/DEVICE.json`.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::PathBuf;

use komainu_model::ApplianceName;
use serde::{Deserialize, Serialize};

use super::{FILES_MAX, ShareFile, ShareListing};
use crate::artifact::Sha256Digest;

/// The version of the form. A file of another one is not read.
const VERSION: u32 = 1;

/// Bytes of a file: as many paths as a listing may have, with each of their bytes escaped.
const STATE_BYTES_MAX: u64 = 16 << 20;

/// What is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Watched {
    /// When it was looked last, in microseconds since 1970.
    pub(crate) looked_at: i64,
    /// What was there.
    pub(crate) listing: ShareListing,
}

/// The folder.
#[derive(Debug, Clone)]
pub(crate) struct SharesFolder(PathBuf);

/// Why what is known cannot be kept.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// The disk.
    #[error("the disk refuses it: {0}")]
    Io(#[from] io::Error),
    /// It is damaged, too large, or of another version.
    #[error("it is not in the form that is expected")]
    Form,
}

#[derive(Serialize, Deserialize)]
struct StateText {
    version: u32,
    looked_at: i64,
    files: Vec<FileText>,
}

#[derive(Serialize, Deserialize)]
struct FileText {
    path: String,
    bytes: u64,
    modified: u64,
    changed: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    sha256: Option<String>,
}

impl SharesFolder {
    pub(crate) const fn new(folder: PathBuf) -> Self {
        Self(folder)
    }

    fn path(&self, device: &ApplianceName) -> PathBuf {
        self.0.join(format!("{device}.json"))
    }

    /// What was known of a device; none when it was never looked at.
    pub(crate) fn load(&self, device: &ApplianceName) -> Result<Option<Watched>, StateError> {
        let mut bytes = Vec::new();
        match File::open(self.path(device)) {
            Ok(file) => file.take(STATE_BYTES_MAX + 1).read_to_end(&mut bytes)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        parse(&bytes).map(Some).ok_or(StateError::Form)
    }

    /// Replaces what is known of a device, as a whole.
    pub(crate) fn save(&self, device: &ApplianceName, watched: &Watched) -> Result<(), StateError> {
        DirBuilder::new().recursive(true).mode(0o700).create(&self.0)?;
        let path = self.path(device);
        let new = path.with_extension("new");
        let mut file = OpenOptions::new().create(true).truncate(true).write(true).mode(0o600).open(&new)?;
        file.write_all(&text(watched))?;
        file.sync_all()?;
        fs::rename(&new, &path)?;
        Ok(File::open(&self.0)?.sync_all()?)
    }
}

fn text(watched: &Watched) -> Vec<u8> {
    let files = watched.listing.files.iter().map(|(path, file)| FileText {
        path: path.clone(),
        bytes: file.bytes,
        modified: file.modified,
        changed: file.changed,
        sha256: file.sha256.map(|sha256| sha256.to_string()),
    });
    let text = StateText { version: VERSION, looked_at: watched.looked_at, files: files.collect() };
    serde_json::to_vec(&text).expect("texts and numbers are JSON")
}

fn parse(bytes: &[u8]) -> Option<Watched> {
    if bytes.len() as u64 > STATE_BYTES_MAX {
        return None;
    }
    let text: StateText = serde_json::from_slice(bytes).ok()?;
    if text.version != VERSION || text.files.len() > FILES_MAX {
        return None;
    }
    let mut listing = ShareListing::default();
    for FileText { path, bytes, modified, changed, sha256 } in text.files {
        let sha256 = match sha256 {
            Some(sha256) => Some(Sha256Digest::parse(&sha256)?),
            None => None,
        };
        listing.files.insert(path, ShareFile { bytes, modified, changed, sha256 });
    }
    Some(Watched { looked_at: text.looked_at, listing })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn watched() -> Watched {
        let mut listing = ShareListing::default();
        let file = ShareFile { bytes: 3, modified: 1, changed: 2, sha256: Some(Sha256Digest::of(b"abc")) };
        listing.files.insert("public/a".into(), file);
        listing.files.insert("public/\u{1}\"ü".into(), ShareFile { sha256: None, ..file });
        Watched { looked_at: 1_700_000_000_000_000, listing }
    }

    #[test]
    fn what_is_known_outlasts_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        let shares = SharesFolder::new(folder.path().join("shares"));
        let device = ApplianceName::parse("porch").unwrap();
        assert_eq!(shares.load(&device).unwrap(), None);
        for _ in 0..2 {
            shares.save(&device, &watched()).unwrap();
            assert_eq!(shares.load(&device).unwrap(), Some(watched()));
        }
    }

    #[test]
    fn the_first_version_is_read() {
        assert_eq!(parse(include_bytes!("../../tests/data/share-1.json")), Some(watched()));
    }

    #[test]
    fn what_is_damaged_is_refused() {
        let whole = text(&watched());
        assert_eq!(parse(&whole), Some(watched()));
        for cut in 0..whole.len() {
            assert_eq!(parse(&whole[..cut]), None, "{cut}");
        }
        let other = String::from_utf8(whole).unwrap().replace("\"version\":1", "\"version\":2");
        assert_eq!(parse(other.as_bytes()), None);
    }
}
