//! Any bytes as a file that is looked at: no panic, equal reports, nothing raw, within the bounds.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| komainu_triage::fuzzing::file(bytes));
