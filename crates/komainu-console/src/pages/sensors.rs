//! Sensors: who they are, whether they are well, and what they met.

use std::collections::BTreeMap;

use komainu_charts::{Link, Stacked, stacked_area};
use komainu_model::{ThingName, Timestamp};
use komainu_ports::{
    LakeError, LakeQuestion, LakeTable, SensorHealth, SensorKey, SensorStatus, SensorTotals, SessionSummary,
};
use maud::{Markup, html};

use crate::address::{address, part};
use crate::condition::is_one;
use crate::pages::overview::{label_badge, slice_link};
use crate::pages::search::{HITS_MAX, Hit};
use crate::pages::sessions::path_of;
use crate::pages::trends::fold;
use crate::period::{Period, Span};
use crate::problem::Problem;
use crate::routes::Answered;
use crate::time;
use crate::value::{narrowed, shown_as, value};
use crate::visit::{SignedIn, Visit};
use crate::watch::{LISTED_MAX, OverTime, Watch, asked, brief, charts_language, grouped, one_of};

/// Sensors of one page.
const LISTED_SENSORS_MAX: usize = 100;

/// Silent sensors that are named at the top of pages.
const SILENT_NAMED_MAX: usize = 5;

/// Sessions that are listed of one sensor.
const SESSIONS_MAX: usize = 20;

/// A record that waited so long for the hub, in seconds, is worth a look: records are sent within two seconds.
const SPOOL_AGE_S_MAX: u64 = 60;

/// A clock that is ahead by more than this, in milliseconds, is wrong. How far one is behind cannot be told from records that
/// waited.
const AHEAD_MS_MAX: i64 = 5_000;

const TABLE: LakeTable = LakeTable::Attacks;

/// How a sensor is, the worst first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum State {
    /// It was heard of, and is not any more.
    Silent,
    /// It is there and something is wrong.
    Ailing,
    /// It is there.
    Healthy,
    /// Attacks on it were counted, and this server knows nothing of it.
    Elsewhere,
}

/// The page with all of them.
pub(crate) fn show(visit: &Visit, who: &SignedIn) -> Answered {
    let watch = Watch::of(visit);
    let day = attacks_of(&watch, Span::Day);
    let week = attacks_of(&watch, Span::Week);
    let mut all = known(visit, week.as_ref().ok());
    all.sort_by(|a, b| (a.1, &a.0.name).cmp(&(b.1, &b.0.name)));
    let from = visit.query.one("from").parse().unwrap_or(0_usize).min(all.len());
    let listed = &all[from..all.len().min(from + LISTED_SENSORS_MAX)];
    let count = |counts: &Result<BTreeMap<String, u64>, LakeError>, name: &ThingName| match counts {
        Ok(counts) => grouped(counts.get(name.as_str()).copied().unwrap_or(0)),
        Err(_) => "–".to_owned(),
    };
    let content = html! {
        @if let Err(error) = &week { (watch.problem(error)) }
        @if all.is_empty() { (nothing_yet(visit)) }
        @else {
            (silent_note(&watch))
            section.card {
                div.scroll tabindex="0" {
                    table.rows.fold {
                        thead { tr {
                            th { (visit.text("column.sensor")) }
                            th { (visit.text("sensors.state")) }
                            th { (visit.text("sensors.heard")) }
                            th.number { (visit.text("sensors.day")) }
                            th.number { (visit.text("sensors.week")) }
                            th.number { (visit.text("sensors.records")) }
                            th.number { (visit.text("sensors.connections")) }
                            th.number { (visit.text("sensors.refused")) }
                            th.number { (visit.text("sensors.spool")) }
                            th.number { (visit.text("sensors.clock")) }
                            th { (visit.text("sensors.version")) }
                        } }
                        tbody {
                            @for (sensor, state) in listed {
                                (row(visit, sensor, *state, &count(&day, &sensor.name), &count(&week, &sensor.name)))
                            }
                        }
                    }
                }
                nav.pages aria-label=(visit.text("audit.pages")) {
                    @if from > 0 { a.button href="/sensors" { (visit.text("session.from-start")) } }
                    @if from + listed.len() < all.len() {
                        a.button rel="next" href={ "/sensors?from=" (from + listed.len()) } { (visit.text("session.next")) }
                    }
                }
            }
            p.small.muted { (visit.text("sensors.note")) " " code { "komainu sensors list" } }
        }
    };
    Ok(watch.page(who, visit.text("menu.sensors"), content))
}

