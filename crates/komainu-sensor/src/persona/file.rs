//! The form of a persona's TOML file.

use std::collections::BTreeSet;
use std::sync::Arc;

use komainu_decode::Transport;
use serde::Deserialize;

use super::mount::{MountText, mount_all};
use super::{Accounts, Device, Door, Persona, PersonaError, Source, Target, TargetKind};
use crate::service::Service;
use crate::service::adb::{Adb, AdbText};
use crate::service::coap::{Coap, CoapText};
use crate::service::ftp::{Ftp, FtpText};
use crate::service::http::{Http, HttpText};
use crate::service::mqtt::{Mqtt, MqttText};
use crate::service::raw::{Raw, RawText};
use crate::service::redis::{Redis, RedisText};
use crate::service::rtsp::{Rtsp, RtspText};
use crate::service::sip::{Sip, SipText};
use crate::service::smb::{Smb, SmbText};
use crate::service::snmp::{Snmp, SnmpText};
use crate::service::ssdp::{Ssdp, SsdpText};
use crate::service::ssh::{Ssh, SshText};
use crate::service::telnet::{Telnet, TelnetText};
use crate::service::tftp::{Tftp, TftpText};
use crate::service::wsd::{Wsd, WsdText};
use crate::shell::{Cpu, Machine};
use crate::tls::{Tls, TlsText};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct PersonaText {
    name: String,
    r#type: String,
    model: Option<String>,
    firmware: Option<String>,
    host_name: String,
    cpu: CpuText,
    kernel: Option<String>,
    busybox: Option<String>,
    #[serde(default)]
    account: Vec<AccountText>,
    #[serde(default)]
    mount: Vec<MountText>,
    #[serde(default)]
    http: Vec<HttpText>,
    #[serde(default)]
    raw: Vec<RawText>,
    adb: Option<AdbText>,
    coap: Option<CoapText>,
    ftp: Option<FtpText>,
    mqtt: Option<MqttText>,
    redis: Option<RedisText>,
    rtsp: Option<RtspText>,
    sip: Option<SipText>,
    smb: Option<SmbText>,
    snmp: Option<SnmpText>,
    ssdp: Option<SsdpText>,
    ssh: Option<SshText>,
    telnet: Option<TelnetText>,
    tftp: Option<TftpText>,
    tls: Option<TlsText>,
    wsd: Option<WsdText>,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum CpuText {
    Armv5,
    Armv7,
    Aarch64,
    Mips,
    Mipsel,
    Sh4,
    Powerpc,
    X86,
    #[serde(rename = "x86_64")]
    X86_64,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct AccountText {
    user: String,
    password: String,
}

const TCP: [Transport; 1] = [Transport::Tcp];
const UDP: [Transport; 1] = [Transport::Udp];

/// Reads and checks a persona; `name` is what was asked for.
pub(super) fn persona(name: &str, source: &Source<'_>) -> Result<Persona, PersonaError> {
    let bytes = source.persona_file()?;
    let mut text: PersonaText =
        toml::from_slice(&bytes).map_err(|source| PersonaError::Form { name: name.to_owned(), source })?;
    let device = device(name, source, &mut text)?;
    for (field, value) in [("name", &text.name), ("type", &text.r#type), ("host_name", &text.host_name)] {
        if value.is_empty() || value.chars().any(|letter| letter.is_control() || letter.is_whitespace()) {
            return Err(device.wrong(field, "must be a word"));
        }
    }
    let doors = doors(&mut text, &device)?;
    let target = Target {
        persona: Some(text.name.clone()),
        device_type: Some(text.r#type),
        model: text.model,
        firmware: text.firmware,
        ..Target::of_kind(TargetKind::Emulated)
    };
    Ok(Persona { name: text.name, target: Arc::new(target), doors })
}

fn device<'a>(persona: &'a str, source: &'a Source<'a>, text: &mut PersonaText) -> Result<Device<'a>, PersonaError> {
    let accounts = std::mem::take(&mut text.account).into_iter().map(|one| (one.user.into(), one.password.into()));
    let mut machine = Machine::new(cpu(text.cpu), &text.host_name);
    if let Some(kernel) = text.kernel.take() {
        machine.kernel = kernel;
    }
    if let Some(busybox) = text.busybox.take() {
        machine.busybox_version = busybox;
    }
    let mut device = Device {
        persona,
        source,
        name: text.name.clone(),
        host_name: text.host_name.clone(),
        model: text.model.clone(),
        firmware: text.firmware.clone(),
        accounts: Accounts(accounts.collect()),
        machine: Arc::new(machine.clone()),
    };
    mount_all(&mut machine, std::mem::take(&mut text.mount), &device)?;
    device.machine = Arc::new(machine);
    Ok(device)
}

/// The ports of a persona, in the order in which they are shown.
fn doors(text: &mut PersonaText, device: &Device<'_>) -> Result<Vec<Door>, PersonaError> {
    let mut doors = Doors { taken: BTreeSet::new(), doors: Vec::new() };
    let tls = Arc::new(Tls::check(text.tls.take().unwrap_or_default(), "tls", device)?);
    if let Some(text) = text.telnet.take() {
        let ports = text.ports.clone();
        let telnet = Telnet::check(text, "telnet", device)?;
        doors.open(device, "telnet", &TCP, &ports, &Service::Telnet(Arc::new(telnet)))?;
    }
    if let Some(text) = text.ssh.take() {
        let ports = text.ports.clone();
        let ssh = Ssh::check(text, "ssh", device)?;
        doors.open(device, "ssh", &TCP, &ports, &Service::Ssh(Arc::new(ssh)))?;
    }
    for (index, text) in std::mem::take(&mut text.http).into_iter().enumerate() {
        let (at, ports, tls_ports) = (format!("http[{index}]"), text.ports.clone(), text.tls_ports.clone());
        let http = Service::Http(Arc::new(Http::check(text, &at, device)?));
        if !ports.is_empty() || tls_ports.is_empty() {
            doors.open(device, &at, &TCP, &ports, &http)?;
        }
        doors.open_tls(device, &format!("{at}.tls_ports"), &tls_ports, &http, &tls)?;
    }
    if let Some(text) = text.ftp.take() {
        let ports = text.ports.clone();
        let ftp = Ftp::check(text, "ftp", device)?;
        doors.open(device, "ftp", &TCP, &ports, &Service::Ftp(Arc::new(ftp)))?;
    }
    if let Some(text) = text.tftp.take() {
        let ports = text.ports.clone();
        let tftp = Tftp::check(text, "tftp", device)?;
        doors.open(device, "tftp", &UDP, &ports, &Service::Tftp(Arc::new(tftp)))?;
    }
    if let Some(text) = text.smb.take() {
        let ports = text.ports.clone();
        let smb = Smb::check(text, "smb", device)?;
        doors.open(device, "smb", &TCP, &ports, &Service::Smb(Arc::new(smb)))?;
    }
    if let Some(text) = text.adb.take() {
        let ports = text.ports.clone();
        let adb = Adb::check(text, "adb", device)?;
        doors.open(device, "adb", &TCP, &ports, &Service::Adb(Arc::new(adb)))?;
    }
    if let Some(text) = text.redis.take() {
        let ports = text.ports.clone();
        let redis = Redis::check(text, "redis", device)?;
        doors.open(device, "redis", &TCP, &ports, &Service::Redis(Arc::new(redis)))?;
    }
    if let Some(text) = text.mqtt.take() {
        let (ports, tls_ports) = (text.ports.clone(), text.tls_ports.clone());
        let mqtt = Service::Mqtt(Arc::new(Mqtt::check(text, "mqtt", device)?));
        doors.open(device, "mqtt", &TCP, &ports, &mqtt)?;
        doors.open_tls(device, "mqtt.tls_ports", &tls_ports, &mqtt, &tls)?;
    }
    if let Some(text) = text.coap.take() {
        let ports = text.ports.clone();
        let coap = Coap::check(text, "coap", device)?;
        doors.open(device, "coap", &UDP, &ports, &Service::Coap(Arc::new(coap)))?;
    }
    if let Some(text) = text.rtsp.take() {
        let ports = text.ports.clone();
        let rtsp = Rtsp::check(text, "rtsp", device)?;
        doors.open(device, "rtsp", &TCP, &ports, &Service::Rtsp(Arc::new(rtsp)))?;
    }
    if let Some(text) = text.sip.take() {
        let ports = text.ports.clone();
        let sip = Sip::check(text, "sip", device)?;
        doors.open(device, "sip", &[Transport::Tcp, Transport::Udp], &ports, &Service::Sip(Arc::new(sip)))?;
    }
    if let Some(text) = text.ssdp.take() {
        let ports = text.ports.clone();
        let ssdp = Ssdp::check(text, "ssdp", device)?;
        doors.open(device, "ssdp", &UDP, &ports, &Service::Ssdp(Arc::new(ssdp)))?;
    }
    if let Some(text) = text.wsd.take() {
        let ports = text.ports.clone();
        let wsd = Wsd::check(text, "wsd", device)?;
        doors.open(device, "wsd", &UDP, &ports, &Service::Wsd(Arc::new(wsd)))?;
    }
    if let Some(text) = text.snmp.take() {
        let ports = text.ports.clone();
        let snmp = Snmp::check(text, "snmp", device)?;
        doors.open(device, "snmp", &UDP, &ports, &Service::Snmp(Arc::new(snmp)))?;
    }
    for (index, text) in std::mem::take(&mut text.raw).into_iter().enumerate() {
        let (at, ports) = (format!("raw[{index}]"), text.ports.clone());
        let raw = Raw::check(text, &at, device)?;
        doors.open(device, &at, &TCP, &ports, &Service::Raw(Arc::new(raw)))?;
    }
    if doors.doors.is_empty() {
        return Err(device
            .wrong("ports", "are missing: a persona needs one of [telnet], [[http]], [[raw]] or another protocol"));
    }
    Ok(doors.doors)
}

struct Doors {
    taken: BTreeSet<(bool, u16)>,
    doors: Vec<Door>,
}

impl Doors {
    fn open(
        &mut self,
        device: &Device<'_>,
        at: &str,
        transports: &[Transport],
        ports: &[u16],
        service: &Service,
    ) -> Result<(), PersonaError> {
        let at = format!("{at}.ports");
        if ports.is_empty() {
            return Err(device.wrong(at, "is empty"));
        }
        for transport in transports {
            for port in ports {
                self.add(
                    device,
                    &at,
                    Door { port: *port, transport: *transport, service: service.clone(), tls: None },
                )?;
            }
        }
        Ok(())
    }

    /// Opens ports at which a service is reached over TLS; `at` is where they stand.
    fn open_tls(
        &mut self,
        device: &Device<'_>,
        at: &str,
        ports: &[u16],
        service: &Service,
        tls: &Arc<Tls>,
    ) -> Result<(), PersonaError> {
        for port in ports {
            let (service, tls) = (service.clone(), Some(tls.clone()));
            self.add(device, at, Door { port: *port, transport: Transport::Tcp, service, tls })?;
        }
        Ok(())
    }

    fn add(&mut self, device: &Device<'_>, at: &str, door: Door) -> Result<(), PersonaError> {
        let port = door.port;
        if port == 0 {
            return Err(device.wrong(at, "has port 0"));
        }
        if !self.taken.insert((door.transport == Transport::Udp, port)) {
            return Err(device.wrong(at, format!("has port {port} a second time")));
        }
        self.doors.push(door);
        Ok(())
    }
}

const fn cpu(text: CpuText) -> Cpu {
    match text {
        CpuText::Armv5 => Cpu::Armv5,
        CpuText::Armv7 => Cpu::Armv7,
        CpuText::Aarch64 => Cpu::Aarch64,
        CpuText::Mips => Cpu::Mips,
        CpuText::Mipsel => Cpu::Mipsel,
        CpuText::Sh4 => Cpu::Sh4,
        CpuText::Powerpc => Cpu::Powerpc,
        CpuText::X86 => Cpu::X86,
        CpuText::X86_64 => Cpu::X86_64,
    }
}
