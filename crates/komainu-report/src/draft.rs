//! A report while it is being read: each part of the schema takes its values and notes what it cannot take.

use std::fmt;
use std::net::IpAddr;

use serde::de::{IgnoredAny, MapAccess, SeqAccess};

use crate::parse::{
    CUSTOM_METRICS_MAX, CUSTOM_STRING_BYTES_MAX, LIST_ELEMENTS_MAX, METRIC_NAME_BYTES_MAX, PROBLEMS_MAX, Parsed,
};
use crate::walk::{Elements, Fields, Kind, Leaf, List, Object};
use crate::{Connection, CustomMetric, CustomValue, NetworkStats, Problem, Report, ReportError, Unusable, Version};

/// A report while it is being read.
#[derive(Default)]
pub(crate) struct Draft {
    report_id: Given<u64>,
    version: Given<Version>,
    has_header: bool,
    has_metrics: bool,
    has_custom: bool,
    tcp_ports: Option<PortSection>,
    udp_ports: Option<PortSection>,
    connections: Option<ConnectionSection>,
    network: NetworkStats,
    custom: Vec<CustomMetric>,
    /// The first thing for which the whole report must be refused although it can be read to its end.
    refused: Option<Problem>,
    problems: Problems,
}

/// A value that a report must have.
#[derive(Default)]
enum Given<T> {
    #[default]
    Missing,
    Wrong(String),
    Value(T),
}

impl Draft {
    /// The device's number for the report, when it has been read.
    pub(crate) fn report_id(&self) -> Option<u64> {
        if let Given::Value(id) = self.report_id { Some(id) } else { None }
    }

    /// The report, when everything is there that must be.
    pub(crate) fn finish(self) -> Result<Parsed, ReportError> {
        let known_id = self.report_id();
        let refuse = |metric: &str, reason: String| {
            let problem = Unusable::Structure(Problem { metric: metric.to_owned(), reason });
            Err(ReportError { report_id: known_id, problem })
        };
        if let Some(problem) = self.refused {
            return Err(ReportError { report_id: known_id, problem: Unusable::Structure(problem) });
        }
        if !self.has_header {
            return refuse("header", "is missing".to_owned());
        }
        let report_id = match self.report_id {
            Given::Value(id) => id,
            Given::Missing => return refuse("header.report_id", "is missing".to_owned()),
            Given::Wrong(reason) => return refuse("header.report_id", reason),
        };
        let version = match self.version {
            Given::Value(version) if version.major == 1 => version,
            Given::Value(Version { major, minor }) => {
                return refuse("header.version", format!("is {major}.{minor}, only 1.x is understood"));
            }
            Given::Missing => return refuse("header.version", "is missing".to_owned()),
            Given::Wrong(reason) => return refuse("header.version", reason),
        };
        if !self.has_metrics && !self.has_custom {
            return refuse("report", "has neither metrics nor custom_metrics".to_owned());
        }
        let (listening_tcp_ports, listening_tcp_port_count) = PortSection::split(self.tcp_ports);
        let (listening_udp_ports, listening_udp_port_count) = PortSection::split(self.udp_ports);
        let (connections, connection_count) = ConnectionSection::split(self.connections);
        let destinations = connections.as_deref().map(distinct_addresses);
        let report = Report {
            report_id,
            version,
            listening_tcp_ports,
            listening_tcp_port_count,
            listening_udp_ports,
            listening_udp_port_count,
            connections,
            destinations,
            connection_count,
            network: self.network,
            custom: self.custom,
        };
        Ok(Parsed { report, problems: self.problems.into_list() })
    }
}

fn distinct_addresses(connections: &[Connection]) -> Vec<IpAddr> {
    let mut addresses: Vec<IpAddr> = connections.iter().map(|connection| connection.address).collect();
    addresses.sort_unstable();
    addresses.dedup();
    addresses
}

/// The problems found so far.
#[derive(Default)]
struct Problems {
    list: Vec<Problem>,
    more: usize,
}

impl Problems {
    fn note(&mut self, metric: impl fmt::Display, reason: impl fmt::Display) {
        if self.list.len() < PROBLEMS_MAX {
            self.list.push(Problem { metric: metric.to_string(), reason: reason.to_string() });
        } else {
            self.more += 1;
        }
    }

