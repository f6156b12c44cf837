//! One device: what it is, its alarms, what it measured against what is normal, with whom it is in contact.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use komainu_charts::{Line, Lines, Severity, Threshold, lines_with_marks};
use komainu_detect::Yardstick;
use komainu_model::{
    Behavior, Datapoint, IndicatorId, Metric, ProfileName, ReporterName, SecurityProfile, Sighting, Timestamp,
};
use komainu_ports::{
    ActiveViolationQuery, DatapointQuery, FleetDevice, LakeFilter, LakeQuestion, LakeTable, LakeTest, LakeValue, Page,
    SightingQuery, ViolationEventQuery,
};
use maud::{Markup, html};

use crate::address::{address, part};
use crate::judged::{
    alarm_words, breach_words, certificate_badge, group_link, height, limit, metric_name, offending_words,
    profile_link, value_words,
};
use crate::pages::alarms::{Columns, Present, events_table};
use crate::period::{Period, Span};
use crate::problem::Problem;
use crate::routes::Answered;
use crate::shown::shown;
use crate::time;
use crate::value::value;
use crate::visit::{SignedIn, Visit};
use crate::watch::{Watch, asked, brief, charts_language, column, grouped, one_of};

/// Active alarms that are listed; the page of alarms has all.
const ALARMS_MAX: usize = 20;

/// Events of 14 days that are listed; the page of alarms has all.
const EVENTS_MAX: usize = 20;

/// How long history is kept, in days.
const HISTORY_DAYS: i64 = 14;

/// Metrics that are looked for; a device has 19 of ours and AWS's, and its own.
const METRICS_MAX: usize = 200;

/// Metrics that are drawn at once, those that are judged first; the others have a link.
const CHARTS_MAX: usize = 6;

/// Values that one chart reads: fourteen days of a report each five minutes are 4,032.
const POINTS_MAX: usize = 5_000;

/// Values that are read at once.
const POINTS_PAGE: usize = 1_000;

/// Two values further apart than this many times the usual are not joined.
const GAP_TIMES: i64 = 4;

/// Peers that are listed.
const PEERS_MAX: usize = 30;

/// Sightings of indicators that are listed.
const SIGHTINGS_MAX: usize = 20;

/// Profiles that are named, and behaviors of each of them and in each chart; their own pages have all.
const PROFILES_MAX: usize = 10;
const BEHAVIORS_MAX: usize = 6;

/// The page.
pub(crate) fn show(visit: &Visit, who: &SignedIn) -> Answered {
    let reporter = ReporterName::parse(visit.label("name")).map_err(|_| Problem::NotFound)?;
    let console = &visit.console;
    let device = console.fleet.device(&console.scope, &reporter);
    let measured = console.history.measured(&console.scope, &reporter, METRICS_MAX)?;
    let events = events(visit, &reporter)?;
    let active = active(visit, &reporter)?;
    let sightings = sightings(visit, &reporter)?;
    let is_known = device.thing.is_some()
        || !measured.is_empty()
        || !events.is_empty()
        || !active.is_empty()
        || !sightings.is_empty()
        || console.presence.is_connected(&console.scope, &reporter);
    if !is_known {
        return Err(Problem::NotFound);
    }
    let watch = Watch::of(visit);
    let period = Period::of(visit, Span::Day);
    let present = Present::of(visit);
    let content = html! {
        (tiles(visit, &reporter, &device, &measured, active.len()))
        @if !active.is_empty() {
            section.card.urgent {
                h2 { (visit.text("device.in-alarm")) }
                (present.table(visit, &active, Columns::OfOneDevice))
            }
        }
        (metrics(visit, &reporter, &device, &measured, &period)?)
        div.columns {
            (connections(&watch, &reporter, &period, &sightings))
            (matches(visit, &sightings)?)
        }
        div.columns { (about(visit, &device)) (judged_by(visit, &device.profiles)) }
        section.card {
            div.card-head {
                h2 { (visit.text("device.history")) }
                a.small href=(address("/alarms", &[("device", reporter.as_str()), ("suppressed", "1"), ("range", "30d")])) { (visit.text("alarms.to-all")) }
            }
            @if events.is_empty() { p.muted { (visit.text("device.no-events")) } }
            @else { (events_table(visit, &events, Columns::OfOneDevice)) }
        }
    };
    Ok(watch.page(who, &shown(reporter.as_str()), content))
}

