//! Indicators: what devices should not be in contact with. The list, what was refused, and adding one by hand.

use std::time::Duration;

use hyper::StatusCode;
use komainu_intel::{NOTE_CHARS_MAX, indicator_id};
use komainu_model::{
    Confidence, Indicator, IndicatorCandidate, IndicatorSource, IndicatorValue, RefusedCandidate, Role, Taught, Threat,
};
use komainu_ports::{AuditAction, IndicatorKind, Page, PageToken, Paged};
use maud::{Markup, html};

use crate::address::{address, defanged, refanged};
use crate::pages::samples;
use crate::problem::Problem;
use crate::reply::Reply;
use crate::routes::Answered;
use crate::value::leading_to;
use crate::visit::{SignedIn, Visit};
use crate::watch::{brief, grouped};
use crate::{problem_words, shell, time};

/// Indicators of one page.
const ROWS_MAX: usize = 50;

/// Indicators that a filter looks at for one page; a link leads on from there. A store has a million, in no order that
/// helps.
const LOOKED_AT_MAX: usize = 20_000;

/// Days that an indicator counts when it is added by hand, at most: what the policy allows.
const DAYS_MAX: u64 = komainu_intel::VALID_FOR_MAX.as_secs() / DAY_S;

/// How sure somebody is who adds an indicator by hand; the command line says the same.
const OPERATOR_PERCENT: u8 = 90;

const DAY_S: u64 = 24 * 3_600;

/// Fields of the filter.
const FIELDS: [&str; 4] = ["state", "type", "by", "q"];

/// What a value can be, as the address says it.
const TYPES: [&str; 2] = ["address", "name"];

/// Who can say so, as the address says it.
const SOURCES: [&str; 3] = ["detonation", "operator", "feed"];

/// The page.
pub(crate) fn show(visit: &Visit, who: &SignedIn) -> Answered {
    page(visit, who, StatusCode::OK, None)
}

fn page(visit: &Visit, who: &SignedIn, status: StatusCode, wrong: Option<&str>) -> Answered {
    let found = found(visit)?;
    let content = html! {
        (shell::said(visit))
        (shell::wrong(wrong))
        (form(visit))
        section.card {
            div.card-head {
                h2 { (visit.text("indicators.all")) }
                nav.words { a href="/indicators/refused" { (visit.text("indicators.refused")) } }
            }
            @if found.items.is_empty() { (none(visit, found.next.is_some())) } @else { (table(visit, &found.items)) }
            (pages(visit, found.next.as_ref()))
        }
        @if who.may(Role::Analyst) { (add_form(visit)) }
    };
    Ok(shell::page_with_status(status, visit, Some(who), visit.text("menu.indicators"), content))
}

/// The indicators of this page that fit. A whole value is looked up; a part of one is looked for.
fn found(visit: &Visit) -> Result<Paged<Indicator>, Problem> {
    let shelf = &*visit.console.threat.indicators;
    let wanted = refanged(visit.query.one("q").trim());
    if let Ok(value) = IndicatorValue::parse(&wanted)
        && let Some(found) = shelf.indicator(indicator_id(&value))?
    {
        return Ok(Paged { items: vec![found], next: None });
    }
    let kind = IndicatorKind::ALL.into_iter().find(|kind| kind.as_str() == visit.query.one("state"));
    let wanted = wanted.to_ascii_lowercase();
    let fits = |indicator: &Indicator| {
        let is_type = match visit.query.one("type") {
            "address" => matches!(indicator.value, IndicatorValue::Address { .. }),
            "name" => matches!(indicator.value, IndicatorValue::Name(_)),
            _ => true,
        };
        let is_source = match visit.query.one("by") {
            "detonation" => matches!(indicator.source, IndicatorSource::Detonation(_)),
            "operator" => indicator.source == IndicatorSource::Operator,
            "feed" => matches!(indicator.source, IndicatorSource::Feed(_)),
            _ => true,
        };
        is_type && is_source && (wanted.is_empty() || indicator.value.to_string().contains(&wanted))
    };
    let is_filtered = FIELDS[1..].iter().any(|name| !visit.query.one(name).is_empty());
    let mut after =
        Some(visit.query.one("after")).filter(|text| !text.is_empty()).map(|text| PageToken(text.to_owned()));
    if !is_filtered {
        return Ok(shelf.indicators(kind, &Page { after, limit: ROWS_MAX })?);
    }
    let (mut items, mut looked_at) = (Vec::new(), 0);
    // Nothing of a step is left behind, so a page may have nearly twice as many as it should.
    while looked_at < LOOKED_AT_MAX && items.len() < ROWS_MAX {
        let step = shelf.indicators(kind, &Page { after: after.take(), limit: ROWS_MAX })?;
        looked_at += step.items.len();
        items.extend(step.items.into_iter().filter(fits));
        after = step.next;
        if after.is_none() {
            break;
        }
    }
    Ok(Paged { items, next: after })
}

