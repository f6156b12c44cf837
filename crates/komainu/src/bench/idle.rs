//! Connections that are held.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use clap::{Args, ValueEnum};
use serde::Serialize;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::target::Target;
use super::wire::{Client, Connect};

/// Keep-alive of idle clients, the longest that AWS IoT allows: they say nothing until they are done.
const KEEP_ALIVE_S: u16 = 1200;

#[derive(Debug, Clone, Args)]
pub(super) struct IdleArgs {
    /// So many connections.
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u64).range(1..=100_000))]
    connections: u64,
    /// So many of them are opened at the same time.
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u64).range(1..=1000))]
    workers: u64,
    /// What each of them subscribes to.
    #[arg(long, default_value = "exact")]
    subscription: IdleSubscription,
    /// How long they are held after the result was printed.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u64).range(0..=1200))]
    hold_seconds: u64,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum IdleSubscription {
    /// Nothing.
    None,
    /// `cmd/CLIENT`.
    Exact,
    /// `cmd/CLIENT/#`.
    Wildcard,
}

#[derive(Debug, Serialize)]
pub(super) struct IdleResult {
    connections: u64,
    errors: u64,
    first_error: Option<String>,
    opened_in_s: f64,
}

/// Connections that are open until this is dropped.
pub(super) struct Held {
    _clients: Vec<Client>,
    hold: Duration,
}

impl Held {
    pub(super) async fn hold(self) {
        sleep(self.hold).await;
    }
}

pub(super) async fn open(target: &Target, args: &IdleArgs) -> anyhow::Result<(IdleResult, Held)> {
    let start = Instant::now();
    let at_once = Arc::new(Semaphore::new(args.workers as usize));
    let mut opening = JoinSet::new();
    for number in 0..args.connections {
        let permit = Arc::clone(&at_once).acquire_owned().await.context("the semaphore is never closed")?;
        let (target, subscription) = (target.clone(), args.subscription);
        opening.spawn(async move {
            let client = open_one(&target, number, subscription).await;
            drop(permit);
            client
        });
    }
    let (mut clients, mut errors, mut first_error) = (Vec::new(), 0, None);
    while let Some(client) = opening.join_next().await {
        match client.context("a client failed")? {
            Ok(client) => clients.push(client),
            Err(error) => {
                errors += 1;
                first_error.get_or_insert(error.to_string());
            }
        }
    }
    if clients.is_empty() {
        bail!("no connection came about: {}", first_error.unwrap_or_default());
    }
    let opened_in_s = start.elapsed().as_secs_f64();
    let result = IdleResult { connections: clients.len() as u64, errors, first_error, opened_in_s };
    Ok((result, Held { _clients: clients, hold: Duration::from_secs(args.hold_seconds) }))
}

async fn open_one(target: &Target, number: u64, subscription: IdleSubscription) -> std::io::Result<Client> {
    let client_id = format!("idle-{number}");
    let connect = Connect { keep_alive_s: KEEP_ALIVE_S, ..Connect::clean(&client_id) };
    let mut client = target.connect(number, connect).await?;
    let filter = match subscription {
        IdleSubscription::None => return Ok(client),
        IdleSubscription::Exact => format!("cmd/{client_id}"),
        IdleSubscription::Wildcard => format!("cmd/{client_id}/#"),
    };
    client.subscribe(&[filter], 1).await?;
    Ok(client)
}

impl fmt::Display for IdleResult {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { connections, errors, opened_in_s, .. } = self;
        write!(f, "{connections} connections are open after {opened_in_s:.1} s, {errors} errors")?;
        self.first_error.iter().try_for_each(|error| write!(f, " (the first: {error})"))
    }
}
