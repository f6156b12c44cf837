//! Those who ask others what they know of a sample.
//!
//! Each source has a task of its own, which asks about one sample after the other, the oldest first, at the pace that the
//! source wants. No analysis waits for an answer, and no source for another one.

use std::collections::VecDeque;
use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use komainu_model::SampleDigest;
use komainu_ports::{
    Clock, ElsewhereAnswer, KnownElsewhere, LogBudget, LookupError, SampleDigests, SampleLookup, SampleStore,
    SamplesError,
};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::events;
use crate::laboratory::{ask_store, stopped};

/// A sample that came longer ago is not asked about: "unknown at capture" would not be true of it any more.
const ASKED_WITHIN: Duration = Duration::from_secs(7 * 24 * 3600);
/// So many samples are read at a time; at the pace of a public key of VirusTotal they last for a quarter of an hour.
const BATCH: usize = 64;
/// A source that did not answer is left alone for so long, and for twice as long each time it does not answer again.
const BACKOFF_MIN: Duration = Duration::from_secs(60);
/// The longest that a source is left alone that did not say itself when to come again.
const BACKOFF_MAX: Duration = Duration::from_secs(3600);
/// The longest that a source is left alone whatever it says: quotas are for a day.
const TOLD_PAUSE_MAX: Duration = Duration::from_secs(24 * 3600);
/// After the store failed, it is asked again after so long.
const STORE_PAUSE: Duration = Duration::from_secs(10);

/// It is to end.
struct Stopped;

/// Asks one source.
pub(crate) struct Lane {
    source: Arc<dyn SampleLookup>,
    store: Arc<dyn SampleStore>,
    clock: Arc<dyn Clock>,
    news: watch::Receiver<u64>,
    stop: watch::Receiver<bool>,
    next_question_at: Instant,
    /// How long the source is left alone when it does not answer the next question.
    backoff: Duration,
    known: LogBudget,
    not_kept: LogBudget,
}

impl Lane {
    /// Asks about what is in the store, and looks again whenever there is news of it.
    pub(crate) fn new(
        source: Arc<dyn SampleLookup>,
        store: Arc<dyn SampleStore>,
        clock: Arc<dyn Clock>,
        news: watch::Receiver<u64>,
        stop: watch::Receiver<bool>,
    ) -> Self {
        let (known, not_kept) = (LogBudget::default(), LogBudget::default());
        let next_question_at = Instant::now();
        Self { source, store, clock, news, stop, next_question_at, backoff: BACKOFF_MIN, known, not_kept }
    }

    /// Until it is told to end, or the key is refused.
    pub(crate) async fn run(mut self) {
        while let Ok(unasked) = self.next_samples().await {
            if self.ask_about(unasked).await.is_err() {
                return;
            }
        }
    }

    /// Samples to ask about, at least one.
    async fn next_samples(&mut self) -> Result<VecDeque<SampleDigests>, Stopped> {
        loop {
            // Before the store is read: what comes in meanwhile is news again.
            self.news.mark_unchanged();
            let (source, since) = (self.source.clone(), self.clock.now().minus(ASKED_WITHIN));
            let not_asked = move |store: &dyn SampleStore| store.not_asked(source.source(), since, BATCH);
            match ask_store(self.store.clone(), not_asked).await {
                Ok(unasked) if !unasked.is_empty() => return Ok(unasked.into()),
                Ok(_) => tokio::select! {
                    biased;
                    () = stopped(&mut self.stop) => return Err(Stopped),
                    // Without a door nothing comes in any more.
                    news = self.news.changed() => news.map_err(|_| Stopped)?,
                },
                Err(error) => {
                    self.log_not_kept(&error);
                    self.sleep_until(Instant::now() + STORE_PAUSE).await?;
                }
            }
        }
    }

