//! What one must know of a month: a sentence, and some numbers.

use komainu_model::Language;
use komainu_ports::{LakeError, LakeQuestion, LakeTable};
use maud::{Markup, html};

use crate::monthly::table::{first, named, per_cent, share};
use crate::monthly::{Edition, MonthlyError};
use crate::pages::malware::share as part_of;
use crate::watch::{asked, brief, column, grouped, keys, one_of};

const TABLE: LakeTable = LakeTable::Attacks;

/// Numbers of attacks of a month, and of the month before.
struct Counted {
    attacks: (u64, u64),
    /// How many different ones; none when there are too many to be told apart in memory.
    sources: (Option<u64>, Option<u64>),
    /// Attacks that were more than looking around.
    intrusions: (u64, u64),
    /// Visits in which a file was left.
    files: u64,
    sensors: u64,
    /// The protocol and the sort of appliance with the most attacks, each with its count.
    most: Option<[(String, u64); 2]>,
}

impl Counted {
    fn of(edition: &Edition<'_>) -> Result<Self, LakeError> {
        let (now, before) = (edition.period.range, edition.before);
        let asker = &edition.asker;
        let rows = |range, filters| Ok(asker.count(&LakeQuestion { filters, ..asked(TABLE, range, &[]) })?.rows);
        let sources = |range| {
            let source = Some(column(TABLE, "source"));
            match asker.count(&LakeQuestion { distinct: source, ..asked(TABLE, range, &[]) }) {
                Ok(answer) => Ok(Some(answer.distinct.first().copied().unwrap_or(0))),
                Err(LakeError::TooLarge { .. }) => Ok(None),
                Err(error) => Err(error),
            }
        };
        let intrusions = |range| rows(range, vec![one_of(TABLE, "label", &["exploit", "dropper"])]);
        let most = |name: &str| -> Result<Option<(String, u64)>, LakeError> {
            let answer = asker.count(&LakeQuestion { top: Some(1), ..asked(TABLE, now, &[name]) })?;
            Ok(keys(&answer).into_iter().next().map(|(key, count)| (first(key), count)))
        };
        let files = LakeQuestion {
            filters: vec![one_of(LakeTable::Observables, "kind", &["file"])],
            ..asked(LakeTable::Observables, now, &[])
        };
        Ok(Self {
            attacks: (rows(now, Vec::new())?, rows(before, Vec::new())?),
            sources: (sources(now)?, sources(before)?),
            intrusions: (intrusions(now)?, intrusions(before)?),
            files: asker.count(&files)?.rows,
            sensors: asker.count(&asked(TABLE, now, &["sensor"]))?.groups().count() as u64,
            most: most("protocol")?.zip(most("appliance")?).map(<[_; 2]>::from),
        })
    }
}

/// The beginning of the report.
pub(super) fn section(edition: &Edition<'_>) -> Result<Markup, MonthlyError> {
    let (sentence, numbers) = opening(edition)?;
    Ok(html! { section.summary { p.headline { (sentence) } (numbers) } })
}

/// The sentence and the numbers, for the console's page.
pub(crate) fn opening(edition: &Edition<'_>) -> Result<(String, Markup), LakeError> {
    let counted = Counted::of(edition)?;
    Ok((sentence(edition, &counted), numbers(edition, &counted)))
}

fn sentence(edition: &Edition<'_>, counted: &Counted) -> String {
    let month = edition.month.name(edition.asker.texts);
    let mut said = match counted.attacks.0 {
        0 => vec![edition.filled("monthly.headline-nothing", &[("month", &month)])],
        attacks => {
            let change = match edition.ratio(attacks, counted.attacks.1) {
                Some(ratio) if (0.995..1.005).contains(&ratio) => edition.text("monthly.as-many").to_owned(),
                Some(ratio) if ratio > 1.0 => edition.filled("monthly.more-than", &[("change", &per_cent(ratio))]),
                Some(ratio) => edition.filled("monthly.less-than", &[("change", &per_cent(ratio))]),
                None => edition.text("monthly.none-before").to_owned(),
            };
            let places = [("month", month.as_str()), ("attacks", &grouped(attacks)), ("change", &change)];
            vec![edition.filled("monthly.headline", &places)]
        }
    };
    if let Some([protocol, appliance]) = &counted.most {
        let of_all = |count: u64| share(count, counted.attacks.0);
        let places = [
            ("protocol", named(&brief(&protocol.0))),
            ("protocol_share", of_all(protocol.1)),
            ("appliance", named(&brief(&appliance.0))),
            ("appliance_share", of_all(appliance.1)),
        ];
        let places: Vec<(&str, &str)> = places.iter().map(|(name, value)| (*name, value.as_str())).collect();
        said.push(edition.filled("monthly.headline-most", &places));
    }
    if edition.malware.total.samples > 0 {
        said.push(edition.filled("monthly.headline-samples", &[("samples", &grouped(edition.malware.total.samples))]));
    }
    match (&edition.fleet.is_known(), edition.fleet.now.raised) {
        (false, _) => {}
        (true, 0) => said.push(edition.text("monthly.headline-calm").to_owned()),
        (true, raised) => {
            let devices = grouped(edition.fleet.now.devices.len() as u64);
            let places = [("alarms", grouped(raised)), ("devices", devices)];
            let places: Vec<(&str, &str)> = places.iter().map(|(name, value)| (*name, value.as_str())).collect();
            said.push(edition.filled("monthly.headline-alarms", &places));
        }
    }
    said.join(between(edition))
}

