//! Session Initiation Protocol (RFC 3261), over datagrams and over streams.
//!
//! Every message is told by itself, with what says to which transaction it belongs. Bodies (mostly descriptions of
//! streams) are skipped.
//!
//! State of a flow: at most 32 KiB of unfinished heads (streams only), and 32 logins of at most 1.5 KiB that wait for
//! their answer.

use std::collections::VecDeque;

use memchr::memchr;

use crate::message::{Credentials, Dialect, HeadScan, Heard, Talker, head_flaws, offset_in, starts_with_ignoring_case};
pub use crate::message::{Request, Response};
use crate::oddities::Oddities;
use crate::{Decoder, Fact, Headers, Observer, OddityKind, Place, Side};

const SIP: Dialect = Dialect { protocol: b"SIP/", length_short: "l", has_frames: false };

/// The logins that wait for their answer at the same time. Programs that guess passwords send some at once.
const LOGINS_WAITING_MAX: usize = 32;
/// The bytes of `Call-ID` and `CSeq` that are compared.
const TRANSACTION_BYTES_MAX: usize = 256;

/// What only this protocol has.
#[derive(Debug, Clone, PartialEq)]
pub enum Event<'a> {
    /// A request. The place is its head.
    Request {
        /// What it asks.
        request: Request<'a>,
        /// Of whom.
        parties: Parties<'a>,
    },
    /// A response. The place is its head.
    Response {
        /// What it says.
        response: Response<'a>,
        /// Of whom.
        parties: Parties<'a>,
    },
}

/// The header fields that say who calls whom, by their long or short names (RFC 3261, 7.3.3).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Parties<'a> {
    /// `Call-ID`: which call or registration.
    pub call_id: Option<&'a [u8]>,
    /// `CSeq`: which request of it.
    pub sequence: Option<&'a [u8]>,
    /// `From`: who calls.
    pub from: Option<&'a [u8]>,
    /// `To`: whom.
    pub to: Option<&'a [u8]>,
    /// `User-Agent`: with which program.
    pub user_agent: Option<&'a [u8]>,
}

impl<'a> Parties<'a> {
    fn of(headers: Headers<'a>) -> Self {
        let mut parties = Self::default();
        for (name, value) in headers {
            let is = |long: &str, short: &str| {
                name.eq_ignore_ascii_case(long.as_bytes()) || name.eq_ignore_ascii_case(short.as_bytes())
            };
            let field = if is("call-id", "i") {
                &mut parties.call_id
            } else if is("cseq", "cseq") {
                &mut parties.sequence
            } else if is("from", "f") {
                &mut parties.from
            } else if is("to", "t") {
                &mut parties.to
            } else if is("user-agent", "user-agent") {
                &mut parties.user_agent
            } else {
                continue;
            };
            field.get_or_insert(value);
        }
        parties
    }

    /// What a response repeats of its request (RFC 3261, 17.1.3).
    fn transaction(&self) -> Vec<u8> {
        let mut transaction = [self.call_id.unwrap_or_default(), b" ", self.sequence.unwrap_or_default()].concat();
        transaction.truncate(TRANSACTION_BYTES_MAX);
        transaction
    }
}

/// Reads one flow.
#[derive(Debug)]
pub struct Reader {
    carrier: Carrier,
    talk: Talk,
}

#[derive(Debug)]
enum Carrier {
    Stream(Box<[Talker; 2]>),
    /// How many bytes each side sent.
    Datagrams([u64; 2]),
}

#[derive(Debug, Default)]
struct Talk {
    logins: VecDeque<Waiting>,
    oddities: Oddities,
}

/// A login that waits for its answer.
#[derive(Debug)]
struct Waiting {
    transaction: Vec<u8>,
    credentials: Credentials,
    place: Place,
}

impl Reader {
    /// Reads a stream.
    pub fn stream() -> Self {
        let talkers = [Side::Client, Side::Server].map(|side| Talker::new(side, SIP));
        Self { carrier: Carrier::Stream(Box::new(talkers)), talk: Talk::default() }
    }

    /// Reads datagrams.
    pub fn datagrams() -> Self {
        Self { carrier: Carrier::Datagrams([0; 2]), talk: Talk::default() }
    }
}

impl Decoder for Reader {
    fn data(&mut self, side: Side, bytes: &[u8], observer: &mut dyn Observer) {
        let talk = &mut self.talk;
        match &mut self.carrier {
            Carrier::Stream(talkers) => {
                talkers[side.index()].data(bytes, &mut |place, heard| talk.hear(place, heard, observer));
            }
            Carrier::Datagrams(offsets) => {
                let offset = &mut offsets[side.index()];
                talk.datagram(bytes, Place { side, offset: *offset, bytes: bytes.len() as u64 }, observer);
                *offset += bytes.len() as u64;
            }
        }
    }

