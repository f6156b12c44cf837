//! Discovery by datagrams: Simple Service Discovery Protocol (UPnP Device Architecture 1.1, section 1) and WS-Discovery
//! (OASIS, version 1.1).
//!
//! Each datagram is told by itself. State of a flow: how many bytes each side sent.

mod discovery;

pub use self::discovery::{Discovery, DiscoveryKind};
use crate::message::{HeadScan, head_flaws, starts_with_ignoring_case};
pub use crate::message::{Request, Response};
use crate::oddities::Oddities;
use crate::{Decoder, Fact, Observer, OddityKind, Place, Side};

/// What only this protocol has. The place is the message.
#[derive(Debug, Clone, PartialEq)]
pub enum Event<'a> {
    /// Somebody looks for devices: M-SEARCH. What for is in `ST`, how long they wait in `MX`, in seconds.
    Search(Request<'a>),
    /// A device says that it is there, changed or leaves (`NTS`): NOTIFY.
    Notify(Request<'a>),
    /// Another request.
    Other(Request<'a>),
    /// A device answers a search.
    Answer(Response<'a>),
    /// WS-Discovery, in which cameras with ONVIF are found.
    Discovery(Discovery<'a>),
}

/// Reads one flow.
#[derive(Debug, Default)]
pub struct Reader {
    /// How many bytes each side sent.
    offsets: [u64; 2],
    oddities: Oddities,
}

impl Decoder for Reader {
    fn data(&mut self, side: Side, bytes: &[u8], observer: &mut dyn Observer) {
        let offset = &mut self.offsets[side.index()];
        let place = Place { side, offset: *offset, bytes: bytes.len() as u64 };
        *offset += bytes.len() as u64;
        if let Some(event) = Discovery::parse(bytes).map(Event::Discovery) {
            observer.fact(place, Fact::Ssdp(event));
        } else {
            self.message(bytes, place, observer);
        }
    }

    fn gap(&mut self, side: Side, bytes: u64, _: &mut dyn Observer) {
        self.offsets[side.index()] += bytes;
    }

    fn finish(&mut self, _: Side, _: &mut dyn Observer) {}

    fn end(&mut self, _: &mut dyn Observer) {}
}

impl Reader {
    fn message(&mut self, bytes: &[u8], place: Place, observer: &mut dyn Observer) {
        let blank = bytes.iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
        let message = &bytes[blank..];
        let end = HeadScan::default().end(message);
        let head = &message[..end.unwrap_or(message.len())];
        let place = Place { offset: place.offset + blank as u64, bytes: head.len() as u64, ..place };
        let is_cut = end.is_none();
        let request = Request::parse(head, is_cut, b"HTTP/");
        let event = if starts_with_ignoring_case(head, b"HTTP/") {
            Event::Answer(Response::parse(head, is_cut))
        } else if request.version.is_empty() {
            if !message.is_empty() {
                self.oddities.tell(place, OddityKind::Skipped, "not_discovery", observer);
            }
            return;
        } else if request.method.eq_ignore_ascii_case(b"m-search") {
            Event::Search(request)
        } else if request.method.eq_ignore_ascii_case(b"notify") {
            Event::Notify(request)
        } else {
            Event::Other(request)
        };
        observer.fact(place, Fact::Ssdp(event));
        for what in head_flaws(head).chain(is_cut.then_some("head_incomplete")) {
            self.oddities.tell(place, OddityKind::Tolerated, what, observer);
        }
    }
}