fn none(visit: &Visit, has_more: bool) -> Markup {
    let is_filtered = FIELDS.iter().any(|name| !visit.query.one(name).is_empty());
    html! {
        @if has_more { p.muted { (visit.filled("indicators.none-among", &[("count", &grouped(LOOKED_AT_MAX as u64))])) } }
        @else if is_filtered { p.muted { (visit.text("indicators.none")) } }
        @else {
            p.muted { (visit.text("indicators.nothing")) }
            p.muted { code { "komainu indicators add 203.0.113.66:23/tcp --threat c2" } }
        }
    }
}

fn form(visit: &Visit) -> Markup {
    let states = IndicatorKind::ALL.map(|kind| (kind.as_str(), visit.texts.word("indicator-state", kind.as_str())));
    let types = TYPES.map(|word| (word, visit.texts.word("indicator-type", word)));
    let sources = SOURCES.map(|word| (word, visit.texts.word("indicator-source", word)));
    let select = |name: &'static str, title: &'static str, words: &[(&'static str, Option<&'static str>)]| {
        html! {
            label { span { (title) }
                select name=(name) {
                    option value="" { (visit.text("observables.all")) }
                    @for (word, text) in words {
                        option value=(word) selected[*word == visit.query.one(name)] { (text.unwrap_or(word)) }
                    }
                }
            }
        }
    };
    html! {
        form.card.line method="get" action="/indicators" {
            label { span { (visit.text("indicators.value")) }
                input name="q" value=(visit.query.one("q")) maxlength="300" autocomplete="off" spellcheck="false"; }
            (select("state", visit.text("samples.state"), &states))
            (select("type", visit.text("indicators.type"), &types))
            (select("by", visit.text("indicators.source"), &sources))
            button type="submit" { (visit.text("attacks.apply")) }
        }
    }
}

/// Indicators as lines of a table.
pub(crate) fn table(visit: &Visit, indicators: &[Indicator]) -> Markup {
    html! {
        div.scroll tabindex="0" {
            table.rows.fold {
                thead { tr {
                    th { (visit.text("indicators.value")) }
                    th { (visit.text("samples.state")) }
                    th { (visit.text("indicators.threat")) }
                    th.number { (visit.text("sample.confidence")) }
                    th { (visit.text("indicators.source")) }
                    th { (visit.text("indicators.first")) }
                    th { (visit.text("indicators.until")) }
                } }
                tbody {
                    @for indicator in indicators {
                        tr {
                            td.head { (link(indicator)) }
                            td data-label=(visit.text("samples.state")) { (state(visit, indicator)) }
                            td data-label=(visit.text("indicators.threat")) { (threat(visit, indicator.threat)) }
                            td.number data-label=(visit.text("sample.confidence")) { (indicator.confidence.percent()) " %" }
                            td data-label=(visit.text("indicators.source")) { (source(visit, indicator)) }
                            td.nowrap data-label=(visit.text("indicators.first")) { (time::day(indicator.first_seen)) }
                            td.nowrap data-label=(visit.text("indicators.until")) { (time::day(indicator.valid_until)) }
                        }
                    }
                }
            }
        }
    }
}

/// An indicator by its value, as it is passed on.
pub(crate) fn link(indicator: &Indicator) -> Markup {
    let value = indicator.value.to_string();
    let page = format!("/indicators/{}", indicator.id);
    html! { span.mono.break { (leading_to(&page, "indicator", &value, html! { (defanged(&value)) })) } }
}

