//! The [`Store`] in SQLite: reading. How batches are carried out is in `batch`.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use komainu_model::{
    AccountId, ActiveViolation, Arn, Change, Datapoint, Delivery, DeliveryState, Metric, Record, Region, ReporterName,
    Scope, Timestamp, VerificationState, ViolationEvent, ViolationId,
};
use komainu_ports::{
    ActiveViolationQuery, AlarmCounts, AlarmTotals, DatapointQuery, Page, PageToken, Paged, Pruned, Store, StoreCounts,
    StoreError, ViolationEventQuery, ViolationLife,
};
use parking_lot::Mutex;
use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension, Row, params, params_from_iter};

use super::batch::{Job, KnownIds, apply, prepare};
use super::token::{ActiveToken, DatapointToken, DeliveryToken, EventToken};
use super::writer::Writer;
use super::{failed, open_connection, open_reader, schema};
use crate::records::{
    Damage, DeliveryBody, Verification, criteria_word, decode_active_violation, decode_delivery, decode_event,
    decode_record, decode_value, stored_key, verification_word,
};

/// Connections for reading that are kept open when nobody reads. More are opened when more read at once.
const READERS_KEPT: usize = 4;

/// Comes after every id: those are hexadecimal digits and hyphens.
const END_OF_IDS: &str = "g";

/// Rows that one transaction removes, so that commits do not wait long for a large removal.
const PRUNED_ROWS_MAX: u32 = 10_000;

/// Events that are read of one violation. There are three kinds, and each comes once; the bound holds for damaged files, too.
const EVENTS_OF_VIOLATION_MAX: u32 = 16;

/// A [`Store`] in one SQLite file.
#[derive(Debug)]
pub struct SqliteStore {
    path: PathBuf,
    pub(super) writer: Writer<Job, KnownIds>,
    readers: Mutex<Vec<Connection>>,
}

impl SqliteStore {
    /// Opens the database at `path`, makes it when it is not there, and brings it to this version when it is older.
    /// One process at a time: take the [`crate::DataFolder`] first.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        let mut connection = open_connection(path)?;
        schema::migrate(&mut connection)?;
        Ok(Self { path: path.to_owned(), writer: Writer::new(connection), readers: Mutex::default() })
    }

    /// Lets `work` read over a connection of its own.
    pub(super) fn read<T>(&self, work: impl FnOnce(&Connection) -> Result<T, StoreError>) -> Result<T, StoreError> {
        let kept = self.readers.lock().pop();
        let connection = match kept {
            Some(connection) => connection,
            None => open_reader(&self.path)?,
        };
        let result = work(&connection);
        let mut readers = self.readers.lock();
        if readers.len() < READERS_KEPT {
            readers.push(connection);
        }
        result
    }
}

impl Store for SqliteStore {
    fn load(&self) -> Result<Vec<(Scope, Record)>, StoreError> {
        self.read(|connection| {
            // One transaction, so that both tables are of the same moment.
            let snapshot = connection.unchecked_transaction().map_err(failed("loading records"))?;
            let mut records = load_records(&snapshot)?;
            records.append(&mut load_active_violations(&snapshot)?);
            Ok(records)
        })
    }

    fn commit(&self, batch: &[Change]) -> Result<(), StoreError> {
        if batch.is_empty() {
            return Ok(());
        }
        self.writer
            .submit(prepare(batch), apply)
            .map_err(|source| StoreError::Unavailable { doing: "committing", source: source.into() })
    }

    fn active_violations(
        &self,
        scope: &Scope,
        query: &ActiveViolationQuery,
        page: &Page,
    ) -> Result<Paged<ActiveViolation>, StoreError> {
        let mut select = Select::new(
            "SELECT verification, verification_description, body, started_at, violation FROM active_violation \
             WHERE account = ? AND region = ?",
            scope,
        );
        select.narrow("AND reporter = ?", query.reporter.as_ref().map(ReporterName::as_str));
        select.narrow("AND profile = ?", query.profile.as_ref().map(|profile| profile.as_str()));
        select.narrow("AND criteria = ?", query.criteria.map(criteria_word));
        select.narrow("AND suppressed = ?", (!query.include_suppressed).then_some(0));
        select.narrow("AND verification = ?", query.verification.map(verification_word));
        if let Some(token) = &page.after {
            let after = ActiveToken::read(token)?;
            select.narrow("AND (started_at, violation) < (?, ", Some(after.started_at));
            select.narrow("?)", Some(after.violation));
        }
        select.text.push_str(" ORDER BY started_at DESC, violation DESC LIMIT ?");
        self.read(|connection| {
            select.page(connection, "listing active violations", page.limit, |row| {
                let violation = decode_active_violation(text(row, 2)?, verification(row, 0)?);
                let token = ActiveToken { started_at: row.get(3)?, violation: row.get(4)? };
                Ok(violation.map(|violation| (violation, token.write())))
            })
        })
    }

