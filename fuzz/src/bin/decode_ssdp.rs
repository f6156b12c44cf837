//! Any bytes as datagrams of SSDP or WS-Discovery: no panic, one message at most for each.
#![no_main]

use komainu_decode::ssdp::Reader;
use komainu_decode::{Decoder, Fact, Place, Side};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let mut reader = Reader::default();
    let mut messages = 0;
    let mut observer = |_: Place, fact: Fact<'_>| messages += usize::from(matches!(fact, Fact::Ssdp(_)));
    let datagrams: Vec<&[u8]> = bytes.split(|byte| *byte == 0xFF).collect();
    for datagram in &datagrams {
        reader.data(Side::Client, datagram, &mut observer);
    }
    reader.end(&mut observer);
    assert!(messages <= datagrams.len());
});