    fn note_kind(&mut self, metric: impl fmt::Display, found: Kind, expected: &str) {
        self.note(metric, format_args!("is {}, {expected} is expected", found.as_str()));
    }

    fn into_list(mut self) -> Vec<Problem> {
        if self.more > 0 {
            let reason = format!("{} more problems of this report are not listed", self.more);
            self.list.push(Problem { metric: "report".to_owned(), reason });
        }
        self.list
    }
}

/// A name from a report as it is shown: control characters escaped, and not longer than a name may be.
struct Shown<'a>(&'a str);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let end = self.0.floor_char_boundary(METRIC_NAME_BYTES_MAX);
        write!(f, "{}", self.0[..end].escape_debug())?;
        if end < self.0.len() { f.write_str("…") } else { Ok(()) }
    }
}

impl Fields for Draft {
    fn field<'de, A: MapAccess<'de>>(&mut self, key: &str, map: &mut A) -> Result<(), A::Error> {
        match key {
            "header" | "hed" if !self.has_header => {
                self.has_header = true;
                let kind = map.next_value_seed(Object(&mut Header(self)))?;
                self.require_object("header", kind);
            }
            "metrics" | "met" if !self.has_metrics => {
                self.has_metrics = true;
                let kind = map.next_value_seed(Object(&mut Metrics(self)))?;
                match kind {
                    Kind::Null => self.has_metrics = false,
                    _ => self.require_object("metrics", kind),
                }
            }
            "custom_metrics" | "cmet" if !self.has_custom => {
                self.has_custom = true;
                let kind = map.next_value_seed(Object(&mut Custom(self)))?;
                match kind {
                    Kind::Null => self.has_custom = false,
                    _ => self.require_object("custom_metrics", kind),
                }
            }
            "header" | "hed" | "metrics" | "met" | "custom_metrics" | "cmet" => {
                skip(map)?;
                // Which of two is meant is anybody's guess; an attacker's report must not read differently elsewhere.
                self.refuse(key, "is given twice".to_owned());
            }
            _ => {
                skip(map)?;
                self.problems.note(Shown(key), "is not a part of a report");
            }
        }
        Ok(())
    }
}

impl Draft {
    fn require_object(&mut self, part: &str, kind: Kind) {
        if kind != Kind::Object {
            self.refuse(part, format!("is {}, an object is expected", kind.as_str()));
        }
    }

    fn refuse(&mut self, metric: &str, reason: String) {
        if self.refused.is_none() {
            self.refused = Some(Problem { metric: metric.to_owned(), reason });
        }
    }
}

fn skip<'de, A: MapAccess<'de>>(map: &mut A) -> Result<(), A::Error> {
    map.next_value::<IgnoredAny>().map(drop)
}

/// `header`
struct Header<'a>(&'a mut Draft);

impl Fields for Header<'_> {
    fn field<'de, A: MapAccess<'de>>(&mut self, key: &str, map: &mut A) -> Result<(), A::Error> {
        match key {
            "report_id" | "rid" if !matches!(self.0.report_id, Given::Missing) => {
                skip(map)?;
                self.0.refuse("header.report_id", "is given twice".to_owned());
            }
            "report_id" | "rid" => {
                let value: Leaf<'de> = map.next_value()?;
                self.0.report_id = match value.as_count() {
                    Some(id) if id > 0 => Given::Value(id),
                    _ => Given::Wrong("is not a whole number greater than zero".to_owned()),
                };
            }
            "version" | "v" => {
                let value: Leaf<'de> = map.next_value()?;
                self.0.version = match &value {
                    Leaf::Text(text) => match parse_version(text) {
                        Some(version) => Given::Value(version),
                        None => Given::Wrong(format!("is {:?}, \"Major.Minor\" is expected", Shown(text).to_string())),
                    },
                    _ => Given::Wrong(format!("is {}, a string is expected", value.kind().as_str())),
                };
            }
            _ => {
                skip(map)?;
                self.0.problems.note(format_args!("header.{}", Shown(key)), "is not a part of a report");
            }
        }
        Ok(())
    }
}

fn parse_version(text: &str) -> Option<Version> {
    let (major, minor) = text.split_once('.')?;
    let number = |digits: &str| -> Option<u32> {
        digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok()).flatten()
    };
    Some(Version { major: number(major)?, minor: number(minor)? })
}