fn active(visit: &Visit, reporter: &ReporterName) -> Result<Vec<komainu_model::ActiveViolation>, Problem> {
    let console = &visit.console;
    let query = ActiveViolationQuery {
        reporter: Some(reporter.clone()),
        include_suppressed: true,
        ..ActiveViolationQuery::default()
    };
    Ok(console.history.active_violations(&console.scope, &query, &Page { after: None, limit: ALARMS_MAX })?.items)
}

fn events(visit: &Visit, reporter: &ReporterName) -> Result<Vec<komainu_model::ViolationEvent>, Problem> {
    let console = &visit.console;
    let query = ViolationEventQuery {
        from: Timestamp::from_unix_millis(visit.now.unix_millis() - HISTORY_DAYS * 86_400_000),
        to: visit.now,
        reporter: Some(reporter.clone()),
        profile: None,
        criteria: None,
        include_suppressed: true,
        verification: None,
    };
    Ok(console.history.violation_events(&console.scope, &query, &Page { after: None, limit: EVENTS_MAX })?.items)
}

fn sightings(visit: &Visit, reporter: &ReporterName) -> Result<Vec<Sighting>, Problem> {
    let console = &visit.console;
    let query = SightingQuery { indicator: None, reporter: Some((console.scope.clone(), reporter.clone())) };
    let found = console.threat.indicators.sightings(&query, &Page { after: None, limit: SIGHTINGS_MAX })?;
    Ok(found.items.into_iter().map(|(_, sighting)| sighting).collect())
}

fn tiles(
    visit: &Visit,
    reporter: &ReporterName,
    device: &FleetDevice,
    measured: &[(Metric, Timestamp)],
    active: usize,
) -> Markup {
    let is_connected = visit.console.presence.is_connected(&visit.console.scope, reporter);
    let heard = measured.iter().map(|(_, at)| *at).max();
    let expires = device.certificates.iter().map(|certificate| certificate.not_after).min();
    let alarm = if active > 0 { " alarm" } else { "" };
    html! {
        div.tiles.pairs {
            a class=(format!("card tile link{alarm}")) href=(address("/alarms", &[("device", reporter.as_str()), ("suppressed", "1")])) {
                h2 { (visit.text("device.active-alarms")) }
                p.big { (grouped(active as u64)) @if active == ALARMS_MAX { "+" } }
            }
            section.card.tile {
                h2 { (visit.text("device.state")) }
                p.big-time {
                    @if is_connected { span.badge.ok { (visit.text("device.connected")) } }
                    @else { span.badge { (visit.text("device.not-connected")) } }
                    @if device.thing.is_none() { " " span.badge.warn { (visit.text("device.unregistered")) } }
                }
            }
            section.card.tile {
                h2 { (visit.text("device.heard")) }
                p.big-time { @match heard { Some(at) => (time::time(at)), None => "–" } }
            }
            section.card.tile {
                h2 { (visit.text("device.expires")) }
                p.big-time { @match expires { Some(at) => (time::day(at)), None => "–" } }
            }
        }
    }
}

