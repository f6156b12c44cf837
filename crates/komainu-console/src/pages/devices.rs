//! Devices: those in alarm first, then all things by name.

use std::collections::{BTreeMap, BTreeSet};

use komainu_model::{GroupName, ReporterName, ThingName, ThingTypeName};
use komainu_ports::{AlarmCounts, AlarmTotals, GroupQuery, StoreError, ThingQuery, ThingSummary};
use maud::{Markup, html};

use crate::address::address;
use crate::judged::{device_link, group_links};
use crate::pages::search::{HITS_MAX, Hit};
use crate::problem::Problem;
use crate::routes::Answered;
use crate::visit::{SignedIn, Visit};
use crate::watch::grouped;
use crate::{shell, time};

/// Things of one page.
const ROWS_MAX: usize = 50;

/// Devices in alarm that stand above all others.
const ALARMED_MAX: usize = 20;

/// Devices in alarm that are known, to be marked: what a page reads is bounded, and nobody looks at more.
const ALARMED_KNOWN_MAX: usize = 10_000;

/// Groups and types that the form offers; any can be typed.
const OFFERED_MAX: usize = 100;

/// Metrics that are looked at to know when a device was heard of.
const METRICS_MAX: usize = 200;

/// A device in the list.
struct Line {
    name: ReporterName,
    thing: Option<ThingSummary>,
    alarms: AlarmCounts,
}

/// The page.
pub(crate) fn show(visit: &Visit, who: &SignedIn) -> Answered {
    let console = &visit.console;
    let [q, group, type_name] = ["q", "group", "type"].map(|name| visit.query.one(name).trim());
    let after = ThingName::parse(visit.query.one("after")).ok();
    let query = ThingQuery {
        name_part: (!q.is_empty()).then(|| q.to_owned()),
        group: GroupName::parse(group).ok(),
        type_name: ThingTypeName::parse(type_name).ok(),
        after: after.clone(),
        limit: ROWS_MAX,
        among: None,
    };
    // What cannot be a name is no name of a group.
    let is_wrong = !group.is_empty() && query.group.is_none() || !type_name.is_empty() && query.type_name.is_none();
    let list = console
        .fleet
        .things(&console.scope, &ThingQuery { limit: if is_wrong { 0 } else { ROWS_MAX }, ..query.clone() });
    let totals = console.history.alarm_totals(&console.scope, ALARMED_KNOWN_MAX)?;
    let known: BTreeMap<&ReporterName, AlarmCounts> =
        totals.of_reporters.iter().map(|(name, counts)| (name, *counts)).collect();
    let alarmed = if after.is_none() && !is_wrong { alarmed(visit, &query, &totals) } else { Vec::new() };
    let of_thing = |thing: &ThingSummary| {
        let name = ReporterName::parse(thing.name.as_str()).ok()?;
        let alarms = known.get(&name).copied().unwrap_or_default();
        Some(Line { name, thing: Some(thing.clone()), alarms })
    };
    let lines: Vec<Line> = if is_wrong { Vec::new() } else { list.things.iter().filter_map(of_thing).collect() };
    let here = |after: &str| address("/devices", &[("q", q), ("group", group), ("type", type_name), ("after", after)]);
    let content = html! {
        (form(visit, q, group, type_name))
        @if list.registered == 0 && alarmed.is_empty() {
            section.card.empty {
                h2 { (visit.text("devices.none")) }
                p { (visit.text("devices.none-advice")) }
                p { code { "komainu enroll NAME --out DIR" } }
                p.small { (visit.text("devices.none-aws")) " " code { "aws iot create-thing --thing-name NAME" } }
            }
        } @else {
            @if !alarmed.is_empty() {
                section.card.urgent {
                    h2 { (visit.text("device.in-alarm")) }
                    (table(visit, &alarmed)?)
                    @if totals.reporters > alarmed.len() as u64 {
                        p.small { a href="/alarms" { (visit.filled("devices.all-alarmed", &[("count", &grouped(totals.reporters))])) } }
                    }
                }
            }
            section.card {
                h2 { strong.big { (grouped(list.registered)) } " " (visit.text("devices.registered")) }
                @if lines.is_empty() { p.muted { (visit.text("devices.nothing-fits")) } }
                @else { (table(visit, &lines)?) }
                nav.pages aria-label=(visit.text("audit.pages")) {
                    @if after.is_some() { a.button href=(here("")) { (visit.text("devices.first")) } }
                    @if let Some(last) = list.things.last().filter(|_| list.more) {
                        a.button href=(here(last.name.as_str())) rel="next" { (visit.text("devices.next")) }
                    }
                }
            }
        }
    };
    Ok(shell::page(visit, Some(who), visit.text("menu.devices"), content))
}

/// The first of those in alarm that are asked for, the most urgent first. Devices that are not registered are in no group.
fn alarmed(visit: &Visit, query: &ThingQuery, totals: &AlarmTotals) -> Vec<Line> {
    let console = &visit.console;
    let names: BTreeSet<ThingName> =
        totals.of_reporters.iter().filter_map(|(name, _)| ThingName::parse(name.as_str()).ok()).collect();
    let among = ThingQuery { among: Some(names), limit: ALARMED_KNOWN_MAX, ..query.clone() };
    let things = console.fleet.things(&console.scope, &among).things;
    let mut registered: BTreeMap<String, ThingSummary> =
        things.into_iter().map(|thing| (thing.name.to_string(), thing)).collect();
    let is_filtered = query.group.is_some() || query.type_name.is_some();
    let part = query.name_part.as_ref().map(|part| part.to_ascii_lowercase());
    let mut lines = Vec::new();
    for (name, alarms) in &totals.of_reporters {
        if lines.len() == ALARMED_MAX {
            break;
        }
        let thing = registered.remove(name.as_str());
        let name_fits = part.as_ref().is_none_or(|part| name.as_str().to_ascii_lowercase().contains(part.as_str()));
        if thing.is_some() || (!is_filtered && name_fits) {
            lines.push(Line { name: name.clone(), thing, alarms: *alarms });
        }
    }
    lines
}

