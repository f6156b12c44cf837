//! TCP: each connection that the guest makes gets a socket of its own, for exactly the address and the port it wants.
//!
//! smoltcp has no socket that listens everywhere, and looks for sockets one by one. Here a table finds the connection of a
//! packet, and smoltcp sees a set with only its socket, which is made by the first SYN; so the cost of a packet does not
//! grow with the number of connections.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use komainu_trace::network::{FlowNumber, NetworkAct};
use smoltcp::iface::{Config, Interface, PollResult, SocketHandle, SocketSet};
use smoltcp::phy::{self, DeviceCapabilities, Medium};
use smoltcp::socket::tcp::{Socket, SocketBuffer, State};
use smoltcp::time::Instant;
use smoltcp::wire::{HardwareAddress, IpEndpoint, IpListenEndpoint};

use crate::conversation::Conversation;
use crate::counts::{Counted, Kind, PerSecond, Targets};
use crate::limits::{
    ANSWERS_PER_SECOND_MAX, HANDSHAKE_TIME_MAX, PLACES_MAX, PORTS_FIRST_EACH_MAX, ROOMY_BYTES, ROOMY_CONNECTIONS,
    SILENCE_TIME_MAX, SMALL_BYTES, TRIED_MAX,
};
use crate::link::Link;
use crate::packet::Packet;
use crate::service::Peer;
use crate::world::World;

const FIN: u8 = 1;
const SYN: u8 = 2;
const RST: u8 = 4;
const ACK: u8 = 16;

/// The MTU of the simulated link.
const MTU: usize = 1500;

/// Rounds of reading and writing for one packet; a socket has room for six segments.
const ROUNDS_MAX: usize = 8;

/// The shortest time until a connection is looked at again, so that a wish for "now" cannot keep the process busy.
const LOOK_AGAIN_AFTER: Duration = Duration::from_millis(1);

/// From where to where: the guest's side first.
type Key = (SocketAddr, SocketAddr);

/// All connections.
pub(crate) struct Tcp {
    interface: Interface,
    device: Device,
    flows: HashMap<Key, Flow>,
    timers: BTreeSet<(Duration, Key)>,
    next_number: u64,
    new_ones: PerSecond,
    resets: PerSecond,
    pub(crate) targets: Targets,
    tried: Tried,
}

impl std::fmt::Debug for Tcp {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Tcp").field("flows", &self.flows.len()).finish_non_exhaustive()
    }
}

struct Flow {
    sockets: SocketSet<'static>,
    handle: SocketHandle,
    conversation: Conversation,
    begun: Duration,
    is_established: bool,
    /// It was us who closed.
    is_closed: bool,
    /// When it is looked at next, as it stands in the timers.
    next_at: Option<Duration>,
    sent_bytes: u64,
    received_bytes: u64,
}

/// What is done with a SYN.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Open,
    /// Refused with a reset.
    Refused,
    /// Nobody answers.
    Silent,
    /// Nobody answers, and it is not told by itself.
    Counted,
}

impl Tcp {
    pub(crate) fn new(world: &World) -> Self {
        let mut device = Device::default();
        let mut config = Config::new(HardwareAddress::Ip);
        config.random_seed = world.seed.number("tcp", b"");
        let mut interface = Interface::new(config, &mut device, Instant::ZERO);
        interface.set_any_ip(true);
        Self {
            interface,
            device,
            flows: HashMap::new(),
            timers: BTreeSet::new(),
            next_number: 1,
            new_ones: PerSecond::default(),
            resets: PerSecond::default(),
            targets: Targets::default(),
            tried: Tried::default(),
        }
    }

