//! What is around every page: the menu, the bar at the top, the head.

use hyper::StatusCode;
use maud::{DOCTYPE, Markup, html};

use crate::form_key;
use crate::reply::Reply;
use crate::routes::{Group, ROUTES, Route};
use crate::value;
use crate::visit::{SignedIn, Theme, Visit};

/// A page.
pub(crate) fn page(visit: &Visit, who: Option<&SignedIn>, title: &str, content: Markup) -> Reply {
    page_with_status(StatusCode::OK, visit, who, title, content)
}

/// A page that answers with this status.
pub(crate) fn page_with_status(
    status: StatusCode,
    visit: &Visit,
    who: Option<&SignedIn>,
    title: &str,
    content: Markup,
) -> Reply {
    let body = match who {
        Some(who) => with_menu(visit, who, title, content),
        None => alone(visit, title, content),
    };
    let assets = &visit.console.assets;
    let page = html! {
        (DOCTYPE)
        html lang=(visit.language.tag()) data-theme=(visit.theme.as_str()) {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content=(color_scheme(visit.theme));
                title { (title) " · Komainu" }
                link rel="icon" type="image/svg+xml" href=(assets.mark.path);
                link rel="stylesheet" href=(assets.style.path);
                link rel="stylesheet" href=(assets.charts.path);
                script type="module" src=(assets.script.path) {}
            }
            (body)
        }
    };
    Reply::page(status, page)
}

/// The field that every form needs.
pub(crate) fn form_key_field(visit: &Visit) -> Markup {
    html! { input type="hidden" name=(form_key::FIELD) value=(visit.form_key.as_str()); }
}

/// What was done, when a form led here: `?said=WORD` with a word of the catalogue.
pub(crate) fn said(visit: &Visit) -> Markup {
    let said = visit.texts.word("said", visit.query.one("said"));
    html! { @if let Some(said) = said { p.note.ok role="status" { (said) } } }
}

/// Says that the page shows what is now: the script asks for it again when there is news of these kinds (`attacks`, `alarms`),
/// or offers to.
pub(crate) fn live(visit: &Visit, kinds: &str) -> Markup {
    html! { div hidden data-live=(kinds) data-offer=(visit.text("live.offer")) {} }
}

/// What is wrong with a form that came.
pub(crate) fn wrong(text: Option<&str>) -> Markup {
    html! { @if let Some(text) = text { p.note.bad role="alert" { (text) } } }
}

fn color_scheme(theme: Theme) -> &'static str {
    match theme {
        Theme::Auto => "light dark",
        Theme::Dark => "dark",
        Theme::Light => "light",
    }
}

fn with_menu(visit: &Visit, who: &SignedIn, title: &str, content: Markup) -> Markup {
    html! {
        body {
            a.skip href="#content" { (visit.text("shell.skip")) }
            div.shell {
                (menu(visit, who))
                div.main {
                    (bar(visit, title))
                    main #content tabindex="-1" { (content) }
                }
            }
            (keys(visit))
            (value::menu(visit))
        }
    }
}

/// A page for those who are not signed in.
fn alone(visit: &Visit, title: &str, content: Markup) -> Markup {
    html! {
        body.alone {
            main #content {
                div.brand { (mark(visit)) span { "Komainu" } }
                h1.visually-hidden { (title) }
                (content)
                (theme_form(visit))
            }
        }
    }
}

fn mark(visit: &Visit) -> Markup {
    html! { img src=(visit.console.assets.mark.path) alt="" width="22" height="22"; }
}

fn menu(visit: &Visit, who: &SignedIn) -> Markup {
    let listed = |group: Group| {
        let of_group = move |route: &&Route| route.menu.is_some_and(|(of, _)| of == group) && route.is_for(who);
        ROUTES.iter().filter(of_group)
    };
    let here = ROUTES.iter().filter(|route| route.menu.is_some() && is_within(&visit.path, route.path));
    let here = here.max_by_key(|route| route.path.len()).map(|route| route.path);
    html! {
        nav.menu aria-label=(visit.text("shell.menu")) {
            a.brand href="/" { (mark(visit)) span { "Komainu" } }
            // Without script, the menu of a narrow window opens as a disclosure does.
            input #menu-open type="checkbox" aria-label=(visit.text("shell.open-menu"));
            label.menu-button for="menu-open" aria-hidden="true" { "☰" }
            div.menu-groups {
                @for group in Group::ALL {
                    @if listed(group).next().is_some() {
                        h2 { (visit.texts.word("group", group.as_str()).unwrap_or_default()) }
                        ul {
                            @for route in listed(group) {
                                @if let Some((_, key)) = route.menu {
                                    li {
                                        a href=(route.path) aria-current=[(here == Some(route.path)).then_some("page")] {
                                            (visit.text(key))
                                        }
                                    }
                                }
                            }
                        }
                    }
                }
                (whoami(visit, who))
            }
        }
    }
}

