//! Metrics: what is measured of a device, by itself or by the gateway.

use std::net::IpAddr;

use crate::id::{is_iot_name_char, name_type};
use crate::{IndicatorMatch, InvalidName, NameProblem, Timestamp};

name_type! {
    /// The name of a custom metric: 1 to 128 characters of `[a-zA-Z0-9:_-]`.
    MetricName, "custom metric name", 128, "a-z A-Z 0-9 : _ -", is_iot_name_char
}
name_type! {
    /// Who a measurement is about: a registered thing's name, or the name an unregistered device goes by.
    /// 1 to 128 bytes without control characters (AWS IoT developer guide, Device Defender reserved topics).
    ReporterName, "thing name", 128, "printable characters", |c| !c.is_control()
}

/// A metric.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Metric {
    /// Reported by the device's agent.
    Device(DeviceMetric),
    /// Measured by the gateway.
    Cloud(CloudMetric),
    /// Found by the server in what devices report and the gateway measures.
    Komainu(KomainuMetric),
    /// Reported by the device's agent under a name of the operator's own.
    Custom(MetricName),
}

/// The device-side metrics of AWS IoT Device Defender.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DeviceMetric {
    /// `aws:all-bytes-in`: bytes received, a sum over the window.
    AllBytesIn,
    /// `aws:all-bytes-out`: bytes sent, a sum over the window.
    AllBytesOut,
    /// `aws:all-packets-in`: packets received, a sum over the window.
    AllPacketsIn,
    /// `aws:all-packets-out`: packets sent, a sum over the window.
    AllPacketsOut,
    /// `aws:num-listening-tcp-ports`: a count at the moment of the report.
    NumListeningTcpPorts,
    /// `aws:num-listening-udp-ports`: a count at the moment of the report.
    NumListeningUdpPorts,
    /// `aws:num-established-tcp-connections`: a count at the moment of the report.
    NumEstablishedTcpConnections,
    /// `aws:listening-tcp-ports`: a set of ports.
    ListeningTcpPorts,
    /// `aws:listening-udp-ports`: a set of ports.
    ListeningUdpPorts,
    /// `aws:destination-ip-addresses`: a set of addresses.
    DestinationIpAddresses,
}

/// The cloud-side metrics of AWS IoT Device Defender.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CloudMetric {
    /// `aws:message-byte-size`: the size of each message to or from the device; judged message by message.
    MessageByteSize,
    /// `aws:num-messages-sent`: messages from the device, a sum over the window.
    NumMessagesSent,
    /// `aws:num-messages-received`: messages to the device, a sum over the window.
    NumMessagesReceived,
    /// `aws:num-authorization-failures`: denied actions, a sum over the window.
    NumAuthorizationFailures,
    /// `aws:num-connection-attempts`: attempts to connect, failed ones included, a sum over the window.
    NumConnectionAttempts,
    /// `aws:num-disconnects`: ended connections, a sum over the window.
    NumDisconnects,
    /// `aws:source-ip-address`: the addresses the device connects from.
    SourceIpAddress,
}

/// Metrics of ours, beside those of AWS IoT Device Defender.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum KomainuMetric {
    /// `komainu:indicator-matches`: how many distinct indicators a report names.
    IndicatorMatches,
}

impl Metric {
    /// Takes a metric's name as AWS spells it; a name without `aws:` is a custom metric.
    pub fn parse(text: &str) -> Result<Self, InvalidName> {
        if let Some(metric) = DeviceMetric::ALL.iter().find(|metric| metric.as_str() == text) {
            return Ok(Self::Device(*metric));
        }
        if let Some(metric) = CloudMetric::ALL.iter().find(|metric| metric.as_str() == text) {
            return Ok(Self::Cloud(*metric));
        }
        if let Some(metric) = KomainuMetric::ALL.iter().find(|metric| metric.as_str() == text) {
            return Ok(Self::Komainu(*metric));
        }
        if text.starts_with("komainu:") {
            let expected = "komainu:indicator-matches, or a custom metric's name that does not start with komainu:";
            return Err(InvalidName { kind: "metric", problem: NameProblem::Form { expected } });
        }
        if text.starts_with("aws:") {
            let expected =
                "a metric of AWS IoT Device Defender, or a custom metric's name that does not start with aws:";
            return Err(InvalidName { kind: "metric", problem: NameProblem::Form { expected } });
        }
        MetricName::parse(text).map(Self::Custom)
    }

