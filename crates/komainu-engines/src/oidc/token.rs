//! Tokens: which keys a provider has, and whether one of them signed (RFC 7515, RFC 7517).

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::jwk::{Jwk, KeyOperations, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey, TokenData, Validation, decode, decode_header};
use komainu_ports::TokenFault;
use serde::Deserialize;

use super::claims::Claims;

/// Bytes of a token; one with a thousand groups has some 40 KB.
const TOKEN_BYTES_MAX: usize = 128 << 10;

/// Keys of one provider that are kept; they have a handful, and old ones for a while.
const KEYS_MAX: usize = 64;

/// What a token may be signed with: what only the provider can have done. Neither `none`, nor a secret that both have.
const ALGORITHMS: [Algorithm; 9] = [
    Algorithm::RS256,
    Algorithm::RS384,
    Algorithm::RS512,
    Algorithm::PS256,
    Algorithm::PS384,
    Algorithm::PS512,
    Algorithm::ES256,
    Algorithm::ES384,
    Algorithm::EdDSA,
];

/// The keys of a provider that tokens can be signed with.
pub(super) struct Keys(Vec<Jwk>);

#[derive(Deserialize)]
struct Set {
    keys: Vec<serde_json::Value>,
}

impl Keys {
    /// Reads a set. Keys of kinds that are not known are left out, as are those for something else.
    pub(super) fn read(json: &[u8]) -> Result<Self, serde_json::Error> {
        let set: Set = serde_json::from_slice(json)?;
        let keys = set.keys.into_iter().filter_map(|key| serde_json::from_value(key).ok());
        Ok(Self(keys.filter(signs).take(KEYS_MAX).collect()))
    }

    /// What a token claims, if one of these keys signed it.
    pub(super) fn verified(&self, token: &str) -> Result<Claims, TokenFault> {
        if token.len() > TOKEN_BYTES_MAX {
            return Err(TokenFault::Malformed);
        }
        let header = decode_header(token).map_err(|_| fault_of_header(token))?;
        if !ALGORITHMS.contains(&header.alg) {
            return Err(TokenFault::Algorithm);
        }
        let is_it = |key: &&Jwk| match &header.kid {
            Some(id) => key.common.key_id.as_ref() == Some(id),
            None => true,
        };
        let keys = self.0.iter().filter(is_it).filter_map(|key| DecodingKey::from_jwk(key).ok());
        let mut fitting = keys.filter(|key| key.family() == header.alg.family()).peekable();
        if fitting.peek().is_none() {
            return Err(TokenFault::Key);
        }
        // What it claims is checked by us, at the time that we are given.
        let mut validation = Validation::new(header.alg);
        validation.required_spec_claims.clear();
        validation.validate_exp = false;
        validation.validate_aud = false;
        let claims = fitting.find_map(|key| {
            let decoded: TokenData<serde_json::Map<String, serde_json::Value>> =
                decode(token, &key, &validation).ok()?;
            Some(Claims::from(decoded.claims))
        });
        // A key without a name may be one that is new: whoever asks looks for new keys then.
        claims.ok_or(if header.kid.is_some() { TokenFault::Signature } else { TokenFault::Key })
    }
}

/// Whether a key is for signatures.
fn signs(key: &Jwk) -> bool {
    let common = &key.common;
    let is_for_signatures = common.public_key_use.as_ref().is_none_or(|of| *of == PublicKeyUse::Signature);
    let operations = common.key_operations.as_ref();
    is_for_signatures && operations.is_none_or(|operations| operations.contains(&KeyOperations::Verify))
}

/// Why a header cannot be read: an algorithm that the library does not know, `none` among them, or no header.
fn fault_of_header(token: &str) -> TokenFault {
    #[derive(Deserialize)]
    struct Header {
        #[serde(rename = "alg")]
        _algorithm: String,
    }
    let header = token.split('.').next().and_then(|part| URL_SAFE_NO_PAD.decode(part).ok());
    let is_header = header.is_some_and(|json| serde_json::from_slice::<Header>(&json).is_ok());
    if is_header && token.split('.').count() == 3 { TokenFault::Algorithm } else { TokenFault::Malformed }
}