    fn violation_events(
        &self,
        scope: &Scope,
        query: &ViolationEventQuery,
        page: &Page,
    ) -> Result<Paged<ViolationEvent>, StoreError> {
        let mut select = Select::new(
            "SELECT verification, verification_description, body, at, violation, step FROM violation_event \
             WHERE account = ? AND region = ?",
            scope,
        );
        select.narrow("AND at >= ?", Some(query.from.unix_millis()));
        select.narrow("AND at <= ?", Some(query.to.unix_millis()));
        select.narrow("AND reporter = ?", query.reporter.as_ref().map(ReporterName::as_str));
        select.narrow("AND profile = ?", query.profile.as_ref().map(|profile| profile.as_str()));
        select.narrow("AND criteria = ?", query.criteria.map(criteria_word));
        select.narrow("AND suppressed = ?", (!query.include_suppressed).then_some(0));
        select.narrow("AND verification = ?", query.verification.map(verification_word));
        if let Some(token) = &page.after {
            let after = EventToken::read(token)?;
            select.narrow("AND (at, violation, step) < (?, ", Some(after.at));
            select.narrow("?, ", Some(after.violation));
            select.narrow("?)", Some(after.step));
        }
        select.text.push_str(" ORDER BY at DESC, violation DESC, step DESC LIMIT ?");
        self.read(|connection| {
            select.page(connection, "listing violation events", page.limit, |row| {
                let event = decode_event(text(row, 2)?, verification(row, 0)?);
                let token = EventToken { at: row.get(3)?, violation: row.get(4)?, step: row.get(5)? };
                Ok(event.map(|event| (event, token.write())))
            })
        })
    }

    fn verify_violation(
        &self,
        scope: &Scope,
        violation: &ViolationId,
        state: VerificationState,
        description: Option<&str>,
    ) -> Result<bool, StoreError> {
        const TABLES: [&str; 2] = ["active_violation", "violation_event"];
        let parameters = params![
            scope.account.as_str(),
            scope.region.as_str(),
            violation.as_str(),
            verification_word(state),
            description
        ];
        let changed = self.writer.lock().transaction(|transaction, _| {
            let mut changed = 0;
            for table in TABLES {
                let update = format!(
                    "UPDATE {table} SET verification = ?4, verification_description = ?5 \
                     WHERE account = ?1 AND region = ?2 AND violation = ?3"
                );
                changed += transaction.prepare_cached(&update)?.execute(parameters)?;
            }
            Ok(changed)
        });
        changed.map(|changed| changed > 0).map_err(failed("verifying a violation"))
    }

    fn violation(&self, scope: &Scope, violation: &ViolationId) -> Result<ViolationLife, StoreError> {
        let doing = "looking for a violation";
        let key = [scope.account.as_str(), scope.region.as_str(), violation.as_str()];
        self.read(|connection| {
            // One transaction, so that both are of the same moment.
            let snapshot = connection.unchecked_transaction().map_err(failed(doing))?;
            let active = snapshot
                .prepare_cached(
                    "SELECT verification, verification_description, body FROM active_violation \
                     WHERE account = ?1 AND region = ?2 AND violation = ?3",
                )
                .and_then(|mut statement| {
                    let row = |row: &Row<'_>| Ok(decode_active_violation(text(row, 2)?, verification(row, 0)?));
                    statement.query_row(key, row).optional()
                });
            let active = active.map_err(failed(doing))?.transpose()?;
            let mut statement = snapshot
                .prepare_cached(
                    "SELECT verification, verification_description, body FROM violation_event \
                     WHERE account = ?1 AND region = ?2 AND violation = ?3 ORDER BY at, step LIMIT ?4",
                )
                .map_err(failed(doing))?;
            let events = statement
                .query_map(params![key[0], key[1], key[2], EVENTS_OF_VIOLATION_MAX], |row| {
                    Ok(decode_event(text(row, 2)?, verification(row, 0)?))
                })
                .map_err(failed(doing))?;
            let events = events.map(|event| event.map_err(failed(doing))?).collect::<Result<_, _>>()?;
            Ok(ViolationLife { active, events })
        })
    }

