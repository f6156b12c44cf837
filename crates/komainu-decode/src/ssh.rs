//! Secure Shell, up to where it is encrypted (RFC 4253).
//!
//! What is told: the identification strings, the algorithms that both sides offer, and HASSH of each, which tells the
//! programs of attackers apart whatever name they give themselves. Behind NEWKEYS nothing can be read, so there are no
//! logins and no commands here; a persona that ends the encryption tells them itself.
//!
//! State of a flow: for each side at most one packet of [`PACKET_BYTES_MAX`] and the fingerprint made of one, so
//! 140 kB for a flow that wants to be large and about 3 kB for an ordinary one, until both have offered their
//! algorithms.

mod hassh;

pub use hassh::Hassh;

use crate::{
    Decoder, Fact, Observer, OddityKind, Place, Side,
    fields::Fields,
    oddities::Oddities,
    pending::{Pending, Step},
};

/// A packet before encryption, in bytes: what each implementation must take (RFC 4253, 6.1). None offers more.
pub const PACKET_BYTES_MAX: usize = 35_000;

/// A line before the encryption, in bytes. RFC 4253, 4.2 allows 255 for the identification; broken scanners send more.
pub const LINE_BYTES_MAX: usize = 1024;

/// The lines that a server may say before its identification (RFC 4253, 4.2, sets no limit; OpenSSH's client reads
/// 1,024).
const LINES_BEFORE_MAX: u32 = 1024;

const KEXINIT: u8 = 20;
const NEWKEYS: u8 = 21;

/// What only this protocol has.
#[derive(Debug, Clone, PartialEq)]
pub enum Event<'a> {
    /// A side said which version and which program it is.
    Identification(Identification<'a>),
    /// A side offered its algorithms.
    KeyExchange(KeyExchange<'a>),
    /// What is known of both sides, once each has offered its algorithms, or the flow is over.
    Handshake {
        /// The client.
        client: Option<Party<'a>>,
        /// The server.
        server: Option<Party<'a>>,
    },
}

/// `SSH-protoversion-softwareversion SP comments` (RFC 4253, 4.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Identification<'a> {
    /// The whole line, without its end.
    pub line: &'a [u8],
    /// Such as `2.0`.
    pub protocol_version: &'a [u8],
    /// Such as `OpenSSH_9.2p1`.
    pub software: &'a [u8],
    /// What stands behind the first space; empty when there is none.
    pub comments: &'a [u8],
}

