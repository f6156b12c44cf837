//! Having payloads scanned by rules, away from whoever serves strangers.
//!
//! In: what strangers left or said, with the flow that it belongs to. Out: a line `yara` of `honeypot.json` for each rule
//! that holds, and the rules for the flow's verdict: a flow whose payloads still wait when it ends is summed up when the
//! last one is done. Equal payloads are scanned once. A capture is scanned while it is read, so that its lines come in one
//! order; a sensor has a thread for it and a queue with bounds, and what is beyond them is told, not scanned.

mod known;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use komainu_ports::{Clock, PayloadMatch, PayloadScanner, ScanError};
use parking_lot::Mutex;
use tracing::warn;

use self::known::Known;
use crate::artifact::Sha256Digest;
use crate::events;
use crate::session::{Afterword, Findings};
use komainu_ports::LogBudget;

/// Payloads that wait. Each may hold back the summary of a flow, of 100 KiB at most.
const WAITING_MAX: usize = 256;

/// Bytes of the payloads that wait: one of the largest, and many usual ones. They are in memory.
const WAITING_BYTES_MAX: usize = 64 << 20;

/// A payload that waited for so long is not scanned: the summary of its flow is due. Only slow scans before it can make
/// it wait.
const WAIT_MAX: Duration = Duration::from_secs(60);

/// When there was nothing to scan for so long, the scanner rests: what it needs is more than a sensor needs otherwise.
const REST_AFTER: Duration = Duration::from_secs(300);

/// What the rules say of a payload.
pub(crate) type Outcome = Result<Arc<[PayloadMatch]>, NotScanned>;

/// Why a payload was not scanned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NotScanned {
    /// It was too large to be kept until now, or there was no memory for it.
    NotKept,
    TooLarge,
    TimedOut,
    /// The engine; the log says more.
    Failed,
    QueueFull,
    WaitedTooLong,
    Stopped,
}

impl NotScanned {
    /// Its name in `honeypot.json` (docs/yara.md).
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::NotKept => "not_kept",
            Self::TooLarge => "too_large",
            Self::TimedOut => "timed_out",
            Self::Failed => "failed",
            Self::QueueFull => "queue_full",
            Self::WaitedTooLong => "waited_too_long",
            Self::Stopped => "stopped",
        }
    }
}

/// Who scans payloads for a recorder.
#[derive(Clone)]
pub struct PayloadScans(Arc<Shared>);

impl std::fmt::Debug for PayloadScans {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("PayloadScans")
    }
}

struct Shared {
    scanner: Arc<dyn PayloadScanner>,
    known: Mutex<Known>,
    /// None: payloads are scanned at once.
    queue: Option<Queue>,
    failures: LogBudget,
}

struct Queue {
    messages: SyncSender<Message>,
    waiting_bytes: AtomicUsize,
    is_stopping: AtomicBool,
    clock: Arc<dyn Clock>,
    refusals: LogBudget,
}

enum Message {
    Scan(Box<Order>),
    Stop,
}

/// A payload that is to be scanned.
#[derive(Debug)]
pub(crate) struct Order {
    /// Who writes what comes of it.
    pub(crate) afterword: Afterword,
    /// The flow that waits for it, if it does.
    pub(crate) findings: Option<Arc<Findings>>,
    pub(crate) sha256: Sha256Digest,
    pub(crate) contents: Box<[u8]>,
    pub(crate) since: Instant,
}

/// The thread that scans.
#[derive(Debug)]
pub struct ScanThread {
    scans: PayloadScans,
    thread: JoinHandle<()>,
}

impl PayloadScans {
    /// Scans while the record waits.
    pub fn at_once(scanner: Arc<dyn PayloadScanner>) -> Self {
        Self(Arc::new(Shared { scanner, known: Mutex::default(), queue: None, failures: LogBudget::default() }))
    }

    /// What is known of a payload already, or after a scan at once; none when it has to be [offered](Self::offer).
    pub(crate) fn outcome(&self, sha256: Sha256Digest, contents: &[u8]) -> Option<Outcome> {
        let known = self.0.known.lock().find(sha256);
        match (known, &self.0.queue) {
            (Some(known), _) => Some(known),
            (None, None) => Some(self.scan(sha256, contents)),
            (None, Some(_)) => None,
        }
    }

