//! One-time codes by time (RFC 6238 over RFC 4226): SHA-1, 30 seconds, six digits, as every authenticator has them.

use aws_lc_rs::{constant_time, hmac};
use komainu_model::{OperatorName, Timestamp};
use komainu_ports::{TotpSecret, TotpStep};

/// Seconds in which one code counts (RFC 6238 section 4.1: X).
const STEP_S: i64 = 30;

/// Steps before and after the present one whose codes are taken, for clocks that differ and people who type (section 5.2).
const DRIFT_STEPS: u64 = 1;

/// The alphabet of RFC 4648 section 6.
const BASE32: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

/// Letters of a secret: 160 bits, five in each.
const BASE32_LETTERS: usize = 32;

/// The step whose code this is, near `now`. Whoever uses it must not have used a code of it or of a later one before.
pub(crate) fn step_of(secret: &TotpSecret, typed: &str, now: Timestamp) -> Option<TotpStep> {
    let typed: String = typed.chars().filter(|character| !character.is_whitespace()).collect();
    let present = u64::try_from(now.unix_seconds().div_euclid(STEP_S)).unwrap_or(0);
    let near = present.saturating_sub(DRIFT_STEPS)..=present + DRIFT_STEPS;
    let is_code = |step: &u64| {
        let code = code(secret, *step);
        constant_time::verify_slices_are_equal(code.as_bytes(), typed.as_bytes()).is_ok()
    };
    near.into_iter().find(is_code).map(TotpStep)
}

/// Six digits (RFC 4226 section 5.3).
fn code(secret: &TotpSecret, step: u64) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, secret.expose());
    let tag = hmac::sign(&key, &step.to_be_bytes());
    let tag = tag.as_ref();
    let at = usize::from(tag[19] & 0xf);
    let word = u32::from_be_bytes(tag[at..at + 4].try_into().expect("the tag has 20 bytes, and 15 + 4 is less"));
    format!("{:06}", (word & 0x7fff_ffff) % 1_000_000)
}

/// The secret as people type it into an authenticator.
pub(crate) fn base32(secret: &TotpSecret) -> String {
    let bits = secret.expose().iter().flat_map(|byte| (0..8).rev().map(move |bit| byte >> bit & 1));
    let bits: Vec<u8> = bits.collect();
    let letter = |five: &[u8]| char::from(BASE32[five.iter().fold(0, |number, bit| number << 1 | usize::from(*bit))]);
    bits.chunks(5).map(letter).collect()
}

/// Takes a secret from [`base32`].
pub(crate) fn from_base32(text: &str) -> Option<TotpSecret> {
    if text.len() != BASE32_LETTERS {
        return None;
    }
    let mut bits = Vec::new();
    for letter in text.bytes() {
        let number = BASE32.iter().position(|known| *known == letter)?;
        bits.extend((0..5).rev().map(|bit| u8::from(number >> bit & 1 == 1)));
    }
    let bytes: Vec<u8> = bits.chunks(8).map(|eight| eight.iter().fold(0, |byte, bit| byte << 1 | bit)).collect();
    Some(TotpSecret::from_bytes(bytes.try_into().ok()?))
}

/// The secret as authenticators read it from a picture or a link.
pub(crate) fn uri(secret: &TotpSecret, name: &OperatorName) -> String {
    format!("otpauth://totp/Komainu:{name}?secret={}&issuer=Komainu", base32(secret))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret() -> TotpSecret {
        TotpSecret::from_bytes(*b"12345678901234567890")
    }

    /// RFC 6238 appendix B, the column SHA1; its codes have eight digits, of which the last six are ours.
    #[test]
    fn codes_are_those_of_the_rfc() {
        let check = |seconds: i64, expected: &str| {
            assert_eq!(code(&secret(), (seconds / STEP_S) as u64), expected[2..], "at {seconds}");
        };
        check(59, "94287082");
        check(1_111_111_109, "07081804");
        check(1_111_111_111, "14050471");
        check(1_234_567_890, "89005924");
        check(2_000_000_000, "69279037");
        check(20_000_000_000, "65353130");
    }

    #[test]
    fn a_code_counts_near_its_time() {
        let check = |typed: &str, seconds, expected: Option<u64>| {
            let now = Timestamp::from_unix_seconds(seconds);
            assert_eq!(step_of(&secret(), typed, now), expected.map(TotpStep), "{typed:?} at {seconds}");
        };
        check("287082", 59, Some(1));
        check("287 082", 59, Some(1));
        check("287082", 0, Some(1));
        check("287082", 89, Some(1));
        check("287082", 90, None);
        check("287083", 59, None);
        check("", 59, None);
        check("28708", 59, None);
        check("287082", -1_000, Some(1));
    }

    #[test]
    fn the_secret_is_written_for_authenticators() {
        assert_eq!(base32(&secret()), "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ");
        assert_eq!(from_base32(&base32(&secret())), Some(secret()));
        assert_eq!(from_base32("GEZDGNBV"), None);
        assert_eq!(from_base32("GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJ"), None);
        assert_eq!(from_base32("gezdgnbvgy3tqojqgezdgnbvgy3tqojq"), None);
        let name = OperatorName::parse("aiko@example.com").unwrap();
        let expected = "otpauth://totp/Komainu:aiko@example.com?secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ&issuer=Komainu";
        assert_eq!(uri(&secret(), &name), expected);
    }
}
