//! Files and analyses, as VirusTotal writes them: <https://docs.virustotal.com/reference/files>,
//! <https://docs.virustotal.com/reference/analyses-object>.

use std::collections::BTreeSet;

use jiff::Timestamp;
use komainu_model::{Confidentiality, SampleDigest};
use komainu_ports::{SampleOrigin, SampleState, StoredSample};
use serde_json::{Map, Value, json};

use super::documents::{Report, RuleHit, TriagedFile};
use super::{ANALYSIS, Base, Documented, ENGINE, behaviour};

/// How VirusTotal calls what a scanner says (`category`), and counts it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Category {
    Malicious,
    Suspicious,
    /// Nothing was seen, which is no word for harmless.
    Undetected,
    /// There was nothing to run.
    TypeUnsupported,
    /// The analysis did not get to its end.
    Failure,
}

/// What VirusTotal counts, zeroes included. No scanner here says `harmless`, and none takes too long.
const COUNTED: [&str; 8] = [
    "malicious",
    "suspicious",
    "undetected",
    "harmless",
    "timeout",
    "confirmed-timeout",
    "failure",
    "type-unsupported",
];

impl Category {
    /// What the report of a sample says, if it has one.
    fn of_report(sample: &StoredSample) -> Option<Self> {
        match sample.essentials.verdict.as_str() {
            "malicious" => Some(Self::Malicious),
            "suspicious" => Some(Self::Suspicious),
            "no_harm_seen" => Some(Self::Undetected),
            "not_run" => Some(Self::TypeUnsupported),
            _ => None,
        }
    }

    const fn as_str(self) -> &'static str {
        match self {
            Self::Malicious => "malicious",
            Self::Suspicious => "suspicious",
            Self::Undetected => "undetected",
            Self::TypeUnsupported => "type-unsupported",
            Self::Failure => "failure",
        }
    }
}

/// The answer to whoever started an analysis.
pub(super) fn analysis_link(base: &Base, sample: SampleDigest) -> Value {
    json!({"data": {"type": "analysis", "id": analysis_id(sample), "links": analysis_links(base, sample)}})
}

/// How far an analysis is, and what it says when it is over.
pub(super) fn analysis(base: &Base, sample: &StoredSample) -> Value {
    let (status, date, category) = match &sample.state {
        SampleState::Waiting { .. } => ("queued", sample.last_at, None),
        SampleState::Working { .. } => ("in-progress", sample.last_at, None),
        SampleState::Done { at } => ("completed", *at, Category::of_report(sample)),
        SampleState::Failed { at, .. } => ("completed", *at, Some(Category::Failure)),
    };
    let sha256 = sample.digests.sha256;
    json!({
        "data": {
            "type": "analysis",
            "id": analysis_id(sha256),
            "links": analysis_links(base, sha256),
            "attributes": {
                "date": date.unix_seconds(),
                "status": status,
                "stats": stats(category),
                "results": results(sample, category),
            },
        },
        "meta": {
            "file_info": {
                "sha256": sha256.to_string(),
                "sha1": hex::encode(sample.digests.sha1),
                "md5": hex::encode(sample.digests.md5),
                "size": sample.bytes,
            },
        },
    })
}

/// A file and what is known of it.
pub(super) fn file(base: &Base, known: &Documented) -> Value {
    let Documented { sample, documents } = known;
    let triaged = documents.triage.as_ref().and_then(|triage| triage.samples.first());
    let report = documents.report.as_ref();
    let sha256 = sample.digests.sha256.to_string();
    let mut attributes = of_sample(sample);
    attributes.extend(triaged.map(of_triage).unwrap_or_default());
    attributes.extend(report.map(of_report).unwrap_or_default());
    let optional = [
        ("last_analysis_date", analysed_s(sample, report).map(|date| json!(date))),
        ("meaningful_name", names(sample).first().map(|name| json!(name))),
        ("popular_threat_classification", families(sample, report)),
    ];
    attributes.extend(optional.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))));
    attributes.insert("tags".to_owned(), json!(tags(sample, triaged)));
    let links = json!({"self": base.link(&format!("files/{sha256}"))});
    json!({"data": {"type": "file", "id": sha256, "links": links, "attributes": attributes}})
}

