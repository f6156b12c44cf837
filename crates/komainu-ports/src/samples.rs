//! The laboratory's samples: what is known of each, and which one is next.

use std::error::Error;
use std::time::Duration;

use komainu_model::{Confidentiality, SampleDigest, SensorName, SessionId, Timestamp};

use crate::{BoxFuture, TimeRange};

/// Names of one content. SHA-256 is its identity; the others are for exchange with those who use them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SampleDigests {
    /// The identity.
    pub sha256: SampleDigest,
    /// For exchange.
    pub sha1: [u8; 20],
    /// For exchange.
    pub md5: [u8; 16],
}

/// How soon a sample is looked at; within one, the oldest is first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SamplePriority {
    /// Looked at before and to be looked at again.
    Again,
    /// Brought by a sensor.
    Ordinary,
    /// Brought by a person who waits.
    Urgent,
}

/// How a sample came here once. The same way twice is one.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SampleOrigin {
    /// A sensor got it.
    Sensor {
        /// The sensor's name.
        sensor: SensorName,
        /// The visit in which it came, if its record says so.
        session: Option<SessionId>,
    },
    /// Somebody handed it in.
    Upload {
        /// The name of the key that was used, or `operator` for the command line.
        by: String,
        /// What they call it; at most 255 bytes, made of printable ASCII.
        name: String,
    },
    /// It was among the artifacts, and nobody had told the laboratory. Records may say how it came.
    Found,
}

/// A record says that a content came with a visit. It may come before the content does, or without it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SampleMention {
    /// The content.
    pub sample: SampleDigest,
    /// The sensor that was visited.
    pub sensor: SensorName,
    /// The visit.
    pub session: SessionId,
}

/// A sample that comes in.
#[derive(Debug, Clone)]
pub struct NewSample {
    /// Its names.
    pub digests: SampleDigests,
    /// Its length.
    pub bytes: u64,
    /// How it came.
    pub origin: SampleOrigin,
    /// Who may see it.
    pub confidentiality: Confidentiality,
    /// How soon it is looked at.
    pub priority: SamplePriority,
}

/// What became of a sample that came in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SampleSubmitted {
    /// It was not known; it waits now.
    New,
    /// It was known; how it came is added, and it is looked at sooner if it now has the higher priority and still waits.
    Known,
    /// As many samples wait as may ([`SampleLimits::waiting_max`]); nothing is changed, and it may come again.
    Full,
}

/// Where a sample stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SampleState {
    /// It waits until this time at least; it was begun so often before.
    Waiting {
        /// Not before.
        since: Timestamp,
        /// Begun so often.
        attempts: u32,
        /// Why the last attempt did not get to the end; empty before the first.
        problem: String,
    },
    /// Somebody works on it; after this time, somebody else may.
    Working {
        /// The number of this attempt.
        attempt: u32,
        /// Until then.
        until: Timestamp,
        /// What is being done: `triage`, `sandbox`, …
        step: String,
        /// How far it is, in percent.
        percent: u8,
    },
    /// It has a report.
    Done {
        /// Since when.
        at: Timestamp,
    },
    /// It has none and will not be tried again unless told to.
    Failed {
        /// Since when.
        at: Timestamp,
        /// Why.
        problem: String,
    },
}

/// The states of samples, without what belongs to each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(missing_docs, reason = "the names are those of the states")]
pub enum SampleStateKind {
    Waiting,
    Working,
    Done,
    Failed,
}

impl SampleStateKind {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Waiting, Self::Working, Self::Done, Self::Failed];

    /// The kind of a state.
    pub const fn of(state: &SampleState) -> Self {
        match state {
            SampleState::Waiting { .. } => Self::Waiting,
            SampleState::Working { .. } => Self::Working,
            SampleState::Done { .. } => Self::Done,
            SampleState::Failed { .. } => Self::Failed,
        }
    }

    /// The word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Working => "working",
            Self::Done => "done",
            Self::Failed => "failed",
        }
    }
}

