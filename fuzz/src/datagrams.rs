//! Datagrams that have their side and their length in front, for the targets that read them.

use komainu_decode::{Decoder, Fact, Place, Side};

/// Reads datagrams, each with its side (`C` or `S`), two bytes of length, and as many bytes as are there. Fails when more
/// facts are messages than there are datagrams.
pub fn check(mut reader: impl Decoder, mut bytes: &[u8], is_message: fn(&Fact<'_>) -> bool) {
    let (mut datagrams, mut messages) = (0, 0);
    let mut observer = |_: Place, fact: Fact<'_>| messages += usize::from(is_message(&fact));
    while let [what, high, low, rest @ ..] = bytes {
        let side = if *what == b'C' { Side::Client } else { Side::Server };
        let (datagram, behind) = rest.split_at(rest.len().min(u16::from_be_bytes([*high, *low]).into()));
        reader.data(side, datagram, &mut observer);
        datagrams += 1;
        bytes = behind;
    }
    reader.end(&mut observer);
    assert!(messages <= datagrams, "{messages} messages of {datagrams} datagrams");
}
