//! Any bytes as the lines that a stranger types: no panic, no line goes on for ever, and nothing grows beyond its limits.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| komainu_sensor::fuzzing::shell(bytes));
