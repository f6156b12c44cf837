//! Messages of a start line, header fields and a body, as HTTP, RTSP, SIP and SSDP have them (RFC 9112).
//!
//! Lenient: a bare line feed ends a line, a field may be folded, anything may stand on a line. What is odd is named, not
//! refused. Everything is a view of the bytes where they lie.

mod credentials;
mod talker;

use std::fmt;

use memchr::{memchr, memrchr};

pub(crate) use self::credentials::{Credentials, LastLogin};
pub(crate) use self::talker::{Dialect, Heard, Talker};

/// The head of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Request<'a> {
    /// The request line, without its end.
    pub line: &'a [u8],
    /// The method, such as `GET`, in whatever case it was sent.
    pub method: &'a [u8],
    /// What stands between method and version: a path, an address, spaces included.
    pub target: &'a [u8],
    /// The version, such as `HTTP/1.1`; empty when there was none.
    pub version: &'a [u8],
    /// The header fields.
    pub headers: Headers<'a>,
    /// Whether there was or should have been more of the head than is here.
    pub is_cut: bool,
}

impl<'a> Request<'a> {
    /// Reads a head; its version begins with `protocol`, such as `HTTP/`.
    pub(crate) fn parse(head: &'a [u8], is_cut: bool, protocol: &[u8]) -> Self {
        let (line, lines) = split_first_line(head);
        let (method, target, version) = request_line(line, protocol);
        Self { line, method, target, version, headers: Headers::new(lines), is_cut }
    }

    /// The value of a header field, such as `SOAPAction`.
    pub fn header(&self, name: &str) -> Option<&'a [u8]> {
        self.headers.get(name)
    }

    /// The action that a UPnP or CWMP request asks for: the part of `SOAPAction` behind `#`, or all of it.
    pub fn soap_action(&self) -> Option<&'a [u8]> {
        let value = self.header("SOAPAction")?.trim_ascii();
        let value = value.strip_prefix(b"\"").unwrap_or(value);
        let value = value.strip_suffix(b"\"").unwrap_or(value);
        Some(value.rsplit(|byte| *byte == b'#').next().unwrap_or(value))
    }

    /// The last segment of the target's path.
    pub(crate) fn file_name(&self) -> &'a [u8] {
        let path = self.target.split(|byte| matches!(byte, b'?' | b'#')).next().unwrap_or_default();
        path.rsplit(|byte| *byte == b'/').next().unwrap_or_default()
    }
}

/// The head of a response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Response<'a> {
    /// The status line, without its end.
    pub line: &'a [u8],
    /// The version, such as `HTTP/1.1`; empty when there was no head (HTTP/0.9).
    pub version: &'a [u8],
    /// The status; none when it was no number of three digits, or not there.
    pub status: Option<u16>,
    /// What stands behind the status.
    pub reason: &'a [u8],
    /// The header fields.
    pub headers: Headers<'a>,
    /// Whether there was or should have been more of the head than is here.
    pub is_cut: bool,
}

impl<'a> Response<'a> {
    /// Reads a head.
    pub(crate) fn parse(head: &'a [u8], is_cut: bool) -> Self {
        let (line, lines) = split_first_line(head);
        let (version, status, reason) = status_line(line);
        Self { line, version, status, reason, headers: Headers::new(lines), is_cut }
    }

    /// The value of a header field.
    pub fn header(&self, name: &str) -> Option<&'a [u8]> {
        self.headers.get(name)
    }
}

/// The header fields of a message, in their order: a view of the lines, read when asked.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct Headers<'a> {
    lines: &'a [u8],
}

impl<'a> Headers<'a> {
    /// The fields on `lines`, which stand behind a start line.
    pub(crate) fn new(lines: &'a [u8]) -> Self {
        Self { lines }
    }

    /// The lines as they were sent, the empty one at the end included where it is there.
    pub fn lines(&self) -> &'a [u8] {
        self.lines
    }

    /// Name and value of each field, without the white space around them. The value of a folded field has its line ends
    /// in it; of a line without a colon, all is name.
    pub fn iter(&self) -> HeaderIter<'a> {
        HeaderIter { rest: self.lines }
    }

    /// The value of the first field of that name, in whatever case.
    pub fn get(&self, name: &str) -> Option<&'a [u8]> {
        self.iter().find(|(known, _)| known.eq_ignore_ascii_case(name.as_bytes())).map(|(_, value)| value)
    }
}