/// What somebody else said about a sample, by its digest alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownElsewhere {
    /// Who: `virustotal`, `malwarebazaar`, or the name of a list.
    pub source: String,
    /// When they were asked. The first answer is kept, so that "unknown at capture" stays true.
    pub asked_at: Timestamp,
    /// What they said.
    pub answer: ElsewhereAnswer,
}

/// What somebody else knows of a content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ElsewhereAnswer {
    /// Nothing.
    Unknown,
    /// It is known.
    Known {
        /// Since when, if they say.
        first_seen: Option<Timestamp>,
        /// Names that scanners give it, at most 64 of 128 bytes.
        labels: Vec<String>,
        /// How many scanners hold it for malicious, and how many looked, if they say.
        detections: Option<(u32, u32)>,
    },
}

/// All that is known of a sample, but its reports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredSample {
    /// Its names.
    pub digests: SampleDigests,
    /// Its length.
    pub bytes: u64,
    /// Who may see it.
    pub confidentiality: Confidentiality,
    /// How soon it is looked at.
    pub priority: SamplePriority,
    /// When it came first.
    pub first_at: Timestamp,
    /// When it came last.
    pub last_at: Timestamp,
    /// How often it came, in different ways or again in the same.
    pub times: u64,
    /// The ways in which it came, those that records mention among them, the first [`SampleLimits::origins_max`].
    pub origins: Vec<SampleOrigin>,
    /// Where it stands.
    pub state: SampleState,
    /// What others know of it, one each.
    pub elsewhere: Vec<KnownElsewhere>,
    /// The verdict, family and processor of its report, for lists; empty before.
    pub essentials: SampleEssentials,
}

/// What a list shows of a report.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SampleEssentials {
    /// `malicious`, `suspicious`, `no_harm_seen`, `not_run`, or empty.
    pub verdict: String,
    /// Its family, or empty.
    pub family: String,
    /// The processor it is for, or empty.
    pub processor: String,
    /// Whether it is made for connected devices, if that was told.
    pub iot: Option<bool>,
    /// The sentence of the report.
    pub sentence: String,
}

/// What filters and statistics need of a sample: no text but words of its report, so that tens of thousands are read at once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SampleBrief {
    /// Which.
    pub sample: SampleDigest,
    /// Who may see it.
    pub confidentiality: Confidentiality,
    /// When it came first.
    pub first_at: Timestamp,
    /// Where it stands.
    pub state: SampleStateKind,
    /// Whether others knew it when they were asked; nothing when nobody was.
    pub known_elsewhere: Option<bool>,
    /// Its family, or empty.
    pub family: String,
    /// The processor it is for, or empty.
    pub processor: String,
    /// Whether it is made for connected devices, if that was told.
    pub iot: Option<bool>,
}

impl SampleBrief {
    /// The brief of all that is known.
    pub fn of(sample: &StoredSample) -> Self {
        let is_known = |known: &KnownElsewhere| matches!(known.answer, ElsewhereAnswer::Known { .. });
        let asked = !sample.elsewhere.is_empty();
        Self {
            sample: sample.digests.sha256,
            confidentiality: sample.confidentiality,
            first_at: sample.first_at,
            state: SampleStateKind::of(&sample.state),
            known_elsewhere: asked.then(|| sample.elsewhere.iter().any(is_known)),
            family: sample.essentials.family.clone(),
            processor: sample.essentials.processor.clone(),
            iot: sample.essentials.iot,
        }
    }
}

/// What may be kept of a sample as a document.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SampleDocument {
    /// What static triage says, JSON.
    Triage,
    /// The report, JSON.
    Report,
    /// The report as a page of HTML, English.
    PageEnglish,
    /// The report as a page of HTML, Japanese.
    PageJapanese,
    /// The report as STIX 2.1.
    Stix,
    /// By what it is compared with other samples, JSON.
    Features,
    /// What it taught the fleet, JSON.
    Lessons,
}