/// The algorithms of a side: name-lists as they were sent, separated by commas (RFC 4253, 7.1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyExchange<'a> {
    /// `kex_algorithms`.
    pub key_exchange: &'a [u8],
    /// `server_host_key_algorithms`.
    pub host_keys: &'a [u8],
    /// `encryption_algorithms`, from the client and from the server.
    pub encryption: [&'a [u8]; 2],
    /// `mac_algorithms`, from the client and from the server.
    pub mac: [&'a [u8]; 2],
    /// `compression_algorithms`, from the client and from the server.
    pub compression: [&'a [u8]; 2],
    /// `languages`, from the client and from the server.
    pub languages: [&'a [u8]; 2],
    /// Whether a guess of the next packet follows.
    pub first_packet_follows: bool,
    /// The fingerprint of this side.
    pub hassh: Hassh,
}

/// What one side showed of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Party<'a> {
    /// Its identification.
    pub identification: Option<Identification<'a>>,
    /// The fingerprint of its algorithms.
    pub hassh: Option<&'a Hassh>,
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
    known: [Known; 2],
    is_handshake_told: bool,
    oddities: Oddities,
}

/// What one side says.
#[derive(Debug)]
struct Talk {
    side: Side,
    pending: Pending,
    phase: Phase,
    has_offered: bool,
}

/// What is kept of a side until the handshake is told.
#[derive(Debug, Default)]
struct Known {
    /// Where the last of it was said.
    place: Option<Place>,
    identification: Option<Vec<u8>>,
    hassh: Option<Hassh>,
}

#[derive(Debug, Clone, Copy)]
enum Phase {
    /// The identification has not come; so many other lines have.
    Lines(u32),
    /// Packets in the clear.
    Packets,
    /// So many bytes of a packet that is of no interest; none follow it when it is the last one in the clear.
    Skipping { left: u32, is_last: bool },
    /// Nothing can be read any more.
    Opaque,
}

impl Default for Reader {
    fn default() -> Self {
        Self { sides: [Side::Client, Side::Server].map(Talk::new), flow: Flow::default() }
    }
}

impl Decoder for Reader {
    fn data(&mut self, side: Side, bytes: &[u8], observer: &mut dyn Observer) {
        self.sides[side.index()].data(bytes, &mut self.flow, observer);
    }

    fn gap(&mut self, side: Side, bytes: u64, observer: &mut dyn Observer) {
        let talk = &mut self.sides[side.index()];
        talk.pending.skip_gap(bytes);
        // Packets have no marks; where the next one begins cannot be found.
        if !matches!(talk.phase, Phase::Opaque) {
            talk.phase = Phase::Opaque;
            self.flow.oddities.tell(talk.pending.rest_place(), OddityKind::Gap, "handshake_lost", observer);
        }
    }

    fn finish(&mut self, _: Side, _: &mut dyn Observer) {}

    fn end(&mut self, observer: &mut dyn Observer) {
        self.flow.tell_handshake(observer);
    }
}

impl Flow {
    fn tell_handshake(&mut self, observer: &mut dyn Observer) {
        if std::mem::replace(&mut self.is_handshake_told, true) {
            return;
        }
        let [client, server] = std::mem::take(&mut self.known);
        // The place of one side has to do: that of the server, who is seldom alone.
        if let Some(place) = server.place.or(client.place) {
            let (client, server) = (client.party(), server.party());
            observer.fact(place, Fact::Ssh(Event::Handshake { client, server }));
        }
    }
}

impl Known {
    fn party(&self) -> Option<Party<'_>> {
        let identification = self.identification.as_deref().and_then(Identification::parse);
        let hassh = self.hassh.as_ref();
        (identification.is_some() || hassh.is_some()).then_some(Party { identification, hassh })
    }
}

impl Talk {
    fn new(side: Side) -> Self {
        Self { side, pending: Pending::new(side, PACKET_BYTES_MAX + 4), phase: Phase::Lines(0), has_offered: false }
    }

    fn data(&mut self, bytes: &[u8], flow: &mut Flow, observer: &mut dyn Observer) {
        if matches!(self.phase, Phase::Opaque) {
            self.pending.ignore(bytes);
            return;
        }
        let (side, phase, has_offered) = (self.side, &mut self.phase, &mut self.has_offered);
        let fed = self.pending.feed(bytes, |bytes, offset| {
            let mut unit = Unit { side, offset, flow: &mut *flow, observer: &mut *observer };
            match *phase {
                Phase::Lines(before) => unit.line(bytes, before, phase),
                Phase::Packets => unit.packet(bytes, phase, has_offered),
                Phase::Skipping { left, is_last } => {
                    let used = bytes.len().min(usize::try_from(left).unwrap_or(usize::MAX));
                    let left = left - u32::try_from(used).expect("at most what is left, which is a u32");
                    *phase = match (left, is_last) {
                        (0, true) => Phase::Opaque,
                        (0, false) => Phase::Packets,
                        _ => Phase::Skipping { left, is_last },
                    };
                    Step::Used(used)
                }
                Phase::Opaque => Step::Used(bytes.len()),
            }
        });
        fed.expect("lines and packets beyond the bound are given up before they are kept");
    }
}

/// The line or packet that a side says next, and whom to tell.
struct Unit<'u> {
    side: Side,
    offset: u64,
    flow: &'u mut Flow,
    observer: &'u mut dyn Observer,
}

