//! Constrained Application Protocol: a small device with resources that are listed and read (RFC 7252, RFC 6690,
//! RFC 7959).

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::Arc;

use komainu_decode::coap::{Event, Message, MessageKind, Reader};
use komainu_decode::{Decoder, Fact, Place, Side};
use serde::Deserialize;

use super::answer::{Answer, Call};
use crate::persona::{Device, PersonaError};

/// Bytes of what a resource says: as many as blocks of the smallest size can be counted in two bytes of an option.
const BODY_BYTES_MAX: usize = 16 << 12;

/// The largest block, in bytes, and the number that stands for it (RFC 7959, 2.2).
const LARGEST_BLOCK: u8 = 6;

/// The path of the list of resources (RFC 6690, 4).
const LIST: &str = "/.well-known/core";

/// `application/link-format`.
const LINK_FORMAT: u16 = 40;

// Types (RFC 7252, 3), with the version in front.
const NON_CONFIRMABLE: u8 = 0x50;
const ACKNOWLEDGEMENT: u8 = 0x60;
const RESET: u8 = 0x70;

// Codes (RFC 7252, 12.1.2; RFC 7959, 2.9).
const CHANGED: u8 = 0x44;
const CONTENT: u8 = 0x45;
const CONTINUE: u8 = 0x5F;
const BAD_OPTION: u8 = 0x82;
const NOT_FOUND: u8 = 0x84;
const NOT_ALLOWED: u8 = 0x85;
const UNAVAILABLE: u8 = 0xA3;
const NO_PROXY: u8 = 0xA5;

// Options (RFC 7252, 12.2; RFC 7959, 2.1).
const CONTENT_FORMAT: u16 = 12;
const BLOCK2: u16 = 23;
const BLOCK1: u16 = 27;
const PROXY_URI: u16 = 35;
const PROXY_SCHEME: u16 = 39;
/// Those whose numbers are odd must be understood (RFC 7252, 5.4.1); these are.
const UNDERSTOOD: [u16; 8] = [1, 3, 5, 7, 11, 15, 17, BLOCK2];

/// A device with resources.
#[derive(Debug)]
pub(crate) struct Coap {
    resources: BTreeMap<Vec<u8>, Resource>,
}

#[derive(Debug)]
struct Resource {
    /// The number of its format.
    format: u16,
    body: Vec<u8>,
    is_writable: bool,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct CoapText {
    pub(crate) ports: Vec<u16>,
    resource: Vec<ResourceText>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ResourceText {
    path: String,
    #[serde(default)]
    attributes: String,
    #[serde(default)]
    format: u16,
    body: Option<String>,
    file: Option<String>,
    #[serde(default)]
    writable: bool,
}

impl Coap {
    /// Checks what a persona says; `at` is where it says it.
    pub(crate) fn check(text: CoapText, at: &str, device: &Device<'_>) -> Result<Self, PersonaError> {
        let mut list = format!("<{LIST}>;ct={LINK_FORMAT}");
        let mut resources = BTreeMap::new();
        for (number, resource) in text.resource.into_iter().enumerate() {
            let at = format!("{at}.resource[{number}]");
            let path = resource.path;
            let is_plain = |text: &str| !text.contains(['<', '>', ',']) && !text.chars().any(char::is_control);
            if !path.starts_with('/') || !is_plain(&path) || path == LIST {
                return Err(device.wrong(format!("{at}.path"), "must begin with / and be another than the list's"));
            }
            if !resource.attributes.is_empty()
                && (!is_plain(&resource.attributes) || resource.attributes.starts_with(';'))
            {
                return Err(device.wrong(format!("{at}.attributes"), "must be like `rt=\"a\";if=\"b\"`"));
            }
            let body = match (resource.body, resource.file) {
                (Some(body), None) => body.into_bytes(),
                (None, Some(name)) => device.file(&name)?,
                (None, None) => Vec::new(),
                (Some(_), Some(_)) => return Err(device.wrong(at, "has both body and file")),
            };
            if body.len() > BODY_BYTES_MAX {
                return Err(device.wrong(at, format!("must have at most {BODY_BYTES_MAX} bytes")));
            }
            let separator = if resource.attributes.is_empty() { "" } else { ";" };
            write!(list, ",<{path}>{separator}{}", resource.attributes).expect("a string takes everything");
            let resource = Resource { format: resource.format, body, is_writable: resource.writable };
            if resources.insert(path.clone().into_bytes(), resource).is_some() {
                return Err(device.wrong(format!("{at}.path"), format!("{path} is there a second time")));
            }
        }
        if list.len() > BODY_BYTES_MAX {
            return Err(device.wrong(format!("{at}.resource"), "are too many to be listed"));
        }
        let list = Resource { format: LINK_FORMAT, body: list.into_bytes(), is_writable: false };
        resources.insert(LIST.into(), list);
        Ok(Self { resources })
    }
}

/// What is said in one flow.
#[derive(Debug)]
pub(crate) struct Talk {
    persona: Arc<Coap>,
    /// The id of the next message that does not acknowledge one.
    next_id: u16,
}

/// An answer that is being made.
struct Reply<'a> {
    head: u8,
    id: u16,
    token: &'a [u8],
}

impl Talk {
    pub(crate) fn new(persona: Arc<Coap>, seed: u64) -> Self {
        // The first is not to be guessed (RFC 7252, 4.4).
        let next_id = (seed & 0xFFFF) as u16;
        Self { persona, next_id }
    }

