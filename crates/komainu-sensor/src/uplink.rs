//! The uplink: it sends what is in the spool to the hub, and word of the sensor's health.
//!
//! Captures of sessions go when no segment waits, the oldest first, until the hub has each.
//!
//! Segments go one after the other, each again and again until the hub has it; behind each go the artifacts that it
//! names and that the hub does not have. A segment leaves the spool when it and its artifacts are with the hub, so a
//! sensor that is killed in between sends it once more and the hub sees that it knows it.

use std::collections::BTreeMap;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use komainu_model::Confidentiality;
use reqwest::{Body, Certificate, Client, Identity, Method, RequestBuilder, Response, StatusCode};
use serde::Serialize;
use serde_json::value::RawValue;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};
use tracing::{error, info, warn};

use crate::artifact::{ArtifactError, ArtifactStore, Contents, Sha256Digest};
use crate::capture_store::{CaptureDropped, CaptureStore, SessionCapture};
use crate::events;
use crate::spool::{Segment, Spool};

/// How long a connection to the hub may take to stand, TLS included.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a batch or a word of health may take.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(60);

/// How long an artifact may take: 32 MiB over a slow line.
const ARTIFACT_TIMEOUT: Duration = Duration::from_secs(300);

/// How long a capture may take: 8 MiB over a slow line.
const CAPTURE_TIMEOUT: Duration = Duration::from_secs(120);

/// Chunks of an artifact, of 64 KiB, that are read ahead of what is sent.
const CHUNKS_AHEAD: usize = 2;

/// How long the reading of an artifact may go on after its request has ended.
const READING_GRACE: Duration = Duration::from_secs(5);

/// Says of what is sent, and of what the hub has, whether it is confidential: `yes` or `no`.
const CONFIDENTIAL: &str = "komainu-confidential";

/// How often the hub hears of the sensor's health.
const HEALTH_INTERVAL: Duration = Duration::from_secs(30);

/// The first pause after a failure; each further one is twice as long, up to the last.
const PAUSE_FIRST: Duration = Duration::from_millis(500);
const PAUSE_LAST: Duration = Duration::from_secs(60);

/// How long what is left may take when the sensor stops. What does not get away is sent after the next start.
const STOP_GRACE: Duration = Duration::from_secs(5);

/// How the hub is reached, and as whom.
#[derive(Clone)]
pub struct UplinkConfig {
    /// `HOST:PORT` of the hub's TLS listener.
    pub address: String,
    /// The name under which the sensor is enrolled.
    pub sensor: String,
    /// Its certificate, PEM.
    pub certificate_pem: Vec<u8>,
    /// The certificate's key, PEM.
    pub key_pem: Vec<u8>,
    /// The root certificate of the hub, PEM. No other is trusted.
    pub root_pem: Vec<u8>,
}

/// What the uplink needs of the rest.
pub struct UplinkPorts {
    /// What it sends.
    pub spool: Arc<Spool>,
    /// The artifacts that segments name.
    pub artifacts: Arc<ArtifactStore>,
    /// The captures of sessions.
    pub captures: Arc<CaptureStore>,
    /// Says how the sensor is.
    pub health: Box<dyn Fn() -> Health + Send + Sync>,
}

/// How the sensor is, as the hub is told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Health {
    /// The version of Komainu.
    pub version: &'static str,
    /// How long it has been running, in seconds.
    pub uptime_s: u64,
    /// Connections at this moment.
    pub connections: u64,
    /// Connections since it started.
    pub connections_total: u64,
    /// Connections that a bound kept out since it started.
    pub refused: u64,
    /// Bytes in the spool.
    pub spool_bytes: u64,
    /// How old the oldest record in the spool is, in seconds.
    pub spool_age_s: u64,
    /// Lines that could not be written down since it started.
    pub lines_lost: u64,
    /// Captures of sessions that wait for the hub.
    pub captures: u64,
    /// Their bytes.
    pub captures_bytes: u64,
    /// Captures that were dropped since it started, before the hub had them.
    pub captures_dropped: u64,
    /// What is open: persona, service and port.
    pub doors: Vec<String>,
}

