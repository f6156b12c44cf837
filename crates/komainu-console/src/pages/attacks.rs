//! Attacks: filtered by anything, over time, counted by a column, and one by one.

use bytes::Bytes;
use hyper::StatusCode;
use hyper::header::CONTENT_DISPOSITION;
use komainu_charts::{Link, Stacked, stacked_area};
use komainu_model::Timestamp;
use komainu_ports::{
    LISTED_ROWS_MAX, LakeAnswer, LakeError, LakeFilter, LakeKind, LakeOrder, LakeQuestion, LakeRows, LakeTable,
    LakeTest, LakeValue, TimeRange,
};
use maud::{Markup, html};

use crate::address::address;
use crate::condition::{Conditions, NoTest};
use crate::pages::overview::label_badge;
use crate::pages::sessions::time_of_row;
use crate::period::{Period, Span, minute};
use crate::reply::Reply;
use crate::routes::Answered;
use crate::shown::shown;
use crate::value::{leading_to, page_of, shown_as};
use crate::visit::{SignedIn, Visit};
use crate::watch::{OverTime, Watch, asked, brief, charts_language, column, grouped};
use crate::{shell, time, value};

/// Attacks of one page.
const ROWS_MAX: usize = 100;

/// Values of a column that are counted one by one.
const GROUPS_MAX: usize = 25;

/// Values of a column that the chart has; the rest is one series.
const SERIES_MAX: usize = 7;

/// Up to so many days different sources are counted: they are looked for in every row.
const SOURCES_DAYS_MAX: f64 = 31.0;

/// Cells of rows are links while the state of the page has at most so many bytes in its address, so that a page with a hundred
/// rows has no more than 150 KB.
const LINKED_STATE_BYTES_MAX: usize = 40;

/// Bytes of markup that rows of one page have at most: with the rest, a page has less than 150 KB. Names that attackers made long
/// make pages with fewer rows.
const ROWS_BYTES_MAX: usize = 90_000;

/// The longest address in a list of counts; a value that makes a longer one is no link.
const LINK_BYTES_MAX: usize = 512;

const TABLE: LakeTable = LakeTable::Attacks;

/// The state of the page, as its address has it.
struct Asked {
    period: Period,
    conditions: Conditions,
    /// By which column attacks are counted.
    by: &'static str,
    /// Rows before this time are listed.
    before: Option<Timestamp>,
}

impl Asked {
    fn of(visit: &Visit) -> Result<Self, NoTest> {
        let by = visit.query.one("by");
        let by = TABLE.columns().iter().find(|column| column.kind != LakeKind::Time && column.name == by);
        Ok(Self {
            period: Period::of(visit, Span::Week),
            conditions: Conditions::of(TABLE, &visit.query)?,
            by: by.map_or("protocol", |column| column.name),
            before: visit.query.one("before").parse().ok().map(Timestamp::from_unix_millis),
        })
    }

    /// The address of this page with other conditions.
    fn with(&self, conditions: &Conditions) -> String {
        self.address("/attacks", conditions, self.by)
    }

    fn address(&self, path: &str, conditions: &Conditions, by: &str) -> String {
        let (texts, period) = (conditions.texts(), self.period.fields());
        let mut fields: Vec<(&str, &str)> = texts.iter().map(|text| ("where", text.as_str())).collect();
        fields.extend(period.iter().map(|(name, value)| (*name, value.as_str())));
        fields.push(("by", if by == "protocol" { "" } else { by }));
        address(path, &fields)
    }

    /// The address without a time, to which a time is added.
    fn without_time(&self) -> String {
        let texts = self.conditions.texts();
        let mut fields: Vec<(&str, &str)> = texts.iter().map(|text| ("where", text.as_str())).collect();
        fields.push(("by", self.by));
        address("/attacks", &fields)
    }

    fn question(&self, by: &[&str]) -> LakeQuestion {
        LakeQuestion { filters: self.conditions.filters().to_vec(), ..asked(TABLE, self.period.range, by) }
    }

