//! MQTT sessions in a database of their own: it is written far more often than the control plane's, and neither
//! should wait for the other.

use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use komainu_model::{AccountId, ClientId, InvalidName, Region, Scope, Timestamp};
use komainu_ports::{
    QualityOfService, SessionNumber, SessionOperation, SessionSnapshot, SessionState, SessionStore, SessionStoreError,
    StoredDelivery, StoredMessage, StoredSession, StoredSubscription, StoredWill,
};
use parking_lot::Mutex;
use rusqlite::{Connection, Row, Transaction, TransactionBehavior, params};

use super::open_connection;

/// Says in the file whose it is: `KMSE`.
const APPLICATION_ID: i32 = 0x4b4d_5345;

/// The version of the tables. A file of a later version is left alone.
const VERSION: i32 = 1;

/// Pages of the log before it is carried over to the database. Messages that were delivered by then never get there,
/// so a longer log means less to write; 8,192 pages are 32 MiB.
const LOG_PAGES: i32 = 8_192;

/// `delivery` holds each message once per session: most are for one session, and removing it then is one row.
const TABLES: &str = "
    CREATE TABLE session (
        number          INTEGER PRIMARY KEY,
        account         TEXT NOT NULL,
        region          TEXT NOT NULL,
        client          TEXT NOT NULL,
        expiry_s        INTEGER NOT NULL,
        disconnected_at INTEGER,
        sent_through    INTEGER NOT NULL DEFAULT 0,
        will_delay_s    INTEGER,
        will_qos        INTEGER,
        will_retain     INTEGER,
        will_expiry_s   INTEGER,
        topic           TEXT,
        payload         BLOB,
        message_qos     INTEGER,
        properties      BLOB,
        expires_at      INTEGER
    ) STRICT;
    CREATE TABLE subscription (
        session             INTEGER NOT NULL,
        filter              TEXT NOT NULL,
        qos                 INTEGER NOT NULL,
        no_local            INTEGER NOT NULL,
        retain_as_published INTEGER NOT NULL,
        identifier          INTEGER NOT NULL,
        PRIMARY KEY (session, filter)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE delivery (
        session     INTEGER NOT NULL,
        sequence    INTEGER NOT NULL,
        qos         INTEGER NOT NULL,
        retain      INTEGER NOT NULL,
        identifiers BLOB,
        shared      TEXT,
        topic       TEXT,
        payload     BLOB,
        message_qos INTEGER,
        properties  BLOB,
        expires_at  INTEGER,
        PRIMARY KEY (session, sequence)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE received (
        session   INTEGER NOT NULL,
        packet_id INTEGER NOT NULL,
        PRIMARY KEY (session, packet_id)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE retained (
        account     TEXT NOT NULL,
        region      TEXT NOT NULL,
        topic       TEXT NOT NULL,
        payload     BLOB NOT NULL,
        message_qos INTEGER NOT NULL,
        properties  BLOB NOT NULL,
        expires_at  INTEGER,
        PRIMARY KEY (account, region, topic)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE highest (number INTEGER NOT NULL) STRICT;
    INSERT INTO highest VALUES (0);
";

/// MQTT sessions and retained messages in one SQLite file.
#[derive(Debug)]
pub struct SqliteSessionStore(Mutex<Sessions>);

#[derive(Debug)]
struct Sessions {
    connection: Connection,
    /// The sessions that exist, so that what is written for one that ended needs no look into the database.
    numbers: HashSet<u64>,
}

impl SqliteSessionStore {
    /// Opens the sessions in `path`, and makes the file when it is not there.
    pub fn open(path: &Path) -> Result<Self, SessionStoreError> {
        let mut connection =
            open_connection(path).map_err(|error| SessionStoreError::Unavailable { reason: error.to_string() })?;
        connection.pragma_update(None, "wal_autocheckpoint", LOG_PAGES).map_err(failed)?;
        prepare_tables(&mut connection)?;
        let numbers = numbers(&connection).map_err(failed)?;
        Ok(Self(Mutex::new(Sessions { connection, numbers })))
    }
}

impl SessionStore for SqliteSessionStore {
    fn load(&self) -> Result<SessionSnapshot, SessionStoreError> {
        read_all(&mut self.0.lock().connection)
    }

    fn commit(&self, operations: &[SessionOperation]) -> Result<(), SessionStoreError> {
        if operations.is_empty() {
            return Ok(());
        }
        let Sessions { connection, numbers: known } = &mut *self.0.lock();
        let result = connection.transaction_with_behavior(TransactionBehavior::Immediate).and_then(|transaction| {
            operations.iter().try_for_each(|operation| apply(&transaction, known, operation))?;
            transaction.commit()
        });
        if result.is_err() {
            // The set may hold what was rolled back. If it cannot be read either, the next commit fails as well.
            *known = numbers(connection).map_err(failed)?;
        }
        result.map_err(failed)
    }
}

fn prepare_tables(connection: &mut Connection) -> Result<(), SessionStoreError> {
    let pragma = |name: &str| connection.pragma_query_value(None, name, |row| row.get::<_, i32>(0)).map_err(failed);
    let (application_id, version) = (pragma("application_id")?, pragma("user_version")?);
    match (application_id, version) {
        (APPLICATION_ID, VERSION) => Ok(()),
        (0, 0) => {
            let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(failed)?;
            transaction.execute_batch(TABLES).map_err(failed)?;
            transaction.pragma_update(None, "application_id", APPLICATION_ID).map_err(failed)?;
            transaction.pragma_update(None, "user_version", VERSION).map_err(failed)?;
            transaction.commit().map_err(failed)
        }
        (APPLICATION_ID, later) => Err(SessionStoreError::Unreadable {
            reason: format!("its tables have version {later}, this program knows version {VERSION}"),
        }),
        _ => Err(SessionStoreError::Unreadable { reason: "it is not a database of sessions".to_owned() }),
    }
}

fn numbers(connection: &Connection) -> rusqlite::Result<HashSet<u64>> {
    let mut statement = connection.prepare_cached("SELECT number FROM session")?;
    statement.query_map([], |row| row.get::<_, i64>(0).map(i64::cast_unsigned))?.collect()
}

fn failed(error: rusqlite::Error) -> SessionStoreError {
    match error.sqlite_error_code() {
        Some(rusqlite::ErrorCode::DatabaseCorrupt | rusqlite::ErrorCode::NotADatabase) => {
            SessionStoreError::Unreadable { reason: error.to_string() }
        }
        _ => SessionStoreError::Unavailable { reason: error.to_string() },
    }
}

fn apply(
    transaction: &Transaction<'_>,
    known: &mut HashSet<u64>,
    operation: &SessionOperation,
) -> rusqlite::Result<()> {
    let run = |sql: &str, values: &[&dyn rusqlite::ToSql]| transaction.prepare_cached(sql)?.execute(values).map(drop);
    match operation {
        SessionOperation::PutSession(head) => {
            known.insert(head.number.0);
            put_session(transaction, head)
        }
        SessionOperation::RemoveSession(number) => {
            if known.remove(&number.0) {
                let number = number.0.cast_signed();
                run("DELETE FROM session WHERE number = ?1", &[&number])?;
                run("DELETE FROM subscription WHERE session = ?1", &[&number])?;
                run("DELETE FROM delivery WHERE session = ?1", &[&number])?;
                run("DELETE FROM received WHERE session = ?1", &[&number])?;
            }
            Ok(())
        }
        SessionOperation::PutSubscription { session, subscription } if known.contains(&session.0) => run(
            "INSERT OR REPLACE INTO subscription VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            params![
                session.0.cast_signed(),
                subscription.filter,
                qos_number(subscription.qos),
                subscription.no_local,
                subscription.retain_as_published,
                subscription.identifier,
            ],
        ),
        SessionOperation::RemoveSubscription { session, filter } => {
            run("DELETE FROM subscription WHERE session = ?1 AND filter = ?2", params![session.0.cast_signed(), filter])
        }
        SessionOperation::Enqueue { session, delivery } if known.contains(&session.0) => {
            enqueue(transaction, *session, delivery)
        }
        SessionOperation::Release { session, sequence } => run(
            "UPDATE delivery SET topic = NULL, payload = NULL, message_qos = NULL, properties = NULL, expires_at = NULL
             WHERE session = ?1 AND sequence = ?2",
            params![session.0.cast_signed(), sequence.cast_signed()],
        ),
        SessionOperation::Complete { session, sequence } => run(
            "DELETE FROM delivery WHERE session = ?1 AND sequence = ?2",
            params![session.0.cast_signed(), sequence.cast_signed()],
        ),
        SessionOperation::SentThrough { session, sequence } => run(
            "UPDATE session SET sent_through = ?2 WHERE number = ?1",
            params![session.0.cast_signed(), sequence.cast_signed()],
        ),
        SessionOperation::Received { session, packet_id } if known.contains(&session.0) => {
            run("INSERT OR IGNORE INTO received VALUES (?1, ?2)", params![session.0.cast_signed(), packet_id])
        }
        SessionOperation::Released { session, packet_id } => run(
            "DELETE FROM received WHERE session = ?1 AND packet_id = ?2",
            params![session.0.cast_signed(), packet_id],
        ),
        SessionOperation::PutSubscription { .. }
        | SessionOperation::Enqueue { .. }
        | SessionOperation::Received { .. } => Ok(()),
        SessionOperation::Retain { scope, message } => run(
            "INSERT OR REPLACE INTO retained VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
            params![
                scope.account.as_str(),
                scope.region.as_str(),
                message.topic,
                &*message.payload,
                qos_number(message.qos),
                &*message.properties,
                message.expires_at.map(Timestamp::unix_millis),
            ],
        ),
        SessionOperation::Unretain { scope, topic } => run(
            "DELETE FROM retained WHERE account = ?1 AND region = ?2 AND topic = ?3",
            params![scope.account.as_str(), scope.region.as_str(), topic],
        ),
    }
}

fn put_session(transaction: &Transaction<'_>, head: &StoredSession) -> rusqlite::Result<()> {
    let number = head.number.0.cast_signed();
    let will = head.will.as_ref();
    let message = will.map(|will| &will.message);
    transaction
        .prepare_cached(
            "INSERT INTO session (number, account, region, client, expiry_s, disconnected_at, will_delay_s, will_qos,
                 will_retain, will_expiry_s, topic, payload, message_qos, properties, expires_at)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15)
             ON CONFLICT (number) DO UPDATE SET account = ?2, region = ?3, client = ?4, expiry_s = ?5,
                 disconnected_at = ?6, will_delay_s = ?7, will_qos = ?8, will_retain = ?9, will_expiry_s = ?10,
                 topic = ?11, payload = ?12, message_qos = ?13, properties = ?14, expires_at = ?15",
        )?
        .execute(params![
            number,
            head.scope.account.as_str(),
            head.scope.region.as_str(),
            head.client.as_str(),
            head.expiry_s,
            head.disconnected_at.map(Timestamp::unix_millis),
            will.map(|will| will.delay_s),
            will.map(|will| qos_number(will.qos)),
            will.map(|will| will.retain),
            will.and_then(|will| will.expiry_s),
            message.map(|message| &*message.topic),
            message.map(|message| &*message.payload),
            message.map(|message| qos_number(message.qos)),
            message.map(|message| &*message.properties),
            message.and_then(|message| message.expires_at).map(Timestamp::unix_millis),
        ])?;
    transaction.prepare_cached("UPDATE highest SET number = max(number, ?1)")?.execute([number])?;
    Ok(())
}

fn enqueue(transaction: &Transaction<'_>, session: SessionNumber, delivery: &StoredDelivery) -> rusqlite::Result<()> {
    let identifiers: Option<Vec<u8>> = (!delivery.subscription_identifiers.is_empty())
        .then(|| delivery.subscription_identifiers.iter().flat_map(|id| id.to_be_bytes()).collect());
    let message = delivery.message.as_ref();
    transaction
        .prepare_cached("INSERT OR REPLACE INTO delivery VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)")?
        .execute(params![
            session.0.cast_signed(),
            delivery.sequence.cast_signed(),
            qos_number(delivery.qos),
            delivery.retain,
            identifiers,
            delivery.shared,
            message.map(|message| &*message.topic),
            message.map(|message| &*message.payload),
            message.map(|message| qos_number(message.qos)),
            message.map(|message| &*message.properties),
            message.and_then(|message| message.expires_at).map(Timestamp::unix_millis),
        ])
        .map(drop)
}

/// Reads everything, at one point in time.
fn read_all(connection: &mut Connection) -> Result<SessionSnapshot, SessionStoreError> {
    let transaction = connection.transaction().map_err(failed)?;
    let number_max: i64 = transaction.query_row("SELECT number FROM highest", [], |row| row.get(0)).map_err(failed)?;
    let mut sessions = Vec::new();
    for (number, row) in read(&transaction, "SELECT * FROM session ORDER BY number", &[], |row| {
        Ok((row.get::<_, i64>("number")?, session(row)))
    })? {
        let of_session: &[&dyn rusqlite::ToSql] = &[&number];
        let session = row?;
        let sent_through: i64 = transaction
            .query_row("SELECT sent_through FROM session WHERE number = ?1", [number], |row| row.get(0))
            .map_err(failed)?;
        sessions.push(SessionState {
            session,
            subscriptions: read(
                &transaction,
                "SELECT * FROM subscription WHERE session = ?1 ORDER BY filter",
                of_session,
                subscription,
            )?,
            deliveries: read(
                &transaction,
                "SELECT * FROM delivery WHERE session = ?1 ORDER BY sequence",
                of_session,
                delivery,
            )?,
            sent_through: sent_through.cast_unsigned(),
            received: read(
                &transaction,
                "SELECT packet_id FROM received WHERE session = ?1 ORDER BY packet_id",
                of_session,
                |row| row.get(0),
            )?,
        });
    }
    let retained = read(&transaction, "SELECT * FROM retained ORDER BY account, region, topic", &[], |row| {
        let scope = scope(&row.get::<_, String>("account")?, &row.get::<_, String>("region")?);
        Ok(scope.map(|scope| Ok::<_, rusqlite::Error>((scope, message(row)?))))
    })?;
    let retained = retained.into_iter().map(|row| row?.map_err(failed)).collect::<Result<_, _>>()?;
    Ok(SessionSnapshot { sessions, retained, number_max: number_max.cast_unsigned() })
}

fn read<T>(
    transaction: &Transaction<'_>,
    sql: &str,
    values: &[&dyn rusqlite::ToSql],
    from_row: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
) -> Result<Vec<T>, SessionStoreError> {
    let mut statement = transaction.prepare_cached(sql).map_err(failed)?;
    let rows = statement.query_map(values, from_row).map_err(failed)?;
    rows.collect::<Result<_, _>>().map_err(failed)
}

fn session(row: &Row<'_>) -> Result<StoredSession, SessionStoreError> {
    let read = || -> rusqlite::Result<_> {
        let will = match row.get::<_, Option<u32>>("will_delay_s")? {
            None => None,
            Some(delay_s) => Some(StoredWill {
                delay_s,
                qos: qos(row, "will_qos")?,
                retain: row.get("will_retain")?,
                message: message(row)?,
                expiry_s: row.get("will_expiry_s")?,
            }),
        };
        let names: [String; 3] = [row.get("account")?, row.get("region")?, row.get("client")?];
        let head = (row.get::<_, i64>("number")?, row.get::<_, u32>("expiry_s")?, timestamp(row, "disconnected_at")?);
        Ok((will, names, head))
    };
    let (will, [account, region, client], (number, expiry_s, disconnected_at)) = read().map_err(failed)?;
    Ok(StoredSession {
        number: SessionNumber(number.cast_unsigned()),
        scope: scope(&account, &region)?,
        client: ClientId::parse(&client).map_err(unreadable)?,
        expiry_s,
        disconnected_at,
        will,
    })
}

fn subscription(row: &Row<'_>) -> rusqlite::Result<StoredSubscription> {
    Ok(StoredSubscription {
        filter: row.get::<_, String>("filter")?.into(),
        qos: qos(row, "qos")?,
        no_local: row.get("no_local")?,
        retain_as_published: row.get("retain_as_published")?,
        identifier: row.get("identifier")?,
    })
}

fn delivery(row: &Row<'_>) -> rusqlite::Result<StoredDelivery> {
    let identifiers: Option<Vec<u8>> = row.get("identifiers")?;
    let has_message = row.get::<_, Option<u8>>("message_qos")?.is_some();
    Ok(StoredDelivery {
        sequence: row.get::<_, i64>("sequence")?.cast_unsigned(),
        qos: qos(row, "qos")?,
        retain: row.get("retain")?,
        subscription_identifiers: identifiers
            .unwrap_or_default()
            .as_chunks()
            .0
            .iter()
            .map(|id| u32::from_be_bytes(*id))
            .collect(),
        shared: row.get::<_, Option<String>>("shared")?.map(Into::into),
        message: if has_message { Some(message(row)?) } else { None },
    })
}

fn message(row: &Row<'_>) -> rusqlite::Result<Arc<StoredMessage>> {
    Ok(Arc::new(StoredMessage {
        topic: row.get::<_, String>("topic")?.into(),
        payload: Bytes::from(row.get::<_, Vec<u8>>("payload")?),
        qos: qos(row, "message_qos")?,
        properties: Bytes::from(row.get::<_, Vec<u8>>("properties")?),
        expires_at: timestamp(row, "expires_at")?,
    }))
}

fn timestamp(row: &Row<'_>, column: &str) -> rusqlite::Result<Option<Timestamp>> {
    Ok(row.get::<_, Option<i64>>(column)?.map(Timestamp::from_unix_millis))
}

fn scope(account: &str, region: &str) -> Result<Scope, SessionStoreError> {
    Ok(Scope {
        account: AccountId::parse(account).map_err(unreadable)?,
        region: Region::parse(region).map_err(unreadable)?,
    })
}

fn unreadable(error: InvalidName) -> SessionStoreError {
    SessionStoreError::Unreadable { reason: error.to_string() }
}

const fn qos_number(qos: QualityOfService) -> u8 {
    match qos {
        QualityOfService::AtMostOnce => 0,
        QualityOfService::AtLeastOnce => 1,
        QualityOfService::ExactlyOnce => 2,
    }
}

fn qos(row: &Row<'_>, column: &str) -> rusqlite::Result<QualityOfService> {
    Ok(match row.get::<_, u8>(column)? {
        0 => QualityOfService::AtMostOnce,
        1 => QualityOfService::AtLeastOnce,
        // Only this module writes the column.
        _ => QualityOfService::ExactlyOnce,
    })
}

#[cfg(test)]
mod tests {
    use komainu_ports::conformance_session::session_store;

    use super::*;

    #[test]
    fn sqlite_session_store_conforms() {
        let folder = tempfile::tempdir().unwrap();
        session_store(&|name| Arc::new(SqliteSessionStore::open(&folder.path().join(name)).unwrap()));
    }

    #[test]
    fn other_databases_are_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let check = |name: &str, pragmas: &str| {
            let path = folder.path().join(name);
            Connection::open(&path).unwrap().execute_batch(pragmas).unwrap();
            let error = SqliteSessionStore::open(&path).unwrap_err();
            assert!(matches!(error, SessionStoreError::Unreadable { .. }), "{error}");
        };
        check("later", &format!("PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = 2"));
        check("foreign", "PRAGMA application_id = 7; PRAGMA user_version = 1");
        let garbage = folder.path().join("garbage");
        std::fs::write(&garbage, [0x5a; 8192]).unwrap();
        assert!(SqliteSessionStore::open(&garbage).is_err());
    }

    #[test]
    fn a_commit_that_fails_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("sessions.db");
        let store = SqliteSessionStore::open(&path).unwrap();
        let head = StoredSession {
            number: SessionNumber(1),
            scope: scope("123456789012", "us-east-1").unwrap(),
            client: ClientId::parse("c").unwrap(),
            expiry_s: 1,
            disconnected_at: None,
            will: None,
        };
        store.0.lock().connection.execute_batch("DROP TABLE received").unwrap();
        let received = SessionOperation::Received { session: SessionNumber(1), packet_id: 1 };
        assert!(store.commit(&[SessionOperation::PutSession(head), received]).is_err());
        let lock = store.0.lock();
        assert!(lock.numbers.is_empty());
        let rows: i64 = lock.connection.query_row("SELECT count(*) FROM session", [], |row| row.get(0)).unwrap();
        assert_eq!(rows, 0);
    }
}
