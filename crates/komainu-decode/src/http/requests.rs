//! What the client says.

use memchr::memchr;

use super::content::Content;
use super::framing::{Body, Framing, Read};
use super::waiting::{Asked, Kept};
use super::{Both, Event, HTTP, Request};
use crate::OddityKind::{Bound, Gap, Skipped, Tolerated};
use crate::message::{
    Credentials, HeadScan, field, head_flaws, is_method, offset_in, parameter, request_line, starts_with_ignoring_case,
    without_line_end,
};
use crate::pending::{Pending, Step};
use crate::{Fact, Observer, Place, Side};

/// The bytes of a head that are looked at as a whole; of the rest, only how long the body is. Servers take 8 to 64 KiB.
pub const HEAD_BYTES_MAX: usize = 32 * 1024;

/// The bytes of one line that are looked at where lines are read one by one.
pub(super) const LINE_BYTES_MAX: usize = 8 * 1024;

/// The bytes of a method, where one has to be told from other bytes. The longest registered one has 17
/// (`UPDATEREDIRECTREF`).
const METHOD_BYTES_MAX: usize = 24;

/// Reads requests.
#[derive(Debug)]
pub(super) struct Requests {
    pending: Pending,
    parser: Parser,
}

#[derive(Debug)]
struct Parser {
    state: State,
    scan: HeadScan,
    content: Content,
    /// Whether there was a request: before the first, every line is taken for one.
    has_asked: bool,
}

#[derive(Debug, Clone, Copy)]
enum State {
    /// Before or within a head.
    Head,
    /// In the rest of a head of which the beginning was told; `in_line`: not at the beginning of a line.
    HeadRest { framing: Framing, in_line: bool },
    /// In a body.
    Body(Body),
    /// Within a line that is no request.
    Stray,
    /// Somewhere, after a gap.
    Lost { in_line: bool },
    /// Everything was said.
    Over,
}

impl Default for Requests {
    fn default() -> Self {
        Self {
            pending: Pending::new(Side::Client, HEAD_BYTES_MAX),
            parser: Parser {
                state: State::Head,
                scan: HeadScan::default(),
                content: Content::new(Side::Client),
                has_asked: false,
            },
        }
    }
}

impl Requests {
    pub(super) fn data(&mut self, bytes: &[u8], both: &mut Both, observer: &mut dyn Observer) {
        if both.is_opaque {
            self.pending.ignore(bytes);
            return;
        }
        let parser = &mut self.parser;
        let fed = self.pending.feed(bytes, |bytes, offset| {
            if both.is_opaque { Step::Used(bytes.len()) } else { parser.step(bytes, offset, both, observer) }
        });
        if fed.is_err() {
            // Each state asks for more only below the bound.
            parser.state = State::Lost { in_line: true };
        }
    }

    /// Tells a request of which only the beginning of the head came: the server answers it, or nothing more comes.
    pub(super) fn tell_unfinished(&mut self, both: &mut Both, observer: &mut dyn Observer) {
        let State::Head = self.parser.state else { return };
        let place = self.pending.rest_place();
        let rest = self.pending.rest();
        if rest.iter().all(|byte| matches!(byte, b'\r' | b'\n')) {
            return;
        }
        if self.parser.has_asked && is_request_start(rest) == Some(false) {
            self.parser.content.stray(rest, place.offset, observer);
        } else {
            let first_end = memchr(b'\n', rest).map(|line_feed| line_feed + 1);
            let is_simple = first_end.is_some_and(|end| is_simple(&rest[..end]));
            let head_bytes = if is_simple { first_end.unwrap_or(rest.len()) } else { rest.len() };
            let framing = self.parser.head(&rest[..head_bytes], place.offset, !is_simple, both, observer);
            if !is_simple {
                both.odd(place, Tolerated, "head_incomplete", observer);
            }
            if head_bytes < rest.len() || !is_simple {
                self.parser.state = State::HeadRest { framing, in_line: !rest.ends_with(b"\n") };
            }
        }
        self.parser.scan = HeadScan::default();
        self.pending.skip_gap(0);
    }

