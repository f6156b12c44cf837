//! The process that looks at files, and the one that asks it.
//!
//! To the worker: each file of rules (1: its name, its namespace and its text with zero bytes between), that all were sent
//! (2), and then files (3). From it: that it is ready (4), and for each file a report as JSON (5).

use std::fs::File;
use std::io::{self, Read as _};
use std::os::unix::fs::FileTypeExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use komainu_confined::{ConfinedProcess, asker, confine, give_up_new_rights, receive, send};
use komainu_ports::{PayloadScanner as _, StaticReport, Triage, TriageError, TriageLevel};
use komainu_triage::{Outside, Report, RuleHit, Rules, SAMPLE_BYTES_MAX, shown, triage};
use komainu_yara::{Engine, RuleFile, RuleFiles};
use parking_lot::Mutex;

use crate::triage::WORKER_COMMAND;
use crate::triage::line::Line;

const RULES: u8 = 1;
const BEGIN: u8 = 2;
const SAMPLE: u8 = 3;
const READY: u8 = 4;
const REPORT: u8 = 5;

/// How long one file may take. 64 MiB of firmware take some seconds.
const FILE_TIME_MAX: Duration = Duration::from_secs(60);

/// How long compiling the rules may take; as for the process that only scans.
const COMPILE_TIME_MAX: Duration = Duration::from_secs(120);

/// Bytes of address space of a worker: the rules, and the members of containers within each other, each with at most
/// 64 MiB.
const WORKER_BYTES_MAX: u64 = 3 << 29;

/// Bytes of one report, written as JSON: 257 samples with all lists full, and each letter escaped.
const REPORT_BYTES_MAX: usize = 128 << 20;

/// Bytes of one file of rules with its name.
const RULES_BYTES_MAX: usize = 64 << 20;

/// Places of a rule's patterns that are told.
const OFFSETS_MAX: usize = 16;

/// Asks a process of its own, which it starts when there is something to look at. When the process dies or takes too
/// long, that file has no report, and the next one a new process.
#[derive(Debug)]
struct Worker {
    rules: Arc<RuleFiles>,
    arguments: Vec<String>,
    process: Option<ConfinedProcess>,
}

impl Worker {
    fn new(rules: Arc<RuleFiles>, arguments: Vec<String>) -> Self {
        Self { rules, arguments, process: None }
    }

    /// What the bytes are.
    fn triage(&mut self, bytes: &[u8]) -> Result<Report, TriageError> {
        if bytes.len() > SAMPLE_BYTES_MAX {
            return Err(TriageError::TooLarge { bytes: bytes.len(), bytes_max: SAMPLE_BYTES_MAX });
        }
        let process = match self.process.take() {
            Some(process) => process,
            None => self.start().map_err(|source| failed("starting the process that looks at samples", source))?,
        };
        // Only a process that answered is asked again.
        match ask(&process, bytes) {
            Ok(report) => {
                self.process = Some(process);
                Ok(report)
            }
            Err(error) if matches!(error.kind(), io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock) => {
                Err(TriageError::TimedOut { limit_ms: u64::try_from(FILE_TIME_MAX.as_millis()).unwrap_or(u64::MAX) })
            }
            Err(error) => Err(failed("asking the process that looks at samples: it died of this one", error)),
        }
    }

    fn start(&self) -> io::Result<ConfinedProcess> {
        let process = ConfinedProcess::start(&self.arguments)?;
        let mut until = process.within(COMPILE_TIME_MAX);
        for file in self.rules.files() {
            send(&mut until, RULES, &[file.name.as_bytes(), &[0], file.namespace.as_bytes(), &[0], &file.text])?;
        }
        send(&mut until, BEGIN, &[])?;
        match receive(&mut until, 0)? {
            Some((READY, _)) => Ok(process),
            Some(_) => Err(io::Error::new(io::ErrorKind::InvalidData, "no word about the rules")),
            None => Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }
}

fn ask(process: &ConfinedProcess, bytes: &[u8]) -> io::Result<Report> {
    let mut until = process.within(FILE_TIME_MAX);
    send(&mut until, SAMPLE, &[bytes])?;
    match receive(&mut until, REPORT_BYTES_MAX)? {
        Some((REPORT, json)) => Ok(serde_json::from_slice(&json)?),
        Some(_) => Err(io::Error::new(io::ErrorKind::InvalidData, "no report")),
        None => Err(io::ErrorKind::UnexpectedEof.into()),
    }
}

/// Looks at samples in a process of its own.
#[derive(Debug)]
pub(crate) struct TriageProcess {
    worker: Mutex<Worker>,
}

impl TriageProcess {
    /// Asks the built-in rules and those of `rules`.
    pub(crate) fn new(rules: Arc<RuleFiles>) -> Self {
        Self::with_arguments(rules, vec![WORKER_COMMAND.to_owned()])
    }

    /// With arguments that make this program call [`run`].
    pub(super) fn with_arguments(rules: Arc<RuleFiles>, arguments: Vec<String>) -> Self {
        Self { worker: Mutex::new(Worker::new(rules, arguments)) }
    }

