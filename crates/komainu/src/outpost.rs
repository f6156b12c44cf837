//! `komainu sensor outpost`: a process at another site that carries strangers to a sensor; and what a sensor is configured
//! to let outposts do.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use clap::{Args, Subcommand};
use komainu_model::{ApplianceName, RelayTransport};
use komainu_sensor::{
    AllowedOutpost, Exposed, Outpost, OutpostConfig, OutpostError, OutpostIdentity, OutpostLimits, OutpostsConfig,
    Sha256Digest, TunnelKey,
};
use serde::{Deserialize, Serialize};

use crate::config::Setting;
use crate::serve::Stop;
use crate::{DataArgs, logs, read_config, runtime, sensor};

/// Outposts of one sensor. What each of them may have remembered takes 4 MiB at the sensor.
const OUTPOSTS_MAX: usize = 32;

/// Ports of one outpost: one address with every port of 64 devices, or a few ports at thousands of addresses.
const PORTS_MAX: usize = 4_096;

/// Connections and conversations through one outpost, at most.
const STREAMS_MAX: u32 = 65_536;

/// Bytes of texts that stand in every record.
const TEXT_BYTES_MAX: usize = 64;

/// What to do when a port needs rights.
const PORT_HINT: &str =
    "ports below 1024 need rights: `setcap cap_net_bind_service=+ep`, or a higher `port` with `as` (docs/outposts.md)";

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct OutpostArgs {
    #[command(subcommand)]
    command: Option<OutpostCommand>,
    /// The sensor that has the devices.
    #[arg(long, value_name = "HOST:PORT")]
    sensor: Option<String>,
    /// The SHA-256 of the sensor's certificate, as the sensor prints it.
    #[arg(long, value_name = "SHA256")]
    fingerprint: Option<String>,
    #[command(flatten)]
    folder: DataArgs,
}

#[derive(Debug, Subcommand)]
enum OutpostCommand {
    /// Make this outpost's key, if there is none, and print by what its sensor knows it.
    Init {
        #[command(flatten)]
        folder: DataArgs,
    },
    /// Of a sensor: print by what its outposts know it.
    SensorFingerprint {
        #[command(flatten)]
        folder: DataArgs,
    },
}

/// Who brings strangers to a sensor from other sites.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct OutpostsSection {
    /// Where outposts reach it, UDP. Without it there are none.
    pub(crate) listen: Option<SocketAddr>,
    /// Whether strangers may have addresses that nobody on the internet has.
    pub(crate) lab_addresses: bool,
    /// Who they are.
    pub(crate) allowed: Vec<AllowedSection>,
}

/// An outpost that may bring strangers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct AllowedSection {
    /// Its name in records.
    name: String,
    /// The SHA-256 of its certificate.
    fingerprint: String,
    /// The devices that strangers reach through it.
    devices: Vec<String>,
    /// Where it stands, as its owner calls it.
    #[serde(default)]
    site: Option<String>,
    /// The country where it is reached, two letters.
    #[serde(default)]
    country: Option<String>,
    /// Connections and conversations through it at the same time.
    #[serde(default = "streams_max")]
    streams_max: u32,
}

/// `komainu sensor outpost`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct OutpostSection {
    /// `HOST:PORT` of the sensor.
    pub(crate) sensor: Option<String>,
    /// The SHA-256 of the sensor's certificate.
    pub(crate) fingerprint: Option<String>,
    /// Connections at the same time.
    pub(crate) connections_max: usize,
    /// Connections of one source at the same time.
    pub(crate) connections_per_source_max: usize,
    /// Conversations in datagrams at the same time.
    pub(crate) conversations_max: usize,
    /// Conversations of one source at the same time.
    pub(crate) conversations_per_source_max: usize,
    /// What strangers reach.
    pub(crate) expose: Vec<ExposeSection>,
}

/// Ports of one address at which strangers reach one device.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ExposeSection {
    /// An address of this machine.
    address: Ipv4Addr,
    /// The address that strangers call, when another machine maps it to this one.
    #[serde(default)]
    public_address: Option<Ipv4Addr>,
    /// The device.
    device: String,
    /// The ports.
    ports: Vec<PortSetting>,
    /// How they are carried.
    transport: TransportSetting,
}

