//! Questions to the lake.

use komainu_model::Timestamp;
use komainu_ports::{
    Lake, LakeColumn, LakeFilter, LakeListing, LakeOrder, LakeQuestion, LakeTable, LakeValue, TimeBucket, TimeRange,
    When,
};
use serde_json::Value;

use super::answers::time;
use super::sheet::Sheet;
use super::{Asked, Refusal};
use crate::Api;

pub(super) fn attacks(api: &Api, asked: &Asked) -> Result<Sheet, Refusal> {
    answer(api, asked, LakeTable::Attacks)
}

pub(super) fn observables(api: &Api, asked: &Asked) -> Result<Sheet, Refusal> {
    answer(api, asked, LakeTable::Observables)
}

fn answer(api: &Api, asked: &Asked, table: LakeTable) -> Result<Sheet, Refusal> {
    Wanted::read(asked, table, api.clock.now())?.answer(&*api.lake)
}

/// What somebody wants of the lake, within its bounds.
pub(super) enum Wanted {
    /// Rows.
    List(LakeListing),
    /// Counts.
    Count(LakeQuestion),
}

impl Wanted {
    pub(super) fn read(asked: &Asked, table: LakeTable, now: Timestamp) -> Result<Self, Refusal> {
        let when = |name: &str| asked.one(name).map(str::parse::<When>).transpose();
        let range = TimeRange {
            from: when("since")?.map_or(TimeRange::ALL.from, |since| since.at(now)),
            to: when("until")?.map_or(TimeRange::ALL.to, |until| until.at(now)),
        };
        let filters = asked.all("where").map(|test| LakeFilter::parse(table, test)).collect::<Result<Vec<_>, _>>()?;
        match asked.number("list") {
            Some(limit) => {
                if let Some(other) =
                    ["by", "every", "distinct", "top"].into_iter().find(|name| asked.one(name).is_some())
                {
                    return Err(Refusal::Malformed(format!("{other}: rows are listed or counted, not both")));
                }
                let listing = LakeListing { table, range, filters, order: LakeOrder::Newest, limit };
                listing.check()?;
                Ok(Self::List(listing))
            }
            None => {
                let column = |name: &str| table.named_column(name.trim());
                let by = asked.one("by").filter(|names| !names.is_empty());
                let question = LakeQuestion {
                    table,
                    range,
                    filters,
                    bucket: asked.one("every").and_then(bucket),
                    group_by: by
                        .into_iter()
                        .flat_map(|names| names.split(','))
                        .map(column)
                        .collect::<Result<_, _>>()?,
                    distinct: asked.one("distinct").map(column).transpose()?,
                    top: asked.number("top"),
                };
                question.check()?;
                Ok(Self::Count(question))
            }
        }
    }

    pub(super) fn answer(&self, lake: &dyn Lake) -> Result<Sheet, Refusal> {
        match self {
            Self::List(listing) => listed(lake, listing),
            Self::Count(question) => counted(lake, question),
        }
    }
}

fn bucket(word: &str) -> Option<TimeBucket> {
    TimeBucket::ALL.into_iter().find(|bucket| bucket.as_str() == word)
}

fn listed(lake: &dyn Lake, listing: &LakeListing) -> Result<Sheet, Refusal> {
    let rows = lake.list(listing)?;
    let names: Vec<_> = listing.table.columns().iter().map(|column: &LakeColumn| column.name).collect();
    let mut sheet = Sheet::new(&names);
    sheet.rows =
        (0..rows.len()).map(|row| (0..names.len()).map(|column| json(rows.value(row, column))).collect()).collect();
    Ok(sheet)
}

fn counted(lake: &dyn Lake, question: &LakeQuestion) -> Result<Sheet, Refusal> {
    let answer = lake.count(question)?;
    let columns = question.table.columns();
    let mut sheet = Sheet::new(&[]);
    sheet.columns.extend(question.bucket.map(|_| "time".to_owned()));
    sheet.columns.extend(question.group_by.iter().map(|column| columns[*column].name.to_owned()));
    sheet.columns.push("count".to_owned());
    sheet.columns.extend(question.distinct.map(|column| format!("distinct_{}", columns[column].name)));
    sheet.counted = Some(answer.rows);
    for group in answer.groups() {
        let mut row: Vec<Value> = group.bucket.map(time).into_iter().collect();
        row.extend(group.values.into_iter().map(json));
        row.push(group.count.into());
        row.extend(question.distinct.map(|_| Value::from(group.distinct)));
        sheet.rows.push(row);
    }
    if question.bucket.is_none() && question.group_by.is_empty() && sheet.rows.is_empty() {
        sheet.rows.push([Value::from(0)].into_iter().chain(question.distinct.map(|_| Value::from(0))).collect());
    }
    Ok(sheet)
}

fn json(value: LakeValue) -> Value {
    match value {
        LakeValue::Time(at) => time(at),
        LakeValue::Text(text) => text.as_ref().into(),
        LakeValue::Number(number) => number.into(),
        // What is no number has none in JSON.
        LakeValue::Float(number) => number.into(),
    }
}
