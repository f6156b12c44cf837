//! The report: a document whose shape is published (docs/reports.md) and versioned.
//!
//! These types are that document and nothing else; what the analysis works with are types of its own. Texts that a sample
//! chose are printable, since they were escaped when they became facts.

use std::collections::{BTreeMap, BTreeSet};

use komainu_model::Timestamp;
use serde::Serialize;

use crate::behaviour::{self, Behaviour, RuleSet};
use crate::c2::{self, Role, Traffic};
use crate::conduct::{self, Conduct};
use crate::evidence::{Evidence, RunEnd};
use crate::fact::{Category, Fact, FactNumber, Facts};
use crate::similarity::Features;
use crate::verdict;

/// The version of the shape. It grows when a reader of the old shape would misunderstand the new one.
pub const REPORT_VERSION: u32 = 1;
/// The most lines of the timeline.
const TIMELINE_MAX: usize = 500;
/// The most processes of the tree.
const TREE_MAX: usize = 500;
/// So many rules and similar samples make a family; static triage asks for as many.
const FAMILY_VOTES_MIN: u32 = 2;
/// The most functions of the file that are told, as many as are compared.
const FUNCTIONS_MAX: usize = 512;
/// The most texts of the file that are told.
const TEXTS_MAX: usize = 200;

/// A report.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    /// [`REPORT_VERSION`].
    pub version: u32,
    /// When the analysis was made (RFC 3339).
    pub made: String,
    /// What to think of the sample.
    pub verdict: Verdict,
    /// The file.
    pub sample: Sample,
    /// Its runs.
    pub runs: Vec<Run>,
    /// What it does, worst first.
    pub behaviours: Vec<BehaviourSeen>,
    /// Endpoints, those that matter most first.
    pub endpoints: Vec<Endpoint>,
    /// Scans.
    pub scans: Vec<Scan>,
    /// How many different names and passwords were tried.
    pub credentials_tried: u64,
    /// The most often tried.
    pub credentials: Vec<Credential>,
    /// Downloads.
    pub downloads: Vec<Download>,
    /// Floods.
    pub floods: Vec<Flood>,
    /// Names that look generated.
    pub generated_names: Option<GeneratedNames>,
    /// Files through which it survives a restart.
    pub persistence: Vec<String>,
    /// Files that it wrote.
    pub dropped: Vec<Dropped>,
    /// Files that it removed to leave no trace.
    pub erased: Vec<String>,
    /// Programs of others that it stopped.
    pub killed: Vec<String>,
    /// What it looked at to notice an analysis.
    pub evasion: Vec<String>,
    /// What differs between an account's and the owner's rights; absent unless it ran as both.
    pub difference: Option<Difference>,
    /// Earlier samples that are alike, nearest first.
    pub similar: Vec<Similar>,
    /// Families that were named, with votes.
    pub families: Vec<Family>,
    /// Its processes.
    pub processes: Vec<Process>,
    /// What happened, in order: what behaviours rest on, and programs that were started.
    pub timeline: Vec<Evidenced>,
    /// What was not kept at a bound, and how often.
    pub left_out: BTreeMap<String, u64>,
    /// What the sandbox cut off.
    pub cut: Vec<String>,
}

/// A text in both languages.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Phrase {
    /// English.
    pub en: String,
    /// Japanese.
    pub ja: String,
}

fn english(phrases: &[behaviour::Phrase]) -> Vec<String> {
    phrases.iter().map(|phrase| phrase.en.clone()).collect()
}

fn japanese(phrases: &[behaviour::Phrase]) -> Vec<String> {
    phrases.iter().map(|phrase| phrase.ja.clone()).collect()
}

impl From<behaviour::Phrase> for Phrase {
    fn from(phrase: behaviour::Phrase) -> Self {
        Self { en: phrase.en, ja: phrase.ja }
    }
}

/// What to think of the sample.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Verdict {
    /// `malicious`, `suspicious`, `no_harm_seen` or `not_run`.
    pub level: &'static str,
    /// In words.
    pub title: Phrase,
    /// 0 to 100.
    pub score: u8,
    /// In a sentence.
    pub sentence: Phrase,
}

