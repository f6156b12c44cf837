//! Browsers in which somebody signed in before: they have a count of wrong attempts of their own, so that strangers who try a
//! name cannot keep its owner out. (OWASP, "Slow down online guessing attacks with device cookies".)
//!
//! The cookie names the operator and a number, and is signed with a secret that the store keeps. It lets nobody in.

use std::time::Duration;

use aws_lc_rs::{constant_time, hmac};
use komainu_model::OperatorName;

/// How long a browser is known. Each signing in begins it anew.
pub(crate) const KNOWN_FOR: Duration = Duration::from_secs(365 * 24 * 3600);

/// Bytes of the cookie: a name of at most 64, a number of 32 digits, a signature of 64.
pub(crate) const COOKIE_BYTES_MAX: usize = 192;

/// Bytes of a number.
const NUMBER_BYTES: usize = 16;

/// A browser that is known: its number, as it stands in the cookie.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Browser(String);

impl Browser {
    /// Its number.
    pub(crate) fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

/// Knows browsers.
pub(crate) struct Browsers {
    key: hmac::Key,
}

impl Browsers {
    /// Knows those that were given cookies with the same secret.
    pub(crate) fn new(secret: [u8; 32]) -> Self {
        Self { key: hmac::Key::new(hmac::HMAC_SHA256, &secret) }
    }

    /// The cookie for a browser in which this operator signed in.
    pub(crate) fn cookie(&self, name: &OperatorName, random: [u8; 32]) -> String {
        let number = hex::encode(&random[..NUMBER_BYTES]);
        let signature = self.signature(name.as_str(), &number);
        format!("{name}:{number}:{signature}")
    }

    /// The browser with this cookie, if this name was signed in there.
    pub(crate) fn known(&self, cookie: &str, name: &str) -> Option<Browser> {
        let (of, rest) = cookie.split_once(':')?;
        let (number, signature) = rest.split_once(':')?;
        let ours = self.signature(of, number);
        let is_ours = constant_time::verify_slices_are_equal(ours.as_bytes(), signature.as_bytes()).is_ok();
        (is_ours && of == name).then(|| Browser(number.to_owned()))
    }

    fn signature(&self, name: &str, number: &str) -> String {
        hex::encode(hmac::sign(&self.key, format!("browser {name} {number}").as_bytes()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_the_browsers_of_a_name() {
        let browsers = Browsers::new([1; 32]);
        let name = OperatorName::parse("aiko@example.com").unwrap();
        let cookie = browsers.cookie(&name, [7; 32]);
        assert!(cookie.len() <= COOKIE_BYTES_MAX);
        let check = |cookie: &str, name: &str, expected: bool| {
            assert_eq!(browsers.known(cookie, name).is_some(), expected, "{cookie} {name}");
        };
        check(&cookie, "aiko@example.com", true);
        check(&cookie, "ken", false);
        check(&cookie.replacen("aiko", "ken", 1), "ken@example.com", false);
        check(&cookie.replacen("07", "08", 1), "aiko@example.com", false);
        check(&cookie[..cookie.len() - 1], "aiko@example.com", false);
        check("", "", false);
        check("::", "", false);
        assert!(Browsers::new([2; 32]).known(&cookie, "aiko@example.com").is_none());
    }
}
