//! Hypertext Transfer Protocol 1.x (RFC 9112), and what attackers make of it.
//!
//! Requests are told when their head is complete, responses with the request that they answer, bodies as files. Broken
//! messages are read as a device would perhaps read them: lines that end in a bare line feed, folded and nameless
//! fields, a missing version, wrong lengths, bytes behind the end. What was odd is said.
//!
//! Bodies stay as they are on the wire but for the chunks, which are joined: a compressed body is a compressed file.
//! HTTP/2 is noticed and not decoded. After CONNECT and Upgrade, what both sides say is opaque, but only once the server
//! has agreed: nothing is hidden behind a request for a tunnel.
//!
//! State of a flow: at most 64 KiB of unfinished heads, 64 KiB of heads of requests that wait for their response, and
//! some 20 KiB for the response, the form and the names that are in progress. A flow without pipelining keeps less than
//! one head's size.

mod content;
mod form;
mod framing;
mod requests;
mod responses;
mod waiting;

pub use content::BODY_TOLD_BYTES_MAX;
pub use requests::HEAD_BYTES_MAX;

use self::content::Files;
use self::requests::Requests;
use self::responses::Responses;
use self::waiting::{Asked, Kept, Waiting};
use crate::message::LastLogin;
pub use crate::message::{Request, Response};
use crate::oddities::Oddities;
use crate::{Decoder, Fact, Observer, OddityKind, Place, Side};

/// What only this protocol has.
#[derive(Debug, Clone, PartialEq)]
pub enum Event<'a> {
    /// A request, as soon as its head is complete. The place is the head.
    Request(Request<'a>),
    /// Bytes of the beginning of a request's body, up to [`BODY_TOLD_BYTES_MAX`], and of what followed it without
    /// belonging to it. Chunks are joined. The place is that of the bytes.
    RequestBody {
        /// Where in the body the bytes are.
        offset: u64,
        /// The bytes.
        bytes: &'a [u8],
    },
    /// A response, as soon as its head is complete. The place is the head.
    Response {
        /// The request that it answers, when that was seen.
        request: Option<Request<'a>>,
        /// What it says.
        response: Response<'a>,
    },
    /// A request and its response are over; or one of them alone, when the other was not seen until the end. Told once
    /// for each request. The place is the head of the response, or of the request where there is none.
    Exchange {
        /// The request.
        request: Option<Request<'a>>,
        /// The response: the last, when there were interim ones (100 to 199).
        response: Option<Response<'a>>,
        /// How long the response's content was, without the framing of chunks.
        response_bytes: u64,
        /// How long the framing of chunks was, without a trailer.
        framing_bytes: u64,
    },
    /// From here on both sides speak something else: after CONNECT or Upgrade. The place is the head of the response.
    Switched {
        /// What the server says that it is, in `Upgrade`; empty after CONNECT.
        protocol: &'a [u8],
    },
}

/// What a version begins with.
const HTTP: &[u8] = b"HTTP/";

/// Reads one flow.
#[derive(Debug, Default)]
pub struct Reader {
    requests: Requests,
    responses: Responses,
    both: Both,
}

/// What both sides need.
#[derive(Debug, Default)]
struct Both {
    waiting: Waiting,
    files: Files,
    oddities: Oddities,
    last_login: LastLogin,
    /// What both sides say is not HTTP any more.
    is_opaque: bool,
}

impl Both {
    fn odd(&mut self, place: Place, kind: OddityKind, what: &'static str, observer: &mut dyn Observer) {
        self.oddities.tell(place, kind, what, observer);
    }

    /// Tells the login of a request.
    fn tell_login(&mut self, asked: &mut Asked, accepted: Option<bool>, observer: &mut dyn Observer) {
        if let Some((credentials, place)) = asked.login.take() {
            self.last_login.tell(credentials, place, accepted, observer);
        }
    }

    /// Tells of all requests that wait that they were not answered.
    fn give_up_waiting(&mut self, observer: &mut dyn Observer) {
        while let Some(mut asked) = self.waiting.pop() {
            self.tell_login(&mut asked, None, observer);
            tell_exchange(Some(&asked), None, (0, 0), observer);
        }
        self.waiting.clear_forgotten();
    }
}

/// Tells that a request and its response are over; the bytes are those of content and framing.
fn tell_exchange(asked: Option<&Asked>, answer: Option<&Kept>, bytes: (u64, u64), observer: &mut dyn Observer) {
    let Some(place) = answer.map(|kept| kept.place).or(asked.map(|asked| asked.kept.place)) else { return };
    let request = asked.map(Asked::request);
    let response = answer.map(|kept| Response::parse(kept.bytes(), kept.is_cut));
    let (response_bytes, framing_bytes) = bytes;
    observer.fact(place, Fact::Http(Event::Exchange { request, response, response_bytes, framing_bytes }));
}

impl Decoder for Reader {
    fn data(&mut self, side: Side, bytes: &[u8], observer: &mut dyn Observer) {
        match side {
            Side::Client => self.requests.data(bytes, &mut self.both, observer),
            Side::Server => self.responses.data(bytes, &mut self.requests, &mut self.both, observer),
        }
    }

    fn gap(&mut self, side: Side, bytes: u64, observer: &mut dyn Observer) {
        match side {
            Side::Client => self.requests.gap(bytes, &mut self.both, observer),
            Side::Server => self.responses.gap(bytes, &mut self.both, observer),
        }
    }

    fn finish(&mut self, side: Side, observer: &mut dyn Observer) {
        match side {
            Side::Client => self.requests.finish(&mut self.both, observer),
            Side::Server => self.responses.finish(true, &mut self.requests, &mut self.both, observer),
        }
    }

    fn end(&mut self, observer: &mut dyn Observer) {
        self.requests.finish(&mut self.both, observer);
        self.responses.finish(false, &mut self.requests, &mut self.both, observer);
        self.both.give_up_waiting(observer);
    }
}