impl SampleDocument {
    /// All of them.
    pub const ALL: [Self; 7] =
        [Self::Triage, Self::Report, Self::PageEnglish, Self::PageJapanese, Self::Stix, Self::Features, Self::Lessons];

    /// The word for it in files.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Triage => "triage",
            Self::Report => "report",
            Self::PageEnglish => "page-en",
            Self::PageJapanese => "page-ja",
            Self::Stix => "stix",
            Self::Features => "features",
            Self::Lessons => "lessons",
        }
    }
}

/// Bounds of the laboratory's store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SampleLimits {
    /// Samples that wait: 25,000 are two years of the largest sensor network that was described, so this is a week of
    /// something that went wrong.
    pub waiting_max: u64,
    /// Ways of coming that are kept of one sample; further ones are counted.
    pub origins_max: usize,
    /// Ways of coming in all; at the bound further ones are only counted. Some 150 bytes each.
    pub origins_total_max: u64,
    /// Bytes of one document; a larger one is refused.
    pub document_bytes_max: usize,
}

impl Default for SampleLimits {
    fn default() -> Self {
        Self { waiting_max: 100_000, origins_max: 64, origins_total_max: 2_000_000, document_bytes_max: 16 << 20 }
    }
}

/// A sample that was given to somebody to work on. Only who holds the attempt can say how it went: one that took too long
/// says it in vain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SampleLease {
    /// Which.
    pub sample: SampleDigest,
    /// The number of this attempt, from one.
    pub attempt: u32,
}

/// How an attempt ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AttemptEnd {
    /// With a report, which is kept already.
    Done(SampleEssentials),
    /// It may go better later.
    Retry {
        /// Not before.
        not_before: Timestamp,
        /// Why it did not get to the end.
        problem: String,
    },
    /// Whoever worked on it stops: it waits again, and the attempt does not count.
    GivenBack,
    /// It will not go better.
    Failed {
        /// Why.
        problem: String,
    },
}

/// How many samples there are of each kind.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SampleCounts {
    /// They wait.
    pub waiting: u64,
    /// They are worked on.
    pub working: u64,
    /// They have a report.
    pub done: u64,
    /// They have none and are not tried again.
    pub failed: u64,
}

/// Keeps the laboratory's samples and hands them out to be worked on. Calls may block. Durable on return.
pub trait SampleStore: Send + Sync {
    /// Takes a sample in, or adds to what is known of it.
    fn submit(&self, sample: &NewSample, now: Timestamp) -> Result<SampleSubmitted, SamplesError>;

    /// Keeps how contents came, whether they are here or not. What was mentioned before changes nothing.
    fn mention(&self, mentions: &[SampleMention], now: Timestamp) -> Result<(), SamplesError>;

    /// The next sample to work on, given away until `until`: the highest priority first, then who has waited longest. One
    /// whose time is over is handed out again.
    fn lease(&self, now: Timestamp, until: Timestamp) -> Result<Option<SampleLease>, SamplesError>;

    /// Says what is being done, and holds the sample until `until`. Whether the lease still holds.
    fn progress(&self, lease: &SampleLease, step: &str, percent: u8, until: Timestamp) -> Result<bool, SamplesError>;

    /// Keeps what somebody else said, unless they said something before.
    fn elsewhere(&self, sample: &SampleDigest, known: &KnownElsewhere) -> Result<(), SamplesError>;

    /// Samples that this source was not asked about yet and that came at `since` or later, the oldest first, at most `count`.
    /// Confidential ones are not among them.
    fn not_asked(&self, source: &str, since: Timestamp, count: usize) -> Result<Vec<SampleDigests>, SamplesError>;

    /// Keeps a document; it replaces an earlier one.
    fn put_document(&self, sample: &SampleDigest, kind: SampleDocument, json: &str) -> Result<(), SamplesError>;

    /// A document.
    fn document(&self, sample: &SampleDigest, kind: SampleDocument) -> Result<Option<String>, SamplesError>;

