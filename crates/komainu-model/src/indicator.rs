//! Indicators: addresses and names that a device should not be in contact with, and who taught that.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use crate::id::{InvalidName, NameProblem, is_iot_name_char, name_type};
use crate::{IndicatorRefusal, ReporterName, Timestamp};

name_type! {
    /// One run of a sample in the laboratory: 1 to 128 characters of `[a-zA-Z0-9:_-]`.
    DetonationId, "detonation id", 128, "a-z A-Z 0-9 : _ -", is_iot_name_char
}
name_type! {
    /// A visit to a sensor, `session.id` in its record: 1 to 128 characters of `[a-zA-Z0-9:_-]`.
    SessionId, "session id", 128, "a-z A-Z 0-9 : _ -", is_iot_name_char
}
name_type! {
    /// The sensor that was visited: 1 to 128 characters of `[a-zA-Z0-9:_-]`.
    SensorName, "sensor name", 128, "a-z A-Z 0-9 : _ -", is_iot_name_char
}
name_type! {
    /// A feed of indicators, as its operator calls it: 1 to 128 characters of `[a-zA-Z0-9:_-]`.
    FeedName, "feed name", 128, "a-z A-Z 0-9 : _ -", is_iot_name_char
}

/// Which indicator: a UUID that follows from its value, so that teaching it twice is one indicator.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct IndicatorId([u8; 16]);

impl IndicatorId {
    /// The identity with these bytes.
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// The bytes of the UUID.
    pub const fn bytes(&self) -> &[u8; 16] {
        &self.0
    }

    /// Takes a UUID in its hyphenated form.
    pub fn parse(text: &str) -> Result<Self, InvalidName> {
        let form = NameProblem::Form { expected: "a UUID in lower case with hyphens" };
        let wrong = InvalidName { kind: "indicator id", problem: form };
        if !crate::id::is_uuid(text) {
            return Err(wrong);
        }
        let digits: String = text.chars().filter(|digit| *digit != '-').collect();
        u128::from_str_radix(&digits, 16).map(|number| Self(number.to_be_bytes())).map_err(|_| wrong)
    }
}

impl fmt::Display for IndicatorId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, byte) in self.0.iter().enumerate() {
            if matches!(at, 4 | 6 | 8 | 10) {
                f.write_str("-")?;
            }
            write!(f, "{byte:02x}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for IndicatorId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "IndicatorId({self})")
    }
}

/// A sample: the SHA-256 of its contents, shown as 64 lower-case hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SampleDigest([u8; 32]);

impl SampleDigest {
    /// The sample with this digest.
    pub const fn from_sha256(sha256: [u8; 32]) -> Self {
        Self(sha256)
    }

    /// The digest.
    pub const fn sha256(&self) -> &[u8; 32] {
        &self.0
    }

    /// Takes 64 hexadecimal digits.
    pub fn parse(text: &str) -> Result<Self, InvalidName> {
        let form = NameProblem::Form { expected: "64 hexadecimal digits" };
        let wrong = InvalidName { kind: "SHA-256", problem: form };
        if text.len() != 64 || !text.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            return Err(wrong);
        }
        let mut sha256 = [0; 32];
        for (byte, pair) in sha256.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
            let nibble = |digit: u8| (digit as char).to_digit(16).unwrap_or_default() as u8;
            *byte = nibble(pair[0]) << 4 | nibble(pair[1]);
        }
        Ok(Self(sha256))
    }
}

impl fmt::Display for SampleDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for SampleDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SampleDigest({self})")
    }
}

/// The longest name in the domain name system, in bytes (RFC 1035, 2.3.4; without the last dot).
const DOMAIN_BYTES_MAX: usize = 253;
/// The longest label of a name, in bytes (RFC 1035, 2.3.4).
const LABEL_BYTES_MAX: usize = 63;

/// A name in the domain name system, in lower case, with two labels at least and without the last dot. The last label is no
/// number, so that no address can be taken for a name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DomainName(Arc<str>);

