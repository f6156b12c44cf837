//! Examining a device: a process without rights brings it back, asks whether it is ready, and compares it with its
//! baseline. Here is what starts that process, opens the way to the device for it alone, and ends both. Nothing of what
//! it hears or says is read here but its exit status; a new baseline is stored as it comes.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, PipeReader, PipeWriter, Read};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use komainu_model::{Appliance, ApplianceIndex, ExaminationTask, Examined, ResetPlan, Secret};
use komainu_ports::{Clock, ResetEnd};
use tokio::io::AsyncWriteExt;
use tokio::process::Command;
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};
use tracing::{error, info, warn};

use crate::assignment::Assignment;
use crate::events;
use crate::guard::PROGRAM;
use crate::ledger::{Ledger, private_folder, replace};
use crate::network::{self, NetworkError};
use crate::rights::{ExaminerUids, WorkerUser, end_processes};

/// Bytes of a baseline: what 256 open ports say, escaped.
const BASELINE_BYTES_MAX: u64 = 1024 * 1024;

/// Bytes of a secret.
const SECRET_BYTES_MAX: u64 = 8 * 1024;

/// How long to wait until a reset that failed is tried again: a switch may start anew, a device may need to cool down.
const RETRY: Duration = Duration::from_secs(60);

/// The only thing that is left of the environment: where a command finds what it calls.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Who examines, and where it is written down.
#[derive(Debug, Clone)]
pub struct ExaminerConfig {
    /// As whom.
    pub uids: ExaminerUids,
    /// The arguments with which this program examines.
    pub arguments: Vec<OsString>,
    /// The data folder. It must exist.
    pub data: PathBuf,
}

/// Why a device could not be examined.
#[derive(Debug, thiserror::Error)]
pub enum ExaminationError {
    /// The network could not be changed.
    #[error("cannot open the way to the device")]
    Network(#[from] NetworkError),
    /// A file could not be read or written.
    #[error("cannot use {}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why it failed.
        #[source]
        source: io::Error,
    },
    /// The process could not be run.
    #[error("cannot run the process that examines")]
    Process(#[source] io::Error),
    /// Another process is at it.
    #[error("the device is being examined already")]
    Busy,
    /// There is no baseline to compare with.
    #[error("the device has no baseline: `komainu sensor relay baseline` makes one")]
    NoBaseline,
    /// The process that examines has made no baseline.
    #[error("no baseline could be made")]
    NotSurveyed,
}

/// The device and its plan.
#[derive(Debug, Clone)]
pub(crate) struct Case {
    pub(crate) index: ApplianceIndex,
    pub(crate) device: Appliance,
    pub(crate) plan: ResetPlan,
}

/// What is begun with a device after an incident, for whoever tells of it.
#[derive(Debug)]
pub(crate) struct Begun {
    pub(crate) findings: PipeReader,
}

/// Where an examination's findings go.
enum Output {
    /// To standard output, for people.
    Shown,
    /// Into a pipe.
    Handed(PipeWriter),
}

/// While it lives, only the examiner reaches the device.
struct OpenWay<'a> {
    device: &'a Appliance,
    user: WorkerUser,
}

impl<'a> OpenWay<'a> {
    fn open(device: &'a Appliance, user: WorkerUser) -> Result<Self, ExaminationError> {
        // What an examination left behind whose end nobody saw.
        end_processes(user).map_err(ExaminationError::Process)?;
        network::begin_examination(device)?;
        Ok(Self { device, user })
    }
}

impl Drop for OpenWay<'_> {
    fn drop(&mut self) {
        let device = &self.device.name;
        if let Err(error) = end_processes(self.user) {
            error!(event = events::EXAMINATION_NOT_ENDED, %device, %error, "what the examiner left behind still runs");
        }
        if let Err(error) = network::end_examination(self.device) {
            error!(event = events::EXAMINATION_NOT_ENDED, %device, %error, "the way of the examiner stays open");
        }
    }
}

