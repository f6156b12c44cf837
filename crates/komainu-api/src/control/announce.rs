//! Telling observers what was committed, in order and with no lock of ours held.

use std::collections::VecDeque;
use std::sync::Arc;

use komainu_model::Batch;
use komainu_ports::ChangeObserver;
use parking_lot::{Mutex, RwLock};

/// Batches on their way to observers.
#[derive(Default)]
pub(super) struct Announcer {
    observers: RwLock<Vec<Arc<dyn ChangeObserver>>>,
    queue: Mutex<Queue>,
}

#[derive(Default)]
struct Queue {
    batches: VecDeque<Batch>,
    /// Somebody is telling; what is queued meanwhile is told by the same.
    is_told: bool,
}

impl Announcer {
    pub(super) fn add(&self, observer: Arc<dyn ChangeObserver>) {
        self.observers.write().push(observer);
    }

    /// Puts a batch into the queue; called in the order of the commits. The queue is as long as the commits during one
    /// observer's call, and observers do not block.
    pub(super) fn queue(&self, batch: Batch) {
        self.queue.lock().batches.push_back(batch);
    }

    /// Tells what is queued. When somebody else is telling, for example because an observer changes something itself,
    /// that one tells this, too.
    pub(super) fn announce(&self) {
        if std::mem::replace(&mut self.queue.lock().is_told, true) {
            return;
        }
        // When an observer panics, the next commit goes on behind the batch it panicked at.
        let _told = Told(&self.queue);
        loop {
            let batch = {
                let mut queue = self.queue.lock();
                let Some(batch) = queue.batches.pop_front() else {
                    // Under the lock that found the queue empty: nobody can queue in between and see us telling.
                    queue.is_told = false;
                    return;
                };
                batch
            };
            let observers = self.observers.read().clone();
            observers.iter().for_each(|observer| observer.committed(&batch));
        }
    }
}

/// Ends the telling when it ends by a panic.
struct Told<'a>(&'a Mutex<Queue>);

impl Drop for Told<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.lock().is_told = false;
        }
    }
}
