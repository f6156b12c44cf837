//! From the packets of a capture to flows, and from each flow to its facts.
//!
//! A [`FlowTable`] is given frames in the order in which they were seen. It finds the flow of each, puts its streams
//! together, and has each flow decoded by the protocol that it speaks. It tells a [`FlowObserver`] what it finds.
//!
//! Bounds: [`FlowLimits`]. Worst case of one flow: two times [`crate::DECIDE_BYTES_MAX`] while its protocol is not
//! known, then the state of its decoder, and what waits for missing segments ([`FlowLimits::held_bytes_max`]).

use std::collections::{HashMap, VecDeque};
use std::net::{IpAddr, SocketAddr};

use crate::capture::{Frame, PacketTime};
use crate::fingerprint::SynTraits;
use crate::fragments::Fragments;
use crate::ftp;
use crate::packet::{self, Content, Datagram, Packet, Segment, Unreadable};
use crate::reassembly::{HELD_BYTES_MAX, Piece, Stream};
use crate::{Conversation, Fact, Observer, Oddity, OddityKind, Place, Protocol, Side, Transport};

/// What a table of flows may use, and how long it waits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FlowLimits {
    /// Flows at a time. At the bound the one that was silent for longest ends.
    pub flows_max: usize,
    /// How long a TCP connection may be silent, in seconds; then it ends.
    pub tcp_idle_s: u64,
    /// How long a connection that never got an answer may be silent, in seconds; then it ends.
    pub tcp_opening_idle_s: u64,
    /// How long a UDP flow may be silent, in seconds; then it ends.
    pub udp_idle_s: u64,
    /// How long a connection that has ended is remembered, in seconds, so that what comes late begins no new one.
    pub closed_s: u64,
    /// Bytes of a TCP connection that wait for missing segments, in each direction. At the bound what is missing is taken
    /// for lost.
    pub held_bytes_max: usize,
}

impl Default for FlowLimits {
    fn default() -> Self {
        Self {
            flows_max: 250_000,
            tcp_idle_s: 600,
            tcp_opening_idle_s: 60,
            udp_idle_s: 60,
            closed_s: 10,
            held_bytes_max: HELD_BYTES_MAX,
        }
    }
}

/// A flow: what two parties said to each other over one pair of addresses and ports.
#[derive(Debug, Clone)]
pub struct Flow {
    /// The number of the flow in its table, from 1 in the order of their first packets.
    pub number: u64,
    /// How it is carried.
    pub transport: Transport,
    /// Who began.
    pub client: SocketAddr,
    /// Who was called.
    pub server: SocketAddr,
    /// When its first packet was seen.
    pub begin: PacketTime,
    /// When its newest packet was seen.
    pub last: PacketTime,
    /// What the client and the server sent.
    pub sent: [Sent; 2],
    /// The protocol, once it is known.
    pub protocol: Option<Protocol>,
    /// How the client's SYN looked.
    pub syn: Option<SynTraits>,
    /// How far the connection came; none over UDP.
    pub tcp: Option<TcpState>,
}

/// What one party of a flow sent.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Sent {
    /// Packets.
    pub packets: u64,
    /// Bytes of the frames, as far as they were captured.
    pub frame_bytes: u64,
    /// Bytes of payload; what came twice counts twice.
    pub payload_bytes: u64,
    /// All TCP flags that were set, one or the other time.
    pub tcp_flags: u8,
}

impl Flow {
    /// What a side sent.
    pub fn sent_by(&self, side: Side) -> &Sent {
        &self.sent[side.index()]
    }
}

/// How far a TCP connection came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TcpState {
    /// The client asked for it.
    SynSent,
    /// The server agreed.
    SynReceived,
    /// Both sides may speak, or are in the middle of it.
    Established,
    /// One side has said everything.
    Closing,
    /// Both sides have said everything.
    Closed,
    /// One side broke it off.
    Reset,
}

