//! What sensors handed in: where it is kept, and the commands that show it.
//!
//! Everything lies in the folder `threat` of the data folder: records and captures as they came, artifacts encrypted under
//! a key beside them. The commands read the files themselves, also while a server is writing them: what is there never changes.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, bail};
use clap::Subcommand;
use komainu_engines::{DataFolder, FolderCaptures, FolderRecords, SqliteSampleStore};
use komainu_model::{AccountId, Region, Scope, ThingName, Timestamp};
use komainu_ports::{
    CapturesLimits, IdSource, RandomIds, RecordedSession, RecordsError, RecordsLimits, SampleLimits, SampleStore,
    SensorArtifacts, SensorCaptures, SensorKey, SensorRecords, StoredCapture,
};
use komainu_sensor::{ArtifactLimits, ArtifactStore, HubArtifacts, key_file, read_key};

use crate::admin::AdminRequest;
use crate::config::{Config, HubSection};
use crate::sensor::{ArtifactsCommand, confidential_mark, write_exported};
use crate::{DataArgs, ask, read_config};

const THREAT: &str = "threat";
const RECORDS: &str = "records";
const CAPTURES: &str = "captures";
pub(crate) const SAMPLES: &str = "samples.db";
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
    /// The packets of sessions with real devices.
    #[command(subcommand)]
    Captures(CapturesCommand),
}

#[derive(Debug, Subcommand)]
pub(crate) enum CapturesCommand {
    /// List them in the order in which they came: session, size, time, sensor, and whether it is confidential.
    List {
        #[command(flatten)]
        folder: DataArgs,
    },
    /// Write the packets of a session into a file, in the format pcapng.
    Export {
        /// The session's id, `session.id` in its record.
        session: String,
        /// The file to write; it must not exist.
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
        #[command(flatten)]
        folder: DataArgs,
    },
}

/// Where what sensors hand in is kept.
pub(crate) struct Handed {
    pub(crate) records: Arc<dyn SensorRecords>,
    pub(crate) artifacts: Arc<dyn SensorArtifacts>,
    pub(crate) captures: Arc<dyn SensorCaptures>,
    pub(crate) samples: Arc<dyn SampleStore>,
}

/// Opens what sensors handed in, or makes the folder for it.
pub(crate) fn open(section: &HubSection, folder: &DataFolder) -> anyhow::Result<Handed> {
    let threat = folder.file(THREAT);
    let limits = RecordsLimits { bytes_max: section.records_bytes_max, ..RecordsLimits::default() };
    let records = FolderRecords::open(&threat.join(RECORDS), limits).context("cannot open the records of sensors")?;
    let key = key_file(&threat.join(ARTIFACTS_KEY), &RandomIds.secret()).context("cannot make the artifacts' key")?;
    let limits = ArtifactLimits { total_bytes_max: section.artifacts_bytes_max, ..ArtifactLimits::default() };
    let artifacts =
        ArtifactStore::open(&threat.join(ARTIFACTS), &key, limits).context("cannot open the artifacts of sensors")?;
    let limits = CapturesLimits { bytes_max: section.captures_bytes_max, ..CapturesLimits::default() };
    let captures =
        FolderCaptures::open(&threat.join(CAPTURES), limits).context("cannot open the captures of sensors")?;
    let samples = SqliteSampleStore::open(&folder.file(SAMPLES), SampleLimits::default())
        .context("cannot open the laboratory's samples")?;
    Ok(Handed {
        records: Arc::new(records),
        artifacts: Arc::new(HubArtifacts::new(artifacts)),
        captures: Arc::new(captures),
        samples: Arc::new(samples),
    })
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
        SensorsCommand::Captures(CapturesCommand::List { folder }) => list_captures(&folder.data),
        SensorsCommand::Captures(CapturesCommand::Export { session, out, folder }) => {
            export_capture(&folder.data, &session, &out)
        }
    }
}

fn captures_to_read(data: &Path) -> anyhow::Result<FolderCaptures> {
    let captures = FolderCaptures::open_to_read(&data.join(THREAT).join(CAPTURES)).context("cannot read captures")?;
    captures.with_context(|| format!("no captures in {} (has a server run on this data folder?)", data.display()))
}

fn list_captures(data: &Path) -> anyhow::Result<()> {
    let captures = captures_to_read(data)?;
    let mut out = io::stdout().lock();
    for StoredCapture { sensor, session, confidentiality, bytes, received_at } in captures.captures() {
        let received_at = jiff::Timestamp::from_second(received_at.unix_seconds()).unwrap_or_default();
        let received_at = received_at.strftime("%Y-%m-%dT%H:%M:%SZ");
        let mark = confidential_mark(confidentiality);
        match writeln!(out, "{session}  {bytes:>10}  {received_at}  {}{mark}", sensor.name) {
            // Whoever reads has seen enough.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(()),
            written => written.context("cannot write to standard output")?,
        }
    }
    Ok(())
}

/// Writes a capture into a file; several sensors may have one of the same session only by a lie, and the first is taken.
fn export_capture(data: &Path, session: &str, out: &Path) -> anyhow::Result<()> {
    let session = RecordedSession::parse(session).with_context(|| format!("{session:?} is no id of a session"))?;
    let captures = captures_to_read(data)?;
    let found = captures.captures().into_iter().find(|capture| capture.session == session);
    let capture = found.with_context(|| format!("there is no capture of session {session}"))?;
    let pcapng = captures.read(&capture)?;
    write_exported(out, &pcapng)?;
    let StoredCapture { sensor, bytes, confidentiality, .. } = capture;
    println!("{session}  {bytes} bytes  {}  {}{}", sensor.name, out.display(), confidential_mark(confidentiality));
    Ok(())
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
