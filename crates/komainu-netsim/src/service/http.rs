//! A web server (RFC 9112) that answers plausibly whatever host and path it is asked for, and keeps what is sent to it.

use komainu_trace::RawText;
use komainu_trace::network::NetworkAct;

use super::mail::base64;
use super::small::through;
use super::{Call, Next, Service};
use crate::download;
use crate::limits::{HEAD_BYTES_MAX, LINE_BYTES_MAX, REQUESTS_MAX, TARGET_TOLD_BYTES};
use crate::record::Collector;

/// A line that says how long a chunk is, in bytes, with its extensions.
const CHUNK_LINE_BYTES_MAX: usize = 256;

/// Hosts that tell whoever asks by which address it is known.
const ADDRESS_HOSTS: &[&str] = &[
    "api.ipify.org",
    "api4.ipify.org",
    "icanhazip.com",
    "ipv4.icanhazip.com",
    "ifconfig.me",
    "ifconfig.co",
    "ipecho.net",
    "checkip.amazonaws.com",
    "checkip.dyndns.org",
    "ident.me",
    "myexternalip.com",
    "wtfismyip.com",
    "ip.sb",
    "ipinfo.io",
    "ip-api.com",
];

/// A web server.
#[derive(Debug, Default)]
pub(crate) struct Http {
    head: Vec<u8>,
    phase: Phase,
    requests: u32,
}

#[derive(Debug, Default)]
enum Phase {
    #[default]
    Head,
    Body(Box<Body>),
}

/// A request whose body is coming.
#[derive(Debug)]
struct Body {
    request: Request,
    collector: Collector,
    framing: Framing,
}

/// How much of a body is to come.
#[derive(Debug)]
enum Framing {
    Length(u64),
    /// A line with the length of the next chunk, as far as it is here.
    ChunkLine(Vec<u8>),
    Chunk(u64),
    /// The line end behind a chunk.
    ChunkEnd,
    /// Fields behind the last chunk; the bytes of the line that is open.
    Trailer(usize),
}

/// A request, as far as it decides the answer.
#[derive(Debug)]
struct Request {
    method: Vec<u8>,
    target: Vec<u8>,
    host: Option<Vec<u8>>,
    user_agent: Option<Vec<u8>>,
    authorization: Option<Vec<u8>>,
    content_length: Option<u64>,
    is_chunked: bool,
    expects_continue: bool,
    upgrades: bool,
    closes: bool,
}

impl Request {
    /// Reads a head, with its line ends.
    fn parse(head: &[u8]) -> Self {
        let mut lines = head.split(|byte| *byte == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line));
        let first = lines.next().unwrap_or_default();
        let mut words = first.splitn(2, |byte| *byte == b' ');
        let method = words.next().unwrap_or_default().to_vec();
        let rest = words.next().unwrap_or_default();
        let (target, version) = match rest.iter().rposition(|byte| *byte == b' ') {
            Some(at) if rest[at + 1..].starts_with(b"HTTP/") => (&rest[..at], &rest[at + 1..]),
            _ => (rest, &b""[..]),
        };
        let mut request = Self {
            method,
            target: target.to_vec(),
            host: None,
            user_agent: None,
            authorization: None,
            content_length: None,
            is_chunked: false,
            expects_continue: false,
            upgrades: false,
            closes: version != b"HTTP/1.1",
        };
        for line in lines {
            let Some(colon) = line.iter().position(|byte| *byte == b':') else { continue };
            let (name, value) = (line[..colon].to_ascii_lowercase(), line[colon + 1..].trim_ascii());
            let lower = value.to_ascii_lowercase();
            match name.as_slice() {
                b"host" => request.host = Some(value.to_vec()),
                b"user-agent" => request.user_agent = Some(value.to_vec()),
                b"authorization" => request.authorization = Some(value.to_vec()),
                b"content-length" => {
                    request.content_length = std::str::from_utf8(value).ok().and_then(|value| value.parse().ok());
                }
                b"transfer-encoding" => request.is_chunked = lower.ends_with(b"chunked"),
                b"expect" => request.expects_continue = lower == b"100-continue",
                b"upgrade" => request.upgrades = true,
                b"connection" if lower.starts_with(b"close") => request.closes = true,
                b"connection" if lower.starts_with(b"keep-alive") => request.closes = false,
                _ => {}
            }
        }
        request
    }

    /// The host that is meant, without its port, in lower case.
    fn host_name(&self) -> String {
        let of_target = self
            .target
            .strip_prefix(b"http://")
            .map(|rest| rest.split(|byte| *byte == b'/').next().unwrap_or_default());
        let host = of_target.or(self.host.as_deref()).unwrap_or_default();
        let host = String::from_utf8_lossy(host).to_ascii_lowercase();
        match host.rsplit_once(':') {
            Some((name, port)) if !port.contains(']') => name.to_owned(),
            _ => host,
        }
    }

    /// The path with what follows a question mark.
    fn path(&self) -> &[u8] {
        match self.target.strip_prefix(b"http://") {
            Some(rest) => rest.iter().position(|byte| *byte == b'/').map_or(b"/", |at| &rest[at..]),
            None => &self.target,
        }
    }
}

