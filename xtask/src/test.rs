//! `cargo xtask test`: every check, in the order in which they cost time.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::Context;
use clap::Args;

use crate::clients::ClientOutcome;
use crate::steps::Steps;
use crate::tools::{self, Missing, PythonTools};
use crate::{clients, codegen, demo, interrupt, lab, relay, threat, tidy, walkthrough, workspace};

/// Options of `cargo xtask test`.
#[derive(Debug, Args)]
pub(crate) struct TestArgs {
    /// Leave out what needs AWS's programs: the walkthrough, the client checks and the check of generated code.
    #[arg(long)]
    quick: bool,
    /// Run only the checks with unmodified clients whose scripts have this in their names.
    #[arg(long, value_name = "NAME", conflicts_with = "quick")]
    clients: Option<String>,
    /// Run only the walkthrough.
    #[arg(long, conflicts_with_all = ["quick", "clients"])]
    walkthrough: bool,
    /// Run only the threat demo.
    #[arg(long, conflicts_with_all = ["quick", "clients"])]
    threat: bool,
    /// Run only the checks of the relay to real devices, which need root.
    #[arg(long, conflicts_with_all = ["quick", "clients"])]
    relay: bool,
    /// Run only the checks of the laboratory whose programs have this in their names, or all of them.
    #[arg(long, value_name = "NAME", num_args = 0..=1, default_missing_value = "", conflicts_with_all = ["quick", "clients"])]
    lab: Option<String>,
}

/// Runs the stages that were asked for, all of them even when one fails, and sums up.
pub(crate) fn run(args: &TestArgs) -> anyhow::Result<ExitCode> {
    let mut stages = Stages::default();
    let is_all = !args.walkthrough && !args.threat && !args.relay && args.lab.is_none() && args.clients.is_none();
    if is_all {
        stages.cargo("formatting", &["fmt", "--all", "--check"]);
        stages.cargo("lints", &["clippy", "--workspace", "--all-targets", "--quiet", "--", "--deny", "warnings"]);
        stages.run("tidy", || Ok(tidy::run()? == ExitCode::SUCCESS));
        stages.run("programs", || tools::need_busybox().map(|()| true));
        stages.cargo("tests", &["test", "--workspace", "--no-fail-fast"]);
    }
    if !args.quick {
        stages.run("build", || workspace::build_komainu().map(|()| true));
        interrupt::listen()?;
        if is_all || args.walkthrough {
            stages.run("walkthrough", walkthrough);
        }
        if is_all || args.threat {
            stages.run("threat demo", threat_demo);
        }
        if is_all || args.relay {
            stages.run("relay", || print_outcome(relay::run()?));
        }
        if is_all || args.lab.is_some() {
            let filter = args.lab.as_deref().unwrap_or_default();
            stages.run("laboratory", || print_outcome(lab::run(filter)?));
        }
        if is_all || args.clients.is_some() {
            let filter = args.clients.as_deref().unwrap_or_default();
            stages.run("clients", || print_outcome(clients::run(filter)?));
        }
        if is_all {
            stages.run("generated code", || {
                PythonTools::Clients.install()?;
                let botocore = PythonTools::Clients.package("botocore")?;
                codegen::run(&codegen::Args::check_against(botocore)).map(|()| true)
            });
        }
    }
    Ok(stages.sum_up())
}

fn walkthrough() -> anyhow::Result<bool> {
    let networks = walkthrough::prepare()?;
    let folder = demo::emptied(&workspace::runs().join("walkthrough"))?;
    let mut steps = Steps::new();
    let outcome = walkthrough::perform(&mut steps, &folder, networks).and_then(walkthrough::Running::stop);
    print_result(steps.done(), usize::from(outcome.is_err()), 0);
    outcome.map(|()| true)
}

fn threat_demo() -> anyhow::Result<bool> {
    let folder = demo::emptied(&workspace::runs().join("threat"))?;
    let mut steps = Steps::new();
    let outcome = threat::perform(&mut steps, &folder);
    print_result(steps.done(), usize::from(outcome.is_err()), 0);
    outcome.map(|_| true)
}

fn print_outcome(outcome: ClientOutcome) -> anyhow::Result<bool> {
    print_result(outcome.passed, outcome.failed, outcome.ignored);
    Ok(outcome.failed == 0)
}

/// The line that `cargo test` ends with.
fn print_result(passed: usize, failed: usize, ignored: usize) {
    let word = if failed == 0 { "ok" } else { "FAILED" };
    println!("\ntest result: {word}. {passed} passed; {failed} failed; {ignored} ignored");
}

/// What has been run, and how it went.
#[derive(Default)]
struct Stages {
    done: Vec<Stage>,
    /// Whether a stage lacked something of this machine's.
    missing: bool,
}

struct Stage {
    name: &'static str,
    passed: bool,
    took: Duration,
}

impl Stages {
    fn cargo(&mut self, name: &'static str, arguments: &[&str]) {
        self.run(name, || {
            let status = workspace::cargo().args(arguments).status().context("cannot run cargo")?;
            Ok(status.success())
        });
    }

    fn run(&mut self, name: &'static str, act: impl FnOnce() -> anyhow::Result<bool>) {
        println!("\n=== {name}");
        let started = Instant::now();
        let passed = act().unwrap_or_else(|error| {
            println!("{error:#}");
            self.missing |= error.is::<Missing>();
            false
        });
        self.done.push(Stage { name, passed, took: started.elapsed() });
    }

    fn sum_up(&self) -> ExitCode {
        println!("\n=== summary");
        for stage in &self.done {
            let word = if stage.passed { "ok" } else { "FAILED" };
            println!("{:<16} {word:<6} {:>6} s", stage.name, stage.took.as_secs());
        }
        let failed = self.done.iter().filter(|stage| !stage.passed).count();
        print_result(self.done.len() - failed, failed, 0);
        match (failed, self.missing) {
            (0, _) => ExitCode::SUCCESS,
            (_, true) => ExitCode::from(tools::EXIT_MISSING),
            (_, false) => ExitCode::FAILURE,
        }
    }
}
