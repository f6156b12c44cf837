//! The inventory: which devices stand behind the sensor. A TOML file, checked whole before anything is opened.

mod share;

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Read};
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

use komainu_model::{
    Appliance, ApplianceIndex, ApplianceName, EgressLimits, EgressProfile, ExposedPort, HostName, InterfaceName,
    RelayMode, RelayTransport, ReleaseState, ResetPlan,
};
use serde::{Deserialize, Serialize};

use self::reset::ResetText;
use self::share::{PasswordFile, ShareText};

pub(crate) mod reset;

/// Devices of an inventory. Each has an interface of its own on this machine, and packet filter rules of its own.
pub(crate) const DEVICES_MAX: usize = 64;

/// Exposed ports of a device, names and ports of a maker's cloud.
const ENTRIES_MAX: usize = 64;

/// Bytes of an inventory: far more than so many devices need.
const FILE_BYTES_MAX: u64 = 1024 * 1024;

/// Bytes of a text such as a model.
const TEXT_BYTES_MAX: usize = 128;

/// Destinations of a day that the packet filter may have to remember.
const DESTINATIONS_MAX: u32 = 65_536;

/// New connections in a second that may be asked for: more is no limit.
const CONNECTIONS_PER_S_MAX: u32 = 10_000;

/// The devices behind a sensor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inventory {
    devices: Vec<Appliance>,
    /// What is done with each after an incident, at the same places.
    resets: Vec<Option<ResetPlan>>,
    /// Where passwords are that are not read yet.
    password_files: Vec<PasswordFile>,
}

/// Why an inventory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum InventoryError {
    /// The file cannot be read.
    #[error("cannot read the inventory {}", path.display())]
    Io {
        /// Which.
        path: PathBuf,
        /// Why it failed.
        #[source]
        source: io::Error,
    },
    /// It is not in the form of an inventory.
    #[error("the inventory is not valid")]
    Form(#[source] toml::de::Error),
    /// A value makes no sense.
    #[error("{field} {problem}")]
    Field {
        /// The path of the value, such as `device[0].address`.
        field: String,
        /// What is wrong with it.
        problem: String,
    },
}

impl Inventory {
    /// Reads and checks an inventory, and reads the passwords that it names.
    pub fn read(path: &Path) -> Result<Self, InventoryError> {
        let failed = |source| InventoryError::Io { path: path.to_owned(), source };
        let mut text = String::new();
        let file = File::open(path).map_err(failed)?;
        file.take(FILE_BYTES_MAX + 1).read_to_string(&mut text).map_err(failed)?;
        if text.len() as u64 > FILE_BYTES_MAX {
            return Err(failed(io::ErrorKind::FileTooLarge.into()));
        }
        let mut inventory = Self::parse(&text)?;
        inventory.read_passwords(path)?;
        Ok(inventory)
    }

    /// Checks the text of an inventory. Passwords that it names are not read.
    pub fn parse(text: &str) -> Result<Self, InventoryError> {
        let text: InventoryText = toml::from_str(text).map_err(InventoryError::Form)?;
        share::refuse_passwords(&text.device)?;
        check(text)
    }

    /// Checks what [`Self::to_text`] made, which has passwords in it.
    pub(crate) fn parse_handed_on(text: &str) -> Result<Self, InventoryError> {
        check(toml::from_str(text).map_err(InventoryError::Form)?)
    }

    /// The devices, each at the place that its [`ApplianceIndex`] says.
    pub fn devices(&self) -> &[Appliance] {
        &self.devices
    }

    pub(crate) fn device(&self, index: ApplianceIndex) -> Option<&Appliance> {
        self.devices.get(usize::from(index.0))
    }

    /// Each device with its place.
    pub(crate) fn indexed(&self) -> impl Iterator<Item = (ApplianceIndex, &Appliance)> {
        (0..).map(ApplianceIndex).zip(&self.devices)
    }

