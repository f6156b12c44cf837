use std::sync::Arc;

use hyper::Method;
use komainu_model::Timestamp;
use komainu_ports::{CodeAnswer, IdentityProvider, SignInRequest};
use komainu_texts::Texts;
use parking_lot::Mutex;

use super::*;
use crate::request::tests::{ask, ask_with, console_of_provider, form_of};
use crate::{Console, PasswordRule, ProviderRules, SignInProvider};

const ADDRESS: &str = "192.0.2.1";

/// A provider that says what a test wants.
#[derive(Default)]
struct Says {
    vouched: Mutex<Option<Vouched>>,
    fault: Mutex<Option<TokenFault>>,
    is_down: Mutex<bool>,
    asked: Mutex<Vec<CodeAnswer>>,
}

impl Says {
    fn of(&self, subject: &str, name: Option<&str>, values: &[&str]) {
        let identity = ProviderIdentity { issuer: "https://id.example".into(), subject: subject.into() };
        let values = values.iter().map(|value| (*value).to_owned()).collect();
        *self.vouched.lock() = Some(Vouched { identity, name: name.map(str::to_owned), values });
    }
}

impl IdentityProvider for Says {
    fn address(&self, request: &SignInRequest, _: Timestamp) -> Result<String, ProviderError> {
        if *self.is_down.lock() {
            return Err(ProviderError::Unavailable { doing: "asking", source: "secret internals".into() });
        }
        Ok(format!("https://id.example/authorize?state={}&back={}", request.state, request.back_to))
    }

    fn check_issuer(&self, issuer: Option<&str>, _: Timestamp) -> Result<(), ProviderError> {
        if issuer == Some("https://evil.example") { Err(ProviderError::WrongIssuer) } else { Ok(()) }
    }

    fn redeem(&self, answer: &CodeAnswer, _: Timestamp) -> Result<Vouched, ProviderError> {
        self.asked.lock().push(answer.clone());
        if let Some(fault) = *self.fault.lock() {
            return Err(fault.into());
        }
        match &*self.vouched.lock() {
            Some(vouched) => Ok(vouched.clone()),
            None => Err(ProviderError::CodeRefused { reason: "unknown".into() }),
        }
    }

    fn sign_out_address(&self, back_to: &str) -> Option<String> {
        Some(format!("https://id.example/out?back={back_to}"))
    }
}

fn console(rule: PasswordRule) -> (Arc<Says>, Arc<Console>) {
    let says = Arc::new(Says::default());
    let roles = [(Role::Viewer, vec!["staff".to_owned()]), (Role::Admin, vec!["ops".to_owned()])];
    let rules = ProviderRules { name: "Example <ID>".to_owned(), roles: roles.into(), default_role: None };
    let console = console_of_provider(SignInProvider { provider: says.clone(), rules }, rule);
    (says, console)
}

/// The cookie and the state of a browser that was sent to the provider.
fn sent(console: &Arc<Console>, then: &str) -> (String, String) {
    let path = format!("/oidc/sign-in?then={then}");
    let (status, text, given) = ask_with(console, "", ADDRESS, Method::GET, &path, "");
    assert_eq!(status, 303, "{text}");
    let state = text.split("state=").nth(1).unwrap().split('&').next().unwrap().to_owned();
    assert!(text.contains("back=http://console.example/oidc/callback"), "{text}");
    let cookie = given.into_iter().find(|cookie| cookie.starts_with(cookie::FLOW)).unwrap();
    (cookie, state)
}

/// What a browser gets that comes back with this.
fn back(console: &Arc<Console>, cookie: &str, query: &str) -> (u16, String, Vec<String>) {
    ask_with(console, cookie, ADDRESS, Method::GET, &format!("/oidc/callback?{query}"), "")
}

/// What somebody gets for whom the provider vouches.
fn comes(console: &Arc<Console>) -> (u16, String, Vec<String>) {
    let (cookie, state) = sent(console, "%2Falarms");
    back(console, &cookie, &format!("code=c&state={state}"))
}

/// The newest lines of the audit trail: who, what, whom.
fn trail(console: &Arc<Console>, count: usize) -> Vec<String> {
    let lines = console.store().audit(None, count).unwrap();
    let line = |line: AuditEntry| format!("{:?} {} {}", line.actor, line.action.as_str(), line.subject);
    lines.into_iter().map(|(_, entry)| line(entry)).collect()
}