/// Why there is no uplink.
#[derive(Debug, thiserror::Error)]
pub enum UplinkError {
    /// A certificate or the key cannot be used.
    #[error("cannot use {what} for the hub")]
    Unusable {
        /// Which.
        what: &'static str,
        /// Why.
        #[source]
        source: reqwest::Error,
    },
}

/// Sends in a task of its own until it is told to stop.
#[derive(Debug)]
pub struct Uplink {
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Uplink {
    /// Begins to send.
    pub fn start(config: UplinkConfig, ports: UplinkPorts) -> Result<Self, UplinkError> {
        let unusable = |what| move |source| UplinkError::Unusable { what, source };
        let identity = [config.certificate_pem.as_slice(), b"\n", config.key_pem.as_slice()].concat();
        let roots =
            Certificate::from_pem_bundle(&config.root_pem).map_err(unusable("the root certificate (sensor.hub.ca)"))?;
        let client = Client::builder()
            .user_agent(concat!("Komainu/", env!("CARGO_PKG_VERSION")))
            .identity(
                Identity::from_pem(&identity)
                    .map_err(unusable("the certificate and its key (sensor.hub.cert, .key)"))?,
            )
            .tls_certs_only(roots)
            .redirect(reqwest::redirect::Policy::none())
            // The hub is where the configuration says; the environment has no say in it.
            .no_proxy()
            .retry(reqwest::retry::never())
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(REQUEST_TIMEOUT)
            .pool_max_idle_per_host(1)
            .build()
            .map_err(unusable("TLS"))?;
        let base = format!("https://{}/komainu/v1/sensors/{}", config.address, config.sensor);
        let (stop, stopped) = watch::channel(false);
        let sender = Sender { client, base, ports, is_answering: None, failures: 0, health_at: Instant::now() };
        Ok(Self { stop, task: tokio::spawn(sender.run(stopped)) })
    }

    /// Sends what is left, within a bound, and stops. The spool must be sealed before.
    pub async fn shutdown(mut self) {
        let _ = self.stop.send(true);
        if timeout(STOP_GRACE, &mut self.task).await.is_err() {
            self.task.abort();
        }
    }
}

struct Sender {
    client: Client,
    /// The sensor's own part of the hub.
    base: String,
    ports: UplinkPorts,
    /// Whether the last request was answered as it should be; none was made yet.
    is_answering: Option<bool>,
    /// Failures since the last answer.
    failures: u32,
    /// When the hub is told of the sensor's health next.
    health_at: Instant,
}

/// What became of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Outcome {
    Done,
    /// The hub will never take it.
    Refused(StatusCode),
    /// Worth another try.
    Failed(String),
}

impl Sender {
    async fn run(mut self, mut stop: watch::Receiver<bool>) {
        loop {
            if Instant::now() >= self.health_at {
                self.send_health().await;
            }
            let waiting = (self.ports.spool.first(), self.ports.captures.first());
            let is_sent = match waiting {
                (Some(segment), _) => self.send_segment(&segment).await,
                (None, Some(capture)) => self.send_capture(&capture).await,
                (None, None) if *stop.borrow() => return,
                (None, None) => {
                    tokio::select! {
                        biased;
                        _ = stop.wait_for(|stop| *stop) => {}
                        () = self.ports.spool.sealed.notified() => {}
                        () = self.ports.captures.added.notified() => {}
                        () = tokio::time::sleep_until(self.health_at) => {}
                    }
                    continue;
                }
            };
            if !is_sent {
                // A hub that does not answer now will hardly do so within the time that is left.
                tokio::select! {
                    biased;
                    _ = stop.wait_for(|stop| *stop) => return,
                    () = sleep(self.pause()) => {}
                }
            }
        }
    }

