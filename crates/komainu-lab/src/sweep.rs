//! Artifacts of which nobody told the laboratory: those from before it was there, and those that came while its store
//! failed or was full.

use std::sync::Arc;
use std::time::Duration;

use komainu_model::SampleDigest;
use komainu_ports::{
    ArtifactReadError, NewSample, SampleIntake, SampleOrigin, SamplePriority, SampleSubmitted, SamplesError,
};
use tracing::info;

use crate::digests::digests_of;
use crate::events;
use crate::laboratory::Shared;

/// How often all artifacts are gone through. Each costs one question to the store.
const EVERY: Duration = Duration::from_secs(3600);

/// When there was no room for all.
const SOONER: Duration = Duration::from_secs(60);

/// Goes through all artifacts now and then.
pub(crate) async fn run(shared: Arc<Shared>) {
    loop {
        let of_pass = shared.clone();
        let pause = match tokio::task::spawn_blocking(move || pass(&of_pass)).await {
            Ok(Ok(Pass { found, is_full })) => {
                if found > 0 {
                    info!(event = events::FOUND, count = found, "artifacts that nobody had told of are samples now");
                }
                if is_full { SOONER } else { EVERY }
            }
            Ok(Err(error)) => {
                shared.leave_store_alone(&error).await;
                SOONER
            }
            Err(_) => SOONER,
        };
        tokio::time::sleep(pause).await;
    }
}

struct Pass {
    found: u64,
    is_full: bool,
}

fn pass(shared: &Shared) -> Result<Pass, SamplesError> {
    let unavailable =
        |error: ArtifactReadError| SamplesError::Unavailable { doing: "listing artifacts", source: error.into() };
    let mut found = 0;
    for artifact in shared.ports.artifacts.artifacts().map_err(unavailable)? {
        if shared.ports.store.sample(&SampleDigest::from_sha256(artifact.sha256))?.is_some() {
            continue;
        }
        // Gone or damaged meanwhile: then there is nothing to be examined.
        let Ok(contents) = shared.ports.artifacts.read(&artifact.sha256) else { continue };
        let sample = NewSample {
            digests: digests_of(&contents),
            bytes: artifact.bytes,
            origin: SampleOrigin::Found,
            confidentiality: artifact.confidentiality,
            priority: SamplePriority::Again,
        };
        match shared.ports.intake.submit(&sample)? {
            SampleSubmitted::New | SampleSubmitted::Known => found += 1,
            SampleSubmitted::Full => return Ok(Pass { found, is_full: true }),
        }
    }
    Ok(Pass { found, is_full: false })
}
