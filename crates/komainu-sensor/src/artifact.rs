//! The store of artifacts: what attackers left behind, under the SHA-256 of its contents.
//!
//! What is stored twice is one object. Objects are encrypted, so that neither a virus scanner nor a wrong click meets
//! what is in them, and can be executed by nobody. The store is bounded; when it is full new artifacts are not stored,
//! rather than that an attacker could push out what others left.
//!
//! An object is a header of 16 bytes (`KOMAART1`, then the length of the contents, big-endian), then the contents in
//! chunks of 64 KiB, each sealed with AES-256-GCM. The key of an object is HMAC-SHA256 of its digest under the store's
//! key: equal contents make equal objects, so that a nonce can be the chunk's number and is never used for two texts.

mod kind;

use std::fs::{self, DirEntry, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::{digest, hmac};
use komainu_ports::{ArtifactKept, SensorArtifacts};
use parking_lot::Mutex;
use tracing::warn;

pub use self::kind::Kind;
use crate::events;
use crate::log_budget::LogBudget;

/// Plain bytes that are sealed at once: small enough that little is in memory twice.
const CHUNK_BYTES: usize = 64 * 1024;
const MAGIC: &[u8; 8] = b"KOMAART1";
const HEADER_BYTES: usize = 16;

/// What the store may hold. Beyond a bound an artifact is not stored; its digest is still in the event logs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ArtifactLimits {
    /// Bytes of one artifact. Samples for devices are small; what is larger is something else.
    pub artifact_bytes_max: u64,
    /// Bytes of all objects on the disk.
    pub total_bytes_max: u64,
    /// How many objects: bounds the folder and the time to count it.
    pub artifacts_max: u64,
}

impl Default for ArtifactLimits {
    fn default() -> Self {
        Self { artifact_bytes_max: 32 << 20, total_bytes_max: 4 << 30, artifacts_max: 100_000 }
    }
}

/// The SHA-256 digest of an artifact's contents.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Sha256Digest([u8; 32]);

/// The store.
#[derive(Debug)]
pub struct ArtifactStore {
    folder: PathBuf,
    key: hmac::Key,
    limits: ArtifactLimits,
    used: Mutex<Used>,
    /// Makes temporary names different.
    writes: AtomicU64,
    budget: LogBudget,
}

#[derive(Debug, Default)]
struct Used {
    bytes: u64,
    artifacts: u64,
}

/// What became of an artifact.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stored {
    /// It is in the store now.
    New,
    /// It was there already.
    Known,
    /// It is not in the store: a bound, or the disk.
    No,
}

/// An artifact in the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Artifact {
    /// The digest of its contents.
    pub sha256: Sha256Digest,
    /// The length of its contents in bytes.
    pub bytes: u64,
    /// When it was stored, if the disk says so.
    pub stored_at: Option<SystemTime>,
}

/// Why an artifact cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ArtifactError {
    /// There is none with this digest.
    #[error("there is no artifact {sha256}")]
    Missing {
        /// Which was asked for.
        sha256: Sha256Digest,
    },
    /// The object is not what was stored, or the key is another one.
    #[error("artifact {sha256} is damaged, or the store's key is not the one it was stored with")]
    Damaged {
        /// Which was asked for.
        sha256: Sha256Digest,
    },
    /// The disk.
    #[error("cannot read artifact {sha256}")]
    Io {
        /// Which was asked for.
        sha256: Sha256Digest,
        /// Why it failed.
        #[source]
        source: io::Error,
    },
}

impl ArtifactStore {
    /// Opens the store in a folder, or makes it. Objects are counted once, here, and what a process that was killed did
    /// not finish is removed; so only one process may do so at a time.
    pub fn open(folder: &Path, key: &[u8; 32], limits: ArtifactLimits) -> io::Result<Self> {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        let store = Self::open_to_read(folder, key, limits);
        let mut used = Used::default();
        store.each(|file, sha256| match sha256 {
            Some(_) => {
                used.artifacts += 1;
                used.bytes += file.metadata()?.len();
                Ok(())
            }
            None => fs::remove_file(file.path()),
        })?;
        *store.used.lock() = used;
        Ok(store)
    }

