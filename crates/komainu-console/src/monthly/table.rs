//! Tables of a report: what there was of each, beside the month before.

use std::collections::BTreeMap;

use komainu_ports::{LakeQuestion, LakeTable, LakeValue};
use komainu_statistics::{Change, Key, Row};
use maud::{Markup, html};

use crate::address::defanged;
use crate::monthly::{Edition, MonthlyError};
use crate::pages::trends::compared;
use crate::watch::{asked, brief, grouped, keys};

/// Rows of a table of this kind: what fits beside another one on a page.
pub(crate) const ROWS_MAX: usize = 10;

/// From so many times the count before on, times are told instead of per cent.
const TIMES_MIN: f64 = 3.0;

/// Attacks by a column, those with most first, each with its share and what changed.
pub(crate) fn by_column(edition: &Edition<'_>, column: &'static str) -> Result<Markup, MonthlyError> {
    let title = edition.asker.texts.word("column", column).unwrap_or(column);
    let found = compared(&edition.asker, &edition.period, edition.before, column)?;
    let Some(mut found) = found.filter(|found| found.total.counts.1 > 0) else {
        return Ok(html! { div.keep { h3 { (title) } (nothing(edition)) } });
    };
    let all = found.total.counts.1;
    let values = found.rows.iter().filter(|row| row.counts.1 > 0).count();
    found.rows.sort_by(|one, other| other.counts.1.cmp(&one.counts.1).then_with(|| one.key.cmp(&other.key)));
    let most = found.rows.first().map_or(0, |row| row.counts.1);
    Ok(html! {
        div.keep {
            h3 { (title) }
            table.counts {
                thead { tr {
                    th { (title) } th.bar-cell {} th.number { (edition.text("watch.attacks")) }
                    th.number { (edition.text("appliances.share")) } th.number { (edition.text("trends.change")) }
                } }
                tbody {
                    @for row in found.rows.iter().take(ROWS_MAX).filter(|row| row.counts.1 > 0) {
                        @let value = LakeValue::text(row.key.first().map_or("", String::as_str));
                        tr {
                            td.name { bdi { (brief(&named(&edition.asker.value(column, &value)))) } }
                            td.bar-cell { (bar(row.counts.1, most)) }
                            td.number { (grouped(row.counts.1)) }
                            td.number { (share(row.counts.1, all)) }
                            td.number { (change_of(edition, row)) }
                        }
                    }
                }
            }
            (more(edition, values))
        }
    })
}

/// How many rows a table leaves out.
pub(crate) fn more(edition: &Edition<'_>, rows: usize) -> Markup {
    html! {
        @if rows > ROWS_MAX {
            p.note { (edition.filled("monthly.more", &[("count", &grouped((rows - ROWS_MAX) as u64))])) }
        }
    }
}

/// Values that were shown in attacks, those that came most often first.
pub(crate) fn observed(edition: &Edition<'_>, kind: &'static str) -> Result<Markup, MonthlyError> {
    let table = LakeTable::Observables;
    let filters = vec![crate::watch::one_of(table, "kind", &[kind])];
    let question = LakeQuestion { filters, top: Some(ROWS_MAX), ..asked(table, edition.period.range, &["value"]) };
    let answer = edition.asker.count(&question)?;
    let rows: Vec<(String, u64)> =
        keys(&answer).into_iter().map(|(key, count)| (of_attacker(kind, &first(key)), count)).collect();
    Ok(list(edition, edition.asker.texts.word("kind", kind).unwrap_or(kind), &rows))
}

/// A list of names with their counts and bars; nothing of it when there is none.
pub(crate) fn list(edition: &Edition<'_>, title: &str, rows: &[(String, u64)]) -> Markup {
    let most = rows.iter().map(|(_, count)| *count).max().unwrap_or(0);
    html! {
        div.keep {
            h3 { (title) }
            @if rows.is_empty() { (nothing(edition)) }
            @else {
                table.counts {
                    tbody {
                        @for (name, count) in rows.iter().take(ROWS_MAX) {
                            tr {
                                td.name { bdi { (brief(name)) } }
                                td.bar-cell { (bar(*count, most)) }
                                td.number { (grouped(*count)) }
                            }
                        }
                    }
                }
                (more(edition, rows.len()))
            }
        }
    }
}

