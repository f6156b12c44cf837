//! What is analysed: detonations and static reports, as the analysis wants them.

use std::net::{IpAddr, Ipv4Addr};

use komainu_analysis::evidence::{DroppedFile, Run, RunAs, RunEnd, Sample, StaticText};
use komainu_analysis::texts;
use komainu_ports::{Detonation, DetonationEnd};
use komainu_trace::agent::FileChange;
use komainu_trace::guest::GuestAct;
use komainu_trace::{GuestItem, GuestReader, RawText, left_files};
use serde::Deserialize;
use sha2::{Digest, Sha256};

/// The most events of either kind of a run; the analysis keeps fewer, and counts.
const EVENTS_MAX: usize = 500_000;
/// The most texts of a run's memory.
const MEMORY_TEXTS_MAX: usize = 2000;
/// The most words about what was cut off in a run.
const CUTS_MAX: usize = 256;
/// How much of a stream is given to its reader at once.
const PIECE_BYTES: usize = 1 << 20;
/// Letters of a text of the sandbox that are told.
const TEXT_LETTERS_MAX: usize = 1024;
/// The resolver that the simulated Internet gives to guests.
const RESOLVER: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 168, 1, 1));

/// A detonation as evidence.
pub fn run_of(detonation: &Detonation) -> Run {
    let mut run = Run {
        isa: detonation.isa,
        run_as: match detonation.run_as {
            komainu_ports::RunAs::User => RunAs::User,
            komainu_ports::RunAs::Root => RunAs::Root,
        },
        started: Some(detonation.started),
        ran_for_ms: u64::try_from(detonation.ran_for.as_millis()).unwrap_or(u64::MAX),
        end: match &detonation.end {
            DetonationEnd::Exited => RunEnd::Exited,
            DetonationEnd::Quiet => RunEnd::Quiet,
            DetonationEnd::TimeOver => RunEnd::TimeOver,
            DetonationEnd::GuestGone => RunEnd::GuestGone,
            DetonationEnd::NotRun(reason) => RunEnd::NotRun(printable(reason)),
            DetonationEnd::Bound(reason) => RunEnd::Bound(printable(reason)),
        },
        sample_path: RawText::default(),
        network_before_us: 0,
        resolver: RESOLVER,
        guest: Vec::new(),
        network: detonation.network.iter().take(EVENTS_MAX).cloned().collect(),
        memory: Vec::new(),
        dropped: dropped(&detonation.guest),
        cut: detonation.cut.iter().map(|text| printable(text)).collect(),
    };
    read_guest(&detonation.guest, &mut run);
    run
}

/// The files that the sample left, those whose content was told.
fn dropped(guest: &[u8]) -> Vec<DroppedFile> {
    let files = left_files(guest);
    let told = files.into_values().filter(|file| file.change != FileChange::Removed && !file.content.is_empty());
    told.map(|file| DroppedFile {
        sha256: hex::encode(Sha256::digest(&file.content)),
        bytes: file.size,
        path: file.path,
    })
    .collect()
}

/// Reads what the guest said.
fn read_guest(stream: &[u8], run: &mut Run) {
    let mut reader = GuestReader::default();
    let mut sample = None;
    let mut memory = texts::Finder::new(MEMORY_TEXTS_MAX);
    let (mut more, mut problems) = (0u64, 0u64);
    let mut take = |items: Vec<GuestItem>, run: &mut Run| {
        for item in items {
            match item {
                GuestItem::Started { pid } => sample = sample.or(Some(pid)),
                GuestItem::Event { event, .. } => {
                    if let GuestAct::Exec { path, .. } = &event.act
                        && sample.is_none_or(|pid| pid == event.pid)
                        && run.sample_path.0.is_empty()
                    {
                        run.sample_path = path.clone();
                    }
                    if run.guest.len() < EVENTS_MAX {
                        run.guest.push(event);
                    } else {
                        more += 1;
                    }
                }
                GuestItem::Memory(piece) => memory.look(&piece.content),
                // That memory was looked at, it says each time.
                GuestItem::Note(note) if note.to_string().starts_with("dumped bytes=") => {}
                GuestItem::Note(note) => run.cut.push(format!("the agent says: {note}")),
                GuestItem::Problem(_) => problems += 1,
                GuestItem::Hello(_)
                | GuestItem::Ready
                | GuestItem::File(_)
                | GuestItem::Exited { .. }
                | GuestItem::Finished(_) => {}
            }
        }
    };
    for piece in stream.chunks(PIECE_BYTES) {
        take(reader.push(piece), run);
    }
    take(reader.finish(), run);
    run.memory = memory.finish();
    run.cut.truncate(CUTS_MAX);
    if more > 0 {
        run.cut.push(format!("{more} events of the guest are beyond the {EVENTS_MAX} that are read"));
    }
    if problems > 0 {
        run.cut.push(format!("{problems} pieces of the guest's stream could not be understood"));
    }
}

