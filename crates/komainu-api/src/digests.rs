//! The names of a content, computed as it comes.

use aws_lc_rs::digest;
use komainu_model::SampleDigest;
use komainu_ports::SampleDigests;
use md5::{Digest as _, Md5};

/// Takes a content piece by piece. Only SHA-256 proves anything; the others are for exchange with those who use them.
pub(crate) struct Digesting {
    sha256: digest::Context,
    sha1: digest::Context,
    md5: Md5,
}

impl Digesting {
    /// Nothing came yet.
    pub(crate) fn new() -> Self {
        Self {
            sha256: digest::Context::new(&digest::SHA256),
            sha1: digest::Context::new(&digest::SHA1_FOR_LEGACY_USE_ONLY),
            md5: Md5::new(),
        }
    }

    /// Takes the next piece.
    pub(crate) fn update(&mut self, piece: &[u8]) {
        self.sha256.update(piece);
        self.sha1.update(piece);
        self.md5.update(piece);
    }

    /// The names of all pieces together.
    pub(crate) fn finish(self) -> SampleDigests {
        let (mut sha256, mut sha1) = ([0; 32], [0; 20]);
        sha256.copy_from_slice(self.sha256.finish().as_ref());
        sha1.copy_from_slice(self.sha1.finish().as_ref());
        SampleDigests { sha256: SampleDigest::from_sha256(sha256), sha1, md5: self.md5.finalize().into() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_have_the_names_of_the_whole() {
        let check = |pieces: &[&[u8]]| {
            let mut digesting = Digesting::new();
            pieces.iter().for_each(|piece| digesting.update(piece));
            let SampleDigests { sha256, sha1, md5 } = digesting.finish();
            // "abc" in FIPS 180-4 and RFC 1321.
            let expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
            assert_eq!(sha256.to_string(), expected, "{pieces:?}");
            assert_eq!(hex::encode(sha1), "a9993e364706816aba3e25717850c26c9cd0d89d", "{pieces:?}");
            assert_eq!(hex::encode(md5), "900150983cd24fb0d6963f7d28e17f72", "{pieces:?}");
        };
        check(&[b"abc"]);
        check(&[b"", b"a", b"bc", b""]);
    }
}