    fn alarm_totals(&self, scope: &Scope, reporters_max: usize) -> Result<AlarmTotals, StoreError> {
        let doing = "counting active violations";
        self.read(|connection| {
            let mut statement = connection
                .prepare_cached(
                    "SELECT reporter, count(*), sum(verification = ?3 AND suppressed = 0) AS unverified, \
                     sum(suppressed), max(started_at) AS latest_at \
                     FROM active_violation WHERE account = ?1 AND region = ?2 \
                     GROUP BY reporter ORDER BY unverified DESC, latest_at DESC, reporter",
                )
                .map_err(failed(doing))?;
            let unknown = verification_word(VerificationState::Unknown);
            let mut rows =
                statement.query([scope.account.as_str(), scope.region.as_str(), unknown]).map_err(failed(doing))?;
            let mut totals = AlarmTotals::default();
            while let Some(row) = rows.next().map_err(failed(doing))? {
                let count = |index| row.get::<_, i64>(index).map(|count| count.unsigned_abs()).map_err(failed(doing));
                let counts = AlarmCounts {
                    active: count(1)?,
                    unverified: count(2)?,
                    suppressed: count(3)?,
                    latest_at: Timestamp::from_unix_millis(row.get(4).map_err(failed(doing))?),
                };
                totals.reporters += 1;
                totals.all.add(&counts);
                if totals.of_reporters.len() < reporters_max {
                    let reporter = ReporterName::parse(text(row, 0).map_err(failed(doing))?);
                    let damaged = |invalid| Damage::from(invalid).of("active violation");
                    totals.of_reporters.push((reporter.map_err(damaged)?, counts));
                }
            }
            Ok(totals)
        })
    }

    fn measured(
        &self,
        scope: &Scope,
        reporter: &ReporterName,
        limit: usize,
    ) -> Result<Vec<(Metric, Timestamp)>, StoreError> {
        let doing = "listing measured metrics";
        self.read(|connection| {
            let mut statement = connection
                .prepare_cached(
                    "SELECT metric, latest_at FROM (\
                       SELECT metric, (SELECT max(at) FROM datapoint WHERE series = series.id) AS latest_at \
                       FROM series WHERE account = ?1 AND region = ?2 AND reporter = ?3\
                     ) WHERE latest_at IS NOT NULL ORDER BY metric LIMIT ?4",
                )
                .map_err(failed(doing))?;
            let limit = i64::try_from(limit).unwrap_or(i64::MAX);
            let key = params![scope.account.as_str(), scope.region.as_str(), reporter.as_str(), limit];
            let mut rows = statement.query(key).map_err(failed(doing))?;
            let mut measured = Vec::new();
            while let Some(row) = rows.next().map_err(failed(doing))? {
                let metric = Metric::parse(text(row, 0).map_err(failed(doing))?);
                let metric = metric.map_err(|invalid| Damage::from(invalid).of("series"))?;
                measured.push((metric, Timestamp::from_unix_millis(row.get(1).map_err(failed(doing))?)));
            }
            Ok(measured)
        })
    }

    fn datapoints(&self, scope: &Scope, query: &DatapointQuery, page: &Page) -> Result<Paged<Datapoint>, StoreError> {
        let after = page.after.as_ref().map(DatapointToken::read).transpose()?;
        self.read(|connection| {
            let doing = "listing values";
            let series = connection
                .prepare_cached(
                    "SELECT id FROM series WHERE account = ?1 AND region = ?2 AND reporter = ?3 AND metric = ?4",
                )
                .and_then(|mut statement| {
                    let key = [scope.account.as_str(), scope.region.as_str()];
                    let key = [key[0], key[1], query.reporter.as_str(), query.metric.as_str()];
                    statement.query_row(key, |row| row.get::<_, i64>(0)).optional()
                })
                .map_err(failed(doing))?;
            let Some(series) = series else { return Ok(Paged { items: Vec::new(), next: None }) };
            page_of_series(connection, series, query, after, page.limit)
        })
    }

