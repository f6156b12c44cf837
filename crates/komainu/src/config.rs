//! Configuration: defaults, one TOML file, `KOMAINU__SECTION__KEY` variables, flags, in rising order.
//!
//! Every key has a default, so none is needed. Unknown keys are refused. Secrets are paths of files. What belongs to
//! the fleet (things, profiles, topics) is never configuration.

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow, bail};
use komainu_ports::{CapturesLimits, RecordsLimits};
use komainu_sensor::{ArtifactLimits, CAPTURE_BYTES_MAX, FetchLimits, Proxy, RING_BYTES_MIN, Rotation, SensorLimits};
use serde::{Deserialize, Serialize};

use crate::console::ConsoleSection;
use crate::outpost::{OutpostSection, OutpostsSection};
use crate::output::OutputSection;
use crate::publications::StatisticsSection;
use crate::traces::TracesSection;

/// The prefix of environment variables that set configuration keys.
const VARIABLE_PREFIX: &str = "KOMAINU__";

/// The operator's own networks; each candidate is compared with all of them.
const OWN_NETWORKS_MAX: usize = 1000;

/// The smallest bound of a spool in bytes: room for a few segments.
const SPOOL_BYTES_MIN: u64 = 16 << 20;

/// The whole configuration. [docs/configuration.md] lists the keys.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Config {
    pub(crate) account: Account,
    pub(crate) listen: Listen,
    pub(crate) console: ConsoleSection,
    pub(crate) public: Public,
    pub(crate) smtp: Smtp,
    pub(crate) webhook: Webhook,
    pub(crate) detect: Detect,
    pub(crate) intel: IntelSection,
    pub(crate) gateway: GatewaySection,
    pub(crate) sensor: SensorSection,
    pub(crate) hub: HubSection,
    pub(crate) lake: LakeSection,
    pub(crate) statistics: StatisticsSection,
    pub(crate) output: OutputSection,
    pub(crate) outpost: OutpostSection,
    pub(crate) sandbox: SandboxSection,
    pub(crate) lab: LabSection,
    pub(crate) traces: TracesSection,
    pub(crate) log: Log,
}

/// `komainu sandbox`: where samples run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct SandboxSection {
    /// The folder of the kits that guests are made of.
    pub(crate) kits: PathBuf,
    /// The folder of the snapshots of guests that have booted.
    pub(crate) snapshots: PathBuf,
    /// The folder of QEMU's programs, if it is none of the usual ones.
    pub(crate) qemu: Option<PathBuf>,
    /// As whom QEMU runs when the sandbox is started by root: a name or a number.
    pub(crate) user: Option<String>,
    /// How many runs go on at once; without it as many as there are processors, and memory.
    pub(crate) runs_at_once: Option<usize>,
}

impl Default for SandboxSection {
    fn default() -> Self {
        let (kits, snapshots) = (PathBuf::from("target/kits"), PathBuf::from("komainu-data/snapshots"));
        Self { kits, snapshots, qemu: None, user: None, runs_at_once: None }
    }
}

/// The laboratory of `komainu serve`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct LabSection {
    /// Whether the server examines samples.
    pub(crate) run: bool,
    /// Samples at the same time; without it as many as there are processors.
    pub(crate) workers: Option<usize>,
    /// How many seconds a sample runs at most.
    pub(crate) seconds: u64,
    /// A run is ended once it has shown nothing new for so many seconds; 0: never.
    pub(crate) quiet_seconds: u64,
    /// Files with rules in Sigma, or folders with such files, beside those that are built in.
    pub(crate) rules: Vec<PathBuf>,
    /// Files with rules of YARA, or folders with such files, beside those that are built in.
    pub(crate) yara: Vec<PathBuf>,
    /// Who may see reports in STIX (Traffic Light Protocol).
    pub(crate) tlp: TlpSetting,
    /// A file with a key of VirusTotal's; without it, VirusTotal is not asked.
    pub(crate) virustotal_key_file: Option<PathBuf>,
    /// The beginning of its addresses.
    pub(crate) virustotal_url: String,
    /// The least seconds between two questions to it.
    pub(crate) virustotal_pause_s: u64,
    /// A file with a key of MalwareBazaar's; without it, MalwareBazaar is not asked.
    pub(crate) malwarebazaar_key_file: Option<PathBuf>,
    /// The beginning of its addresses.
    pub(crate) malwarebazaar_url: String,
    /// The least seconds between two questions to it.
    pub(crate) malwarebazaar_pause_s: u64,
    /// Files with digests of samples that are known.
    pub(crate) known_lists: Vec<PathBuf>,
    /// A file with root certificates (PEM) that are trusted besides the system's.
    pub(crate) extra_roots_file: Option<PathBuf>,
}

