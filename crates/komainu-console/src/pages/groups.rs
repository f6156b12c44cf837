//! Groups of things: the tree of them, and one with its members, its alarms and who judges it.

use std::collections::{BTreeMap, BTreeSet};

use komainu_model::{GroupName, ReporterName, ThingName};
use komainu_ports::{AlarmCounts, FleetGroup, GroupQuery, GroupSummary, ThingQuery};
use maud::{Markup, html};

use crate::address::{address, part};
use crate::judged::{device_link, group_link, group_links, profile_link, target_words};
use crate::pages::devices::alarm_count;
use crate::pages::search::{HITS_MAX, Hit};
use crate::problem::Problem;
use crate::routes::Answered;
use crate::shown::shown;
use crate::visit::{SignedIn, Visit};
use crate::watch::{brief, grouped};
use crate::{shell, time};

/// Groups of one page.
const ROWS_MAX: usize = 100;

/// Members of one page.
const MEMBERS_MAX: usize = 30;

/// Members in alarm that are listed.
const ALARMED_MAX: usize = 20;

/// Devices in alarm among which members are looked for.
const ALARMED_KNOWN_MAX: usize = 10_000;

/// The tree.
pub(crate) fn show(visit: &Visit, who: &SignedIn) -> Answered {
    let console = &visit.console;
    let q = visit.query.one("q").trim();
    let skip: usize = visit.query.one("skip").parse().unwrap_or(0);
    let query = GroupQuery { name_part: (!q.is_empty()).then(|| q.to_owned()), skip, limit: ROWS_MAX };
    let list = console.fleet.groups(&console.scope, &query);
    let here = |skip: usize| {
        let skip = if skip == 0 { String::new() } else { skip.to_string() };
        address("/groups", &[("q", q), ("skip", &skip)])
    };
    let content = html! {
        @if list.found == 0 && q.is_empty() {
            section.card.empty {
                h2 { (visit.text("groups.none")) }
                p { (visit.text("groups.none-advice")) }
                p { code { "aws iot create-thing-group --thing-group-name NAME" } }
                p { code { "aws iot add-thing-to-thing-group --thing-group-name NAME --thing-name THING" } }
            }
        } @else {
            form.card.line method="get" action="/groups" {
                label { span { (visit.text("devices.name-part")) }
                    input type="search" name="q" value=(q) maxlength="128" autocomplete="off"; }
                button.primary type="submit" { (visit.text("alarms.show")) }
                a.button href="/groups" { (visit.text("devices.all")) }
            }
            section.card {
                h2 { strong.big { (grouped(list.found as u64)) } " " (visit.text("menu.groups")) }
                @if list.groups.is_empty() { p.muted { (visit.text("groups.nothing-fits")) } }
                @else { (tree(visit, &list.groups)) }
                nav.pages aria-label=(visit.text("audit.pages")) {
                    @if skip > 0 { a.button href=(here(skip.saturating_sub(ROWS_MAX))) rel="prev" { (visit.text("groups.before")) } }
                    @if list.found > skip.saturating_add(list.groups.len()) && !list.groups.is_empty() {
                        a.button href=(here(skip + list.groups.len())) rel="next" { (visit.text("devices.next")) }
                    }
                }
            }
        }
    };
    Ok(shell::page(visit, Some(who), visit.text("menu.groups"), content))
}

fn tree(visit: &Visit, groups: &[GroupSummary]) -> Markup {
    html! {
        div.scroll tabindex="0" {
            table.rows {
                thead { tr {
                    th { (visit.text("field.name")) }
                    th.number { (visit.text("groups.things")) }
                    th.number { (visit.text("groups.things-under")) }
                    th.number { (visit.text("groups.children")) }
                    th.number { (visit.text("groups.profiles")) }
                } }
                tbody {
                    @for group in groups {
                        tr {
                            td class=(format!("wide depth-{}", group.depth.min(6))) { (group_link(group.name.as_str())) }
                            td.number { (grouped(group.things)) }
                            td.number { (grouped(group.things_under)) }
                            td.number { (grouped(group.children)) }
                            td.number { (grouped(group.profiles)) }
                        }
                    }
                }
            }
        }
    }
}

