//! One indicator: what it names, and its provenance as one line from the attack to the alarm.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use hyper::StatusCode;
use komainu_intel::{NOTE_CHARS_MAX, country, indicator_id};
use komainu_model::{
    Indicator, IndicatorId, IndicatorState, IndicatorValue, MetricValue, Provenance, Remote, RemoteHost, ReporterName,
    Role, Scope, Sighting, Timestamp, ViolationId,
};
use komainu_ports::{
    ActiveViolationQuery, AuditAction, LakeFilter, LakeQuestion, LakeTable, Page, SightingQuery, StoreError, TimeRange,
    ViolationEventQuery,
};
use maud::{Markup, html};

use crate::address::{defanged, part, refanged};
use crate::pages::search::Hit;
use crate::pages::{indicators, samples};
use crate::problem::Problem;
use crate::reply::Reply;
use crate::routes::Answered;
use crate::shown::shown;
use crate::value::{shown_as, value};
use crate::visit::{SignedIn, Visit};
use crate::watch::{LISTED_MAX, Watch, asked, brief, grouped, one_of};
use crate::{shell, time};

/// Sightings and contacts that are shown.
const ROWS_MAX: usize = 50;

/// Origins that are shown; an indicator keeps a bounded number.
const ORIGINS_MAX: usize = 16;

/// Devices whose alarms are looked for, those that were seen last.
const DEVICES_MAX: usize = 12;

/// Events of one device that are looked through.
const EVENTS_MAX: usize = 200;

/// Alarms of one device that are on, of which it is asked whether they name it.
const ACTIVE_MAX: usize = 100;

/// Links of one step of the line.
const LINKED_MAX: usize = 3;

/// So far back contacts are kept.
const LOOK_BACK: Duration = Duration::from_secs(14 * 24 * 3_600);

/// The page.
pub(crate) fn show(visit: &Visit, who: &SignedIn) -> Answered {
    page(visit, who, StatusCode::OK, None)
}

/// An indicator by its value, also as it is passed on.
pub(crate) fn find(visit: &Visit, _who: &SignedIn, wanted: &str) -> Result<Vec<Hit>, Problem> {
    let Ok(value) = IndicatorValue::parse(&refanged(wanted)) else { return Ok(Vec::new()) };
    let found = visit.console.threat.indicators.indicator(indicator_id(&value))?;
    let hit = |indicator: Indicator| Hit {
        kind: visit.text("search.indicator"),
        name: indicator.value.to_string(),
        path: format!("/indicators/{}", indicator.id),
    };
    Ok(found.map(hit).into_iter().collect())
}

/// All that is known of an indicator.
struct Known {
    indicator: Indicator,
    sightings: Vec<(Scope, Sighting)>,
    has_more_sightings: bool,
    alarms: Vec<Alarm>,
}

/// An alarm of a device that was in contact with it.
struct Alarm {
    violation: ViolationId,
    reporter: ReporterName,
    /// When it last said so.
    at: Timestamp,
}

impl Known {
    fn of(visit: &Visit) -> Result<Self, Problem> {
        let id = id(visit)?;
        let shelf = &*visit.console.threat.indicators;
        let indicator = shelf.indicator(id)?.ok_or(Problem::NotFound)?;
        let query = SightingQuery { indicator: Some(id), reporter: None };
        let found = shelf.sightings(&query, &Page { after: None, limit: ROWS_MAX })?;
        let has_more_sightings = found.next.is_some();
        let alarms = alarms(visit, id, &found.items)?;
        Ok(Self { indicator, sightings: found.items, has_more_sightings, alarms })
    }
}

/// Alarms whose value names the indicator, one for each violation: of all events that are kept, and those that are on still,
/// whose events may be gone.
fn alarms(visit: &Visit, id: IndicatorId, sightings: &[(Scope, Sighting)]) -> Result<Vec<Alarm>, StoreError> {
    let mut seen: Vec<(&Scope, &ReporterName)> = Vec::new();
    for (scope, sighting) in sightings {
        if seen.len() < DEVICES_MAX && !seen.contains(&(scope, &sighting.reporter)) {
            seen.push((scope, &sighting.reporter));
        }
    }
    let names_it = |value: Option<&MetricValue>| match value {
        Some(MetricValue::Matches(matches)) => matches.iter().any(|one| one.indicator == id),
        _ => false,
    };
    let mut alarms: Vec<Alarm> = Vec::new();
    for (scope, reporter) in seen {
        let query = ViolationEventQuery {
            from: Timestamp::from_unix_millis(0),
            to: visit.now,
            reporter: Some(reporter.clone()),
            profile: None,
            criteria: None,
            include_suppressed: true,
            verification: None,
        };
        let events = visit.console.history.violation_events(scope, &query, &Page { after: None, limit: EVENTS_MAX })?;
        let query = ActiveViolationQuery {
            reporter: Some(reporter.clone()),
            include_suppressed: true,
            ..ActiveViolationQuery::default()
        };
        let active =
            visit.console.history.active_violations(scope, &query, &Page { after: None, limit: ACTIVE_MAX })?.items;
        let named = events.items.into_iter().filter(|event| names_it(event.value.as_ref()));
        let named = named.map(|event| (event.violation, event.at));
        let active = active.into_iter().filter(|violation| names_it(violation.last_value.as_ref()));
        for (violation, at) in named.chain(active.map(|violation| (violation.id, violation.started_at))) {
            if alarms.iter().all(|alarm| alarm.violation != violation) {
                alarms.push(Alarm { violation, reporter: reporter.clone(), at });
            }
        }
    }
    alarms.sort_by_key(|alarm| std::cmp::Reverse(alarm.at));
    Ok(alarms)
}

