//! Attacks of a month: day by day, from where, and on what.

use komainu_charts::{Country, Peak, Stacked, WorldMap, stacked_area, world_map};
use komainu_model::Timestamp;
use komainu_ports::{LakeQuestion, LakeTable, LakeValue};
use komainu_statistics::{Day, Finding, Publication, Source};
use maud::{Markup, html};

use crate::monthly::table::{by_column, named, nothing};
use crate::monthly::{Edition, MonthlyError, sheet};
use crate::pages::trends::{fold, heat_of};
use crate::published::NearPeaks;
use crate::watch::{OverTime, asked, brief, end_of_day, grouped, keys};

/// Unusual days that are listed, those with most more than usual: as many as what was published is looked for.
const PEAKS_MAX: usize = 10;

/// Notes of the operator that are listed, the earliest of the month.
const NOTES_MAX: usize = 12;

/// Columns by which what was unusual is sorted.
const PEAK_COLUMNS: [&str; 2] = ["protocol", "appliance"];

const TABLE: LakeTable = LakeTable::Attacks;

const DAY_MS: i64 = 86_400_000;

/// Day by day, what was unusual, and what was published then.
pub(super) fn over_days(edition: &Edition<'_>) -> Result<Markup, MonthlyError> {
    let asker = &edition.asker;
    let mut found = asker.peaks(&PEAK_COLUMNS, &edition.period)?;
    let left_out = found.findings.len().saturating_sub(PEAKS_MAX);
    found.findings.sort_by(|one, other| other.excess.total_cmp(&one.excess));
    found.findings.truncate(PEAKS_MAX);
    found.findings.sort_by_key(|finding| finding.top);
    let unusual = &found.findings;
    let near = NearPeaks::of(asker, &edition.published, unusual, &PEAK_COLUMNS);
    let marks = near.marks();
    let told: Vec<(i64, String)> = unusual
        .iter()
        .map(|finding| (finding.top.unix_millis() + DAY_MS / 2, asker.scope(finding, &PEAK_COLUMNS)))
        .collect();
    let peaks: Vec<Peak<'_>> = told.iter().map(|(at_ms, label)| Peak { at_ms: *at_ms, label, link: None }).collect();
    let by_protocol = asker.count(&LakeQuestion {
        bucket: Some(edition.period.bucket),
        ..asked(TABLE, edition.period.range, &["protocol"])
    })?;
    let chart = over_time(edition, "protocol", &by_protocol, |title, range, series| {
        stacked_area(&Stacked {
            title,
            language: edition.charts_language(),
            range,
            series,
            annotations: &marks.without_links(),
            peaks: &peaks,
            slice_link: None,
        })
    });
    Ok(sheet::section(
        edition,
        sheet::Of::Attacks,
        edition.text("monthly.by-day"),
        html! {
            div.keep { (chart) }
            h3 { (edition.text("overview.unusual")) }
            @if unusual.is_empty() { p.none { (asker.nothing_unusual(&found)) } }
            @else {
                table.told {
                    thead { tr {
                        th { (edition.text("peak.when")) } th { (edition.text("peak.what")) } th { (edition.text("peak.how")) }
                    } }
                    tbody { @for finding in unusual { (unusual_row(edition, finding, &near)) } }
                }
                @if left_out > 0 { p.note { (edition.filled("monthly.more", &[("count", &grouped(left_out as u64))])) } }
                p.note { (edition.text("monthly.peaks-note")) }
            }
            (notes(edition))
        },
    ))
}

fn unusual_row(edition: &Edition<'_>, finding: &Finding, near: &NearPeaks<'_>) -> Markup {
    let asker = &edition.asker;
    let day = |at: Timestamp| Day::of(at).to_string();
    let last = finding.end.map(|end| Timestamp::from_unix_millis(end.unix_millis() - DAY_MS));
    html! {
        tr {
            td.nowrap {
                (day(finding.begin))
                @if let Some(last) = last.filter(|last| *last > finding.begin) { br; "– " (day(last)) }
                @if last.is_none() { br; span.tag { (edition.text("peak.goes-on")) } }
            }
            td { bdi { (brief(&named(&asker.scope(finding, &PEAK_COLUMNS)))) } }
            td {
                (asker.unusual(finding))
                @for (title, why) in near.sentences(asker, finding) {
                    p.then { strong { (named(&title)) } " – " (why) }
                }
            }
        }
    }
}