/// `metrics`
struct Metrics<'a>(&'a mut Draft);

impl Fields for Metrics<'_> {
    fn field<'de, A: MapAccess<'de>>(&mut self, key: &str, map: &mut A) -> Result<(), A::Error> {
        let Draft { tcp_ports, udp_ports, connections, network, problems, .. } = &mut *self.0;
        let (path, kind) = match key {
            "listening_tcp_ports" | "tp" => {
                let path = "metrics.listening_tcp_ports";
                let mut section = PortFields { section: PortSection::default(), path, problems };
                let kind = map.next_value_seed(Object(&mut section))?;
                section.store(kind, tcp_ports);
                (path, kind)
            }
            "listening_udp_ports" | "up" => {
                let path = "metrics.listening_udp_ports";
                let mut section = PortFields { section: PortSection::default(), path, problems };
                let kind = map.next_value_seed(Object(&mut section))?;
                section.store(kind, udp_ports);
                (path, kind)
            }
            "network_stats" | "ns" => {
                ("metrics.network_stats", map.next_value_seed(Object(&mut Network { stats: network, problems }))?)
            }
            "tcp_connections" | "tc" => {
                let mut fields = TcpConnections { section: connections, problems };
                ("metrics.tcp_connections", map.next_value_seed(Object(&mut fields))?)
            }
            _ => {
                skip(map)?;
                self.0.problems.note(format_args!("metrics.{}", Shown(key)), "is not a known section");
                return Ok(());
            }
        };
        if !matches!(kind, Kind::Object | Kind::Null) {
            self.0.problems.note_kind(path, kind, "an object");
        }
        Ok(())
    }
}

/// What a section of ports says.
#[derive(Default)]
struct PortSection {
    ports: Option<Vec<u16>>,
    total: Option<u64>,
}

impl PortSection {
    /// The list and the true number. A `total` greater than the list is normal: agents cut the list short.
    fn split(section: Option<Self>) -> (Option<Vec<u16>>, Option<u64>) {
        let Some(Self { ports, total }) = section else { return (None, None) };
        let listed = ports.as_ref().map(|ports| ports.len() as u64);
        (ports, total.max(listed))
    }
}

struct PortFields<'a> {
    section: PortSection,
    path: &'static str,
    problems: &'a mut Problems,
}

impl PortFields<'_> {
    fn store(self, kind: Kind, section: &mut Option<PortSection>) {
        if kind != Kind::Object {
            return;
        }
        if section.is_some() {
            self.problems.note(self.path, "is given twice; the first counts");
        } else {
            *section = Some(self.section);
        }
    }
}

impl Fields for PortFields<'_> {
    fn field<'de, A: MapAccess<'de>>(&mut self, key: &str, map: &mut A) -> Result<(), A::Error> {
        let path = self.path;
        match key {
            "ports" | "pts" => {
                let mut list =
                    PortList { ports: Vec::new(), index: 0, seen: None, path, problems: &mut *self.problems };
                match map.next_value_seed(List(&mut list))? {
                    Kind::List => {
                        let mut ports = list.ports;
                        ports.sort_unstable();
                        ports.dedup();
                        self.section.ports = Some(ports);
                    }
                    Kind::Null => {}
                    kind => self.problems.note_kind(format_args!("{path}.ports"), kind, "a list"),
                }
            }
            "total" | "t" => self.section.total = count(map, format_args!("{path}.total"), self.problems)?,
            _ => {
                skip(map)?;
                self.problems.note(format_args!("{path}.{}", Shown(key)), "is not a part of this section");
            }
        }
        Ok(())
    }
}

/// Takes a whole number that is not negative; `null` is as good as absent.
fn count<'de, A: MapAccess<'de>>(
    map: &mut A,
    path: impl fmt::Display,
    problems: &mut Problems,
) -> Result<Option<u64>, A::Error> {
    let value: Leaf<'de> = map.next_value()?;
    let count = value.as_count();
    if count.is_none() && value != Leaf::Other(Kind::Null) {
        match value {
            Leaf::Negative(_) => problems.note(path, "is negative"),
            Leaf::Float(_) => problems.note(path, "is not a whole number that is not negative"),
            _ => problems.note_kind(path, value.kind(), "a whole number"),
        }
    }
    Ok(count)
}

