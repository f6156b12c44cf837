//! The catalog: what is in the lake, in SQLite. What it says is so; files that it does not know are not there.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use komainu_ports::{LakeError, LakeTable};
use rusqlite::{Connection, ErrorCode, OpenFlags, OptionalExtension, Transaction, TransactionBehavior, params};

use crate::part::{PartName, Written};
use crate::rollup::{CUBES, Cells, OTHER, Rollups};

/// The catalog's file.
pub(crate) const FILE: &str = "catalog.db";

/// Says in the file whose it is: `KMNL`.
const APPLICATION_ID: i32 = 0x4b4d_4e4c;

/// The version of the tables.
const VERSION: i32 = 1;

/// How long a statement waits for somebody else's lock, such as a backup's.
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);

/// The log is cut back to this size after it was carried over to the database, in bytes.
const LOG_BYTES_KEPT: i64 = 64 << 20;

const TABLES: &str = "
    CREATE TABLE part (
        number   INTEGER PRIMARY KEY,
        lake_table TEXT NOT NULL,
        month    INTEGER NOT NULL,
        rows     INTEGER NOT NULL,
        bytes    INTEGER NOT NULL,
        time_min INTEGER NOT NULL,
        time_max INTEGER NOT NULL,
        distinct_by_day BLOB NOT NULL
    ) STRICT;

    CREATE TABLE hot (
        number   INTEGER PRIMARY KEY AUTOINCREMENT,
        lake_table TEXT NOT NULL,
        month    INTEGER NOT NULL,
        rows     BLOB NOT NULL
    ) STRICT;

    CREATE TABLE applied (
        stream TEXT NOT NULL,
        first  INTEGER NOT NULL,
        last   INTEGER NOT NULL,
        PRIMARY KEY (stream, first)
    ) STRICT, WITHOUT ROWID;

    CREATE TABLE word (
        lake_table TEXT NOT NULL,
        lake_column TEXT NOT NULL,
        code       INTEGER NOT NULL,
        word       TEXT NOT NULL,
        PRIMARY KEY (lake_table, lake_column, code)
    ) STRICT, WITHOUT ROWID;

    CREATE TABLE rollup (
        cube   INTEGER NOT NULL,
        bucket INTEGER NOT NULL,
        cells  BLOB NOT NULL,
        PRIMARY KEY (cube, bucket)
    ) STRICT;
";

/// An open catalog.
#[derive(Debug)]
pub(crate) struct Catalog {
    connection: Connection,
    /// How many words of each column of the cubes are in it; their codes begin with zero.
    words: BTreeMap<(LakeTable, usize), u32>,
}

/// A part as the catalog has it.
#[derive(Debug, Clone)]
pub(crate) struct KnownPart {
    pub(crate) name: PartName,
    pub(crate) written: Written,
}

/// Rows in no file, as the catalog has them.
pub(crate) struct KnownHot {
    pub(crate) number: i64,
    pub(crate) table: LakeTable,
    pub(crate) month: i64,
    pub(crate) rows: Vec<u8>,
}

/// Everything that the catalog says.
pub(crate) struct Contents {
    pub(crate) parts: Vec<KnownPart>,
    pub(crate) hot: Vec<KnownHot>,
    /// For each stream the first and last numbers of stretches of batches.
    pub(crate) applied: Vec<(String, u64, u64)>,
    /// Counts of parts; those of hot rows are not among them.
    pub(crate) rollups: Rollups,
}