    async fn send_health(&mut self) {
        self.health_at = Instant::now() + HEALTH_INTERVAL;
        let health = (self.ports.health)();
        let body = serde_json::to_vec(&health).expect("numbers and texts can be written as JSON");
        let outcome = outcome(self.request(Method::POST, "health", body, REQUEST_TIMEOUT).await);
        self.note(&outcome);
    }

    /// Sends a segment and the artifacts that it names; true when it has left the spool.
    async fn send_segment(&mut self, segment: &Segment) -> bool {
        let lines = match self.ports.spool.read(segment) {
            Ok(lines) => lines,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                error!(event = events::SPOOL_NOT_WRITTEN, why = "gone", %error, "a segment has vanished");
                return self.leave(segment, Spool::remove);
            }
            Err(error) => {
                error!(event = events::SPOOL_NOT_WRITTEN, why = "disk", %error, "a segment cannot be read");
                self.failures = self.failures.saturating_add(1);
                return false;
            }
        };
        let Segment { epoch, sequence, .. } = segment;
        let artifacts = artifacts_in(&lines);
        let path = format!("records?epoch={epoch}&sequence={sequence}");
        let outcome = outcome(self.request(Method::POST, &path, lines, REQUEST_TIMEOUT).await);
        self.note(&outcome);
        match outcome {
            Outcome::Done => {}
            Outcome::Refused(status) => {
                error!(event = events::BATCH_REFUSED, %epoch, sequence, %status, "the hub refuses a batch: set aside");
                return self.leave(segment, Spool::set_aside);
            }
            Outcome::Failed(_) => return false,
        }
        for (sha256, confidentiality) in artifacts {
            if !self.send_artifact(sha256, confidentiality).await {
                return false;
            }
        }
        self.leave(segment, Spool::remove)
    }

    fn leave(&mut self, segment: &Segment, how: fn(&Spool, &Segment) -> io::Result<()>) -> bool {
        match how(&self.ports.spool, segment) {
            Ok(()) => true,
            Err(error) => {
                error!(event = events::SPOOL_NOT_WRITTEN, why = "disk", %error, "a segment cannot be removed");
                self.failures = self.failures.saturating_add(1);
                false
            }
        }
    }

    /// Sends a capture; true when it has left the store.
    async fn send_capture(&mut self, capture: &SessionCapture) -> bool {
        let captures = self.ports.captures.clone();
        let (store, wanted) = (captures.clone(), *capture);
        let read = tokio::task::spawn_blocking(move || store.read(&wanted)).await;
        let pcapng = match read.unwrap_or_else(|error| Err(io::Error::other(error))) {
            Ok(pcapng) => pcapng,
            Err(error) => {
                captures.give_up(capture, CaptureDropped::Disk, Some(&error));
                return true;
            }
        };
        let path = format!("captures/{}", capture.session);
        let request =
            self.build(Method::PUT, &path, CAPTURE_TIMEOUT).header(CONFIDENTIAL, word_of(capture.confidentiality));
        let outcome = outcome(request.body(pcapng).send().await);
        self.note(&outcome);
        match outcome {
            Outcome::Done => match captures.remove(capture) {
                Ok(()) => true,
                Err(error) => {
                    error!(event = events::SPOOL_NOT_WRITTEN, why = "disk", %error, "a capture cannot be removed");
                    self.failures = self.failures.saturating_add(1);
                    false
                }
            },
            Outcome::Refused(_) => {
                captures.give_up(capture, CaptureDropped::Refused, None);
                true
            }
            Outcome::Failed(_) => false,
        }
    }

    /// Sends an artifact that the hub does not have, or has as something confidential that is none; false when it is
    /// worth another try.
    async fn send_artifact(&mut self, sha256: Sha256Digest, confidentiality: Confidentiality) -> bool {
        let path = format!("artifacts/{sha256}");
        match self.request(Method::HEAD, &path, Vec::new(), REQUEST_TIMEOUT).await {
            Ok(response) if response.status() == StatusCode::NOT_FOUND => {}
            Ok(response) if response.status() == StatusCode::OK => {
                let is_confidential = response.headers().get(CONFIDENTIAL).is_some_and(|word| word == "yes");
                if !is_confidential || confidentiality == Confidentiality::Confidential {
                    return true;
                }
            }
            answer => match outcome(answer) {
                Outcome::Done | Outcome::Refused(_) => {}
                failed @ Outcome::Failed(_) => {
                    self.note(&failed);
                    return false;
                }
            },
        }
        let contents = match self.ports.artifacts.contents(sha256) {
            Ok(contents) => contents,
            Err(error) => return self.note_unreadable(sha256, &error),
        };
        let (body, reading) = StreamedBody::of(contents);
        let request = self.build(Method::PUT, &path, ARTIFACT_TIMEOUT).header(CONFIDENTIAL, word_of(confidentiality));
        let outcome = outcome(request.body(Body::wrap(body)).send().await);
        // As a rule the body is gone, and whoever reads for it ends at the next chunk. After an early answer the connection
        // may hold it for longer; then the answer says all that there is to know.
        let read = match timeout(READING_GRACE, reading).await {
            Ok(Ok(read)) => read,
            Ok(Err(error)) => Err(ArtifactError::Io { sha256, source: io::Error::other(error) }),
            Err(_elapsed) => Ok(()),
        };
        if let Err(error) = read {
            return self.note_unreadable(sha256, &error);
        }
        self.note(&outcome);
        match outcome {
            Outcome::Done => true,
            Outcome::Refused(status) => {
                warn!(event = events::ARTIFACT_NOT_SENT, %sha256, %status, "the hub refuses an artifact");
                true
            }
            Outcome::Failed(_) => false,
        }
    }

    /// Notes that an artifact cannot be read; false when it is worth another try.
    fn note_unreadable(&mut self, sha256: Sha256Digest, error: &ArtifactError) -> bool {
        match error {
            ArtifactError::Missing { .. } | ArtifactError::Damaged { .. } => {
                warn!(event = events::ARTIFACT_NOT_SENT, %sha256, %error, "artifact cannot be sent");
                true
            }
            ArtifactError::Io { .. } => {
                warn!(event = events::ARTIFACT_NOT_SENT, %sha256, %error, "artifact cannot be read now");
                self.failures = self.failures.saturating_add(1);
                false
            }
        }
    }

    async fn request(
        &self,
        method: Method,
        path: &str,
        body: Vec<u8>,
        time_max: Duration,
    ) -> Result<Response, reqwest::Error> {
        self.build(method, path, time_max).body(body).send().await
    }

    fn build(&self, method: Method, path: &str, time_max: Duration) -> RequestBuilder {
        self.client.request(method, format!("{}/{path}", self.base)).timeout(time_max)
    }

    /// Counts failures, and says when the hub stops or begins to answer.
    fn note(&mut self, outcome: &Outcome) {
        match outcome {
            Outcome::Done | Outcome::Refused(_) => {
                self.failures = 0;
                if self.is_answering != Some(true) {
                    info!(event = events::HUB_ANSWERS, hub = self.base, "records reach the hub");
                }
                self.is_answering = Some(true);
            }
            Outcome::Failed(error) => {
                self.failures = self.failures.saturating_add(1);
                if self.is_answering != Some(false) {
                    warn!(event = events::HUB_FAILS, hub = self.base, error, "records wait in the spool");
                }
                self.is_answering = Some(false);
            }
        }
    }

    fn pause(&self) -> Duration {
        pause_after(self.failures, self.ports.spool.standing().bytes)
    }
}

