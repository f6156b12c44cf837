//! The names of a content.

use komainu_model::SampleDigest;
use komainu_ports::SampleDigests;
use md5::Md5;
use sha1::Sha1;
use sha2::{Digest, Sha256};

/// The digests of a content.
pub fn digests_of(contents: &[u8]) -> SampleDigests {
    SampleDigests {
        sha256: SampleDigest::from_sha256(Sha256::digest(contents).into()),
        sha1: Sha1::digest(contents).into(),
        md5: Md5::digest(contents).into(),
    }
}