    /// Learns that what the client says is not HTTP any more: a body that is not complete is over.
    pub(super) fn switch(&mut self, both: &mut Both, observer: &mut dyn Observer) {
        self.end_body(both, observer);
        self.pending.ignore(&[]);
        self.parser.state = State::Over;
    }

    pub(super) fn gap(&mut self, bytes: u64, both: &mut Both, observer: &mut dyn Observer) {
        if both.is_opaque || matches!(self.parser.state, State::Over) {
            self.pending.skip_gap(bytes);
            return;
        }
        self.tell_unfinished(both, observer);
        self.pending.skip_gap(0);
        let place = Place { bytes, ..self.pending.rest_place() };
        both.odd(place, Gap, "bytes_lost", observer);
        self.pending.skip_gap(bytes);
        self.parser.skip(bytes, place.offset + bytes, both, observer);
    }

    pub(super) fn finish(&mut self, both: &mut Both, observer: &mut dyn Observer) {
        if !both.is_opaque {
            self.tell_unfinished(both, observer);
            self.end_body(both, observer);
        }
        self.parser.state = State::Over;
    }

    /// A body that is not complete is over.
    fn end_body(&mut self, both: &mut Both, observer: &mut dyn Observer) {
        if let State::Body(_) = self.parser.state {
            let place = self.pending.rest_place();
            self.parser.content.end(false, place.offset + place.bytes, &mut both.files, observer);
        }
    }
}

impl Parser {
    fn step(&mut self, bytes: &[u8], offset: u64, both: &mut Both, observer: &mut dyn Observer) -> Step {
        match self.state {
            State::Head => self.in_head(bytes, offset, both, observer),
            State::HeadRest { framing, in_line } => self.in_head_rest(bytes, framing, in_line),
            State::Body(body) => self.in_body(body, bytes, offset, both, observer),
            State::Stray => {
                let used = memchr(b'\n', bytes).map(|line_feed| line_feed + 1);
                self.content.stray(&bytes[..used.unwrap_or(bytes.len())], offset, observer);
                if used.is_some() {
                    self.state = State::Head;
                }
                Step::Used(used.unwrap_or(bytes.len()))
            }
            State::Lost { in_line } => self.while_lost(bytes, in_line, offset, both, observer),
            State::Over => Step::Used(bytes.len()),
        }
    }

    fn in_head(&mut self, bytes: &[u8], offset: u64, both: &mut Both, observer: &mut dyn Observer) -> Step {
        // Empty lines before a request are ignored (RFC 9112, 2.2).
        if let [b'\r' | b'\n', ..] = bytes {
            let blank = bytes.iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
            return Step::Used(blank);
        }
        if self.has_asked && self.scan.first_line_end().is_none() {
            match is_request_start(bytes) {
                Some(true) => {}
                None => return Step::More,
                Some(false) => {
                    // Most often the body is longer than its length says, or has none.
                    both.odd(Place { side: Side::Client, offset, bytes: 0 }, Skipped, "bytes_after_request", observer);
                    self.state = State::Stray;
                    return self.step(bytes, offset, both, observer);
                }
            }
        }
        let window = &bytes[..bytes.len().min(HEAD_BYTES_MAX)];
        let had_second_line = self.scan.second_line_end().is_some();
        let end = self.scan.end(window);
        if let (Some(first), Some(second)) = (self.scan.first_line_end(), self.scan.second_line_end())
            && !had_second_line
            && is_simple(&window[..first])
            && !is_field(&window[first..second])
        {
            return self.whole_head(&window[..first], offset, both, observer);
        }
        match end {
            Some(end) => self.whole_head(&window[..end], offset, both, observer),
            None if window.len() < HEAD_BYTES_MAX => Step::More,
            None => {
                self.scan = HeadScan::default();
                let place = Place { side: Side::Client, offset, bytes: HEAD_BYTES_MAX as u64 };
                let framing = self.head(window, offset, true, both, observer);
                both.odd(place, Bound, "head_too_long", observer);
                self.state = State::HeadRest { framing, in_line: !window.ends_with(b"\n") };
                Step::Used(window.len())
            }
        }
    }

