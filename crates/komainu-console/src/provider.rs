//! Signing in through an OpenID provider: who may come in with which role, and what binds an answer to the browser that asked.
//!
//! A browser that begins gets a cookie with a fresh secret, signed by this process; what is asked of the provider is made of
//! that secret. So nothing is kept here for those who begin, and strangers cannot push out anybody. Secrets that were used are
//! remembered until they are too old.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::{constant_time, hmac};
use komainu_model::{Role, Timestamp};
use komainu_ports::{CodeAnswer, IdentityProvider, SignInRequest};
use parking_lot::Mutex;
use percent_encoding::{NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use tokio::sync::Semaphore;

use crate::fields::local_path;

/// How long somebody may take at the provider.
pub(crate) const FLOW_AGE: Duration = Duration::from_secs(10 * 60);

/// Bytes of the cookie: a secret, a time, a signature, and where to go afterwards.
pub(crate) const FLOW_BYTES_MAX: usize = 2_048;

/// Bytes of where to go afterwards, as they stand in the cookie; a longer address is not gone back to.
const THEN_BYTES_MAX: usize = 1_536;

/// Secrets that were used and are not too old. An address that is wrong is let try thirty times in a quarter of an hour, so this
/// is what hundreds of them do; at the bound the oldest is forgotten, and its code was used at the provider, too.
const USED_MAX: usize = 16_384;

/// Questions to the provider at the same time. Each holds the thread of a page; the others are left for everybody else when the
/// provider hangs.
const TURNS_MAX: usize = 4;

/// An OpenID provider, and what its word counts for.
pub struct SignInProvider {
    /// Who is asked.
    pub provider: Arc<dyn IdentityProvider>,
    /// Who may come in.
    pub rules: ProviderRules,
}

/// Who may come in through a provider, and with which role.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProviderRules {
    /// What people call the provider.
    pub name: String,
    /// Which values of the claim give which role.
    pub roles: BTreeMap<Role, Vec<String>>,
    /// The role of those to whom no value gives one; without it they stay out.
    pub default_role: Option<Role>,
}

impl ProviderRules {
    /// The role of somebody with these values: the one that may do the most.
    pub(crate) fn role_of(&self, values: &[String]) -> Option<Role> {
        let gives = |wanted: &[String]| wanted.iter().any(|one| values.contains(one));
        let given = self.roles.iter().filter(|(_, wanted)| gives(wanted)).map(|(role, _)| *role).max();
        given.or(self.default_role)
    }
}

/// A provider, and those who are on their way.
pub(crate) struct Arrivals {
    pub(crate) provider: Arc<dyn IdentityProvider>,
    pub(crate) rules: ProviderRules,
    pub(crate) turns: Semaphore,
    pub(crate) flows: Flows,
}

impl Arrivals {
    /// Nobody yet. With another key, nobody who began before arrives.
    pub(crate) fn new(SignInProvider { provider, rules }: SignInProvider, key: [u8; 32]) -> Self {
        Self { provider, rules, turns: Semaphore::new(TURNS_MAX), flows: Flows::new(key) }
    }
}

/// Those who are on their way.
pub(crate) struct Flows {
    key: hmac::Key,
    used: Mutex<BTreeMap<String, Timestamp>>,
}

/// Somebody who is on their way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Flow {
    /// 64 hexadecimal digits.
    secret: String,
    begun_at: Timestamp,
    /// Where to go afterwards: a path of this console.
    pub(crate) then: String,
}

impl Flows {
    /// Nobody yet.
    pub(crate) fn new(key: [u8; 32]) -> Self {
        Self { key: hmac::Key::new(hmac::HMAC_SHA256, &key), used: Mutex::default() }
    }

    /// Somebody begins.
    pub(crate) fn begin(&self, secret: [u8; 32], then: &str, now: Timestamp) -> Flow {
        let is_short = utf8_percent_encode(then, NON_ALPHANUMERIC).to_string().len() <= THEN_BYTES_MAX;
        let then = local_path(then).filter(|_| is_short).unwrap_or("/").to_owned();
        Flow { secret: hex::encode(secret), begun_at: Timestamp::from_unix_seconds(now.unix_seconds()), then }
    }

    /// The value of the cookie by which they are known when they come back.
    pub(crate) fn cookie(&self, flow: &Flow) -> String {
        let Flow { secret, begun_at, then } = flow;
        self.signed(&format!("{secret}.{}.{}", begun_at.unix_seconds(), utf8_percent_encode(then, NON_ALPHANUMERIC)))
    }

    /// What a cookie says, with our signature.
    pub(crate) fn signed(&self, said: &str) -> String {
        format!("{said}.{}", self.made("cookie", said))
    }

    /// Who comes back with this cookie, if it is ours and not too old.
    pub(crate) fn of_cookie(&self, cookie: &str, now: Timestamp) -> Option<Flow> {
        let (said, signature) = cookie.rsplit_once('.')?;
        if !is_equal(&self.made("cookie", said), signature) {
            return None;
        }
        let mut parts = said.split('.');
        let (secret, begun_at, then) = (parts.next()?, parts.next()?, parts.next()?);
        let begun_at = Timestamp::from_unix_seconds(begun_at.parse().ok()?);
        let then = percent_decode_str(then).decode_utf8().ok()?;
        // A clock that was set back makes it one of the future.
        if now < begun_at || now.since(begun_at) >= FLOW_AGE {
            return None;
        }
        Some(Flow { secret: secret.to_owned(), begun_at, then: local_path(&then)?.to_owned() })
    }

