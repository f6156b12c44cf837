//! Any bytes as what an FTP server says: no panic.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| komainu_sensor::fuzzing::ftp_reply(bytes));
