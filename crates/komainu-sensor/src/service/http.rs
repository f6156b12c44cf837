//! The web server of a small device, which takes whatever it is sent.
//!
//! Attacks on devices are seldom valid HTTP, and a persona must not refuse them for that: a request is what stands up to
//! an empty line, its path what stands between the first word and the version. [`Request::read`] is the whole of the
//! reading, without sockets.

mod filling;
mod form;
mod pages;
mod request;
mod soap;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::Arc;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use komainu_decode::{Fact, Login, Place, Secret, Side};
use serde::Deserialize;

use self::filling::Moment;
use self::form::BodyLogin;
use self::pages::{Page, PageText, Pages};
use self::request::Request;
use self::soap::Soap;
use crate::link::Link;
use crate::persona::{Device, PersonaError};
use crate::session::Ending;

/// Bytes of a request before its body. What is longer is answered with 400 and closed, as small servers do.
const HEAD_BYTES_MAX: usize = 16 * 1024;

/// Bytes of a body that are looked at, for what a page is chosen by: SOAP with a signature has 4 KiB. The decoder keeps
/// all of it.
const BODY_KEPT_BYTES: usize = 16 * 1024;

/// A web server.
#[derive(Debug)]
pub(crate) struct Http {
    /// Headers of each answer.
    headers: Vec<(String, String)>,
    keep_alive: bool,
    pages: Pages,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct HttpText {
    #[serde(default)]
    pub(crate) ports: Vec<u16>,
    #[serde(default)]
    pub(crate) tls_ports: Vec<u16>,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    #[serde(default)]
    keep_alive: bool,
    #[serde(default)]
    page: Vec<PageText>,
    not_found: Option<PageText>,
}

impl Http {
    /// Checks what a persona says; `at` is where it says it.
    pub(crate) fn check(text: HttpText, at: &str, device: &Device<'_>) -> Result<Self, PersonaError> {
        Ok(Self {
            headers: pages::headers(text.headers, at, device)?,
            keep_alive: text.keep_alive,
            pages: Pages::check(text.page, text.not_found, at, device)?,
        })
    }
}

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
    let mut body = Vec::new();
    loop {
        let used = request.body.take(unread, &mut |piece| {
            let room = BODY_KEPT_BYTES - body.len();
            body.extend_from_slice(&piece[..piece.len().min(room)]);
        });
        unread.drain(..used);
        if request.body.is_over() {
            break;
        }
        unread.extend(link.read().await?);
    }
    let moment = Moment { now: link.now(), server: link.server_address() };
    let answer = answer(persona, &request, &body, moment);
    if let Some(login) = answer.login {
        // It stands in a body, where decoders look for nothing.
        let place = Place { side: Side::Client, offset: 0, bytes: 0 };
        let secret = match login.mechanism {
            None => Secret::Password(&login.secret),
            Some(mechanism) => Secret::Response { mechanism, bytes: &login.secret },
        };
        let login = Login { user: &login.user, secret, accepted: Some(login.is_accepted) };
        link.keeper().fact(moment.now, place, &Fact::Login(login));
    }
    link.write(&answer.bytes).await?;
    Ok(persona.keep_alive && request.keep_alive)
}

/// Answers requests as a client might send them one after the other.
#[cfg(fuzzing)]
pub(crate) fn check_bytes(persona: &Http, mut bytes: &[u8]) {
    let moment = Moment { now: 0, server: None };
    while let Some((mut request, head_bytes)) = Request::read(bytes) {
        let mut body = Vec::new();
        bytes = &bytes[head_bytes..];
        let used = request.body.take(bytes, &mut |piece| body.extend_from_slice(piece));
        bytes = &bytes[used..];
        assert!(answer(persona, &request, &body, moment).bytes.starts_with(b"HTTP/1.1 "));
    }
}

/// What is answered.
#[derive(Debug, PartialEq, Eq)]
struct Answer {
    bytes: Vec<u8>,
    /// The login that was in the request's body.
    login: Option<BodyLogin>,
}

