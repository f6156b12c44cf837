//! `komainu triage`: what files are, each looked at in a process that can open nothing.

mod files;
mod line;
mod show;
mod worker;

use std::collections::{BTreeMap, HashSet};
use std::io::{self, IsTerminal as _, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, PoisonError, mpsc};
use std::thread;
use std::time::Duration;

use anyhow::{Context, bail};
use clap::Args;
use komainu_ports::TriageLevel;
use komainu_yara::RuleFiles;

use crate::triage::line::{Line, Resumed};
pub(crate) use crate::triage::worker::{TriageProcess, run as run_worker};

/// The hidden command by which this program becomes the process that looks at files.
pub(crate) const WORKER_COMMAND: &str = "triage-worker";

/// Workers at most, whatever the machine has: each has its own rules in memory.
const WORKERS_MAX: usize = 64;

/// Files that are looked at, or are done and wait for an earlier one: reports are written in the order of the files, and
/// so many of them stay in memory.
const WINDOW_FILES: usize = 64;

/// How often the line on the terminal that says how far it is changes.
const PROGRESS_EVERY: Duration = Duration::from_millis(200);

/// Options of `komainu triage`.
#[derive(Debug, Args)]
pub(crate) struct TriageArgs {
    /// Files, or folders whose files are looked at, at any depth. Links in folders are not followed.
    #[arg(required = true, value_name = "FILE|FOLDER")]
    paths: Vec<PathBuf>,
    /// Print one line of JSON for each file.
    #[arg(long)]
    json: bool,
    /// A file with rules of YARA, or a folder with such files, beside the rules that are built in. May be given several
    /// times.
    #[arg(long, value_name = "FILE|DIR")]
    yara: Vec<PathBuf>,
    /// Write the lines of JSON to this file; when it exists, go on after what stands in it.
    #[arg(long, value_name = "STATE")]
    resume: Option<PathBuf>,
    /// How many files are looked at at the same time; one for each processor if it is not given.
    #[arg(long, value_name = "N")]
    workers: Option<usize>,
}

/// Looks at the files.
pub(crate) fn run(args: &TriageArgs) -> anyhow::Result<()> {
    let rules = Arc::new(RuleFiles::read(&args.yara)?);
    let mut files = files::list(&args.paths)?;
    let total = files.len();
    let state = args.resume.as_deref().map(Resumed::open).transpose()?;
    let done = state.as_ref().map(|state| state.done.clone()).unwrap_or_default();
    files.retain(|file| !done.contains(&line::name(file)));
    let processors = thread::available_parallelism().map_or(1, usize::from);
    let count = args.workers.unwrap_or(processors).clamp(1, WORKERS_MAX).min(files.len().max(1));
    let mut out = Output {
        state,
        is_json: args.json,
        is_quiet: args.resume.is_some() && !args.json,
        totals: Totals::default(),
        progress: Progress::of(total, done.len(), args),
    };
    each(&files, &rules, count, &mut |line| out.write(line))?;
    out.finish()
}

/// Has every file looked at, and hands over what came of it in the order of the files.
fn each(
    files: &[PathBuf],
    rules: &Arc<RuleFiles>,
    workers: usize,
    take: &mut dyn FnMut(&Line) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let queue = Queue::new(files.len());
    // A line is taken before the next one is needed, so a few places are enough.
    let (sender, receiver) = mpsc::sync_channel::<(usize, Line)>(workers);
    thread::scope(|scope| {
        for _ in 0..workers {
            let (queue, sender) = (&queue, sender.clone());
            scope.spawn(move || {
                let worker = TriageProcess::new(Arc::clone(rules));
                while let Some(number) = queue.next() {
                    let line = worker.look(&files[number]);
                    if sender.send((number, line)).is_err() {
                        return;
                    }
                }
            });
        }
        drop(sender);
        let mut waiting: BTreeMap<usize, Line> = BTreeMap::new();
        let mut next = 0;
        for (number, line) in receiver {
            waiting.insert(number, line);
            while let Some(line) = waiting.remove(&next) {
                next += 1;
                queue.written(next);
                if let Err(error) = take(&line) {
                    queue.end();
                    return Err(error);
                }
            }
        }
        Ok(())
    })
}

/// Which file is next, so that no more than a window of them is on the way.
struct Queue {
    state: Mutex<QueueState>,
    changed: Condvar,
}

