//! Frames and captures that tests make.

use std::net::{IpAddr, SocketAddr};

use komainu_decode::Side;
use komainu_decode::packet::Segment;

/// The two ends of a connection.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ends {
    pub(crate) client: SocketAddr,
    pub(crate) server: SocketAddr,
}

impl Ends {
    pub(crate) fn new(client: &str, server: &str) -> Self {
        Self { client: client.parse().expect("an address"), server: server.parse().expect("an address") }
    }

    fn of(&self, side: Side) -> (SocketAddr, SocketAddr) {
        match side {
            Side::Client => (self.client, self.server),
            Side::Server => (self.server, self.client),
        }
    }

    /// A TCP segment in an Ethernet frame. `next` is what the sender expects of the other side.
    pub(crate) fn segment(&self, side: Side, sequence: u32, next: u32, flags: u8, payload: &[u8]) -> Vec<u8> {
        let (from, to) = self.of(side);
        let mut tcp = Vec::new();
        tcp.extend(from.port().to_be_bytes());
        tcp.extend(to.port().to_be_bytes());
        tcp.extend(sequence.to_be_bytes());
        tcp.extend(next.to_be_bytes());
        let options: &[u8] = if flags & Segment::SYN == 0 { &[] } else { &[2, 4, 5, 0xB4, 4, 2, 1, 3, 3, 7, 0, 0] };
        tcp.extend([(5 + options.len() as u8 / 4) << 4, flags]);
        tcp.extend(64_240u16.to_be_bytes());
        tcp.extend([0; 4]);
        tcp.extend(options);
        tcp.extend(payload);
        ethernet(from.ip(), to.ip(), 6, &tcp)
    }

    /// A UDP datagram in an Ethernet frame.
    pub(crate) fn datagram(&self, side: Side, payload: &[u8]) -> Vec<u8> {
        let (from, to) = self.of(side);
        datagram(from, to, payload)
    }

    /// A whole conversation: handshake, what was said in segments of at most `segment_bytes`, goodbye.
    pub(crate) fn conversation(&self, said: &[(Side, &[u8])], segment_bytes: usize) -> Vec<Vec<u8>> {
        let mut talk = Talk { ends: *self, next: [1_000, u32::MAX - 20], frames: Vec::new() };
        talk.send(Side::Client, Segment::SYN, b"");
        talk.send(Side::Server, Segment::SYN | Segment::ACK, b"");
        talk.send(Side::Client, Segment::ACK, b"");
        for (side, bytes) in said {
            for piece in bytes.chunks(segment_bytes) {
                talk.send(*side, Segment::ACK, piece);
            }
        }
        talk.send(Side::Client, Segment::FIN | Segment::ACK, b"");
        talk.send(Side::Server, Segment::FIN | Segment::ACK, b"");
        talk.send(Side::Client, Segment::ACK, b"");
        talk.frames
    }
}

/// Both directions of a connection.
struct Talk {
    ends: Ends,
    next: [u32; 2],
    frames: Vec<Vec<u8>>,
}

impl Talk {
    fn send(&mut self, side: Side, flags: u8, payload: &[u8]) {
        let (own, other) = match side {
            Side::Client => (0, 1),
            Side::Server => (1, 0),
        };
        self.frames.push(self.ends.segment(side, self.next[own], self.next[other], flags, payload));
        let counted = payload.len() as u32 + u32::from(flags & (Segment::SYN | Segment::FIN) != 0);
        self.next[own] = self.next[own].wrapping_add(counted);
    }
}

/// A UDP datagram in an Ethernet frame.
pub(crate) fn datagram(from: SocketAddr, to: SocketAddr, payload: &[u8]) -> Vec<u8> {
    ethernet(from.ip(), to.ip(), 17, &udp(from.port(), to.port(), payload))
}

/// A UDP datagram without anything around it.
pub(crate) fn udp(from: u16, to: u16, payload: &[u8]) -> Vec<u8> {
    let mut udp = Vec::new();
    udp.extend(from.to_be_bytes());
    udp.extend(to.to_be_bytes());
    udp.extend((payload.len() as u16 + 8).to_be_bytes());
    udp.extend([0; 2]);
    udp.extend(payload);
    udp
}

