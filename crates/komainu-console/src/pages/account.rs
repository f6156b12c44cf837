//! One's own account: password, one-time codes, language, sessions.

use hyper::StatusCode;
use komainu_model::Language;
use komainu_ports::{AuditAction, Credential, OperatorChange, Session, TokenDigest, TotpSecret};
use maud::{Markup, html};

use crate::pages::oidc::through;
use crate::pages::sign_in::{attempt_was_right, begin_attempt};
use crate::pages::welcome::{new_password, new_password_fields};
use crate::problem::Problem;
use crate::reply::Reply;
use crate::routes::Answered;
use crate::shown::shown;
use crate::visit::{SignedIn, Visit};
use crate::{shell, time, totp};

/// Bytes of a secret of one-time codes.
const SECRET_BYTES: usize = 20;

/// All of it.
pub(crate) fn show(visit: &Visit, who: &SignedIn) -> Answered {
    account(visit, who, StatusCode::OK, None)
}

fn account(visit: &Visit, who: &SignedIn, status: StatusCode, wrong: Option<&str>) -> Answered {
    let sessions = visit.console.store().sessions(&who.operator.name, visit.now)?;
    let has_password = uses_password(visit, who).is_ok();
    let content = html! {
        (shell::said(visit))
        (shell::wrong(wrong))
        div.columns {
            (sign_in_card(visit, who))
            div.stack {
                @if has_password { (codes(visit, who)) }
                (language(visit, who))
            }
        }
        (session_table(visit, who, &sessions))
    };
    Ok(shell::page_with_status(status, visit, Some(who), visit.text("account.title"), content))
}

/// By what somebody shows who they are, and how they change it.
fn sign_in_card(visit: &Visit, who: &SignedIn) -> Markup {
    let password_is_used = visit.console.accounts.ask_for_passwords().is_ok();
    html! {
        section.card {
            @match &who.operator.credential {
                Credential::Provider(identity) => {
                    h2 { (visit.text("oidc.title")) }
                    p { (visit.filled("oidc.account", &[("provider", &through(visit, identity))])) }
                    p.muted.small { (visit.text("oidc.account-note")) }
                }
                Credential::Password(_) if password_is_used => {
                    h2 { (visit.text("account.password")) }
                    form.stack method="post" action="/account/password" {
                        (shell::form_key_field(visit))
                        (password_field(visit, who))
                        (new_password_fields(visit))
                        button.primary type="submit" { (visit.text("account.change-password")) }
                    }
                    p.muted.small { (visit.text("account.password-note")) }
                }
                Credential::Password(_) => {
                    h2 { (visit.text("account.password")) }
                    p { (visit.text("oidc.no-passwords")) }
                }
            }
        }
    }
}

/// Refuses what is for those who sign in with a password.
fn uses_password(visit: &Visit, who: &SignedIn) -> Result<(), Problem> {
    visit.console.accounts.ask_for_passwords()?;
    match &who.operator.credential {
        Credential::Password(_) => Ok(()),
        Credential::Provider(_) => Err(Problem::NoPasswords),
    }
}

/// The present password. The name beside it is for password managers.
fn password_field(visit: &Visit, who: &SignedIn) -> Markup {
    html! {
        input type="text" name="username" autocomplete="username" value=(who.operator.name) readonly hidden;
        label { span { (visit.text("field.present-password")) }
            input type="password" name="password" autocomplete="current-password" required; }
    }
}

fn codes(visit: &Visit, who: &SignedIn) -> Markup {
    html! {
        section.card {
            h2 { (visit.text("codes.title")) }
            @if who.operator.totp.is_some() {
                p { span.badge.ok { (visit.text("codes.in-use")) } }
                form.stack method="post" action="/account/codes/remove" {
                    (shell::form_key_field(visit))
                    (password_field(visit, who))
                    button.danger type="submit" { (visit.text("codes.remove")) }
                }
            } @else {
                p { (visit.text("codes.about")) }
                p { a.button href="/account/codes" { (visit.text("codes.set-up")) } }
            }
        }
    }
}

