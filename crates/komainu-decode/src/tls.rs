//! Transport Layer Security, up to where it is encrypted (RFC 8446, RFC 5246).
//!
//! What is told: both hellos with the fingerprints that others use (JA3, JA4), the certificate where it is sent in the
//! clear (up to TLS 1.2), alerts. Handshake messages may be cut into records, and records into packets, anywhere: a
//! hello with post-quantum key shares fills several packets.
//!
//! State of a flow: for each side at most one handshake message of [`MESSAGE_BYTES_MAX`], and only if it comes in
//! pieces; and, until the handshake is told, the hellos with their fingerprints, and the names of the certificate:
//! 700 kB for a flow that wants to be large, 4 kB for an ordinary one.

mod certificate;
mod fingerprint;
mod hello;

pub use certificate::Certificate;
pub use hello::{ClientHello, ServerHello};

use crate::{
    Decoder, Fact, Observer, OddityKind, Place, Side,
    fields::Fields,
    oddities::Oddities,
    pending::{Pending, Step},
};

/// A handshake message that is read, in bytes. A message may have 16 MiB (RFC 8446, 4); hellos and chains of
/// certificates have a few thousand bytes.
pub const MESSAGE_BYTES_MAX: usize = 64 * 1024;

/// A record behind its header, in bytes: what TLS 1.2 allows for an encrypted one (RFC 5246, 6.2.3).
const RECORD_BYTES_MAX: u16 = (1 << 14) + 2048;

/// The header of a record: type, version, length.
const RECORD_HEADER_BYTES: usize = 5;

/// The header of a handshake message: type, length.
const MESSAGE_HEADER_BYTES: usize = 4;