/// Why a flow ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum EndReason {
    /// The parties ended it.
    Closed,
    /// It was silent for too long.
    Timeout,
    /// The capture ended.
    CaptureEnd,
    /// There were too many flows.
    Evicted,
}

/// Is told of flows.
pub trait FlowObserver {
    /// A flow begins.
    fn begin(&mut self, flow: &Flow);
    /// A flow turned out to speak `protocol`: told once, before its first fact of that protocol.
    fn protocol(&mut self, flow: &Flow, protocol: Protocol) {
        let _ = (flow, protocol);
    }
    /// A side of a flow said this, put in order: told before the facts that it shows.
    fn payload(&mut self, flow: &Flow, at: PacketTime, side: Side, bytes: &[u8]) {
        let _ = (flow, at, side, bytes);
    }
    /// The next bytes of a side of a flow are not known: told in the same way.
    fn lost(&mut self, flow: &Flow, side: Side, bytes: u64) {
        let _ = (flow, side, bytes);
    }
    /// A flow showed something at a time.
    fn fact(&mut self, flow: &Flow, at: PacketTime, place: Place, fact: Fact<'_>);
    /// A flow ends. Each flow that begins ends once.
    fn end(&mut self, flow: &Flow, reason: EndReason);
}

/// What became of the frames that a table was given.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct FrameCounts {
    /// Frames in all.
    pub frames: u64,
    /// Frames of which no IP packet could be read, or whose link layer is not known.
    pub unreadable: u64,
    /// Frames that carry no IP, such as ARP.
    pub not_ip: u64,
    /// Pieces of IP packets.
    pub fragments: u64,
    /// IP packets of other protocols than TCP and UDP.
    pub other: u64,
    /// TCP segments that belong to no connection: what comes after its end, answers to nobody.
    pub stray: u64,
}

/// Flows that are being decoded.
#[derive(Debug)]
pub struct FlowTable {
    limits: FlowLimits,
    fragments: Fragments,
    /// The slots of flows. The hash has a key of its own: attackers choose the ports.
    index: HashMap<Key, usize, ahash::RandomState>,
    slots: Vec<Slot>,
    free: Vec<usize>,
    /// Data connections that are to begin.
    announced: VecDeque<Announced>,
    /// The slots in use, in the order of silence.
    newest: usize,
    oldest: usize,
    numbers: u64,
    counts: FrameCounts,
    now: PacketTime,
}

/// Data connections that were announced and have not begun. At the bound the oldest is forgotten.
const ANNOUNCED_MAX: usize = 1_024;
/// How long an announced data connection is waited for, in microseconds: servers give up after a minute, too.
const ANNOUNCED_US_MAX: u64 = 60_000_000;
/// The newest flows that are looked through for a data connection that began before it was announced: clients open it
/// and ask for the transfer in one breath.
const LOOK_BACK_MAX: usize = 64;

/// A data connection that a control connection announced (RFC 959, 3.2).
#[derive(Debug)]
struct Announced {
    at: PacketTime,
    /// Who opens it.
    opener: IpAddr,
    /// Where it is opened.
    listener: SocketAddr,
    reader: ftp::DataReader,
}

/// No slot.
const NONE: usize = usize::MAX;

/// Both ends of a flow, the smaller one first.
type Key = (Transport, SocketAddr, SocketAddr);

/// A place for a flow, and its neighbours in the order of silence.
#[derive(Debug)]
struct Slot {
    key: Key,
    state: Option<Box<State>>,
    newer: usize,
    older: usize,
}

#[derive(Debug)]
struct State {
    flow: Flow,
    conversation: Conversation,
    streams: Option<Box<[Stream; 2]>>,
    /// Both sides have said everything; the flow was told to be over.
    is_over: bool,
}

impl FlowTable {
    /// A table without flows.
    pub fn new(limits: FlowLimits) -> Self {
        Self {
            limits,
            fragments: Fragments::default(),
            index: HashMap::default(),
            slots: Vec::new(),
            free: Vec::new(),
            announced: VecDeque::new(),
            newest: NONE,
            oldest: NONE,
            numbers: 0,
            counts: FrameCounts::default(),
            now: PacketTime::default(),
        }
    }

