//! The [`IndicatorStore`] in SQLite: reading, and removing what is old. How it is changed is in `batch`.

use komainu_model::{
    Contact, Indicator, IndicatorId, IndicatorValue, RefusedCandidate, Remote, ReporterName, Scope, Sighting,
    Timestamp, Transport,
};
use komainu_ports::{IndicatorKind, IndicatorStore, Page, PageToken, Paged, SightingQuery, StoreError};
use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension, Row, params, params_from_iter};

use super::failed;
use super::store::{SqliteStore, blob, scope_of, text};
use crate::records::{
    Damage, decode_indicator, decode_indicator_key, decode_refused, decode_remote, decode_way, read_id, reversed,
};

/// So many devices are looked through in one transaction that removes old contacts.
const PRUNED_DEVICES: i64 = 256;

impl IndicatorStore for SqliteStore {
    fn visit_active(&self, visit: &mut dyn FnMut(IndicatorId, IndicatorValue)) -> Result<(), StoreError> {
        let doing = "loading indicators";
        self.read(|connection| {
            let mut statement = connection
                .prepare_cached("SELECT id, value FROM indicator WHERE state = 'active'")
                .map_err(failed(doing))?;
            let mut rows = statement.query([]).map_err(failed(doing))?;
            while let Some(row) = rows.next().map_err(failed(doing))? {
                let (id, value) = (blob(row, 0).map_err(failed(doing))?, text(row, 1).map_err(failed(doing))?);
                let (id, value) = decode_indicator_key(id, value)?;
                visit(id, value);
            }
            Ok(())
        })
    }

    fn indicator(&self, id: IndicatorId) -> Result<Option<Indicator>, StoreError> {
        let doing = "looking for an indicator";
        self.read(|connection| {
            let found = connection
                .prepare_cached("SELECT id, value, body FROM indicator WHERE id = ?1")
                .and_then(|mut statement| statement.query_row([id.bytes()], |row| Ok(indicator(row))).optional());
            found.map_err(failed(doing))?.transpose()
        })
    }

    fn indicators(&self, kind: Option<IndicatorKind>, page: &Page) -> Result<Paged<Indicator>, StoreError> {
        let after = page.after.as_ref().map(read_id_token).transpose()?;
        let mut query = String::from("SELECT id, value, body FROM indicator WHERE 1 = 1");
        let mut parameters = Vec::new();
        if let Some(kind) = kind {
            query.push_str(" AND state = ?");
            parameters.push(Value::Text(kind.as_str().to_owned()));
        }
        if let Some(after) = after {
            query.push_str(" AND id > ?");
            parameters.push(Value::Blob(after.bytes().to_vec()));
        }
        query.push_str(" ORDER BY id LIMIT ?");
        self.read(|connection| {
            page_of(connection, "listing indicators", &query, parameters, page.limit, |row| {
                let found = indicator(row)?;
                let token = format!("i.{}", found.id);
                Ok((found, token))
            })
        })
    }

    fn indicators_over(&self, now: Timestamp, limit: usize) -> Result<Vec<Indicator>, StoreError> {
        let query = "SELECT id, value, body FROM indicator WHERE state = 'active' AND valid_until <= ?1 \
                     ORDER BY valid_until, id LIMIT ?2";
        self.some_indicators("listing old indicators", query, &[Value::Integer(now.unix_millis()), limit_of(limit)])
    }

    fn next_over(&self) -> Result<Option<Timestamp>, StoreError> {
        self.read(|connection| {
            let next = connection
                .prepare_cached("SELECT min(valid_until) FROM indicator WHERE state = 'active'")
                .and_then(|mut statement| statement.query_row([], |row| row.get::<_, Option<i64>>(0)));
            Ok(next.map_err(failed("asking for the next old indicator"))?.map(Timestamp::from_unix_millis))
        })
    }

    fn indicators_to_look_back(&self, limit: usize) -> Result<Vec<Indicator>, StoreError> {
        let query =
            "SELECT id, value, body FROM indicator WHERE look_back = 1 AND state = 'active' ORDER BY id LIMIT ?1";
        self.some_indicators("listing new indicators", query, &[limit_of(limit)])
    }

