//! Two products beside each other: what attacks each, what attacks one and not the other, and both over time.

use komainu_charts::{Line, Lines, Link, lines};
use komainu_model::Timestamp;
use komainu_ports::{LakeError, LakeFilter, LakeQuestion, LakeTable};
use komainu_statistics::{Change, Comparison, Row, Rule, Side, compare};
use maud::{Markup, html};

use crate::address::address;
use crate::condition::is_one;
use crate::period::{Period, Span};
use crate::routes::Answered;
use crate::shown::{shown, shown_briefly};
use crate::value::{self, leading_to, shown_as};
use crate::visit::{SignedIn, Visit};
use crate::watch::{Watch, asked, brief, charts_language, column, grouped, keys, one_of};

/// By what two products are compared: models, or types of appliances.
const OF: [&str; 2] = ["model", "appliance"];

/// Columns by which attacks on both are compared.
const BY: [&str; 4] = ["protocol", "port", "label", "country"];

/// Rows of one comparison, those with most first.
const ROWS_MAX: usize = 15;

/// Characters of a product's name above its column.
const HEAD_CHARS_MAX: usize = 18;

/// Products that are offered.
const OFFERED_MAX: usize = 200;

/// Up to so many days different sources are counted: they are looked for in every row.
const SOURCES_DAYS_MAX: f64 = 31.0;

/// Attacks for which there is one unit of exposure: shares are compared, not numbers.
const EXPOSURE_ATTACKS: f64 = 1_000.0;

const TABLE: LakeTable = LakeTable::Attacks;

/// The page.
pub(crate) fn show(visit: &Visit, who: &SignedIn) -> Answered {
    let watch = Watch::of(visit);
    let period = Period::of(visit, Span::Month);
    let of = OF.into_iter().find(|of| *of == visit.query.one("of")).unwrap_or(OF[0]);
    let pair = ["with", "and"].map(|name| visit.query.one(name));
    let both = Both { watch: &watch, period: &period, of, pair };
    let is_asked = pair.iter().all(|name| !name.is_empty());
    let content = html! {
        (value::narrowed(&period, &[]))
        div.line {
            (period.picker(visit, "/compare", &[("of", of), ("with", pair[0]), ("and", pair[1])]))
            a.button href="/appliances" { (visit.text("compare.back")) }
        }
        (form(&both))
        @if is_asked { (both.content()) } @else { section.card.empty { p { (visit.text("compare.choose")) } } }
    };
    Ok(watch.page(who, visit.text("compare.title"), content))
}

/// Where this page is asked for two products.
pub(crate) fn path(of: &str, pair: [&str; 2], period: &Period) -> String {
    let fields = period.fields();
    let mut all = vec![("of", of), ("with", pair[0]), ("and", pair[1])];
    all.extend(fields.iter().map(|(name, value)| (*name, value.as_str())));
    address("/compare", &all)
}

fn form(both: &Both<'_, '_>) -> Markup {
    let visit = both.watch.visit;
    let question = LakeQuestion { top: Some(OFFERED_MAX), ..asked(TABLE, both.period.range, &[both.of]) };
    // Without an answer nothing is offered, and what is typed is asked for all the same.
    let offered = both.watch.count(&question).map_or(Vec::new(), |answer| keys(&answer));
    html! {
        nav.words aria-label=(visit.text("compare.of")) {
            @for of in OF {
                a href=(path(of, ["", ""], both.period)) aria-current=[(of == both.of).then_some("true")] {
                    (visit.texts.word("column", of).unwrap_or(of))
                }
            }
        }
        form.card.line method="get" action="/compare" {
            @for (name, value) in both.period.fields() {
                @if !value.is_empty() { input type="hidden" name=(name) value=(value); }
            }
            input type="hidden" name="of" value=(both.of);
            @for (name, title, value) in [("with", visit.text("compare.one"), both.pair[0]), ("and", visit.text("compare.other"), both.pair[1])] {
                label { span { (title) }
                    input name=(name) value=(value) list="products" maxlength="128" autocomplete="off" required; }
            }
            datalist #products {
                @for (key, _) in &offered {
                    @if let Some(name) = key.first().filter(|name| !name.is_empty() && name.len() <= value::BYTES_MAX) { option value=(name) {} }
                }
            }
            button.primary type="submit" { (visit.text("compare.do")) }
        }
    }
}

