//! A byte that chooses a format, then any bytes as such a container: no panic, no more comes out than the bounds allow.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| komainu_triage::fuzzing::container(bytes));
