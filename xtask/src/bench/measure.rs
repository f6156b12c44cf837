//! What is measured, and how.

use std::collections::BTreeMap;
use std::fs;
use std::process::Command;
use std::thread;
use std::time::Duration;

use anyhow::{Context, bail};
use clap::ValueEnum;
use serde_json::Value;

use super::broker::Broker;
use super::certificates::{Certificates, DeviceKey, Identity};
use crate::interrupt;
use crate::programs::{Program, run_to_end};
use crate::workspace;

/// Kernel clock ticks of user space per second: USER_HZ, 100 on every architecture that Linux runs servers on.
const TICKS_PER_SECOND: f64 = 100.0;
/// How long an idle client may take to open its connections.
const IDLE_LIMIT: Duration = Duration::from_secs(300);
/// The pause between two loads: closing connections takes a moment.
const PAUSE: Duration = Duration::from_millis(500);
/// Messages per second of the one device that floods both brokers alike; mosquitto can still take them.
const FLOOD_PER_SECOND: &str = "30000";
/// Messages that are left for a subscriber that is away, as many as both brokers keep.
const LEFT_MESSAGES: u64 = 8_000;

/// What is done.
pub(crate) struct Plan {
    pub(crate) rounds: u32,
    pub(crate) seconds: u64,
    pub(crate) idle: u64,
    pub(crate) only: Vec<Kind>,
}

/// A measurement.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub(crate) enum Kind {
    /// Delivered messages per second, and what each costs.
    FanIn,
    /// How long a message takes at half of what mosquitto can do.
    HalfLoad,
    /// Connections per second, and what each costs.
    Connections,
    /// Memory of idle connections.
    Idle,
    /// What many subscriptions with wildcards cost others.
    Wildcards,
    /// What is left after kill -9.
    Kill,
    /// What silent peers cost others.
    Silent,
    /// What a flood costs others.
    Flood,
}

/// Values by metric, then by broker, in the order of the rounds.
#[derive(Debug, Default)]
pub(crate) struct Measured {
    pub(crate) brokers: Vec<String>,
    pub(crate) seconds: u64,
    pub(crate) rounds: u32,
    pub(crate) values: BTreeMap<&'static str, Vec<Vec<f64>>>,
}

impl Measured {
    fn add(&mut self, metric: &'static str, broker: usize, value: f64) {
        eprintln!("  {:<14} {metric}: {value:.3}", self.brokers[broker].split(' ').next().unwrap_or_default());
        self.values.entry(metric).or_insert_with(|| vec![Vec::new(); self.brokers.len()])[broker].push(value);
    }

    /// The median of a broker's values.
    pub(crate) fn median(&self, metric: &str, broker: usize) -> Option<f64> {
        let mut values = self.values.get(metric)?.get(broker)?.clone();
        values.sort_by(f64::total_cmp);
        let middle = values.len() / 2;
        match values.len() {
            0 => None,
            length if length % 2 == 1 => Some(values[middle]),
            _ => Some((values[middle - 1] + values[middle]) / 2.0),
        }
    }
}

/// The load generator.
pub(crate) struct Client {
    p256: Identity,
    rsa: Identity,
}

impl Client {
    pub(crate) fn new(certificates: &Certificates) -> Self {
        Self { p256: certificates.device(DeviceKey::P256), rsa: certificates.device(DeviceKey::Rsa2048) }
    }

    /// `komainu bench … LOAD` against a broker.
    fn command(&self, broker: &dyn Broker, key: DeviceKey, load: &[&str]) -> Command {
        let identity = match key {
            DeviceKey::P256 => &self.p256,
            DeviceKey::Rsa2048 => &self.rsa,
        };
        let mut command = Command::new(workspace::komainu());
        command.args(["bench", "--json", "--broker", &format!("localhost:{}", broker.address().port())]);
        command.arg("--ca").arg(broker.ca());
        command.arg("--certificate").arg(&identity.certificate).arg("--key").arg(&identity.key);
        command.args(load);
        command
    }

    fn run(&self, broker: &dyn Broker, key: DeviceKey, load: &[&str]) -> anyhow::Result<Value> {
        interrupt::check()?;
        thread::sleep(PAUSE);
        let printed = run_to_end(&mut self.command(broker, key, load))?;
        let result: Value = serde_json::from_str(&printed).context("the client's result is not JSON")?;
        if result["errors"].as_u64().unwrap_or(0) > 0 {
            eprintln!("  {}: {} errors, the first: {}", broker.name(), result["errors"], result["first_error"]);
        }
        Ok(result)
    }
}

