//! Any bytes as a conversation over SSH: no panic, cut anywhere the same.
#![no_main]

#[path = "../pieces.rs"]
mod pieces;

use komainu_decode::ssh::Reader;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    assert_eq!(pieces::told(Reader::default(), bytes, usize::MAX), pieces::told(Reader::default(), bytes, 3));
});
