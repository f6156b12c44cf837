//! `komainu bench`: puts load on an MQTT broker and says what came of it.
//!
//! It needs an address, the root certificate and one device's certificate, so it can load any broker, and two brokers
//! can be compared by the same client. Its MQTT is its own and minimal: what it measures must not be itself.
//!
//! Every kind of load prints one result, for people or, with `--json`, for programs.

mod connections;
mod fan_in;
mod idle;
mod latency;
mod offline;
mod round_trips;
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

/// Runs the load and prints its result. Fails when no result could be had.
pub(crate) async fn run(args: BenchArgs) -> anyhow::Result<()> {
    let target = args.target.resolve().await?;
    let json = args.json;
    match args.load {
        Load::Connections(load) => print_result(json, &connections::run(&target, &load).await?),
        Load::FanIn(load) => print_result(json, &fan_in::run(&target, &load).await?),
        Load::Idle(load) => {
            let (result, held) = idle::open(&target, &load).await?;
            print_result(json, &result)?;
            held.hold().await;
            Ok(())
        }
        Load::RoundTrips(load) => print_result(json, &round_trips::run(&target, &load).await?),
        Load::Leave(load) => print_result(json, &offline::leave(&target, &load).await?),
        Load::Collect(load) => print_result(json, &offline::collect(&target, &load).await?),
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
