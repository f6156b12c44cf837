//! What is in the shared folders of a device, and what has changed there: an appliance is attacked by files that are
//! dropped into its share, and some come by ways that nobody but the device can read.
//!
//! In: what a client of SMB sees. Out: a listing, and how it differs from the one before. This file opens nothing;
//! [`client`] does.

mod client;
mod state;
mod wire;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use aws_lc_rs::digest;
use komainu_model::{Appliance, ApplianceIndex, ApplianceName};
use komainu_ports::DeviceGate;

pub use self::client::ShareError;
pub(crate) use self::client::{Contents, ShareClient};
pub use self::state::StateError as ShareStateError;
pub(crate) use self::state::{SharesFolder, Watched};
use crate::artifact::Sha256Digest;

/// Files of a device that a listing has: those of a household's share. A further one is not seen.
const FILES_MAX: usize = 10_000;

/// A file of a share.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ShareFile {
    /// Its length.
    pub bytes: u64,
    /// When its contents changed, as the device says: units of 100 ns since 1601 (MS-DTYP, 2.3.3). Clients set it as they
    /// like.
    pub modified: u64,
    /// When anything of it changed, in the same units. Most devices let nobody set it.
    pub changed: u64,
    /// The digest of its contents, where they were read.
    pub sha256: Option<Sha256Digest>,
}

/// What is in the shared folders of a device: at most 10,000 files.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ShareListing {
    /// Files by their paths, `SHARE/FOLDER/FILE`.
    pub files: BTreeMap<String, ShareFile>,
    /// Folders of which not everything was seen. What is missing in them may be there.
    pub unseen: BTreeSet<String>,
    /// Why something was not seen: the name of a bound, or of what failed.
    pub problems: BTreeSet<&'static str>,
}

/// How a file differs from one look to the next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ShareChange {
    /// It was not there.
    New,
    /// It may have other contents.
    Changed,
    /// It is gone.
    Removed,
}

impl ShareChange {
    /// The word in records.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Changed => "changed",
            Self::Removed => "removed",
        }
    }
}

impl ShareListing {
    /// What tells two listings apart: a digest of the paths, lengths and contents, and of nothing that changes when a
    /// device is reset to the same contents. A file that was not read counts by its path and length.
    pub fn digest(&self) -> Sha256Digest {
        let mut digest = digest::Context::new(&digest::SHA256);
        for (path, file) in &self.files {
            digest.update(&(path.len() as u64).to_be_bytes());
            digest.update(path.as_bytes());
            digest.update(&file.bytes.to_be_bytes());
            match file.sha256 {
                Some(sha256) => digest.update(sha256.to_string().as_bytes()),
                None => digest.update(b"-"),
            }
        }
        Sha256Digest::from_digest(digest.finish())
    }

    /// Whether everything was seen.
    pub fn is_complete(&self) -> bool {
        self.problems.is_empty()
    }

    /// Whether a file at `path` would have been seen.
    fn sees(&self, path: &str) -> bool {
        let mut folders = path.match_indices('/').map(|(end, _)| &path[..end]);
        !folders.any(|folder| self.unseen.contains(folder))
    }
}

/// How `new` differs from `old`, in the order of the paths. A file may be told as changed and have the same contents.
pub(crate) fn diff(old: &ShareListing, new: &ShareListing) -> Vec<(String, ShareChange)> {
    let stamp = |file: &ShareFile| (file.bytes, file.modified, file.changed);
    let mut changes: Vec<(String, ShareChange)> = new
        .files
        .iter()
        .filter_map(|(path, file)| match old.files.get(path) {
            None => Some((path.clone(), ShareChange::New)),
            Some(known) if stamp(known) != stamp(file) => Some((path.clone(), ShareChange::Changed)),
            Some(_) => None,
        })
        .collect();
    let gone = old.files.keys().filter(|path| !new.files.contains_key(*path) && new.sees(path));
    changes.extend(gone.map(|path| (path.clone(), ShareChange::Removed)));
    changes.sort_unstable_by(|one, other| one.0.cmp(&other.0));
    changes
}