/// What only this protocol has.
#[derive(Debug, Clone, PartialEq)]
pub enum Event<'a> {
    /// A client offered versions, cipher suites and extensions.
    ClientHello(&'a ClientHello),
    /// A server chose among them, or asked for another hello.
    ServerHello(&'a ServerHello),
    /// A side showed its certificate: the first of its chain.
    Certificate(&'a Certificate),
    /// A side said, not encrypted, that something is wrong (RFC 8446, 6).
    Alert {
        /// 1: warning, 2: fatal.
        level: u8,
        /// What is wrong, such as 40: `handshake_failure`.
        description: u8,
    },
    /// What is known of the handshake, once the server has said all it says in the clear, or the flow is over.
    Handshake {
        /// The client's last hello.
        client: Option<&'a ClientHello>,
        /// The server's last hello.
        server: Option<&'a ServerHello>,
        /// The server's certificate.
        certificate: Option<&'a Certificate>,
    },
}

/// Reads one flow.
#[derive(Debug)]
pub struct Reader {
    sides: [Records; 2],
    known: Known,
    oddities: Oddities,
}

/// What is kept until the handshake is told.
#[derive(Debug, Default)]
struct Known {
    place: Option<Place>,
    client: Option<Box<ClientHello>>,
    server: Option<Box<ServerHello>>,
    certificate: Option<Box<Certificate>>,
    /// Whether the server asked for another hello: then ChangeCipherSpec says nothing (RFC 8446, appendix D.4).
    is_retry: bool,
    is_told: bool,
}

/// The records of one side.
#[derive(Debug)]
struct Records {
    side: Side,
    pending: Pending,
    phase: Phase,
    messages: Messages,
}

#[derive(Debug, Clone, Copy)]
enum Phase {
    Header,
    /// So many bytes of the content of a handshake record.
    Handshake(u16),
    /// So many bytes of a record that is of no interest.
    Skipping(u16),
    /// An alert.
    Alert,
    /// Nothing can be read any more.
    Opaque,
}

/// The handshake messages of one side.
#[derive(Debug, Default)]
struct Messages {
    /// The beginning of a message that comes in pieces.
    begun: Vec<u8>,
    /// Where that is.
    begun_at: u64,
    /// So many bytes of a message that is of no interest.
    skip: u32,
}

impl Default for Reader {
    fn default() -> Self {
        Self {
            sides: [Side::Client, Side::Server].map(Records::new),
            known: Known::default(),
            oddities: Oddities::default(),
        }
    }
}

impl Decoder for Reader {
    fn data(&mut self, side: Side, bytes: &[u8], observer: &mut dyn Observer) {
        self.sides[side.index()].data(bytes, &mut self.known, &mut self.oddities, observer);
    }

    fn gap(&mut self, side: Side, bytes: u64, observer: &mut dyn Observer) {
        let records = &mut self.sides[side.index()];
        records.pending.skip_gap(bytes);
        if !matches!(records.phase, Phase::Opaque) {
            records.go_opaque();
            self.oddities.tell(records.pending.rest_place(), OddityKind::Gap, "handshake_lost", observer);
        }
    }

    fn finish(&mut self, _: Side, _: &mut dyn Observer) {}

    fn end(&mut self, observer: &mut dyn Observer) {
        self.known.tell(observer);
    }
}

impl Known {
    fn tell(&mut self, observer: &mut dyn Observer) {
        if self.is_told {
            return;
        }
        if let Some(place) = self.place {
            let (client, server, certificate) =
                (self.client.as_deref(), self.server.as_deref(), self.certificate.as_deref());
            observer.fact(place, Fact::Tls(Event::Handshake { client, server, certificate }));
        }
        *self = Self { is_told: true, is_retry: self.is_retry, ..Self::default() };
    }
}

impl Records {
    fn new(side: Side) -> Self {
        Self {
            side,
            pending: Pending::new(side, RECORD_HEADER_BYTES),
            phase: Phase::Header,
            messages: Messages::default(),
        }
    }

    fn go_opaque(&mut self) {
        self.phase = Phase::Opaque;
        self.messages = Messages::default();
    }

    fn data(&mut self, bytes: &[u8], known: &mut Known, oddities: &mut Oddities, observer: &mut dyn Observer) {
        if matches!(self.phase, Phase::Opaque) {
            self.pending.ignore(bytes);
            return;
        }
        let (side, phase, messages) = (self.side, &mut self.phase, &mut self.messages);
        let fed = self.pending.feed(bytes, |bytes, offset| {
            let mut teller = Teller { side, known: &mut *known, oddities: &mut *oddities, observer: &mut *observer };
            match *phase {
                Phase::Header => {
                    let [kind, 3, _, high, low, ..] = bytes else {
                        if bytes.len() < RECORD_HEADER_BYTES && bytes.get(1).is_none_or(|major| *major == 3) {
                            return Step::More;
                        }
                        *phase = Phase::Opaque;
                        teller.odd(offset, bytes.len().min(2), OddityKind::GaveUp, "no_record");
                        return Step::Used(bytes.len());
                    };
                    *phase = teller.record(offset, *kind, u16::from_be_bytes([*high, *low]));
                    Step::Used(RECORD_HEADER_BYTES)
                }
                Phase::Handshake(left) => {
                    let used = bytes.len().min(usize::from(left));
                    *phase = after(left, used, Phase::Handshake);
                    if messages.data(&bytes[..used], offset, &mut teller).is_err() {
                        *phase = Phase::Opaque;
                    }
                    Step::Used(used)
                }
                Phase::Skipping(left) => {
                    let used = bytes.len().min(usize::from(left));
                    *phase = after(left, used, Phase::Skipping);
                    Step::Used(used)
                }
                Phase::Alert => {
                    let [level, description, ..] = bytes else { return Step::More };
                    *phase = Phase::Header;
                    let place = Place { side, offset, bytes: 2 };
                    let alert = Event::Alert { level: *level, description: *description };
                    teller.observer.fact(place, Fact::Tls(alert));
                    Step::Used(2)
                }
                Phase::Opaque => Step::Used(bytes.len()),
            }
        });
        fed.expect("no more than a header is kept");
        if matches!(self.phase, Phase::Opaque) {
            self.go_opaque();
        }
    }
}

/// What follows when `used` of `left` bytes of a record are done with.
fn after(left: u16, used: usize, same: fn(u16) -> Phase) -> Phase {
    match u16::try_from(usize::from(left) - used).expect("at most what was left, which is a u16") {
        0 => Phase::Header,
        left => same(left),
    }
}

/// Whom to tell what a side says.
struct Teller<'t> {
    side: Side,
    known: &'t mut Known,
    oddities: &'t mut Oddities,
    observer: &'t mut dyn Observer,
}

impl Teller<'_> {
    fn odd(&mut self, offset: u64, bytes: usize, kind: OddityKind, what: &'static str) {
        let place = Place { side: self.side, offset, bytes: bytes as u64 };
        self.oddities.tell(place, kind, what, self.observer);
    }

    /// What follows the header of a record.
    fn record(&mut self, offset: u64, kind: u8, length: u16) -> Phase {
        const CHANGE_CIPHER_SPEC: u8 = 20;
        const ALERT: u8 = 21;
        const HANDSHAKE: u8 = 22;
        const APPLICATION_DATA: u8 = 23;
        if length > RECORD_BYTES_MAX {
            self.odd(offset, RECORD_HEADER_BYTES, OddityKind::GaveUp, "record_too_long");
            return Phase::Opaque;
        }
        match (kind, length) {
            (HANDSHAKE, 1..) => Phase::Handshake(length),
            (ALERT, 2) => Phase::Alert,
            (CHANGE_CIPHER_SPEC, 1) if self.known.is_retry => Phase::Skipping(length),
            (CHANGE_CIPHER_SPEC | APPLICATION_DATA, _) => {
                if self.side == Side::Server {
                    self.known.tell(self.observer);
                }
                Phase::Opaque
            }
            // Empty or broken, or of an extension such as heartbeat (24, RFC 6520).
            (ALERT | HANDSHAKE | 24, _) => {
                self.odd(offset, RECORD_HEADER_BYTES, OddityKind::Skipped, "unexpected_record");
                if length == 0 { Phase::Header } else { Phase::Skipping(length) }
            }
            _ => {
                self.odd(offset, RECORD_HEADER_BYTES, OddityKind::GaveUp, "no_record");
                Phase::Opaque
            }
        }
    }

    /// A whole handshake message.
    fn message(&mut self, place: Place, kind: u8, body: &[u8]) {
        let what = match (kind, self.side) {
            (CLIENT_HELLO, Side::Client) => match ClientHello::parse(body) {
                Some(hello) => {
                    self.observer.fact(place, Fact::Tls(Event::ClientHello(&hello)));
                    self.known.client = Some(Box::new(hello));
                    self.known.place = Some(place);
                    return;
                }
                None => "malformed_client_hello",
            },
            (SERVER_HELLO, Side::Server) => match ServerHello::parse(body) {
                Some(hello) => {
                    self.observer.fact(place, Fact::Tls(Event::ServerHello(&hello)));
                    self.known.is_retry |= hello.is_retry;
                    let is_last = hello.version >= TLS_1_3 && !hello.is_retry;
                    self.known.server = Some(Box::new(hello));
                    self.known.place = Some(place);
                    if is_last {
                        self.known.tell(self.observer);
                    }
                    return;
                }
                None => "malformed_server_hello",
            },
            (CERTIFICATE, _) => match Certificate::parse(body) {
                Some(certificate) => {
                    self.observer.fact(place, Fact::Tls(Event::Certificate(&certificate)));
                    if self.side == Side::Server {
                        self.known.certificate = Some(Box::new(certificate));
                        self.known.place = Some(place);
                        self.known.tell(self.observer);
                    }
                    return;
                }
                // A client that has none sends an empty list (RFC 5246, 7.4.6).
                None if body == [0, 0, 0] => return,
                None => "malformed_certificate",
            },
            _ => "message_of_wrong_side",
        };
        self.oddities.tell(place, OddityKind::Skipped, what, self.observer);
    }
}