/// A port, and the device's when it is another one.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub(crate) enum PortSetting {
    Same(u16),
    Other {
        port: u16,
        #[serde(rename = "as")]
        of_device: u16,
    },
}

/// How a port is carried.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum TransportSetting {
    Tcp,
    Udp,
}

impl Default for OutpostSection {
    fn default() -> Self {
        let limits = OutpostLimits::default();
        Self {
            sensor: None,
            fingerprint: None,
            connections_max: limits.connections_max,
            connections_per_source_max: limits.connections_per_source_max,
            conversations_max: limits.conversations_max,
            conversations_per_source_max: limits.conversations_per_source_max,
            expose: Vec::new(),
        }
    }
}

/// As many as an outpost carries that has its defaults.
fn streams_max() -> u32 {
    let limits = OutpostLimits::default();
    u32::try_from(limits.connections_max + limits.conversations_max).expect("the defaults are small")
}

impl OutpostArgs {
    pub(crate) fn run(&self) -> anyhow::Result<()> {
        match &self.command {
            Some(OutpostCommand::Init { folder }) => {
                println!("{}", TunnelKey::read_or_make(&outpost_folder(&folder.data))?.fingerprint());
                Ok(())
            }
            Some(OutpostCommand::SensorFingerprint { folder }) => {
                let key = TunnelKey::read(&sensor::sensor_folder(&folder.data));
                println!("{}", key.context("a sensor makes its key when it first awaits outposts")?.fingerprint());
                Ok(())
            }
            None => self.carry(),
        }
    }

    /// Carries strangers until SIGTERM or SIGINT.
    fn carry(&self) -> anyhow::Result<()> {
        let text = |text: &String| toml::Value::String(text.clone());
        let given = [("outpost.sensor", &self.sensor), ("outpost.fingerprint", &self.fingerprint)];
        let flags: Vec<Setting> =
            given.into_iter().filter_map(|(path, value)| Some((path, text(value.as_ref()?)))).collect();
        let config = read_config(&self.folder, flags)?;
        logs::start(&config.log)?;
        let config = config.outpost.config(&outpost_folder(&self.folder.data))?;
        runtime()?.block_on(async {
            let mut stop = Stop::listen()?;
            let outpost = Outpost::new(config).await.map_err(with_hint)?;
            println!("ready");
            outpost.run(stop.wait()).await.map_err(with_hint)
        })
    }
}

fn outpost_folder(data: &Path) -> PathBuf {
    data.join("outpost")
}

fn with_hint(error: OutpostError) -> anyhow::Error {
    let needs_rights = matches!(
        &error,
        OutpostError::Open { source, .. } if source.kind() == std::io::ErrorKind::PermissionDenied
    );
    let error = anyhow::Error::from(error);
    if needs_rights { error.context(PORT_HINT) } else { error }
}

impl OutpostsSection {
    /// Whether it makes sense; `has_devices` says whether there are devices that outposts could reach.
    pub(crate) fn check(&self, has_devices: bool) -> anyhow::Result<()> {
        self.allowed().map(drop)?;
        match self.listen {
            Some(_) if !has_devices => {
                bail!("sensor.outposts.listen is set, and sensor.devices is not set: outposts reach real devices only")
            }
            None if !self.allowed.is_empty() => bail!("sensor.outposts.listen is missing"),
            Some(_) | None => Ok(()),
        }
    }

    /// For a sensor whose records are in `folder`, which gets a key if it has none.
    pub(crate) fn config(&self, folder: &Path) -> anyhow::Result<Option<OutpostsConfig>> {
        let Some(listen) = self.listen else { return Ok(None) };
        let key = TunnelKey::read_or_make(folder)?;
        Ok(Some(OutpostsConfig { listen, key, allowed: self.allowed()?, lab_addresses: self.lab_addresses }))
    }

