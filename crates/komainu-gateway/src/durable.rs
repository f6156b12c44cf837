//! What must survive the loss of power, written in groups.
//!
//! One thread takes everything that was submitted since its last commit, commits it as one step, and wakes those that
//! wait for it. So an acknowledgement costs a share of one flush, however many connections publish.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use komainu_ports::{SessionNumber, SessionOperation, SessionStore};
use parking_lot::{Condvar, Mutex};
use tracing::{error, info};

use crate::link::{Link, Signal};

/// How long the writer waits before it tries a commit again that failed.
const RETRY_INTERVAL: Duration = Duration::from_secs(1);
/// How often the writer tries a failed commit again while it is being stopped.
const RETRIES_WHEN_STOPPING: u32 = 3;

/// Which submission it was. Tickets rise; a ticket is durable when it is not above what was committed. 0 always is.
pub(crate) type Ticket = u64;

/// The group-commit writer of the session store.
pub(crate) struct DurableLog {
    shared: Arc<Shared>,
    writer: Mutex<Option<thread::JoinHandle<()>>>,
}

struct Shared {
    pending: Mutex<Pending>,
    work: Condvar,
    committed: AtomicU64,
    backlog: AtomicUsize,
    backlog_max: usize,
}

#[derive(Default)]
struct Pending {
    operations: Vec<SessionOperation>,
    submitted: Ticket,
    waiters: Vec<(Ticket, Arc<Link>)>,
    stopping: bool,
}

impl DurableLog {
    /// Starts the writer.
    pub(crate) fn start(store: Arc<dyn SessionStore>, backlog_max: usize) -> Self {
        let shared = Arc::new(Shared {
            pending: Mutex::default(),
            work: Condvar::new(),
            committed: AtomicU64::new(0),
            backlog: AtomicUsize::new(0),
            backlog_max,
        });
        let writer = thread::Builder::new().name("komainu-sessions".into()).spawn({
            let shared = shared.clone();
            move || write(&shared, &*store)
        });
        Self { shared, writer: Mutex::new(Some(writer.expect("the system can start one thread"))) }
    }

    /// Hands an operation over. Operations are committed in the order in which they were handed over.
    pub(crate) fn submit(&self, operation: SessionOperation) -> Ticket {
        let mut pending = self.shared.pending.lock();
        let was_idle = pending.operations.is_empty();
        pending.operations.push(operation);
        pending.submitted += 1;
        let ticket = pending.submitted;
        self.shared.backlog.fetch_add(1, Ordering::Relaxed);
        drop(pending);
        if was_idle {
            self.shared.work.notify_one();
        }
        ticket
    }

    /// Whether what was submitted under the ticket is durable.
    pub(crate) fn is_durable(&self, ticket: Ticket) -> bool {
        ticket <= self.shared.committed.load(Ordering::Acquire)
    }

    /// Signals `link` when the ticket is durable; at once when it already is.
    pub(crate) fn signal_when_durable(&self, ticket: Ticket, link: &Arc<Link>) {
        let mut pending = self.shared.pending.lock();
        if self.is_durable(ticket) {
            drop(pending);
            link.signal(Signal::Settled);
        } else {
            pending.waiters.push((ticket, link.clone()));
        }
    }

    /// Waits until the ticket is durable.
    pub(crate) async fn durable(&self, ticket: Ticket) {
        if self.is_durable(ticket) {
            return;
        }
        let link = Link::new();
        self.signal_when_durable(ticket, &link);
        while !self.is_durable(ticket) {
            link.signalled().await;
        }
    }

    /// Whether the writer keeps up. When not, whoever can should wait.
    pub(crate) fn has_room(&self) -> bool {
        self.shared.backlog.load(Ordering::Relaxed) < self.shared.backlog_max
    }

    /// Commits what was submitted and ends the writer. Blocks.
    pub(crate) fn stop(&self) {
        self.shared.pending.lock().stopping = true;
        self.shared.work.notify_one();
        if let Some(writer) = self.writer.lock().take() {
            // A writer that panicked has said so already; there is nothing left to end.
            let _ = writer.join();
        }
    }
}

impl Drop for DurableLog {
    fn drop(&mut self) {
        self.stop();
    }
}

fn write(shared: &Shared, store: &dyn SessionStore) {
    let mut operations = Vec::new();
    loop {
        let (ticket, stopping) = {
            let mut pending = shared.pending.lock();
            while pending.operations.is_empty() && !pending.stopping {
                shared.work.wait(&mut pending);
            }
            std::mem::swap(&mut pending.operations, &mut operations);
            (pending.submitted, pending.stopping)
        };
        let taken = operations.len();
        if taken == 0 && stopping {
            return;
        }
        cancel_out(&mut operations);
        if !commit(shared, store, &operations) {
            return;
        }
        operations.clear();
        operations.shrink_to(4096);
        shared.backlog.fetch_sub(taken, Ordering::Relaxed);
        let ready: Vec<_> = {
            let mut pending = shared.pending.lock();
            shared.committed.store(ticket, Ordering::Release);
            pending.waiters.extract_if(.., |(waited_for, _)| *waited_for <= ticket).collect()
        };
        for (_, link) in ready {
            link.signal(Signal::Settled);
        }
    }
}

/// Commits, again and again while it fails. Says whether it succeeded in the end; it gives up only when stopping.
fn commit(shared: &Shared, store: &dyn SessionStore, operations: &[SessionOperation]) -> bool {
    let mut failures_when_stopping = 0;
    let mut failed = false;
    while let Err(error) = store.commit(operations) {
        if !failed {
            error!(%error, operations = operations.len(), "sessions cannot be written down, acknowledgements wait");
        }
        failed = true;
        let mut pending = shared.pending.lock();
        if pending.stopping {
            failures_when_stopping += 1;
            if failures_when_stopping > RETRIES_WHEN_STOPPING {
                return false;
            }
        }
        shared.work.wait_for(&mut pending, RETRY_INTERVAL);
    }
    if failed {
        info!("sessions are written down again");
    }
    true
}

