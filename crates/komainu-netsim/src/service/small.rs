//! Services that say little: MQTT, mining pools, SOCKS, DNS over TCP, and the one that only listens.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use komainu_trace::network::NetworkAct;

use super::lines::Lines;
use super::{Call, Next, Service, first};
use crate::dns;

/// A broker of MQTT 3.1.1 that takes connections and subscriptions and has nothing to say.
#[derive(Debug, Default)]
pub(crate) struct Mqtt {
    kept: Vec<u8>,
}

/// A packet of MQTT that is put together, in bytes: a connection with its name, password and will.
const MQTT_PACKET_BYTES_MAX: usize = 16 * 1024;

impl Service for Mqtt {
    fn name(&self) -> &'static str {
        "mqtt"
    }

    fn data(&mut self, bytes: &[u8], call: &mut Call<'_>) -> Next {
        self.kept.extend(bytes);
        let mut at = 0;
        while let Some((kind, body, length)) = mqtt_packet(&self.kept[at..]) {
            match kind >> 4 {
                1 => {
                    let (user, password) = mqtt_login(body).unwrap_or_default();
                    if !user.is_empty() {
                        call.login("mqtt", &user, &password);
                    }
                    call.send([0x20, 2, 0, 0]);
                }
                // Published with quality of service 1: acknowledged.
                3 if kind & 6 == 2 => {
                    let id = body
                        .first_chunk::<2>()
                        .map(|length| 2 + usize::from(u16::from_be_bytes(*length)))
                        .and_then(|at| body.get(at..at + 2));
                    if let Some(id) = id {
                        call.send([&[0x40, 2], id].concat());
                    }
                }
                // A subscription is granted with quality of service 0.
                8 => {
                    if let Some(id) = body.get(..2) {
                        call.send([&[0x90, 3], id, &[0]].concat());
                    }
                }
                12 => call.send([0xD0, 0]),
                14 => call.close(),
                _ => {}
            }
            at += length;
        }
        self.kept.drain(..at);
        if self.kept.len() > MQTT_PACKET_BYTES_MAX {
            call.close();
        }
        Next::Stay
    }
}

/// The first packet: its first byte, its body and its length.
fn mqtt_packet(bytes: &[u8]) -> Option<(u8, &[u8], usize)> {
    let (kind, rest) = bytes.split_first()?;
    let (mut length, mut digits) = (0_usize, 0);
    loop {
        let byte = *rest.get(digits)?;
        length |= usize::from(byte & 0x7F) << (7 * digits);
        digits += 1;
        if byte & 0x80 == 0 {
            break;
        }
        if digits == 4 {
            // No length; what follows cannot be read, and its bytes are bounded by whoever keeps them.
            return None;
        }
    }
    let body = rest.get(digits..digits + length)?;
    Some((*kind, body, 1 + digits + length))
}

/// The name and the password of a connection.
fn mqtt_login(body: &[u8]) -> Option<(Vec<u8>, Vec<u8>)> {
    let (length, _) = body.split_first_chunk::<2>()?;
    let name_end = 2 + usize::from(u16::from_be_bytes(*length));
    let flags = *body.get(name_end + 1)?;
    // Behind the protocol's name: level, flags, keep-alive.
    let mut rest = body.get(name_end + 4..)?;
    let mut string = || {
        let (length, after) = rest.split_first_chunk::<2>()?;
        let (value, after) = after.split_at_checked(usize::from(u16::from_be_bytes(*length)))?;
        rest = after;
        Some(value.to_vec())
    };
    string()?;
    if flags & 4 != 0 {
        string()?;
        string()?;
    }
    let user = if flags & 0x80 != 0 { string()? } else { Vec::new() };
    let password = if flags & 0x40 != 0 { string()? } else { Vec::new() };
    Some((user, password))
}

/// A pool of miners (Stratum, JSON on lines) that greets, and has no work.
#[derive(Debug, Default)]
pub(crate) struct Stratum {
    lines: Lines,
}

