//! The spool: records that wait for the hub.
//!
//! Lines are appended to a segment. A segment that is full or old enough is sealed: forced to the disk, renamed, and
//! never touched again; it is one batch for the hub, which knows it by the spool's epoch and its number. A sealed
//! segment goes when the hub has it. A process that is killed leaves an unsealed segment behind, which the next one
//! seals without its torn last line; each start begins an epoch of its own, so that no number is ever used for two
//! batches.

use std::collections::VecDeque;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime};

use komainu_model::Confidentiality;
use komainu_ports::{LogBudget, SpoolEpoch};
use parking_lot::Mutex;
use tokio::sync::Notify;
use tracing::error;

use crate::capture_store::CaptureStore;
use crate::eve::Log;
use crate::events;

/// The largest segment in bytes: what the hub takes at once.
pub(crate) const SEGMENT_BYTES_MAX: u64 = 1024 * 1024;

/// A segment is sealed when its first line has waited for so long. The thread of the event logs looks once a second,
/// so lines wait for two seconds at most.
const SEGMENT_AGE_MAX: Duration = Duration::from_secs(1);

/// From so many percent of its bound on, the spool is nearly full and the sensor lets nobody in: what is left is for the
/// records of those who are inside.
const NEARLY_FULL_PERCENT: u64 = 90;

/// The folder of segments that the hub refused for good.
const ASIDE: &str = "refused";

/// Segments that are kept there; the oldest goes when there is one more. They are for whoever looks for the bug.
const ASIDE_MAX: usize = 64;

/// Records that wait for the hub.
#[derive(Debug)]
pub struct Spool {
    folder: PathBuf,
    bytes_max: u64,
    epoch: SpoolEpoch,
    state: Mutex<State>,
    /// Bytes of all segments. Kept beside the state, for everybody who comes in asks.
    bytes: AtomicU64,
    lines_lost: AtomicU64,
    /// Captures that wait for the hub in what records leave of the bound.
    captures: Option<Arc<CaptureStore>>,
    budget: LogBudget,
    /// Told when a segment is sealed.
    pub(crate) sealed: Notify,
}

#[derive(Debug)]
struct State {
    open: Option<Open>,
    /// The number of the next segment.
    next: u64,
    /// In the order in which they go out.
    sealed: VecDeque<Segment>,
}

/// The segment that is written to.
#[derive(Debug)]
struct Open {
    file: File,
    path: PathBuf,
    sequence: u64,
    bytes: u64,
    began_at: Instant,
}

/// A sealed segment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Segment {
    pub(crate) epoch: SpoolEpoch,
    pub(crate) sequence: u64,
    bytes: u64,
    /// When it was sealed, by the disk.
    sealed_at: Option<SystemTime>,
}

/// How the spool stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SpoolStanding {
    /// Bytes that wait for the hub.
    pub bytes: u64,
    /// When the oldest sealed segment was sealed.
    pub oldest: Option<SystemTime>,
    /// Lines that are not in it, because the disk failed or the spool was full.
    pub lines_lost: u64,
}

impl Spool {
    /// Opens the spool in a folder, or makes it. `epoch` is this start's: one that was never used here.
    pub fn open(folder: &Path, bytes_max: u64, epoch: SpoolEpoch) -> io::Result<Self> {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(folder.join(ASIDE))?;
        let mut sealed = Vec::new();
        for file in fs::read_dir(folder)? {
            let file = file?;
            let name = file.file_name();
            let Some((epoch, sequence, stage)) = name.to_str().and_then(parts_of_name) else { continue };
            match stage {
                Stage::Sealed => {}
                Stage::Open if seal_what_is_whole(&file.path())? => {
                    fs::rename(file.path(), folder.join(name_of(epoch, sequence, Stage::Sealed)))?;
                }
                Stage::Open => {
                    fs::remove_file(file.path())?;
                    continue;
                }
            }
            let file = fs::metadata(folder.join(name_of(epoch, sequence, Stage::Sealed)))?;
            sealed.push(Segment { epoch, sequence, bytes: file.len(), sealed_at: file.modified().ok() });
        }
        File::open(folder)?.sync_all()?;
        sealed.sort_by_key(|segment| (segment.epoch, segment.sequence));
        // A clock that was set back must not lead into an epoch that exists.
        let after_last = sealed.last().map_or(0, |segment| segment.epoch.number().saturating_add(1));
        let bytes = sealed.iter().map(|segment| segment.bytes).sum();
        Ok(Self {
            folder: folder.to_owned(),
            bytes_max,
            epoch: SpoolEpoch::new(epoch.number().max(after_last)),
            state: Mutex::new(State { open: None, next: 0, sealed: sealed.into() }),
            bytes: AtomicU64::new(bytes),
            lines_lost: AtomicU64::new(0),
            captures: None,
            budget: LogBudget::default(),
            sealed: Notify::new(),
        })
    }