    fn refused(&self, page: &Page) -> Result<Paged<RefusedCandidate>, StoreError> {
        let mut query = String::from("SELECT id, at, body FROM refused_candidate");
        let mut parameters = Vec::new();
        if let Some(token) = &page.after {
            let (at, id) = read_refused_token(token)?;
            query.push_str(" WHERE (at, id) < (?, ?)");
            parameters.extend([Value::Integer(at), Value::Blob(id.bytes().to_vec())]);
        }
        query.push_str(" ORDER BY at DESC, id DESC LIMIT ?");
        self.read(|connection| {
            let doing = "listing refused candidates";
            page_of(connection, doing, &query, parameters, page.limit, |row| {
                let at: i64 = row.get(1).map_err(failed(doing))?;
                let (id, body) = (blob(row, 0).map_err(failed(doing))?, text(row, 2).map_err(failed(doing))?);
                let refused = decode_refused(id, Timestamp::from_unix_millis(at), body)?;
                let token = format!("r.{at}.{}", refused.id);
                Ok((refused, token))
            })
        })
    }

    fn refused_count(&self) -> Result<u64, StoreError> {
        self.read(|connection| {
            let count = connection
                .query_row("SELECT count(*) FROM refused_candidate", [], |row| row.get::<_, i64>(0))
                .map_err(failed("counting refused candidates"))?;
            Ok(u64::try_from(count).unwrap_or(0))
        })
    }

    fn sightings(&self, query: &SightingQuery, page: &Page) -> Result<Paged<(Scope, Sighting)>, StoreError> {
        let mut text_of_query = String::from(
            "SELECT account, region, reporter, indicator, remote, way, first_at, last_at, count FROM sighting WHERE 1 = 1",
        );
        let mut parameters = Vec::new();
        if let Some(id) = query.indicator {
            text_of_query.push_str(" AND indicator = ?");
            parameters.push(Value::Blob(id.bytes().to_vec()));
        }
        if let Some((scope, reporter)) = &query.reporter {
            text_of_query.push_str(" AND account = ? AND region = ? AND reporter = ?");
            let key = [scope.account.as_str(), scope.region.as_str(), reporter.as_str()];
            parameters.extend(key.map(|part| Value::Text(part.to_owned())));
        }
        if let Some(token) = &page.after {
            let SightingToken { at, indicator, account, region, reporter } = SightingToken::read(token)?;
            // The time falls, the rest rises.
            text_of_query.push_str(
                " AND (last_at < ? OR (last_at = ? AND (account, region, reporter, indicator) > (?, ?, ?, ?)))",
            );
            parameters.extend([Value::Integer(at), Value::Integer(at)]);
            parameters.extend([account, region, reporter].map(Value::Text));
            parameters.push(Value::Blob(indicator.bytes().to_vec()));
        }
        text_of_query.push_str(" ORDER BY last_at DESC, account, region, reporter, indicator LIMIT ?");
        self.read(|connection| {
            page_of(connection, "listing sightings", &text_of_query, parameters, page.limit, |row| {
                let (scope, sighting) = sighting(row)?;
                let token = SightingToken::write(&scope, &sighting);
                Ok(((scope, sighting), token))
            })
        })
    }

    fn contacts(
        &self,
        value: &IndicatorValue,
        since: Timestamp,
        page: &Page,
    ) -> Result<Paged<(Scope, Contact)>, StoreError> {
        let mut query = String::from(
            "SELECT account, region, reporter, remote, port, first_at, last_at, count, device FROM contact \
             JOIN device ON device.id = contact.device WHERE ",
        );
        let after = page.after.as_ref().map(ContactToken::read).transpose()?;
        let mut parameters = Vec::new();
        match value {
            // Devices report TCP connections.
            IndicatorValue::Address { transport: Some(Transport::Udp), .. } => {
                return Ok(Paged { items: Vec::new(), next: None });
            }
            IndicatorValue::Address { address, port, .. } => {
                query.push_str("remote = ?");
                parameters.push(Value::Text(address.to_string()));
                if let Some(port) = port {
                    query.push_str(" AND port = ?");
                    parameters.push(Value::Integer(i64::from(*port)));
                }
            }
            IndicatorValue::Name(name) => {
                // `.` and what follows it, up to the character behind `.`.
                query.push_str("(remote = ? OR (remote >= ? AND remote < ?))");
                let name = reversed(name.as_str());
                parameters.extend([name.clone(), format!("{name}."), format!("{name}/")].map(Value::Text));
            }
        }
        query.push_str(" AND last_at >= ?");
        parameters.push(Value::Integer(since.unix_millis()));
        if let Some(ContactToken { remote, port, device }) = after {
            query.push_str(" AND (remote, port, device) > (?, ?, ?)");
            parameters.extend([Value::Text(remote), Value::Integer(port), Value::Integer(device)]);
        }
        query.push_str(" ORDER BY remote, port, device LIMIT ?");
        self.read(|connection| {
            let doing = "looking for contacts";
            page_of(connection, doing, &query, parameters, page.limit, |row| {
                let column = |index| text(row, index).map_err(failed(doing));
                let number = |index| row.get::<_, i64>(index).map_err(failed(doing));
                let port = row.get::<_, u16>(4).map_err(failed(doing))?;
                let contact = Contact {
                    reporter: ReporterName::parse(column(2)?).map_err(|invalid| Damage::from(invalid).of("contact"))?,
                    remote: decode_remote(column(3)?, port)?,
                    first_at: Timestamp::from_unix_millis(number(5)?),
                    last_at: Timestamp::from_unix_millis(number(6)?),
                    count: u64::try_from(number(7)?).unwrap_or(0),
                };
                let token = format!("c.{port}.{}.{}", number(8)?, column(3)?);
                Ok(((scope_of(column(0)?, column(1)?)?, contact), token))
            })
        })
    }
}

