//! Looks at a device from outside: which TCP ports take a connection, and what each says first.

use std::collections::BTreeMap;
use std::io::{self, ErrorKind};
use std::net::{Ipv4Addr, SocketAddrV4};
use std::time::Duration;

use nix::errno::Errno;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout, timeout_at};

use super::baseline::{Baseline, PORTS_MAX, Page, Spoken};
use super::finding::shown;
use crate::http_answer::{AnswerReader, Progress};

/// How long all of it may take: 65,535 ports that answer nothing take 192 s, and then 256 ports 80 s at most.
const SURVEY_TIMEOUT: Duration = Duration::from_secs(300);

/// Connections that are tried at the same time: half of the descriptors that a process has by default.
const CONNECTING_MAX: usize = 512;

/// How long a connection may take: the kernel asks a second time after one second.
const CONNECT_TIMEOUT: Duration = Duration::from_millis(1_500);

/// Ports that are listened to at the same time.
const LISTENING_MAX: usize = 16;

/// How long a port may take to say something by itself; and when it is asked.
const GREETING_TIMEOUT: Duration = Duration::from_secs(2);
const ANSWER_TIMEOUT: Duration = Duration::from_secs(3);

/// When it has begun to speak and says nothing for so long, its line is over: prompts have no end of line.
const LINE_REST: Duration = Duration::from_millis(500);

/// Bytes of a line that count, and of a page in which its title is looked for.
const LINE_BYTES_MAX: usize = 256;
const PAGE_BYTES_MAX: usize = 16 * 1024;

/// Bytes of a server's name and of a title that count.
const NAME_BYTES_MAX: usize = 128;

