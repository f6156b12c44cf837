//! From spans to a collector: a queue with a bound, and one owner that empties it.
//!
//! Whoever ends a span never waits: one that finds the queue full is dropped and counted. A batch that the collector does not
//! take is dropped and counted as well: traces are to look at, and what is in them is elsewhere, too.

use std::fmt;
use std::fs::File;
use std::io::Read as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use opentelemetry::trace::TracerProvider as _;
use opentelemetry::{Context, KeyValue};
use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{
    Sampler, SdkTracerProvider, Span, SpanData, SpanExporter as _, SpanLimits, SpanProcessor,
};
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use reqwest::redirect::Policy;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout, timeout_at};
use tracing::level_filters::LevelFilter;
use tracing::{info, warn};
use tracing_subscriber::Layer;
use tracing_subscriber::filter::filter_fn;

use super::{TracesSection, events, read_endpoint};
use crate::config::Log;
use crate::logs;

/// Spans that wait: at a kilobyte each some 4 MB.
const QUEUE_SPANS_MAX: usize = 4096;
/// Spans of one request to the collector.
const BATCH_SPANS_MAX: usize = 512;
/// A batch is sent this long after its first span, however small it is.
const BATCH_WAIT: Duration = Duration::from_secs(1);
/// The collector must have taken a batch in this time.
const SEND_TIMEOUT: Duration = Duration::from_secs(10);
/// After a failure the next batch waits for the first, then for twice as long, up to the last.
const PAUSE_FIRST: Duration = Duration::from_secs(1);
const PAUSE_MAX: Duration = Duration::from_secs(30);
/// That a collector does not answer is told at most so often.
const TOLD_EVERY: Duration = Duration::from_secs(60);
/// When the server stops, spans that wait have this long.
const STOP_GRACE: Duration = Duration::from_secs(5);
/// Bytes of the file with headers: a few tokens.
const HEADERS_BYTES_MAX: u64 = 16 * 1024;
/// What one span has at most. Of ours none has half as much; links and events come with what happens.
const LIMITS: SpanLimits = SpanLimits {
    max_events_per_span: 32,
    max_attributes_per_span: 32,
    max_links_per_span: 32,
    max_attributes_per_event: 16,
    max_attributes_per_link: 4,
};

/// Starts logging for the process, and the collecting of spans if that is configured.
pub(crate) fn start(log: &Log, section: &TracesSection) -> anyhow::Result<Option<Telling>> {
    let Some(endpoint) = &section.endpoint else {
        logs::start(log)?;
        return Ok(None);
    };
    let endpoint = read_endpoint(endpoint)?;
    let mut client = reqwest::Client::builder().redirect(Policy::none()).timeout(SEND_TIMEOUT).no_proxy();
    if let Some(file) = &section.headers_file {
        let failed = || format!("cannot use {} (traces.headers_file)", file.display());
        client = client.default_headers(headers(file).with_context(failed)?);
    }
    if let Some(file) = &section.extra_roots_file {
        let failed = || format!("cannot use {} (traces.extra_roots_file)", file.display());
        let pem = std::fs::read(file).with_context(failed)?;
        client = client.tls_certs_merge(reqwest::Certificate::from_pem_bundle(&pem).with_context(failed)?);
    }
    let mut exporter = SpanExporter::builder()
        .with_http()
        .with_http_client(client.build().context("HTTP for the collector of traces cannot be set up")?)
        .with_protocol(Protocol::HttpBinary)
        .with_endpoint(&endpoint)
        .with_timeout(SEND_TIMEOUT)
        .build()
        .context("the collector of traces cannot be set up")?;
    let resource = Resource::builder_empty()
        .with_service_name("komainu")
        .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
        .build();
    exporter.set_resource(&resource);
    let (way, queue) = mpsc::channel(QUEUE_SPANS_MAX);
    let (stop, stopping) = watch::channel(false);
    let dropped = Arc::new(AtomicU64::new(0));
    let provider = SdkTracerProvider::builder()
        .with_sampler(Sampler::ParentBased(Box::new(Sampler::TraceIdRatioBased(section.sample_ratio))))
        .with_span_limits(LIMITS)
        .with_resource(resource)
        .with_span_processor(Queue { way, dropped: dropped.clone() })
        .build();
    // Our own spans and nothing else: log lines may have a stranger's path in them, which is for operators only.
    let ours = filter_fn(|told| told.is_span() && told.target().starts_with("komainu"))
        .with_max_level_hint(LevelFilter::DEBUG);
    let layer = tracing_opentelemetry::layer()
        .with_tracer(provider.tracer("komainu"))
        .with_location(false)
        .with_threads(false)
        .with_target(false)
        .with_tracked_inactivity(false)
        .with_context_activation(false)
        .with_filter(ours);
    logs::start_with(log, layer)?;
    let worker = Worker { endpoint, exporter, queue, dropped, stopping };
    Ok(Some(Telling { provider, stop, worker: Some(worker), running: None }))
}

