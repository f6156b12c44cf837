//! The overview: how much attacks what, from where, and what is unusual about it.

use std::collections::BTreeMap;

use komainu_charts::{Country, Link, Peak, Stacked, WorldMap, sparkline, stacked_area, world_map};
use komainu_model::{Role, Timestamp};
use komainu_ports::{
    LakeAnswer, LakeError, LakeOrder, LakeQuestion, LakeRows, LakeTable, LakeValue, TimeBucket, TimeRange,
};
use maud::{Markup, html};

use crate::address::address;
use crate::period::{Period, Span};
use crate::published::NearPeaks;
use crate::routes::Answered;
use crate::value::{narrowed, shown_as, value};
use crate::visit::{SignedIn, Visit};
use crate::watch::{LISTED_MAX, OverTime, Watch, asked, brief, charts_language, grouped, one_of};
use crate::{shell, time};

/// Attacks of the feed.
const FEED_ROWS: usize = 10;

/// Unusual days that are listed, the latest.
const PEAKS_LISTED_MAX: usize = 4;

/// Up to so many days different sources are counted exactly; of longer times, those of each day stand ready.
const EXACT_SOURCES_DAYS_MAX: f64 = 8.0;

const TABLE: LakeTable = LakeTable::Attacks;

/// The page.
pub(crate) fn show(visit: &Visit, who: &SignedIn) -> Answered {
    let watch = Watch::of(visit);
    let period = Period::of(visit, Span::Week);
    let content = match watch.is_empty() {
        Ok(true) => nothing_yet(visit),
        Ok(false) => overview(&watch, &period),
        Err(error) => watch.problem(&error),
    };
    let (alarms, is_urgent) = super::alarms::card(visit)?;
    let content = html! {
        @if who.may(Role::Admin) && who.operator.totp.is_none() {
            p.note.warn {
                (visit.text("start.admin-without-codes")) " "
                a href="/account/codes" { (visit.text("start.set-up-codes")) }
            }
        }
        @if period.goes_on() { (shell::live(visit, "attacks alarms")) }
        @if is_urgent { (alarms) }
        (content)
        @if !is_urgent { (alarms) }
    };
    Ok(watch.page(who, visit.text("menu.overview"), content))
}

fn nothing_yet(visit: &Visit) -> Markup {
    html! {
        section.card.empty {
            h2 { (visit.text("overview.nothing")) }
            p { (visit.text("overview.nothing-advice")) }
            p { code { "komainu serve --sensor camera" } }
            p { (visit.text("overview.nothing-elsewhere")) }
            p { code { "komainu enroll NAME --sensor --out DIR" } }
            p.small { (visit.text("overview.nothing-docs")) }
            p.small { (visit.text("overview.nothing-demo")) " " code { "komainu lake demo" } }
        }
    }
}

fn overview(watch: &Watch<'_>, period: &Period) -> Markup {
    let visit = watch.visit;
    let by_protocol =
        watch.count(&LakeQuestion { bucket: Some(period.bucket), ..asked(TABLE, period.range, &["protocol"]) });
    let over_time = by_protocol.as_ref().ok().map(|answer| OverTime::of(answer, period));
    // The dots of the feed have the colours of the chart.
    let colours: BTreeMap<String, usize> = over_time
        .iter()
        .flat_map(|over_time| &over_time.series)
        .zip(1..=8)
        .filter_map(|((value, _), place)| Some((value.as_ref()?.to_string(), place)))
        .collect();
    let latest = watch.list(TABLE, period.range, &[], (LakeOrder::Newest, FEED_ROWS));
    let countries = watch.count(&asked(TABLE, period.range, &["country"]));
    let top = |title: &str, column: &'static str| {
        let answer = watch.count(&LakeQuestion { top: Some(LISTED_MAX), ..asked(TABLE, period.range, &[column]) });
        watch.card(title, &answer, |answer| bars(watch, period, column, answer))
    };
    html! {
        (narrowed(period, &[]))
        (super::sensors::silent_note(watch))
        div.line { (period.picker(visit, "/", &[])) }
        div.tiles {
            (attacks(watch, period, &by_protocol))
            (sources(watch, period))
            (sensors(watch, period))
            (intrusions(watch, period))
        }
        div.wide-narrow {
            (watch.card(visit.text("overview.map"), &countries, |answer| map(watch, period, answer)))
            (watch.card(visit.text("overview.countries"), &countries, |answer| bars(watch, period, "country", answer)))
        }
        div.wide-narrow {
            (watch.card(visit.text("overview.protocols"), &by_protocol, |answer| {
                protocols(watch, period, &OverTime::of(answer, period).without(&watch.gaps(period)))
            }))
            (watch.card(visit.text("overview.feed"), &latest, |rows| feed(watch, rows, &colours)))
        }
        div.columns {
            (top(visit.text("overview.appliances"), "appliance"))
            (top(visit.text("overview.labels"), "label"))
            (top(visit.text("overview.ports"), "port"))
        }
        p.small.muted { (visit.text("watch.country-note")) }
    }
}