fn answer(persona: &Http, request: &Request, body: &[u8], moment: Moment) -> Answer {
    let (page, login) = page(persona, request, body, moment);
    let keep_alive = persona.keep_alive && request.keep_alive;
    let body = match page.has_gaps {
        true => Cow::Owned(filling::filled(&page.body, request.host.as_deref(), moment)),
        false => Cow::Borrowed(&page.body[..]),
    };
    let mut bytes = head(persona, &page, body.len(), keep_alive, moment.now);
    if !request.method.eq_ignore_ascii_case(b"HEAD") {
        bytes.extend_from_slice(&body);
    }
    Answer { bytes, login }
}

fn page<'a>(persona: &'a Http, request: &Request, body: &[u8], moment: Moment) -> (Cow<'a, Page>, Option<BodyLogin>) {
    // A device is no proxy.
    if request.method.eq_ignore_ascii_case(b"CONNECT") {
        return (Cow::Owned(Page::plain(405)), None);
    }
    if request.authority.as_deref().is_some_and(|authority| !is_own(authority, moment)) {
        return (Cow::Owned(Page::plain(400)), None);
    }
    let soap = Soap::read(body);
    let page = persona.pages.find(request, !body.is_empty(), soap.as_ref());
    if let Some(gate) = &page.gate {
        let token = soap.and_then(|soap| soap.token);
        let by_token = token.map(|token| {
            let is_accepted = token.is_right(gate.accounts());
            let mechanism = token.is_digest.then_some("ws-security");
            BodyLogin { user: token.user, secret: token.password, mechanism, is_accepted }
        });
        if by_token.as_ref().is_some_and(|login| login.is_accepted) {
            return (Cow::Borrowed(page), by_token);
        }
        if let Err(refusal) = gate.admit(&request.method, request.authorization.as_deref(), moment.now) {
            let mut refused = Page::plain(401);
            refused.headers.push(("WWW-Authenticate".to_owned(), gate.challenge(refusal, moment.now)));
            return (Cow::Owned(refused), by_token);
        }
    }
    if let Some(form) = &page.form {
        let field = |name| form::field(body, &request.query, name).unwrap_or_default();
        let (user, password) = (field(&form.fields.user), field(&form.fields.password));
        let is_accepted = form.accounts.has(&user, &password);
        let shown = if is_accepted { page } else { &*form.refused };
        return (Cow::Borrowed(shown), Some(BodyLogin { user, secret: password, mechanism: None, is_accepted }));
    }
    (Cow::Borrowed(page), None)
}

/// Whether a URL's authority is the address at which the client is.
fn is_own(authority: &[u8], moment: Moment) -> bool {
    let Some(server) = moment.server else { return false };
    let authority = String::from_utf8_lossy(authority);
    authority == server.to_string() || authority == server.ip().to_string()
}

fn refusal(persona: &Http, at: i64) -> Vec<u8> {
    let page = Page::plain(400);
    [head(persona, &page, page.body.len(), false, at), page.body.to_vec()].concat()
}

fn head(persona: &Http, page: &Page, body_bytes: usize, keep_alive: bool, at: i64) -> Vec<u8> {
    let mut head = format!("HTTP/1.1 {} {}\r\n", page.status, reason(page.status));
    for (name, value) in persona.headers.iter().chain(&page.headers) {
        write!(head, "{name}: {value}\r\n").expect("a string takes everything");
    }
    let connection = if keep_alive { "keep-alive" } else { "close" };
    write!(
        head,
        "Date: {}\r\nContent-Type: {}\r\nContent-Length: {body_bytes}\r\nConnection: {connection}\r\n\r\n",
        date(at),
        page.content_type,
    )
    .expect("a string takes everything");
    head.into_bytes()
}