impl LabSection {
    fn check(&self) -> anyhow::Result<()> {
        /// As the sandbox has it.
        const SECONDS_MAX: u64 = 900;
        /// A day: a longer one asks about nothing that comes in.
        const PAUSE_S_MAX: u64 = 24 * 3600;
        if self.workers.is_some_and(|workers| !(1..=64).contains(&workers)) {
            bail!("lab.workers must be from 1 to 64");
        }
        if !(1..=SECONDS_MAX).contains(&self.seconds) || self.quiet_seconds > SECONDS_MAX {
            bail!("lab.seconds must be from 1 to {SECONDS_MAX}, and lab.quiet_seconds from 0 to {SECONDS_MAX}");
        }
        if self.virustotal_pause_s > PAUSE_S_MAX || self.malwarebazaar_pause_s > PAUSE_S_MAX {
            bail!("lab.virustotal_pause_s and lab.malwarebazaar_pause_s must be from 0 to {PAUSE_S_MAX}");
        }
        Ok(())
    }
}

impl Default for LabSection {
    fn default() -> Self {
        Self {
            run: true,
            workers: None,
            seconds: 60,
            quiet_seconds: 10,
            rules: Vec::new(),
            yara: Vec::new(),
            tlp: TlpSetting::Green,
            virustotal_key_file: None,
            virustotal_url: "https://www.virustotal.com".into(),
            // A public key may ask four times a minute.
            virustotal_pause_s: 15,
            malwarebazaar_key_file: None,
            malwarebazaar_url: "https://mb-api.abuse.ch".into(),
            malwarebazaar_pause_s: 1,
            known_lists: Vec::new(),
            extra_roots_file: None,
        }
    }
}

/// Who may see a report (Traffic Light Protocol 1.0, as STIX 2.1 has it).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum TlpSetting {
    White,
    Green,
    Amber,
    Red,
}

/// Whose installation it is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Account {
    /// Twelve digits; part of every ARN.
    pub(crate) id: String,
    /// The region that devices enrolled on the command line belong to. API clients choose theirs with each request.
    pub(crate) region: String,
}

/// What listens where.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Listen {
    /// The control plane, HTTP.
    pub(crate) api: SocketAddr,
    /// MQTT over TLS with client certificates.
    pub(crate) mqtts: SocketAddr,
    /// MQTT, HTTPS and WebSocket over TLS, told apart by ALPN. When this default may not be opened, the server says
    /// so and runs without; an address that was asked for must open.
    pub(crate) tls: SocketAddr,
    /// Metrics for Prometheus, HTTP, without signing in; nowhere without it.
    pub(crate) metrics: Option<SocketAddr>,
    /// MQTT without TLS for conformance suites: anybody may do anything. Loopback only.
    pub(crate) insecure_plain_mqtt: Option<SocketAddr>,
}

/// How the server is reached from outside.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Public {
    /// Names and addresses for the server's certificate; the first one is what DescribeEndpoint answers.
    pub(crate) hosts: Vec<String>,
    /// The base URL of links in mails and webhooks. Without it, `http://` and the API's address.
    pub(crate) url: Option<String>,
}

/// How mail leaves the house.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Smtp {
    /// `HOST:PORT`. Without it, mail waits in the outbox.
    pub(crate) server: Option<String>,
    /// How the connection is encrypted.
    pub(crate) tls: SmtpTls,
    /// The user name for AUTH.
    pub(crate) user: Option<String>,
    /// A file with the password for AUTH.
    pub(crate) password_file: Option<PathBuf>,
    /// A file with root certificates (PEM) that are trusted besides the system's.
    pub(crate) extra_roots_file: Option<PathBuf>,
    /// The sender's address. Its name is the topic's display name.
    pub(crate) from: String,
    /// In which language mails speak to people.
    pub(crate) language: MailLanguage,
}

