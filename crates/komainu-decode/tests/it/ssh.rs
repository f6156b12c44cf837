use komainu_decode::{Decoder, Fact, Side, ssh::Event, ssh::Reader};

use crate::flow::{Turns, check_stream, recorded, survives, text, told_of};

fn new() -> Box<dyn Decoder> {
    Box::new(Reader::default())
}

fn describe(fact: &Fact<'_>) -> String {
    let Fact::Ssh(event) = fact else { unreachable!() };
    match event {
        Event::Identification(it) => {
            format!("{} {} {}", text(it.protocol_version), text(it.software), text(it.comments)).trim_end().to_owned()
        }
        Event::KeyExchange(offer) => {
            let first = |list: &[u8]| text(list.split(|byte| *byte == b',').next().unwrap());
            format!("offer {} {} {}", first(offer.key_exchange), first(offer.encryption[0]), offer.hassh.hash)
        }
        Event::Handshake { client, server } => {
            let show = |party: &Option<komainu_decode::ssh::Party<'_>>| {
                party.map_or("-".to_owned(), |party| {
                    let software = party.identification.map_or(String::new(), |it| text(it.software));
                    format!("{software} {}", party.hassh.map_or("-", |hassh| &hassh.hash))
                })
            };
            format!("handshake {} | {}", show(client), show(server))
        }
    }
}

fn check(turns: &Turns, expected: &[&str]) {
    check_stream(new, describe, turns, expected);
}

fn says(side: Side, bytes: &[u8]) -> (Side, Vec<u8>) {
    (side, bytes.to_vec())
}

#[test]
fn openssh() {
    check(
        &recorded(include_str!("../talks/ssh_openssh.txt")),
        &[
            "2.0 OpenSSH_9.2p1 Debian-2+deb12u10",
            "2.0 OpenSSH_9.2p1 Debian-2+deb12u10",
            "offer sntrup761x25519-sha512 chacha20-poly1305@openssh.com 472b5de333ad665af5cbf10ff892c4df",
            "offer sntrup761x25519-sha512 chacha20-poly1305@openssh.com 425d29fe50d8e4f5e37efb6e24bcf660",
            "handshake OpenSSH_9.2p1 472b5de333ad665af5cbf10ff892c4df | OpenSSH_9.2p1 425d29fe50d8e4f5e37efb6e24bcf660",
        ],
    );
}

#[test]
fn dropbear() {
    check(
        &recorded(include_str!("../talks/ssh_dropbear.txt")),
        &[
            "2.0 dropbear_2022.83",
            "offer curve25519-sha256 chacha20-poly1305@openssh.com 16574631849ea8d13c926c9905839928",
            "2.0 dropbear_2022.83",
            "offer curve25519-sha256 chacha20-poly1305@openssh.com e1a0b5f8d334ec70fe937b2d5ff8d0b6",
            "handshake dropbear_2022.83 16574631849ea8d13c926c9905839928 | dropbear_2022.83 \
              e1a0b5f8d334ec70fe937b2d5ff8d0b6",
        ],
    );
}

#[test]
fn a_server_may_say_other_lines_first() {
    let turns = vec![
        says(Side::Server, b"Welcome\r\nto the shrine\nSSH-1.99-fox_1 a comment\r\n"),
        says(Side::Client, b"SSH-2.0-Go\n"),
    ];
    check(&turns, &["1.99 fox_1 a comment", "2.0 Go", "handshake Go - | fox_1 -"]);
}

#[test]
fn a_client_that_says_something_else_is_given_up() {
    let turns =
        vec![says(Side::Server, b"SSH-2.0-fox\r\n"), says(Side::Client, b"GET / HTTP/1.0\r\n\r\nSSH-2.0-x\r\n")];
    check(&turns, &["2.0 fox", "GaveUp no_identification", "handshake - | fox -"]);
}

#[test]
fn lengths_that_lie() {
    let begin = b"SSH-2.0-x\r\n";
    for (packet, what) in [
        (&b"\xFF\xFF\xFF\xFF\x04\x14"[..], "GaveUp packet_too_long"),
        (b"\0\0\0\x05\x04\x14", "GaveUp packet_too_short"),
        (b"\0\0\0\x0C\x0A\x14\0\0\0\0\0\0\0\0\0\0", "Skipped malformed_kexinit"),
    ] {
        let turns = vec![says(Side::Client, &[&begin[..], packet].concat())];
        check(&turns, &["2.0 x", what, "handshake x - | -"]);
    }
    let line = vec![b'S'; 1024];
    check(&vec![says(Side::Server, &line)], &["GaveUp line_too_long"]);
}

#[test]
fn what_is_lost_before_the_encryption_ends_it() {
    let (mut reader, mut told) = (new(), Vec::new());
    let mut observer = |_, fact: Fact<'_>| told.push(format!("{fact:?}"));
    reader.data(Side::Client, b"SSH-2.0-x\r\n", &mut observer);
    reader.gap(Side::Client, 100, &mut observer);
    reader.data(Side::Client, b"SSH-2.0-x\r\n", &mut observer);
    reader.end(&mut observer);
    assert_eq!(told.len(), 3, "{told:?}");
    assert!(told[1].contains("handshake_lost"));
}

#[test]
fn places_are_those_of_the_bytes() {
    let turns = recorded(include_str!("../talks/ssh_openssh.txt"));
    let told = told_of(new(), describe, &turns);
    let (line, offer) = (told[0].0, &told[2].0);
    assert_eq!((line.offset, line.bytes + 2), (0, turns[0].1.len() as u64));
    assert_eq!((offer.offset, offer.bytes), (turns[0].1.len() as u64, turns[2].1.len() as u64));
}

#[test]
fn hostile_bytes_are_survived() {
    survives(new, &recorded(include_str!("../talks/ssh_openssh.txt")), true);
}