/// Whether a page is the one of this path or below it. Everything is below the start, which counts only by itself.
fn is_within(path: &str, of: &str) -> bool {
    path == of || of != "/" && path.strip_prefix(of).is_some_and(|rest| rest.starts_with('/'))
}

fn whoami(visit: &Visit, who: &SignedIn) -> Markup {
    let role = who.operator.role.as_str();
    html! {
        div.whoami {
            a href="/account" aria-current=[visit.path.starts_with("/account").then_some("page")] {
                strong { (who.operator.name) }
                span.muted { (visit.texts.word("role", role).unwrap_or(role)) }
            }
            form method="post" action="/sign-out" {
                (form_key_field(visit))
                button.quiet type="submit" { (visit.text("shell.sign-out")) }
            }
        }
    }
}

fn bar(visit: &Visit, title: &str) -> Markup {
    let q = if visit.path == "/search" { visit.query.one("q") } else { "" };
    html! {
        header.bar {
            h1 { (title) }
            form.search method="get" action="/search" role="search" {
                input #search type="search" name="q" value=(q) maxlength="256" autocomplete="off"
                    aria-label=(visit.text("shell.search")) placeholder=(visit.text("shell.search"));
                kbd aria-hidden="true" { "/" }
            }
            (theme_form(visit))
        }
    }
}

/// From one theme to the next.
fn theme_form(visit: &Visit) -> Markup {
    let next = match visit.theme {
        Theme::Auto => Theme::Dark,
        Theme::Dark => Theme::Light,
        Theme::Light => Theme::Auto,
    };
    let now = visit.texts.word("theme", visit.theme.as_str()).unwrap_or_default();
    let label = visit.filled("shell.theme", &[("theme", now)]);
    html! {
        form.theme method="post" action="/theme" {
            (form_key_field(visit))
            input type="hidden" name="then" value=(visit.way_back());
            button.icon type="submit" name="theme" value=(next.as_str()) title=(label) aria-label=(label) {
                (theme_picture(visit.theme))
            }
        }
    }
}

/// A disc that is half dark, a moon, a sun.
fn theme_picture(theme: Theme) -> Markup {
    let path = match theme {
        Theme::Auto => "M21 12a9 9 0 1 1-18 0 9 9 0 0 1 18 0Z M12 3a9 9 0 0 1 0 18 M12 3v18 M15 4.2v15.6 M18 6v12",
        Theme::Dark => "M20 14.5A8.5 8.5 0 0 1 9.5 4 8.5 8.5 0 1 0 20 14.5Z",
        Theme::Light => {
            "M16 12a4 4 0 1 1-8 0 4 4 0 0 1 8 0Z M12 2.5v2M12 19.5v2M2.5 12h2M19.5 12h2 \
             M5.3 5.3l1.4 1.4M17.3 17.3l1.4 1.4M5.3 18.7l1.4-1.4M17.3 6.7l1.4-1.4"
        }
    };
    html! {
        svg viewBox="0 0 24 24" width="18" height="18" fill="none" stroke="currentColor" stroke-width="1.8"
            stroke-linecap="round" stroke-linejoin="round" aria-hidden="true" {
            path d=(path) {}
        }
    }
}

/// What the keyboard does; the script opens it.
fn keys(visit: &Visit) -> Markup {
    let lines = [
        ("/", visit.text("keys.search")),
        ("?", visit.text("keys.help")),
        ("j", visit.text("keys.down")),
        ("k", visit.text("keys.up")),
        ("Enter", visit.text("keys.open")),
        ("Esc", visit.text("keys.leave")),
    ];
    html! {
        dialog #keys aria-labelledby="keys-title" {
            h2 #keys-title { (visit.text("keys.title")) }
            dl { @for (key, text) in lines { dt { kbd { (key) } } dd { (text) } } }
            form method="dialog" { button type="submit" { (visit.text("keys.close")) } }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_menu_knows_where_one_is() {
        let check = |path, of, expected| assert_eq!(is_within(path, of), expected, "{path} {of}");
        check("/", "/", true);
        check("/admin", "/", false);
        check("/admin/audit", "/admin/audit", true);
        check("/admin/audit/5", "/admin/audit", true);
        check("/admin/auditor", "/admin/audit", false);
    }
}
