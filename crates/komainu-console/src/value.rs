//! Values of attackers and devices: an address, a port, a credential, a device. One place makes them for all pages.
//!
//! Each is a link to its page, or to the attacks with it. With script, a click opens a menu that says what else can be done
//! with it: the page has that menu once ([`menu`]), and a value says in attributes what it is. Where a page is about some
//! attacks only, [`narrowed`] says which, so that the menu's links keep that.

use std::net::IpAddr;

use komainu_charts::Link;
use komainu_ports::{LakeKind, LakeTable};
use maud::{Markup, html};

use crate::address::{address, defanged, part};
use crate::condition::is_one;
use crate::pages::observables::KINDS;
use crate::period::Period;
use crate::visit::Visit;
use crate::watch::brief;

/// Longer values, in bytes, have no menu and no link: addresses of pages that carry them would have no room for the rest.
pub(crate) const BYTES_MAX: usize = 600;

/// Kinds of values that are no columns of the lake, which have pages by themselves.
const OTHERS: [&str; 7] = ["sample", "family", "processor", "indicator", "device", "profile", "group"];

/// Kinds of values whose link leads to a list of those that have it.
const WITHOUT_PAGE: [&str; 9] =
    ["country", "asn", "appliance", "protocol", "transport", "port", "label", "release", "processor"];

/// What can be done with a value, in the order of the menu: the word for it in the script, and in keys of texts.
const DEEDS: [&str; 7] = ["look", "only", "without", "attacks", "search", "copy", "safe"];

/// A value as it is: what is long is cut.
pub(crate) fn value(kind: &str, raw: &str) -> Markup {
    shown_as(kind, raw, html! { (brief(raw)) })
}

/// A value that is shown by another text, or in a colour.
pub(crate) fn shown_as(kind: &str, raw: &str, content: Markup) -> Markup {
    match page_of(kind, raw) {
        Some(page) => leading_to(&page, kind, raw, content),
        None => content,
    }
}

/// A value with the page where it leads, whoever knows a better one than [`page_of`].
pub(crate) fn leading_to(page: &str, kind: &str, raw: &str, content: Markup) -> Markup {
    debug_assert!(is_kind(kind), "no such kind of value: {kind}");
    if raw.len() > BYTES_MAX {
        return content;
    }
    html! { a.value href=(page) data-filter=(filter(kind, raw)) data-safe=[safe(raw)] { (content) } }
}

/// The same for charts.
pub(crate) fn link(page: Option<Link>, kind: &str, raw: &str) -> Option<Link> {
    if raw.len() > BYTES_MAX {
        return page;
    }
    let page = page.or_else(|| Link::new(&page_of(kind, raw)?))?.with_filter(kind, raw);
    Some(match safe(raw) {
        Some(safe) => page.with_safe(&safe),
        None => page,
    })
}

/// Where a value is looked at: its own page, or the attacks with it. An empty one, and one that cannot be what it should be,
/// has none.
pub(crate) fn page_of(kind: &str, raw: &str) -> Option<String> {
    if raw.len() > BYTES_MAX || raw.is_empty() && !is_column(kind) {
        return None;
    }
    Some(match kind {
        "source" => format!("/sources/{}", part(&raw.parse::<IpAddr>().ok()?.to_string())),
        "sensor" if !raw.is_empty() => format!("/sensors/{}", part(raw)),
        "model" if !raw.is_empty() => format!("/appliances/{}", part(raw)),
        "sample" => format!("/samples/{}", part(raw)),
        "family" => format!("/families/{}", part(raw)),
        "processor" => address("/samples", &[(kind, raw)]),
        "device" => format!("/devices/{}", part(raw)),
        "profile" => format!("/profiles/{}", part(raw)),
        "group" => format!("/groups/{}", part(raw)),
        kind if KINDS.contains(&kind) => address("/observables/one", &[("kind", kind), ("value", raw)]),
        column if is_column(column) => address("/attacks", &[("where", &is_one(column, raw))]),
        _ => return None,
    })
}

/// Says which attacks a page is about, by tests of columns and a period: what narrows them further is added.
pub(crate) fn narrowed(period: &Period, tests: &[String]) -> Markup {
    let fields = period.fields();
    let with = |path: &str, tests: &mut dyn Iterator<Item = &String>| {
        let mut all: Vec<(&str, &str)> = tests.map(|test| ("where", test.as_str())).collect();
        all.extend(fields.iter().map(|(name, value)| (*name, value.as_str())));
        address(path, &all)
    };
    let is_observed = |test: &&String| {
        let name = test.split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_').next();
        name.is_some_and(|name| LakeTable::Observables.column(name).is_some())
    };
    html! {
        div hidden data-attacks=(with("/attacks", &mut tests.iter()))
            data-observables=(with("/observables", &mut tests.iter().filter(is_observed))) {}
    }
}

