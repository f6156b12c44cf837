//! What asks for a login in the headers of HTTP and RTSP: Basic (RFC 7617) and Digest (RFC 7616).
//!
//! The decoders read and record the logins; here it is only decided whether they are right.

use aws_lc_rs::{digest, hmac, rand};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use md5::{Digest as _, Md5};
use serde::Deserialize;

use crate::persona::{Accounts, Device, PersonaError};

/// How long a challenge of Digest may be answered, in seconds. Small servers remember theirs for minutes.
const NONCE_AGE_S_MAX: i64 = 300;

/// Bytes of a nonce's proof of where it comes from, as digits twice as many.
const NONCE_TAG_BYTES: usize = 12;

/// Asks for a login.
#[derive(Debug, Clone)]
pub(crate) struct Gate {
    realm: String,
    scheme: Scheme,
    accounts: Accounts,
}

#[derive(Debug, Clone)]
enum Scheme {
    Basic,
    /// Nonces say when they were made, under this key, so that none has to be remembered.
    Digest {
        algorithm: Algorithm,
        key: Box<hmac::Key>,
        has_qop: bool,
    },
}

#[derive(Debug, Clone, Copy)]
enum Algorithm {
    Md5,
    Sha256,
}

/// How a login is asked for.
#[derive(Debug, Default, Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum GateText {
    #[default]
    Basic,
    Digest,
    DigestSha256,
}

/// What a client is told that has not logged in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// It has said nothing, or something wrong.
    Wrong,
    /// It answered a challenge that was made too long ago, or by somebody else.
    Stale,
}

impl Gate {
    /// Asks as web servers do.
    pub(crate) fn of_web(realm: String, text: GateText, at: &str, device: &Device<'_>) -> Result<Self, PersonaError> {
        Self::check(realm, text, true, at, device)
    }

    /// Asks as cameras do over RTSP: in the older form, without `qop` (RFC 7616, 3.4.1 calls it that of RFC 2069).
    pub(crate) fn of_camera(
        realm: String,
        text: GateText,
        at: &str,
        device: &Device<'_>,
    ) -> Result<Self, PersonaError> {
        Self::check(realm, text, false, at, device)
    }

    fn check(
        realm: String,
        text: GateText,
        has_qop: bool,
        at: &str,
        device: &Device<'_>,
    ) -> Result<Self, PersonaError> {
        if realm.bytes().any(|byte| !(b' '..=b'~').contains(&byte) || matches!(byte, b'"' | b'\\')) {
            return Err(device.wrong(format!("{at}.realm"), "must be printable and without quotes"));
        }
        let digest = |algorithm| {
            let mut key = [0; 32];
            rand::fill(&mut key)
                .map_err(|_| device.wrong(format!("{at}.auth"), "needs random numbers, and has none"))?;
            Ok(Scheme::Digest { algorithm, key: Box::new(hmac::Key::new(hmac::HMAC_SHA256, &key)), has_qop })
        };
        let scheme = match text {
            GateText::Basic => Scheme::Basic,
            GateText::Digest => digest(Algorithm::Md5)?,
            GateText::DigestSha256 => digest(Algorithm::Sha256)?,
        };
        Ok(Self { realm, scheme, accounts: device.accounts.clone() })
    }

    /// The same, asking in the clear.
    #[cfg(test)]
    pub(crate) fn as_basic(&self) -> Self {
        Self { scheme: Scheme::Basic, ..self.clone() }
    }

    /// Who is let in.
    pub(crate) fn accounts(&self) -> &Accounts {
        &self.accounts
    }

    /// Looks at the value of `Authorization` in a request with `method`; `now` is in microseconds since 1970.
    pub(crate) fn admit(&self, method: &[u8], authorization: Option<&[u8]>, now: i64) -> Result<(), Refusal> {
        let (scheme, value) = authorization.and_then(split_scheme).ok_or(Refusal::Wrong)?;
        match &self.scheme {
            Scheme::Basic if scheme.eq_ignore_ascii_case(b"basic") => self.admit_basic(value),
            Scheme::Digest { algorithm, key, .. } if scheme.eq_ignore_ascii_case(b"digest") => {
                self.admit_digest(*algorithm, key, method, value, now)
            }
            Scheme::Basic | Scheme::Digest { .. } => Err(Refusal::Wrong),
        }
    }

    fn admit_basic(&self, value: &[u8]) -> Result<(), Refusal> {
        let pair = STANDARD.decode(value).map_err(|_| Refusal::Wrong)?;
        let colon = pair.iter().position(|byte| *byte == b':').ok_or(Refusal::Wrong)?;
        if self.accounts.has(&pair[..colon], &pair[colon + 1..]) { Ok(()) } else { Err(Refusal::Wrong) }
    }