/// Resets a device until it went well, or must not be tried again, and ends its quarantine if it went well. `begun` is
/// told of each attempt.
pub(crate) async fn reset_after_incident(
    config: Arc<ExaminerConfig>,
    clock: Arc<dyn Clock>,
    case: Case,
    begun: mpsc::Sender<Begun>,
) -> ResetEnd {
    let device = &case.device.name;
    loop {
        let attempted = attempt(&config, &*clock, &case, &begun).await;
        let end = match attempted {
            Ok(end) => end,
            Err(error) => {
                error!(event = events::RESET_IMPOSSIBLE, %device, error = &error as &dyn std::error::Error, "device cannot be reset");
                ResetEnd::Impossible
            }
        };
        let outcome = end.as_str();
        match end {
            ResetEnd::Released => info!(event = events::RESET_ENDED, %device, outcome, "device was reset and released"),
            ResetEnd::Failed => {
                warn!(event = events::RESET_ENDED, %device, outcome, "reset has failed and will be tried again");
                sleep(RETRY).await;
                continue;
            }
            ResetEnd::Differs | ResetEnd::GivenUp | ResetEnd::Overtaken | ResetEnd::Impossible => {
                warn!(event = events::RESET_ENDED, %device, outcome, "device stays in quarantine");
            }
        }
        return end;
    }
}

async fn attempt(
    config: &ExaminerConfig,
    clock: &dyn Clock,
    case: &Case,
    begun: &mpsc::Sender<Begun>,
) -> Result<ResetEnd, ExaminationError> {
    let name = &case.device.name;
    let ledger = ledger(config)?;
    let Some(_alone) = ledger.examine(name).map_err(|source| config.unusable("resets", source))? else {
        return Ok(ResetEnd::Overtaken);
    };
    let attempts_max = case.plan.attempts_per_day;
    let (is_wanted, generation, has_room) = ledger
        .with(name, |standing| {
            let is_wanted = standing.is_wanted;
            let has_room = is_wanted && standing.try_attempt(clock.now(), attempts_max);
            // Nobody is to begin it anew.
            standing.is_wanted = has_room;
            (is_wanted, standing.generation, has_room)
        })
        .map_err(|source| config.unusable("resets", source))?;
    if !is_wanted {
        return Ok(ResetEnd::Overtaken);
    }
    if !has_room {
        return Ok(ResetEnd::GivenUp);
    }
    let baseline = config.read_baseline(case)?;
    info!(event = events::RESET_BEGUN, device = %name, "device is reset");
    let (findings, told) = io::pipe().map_err(ExaminationError::Process)?;
    // Whoever listened is gone with the guard.
    let _ = begun.send(Begun { findings }).await;
    match examine(config, case, ExaminationTask::Reset, baseline, Output::Handed(told)).await? {
        Examined::Clean => release_unless_overtaken(&ledger, config, case, generation),
        Examined::Differs => {
            let settled = ledger.with(name, |standing| standing.is_wanted = false);
            settled.map_err(|source| config.unusable("resets", source))?;
            Ok(ResetEnd::Differs)
        }
        Examined::Failed => {
            let may_retry = ledger.with(name, |standing| {
                standing.is_wanted &= standing.may_attempt(clock.now(), attempts_max);
                standing.is_wanted
            });
            let may_retry = may_retry.map_err(|source| config.unusable("resets", source))?;
            Ok(if may_retry { ResetEnd::Failed } else { ResetEnd::GivenUp })
        }
    }
}

/// Ends a quarantine unless somebody has begun or ended one since `generation`.
fn release_unless_overtaken(
    ledger: &Ledger,
    config: &ExaminerConfig,
    case: &Case,
    generation: u64,
) -> Result<ResetEnd, ExaminationError> {
    let released = ledger
        .with(&case.device.name, |standing| {
            if standing.generation != generation {
                return Ok(ResetEnd::Overtaken);
            }
            network::release(&case.device)?;
            standing.is_wanted = false;
            Ok(ResetEnd::Released)
        })
        .map_err(|source| config.unusable("resets", source))?;
    released.map_err(ExaminationError::Network)
}

