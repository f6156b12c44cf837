//! What a guest meets.

use std::time::Duration;

use komainu_netsim::{Bounds, PortPolicy, Settings};
use komainu_trace::network::NetworkAct;

use crate::guest::Guest;

const SECOND: Duration = Duration::from_secs(1);

/// A SYN to port 23 without options, from anywhere to anywhere.
fn syn(from: [u8; 4], from_port: u16, to: [u8; 4]) -> Vec<u8> {
    let mut packet = vec![0x45, 0, 0, 40, 0, 0, 0, 0, 64, 6, 0, 0];
    packet.extend(from);
    packet.extend(to);
    packet.extend(from_port.to_be_bytes());
    packet.extend([0, 23, 0, 0, 0, 1, 0, 0, 0, 0, 0x50, 2, 0x20, 0, 0, 0, 0, 0]);
    packet
}

/// A guest that asks a web server and looks at telnet, with both protocols of the Internet.
fn visit(seed: u64) -> Guest {
    let mut guest = Guest::new(Settings { seed, ..Settings::default() });
    for (to, said, expected) in [
        ("203.0.113.7:8080", &b"GET /generate_204 HTTP/1.1\r\nHost: a\r\n\r\n"[..], "204 No Content"),
        ("[2001:db8:77::7]:80", b"GET /ncsi.txt HTTP/1.1\r\nHost: a\r\n\r\n", "Microsoft NCSI"),
        ("198.51.100.23:23", b"root\r\nroot\r\n", "Login incorrect"),
        ("198.51.100.24:21", b"", "220 "),
    ] {
        let connection = guest.connect(to);
        guest.pass(SECOND);
        assert!(guest.socket(connection).may_send(), "{to} is open");
        guest.socket(connection).send_slice(said).unwrap();
        guest.pass(SECOND);
        let heard = guest.heard(connection);
        assert!(heard.contains(expected), "{to}: {heard}");
        guest.socket(connection).close();
        guest.pass(SECOND);
    }
    guest
}

#[test]
fn servers_answer_at_any_address_and_port() {
    let guest = visit(1);
    let closed = guest.acts().filter(|act| matches!(act, NetworkAct::Closed { by_guest: true, .. })).count();
    assert_eq!(closed, 4, "{:?}", guest.events);
    let sent: Vec<_> = guest.acts().filter(|act| matches!(act, NetworkAct::Sent { .. })).collect();
    assert_eq!(sent.len(), 3, "{sent:?}");
    assert!(guest.acts().any(|act| matches!(act, NetworkAct::Login { user, .. } if user.0 == b"root")));
}

#[test]
fn the_same_seed_gives_the_same_and_another_one_another() {
    let (first, second, other) = (visit(1).end(), visit(1).end(), visit(2).end());
    assert_eq!(first.0, second.0);
    assert!(first.1 == second.1, "the same packets");
    assert!(first.1 != other.1);
    assert_eq!(first.1[..4], [0xD4, 0xC3, 0xB2, 0xA1]);
}

#[test]
fn a_scan_is_answered_for_a_while_and_then_counted() {
    let ports = PortPolicy { open_first: 4, open_percent: 0, answered_max: 10 };
    let mut guest = Guest::new(Settings { ports, ..Settings::default() });
    for number in 0..1000_u16 {
        let [high, low] = number.to_be_bytes();
        guest.frame(&syn([192, 168, 1, 100], 1000 + number, [100, 70, high, low]));
        guest.pass(Duration::from_millis(1));
    }
    let (events, _) = guest.end();
    let accepted = |wanted| {
        let is = |act: &NetworkAct| matches!(act, NetworkAct::Connect { accepted, .. } if *accepted == wanted);
        events.iter().filter(|event| is(&event.act)).count()
    };
    assert_eq!((accepted(true), accepted(false)), (4, 6));
    let counted: u64 = events
        .iter()
        .map(|event| match &event.act {
            NetworkAct::Counted { kind, port: Some(23), packets, forged_sources: false, .. } if kind == "syn" => {
                *packets
            }
            _ => 0,
        })
        .sum();
    assert_eq!(counted, 990);
    let targets = events.iter().find_map(|event| match &event.act {
        NetworkAct::Targets { port: 23, attempts, addresses, moves, next_address, .. } => {
            Some((*attempts, *addresses, *moves, *next_address))
        }
        _ => None,
    });
    assert_eq!(targets, Some((1000, 1000, 999, 999)));
}