    /// Where the list of rows ends.
    fn listed(&self) -> TimeRange {
        let to = self.before.map_or(self.period.range.to, |before| before.min(self.period.range.to));
        TimeRange { to, ..self.period.range }
    }
}

/// The page.
pub(crate) fn show(visit: &Visit, who: &SignedIn) -> Answered {
    let watch = Watch::of(visit);
    let content = match Asked::of(visit) {
        Ok(asked) => html! {
            @if asked.period.goes_on() && asked.before.is_none() { (shell::live(visit, "attacks")) }
            (attacks(&watch, &asked))
        },
        Err(NoTest(text)) => html! {
            p.note.bad role="alert" { (visit.filled("attacks.no-test", &[("test", &shown(&text))])) }
            p { (visit.text("attacks.tests")) }
            p { a.button href="/attacks" { (visit.text("attacks.all")) } }
        },
    };
    Ok(watch.page(who, visit.text("menu.attacks"), content))
}

fn attacks(watch: &Watch<'_>, asked: &Asked) -> Markup {
    let visit = watch.visit;
    let groups = watch.count(&LakeQuestion { top: Some(GROUPS_MAX), ..asked.question(&[asked.by]) });
    let texts = asked.conditions.texts();
    let mut kept: Vec<(&str, &str)> = texts.iter().map(|text| ("where", text.as_str())).collect();
    kept.push(("by", asked.by));
    html! {
        (value::narrowed(&asked.period, &texts))
        div.line {
            (asked.period.picker(visit, "/attacks", &kept))
            @for (place, text) in texts.iter().enumerate() {
                a.chip href=(asked.with(&asked.conditions.without(place))) title=(visit.text("attacks.remove")) {
                    (shown(text)) " ×"
                }
            }
        }
        (form(visit, asked))
        @match &groups {
            Ok(groups) => {
                section.card {
                    div.card-head {
                        h2 { strong.big { (grouped(groups.rows)) } " " (visit.text("watch.attacks")) (sources(watch, asked)) }
                        (export_links(visit, asked))
                    }
                    (watch.told(&chart(watch, asked, groups), Clone::clone))
                }
                div.narrow-wide {
                    section.card {
                        div.card-head { h2 { (visit.text("attacks.counted")) } (columns(visit, asked)) }
                        (counted(watch, asked, groups))
                    }
                    (rows(watch, asked))
                }
            }
            Err(error) => (watch.problem(error)),
        }
    }
}

fn sources(watch: &Watch<'_>, asked: &Asked) -> Markup {
    if asked.period.days() > SOURCES_DAYS_MAX {
        return html! {};
    }
    let question = LakeQuestion { distinct: Some(column(TABLE, "source")), ..asked.question(&[]) };
    match watch.count(&question) {
        Ok(answer) => {
            let sources = grouped(answer.distinct.first().copied().unwrap_or(0));
            html! { " " span.muted { (watch.visit.filled("attacks.of-sources", &[("count", &sources)])) } }
        }
        // The number is left out; the attacks themselves are told.
        Err(_) => html! {},
    }
}

