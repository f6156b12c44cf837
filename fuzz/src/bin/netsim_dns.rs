//! Any bytes as a question to a resolver: no panic, an answer that UDP carries.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| komainu_netsim::fuzzing::question(bytes));
