//! From a frame of a capture to the payload of TCP or UDP.
//!
//! Link layers: Ethernet with VLAN tags, Linux cooked captures (versions 1 and 2), loopback, raw IP. Network layers:
//! IPv4, and IPv6 with extension headers. Checksums are not verified: with checksum offload, captures of a machine's
//! own traffic have none that are right.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// VLAN tags that are looked behind; more are not seen in practice.
const VLAN_TAGS_MAX: usize = 4;
/// IPv6 extension headers that are looked behind (RFC 8200 asks each to occur at most once, two for one of them).
const EXTENSION_HEADERS_MAX: usize = 8;

const ETHERTYPE_IPV4: u16 = 0x0800;
const ETHERTYPE_IPV6: u16 = 0x86DD;
const ETHERTYPES_VLAN: [u16; 3] = [0x8100, 0x88A8, 0x9100];

const PROTOCOL_TCP: u8 = 6;
const PROTOCOL_UDP: u8 = 17;

/// How frames of a capture begin: the link-layer header type of the capture file format (the `LINKTYPE_` list of
/// tcpdump.org).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LinkType {
    /// BSD loopback: a four-byte address family (0, 108).
    Loopback,
    /// Ethernet (1).
    Ethernet,
    /// An IP packet without anything in front (101, 228, 229).
    RawIp,
    /// Linux cooked capture (113).
    LinuxCooked,
    /// Linux cooked capture, version 2 (276).
    LinuxCooked2,
}

impl LinkType {
    /// The type with this number, if its frames can be read.
    pub const fn from_number(number: u32) -> Option<Self> {
        match number {
            0 | 108 => Some(Self::Loopback),
            1 => Some(Self::Ethernet),
            101 | 228 | 229 => Some(Self::RawIp),
            113 => Some(Self::LinuxCooked),
            276 => Some(Self::LinuxCooked2),
            _ => None,
        }
    }
}

/// A segment or datagram.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Packet<'a> {
    /// Where it comes from.
    pub source: IpAddr,
    /// Where it goes to.
    pub destination: IpAddr,
    /// Time to live, or hop limit.
    pub hops_left: u8,
    /// What it carries.
    pub content: Content<'a>,
}

/// What a packet carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Content<'a> {
    /// A TCP segment.
    Tcp(Segment<'a>),
    /// A UDP datagram.
    Udp(Datagram<'a>),
    /// A fragment: its bytes are put together before they can be read.
    Fragment(Fragment<'a>),
    /// Another protocol; its number.
    Other(u8),
}

/// A TCP segment (RFC 9293).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Segment<'a> {
    /// The sender's port.
    pub source_port: u16,
    /// The receiver's port.
    pub destination_port: u16,
    /// The sequence number of the first byte, or of SYN.
    pub sequence: u32,
    /// The next sequence number that the sender expects; only with the ACK flag.
    pub acknowledgement: u32,
    /// FIN, SYN, RST, PSH, ACK, URG, ECE and CWR, from the lowest bit.
    pub flags: u8,
    /// The window as it stands in the header.
    pub window: u16,
    /// The options, not read.
    pub options: &'a [u8],
    /// The bytes of the stream.
    pub payload: &'a [u8],
    /// Payload bytes that were sent and are not in the capture: the frame was cut.
    pub cut_bytes: u32,
}

impl Segment<'_> {
    /// The FIN flag.
    pub const FIN: u8 = 1;
    /// The SYN flag.
    pub const SYN: u8 = 2;
    /// The RST flag.
    pub const RST: u8 = 4;
    /// The ACK flag.
    pub const ACK: u8 = 16;

    /// Whether a flag is set.
    pub const fn has(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }
}

/// A UDP datagram (RFC 768).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Datagram<'a> {
    /// The sender's port.
    pub source_port: u16,
    /// The receiver's port.
    pub destination_port: u16,
    /// What it says.
    pub payload: &'a [u8],
    /// Payload bytes that were sent and are not in the capture.
    pub cut_bytes: u32,
}

/// A piece of an IP packet (RFC 791, 3.2; RFC 8200, 4.5).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fragment<'a> {
    /// What all pieces of the packet have in common.
    pub identification: u32,
    /// The protocol of the whole.
    pub protocol: u8,
    /// Where the piece begins, in bytes.
    pub offset: u32,
    /// Whether more pieces follow behind it.
    pub more_follow: bool,
    /// The piece.
    pub payload: &'a [u8],
}

