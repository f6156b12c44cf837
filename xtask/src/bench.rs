//! `cargo xtask bench`: Komainu's gateway beside mosquitto, with the same client, on the same machine, in the same run.
//!
//! Both brokers run at the same time and are loaded in turn, so that whatever else the machine does meets both. The
//! client is `komainu bench`; both brokers get the same device certificates. Komainu has policies, metering and
//! detection on; mosquitto checks certificates and nothing else.

mod broker;
mod certificates;
mod measure;
mod table;

use std::fs;
use std::process::{Command, ExitCode};

use anyhow::{Context, ensure};
use clap::Args;

use self::broker::{Broker, Komainu, Mosquitto};
use self::certificates::Certificates;
use self::measure::{Client, Measured, Plan};
use crate::programs::last_words;
use crate::workspace;

/// Files that a broker or the client may have open: the idle connections and some.
const OPEN_FILES_SPARE: u64 = 2_000;

/// What `cargo xtask bench` is told.
#[derive(Debug, Args)]
pub(crate) struct BenchArgs {
    /// So many rounds; the table shows medians.
    #[arg(long, default_value_t = 3)]
    rounds: u32,
    /// How long each load lasts.
    #[arg(long, default_value_t = 8)]
    seconds: u64,
    /// Idle connections whose memory is measured.
    #[arg(long, default_value_t = 10_000)]
    idle: u64,
    /// Only these measurements; without it, all.
    #[arg(long, value_delimiter = ',')]
    only: Vec<measure::Kind>,
    /// Leave the optimised build as it is.
    #[arg(long)]
    no_build: bool,
    /// The limit on open files was raised already.
    #[arg(long, hide = true)]
    limits_raised: bool,
}

/// Runs the measurements and prints the table.
pub(crate) fn run(args: &BenchArgs) -> anyhow::Result<ExitCode> {
    if !args.limits_raised {
        return again_with_more_files(args.idle + OPEN_FILES_SPARE);
    }
    if !args.no_build {
        workspace::build_komainu_optimised()?;
    }
    let folder = workspace::runs().join("bench");
    // What an earlier run left.
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let measured = measure(args, &folder);
    match &measured {
        Ok(measured) => {
            let report = table::report(measured);
            println!("{report}");
            let path = folder.join("gateway.md");
            fs::write(&path, &report).with_context(|| format!("cannot write {}", path.display()))?;
            eprintln!("written to {}", path.display());
        }
        Err(_) => eprintln!("{}", last_words(&folder)),
    }
    measured.map(|_| ExitCode::SUCCESS)
}

fn measure(args: &BenchArgs, folder: &std::path::Path) -> anyhow::Result<Measured> {
    let certificates = Certificates::make(&folder.join("certificates"))?;
    let mosquitto = Mosquitto::start(folder, &certificates)?;
    let komainu = Komainu::start(folder, &certificates)?;
    let mut brokers: [Box<dyn Broker>; 2] = [Box::new(mosquitto), Box::new(komainu)];
    let plan = Plan { rounds: args.rounds, seconds: args.seconds, idle: args.idle, only: args.only.clone() };
    measure::run(&plan, &Client::new(&certificates), &mut brokers)
}

/// Runs this program again under a higher limit: both brokers and the client inherit it.
fn again_with_more_files(files: u64) -> anyhow::Result<ExitCode> {
    let program = std::env::current_exe().context("cannot find this program")?;
    let status = Command::new("sh")
        .args(["-c", &format!("ulimit -n {files} && exec \"$0\" \"$@\"")])
        .arg(program)
        .args(std::env::args_os().skip(1))
        .arg("--limits-raised")
        .status()
        .context("cannot run this program again")?;
    ensure!(status.success(), "the measurement failed; it needs {files} open files (`ulimit -n`)");
    Ok(ExitCode::SUCCESS)
}
