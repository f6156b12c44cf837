//! Cookies: reading them, and what each of ours is set with.

use std::time::Duration;

use crate::CookieScope;

/// Keeps the token of a session.
pub(crate) const SESSION: &str = "komainu_session";

/// Keeps what forms are bound to while nobody is signed in.
pub(crate) const VISIT: &str = "komainu_visit";

/// Keeps what binds an answer of the OpenID provider to the browser that asked.
pub(crate) const FLOW: &str = "komainu_arrival";

/// Keeps that somebody signed in with this browser before.
pub(crate) const BROWSER: &str = "komainu_browser";

/// Keeps the choice between dark and light.
pub(crate) const THEME: &str = "komainu_theme";

/// Bytes of a value that is looked at: ours have 64.
const VALUE_BYTES_MAX: usize = 128;

/// The value of a cookie in the header `Cookie`, if it can be one of ours.
pub(crate) fn find<'a>(header: &'a str, name: &str) -> Option<&'a str> {
    find_within(header, name, VALUE_BYTES_MAX)
}

/// The same for a cookie with other values than secrets.
pub(crate) fn find_within<'a>(header: &'a str, name: &str, bytes_max: usize) -> Option<&'a str> {
    let values = header.split(';').filter_map(|pair| pair.trim().split_once('='));
    let value = values.into_iter().find(|(of, _)| *of == name)?.1;
    (value.len() <= bytes_max).then_some(value)
}

/// The header `Set-Cookie` that makes a browser keep `value`, which is ASCII without separators. No script can read it.
/// `SameSite=Lax`: a link in a mail leads in, a form of another site does not.
pub(crate) fn keep(name: &str, value: &str, age: Duration, scope: CookieScope) -> String {
    let secure = match scope {
        CookieScope::Any => "",
        CookieScope::Tls => "; Secure",
    };
    format!("{name}={value}; Path=/; Max-Age={}; HttpOnly; SameSite=Lax{secure}", age.as_secs())
}

/// The header that makes a browser forget.
pub(crate) fn forget(name: &str, scope: CookieScope) -> String {
    keep(name, "", Duration::ZERO, scope)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_its_own_among_others() {
        let check = |header: &str, expected| assert_eq!(find(header, SESSION), expected, "{header:?}");
        check("komainu_session=ab12", Some("ab12"));
        check("a=b; komainu_session=ab12; c=d", Some("ab12"));
        check("xkomainu_session=ab12", None);
        check("komainu_session", None);
        check("", None);
        check(&format!("komainu_session={}", "a".repeat(129)), None);
    }

    #[test]
    fn says_all_that_protects_it() {
        let kept = keep(SESSION, "ab", Duration::from_secs(60), CookieScope::Tls);
        assert_eq!(kept, "komainu_session=ab; Path=/; Max-Age=60; HttpOnly; SameSite=Lax; Secure");
        assert!(!keep(SESSION, "ab", Duration::from_secs(60), CookieScope::Any).contains("Secure"));
    }
}
