//! Real devices that stand behind a sensor: what they are, which of their ports strangers reach, and how far they get
//! out themselves.

use std::net::{Ipv4Addr, SocketAddrV4};

use crate::id::name_type;

name_type! {
    /// A device's name in the inventory, at most 64 bytes of `a-z A-Z 0-9 _ -`.
    ApplianceName, "device name", 64, "a-z A-Z 0-9 _ -",
    |c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-')
}

name_type! {
    /// A network interface of this machine: at most 15 bytes, as Linux has it (`IFNAMSIZ`), of `a-z A-Z 0-9 . _ -`. It
    /// stands in packet filter rules and in paths below `/proc/sys`.
    InterfaceName, "interface name", 15, "a-z A-Z 0-9 . _ -",
    |c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-')
}

name_type! {
    /// A host name that is resolved, at most 253 bytes (RFC 1035, 2.3.4), in lower case.
    HostName, "host name", 253, "a-z 0-9 . -",
    |c| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '.' | '-')
}

name_type! {
    /// The name of a shared folder, at most 80 bytes (MS-SMB2, 2.2.9, has 80 letters) of `a-z A-Z 0-9 . _ - $` and spaces.
    ShareName, "share name", 80, "a-z A-Z 0-9 . _ - $ and spaces",
    |c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | '$' | ' ')
}

/// Which device of an inventory: its place there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ApplianceIndex(pub u16);

/// A device behind a sensor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Appliance {
    /// Its name in records.
    pub name: ApplianceName,
    /// Who makes it.
    pub maker: String,
    /// The model.
    pub model: String,
    /// What kind of device it is, such as `ip_camera`.
    pub device_type: String,
    /// The version of its firmware.
    pub firmware: Option<String>,
    /// Whether it can be bought.
    pub release_state: ReleaseState,
    /// Where it stands, as its owner calls it.
    pub site: Option<String>,
    /// Its address.
    pub address: Ipv4Addr,
    /// The interface behind which it is, alone.
    pub interface: InterfaceName,
    /// The interface at which strangers come in.
    pub outer_interface: InterfaceName,
    /// The address at which strangers reach it; none: each that this machine has.
    pub public_address: Option<Ipv4Addr>,
    /// What they reach of it. Everything else is closed.
    pub ports: Vec<ExposedPort>,
    /// How far it gets out.
    pub egress: EgressProfile,
    /// The names that it may reach when it may reach its maker's cloud.
    pub vendor_names: Vec<HostName>,
    /// The TCP ports there.
    pub vendor_ports: Vec<u16>,
    /// How much of it.
    pub limits: EgressLimits,
    /// The shared folders of it that the sensor watches.
    pub share: Option<WatchedShares>,
}

impl Appliance {
    /// The port that strangers who came to `original` reach, if it is relayed by a process.
    pub fn relays(&self, transport: RelayTransport, original: SocketAddrV4) -> bool {
        self.public_address.is_none_or(|address| address == *original.ip())
            && self.ports.iter().any(|exposed| {
                exposed.port == original.port() && exposed.transport == transport && exposed.relay == RelayMode::User
            })
    }
}

/// Shared folders of a device, which the sensor lists again and again as a client of SMB.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WatchedShares {
    /// Which.
    pub names: Vec<ShareName>,
    /// As whom the sensor looks; none: as a guest.
    pub account: Option<ShareAccount>,
    /// How long it rests between two looks.
    pub interval_s: u32,
    /// The TCP port of the device, which strangers need not reach.
    pub port: u16,
}

/// An account of a device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShareAccount {
    /// Its name.
    pub user: String,
    /// Its password.
    pub password: SharePassword,
}

/// The password of an account of a device. It stands in no log.
#[derive(Clone, PartialEq, Eq)]
pub struct SharePassword(String);

impl SharePassword {
    /// From its text.
    pub const fn new(text: String) -> Self {
        Self(text)
    }

    /// Its text, for whoever logs in with it.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for SharePassword {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("SharePassword(…)")
    }
}

/// Whether a device can be bought. What is not out yet is confidential: records say so, and exports leave it out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReleaseState {
    /// It can be bought.
    Released,
    /// It is not out yet.
    PreRelease,
}

impl ReleaseState {
    /// The word in inventories and records.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Released => "released",
            Self::PreRelease => "pre_release",
        }
    }

    /// Who may see what is recorded of such a device.
    pub const fn confidentiality(self) -> Confidentiality {
        match self {
            Self::Released => Confidentiality::Open,
            Self::PreRelease => Confidentiality::Confidential,
        }
    }
}

/// Who may see what was recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Confidentiality {
    /// Whoever its owner shows it to.
    Open,
    /// Its owner alone: it tells of a device that is not out yet, and exports leave it out.
    Confidential,
}

/// A port of a device that strangers reach.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ExposedPort {
    /// The number, the same on both sides.
    pub port: u16,
    /// How it is carried.
    pub transport: RelayTransport,
    /// Who carries it.
    pub relay: RelayMode,
}

/// How an exposed port is carried.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RelayTransport {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
}

impl RelayTransport {
    /// The word in inventories and packet filter rules.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
        }
    }
}

/// Who carries what is said at an exposed port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RelayMode {
    /// A process, which records every session.
    User,
    /// The kernel, which counts packets and bytes and nothing else.
    Kernel,
}

/// How far a device gets out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EgressProfile {
    /// Nowhere.
    Blocked,
    /// Nowhere, but names are answered (with an address of documentation) and so is the time.
    SinkholeDnsNtp,
    /// To the names of its maker's cloud; other names are answered as above.
    VendorCloud,
    /// Every TCP connection is taken by the sensor, which says nothing and keeps what it is told first.
    SinkholeAll,
}

impl EgressProfile {
    /// The word in inventories and records.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Blocked => "blocked",
            Self::SinkholeDnsNtp => "sinkhole_dns_ntp",
            Self::VendorCloud => "vendor_cloud",
            Self::SinkholeAll => "sinkhole_all",
        }
    }
}

/// How much a device may do where it gets out at all. What is over is dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EgressLimits {
    /// New connections in a second.
    pub connections_per_s: u32,
    /// Bytes that it sends in a day.
    pub bytes_per_day: u64,
    /// Different addresses in a day.
    pub destinations_per_day: u32,
}

impl Default for EgressLimits {
    /// Enough for a device that reports to its maker, too little for one that scans or floods.
    fn default() -> Self {
        Self { connections_per_s: 5, bytes_per_day: 50 << 20, destinations_per_day: 64 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_cannot_leave_their_place() {
        let check = |text: &str, is_interface, is_host| {
            assert_eq!(InterfaceName::parse(text).is_ok(), is_interface, "interface {text:?}");
            assert_eq!(HostName::parse(text).is_ok(), is_host, "host {text:?}");
        };
        check("eth0.100", true, true);
        check("a\" drop", false, false);
        check("../all", false, false);
        check("cloud.example.com", false, true);
        check("", false, false);
    }
}