/// Whether devices are judged by it.
pub(crate) fn state(visit: &Visit, indicator: &Indicator) -> Markup {
    let kind = IndicatorKind::of(&indicator.state);
    let name = visit.texts.word("indicator-state", kind.as_str()).unwrap_or(kind.as_str());
    match kind {
        IndicatorKind::Active => html! { span.badge.ok { (name) } },
        IndicatorKind::Expired | IndicatorKind::Revoked => html! { span.badge { (name) } },
    }
}

/// What is behind it.
pub(crate) fn threat(visit: &Visit, threat: Threat) -> &'static str {
    visit.texts.word("threat", threat.as_str()).unwrap_or(threat.as_str())
}

/// Who said so first; the sample that showed it, if one did.
pub(crate) fn source(visit: &Visit, indicator: &Indicator) -> Markup {
    let word = |word: &'static str| visit.texts.word("indicator-source", word).unwrap_or(word);
    match &indicator.source {
        IndicatorSource::Detonation(_) => html! {
            @match indicator.provenance.iter().find_map(|origin| origin.sample) {
                Some(sample) => (samples::link(&sample)),
                None => (word("detonation")),
            }
        },
        IndicatorSource::Operator => html! { (word("operator")) },
        IndicatorSource::Feed(name) => html! { (brief(name.as_str())) },
    }
}

fn pages(visit: &Visit, next: Option<&PageToken>) -> Markup {
    let fields = FIELDS.map(|name| (name, visit.query.one(name)));
    html! {
        nav.pages aria-label=(visit.text("audit.pages")) {
            @if !visit.query.one("after").is_empty() { a.button href=(address("/indicators", &fields)) { (visit.text("indicators.first-page")) } }
            @if let Some(PageToken(next)) = next {
                @let all: Vec<(&str, &str)> = fields.into_iter().chain([("after", next.as_str())]).collect();
                a.button href=(address("/indicators", &all)) rel="next" { (visit.text("indicators.more")) }
            }
        }
    }
}

fn add_form(visit: &Visit) -> Markup {
    let typed = |name| visit.form.one(name);
    html! {
        section.card #add {
            h2 { (visit.text("indicators.add-title")) }
            p.muted { (visit.text("indicators.add-about")) }
            form.stack method="post" action="/indicators" {
                (shell::form_key_field(visit))
                div.fields {
                    label { span { (visit.text("indicators.value")) }
                        input name="value" value=(typed("value")) maxlength="300" autocomplete="off" autocapitalize="none"
                            spellcheck="false" placeholder="203.0.113.66:23/tcp" required; }
                    label { span { (visit.text("indicators.threat")) }
                        select name="threat" {
                            @for one in Threat::ALL {
                                option value=(one.as_str()) selected[one.as_str() == typed("threat")] { (threat(visit, one)) }
                            }
                        }
                    }
                    label { span { (visit.text("indicators.days")) }
                        input name="days" type="number" min="1" max=(DAYS_MAX) value=(typed("days")); }
                    label { span { (visit.text("indicators.note")) }
                        input name="note" value=(typed("note")) maxlength=(NOTE_CHARS_MAX) autocomplete="off" required; }
                }
                label { input type="checkbox" name="reviewed" value="yes" checked[typed("reviewed") == "yes"]; " " (visit.text("indicators.reviewed")) }
                button.primary type="submit" { (visit.text("indicators.add")) }
            }
        }
    }
}

