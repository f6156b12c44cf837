//! What sensors tell of attacks goes into the lake: each batch before it is answered, and what the lake could not take then
//! later, from the records that are kept.

use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use komainu_model::Timestamp;
use komainu_ports::{BatchKey, BatchStored, LakeBatchName, LakeError, LakeRows, RecordsError};
use tokio::sync::watch;
use tracing::{debug_span, error, info, warn};

use super::attacks::{self, Told};
use crate::{Api, events};

/// How long until the lake is offered again what it could not take.
const CATCH_UP_EVERY: Duration = Duration::from_secs(600);

/// Tells the lake what a batch says that is kept. When the lake cannot take it, it is told later. Blocks.
pub(super) fn append(api: &Api, batch: &BatchKey, stored: BatchStored, lines: &[u8], now: Timestamp) {
    // One that is known may have come when the lake was out of order, or the server ended between the two.
    if stored == BatchStored::Known && api.lake.holds(&name(batch)) {
        return;
    }
    if let Err(error) = try_append(api, batch, lines, now) {
        note_failure(api, batch, &error);
    }
}

/// Has the lake catch up with the records, at once and from time to time when it could not take something, until it is told
/// to stop.
pub(crate) async fn feed(api: Arc<Api>, mut stopping: watch::Receiver<bool>) {
    loop {
        if api.roll.lake_is_behind.swap(false, Ordering::Relaxed) {
            let (feeder, told) = (api.clone(), stopping.clone());
            let fed = tokio::task::spawn_blocking(move || catch_up(&feeder, &told)).await;
            if let Err(error) = fed {
                error!(event = events::LAKE_NOT_APPENDED, %error, suppressed = 0, "the lake was fed up to a bug");
            }
        }
        tokio::select! {
            biased;
            _ = stopping.wait_for(|stop| *stop) => return,
            () = tokio::time::sleep(CATCH_UP_EVERY) => {}
        }
    }
}

/// Goes through all records and appends what the lake does not have, one batch after the other.
fn catch_up(api: &Api, stopping: &watch::Receiver<bool>) {
    let mut batches = 0_u64;
    'all: for sensor in api.records.sensors() {
        for batch in api.records.batches(&sensor.sensor) {
            if *stopping.borrow() {
                break 'all;
            }
            if api.lake.holds(&name(&batch.key)) {
                continue;
            }
            let lines = match api.records.read(&batch.key) {
                Ok(lines) => lines,
                // Removed meanwhile.
                Err(RecordsError::Missing { .. }) => continue,
                Err(error @ RecordsError::Unavailable { .. }) => {
                    note_failure(api, &batch.key, &error);
                    continue;
                }
            };
            match try_append(api, &batch.key, &lines, batch.received_at) {
                Ok(()) => batches += 1,
                Err(error) => {
                    note_failure(api, &batch.key, &error);
                    // The next one would have to wait for the same medium.
                    if let LakeError::Unavailable { .. } = error {
                        break 'all;
                    }
                }
            }
        }
    }
    if batches > 0 {
        info!(event = events::LAKE_CAUGHT_UP, batches, "the lake has what it did not have");
    }
}

fn try_append(api: &Api, batch: &BatchKey, lines: &[u8], received_at: Timestamp) -> Result<(), LakeError> {
    let Told { rows, lines_left_out, observables_left_out } =
        attacks::told(lines, batch.sensor.name.as_str(), received_at);
    let count: usize = rows.iter().map(LakeRows::len).sum();
    debug_span!("lake.append", komainu.rows = count as i64).in_scope(|| api.lake.append(&name(batch), &rows))?;
    if lines_left_out + observables_left_out > 0
        && let Some(suppressed) = api.roll.attacks_not_counted.take_now()
    {
        let (sensor, epoch, sequence) = (&batch.sensor.name, batch.epoch, batch.sequence);
        warn!(
            event = events::ATTACKS_NOT_COUNTED,
            %sensor, %epoch, sequence, lines_left_out, observables_left_out, suppressed, "records cannot be counted"
        );
    }
    Ok(())
}

fn note_failure(api: &Api, batch: &BatchKey, error: &dyn Error) {
    api.roll.lake_is_behind.store(true, Ordering::Relaxed);
    if let Some(suppressed) = api.roll.lake_not_appended.take_now() {
        let (sensor, epoch, sequence) = (&batch.sensor.name, batch.epoch, batch.sequence);
        let cause = error.source().map(tracing::field::display);
        error!(
            event = events::LAKE_NOT_APPENDED,
            %sensor, %epoch, sequence, %error, cause, suppressed, "records are kept and not in the lake"
        );
    }
}

/// The name by which the lake knows a batch.
fn name(batch: &BatchKey) -> LakeBatchName {
    let BatchKey { sensor, epoch, sequence } = batch;
    let scope = &sensor.scope;
    let stream = format!("sensor/{}/{}/{}/{epoch}", scope.account, scope.region, sensor.name);
    LakeBatchName { stream, sequence: *sequence }
}