fn id(visit: &Visit) -> Result<IndicatorId, Problem> {
    IndicatorId::parse(visit.label("id")).map_err(|_| Problem::NotFound)
}

fn page(visit: &Visit, who: &SignedIn, status: StatusCode, wrong: Option<&str>) -> Answered {
    let known = Known::of(visit)?;
    let indicator = &known.indicator;
    let contacts = contacts(visit, indicator)?;
    let title = defanged(&indicator.value.to_string());
    let content = html! {
        (shell::said(visit))
        (shell::wrong(wrong))
        (line_of_provenance(visit, &known))
        div.columns {
            (about(visit, who, indicator))
            (provenance(visit, indicator))
        }
        (sightings(visit, &known))
        (contacts)
        (attacks(visit, &indicator.value))
    };
    Ok(shell::page_with_status(status, visit, Some(who), &title, content))
}

/// Attack, sample, detonation, indicator, sightings, alarms: each a link, as far as it is known.
fn line_of_provenance(visit: &Visit, known: &Known) -> Markup {
    let indicator = &known.indicator;
    let origins = &indicator.provenance;
    let attacks: Vec<&Provenance> = origins.iter().filter(|origin| origin.sensor.is_some()).collect();
    let samples: BTreeSet<_> = origins.iter().filter_map(|origin| origin.sample).collect();
    let runs: BTreeMap<_, _> =
        origins.iter().filter_map(|origin| Some((origin.detonation.as_ref()?, origin.sample))).collect();
    let devices: BTreeSet<&ReporterName> = known.sightings.iter().map(|(_, sighting)| &sighting.reporter).collect();
    let is_alarm = !known.alarms.is_empty();
    let step = |title: &str, count: usize, links: Markup, none: &str| {
        html! {
            li class=[(count == 0).then_some("missing")] {
                span.small.muted { (title) @if count > 1 { " (" (grouped(count as u64)) ")" } }
                div { @if count == 0 { span.muted { (none) } } @else { (links) } }
            }
        }
    };
    html! {
        section.card {
            h2 { (visit.text("indicator.line")) }
            ol.chain {
                (step(visit.text("indicator.attack"), attacks.len(), html! {
                    @for origin in attacks.iter().take(LINKED_MAX) { (visit_of(origin)) }
                }, visit.text("indicator.no-attack")))
                (step(visit.text("search.sample"), samples.len(), html! {
                    @for sample in samples.iter().take(LINKED_MAX) { (samples::link(sample)) " " }
                }, visit.text("indicator.no-sample")))
                (step(visit.text("indicator.detonation"), runs.len(), html! {
                    @for (run, sample) in runs.iter().take(LINKED_MAX) {
                        @match sample {
                            Some(sample) => a.mono.break href={ "/samples/" (sample) "#timeline" } { (brief(run.as_str())) },
                            None => span.mono.break { (brief(run.as_str())) },
                        } " "
                    }
                }, visit.text("indicator.no-detonation")))
                li.here {
                    span.small.muted { (visit.text("search.indicator")) }
                    div { strong.mono.break { (defanged(&indicator.value.to_string())) } " " (indicators::state(visit, indicator)) }
                }
                (step(visit.text("indicator.sightings"), devices.len(), html! {
                    @for device in devices.iter().take(LINKED_MAX) { (device_link(device)) " " }
                }, visit.text("indicator.no-sightings")))
                li class=(if is_alarm { "alarm" } else { "missing" }) {
                    span.small.muted { (visit.text("indicator.alarms")) @if known.alarms.len() > 1 { " (" (grouped(known.alarms.len() as u64)) ")" } }
                    div {
                        @for alarm in known.alarms.iter().take(LINKED_MAX) {
                            a href={ "/alarms/" (part(alarm.violation.as_str())) } { (brief(alarm.reporter.as_str())) } " "
                            span.small.muted { (time::time(alarm.at)) } " "
                        }
                        @if !is_alarm { span.muted { (visit.text("indicator.no-alarms")) } }
                    }
                }
            }
        }
    }
}