    /// Ends an attempt. Whether the lease still held.
    fn end(&self, lease: &SampleLease, end: &AttemptEnd, now: Timestamp) -> Result<bool, SamplesError>;

    /// Lets a sample that is done or failed be looked at again. Whether there is one that can.
    fn again(&self, sample: &SampleDigest, priority: SamplePriority, now: Timestamp) -> Result<bool, SamplesError>;

    /// Whoever worked on samples is gone: all of them wait again. For the start of the one process that works on them.
    fn recover(&self, now: Timestamp) -> Result<u64, SamplesError>;

    /// What is known of a sample.
    fn sample(&self, sample: &SampleDigest) -> Result<Option<StoredSample>, SamplesError>;

    /// The sample with this SHA-1 or MD5, by its length in bytes.
    fn find(&self, digest: &[u8]) -> Result<Option<SampleDigest>, SamplesError>;

    /// Samples that came before this one (all, without one), the youngest first, at most `count`.
    fn list(&self, before: Option<(Timestamp, SampleDigest)>, count: usize) -> Result<Vec<StoredSample>, SamplesError>;

    /// Samples that came first within a time, in brief, the youngest first, at most `count`.
    fn briefs(&self, range: TimeRange, count: usize) -> Result<Vec<SampleBrief>, SamplesError>;

    /// How many there are.
    fn counts(&self) -> Result<SampleCounts, SamplesError>;
}

/// Where samples come in: what is written down, and whoever works on samples is told.
pub trait SampleIntake: Send + Sync {
    /// See [`SampleStore::submit`].
    fn submit(&self, sample: &NewSample) -> Result<SampleSubmitted, SamplesError>;

    /// See [`SampleStore::mention`].
    fn mention(&self, mentions: &[SampleMention]) -> Result<(), SamplesError>;

    /// See [`SampleStore::again`].
    fn again(&self, sample: &SampleDigest, priority: SamplePriority) -> Result<bool, SamplesError>;
}

/// Somebody who may know samples by their digests. Nothing but a digest is told to them.
pub trait SampleLookup: Send + Sync {
    /// Who: `virustotal`, `malwarebazaar`, or the name of a list.
    fn source(&self) -> &str;

    /// The least time between two questions, which whoever asks keeps to.
    fn pause(&self) -> Duration;

    /// What they know.
    fn look_up<'a>(&'a self, digests: &'a SampleDigests) -> BoxFuture<'a, Result<ElsewhereAnswer, LookupError>>;
}

/// Why nobody answered.
#[derive(Debug, thiserror::Error)]
pub enum LookupError {
    /// They want to be asked less often.
    #[error("{source_name} wants to be asked again in {} s", after.as_secs())]
    TooMany {
        /// Who.
        source_name: String,
        /// Not before this much time has passed.
        after: Duration,
    },
    /// They do not accept the key. Asking again changes nothing before somebody changes it.
    #[error("{source_name} does not accept the key: {reason}")]
    Refused {
        /// Who.
        source_name: String,
        /// What they say.
        reason: String,
    },
    /// They cannot be reached, or their answer makes no sense; later it may.
    #[error("{source_name} does not answer")]
    Unavailable {
        /// Who.
        source_name: String,
        /// Why not.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
}

/// Why samples cannot be kept or read.
#[derive(Debug, thiserror::Error)]
pub enum SamplesError {
    /// There is no such sample.
    #[error("sample {0} is not known")]
    Missing(SampleDigest),
    /// A document is larger than may be kept.
    #[error("a document of {bytes} bytes is larger than the {bytes_max} that may be kept")]
    TooLarge {
        /// Its length.
        bytes: usize,
        /// The bound.
        bytes_max: usize,
    },
    /// The medium failed; trying again may help.
    #[error("samples are unavailable while {doing}")]
    Unavailable {
        /// What was tried.
        doing: &'static str,
        /// Why it failed.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
}