/// An answer.
#[derive(Debug)]
struct Answer {
    status: u16,
    kind: &'static str,
    fields: String,
    body: Vec<u8>,
}

impl Answer {
    fn new(status: u16, kind: &'static str, body: impl Into<Vec<u8>>) -> Self {
        Self { status, kind, fields: String::new(), body: body.into() }
    }

    fn reason(&self) -> &'static str {
        match self.status {
            100 => "Continue",
            200 => "OK",
            201 => "Created",
            204 => "No Content",
            400 => "Bad Request",
            404 => "Not Found",
            405 => "Method Not Allowed",
            413 => "Content Too Large",
            431 => "Request Header Fields Too Large",
            _ => "Unknown",
        }
    }
}

impl Http {
    /// Takes bytes of a head; gives back those behind its end, if it is here.
    fn head<'a>(&mut self, bytes: &'a [u8], call: &mut Call<'_>) -> (Next, &'a [u8]) {
        for (at, byte) in bytes.iter().enumerate() {
            // Empty lines before a request are none of it (RFC 9112, 2.2).
            if self.head.is_empty() && matches!(byte, b'\r' | b'\n') {
                continue;
            }
            self.head.push(*byte);
            let is_old = || !self.head.windows(5).any(|five| five == b"HTTP/") && self.head.len() < LINE_BYTES_MAX;
            let is_whole = *byte == b'\n'
                && (self.head.ends_with(b"\n\r\n")
                    || self.head.ends_with(b"\n\n")
                    || (is_first_line(&self.head) && is_old()));
            if is_whole {
                let request = Request::parse(&std::mem::take(&mut self.head));
                return (self.request(request, &bytes[at + 1..], call), &bytes[at + 1..]);
            }
            if self.head.len() > HEAD_BYTES_MAX {
                self.answer_unread(431, call);
                return (Next::Stay, &[]);
            }
        }
        (Next::Stay, &[])
    }

    fn answer_unread(&mut self, status: u16, call: &mut Call<'_>) {
        write(&Answer::new(status, "text/html", ""), b"GET", true, call);
        call.close();
    }

    fn request(&mut self, request: Request, rest: &[u8], call: &mut Call<'_>) -> Next {
        self.requests += 1;
        if request.method == b"CONNECT" {
            let target = request.target.clone();
            tell(&request, 200, None, call);
            call.send("HTTP/1.1 200 Connection established\r\n\r\n");
            let at = target.iter().rposition(|byte| *byte == b':').unwrap_or(target.len());
            let port =
                std::str::from_utf8(target.get(at + 1..).unwrap_or_default()).ok().and_then(|port| port.parse().ok());
            let name = target[..at.min(LINE_BYTES_MAX)].to_ascii_lowercase();
            return through(&name, port.unwrap_or(443), "http", rest.to_vec(), call);
        }
        let framing = match request.content_length {
            _ if request.is_chunked => Framing::ChunkLine(Vec::new()),
            Some(length) if length > 0 => Framing::Length(length),
            _ => {
                self.done(&request, None, call);
                return Next::Stay;
            }
        };
        if request.expects_continue {
            call.send("HTTP/1.1 100 Continue\r\n\r\n");
        }
        let collector = call.world.record.collect();
        self.phase = Phase::Body(Box::new(Body { request, collector, framing }));
        Next::Stay
    }

    /// A request is whole.
    fn done(&mut self, request: &Request, body: Option<Collector>, call: &mut Call<'_>) {
        if let Some((user, password)) = credentials(request) {
            call.login("http", &user, &password);
        }
        let answer = answer(request, call);
        let name = file_name(request.path());
        let body = body.map(|body| call.world.record.collected(body));
        if let Some((sha256, bytes)) = &body
            && *bytes > 0
        {
            let (sha256, bytes) = (sha256.clone(), *bytes);
            call.event(NetworkAct::Content { flow: call.peer.flow, name, sha256, bytes });
        }
        tell(request, answer.status, body, call);
        let closes = request.closes || self.requests >= REQUESTS_MAX;
        write(&answer, &request.method, closes, call);
        if closes {
            call.close();
        }
    }
}

