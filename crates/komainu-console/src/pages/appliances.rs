//! Appliances: what attacks each product, and what it has that others do not.

use std::collections::BTreeMap;

use komainu_charts::{Link, Stacked, stacked_area};
use komainu_ports::{LakeAnswer, LakeError, LakeFilter, LakeQuestion, LakeTable, LakeTest, LakeValue, TimeRange};
use komainu_statistics::{Change, Comparison, Row, Rule, Side};
use maud::{Markup, html};

use crate::address::{address, part};
use crate::condition::is_one;
use crate::pages::compare;
use crate::pages::observables::value_list;
use crate::pages::overview::slice_link;
use crate::pages::search::{HITS_MAX, Hit};
use crate::pages::trends::{fold, new_list, newly_seen};
use crate::period::{Period, Span};
use crate::problem::Problem;
use crate::routes::Answered;
use crate::shown::shown;
use crate::value;
use crate::visit::{SignedIn, Visit};
use crate::watch::{LISTED_MAX, OverTime, Watch, asked, brief, charts_language, column, grouped, keys, one_of};

/// Products of the list: those that were attacked most.
const PRODUCTS_MAX: usize = 100;

/// Bytes of markup of the list: with the rest, a page has less than 150 KB. Names that somebody made long make it shorter.
const PRODUCTS_BYTES_MAX: usize = 100_000;

/// What attacks on a product are shown by, over time and beside those on all others.
const BY: [&str; 4] = ["protocol", "port", "label", "country"];

/// Rows of the comparison with all others.
const COMPARED_MAX: usize = 20;

/// What a product's page lists of what attackers brought.
const KINDS: [&str; 4] = ["credential", "command", "url", "cve"];

/// Attacks on others for which there is one unit of exposure: the comparison counts per so many attacks.
const EXPOSURE_ATTACKS: f64 = 1_000.0;

const TABLE: LakeTable = LakeTable::Attacks;

/// The page with all of them.
pub(crate) fn show(visit: &Visit, who: &SignedIn) -> Answered {
    let watch = Watch::of(visit);
    let period = Period::of(visit, Span::Month);
    let question = |range: TimeRange| asked(TABLE, range, &["appliance", "model"]);
    let now = watch.count(&LakeQuestion { top: Some(PRODUCTS_MAX), ..question(period.range) });
    let before = watch.count(&question(period.before()));
    let content = html! {
        (value::narrowed(&period, &[]))
        div.line {
            (period.picker(visit, "/appliances", &[]))
            a.button href=(compare::path("model", ["", ""], &period)) { (visit.text("compare.title")) }
        }
        (watch.told(&now, |now| products(&watch, &period, now, before.as_ref().ok())))
    };
    Ok(watch.page(who, visit.text("menu.appliances"), content))
}

/// The page of one product.
pub(crate) fn show_one(visit: &Visit, who: &SignedIn) -> Answered {
    let model = visit.label("name");
    if model.is_empty() {
        return Err(Problem::NotFound);
    }
    let watch = Watch::of(visit);
    let period = Period::of(visit, Span::Month);
    let by = BY.into_iter().find(|name| *name == visit.query.one("by")).unwrap_or("protocol");
    let product = Product { watch: &watch, model, period: &period };
    let all = watch.count(&product.question(&["appliance"]));
    let content = html! {
        (value::narrowed(&period, &[is_one("model", model)]))
        div.line {
            (period.picker(visit, &product.path(), &[("by", by)]))
            a.button href=(product.attacks(&[])) { (visit.text("appliance.attacks")) }
            a.button href=(compare::path("model", [model, ""], &period)) { (visit.text("compare.title")) }
        }
        (watch.told(&all, |all| html! {
            @if all.is_empty() {
                section.card.empty { p { (visit.text("appliance.never")) } }
            } @else { (product.content(by, all)) }
        }))
    };
    Ok(watch.page(who, &shown(model), content))
}

/// Products whose names have a text in them, among those that were attacked in the last 90 days.
pub(crate) fn find(visit: &Visit, _who: &SignedIn, wanted: &str) -> Result<Vec<Hit>, Problem> {
    let watch = Watch::of(visit);
    let range = Period::last(Span::Quarter, visit.now).range;
    // The search finds what it can; the page of appliances says what is wrong with the lake.
    let Ok(answer) = watch.count(&asked(TABLE, range, &["model"])) else { return Ok(Vec::new()) };
    let wanted = wanted.to_lowercase();
    let names = answer.groups().filter_map(|group| Some(group.values.first()?.to_string()));
    let found = names.filter(|name| !name.is_empty() && name.to_lowercase().contains(&wanted)).take(HITS_MAX);
    let kind = visit.text("column.model");
    Ok(found.map(|name| Hit { kind, path: format!("/appliances/{}", part(&name)), name }).collect())
}

