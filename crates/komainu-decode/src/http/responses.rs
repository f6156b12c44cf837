//! What the server says.

use super::content::Content;
use super::framing::{Body, Chunk, Framing, Read};
use super::requests::{HEAD_BYTES_MAX, Line, Requests, line};
use super::waiting::{Asked, Kept};
use super::{Both, Event, Request, Response, tell_exchange};
use crate::OddityKind::{Bound, Gap, GaveUp, Skipped, Tolerated};
use crate::message::{HeadScan, field, head_flaws, parameter, starts_with_ignoring_case, without_line_end};
use crate::pending::{Pending, Step};
use crate::{Fact, Observer, Place, Side};

/// Reads responses.
#[derive(Debug)]
pub(super) struct Responses {
    pending: Pending,
    parser: Parser,
}

#[derive(Debug)]
struct Parser {
    state: State,
    scan: HeadScan,
    content: Content,
    /// The response whose body is read, and its request.
    answer: Option<(Kept, Option<Asked>)>,
    /// How much around the content of its body came.
    framing_bytes: u64,
    /// Whether there was a response.
    has_answered: bool,
}

#[derive(Debug, Clone, Copy)]
enum State {
    /// Before or within a head.
    Head,
    /// In the rest of a head of which the beginning was told; `in_line`: not at the beginning of a line.
    HeadRest { framing: Framing, after: AfterHead, in_line: bool },
    /// In a body.
    Body(Body),
    /// Somewhere; `in_line`: not at the beginning of a line.
    Lost { in_line: bool },
    /// Everything was said.
    Over,
}

/// What follows a head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum AfterHead {
    /// The body that the header fields speak of.
    Body,
    /// No body, whatever the header fields say (RFC 9112, 6.3).
    NoBody,
    /// Another head, to the same request (RFC 9110, 15.2).
    Head,
    /// Nothing of HTTP.
    Switched,
}

impl Default for Responses {
    fn default() -> Self {
        Self {
            pending: Pending::new(Side::Server, HEAD_BYTES_MAX),
            parser: Parser {
                state: State::Head,
                scan: HeadScan::default(),
                content: Content::new(Side::Server),
                answer: None,
                framing_bytes: 0,
                has_answered: false,
            },
        }
    }
}

impl Responses {
    pub(super) fn data(&mut self, bytes: &[u8], requests: &mut Requests, both: &mut Both, observer: &mut dyn Observer) {
        if both.is_opaque {
            self.pending.ignore(bytes);
            return;
        }
        let parser = &mut self.parser;
        let fed = self.pending.feed(bytes, |bytes, offset| {
            if both.is_opaque { Step::Used(bytes.len()) } else { parser.step(bytes, offset, requests, both, observer) }
        });
        if fed.is_err() {
            // Each state asks for more only below the bound.
            parser.state = State::Lost { in_line: true };
        }
    }

    pub(super) fn gap(&mut self, bytes: u64, both: &mut Both, observer: &mut dyn Observer) {
        if both.is_opaque || matches!(self.parser.state, State::Over) {
            self.pending.skip_gap(bytes);
            return;
        }
        let dropped = self.pending.skip_gap(0) as u64;
        let place = Place { bytes, ..self.pending.rest_place() };
        both.odd(place, Gap, "bytes_lost", observer);
        self.pending.skip_gap(bytes);
        self.parser.skip(bytes, dropped > 0, place.offset + bytes, both, observer);
    }