/// Whether the head is one line: what an old client (HTTP/0.9) asks.
fn is_first_line(head: &[u8]) -> bool {
    head.iter().position(|byte| *byte == b'\n') == Some(head.len() - 1)
}

fn tell(request: &Request, status: u16, body: Option<(String, u64)>, call: &mut Call<'_>) {
    let text = |value: &[u8]| RawText::from(&value[..value.len().min(LINE_BYTES_MAX)]);
    let target = &request.target[..request.target.len().min(TARGET_TOLD_BYTES)];
    let (body_sha256, body_bytes) = match body {
        Some((sha256, bytes)) if bytes > 0 => (Some(sha256), bytes),
        _ => (None, 0),
    };
    call.event(NetworkAct::Http {
        flow: call.peer.flow,
        method: request.method[..request.method.len().min(64)].into(),
        target: target.into(),
        host: request.host.as_deref().map(text),
        user_agent: request.user_agent.as_deref().map(text),
        status,
        body_bytes,
        body_sha256,
    });
}

fn write(answer: &Answer, method: &[u8], closes: bool, call: &mut Call<'_>) {
    const SERVERS: [&str; 4] = ["nginx/1.18.0", "Apache/2.4.41 (Ubuntu)", "lighttpd/1.4.55", "nginx"];
    let of = call.peer.to.ip().to_string();
    let number = usize::try_from(call.world.seed.below("server", of.as_bytes(), SERVERS.len() as u64)).unwrap_or(0);
    let (status, reason, kind, fields) = (answer.status, answer.reason(), answer.kind, &answer.fields);
    let date = http_date(call.world.clock_unix_s());
    let mut head = format!("HTTP/1.1 {status} {reason}\r\nServer: {}\r\nDate: {date}\r\n{fields}", SERVERS[number]);
    if status != 204 {
        head += &format!("Content-Type: {kind}\r\nContent-Length: {}\r\n", answer.body.len());
    }
    head += if closes { "Connection: close\r\n\r\n" } else { "Connection: keep-alive\r\n\r\n" };
    call.send(head);
    if method != b"HEAD" && status != 204 {
        call.send(&answer.body);
    }
}

/// What is answered to whom, by method, host and path.
fn answer(request: &Request, call: &Call<'_>) -> Answer {
    let (host, path) = (request.host_name(), request.path());
    let plain_path = path.split(|byte| *byte == b'?').next().unwrap_or_default();
    match request.method.as_slice() {
        b"GET" | b"HEAD" => {}
        b"POST" => {
            // A device that is told what to do by SOAP says that it did.
            return Answer::new(200, "text/html", "");
        }
        b"PUT" => return Answer::new(201, "text/html", ""),
        b"DELETE" | b"PATCH" => return Answer::new(204, "text/html", ""),
        b"OPTIONS" => {
            let mut answer = Answer::new(204, "text/html", "");
            answer.fields = "Allow: GET, HEAD, POST, PUT, OPTIONS\r\n".into();
            return answer;
        }
        _ => return Answer::new(405, "text/html", page("405 Method Not Allowed")),
    }
    // Web sockets are not spoken; a server that does not know them refuses like this.
    if request.upgrades {
        return Answer::new(400, "text/html", page("400 Bad Request"));
    }
    if ADDRESS_HOSTS.contains(&host.as_str()) {
        return address(&host, plain_path, call);
    }
    match plain_path {
        // Whether there is an Internet: what systems ask, and what they expect.
        b"/generate_204" | b"/gen_204" => Answer::new(204, "text/html", ""),
        b"/hotspot-detect.html" | b"/library/test/success.html" => {
            Answer::new(200, "text/html", "<HTML><HEAD><TITLE>Success</TITLE></HEAD><BODY>Success</BODY></HTML>\n")
        }
        b"/connecttest.txt" => Answer::new(200, "text/plain", "Microsoft Connect Test"),
        b"/ncsi.txt" => Answer::new(200, "text/plain", "Microsoft NCSI"),
        b"/success.txt" | b"/canonical.html" => Answer::new(200, "text/plain", "success\n"),
        b"/check_network_status.txt" | b"/nm" if host.contains("network") => {
            Answer::new(200, "text/plain", "NetworkManager is online\n")
        }
        b"/ip" | b"/myip" => address(&host, plain_path, call),
        b"/robots.txt" => Answer::new(200, "text/plain", "User-agent: *\nDisallow:\n"),
        b"/" | b"" | b"/index.html" | b"/index.htm" | b"/index.php" => {
            let name = if host.is_empty() { call.host_name() } else { host };
            Answer::new(200, "text/html", index(&name))
        }
        path if download::is_download(path) => match download::answer(call.world.settings.downloads, path) {
            Some(body) => Answer::new(200, "application/octet-stream", body),
            None => Answer::new(404, "text/html", page("404 Not Found")),
        },
        path if path.ends_with(b"/") => Answer::new(200, "text/html", listing(path)),
        _ => Answer::new(404, "text/html", page("404 Not Found")),
    }
}

