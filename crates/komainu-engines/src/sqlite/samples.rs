//! The laboratory's samples in a database of their own: reports are large, and neither the control plane's state nor
//! the sessions of devices should wait for them.

use std::path::Path;

use komainu_model::{Confidentiality, SampleDigest, SensorName, SessionId, Timestamp};
use komainu_ports::{
    AttemptEnd, ElsewhereAnswer, KnownElsewhere, NewSample, SampleBrief, SampleCounts, SampleDigests, SampleDocument,
    SampleEssentials, SampleLease, SampleLimits, SampleMention, SampleOrigin, SamplePriority, SampleState,
    SampleStateKind, SampleStore, SampleSubmitted, SamplesError, StoreError, StoredSample, TimeRange,
};
use parking_lot::Mutex;
use rusqlite::{Connection, OptionalExtension, Row, Transaction, TransactionBehavior, params};
use serde::{Deserialize, Serialize};

use super::{Tables, open_connection, prepare_tables};

/// Says in the file whose it is: `KMLA`.
const APPLICATION_ID: i32 = 0x4b4d_4c41;

/// States as the column `state` has them. The first two are those that somebody may still be given.
const WAITING: i64 = 0;
const WORKING: i64 = 1;
const DONE: i64 = 2;
const FAILED: i64 = 3;

