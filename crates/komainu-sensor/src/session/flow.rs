//! Which flow it is, and what follows from that for every line.

use std::fmt::Write;
use std::net::{IpAddr, SocketAddr};

use aws_lc_rs::digest;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use komainu_decode::{Side, Transport};

/// Who spoke to whom.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Flow {
    /// How it is carried.
    pub transport: Transport,
    /// Who began.
    pub client: SocketAddr,
    /// Who was called.
    pub server: SocketAddr,
}

/// Who sent packets to whom. Protocols other than TCP and UDP have no ports; theirs are 0 here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PacketEnds {
    /// The sender.
    pub(crate) source: SocketAddr,
    /// The receiver.
    pub(crate) destination: SocketAddr,
    /// The protocol, as Suricata writes it: `TCP`, `UDP`, `ICMP` and so on.
    pub(crate) proto: &'static str,
}

/// What is the same in all lines of a flow, written out once.
#[derive(Debug)]
pub(super) struct Envelope {
    pub(super) flow_id: u64,
    /// The two ends, then the same with source and destination exchanged.
    ends: Box<str>,
    /// Where the exchanged ones begin.
    middle: usize,
    pub(super) rest: Box<str>,
}

impl Envelope {
    pub(super) fn new(flow: Flow, sensor_id: &str, flow_id: u64) -> Self {
        let (client, server) = (canonical(flow.client), canonical(flow.server));
        let mut ends = String::with_capacity(256);
        write_ends(&mut ends, client, server, flow.transport);
        let middle = ends.len();
        write_ends(&mut ends, server, client, flow.transport);
        let host = serde_json::to_string(sensor_id).expect("a string is JSON");
        let rest = format!("\"community_id\":\"{}\",\"host\":{host}", community_id(flow));
        Self { flow_id, ends: ends.into(), middle, rest: rest.into() }
    }

    /// The envelope of packets that were seen at `at`.
    pub(super) fn of_packets(ends: PacketEnds, sensor_id: &str, at: i64) -> Self {
        let transport = match ends.proto {
            "TCP" => Some(Transport::Tcp),
            "UDP" => Some(Transport::Udp),
            _ => None,
        };
        let flow =
            Flow { transport: transport.unwrap_or(Transport::Udp), client: ends.source, server: ends.destination };
        let (_, flow_id) = ids(sensor_id, flow, at);
        if transport.is_some() {
            return Self::new(flow, sensor_id, flow_id);
        }
        let host = serde_json::to_string(sensor_id).expect("a string is JSON");
        let (source, destination) = (ends.source.ip(), ends.destination.ip());
        let text = format!(r#""src_ip":"{source}","dest_ip":"{destination}","proto":"{}""#, ends.proto);
        Self { flow_id, middle: text.len(), ends: text.into(), rest: format!("\"host\":{host}").into() }
    }

    /// Addresses and ports with `source` as the source.
    pub(super) fn ends(&self, source: Side) -> &str {
        let (forth, back) = self.ends.split_at(self.middle);
        match source {
            Side::Client => forth,
            Side::Server => back,
        }
    }
}

fn write_ends(to: &mut String, source: SocketAddr, destination: SocketAddr, transport: Transport) {
    let proto = match transport {
        Transport::Tcp => "TCP",
        Transport::Udp => "UDP",
    };
    write!(
        to,
        r#""src_ip":"{}","src_port":{},"dest_ip":"{}","dest_port":{},"proto":"{proto}""#,
        source.ip(),
        source.port(),
        destination.ip(),
        destination.port()
    )
    .expect("a string takes everything");
}

/// The id by which tools of different makers know one flow: Community ID, version 1, with seed 0
/// (<https://github.com/corelight/community-id-spec>).
///
/// `1:` and the base64 form of the SHA-1 of: seed, lower end's address, higher end's address, protocol number, a zero
/// byte, lower end's port, higher end's port; numbers are big-endian, and the lower end is the one whose address, then
/// port, is the smaller.
pub fn community_id(flow: Flow) -> String {
    const SEED: [u8; 2] = [0, 0];
    let (client, server) = (canonical(flow.client), canonical(flow.server));
    let (lower, higher) = if order(client) <= order(server) { (client, server) } else { (server, client) };
    let protocol = match flow.transport {
        Transport::Tcp => 6,
        Transport::Udp => 17,
    };
    let mut hashed = Vec::with_capacity(2 + 16 + 16 + 2 + 4);
    hashed.extend_from_slice(&SEED);
    hashed.extend_from_slice(&octets(lower.ip()));
    hashed.extend_from_slice(&octets(higher.ip()));
    hashed.extend_from_slice(&[protocol, 0]);
    hashed.extend_from_slice(&lower.port().to_be_bytes());
    hashed.extend_from_slice(&higher.port().to_be_bytes());
    let sha1 = digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, &hashed);
    format!("1:{}", STANDARD.encode(sha1))
}

