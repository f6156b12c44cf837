//! Any datagrams to every service of personas: no panic, and never more is answered than was asked.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| komainu_sensor::fuzzing::datagrams(bytes));
