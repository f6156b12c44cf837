//! Any bytes as datagrams of CoAP: no panic, one message at most for each.
#![no_main]

use komainu_decode::coap::Reader;
use komainu_decode::{Decoder, Fact, Place, Side};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let mut bytes = bytes;
    let mut reader = Reader::default();
    let (mut datagrams, mut messages) = (0, 0);
    let mut observer = |_: Place, fact: Fact<'_>| messages += usize::from(matches!(fact, Fact::Coap(_)));
    // For each datagram there is its side (`C` or `S`), two bytes of length, and as many bytes as are there.
    while let [what, high, low, rest @ ..] = bytes {
        let side = if *what == b'C' { Side::Client } else { Side::Server };
        let (datagram, behind) = rest.split_at(rest.len().min(u16::from_be_bytes([*high, *low]).into()));
        reader.data(side, datagram, &mut observer);
        datagrams += 1;
        bytes = behind;
    }
    reader.end(&mut observer);
    assert!(messages <= datagrams, "{messages} messages of {datagrams} datagrams");
});
