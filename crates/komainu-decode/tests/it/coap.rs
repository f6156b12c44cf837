use komainu_decode::{
    Decoder, Fact, Side,
    coap::{Event, Reader},
};

use crate::flow::{check_datagrams, recorded, survives, text};

fn new() -> Box<dyn Decoder> {
    Box::new(Reader::default())
}

fn describe(fact: &Fact<'_>) -> String {
    let Fact::Coap(Event::Message(message)) = fact else { unreachable!() };
    let mut shown = format!("{:?} {} {}", message.kind, message.code, message.code.method().unwrap_or("-"));
    for part in [message.uri_path(), message.uri_query()] {
        if !part.is_empty() {
            shown.push_str(&format!(" {}", text(&part)));
        }
    }
    let numbers = [("format", message.content_format()), ("accept", message.accept()), ("observe", message.observe())];
    for (name, number) in numbers {
        if let Some(number) = number {
            shown.push_str(&format!(" {name} {number}"));
        }
    }
    for (name, block) in [("block1", message.block1()), ("block2", message.block2())] {
        if let Some(block) = block {
            shown.push_str(&format!(" {name} {} {} {}", block.number, block.more, block.bytes));
        }
    }
    if message.is_discovery() {
        shown.push_str(" (discovery)");
    }
    if !message.payload.is_empty() {
        shown.push_str(&format!(": {}", text(&message.payload[..message.payload.len().min(16)])));
    }
    shown
}

fn check(bytes: &[u8], expected: &[&str]) {
    check_datagrams(new, describe, &vec![(Side::Client, bytes.to_vec())], expected);
}

#[test]
fn libcoap() {
    check_datagrams(
        new,
        describe,
        &recorded(include_str!("../talks/coap.txt")),
        &[
            "Confirmable 0.01 GET /.well-known/core (discovery)",
            "Acknowledgement 2.05 - format 40: </>;title=\\\"Gener",
            "Confirmable 0.01 GET /time ticks observe 0",
            "Acknowledgement 2.05 - observe 2: 1795571689",
            "Confirmable 2.05 - observe 3: 1795571690",
            "Acknowledgement 0.00 -",
            "Confirmable 0.01 GET /time ticks observe 1",
            "Acknowledgement 2.05 -: 1795571690",
            "Confirmable 0.03 PUT /example_data format 0: hello",
            "Acknowledgement 2.01 -",
            "Confirmable 0.01 GET block2 0 false 16",
            "Acknowledgement 2.05 - block2 0 true 16: This is a test s",
            "Confirmable 0.01 GET block2 1 false 16",
            "Acknowledgement 2.05 - block2 1 true 16: erver made with ",
            "Confirmable 0.01 GET block2 2 false 16",
            "Acknowledgement 2.05 - block2 2 true 16: libcoap (see htt",
        ],
    );
}

#[test]
fn numbers_of_one_and_two_more_bytes() {
    let long = [&b"\x40\x02\0\x01\xDD\x02\x01"[..], b"fourteen bytes", b"\xE0\0\0\xFFx"].concat();
    check(&long, &["Confirmable 0.02 POST fourteen bytes: x"]);
}

#[test]
fn malformed_messages() {
    check(b"\x40\x01", &["Skipped no_message"]);
    check(b"\x80\x01\0\x01", &["Skipped no_message"]);
    check(b"\x49\x01\0\x01123456789", &["Skipped no_message"]);
    check(b"\x40\x01\0\x01\xF0", &["Confirmable 0.01 GET", "Skipped malformed_option"]);
    check(b"\x40\x01\0\x01\xE0\xFF\xFF", &["Confirmable 0.01 GET", "Skipped malformed_option"]);
    check(b"\x40\x01\0\x01\x05abc", &["Confirmable 0.01 GET", "Skipped malformed_option"]);
    check(b"\x40\x01\0\x01\xFF", &["Confirmable 0.01 GET", "Skipped empty_payload"]);
    let many = [&b"\x40\x01\0\x01"[..], &[0; 200]].concat();
    check(&many, &["Confirmable 0.01 GET", "Bound too_many_options"]);
}

#[test]
fn hostile_bytes_are_survived() {
    survives(new, &recorded(include_str!("../talks/coap.txt")), false);
}
