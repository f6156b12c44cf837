//! Sessions of strangers with sensors, as they were recorded: found among all records, and put together again.

use std::net::IpAddr;

use komainu_model::{Confidentiality, SampleDigest, Scope, ThingName, Timestamp};

use crate::sensor_captures::RecordedSession;
use crate::sensor_records::{RecordsError, SensorKey};

/// What happened in one session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionRecord {
    /// What it was as a whole.
    pub summary: SessionSummary,
    /// What was recorded of it, in the order of time.
    pub events: Vec<SessionEvent>,
    /// The lines of it as the sensor wrote them, one JSON object each, in the order of `events`.
    pub lines: Vec<u8>,
    /// Whether everything that is kept of it is here: it is not when it was longer than is looked through.
    pub is_whole: bool,
}

/// What a session was as a whole: the line that its sensor wrote at its end. All texts are a stranger's or the sensor's word.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionSummary {
    /// Its id.
    pub session: RecordedSession,
    /// With which sensor it was: that is the hub's own word.
    pub sensor: SensorKey,
    /// Who may see it.
    pub confidentiality: Confidentiality,
    /// Whence it came.
    pub source: String,
    /// From which port.
    pub source_port: u16,
    /// To which port of the sensor.
    pub port: u16,
    /// `tcp` or `udp`.
    pub transport: String,
    /// What was spoken; empty when nobody knows.
    pub protocol: String,
    /// When it began, by the sensor's clock.
    pub began_at: Timestamp,
    /// When it ended, by the sensor's clock.
    pub ended_at: Timestamp,
    /// How it ended, in a word.
    pub ended: String,
    /// Lines that the sensor had no room for.
    pub lines_left_out: u64,
    /// The session of which it is a part, such as the control connection of FTP.
    pub parent: Option<RecordedSession>,
    /// With what it was.
    pub target: SessionTarget,
    /// What it was judged to be; empty when nobody judged.
    pub label: String,
    /// How sure that is, in percent.
    pub confidence: u8,
    /// The country of the source, two letters; empty when it is not known.
    pub country: String,
    /// To whom the network of the source belongs; empty when it is not known.
    pub network: String,
    /// Weaknesses that were tried.
    pub cves: Vec<String>,
    /// Techniques, as ATT&CK names them.
    pub techniques: Vec<String>,
    /// Names and values by which the client can be recognised.
    pub fingerprints: Vec<(String, String)>,
    /// What was left behind.
    pub files: Vec<SessionFile>,
    /// Bytes that the stranger sent.
    pub bytes_to_server: u64,
    /// Bytes that the stranger got.
    pub bytes_to_client: u64,
}

/// With what a session was.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SessionTarget {
    /// `real`, `emulated` or `capture`.
    pub kind: String,
    /// The persona, or the name of the device.
    pub name: String,
    /// What sort of appliance it is.
    pub appliance: String,
    /// Maker and model.
    pub model: String,
    /// The version of its firmware.
    pub firmware: String,
}

/// A file that was left behind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionFile {
    /// Its contents.
    pub sha256: SampleDigest,
    /// Its size in bytes.
    pub bytes: u64,
    /// How it was called.
    pub name: String,
    /// How it came, in a word.
    pub via: String,
    /// What it is, in a word.
    pub kind: String,
}

/// One thing that was recorded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionEvent {
    /// When, by the sensor's clock.
    pub at: Timestamp,
    /// What kind of thing it is: `login`, `command`, `telnet`, `http` and the others of the catalogue of records.
    pub kind: String,
    /// What is said of it: keys of the catalogue, divided by dots where one stands in another, with their values.
    pub fields: Vec<(String, String)>,
}

/// What is known of a session that is looked for, such as a row of the lake says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionClue {
    /// With which sensor it was.
    pub sensor: SensorKey,
    /// When it began, to the millisecond.
    pub at: Timestamp,
    /// Whence it came.
    pub source: IpAddr,
    /// To which port, when that is known.
    pub port: Option<u16>,
}

/// Where to begin to look for a session whose id is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionHint {
    /// Which sensor.
    pub sensor: ThingName,
    /// When it began.
    pub at: Timestamp,
}

/// What became of looking for something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Looked<T> {
    /// It is here.
    Found(T),
    /// It is not among what is kept.
    NotKept,
    /// It was not found in as much as is looked through at once.
    GaveUp {
        /// Batches that were looked through.
        batches: u64,
    },
}

/// Finds sessions in what sensors handed in. Calls block, and read at most some hundred megabytes.
pub trait SessionLog: Send + Sync {
    /// A session of a scope by its id. Without a hint all records are looked through, the youngest first.
    fn find(
        &self,
        scope: &Scope,
        session: RecordedSession,
        hint: Option<&SessionHint>,
    ) -> Result<Looked<SessionRecord>, RecordsError>;

    /// The sessions that began like this: one as a rule, more when a source began several in one millisecond.
    fn sessions_at(&self, clue: &SessionClue) -> Result<Looked<Vec<RecordedSession>>, RecordsError>;

    /// The latest sessions of a sensor, the youngest first, at most `limit`. Only the youngest records are looked through.
    fn latest(&self, sensor: &SensorKey, limit: usize) -> Result<Vec<SessionSummary>, RecordsError>;
}