/// A field for each column, and one for everything else.
fn form(visit: &Visit, asked: &Asked) -> Markup {
    let is_filtered = !asked.conditions.filters().is_empty();
    html! {
        details.card.filter open[is_filtered] {
            summary { (visit.text("attacks.filter")) }
            form.stack method="get" action="/attacks" {
                div.fields {
                    @for (place, column) in TABLE.columns().iter().enumerate().filter(|(_, column)| column.kind != LakeKind::Time) {
                        label {
                            span { (visit.texts.word("column", column.name).unwrap_or(column.name)) }
                            input name=(column.name) value=(asked.conditions.values_of(place)) maxlength="512" autocomplete="off";
                        }
                    }
                    label { span { (visit.text("attacks.from")) }
                        input type="datetime-local" name="from" value=(minute(asked.period.range.from)); }
                    label { span { (visit.text("attacks.to")) }
                        input type="datetime-local" name="to" value=(minute(asked.period.range.to)); }
                    label { span { (visit.text("attacks.where")) }
                        input.mono name="where" placeholder="port>=1024" maxlength="512" autocomplete="off"; }
                }
                @for text in asked.conditions.others() { input type="hidden" name="where" value=(text); }
                input type="hidden" name="by" value=(asked.by);
                div.line {
                    button.primary type="submit" { (visit.text("attacks.apply")) }
                    a.button href="/attacks" { (visit.text("attacks.all")) }
                    span.small.muted { (visit.text("attacks.tests")) }
                }
            }
        }
    }
}

fn export_links(visit: &Visit, asked: &Asked) -> Markup {
    let here = asked.address("/attacks/export", &asked.conditions, asked.by);
    // The time is always in the address, so that there is a query.
    let link = |format: &str| format!("{here}&format={format}");
    html! {
        span.small.muted title=(visit.filled("attacks.export-note", &[("count", &grouped(LISTED_ROWS_MAX as u64))])) {
            (visit.text("attacks.export")) " "
            a href=(link("csv")) { "CSV" } " · " a href=(link("jsonl")) { "JSON Lines" }
        }
    }
}

/// The attacks over time, by the values of the column that has most.
fn chart(watch: &Watch<'_>, asked: &Asked, groups: &LakeAnswer) -> Result<Markup, LakeError> {
    let visit = watch.visit;
    let bucket = Some(asked.period.bucket);
    let values: Vec<LakeValue> =
        groups.groups().take(SERIES_MAX).filter_map(|group| group.values.into_iter().next()).collect();
    let mut over_time = OverTime { series: Vec::new() };
    if !values.is_empty() {
        let mut question = LakeQuestion { bucket, ..asked.question(&[asked.by]) };
        let named: Vec<String> = values.iter().map(ToString::to_string).collect();
        // As many tests as may be are there already: then all values are asked for, and the rest is left to the chart.
        if let Some(all) =
            asked.conditions.with(LakeFilter { column: column(TABLE, asked.by), test: LakeTest::OneOf(values) })
        {
            question.filters = all.filters().to_vec();
        }
        over_time = OverTime::of(&watch.count(&question)?, &asked.period);
        over_time.series.retain(|(value, _)| value.as_ref().is_some_and(|value| named.contains(&value.to_string())));
    }
    if groups.len() > SERIES_MAX {
        let all = watch.count(&LakeQuestion { bucket, ..asked.question(&[]) })?;
        let all = OverTime::of(&all, &asked.period).series.into_iter().next().map_or(Vec::new(), |(_, counts)| counts);
        let rest = all.iter().enumerate().map(|(place, count)| {
            let named: u64 = over_time.series.iter().filter_map(|(_, counts)| *counts.get(place)?).sum();
            count.map(|count| count.saturating_sub(named))
        });
        let rest = rest.collect();
        over_time.series.push((None, rest));
    }
    let over_time = over_time.without(&watch.gaps(&asked.period));
    let names = over_time.names(watch, asked.by);
    let link =
        |value: &LakeValue| Link::new(&asked.with(&asked.conditions.only(column(TABLE, asked.by), value.clone())?));
    let series = over_time.of_chart(&names, &link);
    let texts = asked.conditions.texts();
    let mut others: Vec<(&str, &str)> = texts.iter().map(|text| ("where", text.as_str())).collect();
    others.push(("by", asked.by));
    let slice = |range: komainu_charts::TimeRange| super::overview::slice_link("/attacks", &others, range, visit.now);
    Ok(html! {
        div data-brush=(asked.without_time()) {
            (stacked_area(&Stacked {
                title: visit.text("attacks.over-time"),
                language: charts_language(visit.language),
                range: asked.period.of_chart(),
                series: &series,
                annotations: &[],
                peaks: &[],
                slice_link: Some(&slice),
            }))
        }
    })
}