impl DomainName {
    /// Takes a name of letters, digits, `-` and `_`; upper case and a last dot are let go.
    pub fn parse(text: &str) -> Result<Self, InvalidName> {
        let form = NameProblem::Form { expected: "a name such as c2.example.net" };
        let wrong = InvalidName { kind: "domain name", problem: form };
        let text = text.strip_suffix('.').unwrap_or(text);
        let is_label = |label: &str| {
            (1..=LABEL_BYTES_MAX).contains(&label.len())
                && !label.starts_with('-')
                && !label.ends_with('-')
                && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
        };
        let last = text.rsplit('.').next().unwrap_or_default();
        let is_name = text.len() <= DOMAIN_BYTES_MAX
            && text.contains('.')
            && text.split('.').all(is_label)
            && !last.bytes().all(|byte| byte.is_ascii_digit());
        if is_name { Ok(Self(text.to_ascii_lowercase().into())) } else { Err(wrong) }
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it is `other` or a name below it.
    pub fn is_within(&self, other: &str) -> bool {
        self.0.strip_suffix(other).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
    }
}

impl fmt::Display for DomainName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What an indicator names. Shows itself as it is written: `203.0.113.66`, `203.0.113.66:23`, `203.0.113.66:23/tcp`,
/// `[2001:db8::1]:23`, `c2.example.net`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum IndicatorValue {
    /// An address, or one port of it.
    Address {
        /// The address; an IPv4 address in IPv6 clothes is an IPv4 address here.
        address: IpAddr,
        /// The port, 1 to 65,535; without one every port is meant.
        port: Option<u16>,
        /// Over which protocol; both when it is not said. Only said with a port.
        transport: Option<Transport>,
    },
    /// A name and every name below it.
    Name(DomainName),
}

/// The protocol of a port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Transport {
    Tcp,
    Udp,
}

impl Transport {
    /// `tcp` or `udp`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
        }
    }
}

impl IndicatorValue {
    /// Takes a value as it is shown.
    pub fn parse(text: &str) -> Result<Self, InvalidName> {
        let wrong = |expected| InvalidName { kind: "indicator", problem: NameProblem::Form { expected } };
        let (host, transport) = match text.rsplit_once('/') {
            Some((host, "tcp")) => (host, Some(Transport::Tcp)),
            Some((host, "udp")) => (host, Some(Transport::Udp)),
            Some(_) => return Err(wrong("an address, an address with a port, or a name; no network and no URL")),
            None => (text, None),
        };
        if let Ok(address) = host.parse::<IpAddr>() {
            if transport.is_some() {
                return Err(wrong("an address with a port where a protocol is given"));
            }
            return Ok(Self::Address { address: address.to_canonical(), port: None, transport });
        }
        if let Ok(socket) = host.parse::<SocketAddr>() {
            if socket.port() == 0 {
                return Err(wrong("an address with a port from 1 to 65535"));
            }
            return Ok(Self::Address { address: socket.ip().to_canonical(), port: Some(socket.port()), transport });
        }
        if transport.is_some() {
            return Err(wrong("an address with a port where a protocol is given"));
        }
        DomainName::parse(host).map(Self::Name).map_err(|_| wrong("an address, an address with a port, or a name"))
    }
}

impl fmt::Display for IndicatorValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address { address, port: None, .. } => write!(f, "{address}"),
            Self::Address { address, port: Some(port), transport } => {
                write!(f, "{}", SocketAddr::new(*address, *port))?;
                transport.map_or(Ok(()), |transport| write!(f, "/{}", transport.as_str()))
            }
            Self::Name(name) => write!(f, "{name}"),
        }
    }
}

/// Which kind of threat is behind an indicator.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Threat {
    /// Malware takes its orders there.
    CommandAndControl,
    /// Malware is fetched from there.
    Distribution,
    /// What was stolen is sent there.
    Exfiltration,
    /// Computing power is sold there.
    Mining,
    /// It is not said.
    Unspecified,
}

impl Threat {
    /// All of them.
    pub const ALL: [Self; 5] =
        [Self::CommandAndControl, Self::Distribution, Self::Exfiltration, Self::Mining, Self::Unspecified];

