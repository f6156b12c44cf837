//! Any bytes as a payload that the built-in rules are asked about: no panic, equal answers, within their bounds.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| komainu_yara::fuzzing::scan(bytes));
