//! Who answers when it is not known what the guest speaks: by the port, by what a player waits for, by the first bytes.

use std::time::Duration;

use super::data::Data;
use super::ftp::Ftp;
use super::http::Http;
use super::irc::Irc;
use super::mail::{Pop3, Smtp};
use super::small::{DnsStream, Mqtt, Sink, Socks, Stratum};
use super::ssh::Ssh;
use super::telnet::Telnet;
use super::{Call, Next, Service};
use crate::limits::DECIDE_BYTES_MAX;
use crate::player::Player;

/// How long a server that speaks first waits for a guest that does, too.
const SILENCE: Duration = Duration::from_millis(300);

/// Methods of HTTP and what else stands at the begin of a request.
const METHODS: &[&[u8]] = &[
    b"GET ",
    b"HEAD ",
    b"POST ",
    b"PUT ",
    b"DELETE ",
    b"OPTIONS ",
    b"CONNECT ",
    b"TRACE ",
    b"PATCH ",
    b"PROPFIND ",
    b"M-SEARCH ",
    b"SUBSCRIBE ",
    b"NOTIFY ",
];

/// What a protocol's client says first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Tls,
    Http,
    Ssh,
    Telnet,
    Irc,
    Smtp,
    Mqtt,
    Stratum,
    Socks,
    Unknown,
}

/// The service that a new connection begins with.
pub(crate) fn first(call: &Call<'_>) -> Box<dyn Service> {
    if call.world.expected(call.peer.to).is_some() {
        return Box::<Data>::default();
    }
    if let Some(script) = call.world.scripts.at_begin(call.peer) {
        return Box::new(Player::new(script));
    }
    Box::<Undecided>::default()
}

/// The server that speaks first on a port.
fn by_port(port: u16) -> Option<Box<dyn Service>> {
    Some(match port {
        21 | 2121 => Box::<Ftp>::default(),
        22 | 2222 | 22222 => Box::<Ssh>::default(),
        23 | 2323 | 2332 | 23231 => Box::<Telnet>::default(),
        25 | 465 | 587 | 2525 => Box::<Smtp>::default(),
        110 | 995 => Box::<Pop3>::default(),
        6660..=6669 | 6697 | 7000 => Box::<Irc>::default(),
        _ => return None,
    })
}

/// The server that waits on a port, where its client cannot be known by its first bytes.
fn waiting_at(port: u16) -> Option<Box<dyn Service>> {
    match port {
        53 | 853 => Some(Box::<DnsStream>::default()),
        _ => None,
    }
}

/// Waits for what shows which protocol it is.
#[derive(Debug, Default)]
pub(crate) struct Undecided {
    kept: Vec<u8>,
}

impl Undecided {
    /// Who answers from here on, given what was said so far; none if more must be said.
    fn decide(&self, call: &Call<'_>) -> Option<Next> {
        let become_one = |service: Box<dyn Service>| Some(Next::Become(service, self.kept.clone()));
        if let Some(script) = call.world.scripts.by_first(call.peer, &self.kept) {
            return become_one(Box::new(Player::new(script)));
        }
        match kind(&self.kept)? {
            Kind::Tls if !call.peer.inside_tls => Some(Next::Tls(self.kept.clone())),
            _ if waiting_at(call.peer.to.port()).is_some() => become_one(waiting_at(call.peer.to.port())?),
            Kind::Http => become_one(Box::<Http>::default()),
            Kind::Ssh => become_one(Box::<Ssh>::default()),
            Kind::Telnet => become_one(Box::<Telnet>::default()),
            Kind::Irc => become_one(Box::<Irc>::default()),
            Kind::Smtp => become_one(Box::<Smtp>::default()),
            Kind::Mqtt => become_one(Box::<Mqtt>::default()),
            Kind::Stratum => become_one(Box::<Stratum>::default()),
            Kind::Socks => become_one(Box::<Socks>::default()),
            Kind::Tls | Kind::Unknown => match by_port(call.peer.to.port()) {
                Some(service) => become_one(service),
                None if call.world.scripts.may_become(call.peer, &self.kept) && self.kept.len() < DECIDE_BYTES_MAX => {
                    None
                }
                None => become_one(Box::<Sink>::default()),
            },
        }
    }
}

