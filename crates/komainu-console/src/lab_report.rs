//! What the laboratory reports of a sample, as pages show it. The shape is that of docs/reports.md; what no page shows is
//! passed over. Texts of a sample are printable there, and shown as what others sent all the same.

use std::collections::BTreeMap;

use komainu_model::{Language, SampleDigest};
use komainu_ports::{SampleDocument, SampleStore, SamplesError};
use serde::Deserialize;
use serde::de::DeserializeOwned;

/// The version of all three documents that is understood here.
pub(crate) const VERSION: u32 = 1;

/// What there is of a sample.
#[derive(Debug, Default)]
pub(crate) struct LabReport {
    /// What static triage says.
    pub(crate) triage: Option<komainu_triage::Report>,
    /// What running it showed.
    pub(crate) report: Option<Report>,
    /// What it taught the fleet.
    pub(crate) lessons: Vec<Lesson>,
    /// What is there and cannot be read: the name of the document, and why.
    pub(crate) unreadable: Vec<(&'static str, Unreadable)>,
}

/// Why a document of the laboratory cannot be read.
#[derive(Debug)]
pub(crate) enum Unreadable {
    /// Of another version than is understood.
    Version(u32),
    /// It has not the shape that it should have; what the reader of JSON says.
    Shape(String),
}

impl LabReport {
    /// Reads all of them. Blocks.
    pub(crate) fn read(samples: &dyn SampleStore, sample: &SampleDigest) -> Result<Self, SamplesError> {
        let mut found = Self::default();
        found.triage = found.one(samples, sample, SampleDocument::Triage, versioned)?;
        found.report = found.one(samples, sample, SampleDocument::Report, versioned)?;
        found.lessons = found.one(samples, sample, SampleDocument::Lessons, parsed)?.unwrap_or_default();
        Ok(found)
    }

    fn one<T>(
        &mut self,
        samples: &dyn SampleStore,
        sample: &SampleDigest,
        kind: SampleDocument,
        read: impl Fn(&str) -> Result<T, Unreadable>,
    ) -> Result<Option<T>, SamplesError> {
        let Some(json) = samples.document(sample, kind)? else { return Ok(None) };
        Ok(read(&json).map_err(|reason| self.unreadable.push((kind.as_str(), reason))).ok())
    }
}

#[derive(Deserialize)]
struct Versioned {
    version: u32,
}

fn versioned<T: DeserializeOwned>(json: &str) -> Result<T, Unreadable> {
    let Versioned { version } = parsed(json)?;
    if version != VERSION {
        return Err(Unreadable::Version(version));
    }
    parsed(json)
}

fn parsed<T: DeserializeOwned>(json: &str) -> Result<T, Unreadable> {
    serde_json::from_str(json).map_err(|error| Unreadable::Shape(error.to_string()))
}

/// A value that a sample taught.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Lesson {
    /// As an indicator shows it.
    pub(crate) value: String,
    /// In percent.
    pub(crate) confidence: u8,
}

/// The report.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Report {
    /// RFC 3339.
    pub(crate) made: String,
    pub(crate) verdict: Verdict,
    pub(crate) sample: ReportedFile,
    pub(crate) runs: Vec<Run>,
    pub(crate) behaviours: Vec<Behaviour>,
    pub(crate) endpoints: Vec<Endpoint>,
    pub(crate) scans: Vec<Scan>,
    pub(crate) credentials_tried: u64,
    pub(crate) credentials: Vec<Credential>,
    pub(crate) downloads: Vec<Download>,
    pub(crate) floods: Vec<Flood>,
    pub(crate) generated_names: Option<GeneratedNames>,
    pub(crate) persistence: Vec<String>,
    pub(crate) dropped: Vec<Dropped>,
    pub(crate) erased: Vec<String>,
    pub(crate) killed: Vec<String>,
    pub(crate) evasion: Vec<String>,
    pub(crate) similar: Vec<Similar>,
    pub(crate) processes: Vec<Process>,
    pub(crate) timeline: Vec<Evidenced>,
    pub(crate) left_out: BTreeMap<String, u64>,
    pub(crate) cut: Vec<String>,
}

/// A text in both languages.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Phrase {
    en: String,
    ja: String,
}

