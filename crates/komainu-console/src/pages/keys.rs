//! Access keys of programs, for admins: who has which, making, revoking, deleting.

use hyper::StatusCode;
use komainu_model::{AccessKey, AccessKeyId, AccessKeyNote, AccessKeyStatus, Role};
use komainu_ports::{AccessKeyError, AuditAction, ListedAccessKey};
use maud::{Markup, html};

use crate::pages::operators::role_field;
use crate::pages::search::{HITS_MAX, Hit};
use crate::problem::Problem;
use crate::reply::Reply;
use crate::routes::Answered;
use crate::shown::shown;
use crate::visit::{SignedIn, Visit};
use crate::{shell, time};

/// Keys of one page.
const KEYS_MAX: usize = 100;

/// All keys, a page of them; `after` in the query is the id of the last key of the page before.
pub(crate) fn show(visit: &Visit, who: &SignedIn) -> Answered {
    page(visit, who, StatusCode::OK, None, None)
}

fn page(visit: &Visit, who: &SignedIn, status: StatusCode, wrong: Option<&str>, fresh: Option<&AccessKey>) -> Answered {
    let mut keys = visit.console.keys.list();
    if let Ok(after) = AccessKeyId::parse(visit.query.one("after")) {
        keys.retain(|key| key.id > after);
    }
    let has_more = keys.len() > KEYS_MAX;
    keys.truncate(KEYS_MAX);
    let content = html! {
        (shell::said(visit))
        (shell::wrong(wrong))
        @if let Some(key) = fresh { (fresh_key(visit, key)) }
        section.card {
            h2 { (visit.text("keys.all")) }
            @if keys.is_empty() {
                p.muted { (visit.text("keys.none")) " " code { "komainu access-key create --role viewer" } }
            } @else {
                div.scroll tabindex="0" {
                    table.rows.fold {
                        thead { tr {
                            th { (visit.text("keys.id")) }
                            th { (visit.text("operators.role")) }
                            th { (visit.text("keys.note")) }
                            th { (visit.text("operators.state")) }
                            th { (visit.text("keys.made")) }
                            th { (visit.text("keys.used")) }
                            th { span.visually-hidden { (visit.text("operators.actions")) } }
                        } }
                        tbody { @for key in &keys { (row(visit, key)) } }
                    }
                }
                @if let (true, Some(last)) = (has_more, keys.last()) {
                    nav.pages aria-label=(visit.text("audit.pages")) {
                        a.button href={ "/admin/keys?after=" (last.id) } rel="next" { (visit.text("keys.more")) }
                    }
                }
            }
        }
        (form(visit))
    };
    Ok(shell::page_with_status(status, visit, Some(who), visit.text("menu.keys"), content))
}

/// A key that was just made. Its secret is shown nowhere else.
fn fresh_key(visit: &Visit, key: &AccessKey) -> Markup {
    html! {
        section.card.fresh {
            h2 { (visit.text("keys.fresh")) }
            p { (visit.text("keys.once")) }
            p.secret.mono.break { "AWS_ACCESS_KEY_ID=" (key.id) }
            p.secret.mono.break { "AWS_SECRET_ACCESS_KEY=" (key.secret.expose()) }
            p.muted.small { (visit.text("keys.header")) " " code { "x-apikey: ID:SECRET" } }
        }
    }
}

fn row(visit: &Visit, key: &ListedAccessKey) -> Markup {
    let role = visit.texts.word("role", key.role.as_str()).unwrap_or(key.role.as_str());
    let button = |action: &str, text: &str| {
        html! {
            form method="post" action={ "/admin/keys/" (key.id) "/" (action) } {
                (shell::form_key_field(visit))
                button.quiet.danger type="submit" { (text) }
            }
        }
    };
    html! {
        tr {
            td.head.mono { (key.id) }
            td data-label=(visit.text("operators.role")) { (role) }
            td.wide data-label=(visit.text("keys.note")) { (shown(key.note.as_str())) }
            td data-label=(visit.text("operators.state")) {
                @match key.status {
                    AccessKeyStatus::Active => span.muted { (visit.text("keys.active")) },
                    AccessKeyStatus::Revoked => span.badge { (visit.text("keys.revoked")) },
                }
            }
            td.nowrap data-label=(visit.text("keys.made")) { (time::time(key.created_at)) }
            td.nowrap data-label=(visit.text("keys.used")) {
                @match key.used_at {
                    Some(at) => (time::time(at)),
                    None => span.muted { (visit.text("keys.not-since-start")) },
                }
            }
            td.right {
                @match key.status {
                    AccessKeyStatus::Active => (button("revoke", visit.text("keys.revoke"))),
                    AccessKeyStatus::Revoked => (button("delete", visit.text("keys.delete"))),
                }
            }
        }
    }
}

fn form(visit: &Visit) -> Markup {
    html! {
        section.card.narrow {
            h2 { (visit.text("keys.make-title")) }
            p.muted { (visit.text("keys.make-about")) }
            form.stack method="post" action="/admin/keys" {
                (shell::form_key_field(visit))
                label { span { (visit.text("keys.note")) }
                    input name="note" autocomplete="off" maxlength="200" value=(visit.form.one("note")); }
                label { span { (visit.text("operators.role")) }
                    (role_field(visit, Role::Viewer, visit.text("operators.role"))) }
                button.primary type="submit" { (visit.text("keys.make")) }
            }
            dl.roles {
                @for role in Role::ALL {
                    dt { (visit.texts.word("role", role.as_str()).unwrap_or(role.as_str())) }
                    dd.muted { (visit.texts.word("keys.role", role.as_str()).unwrap_or_default()) }
                }
            }
        }
    }
}

