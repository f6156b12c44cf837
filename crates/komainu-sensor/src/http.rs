//! The web server of a small device, which takes whatever it is sent.
//!
//! Attacks on devices are seldom valid HTTP, and a persona must not refuse them for that: a request is what stands up to
//! an empty line, its path what stands between the first word and the version. [`Request::read`] is the whole of the
//! reading, without sockets.

mod request;

use std::borrow::Cow;
use std::fmt::Write;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use jiff::tz::TimeZone;

use self::request::Request;
use crate::link::Link;
use crate::persona::{Http, Page};
use crate::session::Ending;

/// Bytes of a request before its body. What is longer is answered with 400 and closed, as small servers do.
const HEAD_BYTES_MAX: usize = 16 * 1024;

/// Speaks with a client until the connection ends.
pub(crate) async fn serve(link: &mut Link, persona: &Arc<Http>) -> Ending {
    let mut unread = Vec::new();
    loop {
        match exchange(link, persona, &mut unread).await {
            Ok(true) => {}
            Ok(false) => return Ending::Closed,
            Err(ending) => return ending,
        }
    }
}

/// Reads a request and answers it; says whether another may follow.
async fn exchange(link: &mut Link, persona: &Http, unread: &mut Vec<u8>) -> Result<bool, Ending> {
    let mut seen = 0;
    let (mut request, head_bytes) = loop {
        // A head is whole with a line end only; without looking for one, single bytes would take quadratic time.
        if unread[seen..].contains(&b'\n')
            && let Some(read) = Request::read(unread)
        {
            break read;
        }
        if unread.len() > HEAD_BYTES_MAX {
            link.write(&refusal(persona, link.now())).await?;
            return Ok(false);
        }
        seen = unread.len();
        unread.extend(link.read().await?);
    };
    unread.drain(..head_bytes);
    if request.expects_continue {
        link.write(b"HTTP/1.1 100 Continue\r\n\r\n").await?;
    }
    loop {
        let used = request.body.take(unread);
        unread.drain(..used);
        if request.body.is_over() {
            break;
        }
        unread.extend(link.read().await?);
    }
    let answer = answer(persona, &request, link.now());
    link.write(&answer).await?;
    Ok(persona.keep_alive && request.keep_alive)
}

fn answer(persona: &Http, request: &Request, at: i64) -> Vec<u8> {
    let page = persona.page(&request.method, &request.path);
    let is_in = match (&page.realm, request.basic.as_deref()) {
        (None, _) => true,
        (Some(_), Some(basic)) => is_account(persona, basic),
        (Some(_), None) => false,
    };
    let (status, page) = match &page.realm {
        Some(realm) if !is_in => (401, Cow::Owned(unauthorized(realm))),
        Some(_) | None => (page.status, Cow::Borrowed(page)),
    };
    let keep_alive = persona.keep_alive && request.keep_alive;
    let mut answer = head(persona, status, &page, keep_alive, at);
    if !request.method.eq_ignore_ascii_case(b"HEAD") {
        answer.extend_from_slice(&page.body);
    }
    answer
}

fn refusal(persona: &Http, at: i64) -> Vec<u8> {
    let page = Page::plain(
        400,
        "<HTML><HEAD><TITLE>400 Bad Request</TITLE></HEAD>\n<BODY><H4>400 Bad Request</H4>\n</BODY></HTML>\n",
    );
    [head(persona, 400, &page, false, at), page.body.to_vec()].concat()
}

fn unauthorized(realm: &str) -> Page {
    let body = "<HTML><HEAD><TITLE>401 Unauthorized</TITLE></HEAD>\n<BODY><H4>401 Unauthorized</H4>\nAuthorization required.\n</BODY></HTML>\n";
    let mut page = Page::plain(401, body);
    page.headers.push(("WWW-Authenticate".to_owned(), format!("Basic realm=\"{realm}\"")));
    page
}

fn is_account(persona: &Http, basic: &[u8]) -> bool {
    let Ok(pair) = STANDARD.decode(basic) else { return false };
    let Some(colon) = pair.iter().position(|byte| *byte == b':') else { return false };
    persona.accounts.has(&pair[..colon], &pair[colon + 1..])
}