struct QueueState {
    next: usize,
    written: usize,
    end: usize,
}

impl Queue {
    fn new(end: usize) -> Self {
        Self { state: Mutex::new(QueueState { next: 0, written: 0, end }), changed: Condvar::new() }
    }

    fn next(&self) -> Option<usize> {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let is_full = |state: &mut QueueState| state.next < state.end && state.next >= state.written + WINDOW_FILES;
        let mut state = self.changed.wait_while(state, is_full).unwrap_or_else(PoisonError::into_inner);
        let number = state.next;
        if number >= state.end {
            return None;
        }
        state.next += 1;
        Some(number)
    }

    fn written(&self, written: usize) {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).written = written;
        self.changed.notify_all();
    }

    fn end(&self) {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).end = 0;
        self.changed.notify_all();
    }
}

/// Where lines go.
struct Output {
    state: Option<Resumed>,
    is_json: bool,
    is_quiet: bool,
    totals: Totals,
    progress: Progress,
}

/// What came of all files.
#[derive(Debug, Default)]
struct Totals {
    malicious: u64,
    suspicious: u64,
    unremarkable: u64,
    failed: u64,
}

impl Output {
    fn write(&mut self, line: &Line) -> anyhow::Result<()> {
        match line.level() {
            Some(TriageLevel::Malicious) => self.totals.malicious += 1,
            Some(TriageLevel::Suspicious) => self.totals.suspicious += 1,
            Some(TriageLevel::Unremarkable) => self.totals.unremarkable += 1,
            None => self.totals.failed += 1,
        }
        self.progress.clear();
        if let Some(state) = &mut self.state {
            state.append(line)?;
        }
        let mut out = io::stdout().lock();
        let written = if self.is_json {
            out.write_all(line.json().as_bytes()).and_then(|()| out.write_all(b"\n"))
        } else if self.is_quiet {
            Ok(())
        } else {
            show::line(&mut out, line)
        };
        written.and_then(|()| out.flush()).context("cannot write to standard output")?;
        drop(out);
        self.progress.one_more();
        Ok(())
    }

    fn finish(mut self) -> anyhow::Result<()> {
        self.progress.clear();
        let Totals { malicious, suspicious, unremarkable, failed } = self.totals;
        if self.is_quiet || malicious + suspicious + unremarkable + failed > 1 {
            eprintln!("{malicious} malicious, {suspicious} suspicious, {unremarkable} unremarkable, {failed} failed");
        }
        if failed > 0 {
            bail!("{failed} files could not be looked at");
        }
        Ok(())
    }
}

/// The line on a terminal that says how far it is.
struct Progress {
    is_shown: bool,
    is_there: bool,
    total: usize,
    done: usize,
    last: std::time::Instant,
    start: std::time::Instant,
    before: usize,
}

impl Progress {
    fn of(total: usize, done: usize, args: &TriageArgs) -> Self {
        // Where the reports themselves are printed on a terminal there is nothing to say beside them.
        let prints = !io::stdout().is_terminal() || args.resume.is_some() && !args.json;
        let now = std::time::Instant::now();
        Self {
            is_shown: io::stderr().is_terminal() && prints && total > 1,
            is_there: false,
            total,
            done,
            last: now,
            start: now,
            before: done,
        }
    }

    fn one_more(&mut self) {
        self.done += 1;
        if self.is_shown && (self.last.elapsed() >= PROGRESS_EVERY || self.done == self.total) {
            self.last = std::time::Instant::now();
            let width = 30 * self.done / self.total.max(1);
            let rate = (self.done - self.before) as f64 / self.start.elapsed().as_secs_f64().max(0.001);
            let left = (self.total - self.done) as f64 / rate.max(0.001);
            eprint!("\r[{:<30}] {}/{} files, {rate:.0}/s, {left:.0} s left ", "#".repeat(width), self.done, self.total);
            self.is_there = true;
        }
    }

    fn clear(&mut self) {
        if std::mem::take(&mut self.is_there) {
            eprint!("\r{:80}\r", "");
        }
    }
}

/// Names of files that are done.
type Done = HashSet<String>;

/// Opens a file for the state, or says which it was.
fn cannot(doing: &'static str, path: &Path) -> String {
    format!("cannot {doing} {}", path.display())
}

#[cfg(test)]
mod tests;