/// Links to the columns by which attacks may be counted.
fn columns(visit: &Visit, asked: &Asked) -> Markup {
    html! {
        nav.words aria-label=(visit.text("attacks.counted")) {
            @for column in TABLE.columns().iter().filter(|column| column.kind != LakeKind::Time) {
                a href=(asked.address("/attacks", &asked.conditions, column.name))
                    aria-current=[(column.name == asked.by).then_some("true")] {
                    (visit.texts.word("column", column.name).unwrap_or(column.name))
                }
            }
        }
    }
}

fn counted(watch: &Watch<'_>, asked: &Asked, groups: &LakeAnswer) -> Markup {
    let visit = watch.visit;
    let place = column(TABLE, asked.by);
    let listed: u64 = groups.counts.iter().sum();
    html! {
        @if groups.is_empty() { p.muted { (visit.text("watch.nothing")) } }
        @else {
            table.rows.counts {
                tbody {
                    @for group in groups.groups() {
                        @if let Some(value) = group.values.first() {
                            tr {
                                td.wide { (narrowing(watch, asked, place, value)) }
                                td.number { (grouped(group.count)) }
                                td.number.muted { (share(group.count, groups.rows)) }
                            }
                        }
                    }
                    @if listed < groups.rows {
                        tr {
                            td.muted { (visit.text("attacks.rest")) }
                            td.number { (grouped(groups.rows - listed)) }
                            td.number.muted { (share(groups.rows - listed, groups.rows)) }
                        }
                    }
                }
            }
        }
    }
}

fn share(part: u64, all: u64) -> String {
    if all == 0 { String::new() } else { format!("{:.1} %", part as f64 / all as f64 * 100.0) }
}

/// A value: a link to the same page with this only.
fn narrowing(watch: &Watch<'_>, asked: &Asked, place: usize, value: &LakeValue) -> Markup {
    let (name, raw) = (watch.value(asked.by, value), value.to_string());
    let content =
        html! { @if name.is_empty() { i.muted { (watch.visit.text("watch.empty")) } } @else { (brief(&name)) } };
    let only = asked.conditions.only(place, value.clone()).map(|only| asked.with(&only));
    match only.filter(|link| link.len() <= LINK_BYTES_MAX) {
        Some(only) if page_of(asked.by, &raw).is_none_or(|page| page.starts_with("/attacks")) => {
            leading_to(&only, asked.by, &raw, content)
        }
        _ => shown_as(asked.by, &raw, content),
    }
}

/// The newest of them.
fn rows(watch: &Watch<'_>, asked: &Asked) -> Markup {
    let visit = watch.visit;
    let found = watch.list(TABLE, asked.listed(), asked.conditions.filters(), (LakeOrder::Newest, ROWS_MAX));
    watch.card(visit.text("attacks.newest"), &found, |rows| {
        let here = asked.with(&asked.conditions);
        let is_linked = here.len() <= LINKED_STATE_BYTES_MAX;
        let (mut lines, mut bytes) = (Vec::new(), 0);
        while lines.len() < rows.len() && bytes < ROWS_BYTES_MAX {
            let line = one_row(watch, asked, rows, lines.len(), is_linked);
            bytes += line.0.len();
            lines.push(line);
        }
        let is_all = lines.len() < ROWS_MAX && lines.len() == rows.len();
        // Rows of the same millisecond come twice rather than never, unless the page has nothing else.
        let older = rows.times().first().zip(rows.times().get(lines.len().saturating_sub(1))).filter(|_| !is_all);
        let older = older.map(|(first, last)| if first == last { *last } else { last + 1 });
        let sign = if here.contains('?') { '&' } else { '?' };
        html! {
            @if rows.is_empty() { p.muted { (visit.text("watch.nothing")) } }
            @else {
                div.scroll tabindex="0" {
                    table.rows.fold.tight {
                        thead { tr {
                            th { (visit.text("attacks.when")) }
                            @for name in ["source", "country", "protocol", "port", "appliance", "model", "label", "sensor"] {
                                th { (visit.texts.word("column", name).unwrap_or(name)) }
                            }
                        } }
                        tbody { @for line in &lines { (line) } }
                    }
                }
            }
            nav.pages aria-label=(visit.text("audit.pages")) {
                @if asked.before.is_some() { a.button href=(here) { (visit.text("audit.newest")) } }
                @if let Some(before) = older {
                    a.button href={ (here) (sign) "before=" (before) } rel="next" { (visit.text("audit.older")) }
                }
            }
        }
    })
}