    /// The calculation of RFC 7616, 3.4.
    fn admit_digest(
        &self,
        algorithm: Algorithm,
        key: &hmac::Key,
        method: &[u8],
        value: &[u8],
        now: i64,
    ) -> Result<(), Refusal> {
        let said = Said::read(value);
        let made_s = said.nonce.get(..8).and_then(seconds);
        let is_ours = made_s.is_some_and(|made_s| nonce(key, made_s).as_bytes() == said.nonce);
        let is_young = made_s.is_some_and(|made_s| now / 1_000_000 - made_s <= NONCE_AGE_S_MAX);
        let h = |parts: &[&[u8]]| algorithm.hex(&parts.join(&b':'));
        let ha2 = h(&[method, said.uri]);
        let is_right = self.accounts.passwords_of(said.user).any(|password| {
            let ha1 = h(&[said.user, self.realm.as_bytes(), password]);
            let expected = if said.qop.is_empty() {
                h(&[ha1.as_bytes(), said.nonce, ha2.as_bytes()])
            } else {
                h(&[ha1.as_bytes(), said.nonce, said.count, said.client_nonce, said.qop, ha2.as_bytes()])
            };
            said.response.eq_ignore_ascii_case(expected.as_bytes())
        });
        match (is_right, is_ours && is_young) {
            (true, true) => Ok(()),
            (true, false) => Err(Refusal::Stale),
            (false, _) => Err(Refusal::Wrong),
        }
    }

    /// The value of `WWW-Authenticate`.
    pub(crate) fn challenge(&self, refusal: Refusal, now: i64) -> String {
        let realm = &self.realm;
        match &self.scheme {
            Scheme::Basic => format!("Basic realm=\"{realm}\""),
            Scheme::Digest { algorithm, key, has_qop } => {
                let nonce = nonce(key, now / 1_000_000);
                let qop = if *has_qop { ", qop=\"auth\"" } else { "" };
                let algorithm = match (algorithm, has_qop) {
                    (Algorithm::Sha256, _) => ", algorithm=SHA-256",
                    (Algorithm::Md5, true) => ", algorithm=MD5",
                    (Algorithm::Md5, false) => "",
                };
                let stale = match refusal {
                    Refusal::Wrong => "",
                    Refusal::Stale => ", stale=true",
                };
                format!("Digest realm=\"{realm}\", nonce=\"{nonce}\"{qop}{algorithm}{stale}")
            }
        }
    }
}

impl Algorithm {
    fn hex(self, bytes: &[u8]) -> String {
        match self {
            Self::Md5 => hex::encode(Md5::digest(bytes)),
            Self::Sha256 => hex::encode(digest::digest(&digest::SHA256, bytes)),
        }
    }
}

/// When it was made, in eight digits, and the proof that it was made here.
fn nonce(key: &hmac::Key, made_s: i64) -> String {
    let made = format!("{:08x}", u32::try_from(made_s).unwrap_or_default());
    let tag = hmac::sign(key, made.as_bytes());
    made + &hex::encode(&tag.as_ref()[..NONCE_TAG_BYTES])
}

fn seconds(digits: &[u8]) -> Option<i64> {
    u32::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok().map(i64::from)
}

fn split_scheme(authorization: &[u8]) -> Option<(&[u8], &[u8])> {
    let authorization = authorization.trim_ascii();
    let space = authorization.iter().position(u8::is_ascii_whitespace)?;
    Some((&authorization[..space], authorization[space..].trim_ascii()))
}

/// What a client says in Digest; empty where it says nothing.
#[derive(Debug, Default, PartialEq, Eq)]
struct Said<'a> {
    user: &'a [u8],
    nonce: &'a [u8],
    uri: &'a [u8],
    response: &'a [u8],
    qop: &'a [u8],
    count: &'a [u8],
    client_nonce: &'a [u8],
}

impl<'a> Said<'a> {
    /// Reads `name=value` and `name="value"`, separated by commas. Nobody has a `\"` in a name.
    fn read(mut rest: &'a [u8]) -> Self {
        let mut said = Self::default();
        while let Some(equals) = rest.iter().position(|byte| *byte == b'=') {
            let name = rest[..equals].trim_ascii();
            rest = rest[equals + 1..].trim_ascii_start();
            let (value, after) = match rest.strip_prefix(b"\"") {
                Some(quoted) => split_at(quoted, b'"'),
                None => split_at(rest, b','),
            };
            rest = after.trim_ascii_start();
            rest = rest.strip_prefix(b",").unwrap_or(rest);
            let field = match name.to_ascii_lowercase().as_slice() {
                b"username" => &mut said.user,
                b"nonce" => &mut said.nonce,
                b"uri" => &mut said.uri,
                b"response" => &mut said.response,
                b"qop" => &mut said.qop,
                b"nc" => &mut said.count,
                b"cnonce" => &mut said.client_nonce,
                _ => continue,
            };
            *field = value.trim_ascii();
        }
        said
    }
}

