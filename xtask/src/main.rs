//! Everything that is done to this repository besides compiling it: `cargo xtask demo`, `test`, `tidy`,
//! `codegen`, `system-calls`.
//!
//! What CI runs is `cargo xtask test`, and it runs the same on a laptop. Programs that are not part of the repository
//! (AWS's clients, a mail server for tests) are installed below the target folder, never into the system, except for
//! a few packages of the operating system that are asked for by name.

mod bench;
mod clients;
mod codegen;
mod demo;
mod device;
mod interrupt;
mod kits;
mod lab;
mod laboratory;
mod mailbox;
mod programs;
mod relay;
mod samples;
mod server;
mod spans;
mod steps;
mod system_calls;
mod test;
mod threat;
mod tidy;
mod tools;
mod walkthrough;
mod workspace;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Tasks of the Komainu repository.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask")]
struct Cli {
    #[command(subcommand)]
    task: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Perform AWS's Device Defender walkthrough on a fresh server, with AWS's own programs; or, with `--threat`, let
    /// a pretended camera be attacked; or, with `--lab`, let the fleet learn from that.
    Demo(demo::DemoArgs),
    /// Run every check: formatting, lints, tidy, tests, the walkthrough and the unmodified clients.
    Test(test::TestArgs),
    /// Build the guests in which samples run, and boot each.
    Kits(kits::KitsArgs),
    /// Build our own harmless test programs for many processors.
    Samples(samples::SamplesArgs),
    /// Compare the gateway with mosquitto: speed, memory, and what is lost by kill -9.
    Bench(bench::BenchArgs),
    /// Check what the compiler cannot: allowed dependencies, one place for versions, nothing left unfinished.
    Tidy,
    /// Write the AWS shapes from the service models in the botocore package.
    Codegen(codegen::Args),
    /// Write the numbers of system calls from the source of Linux.
    SystemCalls(system_calls::Args),
    /// The far end of a device's own network; `demo` and `test` start it.
    #[command(hide = true)]
    DeviceNetwork(device::DeviceNetworkArgs),
}

fn main() -> ExitCode {
    let outcome = match Cli::parse().task {
        Task::Demo(args) => demo::run(&args),
        Task::Test(args) => test::run(&args),
        Task::Bench(args) => bench::run(&args),
        Task::Kits(args) => kits::run(&args),
        Task::Samples(args) => samples::run(&args),
        Task::Tidy => tidy::run(),
        Task::Codegen(args) => codegen::run(&args).map(|()| ExitCode::SUCCESS),
        Task::SystemCalls(args) => system_calls::run(&args).map(|()| ExitCode::SUCCESS),
        Task::DeviceNetwork(args) => device::serve_device_network(&args).map(|()| ExitCode::SUCCESS),
    };
    match outcome {
        Ok(code) => code,
        Err(error) => match error.downcast_ref::<tools::Missing>() {
            Some(missing) => {
                eprintln!("\n{missing}");
                ExitCode::from(tools::EXIT_MISSING)
            }
            None => {
                eprintln!("\nerror: {error:#}");
                ExitCode::FAILURE
            }
        },
    }
}
