//! Signing in and out.

use hyper::StatusCode;
use komainu_model::OperatorName;
use komainu_ports::{
    AUDIT_SUBJECT_BYTES_MAX, AccountLimits, AccountsError, Actor, AuditAction, AuditEntry, AuditOutcome, Credential,
    NewSession, Operator,
};
use maud::{Markup, html};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use tracing::{info, warn};

use crate::accounts::digest_of;
use crate::attempts::TooMany;
use crate::fields::local_path;
use crate::problem::Problem;
use crate::reply::Reply;
use crate::request::{cut, unavailable};
use crate::routes::Answered;
use crate::visit::{SignedIn, Visit};
use crate::{browsers, cookie, events, shell, totp};

/// The page for signing in, which leads back to where the visit wanted to go.
pub(crate) fn path(visit: &Visit) -> String {
    match visit.way_back() {
        "/" => "/sign-in".to_owned(),
        place => format!("/sign-in?then={}", utf8_percent_encode(place, NON_ALPHANUMERIC)),
    }
}

/// The form.
pub(crate) fn show(visit: &Visit) -> Answered {
    Ok(form(visit, StatusCode::OK, None))
}

fn form(visit: &Visit, status: StatusCode, wrong: Option<&str>) -> Reply {
    let then = [visit.form.one("then"), visit.query.one("then")].into_iter().find_map(local_path);
    let content = html! {
        section.card.narrow {
            h2 { (visit.text("sign-in.title")) }
            (shell::said(visit))
            (shell::wrong(wrong))
            @if visit.query.one("said") == "signed-out-here" { (sign_out_elsewhere(visit)) }
            (provider_link(visit, then))
            @if visit.console.accounts.ask_for_passwords().is_ok() { (password_form(visit, then)) }
        }
    };
    shell::page_with_status(status, visit, None, visit.text("sign-in.title"), content)
}

/// On to the OpenID provider. A link and no form: browsers let a form of ours lead to no other site. It begins where people reach
/// the console, since the provider sends them back there.
fn provider_link(visit: &Visit, then: Option<&str>) -> Markup {
    let base = visit.console.accounts.url();
    let then = then.map(|then| format!("?then={}", utf8_percent_encode(then, NON_ALPHANUMERIC))).unwrap_or_default();
    let both = visit.console.accounts.ask_for_passwords().is_ok();
    html! {
        @if let Some(provider) = visit.console.provider_name() {
            a.button.primary.provider href={ (base) "/oidc/sign-in" (then) } {
                (visit.filled("oidc.button", &[("provider", provider)]))
            }
            @if both { p.or { span { (visit.text("oidc.or")) } } }
            @else { p.muted.small { (visit.text("oidc.no-passwords")) } }
        }
    }
}

/// Who signed out here may be signed in at the provider still.
fn sign_out_elsewhere(visit: &Visit) -> Markup {
    let known = visit.console.arrivals.as_ref();
    let known = known.filter(|arrivals| arrivals.provider.sign_out_address(visit.console.accounts.url()).is_some());
    html! {
        @if let Some(arrivals) = known {
            p { a href="/oidc/sign-out" { (visit.filled("oidc.sign-out", &[("provider", &arrivals.rules.name)])) } }
        }
    }
}

fn password_form(visit: &Visit, then: Option<&str>) -> Markup {
    let has_provider = visit.console.provider_name().is_some();
    html! {
        form.stack method="post" action="/sign-in" {
            (shell::form_key_field(visit))
            @if let Some(then) = then { input type="hidden" name="then" value=(then); }
            label { span { (visit.text("field.name")) }
                input name="name" autocomplete="username" autocapitalize="none" spellcheck="false" maxlength="64"
                    value=(cut(visit.form.one("name"), 64)) required autofocus[!has_provider]; }
            label { span { (visit.text("field.password")) }
                input type="password" name="password" autocomplete="current-password" required; }
            label { span { (visit.text("sign-in.code")) }
                input.code name="code" inputmode="numeric" autocomplete="one-time-code" maxlength="8"; }
            button.primary[!has_provider] type="submit" { (visit.text("sign-in.button")) }
        }
        p.muted.small { (visit.text("sign-in.forgotten")) }
    }
}