struct PortList<'a> {
    ports: Vec<u16>,
    index: usize,
    /// The port of the element that is being read.
    seen: Option<u16>,
    path: &'static str,
    problems: &'a mut Problems,
}

impl Elements for PortList<'_> {
    fn element<'de, A: SeqAccess<'de>>(&mut self, index: usize, seq: &mut A) -> Result<bool, A::Error> {
        if index >= LIST_ELEMENTS_MAX {
            let more = seq.next_element::<IgnoredAny>()?.is_some();
            if more && index == LIST_ELEMENTS_MAX {
                let reason = format_args!("has more than {LIST_ELEMENTS_MAX} elements; the others are left out");
                self.problems.note(format_args!("{}.ports", self.path), reason);
            }
            return Ok(more);
        }
        (self.index, self.seen) = (index, None);
        let noted = self.problems.list.len() + self.problems.more;
        let Some(kind) = seq.next_element_seed(Object(self))? else { return Ok(false) };
        match self.seen {
            Some(port) => self.ports.push(port),
            None if kind != Kind::Object => {
                self.problems.note_kind(format_args!("{}.ports[{index}]", self.path), kind, "an object");
            }
            None if noted == self.problems.list.len() + self.problems.more => {
                self.problems.note(format_args!("{}.ports[{index}]", self.path), "has no port");
            }
            None => {}
        }
        Ok(true)
    }
}

/// One element of a list of ports.
impl Fields for PortList<'_> {
    fn field<'de, A: MapAccess<'de>>(&mut self, key: &str, map: &mut A) -> Result<(), A::Error> {
        match key {
            "port" | "pt" => {
                let value: Leaf<'de> = map.next_value()?;
                match value.as_count().map(u16::try_from) {
                    Some(Ok(port)) if port > 0 => self.seen = Some(port),
                    _ => {
                        let path = format_args!("{}.ports[{}].port", self.path, self.index);
                        self.problems.note(path, "is not a port number");
                    }
                }
            }
            // The interface is not judged by any metric. What else an agent says of a port is its own affair.
            _ => skip(map)?,
        }
        Ok(())
    }
}

/// `network_stats`
struct Network<'a> {
    stats: &'a mut NetworkStats,
    problems: &'a mut Problems,
}

impl Fields for Network<'_> {
    fn field<'de, A: MapAccess<'de>>(&mut self, key: &str, map: &mut A) -> Result<(), A::Error> {
        let (place, path) = match key {
            "bytes_in" | "bi" => (&mut self.stats.bytes_in, "metrics.network_stats.bytes_in"),
            "bytes_out" | "bo" => (&mut self.stats.bytes_out, "metrics.network_stats.bytes_out"),
            "packets_in" | "pi" => (&mut self.stats.packets_in, "metrics.network_stats.packets_in"),
            "packets_out" | "po" => (&mut self.stats.packets_out, "metrics.network_stats.packets_out"),
            _ => {
                skip(map)?;
                self.problems
                    .note(format_args!("metrics.network_stats.{}", Shown(key)), "is not a part of this section");
                return Ok(());
            }
        };
        if let Some(value) = count(map, path, self.problems)? {
            if place.is_some() {
                self.problems.note(path, "is given twice; the first counts");
            } else {
                *place = Some(value);
            }
        }
        Ok(())
    }
}

/// What a section of connections says.
#[derive(Default)]
struct ConnectionSection {
    connections: Option<Vec<Connection>>,
    /// How many elements the list had, unreadable ones included.
    listed: u64,
    total: Option<u64>,
}

impl ConnectionSection {
    fn split(section: Option<Self>) -> (Option<Vec<Connection>>, Option<u64>) {
        let Some(Self { connections, listed, total }) = section else { return (None, None) };
        let listed = connections.is_some().then_some(listed);
        (connections, total.max(listed))
    }
}

/// `tcp_connections`
struct TcpConnections<'a> {
    section: &'a mut Option<ConnectionSection>,
    problems: &'a mut Problems,
}