/// Says that a page lists things which fields of its address filter: these kinds, each by the field of its name.
/// `without` stands before a value that is left out; a page that cannot leave out has none.
pub(crate) fn filtered_by(page: &str, kinds: &[&str], without: Option<&str>) -> Markup {
    html! { div hidden data-list=(page) data-fields=(kinds.join(" ")) data-without=[without] {} }
}

/// The menu of all values of a page, which the script fills and opens.
pub(crate) fn menu(visit: &Visit) -> Markup {
    let period = ["range", "from", "to"].map(|name| (name, visit.query.one(name)));
    let columns = LakeTable::Attacks.columns().iter().filter(|column| column.kind != LakeKind::Time);
    let columns: Vec<&str> = columns.map(|column| column.name).collect();
    html! {
        div #values popover="auto" data-attacks=(address("/attacks", &period)) data-observables=(address("/observables", &period))
            data-columns=(columns.join(" ")) data-kinds=(KINDS.join(" ")) data-pageless=(WITHOUT_PAGE.join(" "))
            data-copied=(visit.text("value.copied")) {
            p.mono.break {}
            div role="menu" aria-label=(visit.text("value.menu")) {
                @for deed in DEEDS {
                    @let text = visit.texts.word("value-do", deed).unwrap_or(deed);
                    @if matches!(deed, "copy" | "safe") { button type="button" role="menuitem" tabindex="-1" data-do=(deed) { (text) @if deed == "safe" { " " code {} } } }
                    @else { a role="menuitem" tabindex="-1" data-do=(deed) { (text) } }
                }
            }
        }
        p #values-said .visually-hidden role="status" {}
    }
}

fn is_column(kind: &str) -> bool {
    LakeTable::Attacks.column(kind).is_some()
}

fn is_kind(kind: &str) -> bool {
    is_column(kind) || KINDS.contains(&kind) || OTHERS.contains(&kind)
}

/// What it is, percent-encoded, so that no byte of it acts on the page.
fn filter(kind: &str, raw: &str) -> String {
    format!("{kind}={}", part(raw))
}

/// The value as it is passed on, when that is another text.
fn safe(raw: &str) -> Option<String> {
    Some(part(&defanged(raw))).filter(|safe| *safe != part(raw))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_lead_to_their_pages() {
        let check = |kind: &str, raw: &str, expected: Option<&str>| {
            assert_eq!(page_of(kind, raw).as_deref(), expected, "{kind} {raw}");
        };
        check("source", "192.0.2.1", Some("/sources/192.0.2.1"));
        check("source", "2001:db8::1", Some("/sources/2001%3Adb8%3A%3A1"));
        check("source", "<b>", None);
        check("port", "23", Some("/attacks?where=port%3D23"));
        check("country", "", Some("/attacks?where=country%3D"));
        check("model", "a/b,\\", Some("/appliances/a%2Fb,%5C"));
        check("appliance", "a,b\\", Some("/attacks?where=appliance%3Da%5C,b%5C%5C"));
        check("credential", "root:root", Some("/observables/one?kind=credential&value=root%3Aroot"));
        check("processor", "mips", Some("/samples?processor=mips"));
        check("device", "tokyo-1", Some("/devices/tokyo-1"));
        check("device", "", None);
        check("nonsense", "x", None);
        check("command", &"x".repeat(BYTES_MAX + 1), None);
    }

    #[test]
    fn a_value_says_what_it_is() {
        let check = |kind: &str, raw: &str, expected: &str| assert_eq!(value(kind, raw).0, expected);
        let port = r#"<a class="value" href="/attacks?where=port%3D23" data-filter="port=23">23</a>"#;
        check("port", "23", port);
        let source = concat!(
            r#"<a class="value" href="/sources/192.0.2.1" data-filter="source=192.0.2.1" "#,
            r#"data-safe="192%5B.%5D0%5B.%5D2%5B.%5D1">192.0.2.1</a>"#
        );
        check("source", "192.0.2.1", source);
        check("source", "a\u{202e}<b>", "a\\u{202e}&lt;b&gt;");
        let label = concat!(
            r#"<a class="value" href="/attacks?where=label%3D%22%3E%3Cb%3E%E2%80%AE" data-filter="label=%22%3E%3Cb%3E%E2%80%AE">"#,
            r#"&quot;&gt;&lt;b&gt;\u{202e}</a>"#
        );
        check("label", "\"><b>\u{202e}", label);
    }
}
