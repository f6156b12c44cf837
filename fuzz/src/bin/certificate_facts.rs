//! Any bytes as a registered certificate: reading the fields that policies ask for must not panic.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| komainu_gateway::fuzzing::certificate(bytes));