    /// What is asked of the provider.
    pub(crate) fn request(&self, flow: &Flow, back_to: String) -> SignInRequest {
        SignInRequest {
            state: self.made("state", &flow.secret),
            nonce: self.made("nonce", &flow.secret),
            verifier: self.made("verifier", &flow.secret),
            back_to,
        }
    }

    /// What is asked when they are back.
    pub(crate) fn answer(&self, flow: &Flow, code: &str, back_to: String) -> CodeAnswer {
        let SignInRequest { nonce, verifier, back_to, .. } = self.request(flow, back_to);
        CodeAnswer { code: code.to_owned(), nonce, verifier, back_to }
    }

    /// Whether an answer with this state is for this browser, and the first one; there will be no second.
    pub(crate) fn use_up(&self, flow: &Flow, state: &str, now: Timestamp) -> bool {
        if !is_equal(&self.made("state", &flow.secret), state) {
            return false;
        }
        let mut used = self.used.lock();
        if used.len() >= USED_MAX {
            used.retain(|_, begun_at| now.since(*begun_at) < FLOW_AGE);
        }
        if used.len() >= USED_MAX {
            let oldest = used.iter().min_by_key(|(_, begun_at)| **begun_at).map(|(secret, _)| secret.clone());
            oldest.map(|secret| used.remove(&secret));
        }
        used.insert(flow.secret.clone(), flow.begun_at).is_none()
    }

    /// A value that only this process can make of this secret for this purpose.
    fn made(&self, purpose: &str, secret: &str) -> String {
        hex::encode(hmac::sign(&self.key, format!("{purpose} {secret}").as_bytes()))
    }
}

/// Takes the same time for each wrong one.
fn is_equal(ours: &str, brought: &str) -> bool {
    constant_time::verify_slices_are_equal(ours.as_bytes(), brought.as_bytes()).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(default_role: Option<Role>) -> ProviderRules {
        let roles = [(Role::Viewer, vec!["all".to_owned()]), (Role::Admin, vec!["ops".to_owned(), "root".to_owned()])];
        ProviderRules { name: "Example".to_owned(), roles: roles.into(), default_role }
    }

    fn flows() -> Flows {
        Flows::new([1; 32])
    }

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_unix_seconds(1_700_000_000 + seconds)
    }

    #[test]
    fn the_most_that_a_value_gives_counts() {
        let check = |values: &[&str], default_role, expected| {
            let values: Vec<_> = values.iter().map(|value| (*value).to_owned()).collect();
            assert_eq!(rules(default_role).role_of(&values), expected, "{values:?} {default_role:?}");
        };
        check(&["all"], None, Some(Role::Viewer));
        check(&["all", "root"], None, Some(Role::Admin));
        check(&["All"], None, None);
        check(&[], None, None);
        check(&["other"], Some(Role::Analyst), Some(Role::Analyst));
        check(&["all"], Some(Role::Analyst), Some(Role::Viewer));
    }

    #[test]
    fn who_comes_back_is_known_by_the_cookie() {
        let flows = flows();
        let flow = flows.begin([7; 32], "/alarms?profile=a.b&x=%2F", at(0));
        let cookie = flows.cookie(&flow);
        assert!(cookie.len() <= FLOW_BYTES_MAX);
        let check = |cookie: &str, seconds: i64, expected: bool| {
            assert_eq!(flows.of_cookie(cookie, at(seconds)).as_ref() == Some(&flow), expected, "{cookie} {seconds}");
        };
        check(&cookie, 0, true);
        check(&cookie, 599, true);
        check(&cookie, 600, false);
        check(&cookie, -1, false);
        check(&cookie.replacen('0', "1", 1), 0, false);
        check(&cookie.replace("alarms", "topics"), 0, false);
        check("", 0, false);
        check("...", 0, false);
        assert_eq!(Flows::new([2; 32]).of_cookie(&cookie, at(0)), None, "another process made it");
    }

    #[test]
    fn an_answer_counts_once_and_for_one_browser() {
        let flows = flows();
        let (mine, other) = (flows.begin([7; 32], "/", at(0)), flows.begin([8; 32], "/", at(0)));
        let request = flows.request(&mine, String::new());
        assert!(request.state != request.nonce && request.nonce != request.verifier);
        assert!(!flows.use_up(&mine, "", at(1)));
        assert!(!flows.use_up(&mine, &request.nonce, at(1)));
        assert!(!flows.use_up(&other, &request.state, at(1)));
        assert!(flows.use_up(&mine, &request.state, at(1)));
        assert!(!flows.use_up(&mine, &request.state, at(2)));
    }

    #[test]
    fn what_was_used_is_bounded() {
        let flows = flows();
        for number in 0..USED_MAX as u64 + 10 {
            let mut secret = [0; 32];
            secret[..8].copy_from_slice(&number.to_be_bytes());
            let flow = flows.begin(secret, "/", at(number as i64 / 100));
            let state = flows.request(&flow, String::new()).state;
            assert!(flows.use_up(&flow, &state, at(number as i64 / 100)));
        }
        assert!(flows.used.lock().len() <= USED_MAX);
    }

    #[test]
    fn leads_to_no_other_site_and_to_no_long_address() {
        let check = |then: &str, expected: &str| {
            assert_eq!(flows().begin([7; 32], then, at(0)).then, expected, "{then}");
        };
        check("/alarms", "/alarms");
        check("//evil.example", "/");
        check("https://evil.example", "/");
        check(&format!("/{}", "%".repeat(600)), "/");
    }
}
