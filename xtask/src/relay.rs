//! The checks of the relay to real devices: strangers, a sensor, its outposts and devices, each in a network namespace of
//! its own.

use std::process::Command;

use crate::clients::ClientOutcome;
use crate::programs::run_to_end;
use crate::{tools, workspace};

/// The namespace with which it is tried whether there can be any.
const TRIAL: &str = "komainu-trial";

/// The programs that check, below `tests/relay`.
const PROGRAMS: [&str; 2] = ["relay.py", "outposts.py"];

/// The program that checks shared folders, and needs Samba.
const SHARES: &str = "shares.py";

/// Runs the checks, or says why they cannot run here.
pub(crate) fn run() -> anyhow::Result<ClientOutcome> {
    if let Some(reason) = impossible() {
        println!("relay checks ... ignored, because {reason}");
        return Ok(ClientOutcome { ignored: 1, ..ClientOutcome::default() });
    }
    let mut outcome = ClientOutcome::default();
    for program in PROGRAMS {
        outcome.add(run_program(program)?);
    }
    match tools::need_samba() {
        Ok(()) => outcome.add(run_program(SHARES)?),
        Err(missing) => {
            println!("checks of shared folders ... ignored, because {missing:#}");
            outcome.ignored += 1;
        }
    }
    Ok(outcome)
}

fn run_program(name: &str) -> anyhow::Result<ClientOutcome> {
    let script = workspace::root().join("tests/relay").join(name);
    ClientOutcome::of_program(Command::new(tools::python()?).arg(script), name)
}

/// What this machine lacks, if anything.
pub(crate) fn impossible() -> Option<String> {
    if !tools::is_root() {
        return Some("only root may make network namespaces".into());
    }
    let programs = [tools::need_ip, tools::need_nft, tools::need_tshark, tools::need_snmpd];
    if let Err(missing) = programs.iter().try_for_each(|need| need()) {
        return Some(format!("{missing:#}"));
    }
    let name = format!("{TRIAL}-{}", std::process::id());
    if let Err(error) = run_to_end(Command::new("ip").args(["netns", "add", &name])) {
        return Some(format!("there can be no network namespaces here: {error:#}"));
    }
    let rules = run_to_end(Command::new("ip").args(["netns", "exec", &name, "nft", "list", "ruleset"]));
    // Nothing is in it that would be missed.
    let _ = run_to_end(Command::new("ip").args(["netns", "del", &name]));
    rules.err().map(|error| format!("nftables does not work here: {error:#}"))
}
