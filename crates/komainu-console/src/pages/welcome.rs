//! Where a one-time link leads: choosing a password, and for the first operator a name.

use hyper::StatusCode;
use komainu_model::OperatorName;
use komainu_ports::{Actor, AuditAction, AuditEntry, AuditOutcome, Link, LinkPurpose};
use maud::{Markup, html};

use crate::accounts::digest_of;
use crate::password::{self, PASSWORD_BYTES_MAX, PASSWORD_BYTES_MIN, Unfit};
use crate::problem::Problem;
use crate::reply::Reply;
use crate::routes::Answered;
use crate::visit::Visit;
use crate::{shell, time};

/// The form.
pub(crate) fn show(visit: &Visit) -> Answered {
    visit.console.accounts.ask_for_passwords()?;
    let token = visit.query.one("token");
    let link = visit.console.store().link(&digest_of(token), visit.now)?;
    Ok(form(visit, token, &link, StatusCode::OK, None))
}

fn form(visit: &Visit, token: &str, link: &Link, status: StatusCode, wrong: Option<&str>) -> Reply {
    let content = html! {
        section.card.narrow {
            h2 { (visit.text("welcome.title")) }
            p { (greeting(visit, &link.purpose)) }
            (shell::wrong(wrong))
            form.stack method="post" action="/welcome" {
                (shell::form_key_field(visit))
                input type="hidden" name="token" value=(token);
                label { span { (visit.text("field.name")) }
                    @match link.purpose.name() {
                        Some(name) => { input name="name" autocomplete="username" value=(name) readonly; }
                        None => {
                            input name="name" autocomplete="username" autocapitalize="none" spellcheck="false"
                                maxlength="64" value=(visit.form.one("name")) required autofocus;
                        }
                    }
                }
                (new_password_fields(visit))
                button.primary type="submit" { (visit.text("welcome.button")) }
            }
            p.muted.small { (visit.text("welcome.until")) " " (time::time(link.expires_at)) " UTC" }
        }
    };
    shell::page_with_status(status, visit, None, visit.text("welcome.title"), content)
}

fn greeting(visit: &Visit, purpose: &LinkPurpose) -> String {
    match purpose {
        LinkPurpose::First => visit.text("welcome.first").to_owned(),
        LinkPurpose::Invitation { role, .. } => {
            let role = visit.texts.word("role", role.as_str()).unwrap_or(role.as_str());
            visit.filled("welcome.invitation", &[("role", role)])
        }
        LinkPurpose::Reset { .. } => visit.text("welcome.reset").to_owned(),
    }
}

/// Uses the link.
pub(crate) fn accept(visit: &Visit) -> Answered {
    let console = &*visit.console;
    console.accounts.ask_for_passwords()?;
    let token = visit.form.one("token");
    let link = console.store().link(&digest_of(token), visit.now)?;
    let again = |text: String| Ok(form(visit, token, &link, StatusCode::UNPROCESSABLE_ENTITY, Some(&text)));
    let name = match OperatorName::parse(visit.form.one("name").trim()) {
        Ok(name) => name,
        Err(_) => return again(visit.text("field.name-wrong").to_owned()),
    };
    if link.purpose.name().is_some_and(|of_link| *of_link != name) {
        return Err(Problem::LinkGone);
    }
    let password = match new_password(visit, &name) {
        Ok(password) => password,
        Err(text) => return again(text),
    };
    let hash = console.passwords.hash(password, &*console.ids)?;
    let audit = AuditEntry {
        at: visit.now,
        actor: Actor::Operator(name.clone()),
        address: Some(visit.address),
        action: AuditAction::Welcome,
        subject: String::new(),
        outcome: AuditOutcome::Done,
    };
    console.store().use_link(&digest_of(token), &name, &hash, &audit)?;
    Ok(Reply::on_to("/sign-in?said=welcome"))
}

/// The fields of a form for another password.
pub(crate) fn new_password_fields(visit: &Visit) -> Markup {
    let (least, most) = (PASSWORD_BYTES_MIN.to_string(), PASSWORD_BYTES_MAX.to_string());
    html! {
        label { span { (visit.text("field.new-password")) }
            input type="password" name="new" autocomplete="new-password" minlength="4" maxlength=(most) required
                aria-describedby="password-hint"; }
        p #password-hint .muted.small { (visit.filled("field.password-hint", &[("bytes", &least)])) }
        label { span { (visit.text("field.repeated")) }
            input type="password" name="repeated" autocomplete="new-password" maxlength=(most) required; }
    }
}

/// The password of such a form, or what is wrong with it.
pub(crate) fn new_password<'a>(visit: &'a Visit, name: &OperatorName) -> Result<&'a str, String> {
    let (password, repeated) = (visit.form.one("new"), visit.form.one("repeated"));
    if password != repeated {
        return Err(visit.text("field.not-repeated").to_owned());
    }
    let (least, most) = (PASSWORD_BYTES_MIN.to_string(), PASSWORD_BYTES_MAX.to_string());
    match password::check(password, name) {
        Ok(()) => Ok(password),
        Err(Unfit::Short) => Err(visit.filled("field.too-short", &[("bytes", &least)])),
        Err(Unfit::Long) => Err(visit.filled("field.too-long", &[("bytes", &most)])),
        Err(Unfit::Common) => Err(visit.text("field.too-common").to_owned()),
    }
}
