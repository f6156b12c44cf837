//! Alarms and attacks for other systems, as lines of JSON with the names of the Elastic Common Schema: into a file, to a
//! collector of syslog, or both.
//!
//! Each way has a queue with a bound and one owner that empties it. Whoever tells something never waits: what finds its
//! queue full is dropped and counted. A line is told after what it says is durable, once; the end of the process can cost those
//! that wait. The lake and the store have them all.

mod ecs;
mod file;
mod syslog;

use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, bail};
use bytes::Bytes;
use komainu_model::{Change, Timestamp};
use komainu_ports::{
    ChangeObserver, Lake, LakeAnswer, LakeAppended, LakeBatchName, LakeError, LakeListing, LakeQuestion, LakeRows,
    LakeTable, LakeTableState, LogBudget, OutputVitals,
};
use parking_lot::RwLock;
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tracing::warn;

use self::syslog::Collector;

/// Lines that wait for one way: at a kilobyte each some 10 MB, and two minutes of a collector that does not answer while a
/// hundred attacks a second come in.
const QUEUE_LINES_MAX: usize = 10_000;

/// How long the ways may take to write what waits when the server stops.
const STOP_GRACE: Duration = Duration::from_secs(5);

/// The smallest bound of a file, so that it holds a few lines.
const FILE_BYTES_MIN: u64 = 1 << 20;

/// Names of log events, as they stand in the field `event`; a test compares them with `docs/events.md`.
mod events {
    /// Lines found their queue full.
    pub(super) const DROPPED: &str = "output.dropped";
    /// A way failed, and the next line is tried again.
    pub(super) const FAILED: &str = "output.failed";
    /// A way works again, or for the first time.
    pub(super) const WORKS: &str = "output.works";
    #[cfg(test)]
    pub(super) const ALL: &[&str] = &[DROPPED, FAILED, WORKS];
}

/// What other systems are told, and how.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct OutputSection {
    /// Whether alarms are told.
    pub(crate) alarms: bool,
    /// Whether attacks are told.
    pub(crate) attacks: bool,
    /// The file to write to; its folder must be there.
    pub(crate) file: Option<PathBuf>,
    /// Bytes of one file; then a new one is begun.
    pub(crate) file_bytes_max: u64,
    /// Full files that are kept.
    pub(crate) files_max: u32,
    /// `tcp://HOST:PORT` or `tls://HOST:PORT` of a collector.
    pub(crate) syslog: Option<String>,
    /// The root certificates (PEM) that a collector over TLS is trusted by.
    pub(crate) syslog_ca_file: Option<PathBuf>,
}

impl Default for OutputSection {
    fn default() -> Self {
        let (file_bytes_max, files_max) = (64 << 20, 8);
        Self { alarms: true, attacks: true, file: None, file_bytes_max, files_max, syslog: None, syslog_ca_file: None }
    }
}

impl OutputSection {
    /// Whether its values make sense together.
    pub(crate) fn check(&self) -> anyhow::Result<()> {
        let collector = self.syslog.as_deref().map(Collector::parse).transpose()?;
        if self.file_bytes_max < FILE_BYTES_MIN {
            bail!("output.file_bytes_max is {}: at least {FILE_BYTES_MIN} are needed", self.file_bytes_max);
        }
        if !(1..=1000).contains(&self.files_max) {
            bail!("output.files_max must be from 1 to 1000");
        }
        if collector.is_some_and(|collector| collector.is_tls()) != self.syslog_ca_file.is_some() {
            bail!("output.syslog_ca_file and a collector tls://HOST:PORT in output.syslog belong together");
        }
        Ok(())
    }
}

/// A line on its way.
#[derive(Debug, Clone)]
struct Line {
    at: Timestamp,
    kind: LineKind,
    /// JSON, without a line feed.
    json: Bytes,
}

/// What a line tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum LineKind {
    Alarm,
    Attack,
}

/// Tells other systems.
pub(crate) struct Output {
    alarms: bool,
    attacks: bool,
    /// None when it is closed.
    ways: RwLock<Vec<mpsc::Sender<Line>>>,
    tally: Arc<Tally>,
    budget: LogBudget,
}

/// What became of lines.
#[derive(Debug, Default)]
struct Tally {
    written: AtomicU64,
    dropped: AtomicU64,
}

/// The owners of the queues.
pub(crate) struct Writers(Vec<JoinHandle<()>>);

impl Output {
    /// Opens the ways that are configured; none of them, nothing.
    pub(crate) fn open(section: &OutputSection) -> anyhow::Result<Option<(Arc<Self>, Writers)>> {
        let tally = Arc::new(Tally::default());
        let (mut ways, mut writers) = (Vec::new(), Vec::new());
        if let Some(path) = &section.file {
            let file = file::Rotated::open(path, section.file_bytes_max, section.files_max)
                .with_context(|| format!("cannot write to {} (output.file)", path.display()))?;
            let (way, queue) = mpsc::channel(QUEUE_LINES_MAX);
            let tally = tally.clone();
            writers.push(tokio::task::spawn_blocking(move || file::write_all(file, queue, &tally)));
            ways.push(way);
        }
        if let Some(address) = &section.syslog {
            let collector = Collector::open(address, section.syslog_ca_file.as_deref())?;
            let (way, queue) = mpsc::channel(QUEUE_LINES_MAX);
            writers.push(tokio::spawn(syslog::send_all(collector, queue, tally.clone())));
            ways.push(way);
        }
        if ways.is_empty() {
            return Ok(None);
        }
        let (alarms, attacks) = (section.alarms, section.attacks);
        let output = Self { alarms, attacks, ways: RwLock::new(ways), tally, budget: LogBudget::default() };
        Ok(Some((Arc::new(output), Writers(writers))))
    }

