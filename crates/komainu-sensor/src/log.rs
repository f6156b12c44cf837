//! The event logs: one JSON object a line, in files that turn over by size.
//!
//! A line is serialised into a buffer in memory and nobody who writes one waits for a disk: a thread of its own empties
//! the buffers, at least once a second. A disk that fails costs lines, which are counted and logged; it never stops the
//! sensor. A log that is printed instead ([`EventLog::to_writer`]) is written by whoever adds the line that fills the
//! buffer, and loses nothing.
//!
//! A sensor with a hub writes each line to the [`Spool`] as well, from the same buffers.

mod rotating;
mod time;

use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use komainu_model::Confidentiality;
use parking_lot::{Condvar, Mutex};
use serde::Serialize;
use tracing::error;

pub use self::rotating::Rotation;
pub(crate) use self::time::Time;
use crate::eve::Log;
use crate::events;
use crate::spool::Spool;

/// How long a line may wait in memory.
const FLUSH_INTERVAL: Duration = Duration::from_secs(1);

/// So many bytes are worth a write to a file: large enough that system calls do not count, small enough for a cache.
const FLUSH_BYTES: usize = 64 * 1024;

/// Bytes of one log that may wait for a disk: more than 20,000 connections leave when they end at once. At the bound
/// lines are dropped and counted.
const PENDING_BYTES_MAX: usize = 64 * 1024 * 1024;

/// The event logs of a sensor.
#[derive(Debug)]
pub struct EventLog {
    shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

#[derive(Debug)]
struct Shared {
    eve: Channel,
    /// None: everything goes into the first.
    honeypot: Option<Channel>,
    /// Takes every line, too.
    spool: Option<Arc<Spool>>,
    /// Whether a thread empties the buffers.
    in_background: bool,
    lines_lost: AtomicU64,
    is_closed: AtomicBool,
    wake: Condvar,
    wake_lock: Mutex<bool>,
}

/// One log.
struct Channel {
    log: Log,
    name: &'static str,
    pending: Mutex<Pending>,
    out: Mutex<Out>,
}

impl std::fmt::Debug for Channel {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Channel").field("name", &self.name).finish_non_exhaustive()
    }
}

#[derive(Default)]
struct Pending {
    /// Whole lines.
    bytes: Vec<u8>,
    lines: u64,
    /// Who may see them: where lines of one sort end, and which sort. One entry as long as nothing confidential comes.
    runs: Vec<(usize, Confidentiality)>,
}

struct Out {
    /// Takes whole lines with each `write_all`.
    writer: Box<dyn Write + Send>,
    /// The buffer that is not in use.
    spare: Vec<u8>,
}

/// What stands in front of a line's body.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Head<'a> {
    /// When it happened, in microseconds since 1970.
    pub(crate) at: i64,
    pub(crate) flow_id: u64,
    /// Addresses, ports and transport: `"src_ip":…,"proto":…`.
    pub(crate) ends: &'a str,
    pub(crate) app_proto: Option<&'static str>,
    /// What else is the same for all lines of the flow: `"community_id":…`.
    pub(crate) rest: &'a str,
    /// Who may see the line. It does not stand in the line, whose form is Suricata's; the spool writes it beside.
    pub(crate) confidentiality: Confidentiality,
}

impl EventLog {
    /// Writes `eve.json` and `honeypot.json` in a folder, behind what is there.
    pub fn to_files(folder: &Path, rotation: Rotation) -> io::Result<Self> {
        Self::in_background(folder, rotation, None)
    }

    /// Writes the same files, and every line to a spool, which is sealed when the log is closed.
    pub fn to_files_and_spool(folder: &Path, rotation: Rotation, spool: Arc<Spool>) -> io::Result<Self> {
        Self::in_background(folder, rotation, Some(spool))
    }

