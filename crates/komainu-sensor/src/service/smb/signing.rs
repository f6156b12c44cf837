//! Signed messages of SMB2 and SMB3 (MS-SMB2, 3.1.4.1 and 3.1.4.2).
//!
//! The key comes from the password, so only whoever proved one that the persona knows is spoken to in signed messages.
//! A guest has no key. SMB1 is never signed here: who insists on it there has a newer dialect.

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::{cmac, digest, hmac};

use super::Dialect;
use super::login::SessionKey;

/// Where the signature stands in a header, and how long it is (2.2.1).
const SIGNATURE_AT: usize = 48;
pub(super) const SIGNATURE_BYTES: usize = 16;

/// Everything that was said before a login was over, as SMB 3.1.1 has it (3.3.5.4): SHA-512 of what it was before and the
/// next message.
#[derive(Debug, Clone)]
pub(super) struct Preauth([u8; digest::SHA512_OUTPUT_LEN]);

impl Default for Preauth {
    fn default() -> Self {
        Self([0; digest::SHA512_OUTPUT_LEN])
    }
}

impl Preauth {
    pub(super) fn add(&mut self, message: &[u8]) {
        let mut context = digest::Context::new(&digest::SHA512);
        context.update(&self.0);
        context.update(message);
        self.0.copy_from_slice(context.finish().as_ref());
    }
}

/// The key of a session, with which messages are signed.
#[derive(Clone)]
pub(super) struct Signer {
    key: [u8; 16],
    mac: Mac,
}

#[derive(Debug, Clone, Copy)]
enum Mac {
    HmacSha256,
    AesCmac,
}

impl Signer {
    /// What follows from a login (3.3.5.5.3).
    pub(super) fn new(dialect: Dialect, key: &SessionKey, preauth: &Preauth) -> Self {
        let (mac, key) = match dialect {
            // SMB1 asks for no signer; it is the key as it is, too.
            Dialect::Nt1 | Dialect::V202 | Dialect::V210 => (Mac::HmacSha256, key.0),
            Dialect::V300 | Dialect::V302 => (Mac::AesCmac, derived(&key.0, b"SMB2AESCMAC\0", b"SmbSign\0")),
            Dialect::V311 => (Mac::AesCmac, derived(&key.0, b"SMBSigningKey\0", &preauth.0)),
        };
        Self { key, mac }
    }

    /// Writes the signature into a message, which begins with a header.
    pub(super) fn sign(&self, message: &mut [u8]) {
        if let Some(place) = message.get_mut(SIGNATURE_AT..SIGNATURE_AT + SIGNATURE_BYTES) {
            place.fill(0);
            let signature = self.signature(&[&*message]);
            message[SIGNATURE_AT..SIGNATURE_AT + SIGNATURE_BYTES].copy_from_slice(&signature);
        }
    }

    /// Whether the signature of a message is right.
    pub(super) fn has_signed(&self, message: &[u8]) -> bool {
        let Some((before, rest)) = message.split_at_checked(SIGNATURE_AT) else { return false };
        let Some((signature, behind)) = rest.split_at_checked(SIGNATURE_BYTES) else { return false };
        let expected = self.signature(&[before, &[0; SIGNATURE_BYTES], behind]);
        verify_slices_are_equal(&expected, signature).is_ok()
    }

    fn signature(&self, parts: &[&[u8]]) -> [u8; SIGNATURE_BYTES] {
        match self.mac {
            Mac::HmacSha256 => {
                let mut context = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, &self.key));
                parts.iter().for_each(|part| context.update(part));
                first_16(context.sign().as_ref())
            }
            Mac::AesCmac => {
                let key = cmac::Key::new(cmac::AES_128, &self.key).expect("16 bytes are a key of AES-128");
                let mut context = cmac::Context::with_key(&key);
                for part in parts {
                    context.update(part).expect("AES-CMAC takes messages of any length");
                }
                first_16(context.sign().expect("a context that took everything signs").as_ref())
            }
        }
    }
}

/// NIST SP 800-108 in counter mode with HMAC-SHA256, for 128 bits; both numbers have 32 bits (MS-SMB2, 3.1.4.2).
fn derived(key: &[u8; 16], label: &[u8], context: &[u8]) -> [u8; 16] {
    let mut mac = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, key));
    for part in [&1_u32.to_be_bytes()[..], label, &[0], context, &128_u32.to_be_bytes()] {
        mac.update(part);
    }
    first_16(mac.sign().as_ref())
}

fn first_16(tag: &[u8]) -> [u8; 16] {
    *tag.first_chunk().expect("both kinds of signatures have 16 bytes or more")
}

/// RC4, in which a client sends the key that it has chosen, and NTLM signs (MS-NLMP, 3.4.4.2). It protects nothing that
/// is ours.
pub(super) fn rc4(key: &[u8], message: &[u8]) -> Vec<u8> {
    let mut state: [u8; 256] = std::array::from_fn(|index| index as u8);
    let mut other = 0_u8;
    for index in 0..state.len() {
        let of_key = key.get(index % key.len().max(1)).copied().unwrap_or(0);
        other = other.wrapping_add(state[index]).wrapping_add(of_key);
        state.swap(index, other.into());
    }
    let (mut one, mut other) = (0_u8, 0_u8);
    let stream = std::iter::repeat_with(|| {
        one = one.wrapping_add(1);
        other = other.wrapping_add(state[usize::from(one)]);
        state.swap(one.into(), other.into());
        state[usize::from(state[usize::from(one)].wrapping_add(state[usize::from(other)]))]
    });
    message.iter().zip(stream).map(|(byte, mask)| byte ^ mask).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(text: &str) -> [u8; 16] {
        hex::decode(text).unwrap().try_into().unwrap()
    }

    /// The example that Microsoft gives of SMB 3.0 (2012, "SMB 2 and SMB 3 security in Windows 10: the anatomy of signing
    /// and cryptographic keys").
    #[test]
    fn the_key_of_smb_3_0_is_the_published_one() {
        let session = key("7CD451825D0450D235424E44BA6E78CC");
        assert_eq!(derived(&session, b"SMB2AESCMAC\0", b"SmbSign\0"), key("0B7E9C5CAC36C0F6EA9AB275298CEDCE"));
    }

    /// RFC 6229 has the beginning of the stream for this key.
    #[test]
    fn rc4_is_the_documented_one() {
        assert_eq!(rc4(&[1, 2, 3, 4, 5], &[0; 4]), [0xB2, 0x39, 0x63, 0x05]);
        assert_eq!(rc4(&[], b"").len(), 0);
    }

    #[test]
    fn what_was_signed_is_known_and_nothing_else_is() {
        for dialect in [Dialect::V202, Dialect::V210, Dialect::V300, Dialect::V302, Dialect::V311] {
            let signer = Signer::new(dialect, &SessionKey([7; 16]), &Preauth::default());
            let mut message = vec![9; 100];
            signer.sign(&mut message);
            assert!(signer.has_signed(&message), "{dialect:?}");
            for at in [0, SIGNATURE_AT, 99] {
                let mut other = message.clone();
                other[at] ^= 1;
                assert!(!signer.has_signed(&other), "{dialect:?} {at}");
            }
            assert!(!signer.has_signed(&message[..60]), "cut in its signature");
        }
    }
}
