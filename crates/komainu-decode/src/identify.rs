//! Which protocol a flow speaks.
//!
//! Attackers try every protocol on every port, so what was said counts for more than the port; the port decides only
//! where the first bytes fit several protocols or none, as with Telnet.

mod datagrams;

use std::fmt;

use crate::{
    Decoder, Fact, Observer, Oddity, OddityKind, Place, Side, adb, coap, dns, ftp, http, mqtt, redis, rtsp, sip, smb,
    snmp, ssdp, ssh, telnet, tftp, tls,
};

/// The bytes of each side that are looked at for finding the protocol of a stream, and that are kept meanwhile. When
/// they do not show it, the flow stays undecoded.
pub const DECIDE_BYTES_MAX: usize = 512;

/// How a flow is carried.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Transport {
    /// A stream.
    Tcp,
    /// Datagrams.
    Udp,
}

/// A protocol that has a decoder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(missing_docs, reason = "the names are the protocols'")]
pub enum Protocol {
    Adb,
    Coap,
    Dns,
    Ftp,
    Http,
    Mqtt,
    Redis,
    Rtsp,
    Sip,
    Smb,
    Snmp,
    Ssdp,
    Ssh,
    Telnet,
    Tftp,
    Tls,
}

impl Protocol {
    /// The name of the protocol in lower case, as event logs have it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Adb => "adb",
            Self::Coap => "coap",
            Self::Dns => "dns",
            Self::Ftp => "ftp",
            Self::Http => "http",
            Self::Mqtt => "mqtt",
            Self::Redis => "redis",
            Self::Rtsp => "rtsp",
            Self::Sip => "sip",
            Self::Smb => "smb",
            Self::Snmp => "snmp",
            Self::Ssdp => "ssdp",
            Self::Ssh => "ssh",
            Self::Telnet => "telnet",
            Self::Tftp => "tftp",
            Self::Tls => "tls",
        }
    }

    /// A decoder for one flow of the protocol.
    pub fn decoder(self, transport: Transport) -> Box<dyn Decoder> {
        match self {
            Self::Adb => Box::new(adb::Reader::default()),
            Self::Coap => Box::new(coap::Reader::default()),
            Self::Dns => match transport {
                Transport::Tcp => Box::new(dns::Reader::stream()),
                Transport::Udp => Box::new(dns::Reader::datagrams()),
            },
            Self::Ftp => Box::new(ftp::Reader::default()),
            Self::Http => Box::new(http::Reader::default()),
            Self::Mqtt => Box::new(mqtt::Reader::default()),
            Self::Redis => Box::new(redis::Reader::default()),
            Self::Rtsp => Box::new(rtsp::Reader::default()),
            Self::Sip => match transport {
                Transport::Tcp => Box::new(sip::Reader::stream()),
                Transport::Udp => Box::new(sip::Reader::datagrams()),
            },
            Self::Smb => Box::new(smb::Reader::default()),
            Self::Snmp => Box::new(snmp::Reader::default()),
            Self::Ssdp => Box::new(ssdp::Reader::default()),
            Self::Ssh => Box::new(ssh::Reader::default()),
            Self::Telnet => Box::new(telnet::Reader::default()),
            Self::Tftp => Box::new(tftp::Reader::default()),
            Self::Tls => Box::new(tls::Reader::default()),
        }
    }

    /// The protocol that a port of a server is for, where the bytes do not say.
    fn of_port(transport: Transport, port: u16) -> Option<Self> {
        match (transport, port) {
            (Transport::Tcp, 21 | 2121) => Some(Self::Ftp),
            (Transport::Tcp, 23 | 2323 | 9527 | 26) => Some(Self::Telnet),
            (Transport::Tcp, 53) | (Transport::Udp, 53 | 5353) => Some(Self::Dns),
            (Transport::Tcp, 139 | 445) => Some(Self::Smb),
            (Transport::Udp, 69) => Some(Self::Tftp),
            (Transport::Udp, 161 | 162) => Some(Self::Snmp),
            (Transport::Udp, 5683) => Some(Self::Coap),
            _ => None,
        }
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

/// What the first bytes of a flow say of its protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Is(Protocol),
    /// More bytes may tell.
    More,
    /// More bytes will not tell.
    Unknown,
}

