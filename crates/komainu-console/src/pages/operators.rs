//! Operators, for admins: who there is, inviting, roles, letting in and out.

use hyper::StatusCode;
use komainu_model::{OperatorName, Role};
use komainu_ports::{AccountsError, Credential, Link, LinkPurpose, Operator, OperatorState};
use maud::{Markup, html};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use crate::OneTimeLink;
use crate::pages::oidc::through;
use crate::pages::search::{HITS_MAX, Hit};
use crate::problem::Problem;
use crate::reply::Reply;
use crate::routes::Answered;
use crate::visit::{SignedIn, Visit};
use crate::{shell, time};

/// Everybody, and who was invited.
pub(crate) fn show(visit: &Visit, who: &SignedIn) -> Answered {
    page(visit, who, StatusCode::OK, None, None)
}

fn page(
    visit: &Visit,
    who: &SignedIn,
    status: StatusCode,
    wrong: Option<&str>,
    fresh: Option<(&OperatorName, &OneTimeLink)>,
) -> Answered {
    let operators = visit.console.accounts.operators()?;
    let links = visit.console.accounts.links()?;
    let content = html! {
        (shell::said(visit))
        (shell::wrong(wrong))
        @if let Some((name, link)) = fresh { (fresh_link(visit, name, link)) }
        section.card {
            h2 { (visit.text("operators.all")) }
            div.scroll tabindex="0" {
                table.rows.fold {
                    thead { tr {
                        th { (visit.text("field.name")) }
                        th { (visit.text("operators.role")) }
                        th { (visit.text("operators.state")) }
                        th { (visit.text("operators.codes")) }
                        th { (visit.text("operators.signed-in")) }
                        th { span.visually-hidden { (visit.text("operators.actions")) } }
                    } }
                    tbody { @for operator in &operators { (row(visit, who, operator)) } }
                }
            }
            @if operators.iter().any(|operator| matches!(operator.credential, Credential::Provider(_))) {
                p.muted.small { (visit.text("operators.role-of-provider")) }
            }
        }
        @if visit.console.accounts.ask_for_passwords().is_ok() {
            div.columns {
                (invite_form(visit, if fresh.is_some() { "" } else { visit.form.one("name") }))
                (invited(visit, &links))
            }
        } @else {
            section.card { p { (visit.text("operators.no-passwords")) } }
        }
    };
    Ok(shell::page_with_status(status, visit, Some(who), visit.text("menu.operators"), content))
}

/// A link that was just made. It is nowhere else.
fn fresh_link(visit: &Visit, name: &OperatorName, link: &OneTimeLink) -> Markup {
    html! {
        section.card.fresh {
            h2 { (visit.filled("operators.link-for", &[("name", name.as_str())])) }
            p { (visit.text("operators.link-once")) }
            p.secret.mono.break { (link.url) }
            p.muted.small { (visit.text("welcome.until")) " " (time::time(link.expires_at)) " UTC" }
        }
    }
}

fn row(visit: &Visit, who: &SignedIn, operator: &Operator) -> Markup {
    let is_me = operator.name == who.operator.name;
    let is_of_provider = matches!(operator.credential, Credential::Provider(_));
    let has_passwords = visit.console.accounts.ask_for_passwords().is_ok();
    let base = format!("/admin/operators/{}", utf8_percent_encode(operator.name.as_str(), NON_ALPHANUMERIC));
    let form = |action: &str, class: &str, text: &str| {
        html! {
            form method="post" action={ (base) "/" (action) } {
                (shell::form_key_field(visit))
                button class=(class) type="submit" { (text) }
            }
        }
    };
    html! {
        tr {
            td.head {
                div {
                    strong { (operator.name) } @if is_me { " " span.badge { (visit.text("operators.you")) } }
                    @if let Credential::Provider(identity) = &operator.credential {
                        p.through { (visit.filled("operators.through", &[("provider", &through(visit, identity))])) }
                    }
                }
            }
            td data-label=(visit.text("operators.role")) {
                @if is_of_provider {
                    (visit.texts.word("role", operator.role.as_str()).unwrap_or(operator.role.as_str()))
                } @else {
                    form.line method="post" action={ (base) "/role" } {
                        (shell::form_key_field(visit))
                        (role_field(visit, operator.role, &visit.filled("operators.role-of", &[("name", operator.name.as_str())])))
                        button.quiet type="submit" { (visit.text("account.save")) }
                    }
                }
            }
            td data-label=(visit.text("operators.state")) {
                @match operator.state {
                    OperatorState::Enabled => span.muted { (visit.text("operators.enabled")) },
                    OperatorState::Disabled => span.badge.bad { (visit.text("operators.disabled")) },
                }
            }
            td data-label=(visit.text("operators.codes")) { @if is_of_provider { span.muted { "–" } } @else if operator.totp.is_some() { (visit.text("operators.yes")) } @else { span.muted { (visit.text("operators.no")) } } }
            td.nowrap data-label=(visit.text("operators.signed-in")) {
                @match operator.signed_in_at {
                    Some(at) => (time::time(at)),
                    None => span.muted { (visit.text("operators.never")) },
                }
            }
            td.right {
                div.line {
                    @if !is_of_provider && has_passwords { (form("reset", "quiet", visit.text("operators.reset"))) }
                    @match operator.state {
                        OperatorState::Enabled => (form("disable", "quiet danger", visit.text("operators.disable"))),
                        OperatorState::Disabled => (form("enable", "quiet", visit.text("operators.enable"))),
                    }
                }
            }
        }
    }
}

