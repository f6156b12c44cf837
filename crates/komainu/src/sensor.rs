//! `komainu sensor`: personas that listen, and what they caught.
//!
//! Everything lies in the folder `sensor` of the data folder: the event logs, the artifacts, and two keys.

use std::fs::OpenOptions;
use std::io::{ErrorKind, Write};
use std::net::IpAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, anyhow, bail};
use clap::{Args, Subcommand};
use komainu_engines::DataFolder;
use komainu_ports::{Clock, IdSource, RandomIds, SystemClock};
use komainu_sensor::{
    ArtifactLimits, ArtifactStore, EventLog, Kind, Passwords, Persona, Placed, PortMapping, RecordLimits, Recorder,
    RecorderParts, Rotation, Sensor, SensorConfig, SensorError, SensorIdentity, SensorLimits, SensorPorts,
    Sha256Digest, key_file, read_key,
};

use crate::DataArgs;
use crate::config::{Config, PasswordsShown, SensorSection, Setting};
use crate::serve::{LOCK_HINT, Stop};

const ARTIFACTS: &str = "artifacts";
const ARTIFACTS_KEY: &str = "artifacts.key";
const PASSWORDS_KEY: &str = "passwords.key";

/// What to do when a port needs rights.
const PORT_HINT: &str =
    "ports below 1024 need rights: try --port-offset 10000, or `setcap cap_net_bind_service=+ep` (docs/sensors.md)";

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct SensorArgs {
    #[command(subcommand)]
    command: Option<SensorCommand>,
    /// What to pretend to be: a built-in persona (camera, recorder, router) or a TOML file, and `@ADDR` for an address
    /// of its own. May be given several times.
    #[arg(long, value_name = "NAME|FILE[@ADDR]")]
    persona: Vec<String>,
    /// The address to listen on.
    #[arg(long, value_name = "ADDR")]
    listen: Option<IpAddr>,
    /// Open each port so much higher.
    #[arg(long, value_name = "N")]
    port_offset: Option<u16>,
    #[command(flatten)]
    pub(crate) folder: DataArgs,
}

#[derive(Debug, Subcommand)]
enum SensorCommand {
    /// What attackers left behind: on a sensor, or in the captures of `komainu pcap --out DIR` with `--data DIR`.
    #[command(subcommand)]
    Artifacts(ArtifactsCommand),
}

#[derive(Debug, Subcommand)]
enum ArtifactsCommand {
    /// List artifacts: digest, bytes, when it was stored.
    List {
        #[command(flatten)]
        folder: DataArgs,
    },
    /// Decrypt an artifact into a file, and say what it is.
    Export {
        /// The SHA-256 digest of its contents, as the event logs have it.
        sha256: String,
        /// The file to make. It must not exist yet.
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
        #[command(flatten)]
        folder: DataArgs,
    },
}

impl SensorArgs {
    /// The configuration keys that flags set.
    pub(crate) fn settings(&self) -> Vec<Setting> {
        let text = |text: &String| toml::Value::String(text.clone());
        [
            (
                "sensor.personas",
                (!self.persona.is_empty()).then(|| toml::Value::Array(self.persona.iter().map(text).collect())),
            ),
            ("sensor.listen", self.listen.map(|address| toml::Value::String(address.to_string()))),
            ("sensor.port_offset", self.port_offset.map(|offset| toml::Value::Integer(offset.into()))),
        ]
        .into_iter()
        .filter_map(|(path, value)| Some((path, value?)))
        .collect()
    }

    /// Does what asks for no sensor to run; false when one is to run.
    pub(crate) fn look_into_store(&self) -> anyhow::Result<bool> {
        match &self.command {
            None => Ok(false),
            Some(SensorCommand::Artifacts(ArtifactsCommand::List { folder })) => list(&folder.data).map(|()| true),
            Some(SensorCommand::Artifacts(ArtifactsCommand::Export { sha256, out, folder })) => {
                export(&folder.data, sha256, out).map(|()| true)
            }
        }
    }
}

/// Runs a sensor until SIGTERM or SIGINT.
pub(crate) async fn run(config: Config, data: &Path) -> anyhow::Result<()> {
    let section = &config.sensor;
    let folder = DataFolder::open(&sensor_folder(data)).context(LOCK_HINT)?;
    let mut stop = Stop::listen()?;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let limits = ArtifactLimits { total_bytes_max: section.artifacts_bytes_max, ..ArtifactLimits::default() };
    let artifacts = open_artifacts(&folder, limits)?;
    let log = EventLog::to_files(
        folder.path(),
        Rotation { bytes_max: section.log_file_bytes_max, files_max: section.log_files_max },
    )
    .context("cannot open the event logs")?;
    let log = Arc::new(log);
    let recorder = Recorder::new(RecorderParts {
        log: log.clone(),
        artifacts: Some(Arc::new(artifacts)),
        sensor: SensorIdentity { id: section.id.clone(), site: section.site.clone(), country: section.country.clone() },
        passwords: passwords(&folder, section)?,
        limits: RecordLimits::default(),
    });
    let sensor = Sensor::start(
        SensorConfig {
            personas: placed(section)?,
            ports: PortMapping::Offset(section.port_offset),
            limits: SensorLimits {
                connections_max: section.connections_max,
                connections_per_source_max: section.connections_per_source_max,
                ..SensorLimits::default()
            },
        },
        SensorPorts { recorder, clock },
    )
    .map_err(with_hint)?;
    announce(&sensor, section, folder.path())?;

    stop.wait().await;
    tracing::info!("stopping");
    sensor.shutdown().await;
    log.close();
    tracing::info!("stopped");
    Ok(())
}

