//! What was shown in attacks: credentials, commands, URLs, files, and what rules say of them.

use komainu_charts::{Link, Stacked, stacked_area};
use komainu_ports::{LakeAnswer, LakeFilter, LakeQuestion, LakeTable, LakeTest};
use maud::{Markup, html};

use crate::address::{address, defanged, part, refanged};
use crate::condition::{Conditions, NoTest, is_one};
use crate::pages::search::Hit;
use crate::period::{Period, Span};
use crate::problem::Problem;
use crate::routes::Answered;
use crate::shown::shown;
use crate::value::{BYTES_MAX, leading_to};
use crate::visit::{SignedIn, Visit};
use crate::watch::{LISTED_MAX, OverTime, Watch, asked, charts_language, column, grouped, one_of};

/// The kinds that have a card, in its order. `docs/lake.md` says what each is.
pub(crate) const KINDS: [&str; 10] =
    ["credential", "command", "url", "file", "cve", "technique", "fingerprint", "user_agent", "scanner", "note"];

/// Columns by which the page is filtered.
const COLUMNS: [&str; 2] = ["protocol", "appliance"];

/// Fields of the form.
const NAMES: [&str; 3] = [COLUMNS[0], COLUMNS[1], "q"];

/// Values of one kind that are listed.
const VALUES_MAX: usize = 15;

/// The longest value that a list shows, in characters; its page shows more.
const VALUE_CHARS_MAX: usize = 90;

const TABLE: LakeTable = LakeTable::Observables;

/// The page.
pub(crate) fn show(visit: &Visit, who: &SignedIn) -> Answered {
    let watch = Watch::of(visit);
    let period = Period::of(visit, Span::Week);
    let tests: Vec<&str> = visit.query.all("where").filter(|test| !test.trim().is_empty()).collect();
    let mut chosen: Vec<(&str, &str)> = NAMES.iter().map(|name| (*name, visit.query.one(name))).collect();
    chosen.extend(tests.iter().map(|test| ("where", *test)));
    let conditions = match Conditions::of(TABLE, &visit.query) {
        Ok(conditions) => conditions,
        Err(NoTest(text)) => {
            let told = visit.filled("attacks.no-test", &[("test", &shown(&text))]);
            let content = html! { p.note.bad role="alert" { (told) } p { a.button href="/observables" { (visit.text("attacks.all")) } } };
            return Ok(watch.page(who, visit.text("menu.observables"), content));
        }
    };
    let mut filters: Vec<LakeFilter> = conditions.filters().to_vec();
    let text = refanged(visit.query.one("q").trim());
    if !text.is_empty() {
        filters.push(LakeFilter { column: column(TABLE, "value"), test: LakeTest::Contains(text) });
    }
    let of_kind = |kind: &str| {
        let mut filters = filters.clone();
        filters.push(one_of(TABLE, "kind", &[kind]));
        watch.count(&LakeQuestion { filters, top: Some(VALUES_MAX), ..asked(TABLE, period.range, &["value"]) })
    };
    let answers = KINDS.map(|kind| (kind, of_kind(kind)));
    let is_empty = answers.iter().all(|(_, answer)| answer.as_ref().is_ok_and(LakeAnswer::is_empty));
    let mut here = chosen.clone();
    let fields = period.fields();
    here.extend(fields.iter().map(|(name, value)| (*name, value.as_str())));
    let content = html! {
        div hidden data-observables=(address("/observables", &here)) data-attacks=(attacks_with(&fields, &chosen)) {}
        div.line {
            (period.picker(visit, "/observables", &chosen))
            @for test in &tests {
                @let without: Vec<(&str, &str)> = here.iter().copied().filter(|(name, value)| *name != "where" || value != test).collect();
                a.chip href=(address("/observables", &without)) title=(visit.text("attacks.remove")) { (shown(test)) " ×" }
            }
        }
        (form(&watch, &period))
        @if is_empty {
            section.card.empty { p { (visit.text("observables.nothing")) } }
        } @else {
            div.columns.wide-columns {
                @for (kind, answer) in &answers {
                    @if !answer.as_ref().is_ok_and(LakeAnswer::is_empty) {
                        (watch.card(visit.texts.word("kind", kind).unwrap_or(kind), answer, |answer| value_list(&watch, &period, kind, answer)))
                    }
                }
            }
        }
    };
    Ok(watch.page(who, visit.text("menu.observables"), content))
}

/// The attacks on the protocol and the appliance that are chosen.
fn attacks_with(period: &[(&'static str, String); 3], chosen: &[(&str, &str)]) -> String {
    let columns = chosen.iter().filter(|(name, value)| COLUMNS.contains(name) && !value.is_empty());
    let tests: Vec<String> = columns.map(|(name, value)| is_one(name, value)).collect();
    let mut fields: Vec<(&str, &str)> = tests.iter().map(|test| ("where", test.as_str())).collect();
    fields.extend(period.iter().map(|(name, value)| (*name, value.as_str())));
    address("/attacks", &fields)
}

/// By protocol, by appliance, by a part of the value.
fn form(watch: &Watch<'_>, period: &Period) -> Markup {
    let visit = watch.visit;
    let choices = |name: &'static str| -> Vec<String> {
        // From the attacks, whose counts stand ready. Without an answer the field is free.
        let answer = watch.count(&LakeQuestion { top: Some(50), ..asked(LakeTable::Attacks, period.range, &[name]) });
        answer.map_or(Vec::new(), |answer| {
            answer.groups().filter_map(|group| Some(group.values.first()?.to_string())).collect()
        })
    };
    let select = |name: &'static str| {
        let chosen = visit.query.one(name);
        let mut names = choices(name);
        if !chosen.is_empty() && !names.iter().any(|name| name == chosen) {
            names.push(chosen.to_owned());
        }
        html! {
            label {
                span { (visit.texts.word("column", name).unwrap_or(name)) }
                select name=(name) {
                    option value="" { (visit.text("observables.all")) }
                    @for name in &names { option value=(name) selected[name == chosen] { (shown(name)) } }
                }
            }
        }
    };
    html! {
        form.card.line method="get" action="/observables" {
            @for (name, value) in period.fields() {
                @if !value.is_empty() { input type="hidden" name=(name) value=(value); }
            }
            @for test in visit.query.all("where") { input type="hidden" name="where" value=(test); }
            @for name in COLUMNS { (select(name)) }
            label { span { (visit.text("observables.part")) }
                input name="q" value=(visit.query.one("q")) maxlength="256" autocomplete="off"; }
            button type="submit" { (visit.text("attacks.apply")) }
        }
    }
}

