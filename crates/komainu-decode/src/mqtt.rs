//! MQTT 3.1, 3.1.1 and 5 (OASIS), over a stream.
//!
//! Both sides are read. A CONNECT is a login: it is told when CONNACK answers, as anonymous when it names nobody. The
//! payload of a PUBLISH is a file named by its topic, and streams through; its beginning stands in the event, too.
//!
//! State of a flow: for each side at most [`PACKET_BYTES_MAX`] and the beginning of a payload; and one CONNECT that is
//! not answered. 200 kB for a flow that wants to be large, next to nothing for an ordinary one.

mod packet;

pub use packet::{AckKind, Connect, Filter, Publish, Will};

use crate::{
    Decoder, Fact, FileEvent, FileNumber, FileVia, Login, Observer, OddityKind, Place, Secret, Side,
    oddities::Oddities,
    pending::{Pending, Step},
};

/// A packet that is read, without the payload of a PUBLISH, in bytes. It may have 256 MiB; a topic may have 64 KiB, and
/// real ones have a hundred bytes.
pub const PACKET_BYTES_MAX: usize = 64 * 1024;

/// The beginning of a payload that stands in [`Publish`], in bytes: enough for what devices say.
pub const MESSAGE_BYTES_MAX: usize = 1024;

/// The longest fixed header: the type and four bytes of length (MQTT 5, 2.1).
const HEADER_BYTES_MAX: usize = 5;

