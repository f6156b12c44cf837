//! The store of artifacts: what attackers left behind, under the SHA-256 of its contents.
//!
//! What is stored twice is one object. Objects are encrypted, so that neither a virus scanner nor a wrong click meets
//! what is in them, and can be executed by nobody. The store is bounded; when it is full new artifacts are not stored,
//! rather than that an attacker could push out what others left.
//!
//! An object is a header of 16 bytes (`KOMAART1`, then the length of the contents, big-endian), then the contents in
//! chunks of 64 KiB, each sealed with AES-256-GCM. The key of an object is HMAC-SHA256 of its digest under the store's
//! key: equal contents make equal objects, so that a nonce can be the chunk's number and is never used for two texts.

mod at_hub;
mod contents;
mod kind;

use std::fs::{self, DirEntry, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::{digest, hmac};
use komainu_model::Confidentiality;
use komainu_ports::LogBudget;
use parking_lot::Mutex;
use tracing::warn;

pub use self::at_hub::HubArtifacts;
pub(crate) use self::contents::Contents;
pub use self::kind::Kind;
use crate::events;

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
    used: Arc<Mutex<Used>>,
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
    /// Who may see it, at a hub; a sensor's own store says of everything that it is open.
    pub confidentiality: Confidentiality,
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
        store.each(|file, what| match what {
            InFolder::Object(_) => {
                used.artifacts += 1;
                used.bytes += file.metadata()?.len();
                Ok(())
            }
            InFolder::Mark(sha256) if store.holds(sha256) => Ok(()),
            InFolder::Mark(_) | InFolder::Unfinished => fs::remove_file(file.path()),
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
            used: Arc::default(),
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
        if self.holds(sha256) {
            return Stored::Known;
        }
        let Some(room) = self.take_room(sha256, contents.len() as u64) else { return Stored::No };
        let written = Unfinished::create(self, sha256, contents.len() as u64).and_then(|mut object| {
            object.write(contents)?;
            object.link(&self.path(sha256))
        });
        match written {
            Ok(true) => {
                room.keep();
                Stored::New
            }
            Ok(false) => Stored::Known,
            Err(error) => {
                self.note_not_stored(sha256, &error);
                Stored::No
            }
        }
    }

    /// Whether the store has an artifact.
    pub fn holds(&self, sha256: Sha256Digest) -> bool {
        self.path(sha256).exists()
    }

    /// Takes room for an artifact before it is written, so that artifacts at the same time cannot exceed the bound
    /// together. None: it is refused at a bound.
    fn take_room(&self, sha256: Sha256Digest, contents_bytes: u64) -> Option<Room> {
        if contents_bytes > self.limits.artifact_bytes_max {
            return self.refuse(sha256, "artifact_bytes_max");
        }
        let bytes = object_bytes(contents_bytes);
        let mut used = self.used.lock();
        if used.artifacts >= self.limits.artifacts_max {
            return self.refuse(sha256, "artifacts_max");
        }
        if used.bytes.saturating_add(bytes) > self.limits.total_bytes_max {
            return self.refuse(sha256, "total_bytes_max");
        }
        used.artifacts += 1;
        used.bytes += bytes;
        Some(Room { used: self.used.clone(), bytes })
    }

    fn note_not_stored(&self, sha256: Sha256Digest, error: &io::Error) {
        if let Some(suppressed) = self.budget.take_now() {
            warn!(event = events::ARTIFACT_NOT_STORED, %sha256, %error, suppressed, "artifact cannot be stored");
        }
    }

    fn refuse(&self, sha256: Sha256Digest, limit: &'static str) -> Option<Room> {
        if let Some(suppressed) = self.budget.take_now() {
            warn!(event = events::LIMIT_REACHED, limit, %sha256, suppressed, "artifact is not stored");
        }
        None
    }

    /// The contents of an artifact.
    pub fn read(&self, sha256: Sha256Digest) -> Result<Vec<u8>, ArtifactError> {
        let mut reader = self.contents(sha256)?;
        let mut contents = Vec::new();
        while let Some(chunk) = reader.next_chunk()? {
            contents.extend_from_slice(chunk);
        }
        Ok(contents)
    }

    /// The contents of an artifact, chunk by chunk.
    pub(crate) fn contents(&self, sha256: Sha256Digest) -> Result<Contents, ArtifactError> {
        let file = File::open(self.path(sha256)).map_err(|source| match source.kind() {
            io::ErrorKind::NotFound => ArtifactError::Missing { sha256 },
            _ => ArtifactError::Io { sha256, source },
        })?;
        Contents::open(file, sha256, self.key_of(sha256))
    }

    /// Everything in the store, in the order of the digests.
    pub fn list(&self) -> io::Result<Vec<Artifact>> {
        let mut artifacts = Vec::new();
        self.each(|file, what| {
            let InFolder::Object(sha256) = what else { return Ok(()) };
            let file = file.metadata()?;
            let (bytes, stored_at) = (contents_bytes(file.len()), file.modified().ok());
            let confidentiality = self.confidentiality(sha256);
            artifacts.push(Artifact { sha256, bytes, stored_at, confidentiality });
            Ok(())
        })?;
        artifacts.sort_unstable_by_key(|artifact| artifact.sha256);
        Ok(artifacts)
    }

    /// Visits every file of the store.
    fn each(&self, mut visit: impl FnMut(&DirEntry, InFolder) -> io::Result<()>) -> io::Result<()> {
        for folder in fs::read_dir(&self.folder)? {
            let folder = folder?;
            if !folder.file_type()?.is_dir() {
                continue;
            }
            for file in fs::read_dir(folder.path())? {
                let file = file?;
                visit(&file, InFolder::of(file.file_name().to_str().unwrap_or_default()))?;
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

/// A file in the store's folders.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum InFolder {
    /// An artifact.
    Object(Sha256Digest),
    /// The mark that an artifact is confidential.
    Mark(Sha256Digest),
    /// What nobody finished.
    Unfinished,
}

impl InFolder {
    fn of(name: &str) -> Self {
        let mark = || name.strip_suffix(at_hub::CONFIDENTIAL).and_then(Sha256Digest::parse);
        Sha256Digest::parse(name).map(Self::Object).or_else(|| mark().map(Self::Mark)).unwrap_or(Self::Unfinished)
    }
}

/// Room in the store. It is given back when this is dropped.
#[derive(Debug)]
struct Room {
    used: Arc<Mutex<Used>>,
    bytes: u64,
}

impl Room {
    /// Keeps the room for good: an object fills it.
    fn keep(mut self) {
        self.bytes = 0;
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        if self.bytes > 0 {
            let mut used = self.used.lock();
            used.artifacts -= 1;
            used.bytes -= self.bytes;
        }
    }
}

/// An object that is being written, under a name of its own, which goes when this is dropped.
struct Unfinished {
    file: File,
    path: PathBuf,
    key: LessSafeKey,
    header: [u8; HEADER_BYTES],
    /// Plain bytes that wait until there is a chunk of them.
    chunk: Vec<u8>,
    chunks: usize,
    /// Bytes of the contents that are still to come.
    missing: u64,
}

impl Unfinished {
    /// Begins the object for so many bytes of contents.
    fn create(store: &ArtifactStore, sha256: Sha256Digest, contents_bytes: u64) -> io::Result<Self> {
        let path = store.path(sha256);
        let folder = path.parent().expect("an object lies in a folder of the store");
        fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        let number = store.writes.fetch_add(1, Ordering::Relaxed);
        let path = folder.join(format!("{sha256}.{}.{number}.new", std::process::id()));
        let file = OpenOptions::new().create_new(true).write(true).mode(0o600).open(&path)?;
        let header = header(contents_bytes);
        let (key, missing) = (store.key_of(sha256), contents_bytes);
        let mut unfinished = Self { file, path, key, header, chunk: Vec::new(), chunks: 0, missing };
        unfinished.file.write_all(&header)?;
        Ok(unfinished)
    }

    /// Adds contents, and seals what makes a chunk.
    fn write(&mut self, contents: &[u8]) -> io::Result<()> {
        let mut rest = contents;
        self.missing = self.missing.checked_sub(rest.len() as u64).ok_or(io::ErrorKind::InvalidInput)?;
        while !rest.is_empty() {
            let (now, later) = rest.split_at(rest.len().min(CHUNK_BYTES - self.chunk.len()));
            self.chunk.extend_from_slice(now);
            rest = later;
            if self.chunk.len() == CHUNK_BYTES {
                self.seal()?;
            }
        }
        if self.missing == 0 && !self.chunk.is_empty() { self.seal() } else { Ok(()) }
    }

    fn seal(&mut self) -> io::Result<()> {
        self.key
            .seal_in_place_append_tag(nonce(self.chunks), Aad::from(self.header), &mut self.chunk)
            .expect("a chunk is far shorter than what AES-GCM can seal");
        self.file.write_all(&self.chunk)?;
        self.chunk.clear();
        self.chunks += 1;
        Ok(())
    }

    /// Gives a whole object its name. False: somebody was faster.
    fn link(&self, path: &Path) -> io::Result<bool> {
        if self.missing > 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        // A link does not replace what is there, as a renaming would: the second of two writers must know.
        match fs::hard_link(&self.path, path) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
            Err(error) => Err(error),
        }
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
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

    /// The first eight bytes as a number.
    pub(crate) fn first_bytes(self) -> u64 {
        let (first, _) = self.0.split_first_chunk().expect("SHA-256 has 32 bytes");
        u64::from_be_bytes(*first)
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