/// One group.
pub(crate) fn show_one(visit: &Visit, who: &SignedIn) -> Answered {
    let console = &visit.console;
    let name = GroupName::parse(visit.label("name")).map_err(|_| Problem::NotFound)?;
    let group = console.fleet.group(&console.scope, &name).ok_or(Problem::NotFound)?;
    let totals = console.history.alarm_totals(&console.scope, ALARMED_KNOWN_MAX)?;
    let known: BTreeMap<&str, AlarmCounts> =
        totals.of_reporters.iter().map(|(name, counts)| (name.as_str(), *counts)).collect();
    let content = html! {
        @if !group.above.is_empty() {
            nav.line aria-label=(visit.text("groups.above")) {
                @for above in &group.above { (group_link(above.as_str())) span.muted { "›" } }
                strong { (group.group.name) }
            }
        }
        (alarmed(visit, &name, &known))
        div.columns { (about(visit, &group)) (profiles(visit, &group)) }
        @if !group.below.is_empty() {
            section.card { h2 { (visit.text("groups.children")) } (tree(visit, &group.below.iter().map(|below| GroupSummary { depth: 0, ..below.clone() }).collect::<Vec<_>>())) }
        }
        (members(visit, &group, &known))
    };
    Ok(shell::page(visit, Some(who), name.as_str(), content))
}

/// Its members in alarm, those first that somebody should look at.
fn alarmed(visit: &Visit, group: &GroupName, known: &BTreeMap<&str, AlarmCounts>) -> Markup {
    let console = &visit.console;
    let among: BTreeSet<ThingName> = known.keys().filter_map(|name| ThingName::parse(name).ok()).collect();
    let query = ThingQuery {
        group: Some(group.clone()),
        among: Some(among),
        limit: ALARMED_KNOWN_MAX,
        ..ThingQuery::default()
    };
    let members = console.fleet.things(&console.scope, &query).things;
    let of = |name: &ThingName| known.get(name.as_str()).copied().unwrap_or_default();
    let mut members: Vec<(&ThingName, AlarmCounts)> =
        members.iter().map(|thing| (&thing.name, of(&thing.name))).collect();
    members.sort_by_key(|(_, alarms)| std::cmp::Reverse((alarms.unverified, alarms.latest_at)));
    let count = members.len();
    html! {
        section.card.urgent[count > 0] {
            h2 { (visit.text("groups.alarms")) }
            @if members.is_empty() { p.muted { (visit.text("groups.no-alarms")) } }
            @else {
                div.scroll tabindex="0" {
                table.rows {
                    thead { tr {
                        th { (visit.text("alarms.device")) }
                        th.number { (visit.text("device.active-alarms")) }
                        th { (visit.text("groups.latest-alarm")) }
                    } }
                    tbody {
                        @for (name, alarms) in members.iter().take(ALARMED_MAX) {
                            tr.fresh[alarms.unverified > 0] {
                                td.wide { (device_link(name.as_str())) }
                                td.number { (alarm_count(visit, alarms)) }
                                td.nowrap { (time::in_year(alarms.latest_at)) }
                            }
                        }
                    }
                }
                }
            }
            @if count > ALARMED_MAX { p.small.muted { (visit.filled("groups.more-alarmed", &[("count", &grouped((count - ALARMED_MAX) as u64))])) } }
        }
    }
}

fn about(visit: &Visit, group: &FleetGroup) -> Markup {
    html! {
        section.card {
            h2 { (visit.text("device.about")) }
            dl.facts {
                @if let Some(description) = &group.group.description {
                    dt { (visit.text("groups.description")) } dd.break { (shown(description)) }
                }
                dt { (visit.text("groups.things")) } dd { (grouped(group.summary.things)) }
                dt { (visit.text("groups.things-under")) } dd { (grouped(group.summary.things_under)) }
                dt { (visit.text("groups.created")) } dd { (time::time(group.group.created_at)) }
                @for (name, value) in &group.group.attributes {
                    dt.break { (brief(name)) } dd.break { (brief(value)) }
                }
            }
        }
    }
}

