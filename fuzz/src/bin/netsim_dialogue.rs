//! A port, then what a guest says there: no panic, what waits is counted, events are bounded.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| komainu_netsim::fuzzing::dialogue(bytes));