/// Two products in one period.
struct Both<'p, 'v> {
    watch: &'p Watch<'v>,
    period: &'p Period,
    of: &'static str,
    pair: [&'p str; 2],
}

/// What is known of each at once.
struct Sum {
    attacks: u64,
    /// None when the period is too long to look for them.
    sources: Option<u64>,
}

impl Both<'_, '_> {
    fn question(&self, side: usize, table: LakeTable, by: &[&str]) -> LakeQuestion {
        let filters: Vec<LakeFilter> = vec![one_of(table, self.of, &[self.pair[side]])];
        LakeQuestion { filters, ..asked(table, self.period.range, by) }
    }

    fn sum(&self, side: usize) -> Result<Sum, LakeError> {
        let attacks = self.watch.count(&self.question(side, TABLE, &[]))?.rows;
        if self.period.days() > SOURCES_DAYS_MAX {
            return Ok(Sum { attacks, sources: None });
        }
        let distinct = Some(column(TABLE, "source"));
        let answer = self.watch.count(&LakeQuestion { distinct, ..self.question(side, TABLE, &[]) })?;
        Ok(Sum { attacks, sources: Some(answer.distinct.first().copied().unwrap_or(0)) })
    }

    fn content(&self) -> Markup {
        let sums = [0, 1].map(|side| self.sum(side));
        let [Ok(one), Ok(other)] = &sums else {
            return sums.iter().find_map(|sum| sum.as_ref().err()).map_or(html! {}, |error| self.watch.problem(error));
        };
        html! {
            div.tiles.pairs { (self.tile(0, one, other)) (self.tile(1, other, one)) }
            (self.over_time())
            div.columns.wide-columns {
                @for by in BY { (self.compared(TABLE, by, [one, other])) }
                (self.compared(LakeTable::Observables, "credential", [one, other]))
            }
            p.small.muted { (self.watch.visit.text("compare.note")) }
        }
    }

    fn tile(&self, side: usize, sum: &Sum, other: &Sum) -> Markup {
        let visit = self.watch.visit;
        let name = self.pair[side];
        html! {
            section.card.tile {
                h2 { span class=(format!("dot k-s{}", side + 1)) {} " " (shown_as(self.of, name, html! { (brief(name)) })) }
                p.big { (grouped(sum.attacks)) }
                p.small.muted {
                    (visit.text("watch.attacks"))
                    @if let Some(sources) = sum.sources { " " (visit.filled("attacks.of-sources", &[("count", &grouped(sources))])) }
                    @if other.attacks > 0 { " · × " (format!("{:.2}", sum.attacks as f64 / other.attacks as f64)) }
                }
            }
        }
    }