impl Catalog {
    /// Opens the catalog in a folder, or makes it.
    pub(crate) fn open(folder: &Path) -> Result<Self, LakeError> {
        let doing = "opening the catalog";
        let mut connection = Connection::open(folder.join(FILE)).map_err(failed(doing))?;
        connection.busy_timeout(BUSY_TIMEOUT).map_err(failed(doing))?;
        let set = |pragma: &str, value: &dyn rusqlite::ToSql| connection.pragma_update(None, pragma, value);
        set("journal_mode", &"wal").map_err(failed(doing))?;
        set("synchronous", &"full").map_err(failed(doing))?;
        set("journal_size_limit", &LOG_BYTES_KEPT).map_err(failed(doing))?;
        connection.set_prepared_statement_cache_capacity(32);
        let transaction =
            connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(failed(doing))?;
        match version(&transaction).map_err(failed(doing))? {
            None => {
                transaction.execute_batch(TABLES).map_err(failed(doing))?;
                transaction.pragma_update(None, "application_id", APPLICATION_ID).map_err(failed(doing))?;
                transaction.pragma_update(None, "user_version", VERSION).map_err(failed(doing))?;
            }
            Some(found) => check_version(found)?,
        }
        transaction.commit().map_err(failed(doing))?;
        Ok(Self { connection, words: BTreeMap::new() })
    }

    /// Opens the catalog in a folder for reading, while another process may write. None when there is none.
    pub(crate) fn open_to_read(folder: &Path) -> Result<Option<Self>, LakeError> {
        let doing = "opening the catalog";
        let path = folder.join(FILE);
        if !path.is_file() {
            return Ok(None);
        }
        // Not read-only: the log's shared memory has to be there, which its owner may write.
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(path, flags).map_err(failed(doing))?;
        connection.busy_timeout(BUSY_TIMEOUT).map_err(failed(doing))?;
        connection.pragma_update(None, "query_only", true).map_err(failed(doing))?;
        match version(&connection).map_err(failed(doing))? {
            None => Ok(None),
            Some(found) => check_version(found).map(|()| Some(Self { connection, words: BTreeMap::new() })),
        }
    }

    /// Everything that it says, as of one moment.
    pub(crate) fn read(&mut self) -> Result<Contents, LakeError> {
        let doing = "reading the catalog";
        let transaction = self.connection.transaction().map_err(failed(doing))?;
        let contents = read(&transaction)?;
        transaction.commit().map_err(failed(doing))?;
        self.words = contents.rollups.word_counts().collect();
        Ok(contents)
    }

    /// Changes the catalog: all of what `change` does, or nothing. Durable on return.
    pub(crate) fn change<T>(
        &mut self,
        doing: &'static str,
        change: impl FnOnce(&mut CatalogChange<'_>) -> rusqlite::Result<T>,
    ) -> Result<T, LakeError> {
        let transaction =
            self.connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(failed(doing))?;
        let done = change(&mut CatalogChange(&transaction)).map_err(failed(doing))?;
        transaction.commit().map_err(failed(doing))?;
        Ok(done)
    }

    /// How many words of a column it has: those with the codes before this one.
    pub(crate) fn word_count(&self, table: LakeTable, column: usize) -> u32 {
        self.words.get(&(table, column)).copied().unwrap_or(0)
    }

    /// Notes that these words are in it, of each column all that there were.
    pub(crate) fn has_words(&mut self, words: &[(LakeTable, usize, u32, String)]) {
        for (table, column, code, _) in words.iter().filter(|(.., code, _)| *code != OTHER) {
            let count = self.words.entry((*table, *column)).or_insert(0);
            *count = (*count).max(code + 1);
        }
    }
}

/// A change that is not done yet.
pub(crate) struct CatalogChange<'c>(&'c Transaction<'c>);

impl CatalogChange<'_> {
    /// Keeps rows that are in no file; says under which number.
    pub(crate) fn put_hot(&mut self, table: LakeTable, month: i64, rows: &[u8]) -> rusqlite::Result<i64> {
        let sql = "INSERT INTO hot (lake_table, month, rows) VALUES (?1, ?2, ?3)";
        self.0.prepare_cached(sql)?.execute(params![table.as_str(), month, rows])?;
        Ok(self.0.last_insert_rowid())
    }

