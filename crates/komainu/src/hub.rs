//! What sensors handed in: where it is kept, and the commands that show it.
//!
//! Everything lies in the folder `threat` of the data folder: records as they came, artifacts encrypted under a key
//! beside them. The commands read the files themselves, also while a server is writing them: what is there never changes.

use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, bail};
use clap::Subcommand;
use komainu_engines::{DataFolder, FolderRecords};
use komainu_model::{AccountId, Region, Scope, ThingName, Timestamp};
use komainu_ports::{IdSource, RandomIds, RecordsError, RecordsLimits, SensorArtifacts, SensorKey, SensorRecords};
use komainu_sensor::{ArtifactLimits, ArtifactStore, key_file, read_key};

use crate::admin::AdminRequest;
use crate::config::{Config, HubSection};
use crate::sensor::ArtifactsCommand;
use crate::{DataArgs, ask, read_config};

const THREAT: &str = "threat";
const RECORDS: &str = "records";
const ARTIFACTS: &str = "artifacts";
const ARTIFACTS_KEY: &str = "artifacts.key";

#[derive(Debug, Subcommand)]
pub(crate) enum SensorsCommand {
    /// List the sensors that were heard of: state, what they handed in, what they say of their health.
    List {
        #[command(flatten)]
        folder: DataArgs,
    },
    /// Print the records of a sensor, one JSON object a line, in the order in which they came.
    Records {
        /// The sensor's name.
        name: String,
        /// Only what came at this time or later, for example `2026-11-25T01:02:03Z`.
        #[arg(long, value_name = "TIME")]
        since: Option<jiff::Timestamp>,
        #[command(flatten)]
        folder: DataArgs,
    },
    /// What attackers left behind on sensors.
    #[command(subcommand)]
    Artifacts(ArtifactsCommand),
}

/// Opens what sensors handed in, or makes the folder for it.
pub(crate) fn open(
    section: &HubSection,
    folder: &DataFolder,
) -> anyhow::Result<(Arc<dyn SensorRecords>, Arc<dyn SensorArtifacts>)> {
    let threat = folder.file(THREAT);
    let limits = RecordsLimits { bytes_max: section.records_bytes_max, ..RecordsLimits::default() };
    let records = FolderRecords::open(&threat.join(RECORDS), limits).context("cannot open the records of sensors")?;
    let key = key_file(&threat.join(ARTIFACTS_KEY), &RandomIds.secret()).context("cannot make the artifacts' key")?;
    let limits = ArtifactLimits { total_bytes_max: section.artifacts_bytes_max, ..ArtifactLimits::default() };
    let artifacts =
        ArtifactStore::open(&threat.join(ARTIFACTS), &key, limits).context("cannot open the artifacts of sensors")?;
    Ok((Arc::new(records), Arc::new(artifacts)))
}

/// Carries out a command.
pub(crate) fn run(command: SensorsCommand) -> anyhow::Result<()> {
    match command {
        SensorsCommand::List { folder } => {
            print!("{}", ask(&folder, AdminRequest::ListSensors)?);
            Ok(())
        }
        SensorsCommand::Records { name, since, folder } => {
            let config = read_config(&folder, Vec::new())?;
            print_records(&config, &folder.data, &name, since)
        }
        SensorsCommand::Artifacts(command) => command.run(artifacts_to_read),
    }
}

fn print_records(config: &Config, data: &Path, name: &str, since: Option<jiff::Timestamp>) -> anyhow::Result<()> {
    let scope = Scope {
        account: AccountId::parse(&config.account.id).context("account.id")?,
        region: Region::parse(&config.account.region).context("account.region")?,
    };
    let sensor = SensorKey { scope, name: ThingName::parse(name)? };
    let Some(records) = FolderRecords::open_to_read(&data.join(THREAT).join(RECORDS))? else {
        bail!("no records in {} (has a server run on this data folder?)", data.display());
    };
    let since = since.map(|since| Timestamp::from_unix_millis(since.as_millisecond()));
    let mut out = io::stdout().lock();
    for batch in records.batches(&sensor) {
        if since.is_some_and(|since| batch.received_at < since) {
            continue;
        }
        let lines = match records.read(&batch.key) {
            Ok(lines) => lines,
            // Removed to make room since the list was made.
            Err(RecordsError::Missing { .. }) => continue,
            Err(error) => return Err(error.into()),
        };
        match out.write_all(&lines) {
            // Whoever reads has seen enough.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(()),
            written => written.context("cannot write to standard output")?,
        }
    }
    Ok(())
}

/// The store, while a server may be writing to it.
fn artifacts_to_read(data: &Path) -> anyhow::Result<ArtifactStore> {
    let threat = data.join(THREAT);
    let key_path = threat.join(ARTIFACTS_KEY);
    let key = read_key(&key_path)
        .with_context(|| format!("cannot read {} (has a server run on this data folder?)", key_path.display()))?;
    Ok(ArtifactStore::open_to_read(&threat.join(ARTIFACTS), &key, ArtifactLimits::default()))
}