fn address(host: &str, path: &[u8], call: &Call<'_>) -> Answer {
    let address = call.world.outside_address();
    if host == "checkip.dyndns.org" {
        let body = format!("<html><body>Current IP Address: {address}</body></html>\r\n");
        return Answer::new(200, "text/html", body);
    }
    let wants_json =
        host == "ip-api.com" || (host == "ipinfo.io" && !path.ends_with(b"/ip")) || path.ends_with(b"json");
    if wants_json {
        let body = format!(
            "{{\"ip\":\"{address}\",\"query\":\"{address}\",\"country\":\"JP\",\"countryCode\":\"JP\",\"status\":\"success\"}}\n"
        );
        return Answer::new(200, "application/json", body);
    }
    Answer::new(200, "text/plain", format!("{address}\n"))
}

fn page(title: &str) -> String {
    format!(
        "<html>\r\n<head><title>{title}</title></head>\r\n<body>\r\n<center><h1>{title}</h1></center>\r\n</body>\r\n</html>\r\n"
    )
}

fn index(name: &str) -> String {
    let name: String =
        name.chars().filter(|char| char.is_ascii_alphanumeric() || matches!(char, '.' | '-')).take(253).collect();
    format!(
        "<!DOCTYPE html>\n<html>\n<head><title>{name}</title></head>\n<body>\n<h1>It works!</h1>\n</body>\n</html>\n"
    )
}

fn listing(path: &[u8]) -> String {
    let path = String::from_utf8_lossy(path);
    let path: String =
        path.chars().filter(|char| char.is_ascii_alphanumeric() || "/._-".contains(*char)).take(256).collect();
    format!(
        "<html>\r\n<head><title>Index of {path}</title></head>\r\n<body>\r\n<h1>Index of {path}</h1><hr><pre><a href=\"../\">../</a>\r\n</pre><hr></body>\r\n</html>\r\n"
    )
}

/// The last part of a path, if there is one.
fn file_name(path: &[u8]) -> Option<RawText> {
    let path = path.split(|byte| *byte == b'?').next().unwrap_or_default();
    let name = path.rsplit(|byte| *byte == b'/').next().unwrap_or_default();
    (!name.is_empty()).then(|| name[..name.len().min(256)].into())
}

/// Name and password of `Basic` (RFC 7617).
fn credentials(request: &Request) -> Option<(Vec<u8>, Vec<u8>)> {
    let value = request.authorization.as_deref()?;
    let (kind, rest) = value.split_at_checked(6)?;
    if !kind.eq_ignore_ascii_case(b"basic ") {
        return None;
    }
    let read = base64(rest);
    let colon = read.iter().position(|byte| *byte == b':')?;
    Some((read[..colon].to_vec(), read[colon + 1..].to_vec()))
}

