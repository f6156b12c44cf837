//! What a month brought that was never seen before.

use std::collections::BTreeSet;

use komainu_model::Timestamp;
use komainu_ports::{LakeFilter, LakeQuestion, LakeTable, LakeTest, LakeValue, TimeRange};
use komainu_statistics::{Day, FirstSeenList};
use maud::{Markup, html};

use crate::monthly::table::{ROWS_MAX, first, named, of_attacker};
use crate::monthly::{Edition, MonthlyError, sheet};
use crate::pages::samples::BRIEFS_MAX;
use crate::pages::trends::newly_seen;
use crate::watch::{asked, brief, column, grouped, keys, one_of};

/// Columns of attacks whose new values are told.
const COLUMNS: [&str; 5] = ["country", "protocol", "port", "label", "model"];

/// Kinds of what was shown in attacks whose new values are told.
const KINDS: [&str; 3] = ["credential", "url", "cve"];

/// Of what was shown in attacks, so many values are looked up in the time before, those that came most often: there may be
/// millions of passwords, and what came once says little.
const LOOKED_UP_MAX: usize = 200;

/// Samples that came earlier are looked through for the names of families.
const KNOWN_FAMILIES_DAYS: i64 = 365;

const DAY_MS: i64 = 86_400_000;

pub(super) fn section(edition: &Edition<'_>) -> Result<Markup, MonthlyError> {
    let asker = &edition.asker;
    let before = TimeRange { from: TimeRange::ALL.from, to: edition.period.range.from };
    let table = LakeTable::Attacks;
    let title = edition.text("monthly.news");
    // With nothing before, everything is new, which says nothing.
    if asker.count(&asked(table, before, &[]))?.rows == 0 {
        return Ok(sheet::section(
            edition,
            sheet::Of::Attacks,
            title,
            html! { p.none { (edition.text("monthly.all-is-new")) } },
        ));
    }
    let mut lists: Vec<(&str, Vec<New>)> = Vec::new();
    for name in COLUMNS {
        let seen = newly_seen(asker, &edition.period, before, &asked(table, edition.period.range, &[name]))?;
        let told = |value: &str| named(&asker.value(name, &LakeValue::text(value)));
        lists.push((asker.texts.word("column", name).unwrap_or(name), New::of(&seen, &told)));
    }
    for kind in KINDS {
        let told = |value: &str| of_attacker(kind, value);
        lists.push((asker.texts.word("kind", kind).unwrap_or(kind), new_values(edition, kind, before, &told)?));
    }
    lists.push((edition.text("menu.families"), new_families(edition)?));
    let without: Vec<&str> = lists.iter().filter(|(_, news)| news.is_empty()).map(|(title, _)| *title).collect();
    Ok(sheet::section(
        edition,
        sheet::Of::Attacks,
        title,
        html! {
            p { (edition.text("monthly.news-about")) }
            div.pair {
                @for (title, news) in lists.iter().filter(|(_, news)| !news.is_empty()) {
                    div.keep {
                        h3 { (title) }
                        table.counts {
                            tbody {
                                @for new in news.iter().take(ROWS_MAX) {
                                    tr {
                                        td.name { bdi { (brief(&new.name)) } }
                                        td.nowrap.muted { (new.day) }
                                        td.number { (grouped(new.count)) }
                                    }
                                }
                            }
                        }
                    }
                }
            }
            @if !without.is_empty() { p.note { (edition.filled("monthly.nothing-new", &[("what", &without.join(", "))])) } }
        },
    ))
}

/// Something that was not there before: since when, and how often.
struct New {
    name: String,
    day: Day,
    count: u64,
}

impl New {
    fn of(list: &FirstSeenList, told: &dyn Fn(&str) -> String) -> Vec<Self> {
        let mut news: Vec<Self> = list
            .seen
            .iter()
            .map(|seen| Self {
                name: told(seen.key.first().map_or("", String::as_str)),
                day: Day::of(seen.at),
                count: seen.count,
            })
            .collect();
        news.sort_by(|one, other| other.count.cmp(&one.count).then_with(|| one.name.cmp(&other.name)));
        news
    }
}

/// Values of a kind that came often in the month and never before.
fn new_values(
    edition: &Edition<'_>,
    kind: &'static str,
    before: TimeRange,
    told: &dyn Fn(&str) -> String,
) -> Result<Vec<New>, MonthlyError> {
    let table = LakeTable::Observables;
    let of_kind =
        |range, by: &[&str]| LakeQuestion { filters: vec![one_of(table, "kind", &[kind])], ..asked(table, range, by) };
    let range = edition.period.range;
    let often = edition.asker.count(&LakeQuestion { top: Some(LOOKED_UP_MAX), ..of_kind(range, &["value"]) })?;
    let values: Vec<LakeValue> = keys(&often).into_iter().map(|(key, _)| LakeValue::text(&first(key))).collect();
    if values.is_empty() {
        return Ok(Vec::new());
    }
    let among = |values: Vec<LakeValue>| LakeFilter { column: column(table, "value"), test: LakeTest::OneOf(values) };
    let mut earlier = of_kind(before, &["value"]);
    earlier.filters.push(among(values.clone()));
    let known: BTreeSet<String> =
        keys(&edition.asker.count(&earlier)?).into_iter().map(|(key, _)| first(key)).collect();
    let new: Vec<LakeValue> =
        values.into_iter().filter(|value| !known.contains(&value.to_string())).take(ROWS_MAX).collect();
    if new.is_empty() {
        return Ok(Vec::new());
    }
    let mut by_day = of_kind(range, &["value"]);
    by_day.bucket = Some(komainu_ports::TimeBucket::Day);
    by_day.filters.push(among(new));
    let answer = edition.asker.count(&by_day)?;
    let rows: Vec<_> = answer
        .groups()
        .filter_map(|group| Some((group.bucket?, vec![group.values.first()?.to_string()], group.count)))
        .collect();
    let rows = rows.iter().map(|(at, key, count)| (*at, key, *count));
    Ok(New::of(&komainu_statistics::first_seen(rows, range.from, range.to, &|_| false), told))
}

/// Families of samples that came in the month, of which no sample came in the year before.
fn new_families(edition: &Edition<'_>) -> Result<Vec<New>, MonthlyError> {
    let from = edition.period.range.from;
    let earlier =
        TimeRange { from: Timestamp::from_unix_millis(from.unix_millis() - KNOWN_FAMILIES_DAYS * DAY_MS), to: from };
    let known: BTreeSet<String> =
        edition.parts.samples.briefs(earlier, BRIEFS_MAX)?.into_iter().map(|brief| brief.family).collect();
    let mut news: Vec<New> = Vec::new();
    for brief in edition.briefs.iter().filter(|brief| !brief.family.is_empty() && !known.contains(&brief.family)) {
        let (name, day) = (named(&brief.family), Day::of(brief.first_at));
        match news.iter_mut().find(|new| new.name == name) {
            Some(new) => {
                new.count += 1;
                new.day = new.day.min(day);
            }
            None => news.push(New { name, day, count: 1 }),
        }
    }
    news.sort_by(|one, other| other.count.cmp(&one.count).then_with(|| one.name.cmp(&other.name)));
    Ok(news)
}
