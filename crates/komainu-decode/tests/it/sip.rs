use komainu_decode::sip::{Event, Parties, Reader};
use komainu_decode::{Decoder, Fact, Side};
use proptest::prelude::*;

use crate::talk::{self, Said, Talk};

const C: Side = Side::Client;
const S: Side = Side::Server;

fn stream() -> Box<dyn Decoder> {
    Box::new(Reader::stream())
}

fn datagrams() -> Box<dyn Decoder> {
    Box::new(Reader::datagrams())
}

/// What is told of datagrams, which are never cut.
fn check_datagrams(talk: &Talk<'_>, expected: &[&str]) {
    let told = talk::read(datagrams(), talk, usize::MAX, describe);
    assert_eq!(talk::lines(&told), expected);
}

pub(crate) fn describe(fact: &Fact<'_>) -> Said {
    let Fact::Sip(event) = fact else { panic!("{fact:?}") };
    let text = |bytes: Option<&[u8]>| bytes.unwrap_or(b"-").escape_ascii().to_string();
    let who = |parties: &Parties<'_>| {
        let Parties { call_id, sequence, from, to, user_agent } = *parties;
        [call_id, sequence, from, to, user_agent].map(text).join(" | ")
    };
    Said::Whole(match event {
        Event::Request { request, parties } => {
            format!("{} {}: {}", request.method.escape_ascii(), request.target.escape_ascii(), who(parties))
        }
        Event::Response { response, parties } => format!("{:?}: {}", response.status, who(parties)),
    })
}

const REGISTER: &[u8] =
    b"REGISTER sip:pbx SIP/2.0\r\nVia: SIP/2.0/UDP a\r\ni: 1@a\r\nf: <sip:100@a>\r\nt: <sip:100@a>\r\n\
    CSeq: 2 REGISTER\r\nUser-Agent: x\r\nAuthorization: Digest username=\"100\", realm=\"r\", response=\"ab12\"\r\n\
    l: 0\r\n\r\n";

#[test]
fn a_registration_by_datagrams() {
    check_datagrams(
        &[
            (C, b"\r\n\r\n"),
            (C, REGISTER),
            (C, REGISTER),
            (S, b"SIP/2.0 100 Trying\r\nCall-ID: 1@a\r\nCSeq: 2 REGISTER\r\n\r\n"),
            (S, b"SIP/2.0 403 Forbidden\r\nCall-ID: 1@a\r\nCSeq: 2 REGISTER\r\n\r\n"),
            (C, b"\x00\x01nothing"),
        ],
        &[
            "REGISTER sip:pbx: 1@a | 2 REGISTER | <sip:100@a> | <sip:100@a> | x",
            "REGISTER sip:pbx: 1@a | 2 REGISTER | <sip:100@a> | <sip:100@a> | x",
            "Some(100): 1@a | 2 REGISTER | - | - | -",
            "Some(403): 1@a | 2 REGISTER | - | - | -",
            "login 100 with digest ab12: refused",
            "Skipped not_sip",
        ],
    );
}

#[test]
fn a_call_by_a_stream() {
    let conversation: [(Side, &[u8]); 3] = [
        (C, b"\r\n\r\nINVITE sip:b SIP/2.0\r\nCall-ID: 7\r\nCSeq: 1 INVITE\r\nl: 5\r\nProxy-Authorization: Digest username=\"u\", response=\"1\"\r\n\r\nv=0\r\n\
            ACK sip:b SIP/2.0\r\nCall-ID: 7\r\n\r\n"),
        (S, b"SIP/2.0 200 OK\r\nCall-ID: 7\r\nCSeq: 1 INVITE\r\nContent-Length: 0\r\n\r\nBYE sip:a SIP/2.0\r\nCall-ID: 7\r\nCSeq: 1 INVITE\r\n\r\n"),
        (C, b"REGISTER sip:c SIP/2.0\r\nAuthorization: Digest username=\"w\"\r\n\r\n"),
    ];
    talk::check(
        stream,
        describe,
        &conversation,
        &[
            "INVITE sip:b: 7 | 1 INVITE | - | - | -",
            "ACK sip:b: 7 | - | - | - | -",
            "Some(200): 7 | 1 INVITE | - | - | -",
            "login u with digest 1: accepted",
            "BYE sip:a: 7 | 1 INVITE | - | - | -",
            "REGISTER sip:c: - | - | - | - | -",
            "login w with digest : unanswered",
        ],
    );
}

#[test]
fn broken_datagrams_are_read_all_the_same() {
    check_datagrams(
        &[(C, b"OPTIONS sip:nm SIP/2.0\nno colon\nCall-ID : 5"), (S, b"SIP/2.0 abc\r\n\r\n")],
        &[
            "OPTIONS sip:nm: 5 | - | - | - | -",
            "Tolerated bare_line_feed",
            "Tolerated header_without_colon",
            "Tolerated space_before_colon",
            "Tolerated head_incomplete",
            "None: - | - | - | - | -",
            "Tolerated status_malformed",
        ],
    );
}

#[test]
fn too_many_logins_at_once_are_told_without_their_answer() {
    let datagrams: Vec<Vec<u8>> = (0..49)
        .map(|number| {
            format!("REGISTER sip:a SIP/2.0\r\nCSeq: {number}\r\nAuthorization: Digest username=\"{number}\"\r\n\r\n")
        })
        .map(String::into_bytes)
        .collect();
    let talk: Vec<(Side, &[u8])> = datagrams.iter().map(|datagram| (C, &datagram[..])).collect();
    let lines = talk::lines(&talk::read(self::datagrams(), &talk, usize::MAX, describe));
    assert_eq!(lines.iter().filter(|line| line.starts_with("login")).count(), 49);
    assert_eq!(lines.iter().filter(|line| line.starts_with("Bound")).count(), 16 + 1);
}

proptest! {
    #[test]
    fn cuts_and_mutations_make_no_difference_to_what_is_told(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6),
        size in 1usize..40,
    ) {
        let mut message = [REGISTER, b"SIP/2.0 200 OK\r\ni: 1@a\r\nCSeq: 2 REGISTER\r\nContent-Length: 4\r\n\r\nabcd", REGISTER].concat();
        for (at, byte) in changes {
            let at = at.index(message.len());
            message[at] = byte;
        }
        let talk: [(Side, &[u8]); 2] = [(C, &message), (S, &message)];
        prop_assert_eq!(
            talk::read(stream(), &talk, size, describe),
            talk::read(stream(), &talk, usize::MAX, describe)
        );
        talk::read(datagrams(), &talk, size, describe);
    }
}