/// A time as HTTP writes it (RFC 9110, 5.6.7).
fn http_date(unix_s: u64) -> String {
    const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
    const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    // No clock of a guest goes beyond the year 9999; and what does, says so.
    let days = (unix_s / 86_400).min(2_932_896);
    let second = unix_s % 86_400;
    // Howard Hinnant's `civil_from_days`: days in eras of 400 years that begin in March.
    let shifted = days + 719_468;
    let of_era = shifted % 146_097;
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = (month_from_march + 2) % 12;
    let year = year_of_era + shifted / 146_097 * 400 + u64::from(month < 2);
    let name = |names: &[&'static str], at: u64| names[usize::try_from(at).expect("small")];
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    let (week_day, month) = (name(&DAYS, days % 7), name(&MONTHS, month));
    format!("{week_day}, {day:02} {month} {year} {hour:02}:{minute:02}:{second:02} GMT")
}

impl Body {
    /// Takes bytes; gives back those behind the end of the body, if it is here, and none if it is no body.
    fn take<'a>(&mut self, mut bytes: &'a [u8]) -> Result<Option<&'a [u8]>, ()> {
        while !bytes.is_empty() {
            match &mut self.framing {
                Framing::Length(left) | Framing::Chunk(left) => {
                    let length = bytes.len().min(usize::try_from(*left).unwrap_or(usize::MAX));
                    self.collector.add(&bytes[..length]);
                    bytes = &bytes[length..];
                    *left -= length as u64;
                    if *left == 0 {
                        if matches!(self.framing, Framing::Length(_)) {
                            return Ok(Some(bytes));
                        }
                        self.framing = Framing::ChunkEnd;
                    }
                }
                Framing::ChunkEnd => {
                    let is_end = bytes[0] == b'\n';
                    if !is_end && bytes[0] != b'\r' {
                        return Err(());
                    }
                    bytes = &bytes[1..];
                    if is_end {
                        self.framing = Framing::ChunkLine(Vec::new());
                    }
                }
                Framing::ChunkLine(line) => {
                    let byte = bytes[0];
                    bytes = &bytes[1..];
                    if byte != b'\n' {
                        line.push(byte);
                        if line.len() > CHUNK_LINE_BYTES_MAX {
                            return Err(());
                        }
                        continue;
                    }
                    let digits = line.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
                    let length =
                        std::str::from_utf8(digits).ok().and_then(|digits| u64::from_str_radix(digits, 16).ok());
                    self.framing = match length.ok_or(())? {
                        0 => Framing::Trailer(0),
                        length => Framing::Chunk(length),
                    };
                }
                Framing::Trailer(open) => {
                    let byte = bytes[0];
                    bytes = &bytes[1..];
                    match byte {
                        b'\n' if *open == 0 => return Ok(Some(bytes)),
                        b'\n' => *open = 0,
                        b'\r' => {}
                        _ => *open += 1,
                    }
                }
            }
        }
        Ok(None)
    }
}

