//! Logins by digest (RFC 2617, 3.2, which RFC 3261, 22 takes over).

use md5::{Digest, Md5};

/// Bytes of a field that are looked at.
const FIELD_BYTES_MAX: usize = 1024;

/// What a client says to prove that it knows a password.
#[derive(Debug)]
pub(super) struct Credentials<'a> {
    pub(super) user: &'a [u8],
    pub(super) nonce: &'a [u8],
    realm: &'a [u8],
    uri: &'a [u8],
    response: &'a [u8],
    /// With `qop`: the count and the client's nonce.
    protection: Option<[&'a [u8]; 3]>,
}

impl<'a> Credentials<'a> {
    /// Reads a value of `Authorization`; none when it is of another kind or has not all that is needed.
    pub(super) fn parse(value: &'a [u8]) -> Option<Self> {
        let value = &value[..value.len().min(FIELD_BYTES_MAX)];
        let (scheme, rest) = value.split_at_checked(7)?;
        if !scheme.eq_ignore_ascii_case(b"digest ") {
            return None;
        }
        let parameter = |name: &str| Parameters { rest }.find(|(its, _)| its.eq_ignore_ascii_case(name.as_bytes()));
        let value = |name: &str| parameter(name).map(|(_, value)| value);
        let protection = match value("qop") {
            Some(qop) => Some([value("nc")?, value("cnonce")?, qop]),
            None => None,
        };
        Some(Self {
            user: value("username")?,
            nonce: value("nonce")?,
            realm: value("realm")?,
            uri: value("uri")?,
            response: value("response")?,
            protection,
        })
    }

    /// Whether they are what a client says who knows `password`.
    pub(super) fn proves(&self, password: &[u8], method: &[u8]) -> bool {
        let secret = hashed(&[self.user, b":", self.realm, b":", password]);
        let request = hashed(&[method, b":", self.uri]);
        let expected = match self.protection {
            Some([count, client_nonce, qop]) => {
                let protection = [count, b":", client_nonce, b":", qop].concat();
                hashed(&[secret.as_bytes(), b":", self.nonce, b":", &protection, b":", request.as_bytes()])
            }
            None => hashed(&[secret.as_bytes(), b":", self.nonce, b":", request.as_bytes()]),
        };
        self.response.eq_ignore_ascii_case(expected.as_bytes())
    }
}

fn hashed(parts: &[&[u8]]) -> String {
    let mut md5 = Md5::new();
    for part in parts {
        md5.update(part);
    }
    hex::encode(md5.finalize())
}

/// `name=value` and `name="value"`, with commas between them.
struct Parameters<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for Parameters<'a> {
    type Item = (&'a [u8], &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let rest = self.rest.trim_ascii_start();
        let equals = rest.iter().position(|byte| *byte == b'=')?;
        let (name, behind) = (rest[..equals].trim_ascii(), rest[equals + 1..].trim_ascii_start());
        let (value, behind) = match behind.strip_prefix(b"\"") {
            Some(quoted) => {
                let end = quoted.iter().position(|byte| *byte == b'"').unwrap_or(quoted.len());
                (&quoted[..end], &quoted[end..])
            }
            None => {
                let end = behind.iter().position(|byte| *byte == b',').unwrap_or(behind.len());
                (behind[..end].trim_ascii(), &behind[end..])
            }
        };
        let comma = behind.iter().position(|byte| *byte == b',').map_or(behind.len(), |comma| comma + 1);
        self.rest = &behind[comma..];
        Some((name, value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_of_the_specification() {
        // RFC 2617, 3.5.
        let value = b"Digest username=\"Mufasa\", realm=\"testrealm@host.com\", \
            nonce=\"dcd98b7102dd2f0e8b11d0f600bfb0c093\", uri=\"/dir/index.html\", qop=auth, nc=00000001, \
            cnonce=\"0a4f113b\", response=\"6629fae49393a05397450978507c4ef1\", opaque=\"5ccc069c403ebaf9f0171e9517f40e41\"";
        let credentials = Credentials::parse(value).unwrap();
        assert_eq!(credentials.user, b"Mufasa");
        assert!(credentials.proves(b"Circle Of Life", b"GET"));
        assert!(!credentials.proves(b"Circle of Life", b"GET"));
        assert!(!credentials.proves(b"Circle Of Life", b"PUT"));
    }

    #[test]
    fn what_is_missing_proves_nothing() {
        for value in [&b""[..], b"Digest", b"Basic YTpi", b"Digest username=\"a\"", b"digest =,=,\"", b"Digest a=\"b"] {
            assert!(Credentials::parse(value).is_none(), "{value:?}");
        }
    }
}
