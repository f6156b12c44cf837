use komainu_decode::{
    Decoder, Fact, Side,
    mqtt::{Event, Reader},
};

use crate::flow::{Turns, check_stream, recorded, survives, text};

fn new() -> Box<dyn Decoder> {
    Box::new(Reader::default())
}

fn describe(fact: &Fact<'_>) -> String {
    let Fact::Mqtt(event) = fact else { unreachable!() };
    match event {
        Event::Connect(it) => format!(
            "connect {} {} as {} user {:?} will {:?}",
            text(it.protocol_name),
            it.level,
            text(it.client_id),
            it.user.map(text),
            it.will.map(|will| format!("{}: {}", text(will.topic), text(will.message))),
        ),
        Event::Publish(it) => format!(
            "publish {} id {:?} qos {} retain {} of {}: {}",
            text(it.topic),
            it.packet_id,
            it.qos,
            it.retain,
            it.payload_bytes,
            text(&it.message[..it.message.len().min(32)]),
        ),
        Event::Subscribe { packet_id, filters } => {
            let filters: Vec<String> =
                filters.iter().map(|it| format!("{} {}", text(it.filter), it.options & 3)).collect();
            format!("subscribe {packet_id} {}", filters.join(", "))
        }
        Event::Unsubscribe { packet_id, filters } => {
            format!("unsubscribe {packet_id} {}", filters.iter().map(|it| text(it)).collect::<Vec<_>>().join(", "))
        }
        other => format!("{other:?}"),
    }
}

fn check(turns: &Turns, expected: &[&str]) {
    check_stream(new, describe, turns, expected);
}

#[test]
fn mosquitto_pub_5() {
    check(
        &recorded(include_str!("../talks/mqtt5_pub.txt")),
        &[
            "connect MQTT 5 as lamp user Some(\"komainu\") will Some(\"home/lamp/gone: bye\")",
            "ConnAck { session_present: false, code: 0 }",
            "login komainu with password statue, accepted Some(true)",
            "publish home/lamp/state id Some(1) qos 2 retain true of 11: {\\\"on\\\":true}",
            "file 0 is home/lamp/state via MqttPublish of Some(11)",
            "file 0: {\\\"on\\\":true}",
            "file 0 ends, complete true",
            "Ack { kind: PubRec, packet_id: 1, reason: None }",
            "Ack { kind: PubRel, packet_id: 1, reason: None }",
            "Ack { kind: PubComp, packet_id: 1, reason: None }",
            "Disconnect { reason: None }",
        ],
    );
}

#[test]
fn mosquitto_sub_3_1_1() {
    check(
        &recorded(include_str!("../talks/mqtt311_sub.txt")),
        &[
            "connect MQTT 4 as spy user None will None",
            "ConnAck { session_present: false, code: 0 }",
            "login  with nothing, accepted Some(true)",
            "subscribe 1 # 1, $SYS/broker/version 1",
            "SubAck { packet_id: 1, codes: [1, 1] }",
            "publish home/lamp/state id Some(1) qos 1 retain true of 11: {\\\"on\\\":true}",
            "file 0 is home/lamp/state via MqttPublish of Some(11)",
            "file 0: {\\\"on\\\":true}",
            "file 0 ends, complete true",
            "publish $SYS/broker/version id Some(2) qos 1 retain true of 24: mosquitto version 2.0.11",
            "file 1 is $SYS/broker/version via MqttPublish of Some(24)",
            "file 1: mosquitto version 2.0.11",
            "file 1 ends, complete true",
            "Ack { kind: PubAck, packet_id: 1, reason: None }",
            "Ack { kind: PubAck, packet_id: 2, reason: None }",
            "Disconnect { reason: None }",
        ],
    );
}

#[test]
fn a_refused_login_of_3_1() {
    check(
        &recorded(include_str!("../talks/mqtt31_refused.txt")),
        &[
            "connect MQIsdp 3 as guess user Some(\"komainu\") will None",
            "ConnAck { session_present: false, code: 5 }",
            "login komainu with password wrong, accepted Some(false)",
        ],
    );
}