/// The file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Sample {
    /// What it was called, escaped.
    pub name: Option<String>,
    /// SHA-256.
    pub sha256: String,
    /// SHA-1.
    pub sha1: Option<String>,
    /// MD5.
    pub md5: Option<String>,
    /// Its length.
    pub bytes: u64,
    /// What it is.
    pub kind: String,
    /// The same in words.
    pub description: String,
    /// The instruction set.
    pub isa: Option<String>,
    /// `none`, `suspected` or `packed`.
    pub packing: Option<String>,
    /// Rules about contents that hold.
    pub rules: Vec<String>,
    /// Addresses, names and URLs in it.
    pub texts: Vec<SampleText>,
    /// TLSH of the file.
    pub tlsh: Option<String>,
    /// telfhash of its symbols.
    pub telfhash: Option<String>,
    /// Hashes of its functions, in 16 hexadecimal digits each.
    pub functions: Vec<String>,
}

/// A text in the file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SampleText {
    /// `url`, `ipv4`, `domain`, …
    pub kind: String,
    /// The text.
    pub value: String,
    /// Whether it was encoded.
    pub decoded: bool,
}

/// A run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Run {
    /// Its number.
    pub number: u16,
    /// The processor.
    pub isa: &'static str,
    /// `user` or `root`.
    pub run_as: &'static str,
    /// When it was started (RFC 3339).
    pub started: Option<String>,
    /// How long it ran.
    pub ran_for_ms: u64,
    /// `exited`, `quiet`, `time_over`, `guest_gone`, `not_run` or `bound`.
    pub end: &'static str,
    /// The reason, where there is one.
    pub end_reason: Option<String>,
    /// How many facts it gave.
    pub facts: u64,
}

/// A behaviour.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct BehaviourSeen {
    /// The name of the rule.
    pub rule: String,
    /// In a few words.
    pub title: Phrase,
    /// What it means.
    pub meaning: Phrase,
    /// `informational`, `low`, `medium`, `high` or `critical`.
    pub level: &'static str,
    /// What it adds to the verdict.
    pub score: u8,
    /// Under which heading it stands.
    pub kind: String,
    /// Techniques of ATT&CK.
    pub attack: Vec<String>,
    /// The runs.
    pub runs: Vec<u16>,
    /// How often.
    pub count: u64,
    /// The first facts.
    pub evidence: Vec<Evidenced>,
}

/// A fact in a line.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Evidenced {
    /// The run.
    pub run: Option<u16>,
    /// When, in microseconds since the sample was started.
    pub at_us: u64,
    /// The number of the fact.
    pub fact: u32,
    /// What it is about.
    pub category: &'static str,
    /// What it says.
    pub text: String,
}

/// An endpoint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Endpoint {
    /// The address.
    pub address: String,
    /// The port.
    pub port: u16,
    /// `tcp` or `udp`.
    pub protocol: &'static str,
    /// The names.
    pub names: Vec<String>,
    /// `command`, `download`, `report`, `resolver`, `time` or `ordinary`.
    pub role: &'static str,
    /// In percent.
    pub confidence: u8,
    /// Why.
    pub reasons: Vec<String>,
    /// The same in Japanese.
    pub reasons_ja: Vec<String>,
    /// Whether the address is the sample's; otherwise the simulated Internet made it up for a name.
    pub address_is_real: bool,
    /// When it was first spoken to.
    pub first_us: u64,
    /// How often.
    pub contacts: u64,
    /// The runs.
    pub runs: Vec<u16>,
    /// The first thing that was said to it, escaped.
    pub hello: Option<String>,
    /// The time between contacts, if they are regular.
    pub beacon_ms: Option<u64>,
    /// The numbers of facts.
    pub facts: Vec<u32>,
}

/// A scan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Scan {
    /// The port.
    pub port: u16,
    /// `tcp` or `udp`.
    pub protocol: String,
    /// How many addresses.
    pub addresses: u64,
    /// How many contacts in a second, in hundredths.
    pub per_second_hundredths: u64,
    /// `random`, `sequential`, `subnet`, `list` or `unknown`.
    pub generator: &'static str,
    /// Why.
    pub reasons: Vec<String>,
    /// The same in Japanese.
    pub reasons_ja: Vec<String>,
    /// Ranges that are left out.
    pub excluded: Vec<String>,
    /// Some addresses.
    pub examples: Vec<String>,
    /// The runs.
    pub runs: Vec<u16>,
    /// The numbers of facts.
    pub facts: Vec<u32>,
}

