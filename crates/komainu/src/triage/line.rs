//! What came of one file, as a line of JSON; and the file in which such lines stand, so that a run can go on.

use std::fs::{File, OpenOptions};
use std::io::{BufRead as _, BufReader, Seek as _, SeekFrom, Write as _};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use anyhow::{Context, bail};
use komainu_ports::{StaticReport, TriageLevel};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::triage::Done;

/// What came of one file.
pub(super) struct Line {
    file: String,
    json: String,
    outcome: Result<StaticReport, String>,
}

/// The line as it is written.
#[derive(Serialize)]
struct Wire<'a> {
    file: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    report: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'a str>,
}

/// What is read of a line to go on.
#[derive(Deserialize)]
struct Head {
    file: String,
}

impl Line {
    pub(super) fn new(path: &Path, outcome: Result<StaticReport, String>) -> Self {
        let file = name(path);
        let raw = outcome.as_ref().ok().map(|report| {
            serde_json::from_str::<&RawValue>(&report.json).expect("an engine writes its reports as JSON")
        });
        let wire = Wire { file: &file, report: raw, error: outcome.as_ref().err().map(String::as_str) };
        let json = serde_json::to_string(&wire).expect("lists, texts and numbers are JSON");
        Self { file, json, outcome }
    }

    /// The name of the file, as it is in JSON; not fit for a terminal.
    pub(super) fn file(&self) -> &str {
        &self.file
    }

    pub(super) fn json(&self) -> &str {
        &self.json
    }

    /// The report, as JSON.
    pub(super) fn report(&self) -> Option<&str> {
        self.outcome.as_ref().ok().map(|report| &*report.json)
    }

    pub(super) fn level(&self) -> Option<TriageLevel> {
        self.outcome.as_ref().ok().map(|report| report.level)
    }

    pub(super) fn error(&self) -> Option<&str> {
        self.outcome.as_ref().err().map(String::as_str)
    }
}

/// The name of a file in lines: its path; where that is no UTF-8, its bytes escaped behind the word `bytes:`.
pub(super) fn name(path: &Path) -> String {
    match path.to_str() {
        Some(path) => path.to_owned(),
        None => format!("bytes:{}", path.as_os_str().as_bytes().escape_ascii()),
    }
}

/// The file that a run goes on with: it has the lines of all files that are done, each once.
pub(super) struct Resumed {
    file: File,
    pub(super) done: Done,
}

impl Resumed {
    /// Opens or makes it. A last line that was not written to its end is cut off: its file is looked at again. No other
    /// run may use it at the same time.
    pub(super) fn open(path: &Path) -> anyhow::Result<Self> {
        let opened = OpenOptions::new().read(true).append(true).create(true).open(path);
        let mut file = opened.with_context(|| super::cannot("open", path))?;
        if file.try_lock().is_err() {
            bail!("another run uses {}", path.display());
        }
        let mut done = Done::new();
        let mut whole_bytes = 0;
        let mut line = Vec::new();
        let mut reader = BufReader::new(&file);
        loop {
            line.clear();
            let bytes = reader.read_until(b'\n', &mut line).with_context(|| super::cannot("read", path))?;
            if bytes == 0 {
                break;
            }
            if line.last() != Some(&b'\n') {
                break;
            }
            let head: Head = serde_json::from_slice(&line)
                .with_context(|| format!("{} is not what `komainu triage --resume` writes", path.display()))?;
            done.insert(head.file);
            whole_bytes += bytes as u64;
        }
        file.set_len(whole_bytes).with_context(|| super::cannot("shorten", path))?;
        file.seek(SeekFrom::End(0)).with_context(|| super::cannot("read", path))?;
        Ok(Self { file, done })
    }

    /// Adds a line, in one piece.
    pub(super) fn append(&mut self, line: &Line) -> anyhow::Result<()> {
        self.file.write_all(format!("{}\n", line.json()).as_bytes()).context("cannot write the state of the run")
    }
}