#[test]
fn a_large_message_streams_through() {
    check(
        &recorded(include_str!("../talks/mqtt311_big.txt")),
        &[
            "connect MQTT 4 as cam user None will None",
            "ConnAck { session_present: false, code: 0 }",
            "login  with nothing, accepted Some(true)",
            "publish home/cam/frame id Some(1) qos 1 retain false of 5000: kkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkk",
            "file 0 is home/cam/frame via MqttPublish of Some(5000)",
            "file 0: 5000 bytes",
            "file 0 ends, complete true",
            "Ack { kind: PubAck, packet_id: 1, reason: None }",
            "Disconnect { reason: None }",
        ],
    );
}

#[test]
fn a_login_without_an_answer() {
    let connect = b"\x10\x16\0\x04MQTT\x04\xC2\0\x3C\0\x01c\0\x04root\0\x01p".to_vec();
    check(
        &vec![(Side::Client, connect)],
        &["connect MQTT 4 as c user Some(\"root\") will None", "login root with password p, accepted None"],
    );
}

#[test]
fn a_message_that_breaks_off() {
    let broken = b"\x30\x10\0\x03a/bhello".to_vec();
    check(
        &vec![(Side::Client, broken)],
        &[
            "publish a/b id None qos 0 retain false of 11: hello",
            "file 0 is a/b via MqttPublish of Some(11)",
            "file 0: hello",
            "file 0 ends, complete false",
        ],
    );
    let cut = b"\x82\x10\0\x01".to_vec();
    check(&vec![(Side::Client, cut)], &["Skipped packet_cut"]);
}

#[test]
fn malformed_packets() {
    let client = |bytes: &[u8]| vec![(Side::Client, bytes.to_vec())];
    check(&client(b"\x10\xFF\xFF\xFF\xFF"), &["GaveUp malformed_length"]);
    check(&client(b"\0\0\xC0\0"), &["GaveUp no_packet"]);
    check(&client(b"\x10\x02\0\x09\xC0\0"), &["Skipped malformed_packet", "PingReq"]);
    check(&client(b"\x30\x02\0\x09\xC0\0"), &["Skipped malformed_packet", "PingReq"]);
    let long = [&b"\x10\xFF\xFF\x7F"[..], &vec![b'x'; 0x1F_FFFF], b"\xC0\0"].concat();
    let (mut reader, mut told) = (new(), Vec::new());
    reader.data(Side::Client, &long, &mut |_, fact: Fact<'_>| told.push(format!("{fact:?}")));
    assert_eq!(told.len(), 2, "{told:?}");
    assert!(told[0].contains("packet_too_long") && told[1].contains("PingReq"));
}

#[test]
fn filters_beyond_the_bound_are_left_out() {
    let body = [&b"\0\x01"[..], &b"\0\x01a\0".repeat(300)].concat();
    let length = [0x80 | u8::try_from(body.len() % 128).unwrap(), u8::try_from(body.len() / 128).unwrap()];
    let (mut reader, mut told) = (new(), Vec::new());
    let subscribe = [&[0x82][..], &length, &body].concat();
    reader.data(Side::Client, &subscribe, &mut |_, fact: Fact<'_>| match fact {
        Fact::Mqtt(Event::Subscribe { filters, .. }) => told.push(filters.len().to_string()),
        fact => told.push(format!("{fact:?}")),
    });
    assert!(told[0].contains("too_many_filters"), "{told:?}");
    assert_eq!(told[1], "256");
}

#[test]
fn a_gap_within_a_packet_is_stepped_over() {
    let (mut reader, mut told) = (new(), Vec::new());
    let mut observer = |_, fact: Fact<'_>| told.push(format!("{fact:?}"));
    reader.data(Side::Client, b"\x30\x88\x10\0\x01a", &mut observer);
    reader.data(Side::Client, &[b'x'; 1100], &mut observer);
    reader.gap(Side::Client, 900, &mut observer);
    reader.data(Side::Client, &[b'x'; 53], &mut observer);
    reader.data(Side::Client, b"\xC0\0", &mut observer);
    let last: Vec<&String> = told.iter().rev().take(3).collect();
    assert!(last[0].contains("PingReq"), "{told:?}");
    assert!(last[1].contains("is_complete: false"), "{told:?}");
}

#[test]
fn hostile_bytes_are_survived() {
    for text in [include_str!("../talks/mqtt5_pub.txt"), include_str!("../talks/mqtt311_big.txt")] {
        survives(new, &recorded(text), true);
    }
}