/// A name with its password.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Credential {
    /// The service.
    pub service: String,
    /// The name.
    pub user: String,
    /// The password.
    pub password: String,
    /// How often.
    pub count: u64,
}

/// A download.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Download {
    /// The URL, or the line of a command.
    pub url: String,
    /// Whether the sample did it; otherwise it told others to.
    pub by_sample: bool,
    /// The status.
    pub status: Option<u16>,
    /// The number of the fact.
    pub fact: u32,
}

/// A flood.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Flood {
    /// Of which packets.
    pub kind: String,
    /// Against whom.
    pub target: Option<String>,
    /// Against which port.
    pub port: Option<u16>,
    /// How many packets.
    pub packets: u64,
    /// How many in a second.
    pub per_second: u64,
    /// Whether senders were forged.
    pub forged_sources: bool,
    /// The number of the fact.
    pub fact: u32,
}

/// Names that look generated.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct GeneratedNames {
    /// How many.
    pub count: u64,
    /// How many do not exist.
    pub missing: u64,
    /// The first ones.
    pub examples: Vec<String>,
    /// Their endings.
    pub endings: Vec<String>,
}

/// A file that was written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Dropped {
    /// Where.
    pub path: String,
    /// Whether it was made executable.
    pub made_executable: bool,
    /// Whether it was run.
    pub was_run: bool,
    /// SHA-256, if the sandbox kept it.
    pub sha256: Option<String>,
    /// Its length.
    pub bytes: Option<i64>,
}

/// What differs between rights; the names of rules.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// Only as the owner of the machine.
    pub only_root: Vec<String>,
    /// Only as an account.
    pub only_user: Vec<String>,
}

/// An earlier sample that is alike.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Similar {
    /// Its SHA-256.
    pub sha256: String,
    /// Its family.
    pub family: Option<String>,
    /// How alike, in percent.
    pub percent: u8,
    /// Why.
    pub reasons: Vec<String>,
    /// The same in Japanese.
    pub reasons_ja: Vec<String>,
}

/// A family with its votes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Family {
    /// Its name.
    pub name: String,
    /// How many rules and similar samples say so.
    pub votes: u32,
}

/// A process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Process {
    /// The run.
    pub run: u16,
    /// Its number.
    pub pid: u32,
    /// Who made it.
    pub parent: Option<u32>,
    /// How deep it is in the tree.
    pub depth: u32,
    /// Its name.
    pub name: String,
    /// Its program.
    pub image: String,
    /// Its arguments.
    pub command_line: String,
    /// When it began.
    pub from_us: u64,
    /// When it ended.
    pub until_us: Option<u64>,
    /// As `wait` gives it.
    pub exit: Option<u32>,
}

/// Analyses all evidence of a sample. Same evidence, same rules, same time: same report.
pub fn analyse(evidence: &Evidence, rules: &RuleSet, now: Timestamp) -> Report {
    let mut facts = Facts::of(evidence);
    let (traffic, concluded) = c2::judge(&facts, &evidence.sample);
    facts.conclude(concluded);
    let (behaviours, bounds) = rules.behaviours(&facts);
    let conduct = conduct::of(evidence, &facts, &behaviours);
    let verdict = verdict::of(evidence, &behaviours, &traffic, &conduct);
    let mut left_out = facts.left_out.clone();
    if traffic.left_out > 0 {
        left_out.insert("endpoints and downloads".into(), traffic.left_out);
    }
    if conduct.left_out > 0 {
        left_out.insert("files and processes of the lists".into(), conduct.left_out);
    }
    left_out.extend(bounds.into_iter().map(|bound| (bound, 1)));
    let (timeline, more) = timeline(&facts, &behaviours);
    if more > 0 {
        left_out.insert("lines of the timeline".into(), more);
    }
    let (processes, more) = tree(&facts);
    if more > 0 {
        left_out.insert("processes of the tree".into(), more);
    }
    let texts_more = evidence.sample.texts.len().saturating_sub(TEXTS_MAX) as u64;
    if texts_more > 0 {
        left_out.insert("texts of the file".into(), texts_more);
    }
    let Conduct { persistence, dropped, erased, killed, evasion, difference, left_out: _ } = conduct;
    Report {
        version: REPORT_VERSION,
        made: rfc3339(now),
        verdict: Verdict {
            level: verdict.level.name(),
            title: verdict.level.title().into(),
            score: verdict.score,
            sentence: verdict.sentence.into(),
        },
        sample: sample(evidence),
        runs: runs(evidence, &facts),
        behaviours: behaviours.iter().map(|behaviour| seen(behaviour, &facts)).collect(),
        persistence,
        erased,
        killed,
        evasion,
        dropped: dropped
            .into_iter()
            .map(|file| Dropped {
                path: file.path,
                made_executable: file.made_executable,
                was_run: file.was_run,
                sha256: file.sha256,
                bytes: file.bytes,
            })
            .collect(),
        difference: difference
            .map(|difference| Difference { only_root: difference.only_root, only_user: difference.only_user }),
        similar: evidence
            .neighbours
            .iter()
            .map(|near| Similar {
                sha256: near.sha256.clone(),
                family: near.family.clone(),
                percent: near.percent,
                reasons: english(&near.reasons),
                reasons_ja: japanese(&near.reasons),
            })
            .collect(),
        families: families(evidence),
        processes,
        timeline,
        left_out,
        cut: evidence.runs.iter().flat_map(|run| run.cut.iter().cloned()).collect(),
        ..of_traffic(traffic)
    }
}

