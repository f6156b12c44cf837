//! Any bytes as a list of digests: no panic, what is told is bounded, the same in whatever pieces.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| komainu_engines::fuzzing::hash_list(bytes));
