//! All pages: which address leads where, who may go there, and what the menu lists. Nothing else decides on a role.

use hyper::Method;
use komainu_model::Role;
use percent_encoding::percent_decode_str;

use crate::live;
use crate::pages::{
    account, alarm, alarms, appliances, attacks, audit, compare, device, devices, families, groups, health, indicator,
    indicators, keys, malware, observables, oidc, operators, overview, profile_editor, profiles, publications, report,
    retention, sample, samples, search, sensors, sessions, sign_in, sources, start, theme, topics, trends, welcome,
};
use crate::problem::Problem;
use crate::reply::Reply;
use crate::visit::{SignedIn, Visit};

/// What a page answers.
pub(crate) type Answered = Result<Reply, Problem>;

/// The parts of a path that its route names, decoded.
pub(crate) type Labels = Vec<(&'static str, String)>;

/// The table. A part of a path in braces stands for whatever is there; the page gets it by [`Visit::label`].
pub(crate) const ROUTES: &[Route] = &[
    get(Role::Viewer, "/", overview::show).menu(Group::Watch, "menu.overview"),
    get(Role::Viewer, "/attacks", attacks::show).menu(Group::Watch, "menu.attacks"),
    get(Role::Viewer, "/attacks/export", attacks::export),
    get(Role::Viewer, "/sources/{address}", sources::show),
    get(Role::Viewer, "/observables", observables::show).menu(Group::Watch, "menu.observables"),
    get(Role::Viewer, "/observables/one", observables::show_one),
    get(Role::Viewer, "/trends", trends::show).menu(Group::Watch, "menu.trends"),
    get(Role::Viewer, "/sensors", sensors::show).menu(Group::Watch, "menu.sensors"),
    get(Role::Viewer, "/sensors/{name}", sensors::show_one),
    get(Role::Viewer, "/appliances", appliances::show).menu(Group::Watch, "menu.appliances"),
    get(Role::Viewer, "/compare", compare::show),
    get(Role::Viewer, "/appliances/{name}", appliances::show_one),
    get(Role::Viewer, "/sessions/at", sessions::show_at),
    get(Role::Viewer, "/sessions/{session}", sessions::show),
    get(Role::Viewer, "/sessions/{session}/records", sessions::records),
    post(Role::Analyst, "/sessions/{session}/capture", sessions::capture),
    get(Role::Viewer, "/live", live::show),
    get(Role::Viewer, "/alarms", alarms::show).menu(Group::Fleet, "menu.alarms"),
    get(Role::Viewer, "/alarms/{violation}", alarm::show),
    post(Role::Analyst, "/alarms/{violation}/verify", alarm::verify),
    post(Role::Analyst, "/alarms/{violation}/suppress", alarm::suppress),
    post(Role::Analyst, "/alarms/{violation}/resume", alarm::resume),
    get(Role::Viewer, "/devices", devices::show).menu(Group::Fleet, "menu.devices"),
    get(Role::Viewer, "/devices/{name}", device::show),
    get(Role::Viewer, "/groups", groups::show).menu(Group::Fleet, "menu.groups"),
    get(Role::Viewer, "/groups/{name}", groups::show_one),
    get(Role::Viewer, "/malware", malware::show).menu(Group::Analyse, "menu.malware"),
    get(Role::Viewer, "/samples", samples::show).menu(Group::Analyse, "menu.samples"),
    get(Role::Viewer, "/samples/{sha256}", sample::show),
    get(Role::Viewer, "/samples/{sha256}/{document}", sample::document),
    post(Role::Analyst, "/samples/{sha256}/again", sample::examine_again),
    get(Role::Viewer, "/families", families::show).menu(Group::Analyse, "menu.families"),
    get(Role::Viewer, "/families/{name}", families::show_one),
    get(Role::Viewer, "/indicators", indicators::show).menu(Group::Analyse, "menu.indicators"),
    post(Role::Analyst, "/indicators", indicators::add),
    get(Role::Viewer, "/indicators/refused", indicators::show_refused),
    get(Role::Viewer, "/indicators/{id}", indicator::show),
    post(Role::Analyst, "/indicators/{id}/revoke", indicator::revoke),
    get(Role::Viewer, "/publications", publications::show).menu(Group::Analyse, "menu.publications"),
    get(Role::Viewer, "/report", report::show).menu(Group::Analyse, "menu.report"),
    get(Role::Viewer, "/report/{month}", report::document),
    get(Role::Viewer, "/help", start::show).menu(Group::Watch, "menu.start"),
    get(Role::Viewer, "/search", search::show),
    open_get("/welcome", welcome::show),
    open_post("/welcome", welcome::accept),
    open_get("/sign-in", sign_in::show),
    open_post("/sign-in", sign_in::sign_in),
    open_get("/enter", sign_in::show_link),
    open_post("/enter", sign_in::use_link),
    open_get("/oidc/sign-in", oidc::begin),
    open_get("/oidc/callback", oidc::arrive),
    open_get("/oidc/sign-out", oidc::sign_out),
    open_post("/theme", theme::choose),
    post(Role::Viewer, "/sign-out", sign_in::sign_out),
    get(Role::Viewer, "/account", account::show),
    post(Role::Viewer, "/account/password", account::change_password),
    post(Role::Viewer, "/account/language", account::change_language),
    get(Role::Viewer, "/account/codes", account::show_codes),
    post(Role::Viewer, "/account/codes", account::add_codes),
    post(Role::Viewer, "/account/codes/remove", account::remove_codes),
    post(Role::Viewer, "/account/sessions/end", account::end_sessions),
    post(Role::Viewer, "/account/sessions/{session}/end", account::end_session),
    get(Role::Viewer, "/profiles", profiles::show).menu(Group::Fleet, "menu.profiles"),
    get(Role::Analyst, "/profiles/new", profile_editor::show_new),
    post(Role::Analyst, "/profiles/new", profile_editor::send_new),
    get(Role::Viewer, "/profiles/{name}", profiles::show_one),
    get(Role::Analyst, "/profiles/{name}/edit", profile_editor::show),
    post(Role::Analyst, "/profiles/{name}/edit", profile_editor::send),
    get(Role::Analyst, "/profiles/{name}/delete", profiles::ask_to_delete),
    post(Role::Analyst, "/profiles/{name}/delete", profiles::delete),
    get(Role::Viewer, "/topics", topics::show).menu(Group::Fleet, "menu.topics"),
    post(Role::Analyst, "/topics", topics::create),
    get(Role::Viewer, "/topics/{name}", topics::show_one),
    post(Role::Analyst, "/topics/{name}/subscribe", topics::subscribe),
    post(Role::Analyst, "/topics/{name}/unsubscribe", topics::unsubscribe),
    post(Role::Analyst, "/topics/{name}/test", topics::test),
    get(Role::Admin, "/admin/operators", operators::show).menu(Group::Admin, "menu.operators"),
    post(Role::Admin, "/admin/operators", operators::invite),
    post(Role::Admin, "/admin/operators/{name}/role", operators::change_role),
    post(Role::Admin, "/admin/operators/{name}/enable", operators::enable),
    post(Role::Admin, "/admin/operators/{name}/disable", operators::disable),
    post(Role::Admin, "/admin/operators/{name}/reset", operators::reset),
    get(Role::Admin, "/admin/keys", keys::show).menu(Group::Admin, "menu.keys"),
    post(Role::Admin, "/admin/keys", keys::make),
    post(Role::Admin, "/admin/keys/{id}/revoke", keys::revoke),
    post(Role::Admin, "/admin/keys/{id}/delete", keys::delete),
    get(Role::Admin, "/admin/retention", retention::show).menu(Group::Admin, "menu.retention"),
    get(Role::Admin, "/admin/health", health::show).menu(Group::Admin, "menu.health"),
    get(Role::Admin, "/admin/audit", audit::show).menu(Group::Admin, "menu.audit"),
];

/// A line of the table.
pub(crate) struct Route {
    method: Verb,
    pub(crate) path: &'static str,
    pub(crate) answer: Answer,
    /// Where the menu lists it, and the key of its name there.
    pub(crate) menu: Option<(Group, &'static str)>,
}

/// Who may go there, and what answers.
#[derive(Clone, Copy)]
pub(crate) enum Answer {
    /// Everybody.
    Open(fn(&Visit) -> Answered),
    /// Operators with this role, or with one that may do more.
    AtLeast(Role, fn(&Visit, &SignedIn) -> Answered),
}

/// What is done with an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verb {
    Get,
    Post,
}

/// Groups of the menu, in their order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Group {
    /// What happens.
    Watch,
    /// The devices that are guarded.
    Fleet,
    /// What attackers left behind, and what is known by it.
    Analyse,
    /// Who uses the console.
    Admin,
}

