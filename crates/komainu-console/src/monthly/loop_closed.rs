//! From attack to alarm: what was learned of attacks, how soon it guarded the fleet, and what came of it.

use std::collections::BTreeSet;

use komainu_model::{Indicator, IndicatorSource, MetricValue, ReporterName, ViolationEvent};
use komainu_ports::{Page, SightingQuery, StoreError};
use maud::{Markup, html};

use crate::address::defanged;
use crate::monthly::table::{ROWS_MAX, more, named};
use crate::monthly::{Edition, MonthlyError, sheet};
use crate::pages::malware::{INDICATORS_MAX, span};
use crate::time;
use crate::watch::{brief, grouped};

/// Sightings that are looked through, the latest.
const SIGHTINGS_MAX: usize = 20_000;

/// Read at once: as many as the store gives.
const STEP: usize = 1_000;

/// Contacts of one alarm that are told.
const REMOTES_MAX: usize = 3;

/// Indicators of a month, by who taught them.
#[derive(Default)]
struct Learned {
    by_laboratory: u64,
    by_operators: u64,
    by_feeds: u64,
    is_cut: bool,
}

impl Learned {
    fn of(edition: &Edition<'_>) -> Result<Self, StoreError> {
        let (mut found, mut read, mut after) = (Self::default(), 0, None);
        let range = edition.period.range;
        let of_month = |indicator: &&Indicator| indicator.first_seen >= range.from && indicator.first_seen < range.to;
        loop {
            let step = edition.parts.indicators.indicators(None, &Page { after, limit: STEP })?;
            read += step.items.len();
            for indicator in step.items.iter().filter(of_month) {
                match indicator.source {
                    IndicatorSource::Detonation(_) => found.by_laboratory += 1,
                    IndicatorSource::Operator => found.by_operators += 1,
                    IndicatorSource::Feed(_) => found.by_feeds += 1,
                }
            }
            after = step.next;
            if after.is_none() {
                return Ok(found);
            }
            if read >= INDICATORS_MAX {
                found.is_cut = true;
                return Ok(found);
            }
        }
    }
}

/// Devices that were seen in the month with what an indicator names.
fn matched(edition: &Edition<'_>) -> Result<u64, StoreError> {
    let range = edition.period.range;
    let (mut devices, mut read, mut after): (BTreeSet<ReporterName>, usize, _) = (BTreeSet::new(), 0, None);
    loop {
        let step = edition.parts.indicators.sightings(&SightingQuery::default(), &Page { after, limit: STEP })?;
        read += step.items.len();
        for (scope, sighting) in step.items {
            if scope == edition.parts.scope && sighting.first_at < range.to && sighting.last_at >= range.from {
                devices.insert(sighting.reporter);
            }
        }
        after = step.next;
        if after.is_none() || read >= SIGHTINGS_MAX {
            return Ok(devices.len() as u64);
        }
    }
}

pub(super) fn section(edition: &Edition<'_>) -> Result<Markup, MonthlyError> {
    let learned = Learned::of(edition)?;
    let matched = matched(edition)?;
    let protect = &edition.malware.time_to_protect;
    let guarded = match protect.median.zip(protect.ninth_tenth) {
        Some((median, ninth)) => {
            let texts = edition.asker.texts;
            let places = [("count", grouped(protect.protected)), ("ninth", span(texts, ninth))];
            let places: Vec<(&str, &str)> = places.iter().map(|(name, value)| (*name, value.as_str())).collect();
            (span(texts, median), edition.filled("malware.protected", &places))
        }
        None => ("–".to_owned(), edition.text("malware.none-protected").to_owned()),
    };
    let all = learned.by_laboratory + learned.by_operators + learned.by_feeds;
    let by_whom = [
        ("laboratory", grouped(learned.by_laboratory)),
        ("operators", grouped(learned.by_operators)),
        ("feeds", grouped(learned.by_feeds)),
    ];
    let by_whom: Vec<(&str, &str)> = by_whom.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let threats = &edition.fleet.now.threats;
    let step = |title: &str, value: String, note: &str, class: &str| {
        html! { div class=(format!("card tile{class}")) { h2 { (title) } p.big { (value) } p.small.muted { (note) } } }
    };
    let matched_class = if matched > 0 { " alarm" } else { "" };
    Ok(sheet::section(
        edition,
        sheet::Of::Fleet,
        edition.text("monthly.loop"),
        html! {
            p { (edition.text("monthly.loop-about")) }
            div.tiles.four.keep {
                (step(edition.text("monthly.learned"), grouped(all), &edition.filled("monthly.learned-by", &by_whom), ""))
                (step(edition.text("malware.protect"), guarded.0, &guarded.1, ""))
                (step(edition.text("monthly.matched"), grouped(matched), edition.text("monthly.matched-note"), matched_class))
                (step(edition.text("monthly.threat-alarms"), grouped(threats.len() as u64), edition.text("monthly.threat-alarms-note"), if threats.is_empty() { "" } else { " alarm" }))
            }
            @if learned.is_cut { p.note { (edition.filled("malware.indicators-cut", &[("count", &grouped(INDICATORS_MAX as u64))])) } }
            @if !threats.is_empty() {
                h3 { (edition.text("monthly.threat-alarms")) }
                table.told {
                    thead { tr {
                        th { (edition.text("peak.when")) } th { (edition.text("alarms.device")) }
                        th { (edition.text("monthly.contact")) } th { (edition.text("alarms.state")) }
                    } }
                    tbody { @for event in threats.iter().take(ROWS_MAX) { (threat(edition, event)) } }
                }
                (more(edition, threats.len()))
            }
        },
    ))
}

fn threat(edition: &Edition<'_>, event: &ViolationEvent) -> Markup {
    let remotes: Vec<String> = match &event.value {
        Some(MetricValue::Matches(matches)) => {
            let mut remotes: Vec<String> = matches.iter().map(|one| defanged(&one.remote.to_string())).collect();
            remotes.sort();
            remotes.dedup();
            remotes
        }
        _ => Vec::new(),
    };
    let word = event.verification.as_str();
    html! {
        tr {
            td.nowrap { (time::text(event.at).get(..16).unwrap_or_default()) }
            td.name { (brief(&named(event.reporter.as_str()))) }
            td.mono {
                @for remote in remotes.iter().take(REMOTES_MAX) { div { (brief(remote)) } }
                @if remotes.len() > REMOTES_MAX { div { "+" (remotes.len() - REMOTES_MAX) } }
            }
            td { (edition.asker.texts.word("verification", word).unwrap_or(word)) }
        }
    }
}
