//! What the simulated Internet saw of the guest.
//!
//! Recorded as lines of JSON, one [`NetworkEvent`] each.

use std::net::{IpAddr, SocketAddr};

use serde::{Deserialize, Serialize};

use crate::RawText;

/// One thing that the guest did towards the network, or that the simulated Internet did to it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetworkEvent {
    /// When, in microseconds since the simulated Internet began.
    pub at_us: u64,
    /// What.
    #[serde(flatten)]
    pub act: NetworkAct,
}

/// The number of a connection, unique within a detonation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct FlowNumber(pub u64);

/// What happened on the network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum NetworkAct {
    /// The guest asked for an address.
    Dhcp {
        /// What it calls itself.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        host_name: Option<RawText>,
        /// What it says of its client.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        vendor_class: Option<RawText>,
    },
    /// The guest asked for a name.
    Name {
        /// The name, in lower case, without the last dot.
        name: RawText,
        /// The kind of record (`A`, `AAAA`, `TXT`, or a number).
        kind: String,
        /// Whom it asked: the guest's own resolver, or one that the sample knows.
        server: SocketAddr,
        /// The addresses that it was given; none if the name was said not to be.
        answers: Vec<IpAddr>,
    },
    /// The guest asked for the time.
    Time {
        /// Whom it asked.
        server: SocketAddr,
    },
    /// The guest tried to connect by TCP.
    Connect {
        /// The number by which later events know the connection.
        flow: FlowNumber,
        /// The port from which it came.
        from_port: u16,
        /// Where to.
        to: SocketAddr,
        /// The name that was given this address before, if one was.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        name: Option<RawText>,
        /// Whether anybody answered.
        accepted: bool,
    },
    /// Bytes of the guest on a connection; consecutive ones are put together.
    Sent {
        /// The connection.
        flow: FlowNumber,
        /// How many so far.
        bytes: u64,
        /// The beginning of these, at most 1024 bytes.
        head: RawText,
    },
    /// Bytes that the simulated Internet answered.
    Answered {
        /// The connection.
        flow: FlowNumber,
        /// How many so far.
        bytes: u64,
        /// The beginning of these, at most 256 bytes.
        head: RawText,
        /// Who answered: `telnet`, `http`, `player`, …
        by: String,
    },
    /// A connection ended.
    Closed {
        /// The connection.
        flow: FlowNumber,
        /// What the guest sent in all.
        sent_bytes: u64,
        /// What it received in all.
        received_bytes: u64,
        /// Whether it was the guest that ended it.
        by_guest: bool,
    },
    /// The guest said who it is in a TLS handshake.
    Tls {
        /// The connection.
        flow: FlowNumber,
        /// The name it asked for.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        server_name: Option<RawText>,
        /// Its fingerprint (JA3).
        #[serde(default, skip_serializing_if = "Option::is_none")]
        ja3: Option<String>,
        /// Whether it took the certificate that was made for it.
        completed: bool,
    },
    /// A request of HTTP.
    Http {
        /// The connection.
        flow: FlowNumber,
        /// The method.
        method: RawText,
        /// The target, at most 2048 bytes.
        target: RawText,
        /// The host that it names.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        host: Option<RawText>,
        /// What it says of itself.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        user_agent: Option<RawText>,
        /// The status that it was answered.
        status: u16,
        /// The length of the body that it sent.
        body_bytes: u64,
        /// SHA-256 of that body, if there was one, in hexadecimal digits.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        body_sha256: Option<String>,
    },
    /// The guest tried a name and a password.
    Login {
        /// The connection.
        flow: FlowNumber,
        /// `telnet`, `ssh`, `ftp`, `smtp`, `http`, `irc`, …
        service: String,
        /// The name.
        user: RawText,
        /// The password.
        password: RawText,
        /// Whether it was let in.
        accepted: bool,
    },
    /// A line that the guest gave where it was let in, or a command of a protocol of lines.
    Command {
        /// The connection.
        flow: FlowNumber,
        /// `telnet`, `ftp`, `irc`, …
        service: String,
        /// The line, at most 1024 bytes.
        line: RawText,
    },
    /// A content that the guest handed over whole (an upload, a mail).
    Content {
        /// The connection.
        flow: FlowNumber,
        /// What it calls it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        name: Option<RawText>,
        /// SHA-256, in hexadecimal digits.
        sha256: String,
        /// Its length.
        bytes: u64,
    },
    /// The player of a command-and-control server took a connection for one of its scripts.
    Played {
        /// The connection.
        flow: FlowNumber,
        /// The script.
        script: String,
        /// What it told the guest.
        step: String,
    },
    /// A datagram of the guest.
    Datagram {
        /// From which port.
        from_port: u16,
        /// Where to.
        to: SocketAddr,
        /// The name that was given this address before, if one was.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        name: Option<RawText>,
        /// Its length without headers.
        bytes: u64,
        /// The beginning, at most 256 bytes.
        head: RawText,
    },
    /// Another kind of packet (ICMP, GRE, …).
    Packet {
        /// The number of its protocol.
        protocol: u8,
        /// Where to.
        to: IpAddr,
        /// Its length without headers.
        bytes: u64,
    },
    /// Many packets alike, counted instead of told: a flood, or a scan beyond what is carried.
    Counted {
        /// `syn`, `tcp`, `udp`, `icmp`, `gre`, or `ip` and the number of the protocol.
        kind: String,
        /// The port, where all had one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        port: Option<u16>,
        /// How many packets.
        packets: u64,
        /// How many bytes.
        bytes: u64,
        /// How many different addresses, counted exactly up to 4096.
        addresses: u64,
        /// Some of the addresses, at most 16.
        examples: Vec<IpAddr>,
        /// How long it took, in microseconds.
        for_us: u64,
        /// Whether the sources were other addresses than the guest's.
        forged_sources: bool,
    },
    /// How the targets of a scan were chosen; told at the end, for each port that more than one address was tried on.
    Targets {
        /// The port.
        port: u16,
        /// How many times it was tried (SYN), answered or not.
        attempts: u64,
        /// On how many addresses, counted exactly up to 4096.
        addresses: u64,
        /// How many times the address was another one than the time before.
        moves: u64,
        /// How many of these moves were to the next address.
        next_address: u64,
        /// How many stayed within the same 256 addresses.
        same_24: u64,
        /// How many stayed within the same 65,536 addresses.
        same_16: u64,
        /// Some of the addresses, at most 16.
        examples: Vec<IpAddr>,
    },
    /// The guest asks for names that look as if a program had made them up.
    GeneratedNames {
        /// How many so far.
        names: u64,
        /// Some of them, at most 16.
        examples: Vec<RawText>,
    },
    /// The guest said which client of SSH it is.
    Ssh {
        /// The connection.
        flow: FlowNumber,
        /// Its identification, such as `SSH-2.0-Go`.
        identification: RawText,
        /// The fingerprint of the algorithms that it offers (HASSH).
        #[serde(default, skip_serializing_if = "Option::is_none")]
        hassh: Option<String>,
    },
    /// The guest asked a proxy (SOCKS, HTTP's CONNECT) for a connection; it goes on as one to there.
    Proxied {
        /// The connection.
        flow: FlowNumber,
        /// Where to: a name or an address, and the port.
        target: RawText,
        /// `socks4`, `socks5` or `http`.
        via: String,
    },
    /// What the simulated Internet could not do or record, and how often.
    Lost {
        /// What.
        what: String,
        /// How often.
        count: u64,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_comes_back() {
        let event = NetworkEvent {
            at_us: 1_500,
            act: NetworkAct::Connect {
                flow: FlowNumber(1),
                from_port: 40_000,
                to: "203.0.113.7:23".parse().unwrap(),
                name: Some("c2.example".into()),
                accepted: true,
            },
        };
        let line = serde_json::to_string(&event).unwrap();
        assert_eq!(
            line,
            r#"{"at_us":1500,"event":"connect","flow":1,"from_port":40000,"to":"203.0.113.7:23","name":"c2.example","accepted":true}"#
        );
        assert_eq!(serde_json::from_str::<NetworkEvent>(&line).unwrap(), event);
    }
}
