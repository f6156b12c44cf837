//! Logins in header fields.

use memchr::memchr;

use super::Parameters;
use crate::{Fact, Login, Observer, Place, Secret};

/// What an `Authorization` field says, in a form that can be kept until the answer is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Credentials {
    /// The user, then the secret.
    bytes: Vec<u8>,
    user_bytes: usize,
    is_digest: bool,
}

/// The bytes of a field with credentials that are looked at. Names and passwords of devices are far shorter; NTLM and
/// tokens, which are longer, are not read.
const CREDENTIALS_BYTES_MAX: usize = 1024;

impl Credentials {
    /// Reads a value of `Authorization` or `Proxy-Authorization`: the schemes Basic (RFC 7617) and Digest (RFC 7616).
    pub(crate) fn parse(value: &[u8]) -> Option<Self> {
        let value = &value[..value.len().min(CREDENTIALS_BYTES_MAX)];
        let scheme_end = value.iter().position(|byte| matches!(byte, b' ' | b'\t'))?;
        let (scheme, rest) = value.split_at(scheme_end);
        let rest = rest.trim_ascii();
        if scheme.eq_ignore_ascii_case(b"basic") {
            let mut bytes = from_base64(rest);
            let user_bytes = match memchr(b':', &bytes) {
                Some(colon) => {
                    bytes.remove(colon);
                    colon
                }
                None => bytes.len(),
            };
            Some(Self { bytes, user_bytes, is_digest: false })
        } else if scheme.eq_ignore_ascii_case(b"digest") {
            let value_of = |name: &str| {
                let mut parameters = Parameters { rest, separator: b',' };
                parameters.find(|(known, _)| known.eq_ignore_ascii_case(name.as_bytes())).map(|(_, value)| value)
            };
            let user = value_of("username").unwrap_or_default();
            let response = value_of("response").unwrap_or_default();
            Some(Self { bytes: [user, response].concat(), user_bytes: user.len(), is_digest: true })
        } else {
            None
        }
    }

    /// How many bytes are kept.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes.len()
    }

    fn user(&self) -> &[u8] {
        &self.bytes[..self.user_bytes]
    }

    /// The login that they are.
    pub(crate) fn login(&self, accepted: Option<bool>) -> Login<'_> {
        let (user, secret) = self.bytes.split_at(self.user_bytes);
        let secret = if self.is_digest {
            Secret::Response { mechanism: "digest", bytes: secret }
        } else {
            Secret::Password(secret)
        };
        Login { user, secret, accepted }
    }
}

/// The last login that was told in a flow, and whether it was accepted: clients repeat theirs with each request.
#[derive(Debug, Default)]
pub(crate) struct LastLogin(Option<(Credentials, Option<bool>)>);

impl LastLogin {
    /// Tells a login, unless it is the one that was told last, with the same result.
    pub(crate) fn tell(
        &mut self,
        credentials: Credentials,
        place: Place,
        accepted: Option<bool>,
        observer: &mut dyn Observer,
    ) {
        let is_repeated = self.0.as_ref().is_some_and(|(last, last_accepted)| {
            // The answers to challenges differ from request to request within one accepted login.
            let is_same = *last == credentials
                || (accepted == Some(true)
                    && last.is_digest
                    && credentials.is_digest
                    && last.user() == credentials.user());
            is_same && *last_accepted == accepted
        });
        if !is_repeated {
            observer.fact(place, Fact::Login(credentials.login(accepted)));
            self.0 = Some((credentials, accepted));
        }
    }
}

/// What base64 stands for (RFC 4648, 4), as far as it is base64.
fn from_base64(text: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len() / 4 * 3 + 3);
    let (mut bits, mut bit_count) = (0u32, 0u32);
    for character in text {
        let value = match character {
            b'A'..=b'Z' => character - b'A',
            b'a'..=b'z' => character - b'a' + 26,
            b'0'..=b'9' => character - b'0' + 52,
            b'+' | b'-' => 62,
            b'/' | b'_' => 63,
            _ => break,
        };
        bits = (bits << 6) | u32::from(value);
        bit_count += 6;
        if bit_count >= 8 {
            bit_count -= 8;
            bytes.push((bits >> bit_count) as u8);
            bits &= (1 << bit_count) - 1;
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_are_basic_or_digest() {
        let basic = Credentials::parse(b"basic cm9vdDphOmI=").unwrap();
        assert_eq!(basic.login(None).user, b"root");
        assert_eq!(basic.login(None).secret, Secret::Password(b"a:b"));
        let digest = Credentials::parse(b"Digest username=\"admin\", realm=\"x, y\", response=\"0a1b\"").unwrap();
        assert_eq!(digest.login(Some(true)).user, b"admin");
        assert_eq!(digest.login(None).secret, Secret::Response { mechanism: "digest", bytes: b"0a1b" });
        assert_eq!(Credentials::parse(b"Bearer abc"), None);
    }
}