    /// Opens a store for reading, while another process may write to it.
    pub fn open_to_read(folder: &Path, key: &[u8; 32], limits: ArtifactLimits) -> Self {
        Self {
            folder: folder.to_owned(),
            key: hmac::Key::new(hmac::HMAC_SHA256, key),
            limits,
            used: Mutex::default(),
            writes: AtomicU64::new(0),
            budget: LogBudget::default(),
        }
    }

    /// What one artifact may have in bytes.
    pub fn artifact_bytes_max(&self) -> u64 {
        self.limits.artifact_bytes_max
    }

    /// Stores contents whose digest is `sha256`. It is not forced to the disk: an object that a power cut tears is
    /// found to be damaged when it is read.
    pub fn put(&self, sha256: Sha256Digest, contents: &[u8]) -> Stored {
        self.put_with(sha256, contents, |_| Ok(()))
    }

    /// Stores contents whose digest is `sha256` so that no power cut loses or tears them.
    pub fn put_durably(&self, sha256: Sha256Digest, contents: &[u8]) -> Stored {
        let stored = self.put_with(sha256, contents, File::sync_all);
        let path = self.path(sha256);
        let folder = path.parent().expect("an object lies in a folder of the store");
        let synced = [folder, &self.folder].into_iter().try_for_each(|folder| File::open(folder)?.sync_all());
        match synced {
            Err(error) if stored != Stored::No => {
                self.note_not_stored(sha256, &error);
                Stored::No
            }
            Ok(()) | Err(_) => stored,
        }
    }

    /// Whether the store has an artifact.
    pub fn holds(&self, sha256: Sha256Digest) -> bool {
        self.path(sha256).exists()
    }

    /// Stores contents; `force` is done to the object before it gets its name.
    fn put_with(&self, sha256: Sha256Digest, contents: &[u8], force: fn(&File) -> io::Result<()>) -> Stored {
        let path = self.path(sha256);
        if path.exists() {
            return Stored::Known;
        }
        if contents.len() as u64 > self.limits.artifact_bytes_max {
            return self.refuse(sha256, "artifact_bytes_max");
        }
        let bytes = object_bytes(contents.len() as u64);
        {
            // Room is taken before the write, so that artifacts at the same time cannot exceed the bound together.
            let mut used = self.used.lock();
            if used.artifacts >= self.limits.artifacts_max {
                return self.refuse(sha256, "artifacts_max");
            }
            if used.bytes.saturating_add(bytes) > self.limits.total_bytes_max {
                return self.refuse(sha256, "total_bytes_max");
            }
            used.artifacts += 1;
            used.bytes += bytes;
        }
        match self.write(&path, sha256, contents, force) {
            Ok(true) => Stored::New,
            not_new => {
                let mut used = self.used.lock();
                used.artifacts -= 1;
                used.bytes -= bytes;
                let Err(error) = not_new else { return Stored::Known };
                self.note_not_stored(sha256, &error);
                Stored::No
            }
        }
    }

    fn note_not_stored(&self, sha256: Sha256Digest, error: &io::Error) {
        if let Some(suppressed) = self.budget.take_now() {
            warn!(event = events::ARTIFACT_NOT_STORED, %sha256, %error, suppressed, "artifact cannot be stored");
        }
    }

    fn refuse(&self, sha256: Sha256Digest, limit: &'static str) -> Stored {
        if let Some(suppressed) = self.budget.take_now() {
            warn!(event = events::LIMIT_REACHED, limit, %sha256, suppressed, "artifact is not stored");
        }
        Stored::No
    }