    /// Lets captures wait within the same bound. Records push the oldest of them out, captures never push out records.
    pub fn beside(self, captures: Arc<CaptureStore>) -> Self {
        let spool = Self { captures: Some(captures), ..self };
        spool.leave_the_rest(spool.bytes.load(Ordering::Relaxed));
        spool
    }

    /// Leaves to captures what records of so many bytes do not take.
    fn leave_the_rest(&self, bytes: u64) {
        if let Some(captures) = &self.captures {
            captures.leave(self.bytes_max.saturating_sub(bytes));
        }
    }

    /// The name of an epoch that begins at `at_unix_ms`: later ones come later, and `random` keeps apart what begins at
    /// the same time.
    pub fn epoch_at(at_unix_ms: i64, random: u16) -> SpoolEpoch {
        SpoolEpoch::new((u64::try_from(at_unix_ms).unwrap_or(0) << 16) | u64::from(random))
    }

    /// Appends whole lines of an event log. A disk that fails, or a bound that is reached, costs lines, which are
    /// counted.
    pub(crate) fn append(&self, log: Log, confidentiality: Confidentiality, lines: &[u8]) {
        let mut state = self.state.lock();
        let mut wrapped = Vec::with_capacity(lines.len() + lines.len() / 8);
        for line in lines.split_inclusive(|byte| *byte == b'\n') {
            let before = wrapped.len();
            wrap(log, confidentiality, line, &mut wrapped);
            let open_bytes = state.open.as_ref().map_or(0, |open| open.bytes);
            if open_bytes + wrapped.len() as u64 <= SEGMENT_BYTES_MAX {
                continue;
            }
            let last = wrapped.split_off(before);
            self.add(&mut state, &wrapped);
            self.seal(&mut state);
            wrapped = last;
            if wrapped.len() as u64 > SEGMENT_BYTES_MAX {
                self.lose(&wrapped, "line_bytes_max", None);
                wrapped.clear();
            }
        }
        self.add(&mut state, &wrapped);
    }

    /// Adds wrapped lines that have room in the segment.
    fn add(&self, state: &mut State, lines: &[u8]) {
        if lines.is_empty() {
            return;
        }
        let bytes = lines.len() as u64;
        let after = self.bytes.load(Ordering::Relaxed).saturating_add(bytes);
        if after > self.bytes_max {
            return self.lose(lines, "spool_bytes_max", None);
        }
        // Before the lines are there, so that both together never exceed the bound.
        self.leave_the_rest(after);
        match self.write(state, lines) {
            Ok(()) => drop(self.bytes.fetch_add(bytes, Ordering::Relaxed)),
            Err(error) => self.lose(lines, "disk", Some(&error)),
        }
    }

    fn write(&self, state: &mut State, lines: &[u8]) -> io::Result<()> {
        if state.open.is_none() {
            let path = self.folder.join(name_of(self.epoch, state.next, Stage::Open));
            let file = OpenOptions::new().create_new(true).append(true).mode(0o600).open(&path)?;
            state.open = Some(Open { file, path, sequence: state.next, bytes: 0, began_at: Instant::now() });
            state.next += 1;
        }
        let open = state.open.as_mut().expect("it was opened above");
        if let Err(error) = open.file.write_all(lines) {
            // The rest of a line would be glued to the next one.
            let _ = open.file.set_len(open.bytes);
            return Err(error);
        }
        open.bytes += lines.len() as u64;
        Ok(())
    }

    fn lose(&self, lines: &[u8], why: &'static str, error: Option<&io::Error>) {
        let lines = lines.iter().filter(|byte| **byte == b'\n').count() as u64;
        self.lines_lost.fetch_add(lines, Ordering::Relaxed);
        if let Some(suppressed) = self.budget.take_now() {
            let error = error.map(tracing::field::display);
            error!(event = events::SPOOL_NOT_WRITTEN, lines, why, error, suppressed, "records will not reach the hub");
        }
    }

    /// Seals the segment when its first line has waited long enough.
    pub(crate) fn seal_if_due(&self) {
        let mut state = self.state.lock();
        if state.open.as_ref().is_some_and(|open| open.began_at.elapsed() >= SEGMENT_AGE_MAX) {
            self.seal(&mut state);
        }
    }

    /// Seals the segment, whatever its age.
    pub(crate) fn seal_now(&self) {
        self.seal(&mut self.state.lock());
    }