/// Loads the brokers in turn, round after round.
pub(crate) fn run(plan: &Plan, client: &Client, brokers: &mut [Box<dyn Broker>]) -> anyhow::Result<Measured> {
    let names = brokers.iter().map(|broker| broker.name()).collect();
    let mut measured = Measured { brokers: names, seconds: plan.seconds, rounds: plan.rounds, values: BTreeMap::new() };
    for round in 1..=plan.rounds {
        for kind in Kind::value_variants() {
            if !plan.only.is_empty() && !plan.only.contains(kind) {
                continue;
            }
            eprintln!("round {round} of {}: {kind:?}", plan.rounds);
            let half = measured.median("fan-in delivered/s", 0).map(|rate| rate / 2.0);
            for (index, broker) in brokers.iter_mut().enumerate() {
                let mut one = One { plan, client, broker: &mut **broker, index, measured: &mut measured };
                match kind {
                    Kind::FanIn => one.fan_in()?,
                    Kind::HalfLoad => one.half_load(half)?,
                    Kind::Connections => one.connections()?,
                    Kind::Idle => one.idle()?,
                    Kind::Wildcards => one.wildcards()?,
                    Kind::Kill => one.kill()?,
                    Kind::Silent => one.silent()?,
                    Kind::Flood => one.flood()?,
                }
            }
        }
    }
    Ok(measured)
}

/// One broker under one measurement.
struct One<'a> {
    plan: &'a Plan,
    client: &'a Client,
    broker: &'a mut dyn Broker,
    index: usize,
    measured: &'a mut Measured,
}

