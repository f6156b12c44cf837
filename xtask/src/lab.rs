//! The checks of the laboratory: static triage against readelf and YARA, reports against the programs of those who read
//! them, the simulated Internet against ordinary clients, the jail against attempts to get out of it, and guests with
//! programs of ours in them.

use std::process::Command;

use crate::clients::ClientOutcome;
use crate::tools::PythonTools;
use crate::{kits, samples, tools, workspace};

/// One program that checks, below `tests/lab`.
struct Program {
    name: &'static str,
    arguments: &'static [&'static str],
    /// What the machine must have for it, or why it cannot run here.
    needs: fn() -> anyhow::Result<()>,
    /// The guests that it runs programs in.
    guests: &'static [&'static str],
}

/// In the order in which they run: what needs least is first.
const PROGRAMS: [Program; 8] = [
    Program { name: "reports.py", arguments: &[], needs: need_nothing, guests: &[] },
    Program { name: "triage_oracle.py", arguments: &[], needs: tools::need_triage_oracle, guests: &[] },
    Program { name: "netsim.py", arguments: &[], needs: need_namespaces, guests: &[] },
    Program { name: "escape.py", arguments: &[], needs: tools::need_compiler, guests: &[] },
    Program { name: "guest_agent.py", arguments: &GUESTS, needs: need_guests, guests: &GUESTS },
    Program { name: "sandbox.py", arguments: &GUESTS, needs: need_guests, guests: &GUESTS },
    Program { name: "laboratory.py", arguments: &GUESTS, needs: need_samples, guests: &GUESTS },
    // The attempts take their time, and are the same on every processor.
    Program { name: "escape.py", arguments: &["guests", "arm"], needs: need_guests, guests: &GUESTS },
];

/// The guests in which the checks run their programs: little- and big-endian, 32 and 64 bits.
pub(crate) const GUESTS: [&str; 3] = ["arm", "mips", "x86_64"];

/// Runs the programs that have `filter` in their names.
pub(crate) fn run(filter: &str) -> anyhow::Result<ClientOutcome> {
    PythonTools::Lab.install()?;
    let mut outcome = ClientOutcome::default();
    for program in PROGRAMS.iter().filter(|program| program.name.contains(filter)) {
        if let Err(missing) = (program.needs)() {
            println!("{} ... ignored, because {missing:#}", program.name);
            outcome.ignored += 1;
            continue;
        }
        if !program.guests.is_empty()
            && let Err(error) = kits::make(program.guests)
        {
            println!("{} ... FAILED, because its guests cannot be made: {error:#}", program.name);
            outcome.failed += 1;
            continue;
        }
        outcome.add(run_program(program)?);
    }
    Ok(outcome)
}

fn run_program(program: &Program) -> anyhow::Result<ClientOutcome> {
    let mut command = Command::new(PythonTools::Lab.program("python"));
    command.arg(workspace::root().join("tests/lab").join(program.name)).args(program.arguments);
    ClientOutcome::of_program(
        command.env("KOMAINU_KITS", kits::all()).env("KOMAINU_SAMPLES", samples::folder()),
        program.name,
    )
}

/// What reads reports is installed with the checks.
fn need_nothing() -> anyhow::Result<()> {
    Ok(())
}

fn need_namespaces() -> anyhow::Result<()> {
    if !tools::is_root() {
        anyhow::bail!("only root may make network namespaces");
    }
    tools::need_internet_clients()
}

/// Our own programs, for the processors of the guests.
fn need_samples() -> anyhow::Result<()> {
    need_guests()?;
    samples::make(&["armv5", "armv7", "mips", "x86_64"])
}

fn need_guests() -> anyhow::Result<()> {
    tools::need_compiler()?;
    kits::need(&GUESTS)
}