/// In which language mails speak to people.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum MailLanguage {
    #[serde(rename = "en")]
    English,
    #[serde(rename = "ja")]
    Japanese,
}

/// How the connection to the mail server is encrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum SmtpTls {
    /// Not at all.
    None,
    /// STARTTLS, required.
    Starttls,
    /// From the first byte.
    Tls,
}

/// How webhooks leave the house.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Webhook {
    /// A file with root certificates (PEM) that are trusted besides the system's.
    pub(crate) extra_roots_file: Option<PathBuf>,
    /// Endpoints on link-local addresses (cloud metadata services among them) are refused unless this is set.
    pub(crate) allow_link_local: bool,
}

/// Detection.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Detect {
    /// Accept `durationSeconds` from 1 to 3,600 besides AWS's 300, 600, 900, 1,800 and 3,600.
    pub(crate) short_windows: bool,
}

/// What may become an indicator.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct IntelSection {
    /// Addresses that only stand in documents may be indicators: for demonstrations and tests.
    pub(crate) documentation_addresses: bool,
    /// Networks of yours: nothing in them becomes an indicator.
    pub(crate) own_networks: Vec<String>,
    /// Files with networks that many share, beside those that are built in.
    pub(crate) shared_networks: Vec<PathBuf>,
    /// Days for which an indicator counts when nobody says it.
    pub(crate) valid_days: u32,
}

impl IntelSection {
    /// The networks, read.
    pub(crate) fn own_networks(&self) -> anyhow::Result<Vec<ipnet::IpNet>> {
        let read = |text: &String| {
            let network = text.parse().or_else(|_| text.parse::<IpAddr>().map(ipnet::IpNet::from));
            network.map_err(|_| anyhow!("intel.own_networks: {text:?} is neither a network nor an address"))
        };
        self.own_networks.iter().map(read).collect()
    }
}

/// Bounds of the gateway that installations differ in.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct GatewaySection {
    /// Connections at the same time.
    pub(crate) connections_max: usize,
    /// The largest MQTT payload in bytes.
    pub(crate) payload_bytes_max: usize,
    /// Messages that one client may publish in a second; a faster one is slowed down. 0: as many as it likes.
    pub(crate) publishes_per_s_max: u32,
}

/// `komainu sensor`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct SensorSection {
    /// The sensor's name in its records.
    pub(crate) id: String,
    /// Where it stands, as its owner calls it.
    pub(crate) site: Option<String>,
    /// The country where it is reached, two letters.
    pub(crate) country: Option<String>,
    /// What it pretends to be: built-in names or files, with `@ADDR` for an address of its own.
    pub(crate) personas: Vec<String>,
    /// Where personas without an address of their own listen.
    pub(crate) listen: IpAddr,
    /// How much higher each port is opened.
    pub(crate) port_offset: u16,
    /// How passwords stand in the records.
    pub(crate) passwords: PasswordsShown,
    /// Connections at the same time.
    pub(crate) connections_max: usize,
    /// Connections of one source at the same time.
    pub(crate) connections_per_source_max: usize,
    /// Bytes of all artifacts on the disk.
    pub(crate) artifacts_bytes_max: u64,
    /// Bytes of one file of an event log.
    pub(crate) log_file_bytes_max: u64,
    /// Full files of each event log that are kept.
    pub(crate) log_files_max: u32,
    /// The inventory of the real devices behind the sensor.
    pub(crate) devices: Option<PathBuf>,
    /// What follows when a device turns to somebody whom it has no reason to know.
    pub(crate) on_incident: OnIncidentSetting,
    /// As whom the processes run that bring devices back after an incident and examine them: the first of 64 numbers of
    /// users, one for each device, which nobody has.
    pub(crate) reset_uid: u32,
    /// Whether `komainu serve` runs this sensor, too.
    pub(crate) run_in_serve: bool,
    /// As whom the process runs that talks to strangers, when there are real devices or when `komainu serve` runs it: a
    /// name, or with real devices also a number.
    pub(crate) user: Option<String>,
    /// The data folder in which `komainu serve` runs it.
    pub(crate) data: Option<PathBuf>,
    /// Files with rules, beside those that are built in.
    pub(crate) rules: Vec<PathBuf>,
    /// Files with rules of YARA, or folders with such files.
    pub(crate) yara: Vec<PathBuf>,
    /// Files with the addresses of benign scanners.
    pub(crate) scanners: Vec<PathBuf>,
    /// A file in the format MMDB that says which address belongs to which autonomous system.
    pub(crate) asn_db: Option<PathBuf>,
    /// What is kept of the frames of real devices.
    pub(crate) capture: CaptureSection,
    /// Where records are sent.
    pub(crate) hub: HubLink,
    /// What is done with URLs that attackers name.
    pub(crate) fetch: FetchSection,
    /// Who brings strangers from other sites.
    pub(crate) outposts: OutpostsSection,
}