fn ethernet(from: IpAddr, to: IpAddr, protocol: u8, body: &[u8]) -> Vec<u8> {
    let mut frame = vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2];
    match (from, to) {
        (IpAddr::V4(_), IpAddr::V4(_)) => {
            frame.extend([8, 0]);
            frame.extend(ipv4(from, to, protocol, 0, 0, body));
        }
        (IpAddr::V6(from), IpAddr::V6(to)) => {
            frame.extend([0x86, 0xDD, 0x60, 0, 0, 0]);
            frame.extend((body.len() as u16).to_be_bytes());
            frame.extend([protocol, 64]);
            frame.extend(from.octets());
            frame.extend(to.octets());
            frame.extend(body);
        }
        _ => panic!("both ends speak the same IP"),
    }
    frame
}

/// An IPv4 packet. `flags` is the field of flags and fragment offset.
pub(crate) fn ipv4(from: IpAddr, to: IpAddr, protocol: u8, identification: u16, flags: u16, body: &[u8]) -> Vec<u8> {
    let (IpAddr::V4(from), IpAddr::V4(to)) = (from, to) else { panic!("both ends speak IPv4") };
    let mut packet = vec![0x45, 0];
    packet.extend((body.len() as u16 + 20).to_be_bytes());
    packet.extend(identification.to_be_bytes());
    packet.extend(flags.to_be_bytes());
    packet.extend([57, protocol, 0, 0]);
    packet.extend(from.octets());
    packet.extend(to.octets());
    packet.extend(body);
    packet
}

/// A pcap file of Ethernet frames, a millisecond apart.
pub(crate) fn pcap(frames: &[Vec<u8>], is_big: bool, is_nanoseconds: bool) -> Vec<u8> {
    let word = |value: u32| if is_big { value.to_be_bytes() } else { value.to_le_bytes() };
    let half = |value: u16| if is_big { value.to_be_bytes() } else { value.to_le_bytes() };
    let mut file = word(if is_nanoseconds { 0xA1B2_3C4D } else { 0xA1B2_C3D4 }).to_vec();
    file.extend(half(2));
    file.extend(half(4));
    file.extend([0; 8]);
    file.extend(word(262_144));
    file.extend(word(1));
    for (index, frame) in frames.iter().enumerate() {
        let millis = index as u32;
        file.extend(word(1_700_000_000 + millis / 1_000));
        file.extend(word(millis % 1_000 * if is_nanoseconds { 1_000_000 } else { 1_000 }));
        file.extend(word(frame.len() as u32));
        file.extend(word(frame.len() as u32));
        file.extend(frame);
    }
    file
}

/// The same as pcapng, with nanoseconds and a comment.
pub(crate) fn pcapng(frames: &[Vec<u8>], is_big: bool) -> Vec<u8> {
    let word = |value: u32| if is_big { value.to_be_bytes() } else { value.to_le_bytes() };
    let half = |value: u16| if is_big { value.to_be_bytes() } else { value.to_le_bytes() };
    let block = |kind: u32, body: Vec<u8>| {
        let mut block = word(kind).to_vec();
        block.extend(word(body.len() as u32 + 12));
        block.extend(&body);
        block.extend(word(body.len() as u32 + 12));
        block
    };
    let mut section = word(0x1A2B_3C4D).to_vec();
    section.extend(half(1));
    section.extend(half(0));
    section.extend([0xFF; 8]);
    let mut file = block(0x0A0D_0D0A, section);
    let mut interface = half(1).to_vec();
    interface.extend(half(0));
    interface.extend(word(0));
    // The time resolution: 10^-9 s; then the end of the options.
    interface.extend(half(9));
    interface.extend(half(1));
    interface.extend([9, 0, 0, 0]);
    interface.extend([0; 4]);
    file.extend(block(1, interface));
    for (index, frame) in frames.iter().enumerate() {
        let nanos = 1_700_000_000_000_000_000 + index as u64 * 1_000_000;
        let mut packet = word(0).to_vec();
        packet.extend(word((nanos >> 32) as u32));
        packet.extend(word(nanos as u32));
        packet.extend(word(frame.len() as u32));
        packet.extend(word(frame.len() as u32));
        packet.extend(frame);
        packet.resize(packet.len().next_multiple_of(4), 0);
        // opt_comment
        packet.extend(half(1));
        packet.extend(half(2));
        packet.extend(*b"hi\0\0");
        packet.extend([0; 4]);
        file.extend(block(6, packet));
    }
    file
}
