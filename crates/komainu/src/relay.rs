//! `komainu sensor` with real devices: two processes. The one that is started is the guard, which has rights and holds
//! the devices; it starts this program again as the worker, which has none and talks to strangers.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, chown};
use std::path::Path;

use anyhow::{Context, bail};
use clap::Subcommand;
use komainu_model::Appliance;
use komainu_relay::{GuardConfig, Inventory, WorkerUser, give_up_rights, guard};

use crate::config::Config;
use crate::serve::Stop;
use crate::{DataArgs, read_config, sensor};

/// The flag by which the guard makes this program the worker. It works with what the guard hands it and without rights.
pub(crate) const WORKER_FLAG: &str = "relay-worker";

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
    Quarantine {
        /// The device's name in the inventory.
        device: String,
        #[command(flatten)]
        folder: DataArgs,
    },
    /// End the quarantine of a device.
    Release {
        /// The device's name in the inventory.
        device: String,
        #[command(flatten)]
        folder: DataArgs,
    },
}

impl RelayCommand {
    pub(crate) fn run(&self) -> anyhow::Result<()> {
        match self {
            Self::Rules { folder } => {
                print!("{}", komainu_relay::ruleset(&inventory(folder)?, &[].into()));
                Ok(())
            }
            Self::Down => {
                komainu_relay::need_root()?;
                Ok(komainu_relay::remove()?)
            }
            Self::Quarantine { device, folder } => {
                komainu_relay::need_root()?;
                Ok(komainu_relay::quarantine(find(&inventory(folder)?, device)?)?)
            }
            Self::Release { device, folder } => {
                komainu_relay::need_root()?;
                Ok(komainu_relay::release(find(&inventory(folder)?, device)?)?)
            }
        }
    }
}

fn inventory(folder: &DataArgs) -> anyhow::Result<Inventory> {
    let config = read_config(folder, Vec::new())?;
    let Some(path) = &config.sensor.devices else {
        bail!("sensor.devices is not set: name the inventory of the devices (docs/relay.md)");
    };
    Ok(Inventory::read(path)?)
}

fn find<'a>(inventory: &'a Inventory, name: &str) -> anyhow::Result<&'a Appliance> {
    let found = inventory.devices().iter().find(|device| device.name.as_str() == name);
    found.with_context(|| format!("there is no device {name:?} in the inventory"))
}

/// Holds the devices and starts the worker, until SIGTERM or SIGINT.
pub(crate) fn run_guard(config: &Config, devices: &Path, data: &Path) -> anyhow::Result<()> {
    komainu_relay::need_root()?;
    let inventory = Inventory::read(devices)?;
    let user = WorkerUser::find(config.sensor.user.as_deref().unwrap_or(UNPRIVILEGED_USER))?;
    prepare_folder(data, user)?;
    let mut arguments: Vec<_> = std::env::args_os().skip(1).collect();
    arguments.push(format!("--{WORKER_FLAG}").into());
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().context("cannot start the runtime")?;
    runtime.block_on(async {
        let mut stop = Stop::listen()?;
        Ok(guard(GuardConfig { inventory, arguments, user }, async move { stop.wait().await }).await?)
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