/// Adds an indicator. What becomes one is decided where all are taught.
pub(crate) fn add(visit: &Visit, who: &SignedIn) -> Answered {
    let again = |wrong: &str| page(visit, who, StatusCode::UNPROCESSABLE_ENTITY, Some(wrong));
    let typed = |name| visit.form.one(name).trim();
    let value = match IndicatorValue::parse(&refanged(typed("value"))) {
        Ok(value) => value,
        Err(_) => return again(visit.text("indicators.value-wrong")),
    };
    let Ok(threat) = Threat::parse(typed("threat")) else { return Err(Problem::FormUnreadable) };
    let days = match typed("days") {
        "" => None,
        days => match days.parse().ok().filter(|days| (1..=DAYS_MAX).contains(days)) {
            Some(days) => Some(days),
            None => return again(&visit.filled("indicators.days-wrong", &[("most", &DAYS_MAX.to_string())])),
        },
    };
    let note = typed("note");
    if note.is_empty() || note.chars().count() > NOTE_CHARS_MAX {
        return again(&visit.filled("indicators.note-wrong", &[("most", &NOTE_CHARS_MAX.to_string())]));
    }
    let candidate = IndicatorCandidate {
        value: value.clone(),
        threat,
        confidence: Confidence::new(OPERATOR_PERCENT).expect("it is a percentage"),
        source: IndicatorSource::Operator,
        provenance: None,
        valid_for: days.map(|days: u64| Duration::from_secs(days * DAY_S)),
        note: Some(note.to_owned()),
        reviewed: typed("reviewed") == "yes",
    };
    let taught = visit.console.threat.sink.teach(&[candidate])?;
    let done = |said: &str| {
        visit.console.store().note(&visit.did(who, AuditAction::AddIndicator, &value.to_string()))?;
        Ok(Reply::on_to(&format!("/indicators/{}?said={said}", indicator_id(&value))))
    };
    match taught.first() {
        Some(Taught::New(_)) => done("indicator-added"),
        Some(Taught::Known(_)) => done("indicator-known"),
        Some(Taught::Refused { reason }) => {
            let reason = problem_words::of_indicator(visit, reason);
            again(&visit.filled("indicators.not-added", &[("reason", &reason)]))
        }
        // There is an answer for each candidate.
        None => Err(Problem::Failed),
    }
}

/// Candidates that did not become indicators, the latest first, with the reasons.
pub(crate) fn show_refused(visit: &Visit, who: &SignedIn) -> Answered {
    let shelf = &*visit.console.threat.indicators;
    let after = Some(visit.query.one("after")).filter(|text| !text.is_empty()).map(|text| PageToken(text.to_owned()));
    let found = shelf.refused(&Page { after, limit: ROWS_MAX })?;
    let count = shelf.refused_count()?;
    let content = html! {
        section.card {
            div.card-head {
                h2 { (visit.filled("indicators.refused-count", &[("count", &grouped(count))])) }
                nav.words { a href="/indicators" { (visit.text("indicators.all")) } }
            }
            p.muted { (visit.text("indicators.refused-about")) }
            @if found.items.is_empty() { p.muted { (visit.text("indicators.none-refused")) } }
            @else {
                div.scroll tabindex="0" { table.rows.fold {
                    thead { tr {
                        th { (visit.text("indicators.value")) }
                        th { (visit.text("indicators.reason")) }
                        th { (visit.text("indicators.source")) }
                        th { (visit.text("audit.when")) }
                    } }
                    tbody { @for refused in &found.items { (refused_row(visit, refused)) } }
                } }
            }
            nav.pages aria-label=(visit.text("audit.pages")) {
                @if !visit.query.one("after").is_empty() { a.button href="/indicators/refused" { (visit.text("audit.newest")) } }
                @if let Some(PageToken(next)) = &found.next {
                    a.button href=(address("/indicators/refused", &[("after", next)])) rel="next" { (visit.text("audit.older")) }
                }
            }
        }
    };
    Ok(shell::page(visit, Some(who), visit.text("indicators.refused"), content))
}

fn refused_row(visit: &Visit, refused: &RefusedCandidate) -> Markup {
    let word = |word: &'static str| visit.texts.word("indicator-source", word).unwrap_or(word);
    html! {
        tr {
            td.head.mono.break { (defanged(&refused.value.to_string())) }
            td.wide data-label=(visit.text("indicators.reason")) { (problem_words::of_indicator(visit, &refused.reason)) }
            td data-label=(visit.text("indicators.source")) {
                @match (&refused.source, refused.provenance.as_ref().and_then(|origin| origin.sample)) {
                    (_, Some(sample)) => (samples::link(&sample)),
                    (IndicatorSource::Detonation(_), None) => (word("detonation")),
                    (IndicatorSource::Operator, None) => (word("operator")),
                    (IndicatorSource::Feed(name), None) => (brief(name.as_str())),
                }
            }
            td.nowrap data-label=(visit.text("audit.when")) { (time::time(refused.at)) }
        }
    }
}

#[cfg(test)]
mod tests;
