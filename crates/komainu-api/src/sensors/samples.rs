//! What sensors bring is the laboratory's as well: an artifact becomes a sample, and records say in which visits it came.

use std::error::Error;

use komainu_model::{Confidentiality, SampleDigest, SensorName};
use komainu_ports::{
    NewSample, SampleDigests, SampleMention, SampleOrigin, SamplePriority, SampleSubmitted, SamplesError, SensorKey,
};
use tracing::{error, warn};

use super::lines;
use crate::{Api, events};

/// Hands an artifact that is kept to the laboratory. One that is not taken is said in the log and stays where it is: the
/// laboratory looks for kept artifacts that are no samples. Blocks.
pub(super) fn submit(
    api: &Api,
    sensor: &SensorKey,
    digests: SampleDigests,
    bytes: u64,
    confidentiality: Confidentiality,
) {
    let sample = NewSample {
        digests,
        bytes,
        origin: SampleOrigin::Sensor { sensor: name(sensor), session: None },
        // What came from elsewhere as something open is no secret, whoever brings it now.
        confidentiality: api.artifacts.holds(digests.sha256.sha256()).unwrap_or(confidentiality),
        priority: SamplePriority::Ordinary,
    };
    match api.intake.submit(&sample) {
        Ok(SampleSubmitted::New | SampleSubmitted::Known) => {}
        Ok(SampleSubmitted::Full) => {
            if let Some(suppressed) = api.roll.not_submitted.take_now() {
                let (sensor, sha256) = (&sensor.name, digests.sha256);
                warn!(event = events::SAMPLE_NOT_SUBMITTED, %sensor, %sha256, suppressed, "too many samples wait");
            }
        }
        Err(error) => note_failure(api, sensor, digests.sha256, &error),
    }
}

/// Counts an artifact that a sensor has and need not bring, for it is kept. One that is no sample yet is left to the
/// laboratory, which looks for such. Blocks.
pub(super) fn submit_again(api: &Api, sensor: &SensorKey, sha256: [u8; 32], confidentiality: Confidentiality) {
    let sha256 = SampleDigest::from_sha256(sha256);
    match api.samples.sample(&sha256) {
        Ok(Some(known)) => submit(api, sensor, known.digests, known.bytes, confidentiality),
        Ok(None) => {}
        Err(error) => note_failure(api, sensor, sha256, &error),
    }
}

fn note_failure(api: &Api, sensor: &SensorKey, sha256: SampleDigest, error: &SamplesError) {
    if let Some(suppressed) = api.roll.not_submitted.take_now() {
        let (sensor, cause) = (&sensor.name, cause(error));
        error!(
            event = events::SAMPLE_NOT_SUBMITTED,
            %sensor, %sha256, %error, cause, suppressed, "artifact is not taken by the laboratory"
        );
    }
}

/// Tells the laboratory in which visits the contents came that a batch speaks of. The batch is kept, whatever becomes of
/// that. Blocks.
pub(super) fn mention(api: &Api, sensor: &SensorKey, batch: &[u8]) {
    let (found, left_out) = lines::mentions(batch);
    if left_out > 0
        && let Some(suppressed) = api.roll.mentions_not_kept.take_now()
    {
        let sensor = &sensor.name;
        warn!(event = events::MENTIONS_NOT_KEPT, %sensor, left_out, suppressed, "a batch speaks of too many artifacts");
    }
    if found.is_empty() {
        return;
    }
    let name = name(sensor);
    let mentions: Vec<SampleMention> =
        found.into_iter().map(|(sample, session)| SampleMention { sample, sensor: name.clone(), session }).collect();
    if let Err(error) = api.intake.mention(&mentions)
        && let Some(suppressed) = api.roll.mentions_not_kept.take_now()
    {
        let (sensor, left_out, cause) = (&sensor.name, mentions.len(), cause(&error));
        error!(
            event = events::MENTIONS_NOT_KEPT,
            %sensor, left_out, %error, cause, suppressed, "the visits of samples are not kept"
        );
    }
}

/// The sensor's name, as the laboratory has it.
fn name(sensor: &SensorKey) -> SensorName {
    SensorName::parse(sensor.name.as_str()).expect("things and sensors are named by the same rule")
}

fn cause(error: &SamplesError) -> Option<impl tracing::Value> {
    error.source().map(tracing::field::display)
}