/// The part of a report that is about the network; the rest is empty.
fn of_traffic(traffic: Traffic) -> Report {
    let numbers = |facts: Vec<FactNumber>| facts.into_iter().map(|number| number.0).collect();
    Report {
        version: REPORT_VERSION,
        endpoints: traffic
            .endpoints
            .into_iter()
            .map(|endpoint| Endpoint {
                address: endpoint.address.to_string(),
                port: endpoint.port,
                protocol: endpoint.protocol,
                names: endpoint.names,
                role: endpoint.role.name(),
                confidence: endpoint.confidence,
                reasons: english(&endpoint.reasons),
                reasons_ja: japanese(&endpoint.reasons),
                address_is_real: endpoint.address_is_real,
                first_us: endpoint.first_us,
                contacts: endpoint.contacts,
                runs: endpoint.runs,
                hello: endpoint.hello,
                beacon_ms: endpoint.beacon.map(|beacon| beacon.period_ms),
                facts: numbers(endpoint.evidence),
            })
            .collect(),
        scans: traffic
            .scans
            .into_iter()
            .map(|scan| Scan {
                port: scan.port,
                protocol: scan.protocol,
                addresses: scan.addresses,
                per_second_hundredths: scan.per_second_hundredths,
                generator: scan.generator,
                reasons: english(&scan.reasons),
                reasons_ja: japanese(&scan.reasons),
                excluded: scan.excluded,
                examples: scan.examples.iter().map(ToString::to_string).collect(),
                runs: scan.runs,
                facts: numbers(scan.evidence),
            })
            .collect(),
        credentials_tried: traffic.credentials_tried,
        credentials: traffic
            .credentials
            .into_iter()
            .map(|credential| Credential {
                service: credential.service,
                user: credential.user,
                password: credential.password,
                count: credential.count,
            })
            .collect(),
        downloads: traffic
            .downloads
            .into_iter()
            .map(|download| Download {
                url: download.url,
                by_sample: download.by_sample,
                status: download.status,
                fact: download.evidence.0,
            })
            .collect(),
        floods: traffic
            .floods
            .into_iter()
            .map(|flood| Flood {
                kind: flood.kind,
                target: flood.target.map(|target| target.to_string()),
                port: flood.port,
                packets: flood.packets,
                per_second: flood.per_second,
                forged_sources: flood.forged_sources,
                fact: flood.evidence.0,
            })
            .collect(),
        generated_names: traffic.generated_names.map(|names| GeneratedNames {
            count: names.count,
            missing: names.missing,
            examples: names.examples,
            endings: names.endings,
        }),
        ..Report::default()
    }
}

