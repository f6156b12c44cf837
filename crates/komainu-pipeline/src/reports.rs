//! The worker that takes reports and the gateway's meters through the detector.

use std::sync::Arc;
use std::time::Duration;

use komainu_model::Timestamp;
use komainu_ports::{
    Broker, MeterReading, OutboundMessage, QualityOfService, ReportMessage, ReportSinkError, StoreError,
};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;
use tracing::{Instrument, Span, debug_span};

use crate::evaluator::{Answer, Evaluated, Evaluator, LookedBack};
use crate::pipeline::{PipelineConfig, PipelinePorts, stopped};
use crate::threads::Threads;

/// The meters are read, and windows closed, so often.
const TICK: Duration = Duration::from_secs(1);
/// Windows are closed so long after their end: a report that the gateway received before may still be in the queue.
const CLOSING_DELAY: Duration = Duration::from_secs(1);
/// So many answers may be on their way to devices.
const ANSWERS_MAX: usize = 4096;

/// A report and who waits for its fate.
pub(crate) struct Submission {
    pub(crate) report: ReportMessage,
    pub(crate) span: Span,
    pub(crate) done: oneshot::Sender<Result<(), ReportSinkError>>,
}

pub(crate) struct ReportWorker {
    config: PipelineConfig,
    ports: PipelinePorts,
    threads: Arc<Threads>,
    /// `None` while the store does not answer.
    evaluator: Option<Evaluator>,
    queue: mpsc::Receiver<Submission>,
    answers: JoinSet<()>,
    /// The latest time that was seen; the clock may go back.
    now: Timestamp,
}

impl ReportWorker {
    pub(crate) fn new(
        config: PipelineConfig,
        ports: PipelinePorts,
        threads: Arc<Threads>,
        evaluator: Evaluator,
        queue: mpsc::Receiver<Submission>,
    ) -> Self {
        let now = ports.clock.now();
        Self { config, ports, threads, evaluator: Some(evaluator), queue, answers: JoinSet::new(), now }
    }

    pub(crate) async fn run(mut self, mut stop: watch::Receiver<bool>) {
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut batch = Vec::new();
        loop {
            let batch_max = self.config.batch_reports_max;
            tokio::select! {
                biased;
                () = stopped(&mut stop) => break,
                // Before the queue: windows close and meters are read although reports never cease.
                _ = tick.tick() => self.tick().await,
                taken = self.queue.recv_many(&mut batch, batch_max) => {
                    if taken == 0 {
                        break;
                    }
                    self.take(std::mem::take(&mut batch)).await;
                }
                () = self.ports.indicators.to_look_back() => self.look_back().await,
                Some(_) = self.answers.join_next() => {}
            }
        }
        self.queue.close();
        while self.queue.recv_many(&mut batch, self.config.batch_reports_max).await > 0 {
            self.take(std::mem::take(&mut batch)).await;
        }
        // What the gateway measured until now would be lost.
        self.tick().await;
        while self.answers.join_next().await.is_some() {}
    }

    async fn tick(&mut self) {
        if self.evaluator.is_none() {
            self.reopen().await;
        }
        let mut readings = Vec::new();
        self.ports.broker.drain_meters(&mut readings);
        if let Err(error) = self.evaluate(Vec::new(), readings).await {
            log_not_stored(&error);
        }
        // Although reports never cease.
        self.look_back().await;
    }

    /// Looks through what devices reported before, a part of it. After an error it is done again.
    async fn look_back(&mut self) {
        let looked = self.with_evaluator(|evaluator, _, now| evaluator.look_back(now)).await;
        match looked {
            Ok(LookedBack { is_done, has_deliveries }) => {
                if has_deliveries {
                    self.ports.outbox.notify_one();
                }
                if !is_done {
                    self.ports.indicators.look_back_soon();
                }
            }
            Err(error) => log_not_stored(&error),
        }
    }

