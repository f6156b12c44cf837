//! Any bytes said to a persona's web server, streams or broker: no panic, an answer to each request, bounded state.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| komainu_sensor::fuzzing::web(bytes));
