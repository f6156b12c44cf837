//! The `komainu` program: command line, configuration, assembly.
//!
//! `komainu serve` runs everything in one process on one data folder; `komainu sensor` runs apart from it, on a network
//! that is hostile. Most other commands talk to the running server through the admin socket in that folder, or open the
//! folder themselves when no server runs.

mod admin;
mod bench;
mod captures;
mod classify;
mod config;
mod console;
mod device_files;
mod examiner;
mod guest;
mod guest_trace;
mod hub;
mod indicators;
mod jail;
mod laboratory;
mod lake;
mod lake_demo;
mod lake_keeper;
mod late_broker;
mod logs;
mod lookups;
mod metrics;
mod monthly;
mod oidc;
mod operator;
mod operators;
mod outpost;
mod output;
mod pcap;
mod publications;
mod relay;
mod report;
mod samples;
mod sandbox;
mod sensor;
mod serve;
mod share;
mod traces;
mod triage;
mod vital_signs;
mod yara;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use clap::{Args, Parser, Subcommand};
use komainu_ports::LakeTable;

use crate::admin::{AdminReply, AdminRequest};
use crate::operators::RoleName;

/// Self-hosted security for connected devices, compatible with the clients of AWS IoT Device Defender.
#[derive(Debug, Parser)]
#[command(name = "komainu", version, about, propagate_version = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the server: gateway, control plane, detection and alerts.
    Serve(ServeArgs),
    /// Pretend to be devices on a hostile network, and write down what is done to them.
    Sensor(sensor::SensorArgs),
    /// Register a device or a sensor and write its certificate, its private key and the root certificate.
    Enroll(EnrollArgs),
    /// See what sensors have handed in.
    #[command(subcommand)]
    Sensors(hub::SensorsCommand),
    /// See and change what devices should not be in contact with.
    #[command(subcommand)]
    Indicators(indicators::IndicatorsCommand),
    /// Count or list attacks on sensors (docs/lake.md).
    #[command(after_help = lake::columns(LakeTable::Attacks))]
    Attacks(lake::AskArgs),
    /// Count or list what attacks showed: credentials, commands, URLs, files and the like.
    #[command(after_help = lake::columns(LakeTable::Observables))]
    Observables(lake::AskArgs),
    /// Count or list what devices reported.
    #[command(subcommand)]
    Devices(lake::DevicesCommand),
    /// The lake, where all of that is kept as columns.
    #[command(subcommand)]
    Lake(lake::LakeCommand),
    /// Make the report of a month, as HTML or PDF, for those who have no console (docs/monthly.md).
    Monthly(monthly::MonthlyArgs),
    /// The laboratory: hand samples in, see how far they are, read reports (docs/laboratory.md).
    #[command(subcommand)]
    Samples(samples::SamplesCommand),
    /// Say who uses the console (docs/console.md).
    #[command(subcommand)]
    Operators(operators::OperatorsCommand),
    /// Manage operators' access keys.
    #[command(subcommand, visible_alias = "keys")]
    AccessKey(AccessKeyCommand),
    /// Check or show the configuration.
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Say what capture files show: logins, commands, requests, files, as the event log of a sensor.
    Pcap(pcap::PcapArgs),
    /// Say what a recorded detonation shows of a sample, as text, JSON, a page of HTML or STIX.
    Report(report::ReportArgs),
    /// The process that asks the rules of YARA; only a sensor, or the reading of a capture, starts it.
    #[command(name = yara::SCANNER_COMMAND, hide = true)]
    YaraScanner,
    /// Run samples in guests of their own, on a network that is simulated.
    #[command(subcommand)]
    Sandbox(sandbox::SandboxCommand),
    /// The process of one run of a sample; only the sandbox starts it.
    #[command(name = sandbox::DETONATION_COMMAND, hide = true)]
    SandboxDetonation {
        /// As whom the jail is made, if this is root.
        user: Option<String>,
    },
    /// The launcher of a jail; only the process of a run starts it.
    #[command(name = sandbox::JAIL_COMMAND, hide = true)]
    Jail,
    /// The process that is a guest's whole network; only a sandbox starts it.
    #[command(name = sandbox::NETSIM_COMMAND, hide = true)]
    Netsim,
    /// Say what files are without running them: programs, scripts, archives, firmware.
    Triage(triage::TriageArgs),
    /// The process that looks at one file after the other; only `komainu triage`, or the laboratory, starts it.
    #[command(name = triage::WORKER_COMMAND, hide = true)]
    TriageWorker,
    /// The process that tests a jail from inside; only `komainu sandbox check` starts it.
    #[command(name = jail::TESTER_COMMAND, hide = true)]
    JailTester,
    /// Put load on an MQTT broker, this one or another, or on a relay, and say what came of it.
    Bench(bench::BenchArgs),
}