/// Why a frame cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// It ends within a header.
    #[error("frame ends within a header")]
    Short,
    /// A header contradicts itself.
    #[error("header of the packet contradicts itself")]
    Broken,
    /// It is not IP.
    #[error("frame carries no IP packet")]
    NotIp,
}

/// Reads a frame.
pub fn parse(link: LinkType, frame: &[u8]) -> Result<Packet<'_>, Unreadable> {
    let (ethertype, packet) = match link {
        LinkType::Ethernet => ethernet(frame)?,
        LinkType::RawIp => (None, frame),
        LinkType::Loopback => (None, frame.get(4..).ok_or(Unreadable::Short)?),
        LinkType::LinuxCooked => (Some(be16(frame, 14)?), &frame[16..]),
        LinkType::LinuxCooked2 => (Some(be16(frame, 0)?), frame.get(20..).ok_or(Unreadable::Short)?),
    };
    match ethertype {
        Some(ETHERTYPE_IPV4 | ETHERTYPE_IPV6) | None => {}
        Some(_) => return Err(Unreadable::NotIp),
    }
    match packet.first().ok_or(Unreadable::Short)? >> 4 {
        4 => ipv4(packet),
        6 => ipv6(packet),
        _ => Err(Unreadable::NotIp),
    }
}

fn ethernet(frame: &[u8]) -> Result<(Option<u16>, &[u8]), Unreadable> {
    let mut at = 12;
    for _ in 0..=VLAN_TAGS_MAX {
        let ethertype = be16(frame, at)?;
        if !ETHERTYPES_VLAN.contains(&ethertype) {
            return Ok((Some(ethertype), &frame[at + 2..]));
        }
        at += 4;
    }
    Err(Unreadable::Broken)
}

fn ipv4(packet: &[u8]) -> Result<Packet<'_>, Unreadable> {
    let header = packet.first_chunk::<20>().ok_or(Unreadable::Short)?;
    let header_bytes = usize::from(header[0] & 15) * 4;
    let mut total_bytes = usize::from(u16::from_be_bytes([header[2], header[3]]));
    if total_bytes == 0 {
        // Segmentation offload: the capture has the packet before its length was set.
        total_bytes = packet.len();
    }
    if header_bytes < 20 || total_bytes < header_bytes {
        return Err(Unreadable::Broken);
    }
    let body = packet.get(header_bytes..).ok_or(Unreadable::Short)?;
    let flags = u16::from_be_bytes([header[6], header[7]]);
    let fragment = Piece {
        identification: u32::from(u16::from_be_bytes([header[4], header[5]])),
        offset: u32::from(flags & 0x1FFF) * 8,
        more_follow: flags & 0x2000 != 0,
    };
    let address = |at: usize| IpAddr::V4(Ipv4Addr::new(header[at], header[at + 1], header[at + 2], header[at + 3]));
    Ok(Packet {
        source: address(12),
        destination: address(16),
        hops_left: header[8],
        content: content(header[9], body, total_bytes - header_bytes, fragment)?,
    })
}

fn ipv6(packet: &[u8]) -> Result<Packet<'_>, Unreadable> {
    let (header, mut body) = packet.split_first_chunk::<40>().ok_or(Unreadable::Short)?;
    let address = |at: usize| {
        let octets: [u8; 16] = header[at..at + 16].try_into().expect("sixteen bytes of the header");
        IpAddr::V6(Ipv6Addr::from(octets))
    };
    let mut wire_bytes = usize::from(u16::from_be_bytes([header[4], header[5]]));
    if wire_bytes == 0 {
        wire_bytes = body.len();
    }
    let mut protocol = header[6];
    let mut fragment = Piece { identification: 0, offset: 0, more_follow: false };
    for _ in 0..EXTENSION_HEADERS_MAX {
        let extension_bytes = match protocol {
            // Hop-by-hop options, routing, destination options.
            0 | 43 | 60 => 8 + usize::from(*body.get(1).ok_or(Unreadable::Short)?) * 8,
            44 => {
                let words = body.first_chunk::<8>().ok_or(Unreadable::Short)?;
                let flags = u16::from_be_bytes([words[2], words[3]]);
                fragment = Piece {
                    identification: u32::from_be_bytes([words[4], words[5], words[6], words[7]]),
                    offset: u32::from(flags & 0xFFF8),
                    more_follow: flags & 1 != 0,
                };
                8
            }
            _ => break,
        };
        protocol = *body.first().ok_or(Unreadable::Short)?;
        body = body.get(extension_bytes..).ok_or(Unreadable::Short)?;
        wire_bytes = wire_bytes.checked_sub(extension_bytes).ok_or(Unreadable::Broken)?;
    }
    Ok(Packet {
        source: address(8),
        destination: address(24),
        hops_left: header[7],
        content: content(protocol, body, wire_bytes, fragment)?,
    })
}

