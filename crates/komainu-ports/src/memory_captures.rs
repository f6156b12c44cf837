//! The captures of sensors in memory: the double for tests. It looks through everything each time.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use komainu_model::Timestamp;

use crate::sensor_captures::{CaptureStored, CapturesError, CapturesLimits, NewCapture, SensorCaptures, StoredCapture};
use crate::sensor_records::SensorKey;

/// [`SensorCaptures`] that are forgotten when they are dropped.
#[derive(Debug)]
pub struct MemoryCaptures {
    limits: CapturesLimits,
    /// In the order in which they came.
    captures: Mutex<Vec<(StoredCapture, Vec<u8>)>>,
}

impl MemoryCaptures {
    /// Nothing yet.
    pub fn new(limits: CapturesLimits) -> Self {
        Self { limits, captures: Mutex::default() }
    }

    fn kept(&self) -> MutexGuard<'_, Vec<(StoredCapture, Vec<u8>)>> {
        self.captures.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl SensorCaptures for MemoryCaptures {
    fn put(&self, capture: &NewCapture<'_>, now: Timestamp) -> Result<CaptureStored, CapturesError> {
        let NewCapture { sensor, session, confidentiality, pcapng } = *capture;
        let mut captures = self.kept();
        if captures.iter().any(|(kept, _)| kept.sensor == *sensor && kept.session == session) {
            return Ok(CaptureStored::Known);
        }
        let bytes = pcapng.len() as u64;
        let stored = StoredCapture { sensor: sensor.clone(), session, confidentiality, bytes, received_at: now };
        captures.push((stored, pcapng.to_vec()));
        let mut removed = 0;
        while captures.len() > 1 {
            let mut bytes: BTreeMap<&SensorKey, u64> = BTreeMap::new();
            for (kept, _) in captures.iter() {
                *bytes.entry(&kept.sensor).or_default() += kept.bytes;
            }
            let is_room = bytes.values().sum::<u64>() <= self.limits.bytes_max
                && captures.len() as u64 <= self.limits.captures_max;
            let largest = bytes.into_iter().max_by_key(|(_, bytes)| *bytes).map(|(sensor, _)| sensor.clone());
            let Some(largest) = largest.filter(|_| !is_room) else { break };
            let oldest = captures.iter().position(|(kept, _)| kept.sensor == largest);
            captures.remove(oldest.expect("it has bytes, so it has a capture"));
            removed += 1;
        }
        Ok(CaptureStored::New { removed })
    }

    fn captures(&self) -> Vec<StoredCapture> {
        self.kept().iter().map(|(capture, _)| capture.clone()).collect()
    }

    fn read(&self, capture: &StoredCapture) -> Result<Vec<u8>, CapturesError> {
        let captures = self.kept();
        let kept = captures.iter().find(|(kept, _)| kept == capture);
        kept.map(|(_, pcapng)| pcapng.clone()).ok_or(CapturesError::Missing { session: capture.session })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conformance_captures::check_sensor_captures;

    #[test]
    fn memory_keeps_captures() {
        check_sensor_captures(&|limits| Box::new(MemoryCaptures::new(limits)));
    }
}
