//! The worker that carries messages out of the house.
//!
//! Messages to one receiver go one after the other in their order; when one fails, those behind it wait with it.
//! Different receivers do not wait for each other.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use komainu_model::{Change, Delivery, DeliveryState, Protocol, Timestamp};
use komainu_ports::{Clock, Courier, DeliveryCounts, DeliveryOutcome, Store, StoreError};
use komainu_respond::retry_at;
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;
use tracing::field::Empty;
use tracing::{Instrument, Span, debug_span};

use crate::pipeline::{PipelineConfig, PipelinePorts, stopped};
use crate::threads::Threads;

/// So many due messages are looked at to find receivers to serve.
const DUE_MAX: usize = 512;
/// The outbox is looked at so often although nobody said that there is something in it.
const IDLE_MAX: Duration = Duration::from_secs(60);
/// After the store failed, it is asked again after so long.
const STORE_PAUSE: Duration = Duration::from_secs(1);

/// To whom a message goes.
type Receiver = (Protocol, String);

/// What became of messages since the start.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    done: AtomicU64,
    retried: AtomicU64,
    dead: AtomicU64,
}

impl Tally {
    pub(crate) fn counts(&self) -> DeliveryCounts {
        let of = |count: &AtomicU64| count.load(Ordering::Relaxed);
        DeliveryCounts { done: of(&self.done), retried: of(&self.retried), dead: of(&self.dead) }
    }
}

pub(crate) struct Outbox {
    tally: Arc<Tally>,
    threads: Arc<Threads>,
    store: Arc<dyn Store>,
    courier: Arc<dyn Courier>,
    clock: Arc<dyn Clock>,
    news: Arc<Notify>,
    deliveries_max: usize,
    /// Receivers that are being served.
    busy: BTreeSet<Receiver>,
    attempts: JoinSet<Receiver>,
}

impl Outbox {
    pub(crate) fn new(
        config: &PipelineConfig,
        ports: &PipelinePorts,
        tally: Arc<Tally>,
        threads: Arc<Threads>,
    ) -> Self {
        Self {
            tally,
            threads,
            store: ports.store.clone(),
            courier: ports.courier.clone(),
            clock: ports.clock.clone(),
            news: ports.outbox.clone(),
            deliveries_max: config.deliveries_max,
            busy: BTreeSet::new(),
            attempts: JoinSet::new(),
        }
    }

    pub(crate) async fn run(mut self, mut stop: watch::Receiver<bool>) {
        let news = self.news.clone();
        loop {
            let pause = match self.serve().await {
                Ok(pause) => pause,
                Err(error) => {
                    tracing::error!(event = "pipeline.outbox_unreadable", %error, "outbox cannot be read");
                    STORE_PAUSE
                }
            };
            tokio::select! {
                biased;
                () = stopped(&mut stop) => break,
                Some(ended) = self.attempts.join_next() => self.free(ended),
                () = news.notified() => {}
                () = tokio::time::sleep(pause) => {}
            }
        }
        while let Some(ended) = self.attempts.join_next().await {
            self.free(ended);
        }
    }

    fn free(&mut self, ended: Result<Receiver, tokio::task::JoinError>) {
        match ended {
            Ok(receiver) => {
                self.busy.remove(&receiver);
            }
            // We do not know whose attempt it was; its message is still in the outbox. Nobody else is busy for long.
            Err(error) => {
                tracing::error!(event = "pipeline.failed", %error, "a bug ended a delivery");
                self.busy.clear();
            }
        }
    }

    /// Begins with as many receivers as may be served; says when to look again.
    async fn serve(&mut self) -> Result<Duration, StoreError> {
        if self.attempts.len() >= self.deliveries_max {
            return Ok(IDLE_MAX);
        }
        let now = self.clock.now();
        let store = self.store.clone();
        let due = blocking(move || store.deliveries_due(now, DUE_MAX)).await?;
        let mut queues: BTreeMap<Receiver, Vec<Delivery>> = BTreeMap::new();
        let mut order: Vec<Receiver> = Vec::new();
        for delivery in due {
            let receiver = (delivery.protocol, delivery.endpoint.clone());
            if self.busy.contains(&receiver) {
                continue;
            }
            let queue = queues.entry(receiver.clone()).or_default();
            if queue.is_empty() {
                order.push(receiver);
            }
            queue.push(delivery);
        }
        for receiver in order {
            if self.attempts.len() >= self.deliveries_max {
                return Ok(IDLE_MAX);
            }
            let Some(queue) = queues.remove(&receiver) else { continue };
            self.busy.insert(receiver.clone());
            let (store, courier, clock) = (self.store.clone(), self.courier.clone(), self.clock.clone());
            let (tally, threads) = (self.tally.clone(), self.threads.clone());
            let attempt = Attempts { tally, threads, store, courier, clock };
            self.attempts.spawn(async move {
                attempt.deliver(queue).await;
                receiver
            });
        }
        let store = self.store.clone();
        let next = blocking(move || store.next_delivery_at(now)).await?;
        Ok(next.map_or(IDLE_MAX, |next| next.since(now).clamp(Duration::from_millis(10), IDLE_MAX)))
    }
}