    fn whole_head(&mut self, head: &[u8], offset: u64, both: &mut Both, observer: &mut dyn Observer) -> Step {
        self.scan = HeadScan::default();
        let framing = self.head(head, offset, false, both, observer);
        self.after_head(framing);
        Step::Used(head.len())
    }

    fn after_head(&mut self, framing: Framing) {
        self.content.expect(framing.bytes_expected());
        self.state = framing.of_request().map_or(State::Head, State::Body);
    }

    /// Tells a request and keeps it for its response.
    fn head(
        &mut self,
        head: &[u8],
        offset: u64,
        is_cut: bool,
        both: &mut Both,
        observer: &mut dyn Observer,
    ) -> Framing {
        self.has_asked = true;
        let place = Place { side: Side::Client, offset, bytes: head.len() as u64 };
        let request = Request::parse(head, is_cut, HTTP);
        observer.fact(place, Fact::Http(Event::Request(request)));

        let mut framing = Framing::default();
        let (mut login, mut content_type) = (None, None);
        for (name, value) in request.headers {
            framing.field(name, value);
            let is_login =
                || name.eq_ignore_ascii_case(b"authorization") || name.eq_ignore_ascii_case(b"proxy-authorization");
            if login.is_none() && is_login() {
                let at = Place { offset: offset + offset_in(head, value), bytes: value.len() as u64, ..place };
                login = Credentials::parse(value).map(|credentials| (credentials, at));
            } else if content_type.is_none() && name.eq_ignore_ascii_case(b"content-type") {
                content_type = Some(value);
            }
        }
        for what in head_flaws(head).chain(framing.oddity()) {
            both.odd(place, Tolerated, what, observer);
        }
        self.tell_start_line_oddities(&request, place, both, observer);

        self.content.begin_file(request.file_name(), place);
        let form = content_type.filter(|value| starts_with_ignoring_case(value, b"multipart/form-data"));
        if let Some(content_type) = form
            && !parameter(content_type, "boundary").is_some_and(|boundary| self.content.begin_form(boundary))
        {
            both.odd(place, Tolerated, "boundary_unusable", observer);
        }
        if !both.waiting.push(Asked { kept: Kept::new(head, is_cut, place), login }) {
            both.odd(place, Bound, "too_many_requests_waiting", observer);
        }
        framing
    }

    fn tell_start_line_oddities(
        &self,
        request: &Request<'_>,
        place: Place,
        both: &mut Both,
        observer: &mut dyn Observer,
    ) {
        if !is_method(request.method) {
            both.odd(place, Tolerated, "method_malformed", observer);
        }
        if request.version.is_empty() {
            both.odd(place, Tolerated, "version_missing", observer);
        } else if !matches!(request.version, b"HTTP/1.1" | b"HTTP/1.0" | b"HTTP/2.0") {
            both.odd(place, Tolerated, "version_unknown", observer);
        }
    }

    /// The rest of a head that was too long: only how long the body is counts.
    fn in_head_rest(&mut self, bytes: &[u8], mut framing: Framing, in_line: bool) -> Step {
        let (line, used) = match line(bytes, in_line) {
            Line::Whole(line) => (line, line.len()),
            Line::Rest { used, is_end } => {
                self.state = State::HeadRest { framing, in_line: !is_end };
                return Step::Used(used);
            }
            Line::More => return Step::More,
        };
        if without_line_end(line).is_empty() {
            self.after_head(framing);
        } else {
            let (name, value) = field(line);
            framing.field(name, value);
            self.state = State::HeadRest { framing, in_line: false };
        }
        Step::Used(used)
    }

    fn in_body(
        &mut self,
        mut body: Body,
        bytes: &[u8],
        offset: u64,
        both: &mut Both,
        observer: &mut dyn Observer,
    ) -> Step {
        let (read, oddity) = body.read(bytes);
        self.state = State::Body(body);
        let used = match read {
            Read::Content(used) => {
                self.content.piece(&bytes[..used], offset, &mut both.files, observer);
                used
            }
            Read::Around(used) => used,
            Read::More | Read::Broken => 0,
        };
        if let Some((kind, what)) = oddity {
            both.odd(Place { side: Side::Client, offset, bytes: used as u64 }, kind, what, observer);
        }
        if body == Body::Over {
            self.content.end(read != Read::Broken, offset + used as u64, &mut both.files, observer);
            self.state = State::Head;
        }
        match read {
            Read::Content(_) | Read::Around(_) => Step::Used(used),
            Read::More => Step::More,
            Read::Broken => self.step(bytes, offset, both, observer),
        }
    }

