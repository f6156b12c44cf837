//! Simple Network Management Protocol, versions 1, 2c and 3 (RFC 1157, RFC 3416, RFC 3412 and 3414).
//!
//! Each message is told as it comes. The community of versions 1 and 2c is all that protects a device, so it is told
//! as the password of a login: accepted when an answer comes, since an agent stays silent otherwise. A community that
//! was told of a flow is not told again; a walk through a device repeats it hundreds of times.
//!
//! State of a flow: [`COMMUNITIES_MAX`] communities of [`COMMUNITY_BYTES_MAX`], 4 kB.

mod message;

pub use message::{Message, Pdu, PduKind, PduNumbers, Value, Variable};

pub use crate::ber::Oid;

use crate::{Decoder, Fact, Login, Observer, OddityKind, Place, Secret, Side, oddities::Oddities};

/// The communities of a flow that are remembered. Those who guess send some dozens from one port.
pub const COMMUNITIES_MAX: usize = 64;

/// A community that is remembered, in bytes. Longer ones are told at once and as often as they come.
pub const COMMUNITY_BYTES_MAX: usize = 64;

/// What only this protocol has.
#[derive(Debug, Clone, PartialEq)]
pub enum Event<'a> {
    /// A request, an answer or a notification.
    Message(Message<'a>),
}

/// Reads one flow.
#[derive(Debug, Default)]
pub struct Reader {
    /// The bytes that each side has said.
    said: [u64; 2],
    communities: Vec<Community>,
    oddities: Oddities,
}

/// A community that a client used.
#[derive(Debug)]
struct Community {
    community: Vec<u8>,
    /// Where it was used last.
    place: Place,
    /// The request that is not answered yet.
    request_id: i64,
    is_told: bool,
}

impl Decoder for Reader {
    fn data(&mut self, side: Side, bytes: &[u8], observer: &mut dyn Observer) {
        let offset = self.said[side.index()];
        self.said[side.index()] += bytes.len() as u64;
        let place = Place { side, offset, bytes: bytes.len() as u64 };
        let (message, problem) = Message::parse(bytes);
        if let Some(message) = message {
            let (community, pdu) = (message.community, message.pdu.as_ref());
            let request = pdu.and_then(|pdu| Some((pdu.kind, pdu.request_id()?)));
            observer.fact(place, Fact::Snmp(Event::Message(message)));
            match (side, community, request) {
                (Side::Client, Some(community), Some((kind, id))) if kind.wants_answer() => {
                    self.used(community, id, place, observer);
                }
                (Side::Server, Some(community), Some((PduKind::Response, id))) => {
                    self.answered(community, id, observer)
                }
                _ => {}
            }
        }
        if let Some(what) = problem {
            let kind = if what == message::TOO_MANY_VARIABLES { OddityKind::Bound } else { OddityKind::Skipped };
            self.oddities.tell(place, kind, what, observer);
        }
    }

    fn gap(&mut self, _: Side, _: u64, _: &mut dyn Observer) {}

    fn finish(&mut self, _: Side, _: &mut dyn Observer) {}

    fn end(&mut self, observer: &mut dyn Observer) {
        for known in self.communities.iter_mut().filter(|known| !known.is_told) {
            known.tell(None, observer);
        }
    }
}

impl Reader {
    fn used(&mut self, community: &[u8], request_id: i64, place: Place, observer: &mut dyn Observer) {
        if let Some(known) = self.communities.iter_mut().find(|known| known.community == community) {
            // A repeated request is the same attempt.
            if !known.is_told {
                (known.request_id, known.place) = (request_id, place);
            }
            return;
        }
        let mut new = Community { community: community.to_vec(), place, request_id, is_told: false };
        if community.len() > COMMUNITY_BYTES_MAX {
            new.tell(None, observer);
            return;
        }
        if self.communities.len() == COMMUNITIES_MAX {
            let mut oldest = self.communities.remove(0);
            if !oldest.is_told {
                oldest.tell(None, observer);
            }
        }
        self.communities.push(new);
    }

    /// Those who guess may give all requests the same id, so the community counts; an agent repeats it (RFC 1157, 4.1).
    fn answered(&mut self, community: &[u8], request_id: i64, observer: &mut dyn Observer) {
        let mut asked = self.communities.iter_mut().filter(|known| !known.is_told && known.request_id == request_id);
        if let Some(known) = asked.find(|known| known.community == community) {
            known.tell(Some(true), observer);
        }
    }
}

impl Community {
    fn tell(&mut self, accepted: Option<bool>, observer: &mut dyn Observer) {
        self.is_told = true;
        let login = Login { user: b"", secret: Secret::Password(&self.community), accepted };
        observer.fact(self.place, Fact::Login(login));
    }
}