/// The page of one.
pub(crate) fn show_one(visit: &Visit, who: &SignedIn) -> Answered {
    let name = ThingName::parse(visit.label("name")).map_err(|_| Problem::NotFound)?;
    let watch = Watch::of(visit);
    let week = attacks_of(&watch, Span::Week);
    let found = known(visit, week.as_ref().ok()).into_iter().find(|(sensor, _)| sensor.name == name);
    let (sensor, state) = found.unwrap_or_else(|| (unheard(name.clone()), State::Elsewhere));
    let period = Period::of(visit, Span::Week);
    let here = format!("/sensors/{}", part(name.as_str()));
    let key = SensorKey { scope: visit.console.scope.clone(), name: name.clone() };
    let sessions = visit.console.threat.sessions.latest(&key, SESSIONS_MAX)?;
    let content = html! {
        (narrowed(&period, &[is_one("sensor", name.as_str())]))
        @if state == State::Silent {
            div.note.bad role="note" {
                p { strong { (visit.text("sensors.is-silent")) } " · " (visit.text("sensors.since")) " " (heard(&sensor)) }
                p.small { (visit.text("sensors.silent-advice")) }
            }
        }
        div.line { (period.picker(visit, &here, &[])) }
        (tiles(visit, &sensor, state))
        (over_time(&watch, &period, name.as_str()))
        div.wide-narrow {
            (latest(&watch, name.as_str(), &sessions))
            (appliances(&watch, &period, name.as_str()))
        }
        div.columns {
            @if let Some(health) = &sensor.health { (doors(visit, health)) }
            (handed_in(visit, &sensor))
        }
    };
    Ok(watch.page(who, name.as_str(), content))
}

/// Sensors whose names have a text in them.
pub(crate) fn find(visit: &Visit, _who: &SignedIn, wanted: &str) -> Result<Vec<Hit>, Problem> {
    let wanted = wanted.to_lowercase();
    let sensors = visit.console.threat.roll.sensors(&visit.console.scope);
    let found = sensors.into_iter().filter(|sensor| sensor.name.as_str().to_lowercase().contains(&wanted));
    let kind = visit.text("column.sensor");
    let hit = |sensor: SensorStatus| {
        let name = sensor.name.to_string();
        Hit { kind, path: format!("/sensors/{}", part(&name)), name }
    };
    Ok(found.take(HITS_MAX).map(hit).collect())
}

fn nothing_yet(visit: &Visit) -> Markup {
    html! {
        section.card.empty {
            h2 { (visit.text("sensors.nothing")) }
            p { code { "komainu serve --sensor camera" } }
            p { (visit.text("overview.nothing-elsewhere")) }
            p { code { "komainu enroll NAME --sensor --out DIR" } }
        }
    }
}

/// Which sensors fell silent, since when, and what to do. Nothing when none did.
pub(crate) fn silent_note(watch: &Watch<'_>) -> Markup {
    let visit = watch.visit;
    let silent = watch.silent_sensors();
    if silent.is_empty() {
        return html! {};
    }
    html! {
        div.note.bad role="note" {
            p {
                strong { (visit.filled("sensors.silent", &[("count", &grouped(silent.len() as u64))])) } " "
                @for (place, sensor) in silent.iter().take(SILENT_NAMED_MAX).enumerate() {
                    @if place > 0 { ", " }
                    (value("sensor", sensor.name.as_str())) " (" (visit.text("sensors.since")) " " (heard(sensor)) ")"
                }
                @if silent.len() > SILENT_NAMED_MAX { " … " a href="/sensors" { (visit.text("menu.sensors")) } }
            }
            p.small { (visit.text("sensors.silent-advice")) " " code { "komainu sensors list" } }
        }
    }
}