fn sensor_folder(data: &Path) -> PathBuf {
    data.join("sensor")
}

/// The store of a folder with records, which is made when there is none.
pub(crate) fn open_artifacts(folder: &DataFolder, limits: ArtifactLimits) -> anyhow::Result<ArtifactStore> {
    let key = key_file(&folder.file(ARTIFACTS_KEY), &RandomIds.secret()).context("cannot make the artifacts' key")?;
    ArtifactStore::open(&folder.file(ARTIFACTS), &key, limits).context("cannot open the store of artifacts")
}

fn passwords(folder: &DataFolder, section: &SensorSection) -> anyhow::Result<Passwords> {
    Ok(match section.passwords {
        PasswordsShown::Clear => Passwords::Clear,
        PasswordsShown::Hashed => hashed_passwords(folder)?,
    })
}

/// Passwords as digests under the key of a folder with records, which is made when there is none.
pub(crate) fn hashed_passwords(folder: &DataFolder) -> anyhow::Result<Passwords> {
    let key = key_file(&folder.file(PASSWORDS_KEY), &RandomIds.secret()).context("cannot make the passwords' key")?;
    Ok(Passwords::hashed(&key))
}

fn placed(section: &SensorSection) -> anyhow::Result<Vec<Placed>> {
    let mut placed = Vec::new();
    for wanted in &section.personas {
        // A file may have an `@` in its name: only what is an address is one.
        let own_address = wanted.rsplit_once('@').and_then(|(name, address)| Some((name, address.parse().ok()?)));
        let (name, address) = own_address.unwrap_or((wanted, section.listen));
        placed.push(Placed { persona: Persona::load(name)?, address });
    }
    if placed.is_empty() {
        bail!("sensor.personas is empty: name at least one, for example [\"camera\"]");
    }
    Ok(placed)
}

fn with_hint(error: SensorError) -> anyhow::Error {
    let needs_rights =
        matches!(&error, SensorError::Bind { source, .. } if source.kind() == ErrorKind::PermissionDenied);
    let error = anyhow!(error);
    if needs_rights { error.context(PORT_HINT) } else { error }
}

fn announce(sensor: &Sensor, section: &SensorSection, folder: &Path) -> anyhow::Result<()> {
    let mut lines =
        vec![format!("komainu {}, sensor `{}`, in {}", env!("CARGO_PKG_VERSION"), section.id, folder.display())];
    for open in sensor.listening() {
        let on = if open.port == open.address.port() { String::new() } else { format!("  for port {}", open.port) };
        lines.push(format!("  {:<10} {:<7} {}{on}", open.persona, open.service, open.address));
    }
    lines.push(format!("  {:<18} {}", "events", folder.join("eve.json").display()));
    lines.push(format!("  {:<18} {}", "sessions", folder.join("honeypot.json").display()));
    let mut out = std::io::stdout().lock();
    writeln!(out, "{}\nready", lines.join("\n")).and_then(|()| out.flush()).context("cannot write to standard output")
}

/// The store, while a sensor may be writing to it.
fn store_to_read(data: &Path) -> anyhow::Result<ArtifactStore> {
    // The folder that `komainu pcap --out` makes has its records at its top.
    let is_of_captures = data.join(ARTIFACTS_KEY).exists();
    let folder = if is_of_captures { data.to_owned() } else { sensor_folder(data) };
    let key_path = folder.join(ARTIFACTS_KEY);
    let key = read_key(&key_path)
        .with_context(|| format!("cannot read {} (has a sensor run on this data folder?)", key_path.display()))?;
    Ok(ArtifactStore::open_to_read(&folder.join(ARTIFACTS), &key, ArtifactLimits::default()))
}

fn list(data: &Path) -> anyhow::Result<()> {
    let artifacts = store_to_read(data)?.list().context("cannot list the artifacts")?;
    let mut out = std::io::stdout().lock();
    for artifact in artifacts {
        let stored_at = artifact.stored_at.and_then(|at| jiff::Timestamp::try_from(at).ok());
        let stored_at = stored_at.map_or("-".to_owned(), |at| at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string());
        writeln!(out, "{}  {:>10}  {stored_at}", artifact.sha256, artifact.bytes)
            .context("cannot write to standard output")?;
    }
    Ok(())
}

fn export(data: &Path, sha256: &str, out: &Path) -> anyhow::Result<()> {
    let sha256 = Sha256Digest::parse(sha256).with_context(|| format!("{sha256:?} is no SHA-256 digest"))?;
    let contents = store_to_read(data)?.read(sha256)?;
    // Never executable, and never over something that is there.
    OpenOptions::new()
        .create_new(true)
        .write(true)
        .mode(0o600)
        .open(out)
        .and_then(|mut file| file.write_all(&contents))
        .with_context(|| format!("cannot write {}", out.display()))?;
    println!("{sha256}  {} bytes  {}  {}", contents.len(), Kind::of(&contents), out.display());
    println!("this is what an attacker left: treat it as dangerous");
    Ok(())
}