impl<'a> IntoIterator for Headers<'a> {
    type Item = (&'a [u8], &'a [u8]);
    type IntoIter = HeaderIter<'a>;

    fn into_iter(self) -> HeaderIter<'a> {
        self.iter()
    }
}

impl fmt::Debug for Headers<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
        formatter.debug_list().entries(self.iter().map(|(name, value)| (text(name), text(value)))).finish()
    }
}

/// Goes through header fields.
#[derive(Debug, Clone)]
pub struct HeaderIter<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for HeaderIter<'a> {
    type Item = (&'a [u8], &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let line = self.line()?;
            if !line.is_empty() {
                return Some(field(line));
            }
        }
    }
}

impl<'a> HeaderIter<'a> {
    /// The next line with those that continue it (RFC 9112, 5.2), without its line end.
    fn line(&mut self) -> Option<&'a [u8]> {
        if self.rest.is_empty() {
            return None;
        }
        let mut end = 0;
        while let Some(line_feed) = memchr(b'\n', &self.rest[end..]) {
            end += line_feed + 1;
            if !matches!(self.rest.get(end), Some(b' ' | b'\t')) {
                let (line, rest) = self.rest.split_at(end);
                self.rest = rest;
                return Some(without_line_end(line));
            }
        }
        Some(without_line_end(std::mem::take(&mut self.rest)))
    }
}

/// Name and value of a field, without the white space around them.
pub(crate) fn field(line: &[u8]) -> (&[u8], &[u8]) {
    match memchr(b':', line) {
        Some(colon) => (line[..colon].trim_ascii(), line[colon + 1..].trim_ascii()),
        None => (line.trim_ascii(), b""),
    }
}

/// A line without its end.
pub(crate) fn without_line_end(line: &[u8]) -> &[u8] {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    line.strip_suffix(b"\r").unwrap_or(line)
}

/// The first line of `head`, without its end, and what follows.
pub(crate) fn split_first_line(head: &[u8]) -> (&[u8], &[u8]) {
    let end = memchr(b'\n', head).map_or(head.len(), |line_feed| line_feed + 1);
    let (line, rest) = head.split_at(end);
    (without_line_end(line), rest)
}

/// A request line in its three parts. The last is empty when the line does not end in a version of `protocol` (such as
/// `HTTP/`); then the target is all that follows the method. A target may have spaces in it.
pub(crate) fn request_line<'a>(line: &'a [u8], protocol: &[u8]) -> (&'a [u8], &'a [u8], &'a [u8]) {
    let line = line.trim_ascii();
    let method_end = line.iter().position(|byte| matches!(byte, b' ' | b'\t')).unwrap_or(line.len());
    let (method, rest) = line.split_at(method_end);
    let rest = rest.trim_ascii_start();
    let last = memrchr(b' ', rest).map_or(0, |space| space + 1);
    let version = &rest[last..];
    if starts_with_ignoring_case(version, protocol) {
        (method, rest[..last].trim_ascii_end(), version)
    } else {
        (method, rest, b"")
    }
}

/// A status line in its three parts: version, status and reason. The status is none when it is no number of three
/// digits.
pub(crate) fn status_line(line: &[u8]) -> (&[u8], Option<u16>, &[u8]) {
    let line = line.trim_ascii();
    let word = |bytes: &[u8]| bytes.iter().position(|byte| matches!(byte, b' ' | b'\t')).unwrap_or(bytes.len());
    let (version, rest) = line.split_at(word(line));
    let rest = rest.trim_ascii_start();
    let (status, reason) = rest.split_at(word(rest));
    let status = match status {
        [a @ b'0'..=b'9', b @ b'0'..=b'9', c @ b'0'..=b'9'] => {
            Some(u16::from(a - b'0') * 100 + u16::from(b - b'0') * 10 + u16::from(c - b'0'))
        }
        _ => None,
    };
    (version, status, reason.trim_ascii_start())
}

/// Whether `bytes` begin with `start`, in whatever case.
pub(crate) fn starts_with_ignoring_case(bytes: &[u8], start: &[u8]) -> bool {
    bytes.get(..start.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(start))
}