fn bars(watch: &Watch<'_>, period: &Period, column: &str, answer: &LakeAnswer) -> Markup {
    watch.bars(watch.visit.text("watch.attacks"), column, answer, &|value| to_attacks(period, &[(column, value)]))
}

/// The attacks of which these columns have these values.
pub(crate) fn to_attacks(period: &Period, tests: &[(&str, &LakeValue)]) -> Option<Link> {
    let texts: Vec<String> = tests
        .iter()
        .map(|(column, value)| format!("{column}={}", value.to_string().replace('\\', "\\\\").replace(',', "\\,")))
        .collect();
    let period = period.fields();
    let mut fields: Vec<(&str, &str)> = texts.iter().map(|text| ("where", text.as_str())).collect();
    fields.extend(period.iter().map(|(name, value)| (*name, value.as_str())));
    Link::new(&address("/attacks", &fields))
}

fn tile(title: &str, value: &str, note: &Markup, trend: Option<Markup>) -> Markup {
    html! {
        section.card.tile {
            h2 { (title) }
            p.big { (value) }
            p.small.muted { (note) }
            @if let Some(trend) = trend { div.trend { (trend) } }
        }
    }
}

/// A tile whose question has no answer.
fn broken_tile(watch: &Watch<'_>, title: &str, error: &LakeError) -> Markup {
    html! { section.card.tile { h2 { (title) } (watch.problem(error)) } }
}

/// By how much more a day there is than before, as a text; none when there was nothing.
pub(crate) fn change(watch: &Watch<'_>, period: &Period, now: u64, before: u64) -> Markup {
    let visit = watch.visit;
    if before == 0 {
        return html! { (visit.text("overview.none-before")) };
    }
    let ratio = (now as f64 / period.elapsed_days()) / (before as f64 / period.days());
    let per_cent = ((ratio - 1.0) * 100.0).round();
    let sign = if per_cent > 0.0 {
        "+"
    } else if per_cent < 0.0 {
        "−"
    } else {
        "±"
    };
    let text = format!("{sign}{:.0} %", per_cent.abs());
    html! { strong { (text) } " " (visit.text("overview.than-before")) }
}

fn attacks(watch: &Watch<'_>, period: &Period, by_protocol: &Result<LakeAnswer, LakeError>) -> Markup {
    let title = watch.visit.text("watch.attacks");
    match (by_protocol, &watch.count(&asked(TABLE, period.before(), &[]))) {
        (Ok(now), Ok(before)) => {
            let note = change(watch, period, now.rows, before.rows);
            tile(title, &grouped(now.rows), &note, Some(trend(title, now, period)))
        }
        (Err(error), _) | (_, Err(error)) => broken_tile(watch, title, error),
    }
}

/// The sum of all groups over time.
fn trend(title: &str, answer: &LakeAnswer, period: &Period) -> Markup {
    let over_time = OverTime::of(answer, period);
    let mut sums: Vec<Option<u64>> = Vec::new();
    for (_, counts) in &over_time.series {
        sums.resize(counts.len().max(sums.len()), None);
        for (sum, count) in sums.iter_mut().zip(counts) {
            *sum = match (*sum, count) {
                (None, count) => *count,
                (sum, None) => sum,
                (Some(sum), Some(count)) => Some(sum + count),
            };
        }
    }
    sparkline(title, &sums)
}