/// Values of one kind, those that came most often first, each with where it leads.
pub(crate) fn value_list(watch: &Watch<'_>, period: &Period, kind: &str, answer: &LakeAnswer) -> Markup {
    let visit = watch.visit;
    html! {
        @if answer.is_empty() { p.muted { (visit.text("watch.nothing")) } }
        @else {
            table.rows.counts {
                tbody {
                    @for group in answer.groups() {
                        @if let Some(value) = group.values.first() {
                            tr {
                                td.value-cell { (linked(watch, period, kind, &value.to_string())) }
                                td.number { (grouped(group.count)) }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn linked(watch: &Watch<'_>, period: &Period, kind: &str, value: &str) -> Markup {
    let text = match value.char_indices().nth(VALUE_CHARS_MAX) {
        Some((end, _)) => format!("{}…", shown(&value[..end])),
        None => shown(value),
    };
    let text = html! { bdi.mono { @if text.is_empty() { (watch.visit.text("watch.empty")) } @else { (text) } } };
    if value.len() > BYTES_MAX {
        return text;
    }
    let fields = period.fields();
    let mut all = vec![("kind", kind), ("value", value)];
    all.extend(fields.iter().map(|(name, value)| (*name, value.as_str())));
    leading_to(&address("/observables/one", &all), kind, value, text)
}

/// One value: when, against what, and from whom.
pub(crate) fn show_one(visit: &Visit, who: &SignedIn) -> Answered {
    let watch = Watch::of(visit);
    let period = Period::of(visit, Span::Week);
    let (kind, value) = (visit.query.one("kind"), visit.query.one("value"));
    let name = visit.texts.word("kind", kind).ok_or(Problem::NotFound)?;
    let filters = vec![one_of(TABLE, "kind", &[kind]), one_of(TABLE, "value", &[value])];
    let question = |by: &[&str]| LakeQuestion { filters: filters.clone(), ..asked(TABLE, period.range, by) };
    let by_protocol = watch.count(&LakeQuestion { bucket: Some(period.bucket), ..question(&["protocol"]) });
    let sources = watch.count(&LakeQuestion { top: Some(LISTED_MAX), ..question(&["source"]) });
    let copied = if matches!(kind, "url" | "command" | "user_agent") { defanged(value) } else { value.to_owned() };
    let list = |title: &str, name: &'static str| {
        let answer = watch.count(&LakeQuestion { top: Some(LISTED_MAX), ..question(&[name]) });
        watch.card(title, &answer, |answer| watch.bars(title, name, answer, &|_| None))
    };
    let content = html! {
        div.line { (period.picker(visit, "/observables/one", &[("kind", kind), ("value", value)])) }
        section.card {
            h2 { (name) }
            p.mono.break data-copy title=(visit.text("value.copy")) { bdi { (shown(&copied)) } }
        }
        (watch.card(visit.text("observables.over-time"), &by_protocol, |answer| {
            let over_time = OverTime::of(answer, &period);
            let names = over_time.names(&watch, "protocol");
            let series = over_time.of_chart(&names, &|_| None);
            stacked_area(&Stacked {
                title: visit.text("observables.over-time"),
                language: charts_language(visit.language),
                range: period.of_chart(),
                series: &series,
                annotations: &[],
                peaks: &[],
                slice_link: None,
            })
        }))
        div.columns {
            (watch.card(visit.text("observables.sources"), &sources, |answer| {
                watch.bars(visit.text("observables.sources"), "source", answer, &|value| {
                    Link::new(&format!("/sources/{}", part(&value.to_string())))
                })
            }))
            (list(visit.text("column.country"), "country"))
            (list(visit.text("column.appliance"), "appliance"))
            (list(visit.text("column.protocol"), "protocol"))
        }
    };
    Ok(watch.page(who, name, content))
}

/// Where the number of a weakness, a digest or a URL leads, when somebody searches for one.
pub(crate) fn find(visit: &Visit, _who: &SignedIn, wanted: &str) -> Result<Vec<Hit>, Problem> {
    let text = refanged(wanted);
    let is_digest = text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    let kind = if is_digest {
        "file"
    } else if text.to_ascii_uppercase().starts_with("CVE-") {
        "cve"
    } else if text.contains("://") {
        "url"
    } else {
        return Ok(Vec::new());
    };
    let kind = visit.texts.word("kind", kind).unwrap_or_default();
    Ok(vec![Hit { kind, path: address("/observables", &[("q", &text), ("range", "90d")]), name: text }])
}
