//! Messages and their options.

use std::fmt;

use crate::fields::Fields;

/// The options of a message that are told. A URI of many segments has a dozen; a datagram could have 65,000.
const OPTIONS_MAX: usize = 128;

/// What is wrong with a message that has more.
pub(super) const TOO_MANY_OPTIONS: &str = "too_many_options";

/// A message (RFC 7252, 3).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message<'a> {
    /// Its type.
    pub kind: MessageKind,
    /// The method of a request, or how it went.
    pub code: Code,
    /// What pairs an acknowledgement with its message.
    pub message_id: u16,
    /// What pairs an answer with its request; at most 8 bytes.
    pub token: &'a [u8],
    /// The options in the order of their numbers, at most 128.
    pub options: Vec<CoapOption<'a>>,
    /// What is carried.
    pub payload: &'a [u8],
}

/// The type of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum MessageKind {
    /// Wants an acknowledgement.
    Confirmable,
    /// Wants none.
    NonConfirmable,
    /// Acknowledges; may carry the answer.
    Acknowledgement,
    /// Was not understood.
    Reset,
}

/// A class and a detail, shown as `c.dd`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Code(pub u8);

/// An option as it was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CoapOption<'a> {
    /// Its number in the registry of RFC 7252, 12.2.
    pub number: u16,
    /// Its value.
    pub value: &'a [u8],
}

/// Which part of a larger body (RFC 7959, 2.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Block {
    /// Its number, from 0.
    pub number: u32,
    /// Whether more follow.
    pub more: bool,
    /// Its size in bytes.
    pub bytes: u16,
}

impl Code {
    /// The name of the method, when it is one (RFC 7252, 12.1.1; RFC 8132).
    pub fn method(self) -> Option<&'static str> {
        match self.0 {
            1 => Some("GET"),
            2 => Some("POST"),
            3 => Some("PUT"),
            4 => Some("DELETE"),
            5 => Some("FETCH"),
            6 => Some("PATCH"),
            7 => Some("iPATCH"),
            _ => None,
        }
    }
}

impl fmt::Display for Code {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}.{:02}", self.0 >> 5, self.0 & 0x1F)
    }
}

const URI_HOST: u16 = 3;
const OBSERVE: u16 = 6;
const URI_PATH: u16 = 11;
const CONTENT_FORMAT: u16 = 12;
const URI_QUERY: u16 = 15;
const ACCEPT: u16 = 17;
const BLOCK2: u16 = 23;
const BLOCK1: u16 = 27;

impl<'a> Message<'a> {
    /// The host that is asked, where it was said.
    pub fn uri_host(&self) -> Option<&'a [u8]> {
        self.values(URI_HOST).next()
    }

    /// The path that is asked for, with a slash before each segment; empty when there is none. The segments are as they
    /// were sent: a slash may stand within one.
    pub fn uri_path(&self) -> Vec<u8> {
        self.values(URI_PATH).flat_map(|segment| std::iter::once(&b'/').chain(segment)).copied().collect()
    }

    /// The arguments of the query, with ampersands between them.
    pub fn uri_query(&self) -> Vec<u8> {
        self.values(URI_QUERY).collect::<Vec<_>>().join(&b'&')
    }

    /// Whether it asks what there is (RFC 6690, 4): the first question of those who look for devices.
    pub fn is_discovery(&self) -> bool {
        self.code.method().is_some() && self.values(URI_PATH).eq([&b".well-known"[..], b"core"])
    }

    /// The format of the payload.
    pub fn content_format(&self) -> Option<u32> {
        self.number(CONTENT_FORMAT)
    }

    /// The format that is wanted.
    pub fn accept(&self) -> Option<u32> {
        self.number(ACCEPT)
    }

    /// In a request, 0 subscribes and 1 ends it; in an answer, a number that grows (RFC 7641, 2).
    pub fn observe(&self) -> Option<u32> {
        self.number(OBSERVE)
    }

    /// Which part of the request's body.
    pub fn block1(&self) -> Option<Block> {
        self.number(BLOCK1).map(Block::of)
    }

    /// Which part of the answer's body.
    pub fn block2(&self) -> Option<Block> {
        self.number(BLOCK2).map(Block::of)
    }

    fn values(&self, number: u16) -> impl Iterator<Item = &'a [u8]> {
        self.options.iter().filter(move |option| option.number == number).map(|option| option.value)
    }

    /// The value of an option of at most four bytes; leading zeros may be left out, so none is 0 (RFC 7252, 3.2).
    fn number(&self, number: u16) -> Option<u32> {
        let value = self.values(number).next().filter(|value| value.len() <= 4)?;
        Some(value.iter().fold(0, |number, byte| (number << 8) | u32::from(*byte)))
    }

    /// What can be read of a message, and what is wrong with it.
    pub(super) fn parse(bytes: &'a [u8]) -> (Option<Self>, Option<&'static str>) {
        let mut fields = Fields::new(bytes);
        let (Some(first), Some(code), Some(message_id)) = (fields.u8(), fields.u8(), fields.u16()) else {
            return (None, Some("no_message"));
        };
        // Lengths beyond 8 are reserved and a format error (RFC 7252, 3).
        let token_bytes = usize::from(first & 0xF);
        let token = fields.take(token_bytes).filter(|token| token.len() <= 8);
        let Some(token) = token.filter(|_| first >> 6 == 1) else { return (None, Some("no_message")) };
        let kind = match first >> 4 & 3 {
            0 => MessageKind::Confirmable,
            1 => MessageKind::NonConfirmable,
            2 => MessageKind::Acknowledgement,
            _ => MessageKind::Reset,
        };
        let mut message = Self { kind, code: Code(code), message_id, token, options: Vec::new(), payload: &[] };
        let read = message.options(&mut fields);
        (Some(message), read.err())
    }

    /// The options and the payload behind them (RFC 7252, 3.1).
    fn options(&mut self, fields: &mut Fields<'a>) -> Result<(), &'static str> {
        const PAYLOAD_MARKER: u8 = 0xFF;
        let mut number = 0u16;
        while let Some(first) = fields.u8() {
            if first == PAYLOAD_MARKER {
                self.payload = fields.rest();
                // A marker without a payload is a format error.
                return if self.payload.is_empty() { Err("empty_payload") } else { Ok(()) };
            }
            if self.options.len() == OPTIONS_MAX {
                return Err(TOO_MANY_OPTIONS);
            }
            let delta = extended(first >> 4, fields).ok_or("malformed_option")?;
            let length = extended(first & 0xF, fields).ok_or("malformed_option")?;
            number = number.checked_add(delta).ok_or("malformed_option")?;
            let value = fields.take(usize::from(length)).ok_or("malformed_option")?;
            self.options.push(CoapOption { number, value });
        }
        Ok(())
    }
}

impl Block {
    /// RFC 7959, 2.2: four bits are the size and whether more follow, the rest is the number.
    fn of(value: u32) -> Self {
        Self { number: value >> 4, more: value & 8 != 0, bytes: 16 << (value & 7) }
    }
}

/// A number of four bits, or the one or two bytes that 13 and 14 stand for.
fn extended(nibble: u8, fields: &mut Fields<'_>) -> Option<u16> {
    match nibble {
        0..=12 => Some(u16::from(nibble)),
        13 => fields.u8().map(|more| u16::from(more) + 13),
        14 => fields.u16()?.checked_add(269),
        _ => None,
    }
}
