//! Any bytes as what an OpenID provider says: no panic, nobody is vouched for without a signature, what is said is bounded.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| komainu_engines::fuzzing::openid_provider(bytes));