fn products(watch: &Watch<'_>, period: &Period, now: &LakeAnswer, before: Option<&LakeAnswer>) -> Markup {
    let visit = watch.visit;
    let before: Option<BTreeMap<_, _>> = before.map(|answer| keys(answer).into_iter().collect());
    // Attacks a day, so that a period that goes on is not smaller than one that is over.
    let change = |key: &Vec<String>, count: u64| {
        let earlier = *before.as_ref()?.get(key)?;
        Some((count as f64 / period.elapsed_days()) / (earlier as f64 / period.days()))
    };
    let (mut lines, mut bytes) = (Vec::new(), 0);
    for (key, count) in keys(now) {
        let line = product(watch, &key, (count, now.rows), change(&key, count));
        bytes += line.0.len();
        if bytes > PRODUCTS_BYTES_MAX {
            break;
        }
        lines.push(line);
    }
    html! {
        @if now.is_empty() {
            section.card.empty { h2 { (visit.text("appliances.nothing")) } p { code { "komainu serve --sensor camera" } } }
        } @else {
            section.card {
                div.scroll tabindex="0" {
                    table.rows.fold {
                        thead { tr {
                            th { (visit.text("column.model")) }
                            th { (visit.text("column.appliance")) }
                            th.number { (visit.text("watch.attacks")) }
                            th.number { (visit.text("appliances.share")) }
                            th.number { (visit.text("trends.change")) }
                        } }
                        tbody {
                            @for line in &lines { (line) }
                        }
                    }
                }
            }
            p.small.muted { (visit.text("appliances.note")) }
        }
    }
}

/// A line of the list: how many attacks of how many, and how many times those of the time before.
fn product(watch: &Watch<'_>, key: &[String], (count, all): (u64, u64), change: Option<f64>) -> Markup {
    let visit = watch.visit;
    let model = key.get(1).map_or("", String::as_str);
    html! {
        tr {
            td.head {
                @if model.is_empty() { i.muted { (visit.text("watch.empty")) } }
                @else { (value::value("model", model)) }
            }
            td data-label=(visit.text("column.appliance")) { (value::value("appliance", key.first().map_or("", String::as_str))) }
            td.number data-label=(visit.text("watch.attacks")) { (grouped(count)) }
            td.number data-label=(visit.text("appliances.share")) { (percent(count as f64 / all.max(1) as f64)) }
            td.number data-label=(visit.text("trends.change")) {
                @match change {
                    Some(times) => { "× " (format!("{times:.2}")) }
                    None => span.muted { "–" },
                }
            }
        }
    }
}

/// One product in one period.
struct Product<'p, 'v> {
    watch: &'p Watch<'v>,
    model: &'p str,
    period: &'p Period,
}

impl Product<'_, '_> {
    fn path(&self) -> String {
        format!("/appliances/{}", part(self.model))
    }

    fn filter(&self) -> LakeFilter {
        one_of(TABLE, "model", &[self.model])
    }

    fn question(&self, by: &[&str]) -> LakeQuestion {
        LakeQuestion { filters: vec![self.filter()], ..asked(TABLE, self.period.range, by) }
    }

    /// The attacks on it of which these columns have these values.
    fn attacks(&self, tests: &[(&str, &str)]) -> String {
        let model = [("model", self.model)];
        let tests = model
            .iter()
            .chain(tests)
            .map(|(name, value)| format!("{name}={}", value.replace('\\', "\\\\").replace(',', "\\,")));
        let tests: Vec<String> = tests.collect();
        let period = self.period.fields();
        let mut fields: Vec<(&str, &str)> = tests.iter().map(|test| ("where", test.as_str())).collect();
        fields.extend(period.iter().map(|(name, value)| (*name, value.as_str())));
        address("/attacks", &fields)
    }