/// What is kept of the frames of real devices.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct CaptureSection {
    /// Bytes of the ring of each device; 0 for none.
    pub(crate) ring_bytes_max: u64,
    /// Bytes of the frames of one session.
    pub(crate) session_bytes_max: u64,
    /// Bytes of the captures of all sessions on the disk.
    pub(crate) sessions_bytes_max: u64,
}

/// Where a sensor sends its records. Either nothing of it is set, or all four that have no default.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct HubLink {
    /// `HOST:PORT` of the server's TLS listener.
    pub(crate) address: Option<String>,
    /// The sensor's certificate, PEM.
    pub(crate) cert: Option<PathBuf>,
    /// The certificate's key, PEM.
    pub(crate) key: Option<PathBuf>,
    /// The server's root certificate, PEM.
    pub(crate) ca: Option<PathBuf>,
    /// Bytes of records, and of captures in what records leave, that may wait for the hub.
    pub(crate) spool_bytes_max: u64,
}

/// What the server keeps of what sensors send.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct HubSection {
    /// Bytes of all records.
    pub(crate) records_bytes_max: u64,
    /// Bytes of all artifacts on the disk.
    pub(crate) artifacts_bytes_max: u64,
    /// Bytes of all captures of sessions.
    pub(crate) captures_bytes_max: u64,
}

/// What the server keeps of attacks and of what devices measured, as columns.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct LakeSection {
    /// Months that are wholly older than so many days are removed; 0: never.
    pub(crate) retain_days: u32,
}

/// What a sensor does with URLs that attackers name.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct FetchSection {
    /// Whether and how they are fetched.
    pub(crate) mode: FetchWay,
    /// `socks5://HOST:PORT` or `http://HOST:PORT`, for the mode `proxy`.
    pub(crate) proxy: Option<String>,
    /// The address of this machine to fetch from, in the mode `direct`.
    pub(crate) source_address: Option<IpAddr>,
    /// Addresses that are the sensor's own and on none of its interfaces. They are not fetched from.
    pub(crate) own_addresses: Vec<IpAddr>,
    /// Requests to one host in an hour.
    pub(crate) per_host_per_hour: u32,
    /// Bytes of a file.
    pub(crate) bytes_max: usize,
    /// Seconds for all of a fetch.
    pub(crate) timeout_s: u64,
    /// Redirects that are followed.
    pub(crate) redirects_max: u32,
}

/// Whether and how URLs are fetched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum FetchWay {
    /// Not at all: they are recorded.
    Off,
    /// From the server itself.
    Direct,
    /// Through a proxy.
    Proxy,
}

/// What follows when a device turns to somebody whom it has no reason to know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum OnIncidentSetting {
    /// It is written down.
    Record,
    /// Every way to and from the device is closed as well.
    Quarantine,
}

/// How passwords stand in the records of a sensor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum PasswordsShown {
    /// As digests under a key of the data folder.
    Hashed,
    /// As they were sent.
    Clear,
}

/// What is written to standard error.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Log {
    /// A filter such as `info,komainu=debug`.
    pub(crate) filter: String,
    /// How lines look.
    pub(crate) format: LogFormat,
}

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum LogFormat {
    /// For people on a terminal, JSON otherwise.
    Auto,
    /// For people.
    Text,
    /// For programs: one JSON object a line.
    Json,
}

