//! The laboratory's samples in memory: the double for tests. It looks through everything each time.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use komainu_model::{Confidentiality, SampleDigest, Timestamp};

use crate::TimeRange;
use crate::samples::{
    AttemptEnd, KnownElsewhere, NewSample, SampleBrief, SampleCounts, SampleDigests, SampleDocument, SampleEssentials,
    SampleLease, SampleLimits, SampleMention, SampleOrigin, SamplePriority, SampleState, SampleStore, SampleSubmitted,
    SamplesError, StoredSample,
};

/// A [`SampleStore`] that is forgotten when it is dropped.
#[derive(Debug)]
pub struct MemorySamples {
    limits: SampleLimits,
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    samples: BTreeMap<SampleDigest, StoredSample>,
    origins: BTreeMap<SampleDigest, Vec<SampleOrigin>>,
    documents: BTreeMap<(SampleDigest, SampleDocument), String>,
}

impl Kept {
    fn add_origin(&mut self, sample: SampleDigest, origin: &SampleOrigin, limits: &SampleLimits) {
        let total: usize = self.origins.values().map(Vec::len).sum();
        let origins = self.origins.entry(sample).or_default();
        let has_room = origins.len() < limits.origins_max && (total as u64) < limits.origins_total_max;
        if has_room && !origins.contains(origin) {
            origins.push(origin.clone());
        }
    }

    /// What is known of a sample, with how it came.
    fn whole(&self, sample: &StoredSample) -> StoredSample {
        let origins = self.origins.get(&sample.digests.sha256).cloned().unwrap_or_default();
        StoredSample { origins, ..sample.clone() }
    }
}