    /// The word for it in commands and files.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::CommandAndControl => "command-and-control",
            Self::Distribution => "distribution",
            Self::Exfiltration => "exfiltration",
            Self::Mining => "mining",
            Self::Unspecified => "unspecified",
        }
    }

    /// Takes the word, or `c2`, which everybody writes.
    pub fn parse(text: &str) -> Result<Self, InvalidName> {
        let expected = "one of command-and-control (c2), distribution, exfiltration, mining, unspecified";
        let wrong = InvalidName { kind: "threat", problem: NameProblem::Form { expected } };
        if text == "c2" {
            return Ok(Self::CommandAndControl);
        }
        Self::ALL.into_iter().find(|threat| threat.as_str() == text).ok_or(wrong)
    }
}

/// How sure its teacher is, in percent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Confidence(u8);

impl Confidence {
    /// Takes 0 to 100.
    pub fn new(percent: u8) -> Result<Self, InvalidName> {
        let form = NameProblem::Form { expected: "from 0 to 100" };
        if percent <= 100 { Ok(Self(percent)) } else { Err(InvalidName { kind: "confidence", problem: form }) }
    }

    /// The percentage.
    pub const fn percent(self) -> u8 {
        self.0
    }
}

/// Who says that something is an indicator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum IndicatorSource {
    /// The laboratory saw it.
    Detonation(DetonationId),
    /// A person.
    Operator,
    /// A list that somebody else keeps.
    Feed(FeedName),
}

/// From where an indicator is known: the way back from an alarm to the attack that taught it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Provenance {
    /// The sample that showed it.
    pub sample: Option<SampleDigest>,
    /// The run in which it did.
    pub detonation: Option<DetonationId>,
    /// The visit by which the sample came.
    pub session: Option<SessionId>,
    /// The sensor that was visited.
    pub sensor: Option<SensorName>,
    /// When it was taught.
    pub at: Timestamp,
}

impl Provenance {
    /// Whether both tell of the same origin, whenever it was told.
    pub fn is_same_origin(&self, other: &Self) -> bool {
        let origin = |one: &Self| (one.sample, one.detonation.clone(), one.session.clone(), one.sensor.clone());
        origin(self) == origin(other)
    }

    /// Whether it names an origin at all.
    pub fn is_empty(&self) -> bool {
        self.sample.is_none() && self.detonation.is_none() && self.session.is_none() && self.sensor.is_none()
    }
}

/// Whether devices are judged by an indicator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum IndicatorState {
    /// They are.
    Active,
    /// It has grown too old.
    Expired,
    /// Somebody took it back.
    Revoked {
        /// When.
        at: Timestamp,
        /// Why, at most 500 characters.
        reason: Option<String>,
    },
}

/// Something that a device should not be in contact with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Indicator {
    /// Its identity, which follows from its value.
    pub id: IndicatorId,
    /// What it names.
    pub value: IndicatorValue,
    /// What is behind it.
    pub threat: Threat,
    /// The highest that a teacher had.
    pub confidence: Confidence,
    /// Who taught it first.
    pub source: IndicatorSource,
    /// From where it is known, the earliest first; bounded.
    pub provenance: Vec<Provenance>,
    /// So many origins were left out at the bound.
    pub provenance_dropped: u64,
    /// When it was taught first.
    pub first_seen: Timestamp,
    /// Devices are judged by it from then on.
    pub valid_from: Timestamp,
    /// And until then.
    pub valid_until: Timestamp,
    /// Whether they are now.
    pub state: IndicatorState,
    /// What people wrote about it, at most 500 characters.
    pub note: Option<String>,
}

/// Something that may become an indicator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IndicatorCandidate {
    /// What it names.
    pub value: IndicatorValue,
    /// What is behind it.
    pub threat: Threat,
    /// How sure the teacher is.
    pub confidence: Confidence,
    /// Who says so.
    pub source: IndicatorSource,
    /// From where it is known.
    pub provenance: Option<Provenance>,
    /// How long it counts; the installation's own time when it is not said.
    pub valid_for: Option<Duration>,
    /// What people wrote about it.
    pub note: Option<String>,
    /// A person has looked at it: infrastructure that many share may be named, with care.
    pub reviewed: bool,
}