impl Unit<'_> {
    fn line(&mut self, bytes: &[u8], before: u32, phase: &mut Phase) -> Step {
        let window = &bytes[..bytes.len().min(LINE_BYTES_MAX)];
        let Some(end) = window.iter().position(|byte| *byte == b'\n') else {
            if window.len() < LINE_BYTES_MAX {
                return Step::More;
            }
            return self.give_up(bytes, LINE_BYTES_MAX, "line_too_long", phase);
        };
        let line = window[..end].strip_suffix(b"\r").unwrap_or(&window[..end]);
        if let Some(identification) = Identification::parse(line) {
            let place = self.place(line.len());
            self.observer.fact(place, Fact::Ssh(Event::Identification(identification)));
            let known = &mut self.flow.known[self.side.index()];
            known.place = Some(place);
            known.identification = Some(line.to_vec());
            // SSH 1 has other packets; 1.99 says that 2.0 is spoken, too (RFC 4253, 5.1).
            let is_2 = matches!(identification.protocol_version, b"2.0" | b"1.99");
            *phase = if is_2 { Phase::Packets } else { Phase::Opaque };
        } else if self.side == Side::Client {
            // Only a server may say other lines first (RFC 4253, 4.2).
            return self.give_up(bytes, end + 1, "no_identification", phase);
        } else if before == LINES_BEFORE_MAX {
            return self.give_up(bytes, end + 1, "too_many_lines", phase);
        } else {
            *phase = Phase::Lines(before + 1);
        }
        Step::Used(end + 1)
    }

    /// `packet_length`, `padding_length`, payload, padding; there is no MAC yet (RFC 4253, 6).
    fn packet(&mut self, bytes: &[u8], phase: &mut Phase, has_offered: &mut bool) -> Step {
        let [a, b, c, d, padding, kind, ..] = bytes else { return Step::More };
        let length = u32::from_be_bytes([*a, *b, *c, *d]);
        let Some(total) = usize::try_from(length).ok().filter(|length| *length <= PACKET_BYTES_MAX).map(|it| it + 4)
        else {
            return self.give_up(bytes, 6, "packet_too_long", phase);
        };
        let Some(payload_bytes) = (total - 4).checked_sub(1 + usize::from(*padding)).filter(|bytes| *bytes > 0) else {
            return self.give_up(bytes, 6, "packet_too_short", phase);
        };
        if *kind != KEXINIT || *has_offered {
            if *kind == KEXINIT {
                self.tell(6, OddityKind::Skipped, "second_kexinit");
            }
            // The six bytes are used here; a packet of at least one byte of payload is no shorter.
            *phase = match (length - 2, *kind == NEWKEYS) {
                (0, true) => Phase::Opaque,
                (0, false) => Phase::Packets,
                (left, is_last) => Phase::Skipping { left, is_last },
            };
            return Step::Used(6);
        }
        if bytes.len() < total {
            return Step::More;
        }
        match KeyExchange::parse(&bytes[5..5 + payload_bytes], self.side) {
            Some(offer) => {
                let place = self.place(total);
                *has_offered = true;
                let known = &mut self.flow.known[self.side.index()];
                known.place = Some(place);
                known.hassh = Some(offer.hassh.clone());
                self.observer.fact(place, Fact::Ssh(Event::KeyExchange(offer)));
                if self.flow.known.iter().all(|known| known.hassh.is_some()) {
                    self.flow.tell_handshake(self.observer);
                }
            }
            None => self.tell(total, OddityKind::Skipped, "malformed_kexinit"),
        }
        Step::Used(total)
    }

    fn give_up(&mut self, bytes: &[u8], shown: usize, what: &'static str, phase: &mut Phase) -> Step {
        *phase = Phase::Opaque;
        self.tell(shown, OddityKind::GaveUp, what);
        Step::Used(bytes.len())
    }

    fn tell(&mut self, shown: usize, kind: OddityKind, what: &'static str) {
        self.flow.oddities.tell(self.place(shown), kind, what, self.observer);
    }

    fn place(&self, bytes: usize) -> Place {
        Place { side: self.side, offset: self.offset, bytes: bytes as u64 }
    }
}

impl<'a> Identification<'a> {
    fn parse(line: &'a [u8]) -> Option<Self> {
        let rest = line.strip_prefix(b"SSH-")?;
        let dash = rest.iter().position(|byte| *byte == b'-')?;
        let (protocol_version, software) = (&rest[..dash], &rest[dash + 1..]);
        let space = software.iter().position(|byte| *byte == b' ');
        let comments = space.map_or(&[][..], |space| &software[space + 1..]);
        let software = &software[..space.unwrap_or(software.len())];
        Some(Self { line, protocol_version, software, comments })
    }
}

impl<'a> KeyExchange<'a> {
    /// Reads SSH_MSG_KEXINIT (RFC 4253, 7.1): its number, a cookie, ten name-lists, a flag, a reserved number.
    fn parse(payload: &'a [u8], side: Side) -> Option<Self> {
        let mut fields = Fields::new(payload);
        fields.array::<17>()?;
        let mut lists = [&[][..]; 10];
        for list in &mut lists {
            *list = fields.string32()?;
        }
        let first_packet_follows = fields.u8()? != 0;
        let [key_exchange, host_keys, enc_c, enc_s, mac_c, mac_s, comp_c, comp_s, lang_c, lang_s] = lists;
        let hassh = match side {
            Side::Client => Hassh::of([key_exchange, enc_c, mac_c, comp_c]),
            Side::Server => Hassh::of([key_exchange, enc_s, mac_s, comp_s]),
        };
        Some(Self {
            key_exchange,
            host_keys,
            encryption: [enc_c, enc_s],
            mac: [mac_c, mac_s],
            compression: [comp_c, comp_s],
            languages: [lang_c, lang_s],
            first_packet_follows,
            hassh,
        })
    }
}