/// One flow, from its first byte: finds the protocol and decodes it.
pub struct Conversation {
    transport: Transport,
    server_port: u16,
    state: State,
}

enum State {
    /// What both sides said so far, in the order in which it was said.
    Undecided {
        said: Vec<(Side, Vec<u8>)>,
        lost: bool,
    },
    Decoding {
        protocol: Protocol,
        decoder: Box<dyn Decoder>,
    },
    Unknown,
}

impl fmt::Debug for Conversation {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Conversation").field("protocol", &self.protocol()).finish_non_exhaustive()
    }
}

impl Conversation {
    /// A flow to `server_port` of which nothing is known yet.
    pub fn new(transport: Transport, server_port: u16) -> Self {
        Self { transport, server_port, state: State::Undecided { said: Vec::new(), lost: false } }
    }

    /// A flow whose protocol is known, such as that of a persona.
    pub fn of(protocol: Protocol, transport: Transport, server_port: u16) -> Self {
        Self { transport, server_port, state: State::Decoding { protocol, decoder: protocol.decoder(transport) } }
    }

    /// Whether nothing was said yet.
    pub(crate) fn is_silent(&self) -> bool {
        matches!(&self.state, State::Undecided { said, lost: false } if said.is_empty())
    }

    /// A data connection that another flow announced.
    pub(crate) fn of_announced(protocol: Protocol, decoder: Box<dyn Decoder>, transport: Transport) -> Self {
        Self { transport, server_port: 0, state: State::Decoding { protocol, decoder } }
    }

    /// A data connection of FTP, for whoever is an end of it.
    pub fn of_ftp_data(reader: ftp::DataReader) -> Self {
        Self::of_announced(Protocol::Ftp, Box::new(reader), Transport::Tcp)
    }

    /// The port that the server stands for.
    pub fn server_port(&self) -> u16 {
        self.server_port
    }

    /// The protocol, once it is known.
    pub fn protocol(&self) -> Option<Protocol> {
        match &self.state {
            State::Decoding { protocol, .. } => Some(*protocol),
            State::Undecided { .. } | State::Unknown => None,
        }
    }

    /// Takes what a side said next: bytes of a stream, or one datagram.
    pub fn data(&mut self, side: Side, bytes: &[u8], observer: &mut dyn Observer) {
        observer.payload(side, bytes);
        match &mut self.state {
            State::Decoding { decoder, .. } => decoder.data(side, bytes, observer),
            State::Unknown => {}
            State::Undecided { said, .. } => {
                if bytes.is_empty() {
                    return;
                }
                // The usual case: the first piece tells, and nothing is copied.
                if said.is_empty()
                    && let Verdict::Is(protocol) = identify(self.transport, self.server_port, side, bytes, &[])
                {
                    observer.protocol(protocol);
                    let mut decoder = protocol.decoder(self.transport);
                    decoder.data(side, bytes, observer);
                    self.state = State::Decoding { protocol, decoder };
                    return;
                }
                said.push((side, bytes.to_vec()));
                self.decide(false, observer);
            }
        }
    }

    /// Learns that the next `bytes` bytes of a side are not known.
    pub fn gap(&mut self, side: Side, bytes: u64, observer: &mut dyn Observer) {
        observer.lost(side, bytes);
        match &mut self.state {
            State::Decoding { decoder, .. } => decoder.gap(side, bytes, observer),
            State::Unknown => {}
            State::Undecided { said, lost } => {
                // Without its beginning, a stream is decoded only if the port tells how.
                *lost = true;
                let place = Place { side, offset: 0, bytes };
                if said.is_empty() {
                    observer.fact(place, Fact::Oddity(Oddity { kind: OddityKind::Gap, what: "beginning_lost" }));
                }
                self.decide(true, observer);
                if let State::Decoding { decoder, .. } = &mut self.state {
                    decoder.gap(side, bytes, observer);
                }
            }
        }
    }

    /// Learns that a side has said everything.
    pub fn finish(&mut self, side: Side, observer: &mut dyn Observer) {
        match &mut self.state {
            State::Decoding { decoder, .. } => decoder.finish(side, observer),
            State::Undecided { .. } | State::Unknown => {}
        }
    }

