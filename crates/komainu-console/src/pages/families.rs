//! Families of malware: all of them, and one over time, with its processors, samples and servers.

use std::collections::{BTreeMap, BTreeSet};

use komainu_charts::{BarList, BarRow, Link, bar_list};
use komainu_model::{SampleDigest, Timestamp};
use komainu_ports::{SampleBrief, TimeRange};
use komainu_statistics::{Tally, malware_statistics};
use maud::{Markup, html};

use crate::address::{address, part};
use crate::pages::malware::{Taught, chart, facts, over_time, share};
use crate::pages::samples::BRIEFS_MAX;
use crate::pages::search::{HITS_MAX, Hit};
use crate::pages::{indicators, samples};
use crate::period::{Period, Span};
use crate::problem::Problem;
use crate::routes::Answered;
use crate::value::{self, value};
use crate::visit::{SignedIn, Visit};
use crate::watch::{LISTED_MAX, Watch, brief, charts_language, grouped};
use crate::{shell, time};

/// Samples that the page of a family shows; the list of samples has all.
const SAMPLES_MAX: usize = 20;

/// Servers that the page of a family shows.
const SERVERS_MAX: usize = 20;

/// Bytes of a family's name in an address; reports have shorter ones.
const NAME_BYTES_MAX: usize = 256;

/// All families.
pub(crate) fn show(visit: &Visit, who: &SignedIn) -> Answered {
    let briefs = visit.console.threat.samples.briefs(TimeRange::ALL, BRIEFS_MAX)?;
    let statistics = malware_statistics(&facts(&briefs, &BTreeMap::new()));
    let mut seen: BTreeMap<&str, (Timestamp, Timestamp)> = BTreeMap::new();
    for sample in &briefs {
        let times = seen.entry(&sample.family).or_insert((sample.first_at, sample.first_at));
        *times = (times.0.min(sample.first_at), times.1.max(sample.first_at));
    }
    let named: Vec<(&str, &Tally)> =
        statistics.by_family.iter().filter_map(|(name, tally)| Some((name.as_deref()?, tally))).collect();
    let without = statistics.by_family.iter().find(|(name, _)| name.is_none()).map_or(0, |(_, tally)| tally.samples);
    let content = html! {
        @if briefs.is_empty() {
            section.card.empty {
                h2 { (visit.text("samples.nothing")) }
                p { (visit.text("samples.nothing-advice")) }
                p { code { "komainu samples submit FILE" } }
            }
        } @else {
            section.card {
                h2 { (visit.text("families.all")) }
                @if named.is_empty() { p.muted { (visit.text("families.none")) } }
                @else {
                    div.scroll tabindex="0" { table.rows.fold {
                        thead { tr {
                            th { (visit.text("samples.family")) }
                            th.number { (visit.text("menu.samples")) }
                            th.number { (visit.text("malware.unknown")) }
                            th.number { (visit.text("malware.iot")) }
                            th { (visit.text("source.first")) }
                            th { (visit.text("source.last")) }
                        } }
                        tbody { @for (name, tally) in &named {
                            @let times = seen.get(name).copied();
                            tr {
                                td.head { (value("family", name)) }
                                td.number data-label=(visit.text("menu.samples")) { (grouped(tally.samples)) }
                                td.number data-label=(visit.text("malware.unknown")) { (share(tally.unknown_share())) }
                                td.number data-label=(visit.text("malware.iot")) { (share(tally.iot_share())) }
                                td.nowrap data-label=(visit.text("source.first")) { @if let Some((first, _)) = times { (time::time(first)) } }
                                td.nowrap data-label=(visit.text("source.last")) { @if let Some((_, last)) = times { (time::time(last)) } }
                            }
                        } }
                    } }
                }
                @if statistics.other_families.samples > 0 {
                    p.small.muted { (visit.filled("families.others", &[("count", &grouped(statistics.other_families.samples))])) }
                }
                @if without > 0 { p.small.muted { (visit.filled("families.without", &[("count", &grouped(without))])) } }
            }
        }
    };
    Ok(shell::page(visit, Some(who), visit.text("menu.families"), content))
}

/// Families whose name has a text.
pub(crate) fn find(visit: &Visit, _who: &SignedIn, wanted: &str) -> Result<Vec<Hit>, Problem> {
    let wanted = wanted.to_lowercase();
    let briefs = visit.console.threat.samples.briefs(TimeRange::ALL, BRIEFS_MAX)?;
    let names: BTreeSet<String> = briefs.into_iter().map(|brief| brief.family).collect();
    let found = names.into_iter().filter(|name| !name.is_empty() && name.to_lowercase().contains(&wanted));
    let hit =
        |name: String| Hit { kind: visit.text("samples.family"), path: format!("/families/{}", part(&name)), name };
    Ok(found.take(HITS_MAX).map(hit).collect())
}