    fn in_background(folder: &Path, rotation: Rotation, spool: Option<Arc<Spool>>) -> io::Result<Self> {
        let eve = rotating::RotatingFile::open(&folder.join("eve.json"), rotation)?;
        let honeypot = rotating::RotatingFile::open(&folder.join("honeypot.json"), rotation)?;
        let shared = Arc::new(Shared { spool, ..Shared::new(Box::new(eve), Some(Box::new(honeypot)), true) });
        let thread = {
            let shared = shared.clone();
            std::thread::Builder::new().name("komainu-event-log".into()).spawn(move || shared.run())?
        };
        Ok(Self { shared, thread: Mutex::new(Some(thread)) })
    }

    /// Writes each log to a writer of its own.
    pub fn to_writers(eve: impl Write + Send + 'static, honeypot: impl Write + Send + 'static) -> Self {
        let shared = Shared::new(Box::new(eve), Some(Box::new(honeypot)), false);
        Self { shared: Arc::new(shared), thread: Mutex::new(None) }
    }

    /// Writes both logs to one writer, such as standard output, line after line as things happened.
    pub fn to_writer(out: impl Write + Send + 'static) -> Self {
        Self { shared: Arc::new(Shared::new(Box::new(out), None, false)), thread: Mutex::new(None) }
    }

    /// Adds a line: the head, then `body` under the key `event_type`.
    pub(crate) fn write(&self, log: Log, head: &Head<'_>, event_type: &'static str, body: &impl Serialize) {
        let shared = &*self.shared;
        let channel = shared.channel(log);
        let mut pending = channel.pending.lock();
        let before = pending.bytes.len();
        if before >= PENDING_BYTES_MAX || write_line(&mut pending.bytes, head, event_type, body).is_err() {
            pending.bytes.truncate(before);
            drop(pending);
            shared.lines_lost.fetch_add(1, Ordering::Relaxed);
            return;
        }
        pending.lines += 1;
        pending.end_line(head.confidentiality);
        let is_due = before < FLUSH_BYTES && pending.bytes.len() >= FLUSH_BYTES;
        drop(pending);
        if is_due && shared.in_background {
            *shared.wake_lock.lock() = true;
            shared.wake.notify_one();
        } else if is_due {
            shared.flush(channel);
        }
    }

    /// Writes out what waits in memory.
    pub fn flush(&self) {
        self.shared.flush_all();
    }

    /// Lines that were lost, because a disk failed or was too slow.
    pub fn lines_lost(&self) -> u64 {
        self.shared.lines_lost.load(Ordering::Relaxed)
    }

    /// Whether records have room: false when so much waits for the hub that nobody should be let in.
    pub(crate) fn has_room(&self) -> bool {
        !self.shared.spool.as_ref().is_some_and(|spool| spool.is_nearly_full())
    }

    /// Writes everything out and ends the thread.
    pub fn close(&self) {
        self.shared.is_closed.store(true, Ordering::SeqCst);
        *self.shared.wake_lock.lock() = true;
        self.shared.wake.notify_one();
        if let Some(thread) = self.thread.lock().take() {
            // A thread that panicked has said so; what it left is written here.
            let _ = thread.join();
        }
        self.shared.flush_all();
        if let Some(spool) = &self.shared.spool {
            spool.seal_now();
        }
    }
}

impl Drop for EventLog {
    fn drop(&mut self) {
        self.close();
    }
}

impl Shared {
    fn new(eve: Box<dyn Write + Send>, honeypot: Option<Box<dyn Write + Send>>, in_background: bool) -> Self {
        Self {
            eve: Channel::new(Log::Eve, "eve.json", eve),
            honeypot: honeypot.map(|honeypot| Channel::new(Log::Honeypot, "honeypot.json", honeypot)),
            spool: None,
            in_background,
            lines_lost: AtomicU64::new(0),
            is_closed: AtomicBool::new(false),
            wake: Condvar::new(),
            wake_lock: Mutex::new(false),
        }
    }