#[test]
fn whom_the_provider_vouches_for_comes_in() {
    let (says, console) = console(PasswordRule::Allowed);
    says.of("7", Some(" Mei@Example.com "), &["staff"]);
    let (status, text, given) = comes(&console);
    assert_eq!((status, text.as_str()), (303, "/alarms"), "{text}");
    let session = given.iter().find(|cookie| cookie.starts_with(cookie::SESSION)).unwrap();
    let (_, page, _) = ask_with(&console, session, ADDRESS, Method::GET, "/account", "");
    assert!(page.contains("mei@example.com") && page.contains("Example &lt;ID&gt;"), "{page}");
    assert!(!page.contains("/account/codes") && !page.contains("/account/password"), "they have no password");
    let name = "mei@example.com";
    let expected =
        [format!("Operator(OperatorName(\"{name}\")) sign-in-provider "), format!("Provider welcome {name} viewer")];
    assert_eq!(trail(&console, 2), expected);
    // With another name and role they are the same person.
    says.of("7", Some("other"), &["staff", "ops"]);
    assert_eq!(comes(&console).0, 303);
    assert_eq!(trail(&console, 2)[1], format!("Provider change-role {name} admin"));
    let (_, page) = ask(&console, Some(Role::Admin), Method::GET, "/admin/operators", "");
    assert!(page.contains("signs in through Example &lt;ID&gt;"), "{page}");
}

#[test]
fn whom_nothing_gives_a_role_stays_out() {
    let (says, console) = console(PasswordRule::Allowed);
    let check = |subject: &str, name: Option<&str>, values: &[&str], status: u16, line: &str| {
        says.of(subject, name, values);
        let (found, text, given) = comes(&console);
        assert_eq!(found, status, "{subject}: {text}");
        assert!(!given.iter().any(|cookie| cookie.starts_with(cookie::SESSION)));
        assert_eq!(trail(&console, 1), [format!("Stranger sign-in-provider {line}")]);
    };
    check("7", Some("mei"), &[], 403, "no-role mei");
    check("7", Some("mei"), &["others"], 403, "no-role mei");
    check("7", None, &["ops"], 403, "name-unfit");
    check("7", Some("A B"), &["ops"], 403, "name-unfit");
    // There are operators of these names, who sign in with passwords.
    check("7", Some("admin"), &["ops"], 409, "name-taken admin");
    check("7", Some("Viewer"), &["ops"], 409, "name-taken viewer");
    says.of("7", Some("mei"), &["staff"]);
    assert_eq!(comes(&console).0, 303);
    check("8", Some("mei"), &["staff"], 409, "name-taken mei");
    check("7", Some("mei"), &[], 403, "no-role mei");
    let form = form_of(Role::Admin);
    assert_eq!(ask(&console, Some(Role::Admin), Method::POST, "/admin/operators/mei/disable", &form).0, 303);
    check("7", Some("mei"), &["ops"], 403, "disabled mei");
    let mei = console.store().operator(&OperatorName::parse("mei").unwrap()).unwrap().unwrap();
    assert_eq!(mei.role, Role::Viewer, "nothing changes for whoever stays out");
}

#[test]
fn an_answer_is_for_the_browser_that_asked_and_counts_once() {
    let (says, console) = console(PasswordRule::Allowed);
    says.of("7", Some("mei"), &["staff"]);
    let (cookie, state) = sent(&console, "");
    let (other_cookie, other_state) = sent(&console, "");
    let check = |cookie: &str, query: &str, status: u16| {
        let (found, text, _) = back(&console, cookie, query);
        assert_eq!(found, status, "{cookie} {query}: {text}");
    };
    check("", &format!("code=c&state={state}"), 400);
    check(&cookie, "code=c", 400);
    check(&cookie, &format!("code=c&state={other_state}"), 400);
    check(&other_cookie, &format!("code=c&state={state}"), 400);
    check("komainu_arrival=a.1.b.c", &format!("code=c&state={state}"), 400);
    assert!(says.asked.lock().is_empty(), "the provider is asked about none of it");
    check(&cookie, &format!("code=c&state={state}"), 303);
    check(&cookie, &format!("code=c&state={state}"), 400);
    assert_eq!(says.asked.lock().len(), 1);
    check(&other_cookie, &format!("code=c&state={other_state}&iss=https://evil.example"), 502);
}