impl One<'_> {
    fn add(&mut self, metric: &'static str, value: f64) {
        self.measured.add(metric, self.index, value);
    }

    fn load(&self, key: DeviceKey, load: &[&str]) -> anyhow::Result<Value> {
        let seconds = self.plan.seconds.to_string();
        let mut words = load.to_vec();
        words.extend(["--seconds", &seconds]);
        self.client.run(self.broker, key, &words)
    }

    fn fan_in(&mut self) -> anyhow::Result<()> {
        let before = cpu_seconds(self.broker.process())?;
        let result = self.load(DeviceKey::P256, &["fan-in"])?;
        let spent = cpu_seconds(self.broker.process())? - before;
        self.add("fan-in delivered/s", number(&result, "/delivered_per_second")?);
        self.add("fan-in CPU us/message", spent * 1e6 / number(&result, "/delivered")?);
        self.add("fan-in p50 ms", number(&result, "/latency/p50_ms")?);
        self.add("fan-in p99 ms", number(&result, "/latency/p99_ms")?);
        self.add("fan-in lost", number(&result, "/lost")?);
        Ok(())
    }

    fn half_load(&mut self, rate: Option<f64>) -> anyhow::Result<()> {
        let Some(rate) = rate else { bail!("the half load needs a fan-in before it") };
        let result = self.load(DeviceKey::P256, &["fan-in", "--rate", &format!("{rate:.0}")])?;
        self.add("half load delivered/s", number(&result, "/delivered_per_second")?);
        self.add("half load p50 ms", number(&result, "/latency/p50_ms")?);
        self.add("half load p99 ms", number(&result, "/latency/p99_ms")?);
        Ok(())
    }

    fn connections(&mut self) -> anyhow::Result<()> {
        for (key, rate, cost) in [
            (DeviceKey::P256, "P-256 connections/s", "P-256 CPU ms/connection"),
            (DeviceKey::Rsa2048, "RSA-2048 connections/s", "RSA-2048 CPU ms/connection"),
        ] {
            let before = cpu_seconds(self.broker.process())?;
            let result = self.load(key, &["connections"])?;
            let spent = cpu_seconds(self.broker.process())? - before;
            self.add(rate, number(&result, "/per_second")?);
            self.add(cost, spent * 1e3 / number(&result, "/connections")?);
        }
        Ok(())
    }

    /// On a fresh process: memory that an earlier load left would count for nothing here.
    fn idle(&mut self) -> anyhow::Result<()> {
        self.broker.kill()?;
        self.broker.restart()?;
        let before = memory_bytes(self.broker.process())?;
        let connections = self.plan.idle.to_string();
        let load = ["idle", "--connections", &connections, "--hold-seconds", "600"];
        let logs = workspace::runs().join("bench");
        let mut held =
            Program::start("idle-client", &mut self.client.command(self.broker, DeviceKey::P256, &load), &logs)?;
        let printed = held.wait_for("the open connections", IDLE_LIMIT, |output| {
            output.lines().find(|line| line.starts_with('{')).map(str::to_owned)
        })?;
        let result: Value = serde_json::from_str(&printed).context("the client's result is not JSON")?;
        let grown = memory_bytes(self.broker.process())? - before;
        held.kill()?;
        self.add("idle connections", number(&result, "/connections")?);
        self.add("idle kB/connection", grown / number(&result, "/connections")? / 1000.0);
        Ok(())
    }

    fn wildcards(&mut self) -> anyhow::Result<()> {
        let alone = self.load(DeviceKey::P256, &["fan-in"])?;
        let among = self.load(DeviceKey::P256, &["fan-in", "--wildcard-subscriptions", "10000"])?;
        let slowdown = number(&alone, "/delivered_per_second")? / number(&among, "/delivered_per_second")?;
        self.add("slowdown with 10k wildcards", slowdown);
        Ok(())
    }

    fn kill(&mut self) -> anyhow::Result<()> {
        for (messages, lost) in [(50, "lost of 50 by kill -9"), (LEFT_MESSAGES, "lost of 8,000 by kill -9")] {
            let messages = messages.to_string();
            let left = self.client.run(self.broker, DeviceKey::P256, &["leave", "--messages", &messages])?;
            self.broker.kill()?;
            self.broker.restart()?;
            let collected = self.client.run(self.broker, DeviceKey::P256, &["collect", "--messages", &messages])?;
            self.add(lost, number(&collected, "/lost")?);
            if messages == LEFT_MESSAGES.to_string() {
                self.add("offline acknowledged/s", number(&left, "/per_second")?);
            }
        }
        Ok(())
    }

    fn silent(&mut self) -> anyhow::Result<()> {
        let alone = self.load(DeviceKey::P256, &["connections"])?;
        let among = self.load(DeviceKey::P256, &["connections", "--silent-peers", "1000"])?;
        let (alone, among) = (number(&alone, "/latency/p99_ms")?, number(&among, "/latency/p99_ms")?);
        self.add("connection p99 ms", alone);
        self.add("connection p99 ms, 1,000 silent peers", among);
        Ok(())
    }

    /// One device floods with QoS 0 while others exchange a message now and then: once as fast as it can, which is as
    /// fast as the broker lets it, and once as fast at both brokers.
    fn flood(&mut self) -> anyhow::Result<()> {
        let alone = self.load(DeviceKey::P256, &["round-trips"])?;
        self.add("round trip p99 ms", number(&alone, "/latency/p99_ms")?);
        for (rate, metric) in [
            (None, "round trip p99 ms, one device floods"),
            (Some(FLOOD_PER_SECOND), "round trip p99 ms, one device sends 30,000/s"),
        ] {
            let seconds = (self.plan.seconds + 10).to_string();
            let mut flood = vec!["fan-in", "--publishers", "1", "--qos", "0", "--seconds", &seconds];
            if let Some(rate) = rate {
                flood.extend(["--rate", rate]);
            }
            let logs = workspace::runs().join("bench");
            let mut command = self.client.command(self.broker, DeviceKey::Rsa2048, &flood);
            let mut flooding = Program::start("flooding-client", &mut command, &logs)?;
            thread::sleep(Duration::from_secs(1));
            let among = self.load(DeviceKey::P256, &["round-trips"])?;
            flooding.kill()?;
            self.add(metric, number(&among, "/latency/p99_ms")?);
        }
        Ok(())
    }
}

fn number(result: &Value, pointer: &str) -> anyhow::Result<f64> {
    result.pointer(pointer).and_then(Value::as_f64).with_context(|| format!("the result has no {pointer}: {result}"))
}

/// What a process has used of the processor, its own time and the kernel's for it.
fn cpu_seconds(process: u32) -> anyhow::Result<f64> {
    let path = format!("/proc/{process}/stat");
    let stat = fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
    // The name, in parentheses, may hold anything; the 14th and 15th fields are the 12th and 13th after it.
    let after_name = stat.rsplit_once(')').map(|(_, rest)| rest).unwrap_or_default();
    let ticks: f64 = after_name.split_whitespace().skip(11).take(2).filter_map(|field| field.parse::<f64>().ok()).sum();
    Ok(ticks / TICKS_PER_SECOND)
}

/// What a process holds of the memory.
fn memory_bytes(process: u32) -> anyhow::Result<f64> {
    let path = format!("/proc/{process}/status");
    let status = fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("a process has no VmRSS")?;
    let kib: f64 = line.trim().trim_end_matches(" kB").parse().context("VmRSS is not a number")?;
    Ok(kib * 1024.0)
}