    fn channel(&self, log: Log) -> &Channel {
        match (log, &self.honeypot) {
            (Log::Honeypot, Some(honeypot)) => honeypot,
            (Log::Eve, _) | (Log::Honeypot, None) => &self.eve,
        }
    }

    fn run(&self) {
        while !self.is_closed.load(Ordering::SeqCst) {
            let mut is_due = self.wake_lock.lock();
            if !*is_due {
                self.wake.wait_for(&mut is_due, FLUSH_INTERVAL);
            }
            *is_due = false;
            drop(is_due);
            self.flush_all();
            if let Some(spool) = &self.spool {
                spool.seal_if_due();
            }
        }
    }

    fn flush_all(&self) {
        for channel in [Some(&self.eve), self.honeypot.as_ref()].into_iter().flatten() {
            self.flush(channel);
        }
    }

    fn flush(&self, channel: &Channel) {
        let mut out = channel.out.lock();
        let (lines, runs) = {
            let mut pending = channel.pending.lock();
            std::mem::swap(&mut pending.bytes, &mut out.spare);
            (std::mem::take(&mut pending.lines), std::mem::take(&mut pending.runs))
        };
        let Out { writer, spare } = &mut *out;
        if lines > 0
            && let Err(error) = writer.write_all(spare).and_then(|()| writer.flush())
        {
            self.lines_lost.fetch_add(lines, Ordering::Relaxed);
            let log = channel.name;
            error!(event = events::LOG_NOT_WRITTEN, log, lines, %error, "event log cannot be written");
        }
        if let Some(spool) = &self.spool {
            let mut begin = 0;
            for (end, confidentiality) in runs {
                spool.append(channel.log, confidentiality, &spare[begin..end]);
                begin = end;
            }
        }
        spare.clear();
        // A flood's buffer is given back to the system.
        spare.shrink_to(4 * FLUSH_BYTES);
    }
}

impl Pending {
    /// Notes who may see the line that was written last.
    fn end_line(&mut self, confidentiality: Confidentiality) {
        let end = self.bytes.len();
        match self.runs.last_mut() {
            Some((last, same)) if *same == confidentiality => *last = end,
            Some(_) | None => self.runs.push((end, confidentiality)),
        }
    }
}

impl Channel {
    fn new(log: Log, name: &'static str, writer: Box<dyn Write + Send>) -> Self {
        Self { log, name, pending: Mutex::default(), out: Mutex::new(Out { writer, spare: Vec::new() }) }
    }
}

fn write_line(
    line: &mut Vec<u8>,
    head: &Head<'_>,
    event_type: &'static str,
    body: &impl Serialize,
) -> serde_json::Result<()> {
    line.extend_from_slice(b"{\"timestamp\":\"");
    Time(head.at).write(line);
    line.extend_from_slice(b"\",\"flow_id\":");
    write!(line, "{}", head.flow_id).expect("a vector takes everything");
    line.extend_from_slice(b",\"event_type\":\"");
    line.extend_from_slice(event_type.as_bytes());
    line.extend_from_slice(b"\",");
    line.extend_from_slice(head.ends.as_bytes());
    if let Some(app_proto) = head.app_proto {
        line.extend_from_slice(b",\"app_proto\":\"");
        line.extend_from_slice(app_proto.as_bytes());
        line.push(b'"');
    }
    line.push(b',');
    line.extend_from_slice(head.rest.as_bytes());
    line.extend_from_slice(b",\"");
    line.extend_from_slice(event_type.as_bytes());
    line.extend_from_slice(b"\":");
    serde_json::to_writer(&mut *line, body)?;
    line.extend_from_slice(b"}\n");
    Ok(())
}

#[cfg(test)]
mod tests {
    use komainu_ports::SpoolEpoch;

    use super::*;

