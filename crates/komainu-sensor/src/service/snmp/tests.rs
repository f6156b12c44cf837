use super::super::answer::Room;
use super::*;
use crate::service::tests::{call, persona_of};

const PERSONA: &str = r#"
    [snmp]
    ports = [161]
    communities = ["public", "private"]
    engine_id = "80001f8880e9630000"
    engine_boots = 7
    [[snmp.object]]
    oid = "1.3.6.1.2.1.1.1.0"
    type = "string"
    value = "BL-N300 router with a name that is longer than the question"
    [[snmp.object]]
    oid = "1.3.6.1.2.1.1.3.0"
    type = "uptime"
    value = 5
    [[snmp.object]]
    oid = "1.3.6.1.2.1.2.1.0"
    type = "integer"
    value = 2
"#;

const GET: u8 = 0xA0;
const NEXT: u8 = 0xA1;
const SET: u8 = 0xA3;
const BULK: u8 = 0xA5;

fn request(version: i64, community: &str, tag: u8, numbers: [i64; 2], names: &[&str]) -> Vec<u8> {
    let bindings = names.iter().flat_map(|name| binding(&Oid::parse(name).unwrap().encoded(), &[NULL, 0]));
    let bindings: Vec<u8> = bindings.collect();
    let pdu = [integer(77), integer(numbers[0]), integer(numbers[1]), element(SEQUENCE, &bindings)].concat();
    element(SEQUENCE, &[integer(version - 1), element(OCTET_STRING, community.as_bytes()), element(tag, &pdu)].concat())
}

/// What is said to a request: error status and index, then name, tag and length of each variable.
fn said(request: &[u8], room: usize) -> Option<String> {
    let mut talk = persona_of(PERSONA);
    let answer = talk.answer(request, &call(Room { bytes: room, datagrams: 1 }));
    let datagram = answer.datagrams.first()?;
    assert!(datagram.len() <= room);
    let mut shown = None;
    Reader::default().data(Side::Server, datagram, &mut |_: Place, fact: Fact<'_>| {
        let Fact::Snmp(Event::Message(message)) = fact else { panic!("{fact:?}") };
        let pdu = message.pdu.unwrap();
        let PduNumbers::Common { request_id: 77, error_status, error_index } = pdu.numbers else { panic!() };
        let variables = pdu
            .variables
            .iter()
            .map(|variable| format!(" {}={:x}/{}", variable.name, variable.value.tag, variable.value.content.len()));
        shown = Some(format!("{error_status} {error_index}{}", variables.collect::<String>()));
    });
    shown
}

fn check(request: &[u8], expected: Option<&str>) {
    assert_eq!(said(request, 1400).as_deref(), expected);
}

#[test]
fn objects_are_got() {
    check(&request(2, "public", GET, [0, 0], &["1.3.6.1.2.1.2.1.0"]), Some("0 0 1.3.6.1.2.1.2.1.0=2/1"));
    check(
        &request(2, "private", GET, [0, 0], &["1.3.6.1.2.1.1.1.0", "1.3.6.1.9.0"]),
        Some("0 0 1.3.6.1.2.1.1.1.0=4/59 1.3.6.1.9.0=80/0"),
    );
    check(
        &request(1, "public", GET, [0, 0], &["1.3.6.1.2.1.2.1.0", "1.3.6.1.9"]),
        Some("2 2 1.3.6.1.2.1.2.1.0=5/0 1.3.6.1.9=5/0"),
    );
    check(&request(2, "secret", GET, [0, 0], &["1.3.6.1.2.1.2.1.0"]), None);
    check(&request(2, "public", RESPONSE, [0, 0], &["1.3.6.1.2.1.2.1.0"]), None);
    check(b"\x30\x84\xff\xff\xff\xff", None);
}

#[test]
fn objects_are_walked_through() {
    check(&request(2, "public", NEXT, [0, 0], &["1.3.6.1.2.1"]), Some("0 0 1.3.6.1.2.1.1.1.0=4/59"));
    check(&request(2, "public", NEXT, [0, 0], &["1.3.6.1.2.1.1.1.0"]), Some("0 0 1.3.6.1.2.1.1.3.0=43/1"));
    check(&request(2, "public", NEXT, [0, 0], &["1.3.6.1.2.1.2.1.0"]), Some("0 0 1.3.6.1.2.1.2.1.0=82/0"));
    check(&request(1, "public", NEXT, [0, 0], &["1.3.6.1.2.1.2.1.0"]), Some("2 1 1.3.6.1.2.1.2.1.0=5/0"));
}