    /// The number of the process, if it runs.
    #[cfg(test)]
    pub(super) fn id(&self) -> Option<u32> {
        self.worker.lock().process.as_ref().map(ConfinedProcess::id)
    }

    /// Looks at one file.
    pub(super) fn look(&self, path: &Path) -> Line {
        let outcome = match read(path) {
            Ok(bytes) => self.triage(&bytes).map_err(|error| one_line(&error)),
            Err(error) => Err(format!("cannot be read: {error}")),
        };
        Line::new(path, outcome)
    }
}

impl Triage for TriageProcess {
    fn triage(&self, contents: &[u8]) -> Result<StaticReport, TriageError> {
        let report = self.worker.lock().triage(contents)?;
        let level = match &*report.verdict.level {
            "malicious" => TriageLevel::Malicious,
            "suspicious" => TriageLevel::Suspicious,
            _ => TriageLevel::Unremarkable,
        };
        let json = serde_json::to_string(&report).expect("lists, texts and numbers are JSON");
        let Some(sample) = report.samples.into_iter().next() else {
            return Err(failed(
                "reading the report",
                io::Error::new(io::ErrorKind::InvalidData, "it is about nothing"),
            ));
        };
        Ok(StaticReport {
            json,
            sha256: sample.digests.sha256,
            kind: sample.kind,
            isa: sample.elf.map(|elf| elf.isa),
            level,
            family: report.verdict.family,
        })
    }
}

/// The bytes of a file that is neither a device nor a pipe; one byte too many says that it is too large.
fn read(path: &Path) -> io::Result<Vec<u8>> {
    let kind = std::fs::metadata(path)?.file_type();
    if kind.is_fifo() || kind.is_socket() || kind.is_char_device() || kind.is_block_device() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is no ordinary file"));
    }
    let mut bytes = Vec::new();
    File::open(path)?.take(SAMPLE_BYTES_MAX as u64 + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn failed(doing: &'static str, source: io::Error) -> TriageError {
    TriageError::Failed { doing, source: Box::new(source) }
}

/// An error with its causes.
fn one_line(error: &TriageError) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(next) = cause {
        text.push_str(&format!(": {next}"));
        cause = next.source();
    }
    shown(text.as_bytes())
}

/// The rules of YARA in this process.
struct EngineRules {
    engine: Engine,
}

impl Rules for EngineRules {
    fn ask(&self, contents: &[u8]) -> Result<Vec<RuleHit>, String> {
        let found = self.engine.scan(contents).map_err(|error| error.to_string())?;
        let hit = |one: komainu_ports::PayloadMatch| RuleHit {
            namespace: shown(one.namespace.as_bytes()),
            rule: one.rule,
            tags: one.tags,
            meta: one.meta.iter().map(|(name, value)| (shown(name.as_bytes()), shown(value.as_bytes()))).collect(),
            offsets: one.places.iter().take(OFFSETS_MAX).map(|place| place.offset).collect(),
        };
        Ok(found.into_iter().map(hit).collect())
    }
}

/// Is the process that looks at files: takes rules and then files from its standard input, which is a socket, and answers
/// there, until nobody asks any more.
pub(crate) fn run() -> anyhow::Result<()> {
    give_up_new_rights().context("cannot give up rights")?;
    let mut stream = asker().context("cannot find who asks")?;
    let mut files = Vec::new();
    loop {
        match receive(&mut stream, RULES_BYTES_MAX).context("cannot read the rules")? {
            Some((RULES, contents)) => files.push(rule_file(&contents).context("these are no rules")?),
            Some((BEGIN, _)) => break,
            Some(_) => anyhow::bail!("these are no rules"),
            None => return Ok(()),
        }
    }
    let (engine, _) = Engine::compile(&files);
    drop(files);
    // The engine starts its clock, a thread, with the first scan; afterwards no thread can be started. Tables that are
    // made at the first use are made here, too.
    let rules = EngineRules { engine };
    let _ = triage(b"\x7fELF", &rules, &Outside::default());
    confine(WORKER_BYTES_MAX).context("cannot give up rights")?;
    send(&mut stream, READY, &[]).context("cannot answer")?;
    while let Some((kind, contents)) = receive(&mut stream, SAMPLE_BYTES_MAX).context("cannot read a file")? {
        if kind != SAMPLE {
            anyhow::bail!("this is no file");
        }
        let report = triage(&contents, &rules, &Outside::default());
        let json = serde_json::to_vec(&report).context("cannot write a report")?;
        send(&mut stream, REPORT, &[&json]).context("cannot answer")?;
    }
    Ok(())
}

fn rule_file(contents: &[u8]) -> Option<RuleFile> {
    let mut parts = contents.splitn(3, |byte| *byte == 0);
    let mut text = || parts.next().map(|part| String::from_utf8_lossy(part).into_owned());
    let (name, namespace) = (text()?, text()?);
    Some(RuleFile { name, namespace, text: parts.next()?.to_vec() })
}