/// `due_at` is when a sample may be handed out, or when it went into the state that it stays in. `elsewhere` is a list of JSON
/// with a bound of its own, always read whole. Origins may be there before their sample is: records come on another way.
const VERSION_1: &str = "
    CREATE TABLE sample (
        sha256       BLOB PRIMARY KEY NOT NULL,
        sha1         BLOB NOT NULL,
        md5          BLOB NOT NULL,
        bytes        INTEGER NOT NULL,
        confidential INTEGER NOT NULL,
        priority     INTEGER NOT NULL,
        first_at     INTEGER NOT NULL,
        last_at      INTEGER NOT NULL,
        times        INTEGER NOT NULL,
        elsewhere    TEXT NOT NULL,
        state        INTEGER NOT NULL,
        due_at       INTEGER NOT NULL,
        attempts     INTEGER NOT NULL,
        step         TEXT NOT NULL,
        percent      INTEGER NOT NULL,
        problem      TEXT NOT NULL,
        verdict      TEXT NOT NULL,
        family       TEXT NOT NULL,
        processor    TEXT NOT NULL,
        iot          INTEGER,
        sentence     TEXT NOT NULL
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX sample_next ON sample (priority DESC, first_at, sha256, due_at) WHERE state < 2;
    CREATE INDEX sample_sha1 ON sample (sha1);
    CREATE INDEX sample_md5 ON sample (md5);
    CREATE INDEX sample_first ON sample (first_at, sha256);
    CREATE INDEX sample_state ON sample (state);
    CREATE TABLE origin (
        number INTEGER PRIMARY KEY,
        sha256 BLOB NOT NULL,
        body   TEXT NOT NULL,
        UNIQUE (sha256, body)
    ) STRICT;
    CREATE TABLE document (
        sha256 BLOB NOT NULL,
        kind   TEXT NOT NULL,
        body   TEXT NOT NULL,
        PRIMARY KEY (sha256, kind)
    ) STRICT;
";

/// [`SampleStore`] in one SQLite file.
#[derive(Debug)]
pub struct SqliteSampleStore {
    limits: SampleLimits,
    connection: Mutex<Connection>,
}

impl SqliteSampleStore {
    /// Opens the samples in `path`, and makes the file when it is not there.
    pub fn open(path: &Path, limits: SampleLimits) -> Result<Self, StoreError> {
        let mut connection = open_connection(path)?;
        prepare_tables(
            &mut connection,
            &Tables {
                application_id: APPLICATION_ID,
                steps: &[VERSION_1],
                database: "database of the laboratory",
                doing: "preparing the laboratory's database",
            },
        )?;
        Ok(Self { limits, connection: Mutex::new(connection) })
    }

    /// Runs `change` in a transaction of its own.
    fn changed<T>(
        &self,
        doing: &'static str,
        change: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<T>,
    ) -> Result<T, SamplesError> {
        let connection = &mut *self.connection.lock();
        let changed = || {
            let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let result = change(&transaction)?;
            transaction.commit()?;
            Ok(result)
        };
        changed().map_err(unavailable(doing))
    }

    fn read<T>(
        &self,
        doing: &'static str,
        read: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> Result<T, SamplesError> {
        read(&self.connection.lock()).map_err(unavailable(doing))
    }
}

fn unavailable(doing: &'static str) -> impl Fn(rusqlite::Error) -> SamplesError {
    move |error| SamplesError::Unavailable { doing, source: error.into() }
}

impl SampleStore for SqliteSampleStore {
    fn submit(&self, new: &NewSample, now: Timestamp) -> Result<SampleSubmitted, SamplesError> {
        self.changed("taking a sample in", |transaction| {
            let sha256 = new.digests.sha256.sha256();
            let changed = transaction
                .prepare_cached(
                    "UPDATE sample SET last_at = max(last_at, ?2), times = times + 1,
                         confidential = min(confidential, ?3),
                         priority = CASE state WHEN 0 THEN max(priority, ?4) ELSE priority END
                     WHERE sha256 = ?1",
                )?
                .execute(params![
                    sha256,
                    now.unix_millis(),
                    is_confidential(new.confidentiality),
                    priority_number(new.priority),
                ])?;
            if changed == 1 {
                add_origin(transaction, &self.limits, sha256, &new.origin)?;
                return Ok(SampleSubmitted::Known);
            }
            let waiting: i64 = transaction
                .prepare_cached("SELECT count(*) FROM sample WHERE state = 0")?
                .query_row([], |row| row.get(0))?;
            if waiting.cast_unsigned() >= self.limits.waiting_max {
                return Ok(SampleSubmitted::Full);
            }
            transaction
                .prepare_cached(
                    "INSERT INTO sample VALUES
                         (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?7, 1, '[]', 0, ?7, 0, '', 0, '', '', '', '', NULL, '')",
                )?
                .execute(params![
                    sha256,
                    new.digests.sha1,
                    new.digests.md5,
                    new.bytes.cast_signed(),
                    is_confidential(new.confidentiality),
                    priority_number(new.priority),
                    now.unix_millis(),
                ])?;
            add_origin(transaction, &self.limits, sha256, &new.origin)?;
            Ok(SampleSubmitted::New)
        })
    }

    fn mention(&self, mentions: &[SampleMention], _now: Timestamp) -> Result<(), SamplesError> {
        self.changed("noting how samples came", |transaction| {
            for SampleMention { sample, sensor, session } in mentions.iter().cloned() {
                let origin = SampleOrigin::Sensor { sensor, session: Some(session) };
                add_origin(transaction, &self.limits, sample.sha256(), &origin)?;
            }
            Ok(())
        })
    }

    fn lease(&self, now: Timestamp, until: Timestamp) -> Result<Option<SampleLease>, SamplesError> {
        self.changed("handing a sample out", |transaction| {
            let next = transaction
                .prepare_cached(
                    "SELECT sha256, attempts FROM sample WHERE state < 2 AND due_at <= ?1
                     ORDER BY priority DESC, first_at, sha256 LIMIT 1",
                )?
                .query_row([now.unix_millis()], |row| Ok((row.get::<_, [u8; 32]>(0)?, row.get::<_, u32>(1)?)))
                .optional()?;
            let Some((sha256, attempts)) = next else { return Ok(None) };
            let attempt = attempts.saturating_add(1);
            transaction
                .prepare_cached(
                    "UPDATE sample SET state = ?2, due_at = ?3, attempts = ?4, step = '', percent = 0
                     WHERE sha256 = ?1",
                )?
                .execute(params![sha256, WORKING, until.unix_millis(), attempt])?;
            Ok(Some(SampleLease { sample: SampleDigest::from_sha256(sha256), attempt }))
        })
    }

    fn progress(&self, lease: &SampleLease, step: &str, percent: u8, until: Timestamp) -> Result<bool, SamplesError> {
        self.changed("noting how far a sample is", |transaction| {
            let changed = transaction
                .prepare_cached(
                    "UPDATE sample SET step = ?3, percent = ?4, due_at = ?5
                     WHERE sha256 = ?1 AND state = 1 AND attempts = ?2",
                )?
                .execute(params![lease.sample.sha256(), lease.attempt, step, percent, until.unix_millis()])?;
            Ok(changed == 1)
        })
    }

    fn elsewhere(&self, sample: &SampleDigest, known: &KnownElsewhere) -> Result<(), SamplesError> {
        let is_there = self.changed("noting what others know of a sample", |transaction| {
            let before = transaction
                .prepare_cached("SELECT elsewhere FROM sample WHERE sha256 = ?1")?
                .query_row([sample.sha256()], |row| row.get::<_, String>(0))
                .optional()?;
            let Some(before) = before else { return Ok(false) };
            let mut elsewhere: Vec<ElsewhereBody> = read_json(&before)?;
            if elsewhere.iter().all(|body| body.source != known.source) {
                elsewhere.push(ElsewhereBody::of(known));
                transaction
                    .prepare_cached("UPDATE sample SET elsewhere = ?2 WHERE sha256 = ?1")?
                    .execute(params![sample.sha256(), write_json(&elsewhere)?])?;
            }
            Ok(true)
        })?;
        if is_there { Ok(()) } else { Err(SamplesError::Missing(*sample)) }
    }

    fn not_asked(&self, source: &str, since: Timestamp, count: usize) -> Result<Vec<SampleDigests>, SamplesError> {
        let count = i64::try_from(count).unwrap_or(i64::MAX);
        self.read("looking whom nobody was asked about", |connection| {
            connection
                .prepare_cached(
                    "SELECT sha256, sha1, md5 FROM sample
                     WHERE first_at >= ?2 AND confidential = 0 AND NOT EXISTS
                         (SELECT 1 FROM json_each(elsewhere) WHERE json_extract(value, '$.source') = ?1)
                     ORDER BY first_at, sha256 LIMIT ?3",
                )?
                .query_map(params![source, since.unix_millis(), count], |row| {
                    let sha256 = SampleDigest::from_sha256(row.get(0)?);
                    Ok(SampleDigests { sha256, sha1: row.get(1)?, md5: row.get(2)? })
                })?
                .collect()
        })
    }

    fn put_document(&self, sample: &SampleDigest, kind: SampleDocument, json: &str) -> Result<(), SamplesError> {
        let bytes_max = self.limits.document_bytes_max;
        if json.len() > bytes_max {
            return Err(SamplesError::TooLarge { bytes: json.len(), bytes_max });
        }
        let is_there = self.changed("keeping a document", |transaction| {
            let changed = transaction
                .prepare_cached("INSERT OR REPLACE INTO document SELECT sha256, ?2, ?3 FROM sample WHERE sha256 = ?1")?
                .execute(params![sample.sha256(), kind.as_str(), json])?;
            Ok(changed == 1)
        })?;
        if is_there { Ok(()) } else { Err(SamplesError::Missing(*sample)) }
    }

    fn document(&self, sample: &SampleDigest, kind: SampleDocument) -> Result<Option<String>, SamplesError> {
        self.read("reading a document", |connection| {
            connection
                .prepare_cached("SELECT body FROM document WHERE sha256 = ?1 AND kind = ?2")?
                .query_row(params![sample.sha256(), kind.as_str()], |row| row.get(0))
                .optional()
        })
    }

    fn end(&self, lease: &SampleLease, end: &AttemptEnd, now: Timestamp) -> Result<bool, SamplesError> {
        let (state, due_at, problem) = match end {
            AttemptEnd::Done(_) => (DONE, now, ""),
            AttemptEnd::Retry { not_before, problem } => (WAITING, *not_before, problem.as_str()),
            AttemptEnd::GivenBack => (WAITING, now, ""),
            AttemptEnd::Failed { problem } => (FAILED, now, problem.as_str()),
        };
        self.changed("ending the work on a sample", |transaction| {
            let changed = transaction
                .prepare_cached(
                    "UPDATE sample SET state = ?3, due_at = ?4, problem = ?5, attempts = attempts - ?6
                     WHERE sha256 = ?1 AND state = 1 AND attempts = ?2",
                )?
                .execute(params![
                    lease.sample.sha256(),
                    lease.attempt,
                    state,
                    due_at.unix_millis(),
                    problem,
                    matches!(end, AttemptEnd::GivenBack),
                ])?;
            if let (1, AttemptEnd::Done(essentials)) = (changed, end) {
                let SampleEssentials { verdict, family, processor, iot, sentence } = essentials;
                transaction
                    .prepare_cached(
                        "UPDATE sample SET verdict = ?2, family = ?3, processor = ?4, iot = ?5, sentence = ?6
                         WHERE sha256 = ?1",
                    )?
                    .execute(params![lease.sample.sha256(), verdict, family, processor, iot, sentence])?;
            }
            Ok(changed == 1)
        })
    }

    fn again(&self, sample: &SampleDigest, priority: SamplePriority, now: Timestamp) -> Result<bool, SamplesError> {
        self.changed("letting a sample wait again", |transaction| {
            let changed = transaction
                .prepare_cached(
                    "UPDATE sample SET state = 0, due_at = ?2, attempts = 0, priority = ?3, problem = ''
                     WHERE sha256 = ?1 AND state >= 2",
                )?
                .execute(params![sample.sha256(), now.unix_millis(), priority_number(priority)])?;
            Ok(changed == 1)
        })
    }

    fn recover(&self, now: Timestamp) -> Result<u64, SamplesError> {
        self.changed("letting samples wait again", |transaction| {
            let changed = transaction
                .prepare_cached("UPDATE sample SET state = 0, due_at = ?1 WHERE state = 1")?
                .execute([now.unix_millis()])?;
            Ok(changed as u64)
        })
    }

    fn sample(&self, sample: &SampleDigest) -> Result<Option<StoredSample>, SamplesError> {
        self.read("reading a sample", |connection| {
            connection
                .prepare_cached("SELECT * FROM sample WHERE sha256 = ?1")?
                .query_row([sample.sha256()], |row| read_sample(connection, row))
                .optional()
        })
    }

    fn find(&self, digest: &[u8]) -> Result<Option<SampleDigest>, SamplesError> {
        self.read("looking for a sample", |connection| {
            connection
                .prepare_cached("SELECT sha256 FROM sample WHERE sha1 = ?1 OR md5 = ?1 ORDER BY sha256 LIMIT 1")?
                .query_row([digest], |row| row.get(0).map(SampleDigest::from_sha256))
                .optional()
        })
    }

    fn list(&self, before: Option<(Timestamp, SampleDigest)>, count: usize) -> Result<Vec<StoredSample>, SamplesError> {
        let count = i64::try_from(count).unwrap_or(i64::MAX);
        self.read("listing samples", |connection| match before {
            Some((first_at, key)) => connection
                .prepare_cached(
                    "SELECT * FROM sample WHERE (first_at, sha256) < (?1, ?2)
                     ORDER BY first_at DESC, sha256 DESC LIMIT ?3",
                )?
                .query_map(params![first_at.unix_millis(), key.sha256(), count], |row| read_sample(connection, row))?
                .collect(),
            None => connection
                .prepare_cached("SELECT * FROM sample ORDER BY first_at DESC, sha256 DESC LIMIT ?1")?
                .query_map([count], |row| read_sample(connection, row))?
                .collect(),
        })
    }

    fn briefs(&self, range: TimeRange, count: usize) -> Result<Vec<SampleBrief>, SamplesError> {
        let count = i64::try_from(count).unwrap_or(i64::MAX);
        self.read("reading samples in brief", |connection| {
            connection
                .prepare_cached(
                    "SELECT sha256, confidential, first_at, elsewhere, state, family, processor, iot FROM sample
                     WHERE first_at >= ?1 AND first_at < ?2 ORDER BY first_at DESC, sha256 DESC LIMIT ?3",
                )?
                .query_map(params![range.from.unix_millis(), range.to.unix_millis(), count], read_brief)?
                .collect()
        })
    }

    fn counts(&self) -> Result<SampleCounts, SamplesError> {
        self.read("counting samples", |connection| {
            let mut counts = SampleCounts::default();
            let mut statement = connection.prepare_cached("SELECT state, count(*) FROM sample GROUP BY state")?;
            let mut rows = statement.query([])?;
            while let Some(row) = rows.next()? {
                let count = row.get::<_, i64>(1)?.cast_unsigned();
                match row.get::<_, i64>(0)? {
                    WAITING => counts.waiting = count,
                    WORKING => counts.working = count,
                    DONE => counts.done = count,
                    _ => counts.failed = count,
                }
            }
            Ok(counts)
        })
    }
}

/// Notes how a sample came, unless that is noted or a bound is reached.
fn add_origin(
    transaction: &Transaction<'_>,
    limits: &SampleLimits,
    sha256: &[u8; 32],
    origin: &SampleOrigin,
) -> rusqlite::Result<()> {
    transaction
        .prepare_cached(
            "INSERT OR IGNORE INTO origin (sha256, body) SELECT ?1, ?2
             WHERE (SELECT count(*) FROM origin WHERE sha256 = ?1) < ?3
                 AND (SELECT ifnull(max(number), 0) FROM origin) < ?4",
        )?
        .execute(params![
            sha256,
            write_json(&OriginBody::of(origin))?,
            i64::try_from(limits.origins_max).unwrap_or(i64::MAX),
            limits.origins_total_max.cast_signed(),
        ])?;
    Ok(())
}

fn read_sample(connection: &Connection, row: &Row<'_>) -> rusqlite::Result<StoredSample> {
    let time = |column| row.get::<_, i64>(column).map(Timestamp::from_unix_millis);
    let due_at = time("due_at")?;
    let attempts = row.get("attempts")?;
    let state = match row.get::<_, i64>("state")? {
        WAITING => SampleState::Waiting { since: due_at, attempts, problem: row.get("problem")? },
        WORKING => SampleState::Working {
            attempt: attempts,
            until: due_at,
            step: row.get("step")?,
            percent: row.get("percent")?,
        },
        DONE => SampleState::Done { at: due_at },
        _ => SampleState::Failed { at: due_at, problem: row.get("problem")? },
    };
    let sha256: [u8; 32] = row.get("sha256")?;
    let mut origins = Vec::new();
    let mut statement = connection.prepare_cached("SELECT body FROM origin WHERE sha256 = ?1 ORDER BY number")?;
    let mut bodies = statement.query([sha256])?;
    while let Some(body) = bodies.next()? {
        origins.push(read_json::<OriginBody>(body.get_ref(0)?.as_str()?)?.origin()?);
    }
    let elsewhere: Vec<ElsewhereBody> = read_json(row.get_ref("elsewhere")?.as_str()?)?;
    Ok(StoredSample {
        digests: SampleDigests {
            sha256: SampleDigest::from_sha256(sha256),
            sha1: row.get("sha1")?,
            md5: row.get("md5")?,
        },
        bytes: row.get::<_, i64>("bytes")?.cast_unsigned(),
        confidentiality: confidentiality(row)?,
        priority: match row.get::<_, i64>("priority")? {
            0 => SamplePriority::Again,
            1 => SamplePriority::Ordinary,
            _ => SamplePriority::Urgent,
        },
        first_at: time("first_at")?,
        last_at: time("last_at")?,
        times: row.get::<_, i64>("times")?.cast_unsigned(),
        origins,
        state,
        elsewhere: elsewhere.into_iter().map(ElsewhereBody::known).collect(),
        essentials: SampleEssentials {
            verdict: row.get("verdict")?,
            family: row.get("family")?,
            processor: row.get("processor")?,
            iot: row.get("iot")?,
            sentence: row.get("sentence")?,
        },
    })
}

fn read_brief(row: &Row<'_>) -> rusqlite::Result<SampleBrief> {
    let elsewhere: Vec<ElsewhereBody> = read_json(row.get_ref("elsewhere")?.as_str()?)?;
    Ok(SampleBrief {
        sample: SampleDigest::from_sha256(row.get("sha256")?),
        confidentiality: confidentiality(row)?,
        first_at: Timestamp::from_unix_millis(row.get("first_at")?),
        state: match row.get::<_, i64>("state")? {
            WAITING => SampleStateKind::Waiting,
            WORKING => SampleStateKind::Working,
            DONE => SampleStateKind::Done,
            _ => SampleStateKind::Failed,
        },
        known_elsewhere: (!elsewhere.is_empty()).then(|| elsewhere.iter().any(|body| body.known.is_some())),
        family: row.get("family")?,
        processor: row.get("processor")?,
        iot: row.get("iot")?,
    })
}

fn confidentiality(row: &Row<'_>) -> rusqlite::Result<Confidentiality> {
    Ok(match row.get("confidential")? {
        true => Confidentiality::Confidential,
        false => Confidentiality::Open,
    })
}

fn is_confidential(confidentiality: Confidentiality) -> bool {
    match confidentiality {
        Confidentiality::Confidential => true,
        Confidentiality::Open => false,
    }
}

fn priority_number(priority: SamplePriority) -> i64 {
    match priority {
        SamplePriority::Again => 0,
        SamplePriority::Ordinary => 1,
        SamplePriority::Urgent => 2,
    }
}

fn read_json<T: for<'de> Deserialize<'de>>(text: &str) -> rusqlite::Result<T> {
    serde_json::from_str(text)
        .map_err(|error| rusqlite::Error::FromSqlConversionFailure(0, rusqlite::types::Type::Text, error.into()))
}

fn write_json<T: Serialize + ?Sized>(value: &T) -> rusqlite::Result<String> {
    serde_json::to_string(value).map_err(|error| rusqlite::Error::ToSqlConversionFailure(error.into()))
}

/// How a sample came, as it is written down.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
enum OriginBody {
    Sensor {
        sensor: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        session: Option<String>,
    },
    Upload {
        by: String,
        name: String,
    },
    Found,
}

impl OriginBody {
    fn of(origin: &SampleOrigin) -> Self {
        match origin.clone() {
            SampleOrigin::Sensor { sensor, session } => {
                Self::Sensor { sensor: sensor.to_string(), session: session.map(|session| session.to_string()) }
            }
            SampleOrigin::Upload { by, name } => Self::Upload { by, name },
            SampleOrigin::Found => Self::Found,
        }
    }

    fn origin(self) -> rusqlite::Result<SampleOrigin> {
        let wrong = |error| rusqlite::Error::FromSqlConversionFailure(0, rusqlite::types::Type::Text, Box::new(error));
        Ok(match self {
            Self::Sensor { sensor, session } => SampleOrigin::Sensor {
                sensor: SensorName::parse(&sensor).map_err(wrong)?,
                session: session.map(|session| SessionId::parse(&session)).transpose().map_err(wrong)?,
            },
            Self::Upload { by, name } => SampleOrigin::Upload { by, name },
            Self::Found => SampleOrigin::Found,
        })
    }
}

/// What others said, as it is written down; times in milliseconds since 1970.
#[derive(Debug, Serialize, Deserialize)]
struct ElsewhereBody {
    source: String,
    asked_at: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    known: Option<KnownBody>,
}

#[derive(Debug, Serialize, Deserialize)]
struct KnownBody {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    first_seen: Option<i64>,
    labels: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    detections: Option<(u32, u32)>,
}

impl ElsewhereBody {
    fn of(known: &KnownElsewhere) -> Self {
        let KnownElsewhere { source, asked_at, answer } = known.clone();
        let known = match answer {
            ElsewhereAnswer::Unknown => None,
            ElsewhereAnswer::Known { first_seen, labels, detections } => {
                Some(KnownBody { first_seen: first_seen.map(Timestamp::unix_millis), labels, detections })
            }
        };
        Self { source, asked_at: asked_at.unix_millis(), known }
    }

    fn known(self) -> KnownElsewhere {
        let answer = match self.known {
            None => ElsewhereAnswer::Unknown,
            Some(KnownBody { first_seen, labels, detections }) => {
                ElsewhereAnswer::Known { first_seen: first_seen.map(Timestamp::from_unix_millis), labels, detections }
            }
        };
        KnownElsewhere { source: self.source, asked_at: Timestamp::from_unix_millis(self.asked_at), answer }
    }
}
