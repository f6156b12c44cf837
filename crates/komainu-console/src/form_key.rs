//! What shows that a form is ours: a key that is bound to the browser's cookie, and where the browser says it comes from.

use aws_lc_rs::{constant_time, hmac};
use hyper::HeaderMap;
use hyper::header::{HOST, ORIGIN};

/// The field of every form that has the key.
pub(crate) const FIELD: &str = "form_key";

/// A key for forms, made of the secret in a cookie: another site can neither read nor make it, and it tells nothing of the
/// secret to whoever sees the page.
#[derive(Clone)]
pub(crate) struct FormKey(String);

impl FormKey {
    /// The key that belongs to this secret.
    pub(crate) fn of(secret: &str) -> Self {
        let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
        Self(hex::encode(hmac::sign(&key, b"komainu console form")))
    }

    /// For the field.
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether a form brought this key. Takes the same time for each wrong one.
    pub(crate) fn is(&self, brought: &str) -> bool {
        constant_time::verify_slices_are_equal(self.0.as_bytes(), brought.as_bytes()).is_ok()
    }
}

/// Whether the browser says that another site made the form. `Sec-Fetch-Site` says it whatever a proxy does with `Host`; old
/// browsers say `Origin` alone, and other programs nothing: their forms need the key all the same.
pub(crate) fn is_from_elsewhere(headers: &HeaderMap) -> bool {
    let header = |name: &str| headers.get(name).map(|value| value.to_str().unwrap_or("?"));
    if let Some(site) = header("sec-fetch-site") {
        return !matches!(site, "same-origin" | "none");
    }
    let Some(origin) = header(ORIGIN.as_str()) else { return false };
    let origin_host = origin.split_once("://").map(|(_, host)| host);
    origin_host.is_none() || origin_host != header(HOST.as_str())
}

#[cfg(test)]
mod tests {
    use hyper::header::{HeaderName, HeaderValue};

    use super::*;

    #[test]
    fn a_key_belongs_to_one_secret() {
        let key = FormKey::of("a");
        assert!(key.is(FormKey::of("a").as_str()));
        assert!(!key.is(FormKey::of("b").as_str()));
        assert!(!key.is(""));
        assert!(!key.is("é"));
    }

    #[test]
    fn other_sites_are_told_apart() {
        let check = |pairs: &[(&'static str, &'static str)], expected| {
            let pairs = pairs.iter();
            let headers: HeaderMap =
                pairs.map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value))).collect();
            assert_eq!(is_from_elsewhere(&headers), expected, "{headers:?}");
        };
        check(&[("host", "a:1")], false);
        check(&[("host", "a:1"), ("origin", "http://a:1"), ("sec-fetch-site", "same-origin")], false);
        check(&[("host", "b"), ("origin", "https://a:1"), ("sec-fetch-site", "same-origin")], false);
        check(&[("host", "a:1"), ("origin", "https://a:1")], false);
        check(&[("host", "a:1"), ("origin", "http://a:2")], true);
        check(&[("host", "a:1"), ("origin", "null")], true);
        check(&[("host", "a:1"), ("origin", "http://b")], true);
        check(&[("host", "a:1"), ("sec-fetch-site", "cross-site")], true);
        check(&[("host", "a:1"), ("sec-fetch-site", "same-site")], true);
        check(&[("origin", "http://a")], true);
    }
}