    fn over_time(&self) -> Markup {
        let visit = self.watch.visit;
        let answers = [0, 1].map(|side| {
            self.watch.count(&LakeQuestion { bucket: Some(self.period.bucket), ..self.question(side, TABLE, &[]) })
        });
        let [Ok(one), Ok(other)] = &answers else { return html! {} };
        let gaps = self.watch.gaps(self.period);
        // A piece that is not over is left out, unless it has all that there is.
        let over = self.period.buckets_over();
        let is_over = |at: &Timestamp| self.period.bucket_at(*at).is_some_and(|place| place < over);
        let has_some =
            [one, other].iter().any(|answer| answer.groups().filter_map(|group| group.bucket).any(|at| is_over(&at)));
        let known = over + usize::from(!has_some);
        let points = [one, other].map(|answer| {
            let mut counts = vec![0_u64; self.period.buckets()];
            for group in answer.groups() {
                if let Some(place) = group.bucket.and_then(|at| self.period.bucket_at(at)) {
                    counts[place] += group.count;
                }
            }
            let known = counts.into_iter().take(known).enumerate();
            let known = known.filter(|(place, _)| !gaps.get(*place).copied().unwrap_or(false));
            known.map(|(place, count)| (self.period.bucket_begin(place), count as f64)).collect::<Vec<_>>()
        });
        let names = self.pair.map(shown);
        let link = |side: usize| Link::new(&value::page_of(self.of, self.pair[side])?);
        let both: Vec<Line<'_>> =
            (0..2).map(|side| Line { label: &names[side], points: &points[side], link: link(side) }).collect();
        html! {
            section.card {
                h2 { (visit.text("attacks.over-time")) }
                (lines(&Lines {
                    title: visit.text("attacks.over-time"),
                    language: charts_language(visit.language),
                    range: self.period.of_chart(),
                    unit: "",
                    lines: &both,
                    band: None,
                    thresholds: &[],
                    annotations: &[],
                    gap_ms: self.period.bucket_ms().saturating_mul(3) / 2,
                    slice_link: None,
                }))
            }
        }
    }

    fn compared(&self, table: LakeTable, by: &'static str, sums: [&Sum; 2]) -> Markup {
        let visit = self.watch.visit;
        let is_observed = table == LakeTable::Observables;
        let kind = if is_observed { "kind" } else { "column" };
        let title = match kind {
            "kind" => visit.texts.word("kind", by),
            _ => visit.texts.word("column", by),
        };
        let found = self.comparison(table, by, sums);
        self.watch.card(title.unwrap_or(by), &found, |comparison| {
            html! {
                @match comparison {
                    Some(comparison) if !comparison.rows.is_empty() => {
                        div.scroll tabindex="0" {
                            table.rows.tight {
                                thead { tr {
                                    th {}
                                    @for name in self.pair { th.number colspan="2" { (shown_briefly(name, HEAD_CHARS_MAX)) } }
                                    th { (visit.text("compare.factor")) }
                                } }
                                tbody { @for row in comparison.rows.iter().take(ROWS_MAX) { (self.row(by, row)) } }
                            }
                        }
                    }
                    Some(_) | None => p.muted { (visit.text("watch.nothing")) },
                }
            }
        })
    }

    fn comparison(&self, table: LakeTable, by: &'static str, sums: [&Sum; 2]) -> Result<Option<Comparison>, LakeError> {
        let is_observed = table == LakeTable::Observables;
        let counts = [0, 1].map(|side| {
            let mut question = self.question(side, table, &[if is_observed { "value" } else { by }]);
            if is_observed {
                question.filters.push(one_of(table, "kind", &[by]));
                question.top = Some(ROWS_MAX * 4);
            }
            self.watch.count(&question)
        });
        let [one, other] = counts;
        let (one, other) = (keys(&one?), keys(&other?));
        let exposure = sums.map(|sum| sum.attacks as f64 / EXPOSURE_ATTACKS);
        let (first, second) =
            (Side { counts: &other, exposure: exposure[1] }, Side { counts: &one, exposure: exposure[0] });
        // It is refused when there is no attack on one of them.
        let mut found = compare(first, second, Rule::default()).ok();
        if let Some(comparison) = &mut found {
            comparison.rows.sort_by_key(|row| std::cmp::Reverse(row.counts.0.saturating_add(row.counts.1)));
        }
        Ok(found)
    }