/// One family.
pub(crate) fn show_one(visit: &Visit, who: &SignedIn) -> Answered {
    let name = visit.label("name");
    if name.len() > NAME_BYTES_MAX {
        return Err(Problem::NotFound);
    }
    let mut all = visit.console.threat.samples.briefs(TimeRange::ALL, BRIEFS_MAX)?;
    all.retain(|sample| sample.family == name);
    if all.is_empty() {
        return Err(Problem::NotFound);
    }
    let watch = Watch::of(visit);
    let period = Period::of(visit, Span::Year);
    let taught = Taught::of(&*visit.console.threat.indicators)?;
    let total = malware_statistics(&facts(&all, &taught.guarded)).total;
    let content = html! {
        div.line { (period.picker(visit, &format!("/families/{}", part(name)), &[])) }
        (tiles(visit, &total, &all))
        section.card {
            h2 { (visit.text("families.over-time")) }
            (chart(&watch, &period, visit.text("families.over-time"), &over_time(&period, &all, |sample| processor(visit, sample)), &|_| None))
        }
        div.columns {
            (processors(visit, name, &all))
            (servers(visit, &taught, &all))
        }
        (newest(visit, name, &all)?)
    };
    Ok(shell::page(visit, Some(who), &brief(name), content))
}

fn processor(visit: &Visit, sample: &SampleBrief) -> String {
    match sample.processor.as_str() {
        "" => visit.text("malware.no-processor").to_owned(),
        name => name.to_owned(),
    }
}

fn tiles(visit: &Visit, total: &Tally, all: &[SampleBrief]) -> Markup {
    let tile = |title: &str, value: Markup| html! { section.card.tile { h2 { (title) } (value) } };
    let (last, first) = (all.first(), all.last());
    html! {
        div.tiles {
            (tile(visit.text("menu.samples"), html! { p.big { (grouped(total.samples)) } }))
            (tile(visit.text("malware.unknown"), html! { p.big { (share(total.unknown_share())) } }))
            (tile(visit.text("malware.iot"), html! { p.big { (share(total.iot_share())) } }))
            @if let Some(first) = first { (tile(visit.text("source.first"), html! { p.big-time { (time::time(first.first_at)) } })) }
            @if let Some(last) = last { (tile(visit.text("source.last"), html! { p.big-time { (time::time(last.first_at)) } })) }
        }
    }
}

fn processors(visit: &Visit, name: &str, all: &[SampleBrief]) -> Markup {
    let mut counts: BTreeMap<&str, u64> = BTreeMap::new();
    for sample in all {
        *counts.entry(&sample.processor).or_default() += 1;
    }
    let mut counts: Vec<(&str, u64)> = counts.into_iter().collect();
    counts.sort_by_key(|(name, count)| (std::cmp::Reverse(*count), *name));
    let rows: Vec<BarRow<'_>> = counts
        .iter()
        .take(LISTED_MAX)
        .map(|(processor, count)| BarRow {
            label: if processor.is_empty() { visit.text("malware.no-processor") } else { processor },
            count: *count,
            link: value::link(
                Link::new(&address("/samples", &[("family", name), ("processor", processor)])),
                "processor",
                processor,
            ),
        })
        .collect();
    let title = visit.text("malware.by-processor");
    html! {
        section.card {
            h2 { (title) }
            (bar_list(&BarList { title, language: charts_language(visit.language), rows: &rows }))
        }
    }
}

/// With whom its samples spoke, as the fleet was taught.
fn servers(visit: &Visit, taught: &Taught, all: &[SampleBrief]) -> Markup {
    let of_family: BTreeSet<SampleDigest> = all.iter().map(|sample| sample.sample).collect();
    let mut found: Vec<_> = taught
        .indicators
        .iter()
        .filter(|indicator| {
            indicator.provenance.iter().filter_map(|origin| origin.sample).any(|sample| of_family.contains(&sample))
        })
        .collect();
    found.sort_by_key(|indicator| std::cmp::Reverse(indicator.first_seen));
    html! {
        section.card {
            h2 { (visit.text("malware.servers")) }
            @if found.is_empty() { p.muted { (visit.text("malware.no-servers")) } }
            @else {
                div.scroll tabindex="0" {
                    table.rows {
                        tbody {
                            @for indicator in found.iter().take(SERVERS_MAX) {
                                tr {
                                    td { (indicators::link(indicator)) }
                                    td { (indicators::state(visit, indicator)) }
                                    td.nowrap.muted { (time::day(indicator.first_seen)) }
                                }
                            }
                        }
                    }
                }
                @if found.len() > SERVERS_MAX {
                    p.small.muted { (visit.filled("sample.more", &[("count", &grouped((found.len() - SERVERS_MAX) as u64))])) }
                }
            }
        }
    }
}

fn newest(visit: &Visit, name: &str, all: &[SampleBrief]) -> Result<Markup, Problem> {
    let mut rows = Vec::new();
    for sample in all.iter().take(SAMPLES_MAX) {
        rows.extend(visit.console.threat.samples.sample(&sample.sample)?);
    }
    Ok(html! {
        section.card {
            h2 { (visit.text("samples.newest")) }
            (samples::table(visit, &rows))
            p.small { a href=(address("/samples", &[("family", name)])) { (visit.text("families.all-samples")) } }
        }
    })
}