impl Default for Account {
    fn default() -> Self {
        Self { id: "123456789012".into(), region: "us-east-1".into() }
    }
}

impl Default for Listen {
    fn default() -> Self {
        Self {
            api: SocketAddr::from(([127, 0, 0, 1], 8080)),
            mqtts: SocketAddr::from(([127, 0, 0, 1], 8883)),
            tls: SocketAddr::from(([127, 0, 0, 1], 443)),
            metrics: None,
            insecure_plain_mqtt: None,
        }
    }
}

impl Default for Public {
    fn default() -> Self {
        Self { hosts: vec!["localhost".into()], url: None }
    }
}

impl Default for Smtp {
    fn default() -> Self {
        Self {
            server: None,
            tls: SmtpTls::None,
            user: None,
            password_file: None,
            extra_roots_file: None,
            from: "komainu@localhost".into(),
            language: MailLanguage::English,
        }
    }
}

impl Default for IntelSection {
    fn default() -> Self {
        Self { documentation_addresses: false, own_networks: Vec::new(), shared_networks: Vec::new(), valid_days: 30 }
    }
}

impl Default for GatewaySection {
    fn default() -> Self {
        Self { connections_max: 100_000, payload_bytes_max: 128 * 1024, publishes_per_s_max: 20_000 }
    }
}

impl Default for SensorSection {
    fn default() -> Self {
        let (limits, artifacts, rotation) = (SensorLimits::default(), ArtifactLimits::default(), Rotation::default());
        Self {
            id: "sensor".into(),
            site: None,
            country: None,
            personas: vec!["camera".into()],
            listen: IpAddr::from([127, 0, 0, 1]),
            port_offset: 0,
            passwords: PasswordsShown::Hashed,
            connections_max: limits.connections_max,
            connections_per_source_max: limits.connections_per_source_max,
            artifacts_bytes_max: artifacts.total_bytes_max,
            log_file_bytes_max: rotation.bytes_max,
            log_files_max: rotation.files_max,
            devices: None,
            on_incident: OnIncidentSetting::Record,
            reset_uid: 61_044,
            run_in_serve: false,
            user: None,
            data: None,
            rules: Vec::new(),
            yara: Vec::new(),
            scanners: Vec::new(),
            asn_db: None,
            capture: CaptureSection::default(),
            hub: HubLink::default(),
            fetch: FetchSection::default(),
            outposts: OutpostsSection::default(),
        }
    }
}

impl Default for CaptureSection {
    fn default() -> Self {
        Self { ring_bytes_max: 256 << 20, session_bytes_max: 1 << 20, sessions_bytes_max: 1 << 30 }
    }
}

impl Default for HubLink {
    fn default() -> Self {
        Self { address: None, cert: None, key: None, ca: None, spool_bytes_max: 1 << 30 }
    }
}

impl Default for LakeSection {
    fn default() -> Self {
        Self { retain_days: 1_100 }
    }
}

impl Default for HubSection {
    fn default() -> Self {
        Self {
            records_bytes_max: RecordsLimits::default().bytes_max,
            artifacts_bytes_max: ArtifactLimits::default().total_bytes_max,
            captures_bytes_max: CapturesLimits::default().bytes_max,
        }
    }
}

impl Default for FetchSection {
    fn default() -> Self {
        let limits = FetchLimits::default();
        Self {
            mode: FetchWay::Off,
            proxy: None,
            source_address: None,
            own_addresses: Vec::new(),
            per_host_per_hour: limits.per_host_per_hour,
            bytes_max: limits.bytes_max,
            timeout_s: limits.timeout_s,
            redirects_max: limits.redirects_max,
        }
    }
}

impl Default for Log {
    fn default() -> Self {
        Self { filter: "info".into(), format: LogFormat::Auto }
    }
}