/// Delivers to one receiver.
struct Attempts {
    tally: Arc<Tally>,
    threads: Arc<Threads>,
    store: Arc<dyn Store>,
    courier: Arc<dyn Courier>,
    clock: Arc<dyn Clock>,
}

impl Attempts {
    /// The span of an attempt: in its alarm's trace, if that is still known.
    fn span(&self, delivery: &Delivery) -> Span {
        let alarm = self.threads.take(&delivery.id).unwrap_or_else(Span::none);
        debug_span!(
            parent: &alarm,
            "delivery",
            otel.kind = "producer",
            komainu.delivery = %delivery.id,
            komainu.protocol = delivery.protocol.as_str(),
            komainu.attempt = i64::from(delivery.attempts) + 1,
            komainu.outcome = Empty,
        )
    }

    /// One message after the other, until one fails.
    async fn deliver(&self, queue: Vec<Delivery>) {
        let mut queue = queue.into_iter();
        while let Some(delivery) = queue.next() {
            let span = self.span(&delivery);
            let outcome = self.courier.deliver(&delivery).instrument(span.clone()).await;
            span.record("komainu.outcome", word(&outcome));
            drop(span);
            let now = self.clock.now();
            let (changes, go_on) = match outcome {
                DeliveryOutcome::Done => {
                    self.tally.done.fetch_add(1, Ordering::Relaxed);
                    let (id, protocol) = (&delivery.id, delivery.protocol.as_str());
                    tracing::info!(event = "pipeline.delivered", delivery = %id, protocol, "message delivered");
                    (vec![Change::DeleteDelivery(delivery.id)], true)
                }
                DeliveryOutcome::Gone { error } => {
                    self.tally.dead.fetch_add(1, Ordering::Relaxed);
                    (vec![Change::PutDelivery(given_up(delivery, error, now))], true)
                }
                DeliveryOutcome::Retry { error } => {
                    let failed = tried_again(delivery, error, now);
                    let state = failed.state;
                    let count = match state {
                        DeliveryState::Due(_) => &self.tally.retried,
                        DeliveryState::Dead(_) => &self.tally.dead,
                    };
                    count.fetch_add(1, Ordering::Relaxed);
                    let mut changes = vec![Change::PutDelivery(failed)];
                    if let DeliveryState::Due(_) = state {
                        // What comes after it waits with it, and is out of the way of others meanwhile.
                        changes.extend(queue.by_ref().map(|behind| Change::PutDelivery(Delivery { state, ..behind })));
                    }
                    let go_on = matches!(state, DeliveryState::Dead(_));
                    (changes, go_on)
                }
            };
            let store = self.store.clone();
            if let Err(error) = blocking(move || store.commit(&changes)).await {
                // The message is still due; the receiver may get it twice, with the same message id.
                tracing::error!(event = "pipeline.delivery_not_noted", %error, "a delivery's outcome could not be stored");
                tokio::time::sleep(STORE_PAUSE).await;
                return;
            }
            if !go_on {
                return;
            }
        }
    }
}

/// What became of an attempt, as spans say it.
const fn word(outcome: &DeliveryOutcome) -> &'static str {
    match outcome {
        DeliveryOutcome::Done => "done",
        DeliveryOutcome::Gone { .. } => "gone",
        DeliveryOutcome::Retry { .. } => "retry",
    }
}

fn tried_again(delivery: Delivery, error: String, now: Timestamp) -> Delivery {
    let attempts = delivery.attempts.saturating_add(1);
    match retry_at(delivery.protocol, attempts, delivery.created_at, now, jitter_seed(&delivery)) {
        Some(next) => {
            let (id, protocol) = (&delivery.id, delivery.protocol.as_str());
            let after_s = next.since(now).as_secs();
            tracing::warn!(event = "pipeline.delivery_failed", delivery = %id, protocol, attempts, after_s, error, "delivery failed, will be tried again");
            Delivery { attempts, state: DeliveryState::Due(next), last_error: Some(error), ..delivery }
        }
        None => given_up(delivery, error, now),
    }
}

fn given_up(delivery: Delivery, error: String, now: Timestamp) -> Delivery {
    let attempts = delivery.attempts.saturating_add(1);
    let (id, protocol) = (&delivery.id, delivery.protocol.as_str());
    tracing::error!(event = "pipeline.delivery_dead", delivery = %id, protocol, attempts, error, "delivery given up");
    Delivery { attempts, state: DeliveryState::Dead(now), last_error: Some(error), ..delivery }
}

/// Messages that failed together do not come back together: each has its own number, the same at every start.
fn jitter_seed(delivery: &Delivery) -> u64 {
    delivery
        .id
        .as_str()
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3))
}

/// Does something with the store where blocking is allowed.
pub(crate) async fn blocking<T: Send + 'static>(
    act: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
) -> Result<T, StoreError> {
    match tokio::task::spawn_blocking(act).await {
        Ok(result) => result,
        Err(failed) => match failed.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(cancelled) => Err(StoreError::Unavailable { doing: "waiting", source: cancelled.into() }),
        },
    }
}