impl Default for Report {
    /// A report about nothing.
    fn default() -> Self {
        Self {
            version: REPORT_VERSION,
            made: String::new(),
            verdict: Verdict {
                level: verdict::VerdictLevel::NotRun.name(),
                title: verdict::VerdictLevel::NotRun.title().into(),
                score: 0,
                sentence: Phrase::default(),
            },
            sample: Sample {
                name: None,
                sha256: String::new(),
                sha1: None,
                md5: None,
                bytes: 0,
                kind: String::new(),
                description: String::new(),
                isa: None,
                packing: None,
                rules: Vec::new(),
                texts: Vec::new(),
                tlsh: None,
                telfhash: None,
                functions: Vec::new(),
            },
            runs: Vec::new(),
            behaviours: Vec::new(),
            endpoints: Vec::new(),
            scans: Vec::new(),
            credentials_tried: 0,
            credentials: Vec::new(),
            downloads: Vec::new(),
            floods: Vec::new(),
            generated_names: None,
            persistence: Vec::new(),
            dropped: Vec::new(),
            erased: Vec::new(),
            killed: Vec::new(),
            evasion: Vec::new(),
            difference: None,
            similar: Vec::new(),
            families: Vec::new(),
            processes: Vec::new(),
            timeline: Vec::new(),
            left_out: BTreeMap::new(),
            cut: Vec::new(),
        }
    }
}

impl Report {
    /// The endpoints that give the sample orders.
    pub fn command_and_control(&self) -> impl Iterator<Item = &Endpoint> {
        self.endpoints.iter().filter(|endpoint| endpoint.role == Role::Command.name())
    }

    /// The family that it is most likely of: one vote alone names none.
    pub fn family(&self) -> Option<&str> {
        self.families.first().filter(|family| family.votes >= FAMILY_VOTES_MIN).map(|family| family.name.as_str())
    }

    /// What other samples are compared with.
    pub fn features(&self) -> Features {
        let endpoints = self.command_and_control().flat_map(|endpoint| {
            let address = endpoint.address_is_real.then_some(&endpoint.address);
            endpoint.names.iter().chain(address).map(move |host| format!("{host}:{}", endpoint.port))
        });
        Features {
            sha256: self.sample.sha256.clone(),
            family: self.family().map(ToOwned::to_owned),
            tlsh: self.sample.tlsh.clone(),
            telfhash: self.sample.telfhash.clone(),
            functions: self.sample.functions.iter().filter_map(|hash| u64::from_str_radix(hash, 16).ok()).collect(),
            behaviours: self.behaviours.iter().map(|behaviour| behaviour.rule.clone()).collect(),
            endpoints: endpoints.collect(),
        }
    }
}

fn sample(evidence: &Evidence) -> Sample {
    let sample = &evidence.sample;
    Sample {
        name: sample.name.as_ref().map(ToString::to_string),
        sha256: sample.sha256.clone(),
        sha1: sample.sha1.clone(),
        md5: sample.md5.clone(),
        bytes: sample.bytes,
        kind: sample.kind.clone(),
        description: sample.description.clone(),
        isa: sample.isa.clone(),
        packing: sample.packing.clone(),
        rules: sample.rules.clone(),
        texts: sample
            .texts
            .iter()
            .take(TEXTS_MAX)
            .map(|text| SampleText { kind: text.kind.clone(), value: text.value.clone(), decoded: text.decoded })
            .collect(),
        tlsh: sample.tlsh.clone(),
        telfhash: sample.telfhash.clone(),
        functions: sample.function_hashes.iter().take(FUNCTIONS_MAX).map(|hash| format!("{hash:016x}")).collect(),
    }
}

fn runs(evidence: &Evidence, facts: &Facts) -> Vec<Run> {
    let mut counts: BTreeMap<u16, u64> = BTreeMap::new();
    for run in facts.all().iter().filter_map(|fact| fact.run) {
        *counts.entry(run).or_default() += 1;
    }
    let runs = (0..).zip(evidence.runs.iter().take(crate::fact::RUNS_MAX));
    runs.map(|(number, run)| {
        let (end, end_reason) = match &run.end {
            RunEnd::Exited => ("exited", None),
            RunEnd::Quiet => ("quiet", None),
            RunEnd::TimeOver => ("time_over", None),
            RunEnd::GuestGone => ("guest_gone", None),
            RunEnd::NotRun(reason) => ("not_run", Some(reason.clone())),
            RunEnd::Bound(reason) => ("bound", Some(reason.clone())),
        };
        Run {
            number,
            isa: run.isa.name(),
            run_as: run.run_as.name(),
            started: run.started.map(rfc3339),
            ran_for_ms: run.ran_for_ms,
            end,
            end_reason,
            facts: counts.get(&number).copied().unwrap_or_default(),
        }
    })
    .collect()
}

