//! A request, as far as a persona has to understand it.

/// A request, up to its body.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Request {
    pub(super) method: Vec<u8>,
    /// The host and the port of a target that is a whole URL, as a proxy is asked (RFC 9112, 3.2.2).
    pub(super) authority: Option<Vec<u8>>,
    /// Without scheme, host and query.
    pub(super) path: Vec<u8>,
    pub(super) query: Vec<u8>,
    pub(super) host: Option<Vec<u8>>,
    pub(super) authorization: Option<Vec<u8>>,
    /// The name at the end of `SOAPAction`.
    pub(super) soap_action: Option<Vec<u8>>,
    pub(super) expects_continue: bool,
    pub(super) keep_alive: bool,
    pub(super) body: Body,
}

/// The end of a body.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Body {
    /// So many bytes are missing.
    Bytes(u64),
    /// It comes in chunks (RFC 9112, 7.1).
    Chunks(Chunks),
}

/// Where in a chunked body it stands.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Chunks {
    /// In the line that tells the size, after these digits of it.
    Size {
        bytes: u64,
        has_digits: bool,
        is_behind_digits: bool,
    },
    /// In a chunk, of which so much is missing.
    Data {
        bytes: u64,
    },
    /// In the line end after a chunk.
    DataEnd,
    /// In the lines after the last chunk; whether the line has something in it.
    Trailer {
        has_text: bool,
    },
    Over,
}

impl Request {
    /// Reads a request from the beginning of `bytes`, and says how long it is without its body; none while it is not
    /// whole.
    pub(super) fn read(bytes: &[u8]) -> Option<(Self, usize)> {
        // Empty lines before a request are allowed (RFC 9112, 2.2).
        let start = bytes.iter().position(|byte| !matches!(byte, b'\r' | b'\n'))?;
        let mut lines = Lines { bytes, at: start };
        let request_line = lines.next()?;
        let (method, target, version) = request_line_words(request_line);
        let (authority, path, query) = target_parts(target);
        let mut request = Self {
            method: method.to_vec(),
            authority: authority.map(<[u8]>::to_vec),
            path: path.to_vec(),
            query: query.to_vec(),
            host: None,
            authorization: None,
            soap_action: None,
            expects_continue: false,
            keep_alive: version == b"HTTP/1.1",
            body: Body::Bytes(0),
        };
        // HTTP/0.9 is one line.
        if version.is_empty() {
            return Some((request, lines.at));
        }
        loop {
            let line = lines.next()?;
            if line.is_empty() {
                return Some((request, lines.at));
            }
            let Some(colon) = line.iter().position(|byte| *byte == b':') else { continue };
            request.header(line[..colon].trim_ascii(), line[colon + 1..].trim_ascii());
        }
    }

    fn header(&mut self, name: &[u8], value: &[u8]) {
        let is = |expected: &str| name.eq_ignore_ascii_case(expected.as_bytes());
        let has = |part: &str| value.to_ascii_lowercase().windows(part.len()).any(|window| window == part.as_bytes());
        if is("content-length") {
            // A length that is none is as good as none; the connection is closed after the answer.
            let bytes = std::str::from_utf8(value).ok().and_then(|value| value.parse().ok());
            if let (Some(bytes), Body::Bytes(_)) = (bytes, &self.body) {
                self.body = Body::Bytes(bytes);
            }
        } else if is("transfer-encoding") && has("chunked") {
            self.body = Body::Chunks(Chunks::size());
        } else if is("expect") {
            self.expects_continue = has("100-continue");
        } else if is("connection") {
            self.keep_alive = if self.keep_alive { !has("close") } else { has("keep-alive") };
        } else if is("host") {
            self.host = Some(value.to_vec());
        } else if is("authorization") {
            self.authorization = Some(value.to_vec());
        } else if is("soapaction") {
            let value = value.strip_prefix(b"\"").unwrap_or(value);
            let value = value.strip_suffix(b"\"").unwrap_or(value);
            let behind = |mark: u8| value.iter().rposition(|byte| *byte == mark).map(|at| &value[at + 1..]);
            // UPnP has a `#` (UDA 1.1, 3.2.1), the URLs of ONVIF have none.
            let name = behind(b'#').or_else(|| behind(b'/')).unwrap_or(value);
            self.soap_action = (!name.is_empty()).then(|| name.to_vec());
        }
    }
}

impl Body {
    /// Takes what belongs to the body from the beginning of `bytes`, and says how much that is. `content` is given what
    /// it carries.
    pub(super) fn take(&mut self, bytes: &[u8], content: &mut impl FnMut(&[u8])) -> usize {
        match self {
            Self::Bytes(missing) => take_data(missing, bytes, content),
            Self::Chunks(chunks) => chunks.take(bytes, content),
        }
    }

