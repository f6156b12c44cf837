//! Frames and packets: what can be read of the guest's, and how answers are made.
//!
//! Everything that is read comes from a guest that may be hostile: a packet that contradicts itself is none.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// An address of Ethernet.
pub(crate) type Mac = [u8; 6];

pub(crate) const ETHERTYPE_IPV4: u16 = 0x0800;
pub(crate) const ETHERTYPE_ARP: u16 = 0x0806;
pub(crate) const ETHERTYPE_IPV6: u16 = 0x86DD;

pub(crate) const ICMP: u8 = 1;
pub(crate) const TCP: u8 = 6;
pub(crate) const UDP: u8 = 17;
pub(crate) const GRE: u8 = 47;
pub(crate) const ICMPV6: u8 = 58;

/// Headers of IPv6 before the content that are followed: more has no use.
const EXTENSION_HEADERS_MAX: usize = 8;

/// A frame of the guest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Frame<'a> {
    pub(crate) source: Mac,
    pub(crate) content: Content<'a>,
}

/// What a frame carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Content<'a> {
    /// A question or an answer of ARP about IPv4.
    Arp(Arp),
    Ip(Packet<'a>),
    /// Nothing that is read.
    Other,
}

/// A message of ARP (RFC 826).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Arp {
    /// 1 asks, 2 answers.
    pub(crate) operation: u16,
    pub(crate) sender: Ipv4Addr,
    pub(crate) target: Ipv4Addr,
}

/// An IP packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Packet<'a> {
    pub(crate) source: IpAddr,
    pub(crate) destination: IpAddr,
    /// The protocol of the content; of IPv6 the one behind the extension headers.
    pub(crate) protocol: u8,
    pub(crate) hops_left: u8,
    /// It is a piece of a packet.
    pub(crate) is_fragment: bool,
    pub(crate) payload: &'a [u8],
    /// The packet from its header on, without the padding of Ethernet.
    pub(crate) bytes: &'a [u8],
}

/// A datagram of UDP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Datagram<'a> {
    pub(crate) source_port: u16,
    pub(crate) destination_port: u16,
    pub(crate) payload: &'a [u8],
}

impl<'a> Frame<'a> {
    /// Reads a frame; none if it contradicts itself.
    pub(crate) fn parse(bytes: &'a [u8]) -> Option<Self> {
        let (header, rest) = bytes.split_first_chunk::<14>()?;
        let mut source = Mac::default();
        source.copy_from_slice(&header[6..12]);
        let content = match u16::from_be_bytes([header[12], header[13]]) {
            ETHERTYPE_ARP => arp(rest).map_or(Content::Other, Content::Arp),
            ETHERTYPE_IPV4 => Content::Ip(ipv4(rest)?),
            ETHERTYPE_IPV6 => Content::Ip(ipv6(rest)?),
            _ => Content::Other,
        };
        Some(Self { source, content })
    }
}

fn arp(bytes: &[u8]) -> Option<Arp> {
    let message = bytes.first_chunk::<28>()?;
    // Ethernet and IPv4.
    if message[..6] != [0, 1, 8, 0, 6, 4] {
        return None;
    }
    Some(Arp {
        operation: u16::from_be_bytes([message[6], message[7]]),
        sender: Ipv4Addr::new(message[14], message[15], message[16], message[17]),
        target: Ipv4Addr::new(message[24], message[25], message[26], message[27]),
    })
}

fn ipv4(bytes: &[u8]) -> Option<Packet<'_>> {
    let header = bytes.first_chunk::<20>()?;
    let header_bytes = usize::from(header[0] & 15) * 4;
    let total_bytes = usize::from(u16::from_be_bytes([header[2], header[3]]));
    if header[0] >> 4 != 4 || header_bytes < 20 || total_bytes < header_bytes {
        return None;
    }
    let bytes = bytes.get(..total_bytes)?;
    let address = |at: usize| IpAddr::from([header[at], header[at + 1], header[at + 2], header[at + 3]]);
    Some(Packet {
        source: address(12),
        destination: address(16),
        protocol: header[9],
        hops_left: header[8],
        // Further pieces follow, or it does not begin at the begin.
        is_fragment: u16::from_be_bytes([header[6], header[7]]) & 0x3FFF != 0,
        payload: &bytes[header_bytes..],
        bytes,
    })
}

