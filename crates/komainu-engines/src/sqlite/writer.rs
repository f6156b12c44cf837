//! One writer for many callers: batches that wait at the same time share one transaction.
//!
//! Making a transaction durable costs one write of the disk, whatever is in it. So a caller that has to wait leaves
//! its batch in a queue, and whoever gets the connection next carries out everything that waits there.

use std::mem;
use std::sync::{Arc, OnceLock};

use parking_lot::{Mutex, MutexGuard};
use rusqlite::{Connection, Transaction, TransactionBehavior};

/// A connection for writing, and what waits for it. `J` is a batch that is ready to be carried out, `C` what carrying
/// out keeps between batches.
#[derive(Debug)]
pub(super) struct Writer<J, C> {
    waiting: Mutex<Vec<Waiting<J>>>,
    connection: Mutex<WriteConnection<C>>,
}

/// The connection with what was learned over it.
#[derive(Debug)]
pub(super) struct WriteConnection<C> {
    pub(super) connection: Connection,
    /// What is known of the database. Emptied when a transaction fails, for it may come from there.
    pub(super) cache: C,
}

#[derive(Debug)]
struct Waiting<J> {
    job: J,
    outcome: Arc<OnceLock<Outcome>>,
}

/// How the shared transaction ended, for each of those who shared it.
type Outcome = Result<(), Arc<rusqlite::Error>>;

impl<J, C: Default> Writer<J, C> {
    pub(super) fn new(connection: Connection) -> Self {
        let connection = Mutex::new(WriteConnection { connection, cache: C::default() });
        Self { waiting: Mutex::new(Vec::new()), connection }
    }

    /// Carries out `job`, with `apply`, durably; perhaps together with the jobs of others, and then with their fate.
    pub(super) fn submit(
        &self,
        job: J,
        apply: fn(&Transaction<'_>, &mut C, &J) -> rusqlite::Result<()>,
    ) -> Result<(), Arc<rusqlite::Error>> {
        let outcome = Arc::new(OnceLock::new());
        self.waiting.lock().push(Waiting { job, outcome: Arc::clone(&outcome) });
        let mut connection = self.connection.lock();
        if let Some(outcome) = outcome.get() {
            return outcome.clone();
        }
        let group = mem::take(&mut *self.waiting.lock());
        let result = connection
            .transaction(|transaction, cache| group.iter().try_for_each(|one| apply(transaction, cache, &one.job)))
            .map_err(Arc::new);
        for one in &group {
            // Set once: a batch leaves the queue once, under the connection's lock.
            let _ = one.outcome.set(result.clone());
        }
        result
    }

    /// The connection, for what is not worth sharing.
    pub(super) fn lock(&self) -> MutexGuard<'_, WriteConnection<C>> {
        self.connection.lock()
    }
}

impl<C: Default> WriteConnection<C> {
    /// Runs `work` as one transaction.
    pub(super) fn transaction<T>(
        &mut self,
        work: impl FnOnce(&Transaction<'_>, &mut C) -> rusqlite::Result<T>,
    ) -> rusqlite::Result<T> {
        let cache = &mut self.cache;
        let result =
            self.connection.transaction_with_behavior(TransactionBehavior::Immediate).and_then(|transaction| {
                let value = work(&transaction, cache)?;
                transaction.commit()?;
                Ok(value)
            });
        if result.is_err() {
            self.cache = C::default();
        }
        result
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Numbers = Writer<Job, ()>;
    type Job = Vec<i64>;

    fn numbers() -> Numbers {
        let connection = Connection::open_in_memory().unwrap();
        connection.execute_batch("CREATE TABLE number (n INTEGER PRIMARY KEY) STRICT").unwrap();
        Writer::new(connection)
    }

    fn insert(transaction: &Transaction<'_>, (): &mut (), job: &Job) -> rusqlite::Result<()> {
        job.iter().try_for_each(|n| transaction.execute("INSERT INTO number VALUES (?1)", [n]).map(drop))
    }

    fn count(writer: &Numbers) -> i64 {
        writer.lock().connection.query_row("SELECT count(*) FROM number", [], |row| row.get(0)).unwrap()
    }

    #[test]
    fn a_batch_is_all_or_nothing() {
        let writer = numbers();
        writer.submit(vec![1, 2], insert).unwrap();
        assert!(writer.submit(vec![3, 1], insert).is_err());
        assert_eq!(count(&writer), 2);
        writer.submit(vec![3], insert).unwrap();
        assert_eq!(count(&writer), 3);
    }

    #[test]
    fn those_who_wait_share_a_transaction() {
        let writer = numbers();
        let held = writer.lock();
        std::thread::scope(|threads| {
            let submitted: Vec<_> = (0..8)
                .map(|n| {
                    threads.spawn({
                        let writer = &writer;
                        move || writer.submit(vec![n], insert)
                    })
                })
                .collect();
            while writer.waiting.lock().len() < 8 {
                std::thread::yield_now();
            }
            drop(held);
            for thread in submitted {
                thread.join().unwrap().unwrap();
            }
        });
        assert_eq!(count(&writer), 8);
        assert!(writer.waiting.lock().is_empty());
    }
}