/// What became of a candidate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Taught {
    /// Devices are judged by it now and were not before.
    New(IndicatorId),
    /// They were already; what it told is kept with it.
    Known(IndicatorId),
    /// It is none, for this reason; it is kept among the refused.
    Refused {
        /// Why.
        reason: IndicatorRefusal,
    },
}

/// A candidate that did not become an indicator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefusedCandidate {
    /// The identity that it would have.
    pub id: IndicatorId,
    /// What it names.
    pub value: IndicatorValue,
    /// Who said so.
    pub source: IndicatorSource,
    /// From where it is known.
    pub provenance: Option<Provenance>,
    /// Why it is none.
    pub reason: IndicatorRefusal,
    /// When it was refused last.
    pub at: Timestamp,
}

/// Somebody whom a device was in contact with. Shows itself as `203.0.113.66:23`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Remote {
    /// Who.
    pub host: RemoteHost,
    /// On which port, when that was said.
    pub port: Option<u16>,
}

/// Who somebody is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(missing_docs, reason = "the names say it")]
pub enum RemoteHost {
    Address(IpAddr),
    Name(DomainName),
}

impl Remote {
    /// Takes it as it is shown.
    pub fn parse(text: &str) -> Result<Self, InvalidName> {
        let form = NameProblem::Form { expected: "an address or a name, perhaps with a port" };
        let wrong = InvalidName { kind: "remote", problem: form };
        if let Ok(address) = text.parse::<IpAddr>() {
            return Ok(Self { host: RemoteHost::Address(address.to_canonical()), port: None });
        }
        if let Ok(socket) = text.parse::<SocketAddr>() {
            let host = RemoteHost::Address(socket.ip().to_canonical());
            return Ok(Self { host, port: Some(socket.port()).filter(|port| *port != 0) });
        }
        let (name, port) = match text.rsplit_once(':') {
            Some((name, port)) => (name, Some(port.parse().ok().filter(|port| *port != 0).ok_or(wrong.clone())?)),
            None => (text, None),
        };
        DomainName::parse(name).map(|name| Self { host: RemoteHost::Name(name), port }).map_err(|_| wrong)
    }
}

impl fmt::Display for Remote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.host, self.port) {
            (RemoteHost::Address(address), None) => write!(f, "{address}"),
            (RemoteHost::Address(address), Some(port)) => write!(f, "{}", SocketAddr::new(*address, port)),
            (RemoteHost::Name(name), None) => write!(f, "{name}"),
            (RemoteHost::Name(name), Some(port)) => write!(f, "{name}:{port}"),
        }
    }
}

/// How it became known that a device was in contact with an indicator.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SightingWay {
    /// The device's report names it.
    Report,
    /// The device connected to the gateway from there.
    Gateway,
    /// It stands in what devices reported before the indicator was known.
    LookingBack,
}

impl SightingWay {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Report, Self::Gateway, Self::LookingBack];

    /// The word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Report => "report",
            Self::Gateway => "gateway",
            Self::LookingBack => "looking-back",
        }
    }
}

/// An indicator that a device was in contact with, at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IndicatorMatch {
    /// The indicator.
    pub indicator: IndicatorId,
    /// What the device was in contact with.
    pub remote: Remote,
    /// How that became known.
    pub way: SightingWay,
    /// When the device was seen with it.
    pub seen_at: Timestamp,
    /// The sample that taught the indicator, when that is known.
    pub sample: Option<SampleDigest>,
}

impl fmt::Display for IndicatorMatch {
    /// For programs: `indicator=UUID remote=203.0.113.66:23 way=report seen_at_ms=1795400000000 sample=SHA256`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { indicator, remote, way, seen_at, sample } = self;
        let (way, seen_at_ms) = (way.as_str(), seen_at.unix_millis());
        write!(f, "indicator={indicator} remote={remote} way={way} seen_at_ms={seen_at_ms}")?;
        sample.map_or(Ok(()), |sample| write!(f, " sample={sample}"))
    }
}