/// How long to wait after so many failures: twice as long each time, and a part of it by chance, so that those who
/// lost the other side together do not come back together. What chance there is comes from `seed`.
pub(crate) fn pause_after(failures: u32, seed: u64) -> Duration {
    let doubled = PAUSE_FIRST.saturating_mul(1 << failures.saturating_sub(1).min(16)).min(PAUSE_LAST);
    // A step of SplitMix64: neighbouring seeds give unlike numbers.
    let mixed = (seed ^ u64::from(failures)).wrapping_add(0x9E37_79B9_7F4A_7C15).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let part = (mixed >> 48) as f64 / f64::from(u16::MAX);
    doubled.mul_f64(0.5 + part.min(1.0) / 2.0)
}

fn outcome(answer: Result<Response, reqwest::Error>) -> Outcome {
    match answer {
        Ok(response) => of_status(response.status()),
        Err(error) => Outcome::Failed(with_causes(&error)),
    }
}

/// What a status means. Only what says that the request itself is wrong is final: rights can be given back.
fn of_status(status: StatusCode) -> Outcome {
    match status {
        status if status.is_success() => Outcome::Done,
        StatusCode::BAD_REQUEST
        | StatusCode::PAYLOAD_TOO_LARGE
        | StatusCode::UNPROCESSABLE_ENTITY
        | StatusCode::INSUFFICIENT_STORAGE => Outcome::Refused(status),
        status => Outcome::Failed(format!("the hub answers {status}")),
    }
}