    const HEAD: Head<'_> = Head {
        at: 1_795_568_523_000_004,
        flow_id: 7,
        ends: r#""src_ip":"192.0.2.1","src_port":1,"dest_ip":"192.0.2.2","dest_port":23,"proto":"TCP""#,
        app_proto: Some("telnet"),
        rest: r#""community_id":"1:x""#,
        confidentiality: Confidentiality::Open,
    };

    const CONFIDENTIAL: &str = "\"confidential\":true,";

    #[derive(Clone, Default)]
    struct Kept(Arc<Mutex<Vec<u8>>>);

    impl Write for Kept {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_line_is_an_envelope_and_a_body() {
        let kept = Kept::default();
        let log = EventLog::to_writer(kept.clone());
        log.write(Log::Eve, &HEAD, "http", &serde_json::json!({"url": "/\n"}));
        log.flush();
        let line = String::from_utf8(kept.0.lock().clone()).unwrap();
        assert_eq!(
            line,
            concat!(
                r#"{"timestamp":"2026-11-25T01:02:03.000004+0000","flow_id":7,"event_type":"http","#,
                r#""src_ip":"192.0.2.1","src_port":1,"dest_ip":"192.0.2.2","dest_port":23,"proto":"TCP","#,
                r#""app_proto":"telnet","community_id":"1:x","http":{"url":"/\n"}}"#,
                "\n"
            )
        );
    }

    #[test]
    fn both_logs_have_their_own_file() {
        let folder = tempfile::tempdir().unwrap();
        let log = EventLog::to_files(folder.path(), Rotation::default()).unwrap();
        log.write(Log::Eve, &HEAD, "flow", &1);
        log.write(Log::Honeypot, &HEAD, "honeypot", &2);
        log.close();
        let read = |name: &str| std::fs::read_to_string(folder.path().join(name)).unwrap();
        assert!(read("eve.json").ends_with("\"flow\":1}\n"));
        assert!(read("honeypot.json").ends_with("\"honeypot\":2}\n"));
        assert_eq!(log.lines_lost(), 0);
    }

    #[test]
    fn every_line_is_in_the_spool_too() {
        let folder = tempfile::tempdir().unwrap();
        let spool = Spool::open(&folder.path().join("spool"), 1 << 20, SpoolEpoch::new(1)).unwrap();
        let spool = Arc::new(spool);
        let log = EventLog::to_files_and_spool(folder.path(), Rotation::default(), spool.clone()).unwrap();
        let confidential = Head { confidentiality: Confidentiality::Confidential, ..HEAD };
        log.write(Log::Eve, &HEAD, "flow", &1);
        log.write(Log::Honeypot, &HEAD, "honeypot", &2);
        for number in 3..5 {
            log.write(Log::Honeypot, &confidential, "honeypot", &number);
        }
        log.write(Log::Honeypot, &HEAD, "honeypot", &5);
        log.close();
        let lines = String::from_utf8(spool.read(&spool.first().unwrap()).unwrap()).unwrap();
        for (name, expected) in [("eve", &[""][..]), ("honeypot", &["", CONFIDENTIAL, CONFIDENTIAL, ""])] {
            let written = std::fs::read_to_string(folder.path().join(format!("{name}.json"))).unwrap();
            assert_eq!(written.lines().count(), expected.len());
            for (line, mark) in written.lines().zip(expected) {
                let wrapped = format!("{{\"log\":\"{name}\",{mark}\"line\":{line}}}\n");
                assert!(lines.contains(&wrapped), "{wrapped}: {lines}");
            }
        }
        assert_eq!(lines.lines().count(), 5);
    }

    #[test]
    fn a_disk_that_fails_costs_lines_and_nothing_else() {
        struct Full;
        impl Write for Full {
            fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                Err(io::ErrorKind::StorageFull.into())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let log = EventLog::to_writer(Full);
        for _ in 0..3 {
            log.write(Log::Eve, &HEAD, "flow", &1);
        }
        log.flush();
        assert_eq!(log.lines_lost(), 3);
    }
}
