//! Any bytes as the list of exploited weaknesses: no panic, each refusal has a reason, texts are bounded.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| komainu_statistics::fuzzing::kev(bytes));