/// Resets a device at an operator's word, shows the steps, and ends the quarantine if it went well.
pub(crate) async fn reset_by_hand(config: &ExaminerConfig, case: &Case) -> Result<ResetEnd, ExaminationError> {
    let ledger = ledger(config)?;
    let alone = ledger.examine(&case.device.name).map_err(|source| config.unusable("resets", source))?;
    let _alone = alone.ok_or(ExaminationError::Busy)?;
    let generation = ledger
        .with(&case.device.name, |standing| {
            // What an operator does, needs not be done again.
            standing.is_wanted = false;
            standing.generation
        })
        .map_err(|source| config.unusable("resets", source))?;
    let baseline = config.read_baseline(case)?;
    match examine(config, case, ExaminationTask::Reset, baseline, Output::Shown).await? {
        Examined::Clean => release_unless_overtaken(&ledger, config, case, generation),
        Examined::Differs => Ok(ResetEnd::Differs),
        Examined::Failed => Ok(ResetEnd::Failed),
    }
}

/// What became of a baseline.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BaselineOutcome {
    /// It was stored.
    Stored,
    /// The device is as it says.
    Equal,
    /// The device differs, or could not be asked.
    Differs,
}

/// Compares a device with its baseline, or makes one: when there is none, or `make_anew`. A device that strangers reach
/// is closed meanwhile.
pub(crate) async fn baseline_by_hand(
    config: &ExaminerConfig,
    case: &Case,
    was_quarantined: bool,
    make_anew: bool,
) -> Result<BaselineOutcome, ExaminationError> {
    let name = &case.device.name;
    let ledger = ledger(config)?;
    let alone = ledger.examine(name).map_err(|source| config.unusable("resets", source))?;
    let _alone = alone.ok_or(ExaminationError::Busy)?;
    let generation =
        ledger.with(name, |standing| standing.generation).map_err(|source| config.unusable("resets", source))?;
    let path = config.baseline_path(case)?;
    let outcome =
        if path.exists() && !make_anew { compare(config, case).await } else { survey(config, case, &path).await };
    // Whatever came of it: the device is as closed as it was.
    if !was_quarantined {
        release_unless_overtaken(&ledger, config, case, generation)?;
    }
    outcome
}

async fn compare(config: &ExaminerConfig, case: &Case) -> Result<BaselineOutcome, ExaminationError> {
    let case = Case { plan: ResetPlan::default(), ..case.clone() };
    let baseline = config.read_baseline(&case)?;
    Ok(match examine(config, &case, ExaminationTask::Compare, baseline, Output::Shown).await? {
        Examined::Clean => BaselineOutcome::Equal,
        Examined::Differs | Examined::Failed => BaselineOutcome::Differs,
    })
}

/// Has a device surveyed and stores what comes, unread.
async fn survey(config: &ExaminerConfig, case: &Case, path: &Path) -> Result<BaselineOutcome, ExaminationError> {
    let (mut said, told) = io::pipe().map_err(ExaminationError::Process)?;
    let reading = tokio::task::spawn_blocking(move || {
        let mut baseline = Vec::new();
        (&mut said).take(BASELINE_BYTES_MAX + 1).read_to_end(&mut baseline).map(|_| baseline)
    });
    let case = Case { plan: ResetPlan::default(), ..case.clone() };
    let examined = examine(config, &case, ExaminationTask::Survey, None, Output::Handed(told)).await?;
    let baseline = reading.await.map_err(io::Error::other).and_then(|read| read).map_err(ExaminationError::Process)?;
    let is_whole = !baseline.is_empty() && baseline.len() as u64 <= BASELINE_BYTES_MAX;
    if examined != Examined::Clean || !is_whole {
        return Err(ExaminationError::NotSurveyed);
    }
    replace(path, &baseline).map_err(|source| ExaminationError::File { path: path.to_owned(), source })?;
    Ok(BaselineOutcome::Stored)
}