/// What was measured, a chart each; those that are judged first.
fn metrics(
    visit: &Visit,
    reporter: &ReporterName,
    device: &FleetDevice,
    measured: &[(Metric, Timestamp)],
    period: &Period,
) -> Result<Markup, Problem> {
    let path = format!("/devices/{}", part(reporter.as_str()));
    let mut judged: BTreeMap<&Metric, Vec<(&ProfileName, &Behavior)>> = BTreeMap::new();
    for profile in &device.profiles {
        for behavior in profile.behaviors.iter().filter(|behavior| behavior.criteria.is_some()) {
            judged.entry(&behavior.metric).or_default().push((&profile.name, behavior));
        }
    }
    let chosen = Metric::parse(visit.query.one("metric")).ok();
    let mut metrics: Vec<&Metric> = measured.iter().map(|(metric, _)| metric).collect();
    metrics.sort_by_key(|metric| !judged.contains_key(metric));
    let drawn: Vec<&Metric> = match chosen.as_ref().and_then(|chosen| metrics.iter().find(|metric| **metric == chosen))
    {
        Some(chosen) => vec![*chosen],
        None => metrics.iter().take(CHARTS_MAX).copied().collect(),
    };
    let mut charts = Vec::new();
    for metric in &drawn {
        let behaviors = judged.get(metric).map_or(&[][..], Vec::as_slice);
        charts.push(metric_chart(visit, &MetricChart { reporter, metric, behaviors, period })?);
    }
    let others: Vec<&Metric> = metrics.iter().filter(|metric| !drawn.contains(metric)).copied().collect();
    let fields = period.fields();
    let kept: Vec<(&str, &str)> = chosen.iter().map(|chosen| ("metric", chosen.as_str())).collect();
    Ok(html! {
        div.line {
            h2.group { (visit.text("device.measured")) }
            (period.picker(visit, &path, &kept))
        }
        @if charts.is_empty() {
            section.card.empty {
                p { (visit.text("device.nothing-measured")) }
                p { code { "aws iot attach-security-profile --security-profile-name NAME --security-profile-target-arn arn:aws:iot:REGION:ACCOUNT:all/things" } }
            }
        } @else {
            div.columns.charts { @for chart in &charts { (chart) } }
        }
        @if !others.is_empty() {
            nav.words aria-label=(visit.text("device.other-metrics")) {
                span.small.muted { (visit.text("device.other-metrics")) }
                @for metric in others {
                    @let more: Vec<(&str, &str)> = [("metric", metric.as_str())].into_iter().chain(fields.iter().map(|(name, value)| (*name, value.as_str()))).collect();
                    a href=(address(&path, &more)) { (metric_name(visit, metric)) }
                }
            }
        }
    })
}

/// A metric of a device over a time.
pub(crate) struct MetricChart<'m> {
    pub(crate) reporter: &'m ReporterName,
    pub(crate) metric: &'m Metric,
    /// Who judges it.
    pub(crate) behaviors: &'m [(&'m ProfileName, &'m Behavior)],
    pub(crate) period: &'m Period,
}

