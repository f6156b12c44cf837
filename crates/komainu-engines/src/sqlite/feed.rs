//! The lake's feed: bodies that wait until the lake has taken them.

use komainu_ports::{FedBatch, LakeBatchName, LakeFeed, StoreError};
use rusqlite::{OptionalExtension, Transaction, params};

use super::batch::{Step, apply};
use super::failed;
use super::store::{SqliteStore, blob};
use crate::records::{FedBody, decode_fed};

/// Bytes of all bodies that wait: what a thousand devices report in about two days. At the bound the oldest go: the rest of the
/// disk is for what must not be lost.
const BYTES_MAX: i64 = 256 << 20;

/// So many bodies, or so many bytes of them, are shown to wait at the same time. One at least is, whatever it has. Neither may
/// become smaller: what was handed to the lake together must be shown together again after a crash.
const SHOWN_MAX: i64 = 256;
const SHOWN_BYTES_MAX: usize = 256 * 1024;

/// The state of the feed in the database; none before it was looked at.
#[derive(Debug, Default)]
pub(super) struct Feed(Option<Known>);

#[derive(Debug)]
struct Known {
    /// Told apart from what was written when the file was opened another time, or a transaction had failed.
    life: i64,
    next_number: i64,
    bytes: i64,
}

impl Feed {
    /// Puts a body behind those that wait.
    pub(super) fn append(&mut self, transaction: &Transaction<'_>, body: FedBody) -> rusqlite::Result<()> {
        self.append_within(transaction, body, BYTES_MAX)
    }

    fn append_within(&mut self, transaction: &Transaction<'_>, body: FedBody, bytes_max: i64) -> rusqlite::Result<()> {
        if body.entries() == 0 {
            return Ok(());
        }
        let known = self.known(transaction)?;
        let entries = i64::try_from(body.entries()).unwrap_or(i64::MAX);
        transaction
            .prepare_cached("INSERT INTO lake_feed (number, life, entries, body) VALUES (?1, ?2, ?3, ?4)")?
            .execute(params![known.next_number, known.life, entries, body.bytes()])?;
        known.next_number += 1;
        known.bytes += i64::try_from(body.bytes().len()).unwrap_or(i64::MAX);
        while known.bytes > bytes_max {
            let oldest = transaction
                .prepare_cached(
                    "DELETE FROM lake_feed WHERE number = (SELECT min(number) FROM lake_feed) \
                     RETURNING entries, length(body)",
                )?
                .query_row([], |row| Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?)))
                .optional()?;
            let Some((entries, bytes)) = oldest else { break };
            known.bytes = known.bytes.saturating_sub(bytes);
            transaction.prepare_cached("UPDATE lake_feed_lost SET entries = entries + ?1")?.execute([entries])?;
        }
        Ok(())
    }

    /// Removes the bodies up to a number; says how many they were.
    pub(super) fn taken(&mut self, transaction: &Transaction<'_>, up_to: u64) -> rusqlite::Result<usize> {
        let known = self.known(transaction)?;
        let up_to = i64::try_from(up_to).unwrap_or(i64::MAX);
        let bytes: i64 = transaction
            .prepare_cached("SELECT coalesce(sum(length(body)), 0) FROM lake_feed WHERE number <= ?1")?
            .query_row([up_to], |row| row.get(0))?;
        known.bytes = known.bytes.saturating_sub(bytes);
        transaction.prepare_cached("DELETE FROM lake_feed WHERE number <= ?1")?.execute([up_to])
    }

    fn known(&mut self, transaction: &Transaction<'_>) -> rusqlite::Result<&mut Known> {
        if self.0.is_none() {
            let known = transaction.query_row(
                "SELECT random(), coalesce(max(number), 0) + 1, coalesce(sum(length(body)), 0) FROM lake_feed",
                [],
                |row| Ok(Known { life: row.get(0)?, next_number: row.get(1)?, bytes: row.get(2)? }),
            )?;
            self.0 = Some(known);
        }
        Ok(self.0.as_mut().expect("it was put there if it was not there"))
    }
}

