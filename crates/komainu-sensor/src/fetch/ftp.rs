//! Fetching by FTP (RFC 959), passively: the sensor is never connected to.
//!
//! What a server says about the address of its data connection is ignored: only its port counts, on the address that was
//! judged. Otherwise a server could send the sensor to a third party.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::dial::{Dialer, Place};
use super::location::Location;
use super::{Trace, WhyNot};

/// Bytes of one reply, all of its lines together.
const REPLY_BYTES_MAX: usize = 16 * 1024;

/// Bytes that are read at once.
const READ_BYTES: usize = 16 * 1024;

/// Who asks when the URL does not say, as BusyBox' ftpget does (networking/ftpgetput.c).
const USER: &[u8] = b"anonymous";
const PASSWORD: &[u8] = b"busybox@";

/// Fetches a file.
pub(super) async fn get(
    dialer: &Dialer,
    place: &Place,
    location: &Location,
    bytes_max: usize,
    trace: &mut Trace,
) -> Result<Vec<u8>, WhyNot> {
    let file = location.file()?;
    let (user, password) = match &location.user {
        Some((user, password)) => (user.as_slice(), password.as_slice()),
        None => (USER, PASSWORD),
    };
    let mut control = Control { stream: dialer.connect(place).await?, unread: Vec::new() };
    expect(&control.reply().await?, trace, &[220])?;
    let mut reply = control.command(b"USER ", user).await?;
    if reply.status == 331 {
        reply = control.command(b"PASS ", password).await?;
    }
    expect(&reply, trace, &[230, 202])?;
    expect(&control.command(b"TYPE I", b"").await?, trace, &[200])?;
    let extended = control.command(b"EPSV", b"").await?;
    let port = if extended.status == 229 {
        extended_port(&extended.text)
    } else {
        let passive = control.command(b"PASV", b"").await?;
        expect(&passive, trace, &[227])?;
        passive_port(&passive.text)
    };
    // Below are services of others that the server may want to be spoken to.
    let port = port.filter(|port| *port >= 1024).ok_or(WhyNot::Protocol)?;
    let mut data = dialer.connect(&place.with_port(port)).await?;
    expect(&control.command(b"RETR ", &file).await?, trace, &[125, 150])?;
    let mut contents = Vec::new();
    let mut buffer = vec![0; READ_BYTES];
    loop {
        let bytes = data.read(&mut buffer).await.map_err(|_| WhyNot::Closed)?;
        if bytes == 0 {
            break;
        }
        trace.bytes += bytes as u64;
        if contents.len() + bytes > bytes_max {
            return Err(WhyNot::TooLarge);
        }
        contents.extend_from_slice(&buffer[..bytes]);
    }
    // Whether it was all is said here, and nowhere else.
    let end = control.reply().await?;
    trace.status = Some(end.status);
    if matches!(end.status, 226 | 250) { Ok(contents) } else { Err(WhyNot::Closed) }
}

fn expect(reply: &Reply, trace: &mut Trace, wanted: &[u16]) -> Result<(), WhyNot> {
    trace.status = Some(reply.status);
    if wanted.contains(&reply.status) { Ok(()) } else { Err(WhyNot::Status) }
}

struct Control {
    stream: TcpStream,
    unread: Vec<u8>,
}

#[derive(Debug, PartialEq, Eq)]
struct Reply {
    status: u16,
    /// Its last line.
    text: String,
}

impl Control {
    async fn command(&mut self, verb: &[u8], argument: &[u8]) -> Result<Reply, WhyNot> {
        let line = [verb, argument, b"\r\n"].concat();
        self.stream.write_all(&line).await.map_err(|_| WhyNot::Closed)?;
        self.reply().await
    }

    async fn reply(&mut self) -> Result<Reply, WhyNot> {
        let mut buffer = [0; 1024];
        let mut read_bytes = self.unread.len();
        loop {
            if let Some((reply, used)) = read_reply(&self.unread)? {
                self.unread.drain(..used);
                return Ok(reply);
            }
            let bytes = self.stream.read(&mut buffer).await.map_err(|_| WhyNot::Closed)?;
            read_bytes += bytes;
            if bytes == 0 {
                return Err(WhyNot::Closed);
            }
            if read_bytes > REPLY_BYTES_MAX {
                return Err(WhyNot::Protocol);
            }
            self.unread.extend_from_slice(&buffer[..bytes]);
        }
    }
}