    /// What is done with a device after an incident.
    pub(crate) fn reset(&self, index: ApplianceIndex) -> Option<&ResetPlan> {
        self.resets.get(usize::from(index.0))?.as_ref()
    }

    /// The place of the device with this name.
    pub fn find(&self, name: &str) -> Option<ApplianceIndex> {
        self.indexed().find(|(_, device)| device.name.as_str() == name).map(|(index, _)| index)
    }

    /// The text of an inventory that says the same, without what only its owner needs to know, and with the passwords that
    /// whoever gets it needs.
    pub(crate) fn to_text(&self) -> String {
        let text = InventoryText { device: self.devices.iter().map(DeviceText::of).collect() };
        toml::to_string(&text).expect("an inventory has only tables, lists, words and numbers")
    }
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct InventoryText {
    #[serde(default)]
    device: Vec<DeviceText>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct DeviceText {
    name: String,
    maker: String,
    model: String,
    r#type: String,
    firmware: Option<String>,
    /// For the owner of the file. It stands in no record, and is not handed on.
    #[serde(skip_serializing)]
    serial: Option<String>,
    release_state: ReleaseStateText,
    site: Option<String>,
    address: Ipv4Addr,
    interface: String,
    outer_interface: String,
    public_address: Option<Ipv4Addr>,
    #[serde(default)]
    egress: EgressText,
    #[serde(default)]
    vendor_names: Vec<String>,
    #[serde(default)]
    vendor_ports: Vec<u16>,
    #[serde(default)]
    ports: Vec<PortText>,
    #[serde(default)]
    limits: LimitsText,
    /// For the process with the rights. It is not handed on.
    #[serde(skip_serializing)]
    reset: Option<ResetText>,
    share: Option<ShareText>,
}

#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum ReleaseStateText {
    Released,
    PreRelease,
}

#[derive(Debug, Default, Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum EgressText {
    #[default]
    Blocked,
    SinkholeDnsNtp,
    VendorCloud,
    SinkholeAll,
}

#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct PortText {
    port: u16,
    transport: TransportText,
    #[serde(default)]
    relay: RelayText,
}

#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum TransportText {
    Tcp,
    Udp,
}

#[derive(Debug, Default, Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum RelayText {
    #[default]
    User,
    Kernel,
}

#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct LimitsText {
    connections_per_s: u32,
    bytes_per_day: u64,
    destinations_per_day: u32,
}

impl Default for LimitsText {
    fn default() -> Self {
        Self::of(EgressLimits::default())
    }
}

fn check(text: InventoryText) -> Result<Inventory, InventoryError> {
    if text.device.is_empty() {
        return Err(wrong("device", "is missing: an inventory has at least one [[device]]"));
    }
    if text.device.len() > DEVICES_MAX {
        return Err(wrong("device", format!("stands there more than {DEVICES_MAX} times")));
    }
    let password_files = share::password_files(&text.device);
    let (mut devices, mut resets) = (Vec::new(), Vec::new());
    for (index, mut text) in text.device.into_iter().enumerate() {
        let at = format!("device[{index}]");
        resets.push(text.reset.take().map(|reset| reset.plan(&format!("{at}.reset"))).transpose()?);
        devices.push(device(&at, text)?);
    }
    together(&devices)?;
    Ok(Inventory { devices, resets, password_files })
}

fn wrong(field: impl Into<String>, problem: impl Into<String>) -> InventoryError {
    InventoryError::Field { field: field.into(), problem: problem.into() }
}

