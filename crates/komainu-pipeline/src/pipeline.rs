//! Starting the workers, handing them reports, and stopping them.

use std::sync::Arc;
use std::time::Duration;

use komainu_detect::DetectorLimits;
use komainu_ports::{
    AlertRouter, BoxFuture, Broker, ChangeObserver, Clock, Courier, DeliveryCounts, Directory, Lake, LakeFeed,
    ReportMessage, ReportSink, ReportSinkError, Store, StoreError,
};
use tokio::sync::{Mutex, Notify, mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tracing::field::Empty;
use tracing::{Instrument, Span, debug_span};

use crate::evaluator::Evaluator;
use crate::indicators::Indicators;
use crate::lake::LakeWorker;
use crate::maintenance::Maintenance;
use crate::outbox::{Outbox, Tally};
use crate::reports::{ReportWorker, Submission};
use crate::threads::Threads;

/// A report waits so long for a place in the queue before its device is told to come again. Shorter than the time
/// after which devices give up waiting for an acknowledgement.
const SUBMIT_WAIT: Duration = Duration::from_secs(2);
/// The workers get so long to finish what they hold.
const STOP_GRACE: Duration = Duration::from_secs(10);

/// The bounds of the workers.
#[derive(Debug, Clone)]
pub struct PipelineConfig {
    /// So many reports wait to be judged; at 1.2 kB each about 5 MB.
    pub queued_reports_max: usize,
    /// So many reports are judged and made durable as one step.
    pub batch_reports_max: usize,
    /// So many messages are delivered at a time, to different receivers.
    pub deliveries_max: usize,
    /// Events, values and dead deliveries are kept so long (AWS keeps violations for 14 days).
    pub history: Duration,
    /// The bounds of the detector.
    pub detector: DetectorLimits,
}

impl Default for PipelineConfig {
    fn default() -> Self {
        Self {
            queued_reports_max: 4096,
            batch_reports_max: 256,
            deliveries_max: 8,
            history: Duration::from_secs(14 * 24 * 3600),
            detector: DetectorLimits::default(),
        }
    }
}

/// What the workers work with.
#[derive(Clone)]
pub struct PipelinePorts {
    /// Where everything is written down.
    pub store: Arc<dyn Store>,
    /// How devices are judged.
    pub directory: Arc<dyn Directory>,
    /// Who measures devices and carries answers to them. It may come into being after the pipeline.
    pub broker: Arc<dyn Broker>,
    /// Who hears of alerts.
    pub router: Arc<dyn AlertRouter>,
    /// Who carries messages to people.
    pub courier: Arc<dyn Courier>,
    /// What time it is.
    pub clock: Arc<dyn Clock>,
    /// What devices should not be in contact with.
    pub indicators: Arc<Indicators>,
    /// What the lake has not taken yet, of the same store.
    pub lake_feed: Arc<dyn LakeFeed>,
    /// Where what devices reported is counted.
    pub lake: Arc<dyn Lake>,
    /// Who hears of what was committed about violations, after it is durable.
    pub observers: Vec<Arc<dyn ChangeObserver>>,
    /// Notified when somebody else put a message into the outbox.
    pub outbox: Arc<Notify>,
}

/// Why the workers could not start.
#[derive(Debug, thiserror::Error)]
#[error("detection cannot be restored")]
pub struct StartError(#[from] StoreError);

/// The running workers.
pub struct Pipeline {
    tally: Arc<Tally>,
    reports: mpsc::Sender<Submission>,
    stop: watch::Sender<bool>,
    workers: Mutex<JoinSet<()>>,
}

impl Pipeline {
    /// Restores the detector from the store and starts the workers. Must be called on a tokio runtime.
    pub async fn start(config: PipelineConfig, ports: PipelinePorts) -> Result<Arc<Self>, StartError> {
        let threads = Arc::new(Threads::default());
        let evaluator = Evaluator::open_blocking(&config, &ports, &threads).await?;
        let (reports, queue) = mpsc::channel(config.queued_reports_max);
        let (stop, stopping) = watch::channel(false);
        let mut workers = JoinSet::new();
        let worker = ReportWorker::new(config.clone(), ports.clone(), threads.clone(), evaluator, queue);
        workers.spawn(worker.run(stopping.clone()));
        let tally = Arc::new(Tally::default());
        workers.spawn(Outbox::new(&config, &ports, tally.clone(), threads).run(stopping.clone()));
        workers.spawn(LakeWorker::new(&ports).run(stopping.clone()));
        workers.spawn(Maintenance::new(&config, &ports).run(stopping));
        Ok(Arc::new(Self { tally, reports, stop, workers: Mutex::new(workers) }))
    }

    /// What became of messages since the start.
    pub fn deliveries(&self) -> DeliveryCounts {
        self.tally.counts()
    }

    /// Stops taking reports, finishes what is held, and waits for the workers to end, ten seconds at most.
    pub async fn shutdown(&self) {
        self.stop.send_replace(true);
        let mut workers = self.workers.lock().await;
        let ended = tokio::time::timeout(STOP_GRACE, async { while workers.join_next().await.is_some() {} }).await;
        if ended.is_err() {
            tracing::warn!(
                event = "pipeline.stop_timed_out",
                "workers did not end in time; what they held is done again at the next start"
            );
            workers.shutdown().await;
        }
        tracing::info!(event = "pipeline.stopped", "pipeline stopped");
    }
}

impl ReportSink for Pipeline {
    fn submit(&self, report: ReportMessage) -> BoxFuture<'static, Result<(), ReportSinkError>> {
        let reports = self.reports.clone();
        let span = report_span(&report);
        let of_submission = span.clone();
        let submitted = async move {
            let place = tokio::time::timeout(SUBMIT_WAIT, reports.reserve()).await;
            let Ok(Ok(place)) = place else { return Err(ReportSinkError::Busy) };
            let (done, outcome) = oneshot::channel();
            place.send(Submission { report, span: of_submission, done });
            // A worker that is gone has not stored it.
            outcome.await.unwrap_or(Err(ReportSinkError::Busy))
        };
        Box::pin(submitted.instrument(span))
    }
}

/// The span of a report. It begins a trace of its own, because a connection may last for weeks, and is linked to that.
fn report_span(report: &ReportMessage) -> Span {
    let span = debug_span!(
        parent: None,
        "report",
        otel.kind = "consumer",
        messaging.system = "mqtt",
        messaging.operation.type = "process",
        messaging.message.body.size = report.payload.len() as i64,
        komainu.thing = Empty,
        komainu.outcome = Empty,
    );
    if !span.is_disabled() {
        span.follows_from(Span::current());
    }
    span
}

/// Resolves when the workers are to end.
pub(crate) async fn stopped(stop: &mut watch::Receiver<bool>) {
    // The sender is gone when the pipeline was dropped: that is an end, too.
    let _ = stop.wait_for(|stop| *stop).await;
}