    fn gap(&mut self, side: Side, bytes: u64, observer: &mut dyn Observer) {
        let talk = &mut self.talk;
        match &mut self.carrier {
            Carrier::Stream(talkers) => {
                talkers[side.index()].gap(bytes, &mut |place, heard| talk.hear(place, heard, observer));
            }
            Carrier::Datagrams(offsets) => offsets[side.index()] += bytes,
        }
    }

    fn finish(&mut self, side: Side, observer: &mut dyn Observer) {
        let talk = &mut self.talk;
        match &mut self.carrier {
            Carrier::Stream(talkers) => {
                talkers[side.index()].finish(&mut |place, heard| talk.hear(place, heard, observer));
            }
            Carrier::Datagrams(_) => {}
        }
    }

    fn end(&mut self, observer: &mut dyn Observer) {
        self.finish(Side::Client, observer);
        self.finish(Side::Server, observer);
        while let Some(waiting) = self.talk.logins.pop_front() {
            observer.fact(waiting.place, Fact::Login(waiting.credentials.login(None)));
        }
    }
}

impl Talk {
    /// One message is in one datagram (RFC 3261, 18.3). Only blank, it keeps a way through a firewall open.
    fn datagram(&mut self, bytes: &[u8], place: Place, observer: &mut dyn Observer) {
        let blank = bytes.iter().take_while(|byte| matches!(byte, b'\r' | b'\n' | 0)).count();
        let message = &bytes[blank..];
        if message.is_empty() {
            return;
        }
        let end = HeadScan::default().end(message);
        let head = &message[..end.unwrap_or(message.len())];
        let place = Place { offset: place.offset + blank as u64, bytes: head.len() as u64, ..place };
        let line = &head[..memchr(b'\n', head).unwrap_or(head.len())];
        if !line.windows(4).any(|part| part.eq_ignore_ascii_case(SIP.protocol)) {
            self.oddities.tell(place, OddityKind::Skipped, "not_sip", observer);
            return;
        }
        self.hear(place, Heard::Head { head, is_cut: end.is_none() }, observer);
        for what in head_flaws(head).chain(end.is_none().then_some("head_incomplete")) {
            self.oddities.tell(place, OddityKind::Tolerated, what, observer);
        }
    }

    fn hear(&mut self, place: Place, heard: Heard<'_>, observer: &mut dyn Observer) {
        match heard {
            Heard::Head { head, is_cut } if starts_with_ignoring_case(head, SIP.protocol) => {
                self.response(Response::parse(head, is_cut), place, observer);
            }
            Heard::Head { head, is_cut } => self.request(head, is_cut, place, observer),
            Heard::Odd(kind, what) => self.oddities.tell(place, kind, what, observer),
        }
    }

    fn request(&mut self, head: &[u8], is_cut: bool, place: Place, observer: &mut dyn Observer) {
        let request = Request::parse(head, is_cut, SIP.protocol);
        let parties = Parties::of(request.headers);
        observer.fact(place, Fact::Sip(Event::Request { request, parties }));
        if request.version.is_empty() {
            self.oddities.tell(place, OddityKind::Tolerated, "version_missing", observer);
        }
        let Some(value) = request.header("authorization").or_else(|| request.header("proxy-authorization")) else {
            return;
        };
        let Some(credentials) = Credentials::parse(value) else { return };
        let transaction = parties.transaction();
        let is_repeated = |known: &Waiting| known.transaction == transaction && known.credentials == credentials;
        // Over datagrams, a request is sent again until it is answered. ACK has the login of its INVITE and no answer.
        if request.method == b"ACK" || self.logins.iter().any(is_repeated) {
            return;
        }
        if self.logins.len() >= LOGINS_WAITING_MAX
            && let Some(oldest) = self.logins.pop_front()
        {
            observer.fact(oldest.place, Fact::Login(oldest.credentials.login(None)));
            self.oddities.tell(place, OddityKind::Bound, "too_many_logins_waiting", observer);
        }
        let place = Place { offset: place.offset + offset_in(head, value), bytes: value.len() as u64, ..place };
        self.logins.push_back(Waiting { transaction, credentials, place });
    }

    fn response(&mut self, response: Response<'_>, place: Place, observer: &mut dyn Observer) {
        let parties = Parties::of(response.headers);
        observer.fact(place, Fact::Sip(Event::Response { response, parties }));
        let Some(status) = response.status else {
            self.oddities.tell(place, OddityKind::Tolerated, "status_malformed", observer);
            return;
        };
        // Provisional responses are not the answer (RFC 3261, 7.2).
        if status < 200 || self.logins.is_empty() {
            return;
        }
        let transaction = parties.transaction();
        let is_of = |known: &Waiting| known.place.side != place.side && known.transaction == transaction;
        if let Some(at) = self.logins.iter().position(is_of)
            && let Some(waiting) = self.logins.remove(at)
        {
            let accepted = !matches!(status, 401 | 403 | 407);
            observer.fact(waiting.place, Fact::Login(waiting.credentials.login(Some(accepted))));
        }
    }
}
