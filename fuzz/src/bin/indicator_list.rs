//! Any bytes as a list of indicators: no panic, each refusal has a reason, what is taken is read again as it is shown.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| komainu_intel::fuzzing::indicator_list(bytes));
