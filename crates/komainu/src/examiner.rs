//! The process that examines one device: without rights, started by whoever holds them, ended with its standard input.

use std::io::{self, Write};
use std::process::ExitCode;

use anyhow::Context;
use komainu_model::{ExaminationTask, Examined};
use komainu_relay::{Assignment, give_up_rights};
use komainu_sensor::{ExaminationOrder, Finding, examine};
use tokio::sync::oneshot;

/// Does what standard input says. The exit status is that of [`Examined`].
pub(crate) fn run() -> anyhow::Result<ExitCode> {
    give_up_rights().context("cannot be the process that examines a device")?;
    let assignment = Assignment::read(&mut io::stdin().lock()).context("cannot read what is to be examined")?;
    let (is_shown, task) = (assignment.is_shown, assignment.task);
    let order = ExaminationOrder {
        address: assignment.address,
        task: assignment.task,
        plan: assignment.plan,
        secrets: assignment.secrets,
        baseline: assignment.baseline,
    };
    let gone = watch_stdin()?;
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().context("cannot start the runtime")?;
    // Whether somebody still listens is nothing that what is done depends on.
    let mut report = |finding: &Finding| match task {
        // The baseline goes to standard output.
        ExaminationTask::Survey => drop(writeln!(io::stderr(), "{finding}")),
        ExaminationTask::Reset | ExaminationTask::Compare if is_shown => drop(writeln!(io::stdout(), "{finding}")),
        ExaminationTask::Reset | ExaminationTask::Compare => drop(writeln!(io::stdout(), "{}", finding.to_line())),
    };
    let examination = runtime.block_on(async {
        tokio::select! {
            biased;
            // Dropping what is under way ends the programs that it has started.
            _ = gone => None,
            examination = examine(&order, &mut report) => Some(examination),
        }
    });
    let Some(examination) = examination else { return Ok(ExitCode::from(Examined::Failed.exit_status())) };
    if let Some(baseline) = examination.baseline {
        io::stdout().write_all(baseline.as_bytes()).context("cannot hand on the baseline")?;
    }
    Ok(ExitCode::from(examination.examined.exit_status()))
}

/// Resolves when standard input ends: whoever started this process is gone.
fn watch_stdin() -> anyhow::Result<oneshot::Receiver<()>> {
    let (ended, has_ended) = oneshot::channel();
    std::thread::Builder::new()
        .name("komainu-examiner".into())
        .spawn(move || {
            let _ = io::copy(&mut io::stdin().lock(), &mut io::sink());
            let _ = ended.send(());
        })
        .context("cannot watch the standard input")?;
    Ok(has_ended)
}