/// How many attacks each sensor met.
fn attacks_of(watch: &Watch<'_>, span: Span) -> Result<BTreeMap<String, u64>, LakeError> {
    let range = Period::last(span, watch.visit.now).range;
    let answer = watch.count(&asked(TABLE, range, &["sensor"]))?;
    Ok(answer.groups().filter_map(|group| Some((group.values.first()?.to_string(), group.count))).collect())
}

/// All sensors that were heard of, and those of which only attacks are known.
fn known(visit: &Visit, counted: Option<&BTreeMap<String, u64>>) -> Vec<(SensorStatus, State)> {
    let mut all: Vec<(SensorStatus, State)> = visit
        .console
        .threat
        .roll
        .sensors(&visit.console.scope)
        .into_iter()
        .map(|sensor| {
            let state = state(&sensor);
            (sensor, state)
        })
        .collect();
    for name in counted.into_iter().flat_map(BTreeMap::keys) {
        let is_new = !all.iter().any(|(sensor, _)| sensor.name.as_str() == name);
        if let Some(name) = ThingName::parse(name).ok().filter(|_| is_new) {
            all.push((unheard(name), State::Elsewhere));
        }
    }
    all
}

fn unheard(name: ThingName) -> SensorStatus {
    let (last_seen, health, ahead_ms, records) = (None, None, None, None);
    SensorStatus { name, last_seen, is_online: false, health, ahead_ms, artifacts: 0, captures: 0, records }
}

fn state(sensor: &SensorStatus) -> State {
    let lost = sensor.records.as_ref().is_some_and(|records| records.batches_missing > 0);
    let is_ahead = sensor.ahead_ms.is_some_and(|ahead| ahead > AHEAD_MS_MAX);
    let ails = sensor.health.as_ref().is_some_and(|health| {
        health.lines_lost > 0 || health.captures_dropped > 0 || health.spool_age_s > SPOOL_AGE_S_MAX
    });
    match sensor.is_online {
        false => State::Silent,
        true if lost || is_ahead || ails => State::Ailing,
        true => State::Healthy,
    }
}

fn badge(visit: &Visit, state: State) -> Markup {
    match state {
        State::Silent => html! { span.badge.bad { (visit.text("sensors.is-silent")) } },
        State::Ailing => html! { span.badge.warn { (visit.text("sensors.is-ailing")) } },
        State::Healthy => html! { span.badge.ok { (visit.text("sensors.is-healthy")) } },
        State::Elsewhere => html! { span.badge { (visit.text("sensors.is-elsewhere")) } },
    }
}

fn row(visit: &Visit, sensor: &SensorStatus, state: State, day: &str, week: &str) -> Markup {
    let nothing = SensorHealth::default();
    let health = sensor.health.as_ref();
    let of = health.unwrap_or(&nothing);
    let told = |number: u64| if health.is_some() { grouped(number) } else { "–".to_owned() };
    let records = sensor.records.as_ref().map_or(0, |records| records.lines);
    html! {
        tr {
            td.head { (value("sensor", sensor.name.as_str())) }
            td data-label=(visit.text("sensors.state")) { (badge(visit, state)) }
            td.nowrap data-label=(visit.text("sensors.heard")) { (heard(sensor)) }
            td.number data-label=(visit.text("sensors.day")) { (day) }
            td.number data-label=(visit.text("sensors.week")) { (week) }
            td.number data-label=(visit.text("sensors.records")) { (grouped(records)) }
            td.number data-label=(visit.text("sensors.connections")) { (told(of.connections)) " / " (told(of.connections_total)) }
            td.number data-label=(visit.text("sensors.refused")) { (told(of.refused)) }
            td.number data-label=(visit.text("sensors.spool")) { (told(of.spool_bytes)) }
            td.number data-label=(visit.text("sensors.clock")) { (clock(sensor)) }
            td data-label=(visit.text("sensors.version")) { (brief(&of.version)) }
        }
    }
}