/// What stands between two sentences.
fn between(edition: &Edition<'_>) -> &'static str {
    match edition.asker.language {
        Language::English => " ",
        Language::Japanese => "",
    }
}

fn numbers(edition: &Edition<'_>, counted: &Counted) -> Markup {
    let dash = || "–".to_owned();
    let a_day = |now: u64, before: u64| match edition.ratio(now, before) {
        Some(ratio) => edition.filled("monthly.a-day-than-before", &[("change", &per_cent(ratio))]),
        None if now == 0 => edition.text("monthly.none-before-either").to_owned(),
        None => edition.text("overview.none-before").to_owned(),
    };
    // How many different ones there are does not grow with the days, so a month that is not over is beside no other.
    let in_all = |now: u64, before: u64| match edition.is_over() {
        true => edition.filled("monthly.before-were", &[("count", &grouped(before)), ("now", &grouped(now))]),
        false => edition.text("monthly.goes-on").to_owned(),
    };
    let sources = match counted.sources {
        (Some(now), Some(before)) => (grouped(now), in_all(now, before)),
        (Some(now), None) => (grouped(now), String::new()),
        (None, _) => (dash(), edition.text("monthly.too-many").to_owned()),
    };
    let total = &edition.malware.total;
    let unknown = match total.asked {
        0 if total.samples == 0 => edition.text("monthly.no-samples").to_owned(),
        0 => edition.text("monthly.nobody-asked").to_owned(),
        asked => {
            let places = [("share", part_of(total.unknown_share())), ("count", grouped(asked))];
            let places: Vec<(&str, &str)> = places.iter().map(|(name, value)| (*name, value.as_str())).collect();
            edition.filled("monthly.unknown-share", &places)
        }
    };
    let fleet = &edition.fleet;
    let alarms = match (fleet.is_known(), fleet.before.as_ref().filter(|_| fleet.is_complete())) {
        (false, _) => (dash(), edition.text("monthly.not-kept").to_owned()),
        (true, Some(before)) => (grouped(fleet.now.raised), a_day(fleet.now.raised, before.raised)),
        (true, None) => (grouped(fleet.now.raised), fleet.since(edition)),
    };
    let devices = match fleet.is_known() {
        false => (dash(), edition.text("monthly.not-kept").to_owned()),
        true => {
            let still = grouped(fleet.active);
            (grouped(fleet.now.devices.len() as u64), edition.filled("monthly.still-in-alarm", &[("count", &still)]))
        }
    };
    let tile = |title: &str, (value, note): (String, String), class: &str| {
        html! {
            div class=(format!("card tile{class}")) { h2 { (title) } p.big { (value) } p.small.muted { (note) } }
        }
    };
    let intrusions = (grouped(counted.intrusions.0), a_day(counted.intrusions.0, counted.intrusions.1));
    let sensors = edition.filled("monthly.of-sensors", &[("count", &grouped(counted.sensors))]);
    let attacks = a_day(counted.attacks.0, counted.attacks.1) + between(edition) + &sensors;
    let left = edition.filled("monthly.files-left", &[("count", &grouped(counted.files))]);
    html! {
        div.tiles {
            (tile(edition.text("watch.attacks"), (grouped(counted.attacks.0), attacks), ""))
            (tile(edition.text("monthly.sources"), sources, ""))
            (tile(edition.text("overview.intrusions"), (intrusions.0, intrusions.1 + between(edition) + &left), ""))
            (tile(edition.text("monthly.new-samples"), (grouped(total.samples), unknown), ""))
            (tile(edition.text("monthly.alarms"), alarms, if fleet.now.raised > 0 { " alarm" } else { "" }))
            (tile(edition.text("monthly.devices"), devices, if fleet.active > 0 { " alarm" } else { "" }))
        }
    }
}
