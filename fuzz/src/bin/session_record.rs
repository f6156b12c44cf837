//! What a sensor may have handed in, put together as sessions: no panic, bounded, in order.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| komainu_api::fuzzing::session_record(bytes));