    /// Takes a payload, or says why not.
    pub(crate) fn offer(&self, order: Order) -> Result<(), NotScanned> {
        let Some(queue) = &self.0.queue else { return Err(NotScanned::Stopped) };
        let bytes = order.contents.len();
        let taken = queue.waiting_bytes.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |waiting| {
            waiting.checked_add(bytes).filter(|sum| *sum <= WAITING_BYTES_MAX)
        });
        let sha256 = order.sha256;
        let refused = match taken {
            Err(_) => "scans_waiting_bytes_max",
            Ok(_) => match queue.messages.try_send(Message::Scan(Box::new(order))) {
                Ok(()) => return Ok(()),
                Err(error) => {
                    queue.waiting_bytes.fetch_sub(bytes, Ordering::Relaxed);
                    match error {
                        TrySendError::Full(_) => "scans_waiting_max",
                        TrySendError::Disconnected(_) => return Err(NotScanned::Stopped),
                    }
                }
            },
        };
        if let Some(suppressed) = queue.refusals.take_now() {
            warn!(event = events::LIMIT_REACHED, limit = refused, %sha256, suppressed, "payload is not scanned");
        }
        Err(NotScanned::QueueFull)
    }

    fn scan(&self, sha256: Sha256Digest, contents: &[u8]) -> Outcome {
        let outcome: Outcome = match self.0.scanner.scan(contents) {
            Ok(found) => Ok(found.into()),
            Err(ScanError::TooLarge { .. }) => Err(NotScanned::TooLarge),
            Err(error) => {
                if let Some(suppressed) = self.0.failures.take_now() {
                    let cause = std::error::Error::source(&error).map(ToString::to_string);
                    warn!(event = events::SCAN_FAILED, %sha256, %error, cause, suppressed, "payload cannot be scanned");
                }
                match error {
                    ScanError::TimedOut { .. } => Err(NotScanned::TimedOut),
                    ScanError::TooLarge { .. } | ScanError::Failed { .. } => Err(NotScanned::Failed),
                }
            }
        };
        // Another attempt may do better than one that failed.
        if outcome != Err(NotScanned::Failed) {
            self.0.known.lock().note(sha256, &outcome);
        }
        outcome
    }
}

impl ScanThread {
    /// Starts a thread that scans what is offered.
    pub fn start(scanner: Arc<dyn PayloadScanner>, clock: Arc<dyn Clock>) -> std::io::Result<Self> {
        let (messages, waiting) = sync_channel(WAITING_MAX);
        let queue = Queue {
            messages,
            waiting_bytes: AtomicUsize::new(0),
            is_stopping: AtomicBool::new(false),
            clock,
            refusals: LogBudget::default(),
        };
        let shared = Shared { scanner, known: Mutex::default(), queue: Some(queue), failures: LogBudget::default() };
        let scans = PayloadScans(Arc::new(shared));
        let of_thread = scans.clone();
        let thread =
            thread::Builder::new().name("komainu-scan".into()).spawn(move || scan_all(&of_thread, &waiting))?;
        Ok(Self { scans, thread })
    }

    /// Where payloads are offered.
    pub fn scans(&self) -> PayloadScans {
        self.scans.clone()
    }

    /// Finishes the scan that is going on, gives up what waits, and returns when each has its line and each flow that
    /// waited its summary. Blocks.
    pub fn shutdown(self) {
        if let Some(queue) = &self.scans.0.queue {
            queue.is_stopping.store(true, Ordering::Relaxed);
            // The thread takes everything that waits, so there will be room.
            let _ = queue.messages.send(Message::Stop);
        }
        let _ = self.thread.join();
    }
}

fn scan_all(scans: &PayloadScans, waiting: &Receiver<Message>) {
    let Some(queue) = &scans.0.queue else { return };
    let mut is_stopped = false;
    while !is_stopped {
        match waiting.recv_timeout(REST_AFTER) {
            Ok(Message::Scan(order)) => carry_out(scans, queue, *order),
            Ok(Message::Stop) | Err(RecvTimeoutError::Disconnected) => is_stopped = true,
            Err(RecvTimeoutError::Timeout) => scans.0.scanner.rest(),
        }
    }
    while let Ok(Message::Scan(order)) = waiting.try_recv() {
        carry_out(scans, queue, *order);
    }
    scans.0.scanner.rest();
}

fn carry_out(scans: &PayloadScans, queue: &Queue, order: Order) {
    let Order { afterword, findings, sha256, contents, since } = order;
    // The same may have come several times before it was scanned.
    let known = scans.0.known.lock().find(sha256);
    let outcome = match known {
        Some(known) => known,
        None if queue.is_stopping.load(Ordering::Relaxed) => Err(NotScanned::Stopped),
        None if since.elapsed() > WAIT_MAX => Err(NotScanned::WaitedTooLong),
        None => scans.scan(sha256, &contents),
    };
    queue.waiting_bytes.fetch_sub(contents.len(), Ordering::Relaxed);
    let now = queue.clock.now().unix_millis().saturating_mul(1000);
    afterword.scanned(now, sha256, contents.len() as u64, &outcome);
    if let Some(findings) = findings {
        findings.arrived(outcome.ok());
    }
}

#[cfg(test)]
mod tests;
