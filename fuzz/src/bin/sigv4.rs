//! Any request as a signed one: no panic, and no signature is right by chance.
#![no_main]

use komainu_aws::sigv4::{Claim, SignedParts};

libfuzzer_sys::fuzz_target!(|text: &str| {
    // The first line is the path and query, then header lines up to an empty one, then the body.
    let (head, body) = text.split_once("\n\n").unwrap_or((text, ""));
    let mut lines = head.lines();
    let target = lines.next().unwrap_or_default();
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let names: Vec<(String, &str)> =
        lines.filter_map(|line| line.split_once(':')).map(|(name, value)| (name.to_ascii_lowercase(), value)).collect();
    let headers: Vec<(&str, &[u8])> =
        names.iter().map(|(name, value)| (name.as_str(), value.trim_start().as_bytes())).collect();
    let request = SignedParts { method: "POST", path, query, headers: &headers, body: body.as_bytes() };
    if let Ok(claim) = Claim::parse(&request) {
        // 2026-11-23T00:00:00Z, the date in the seeds.
        assert!(claim.verify(&request, "a secret that nobody knows", 1_795_392_000).is_err());
    }
});