fn ipv6(bytes: &[u8]) -> Option<Packet<'_>> {
    let header = bytes.first_chunk::<40>()?;
    let payload_bytes = usize::from(u16::from_be_bytes([header[4], header[5]]));
    if header[0] >> 4 != 6 {
        return None;
    }
    let bytes = bytes.get(..40 + payload_bytes)?;
    let address = |at: usize| {
        let octets: [u8; 16] = header[at..at + 16].try_into().expect("sixteen bytes of the header");
        IpAddr::V6(Ipv6Addr::from(octets))
    };
    let (mut protocol, mut payload, mut is_fragment) = (header[6], &bytes[40..], false);
    for _ in 0..EXTENSION_HEADERS_MAX {
        let extension_bytes = match protocol {
            // Hop-by-hop options, routing, destination options.
            0 | 43 | 60 => 8 + usize::from(*payload.get(1)?) * 8,
            44 => {
                is_fragment = true;
                8
            }
            _ => break,
        };
        protocol = *payload.first()?;
        payload = payload.get(extension_bytes..)?;
    }
    Some(Packet {
        source: address(8),
        destination: address(24),
        protocol,
        hops_left: header[7],
        is_fragment,
        payload,
        bytes,
    })
}

impl<'a> Datagram<'a> {
    /// Reads a datagram. The checksum is not looked at: cards leave it to the other side of a virtual link.
    pub(crate) fn parse(bytes: &'a [u8]) -> Option<Self> {
        let header = bytes.first_chunk::<8>()?;
        let length = usize::from(u16::from_be_bytes([header[4], header[5]]));
        Some(Self {
            source_port: u16::from_be_bytes([header[0], header[1]]),
            destination_port: u16::from_be_bytes([header[2], header[3]]),
            payload: bytes.get(8..length)?,
        })
    }
}

/// A frame.
pub(crate) fn ethernet(destination: Mac, source: Mac, ethertype: u16, payload: &[u8]) -> Vec<u8> {
    let mut frame = Vec::with_capacity(14 + payload.len());
    frame.extend(destination);
    frame.extend(source);
    frame.extend(ethertype.to_be_bytes());
    frame.extend(payload);
    frame
}

/// The answer of ARP: `sender` is at `mac`.
pub(crate) fn arp_answer(mac: Mac, sender: Ipv4Addr, guest_mac: Mac, guest: Ipv4Addr) -> Vec<u8> {
    let mut message = vec![0, 1, 8, 0, 6, 4, 0, 2];
    message.extend(mac);
    message.extend(sender.octets());
    message.extend(guest_mac);
    message.extend(guest.octets());
    message
}

/// A packet. Both addresses are of one family; if they are not, the packet is that of the destination's family from
/// nowhere, which nobody takes.
pub(crate) fn packet(source: IpAddr, destination: IpAddr, protocol: u8, hops: u8, payload: &[u8]) -> Vec<u8> {
    match destination {
        IpAddr::V4(to) => {
            let from = if let IpAddr::V4(from) = source { from } else { Ipv4Addr::UNSPECIFIED };
            let length = u16::try_from(20 + payload.len()).unwrap_or(u16::MAX);
            let mut packet = Vec::with_capacity(20 + payload.len());
            packet.extend([0x45, 0]);
            packet.extend(length.to_be_bytes());
            // No identification is needed where nothing may be cut (RFC 6864, 4.1): the flag is "do not fragment".
            packet.extend([0, 0, 0x40, 0, hops, protocol, 0, 0]);
            packet.extend(from.octets());
            packet.extend(to.octets());
            let sum = checksum(&[&packet]);
            packet[10..12].copy_from_slice(&sum.to_be_bytes());
            packet.extend(payload);
            packet
        }
        IpAddr::V6(to) => {
            let from = if let IpAddr::V6(from) = source { from } else { Ipv6Addr::UNSPECIFIED };
            let length = u16::try_from(payload.len()).unwrap_or(u16::MAX);
            let mut packet = Vec::with_capacity(40 + payload.len());
            packet.extend([0x60, 0, 0, 0]);
            packet.extend(length.to_be_bytes());
            packet.extend([protocol, hops]);
            packet.extend(from.octets());
            packet.extend(to.octets());
            packet.extend(payload);
            packet
        }
    }
}

/// A datagram of UDP in its packet.
pub(crate) fn udp(source: SocketAddr, destination: SocketAddr, hops: u8, payload: &[u8]) -> Vec<u8> {
    let length = u16::try_from(8 + payload.len()).unwrap_or(u16::MAX);
    let mut datagram = Vec::with_capacity(8 + payload.len());
    datagram.extend(source.port().to_be_bytes());
    datagram.extend(destination.port().to_be_bytes());
    datagram.extend(length.to_be_bytes());
    datagram.extend([0, 0]);
    datagram.extend(payload);
    let sum = transport_checksum(source.ip(), destination.ip(), UDP, &datagram);
    // 0 would say that there is none (RFC 768).
    datagram[6..8].copy_from_slice(&if sum == 0 { 0xFFFF } else { sum }.to_be_bytes());
    packet(source.ip(), destination.ip(), UDP, hops, &datagram)
}