/// Whether a method is a token (RFC 9110, 5.6.2).
pub(crate) fn is_method(method: &[u8]) -> bool {
    !method.is_empty() && method.iter().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte))
}

/// Looks for the empty line that ends a head, going on where it stopped when more has come.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct HeadScan {
    /// How long the first and the second line are together, and the first alone; 0 while their ends are not known.
    lines: [usize; 2],
    /// Where the current line begins.
    line: usize,
    /// How far line ends were looked for.
    searched: usize,
}

impl HeadScan {
    /// How long the head is, its empty line included; none when its end is not in `bytes`, which begin with the head.
    pub(crate) fn end(&mut self, bytes: &[u8]) -> Option<usize> {
        while let Some(found) = bytes.get(self.searched..).and_then(|rest| memchr(b'\n', rest)) {
            let line_feed = self.searched + found;
            let is_empty = matches!(bytes[self.line..line_feed], [] | [b'\r']);
            self.line = line_feed + 1;
            self.searched = line_feed + 1;
            if let Some(end) = self.lines.iter_mut().find(|end| **end == 0) {
                *end = line_feed + 1;
            }
            if is_empty {
                return Some(line_feed + 1);
            }
        }
        self.searched = bytes.len();
        None
    }

    /// Where the first line ends, when that was seen.
    pub(crate) fn first_line_end(&self) -> Option<usize> {
        Some(self.lines[0]).filter(|end| *end > 0)
    }

    /// Where the second line ends, when that was seen.
    pub(crate) fn second_line_end(&self) -> Option<usize> {
        Some(self.lines[1]).filter(|end| *end > 0)
    }
}

/// What is not allowed about a head as a whole and about its header fields.
pub(crate) fn head_flaws(head: &[u8]) -> impl Iterator<Item = &'static str> {
    let (_, lines) = split_first_line(head);
    let mut fields = HeaderIter { rest: lines };
    let (mut is_folded, mut lacks_colon, mut has_space) = (false, false, false);
    while let Some(line) = fields.line() {
        is_folded |= memchr(b'\n', line).is_some();
        match memchr(b':', line) {
            Some(colon) => has_space |= matches!(line[..colon].last(), Some(b' ' | b'\t')),
            None => lacks_colon |= !line.is_empty(),
        }
    }
    let is_bare = memchr::memchr_iter(b'\n', head).any(|at| at == 0 || head[at - 1] != b'\r');
    [
        (is_bare, "bare_line_feed"),
        (is_folded, "folded_header"),
        (lacks_colon, "header_without_colon"),
        (has_space, "space_before_colon"),
        (memchr(0, head).is_some(), "nul_in_head"),
    ]
    .into_iter()
    .filter_map(|(is_so, what)| is_so.then_some(what))
}

/// Where in `whole` its part `part` begins.
pub(crate) fn offset_in(whole: &[u8], part: &[u8]) -> u64 {
    (part.as_ptr() as usize).saturating_sub(whole.as_ptr() as usize) as u64
}

/// What `Content-Length` says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ContentLength {
    /// The number that the value begins with, or the largest that there is.
    pub(crate) bytes: Option<u64>,
    /// Whether the value is such a number and nothing else.
    pub(crate) is_well_formed: bool,
}

impl ContentLength {
    /// Reads a value (RFC 9110, 8.6).
    pub(crate) fn parse(value: &[u8]) -> Self {
        let digits = value.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let number = value[..digits].iter().try_fold(0u64, |number, digit| {
            number.checked_mul(10).and_then(|number| number.checked_add(u64::from(digit - b'0')))
        });
        Self {
            bytes: (digits > 0).then_some(number.unwrap_or(u64::MAX)),
            is_well_formed: digits > 0 && digits == value.len() && number.is_some(),
        }
    }
}

/// The value of a parameter such as `boundary` in `multipart/form-data; boundary="x"`, without its quotes. What is
/// escaped within quotes stays escaped.
pub(crate) fn parameter<'a>(value: &'a [u8], name: &str) -> Option<&'a [u8]> {
    let start = memchr(b';', value)? + 1;
    Parameters { rest: &value[start..], separator: b';' }
        .find(|(known, _)| known.eq_ignore_ascii_case(name.as_bytes()))
        .map(|(_, value)| value)
}