    fn replay_datapoints(
        &self,
        since: Timestamp,
        visit: &mut dyn FnMut(Scope, Datapoint) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        self.read(|connection| replay(connection, since, visit))
    }

    fn deliveries_due(&self, now: Timestamp, limit: usize) -> Result<Vec<Delivery>, StoreError> {
        self.read(|connection| {
            let doing = "listing due deliveries";
            let mut statement = connection
                .prepare_cached(
                    "SELECT due_at, body FROM delivery WHERE due_at <= ?1 ORDER BY due_at, created_at, id LIMIT ?2",
                )
                .map_err(failed(doing))?;
            let limit = i64::try_from(limit).unwrap_or(i64::MAX);
            let rows = statement
                .query_map([now.unix_millis(), limit], |row| {
                    let state = DeliveryState::Due(Timestamp::from_unix_millis(row.get(0)?));
                    Ok(DeliveryBody { body: row.get(1)?, state })
                })
                .map_err(failed(doing))?;
            rows.map(|row| decode_delivery(row.map_err(failed(doing))?)).collect()
        })
    }

    fn next_delivery_at(&self, now: Timestamp) -> Result<Option<Timestamp>, StoreError> {
        self.read(|connection| {
            let next = connection
                .prepare_cached("SELECT min(due_at) FROM delivery WHERE due_at > ?1")
                .and_then(|mut statement| statement.query_row([now.unix_millis()], |row| row.get(0)));
            let next: Option<i64> = next.map_err(failed("asking for the next delivery"))?;
            Ok(next.map(Timestamp::from_unix_millis))
        })
    }

    fn deliveries_of_topic(&self, topic: &Arn, page: &Page) -> Result<Paged<Delivery>, StoreError> {
        let after = page.after.as_ref().map(DeliveryToken::read).transpose()?;
        let after = after.unwrap_or(DeliveryToken { created_at: i64::MAX, id: END_OF_IDS.to_owned() });
        self.read(|connection| {
            let doing = "listing deliveries";
            let mut statement = connection
                .prepare_cached(
                    "SELECT due_at, dead_at, body FROM delivery WHERE json_extract(body, '$.notification.topic') = ?1 \
                     AND (created_at, id) < (?2, ?3) ORDER BY created_at DESC, id DESC LIMIT ?4",
                )
                .map_err(failed(doing))?;
            let limit = page.limit.max(1);
            // One more tells whether there is more.
            let wanted = i64::try_from(limit).unwrap_or(i64::MAX).saturating_add(1);
            let rows = statement
                .query_map(params![topic.as_str(), after.created_at, after.id, wanted], |row| {
                    let (due_at, dead_at) = (row.get::<_, Option<i64>>(0)?, row.get::<_, Option<i64>>(1)?);
                    let state = match (due_at, dead_at) {
                        (_, Some(at)) => DeliveryState::Dead(Timestamp::from_unix_millis(at)),
                        // The table has one of the two in each row.
                        (at, None) => DeliveryState::Due(Timestamp::from_unix_millis(at.unwrap_or_default())),
                    };
                    Ok(DeliveryBody { body: row.get(2)?, state })
                })
                .map_err(failed(doing))?;
            let mut items: Vec<Delivery> =
                rows.map(|row| decode_delivery(row.map_err(failed(doing))?)).collect::<Result<_, _>>()?;
            let has_more = items.len() > limit;
            items.truncate(limit);
            let token = |last: &Delivery| {
                DeliveryToken { created_at: last.created_at.unix_millis(), id: last.id.to_string() }.write()
            };
            let next = items.last().filter(|_| has_more).map(token);
            Ok(Paged { items, next })
        })
    }