    /// Takes a packet of the guest. What is not carried is given back to be counted.
    pub(crate) fn packet(&mut self, packet: &Packet<'_>, is_forged: bool, world: &mut World) -> Option<Counted> {
        let header = packet.payload.first_chunk::<20>();
        let port_of = |at: usize| header.map(|header| u16::from_be_bytes([header[at], header[at + 1]]));
        let (from_port, to_port) = (port_of(0), port_of(2));
        let flags = header.map_or(0, |header| header[13]);
        let is_syn = flags & (SYN | ACK | RST | FIN) == SYN;
        let kind = if is_syn { Kind::Syn } else { Kind::Tcp };
        let counted = Counted { kind, port: to_port, to: packet.destination, bytes: packet.payload.len(), is_forged };
        let (Some(from_port), Some(to_port)) = (from_port, to_port) else { return Some(counted) };
        if is_syn && !is_forged && !self.targets.add(to_port, packet.destination) {
            world.record.lost("ports of targets");
        }
        if is_forged || to_port == 0 || packet.destination.is_multicast() || packet.destination.is_unspecified() {
            return Some(counted);
        }
        let key = (SocketAddr::new(packet.source, from_port), SocketAddr::new(packet.destination, to_port));
        if !self.flows.contains_key(&key) {
            if !is_syn {
                return self.stray(packet, flags, counted, world);
            }
            match self.tried.verdict(key.1, world) {
                Verdict::Open if self.has_room(world) => self.open(key, world),
                Verdict::Open | Verdict::Counted => return Some(counted),
                verdict @ (Verdict::Refused | Verdict::Silent) => {
                    // A kernel asks again when nobody answers: the same try.
                    if !self.tried.is_again(key) {
                        self.tell_connect(key, false, world);
                    }
                    if verdict == Verdict::Refused {
                        return self.stray(packet, flags, counted, world);
                    }
                    return None;
                }
            }
        }
        self.touch(key, Some(packet.bytes), world);
        None
    }

    fn has_room(&mut self, world: &mut World) -> bool {
        let bounds = &world.settings.bounds;
        let has_room = self.flows.len() < bounds.connections_max
            && self.next_number <= bounds.connections_in_all_max
            && self.new_ones.take(world.now, bounds.connections_per_second_max);
        if !has_room {
            world.record.lost("connections");
        }
        has_room
    }

    /// A packet of no connection is answered with a reset, if it is not many.
    fn stray(&mut self, packet: &Packet<'_>, flags: u8, counted: Counted, world: &World) -> Option<Counted> {
        if flags & RST != 0 {
            // The end of something that is not known any more.
            return (!self.resets.take(world.now, ANSWERS_PER_SECOND_MAX)).then_some(counted);
        }
        if !self.resets.take(world.now, ANSWERS_PER_SECOND_MAX) {
            return Some(counted);
        }
        self.device.received = Some(packet.bytes.to_vec());
        self.interface.poll_ingress_single(instant(world.now), &mut self.device, &mut SocketSet::new(Vec::new()));
        (counted.kind == Kind::Tcp).then_some(counted)
    }

    fn tell_connect(&mut self, (from, to): Key, accepted: bool, world: &mut World) -> FlowNumber {
        let flow = FlowNumber(self.next_number);
        self.next_number += 1;
        let name = world.names.of(to.ip()).cloned();
        world.event(NetworkAct::Connect { flow, from_port: from.port(), to, name, accepted });
        flow
    }

    fn open(&mut self, key: Key, world: &mut World) {
        let to = key.1;
        let bytes = if self.flows.len() < ROOMY_CONNECTIONS { ROOMY_BYTES } else { SMALL_BYTES };
        let buffer = || SocketBuffer::new(vec![0; bytes]);
        let mut socket = Socket::new(buffer(), buffer());
        socket.set_timeout(Some(smol(HANDSHAKE_TIME_MAX)));
        socket.set_nagle_enabled(false);
        socket.set_ack_delay(None);
        socket
            .listen(IpListenEndpoint { addr: Some(IpEndpoint::from(to).addr), port: to.port() })
            .expect("a new socket can listen on a port that is not 0");
        let mut sockets = SocketSet::new(Vec::with_capacity(1));
        let handle = sockets.add(socket);
        let flow = self.tell_connect(key, true, world);
        let name = world.names.of(to.ip()).cloned();
        let peer = Peer { flow, to, name, inside_tls: false, lines_told: 0 };
        let flow = Flow {
            sockets,
            handle,
            conversation: Conversation::new(peer),
            begun: world.now,
            is_established: false,
            is_closed: false,
            next_at: None,
            sent_bytes: 0,
            received_bytes: 0,
        };
        self.flows.insert(key, flow);
    }

