//! Domain Name System (RFC 1035), over datagrams and over streams.
//!
//! Each message is told as it comes, with its questions and its records. Names are read where they lie: a pointer of
//! the compression must point before itself, so that following them ends. What looks like the abuse of a server for
//! an attack on others (a question for ANY, say) is just a question here.
//!
//! State of a flow: nothing over datagrams; over a stream at most one message of 64 KiB for each side.

mod message;
mod name;

pub use message::{Data, Message, Question, Record, Soa};
pub use name::Name;

use crate::{
    Decoder, Fact, Observer, OddityKind, Place, Side,
    oddities::Oddities,
    pending::{Pending, Step},
};

/// A message behind its length (RFC 1035, 4.2.2), in bytes: what two bytes can say.
const STREAM_MESSAGE_BYTES_MAX: usize = 2 + 0xFFFF;

/// What only this protocol has.
#[derive(Debug, Clone, PartialEq)]
pub enum Event<'a> {
    /// A question or an answer.
    Message(Message<'a>),
}

/// Reads one flow.
#[derive(Debug)]
pub struct Reader {
    carrier: Carrier,
    oddities: Oddities,
}

#[derive(Debug)]
enum Carrier {
    /// The bytes that each side has said.
    Datagrams([u64; 2]),
    Stream([Talk; 2]),
}

/// One side of a stream.
#[derive(Debug)]
struct Talk {
    pending: Pending,
    is_lost: bool,
}

impl Reader {
    /// Reads a stream.
    pub fn stream() -> Self {
        let talk = |side| Talk { pending: Pending::new(side, STREAM_MESSAGE_BYTES_MAX), is_lost: false };
        Self { carrier: Carrier::Stream([Side::Client, Side::Server].map(talk)), oddities: Oddities::default() }
    }

    /// Reads datagrams.
    pub fn datagrams() -> Self {
        Self { carrier: Carrier::Datagrams([0; 2]), oddities: Oddities::default() }
    }
}

impl Decoder for Reader {
    fn data(&mut self, side: Side, bytes: &[u8], observer: &mut dyn Observer) {
        match &mut self.carrier {
            Carrier::Datagrams(said) => {
                let said = &mut said[side.index()];
                let place = Place { side, offset: *said, bytes: bytes.len() as u64 };
                *said += place.bytes;
                tell(place, bytes, &mut self.oddities, observer);
            }
            Carrier::Stream(sides) => sides[side.index()].data(side, bytes, &mut self.oddities, observer),
        }
    }

    fn gap(&mut self, side: Side, bytes: u64, observer: &mut dyn Observer) {
        if let Carrier::Stream(sides) = &mut self.carrier {
            let talk = &mut sides[side.index()];
            talk.pending.skip_gap(bytes);
            if !std::mem::replace(&mut talk.is_lost, true) {
                self.oddities.tell(talk.pending.rest_place(), OddityKind::Gap, "messages_lost", observer);
            }
        }
    }

    fn finish(&mut self, _: Side, _: &mut dyn Observer) {}

    fn end(&mut self, observer: &mut dyn Observer) {
        if let Carrier::Stream(sides) = &self.carrier {
            for talk in sides.iter().filter(|talk| !talk.pending.rest().is_empty()) {
                self.oddities.tell(talk.pending.rest_place(), OddityKind::Skipped, "message_cut", observer);
            }
        }
    }
}

impl Talk {
    fn data(&mut self, side: Side, bytes: &[u8], oddities: &mut Oddities, observer: &mut dyn Observer) {
        // Messages have no marks; where the next one begins cannot be found.
        if self.is_lost {
            self.pending.ignore(bytes);
            return;
        }
        let fed = self.pending.feed(bytes, |bytes, offset| {
            let Some((length, rest)) = bytes.split_first_chunk::<2>() else { return Step::More };
            let Some(message) = rest.get(..usize::from(u16::from_be_bytes(*length))) else { return Step::More };
            tell(Place { side, offset: offset + 2, bytes: message.len() as u64 }, message, oddities, observer);
            Step::Used(2 + message.len())
        });
        fed.expect("no message is longer than the bound");
    }
}

/// Tells a whole message.
fn tell(place: Place, bytes: &[u8], oddities: &mut Oddities, observer: &mut dyn Observer) {
    let (message, problem) = Message::parse(bytes);
    if let Some(message) = message {
        observer.fact(place, Fact::Dns(Event::Message(message)));
    }
    if let Some((kind, what)) = problem {
        oddities.tell(place, kind, what, observer);
    }
}