/// That a device was in contact with an indicator: one for each device and indicator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sighting {
    /// The device.
    pub reporter: ReporterName,
    /// The indicator.
    pub indicator: IndicatorId,
    /// What it was in contact with when that became known first.
    pub remote: Remote,
    /// How that became known.
    pub way: SightingWay,
    /// When the device was seen with it first.
    pub first_at: Timestamp,
    /// And last.
    pub last_at: Timestamp,
    /// So many reports or readings said so.
    pub count: u64,
}

/// That a device reported somebody whom it was in contact with: one for each device and remote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Contact {
    /// The device.
    pub reporter: ReporterName,
    /// Whom it was in contact with.
    pub remote: Remote,
    /// When it was reported first.
    pub first_at: Timestamp,
    /// And last.
    pub last_at: Timestamp,
    /// So many reports named it.
    pub count: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_shown_as_they_are_written() {
        let check = |text: &str, expected: Option<&str>| {
            let shown = IndicatorValue::parse(text).ok().map(|value| value.to_string());
            assert_eq!(shown.as_deref(), expected, "{text}");
        };
        check("203.0.113.66", Some("203.0.113.66"));
        check("203.0.113.66:23", Some("203.0.113.66:23"));
        check("203.0.113.66:23/tcp", Some("203.0.113.66:23/tcp"));
        check("203.0.113.66:53/udp", Some("203.0.113.66:53/udp"));
        check("::ffff:203.0.113.66", Some("203.0.113.66"));
        check("[::ffff:203.0.113.66]:23", Some("203.0.113.66:23"));
        check("[2001:DB8::1]:23", Some("[2001:db8::1]:23"));
        check("2001:db8::1", Some("2001:db8::1"));
        check("C2.Example.NET.", Some("c2.example.net"));
        check("203.0.113.0/24", None);
        check("203.0.113.66/tcp", None);
        check("203.0.113.66:0", None);
        check("203.0.113.66:65536", None);
        check("300.0.113.66", None);
        check("localhost", None);
        check("a..b", None);
        check("-a.example", None);
        check("http://c2.example.net/x", None);
        check("c2.example.net:23", None);
        check("c2.example.net\n", None);
        check("", None);
        check(&format!("{}.example", "a".repeat(64)), None);
        check(&"a.".repeat(200), None);
    }

    #[test]
    fn names_hold_the_names_below_them() {
        let name = DomainName::parse("a.c2.example.net").unwrap();
        for (other, expected) in [("a.c2.example.net", true), ("c2.example.net", true), ("2.example.net", false)] {
            assert_eq!(name.is_within(other), expected, "{other}");
        }
    }

    #[test]
    fn remotes_are_shown_as_they_are_written() {
        for text in [
            "203.0.113.66",
            "203.0.113.66:23",
            "[2001:db8::1]:23",
            "2001:db8::1",
            "c2.example.net",
            "c2.example.net:23",
        ] {
            assert_eq!(Remote::parse(text).unwrap().to_string(), text);
        }
        assert_eq!(Remote::parse("203.0.113.66:0").unwrap().to_string(), "203.0.113.66");
        for text in ["", "x", "c2.example.net:0", "c2.example.net:x", "203.0.113.0/24", "a b.example"] {
            assert!(Remote::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn ids_and_digests_come_back() {
        let text = "6d3c4c1e-6a26-5f2f-9b7e-0123456789ab";
        assert_eq!(IndicatorId::parse(text).unwrap().to_string(), text);
        assert!(IndicatorId::parse("6d3c4c1e").is_err());
        let digits = "0123456789abcdef".repeat(4);
        assert_eq!(SampleDigest::parse(&digits.to_uppercase()).unwrap().to_string(), digits);
        assert!(SampleDigest::parse("ab").is_err() && SampleDigest::parse(&"g".repeat(64)).is_err());
    }
}