impl Fields for TcpConnections<'_> {
    fn field<'de, A: MapAccess<'de>>(&mut self, key: &str, map: &mut A) -> Result<(), A::Error> {
        const PATH: &str = "metrics.tcp_connections.established_connections";
        match key {
            "established_connections" | "ec" => {
                let mut fields = Established { section: ConnectionSection::default(), problems: &mut *self.problems };
                let kind = map.next_value_seed(Object(&mut fields))?;
                let section = fields.section;
                match kind {
                    Kind::Object if self.section.is_some() => {
                        self.problems.note(PATH, "is given twice; the first counts");
                    }
                    Kind::Object => *self.section = Some(section),
                    Kind::Null => {}
                    kind => self.problems.note_kind(PATH, kind, "an object"),
                }
            }
            _ => {
                skip(map)?;
                self.problems
                    .note(format_args!("metrics.tcp_connections.{}", Shown(key)), "is not a part of this section");
            }
        }
        Ok(())
    }
}

/// `established_connections`
struct Established<'a> {
    section: ConnectionSection,
    problems: &'a mut Problems,
}

impl Fields for Established<'_> {
    fn field<'de, A: MapAccess<'de>>(&mut self, key: &str, map: &mut A) -> Result<(), A::Error> {
        const PATH: &str = "metrics.tcp_connections.established_connections";
        match key {
            "connections" | "cs" => {
                let mut list = ConnectionList {
                    connections: Vec::new(),
                    listed: 0,
                    index: 0,
                    seen: Peer::Missing,
                    problems: &mut *self.problems,
                };
                let kind = map.next_value_seed(List(&mut list))?;
                let ConnectionList { connections, listed, .. } = list;
                match kind {
                    Kind::List => (self.section.connections, self.section.listed) = (Some(connections), listed),
                    Kind::Null => {}
                    kind => self.problems.note_kind(format_args!("{PATH}.connections"), kind, "a list"),
                }
            }
            "total" | "t" => self.section.total = count(map, format_args!("{PATH}.total"), self.problems)?,
            _ => {
                skip(map)?;
                self.problems.note(format_args!("{PATH}.{}", Shown(key)), "is not a part of this section");
            }
        }
        Ok(())
    }
}

struct ConnectionList<'a> {
    connections: Vec<Connection>,
    listed: u64,
    index: usize,
    /// The peer of the element that is being read.
    seen: Peer,
    problems: &'a mut Problems,
}

enum Peer {
    Missing,
    Unreadable,
    At(Connection),
}

impl Elements for ConnectionList<'_> {
    fn element<'de, A: SeqAccess<'de>>(&mut self, index: usize, seq: &mut A) -> Result<bool, A::Error> {
        const PATH: &str = "metrics.tcp_connections.established_connections.connections";
        if index >= LIST_ELEMENTS_MAX {
            let more = seq.next_element::<IgnoredAny>()?.is_some();
            self.listed += u64::from(more);
            if more && index == LIST_ELEMENTS_MAX {
                let reason = format_args!("has more than {LIST_ELEMENTS_MAX} elements; the others are only counted");
                self.problems.note(PATH, reason);
            }
            return Ok(more);
        }
        (self.index, self.seen) = (index, Peer::Missing);
        let Some(kind) = seq.next_element_seed(Object(self))? else { return Ok(false) };
        self.listed += 1;
        match &self.seen {
            Peer::At(connection) => self.connections.push(*connection),
            Peer::Missing if kind != Kind::Object => {
                self.problems.note_kind(format_args!("{PATH}[{index}]"), kind, "an object");
            }
            Peer::Missing => self.problems.note(format_args!("{PATH}[{index}]"), "has no remote_addr"),
            Peer::Unreadable => {}
        }
        Ok(true)
    }
}

/// One element of a list of connections.
impl Fields for ConnectionList<'_> {
    fn field<'de, A: MapAccess<'de>>(&mut self, key: &str, map: &mut A) -> Result<(), A::Error> {
        match key {
            "remote_addr" | "rad" => {
                let value: Leaf<'de> = map.next_value()?;
                let peer = match &value {
                    Leaf::Text(text) => parse_peer(text),
                    _ => Err("is not a string"),
                };
                self.seen = match peer {
                    Ok(connection) => Peer::At(connection),
                    Err(reason) => {
                        const PATH: &str = "metrics.tcp_connections.established_connections.connections";
                        self.problems.note(format_args!("{PATH}[{}].remote_addr", self.index), reason);
                        Peer::Unreadable
                    }
                };
            }
            // The device's own end (local_port, local_interface, often null) is not judged by any metric.
            _ => skip(map)?,
        }
        Ok(())
    }
}