/// What only this protocol has.
#[derive(Debug, Clone, PartialEq)]
pub enum Event<'a> {
    /// A client wants to talk.
    Connect(Connect<'a>),
    /// A server answers it.
    ConnAck {
        /// Whether the server remembers the client.
        session_present: bool,
        /// The return code of MQTT 3, the reason code of MQTT 5; 0 is yes.
        code: u8,
    },
    /// A message.
    Publish(Publish<'a>),
    /// PUBACK, PUBREC, PUBREL or PUBCOMP.
    Ack {
        /// Which of them.
        kind: AckKind,
        /// Which message.
        packet_id: u16,
        /// The reason code of MQTT 5, where it was said.
        reason: Option<u8>,
    },
    /// A client wants messages.
    Subscribe {
        /// What pairs it with its acknowledgement.
        packet_id: u16,
        /// Which messages, at most 256 filters.
        filters: Vec<Filter<'a>>,
    },
    /// A server answers that.
    SubAck {
        /// Which request.
        packet_id: u16,
        /// For each filter the quality of service, or from 128 on why not.
        codes: &'a [u8],
    },
    /// A client wants some messages no more.
    Unsubscribe {
        /// What pairs it with its acknowledgement.
        packet_id: u16,
        /// Which messages, at most 256 filters.
        filters: Vec<&'a [u8]>,
    },
    /// A server answers that.
    UnsubAck {
        /// Which request.
        packet_id: u16,
        /// For each filter how it went; MQTT 3 has none.
        codes: &'a [u8],
    },
    /// A client says that it is there.
    PingReq,
    /// A server answers that.
    PingResp,
    /// A side ends the conversation.
    Disconnect {
        /// The reason code of MQTT 5, where it was said.
        reason: Option<u8>,
    },
    /// A step of an authentication of several steps (MQTT 5).
    Auth {
        /// The reason code, where it was said.
        reason: Option<u8>,
    },
}

/// Reads one flow.
#[derive(Debug)]
pub struct Reader {
    sides: [Talk; 2],
    flow: Flow,
}

/// What both sides share.
#[derive(Debug, Default)]
struct Flow {
    /// Whether MQTT 5 is spoken, as CONNECT said; where that was not seen, MQTT 3.1.1 is assumed.
    is_5: bool,
    /// The CONNECT that is not answered.
    login: Option<HeldLogin>,
    files: u32,
    oddities: Oddities,
}

#[derive(Debug)]
struct HeldLogin {
    place: Place,
    user: Vec<u8>,
    password: Option<Vec<u8>>,
}

/// What one side says.
#[derive(Debug)]
struct Talk {
    side: Side,
    pending: Pending,
    phase: Phase,
}

#[derive(Debug, Clone, Copy)]
enum Phase {
    Packet,
    /// So many bytes of a payload.
    Payload {
        left: u32,
        file: FileNumber,
        at: u64,
        is_complete: bool,
    },
    /// So many bytes of a packet that is of no interest.
    Skipping(u32),
    /// Where a packet begins is not known.
    Lost,
}

/// What is known of a packet from its fixed header.
#[derive(Debug, Clone, Copy)]
struct Header {
    kind: u8,
    flags: u8,
    header_bytes: usize,
    body_bytes: u32,
}

impl Default for Reader {
    fn default() -> Self {
        let talk = |side| Talk {
            side,
            pending: Pending::new(side, HEADER_BYTES_MAX + PACKET_BYTES_MAX + MESSAGE_BYTES_MAX),
            phase: Phase::Packet,
        };
        Self { sides: [Side::Client, Side::Server].map(talk), flow: Flow::default() }
    }
}

impl Decoder for Reader {
    fn data(&mut self, side: Side, bytes: &[u8], observer: &mut dyn Observer) {
        self.sides[side.index()].data(bytes, &mut self.flow, observer);
    }

    fn gap(&mut self, side: Side, bytes: u64, observer: &mut dyn Observer) {
        self.sides[side.index()].gap(bytes, &mut self.flow, observer);
    }

    fn finish(&mut self, side: Side, observer: &mut dyn Observer) {
        self.sides[side.index()].finish(&mut self.flow, observer);
    }

    fn end(&mut self, observer: &mut dyn Observer) {
        for talk in &mut self.sides {
            talk.finish(&mut self.flow, observer);
        }
        self.flow.tell_login(None, observer);
    }
}

impl Flow {
    fn tell_login(&mut self, accepted: Option<bool>, observer: &mut dyn Observer) {
        if let Some(held) = self.login.take() {
            let secret = held.password.as_deref().map_or(Secret::None, Secret::Password);
            observer.fact(held.place, Fact::Login(Login { user: &held.user, secret, accepted }));
        }
    }
}

impl Talk {
    fn data(&mut self, bytes: &[u8], flow: &mut Flow, observer: &mut dyn Observer) {
        if matches!(self.phase, Phase::Lost) {
            self.pending.ignore(bytes);
            return;
        }
        let (side, phase) = (self.side, &mut self.phase);
        let fed = self.pending.feed(bytes, |bytes, offset| {
            Teller { side, offset, is_last: false, flow: &mut *flow, observer: &mut *observer }.step(bytes, phase)
        });
        fed.expect("a packet beyond the bound is skipped before it is kept");
    }

    fn finish(&mut self, flow: &mut Flow, observer: &mut dyn Observer) {
        self.flush(flow, observer);
        let place = self.pending.rest_place();
        if let Phase::Payload { file, .. } = self.phase {
            observer.fact(place, Fact::File(FileEvent::End { file, is_complete: false }));
        } else if place.bytes > 0 {
            flow.oddities.tell(place, OddityKind::Skipped, "packet_cut", observer);
        }
        self.pending.skip_gap(0);
        self.phase = Phase::Lost;
    }

    fn gap(&mut self, bytes: u64, flow: &mut Flow, observer: &mut dyn Observer) {
        self.flush(flow, observer);
        let rest = self.pending.rest();
        // Of a packet that has begun it is known where the next one begins.
        if let (Phase::Packet, Ok(Some(header))) = (self.phase, Header::parse(rest)) {
            let had = rest.len() - header.header_bytes;
            let left = usize::try_from(header.body_bytes).unwrap_or(usize::MAX).saturating_sub(had);
            self.phase = Phase::Skipping(u32::try_from(left).unwrap_or(u32::MAX));
        }
        self.pending.skip_gap(bytes);
        let place = self.pending.rest_place();
        let left_of = |left: u32| u32::try_from(u64::from(left).checked_sub(bytes)?).ok();
        self.phase = match self.phase {
            Phase::Lost => return,
            Phase::Packet => Phase::Lost,
            Phase::Skipping(left) => left_of(left).map_or(Phase::Lost, skipping),
            Phase::Payload { left, file, at, .. } => match left_of(left) {
                Some(left @ 1..) => Phase::Payload { left, file, at: at + bytes, is_complete: false },
                end => {
                    observer.fact(place, Fact::File(FileEvent::End { file, is_complete: false }));
                    end.map_or(Phase::Lost, skipping)
                }
            },
        };
        flow.oddities.tell(place, OddityKind::Gap, "bytes_lost", observer);
    }

    /// Tells what is known of a PUBLISH of which nothing more comes.
    fn flush(&mut self, flow: &mut Flow, observer: &mut dyn Observer) {
        let (side, phase) = (self.side, &mut self.phase);
        let rest = self.pending.rest().to_vec();
        if !matches!(phase, Phase::Packet) || rest.is_empty() {
            return;
        }
        let offset = self.pending.rest_place().offset;
        let teller = Teller { side, offset, is_last: true, flow, observer };
        if let Step::Used(_) = teller.step(&rest, phase) {
            self.pending.skip_gap(0);
        }
    }
}

fn skipping(left: u32) -> Phase {
    if left == 0 { Phase::Packet } else { Phase::Skipping(left) }
}

/// The length of a packet has more than four bytes.
struct BadLength;

impl Header {
    /// Reads the type and the length (MQTT 5, 2.1.4). None when there is more to come.
    fn parse(bytes: &[u8]) -> Result<Option<Self>, BadLength> {
        let Some((first, rest)) = bytes.split_first() else { return Ok(None) };
        let mut body_bytes = 0;
        for (index, byte) in rest.iter().take(4).enumerate() {
            body_bytes |= u32::from(byte & 0x7F) << (7 * index);
            if byte & 0x80 == 0 {
                return Ok(Some(Self { kind: first >> 4, flags: first & 0xF, header_bytes: index + 2, body_bytes }));
            }
        }
        if rest.len() >= 4 { Err(BadLength) } else { Ok(None) }
    }
}

/// What comes next, and whom to tell.
struct Teller<'t> {
    side: Side,
    offset: u64,
    /// Whether nothing more comes.
    is_last: bool,
    flow: &'t mut Flow,
    observer: &'t mut dyn Observer,
}