    fn counts(&self) -> Result<StoreCounts, StoreError> {
        self.read(|connection| {
            let one = |sql: &str| -> Result<(i64, Option<i64>), StoreError> {
                let row = connection
                    .prepare_cached(sql)
                    .and_then(|mut statement| statement.query_row([], |row| Ok((row.get(0)?, row.get(1)?))));
                row.map_err(failed("counting"))
            };
            let (violations, _) = one("SELECT count(*), NULL FROM active_violation")?;
            let (waiting, since) = one("SELECT count(*), min(created_at) FROM delivery WHERE due_at IS NOT NULL")?;
            let (dead, _) = one("SELECT count(*), NULL FROM delivery WHERE dead_at IS NOT NULL")?;
            Ok(StoreCounts {
                violations_active: violations.cast_unsigned(),
                deliveries_waiting: waiting.cast_unsigned(),
                deliveries_waiting_since: since.map(Timestamp::from_unix_millis),
                deliveries_dead: dead.cast_unsigned(),
            })
        })
    }

    fn prune(&self, before: Timestamp) -> Result<Pruned, StoreError> {
        let deliveries = self.prune_rows(
            "DELETE FROM delivery WHERE rowid IN (SELECT rowid FROM delivery WHERE dead_at < ?1 LIMIT ?2)",
            before,
        )?;
        let violation_events = self.prune_rows(
            "DELETE FROM violation_event WHERE rowid IN (SELECT rowid FROM violation_event WHERE at < ?1 LIMIT ?2)",
            before,
        )?;
        let datapoints = self.prune_rows(
            "DELETE FROM datapoint WHERE (at, series, value) IN \
             (SELECT at, series, value FROM datapoint WHERE at < ?1 LIMIT ?2)",
            before,
        )?;
        if datapoints > 0 {
            self.forget_empty_series()?;
        }
        let sightings = self.prune_rows(
            "DELETE FROM sighting WHERE (account, region, reporter, indicator) IN \
             (SELECT account, region, reporter, indicator FROM sighting WHERE last_at < ?1 LIMIT ?2)",
            before,
        )?;
        let refused = self.prune_rows(
            "DELETE FROM refused_candidate WHERE id IN (SELECT id FROM refused_candidate WHERE at < ?1 LIMIT ?2)",
            before,
        )?;
        let contacts = self.prune_contacts(before)?;
        Ok(Pruned { violation_events, datapoints, deliveries, contacts, sightings, refused })
    }
}

impl SqliteStore {
    /// Removes rows older than `before`, a part at a time, and says how many they were.
    fn prune_rows(&self, delete: &str, before: Timestamp) -> Result<u64, StoreError> {
        let mut removed = 0;
        loop {
            let part = self.writer.lock().transaction(|transaction, _| {
                transaction.prepare_cached(delete)?.execute(params![before.unix_millis(), PRUNED_ROWS_MAX])
            });
            let part = part.map_err(failed("removing old history"))?;
            removed += part as u64;
            if part < PRUNED_ROWS_MAX as usize {
                return Ok(removed);
            }
        }
    }

    /// Removes the names of devices of which no value is left: whoever makes names up must not fill the disk.
    fn forget_empty_series(&self) -> Result<(), StoreError> {
        let forgotten = self.writer.lock().transaction(|transaction, ids| {
            let removed = transaction.execute(
                "DELETE FROM series WHERE NOT EXISTS (SELECT 1 FROM datapoint WHERE series = series.id)",
                [],
            )?;
            if removed > 0 {
                // Their numbers may be given to others.
                *ids = KnownIds::default();
            }
            Ok(())
        });
        forgotten.map_err(failed("removing old history"))
    }
}

fn load_records(connection: &Connection) -> Result<Vec<(Scope, Record)>, StoreError> {
    let doing = "loading records";
    let mut statement = connection
        .prepare_cached("SELECT account, region, kind, key, body FROM record ORDER BY account, region, kind, key")
        .map_err(failed(doing))?;
    let mut rows = statement.query([]).map_err(failed(doing))?;
    let mut records = Vec::new();
    while let Some(row) = rows.next().map_err(failed(doing))? {
        let column = |index| text(row, index).map_err(failed(doing));
        let (kind, key) = (column(2)?, column(3)?);
        let record = decode_record(kind, column(4)?)?;
        let stored = stored_key(&record.key());
        if (stored.kind, stored.key.as_str()) != (kind, key) {
            return Err(
                Damage(format!("the {} {:?} is stored as {kind} {key:?}", stored.kind, stored.key)).of("record")
            );
        }
        records.push((scope_of(column(0)?, column(1)?)?, record));
    }
    Ok(records)
}

