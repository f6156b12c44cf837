//! Whether a run still shows something new.

use std::collections::HashSet;
use std::net::IpAddr;

use komainu_trace::network::{NetworkAct, NetworkEvent};

/// What is remembered of a run: more different things than a report has room for. Beyond, nothing is new any more.
const KEYS_MAX: usize = 4_096;
/// So many addresses are each something new at one port; whoever tries more scans, and the next address is like the last.
const ADDRESSES_PER_PORT_MAX: u32 = 16;

/// Remembers what the network showed.
#[derive(Debug, Default)]
pub(crate) struct NetworkNovelty {
    seen: HashSet<Key>,
}

#[derive(Debug, PartialEq, Eq, Hash)]
enum Key {
    Kind(&'static str),
    Port(&'static str, u16),
    /// The port, and how many addresses were seen at it.
    Addresses(&'static str, u16, u32),
    Address(&'static str, IpAddr, u16),
    Text(&'static str, Vec<u8>),
}

impl NetworkNovelty {
    /// Whether the guest did something that it had not done. What the network answers is not counted.
    pub(crate) fn is_news(&mut self, event: &NetworkEvent) -> bool {
        match &event.act {
            NetworkAct::Dhcp { .. } => self.is_new(Key::Kind("dhcp")),
            NetworkAct::Name { name, .. } => self.is_new(Key::Text("name", name.0.clone())),
            NetworkAct::Time { .. } => self.is_new(Key::Kind("time")),
            NetworkAct::Connect { to, .. } => self.is_new_address("tcp", to.ip(), to.port()),
            NetworkAct::Datagram { to, .. } => self.is_new_address("udp", to.ip(), to.port()),
            NetworkAct::Http { method, target, .. } => {
                self.is_new(Key::Text("http", [&*method.0, b" ", &*target.0].concat()))
            }
            NetworkAct::Login { service, user, password, .. } => {
                self.is_new(Key::Text("login", [service.as_bytes(), b" ", &*user.0, b" ", &*password.0].concat()))
            }
            NetworkAct::Command { service, line, .. } => {
                self.is_new(Key::Text("command", [service.as_bytes(), b" ", &*line.0].concat()))
            }
            NetworkAct::Content { sha256, .. } => self.is_new(Key::Text("content", sha256.clone().into_bytes())),
            NetworkAct::Played { script, step, .. } => {
                self.is_new(Key::Text("played", [script.as_bytes(), b" ", step.as_bytes()].concat()))
            }
            NetworkAct::Tls { server_name, .. } => {
                self.is_new(Key::Text("tls", server_name.as_ref().map(|name| name.0.clone()).unwrap_or_default()))
            }
            NetworkAct::Sent { head, .. } => self.is_new(Key::Text("sent", head.0.clone())),
            NetworkAct::Packet { protocol, .. } => self.is_new(Key::Port("packet", u16::from(*protocol))),
            NetworkAct::Counted { kind, .. } => self.is_new(Key::Text("counted", kind.clone().into_bytes())),
            NetworkAct::Targets { port, .. } => self.is_new(Key::Port("targets", *port)),
            NetworkAct::GeneratedNames { .. } => self.is_new(Key::Kind("generated names")),
            NetworkAct::Ssh { identification, .. } => self.is_new(Key::Text("ssh", identification.0.clone())),
            NetworkAct::Proxied { target, .. } => self.is_new(Key::Text("proxied", target.0.clone())),
            NetworkAct::Answered { .. } | NetworkAct::Closed { .. } | NetworkAct::Lost { .. } => false,
        }
    }

    fn is_new(&mut self, key: Key) -> bool {
        self.seen.len() < KEYS_MAX && self.seen.insert(key)
    }

    fn is_new_address(&mut self, kind: &'static str, address: IpAddr, port: u16) -> bool {
        let count = (0..ADDRESSES_PER_PORT_MAX).find(|count| !self.seen.contains(&Key::Addresses(kind, port, *count)));
        let Some(count) = count else { return false };
        self.is_new(Key::Address(kind, address, port)) && self.is_new(Key::Addresses(kind, port, count))
    }
}

#[cfg(test)]
mod tests {
    use komainu_trace::network::FlowNumber;

    use super::*;

    #[test]
    fn a_beacon_is_news_once_and_a_scan_for_a_while() {
        let mut novelty = NetworkNovelty::default();
        let mut connect = |to: String| {
            let to = to.parse().unwrap();
            let act = NetworkAct::Connect { flow: FlowNumber(1), from_port: 1, to, name: None, accepted: true };
            novelty.is_news(&NetworkEvent { at_us: 0, act })
        };
        assert!(connect("203.0.113.7:5555".into()));
        assert!(!connect("203.0.113.7:5555".into()));
        let news = (0..=255).filter(|last| connect(format!("198.51.100.{last}:23"))).count();
        assert_eq!(news, 16);
        assert!(connect("198.51.100.1:2323".into()), "another port");
    }
}
