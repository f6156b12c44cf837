//! Lists of the control plane: alarms, sensors, indicators.

use komainu_model::{Indicator, IndicatorSource, MetricValue, ProfileName, ReporterName, Timestamp};
use komainu_ports::{ActiveViolationQuery, IndicatorKind, Page, PageToken, SensorRollCall as _};
use serde_json::{Value, json};

use super::sheet::Sheet;
use super::{Asked, PAGE_ITEMS_DEFAULT, Refusal};
use crate::Api;

pub(super) fn alarms(api: &Api, asked: &Asked) -> Result<Sheet, Refusal> {
    let query = ActiveViolationQuery {
        reporter: asked.one("device").map(ReporterName::parse).transpose()?,
        profile: asked.one("profile").map(ProfileName::parse).transpose()?,
        criteria: None,
        include_suppressed: asked.one("suppressed") == Some("yes"),
        verification: None,
    };
    let page = api.store.active_violations(&asked.scope(api)?, &query, &page(asked))?;
    let mut sheet = Sheet::new(&[
        "id",
        "device",
        "profile",
        "behavior",
        "metric",
        "value",
        "since",
        "last",
        "verification",
        "description",
    ]);
    sheet.next = page.next.map(|PageToken(token)| token);
    for violation in page.items {
        sheet.rows.push(vec![
            json!(violation.id.to_string()),
            json!(violation.reporter.to_string()),
            json!(violation.profile.to_string()),
            json!(violation.behavior.name.to_string()),
            json!(violation.behavior.metric.as_str()),
            violation.last_value.as_ref().map_or(Value::Null, metric_value_json),
            time(violation.started_at),
            time(violation.last_at),
            json!(violation.verification.as_str()),
            json!(violation.verification_description),
        ]);
    }
    Ok(sheet)
}

pub(super) fn sensors(api: &Api, asked: &Asked) -> Result<Sheet, Refusal> {
    let mut sheet = Sheet::new(&[
        "name",
        "state",
        "last_seen",
        "version",
        "connections",
        "connections_total",
        "refused",
        "spool_bytes",
        "records",
        "batches_missing",
        "doors",
    ]);
    for sensor in api.sensors(&asked.scope(api)?) {
        let health = sensor.health.unwrap_or_default();
        let records = sensor.records;
        sheet.rows.push(vec![
            json!(sensor.name.to_string()),
            json!(if sensor.is_online { "online" } else { "silent" }),
            sensor.last_seen.map_or(Value::Null, time),
            json!(health.version),
            json!(health.connections),
            json!(health.connections_total),
            json!(health.refused),
            json!(health.spool_bytes),
            json!(records.as_ref().map_or(0, |records| records.lines)),
            json!(records.as_ref().map_or(0, |records| records.batches_missing)),
            json!(health.doors),
        ]);
    }
    Ok(sheet)
}

pub(super) fn indicators(api: &Api, asked: &Asked) -> Result<Sheet, Refusal> {
    let kind = match asked.one("state") {
        Some("all") => None,
        Some(word) => IndicatorKind::ALL.into_iter().find(|kind| kind.as_str() == word),
        None => Some(IndicatorKind::Active),
    };
    let page = api.indicators.indicators(kind, &page(asked))?;
    let mut sheet = Sheet::new(&[
        "id",
        "value",
        "threat",
        "confidence",
        "state",
        "source",
        "first_seen",
        "valid_from",
        "valid_until",
        "note",
        "samples",
    ]);
    sheet.next = page.next.map(|PageToken(token)| token);
    sheet.rows = page.items.iter().map(indicator).collect();
    Ok(sheet)
}

fn indicator(indicator: &Indicator) -> Vec<Value> {
    let source = match &indicator.source {
        IndicatorSource::Detonation(_) => "detonation".to_owned(),
        IndicatorSource::Operator => "operator".to_owned(),
        IndicatorSource::Feed(feed) => format!("feed {feed}"),
    };
    let samples = indicator.provenance.iter().filter_map(|from| Some(from.sample?.to_string()));
    vec![
        json!(indicator.id.to_string()),
        json!(indicator.value.to_string()),
        json!(indicator.threat.as_str()),
        json!(indicator.confidence.percent()),
        json!(IndicatorKind::of(&indicator.state).as_str()),
        json!(source),
        time(indicator.first_seen),
        time(indicator.valid_from),
        time(indicator.valid_until),
        json!(indicator.note),
        json!(samples.collect::<Vec<_>>()),
    ]
}

fn page(asked: &Asked) -> Page {
    let after = asked.one("after").map(|token| PageToken(token.to_owned()));
    Page { after, limit: asked.number("limit").unwrap_or(PAGE_ITEMS_DEFAULT) }
}

/// A value of a metric as other tools read it: a number, or a list of numbers or texts.
pub fn metric_value_json(value: &MetricValue) -> Value {
    match value {
        MetricValue::Count(count) => json!(count),
        MetricValue::Number(number) => json!(number),
        MetricValue::Numbers(numbers) => json!(numbers),
        MetricValue::Strings(strings) => json!(strings),
        MetricValue::Ports(ports) => json!(ports),
        MetricValue::Addresses(addresses) => json!(addresses.iter().map(ToString::to_string).collect::<Vec<_>>()),
        MetricValue::Matches(matches) => json!(matches.iter().map(ToString::to_string).collect::<Vec<_>>()),
    }
}

/// A point in time, as RFC 3339 has it.
pub(super) fn time(at: Timestamp) -> Value {
    let calendar = jiff::Timestamp::from_millisecond(at.unix_millis());
    calendar.map_or_else(|_| at.unix_millis().into(), |calendar| calendar.to_string().into())
}