impl Phrase {
    /// The text in a language; the English one when there is no other.
    pub(crate) fn of(&self, language: Language) -> &str {
        match language {
            Language::Japanese if !self.ja.is_empty() => &self.ja,
            Language::Japanese | Language::English => &self.en,
        }
    }
}

#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Verdict {
    /// 0 to 100.
    pub(crate) score: u8,
    pub(crate) sentence: Phrase,
}

#[derive(Debug, Clone, Deserialize)]
pub(crate) struct ReportedFile {
    pub(crate) name: Option<String>,
    pub(crate) telfhash: Option<String>,
    pub(crate) tlsh: Option<String>,
}

#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Run {
    pub(crate) number: u16,
    pub(crate) isa: String,
    /// `user` or `root`.
    pub(crate) run_as: String,
    pub(crate) ran_for_ms: u64,
    /// `exited`, `quiet`, `time_over`, `guest_gone`, `not_run` or `bound`.
    pub(crate) end: String,
    pub(crate) end_reason: Option<String>,
    pub(crate) facts: u64,
}

#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Behaviour {
    pub(crate) title: Phrase,
    pub(crate) meaning: Phrase,
    /// `informational`, `low`, `medium`, `high` or `critical`.
    pub(crate) level: String,
    /// Techniques of ATT&CK.
    pub(crate) attack: Vec<String>,
    pub(crate) count: u64,
    pub(crate) evidence: Vec<Evidenced>,
}

/// A fact in a line.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Evidenced {
    pub(crate) run: Option<u16>,
    /// Since the sample was started.
    pub(crate) at_us: u64,
    /// Its number.
    pub(crate) fact: u32,
    pub(crate) category: String,
    pub(crate) text: String,
}

#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Endpoint {
    pub(crate) address: String,
    pub(crate) port: u16,
    pub(crate) protocol: String,
    pub(crate) names: Vec<String>,
    /// `command`, `download`, `report`, `resolver`, `time`, `target` or `ordinary`.
    pub(crate) role: String,
    /// In percent.
    pub(crate) confidence: u8,
    pub(crate) reasons: Vec<String>,
    /// The same in Japanese; older reports have none.
    #[serde(default)]
    pub(crate) reasons_ja: Vec<String>,
    /// Otherwise the simulated Internet made it up for a name.
    pub(crate) address_is_real: bool,
    pub(crate) contacts: u64,
    pub(crate) hello: Option<String>,
}

#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Scan {
    pub(crate) port: u16,
    pub(crate) protocol: String,
    pub(crate) addresses: u64,
    pub(crate) per_second_hundredths: u64,
    /// `random`, `sequential`, `subnet`, `list` or `unknown`.
    pub(crate) generator: String,
}

#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Credential {
    pub(crate) service: String,
    pub(crate) user: String,
    pub(crate) password: String,
    pub(crate) count: u64,
}

#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Download {
    /// Or the line of a command.
    pub(crate) url: String,
    /// Otherwise it told others to.
    pub(crate) by_sample: bool,
    pub(crate) status: Option<u16>,
}

#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Flood {
    /// Of which packets.
    pub(crate) kind: String,
    pub(crate) target: Option<String>,
    pub(crate) port: Option<u16>,
    pub(crate) packets: u64,
    pub(crate) per_second: u64,
}

#[derive(Debug, Clone, Deserialize)]
pub(crate) struct GeneratedNames {
    pub(crate) count: u64,
    pub(crate) missing: u64,
    pub(crate) examples: Vec<String>,
}

#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Dropped {
    pub(crate) path: String,
    pub(crate) was_run: bool,
    pub(crate) sha256: Option<String>,
}

#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Similar {
    pub(crate) sha256: String,
    pub(crate) family: Option<String>,
    /// How alike.
    pub(crate) percent: u8,
    pub(crate) reasons: Vec<String>,
    /// The same in Japanese; older reports have none.
    #[serde(default)]
    pub(crate) reasons_ja: Vec<String>,
}

#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Process {
    pub(crate) run: u16,
    pub(crate) pid: u32,
    pub(crate) depth: u32,
    pub(crate) image: String,
    pub(crate) command_line: String,
}