/// What static triage says of a file, as far as an analysis wants it.
#[derive(Debug, Clone, PartialEq)]
pub struct LookedAt {
    /// The file.
    pub sample: Sample,
    /// Whether it is made for connected devices, if that could be told.
    pub is_for_devices: Option<bool>,
}

/// Why a document is no static report.
#[derive(Debug, thiserror::Error)]
pub enum StaticReportError {
    /// It has another shape (docs/triage.md).
    #[error("it is no report of static triage")]
    Shape(#[from] serde_json::Error),
    /// It is about nothing.
    #[error("it is about no file")]
    Empty,
}

/// Reads a static report, JSON: what it says of the file that it is about, not of those within that one. `name` is what the
/// file was called, if the report does not say it.
pub fn looked_at(json: &str, name: Option<&str>) -> Result<LookedAt, StaticReportError> {
    let report: StaticReport = serde_json::from_str(json)?;
    let of = report.samples.into_iter().next().ok_or(StaticReportError::Empty)?;
    let (isa, telfhash, hashes) = match of.elf {
        Some(elf) => (Some(elf.isa), elf.telfhash, elf.functions.hashes),
        None => (None, None, Vec::new()),
    };
    let text = |finding: StaticFinding| StaticText {
        kind: finding.kind,
        value: finding.value,
        decoded: finding.source.starts_with("decoded"),
    };
    let sample = Sample {
        name: of.name.as_deref().or(name).map(RawText::from),
        sha256: of.digests.sha256,
        sha1: of.digests.sha1,
        md5: of.digests.md5,
        bytes: of.bytes,
        kind: of.kind,
        description: of.description,
        isa,
        packing: of.packing.map(|packing| packing.verdict),
        family_votes: of.verdict.votes,
        level: Some(of.verdict.level),
        rules: of.rules.into_iter().map(|hit| hit.rule).collect(),
        texts: of.findings.into_iter().map(text).collect(),
        credentials: of.credentials.map(|credentials| credentials.words).unwrap_or_default(),
        tlsh: of.digests.tlsh,
        telfhash,
        function_hashes: hashes.iter().filter_map(|hash| u64::from_str_radix(hash, 16).ok()).collect(),
    };
    let is_for_devices = match of.verdict.iot.as_deref() {
        Some("iot") => Some(true),
        Some("not-iot") => Some(false),
        _ => None,
    };
    Ok(LookedAt { sample, is_for_devices })
}

/// The shape of a static report, as far as it matters here (docs/triage.md).
#[derive(Deserialize)]
struct StaticReport {
    samples: Vec<StaticSample>,
}

#[derive(Deserialize)]
struct StaticSample {
    name: Option<String>,
    bytes: u64,
    digests: StaticDigests,
    kind: String,
    description: String,
    elf: Option<StaticElf>,
    packing: Option<StaticPacking>,
    #[serde(default)]
    findings: Vec<StaticFinding>,
    credentials: Option<StaticCredentials>,
    #[serde(default)]
    rules: Vec<StaticRule>,
    verdict: StaticVerdict,
}

#[derive(Deserialize)]
struct StaticDigests {
    sha256: String,
    sha1: Option<String>,
    md5: Option<String>,
    tlsh: Option<String>,
}

#[derive(Deserialize)]
struct StaticElf {
    isa: String,
    telfhash: Option<String>,
    functions: StaticFunctions,
}

#[derive(Deserialize)]
struct StaticFunctions {
    #[serde(default)]
    hashes: Vec<String>,
}

#[derive(Deserialize)]
struct StaticPacking {
    verdict: String,
}

#[derive(Deserialize)]
struct StaticFinding {
    kind: String,
    value: String,
    source: String,
}

#[derive(Deserialize)]
struct StaticCredentials {
    words: Vec<String>,
}

#[derive(Deserialize)]
struct StaticRule {
    rule: String,
}

#[derive(Deserialize)]
struct StaticVerdict {
    level: String,
    iot: Option<String>,
    votes: Vec<(String, u32)>,
}

/// Texts without what a terminal would obey.
pub(crate) fn printable(text: &str) -> String {
    text.chars().map(|letter| if letter.is_control() { '\u{fffd}' } else { letter }).take(TEXT_LETTERS_MAX).collect()
}
