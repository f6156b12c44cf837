//! Any bytes as a page of a file of the lake: no panic, as many values as were asked for or a reason, no code without a word.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| komainu_lake::fuzzing::page(bytes));
