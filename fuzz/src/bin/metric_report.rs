//! Any bytes as a Device Defender report, JSON and CBOR: no panic, and what is said about it is bounded.
#![no_main]

use komainu_report::{PROBLEMS_MAX, parse_cbor, parse_json};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    for parsed in [parse_json(bytes), parse_cbor(bytes)].into_iter().flatten() {
        assert!(parsed.problems.len() <= PROBLEMS_MAX + 1);
    }
});
