//! Trends: attacks by country, appliance and protocol over months, what was unusual, what changed, and what is new.
//!
//! Everything is asked so that counts that stand ready answer it; only weaknesses are looked for in rows.

use std::collections::BTreeSet;

use komainu_charts::{HeatMap, HeatRow, Link, Stacked, heat_map, stacked_area};
use komainu_model::Timestamp;
use komainu_ports::{
    LakeAnswer, LakeError, LakeFilter, LakeQuestion, LakeTable, LakeTest, LakeValue, TimeBucket, TimeRange,
};
use komainu_statistics::{
    Change, Comparison, Finding, FirstSeenList, Key, Peaks, Row, Rule, Side, compare, first_seen,
};
use maud::{Markup, html};

use crate::address::address;
use crate::condition::is_one;
use crate::pages::overview::to_attacks;
use crate::period::{Period, Span};
use crate::published::{Marks, NearPeaks};
use crate::routes::Answered;
use crate::shown::shown;
use crate::time;
use crate::value;
use crate::visit::{SignedIn, Visit};
use crate::watch::{Asker, OverTime, Watch, asked, brief, charts_language, grouped, keys, one_of};

/// Columns by which attacks are shown, and of which one may have one value only.
const COLUMNS: [&str; 3] = ["country", "appliance", "protocol"];

/// Columns by which attacks are sorted to find what was unusual.
const PEAK_COLUMNS: [&str; 2] = ["protocol", "appliance"];

/// Columns by which two periods are compared.
const COMPARED: [&str; 5] = ["protocol", "country", "appliance", "port", "label"];

/// Series of a chart, besides that of all others. Three charts of a year with more of them are larger than a page may be.
const SERIES_MAX: usize = 6;

/// Protocols and appliances of the map of both.
const HEAT_MAX: usize = 24;

/// Findings that are listed, the latest.
const PEAKS_MAX: usize = 30;

/// Rows of the comparison.
const CHANGES_MAX: usize = 20;

/// New values that are listed.
const NEW_MAX: usize = 12;

/// Weaknesses that were tried so long before are not new: they are looked for in rows.
const KNOWN_WEAKNESS_DAYS: i64 = 365;

const DAY_MS: i64 = 86_400_000;

const TABLE: LakeTable = LakeTable::Attacks;

/// The page.
pub(crate) fn show(visit: &Visit, who: &SignedIn) -> Answered {
    let watch = Watch::of(visit);
    let period = Period::of(visit, Span::Quarter);
    // One value at a time: for that, counts stand ready.
    let chosen = COLUMNS.iter().find_map(|name| {
        let value = visit.query.one(name);
        (!value.is_empty()).then_some((*name, value))
    });
    let found = watch.peaks(&PEAK_COLUMNS, &period);
    let published = visit.console.publications.now();
    let near = found.as_ref().ok().map(|found| NearPeaks::of(&watch, &published, &found.findings, &PEAK_COLUMNS));
    let marks = near.as_ref().map(NearPeaks::marks).unwrap_or_default();
    let gaps = watch.gaps(&period);
    let kept: Vec<(&str, &str)> = chosen.into_iter().chain([("compare", visit.query.one("compare"))]).collect();
    let tests: Vec<String> = chosen.iter().map(|(name, value)| is_one(name, value)).collect();
    let content = html! {
        (value::narrowed(&period, &tests))
        div.line {
            (period.picker(visit, "/trends", &kept))
            @if let Some((name, value)) = chosen {
                @let text = format!("{name}={value}");
                a.chip href=(here(&period, &[])) title=(visit.text("attacks.remove")) { (shown(&text)) " ×" }
            }
        }
        @for name in COLUMNS {
            @if chosen.is_none_or(|(chosen, _)| chosen != name) { (over_time(&watch, &period, name, chosen, (&marks, &gaps))) }
        }
        @if chosen.is_none() { (protocols_on_appliances(&watch, &period)) }
        (peaks(&watch, &found, near.as_ref()))
        (changes(&watch, &period, &kept))
        h2.group { (visit.text("trends.new")) }
        div.columns {
            (new_values(&watch, &period, "country"))
            (new_values(&watch, &period, "port"))
            (new_weaknesses(&watch, &period))
        }
        p.small.muted { (visit.text("watch.country-note")) }
    };
    Ok(watch.page(who, visit.text("menu.trends"), content))
}

