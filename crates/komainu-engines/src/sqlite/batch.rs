//! How a batch of changes is carried out.

use std::collections::HashMap;

use komainu_model::{
    Change, Delivery, DeliveryId, DeliveryState, Metric, Record, RecordKey, ReporterName, Scope, VerificationState,
    ViolationEvent,
};
use komainu_ports::CriteriaKind;
use rusqlite::{Transaction, params};

use crate::records::{
    StoredKey, criteria_word, encode_active_violation, encode_delivery, encode_event, encode_record, encode_value,
    event_step, stored_key, verification_word,
};

/// Series whose numbers are remembered; a million devices with five metrics each. The rest is looked up.
const SERIES_IDS_MAX: usize = 5_000_000;

/// A batch that is encoded and waits to be carried out.
pub(super) type Job = Vec<Step>;

/// One change, encoded.
#[derive(Debug)]
pub(super) enum Step {
    PutRecord { scope: Scope, key: StoredKey, body: String },
    DeleteRecord { scope: Scope, key: StoredKey },
    PutActiveViolation { scope: Scope, columns: ViolationColumns, started_at: i64 },
    DeleteActiveViolation { scope: Scope, violation: String },
    AppendEvent { scope: Scope, columns: ViolationColumns, at: i64, step: i64 },
    AppendDatapoint { series: Series, at: i64, value: Vec<u8> },
    PutDelivery { id: DeliveryId, state: DeliveryState, created_at: i64, body: String },
    DeleteDelivery { id: DeliveryId },
}

/// What active violations and events are found by.
#[derive(Debug)]
pub(super) struct ViolationColumns {
    violation: String,
    reporter: String,
    profile: String,
    criteria: Option<&'static str>,
    suppressed: bool,
    verification: &'static str,
    verification_description: Option<String>,
    body: String,
}

/// Whose values they are: scope, device and metric.
pub(super) type Series = (Scope, ReporterName, Metric);

/// The numbers of series in the database.
#[derive(Debug, Default)]
pub(super) struct SeriesIds(HashMap<Series, i64>);

/// Encodes a batch; done by each caller for itself, before it waits for the connection.
pub(super) fn prepare(batch: &[Change]) -> Job {
    batch.iter().map(Step::from).collect()
}

/// Carries a batch out.
pub(super) fn apply(transaction: &Transaction<'_>, ids: &mut SeriesIds, job: &Job) -> rusqlite::Result<()> {
    job.iter().try_for_each(|step| step.apply(transaction, ids))
}

impl From<&Change> for Step {
    fn from(change: &Change) -> Self {
        match change {
            Change::Put(scope, Record::ActiveViolation(violation)) => Self::PutActiveViolation {
                scope: scope.clone(),
                started_at: violation.started_at.unix_millis(),
                columns: ViolationColumns {
                    violation: violation.id.to_string(),
                    reporter: violation.reporter.to_string(),
                    profile: violation.profile.to_string(),
                    criteria: CriteriaKind::of(&violation.behavior).map(criteria_word),
                    suppressed: violation.behavior.suppress_alerts,
                    verification: verification_word(violation.verification),
                    verification_description: violation.verification_description.clone(),
                    body: encode_active_violation(violation),
                },
            },
            Change::Put(scope, record) => {
                Self::PutRecord { scope: scope.clone(), key: stored_key(&record.key()), body: encode_record(record) }
            }
            Change::Delete(scope, RecordKey::ActiveViolation(violation)) => {
                Self::DeleteActiveViolation { scope: scope.clone(), violation: violation.to_string() }
            }
            Change::Delete(scope, key) => Self::DeleteRecord { scope: scope.clone(), key: stored_key(key) },
            Change::AppendViolationEvent(scope, event) => Self::AppendEvent {
                scope: scope.clone(),
                at: event.at.unix_millis(),
                step: event_step(event.kind),
                columns: ViolationColumns::of_event(event),
            },
            Change::AppendDatapoint(scope, datapoint) => Self::AppendDatapoint {
                series: (scope.clone(), datapoint.reporter.clone(), datapoint.metric.clone()),
                at: datapoint.at.unix_millis(),
                value: encode_value(&datapoint.value),
            },
            Change::PutDelivery(delivery) => Self::put_delivery(delivery),
            Change::DeleteDelivery(id) => Self::DeleteDelivery { id: id.clone() },
        }
    }
}

impl ViolationColumns {
    fn of_event(event: &ViolationEvent) -> Self {
        let ViolationEvent { behavior, verification, verification_description, .. } = event;
        let verification: VerificationState = *verification;
        Self {
            violation: event.violation.to_string(),
            reporter: event.reporter.to_string(),
            profile: event.profile.to_string(),
            criteria: CriteriaKind::of(behavior).map(criteria_word),
            suppressed: behavior.suppress_alerts,
            verification: verification_word(verification),
            verification_description: verification_description.clone(),
            body: encode_event(event),
        }
    }
}