impl Group {
    /// All of them, in the order of the menu.
    pub(crate) const ALL: [Self; 4] = [Self::Watch, Self::Fleet, Self::Analyse, Self::Admin];

    /// The word for it in keys of texts.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Watch => "watch",
            Self::Fleet => "fleet",
            Self::Analyse => "analyse",
            Self::Admin => "admin",
        }
    }
}

const fn get(role: Role, path: &'static str, answer: fn(&Visit, &SignedIn) -> Answered) -> Route {
    Route { method: Verb::Get, path, answer: Answer::AtLeast(role, answer), menu: None }
}

const fn post(role: Role, path: &'static str, answer: fn(&Visit, &SignedIn) -> Answered) -> Route {
    Route { method: Verb::Post, path, answer: Answer::AtLeast(role, answer), menu: None }
}

const fn open_get(path: &'static str, answer: fn(&Visit) -> Answered) -> Route {
    Route { method: Verb::Get, path, answer: Answer::Open(answer), menu: None }
}

const fn open_post(path: &'static str, answer: fn(&Visit) -> Answered) -> Route {
    Route { method: Verb::Post, path, answer: Answer::Open(answer), menu: None }
}

impl Route {
    const fn menu(self, group: Group, key: &'static str) -> Self {
        Self { menu: Some((group, key)), ..self }
    }

