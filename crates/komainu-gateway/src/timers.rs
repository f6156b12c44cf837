//! What sessions do later: publish a delayed will, end. One task for all of them.

use std::collections::BTreeMap;
use std::sync::{Arc, Weak};

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::session::Session;

/// Sessions by when they are due. An entry of a session that has changed since is harmless: whoever is given a
/// session that is due looks at the session itself.
#[derive(Default)]
pub(crate) struct Timers {
    due: Mutex<BTreeMap<(Instant, u64), Weak<Session>>>,
    changed: Notify,
}

impl Timers {
    /// Lets `session` be looked at when it is `at`.
    pub(crate) fn schedule(&self, at: Instant, session: &Arc<Session>) {
        let mut due = self.due.lock();
        let is_first = due.first_key_value().is_none_or(|((first, _), _)| at < *first);
        due.insert((at, session.number.0), Arc::downgrade(session));
        drop(due);
        if is_first {
            self.changed.notify_one();
        }
    }

    /// Waits for the next session that is due.
    pub(crate) async fn next_due(&self) -> Arc<Session> {
        loop {
            let next = {
                let mut due = self.due.lock();
                match due.first_key_value().map(|((at, _), _)| *at) {
                    Some(at) if at <= Instant::now() => {
                        let entry = due.pop_first().expect("there is a first");
                        match entry.1.upgrade() {
                            Some(session) => return session,
                            None => continue,
                        }
                    }
                    next => next,
                }
            };
            match next {
                Some(at) => {
                    tokio::select! {
                        biased;
                        () = self.changed.notified() => {}
                        () = tokio::time::sleep_until(at) => {}
                    }
                }
                None => self.changed.notified().await,
            }
        }
    }
}
