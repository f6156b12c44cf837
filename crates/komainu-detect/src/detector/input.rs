//! What the detector is told, and what it tells.

use std::net::IpAddr;
use std::sync::Arc;

use komainu_model::{
    ActiveViolation, DeviceMetric, IndicatorMatch, Metric, MetricValue, ReporterName, Scope, SecurityProfile,
    Timestamp, ViolationEvent,
};

/// The fleet, as far as it decides how a device is judged.
pub trait Fleet {
    /// Grows with every change that could alter an answer of [`Fleet::device`].
    fn generation(&self) -> u64;

    /// How a device is judged.
    fn device(&self, scope: &Scope, reporter: &ReporterName) -> Judged;
}

/// How a device is judged.
#[derive(Debug, Clone, Default)]
pub struct Judged {
    /// Whether its name is a registered thing's.
    pub registered: bool,
    /// The profiles whose targets include it, in the order of their names, each once.
    pub profiles: Vec<Arc<SecurityProfile>>,
}

/// The values of one report. What is `None` was not reported; an empty list was.
#[derive(Debug, Clone, Copy, Default)]
pub struct Sample<'a> {
    /// Tells a report from the next one: the same number within [`REPEAT_MS_MAX`](crate::REPEAT_MS_MAX) is the same
    /// report again.
    pub identity: u64,
    /// Traffic since the device's previous report.
    pub bytes_in: Option<u64>,
    /// Traffic since the device's previous report.
    pub bytes_out: Option<u64>,
    /// Traffic since the device's previous report.
    pub packets_in: Option<u64>,
    /// Traffic since the device's previous report.
    pub packets_out: Option<u64>,
    /// How many TCP ports it listens on.
    pub listening_tcp_port_count: Option<u64>,
    /// How many UDP ports it listens on.
    pub listening_udp_port_count: Option<u64>,
    /// How many TCP connections it has.
    pub connection_count: Option<u64>,
    /// The TCP ports it listens on.
    pub listening_tcp_ports: Option<&'a [u16]>,
    /// The UDP ports it listens on.
    pub listening_udp_ports: Option<&'a [u16]>,
    /// The peers of its TCP connections.
    pub destinations: Option<&'a [IpAddr]>,
    /// The indicators that the report names, each once; `None` when it says nothing of whom the device is in contact with.
    pub matches: Option<&'a [IndicatorMatch]>,
    /// Metrics of the operator's own, by name.
    pub custom: &'a [(&'a str, ValueRef<'a>)],
}

impl<'a> Sample<'a> {
    /// The value of a metric.
    #[inline]
    pub(crate) fn device_value(&self, metric: DeviceMetric) -> Option<ValueRef<'a>> {
        match metric {
            DeviceMetric::AllBytesIn => self.bytes_in.map(ValueRef::Count),
            DeviceMetric::AllBytesOut => self.bytes_out.map(ValueRef::Count),
            DeviceMetric::AllPacketsIn => self.packets_in.map(ValueRef::Count),
            DeviceMetric::AllPacketsOut => self.packets_out.map(ValueRef::Count),
            DeviceMetric::NumListeningTcpPorts => self.listening_tcp_port_count.map(ValueRef::Count),
            DeviceMetric::NumListeningUdpPorts => self.listening_udp_port_count.map(ValueRef::Count),
            DeviceMetric::NumEstablishedTcpConnections => self.connection_count.map(ValueRef::Count),
            DeviceMetric::ListeningTcpPorts => self.listening_tcp_ports.map(ValueRef::Ports),
            DeviceMetric::ListeningUdpPorts => self.listening_udp_ports.map(ValueRef::Ports),
            DeviceMetric::DestinationIpAddresses => self.destinations.map(ValueRef::Addresses),
        }
    }

    /// The value of a custom metric.
    pub(crate) fn custom_value(&self, name: &str) -> Option<ValueRef<'a>> {
        self.custom.iter().find(|(custom, _)| *custom == name).map(|(_, value)| *value)
    }
}

/// What the gateway measured of a device since its previous reading.
#[derive(Debug, Clone, Copy, Default)]
pub struct Meter<'a> {
    /// Messages from the device.
    pub messages_sent: u64,
    /// Messages to the device.
    pub messages_received: u64,
    /// The smallest and the largest payload in bytes.
    pub message_bytes: Option<(u64, u64)>,
    /// Denied actions.
    pub authorization_failures: u64,
    /// Attempts to connect.
    pub connection_attempts: u64,
    /// Ended connections.
    pub disconnects: u64,
    /// Addresses it connected from or is connected from.
    pub source_addresses: &'a [IpAddr],
    /// The indicators that those addresses are, each once.
    pub matches: &'a [IndicatorMatch],
}