/// When the report was made, or else when somebody gave up, in seconds since the Unix epoch. A new analysis may have begun
/// since then.
pub(super) fn analysed_s(sample: &StoredSample, report: Option<&Report>) -> Option<i64> {
    let made = report.and_then(|report| report.made.parse::<Timestamp>().ok());
    made.map(Timestamp::as_second).or_else(|| ended_s(sample))
}

fn ended_s(sample: &StoredSample) -> Option<i64> {
    match sample.state {
        SampleState::Done { at } | SampleState::Failed { at, .. } => Some(at.unix_seconds()),
        SampleState::Waiting { .. } | SampleState::Working { .. } => None,
    }
}

fn of_sample(sample: &StoredSample) -> Map<String, Value> {
    // The last report counts until there is another.
    let failed = matches!(sample.state, SampleState::Failed { .. }).then_some(Category::Failure);
    let category = Category::of_report(sample).or(failed);
    let last_at = sample.last_at.unix_seconds();
    attributes([
        ("sha256", json!(sample.digests.sha256.to_string())),
        ("sha1", json!(hex::encode(sample.digests.sha1))),
        ("md5", json!(hex::encode(sample.digests.md5))),
        ("size", json!(sample.bytes)),
        ("first_submission_date", json!(sample.first_at.unix_seconds())),
        ("last_submission_date", json!(last_at)),
        ("last_modification_date", json!(ended_s(sample).unwrap_or(last_at).max(last_at))),
        ("times_submitted", json!(sample.times)),
        ("unique_sources", json!(sources(sample))),
        ("names", json!(names(sample))),
        ("downloadable", json!(sample.confidentiality == Confidentiality::Open)),
        ("last_analysis_stats", stats(category)),
        ("last_analysis_results", results(sample, category)),
        ("reputation", json!(0)),
        ("total_votes", json!({"harmless": 0, "malicious": 0})),
    ])
}

fn of_triage(file: &TriagedFile) -> Map<String, Value> {
    let (tag, words) = kind(&file.kind);
    let mut found = attributes([
        ("type_tag", json!(tag)),
        ("type_description", json!(words.unwrap_or(&file.description))),
        ("magic", json!(file.description)),
    ]);
    let telfhash = file.elf.as_ref().and_then(|elf| elf.telfhash.as_ref());
    for (name, hash) in [("tlsh", file.digests.tlsh.as_ref()), ("telfhash", telfhash)] {
        if let Some(hash) = hash {
            found.insert(name.to_owned(), json!(hash));
        }
    }
    if !file.rules.is_empty() {
        let rules: Vec<Value> = file.rules.iter().map(yara_result).collect();
        found.insert("crowdsourced_yara_results".to_owned(), json!(rules));
    }
    found
}

fn of_report(report: &Report) -> Map<String, Value> {
    let stats = behaviour::sigma_stats(report);
    let mut found = attributes([
        ("sigma_analysis_results", json!(behaviour::sigma_results(report))),
        ("sigma_analysis_summary", json!({ENGINE: stats})),
        ("sigma_analysis_stats", stats),
    ]);
    if let Some(verdict) = behaviour::sandbox_verdict(report) {
        found.insert("sandbox_verdicts".to_owned(), json!({ENGINE: verdict}));
    }
    found
}