    /// What is said to a datagram.
    pub(crate) fn answer(&mut self, datagram: &[u8], call: &Call) -> Answer {
        let (mut answer, mut is_broken) = (Answer::silence(), false);
        let mut reset = None;
        Reader::default().data(Side::Client, datagram, &mut |_: Place, fact: Fact<'_>| match fact {
            Fact::Coap(Event::Message(message)) => {
                reset = (message.kind == MessageKind::Confirmable).then_some(message.message_id);
                answer = self.answer_to(&message, call);
            }
            Fact::Oddity(_) => is_broken = true,
            _ => {}
        });
        match reset {
            // What wants an acknowledgement and cannot be read is rejected (RFC 7252, 4.2).
            Some(id) if is_broken => Answer::first_fitting(call.room, [rejection(id)]),
            None if is_broken => Answer::silence(),
            Some(_) | None => answer,
        }
    }

    fn answer_to(&mut self, message: &Message<'_>, call: &Call) -> Answer {
        let (head, id) = match message.kind {
            MessageKind::Confirmable => (ACKNOWLEDGEMENT, message.message_id),
            MessageKind::NonConfirmable => (NON_CONFIRMABLE, self.next_id),
            MessageKind::Acknowledgement | MessageKind::Reset => return Answer::silence(),
        };
        let Some(method) = message.code.method() else {
            // Empty, it asks whether somebody is there (RFC 7252, 4.3); an answer to nothing is rejected, too.
            let is_confirmable = message.kind == MessageKind::Confirmable;
            return if is_confirmable { Answer::first_fitting(call.room, [rejection(id)]) } else { Answer::silence() };
        };
        if message.kind == MessageKind::NonConfirmable {
            self.next_id = self.next_id.wrapping_add(1);
        }
        let reply = Reply { head, id, token: message.token };
        let has = |wanted: &dyn Fn(u16) -> bool| message.options.iter().any(|option| wanted(option.number));
        if has(&|number| number == PROXY_URI || number == PROXY_SCHEME) {
            return Answer::first_fitting(call.room, [reply.encoded(NO_PROXY, &[], &[])]);
        }
        if has(&|number| number % 2 == 1 && number != BLOCK1 && !UNDERSTOOD.contains(&number)) {
            return Answer::first_fitting(call.room, [reply.encoded(BAD_OPTION, &[], &[])]);
        }
        let mut path = message.uri_path();
        if path.is_empty() {
            path.push(b'/');
        }
        let plain = |code| Answer::first_fitting(call.room, [reply.encoded(code, &[], &[])]);
        match (self.persona.resources.get(&path), method) {
            (None, _) => plain(NOT_FOUND),
            (Some(resource), "GET") => read(resource, &reply, message, call),
            (Some(resource), "PUT" | "POST") if resource.is_writable => written(&reply, message, call),
            (Some(_), _) => plain(NOT_ALLOWED),
        }
    }
}

/// What a resource says, or a block of it: the largest that was asked for and that there is room for.
fn read(resource: &Resource, reply: &Reply<'_>, message: &Message<'_>, call: &Call) -> Answer {
    let asked = message.block2();
    let exponent_of = |bytes: u16| (bytes.trailing_zeros() as u8).saturating_sub(4).min(LARGEST_BLOCK);
    let largest = asked.map_or(LARGEST_BLOCK, |block| exponent_of(block.bytes));
    let begin = asked.map_or(0, |block| block.number as usize * usize::from(block.bytes));
    if begin > 0 && begin >= resource.body.len() {
        return Answer::first_fitting(call.room, [reply.encoded(BAD_OPTION, &[], &[])]);
    }
    // A smaller block than the one that was asked for begins at the same place (RFC 7959, 2.4).
    let blocks = (0..=largest).rev().map(|exponent| {
        let bytes = 16usize << exponent;
        let rest = &resource.body[begin..];
        let has_more = rest.len() > bytes;
        let is_whole = begin == 0 && !has_more && asked.is_none();
        let number = (begin / bytes) as u32;
        let block = number << 4 | u32::from(has_more) << 3 | u32::from(exponent);
        let format = (CONTENT_FORMAT, shortest(resource.format.into()));
        let options = if is_whole { vec![format] } else { vec![format, (BLOCK2, shortest(block))] };
        reply.encoded(CONTENT, &options, &rest[..rest.len().min(bytes)])
    });
    Answer::first_fitting(call.room, blocks.chain([reply.encoded(UNAVAILABLE, &[], &[])]))
}