    /// Looks for a line that is certainly a request.
    fn while_lost(
        &mut self,
        bytes: &[u8],
        in_line: bool,
        offset: u64,
        both: &mut Both,
        observer: &mut dyn Observer,
    ) -> Step {
        match line(bytes, in_line) {
            Line::Whole(line) if is_certain_request(line) => {
                self.state = State::Head;
                self.in_head(bytes, offset, both, observer)
            }
            Line::Whole(line) => Step::Used(line.len()),
            Line::Rest { used, is_end } => {
                self.state = State::Lost { in_line: !is_end };
                Step::Used(used)
            }
            Line::More => Step::More,
        }
    }

    /// Learns that bytes are lost; the flow goes on at `offset`.
    fn skip(&mut self, bytes: u64, offset: u64, both: &mut Both, observer: &mut dyn Observer) {
        if let State::Body(mut body) = self.state {
            let is_content = body.skip(bytes);
            if is_content {
                self.content.skip(bytes, offset, observer);
                self.state = State::Body(body);
            }
            if body == Body::Over {
                self.content.end(is_content, offset, &mut both.files, observer);
                self.state = State::Head;
            }
            if is_content {
                return;
            }
        }
        self.scan = HeadScan::default();
        self.state = State::Lost { in_line: false };
    }
}

/// A line where lines are read one by one.
pub(super) enum Line<'a> {
    /// A whole line, with its end.
    Whole(&'a [u8]),
    /// So many bytes of a line whose beginning is gone; whether its end is among them.
    Rest { used: usize, is_end: bool },
    /// More bytes are needed.
    More,
}

/// The line at the beginning of `bytes`; with `in_line`, its beginning is gone already.
pub(super) fn line(bytes: &[u8], in_line: bool) -> Line<'_> {
    if in_line {
        let end = memchr(b'\n', bytes);
        return Line::Rest { used: end.map_or(bytes.len(), |line_feed| line_feed + 1), is_end: end.is_some() };
    }
    let window = &bytes[..bytes.len().min(LINE_BYTES_MAX)];
    match memchr(b'\n', window) {
        Some(line_feed) => Line::Whole(&window[..=line_feed]),
        None if window.len() == LINE_BYTES_MAX => Line::Rest { used: LINE_BYTES_MAX, is_end: false },
        None => Line::More,
    }
}

/// Whether a request begins here, rather than bytes that belong to none; none when more bytes are needed.
fn is_request_start(bytes: &[u8]) -> Option<bool> {
    let is_letter = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    let method = &bytes[..bytes.iter().take(METHOD_BYTES_MAX + 1).take_while(|byte| is_letter(byte)).count()];
    if method.is_empty() || method.len() > METHOD_BYTES_MAX {
        return Some(false);
    }
    match bytes.get(method.len()) {
        None => None,
        Some(b' ' | b'\t') if !method.iter().any(u8::is_ascii_lowercase) => Some(true),
        Some(b' ' | b'\t') => match line(bytes, false) {
            Line::Whole(line) => Some(is_certain_request(line)),
            Line::Rest { .. } => Some(false),
            Line::More => None,
        },
        Some(_) => Some(false),
    }
}

/// Whether a line is a request line with everything that belongs to it.
fn is_certain_request(line: &[u8]) -> bool {
    let (method, target, version) = request_line(line, HTTP);
    is_method(method) && !target.is_empty() && !version.is_empty()
}

/// Whether a line is a request without a version (HTTP/0.9).
fn is_simple(line: &[u8]) -> bool {
    request_line(without_line_end(line), HTTP).2.is_empty()
}

/// Whether a line is a header field, or the empty line behind them.
fn is_field(line: &[u8]) -> bool {
    let line = without_line_end(line);
    let name = &line[..memchr(b':', line).unwrap_or(0)];
    line.is_empty() || (!name.is_empty() && memchr(b' ', name.trim_ascii_end()).is_none())
}
