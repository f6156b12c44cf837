//! Any bytes as what a QEMU in the hands of a sample says, and as what the process of a run answers: no panic, the same when
//! cut, no control characters.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| komainu_sandbox::fuzzing::qmp(bytes));