/// What is before the first `end`, and what is behind it.
fn split_at(bytes: &[u8], end: u8) -> (&[u8], &[u8]) {
    match bytes.iter().position(|byte| *byte == end) {
        Some(at) => (&bytes[..at], &bytes[at + 1..]),
        None => (bytes, b""),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NOW: i64 = 1_700_000_000_000_000;

    fn gate(scheme: Scheme) -> Gate {
        let accounts = Accounts::of(&[("Mufasa", "Circle of Life"), ("root", ""), ("root", "a:b")]);
        Gate { realm: "http-auth@example.org".into(), scheme, accounts }
    }

    fn digest(algorithm: Algorithm) -> Gate {
        gate(Scheme::Digest { algorithm, key: Box::new(hmac::Key::new(hmac::HMAC_SHA256, &[1; 32])), has_qop: true })
    }

    #[test]
    fn basic() {
        let check = |authorization: Option<&str>, expected| {
            let authorization = authorization.map(str::as_bytes);
            assert_eq!(gate(Scheme::Basic).admit(b"GET", authorization, NOW), expected, "{authorization:?}");
        };
        let with = |pair: &str| format!("basic {}", STANDARD.encode(pair));
        check(None, Err(Refusal::Wrong));
        check(Some(&with("Mufasa:Circle of Life")), Ok(()));
        check(Some(&with("root:a:b")), Ok(()));
        check(Some(&with("root:")), Ok(()));
        check(Some(&with("root:b")), Err(Refusal::Wrong));
        check(Some("Basic !"), Err(Refusal::Wrong));
        check(Some("Basic"), Err(Refusal::Wrong));
        check(Some("Digest username=\"root\""), Err(Refusal::Wrong));
    }

    /// The example of RFC 7616, 3.9.1, whose nonce is not ours.
    #[test]
    fn the_calculation_is_that_of_the_rfc() {
        let said = |algorithm: &str, response: &str| {
            format!(
                "Digest username=\"Mufasa\", realm=\"http-auth@example.org\", uri=\"/dir/index.html\", \
                 algorithm={algorithm}, nonce=\"7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v\", nc=00000001, \
                 cnonce=\"f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ\", qop=auth, response=\"{response}\", \
                 opaque=\"FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS\""
            )
        };
        let check = |algorithm, said: String, expected| {
            assert_eq!(digest(algorithm).admit(b"GET", Some(said.as_bytes()), NOW), expected, "{said}");
        };
        check(Algorithm::Md5, said("MD5", "8ca523f5e9506fed4657c9700eebdbec"), Err(Refusal::Stale));
        check(Algorithm::Md5, said("MD5", "8ca523f5e9506fed4657c9700eebdbed"), Err(Refusal::Wrong));
        let sha256 = "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1";
        check(Algorithm::Sha256, said("SHA-256", sha256), Err(Refusal::Stale));
    }

    #[test]
    fn challenges_are_answered_for_five_minutes() {
        let gate = digest(Algorithm::Md5);
        let challenge = gate.challenge(Refusal::Wrong, NOW);
        let nonce = challenge.split("nonce=\"").nth(1).unwrap().split('"').next().unwrap();
        assert_eq!(
            challenge,
            format!("Digest realm=\"http-auth@example.org\", nonce=\"{nonce}\", qop=\"auth\", algorithm=MD5")
        );
        let h = |text: String| Algorithm::Md5.hex(text.as_bytes());
        let (ha1, ha2) = (h("root:http-auth@example.org:a:b".into()), h("GET:/".into()));
        let response = h(format!("{ha1}:{nonce}:{ha2}"));
        let said = format!("Digest username=\"root\",nonce=\"{nonce}\",uri=\"/\",response={response}");
        assert_eq!(gate.admit(b"GET", Some(said.as_bytes()), NOW + 300_000_000), Ok(()));
        assert_eq!(gate.admit(b"GET", Some(said.as_bytes()), NOW + 301_000_000), Err(Refusal::Stale));
        assert_eq!(gate.admit(b"PUT", Some(said.as_bytes()), NOW), Err(Refusal::Wrong));
        assert!(gate.challenge(Refusal::Stale, NOW).ends_with(", stale=true"));
    }

    proptest! {
        #[test]
        fn whatever_is_said_is_survived(said in "[Dd]igest [a-z=\", ]{0,60}|.{0,60}") {
            for gate in [gate(Scheme::Basic), digest(Algorithm::Sha256)] {
                prop_assert!(gate.admit(b"GET", Some(said.as_bytes()), NOW).is_err());
            }
        }
    }
}