/// A card with what was measured, the limits, and the values that are beyond them.
pub(crate) fn metric_chart(visit: &Visit, chart: &MetricChart<'_>) -> Result<Markup, Problem> {
    let (points, is_all) = points(visit, chart)?;
    let heights: Vec<(i64, f64)> = points.iter().map(|point| (point.at.unix_millis(), height(&point.value))).collect();
    let yardsticks: Vec<(&Behavior, Yardstick)> =
        chart.behaviors.iter().filter_map(|(_, behavior)| Some((*behavior, Yardstick::new(behavior)?))).collect();
    let violates = |point: &Datapoint| yardsticks.iter().any(|(_, yardstick)| yardstick.is_violated_by(&point.value));
    let marks: Vec<(i64, f64)> =
        points.iter().zip(&heights).filter(|(point, _)| violates(point)).map(|(_, height)| *height).collect();
    let mut thresholds: Vec<Threshold<'_>> = Vec::new();
    for (_, behavior) in chart.behaviors {
        if let Some(value) = limit(behavior)
            && thresholds.iter().all(|known| known.value != value)
        {
            thresholds.push(Threshold { label: behavior.name.as_str(), value, severity: Severity::Alarm });
        }
    }
    let name = metric_name(visit, chart.metric);
    let is_of_sums = yardsticks.iter().any(|(_, yardstick)| yardstick.is_of_sums());
    let line = Line { label: &name, points: &heights, link: None };
    let latest = points.last();
    let path = format!("/devices/{}", part(chart.reporter.as_str()));
    Ok(html! {
        section.card {
            div.card-head {
                h2 { (name) }
                @if let Some(latest) = latest {
                    span.small {
                        span.muted { (time::in_year(latest.at)) } " "
                        @if violates(latest) { strong.alarm { (value_words(visit, &latest.value)) } }
                        @else { strong { (value_words(visit, &latest.value)) } }
                    }
                }
            }
            @if points.is_empty() {
                p.muted { (visit.text("device.no-values")) }
            } @else {
                div data-brush=(address(&path, &[("metric", chart.metric.as_str())])) {
                    (lines_with_marks(&Lines {
                        title: &name,
                        language: charts_language(visit.language),
                        range: chart.period.of_chart(),
                        unit: "",
                        lines: &[line],
                        band: None,
                        thresholds: &thresholds,
                        annotations: &[],
                        gap_ms: gap_ms(&heights),
                        slice_link: None,
                    }, &marks))
                }
            }
            @if let Some(latest) = latest {
                @for (behavior, _) in &yardsticks {
                    @if let Some(items) = offending_words(visit, behavior, &latest.value) {
                        p.small { (visit.text("alarm.not-allowed")) " " strong.alarm { (items) } }
                    }
                }
            }
            @for (profile, behavior) in chart.behaviors.iter().take(BEHAVIORS_MAX) {
                p.small.muted.inline { (visit.text("device.alarm-at")) " " (breach_words(visit, behavior)) " (" (profile_link(profile)) ")" }
            }
            @if chart.behaviors.is_empty() { p.small.muted { (visit.text("device.not-judged")) } }
            @if is_of_sums { p.small.muted { (visit.text("device.sums")) } }
            @if !is_all { p.small.muted { (visit.filled("device.not-all", &[("count", &grouped(POINTS_MAX as u64))])) } }
        }
    })
}

/// The values of the period, oldest first, and whether these are all.
fn points(visit: &Visit, chart: &MetricChart<'_>) -> Result<(Vec<Datapoint>, bool), Problem> {
    let query = DatapointQuery {
        reporter: chart.reporter.clone(),
        metric: chart.metric.clone(),
        from: chart.period.range.from,
        to: chart.period.range.to,
    };
    let mut points = Vec::new();
    let mut page = Page { after: None, limit: POINTS_PAGE };
    loop {
        let found = visit.console.history.datapoints(&visit.console.scope, &query, &page)?;
        points.extend(found.items);
        match found.next {
            Some(_) if points.len() >= POINTS_MAX => return Ok((points, false)),
            Some(next) => page.after = Some(next),
            None => return Ok((points, true)),
        }
    }
}

/// From which distance on two values are not joined: some times of what is usual between two.
fn gap_ms(points: &[(i64, f64)]) -> i64 {
    let mut between: Vec<i64> = points.windows(2).map(|pair| pair[1].0 - pair[0].0).collect();
    between.sort_unstable();
    between.get(between.len() / 2).copied().unwrap_or(0).max(1).saturating_mul(GAP_TIMES)
}