fn with_causes(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}

fn word_of(confidentiality: Confidentiality) -> &'static str {
    match confidentiality {
        Confidentiality::Open => "no",
        Confidentiality::Confidential => "yes",
    }
}

/// The contents of an artifact as the body of a request: what is in memory of it is a few chunks.
struct StreamedBody {
    chunks: mpsc::Receiver<Result<Bytes, io::Error>>,
    bytes_left: u64,
}

impl StreamedBody {
    /// The body, and the task that reads for it; that ends when the body is dropped.
    fn of(mut contents: Contents) -> (Self, JoinHandle<Result<(), ArtifactError>>) {
        let (sender, chunks) = mpsc::channel(CHUNKS_AHEAD);
        let bytes_left = contents.bytes();
        let reading = tokio::task::spawn_blocking(move || {
            loop {
                match contents.next_chunk() {
                    Ok(Some(chunk)) if sender.blocking_send(Ok(Bytes::copy_from_slice(chunk))).is_ok() => {}
                    Ok(_) => return Ok(()),
                    Err(error) => {
                        // The request breaks off, so that the hub keeps nothing of it.
                        let _ = sender.blocking_send(Err(io::ErrorKind::InvalidData.into()));
                        return Err(error);
                    }
                }
            }
        });
        (Self { chunks, bytes_left }, reading)
    }
}

impl HttpBody for StreamedBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        self.chunks.poll_recv(context).map(|chunk| {
            Some(chunk?.map(|chunk| {
                self.bytes_left = self.bytes_left.saturating_sub(chunk.len() as u64);
                Frame::data(chunk)
            }))
        })
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.bytes_left)
    }
}

/// The artifacts that the lines of a segment say are stored, and who may see each: one that came to a target that is no
/// secret is none.
fn artifacts_in(lines: &[u8]) -> BTreeMap<Sha256Digest, Confidentiality> {
    #[derive(serde::Deserialize)]
    struct Line<'a> {
        #[serde(default)]
        confidential: bool,
        #[serde(borrow)]
        line: BTreeMap<&'a str, &'a RawValue>,
    }
    #[derive(serde::Deserialize)]
    struct Stored<'a> {
        sha256: &'a str,
        stored: bool,
    }
    let of_line = |line: &[u8]| {
        // Most lines are told apart by this, which is cheap. An attacker's text has its quotes escaped.
        let says_so = line.windows(MARK.len()).any(|window| window == MARK);
        let line: Line<'_> = says_so.then(|| serde_json::from_slice(line).ok())??;
        let event_type: &str = serde_json::from_str(line.line.get("event_type")?.get()).ok()?;
        let stored: Stored<'_> = serde_json::from_str(line.line.get(event_type)?.get()).ok()?;
        let confidentiality = if line.confidential { Confidentiality::Confidential } else { Confidentiality::Open };
        stored.stored.then(|| Some((Sha256Digest::parse(stored.sha256)?, confidentiality)))?
    };
    let mut artifacts = BTreeMap::new();
    for (sha256, confidentiality) in lines.split(|byte| *byte == b'\n').filter_map(of_line) {
        let known = artifacts.entry(sha256).or_insert(confidentiality);
        *known = (*known).min(confidentiality);
    }
    artifacts
}

