//! The workers: each takes a sample, does all that is to be done with it, and takes the next.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use komainu_analysis::RuleSet;
use komainu_analysis::similarity::Index;
use komainu_model::SampleDigest;
use komainu_ports::{
    AttemptEnd, Clock, IndicatorSink, LogBudget, SampleDocument, SampleLease, SampleLookup, SampleStore, SamplesError,
    Sandbox, SensorArtifacts, Triage,
};
use komainu_stix::Marking;
use parking_lot::Mutex;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tracing::{error, info, warn};

use crate::examination::Examination;
use crate::intake::Intake;
use crate::lookups::Lane;
use crate::{events, features, lessons, sweep};

/// How long a sample is a worker's before somebody else may take it. Word that it is still at it comes more often.
const LEASE: Duration = Duration::from_secs(300);

/// How often a worker says that it is still at it.
const WORD_EVERY: Duration = Duration::from_secs(60);

/// Retries have their time, and a sweep may have found something: this often, whoever has nothing to do looks by itself.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// How long a store that failed is left alone.
const STORE_PAUSE: Duration = Duration::from_secs(5);

/// How often a sample is begun. What ends the whole laboratory is not begun for ever.
pub(crate) const ATTEMPTS_MAX: u32 = 3;

/// How long the workers may take to end.
const STOP_GRACE: Duration = Duration::from_secs(10);

/// Samples of one page when all are gone through.
const PAGE: usize = 500;

/// Settings of the laboratory.
#[derive(Debug)]
pub struct LaboratoryConfig {
    /// Samples that are worked on at the same time, at least one.
    pub workers: usize,
    /// How long a sample runs at most.
    pub runs_for_max: Duration,
    /// A run is ended early once it has shown nothing new for so long.
    pub quiet_for_max: Option<Duration>,
    /// What behaviours are told by.
    pub rules: RuleSet,
    /// Who may see reports in STIX.
    pub marking: Marking,
}

/// What the laboratory works with.
#[derive(Clone)]
pub struct LaboratoryPorts {
    /// Where samples and what is known of them are written down.
    pub store: Arc<dyn SampleStore>,
    /// Where samples come in.
    pub intake: Arc<Intake>,
    /// Where their contents are.
    pub artifacts: Arc<dyn SensorArtifacts>,
    /// Who says what they are.
    pub triage: Arc<dyn Triage>,
    /// Where they run.
    pub sandbox: Arc<dyn Sandbox>,
    /// Those who may know samples by their digests.
    pub lookups: Vec<Arc<dyn SampleLookup>>,
    /// Who takes what they teach.
    pub indicators: Arc<dyn IndicatorSink>,
    /// What time it is.
    pub clock: Arc<dyn Clock>,
}

