//! How long a message takes while the broker does something else.

use std::fmt;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use clap::Args;
use serde::Serialize;
use tokio::task::JoinSet;
use tokio::time::{sleep_until, timeout};

use super::latency::{Latency, micros};
use super::target::Target;
use super::wire::{Client, Connect, Packet, push_publish};

/// A message that takes longer counts as lost.
const ROUND_TRIP_MAX: Duration = Duration::from_secs(5);

#[derive(Debug, Clone, Args)]
pub(super) struct RoundTripsArgs {
    /// So many devices.
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u64).range(1..=10_000))]
    devices: u64,
    /// Each publishes so often.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u64).range(1..=60_000))]
    interval_ms: u64,
    /// For so long.
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u64).range(1..=3600))]
    seconds: u64,
}

#[derive(Debug, Serialize)]
pub(super) struct RoundTripsResult {
    round_trips: u64,
    lost: u64,
    latency: Latency,
}

pub(super) async fn run(target: &Target, args: &RoundTripsArgs) -> anyhow::Result<RoundTripsResult> {
    let mut clients = Vec::new();
    for number in 0..args.devices {
        let client_id = format!("trip-{number}");
        let mut client = target.connect(number, Connect::clean(&client_id)).await.context("a device cannot connect")?;
        client.subscribe(&[format!("trip/{number}")], 0).await.context("a device cannot subscribe")?;
        clients.push(client);
    }
    let start = tokio::time::Instant::now();
    let mut devices = JoinSet::new();
    for (number, client) in clients.into_iter().enumerate() {
        let (args, is_v5) = (args.clone(), target.is_v5());
        devices.spawn(async move { make_trips(client, number as u64, &args, is_v5, start).await });
    }
    let (mut latencies, mut lost) = (Vec::new(), 0);
    while let Some(device) = devices.join_next().await {
        let (mut of_device, lost_of_device) = device.context("a device failed")??;
        latencies.append(&mut of_device);
        lost += lost_of_device;
    }
    if latencies.is_empty() {
        bail!("no message came back");
    }
    Ok(RoundTripsResult { round_trips: latencies.len() as u64, lost, latency: Latency::of(latencies) })
}

async fn make_trips(
    mut client: Client,
    number: u64,
    args: &RoundTripsArgs,
    is_v5: bool,
    start: tokio::time::Instant,
) -> anyhow::Result<(Vec<u32>, u64)> {
    let interval = Duration::from_millis(args.interval_ms);
    let end = start + Duration::from_secs(args.seconds);
    let mut due = start + interval.mul_f64(number as f64 / args.devices as f64);
    let (mut latencies, mut lost) = (Vec::new(), 0);
    while due < end {
        sleep_until(due).await;
        let mut out = Vec::new();
        let sent = Instant::now();
        push_publish(&mut out, is_v5, &format!("trip/{number}"), None, &[0; 64]);
        client.send(&out).await?;
        let mut came_back = false;
        let waiting = async {
            while !came_back {
                client.receive(&mut |packet| came_back |= matches!(packet, Packet::Publish { .. })).await?;
            }
            std::io::Result::Ok(())
        };
        match timeout(ROUND_TRIP_MAX, waiting).await {
            Ok(result) => {
                result?;
                latencies.push(micros(sent.elapsed()));
            }
            Err(_) => lost += 1,
        }
        due += interval;
    }
    Ok((latencies, lost))
}

impl fmt::Display for RoundTripsResult {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { round_trips, lost, latency } = self;
        write!(f, "{round_trips} messages came back, {latency}, {lost} lost")
    }
}