/// `name=value` or `name="value"`, separated.
pub(crate) struct Parameters<'a> {
    pub(crate) rest: &'a [u8],
    pub(crate) separator: u8,
}

impl<'a> Iterator for Parameters<'a> {
    type Item = (&'a [u8], &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let rest = self.rest.trim_ascii_start();
            if rest.is_empty() {
                return None;
            }
            let end = memchr::memchr2(b'=', self.separator, rest).unwrap_or(rest.len());
            let (name, rest) = (rest[..end].trim_ascii(), &rest[end..]);
            let [b'=', rest @ ..] = rest else {
                self.rest = rest.get(1..).unwrap_or_default();
                continue;
            };
            let rest = rest.trim_ascii_start();
            let (value, rest) = match rest {
                [b'"', rest @ ..] => {
                    let end = quoted_bytes(rest);
                    (&rest[..end], rest.get(end + 1..).unwrap_or_default())
                }
                _ => {
                    let end = memchr(self.separator, rest).unwrap_or(rest.len());
                    (rest[..end].trim_ascii(), &rest[end..])
                }
            };
            let next = memchr(self.separator, rest).map_or(rest.len(), |separator| separator + 1);
            self.rest = &rest[next..];
            return Some((name, value));
        }
    }
}

/// How long a quoted string is, without the quote that ends it.
fn quoted_bytes(bytes: &[u8]) -> usize {
    let mut is_escaped = false;
    let end = bytes.iter().position(|byte| {
        let is_end = *byte == b'"' && !is_escaped;
        is_escaped = *byte == b'\\' && !is_escaped;
        is_end
    });
    end.unwrap_or(bytes.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn header_fields_are_read_leniently() {
        let lines = b"Host: a\r\nEmpty:\r\nX : b \nFolded: c\r\n\td\r\nno colon\r\n\r\n";
        let all: Vec<(&[u8], &[u8])> = Headers::new(lines).iter().collect();
        let expected: [(&[u8], &[u8]); 5] =
            [(b"Host", b"a"), (b"Empty", b""), (b"X", b"b"), (b"Folded", b"c\r\n\td"), (b"no colon", b"")];
        assert_eq!(all, expected);
        assert_eq!(Headers::new(lines).get("HOST"), Some(&b"a"[..]));
        assert_eq!(Headers::new(lines).get("None"), None);
    }

    #[test]
    fn start_lines_are_read_leniently() {
        let check = |line: &[u8], expected: (&[u8], &[u8], &[u8])| {
            assert_eq!(request_line(line, b"HTTP/"), expected, "{}", line.escape_ascii());
        };
        check(b"GET / HTTP/1.1", (b"GET", b"/", b"HTTP/1.1"));
        check(b"GET /", (b"GET", b"/", b""));
        check(b"GET", (b"GET", b"", b""));
        check(b"GET  /a b  http/1.0 ", (b"GET", b"/a b", b"http/1.0"));
        check(b"GET HTTP/1.1", (b"GET", b"", b"HTTP/1.1"));
        assert_eq!(status_line(b"HTTP/1.1 200 All right"), (&b"HTTP/1.1"[..], Some(200), &b"All right"[..]));
        assert_eq!(status_line(b"HTTP/1.1 2000"), (&b"HTTP/1.1"[..], None, &b""[..]));
    }

    #[test]
    fn lengths_are_the_digits_that_a_value_begins_with() {
        let check = |value: &[u8], bytes, is_well_formed| {
            assert_eq!(ContentLength::parse(value), ContentLength { bytes, is_well_formed });
        };
        check(b"12", Some(12), true);
        check(b"12, 12", Some(12), false);
        check(b"-1", None, false);
        check(b"", None, false);
        check(b"99999999999999999999999", Some(u64::MAX), false);
    }

    #[test]
    fn parameters_may_be_quoted() {
        assert_eq!(parameter(b"a/b; x=1; boundary=\"q;\\\"r\" ; z", "Boundary"), Some(&b"q;\\\"r"[..]));
        assert_eq!(parameter(b"a/b;boundary=abc", "boundary"), Some(&b"abc"[..]));
        assert_eq!(parameter(b"a/b; boundary", "boundary"), None);
        assert_eq!(parameter(b"a/b", "boundary"), None);
    }
}
