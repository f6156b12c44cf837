//! The search over everything: each page that has something to find says what it found.

use maud::html;

use crate::pages::{
    alarms, appliances, devices, families, groups, indicator, keys, observables, operators, profiles, publications,
    samples, sensors, sessions, sources, topics,
};
use crate::problem::Problem;
use crate::routes::{Answered, ROUTES};
use crate::shell;
use crate::shown::shown;
use crate::visit::{SignedIn, Visit};

/// Things of one kind that are listed; who wants more asks the page itself.
pub(crate) const HITS_MAX: usize = 20;

/// Something that was found.
pub(crate) struct Hit {
    /// What kind of thing it is, in the language of the visit.
    pub(crate) kind: &'static str,
    /// Its name.
    pub(crate) name: String,
    /// Where it is looked at.
    pub(crate) path: String,
}

/// Looks for a text, which is not empty; at most [`HITS_MAX`].
type Finder = fn(&Visit, &SignedIn, &str) -> Result<Vec<Hit>, Problem>;

/// Who is asked, in the order in which hits are listed.
const FINDERS: &[Finder] = &[
    alarms::find,
    sources::find,
    sessions::find,
    sensors::find,
    appliances::find,
    devices::find,
    groups::find,
    samples::find,
    indicator::find,
    families::find,
    publications::find,
    observables::find,
    profiles::find,
    topics::find,
    find_pages,
    operators::find,
    keys::find,
];

/// The hits.
pub(crate) fn show(visit: &Visit, who: &SignedIn) -> Answered {
    let wanted = visit.query.one("q").trim();
    let mut hits = Vec::new();
    if !wanted.is_empty() {
        for find in FINDERS {
            hits.extend(find(visit, who, wanted)?);
        }
    }
    let content = html! {
        @if wanted.is_empty() {
            section.card.empty { p { (visit.text("search.nothing-asked")) } }
        } @else if hits.is_empty() {
            section.card.empty { p { (visit.filled("search.nothing-found", &[("text", &shown(wanted))])) } }
        } @else {
            section.card {
                table.rows {
                    thead { tr { th { (visit.text("search.kind")) } th { (visit.text("search.name")) } } }
                    tbody {
                        @for hit in &hits {
                            tr { td.muted { (hit.kind) } td { a href=(hit.path) { (shown(&hit.name)) } } }
                        }
                    }
                }
            }
        }
    };
    Ok(shell::page(visit, Some(who), visit.text("search.title"), content))
}

fn find_pages(visit: &Visit, who: &SignedIn, wanted: &str) -> Result<Vec<Hit>, Problem> {
    let wanted = wanted.to_lowercase();
    let listed = ROUTES.iter().filter(|route| route.is_for(who));
    let named = listed.filter_map(|route| Some((visit.text(route.menu?.1), route.path)));
    let found = named.filter(|(name, _)| name.to_lowercase().contains(&wanted)).take(HITS_MAX);
    let kind = visit.text("search.page");
    Ok(found.map(|(name, path)| Hit { kind, name: name.to_owned(), path: path.to_owned() }).collect())
}