    /// Learns that nothing more comes, and whether that is because the server said so.
    pub(super) fn finish(
        &mut self,
        is_closed: bool,
        requests: &mut Requests,
        both: &mut Both,
        observer: &mut dyn Observer,
    ) {
        let place = self.pending.rest_place();
        let end = place.offset + place.bytes;
        let rest = self.pending.rest().trim_ascii_start();
        if matches!(self.parser.state, State::Head) && !both.is_opaque && !rest.is_empty() {
            let start = end - rest.len() as u64;
            let place = Place { offset: start, bytes: rest.len() as u64, ..place };
            both.odd(place, Tolerated, "head_incomplete", observer);
            let (framing, _) = self.parser.head(rest, start, true, requests, both, observer);
            self.parser.content.expect(framing.bytes_expected());
            self.parser.answered(observer);
        }
        match self.parser.state {
            State::Body(body) => {
                self.parser.content.end(is_closed && body == Body::UntilClose, end, &mut both.files, observer);
                self.parser.answered(observer);
            }
            State::HeadRest { .. } => self.parser.answered(observer),
            State::Head | State::Lost { .. } | State::Over => {}
        }
        self.pending.skip_gap(0);
        self.parser.state = State::Over;
    }
}

impl Parser {
    fn step(
        &mut self,
        bytes: &[u8],
        offset: u64,
        requests: &mut Requests,
        both: &mut Both,
        observer: &mut dyn Observer,
    ) -> Step {
        match self.state {
            State::Head => self.in_head(bytes, offset, requests, both, observer),
            State::HeadRest { framing, after, in_line } => self.in_head_rest(bytes, framing, after, in_line, observer),
            State::Body(body) => self.in_body(body, bytes, offset, requests, both, observer),
            State::Lost { in_line: false } => match is_head_start(bytes) {
                Some(true) => {
                    self.state = State::Head;
                    self.in_head(bytes, offset, requests, both, observer)
                }
                Some(false) => {
                    self.state = State::Lost { in_line: true };
                    self.step(bytes, offset, requests, both, observer)
                }
                None => Step::More,
            },
            State::Lost { in_line: true } => match line(bytes, true) {
                Line::Rest { used, is_end } => {
                    self.state = State::Lost { in_line: !is_end };
                    Step::Used(used)
                }
                Line::Whole(_) | Line::More => Step::Used(bytes.len()),
            },
            State::Over => Step::Used(bytes.len()),
        }
    }

    fn in_head(
        &mut self,
        bytes: &[u8],
        offset: u64,
        requests: &mut Requests,
        both: &mut Both,
        observer: &mut dyn Observer,
    ) -> Step {
        if let [b'\r' | b'\n', ..] = bytes {
            if !self.has_answered && both.waiting.is_empty() {
                requests.tell_unfinished(both, observer);
            }
            if self.has_answered || !both.waiting.is_simple() {
                let blank = bytes.iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
                return Step::Used(blank);
            }
        }
        match is_head_start(bytes) {
            Some(true) => {}
            Some(false) => return self.without_head(bytes, offset, requests, both, observer),
            None => return Step::More,
        }
        let window = &bytes[..bytes.len().min(HEAD_BYTES_MAX)];
        match self.scan.end(window) {
            Some(end) => {
                self.scan = HeadScan::default();
                let (framing, after) = self.head(&window[..end], offset, false, requests, both, observer);
                self.after_head(framing, after, observer);
                Step::Used(end)
            }
            None if window.len() < HEAD_BYTES_MAX => Step::More,
            None => {
                self.scan = HeadScan::default();
                let place = Place { side: Side::Server, offset, bytes: HEAD_BYTES_MAX as u64 };
                let (framing, after) = self.head(window, offset, true, requests, both, observer);
                both.odd(place, Bound, "head_too_long", observer);
                self.state = State::HeadRest { framing, after, in_line: !window.ends_with(b"\n") };
                Step::Used(window.len())
            }
        }
    }

