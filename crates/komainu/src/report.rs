//! `komainu report`: what a recorded detonation, and the static triage beside it, say of a sample.

mod summary;

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use clap::{Args, ValueEnum};
use komainu_analysis::evidence::{Run, Sample};
use komainu_analysis::html::{self, Language};
use komainu_analysis::similarity::{Features, Index};
use komainu_analysis::{Evidence, RuleFile, RuleSet, analyse};
use komainu_model::Timestamp;
use komainu_ports::{Clock as _, SystemClock};
use komainu_sandbox::read_recording;
use komainu_stix::Marking;
use komainu_triage::shown;
use serde::Deserialize;

pub(crate) use self::summary::of as summary_of;

/// The longest static report, in bytes.
const STATIC_BYTES_MAX: u64 = 16 << 20;
/// The most files of an operator's rules.
const RULE_FILES_MAX: usize = 8192;

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
pub(crate) enum LanguageName {
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
        write(path, &komainu_stix::bundle_text(&komainu_lab::findings(&report, marking)))?;
    }
    let mut out = io::stdout().lock();
    if args.json {
        serde_json::to_writer_pretty(&mut out, &report).context("cannot print the report")?;
        writeln!(out)?;
    } else {
        let document = serde_json::to_string(&report).context("cannot write the report")?;
        out.write_all(summary_of(&document, args.language)?.as_bytes())?;
    }
    Ok(())
}

/// Our rules and those that are named. With `tell`, each file is said to be taken or not, on standard output; without,
/// only what is not taken is said.
pub(crate) fn rules(paths: &[PathBuf], tell: bool) -> anyhow::Result<RuleSet> {
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
        writeln!(out, "group {number}: {} samples {}", cluster.samples.len(), shown(families.join(", ").as_bytes()))?;
        for (one, other, reason) in &cluster.links {
            writeln!(
                out,
                "  {} like {}: {}",
                shown(one.as_bytes()),
                shown(other.as_bytes()),
                shown(reason.as_bytes())
            )?;
        }
    }
    Ok(())
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
    Ok(komainu_lab::run_of(&read_recording(folder)?))
}

fn sample(path: &Path) -> anyhow::Result<Sample> {
    let what = || format!("cannot read the static report {}", path.display());
    let bytes = read_at_most(path, STATIC_BYTES_MAX).with_context(what)?;
    // What `komainu triage` prints of a file has its path before the report, or is the report.
    let value: serde_json::Value = serde_json::from_slice(&bytes).with_context(what)?;
    let name = value.get("file").and_then(serde_json::Value::as_str).map(str::to_owned);
    let value = value.get("report").cloned().unwrap_or(value);
    let looked = komainu_lab::looked_at(&value.to_string(), name.as_deref()).with_context(what)?;
    Ok(looked.sample)
}

pub(crate) fn read_at_most(path: &Path, bytes_max: u64) -> anyhow::Result<Vec<u8>> {
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