/// With whom the device said that it was connected.
fn connections(watch: &Watch<'_>, reporter: &ReporterName, period: &Period, sightings: &[Sighting]) -> Markup {
    let visit = watch.visit;
    let scope = &visit.console.scope;
    let table = LakeTable::Connections;
    let filters = vec![
        one_of(table, "device", &[reporter.as_str()]),
        one_of(table, "account", &[scope.account.as_str()]),
        one_of(table, "region", &[scope.region.as_str()]),
    ];
    let question = LakeQuestion { filters, top: Some(PEERS_MAX), ..asked(table, period.range, &["remote", "port"]) };
    let answer = watch.count(&question);
    watch.card(visit.text("device.connections"), &answer, |answer| {
        let peers: Vec<(String, u32, u64)> = answer
            .groups()
            .filter_map(|group| {
                let port = match group.values.get(1)? {
                    LakeValue::Number(port) => *port,
                    LakeValue::Time(_) | LakeValue::Text(_) | LakeValue::Float(_) => 0,
                };
                Some((group.values.first()?.to_string(), port, group.count))
            })
            .collect();
        let attackers = attackers(watch, &peers);
        let named: u64 = peers.iter().map(|(_, _, count)| count).sum();
        html! {
            @if peers.is_empty() { p.muted { (visit.text("device.no-connections")) } }
            @else {
                div.scroll tabindex="0" {
                    table.rows {
                        thead { tr {
                            th { (visit.text("device.peer")) }
                            th.number { (visit.text("column.port")) }
                            th.number { (visit.text("device.reports")) }
                            th {}
                        } }
                        tbody {
                            @for (remote, port, count) in &peers {
                                @let indicator = seen_with(sightings, remote, *port);
                                tr.fresh[indicator.is_some()] {
                                    td.wide { (peer(remote)) }
                                    td.number { @if *port > 0 { (value("port", &port.to_string())) } }
                                    td.number { (grouped(*count)) }
                                    td {
                                        div.badges {
                                            @if let Some(indicator) = indicator {
                                                a href={ "/indicators/" (indicator) } { span.badge.bad { (visit.text("alarms.threat")) } }
                                            }
                                            @if attackers.contains(remote) { span.badge.warn { (visit.text("device.attacker")) } }
                                        }
                                    }
                                }
                            }
                        }
                    }
                }
                @if answer.rows > named {
                    p.small.muted { (visit.filled("device.more-connections", &[("count", &grouped(answer.rows - named))])) }
                }
            }
        }
    })
}

/// Somebody whom a device was in contact with, with its page when it is an address.
fn peer(remote: &str) -> Markup {
    html! { span.mono { (value("source", remote)) } }
}

/// Which of the peers attacked a sensor, ever.
fn attackers(watch: &Watch<'_>, peers: &[(String, u32, u64)]) -> Vec<String> {
    let table = LakeTable::Attacks;
    let addresses = peers.iter().filter(|(remote, _, _)| remote.parse::<IpAddr>().is_ok());
    let addresses: Vec<LakeValue> = addresses.map(|(remote, _, _)| LakeValue::text(remote)).collect();
    if addresses.is_empty() {
        return Vec::new();
    }
    let filters = vec![LakeFilter { column: column(table, "source"), test: LakeTest::OneOf(addresses) }];
    let question = LakeQuestion { filters, ..asked(table, komainu_ports::TimeRange::ALL, &["source"]) };
    // The marks are left out when there is no answer; the connections themselves are told.
    let answer = watch.count(&question).ok();
    let sources = answer.iter().flat_map(|answer| answer.groups());
    sources.filter_map(|group| Some(group.values.first()?.to_string())).collect()
}

/// The indicator that a peer was seen with.
fn seen_with(sightings: &[Sighting], remote: &str, port: u32) -> Option<IndicatorId> {
    let is_it = |sighting: &&Sighting| {
        let host = match &sighting.remote.host {
            komainu_model::RemoteHost::Address(address) => address.to_string(),
            komainu_model::RemoteHost::Name(name) => name.to_string(),
        };
        host == remote && sighting.remote.port.is_none_or(|seen| u32::from(seen) == port)
    };
    sightings.iter().find(is_it).map(|sighting| sighting.indicator)
}