    /// Whether this operator may go there.
    pub(crate) fn is_for(&self, who: &SignedIn) -> bool {
        match self.answer {
            Answer::Open(_) => true,
            Answer::AtLeast(role, _) => who.may(role),
        }
    }

    /// What the path has in the places that this route names, if it is one of its paths.
    fn labels(&self, path: &str) -> Option<Labels> {
        let (mut names, mut parts) = (self.path.split('/'), path.split('/'));
        let mut labels = Vec::new();
        loop {
            match (names.next(), parts.next()) {
                (None, None) => return Some(labels),
                (Some(name), Some(part)) => match name.strip_prefix('{').and_then(|name| name.strip_suffix('}')) {
                    Some(_) if part.is_empty() => return None,
                    Some(name) => labels.push((name, percent_decode_str(part).decode_utf8().ok()?.into_owned())),
                    None if name == part => {}
                    None => return None,
                },
                (None, Some(_)) | (Some(_), None) => return None,
            }
        }
    }
}

/// The line for a request, and the labels of its path.
pub(crate) fn find(method: &Method, path: &str) -> Result<(&'static Route, Labels), Problem> {
    let verb = match *method {
        Method::GET | Method::HEAD => Verb::Get,
        Method::POST => Verb::Post,
        _ => return Err(Problem::WrongMethod),
    };
    let mut of_path = ROUTES.iter().filter_map(|route| Some((route, route.labels(path)?))).peekable();
    let nothing = if of_path.peek().is_some() { Problem::WrongMethod } else { Problem::NotFound };
    of_path.find(|(route, _)| route.method == verb).ok_or(nothing)
}

#[cfg(test)]
mod tests {
    use super::*;
    use komainu_texts::Texts;

    #[test]
    fn addresses_lead_to_their_lines() {
        let check = |method: Method, path: &str, expected: Option<&str>| {
            let found = find(&method, path).ok().map(|(route, labels)| {
                labels.iter().fold(route.path.to_owned(), |text, (name, value)| text + &format!(" {name}={value}"))
            });
            assert_eq!(found.as_deref(), expected, "{method} {path}");
        };
        check(Method::GET, "/", Some("/"));
        check(Method::HEAD, "/admin/audit", Some("/admin/audit"));
        check(Method::GET, "/admin/audit/", None);
        check(Method::GET, "/nowhere", None);
        check(Method::POST, "/admin/audit", None);
        check(Method::DELETE, "/", None);
        check(Method::POST, "/admin/operators/a%40b/role", Some("/admin/operators/{name}/role name=a@b"));
        check(Method::POST, "/admin/operators//role", None);
        check(Method::POST, "/admin/operators/%ff/role", None);
        check(Method::GET, "", None);
    }

    #[test]
    fn only_those_who_are_signed_in_change_something() {
        let open: Vec<_> = ROUTES.iter().filter(|route| matches!(route.answer, Answer::Open(_))).collect();
        let paths: Vec<_> = open.iter().map(|route| route.path).collect();
        let of_provider = ["/oidc/sign-in", "/oidc/callback", "/oidc/sign-out"];
        let others = ["/welcome", "/welcome", "/sign-in", "/sign-in", "/enter", "/enter"];
        assert_eq!(paths, [&others[..], &of_provider, &["/theme"]].concat());
        for route in ROUTES.iter().filter(|route| route.path.starts_with("/admin")) {
            assert!(matches!(route.answer, Answer::AtLeast(Role::Admin, _)), "{}", route.path);
        }
    }

    #[test]
    fn the_menu_has_names_and_explanations() {
        for language in komainu_model::Language::ALL {
            let texts = Texts::of(language);
            for group in Group::ALL {
                assert!(texts.word("group", group.as_str()).is_some());
            }
            for route in ROUTES.iter().filter(|route| route.menu.is_some()) {
                let word = start::word_of(route.path);
                assert!(texts.word("about", &word).is_some(), "there is no text about.{word}");
            }
        }
    }
}
