//! What a port says to a client that does not log in.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout, timeout_at};
use toml::{Table, Value};

use super::site::{self, Site};
use crate::http_answer::{Answer, AnswerReader, Progress};

/// How long a port may take to accept a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// How long a port that greets first may take to begin, and to pause: telnet says its prompt after its options.
const QUIET: Duration = Duration::from_millis(1500);

/// How long a greeting may take.
const GREETING_TIMEOUT: Duration = Duration::from_secs(6);

/// How long an answer of RTSP may take.
const RTSP_TIMEOUT: Duration = Duration::from_secs(3);

/// Bytes of a greeting.
const GREETING_BYTES_MAX: usize = 4096;

/// Ports where TLS is tried first: a client that waits is told nothing there.
const TLS_PORTS: &[u16] = &[443, 4443, 8443, 9443, 10443];

/// Ports where RTSP is tried first: many of its servers say nothing to other words.
const RTSP_PORTS: &[u16] = &[554, 5554, 8554, 10554];

/// What a port turned out to be.
#[derive(Debug)]
pub(super) enum Seen {
    Web(Site),
    /// What is shown before the prompt, and the prompt; lines end as in a persona's file.
    Telnet {
        issue: String,
        login_prompt: String,
    },
    /// What a persona's section has of it, without its ports.
    Rtsp(Table),
    Greeting(Vec<u8>),
    /// It is open and says nothing.
    Silent,
}

/// Connects.
pub(super) async fn connect(address: SocketAddr) -> Option<TcpStream> {
    timeout(CONNECT_TIMEOUT, TcpStream::connect(address)).await.ok()?.ok()
}

/// Looks at a port; none when it is closed. `pages` are what a web server there is known to have.
pub(super) async fn look(address: SocketAddr, pages: Vec<String>) -> Option<Seen> {
    let mut stream = connect(address).await?;
    if TLS_PORTS.contains(&address.port())
        && let Some(site) = site::look(address, true, pages.clone()).await
    {
        return Some(Seen::Web(site));
    }
    if RTSP_PORTS.contains(&address.port())
        && let Some(section) = rtsp(address).await
    {
        return Some(Seen::Rtsp(section));
    }
    let greeting = greeting(&mut stream).await;
    drop(stream);
    if greeting.has_options || greeting.text.ends_with(b"ogin: ") {
        return Some(telnet(&greeting.text));
    }
    if !greeting.bytes.is_empty() {
        return Some(Seen::Greeting(greeting.bytes));
    }
    if let Some(site) = site::look(address, false, pages.clone()).await {
        return Some(Seen::Web(site));
    }
    if let Some(section) = rtsp(address).await {
        return Some(Seen::Rtsp(section));
    }
    match site::look(address, true, pages).await {
        Some(site) => Some(Seen::Web(site)),
        None => Some(Seen::Silent),
    }
}

#[derive(Debug, Default)]
struct Greeting {
    /// As it came.
    bytes: Vec<u8>,
    /// Without the commands of telnet, if it is telnet.
    text: Vec<u8>,
    /// Whether it asked for options of telnet.
    has_options: bool,
}

/// Reads what is said first, and refuses what telnet offers, but for the echo: that is what makes a prompt come.
async fn greeting(stream: &mut TcpStream) -> Greeting {
    let (mut greeting, mut options) = (Greeting::default(), Options::default());
    let deadline = Instant::now() + GREETING_TIMEOUT;
    let mut buffer = [0; 1024];
    while greeting.bytes.len() < GREETING_BYTES_MAX {
        let quiet = deadline.min(Instant::now() + QUIET);
        let Ok(Ok(bytes)) = timeout_at(quiet, stream.read(&mut buffer)).await else { break };
        if bytes == 0 {
            break;
        }
        greeting.bytes.extend_from_slice(&buffer[..bytes]);
        let answers = options.take(&buffer[..bytes], &mut greeting);
        if !answers.is_empty() && stream.write_all(&answers).await.is_err() {
            break;
        }
    }
    greeting
}

const IAC: u8 = 255;
const DONT: u8 = 254;
const DO: u8 = 253;
const WONT: u8 = 252;
const WILL: u8 = 251;
const SB: u8 = 250;
const SE: u8 = 240;
const ECHO: u8 = 1;
const SUPPRESS_GO_AHEAD: u8 = 3;

/// Where one is in the commands of telnet (RFC 854).
#[derive(Debug, Default)]
enum Options {
    #[default]
    Text,
    Command,
    Option(u8),
    Subnegotiation,
    SubnegotiationCommand,
}

