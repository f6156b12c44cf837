//! Constrained Application Protocol over UDP (RFC 7252), with Observe (RFC 7641) and blocks (RFC 7959).
//!
//! Each message is told as it comes. State of a flow: none but the bytes that were counted.

mod message;

pub use message::{Block, CoapOption, Code, Message, MessageKind};

use crate::{Decoder, Fact, Observer, OddityKind, Place, Side, oddities::Oddities};

/// What only this protocol has.
#[derive(Debug, Clone, PartialEq)]
pub enum Event<'a> {
    /// A request, an answer, an acknowledgement or a reset.
    Message(Message<'a>),
}

/// Reads one flow.
#[derive(Debug, Default)]
pub struct Reader {
    /// The bytes that each side has said.
    said: [u64; 2],
    oddities: Oddities,
}

impl Decoder for Reader {
    fn data(&mut self, side: Side, bytes: &[u8], observer: &mut dyn Observer) {
        let offset = self.said[side.index()];
        self.said[side.index()] += bytes.len() as u64;
        let place = Place { side, offset, bytes: bytes.len() as u64 };
        let (message, problem) = Message::parse(bytes);
        if let Some(message) = message {
            observer.fact(place, Fact::Coap(Event::Message(message)));
        }
        if let Some(what) = problem {
            let kind = if what == message::TOO_MANY_OPTIONS { OddityKind::Bound } else { OddityKind::Skipped };
            self.oddities.tell(place, kind, what, observer);
        }
    }

    fn gap(&mut self, _: Side, _: u64, _: &mut dyn Observer) {}

    fn finish(&mut self, _: Side, _: &mut dyn Observer) {}

    fn end(&mut self, _: &mut dyn Observer) {}
}
