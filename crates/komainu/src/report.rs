//! `komainu report`: what a recorded detonation, and the static triage beside it, say of a sample.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use clap::{Args, ValueEnum};
use komainu_analysis::evidence::{DroppedFile, Run, RunAs, RunEnd, Sample, StaticText};
use komainu_analysis::html::{self, Language};
use komainu_analysis::report::Report;
use komainu_analysis::similarity::{Features, Index};
use komainu_analysis::{Evidence, RuleFile, RuleSet, analyse, texts};
use komainu_model::Timestamp;
use komainu_ports::{Clock as _, SystemClock};
use komainu_stix::{AnalysisResult, Endpoint, EndpointRole, Findings, Marking};
use komainu_trace::{GuestIsa, GuestItem, GuestReader, RawText};
use serde::Deserialize;

/// The longest recorded stream of a guest, in bytes: what the sandbox records at most, and a little.
const STREAM_BYTES_MAX: u64 = 72 << 20;
/// The longest line of a record, in bytes.
const LINE_BYTES_MAX: u64 = 1 << 20;
/// The longest static report, in bytes.
const STATIC_BYTES_MAX: u64 = 16 << 20;
/// The most events of either kind of a run; the analysis keeps fewer, and counts.
const EVENTS_MAX: usize = 500_000;
/// The most texts of a run's memory.
const MEMORY_TEXTS_MAX: usize = 2000;
/// How much of a stream is given to its reader at once.
const PIECE_BYTES: usize = 1 << 20;
/// The most files of an operator's rules.
const RULE_FILES_MAX: usize = 8192;
/// The resolver that the simulated Internet gives to guests.
const RESOLVER: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 168, 1, 1));