fn heard(sensor: &SensorStatus) -> Markup {
    html! { @match sensor.last_seen { Some(at) => (time::in_year(at)), None => "–" } }
}

/// How far its clock is from ours, in seconds, as far as records tell.
fn clock(sensor: &SensorStatus) -> Markup {
    html! {
        @match sensor.ahead_ms {
            Some(ahead) if ahead > AHEAD_MS_MAX => span.badge.bad { "+" (seconds(ahead)) },
            Some(ahead) => (seconds(ahead)),
            None => "–",
        }
    }
}

fn seconds(millis: i64) -> String {
    format!("{:.1} s", millis as f64 / 1000.0)
}

fn tiles(visit: &Visit, sensor: &SensorStatus, state: State) -> Markup {
    let health = sensor.health.as_ref();
    html! {
        div.tiles {
            section.card.tile {
                h2 { (visit.text("sensors.state")) }
                p.big-time { (badge(visit, state)) }
                p.small.muted { (visit.text("sensors.heard")) " " (heard(sensor)) }
            }
            section.card.tile {
                h2 { (visit.text("sensors.connections")) }
                p.big { (health.map_or_else(|| "–".to_owned(), |health| grouped(health.connections))) }
                @if let Some(health) = health {
                    p.small.muted { (visit.filled("sensors.in-all", &[("count", &grouped(health.connections_total)), ("refused", &grouped(health.refused))])) }
                }
            }
            section.card.tile {
                h2 { (visit.text("sensors.spool")) }
                p.big { (health.map_or_else(|| "–".to_owned(), |health| grouped(health.spool_bytes) + " B")) }
                @if let Some(health) = health {
                    p.small.muted { (visit.filled("sensors.spool-age", &[("seconds", &grouped(health.spool_age_s))])) }
                }
            }
            section.card.tile {
                h2 { (visit.text("sensors.clock")) }
                p.big { (clock(sensor)) }
                p.small.muted { (visit.text("sensors.clock-note")) }
            }
            section.card.tile {
                h2 { (visit.text("sensors.version")) }
                p.big { (health.map_or_else(|| "–".to_owned(), |health| brief(&health.version))) }
                @if let Some(health) = health {
                    p.small.muted { (visit.filled("sensors.uptime", &[("hours", &format!("{:.1}", health.uptime_s as f64 / 3600.0))])) }
                }
            }
        }
    }
}

fn over_time(watch: &Watch<'_>, period: &Period, name: &str) -> Markup {
    let visit = watch.visit;
    let filters = vec![one_of(TABLE, "sensor", &[name])];
    let answer = watch.count(&LakeQuestion {
        bucket: Some(period.bucket),
        filters,
        ..asked(TABLE, period.range, &["protocol"])
    });
    let title = visit.text("attacks.over-time");
    let here = format!("/sensors/{}", part(name));
    let test = format!("sensor={name}");
    watch.card(title, &answer, |answer| {
        // Since a sensor is silent, nothing is known of what it would have met.
        let silent = watch.silent_sensors().into_iter().find(|sensor| sensor.name.as_str() == name);
        let since = silent.and_then(|sensor| sensor.last_seen).map(Timestamp::unix_millis);
        let is_gap = |place| since.is_some_and(|since| period.bucket_begin(place) >= since);
        let gaps: Vec<bool> = (0..period.buckets()).map(is_gap).collect();
        let mut over_time = OverTime::of(answer, period).without(&gaps);
        fold(&mut over_time);
        let names = over_time.names(watch, "protocol");
        let series = over_time.of_chart(&names, &|value| {
            let protocol = format!("protocol={value}");
            Link::new(&address("/attacks", &[("where", test.as_str()), ("where", protocol.as_str())]))
        });
        let slice = |range: komainu_charts::TimeRange| slice_link("/attacks", &[("where", &test)], range, visit.now);
        html! {
            div data-brush=(here) {
                (stacked_area(&Stacked {
                    title,
                    language: charts_language(visit.language),
                    range: period.of_chart(),
                    series: &series,
                    annotations: &[],
                    peaks: &[],
                    slice_link: Some(&slice),
                }))
            }
        }
    })
}

