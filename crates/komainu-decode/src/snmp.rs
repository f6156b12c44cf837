//! Simple Network Management Protocol, versions 1, 2c and 3 (RFC 1157, RFC 3416, RFC 3412 and 3414).
//!
//! Each message is told as it comes. The community of versions 1 and 2c is all that protects a device, so it is told
//! as the password of a login: accepted when an answer comes, since an agent stays silent otherwise. A user of version 3
//! is told as a login as well: accepted when there is an answer, refused when there is a report that the user or the key
//! is wrong. What was told of a flow is not told again; a walk through a device repeats it hundreds of times.
//!
//! State of a flow: [`TRIED_MAX`] communities and users of [`TRIED_BYTES_MAX`], with a proof of [`PROOF_BYTES_MAX`], 8 kB.

mod message;

pub use message::{Message, Pdu, PduKind, PduNumbers, Value, Variable};

pub use crate::ber::Oid;

use crate::{Decoder, Fact, Login, Observer, OddityKind, Place, Secret, Side, oddities::Oddities};

/// The communities and users of a flow that are remembered. Those who guess send some dozens from one port.
pub const TRIED_MAX: usize = 64;

/// A community or a user that is remembered, in bytes; users have 32 at most (RFC 3414, 2.4). Longer ones are told at once
/// and as often as they come.
pub const TRIED_BYTES_MAX: usize = 64;

/// What is remembered of a user's proof, in bytes: the longest one is that of RFC 7860.
pub const PROOF_BYTES_MAX: usize = 48;

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
    tried: Vec<Tried>,
    oddities: Oddities,
}

/// What a client logged in with.
#[derive(Debug)]
struct Tried {
    what: What,
    /// Where it was used last.
    place: Place,
    /// The request that is not answered yet.
    id: i64,
    is_told: bool,
}

#[derive(Debug, PartialEq, Eq)]
enum What {
    Community(Vec<u8>),
    /// A name, and what showed at first that it knows its key; empty for nothing.
    User(Vec<u8>, Vec<u8>),
}

impl Decoder for Reader {
    fn data(&mut self, side: Side, bytes: &[u8], observer: &mut dyn Observer) {
        let offset = self.said[side.index()];
        self.said[side.index()] += bytes.len() as u64;
        let place = Place { side, offset, bytes: bytes.len() as u64 };
        let (message, problem) = Message::parse(bytes);
        if let Some(message) = message {
            observer.fact(place, Fact::Snmp(Event::Message(message.clone())));
            match message.version {
                3 => self.secured(side, &message, place, observer),
                _ => self.plain(side, &message, place, observer),
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
        for known in self.tried.iter_mut().filter(|known| !known.is_told) {
            known.tell(None, observer);
        }
    }
}

impl Reader {
    /// A message of versions 1 and 2c. Those who guess may give all requests the same id, so the community counts; an
    /// agent repeats it (RFC 1157, 4.1).
    fn plain(&mut self, side: Side, message: &Message<'_>, place: Place, observer: &mut dyn Observer) {
        let Some(community) = message.community else { return };
        let Some((kind, id)) = message.pdu.as_ref().and_then(|pdu| Some((pdu.kind, pdu.request_id()?))) else { return };
        let is_same = |what: &What| matches!(what, What::Community(known) if known == community);
        match side {
            Side::Client if kind.wants_answer() => {
                self.used(is_same, || What::Community(community.to_vec()), community.len(), id, place, observer);
            }
            Side::Server if kind == PduKind::Response => self.answered(is_same, id, true, observer),
            Side::Client | Side::Server => {}
        }
    }

    /// A message of version 3.
    fn secured(&mut self, side: Side, message: &Message<'_>, place: Place, observer: &mut dyn Observer) {
        let (Some(user), Some(id)) = (message.user, message.id) else { return };
        match side {
            // Without a user, it asks who the agent is.
            Side::Client if message.is_reportable && !user.is_empty() => {
                let is_same = |what: &What| matches!(what, What::User(known, _) if known == user);
                let proof = &message.proof[..message.proof.len().min(PROOF_BYTES_MAX)];
                self.used(is_same, || What::User(user.to_vec(), proof.to_vec()), user.len(), id, place, observer);
            }
            Side::Server => {
                let accepted = match &message.pdu {
                    Some(pdu) if pdu.kind == PduKind::Report => refuses(pdu).then_some(false),
                    Some(_) | None => Some(true),
                };
                if let Some(accepted) = accepted {
                    self.answered(|what| matches!(what, What::User(..)), id, accepted, observer);
                }
            }
            Side::Client => {}
        }
    }

    fn used(
        &mut self,
        is_same: impl Fn(&What) -> bool,
        what: impl FnOnce() -> What,
        bytes: usize,
        id: i64,
        place: Place,
        observer: &mut dyn Observer,
    ) {
        if let Some(known) = self.tried.iter_mut().find(|known| is_same(&known.what)) {
            // A repeated request is the same attempt.
            if !known.is_told {
                (known.id, known.place) = (id, place);
            }
            return;
        }
        let mut new = Tried { what: what(), place, id, is_told: false };
        if bytes > TRIED_BYTES_MAX {
            new.tell(None, observer);
            return;
        }
        if self.tried.len() == TRIED_MAX {
            let mut oldest = self.tried.remove(0);
            if !oldest.is_told {
                oldest.tell(None, observer);
            }
        }
        self.tried.push(new);
    }

    fn answered(&mut self, is_it: impl Fn(&What) -> bool, id: i64, accepted: bool, observer: &mut dyn Observer) {
        let mut asked = self.tried.iter_mut().filter(|known| !known.is_told && known.id == id);
        if let Some(known) = asked.find(|known| is_it(&known.what)) {
            known.tell(Some(accepted), observer);
        }
    }
}

/// Whether a report says that a user or its key is wrong (RFC 3414, 5, usmStats). That the client's clock is wrong
/// (`usmStatsNotInTimeWindows`) or that it does not know the agent (`usmStatsUnknownEngineIDs`) says nothing of them.
fn refuses(report: &Pdu<'_>) -> bool {
    const USM_STATS: &[u8] = &[0x2B, 6, 1, 6, 3, 15, 1, 1];
    let Some(variable) = report.variables.first() else { return false };
    matches!(variable.name.bytes().strip_prefix(USM_STATS), Some([1 | 3 | 5 | 6, 0]))
}

impl Tried {
    fn tell(&mut self, accepted: Option<bool>, observer: &mut dyn Observer) {
        self.is_told = true;
        let login = match &self.what {
            What::Community(community) => Login { user: b"", secret: Secret::Password(community), accepted },
            What::User(user, proof) if proof.is_empty() => Login { user, secret: Secret::None, accepted },
            What::User(user, proof) => {
                Login { user, secret: Secret::Response { mechanism: "usm", bytes: proof }, accepted }
            }
        };
        observer.fact(self.place, Fact::Login(login));
    }
}
