//! Any bytes as rows and counts of the lake's catalog: no panic, the same when they were written again.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| komainu_lake::fuzzing::catalog(bytes));
