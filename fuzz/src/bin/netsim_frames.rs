//! Frames of a guest, each behind its length: no panic, it ends, answers fit the link, events are bounded.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| komainu_netsim::fuzzing::frames(bytes));
