//! `komainu sensor`: personas that listen, and what they caught.
//!
//! Everything lies in the folder `sensor` of the data folder: the event logs, the artifacts, keys, and the
//! captures of sessions, and with a hub the records that wait for it.

use std::fs::OpenOptions;
use std::future::pending;
use std::io::{ErrorKind, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::UNIX_EPOCH;

use anyhow::{Context, anyhow, bail};
use clap::{Args, Subcommand};
use komainu_engines::DataFolder;
use komainu_model::{Confidentiality, ThingName, Timestamp};
use komainu_ports::{Clock, DeviceGate, IdSource, RandomIds, SystemClock};
use komainu_relay::Worker;
use komainu_sensor::{
    AddressPolicy, ArtifactLimits, ArtifactStore, CaptureConfig, CaptureStore, EventLog, FetchConfig, FetchLimits,
    FetchMode, FetchPorts, Fetcher, Health, Kind, Listening, OnIncident, OutpostsConfig, Passwords, Persona, Placed,
    PortMapping, Proxy, RECORDED_PORTS, RecordLimits, RecordPlan, Recorder, RecorderParts, Relay, RelayConfig,
    RelayPorts, Rotation, ScanThread, Sensor, SensorConfig, SensorError, SensorIdentity, SensorLimits, SensorPorts,
    Sha256Digest, Spool, SystemResolver, Uplink, UplinkConfig, UplinkPorts, key_file, read_key, record_persona,
};
use tokio::sync::oneshot;

use crate::DataArgs;
use crate::captures::CapturesCommand;
use crate::classify::{self, Loaded};
use crate::config::{Config, FetchWay, HubLink, OnIncidentSetting, PasswordsShown, SensorSection, Setting};
use crate::outpost::OutpostArgs;
use crate::relay::RelayCommand;
use crate::serve::{LOCK_HINT, Stop};
use crate::share::ShareCommand;
use crate::yara::{self, Scanning, YaraCommand};

const ARTIFACTS: &str = "artifacts";
const ARTIFACTS_KEY: &str = "artifacts.key";
const PASSWORDS_KEY: &str = "passwords.key";
const SPOOL: &str = "spool";
const KEYS: &str = "keys";
pub(crate) const SESSION_CAPTURES: &str = "captures/sessions";
pub(crate) const RINGS: &str = "captures/devices";
pub(crate) const SHARES: &str = "shares";

/// What to do when a port needs rights.
const PORT_HINT: &str =
    "ports below 1024 need rights: try --port-offset 10000, or `setcap cap_net_bind_service=+ep` (docs/sensors.md)";

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct SensorArgs {
    #[command(subcommand)]
    command: Option<SensorCommand>,
    /// What to pretend to be: a built-in persona (camera, intercom, nas, recorder, router) or a TOML file, and `@ADDR` for
    /// an address of its own. May be given several times.
    #[arg(long, value_name = "NAME|FILE[@ADDR]")]
    persona: Vec<String>,
    /// The address to listen on.
    #[arg(long, value_name = "ADDR")]
    listen: Option<IpAddr>,
    /// Its name in its records; with a hub, the name under which it was enrolled.
    #[arg(long, value_name = "NAME")]
    id: Option<String>,
    /// Send the records to a hub: the TLS listener of a `komainu serve`. Needs `--cert`, `--key` and `--ca`.
    #[arg(long, value_name = "HOST:PORT")]
    hub: Option<String>,
    /// The certificate that `komainu enroll NAME --sensor` wrote.
    #[arg(long, value_name = "FILE")]
    cert: Option<PathBuf>,
    /// Its key.
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,
    /// The hub's root certificate.
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// As `komainu serve` starts it: it ends when its standard input does, and can get no rights that it does not have
    /// when it starts.
    #[arg(long)]
    pub(crate) supervised: bool,
    /// Open each port so much higher.
    #[arg(long, value_name = "N")]
    port_offset: Option<u16>,
    /// The process that talks to strangers for real devices; only the one that has rights starts it.
    #[arg(long = crate::relay::WORKER_FLAG, hide = true)]
    relay_worker: bool,
    /// The process that examines a device; only the one that has rights starts it.
    #[arg(long = crate::relay::EXAMINER_FLAG, hide = true)]
    relay_examiner: bool,
    #[command(flatten)]
    pub(crate) folder: DataArgs,
}

#[derive(Debug, Subcommand)]
enum SensorCommand {
    /// What attackers left behind: on a sensor, or in the captures of `komainu pcap --out DIR` with `--data DIR`.
    #[command(subcommand)]
    Artifacts(ArtifactsCommand),
    /// What went over the wires of real devices, as pcapng files.
    #[command(subcommand)]
    Captures(CapturesCommand),
    /// Rules in Suricata's language, as `sensor.rules` and `komainu pcap --rules` take them.
    #[command(subcommand)]
    Rules(RulesCommand),
    /// Rules of YARA, as `sensor.yara` and `komainu pcap --yara` take them.
    #[command(subcommand)]
    Yara(YaraCommand),
    /// Make a persona from a device of your own, by asking it as any client would.
    Record(RecordArgs),
    /// What holds the real devices behind a sensor.
    #[command(subcommand)]
    Relay(RelayCommand),
    /// What is in the shared folders of the real devices behind a sensor.
    #[command(subcommand)]
    Share(ShareCommand),
    /// Carry strangers who call here to the real devices of a sensor elsewhere.
    Outpost(OutpostArgs),
}

#[derive(Debug, Subcommand)]
enum RulesCommand {
    /// Say which rules are taken, and why others are not.
    Check {
        /// Files with rules.
        #[arg(required = true, value_name = "FILE")]
        files: Vec<PathBuf>,
    },
}

#[derive(Debug, Args)]
struct RecordArgs {
    /// The device's address.
    address: IpAddr,
    /// The folder to make, with `persona.toml` and the files that it names.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// The ports to ask, separated by commas; without it, those of the usual protocols of devices.
    #[arg(long, value_name = "PORT,…", value_delimiter = ',')]
    ports: Vec<u16>,
    /// Where to ask for the device's description (SSDP, by UDP); 0 does not.
    #[arg(long, value_name = "PORT", default_value_t = 1900)]
    ssdp_port: u16,
    /// What the persona is called: a word.
    #[arg(long, value_name = "NAME", default_value = "recorded")]
    name: String,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ArtifactsCommand {
    /// List artifacts: digest, bytes, when it was stored.
    List {
        #[command(flatten)]
        folder: DataArgs,
    },
    /// Decrypt an artifact into a file, and say what it is.
    Export {
        /// The SHA-256 digest of its contents, as the records have it.
        sha256: String,
        /// The file to make. It must not exist yet.
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
        #[command(flatten)]
        folder: DataArgs,
    },
}

impl ArtifactsCommand {
    /// Carries it out on the store that a data folder has.
    pub(crate) fn run(&self, store: impl Fn(&Path) -> anyhow::Result<ArtifactStore>) -> anyhow::Result<()> {
        match self {
            Self::List { folder } => list(&store(&folder.data)?),
            Self::Export { sha256, out, folder } => export(&store(&folder.data)?, sha256, out),
        }
    }
}

impl SensorArgs {
    /// The configuration keys that flags set.
    pub(crate) fn settings(&self) -> Vec<Setting> {
        let text = |text: &String| toml::Value::String(text.clone());
        // A path that is not UTF-8 is refused where it is read, by the name it is shown as.
        let path = |path: &PathBuf| toml::Value::String(path.to_string_lossy().into_owned());
        [
            ("sensor.id", self.id.as_ref().map(text)),
            ("sensor.hub.address", self.hub.as_ref().map(text)),
            ("sensor.hub.cert", self.cert.as_ref().map(path)),
            ("sensor.hub.key", self.key.as_ref().map(path)),
            ("sensor.hub.ca", self.ca.as_ref().map(path)),
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
    pub(crate) fn run_command(&self) -> anyhow::Result<bool> {
        match &self.command {
            None => Ok(false),
            Some(SensorCommand::Relay(command)) => command.run().map(|()| true),
            Some(SensorCommand::Share(command)) => command.run().map(|()| true),
            Some(SensorCommand::Outpost(args)) => args.run().map(|()| true),
            Some(SensorCommand::Rules(RulesCommand::Check { files })) => classify::check(files).map(|()| true),
            Some(SensorCommand::Yara(command)) => command.run().map(|()| true),
            Some(SensorCommand::Artifacts(command)) => command.run(store_to_read).map(|()| true),
            Some(SensorCommand::Captures(command)) => command.run().map(|()| true),
            Some(SensorCommand::Record(args)) => crate::runtime()?.block_on(record(args)).map(|()| true),
        }
    }

    /// Whether this process examines a device for another one, which has rights.
    pub(crate) fn is_relay_examiner(&self) -> bool {
        self.relay_examiner
    }

    /// Whether this process talks to strangers for another one, which has rights.
    pub(crate) fn is_relay_worker(&self) -> bool {
        self.relay_worker
    }
}

/// Gives up getting more rights, for good; resolves when standard input ends.
pub(crate) fn supervised() -> anyhow::Result<oneshot::Receiver<()>> {
    nix::sys::prctl::set_no_new_privs().context("cannot give up getting more rights")?;
    let (ended, has_ended) = oneshot::channel();
    std::thread::Builder::new()
        .name("komainu-supervised".into())
        .spawn(move || {
            let _ = std::io::copy(&mut std::io::stdin().lock(), &mut std::io::sink());
            let _ = ended.send(());
        })
        .context("cannot watch the standard input")?;
    Ok(has_ended)
}

/// Runs a sensor until SIGTERM or SIGINT, or until `ended` resolves.
pub(crate) async fn run(config: Config, data: &Path, ended: Option<oneshot::Receiver<()>>) -> anyhow::Result<()> {
    let section = &config.sensor;
    let folder = DataFolder::open(&sensor_folder(data)).context(LOCK_HINT)?;
    let mut stop = Stop::listen()?;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let limits = ArtifactLimits { total_bytes_max: section.artifacts_bytes_max, ..ArtifactLimits::default() };
    let artifacts = Arc::new(open_artifacts(&folder, limits)?);
    let link = hub_link(section)?;
    let captures = CaptureStore::open(&folder.file(SESSION_CAPTURES), section.capture.sessions_bytes_max);
    let captures = Arc::new(captures.context("cannot open the captures of sessions")?);
    let spool = link.is_some().then(|| open_spool(&folder, section, &captures, &*clock)).transpose()?;
    let rotation = Rotation { bytes_max: section.log_file_bytes_max, files_max: section.log_files_max };
    let log = match &spool {
        Some(spool) => EventLog::to_files_and_spool(folder.path(), rotation, spool.clone()),
        None => EventLog::to_files(folder.path(), rotation),
    };
    let log = Arc::new(log.context("cannot open the event logs")?);
    let loaded = classify::load(classify::Sources {
        rules: &section.rules,
        scanners: &section.scanners,
        asn_db: section.asn_db.as_deref(),
    })?;
    let personas = placed(section)?;
    let fetcher = fetcher(section, &personas, clock.clone())?;
    let scanning = yara::load(&section.yara)?;
    let scans = ScanThread::start(scanning.scanner.clone(), clock.clone()).context("cannot start a thread")?;
    let recorder = Recorder::new(RecorderParts {
        log: log.clone(),
        artifacts: Some(artifacts.clone()),
        sensor: SensorIdentity { id: section.id.clone(), site: section.site.clone(), country: section.country.clone() },
        passwords: passwords(&folder, section)?,
        classifier: Some(loaded.classifier.clone()),
        limits: RecordLimits::default(),
        fetches: fetcher.as_ref().map(Fetcher::queue),
        scans: Some(scans.scans()),
    });
    let limits = SensorLimits {
        connections_max: section.connections_max,
        connections_per_source_max: section.connections_per_source_max,
        ..SensorLimits::default()
    };
    let sensor = Sensor::start(
        SensorConfig {
            personas,
            ports: PortMapping::Offset(section.port_offset),
            limits,
            keys_folder: Some(folder.file(KEYS)),
        },
        SensorPorts { recorder: recorder.clone(), clock: clock.clone() },
    )
    .map_err(with_hint)?;
    let relaying = match section.devices {
        Some(_) => {
            let outposts = section.outposts.config(folder.path())?;
            let captures = (capture_config(section, &folder), captures.clone());
            let shares = folder.file(SHARES);
            Some(Relaying::start(section, limits, outposts, recorder, clock.clone(), captures, shares).await?)
        }
        None => None,
    };
    let uplink = match link.zip(spool) {
        Some((link, spool)) => {
            let health = health(&sensor, log.clone(), spool.clone(), captures.clone(), clock);
            Some(Uplink::start(link, UplinkPorts { spool, artifacts, captures, health })?)
        }
        None => None,
    };
    announce(&sensor, relaying.as_ref(), section, folder.path(), &loaded, &scanning)?;

    tokio::select! {
        () = stop.wait() => {}
        // Whoever started this process is gone.
        () = resolved(ended) => {}
        () = gate_closed(relaying.as_ref()) => {}
    }
    tracing::info!("stopping");
    sensor.shutdown().await;
    if let Some(fetcher) = fetcher {
        fetcher.shutdown().await;
    }
    if let Some(relaying) = relaying {
        relaying.relay.shutdown().await;
    }
    // What waits for a scan is summed up before the logs are closed.
    tokio::task::spawn_blocking(move || scans.shutdown()).await.context("cannot end the thread that scans")?;
    log.close();
    if let Some(uplink) = uplink {
        uplink.shutdown().await;
    }
    tracing::info!("stopped");
    Ok(())
}

/// Resolves when `ended` does; never, when there is none.
async fn resolved(ended: Option<oneshot::Receiver<()>>) {
    match ended {
        Some(ended) => drop(ended.await),
        None => pending().await,
    }
}

/// Resolves when the way to the guard is closed; never, when there is none.
async fn gate_closed(relaying: Option<&Relaying>) {
    match relaying {
        Some(relaying) => relaying.gate.closed().await,
        None => pending().await,
    }
}

/// Real devices that are relayed.
struct Relaying {
    relay: Relay,
    gate: Arc<dyn DeviceGate>,
    /// Their names and addresses.
    devices: Vec<(String, Ipv4Addr)>,
    /// Where outposts are awaited, and by what they know this sensor.
    awaited: Option<(SocketAddr, Sha256Digest)>,
}

impl Relaying {
    async fn start(
        section: &SensorSection,
        limits: SensorLimits,
        outposts: Option<OutpostsConfig>,
        recorder: Arc<Recorder>,
        clock: Arc<dyn Clock>,
        (capture, captures): (CaptureConfig, Arc<CaptureStore>),
        shares_folder: PathBuf,
    ) -> anyhow::Result<Self> {
        let worker = Worker::begin().await?;
        let awaited = outposts.as_ref().map(|outposts| (outposts.listen, outposts.key.fingerprint()));
        let devices = worker.inventory.devices();
        let names = devices.iter().map(|device| (device.name.to_string(), device.address)).collect();
        let config = RelayConfig {
            devices: devices.to_vec(),
            limits,
            on_incident: match section.on_incident {
                OnIncidentSetting::Record => OnIncident::Record,
                OnIncidentSetting::Quarantine => OnIncident::Quarantine,
            },
            capture,
            shares_folder: Some(shares_folder),
            outposts,
        };
        let ports = RelayPorts {
            recorder,
            clock,
            gate: worker.gate.clone(),
            captures,
            strangers: worker.relay,
            sinkhole: worker.sinkhole,
            dns: worker.dns,
            ntp: worker.ntp,
        };
        let mut relay = Relay::start(config, ports).context("cannot relay devices")?;
        relay.capturing().await;
        Ok(Self { relay, gate: worker.gate, devices: names, awaited })
    }
}

/// What is kept of devices' frames.
fn capture_config(section: &SensorSection, folder: &DataFolder) -> CaptureConfig {
    CaptureConfig {
        folder: folder.file(RINGS),
        ring_bytes_max: section.capture.ring_bytes_max,
        session_bytes_max: section.capture.session_bytes_max,
    }
}

/// How the hub is reached, when there is one.
fn hub_link(section: &SensorSection) -> anyhow::Result<Option<UplinkConfig>> {
    let HubLink { address: Some(address), cert: Some(cert), key: Some(key), ca: Some(ca), .. } = &section.hub else {
        return Ok(None);
    };
    let read = |path: &Path| std::fs::read(path).with_context(|| format!("cannot read {}", path.display()));
    let name = ThingName::parse(&section.id)
        .context("sensor.id (--id) must be the name under which the sensor was enrolled at the hub")?;
    Ok(Some(UplinkConfig {
        address: address.clone(),
        sensor: name.to_string(),
        certificate_pem: read(cert)?,
        key_pem: read(key)?,
        root_pem: read(ca)?,
    }))
}

fn open_spool(
    folder: &DataFolder,
    section: &SensorSection,
    captures: &Arc<CaptureStore>,
    clock: &dyn Clock,
) -> anyhow::Result<Arc<Spool>> {
    let [first, second, ..] = RandomIds.secret();
    let epoch = Spool::epoch_at(clock.now().unix_millis(), u16::from_be_bytes([first, second]));
    let spool = Spool::open(&folder.file(SPOOL), section.hub.spool_bytes_max, epoch);
    Ok(Arc::new(spool.context("cannot open the spool")?.beside(captures.clone())))
}

/// What tells the hub how the sensor is.
fn health(
    sensor: &Sensor,
    log: Arc<EventLog>,
    spool: Arc<Spool>,
    captures: Arc<CaptureStore>,
    clock: Arc<dyn Clock>,
) -> Box<dyn Fn() -> Health + Send + Sync> {
    let began_at = clock.now();
    let count = sensor.counter();
    let door = |open: &Listening| format!("{} {} {}", open.persona, open.service, open.port);
    let doors: Vec<String> = sensor.listening().iter().map(door).collect();
    Box::new(move || {
        let (connections, standing, now) = (count(), spool.standing(), clock.now());
        let captures = captures.standing();
        let oldest = standing.oldest.and_then(|at| at.duration_since(UNIX_EPOCH).ok());
        let oldest = oldest.and_then(|since| i64::try_from(since.as_millis()).ok()).map(Timestamp::from_unix_millis);
        Health {
            version: env!("CARGO_PKG_VERSION"),
            uptime_s: now.since(began_at).as_secs(),
            connections: connections.now,
            connections_total: connections.total,
            refused: connections.refused,
            spool_bytes: standing.bytes,
            spool_age_s: oldest.map_or(0, |oldest| now.since(oldest).as_secs()),
            lines_lost: log.lines_lost() + standing.lines_lost,
            captures: captures.captures,
            captures_bytes: captures.bytes,
            captures_dropped: captures.dropped,
            doors: doors.clone(),
        }
    })
}

/// Where a sensor's records lie in its data folder.
pub(crate) fn sensor_folder(data: &Path) -> PathBuf {
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

/// Fetches what attackers name, if the configuration says so.
fn fetcher(section: &SensorSection, personas: &[Placed], clock: Arc<dyn Clock>) -> anyhow::Result<Option<Fetcher>> {
    let fetch = &section.fetch;
    let mode = match (fetch.mode, &fetch.proxy) {
        (FetchWay::Off, _) => return Ok(None),
        (FetchWay::Direct, _) => FetchMode::Direct(fetch.source_address),
        (FetchWay::Proxy, Some(proxy)) => FetchMode::Proxied(Proxy::parse(proxy)?),
        (FetchWay::Proxy, None) => bail!("sensor.fetch.proxy is missing"),
    };
    let limits = FetchLimits {
        per_host_per_hour: fetch.per_host_per_hour,
        bytes_max: fetch.bytes_max,
        timeout_s: fetch.timeout_s,
        redirects_max: fetch.redirects_max,
    };
    let listened = personas.iter().map(|placed| placed.address);
    let own = fetch.own_addresses.iter().copied().chain(fetch.source_address).chain(listened).collect();
    let ports = FetchPorts { policy: AddressPolicy::global(own), resolver: Arc::new(SystemResolver), clock };
    Ok(Some(Fetcher::start(FetchConfig { mode, limits }, ports)))
}

fn placed(section: &SensorSection) -> anyhow::Result<Vec<Placed>> {
    let mut placed = Vec::new();
    for wanted in &section.personas {
        // A file may have an `@` in its name: only what is an address is one.
        let own_address = wanted.rsplit_once('@').and_then(|(name, address)| Some((name, address.parse().ok()?)));
        let (name, address) = own_address.unwrap_or((wanted, section.listen));
        placed.push(Placed { persona: Persona::load(name)?, address });
    }
    if placed.is_empty() && section.devices.is_none() {
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

fn announce(
    sensor: &Sensor,
    relaying: Option<&Relaying>,
    section: &SensorSection,
    folder: &Path,
    loaded: &Loaded,
    scanning: &Scanning,
) -> anyhow::Result<()> {
    let mut lines =
        vec![format!("komainu {}, sensor `{}`, in {}", env!("CARGO_PKG_VERSION"), section.id, folder.display())];
    for open in sensor.listening() {
        let on = if open.port == open.address.port() { String::new() } else { format!("  for port {}", open.port) };
        let Listening { persona, service, transport, address, .. } = open;
        lines.push(format!("  {persona:<10} {service:<7} {transport} {address}{on}"));
    }
    for (device, address) in relaying.iter().flat_map(|relaying| &relaying.devices) {
        lines.push(format!("  {device:<18} {address}  a real device"));
    }
    if let Some((address, fingerprint)) = relaying.and_then(|relaying| relaying.awaited) {
        lines.push(format!("  {:<18} udp {address}  this sensor is {fingerprint}", "outposts"));
    }
    lines.push(format!("  {:<18} {}", "events", folder.join("eve.json").display()));
    lines.push(format!("  {:<18} {}", "sessions", folder.join("honeypot.json").display()));
    let refused = match loaded.unsupported {
        0 => String::new(),
        count => format!(", {count} are not supported: `komainu sensor rules check` says why"),
    };
    lines.push(format!("  {:<18} {}{refused}", "rules", loaded.classifier.rules()));
    if let Some(taken) = &scanning.taken {
        let refused = match taken.refused() {
            0 => String::new(),
            count => format!(", {count} are not supported: `komainu sensor yara check` says why"),
        };
        lines.push(format!("  {:<18} {}{refused}", "rules of YARA", taken.rules()));
    }
    match section.fetch.mode {
        FetchWay::Off => {}
        FetchWay::Direct => lines.push(format!("  {:<18} directly: attackers learn its address", "URLs are fetched")),
        FetchWay::Proxy => lines.push(format!("  {:<18} through a proxy", "URLs are fetched")),
    }
    if let Some(hub) = &section.hub.address {
        lines.push(format!("  {:<18} {hub}", "hub"));
    }
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

/// Lists a store of artifacts.
fn list(store: &ArtifactStore) -> anyhow::Result<()> {
    let artifacts = store.list().context("cannot list the artifacts")?;
    let mut out = std::io::stdout().lock();
    for artifact in artifacts {
        let stored_at = artifact.stored_at.and_then(|at| jiff::Timestamp::try_from(at).ok());
        let stored_at = stored_at.map_or("-".to_owned(), |at| at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string());
        let mark = confidential_mark(artifact.confidentiality);
        writeln!(out, "{}  {:>10}  {stored_at}{mark}", artifact.sha256, artifact.bytes)
            .context("cannot write to standard output")?;
    }
    Ok(())
}

/// Decrypts an artifact of a store into a file.
fn export(store: &ArtifactStore, sha256: &str, out: &Path) -> anyhow::Result<()> {
    let sha256 = Sha256Digest::parse(sha256).with_context(|| format!("{sha256:?} is no SHA-256 digest"))?;
    let contents = store.read(sha256)?;
    write_exported(out, &contents)?;
    println!("{sha256}  {} bytes  {}  {}", contents.len(), Kind::of(&contents), out.display());
    println!("this is what an attacker left: treat it as dangerous");
    Ok(())
}

/// Writes what is exported: never executable, and never over something that is there.
pub(crate) fn write_exported(out: &Path, contents: &[u8]) -> anyhow::Result<()> {
    OpenOptions::new()
        .create_new(true)
        .write(true)
        .mode(0o600)
        .open(out)
        .and_then(|mut file| file.write_all(contents))
        .with_context(|| format!("cannot write {}", out.display()))
}

/// What stands at the end of a line about something confidential.
pub(crate) const fn confidential_mark(confidentiality: Confidentiality) -> &'static str {
    match confidentiality {
        Confidentiality::Open => "",
        Confidentiality::Confidential => "  confidential",
    }
}

/// Records a device into a folder that does not exist yet.
async fn record(args: &RecordArgs) -> anyhow::Result<()> {
    // Before the device is asked: what was recorded must not be lost for a name.
    std::fs::create_dir(&args.out).with_context(|| format!("cannot make the folder {}", args.out.display()))?;
    let ports = if args.ports.is_empty() { RECORDED_PORTS.to_vec() } else { args.ports.clone() };
    let ssdp_port = (args.ssdp_port != 0).then_some(args.ssdp_port);
    let recorded =
        record_persona(&RecordPlan { address: args.address, ports, ssdp_port, name: args.name.clone() }).await;
    let recorded = match recorded {
        Ok(recorded) => recorded,
        Err(error) => {
            // Nothing is in it.
            let _ = std::fs::remove_dir(&args.out);
            return Err(error.into());
        }
    };
    for (name, bytes) in &recorded.files {
        let path = args.out.join(name);
        let folder = path.parent().unwrap_or(&args.out);
        std::fs::create_dir_all(folder)
            .and_then(|()| std::fs::write(&path, bytes))
            .with_context(|| format!("cannot write {}", path.display()))?;
    }
    let mut lines: Vec<String> =
        recorded.ports.iter().map(|(port, service)| format!("  {port:<6} {service}")).collect();
    // What a device says is shown with its control characters escaped.
    let shown = |text: &str| text.escape_debug().to_string();
    lines.extend(recorded.notes.iter().map(|note| format!("note: {}", shown(note))));
    for one in &recorded.identifying {
        let (file, line, what) = (args.out.join(&one.file), one.line, one.what);
        lines.push(format!("tells which device it is: {}:{line}: {what} {}", file.display(), shown(&one.value)));
    }
    lines.push(format!("look through it, then: komainu sensor --persona {}", args.out.join("persona.toml").display()));
    let mut out = std::io::stdout().lock();
    writeln!(out, "{}", lines.join("\n")).context("cannot write to standard output")
}
