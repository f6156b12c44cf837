//! Any bytes as what a device asks for names or the time: no panic, and no answer that is much longer than its question.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| komainu_sensor::fuzzing::sinkhole(bytes));