fn form(visit: &Visit, q: &str, group: &str, type_name: &str) -> Markup {
    let console = &visit.console;
    let groups = console.fleet.groups(&console.scope, &GroupQuery { limit: OFFERED_MAX, ..GroupQuery::default() });
    let types = console.fleet.thing_types(&console.scope, OFFERED_MAX);
    html! {
        form.card.line method="get" action="/devices" {
            label { span { (visit.text("devices.name-part")) }
                input type="search" name="q" value=(q) maxlength="128" autocomplete="off"; }
            label { span { (visit.text("devices.group")) }
                input name="group" value=(group) list="groups" maxlength="128" autocomplete="off"; }
            label { span { (visit.text("device.type")) }
                input name="type" value=(type_name) list="types" maxlength="128" autocomplete="off"; }
            datalist #groups { @for group in &groups.groups { option value=(group.name) {} } }
            datalist #types { @for name in &types { option value=(name) {} } }
            button.primary type="submit" { (visit.text("alarms.show")) }
            a.button href="/devices" { (visit.text("devices.all")) }
        }
    }
}

fn table(visit: &Visit, lines: &[Line]) -> Result<Markup, StoreError> {
    let console = &visit.console;
    let mut rows = Vec::new();
    for line in lines {
        let measured = console.history.measured(&console.scope, &line.name, METRICS_MAX)?;
        let heard = measured.into_iter().map(|(_, at)| at).max();
        rows.push((line, heard, console.presence.is_connected(&console.scope, &line.name)));
    }
    Ok(html! {
        div.scroll tabindex="0" {
            table.rows.fold {
                thead { tr {
                    th { (visit.text("field.name")) }
                    th.number { (visit.text("device.active-alarms")) }
                    th { (visit.text("device.state")) }
                    th { (visit.text("device.type")) }
                    th { (visit.text("menu.groups")) }
                    th { (visit.text("device.heard")) }
                } }
                tbody {
                    @for (line, heard, is_connected) in &rows {
                        tr.fresh[line.alarms.unverified > 0] {
                            td.head.wide { (device_link(line.name.as_str())) }
                            td.number data-label=(visit.text("device.active-alarms")) { (alarm_count(visit, &line.alarms)) }
                            td data-label=(visit.text("device.state")) {
                                div.badges {
                                    @if *is_connected { span.badge.ok { (visit.text("device.connected")) } }
                                    @else { span.muted { (visit.text("device.not-connected")) } }
                                    @if line.thing.is_none() { span.badge.warn { (visit.text("device.unregistered")) } }
                                }
                            }
                            td data-label=(visit.text("device.type")) { @if let Some(name) = line.thing.iter().find_map(|thing| thing.type_name.as_ref()) { (name) } }
                            td.wide data-label=(visit.text("menu.groups")) {
                                @if let Some(thing) = &line.thing { (group_links(visit, &thing.groups)) }
                            }
                            td.nowrap data-label=(visit.text("device.heard")) {
                                @match heard { Some(at) => (time::in_year(*at)), None => span.muted { "–" } }
                            }
                        }
                    }
                }
            }
        }
    })
}

/// How many alarms a device has, in the colour of how much somebody should look.
pub(crate) fn alarm_count(visit: &Visit, alarms: &AlarmCounts) -> Markup {
    html! {
        @if alarms.active == 0 { span.muted { "0" } }
        @else if alarms.unverified > 0 {
            strong.alarm title=(visit.filled("devices.unverified", &[("count", &grouped(alarms.unverified))])) { (grouped(alarms.active)) }
        }
        @else { strong { (grouped(alarms.active)) } }
    }
}

/// Devices whose name is a text, or has it in it. One that is not registered is found by its whole name, when it is known.
pub(crate) fn find(visit: &Visit, _who: &SignedIn, wanted: &str) -> Result<Vec<Hit>, Problem> {
    let console = &visit.console;
    let hit = |name: &str| Hit {
        kind: visit.text("devices.one"),
        name: name.to_owned(),
        path: format!("/devices/{}", crate::address::part(name)),
    };
    let query = ThingQuery { name_part: Some(wanted.to_owned()), limit: HITS_MAX, ..ThingQuery::default() };
    let things = console.fleet.things(&console.scope, &query).things;
    let mut hits: Vec<Hit> = Vec::new();
    if let Ok(name) = ReporterName::parse(wanted) {
        let is_thing = console.fleet.device(&console.scope, &name).thing.is_some();
        if is_thing || !console.history.measured(&console.scope, &name, 1)?.is_empty() {
            hits.push(hit(wanted));
        }
    }
    hits.extend(things.iter().filter(|thing| thing.name.as_str() != wanted).map(|thing| hit(thing.name.as_str())));
    hits.truncate(HITS_MAX);
    Ok(hits)
}