    /// Writes an object under a temporary name and gives it its own when it is whole. False: somebody was faster.
    fn write(
        &self,
        path: &Path,
        sha256: Sha256Digest,
        contents: &[u8],
        force: fn(&File) -> io::Result<()>,
    ) -> io::Result<bool> {
        let folder = path.parent().expect("an object lies in a folder of the store");
        fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        let number = self.writes.fetch_add(1, Ordering::Relaxed);
        let temporary = folder.join(format!("{sha256}.{}.{number}.new", std::process::id()));
        let written = self.seal_into(&temporary, sha256, contents).and_then(|file| force(&file)).and_then(|()| {
            // A link does not replace what is there, as a renaming would: the second of two writers must know.
            fs::hard_link(&temporary, path).map(|()| true).or_else(|error| match error.kind() {
                io::ErrorKind::AlreadyExists => Ok(false),
                _ => Err(error),
            })
        });
        let _ = fs::remove_file(&temporary);
        written
    }

    fn seal_into(&self, path: &Path, sha256: Sha256Digest, contents: &[u8]) -> io::Result<File> {
        let mut file = OpenOptions::new().create_new(true).write(true).mode(0o600).open(path)?;
        let header = header(contents.len() as u64);
        file.write_all(&header)?;
        let key = self.key_of(sha256);
        let mut sealed = Vec::with_capacity(CHUNK_BYTES.min(contents.len()) + AES_256_GCM.tag_len());
        for (number, chunk) in contents.chunks(CHUNK_BYTES).enumerate() {
            sealed.clear();
            sealed.extend_from_slice(chunk);
            key.seal_in_place_append_tag(nonce(number), Aad::from(header), &mut sealed)
                .expect("a chunk is far shorter than what AES-GCM can seal");
            file.write_all(&sealed)?;
        }
        Ok(file)
    }

    /// The contents of an artifact.
    pub fn read(&self, sha256: Sha256Digest) -> Result<Vec<u8>, ArtifactError> {
        let object = fs::read(self.path(sha256)).map_err(|source| match source.kind() {
            io::ErrorKind::NotFound => ArtifactError::Missing { sha256 },
            _ => ArtifactError::Io { sha256, source },
        })?;
        self.unseal(sha256, &object).ok_or(ArtifactError::Damaged { sha256 })
    }

    fn unseal(&self, sha256: Sha256Digest, object: &[u8]) -> Option<Vec<u8>> {
        let (header, sealed) = object.split_first_chunk::<HEADER_BYTES>()?;
        let key = self.key_of(sha256);
        let mut contents = Vec::with_capacity(sealed.len());
        for (number, chunk) in sealed.chunks(CHUNK_BYTES + AES_256_GCM.tag_len()).enumerate() {
            let mut chunk = chunk.to_vec();
            contents.extend_from_slice(key.open_in_place(nonce(number), Aad::from(*header), &mut chunk).ok()?);
        }
        let is_whole = *header == self::header(contents.len() as u64) && Sha256Digest::of(&contents) == sha256;
        is_whole.then_some(contents)
    }

    /// Everything in the store, in the order of the digests.
    pub fn list(&self) -> io::Result<Vec<Artifact>> {
        let mut artifacts = Vec::new();
        self.each(|file, sha256| {
            let Some(sha256) = sha256 else { return Ok(()) };
            let file = file.metadata()?;
            artifacts.push(Artifact { sha256, bytes: contents_bytes(file.len()), stored_at: file.modified().ok() });
            Ok(())
        })?;
        artifacts.sort_unstable_by_key(|artifact| artifact.sha256);
        Ok(artifacts)
    }

    /// Visits every file of the store; one without a digest as its name is not finished.
    fn each(&self, mut visit: impl FnMut(&DirEntry, Option<Sha256Digest>) -> io::Result<()>) -> io::Result<()> {
        for folder in fs::read_dir(&self.folder)? {
            let folder = folder?;
            if !folder.file_type()?.is_dir() {
                continue;
            }
            for file in fs::read_dir(folder.path())? {
                let file = file?;
                visit(&file, file.file_name().to_str().and_then(Sha256Digest::parse))?;
            }
        }
        Ok(())
    }

    /// One folder for each first byte, so that none gets too large.
    fn path(&self, sha256: Sha256Digest) -> PathBuf {
        let name = sha256.to_string();
        self.folder.join(&name[..2]).join(name)
    }

