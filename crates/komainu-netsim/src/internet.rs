//! The simulated Internet as a whole: frames in, frames and records out.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use komainu_trace::RawText;
use komainu_trace::network::{NetworkAct, NetworkEvent};

use crate::counts::{Counted, Counts, Kind, PerSecond};
use crate::dhcp::{Asked, Lease};
use crate::dns;
use crate::limits::{
    ANSWERS_PER_SECOND_MAX, DATAGRAMS_TOLD_EACH_MAX, DELAYED_FRAMES_MAX, FRAME_BYTES_MAX, LINE_BYTES_MAX,
    PACKETS_TOLD_EACH_MAX, PLACES_MAX,
};
use crate::link::{Link, ROUTER_V4};
use crate::ntp;
use crate::packet::{
    Content, Datagram, ETHERTYPE_ARP, ETHERTYPE_IPV4, ETHERTYPE_IPV6, Frame, GRE, ICMP, ICMPV6, Packet, TCP, UDP,
    ethernet, icmp, udp,
};
use crate::record;
use crate::settings::Settings;
use crate::tcp::Tcp;
use crate::world::World;

/// Why there is no simulated Internet.
#[derive(Debug, thiserror::Error)]
pub enum InternetError {
    /// The authority for TLS could not be made.
    #[error("cannot make the certificate authority of the simulated Internet: {0}")]
    Certificates(String),
    /// A file of a player is wrong; the text says what.
    #[error("cannot read a player of the simulated Internet: {0}")]
    Player(String),
}

/// What the simulated Internet has to hand out.
#[derive(Debug, Default)]
pub struct Output {
    /// Frames for the guest, in order.
    pub frames: Vec<Vec<u8>>,
    /// What happened.
    pub events: Vec<NetworkEvent>,
    /// The pcap file, as far as it goes on; its header comes with the first piece.
    pub packets: Vec<u8>,
    /// Contents that the guest handed over, each once.
    pub contents: Vec<record::Content>,
}

/// A simulated Internet for one guest.
///
/// It does nothing by itself: frames of the guest come with the time since the begin, and what follows from them, or from
/// the time, is taken out. Same settings, same frames at the same times: same output, but for what is encrypted.
#[derive(Debug)]
pub struct Internet {
    world: World,
    link: Link,
    tcp: Tcp,
    counts: Counts,
    answers: PerSecond,
    datagrams: BTreeMap<SocketAddr, u32>,
    packets: BTreeMap<(u8, IpAddr), u32>,
    /// Frames on their way to the guest, by when they arrive and their number.
    delayed: BTreeMap<(Duration, u64), Vec<u8>>,
    delayed_number: u64,
    arrived: Vec<Vec<u8>>,
}

/// How long a packet takes in the guest's own network, and back.
const NEAR: Duration = Duration::from_micros(300);

impl Internet {
    /// Makes one.
    pub fn new(settings: Settings) -> Result<Self, InternetError> {
        let world = World::new(settings)?;
        Ok(Self {
            link: Link::new(world.seed),
            tcp: Tcp::new(&world),
            counts: Counts::default(),
            answers: PerSecond::default(),
            datagrams: BTreeMap::new(),
            packets: BTreeMap::new(),
            delayed: BTreeMap::new(),
            delayed_number: 0,
            arrived: Vec::new(),
            world,
        })
    }

    /// The certificate of the authority that signs what servers show (PEM). Each simulated Internet has its own.
    pub fn certificate_pem(&self) -> &str {
        self.world.authority.certificate_pem()
    }

    /// Takes a frame of the guest. Time never goes back; what is earlier counts as now.
    pub fn frame(&mut self, now: Duration, frame: &[u8]) {
        self.advance(now);
        self.world.record.packet(self.world.now, frame);
        if frame.len() > FRAME_BYTES_MAX {
            return self.world.record.lost("frames that are too long");
        }
        let Some(Frame { source, content }) = Frame::parse(frame) else {
            return self.world.record.lost("frames that cannot be read");
        };
        match content {
            Content::Arp(arp) => {
                self.link.learn(source, None);
                if let Some(answer) = self.link.arp(arp, source) {
                    self.delay(NEAR, ethernet(source, self.link.router_mac, ETHERTYPE_ARP, &answer));
                }
            }
            Content::Ip(packet) => {
                self.link.learn(source, Some(packet.source));
                self.ip(&packet);
                for packet in self.tcp.take() {
                    self.deliver(packet);
                }
            }
            Content::Other => self.world.record.lost("frames of other protocols"),
        }
    }