    pub(crate) fn remove_hot(&mut self, numbers: impl Iterator<Item = i64>) -> rusqlite::Result<()> {
        let mut statement = self.0.prepare_cached("DELETE FROM hot WHERE number = ?1")?;
        for number in numbers {
            statement.execute([number])?;
        }
        Ok(())
    }

    pub(crate) fn put_part(&mut self, name: &PartName, written: &Written) -> rusqlite::Result<()> {
        let mut by_day = Vec::new();
        written.distinct_by_day.iter().for_each(|count| by_day.extend(count.to_le_bytes()));
        let sql = "INSERT INTO part (number, lake_table, month, rows, bytes, time_min, time_max, distinct_by_day)
                   VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)";
        let Written { rows, bytes, times, .. } = written;
        let values = params![
            name.number,
            name.table.as_str(),
            name.month,
            signed(*rows),
            signed(*bytes),
            times.0,
            times.1,
            by_day
        ];
        self.0.prepare_cached(sql)?.execute(values)?;
        Ok(())
    }

    pub(crate) fn remove_parts(&mut self, numbers: impl Iterator<Item = i64>) -> rusqlite::Result<()> {
        let mut statement = self.0.prepare_cached("DELETE FROM part WHERE number = ?1")?;
        for number in numbers {
            statement.execute([number])?;
        }
        Ok(())
    }

    /// Remembers that a batch was applied, as the stretch of its neighbours from `first` to `last`, which it closed or made
    /// longer; `gone` is the stretch that is now a part of it.
    pub(crate) fn put_applied(
        &mut self,
        stream: &str,
        first: u64,
        last: u64,
        gone: Option<u64>,
    ) -> rusqlite::Result<()> {
        if let Some(gone) = gone {
            let sql = "DELETE FROM applied WHERE stream = ?1 AND first = ?2";
            self.0.prepare_cached(sql)?.execute(params![stream, gone.cast_signed()])?;
        }
        let sql = "INSERT INTO applied (stream, first, last) VALUES (?1, ?2, ?3)
                   ON CONFLICT (stream, first) DO UPDATE SET last = excluded.last";
        self.0.prepare_cached(sql)?.execute(params![stream, first.cast_signed(), last.cast_signed()])?;
        Ok(())
    }

    pub(crate) fn put_word(&mut self, table: LakeTable, column: usize, code: u32, word: &str) -> rusqlite::Result<()> {
        let sql =
            "INSERT INTO word (lake_table, lake_column, code, word) VALUES (?1, ?2, ?3, ?4) ON CONFLICT DO NOTHING";
        let column = table.columns()[column].name;
        self.0.prepare_cached(sql)?.execute(params![table.as_str(), column, code, word])?;
        Ok(())
    }

    /// Adds cells to what is counted of a piece of time.
    pub(crate) fn add_cells(&mut self, cube: i64, bucket: i64, cells: &Cells) -> rusqlite::Result<()> {
        let sql = "SELECT cells FROM rollup WHERE cube = ?1 AND bucket = ?2";
        let known: Option<Vec<u8>> =
            self.0.prepare_cached(sql)?.query_row([cube, bucket], |row| row.get(0)).optional()?;
        let mut sum = known.as_deref().and_then(Cells::decode).unwrap_or_default();
        sum.add(cells);
        let sql = "INSERT INTO rollup (cube, bucket, cells) VALUES (?1, ?2, ?3)
                   ON CONFLICT (cube, bucket) DO UPDATE SET cells = excluded.cells";
        self.0.prepare_cached(sql)?.execute(params![cube, bucket, sum.encode()])?;
        Ok(())
    }

    /// Forgets what is counted of a table in a month.
    pub(crate) fn forget_cells(&mut self, table: LakeTable, month: i64) -> rusqlite::Result<()> {
        for cube in CUBES.iter().filter(|cube| cube.table() == table) {
            let buckets = cube.buckets_of_month(month);
            let sql = "DELETE FROM rollup WHERE cube = ?1 AND bucket >= ?2 AND bucket < ?3";
            self.0.prepare_cached(sql)?.execute(params![cube.number, buckets.start, buckets.end])?;
        }
        Ok(())
    }
}

