//! Real-Time Streaming Protocol (RFC 2326): what is asked of cameras.
//!
//! Both sides may send requests. Responses are matched by `CSeq`. Bodies (mostly descriptions of streams) and the
//! binary frames between messages are skipped.
//!
//! State of a flow: at most 32 KiB of unfinished heads, and 64 KiB of heads of requests that wait for their response.

use std::collections::VecDeque;

use crate::message::{Credentials, Dialect, Heard, LastLogin, Talker, offset_in, starts_with_ignoring_case};
pub use crate::message::{Request, Response};
use crate::oddities::Oddities;
use crate::{Decoder, Fact, Observer, OddityKind, Place, Side};

const RTSP: Dialect = Dialect { protocol: b"RTSP/", length_short: "content-length", has_frames: true };

/// The requests that wait for their response at the same time. Clients send one after the other.
const WAITING_MAX: usize = 32;
/// The bytes of `CSeq` that are compared; it is a number.
const SEQUENCE_BYTES_MAX: usize = 32;
/// The bytes of a request's head that are kept until its response has come.
const KEPT_HEAD_BYTES_MAX: usize = 2048;

/// What only this protocol has.
#[derive(Debug, Clone, PartialEq)]
pub enum Event<'a> {
    /// A request, as soon as its head is complete. The place is the head.
    Request(Request<'a>),
    /// A response, as soon as its head is complete. The place is the head.
    Response {
        /// The request that it answers, when that was seen.
        request: Option<Request<'a>>,
        /// What it says.
        response: Response<'a>,
    },
    /// A request that was not answered until the end. The place is its head.
    Unanswered(Request<'a>),
}

/// Reads one flow.
#[derive(Debug)]
pub struct Reader {
    sides: [Talker; 2],
    talk: Talk,
}

/// What is known of both sides.
#[derive(Debug, Default)]
struct Talk {
    waiting: VecDeque<Asked>,
    oddities: Oddities,
    last_login: LastLogin,
}

/// A request that waits for its response.
#[derive(Debug)]
struct Asked {
    /// The value of `CSeq`.
    sequence: Vec<u8>,
    head: Vec<u8>,
    is_cut: bool,
    place: Place,
    login: Option<(Credentials, Place)>,
}

impl Default for Reader {
    fn default() -> Self {
        Self { sides: [Side::Client, Side::Server].map(|side| Talker::new(side, RTSP)), talk: Talk::default() }
    }
}

impl Decoder for Reader {
    fn data(&mut self, side: Side, bytes: &[u8], observer: &mut dyn Observer) {
        let talk = &mut self.talk;
        self.sides[side.index()].data(bytes, &mut |place, heard| talk.hear(place, heard, observer));
    }

    fn gap(&mut self, side: Side, bytes: u64, observer: &mut dyn Observer) {
        let talk = &mut self.talk;
        self.sides[side.index()].gap(bytes, &mut |place, heard| talk.hear(place, heard, observer));
    }

    fn finish(&mut self, side: Side, observer: &mut dyn Observer) {
        let talk = &mut self.talk;
        self.sides[side.index()].finish(&mut |place, heard| talk.hear(place, heard, observer));
    }

    fn end(&mut self, observer: &mut dyn Observer) {
        self.finish(Side::Client, observer);
        self.finish(Side::Server, observer);
        while let Some(asked) = self.talk.waiting.pop_front() {
            self.talk.give_up(asked, observer);
        }
    }
}

impl Talk {
    fn hear(&mut self, place: Place, heard: Heard<'_>, observer: &mut dyn Observer) {
        match heard {
            Heard::Head { head, is_cut } if starts_with_ignoring_case(head, RTSP.protocol) => {
                self.response(Response::parse(head, is_cut), place, observer);
            }
            Heard::Head { head, is_cut } => self.request(head, is_cut, place, observer),
            Heard::Odd(kind, what) => self.oddities.tell(place, kind, what, observer),
        }
    }

    fn request(&mut self, head: &[u8], is_cut: bool, place: Place, observer: &mut dyn Observer) {
        let request = Request::parse(head, is_cut, RTSP.protocol);
        observer.fact(place, Fact::Rtsp(Event::Request(request)));
        if request.version.is_empty() {
            self.oddities.tell(place, OddityKind::Tolerated, "version_missing", observer);
        }
        let login = request.header("authorization").and_then(|value| {
            let at = Place { offset: place.offset + offset_in(head, value), bytes: value.len() as u64, ..place };
            Credentials::parse(value).map(|credentials| (credentials, at))
        });
        if self.waiting.len() >= WAITING_MAX
            && let Some(oldest) = self.waiting.pop_front()
        {
            self.oddities.tell(oldest.place, OddityKind::Bound, "too_many_requests_waiting", observer);
            self.give_up(oldest, observer);
        }
        let kept = &head[..head.len().min(KEPT_HEAD_BYTES_MAX)];
        self.waiting.push_back(Asked {
            sequence: sequence(request.header("cseq")).unwrap_or_default().to_vec(),
            head: kept.to_vec(),
            is_cut: is_cut || kept.len() < head.len(),
            place,
            login,
        });
    }

    /// A response goes to the request of the other side with the same `CSeq` (RFC 2326, 12.17); to the oldest one when
    /// it has none.
    fn response(&mut self, response: Response<'_>, place: Place, observer: &mut dyn Observer) {
        let sequence = sequence(response.header("cseq"));
        let asker = place.side.other();
        let at = self
            .waiting
            .iter()
            .position(|asked| asked.place.side == asker && sequence.is_none_or(|sequence| asked.sequence == sequence));
        // An interim response (RFC 2326, 11).
        let is_last = !matches!(response.status, Some(100..=199));
        let request = at.and_then(|at| self.waiting.get(at)).map(Asked::request);
        observer.fact(place, Fact::Rtsp(Event::Response { request, response }));
        if response.status.is_none() {
            self.oddities.tell(place, OddityKind::Tolerated, "status_malformed", observer);
        }
        if is_last && let Some(asked) = at.and_then(|at| self.waiting.remove(at)) {
            let accepted = response.status.map(|status| !matches!(status, 401 | 403));
            self.tell_login(asked.login, accepted, observer);
        }
    }

    fn give_up(&mut self, mut asked: Asked, observer: &mut dyn Observer) {
        self.tell_login(asked.login.take(), None, observer);
        observer.fact(asked.place, Fact::Rtsp(Event::Unanswered(asked.request())));
    }

    fn tell_login(&mut self, login: Option<(Credentials, Place)>, accepted: Option<bool>, observer: &mut dyn Observer) {
        if let Some((credentials, place)) = login {
            self.last_login.tell(credentials, place, accepted, observer);
        }
    }
}

impl Asked {
    fn request(&self) -> Request<'_> {
        Request::parse(&self.head, self.is_cut, RTSP.protocol)
    }
}

/// As much of `CSeq` as is compared.
fn sequence(value: Option<&[u8]>) -> Option<&[u8]> {
    value.map(|value| &value[..value.len().min(SEQUENCE_BYTES_MAX)])
}