fn seen(behaviour: &Behaviour, facts: &Facts) -> BehaviourSeen {
    let evidence = behaviour.evidence.iter().filter_map(|number| Some(evidenced(*number, facts.get(*number)?)));
    BehaviourSeen {
        rule: behaviour.key.clone(),
        title: behaviour.title.clone().into(),
        meaning: behaviour.description.clone().into(),
        level: behaviour.level.name(),
        score: behaviour.score,
        kind: behaviour.kind.clone(),
        attack: behaviour.techniques.clone(),
        runs: behaviour.runs.clone(),
        count: behaviour.count,
        evidence: evidence.collect(),
    }
}

fn evidenced(number: FactNumber, fact: &Fact) -> Evidenced {
    Evidenced { run: fact.run, at_us: fact.at_us, fact: number.0, category: fact.category.name(), text: fact.line() }
}

fn families(evidence: &Evidence) -> Vec<Family> {
    let mut votes: BTreeMap<&str, u32> = BTreeMap::new();
    for (name, count) in &evidence.sample.family_votes {
        *votes.entry(name).or_default() += count;
    }
    let near = evidence.neighbours.iter().filter(|near| near.percent >= crate::similarity::LINK_PERCENT);
    for name in near.filter_map(|near| near.family.as_deref()) {
        *votes.entry(name).or_default() += 1;
    }
    let mut families: Vec<Family> =
        votes.into_iter().map(|(name, votes)| Family { name: name.to_owned(), votes }).collect();
    families.sort_by_key(|family| std::cmp::Reverse(family.votes));
    families
}

fn timeline(facts: &Facts, behaviours: &[Behaviour]) -> (Vec<Evidenced>, u64) {
    let mut numbers: BTreeSet<FactNumber> =
        behaviours.iter().flat_map(|behaviour| behaviour.evidence.iter().copied()).collect();
    let starts = facts.numbered().filter(|(_, fact)| (fact.category, fact.action()) == (Category::Process, "exec"));
    numbers.extend(starts.map(|(number, _)| number).take(TIMELINE_MAX));
    let of_runs = numbers.iter().filter_map(|number| Some((*number, facts.get(*number)?)));
    // What was concluded happened at no time of its own.
    let of_runs = of_runs.filter(|(_, fact)| fact.run.is_some() && fact.category != Category::Finding);
    let mut lines: Vec<Evidenced> = of_runs.map(|(number, fact)| evidenced(number, fact)).collect();
    lines.sort_by_key(|line| (line.run, line.at_us, line.fact));
    let more = lines.len().saturating_sub(TIMELINE_MAX) as u64;
    lines.truncate(TIMELINE_MAX);
    (lines, more)
}

/// The processes in the order of a tree: each before its children.
fn tree(facts: &Facts) -> (Vec<Process>, u64) {
    // A number may be taken again within a run; the latest process of a number has the later children.
    let mut children: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    let mut roots = Vec::new();
    let mut latest: BTreeMap<(u16, u32), usize> = BTreeMap::new();
    for (place, process) in facts.processes.iter().enumerate() {
        match process.parent.and_then(|parent| latest.get(&(process.run, parent))) {
            Some(parent) => children.entry(*parent).or_default().push(place),
            None => roots.push(place),
        }
        latest.insert((process.run, process.pid), place);
    }
    let mut stack: Vec<(usize, u32)> = roots.into_iter().rev().map(|root| (root, 0)).collect();
    let mut tree = Vec::new();
    while let Some((place, depth)) = stack.pop() {
        if let Some(process) = facts.processes.get(place) {
            tree.push(Process {
                run: process.run,
                pid: process.pid,
                parent: process.parent,
                depth,
                name: process.name.clone(),
                image: process.image.clone(),
                command_line: process.command_line.clone(),
                from_us: process.from_us,
                until_us: process.until_us,
                exit: process.exit,
            });
        }
        let below = children.get(&place).map(Vec::as_slice).unwrap_or_default();
        stack.extend(below.iter().rev().map(|child| (*child, depth + 1)));
    }
    let more = tree.len().saturating_sub(TREE_MAX) as u64;
    tree.truncate(TREE_MAX);
    (tree, more)
}

fn rfc3339(at: Timestamp) -> String {
    let at = jiff::Timestamp::from_millisecond(at.unix_millis()).unwrap_or_default();
    format!("{at:.3}")
}

#[cfg(test)]
mod tests;
