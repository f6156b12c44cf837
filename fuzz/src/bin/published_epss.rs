//! Any bytes as the list of how likely weaknesses are to be exploited: no panic, each refusal has a reason.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| komainu_statistics::fuzzing::epss(bytes));