/// Lets an operator in. Whoever is not let in learns nothing of what was wrong, and waits as long for each of it.
pub(crate) fn sign_in(visit: &Visit) -> Answered {
    let console = &*visit.console;
    console.accounts.ask_for_passwords()?;
    let typed = visit.form.one("name").trim().to_lowercase();
    begin_attempt(visit, &typed)?;
    let name = OperatorName::parse(&typed).ok();
    let operator = match &name {
        Some(name) => console.store().operator(name)?,
        None => None,
    };
    // Somebody who comes through the provider has none, and is answered as somebody whom nobody knows.
    let kept = operator.as_ref().and_then(|operator| operator.credential.password());
    let is_right = console.passwords.verify(visit.form.one("password"), kept)?;
    let operator = operator.filter(|_| is_right);
    let begun = operator.as_ref().map(|operator| begin_session(visit, operator, AuditAction::SignIn));
    match operator.as_ref().zip(begun.transpose()?.flatten()) {
        Some((operator, token)) => {
            attempt_was_right(visit, &typed)?;
            info!(event = events::SIGNED_IN, operator = %typed, address = %visit.address, "signed in");
            let then = local_path(visit.form.one("then")).unwrap_or("/");
            Ok(let_in(visit, &token, then).with_cookie(&known_browser(visit, &operator.name)?))
        }
        None => {
            refused(visit, &typed);
            Ok(form(visit, StatusCode::UNAUTHORIZED, Some(visit.text("sign-in.wrong"))))
        }
    }
}

/// The cookie that makes this browser one in which this operator signed in.
fn known_browser(visit: &Visit, name: &OperatorName) -> Result<String, Problem> {
    let value = visit.console.browsers()?.cookie(name, visit.console.ids.secret());
    Ok(cookie::keep(cookie::BROWSER, &value, browsers::KNOWN_FOR, visit.console.cookies))
}

/// Leads on with the cookie of a session.
pub(crate) fn let_in(visit: &Visit, token: &str, then: &str) -> Reply {
    let (age, scope) = (AccountLimits::default().session_age_max, visit.console.cookies);
    Reply::on_to(then)
        .with_cookie(&cookie::keep(cookie::SESSION, token, age, scope))
        .with_cookie(&cookie::forget(cookie::VISIT, scope))
}

/// Where a link for signing in leads. Reading the page uses nothing up: programs that look at links before people do must
/// not, and nobody is signed in as somebody else by being sent here.
pub(crate) fn show_link(visit: &Visit) -> Answered {
    let token = visit.query.one("token");
    let name = visit.console.accounts.invited_in(&digest_of(token), visit.now).ok_or(Problem::LinkGone)?;
    let content = html! {
        section.card.narrow {
            h2 { (visit.text("sign-in.title")) }
            form.stack method="post" action="/enter" {
                (shell::form_key_field(visit))
                input type="hidden" name="token" value=(token);
                button.primary type="submit" autofocus { (visit.filled("sign-in.as", &[("name", name.as_str())])) }
            }
        }
    };
    Ok(shell::page(visit, None, visit.text("sign-in.title"), content))
}

/// Lets in whoever has such a link.
pub(crate) fn use_link(visit: &Visit) -> Answered {
    let console = &*visit.console;
    let token = digest_of(visit.form.one("token"));
    let name = console.accounts.use_sign_in_link(&token, visit.now).ok_or(Problem::LinkGone)?;
    // Since the link was made, the operator may have been disabled, or may use codes now: then nobody is let in.
    let operator = console.store().operator(&name)?.filter(|operator| operator.totp.is_none());
    let begun = operator.map(|operator| begin_session(visit, &operator, AuditAction::SignIn));
    match begun.transpose()?.flatten() {
        Some(token) => {
            info!(event = events::SIGNED_IN, operator = %name, address = %visit.address, "signed in by a link");
            Ok(let_in(visit, &token, "/"))
        }
        None => Err(Problem::LinkGone),
    }
}

