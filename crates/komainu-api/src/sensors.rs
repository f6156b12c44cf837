//! The hub's side of a sensor: it hands in records, artifacts and word of its health, over HTTPS with its certificate.
//!
//! | request | body | answered when |
//! |---|---|---|
//! | `POST /komainu/v1/sensors/NAME/records?epoch=E&sequence=N` | lines of `{"log":"eve","line":{…}}` | they are durable |
//! | `HEAD /komainu/v1/sensors/NAME/artifacts/SHA256` | | at once: 200 or 404; what is held counts as if it had been brought |
//! | `PUT /komainu/v1/sensors/NAME/artifacts/SHA256` | the contents | they are durable |
//! | `PUT /komainu/v1/sensors/NAME/captures/SESSION` | the packets of a session, pcapng | they are durable |
//! | `POST /komainu/v1/sensors/NAME/health` | one JSON object | at once |
//!
//! A sensor is an authenticated stranger: it stands on a hostile network and may have been taken over. It can hand in
//! what it likes in its own name, within bounds, and nothing in another's. Nothing of it is believed; all that is read of it
//! is which artifacts came in which visits, for the laboratory, and what was attacked how, for the lake.

mod artifacts;
mod attacks;
mod captures;
mod health;
mod lake;
mod lines;
mod roll;
mod samples;
mod session_lines;
mod session_log;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::{Body, Incoming};
use hyper::header::{HeaderMap, HeaderName, HeaderValue, RETRY_AFTER};
use hyper::{Method, Request, Response, StatusCode};
use komainu_aws::parse_query;
use komainu_model::{CertificateStatus, Confidentiality, ThingName, Timestamp};
#[cfg(fuzzing)]
use komainu_ports::LakeRows;
use komainu_ports::{BatchKey, BatchStored, Directory, PeerInfo, RecordedSession, SensorKey, SpoolEpoch};
use tracing::{Instrument, Span, debug_span, error, info, warn};

pub(crate) use self::lake::feed as feed_lake;
pub(crate) use self::roll::SensorRoll;
pub use self::session_log::RecordedSessions;
use crate::request::{json, note_route, respond};
use crate::{Api, events};

/// Where all of this is.
const PREFIX: &str = "/komainu/v1/sensors/";

/// The largest batch in bytes; a sensor seals its segments before they are larger.
const BATCH_BYTES_MAX: usize = 1024 * 1024;

/// The largest word of health in bytes: a few numbers, and the names of at most 64 doors.
const HEALTH_BYTES_MAX: usize = 16 * 1024;

/// A batch or a word of health must be there after this time, in seconds.
const BODY_READ_S_MAX: u64 = 30;

/// Says of an artifact or a capture, in a request or an answer, whether it is confidential: `yes` or `no`. What does not
/// say so is.
const CONFIDENTIAL: HeaderName = HeaderName::from_static("komainu-confidential");

/// Sensors that are asked to come again are told after how many seconds.
const RETRY_AFTER_S: &str = "5";

/// The topic that names the right to hand in records as the sensor `name`. Nothing is published there.
pub(crate) fn right(name: &str) -> String {
    format!("$komainu/sensors/{name}/ingest")
}

/// Whether a request is a sensor's.
pub(crate) fn is_meant<B>(request: &Request<B>) -> bool {
    request.uri().path().starts_with(PREFIX)
}

/// Answers a sensor.
pub(crate) async fn answer(api: &Arc<Api>, peer: &PeerInfo, request: Request<Incoming>) -> Response<Full<Bytes>> {
    let (head, body) = request.into_parts();
    let is_head = head.method == Method::HEAD;
    let query = head.uri.query().unwrap_or_default();
    let answered = match Asked::read(&head.method, head.uri.path(), query) {
        Ok(asked) => asked.answer(api, peer, &head.headers, body).await,
        Err(refusal) => Err(refusal),
    };
    answered.unwrap_or_else(|refusal| refusal.response(is_head))
}

/// What a sensor asks for.
#[derive(Debug, PartialEq, Eq)]
struct Asked {
    sensor: ThingName,
    what: What,
}