    fn content(&self, by: &'static str, all: &LakeAnswer) -> Markup {
        let visit = self.watch.visit;
        let appliances: Vec<String> = keys(all).into_iter().filter_map(|(key, _)| key.into_iter().next()).collect();
        let list = |column: &'static str| {
            let answer = self.watch.count(&LakeQuestion { top: Some(LISTED_MAX), ..self.question(&[column]) });
            self.watch.card(visit.texts.word("column", column).unwrap_or(column), &answer, |answer| {
                self.watch.bars(visit.text("watch.attacks"), column, answer, &|value| {
                    Link::new(&match column {
                        "source" => format!("/sources/{}", part(&value.to_string())),
                        "sensor" => format!("/sensors/{}", part(&value.to_string())),
                        other => self.attacks(&[(other, &value.to_string())]),
                    })
                })
            })
        };
        html! {
            section.card #over-time {
                div.card-head {
                    h2 { strong.big { (grouped(all.rows)) } " " (visit.text("watch.attacks")) " · " (brief(&appliances.join(", "))) }
                    nav.words aria-label=(visit.text("attacks.counted")) {
                        @for name in BY {
                            a href=(self.here(name)) aria-current=[(name == by).then_some("true")] {
                                (visit.texts.word("column", name).unwrap_or(name))
                            }
                        }
                    }
                }
                (self.over_time(by))
            }
            (self.beside_others(by, all.rows))
            div.columns { (list("source")) (list("sensor")) (list("port")) }
            h2.group { (visit.text("appliance.shown")) }
            div.columns { @for kind in KINDS { (self.observed(kind)) } }
            h2.group { (visit.text("trends.new")) }
            div.columns { @for name in ["port", "protocol", "country"] { (self.first_seen(name)) } }
        }
    }

    fn here(&self, by: &str) -> String {
        let fields = self.period.fields();
        let mut all: Vec<(&str, &str)> = fields.iter().map(|(name, value)| (*name, value.as_str())).collect();
        all.push(("by", by));
        address(&self.path(), &all)
    }

    fn over_time(&self, by: &'static str) -> Markup {
        let visit = self.watch.visit;
        let answer = self.watch.count(&LakeQuestion { bucket: Some(self.period.bucket), ..self.question(&[by]) });
        let test = format!("model={}", self.model.replace('\\', "\\\\").replace(',', "\\,"));
        self.watch.told(&answer, |answer| {
            let mut over_time = OverTime::of(answer, self.period);
            fold(&mut over_time);
            let names = over_time.names(self.watch, by);
            let series = over_time.of_chart(&names, &|value| Link::new(&self.attacks(&[(by, &value.to_string())])));
            let slice =
                |range: komainu_charts::TimeRange| slice_link("/attacks", &[("where", &test)], range, visit.now);
            html! {
                div data-brush=(address(&self.path(), &[("by", by)])) {
                    (stacked_area(&Stacked {
                        title: visit.text("attacks.over-time"),
                        language: charts_language(visit.language),
                        range: self.period.of_chart(),
                        series: &series,
                        annotations: &[],
                        peaks: &[],
                        slice_link: Some(&slice),
                    }))
                }
            }
        })
    }

    /// What attacks it more, or less, than it attacks all other appliances.
    fn beside_others(&self, by: &'static str, rows: u64) -> Markup {
        let visit = self.watch.visit;
        let found = self.compared(by, rows);
        self.watch.card(visit.text("appliance.beside"), &found, |comparison| html! {
            @match comparison {
                Some(comparison) => {
                    div.scroll tabindex="0" {
                        table.rows {
                            thead { tr {
                                th { (visit.texts.word("column", by).unwrap_or(by)) }
                                th.number { (visit.text("appliance.here")) }
                                th.number { (visit.text("appliance.share-here")) }
                                th.number { (visit.text("appliance.share-elsewhere")) }
                                th { (visit.text("appliance.compared")) }
                            } }
                            tbody { @for row in comparison.rows.iter().take(COMPARED_MAX) { (self.compared_row(by, row)) } }
                        }
                    }
                    p.small.muted { (visit.text("appliance.beside-note")) }
                }
                None => p.muted { (visit.text("appliance.no-others")) },
            }
        })
    }

    fn compared(&self, by: &'static str, rows: u64) -> Result<Option<Comparison>, LakeError> {
        let here = keys(&self.watch.count(&self.question(&[by]))?);
        let but =
            LakeFilter { column: column(TABLE, "model"), test: LakeTest::NoneOf(vec![LakeValue::text(self.model)]) };
        let others =
            self.watch.count(&LakeQuestion { filters: vec![but], ..asked(TABLE, self.period.range, &[by]) })?;
        let elsewhere = keys(&others);
        let first = Side { counts: &elsewhere, exposure: others.rows as f64 / EXPOSURE_ATTACKS };
        let second = Side { counts: &here, exposure: rows as f64 / EXPOSURE_ATTACKS };
        // It is refused when there are no others.
        let mut found = komainu_statistics::compare(first, second, Rule::default()).ok();
        // What invites attacks here is looked for, so what has most here is first.
        if let Some(comparison) = &mut found {
            comparison.rows.sort_by_key(|row| std::cmp::Reverse(row.counts.1));
        }
        Ok(found)
    }

    fn compared_row(&self, by: &'static str, row: &Row) -> Markup {
        let visit = self.watch.visit;
        let value = row.key.first().map_or("", String::as_str);
        let times = row.ratio.map_or_else(String::new, |ratio| format!("{ratio:.2}"));
        html! {
            tr {
                td { (value::leading_to(&self.attacks(&[(by, value)]), by, value, html! { (brief(&self.watch.value(by, &LakeValue::text(value)))) })) }
                td.number { (grouped(row.counts.1)) }
                td.number { (percent(row.shares.1)) }
                td.number { (percent(row.shares.0)) }
                td.nowrap {
                    @match row.change {
                        Change::New => span.badge.bad { (visit.text("appliance.only-here")) },
                        Change::Gone => span.muted { (visit.text("appliance.only-elsewhere")) },
                        Change::Risen => span.badge.warn { (visit.filled("appliance.times", &[("times", &times)])) },
                        Change::Fallen => span.badge.ok { (visit.filled("appliance.times", &[("times", &times)])) },
                        Change::Chance => span.muted { (visit.text("change.chance")) },
                    }
                }
            }
        }
    }

    fn observed(&self, kind: &'static str) -> Markup {
        let table = LakeTable::Observables;
        let filters = vec![one_of(table, "model", &[self.model]), one_of(table, "kind", &[kind])];
        let question = LakeQuestion { filters, top: Some(LISTED_MAX), ..asked(table, self.period.range, &["value"]) };
        let title = self.watch.visit.texts.word("kind", kind).unwrap_or(kind);
        self.watch.card(title, &self.watch.count(&question), |answer| value_list(self.watch, self.period, kind, answer))
    }

    fn first_seen(&self, name: &'static str) -> Markup {
        let before = TimeRange { from: TimeRange::ALL.from, to: self.period.range.from };
        let found = newly_seen(self.watch, self.period, before, &self.question(&[name]));
        let title = self.watch.visit.texts.word("column", name).unwrap_or(name);
        self.watch.card(title, &found, |list| new_list(self.watch, name, list, &|value| self.attacks(&[(name, value)])))
    }
}