    /// What became of the frames so far.
    pub fn counts(&self) -> FrameCounts {
        self.counts
    }

    /// Takes the next frame.
    pub fn frame(&mut self, frame: &Frame<'_>, observer: &mut dyn FlowObserver) {
        self.counts.frames += 1;
        self.now = self.now.max(frame.at);
        self.end_silent(observer);
        let Some(link) = frame.link else {
            self.counts.unreadable += 1;
            return;
        };
        let packet = match packet::parse(link, frame.bytes) {
            Ok(packet) => packet,
            Err(Unreadable::NotIp) => {
                self.counts.not_ip += 1;
                return;
            }
            Err(Unreadable::Short | Unreadable::Broken) => {
                self.counts.unreadable += 1;
                return;
            }
        };
        let frame_bytes = frame.bytes.len() as u64;
        let Content::Fragment(fragment) = packet.content else {
            return self.packet(frame.at, &packet, frame_bytes, observer);
        };
        self.counts.fragments += 1;
        if let Some(whole) = self.fragments.add(frame.at, packet.source, packet.destination, &fragment) {
            match packet::transport(fragment.protocol, &whole, whole.len()) {
                Ok(content) => self.packet(frame.at, &Packet { content, ..packet }, frame_bytes, observer),
                Err(_) => self.counts.unreadable += 1,
            }
        }
    }

    /// Learns that it is `now`, and that no frame has come: ends flows that were silent for too long.
    pub fn pass_time(&mut self, now: PacketTime, observer: &mut dyn FlowObserver) {
        self.now = self.now.max(now);
        self.end_silent(observer);
    }

    /// Ends every flow: nothing more will come.
    pub fn finish(&mut self, observer: &mut dyn FlowObserver) {
        while self.oldest != NONE {
            self.end(self.oldest, EndReason::CaptureEnd, observer);
        }
    }

    fn packet(&mut self, at: PacketTime, packet: &Packet<'_>, frame_bytes: u64, observer: &mut dyn FlowObserver) {
        match packet.content {
            Content::Tcp(segment) => self.tcp(at, packet, &segment, frame_bytes, observer),
            Content::Udp(datagram) => self.udp(at, packet, &datagram, frame_bytes, observer),
            Content::Other(_) | Content::Fragment(_) => self.counts.other += 1,
        }
    }

    fn tcp(
        &mut self,
        at: PacketTime,
        packet: &Packet<'_>,
        segment: &Segment<'_>,
        frame_bytes: u64,
        observer: &mut dyn FlowObserver,
    ) {
        let source = SocketAddr::new(packet.source, segment.source_port);
        let destination = SocketAddr::new(packet.destination, segment.destination_port);
        let is_opening = segment.has(Segment::SYN) && !segment.has(Segment::ACK);
        let mut slot = self.find(Transport::Tcp, source, destination);
        if let Some(index) = slot
            && is_opening
            && self.state(index).is_reopened_by(source, segment)
        {
            self.end(index, EndReason::Closed, observer);
            slot = None;
        }
        let index = match slot {
            Some(index) => index,
            None => {
                if segment.payload.is_empty() && !segment.has(Segment::SYN) {
                    self.counts.stray += 1;
                    return;
                }
                let (client, server) = if is_opening {
                    (source, destination)
                } else if segment.has(Segment::SYN) {
                    (destination, source)
                } else {
                    parties(source, destination)
                };
                self.begin(Transport::Tcp, client, server, at, observer)
            }
        };
        self.touch(index);
        let state = self.state(index);
        if state.is_over {
            self.counts.stray += 1;
            return;
        }
        for announced in state.tcp(at, source, packet, segment, frame_bytes, observer) {
            self.announce(announced, observer);
        }
    }

