//! Whether acknowledged messages survive what happens to the broker while their subscriber is away.

use std::collections::BTreeSet;
use std::fmt;
use std::ops::Range;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use clap::Args;
use serde::Serialize;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::target::{CONNECT_TIMEOUT, Target};
use super::wire::{Client, Connect, Packet, push_puback, push_publish};

const SUBSCRIBER: &str = "away";
const TOPIC: &str = "left";
/// The subscriber waits so long for one more message.
const QUIET: Duration = Duration::from_secs(2);

#[derive(Debug, Clone, Args)]
pub(super) struct LeaveArgs {
    /// So many messages.
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u64).range(1..=100_000))]
    messages: u64,
    /// So many devices publish them.
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u64).range(1..=10_000))]
    publishers: u64,
    /// A publisher has at most so many messages without acknowledgement.
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u64).range(1..=1000))]
    window: u64,
}

#[derive(Debug, Clone, Args)]
pub(super) struct CollectArgs {
    /// So many messages were acknowledged.
    #[arg(long, default_value_t = 50)]
    messages: u64,
}

#[derive(Debug, Serialize)]
pub(super) struct LeaveResult {
    acknowledged: u64,
    per_second: f64,
}

#[derive(Debug, Serialize)]
pub(super) struct CollectResult {
    collected: u64,
    duplicates: u64,
    lost: u64,
}

/// Subscribes with a session that stays, goes away, and publishes until every message is acknowledged.
pub(super) async fn leave(target: &Target, args: &LeaveArgs) -> anyhow::Result<LeaveResult> {
    let mut subscriber = target.connect(0, away()).await.context("the subscriber cannot connect")?;
    subscriber.subscribe(&[TOPIC.to_owned()], 1).await.context("the subscriber cannot subscribe")?;
    subscriber.disconnect().await.context("the subscriber cannot go")?;
    let mut clients = Vec::new();
    for number in 0..args.publishers {
        let client_id = format!("leaver-{number}");
        clients.push(target.connect(number, Connect::clean(&client_id)).await.context("a publisher cannot connect")?);
    }
    let start = Instant::now();
    let mut publishers = JoinSet::new();
    for (number, client) in clients.into_iter().enumerate() {
        let share = |number: u64| args.messages * number / args.publishers;
        let numbers = share(number as u64)..share(number as u64 + 1);
        publishers.spawn(publish(client, target.is_v5(), args.window, numbers));
    }
    let mut acknowledged = 0;
    while let Some(publisher) = publishers.join_next().await {
        acknowledged += publisher.context("a publisher failed")??;
    }
    Ok(LeaveResult { acknowledged, per_second: acknowledged as f64 / start.elapsed().as_secs_f64() })
}

/// Publishes `numbers` and waits until every one is acknowledged.
async fn publish(mut client: Client, is_v5: bool, window: u64, mut numbers: Range<u64>) -> anyhow::Result<u64> {
    let (mut next_id, mut in_flight, mut acknowledged) = (0u16, 0, 0);
    loop {
        let mut out = Vec::new();
        while in_flight < window
            && let Some(number) = numbers.next()
        {
            next_id = next_id.checked_add(1).unwrap_or(1);
            in_flight += 1;
            push_publish(&mut out, is_v5, TOPIC, Some(next_id), &number.to_be_bytes());
        }
        if in_flight == 0 {
            return Ok(acknowledged);
        }
        client.send(&out).await.context("cannot publish")?;
        let (mut taken, mut refused) = (0, false);
        let mut count = |packet: Packet<'_>| match packet {
            Packet::PubAck { refused: false } => taken += 1,
            Packet::PubAck { refused: true } => refused = true,
            Packet::Publish { .. } | Packet::Other(_) => {}
        };
        timeout(CONNECT_TIMEOUT, client.receive(&mut count)).await.context("no acknowledgement in time")??;
        if refused {
            bail!("the broker refused a message");
        }
        in_flight = in_flight.saturating_sub(taken);
        acknowledged += taken;
    }
}

/// Comes back and takes what is there.
pub(super) async fn collect(target: &Target, args: &CollectArgs) -> anyhow::Result<CollectResult> {
    let mut subscriber = target.connect(0, away()).await.context("the subscriber cannot connect")?;
    let (mut seen, mut duplicates) = (BTreeSet::new(), 0);
    while (seen.len() as u64) < args.messages {
        match timeout(QUIET, take(&mut subscriber, &mut seen, &mut duplicates)).await {
            Ok(result) => result.context("cannot collect")?,
            Err(_) => break,
        }
    }
    // A session that is not wanted any more.
    subscriber.disconnect().await.context("the subscriber cannot go")?;
    target.connect(0, Connect::clean(SUBSCRIBER)).await.context("the session cannot be ended")?.disconnect().await?;
    let collected = seen.len() as u64;
    Ok(CollectResult { collected, duplicates, lost: args.messages.saturating_sub(collected) })
}

async fn take(subscriber: &mut Client, seen: &mut BTreeSet<u64>, duplicates: &mut u64) -> std::io::Result<()> {
    let mut acknowledgements = Vec::new();
    subscriber
        .receive(&mut |packet| {
            let Packet::Publish { packet_id, payload } = packet else { return };
            if let Some(packet_id) = packet_id {
                push_puback(&mut acknowledgements, packet_id);
            }
            if let Ok(number) = payload.try_into() {
                *duplicates += u64::from(!seen.insert(u64::from_be_bytes(number)));
            }
        })
        .await?;
    subscriber.send(&acknowledgements).await
}

fn away() -> Connect<'static> {
    Connect { clean: false, ..Connect::clean(SUBSCRIBER) }
}

impl fmt::Display for LeaveResult {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} messages were acknowledged, {:.0} per second", self.acknowledged, self.per_second)
    }
}

impl fmt::Display for CollectResult {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} collected, {} twice, {} lost", self.collected, self.duplicates, self.lost)
    }
}