/// A metric's value, borrowed.
#[derive(Debug, Clone, Copy, PartialEq)]
#[expect(missing_docs, reason = "the variants are those of MetricValue")]
pub enum ValueRef<'a> {
    Count(u64),
    Addresses(&'a [IpAddr]),
    Ports(&'a [u16]),
    Number(f64),
    Numbers(&'a [f64]),
    Strings(&'a [String]),
    Matches(&'a [IndicatorMatch]),
}

impl<'a> ValueRef<'a> {
    /// The value of `value`.
    pub fn of(value: &'a MetricValue) -> Self {
        match value {
            MetricValue::Count(value) => Self::Count(*value),
            MetricValue::Addresses(value) => Self::Addresses(value),
            MetricValue::Ports(value) => Self::Ports(value),
            MetricValue::Number(value) => Self::Number(*value),
            MetricValue::Numbers(value) => Self::Numbers(value),
            MetricValue::Strings(value) => Self::Strings(value),
            MetricValue::Matches(value) => Self::Matches(value),
        }
    }

    /// The value, to keep.
    pub fn to_value(self) -> MetricValue {
        match self {
            Self::Count(value) => MetricValue::Count(value),
            Self::Addresses(value) => MetricValue::Addresses(value.to_vec()),
            Self::Ports(value) => MetricValue::Ports(value.to_vec()),
            Self::Number(value) => MetricValue::Number(value),
            Self::Numbers(value) => MetricValue::Numbers(value.to_vec()),
            Self::Strings(value) => MetricValue::Strings(value.to_vec()),
            Self::Matches(value) => MetricValue::Matches(value.to_vec()),
        }
    }

    /// What it is, in words.
    pub(crate) fn kind(self) -> &'static str {
        match self {
            Self::Count(_) | Self::Number(_) => "a number",
            Self::Addresses(_) => "a list of IP addresses",
            Self::Ports(_) => "a list of ports",
            Self::Numbers(_) => "a list of numbers",
            Self::Strings(_) => "a list of strings",
            Self::Matches(_) => "a list of indicators",
        }
    }
}

/// Hears what the detector finds. Called in the order in which things happened.
pub trait Sink {
    /// A value to keep: somebody judges the metric or asked for its values.
    fn datapoint(
        &mut self,
        scope: &Scope,
        reporter: &ReporterName,
        metric: &Metric,
        value: ValueRef<'_>,
        at: Timestamp,
    );

    /// Indicators that a device was in contact with, some at least. Whether a behavior asks for them is another matter.
    fn sighted(&mut self, scope: &Scope, reporter: &ReporterName, matches: &[IndicatorMatch]);

    /// A step in the life of a violation.
    fn violation(&mut self, scope: &Scope, step: ViolationStep);
}

/// A step in the life of a violation.
#[expect(clippy::large_enum_variant, reason = "steps are handed over one by one and not kept")]
#[derive(Debug, Clone, PartialEq)]
pub enum ViolationStep {
    /// The alarm was raised.
    Raised {
        /// To be kept in the history.
        event: ViolationEvent,
        /// To be kept until the alarm ends.
        active: ActiveViolation,
        /// The profile; it says who is to be told.
        profile: Arc<SecurityProfile>,
    },
    /// Another datapoint violated. What people found out about the violation is not in here: it is as it was when the
    /// alarm was raised or restored.
    Continued {
        /// The violation with its latest value.
        active: ActiveViolation,
    },
    /// The alarm was cleared or invalidated.
    Ended {
        /// To be kept in the history.
        event: ViolationEvent,
        /// When the alarm was raised.
        started_at: Timestamp,
        /// The profile as it was when it last judged the device, if it did since the start.
        profile: Option<Arc<SecurityProfile>>,
    },
}

/// What became of a report.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ReportOutcome {
    /// It is the device's previous report again, and counted then.
    pub repeated: bool,
    /// Values that were left out, and why.
    pub dropped: Vec<Note>,
    /// Values that were taken and look wrong.
    pub warnings: Vec<Note>,
}

/// Something to tell a device about a value it sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    /// Where the value stands in a report: `custom_metrics.cpu`.
    pub metric: String,
    /// What is wrong with it.
    pub reason: String,
}