fn profiles(visit: &Visit, group: &FleetGroup) -> Markup {
    html! {
        section.card {
            h2 { (visit.text("device.judged-by")) }
            @if group.profiles.is_empty() {
                p.muted { (visit.text("groups.no-profiles")) }
            } @else {
                div.scroll tabindex="0" {
                table.rows {
                    thead { tr {
                        th { (visit.text("alarms.profile")) }
                        th.number { (visit.text("groups.behaviors")) }
                        th { (visit.text("groups.attached-to")) }
                    } }
                    tbody {
                        @for attached in &group.profiles {
                            tr {
                                td.wide { (profile_link(&attached.profile.name)) }
                                td.number { (grouped(attached.profile.behaviors.len() as u64)) }
                                td { (target_words(visit, &attached.target)) }
                            }
                        }
                    }
                }
                }
            }
        }
    }
}

fn members(visit: &Visit, group: &FleetGroup, known: &BTreeMap<&str, AlarmCounts>) -> Markup {
    let console = &visit.console;
    let after = ThingName::parse(visit.query.one("after")).ok();
    let query = ThingQuery {
        group: Some(group.group.name.clone()),
        after: after.clone(),
        limit: MEMBERS_MAX,
        ..ThingQuery::default()
    };
    let list = console.fleet.things(&console.scope, &query);
    let path = format!("/groups/{}", part(group.group.name.as_str()));
    html! {
        section.card {
            h2 { (visit.text("groups.members")) }
            @if list.things.is_empty() { p.muted { (visit.text("groups.no-members")) } }
            @else {
                div.scroll tabindex="0" { table.rows.fold {
                    thead { tr {
                        th { (visit.text("field.name")) }
                        th.number { (visit.text("device.active-alarms")) }
                        th { (visit.text("device.state")) }
                        th { (visit.text("device.type")) }
                        th { (visit.text("menu.groups")) }
                    } }
                    tbody {
                        @for thing in &list.things {
                            @let alarms = known.get(thing.name.as_str()).copied().unwrap_or_default();
                            @let is_connected = ReporterName::parse(thing.name.as_str()).is_ok_and(|name| console.presence.is_connected(&console.scope, &name));
                            tr.fresh[alarms.unverified > 0] {
                                td.head.wide { (device_link(thing.name.as_str())) }
                                td.number data-label=(visit.text("device.active-alarms")) { (alarm_count(visit, &alarms)) }
                                td data-label=(visit.text("device.state")) {
                                    @if is_connected { span.badge.ok { (visit.text("device.connected")) } }
                                    @else { span.muted { (visit.text("device.not-connected")) } }
                                }
                                td data-label=(visit.text("device.type")) { @if let Some(name) = &thing.type_name { (name) } }
                                td.wide data-label=(visit.text("menu.groups")) {
                                    (group_links(visit, &thing.groups))
                                }
                            }
                        }
                    }
                } }
            }
            nav.pages aria-label=(visit.text("audit.pages")) {
                @if after.is_some() { a.button href=(path) { (visit.text("devices.first")) } }
                @if let Some(last) = list.things.last().filter(|_| list.more) {
                    a.button href=(address(&path, &[("after", last.name.as_str())])) rel="next" { (visit.text("devices.next")) }
                }
            }
        }
    }
}

/// Groups that have a text in their name.
pub(crate) fn find(visit: &Visit, _who: &SignedIn, wanted: &str) -> Result<Vec<Hit>, Problem> {
    let console = &visit.console;
    let query = GroupQuery { name_part: Some(wanted.to_owned()), skip: 0, limit: HITS_MAX };
    let groups = console.fleet.groups(&console.scope, &query).groups;
    let hit = |group: &GroupSummary| Hit {
        kind: visit.text("groups.one"),
        name: group.name.to_string(),
        path: format!("/groups/{}", part(group.name.as_str())),
    };
    Ok(groups.iter().map(hit).collect())
}