fn sources(watch: &Watch<'_>, period: &Period) -> Markup {
    let visit = watch.visit;
    let source = Some(crate::watch::column(TABLE, "source"));
    let is_exact = period.days() <= EXACT_SOURCES_DAYS_MAX;
    let bucket = (!is_exact).then_some(TimeBucket::Day);
    let title = if is_exact { visit.text("overview.sources") } else { visit.text("overview.sources-a-day") };
    match watch.count(&LakeQuestion { distinct: source, bucket, ..asked(TABLE, period.range, &[]) }) {
        Ok(answer) if is_exact => {
            let sources = answer.distinct.first().copied().unwrap_or(0);
            let each = if sources == 0 { 0.0 } else { answer.rows as f64 / sources as f64 };
            let note = visit.filled("overview.attacks-each", &[("count", &format!("{each:.1}"))]);
            tile(title, &grouped(sources), &html! { (note) }, None)
        }
        Ok(answer) => {
            let days = answer.distinct.len().max(1) as u64;
            let mean = answer.distinct.iter().sum::<u64>() / days;
            let most = answer.distinct.iter().copied().max().unwrap_or(0);
            let note = visit.filled("overview.most-sources", &[("count", &grouped(most))]);
            let trend: Vec<Option<u64>> = answer.distinct.iter().copied().map(Some).collect();
            tile(title, &grouped(mean), &html! { (note) }, Some(sparkline(title, &trend)))
        }
        Err(error) => broken_tile(watch, title, &error),
    }
}

fn sensors(watch: &Watch<'_>, period: &Period) -> Markup {
    let visit = watch.visit;
    let title = visit.text("overview.sensors");
    let names = |range: TimeRange| -> Result<Vec<String>, LakeError> {
        let answer = watch.count(&asked(TABLE, range, &["sensor"]))?;
        Ok(answer.groups().filter_map(|group| Some(group.values.first()?.to_string())).collect())
    };
    match names(period.range).and_then(|now| Ok((now, names(period.before())?))) {
        Ok((now, before)) => {
            // Those that are not heard of any more, and those that have not met anybody in this period.
            let unheard = watch.silent_sensors();
            let is_unheard = |name: &String| unheard.iter().any(|sensor| sensor.name.as_str() == name);
            let idle = before.iter().filter(|name| !now.contains(name) && !is_unheard(name)).count();
            let silent = (unheard.len() + idle) as u64;
            let note = match silent {
                0 => html! { (visit.text("overview.none-silent")) },
                silent => html! { strong.warn { (visit.filled("overview.silent", &[("count", &grouped(silent))])) } },
            };
            tile(title, &grouped(now.len() as u64), &note, None)
        }
        Err(error) => broken_tile(watch, title, &error),
    }
}

/// Attacks that were more than looking around.
fn intrusions(watch: &Watch<'_>, period: &Period) -> Markup {
    let visit = watch.visit;
    let title = visit.text("overview.intrusions");
    let of = |range| {
        let filters = vec![one_of(TABLE, "label", &["exploit", "dropper"])];
        watch.count(&LakeQuestion { filters, ..asked(TABLE, range, &[]) })
    };
    match of(period.range).and_then(|now| Ok((now, of(period.before())?))) {
        Ok((now, before)) => {
            let period_fields = period.fields();
            let mut fields = vec![("where", "label=exploit,dropper")];
            fields.extend(period_fields.iter().map(|(name, value)| (*name, value.as_str())));
            html! {
                a.card.tile.link.alarm href=(address("/attacks", &fields)) {
                    h2 { (title) }
                    p.big { (grouped(now.rows)) }
                    p.small.muted { (change(watch, period, now.rows, before.rows)) }
                }
            }
        }
        Err(error) => broken_tile(watch, title, &error),
    }
}

fn map(watch: &Watch<'_>, period: &Period, answer: &LakeAnswer) -> Markup {
    let country = |text: &str| Country::parse(text);
    let counts: Vec<(Country, u64)> =
        answer.groups().filter_map(|group| Some((country(&group.values.first()?.to_string())?, group.count))).collect();
    let link = |country: Country| to_attacks(period, &[("country", &LakeValue::text(country.code()))]);
    world_map(&WorldMap {
        title: watch.visit.text("overview.map"),
        language: charts_language(watch.visit.language),
        countries: &counts,
        country_link: Some(&link),
        sensors: &[],
        arcs: &[],
    })
}

