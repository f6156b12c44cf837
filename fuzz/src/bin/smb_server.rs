//! Any bytes as what a client of SMB says to a persona: no panic, the same answers when cut.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| komainu_sensor::fuzzing::smb(bytes));