    fn allowed(&self) -> anyhow::Result<Vec<AllowedOutpost>> {
        if self.allowed.len() > OUTPOSTS_MAX {
            bail!("sensor.outposts.allowed has {}: at most {OUTPOSTS_MAX}", self.allowed.len());
        }
        let (mut names, mut fingerprints) = (BTreeSet::new(), BTreeSet::new());
        let mut allowed = Vec::new();
        for (index, one) in self.allowed.iter().enumerate() {
            let at = format!("sensor.outposts.allowed[{index}]");
            let one = one.parse().with_context(|| format!("in {at}"))?;
            if !names.insert(one.identity.name.clone()) || !fingerprints.insert(one.fingerprint.to_string()) {
                bail!("{at} has the name or the fingerprint of another one");
            }
            allowed.push(one);
        }
        Ok(allowed)
    }
}

impl AllowedSection {
    fn parse(&self) -> anyhow::Result<AllowedOutpost> {
        let is_word = |text: &str| text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'));
        if self.name.is_empty() || self.name.len() > TEXT_BYTES_MAX || !is_word(&self.name) {
            bail!("name must have 1 to {TEXT_BYTES_MAX} letters, digits, `-` and `_`");
        }
        if self.site.as_ref().is_some_and(|site| site.is_empty() || site.len() > TEXT_BYTES_MAX) {
            bail!("site must have 1 to {TEXT_BYTES_MAX} bytes");
        }
        if self.country.as_ref().is_some_and(|country| country.len() != 2 || !is_word(country)) {
            bail!("country must have two letters");
        }
        if !(1..=STREAMS_MAX).contains(&self.streams_max) {
            bail!("streams_max must be from 1 to {STREAMS_MAX}");
        }
        if self.devices.is_empty() {
            bail!("devices is empty: name at least one");
        }
        Ok(AllowedOutpost {
            identity: OutpostIdentity {
                name: self.name.clone(),
                site: self.site.clone(),
                country: self.country.clone(),
            },
            fingerprint: fingerprint("fingerprint", &self.fingerprint)?,
            devices: self.devices.iter().map(|name| ApplianceName::parse(name)).collect::<Result<_, _>>()?,
            streams_max: self.streams_max,
        })
    }
}

impl OutpostSection {
    /// Whether what is set makes sense. It is used by outposts only.
    pub(crate) fn check(&self) -> anyhow::Result<()> {
        if let Some(text) = &self.fingerprint {
            fingerprint("outpost.fingerprint", text)?;
        }
        self.exposed().map(drop)
    }

    fn config(&self, folder: &Path) -> anyhow::Result<OutpostConfig> {
        let (Some(sensor), Some(text)) = (&self.sensor, &self.fingerprint) else {
            bail!("outpost.sensor and outpost.fingerprint say who has the devices: set both (docs/outposts.md)");
        };
        let exposed = self.exposed()?;
        if exposed.is_empty() {
            bail!("outpost.expose is empty: nothing would be open");
        }
        let key = TunnelKey::read(folder).context("`komainu sensor outpost init` makes the key")?;
        Ok(OutpostConfig {
            sensor: sensor.clone(),
            fingerprint: fingerprint("outpost.fingerprint", text)?,
            key,
            exposed,
            limits: OutpostLimits {
                connections_max: self.connections_max,
                connections_per_source_max: self.connections_per_source_max,
                conversations_max: self.conversations_max,
                conversations_per_source_max: self.conversations_per_source_max,
            },
        })
    }