const CLIENT_HELLO: u8 = 1;
const SERVER_HELLO: u8 = 2;
const CERTIFICATE: u8 = 11;

/// The number of TLS 1.3.
const TLS_1_3: u16 = 0x0304;

/// The messages are not read any further.
struct Lost;

impl Messages {
    /// Takes what the content of records says next.
    fn data(&mut self, mut bytes: &[u8], mut offset: u64, teller: &mut Teller<'_>) -> Result<(), Lost> {
        while !bytes.is_empty() {
            let used = if self.skip > 0 {
                let used = bytes.len().min(usize::try_from(self.skip).unwrap_or(usize::MAX));
                self.skip -= u32::try_from(used).expect("at most what is to be skipped, which is a u32");
                used
            } else {
                self.message(bytes, offset, teller)?
            };
            bytes = &bytes[used..];
            offset += used as u64;
        }
        Ok(())
    }

    /// Takes a piece of a message; gives back how many bytes were taken, at least one.
    fn message(&mut self, bytes: &[u8], offset: u64, teller: &mut Teller<'_>) -> Result<usize, Lost> {
        let start = if self.begun.is_empty() { offset } else { self.begun_at };
        let had = self.begun.len();
        let header_left = MESSAGE_HEADER_BYTES.saturating_sub(had);
        if header_left > bytes.len() {
            self.keep(bytes, start);
            return Ok(bytes.len());
        }
        let mut header = [0; MESSAGE_HEADER_BYTES];
        for (to, from) in header.iter_mut().zip(self.begun.iter().chain(bytes)) {
            *to = *from;
        }
        let [kind, lengths @ ..] = header;
        let length = Fields::new(&lengths).u24().expect("three bytes are there");
        if !matches!(kind, 0..=4 | 8 | 11..=16 | 20..=24) {
            teller.odd(start, 1, OddityKind::GaveUp, "no_handshake_message");
            return Err(Lost);
        }
        let total = MESSAGE_HEADER_BYTES + usize::try_from(length).unwrap_or(usize::MAX);
        if !matches!(kind, CLIENT_HELLO | SERVER_HELLO | CERTIFICATE) || total > MESSAGE_BYTES_MAX {
            if total > MESSAGE_BYTES_MAX {
                teller.odd(start, MESSAGE_HEADER_BYTES, OddityKind::Bound, "message_too_long");
            }
            self.begun.clear();
            self.skip = length;
            // At least one: the header was not there before.
            return Ok(header_left);
        }
        let left = total - had;
        let Some(last) = bytes.get(..left) else {
            self.keep(bytes, start);
            return Ok(bytes.len());
        };
        // The message may lie in several records: their headers are in between.
        let place = Place { side: teller.side, offset: start, bytes: offset + left as u64 - start };
        if had == 0 {
            teller.message(place, kind, &last[MESSAGE_HEADER_BYTES..]);
        } else {
            self.begun.extend_from_slice(last);
            let message = std::mem::take(&mut self.begun);
            teller.message(place, kind, &message[MESSAGE_HEADER_BYTES..]);
        }
        Ok(left)
    }

    fn keep(&mut self, bytes: &[u8], start: u64) {
        self.begun_at = start;
        self.begun.extend_from_slice(bytes);
    }
}