    /// Lets time pass.
    pub fn advance(&mut self, now: Duration) {
        // What waits is done at its own time, so that it does not matter when it is asked for.
        while let Some(at) = self.next_at()
            && at <= now
        {
            self.world.now = self.world.now.max(at);
            self.step();
        }
        self.world.now = self.world.now.max(now);
    }

    fn step(&mut self) {
        let now = self.world.now;
        self.tcp.advance(&mut self.world);
        for packet in self.tcp.take() {
            self.deliver(packet);
        }
        for act in self.counts.quiet(now) {
            self.world.event(act);
        }
        while let Some(entry) = self.delayed.first_entry()
            && entry.key().0 <= now
        {
            let frame = entry.remove();
            self.world.record.packet(now, &frame);
            self.arrived.push(frame);
        }
    }

    /// When it wants time to pass next.
    pub fn next_at(&self) -> Option<Duration> {
        let of_frames = self.delayed.first_key_value().map(|((at, _), _)| *at);
        of_frames.into_iter().chain(self.tcp.next_at()).chain(self.counts.next_at()).min()
    }

    /// Ends: tells what was not told yet.
    pub fn end(&mut self) {
        self.tcp.end(&mut self.world);
        let ended = self.counts.end().into_iter().chain(self.tcp.targets.end());
        for act in ended.collect::<Vec<_>>() {
            self.world.event(act);
        }
        if !self.world.names.generated().is_empty() {
            let act = dns::generated_act(self.world.names.generated());
            self.world.event(act);
        }
        let now = self.world.now;
        self.world.record.tell_lost(now);
    }

    /// Takes what there is.
    pub fn take(&mut self) -> Output {
        let record = &mut self.world.record;
        Output {
            frames: std::mem::take(&mut self.arrived),
            events: std::mem::take(&mut record.events),
            packets: std::mem::take(&mut record.packets),
            contents: std::mem::take(&mut record.contents),
        }
    }

    /// Counts what could not be handed to the guest.
    pub(crate) fn lost(&mut self, what: &'static str) {
        self.world.record.lost(what);
    }

    fn ip(&mut self, packet: &Packet<'_>) {
        let is_forged = !Link::is_own(packet.source);
        if packet.is_fragment {
            let kind = kind_of(packet.protocol);
            return self.count(Counted {
                kind,
                port: None,
                to: packet.destination,
                bytes: packet.payload.len(),
                is_forged,
            });
        }
        if !is_forged && self.is_lost_on_the_way(packet) {
            return;
        }
        match packet.protocol {
            TCP => {
                if let Some(counted) = self.tcp.packet(packet, is_forged, &mut self.world) {
                    self.count(counted);
                }
            }
            UDP => self.udp(packet, is_forged),
            ICMP | ICMPV6 if !is_forged => self.icmp(packet),
            _ => self.other(packet, is_forged),
        }
    }

    /// Whether a packet has not enough hops left to arrive; the router where it ends says so (RFC 792, RFC 4443, 3.3).
    fn is_lost_on_the_way(&mut self, packet: &Packet<'_>) -> bool {
        let to = packet.destination;
        if Link::is_near(to) || to.is_multicast() || is_broadcast(to) || packet.hops_left == 0 {
            return false;
        }
        if packet.hops_left >= self.hops(to) {
            return false;
        }
        let is_error =
            matches!((packet.protocol, packet.payload.first()), (ICMP, Some(3 | 11)) | (ICMPV6, Some(1..=4)));
        if !is_error && self.answers.take(self.world.now, ANSWERS_PER_SECOND_MAX) {
            let router = self.hop(to, packet.hops_left);
            // The header and the begin of the content; for IPv6 as much as fits without being cut.
            let most = if to.is_ipv4() { 28 } else { 1000 };
            let mut message = vec![if to.is_ipv4() { 11 } else { 3 }, 0, 0, 0, 0, 0, 0, 0];
            message.extend(&packet.bytes[..packet.bytes.len().min(most)]);
            self.deliver(icmp(router, packet.source, 64, message));
        }
        true
    }

    /// How many hops away an address is.
    fn hops(&self, to: IpAddr) -> u8 {
        let further = self.world.seed.below("hops", to.to_string().as_bytes(), 9);
        8 + u8::try_from(further).expect("below nine")
    }

