//! Each product: what attacks it, and which of its ports invite attacks that others do not get.

use komainu_ports::{LakeQuestion, LakeTable};
use komainu_statistics::{Change, Key, Row, Rule, Side, compare};
use maud::{Markup, html};

use crate::monthly::table::{change_of, more, named, nested, nothing, share};
use crate::monthly::{Edition, MonthlyError, sheet};
use crate::watch::{asked, brief, grouped, keys};

/// Products that are told of, those that were attacked most.
const PRODUCTS_MAX: usize = 16;

/// Protocols and ports of one product that are told.
const TOLD_MAX: usize = 3;

/// Attacks for which there is one unit of exposure: ports are compared per so many attacks.
const EXPOSURE_ATTACKS: f64 = 1_000.0;

/// Pairs of product and port that are looked at, those with most attacks: what comes to a port once or twice says nothing.
const PAIRS_MAX: usize = 20_000;

const TABLE: LakeTable = LakeTable::Attacks;

pub(super) fn section(edition: &Edition<'_>) -> Result<Markup, MonthlyError> {
    let asker = &edition.asker;
    let range = edition.period.range;
    let title = edition.text("monthly.products");
    let models = crate::pages::trends::compared(asker, &edition.period, edition.before, "model")?;
    let mut models: Vec<Row> = models.map_or(Vec::new(), |models| models.rows);
    models.retain(|row| row.counts.1 > 0 && row.key.first().is_some_and(|name| !name.is_empty()));
    models.sort_by(|one, other| other.counts.1.cmp(&one.counts.1).then_with(|| one.key.cmp(&other.key)));
    if models.is_empty() {
        return Ok(sheet::section(edition, sheet::Of::Attacks, title, nothing(edition)));
    }
    let all = asker.count(&asked(TABLE, range, &[]))?.rows;
    let protocols = keys(&asker.count(&asked(TABLE, range, &["model", "protocol"]))?);
    let ports = keys(&asker.count(&LakeQuestion { top: Some(PAIRS_MAX), ..asked(TABLE, range, &["model", "port"]) })?);
    let (protocols, by_port) = (nested(&protocols), nested(&ports));
    let row = |row: &Row| {
        let model = row.key.first().map_or("", String::as_str);
        let spoken = protocols.get(model).map_or(&[][..], Vec::as_slice);
        let inviting = inviting(&ports, by_port.get(model).map_or(&[][..], Vec::as_slice), (row.counts.1, all));
        html! {
            tr {
                td.name { bdi { (brief(&named(model))) } }
                td.number { (grouped(row.counts.1)) }
                td.number { (change_of(edition, row)) }
                td {
                    @for (place, (protocol, count)) in spoken.iter().take(TOLD_MAX).enumerate() {
                        @if place > 0 { ", " }
                        span.nowrap { (brief(protocol)) " " span.muted { (share(*count, row.counts.1)) } }
                    }
                }
                td {
                    @if inviting.is_empty() { span.muted { (edition.text("monthly.as-others")) } }
                    @for (place, (port, times)) in inviting.iter().enumerate() {
                        @if place > 0 { ", " }
                        span.nowrap {
                            (port) " "
                            span.muted {
                                @match times {
                                    Some(times) => { "(× " (format!("{times:.1}")) ")" }
                                    None => { "(" (edition.text("appliance.only-here")) ")" }
                                }
                            }
                        }
                    }
                }
            }
        }
    };
    Ok(sheet::section(
        edition,
        sheet::Of::Attacks,
        title,
        html! {
            p { (edition.text("monthly.products-about")) }
            table.counts.many {
                thead { tr {
                    th { (edition.text("column.model")) }
                    th.number { (edition.text("watch.attacks")) }
                    th.number { (edition.text("trends.change")) }
                    th { (edition.text("monthly.attacked-over")) }
                    th { (edition.text("monthly.inviting")) }
                } }
                tbody { @for product in models.iter().take(PRODUCTS_MAX) { (row(product)) } }
            }
            @if models.len() > PRODUCTS_MAX { (more(edition, models.len() - PRODUCTS_MAX + super::table::ROWS_MAX)) }
        },
    ))
}

/// Ports at which a larger share of a product's attacks comes than of those on all others, and by how many times; none where only
/// this product is attacked. `of_product` are its ports, `attacks` how many attacks it has, and how many there are in all.
fn inviting(all: &[(Key, u64)], of_product: &[(&str, u64)], attacks: (u64, u64)) -> Vec<(String, Option<f64>)> {
    let others = attacks.1.saturating_sub(attacks.0);
    if others == 0 || attacks.0 == 0 {
        return Vec::new();
    }
    let here: Vec<(Key, u64)> = of_product.iter().map(|(port, count)| (vec![(*port).to_owned()], *count)).collect();
    let elsewhere: Vec<(Key, u64)> = here
        .iter()
        .map(|(key, count)| {
            let total: u64 = all.iter().filter(|(pair, _)| pair.get(1) == key.first()).map(|(_, count)| *count).sum();
            (key.clone(), total.saturating_sub(*count))
        })
        .collect();
    let first = Side { counts: &elsewhere, exposure: others as f64 / EXPOSURE_ATTACKS };
    let second = Side { counts: &here, exposure: attacks.0 as f64 / EXPOSURE_ATTACKS };
    let Ok(mut found) = compare(first, second, Rule::default()) else { return Vec::new() };
    found.rows.retain(|row| matches!(row.change, Change::New | Change::Risen));
    found.rows.sort_by(|one, other| other.counts.1.cmp(&one.counts.1).then_with(|| one.key.cmp(&other.key)));
    found.rows.into_iter().take(TOLD_MAX).map(|row| (super::table::first(row.key), row.ratio)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_that_others_do_not_have_invite() {
        let pair = |model: &str, port: &str, count: u64| (vec![model.to_owned(), port.to_owned()], count);
        let all = [pair("cam", "23", 500), pair("cam", "34567", 400), pair("nas", "23", 900), pair("nas", "445", 100)];
        let check = |of: &[(&str, u64)], attacks: (u64, u64), expected: &[(&str, bool)]| {
            let found: Vec<(String, bool)> =
                inviting(&all, of, attacks).into_iter().map(|(port, times)| (port, times.is_some())).collect();
            let expected: Vec<(String, bool)> =
                expected.iter().map(|(port, has_times)| ((*port).to_owned(), *has_times)).collect();
            assert_eq!(found, expected);
        };
        check(&[("23", 500), ("34567", 400)], (900, 1_900), &[("34567", false)]);
        check(&[("23", 900), ("445", 100)], (1_000, 1_900), &[("23", true), ("445", false)]);
        check(&[("23", 900)], (900, 900), &[]);
        check(&[], (0, 900), &[]);
    }
}
