//! The packets of sessions as they come.

use std::error::Error;
use std::sync::Arc;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::{Response, StatusCode};
use komainu_model::{Confidentiality, Timestamp};
use komainu_ports::{CaptureStored, NewCapture, RecordedSession, SensorKey};
use tracing::{error, warn};

use super::{Refusal, blocking, read_body};
use crate::request::json;
use crate::{Api, events};

/// The largest capture in bytes: more than sensors cut out for a session.
const CAPTURE_BYTES_MAX: usize = 8 * 1024 * 1024;

/// A capture must be there after this time, in seconds: 8 MiB over a slow line.
const CAPTURE_READ_S_MAX: u64 = 120;

/// Bytes of the smallest section header block (draft-ietf-opsawg-pcapng, 4.1).
const SECTION_HEADER_BYTES_MIN: usize = 28;

/// Keeps the capture that a sensor brings.
pub(super) async fn keep(
    api: &Arc<Api>,
    sensor: &SensorKey,
    session: RecordedSession,
    confidentiality: Confidentiality,
    body: Incoming,
    now: Timestamp,
) -> Result<Response<Full<Bytes>>, Refusal> {
    let _turn = api.roll.body_turn().await.ok_or(Refusal::Busy)?;
    let body = read_body(body, CAPTURE_BYTES_MAX, CAPTURE_READ_S_MAX).await?;
    check(&body).map_err(|what| Refusal::Malformed(what.to_owned()))?;
    let (captures, key) = (api.captures.clone(), sensor.clone());
    let stored =
        blocking(move || captures.put(&NewCapture { sensor: &key, session, confidentiality, pcapng: &body }, now));
    match stored.await? {
        Ok(CaptureStored::Known) => Ok(json(StatusCode::OK, r#"{"stored":"known"}"#.to_owned())),
        Ok(CaptureStored::New { removed }) => {
            if removed > 0
                && let Some(suppressed) = api.roll.captures_removed.take_now()
            {
                warn!(
                    event = events::CAPTURES_REMOVED,
                    removed, suppressed, "oldest captures were removed to make room"
                );
            }
            api.roll.note_capture(sensor);
            Ok(json(StatusCode::OK, r#"{"stored":"new"}"#.to_owned()))
        }
        Err(error) => {
            let cause = error.source().map(tracing::field::display);
            error!(event = events::NOT_KEPT, sensor = %sensor.name, %error, cause, "capture is not kept");
            Err(Refusal::Busy)
        }
    }
}

/// Whether a file begins as one of the format pcapng does, version 1: with a section header block (4.1) that is whole.
/// What comes behind it is for those who read captures, and is not looked at.
pub(super) fn check(file: &[u8]) -> Result<(), &'static str> {
    const NOT: &str = "the body is no pcapng file";
    let (Some(head), true) = (file.first_chunk::<16>(), file.len() >= SECTION_HEADER_BYTES_MIN) else {
        return Err(NOT);
    };
    let word = |at: usize| [head[at], head[at + 1], head[at + 2], head[at + 3]];
    // The order of bytes is the writer's; the magic tells which.
    let (length, major) = match word(8) {
        [0x1a, 0x2b, 0x3c, 0x4d] => (u32::from_be_bytes(word(4)), u16::from_be_bytes([head[12], head[13]])),
        [0x4d, 0x3c, 0x2b, 0x1a] => (u32::from_le_bytes(word(4)), u16::from_le_bytes([head[12], head[13]])),
        _ => return Err(NOT),
    };
    let length = usize::try_from(length).map_err(|_| NOT)?;
    let is_header = word(0) == [0x0a, 0x0d, 0x0d, 0x0a] && major == 1;
    let is_whole = length >= SECTION_HEADER_BYTES_MIN && length % 4 == 0 && length <= file.len();
    // The length stands at the end of the block again (3.1).
    if is_header && is_whole && file[length - 4..length] == word(4) { Ok(()) } else { Err(NOT) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A section header block without options, then nothing.
    const HEADER: [u8; 28] = [
        0x0a, 0x0d, 0x0d, 0x0a, 28, 0, 0, 0, 0x4d, 0x3c, 0x2b, 0x1a, 1, 0, 0, 0, 255, 255, 255, 255, 255, 255, 255,
        255, 28, 0, 0, 0,
    ];

    #[test]
    fn captures_begin_with_a_section() {
        let check = |change: &dyn Fn(&mut Vec<u8>), expected: bool| {
            let mut file = HEADER.to_vec();
            change(&mut file);
            assert_eq!(check(&file).is_ok(), expected, "{file:?}");
        };
        check(&|_| {}, true);
        check(&|file| file.extend_from_slice(b"what comes next"), true);
        let swap = |file: &mut Vec<u8>| {
            for word in [4, 8, 24] {
                file[word..word + 4].reverse();
            }
            file[12..14].reverse();
        };
        check(&swap, true);
        check(&|file| file.clear(), false);
        check(&|file| file.truncate(27), false);
        for at in [0, 4, 5, 7, 8, 12, 24] {
            check(&|file| file[at] ^= 0x40, false);
        }
        // The length is more than there is, less than a block has, or no multiple of four.
        for length in [32, 24, 29, 0, 255] {
            check(&|file| (file[4], file[24]) = (length, length), false);
        }
        // The older format.
        check(&|file| file[..4].copy_from_slice(&[0xd4, 0xc3, 0xb2, 0xa1]), false);
    }
}
