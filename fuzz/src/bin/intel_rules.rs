//! Any bytes as rules, then as what a stranger says: no panic, and each session has a verdict.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| komainu_intel::fuzzing::rules(bytes));