/// The token of a new session of an operator whose password was right; none if their code was not, or they may not come in.
pub(crate) fn begin_session(
    visit: &Visit,
    operator: &Operator,
    action: AuditAction,
) -> Result<Option<String>, Problem> {
    let step = operator.totp.as_ref().map(|secret| totp::step_of(secret, visit.form.one("code"), visit.now));
    let Some(totp_step) = step.map_or(Some(None), |step| step.map(Some)) else { return Ok(None) };
    let token = hex::encode(visit.console.ids.secret());
    let new = NewSession {
        token: digest_of(&token),
        operator: operator.name.clone(),
        credential: operator.credential.clone(),
        totp_step,
        address: visit.address,
        agent: visit.agent.clone(),
    };
    let audit = AuditEntry {
        at: visit.now,
        actor: Actor::Operator(operator.name.clone()),
        address: Some(visit.address),
        action,
        subject: String::new(),
        outcome: AuditOutcome::Done,
    };
    match visit.console.store().begin_session(&new, &audit) {
        Ok(()) => Ok(Some(token)),
        Err(AccountsError::NotLetIn(_)) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Counts an attempt to show a password, or refuses it. Of those that are refused, the first is in the audit trail.
pub(crate) fn begin_attempt(visit: &Visit, name: &str) -> Result<(), Problem> {
    let browser = visit.console.browsers()?.known(&visit.browser, name);
    let begun = visit.console.attempts.begin(name, visit.address, browser.as_ref(), visit.now);
    begun.map_err(|too_many| {
        if too_many.is_first {
            note_refused(visit, name);
        }
        limited(visit, too_many)
    })
}

/// The attempt was right.
pub(crate) fn attempt_was_right(visit: &Visit, name: &str) -> Result<(), Problem> {
    let browser = visit.console.browsers()?.known(&visit.browser, name);
    visit.console.attempts.was_right(name, visit.address, browser.as_ref());
    Ok(())
}

/// The page for whoever was wrong too often.
pub(crate) fn limited(visit: &Visit, TooMany { again_at, is_first }: TooMany) -> Problem {
    if is_first {
        warn!(event = events::SIGN_IN_LIMITED, address = %visit.address, "too many wrong attempts");
    }
    Problem::TooMany { again_at }
}

/// Writes down that somebody was not let in.
fn refused(visit: &Visit, name: &str) {
    if let Some(suppressed) = visit.console.budgets.sign_in.take_now() {
        // What was typed is not logged: people type their passwords there.
        warn!(event = events::SIGN_IN_REFUSED, address = %visit.address, suppressed, "not let in");
    }
    note_refused(visit, name);
}

fn note_refused(visit: &Visit, name: &str) {
    // A name that cannot be one may be a password.
    let subject = OperatorName::parse(name).map_or_else(|_| "?".to_owned(), |name| name.to_string());
    let entry = AuditEntry {
        at: visit.now,
        actor: Actor::Stranger,
        address: Some(visit.address),
        action: AuditAction::SignIn,
        subject: cut(&subject, AUDIT_SUBJECT_BYTES_MAX).to_owned(),
        outcome: AuditOutcome::Refused,
    };
    if let Err(error) = visit.console.store().note(&entry) {
        unavailable(&visit.console, &error);
    }
}

/// Ends the session of this browser.
pub(crate) fn sign_out(visit: &Visit, who: &SignedIn) -> Answered {
    let audit = visit.did(who, AuditAction::SignOut, "");
    visit.console.store().end_session(&who.operator.name, &who.session.token, &audit)?;
    let forget = cookie::forget(cookie::SESSION, visit.console.cookies);
    let said = match who.operator.credential {
        Credential::Password(_) => "/sign-in?said=signed-out",
        Credential::Provider(_) => "/sign-in?said=signed-out-here",
    };
    Ok(Reply::on_to(said).with_cookie(&forget))
}