    /// Learns that the flow is over.
    pub fn end(&mut self, observer: &mut dyn Observer) {
        if let State::Undecided { said, .. } = &self.state
            && !said.is_empty()
        {
            self.decide(true, observer);
        }
        if let State::Decoding { decoder, .. } = &mut self.state {
            decoder.end(observer);
        }
    }

    /// Looks at what was said so far; `must` says that nothing more will come.
    fn decide(&mut self, must: bool, observer: &mut dyn Observer) {
        let State::Undecided { said, lost } = &mut self.state else { return };
        let bytes_of = |side: Side| {
            let mut bytes = Vec::new();
            for (_, piece) in said.iter().filter(|(by, _)| *by == side) {
                bytes.extend_from_slice(&piece[..piece.len().min(DECIDE_BYTES_MAX - bytes.len())]);
                if self.transport == Transport::Udp || bytes.len() == DECIDE_BYTES_MAX {
                    break;
                }
            }
            bytes
        };
        let (client, server) = (bytes_of(Side::Client), bytes_of(Side::Server));
        let verdict = if *lost {
            Verdict::Unknown
        } else if client.is_empty() {
            identify(self.transport, self.server_port, Side::Server, &server, &client)
        } else {
            identify(self.transport, self.server_port, Side::Client, &client, &server)
        };
        let is_enough = must || client.len() == DECIDE_BYTES_MAX || server.len() == DECIDE_BYTES_MAX;
        let protocol = match verdict {
            Verdict::Is(protocol) => Some(protocol),
            Verdict::More if !is_enough => return,
            Verdict::More | Verdict::Unknown => Protocol::of_port(self.transport, self.server_port),
        };
        let said = std::mem::take(said);
        self.state = match protocol {
            None => State::Unknown,
            Some(protocol) => {
                observer.protocol(protocol);
                let mut decoder = protocol.decoder(self.transport);
                for (side, piece) in &said {
                    decoder.data(*side, piece, observer);
                }
                State::Decoding { protocol, decoder }
            }
        };
    }
}

/// What the first bytes say. `first` is what `side` said; `other` what the other side said meanwhile.
fn identify(transport: Transport, server_port: u16, side: Side, first: &[u8], other: &[u8]) -> Verdict {
    match (transport, side) {
        (Transport::Udp, _) => identify_datagram(server_port, first),
        (Transport::Tcp, Side::Server) => identify_greeting(server_port, first),
        (Transport::Tcp, Side::Client) => match identify_request(server_port, first) {
            // The client's words fit nothing (a password, say): the server may have greeted.
            Verdict::Unknown if !other.is_empty() => identify_greeting(server_port, other),
            verdict => verdict,
        },
    }
}

/// The protocols in which the server speaks first.
fn identify_greeting(server_port: u16, bytes: &[u8]) -> Verdict {
    if let Some(verdict) = begins(bytes, b"SSH-", Protocol::Ssh) {
        return verdict;
    }
    // A lone command of Telnet (RFC 854): IAC WILL/WONT/DO/DONT or IAC SB.
    match bytes {
        [255, 250..=254, ..] => return Verdict::Is(Protocol::Telnet),
        [255] => return Verdict::More,
        _ => {}
    }
    if bytes.starts_with(b"220") {
        // SMTP greets with 220, too; it has no decoder, and `ESMTP` stands in nearly every greeting of it.
        let is_mail = contains(bytes, b"SMTP") || matches!(server_port, 25 | 465 | 587 | 2525);
        return if is_mail { Verdict::Unknown } else { Verdict::Is(Protocol::Ftp) };
    }
    match Protocol::of_port(Transport::Tcp, server_port) {
        Some(protocol) => Verdict::Is(protocol),
        None if is_prompt(bytes) => Verdict::Is(Protocol::Telnet),
        None => Verdict::More,
    }
}

/// Whether a server asks for a user name: Telnet, on whatever port.
fn is_prompt(bytes: &[u8]) -> bool {
    let end = bytes.trim_ascii_end();
    let tail = &end[end.len().saturating_sub(10)..];
    [&b"login:"[..], b"Login:", b"sername:", b"Password:"].iter().any(|prompt| tail.ends_with(prompt))
}