    /// Decodes a data connection as it was announced: the flow if there is one already, else when it begins.
    fn announce(&mut self, announced: Announced, observer: &mut dyn FlowObserver) {
        let mut index = self.newest;
        for _ in 0..LOOK_BACK_MAX {
            let Some(slot) = self.slots.get_mut(index) else { break };
            if let Some(state) = &mut slot.state
                && announced.is_of(&state.flow)
                && state.conversation.is_silent()
            {
                return state.read_as(announced.reader, observer);
            }
            index = slot.older;
        }
        if self.announced.len() == ANNOUNCED_MAX {
            self.announced.pop_front();
        }
        self.announced.push_back(announced);
    }

    /// What was announced of a flow that begins.
    fn announced(&mut self, flow: &Flow) -> Option<ftp::DataReader> {
        while self.announced.front().is_some_and(|old| flow.begin.micros_since(old.at) > ANNOUNCED_US_MAX) {
            self.announced.pop_front();
        }
        let index = self.announced.iter().position(|announced| announced.is_of(flow))?;
        self.announced.remove(index).map(|announced| announced.reader)
    }

    fn udp(
        &mut self,
        at: PacketTime,
        packet: &Packet<'_>,
        datagram: &Datagram<'_>,
        frame_bytes: u64,
        observer: &mut dyn FlowObserver,
    ) {
        let source = SocketAddr::new(packet.source, datagram.source_port);
        let destination = SocketAddr::new(packet.destination, datagram.destination_port);
        let index = match self.find(Transport::Udp, source, destination) {
            Some(index) => index,
            None => match self.transfer(source, destination) {
                Some(index) => index,
                None => self.begin(Transport::Udp, source, destination, at, observer),
            },
        };
        self.touch(index);
        self.state(index).udp(at, source, datagram, frame_bytes, observer);
    }

    /// The TFTP request that a datagram between two unknown ports answers: the server answers from a port of its own
    /// (RFC 1350, 4), and that is the port of the flow from then on.
    fn transfer(&mut self, source: SocketAddr, destination: SocketAddr) -> Option<usize> {
        let index = self.find(Transport::Udp, destination, SocketAddr::new(source.ip(), 69))?;
        let state = self.state(index);
        let is_answer = state.flow.protocol == Some(Protocol::Tftp)
            && state.flow.client == destination
            && state.flow.sent_by(Side::Server).packets == 0;
        if !is_answer {
            return None;
        }
        let old = self.slots[index].key;
        let new = key(Transport::Udp, source, destination);
        self.index.remove(&old);
        self.index.insert(new, index);
        self.slots[index].key = new;
        Some(index)
    }

    fn find(&self, transport: Transport, one: SocketAddr, other: SocketAddr) -> Option<usize> {
        self.index.get(&key(transport, one, other)).copied()
    }

    /// The flow in a slot that is in use.
    fn state(&mut self, index: usize) -> &mut State {
        self.slots[index].state.as_mut().expect("the index names slots that are in use")
    }

    fn begin(
        &mut self,
        transport: Transport,
        client: SocketAddr,
        server: SocketAddr,
        at: PacketTime,
        observer: &mut dyn FlowObserver,
    ) -> usize {
        if self.index.len() >= self.limits.flows_max.max(1) {
            self.end(self.oldest, EndReason::Evicted, observer);
        }
        self.numbers += 1;
        let flow = Flow {
            number: self.numbers,
            transport,
            client,
            server,
            begin: at,
            last: at,
            sent: [Sent::default(); 2],
            protocol: None,
            syn: None,
            tcp: (transport == Transport::Tcp).then_some(TcpState::SynSent),
        };
        observer.begin(&flow);
        let reader = if transport == Transport::Tcp { self.announced(&flow) } else { None };
        let mut state = State {
            conversation: Conversation::new(transport, server.port()),
            streams: (transport == Transport::Tcp)
                .then(|| Box::new([(); 2].map(|()| Stream::new(self.limits.held_bytes_max)))),
            is_over: false,
            flow,
        };
        if let Some(reader) = reader {
            state.read_as(reader, observer);
        }
        let slot = Slot { key: key(transport, client, server), state: Some(Box::new(state)), newer: NONE, older: NONE };
        let index = match self.free.pop() {
            Some(index) => {
                self.slots[index] = slot;
                index
            }
            None => {
                self.slots.push(slot);
                self.slots.len() - 1
            }
        };
        self.index.insert(self.slots[index].key, index);
        self.link(index);
        index
    }