/// Which piece of a packet this is.
struct Piece {
    identification: u32,
    offset: u32,
    more_follow: bool,
}

fn content(protocol: u8, body: &[u8], wire_bytes: usize, piece: Piece) -> Result<Content<'_>, Unreadable> {
    // Ethernet pads short frames; captures cut long ones.
    let body = &body[..body.len().min(wire_bytes)];
    if piece.offset > 0 || piece.more_follow {
        return Ok(Content::Fragment(Fragment {
            identification: piece.identification,
            protocol,
            offset: piece.offset,
            more_follow: piece.more_follow,
            payload: body,
        }));
    }
    transport(protocol, body, wire_bytes)
}

/// Reads what an IP packet of `wire_bytes` bytes carries, of which `body` is known.
pub(crate) fn transport(protocol: u8, body: &[u8], wire_bytes: usize) -> Result<Content<'_>, Unreadable> {
    match protocol {
        PROTOCOL_TCP => tcp(body, wire_bytes),
        PROTOCOL_UDP => udp(body, wire_bytes),
        other => Ok(Content::Other(other)),
    }
}

fn tcp(body: &[u8], wire_bytes: usize) -> Result<Content<'_>, Unreadable> {
    let header = body.first_chunk::<20>().ok_or(Unreadable::Short)?;
    let header_bytes = usize::from(header[12] >> 4) * 4;
    if header_bytes < 20 || header_bytes > wire_bytes {
        return Err(Unreadable::Broken);
    }
    let payload = body.get(header_bytes..).ok_or(Unreadable::Short)?;
    Ok(Content::Tcp(Segment {
        source_port: u16::from_be_bytes([header[0], header[1]]),
        destination_port: u16::from_be_bytes([header[2], header[3]]),
        sequence: u32::from_be_bytes([header[4], header[5], header[6], header[7]]),
        acknowledgement: u32::from_be_bytes([header[8], header[9], header[10], header[11]]),
        flags: header[13],
        window: u16::from_be_bytes([header[14], header[15]]),
        options: &body[20..header_bytes],
        payload,
        cut_bytes: (wire_bytes - header_bytes).saturating_sub(payload.len()) as u32,
    }))
}

fn udp(body: &[u8], wire_bytes: usize) -> Result<Content<'_>, Unreadable> {
    let (header, payload) = body.split_first_chunk::<8>().ok_or(Unreadable::Short)?;
    let length = usize::from(u16::from_be_bytes([header[4], header[5]]));
    // 0 is a jumbogram (RFC 2675) or an offloaded length; what is longer than the packet is a lie.
    let said_bytes = if length == 0 { wire_bytes } else { length.min(wire_bytes) };
    let payload_bytes = said_bytes.checked_sub(8).ok_or(Unreadable::Broken)?;
    let known = &payload[..payload.len().min(payload_bytes)];
    Ok(Content::Udp(Datagram {
        source_port: u16::from_be_bytes([header[0], header[1]]),
        destination_port: u16::from_be_bytes([header[2], header[3]]),
        payload: known,
        cut_bytes: (payload_bytes - known.len()) as u32,
    }))
}

fn be16(bytes: &[u8], at: usize) -> Result<u16, Unreadable> {
    match bytes.get(at..at + 2) {
        Some(&[high, low]) => Ok(u16::from_be_bytes([high, low])),
        _ => Err(Unreadable::Short),
    }
}
