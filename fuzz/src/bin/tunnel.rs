//! Any bytes as what an outpost says in a stream of its tunnel: no panic, what is understood is written the same way again,
//! and datagrams are the same in whatever pieces they come.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| komainu_sensor::fuzzing::tunnel(bytes));