#[test]
fn many_are_walked_through_at_once() {
    let all = "0 0 1.3.6.1.2.1.1.1.0=4/59 1.3.6.1.2.1.1.3.0=43/1 1.3.6.1.2.1.2.1.0=2/1 1.3.6.1.2.1.2.1.0=82/0";
    check(&request(2, "public", BULK, [0, 10], &["1.3"]), Some(all));
    check(&request(2, "public", BULK, [0, 2_147_483_647], &["1.3"]), Some(all));
    check(&request(2, "public", BULK, [0, -1], &["1.3"]), Some("0 0"));
    check(
        &request(2, "public", BULK, [1, 1], &["1.3", "1.3.6.1.2.1.1.1.0"]),
        Some("0 0 1.3.6.1.2.1.1.1.0=4/59 1.3.6.1.2.1.1.3.0=43/1"),
    );
    check(&request(1, "public", BULK, [0, 10], &["1.3"]), None);
    assert_eq!(
        said(&request(2, "public", BULK, [0, 10], &["1.3.6.1.2.1.1.1.0"]), 60).as_deref(),
        Some("0 0 1.3.6.1.2.1.1.3.0=43/1 1.3.6.1.2.1.2.1.0=2/1"),
    );
}

#[test]
fn nothing_can_be_set() {
    check(&request(2, "private", SET, [0, 0], &["1.3.6.1.2.1.1.1.0"]), Some("6 1 1.3.6.1.2.1.1.1.0=5/0"));
    check(&request(1, "private", SET, [0, 0], &["1.3.6.1.2.1.1.1.0"]), Some("2 1 1.3.6.1.2.1.1.1.0=5/0"));
}

#[test]
fn a_stranger_is_told_that_it_is_too_big() {
    for (version, tag, numbers, expected) in [
        (2, GET, [0, 0], "1 0"),
        (1, GET, [0, 0], "1 0 1.3.6.1.2.1.1.1.0=5/0"),
        (2, BULK, [0, 50], "0 0 1.3.6.1.2.1.1.3.0=43/1"),
    ] {
        let request = request(version, "public", tag, numbers, &["1.3.6.1.2.1.1.1.0"]);
        let room = if tag == BULK { request.len() + 4 } else { request.len() };
        assert_eq!(said(&request, room).as_deref(), Some(expected));
    }
    let bulk = request(2, "public", BULK, [0, 50], &["1.3.6.1.2.1.1"]);
    assert_eq!(said(&bulk, bulk.len()).as_deref(), Some("1 0"));
    let answer = persona_of(PERSONA).answer(&bulk, &call(Room { bytes: bulk.len(), datagrams: 1 }));
    assert!(answer.withheld_bytes > 2 * bulk.len(), "what it would have been is known");
}

#[test]
fn time_goes_on() {
    let ticks = |at| Value::Uptime(5).encoded(at);
    assert_eq!(ticks(0), [TIME_TICKS, 1, 5]);
    assert_eq!(ticks(1_000_000), [TIME_TICKS, 1, 105]);
    assert_eq!(ticks(i64::MIN)[0], TIME_TICKS);
}

/// A request of version 3 without a key: `engine` is who it thinks that the agent is.
fn secured(engine: &[u8], user: &[u8], flags: u8) -> Vec<u8> {
    let header = [integer(1234), integer(65_507), element(OCTET_STRING, &[flags]), integer(3)].concat();
    let [engine, user, nothing] = [engine, user, b""].map(|content| element(OCTET_STRING, content));
    let security = [engine.clone(), integer(0), integer(0), user, nothing.clone(), nothing.clone()].concat();
    let security = element(OCTET_STRING, &element(SEQUENCE, &security));
    let pdu = element(GET, &[integer(77), integer(0), integer(0), element(SEQUENCE, b"")].concat());
    let scoped = element(SEQUENCE, &[engine, nothing, pdu].concat());
    element(SEQUENCE, &[integer(3), element(SEQUENCE, &header), security, scoped].concat())
}

#[test]
fn version_3_says_who_the_agent_is_and_knows_no_user() {
    const ENGINE: &[u8] = &[0x80, 0, 0x1F, 0x88, 0x80, 0xE9, 0x63, 0, 0];
    let discovered = "0 0 1.3.6.1.6.3.15.1.1.4.0=41/1";
    check(&secured(b"", b"", 4), Some(discovered));
    check(&secured(b"another", b"admin", 4), Some(discovered));
    check(&secured(ENGINE, b"admin", 4), Some("0 0 1.3.6.1.6.3.15.1.1.3.0=41/1"));
    check(&secured(ENGINE, &[b'a'; 300], 4), Some("0 0 1.3.6.1.6.3.15.1.1.3.0=41/1"));
    // Reports are not to be answered by reports.
    check(&secured(b"", b"", 0), None);
    let question = secured(b"", b"", 4);
    let answer = persona_of(PERSONA).answer(&question, &call(Room { bytes: question.len(), datagrams: 1 }));
    assert!(answer.datagrams.is_empty() && answer.withheld_bytes > question.len(), "{answer:?}");
}

#[test]
fn engines_have_a_name_of_5_to_32_bytes() {
    for (id, boots, is_right) in [
        ("8000000001", 0, true),
        ("80000000", 0, false),
        ("0000000000", 0, false),
        ("ffffffffff", 0, false),
        ("x", 0, false),
        ("8000000001", u32::MAX, false),
    ] {
        assert_eq!(Engine::check(id, boots).is_ok(), is_right, "{id} {boots}");
    }
    assert!(Engine::check(&"80".repeat(33), 0).is_err());
}