/// What is in every line that tells of a stored artifact.
const MARK: &[u8] = b"\"stored\":true";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_and_differ() {
        for seed in 0..1_000 {
            for failures in 0..100 {
                let pause = pause_after(failures, seed);
                assert!(pause >= PAUSE_FIRST / 2 && pause <= PAUSE_LAST, "{failures} {seed}: {pause:?}");
            }
            assert!(pause_after(20, seed) >= PAUSE_LAST / 2);
        }
        assert_ne!(pause_after(5, 1), pause_after(5, 2));
    }

    #[test]
    fn only_what_is_wrong_by_itself_is_final() {
        for (status, expected) in [
            (200, Outcome::Done),
            (400, Outcome::Refused(StatusCode::BAD_REQUEST)),
            (413, Outcome::Refused(StatusCode::PAYLOAD_TOO_LARGE)),
            (507, Outcome::Refused(StatusCode::INSUFFICIENT_STORAGE)),
        ] {
            assert_eq!(of_status(StatusCode::from_u16(status).unwrap()), expected);
        }
        for status in [302, 401, 403, 404, 429, 500, 503] {
            let outcome = of_status(StatusCode::from_u16(status).unwrap());
            assert!(matches!(outcome, Outcome::Failed(_)), "{status}");
        }
    }

    #[test]
    fn stored_artifacts_are_found_in_lines() {
        let digest = "ab".repeat(32);
        let line = |line: &str| format!("{{\"log\":\"eve\",\"line\":{line}}}\n");
        let check = |text: &str, expected: usize| {
            assert_eq!(artifacts_in(line(text).as_bytes()).len(), expected, "{text}");
        };
        let told = |event_type: &str, rest: &str| {
            format!(r#"{{"a":1,"event_type":"{event_type}","{event_type}":{{"sha256":"{digest}",{rest}}}}}"#)
        };
        check(&told("fileinfo", r#""size":3,"stored":true"#), 1);
        check(&told("payload", r#""stored":true,"text":"x""#), 1);
        check(&told("artifact", r#""stored":false"#), 0);
        check(&told("note", r#""text":"\"stored\":true""#), 0);
        check(
            &format!(r#"{{"event_type":"honeypot","honeypot":{{"artifacts":[{{"stored":true}}]}},"x":"{digest}"}}"#),
            0,
        );
        check("{\"stored\":true", 0);
        let twice = line(&told("fileinfo", r#""stored":true"#)) + &line(&told("artifact", r#""stored":true"#));
        assert_eq!(artifacts_in(twice.as_bytes()).len(), 1);
    }

    #[test]
    fn an_artifact_that_came_to_an_open_target_is_no_secret() {
        let digest = Sha256Digest::of(b"x");
        let line = |mark: &str| {
            let told = format!(r#"{{"event_type":"artifact","artifact":{{"sha256":"{digest}","stored":true}}}}"#);
            format!("{{\"log\":\"honeypot\",{mark}\"line\":{told}}}\n")
        };
        let (open, confidential) = (line(""), line("\"confidential\":true,"));
        let check = |lines: String, expected| {
            assert_eq!(artifacts_in(lines.as_bytes()).get(&digest), Some(&expected), "{lines}");
        };
        check(open.clone(), Confidentiality::Open);
        check(confidential.repeat(2), Confidentiality::Confidential);
        check(format!("{confidential}{open}"), Confidentiality::Open);
        check(format!("{open}{confidential}"), Confidentiality::Open);
    }
}