pub(crate) fn role_field(visit: &Visit, chosen: Role, label: &str) -> Markup {
    html! {
        select name="role" aria-label=(label) {
            @for role in Role::ALL {
                option value=(role.as_str()) selected[role == chosen] {
                    (visit.texts.word("role", role.as_str()).unwrap_or(role.as_str()))
                }
            }
        }
    }
}

/// The form for somebody new, with the name that was wrong before.
fn invite_form(visit: &Visit, typed: &str) -> Markup {
    html! {
        section.card {
            h2 { (visit.text("operators.invite-title")) }
            p.muted { (visit.text("operators.invite-about")) }
            form.stack method="post" action="/admin/operators" {
                (shell::form_key_field(visit))
                label { span { (visit.text("field.name")) }
                    input name="name" autocomplete="off" autocapitalize="none" spellcheck="false" maxlength="64"
                        value=(typed) required; }
                label { span { (visit.text("operators.role")) }
                    (role_field(visit, Role::Viewer, visit.text("operators.role"))) }
                button.primary type="submit" { (visit.text("operators.invite")) }
            }
            dl.roles {
                @for role in Role::ALL {
                    dt { (visit.texts.word("role", role.as_str()).unwrap_or(role.as_str())) }
                    dd.muted { (visit.texts.word("role-about", role.as_str()).unwrap_or_default()) }
                }
            }
        }
    }
}

fn invited(visit: &Visit, links: &[Link]) -> Markup {
    let named: Vec<_> = links.iter().filter_map(|link| Some((link.purpose.name()?, link))).collect();
    html! {
        section.card {
            h2 { (visit.text("operators.links")) }
            @if named.is_empty() {
                p.muted { (visit.text("operators.no-links")) }
            } @else {
                div.scroll tabindex="0" { table.rows {
                    thead { tr {
                        th { (visit.text("field.name")) }
                        th { (visit.text("operators.purpose")) }
                        th { (visit.text("operators.until")) }
                    } }
                    tbody {
                        @for (name, link) in named {
                            tr {
                                td { (name) }
                                td {
                                    @match &link.purpose {
                                        LinkPurpose::Invitation { role, .. } => {
                                            (visit.texts.word("role", role.as_str()).unwrap_or(role.as_str()))
                                        }
                                        LinkPurpose::First | LinkPurpose::Reset { .. } => (visit.text("operators.purpose-reset")),
                                    }
                                }
                                td.nowrap { (time::time(link.expires_at)) }
                            }
                        }
                    }
                } }
            }
        }
    }
}

/// Makes a link for somebody new.
pub(crate) fn invite(visit: &Visit, who: &SignedIn) -> Answered {
    let again = |text: &str| page(visit, who, StatusCode::UNPROCESSABLE_ENTITY, Some(text), None);
    let Ok(name) = OperatorName::parse(visit.form.one("name").trim()) else {
        return again(visit.text("field.name-wrong"));
    };
    let Ok(role) = Role::parse(visit.form.one("role")) else { return Err(Problem::FormUnreadable) };
    match visit.console.accounts.invite(&name, role, &visit.by(who)) {
        Ok(link) => page(visit, who, StatusCode::OK, None, Some((&name, &link))),
        Err(AccountsError::Exists(_)) => again(visit.text("operators.exists")),
        Err(AccountsError::Full(most)) => again(&visit.filled("operators.full", &[("count", &most.to_string())])),
        Err(error) => Err(error.into()),
    }
}

/// Makes a link for another password.
pub(crate) fn reset(visit: &Visit, who: &SignedIn) -> Answered {
    let name = name(visit)?;
    let link = visit.console.accounts.reset(&name, &visit.by(who))?;
    page(visit, who, StatusCode::OK, None, Some((&name, &link)))
}

/// Lets somebody do other things.
pub(crate) fn change_role(visit: &Visit, who: &SignedIn) -> Answered {
    let Ok(role) = Role::parse(visit.form.one("role")) else { return Err(Problem::FormUnreadable) };
    done(visit, who, visit.console.accounts.set_role(&name(visit)?, role, &visit.by(who)))
}

/// Lets somebody in again.
pub(crate) fn enable(visit: &Visit, who: &SignedIn) -> Answered {
    done(visit, who, visit.console.accounts.set_state(&name(visit)?, OperatorState::Enabled, &visit.by(who)))
}

/// Lets somebody in no more.
pub(crate) fn disable(visit: &Visit, who: &SignedIn) -> Answered {
    done(visit, who, visit.console.accounts.set_state(&name(visit)?, OperatorState::Disabled, &visit.by(who)))
}

fn name(visit: &Visit) -> Result<OperatorName, Problem> {
    OperatorName::parse(visit.label("name")).map_err(|_| Problem::NotFound)
}

fn done(visit: &Visit, who: &SignedIn, result: Result<(), AccountsError>) -> Answered {
    match result {
        Ok(()) => Ok(Reply::on_to("/admin/operators?said=saved")),
        Err(AccountsError::LastAdmin(_)) => {
            page(visit, who, StatusCode::CONFLICT, Some(visit.text("operators.last-admin")), None)
        }
        Err(error) => Err(error.into()),
    }
}

/// Operators whose name has a text, for those who may see them.
pub(crate) fn find(visit: &Visit, who: &SignedIn, wanted: &str) -> Result<Vec<Hit>, Problem> {
    if !who.may(Role::Admin) {
        return Ok(Vec::new());
    }
    let wanted = wanted.to_lowercase();
    let kind = visit.text("search.operator");
    let names = visit.console.accounts.operators()?.into_iter().map(|operator| operator.name.to_string());
    let hit = |name| Hit { kind, name, path: "/admin/operators".to_owned() };
    Ok(names.filter(|name| name.contains(&wanted)).take(HITS_MAX).map(hit).collect())
}