    pub(super) fn is_over(&self) -> bool {
        matches!(self, Self::Bytes(0) | Self::Chunks(Chunks::Over))
    }
}

impl Chunks {
    const fn size() -> Self {
        Self::Size { bytes: 0, has_digits: false, is_behind_digits: false }
    }

    fn take(&mut self, bytes: &[u8], content: &mut impl FnMut(&[u8])) -> usize {
        let mut used = 0;
        while let Some(byte) = bytes.get(used) {
            match self {
                Self::Data { bytes: missing } => {
                    used += take_data(missing, &bytes[used..], content);
                    if *missing == 0 {
                        *self = Self::DataEnd;
                    }
                    continue;
                }
                Self::Over => break,
                Self::Size { bytes, has_digits, is_behind_digits } => match (char::from(*byte).to_digit(16), byte) {
                    // Nobody can send so much; the bound on what a client may say ends it before.
                    (Some(digit), _) if !*is_behind_digits => {
                        *bytes = bytes.saturating_mul(16).saturating_add(digit.into());
                        *has_digits = true;
                    }
                    (_, b'\n') => {
                        *self = match (*has_digits, *bytes) {
                            // No size at all: what comes next cannot be told from the next request.
                            (false, _) => Self::Over,
                            (true, 0) => Self::Trailer { has_text: false },
                            (true, bytes) => Self::Data { bytes },
                        };
                    }
                    (_, _) => *is_behind_digits = true,
                },
                Self::DataEnd => {
                    if *byte == b'\n' {
                        *self = Self::size();
                    }
                }
                Self::Trailer { has_text } => match byte {
                    b'\n' if *has_text => *has_text = false,
                    b'\n' => *self = Self::Over,
                    b'\r' => {}
                    _ => *has_text = true,
                },
            }
            used += 1;
        }
        used
    }
}

fn take_data(missing: &mut u64, bytes: &[u8], content: &mut impl FnMut(&[u8])) -> usize {
    let taken = usize::try_from(*missing).unwrap_or(usize::MAX).min(bytes.len());
    content(&bytes[..taken]);
    *missing -= taken as u64;
    taken
}

/// The first word, the last one if it is a version, and what is between them: a path with spaces is one of theirs.
fn request_line_words(line: &[u8]) -> (&[u8], &[u8], &[u8]) {
    let line = line.trim_ascii();
    let is_space = |byte: &u8| matches!(byte, b' ' | b'\t');
    let method_end = line.iter().position(is_space).unwrap_or(line.len());
    let (method, rest) = line.split_at(method_end);
    let rest = rest.trim_ascii();
    let version_start = rest.iter().rposition(is_space).map_or(0, |space| space + 1);
    let (target, version) = rest.split_at(version_start);
    if version.get(..5).is_some_and(|begin| begin.eq_ignore_ascii_case(b"HTTP/")) {
        (method, target.trim_ascii(), version)
    } else {
        (method, rest, b"")
    }
}

/// The authority, the path and the query of a target, which may be a whole URL (RFC 9112, 3.2.2).
fn target_parts(target: &[u8]) -> (Option<&[u8]>, &[u8], &[u8]) {
    let (mut authority, mut path) = (None, target);
    for scheme in ["http://", "https://"] {
        let Some((begin, rest)) = target.split_at_checked(scheme.len()) else { continue };
        if begin.eq_ignore_ascii_case(scheme.as_bytes()) {
            let host_end = rest.iter().position(|byte| matches!(byte, b'/' | b'?' | b'#')).unwrap_or(rest.len());
            authority = Some(&rest[..host_end]);
            path = if rest[host_end..].starts_with(b"/") { &rest[host_end..] } else { b"/" };
        }
    }
    let end = path.iter().position(|byte| matches!(byte, b'?' | b'#')).unwrap_or(path.len());
    (authority, &path[..end], path.get(end + 1..).unwrap_or_default())
}