/// Has a process without rights examine a device, for no longer than it may take.
async fn examine(
    config: &ExaminerConfig,
    case: &Case,
    task: ExaminationTask,
    baseline: Option<String>,
    output: Output,
) -> Result<Examined, ExaminationError> {
    let assignment = Assignment {
        device: case.device.name.clone(),
        address: case.device.address,
        task,
        is_shown: matches!(output, Output::Shown),
        secrets: secrets(&case.plan)?,
        plan: case.plan.clone(),
        baseline,
    };
    let user = config.uids.of(case.index);
    let _way = OpenWay::open(&case.device, user)?;
    let stdout = match output {
        Output::Shown => Stdio::inherit(),
        Output::Handed(pipe) => Stdio::from(pipe),
    };
    let mut command = Command::new(PROGRAM);
    command.args(&config.arguments).env_clear().env("PATH", PATH).current_dir("/").stdin(Stdio::piped()).stdout(stdout);
    let child = command.uid(user.uid).gid(user.gid).kill_on_drop(true).spawn();
    let mut child = child.map_err(ExaminationError::Process)?;
    // What `command` holds of the output would keep the reader waiting.
    drop(command);
    let mut stdin = child.stdin.take();
    let watched = async {
        if let Some(stdin) = &mut stdin {
            // One that has ended at once says so by its status.
            let _ = stdin.write_all(&assignment.to_line()).await;
        }
        child.wait().await
    };
    let status = timeout(Duration::from_secs(case.plan.time_s_max()), watched).await;
    // It ends with its standard input, whatever it does.
    drop(stdin);
    match status {
        Ok(status) => Ok(Examined::of_exit_status(status.map_err(ExaminationError::Process)?.code())),
        Err(_elapsed) => {
            let device = &case.device.name;
            warn!(event = events::EXAMINER_KILLED, %device, "the process that examines took too long and was ended");
            let _ = child.kill().await;
            Ok(Examined::Failed)
        }
    }
}

/// What is in the files that a plan names.
pub(crate) fn secrets(plan: &ResetPlan) -> Result<BTreeMap<PathBuf, Secret>, ExaminationError> {
    let mut secrets = BTreeMap::new();
    for path in plan.secret_files() {
        let secret = read_bounded(path, SECRET_BYTES_MAX);
        let secret = secret.map_err(|source| ExaminationError::File { path: path.to_owned(), source })?;
        // Editors end files with a new line.
        secrets.insert(path.to_owned(), Secret::new(secret.trim_end_matches(['\r', '\n']).to_owned()));
    }
    Ok(secrets)
}

fn read_bounded(path: &Path, bytes_max: u64) -> io::Result<String> {
    let mut text = String::new();
    File::open(path)?.take(bytes_max + 1).read_to_string(&mut text)?;
    if text.len() as u64 > bytes_max { Err(io::ErrorKind::FileTooLarge.into()) } else { Ok(text) }
}

fn ledger(config: &ExaminerConfig) -> Result<Ledger, ExaminationError> {
    Ledger::open(&config.data).map_err(|source| config.unusable("resets", source))
}

impl ExaminerConfig {
    fn unusable(&self, folder: &str, source: io::Error) -> ExaminationError {
        ExaminationError::File { path: self.data.join(folder), source }
    }

    fn baseline_path(&self, case: &Case) -> Result<PathBuf, ExaminationError> {
        let folder = private_folder(&self.data, "baselines").map_err(|source| self.unusable("baselines", source))?;
        Ok(folder.join(format!("{}.json", case.device.name)))
    }

    /// The baseline of a device, when its plan wants one. Nothing is done with a device that could not be released.
    fn read_baseline(&self, case: &Case) -> Result<Option<String>, ExaminationError> {
        if !case.plan.baseline {
            return Ok(None);
        }
        let path = self.baseline_path(case)?;
        match read_bounded(&path, BASELINE_BYTES_MAX) {
            Ok(baseline) => Ok(Some(baseline)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Err(ExaminationError::NoBaseline),
            Err(source) => Err(ExaminationError::File { path, source }),
        }
    }
}
