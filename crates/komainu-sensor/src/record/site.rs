//! The pages of a device's web server that anybody gets.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::time::Duration;

use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use toml::{Table, Value};
use x509_parser::parse_x509_certificate;

use super::links::{links, path};
use super::probe::connect;
use crate::fetch::accepting_any_certificate;
use crate::http_answer::{Answer, AnswerReader, Progress};

/// Pages of one server that are recorded.
const PAGES_MAX: usize = 50;

/// Requests to one server.
const REQUESTS_MAX: usize = 120;

/// Bytes of all pages of one server.
const SITE_BYTES_MAX: usize = 8 * 1024 * 1024;

/// Bytes of one page: what a persona's file may have.
const PAGE_BYTES_MAX: usize = 1024 * 1024;

/// How long one page may take.
const PAGE_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a port that has said nothing may take to turn out to be a web server.
const FIRST_TIMEOUT: Duration = Duration::from_secs(4);

/// Bytes that are read at once.
const READ_BYTES: usize = 16 * 1024;

/// What is asked for besides what pages refer to: where devices have descriptions, and what browsers ask for.
const USUAL: &[&str] = &[
    "/",
    "/index.html",
    "/login.html",
    "/favicon.ico",
    "/robots.txt",
    "/rootDesc.xml",
    "/description.xml",
    "/device.xml",
    "/igd.xml",
    "/gatedesc.xml",
    "/IGDdevicedesc.xml",
    "/upnp/BasicDevice.xml",
];

/// What no device has.
const MISSING: &str = "/qk7x2.html";

/// Headers that a persona's server writes itself, or that are only of one connection.
const OWN_HEADERS: &[&str] = &[
    "date",
    "content-type",
    "content-length",
    "connection",
    "transfer-encoding",
    "keep-alive",
    "last-modified",
    "etag",
    "expires",
    "age",
];

/// A web server as it was seen.
#[derive(Debug)]
pub(super) struct Site {
    is_tls: bool,
    pages: BTreeMap<String, Answer>,
    missing: Answer,
    keep_alive: bool,
    pub(super) notes: Vec<String>,
}

/// A server that is asked.
struct Server {
    address: SocketAddr,
    is_tls: bool,
}

/// Looks at the pages of a server; none when it speaks no HTTP, or no TLS when that is wanted. `wanted` are paths of pages
/// that it is known to have.
pub(super) async fn look(address: SocketAddr, is_tls: bool, wanted: Vec<String>) -> Option<Site> {
    let server = Server { address, is_tls };
    let mut notes = Vec::new();
    let (missing, certificate) = server.ask(MISSING, FIRST_TIMEOUT).await?;
    notes.extend(certificate.as_deref().map(certificate_note));
    let keep_alive = missing.header("Connection").is_some_and(|value| value.eq_ignore_ascii_case("keep-alive"));
    let usual = USUAL.iter().map(|path| (*path).to_owned());
    let mut waiting: VecDeque<String> = usual.chain(wanted).collect();
    let mut known: BTreeSet<String> = waiting.iter().cloned().collect();
    let (mut pages, mut bytes, mut requests) = (BTreeMap::new(), 0, 0);
    let origin = server.origin();
    while let Some(path) = waiting.pop_front() {
        requests += 1;
        if requests > REQUESTS_MAX || pages.len() >= PAGES_MAX {
            notes.push(format!("more than {PAGES_MAX} pages or {REQUESTS_MAX} requests; the rest is left out"));
            break;
        }
        let Some((answer, _)) = server.ask(&path, PAGE_TIMEOUT).await else {
            notes.push(format!("{path} is not taken over: no whole answer of at most {PAGE_BYTES_MAX} bytes"));
            continue;
        };
        if is_missing(&answer, &missing) {
            continue;
        }
        bytes += answer.body.len();
        if bytes > SITE_BYTES_MAX {
            notes.push(format!("more than {SITE_BYTES_MAX} bytes; the rest is left out"));
            break;
        }
        for found in followed(&answer, &path, &origin) {
            if known.insert(found.clone()) {
                waiting.push_back(found);
            }
        }
        pages.insert(path, answer);
    }
    Some(Site { is_tls, pages, missing, keep_alive, notes })
}

/// Whether a page is what the server says when there is none.
fn is_missing(answer: &Answer, missing: &Answer) -> bool {
    let is_same = || answer.body == missing.body && headers(answer) == headers(missing);
    answer.status == missing.status && (answer.status >= 400 || is_same())
}

/// Where a page leads.
fn followed(answer: &Answer, base: &str, origin: &str) -> Vec<String> {
    let redirected = answer.header("Location").and_then(|to| path(to, base, origin));
    let is_text = answer
        .header("Content-Type")
        .is_none_or(|its| ["html", "css", "xml", "text"].iter().any(|kind| its.contains(kind)));
    let linked = if is_text { links(&answer.body, base, origin) } else { Vec::new() };
    redirected.into_iter().chain(linked).collect()
}

impl Server {
    fn origin(&self) -> String {
        match (self.is_tls, self.address.port()) {
            (true, 443) => format!("https://{}", self.address.ip()),
            (false, 80) => format!("http://{}", self.address.ip()),
            (true, _) => format!("https://{}", self.address),
            (false, _) => format!("http://{}", self.address),
        }
    }