    /// The router that is so many hops away, on the way to an address.
    fn hop(&self, to: IpAddr, hops: u8) -> IpAddr {
        // The first hops are the same for all: the guest's router and its provider.
        let of = if hops <= 3 { String::new() } else { to.to_string() };
        let number = self.world.seed.number("hop", format!("{hops} {of}").as_bytes());
        let [a, b, ..] = number.to_be_bytes();
        match to {
            _ if hops == 1 && to.is_ipv4() => ROUTER_V4.into(),
            _ if hops == 1 => Link::router_v6().into(),
            // The space that providers use inside (RFC 6598).
            IpAddr::V4(_) => Ipv4Addr::new(100, 64 + a % 64, b, 1).into(),
            IpAddr::V6(_) => IpAddr::V6([0x2001, 0xDB8, 2, u16::from(hops), 0, 0, u16::from(a), 1].into()),
        }
    }

    fn udp(&mut self, packet: &Packet<'_>, is_forged: bool) {
        let to = packet.destination;
        let Some(datagram) = Datagram::parse(packet.payload) else {
            let counted = Counted { kind: Kind::Udp, port: None, to, bytes: packet.payload.len(), is_forged };
            return self.count(counted);
        };
        let Datagram { source_port, destination_port: port, payload } = datagram;
        let counted = Counted { kind: Kind::Udp, port: Some(port), to, bytes: payload.len(), is_forged };
        if is_forged {
            return self.count(counted);
        }
        let (guest, server) = (SocketAddr::new(packet.source, source_port), SocketAddr::new(to, port));
        let is_known = matches!(port, 53 | 67 | 123);
        if is_known && self.answers.take(self.world.now, ANSWERS_PER_SECOND_MAX) {
            if port == 67
                && let Some(asked) = Asked::parse(payload)
            {
                return self.dhcp(&asked);
            }
            let answer = match port {
                53 => dns::answer(&mut self.world, payload, server),
                123 => ntp::answer(payload, self.world.clock_unix_s(), self.world.now.subsec_nanos()).inspect(|_| {
                    self.world.event(NetworkAct::Time { server });
                }),
                _ => None,
            };
            if let Some(answer) = answer {
                return self.deliver(udp(server, guest, self.hops_back(to), &answer));
            }
        }
        let is_new = !self.datagrams.contains_key(&server);
        if is_new && self.datagrams.len() >= PLACES_MAX {
            return self.count(counted);
        }
        let told = self.datagrams.entry(server).or_default();
        if *told >= DATAGRAMS_TOLD_EACH_MAX {
            return self.count(counted);
        }
        *told += 1;
        let name = self.world.names.of(to).cloned();
        let head = payload[..payload.len().min(256)].into();
        self.world.event(NetworkAct::Datagram {
            from_port: source_port,
            to: server,
            name,
            bytes: payload.len() as u64,
            head,
        });
        // What traces the way by datagrams knows by this that it has arrived.
        if (33_434..=33_534).contains(&port) && self.answers.take(self.world.now, ANSWERS_PER_SECOND_MAX) {
            let (kind, code) = if to.is_ipv4() { (3, 3) } else { (1, 4) };
            let mut message = vec![kind, code, 0, 0, 0, 0, 0, 0];
            message.extend(&packet.bytes[..packet.bytes.len().min(1000)]);
            self.deliver(icmp(to, packet.source, self.hops_back(to), message));
        }
    }

    fn dhcp(&mut self, asked: &Asked<'_>) {
        let text = |value: &[u8]| RawText::from(&value[..value.len().min(LINE_BYTES_MAX)]);
        let act = NetworkAct::Dhcp { host_name: asked.host_name.map(text), vendor_class: asked.vendor_class.map(text) };
        let lease = Lease { address: self.link.guest_v4, router: ROUTER_V4 };
        let (answer, is_given) = asked.answer(lease);
        if is_given {
            self.world.event(act);
        }
        let (from, to) = (SocketAddr::from((ROUTER_V4, 67)), SocketAddr::from((Ipv4Addr::BROADCAST, 68)));
        let packet = udp(from, to, 64, &answer);
        let frame = ethernet(asked.mac(), self.link.router_mac, ETHERTYPE_IPV4, &packet);
        self.delay(NEAR, frame);
    }