/// What a sensor that keeps what it knows in `folder` saw of a device when something had changed; none when it never looked.
pub fn known_shares(folder: &Path, device: &ApplianceName) -> Result<Option<ShareListing>, ShareStateError> {
    let known = SharesFolder::new(folder.to_owned()).load(device)?;
    Ok(known.map(|known| known.listing))
}

/// Looks at the shared folders of a device and reads every file, within the bounds of one look. Files that are not read
/// have no digest.
pub async fn list_shares(
    gate: &dyn DeviceGate,
    index: ApplianceIndex,
    device: &Appliance,
) -> Result<ShareListing, ShareError> {
    let client = ShareClient::connect(gate, index, device).await?;
    let mut listing = client.list().await;
    for (path, file) in &mut listing.files {
        match client.read(path, file.bytes).await {
            Contents::Whole(contents) => {
                file.bytes = contents.len() as u64;
                file.sha256 = Some(Sha256Digest::of(&contents));
            }
            Contents::Later => {
                listing.problems.insert("round_max");
                break;
            }
            Contents::TooLarge => {
                listing.problems.insert("file_bytes_max");
            }
            Contents::Unreadable => {
                listing.problems.insert("file_not_read");
            }
        }
    }
    Ok(listing)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listing(files: &[(&str, u64, u64)], unseen: &[&str]) -> ShareListing {
        let file = |bytes, modified| ShareFile { bytes, modified, changed: modified, sha256: None };
        ShareListing {
            files: files.iter().map(|(path, bytes, modified)| ((*path).to_owned(), file(*bytes, *modified))).collect(),
            unseen: unseen.iter().map(|folder| (*folder).to_owned()).collect(),
            problems: BTreeSet::new(),
        }
    }

    #[test]
    fn listings_differ_by_path_length_and_time() {
        let check = |old: &ShareListing, new: &ShareListing, expected: &[(&str, ShareChange)]| {
            let seen = diff(old, new);
            let seen: Vec<(&str, ShareChange)> = seen.iter().map(|(path, change)| (path.as_str(), *change)).collect();
            assert_eq!(seen, expected);
        };
        let old = listing(&[("a/b", 1, 1), ("a/c/d", 2, 2), ("e/f", 3, 3)], &[]);
        check(&old, &old, &[]);
        check(
            &listing(&[], &[]),
            &old,
            &[("a/b", ShareChange::New), ("a/c/d", ShareChange::New), ("e/f", ShareChange::New)],
        );
        let new = listing(&[("a/b", 2, 1), ("a/c/d", 2, 3), ("a/n", 0, 0)], &[]);
        let changed = [("a/b", ShareChange::Changed), ("a/c/d", ShareChange::Changed), ("a/n", ShareChange::New)];
        check(&old, &new, &[&changed[..], &[("e/f", ShareChange::Removed)]].concat());
        // What was not seen may be there.
        check(&old, &listing(&[("a/b", 1, 1)], &["a/c", "e"]), &[]);
        check(
            &old,
            &listing(&[("a/b", 1, 1)], &["a/cc", "ee"]),
            &[("a/c/d", ShareChange::Removed), ("e/f", ShareChange::Removed)],
        );
    }

    #[test]
    fn a_digest_is_of_names_lengths_and_contents() {
        let one = listing(&[("a/b", 1, 1), ("a/c", 2, 2)], &[]);
        assert_eq!(one.digest(), listing(&[("a/b", 1, 7), ("a/c", 2, 9)], &["x"]).digest());
        assert_ne!(one.digest(), listing(&[("a/b", 1, 1), ("a/c", 3, 2)], &[]).digest());
        assert_ne!(one.digest(), listing(&[("a/b", 1, 1)], &[]).digest());
        let mut read = one.clone();
        read.files.get_mut("a/b").unwrap().sha256 = Some(Sha256Digest::of(b"x"));
        assert_ne!(one.digest(), read.digest());
    }
}
