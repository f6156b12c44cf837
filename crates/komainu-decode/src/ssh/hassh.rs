//! HASSH: which implementation offers such algorithms.

use md5::{Digest, Md5};

use crate::hex::hex;

/// The fingerprint of the algorithms that a side offers, as Salesforce published it: key exchange, encryption, MAC and
/// compression of the direction in which the side sends, joined by semicolons, and the MD5 of that.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hassh {
    /// What is hashed. The lists are the sender's bytes: not always text.
    pub string: Vec<u8>,
    /// The MD5 of it, in hexadecimal digits.
    pub hash: String,
}

impl Hassh {
    pub(super) fn of(lists: [&[u8]; 4]) -> Self {
        let string = lists.join(&b';');
        let hash = hex(&Md5::digest(&string));
        Self { string, hash }
    }
}