#[derive(Debug, PartialEq, Eq)]
enum What {
    KeepRecords { epoch: SpoolEpoch, sequence: u64 },
    HoldsArtifact([u8; 32]),
    KeepArtifact([u8; 32]),
    KeepCapture(RecordedSession),
    NoteHealth,
}

impl What {
    /// What stands below [`PREFIX`].
    const fn route(&self) -> &'static str {
        match self {
            Self::KeepRecords { .. } => "{sensor}/records",
            Self::HoldsArtifact(_) | Self::KeepArtifact(_) => "{sensor}/artifacts/{sha256}",
            Self::KeepCapture(_) => "{sensor}/captures/{session}",
            Self::NoteHealth => "{sensor}/health",
        }
    }
}

/// Why a sensor is not given what it asks for. The only table from there to statuses is [`Refusal::response`].
#[derive(Debug, Clone, PartialEq, Eq)]
enum Refusal {
    /// The request makes no sense: it would not at another time, either.
    Malformed(String),
    /// The body is too large.
    TooLarge { bytes_max: usize },
    /// It does not say how large the body is.
    NoLength,
    /// There is nothing of the kind.
    NotFound,
    /// The path knows no such method.
    NoSuchMethod,
    /// It came without a certificate.
    NotAuthenticated,
    /// The certificate is not this sensor's, or its policies do not allow it.
    NotAuthorized,
    /// Not now.
    Busy,
    /// There is no room for this artifact; there may be none later, either.
    NoRoom,
}

impl Refusal {
    fn response(&self, is_head: bool) -> Response<Full<Bytes>> {
        let (status, message) = match self {
            Self::Malformed(message) => (StatusCode::BAD_REQUEST, message.as_str()),
            Self::TooLarge { .. } => (StatusCode::PAYLOAD_TOO_LARGE, "the body is too large"),
            Self::NoLength => (StatusCode::LENGTH_REQUIRED, "content-length is missing"),
            Self::NotFound => (StatusCode::NOT_FOUND, "not found"),
            Self::NoSuchMethod => (StatusCode::METHOD_NOT_ALLOWED, "this path has no such method"),
            Self::NotAuthenticated => (StatusCode::UNAUTHORIZED, "a client certificate is needed"),
            Self::NotAuthorized => (StatusCode::FORBIDDEN, "this certificate may not hand in records of this sensor"),
            Self::Busy => (StatusCode::SERVICE_UNAVAILABLE, "come again later"),
            Self::NoRoom => (StatusCode::INSUFFICIENT_STORAGE, "there is no room for this artifact"),
        };
        let mut response = match (is_head, self) {
            (true, _) => Response::new(Full::default()),
            (false, Self::TooLarge { bytes_max }) => {
                json(status, serde_json::json!({"message": message, "bytesMax": bytes_max}).to_string())
            }
            (false, _) => json(status, serde_json::json!({"message": message}).to_string()),
        };
        *response.status_mut() = status;
        if matches!(self, Self::Busy) {
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static(RETRY_AFTER_S));
        }
        response
    }
}

impl Asked {
    fn read(method: &Method, path: &str, query: &str) -> Result<Self, Refusal> {
        let mut parts = path.strip_prefix(PREFIX).unwrap_or_default().split('/');
        let name = parts.next().unwrap_or_default();
        // A name needs no escapes in a path, but a client may escape its colons.
        let name = komainu_aws::decode_component(name).and_then(|name| ThingName::parse(&name).ok());
        let sensor = name.ok_or_else(|| Refusal::Malformed("the path names no sensor".to_owned()))?;
        let what = match (method, parts.next(), parts.next(), parts.next()) {
            (&Method::POST, Some("records"), None, None) => Self::records(query)?,
            (&Method::HEAD, Some("artifacts"), Some(digest), None) => What::HoldsArtifact(sha256(digest)?),
            (&Method::PUT, Some("artifacts"), Some(digest), None) => What::KeepArtifact(sha256(digest)?),
            (&Method::POST, Some("health"), None, None) => What::NoteHealth,
            (&Method::PUT, Some("captures"), Some(session), None) => What::KeepCapture(
                RecordedSession::parse(session)
                    .ok_or_else(|| Refusal::Malformed("the path names no session".to_owned()))?,
            ),
            (_, Some("records" | "health"), None, None) | (_, Some("artifacts" | "captures"), Some(_), None) => {
                return Err(Refusal::NoSuchMethod);
            }
            _ => return Err(Refusal::NotFound),
        };
        Ok(Self { sensor, what })
    }