    /// Lets a connection go on: with a packet, or because its time has come.
    fn touch(&mut self, key: Key, packet: Option<&[u8]>, world: &mut World) {
        let Some(flow) = self.flows.get_mut(&key) else { return };
        let now = instant(world.now);
        if let Some(packet) = packet {
            self.device.received = Some(packet.to_vec());
            self.interface.poll_ingress_single(now, &mut self.device, &mut flow.sockets);
        }
        if flow.conversation.next_at().is_some_and(|at| at <= world.now) {
            flow.conversation.woken(world);
        }
        for _ in 0..ROUNDS_MAX {
            let has_moved = flow.carry(world);
            let mut has_sent = false;
            while self.interface.poll_egress(now, &mut self.device, &mut flow.sockets) == PollResult::SocketStateChanged
            {
                has_sent = true;
            }
            if !has_moved && !has_sent {
                break;
            }
        }
        if flow.is_gone(world.now) {
            // A connection that is given up is reset.
            flow.socket().abort();
            let _ = self.interface.poll_egress(now, &mut self.device, &mut flow.sockets);
            self.remove(key, world);
            return;
        }
        let of_socket =
            self.interface.poll_at(now, &flow.sockets).map(|at| duration(at).max(world.now + LOOK_AGAIN_AFTER));
        let of_conversation = flow.conversation.next_at().map(|at| at.max(world.now + LOOK_AGAIN_AFTER));
        let of_handshake = (!flow.is_established).then(|| flow.begun + HANDSHAKE_TIME_MAX);
        let next_at = of_socket.into_iter().chain(of_conversation).chain(of_handshake).min();
        if flow.next_at != next_at {
            if let Some(at) = flow.next_at {
                self.timers.remove(&(at, key));
            }
            if let Some(at) = next_at {
                self.timers.insert((at, key));
            }
            flow.next_at = next_at;
        }
    }

    fn remove(&mut self, key: Key, world: &mut World) {
        let Some(mut flow) = self.flows.remove(&key) else { return };
        if let Some(at) = flow.next_at {
            self.timers.remove(&(at, key));
        }
        flow.conversation.end(world);
        world.event(NetworkAct::Closed {
            flow: flow.conversation.peer.flow,
            sent_bytes: flow.sent_bytes,
            received_bytes: flow.received_bytes,
            by_guest: !flow.is_closed,
        });
    }

    /// Lets those connections go on whose time has come.
    pub(crate) fn advance(&mut self, world: &mut World) {
        while let Some((at, key)) = self.timers.first().copied()
            && at <= world.now
        {
            self.timers.remove(&(at, key));
            if let Some(flow) = self.flows.get_mut(&key) {
                flow.next_at = None;
            }
            self.touch(key, None, world);
        }
    }

    /// When a connection wants to go on.
    pub(crate) fn next_at(&self) -> Option<Duration> {
        self.timers.first().map(|(at, _)| *at)
    }

    /// Ends all connections, in the order in which they were made.
    pub(crate) fn end(&mut self, world: &mut World) {
        let numbered = self.flows.iter().map(|(key, flow)| (flow.conversation.peer.flow, *key));
        let in_order: BTreeMap<FlowNumber, Key> = numbered.collect();
        for key in in_order.into_values() {
            if let Some(flow) = self.flows.get_mut(&key) {
                flow.is_closed = true;
            }
            self.remove(key, world);
        }
    }

    /// The packets for the guest.
    pub(crate) fn take(&mut self) -> Vec<Vec<u8>> {
        std::mem::take(&mut self.device.sent)
    }
}

impl Flow {
    fn socket(&mut self) -> &mut Socket<'static> {
        self.sockets.get_mut::<Socket<'_>>(self.handle)
    }

    /// Carries bytes between socket and conversation; whether there were any.
    fn carry(&mut self, world: &mut World) -> bool {
        let Self { sockets, handle, conversation, is_established, is_closed, sent_bytes, received_bytes, .. } = self;
        let socket = sockets.get_mut::<Socket<'_>>(*handle);
        let mut has_moved = false;
        if !*is_established && matches!(socket.state(), State::Established | State::CloseWait) {
            *is_established = true;
            socket.set_timeout(Some(smol(SILENCE_TIME_MAX)));
            conversation.opened(world);
            has_moved = true;
        }
        while socket.can_recv() && (conversation.is_listening() || conversation.is_closing()) {
            let read = socket.recv(|bytes| (bytes.len(), bytes.to_vec())).unwrap_or_default();
            *sent_bytes += read.len() as u64;
            has_moved = true;
            if !conversation.is_closing() {
                conversation.data(&read, world);
            }
        }
        // The guest said all it has to say, or is gone.
        let said_all = !socket.may_recv() && !socket.can_recv();
        if *is_established && said_all && !conversation.is_closing() {
            conversation.finished(world);
            has_moved = true;
        }
        conversation.send(world, |bytes| {
            let taken = if bytes.is_empty() { 0 } else { socket.send_slice(bytes).unwrap_or(0) };
            *received_bytes += taken as u64;
            has_moved |= taken > 0;
            taken
        });
        if *is_established && conversation.is_over() && matches!(socket.state(), State::Established | State::CloseWait)
        {
            *is_closed |= socket.state() == State::Established;
            conversation.finished(world);
            socket.close();
            has_moved = true;
        }
        has_moved
    }

    /// Whether nothing more comes of it. Who closed first would wait for stray packets; on this link there are none.
    fn is_gone(&mut self, now: Duration) -> bool {
        let is_late = !self.is_established && now >= self.begun + HANDSHAKE_TIME_MAX;
        is_late || matches!(self.socket().state(), State::Closed | State::TimeWait | State::Listen)
    }
}