    /// A page, and the server's certificate.
    async fn ask(&self, path: &str, limit: Duration) -> Option<(Answer, Option<Vec<u8>>)> {
        let host = self.origin().split_once("://").map(|(_, host)| host.to_owned())?;
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: Mozilla/5.0\r\nAccept: */*\r\nConnection: keep-alive\r\n\r\n"
        );
        timeout(limit, self.exchange(request.as_bytes())).await.ok().flatten()
    }

    async fn exchange(&self, request: &[u8]) -> Option<(Answer, Option<Vec<u8>>)> {
        let mut stream = connect(self.address).await?;
        if !self.is_tls {
            return Some((answer(&mut stream, request).await?, None));
        }
        let (config, certificate) = accepting_any_certificate();
        let name = ServerName::from(self.address.ip());
        let mut stream = TlsConnector::from(config).connect(name, stream).await.ok()?;
        let answer = answer(&mut stream, request).await?;
        Some((answer, certificate.shown().map(|shown| shown.der)))
    }
}

async fn answer(stream: &mut (impl AsyncRead + AsyncWrite + Unpin), request: &[u8]) -> Option<Answer> {
    stream.write_all(request).await.ok()?;
    let mut reader = AnswerReader::new(PAGE_BYTES_MAX);
    let mut buffer = vec![0; READ_BYTES];
    loop {
        let bytes = stream.read(&mut buffer).await.unwrap_or(0);
        match if bytes == 0 { reader.finish() } else { reader.take(&buffer[..bytes]) } {
            Progress::Open => {}
            Progress::Whole => return Some(reader.into_answer()),
            Progress::TooLarge | Progress::Broken => return None,
        }
    }
}

fn certificate_note(der: &[u8]) -> String {
    match parse_x509_certificate(der) {
        Ok((_, certificate)) => format!(
            "TLS certificate of {}, by {}, until {}: it is the device's own, and not taken over",
            certificate.subject(),
            certificate.issuer(),
            certificate.validity().not_after
        ),
        Err(_) => "a TLS certificate that cannot be read; it is not taken over".to_owned(),
    }
}

impl Site {
    pub(super) const fn is_tls(&self) -> bool {
        self.is_tls
    }

    /// Whether two ports show the same.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        let is_same = |one: &Answer, other: &Answer| {
            one.status == other.status && one.body == other.body && headers(one) == headers(other)
        };
        self.is_tls == other.is_tls
            && self.keep_alive == other.keep_alive
            && is_same(&self.missing, &other.missing)
            && self.pages.len() == other.pages.len()
            && self.pages.iter().zip(&other.pages).all(|(one, other)| one.0 == other.0 && is_same(one.1, other.1))
    }

    /// The section of a persona, without its ports, and the files that it names.
    pub(super) fn into_section(self, port: u16) -> (Table, BTreeMap<String, Vec<u8>>) {
        let mut files = Files { folder: format!("http-{port}"), files: BTreeMap::new() };
        let all = || self.pages.values().chain([&self.missing]);
        // What every answer has is the server's.
        let mut common = headers(&self.missing);
        for answer in all() {
            let its = headers(answer);
            common.retain(|name, value| its.get(name) == Some(value));
        }
        let page = |answer: &Answer, path: &str, files: &mut Files| {
            let mut own = headers(answer);
            own.retain(|name, _| !common.contains_key(name));
            let content_type = answer.header("Content-Type").unwrap_or("text/html").replace('"', "");
            let mut page = Table::from_iter([
                ("status".to_owned(), Value::from(i64::from(answer.status))),
                ("type".to_owned(), Value::from(content_type)),
            ]);
            if !own.is_empty() {
                page.insert("headers".into(), table(own).into());
            }
            if !answer.body.is_empty() {
                page.insert("file".into(), files.add(path, &answer.body).into());
            }
            page
        };
        let mut pages = Vec::new();
        for (path, answer) in &self.pages {
            let mut page = page(answer, path, &mut files);
            page.insert("path".into(), path.as_str().into());
            pages.push(Value::Table(page));
        }
        let not_found = page(&self.missing, "/not-found.html", &mut files);
        let mut section = Table::from_iter([
            ("headers".to_owned(), table(common).into()),
            ("keep_alive".to_owned(), self.keep_alive.into()),
            ("not_found".to_owned(), not_found.into()),
        ]);
        if !pages.is_empty() {
            section.insert("page".into(), pages.into());
        }
        (section, files.files)
    }
}

fn table(headers: BTreeMap<String, String>) -> Table {
    headers.into_iter().map(|(name, value)| (name, Value::from(value))).collect()
}

/// The headers that a persona takes over, each once: a persona has a name only once.
fn headers(answer: &Answer) -> BTreeMap<String, String> {
    let mut headers = BTreeMap::new();
    for (name, value) in &answer.headers {
        let is_name =
            !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_');
        let is_value = value.bytes().all(|byte| (b' '..=b'~').contains(&byte));
        if is_name && is_value && !OWN_HEADERS.contains(&name.to_ascii_lowercase().as_str()) {
            headers.entry(name.clone()).or_insert_with(|| value.clone());
        }
    }
    headers
}

/// The files of a server, in a folder of their own.
struct Files {
    folder: String,
    files: BTreeMap<String, Vec<u8>>,
}

impl Files {
    /// Adds a body under a name like its path; what is there already is not added twice.
    fn add(&mut self, path: &str, body: &[u8]) -> String {
        if let Some((name, _)) = self.files.iter().find(|(_, known)| known.as_slice() == body) {
            return name.clone();
        }
        let plain = |letter: char| if letter.is_ascii_alphanumeric() || "._-".contains(letter) { letter } else { '_' };
        let base: String = path.trim_start_matches(['/', '.']).chars().map(plain).take(100).collect();
        let base = if base.is_empty() || base.ends_with('_') { format!("{base}index.html") } else { base };
        let mut name = format!("{}/{base}", self.folder);
        let mut number = 1;
        while self.files.contains_key(&name) {
            number += 1;
            name = format!("{}/{number}-{base}", self.folder);
        }
        self.files.insert(name.clone(), body.to_vec());
        name
    }
}
