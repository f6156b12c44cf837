//! Operators, their sessions and the audit trail in a database of their own: each use of the console reads it, and who
//! may read the state of the fleet need not see how operators come in.

use std::net::IpAddr;
use std::path::Path;

use komainu_model::{InvalidName, Language, OperatorName, Role, Timestamp};
use komainu_ports::{
    AccountLimits, AccountStore, AccountsError, Actor, AuditAction, AuditEntry, AuditNumber, AuditOutcome, AuditSize,
    Credential, Link, LinkPurpose, NewSession, Newcomer, Operator, OperatorChange, OperatorState, PasswordHash,
    ProviderIdentity, Session, StoreError, TokenDigest, TotpSecret, TotpStep,
};
use parking_lot::Mutex;
use rusqlite::types::Type;
use rusqlite::{Connection, OptionalExtension, Row, Transaction, TransactionBehavior, params};

use super::{Tables, open_connection, prepare_tables};

/// Says in the file whose it is: `KMAC`.
const APPLICATION_ID: i32 = 0x4b4d_4143;

/// The steps to the tables of this version.
const STEPS: [&str; 2] = [VERSION_1, VERSION_2];

/// Times are milliseconds since 1970. A link without a name is for the first operator; one without a role, for another
/// password. `totp_step` is the step of the last one-time code that counted. Lines of the audit trail about strangers
/// are counted apart (`ordinal`): each kind has a bound of its own.
const VERSION_1: &str = "
    CREATE TABLE operator (
        name         TEXT PRIMARY KEY NOT NULL,
        role         TEXT NOT NULL,
        disabled     INTEGER NOT NULL,
        password     TEXT NOT NULL,
        totp         BLOB,
        totp_step    INTEGER NOT NULL,
        language     TEXT,
        created_at   INTEGER NOT NULL,
        signed_in_at INTEGER
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE link (
        token      BLOB PRIMARY KEY NOT NULL,
        name       TEXT,
        role       TEXT,
        expires_at INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE session (
        token      BLOB PRIMARY KEY NOT NULL,
        operator   TEXT NOT NULL,
        address    TEXT NOT NULL,
        agent      TEXT NOT NULL,
        created_at INTEGER NOT NULL,
        seen_at    INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX session_operator ON session (operator, seen_at);
    CREATE TABLE audit (
        number   INTEGER PRIMARY KEY AUTOINCREMENT,
        at       INTEGER NOT NULL,
        actor    TEXT NOT NULL,
        operator TEXT,
        address  TEXT,
        action   TEXT NOT NULL,
        subject  TEXT NOT NULL,
        outcome  TEXT NOT NULL,
        stranger INTEGER NOT NULL,
        ordinal  INTEGER NOT NULL
    ) STRICT;
    CREATE UNIQUE INDEX audit_ordinal ON audit (stranger, ordinal);
    CREATE INDEX audit_at ON audit (at);
";

/// Somebody who comes through a provider has no password, and is known by what the provider calls itself and them. SQLite
/// takes a column's `NOT NULL` away by no statement, so the table is made anew.
const VERSION_2: &str = "
    CREATE TABLE operator_2 (
        name         TEXT PRIMARY KEY NOT NULL,
        role         TEXT NOT NULL,
        disabled     INTEGER NOT NULL,
        password     TEXT,
        issuer       TEXT,
        subject      TEXT,
        totp         BLOB,
        totp_step    INTEGER NOT NULL,
        language     TEXT,
        created_at   INTEGER NOT NULL,
        signed_in_at INTEGER,
        CHECK ((issuer IS NULL) = (subject IS NULL) AND (issuer IS NULL) = (password IS NOT NULL))
    ) STRICT, WITHOUT ROWID;
    INSERT INTO operator_2
        SELECT name, role, disabled, password, NULL, NULL, totp, totp_step, language, created_at, signed_in_at
        FROM operator;
    DROP TABLE operator;
    ALTER TABLE operator_2 RENAME TO operator;
    CREATE UNIQUE INDEX operator_identity ON operator (issuer, subject) WHERE issuer IS NOT NULL;
    CREATE TABLE secret (
        name  TEXT PRIMARY KEY NOT NULL,
        value BLOB NOT NULL
    ) STRICT, WITHOUT ROWID;
";

/// [`AccountStore`] in one SQLite file.
#[derive(Debug)]
pub struct SqliteAccountStore {
    limits: AccountLimits,
    connection: Mutex<Connection>,
}

impl SqliteAccountStore {
    /// Opens the accounts in `path`, and makes the file when it is not there.
    pub fn open(path: &Path, limits: AccountLimits) -> Result<Self, StoreError> {
        let mut connection = open_connection(path)?;
        prepare_tables(
            &mut connection,
            &Tables {
                application_id: APPLICATION_ID,
                steps: &STEPS,
                database: "database of accounts",
                doing: "preparing the database of accounts",
            },
        )?;
        Ok(Self { limits, connection: Mutex::new(connection) })
    }

    /// Runs `change` in a transaction of its own, which is undone when it is refused.
    fn changed<T>(
        &self,
        doing: &'static str,
        change: impl FnOnce(&Transaction<'_>) -> Result<T, Refused>,
    ) -> Result<T, AccountsError> {
        let connection = &mut *self.connection.lock();
        let changed = || {
            let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let result = change(&transaction)?;
            transaction.commit()?;
            Ok(result)
        };
        changed().map_err(|refused: Refused| refused.told(doing))
    }

    fn read<T>(
        &self,
        doing: &'static str,
        read: impl FnOnce(&Connection) -> Result<T, Refused>,
    ) -> Result<T, AccountsError> {
        read(&self.connection.lock()).map_err(|refused| refused.told(doing))
    }

    /// Adds a line to the audit trail and drops what is too old or too much.
    fn add_line(&self, transaction: &Transaction<'_>, entry: &AuditEntry) -> rusqlite::Result<()> {
        let AuditEntry { at, actor, address, action, subject, outcome } = entry;
        let (entries_max, strangers_max) = (self.limits.audit_entries_max, self.limits.audit_strangers_max);
        let (actor, operator, is_stranger, most) = match actor {
            Actor::Operator(name) => ("operator", Some(name.as_str()), false, entries_max),
            Actor::CommandLine => ("command-line", None, false, entries_max),
            Actor::Provider => ("provider", None, false, entries_max),
            Actor::Stranger => ("stranger", None, true, strangers_max),
        };
        let outcome = match outcome {
            AuditOutcome::Done => "done",
            AuditOutcome::Refused => "refused",
        };
        let address = address.map(|address| address.to_string());
        let ordinal: i64 = transaction
            .prepare_cached("SELECT ifnull(max(ordinal), 0) + 1 FROM audit WHERE stranger = ?1")?
            .query_row([is_stranger], |row| row.get(0))?;
        transaction
            .prepare_cached(
                "INSERT INTO audit (at, actor, operator, address, action, subject, outcome, stranger, ordinal)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
            )?
            .execute(params![
                at.unix_millis(),
                actor,
                operator,
                address,
                action.as_str(),
                subject,
                outcome,
                is_stranger,
                ordinal
            ])?;
        let too_old = at.minus(self.limits.audit_kept).unix_millis();
        let too_many = ordinal.saturating_sub(i64::try_from(most).unwrap_or(i64::MAX));
        transaction.prepare_cached("DELETE FROM audit WHERE at < ?1")?.execute([too_old])?;
        transaction
            .prepare_cached("DELETE FROM audit WHERE stranger = ?1 AND ordinal <= ?2")?
            .execute(params![is_stranger, too_many])?;
        Ok(())
    }

    /// Refuses when as many operators and invitations are there as may be.
    fn keep_place(&self, transaction: &Transaction<'_>) -> Result<(), Refused> {
        let taken: i64 = transaction
            .prepare_cached(
                "SELECT (SELECT count(*) FROM operator) + (SELECT count(*) FROM link WHERE role IS NOT NULL)",
            )?
            .query_row([], |row| row.get(0))?;
        let operators_max = i64::try_from(self.limits.operators_max).unwrap_or(i64::MAX);
        if taken >= operators_max { Err(AccountsError::Full(self.limits.operators_max).into()) } else { Ok(()) }
    }

    /// The oldest times of last use and of beginning that a session which holds at `now` can have, exclusively.
    fn session_bounds(&self, now: Timestamp) -> (i64, i64) {
        let (idle, age) = (self.limits.session_idle_max, self.limits.session_age_max);
        (now.minus(idle).unix_millis(), now.minus(age).unix_millis())
    }
}

/// Why a transaction did not come to its end.
enum Refused {
    /// The caller is told this.
    Told(AccountsError),
    /// The medium failed.
    Failed(rusqlite::Error),
}

impl Refused {
    fn told(self, doing: &'static str) -> AccountsError {
        match self {
            Self::Told(error) => error,
            Self::Failed(error) => AccountsError::Unavailable { doing, source: error.into() },
        }
    }
}

impl From<rusqlite::Error> for Refused {
    fn from(error: rusqlite::Error) -> Self {
        Self::Failed(error)
    }
}

impl From<AccountsError> for Refused {
    fn from(error: AccountsError) -> Self {
        Self::Told(error)
    }
}

impl AccountStore for SqliteAccountStore {
    fn operator(&self, name: &OperatorName) -> Result<Option<Operator>, AccountsError> {
        self.read("reading an operator", |connection| Ok(find_operator(connection, name)?))
    }

    fn operators(&self) -> Result<Vec<Operator>, AccountsError> {
        self.read("listing operators", |connection| {
            let mut statement = connection.prepare_cached("SELECT * FROM operator ORDER BY name")?;
            Ok(statement.query_map([], read_operator)?.collect::<rusqlite::Result<_>>()?)
        })
    }

    fn operator_of(&self, identity: &ProviderIdentity) -> Result<Option<Operator>, AccountsError> {
        self.read("reading an operator", |connection| Ok(find_operator_of(connection, identity)?))
    }

    fn admit(&self, newcomer: &Newcomer, audit: &AuditEntry) -> Result<Operator, AccountsError> {
        let Newcomer { identity, name, role } = newcomer;
        self.changed("adding an operator", |transaction| {
            let is_known = find_operator(transaction, name)?.is_some();
            if is_known || find_operator_of(transaction, identity)?.is_some() {
                return Err(AccountsError::Exists(name.clone()).into());
            }
            self.keep_place(transaction)?;
            transaction
                .prepare_cached(
                    "INSERT INTO operator (name, role, disabled, issuer, subject, totp_step, created_at)
                     VALUES (?1, ?2, 0, ?3, ?4, 0, ?5)",
                )?
                .execute(params![
                    name.as_str(),
                    role.as_str(),
                    identity.issuer,
                    identity.subject,
                    audit.at.unix_millis()
                ])?;
            self.add_line(transaction, audit)?;
            find_operator(transaction, name)?.ok_or_else(|| AccountsError::Missing(name.clone()).into())
        })
    }

    fn browser_secret(&self, fresh: [u8; 32]) -> Result<[u8; 32], AccountsError> {
        self.changed("reading the secret for browsers", |transaction| {
            transaction.prepare_cached("INSERT OR IGNORE INTO secret VALUES ('browser', ?1)")?.execute([&fresh[..]])?;
            Ok(transaction
                .prepare_cached("SELECT value FROM secret WHERE name = 'browser'")?
                .query_row([], |row| row.get(0))?)
        })
    }

    fn put_link(&self, token: TokenDigest, purpose: &LinkPurpose, audit: &AuditEntry) -> Result<Link, AccountsError> {
        let link = Link { purpose: purpose.clone(), expires_at: audit.at.plus(self.limits.link_valid) };
        self.changed("making a link", |transaction| {
            let operators: i64 =
                transaction.prepare_cached("SELECT count(*) FROM operator")?.query_row([], |row| row.get(0))?;
            let known = match purpose.name() {
                Some(name) => find_operator(transaction, name)?.map(|operator| operator.credential),
                None => None,
            };
            match (purpose, known) {
                (LinkPurpose::First, _) if operators > 0 => return Err(AccountsError::NotFirst.into()),
                (LinkPurpose::Invitation { name, .. }, Some(_)) => {
                    return Err(AccountsError::Exists(name.clone()).into());
                }
                (LinkPurpose::Reset { name }, None) => return Err(AccountsError::Missing(name.clone()).into()),
                (LinkPurpose::Reset { name }, Some(Credential::Provider(_))) => {
                    return Err(AccountsError::OfProvider(name.clone()).into());
                }
                (LinkPurpose::First, _)
                | (LinkPurpose::Invitation { .. }, None)
                | (LinkPurpose::Reset { .. }, Some(Credential::Password(_))) => {}
            }
            let name = purpose.name().map(OperatorName::as_str);
            transaction
                .prepare_cached("DELETE FROM link WHERE name IS ?1 OR expires_at <= ?2")?
                .execute(params![name, audit.at.unix_millis()])?;
            let role = match purpose {
                LinkPurpose::Invitation { role, .. } => Some(role.as_str()),
                LinkPurpose::First | LinkPurpose::Reset { .. } => None,
            };
            if role.is_some() {
                self.keep_place(transaction)?;
            }
            transaction.prepare_cached("INSERT INTO link VALUES (?1, ?2, ?3, ?4)")?.execute(params![
                token.sha256(),
                name,
                role,
                link.expires_at.unix_millis()
            ])?;
            Ok(self.add_line(transaction, audit)?)
        })?;
        Ok(link)
    }

    fn link(&self, token: &TokenDigest, now: Timestamp) -> Result<Link, AccountsError> {
        self.read("reading a link", |connection| find_link(connection, token, now))
    }

    fn links(&self, now: Timestamp) -> Result<Vec<Link>, AccountsError> {
        self.read("listing links", |connection| {
            let mut statement = connection.prepare_cached("SELECT * FROM link WHERE expires_at > ?1 ORDER BY name")?;
            Ok(statement.query_map([now.unix_millis()], read_link)?.collect::<rusqlite::Result<_>>()?)
        })
    }

    fn use_link(
        &self,
        token: &TokenDigest,
        name: &OperatorName,
        password: &PasswordHash,
        audit: &AuditEntry,
    ) -> Result<Operator, AccountsError> {
        self.changed("using a link", |transaction| {
            let link = find_link(transaction, token, audit.at)?;
            if link.purpose.name().is_some_and(|of_link| of_link != name) {
                return Err(AccountsError::LinkGone.into());
            }
            let new_role = match link.purpose {
                LinkPurpose::First => Some(Role::Admin),
                LinkPurpose::Invitation { role, .. } => Some(role),
                LinkPurpose::Reset { .. } => None,
            };
            let is_any: bool = transaction
                .prepare_cached("SELECT EXISTS (SELECT 1 FROM operator)")?
                .query_row([], |row| row.get(0))?;
            if link.purpose == LinkPurpose::First && is_any {
                return Err(AccountsError::NotFirst.into());
            }
            transaction.prepare_cached("DELETE FROM link WHERE token = ?1")?.execute([token.sha256()])?;
            transaction.prepare_cached("DELETE FROM session WHERE operator = ?1")?.execute([name.as_str()])?;
            let changed = match new_role {
                Some(role) => transaction
                    .prepare_cached(
                        "INSERT OR IGNORE INTO operator (name, role, disabled, password, totp_step, created_at)
                         VALUES (?1, ?2, 0, ?3, 0, ?4)",
                    )?
                    .execute(params![name.as_str(), role.as_str(), password.expose(), audit.at.unix_millis()])?,
                None => transaction
                    .prepare_cached("UPDATE operator SET password = ?2, totp = NULL, totp_step = 0 WHERE name = ?1")?
                    .execute(params![name.as_str(), password.expose()])?,
            };
            match (changed, new_role) {
                (0, Some(_)) => return Err(AccountsError::Exists(name.clone()).into()),
                (0, None) => return Err(AccountsError::Missing(name.clone()).into()),
                (_, _) => {}
            }
            self.add_line(transaction, audit)?;
            find_operator(transaction, name)?.ok_or_else(|| AccountsError::Missing(name.clone()).into())
        })
    }

    fn change_operator(
        &self,
        name: &OperatorName,
        change: &OperatorChange,
        audit: &AuditEntry,
    ) -> Result<(), AccountsError> {
        self.changed("changing an operator", |transaction| {
            let set = |column: &str, value: &dyn rusqlite::ToSql| {
                transaction
                    .prepare_cached(&format!("UPDATE operator SET {column} = ?2 WHERE name = ?1"))?
                    .execute(params![name.as_str(), value])
            };
            let operator = find_operator(transaction, name)?.ok_or_else(|| AccountsError::Missing(name.clone()))?;
            let changed = match change {
                OperatorChange::Role(_) | OperatorChange::Password(..) | OperatorChange::Totp(..)
                    if matches!(operator.credential, Credential::Provider(_)) =>
                {
                    return Err(AccountsError::OfProvider(name.clone()).into());
                }
                OperatorChange::ProvidedRole(_) if matches!(operator.credential, Credential::Password(_)) => {
                    return Err(AccountsError::NotLetIn(name.clone()).into());
                }
                OperatorChange::ProvidedRole(role) => set("role", &role.as_str())?,
                OperatorChange::Role(role) => {
                    if *role != Role::Admin {
                        keep_last_admin(transaction, name)?;
                    }
                    set("role", &role.as_str())?
                }
                OperatorChange::State(OperatorState::Enabled) => set("disabled", &false)?,
                OperatorChange::State(OperatorState::Disabled) => {
                    keep_last_admin(transaction, name)?;
                    transaction.prepare_cached("DELETE FROM session WHERE operator = ?1")?.execute([name.as_str()])?;
                    set("disabled", &true)?
                }
                OperatorChange::Password(password, token) => {
                    transaction
                        .prepare_cached("DELETE FROM session WHERE operator = ?1 AND token <> ?2")?
                        .execute(params![name.as_str(), token.sha256()])?;
                    set("password", &password.expose())?
                }
                OperatorChange::Totp(secret, step) => {
                    set("totp_step", &step.0.cast_signed())?;
                    set("totp", secret.expose())?
                }
                OperatorChange::NoTotp => {
                    set("totp_step", &0)?;
                    set("totp", &rusqlite::types::Null)?
                }
                OperatorChange::Language(language) => set("language", &language.map(Language::tag))?,
            };
            if changed == 0 {
                return Err(AccountsError::Missing(name.clone()).into());
            }
            Ok(self.add_line(transaction, audit)?)
        })
    }

    fn begin_session(&self, new: &NewSession, audit: &AuditEntry) -> Result<(), AccountsError> {
        self.changed("beginning a session", |transaction| {
            let name = new.operator.as_str();
            let step = new.totp_step.map(|TotpStep(step)| step.cast_signed());
            let (password, issuer, subject) = match &new.credential {
                Credential::Password(password) => (Some(password.expose()), None, None),
                Credential::Provider(ProviderIdentity { issuer, subject }) => (None, Some(issuer), Some(subject)),
            };
            let let_in = transaction
                .prepare_cached(
                    "UPDATE operator SET signed_in_at = ?4, totp_step = ifnull(?3, totp_step)
                     WHERE name = ?1 AND disabled = 0 AND password IS ?2 AND issuer IS ?5 AND subject IS ?6
                         AND (totp IS NULL) = (?3 IS NULL) AND (totp IS NULL OR totp_step < ?3)",
                )?
                .execute(params![name, password, step, audit.at.unix_millis(), issuer, subject])?;
            if let_in == 0 {
                return Err(AccountsError::NotLetIn(new.operator.clone()).into());
            }
            let (idle_since, begun) = self.session_bounds(audit.at);
            transaction
                .prepare_cached("DELETE FROM session WHERE seen_at <= ?1 OR created_at <= ?2")?
                .execute([idle_since, begun])?;
            let others = i64::try_from(self.limits.sessions_per_operator_max).unwrap_or(i64::MAX).saturating_sub(1);
            transaction
                .prepare_cached(
                    "DELETE FROM session WHERE token IN (SELECT token FROM session WHERE operator = ?1
                         ORDER BY seen_at DESC, token DESC LIMIT -1 OFFSET ?2)",
                )?
                .execute(params![name, others])?;
            transaction.prepare_cached("INSERT INTO session VALUES (?1, ?2, ?3, ?4, ?5, ?5)")?.execute(params![
                new.token.sha256(),
                name,
                new.address.to_string(),
                new.agent,
                audit.at.unix_millis()
            ])?;
            Ok(self.add_line(transaction, audit)?)
        })
    }

    fn session(&self, token: &TokenDigest, now: Timestamp) -> Result<Option<(Session, Operator)>, AccountsError> {
        self.read("reading a session", |connection| {
            let (idle_since, begun) = self.session_bounds(now);
            let session = connection
                .prepare_cached("SELECT * FROM session WHERE token = ?1 AND seen_at > ?2 AND created_at > ?3")?
                .query_row(params![token.sha256(), idle_since, begun], read_session)
                .optional()?;
            let Some(mut session) = session else { return Ok(None) };
            if now.since(session.seen_at) >= self.limits.seen_every {
                connection
                    .prepare_cached("UPDATE session SET seen_at = ?2 WHERE token = ?1")?
                    .execute(params![token.sha256(), now.unix_millis()])?;
                session.seen_at = now;
            }
            let operator = find_operator(connection, &session.operator)?;
            Ok(operator.map(|operator| (session, operator)))
        })
    }

    fn sessions(&self, name: &OperatorName, now: Timestamp) -> Result<Vec<Session>, AccountsError> {
        self.read("listing sessions", |connection| {
            let (idle_since, begun) = self.session_bounds(now);
            let mut statement = connection.prepare_cached(
                "SELECT * FROM session WHERE operator = ?1 AND seen_at > ?2 AND created_at > ?3
                 ORDER BY seen_at DESC, token",
            )?;
            let sessions = statement.query_map(params![name.as_str(), idle_since, begun], read_session)?;
            Ok(sessions.collect::<rusqlite::Result<_>>()?)
        })
    }

    fn end_session(&self, name: &OperatorName, token: &TokenDigest, audit: &AuditEntry) -> Result<bool, AccountsError> {
        self.changed("ending a session", |transaction| {
            let ended = transaction
                .prepare_cached("DELETE FROM session WHERE operator = ?1 AND token = ?2")?
                .execute(params![name.as_str(), token.sha256()])?;
            if ended > 0 {
                self.add_line(transaction, audit)?;
            }
            Ok(ended > 0)
        })
    }

    fn end_sessions(&self, name: &OperatorName, audit: &AuditEntry) -> Result<(), AccountsError> {
        self.changed("ending sessions", |transaction| {
            transaction.prepare_cached("DELETE FROM session WHERE operator = ?1")?.execute([name.as_str()])?;
            Ok(self.add_line(transaction, audit)?)
        })
    }

    fn note(&self, entry: &AuditEntry) -> Result<(), AccountsError> {
        self.changed("adding to the audit trail", |transaction| Ok(self.add_line(transaction, entry)?))
    }

    fn audit(
        &self,
        before: Option<AuditNumber>,
        count: usize,
    ) -> Result<Vec<(AuditNumber, AuditEntry)>, AccountsError> {
        let before = before.map_or(i64::MAX, |AuditNumber(number)| i64::try_from(number).unwrap_or(i64::MAX));
        let count = i64::try_from(count).unwrap_or(i64::MAX);
        self.read("reading the audit trail", |connection| {
            let mut statement =
                connection.prepare_cached("SELECT * FROM audit WHERE number < ?1 ORDER BY number DESC LIMIT ?2")?;
            Ok(statement.query_map([before, count], read_line)?.collect::<rusqlite::Result<_>>()?)
        })
    }

    fn audit_size(&self) -> Result<AuditSize, AccountsError> {
        self.read("counting the audit trail", |connection| {
            // Lines of each kind are numbered without gaps, and the oldest go first: the index's ends say how many there are.
            let mut statement = connection.prepare_cached(
                "SELECT ifnull((SELECT max(ordinal) FROM audit WHERE stranger = ?1)
                             - (SELECT min(ordinal) FROM audit WHERE stranger = ?1) + 1, 0)",
            )?;
            let mut size = |stranger: bool| statement.query_row([stranger], |row| row.get::<_, i64>(0));
            Ok(AuditSize { entries: size(false)?.cast_unsigned(), strangers: size(true)?.cast_unsigned() })
        })
    }
}

/// Refuses when nobody but this operator is an admin who can sign in.
fn keep_last_admin(transaction: &Transaction<'_>, name: &OperatorName) -> Result<(), Refused> {
    let is_last: bool = transaction
        .prepare_cached(
            "SELECT EXISTS (SELECT 1 FROM operator WHERE name = ?1 AND role = 'admin' AND disabled = 0)
                 AND NOT EXISTS (SELECT 1 FROM operator WHERE name <> ?1 AND role = 'admin' AND disabled = 0)",
        )?
        .query_row([name.as_str()], |row| row.get(0))?;
    if is_last { Err(AccountsError::LastAdmin(name.clone()).into()) } else { Ok(()) }
}

fn find_operator(connection: &Connection, name: &OperatorName) -> rusqlite::Result<Option<Operator>> {
    connection
        .prepare_cached("SELECT * FROM operator WHERE name = ?1")?
        .query_row([name.as_str()], read_operator)
        .optional()
}

fn find_operator_of(connection: &Connection, identity: &ProviderIdentity) -> rusqlite::Result<Option<Operator>> {
    connection
        .prepare_cached("SELECT * FROM operator WHERE issuer = ?1 AND subject = ?2")?
        .query_row([&identity.issuer, &identity.subject], read_operator)
        .optional()
}

fn find_link(connection: &Connection, token: &TokenDigest, now: Timestamp) -> Result<Link, Refused> {
    let link = connection
        .prepare_cached("SELECT * FROM link WHERE token = ?1 AND expires_at > ?2")?
        .query_row(params![token.sha256(), now.unix_millis()], read_link)
        .optional()?;
    link.ok_or_else(|| AccountsError::LinkGone.into())
}

fn read_operator(row: &Row<'_>) -> rusqlite::Result<Operator> {
    let language: Option<String> = row.get("language")?;
    Ok(Operator {
        name: OperatorName::parse(row.get_ref("name")?.as_str()?).map_err(wrong)?,
        role: Role::parse(row.get_ref("role")?.as_str()?).map_err(wrong)?,
        state: if row.get("disabled")? { OperatorState::Disabled } else { OperatorState::Enabled },
        credential: match row.get::<_, Option<String>>("password")? {
            Some(phc) => Credential::Password(PasswordHash::from_phc(phc)),
            None => Credential::Provider(ProviderIdentity { issuer: row.get("issuer")?, subject: row.get("subject")? }),
        },
        totp: row.get::<_, Option<[u8; 20]>>("totp")?.map(TotpSecret::from_bytes),
        language: language.map(|tag| Language::parse(&tag)).transpose().map_err(wrong)?,
        created_at: read_time(row, "created_at")?,
        signed_in_at: row.get::<_, Option<i64>>("signed_in_at")?.map(Timestamp::from_unix_millis),
    })
}

fn read_link(row: &Row<'_>) -> rusqlite::Result<Link> {
    let name: Option<String> = row.get("name")?;
    let role: Option<String> = row.get("role")?;
    let name = name.map(|name| OperatorName::parse(&name)).transpose().map_err(wrong)?;
    let role = role.map(|role| Role::parse(&role)).transpose().map_err(wrong)?;
    let purpose = match (name, role) {
        (None, _) => LinkPurpose::First,
        (Some(name), Some(role)) => LinkPurpose::Invitation { name, role },
        (Some(name), None) => LinkPurpose::Reset { name },
    };
    Ok(Link { purpose, expires_at: read_time(row, "expires_at")? })
}

fn read_session(row: &Row<'_>) -> rusqlite::Result<Session> {
    Ok(Session {
        token: TokenDigest::from_sha256(row.get("token")?),
        operator: OperatorName::parse(row.get_ref("operator")?.as_str()?).map_err(wrong)?,
        address: read_address(row.get_ref("address")?.as_str()?)?,
        agent: row.get("agent")?,
        created_at: read_time(row, "created_at")?,
        seen_at: read_time(row, "seen_at")?,
    })
}

fn read_line(row: &Row<'_>) -> rusqlite::Result<(AuditNumber, AuditEntry)> {
    let unknown = |column: &str, word: &str| {
        let text = format!("{word:?} is no {column} of the audit trail");
        rusqlite::Error::FromSqlConversionFailure(0, Type::Text, text.into())
    };
    let (actor, action) = (row.get_ref("actor")?.as_str()?, row.get_ref("action")?.as_str()?);
    let outcome = row.get_ref("outcome")?.as_str()?;
    let address: Option<String> = row.get("address")?;
    let entry = AuditEntry {
        at: read_time(row, "at")?,
        actor: match actor {
            "operator" => Actor::Operator(OperatorName::parse(row.get_ref("operator")?.as_str()?).map_err(wrong)?),
            "command-line" => Actor::CommandLine,
            "provider" => Actor::Provider,
            "stranger" => Actor::Stranger,
            other => return Err(unknown("actor", other)),
        },
        address: address.map(|address| read_address(&address)).transpose()?,
        action: AuditAction::ALL
            .into_iter()
            .find(|known| known.as_str() == action)
            .ok_or_else(|| unknown("action", action))?,
        subject: row.get("subject")?,
        outcome: match outcome {
            "done" => AuditOutcome::Done,
            "refused" => AuditOutcome::Refused,
            other => return Err(unknown("outcome", other)),
        },
    };
    Ok((AuditNumber(row.get::<_, i64>("number")?.cast_unsigned()), entry))
}

fn read_time(row: &Row<'_>, column: &str) -> rusqlite::Result<Timestamp> {
    row.get(column).map(Timestamp::from_unix_millis)
}

fn read_address(text: &str) -> rusqlite::Result<IpAddr> {
    text.parse().map_err(|error| rusqlite::Error::FromSqlConversionFailure(0, Type::Text, Box::new(error)))
}

fn wrong(error: InvalidName) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(0, Type::Text, Box::new(error))
}