    /// Bytes where a head should begin. They are the response of HTTP/0.9 if a request waits, and nothing otherwise.
    fn without_head(
        &mut self,
        bytes: &[u8],
        offset: u64,
        requests: &mut Requests,
        both: &mut Both,
        observer: &mut dyn Observer,
    ) -> Step {
        if both.waiting.is_empty() {
            requests.tell_unfinished(both, observer);
        }
        let place = Place { side: Side::Server, offset, bytes: 0 };
        match both.waiting.pop() {
            Some(mut asked) => {
                let request = asked.request();
                if request.method == b"PRI" {
                    // The preface of HTTP/2 (RFC 9113, 3.4), and a server that does not answer it in HTTP/1.
                    both.odd(place, GaveUp, "http2_not_decoded", observer);
                    tell_exchange(Some(&asked), None, (0, 0), observer);
                    requests.switch(both, observer);
                    both.is_opaque = true;
                    return Step::Used(bytes.len());
                }
                if !request.version.is_empty() {
                    both.odd(place, Tolerated, "status_line_missing", observer);
                }
                let response = Response::parse(b"", false);
                let fact = Event::Response { request: Some(request), response };
                observer.fact(place, Fact::Http(fact));
                self.content.begin_file(request.file_name(), place);
                both.tell_login(&mut asked, None, observer);
                self.answer = Some((Kept::new(b"", false, place), Some(asked)));
                self.has_answered = true;
                self.framing_bytes = 0;
                self.state = State::Body(Body::UntilClose);
            }
            None => {
                let what = if self.has_answered { "bytes_after_response" } else { "bytes_before_response" };
                both.odd(place, Skipped, what, observer);
                self.state = State::Lost { in_line: true };
            }
        }
        self.step(bytes, offset, requests, both, observer)
    }

    /// Tells a response with its request. What follows it is for the caller to do.
    fn head(
        &mut self,
        head: &[u8],
        offset: u64,
        is_cut: bool,
        requests: &mut Requests,
        both: &mut Both,
        observer: &mut dyn Observer,
    ) -> (Framing, AfterHead) {
        if both.waiting.is_empty() {
            requests.tell_unfinished(both, observer);
        }
        self.has_answered = true;
        self.framing_bytes = 0;
        let place = Place { side: Side::Server, offset, bytes: head.len() as u64 };
        let response = Response::parse(head, is_cut);
        let request = both.waiting.front().map(Asked::request);
        observer.fact(place, Fact::Http(Event::Response { request, response }));

        let after = after_head(request.as_ref(), response.status);
        let name = request.map(|request| request.file_name()).unwrap_or_default();
        let disposition = response.header("content-disposition").unwrap_or_default();
        self.content.begin_file(parameter(disposition, "filename").unwrap_or(name), place);

        let mut framing = Framing::default();
        for (name, value) in response.headers {
            framing.field(name, value);
        }
        for what in head_flaws(head).chain(framing.oddity()) {
            both.odd(place, Tolerated, what, observer);
        }
        if response.status.is_none() {
            both.odd(place, Tolerated, "status_malformed", observer);
        }
        if after != AfterHead::Head {
            let mut asked = both.waiting.pop();
            if let Some(asked) = &mut asked {
                // 401, 403, 407: not with these credentials (RFC 9110, 15.5).
                let accepted = response.status.map(|status| !matches!(status, 401 | 403 | 407));
                both.tell_login(asked, accepted, observer);
            }
            self.answer = Some((Kept::new(head, is_cut, place), asked));
        }
        if after == AfterHead::Switched {
            let protocol = response.header("upgrade").filter(|_| response.status == Some(101)).unwrap_or_default();
            self.answered(observer);
            observer.fact(place, Fact::Http(Event::Switched { protocol }));
            both.is_opaque = true;
            requests.switch(both, observer);
        }
        (framing, after)
    }

    fn after_head(&mut self, framing: Framing, after: AfterHead, observer: &mut dyn Observer) {
        self.content.expect(framing.bytes_expected());
        let body = framing.of_response().filter(|_| after == AfterHead::Body);
        if body.is_none() && after != AfterHead::Head {
            self.answered(observer);
        }
        self.state = body.map_or(State::Head, State::Body);
    }

    /// The response is over.
    fn answered(&mut self, observer: &mut dyn Observer) {
        if let Some((kept, asked)) = self.answer.take() {
            tell_exchange(asked.as_ref(), Some(&kept), (self.content.bytes(), self.framing_bytes), observer);
        }
    }