/// What it shows to strangers, as far as it was attacked.
fn appliances(watch: &Watch<'_>, period: &Period, name: &str) -> Markup {
    let visit = watch.visit;
    let filters = vec![one_of(TABLE, "sensor", &[name])];
    let answer =
        watch.count(&LakeQuestion { filters, top: Some(LISTED_MAX), ..asked(TABLE, period.range, &["model"]) });
    watch.card(visit.text("menu.appliances"), &answer, |answer| {
        watch.bars(visit.text("watch.attacks"), "model", answer, &|value| {
            Link::new(&format!("/appliances/{}", part(&value.to_string())))
        })
    })
}

fn latest(watch: &Watch<'_>, name: &str, sessions: &[SessionSummary]) -> Markup {
    let visit = watch.visit;
    html! {
        section.card {
            h2 { (visit.text("sensors.sessions")) }
            @if sessions.is_empty() { p.muted { (visit.text("sensors.no-sessions")) } }
            @else {
                div.scroll tabindex="0" {
                    table.rows.fold.tight {
                        thead { tr {
                            th { (visit.text("attacks.when")) }
                            @for column in ["source", "country", "protocol", "port", "label"] {
                                th { (visit.texts.word("column", column).unwrap_or(column)) }
                            }
                        } }
                        tbody {
                            @for session in sessions {
                                tr {
                                    td.head.nowrap { a href=(path_of(session.session, name, session.began_at)) { (time::in_year(session.began_at)) } }
                                    td.mono { (crate::watch::source(&session.source)) }
                                    td { (value("country", &session.country)) }
                                    td { (value("protocol", &session.protocol)) }
                                    td { (value("port", &session.port.to_string())) }
                                    td { (shown_as("label", &session.label, label_badge(watch, &session.label))) }
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// What is open: persona, service and port.
fn doors(visit: &Visit, health: &SensorHealth) -> Markup {
    html! {
        section.card {
            h2 { (visit.text("sensors.doors")) }
            @if health.doors.is_empty() { p.muted { (visit.text("watch.nothing")) } }
            ul.told { @for door in &health.doors { li { span.mono { (brief(door)) } } } }
        }
    }
}

fn handed_in(visit: &Visit, sensor: &SensorStatus) -> Markup {
    let records = sensor.records.as_ref();
    let number = |of: fn(&SensorTotals) -> u64| records.map_or(0, of);
    let health = sensor.health.clone().unwrap_or_default();
    let missing = number(|records| records.batches_missing);
    let lines = [
        (visit.text("sensors.records"), number(|records| records.lines), false),
        (visit.text("sensors.bytes-kept"), number(|records| records.bytes), false),
        (visit.text("sensors.artifacts"), sensor.artifacts, false),
        (visit.text("sensors.captures"), sensor.captures, false),
        (visit.text("sensors.batches-missing"), missing, true),
        (visit.text("sensors.batches-removed"), number(|records| records.batches_removed), false),
        (visit.text("sensors.lines-lost"), health.lines_lost, true),
        (visit.text("sensors.captures-waiting"), health.captures, false),
        (visit.text("sensors.captures-dropped"), health.captures_dropped, true),
    ];
    html! {
        section.card {
            h2 { (visit.text("sensors.handed-in")) }
            table.rows.counts {
                tbody {
                    @for (name, count, is_loss) in lines {
                        tr {
                            td { (name) }
                            td.number { @if is_loss && count > 0 { span.badge.bad { (grouped(count)) } } @else { (grouped(count)) } }
                        }
                    }
                    tr {
                        td { (visit.text("sensors.last-batch")) }
                        td.number { @match records.and_then(|records| records.last_received_at) { Some(at) => (time::time(at)), None => "–" } }
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use hyper::Method;
    use komainu_model::Role;
    use komainu_ports::MemoryLake;

    use super::*;
    use crate::request::tests::{NOW, Recorded, ask, console_that_recorded};

    fn sensor(name: &str, is_online: bool) -> SensorStatus {
        let health = SensorHealth { version: "0.1.0".to_owned(), ..SensorHealth::default() };
        let (last_seen, health) = (Some(NOW), Some(health));
        let name = ThingName::parse(name).unwrap();
        SensorStatus {
            name,
            last_seen,
            is_online,
            health,
            ahead_ms: Some(-1200),
            artifacts: 0,
            captures: 0,
            records: None,
        }
    }

    fn page(sensors: Vec<SensorStatus>, path: &str) -> (u16, String) {
        let console =
            console_that_recorded(Arc::new(MemoryLake::default()), Recorded { sensors, ..Recorded::default() });
        ask(&console, Some(Role::Viewer), Method::GET, path, "")
    }

    #[test]
    fn the_silent_come_first() {
        let ailing = SensorStatus { ahead_ms: Some(90_000), ..sensor("b-ailing", true) };
        let (_, text) = page(vec![sensor("a-healthy", true), ailing, sensor("c-silent", false)], "/sensors");
        let places = ["c-silent", "b-ailing", "a-healthy"].map(|name| text.find(name).unwrap());
        assert!(places.is_sorted(), "{text}");
        assert!(text.contains("+90.0 s") && text.contains("-1.2 s") && text.contains("badge bad"));
        assert!(text.contains("1 fell silent") && text.contains("Look whether it runs"), "{text}");
        // It stands on its own page, and not on those of others.
        assert!(page(vec![sensor("c-silent", false)], "/sensors/c-silent").1.contains("Look whether it runs"));
        assert!(!page(vec![sensor("a-healthy", true)], "/sensors/a-healthy").1.contains("Look whether it runs"));
        assert!(page(Vec::new(), "/sensors").1.contains("komainu serve --sensor camera"));
        let many = (0..250).map(|number| sensor(&format!("sensor-{number:03}"), false)).collect();
        let (_, text) = page(many, "/sensors");
        assert!(text.len() < 150_000 && text.contains("/sensors?from=100"), "{}", text.len());
    }

    #[test]
    fn one_sensor_says_how_it_is() {
        let totals = SensorTotals {
            sensor: SensorKey {
                scope: komainu_model::Scope {
                    account: komainu_model::AccountId::parse("000000000000").unwrap(),
                    region: komainu_model::Region::parse("local").unwrap(),
                },
                name: ThingName::parse("tokyo").unwrap(),
            },
            batches: 1,
            lines: 4711,
            bytes: 5,
            batches_removed: 0,
            batches_missing: 3,
            last_received_at: Some(NOW),
        };
        let mut tokyo = sensor("tokyo", true);
        tokyo.records = Some(totals);
        tokyo.health.as_mut().unwrap().doors = vec!["camera telnet 23".to_owned()];
        let (status, text) = page(vec![tokyo], "/sensors/tokyo");
        assert_eq!(status, 200);
        for wanted in ["4\u{2009}711", "camera telnet 23", "badge warn", "badge bad\">3<"] {
            assert!(text.contains(wanted), "no {wanted:?} in {text}");
        }
        assert_eq!(page(Vec::new(), "/sensors/a%20b").0, 404);
        assert!(page(vec![sensor("tokyo", true)], "/search?q=TOK").1.contains("/sensors/tokyo"));
    }
}
