//! What sensors hand to the hub: batches of event lines, and artifacts.

use std::error::Error;
use std::fmt;

use komainu_model::{Confidentiality, Scope, ThingName, Timestamp};

/// A sensor: the thing that its certificate speaks for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SensorKey {
    /// Whose it is.
    pub scope: Scope,
    /// Its name.
    pub name: ThingName,
}

/// One life of a sensor's spool. Batches are numbered from zero within it, so that what is missing shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SpoolEpoch(u64);

/// Names a batch of lines. The same name is the same batch, however often it comes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BatchKey {
    /// Who sent it.
    pub sensor: SensorKey,
    /// The life of its spool.
    pub epoch: SpoolEpoch,
    /// Its number in that life.
    pub sequence: u64,
}

/// A batch that is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredBatch {
    /// Its name.
    pub key: BatchKey,
    /// How many lines it has.
    pub lines: u64,
    /// How many bytes.
    pub bytes: u64,
    /// When it came.
    pub received_at: Timestamp,
}

/// What became of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BatchStored {
    /// It is kept now.
    New {
        /// Numbers between this batch and the highest one before it of the same epoch that never came.
        missing: u64,
        /// Batches that were removed to make room, the oldest first.
        removed: u64,
    },
    /// It came before: nothing has changed.
    Known,
}

/// All that came from one sensor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SensorTotals {
    /// Which.
    pub sensor: SensorKey,
    /// Batches that are kept.
    pub batches: u64,
    /// Lines that came, those of removed batches among them.
    pub lines: u64,
    /// Bytes that are kept.
    pub bytes: u64,
    /// Batches that were removed to make room.
    pub batches_removed: u64,
    /// Batches whose numbers were passed over: what the sensor lost.
    pub batches_missing: u64,
    /// When the youngest batch that is kept came.
    pub last_received_at: Option<Timestamp>,
}

/// How much is kept of what sensors send. At a bound the oldest batches go, for what happens now matters more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecordsLimits {
    /// Bytes of all batches.
    pub bytes_max: u64,
    /// Batches: bounds the memory in which they are counted, about 100 bytes each, and the files on a disk.
    pub batches_max: u64,
}

impl Default for RecordsLimits {
    fn default() -> Self {
        Self { bytes_max: 10 << 30, batches_max: 500_000 }
    }
}

/// Keeps what sensors send. Calls may block.
pub trait SensorRecords: Send + Sync {
    /// Keeps a batch of whole lines; durable on return. A batch that came before, kept still or removed since, changes
    /// nothing.
    fn put(&self, batch: &BatchKey, lines: &[u8], now: Timestamp) -> Result<BatchStored, RecordsError>;

    /// Everyone from whom something came, in the order of their names.
    fn sensors(&self) -> Vec<SensorTotals>;

    /// What is kept of one sensor, in the order in which it came.
    fn batches(&self, sensor: &SensorKey) -> Vec<StoredBatch>;

    /// The lines of a batch.
    fn read(&self, batch: &BatchKey) -> Result<Vec<u8>, RecordsError>;
}

/// Why records cannot be kept or read.
#[derive(Debug, thiserror::Error)]
pub enum RecordsError {
    /// There is no such batch, or no longer.
    #[error("batch {sequence} of epoch {epoch} of sensor {sensor} is not kept")]
    Missing {
        /// Whose.
        sensor: ThingName,
        /// Its epoch.
        epoch: SpoolEpoch,
        /// Its number.
        sequence: u64,
    },
    /// The medium failed; trying again may help.
    #[error("records are unavailable while {doing}")]
    Unavailable {
        /// What was tried.
        doing: &'static str,
        /// Why it failed.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
}

/// Keeps the artifacts that sensors send. Calls may block.
pub trait SensorArtifacts: Send + Sync {
    /// Who may see the artifact with this SHA-256; none when it is not kept.
    fn holds(&self, sha256: &[u8; 32]) -> Option<Confidentiality>;

    /// Begins to take an artifact of so many bytes. One that is kept already may come again: whoever has it as a whole
    /// and did not get it from a device that is not out yet shows that it is no secret of that device.
    fn begin(&self, sha256: &[u8; 32], bytes: u64) -> Result<Box<dyn ArtifactWriter>, ArtifactRefused>;

    /// Takes an artifact whose contents are at hand as a whole and have this SHA-256, as [`begin`](Self::begin) and its writer
    /// do; refused also when the disk failed at the end.
    fn keep(
        &self,
        sha256: &[u8; 32],
        contents: &[u8],
        confidentiality: Confidentiality,
    ) -> Result<(), ArtifactRefused> {
        let mut writer = self.begin(sha256, contents.len() as u64)?;
        writer.write(contents)?;
        match writer.finish(confidentiality) {
            ArtifactKept::Yes => Ok(()),
            ArtifactKept::No => Err(ArtifactRefused),
        }
    }

    /// The contents of an artifact.
    fn read(&self, sha256: &[u8; 32]) -> Result<Vec<u8>, ArtifactReadError>;

    /// All artifacts, in the order of their digests.
    fn artifacts(&self) -> Result<Vec<StoredArtifact>, ArtifactReadError>;
}

/// An artifact that is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StoredArtifact {
    /// Its SHA-256.
    pub sha256: [u8; 32],
    /// The length of its contents.
    pub bytes: u64,
    /// Who may see it.
    pub confidentiality: Confidentiality,
}

/// Why an artifact cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ArtifactReadError {
    /// There is none, or no longer.
    #[error("this artifact is not kept")]
    Missing,
    /// The medium failed, or what is there is damaged; trying again may help.
    #[error("artifacts cannot be read")]
    Unavailable(#[source] Box<dyn Error + Send + Sync>),
}

/// Takes one artifact piece by piece. What was taken of one that is not finished goes when this is dropped.
pub trait ArtifactWriter: Send {
    /// Takes the next piece; the pieces together have no more bytes than were announced. May block.
    fn write(&mut self, piece: &[u8]) -> Result<(), ArtifactRefused>;

    /// Keeps the artifact, whose pieces have the announced length and SHA-256; durable on return. It is confidential as
    /// long as everybody brings it as something confidential. May block.
    fn finish(self: Box<Self>, confidentiality: Confidentiality) -> ArtifactKept;
}

/// Why an artifact is not taken: there is no room, or the disk failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ArtifactRefused;

/// What became of an artifact.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ArtifactKept {
    /// It is kept.
    Yes,
    /// The disk failed.
    No,
}

impl SpoolEpoch {
    /// The epoch with this number.
    pub const fn new(number: u64) -> Self {
        Self(number)
    }

    /// Its number.
    pub const fn number(self) -> u64 {
        self.0
    }

    /// Reads 16 hexadecimal digits in lower case, as it shows itself.
    pub fn parse(text: &str) -> Option<Self> {
        let is_digits = text.len() == 16 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        is_digits.then(|| u64::from_str_radix(text, 16).ok().map(Self))?
    }
}

impl fmt::Display for SpoolEpoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl BatchKey {
    /// The error that says that this batch is not kept.
    pub fn missing(&self) -> RecordsError {
        RecordsError::Missing { sensor: self.sensor.name.clone(), epoch: self.epoch, sequence: self.sequence }
    }
}