#[test]
fn a_flood_is_counted_to_the_last_packet_and_not_answered() {
    let mut guest = Guest::new(Settings::default());
    for number in 0..100_000_u32 {
        let [a, b, c, d] = number.to_be_bytes();
        guest.frame(&syn([10, b, c, d], 2000, [203, 0, 113, a]));
    }
    guest.pass(SECOND);
    assert_eq!(guest.frames, 0, "nobody answers forged sources");
    let (events, _) = guest.end();
    let told: Vec<_> = events
        .iter()
        .filter_map(|event| match &event.act {
            NetworkAct::Counted { packets, forged_sources, addresses, .. } => {
                Some((*packets, *forged_sources, *addresses))
            }
            _ => None,
        })
        .collect();
    assert_eq!(told, [(100_000, true, 1)]);
}

#[test]
fn connections_have_their_bounds() {
    let bounds = Bounds { connections_max: 5, ..Bounds::default() };
    let mut guest = Guest::new(Settings { bounds, ..Settings::default() });
    let connections: Vec<_> = (1..=8).map(|host| guest.connect(&format!("203.0.113.{host}:80"))).collect();
    guest.pass(SECOND / 2);
    let open = connections.iter().filter(|handle| guest.socket(**handle).may_send()).count();
    assert_eq!(open, 5);
    guest.socket(connections[0]).abort();
    guest.pass(3 * SECOND);
    let open = connections[1..].iter().filter(|handle| guest.socket(**handle).may_send()).count();
    assert_eq!(open, 5, "what was given up makes room");
    let (events, _) = guest.end();
    assert!(events.iter().any(|event| matches!(&event.act, NetworkAct::Lost { what, .. } if what == "connections")));
}

#[test]
fn who_does_not_read_is_not_listened_to() {
    let mut guest = Guest::new(Settings::default());
    let connection = guest.connect("203.0.113.7:80");
    guest.pass(SECOND);
    let request = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n".repeat(100);
    let mut sent = 0;
    for _ in 0..200 {
        let socket = guest.socket(connection);
        sent += if socket.can_send() { socket.send_slice(&request).unwrap() } else { 0 };
        guest.pass(SECOND / 10);
    }
    assert!(sent < 100_000, "{sent} bytes were taken");
    assert!(guest.heard(connection).len() <= 8192);
}

#[test]
fn many_connections_one_after_the_other() {
    let ports = PortPolicy { open_first: 10_000, open_percent: 100, answered_max: 10_000 };
    let bounds = Bounds { connections_per_second_max: 10_000, ..Bounds::default() };
    let mut guest = Guest::new(Settings { ports, bounds, latency_ms: (0, 0), ..Settings::default() });
    for number in 0..2000_u16 {
        let port = [22, 23, 80, 443, 2323, 5555, 7547, 8080][usize::from(number) % 8];
        let [high, low] = number.to_be_bytes();
        let connection = guest.connect(&format!("100.80.{high}.{low}:{port}"));
        guest.pass(Duration::from_millis(2));
        assert!(guest.socket(connection).may_send(), "{number}");
        guest.socket(connection).abort();
        guest.pass(Duration::from_millis(1));
        guest.forget(connection);
    }
    let (events, _) = guest.end();
    let closed = events.iter().filter(|event| matches!(event.act, NetworkAct::Closed { .. })).count();
    assert_eq!(closed, 2000);
}