/// Removes operations that a later one of the same group makes pointless: a message that was delivered before it was
/// written down, and all but the last mark of what was sent.
fn cancel_out(operations: &mut Vec<SessionOperation>) {
    let mut completed: HashSet<(SessionNumber, u64), ahash::RandomState> = HashSet::default();
    let mut cancelled: HashSet<(SessionNumber, u64), ahash::RandomState> = HashSet::default();
    let mut last_sent: HashMap<SessionNumber, usize, ahash::RandomState> = HashMap::default();
    for (at, operation) in operations.iter().enumerate() {
        match operation {
            SessionOperation::Complete { session, sequence } => {
                completed.insert((*session, *sequence));
            }
            SessionOperation::SentThrough { session, .. } => {
                last_sent.insert(*session, at);
            }
            _ => {}
        }
    }
    if completed.is_empty() && last_sent.is_empty() {
        return;
    }
    let mut at = 0;
    operations.retain(|operation| {
        let keep = match operation {
            // A sequence is enqueued once, so its completion can only come later in the group.
            SessionOperation::Enqueue { session, delivery } if completed.contains(&(*session, delivery.sequence)) => {
                cancelled.insert((*session, delivery.sequence));
                false
            }
            SessionOperation::Release { session, sequence } | SessionOperation::Complete { session, sequence } => {
                !cancelled.contains(&(*session, *sequence))
            }
            SessionOperation::SentThrough { session, .. } => last_sent.get(session) == Some(&at),
            _ => true,
        };
        at += 1;
        keep
    });
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use komainu_ports::{
        MemorySessionStore, QualityOfService, SessionOperation as Op, SessionSnapshot, SessionStoreError,
        StoredDelivery,
    };

    use super::*;

    const ONE: SessionNumber = SessionNumber(1);

    fn enqueue(sequence: u64) -> Op {
        let delivery = StoredDelivery {
            sequence,
            qos: QualityOfService::AtLeastOnce,
            retain: false,
            subscription_identifiers: vec![],
            shared: None,
            message: None,
        };
        Op::Enqueue { session: ONE, delivery }
    }

    fn complete(sequence: u64) -> Op {
        Op::Complete { session: ONE, sequence }
    }

    #[test]
    fn what_is_pointless_is_not_written() {
        let check = |mut operations: Vec<Op>, expected: Vec<Op>| {
            cancel_out(&mut operations);
            assert_eq!(operations, expected);
        };
        let sent = |sequence| Op::SentThrough { session: ONE, sequence };
        let release = |sequence| Op::Release { session: ONE, sequence };
        check(vec![enqueue(1), enqueue(2), complete(1)], vec![enqueue(2)]);
        check(vec![complete(1), enqueue(2)], vec![complete(1), enqueue(2)]);
        check(vec![enqueue(1), release(1), complete(1)], vec![]);
        check(vec![enqueue(1), release(1)], vec![enqueue(1), release(1)]);
        check(vec![sent(1), enqueue(2), sent(2)], vec![enqueue(2), sent(2)]);
    }

    /// Fails as often as it is told, and says when it was asked.
    struct Unwilling {
        failures: AtomicUsize,
        asked: mpsc::SyncSender<()>,
        inner: MemorySessionStore,
    }

    impl SessionStore for Unwilling {
        fn load(&self) -> Result<SessionSnapshot, SessionStoreError> {
            self.inner.load()
        }

        fn commit(&self, operations: &[Op]) -> Result<(), SessionStoreError> {
            let _ = self.asked.try_send(());
            let left = self.failures.load(Ordering::SeqCst);
            if left > 0 {
                self.failures.store(left - 1, Ordering::SeqCst);
                return Err(SessionStoreError::Unavailable { reason: "disk full".into() });
            }
            self.inner.commit(operations)
        }
    }

    #[tokio::test]
    async fn a_ticket_is_durable_only_after_the_commit_succeeded() {
        let (asked, was_asked) = mpsc::sync_channel(16);
        let store = Arc::new(Unwilling { failures: AtomicUsize::new(1), asked, inner: MemorySessionStore::default() });
        let log = DurableLog::start(store.clone(), 8);
        let ticket = log.submit(enqueue(1));
        was_asked.recv().unwrap();
        assert!(!log.is_durable(ticket), "the first commit failed");
        log.durable(ticket).await;
        assert_eq!(store.failures.load(Ordering::SeqCst), 0);
    }

    #[tokio::test]
    async fn stopping_writes_what_was_submitted() {
        let store = Arc::new(MemorySessionStore::default());
        let log = DurableLog::start(store.clone(), 8);
        let ticket =
            log.submit(Op::Retain { scope: crate::testing::scope(), message: crate::fixtures::message("a", b"x") });
        log.stop();
        assert!(log.is_durable(ticket));
        assert_eq!(store.load().unwrap().retained.len(), 1);
    }

    #[test]
    fn a_backlog_is_told() {
        let (asked, was_asked) = mpsc::sync_channel(0);
        let store = Arc::new(Unwilling { failures: AtomicUsize::new(1), asked, inner: MemorySessionStore::default() });
        let log = DurableLog::start(store, 2);
        assert!(log.has_room());
        log.submit(enqueue(1));
        log.submit(enqueue(2));
        assert!(!log.has_room() || was_asked.try_recv().is_ok());
    }
}