    /// Ends the flow of a slot and frees the slot.
    fn end(&mut self, index: usize, reason: EndReason, observer: &mut dyn FlowObserver) {
        self.unlink(index);
        self.index.remove(&self.slots[index].key);
        if let Some(mut state) = self.slots[index].state.take() {
            state.end(reason, observer);
        }
        self.free.push(index);
    }

    /// Ends flows that were silent for too long. They are in the order of silence, but wait for different times: those
    /// that wait longest hold up others a little, which costs memory only.
    fn end_silent(&mut self, observer: &mut dyn FlowObserver) {
        while self.oldest != NONE {
            let index = self.oldest;
            let state = self.slots[index].state.as_ref().expect("the list has slots that are in use");
            let idle_s = match state.flow.tcp {
                _ if state.is_over => self.limits.closed_s,
                Some(TcpState::SynSent | TcpState::SynReceived) => self.limits.tcp_opening_idle_s,
                Some(_) => self.limits.tcp_idle_s,
                None => self.limits.udp_idle_s,
            };
            if self.now.micros_since(state.flow.last) < idle_s.saturating_mul(1_000_000) {
                break;
            }
            self.end(index, EndReason::Timeout, observer);
        }
    }

    /// Makes a slot the newest.
    fn touch(&mut self, index: usize) {
        if self.newest != index {
            self.unlink(index);
            self.link(index);
        }
    }

    fn link(&mut self, index: usize) {
        (self.slots[index].newer, self.slots[index].older) = (NONE, self.newest);
        match self.newest {
            NONE => self.oldest = index,
            newest => self.slots[newest].newer = index,
        }
        self.newest = index;
    }

    fn unlink(&mut self, index: usize) {
        let (newer, older) = (self.slots[index].newer, self.slots[index].older);
        match newer {
            NONE => self.newest = older,
            newer => self.slots[newer].older = older,
        }
        match older {
            NONE => self.oldest = newer,
            older => self.slots[older].newer = newer,
        }
    }
}

impl State {
    /// Whether a SYN begins a new connection over the ends of this one (RFC 9293, 3.6.1).
    fn is_reopened_by(&self, source: SocketAddr, segment: &Segment<'_>) -> bool {
        let is_done = self.is_over || matches!(self.flow.tcp, Some(TcpState::Closed | TcpState::Reset));
        let is_repeated = self.flow.client == source
            && self.streams.as_ref().is_some_and(|streams| streams[0].begins_at(segment.sequence.wrapping_add(1)));
        is_done && !is_repeated
    }

    fn count(&mut self, at: PacketTime, source: SocketAddr, payload_bytes: usize, frame_bytes: u64) -> Side {
        let side = if source == self.flow.client { Side::Client } else { Side::Server };
        self.flow.last = self.flow.last.max(at);
        let sent = &mut self.flow.sent[side.index()];
        sent.packets += 1;
        sent.frame_bytes += frame_bytes;
        sent.payload_bytes += payload_bytes as u64;
        side
    }

    fn udp(
        &mut self,
        at: PacketTime,
        source: SocketAddr,
        datagram: &Datagram<'_>,
        frame_bytes: u64,
        observer: &mut dyn FlowObserver,
    ) {
        let side = self.count(at, source, datagram.payload.len(), frame_bytes);
        self.tell(at, observer, |conversation, tell| {
            if datagram.cut_bytes > 0 {
                let place = Place { side, offset: 0, bytes: u64::from(datagram.cut_bytes) };
                tell.fact(place, Fact::Oddity(Oddity { kind: OddityKind::Gap, what: "datagram_cut_in_capture" }));
            }
            conversation.data(side, datagram.payload, tell);
        });
    }