impl Step {
    fn put_delivery(delivery: &Delivery) -> Self {
        Self::PutDelivery {
            id: delivery.id.clone(),
            state: delivery.state,
            created_at: delivery.created_at.unix_millis(),
            body: encode_delivery(delivery),
        }
    }

    fn apply(&self, transaction: &Transaction<'_>, ids: &mut SeriesIds) -> rusqlite::Result<()> {
        match self {
            Self::PutRecord { scope, key, body } => transaction
                .prepare_cached(
                    "INSERT INTO record (account, region, kind, key, body) VALUES (?1, ?2, ?3, ?4, ?5) \
                     ON CONFLICT DO UPDATE SET body = excluded.body",
                )?
                .execute(params![scope.account.as_str(), scope.region.as_str(), key.kind, key.key, body])?,
            Self::DeleteRecord { scope, key } => transaction
                .prepare_cached("DELETE FROM record WHERE account = ?1 AND region = ?2 AND kind = ?3 AND key = ?4")?
                .execute(params![scope.account.as_str(), scope.region.as_str(), key.kind, key.key])?,
            Self::PutActiveViolation { scope, columns, started_at } => transaction
                .prepare_cached(
                    "INSERT OR REPLACE INTO active_violation (account, region, violation, started_at, reporter, \
                     profile, criteria, suppressed, verification, verification_description, body) \
                     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
                )?
                .execute(params![
                    scope.account.as_str(),
                    scope.region.as_str(),
                    columns.violation,
                    started_at,
                    columns.reporter,
                    columns.profile,
                    columns.criteria,
                    columns.suppressed,
                    columns.verification,
                    columns.verification_description,
                    columns.body,
                ])?,
            Self::DeleteActiveViolation { scope, violation } => transaction
                .prepare_cached("DELETE FROM active_violation WHERE account = ?1 AND region = ?2 AND violation = ?3")?
                .execute(params![scope.account.as_str(), scope.region.as_str(), violation])?,
            Self::AppendEvent { scope, columns, at, step } => transaction
                .prepare_cached(
                    "INSERT INTO violation_event (account, region, at, violation, step, reporter, \
                     profile, criteria, suppressed, verification, verification_description, body) \
                     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12) ON CONFLICT DO NOTHING",
                )?
                .execute(params![
                    scope.account.as_str(),
                    scope.region.as_str(),
                    at,
                    columns.violation,
                    step,
                    columns.reporter,
                    columns.profile,
                    columns.criteria,
                    columns.suppressed,
                    columns.verification,
                    columns.verification_description,
                    columns.body,
                ])?,
            Self::AppendDatapoint { series, at, value } => {
                let series = ids.of(transaction, series)?;
                transaction
                    .prepare_cached(
                        "INSERT INTO datapoint (at, series, value) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING",
                    )?
                    .execute(params![at, series, value])?
            }
            Self::PutDelivery { id, state, created_at, body } => {
                let (due_at, dead_at) = match state {
                    DeliveryState::Due(at) => (Some(at.unix_millis()), None),
                    DeliveryState::Dead(at) => (None, Some(at.unix_millis())),
                };
                transaction
                    .prepare_cached(
                        "INSERT OR REPLACE INTO delivery (id, due_at, dead_at, created_at, body) \
                         VALUES (?1, ?2, ?3, ?4, ?5)",
                    )?
                    .execute(params![id.as_str(), due_at, dead_at, created_at, body])?
            }
            Self::DeleteDelivery { id } => {
                transaction.prepare_cached("DELETE FROM delivery WHERE id = ?1")?.execute([id.as_str()])?
            }
        };
        Ok(())
    }
}

impl SeriesIds {
    /// The number of a series; it gets one when it has none.
    fn of(&mut self, transaction: &Transaction<'_>, series: &Series) -> rusqlite::Result<i64> {
        if let Some(id) = self.0.get(series) {
            return Ok(*id);
        }
        let (scope, reporter, metric) = series;
        let key = [scope.account.as_str(), scope.region.as_str(), reporter.as_str(), metric.as_str()];
        transaction
            .prepare_cached(
                "INSERT INTO series (account, region, reporter, metric) VALUES (?1, ?2, ?3, ?4) \
                 ON CONFLICT DO NOTHING",
            )?
            .execute(key)?;
        let id = transaction
            .prepare_cached(
                "SELECT id FROM series WHERE account = ?1 AND region = ?2 AND reporter = ?3 AND metric = ?4",
            )?
            .query_row(key, |row| row.get(0))?;
        if self.0.len() >= SERIES_IDS_MAX {
            self.0.clear();
        }
        self.0.insert(series.clone(), id);
        Ok(id)
    }
}