fn read(transaction: &Transaction<'_>) -> Result<Contents, LakeError> {
    let doing = "reading the catalog";
    let damaged = |problem: &str| LakeError::Damaged { part: FILE.to_owned(), problem: problem.to_owned() };
    let rows = |sql: &str| transaction.prepare(sql).map_err(failed(doing));
    let table = |name: String| LakeTable::parse(&name).ok_or_else(|| damaged("it knows a table that is none"));

    let mut parts = Vec::new();
    let mut statement = rows(
        "SELECT number, lake_table, month, rows, bytes, time_min, time_max, distinct_by_day FROM part ORDER BY number",
    )?;
    let mut found = statement.query([]).map_err(failed(doing))?;
    while let Some(row) = found.next().map_err(failed(doing))? {
        let read = || -> rusqlite::Result<_> {
            let name = (row.get::<_, i64>(0)?, row.get::<_, String>(1)?, row.get::<_, i64>(2)?);
            let numbers = (row.get::<_, i64>(3)?, row.get::<_, i64>(4)?);
            Ok((name, numbers, (row.get(5)?, row.get(6)?), row.get::<_, Vec<u8>>(7)?))
        };
        let ((number, name, month), (rows, bytes), times, by_day) = read().map_err(failed(doing))?;
        let distinct_by_day = by_day
            .chunks_exact(4)
            .map(|count| u32::from_le_bytes(count.try_into().expect("a chunk of four bytes")))
            .collect();
        let written = Written { rows: rows.unsigned_abs(), bytes: bytes.unsigned_abs(), times, distinct_by_day };
        parts.push(KnownPart { name: PartName { table: table(name)?, month, number }, written });
    }

    let mut hot = Vec::new();
    let mut statement = rows("SELECT number, lake_table, month, rows FROM hot ORDER BY number")?;
    let mut found = statement.query([]).map_err(failed(doing))?;
    while let Some(row) = found.next().map_err(failed(doing))? {
        let read = || -> rusqlite::Result<_> { Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)) };
        let (number, name, month, rows) = read().map_err(failed(doing))?;
        hot.push(KnownHot { number, table: table(name)?, month, rows });
    }

    let mut applied = Vec::new();
    let mut statement = rows("SELECT stream, first, last FROM applied ORDER BY stream, first")?;
    let mut found = statement.query([]).map_err(failed(doing))?;
    while let Some(row) = found.next().map_err(failed(doing))? {
        let read = || -> rusqlite::Result<(String, i64, i64)> { Ok((row.get(0)?, row.get(1)?, row.get(2)?)) };
        let (stream, first, last) = read().map_err(failed(doing))?;
        applied.push((stream, first.cast_unsigned(), last.cast_unsigned()));
    }

    let mut rollups = Rollups::default();
    let mut statement =
        rows("SELECT lake_table, lake_column, code, word FROM word ORDER BY lake_table, lake_column, code")?;
    let mut found = statement.query([]).map_err(failed(doing))?;
    while let Some(row) = found.next().map_err(failed(doing))? {
        let read = || -> rusqlite::Result<_> { Ok((row.get(0)?, row.get::<_, String>(1)?, row.get(2)?, row.get(3)?)) };
        let (name, column, code, word): (_, _, _, String) = read().map_err(failed(doing))?;
        let table = table(name)?;
        let column = table.column(&column).ok_or_else(|| damaged("it knows a column that is none"))?;
        rollups.learn(table, column, code, &word);
    }
    let mut statement = rows("SELECT cube, bucket, cells FROM rollup ORDER BY cube, bucket")?;
    let mut found = statement.query([]).map_err(failed(doing))?;
    while let Some(row) = found.next().map_err(failed(doing))? {
        let read = || -> rusqlite::Result<(i64, i64, Vec<u8>)> { Ok((row.get(0)?, row.get(1)?, row.get(2)?)) };
        let (number, bucket, cells) = read().map_err(failed(doing))?;
        let cube = CUBES.iter().position(|cube| cube.number == number);
        let cells = Cells::decode(&cells).ok_or_else(|| damaged("counts of it cannot be read"))?;
        // A cube that this version does not have is left where it is.
        if let Some(cube) = cube {
            rollups.add(cube, bucket, &cells);
        }
    }
    Ok(Contents { parts, hot, applied, rollups })
}