    fn tcp(
        &mut self,
        at: PacketTime,
        source: SocketAddr,
        packet: &Packet<'_>,
        segment: &Segment<'_>,
        frame_bytes: u64,
        observer: &mut dyn FlowObserver,
    ) -> Vec<Announced> {
        let side = self.count(at, source, segment.payload.len(), frame_bytes);
        self.flow.sent[side.index()].tcp_flags |= segment.flags;
        let mut streams = self.streams.take().expect("a TCP flow has streams");
        let (ours, theirs) = streams.split_at_mut(1);
        let (stream, other) = match side {
            Side::Client => (&mut ours[0], &mut theirs[0]),
            Side::Server => (&mut theirs[0], &mut ours[0]),
        };
        let is_syn = segment.has(Segment::SYN);
        if is_syn {
            stream.begin(segment.sequence.wrapping_add(1));
            if side == Side::Client && self.flow.syn.is_none() {
                self.flow.syn = Some(SynTraits::of(packet, segment));
            }
        }
        let first = if is_syn { segment.sequence.wrapping_add(1) } else { segment.sequence };
        let begins_in_the_middle = !stream.has_begun() && !segment.payload.is_empty();
        let mut is_over = false;
        let announced = self.tell(at, observer, |conversation, tell| {
            if begins_in_the_middle {
                conversation.gap(side, 0, tell);
            }
            if segment.has(Segment::ACK) {
                other.acknowledge(at, segment.acknowledgement, &mut |piece| {
                    pass(conversation, side.other(), &piece, tell);
                });
            }
            if !segment.payload.is_empty() || segment.cut_bytes > 0 || (segment.has(Segment::FIN) && stream.has_begun())
            {
                let was_over = stream.is_over();
                let is_last = segment.has(Segment::FIN);
                stream.segment(at, first, segment.payload, segment.cut_bytes, is_last, &mut |piece| {
                    pass(conversation, side, &piece, tell);
                });
                if stream.is_over() && !was_over {
                    conversation.finish(side, tell);
                }
            }
            is_over = segment.has(Segment::RST) || (stream.is_over() && other.is_over());
        });
        self.streams = Some(streams);
        self.advance(side, segment, is_over);
        if is_over {
            self.end(EndReason::Closed, observer);
        }
        announced
    }

    /// Has the flow read as a data connection.
    fn read_as(&mut self, reader: ftp::DataReader, observer: &mut dyn FlowObserver) {
        self.conversation = Conversation::of_announced(Protocol::Ftp, Box::new(reader), self.flow.transport);
        self.flow.protocol = Some(Protocol::Ftp);
        observer.protocol(&self.flow, Protocol::Ftp);
    }

    fn advance(&mut self, side: Side, segment: &Segment<'_>, is_over: bool) {
        let tcp = self.flow.tcp.as_mut().expect("a TCP flow has a state");
        let reached = if segment.has(Segment::RST) {
            TcpState::Reset
        } else if is_over {
            TcpState::Closed
        } else if segment.has(Segment::FIN) {
            TcpState::Closing
        } else if segment.has(Segment::SYN) {
            if side == Side::Server { TcpState::SynReceived } else { TcpState::SynSent }
        } else {
            TcpState::Established
        };
        *tcp = (*tcp).max(reached);
    }

    /// Ends the flow for its decoder and its observer, once.
    fn end(&mut self, reason: EndReason, observer: &mut dyn FlowObserver) {
        if std::mem::replace(&mut self.is_over, true) {
            return;
        }
        let streams = self.streams.take();
        self.tell(self.flow.last, observer, |conversation, tell| {
            for (side, mut stream) in [Side::Client, Side::Server].into_iter().zip(streams.into_iter().flat_map(|s| *s))
            {
                stream.flush(&mut |piece| pass(conversation, side, &piece, tell));
            }
            conversation.end(tell);
        });
        observer.end(&self.flow, reason);
        // What was remembered of the flow is its ends only.
        self.conversation = Conversation::new(self.flow.transport, 0);
    }