    fn exposed(&self) -> anyhow::Result<Vec<Exposed>> {
        let mut exposed = Vec::new();
        let mut taken = BTreeSet::new();
        for (index, section) in self.expose.iter().enumerate() {
            let at = format!("outpost.expose[{index}]");
            let device = ApplianceName::parse(&section.device).with_context(|| format!("in {at}.device"))?;
            for address in [Some(section.address), section.public_address].into_iter().flatten() {
                if address.is_unspecified() || address.is_multicast() || address.is_broadcast() {
                    bail!(
                        "{at}: {address} is not one host's: strangers are answered from the address that they called"
                    );
                }
            }
            let transport = match section.transport {
                TransportSetting::Tcp => RelayTransport::Tcp,
                TransportSetting::Udp => RelayTransport::Udp,
            };
            for setting in &section.ports {
                let (listened, port) = match *setting {
                    PortSetting::Same(port) => (port, port),
                    PortSetting::Other { port, of_device } => (port, of_device),
                };
                let listen = SocketAddrV4::new(section.address, listened);
                if listened == 0 || port == 0 || !taken.insert((transport, listen)) {
                    bail!("{at}.ports: {listened} is no port, or is there twice");
                }
                let called = section.public_address.unwrap_or(section.address);
                exposed.push(Exposed { listen, called, port, transport, device: device.clone() });
            }
        }
        if exposed.len() > PORTS_MAX {
            bail!("outpost.expose has {} ports: at most {PORTS_MAX}", exposed.len());
        }
        Ok(exposed)
    }
}

fn fingerprint(at: &str, text: &str) -> anyhow::Result<Sha256Digest> {
    Sha256Digest::parse(text).with_context(|| format!("{at} must be 64 hexadecimal digits"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIGEST: &str = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";

    fn allowed(text: &str) -> Result<Vec<AllowedOutpost>, String> {
        let section: OutpostsSection = toml::from_str(text).map_err(|error| error.to_string())?;
        section.check(true).and_then(|()| section.allowed()).map_err(|error| format!("{error:#}"))
    }

    fn exposed(text: &str) -> Result<Vec<Exposed>, String> {
        let section: OutpostSection = toml::from_str(text).map_err(|error| error.to_string())?;
        section.exposed().map_err(|error| format!("{error:#}"))
    }

    #[test]
    fn who_may_come_is_checked() {
        let one = |more: &str| format!("[[allowed]]\nname = \"osaka\"\nfingerprint = \"{DIGEST}\"\n{more}\n");
        let good = one("devices = [\"porch\"]\nsite = \"Osaka\"\ncountry = \"JP\"");
        let listen = "listen = \"0.0.0.0:4433\"\n";
        let [known] = &allowed(&format!("{listen}{good}")).unwrap()[..] else { panic!("one") };
        assert_eq!((known.identity.name.as_str(), known.streams_max), ("osaka", 1_536));
        let check = |text: String, expected: &str| {
            let error = allowed(&text).unwrap_err();
            assert!(error.contains(expected), "{text}: {error}");
        };
        check(good.clone(), "listen is missing");
        check(format!("{listen}{good}{good}"), "of another one");
        check(format!("{listen}{}", one("devices = []")), "devices is empty");
        check(format!("{listen}{}", one("devices = [\"../x\"]")), "device name");
        check(format!("{listen}{}", one("devices = [\"porch\"]\nstreams_max = 0")), "streams_max");
        check(format!("{listen}{}", one("devices = [\"porch\"]\ncountry = \"Japan\"")), "country");
        check(format!("{listen}{}", good.replace(DIGEST, "00")), "64 hexadecimal digits");
        check(format!("{listen}{}", good.replace("osaka", "o saka")), "name must have");
    }

    #[test]
    fn what_is_exposed_is_checked() {
        let one = |address: &str, ports: &str| {
            format!("[[expose]]\naddress = \"{address}\"\ndevice = \"porch\"\ntransport = \"tcp\"\nports = {ports}\n")
        };
        let both = one("192.0.2.1", "[80, { port = 10023, as = 23 }]");
        let seen: Vec<_> = exposed(&both).unwrap().iter().map(|one| (one.listen.port(), one.port)).collect();
        assert_eq!(seen, [(80, 80), (10_023, 23)]);
        let check = |text: String, expected: &str| {
            let error = exposed(&text).unwrap_err();
            assert!(error.contains(expected), "{text}: {error}");
        };
        check(one("0.0.0.0", "[80]"), "not one host's");
        check(one("192.0.2.1", "[0]"), "is no port");
        check(one("192.0.2.1", "[80, { port = 80, as = 81 }]"), "is there twice");
        check(one("192.0.2.1", "[80]").replace("porch", "p/"), "device name");
    }
}