fn device(at: &str, text: DeviceText) -> Result<Appliance, InventoryError> {
    let field = |name: &str| format!("{at}.{name}");
    let name =
        ApplianceName::parse(&text.name).map_err(|error| wrong(field("name"), format!("is not right: {error}")))?;
    for (of, value) in [
        ("maker", Some(&text.maker)),
        ("model", Some(&text.model)),
        ("type", Some(&text.r#type)),
        ("firmware", text.firmware.as_ref()),
        ("serial", text.serial.as_ref()),
        ("site", text.site.as_ref()),
    ] {
        let Some(value) = value else { continue };
        if value.is_empty() || value.len() > TEXT_BYTES_MAX || value.chars().any(char::is_control) {
            return Err(wrong(field(of), format!("must be 1 to {TEXT_BYTES_MAX} bytes of text")));
        }
    }
    for (of, address) in [("address", Some(text.address)), ("public_address", text.public_address)] {
        if address.is_some_and(|address| !is_of_one_host(address)) {
            return Err(wrong(field(of), "must be the address of one host"));
        }
    }
    let egress = text.egress.profile();
    let vendor_names = vendor_names(at, &text)?;
    if (egress == EgressProfile::VendorCloud) == vendor_names.is_empty() {
        return Err(wrong(field("vendor_names"), "must be there with egress = \"vendor_cloud\", and only then"));
    }
    let vendor_ports = match (egress, text.vendor_ports.is_empty()) {
        (EgressProfile::VendorCloud, true) => vec![443],
        _ => text.vendor_ports,
    };
    if vendor_ports.len() > ENTRIES_MAX || vendor_ports.contains(&0) {
        return Err(wrong(field("vendor_ports"), format!("must be at most {ENTRIES_MAX} ports from 1 on")));
    }
    let ports = ports(&field("ports"), &text.ports)?;
    Ok(Appliance {
        name,
        maker: text.maker,
        model: text.model,
        device_type: text.r#type,
        firmware: text.firmware,
        release_state: text.release_state.state(),
        site: text.site,
        address: text.address,
        interface: interface(field("interface"), &text.interface)?,
        outer_interface: interface(field("outer_interface"), &text.outer_interface)?,
        public_address: text.public_address,
        ports,
        egress,
        vendor_names,
        vendor_ports,
        limits: text.limits.limits(&field("limits"))?,
        share: text.share.map(|share| share.watched(&field("share"))).transpose()?,
    })
}

pub(crate) fn is_of_one_host(address: Ipv4Addr) -> bool {
    !(address.is_unspecified() || address.is_loopback() || address.is_multicast() || address.is_broadcast())
}

fn interface(field: String, text: &str) -> Result<InterfaceName, InventoryError> {
    // These are no interfaces below /proc/sys, or none that has a wire.
    if matches!(text, "." | ".." | "all" | "default" | "lo") {
        return Err(wrong(field, "must be an interface with a wire"));
    }
    InterfaceName::parse(text).map_err(|error| wrong(field, format!("is not right: {error}")))
}

fn vendor_names(at: &str, text: &DeviceText) -> Result<Vec<HostName>, InventoryError> {
    if text.vendor_names.len() > ENTRIES_MAX {
        return Err(wrong(format!("{at}.vendor_names"), format!("has more than {ENTRIES_MAX} entries")));
    }
    let mut names = Vec::new();
    for (index, name) in text.vendor_names.iter().enumerate() {
        let field = format!("{at}.vendor_names[{index}]");
        let name = HostName::parse(name).map_err(|error| wrong(field.clone(), format!("is not right: {error}")))?;
        if name.as_str().split('.').any(|label| label.is_empty() || label.len() > 63) {
            return Err(wrong(field, "must be a name such as cloud.example.com"));
        }
        names.push(name);
    }
    Ok(names)
}

fn ports(field: &str, texts: &[PortText]) -> Result<Vec<ExposedPort>, InventoryError> {
    if texts.len() > ENTRIES_MAX {
        return Err(wrong(field, format!("has more than {ENTRIES_MAX} entries")));
    }
    let mut taken = BTreeSet::new();
    let mut ports = Vec::new();
    for (index, text) in texts.iter().enumerate() {
        let exposed = text.exposed();
        if exposed.port == 0 {
            return Err(wrong(format!("{field}[{index}].port"), "is 0"));
        }
        if (exposed.transport, exposed.relay) == (RelayTransport::Udp, RelayMode::Kernel) {
            let problem = "is \"kernel\" for UDP: nothing would bound the answers to forged addresses";
            return Err(wrong(format!("{field}[{index}].relay"), problem));
        }
        if !taken.insert((exposed.transport, exposed.port)) {
            return Err(wrong(format!("{field}[{index}].port"), "is there a second time"));
        }
        ports.push(exposed);
    }
    Ok(ports)
}

/// What devices may not share.
fn together(devices: &[Appliance]) -> Result<(), InventoryError> {
    for (index, device) in devices.iter().enumerate() {
        let field = |name: &str| format!("device[{index}].{name}");
        if devices.iter().any(|other| other.outer_interface == device.interface) {
            return Err(wrong(
                field("interface"),
                "is an outer interface too: strangers and devices must not share one",
            ));
        }
        for other in &devices[..index] {
            if other.name == device.name {
                return Err(wrong(field("name"), format!("{} is there a second time", device.name)));
            }
            if other.address == device.address {
                return Err(wrong(field("address"), format!("is that of device {}", other.name)));
            }
            if other.interface == device.interface {
                let problem = format!(
                    "is that of device {}: each needs one (a VLAN) of its own, or they attack each other",
                    other.name
                );
                return Err(wrong(field("interface"), problem));
            }
            let same_place = match (other.public_address, device.public_address) {
                (Some(one), Some(another)) => one == another,
                (None, _) | (_, None) => true,
            };
            let shared = device
                .ports
                .iter()
                .find(|mine| other.ports.iter().any(|its| (its.port, its.transport) == (mine.port, mine.transport)));
            if let (true, Some(shared)) = (same_place, shared) {
                let (transport, port) = (shared.transport.as_str(), shared.port);
                let problem = format!(
                    "has {transport} port {port}, which strangers reach device {} by: give each a public_address of its own",
                    other.name
                );
                return Err(wrong(field("ports"), problem));
            }
        }
    }
    Ok(())
}

impl DeviceText {
    fn of(device: &Appliance) -> Self {
        Self {
            name: device.name.to_string(),
            maker: device.maker.clone(),
            model: device.model.clone(),
            r#type: device.device_type.clone(),
            firmware: device.firmware.clone(),
            serial: None,
            release_state: match device.release_state {
                ReleaseState::Released => ReleaseStateText::Released,
                ReleaseState::PreRelease => ReleaseStateText::PreRelease,
            },
            site: device.site.clone(),
            address: device.address,
            interface: device.interface.to_string(),
            outer_interface: device.outer_interface.to_string(),
            public_address: device.public_address,
            egress: EgressText::of(device.egress),
            vendor_names: device.vendor_names.iter().map(HostName::to_string).collect(),
            vendor_ports: device.vendor_ports.clone(),
            ports: device.ports.iter().map(PortText::of).collect(),
            limits: LimitsText::of(device.limits),
            reset: None,
            share: device.share.as_ref().map(ShareText::of),
        }
    }
}

impl ReleaseStateText {
    const fn state(self) -> ReleaseState {
        match self {
            Self::Released => ReleaseState::Released,
            Self::PreRelease => ReleaseState::PreRelease,
        }
    }
}

impl EgressText {
    const fn of(profile: EgressProfile) -> Self {
        match profile {
            EgressProfile::Blocked => Self::Blocked,
            EgressProfile::SinkholeDnsNtp => Self::SinkholeDnsNtp,
            EgressProfile::VendorCloud => Self::VendorCloud,
            EgressProfile::SinkholeAll => Self::SinkholeAll,
        }
    }

    const fn profile(self) -> EgressProfile {
        match self {
            Self::Blocked => EgressProfile::Blocked,
            Self::SinkholeDnsNtp => EgressProfile::SinkholeDnsNtp,
            Self::VendorCloud => EgressProfile::VendorCloud,
            Self::SinkholeAll => EgressProfile::SinkholeAll,
        }
    }
}

impl PortText {
    const fn of(exposed: &ExposedPort) -> Self {
        Self {
            port: exposed.port,
            transport: match exposed.transport {
                RelayTransport::Tcp => TransportText::Tcp,
                RelayTransport::Udp => TransportText::Udp,
            },
            relay: match exposed.relay {
                RelayMode::User => RelayText::User,
                RelayMode::Kernel => RelayText::Kernel,
            },
        }
    }

    const fn exposed(self) -> ExposedPort {
        ExposedPort {
            port: self.port,
            transport: match self.transport {
                TransportText::Tcp => RelayTransport::Tcp,
                TransportText::Udp => RelayTransport::Udp,
            },
            relay: match self.relay {
                RelayText::User => RelayMode::User,
                RelayText::Kernel => RelayMode::Kernel,
            },
        }
    }
}

impl LimitsText {
    const fn of(limits: EgressLimits) -> Self {
        Self {
            connections_per_s: limits.connections_per_s,
            bytes_per_day: limits.bytes_per_day,
            destinations_per_day: limits.destinations_per_day,
        }
    }

    fn limits(self, at: &str) -> Result<EgressLimits, InventoryError> {
        let field = |name: &str| format!("{at}.{name}");
        if !(1..=CONNECTIONS_PER_S_MAX).contains(&self.connections_per_s) {
            return Err(wrong(field("connections_per_s"), format!("must be 1 to {CONNECTIONS_PER_S_MAX}")));
        }
        if self.bytes_per_day == 0 || i64::try_from(self.bytes_per_day).is_err() {
            return Err(wrong(field("bytes_per_day"), "must be from 1 on"));
        }
        if !(1..=DESTINATIONS_MAX).contains(&self.destinations_per_day) {
            return Err(wrong(field("destinations_per_day"), format!("must be 1 to {DESTINATIONS_MAX}")));
        }
        let Self { connections_per_s, bytes_per_day, destinations_per_day } = self;
        Ok(EgressLimits { connections_per_s, bytes_per_day, destinations_per_day })
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Two devices that use everything an inventory has.
    pub(crate) const EXAMPLE: &str = r#"
[[device]]
name = "porch"
maker = "Example"
model = "Cam 3"
type = "ip_camera"
firmware = "1.2"
serial = "SN-SECRET-1"
release_state = "pre_release"
site = "lab"
address = "192.168.77.2"
interface = "vlan77"
outer_interface = "eth0"
public_address = "198.51.100.1"
egress = "vendor_cloud"
vendor_names = ["cloud.example.com"]
vendor_ports = [443, 8883]
ports = [
    { port = 23, transport = "tcp" },
    { port = 80, transport = "tcp", relay = "user" },
    { port = 1900, transport = "udp" },
    { port = 554, transport = "tcp", relay = "kernel" },
]
limits = { connections_per_s = 3, bytes_per_day = 1000000, destinations_per_day = 8 }

[[device]]
name = "fridge"
maker = "Example"
model = "Cold 9"
type = "refrigerator"
release_state = "released"
address = "192.168.78.2"
interface = "vlan78"
outer_interface = "eth0"
public_address = "198.51.100.2"
egress = "sinkhole_all"
ports = [{ port = 80, transport = "tcp" }]

[device.share]
name = ["public", "media"]
user = "looker"
password_file = "fridge.password"
interval_s = 10
"#;

    #[test]
    fn the_documented_example_is_valid() {
        let text = include_str!("../../../docs/relay.md");
        let example = text.split("```toml\n# devices.toml").nth(1).unwrap().split("```").next().unwrap();
        let inventory = Inventory::parse(example).unwrap();
        assert_eq!(inventory.devices()[0].name.as_str(), "porch-camera");
    }

    #[test]
    fn what_is_handed_on_says_the_same_without_the_serial_and_the_reset() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("devices.toml");
        std::fs::write(&path, format!("{EXAMPLE}[device.reset]\n{}", reset::tests::EXAMPLE)).unwrap();
        std::fs::write(folder.path().join("fridge.password"), "to look only\n").unwrap();
        let inventory = Inventory::read(&path).unwrap();
        assert!(inventory.reset(ApplianceIndex(0)).is_none());
        assert!(inventory.reset(ApplianceIndex(1)).is_some());
        assert!(!format!("{inventory:?}").contains("to look only"));
        let text = inventory.to_text();
        let handed_on = Inventory::parse_handed_on(&text).unwrap();
        assert_eq!(handed_on.devices, inventory.devices);
        assert_eq!(handed_on.resets, [None, None]);
        assert!(text.contains("to look only"), "whoever watches the share needs it");
        for secret in ["SN-SECRET", "reset", "community", "token"] {
            assert!(!text.contains(secret), "{secret}");
        }
    }

    #[test]
    fn mistakes_are_told_by_their_field() {
        let check = |from: &str, to: &str, expected: &str| {
            assert!(EXAMPLE.contains(from), "{from}");
            let error = Inventory::parse(&EXAMPLE.replace(from, to)).unwrap_err().to_string();
            assert!(error.contains(expected), "{to}: {error}");
        };
        check("name = \"fridge\"", "name = \"porch\"", "device[1].name porch is there a second time");
        check("name = \"fridge\"", "name = \"a b\"", "device[1].name is not right");
        check("vlan78", "vlan77", "device[1].interface is that of device porch");
        check("vlan78", "eth0", "device[1].interface is an outer interface too");
        check("vlan78", "..", "device[1].interface must be an interface with a wire");
        check("vlan78", "a;drop", "device[1].interface is not right");
        check("192.168.78.2", "192.168.77.2", "device[1].address is that of device porch");
        check("192.168.78.2", "127.0.0.1", "device[1].address must be");
        check("198.51.100.2", "198.51.100.1", "device[1].ports has tcp port 80");
        check("public_address = \"198.51.100.2\"", "", "device[1].ports has tcp port 80");
        check("\"cloud.example.com\"", "", "device[0].vendor_names must be there");
        check("\"cloud.example.com\"", "\"a..b\"", "device[0].vendor_names[0] must be a name");
        check(
            "egress = \"sinkhole_all\"",
            "egress = \"sinkhole_all\"\nvendor_names = [\"a.b\"]",
            "device[1].vendor_names",
        );
        check("port = 1900", "port = 0", "device[0].ports[2].port is 0");
        check("554, transport = \"tcp\"", "554, transport = \"udp\"", "device[0].ports[3].relay is \"kernel\" for UDP");
        check("port = 554", "port = 80", "device[0].ports[3].port is there a second time");
        check("connections_per_s = 3", "connections_per_s = 0", "device[0].limits.connections_per_s must be");
        check("maker = \"Example\"\nmodel = \"Cold 9\"", "maker = \"\"\nmodel = \"x\"", "device[1].maker must be");
        check("[\"public\", \"media\"]", "[]", "device[1].share.name must be 1 to 8");
        check("\"media\"", "\"a/b\"", "device[1].share.name[1] is not right");
        check("\"media\"", "\"PUBLIC\"", "device[1].share.name[1] is there a second time");
        check("interval_s = 10", "interval_s = 4", "device[1].share.interval_s must be");
        check("interval_s = 10", "port = 0", "device[1].share.port must be");
        check("user = \"looker\"", "", "device[1].share.password_file must be there with user, and only then");
        check("user = \"looker\"", "user = \"Guest\"", "device[1].share.user is left out for a guest");
        check("interval_s = 10", "password = \"x\"", "device[1].share.password must stand in a file");
        check(EXAMPLE, "", "device is missing");
        check("[[device]]\nname = \"fridge\"", "[[device]]\nnome = \"fridge\"", "not valid");
    }
}