/// Why the laboratory could not start.
#[derive(Debug, thiserror::Error)]
#[error("the laboratory cannot start")]
pub struct StartError(#[from] SamplesError);

/// The laboratory at work.
pub struct Laboratory {
    stop: watch::Sender<bool>,
    workers: tokio::sync::Mutex<JoinSet<()>>,
}

/// What all workers share.
pub(crate) struct Shared {
    pub(crate) config: LaboratoryConfig,
    pub(crate) ports: LaboratoryPorts,
    /// Samples with a report, to compare new ones with.
    pub(crate) index: Mutex<Index>,
    pub(crate) unavailable: LogBudget,
}

impl Laboratory {
    /// Lets everything wait again that was begun before, and starts the workers. Must be called on a tokio runtime.
    pub async fn start(config: LaboratoryConfig, ports: LaboratoryPorts) -> Result<Self, StartError> {
        let shared = Arc::new(Shared { config, ports, index: Mutex::default(), unavailable: LogBudget::default() });
        let now = shared.ports.clock.now();
        let recovered = shared.ask(move |store| store.recover(now)).await?;
        let counts = shared.ask(|store| store.counts()).await?;
        let (workers_max, waiting, done) = (shared.config.workers.max(1), counts.waiting, counts.done);
        info!(event = events::STARTED, workers = workers_max, waiting, done, recovered, "the laboratory is open");
        let (stop, stopping) = watch::channel(false);
        let mut workers = JoinSet::new();
        workers.spawn(until_stopped(stopping.clone(), load_index(shared.clone())));
        workers.spawn(until_stopped(stopping.clone(), sweep::run(shared.clone())));
        if let Some(mentioned) = shared.ports.intake.mentioned() {
            workers.spawn(until_stopped(stopping.clone(), retell(shared.clone(), mentioned)));
        }
        for source in &shared.ports.lookups {
            let LaboratoryPorts { store, clock, intake, .. } = shared.ports.clone();
            workers.spawn(Lane::new(source.clone(), store, clock, intake.subscribe(), stopping.clone()).run());
        }
        for _ in 0..workers_max {
            workers.spawn(work(shared.clone(), stopping.clone()));
        }
        Ok(Self { stop, workers: tokio::sync::Mutex::new(workers) })
    }

    /// Ends what is going on; samples that are not done wait for the next start.
    pub async fn shutdown(&self) {
        self.stop.send_replace(true);
        let mut workers = self.workers.lock().await;
        let ended = tokio::time::timeout(STOP_GRACE, async { while workers.join_next().await.is_some() {} }).await;
        if ended.is_err() {
            warn!(event = events::STOP_TIMED_OUT, "the laboratory did not end in time; samples are begun again");
            workers.shutdown().await;
        }
    }
}

impl fmt::Debug for Laboratory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Laboratory").finish_non_exhaustive()
    }
}

impl Shared {
    /// Asks the store, where blocking is allowed.
    pub(crate) async fn ask<T: Send + 'static>(
        &self,
        ask: impl FnOnce(&dyn SampleStore) -> Result<T, SamplesError> + Send + 'static,
    ) -> Result<T, SamplesError> {
        ask_store(self.ports.store.clone(), ask).await
    }

    /// Says that the store failed, and waits a little.
    pub(crate) async fn leave_store_alone(&self, error: &SamplesError) {
        if let Some(suppressed) = self.unavailable.take_now() {
            let cause = std::error::Error::source(error).map(tracing::field::display);
            error!(event = events::STORE_UNAVAILABLE, %error, cause, suppressed, "the laboratory's store failed");
        }
        tokio::time::sleep(STORE_PAUSE).await;
    }
}

/// Asks a store, where blocking is allowed.
pub(crate) async fn ask_store<T: Send + 'static>(
    store: Arc<dyn SampleStore>,
    ask: impl FnOnce(&dyn SampleStore) -> Result<T, SamplesError> + Send + 'static,
) -> Result<T, SamplesError> {
    let asked = tokio::task::spawn_blocking(move || ask(&*store)).await;
    asked.unwrap_or_else(|error| {
        Err(SamplesError::Unavailable { doing: "asking in the background", source: error.into() })
    })
}

/// Does `work` until it is done or everything is to stop.
async fn until_stopped(mut stop: watch::Receiver<bool>, work: impl Future<Output = ()>) {
    tokio::select! {
        () = work => {}
        () = stopped(&mut stop) => {}
    }
}

/// Resolves when everything is to stop. The sender is gone when the laboratory was dropped: that is an end, too.
pub(crate) async fn stopped(stop: &mut watch::Receiver<bool>) {
    let _ = stop.wait_for(|stop| *stop).await;
}

/// Is one worker.
async fn work(shared: Arc<Shared>, mut stop: watch::Receiver<bool>) {
    let mut news = shared.ports.intake.subscribe();
    loop {
        // Before the store is asked: what comes in meanwhile is news again.
        news.mark_unchanged();
        if *stop.borrow() {
            return;
        }
        let now = shared.ports.clock.now();
        match shared.ask(move |store| store.lease(now, now.plus(LEASE))).await {
            Ok(Some(lease)) => work_on(&shared, lease, &mut stop).await,
            Ok(None) => tokio::select! {
                // The door is held by `shared`, so it is there.
                _ = news.changed() => {}
                () = tokio::time::sleep(LOOK_EVERY) => {}
                () = stopped(&mut stop) => return,
            },
            Err(error) => tokio::select! {
                () = shared.leave_store_alone(&error) => {}
                () = stopped(&mut stop) => return,
            },
        }
    }
}

