//! Signing in and out.

use hyper::StatusCode;
use komainu_model::OperatorName;
use komainu_ports::{
    AUDIT_SUBJECT_BYTES_MAX, AccountLimits, AccountsError, Actor, AuditAction, AuditEntry, AuditOutcome, NewSession,
    Operator,
};
use maud::html;
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
use crate::{cookie, events, shell, totp};

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
            form.stack method="post" action="/sign-in" {
                (shell::form_key_field(visit))
                @if let Some(then) = then { input type="hidden" name="then" value=(then); }
                label { span { (visit.text("field.name")) }
                    input name="name" autocomplete="username" autocapitalize="none" spellcheck="false" maxlength="64"
                        value=(cut(visit.form.one("name"), 64)) required autofocus; }
                label { span { (visit.text("field.password")) }
                    input type="password" name="password" autocomplete="current-password" required; }
                label { span { (visit.text("sign-in.code")) }
                    input.code name="code" inputmode="numeric" autocomplete="one-time-code" maxlength="8"; }
                button.primary type="submit" { (visit.text("sign-in.button")) }
            }
            p.muted.small { (visit.text("sign-in.forgotten")) }
        }
    };
    shell::page_with_status(status, visit, None, visit.text("sign-in.title"), content)
}

/// Lets an operator in. Whoever is not let in learns nothing of what was wrong, and waits as long for each of it.
pub(crate) fn sign_in(visit: &Visit) -> Answered {
    let console = &*visit.console;
    let typed = visit.form.one("name").trim().to_lowercase();
    begin_attempt(visit, &typed)?;
    let name = OperatorName::parse(&typed).ok();
    let operator = match &name {
        Some(name) => console.store().operator(name)?,
        None => None,
    };
    let kept = operator.as_ref().map(|operator| &operator.password);
    let is_right = console.passwords.verify(visit.form.one("password"), kept)?;
    match operator.filter(|_| is_right).map(|operator| begin_session(visit, &operator)).transpose()?.flatten() {
        Some(token) => {
            console.attempts.was_right(&typed, visit.address);
            info!(event = events::SIGNED_IN, operator = %typed, address = %visit.address, "signed in");
            Ok(let_in(visit, &token, local_path(visit.form.one("then")).unwrap_or("/")))
        }
        None => {
            refused(visit, &typed);
            Ok(form(visit, StatusCode::UNAUTHORIZED, Some(visit.text("sign-in.wrong"))))
        }
    }
}

/// Leads on with the cookie of a session.
fn let_in(visit: &Visit, token: &str, then: &str) -> Reply {
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
    match operator.map(|operator| begin_session(visit, &operator)).transpose()?.flatten() {
        Some(token) => {
            info!(event = events::SIGNED_IN, operator = %name, address = %visit.address, "signed in by a link");
            Ok(let_in(visit, &token, "/"))
        }
        None => Err(Problem::LinkGone),
    }
}

/// The token of a new session of an operator whose password was right; none if their code was not, or they may not come in.
fn begin_session(visit: &Visit, operator: &Operator) -> Result<Option<String>, Problem> {
    let step = operator.totp.as_ref().map(|secret| totp::step_of(secret, visit.form.one("code"), visit.now));
    let Some(totp_step) = step.map_or(Some(None), |step| step.map(Some)) else { return Ok(None) };
    let token = hex::encode(visit.console.ids.secret());
    let new = NewSession {
        token: digest_of(&token),
        operator: operator.name.clone(),
        password: operator.password.clone(),
        totp_step,
        address: visit.address,
        agent: visit.agent.clone(),
    };
    let audit = AuditEntry {
        at: visit.now,
        actor: Actor::Operator(operator.name.clone()),
        address: Some(visit.address),
        action: AuditAction::SignIn,
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
    let Err(TooMany { again_at, is_first }) = visit.console.attempts.begin(name, visit.address, visit.now) else {
        return Ok(());
    };
    if is_first {
        warn!(event = events::SIGN_IN_LIMITED, address = %visit.address, "too many wrong attempts");
        note_refused(visit, name);
    }
    Err(Problem::TooMany { again_at })
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
    Ok(Reply::on_to("/sign-in?said=signed-out").with_cookie(&forget))
}