#[derive(Debug, Args)]
struct DataArgs {
    /// The data folder.
    #[arg(long, value_name = "DIR", default_value = "komainu-data", env = "KOMAINU_DATA")]
    data: PathBuf,
    /// The configuration file.
    #[arg(long, value_name = "FILE", env = "KOMAINU_CONFIG")]
    config: Option<PathBuf>,
}

#[derive(Debug, Args)]
struct ServeArgs {
    #[command(flatten)]
    folder: DataArgs,
    /// Where the console listens (HTTP, or HTTPS with `console.tls`).
    #[arg(long, value_name = "ADDR:PORT")]
    console: Option<SocketAddr>,
    /// Where the control plane listens (HTTP).
    #[arg(long, value_name = "ADDR:PORT")]
    api: Option<SocketAddr>,
    /// Where MQTT over TLS listens.
    #[arg(long, value_name = "ADDR:PORT")]
    mqtts: Option<SocketAddr>,
    /// Where MQTT, HTTPS and WebSocket over TLS listen, told apart by ALPN.
    #[arg(long, value_name = "ADDR:PORT")]
    tls: Option<SocketAddr>,
    /// Where metrics for Prometheus are, without signing in; nowhere without it.
    #[arg(long, value_name = "ADDR:PORT")]
    metrics: Option<SocketAddr>,
    /// Also run a sensor, in a process of its own: what it pretends to be, as `komainu sensor --persona` has it. May be
    /// given several times.
    #[arg(long, value_name = "NAME|FILE[@ADDR]")]
    sensor: Vec<String>,
    /// The mail server.
    #[arg(long, value_name = "HOST:PORT")]
    smtp: Option<String>,
    /// For conformance suites only: also listen for MQTT without TLS, where anybody may do anything.
    #[arg(long, value_name = "ADDR:PORT")]
    insecure_plain_mqtt: Option<SocketAddr>,
}

#[derive(Debug, Args)]
struct EnrollArgs {
    /// The device's name, 1 to 128 characters of `a-z A-Z 0-9 : _ -`.
    name: String,
    /// It is a sensor: it may hand in its records and do nothing else.
    #[arg(long)]
    sensor: bool,
    /// The folder to write `NAME.cert.pem`, `NAME.private.key` and `root-CA.crt` to.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    #[command(flatten)]
    folder: DataArgs,
}

#[derive(Debug, Subcommand)]
enum AccessKeyCommand {
    /// Make an access key, or take one that you have. The secret is shown once.
    Create {
        /// An id of your own; needs `--secret`.
        #[arg(long, requires = "secret")]
        id: Option<String>,
        /// A secret of your own; needs `--id`.
        #[arg(long, requires = "id")]
        secret: Option<String>,
        /// What its holder may do.
        #[arg(long, value_enum, default_value_t = RoleName::Admin)]
        role: RoleName,
        /// Who uses it and what for, at most 200 bytes.
        #[arg(long, default_value = "")]
        note: String,
        #[command(flatten)]
        folder: DataArgs,
    },
    /// List access keys, without their secrets.
    List {
        #[command(flatten)]
        folder: DataArgs,
    },
    /// Make an access key useless, for good.
    Revoke {
        /// The id of the key.
        id: String,
        #[command(flatten)]
        folder: DataArgs,
    },
    /// Forget a revoked access key.
    Delete {
        /// The id of the key.
        id: String,
        #[command(flatten)]
        folder: DataArgs,
    },
}

#[derive(Debug, Subcommand)]
enum ConfigCommand {
    /// Say whether the configuration is valid.
    Check {
        #[command(flatten)]
        folder: DataArgs,
    },
    /// Print the configuration as it counts, every key with its value.
    Show {
        #[command(flatten)]
        folder: DataArgs,
    },
}