/// The version of the tables; none when there are none.
fn version(connection: &Connection) -> rusqlite::Result<Option<(i32, i32)>> {
    let number = |pragma| connection.pragma_query_value(None, pragma, |row| row.get::<_, i32>(0));
    let is_empty = connection.query_row("SELECT count(*) = 0 FROM sqlite_schema", [], |row| row.get::<_, bool>(0))?;
    Ok(if is_empty { None } else { Some((number("application_id")?, number("user_version")?)) })
}

fn check_version(found: (i32, i32)) -> Result<(), LakeError> {
    let problem = match found {
        (APPLICATION_ID, VERSION) => return Ok(()),
        (APPLICATION_ID, version) => {
            format!("it has version {version} of a newer komainu; this one knows version {VERSION}")
        }
        _ => "it belongs to another program".to_owned(),
    };
    Err(LakeError::Damaged { part: FILE.to_owned(), problem })
}

/// What a failure of SQLite means for the caller, who was `doing` something.
fn failed(doing: &'static str) -> impl Fn(rusqlite::Error) -> LakeError {
    move |error| match error.sqlite_error_code() {
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
            LakeError::Damaged { part: FILE.to_owned(), problem: error.to_string() }
        }
        _ => LakeError::Unavailable { doing, source: error.into() },
    }
}

fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// The batches of each stream that were applied, as stretches without gaps.
#[derive(Debug, Default)]
pub(crate) struct Applied(BTreeMap<String, BTreeMap<u64, u64>>);

impl Applied {
    pub(crate) fn of(stretches: Vec<(String, u64, u64)>) -> Self {
        let mut applied = Self::default();
        for (stream, first, last) in stretches {
            applied.0.entry(stream).or_default().insert(first, last);
        }
        applied
    }

    pub(crate) fn holds(&self, stream: &str, number: u64) -> bool {
        let stretches = self.0.get(stream);
        let before = stretches.and_then(|stretches| stretches.range(..=number).next_back());
        before.is_some_and(|(_, last)| *last >= number)
    }

    /// What is known of some streams, to be restored.
    pub(crate) fn save(&self, streams: &[&str]) -> Vec<(String, Option<BTreeMap<u64, u64>>)> {
        streams.iter().map(|stream| ((*stream).to_owned(), self.0.get(*stream).cloned())).collect()
    }

    pub(crate) fn restore(&mut self, saved: Vec<(String, Option<BTreeMap<u64, u64>>)>) {
        for (stream, stretches) in saved {
            match stretches {
                Some(stretches) => self.0.insert(stream, stretches),
                None => self.0.remove(&stream),
            };
        }
    }

    /// Adds a batch that is not there; says which stretch it is in now, and the first number of the one that followed it and
    /// is a part of it now.
    pub(crate) fn add(&mut self, stream: &str, number: u64) -> (u64, u64, Option<u64>) {
        let stretches = match self.0.get_mut(stream) {
            Some(stretches) => stretches,
            None => self.0.entry(stream.to_owned()).or_default(),
        };
        let before = stretches.range(..number).next_back().filter(|(_, last)| last.checked_add(1) == Some(number));
        let first = before.map_or(number, |(first, _)| *first);
        let next = number.checked_add(1).and_then(|next| stretches.remove(&next).map(|last| (next, last)));
        let last = next.map_or(number, |(_, last)| last);
        stretches.insert(first, last);
        (first, last, next.map(|(next, _)| next))
    }
}
