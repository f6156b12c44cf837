//! Artifacts as they come: written piece by piece, so that none is ever in memory as a whole.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::{Body, Incoming};
use hyper::{Response, StatusCode};
use komainu_model::Confidentiality;
use komainu_ports::{ArtifactKept, ArtifactRefused, ArtifactWriter, SampleDigests, SensorKey};
use tokio::time::{Instant, timeout_at};
use tracing::warn;

use super::{Refusal, blocking, samples};
use crate::digests::Digesting;
use crate::request::json;
use crate::{Api, events};

/// The largest artifact in bytes, as a sensor stores it.
const ARTIFACT_BYTES_MAX: usize = 32 * 1024 * 1024;

/// An artifact must be there after this time: 32 MiB over a slow line.
const ARTIFACT_READ_TIMEOUT: Duration = Duration::from_secs(300);

/// So many bytes are worth a visit to the disk. With what one read from the connection brings beyond, it is all that an
/// artifact takes in memory.
const PIECE_BYTES: usize = 64 * 1024;

/// Keeps the artifact that a sensor brings, if it is what its digest says, and hands it to the laboratory.
pub(super) async fn keep(
    api: &Arc<Api>,
    sensor: &SensorKey,
    sha256: [u8; 32],
    confidentiality: Confidentiality,
    body: Incoming,
) -> Result<Response<Full<Bytes>>, Refusal> {
    // The head of an object says how long its contents are, and room is taken before anything is written.
    let bytes = body.size_hint().exact().ok_or(Refusal::NoLength)?;
    if bytes > ARTIFACT_BYTES_MAX as u64 {
        return Err(Refusal::TooLarge { bytes_max: ARTIFACT_BYTES_MAX });
    }
    let _turn = api.roll.body_turn().await.ok_or(Refusal::Busy)?;
    let no_room = |ArtifactRefused| {
        if let Some(suppressed) = api.roll.not_kept.take_now() {
            let sha256 = hex::encode(sha256);
            warn!(event = events::NOT_KEPT, sensor = %sensor.name, sha256, suppressed, "artifact is not kept");
        }
        Refusal::NoRoom
    };
    let artifacts = api.artifacts.clone();
    let writer = blocking(move || artifacts.begin(&sha256, bytes)).await?;
    let (written, digests) = write(body, writer).await?;
    let writer = written.map_err(no_room)?;
    if *digests.sha256.sha256() != sha256 {
        return Err(Refusal::Malformed("the contents do not have this SHA-256".to_owned()));
    }
    match blocking(move || writer.finish(confidentiality)).await? {
        ArtifactKept::Yes => {
            api.roll.note_artifact(sensor);
            let (api, sensor) = (api.clone(), sensor.clone());
            // It is kept, and the sensor may forget it, whatever the laboratory says.
            let _ = blocking(move || samples::submit(&api, &sensor, digests, bytes, confidentiality)).await;
            Ok(json(StatusCode::OK, "{}".to_owned()))
        }
        ArtifactKept::No => Err(no_room(ArtifactRefused)),
    }
}

/// What takes the pieces of a body, as long as it takes them.
type Taking = Result<Box<dyn ArtifactWriter>, ArtifactRefused>;

/// Writes a body as it comes; gives its digests. A body that breaks off leaves nothing: the writer is
/// dropped. One that is not taken is read to its end all the same: an answer that overtakes the body may be lost on the
/// way, and the sensor would come with it again and again.
async fn write(mut body: Incoming, mut writer: Taking) -> Result<(Taking, SampleDigests), Refusal> {
    let until = Instant::now() + ARTIFACT_READ_TIMEOUT;
    let mut digesting = Digesting::new();
    let mut piece = Vec::with_capacity(PIECE_BYTES);
    loop {
        // A body that broke off is no reason to throw the artifact away: the sensor may send it again.
        let frame = timeout_at(until, body.frame()).await.map_err(|_| Refusal::Busy)?;
        let is_over = frame.is_none();
        if let Some(frame) = frame {
            piece.extend_from_slice(&frame.map_err(|_| Refusal::Busy)?.into_data().unwrap_or_default());
        }
        if piece.len() >= PIECE_BYTES || is_over {
            (writer, digesting, piece) = blocking(move || {
                digesting.update(&piece);
                let writer = writer.and_then(|mut writer| writer.write(&piece).map(|()| writer));
                piece.clear();
                (writer, digesting, piece)
            })
            .await?;
        }
        if is_over {
            return Ok((writer, digesting.finish()));
        }
    }
}
