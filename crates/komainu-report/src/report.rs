//! What a device says of itself.

use std::net::IpAddr;

/// How a report and its answer are encoded: the last part of the topic it came on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Encoding {
    Json,
    Cbor,
}

/// A report's values. A section that the device did not send is `None`; an empty list is a value.
#[derive(Debug, Clone, PartialEq)]
pub struct Report {
    /// The device's own number for it, greater than zero; the answer repeats it.
    pub report_id: u64,
    /// The version of the schema; its major part is 1.
    pub version: Version,
    /// The TCP ports it listens on, in rising order, each once.
    pub listening_tcp_ports: Option<Vec<u16>>,
    /// How many they are. The list may be cut short by the agent; this is then the true number.
    pub listening_tcp_port_count: Option<u64>,
    /// The UDP ports it listens on, in rising order, each once.
    pub listening_udp_ports: Option<Vec<u16>>,
    /// How many they are.
    pub listening_udp_port_count: Option<u64>,
    /// The established TCP connections whose peer could be read.
    pub connections: Option<Vec<Connection>>,
    /// The peers' addresses, in rising order, each once.
    pub destinations: Option<Vec<IpAddr>>,
    /// How many established TCP connections there are, the unreadable ones and those left out by the agent included.
    pub connection_count: Option<u64>,
    /// Traffic since the device's previous report.
    pub network: NetworkStats,
    /// Metrics of the operator's own, in the order of the report, each name once.
    pub custom: Vec<CustomMetric>,
}

/// The version of the schema a report follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[expect(missing_docs, reason = "the names say it")]
pub struct Version {
    pub major: u32,
    pub minor: u32,
}

/// Traffic since the device's previous report, as the device counted it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct NetworkStats {
    /// Bytes received.
    pub bytes_in: Option<u64>,
    /// Bytes sent.
    pub bytes_out: Option<u64>,
    /// Packets received.
    pub packets_in: Option<u64>,
    /// Packets sent.
    pub packets_out: Option<u64>,
}

/// The far end of an established TCP connection. An IPv4 address in IPv6 clothes (`::ffff:192.0.2.1`) is an IPv4
/// address here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Connection {
    /// The peer's address.
    pub address: IpAddr,
    /// The peer's port, when the device said it.
    pub port: Option<u16>,
}

/// One metric of the operator's own.
#[derive(Debug, Clone, PartialEq)]
pub struct CustomMetric {
    /// Its name: 1 to 128 characters of `[a-zA-Z0-9:_-]`.
    pub name: String,
    /// Its value.
    pub value: CustomValue,
}

/// The value of a custom metric. Numbers are finite.
#[derive(Debug, Clone, PartialEq)]
pub enum CustomValue {
    /// `number`.
    Number(f64),
    /// `number_list`.
    Numbers(Vec<f64>),
    /// `string_list`.
    Strings(Vec<String>),
    /// `ip_list`.
    Addresses(Vec<IpAddr>),
}
