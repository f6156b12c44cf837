//! What a browser may send to the console: no panic, and it leads to no other site.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| komainu_console::fuzzing::request(bytes));