/// A time as HTTP has it: `Sun, 06 Nov 1994 08:49:37 GMT` (RFC 9110, 5.6.7).
pub(super) fn date(at: i64) -> String {
    let at = Timestamp::from_microsecond(at).unwrap_or_default();
    TimeZone::UTC.to_datetime(at).strftime("%a, %d %b %Y %H:%M:%S GMT").to_string()
}

const fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        201 => "Created",
        202 => "Accepted",
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
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;

    use super::*;
    use crate::persona::Persona;
    use crate::service::Service;

    fn web_of(persona: &str, port: u16) -> Arc<Http> {
        let persona = Persona::load(persona).unwrap();
        let mut webs = persona.doors().iter().filter_map(|door| match &door.service {
            Service::Http(http) if door.port == port => Some(http.clone()),
            _ => None,
        });
        webs.next().unwrap()
    }

    fn ask(persona: &Http, request: &str, now: i64) -> (String, Option<BodyLogin>) {
        let (read, head_bytes) = Request::read(request.as_bytes()).unwrap();
        let moment = Moment { now, server: Some("192.0.2.1:80".parse().unwrap()) };
        let answer = answer(persona, &read, &request.as_bytes()[head_bytes..], moment);
        (String::from_utf8(answer.bytes).unwrap(), answer.login)
    }

    fn check_at(persona: &str, port: u16, request: &str, expected_begin: &str, expected_part: &str) {
        let (answer, _) = ask(&web_of(persona, port), request, 784_111_777_000_000);
        assert!(answer.starts_with(expected_begin), "{request}\n{answer}");
        assert!(answer.contains(expected_part), "{request}\n{answer}");
    }

    fn check(request: &str, expected_begin: &str, expected_part: &str) {
        check_at("camera", 80, request, expected_begin, expected_part);
    }

    #[test]
    fn pages_of_a_persona() {
        let ok = "HTTP/1.1 200 OK\r\nServer: mini_httpd/1.19 19dec2003\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\n";
        check("GET / HTTP/1.1\r\n\r\n", ok, "<title>HL-C220");
        check("GET /?a=b HTTP/1.1\r\n\r\n", ok, "<title>HL-C220");
        check("GET http://192.0.2.1/ HTTP/1.0\r\n\r\n", ok, "<title>HL-C220");
        check("GET /rootDesc.xml HTTP/1.1\r\n\r\n", ok, "Content-Type: text/xml\r\n");
        check("GET /login.cgi HTTP/1.1\r\n\r\n", "HTTP/1.1 404 Not Found\r\n", "File not found");
        check("GET /a b;c HTTP/1.1\r\n\r\n", "HTTP/1.1 404 Not Found\r\n", "File not found");
        check("HEAD / HTTP/1.1\r\n\r\n", ok, "Connection: close\r\n\r\n");
    }

    #[test]
    fn a_device_is_no_proxy() {
        check("CONNECT example.com:443 HTTP/1.1\r\n\r\n", "HTTP/1.1 405 Method Not Allowed\r\n", "");
        check("GET http://example.com/ HTTP/1.1\r\nHost: example.com\r\n\r\n", "HTTP/1.1 400 Bad Request\r\n", "");
        check("GET http://192.0.2.1:80/ HTTP/1.1\r\n\r\n", "HTTP/1.1 200 OK\r\n", "");
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
        check(
            "GET /cgi-bin/snapshot.cgi HTTP/1.1\r\n\r\n",
            "HTTP/1.1 401 Unauthorized\r\n",
            "WWW-Authenticate: Digest realm=\"HL-C220\", nonce=\"",
        );
    }

    #[test]
    fn forms_are_logins() {
        let check = |body: &str, expected_location: &str, user: &str, is_accepted| {
            let request = format!("POST /login.cgi HTTP/1.1\r\n\r\n{body}");
            let (answer, login) = ask(&web_of("camera", 80), &request, 0);
            assert!(answer.starts_with("HTTP/1.1 302 Found\r\n"), "{answer}");
            assert!(answer.contains(&format!("Location: {expected_location}\r\n")), "{answer}");
            let login = login.unwrap();
            assert_eq!((login.user.as_slice(), login.is_accepted), (user.as_bytes(), is_accepted));
        };
        check("username=root&password=wrong", "/login.html?error=1", "root", false);
        check("password=xc3511&username=root", "/main.html", "root", true);
        check("", "/login.html?error=1", "", false);
    }

    #[test]
    fn actions_of_soap() {
        let service = "urn:schemas-upnp-org:service:WANIPConnection:1";
        let control = |action: &str, arguments: &str, expected: &str, part: &str| {
            let request = format!(
                "POST /upnp/control/WANIPConn1 HTTP/1.1\r\nSOAPAction: \"{service}#{action}\"\r\n\r\n\
                 <s:Envelope xmlns:s=\"a\"><s:Body><u:{action}>{arguments}</u:{action}></s:Body></s:Envelope>"
            );
            check_at("router", 49152, &request, expected, part);
        };
        control("GetExternalIPAddress", "", "HTTP/1.1 200 OK", "<NewExternalIPAddress>");
        control("AddPortMapping", "", "HTTP/1.1 200 OK", "<u:AddPortMappingResponse");
        let index = |index: u8| format!("<NewPortMappingIndex>{index}</NewPortMappingIndex>");
        control("GetGenericPortMappingEntry", &index(0), "HTTP/1.1 200 OK", "<NewInternalClient>");
        control("GetGenericPortMappingEntry", &index(9), "HTTP/1.1 500", "<errorCode>713</errorCode>");
        control("Nonsense", "", "HTTP/1.1 500 Internal Server Error", "<errorCode>401</errorCode>");
    }

    #[test]
    fn onvif() {
        let ask = |header: &str, action: &str, expected: &str, part: &str| {
            let request = format!(
                "POST /onvif/device_service HTTP/1.1\r\nHost: camera.test:81\r\n\r\n<Envelope>{header}<Body>\
                 <{action} xmlns=\"http://www.onvif.org/ver10/device/wsdl\"/></Body></Envelope>"
            );
            check_at("camera", 80, &request, expected, part);
        };
        ask("", "GetSystemDateAndTime", "HTTP/1.1 200 OK", "<tt:Year>1994</tt:Year>");
        ask("", "GetCapabilities", "HTTP/1.1 200 OK", "http://camera.test:81/onvif/media_service");
        ask("", "GetUsers", "HTTP/1.1 401 Unauthorized", "WWW-Authenticate: Digest");
        let token = |password: &str| {
            format!(
                "<Header><Security><UsernameToken><Username>admin</Username><Password>{password}</Password>\
                 </UsernameToken></Security></Header>"
            )
        };
        ask(&token("wrong"), "GetUsers", "HTTP/1.1 401 Unauthorized", "");
        ask(&token("admin"), "GetUsers", "HTTP/1.1 200 OK", "<tt:Username>admin</tt:Username>");
        ask("", "Nonsense", "HTTP/1.1 400 Bad Request", "ActionNotSupported");
        let bodiless = "POST /onvif/device_service HTTP/1.1\r\nContent-Length: 0\r\n\r\n";
        check_at("camera", 80, bodiless, "HTTP/1.1 401 Unauthorized", "WWW-Authenticate: Digest");
    }

    #[test]
    fn the_docker_of_a_nas() {
        let check = |request: &str, expected: &str, part: &str| check_at("nas", 2375, request, expected, part);
        check("GET /v1.24/version HTTP/1.1\r\n\r\n", "HTTP/1.1 200 OK", "\"ApiVersion\"");
        check("GET /_ping HTTP/1.1\r\n\r\n", "HTTP/1.1 200 OK", "OK");
        check("POST /containers/create?name=a HTTP/1.1\r\n\r\n{}", "HTTP/1.1 201 Created", "\"Id\"");
        check("GET /nowhere HTTP/1.1\r\n\r\n", "HTTP/1.1 404 Not Found", "page not found");
    }
}