/// Takes what is written, or a block of it. It is recorded, and forgotten here.
fn written(reply: &Reply<'_>, message: &Message<'_>, call: &Call) -> Answer {
    let answer = match message.block1() {
        Some(block) => {
            let exponent = (block.bytes.trailing_zeros() as u8).saturating_sub(4).min(LARGEST_BLOCK);
            let value = block.number << 4 | u32::from(block.more) << 3 | u32::from(exponent);
            reply.encoded(if block.more { CONTINUE } else { CHANGED }, &[(BLOCK1, shortest(value))], &[])
        }
        None => reply.encoded(CHANGED, &[], &[]),
    };
    Answer::first_fitting(call.room, [answer])
}

fn rejection(id: u16) -> Vec<u8> {
    [&[RESET, 0][..], &id.to_be_bytes()].concat()
}

/// A number without zeros in front (RFC 7252, 3.2).
fn shortest(value: u32) -> Vec<u8> {
    value.to_be_bytes().into_iter().skip_while(|byte| *byte == 0).collect()
}

impl Reply<'_> {
    /// A message. The options are in the order of their numbers, and the values of four bytes at most.
    fn encoded(&self, code: u8, options: &[(u16, Vec<u8>)], payload: &[u8]) -> Vec<u8> {
        let mut bytes = vec![self.head | self.token.len() as u8, code];
        bytes.extend(self.id.to_be_bytes());
        bytes.extend(self.token);
        let mut last = 0;
        for (number, value) in options {
            let (delta, length) = (number - last, value.len() as u8);
            last = *number;
            // A delta of 13 to 268 is in a byte of its own (RFC 7252, 3.1); the options here are that close.
            match u8::try_from(delta) {
                Ok(delta @ 0..13) => bytes.push(delta << 4 | length),
                Ok(delta) => bytes.extend([13 << 4 | length, delta - 13]),
                Err(_) => continue,
            }
            bytes.extend(value);
        }
        if !payload.is_empty() {
            bytes.push(0xFF);
            bytes.extend(payload);
        }
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::super::answer::Room;
    use super::*;
    use crate::service::tests::{call, persona_of};

    const PERSONA: &str = r#"
        [coap]
        ports = [5683]
        [[coap.resource]]
        path = "/state"
        attributes = "rt=\"light\""
        body = "on"
        writable = true
        [[coap.resource]]
        path = "/long/text"
        body = "0123456789abcdef0123456789abcdef0123"
    "#;

    const CON: u8 = 0x40;
    const NON: u8 = 0x50;
    const GET: u8 = 1;
    const PUT: u8 = 3;

    /// A request with a token of one byte and some options: number and value, in their order.
    fn request(head: u8, code: u8, options: &[(u16, &[u8])], payload: &[u8]) -> Vec<u8> {
        let reply = Reply { head, id: 0x0102, token: &[7] };
        let mut bytes = reply.encoded(code, &[], &[]);
        let mut last = 0;
        for (number, value) in options {
            let (delta, length) = ((number - last) as u8, value.len() as u8);
            last = *number;
            let mut lengths = Vec::new();
            let mut nibble = |value: u8| {
                if value < 13 {
                    return value;
                }
                lengths.push(value - 13);
                13
            };
            let first = nibble(delta) << 4;
            bytes.push(first | nibble(length));
            bytes.extend(lengths);
            bytes.extend(*value);
        }
        if !payload.is_empty() {
            bytes.push(0xFF);
            bytes.extend(payload);
        }
        bytes
    }

    fn path(of: &str) -> Vec<(u16, &[u8])> {
        of.split('/').skip(1).map(|part| (11, part.as_bytes())).collect()
    }

    /// Code, options and payload of what is said.
    fn said(request: &[u8], room: usize) -> Option<String> {
        let mut talk = persona_of(PERSONA);
        let answer = talk.answer(request, &call(Room { bytes: room, datagrams: 1 }));
        let datagram = answer.datagrams.first()?;
        assert!(datagram.len() <= room);
        let mut shown = String::new();
        Reader::default().data(Side::Server, datagram, &mut |_: Place, fact: Fact<'_>| {
            let Fact::Coap(Event::Message(message)) = fact else { panic!("{fact:?}") };
            let Message { kind, code, options, payload, .. } = &message;
            let options: String =
                options.iter().map(|one| format!(" {}={}", one.number, hex::encode(one.value))).collect();
            shown = format!("{kind:?} {code}{options} {}", String::from_utf8_lossy(payload));
        });
        Some(shown)
    }

    fn check(request: &[u8], expected: &str) {
        assert_eq!(said(request, 1400).as_deref(), Some(expected));
    }

    #[test]
    fn resources_are_listed_and_read() {
        check(
            &request(CON, GET, &path(LIST), b""),
            "Acknowledgement 2.05 12=28 </.well-known/core>;ct=40,</state>;rt=\"light\",</long/text>",
        );
        check(&request(CON, GET, &path("/state"), b""), "Acknowledgement 2.05 12= on");
        check(&request(NON, GET, &path("/state"), b""), "NonConfirmable 2.05 12= on");
        check(&request(CON, GET, &path("/other"), b""), "Acknowledgement 4.04 ");
        check(&request(CON, GET, &[], b""), "Acknowledgement 4.04 ");
        check(&request(CON, 4, &path("/state"), b""), "Acknowledgement 4.05 ");
    }

    #[test]
    fn blocks_are_as_they_are_asked_for() {
        let of = |block: &'static [u8]| request(CON, GET, &[&path("/long/text")[..], &[(BLOCK2, block)]].concat(), b"");
        check(&of(&[0x00]), "Acknowledgement 2.05 12= 23=08 0123456789abcdef");
        check(&of(&[0x20]), "Acknowledgement 2.05 12= 23=20 0123");
        check(&of(&[0x11]), "Acknowledgement 2.05 12= 23=11 0123");
        check(&of(&[0x06]), "Acknowledgement 2.05 12= 23=06 0123456789abcdef0123456789abcdef0123");
        check(&of(&[0x30]), "Acknowledgement 4.02 ");
        check(&of(&[0xFF, 0xFF, 0xF6]), "Acknowledgement 4.02 ");
    }

    #[test]
    fn with_little_room_blocks_are_smaller() {
        let request = request(CON, GET, &path("/long/text"), b"");
        assert_eq!(said(&request, 40).as_deref(), Some("Acknowledgement 2.05 12= 23=08 0123456789abcdef"));
        assert_eq!(said(&request, request.len()).as_deref(), Some("Acknowledgement 5.03 "));
        assert_eq!(said(&request, 4), None);
    }

    #[test]
    fn what_is_written_is_taken() {
        check(&request(CON, PUT, &path("/state"), b"off"), "Acknowledgement 2.04 ");
        check(&request(CON, 2, &path("/state"), b"off"), "Acknowledgement 2.04 ");
        check(&request(CON, PUT, &path("/long/text"), b"x"), "Acknowledgement 4.05 ");
        let of = |block: &'static [u8]| request(CON, PUT, &[&path("/state")[..], &[(BLOCK1, block)]].concat(), b"x");
        check(&of(&[0x0E]), "Acknowledgement 2.31 27=0e ");
        check(&of(&[0x16]), "Acknowledgement 2.04 27=16 ");
    }

    #[test]
    fn what_cannot_be_done_is_refused() {
        check(&[0x40, 0, 1, 2], "Reset 0.00 ");
        check(&[0x40, 0x45, 1, 2], "Reset 0.00 ");
        check(&[0x40, 1, 1, 2, 0xFF], "Reset 0.00 ");
        check(&request(CON, GET, &[(9, b"x")], b""), "Acknowledgement 4.02 ");
        check(&request(CON, GET, &[(PROXY_URI, b"coap://a")], b""), "Acknowledgement 5.05 ");
        for silent in [&[0x50, 0, 1, 2][..], &[0x60, 0, 1, 2], &[0x70, 0, 1, 2], &[0x50, 1, 1, 2, 0xFF], b"", b"\x40"] {
            assert_eq!(said(silent, 1400), None, "{silent:x?}");
        }
    }

    #[test]
    fn answers_that_acknowledge_nothing_have_ids_of_their_own() {
        let mut talk = persona_of(PERSONA);
        let mut id = || {
            let answer = talk.answer(&request(NON, GET, &path("/state"), b""), &call(Room::STREAM));
            u16::from_be_bytes([answer.datagrams[0][2], answer.datagrams[0][3]])
        };
        assert_eq!(id().wrapping_add(1), id());
    }
}