/// A whole reply at the beginning of `bytes`, and its length: lines up to one with a status and a space (RFC 959, 4.2).
fn read_reply(bytes: &[u8]) -> Result<Option<(Reply, usize)>, WhyNot> {
    let mut used = 0;
    for line in bytes.split_inclusive(|byte| *byte == b'\n') {
        let Some(text) = line.strip_suffix(b"\n") else { return Ok(None) };
        let is_first = used == 0;
        used += line.len();
        let text = text.strip_suffix(b"\r").unwrap_or(text);
        let status = text.first_chunk::<3>().filter(|digits| digits.iter().all(u8::is_ascii_digit));
        match (status, text.get(3)) {
            (Some(digits), None | Some(b' ')) => {
                let status = digits.iter().fold(0, |value, digit| value * 10 + u16::from(digit - b'0'));
                return Ok(Some((Reply { status, text: String::from_utf8_lossy(text).into_owned() }, used)));
            }
            (None, _) if is_first => return Err(WhyNot::Protocol),
            _ => {}
        }
    }
    Ok(None)
}

/// The port in `227 … (h1,h2,h3,h4,p1,p2)`.
fn passive_port(text: &str) -> Option<u16> {
    let numbers: Vec<&str> = text.get(4..)?.split(',').collect();
    let [.., high, low] = numbers.as_slice() else { return None };
    if numbers.len() != 6 {
        return None;
    }
    let low = low.split(|letter: char| !letter.is_ascii_digit()).next()?;
    Some(u16::from(high.trim().parse::<u8>().ok()?) << 8 | u16::from(low.parse::<u8>().ok()?))
}

/// The port in `229 … (|||p|)` (RFC 2428, 3).
fn extended_port(text: &str) -> Option<u16> {
    let (_, inside) = text.split_once("(|||")?;
    inside.split_once("|)")?.0.parse().ok()
}

/// Any bytes as what a server says: no panic, and no reply that is longer than what it was read from.
#[cfg(any(test, fuzzing))]
pub(crate) fn check_bytes(bytes: &[u8]) {
    if let Ok(Some((reply, used))) = read_reply(bytes) {
        assert!(used <= bytes.len() && reply.status <= 999);
        let _ = (passive_port(&reply.text), extended_port(&reply.text));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn replies() {
        let check = |bytes: &str, expected: Result<Option<(u16, usize)>, WhyNot>| {
            let told = read_reply(bytes.as_bytes()).map(|read| read.map(|(reply, used)| (reply.status, used)));
            assert_eq!(told, expected, "{bytes:?}");
        };
        check("220 hello\r\n", Ok(Some((220, 11))));
        check("220\r\nrest", Ok(Some((220, 5))));
        check("220-a\r\n 221 b\r\n220 c\r\nrest", Ok(Some((220, 22))));
        check("220-a\r\n", Ok(None));
        check("220 hello", Ok(None));
        check("", Ok(None));
        check("hello\r\n", Err(WhyNot::Protocol));
    }

    #[test]
    fn ports_of_data_connections() {
        assert_eq!(passive_port("227 Entering Passive Mode (10,0,0,1,4,1)."), Some(1025));
        assert_eq!(passive_port("227 =10,0,0,1,255,255"), Some(65535));
        for text in ["227", "227 (1,2,3,4,5)", "227 (1,2,3,4,256,1)", "227 (1,2,3,4,5,6,7)", "227 \u{e9},,,,,"] {
            assert_eq!(passive_port(text), None, "{text}");
        }
        assert_eq!(extended_port("229 Entering (|||5282|)"), Some(5282));
        for text in ["229 x", "229 (|||0x1|)", "229 (|1|10.0.0.1|5282|)", "229 (|||70000|)"] {
            assert_eq!(extended_port(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn whatever_a_server_says(bytes in prop::collection::vec(prop::sample::select(b"0123-(|,) \r\n\xFF".to_vec()), 0..60)) {
            check_bytes(&bytes);
            check_bytes(&[b"227 ".as_slice(), &bytes, b"\n"].concat());
        }
    }
}
