//! Any bytes as the answer of a web server: no panic, within its bounds, the same in whatever pieces it comes.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| komainu_sensor::fuzzing::http_answer(bytes));