/// What the operator wrote down about days of the month.
fn notes(edition: &Edition<'_>) -> Markup {
    let (from, to) = (Day::of(edition.period.range.from), Day::of(edition.period.range.to));
    let of_month = |one: &&Publication| one.source == Source::Note && one.day >= from && one.day < to;
    let mut notes: Vec<&Publication> = edition.published.publications.iter().filter(of_month).collect();
    notes.sort_by_key(|note| note.day);
    html! {
        @if !notes.is_empty() {
            h3 { (edition.text("monthly.notes")) }
            table.told {
                tbody {
                    @for note in notes.iter().take(NOTES_MAX) {
                        tr {
                            td.nowrap { (note.day) }
                            td {
                                (named(&brief(&note.title)))
                                @if let Some(cve) = &note.cve { " (" (cve) ")" }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// Which countries.
pub(super) fn from_where(edition: &Edition<'_>) -> Result<Markup, MonthlyError> {
    let answer = edition.asker.count(&asked(TABLE, edition.period.range, &["country"]))?;
    let counts: Vec<(Country, u64)> =
        keys(&answer).into_iter().filter_map(|(key, count)| Some((Country::parse(key.first()?)?, count))).collect();
    let table = by_column(edition, "country")?;
    let over_time = chart_by(edition, "country")?;
    let title = edition.text("monthly.from-where");
    Ok(sheet::section(
        edition,
        sheet::Of::Attacks,
        title,
        html! {
            @if counts.is_empty() { (nothing(edition)) }
            @else {
                div.keep.map {
                    (world_map(&WorldMap {
                        title,
                        language: edition.charts_language(),
                        countries: &counts,
                        country_link: None,
                        sensors: &[],
                        arcs: &[],
                    }))
                }
                (table)
                (over_time)
            }
        },
    ))
}

/// Which appliances, over which protocols, at which ports.
pub(super) fn on_what(edition: &Edition<'_>) -> Result<Markup, MonthlyError> {
    let answer = edition.asker.count(&asked(TABLE, edition.period.range, &["protocol", "appliance"]))?;
    let title = edition.text("monthly.on-what");
    if answer.is_empty() {
        return Ok(sheet::section(edition, sheet::Of::Attacks, title, nothing(edition)));
    }
    Ok(sheet::section(
        edition,
        sheet::Of::Attacks,
        title,
        html! {
            (chart_by(edition, "appliance")?)
            (by_column(edition, "appliance")?)
            (by_column(edition, "protocol")?)
            (by_column(edition, "port")?)
            (by_column(edition, "label")?)
            div.keep {
                h3 { (edition.text("trends.heat")) }
                (heat_of(&edition.asker, &answer, &|_, _| None))
            }
        },
    ))
}

/// Attacks by a column, day by day.
fn chart_by(edition: &Edition<'_>, column: &'static str) -> Result<Markup, MonthlyError> {
    let answer = edition.asker.count(&LakeQuestion {
        bucket: Some(edition.period.bucket),
        ..asked(TABLE, edition.period.range, &[column])
    })?;
    let chart = over_time(edition, column, &answer, |title, range, series| {
        stacked_area(&Stacked {
            title,
            language: edition.charts_language(),
            range,
            series,
            annotations: &[],
            peaks: &[],
            slice_link: None,
        })
    });
    Ok(html! { div.keep { h3 { (edition.asker.texts.word("trends-by", column).unwrap_or(column)) } (chart) } })
}

/// The series of an answer that is sorted by day and one column, drawn.
fn over_time(
    edition: &Edition<'_>,
    column: &'static str,
    answer: &komainu_ports::LakeAnswer,
    draw: impl FnOnce(&str, komainu_charts::TimeRange, &[komainu_charts::Series<'_>]) -> Markup,
) -> Markup {
    let mut over_time = OverTime::of(answer, &edition.period);
    fold(&mut over_time);
    let names: Vec<String> = over_time.names(&edition.asker, column).iter().map(|name| named(name)).collect();
    let series = over_time.of_chart(&names, &|_: &LakeValue| None);
    let title = edition.asker.texts.word("trends-by", column).unwrap_or(column);
    draw(title, edition.period.of_chart(), &series)
}

/// The day after the one in which a time lies, for those who say how far a month is.
pub(super) fn last_day(edition: &Edition<'_>) -> Day {
    let end = edition.period.range.to.min(end_of_day(edition.asker.now));
    Day::of(Timestamp::from_unix_millis(end.unix_millis() - 1))
}