impl SqliteStore {
    fn some_indicators(
        &self,
        doing: &'static str,
        query: &str,
        parameters: &[Value],
    ) -> Result<Vec<Indicator>, StoreError> {
        self.read(|connection| {
            let mut statement = connection.prepare_cached(query).map_err(failed(doing))?;
            let mut rows = statement.query(params_from_iter(parameters)).map_err(failed(doing))?;
            let mut found = Vec::new();
            while let Some(row) = rows.next().map_err(failed(doing))? {
                found.push(indicator(row)?);
            }
            Ok(found)
        })
    }

    /// Removes contacts older than `before`, a part of the devices at a time, and the devices of which none is left: whoever
    /// makes names up must not fill the disk. Says how many contacts it was.
    pub(super) fn prune_contacts(&self, before: Timestamp) -> Result<u64, StoreError> {
        let mut removed = 0;
        let mut after = i64::MIN;
        loop {
            let part = self.writer.lock().transaction(|transaction, ids| {
                let mut statement =
                    transaction.prepare_cached("SELECT id FROM device WHERE id > ?1 ORDER BY id LIMIT ?2")?;
                let devices = statement.query_map([after, PRUNED_DEVICES], |row| row.get::<_, i64>(0))?;
                let devices = devices.collect::<rusqlite::Result<Vec<i64>>>()?;
                let mut removed = 0;
                for device in &devices {
                    let of_device = transaction
                        .prepare_cached("DELETE FROM contact WHERE device = ?1 AND last_at < ?2")?
                        .execute(params![device, before.unix_millis()])?;
                    if of_device > 0 {
                        transaction
                            .prepare_cached(
                                "UPDATE device SET contacts = (SELECT count(*) FROM contact WHERE device = ?1) \
                                 WHERE id = ?1",
                            )?
                            .execute([device])?;
                        transaction
                            .prepare_cached("DELETE FROM device WHERE id = ?1 AND contacts = 0")?
                            .execute([device])?;
                    }
                    removed += of_device as u64;
                }
                if removed > 0 {
                    // Their numbers may be given to others, and the counts are other ones.
                    ids.forget_devices();
                }
                Ok((devices.last().copied(), removed))
            });
            let (last, part) = part.map_err(failed("removing old history"))?;
            removed += part;
            match last {
                Some(last) => after = last,
                None => return Ok(removed),
            }
        }
    }
}

fn indicator(row: &Row<'_>) -> Result<Indicator, StoreError> {
    let doing = "reading an indicator";
    let column = |index| text(row, index).map_err(failed(doing));
    decode_indicator(blob(row, 0).map_err(failed(doing))?, column(1)?, column(2)?)
}