#[test]
fn what_goes_wrong_is_told_without_internals() {
    let (says, console) = console(PasswordRule::Allowed);
    let fails = |query: &str, status: u16, line: &str| {
        let (cookie, state) = sent(&console, "");
        let (found, text, _) = back(&console, &cookie, &format!("{query}&state={state}"));
        assert_eq!(found, status, "{query}: {text}");
        assert!(text.contains("/sign-in") && !text.contains("internals"), "{text}");
        assert_eq!(trail(&console, 1), [format!("Stranger sign-in-provider {line}")]);
    };
    fails("error=access_denied&error_description=%3Cb%3E", 403, "denied");
    fails("error=server_error", 502, "provider-failed");
    fails("code=c", 400, "code-refused");
    *says.fault.lock() = Some(TokenFault::Nonce);
    fails("code=c", 502, "token-nonce");
    *says.fault.lock() = Some(TokenFault::Time);
    fails("code=c", 502, "token-time");
    *says.is_down.lock() = true;
    let (status, text, _) = ask_with(&console, "", ADDRESS, Method::GET, "/oidc/sign-in", "");
    assert!(status == 503 && !text.contains("internals"), "{text}");
    assert_eq!(trail(&console, 1), ["Stranger sign-in-provider provider-unavailable"]);
}

#[test]
fn who_tries_too_often_waits() {
    let (says, console) = console(PasswordRule::Allowed);
    for _ in 0..30 {
        assert_eq!(back(&console, "", "code=c&state=s").0, 400);
    }
    assert_eq!(back(&console, "", "code=c&state=s").0, 429);
    assert!(says.asked.lock().is_empty());
    // Those who come in do not count.
    let (says, console) = self::console(PasswordRule::Allowed);
    says.of("7", Some("mei"), &["staff"]);
    for _ in 0..40 {
        assert_eq!(comes(&console).0, 303);
    }
}

#[test]
fn without_passwords_nobody_types_one() {
    let (_, console) = console(PasswordRule::Refused);
    let (status, page) = ask(&console, None, Method::GET, "/sign-in?then=%2Fsamples", "");
    assert!(status == 200 && page.contains("http://console.example/oidc/sign-in?then=%2Fsamples"), "{page}");
    assert!(!page.contains("name=\"password\""), "{page}");
    let form = form_of(Role::Admin);
    let check = |method: Method, path: &str, status: u16| {
        let (found, text) = ask(&console, Some(Role::Admin), method, path, &form);
        assert_eq!(found, status, "{path}: {text}");
    };
    check(Method::POST, "/sign-in", 403);
    check(Method::GET, "/welcome?token=a", 403);
    check(Method::POST, "/welcome", 403);
    check(Method::POST, "/account/password", 403);
    check(Method::GET, "/account/codes", 403);
    check(Method::POST, "/admin/operators/viewer/reset", 403);
    assert!(console.accounts.first_link().unwrap().is_none());
    // The way back of whoever has the data folder.
    let name = OperatorName::parse("admin").unwrap();
    let link = console.accounts.sign_in_link(&name, &By::COMMAND_LINE).unwrap();
    check(Method::GET, link.url.strip_prefix("http://console.example").unwrap(), 200);
}

#[test]
fn who_signs_out_here_is_told_of_the_provider() {
    let (says, console) = console(PasswordRule::Allowed);
    says.of("7", Some("mei"), &["staff"]);
    let session = comes(&console).2.into_iter().find(|cookie| cookie.starts_with(cookie::SESSION)).unwrap();
    let key = crate::form_key::FormKey::of(session.split('=').nth(1).unwrap());
    let form = format!("form_key={}", key.as_str());
    let (_, text, _) = ask_with(&console, &session, ADDRESS, Method::POST, "/sign-out", &form);
    let (_, page) = ask(&console, None, Method::GET, &text, "");
    assert!(page.contains("/oidc/sign-out"), "{page}");
    let (status, text) = ask(&console, None, Method::GET, "/oidc/sign-out", "");
    assert_eq!((status, text.as_str()), (303, "https://id.example/out?back=http://console.example"));
}

#[test]
fn without_a_provider_there_is_none() {
    let console = crate::request::tests::console_with(Arc::new(komainu_ports::MemoryLake::default()));
    for path in ["/oidc/sign-in", "/oidc/callback?code=c&state=s", "/oidc/sign-out"] {
        assert_eq!(ask(&console, None, Method::GET, path, "").0, 404, "{path}");
    }
    assert!(!ask(&console, None, Method::GET, "/sign-in", "").1.contains("/oidc/"));
}

#[test]
fn every_refusal_says_what_to_do() {
    for language in komainu_model::Language::ALL {
        for why in NotVouched::ALL {
            for beginning in ["oidc-title", "oidc-advice"] {
                let text = Texts::of(language).word(beginning, why.as_str());
                assert!(text.is_some(), "there is no text {beginning}.{}", why.as_str());
            }
        }
    }
}