    /// The rest of a head that was too long: only how long the body is counts.
    fn in_head_rest(
        &mut self,
        bytes: &[u8],
        mut framing: Framing,
        after: AfterHead,
        in_line: bool,
        observer: &mut dyn Observer,
    ) -> Step {
        match line(bytes, in_line) {
            Line::Whole(line) => {
                if without_line_end(line).is_empty() {
                    self.after_head(framing, after, observer);
                } else {
                    let (name, value) = field(line);
                    framing.field(name, value);
                    self.state = State::HeadRest { framing, after, in_line: false };
                }
                Step::Used(line.len())
            }
            Line::Rest { used, is_end } => {
                self.state = State::HeadRest { framing, after, in_line: !is_end };
                Step::Used(used)
            }
            Line::More => Step::More,
        }
    }

    fn in_body(
        &mut self,
        mut body: Body,
        bytes: &[u8],
        offset: u64,
        requests: &mut Requests,
        both: &mut Both,
        observer: &mut dyn Observer,
    ) -> Step {
        let is_trailer = matches!(body, Body::Chunk(Chunk::Trailer | Chunk::TrailerRest));
        let (read, oddity) = body.read(bytes);
        self.state = State::Body(body);
        let used = match read {
            Read::Content(used) => {
                self.content.piece(&bytes[..used], offset, &mut both.files, observer);
                used
            }
            Read::Around(used) => {
                self.framing_bytes += if is_trailer { 0 } else { used as u64 };
                used
            }
            Read::More | Read::Broken => 0,
        };
        if let Some((kind, what)) = oddity {
            both.odd(Place { side: Side::Server, offset, bytes: used as u64 }, kind, what, observer);
        }
        if body == Body::Over {
            self.content.end(read != Read::Broken, offset + used as u64, &mut both.files, observer);
            self.answered(observer);
            self.state = if read == Read::Broken { State::Lost { in_line: false } } else { State::Head };
        }
        match read {
            Read::Content(_) | Read::Around(_) => Step::Used(used),
            Read::More => Step::More,
            // Not in a body any more, so these bytes are looked at again.
            Read::Broken => self.step(bytes, offset, requests, both, observer),
        }
    }

    /// Learns that bytes are lost; `in_unit`: and so is the beginning of something. The flow goes on at `offset`.
    fn skip(&mut self, bytes: u64, in_unit: bool, offset: u64, both: &mut Both, observer: &mut dyn Observer) {
        if let State::Body(mut body) = self.state {
            let is_content = !in_unit && body.skip(bytes);
            if is_content {
                self.content.skip(bytes, offset, observer);
                self.state = State::Body(body);
            }
            if body == Body::Over || !is_content {
                self.content.end(is_content, offset, &mut both.files, observer);
                self.answered(observer);
                self.state = State::Head;
            }
            if is_content {
                return;
            }
        }
        self.answered(observer);
        // Most likely it is their responses that are lost.
        both.give_up_waiting(observer);
        self.scan = HeadScan::default();
        self.state = State::Lost { in_line: false };
    }
}

fn after_head(request: Option<&Request<'_>>, status: Option<u16>) -> AfterHead {
    let method = request.map(|request| request.method).unwrap_or_default();
    match status {
        Some(101) => AfterHead::Switched,
        Some(100..=199) => AfterHead::Head,
        Some(200..=299) if method == b"CONNECT" => AfterHead::Switched,
        Some(204 | 304) => AfterHead::NoBody,
        Some(_) | None if method == b"HEAD" => AfterHead::NoBody,
        Some(_) | None => AfterHead::Body,
    }
}

/// Whether the head of a response begins here; none when more bytes are needed.
fn is_head_start(bytes: &[u8]) -> Option<bool> {
    const NAME: &[u8] = b"HTTP";
    if bytes.len() > NAME.len() {
        Some(starts_with_ignoring_case(bytes, NAME) && matches!(bytes.get(NAME.len()), Some(b'/' | b' ')))
    } else {
        let same = NAME.get(..bytes.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(bytes));
        if same { None } else { Some(false) }
    }
}
