//! One source: what it did, when, and with what.

use std::net::IpAddr;

use komainu_charts::{Link, Stacked, stacked_area};
use komainu_model::Timestamp;
use komainu_ports::{LakeError, LakeFilter, LakeOrder, LakeQuestion, LakeTable, LakeValue, TimeRange};
use maud::{Markup, html};

use crate::address::{address, defanged, part, refanged};
use crate::pages::observables::{KINDS, value_list};
use crate::pages::search::Hit;
use crate::pages::sessions::time_of_row;
use crate::period::Period;
use crate::problem::Problem;
use crate::routes::Answered;
use crate::time;
use crate::value::{narrowed, shown_as};
use crate::visit::{SignedIn, Visit};
use crate::watch::{LISTED_MAX, OverTime, Watch, asked, brief, charts_language, end_of_day, grouped, one_of};

/// Attacks that are listed, the latest.
const ROWS_MAX: usize = 20;

/// What is told of each.
const COLUMNS: [&str; 5] = ["protocol", "port", "model", "label", "sensor"];

const TABLE: LakeTable = LakeTable::Attacks;

/// The page.
pub(crate) fn show(visit: &Visit, who: &SignedIn) -> Answered {
    let address: IpAddr = visit.label("address").parse().map_err(|_| Problem::NotFound)?;
    let source = address.to_string();
    let watch = Watch::of(visit);
    let of_source = [one_of(TABLE, "source", &[&source])];
    let known = first_and_last(&watch, &of_source);
    let content = watch.told(&known, |known| match known {
        None => html! { section.card.empty { p { (visit.text("source.never")) } } },
        Some(known) => seen(&watch, &source, &of_source, known),
    });
    Ok(watch.page(who, &source, content))
}

/// Where an address leads, when somebody searches for one, also as it is passed on in mails.
pub(crate) fn find(visit: &Visit, _who: &SignedIn, wanted: &str) -> Result<Vec<Hit>, Problem> {
    let Ok(address) = refanged(wanted).parse::<IpAddr>() else { return Ok(Vec::new()) };
    let name = address.to_string();
    Ok(vec![Hit { kind: visit.text("column.source"), path: format!("/sources/{}", part(&name)), name }])
}

/// What is known of a source at once.
struct Known {
    first: Timestamp,
    last: Timestamp,
    country: String,
    asn: LakeValue,
}

fn first_and_last(watch: &Watch<'_>, of_source: &[LakeFilter]) -> Result<Option<Known>, LakeError> {
    let [last, first] =
        [LakeOrder::Newest, LakeOrder::Oldest].map(|order| watch.list(TABLE, TimeRange::ALL, of_source, (order, 1)));
    let (last, first) = (last?, first?);
    let (Some(last_at), Some(first_at)) = (last.times().first(), first.times().first()) else { return Ok(None) };
    Ok(Some(Known {
        first: Timestamp::from_unix_millis(*first_at),
        last: Timestamp::from_unix_millis(*last_at),
        country: last.value(0, crate::watch::column(TABLE, "country")).to_string(),
        asn: last.value(0, crate::watch::column(TABLE, "asn")),
    }))
}