/// The address of this page of the same time.
fn here(period: &Period, others: &[(&str, &str)]) -> String {
    let fields = period.fields();
    let mut all: Vec<(&str, &str)> = fields.iter().map(|(name, value)| (*name, value.as_str())).collect();
    all.extend(others);
    address("/trends", &all)
}

fn over_time(
    watch: &Watch<'_>,
    period: &Period,
    name: &'static str,
    chosen: Option<(&str, &str)>,
    (marks, gaps): (&Marks, &[bool]),
) -> Markup {
    let visit = watch.visit;
    let filters: Vec<LakeFilter> = chosen.map(|(name, value)| one_of(TABLE, name, &[value])).into_iter().collect();
    let answer =
        watch.count(&LakeQuestion { bucket: Some(period.bucket), filters, ..asked(TABLE, period.range, &[name]) });
    let title = visit.texts.word("trends-by", name).unwrap_or(name);
    watch.card(title, &answer, |answer| {
        let mut over_time = OverTime::of(answer, period).without(gaps);
        fold(&mut over_time);
        let names = over_time.names(watch, name);
        let series = over_time.of_chart(&names, &|value| Link::new(&here(period, &[(name, &value.to_string())])));
        html! {
            div data-brush=(address("/trends", &chosen.into_iter().collect::<Vec<_>>())) {
                (stacked_area(&Stacked {
                    title,
                    language: charts_language(visit.language),
                    range: period.of_chart(),
                    series: &series,
                    annotations: &marks.of_chart(),
                    peaks: &[],
                    slice_link: None,
                }))
            }
        }
    })
}

/// Adds up the series beyond [`SERIES_MAX`].
pub(crate) fn fold(over_time: &mut OverTime) {
    let mut rest = over_time.series.split_off(SERIES_MAX.min(over_time.series.len())).into_iter();
    let Some((_, mut sums)) = rest.next() else { return };
    for (_, counts) in rest {
        for (sum, count) in sums.iter_mut().zip(counts) {
            *sum = sum.zip(count).map(|(sum, count)| sum + count);
        }
    }
    over_time.series.push((None, sums));
}

fn protocols_on_appliances(watch: &Watch<'_>, period: &Period) -> Markup {
    let visit = watch.visit;
    let answer = watch.count(&asked(TABLE, period.range, &["protocol", "appliance"]));
    watch.card(visit.text("trends.heat"), &answer, |answer| {
        let link = |protocol: &str, appliance: &str| {
            let (protocol, appliance) = (LakeValue::text(protocol), LakeValue::text(appliance));
            to_attacks(period, &[("protocol", &protocol), ("appliance", &appliance)])
        };
        html! { div.scroll tabindex="0" { (heat_of(watch, answer, &link)) } }
    })
}

