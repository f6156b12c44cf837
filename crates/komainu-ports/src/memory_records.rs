//! The records of sensors in memory: the double for tests. It looks through everything each time.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use komainu_model::{Confidentiality, Timestamp};

use crate::sensor_records::{
    ArtifactKept, ArtifactReadError, ArtifactRefused, ArtifactWriter, BatchKey, BatchStored, RecordsError,
    RecordsLimits, SensorArtifacts, SensorKey, SensorRecords, SensorTotals, SpoolEpoch, StoredArtifact, StoredBatch,
};

/// [`SensorRecords`] that are forgotten when they are dropped.
#[derive(Debug)]
pub struct MemoryRecords {
    limits: RecordsLimits,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// In the order in which they came.
    batches: Vec<(StoredBatch, Vec<u8>)>,
    removed: BTreeMap<(SensorKey, SpoolEpoch), Removed>,
}

/// What was removed of an epoch.
#[derive(Debug, Default)]
struct Removed {
    /// The first number that was not removed.
    below: u64,
    batches: u64,
    lines: u64,
}

impl MemoryRecords {
    /// Nothing yet.
    pub fn new(limits: RecordsLimits) -> Self {
        Self { limits, state: Mutex::default() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn of_epoch(&self, sensor: &SensorKey, epoch: SpoolEpoch) -> impl Iterator<Item = &StoredBatch> {
        let (sensor, batches) = (sensor.clone(), self.batches.iter().map(|(batch, _)| batch));
        batches.filter(move |batch| batch.key.sensor == sensor && batch.key.epoch == epoch)
    }

    /// The number after the highest one that came.
    fn next(&self, sensor: &SensorKey, epoch: SpoolEpoch) -> u64 {
        let below = self.removed.get(&(sensor.clone(), epoch)).map_or(0, |removed| removed.below);
        self.of_epoch(sensor, epoch).map(|batch| batch.key.sequence.saturating_add(1)).fold(below, u64::max)
    }

    fn remove_oldest(&mut self) {
        let (batch, _) = self.batches.remove(0);
        let removed = self.removed.entry((batch.key.sensor.clone(), batch.key.epoch)).or_default();
        removed.below = removed.below.max(batch.key.sequence.saturating_add(1));
        removed.batches += 1;
        removed.lines += batch.lines;
    }

    fn totals(&self, sensor: SensorKey) -> SensorTotals {
        let mine = || self.batches.iter().map(|(batch, _)| batch).filter(|batch| batch.key.sensor == sensor);
        let removed = || self.removed.iter().filter(|((of, _), _)| *of == sensor).map(|(_, removed)| removed);
        let epochs: BTreeSet<SpoolEpoch> = mine()
            .map(|batch| batch.key.epoch)
            .chain(self.removed.keys().filter(|(of, _)| *of == sensor).map(|(_, epoch)| *epoch))
            .collect();
        let batches = mine().count() as u64;
        let batches_removed: u64 = removed().map(|removed| removed.batches).sum();
        let expected = epochs.iter().map(|epoch| self.next(&sensor, *epoch)).fold(0, u64::saturating_add);
        SensorTotals {
            batches,
            lines: mine().map(|batch| batch.lines).sum::<u64>() + removed().map(|removed| removed.lines).sum::<u64>(),
            bytes: mine().map(|batch| batch.bytes).sum(),
            batches_removed,
            batches_missing: expected.saturating_sub(batches + batches_removed),
            last_received_at: mine().map(|batch| batch.received_at).max(),
            sensor,
        }
    }
}

impl SensorRecords for MemoryRecords {
    fn put(&self, batch: &BatchKey, lines: &[u8], now: Timestamp) -> Result<BatchStored, RecordsError> {
        let mut state = self.state();
        let below = state.removed.get(&(batch.sensor.clone(), batch.epoch)).map_or(0, |removed| removed.below);
        if batch.sequence < below || state.batches.iter().any(|(kept, _)| kept.key == *batch) {
            return Ok(BatchStored::Known);
        }
        let missing = batch.sequence.saturating_sub(state.next(&batch.sensor, batch.epoch));
        let bytes = lines.len() as u64;
        let count = lines.iter().filter(|byte| **byte == b'\n').count() as u64;
        state.batches.push((StoredBatch { key: batch.clone(), lines: count, bytes, received_at: now }, lines.to_vec()));
        let mut removed = 0;
        let is_over = |state: &State| {
            let bytes: u64 = state.batches.iter().map(|(batch, _)| batch.bytes).sum();
            bytes > self.limits.bytes_max || state.batches.len() as u64 > self.limits.batches_max
        };
        while is_over(&state) && state.batches.len() > 1 {
            state.remove_oldest();
            removed += 1;
        }
        Ok(BatchStored::New { missing, removed })
    }

    fn sensors(&self) -> Vec<SensorTotals> {
        let state = self.state();
        let sensors: BTreeSet<SensorKey> = state
            .batches
            .iter()
            .map(|(batch, _)| batch.key.sensor.clone())
            .chain(state.removed.keys().map(|(sensor, _)| sensor.clone()))
            .collect();
        sensors.into_iter().map(|sensor| state.totals(sensor)).collect()
    }

    fn batches(&self, sensor: &SensorKey) -> Vec<StoredBatch> {
        let state = self.state();
        state.batches.iter().map(|(batch, _)| batch).filter(|batch| batch.key.sensor == *sensor).cloned().collect()
    }

    fn read(&self, batch: &BatchKey) -> Result<Vec<u8>, RecordsError> {
        let state = self.state();
        let kept = state.batches.iter().find(|(kept, _)| kept.key == *batch);
        kept.map(|(_, lines)| lines.clone()).ok_or_else(|| batch.missing())
    }
}

/// [`SensorArtifacts`] that are forgotten when they are dropped.
#[derive(Debug, Default)]
pub struct MemoryArtifacts(Arc<Mutex<Artifacts>>);

type Artifacts = BTreeMap<[u8; 32], (Confidentiality, Vec<u8>)>;

impl MemoryArtifacts {
    /// The contents of an artifact.
    pub fn contents(&self, sha256: &[u8; 32]) -> Option<Vec<u8>> {
        locked(&self.0).get(sha256).map(|(_, contents)| contents.clone())
    }
}

fn locked(artifacts: &Mutex<Artifacts>) -> MutexGuard<'_, Artifacts> {
    artifacts.lock().unwrap_or_else(PoisonError::into_inner)
}

impl SensorArtifacts for MemoryArtifacts {
    fn holds(&self, sha256: &[u8; 32]) -> Option<Confidentiality> {
        locked(&self.0).get(sha256).map(|(confidentiality, _)| *confidentiality)
    }

