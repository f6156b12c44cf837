//! Bringing a real device back after an incident, and finding out whether it is as it was: what the process does that
//! examines one device, without rights, and then ends.
//!
//! Everything that a device, a switch or a server says here is hostile. What is found is told as [`Finding`]s, whose
//! texts are short and printable.

mod action;
mod baseline;
mod finding;
mod poe;
mod survey;

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::path::PathBuf;
use std::time::Duration;

use komainu_model::{ExaminationTask, Examined, ReadyProbe, ResetPlan, SURVEYS_S_MAX, Secret};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout};

use self::baseline::Baseline;
pub use self::finding::Finding;
use self::finding::StepName;
pub(crate) use self::finding::{FINDINGS_MAX, LINE_BYTES_MAX};

/// How long a connection may take to stand when it is asked whether a device is ready, and how long to rest when not.
const READY_CONNECT: Duration = Duration::from_secs(2);
const READY_REST: Duration = Duration::from_millis(500);

/// How often a device is surveyed when something is missing that was there: it may still be starting.
const SURVEYS_MAX: usize = 3;
const SURVEY_REST: Duration = Duration::from_secs(10);

/// Differences that are told one by one.
const DIFFERENCES_MAX: usize = 60;

/// What is to be done with a device.
#[derive(Debug)]
pub struct ExaminationOrder {
    /// Where the device is.
    pub address: Ipv4Addr,
    /// What is to be done.
    pub task: ExaminationTask,
    /// How it is brought back.
    pub plan: ResetPlan,
    /// What is in the files that the plan names.
    pub secrets: BTreeMap<PathBuf, Secret>,
    /// How it should be, as an earlier survey wrote it.
    pub baseline: Option<String>,
}

/// What came of it.
#[derive(Debug)]
pub struct Examination {
    /// Whether the device is as it should be.
    pub examined: Examined,
    /// How it is now, when that was the task: a file for later.
    pub baseline: Option<String>,
}

/// Examines a device. `report` is told of each step when it is over.
pub async fn examine(order: &ExaminationOrder, report: &mut dyn FnMut(&Finding)) -> Examination {
    let mut baseline = None;
    let examined = match order.task {
        ExaminationTask::Reset => reset(order, report).await,
        ExaminationTask::Compare => compare(order, report).await,
        ExaminationTask::Survey => {
            let began = Instant::now();
            match surveyed(order.address).await {
                Ok(survey) => {
                    report(&Finding::ok(StepName::Baseline, began));
                    baseline = Some(survey.to_text());
                    Examined::Clean
                }
                Err(error) => {
                    report(&Finding::failed(StepName::Baseline, began, &error));
                    Examined::Failed
                }
            }
        }
    };
    Examination { examined, baseline }
}

async fn reset(order: &ExaminationOrder, report: &mut dyn FnMut(&Finding)) -> Examined {
    for step in &order.plan.actions {
        let began = Instant::now();
        let name = StepName::of(&step.action);
        match action::carry_out(step, &order.secrets).await {
            Ok(()) => report(&Finding::ok(name, began)),
            Err(error) => {
                report(&Finding::failed(name, began, &error));
                return Examined::Failed;
            }
        }
    }
    if let Some(ready) = order.plan.ready {
        let began = Instant::now();
        match wait_until_ready(order.address, ready).await {
            Ok(()) => report(&Finding::ok(StepName::Ready, began)),
            Err(error) => {
                report(&Finding::failed(StepName::Ready, began, &error));
                return Examined::Failed;
            }
        }
    }
    if order.plan.baseline { compare(order, report).await } else { Examined::Clean }
}

async fn wait_until_ready(address: Ipv4Addr, ready: ReadyProbe) -> Result<(), String> {
    sleep(Duration::from_secs(ready.delay_s.into())).await;
    let to = SocketAddrV4::new(address, ready.port);
    let taken = async {
        while !matches!(timeout(READY_CONNECT, TcpStream::connect(to)).await, Ok(Ok(_))) {
            sleep(READY_REST).await;
        }
    };
    let asked = timeout(Duration::from_secs(ready.timeout_s.into()), taken).await;
    asked.map_err(|_elapsed| format!("port {} took no connection within {} s", ready.port, ready.timeout_s))
}

/// Compares a device with its baseline.
async fn compare(order: &ExaminationOrder, report: &mut dyn FnMut(&Finding)) -> Examined {
    let began = Instant::now();
    let compared = timeout(Duration::from_secs(SURVEYS_S_MAX.into()), differences(order)).await;
    match compared {
        Ok(Ok(differences)) if differences.is_empty() => {
            report(&Finding::ok(StepName::Baseline, began));
            Examined::Clean
        }
        Ok(Ok(differences)) => {
            for difference in differences.iter().take(DIFFERENCES_MAX) {
                report(&Finding::differs(began, difference));
            }
            if let Some(more @ 1..) = differences.len().checked_sub(DIFFERENCES_MAX) {
                report(&Finding::differs(began, &format!("{more} more differences")));
            }
            Examined::Differs
        }
        Ok(Err(error)) => {
            report(&Finding::failed(StepName::Baseline, began, &error));
            Examined::Failed
        }
        Err(_elapsed) => {
            report(&Finding::failed(StepName::Baseline, began, "the device could not be surveyed in time"));
            Examined::Failed
        }
    }
}

async fn differences(order: &ExaminationOrder) -> Result<Vec<String>, String> {
    let baseline = order.baseline.as_deref().ok_or("there is no baseline")?;
    let baseline = Baseline::parse(baseline).map_err(|error| format!("the baseline cannot be read: {error}"))?;
    let mut surveys = 0;
    loop {
        let now = surveyed(order.address).await?;
        surveys += 1;
        let differences = baseline.differences(&now);
        // What is new does not go away; what is missing may still come.
        if differences.is_empty() || surveys >= SURVEYS_MAX || baseline.opens_more(&now) {
            return Ok(differences);
        }
        sleep(SURVEY_REST).await;
    }
}

async fn surveyed(address: Ipv4Addr) -> Result<Baseline, String> {
    survey::survey(address, 1..=u16::MAX).await.map_err(|error| error.to_string())
}

/// Takes bytes for what a port answers, for a line of findings, and for a baseline.
#[cfg(fuzzing)]
pub(crate) fn check_bytes(bytes: &[u8]) {
    survey::check_bytes(bytes);
    if let Some(finding) = Finding::parse(bytes) {
        let line = finding.to_line();
        assert!(line.len() < LINE_BYTES_MAX && Finding::parse(line.as_bytes()) == Some(finding));
    }
    if let Ok(baseline) = Baseline::parse(&String::from_utf8_lossy(bytes)) {
        assert!(baseline.differences(&baseline).is_empty());
    }
}

#[cfg(test)]
mod tests;
