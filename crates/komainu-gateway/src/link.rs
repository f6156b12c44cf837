//! How others reach the task of a connection: a few signals and one waker.

use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::{Context, Poll};

use futures_util::task::AtomicWaker;
use komainu_model::DisconnectReason;
use parking_lot::Mutex;

/// Why a connection's task is woken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Signal {
    /// Messages wait in the session's queue.
    Deliver = 1,
    /// A queue that this connection's publishing waited for has room, or its session is gone.
    Room = 2,
    /// What a reply waited for may have been written down.
    Settled = 4,
    /// The connection must end.
    End = 8,
}

/// The handle of one connection's task, or of one future that waits like one.
#[derive(Debug, Default)]
pub(crate) struct Link {
    signals: AtomicU8,
    waker: AtomicWaker,
    end: Mutex<Option<DisconnectReason>>,
}

impl Link {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self::default())
    }

    /// Wakes the task, unless the signal was given already and has not been taken.
    pub(crate) fn signal(&self, signal: Signal) {
        let bit = signal as u8;
        if self.signals.fetch_or(bit, Ordering::AcqRel) & bit == 0 {
            self.waker.wake();
        }
    }

    /// Asks the connection to end. The first reason counts.
    pub(crate) fn end(&self, reason: DisconnectReason) {
        self.end.lock().get_or_insert(reason);
        self.signal(Signal::End);
    }

    /// Lets signals wake `context` from now on. Then [`Link::take`] must be asked.
    pub(crate) fn register(&self, context: &Context<'_>) {
        self.waker.register(context.waker());
    }

    /// The signals that were given since the last call.
    pub(crate) fn take(&self) -> Signals {
        // Most polls find none: a load is cheaper than a swap.
        match self.signals.load(Ordering::Acquire) {
            0 => Signals(0),
            _ => Signals(self.signals.swap(0, Ordering::AcqRel)),
        }
    }

    /// Why the connection must end.
    pub(crate) fn end_reason(&self) -> Option<DisconnectReason> {
        *self.end.lock()
    }

    /// Waits for any signal.
    pub(crate) async fn signalled(&self) -> Signals {
        poll_fn(|context| {
            self.register(context);
            match self.take() {
                Signals(0) => Poll::Pending,
                signals => Poll::Ready(signals),
            }
        })
        .await
    }
}

/// A set of signals.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Signals(u8);

impl Signals {
    pub(crate) fn has(self, signal: Signal) -> bool {
        self.0 & signal as u8 != 0
    }
}