impl Service for Stratum {
    fn name(&self) -> &'static str {
        "stratum"
    }

    fn data(&mut self, bytes: &[u8], call: &mut Call<'_>) -> Next {
        for byte in bytes {
            let Some(line) = self.lines.take(*byte).filter(|line| !line.is_empty()) else { continue };
            call.command("stratum", &line);
            // Depth is bounded by the reader; a line is bounded by `Lines`.
            let Ok(asked) = serde_json::from_slice::<serde_json::Value>(&line) else { continue };
            let parameters = &asked["params"];
            let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().as_bytes().to_vec();
            match asked["method"].as_str() {
                Some("login") => {
                    call.login("stratum", &text(&parameters["login"]), &text(&parameters["pass"]));
                    reply(&asked["id"], r#"{"id":"1","job":null,"status":"OK"}"#, call);
                }
                Some("mining.authorize") => {
                    call.login("stratum", &text(&parameters[0]), &text(&parameters[1]));
                    reply(&asked["id"], "true", call);
                }
                Some("mining.subscribe") => reply(&asked["id"], r#"[[["mining.notify","1"]],"08000002",4]"#, call),
                Some(_) => reply(&asked["id"], "true", call),
                None => {}
            }
        }
        Next::Stay
    }
}

fn reply(id: &serde_json::Value, result: &str, call: &mut Call<'_>) {
    // What is no number is not repeated.
    let id = id.as_u64().unwrap_or(0);
    call.send(format!("{{\"id\":{id},\"jsonrpc\":\"2.0\",\"error\":null,\"result\":{result}}}\n"));
}

/// A proxy of SOCKS 4 or 5 (RFC 1928) that lets everybody through, to the same simulated Internet.
#[derive(Debug, Default)]
pub(crate) struct Socks {
    kept: Vec<u8>,
    is_greeted: bool,
}

/// A request of SOCKS, in bytes: two names of 255.
const SOCKS_BYTES_MAX: usize = 600;

impl Service for Socks {
    fn name(&self) -> &'static str {
        "socks"
    }

    fn data(&mut self, bytes: &[u8], call: &mut Call<'_>) -> Next {
        self.kept.extend(bytes);
        if self.kept.first() == Some(&5) && !self.is_greeted {
            let Some(methods) = self.kept.get(1) else { return Next::Stay };
            let length = 2 + usize::from(*methods);
            if self.kept.len() < length {
                return Next::Stay;
            }
            self.kept.drain(..length);
            self.is_greeted = true;
            call.send([5, 0]);
        }
        let asked = if self.is_greeted { socks5(&self.kept) } else { socks4(&self.kept) };
        let Some((target, port, length)) = asked else {
            if self.kept.len() > SOCKS_BYTES_MAX {
                call.close();
            }
            return Next::Stay;
        };
        let rest = self.kept.split_off(length);
        let via = if self.is_greeted { "socks5" } else { "socks4" };
        if self.is_greeted {
            call.send([5, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
        } else {
            call.send([0, 90, 0, 0, 0, 0, 0, 0]);
        }
        through(&target, port, via, rest, call)
    }
}

/// Goes on as if the guest had connected to where it asked for.
pub(super) fn through(target: &[u8], port: u16, via: &str, rest: Vec<u8>, call: &mut Call<'_>) -> Next {
    let told = [target, b":", port.to_string().as_bytes()].concat();
    call.event(NetworkAct::Proxied { flow: call.peer.flow, target: told.as_slice().into(), via: via.to_owned() });
    let address =
        std::str::from_utf8(target).ok().and_then(|text| text.trim_matches(['[', ']']).parse::<IpAddr>().ok());
    match address {
        Some(address) => {
            call.peer.to = SocketAddr::new(address, port);
            call.peer.name = call.world.names.of(address).cloned();
        }
        None => {
            call.peer.name = Some(target.into());
            call.peer.to = SocketAddr::new(call.peer.to.ip(), port);
        }
    }
    Next::Become(first(call), rest)
}

/// Target, port and length of a request of SOCKS 5.
fn socks5(bytes: &[u8]) -> Option<(Vec<u8>, u16, usize)> {
    let (_, rest) = bytes.split_first_chunk::<3>()?;
    let (kind, rest) = rest.split_first()?;
    let (target, used, rest) = match kind {
        1 => {
            let (address, rest) = rest.split_first_chunk::<4>()?;
            (Ipv4Addr::from(*address).to_string().into_bytes(), 4, rest)
        }
        3 => {
            let (length, rest) = rest.split_first()?;
            let (name, rest) = rest.split_at_checked(usize::from(*length))?;
            (name.to_vec(), 1 + name.len(), rest)
        }
        4 => {
            let (address, rest) = rest.split_first_chunk::<16>()?;
            (Ipv6Addr::from(*address).to_string().into_bytes(), 16, rest)
        }
        _ => return None,
    };
    let port = rest.first_chunk::<2>()?;
    Some((target, u16::from_be_bytes(*port), 4 + used + 2))
}

/// Target, port and length of a request of SOCKS 4 or 4a.
fn socks4(bytes: &[u8]) -> Option<(Vec<u8>, u16, usize)> {
    let (head, rest) = bytes.split_first_chunk::<8>()?;
    let port = u16::from_be_bytes([head[2], head[3]]);
    let user_end = rest.iter().position(|byte| *byte == 0)?;
    let mut length = 8 + user_end + 1;
    let target = match [head[4], head[5], head[6], head[7]] {
        // 4a: an address that is none says that a name follows.
        [0, 0, 0, last] if last != 0 => {
            let name = &rest[user_end + 1..];
            let end = name.iter().position(|byte| *byte == 0)?;
            length += end + 1;
            name[..end].to_vec()
        }
        address => Ipv4Addr::from(address).to_string().into_bytes(),
    };
    Some((target, port, length))
}

/// A resolver on TCP (RFC 7766).
#[derive(Debug, Default)]
pub(crate) struct DnsStream {
    kept: Vec<u8>,
}

/// A question on TCP, in bytes: a name and options. A message may say that it has 64 KiB.
const QUESTION_BYTES_MAX: usize = 4096;

impl Service for DnsStream {
    fn name(&self) -> &'static str {
        "dns"
    }

    fn data(&mut self, bytes: &[u8], call: &mut Call<'_>) -> Next {
        self.kept.extend(bytes);
        let mut at = 0;
        while let Some((length, rest)) = self.kept[at..].split_first_chunk::<2>() {
            let length = usize::from(u16::from_be_bytes(*length));
            if length > QUESTION_BYTES_MAX {
                call.close();
                break;
            }
            let Some(message) = rest.get(..length) else { break };
            if let Some(answer) = dns::answer(call.world, message, call.peer.to) {
                let length = u16::try_from(answer.len()).expect("an answer has a few hundred bytes");
                call.send([&length.to_be_bytes()[..], &answer].concat());
            }
            at += 2 + length;
        }
        self.kept.drain(..at);
        Next::Stay
    }
}

/// Listens and says nothing.
#[derive(Debug, Default)]
pub(crate) struct Sink;

impl Service for Sink {
    fn name(&self) -> &'static str {
        "sink"
    }

    fn data(&mut self, _: &[u8], _: &mut Call<'_>) -> Next {
        Next::Stay
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Talk;

    #[test]
    fn mqtt_is_acknowledged() {
        let connect = b"\x10\x16\x00\x04MQTT\x04\xc2\x00\x3c\x00\x01a\x00\x02ab\x00\x03abc";
        for piece in [1, 3, connect.len()] {
            let mut talk = Talk::new(Box::<Mqtt>::default(), "198.51.100.7:1883");
            connect.chunks(piece).for_each(|piece| talk.say(piece));
            assert_eq!(talk.take(), [0x20, 2, 0, 0]);
            assert!(
                matches!(&talk.acts()[..], [NetworkAct::Login { user, .. }] if user.0 == b"ab"),
                "{:?}",
                talk.acts()
            );
            talk.say(b"\x82\x06\x00\x07\x00\x01t\x00\xc0\x00\x32\x06\x00\x01t\x00\x09x");
            assert_eq!(talk.take(), [0x90, 3, 0, 7, 0, 0xD0, 0, 0x40, 2, 0, 9]);
        }
    }

    #[test]
    fn a_miner_is_greeted() {
        let mut talk = Talk::new(Box::<Stratum>::default(), "198.51.100.7:3333");
        talk.say(b"{\"id\":1,\"method\":\"login\",\"params\":{\"login\":\"wallet\",\"pass\":\"x\"}}\nno json\n");
        assert!(talk.text().contains("\"status\":\"OK\""), "{}", talk.text());
        assert!(talk.acts().iter().any(|act| matches!(act, NetworkAct::Login { user, .. } if user.0 == b"wallet")));
    }

    #[test]
    fn what_socks_asks_for_is_reached() {
        let check = |asked: &[u8], reply_bytes: usize, target: &str| {
            let mut talk = Talk::new(Box::<Socks>::default(), "198.51.100.7:1080");
            talk.say(asked);
            assert!(talk.take().len() >= reply_bytes);
            let told = talk.acts().into_iter().find_map(|act| match act {
                NetworkAct::Proxied { target, .. } => Some(target.to_string()),
                _ => None,
            });
            assert_eq!(told.as_deref(), Some(target));
            assert_eq!(talk.service_name(), "undecided");
        };
        check(b"\x05\x01\x00\x05\x01\x00\x03\x0ac2.example\x01\xbb", 12, "c2.example:443");
        check(b"\x05\x01\x00\x05\x01\x00\x01\xcb\x00\x71\x07\x01\xbb", 12, "203.0.113.7:443");
        check(b"\x04\x01\x01\xbb\xcb\x00\x71\x07me\0", 8, "203.0.113.7:443");
        check(b"\x04\x01\x01\xbb\0\0\0\x01me\0c2.example\0", 8, "c2.example:443");
    }
}