/// Which indicators it was seen with.
fn matches(visit: &Visit, sightings: &[Sighting]) -> Result<Markup, Problem> {
    let mut named = Vec::new();
    for sighting in sightings {
        let indicator = visit.console.threat.indicators.indicator(sighting.indicator)?;
        let name = indicator.map_or_else(|| sighting.indicator.to_string(), |indicator| indicator.value.to_string());
        named.push((sighting, name));
    }
    Ok(html! {
        section.card {
            h2 { (visit.text("device.matches")) }
            @if named.is_empty() { p.muted { (visit.text("device.no-matches")) } }
            @else {
                div.scroll tabindex="0" {
                    table.rows.fold {
                        thead { tr {
                            th { (visit.text("device.last-seen")) }
                            th { (visit.text("chain.indicator")) }
                            th { (visit.text("device.way")) }
                            th.number { (visit.text("device.times")) }
                        } }
                        tbody {
                            @for (sighting, name) in &named {
                                @let way = sighting.way.as_str();
                                tr.fresh {
                                    td.head.nowrap { (time::in_year(sighting.last_at)) }
                                    td.mono data-label=(visit.text("chain.indicator")) { a href={ "/indicators/" (sighting.indicator) } { (name) } }
                                    td data-label=(visit.text("device.way")) { (visit.texts.word("sighting-way", way).unwrap_or(way)) }
                                    td.number data-label=(visit.text("device.times")) { (grouped(sighting.count)) }
                                }
                            }
                        }
                    }
                }
            }
        }
    })
}

fn about(visit: &Visit, device: &FleetDevice) -> Markup {
    html! {
        section.card {
            h2 { (visit.text("device.about")) }
            @match &device.thing {
                None => p.muted { (visit.text("device.unregistered-about")) },
                Some(thing) => {
                    dl.facts.inline {
                        dt { (visit.text("device.type")) }
                        dd { @match &thing.type_name { Some(name) => (name), None => "–" } }
                        dt { (visit.text("menu.groups")) }
                        dd {
                            @if device.groups.is_empty() { "–" }
                            @for (place, group) in device.groups.iter().enumerate() { @if place > 0 { ", " } (group_link(group.as_str())) }
                        }
                        dt { (visit.text("device.registered")) } dd { (time::time(thing.created_at)) }
                        @for (name, value) in &thing.attributes {
                            dt.break { (brief(name)) } dd.break { (brief(value)) }
                        }
                    }
                }
            }
            @if !device.certificates.is_empty() {
                h3.small.muted { (visit.text("device.certificates")) }
                table.rows {
                    tbody {
                        @for certificate in &device.certificates {
                            @let id = certificate.id.to_string();
                            tr {
                                td.mono title=(id) { (id.get(..16).unwrap_or(&id)) "…" }
                                td { (certificate_badge(visit, certificate.status)) }
                                td.nowrap { span.small.muted { (visit.text("device.until")) } " " (time::day(certificate.not_after)) }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn judged_by(visit: &Visit, profiles: &[Arc<SecurityProfile>]) -> Markup {
    html! {
        section.card {
            h2 { (visit.text("device.judged-by")) }
            @if profiles.is_empty() { p.muted { (visit.text("device.no-profiles")) } }
            @for profile in profiles.iter().take(PROFILES_MAX) {
                p.inline { (profile_link(&profile.name)) @if let Some(description) = &profile.description { " " span.small.muted { (shown(description)) } } }
                ul.plain.small {
                    @for behavior in profile.behaviors.iter().take(BEHAVIORS_MAX) {
                        li {
                            (alarm_words(visit, behavior))
                            @if behavior.suppress_alerts { " " span.badge { (visit.text("alarms.is-suppressed")) } }
                        }
                    }
                    @if profile.behaviors.len() > BEHAVIORS_MAX {
                        li.muted { (visit.filled("device.more-behaviors", &[("count", &(profile.behaviors.len() - BEHAVIORS_MAX).to_string())])) }
                    }
                }
            }
            @if profiles.len() > PROFILES_MAX {
                p.small.muted { (visit.filled("device.more-profiles", &[("count", &(profiles.len() - PROFILES_MAX).to_string())])) }
            }
        }
    }
}