    fn icmp(&mut self, asked: &Packet<'_>) {
        let kind = asked.payload.first().copied().unwrap_or_default();
        if asked.protocol == ICMPV6 && (133..=136).contains(&kind) {
            if let Some(answer) = self.link.neighbors(asked)
                && self.answers.take(self.world.now, ANSWERS_PER_SECOND_MAX)
            {
                self.deliver_near(answer);
            }
            return;
        }
        let (echo, reply) = if asked.protocol == ICMP { (8, 0) } else { (128, 129) };
        let to = asked.destination;
        let is_somebody = !to.is_multicast() && !is_broadcast(to);
        if kind == echo && is_somebody && self.answers.take(self.world.now, ANSWERS_PER_SECOND_MAX) {
            let mut message = asked.payload.to_vec();
            message[0] = reply;
            let answer = icmp(to, asked.source, self.hops_back(to), message);
            self.deliver(answer);
        }
        self.other(asked, false);
    }

    /// A packet that is only told, or counted if there are many.
    fn other(&mut self, packet: &Packet<'_>, is_forged: bool) {
        let Packet { destination: to, protocol, payload, .. } = packet;
        let counted = Counted { kind: kind_of(*protocol), port: None, to: *to, bytes: payload.len(), is_forged };
        let place = (*protocol, *to);
        if is_forged || (self.packets.len() >= PLACES_MAX && !self.packets.contains_key(&place)) {
            return self.count(counted);
        }
        let told = self.packets.entry(place).or_default();
        if *told >= PACKETS_TOLD_EACH_MAX {
            return self.count(counted);
        }
        *told += 1;
        self.world.event(NetworkAct::Packet { protocol: *protocol, to: *to, bytes: payload.len() as u64 });
    }

    fn count(&mut self, counted: Counted) {
        if let Some(act) = self.counts.add(self.world.now, counted) {
            self.world.event(act);
        }
    }

    /// The hops that a packet from an address has left when it arrives.
    fn hops_back(&self, from: IpAddr) -> u8 {
        if Link::is_near(from) { 64 } else { 65 - self.hops(from) }
    }

    /// Sends a packet to the guest, which arrives when its way is done.
    fn deliver(&mut self, packet: Vec<u8>) {
        let source = match packet.first().map(|byte| byte >> 4) {
            Some(4) => packet.get(12..16).and_then(|octets| Some(IpAddr::from(*octets.first_chunk::<4>()?))),
            _ => packet.get(8..24).and_then(|octets| Some(IpAddr::from(*octets.first_chunk::<16>()?))),
        };
        let time = source.map_or(NEAR, |source| self.latency(source));
        self.send(time, packet);
    }

    /// Sends a packet of a neighbour, which is near whatever its address.
    fn deliver_near(&mut self, packet: Vec<u8>) {
        self.send(NEAR, packet);
    }

    fn send(&mut self, time: Duration, packet: Vec<u8>) {
        let Some(guest) = self.link.guest_mac else { return };
        let ethertype = if packet.first().is_some_and(|byte| byte >> 4 == 4) { ETHERTYPE_IPV4 } else { ETHERTYPE_IPV6 };
        self.delay(time, ethernet(guest, self.link.router_mac, ethertype, &packet));
    }

    fn delay(&mut self, time: Duration, frame: Vec<u8>) {
        if self.delayed.len() >= DELAYED_FRAMES_MAX {
            return self.world.record.lost("frames for the guest");
        }
        self.delayed_number += 1;
        self.delayed.insert((self.world.now + time, self.delayed_number), frame);
    }

    /// How long it takes to an address and back.
    fn latency(&self, address: IpAddr) -> Duration {
        if Link::is_near(address) {
            return NEAR;
        }
        let (least, most) = self.world.settings.latency_ms;
        let range = u64::from(most.saturating_sub(least)) * 1000 + 1;
        // No two servers answer after the same number of whole milliseconds.
        let further = self.world.seed.below("latency", address.to_string().as_bytes(), range);
        Duration::from_millis(least.into()) + Duration::from_micros(further)
    }
}

fn kind_of(protocol: u8) -> Kind {
    match protocol {
        TCP => Kind::Tcp,
        UDP => Kind::Udp,
        ICMP | ICMPV6 => Kind::Icmp,
        GRE => Kind::Gre,
        other => Kind::Ip(other),
    }
}

fn is_broadcast(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => address.is_broadcast() || address == Ipv4Addr::new(192, 168, 1, 255),
        IpAddr::V6(_) => false,
    }
}
