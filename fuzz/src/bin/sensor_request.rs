//! What a sensor may send to the hub: no panic, and a batch that is let in is lines of JSON.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| komainu_api::fuzzing::sensor_request(bytes));
