//! `cargo xtask demo`: the walkthrough, for a newcomer to watch.

use std::fs;
use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use anyhow::{Context, ensure};
use clap::Args;

use crate::device::Networks;
use crate::steps::Steps;
use crate::{interrupt, laboratory, threat, walkthrough, workspace};

/// Options of `cargo xtask demo`.
#[derive(Debug, Args)]
pub(crate) struct DemoArgs {
    /// Leave everything running afterwards, until Ctrl-C, also where nobody sits at a terminal.
    #[arg(long, conflicts_with_all = ["threat", "end"])]
    keep: bool,
    /// End everything afterwards, also at a terminal.
    #[arg(long, conflicts_with = "threat")]
    end: bool,
    /// Show the other guardian instead: a camera that is none is attacked, and what was done is written down.
    #[arg(long)]
    threat: bool,
    /// Show how both work together: what attackers leave on that camera is run in the laboratory, and devices of the
    /// fleet that are in contact with the same servers are found.
    #[arg(long, conflicts_with_all = ["keep", "end", "threat"])]
    lab: bool,
    /// The folder to do it in, which must be new or empty [default: target/demo or
    /// target/demo-threat or target/demo-lab, emptied first].
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
}

/// Builds the server, performs the walkthrough, and succeeds only if every step of it was seen.
pub(crate) fn run(args: &DemoArgs) -> anyhow::Result<ExitCode> {
    println!("Building komainu …");
    workspace::build_komainu()?;
    interrupt::listen()?;
    let folder = |name: &str| match &args.data {
        Some(folder) => new_folder(folder),
        None => emptied(&workspace::runs().join(name)),
    };
    if args.threat {
        return threat(&folder("demo-threat")?);
    }
    if args.lab {
        let networks = laboratory::prepare()?;
        return lab(&folder("demo-lab")?, networks);
    }
    let networks = walkthrough::prepare()?;
    let folder = folder("demo")?;

    println!("\nAWS's Device Defender walkthrough, on your own server, in {}\n", folder.display());
    let mut steps = Steps::new();
    let running = walkthrough::perform(&mut steps, &folder, networks)?;
    println!("\nAll {} steps were seen, in {} s.", steps.done(), steps.elapsed().as_secs());
    if args.keep || (stays_by_itself() && !args.end) {
        println!("\nEverything goes on running until Ctrl-C.\n\n{}\n{}", running.next_commands(), running.console());
        while !interrupt::is_interrupted() {
            thread::sleep(Duration::from_millis(100));
        }
    }
    let folder = running.folder().to_path_buf();
    running.stop()?;
    println!("Everything has been stopped. Mails, logs and the device's files: {}", folder.display());
    if !args.keep && !stays_by_itself() {
        println!("At a terminal, or with --keep, it goes on running, and a link leads into the console.");
    }
    Ok(ExitCode::SUCCESS)
}

/// Whether somebody is there who can look at it and end it.
fn stays_by_itself() -> bool {
    std::io::stdin().is_terminal() && std::io::stdout().is_terminal()
}

/// Lets a camera be attacked, and shows what was recorded.
fn threat(folder: &Path) -> anyhow::Result<ExitCode> {
    println!("\nA camera that is none, in {}\n", folder.display());
    let mut steps = Steps::new();
    let camera = threat::perform(&mut steps, folder)?;
    println!("\nAll {} steps were seen, in {} s.", steps.done(), steps.elapsed().as_secs());
    println!("Records and artifacts: {}\n\n{}", folder.display(), camera.next_commands());
    Ok(ExitCode::SUCCESS)
}

/// Lets programs be left on a camera, and shows how the fleet is guarded against them.
fn lab(folder: &Path, networks: Networks) -> anyhow::Result<ExitCode> {
    println!("\nFrom an attack to an alarm, in {}\n", folder.display());
    let mut steps = Steps::new();
    laboratory::perform(&mut steps, folder, networks)?;
    println!("\nAll {} steps were seen, in {} s.", steps.done(), steps.elapsed().as_secs());
    println!("Reports, mails and logs: {}", folder.display());
    Ok(ExitCode::SUCCESS)
}

/// A folder of the user's: only a new or an empty one, so that nothing of theirs is overwritten.
fn new_folder(folder: &Path) -> anyhow::Result<PathBuf> {
    fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let mut entries = fs::read_dir(folder).with_context(|| format!("cannot list {}", folder.display()))?;
    ensure!(entries.next().is_none(), "{} is not empty; name a new folder", folder.display());
    folder.canonicalize().with_context(|| format!("cannot find {}", folder.display()))
}

/// A folder of ours below the target folder, emptied.
pub(crate) fn emptied(folder: &Path) -> anyhow::Result<PathBuf> {
    if folder.exists() {
        fs::remove_dir_all(folder).with_context(|| format!("cannot empty {}", folder.display()))?;
    }
    fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    Ok(folder.to_path_buf())
}
