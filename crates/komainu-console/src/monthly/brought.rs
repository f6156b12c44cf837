//! Who attacked most, and what attackers brought.

use komainu_ports::{LakeQuestion, LakeTable, LakeValue};
use maud::{Markup, html};

use crate::address::defanged;
use crate::monthly::table::{ROWS_MAX, nothing, observed, share};
use crate::monthly::{Edition, MonthlyError, sheet};
use crate::watch::{asked, brief, grouped};

const TABLE: LakeTable = LakeTable::Attacks;

/// What is listed of what attackers brought, in this order.
const KINDS: [&str; 6] = ["credential", "url", "command", "cve", "file", "user_agent"];

pub(super) fn section(edition: &Edition<'_>) -> Result<Markup, MonthlyError> {
    let by_source =
        LakeQuestion { top: Some(ROWS_MAX), ..asked(TABLE, edition.period.range, &["source", "country", "asn"]) };
    let sources = edition.asker.count(&by_source)?;
    let lists = KINDS.map(|kind| observed(edition, kind));
    Ok(sheet::section(
        edition,
        sheet::Of::Attacks,
        edition.text("monthly.brought"),
        html! {
            h3 { (edition.text("observables.sources")) }
            @if sources.is_empty() { (nothing(edition)) }
            @else {
                table.counts.keep {
                    thead { tr {
                        th { (edition.text("column.source")) } th { (edition.text("column.country")) }
                        th { (edition.text("column.asn")) } th.number { (edition.text("watch.attacks")) }
                        th.number { (edition.text("appliances.share")) }
                    } }
                    tbody {
                        @for group in sources.groups() {
                            @let of = |place: usize| group.values.get(place).cloned().unwrap_or(LakeValue::Number(0));
                            tr {
                                td.mono { (defanged(&brief(&of(0).to_string()))) }
                                td { (brief(&edition.asker.value("country", &of(1)))) }
                                td { (brief(&edition.asker.value("asn", &of(2)))) }
                                td.number { (grouped(group.count)) }
                                td.number { (share(group.count, sources.rows)) }
                            }
                        }
                    }
                }
                p.note { (edition.text("monthly.sources-note")) }
            }
            div.pair { @for list in lists { (list?) } }
            p.note { (edition.text("monthly.defanged-note")) }
        },
    ))
}
