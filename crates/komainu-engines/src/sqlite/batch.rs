//! How a batch of changes is carried out.

use std::collections::HashMap;

use komainu_model::{
    Change, Contact, Delivery, DeliveryId, DeliveryState, Indicator, IndicatorChange, IndicatorId, Metric, Record,
    RecordKey, RefusedCandidate, ReporterName, Scope, Sighting, VerificationState, ViolationEvent,
};
use komainu_ports::{CONTACTS_PER_DEVICE_MAX, CriteriaKind, IndicatorKind};
use rusqlite::{Transaction, params};

use super::feed::Feed;
use crate::records::{
    FedBody, StoredKey, criteria_word, encode_active_violation, encode_delivery, encode_event, encode_indicator,
    encode_record, encode_refused, encode_value, event_step, remote_key, stored_key, verification_word,
};

/// Series whose numbers are remembered; a million devices with five metrics each. The rest is looked up.
const SERIES_IDS_MAX: usize = 5_000_000;

/// Devices whose numbers are remembered; the rest is looked up.
const DEVICES_MAX: usize = 1_000_000;
/// So many contacts of a device are let go when it has as many as it may have.
const CONTACTS_LET_GO: u32 = 512;

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
    PutIndicator { id: IndicatorId, columns: IndicatorColumns, look_back: bool },
    LookedBack { id: IndicatorId },
    PutRefused { id: IndicatorId, at: i64, body: String },
    AddContact { device: Device, remote: String, port: u16, first_at: i64, last_at: i64, count: i64 },
    AddSighting { scope: Scope, sighting: Sighting },
    TakenByLake { up_to: u64 },
}