/// Why a device could not be looked at.
#[derive(Debug, thiserror::Error)]
pub(super) enum SurveyError {
    #[error("the device cannot be reached: {0}")]
    Unreachable(#[source] io::Error),
    #[error("more than {PORTS_MAX} ports are open")]
    TooManyPorts,
    #[error("it took more than {} s", SURVEY_TIMEOUT.as_secs())]
    TooLong,
}

/// What became of a connection.
enum Tried {
    Open,
    /// It was refused, or nobody answered.
    Closed,
}

/// Looks at `ports` of a device.
pub(super) async fn survey(address: Ipv4Addr, ports: impl Iterator<Item = u16>) -> Result<Baseline, SurveyError> {
    let deadline = Instant::now() + SURVEY_TIMEOUT;
    let looked = async {
        let open = open_ports(address, ports).await?;
        Ok(Baseline { ports: what_they_say(address, open).await })
    };
    timeout_at(deadline, looked).await.unwrap_or(Err(SurveyError::TooLong))
}

async fn open_ports(address: Ipv4Addr, mut ports: impl Iterator<Item = u16>) -> Result<Vec<u16>, SurveyError> {
    let mut open = Vec::new();
    let mut trying = JoinSet::new();
    loop {
        while trying.len() < CONNECTING_MAX
            && let Some(port) = ports.next()
        {
            trying.spawn(async move { (port, connects(SocketAddrV4::new(address, port)).await) });
        }
        let Some(tried) = trying.join_next().await else { return Ok(open) };
        let (port, tried) = tried.map_err(|error| SurveyError::Unreachable(io::Error::other(error)))?;
        match tried.map_err(SurveyError::Unreachable)? {
            Tried::Open if open.len() >= PORTS_MAX => return Err(SurveyError::TooManyPorts),
            Tried::Open => open.push(port),
            Tried::Closed => {}
        }
    }
}

async fn connects(to: SocketAddrV4) -> io::Result<Tried> {
    match timeout(CONNECT_TIMEOUT, TcpStream::connect(to)).await {
        Ok(Ok(_)) => Ok(Tried::Open),
        Err(_elapsed) => Ok(Tried::Closed),
        // A device that takes a connection and drops it at once has taken it.
        Ok(Err(error)) if error.kind() == ErrorKind::ConnectionReset => Ok(Tried::Open),
        Ok(Err(error)) if error.kind() == ErrorKind::ConnectionRefused => Ok(Tried::Closed),
        Ok(Err(error)) if error.raw_os_error() == Some(Errno::ETIMEDOUT as i32) => Ok(Tried::Closed),
        // Nobody is there, or the packet filter does not let us: that says nothing about the port.
        Ok(Err(error)) => Err(error),
    }
}

async fn what_they_say(address: Ipv4Addr, open: Vec<u16>) -> BTreeMap<u16, Spoken> {
    let mut said = BTreeMap::new();
    let mut listening = JoinSet::new();
    let mut open = open.into_iter();
    loop {
        while listening.len() < LISTENING_MAX
            && let Some(port) = open.next()
        {
            // Until it has said something it has said nothing.
            said.insert(port, Spoken::Nothing);
            listening.spawn(async move { (port, says(SocketAddrV4::new(address, port)).await) });
        }
        match listening.join_next().await {
            Some(Ok((port, says))) => drop(said.insert(port, says)),
            // A bug of ours in one port's task; it counts as silent, which differs from what it was.
            Some(Err(_)) => {}
            None => return said,
        }
    }
}

/// What a port says first, by itself or when it is asked as a web server.
async fn says(to: SocketAddrV4) -> Spoken {
    let Ok(Ok(mut stream)) = timeout(CONNECT_TIMEOUT, TcpStream::connect(to)).await else { return Spoken::Nothing };
    let greeting = first_line(&mut stream).await;
    if !greeting.is_empty() {
        return Spoken::Greeting(shown(&greeting));
    }
    let request = format!("GET / HTTP/1.0\r\nHost: {}\r\nAccept: */*\r\n\r\n", to.ip());
    if stream.write_all(request.as_bytes()).await.is_err() {
        return Spoken::Nothing;
    }
    let mut answer = Vec::new();
    // What has come when the time is over is what it says.
    let _ = timeout(ANSWER_TIMEOUT, (&mut stream).take(PAGE_BYTES_MAX as u64).read_to_end(&mut answer)).await;
    describe(&answer)
}

/// The first line that comes by itself, without the empty ones before it; empty when none comes in time.
async fn first_line(stream: &mut TcpStream) -> Vec<u8> {
    let until = Instant::now() + GREETING_TIMEOUT;
    let mut said = Vec::new();
    loop {
        let until = if said.is_empty() { until } else { until.min(Instant::now() + LINE_REST) };
        let mut more = [0; LINE_BYTES_MAX];
        match timeout_at(until, stream.read(&mut more)).await {
            Ok(Ok(bytes @ 1..)) => said.extend(&more[..bytes]),
            Ok(Ok(_) | Err(_)) | Err(_) => return line_of(&said).to_vec(),
        }
        if said.len() >= LINE_BYTES_MAX || line_of(&said).len() < said.trim_ascii_start().len() {
            return line_of(&said).to_vec();
        }
    }
}

fn line_of(said: &[u8]) -> &[u8] {
    let said = said.trim_ascii_start();
    let end = said.iter().position(|byte| matches!(byte, b'\r' | b'\n')).unwrap_or(said.len());
    &said[..end.min(LINE_BYTES_MAX)]
}

/// What an answer to a request for a page says of a port.
fn describe(answer: &[u8]) -> Spoken {
    if answer.starts_with(b"HTTP/") {
        let mut reader = AnswerReader::new(PAGE_BYTES_MAX);
        if reader.take(answer) == Progress::Open {
            let _ = reader.finish();
        }
        let page = reader.into_answer();
        let short = |text: &[u8]| shown(&text[..text.len().min(NAME_BYTES_MAX)]);
        let server = page.header("Server").map(|server| short(server.as_bytes()));
        return Spoken::Http(Page { status: page.status, server, title: title(&page.body).map(short) });
    }
    match answer {
        // An alert (RFC 8446, 5.1).
        [0x15, 0x03, ..] => Spoken::Tls,
        answer => match line_of(answer) {
            [] => Spoken::Nothing,
            line => Spoken::Answer(shown(line)),
        },
    }
}

/// What stands between `<title…>` and the next tag.
fn title(page: &[u8]) -> Option<&[u8]> {
    const TAG: &[u8] = b"<title";
    let at = page.windows(TAG.len()).position(|window| window.eq_ignore_ascii_case(TAG))?;
    let rest = &page[at + TAG.len()..];
    let rest = &rest[rest.iter().position(|byte| *byte == b'>')? + 1..];
    let end = rest.iter().position(|byte| *byte == b'<').unwrap_or(rest.len());
    Some(rest[..end].trim_ascii())
}

/// Says bytes as a port that was asked for a page.
#[cfg(fuzzing)]
pub(crate) fn check_bytes(answer: &[u8]) {
    let says = describe(answer);
    let baseline = Baseline { ports: [(1, says)].into() };
    let text = baseline.to_text();
    let again = Baseline::parse(&text).expect("what was written is read");
    assert!(again == baseline && baseline.differences(&again).is_empty());
    assert!(text.len() < 4 * 1024 && text.is_ascii());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(status: u16, server: Option<&str>, title: Option<&str>) -> Spoken {
        Spoken::Http(Page { status, server: server.map(str::to_owned), title: title.map(str::to_owned) })
    }

    #[test]
    fn answers_say_what_a_port_is() {
        let check = |answer: &[u8], expected: Spoken| {
            assert_eq!(describe(answer), expected, "{}", answer.escape_ascii());
        };
        check(b"", Spoken::Nothing);
        check(b"\r\n\r\n", Spoken::Nothing);
        check(b"\x15\x03\x01\x00\x02\x02\x0a", Spoken::Tls);
        check(b"\r\n500 what?\r\nmore", Spoken::Answer("500 what?".into()));
        check(b"HTTP/1.0 404 Not Found\r\n\r\n", page(404, None, None));
        check(
            b"HTTP/1.1 200 OK\r\nserver: Cam/1\r\nContent-Length: 60\r\n\r\n<html><TITLE id=1>\n A \x1b b </title>",
            page(200, Some("Cam/1"), Some(r"A \x1b b")),
        );
        check(b"HTTP/1.0 200 OK\r\n\r\n<title", page(200, None, None));
        check(b"HTTP/", page(0, None, None));
    }

    #[test]
    fn a_line_is_the_first_one_that_says_something() {
        let check = |said: &[u8], expected: &[u8]| assert_eq!(line_of(said), expected);
        check(b"\r\n\r\nlogin: ", b"login: ");
        check(b"220 one\r\n220 two\r\n", b"220 one");
        check(&[b'x'; 1000], &[b'x'; LINE_BYTES_MAX]);
    }
}