fn language(visit: &Visit, who: &SignedIn) -> Markup {
    html! {
        section.card {
            h2 { (visit.text("account.language")) }
            form.line method="post" action="/account/language" {
                (shell::form_key_field(visit))
                select name="language" aria-label=(visit.text("account.language")) {
                    option value="" selected[who.operator.language.is_none()] { (visit.text("account.language-auto")) }
                    @for language in Language::ALL {
                        // Each in itself, for those who read no other.
                        option value=(language.tag()) selected[who.operator.language == Some(language)] {
                            @match language { Language::English => "English", Language::Japanese => "日本語" }
                        }
                    }
                }
                button type="submit" { (visit.text("account.save")) }
            }
        }
    }
}

fn session_table(visit: &Visit, who: &SignedIn, sessions: &[Session]) -> Markup {
    html! {
        section.card {
            div.card-head {
                h2 { (visit.text("sessions.title")) }
                form method="post" action="/account/sessions/end" {
                    (shell::form_key_field(visit))
                    button.danger type="submit" { (visit.text("sessions.end-all")) }
                }
            }
            div.scroll tabindex="0" {
                table.rows.fold {
                    thead { tr {
                        th { (visit.text("sessions.browser")) }
                        th { (visit.text("sessions.address")) }
                        th { (visit.text("sessions.since")) }
                        th { (visit.text("sessions.seen")) }
                        th { span.visually-hidden { (visit.text("sessions.end")) } }
                    } }
                    tbody {
                        @for session in sessions {
                            tr {
                                td.head.wide { (shown(&session.agent)) }
                                td.nowrap data-label=(visit.text("sessions.address")) { (session.address) }
                                td.nowrap data-label=(visit.text("sessions.since")) { (time::time(session.created_at)) }
                                td.nowrap data-label=(visit.text("sessions.seen")) { (time::time(session.seen_at)) }
                                td.right {
                                    @if session.token == who.session.token {
                                        span.badge { (visit.text("sessions.this")) }
                                    } @else {
                                        form method="post"
                                            action={ "/account/sessions/" (hex::encode(session.token.sha256())) "/end" } {
                                            (shell::form_key_field(visit))
                                            button.quiet type="submit" { (visit.text("sessions.end")) }
                                        }
                                    }
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// Another password. Sessions in other browsers end.
pub(crate) fn change_password(visit: &Visit, who: &SignedIn) -> Answered {
    uses_password(visit, who)?;
    let again = |text: &str| account(visit, who, StatusCode::UNPROCESSABLE_ENTITY, Some(text));
    let password = match new_password(visit, &who.operator.name) {
        Ok(password) => password,
        Err(text) => return again(&text),
    };
    if !shows_password(visit, who)? {
        return again(visit.text("field.password-wrong"));
    }
    let hash = visit.console.passwords.hash(password, &*visit.console.ids)?;
    let change = OperatorChange::Password(hash, who.session.token);
    changed(visit, who, &change, AuditAction::ChangePassword, "")?;
    Ok(Reply::on_to("/account?said=password-changed"))
}

/// Another language.
pub(crate) fn change_language(visit: &Visit, who: &SignedIn) -> Answered {
    let language = Language::parse(visit.form.one("language")).ok();
    let subject = language.map_or("", Language::tag);
    changed(visit, who, &OperatorChange::Language(language), AuditAction::ChangeLanguage, subject)?;
    Ok(Reply::on_to("/account?said=saved"))
}

/// The form for using one-time codes, with a new secret.
pub(crate) fn show_codes(visit: &Visit, who: &SignedIn) -> Answered {
    uses_password(visit, who)?;
    let mut bytes = [0; SECRET_BYTES];
    bytes.copy_from_slice(&visit.console.ids.secret()[..SECRET_BYTES]);
    Ok(codes_form(visit, who, &TotpSecret::from_bytes(bytes), StatusCode::OK, None))
}

fn codes_form(visit: &Visit, who: &SignedIn, secret: &TotpSecret, status: StatusCode, wrong: Option<&str>) -> Reply {
    let text = totp::base32(secret);
    let groups: Vec<_> = text.as_bytes().chunks(4).map(String::from_utf8_lossy).collect();
    let uri = totp::uri(secret, &who.operator.name);
    let content = html! {
        section.card.narrow {
            h2 { (visit.text("codes.title")) }
            (shell::wrong(wrong))
            p { (visit.text("codes.enter-secret")) }
            p.secret.mono { (groups.join(" ")) }
            p.small { a href=(uri) { (visit.text("codes.open-authenticator")) } }
            p.small.muted.mono.break { (uri) }
            form.stack method="post" action="/account/codes" {
                (shell::form_key_field(visit))
                input type="hidden" name="secret" value=(text);
                label { span { (visit.text("codes.code")) }
                    input.code name="code" inputmode="numeric" autocomplete="one-time-code" maxlength="8" required; }
                (password_field(visit, who))
                button.primary type="submit" { (visit.text("codes.use")) }
            }
            p { a href="/account" { (visit.text("account.back")) } }
        }
    };
    shell::page_with_status(status, visit, Some(who), visit.text("codes.title"), content)
}

/// Uses one-time codes from now on, if a code shows that the authenticator has the secret.
pub(crate) fn add_codes(visit: &Visit, who: &SignedIn) -> Answered {
    uses_password(visit, who)?;
    let Some(secret) = totp::from_base32(visit.form.one("secret")) else { return Err(Problem::FormUnreadable) };
    let again = |text| Ok(codes_form(visit, who, &secret, StatusCode::UNPROCESSABLE_ENTITY, Some(text)));
    let Some(step) = totp::step_of(&secret, visit.form.one("code"), visit.now) else {
        return again(visit.text("codes.wrong"));
    };
    if !shows_password(visit, who)? {
        return again(visit.text("field.password-wrong"));
    }
    changed(visit, who, &OperatorChange::Totp(secret.clone(), step), AuditAction::AddTotp, "")?;
    Ok(Reply::on_to("/account?said=codes-added"))
}

/// Uses none any more.
pub(crate) fn remove_codes(visit: &Visit, who: &SignedIn) -> Answered {
    uses_password(visit, who)?;
    if !shows_password(visit, who)? {
        return account(visit, who, StatusCode::UNPROCESSABLE_ENTITY, Some(visit.text("field.password-wrong")));
    }
    changed(visit, who, &OperatorChange::NoTotp, AuditAction::RemoveTotp, "")?;
    Ok(Reply::on_to("/account?said=codes-removed"))
}

/// Ends a session in another browser.
pub(crate) fn end_session(visit: &Visit, who: &SignedIn) -> Answered {
    let sha256 = hex::decode(visit.label("session")).ok().and_then(|bytes| bytes.try_into().ok());
    let token = TokenDigest::from_sha256(sha256.ok_or(Problem::NotFound)?);
    let audit = visit.did(who, AuditAction::EndSessions, "");
    // One that is over already is what was wanted.
    visit.console.store().end_session(&who.operator.name, &token, &audit)?;
    Ok(Reply::on_to("/account?said=session-ended"))
}

/// Ends all sessions, this one as well: who does this does not trust one of them.
pub(crate) fn end_sessions(visit: &Visit, who: &SignedIn) -> Answered {
    let audit = visit.did(who, AuditAction::EndSessions, "");
    visit.console.store().end_sessions(&who.operator.name, &audit)?;
    Ok(Reply::on_to("/sign-in?said=signed-out"))
}

/// Whether the form has the present password. Wrong ones count as those for signing in do: a session that was left open
/// is no way to try passwords.
fn shows_password(visit: &Visit, who: &SignedIn) -> Result<bool, Problem> {
    let name = who.operator.name.as_str();
    begin_attempt(visit, name)?;
    let kept = who.operator.credential.password();
    let is_right = visit.console.passwords.verify(visit.form.one("password"), kept)?;
    if is_right {
        attempt_was_right(visit, name)?;
    }
    Ok(is_right)
}

fn changed(
    visit: &Visit,
    who: &SignedIn,
    change: &OperatorChange,
    action: AuditAction,
    subject: &str,
) -> Result<(), Problem> {
    let audit = visit.did(who, action, subject);
    Ok(visit.console.store().change_operator(&who.operator.name, change, &audit)?)
}