fn head(persona: &Http, status: u16, page: &Page, keep_alive: bool, at: i64) -> Vec<u8> {
    let mut head = format!("HTTP/1.1 {status} {}\r\n", reason(status));
    for (name, value) in persona.headers.iter().chain(&page.headers) {
        write!(head, "{name}: {value}\r\n").expect("a string takes everything");
    }
    let connection = if keep_alive { "keep-alive" } else { "close" };
    write!(
        head,
        "Date: {}\r\nContent-Type: {}\r\nContent-Length: {}\r\nConnection: {connection}\r\n\r\n",
        date(at),
        page.content_type,
        page.body.len()
    )
    .expect("a string takes everything");
    head.into_bytes()
}

/// A time as HTTP has it: `Sun, 06 Nov 1994 08:49:37 GMT` (RFC 9110, 5.6.7).
fn date(at: i64) -> String {
    let at = Timestamp::from_microsecond(at).unwrap_or_default();
    TimeZone::UTC.to_datetime(at).strftime("%a, %d %b %Y %H:%M:%S GMT").to_string()
}

const fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        204 => "No Content",
        301 => "Moved Permanently",
        302 => "Found",
        304 => "Not Modified",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        500 => "Internal Server Error",
        503 => "Service Unavailable",
        _ => "Status",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::persona::{Persona, Service};

    fn web_of(persona: &str) -> Arc<Http> {
        let persona = Persona::load(persona).unwrap();
        let mut webs = persona.doors().iter().filter_map(|door| match &door.service {
            Service::Http(http) => Some(http.clone()),
            Service::Telnet(_) | Service::Raw(_) => None,
        });
        webs.next().unwrap()
    }

    fn check(request: &str, expected_begin: &str, expected_part: &str) {
        let (request, _) = Request::read(request.as_bytes()).unwrap();
        let answer = answer(&web_of("camera"), &request, 784_111_777_000_000);
        let answer = String::from_utf8(answer).unwrap();
        assert!(answer.starts_with(expected_begin), "{answer}");
        assert!(answer.contains(expected_part), "{answer}");
    }

    #[test]
    fn pages_of_a_persona() {
        let ok = "HTTP/1.1 200 OK\r\nServer: mini_httpd/1.19 19dec2003\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\n";
        check("GET / HTTP/1.1\r\n\r\n", ok, "<title>HL-C220");
        check("GET /?a=b HTTP/1.1\r\n\r\n", ok, "<title>HL-C220");
        check("GET http://192.0.2.1/ HTTP/1.0\r\n\r\n", ok, "<title>HL-C220");
        check("GET /rootDesc.xml HTTP/1.1\r\n\r\n", ok, "Content-Type: text/xml\r\n");
        check("POST /login.cgi HTTP/1.1\r\n\r\n", "HTTP/1.1 302 Found\r\n", "Location: /login.html?error=1\r\n");
        check("GET /login.cgi HTTP/1.1\r\n\r\n", "HTTP/1.1 404 Not Found\r\n", "File not found");
        check("GET /a b;c HTTP/1.1\r\n\r\n", "HTTP/1.1 404 Not Found\r\n", "File not found");
        check("HEAD / HTTP/1.1\r\n\r\n", ok, "Connection: close\r\n\r\n");
    }

    #[test]
    fn pages_behind_a_login() {
        let path = "GET /cgi-bin/sysinfo.cgi HTTP/1.1\r\n";
        let refused = ("HTTP/1.1 401 Unauthorized\r\n", "WWW-Authenticate: Basic realm=\"HL-C220\"\r\n");
        check(&format!("{path}\r\n"), refused.0, refused.1);
        let with = |pair: &str| format!("{path}authorization: basic {}\r\n\r\n", STANDARD.encode(pair));
        check(&with("root:wrong"), refused.0, refused.1);
        check(&with("no colon"), refused.0, refused.1);
        check(&with("root:xc3511"), "HTTP/1.1 200 OK\r\n", "serial=");
    }
}