/// The protocols in which the client speaks first.
fn identify_request(server_port: u16, bytes: &[u8]) -> Verdict {
    if let Some(verdict) = begins(bytes, b"SSH-", Protocol::Ssh) {
        return verdict;
    }
    if bytes.starts_with(&[255]) {
        return Verdict::Is(Protocol::Telnet);
    }
    for verdict in [
        adb_message(bytes),
        netbios_smb(bytes),
        tls_record(bytes),
        mqtt_connect(bytes),
        redis_request(server_port, bytes),
    ] {
        match verdict {
            Verdict::Unknown => {}
            Verdict::Is(_) | Verdict::More => return verdict,
        }
    }
    if server_port == 53 {
        return Verdict::Is(Protocol::Dns);
    }
    match request_line(bytes) {
        Verdict::Unknown => Protocol::of_port(Transport::Tcp, server_port).map_or(Verdict::Unknown, Verdict::Is),
        verdict => verdict,
    }
}

/// `METHOD SP target SP PROTOCOL/…`, as HTTP, RTSP and SIP have it. A broken one still begins with a method.
fn request_line(bytes: &[u8]) -> Verdict {
    const METHOD_BYTES_MAX: usize = 24;
    // Empty lines before a request are allowed (RFC 9112, 2.2).
    let start = bytes.iter().position(|byte| !matches!(byte, b'\r' | b'\n')).unwrap_or(bytes.len());
    let bytes = &bytes[start..];
    let line_end = bytes.iter().position(|byte| *byte == b'\n');
    let line = &bytes[..line_end.unwrap_or(bytes.len())];
    let method = line.split(|byte| *byte == b' ').next().unwrap_or_default();
    let is_method = !method.is_empty()
        && method.len() <= METHOD_BYTES_MAX
        && method.iter().all(|byte| byte.is_ascii_alphabetic() || matches!(byte, b'-' | b'_'));
    if bytes.is_empty() || (is_method && line_end.is_none() && bytes.len() < DECIDE_BYTES_MAX) {
        return Verdict::More;
    }
    if !is_method {
        return Verdict::Unknown;
    }
    if contains(line, b" RTSP/") {
        return Verdict::Is(Protocol::Rtsp);
    }
    if contains(line, b" SIP/") {
        return Verdict::Is(Protocol::Sip);
    }
    const HTTP_METHODS: [&[u8]; 17] = [
        b"GET",
        b"POST",
        b"HEAD",
        b"PUT",
        b"DELETE",
        b"OPTIONS",
        b"CONNECT",
        b"TRACE",
        b"PATCH",
        b"PROPFIND",
        b"MOVE",
        b"COPY",
        b"MKCOL",
        b"SUBSCRIBE",
        b"UNSUBSCRIBE",
        b"NOTIFY",
        b"M-SEARCH",
    ];
    let is_http = contains(line, b" HTTP/") || (line.len() > method.len() && HTTP_METHODS.contains(&method));
    if is_http { Verdict::Is(Protocol::Http) } else { Verdict::Unknown }
}

/// `CNXN`, `OPEN`, `SYNC` or `AUTH`, whose sixth word is its complement (AOSP, protocol.txt).
fn adb_message(bytes: &[u8]) -> Verdict {
    const NAMES: [&[u8; 4]; 4] = [b"CNXN", b"OPEN", b"SYNC", b"AUTH"];
    let begin = &bytes[..bytes.len().min(4)];
    if !NAMES.iter().any(|name| name.starts_with(begin)) {
        return Verdict::Unknown;
    }
    match bytes.get(20..24) {
        None => Verdict::More,
        Some(magic) if magic.iter().zip(begin).all(|(magic, name)| *magic == !name) => Verdict::Is(Protocol::Adb),
        Some(_) => Verdict::Unknown,
    }
}

/// A NetBIOS session message with SMB in it, or the session request before one (RFC 1002, 4.3.1).
fn netbios_smb(bytes: &[u8]) -> Verdict {
    match bytes {
        [0x81, 0, 0, _, ..] => Verdict::Is(Protocol::Smb),
        [0, _, _, _, 0xFD..=0xFF, b'S', b'M', b'B', ..] => Verdict::Is(Protocol::Smb),
        [0 | 0x81] | [0x81, 0] | [0x81, 0, 0] | [0, _] | [0, _, _] | [0, _, _, _] => Verdict::More,
        [0, _, _, _, 0xFD..=0xFF, rest @ ..] if b"SMB".starts_with(&rest[..rest.len().min(3)]) => Verdict::More,
        _ => Verdict::Unknown,
    }
}