fn main() -> ExitCode {
    match run(Cli::parse()) {
        Ok(status) => status,
        Err(error) => {
            eprintln!("komainu: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(cli: Cli) -> anyhow::Result<ExitCode> {
    match cli.command {
        // It says by its exit status what it has found.
        Command::Sensor(args) if args.is_relay_examiner() => examiner::run(),
        command => run_command(command).map(|()| ExitCode::SUCCESS),
    }
}

fn run_command(command: Command) -> anyhow::Result<()> {
    match command {
        Command::Serve(args) => {
            let config = read_config(&args.folder, serve_settings(&args))?;
            let telling = traces::start(&config.log, &config.traces)?;
            runtime()?.block_on(serve::serve(config, &args.folder.data, telling))
        }
        Command::Sensor(args) => {
            if args.run_command()? {
                return Ok(());
            }
            if args.is_relay_worker() {
                relay::become_worker()?;
            }
            let config = read_config(&args.folder, args.settings())?;
            logs::start(&config.log)?;
            match &config.sensor.devices {
                Some(devices) if !args.is_relay_worker() => relay::run_guard(&config, devices, &args.folder.data),
                Some(_) | None => {
                    let ended = args.supervised.then(sensor::supervised).transpose()?;
                    runtime()?.block_on(sensor::run(config, &args.folder.data, ended))
                }
            }
        }
        Command::Enroll(args) => {
            let EnrollArgs { name, sensor, .. } = &args;
            let name = name.clone();
            let request = if *sensor { AdminRequest::EnrollSensor { name } } else { AdminRequest::Enroll { name } };
            let reply = ask(&args.folder, request)?;
            if let AdminReply::Enrolled(device) = &reply {
                device_files::write(&args.out, device)?;
            }
            print!("{reply}");
            Ok(())
        }
        Command::AccessKey(command) => {
            let (folder, request) = match command {
                AccessKeyCommand::Create { id, secret, role, note, folder } => {
                    (folder, AdminRequest::CreateAccessKey { given: id.zip(secret), role, note })
                }
                AccessKeyCommand::List { folder } => (folder, AdminRequest::ListAccessKeys),
                AccessKeyCommand::Revoke { id, folder } => (folder, AdminRequest::RevokeAccessKey { id }),
                AccessKeyCommand::Delete { id, folder } => (folder, AdminRequest::DeleteAccessKey { id }),
            };
            print!("{}", ask(&folder, request)?);
            Ok(())
        }
        Command::Sensors(command) => hub::run(command),
        Command::Indicators(command) => indicators::run(command),
        Command::Attacks(args) => lake::ask(LakeTable::Attacks, &args),
        Command::Observables(args) => lake::ask(LakeTable::Observables, &args),
        Command::Devices(command) => lake::ask_about_devices(&command),
        Command::Lake(command) => lake::run(command),
        Command::Monthly(args) => monthly::run(&args),
        Command::Operators(command) => operators::run(command),
        Command::Samples(command) => samples::run(command),
        Command::Pcap(args) => pcap::run(&args),
        Command::Report(args) => report::run(&args),
        Command::YaraScanner => Ok(komainu_yara::run_scanner()?),
        Command::Sandbox(command) => command.run(),
        Command::SandboxDetonation { user } => sandbox::run_detonation(user.as_deref()),
        Command::Jail => Ok(komainu_jail::run_launcher()?),
        Command::Netsim => Ok(komainu_netsim::run_netsim()?),
        Command::Triage(args) => triage::run(&args),
        Command::TriageWorker => triage::run_worker(),
        Command::JailTester => Ok(komainu_jail::run_self_test()?),
        Command::Bench(args) => bench::run(args),
        Command::Config(ConfigCommand::Check { folder }) => {
            read_config(&folder, Vec::new())?;
            println!("configuration is valid");
            Ok(())
        }
        Command::Config(ConfigCommand::Show { folder }) => {
            print!("{}", toml::to_string(&read_config(&folder, Vec::new())?).context("cannot show the configuration")?);
            Ok(())
        }
    }
}

/// Asks the running server, or does it on the data folder when none runs.
fn ask(folder: &DataArgs, request: AdminRequest) -> anyhow::Result<AdminReply> {
    let config = read_config(folder, Vec::new())?;
    runtime()?.block_on(admin::ask(&config, &folder.data, request))
}

fn read_config(folder: &DataArgs, flags: Vec<config::Setting>) -> anyhow::Result<config::Config> {
    config::load(folder.config.as_deref(), std::env::vars(), flags)
}

/// The configuration keys that flags set.
fn serve_settings(args: &ServeArgs) -> Vec<config::Setting> {
    let text = |text: String| toml::Value::String(text);
    let personas = (!args.sensor.is_empty()).then(|| args.sensor.iter().cloned().map(text).collect());
    [
        ("console.listen", args.console.map(|address| text(address.to_string()))),
        ("listen.api", args.api.map(|address| text(address.to_string()))),
        ("listen.mqtts", args.mqtts.map(|address| text(address.to_string()))),
        ("listen.tls", args.tls.map(|address| text(address.to_string()))),
        ("listen.metrics", args.metrics.map(|address| text(address.to_string()))),
        ("listen.insecure_plain_mqtt", args.insecure_plain_mqtt.map(|address| text(address.to_string()))),
        ("smtp.server", args.smtp.clone().map(text)),
        ("sensor.run_in_serve", personas.is_some().then_some(toml::Value::Boolean(true))),
        ("sensor.personas", personas.map(toml::Value::Array)),
    ]
    .into_iter()
    .filter_map(|(path, value)| Some((path, value?)))
    .collect()
}

fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build().context("cannot start the runtime")
}
