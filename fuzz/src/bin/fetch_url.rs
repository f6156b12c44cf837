//! Any bytes as a URL and as the target of a redirect: no panic, and no address in disguise.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| komainu_sensor::fuzzing::fetch_url(bytes));
