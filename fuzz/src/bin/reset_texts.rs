//! Any bytes as what a port answers, as a finding, and as a baseline: no panic, texts are bounded and printable, what is
//! written is read.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| komainu_sensor::fuzzing::reset_texts(bytes));