pub(super) fn attributes<const N: usize>(named: [(&str, Value); N]) -> Map<String, Value> {
    named.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

/// How many scanners say what.
fn stats(category: Option<Category>) -> Value {
    let count = |name: &str| u32::from(category.is_some_and(|category| category.as_str() == name));
    COUNTED.into_iter().map(|name| (name.to_owned(), json!(count(name)))).collect::<Map<_, _>>().into()
}

/// What each scanner says.
fn results(sample: &StoredSample, category: Option<Category>) -> Value {
    let Some(category) = category else { return json!({}) };
    let family = Some(sample.essentials.family.as_str()).filter(|family| !family.is_empty());
    let result = match category {
        Category::Malicious | Category::Suspicious => Some(family.unwrap_or(category.as_str())),
        Category::Undetected | Category::TypeUnsupported | Category::Failure => None,
    };
    json!({
        ENGINE: {
            "category": category.as_str(),
            "engine_name": ENGINE,
            "engine_version": env!("CARGO_PKG_VERSION"),
            "method": "sandbox",
            "result": result,
        },
    })
}

/// Families that were named, with their votes.
fn families(sample: &StoredSample, report: Option<&Report>) -> Option<Value> {
    let family = Some(&sample.essentials.family).filter(|family| !family.is_empty())?;
    let named = report.map(|report| report.families.as_slice()).unwrap_or_default();
    let name = |name: &str, votes: u32| json!({"value": name, "count": votes});
    let mut names: Vec<Value> = named.iter().map(|family| name(&family.name, family.votes)).collect();
    if names.is_empty() {
        names.push(name(family, 1));
    }
    Some(json!({"suggested_threat_label": family, "popular_threat_name": names}))
}

/// What those who handed it in call it, each once.
fn names(sample: &StoredSample) -> Vec<&str> {
    let mut names = Vec::new();
    for origin in &sample.origins {
        match origin {
            SampleOrigin::Upload { name, .. } if !name.is_empty() && !names.contains(&name.as_str()) => {
                names.push(name.as_str());
            }
            SampleOrigin::Upload { .. } | SampleOrigin::Sensor { .. } | SampleOrigin::Found => {}
        }
    }
    names
}

/// How many sensors and keys it came from, as far as that is remembered.
fn sources(sample: &StoredSample) -> usize {
    let sources = sample.origins.iter().filter_map(|origin| match origin {
        SampleOrigin::Sensor { sensor, .. } => Some(("sensor", sensor.as_str())),
        SampleOrigin::Upload { by, .. } => Some(("key", by.as_str())),
        SampleOrigin::Found => None,
    });
    sources.collect::<BTreeSet<_>>().len()
}

fn tags(sample: &StoredSample, triaged: Option<&TriagedFile>) -> BTreeSet<String> {
    let is_from_sensor = sample.origins.iter().any(|origin| matches!(origin, SampleOrigin::Sensor { .. }));
    let packing = triaged.and_then(|file| file.packing.as_ref()).filter(|packing| packing.verdict == "packed");
    let class_bits = triaged.and_then(|file| Some(file.elf.as_ref()?.class_bits));
    let of_sample = [
        (is_from_sensor, "honeypot"),
        (sample.essentials.iot == Some(true), "iot"),
        (sample.confidentiality == Confidentiality::Confidential, "confidential"),
        (packing.is_some(), "packed"),
        (class_bits == Some(64), "64bits"),
    ];
    let mut tags: BTreeSet<String> =
        of_sample.into_iter().filter(|(holds, _)| *holds).map(|(_, tag)| tag.to_owned()).collect();
    tags.extend(triaged.map(|file| kind(&file.kind).0.to_owned()));
    tags.extend(packing.and_then(|packing| packing.packer.clone()));
    tags.extend(Some(sample.essentials.processor.clone()).filter(|processor| !processor.is_empty()));
    tags
}

/// VirusTotal's word for a kind of file (`type_tag`), and how it describes it where that is not our own description.
fn kind(kind: &str) -> (&str, Option<&'static str>) {
    match kind {
        "elf" => ("elf", Some("ELF")),
        "script-shell" => ("shell", Some("Shell script")),
        "script-python" => ("python", Some("Python")),
        "script-perl" => ("perl", Some("Perl")),
        "script-php" => ("php", Some("PHP")),
        "script-ruby" => ("ruby", Some("Ruby")),
        "script-lua" => ("lua", Some("Lua")),
        "script-javascript" => ("javascript", Some("JavaScript")),
        "script-awk" => ("awk", Some("AWK")),
        "pe" => ("peexe", None),
        "mach-o" => ("macho", Some("Mach-O")),
        "data" | "empty" => ("unknown", Some("unknown")),
        other => (other, None),
    }
}

/// A rule of YARA, of ours or the operator's.
fn yara_result(hit: &RuleHit) -> Value {
    let meta = |name: &str| hit.meta.iter().find(|(key, _)| key == name).map_or("", |(_, value)| value);
    json!({
        "rule_name": hit.rule,
        "ruleset_name": hit.namespace,
        "source": ENGINE,
        "author": meta("author"),
        "description": meta("description"),
    })
}

fn analysis_id(sample: SampleDigest) -> String {
    format!("{ANALYSIS}{sample}")
}

fn analysis_links(base: &Base, sample: SampleDigest) -> Value {
    let link = base.link(&format!("analyses/{}", analysis_id(sample)));
    json!({"item": format!("{link}/item"), "self": link})
}

#[cfg(test)]
mod tests;