/// What tells a collector of spans.
pub(crate) struct Telling {
    /// Held, because spans end nowhere without it.
    provider: SdkTracerProvider,
    stop: watch::Sender<bool>,
    worker: Option<Worker>,
    running: Option<JoinHandle<()>>,
}

impl Telling {
    /// Begins to tell. Must be called on a tokio runtime.
    pub(crate) fn run(&mut self) {
        self.running = self.worker.take().map(|worker| tokio::spawn(worker.run()));
    }

    /// Tells what waits, for a time.
    pub(crate) async fn end(self) {
        self.stop.send_replace(true);
        if let Some(running) = self.running {
            let _ = timeout(STOP_GRACE, running).await;
        }
        drop(self.provider);
    }
}

/// Takes spans that have ended.
struct Queue {
    way: mpsc::Sender<SpanData>,
    dropped: Arc<AtomicU64>,
}

impl fmt::Debug for Queue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Queue").finish_non_exhaustive()
    }
}

impl SpanProcessor for Queue {
    fn on_start(&self, _: &mut Span, _: &Context) {}

    fn on_end(&self, span: SpanData) {
        if !span.span_context.is_sampled() {
            return;
        }
        // Nothing is logged here: that could be within the work that is traced.
        if self.way.try_send(span).is_err() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn force_flush(&self) -> OTelSdkResult {
        Ok(())
    }

    fn shutdown_with_timeout(&self, _: Duration) -> OTelSdkResult {
        Ok(())
    }
}

/// The owner of the queue.
struct Worker {
    endpoint: String,
    exporter: SpanExporter,
    queue: mpsc::Receiver<SpanData>,
    /// Spans since the start that are not with the collector.
    dropped: Arc<AtomicU64>,
    stopping: watch::Receiver<bool>,
}

impl Worker {
    /// Sends spans until it is told to stop, then those that wait.
    async fn run(mut self) {
        let (mut pause, mut told_at, mut works) = (PAUSE_FIRST, None::<Instant>, false);
        let mut told_dropped = 0;
        loop {
            let Some(batch) = self.batch().await else { return };
            let (spans, is_last) = (batch.len() as u64, *self.stopping.borrow());
            let sent = timeout(SEND_TIMEOUT, self.exporter.export(batch)).await;
            let failure = match sent {
                Ok(Ok(())) => None,
                Ok(Err(error)) => Some(error.to_string()),
                Err(_) => Some("it took too long".to_owned()),
            };
            if failure.is_none() && !works {
                info!(event = events::WORKS, endpoint = self.endpoint, "the collector of traces takes spans");
            }
            works = failure.is_none();
            if !works {
                self.dropped.fetch_add(spans, Ordering::Relaxed);
            }
            let dropped = self.dropped.load(Ordering::Relaxed);
            if dropped > told_dropped && told_at.is_none_or(|at| at.elapsed() >= TOLD_EVERY) {
                let error = failure.as_deref().unwrap_or("more spans came than the collector took");
                warn!(
                    event = events::FAILED,
                    endpoint = self.endpoint,
                    error,
                    dropped,
                    "spans are not with the collector"
                );
                (told_at, told_dropped) = (Some(Instant::now()), dropped);
            }
            if works {
                pause = PAUSE_FIRST;
            } else if is_last {
                return;
            } else {
                tokio::select! {
                    () = sleep(pause) => {}
                    _ = self.stopping.wait_for(|stop| *stop) => {}
                }
                pause = (pause * 2).min(PAUSE_MAX);
            }
        }
    }

