//! Any bytes as an MQTT client's: the broker must not panic, must come to an end, and must serve the next client.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| komainu_gateway::fuzzing::mqtt(bytes));