/// The visit by which a sample came: its session, at its sensor.
fn visit_of(origin: &Provenance) -> Markup {
    let Some(sensor) = &origin.sensor else { return html! {} };
    html! {
        span.nowrap {
            (value("sensor", sensor.as_str()))
            @if let Some(session) = &origin.session {
                " " a.mono href={ "/sessions/" (part(session.as_str())) } title=(session) {
                    (session.as_str().chars().take(8).collect::<String>()) "…"
                }
            }
        }
        " "
    }
}

fn device_link(device: &ReporterName) -> Markup {
    value("device", device.as_str())
}

/// Whom a device was in contact with, as it is passed on.
fn remote(remote: &Remote) -> Markup {
    let shown = html! { (defanged(&remote.to_string())) };
    match &remote.host {
        RemoteHost::Address(address) => shown_as("source", &address.to_string(), shown),
        RemoteHost::Name(_) => shown,
    }
}

fn about(visit: &Visit, who: &SignedIn, indicator: &Indicator) -> Markup {
    let watch = Watch::of(visit);
    let known = indicator.value.to_string();
    html! {
        section.card {
            h2 { (visit.text("indicator.about")) }
            dl.facts {
                dt { (visit.text("indicators.value")) }
                dd { code.copy data-copy title=(visit.text("value.copy")) { (defanged(&known)) } }
                @if let IndicatorValue::Address { address, .. } = &indicator.value {
                    dt { (visit.text("column.country")) } dd { (watch.country(country(*address).unwrap_or_default())) }
                }
                dt { (visit.text("indicators.threat")) } dd { (indicators::threat(visit, indicator.threat)) }
                dt { (visit.text("sample.confidence")) } dd { (indicator.confidence.percent()) " %" }
                dt { (visit.text("samples.state")) } dd { (indicators::state(visit, indicator)) }
                dt { (visit.text("indicators.source")) } dd { (indicators::source(visit, indicator)) }
                dt { (visit.text("indicators.first")) } dd { (time::time(indicator.first_seen)) }
                dt { (visit.text("indicators.until")) } dd { (time::time(indicator.valid_until)) }
                @if let Some(note) = &indicator.note { dt { (visit.text("indicators.note")) } dd.break { (shown(note)) } }
                @if let IndicatorState::Revoked { at, reason } = &indicator.state {
                    dt { (visit.text("indicator.revoked-at")) } dd { (time::time(*at)) }
                    @if let Some(reason) = reason { dt { (visit.text("indicators.reason")) } dd.break { (shown(reason)) } }
                }
                dt { "ID" } dd.mono.break { (indicator.id) }
            }
            @if who.may(Role::Analyst) && !matches!(indicator.state, IndicatorState::Revoked { .. }) {
                form.stack method="post" action={ "/indicators/" (indicator.id) "/revoke" } {
                    (shell::form_key_field(visit))
                    label { span { (visit.text("indicator.why")) }
                        input name="reason" value=(visit.form.one("reason")) maxlength=(NOTE_CHARS_MAX) autocomplete="off" required; }
                    button.danger type="submit" { (visit.text("indicator.revoke")) }
                }
            }
        }
    }
}

fn provenance(visit: &Visit, indicator: &Indicator) -> Markup {
    let more = indicator.provenance.len().saturating_sub(ORIGINS_MAX) as u64 + indicator.provenance_dropped;
    html! {
        section.card {
            h2 { (visit.text("indicator.provenance")) }
            @if indicator.provenance.is_empty() { p.muted { (visit.text("indicator.no-provenance")) } }
            @else {
                div.scroll tabindex="0" {
                    table.rows {
                        thead { tr {
                            th { (visit.text("indicator.taught")) }
                            th { (visit.text("search.sample")) }
                            th { (visit.text("indicator.attack")) }
                        } }
                        tbody {
                            @for origin in indicator.provenance.iter().take(ORIGINS_MAX) {
                                tr {
                                    td.nowrap { (time::time(origin.at)) }
                                    td { @if let Some(sample) = &origin.sample { (samples::link(sample)) } }
                                    td { (visit_of(origin)) }
                                }
                            }
                        }
                    }
                }
            }
            @if more > 0 { p.small.muted { (visit.filled("sample.more", &[("count", &grouped(more))])) } }
        }
    }
}