    /// The next spans; none when everything is told and nothing comes any more.
    async fn batch(&mut self) -> Option<Vec<SpanData>> {
        let mut batch = Vec::new();
        tokio::select! {
            biased;
            taken = self.queue.recv_many(&mut batch, BATCH_SPANS_MAX) => {
                if taken == 0 {
                    return None;
                }
            }
            _ = self.stopping.wait_for(|stop| *stop) => {
                self.queue.close();
                return None;
            }
        }
        let until = Instant::now() + BATCH_WAIT;
        while batch.len() < BATCH_SPANS_MAX && !*self.stopping.borrow() {
            tokio::select! {
                next = timeout_at(until, self.queue.recv()) => match next {
                    Ok(Some(span)) => batch.push(span),
                    Ok(None) | Err(_) => break,
                },
                _ = self.stopping.wait_for(|stop| *stop) => {}
            }
        }
        Some(batch)
    }
}

/// Reads headers: lines of a name, a colon and a value. Their values are secrets: none is in an error.
fn headers(file: &Path) -> anyhow::Result<HeaderMap> {
    let mut text = String::new();
    File::open(file)?.take(HEADERS_BYTES_MAX + 1).read_to_string(&mut text)?;
    ensure!(text.len() as u64 <= HEADERS_BYTES_MAX, "it has more than {HEADERS_BYTES_MAX} bytes");
    read_headers(&text)
}

fn read_headers(text: &str) -> anyhow::Result<HeaderMap> {
    let mut headers = HeaderMap::new();
    for (place, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let header = line.split_once(':').and_then(|(name, value)| {
            Some((name.trim().parse::<HeaderName>().ok()?, value.trim().parse::<HeaderValue>().ok()?))
        });
        let Some((name, mut value)) = header else { bail!("line {} is no `Name: value`", place + 1) };
        value.set_sensitive(true);
        headers.append(name, value);
    }
    Ok(headers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_read() {
        let check = |text: &str, expected: Option<&[(&str, &str)]>| {
            let read = read_headers(text).ok();
            let pairs = read.as_ref().map(|headers| {
                headers.iter().map(|(name, value)| (name.as_str(), value.to_str().unwrap())).collect::<Vec<_>>()
            });
            assert_eq!(pairs.as_deref(), expected, "{text:?}");
        };
        check("", Some(&[]));
        check(
            "Authorization: Bearer abc\n\nx-scope: home \n",
            Some(&[("authorization", "Bearer abc"), ("x-scope", "home")]),
        );
        check("Authorization", None);
        check("a b: c", None);
        check("a: b\u{7}", None);
    }

    #[test]
    fn what_finds_the_queue_full_is_counted() {
        let (way, _queue) = mpsc::channel(2);
        let dropped = Arc::new(AtomicU64::new(0));
        let provider =
            SdkTracerProvider::builder().with_span_processor(Queue { way, dropped: dropped.clone() }).build();
        let tracer = provider.tracer("test");
        for _ in 0..5 {
            drop(opentelemetry::trace::Tracer::start(&tracer, "span"));
        }
        assert_eq!(dropped.load(Ordering::Relaxed), 3);
    }
}
