//! Any bytes as an operator's notes of what was published: no panic, each refusal has a reason, texts are bounded.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| komainu_statistics::fuzzing::notes(bytes));
