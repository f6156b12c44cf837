//! Any bytes as a Telnet conversation: no panic, cut anywhere the same, files begin and end in pairs.
#![no_main]

#[path = "../turns.rs"]
mod turns;

use komainu_decode::telnet::Reader;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let told = turns::told(Reader::default(), bytes, usize::MAX);
    assert_eq!(told, turns::told(Reader::default(), bytes, 1));
    assert_eq!(told, turns::told(Reader::default(), bytes, 3));
});