/// What is said where there is nothing.
pub(crate) fn nothing(edition: &Edition<'_>) -> Markup {
    html! { p.none { (edition.text("monthly.none")) } }
}

/// A text of an attacker of which no program makes a link.
pub(crate) fn of_attacker(kind: &str, value: &str) -> String {
    match kind {
        // Techniques of ATT&CK have dots and are no names.
        "technique" | "cve" => value.to_owned(),
        _ => defanged(value).replace("://", "[:]//"),
    }
}

/// A name that a sensor gave, of which no program makes a link: a dot before a letter may be part of a name of the Internet,
/// one before a digit is part of a version.
pub(crate) fn named(text: &str) -> String {
    let mut named = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('.') {
        named.push_str(before);
        named.push_str(if after.starts_with(char::is_alphabetic) { "[.]" } else { "." });
        rest = after;
    }
    named + &rest.replace("://", "[:]//")
}

/// The only value of a key.
pub(crate) fn first(key: Key) -> String {
    key.into_iter().next().unwrap_or_default()
}

/// A bar of a length in proportion.
pub(crate) fn bar(count: u64, most: u64) -> Markup {
    let width = if most == 0 { 0.0 } else { count as f64 / most as f64 * 100.0 };
    html! {
        svg.bar viewBox="0 0 100 8" preserveAspectRatio="none" aria-hidden="true" {
            rect width=(format!("{:.1}", width.max(0.6))) height="8" {}
        }
    }
}

/// A part of a whole, in per cent.
pub(crate) fn share(part: u64, whole: u64) -> String {
    format!("{:.1} %", part as f64 / whole.max(1) as f64 * 100.0)
}

/// What became of a row since the month before.
pub(crate) fn change_of(edition: &Edition<'_>, row: &Row) -> Markup {
    match (row.change, row.ratio) {
        (Change::New, _) | (_, None) => html! { span.tag { (edition.text("change.new")) } },
        (Change::Gone, _) => html! { span.tag { (edition.text("change.gone")) } },
        (Change::Risen, Some(ratio)) => html! { strong.up { (per_cent(ratio)) } },
        (Change::Fallen, Some(ratio)) => html! { strong.down { (per_cent(ratio)) } },
        (Change::Chance, Some(ratio)) => html! { span.muted { (per_cent(ratio)) } },
    }
}

/// A ratio as people say it: `+12 %`, `−40 %`, `× 7.3`.
pub(crate) fn per_cent(ratio: f64) -> String {
    let per_cent = ((ratio - 1.0) * 100.0).round();
    if ratio >= TIMES_MIN {
        format!("× {ratio:.1}")
    } else if per_cent > 0.0 {
        format!("+{per_cent:.0} %")
    } else if per_cent < 0.0 {
        format!("−{:.0} %", per_cent.abs())
    } else {
        "±0 %".to_owned()
    }
}

/// Counts by the first of the columns of an answer, each with those of its others.
pub(crate) fn nested(counts: &[(Key, u64)]) -> BTreeMap<&str, Vec<(&str, u64)>> {
    let mut found: BTreeMap<&str, Vec<(&str, u64)>> = BTreeMap::new();
    for (key, count) in counts {
        if let [outer, inner] = key.as_slice() {
            found.entry(outer).or_default().push((inner, *count));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ratios_are_said_as_people_do() {
        let check = |ratio: f64, expected: &str| assert_eq!(per_cent(ratio), expected);
        check(1.0, "±0 %");
        check(1.124, "+12 %");
        check(0.6, "−40 %");
        check(2.5, "+150 %");
        check(7.31, "× 7.3");
        check(0.0, "−100 %");
    }

    #[test]
    fn attackers_texts_are_no_links() {
        let check = |kind: &str, value: &str, expected: &str| assert_eq!(of_attacker(kind, value), expected, "{value}");
        check("url", "http://203.0.113.80/demo.sh", "hxxp[:]//203[.]0[.]113[.]80/demo[.]sh");
        check("command", "wget HTTPS://a.example/x", "wget HTTPS[:]//a[.]example/x");
        check("technique", "T1110.001", "T1110.001");
        check("credential", "root:root", "root:root");
        check("url", "", "");
        let check = |text: &str, expected: &str| assert_eq!(named(text), expected);
        check("DEMO-CAM 3.0", "DEMO-CAM 3.0");
        check("evil.example", "evil[.]example");
        check("a.b.c.", "a[.]b[.]c.");
    }
}
