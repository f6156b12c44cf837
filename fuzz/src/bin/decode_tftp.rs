//! Any bytes as a TFTP conversation: no panic, files begin and end in pairs.
#![no_main]

#[path = "../turns.rs"]
mod turns;

use komainu_decode::tftp::Reader;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    // A piece is a datagram.
    turns::told(Reader::default(), bytes, usize::MAX);
});