    fn seal(&self, state: &mut State) {
        let Some(open) = state.open.take() else { return };
        if open.bytes == 0 {
            let _ = fs::remove_file(&open.path);
            return;
        }
        let seal = || {
            open.file.sync_all()?;
            fs::rename(&open.path, self.folder.join(name_of(self.epoch, open.sequence, Stage::Sealed)))?;
            File::open(&self.folder)?.sync_all()
        };
        if let Err(error) = seal() {
            // Its lines may be there all the same: the next start seals what it finds.
            error!(event = events::SPOOL_NOT_WRITTEN, why = "disk", %error, "a segment cannot be sealed");
            self.release(open.bytes);
            return;
        }
        let sealed_at = open.file.metadata().and_then(|file| file.modified()).ok();
        let Open { sequence, bytes, .. } = open;
        state.sealed.push_back(Segment { epoch: self.epoch, sequence, bytes, sealed_at });
        self.sealed.notify_one();
    }

    /// Whether the sensor should let nobody in.
    pub fn is_nearly_full(&self) -> bool {
        self.bytes.load(Ordering::Relaxed) >= self.bytes_max / 100 * NEARLY_FULL_PERCENT
    }

    /// How the spool stands.
    pub fn standing(&self) -> SpoolStanding {
        SpoolStanding {
            bytes: self.bytes.load(Ordering::Relaxed),
            oldest: self.state.lock().sealed.front().and_then(|segment| segment.sealed_at),
            lines_lost: self.lines_lost.load(Ordering::Relaxed),
        }
    }

    /// The segment that goes out next.
    pub(crate) fn first(&self) -> Option<Segment> {
        self.state.lock().sealed.front().cloned()
    }

    /// The lines of a segment.
    pub(crate) fn read(&self, segment: &Segment) -> io::Result<Vec<u8>> {
        let mut lines = Vec::new();
        File::open(self.path(segment))?.take(SEGMENT_BYTES_MAX).read_to_end(&mut lines)?;
        Ok(lines)
    }

    /// Removes a segment that the hub has.
    pub(crate) fn remove(&self, segment: &Segment) -> io::Result<()> {
        match fs::remove_file(self.path(segment)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => {}
        }
        self.forget(segment);
        Ok(())
    }

    /// Puts a segment out of the way that the hub will never take.
    pub(crate) fn set_aside(&self, segment: &Segment) -> io::Result<()> {
        let aside = self.folder.join(ASIDE);
        fs::rename(self.path(segment), aside.join(name_of(segment.epoch, segment.sequence, Stage::Sealed)))?;
        self.forget(segment);
        let mut names: Vec<_> = fs::read_dir(&aside)?.flatten().map(|file| file.file_name()).collect();
        names.sort_unstable();
        for name in names.iter().rev().skip(ASIDE_MAX) {
            fs::remove_file(aside.join(name))?;
        }
        Ok(())
    }

    fn forget(&self, segment: &Segment) {
        let mut state = self.state.lock();
        if state.sealed.front() == Some(segment) {
            state.sealed.pop_front();
            self.release(segment.bytes);
        }
    }

    /// Notes that so many bytes wait no longer.
    fn release(&self, bytes: u64) {
        let before = self.bytes.fetch_sub(bytes, Ordering::Relaxed);
        self.leave_the_rest(before.saturating_sub(bytes));
    }

    fn path(&self, segment: &Segment) -> PathBuf {
        self.folder.join(name_of(segment.epoch, segment.sequence, Stage::Sealed))
    }
}

/// A line as the hub takes it: which log it is of, whether it is confidential, and the line.
fn wrap(log: Log, confidentiality: Confidentiality, line: &[u8], to: &mut Vec<u8>) {
    to.extend_from_slice(match log {
        Log::Eve => b"{\"log\":\"eve\",",
        Log::Honeypot => b"{\"log\":\"honeypot\",",
    });
    to.extend_from_slice(match confidentiality {
        Confidentiality::Open => b"\"line\":",
        Confidentiality::Confidential => b"\"confidential\":true,\"line\":",
    });
    to.extend_from_slice(line.strip_suffix(b"\n").unwrap_or(line));
    to.extend_from_slice(b"}\n");
}

/// Cuts a segment behind its last whole line and forces it to the disk; says whether there is one.
fn seal_what_is_whole(path: &Path) -> io::Result<bool> {
    let mut file = OpenOptions::new().read(true).write(true).open(path)?;
    let mut lines = Vec::new();
    (&mut file).take(SEGMENT_BYTES_MAX).read_to_end(&mut lines)?;
    let whole = lines.iter().rposition(|byte| *byte == b'\n').map_or(0, |last| last + 1);
    file.set_len(whole as u64)?;
    file.seek(SeekFrom::End(0))?;
    file.sync_all()?;
    Ok(whole > 0)
}