    /// Lets `act` use the conversation; what it tells is passed on with the flow and the time. Gives back the data
    /// connections that were announced.
    fn tell(
        &mut self,
        at: PacketTime,
        observer: &mut dyn FlowObserver,
        act: impl FnOnce(&mut Conversation, &mut dyn Observer),
    ) -> Vec<Announced> {
        let mut teller = Teller { flow: &self.flow, at, observer, announced: Vec::new() };
        act(&mut self.conversation, &mut teller);
        let announced = teller.announced;
        self.flow.protocol = self.conversation.protocol().or(self.flow.protocol);
        announced
    }
}

/// Tells facts with the flow and the time.
struct Teller<'a> {
    flow: &'a Flow,
    at: PacketTime,
    observer: &'a mut dyn FlowObserver,
    /// Data connections, in the order in which they were announced.
    announced: Vec<Announced>,
}

impl Observer for Teller<'_> {
    fn fact(&mut self, place: Place, fact: Fact<'_>) {
        if let Fact::Ftp(ftp::Event::DataChannel { address, passive, command, path, offset }) = &fact
            && let Some(direction) = ftp::Direction::of(command)
        {
            // The address that was said may be wrong, behind a translator or on purpose: the control connection's
            // own ends are not.
            let (opener, listener) =
                if *passive { (self.flow.client, self.flow.server) } else { (self.flow.server, self.flow.client) };
            self.announced.push(Announced {
                at: self.at,
                opener: opener.ip(),
                listener: SocketAddr::new(listener.ip(), address.port),
                reader: ftp::DataReader::new(path, direction, *passive, *offset),
            });
        }
        self.observer.fact(self.flow, self.at, place, fact);
    }

    fn protocol(&mut self, protocol: Protocol) {
        self.observer.protocol(self.flow, protocol);
    }

    fn payload(&mut self, side: Side, bytes: &[u8]) {
        self.observer.payload(self.flow, self.at, side, bytes);
    }

    fn lost(&mut self, side: Side, bytes: u64) {
        self.observer.lost(self.flow, side, bytes);
    }
}

impl Announced {
    fn is_of(&self, flow: &Flow) -> bool {
        flow.transport == Transport::Tcp && flow.server == self.listener && flow.client.ip() == self.opener
    }
}

fn pass(conversation: &mut Conversation, side: Side, piece: &Piece<'_>, tell: &mut dyn Observer) {
    let mut odd = |kind, what| tell.fact(Place { side, offset: 0, bytes: 0 }, Fact::Oddity(Oddity { kind, what }));
    match piece {
        Piece::Data(bytes) => conversation.data(side, bytes, tell),
        Piece::Gap(bytes) => conversation.gap(side, *bytes, tell),
        Piece::Conflict => odd(OddityKind::Tolerated, "overlap_with_other_bytes"),
        Piece::OutOfWindow => odd(OddityKind::Skipped, "segment_out_of_window"),
    }
}

/// Client and server of a connection whose beginning was not seen: servers have the lower ports.
fn parties(source: SocketAddr, destination: SocketAddr) -> (SocketAddr, SocketAddr) {
    if source.port() < destination.port() { (destination, source) } else { (source, destination) }
}

fn key(transport: Transport, one: SocketAddr, other: SocketAddr) -> Key {
    let bare = |address: SocketAddr| SocketAddr::new(unmapped(address.ip()), address.port());
    let (one, other) = (bare(one), bare(other));
    if one <= other { (transport, one, other) } else { (transport, other, one) }
}

/// An IPv4 address that is written as IPv6 is the same address.
fn unmapped(address: IpAddr) -> IpAddr {
    address.to_canonical()
}