/// Options of `komainu report`.
#[derive(Debug, Args)]
pub(crate) struct ReportArgs {
    /// A folder as `komainu sandbox run --out` writes it, or one with several of them in it.
    #[arg(value_name = "DIR", required_unless_present_any = ["check_rules", "earlier"])]
    folder: Option<PathBuf>,
    /// What `komainu triage --json` said of the sample; `static.json` in the folder if there is one.
    #[arg(long = "static", value_name = "FILE")]
    static_report: Option<PathBuf>,
    /// A file with rules in Sigma, or a folder with such files, beside ours. May be given several times.
    #[arg(long, value_name = "FILE|DIR")]
    rules: Vec<PathBuf>,
    /// Only say which rules are taken.
    #[arg(long)]
    check_rules: bool,
    /// A folder with earlier reports as `--json` prints them: those about samples that are alike are told. Without DIR the
    /// groups of them are printed.
    #[arg(long, value_name = "DIR")]
    earlier: Option<PathBuf>,
    /// Print the whole report as JSON instead of a summary.
    #[arg(long)]
    json: bool,
    /// Write a page of HTML.
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// The language of the page and of the summary.
    #[arg(long, value_enum, default_value_t = LanguageName::En)]
    language: LanguageName,
    /// Write a bundle of STIX 2.1.
    #[arg(long, value_name = "FILE")]
    stix: Option<PathBuf>,
    /// Who may see the bundle (Traffic Light Protocol).
    #[arg(long, value_enum, default_value_t = MarkingName::Green)]
    tlp: MarkingName,
    /// The time of the report, in seconds since 1970; now without it.
    #[arg(long, value_name = "SECONDS")]
    at: Option<i64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum LanguageName {
    En,
    Ja,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum MarkingName {
    White,
    Green,
    Amber,
    Red,
}

/// Analyses what was recorded.
pub(crate) fn run(args: &ReportArgs) -> anyhow::Result<()> {
    let rules = rules(&args.rules, args.check_rules)?;
    let index = args.earlier.as_deref().map(earlier).transpose()?;
    let Some(folder) = &args.folder else {
        return match index {
            Some(index) => print_groups(&index),
            None => Ok(()),
        };
    };
    let mut evidence = Evidence { runs: runs(folder)?, ..Evidence::default() };
    let beside = folder.join("static.json");
    let static_report = args.static_report.clone().or_else(|| beside.is_file().then_some(beside));
    if let Some(path) = static_report {
        evidence.sample = sample(&path)?;
    }
    let now = match args.at {
        Some(seconds) => Timestamp::from_unix_seconds(seconds),
        None => SystemClock.now(),
    };
    let mut report = analyse(&evidence, &rules, now);
    if let Some(index) = index {
        // What is compared is a part of the report, and who is alike another.
        evidence.neighbours = index.nearest(&report.features());
        report = analyse(&evidence, &rules, now);
    }
    if let Some(path) = &args.html {
        let language = match args.language {
            LanguageName::En => Language::English,
            LanguageName::Ja => Language::Japanese,
        };
        write(path, &html::page(&report, language))?;
    }
    if let Some(path) = &args.stix {
        let marking = match args.tlp {
            MarkingName::White => Marking::White,
            MarkingName::Green => Marking::Green,
            MarkingName::Amber => Marking::Amber,
            MarkingName::Red => Marking::Red,
        };
        write(path, &komainu_stix::bundle_text(&findings(&report, marking)))?;
    }
    let mut out = io::stdout().lock();
    if args.json {
        serde_json::to_writer_pretty(&mut out, &report).context("cannot print the report")?;
        writeln!(out)?;
    } else {
        out.write_all(summary(&report, args.language).as_bytes())?;
    }
    Ok(())
}

/// Our rules and those that are named. With `tell`, each file is said to be taken or not, on standard output; without,
/// only what is not taken is said.
fn rules(paths: &[PathBuf], tell: bool) -> anyhow::Result<RuleSet> {
    let mut files = Vec::new();
    for path in paths {
        collect(path, &mut files)?;
    }
    let (set, problems) = RuleSet::with(&files);
    if !tell {
        problems.iter().for_each(|problem| eprintln!("not taken: {problem}"));
        return Ok(set);
    }
    let mut out = io::stdout().lock();
    let theirs: BTreeSet<&str> = files.iter().map(|file| file.name.as_str()).collect();
    for rule in set.rules().iter().filter(|rule| theirs.contains(rule.file.as_str())) {
        writeln!(out, "taken: {}:{}: {}", rule.file, rule.line, rule.title)?;
    }
    for problem in &problems {
        writeln!(out, "not taken: {problem}")?;
    }
    let taken = set.rules().iter().filter(|rule| theirs.contains(rule.file.as_str())).count();
    writeln!(
        out,
        "{taken} rules taken, {} problems, beside {} rules of ours",
        problems.len(),
        set.rules().len() - taken
    )?;
    if !problems.is_empty() {
        bail!("{} rules are not taken", problems.len());
    }
    Ok(set)
}

/// The files of a path, by name: folders are gone through, links are not followed.
fn collect(path: &Path, files: &mut Vec<RuleFile>) -> anyhow::Result<()> {
    let what = || format!("cannot read the rules in {}", path.display());
    if path.is_dir() && !path.is_symlink() {
        let entries = fs::read_dir(path).with_context(what)?.collect::<Result<Vec<_>, _>>().with_context(what)?;
        let mut paths: Vec<PathBuf> = entries.into_iter().map(|entry| entry.path()).collect();
        paths.sort();
        let is_rule = |path: &Path| path.extension().is_some_and(|ending| ending == "yml" || ending == "yaml");
        for path in paths.iter().filter(|path| path.is_dir() || is_rule(path)) {
            if !path.is_symlink() {
                collect(path, files)?;
            }
        }
        return Ok(());
    }
    if files.len() == RULE_FILES_MAX {
        bail!("more than {RULE_FILES_MAX} files of rules");
    }
    let bytes = read_at_most(path, STATIC_BYTES_MAX).with_context(what)?;
    let text = String::from_utf8(bytes).with_context(what)?;
    files.push(RuleFile { name: path.display().to_string(), text });
    Ok(())
}

/// A report as it was printed, as far as samples are compared by it.
#[derive(Deserialize)]
struct EarlierReport {
    sample: EarlierSample,
    behaviours: Vec<EarlierBehaviour>,
    endpoints: Vec<EarlierEndpoint>,
    families: Vec<EarlierFamily>,
}

#[derive(Deserialize)]
struct EarlierSample {
    sha256: String,
    tlsh: Option<String>,
    telfhash: Option<String>,
    functions: Vec<String>,
}

#[derive(Deserialize)]
struct EarlierBehaviour {
    rule: String,
}

#[derive(Deserialize)]
struct EarlierEndpoint {
    address: String,
    port: u16,
    names: Vec<String>,
    role: String,
    address_is_real: bool,
}

#[derive(Deserialize)]
struct EarlierFamily {
    name: String,
}

impl EarlierReport {
    fn features(self) -> Features {
        let command = self.endpoints.into_iter().filter(|endpoint| endpoint.role == "command");
        let hosts = command.flat_map(|endpoint| {
            let address = endpoint.address_is_real.then_some(endpoint.address);
            endpoint.names.into_iter().chain(address).map(move |host| format!("{host}:{}", endpoint.port))
        });
        Features {
            sha256: self.sample.sha256,
            family: self.families.into_iter().next().map(|family| family.name),
            tlsh: self.sample.tlsh,
            telfhash: self.sample.telfhash,
            functions: self.sample.functions.iter().filter_map(|hash| u64::from_str_radix(hash, 16).ok()).collect(),
            behaviours: self.behaviours.into_iter().map(|behaviour| behaviour.rule).collect(),
            endpoints: hosts.collect(),
        }
    }
}

/// The index of a folder of reports, in the order of their names.
fn earlier(folder: &Path) -> anyhow::Result<Index> {
    let what = || format!("cannot list {}", folder.display());
    let entries = fs::read_dir(folder).with_context(what)?.collect::<Result<Vec<_>, _>>().with_context(what)?;
    let mut paths: Vec<PathBuf> = entries.into_iter().map(|entry| entry.path()).collect();
    paths.retain(|path| path.extension().is_some_and(|ending| ending == "json"));
    paths.sort();
    let mut index = Index::default();
    for path in paths {
        let bytes = read_at_most(&path, STATIC_BYTES_MAX)?;
        match serde_json::from_slice::<EarlierReport>(&bytes) {
            Ok(report) => {
                index.add(&report.features());
            }
            Err(error) => eprintln!("not a report: {}: {error}", path.display()),
        }
    }
    if index.left_out > 0 {
        eprintln!("{} reports are beyond what is compared", index.left_out);
    }
    Ok(index)
}

fn print_groups(index: &Index) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    for (number, cluster) in (1..).zip(index.clusters()) {
        let families: Vec<String> = cluster.families.iter().map(|(name, count)| format!("{name} ({count})")).collect();
        writeln!(out, "group {number}: {} samples {}", cluster.samples.len(), printable(&families.join(", ")))?;
        for (one, other, reason) in &cluster.links {
            writeln!(out, "  {} like {}: {}", printable(one), printable(other), printable(reason))?;
        }
    }
    Ok(())
}

/// `detonation.json`, as far as it matters here (docs/sandbox.md).
#[derive(Deserialize)]
struct Head {
    isa: GuestIsa,
    as_root: bool,
    started_ms: i64,
    ran_for_us: u64,
    end: End,
    cut: Vec<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum End {
    Exited,
    Quiet,
    TimeOver,
    GuestGone,
    NotRun(String),
    Bound(String),
}

/// A line of `files.jsonl`, as far as it matters here.
#[derive(Deserialize)]
struct FileLine {
    path: RawText,
    change: String,
    bytes: u64,
    sha256: Option<String>,
}

/// The runs of a folder: itself, or each folder in it, by name.
fn runs(folder: &Path) -> anyhow::Result<Vec<Run>> {
    if folder.join("detonation.json").is_file() {
        return Ok(vec![run_of(folder).with_context(|| format!("cannot read {}", folder.display()))?]);
    }
    let what = || format!("cannot list {}", folder.display());
    let entries = fs::read_dir(folder).with_context(what)?.collect::<Result<Vec<_>, _>>().with_context(what)?;
    let mut folders: Vec<PathBuf> = entries.into_iter().map(|entry| entry.path()).collect();
    folders.retain(|path| path.join("detonation.json").is_file());
    // An account's run first, as the sandbox makes them.
    folders.sort_by_key(|path| std::cmp::Reverse(path.clone()));
    let runs = folders.iter().map(|path| run_of(path).with_context(|| format!("cannot read {}", path.display())));
    runs.collect()
}

fn run_of(folder: &Path) -> anyhow::Result<Run> {
    let head: Head = serde_json::from_slice(&read_at_most(&folder.join("detonation.json"), LINE_BYTES_MAX)?)
        .context("cannot read detonation.json")?;
    let mut run = Run {
        isa: head.isa,
        run_as: if head.as_root { RunAs::Root } else { RunAs::User },
        started: Some(Timestamp::from_unix_millis(head.started_ms)),
        ran_for_ms: head.ran_for_us / 1000,
        end: match head.end {
            End::Exited => RunEnd::Exited,
            End::Quiet => RunEnd::Quiet,
            End::TimeOver => RunEnd::TimeOver,
            End::GuestGone => RunEnd::GuestGone,
            End::NotRun(reason) => RunEnd::NotRun(printable(&reason)),
            End::Bound(reason) => RunEnd::Bound(printable(&reason)),
        },
        sample_path: RawText::default(),
        network_before_us: 0,
        resolver: RESOLVER,
        guest: Vec::new(),
        network: Vec::new(),
        memory: Vec::new(),
        dropped: Vec::new(),
        cut: head.cut.iter().map(|text| printable(text)).collect(),
    };
    guest(&read_at_most(&folder.join("guest.stream"), STREAM_BYTES_MAX).context("cannot read guest.stream")?, &mut run);
    let mut broken = 0u64;
    each_line(&folder.join("network.jsonl"), |line| match serde_json::from_slice(line) {
        Ok(event) => run.network.push(event),
        Err(_) => broken += 1,
    })?;
    each_line(&folder.join("files.jsonl"), |line| match serde_json::from_slice::<FileLine>(line) {
        Ok(FileLine { path, change, bytes, sha256: Some(sha256) }) if change != "removed" => {
            run.dropped.push(DroppedFile { path, sha256: printable(&sha256), bytes });
        }
        Ok(_) => {}
        Err(_) => broken += 1,
    })?;
    if broken > 0 {
        run.cut.push(format!("{broken} lines of the record could not be read"));
    }
    Ok(run)
}

/// Reads what the guest said.
fn guest(stream: &[u8], run: &mut Run) {
    let mut reader = GuestReader::default();
    let mut sample = None;
    let mut memory = texts::Finder::new(MEMORY_TEXTS_MAX);
    let (mut more, mut problems) = (0u64, 0u64);
    let mut take = |items: Vec<GuestItem>, run: &mut Run| {
        for item in items {
            match item {
                GuestItem::Started { pid } => sample = sample.or(Some(pid)),
                GuestItem::Event { event, .. } => {
                    if let komainu_trace::guest::GuestAct::Exec { path, .. } = &event.act
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
    run.cut.truncate(256);
    if more > 0 {
        run.cut.push(format!("{more} events of the guest are beyond the {EVENTS_MAX} that are read"));
    }
    if problems > 0 {
        run.cut.push(format!("{problems} pieces of the guest's stream could not be understood"));
    }
}

/// `static.json`, as far as it matters here (docs/triage.md).
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
    votes: Vec<(String, u32)>,
}

fn sample(path: &Path) -> anyhow::Result<Sample> {
    let what = || format!("cannot read the static report {}", path.display());
    let bytes = read_at_most(path, STATIC_BYTES_MAX).with_context(what)?;
    // What `komainu triage` prints of a file has its path before the report, or is the report.
    let value: serde_json::Value = serde_json::from_slice(&bytes).with_context(what)?;
    let name = value.get("file").and_then(serde_json::Value::as_str).map(RawText::from);
    let value = value.get("report").cloned().unwrap_or(value);
    let report: StaticReport = serde_json::from_value(value).with_context(what)?;
    let Some(of) = report.samples.into_iter().next() else { bail!("{} is about no sample", path.display()) };
    let (isa, telfhash, hashes) = match of.elf {
        Some(elf) => (Some(elf.isa), elf.telfhash, elf.functions.hashes),
        None => (None, None, Vec::new()),
    };
    Ok(Sample {
        name: of.name.as_deref().map(RawText::from).or(name),
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
        texts: of
            .findings
            .into_iter()
            .map(|finding| StaticText {
                kind: finding.kind,
                value: finding.value,
                decoded: finding.source.starts_with("decoded"),
            })
            .collect(),
        credentials: of.credentials.map(|credentials| credentials.words).unwrap_or_default(),
        tlsh: of.digests.tlsh,
        telfhash,
        function_hashes: hashes.iter().filter_map(|hash| u64::from_str_radix(hash, 16).ok()).collect(),
    })
}

fn findings(report: &Report, marking: Marking) -> Findings {
    let endpoint = |endpoint: &komainu_analysis::report::Endpoint| {
        let role = match endpoint.role {
            "command" => EndpointRole::Command,
            "download" => EndpointRole::Download,
            "report" => EndpointRole::Report,
            _ => return None,
        };
        Some(Endpoint {
            address: if endpoint.address_is_real { endpoint.address.parse().ok() } else { None },
            names: endpoint.names.clone(),
            port: endpoint.port,
            protocol: endpoint.protocol.to_owned(),
            role,
            confidence: endpoint.confidence,
            reasons: endpoint.reasons.clone(),
        })
    };
    let techniques = report.behaviours.iter().flat_map(|behaviour| {
        behaviour.attack.iter().map(|technique| (technique.clone(), behaviour.meaning.en.clone()))
    });
    let mut isas: Vec<String> = report.sample.isa.iter().cloned().collect();
    isas.extend(report.runs.iter().map(|run| run.isa.to_owned()));
    Findings {
        by: "Komainu malware laboratory".into(),
        version: env!("CARGO_PKG_VERSION").into(),
        made: report.made.clone(),
        began: report.runs.iter().filter_map(|run| run.started.clone()).min(),
        file: komainu_stix::File {
            name: report.sample.name.clone(),
            bytes: report.sample.bytes,
            sha256: report.sample.sha256.clone(),
            sha1: report.sample.sha1.clone(),
            md5: report.sample.md5.clone(),
        },
        family: report.families.first().map(|family| family.name.clone()),
        result: match report.verdict.level {
            "malicious" => AnalysisResult::Malicious,
            "suspicious" => AnalysisResult::Suspicious,
            _ => AnalysisResult::Unknown,
        },
        sentence_en: report.verdict.sentence.en.clone(),
        sentence_ja: report.verdict.sentence.ja.clone(),
        isas,
        kinds: report.behaviours.iter().map(|behaviour| behaviour.kind.clone()).collect(),
        techniques: techniques.collect(),
        endpoints: report.endpoints.iter().filter_map(endpoint).collect(),
        dropped: report.dropped.iter().filter_map(|file| Some((file.path.clone(), file.sha256.clone()?))).collect(),
        marking,
    }
}

fn summary(report: &Report, language: LanguageName) -> String {
    use std::fmt::Write as _;

    let say = |phrase: &komainu_analysis::report::Phrase| match language {
        LanguageName::En => phrase.en.clone(),
        LanguageName::Ja => phrase.ja.clone(),
    };
    let mut text = String::new();
    // Writing to a string cannot fail.
    let _ =
        writeln!(text, "{} ({}): {}", say(&report.verdict.title), report.verdict.score, say(&report.verdict.sentence));
    let _ = writeln!(text, "  {}", report.sample.sha256);
    for run in &report.runs {
        let _ =
            writeln!(text, "  run {}: {} as {}, {} ms, {}", run.number, run.isa, run.run_as, run.ran_for_ms, run.end);
    }
    for endpoint in report.endpoints.iter().filter(|endpoint| endpoint.role != "ordinary") {
        let host = endpoint.names.first().unwrap_or(&endpoint.address);
        let _ = writeln!(
            text,
            "  {:8} {host}:{}/{} ({} %)",
            endpoint.role, endpoint.port, endpoint.protocol, endpoint.confidence
        );
    }
    for behaviour in &report.behaviours {
        let attack = behaviour.attack.join(" ");
        let _ = writeln!(text, "  {:13} {} {attack} ×{}", behaviour.level, say(&behaviour.title), behaviour.count);
    }
    text
}

/// Texts of records without what a terminal would obey.
fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).take(1024).collect()
}

fn each_line(path: &Path, mut take: impl FnMut(&[u8])) -> anyhow::Result<()> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error).with_context(|| format!("cannot read {}", path.display())),
    };
    let mut lines = BufReader::new(file);
    let mut line = Vec::new();
    for _ in 0..EVENTS_MAX {
        line.clear();
        (&mut lines).take(LINE_BYTES_MAX).read_until(b'\n', &mut line)?;
        if line.is_empty() {
            break;
        }
        take(&line);
    }
    Ok(())
}

fn read_at_most(path: &Path, bytes_max: u64) -> anyhow::Result<Vec<u8>> {
    let mut contents = Vec::new();
    let file = File::open(path).with_context(|| format!("cannot read {}", path.display()))?;
    file.take(bytes_max + 1).read_to_end(&mut contents).with_context(|| format!("cannot read {}", path.display()))?;
    if contents.len() as u64 > bytes_max {
        bail!("{} has more than {bytes_max} bytes", path.display());
    }
    Ok(contents)
}

fn write(path: &Path, text: &str) -> anyhow::Result<()> {
    fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
}
