//! Connections as fast as they go.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use clap::Args;
use serde::Serialize;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::latency::{Latency, micros};
use super::target::Target;
use super::wire::Connect;

#[derive(Debug, Clone, Args)]
pub(super) struct ConnectionsArgs {
    /// So many workers connect, disconnect, and begin again.
    #[arg(long, default_value_t = 32, value_parser = clap::value_parser!(u64).range(1..=10_000))]
    workers: u64,
    /// For so long.
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u64).range(1..=3600))]
    seconds: u64,
    /// So many other peers open a TCP connection before and never say a word.
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u64).range(0..=20_000))]
    silent_peers: u64,
}

#[derive(Debug, Serialize)]
pub(super) struct ConnectionsResult {
    connections: u64,
    errors: u64,
    first_error: Option<String>,
    per_second: f64,
    /// Of a connection, from its first packet to CONNACK.
    latency: Latency,
}

pub(super) async fn run(target: &Target, args: &ConnectionsArgs) -> anyhow::Result<ConnectionsResult> {
    let silent = open_silent(target, args.silent_peers).await?;
    let errors = Arc::new(AtomicU64::new(0));
    let start = Instant::now();
    let end = start + Duration::from_secs(args.seconds);
    let mut workers = JoinSet::new();
    for worker in 0..args.workers {
        let (target, errors, workers_total) = (target.clone(), Arc::clone(&errors), args.workers);
        workers.spawn(async move { work(&target, worker, workers_total, end, &errors).await });
    }
    let (mut latencies, mut first_error) = (Vec::new(), None);
    while let Some(worker) = workers.join_next().await {
        let (mut of_worker, error) = worker.context("a worker failed")?;
        latencies.append(&mut of_worker);
        first_error = first_error.or(error);
    }
    let elapsed = start.elapsed();
    drop(silent);
    if latencies.is_empty() {
        bail!("no connection came about: {}", first_error.unwrap_or_default());
    }
    Ok(ConnectionsResult {
        connections: latencies.len() as u64,
        errors: errors.load(Ordering::Relaxed),
        first_error,
        per_second: latencies.len() as f64 / elapsed.as_secs_f64(),
        latency: Latency::of(latencies),
    })
}

async fn open_silent(target: &Target, peers: u64) -> anyhow::Result<Vec<TcpStream>> {
    let mut silent = Vec::new();
    for peer in 0..peers {
        // From addresses that the workers do not use.
        silent.push(target.open(1_000_000 + peer).await.context("a silent peer cannot connect")?);
    }
    Ok(silent)
}

/// Connects and disconnects until `end`: how long each connection took, and the first error.
async fn work(
    target: &Target,
    worker: u64,
    workers: u64,
    end: Instant,
    errors: &AtomicU64,
) -> (Vec<u32>, Option<String>) {
    let (mut latencies, mut first_error) = (Vec::new(), None);
    let mut number = worker;
    while Instant::now() < end {
        let client_id = format!("bench-{number}");
        let start = Instant::now();
        match target.connect(number, Connect::clean(&client_id)).await {
            Ok(client) => {
                latencies.push(micros(start.elapsed()));
                // The broker may be faster with closing; either way it is over.
                let _ = client.disconnect().await;
            }
            Err(error) => {
                errors.fetch_add(1, Ordering::Relaxed);
                first_error.get_or_insert(error.to_string());
                sleep(Duration::from_millis(20)).await;
            }
        }
        number += workers;
    }
    (latencies, first_error)
}

impl fmt::Display for ConnectionsResult {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { connections, errors, per_second, latency, .. } = self;
        write!(f, "{connections} connections, {per_second:.0} per second, {latency}, {errors} errors")?;
        self.first_error.iter().try_for_each(|error| write!(f, " (the first: {error})"))
    }
}