/// A handshake record of SSL 3.0 to TLS 1.3.
fn tls_record(bytes: &[u8]) -> Verdict {
    match bytes {
        [0x16, 3, 0..=4, _, _, 1, ..] => Verdict::Is(Protocol::Tls),
        [0x16] | [0x16, 3] | [0x16, 3, 0..=4] | [0x16, 3, 0..=4, _] | [0x16, 3, 0..=4, _, _] => Verdict::More,
        _ => Verdict::Unknown,
    }
}

/// CONNECT with the protocol name `MQTT` or `MQIsdp`.
fn mqtt_connect(bytes: &[u8]) -> Verdict {
    let [0x10, rest @ ..] = bytes else { return Verdict::Unknown };
    let Some(length_bytes) = rest.iter().take(4).position(|byte| byte & 0x80 == 0) else {
        return if rest.len() < 4 { Verdict::More } else { Verdict::Unknown };
    };
    let body = &rest[length_bytes + 1..];
    for name in [&b"\0\x04MQTT"[..], b"\0\x06MQIsdp"] {
        if body.starts_with(name) {
            return Verdict::Is(Protocol::Mqtt);
        }
        if name.starts_with(body) {
            return Verdict::More;
        }
    }
    Verdict::Unknown
}

/// An array of bulk strings (RESP), or a word of the inline form at the port of Redis.
fn redis_request(server_port: u16, bytes: &[u8]) -> Verdict {
    let [b'*', rest @ ..] = bytes else {
        let is_word = bytes.first().is_some_and(u8::is_ascii_alphabetic);
        let is_http = matches!(request_line(bytes), Verdict::Is(_));
        return if server_port == 6379 && is_word && !is_http {
            Verdict::Is(Protocol::Redis)
        } else {
            Verdict::Unknown
        };
    };
    let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    match &rest[digits..] {
        [] | [b'\r'] | [b'\r', b'\n'] if digits <= 10 => Verdict::More,
        [b'\r', b'\n', b'$', ..] if digits > 0 => Verdict::Is(Protocol::Redis),
        _ => Verdict::Unknown,
    }
}

/// The protocol of a datagram.
fn identify_datagram(server_port: u16, bytes: &[u8]) -> Verdict {
    let known = |protocol| Verdict::Is(protocol);
    if let Some(protocol) = Protocol::of_port(Transport::Udp, server_port) {
        return known(protocol);
    }
    let line = &bytes[..bytes.iter().position(|byte| *byte == b'\n').unwrap_or(bytes.len())];
    if bytes.starts_with(b"M-SEARCH ") || bytes.starts_with(b"NOTIFY * HTTP/") || matches!(server_port, 1900 | 3702) {
        return known(Protocol::Ssdp);
    }
    if contains(line, b" SIP/2.0") || line.starts_with(b"SIP/2.0 ") || server_port == 5060 {
        return known(Protocol::Sip);
    }
    datagrams::by_content(bytes).map_or(Verdict::Unknown, Verdict::Is)
}