/// A map of an answer that is sorted by protocol and appliance, with where each of both leads.
pub(crate) fn heat_of(asker: &Asker, answer: &LakeAnswer, link: &dyn Fn(&str, &str) -> Option<Link>) -> Markup {
    let counted: Vec<(LakeValue, LakeValue, u64)> = answer
        .groups()
        .filter_map(|group| {
            let mut values = group.values.into_iter();
            Some((values.next()?, values.next()?, group.count))
        })
        .collect();
    // In the order in which they first come: those with most come first.
    let first = |value: &dyn Fn(&(LakeValue, LakeValue, u64)) -> String| {
        let mut names: Vec<String> = Vec::new();
        for name in counted.iter().map(value) {
            if !names.contains(&name) {
                names.push(name);
            }
        }
        names.truncate(HEAT_MAX);
        names
    };
    let (protocols, appliances) = (first(&|row| row.0.to_string()), first(&|row| row.1.to_string()));
    let mut counts = vec![vec![0_u64; appliances.len()]; protocols.len()];
    for (protocol, appliance, count) in &counted {
        let place = |names: &[String], value: &LakeValue| names.iter().position(|name| *name == value.to_string());
        if let Some((row, column)) = place(&protocols, protocol).zip(place(&appliances, appliance)) {
            counts[row][column] += count;
        }
    }
    let columns: Vec<&str> = appliances.iter().map(String::as_str).collect();
    let rows: Vec<HeatRow<'_>> =
        protocols.iter().zip(&counts).map(|(label, counts)| HeatRow { label, counts }).collect();
    let cell_link = |row: usize, column: usize| link(&protocols[row], &appliances[column]);
    heat_map(&HeatMap {
        title: asker.text("trends.heat"),
        language: charts_language(asker.language),
        columns: &columns,
        rows: &rows,
        cell_link: Some(&cell_link),
    })
}

/// What was unusual, the latest first, with what was published then.
fn peaks(watch: &Watch<'_>, found: &Result<Peaks, LakeError>, near: Option<&NearPeaks<'_>>) -> Markup {
    let visit = watch.visit;
    let told = watch.told(found, |found| html! {
        @if found.findings.is_empty() { p.muted { (watch.nothing_unusual(found)) } }
        @else {
            div.scroll tabindex="0" {
                table.rows.fold {
                    thead { tr {
                        th { (visit.text("peak.when")) }
                        th { (visit.text("peak.what")) }
                        th { (visit.text("peak.how")) }
                        th.number { (visit.text("peak.excess")) }
                    } }
                    tbody {
                        @for finding in found.findings.iter().rev().take(PEAKS_MAX) {
                            tr {
                                td.head.nowrap { span { (days_of(visit, finding)) } }
                                td data-label=(visit.text("peak.what")) { (of_finding(watch, finding, &PEAK_COLUMNS)) }
                                td.wide data-label=(visit.text("peak.how")) {
                                    (watch.unusual(finding))
                                    @if let Some(near) = near { (near.told(watch, finding)) }
                                }
                                td.number data-label=(visit.text("peak.excess")) { "+" (grouped(finding.excess.max(0.0).round() as u64)) }
                            }
                        }
                    }
                }
            }
            p.small.muted { (visit.text("peak.explained")) }
        }
    });
    html! { section.card #peaks { h2 { (visit.text("peak.title")) } (told) } }
}

/// From which day to which.
fn days_of(visit: &Visit, finding: &Finding) -> Markup {
    let last = finding.end.map(|end| Timestamp::from_unix_millis(end.unix_millis() - DAY_MS));
    html! {
        (time::day(finding.begin))
        @match last {
            Some(last) if last > finding.begin => { " – " (time::day(last)) }
            Some(_) => {}
            None => { " " span.badge.warn { (visit.text("peak.goes-on")) } }
        }
    }
}

/// Of what it is, with a link to the attacks of its days.
fn of_finding(watch: &Watch<'_>, finding: &Finding, columns: &[&str]) -> Markup {
    let visit = watch.visit;
    let end = finding.end.unwrap_or(visit.now);
    let period = Period::between(finding.begin, end.max(crate::watch::end_of_day(finding.top)), visit.now);
    let values: Vec<(&str, LakeValue)> = columns
        .iter()
        .zip(&finding.scope.0)
        .filter_map(|(column, value)| Some((*column, LakeValue::text(value.as_ref()?))))
        .collect();
    let tests: Vec<(&str, &LakeValue)> = values.iter().map(|(column, value)| (*column, value)).collect();
    let texts: Vec<String> = tests.iter().map(|(column, value)| format!("{column}={value}")).collect();
    let fields = period.fields();
    let mut all: Vec<(&str, &str)> = texts.iter().map(|text| ("where", text.as_str())).collect();
    all.extend(fields.iter().map(|(name, value)| (*name, value.as_str())));
    html! { a href=(address("/attacks", &all)) { (brief(&watch.scope(finding, columns))) } }
}

/// The period beside the one before.
fn changes(watch: &Watch<'_>, period: &Period, kept: &[(&str, &str)]) -> Markup {
    let visit = watch.visit;
    let name = COMPARED.into_iter().find(|name| *name == visit.query.one("compare")).unwrap_or("protocol");
    let found = compared(watch, period, period.before(), name);
    let of_column = |column: &'static str| {
        let mut others: Vec<(&str, &str)> = kept.iter().copied().filter(|(name, _)| *name != "compare").collect();
        others.push(("compare", column));
        here(period, &others) + "#changes"
    };
    let told = watch.told(&found, |comparison| {
        html! {
            @match comparison {
                Some(comparison) if !comparison.rows.is_empty() => (table_of_changes(watch, name, comparison)),
                Some(_) | None => p.muted { (visit.text("watch.nothing")) },
            }
        }
    });
    html! {
        section.card #changes {
            div.card-head {
                h2 { (visit.text("trends.changes")) }
                nav.words aria-label=(visit.text("trends.changes")) {
                    @for column in COMPARED {
                        a href=(of_column(column)) aria-current=[(column == name).then_some("true")] {
                            (visit.texts.word("column", column).unwrap_or(column))
                        }
                    }
                }
            }
            (told)
        }
    }
}

