//! How a sample came, and what it taught the fleet.

use komainu_charts::Link;
use komainu_intel::indicator_id;
use komainu_model::{Indicator, IndicatorValue};
use komainu_ports::{LakeFilter, LakeQuestion, LakeTable, Page, SampleOrigin, SightingQuery, StoredSample, TimeRange};
use maud::{Markup, html};

use super::{and_more, line};
use crate::address::{address, defanged, part};
use crate::lab_report::LabReport;
use crate::pages::indicators;
use crate::problem::Problem;
use crate::value::{self, value};
use crate::visit::Visit;
use crate::watch::{LISTED_MAX, Watch, asked, brief, one_of};

/// Ways of coming that are shown; the store keeps 64.
const ORIGINS_MAX: usize = 24;

/// Indicators of one sample that are shown; the laboratory teaches 32 at most.
const TAUGHT_MAX: usize = 32;

/// Devices that are named beside one indicator.
const DEVICES_MAX: usize = 3;

/// The visits, the people and the sources by whom it came.
pub(super) fn came(watch: &Watch<'_>, sample: &StoredSample) -> Markup {
    let visit = watch.visit;
    let digest = sample.digests.sha256.to_string();
    let table = LakeTable::Observables;
    let filters: Vec<LakeFilter> = vec![one_of(table, "kind", &["file"]), one_of(table, "value", &[&digest])];
    let sources =
        watch.count(&LakeQuestion { filters, top: Some(LISTED_MAX), ..asked(table, TimeRange::ALL, &["source"]) });
    html! {
        section.card {
            h2 { (visit.text("sample.came")) }
            div.scroll tabindex="0" {
                table.rows {
                    tbody { @for origin in sample.origins.iter().take(ORIGINS_MAX) { tr { (way(visit, origin)) } } }
                }
            }
            (and_more(visit, sample.origins.len().saturating_sub(ORIGINS_MAX)))
            (watch.told(&sources, |sources| html! {
                @if !sources.is_empty() {
                    h2 { (visit.text("sample.sources")) }
                    (watch.bars(visit.text("sample.sources"), "source", sources, &|value| {
                        Link::new(&format!("/sources/{}", part(&value.to_string())))
                    }))
                }
            }))
            p.small {
                a href=(address("/observables/one", &[("kind", "file"), ("value", &digest), ("range", "1y")])) {
                    (visit.text("sample.in-attacks"))
                }
            }
        }
    }
}

fn way(visit: &Visit, origin: &SampleOrigin) -> Markup {
    match origin {
        SampleOrigin::Sensor { sensor, session } => html! {
            td.nowrap.muted { (visit.text("column.sensor")) }
            td { (value("sensor", sensor.as_str())) }
            td.mono { @if let Some(session) = session {
                a href={ "/sessions/" (part(session.as_str())) } title=(session) { (session.as_str().chars().take(12).collect::<String>()) "…" }
            } }
        },
        SampleOrigin::Upload { by, name } => html! {
            td.nowrap.muted { (visit.text("sample.handed-in")) }
            td { (brief(by)) }
            td.mono.break { bdi { (line(name)) } }
        },
        SampleOrigin::Found => html! {
            td.nowrap.muted { (visit.text("sample.found")) }
            td { (visit.text("sample.found-note")) }
            td {}
        },
    }
}

/// Indicators that follow from its report, with the devices that were seen with them.
pub(super) fn taught(visit: &Visit, lab: &LabReport) -> Result<Markup, Problem> {
    let shelf = &*visit.console.threat.indicators;
    let mut rows = Vec::new();
    for lesson in lab.lessons.iter().take(TAUGHT_MAX) {
        // Written by this program; what is not understood any more is shown as it stands there.
        let Ok(value) = IndicatorValue::parse(&lesson.value) else {
            rows.push(html! { tr { td.mono.break { (line(&lesson.value)) } td {} td.number { (lesson.confidence) " %" } td {} } });
            continue;
        };
        let id = indicator_id(&value);
        let known: Option<Indicator> = shelf.indicator(id)?;
        let query = SightingQuery { indicator: Some(id), reporter: None };
        let seen = shelf.sightings(&query, &Page { after: None, limit: DEVICES_MAX })?;
        rows.push(html! {
            tr {
                td {
                    @if let Some(known) = &known { (indicators::link(known)) }
                    @else { span.mono.break { (defanged(&lesson.value)) } }
                }
                td { @match &known {
                    Some(known) => (indicators::state(visit, known)),
                    None => span.muted { (visit.text("sample.not-taught")) },
                } }
                td.number { (lesson.confidence) " %" }
                td {
                    @for (_, sighting) in &seen.items {
                        (value::value("device", sighting.reporter.as_str())) " "
                    }
                }
            }
        });
    }
    Ok(html! {
        section.card {
            h2 { (visit.text("sample.taught")) }
            @if rows.is_empty() { p.muted { (visit.text("sample.taught-nothing")) } }
            @else {
                div.scroll tabindex="0" {
                    table.rows {
                        thead { tr {
                            th { (visit.text("indicators.value")) }
                            th { (visit.text("samples.state")) }
                            th.number { (visit.text("sample.confidence")) }
                            th { (visit.text("indicators.devices")) }
                        } }
                        tbody { @for row in &rows { (row) } }
                    }
                }
            }
        }
    })
}