/// One key that a flag sets: its path and its value.
pub(crate) type Setting = (&'static str, toml::Value);

/// Reads the configuration. `file` must exist when it is given; `variables` are the process's environment.
pub(crate) fn load(
    file: Option<&Path>,
    variables: impl Iterator<Item = (String, String)>,
    flags: Vec<Setting>,
) -> anyhow::Result<Config> {
    let mut table = toml::Table::new();
    if let Some(file) = file {
        let text = std::fs::read_to_string(file)
            .with_context(|| format!("cannot read the configuration file {}", file.display()))?;
        // Deserialised once by itself, so that a mistake is shown with its line.
        toml::from_str::<Config>(&text).with_context(|| format!("in the configuration file {}", file.display()))?;
        table = toml::from_str(&text).with_context(|| format!("in the configuration file {}", file.display()))?;
    }
    let mut from_environment: Vec<(String, String)> =
        variables.filter(|(name, _)| name.starts_with(VARIABLE_PREFIX)).collect();
    from_environment.sort();
    for (name, text) in from_environment {
        let path = name[VARIABLE_PREFIX.len()..].to_ascii_lowercase().replace("__", ".");
        let set_as = |value| {
            let mut changed = table.clone();
            set(&mut changed, &path, value)?;
            check(&changed).map(|_| changed)
        };
        // `KOMAINU__ACCOUNT__ID=111111111111` is a number to TOML and a name to us: what is no use as a value is text.
        table = set_as(value_of(&text))
            .or_else(|error| set_as(toml::Value::String(text.clone())).map_err(|_| error))
            .with_context(|| format!("in the environment variable {name}"))?;
    }
    for (path, value) in flags {
        set(&mut table, path, value)?;
    }
    check(&table)
}

/// Turns the merged table into a configuration whose values make sense together.
fn check(table: &toml::Table) -> anyhow::Result<Config> {
    let config: Config = toml::Value::Table(table.clone()).try_into().context("configuration is not valid")?;
    if let Some(plain) = config.listen.insecure_plain_mqtt
        && !plain.ip().is_loopback()
    {
        bail!(
            "listen.insecure_plain_mqtt is {plain}: a listener without TLS and without certificates may only be on a loopback address"
        );
    }
    let HubLink { address, cert, key, ca, spool_bytes_max } = &config.sensor.hub;
    let given = [address.is_some(), cert.is_some(), key.is_some(), ca.is_some()];
    if given.contains(&true) && given.contains(&false) {
        bail!("sensor.hub.address, cert, key and ca belong together: give all four or none (docs/hub.md)");
    }
    if *spool_bytes_max < SPOOL_BYTES_MIN {
        bail!("sensor.hub.spool_bytes_max is {spool_bytes_max}: at least {SPOOL_BYTES_MIN} are needed");
    }
    if config.public.hosts.is_empty() {
        bail!("public.hosts is empty: name at least one host, for example [\"localhost\"]");
    }
    if config.intel.own_networks()?.len() > OWN_NETWORKS_MAX {
        bail!("intel.own_networks has more than {OWN_NETWORKS_MAX} networks");
    }
    if !(1..=3650).contains(&config.intel.valid_days) {
        bail!("intel.valid_days must be from 1 to 3650");
    }
    config.console.check()?;
    config.lab.check()?;
    config.output.check()?;
    config.traces.check()?;
    check_capture(&config.sensor.capture)?;
    check_fetch(&config.sensor.fetch)?;
    config.sensor.outposts.check(config.sensor.devices.is_some())?;
    config.outpost.check()?;
    Ok(config)
}

fn check_capture(capture: &CaptureSection) -> anyhow::Result<()> {
    let CaptureSection { ring_bytes_max, session_bytes_max, .. } = *capture;
    if ring_bytes_max != 0 && ring_bytes_max < RING_BYTES_MIN {
        bail!(
            "sensor.capture.ring_bytes_max is {ring_bytes_max}: at least {RING_BYTES_MIN} are needed, or 0 for no ring"
        );
    }
    // What stands before the packets must fit as well.
    let most = CAPTURE_BYTES_MAX - 4_096;
    if session_bytes_max > most {
        bail!("sensor.capture.session_bytes_max is {session_bytes_max}: at most {most} can be");
    }
    Ok(())
}

/// A key that would do nothing in the mode that is set is a mistake: its owner thinks that it protects them.
fn check_fetch(fetch: &FetchSection) -> anyhow::Result<()> {
    /// What an artifact has at most: a larger file could not be stored.
    const BYTES_MAX: usize = 32 << 20;
    match (fetch.mode, &fetch.proxy) {
        (FetchWay::Proxy, None) => bail!("sensor.fetch.proxy is missing, and sensor.fetch.mode is \"proxy\""),
        (FetchWay::Direct, Some(_)) => bail!("sensor.fetch.proxy is set, and sensor.fetch.mode is \"direct\""),
        (_, Some(proxy)) => drop(Proxy::parse(proxy).context("in sensor.fetch.proxy")?),
        (FetchWay::Off | FetchWay::Direct, None) => {}
    }
    if fetch.mode == FetchWay::Proxy && fetch.source_address.is_some() {
        bail!("sensor.fetch.source_address is set, and sensor.fetch.mode is \"proxy\"");
    }
    if fetch.bytes_max == 0 || fetch.bytes_max > BYTES_MAX {
        bail!("sensor.fetch.bytes_max must be from 1 to {BYTES_MAX}");
    }
    if !(1..=600).contains(&fetch.timeout_s) {
        bail!("sensor.fetch.timeout_s must be from 1 to 600");
    }
    Ok(())
}

/// A variable's text as a TOML value when it is one (`true`, `5`, `["a"]`), else as a string.
fn value_of(text: &str) -> toml::Value {
    match format!("value = {text}").parse::<toml::Table>() {
        Ok(mut table) => table.remove("value").unwrap_or_else(|| toml::Value::String(text.into())),
        Err(_) => toml::Value::String(text.into()),
    }
}

/// Sets the key at `path` (`listen.api`).
fn set(table: &mut toml::Table, path: &str, value: toml::Value) -> anyhow::Result<()> {
    let (parents, key) = path.rsplit_once('.').ok_or_else(|| anyhow!("{path} names no key of a section"))?;
    let mut section = table;
    for parent in parents.split('.') {
        section = section
            .entry(parent)
            .or_insert_with(|| toml::Value::Table(toml::Table::new()))
            .as_table_mut()
            .ok_or_else(|| anyhow!("{parent} is not a section"))?;
    }
    section.insert(key.into(), value);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load_from(file: &str, variables: &[(&str, &str)], flags: Vec<Setting>) -> Result<Config, String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("komainu.toml");
        std::fs::write(&path, file).unwrap();
        let variables = variables.iter().map(|(name, value)| (name.to_string(), value.to_string()));
        load(Some(&path), variables, flags).map_err(|error| format!("{error:#}"))
    }

    #[test]
    fn each_layer_overrides_the_one_below() {
        let file = "[account]\nid = \"111111111111\"\nregion = \"eu-west-1\"\n[detect]\nshort_windows = true\n";
        let variables = [("KOMAINU__ACCOUNT__ID", "222222222222"), ("KOMAINU__PUBLIC__HOSTS", "[\"gate.example\"]")];
        let flags = vec![("listen.api", toml::Value::String("127.0.0.1:9".into()))];
        let config = load_from(file, &variables, flags).unwrap();
        assert_eq!(config.account, Account { id: "222222222222".into(), region: "eu-west-1".into() });
        assert_eq!(config.public.hosts, ["gate.example"]);
        assert_eq!(config.listen.api.port(), 9);
        assert!(config.detect.short_windows);
    }

    #[test]
    fn mistakes_are_refused_by_name() {
        for (file, variables, expected) in [
            ("[detect]\nshort_window = true\n", &[][..], "unknown field `short_window`"),
            ("[listen]\napi = \"here\"\n", &[], "invalid socket address"),
            ("", &[("KOMAINU__DETECT__SHORT", "true")], "KOMAINU__DETECT__SHORT"),
            ("", &[("KOMAINU__DETECT", "true")], "names no key of a section"),
            ("[listen]\ninsecure_plain_mqtt = \"192.0.2.1:1883\"\n", &[], "loopback"),
            ("[public]\nhosts = []\n", &[], "public.hosts is empty"),
            ("[sensor.hub]\naddress = \"hub.example:443\"\n", &[], "belong together"),
            ("[sensor.hub]\nspool_bytes_max = 5\n", &[], "sensor.hub.spool_bytes_max is 5"),
            ("[intel]\nown_networks = [\"here\"]\n", &[], "intel.own_networks: \"here\""),
            ("[intel]\nvalid_days = 0\n", &[], "intel.valid_days"),
            ("[sensor.capture]\nring_bytes_max = 5\n", &[], "sensor.capture.ring_bytes_max is 5"),
            ("[sensor.capture]\nsession_bytes_max = 8388608\n", &[], "sensor.capture.session_bytes_max is 8388608"),
            ("[sensor.fetch]\nmode = \"proxy\"\n", &[], "sensor.fetch.proxy is missing"),
            ("[sensor.fetch]\nproxy = \"https://a:1\"\n", &[], "is no proxy"),
            ("[sensor.fetch]\nmode = \"direct\"\nproxy = \"http://a:1\"\n", &[], "sensor.fetch.proxy is set"),
            ("[sensor.fetch]\nbytes_max = 33554433\n", &[], "sensor.fetch.bytes_max"),
            ("[sensor.outposts]\nlisten = \"0.0.0.0:4433\"\n", &[], "sensor.devices is not set"),
            ("[outpost]\nfingerprint = \"ab\"\n", &[], "outpost.fingerprint must be 64 hexadecimal digits"),
            ("[console]\nurl = \"console.example\"\n", &[], "console.url"),
            ("[console]\nurl = \"https://a/b\"\n", &[], "console.url"),
            ("[console]\nlisten = \"8460\"\n", &[], "invalid socket address"),
            ("[console.oidc]\nclient_id = \"a\"\n", &[], "console.oidc.issuer is missing"),
            ("[console.oidc]\nissuer = \"https://a\"\n", &[], "console.oidc.client_id"),
            ("[console.oidc]\nissuer = \"http://id.example\"\n", &[], "console.oidc.issuer is not usable"),
            ("[console.oidc]\nissuer = \"https://id.example?a\"\n", &[], "console.oidc.issuer is not usable"),
            (&oidc(""), &[], "nobody could come in: set console.oidc.roles"),
            (&oidc("client_secret = \"s\""), &[], "unknown field `client_secret`"),
            (&oidc("default_role = \"root\""), &[], "unknown variant `root`"),
            (&oidc("default_role = \"viewer\"\nscopes = [\"profile\"]"), &[], "console.oidc.scopes"),
            (&oidc("default_role = \"viewer\"\nname = \"\""), &[], "console.oidc.name"),
            (&oidc("default_role = \"viewer\"\nroles_claim = \"\""), &[], "console.oidc.roles_claim"),
            (&oidc("roles = { viewer = [\"a\"], admin = [\"a\"] }"), &[], "\"a\" gives two roles"),
            (&oidc("roles = { viewer = [\"\"] }"), &[], "console.oidc.roles: \"\""),
            (&oidc("roles = { root = [\"a\"] }"), &[], "root"),
            ("[lab]\nvirustotal_key = \"secret\"\n", &[], "unknown field `virustotal_key`"),
            ("[lab]\nmalwarebazaar_pause_s = 86401\n", &[], "lab.malwarebazaar_pause_s"),
            ("[sensor.fetch]\ntimeout_s = 0\n", &[], "sensor.fetch.timeout_s"),
        ] {
            let error = load_from(file, variables, Vec::new()).unwrap_err();
            assert!(error.contains(expected), "{file:?} {variables:?}: {error}");
        }
    }

    /// A configuration of a provider with these keys.
    fn oidc(keys: &str) -> String {
        format!("[console.oidc]\nissuer = \"https://id.example\"\nclient_id = \"komainu\"\n{keys}\n")
    }

    #[test]
    fn a_provider_is_configured() {
        let file = oidc("passwords = false\n[console.oidc.roles]\nviewer = [\"staff\"]\nadmin = [\"ops\", \"root\"]");
        let config = load_from(&file, &[("KOMAINU__CONSOLE__OIDC__NAME", "Example")], Vec::new()).unwrap();
        let shown = toml::to_string(&config).unwrap();
        assert_eq!(load_from(&shown, &[], Vec::new()).unwrap(), config);
        assert_eq!((config.console.oidc.name.as_str(), config.console.oidc.roles.len()), ("Example", 2));
    }

    #[test]
    fn what_is_shown_can_be_read_again() {
        let shown = toml::to_string(&Config::default()).unwrap();
        assert_eq!(load_from(&shown, &[], Vec::new()).unwrap(), Config::default());
    }
}