    /// The metric's name as AWS spells it.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Device(metric) => metric.as_str(),
            Self::Cloud(metric) => metric.as_str(),
            Self::Komainu(metric) => metric.as_str(),
            Self::Custom(name) => name.as_str(),
        }
    }
}

impl DeviceMetric {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::AllBytesIn,
        Self::AllBytesOut,
        Self::AllPacketsIn,
        Self::AllPacketsOut,
        Self::NumListeningTcpPorts,
        Self::NumListeningUdpPorts,
        Self::NumEstablishedTcpConnections,
        Self::ListeningTcpPorts,
        Self::ListeningUdpPorts,
        Self::DestinationIpAddresses,
    ];

    /// The metric's name as AWS spells it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::AllBytesIn => "aws:all-bytes-in",
            Self::AllBytesOut => "aws:all-bytes-out",
            Self::AllPacketsIn => "aws:all-packets-in",
            Self::AllPacketsOut => "aws:all-packets-out",
            Self::NumListeningTcpPorts => "aws:num-listening-tcp-ports",
            Self::NumListeningUdpPorts => "aws:num-listening-udp-ports",
            Self::NumEstablishedTcpConnections => "aws:num-established-tcp-connections",
            Self::ListeningTcpPorts => "aws:listening-tcp-ports",
            Self::ListeningUdpPorts => "aws:listening-udp-ports",
            Self::DestinationIpAddresses => "aws:destination-ip-addresses",
        }
    }
}

impl CloudMetric {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::MessageByteSize,
        Self::NumMessagesSent,
        Self::NumMessagesReceived,
        Self::NumAuthorizationFailures,
        Self::NumConnectionAttempts,
        Self::NumDisconnects,
        Self::SourceIpAddress,
    ];

    /// The metric's name as AWS spells it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::MessageByteSize => "aws:message-byte-size",
            Self::NumMessagesSent => "aws:num-messages-sent",
            Self::NumMessagesReceived => "aws:num-messages-received",
            Self::NumAuthorizationFailures => "aws:num-authorization-failures",
            Self::NumConnectionAttempts => "aws:num-connection-attempts",
            Self::NumDisconnects => "aws:num-disconnects",
            Self::SourceIpAddress => "aws:source-ip-address",
        }
    }
}

impl KomainuMetric {
    /// All of them.
    pub const ALL: [Self; 1] = [Self::IndicatorMatches];

    /// The metric's name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::IndicatorMatches => "komainu:indicator-matches",
        }
    }
}

/// A metric's value, of one of the kinds AWS's `MetricValue` has.
#[derive(Debug, Clone, PartialEq)]
pub enum MetricValue {
    /// A whole number, not negative.
    Count(u64),
    /// Addresses.
    Addresses(Vec<IpAddr>),
    /// TCP or UDP ports.
    Ports(Vec<u16>),
    /// A number of a custom metric.
    Number(f64),
    /// Numbers of a custom metric.
    Numbers(Vec<f64>),
    /// Strings of a custom metric.
    Strings(Vec<String>),
    /// Indicators that a device was in contact with, each once. As a number it is how many they are.
    Matches(Vec<IndicatorMatch>),
}

/// One measured value of one device.
#[derive(Debug, Clone, PartialEq)]
pub struct Datapoint {
    /// Whose it is.
    pub reporter: ReporterName,
    /// What was measured.
    pub metric: Metric,
    /// The value.
    pub value: MetricValue,
    /// When the server received it, or when the window it stands for ended.
    pub at: Timestamp,
}
