//! `md5sum` and its kin: RFC 1321, FIPS 180-4. What strangers check their files with; nothing here is kept secret by
//! it.

use md5::{Digest, Md5};
use sha1::Sha1;
use sha2::{Sha256, Sha512};

/// The digest of an applet of this name, in hexadecimal digits.
pub(crate) fn digest(applet: &str, bytes: &[u8]) -> String {
    match applet {
        "md5sum" => hex::encode(Md5::digest(bytes)),
        "sha1sum" => hex::encode(Sha1::digest(bytes)),
        "sha256sum" => hex::encode(Sha256::digest(bytes)),
        _ => hex::encode(Sha512::digest(bytes)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_of_the_standards() {
        let check = |applet, text: &str, expected: &str| {
            let hex = digest(applet, text.as_bytes());
            assert!(hex.starts_with(expected), "{applet} {text}: {hex}");
        };
        check("md5sum", "", "d41d8cd98f00b204e9800998ecf8427e");
        check("md5sum", "abc", "900150983cd24fb0d6963f7d28e17f72");
        check("sha1sum", "abc", "a9993e364706816aba3e25717850c26c9cd0d89d");
        check("sha256sum", "abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        check("sha512sum", "abc", "ddaf35a193617abacc417349ae204131");
        check("md5sum", &"a".repeat(64), "014842d480b571495a4a0363793f7367");
    }
}
