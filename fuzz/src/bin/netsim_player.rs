//! Any bytes as a file of a player: no panic, a refusal has a reason.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| komainu_netsim::fuzzing::player(bytes));
