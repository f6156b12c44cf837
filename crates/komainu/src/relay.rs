//! `komainu sensor` with real devices: two processes. The one that is started is the guard, which has rights and holds
//! the devices; it starts this program again as the worker, which has none and talks to strangers, and after an incident
//! as the examiner, which has none either and brings a device back.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, chown};
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, bail};
use clap::{Args, Subcommand};
use komainu_model::ApplianceIndex;
use komainu_ports::{ResetEnd, SystemClock};
use komainu_relay::{
    BaselineOutcome, ExaminerConfig, ExaminerUids, GuardConfig, Inventory, Operator, WorkerUser, give_up_rights, guard,
};

use crate::config::Config;
use crate::serve::Stop;
use crate::{DataArgs, read_config, sensor};

/// The flag by which the guard makes this program the worker. It works with what the guard hands it and without rights.
pub(crate) const WORKER_FLAG: &str = "relay-worker";

/// The flag by which this program becomes the examiner.
pub(crate) const EXAMINER_FLAG: &str = "relay-examiner";

/// What may be wrong when a command fails.
const FOLDER_HINT: &str = "the command was not carried out whole (--data must name the data folder of the sensor)";

/// As whom the worker runs unless the configuration says otherwise.
const UNPRIVILEGED_USER: &str = "nobody";

#[derive(Debug, Subcommand)]
pub(crate) enum RelayCommand {
    /// Print the packet filter rules that hold the devices, for `nft -f`: for a start of the machine without a gap.
    Rules {
        #[command(flatten)]
        folder: DataArgs,
    },
    /// Remove the packet filter rules. Nothing holds the devices then: take them off the network first.
    Down,
    /// Close every way to and from a device.
    Quarantine(DeviceArgs),
    /// End the quarantine of a device.
    Release(DeviceArgs),
    /// Bring a device back as after an incident: its actions, whether it is ready, its baseline. If all goes well, its
    /// quarantine ends.
    Reset(DeviceArgs),
    /// Compare a device with its baseline, or make one when there is none. It is closed to everybody meanwhile.
    Baseline {
        #[command(flatten)]
        device: DeviceArgs,
        /// How the device is now is its baseline from now on.
        #[arg(long)]
        accept: bool,
    },
}

#[derive(Debug, Args)]
pub(crate) struct DeviceArgs {
    /// The device's name in the inventory.
    device: String,
    #[command(flatten)]
    folder: DataArgs,
}

impl RelayCommand {
    pub(crate) fn run(&self) -> anyhow::Result<()> {
        match self {
            Self::Rules { folder } => {
                let config = read_config(folder, Vec::new())?;
                let examiner = examiner_uids(&config)?;
                print!("{}", komainu_relay::ruleset(&inventory(&config)?, examiner));
                Ok(())
            }
            Self::Down => {
                komainu_relay::need_root()?;
                Ok(komainu_relay::remove()?)
            }
            Self::Quarantine(args) => {
                let (operator, device) = args.operator()?;
                operator.quarantine(device).context(FOLDER_HINT)
            }
            Self::Release(args) => {
                let (operator, device) = args.operator()?;
                operator.release(device).context(FOLDER_HINT)
            }
            Self::Reset(args) => {
                let (operator, device) = args.operator()?;
                let end = until_stopped(operator.reset(device)).context(FOLDER_HINT)?;
                println!("{}: {}", args.device, end.as_str());
                match end {
                    ResetEnd::Released => Ok(()),
                    ResetEnd::Differs
                    | ResetEnd::Failed
                    | ResetEnd::GivenUp
                    | ResetEnd::Overtaken
                    | ResetEnd::Impossible => bail!("{} stays in quarantine", args.device),
                }
            }
            Self::Baseline { device: args, accept } => {
                let (operator, device) = args.operator()?;
                match until_stopped(operator.baseline(device, *accept)).context(FOLDER_HINT)? {
                    BaselineOutcome::Stored => println!("{}: the baseline is stored", args.device),
                    BaselineOutcome::Equal => println!("{}: as its baseline says", args.device),
                    BaselineOutcome::Differs => bail!("{} is not as its baseline says", args.device),
                }
                Ok(())
            }
        }
    }
}

