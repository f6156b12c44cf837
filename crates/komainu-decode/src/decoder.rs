//! What all decoders have in common.

use crate::{Fact, Place, Protocol, Side};

/// Reads one flow.
///
/// Over a stream, what each side said comes in order, without repetition, cut anywhere; over datagrams, each piece is
/// one datagram. The pieces of both sides come in the order in which they were seen.
pub trait Decoder: Send {
    /// Takes what a side said next.
    fn data(&mut self, side: Side, bytes: &[u8], observer: &mut dyn Observer);

    /// Learns that the next `bytes` bytes of a side are not known. Never called over datagrams.
    fn gap(&mut self, side: Side, bytes: u64, observer: &mut dyn Observer);

    /// Learns that a side has said everything.
    fn finish(&mut self, side: Side, observer: &mut dyn Observer);

    /// Learns that both sides have said everything: the last moment to tell what waited for more. Nothing is called
    /// after it.
    fn end(&mut self, observer: &mut dyn Observer);
}

/// Is told of facts.
pub trait Observer {
    /// A flow showed `fact` at `place`.
    fn fact(&mut self, place: Place, fact: Fact<'_>);

    /// The flow turned out to speak `protocol`: told once, before its first fact, by whoever finds that out.
    fn protocol(&mut self, protocol: Protocol) {
        let _ = protocol;
    }

    /// A side said this, as it was sent: told before the facts that it shows, by whoever puts the flow together.
    fn payload(&mut self, side: Side, bytes: &[u8]) {
        let _ = (side, bytes);
    }

    /// The next bytes of a side are not known: told in the same way.
    fn lost(&mut self, side: Side, bytes: u64) {
        let _ = (side, bytes);
    }
}

impl<F: FnMut(Place, Fact<'_>)> Observer for F {
    fn fact(&mut self, place: Place, fact: Fact<'_>) {
        self(place, fact);
    }
}
