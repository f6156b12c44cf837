//! `komainu sensor share`: what a sensor knows of the shared folders of real devices.

use std::io::Write;

use anyhow::Context;
use clap::Subcommand;
use komainu_model::ApplianceName;
use komainu_sensor::known_shares;

use crate::DataArgs;
use crate::sensor::{SHARES, sensor_folder};

#[derive(Debug, Subcommand)]
pub(crate) enum ShareCommand {
    /// List the files of a device as the sensor saw them last: SHA-256, bytes, path; and a digest of the whole list.
    List {
        /// The device's name in the inventory.
        device: String,
        #[command(flatten)]
        folder: DataArgs,
    },
}

impl ShareCommand {
    pub(crate) fn run(&self) -> anyhow::Result<()> {
        let Self::List { device, folder } = self;
        let name = ApplianceName::parse(device).with_context(|| format!("{device:?} is no name of a device"))?;
        let listing = known_shares(&sensor_folder(&folder.data).join(SHARES), &name)?
            .with_context(|| format!("the shared folders of {device} were never seen"))?;
        let mut out = std::io::stdout().lock();
        for (path, file) in &listing.files {
            let sha256 = file.sha256.map_or("-".to_owned(), |sha256| sha256.to_string());
            // A device or a stranger chose the name.
            writeln!(out, "{sha256:<64}  {:>10}  {}", file.bytes, path.escape_debug())
                .context("cannot write to standard output")?;
        }
        writeln!(out, "{} files, digest {}", listing.files.len(), listing.digest())
            .context("cannot write to standard output")
    }
}