impl DeviceArgs {
    /// Whoever has the rights, and the device.
    fn operator(&self) -> anyhow::Result<(Operator, ApplianceIndex)> {
        komainu_relay::need_root()?;
        let config = read_config(&self.folder, Vec::new())?;
        let inventory = inventory(&config)?;
        let device = inventory.find(&self.device);
        let device = device.with_context(|| format!("there is no device {:?} in the inventory", self.device))?;
        Ok((Operator { inventory, examiner: examiner(&config, &self.folder.data)? }, device))
    }
}

/// Waits, unless somebody wants this process to end: what is under way is ended and the device is left in quarantine.
fn until_stopped<T, E>(doing: impl Future<Output = Result<T, E>>) -> anyhow::Result<T>
where
    anyhow::Error: From<E>,
{
    current_thread()?.block_on(async {
        let mut stop = Stop::listen()?;
        tokio::select! {
            biased;
            done = doing => Ok(done?),
            () = stop.wait() => bail!("interrupted; the device stays in quarantine"),
        }
    })
}

fn current_thread() -> anyhow::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_all().build().context("cannot start the runtime")
}

fn inventory(config: &Config) -> anyhow::Result<Inventory> {
    let Some(path) = &config.sensor.devices else {
        bail!("sensor.devices is not set: name the inventory of the devices (docs/relay.md)");
    };
    Ok(Inventory::read(path)?)
}

fn examiner_uids(config: &Config) -> anyhow::Result<ExaminerUids> {
    Ok(ExaminerUids::new(config.sensor.reset_uid, worker_user(config)?.uid)?)
}

fn worker_user(config: &Config) -> anyhow::Result<WorkerUser> {
    Ok(WorkerUser::find(config.sensor.user.as_deref().unwrap_or(UNPRIVILEGED_USER))?)
}

fn examiner(config: &Config, data: &Path) -> anyhow::Result<ExaminerConfig> {
    let arguments = vec!["sensor".into(), format!("--{EXAMINER_FLAG}").into()];
    Ok(ExaminerConfig { uids: examiner_uids(config)?, arguments, data: data.to_owned() })
}

/// Holds the devices and starts the worker, until SIGTERM or SIGINT.
pub(crate) fn run_guard(config: &Config, devices: &Path, data: &Path) -> anyhow::Result<()> {
    komainu_relay::need_root()?;
    let inventory = Inventory::read(devices)?;
    let user = worker_user(config)?;
    let examiner = examiner(config, data)?;
    prepare_folder(data, user)?;
    let mut arguments: Vec<_> = std::env::args_os().skip(1).collect();
    arguments.push(format!("--{WORKER_FLAG}").into());
    current_thread()?.block_on(async {
        let mut stop = Stop::listen()?;
        let config = GuardConfig { inventory, arguments, user, examiner, clock: Arc::new(SystemClock) };
        Ok(guard(config, async move { stop.wait().await }).await?)
    })
}

/// Becomes the worker: called before there is another thread.
pub(crate) fn become_worker() -> anyhow::Result<()> {
    give_up_rights().context("cannot be the process that talks to strangers")
}

/// The folder of the sensor belongs to the worker, and nothing else of the data folder does.
fn prepare_folder(data: &Path, user: WorkerUser) -> anyhow::Result<()> {
    let folder = sensor::sensor_folder(data);
    fs::create_dir_all(data).with_context(|| format!("cannot make {}", data.display()))?;
    match DirBuilder::new().mode(0o700).create(&folder) {
        Ok(()) => chown(&folder, Some(user.uid), Some(user.gid))
            .with_context(|| format!("cannot give {} to the user of the sensor", folder.display())),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            let owner =
                fs::symlink_metadata(&folder).with_context(|| format!("cannot look at {}", folder.display()))?;
            if owner.uid() != user.uid || !owner.is_dir() {
                bail!(
                    "{0} does not belong to the user of the sensor, who has the number {1}: `chown -R {1} {0}`",
                    folder.display(),
                    user.uid
                );
            }
            Ok(())
        }
        Err(error) => Err(error).with_context(|| format!("cannot make {}", folder.display())),
    }
}
