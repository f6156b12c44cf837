//! The checks with unmodified clients: every script of `tests/clients`, each against servers of its own.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};

use crate::tools::{self, PythonTools};
use crate::{demo, interrupt, workspace};

/// What the scripts found.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct ClientOutcome {
    pub(crate) passed: usize,
    pub(crate) failed: usize,
    /// Checks for which this machine lacks a program.
    pub(crate) ignored: usize,
}

impl ClientOutcome {
    /// What a program of checks finds, which is shown as it ends; `what` says which one for the error.
    pub(crate) fn of_program(program: &mut Command, what: &str) -> anyhow::Result<Self> {
        let output = program
            .env("KOMAINU", workspace::komainu())
            .env("PYTHONUNBUFFERED", "1")
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .stdin(Stdio::null())
            .stderr(Stdio::inherit())
            .output()
            .with_context(|| format!("cannot run {what}"))?;
        let text = String::from_utf8_lossy(&output.stdout);
        print!("{text}");
        Ok(Self::of(&text, output.status))
    }

    /// What a script printed, `check NAME ... ok` or `check NAME ... FAILED` for each check; its status says the same.
    pub(crate) fn of(output: &str, status: ExitStatus) -> Self {
        let count =
            |ending: &str| output.lines().filter(|line| line.starts_with("check ") && line.contains(ending)).count();
        let mut outcome = Self { passed: count(" ... ok"), failed: count(" ... FAILED"), ignored: 0 };
        if !status.success() && outcome.failed == 0 || outcome.passed + outcome.failed == 0 {
            // It ended without a word about any check, or between two of them.
            outcome.failed += 1;
        }
        outcome
    }

    pub(crate) fn add(&mut self, more: Self) {
        let Self { passed, failed, ignored } = more;
        self.passed += passed;
        self.failed += failed;
        self.ignored += ignored;
    }
}

/// What the scripts share.
const SHARED: [&str; 6] = ["agents.py", "handing_in.py", "harness.py", "openid.py", "self_signed.py", "visitors.py"];

/// The scripts that need a program which may be missing without anything being wrong.
const MOSQUITTO_SCRIPTS: [&str; 2] = ["mosquitto_clients", "sensor_mqtt"];

/// The script that needs a program with another feature.
const TRACES_SCRIPT: &str = "traces";

/// Runs the scripts whose names contain `filter`, each to its end.
pub(crate) fn run(filter: &str) -> anyhow::Result<ClientOutcome> {
    PythonTools::Clients.install()?;
    tools::need_curl()?;
    tools::need_telnet()?;
    tools::need_smb_clients()?;
    tools::need_busybox()?;
    tools::need_ip()?;
    tools::need_datagram_clients()?;
    tools::need_openssl()?;
    tools::need_upnpc()?;
    tools::need_nmap()?;
    tools::need_ffmpeg()?;
    tools::need_remote_clients()?;
    tools::need_file_servers()?;
    tools::need_chromium()?;
    tools::need_rsyslog()?;
    let scratch = demo::emptied(&workspace::runs().join("client-checks"))?;
    let mut total = ClientOutcome::default();
    for script in scripts(filter)? {
        interrupt::check()?;
        let name = script.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        if MOSQUITTO_SCRIPTS.contains(&name.as_str()) && !tools::has_mosquitto_clients() {
            println!("client check {name} ... ignored, its program is not installed");
            total.ignored += 1;
            continue;
        }
        let program = match name.as_str() {
            TRACES_SCRIPT => workspace::build_komainu_with_traces()?,
            _ => workspace::komainu(),
        };
        total.add(run_script(&script, &name, &program, &scratch)?);
    }
    Ok(total)
}

/// All scripts in the order of their names. `harness.py` is what they share.
fn scripts(filter: &str) -> anyhow::Result<Vec<PathBuf>> {
    let folder = workspace::root().join("tests/clients");
    let mut scripts: Vec<PathBuf> = fs::read_dir(&folder)
        .with_context(|| format!("cannot list {}", folder.display()))?
        .flatten()
        .map(|e| e.path())
        .collect();
    scripts.retain(|path| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        name.ends_with(".py") && !SHARED.contains(&name.as_ref()) && name.contains(filter)
    });
    if scripts.is_empty() {
        bail!("no script of tests/clients has {filter:?} in its name");
    }
    scripts.sort();
    Ok(scripts)
}

fn run_script(script: &Path, name: &str, program: &Path, scratch: &Path) -> anyhow::Result<ClientOutcome> {
    let started = Instant::now();
    let log = scratch.join(format!("{name}.log"));
    let file = fs::File::create(&log).with_context(|| format!("cannot make {}", log.display()))?;
    let errors = file.try_clone().context("cannot share a log file")?;
    let path = std::env::var("PATH").unwrap_or_default();
    let status = Command::new(PythonTools::Clients.program("python"))
        .arg(script)
        .env("KOMAINU", program)
        .env("KOMAINU_SCRATCH", scratch.join(name))
        .env("PATH", format!("{}/bin:{path}", PythonTools::Clients.folder().display()))
        .env("PYTHONUNBUFFERED", "1")
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .stdin(Stdio::null())
        .stdout(file)
        .stderr(errors)
        .status()
        .with_context(|| format!("cannot run {}", script.display()))?;
    let output = fs::read_to_string(&log).with_context(|| format!("cannot read {}", log.display()))?;
    let outcome = ClientOutcome::of(&output, status);
    print_seconds(name, outcome, started.elapsed());
    if outcome.failed > 0 {
        println!("{output}");
    }
    Ok(outcome)
}

fn print_seconds(name: &str, outcome: ClientOutcome, took: Duration) {
    let word = if outcome.failed == 0 { "ok" } else { "FAILED" };
    println!(
        "client checks {name} ... {word}, {} passed, {} failed, {:.1} s",
        outcome.passed,
        outcome.failed,
        took.as_secs_f32()
    );
}