/// Which addresses and ports were tried.
#[derive(Debug, Default)]
struct Tried {
    /// The verdicts on them.
    verdicts: BTreeMap<SocketAddr, Verdict>,
    /// On how many addresses a port was tried.
    of_port: BTreeMap<u16, u32>,
    /// How many ports of an address were open because they came first.
    first_of: BTreeMap<IpAddr, u32>,
    /// Tries that were not answered with a connection.
    refused: BTreeSet<Key>,
}

impl Tried {
    /// Whether an address has an open port; the same whenever it is asked.
    fn verdict(&mut self, to: SocketAddr, world: &World) -> Verdict {
        let (address, port) = (to.ip(), to.port());
        let is_wanted = world.names.of(address).is_some()
            || world.expected(to).is_some()
            || world.scripts.wait_at(port)
            || matches!(port, 53 | 853);
        if is_wanted {
            return Verdict::Open;
        }
        if let Some(verdict) = self.verdicts.get(&to) {
            return *verdict;
        }
        let policy = &world.settings.ports;
        let of_port = self.of_port.get(&port).copied().unwrap_or(0);
        if self.verdicts.len() >= TRIED_MAX || of_port >= policy.answered_max {
            return Verdict::Counted;
        }
        let of_address = self.first_of.get(&address).copied().unwrap_or(0);
        let place = to.to_string();
        let verdict = if Link::is_router(address) {
            if matches!(port, 80 | 443) { Verdict::Open } else { Verdict::Refused }
        } else if of_port < policy.open_first && of_address < PORTS_FIRST_EACH_MAX {
            *self.first_of.entry(address).or_default() += 1;
            Verdict::Open
        } else if world.seed.below("open", place.as_bytes(), 100) < u64::from(policy.open_percent) {
            Verdict::Open
        } else if world.seed.below("closed", address.to_string().as_bytes(), 4) == 0 {
            Verdict::Refused
        } else {
            Verdict::Silent
        };
        *self.of_port.entry(port).or_default() += 1;
        self.verdicts.insert(to, verdict);
        verdict
    }

    /// Whether the same try was refused before.
    fn is_again(&mut self, key: Key) -> bool {
        if self.refused.len() >= PLACES_MAX {
            self.refused.clear();
        }
        !self.refused.insert(key)
    }
}

/// The link as smoltcp sees it: packets without Ethernet.
#[derive(Debug, Default)]
struct Device {
    received: Option<Vec<u8>>,
    sent: Vec<Vec<u8>>,
}

impl phy::Device for Device {
    type RxToken<'a> = Received;
    type TxToken<'a> = Sending<'a>;

    fn receive(&mut self, _: Instant) -> Option<(Self::RxToken<'_>, Self::TxToken<'_>)> {
        let received = self.received.take()?;
        Some((Received(received), Sending(&mut self.sent)))
    }

    fn transmit(&mut self, _: Instant) -> Option<Self::TxToken<'_>> {
        Some(Sending(&mut self.sent))
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ip;
        capabilities.max_transmission_unit = MTU;
        // Cards leave checksums to the other side of a virtual link, so those of the guest may be missing.
        capabilities.checksum.ipv4 = phy::Checksum::Tx;
        capabilities.checksum.tcp = phy::Checksum::Tx;
        capabilities
    }
}

struct Received(Vec<u8>);

impl phy::RxToken for Received {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, read: F) -> R {
        read(&self.0)
    }
}

struct Sending<'a>(&'a mut Vec<Vec<u8>>);

impl phy::TxToken for Sending<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, length: usize, write: F) -> R {
        let mut packet = vec![0; length];
        let result = write(&mut packet);
        self.0.push(packet);
        result
    }
}

fn instant(at: Duration) -> Instant {
    Instant::from_micros(i64::try_from(at.as_micros()).unwrap_or(i64::MAX))
}

fn duration(at: Instant) -> Duration {
    Duration::from_micros(u64::try_from(at.total_micros()).unwrap_or(0))
}

fn smol(time: Duration) -> smoltcp::time::Duration {
    smoltcp::time::Duration::from_micros(u64::try_from(time.as_micros()).unwrap_or(u64::MAX))
}