impl Options {
    /// Takes the commands out of what was said; gives what is answered.
    fn take(&mut self, bytes: &[u8], greeting: &mut Greeting) -> Vec<u8> {
        let mut answers = Vec::new();
        for &byte in bytes {
            *self = match (&self, byte) {
                (Self::Text, IAC) => Self::Command,
                (Self::Text, _) => {
                    greeting.text.push(byte);
                    Self::Text
                }
                (Self::Command, IAC) => {
                    greeting.text.push(byte);
                    Self::Text
                }
                (Self::Command, WILL | WONT | DO | DONT) => Self::Option(byte),
                (Self::Command, SB) => Self::Subnegotiation,
                (Self::Command, _) => Self::Text,
                (Self::Option(verb), option) => {
                    greeting.has_options = true;
                    match *verb {
                        WILL if matches!(option, ECHO | SUPPRESS_GO_AHEAD) => answers.extend([IAC, DO, option]),
                        WILL => answers.extend([IAC, DONT, option]),
                        DO => answers.extend([IAC, WONT, option]),
                        _ => {}
                    }
                    Self::Text
                }
                (Self::Subnegotiation, IAC) => Self::SubnegotiationCommand,
                (Self::SubnegotiationCommand, SE) => Self::Text,
                (Self::Subnegotiation | Self::SubnegotiationCommand, _) => Self::Subnegotiation,
            };
        }
        answers
    }
}

/// What a persona needs of a greeting of telnet: the last line is the prompt.
fn telnet(text: &[u8]) -> Seen {
    let text = String::from_utf8_lossy(text).replace('\0', "").replace("\r\n", "\n");
    let (issue, prompt) = text.split_at(text.rfind('\n').map_or(0, |end| end + 1));
    Seen::Telnet { issue: issue.to_owned(), login_prompt: prompt.to_owned() }
}

/// What RTSP says of itself: its server, and who is asked for a password.
async fn rtsp(address: SocketAddr) -> Option<Table> {
    let options = rtsp_ask(address, "OPTIONS", 1).await?;
    let describe = rtsp_ask(address, "DESCRIBE", 2).await;
    let server = describe.as_ref().and_then(|answer| answer.header("Server")).or(options.header("Server"));
    let mut section = Table::from_iter([("paths".to_owned(), Value::Array(vec!["/".into()]))]);
    if let Some(server) = server {
        section.insert("server".into(), server.into());
    }
    if let Some(challenge) = describe.as_ref().and_then(|answer| answer.header("WWW-Authenticate")) {
        let scheme = challenge.split(' ').next().unwrap_or_default().to_ascii_lowercase();
        let realm = challenge.split_once("realm=\"").and_then(|(_, rest)| rest.split('"').next());
        section.insert("auth".into(), scheme.into());
        section.insert("realm".into(), realm.unwrap_or_default().into());
    }
    Some(section)
}

async fn rtsp_ask(address: SocketAddr, method: &str, number: u32) -> Option<Answer> {
    let request = format!(
        "{method} rtsp://{address}/ RTSP/1.0\r\nCSeq: {number}\r\nUser-Agent: LibVLC/3.0.20\r\nAccept: application/sdp\r\n\r\n"
    );
    timeout(RTSP_TIMEOUT, async {
        let mut stream = connect(address).await?;
        stream.write_all(request.as_bytes()).await.ok()?;
        let mut buffer = [0; 1024];
        let mut head = Vec::new();
        while head.len() < GREETING_BYTES_MAX && !head.windows(4).any(|four| four == b"\r\n\r\n") {
            let bytes = stream.read(&mut buffer).await.ok()?;
            if bytes == 0 {
                break;
            }
            head.extend_from_slice(&buffer[..bytes]);
        }
        // Its answers are those of HTTP but for the first word (RFC 2326, 7); the description itself is not needed.
        let head = head.strip_prefix(b"RTSP/")?;
        let mut reader = AnswerReader::new(GREETING_BYTES_MAX);
        reader.take(b"HTTP/");
        match reader.take(head) {
            Progress::Open | Progress::Whole | Progress::TooLarge => Some(reader.into_answer()),
            Progress::Broken => None,
        }
    })
    .await
    .ok()
    .flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_of_telnet_are_answered() {
        let (mut greeting, mut options) = (Greeting::default(), Options::default());
        let said = b"\xff\xfd\x01\xff\xfd\x1f\xff\xfb\x01\xff\xfb\x03\xff\xfb\x05\xff\xfa\x18\x01\xff\xf0a\xff\xffb: ";
        let answers: Vec<u8> = said.iter().flat_map(|byte| options.take(&[*byte], &mut greeting)).collect();
        assert_eq!(answers, b"\xff\xfc\x01\xff\xfc\x1f\xff\xfd\x01\xff\xfd\x03\xff\xfe\x05");
        assert_eq!((greeting.text.as_slice(), greeting.has_options), (b"a\xffb: ".as_slice(), true));
    }

    #[test]
    fn the_last_line_is_the_prompt() {
        let Seen::Telnet { issue, login_prompt } = telnet(b"\r\nWelcome\r\n\r\ncam login: ") else { panic!() };
        assert_eq!((issue.as_str(), login_prompt.as_str()), ("\nWelcome\n\n", "cam login: "));
    }
}