fn load_active_violations(connection: &Connection) -> Result<Vec<(Scope, Record)>, StoreError> {
    let doing = "loading active violations";
    let mut statement = connection
        .prepare_cached(
            "SELECT account, region, verification, verification_description, body FROM active_violation \
             ORDER BY account, region, violation",
        )
        .map_err(failed(doing))?;
    let mut rows = statement.query([]).map_err(failed(doing))?;
    let mut violations = Vec::new();
    while let Some(row) = rows.next().map_err(failed(doing))? {
        let column = |index| text(row, index).map_err(failed(doing));
        let violation = decode_active_violation(column(4)?, verification(row, 2).map_err(failed(doing))?)?;
        violations.push((scope_of(column(0)?, column(1)?)?, Record::ActiveViolation(violation)));
    }
    Ok(violations)
}

fn page_of_series(
    connection: &Connection,
    series: i64,
    query: &DatapointQuery,
    after: Option<DatapointToken>,
    limit: usize,
) -> Result<Paged<Datapoint>, StoreError> {
    let doing = "listing values";
    let from = query.from.unix_millis().max(after.as_ref().map_or(i64::MIN, |after| after.at));
    let mut statement = connection
        .prepare_cached(
            "SELECT at, value FROM datapoint WHERE series = ?1 AND at >= ?2 AND at <= ?3 ORDER BY at, value",
        )
        .map_err(failed(doing))?;
    let mut rows = statement.query([series, from, query.to.unix_millis()]).map_err(failed(doing))?;
    // Values of the time at which the last page ended come again; what follows is what comes after the last of them.
    // Values of one time are removed together, so either that one is still there or none of them is.
    let mut shown_until = after;
    let mut items: Vec<Datapoint> = Vec::new();
    let mut last: Option<DatapointToken> = None;
    while let Some(row) = rows.next().map_err(failed(doing))? {
        let (at, value) = (row.get(0).map_err(failed(doing))?, blob(row, 1).map_err(failed(doing))?);
        match &shown_until {
            Some(shown) if shown.at == at => {
                if DatapointToken::of(at, value).value_sha256 == shown.value_sha256 {
                    shown_until = None;
                }
                continue;
            }
            _ => {}
        }
        if items.len() >= limit.max(1) {
            return Ok(Paged { items, next: last.map(|last| last.write()) });
        }
        if items.len() + 1 == limit.max(1) {
            last = Some(DatapointToken::of(at, value));
        }
        items.push(Datapoint {
            reporter: query.reporter.clone(),
            metric: query.metric.clone(),
            value: decode_value(value)?,
            at: Timestamp::from_unix_millis(at),
        });
    }
    Ok(Paged { items, next: None })
}

fn replay(
    connection: &Connection,
    since: Timestamp,
    visit: &mut dyn FnMut(Scope, Datapoint) -> ControlFlow<()>,
) -> Result<(), StoreError> {
    let doing = "replaying values";
    let snapshot = connection.unchecked_transaction().map_err(failed(doing))?;
    let mut statement = snapshot
        .prepare_cached("SELECT at, series, value FROM datapoint WHERE at >= ?1 ORDER BY at, series, value")
        .map_err(failed(doing))?;
    let mut names = snapshot
        .prepare_cached("SELECT account, region, reporter, metric FROM series WHERE id = ?1")
        .map_err(failed(doing))?;
    let mut known: HashMap<i64, (Scope, ReporterName, Metric)> = HashMap::new();
    let mut rows = statement.query([since.unix_millis()]).map_err(failed(doing))?;
    while let Some(row) = rows.next().map_err(failed(doing))? {
        let series: i64 = row.get(1).map_err(failed(doing))?;
        let (scope, reporter, metric) = match known.entry(series) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(vacant) => {
                vacant.insert(names.query_row([series], |row| Ok(series_of(row))).map_err(failed(doing))??)
            }
        };
        let datapoint = Datapoint {
            reporter: reporter.clone(),
            metric: metric.clone(),
            value: decode_value(blob(row, 2).map_err(failed(doing))?)?,
            at: Timestamp::from_unix_millis(row.get(0).map_err(failed(doing))?),
        };
        if visit(scope.clone(), datapoint).is_break() {
            break;
        }
    }
    Ok(())
}