    fn key_of(&self, sha256: Sha256Digest) -> LessSafeKey {
        let key = hmac::sign(&self.key, &sha256.0);
        LessSafeKey::new(UnboundKey::new(&AES_256_GCM, key.as_ref()).expect("HMAC-SHA256 has the length of the key"))
    }
}

/// The store of a hub, which promises its sensors that it has what it took.
impl SensorArtifacts for ArtifactStore {
    fn holds(&self, sha256: &[u8; 32]) -> bool {
        self.holds(Sha256Digest(*sha256))
    }

    fn keep(&self, sha256: &[u8; 32], contents: &[u8]) -> ArtifactKept {
        match self.put_durably(Sha256Digest(*sha256), contents) {
            Stored::New | Stored::Known => ArtifactKept::Yes,
            Stored::No => ArtifactKept::No,
        }
    }
}

fn header(contents_bytes: u64) -> [u8; HEADER_BYTES] {
    let mut header = [0; HEADER_BYTES];
    header[..8].copy_from_slice(MAGIC);
    header[8..].copy_from_slice(&contents_bytes.to_be_bytes());
    header
}

fn nonce(chunk: usize) -> Nonce {
    let mut nonce = [0; NONCE_LEN];
    nonce[NONCE_LEN - 8..].copy_from_slice(&(chunk as u64).to_be_bytes());
    Nonce::assume_unique_for_key(nonce)
}

/// The size of the object for so many bytes of contents.
fn object_bytes(contents_bytes: u64) -> u64 {
    let chunks = contents_bytes.div_ceil(CHUNK_BYTES as u64);
    HEADER_BYTES as u64 + contents_bytes + chunks * AES_256_GCM.tag_len() as u64
}

/// The size of the contents of an object of so many bytes.
fn contents_bytes(object_bytes: u64) -> u64 {
    let sealed = object_bytes.saturating_sub(HEADER_BYTES as u64);
    let tag = AES_256_GCM.tag_len() as u64;
    sealed.saturating_sub(sealed.div_ceil(CHUNK_BYTES as u64 + tag) * tag)
}

impl Sha256Digest {
    /// The digest of `contents`.
    pub fn of(contents: &[u8]) -> Self {
        Self::from_digest(digest::digest(&digest::SHA256, contents))
    }

    pub(crate) fn from_digest(digest: digest::Digest) -> Self {
        Self(digest.as_ref().try_into().expect("SHA-256 has 32 bytes"))
    }

    /// Reads 64 hexadecimal digits.
    pub fn parse(text: &str) -> Option<Self> {
        let mut bytes = [0; 32];
        hex::decode_to_slice(text, &mut bytes).ok()?;
        Some(Self(bytes))
    }
}

impl std::fmt::Display for Sha256Digest {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(&hex::encode(self.0))
    }
}

impl std::fmt::Debug for Sha256Digest {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{self}")
    }
}