fn order(end: SocketAddr) -> (Vec<u8>, u16) {
    (octets(end.ip()), end.port())
}

fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    }
}

/// A listener on `[::]` sees IPv4 addresses in the form of IPv6.
fn canonical(end: SocketAddr) -> SocketAddr {
    SocketAddr::new(end.ip().to_canonical(), end.port())
}

/// The session id and the flow id of a flow that a sensor saw begin at `at`.
pub(super) fn ids(sensor_id: &str, flow: Flow, at: i64) -> (String, u64) {
    let mut context = digest::Context::new(&digest::SHA256);
    context.update(sensor_id.as_bytes());
    context.update(&[0, u8::from(flow.transport == Transport::Udp)]);
    for end in [canonical(flow.client), canonical(flow.server)] {
        context.update(&octets(end.ip()));
        context.update(&end.port().to_be_bytes());
    }
    context.update(&at.to_be_bytes());
    let digest = context.finish();
    let (session, rest) = digest.as_ref().split_at(16);
    let (flow, _) = rest.split_first_chunk::<8>().expect("SHA-256 has 32 bytes");
    // 53 bits: what every reader of JSON takes for the same number.
    (hex::encode(session), u64::from_be_bytes(*flow) >> 11)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flow(transport: Transport, client: &str, server: &str) -> Flow {
        Flow { transport, client: client.parse().unwrap(), server: server.parse().unwrap() }
    }

    #[test]
    fn community_ids_are_those_of_the_specification() {
        let check = |transport, one: &str, other: &str, expected: &str| {
            assert_eq!(community_id(flow(transport, one, other)), expected);
            assert_eq!(community_id(flow(transport, other, one)), expected, "the other direction");
        };
        check(Transport::Tcp, "128.232.110.120:34855", "66.35.250.204:80", "1:LQU9qZlK+B5F3KDmev6m5PMibrg=");
        check(Transport::Udp, "192.168.1.52:54585", "8.8.8.8:53", "1:d/FP5EW3wiY1vCndhwleRRKHowQ=");
        check(
            Transport::Tcp,
            "[2001:470:e5bf:dead:4957:2174:e82c:4887]:63943",
            "[2607:f8b0:400c:c03::1a]:25",
            "1:/qFaeAR+gFe1KYjMzVDsMv+wgU4=",
        );
        check(Transport::Tcp, "[::ffff:128.232.110.120]:34855", "66.35.250.204:80", "1:LQU9qZlK+B5F3KDmev6m5PMibrg=");
    }

    #[test]
    fn ids_follow_from_their_cause() {
        let one = flow(Transport::Tcp, "192.0.2.1:1000", "192.0.2.2:23");
        let other = Flow { client: "192.0.2.1:1001".parse().unwrap(), ..one };
        assert_eq!(ids("a", one, 5), ids("a", one, 5));
        assert_ne!(ids("a", one, 5), ids("a", one, 6));
        assert_ne!(ids("a", one, 5), ids("b", one, 5));
        assert_ne!(ids("a", one, 5), ids("a", other, 5));
        assert!(ids("a", one, 5).1 < 1 << 53);
        assert_eq!(ids("a", one, 5).0.len(), 32);
    }
}
