//! Any bytes as a page of a device: no panic, and every link is a path on the same server.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| komainu_sensor::fuzzing::page_links(bytes));