fn seen(watch: &Watch<'_>, source: &str, of_source: &[LakeFilter], known: &Known) -> Markup {
    let visit = watch.visit;
    let period = Period::between(known.first, end_of_day(known.last), visit.now);
    let test = format!("source={source}");
    let fields = period.fields();
    let mut to_attacks = vec![("where", test.as_str())];
    to_attacks.extend(fields.iter().map(|(name, value)| (*name, value.as_str())));
    let not_it = format!("source!={source}");
    let question = |by: &[&str]| LakeQuestion { filters: of_source.to_vec(), ..asked(TABLE, period.range, by) };
    let by_protocol = watch.count(&LakeQuestion { bucket: Some(period.bucket), ..question(&["protocol"]) });
    let list = |title: &str, column: &'static str| {
        let answer = watch.count(&LakeQuestion { top: Some(LISTED_MAX), ..question(&[column]) });
        watch.card(title, &answer, |answer| {
            watch.bars(title, column, answer, &|value| {
                let mut fields = to_attacks.clone();
                let value = format!("{column}={}", value.to_string().replace('\\', "\\\\").replace(',', "\\,"));
                fields.push(("where", value.as_str()));
                Link::new(&address("/attacks", &fields))
            })
        })
    };
    html! {
        (narrowed(&period, std::slice::from_ref(&test)))
        div.line {
            a.button href=(address("/attacks", &to_attacks)) { (visit.text("source.attacks")) }
            a.button href=(address("/attacks", &[("where", &not_it)])) { (visit.text("source.others")) }
            code.copy data-copy title=(visit.text("value.copy")) { (defanged(source)) }
        }
        div.tiles {
            section.card.tile {
                h2 { (visit.text("watch.attacks")) }
                p.big { (by_protocol.as_ref().map_or_else(|_| "–".to_owned(), |answer| grouped(answer.rows))) }
            }
            section.card.tile {
                h2 { (visit.text("column.country")) }
                p.big { (brief(&watch.country(&known.country))) }
                p.small.muted { (watch.value("asn", &known.asn)) }
            }
            section.card.tile { h2 { (visit.text("source.first")) } p.big-time { (time::time(known.first)) } }
            section.card.tile { h2 { (visit.text("source.last")) } p.big-time { (time::time(known.last)) } }
        }
        (watch.card(visit.text("source.activity"), &by_protocol, |answer| {
            let over_time = OverTime::of(answer, &period);
            let names = over_time.names(watch, "protocol");
            let series = over_time.of_chart(&names, &|_| None);
            let slice = |range: komainu_charts::TimeRange| {
                super::overview::slice_link("/attacks", &[("where", &test)], range, visit.now)
            };
            html! {
                div data-brush=(address("/attacks", &[("where", &test)])) {
                    (stacked_area(&Stacked {
                        title: visit.text("source.activity"),
                        language: charts_language(visit.language),
                        range: period.of_chart(),
                        series: &series,
                        annotations: &[],
                        peaks: &[],
                        slice_link: Some(&slice),
                    }))
                }
            }
        }))
        div.columns {
            (list(visit.text("column.protocol"), "protocol"))
            (list(visit.text("column.port"), "port"))
            (list(visit.text("column.label"), "label"))
            (list(visit.text("column.appliance"), "appliance"))
            (list(visit.text("column.sensor"), "sensor"))
        }
        (latest(watch, of_source))
        (observed(watch, source, &period))
        p.small.muted { (visit.text("watch.country-note")) }
    }
}

/// Its latest attacks, with what happened in each.
fn latest(watch: &Watch<'_>, of_source: &[LakeFilter]) -> Markup {
    let visit = watch.visit;
    let found = watch.list(TABLE, TimeRange::ALL, of_source, (LakeOrder::Newest, ROWS_MAX));
    watch.card(visit.text("source.sessions"), &found, |rows| html! {
        div.scroll tabindex="0" {
            table.rows.fold.tight {
                thead { tr {
                    th { (visit.text("attacks.when")) }
                    @for name in COLUMNS { th { (visit.texts.word("column", name).unwrap_or(name)) } }
                } }
                tbody {
                    @for row in 0..rows.len() {
                        tr {
                            td.head.nowrap { (time_of_row(watch, rows, row)) }
                            @for name in COLUMNS {
                                @let value = rows.value(row, crate::watch::column(TABLE, name));
                                td { (shown_as(name, &value.to_string(), html! { (brief(&watch.value(name, &value))) })) }
                            }
                        }
                    }
                }
            }
        }
    })
}

/// What it showed.
fn observed(watch: &Watch<'_>, source: &str, period: &Period) -> Markup {
    let visit = watch.visit;
    let table = LakeTable::Observables;
    let of_kind = |kind: &'static str| {
        let filters = vec![one_of(table, "source", &[source]), one_of(table, "kind", &[kind])];
        watch.count(&LakeQuestion { filters, top: Some(LISTED_MAX), ..asked(table, period.range, &["value"]) })
    };
    let answers = KINDS.map(|kind| (kind, of_kind(kind)));
    let is_there = |answer: &Result<_, LakeError>| {
        answer.as_ref().map_or(true, |answer: &komainu_ports::LakeAnswer| !answer.is_empty())
    };
    html! {
        @if answers.iter().any(|(_, answer)| is_there(answer)) {
            h2.group { (visit.text("source.shown")) }
            div.columns {
                @for (kind, answer) in answers.iter().filter(|(_, answer)| is_there(answer)) {
                    (watch.card(visit.texts.word("kind", kind).unwrap_or(kind), answer, |answer| value_list(watch, period, kind, answer)))
                }
            }
        }
    }
}