    fn records(query: &str) -> Result<What, Refusal> {
        let malformed = |what: &str| Refusal::Malformed(what.to_owned());
        let query = parse_query(query).ok_or_else(|| malformed("the query is not UTF-8"))?;
        let value = |name: &str| query.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str());
        let epoch = value("epoch").and_then(SpoolEpoch::parse);
        let sequence = value("sequence").and_then(|text| text.parse().ok());
        Ok(What::KeepRecords {
            epoch: epoch.ok_or_else(|| malformed("epoch must be 16 hexadecimal digits in lower case"))?,
            sequence: sequence.ok_or_else(|| malformed("sequence must be a number"))?,
        })
    }

    async fn answer(
        self,
        api: &Arc<Api>,
        peer: &PeerInfo,
        headers: &HeaderMap,
        body: Incoming,
    ) -> Result<Response<Full<Bytes>>, Refusal> {
        note_route(format_args!("{PREFIX}{}", self.what.route()));
        let sensor = authorized(api, peer, self.sensor)?;
        let now = api.clock.now();
        if api.roll.note_seen(&sensor, now) {
            info!(event = events::SENSOR_SEEN, sensor = %sensor.name, address = %peer.address, "sensor is here");
        }
        match self.what {
            What::KeepRecords { epoch, sequence } => {
                let body = read_body(body, BATCH_BYTES_MAX, BODY_READ_S_MAX).await?;
                lines::check(&body).map_err(Refusal::Malformed)?;
                let span = debug_span!(
                    "hub.batch",
                    komainu.sensor = %sensor.name,
                    komainu.epoch = %epoch,
                    komainu.sequence = sequence as i64,
                    komainu.bytes = body.len() as i64,
                );
                keep_records(api, BatchKey { sensor, epoch, sequence }, body, now).instrument(span).await
            }
            What::HoldsArtifact(sha256) => {
                let taker = api.clone();
                let held = blocking(move || {
                    let held = taker.artifacts.holds(&sha256)?;
                    samples::submit_again(&taker, &sensor, sha256, held);
                    Some(held)
                });
                let confidentiality = held.await?.ok_or(Refusal::NotFound)?;
                let mut response = respond(StatusCode::OK, "application/octet-stream", Bytes::new());
                response.headers_mut().insert(CONFIDENTIAL, word_of(confidentiality));
                Ok(response)
            }
            What::KeepArtifact(sha256) => {
                artifacts::keep(api, &sensor, sha256, confidentiality_in(headers)?, body).await
            }
            What::KeepCapture(session) => {
                captures::keep(api, &sensor, session, confidentiality_in(headers)?, body, now).await
            }
            What::NoteHealth => {
                let body = read_body(body, HEALTH_BYTES_MAX, BODY_READ_S_MAX).await?;
                let health = health::read(&body).map_err(Refusal::Malformed)?;
                api.roll.note_health(&sensor, health);
                Ok(json(StatusCode::OK, "{}".to_owned()))
            }
        }
    }
}

/// The sensor `name`, when the peer's certificate is its and may hand in its records at this moment. The certificate
/// must be attached to the thing, whatever its policies allow: a policy for devices may be generous.
fn authorized(api: &Api, peer: &PeerInfo, name: ThingName) -> Result<SensorKey, Refusal> {
    let certificate = peer.certificate.ok_or(Refusal::NotAuthenticated)?;
    let refused = |reason: &'static str| {
        if let Some(suppressed) = api.roll.refused.take_now() {
            let address = peer.address;
            warn!(event = events::SENSOR_REFUSED, sensor = %name, %certificate, %address, reason, suppressed, "refused");
        }
        Refusal::NotAuthorized
    };
    let principal = api.control.principal(&certificate).ok_or_else(|| refused("certificate is not registered"))?;
    if principal.certificate.status != CertificateStatus::Active {
        return Err(refused("certificate is not active"));
    }
    if !principal.things.iter().any(|attached| attached.thing.name == name) {
        return Err(refused("certificate is another thing's"));
    }
    let allowed = api.broker.may_publish_as(certificate, peer, &right(name.as_str()));
    allowed.map_err(|_| refused("no policy allows it"))?;
    // What attacks a sensor must not make the sensor an indicator.
    api.own.note(peer.address.ip());
    Ok(SensorKey { scope: principal.scope.clone(), name })
}