fn one_row(watch: &Watch<'_>, asked: &Asked, rows: &LakeRows, row: usize, is_linked: bool) -> Markup {
    let visit = watch.visit;
    let value = |name: &str| rows.value(row, column(TABLE, name));
    let source = value("source").to_string();
    let country = value("country").to_string();
    let cell = |name: &'static str, content: Markup| {
        let only = if is_linked { asked.conditions.only(column(TABLE, name), value(name)) } else { None };
        let label = visit.texts.word("column", name).unwrap_or(name);
        html! {
            td data-label=(label) {
                @match only {
                    Some(only) => (leading_to(&asked.address("", &only, asked.by), name, &value(name).to_string(), content)),
                    None => (shown_as(name, &value(name).to_string(), content)),
                }
            }
        }
    };
    let to_page = |name: &'static str| {
        html! {
            td data-label=(visit.texts.word("column", name).unwrap_or(name)) { (value::value(name, &value(name).to_string())) }
        }
    };
    let linked = |name: &'static str| cell(name, html! { (brief(&value(name).to_string())) });
    html! {
        tr {
            td.head.nowrap { (time_of_row(watch, rows, row)) }
            td.mono data-label=(visit.text("column.source")) { (crate::watch::source(&source)) }
            (cell("country", html! { span title=(brief(&watch.country(&country))) { (brief(&country)) } }))
            (linked("protocol"))
            (linked("port"))
            (linked("appliance"))
            (to_page("model"))
            (cell("label", label_badge(watch, &value("label").to_string())))
            (to_page("sensor"))
        }
    }
}

/// The newest attacks of the page as a file, [`LISTED_ROWS_MAX`] at most.
pub(crate) fn export(visit: &Visit, _who: &SignedIn) -> Answered {
    let watch = Watch::of(visit);
    let asked = match Asked::of(visit) {
        Ok(asked) => asked,
        Err(NoTest(_)) => return Ok(plain(StatusCode::UNPROCESSABLE_ENTITY, "no test of a column\n".to_owned())),
    };
    let listed =
        watch.list(TABLE, asked.period.range, asked.conditions.filters(), (LakeOrder::Newest, LISTED_ROWS_MAX));
    let rows = match listed {
        Ok(rows) => rows,
        Err(error) => return Ok(plain(StatusCode::SERVICE_UNAVAILABLE, format!("{error}\n"))),
    };
    Ok(match visit.query.one("format") {
        "jsonl" => Reply::of(StatusCode::OK, "application/jsonl; charset=utf-8", json_lines(&rows))
            .with(CONTENT_DISPOSITION, "attachment; filename=\"attacks.jsonl\""),
        _ => Reply::of(StatusCode::OK, "text/csv; charset=utf-8", csv(&rows))
            .with(CONTENT_DISPOSITION, "attachment; filename=\"attacks.csv\""),
    })
}

fn plain(status: StatusCode, text: String) -> Reply {
    Reply::of(status, "text/plain; charset=utf-8", text.into())
}

fn value_text(value: &LakeValue) -> String {
    match value {
        LakeValue::Time(at) => time::text(*at).replace(' ', "T") + "Z",
        value => value.to_string(),
    }
}