impl serde::Serialize for Sha256Digest {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Reads the key in a file; makes the file with `new`, for its owner only, when there is none.
pub fn key_file(path: &Path, new: &[u8; 32]) -> io::Result<[u8; 32]> {
    match OpenOptions::new().create_new(true).write(true).mode(0o600).open(path) {
        Ok(mut file) => {
            file.write_all(new)?;
            file.sync_all()?;
            Ok(*new)
        }
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => read_key(path),
        Err(error) => Err(error),
    }
}

/// Reads the key in a file.
pub fn read_key(path: &Path) -> io::Result<[u8; 32]> {
    let mut key = [0; 32];
    io::Read::read_exact(&mut File::open(path)?, &mut key)?;
    Ok(key)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn open(folder: &Path, limits: ArtifactLimits) -> ArtifactStore {
        ArtifactStore::open(&folder.join("artifacts"), &[7; 32], limits).unwrap()
    }

    fn put(store: &ArtifactStore, contents: &[u8]) -> (Sha256Digest, Stored) {
        let sha256 = Sha256Digest::of(contents);
        (sha256, store.put(sha256, contents))
    }

    #[test]
    fn a_hub_keeps_artifacts() {
        let folder = tempfile::tempdir().unwrap();
        let store = open(folder.path(), ArtifactLimits { artifacts_max: 1, ..ArtifactLimits::default() });
        let hub: &dyn SensorArtifacts = &store;
        let (one, other) = (Sha256Digest::of(b"one"), Sha256Digest::of(b"other"));
        assert!(!hub.holds(&one.0));
        for _ in 0..2 {
            assert_eq!(hub.keep(&one.0, b"one"), ArtifactKept::Yes);
        }
        assert!(hub.holds(&one.0));
        assert_eq!(store.read(one).unwrap(), b"one");
        assert_eq!(hub.keep(&other.0, b"other"), ArtifactKept::No);
        assert!(!hub.holds(&other.0));
    }

    #[test]
    fn contents_come_back_as_they_were() {
        let folder = tempfile::tempdir().unwrap();
        let store = open(folder.path(), ArtifactLimits::default());
        for bytes in [0, 1, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1, 3 * CHUNK_BYTES + 5] {
            let contents: Vec<u8> = (0..bytes).map(|n| (n % 251) as u8).collect();
            let (sha256, stored) = put(&store, &contents);
            assert_eq!(stored, Stored::New);
            assert_eq!(put(&store, &contents).1, Stored::Known);
            assert_eq!(store.read(sha256).unwrap(), contents);
            let listed = store.list().unwrap();
            assert_eq!(listed.iter().find(|artifact| artifact.sha256 == sha256).unwrap().bytes, bytes as u64);
        }
        let again = open(folder.path(), ArtifactLimits::default());
        assert_eq!(again.used.lock().artifacts, 6);
        assert_eq!(again.used.lock().bytes, store.used.lock().bytes);
    }

    #[test]
    fn objects_are_sealed_and_cannot_be_executed() {
        let folder = tempfile::tempdir().unwrap();
        let store = open(folder.path(), ArtifactLimits::default());
        let (sha256, _) = put(&store, b"a harmless text that is easy to find");
        let path = store.path(sha256);
        let object = fs::read(&path).unwrap();
        assert!(!object.windows(8).any(|window| window == b"harmless"));
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::metadata(path.parent().unwrap()).unwrap().permissions().mode() & 0o777, 0o700);
        for at in [0, 12, HEADER_BYTES, object.len() - 1] {
            let mut damaged = object.clone();
            damaged[at] ^= 1;
            fs::write(&path, damaged).unwrap();
            assert!(matches!(store.read(sha256), Err(ArtifactError::Damaged { .. })), "byte {at}");
        }
        fs::write(&path, &object[..object.len() - 1]).unwrap();
        assert!(matches!(store.read(sha256), Err(ArtifactError::Damaged { .. })));
        assert!(matches!(store.read(Sha256Digest::of(b"")), Err(ArtifactError::Missing { .. })));
    }

    #[test]
    fn at_a_bound_the_new_is_refused_and_the_old_stays() {
        let folder = tempfile::tempdir().unwrap();
        let limits = ArtifactLimits { artifact_bytes_max: 100, total_bytes_max: 300, artifacts_max: 3 };
        let store = open(folder.path(), limits);
        assert_eq!(put(&store, &[1; 101]).1, Stored::No);
        let (first, stored) = put(&store, &[1; 100]);
        assert_eq!(stored, Stored::New);
        assert_eq!(put(&store, &[2; 100]).1, Stored::New);
        assert_eq!(put(&store, &[3; 100]).1, Stored::No, "396 bytes would be on the disk");
        assert_eq!(put(&store, &[3]).1, Stored::New);
        assert_eq!(put(&store, &[4]).1, Stored::No, "three are there");
        assert_eq!(store.read(first).unwrap(), [1; 100]);
    }

    #[test]
    fn a_key_is_made_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        assert_eq!(key_file(&path, &[1; 32]).unwrap(), [1; 32]);
        assert_eq!(key_file(&path, &[2; 32]).unwrap(), [1; 32]);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }
}