fn series_of(row: &Row<'_>) -> Result<(Scope, ReporterName, Metric), StoreError> {
    let column = |index| text(row, index).map_err(failed("replaying values"));
    let damaged = |invalid| Damage::from(invalid).of("series");
    Ok((
        scope_of(column(0)?, column(1)?)?,
        ReporterName::parse(column(2)?).map_err(damaged)?,
        Metric::parse(column(3)?).map_err(damaged)?,
    ))
}

pub(super) fn scope_of(account: &str, region: &str) -> Result<Scope, StoreError> {
    let damaged = |invalid| Damage::from(invalid).of("scope");
    Ok(Scope { account: AccountId::parse(account).map_err(damaged)?, region: Region::parse(region).map_err(damaged)? })
}

pub(super) fn text<'a>(row: &'a Row<'_>, index: usize) -> rusqlite::Result<&'a str> {
    Ok(row.get_ref(index)?.as_str()?)
}

pub(super) fn blob<'a>(row: &'a Row<'_>, index: usize) -> rusqlite::Result<&'a [u8]> {
    Ok(row.get_ref(index)?.as_blob()?)
}

/// What people found out, in the columns `index` and `index + 1`.
fn verification(row: &Row<'_>, index: usize) -> rusqlite::Result<Verification> {
    Ok(Verification { state: row.get(index)?, description: row.get(index + 1)? })
}

/// A query that is put together from fixed pieces; what callers give goes into parameters.
struct Select {
    text: String,
    parameters: Vec<Value>,
}

impl Select {
    /// Starts with `head`, which has a parameter each for account and region.
    fn new(head: &'static str, scope: &Scope) -> Self {
        let parameters = [scope.account.as_str(), scope.region.as_str()].map(|part| Value::from(part.to_owned()));
        Self { text: head.to_owned(), parameters: parameters.into() }
    }

    /// Adds a piece that has one parameter, when there is a value for it.
    fn narrow(&mut self, piece: &'static str, value: Option<impl Into<Parameter>>) {
        if let Some(value) = value {
            self.text.push(' ');
            self.text.push_str(piece);
            self.parameters.push(value.into().0);
        }
    }

    /// Runs the query, whose last parameter is its limit, and shows each row to `item`, which says what the row is
    /// and where a page ends that ends with it.
    fn page<T>(
        mut self,
        connection: &Connection,
        doing: &'static str,
        limit: usize,
        item: impl Fn(&Row<'_>) -> rusqlite::Result<Result<(T, PageToken), StoreError>>,
    ) -> Result<Paged<T>, StoreError> {
        let limit = limit.max(1);
        // One more than is shown says whether there is more.
        self.parameters.push(Value::from(i64::try_from(limit).unwrap_or(i64::MAX).saturating_add(1)));
        let mut statement = connection.prepare_cached(&self.text).map_err(failed(doing))?;
        let mut rows = statement.query(params_from_iter(self.parameters)).map_err(failed(doing))?;
        let (mut items, mut last) = (Vec::new(), None);
        while let Some(row) = rows.next().map_err(failed(doing))? {
            if items.len() == limit {
                return Ok(Paged { items, next: last });
            }
            let (shown, token) = item(row).map_err(failed(doing))??;
            items.push(shown);
            last = Some(token);
        }
        Ok(Paged { items, next: None })
    }
}

/// A value for a parameter.
struct Parameter(Value);

impl From<&str> for Parameter {
    fn from(text: &str) -> Self {
        Self(Value::Text(text.to_owned()))
    }
}

impl From<String> for Parameter {
    fn from(text: String) -> Self {
        Self(Value::Text(text))
    }
}

impl From<i64> for Parameter {
    fn from(number: i64) -> Self {
        Self(Value::Integer(number))
    }
}