    fn row(&self, by: &'static str, row: &Row) -> Markup {
        let visit = self.watch.visit;
        let raw = row.key.first().map_or("", String::as_str);
        let name = html! { (brief(&self.watch.value(by, &komainu_ports::LakeValue::text(raw)))) };
        let cell = match by {
            "credential" => shown_as(by, raw, name),
            _ => leading_to(&self.attacks(by, raw), by, raw, name),
        };
        let times = row.ratio.map_or_else(String::new, |ratio| format!("{ratio:.2}"));
        let share = |share: f64| format!("{:.1} %", share * 100.0);
        html! {
            tr {
                td.wide { (cell) }
                td.number { (grouped(row.counts.1)) }
                td.number.muted { (share(row.shares.1)) }
                td.number { (grouped(row.counts.0)) }
                td.number.muted { (share(row.shares.0)) }
                td.nowrap {
                    @match row.change {
                        Change::New => span.badge.bad { (visit.text("compare.only-one")) },
                        Change::Gone => span.badge.warn { (visit.text("compare.only-other")) },
                        Change::Risen | Change::Fallen => strong { "× " (times) },
                        Change::Chance if row.counts.0 == 0 => span.muted { (visit.text("compare.only-one")) },
                        Change::Chance if row.counts.1 == 0 => span.muted { (visit.text("compare.only-other")) },
                        Change::Chance => span.muted title=(visit.text("change.chance")) { @if times.is_empty() { "–" } @else { "× " (times) } },
                    }
                }
            }
        }
    }

    /// The attacks on both with a value.
    fn attacks(&self, by: &str, raw: &str) -> String {
        let both = self
            .pair
            .map(|name| is_one(self.of, name).split_once('=').map_or(String::new(), |(_, name)| name.to_owned()));
        let tests = [format!("{}={}", self.of, both.join(",")), is_one(by, raw)];
        let fields = self.period.fields();
        let mut all: Vec<(&str, &str)> = tests.iter().map(|test| ("where", test.as_str())).collect();
        all.extend(fields.iter().map(|(name, value)| (*name, value.as_str())));
        address("/attacks", &all)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use hyper::Method;
    use komainu_model::Role;
    use komainu_ports::{Lake, LakeBatchName, LakeRowsBuilder, LakeValue, MemoryLake};

    use super::*;
    use crate::request::tests::{NOW, ask, console_with};

    #[test]
    fn two_products_are_beside_each_other() {
        let lake = MemoryLake::default();
        let mut rows = LakeRowsBuilder::new(TABLE);
        let word = LakeValue::text;
        for number in 0..600_u32 {
            let (model, kind, port) = match number % 3 {
                0 => ("c/<b>,1", "ip_camera", 34_567),
                1 => ("nas", "storage", 445),
                _ => (if number % 2 == 0 { "nas" } else { "c/<b>,1" }, "ip_camera", 23),
            };
            rows.push(&[
                LakeValue::Time(Timestamp::from_unix_millis(NOW.unix_millis() - 90_000_000 - 1000 * i64::from(number))),
                word("192.0.2.1"),
                word("JP"),
                LakeValue::Number(64_500),
                word("tokyo"),
                word(kind),
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
        let check = |path: &str, wanted: &[&str]| {
            let (status, text) = ask(&console, Some(Role::Viewer), Method::GET, path, "");
            assert_eq!(status, 200, "{path}: {text}");
            assert!(text.len() < 150_000 && !text.contains("<b>"), "{path}");
            for wanted in wanted {
                assert!(text.contains(wanted), "{path} has no {wanted:?}: {text}");
            }
        };
        check("/compare", &["Choose two"]);
        check(
            "/compare?with=c%2F%3Cb%3E,1&and=nas",
            &[
                "only the first",
                "only the second",
                ">300<",
                "66.7 %",
                "where=model%3Dc%2F%3Cb%3E%5C,1,nas",
                "data-filter=\"port=445\"",
            ],
        );
        check("/compare?of=appliance&with=ip_camera&and=storage", &["× ", "only the second"]);
        check("/compare?with=nobody&and=nas", &["Nothing in this period"]);
        check("/appliances", &["/compare?of=model"]);
    }
}
