//! Any bytes as datagrams of SNMP: no panic, one message at most for each.
#![no_main]

#[path = "../datagrams.rs"]
mod datagrams;

use komainu_decode::Fact;
use komainu_decode::snmp::Reader;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    datagrams::check(Reader::default(), bytes, |fact| matches!(fact, Fact::Snmp(_)));
});
