//! A question over HTTP of those who read: no panic, and what is answered has the form that is described.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| komainu_api::fuzzing::read_query(bytes));