/// RFC 4180. A text that a spreadsheet would take for a formula stands behind an apostrophe.
fn csv(rows: &LakeRows) -> Bytes {
    let names: Vec<&str> = TABLE.columns().iter().map(|column| column.name).collect();
    let mut text = names.join(",") + "\r\n";
    for row in 0..rows.len() {
        for (place, _) in names.iter().enumerate() {
            if place > 0 {
                text.push(',');
            }
            let value = value_text(&rows.value(row, place));
            let guard = if value.starts_with(['=', '+', '-', '@', '\t', '\r']) { "'" } else { "" };
            if value.contains([',', '"', '\r', '\n']) || !guard.is_empty() {
                text.push_str(&format!("\"{guard}{}\"", value.replace('"', "\"\"")));
            } else {
                text.push_str(&value);
            }
        }
        text.push_str("\r\n");
    }
    text.into()
}

/// One object of JSON in each line.
fn json_lines(rows: &LakeRows) -> Bytes {
    let mut text = String::new();
    for row in 0..rows.len() {
        for (place, column) in TABLE.columns().iter().enumerate() {
            text.push(if place == 0 { '{' } else { ',' });
            let value = rows.value(row, place);
            let written = match &value {
                LakeValue::Number(number) => number.to_string(),
                value => json_string(&value_text(value)),
            };
            text.push_str(&format!("\"{}\":{written}", column.name));
        }
        text.push_str("}\n");
    }
    text.into()
}

/// RFC 8259, section 7.
fn json_string(text: &str) -> String {
    let mut written = String::from("\"");
    for character in text.chars() {
        match character {
            '"' => written.push_str("\\\""),
            '\\' => written.push_str("\\\\"),
            control if control < ' ' || control == '\u{7f}' => {
                written.push_str(&format!("\\u{:04x}", u32::from(control)))
            }
            other => written.push(other),
        }
    }
    written + "\""
}

#[cfg(test)]
mod tests {
    use komainu_ports::LakeRowsBuilder;

    use super::*;

    fn rows(model: &str) -> LakeRows {
        let mut rows = LakeRowsBuilder::new(TABLE);
        let word = LakeValue::text;
        rows.push(&[
            LakeValue::Time(Timestamp::from_unix_seconds(1_700_000_000)),
            word("192.0.2.1"),
            word("JP"),
            LakeValue::Number(64_500),
            word("s"),
            word("camera"),
            word(model),
            word("telnet"),
            word("tcp"),
            LakeValue::Number(23),
            word("scan"),
            word("released"),
        ]);
        rows.finish()
    }

    #[test]
    fn files_have_what_others_can_read() {
        let check = |model: &str, csv_cell: &str, json_value: &str| {
            let start = "2023-11-14T22:13:20Z,192.0.2.1,JP,64500,s,camera,";
            let text = String::from_utf8(csv(&rows(model)).to_vec()).unwrap();
            let line = text.split_once("\r\n").unwrap().1;
            assert_eq!(line, format!("{start}{csv_cell},telnet,tcp,23,scan,released\r\n"));
            let text = String::from_utf8(json_lines(&rows(model)).to_vec()).unwrap();
            assert!(text.contains(&format!("\"model\":{json_value},\"protocol\":\"telnet\"")), "{text}");
            assert!(
                text.starts_with("{\"time\":\"2023-11-14T22:13:20Z\",\"source\"") && text.ends_with("\"released\"}\n")
            );
            assert!(text.contains("\"port\":23,"));
        };
        check("c200", "c200", "\"c200\"");
        check("a,\"b\"\n", "\"a,\"\"b\"\"\n\"", "\"a,\\\"b\\\"\\u000a\"");
        check("=cmd()", "\"'=cmd()\"", "\"=cmd()\"");
        check("\\é\u{1b}", "\\é\u{1b}", "\"\\\\é\\u001b\"");
    }
}