/// What indicators are found by.
#[derive(Debug)]
pub(super) struct IndicatorColumns {
    value: String,
    state: &'static str,
    valid_until: i64,
    body: String,
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

/// Who a contact is of.
pub(super) type Device = (Scope, ReporterName);

/// The numbers of series and of devices in the database, and the state of the lake's feed.
#[derive(Debug, Default)]
pub(super) struct KnownIds {
    series: HashMap<Series, i64>,
    devices: HashMap<Device, DeviceRow>,
    feed: Feed,
}

/// A device, and how many contacts it has.
#[derive(Debug, Clone, Copy)]
struct DeviceRow {
    id: i64,
    contacts: u32,
}

/// Encodes a batch; done by each caller for itself, before it waits for the connection.
pub(super) fn prepare(batch: &[Change]) -> Job {
    batch.iter().map(Step::from).collect()
}

/// Carries a batch out, and puts what the lake has to know of it into its feed.
pub(super) fn apply(transaction: &Transaction<'_>, ids: &mut KnownIds, job: &Job) -> rusqlite::Result<()> {
    let mut body = FedBody::default();
    for step in job {
        let changed = step.apply(transaction, ids)?;
        step.tell(changed, &mut body);
        if body.is_full() {
            ids.feed.append(transaction, std::mem::take(&mut body))?;
        }
    }
    ids.feed.append(transaction, body)
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
            Change::Indicators(change) => Self::of_indicators(change),
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

impl IndicatorColumns {
    fn of(indicator: &Indicator) -> Self {
        Self {
            value: indicator.value.to_string(),
            state: IndicatorKind::of(&indicator.state).as_str(),
            valid_until: indicator.valid_until.unix_millis(),
            body: encode_indicator(indicator),
        }
    }
}

impl Step {
    fn of_indicators(change: &IndicatorChange) -> Self {
        match change {
            IndicatorChange::Put(indicator) => {
                Self::PutIndicator { id: indicator.id, columns: IndicatorColumns::of(indicator), look_back: false }
            }
            IndicatorChange::PutToLookBack(indicator) => {
                Self::PutIndicator { id: indicator.id, columns: IndicatorColumns::of(indicator), look_back: true }
            }
            IndicatorChange::LookedBack(id) => Self::LookedBack { id: *id },
            IndicatorChange::PutRefused(refused @ RefusedCandidate { id, at, .. }) => {
                Self::PutRefused { id: *id, at: at.unix_millis(), body: encode_refused(refused) }
            }
            IndicatorChange::AddContact(scope, contact) => {
                let Contact { reporter, remote, first_at, last_at, count } = contact;
                let (remote, port) = remote_key(remote);
                Self::AddContact {
                    device: (scope.clone(), reporter.clone()),
                    remote,
                    port,
                    first_at: first_at.unix_millis(),
                    last_at: last_at.unix_millis(),
                    count: i64::try_from(*count).unwrap_or(i64::MAX),
                }
            }
            IndicatorChange::AddSighting(scope, sighting) => {
                Self::AddSighting { scope: scope.clone(), sighting: sighting.clone() }
            }
        }
    }

    fn put_delivery(delivery: &Delivery) -> Self {
        Self::PutDelivery {
            id: delivery.id.clone(),
            state: delivery.state,
            created_at: delivery.created_at.unix_millis(),
            body: encode_delivery(delivery),
        }
    }

    /// Adds what the lake has to know of the step, which changed so many rows.
    fn tell(&self, changed: usize, body: &mut FedBody) {
        match self {
            Self::AppendDatapoint { series: (scope, reporter, metric), at, value } => {
                // A value that is known was told when it was new.
                if changed > 0 {
                    body.value(scope, reporter, *at, metric, value);
                }
            }
            Self::AddContact { device: (scope, reporter), remote, port, last_at, .. } => {
                body.contact(scope, reporter, *last_at, remote, *port);
            }
            Self::PutRecord { .. }
            | Self::DeleteRecord { .. }
            | Self::PutActiveViolation { .. }
            | Self::DeleteActiveViolation { .. }
            | Self::AppendEvent { .. }
            | Self::PutDelivery { .. }
            | Self::DeleteDelivery { .. }
            | Self::PutIndicator { .. }
            | Self::LookedBack { .. }
            | Self::PutRefused { .. }
            | Self::AddSighting { .. }
            | Self::TakenByLake { .. } => {}
        }
    }

    /// Says how many rows are new or other than before, as far as the step is one statement.
    fn apply(&self, transaction: &Transaction<'_>, ids: &mut KnownIds) -> rusqlite::Result<usize> {
        let changed = match self {
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
                let series = ids.series(transaction, series)?;
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
            Self::PutIndicator { id, columns, look_back } => transaction
                .prepare_cached(
                    "INSERT INTO indicator (id, value, state, valid_until, look_back, body) \
                     VALUES (?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT DO UPDATE SET state = excluded.state, \
                     valid_until = excluded.valid_until, look_back = max(look_back, excluded.look_back), \
                     body = excluded.body",
                )?
                .execute(params![
                    id.bytes(),
                    columns.value,
                    columns.state,
                    columns.valid_until,
                    look_back,
                    columns.body
                ])?,
            Self::LookedBack { id } => {
                transaction.prepare_cached("UPDATE indicator SET look_back = 0 WHERE id = ?1")?.execute([id.bytes()])?
            }
            Self::PutRefused { id, at, body } => transaction
                .prepare_cached(
                    "INSERT INTO refused_candidate (id, at, body) VALUES (?1, ?2, ?3) \
                     ON CONFLICT DO UPDATE SET at = excluded.at, body = excluded.body",
                )?
                .execute(params![id.bytes(), at, body])?,
            Self::AddContact { device, remote, port, first_at, last_at, count } => {
                let device = ids.device(transaction, device)?;
                let known = transaction
                    .prepare_cached(
                        "UPDATE contact SET first_at = min(first_at, ?4), last_at = max(last_at, ?5), \
                         count = count + ?6 WHERE device = ?1 AND remote = ?2 AND port = ?3",
                    )?
                    .execute(params![device.id, remote, port, first_at, last_at, count])?;
                if known == 0 {
                    device.make_room(transaction)?;
                    transaction
                        .prepare_cached(
                            "INSERT INTO contact (device, remote, port, first_at, last_at, count) \
                             VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
                        )?
                        .execute(params![device.id, remote, port, first_at, last_at, count])?;
                    transaction
                        .prepare_cached("UPDATE device SET contacts = ?2 WHERE id = ?1")?
                        .execute(params![device.id, device.contacts])?;
                }
                known
            }
            Self::AddSighting { scope, sighting } => transaction
                .prepare_cached(
                    "INSERT INTO sighting (account, region, reporter, indicator, remote, way, first_at, last_at, count) \
                     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9) ON CONFLICT DO UPDATE SET \
                     first_at = min(first_at, excluded.first_at), last_at = max(last_at, excluded.last_at), \
                     count = count + excluded.count",
                )?
                .execute(params![
                    scope.account.as_str(),
                    scope.region.as_str(),
                    sighting.reporter.as_str(),
                    sighting.indicator.bytes(),
                    sighting.remote.to_string(),
                    sighting.way.as_str(),
                    sighting.first_at.unix_millis(),
                    sighting.last_at.unix_millis(),
                    i64::try_from(sighting.count).unwrap_or(i64::MAX),
                ])?,
            Self::TakenByLake { up_to } => ids.feed.taken(transaction, *up_to)?,
        };
        Ok(changed)
    }
}

impl DeviceRow {
    /// Makes room for one contact more, and counts it.
    fn make_room(&mut self, transaction: &Transaction<'_>) -> rusqlite::Result<()> {
        if self.contacts >= CONTACTS_PER_DEVICE_MAX {
            let removed = transaction
                .prepare_cached(
                    "DELETE FROM contact WHERE device = ?1 AND (remote, port) IN (SELECT remote, port FROM contact \
                     WHERE device = ?1 ORDER BY last_at, remote, port LIMIT ?2)",
                )?
                .execute(params![self.id, CONTACTS_LET_GO])?;
            self.contacts = self.contacts.saturating_sub(u32::try_from(removed).unwrap_or(u32::MAX));
        }
        self.contacts += 1;
        Ok(())
    }
}

impl KnownIds {
    /// Devices are looked up again.
    pub(super) fn forget_devices(&mut self) {
        self.devices.clear();
    }

    /// A device; it gets a number when it has none.
    fn device(&mut self, transaction: &Transaction<'_>, device: &Device) -> rusqlite::Result<&mut DeviceRow> {
        if !self.devices.contains_key(device) {
            let (scope, reporter) = device;
            let key = [scope.account.as_str(), scope.region.as_str(), reporter.as_str()];
            transaction
                .prepare_cached(
                    "INSERT INTO device (account, region, reporter, contacts) VALUES (?1, ?2, ?3, 0) \
                     ON CONFLICT DO NOTHING",
                )?
                .execute(key)?;
            let row = transaction
                .prepare_cached("SELECT id, contacts FROM device WHERE account = ?1 AND region = ?2 AND reporter = ?3")?
                .query_row(key, |row| Ok(DeviceRow { id: row.get(0)?, contacts: row.get(1)? }))?;
            if self.devices.len() >= DEVICES_MAX {
                self.devices.clear();
            }
            self.devices.insert(device.clone(), row);
        }
        Ok(self.devices.get_mut(device).expect("it was put there if it was not there"))
    }

    /// The number of a series; it gets one when it has none.
    fn series(&mut self, transaction: &Transaction<'_>, series: &Series) -> rusqlite::Result<i64> {
        if let Some(id) = self.series.get(series) {
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
        if self.series.len() >= SERIES_IDS_MAX {
            self.series.clear();
        }
        self.series.insert(series.clone(), id);
        Ok(id)
    }
}