impl LakeFeed for SqliteStore {
    fn waiting(&self) -> Result<Vec<FedBatch>, StoreError> {
        self.read(|connection| {
            let doing = "feeding the lake";
            let mut statement = connection
                .prepare_cached("SELECT number, life, body FROM lake_feed ORDER BY number LIMIT ?1")
                .map_err(failed(doing))?;
            let mut rows = statement.query([SHOWN_MAX]).map_err(failed(doing))?;
            let (mut batches, mut bytes, mut life) = (Vec::new(), 0, None);
            while let Some(row) = rows.next().map_err(failed(doing))? {
                let column = |index| row.get::<_, i64>(index).map_err(failed(doing));
                let (number, of_life) = (column(0)?, column(1)?);
                let body = blob(row, 2).map_err(failed(doing))?;
                let is_room = bytes < SHOWN_BYTES_MAX && life.is_none_or(|life| life == of_life);
                if !is_room {
                    break;
                }
                (bytes, life) = (bytes + body.len(), Some(of_life));
                let stream = format!("fleet/{:016x}", of_life.cast_unsigned());
                let name = LakeBatchName { stream, sequence: number.cast_unsigned() };
                batches.push(FedBatch { name, reported: decode_fed(body)? });
            }
            Ok(batches)
        })
    }

    fn taken(&self, up_to: u64) -> Result<(), StoreError> {
        self.writer
            .submit(vec![Step::TakenByLake { up_to }], apply)
            .map_err(|source| StoreError::Unavailable { doing: "feeding the lake", source: source.into() })
    }

    fn lost(&self) -> Result<u64, StoreError> {
        self.read(|connection| {
            let lost = connection.query_row("SELECT entries FROM lake_feed_lost", [], |row| row.get::<_, i64>(0));
            Ok(u64::try_from(lost.map_err(failed("feeding the lake"))?).unwrap_or(0))
        })
    }
}

#[cfg(test)]
mod tests {
    use komainu_model::{AccountId, Metric, Region, ReporterName, Scope};

    use super::*;

    #[test]
    fn at_the_bound_the_oldest_go_and_are_counted() {
        let folder = tempfile::tempdir().unwrap();
        let store = SqliteStore::open(&folder.path().join("store.db")).unwrap();
        let scope =
            Scope { account: AccountId::parse("123456789012").unwrap(), region: Region::parse("eu-west-1").unwrap() };
        let (reporter, metric) = (ReporterName::parse("camera").unwrap(), Metric::parse("m").unwrap());
        let body = |at: i64| {
            let mut body = FedBody::default();
            body.value(&scope, &reporter, at, &metric, &[1, 1]);
            body.value(&scope, &reporter, at, &metric, &[1, 2]);
            body
        };
        let bytes_max = 3 * i64::try_from(body(0).bytes().len()).unwrap();
        let mut feed = Feed::default();
        for at in 0..5 {
            let mut writer = store.writer.lock();
            writer.transaction(|transaction, _| feed.append_within(transaction, body(at), bytes_max)).unwrap();
        }
        let waiting = store.waiting().unwrap();
        let numbers: Vec<u64> = waiting.iter().map(|batch| batch.name.sequence).collect();
        assert_eq!((numbers, store.lost().unwrap()), (vec![3, 4, 5], 4));
        // What was looked at anew knows how much waits.
        let mut feed = Feed::default();
        let mut again = |transaction: &Transaction<'_>| feed.append_within(transaction, body(5), bytes_max);
        store.writer.lock().transaction(|transaction, _| again(transaction)).unwrap();
        assert_eq!(store.lost().unwrap(), 6);
        let waiting = store.waiting().unwrap();
        assert_eq!(waiting.len(), 2, "what was written in another life is shown apart");
        LakeFeed::taken(&store, waiting[1].name.sequence).unwrap();
        let waiting = store.waiting().unwrap();
        assert_eq!((waiting.len(), waiting[0].name.sequence), (1, 6));
    }
}