/// A period beside an earlier one, by a column.
pub(crate) fn compared(
    asker: &Asker,
    period: &Period,
    before: TimeRange,
    name: &str,
) -> Result<Option<Comparison>, LakeError> {
    let days = (before.to.unix_millis() - before.from.unix_millis()) as f64 / DAY_MS as f64;
    let [now, before] = [period.range, before].map(|range| asker.count(&asked(TABLE, range, &[name])));
    let (now, before) = (keys(&now?), keys(&before?));
    let first = Side { counts: &before, exposure: days };
    let second = Side { counts: &now, exposure: period.elapsed_days() };
    // Exposures are above zero: a period has an hour at least.
    Ok(compare(first, second, Rule::default()).ok())
}

fn table_of_changes(watch: &Watch<'_>, name: &'static str, comparison: &Comparison) -> Markup {
    let visit = watch.visit;
    html! {
        div.scroll tabindex="0" {
            table.rows {
                thead { tr {
                    th { (visit.texts.word("column", name).unwrap_or(name)) }
                    th.number { (visit.text("trends.before")) }
                    th.number { (visit.text("trends.now")) }
                    th { (visit.text("trends.change")) }
                } }
                tbody {
                    @for row in comparison.rows.iter().take(CHANGES_MAX) {
                        @let value = LakeValue::text(row.key.first().map_or("", String::as_str));
                        tr {
                            td { (value::shown_as(name, &value.to_string(), html! { (brief(&watch.value(name, &value))) })) }
                            td.number { (grouped(row.counts.0)) }
                            td.number { (grouped(row.counts.1)) }
                            td.nowrap { (change(visit, row)) }
                        }
                    }
                }
            }
        }
        p.small.muted { (visit.text("trends.rate")) }
    }
}

fn change(visit: &Visit, row: &Row) -> Markup {
    let times = row.ratio.map_or(String::new(), |ratio| format!("{ratio:.2}"));
    match row.change {
        Change::New => html! { span.badge.warn { (visit.text("change.new")) } },
        Change::Gone => html! { span.badge { (visit.text("change.gone")) } },
        Change::Risen => html! { span.badge.warn { (visit.filled("change.risen", &[("times", &times)])) } },
        Change::Fallen => html! { span.badge.ok { (visit.filled("change.fallen", &[("times", &times)])) } },
        Change::Chance => html! { span.muted { (visit.text("change.chance")) } },
    }
}