/// Attacks by protocol, with what was unusual.
fn protocols(watch: &Watch<'_>, period: &Period, over_time: &OverTime) -> Markup {
    let visit = watch.visit;
    let found = watch.peaks(&["protocol"], period);
    let published = visit.console.publications.now();
    let near = found.as_ref().ok().map(|found| NearPeaks::of(watch, &published, &found.findings, &["protocol"]));
    let marks = near.as_ref().map(NearPeaks::marks).unwrap_or_default();
    let half_a_day = 43_200_000;
    let told: Vec<(i64, String)> = found
        .as_ref()
        .map_or(&[][..], |found| &found.findings)
        .iter()
        .map(|finding| {
            let text = format!("{}: {}", watch.scope(finding, &["protocol"]), watch.unusual(finding));
            (finding.top.unix_millis() + half_a_day, text)
        })
        .collect();
    let peaks: Vec<Peak<'_>> =
        told.iter().map(|(at_ms, label)| Peak { at_ms: *at_ms, label, link: Link::new("/trends#peaks") }).collect();
    let names = over_time.names(watch, "protocol");
    let series = over_time.of_chart(&names, &|value| to_attacks(period, &[("protocol", value)]));
    let slice = |range: komainu_charts::TimeRange| slice_link("/attacks", &[], range, visit.now);
    html! {
        div data-brush="/attacks" {
            (stacked_area(&Stacked {
                title: visit.text("overview.protocols"),
                language: charts_language(visit.language),
                range: period.of_chart(),
                series: &series,
                annotations: &marks.of_chart(),
                peaks: &peaks,
                slice_link: Some(&slice),
            }))
        }
        (watch.told(&found, |found| html! {
            h2 { (visit.text("overview.unusual")) }
            @if found.findings.is_empty() {
                p.muted { (watch.nothing_unusual(found)) }
            } @else {
                ul.told {
                    @for finding in found.findings.iter().rev().take(PEAKS_LISTED_MAX) {
                        li {
                            span.muted { (time::day(finding.top)) }
                            strong { (brief(&watch.scope(finding, &["protocol"]))) }
                            span {
                                (watch.unusual(finding))
                                @if let Some(near) = &near { (near.told(watch, finding)) }
                            }
                        }
                    }
                }
                p.small { a href="/trends#peaks" { (visit.text("overview.all-peaks")) } }
            }
        }))
    }
}

/// Where a part of a chart leads: to the page at `path` of that time.
pub(crate) fn slice_link(
    path: &str,
    others: &[(&str, &str)],
    range: komainu_charts::TimeRange,
    now: Timestamp,
) -> Option<Link> {
    let [from, to] = [range.from_ms(), range.to_ms()].map(Timestamp::from_unix_millis);
    let period = Period::between(from, to, now).fields();
    let mut fields = others.to_vec();
    fields.extend(period.iter().map(|(name, value)| (*name, value.as_str())));
    Link::new(&address(path, &fields))
}

/// The latest attacks.
fn feed(watch: &Watch<'_>, rows: &LakeRows, colours: &BTreeMap<String, usize>) -> Markup {
    let visit = watch.visit;
    html! {
        @if rows.is_empty() { p.muted { (visit.text("watch.nothing")) } }
        @else { ol.feed { @for row in 0..rows.len() { (attack(watch, rows, row, colours)) } } }
        p.small { a href="/attacks?range=24h" { (visit.text("overview.all-attacks")) } }
    }
}

/// One attack, in two lines.
fn attack(watch: &Watch<'_>, rows: &LakeRows, row: usize, colours: &BTreeMap<String, usize>) -> Markup {
    let of = |name: &str| rows.value(row, crate::watch::column(TABLE, name)).to_string();
    let (source, country, protocol, label) = (of("source"), of("country"), of("protocol"), of("label"));
    let colour = colours.get(&protocol).copied().unwrap_or(0);
    let at = Timestamp::from_unix_millis(rows.times()[row]);
    html! {
        li {
            span.line {
                span.muted { (time::clock(at)) }
                span.code-of title=(brief(&watch.country(&country))) { (shown_as("country", &country, html! { @if country.is_empty() { "??" } @else { (brief(&country)) } })) }
                (crate::watch::source(&source))
                (shown_as("label", &label, label_badge(watch, &label)))
            }
            span.line.small.muted {
                span class=(format!("dot k-s{colour}")) {}
                span { (value("protocol", &protocol)) ":" (value("port", &of("port"))) " → " (brief(&of("appliance"))) " " (value("model", &of("model"))) }
            }
        }
    }
}

/// A label, in the colour of how bad it is.
pub(crate) fn label_badge(watch: &Watch<'_>, label: &str) -> Markup {
    let name = watch.value("label", &LakeValue::text(label));
    match label {
        "exploit" | "dropper" => html! { span.badge.bad { (brief(&name)) } },
        "bruteforce" => html! { span.badge.warn { (brief(&name)) } },
        _ => html! { span.badge { (brief(&name)) } },
    }
}