fn begins(bytes: &[u8], with: &[u8], protocol: Protocol) -> Option<Verdict> {
    if bytes.starts_with(with) {
        Some(Verdict::Is(protocol))
    } else if with.starts_with(bytes) {
        Some(Verdict::More)
    } else {
        None
    }
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The protocol that `said` shows at `port`, in one piece and byte by byte.
    fn check(transport: Transport, port: u16, said: &[(Side, &[u8])], expected: Option<Protocol>) {
        let mut nobody = |_: Place, _: Fact<'_>| {};
        let mut whole = Conversation::new(transport, port);
        let mut cut = Conversation::new(transport, port);
        for (side, bytes) in said {
            whole.data(*side, bytes, &mut nobody);
            for byte in bytes.chunks(1) {
                cut.data(*side, byte, &mut nobody);
            }
        }
        whole.end(&mut nobody);
        assert_eq!(whole.protocol(), expected, "{said:?} at {port}");
        if transport == Transport::Tcp {
            cut.end(&mut nobody);
            assert_eq!(cut.protocol(), expected, "{said:?} at {port}, byte by byte");
        }
    }

    #[test]
    fn by_the_first_words_of_the_client() {
        let client = |port, bytes: &[u8], expected| check(Transport::Tcp, port, &[(Side::Client, bytes)], expected);
        client(8080, b"GET / HTTP/1.1\r\n\r\n", Some(Protocol::Http));
        client(23, b"GET / HTTP/1.1\r\n\r\n", Some(Protocol::Http));
        client(80, b"GET /\r\n", Some(Protocol::Http));
        client(80, b"\r\n\r\nPOST /x HTTP/1.0\r\n", Some(Protocol::Http));
        client(554, b"OPTIONS rtsp://a/ RTSP/1.0\r\n", Some(Protocol::Rtsp));
        client(80, b"OPTIONS sip:a SIP/2.0\r\n", Some(Protocol::Sip));
        client(8883, &[0x16, 3, 1, 2, 0, 1, 0], Some(Protocol::Tls));
        client(445, b"\0\0\0\x45\xffSMBr\0", Some(Protocol::Smb));
        client(139, &[0x81, 0, 0, 0x44, 0x20], Some(Protocol::Smb));
        client(1883, b"\x10\x0c\0\x04MQTT\x04\x02\0\x3c\0\0", Some(Protocol::Mqtt));
        client(6379, b"*1\r\n$4\r\nPING\r\n", Some(Protocol::Redis));
        client(6379, b"INFO\r\n", Some(Protocol::Redis));
        client(5555, b"CNXN\0\0\0\x01\0\x10\0\0\x07\0\0\0\x32\x02\0\0\xbc\xb1\xa7\xb1host::\0", Some(Protocol::Adb));
        client(22, b"SSH-2.0-Go\r\n", Some(Protocol::Ssh));
        client(2323, b"root\r\n", Some(Protocol::Telnet));
        client(4000, b"\x01\x02\x03", None);
        client(4000, b"hello there\r\n", None);
    }

    #[test]
    fn by_the_greeting_of_the_server() {
        let server = |port, bytes: &[u8], expected| check(Transport::Tcp, port, &[(Side::Server, bytes)], expected);
        server(2222, b"SSH-2.0-dropbear\r\n", Some(Protocol::Ssh));
        server(2121, b"220 ready\r\n", Some(Protocol::Ftp));
        server(25, b"220 mail ESMTP\r\n", None);
        server(60023, &[255, 253, 1, 255, 251, 3], Some(Protocol::Telnet));
        server(60023, b"\r\ncamera login: ", Some(Protocol::Telnet));
        check(
            Transport::Tcp,
            60023,
            &[(Side::Server, b"camera login: "), (Side::Client, b"root\r\n")],
            Some(Protocol::Telnet),
        );
    }

    #[test]
    fn by_a_datagram() {
        let client = |port, bytes: &[u8], expected| check(Transport::Udp, port, &[(Side::Client, bytes)], expected);
        client(1900, b"M-SEARCH * HTTP/1.1\r\n", Some(Protocol::Ssdp));
        client(53, b"\0\x01", Some(Protocol::Dns));
        client(69, b"\0\x01a\0octet\0", Some(Protocol::Tftp));
        client(40000, b"REGISTER sip:a SIP/2.0\r\n", Some(Protocol::Sip));
        client(40000, b"\0\x01a\0octet\0", Some(Protocol::Tftp));
        client(40000, b"\x40\x01\0\x01\xbb.well-known\x04core", Some(Protocol::Coap));
        client(40000, b"\x01", None);
    }

    #[test]
    fn a_stream_without_its_beginning_is_decoded_by_its_port() {
        let mut nobody = |_: Place, _: Fact<'_>| {};
        let mut telnet = Conversation::new(Transport::Tcp, 23);
        telnet.gap(Side::Client, 100, &mut nobody);
        assert_eq!(telnet.protocol(), Some(Protocol::Telnet));
        let mut unknown = Conversation::new(Transport::Tcp, 4000);
        unknown.gap(Side::Client, 100, &mut nobody);
        unknown.data(Side::Client, b"GET / HTTP/1.1\r\n\r\n", &mut nobody);
        assert_eq!(unknown.protocol(), None);
    }
}
