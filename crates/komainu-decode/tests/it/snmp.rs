use komainu_decode::{
    Decoder, Fact, Side,
    snmp::{Event, PduNumbers, Reader},
};

use crate::flow::{check_datagrams, recorded, survives, text};

fn new() -> Box<dyn Decoder> {
    Box::new(Reader::default())
}

fn describe(fact: &Fact<'_>) -> String {
    let Fact::Snmp(Event::Message(message)) = fact else { unreachable!() };
    let who = match (message.community, message.user) {
        (Some(community), _) => format!("community {}", text(community)),
        (None, user) => format!("user {:?}", user.map(text)),
    };
    let Some(pdu) = &message.pdu else {
        return format!("v{} {who}, encrypted {}", message.version, message.is_encrypted);
    };
    let numbers = match pdu.numbers {
        PduNumbers::Common { error_status, error_index, .. } => format!("{error_status} {error_index}"),
        PduNumbers::TrapV1 { enterprise, agent, generic, specific } => {
            format!("{enterprise} {agent:?} {generic} {specific}")
        }
    };
    let names: Vec<String> = pdu.variables.iter().map(|it| it.name.to_string()).collect();
    format!("v{} {who} {:?} {numbers}: {}", message.version, pdu.kind, names.join(" "))
}

fn check(bytes: &[u8], expected: &[&str]) {
    check_datagrams(new, describe, &vec![(Side::Client, bytes.to_vec())], expected);
}

#[test]
fn net_snmp() {
    check_datagrams(
        new,
        describe,
        &recorded(include_str!("../talks/snmp.txt")),
        &[
            "v1 community public GetRequest 0 0: 1.3.6.1.2.1.1.6.0",
            "v1 community public Response 0 0: 1.3.6.1.2.1.1.6.0",
            "login  with password public, accepted Some(true)",
            "v2 community private GetRequest 0 0: 1.3.6.1.2.1.1.6.0",
            "v3 user Some(\"\") GetRequest 0 0: ",
            "v3 user Some(\"\") Report 0 0: 1.3.6.1.6.3.15.1.1.4.0",
            "v3 user Some(\"fox\") GetRequest 0 0: 1.3.6.1.2.1.1.6.0",
            "v3 user Some(\"fox\") Response 0 0: 1.3.6.1.2.1.1.6.0",
            "login fox with usm, accepted Some(true)",
            "v3 user Some(\"\") GetRequest 0 0: ",
            "v3 user Some(\"\") Report 0 0: 1.3.6.1.6.3.15.1.1.4.0",
            "v3 user Some(\"nobody\") GetRequest 0 0: 1.3.6.1.2.1.1.6.0",
            "v3 user Some(\"nobody\") Report 0 0: 1.3.6.1.6.3.15.1.1.3.0",
            "login nobody with nothing, accepted Some(false)",
            "v1 community public TrapV1 1.3.6.1.4.1.8072.3.2.10 Some(127.0.0.1) 6 17: ",
            "login  with password private, accepted None",
        ],
    );
}

#[test]
fn malformed_messages() {
    check(b"", &["Skipped no_message"]);
    check(b"\x30\x03\x02\x01\x07", &["Skipped unknown_version"]);
    check(b"\x30\x03\x02\x01\x01", &["v2 user None, encrypted false", "Skipped malformed_message"]);
    check(b"\x30\x0A\x02\x01\x01\x04\x03fox\xA0\0", &["v2 community fox, encrypted false", "Skipped malformed_pdu"]);
    check(b"\x30\x84\xFF\xFF\xFF\xFF", &["Skipped no_message"]);
}

/// A GetRequest of version 2c.
fn get(community: &str, id: u8) -> Vec<u8> {
    message(0xA0, community, id)
}

fn message(kind: u8, community: &str, id: u8) -> Vec<u8> {
    let pdu = [2, 1, id, 2, 1, 0, 2, 1, 0, 0x30, 0];
    let mut content = vec![2, 1, 1, 4, u8::try_from(community.len()).unwrap()];
    content.extend(community.as_bytes());
    content.extend([kind, u8::try_from(pdu.len()).unwrap()]);
    content.extend(pdu);
    [&[0x30, u8::try_from(content.len()).unwrap()], &content[..]].concat()
}

#[test]
fn those_who_guess_are_told_all() {
    let said = (0..80).map(|guess| (Side::Client, get(&format!("guess{guess}"), guess))).collect();
    let told = crate::flow::told_of(new(), describe, &said);
    let logins: Vec<&str> =
        told.iter().map(|(_, said)| said.as_str()).filter(|said| said.starts_with("login")).collect();
    assert_eq!(logins.len(), 80);
    assert_eq!(logins[0], "login  with password guess0, accepted None");
}

#[test]
fn an_answer_is_to_the_community_that_it_repeats() {
    let said = vec![
        (Side::Client, get("private", 1)),
        (Side::Client, get("public", 1)),
        (Side::Server, message(0xA2, "public", 1)),
        (Side::Client, get("public", 2)),
    ];
    let told = crate::flow::told_of(new(), describe, &said);
    let logins: Vec<(u64, &str)> = told
        .iter()
        .filter(|(_, said)| said.starts_with("login"))
        .map(|(place, said)| (place.offset, said.as_str()))
        .collect();
    let private = get("private", 1).len() as u64;
    assert_eq!(
        logins,
        [
            (private, "login  with password public, accepted Some(true)"),
            (0, "login  with password private, accepted None")
        ]
    );
}

#[test]
fn hostile_bytes_are_survived() {
    survives(new, &recorded(include_str!("../talks/snmp.txt")), false);
}
