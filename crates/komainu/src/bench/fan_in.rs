//! Many publishers, one subscriber.

use std::fmt;
use std::mem;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use clap::Args;
use serde::Serialize;
use tokio::sync::Barrier;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{sleep, sleep_until, timeout};

use super::latency::{Latency, micros};
use super::target::{CONNECT_TIMEOUT, Target};
use super::wire::{Client, Connect, Packet, push_puback, push_publish};

/// What happens in the first second is not measured: queues fill, caches warm.
const WARM_UP: Duration = Duration::from_secs(1);
/// At the end, the subscriber gets what is on its way until nothing has come for so long.
const QUIET: Duration = Duration::from_secs(2);
/// One message in so many is timed: reading the clock for each would be a load of its own.
const TIMED_ONE_IN: u64 = 16;
/// The payload begins with when it was sent.
const PAYLOAD_BYTES_MIN: u64 = 8;
/// Subscriptions of one connection, as many as AWS IoT allows.
const SUBSCRIPTIONS_PER_CONNECTION: u64 = 50;

#[derive(Debug, Clone, Args)]
pub(super) struct FanInArgs {
    /// So many devices publish.
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u64).range(1..=20_000))]
    publishers: u64,
    /// For so long.
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u64).range(1..=3600))]
    seconds: u64,
    /// Bytes of each payload.
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u64).range(PAYLOAD_BYTES_MIN..=131_072))]
    payload_bytes: u64,
    /// A publisher has at most so many messages without acknowledgement.
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u64).range(1..=1000))]
    window: u64,
    /// Quality of service, of publishers and subscriber.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u8).range(0..=1))]
    qos: u8,
    /// All publishers together send so many messages per second; without it, as many as they can.
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..=10_000_000))]
    rate: Option<u64>,
    /// So many subscriptions of others, with wildcards, that match nothing of this.
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u64).range(0..=1_000_000))]
    wildcard_subscriptions: u64,
    /// Topics are `PREFIX/NUMBER`.
    #[arg(long, default_value = "fan-in")]
    topic_prefix: String,
}

#[derive(Debug, Serialize)]
pub(super) struct FanInResult {
    acknowledged_per_second: f64,
    delivered_per_second: f64,
    /// From before a message was written to after it was read.
    latency: Latency,
    /// In all, warm-up and end included.
    acknowledged: u64,
    delivered: u64,
    /// Acknowledged and not delivered, with QoS 1.
    lost: u64,
    errors: u64,
    first_error: Option<String>,
}

/// What publishers and subscriber count together.
#[derive(Default)]
struct Counters {
    acknowledged: AtomicU64,
    delivered: AtomicU64,
    errors: AtomicU64,
    first_error: Mutex<Option<String>>,
    latencies: Mutex<Vec<u32>>,
    stop: AtomicBool,
}

