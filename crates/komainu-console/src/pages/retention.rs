//! What is kept how long, for admins, and how much of its bound is used.

use komainu_ports::{Kept, LakeAnswer, LakeQuestion, LakeTable, TimeBucket, TimeRange};
use maud::{Markup, html};

use crate::routes::Answered;
use crate::time;
use crate::visit::{SignedIn, Visit};
use crate::watch::{Watch, asked, grouped};

/// From so many thousandths of its bound on, something is nearly full, and from so many it is full.
const NEARLY_FULL_THOUSANDTHS: u64 = 800;
const FULL_THOUSANDTHS: u64 = 950;

/// Months that are listed: three years, as the lake keeps them without another setting.
const MONTHS_MAX: usize = 37;

/// The page.
pub(crate) fn show(visit: &Visit, who: &SignedIn) -> Answered {
    let kept = visit.console.vitals.kept();
    let watch = Watch::of(visit);
    let all = asked(LakeTable::Attacks, TimeRange::ALL, &[]);
    let months = watch.count(&LakeQuestion { bucket: Some(TimeBucket::Month), ..all });
    let content = html! {
        section.card {
            h2 { (visit.text("retention.all")) }
            div.scroll tabindex="0" {
                table.rows.fold {
                    thead { tr {
                        th { (visit.text("retention.what")) }
                        th.number { (visit.text("retention.count")) }
                        th.number { (visit.text("retention.bytes")) }
                        th.number { (visit.text("retention.bound")) }
                        th.number { (visit.text("retention.used")) }
                        th { (visit.text("retention.days")) }
                        th { (visit.text("retention.oldest")) }
                        th { (visit.text("retention.place")) }
                        th { (visit.text("retention.setting")) }
                    } }
                    tbody { @for line in &kept { (row(visit, line)) } }
                }
            }
        }
        (watch.card(visit.text("retention.months"), &months, |answer| by_month(visit, answer)))
        section.card {
            h2 { (visit.text("retention.change")) }
            p { (visit.text("retention.change-about")) }
            p { code { "komainu config show" } }
            p.muted { (visit.text("retention.at-bound")) }
        }
    };
    Ok(watch.page(who, visit.text("menu.retention"), content))
}

fn row(visit: &Visit, line: &Kept) -> Markup {
    let or_dash = |value: Option<String>| value.unwrap_or_else(|| "–".to_owned());
    let bounds = [line.count_max.map(grouped), line.bytes_max.map(bytes)];
    let bound = bounds.into_iter().flatten().collect::<Vec<_>>().join(" · ");
    let used = line.used_thousandths();
    html! {
        tr {
            td.head {
                strong { (visit.texts.word("retention.kept", line.what.as_str()).unwrap_or_else(|| line.what.as_str())) }
            }
            td.number data-label=(visit.text("retention.count")) { (or_dash(line.count.map(grouped))) }
            td.number data-label=(visit.text("retention.bytes")) { (or_dash(line.bytes.map(bytes))) }
            td.number data-label=(visit.text("retention.bound")) { @if bound.is_empty() { "–" } @else { (bound) } }
            td.number data-label=(visit.text("retention.used")) {
                @match used {
                    None => "–",
                    Some(used) if used >= FULL_THOUSANDTHS => span.badge.bad { (percent(used)) },
                    Some(used) if used >= NEARLY_FULL_THOUSANDTHS => span.badge.warn { (percent(used)) },
                    Some(used) => (percent(used)),
                }
            }
            td.nowrap data-label=(visit.text("retention.days")) {
                @match line.days {
                    Some(days) => (visit.filled("retention.for-days", &[("days", &days.to_string())])),
                    None if bound.is_empty() => (visit.text("retention.forever")),
                    None => (visit.text("retention.until-bound")),
                }
            }
            td.nowrap data-label=(visit.text("retention.oldest")) { @if let Some(oldest) = line.oldest { (time::time(oldest)) } }
            td.mono data-label=(visit.text("retention.place")) { (line.place) }
            td data-label=(visit.text("retention.setting")) {
                @match line.setting {
                    Some(setting) => span.mono { (setting) },
                    None => span.muted { (visit.text("retention.fixed")) },
                }
            }
        }
    }
}

/// What the lake has of each month, the latest first: a month is removed as a whole.
fn by_month(visit: &Visit, answer: &LakeAnswer) -> Markup {
    let mut months: Vec<_> = answer.groups().collect();
    months.reverse();
    months.truncate(MONTHS_MAX);
    html! {
        @if months.is_empty() {
            p.muted { (visit.text("retention.no-months")) }
        } @else {
            div.scroll tabindex="0" { table.rows {
                thead { tr { th { (visit.text("retention.month")) } th.number { (visit.text("watch.attacks")) } } }
                tbody {
                    @for month in &months {
                        tr {
                            td { @if let Some(begin) = month.bucket { (time::day(begin)) } }
                            td.number { (grouped(month.count)) }
                        }
                    }
                }
            } }
        }
    }
}

fn percent(thousandths: u64) -> String {
    format!("{}.{} %", thousandths / 10, thousandths % 10)
}

/// A number of bytes in the largest unit of which there is one at least.
pub(crate) fn bytes(bytes: u64) -> String {
    let mut tenths = u128::from(bytes) * 10;
    let mut units = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"].into_iter();
    let mut unit = "B";
    while tenths >= 10_240
        && let Some(larger) = units.next()
    {
        tenths /= 1024;
        unit = larger;
    }
    if unit == "B" { format!("{bytes} B") } else { format!("{}.{} {unit}", tenths / 10, tenths % 10) }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use hyper::Method;
    use komainu_model::{Language, Role};
    use komainu_ports::{KeptWhat, MemoryLake};

    use super::*;
    use crate::request::tests::{ask, console_with};
    use komainu_texts::Texts;

    #[test]
    fn bytes_have_units() {
        let check = |number, expected: &str| assert_eq!(bytes(number), expected);
        check(0, "0 B");
        check(1023, "1023 B");
        check(1024, "1.0 KiB");
        check(1536, "1.5 KiB");
        check(10 << 30, "10.0 GiB");
        check(u64::MAX, "15.9 EiB");
    }

    #[test]
    fn what_is_nearly_full_is_seen() {
        let console = console_with(Arc::new(MemoryLake::default()));
        let (status, page) = ask(&console, Some(Role::Admin), Method::GET, "/admin/retention", "");
        assert_eq!(status, 200);
        for text in ["class=\"badge warn\">90.0 %", "hub.records_bytes_max", "9.0 GiB", "10.0 GiB"] {
            assert!(page.contains(text), "{text} is not on {page}");
        }
        assert_eq!(ask(&console, Some(Role::Viewer), Method::GET, "/admin/retention", "").0, 403);
    }

    #[test]
    fn everything_that_is_kept_has_a_name() {
        let tables = [LakeTable::Attacks, LakeTable::Observables, LakeTable::Datapoints, LakeTable::Connections];
        let others = [
            KeptWhat::Records,
            KeptWhat::Captures,
            KeptWhat::Artifacts,
            KeptWhat::Samples,
            KeptWhat::History,
            KeptWhat::Audit,
            KeptWhat::AuditStrangers,
        ];
        for language in Language::ALL {
            for what in tables.map(KeptWhat::Lake).into_iter().chain(others) {
                assert!(Texts::of(language).word("retention.kept", what.as_str()).is_some(), "{}", what.as_str());
            }
        }
    }
}
