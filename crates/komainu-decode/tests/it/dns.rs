use komainu_decode::{
    Decoder, Fact, Side,
    dns::{Data, Event, Message, Reader, Record},
};

use crate::flow::{check_datagrams, check_stream, recorded, survives, text};

fn datagrams() -> Box<dyn Decoder> {
    Box::new(Reader::datagrams())
}

fn stream() -> Box<dyn Decoder> {
    Box::new(Reader::stream())
}

fn describe(fact: &Fact<'_>) -> String {
    let Fact::Dns(Event::Message(message)) = fact else { unreachable!() };
    show(message)
}

fn show(message: &Message<'_>) -> String {
    let record = |record: &Record<'_>| {
        let data = match record.data {
            Data::Txt(_) => record.data.strings().map(text).collect::<Vec<_>>().join(" | "),
            other => format!("{other:?}"),
        };
        format!("; {:?} {} {data}", record.name, record.kind)
    };
    let mut shown = format!("{} {}", if message.is_response() { "answer" } else { "question" }, message.rcode());
    for question in &message.questions {
        shown.push_str(&format!("; {:?} {}", question.name, question.kind));
    }
    let records = message.answers.iter().chain(&message.authorities);
    // Clients and servers send OPT with what they like.
    for line in records.map(record) {
        shown.push_str(&line);
    }
    shown
}

fn check(bytes: &[u8], expected: &[&str]) {
    check_datagrams(datagrams, describe, &vec![(Side::Client, bytes.to_vec())], expected);
}

#[test]
fn dig_over_datagrams() {
    check_datagrams(
        datagrams,
        describe,
        &recorded(include_str!("../talks/dns_udp.txt")),
        &[
            "question 0; camera.example 1",
            "answer 0; camera.example 1; camera.example 1 A(192.0.2.7)",
            "question 0; camera.example 28",
            "answer 0; camera.example 28; camera.example 28 Aaaa(2001:db8::7)",
            "question 0; camera.example 15",
            "answer 0; camera.example 15; camera.example 15 Mx { preference: 10, exchange: mail.camera.example }",
            "question 0; camera.example 16",
            "answer 0; camera.example 16; camera.example 16 a lamp | a fox",
            "question 0; _rtsp._tcp.camera.example 33",
            "answer 0; _rtsp._tcp.camera.example 33; _rtsp._tcp.camera.example 33 Srv { priority: 1, weight: 2, \
              port: 554, target: camera.example }",
            "question 0; cam.example 1",
            "answer 0; cam.example 1; cam.example 5 Cname(camera.example)",
            "question 0; nothing.example 1",
            "answer 3; nothing.example 1",
            "question 0; 7.2.0.192.in-addr.arpa 12",
            "answer 0; 7.2.0.192.in-addr.arpa 12; 7.2.0.192.in-addr.arpa 12 Ptr(camera.example)",
        ],
    );
}

#[test]
fn dig_over_a_stream() {
    check_stream(
        stream,
        describe,
        &recorded(include_str!("../talks/dns_tcp.txt")),
        &[
            "question 0; camera.example 1",
            "answer 0; camera.example 1; camera.example 1 A(192.0.2.7)",
            "question 0; camera.example 16",
            "answer 0; camera.example 16; camera.example 16 a lamp | a fox",
        ],
    );
}

/// A header that says how many entries follow.
fn header(questions: u8, answers: u8) -> Vec<u8> {
    vec![0, 1, 1, 0, 0, questions, 0, answers, 0, 0, 0, 0]
}

#[test]
fn any_is_a_question_like_others() {
    check(&[&header(1, 0)[..], b"\x07example\0\0\xFF\0\x01"].concat(), &["question 0; example 255"]);
}

#[test]
fn start_of_authority_and_broken_content() {
    let soa = b"\x01a\0\0\x06\0\x01\0\0\0\x09\0\x1C\x01m\xC0\x0C\x01r\xC0\x0C\
        \0\0\0\x01\0\0\0\x02\0\0\0\x03\0\0\0\x04\0\0\0\x05";
    let short = b"\0\0\x01\0\x01\0\0\0\x09\0\x02ab";
    check(
        &[&header(0, 2)[..], soa, short].concat(),
        &["question 0; a 6 Soa(Soa { mname: m.a, rname: r.a, serial: 1, refresh_s: 2, retry_s: 3, expire_s: 4, \
              minimum_s: 5 });  1 Other([97, 98])"],
    );
}

#[test]
fn malformed_messages() {
    check(b"\0\x01", &["Skipped no_message"]);
    check(&[&header(2, 0)[..], b"\x01a\0\0\x01\0\x01"].concat(), &["question 0; a 1", "Skipped malformed_message"]);
    check(&[&header(1, 0)[..], b"\xC0\x0C\0\x01\0\x01"].concat(), &["question 0", "Skipped malformed_message"]);
    check(&[&header(0, 0)[..], b"more"].concat(), &["question 0", "Tolerated bytes_behind_message"]);
    let many = b"\0\0\x01\0\x01".repeat(200);
    let shown = format!("question 0{}", ";  1".repeat(16));
    check(&[&header(200, 0)[..], &many].concat(), &[&shown, "Bound too_many_questions"]);
}

#[test]
fn a_stream_that_breaks_off() {
    let turns = vec![(Side::Client, b"\0\x20\0\x01".to_vec())];
    check_stream(stream, describe, &turns, &["Skipped message_cut"]);
}

#[test]
fn hostile_bytes_are_survived() {
    survives(datagrams, &recorded(include_str!("../talks/dns_udp.txt")), false);
    survives(stream, &recorded(include_str!("../talks/dns_tcp.txt")), true);
}