    /// What became of lines since the start.
    pub(crate) fn vitals(&self) -> OutputVitals {
        let waiting: usize = self.ways.read().iter().map(|way| way.max_capacity() - way.capacity()).sum();
        OutputVitals {
            written: self.tally.written.load(Ordering::Relaxed),
            dropped: self.tally.dropped.load(Ordering::Relaxed),
            waiting: waiting as u64,
        }
    }

    /// Tells nothing more, so that its writers end.
    pub(crate) fn close(&self) {
        self.ways.write().clear();
    }

    fn tell(&self, line: &Line) {
        for way in &*self.ways.read() {
            if way.try_send(line.clone()).is_ok() {
                continue;
            }
            let dropped = self.tally.dropped.fetch_add(1, Ordering::Relaxed) + 1;
            if let Some(suppressed) = self.budget.take_now() {
                warn!(event = events::DROPPED, dropped, suppressed, "a line for another system found its queue full");
            }
        }
    }
}

impl Writers {
    /// Waits until what was told is written, for a time; the output must be closed.
    pub(crate) async fn end(self) {
        for writer in self.0 {
            let _ = tokio::time::timeout(STOP_GRACE, writer).await;
        }
    }
}

impl ChangeObserver for Output {
    fn committed(&self, batch: &[Change]) {
        if !self.alarms {
            return;
        }
        for change in batch {
            if let Change::AppendViolationEvent(scope, event) = change {
                self.tell(&Line { at: event.at, kind: LineKind::Alarm, json: ecs::alarm(scope, event) });
            }
        }
    }
}

/// A lake that tells other systems what attacks it was given and did not have.
pub(crate) struct TellingLake {
    pub(crate) lake: Arc<dyn Lake>,
    pub(crate) output: Arc<Output>,
}

impl Lake for TellingLake {
    fn append(&self, name: &LakeBatchName, rows: &[LakeRows]) -> Result<LakeAppended, LakeError> {
        let appended = self.lake.append(name, rows)?;
        if self.output.attacks && appended == LakeAppended::New {
            for rows in rows.iter().filter(|rows| rows.table() == LakeTable::Attacks) {
                for row in 0..rows.len() {
                    let (at, json) = ecs::attack(rows, row);
                    self.output.tell(&Line { at, kind: LineKind::Attack, json });
                }
            }
        }
        Ok(appended)
    }

    fn holds(&self, name: &LakeBatchName) -> bool {
        self.lake.holds(name)
    }

    fn count(&self, question: &LakeQuestion) -> Result<LakeAnswer, LakeError> {
        self.lake.count(question)
    }

    fn list(&self, listing: &LakeListing) -> Result<LakeRows, LakeError> {
        self.lake.list(listing)
    }

    fn visit(
        &self,
        listing: &LakeListing,
        visit: &mut dyn FnMut(LakeRows) -> ControlFlow<()>,
    ) -> Result<(), LakeError> {
        self.lake.visit(listing, visit)
    }

    fn state(&self) -> Result<Vec<LakeTableState>, LakeError> {
        self.lake.state()
    }

    fn retain(&self, before: Timestamp) -> Result<u64, LakeError> {
        self.lake.retain(before)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_documentation_has_all_events() {
        let documented: Vec<&str> = include_str!("../../../docs/events.md")
            .lines()
            .filter_map(|line| line.strip_prefix("| `")?.split('`').next())
            .filter(|name| name.starts_with("output."))
            .collect();
        assert_eq!(documented, events::ALL);
    }

    #[test]
    fn sections_are_checked() {
        let check = |change: &dyn Fn(&mut OutputSection), expected: Option<&str>| {
            let mut section = OutputSection::default();
            change(&mut section);
            let error = section.check().err().map(|error| error.to_string());
            match expected {
                None => assert_eq!(error, None),
                Some(text) => assert!(error.as_deref().is_some_and(|error| error.contains(text)), "{error:?}"),
            }
        };
        check(&|_| {}, None);
        check(&|section| section.syslog = Some("tcp://collector:514".into()), None);
        check(&|section| section.syslog = Some("udp://collector:514".into()), Some("output.syslog"));
        check(&|section| section.syslog = Some("tcp://collector".into()), Some("output.syslog"));
        check(&|section| section.syslog = Some("tls://collector:6514".into()), Some("syslog_ca_file"));
        check(&|section| section.syslog_ca_file = Some("ca.pem".into()), Some("syslog_ca_file"));
        check(&|section| section.file_bytes_max = 5, Some("file_bytes_max"));
        check(&|section| section.files_max = 0, Some("files_max"));
    }

    #[tokio::test]
    async fn what_finds_its_queue_full_is_counted() {
        let (way, mut queue) = mpsc::channel(2);
        let tally = Arc::new(Tally::default());
        let output =
            Output { alarms: true, attacks: true, ways: RwLock::new(vec![way]), tally, budget: LogBudget::default() };
        let line =
            Line { at: Timestamp::from_unix_seconds(1), kind: LineKind::Attack, json: Bytes::from_static(b"{}") };
        for _ in 0..5 {
            output.tell(&line);
        }
        assert_eq!(output.vitals(), OutputVitals { written: 0, dropped: 3, waiting: 2 });
        queue.recv().await.unwrap();
        assert_eq!(output.vitals().waiting, 1);
    }
}