    /// The store failed, or we did: what is in memory may differ from what is durable, so it is built anew.
    async fn reopen(&mut self) {
        match Evaluator::open_blocking(&self.config, &self.ports, &self.threads).await {
            Ok(evaluator) => self.evaluator = Some(evaluator),
            Err(error) => log_not_stored(&error),
        }
    }

    async fn take(&mut self, batch: Vec<Submission>) {
        let (reports, waiting): (Vec<_>, Vec<_>) =
            batch.into_iter().map(|Submission { report, span, done }| ((report, span), done)).unzip();
        let owners: Vec<_> = reports.iter().map(|(report, span)| (report.scope.clone(), span.clone())).collect();
        match self.evaluate(reports, Vec::new()).await {
            Ok(answers) => {
                for ((answer, (scope, span)), done) in answers.into_iter().zip(owners).zip(waiting) {
                    while self.answers.len() >= ANSWERS_MAX {
                        self.answers.join_next().await;
                    }
                    let broker = self.ports.broker.clone();
                    let span = debug_span!(parent: &span, "report.answer", messaging.message.body.size = answer.payload.len() as i64);
                    self.answers.spawn(publish(broker, scope, answer, done).instrument(span));
                }
            }
            Err(error) => {
                log_not_stored(&error);
                for done in waiting {
                    // Nobody may be waiting any more; the device will send again.
                    let _ = done.send(Err(ReportSinkError::NotStored { reason: error.to_string() }));
                }
            }
        }
    }

    /// Has reports and readings judged.
    async fn evaluate(
        &mut self,
        reports: Vec<(ReportMessage, Span)>,
        readings: Vec<MeterReading>,
    ) -> Result<Vec<Answer>, StoreError> {
        let judged =
            self.with_evaluator(move |evaluator, reached, now| evaluator.evaluate(&reports, &readings, reached, now));
        let Evaluated { answers, has_deliveries } = judged.await?;
        if has_deliveries {
            self.ports.outbox.notify_one();
        }
        Ok(answers)
    }

    /// Lets `work` work where blocking is allowed; it is told up to when windows close, and the time. After an error the
    /// evaluator is gone.
    async fn with_evaluator<T: Send + 'static>(
        &mut self,
        work: impl FnOnce(&mut Evaluator, Timestamp, Timestamp) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let Some(mut evaluator) = self.evaluator.take() else {
            return Err(StoreError::Unavailable {
                doing: "judging reports",
                source: "detection is not restored".into(),
            });
        };
        self.now = self.now.max(self.ports.clock.now());
        let (now, reached) = (self.now, self.now.minus(CLOSING_DELAY));
        let judged = tokio::task::spawn_blocking(move || {
            let result = work(&mut evaluator, reached, now)?;
            Ok((evaluator, result))
        });
        let (evaluator, result) = match judged.await {
            Ok(result) => result?,
            Err(panicked) => {
                tracing::error!(event = "pipeline.failed", error = %panicked, "a bug ended the judging of a batch");
                return Err(StoreError::Unavailable { doing: "judging reports", source: panicked.into() });
            }
        };
        self.evaluator = Some(evaluator);
        Ok(result)
    }
}

/// Tells the device, then whoever waits. The report is stored: that the answer does not arrive is no reason to have
/// it sent again.
async fn publish(
    broker: Arc<dyn Broker>,
    scope: komainu_model::Scope,
    answer: Answer,
    done: oneshot::Sender<Result<(), ReportSinkError>>,
) {
    let Answer { topic, payload } = answer;
    // The subscriber's quality of service counts in the end; this one loses nothing on the way to it.
    let message = OutboundMessage::new(topic, payload, QualityOfService::AtLeastOnce);
    if let Err(error) = broker.publish(scope, message).await {
        tracing::debug!(event = "pipeline.answer_failed", %error, "a report's answer was not published");
    }
    let _ = done.send(Ok(()));
}

fn log_not_stored(error: &StoreError) {
    let cause = std::error::Error::source(error).map(ToString::to_string).unwrap_or_default();
    tracing::error!(event = "pipeline.not_stored", %error, cause, "what was measured could not be stored");
}