/// Works on one sample to its end.
async fn work_on(shared: &Arc<Shared>, lease: SampleLease, stop: &mut watch::Receiver<bool>) {
    let end = tokio::select! {
        end = held(shared, &lease) => end,
        () = stopped(stop) => AttemptEnd::GivenBack,
    };
    match &end {
        AttemptEnd::Done(_) | AttemptEnd::GivenBack => {}
        AttemptEnd::Retry { problem, .. } => {
            warn!(event = events::ATTEMPT_FAILED, sample = %lease.sample, attempt = lease.attempt, problem, "begun again later");
        }
        AttemptEnd::Failed { problem } => {
            error!(event = events::SAMPLE_FAILED, sample = %lease.sample, attempt = lease.attempt, problem, "sample has no report");
        }
    }
    // What is not said now is said by the time of the lease, or by the next start.
    let (now, ended) = (shared.ports.clock.now(), end);
    if let Err(error) = shared.ask(move |store| store.end(&lease, &ended, now)).await {
        tokio::select! {
            () = shared.leave_store_alone(&error) => {}
            () = stopped(stop) => {}
        }
    }
}

/// Examines a sample, and says every minute that it is still at it.
async fn held(shared: &Arc<Shared>, lease: &SampleLease) -> AttemptEnd {
    let examination = Examination::new(shared.clone(), lease.clone());
    let step = examination.step();
    let mut work = std::pin::pin!(examination.run());
    loop {
        tokio::select! {
            end = &mut work => return end,
            () = tokio::time::sleep(WORD_EVERY) => {
                let (name, percent) = *step.lock();
                note_step(shared, lease, name, percent).await;
            }
        }
    }
}

/// Says what is being done, and holds the sample longer.
pub(crate) async fn note_step(shared: &Shared, lease: &SampleLease, name: &'static str, percent: u8) {
    let (lease, until) = (lease.clone(), shared.ports.clock.now().plus(LEASE));
    if let Err(error) = shared.ask(move |store| store.progress(&lease, name, percent, until)).await {
        shared.leave_store_alone(&error).await;
    }
}

/// Reads by what samples are compared that have a report.
async fn load_index(shared: Arc<Shared>) {
    let mut before = None;
    loop {
        let page = shared
            .ask(move |store| {
                let page = store.list(before, PAGE)?;
                let mut found = Vec::new();
                for sample in &page {
                    let json = store.document(&sample.digests.sha256, SampleDocument::Features)?;
                    found.extend(json.as_deref().and_then(features::read));
                }
                Ok((page.last().map(|sample| (sample.first_at, sample.digests.sha256)), found))
            })
            .await;
        match page {
            Ok((last, found)) => {
                let mut index = shared.index.lock();
                for features in &found {
                    index.add(features);
                }
                drop(index);
                if last.is_none() {
                    return;
                }
                before = last;
            }
            Err(error) => shared.leave_store_alone(&error).await,
        }
    }
}

/// Teaches once more what samples taught of which a record now says how they came.
async fn retell(shared: Arc<Shared>, mut mentioned: mpsc::Receiver<SampleDigest>) {
    while let Some(sample) = mentioned.recv().await {
        let (store, sink, clock) =
            (shared.ports.store.clone(), shared.ports.indicators.clone(), shared.ports.clock.clone());
        let told = tokio::task::spawn_blocking(move || {
            let Some(json) = store.document(&sample, SampleDocument::Lessons)? else { return Ok(()) };
            let (Ok(known), Some(stored)) =
                (serde_json::from_str::<Vec<lessons::Lesson>>(&json), store.sample(&sample)?)
            else {
                return Ok(());
            };
            let candidates = lessons::candidates(sample, &known, &stored.origins, clock.now());
            if let Err(error) = sink.teach(&candidates) {
                let doing = "telling how a sample came";
                return Err(SamplesError::Unavailable { doing, source: error.into() });
            }
            Ok(())
        });
        if let Ok(Err(error)) = told.await {
            shared.leave_store_alone(&error).await;
        }
    }
}