impl Teller<'_> {
    fn step(mut self, bytes: &[u8], phase: &mut Phase) -> Step {
        match *phase {
            Phase::Packet => self.packet(bytes, phase),
            Phase::Payload { left, file, at, is_complete } => {
                let used = bytes.len().min(usize::try_from(left).unwrap_or(usize::MAX));
                let left = left - u32::try_from(used).expect("at most what is left, which is a u32");
                *phase = self.part(&bytes[..used], 0, left, file, at, is_complete);
                Step::Used(used)
            }
            Phase::Skipping(left) => {
                let used = bytes.len().min(usize::try_from(left).unwrap_or(usize::MAX));
                *phase = skipping(left - u32::try_from(used).expect("at most what is left, which is a u32"));
                Step::Used(used)
            }
            Phase::Lost => Step::Used(bytes.len()),
        }
    }

    fn packet(&mut self, bytes: &[u8], phase: &mut Phase) -> Step {
        const PUBLISH: u8 = 3;
        let header = match Header::parse(bytes) {
            Ok(Some(header)) => header,
            Ok(None) => return Step::More,
            Err(BadLength) => {
                *phase = Phase::Lost;
                self.odd(HEADER_BYTES_MAX, OddityKind::GaveUp, "malformed_length");
                return Step::Used(bytes.len());
            }
        };
        if header.kind == 0 {
            *phase = Phase::Lost;
            self.odd(1, OddityKind::GaveUp, "no_packet");
            return Step::Used(bytes.len());
        }
        let body = &bytes[header.header_bytes..];
        let body_bytes = usize::try_from(header.body_bytes).unwrap_or(usize::MAX);
        let body = &body[..body.len().min(body_bytes)];
        if header.kind == PUBLISH {
            return self.publish(header, body, phase);
        }
        let total = header.header_bytes + body_bytes;
        if body_bytes > PACKET_BYTES_MAX {
            self.odd(header.header_bytes, OddityKind::Bound, "packet_too_long");
            *phase = skipping(header.body_bytes);
            return Step::Used(header.header_bytes);
        }
        if body.len() < body_bytes {
            return Step::More;
        }
        let place = self.place(0, total);
        match packet::parse(header.kind, body, self.flow.is_5) {
            Some(mut event) => {
                if packet::leave_out_filters(&mut event) {
                    self.odd(header.header_bytes, OddityKind::Bound, "too_many_filters");
                }
                let answer = self.before(&event, place);
                self.observer.fact(place, Fact::Mqtt(event));
                if let Some(accepted) = answer {
                    self.flow.tell_login(Some(accepted), self.observer);
                }
            }
            None => self.odd(total, OddityKind::Skipped, "malformed_packet"),
        }
        Step::Used(total)
    }

    /// What an event says of a login: keeps one, or gives back whether the one that is kept was accepted.
    fn before(&mut self, event: &Event<'_>, place: Place) -> Option<bool> {
        match (event, self.side) {
            (Event::Connect(connect), Side::Client) => {
                self.flow.tell_login(None, self.observer);
                self.flow.is_5 = connect.level == 5;
                self.flow.login = Some(HeldLogin {
                    place,
                    user: connect.user.unwrap_or_default().to_vec(),
                    password: connect.password.map(<[u8]>::to_vec),
                });
                None
            }
            (Event::ConnAck { code, .. }, Side::Server) => Some(*code == 0),
            _ => None,
        }
    }

    /// A PUBLISH: its head and the beginning of its payload in one, then the payload as it comes.
    fn publish(&mut self, header: Header, body: &[u8], phase: &mut Phase) -> Step {
        let body_bytes = usize::try_from(header.body_bytes).unwrap_or(usize::MAX);
        let window = &body[..body.len().min(PACKET_BYTES_MAX)];
        let Some((mut publish, head_bytes)) = Publish::parse(header.flags, window, self.flow.is_5) else {
            if window.len() == body_bytes {
                self.odd(header.header_bytes + body_bytes, OddityKind::Skipped, "malformed_packet");
                return Step::Used(header.header_bytes + body_bytes);
            }
            if window.len() < PACKET_BYTES_MAX {
                return Step::More;
            }
            self.odd(header.header_bytes, OddityKind::Bound, "packet_too_long");
            *phase = skipping(header.body_bytes);
            return Step::Used(header.header_bytes);
        };
        let payload = &body[head_bytes..];
        let payload_bytes = body_bytes - head_bytes;
        let beginning = payload_bytes.min(MESSAGE_BYTES_MAX);
        if payload.len() < beginning && !self.is_last {
            return Step::More;
        }
        publish.payload_bytes = u32::try_from(payload_bytes).expect("no more than the body, which is a u32");
        publish.message = &payload[..payload.len().min(beginning)];
        let topic = publish.topic;
        let shown = header.header_bytes + head_bytes + publish.message.len();
        self.observer.fact(self.place(0, shown), Fact::Mqtt(Event::Publish(publish)));
        if payload_bytes > 0 {
            let file = FileNumber(self.flow.files);
            self.flow.files = self.flow.files.wrapping_add(1);
            // The topic stands behind its length in two bytes.
            let place = self.place(header.header_bytes + 2, topic.len());
            let (via, bytes_expected) = (FileVia::MqttPublish, Some(payload_bytes as u64));
            let begin = FileEvent::Begin { file, name: topic, via, bytes_expected };
            self.observer.fact(place, Fact::File(begin));
            let left = u32::try_from(payload_bytes - payload.len()).expect("no more than the body, which is a u32");
            *phase = self.part(payload, header.header_bytes + head_bytes, left, file, 0, true);
        }
        Step::Used(header.header_bytes + head_bytes + payload.len())
    }

    /// Tells a part of a payload, which begins `from` bytes behind here, and its end when nothing is left.
    fn part(&mut self, bytes: &[u8], from: usize, left: u32, file: FileNumber, at: u64, is_complete: bool) -> Phase {
        if !bytes.is_empty() {
            let part = FileEvent::Part { file, offset: at, bytes };
            self.observer.fact(self.place(from, bytes.len()), Fact::File(part));
        }
        if left == 0 {
            self.observer.fact(self.place(from + bytes.len(), 0), Fact::File(FileEvent::End { file, is_complete }));
            return Phase::Packet;
        }
        Phase::Payload { left, file, at: at + bytes.len() as u64, is_complete }
    }

    fn odd(&mut self, bytes: usize, kind: OddityKind, what: &'static str) {
        self.flow.oddities.tell(self.place(0, bytes), kind, what, self.observer);
    }

    fn place(&self, from: usize, bytes: usize) -> Place {
        Place { side: self.side, offset: self.offset + from as u64, bytes: bytes as u64 }
    }
}