fn sighting(row: &Row<'_>) -> Result<(Scope, Sighting), StoreError> {
    let doing = "listing sightings";
    let column = |index| text(row, index).map_err(failed(doing));
    let number = |index| row.get::<_, i64>(index).map_err(failed(doing));
    let damaged = |damage: Damage| damage.of("sighting");
    let sighting = Sighting {
        reporter: ReporterName::parse(column(2)?).map_err(|invalid| damaged(invalid.into()))?,
        indicator: read_id(blob(row, 3).map_err(failed(doing))?).map_err(damaged)?,
        remote: Remote::parse(column(4)?).map_err(|invalid| damaged(invalid.into()))?,
        way: decode_way(column(5)?).map_err(damaged)?,
        first_at: Timestamp::from_unix_millis(number(6)?),
        last_at: Timestamp::from_unix_millis(number(7)?),
        count: u64::try_from(number(8)?).unwrap_or(0),
    };
    Ok((scope_of(column(0)?, column(1)?)?, sighting))
}

/// Runs a query whose last parameter is its limit, and shows each row to `item`, which says what the row is and where a page
/// ends that ends with it.
fn page_of<T>(
    connection: &Connection,
    doing: &'static str,
    query: &str,
    mut parameters: Vec<Value>,
    limit: usize,
    item: impl Fn(&Row<'_>) -> Result<(T, String), StoreError>,
) -> Result<Paged<T>, StoreError> {
    let limit = limit.max(1);
    // One more than is shown says whether there is more.
    parameters.push(limit_of(limit.saturating_add(1)));
    let mut statement = connection.prepare_cached(query).map_err(failed(doing))?;
    let mut rows = statement.query(params_from_iter(parameters)).map_err(failed(doing))?;
    let (mut items, mut last) = (Vec::new(), None);
    while let Some(row) = rows.next().map_err(failed(doing))? {
        if items.len() == limit {
            return Ok(Paged { items, next: last.map(PageToken) });
        }
        let (shown, token) = item(row)?;
        items.push(shown);
        last = Some(token);
    }
    Ok(Paged { items, next: None })
}

fn limit_of(limit: usize) -> Value {
    Value::Integer(i64::try_from(limit).unwrap_or(i64::MAX))
}

/// The last contact of a page.
struct ContactToken {
    remote: String,
    port: i64,
    device: i64,
}

impl ContactToken {
    fn read(token: &PageToken) -> Result<Self, StoreError> {
        let rest = token.0.strip_prefix("c.").ok_or(StoreError::BadPageToken)?;
        let mut parts = rest.splitn(3, '.');
        let mut part = || parts.next().ok_or(StoreError::BadPageToken);
        let number = |text: &str| text.parse().map_err(|_| StoreError::BadPageToken);
        Ok(Self { port: number(part()?)?, device: number(part()?)?, remote: part()?.to_owned() })
    }
}

/// The last sighting of a page.
struct SightingToken {
    at: i64,
    indicator: IndicatorId,
    account: String,
    region: String,
    reporter: String,
}

impl SightingToken {
    fn write(scope: &Scope, sighting: &Sighting) -> String {
        let Sighting { last_at, indicator, reporter, .. } = sighting;
        // Only the last part can hold a dot.
        format!("s.{}.{indicator}.{}.{}.{reporter}", last_at.unix_millis(), scope.account, scope.region)
    }

    fn read(token: &PageToken) -> Result<Self, StoreError> {
        let rest = token.0.strip_prefix("s.").ok_or(StoreError::BadPageToken)?;
        let mut parts = rest.splitn(5, '.');
        let mut part = || parts.next().ok_or(StoreError::BadPageToken);
        Ok(Self {
            at: part()?.parse().map_err(|_| StoreError::BadPageToken)?,
            indicator: IndicatorId::parse(part()?).map_err(|_| StoreError::BadPageToken)?,
            account: part()?.to_owned(),
            region: part()?.to_owned(),
            reporter: part()?.to_owned(),
        })
    }
}

fn read_id_token(token: &PageToken) -> Result<IndicatorId, StoreError> {
    let id = token.0.strip_prefix("i.").ok_or(StoreError::BadPageToken)?;
    IndicatorId::parse(id).map_err(|_| StoreError::BadPageToken)
}

fn read_refused_token(token: &PageToken) -> Result<(i64, IndicatorId), StoreError> {
    let rest = token.0.strip_prefix("r.").and_then(|rest| rest.split_once('.'));
    let (at, id) = rest.ok_or(StoreError::BadPageToken)?;
    let at = at.parse().map_err(|_| StoreError::BadPageToken)?;
    Ok((at, IndicatorId::parse(id).map_err(|_| StoreError::BadPageToken)?))
}