/// Takes `192.0.2.1:443`, `[2001:db8::1]:443` and, as the Python agent of 2.0.0 writes it, `2001:db8::1:443`: what
/// stands after the last colon is the port.
fn parse_peer(text: &str) -> Result<Connection, &'static str> {
    /// `aws-c-iot` keeps an address and its port in a buffer of 22 bytes, the terminator included.
    const CUT_BYTES: usize = 21;
    let host = |host: &str| -> Option<IpAddr> {
        let host = host.split_once('%').map_or(host, |(address, _zone)| address);
        host.parse().ok().map(|address: IpAddr| address.to_canonical())
    };
    if let Some(rest) = text.strip_prefix('[') {
        let Some((inside, after)) = rest.split_once(']') else { return Err("is cut short") };
        let address = host(inside).ok_or("is not an IP address and a port")?;
        let port = match after.strip_prefix(':') {
            Some(port) => Some(port.parse().map_err(|_| "has no port number after the last colon")?),
            None if after.is_empty() => None,
            None => return Err("is not an IP address and a port"),
        };
        return Ok(Connection { address, port });
    }
    match text.rsplit_once(':') {
        Some((before, port)) if !before.ends_with(':') => {
            if text.len() == CUT_BYTES && before.contains(':') {
                return Err("has 21 characters, where a known agent cuts IPv6 addresses short");
            }
            let address = host(before).ok_or("is not an IP address and a port")?;
            let port = port.parse().map_err(|_| "has no port number after the last colon")?;
            Ok(Connection { address, port: Some(port) })
        }
        _ => {
            let address = host(text).ok_or("is not an IP address and a port")?;
            Ok(Connection { address, port: None })
        }
    }
}

/// `custom_metrics`
struct Custom<'a>(&'a mut Draft);

impl Fields for Custom<'_> {
    fn field<'de, A: MapAccess<'de>>(&mut self, key: &str, map: &mut A) -> Result<(), A::Error> {
        let is_name = !key.is_empty()
            && key.len() <= METRIC_NAME_BYTES_MAX
            && key.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b':' | b'_' | b'-'));
        let trouble = if !is_name {
            Some(format!("is not a metric's name: 1 to {METRIC_NAME_BYTES_MAX} of a-z A-Z 0-9 : _ -"))
        } else if self.0.custom.len() >= CUSTOM_METRICS_MAX {
            Some(format!("is one too many, {CUSTOM_METRICS_MAX} are allowed"))
        } else if self.0.custom.iter().any(|metric| metric.name == key) {
            Some("is given twice; the first counts".to_owned())
        } else {
            None
        };
        if let Some(trouble) = trouble {
            skip(map)?;
            self.0.problems.note(format_args!("custom_metrics.{}", Shown(key)), trouble);
            return Ok(());
        }
        let mut values = CustomValues { count: 0, value: CustomDraft::default() };
        let kind = map.next_value_seed(List(&mut values))?;
        if kind != Kind::List {
            // AWS refuses the whole report for this (developer guide, "Custom metrics"); agents are written against it.
            let reason = format!("is {}, a list with one object is expected", kind.as_str());
            self.0.refuse(&format!("custom_metrics.{key}"), reason);
            return Ok(());
        }
        let trouble = match values.value {
            _ if values.count != 1 => format!("has {} values, a list with one object is expected", values.count),
            CustomDraft { trouble: Some(trouble), .. } => trouble,
            CustomDraft { value: Some(value), trouble: None } => {
                self.0.custom.push(CustomMetric { name: key.to_owned(), value });
                return Ok(());
            }
            CustomDraft { value: None, trouble: None } => {
                "has none of number, number_list, string_list, ip_list".to_owned()
            }
        };
        self.0.problems.note(format_args!("custom_metrics.{key}"), trouble);
        Ok(())
    }
}

/// The list that wraps a custom metric's value.
struct CustomValues {
    count: usize,
    value: CustomDraft,
}

impl Elements for CustomValues {
    fn element<'de, A: SeqAccess<'de>>(&mut self, index: usize, seq: &mut A) -> Result<bool, A::Error> {
        if index > 0 {
            let more = seq.next_element::<IgnoredAny>()?.is_some();
            self.count += usize::from(more);
            return Ok(more);
        }
        let Some(kind) = seq.next_element_seed(Object(&mut self.value))? else { return Ok(false) };
        self.count = 1;
        if kind != Kind::Object {
            self.value.trouble = Some(format!("is a list of {}, a list with one object is expected", kind.as_str()));
        }
        Ok(true)
    }
}