/// A message of ICMP in its packet; its checksum, behind kind and code, is filled in.
pub(crate) fn icmp(source: IpAddr, destination: IpAddr, hops: u8, mut message: Vec<u8>) -> Vec<u8> {
    let protocol = if destination.is_ipv4() { ICMP } else { ICMPV6 };
    if let Some(field) = message.get_mut(2..4) {
        field.fill(0);
    }
    let sum = match protocol {
        ICMP => checksum(&[&message]),
        _ => transport_checksum(source, destination, protocol, &message),
    };
    if let Some(field) = message.get_mut(2..4) {
        field.copy_from_slice(&sum.to_be_bytes());
    }
    packet(source, destination, protocol, hops, &message)
}

/// The checksum with the addresses (RFC 9293, 3.1; RFC 8200, 8.1).
fn transport_checksum(source: IpAddr, destination: IpAddr, protocol: u8, payload: &[u8]) -> u16 {
    let octets = |address| match address {
        IpAddr::V4(address) => Ipv4Addr::octets(&address).to_vec(),
        IpAddr::V6(address) => Ipv6Addr::octets(&address).to_vec(),
    };
    let length = u32::try_from(payload.len()).unwrap_or(u32::MAX).to_be_bytes();
    checksum(&[&octets(source), &octets(destination), &length, &[0, 0, 0, protocol], payload])
}

/// The checksum of the Internet (RFC 1071) over parts, of which all but the last have an even length.
fn checksum(parts: &[&[u8]]) -> u16 {
    let mut sum = 0_u64;
    for part in parts {
        let (pairs, last) = part.as_chunks::<2>();
        sum += pairs.iter().map(|pair| u64::from(u16::from_be_bytes(*pair))).sum::<u64>();
        sum += last.iter().map(|byte| u64::from(*byte) << 8).sum::<u64>();
    }
    while sum > 0xFFFF {
        sum = (sum & 0xFFFF) + (sum >> 16);
    }
    !u16::try_from(sum).expect("folded to sixteen bits")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_made_is_read_as_it_was() {
        for (from, to) in [("192.0.2.1:53", "192.168.1.2:4000"), ("[2001:db8::1]:53", "[2001:db8::2]:4000")] {
            let (from, to): (SocketAddr, SocketAddr) = (from.parse().unwrap(), to.parse().unwrap());
            let bytes = udp(from, to, 60, b"payload");
            let ethertype = if to.is_ipv4() { ETHERTYPE_IPV4 } else { ETHERTYPE_IPV6 };
            let mut frame = ethernet([1; 6], [2; 6], ethertype, &bytes);
            frame.extend([0; 9]);
            let read = Frame::parse(&frame).unwrap();
            let Content::Ip(packet) = read.content else { panic!("{read:?}") };
            assert_eq!((packet.source, packet.destination, packet.hops_left), (from.ip(), to.ip(), 60));
            assert_eq!(packet.bytes, bytes, "without the padding");
            let datagram = Datagram::parse(packet.payload).unwrap();
            assert_eq!((datagram.source_port, datagram.destination_port), (53, 4000));
            assert_eq!(datagram.payload, b"payload");
            assert_eq!(transport_checksum(from.ip(), to.ip(), UDP, packet.payload), 0, "the sum over all is zero");
            for cut in 0..frame.len() - 9 {
                let read = Frame::parse(&frame[..cut]);
                assert!(!matches!(read, Some(Frame { content: Content::Ip(_), .. })), "cut at {cut}");
            }
        }
    }

    #[test]
    fn pieces_are_known_as_such() {
        let mut bytes = packet([192, 0, 2, 1].into(), [192, 0, 2, 2].into(), UDP, 64, b"12345678");
        bytes[6] = 0x20;
        assert!(ipv4(&bytes).unwrap().is_fragment);
        let inner = [17, 0, 0, 1, 0, 0, 0, 1, b'x'];
        let (from, to) = ("2001:db8::1".parse().unwrap(), "2001:db8::2".parse().unwrap());
        let bytes = packet(from, to, 44, 64, &inner);
        let read = ipv6(&bytes).unwrap();
        assert_eq!((read.is_fragment, read.protocol, read.payload), (true, UDP, &b"x"[..]));
    }
}