/// Which protocol begins like this; none if more must be said.
fn kind(bytes: &[u8]) -> Option<Kind> {
    let first = *bytes.first()?;
    match (first, bytes) {
        // A handshake of TLS 1.x, or of SSL 3.
        (0x16, [_, 3, ..]) => return Some(Kind::Tls),
        (0x16, [_]) => return None,
        (255, [_, 250..=254, ..]) => return Some(Kind::Telnet),
        (255, [_]) => return None,
        // A packet that connects, its length, and the protocol's name in its length.
        (0x10, _) if bytes.len() < 8 => return None,
        (0x10, _) if bytes[2..8].windows(4).any(|four| four == b"\x00\x04MQ" || four == b"\x00\x06MQ") => {
            return Some(Kind::Mqtt);
        }
        (5, [_, methods, offered @ ..]) if (1..=8).contains(methods) => {
            if offered.len() < usize::from(*methods) {
                return None;
            }
            let known = offered.iter().take(usize::from(*methods)).all(|method| matches!(method, 0..=3 | 0x80..));
            return Some(if known { Kind::Socks } else { Kind::Unknown });
        }
        (5, [_]) => return None,
        (4, [_, 1, ..]) => {
            return match bytes.len() {
                ..9 => None,
                _ => Some(if bytes[8..].contains(&0) { Kind::Socks } else { Kind::Unknown }),
            };
        }
        (4, [_]) => return None,
        _ => {}
    }
    let words: [(&[&[u8]], Kind); 4] = [
        (METHODS, Kind::Http),
        (&[b"SSH-"], Kind::Ssh),
        (&[b"NICK ", b"USER ", b"PASS ", b"CAP LS"], Kind::Irc),
        (&[b"EHLO ", b"HELO "], Kind::Smtp),
    ];
    let mut may_become = false;
    for (beginnings, kind) in words {
        for beginning in beginnings {
            if bytes.starts_with(beginning) {
                return Some(kind);
            }
            may_become |= beginning.starts_with(bytes);
        }
    }
    if may_become {
        return None;
    }
    if first == b'{' {
        let says = |word: &[u8]| bytes.windows(word.len()).any(|part| part == word);
        if says(b"\"mining.") || says(b"\"login\"") {
            return Some(Kind::Stratum);
        }
        // The method stands near the begin.
        let is_open = bytes.len() < DECIDE_BYTES_MAX && !bytes.contains(&b'\n');
        return if is_open { None } else { Some(Kind::Unknown) };
    }
    Some(Kind::Unknown)
}

impl Service for Undecided {
    fn name(&self) -> &'static str {
        "undecided"
    }

    fn opened(&mut self, call: &mut Call<'_>) {
        if by_port(call.peer.to.port()).is_some() {
            call.wake_after(SILENCE);
        }
    }

    fn data(&mut self, bytes: &[u8], call: &mut Call<'_>) -> Next {
        self.kept.extend(bytes);
        self.decide(call).unwrap_or(Next::Stay)
    }

    fn woken(&mut self, call: &mut Call<'_>) -> Next {
        match by_port(call.peer.to.port()) {
            Some(service) => Next::Become(service, std::mem::take(&mut self.kept)),
            None => Next::Stay,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Talk;

    fn check(bytes: &[u8], expected: Option<Kind>) {
        assert_eq!(kind(bytes), expected, "{:?}", String::from_utf8_lossy(bytes));
    }

    #[test]
    fn first_bytes_show_the_protocol() {
        check(b"\x16\x03\x01\x02", Some(Kind::Tls));
        check(b"\x16", None);
        check(b"GE", None);
        check(b"GET / HTTP/1.0", Some(Kind::Http));
        check(b"P", None);
        check(b"PASS x", Some(Kind::Irc));
        check(b"POST ", Some(Kind::Http));
        check(b"SSH-2.0-x", Some(Kind::Ssh));
        check(b"\xff\xfb\x1f", Some(Kind::Telnet));
        check(b"EHLO a", Some(Kind::Smtp));
        check(b"\x05\x01\x00", Some(Kind::Socks));
        check(b"\x04\x01\x00\x50\x01\x02\x03\x04", None);
        check(b"\x04\x01\x00\x50\x01\x02\x03\x04\x00", Some(Kind::Socks));
        check(b"\x10\x10\x00\x04MQTT\x04", Some(Kind::Mqtt));
        check(b"{\"id\":1,\"method\":\"mining.subscribe\"}", Some(Kind::Stratum));
        check(b"{\"hello\":1}\n", Some(Kind::Unknown));
        check(b"\x00\x00\x00\x01", Some(Kind::Unknown));
    }

    #[test]
    fn a_port_speaks_first_if_the_guest_does_not() {
        for (port, begin) in [(21, "220 "), (22, "SSH-2.0"), (25, "220 "), (110, "+OK"), (6667, ":")] {
            let mut talk = Talk::undecided(&format!("198.51.100.7:{port}"));
            assert_eq!(talk.text(), "");
            talk.wake();
            assert!(talk.text().starts_with(begin), "{port}: {}", talk.text());
        }
        let mut talk = Talk::undecided("198.51.100.7:23");
        talk.say(b"GET / HTTP/1.0\r\n\r\n");
        assert!(talk.text().starts_with("HTTP/1.1 200"), "{}", talk.text());
        let mut talk = Talk::undecided("198.51.100.7:4000");
        talk.say(b"unknown words");
        assert_eq!((talk.text().as_str(), talk.service_name()), ("", "sink"));
    }
}
