//! Any bytes said to a program over SSH, to FTP, to the debug bridge or to Redis: no panic, the same answers when cut,
//! bounded state.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| komainu_sensor::fuzzing::remote(bytes));