struct Lines<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Iterator for Lines<'a> {
    type Item = &'a [u8];

    /// The next line that has an end, without it.
    fn next(&mut self) -> Option<&'a [u8]> {
        let rest = self.bytes.get(self.at..)?;
        let end = rest.iter().position(|byte| *byte == b'\n')?;
        self.at += end + 1;
        let line = &rest[..end];
        Some(line.strip_suffix(b"\r").unwrap_or(line))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What a body carries is not looked at.
    fn ignore(_: &[u8]) {}

    fn check(bytes: &str, method: &str, path: &str, body: &str) {
        let (request, head) = Request::read(bytes.as_bytes()).unwrap();
        assert_eq!((&*request.method, &*request.path), (method.as_bytes(), path.as_bytes()), "{bytes:?}");
        let rest = &bytes.as_bytes()[head..];
        for size in 1..=rest.len().max(1) {
            let (mut request, _) = Request::read(bytes.as_bytes()).unwrap();
            let mut used = 0;
            for piece in rest.chunks(size) {
                used += request.body.take(piece, &mut ignore);
            }
            assert_eq!(&rest[..used], body.as_bytes(), "{bytes:?} in pieces of {size}");
            assert!(request.body.is_over(), "{bytes:?}");
        }
    }

    #[test]
    fn requests_good_and_bad() {
        check("GET / HTTP/1.1\r\nHost: a\r\n\r\n", "GET", "/", "");
        check("GET / HTTP/1.1\nHost: a\n\n", "GET", "/", "");
        check("\r\n\nGET /a?b HTTP/1.0\r\n\r\n", "GET", "/a", "");
        check("GET /x;cd /tmp;y HTTP/1.1\r\n\r\n", "GET", "/x;cd /tmp;y", "");
        check("GET /old\r\n", "GET", "/old", "");
        check("nonsense\r\n", "nonsense", "", "");
        check("GET HTTP://a HTTP/1.1\r\nno header\r\n: b\r\n\r\n", "GET", "/", "");
        check("POST /a HTTP/1.1\r\nContent-Length: 3\r\n\r\nabcGET", "POST", "/a", "abc");
        check("POST /a HTTP/1.1\r\nContent-Length: x\r\n\r\nabc", "POST", "/a", "");
        let chunked = "POST /a HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n";
        check(&format!("{chunked}3\r\nabc\r\n0\r\n\r\nGET"), "POST", "/a", "3\r\nabc\r\n0\r\n\r\n");
        check(
            &format!("{chunked}a;x=1\r\n0123456789\r\n00\r\nT: x\r\n\r\n"),
            "POST",
            "/a",
            "a;x=1\r\n0123456789\r\n00\r\nT: x\r\n\r\n",
        );
        check(&format!("{chunked}\r\nGET"), "POST", "/a", "\r\n");
    }

    #[test]
    fn targets_and_fields() {
        let check = |target: &str, expected: (Option<&str>, &str, &str)| {
            let (authority, path, query) = target_parts(target.as_bytes());
            let expected = (expected.0.map(str::as_bytes), expected.1.as_bytes(), expected.2.as_bytes());
            assert_eq!((authority, path, query), expected, "{target}");
        };
        check("/a?b#c", (None, "/a", "b#c"));
        check("http://a:80/b?c", (Some("a:80"), "/b", "c"));
        check("HTTPS://a?c", (Some("a"), "/", ""));
        check("ftp://a/b", (None, "ftp://a/b", ""));
        let action = |value: &str| {
            let text = format!("POST / HTTP/1.1\r\nSOAPAction: {value}\r\n\r\n");
            Request::read(text.as_bytes()).unwrap().0.soap_action
        };
        assert_eq!(action("\"urn:a:1#Get\"").as_deref(), Some(&b"Get"[..]));
        assert_eq!(action("http://www.onvif.org/ver10/device/wsdl/Get").as_deref(), Some(&b"Get"[..]));
        assert_eq!(action("Get").as_deref(), Some(&b"Get"[..]));
        assert_eq!(action("\"\""), None);
    }

    #[test]
    fn a_part_of_a_request_is_none() {
        for part in ["", "\r\n", "GET", "GET / HTTP/1.1", "GET / HTTP/1.1\r\n", "GET / HTTP/1.1\r\nA: b\r\n"] {
            assert_eq!(Request::read(part.as_bytes()), None, "{part:?}");
        }
    }

    proptest! {
        #[test]
        fn whatever_is_sent_is_survived(
            head in proptest::collection::vec(any::<u8>(), 0..300),
            framing in proptest::sample::select(vec![
                "", "Content-Length: 7\r\n", "Content-Length: 99999999999999999999\r\n", "Transfer-Encoding: chunked\r\n",
            ]),
            body in proptest::collection::vec(
                prop_oneof![any::<u8>(), proptest::sample::select(&b"0123456789abcdef\r\n;"[..])], 0..300,
            ),
        ) {
            let whole = [&head[..], b" / HTTP/1.1\r\n", framing.as_bytes(), b"\r\n", &body].concat();
            let Some((mut request, head_bytes)) = Request::read(&whole) else { return Ok(()) };
            prop_assert!(head_bytes <= whole.len());
            // A cut makes no difference.
            let (mut carried, mut carried_again) = (Vec::new(), Vec::new());
            let in_one = request.body.take(&whole[head_bytes..], &mut |piece| carried.extend_from_slice(piece));
            let (mut again, _) = Request::read(&whole).expect("it was a request before");
            let mut in_bytes = 0;
            for byte in whole[head_bytes..].chunks(1) {
                in_bytes += again.body.take(byte, &mut |piece| carried_again.extend_from_slice(piece));
            }
            prop_assert_eq!((in_one, carried), (in_bytes, carried_again));
            prop_assert_eq!(request.body, again.body);
        }
    }
}