/// Values of a column that were seen in the period and never before.
fn new_values(watch: &Watch<'_>, period: &Period, name: &'static str) -> Markup {
    let before = TimeRange { from: TimeRange::ALL.from, to: period.range.from };
    let found = newly_seen(watch, period, before, &asked(TABLE, period.range, &[name]));
    watch.card(watch.visit.texts.word("column", name).unwrap_or(name), &found, |list| {
        new_list(watch, name, list, &|value| {
            let fields = period.fields();
            let test = format!("{name}={value}");
            let mut all = vec![("where", test.as_str())];
            all.extend(fields.iter().map(|(name, value)| (*name, value.as_str())));
            address("/attacks", &all)
        })
    })
}

/// Weaknesses that were tried in the period and not in the year before.
fn new_weaknesses(watch: &Watch<'_>, period: &Period) -> Markup {
    let from = Timestamp::from_unix_millis(period.range.from.unix_millis() - KNOWN_WEAKNESS_DAYS * DAY_MS);
    let before = TimeRange { from, to: period.range.from };
    let table = LakeTable::Observables;
    let filters = vec![one_of(table, "kind", &["cve"])];
    let found = newly_seen(watch, period, before, &LakeQuestion { filters, ..asked(table, period.range, &["value"]) });
    watch.card(watch.visit.texts.word("kind", "cve").unwrap_or("cve"), &found, |list| {
        new_list(watch, "value", list, &|value| {
            let fields = period.fields();
            let mut all = vec![("kind", "cve"), ("value", value)];
            all.extend(fields.iter().map(|(name, value)| (*name, value.as_str())));
            address("/observables/one", &all)
        })
    })
}

/// The values of a question about one column that an earlier time does not have, those that came most often. When they came
/// first is asked for these few only: days times ports are many.
pub(crate) fn newly_seen(
    asker: &Asker,
    period: &Period,
    before: TimeRange,
    question: &LakeQuestion,
) -> Result<FirstSeenList, LakeError> {
    let known: BTreeSet<Key> = keys(&asker.count(&LakeQuestion { range: before, ..question.clone() })?)
        .into_iter()
        .map(|(key, _)| key)
        .collect();
    // With nothing before, everything is new, which says nothing.
    if known.is_empty() {
        return Ok(FirstSeenList::default());
    }
    let now = asker.count(question)?;
    let is_new = |value: &LakeValue| !known.contains(&vec![value.to_string()]);
    let values: Vec<LakeValue> =
        now.groups().filter_map(|group| group.values.into_iter().next()).filter(is_new).take(NEW_MAX).collect();
    if values.is_empty() {
        return Ok(FirstSeenList::default());
    }
    let mut of_these = LakeQuestion { bucket: Some(TimeBucket::Day), ..question.clone() };
    of_these.filters.extend(
        question.group_by.iter().map(|column| LakeFilter { column: *column, test: LakeTest::OneOf(values.clone()) }),
    );
    let answer = asker.count(&of_these)?;
    let rows: Vec<(Timestamp, Key, u64)> = answer
        .groups()
        .filter_map(|group| Some((group.bucket?, group.values.iter().map(ToString::to_string).collect(), group.count)))
        .collect();
    let rows = rows.iter().map(|(at, key, count)| (*at, key, *count));
    Ok(first_seen(rows, period.range.from, period.range.to, &|key| known.contains(key)))
}

pub(crate) fn new_list(watch: &Watch<'_>, name: &str, list: &FirstSeenList, link: &dyn Fn(&str) -> String) -> Markup {
    let visit = watch.visit;
    // Of observables, only weaknesses are listed.
    let kind = if name == "value" { "cve" } else { name };
    html! {
        @if list.seen.is_empty() { p.muted { (visit.text("trends.nothing-new")) } }
        @else {
            table.rows.counts {
                tbody {
                    @for seen in list.seen.iter().rev() {
                        @let value = seen.key.first().map_or("", String::as_str);
                        tr {
                            td.wide { (value::leading_to(&link(value), kind, value, html! { (brief(&watch.value(name, &LakeValue::text(value)))) })) }
                            td.nowrap.muted { (time::day(seen.at)) }
                            td.number { (grouped(seen.count)) }
                        }
                    }
                }
            }
        }
    }
}
