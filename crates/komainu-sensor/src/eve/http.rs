use komainu_decode::http::{Event, Request, Response};
use serde::Serialize;

use super::{AnyRecord, Text};

/// One record for each request with its response, as Suricata has it. What a request says at once is for rules, not for
/// the log.
pub(super) fn records(event: &Event<'_>) -> Vec<AnyRecord> {
    match event {
        Event::Exchange { request, response, response_bytes, framing_bytes } => {
            // Suricata counts the lines around chunks, too.
            let length = response_bytes.saturating_add(*framing_bytes);
            let exchange = Http::of(request.as_ref(), response.as_ref(), length);
            vec![AnyRecord::eve("http", &exchange)]
        }
        Event::Request(_) | Event::RequestBody { .. } | Event::Response { .. } | Event::Switched { .. } => Vec::new(),
    }
}

/// `http` of Suricata's schema, without bodies and other header fields.
#[derive(Debug, Default, Serialize)]
struct Http<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    hostname: Option<Text<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    http_port: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    url: Option<Text<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    http_user_agent: Option<Text<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    http_content_type: Option<Text<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    content_range: Option<ContentRange<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    http_refer: Option<Text<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    http_method: Option<Text<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    protocol: Option<Text<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    redirect: Option<Text<'a>>,
    length: u64,
}

#[derive(Debug, Serialize)]
struct ContentRange<'a> {
    raw: Text<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    start: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    end: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    size: Option<u64>,
}

impl<'a> Http<'a> {
    fn of(request: Option<&Request<'a>>, response: Option<&Response<'a>>, length: u64) -> Self {
        let mut http = Self { length, ..Self::default() };
        if let Some(request) = request {
            let (hostname, port) = request_host(request).map_or((None, None), split_port);
            http.hostname = hostname.filter(|hostname| !hostname.is_empty()).map(Text);
            http.http_port = port;
            http.url = Some(Text(request.target));
            http.http_user_agent = request.header("user-agent").map(Text);
            http.http_refer = request.header("referer").map(Text);
            http.http_method = Some(Text(request.method));
            // HTTP/0.9 has no word for itself.
            let version = if request.version.is_empty() { b"HTTP/0.9" } else { request.version };
            http.protocol = Some(Text(version));
        }
        if let Some(response) = response {
            let until_semicolon = |value: &'a [u8]| value.split(|byte| *byte == b';').next().unwrap_or(value);
            http.http_content_type = response.header("content-type").map(|value| Text(until_semicolon(value)));
            http.content_range = response.header("content-range").map(ContentRange::parse);
            http.status = response.status;
            http.redirect = response.header("location").map(Text);
        }
        http
    }
}

/// The host that a request names: in an absolute target (RFC 9112, 3.2.2), to CONNECT, or in `Host`.
fn request_host<'a>(request: &Request<'a>) -> Option<&'a [u8]> {
    if let Some(scheme_end) = request.target.windows(3).position(|part| part == b"://")
        && !request.target.starts_with(b"/")
    {
        let rest = &request.target[scheme_end + 3..];
        let host = rest.split(|byte| matches!(byte, b'/' | b'?' | b'#')).next().unwrap_or(rest);
        return Some(host.rsplit(|byte| *byte == b'@').next().unwrap_or(host));
    }
    if request.method == b"CONNECT" { Some(request.target) } else { request.header("host") }
}

/// Host and port, where there is one.
fn split_port(host: &[u8]) -> (Option<&[u8]>, Option<u16>) {
    let colon = host.iter().rposition(|byte| *byte == b':');
    let is_within_brackets = |colon: usize| host[colon..].contains(&b']');
    if let Some(colon) = colon.filter(|colon| !is_within_brackets(*colon))
        && let Some(port) = std::str::from_utf8(&host[colon + 1..]).ok().and_then(|port| port.parse().ok())
    {
        return (Some(&host[..colon]), Some(port));
    }
    (Some(host), None)
}

impl<'a> ContentRange<'a> {
    /// `bytes 0-99/1000`, where each number may be missing (RFC 9110, 14.4).
    fn parse(raw: &'a [u8]) -> Self {
        let number = |text: &[u8]| std::str::from_utf8(text).ok().and_then(|text| text.trim().parse().ok());
        let range = raw.strip_prefix(b"bytes").unwrap_or(raw);
        let mut halves = range.splitn(2, |byte| *byte == b'/');
        let (range, size) = (halves.next().unwrap_or_default(), halves.next().unwrap_or_default());
        let mut ends = range.splitn(2, |byte| *byte == b'-');
        let (start, end) = (ends.next().unwrap_or_default(), ends.next().unwrap_or_default());
        Self { raw: Text(raw), start: number(start), end: number(end), size: number(size) }
    }
}

#[cfg(test)]
mod tests {
    use komainu_decode::http::Reader;
    use komainu_decode::{Decoder, Fact, Place, Side};

    use super::*;

    fn check(request: &[u8], response: &[u8], expected: &str) {
        let mut lines = Vec::new();
        let mut observer = |_: Place, fact: Fact<'_>| {
            if let Fact::Http(event) = fact {
                lines.extend(records(&event).iter().map(|record| record.body.to_string()));
            }
        };
        let mut reader = Reader::default();
        reader.data(Side::Client, request, &mut observer);
        reader.data(Side::Server, response, &mut observer);
        reader.end(&mut observer);
        let expected: serde_json::Value = serde_json::from_str(expected).unwrap();
        assert_eq!(lines, [expected.to_string()]);
    }

    #[test]
    fn an_exchange_is_one_record() {
        check(
            b"POST /cgi?a=b HTTP/1.1\r\nHost: cam.lan:8080\r\nUser-Agent: a\xff\r\nReferer: /x\r\n\r\n",
            b"HTTP/1.1 302 Found\r\nLocation: /login\r\nContent-Type: text/html; charset=a\r\nContent-Length: 2\r\n\r\nhi",
            r#"{"hostname": "cam.lan", "http_port": 8080, "url": "/cgi?a=b", "http_user_agent": "a\\xff",
                "http_content_type": "text/html", "http_refer": "/x", "http_method": "POST", "protocol": "HTTP/1.1",
                "status": 302, "redirect": "/login", "length": 2}"#,
        );
    }

    #[test]
    fn a_request_without_an_answer_is_a_record() {
        check(
            b"GET http://u@[::1]:81/ HTTP/1.0\r\nHost: other\r\n\r\n",
            b"",
            r#"{"hostname": "[::1]", "http_port": 81, "url": "http://u@[::1]:81/", "http_method": "GET",
                "protocol": "HTTP/1.0", "length": 0}"#,
        );
    }

    #[test]
    fn a_part_of_a_file_says_which() {
        check(
            b"",
            b"HTTP/1.1 206 Part\r\nContent-Range: bytes 5-6/*\r\nContent-Length: 2\r\n\r\nhi",
            r#"{"content_range": {"raw": "bytes 5-6/*", "start": 5, "end": 6}, "status": 206, "length": 2}"#,
        );
    }
}