fn sightings(visit: &Visit, known: &Known) -> Markup {
    html! {
        section.card #sightings {
            h2 { (visit.text("indicator.sightings")) }
            @if known.sightings.is_empty() { p.muted { (visit.text("indicator.no-sightings")) } }
            @else {
                div.scroll tabindex="0" { table.rows.fold {
                    thead { tr {
                        th { (visit.text("indicator.device")) }
                        th { (visit.text("indicator.remote")) }
                        th { (visit.text("indicator.way")) }
                        th.number { (visit.text("indicator.count")) }
                        th { (visit.text("source.first")) }
                        th { (visit.text("source.last")) }
                    } }
                    tbody {
                        @for (_, sighting) in &known.sightings {
                            @let way = sighting.way.as_str();
                            tr {
                                td.head { (device_link(&sighting.reporter)) }
                                td.mono data-label=(visit.text("indicator.remote")) { (remote(&sighting.remote)) }
                                td data-label=(visit.text("indicator.way")) { (visit.texts.word("sighting", way).unwrap_or(way)) }
                                td.number data-label=(visit.text("indicator.count")) { (grouped(sighting.count)) }
                                td.nowrap data-label=(visit.text("source.first")) { (time::time(sighting.first_at)) }
                                td.nowrap data-label=(visit.text("source.last")) { (time::time(sighting.last_at)) }
                            }
                        }
                    }
                } }
                @if known.has_more_sightings {
                    p.small.muted { (visit.text("indicator.more-sightings")) " " code { "komainu indicators sightings " (known.indicator.id) } }
                }
            }
        }
    }
}

/// Who was in contact with it in the days that are kept, whether it counted then or not.
fn contacts(visit: &Visit, indicator: &Indicator) -> Result<Markup, StoreError> {
    let shelf = &*visit.console.threat.indicators;
    let since = visit.now.minus(LOOK_BACK);
    let found = shelf.contacts(&indicator.value, since, &Page { after: None, limit: ROWS_MAX })?;
    Ok(html! {
        section.card #contacts {
            h2 { (visit.text("indicator.contacts")) }
            @if found.items.is_empty() { p.muted { (visit.text("indicator.no-contacts")) } }
            @else {
                div.scroll tabindex="0" { table.rows.fold {
                    thead { tr {
                        th { (visit.text("indicator.device")) }
                        th { (visit.text("indicator.remote")) }
                        th.number { (visit.text("indicator.count")) }
                        th { (visit.text("source.first")) }
                        th { (visit.text("source.last")) }
                    } }
                    tbody {
                        @for (_, contact) in &found.items {
                            tr {
                                td.head { (device_link(&contact.reporter)) }
                                td.mono data-label=(visit.text("indicator.remote")) { (remote(&contact.remote)) }
                                td.number data-label=(visit.text("indicator.count")) { (grouped(contact.count)) }
                                td.nowrap data-label=(visit.text("source.first")) { (time::time(contact.first_at)) }
                                td.nowrap data-label=(visit.text("source.last")) { (time::time(contact.last_at)) }
                            }
                        }
                    }
                } }
                @if found.next.is_some() { p.small.muted { (visit.filled("indicator.more-contacts", &[("count", &ROWS_MAX.to_string())])) } }
            }
        }
    })
}

/// What came from its address itself.
fn attacks(visit: &Visit, value: &IndicatorValue) -> Markup {
    let IndicatorValue::Address { address, .. } = value else { return html! {} };
    let watch = Watch::of(visit);
    let source = address.to_string();
    let table = LakeTable::Attacks;
    let filters: Vec<LakeFilter> = vec![one_of(table, "source", &[&source])];
    let labels =
        watch.count(&LakeQuestion { filters, top: Some(LISTED_MAX), ..asked(table, TimeRange::ALL, &["label"]) });
    watch.card(visit.text("indicator.attacks"), &labels, |labels| {
        html! {
            @if labels.is_empty() { p.muted { (visit.text("source.never")) } }
            @else {
                (watch.bars(visit.text("watch.attacks"), "label", labels, &|_| None))
                p.small { a href={ "/sources/" (part(&source)) } { (visit.text("value.source")) } }
            }
        }
    })
}

/// Takes it back.
pub(crate) fn revoke(visit: &Visit, who: &SignedIn) -> Answered {
    let id = id(visit)?;
    let reason = visit.form.one("reason").trim();
    if reason.is_empty() || reason.chars().count() > NOTE_CHARS_MAX {
        let wrong = visit.filled("indicators.note-wrong", &[("most", &NOTE_CHARS_MAX.to_string())]);
        return page(visit, who, StatusCode::UNPROCESSABLE_ENTITY, Some(&wrong));
    }
    let revoked = visit.console.threat.sink.revoke(id, Some(reason))?.ok_or(Problem::NotFound)?;
    visit.console.store().note(&visit.did(who, AuditAction::RevokeIndicator, &revoked.value.to_string()))?;
    Ok(Reply::on_to(&format!("/indicators/{id}?said=indicator-revoked")))
}

#[cfg(test)]
mod tests;
