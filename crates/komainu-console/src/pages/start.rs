//! What there is.

use maud::html;

use crate::routes::{Answered, Group, ROUTES};
use crate::shell;
use crate::visit::{SignedIn, Visit};

/// A card for each page of the menu that this operator may open, with a sentence about it.
pub(crate) fn show(visit: &Visit, who: &SignedIn) -> Answered {
    let listed = |group| {
        let others = ROUTES.iter().filter(|route| route.path != "/help" && route.is_for(who));
        others.filter_map(move |route| Some((route.path, route.menu.filter(|(of, _)| *of == group)?.1)))
    };
    let content = html! {
        @for group in Group::ALL {
            @if listed(group).next().is_some() {
                h2.group { (visit.texts.word("group", group.as_str()).unwrap_or_default()) }
                div.cards {
                    @for (path, key) in listed(group) {
                        a.card.link href=(path) {
                            strong { (visit.text(key)) }
                            p.muted { (visit.texts.word("about", &word_of(path)).unwrap_or_default()) }
                        }
                    }
                }
            }
        }
        h2.group { (visit.text("start.yours")) }
        div.cards {
            a.card.link href="/account" {
                strong { (visit.text("account.title")) }
                p.muted { (visit.texts.word("about", "account").unwrap_or_default()) }
            }
        }
    };
    Ok(shell::page(visit, Some(who), visit.text("menu.start"), content))
}

/// The word for a page in keys of texts: its path with hyphens.
pub(crate) fn word_of(path: &str) -> String {
    match path.trim_matches('/') {
        "" => "overview".to_owned(),
        path => path.replace('/', "-"),
    }
}