    fn begin(&self, sha256: &[u8; 32], _bytes: u64) -> Result<Box<dyn ArtifactWriter>, ArtifactRefused> {
        Ok(Box::new(MemoryWriter { artifacts: self.0.clone(), sha256: *sha256, contents: Vec::new() }))
    }

    fn read(&self, sha256: &[u8; 32]) -> Result<Vec<u8>, ArtifactReadError> {
        self.contents(sha256).ok_or(ArtifactReadError::Missing)
    }

    fn artifacts(&self) -> Result<Vec<StoredArtifact>, ArtifactReadError> {
        let artifacts = locked(&self.0);
        let all = artifacts.iter().map(|(sha256, (confidentiality, contents))| StoredArtifact {
            sha256: *sha256,
            bytes: contents.len() as u64,
            confidentiality: *confidentiality,
        });
        Ok(all.collect())
    }
}

struct MemoryWriter {
    artifacts: Arc<Mutex<Artifacts>>,
    sha256: [u8; 32],
    contents: Vec<u8>,
}

impl ArtifactWriter for MemoryWriter {
    fn write(&mut self, piece: &[u8]) -> Result<(), ArtifactRefused> {
        self.contents.extend_from_slice(piece);
        Ok(())
    }

    fn finish(self: Box<Self>, confidentiality: Confidentiality) -> ArtifactKept {
        let mut artifacts = locked(&self.artifacts);
        let (kept, _) = artifacts.entry(self.sha256).or_insert((confidentiality, self.contents));
        *kept = (*kept).min(confidentiality);
        ArtifactKept::Yes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conformance_artifacts::check_sensor_artifacts;
    use crate::conformance_records::check_sensor_records;

    #[test]
    fn memory_keeps_artifacts() {
        check_sensor_artifacts(&|| Box::new(MemoryArtifacts::default()));
    }

    #[test]
    fn memory_keeps_records() {
        check_sensor_records(&|limits| Box::new(MemoryRecords::new(limits)));
    }
}