async fn keep_records(
    api: &Arc<Api>,
    batch: BatchKey,
    lines: Bytes,
    now: Timestamp,
) -> Result<Response<Full<Bytes>>, Refusal> {
    let (taker, key) = (api.clone(), batch.clone());
    let stored = blocking(move || {
        let stored = debug_span!("hub.records").in_scope(|| taker.records.put(&key, &lines, now));
        // One that is known is looked through as well: the server may have ended between the two.
        if let Ok(stored) = stored {
            samples::mention(&taker, &key.sensor, &lines);
            lake::append(&taker, &key, stored, &lines, now);
            let newest = lines.rsplit(|byte| *byte == b'\n').filter_map(session_lines::time_of).next();
            if let Some(newest) = newest.filter(|_| stored != BatchStored::Known) {
                taker.roll.note_clock(&key.sensor, newest, now);
            }
        }
        stored
    });
    let stored = stored.await?;
    let BatchKey { sensor, epoch, sequence } = batch;
    match stored {
        Ok(BatchStored::Known) => Ok(json(StatusCode::OK, r#"{"stored":"known"}"#.to_owned())),
        Ok(BatchStored::New { missing, removed }) => {
            let sensor = &sensor.name;
            if missing > 0 {
                warn!(event = events::RECORDS_MISSING, %sensor, %epoch, sequence, missing, "batches never came");
            }
            if removed > 0
                && let Some(suppressed) = api.roll.removed.take_now()
            {
                warn!(event = events::RECORDS_REMOVED, removed, suppressed, "oldest batches were removed to make room");
            }
            Ok(json(StatusCode::OK, r#"{"stored":"new"}"#.to_owned()))
        }
        Err(error) => {
            let cause = std::error::Error::source(&error).map(tracing::field::display);
            error!(event = events::NOT_KEPT, sensor = %sensor.name, %error, cause, "records are not kept");
            Err(Refusal::Busy)
        }
    }
}

/// Who may see what a request brings. What says nothing about it is confidential.
fn confidentiality_in(headers: &HeaderMap) -> Result<Confidentiality, Refusal> {
    match headers.get(CONFIDENTIAL).map(HeaderValue::as_bytes) {
        None | Some(b"yes") => Ok(Confidentiality::Confidential),
        Some(b"no") => Ok(Confidentiality::Open),
        Some(_) => Err(Refusal::Malformed("komainu-confidential must be yes or no".to_owned())),
    }
}

fn word_of(confidentiality: Confidentiality) -> HeaderValue {
    HeaderValue::from_static(match confidentiality {
        Confidentiality::Open => "no",
        Confidentiality::Confidential => "yes",
    })
}

async fn read_body(body: Incoming, bytes_max: usize, read_s_max: u64) -> Result<Bytes, Refusal> {
    if body.size_hint().lower() > bytes_max as u64 {
        return Err(Refusal::TooLarge { bytes_max });
    }
    let read = Limited::new(body, bytes_max).collect();
    match tokio::time::timeout(Duration::from_secs(read_s_max), read).await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) if error.is::<http_body_util::LengthLimitError>() => Err(Refusal::TooLarge { bytes_max }),
        // A body that broke off is no reason to throw the batch away: the sensor may send it again.
        Ok(Err(_)) | Err(_) => Err(Refusal::Busy),
    }
}

/// Does what may wait for a disk.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, Refusal> {
    let span = Span::current();
    tokio::task::spawn_blocking(move || span.in_scope(work)).await.map_err(|error| {
        error!(event = events::NOT_KEPT, %error, "a request of a sensor ended in a bug");
        Refusal::Busy
    })
}

fn sha256(text: &str) -> Result<[u8; 32], Refusal> {
    let mut digest = [0; 32];
    match hex::decode_to_slice(text, &mut digest) {
        Ok(()) => Ok(digest),
        Err(_) => Err(Refusal::Malformed("the path names no SHA-256".to_owned())),
    }
}

#[cfg(fuzzing)]
pub(crate) fn fuzz(bytes: &[u8]) {
    if lines::check(bytes).is_ok() {
        assert!(
            bytes
                .split_inclusive(|byte| *byte == b'\n')
                .all(|line| { line.ends_with(b"\n") && serde_json::from_slice::<serde::de::IgnoredAny>(line).is_ok() })
        );
    }
    for rows in attacks::told(bytes, "tokyo", Timestamp::default()).rows {
        assert!(LakeRows::from_columns(rows.table(), rows.into_columns()).is_ok());
    }
    session_lines::fuzz(bytes);
    let (mentions, _) = lines::mentions(bytes);
    assert!(mentions.len() <= lines::MENTIONS_MAX);
    if let Ok(health) = health::read(bytes) {
        assert!(health.version.len() <= 64 && health.doors.len() <= 64);
    }
    if captures::check(bytes).is_ok() {
        assert!(bytes.len() >= 28 && bytes.starts_with(b"\x0a\x0d\x0d\x0a"));
    }
    let text = String::from_utf8_lossy(bytes);
    let (path, query) = text.split_once('?').unwrap_or((&text, ""));
    for method in [Method::POST, Method::PUT, Method::HEAD] {
        let _ = Asked::read(&method, path, query);
    }
}

/// Sessions as they are put together of what a sensor handed in.
#[cfg(fuzzing)]
pub(crate) fn fuzz_sessions(bytes: &[u8]) {
    session_log::fuzz(bytes);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_read() {
        let check = |method: Method, target: &str, expected: Result<What, StatusCode>| {
            let (path, query) = target.split_once('?').unwrap_or((target, ""));
            let asked = Asked::read(&method, &format!("{PREFIX}{path}"), query);
            let asked = asked.map(|asked| asked.what).map_err(|refusal| refusal.response(false).status());
            assert_eq!(asked, expected, "{method} {target}");
        };
        let digest = "00".repeat(31) + "0a";
        let mut sha256 = [0; 32];
        sha256[31] = 10;
        let records = What::KeepRecords { epoch: SpoolEpoch::new(10), sequence: 3 };
        check(Method::POST, "tokyo/records?epoch=000000000000000a&sequence=3", Ok(records));
        check(Method::HEAD, &format!("tokyo/artifacts/{digest}"), Ok(What::HoldsArtifact(sha256)));
        check(Method::PUT, &format!("a%3Ab/artifacts/{digest}"), Ok(What::KeepArtifact(sha256)));
        check(Method::POST, "tokyo/health", Ok(What::NoteHealth));
        for target in [
            "tokyo/records",
            "tokyo/records?epoch=a&sequence=3",
            "tokyo/records?epoch=000000000000000A&sequence=3",
            "tokyo/records?epoch=000000000000000a&sequence=-1",
            "tokyo/records?epoch=000000000000000a&sequence=18446744073709551616",
            "../records?epoch=000000000000000a&sequence=3",
            "/records?epoch=000000000000000a&sequence=3",
        ] {
            check(Method::POST, target, Err(StatusCode::BAD_REQUEST));
        }
        check(Method::PUT, "tokyo/artifacts/00", Err(StatusCode::BAD_REQUEST));
        check(Method::GET, &format!("tokyo/artifacts/{digest}"), Err(StatusCode::METHOD_NOT_ALLOWED));
        check(Method::GET, "tokyo/health", Err(StatusCode::METHOD_NOT_ALLOWED));
        check(Method::GET, "tokyo", Err(StatusCode::NOT_FOUND));
        check(Method::POST, "tokyo/health/more", Err(StatusCode::NOT_FOUND));
    }
}