/// Makes a key, and shows its secret on the page that answers: nothing could show it later.
pub(crate) fn make(visit: &Visit, who: &SignedIn) -> Answered {
    let again = |text: &str| page(visit, who, StatusCode::UNPROCESSABLE_ENTITY, Some(text), None);
    let Ok(note) = AccessKeyNote::parse(visit.form.one("note")) else { return again(visit.text("keys.note-wrong")) };
    let Ok(role) = Role::parse(visit.form.one("role")) else { return Err(Problem::FormUnreadable) };
    match visit.console.keys.create(role, note) {
        Ok(key) => {
            visit.console.store().note(&visit.did(who, AuditAction::MakeKey, key.id.as_str()))?;
            page(visit, who, StatusCode::OK, None, Some(&key))
        }
        Err(AccessKeyError::TooMany) => again(visit.text("keys.too-many")),
        Err(error) => Err(error.into()),
    }
}

/// Makes a key useless.
pub(crate) fn revoke(visit: &Visit, who: &SignedIn) -> Answered {
    let id = id(visit)?;
    visit.console.keys.revoke(&id)?;
    visit.console.store().note(&visit.did(who, AuditAction::RevokeKey, id.as_str()))?;
    Ok(Reply::on_to("/admin/keys?said=key-revoked"))
}

/// Forgets a revoked key.
pub(crate) fn delete(visit: &Visit, who: &SignedIn) -> Answered {
    let id = id(visit)?;
    match visit.console.keys.delete(&id) {
        Ok(()) => {
            visit.console.store().note(&visit.did(who, AuditAction::DeleteKey, id.as_str()))?;
            Ok(Reply::on_to("/admin/keys?said=key-deleted"))
        }
        Err(AccessKeyError::StillActive { .. }) => {
            page(visit, who, StatusCode::CONFLICT, Some(visit.text("keys.still-active")), None)
        }
        Err(error) => Err(error.into()),
    }
}

fn id(visit: &Visit) -> Result<AccessKeyId, Problem> {
    AccessKeyId::parse(visit.label("id")).map_err(|_| Problem::NotFound)
}

/// Keys whose id or note has a text, for those who may see them.
pub(crate) fn find(visit: &Visit, who: &SignedIn, wanted: &str) -> Result<Vec<Hit>, Problem> {
    if !who.may(Role::Admin) {
        return Ok(Vec::new());
    }
    let wanted = wanted.to_lowercase();
    let has = |text: &str| text.to_lowercase().contains(&wanted);
    let keys = visit.console.keys.list().into_iter();
    let keys = keys.filter(|key| has(key.id.as_str()) || has(key.note.as_str()));
    let kind = visit.text("search.key");
    let hit = |key: ListedAccessKey| Hit { kind, name: key.id.to_string(), path: "/admin/keys".to_owned() };
    Ok(keys.take(HITS_MAX).map(hit).collect())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use hyper::Method;
    use komainu_ports::MemoryLake;

    use super::*;
    use crate::request::tests::{ask, console_with, form_key};

    #[test]
    fn a_key_is_made_seen_once_revoked_and_deleted() {
        let console = console_with(Arc::new(MemoryLake::default()));
        let page = || ask(&console, Some(Role::Admin), Method::GET, "/admin/keys", "").1;
        let post = |path: &str, fields: &str| {
            let form = format!("form_key={}&{fields}", form_key(Role::Admin));
            ask(&console, Some(Role::Admin), Method::POST, path, &form)
        };
        assert!(page().contains("komainu access-key create"));
        let (_, made) = post("/admin/keys", "role=viewer&note=%3Cb%3E%E2%80%AE");
        let key = console.keys.list().remove(0);
        assert_eq!((key.role, key.note.as_str()), (Role::Viewer, "<b>\u{202e}"));
        assert!(made.contains("secret/of/memory") && made.contains("&lt;b&gt;\\u{202e}"), "{made}");
        assert!(!page().contains("secret/of/memory"));
        assert!(post("/admin/keys", "role=viewer&note=a%0Ab").1.contains("role=\"alert\""));
        assert_eq!(post("/admin/keys", "role=owner").0, 400);
        let path = |action: &str| format!("/admin/keys/{}/{action}", key.id);
        assert!(post(&path("delete"), "").1.contains("role=\"alert\""));
        assert_eq!(post(&path("revoke"), "").0, 303);
        assert_eq!(console.keys.list()[0].status, AccessKeyStatus::Revoked);
        assert_eq!(post(&path("delete"), "").0, 303);
        assert_eq!(post(&path("delete"), "").0, 404);
        assert_eq!(post("/admin/keys/short/delete", "").0, 404);
        let audit = ask(&console, Some(Role::Admin), Method::GET, "/admin/audit", "").1;
        for action in ["made an access key", "revoked an access key", "deleted an access key"] {
            assert!(audit.contains(action), "{action}: {audit}");
        }
        assert!(!audit.contains("secret/of/memory"));
        assert_eq!(ask(&console, Some(Role::Analyst), Method::GET, "/admin/keys", "").0, 403);
    }
}