    async fn ask_about(&mut self, mut samples: VecDeque<SampleDigests>) -> Result<(), Stopped> {
        while let Some(digests) = samples.pop_front() {
            self.sleep_until(self.next_question_at).await?;
            let asked_at = self.clock.now();
            let answer = tokio::select! {
                biased;
                () = stopped(&mut self.stop) => return Err(Stopped),
                answer = self.source.look_up(&digests) => answer,
            };
            self.next_question_at = Instant::now() + self.source.pause();
            match answer {
                Ok(answer) => {
                    self.backoff = BACKOFF_MIN;
                    let known = KnownElsewhere { source: self.source.source().to_owned(), asked_at, answer };
                    self.keep(digests.sha256, known).await?;
                }
                Err(error @ LookupError::TooMany { after, .. }) => {
                    samples.push_front(digests);
                    self.leave_alone(&error, after);
                }
                // The others of the batch have their turn first: it may be this sample that is not answered.
                Err(error @ LookupError::Unavailable { .. }) => self.leave_alone(&error, Duration::ZERO),
                Err(error @ LookupError::Refused { .. }) => {
                    let source = self.source.source();
                    tracing::warn!(event = events::LOOKUP_REFUSED, source, %error, "not asked any more");
                    return Err(Stopped);
                }
            }
        }
        Ok(())
    }

    /// Writes an answer down, however often that takes: asking again would cost the source's patience.
    async fn keep(&mut self, sample: SampleDigest, known: KnownElsewhere) -> Result<(), Stopped> {
        loop {
            let kept = known.clone();
            match ask_store(self.store.clone(), move |store| store.elsewhere(&sample, &kept)).await {
                Ok(()) => {
                    self.log_known(&sample, &known);
                    return Ok(());
                }
                Err(error @ SamplesError::Unavailable { .. }) => {
                    self.log_not_kept(&error);
                    self.sleep_until(Instant::now() + STORE_PAUSE).await?;
                }
                // The sample is gone; there is nothing to write to.
                Err(error @ (SamplesError::Missing(_) | SamplesError::TooLarge { .. })) => {
                    self.log_not_kept(&error);
                    return Ok(());
                }
            }
        }
    }

    /// Lets no question go out for a while, which is longer each time.
    fn leave_alone(&mut self, error: &LookupError, told: Duration) {
        let pause = self.backoff.max(told).min(TOLD_PAUSE_MAX).max(self.source.pause());
        self.backoff = (self.backoff * 2).min(BACKOFF_MAX);
        self.next_question_at = Instant::now() + pause;
        let (source, after_s, cause) = (self.source.source(), pause.as_secs(), causes(error));
        tracing::warn!(event = events::LOOKUP_DELAYED, source, after_s, %error, cause, "not answered, will be asked again");
    }

    async fn sleep_until(&mut self, at: Instant) -> Result<(), Stopped> {
        tokio::select! {
            biased;
            () = stopped(&mut self.stop) => Err(Stopped),
            () = tokio::time::sleep_until(at) => Ok(()),
        }
    }

    fn log_known(&self, sample: &SampleDigest, known: &KnownElsewhere) {
        let source = &known.source;
        let ElsewhereAnswer::Known { labels, detections, .. } = &known.answer else {
            tracing::debug!(%sample, source, "not known elsewhere");
            return;
        };
        let Some(suppressed) = self.known.take_now() else { return };
        let (labels, malicious, scanners) = (labels.len(), detections.map(|d| d.0), detections.map(|d| d.1));
        let event = events::KNOWN_ELSEWHERE;
        tracing::info!(event, %sample, source, labels, malicious, scanners, suppressed, "sample is known elsewhere");
    }

    fn log_not_kept(&self, error: &SamplesError) {
        let Some(suppressed) = self.not_kept.take_now() else { return };
        let (event, source, cause) = (events::LOOKUP_NOT_KEPT, self.source.source(), causes(error));
        tracing::error!(event, source, %error, cause, suppressed, "what others know could not be kept");
    }
}

/// What is behind an error, the nearest first.
fn causes(error: &dyn Error) -> Option<String> {
    let mut causes = Vec::new();
    let mut cause = error.source();
    while let Some(error) = cause {
        causes.push(error.to_string());
        cause = error.source();
    }
    (!causes.is_empty()).then(|| causes.join(": "))
}

#[cfg(test)]
mod tests;