impl Counters {
    fn failed(&self, error: impl fmt::Display) {
        self.errors.fetch_add(1, Ordering::Relaxed);
        lock(&self.first_error).get_or_insert(error.to_string());
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

pub(super) async fn run(target: &Target, args: &FanInArgs) -> anyhow::Result<FanInResult> {
    let counters = Arc::new(Counters::default());
    let epoch = Instant::now();
    let _bystanders = open_bystanders(target, args.wildcard_subscriptions).await?;
    let subscriber = start_subscriber(target, args, epoch, &counters).await?;

    let ready = Arc::new(Barrier::new(args.publishers as usize + 1));
    let mut publishers = JoinSet::new();
    for number in 0..args.publishers {
        let publisher = Publisher { args: args.clone(), number, epoch, is_v5: target.is_v5() };
        let (target, counters, ready) = (target.clone(), Arc::clone(&counters), Arc::clone(&ready));
        publishers.spawn(async move {
            let client_id = format!("pub-{number}");
            let client = target.connect(number, Connect::clean(&client_id)).await;
            ready.wait().await;
            let result = match client {
                Ok(client) => publisher.run(client, &counters).await,
                Err(error) => Err(error),
            };
            if let Err(error) = result {
                counters.failed(format_args!("publisher {number}: {error}"));
            }
        });
    }
    ready.wait().await;
    sleep(WARM_UP).await;
    lock(&counters.latencies).clear();
    let before = (counters.acknowledged.load(Ordering::Relaxed), counters.delivered.load(Ordering::Relaxed));
    let start = Instant::now();
    sleep(Duration::from_secs(args.seconds)).await;
    let after = (counters.acknowledged.load(Ordering::Relaxed), counters.delivered.load(Ordering::Relaxed));
    let elapsed = start.elapsed().as_secs_f64();
    let latency = Latency::of(mem::take(&mut *lock(&counters.latencies)));
    counters.stop.store(true, Ordering::Relaxed);
    while let Some(publisher) = publishers.join_next().await {
        publisher.context("a publisher failed")?;
    }
    until_quiet(&counters).await;
    subscriber.abort();

    let delivered = counters.delivered.load(Ordering::Relaxed);
    let acknowledged = counters.acknowledged.load(Ordering::Relaxed);
    let first_error = lock(&counters.first_error).clone();
    if delivered == 0 {
        bail!("nothing was delivered: {}", first_error.unwrap_or_default());
    }
    Ok(FanInResult {
        acknowledged_per_second: (after.0 - before.0) as f64 / elapsed,
        delivered_per_second: (after.1 - before.1) as f64 / elapsed,
        latency,
        acknowledged,
        delivered,
        lost: if args.qos == 0 { 0 } else { acknowledged.saturating_sub(delivered) },
        errors: counters.errors.load(Ordering::Relaxed),
        first_error,
    })
}

/// Clients with subscriptions that the load does not match; they are held while it lasts.
async fn open_bystanders(target: &Target, subscriptions: u64) -> anyhow::Result<Vec<Client>> {
    let mut bystanders = Vec::new();
    for number in 0..subscriptions.div_ceil(SUBSCRIPTIONS_PER_CONNECTION) {
        let client_id = format!("bystander-{number}");
        let connect = Connect { keep_alive_s: 1200, ..Connect::clean(&client_id) };
        let mut client = target.connect(number, connect).await.context("a bystander cannot connect")?;
        let of_client =
            number * SUBSCRIPTIONS_PER_CONNECTION..subscriptions.min((number + 1) * SUBSCRIPTIONS_PER_CONNECTION);
        let filters: Vec<String> = of_client.map(|filter| format!("cmd/device-{filter}/#")).collect();
        client.subscribe(&filters, 1).await.context("a bystander cannot subscribe")?;
        bystanders.push(client);
    }
    Ok(bystanders)
}

async fn start_subscriber(
    target: &Target,
    args: &FanInArgs,
    epoch: Instant,
    counters: &Arc<Counters>,
) -> anyhow::Result<JoinHandle<()>> {
    // From an address that no publisher uses.
    let mut client =
        target.connect(1_000_000, Connect::clean("subscriber")).await.context("the subscriber cannot connect")?;
    let filter = format!("{}/#", args.topic_prefix);
    client.subscribe(&[filter], args.qos).await.context("the subscriber cannot subscribe")?;
    let counters = Arc::clone(counters);
    Ok(tokio::spawn(async move {
        if let Err(error) = subscribe(client, epoch, &counters).await {
            counters.failed(format_args!("subscriber: {error}"));
        }
    }))
}

async fn subscribe(mut client: Client, epoch: Instant, counters: &Counters) -> std::io::Result<()> {
    let mut acknowledgements = Vec::new();
    let mut count = 0u64;
    loop {
        let mut delivered = 0;
        let mut latencies = Vec::new();
        client
            .receive(&mut |packet| {
                let Packet::Publish { packet_id, payload } = packet else { return };
                delivered += 1;
                if let Some(packet_id) = packet_id {
                    push_puback(&mut acknowledgements, packet_id);
                }
                if (count + delivered).is_multiple_of(TIMED_ONE_IN)
                    && let Some(sent) = payload.first_chunk()
                {
                    let sent = Duration::from_micros(u64::from_be_bytes(*sent));
                    latencies.push(micros(epoch.elapsed().saturating_sub(sent)));
                }
            })
            .await?;
        count += delivered;
        counters.delivered.fetch_add(delivered, Ordering::Relaxed);
        lock(&counters.latencies).append(&mut latencies);
        if !acknowledgements.is_empty() {
            client.send(&acknowledgements).await?;
            acknowledgements.clear();
        }
    }
}

struct Publisher {
    args: FanInArgs,
    number: u64,
    epoch: Instant,
    is_v5: bool,
}

impl Publisher {
    /// Publishes until it is told to stop, and then waits for what is not acknowledged yet.
    async fn run(&self, mut client: Client, counters: &Counters) -> std::io::Result<()> {
        let FanInArgs { window, qos, rate, publishers, .. } = self.args;
        let topic = format!("{}/{}", self.args.topic_prefix, self.number);
        let mut payload = vec![b'x'; self.args.payload_bytes as usize];
        let (mut next_id, mut in_flight, mut out) = (0u16, 0, Vec::new());
        let interval = rate.map(|rate| Duration::from_secs_f64(publishers as f64 / rate as f64));
        // Publishers with a rate begin one after the other, not all at once.
        let mut due = interval
            .map(|interval| tokio::time::Instant::now() + interval.mul_f64(self.number as f64 / publishers as f64));
        while !counters.stop.load(Ordering::Relaxed) {
            let sent = match (&mut due, interval) {
                (Some(due), Some(interval)) => {
                    sleep_until(*due).await;
                    *due += interval;
                    1
                }
                _ => window - in_flight,
            };
            let now = self.epoch.elapsed().as_micros() as u64;
            payload[..8].copy_from_slice(&now.to_be_bytes());
            out.clear();
            for _ in 0..sent {
                next_id = next_id.checked_add(1).unwrap_or(1);
                push_publish(&mut out, self.is_v5, &topic, (qos > 0).then_some(next_id), &payload);
            }
            client.send(&out).await?;
            if qos == 0 {
                counters.acknowledged.fetch_add(sent, Ordering::Relaxed);
                continue;
            }
            in_flight += sent;
            // A full half of the window is sent at a time: one write, one TLS record, as a device with a backlog does.
            let wanted = if due.is_some() { 0 } else { window / 2 };
            in_flight = acknowledged(&mut client, in_flight, wanted, counters).await?;
        }
        acknowledged(&mut client, in_flight, 0, counters).await?;
        client.disconnect().await
    }
}

/// Waits until at most `wanted` messages are without acknowledgement; says how many are.
async fn acknowledged(
    client: &mut Client,
    mut in_flight: u64,
    wanted: u64,
    counters: &Counters,
) -> std::io::Result<u64> {
    while in_flight > wanted {
        let (mut taken, mut refused) = (0, 0);
        let mut count = |packet: Packet<'_>| match packet {
            Packet::PubAck { refused: false } => taken += 1,
            Packet::PubAck { refused: true } => refused += 1,
            Packet::Publish { .. } | Packet::Other(_) => {}
        };
        match timeout(CONNECT_TIMEOUT, client.receive(&mut count)).await {
            Ok(result) => result?,
            Err(_) => return Err(std::io::Error::new(std::io::ErrorKind::TimedOut, "no acknowledgement in time")),
        }
        counters.acknowledged.fetch_add(taken, Ordering::Relaxed);
        if refused > 0 {
            counters.failed("the broker refused a message");
        }
        in_flight = in_flight.saturating_sub(taken + refused);
    }
    Ok(in_flight)
}

async fn until_quiet(counters: &Counters) {
    let mut delivered = counters.delivered.load(Ordering::Relaxed);
    loop {
        if delivered >= counters.acknowledged.load(Ordering::Relaxed) {
            return;
        }
        sleep(QUIET).await;
        let now = counters.delivered.load(Ordering::Relaxed);
        if mem::replace(&mut delivered, now) == now {
            return;
        }
    }
}

impl fmt::Display for FanInResult {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { acknowledged_per_second, delivered_per_second, latency, .. } = self;
        let Self { acknowledged, delivered, lost, errors, .. } = self;
        writeln!(
            f,
            "{acknowledged_per_second:.0} acknowledged and {delivered_per_second:.0} delivered per second, {latency}"
        )?;
        write!(f, "{acknowledged} acknowledged and {delivered} delivered in all, {lost} lost, {errors} errors")?;
        self.first_error.iter().try_for_each(|error| write!(f, " (the first: {error})"))
    }
}