/// How far a segment has come, as its name ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Open,
    Sealed,
}

impl Stage {
    const fn ending(self) -> &'static str {
        match self {
            Self::Open => ".open",
            Self::Sealed => ".ndjson",
        }
    }
}

fn name_of(epoch: SpoolEpoch, sequence: u64, stage: Stage) -> String {
    format!("{epoch}-{sequence:010}{}", stage.ending())
}

fn parts_of_name(name: &str) -> Option<(SpoolEpoch, u64, Stage)> {
    let stage = [Stage::Open, Stage::Sealed].into_iter().find(|stage| name.ends_with(stage.ending()))?;
    let (epoch, sequence) = name.strip_suffix(stage.ending())?.split_once('-')?;
    let (epoch, sequence) = (SpoolEpoch::parse(epoch)?, sequence.parse().ok()?);
    (name_of(epoch, sequence, stage) == name).then_some((epoch, sequence, stage))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(folder: &Path, epoch: u64) -> Spool {
        Spool::open(folder, 1 << 30, SpoolEpoch::new(epoch)).unwrap()
    }

    /// Takes everything out: epoch, number and text of each segment.
    fn drain(spool: &Spool) -> Vec<(u64, u64, String)> {
        let mut drained = Vec::new();
        while let Some(segment) = spool.first() {
            let text = String::from_utf8(spool.read(&segment).unwrap()).unwrap();
            drained.push((segment.epoch.number(), segment.sequence, text));
            spool.remove(&segment).unwrap();
        }
        drained
    }

    #[test]
    fn lines_come_out_in_order_and_once() {
        let folder = tempfile::tempdir().unwrap();
        let spool = open(folder.path(), 1);
        spool.append(Log::Eve, Confidentiality::Open, b"{\"a\":1}\n{\"a\":2}\n");
        spool.append(Log::Honeypot, Confidentiality::Open, b"{\"b\":1}\n");
        assert_eq!(spool.first(), None, "an open segment does not go out");
        spool.seal_now();
        spool.append(Log::Eve, Confidentiality::Open, b"{\"a\":3}\n");
        spool.seal_now();
        spool.seal_now();
        let first = "{\"log\":\"eve\",\"line\":{\"a\":1}}\n{\"log\":\"eve\",\"line\":{\"a\":2}}\n\
                     {\"log\":\"honeypot\",\"line\":{\"b\":1}}\n";
        let second = "{\"log\":\"eve\",\"line\":{\"a\":3}}\n";
        assert_eq!(spool.standing().bytes, (first.len() + second.len()) as u64);
        assert_eq!(drain(&spool), [(1, 0, first.to_owned()), (1, 1, second.to_owned())]);
        assert_eq!(spool.standing(), SpoolStanding { bytes: 0, oldest: None, lines_lost: 0 });
    }

    #[test]
    fn a_start_seals_what_the_last_one_left_without_its_torn_line() {
        let folder = tempfile::tempdir().unwrap();
        let spool = open(folder.path(), 7);
        spool.append(Log::Eve, Confidentiality::Open, b"{\"sealed\":1}\n");
        spool.seal_now();
        spool.append(Log::Eve, Confidentiality::Open, b"{\"open\":1}\n");
        drop(spool);
        let torn = folder.path().join(name_of(SpoolEpoch::new(7), 1, Stage::Open));
        OpenOptions::new().append(true).open(&torn).unwrap().write_all(b"{\"log\":\"eve\",\"li").unwrap();
        fs::write(folder.path().join(name_of(SpoolEpoch::new(7), 2, Stage::Open)), b"{\"torn").unwrap();
        // The clock was set back meanwhile.
        let spool = open(folder.path(), 3);
        spool.append(Log::Eve, Confidentiality::Open, b"{\"new\":1}\n");
        spool.seal_now();
        let drained = drain(&spool);
        let names: Vec<_> = drained.iter().map(|(epoch, sequence, _)| (*epoch, *sequence)).collect();
        assert_eq!(names, [(7, 0), (7, 1), (8, 0)]);
        assert_eq!(drained[1].2, "{\"log\":\"eve\",\"line\":{\"open\":1}}\n");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing but the folder of refused ones is left");
    }

    #[test]
    fn segments_have_a_size() {
        let folder = tempfile::tempdir().unwrap();
        let spool = open(folder.path(), 1);
        let line = format!("{{\"a\":\"{}\"}}\n", "x".repeat(100_000));
        spool.append(Log::Eve, Confidentiality::Open, line.repeat(25).as_bytes());
        spool.append(
            Log::Eve,
            Confidentiality::Open,
            format!("\"{}\"\n", "x".repeat(SEGMENT_BYTES_MAX as usize)).as_bytes(),
        );
        spool.append(Log::Eve, Confidentiality::Open, line.as_bytes());
        spool.seal_now();
        let drained = drain(&spool);
        assert!(drained.iter().all(|(_, _, text)| text.len() as u64 <= SEGMENT_BYTES_MAX));
        let lines: usize = drained.iter().map(|(_, _, text)| text.lines().count()).sum();
        assert_eq!((lines, spool.standing().lines_lost), (26, 1), "a line that no segment can hold is lost");
        let numbers: Vec<_> = drained.iter().map(|(_, sequence, _)| *sequence).collect();
        assert_eq!(numbers, (0..drained.len() as u64).collect::<Vec<_>>(), "no number is left out");
    }

    #[test]
    fn a_full_spool_keeps_what_it_has() {
        let folder = tempfile::tempdir().unwrap();
        let spool = Spool::open(folder.path(), 1_000, SpoolEpoch::new(1)).unwrap();
        let line = format!("\"{}\"\n", "x".repeat(176));
        for lines in 0..6 {
            assert_eq!(spool.is_nearly_full(), lines >= 5, "{lines}");
            spool.append(Log::Eve, Confidentiality::Open, line.as_bytes());
        }
        spool.seal_now();
        assert_eq!(spool.standing().lines_lost, 1);
        assert_eq!(drain(&spool)[0].2.lines().count(), 5);
        assert!(!spool.is_nearly_full());
    }

    /// With the hub away the oldest captures go first, and records never do for a capture.
    #[test]
    fn records_push_captures_out_and_captures_no_records() {
        let folder = tempfile::tempdir().unwrap();
        let captures = Arc::new(CaptureStore::open(&folder.path().join("captures"), 1 << 20).unwrap());
        let spool = Spool::open(&folder.path().join("spool"), 1_000, SpoolEpoch::new(1)).unwrap();
        let spool = spool.beside(captures.clone());
        let add = |number: u32| {
            let session = komainu_ports::RecordedSession::parse(&format!("{number:032x}")).unwrap();
            captures.add(session, Confidentiality::Open, &[0; 300])
        };
        assert!((0..3).all(add));
        let line = format!("\"{}\"\n", "x".repeat(176));
        let mut seen = Vec::new();
        for _ in 0..5 {
            spool.append(Log::Eve, Confidentiality::Open, line.as_bytes());
            let (waiting, records) = (captures.standing(), spool.standing());
            assert!(records.bytes + waiting.bytes <= 1_000, "{records:?} {waiting:?}");
            seen.push((waiting.captures, waiting.dropped));
        }
        assert_eq!(seen, [(2, 1), (2, 1), (1, 2), (0, 3), (0, 3)]);
        assert!(!add(9), "captures push no records out");
        spool.seal_now();
        assert_eq!((spool.standing().lines_lost, captures.standing().dropped), (0, 4));
        assert_eq!(drain(&spool)[0].2.lines().count(), 5);
        assert!(add(10), "there is room again");
    }

    #[test]
    fn what_the_hub_refuses_is_set_aside() {
        let folder = tempfile::tempdir().unwrap();
        let spool = open(folder.path(), 1);
        for _ in 0..ASIDE_MAX + 3 {
            spool.append(Log::Eve, Confidentiality::Open, b"{}\n");
            spool.seal_now();
            spool.set_aside(&spool.first().unwrap()).unwrap();
        }
        assert_eq!(spool.first(), None);
        let mut kept: Vec<_> =
            fs::read_dir(folder.path().join(ASIDE)).unwrap().map(|file| file.unwrap().path()).collect();
        kept.sort();
        assert_eq!(kept.len(), ASIDE_MAX);
        assert!(kept[0].ends_with("0000000000000001-0000000003.ndjson"), "{kept:?}");
    }

    #[test]
    fn names_are_read_as_they_are_written() {
        for stage in [Stage::Open, Stage::Sealed] {
            let name = name_of(SpoolEpoch::new(u64::MAX), u64::MAX, stage);
            assert_eq!(parts_of_name(&name), Some((SpoolEpoch::new(u64::MAX), u64::MAX, stage)));
        }
        for other in ["", "refused", "0000000000000001-3.open", "0000000000000001-0000000003.new", "x-0000000003.open"]
        {
            assert_eq!(parts_of_name(other), None, "{other}");
        }
    }
}