/// A custom metric's value while it is being read. A list with one bad element is left out as a whole: a part of it
/// would be judged as if it were all.
#[derive(Default)]
struct CustomDraft {
    value: Option<CustomValue>,
    trouble: Option<String>,
}

impl Fields for CustomDraft {
    fn field<'de, A: MapAccess<'de>>(&mut self, key: &str, map: &mut A) -> Result<(), A::Error> {
        let mut list = CustomList { name: "", expected: "", trouble: None, take: Take::None };
        let value = match key {
            "number" => {
                let value: Leaf<'de> = map.next_value()?;
                if value.as_number().is_none() {
                    list.trouble = Some("number is not a finite number".to_owned());
                }
                value.as_number().map(CustomValue::Number)
            }
            "number_list" => {
                list.set("number_list", "finite numbers", Take::Numbers(Vec::new()));
                list.read(map)?
            }
            "string_list" => {
                list.set("string_list", "strings of at most 1024 bytes", Take::Strings(Vec::new()));
                list.read(map)?
            }
            "ip_list" => {
                list.set("ip_list", "IP addresses", Take::Addresses(Vec::new()));
                list.read(map)?
            }
            _ => {
                skip(map)?;
                list.trouble =
                    Some(format!("has {}, which is none of number, number_list, string_list, ip_list", Shown(key)));
                None
            }
        };
        if self.value.is_some() && value.is_some() {
            list.trouble = Some("has more than one value".to_owned());
        }
        self.value = self.value.take().or(value);
        self.trouble = self.trouble.take().or(list.trouble);
        Ok(())
    }
}

/// A list in a custom metric's value.
struct CustomList {
    name: &'static str,
    expected: &'static str,
    trouble: Option<String>,
    take: Take,
}

enum Take {
    None,
    Numbers(Vec<f64>),
    Strings(Vec<String>),
    Addresses(Vec<IpAddr>),
}

impl CustomList {
    fn set(&mut self, name: &'static str, expected: &'static str, take: Take) {
        (self.name, self.expected, self.take) = (name, expected, take);
    }

    fn read<'de, A: MapAccess<'de>>(&mut self, map: &mut A) -> Result<Option<CustomValue>, A::Error> {
        let kind = map.next_value_seed(List(self))?;
        if kind != Kind::List {
            self.trouble = Some(format!("{} is {}, a list is expected", self.name, kind.as_str()));
            return Ok(None);
        }
        Ok(match std::mem::replace(&mut self.take, Take::None) {
            Take::None => None,
            Take::Numbers(list) => Some(CustomValue::Numbers(list)),
            Take::Strings(list) => Some(CustomValue::Strings(list)),
            Take::Addresses(list) => Some(CustomValue::Addresses(list)),
        })
    }
}

impl Elements for CustomList {
    fn element<'de, A: SeqAccess<'de>>(&mut self, index: usize, seq: &mut A) -> Result<bool, A::Error> {
        if index >= LIST_ELEMENTS_MAX {
            let more = seq.next_element::<IgnoredAny>()?.is_some();
            if more && self.trouble.is_none() {
                self.trouble = Some(format!("{} has more than {LIST_ELEMENTS_MAX} elements", self.name));
            }
            return Ok(more);
        }
        let Some(value) = seq.next_element::<Leaf<'de>>()? else { return Ok(false) };
        let taken = match (&mut self.take, &value) {
            (Take::Numbers(list), _) => value.as_number().map(|number| list.push(number)),
            (Take::Strings(list), Leaf::Text(text)) => {
                (text.len() <= CUSTOM_STRING_BYTES_MAX).then(|| list.push(text.clone().into_owned()))
            }
            (Take::Addresses(list), Leaf::Text(text)) => {
                text.parse().ok().map(|address: IpAddr| list.push(address.to_canonical()))
            }
            (Take::None | Take::Strings(_) | Take::Addresses(_), _) => None,
        };
        if taken.is_none() && self.trouble.is_none() {
            self.trouble = Some(format!("{}[{index}] is not one of {}", self.name, self.expected));
        }
        Ok(true)
    }
}
