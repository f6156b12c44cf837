//! What an analysis is made of.

use std::net::IpAddr;

use komainu_model::Timestamp;
use komainu_trace::guest::GuestEvent;
use komainu_trace::network::NetworkEvent;
use komainu_trace::{GuestIsa, RawText};

use crate::similarity::Neighbour;

/// All that is known of a sample.
#[derive(Debug, Clone, Default)]
pub struct Evidence {
    /// The file.
    pub sample: Sample,
    /// Its runs; at most [`crate::fact::RUNS_MAX`] are looked at.
    pub runs: Vec<Run>,
    /// Earlier samples that are alike, nearest first ([`crate::similarity`] finds them).
    pub neighbours: Vec<Neighbour>,
}

/// What is known of a file without running it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Sample {
    /// What it was called where it was captured, if anything.
    pub name: Option<RawText>,
    /// SHA-256, in lower-case hexadecimal digits.
    pub sha256: String,
    /// SHA-1, the same way.
    pub sha1: Option<String>,
    /// MD5, the same way.
    pub md5: Option<String>,
    /// Its length.
    pub bytes: u64,
    /// What kind of file it is: `elf`, `script`, …
    pub kind: String,
    /// The same in words.
    pub description: String,
    /// The instruction set it is for, by the laboratory's name.
    pub isa: Option<String>,
    /// `none`, `suspected` or `packed`.
    pub packing: Option<String>,
    /// Families that were named, with their votes, most first.
    pub family_votes: Vec<(String, u32)>,
    /// The static verdict: `malicious`, `suspicious`, `unremarkable`.
    pub level: Option<String>,
    /// Rules about contents that hold for it.
    pub rules: Vec<String>,
    /// Texts in it that can be looked for elsewhere.
    pub texts: Vec<StaticText>,
    /// Words that are user names and passwords.
    pub credentials: Vec<String>,
    /// TLSH, `T1…`.
    pub tlsh: Option<String>,
    /// telfhash, `t1…`.
    pub telfhash: Option<String>,
    /// Hashes of its functions, sorted.
    pub function_hashes: Vec<u64>,
}

/// A text that was found in a sample.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StaticText {
    /// `url`, `ipv4`, `ipv6`, `domain`, `socket-address`, `path`, …
    pub kind: String,
    /// The text.
    pub value: String,
    /// Whether it was encoded.
    pub decoded: bool,
}

/// Whose rights a sample had.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RunAs {
    /// An ordinary account.
    User,
    /// The owner of the machine.
    Root,
}

impl RunAs {
    /// Its name in facts and reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Root => "root",
        }
    }
}

/// What one run showed.
#[derive(Debug, Clone)]
pub struct Run {
    /// The processor of the guest.
    pub isa: GuestIsa,
    /// Whose rights the sample had.
    pub run_as: RunAs,
    /// When it was started, if that is known.
    pub started: Option<Timestamp>,
    /// How long it ran, in milliseconds.
    pub ran_for_ms: u64,
    /// Why it ended.
    pub end: RunEnd,
    /// What it is called in the guest.
    pub sample_path: RawText,
    /// How long the simulated Internet ran before the sample was started, in microseconds.
    pub network_before_us: u64,
    /// Whom the guest is told to ask for names.
    pub resolver: IpAddr,
    /// What the guest's kernel told.
    pub guest: Vec<GuestEvent>,
    /// What the simulated Internet saw.
    pub network: Vec<NetworkEvent>,
    /// Texts in the memory of the sample's processes.
    pub memory: Vec<StaticText>,
    /// Files that it left behind.
    pub dropped: Vec<DroppedFile>,
    /// What was cut off at a bound of the sandbox.
    pub cut: Vec<String>,
}

/// Why a run ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RunEnd {
    /// Every process of the sample was gone.
    Exited,
    /// It showed nothing new for long enough.
    Quiet,
    /// Its time was over.
    TimeOver,
    /// The guest fell over, or the sample switched it off.
    GuestGone,
    /// The guest could not run it; why.
    NotRun(String),
    /// A bound of the sandbox was reached; which.
    Bound(String),
}

/// A file that a sample left behind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DroppedFile {
    /// Where.
    pub path: RawText,
    /// SHA-256, in hexadecimal digits.
    pub sha256: String,
    /// Its length.
    pub bytes: u64,
}
