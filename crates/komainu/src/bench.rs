//! `komainu bench`: puts load on an MQTT broker, on a relay to devices, on a hub of sensors, or on a lake, and says what came of it.
//!
//! For a broker it needs an address, the root certificate and one device's certificate, so it can load any broker, and two brokers
//! can be compared by the same client. Its MQTT is its own and minimal: what it measures must not be itself.
//!
//! Every kind of load prints one result, for people or, with `--json`, for programs.

mod connections;
mod fan_in;
mod idle;
mod lake;
mod latency;
mod offline;
mod relay;
mod round_trips;
mod sensors;
mod target;
mod wire;

use std::fmt::Display;

use anyhow::Context;
use clap::{Args, Subcommand};
use serde::Serialize;

use self::target::TargetArgs;

/// What `komainu bench` is told.
#[derive(Debug, Args)]
pub(crate) struct BenchArgs {
    #[command(flatten)]
    target: TargetArgs,
    /// Print the result as one line of JSON.
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    load: Load,
}

#[derive(Debug, Subcommand)]
enum Load {
    #[command(flatten)]
    Broker(BrokerLoad),
    #[command(flatten)]
    Relay(RelayLoad),
    /// Be sensors that hand made-up attacks in, as fast as the hub answers. Needs no broker (docs/hub.md).
    Sensors(sensors::SensorsArgs),
    /// Fill a lake with made-up attacks, unless it is there, and ask it. Needs no broker (docs/lake.md).
    Lake(lake::LakeArgs),
}

#[derive(Debug, Subcommand)]
enum BrokerLoad {
    /// Connect, say CONNECT, disconnect; as fast as so many workers can.
    Connections(connections::ConnectionsArgs),
    /// Many devices publish, one subscriber takes everything.
    FanIn(fan_in::FanInArgs),
    /// Open connections and hold them.
    Idle(idle::IdleArgs),
    /// Devices that each publish to themselves now and then: how long a message takes.
    RoundTrips(round_trips::RoundTripsArgs),
    /// Leave acknowledged messages for a subscriber that is away. `collect` then says which of them arrive.
    Leave(offline::LeaveArgs),
    /// Collect what `leave` left, after whatever happened to the broker in between.
    Collect(offline::CollectArgs),
}

#[derive(Debug, Subcommand)]
enum RelayLoad {
    /// Visit a device, directly or through a relay, as fast as so many visitors can. Needs no broker.
    Visits(relay::VisitsArgs),
    /// Be the device that is visited, until the process is ended. Needs no broker.
    Device(relay::DeviceArgs),
}

/// Runs the load and prints its result. Fails when no result could be had.
pub(crate) fn run(args: BenchArgs) -> anyhow::Result<()> {
    match args.load {
        Load::Broker(load) => crate::runtime()?.block_on(load_broker(&args.target, load, args.json)),
        Load::Sensors(load) => print_result(args.json, &crate::runtime()?.block_on(sensors::hand_in(&load))?),
        Load::Lake(load) => print_result(args.json, &lake::run(&load)?),
        Load::Relay(RelayLoad::Visits(load)) => print_result(args.json, &one_thread()?.block_on(relay::visit(&load))?),
        Load::Relay(RelayLoad::Device(load)) => match one_thread()?.block_on(relay::be_device(&load))? {},
    }
}

fn one_thread() -> anyhow::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_all().build().context("cannot start the runtime")
}

async fn load_broker(target: &TargetArgs, load: BrokerLoad, json: bool) -> anyhow::Result<()> {
    let target = target.resolve().await?;
    match load {
        BrokerLoad::Connections(load) => print_result(json, &connections::run(&target, &load).await?),
        BrokerLoad::FanIn(load) => print_result(json, &fan_in::run(&target, &load).await?),
        BrokerLoad::Idle(load) => {
            let (result, held) = idle::open(&target, &load).await?;
            print_result(json, &result)?;
            held.hold().await;
            Ok(())
        }
        BrokerLoad::RoundTrips(load) => print_result(json, &round_trips::run(&target, &load).await?),
        BrokerLoad::Leave(load) => print_result(json, &offline::leave(&target, &load).await?),
        BrokerLoad::Collect(load) => print_result(json, &offline::collect(&target, &load).await?),
    }
}

#[expect(clippy::print_stdout, reason = "the result is what the command is for")]
fn print_result(json: bool, result: &(impl Serialize + Display)) -> anyhow::Result<()> {
    if json {
        println!("{}", serde_json::to_string(result).context("cannot write the result")?);
    } else {
        println!("{result}");
    }
    Ok(())
}
