//! What the host keys of a persona are made of, for each kind.

use std::io;

use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
use aws_lc_rs::rand;
use aws_lc_rs::rsa::{KeyPair, KeySize};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use russh::keys::ssh_key::private::{Ed25519Keypair, KeypairData};
use russh::keys::{PrivateKey, decode_secret_key};

use crate::host_keys::{HostKeyError, HostKeys};

/// Which kind of key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum KeyKind {
    /// Ed25519 (RFC 8709): by far the cheapest.
    Ed25519,
    /// RSA with 2048 bits (RFC 4253, RFC 8332): the only one that old clients know.
    Rsa,
}

/// A key of a persona, the same each time.
pub(crate) fn host_key(keys: &HostKeys, persona: &str, kind: KeyKind) -> Result<PrivateKey, HostKeyError> {
    match kind {
        KeyKind::Ed25519 => {
            let purpose = "ssh_ed25519";
            let seed = keys.read_or_make(persona, purpose, new_seed)?;
            let seed = seed.try_into().map_err(|_| keys.damaged(persona, purpose, "it does not have 32 bytes"))?;
            let pair = KeypairData::Ed25519(Ed25519Keypair::from_seed(&seed));
            Ok(PrivateKey::new(pair, "").expect("a pair that was just made is whole"))
        }
        KeyKind::Rsa => {
            let purpose = "ssh_rsa";
            let pem = keys.read_or_make(persona, purpose, new_rsa)?;
            let pem = String::from_utf8(pem).map_err(|error| keys.damaged(persona, purpose, error))?;
            decode_secret_key(&pem, None).map_err(|error| keys.damaged(persona, purpose, error))
        }
    }
}

fn new_seed() -> io::Result<Vec<u8>> {
    let mut seed = [0; 32];
    rand::fill(&mut seed).map_err(|_| io::Error::other("the system has no randomness"))?;
    Ok(seed.to_vec())
}

fn new_rsa() -> io::Result<Vec<u8>> {
    let failed = |_| io::Error::other("cannot make an RSA key");
    let pair = KeyPair::generate(KeySize::Rsa2048).map_err(failed)?;
    let der = AsDer::<Pkcs8V1Der<'_>>::as_der(&pair).map_err(failed)?;
    let mut pem = "-----BEGIN PRIVATE KEY-----\n".to_owned();
    for line in STANDARD.encode(der.as_ref()).as_bytes().chunks(64) {
        pem.push_str(&String::from_utf8_lossy(line));
        pem.push('\n');
    }
    pem.push_str("-----END PRIVATE KEY-----\n");
    Ok(pem.into_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_stay_the_same() {
        let folder = tempfile::tempdir().unwrap();
        let print = |persona: &str, kind| {
            let keys = HostKeys::new(Some(folder.path().to_owned()));
            host_key(&keys, persona, kind).unwrap().public_key().to_openssh().unwrap()
        };
        for kind in [KeyKind::Ed25519, KeyKind::Rsa] {
            assert_eq!(print("router", kind), print("router", kind));
            assert_ne!(print("router", kind), print("../nas", kind));
        }
        std::fs::write(folder.path().join("router.ssh_ed25519.key"), "short").unwrap();
        let keys = HostKeys::new(Some(folder.path().to_owned()));
        let error = host_key(&keys, "router", KeyKind::Ed25519).unwrap_err();
        assert!(error.to_string().contains("router.ssh_ed25519.key"), "{error}");
    }
}