fn percent(share: f64) -> String {
    format!("{:.1} %", share * 100.0)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use hyper::Method;
    use komainu_model::{Role, Timestamp};
    use komainu_ports::{Lake, LakeBatchName, LakeRowsBuilder, MemoryLake};

    use super::*;
    use crate::request::tests::{NOW, ask, console_with};

    #[test]
    fn a_product_is_beside_all_others() {
        let lake = MemoryLake::default();
        let mut rows = LakeRowsBuilder::new(TABLE);
        let word = LakeValue::text;
        for number in 0..400_u32 {
            let model = if number % 2 == 0 { "c/<b>,1" } else { "nas" };
            let port = if number % 2 == 0 { 34_567 } else { 445 };
            rows.push(&[
                LakeValue::Time(Timestamp::from_unix_millis(NOW.unix_millis() - 1000 * i64::from(number))),
                word("192.0.2.1"),
                word("JP"),
                LakeValue::Number(64_500),
                word("tokyo"),
                word("ip_camera"),
                word(model),
                word("telnet"),
                word("tcp"),
                LakeValue::Number(port),
                word("scan"),
                word(""),
            ]);
        }
        lake.append(&LakeBatchName { stream: "test".to_owned(), sequence: 0 }, &[rows.finish()]).unwrap();
        let console = console_with(Arc::new(lake));
        let check = |path: &str, status: u16, wanted: &[&str]| {
            let (found, text) = ask(&console, Some(Role::Viewer), Method::GET, path, "");
            assert_eq!(found, status, "{path}: {text}");
            assert!(text.len() < 150_000 && !text.contains("<b>"), "{path}");
            for wanted in wanted {
                assert!(text.contains(wanted), "{path} has no {wanted:?}: {text}");
            }
        };
        check("/appliances", 200, &["/appliances/c%2F%3Cb%3E,1", "50.0 %", "c/&lt;b&gt;,1"]);
        check(
            "/appliances/c%2F%3Cb%3E,1?by=port",
            200,
            &["34567", "100.0 %", "only on this one", "/sources/192.0.2.1"],
        );
        check("/appliances/nobody", 200, &["Nothing attacked it"]);
        check("/search?q=NAS", 200, &["/appliances/nas"]);
    }
}
