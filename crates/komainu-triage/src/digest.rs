//! Digests of a sample.

use md5::Md5;
use sha1::Sha1;
use sha2::{Digest as _, Sha256};
use tlsh2::TlshDefaultBuilder;

use crate::limits::SAMPLE_BYTES_MAX;
use crate::report::Digests;
use crate::text::hex_of;

/// All digests of one sample.
pub(crate) fn digests(bytes: &[u8]) -> Digests {
    Digests {
        sha256: hex_of(&Sha256::digest(bytes)),
        sha1: hex_of(&Sha1::digest(bytes)),
        md5: md5_of(bytes),
        // What is not looked at is not compared either.
        tlsh: if bytes.len() <= SAMPLE_BYTES_MAX { tlsh_of(bytes) } else { None },
    }
}

/// MD5, in hex.
pub(crate) fn md5_of(bytes: &[u8]) -> String {
    hex_of(&Md5::digest(bytes))
}

/// TLSH, `T1` and 70 hex digits; none below 50 bytes and for what has too few different pieces.
pub(crate) fn tlsh_of(bytes: &[u8]) -> Option<String> {
    let hash = TlshDefaultBuilder::build_from(bytes)?.hash();
    String::from_utf8(hash.to_vec()).ok()
}

/// How far apart two TLSH are: 0 is equal, below 50 most likely variants, above 100 nothing. None when one is none.
///
/// Source: Oliver, Cheng, Chen, "TLSH - A Locality Sensitive Hash", 2013, section IV.
pub fn tlsh_distance(one: &str, other: &str) -> Option<u32> {
    let parse = |text: &str| -> Option<tlsh2::TlshDefault> { text.parse().ok() };
    u32::try_from(parse(one)?.diff(&parse(other)?, true)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_are_the_usual_ones() {
        let seen = digests(b"abc");
        assert_eq!(seen.sha256, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        assert_eq!(seen.sha1, "a9993e364706816aba3e25717850c26c9cd0d89d");
        assert_eq!(seen.md5, "900150983cd24fb0d6963f7d28e17f72");
        assert_eq!(seen.tlsh, None, "too small");
    }

    #[test]
    fn a_variant_is_near_and_a_stranger_is_far() {
        let text: Vec<u8> = (0..4000_u32).flat_map(|number| number.wrapping_mul(number).to_le_bytes()).collect();
        let mut variant = text.clone();
        variant[100..140].fill(7);
        let stranger: Vec<u8> = (0..3000_u32).flat_map(|number| format!("{number} ").into_bytes()).collect();
        let of = |bytes: &[u8]| tlsh_of(bytes).unwrap();
        assert!(tlsh_distance(&of(&text), &of(&variant)).unwrap() < 20);
        assert!(tlsh_distance(&of(&text), &of(&stranger)).unwrap() > 100);
        assert_eq!(tlsh_distance("T1", &of(&text)), None);
    }
}