impl MemorySamples {
    /// Nothing yet.
    pub fn new(limits: SampleLimits) -> Self {
        Self { limits, kept: Mutex::default() }
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl SampleStore for MemorySamples {
    fn submit(&self, new: &NewSample, now: Timestamp) -> Result<SampleSubmitted, SamplesError> {
        let kept = &mut *self.kept();
        if let Some(known) = kept.samples.get_mut(&new.digests.sha256) {
            known.last_at = known.last_at.max(now);
            known.times += 1;
            if new.confidentiality == Confidentiality::Open {
                known.confidentiality = Confidentiality::Open;
            }
            if matches!(known.state, SampleState::Waiting { .. }) {
                known.priority = known.priority.max(new.priority);
            }
            kept.add_origin(new.digests.sha256, &new.origin, &self.limits);
            return Ok(SampleSubmitted::Known);
        }
        let waiting =
            kept.samples.values().filter(|sample| matches!(sample.state, SampleState::Waiting { .. })).count();
        if waiting as u64 >= self.limits.waiting_max {
            return Ok(SampleSubmitted::Full);
        }
        let sample = StoredSample {
            digests: new.digests,
            bytes: new.bytes,
            confidentiality: new.confidentiality,
            priority: new.priority,
            first_at: now,
            last_at: now,
            times: 1,
            origins: Vec::new(),
            state: SampleState::Waiting { since: now, attempts: 0, problem: String::new() },
            elsewhere: Vec::new(),
            essentials: SampleEssentials::default(),
        };
        kept.samples.insert(new.digests.sha256, sample);
        kept.add_origin(new.digests.sha256, &new.origin, &self.limits);
        Ok(SampleSubmitted::New)
    }

    fn mention(&self, mentions: &[SampleMention], _now: Timestamp) -> Result<(), SamplesError> {
        let kept = &mut *self.kept();
        for SampleMention { sample, sensor, session } in mentions.iter().cloned() {
            kept.add_origin(sample, &SampleOrigin::Sensor { sensor, session: Some(session) }, &self.limits);
        }
        Ok(())
    }

    fn lease(&self, now: Timestamp, until: Timestamp) -> Result<Option<SampleLease>, SamplesError> {
        let samples = &mut self.kept().samples;
        let ready = samples.values_mut().filter_map(|sample| match sample.state {
            SampleState::Waiting { since, attempts, .. } if since <= now => Some((attempts, sample)),
            SampleState::Working { attempt, until, .. } if until <= now => Some((attempt, sample)),
            _ => None,
        });
        let first = ready
            .min_by_key(|(_, sample)| (std::cmp::Reverse(sample.priority), sample.first_at, sample.digests.sha256));
        let Some((attempts, sample)) = first else { return Ok(None) };
        let attempt = attempts + 1;
        sample.state = SampleState::Working { attempt, until, step: String::new(), percent: 0 };
        Ok(Some(SampleLease { sample: sample.digests.sha256, attempt }))
    }

    fn progress(&self, lease: &SampleLease, step: &str, percent: u8, until: Timestamp) -> Result<bool, SamplesError> {
        let samples = &mut self.kept().samples;
        let Some(sample) = held(samples, lease) else { return Ok(false) };
        sample.state = SampleState::Working { attempt: lease.attempt, until, step: step.to_owned(), percent };
        Ok(true)
    }

    fn elsewhere(&self, sample: &SampleDigest, known: &KnownElsewhere) -> Result<(), SamplesError> {
        let samples = &mut self.kept().samples;
        let stored = samples.get_mut(sample).ok_or(SamplesError::Missing(*sample))?;
        if stored.elsewhere.iter().all(|before| before.source != known.source) {
            stored.elsewhere.push(known.clone());
        }
        Ok(())
    }

    fn not_asked(&self, source: &str, since: Timestamp, count: usize) -> Result<Vec<SampleDigests>, SamplesError> {
        let kept = self.kept();
        let is_meant = |sample: &&StoredSample| {
            sample.confidentiality == Confidentiality::Open
                && sample.first_at >= since
                && sample.elsewhere.iter().all(|known| known.source != source)
        };
        let mut found: Vec<&StoredSample> = kept.samples.values().filter(is_meant).collect();
        found.sort_by_key(|sample| (sample.first_at, sample.digests.sha256));
        Ok(found.into_iter().take(count).map(|sample| sample.digests).collect())
    }

    fn put_document(&self, sample: &SampleDigest, kind: SampleDocument, json: &str) -> Result<(), SamplesError> {
        let bytes_max = self.limits.document_bytes_max;
        if json.len() > bytes_max {
            return Err(SamplesError::TooLarge { bytes: json.len(), bytes_max });
        }
        let kept = &mut *self.kept();
        if !kept.samples.contains_key(sample) {
            return Err(SamplesError::Missing(*sample));
        }
        kept.documents.insert((*sample, kind), json.to_owned());
        Ok(())
    }

    fn document(&self, sample: &SampleDigest, kind: SampleDocument) -> Result<Option<String>, SamplesError> {
        Ok(self.kept().documents.get(&(*sample, kind)).cloned())
    }

    fn end(&self, lease: &SampleLease, end: &AttemptEnd, now: Timestamp) -> Result<bool, SamplesError> {
        let samples = &mut self.kept().samples;
        let Some(sample) = held(samples, lease) else { return Ok(false) };
        sample.state = match end {
            AttemptEnd::Done(essentials) => {
                sample.essentials = essentials.clone();
                SampleState::Done { at: now }
            }
            AttemptEnd::Retry { not_before, problem } => {
                SampleState::Waiting { since: *not_before, attempts: lease.attempt, problem: problem.clone() }
            }
            AttemptEnd::GivenBack => {
                SampleState::Waiting { since: now, attempts: lease.attempt - 1, problem: String::new() }
            }
            AttemptEnd::Failed { problem } => SampleState::Failed { at: now, problem: problem.clone() },
        };
        Ok(true)
    }

    fn again(&self, sample: &SampleDigest, priority: SamplePriority, now: Timestamp) -> Result<bool, SamplesError> {
        let samples = &mut self.kept().samples;
        let Some(stored) = samples.get_mut(sample) else { return Ok(false) };
        if !matches!(stored.state, SampleState::Done { .. } | SampleState::Failed { .. }) {
            return Ok(false);
        }
        stored.state = SampleState::Waiting { since: now, attempts: 0, problem: String::new() };
        stored.priority = priority;
        Ok(true)
    }

    fn recover(&self, now: Timestamp) -> Result<u64, SamplesError> {
        let mut count = 0;
        for sample in self.kept().samples.values_mut() {
            if let SampleState::Working { attempt, .. } = sample.state {
                sample.state = SampleState::Waiting { since: now, attempts: attempt, problem: String::new() };
                count += 1;
            }
        }
        Ok(count)
    }

    fn sample(&self, sample: &SampleDigest) -> Result<Option<StoredSample>, SamplesError> {
        let kept = self.kept();
        Ok(kept.samples.get(sample).map(|sample| kept.whole(sample)))
    }

    fn find(&self, digest: &[u8]) -> Result<Option<SampleDigest>, SamplesError> {
        let kept = self.kept();
        let found = kept.samples.values().find(|sample| sample.digests.sha1 == digest || sample.digests.md5 == digest);
        Ok(found.map(|sample| sample.digests.sha256))
    }

    fn list(&self, before: Option<(Timestamp, SampleDigest)>, count: usize) -> Result<Vec<StoredSample>, SamplesError> {
        let kept = self.kept();
        let mut all: Vec<StoredSample> = kept.samples.values().map(|sample| kept.whole(sample)).collect();
        let place = |sample: &StoredSample| (sample.first_at, sample.digests.sha256);
        all.retain(|sample| before.is_none_or(|before| place(sample) < before));
        all.sort_by_key(|sample| std::cmp::Reverse(place(sample)));
        all.truncate(count);
        Ok(all)
    }

    fn briefs(&self, range: TimeRange, count: usize) -> Result<Vec<SampleBrief>, SamplesError> {
        let mut all = self.list(None, usize::MAX)?;
        all.retain(|sample| (range.from..range.to).contains(&sample.first_at));
        all.truncate(count);
        Ok(all.iter().map(SampleBrief::of).collect())
    }

    fn counts(&self) -> Result<SampleCounts, SamplesError> {
        let mut counts = SampleCounts::default();
        for sample in self.kept().samples.values() {
            match sample.state {
                SampleState::Waiting { .. } => counts.waiting += 1,
                SampleState::Working { .. } => counts.working += 1,
                SampleState::Done { .. } => counts.done += 1,
                SampleState::Failed { .. } => counts.failed += 1,
            }
        }
        Ok(counts)
    }
}

/// The sample of a lease that still holds.
fn held<'a>(
    samples: &'a mut BTreeMap<SampleDigest, StoredSample>,
    lease: &SampleLease,
) -> Option<&'a mut StoredSample> {
    samples
        .get_mut(&lease.sample)
        .filter(|sample| matches!(sample.state, SampleState::Working { attempt, .. } if attempt == lease.attempt))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conformance_samples::check_sample_store;

    #[test]
    fn memory_keeps_samples() {
        check_sample_store(&|limits| Box::new(MemorySamples::new(limits)));
    }
}
