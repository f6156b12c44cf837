//! Any bytes as a conversation over DNS: no panic, cut anywhere the same.
#![no_main]

#[path = "../pieces.rs"]
mod pieces;

use komainu_decode::dns::Reader;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    assert_eq!(pieces::told(Reader::stream(), bytes, usize::MAX), pieces::told(Reader::stream(), bytes, 3));
});