impl Service for Http {
    fn name(&self) -> &'static str {
        "http"
    }

    fn data(&mut self, mut bytes: &[u8], call: &mut Call<'_>) -> Next {
        while !bytes.is_empty() && !*call.is_closing {
            let Phase::Body(body) = &mut self.phase else {
                let (next, rest) = self.head(bytes, call);
                if !matches!(next, Next::Stay) {
                    return next;
                }
                bytes = rest;
                continue;
            };
            match body.take(bytes) {
                Ok(None) => break,
                Ok(Some(rest)) => {
                    bytes = rest;
                    if let Phase::Body(body) = std::mem::take(&mut self.phase) {
                        self.done(&body.request, Some(body.collector), call);
                    }
                }
                Err(()) => {
                    self.phase = Phase::Head;
                    self.answer_unread(400, call);
                }
            }
        }
        Next::Stay
    }

    fn finished(&mut self, call: &mut Call<'_>) {
        // What came of a body that has no end is told as what it is.
        if let Phase::Body(body) = std::mem::take(&mut self.phase) {
            self.done(&body.request, Some(body.collector), call);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Talk;

    /// What one request is answered: the head's first line, and the body.
    fn check(request: &str, first_line: &str, body: &str) {
        for piece in [1, 7, request.len()] {
            let mut talk = Talk::new(Box::<Http>::default(), "198.51.100.7:80");
            request.as_bytes().chunks(piece).for_each(|piece| talk.say(piece));
            let text = talk.text();
            let (head, seen) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("{request}: {text}"));
            assert_eq!(head.lines().next(), Some(first_line), "{request}");
            assert!(seen.contains(body) && (!body.is_empty() || seen.is_empty()), "{request}: {seen}");
            let told = talk.acts().iter().filter(|act| matches!(act, NetworkAct::Http { .. })).count();
            assert_eq!(told, 1, "{request}");
        }
    }

    #[test]
    fn hosts_and_paths_are_answered_as_expected() {
        check("GET /generate_204 HTTP/1.1\r\nHost: a\r\n\r\n", "HTTP/1.1 204 No Content", "");
        check("GET / HTTP/1.1\r\nHost: api.ipify.org\r\n\r\n", "HTTP/1.1 200 OK", "203.0.113.");
        check("GET http://ip-api.com/json HTTP/1.1\r\n\r\n", "HTTP/1.1 200 OK", "\"query\":\"203.0.113.");
        check("GET /ncsi.txt HTTP/1.0\r\n\r\n", "HTTP/1.1 200 OK", "Microsoft NCSI");
        check("GET / HTTP/1.1\r\nHost: <b>c2.example\r\n\r\n", "HTTP/1.1 200 OK", "<title>bc2.example</title>");
        check("GET /bins/a.mips HTTP/1.1\r\nHost: a\r\n\r\n", "HTTP/1.1 200 OK", "asked for: mips");
        check("GET /bins/ HTTP/1.1\r\nHost: a\r\n\r\n", "HTTP/1.1 200 OK", "Index of /bins/");
        check("HEAD / HTTP/1.1\r\nHost: a\r\n\r\n", "HTTP/1.1 200 OK", "");
        check("GET /secret HTTP/1.1\r\nHost: a\r\n\r\n", "HTTP/1.1 404 Not Found", "404");
        check("BREW / HTTP/1.1\r\nHost: a\r\n\r\n", "HTTP/1.1 405 Method Not Allowed", "405");
        check("PUT /x HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc", "HTTP/1.1 201 Created", "");
        check(
            "GET /ws HTTP/1.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
            "HTTP/1.1 400 Bad Request",
            "400",
        );
        check("GET /\r\n", "HTTP/1.1 200 OK", "It works");
    }

    #[test]
    fn uploads_are_kept_whatever_their_framing() {
        let chunked =
            "POST /up/f.txt HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n2;x=y\r\nab\r\n1\r\nc\r\n0\r\nA: b\r\n\r\n";
        let sized = "POST /up/f.txt HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\nabc";
        for request in [chunked, sized] {
            for piece in [1, 5, request.len()] {
                let mut talk = Talk::new(Box::<Http>::default(), "198.51.100.7:80");
                request.as_bytes().chunks(piece).for_each(|piece| talk.say(piece));
                talk.say(b"GET /generate_204 HTTP/1.1\r\n\r\n");
                let text = talk.text();
                assert!(text.contains("200 OK") && text.contains("204 No Content"), "kept alive: {text}");
                assert_eq!(text.contains("100 Continue"), request == sized);
                let acts = talk.acts();
                let content = acts.iter().find_map(|act| match act {
                    NetworkAct::Content { name: Some(name), sha256, bytes: 3, .. } => Some((name.to_string(), sha256)),
                    _ => None,
                });
                let (name, sha256) = content.unwrap();
                assert_eq!((name.as_str(), &sha256[..8]), ("f.txt", "ba7816bf"));
            }
        }
    }

    #[test]
    fn what_is_no_request_is_refused() {
        for request in [
            "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
            "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nabc",
        ] {
            let mut talk = Talk::new(Box::<Http>::default(), "198.51.100.7:80");
            talk.say(request.as_bytes());
            assert!(talk.text().contains("400 Bad Request") && talk.is_closing());
        }
        let mut talk = Talk::new(Box::<Http>::default(), "198.51.100.7:80");
        talk.say(b"GET / HTTP/1.1\r\n");
        talk.say(&b"A: b\r\n".repeat(HEAD_BYTES_MAX));
        assert!(talk.text().contains("431 ") && talk.is_closing());
    }

    #[test]
    fn a_name_and_a_password_and_a_tunnel() {
        let mut talk = Talk::new(Box::<Http>::default(), "198.51.100.7:80");
        talk.say(b"GET / HTTP/1.1\r\nAuthorization: Basic YWRtaW46YTpi\r\n\r\n");
        assert!(
            talk.acts().iter().any(|act| matches!(act, NetworkAct::Login { password, .. } if password.0 == b"a:b"))
        );
        talk.say(b"CONNECT c2.example:443 HTTP/1.1\r\n\r\n");
        assert!(talk.text().contains("200 Connection established"));
        assert_eq!(talk.service_name(), "undecided");
    }

    #[test]
    fn times_are_written_as_http_writes_them() {
        assert_eq!(http_date(784_111_777), "Sun, 06 Nov 1994 08:49:37 GMT");
        assert_eq!(http_date(1_709_164_800), "Thu, 29 Feb 2024 00:00:00 GMT");
        assert_eq!(http_date(0), "Thu, 01 Jan 1970 00:00:00 GMT");
        assert!(http_date(u64::MAX).contains("9999"));
    }
}
