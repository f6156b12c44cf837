//! RSA PKCS#1 v1.5 signatures over SHA-1, which SNS's `SignatureVersion` 1 is made of.
//!
//! This module has `unsafe` code. SNS's default signature is SHA-1 and older receivers verify nothing else, but
//! `aws-lc-rs` offers SHA-1 for verifying only. AWS-LC itself still signs with it, in constant time and blinded, so
//! the one function is called directly; our own big-number arithmetic would be worse. A forged notification would
//! need a second preimage of SHA-1; receivers that want SHA-256 set the topic's `SignatureVersion` to 2.
#![allow(unsafe_code, reason = "aws-lc-rs does not sign with SHA-1, AWS-LC does")]

use aws_lc_sys::{NID_sha1, RSA, RSA_free, RSA_private_key_from_bytes, RSA_sign, RSA_size};

/// Bytes of a SHA-1 digest.
const SHA1_BYTES: usize = 20;

/// Signs a SHA-1 digest with a private key in its PKCS#1 form. `None` when the key or the digest is malformed.
pub(super) fn sign(private_key_pkcs1: &[u8], sha1: &[u8]) -> Option<Vec<u8>> {
    if sha1.len() != SHA1_BYTES {
        return None;
    }
    let key = Key::parse(private_key_pkcs1)?;
    // SAFETY: `key.0` is a valid RSA key for as long as `key` lives.
    let size = unsafe { RSA_size(key.0) } as usize;
    let mut signature = vec![0u8; size];
    let mut signature_len = 0;
    // SAFETY: `sha1` is readable for `sha1.len()` bytes; `signature` is writable for `RSA_size` bytes, the most that
    // `RSA_sign` writes; `signature_len` is a valid place for its length; `key.0` is a valid RSA private key that no
    // other thread sees.
    let signed =
        unsafe { RSA_sign(NID_sha1, sha1.as_ptr(), sha1.len(), signature.as_mut_ptr(), &mut signature_len, key.0) };
    (signed == 1 && signature_len as usize == size).then_some(signature)
}

/// An RSA key of AWS-LC; not null, and freed once.
struct Key(*mut RSA);

impl Key {
    fn parse(pkcs1: &[u8]) -> Option<Self> {
        // SAFETY: `pkcs1` is readable for `pkcs1.len()` bytes. The function answers null or a key that we own.
        let key = unsafe { RSA_private_key_from_bytes(pkcs1.as_ptr(), pkcs1.len()) };
        (!key.is_null()).then_some(Self(key))
    }
}

impl Drop for Key {
    fn drop(&mut self) {
        // SAFETY: the key came from `RSA_private_key_from_bytes` and nobody else holds it.
        unsafe { RSA_free(self.0) }
    }
}
