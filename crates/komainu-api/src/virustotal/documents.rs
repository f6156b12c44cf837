//! What the laboratory says of a sample, as far as VirusTotal's objects have a place for it. The shapes are those of
//! docs/triage.md and docs/reports.md; what is not told here is passed over.

use komainu_model::SampleDigest;
use komainu_ports::{SampleDocument, SampleStore, SamplesError};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use tracing::error;

use crate::events;

/// The version of both documents that is understood here.
const VERSION: u32 = 1;

/// What is said of a sample; nothing, as long as nobody has looked.
#[derive(Debug, Default)]
pub(super) struct Documents {
    pub(super) triage: Option<Triage>,
    pub(super) report: Option<Report>,
}

impl Documents {
    /// Reads both. The laboratory wrote them: one that cannot be read is a bug, is said in the log, and is as good as none.
    /// Blocks.
    pub(super) fn read(samples: &dyn SampleStore, sample: &SampleDigest) -> Result<Self, SamplesError> {
        let triage = read_one(samples, sample, SampleDocument::Triage)?;
        let report = read_one(samples, sample, SampleDocument::Report)?;
        Ok(Self { triage, report })
    }
}

#[derive(Deserialize)]
struct Versioned {
    version: u32,
}

fn read_one<T: DeserializeOwned>(
    samples: &dyn SampleStore,
    sample: &SampleDigest,
    kind: SampleDocument,
) -> Result<Option<T>, SamplesError> {
    let Some(json) = samples.document(sample, kind)? else { return Ok(None) };
    match parse(&json) {
        Ok(document) => Ok(Some(document)),
        Err(error) => {
            let (sha256, document) = (sample, kind.as_str());
            error!(event = events::VIRUSTOTAL_UNREADABLE, %sha256, document, error, "a document cannot be read");
            Ok(None)
        }
    }
}

fn parse<T: DeserializeOwned>(json: &str) -> Result<T, String> {
    let Versioned { version } = serde_json::from_str(json).map_err(|error| error.to_string())?;
    if version != VERSION {
        return Err(format!("its version is {version}, and {VERSION} is understood"));
    }
    serde_json::from_str(json).map_err(|error| error.to_string())
}

/// What static triage says.
#[derive(Debug, Clone, Default, Deserialize)]
pub(super) struct Triage {
    /// The file, then what was unpacked out of it.
    pub(super) samples: Vec<TriagedFile>,
}

#[derive(Debug, Clone, Default, Deserialize)]
pub(super) struct TriagedFile {
    pub(super) kind: String,
    pub(super) description: String,
    pub(super) digests: TriagedDigests,
    pub(super) elf: Option<TriagedElf>,
    pub(super) packing: Option<TriagedPacking>,
    pub(super) rules: Vec<RuleHit>,
}

#[derive(Debug, Clone, Default, Deserialize)]
pub(super) struct TriagedDigests {
    pub(super) tlsh: Option<String>,
}

#[derive(Debug, Clone, Default, Deserialize)]
pub(super) struct TriagedElf {
    pub(super) class_bits: u8,
    pub(super) telfhash: Option<String>,
}

#[derive(Debug, Clone, Default, Deserialize)]
pub(super) struct TriagedPacking {
    /// `none`, `suspected` or `packed`.
    pub(super) verdict: String,
    pub(super) packer: Option<String>,
}

/// A rule of YARA that holds.
#[derive(Debug, Clone, Default, Deserialize)]
pub(super) struct RuleHit {
    pub(super) namespace: String,
    pub(super) rule: String,
    pub(super) meta: Vec<(String, String)>,
}

/// What the laboratory reports.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Report {
    /// RFC 3339.
    pub(super) made: String,
    pub(super) verdict: Verdict,
    pub(super) behaviours: Vec<BehaviourSeen>,
    pub(super) endpoints: Vec<Endpoint>,
    pub(super) credentials_tried: u64,
    pub(super) downloads: Vec<Download>,
    pub(super) generated_names: Option<GeneratedNames>,
    pub(super) persistence: Vec<String>,
    pub(super) dropped: Vec<Dropped>,
    pub(super) erased: Vec<String>,
    pub(super) killed: Vec<String>,
    pub(super) evasion: Vec<String>,
    pub(super) families: Vec<Family>,
    pub(super) processes: Vec<Process>,
}

#[derive(Debug, Clone, Deserialize)]
pub(super) struct Phrase {
    pub(super) en: String,
}

#[derive(Debug, Clone, Deserialize)]
pub(super) struct Verdict {
    /// `malicious`, `suspicious`, `no_harm_seen` or `not_run`.
    pub(super) level: String,
    /// 0 to 100.
    pub(super) score: u8,
}

#[derive(Debug, Clone, Deserialize)]
pub(super) struct BehaviourSeen {
    pub(super) rule: String,
    pub(super) title: Phrase,
    pub(super) meaning: Phrase,
    /// `informational`, `low`, `medium`, `high` or `critical`.
    pub(super) level: String,
    pub(super) attack: Vec<String>,
    pub(super) evidence: Vec<Evidenced>,
}

#[derive(Debug, Clone, Deserialize)]
pub(super) struct Evidenced {
    pub(super) category: String,
    pub(super) text: String,
}

#[derive(Debug, Clone, Deserialize)]
pub(super) struct Endpoint {
    pub(super) address: String,
    pub(super) port: u16,
    pub(super) protocol: String,
    pub(super) names: Vec<String>,
    /// Otherwise the simulated Internet made it up.
    pub(super) address_is_real: bool,
}

#[derive(Debug, Clone, Deserialize)]
pub(super) struct Download {
    /// Or the line of a command.
    pub(super) url: String,
    /// Otherwise others were told to.
    pub(super) by_sample: bool,
    pub(super) status: Option<u16>,
}

#[derive(Debug, Clone, Deserialize)]
pub(super) struct GeneratedNames {
    pub(super) examples: Vec<String>,
}

#[derive(Debug, Clone, Deserialize)]
pub(super) struct Dropped {
    pub(super) path: String,
    pub(super) made_executable: bool,
    pub(super) sha256: Option<String>,
}

#[derive(Debug, Clone, Deserialize)]
pub(super) struct Family {
    pub(super) name: String,
    pub(super) votes: u32,
}

#[derive(Debug, Clone, Deserialize)]
pub(super) struct Process {
    pub(super) pid: u32,
    pub(super) depth: u32,
    pub(super) image: String,
    pub(super) command_line: String,
    pub(super) from_us: u64,
    pub(super) until_us: Option<u64>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_of_another_version_are_not_read() {
        let check = |json: &str, expected: Result<usize, &str>| match (parse::<Triage>(json), expected) {
            (Ok(triage), Ok(samples)) => assert_eq!(triage.samples.len(), samples, "{json}"),
            (Err(error), Err(expected)) => assert!(error.contains(expected), "{json}: {error}"),
            (seen, _) => panic!("{json}: {seen:?}"),
        };
        check(r#"{"version":1,"samples":[],"more":{"a":[1]}}"#, Ok(0));
        check(r#"{"version":2,"samples":[]}"#, Err("its version is 2"));
        check(r#"{"version":1}"#, Err("missing field `samples`"));
        check(r#"{"samples":[]}"#, Err("missing field `version`"));
        check("[", Err("EOF"));
    }
}
