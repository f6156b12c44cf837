//! Finds sessions in the records that are kept, and puts together what was recorded of one.
//!
//! Records are batches of lines; there is no index of sessions. The summary of a session is in a batch that came at or after
//! its end, its other lines in the batches of the same spool before that, and a few behind it.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use komainu_model::{Scope, Timestamp};
use komainu_ports::{
    BatchKey, Looked, RecordedSession, RecordsError, SensorKey, SensorRecords, SessionClue, SessionEvent, SessionHint,
    SessionLog, SessionRecord, SessionSummary, StoredBatch,
};
use memchr::memmem::Finder;
use parking_lot::Mutex;

use super::session_lines::{self, Told};

/// Bytes of records that are looked through for one session: half a second to a second of reading, as long as somebody waits
/// for a page.
const SEARCH_BYTES_MAX: u64 = 1 << 30;

/// Batches that are looked through for one session: opening a file takes some 20 µs.
const SEARCH_BATCHES_MAX: u64 = 50_000;

/// So much a sensor's clock may be ahead of ours when a session is looked for by its time.
const CLOCK_AHEAD_MAX: Duration = Duration::from_secs(10 * 60);

/// Batches before the one with the summary in which a session's lines are looked for. A busy sensor fills one in seconds; what
/// somebody does in hours on such a one is not put together as a whole.
const BEFORE_BATCHES_MAX: usize = 256;

/// Batches behind the one with the summary: there is what was fetched later.
const BEHIND_BATCHES_MAX: usize = 16;

/// Lines of a batch are in the order of their times up to this: those of two logs are sealed together.
const ORDER_SLACK: Duration = Duration::from_secs(60);

/// What was fetched for a session is recorded at most so long behind its end.
const AFTERWORDS_WAIT: Duration = Duration::from_secs(300);

/// Lines of one session that are put together; our sensors write 10,000 before its last two.
const LINES_MAX: usize = 10_016;

/// Bytes of these lines. A session with more is one of large batches from somebody else's sensor.
const LINES_BYTES_MAX: usize = 16 << 20;

/// Sessions of which it is remembered where they were found: pages of one session ask several times.
const REMEMBERED_MAX: usize = 256;

/// Sessions that began in the same millisecond and are told: nobody goes through more of them.
const SAME_TIME_MAX: usize = 20;

/// Batches that are looked through for the latest sessions of a sensor, and their bytes.
const LATEST_BATCHES_MAX: usize = 64;
const LATEST_BYTES_MAX: u64 = 16 << 20;

/// The records of sensors, as sessions.
pub struct RecordedSessions {
    records: Arc<dyn SensorRecords>,
    /// Where sessions were found, the latest last.
    remembered: Mutex<VecDeque<(RecordedSession, BatchKey)>>,
}

impl RecordedSessions {
    /// The sessions in these records.
    pub fn new(records: Arc<dyn SensorRecords>) -> Self {
        Self { records, remembered: Mutex::default() }
    }

    /// The summary of a session, if this batch has it.
    fn in_batch(&self, batch: &BatchKey, session: RecordedSession) -> Result<Option<Told>, RecordsError> {
        let Some(lines) = self.read(batch)? else { return Ok(None) };
        Ok(summary_in(&lines, &batch.sensor, session))
    }

    /// The lines of a batch; none when it was removed meanwhile.
    fn read(&self, batch: &BatchKey) -> Result<Option<Vec<u8>>, RecordsError> {
        match self.records.read(batch) {
            Ok(lines) => Ok(Some(lines)),
            Err(RecordsError::Missing { .. }) => Ok(None),
            Err(error @ RecordsError::Unavailable { .. }) => Err(error),
        }
    }

    /// The summary of a session and its batch, where it was found before.
    fn remembered(&self, scope: &Scope, session: RecordedSession) -> Result<Option<(BatchKey, Told)>, RecordsError> {
        let batch = {
            let remembered = self.remembered.lock();
            remembered.iter().find(|(known, _)| *known == session).map(|(_, batch)| batch.clone())
        };
        let Some(batch) = batch.filter(|batch| batch.sensor.scope == *scope) else { return Ok(None) };
        Ok(self.in_batch(&batch, session)?.map(|told| (batch, told)))
    }

    fn remember(&self, session: RecordedSession, batch: &BatchKey) {
        let mut remembered = self.remembered.lock();
        remembered.retain(|(known, _)| *known != session);
        if remembered.len() == REMEMBERED_MAX {
            remembered.pop_front();
        }
        remembered.push_back((session, batch.clone()));
    }

    /// The summary of a session and its batch.
    fn search(
        &self,
        scope: &Scope,
        session: RecordedSession,
        hint: Option<&SessionHint>,
    ) -> Result<Looked<(BatchKey, Told)>, RecordsError> {
        if let Some(found) = self.remembered(scope, session)? {
            return Ok(Looked::Found(found));
        }
        if let Some(SessionHint { sensor, at }) = hint {
            let sensor = SensorKey { scope: scope.clone(), name: sensor.clone() };
            let from = moved(*at, -millis(CLOCK_AHEAD_MAX));
            let behind = self.records.batches(&sensor).into_iter().filter(|batch| batch.received_at >= from);
            if let Looked::Found(found) = self.look_through(behind, &mut Budget::default(), session)? {
                return Ok(Looked::Found(found));
            }
        }
        let mut budget = Budget::default();
        let sensors = self.records.sensors().into_iter().map(|totals| totals.sensor);
        for sensor in sensors.filter(|sensor| sensor.scope == *scope) {
            let youngest_first = self.records.batches(&sensor).into_iter().rev();
            match self.look_through(youngest_first, &mut budget, session)? {
                Looked::NotKept => {}
                found => return Ok(found),
            }
        }
        Ok(Looked::NotKept)
    }

    fn look_through(
        &self,
        batches: impl Iterator<Item = StoredBatch>,
        budget: &mut Budget,
        session: RecordedSession,
    ) -> Result<Looked<(BatchKey, Told)>, RecordsError> {
        for batch in batches {
            if !budget.take(&batch) {
                return Ok(Looked::GaveUp { batches: budget.batches });
            }
            if let Some(told) = self.in_batch(&batch.key, session)? {
                return Ok(Looked::Found((batch.key, told)));
            }
        }
        Ok(Looked::NotKept)
    }

    /// What was recorded of a session whose summary is in a batch.
    fn put_together(&self, batch: &BatchKey, told: Told) -> Result<SessionRecord, RecordsError> {
        let of_spool: Vec<StoredBatch> = {
            let mut all = self.records.batches(&batch.sensor);
            all.retain(|other| other.key.epoch == batch.epoch);
            all.sort_by_key(|other| other.key.sequence);
            all
        };
        let here = of_spool.partition_point(|other| other.key.sequence < batch.sequence);
        let mut parts = Parts::of(&told);
        let from = moved(told.summary.began_at, -millis(ORDER_SLACK));
        let mut is_all_before = here == 0;
        for (place, other) in
            of_spool[..(here + 1).min(of_spool.len())].iter().rev().take(BEFORE_BATCHES_MAX).enumerate()
        {
            let Some(lines) = self.read(&other.key)? else { continue };
            parts.take(other.key.sequence, &lines);
            let began_before = lines.split(|byte| *byte == b'\n').next().and_then(session_lines::time_of);
            // A line without a time says nothing about how far back one has to go.
            if began_before.is_some_and(|at| at < from) || place == here {
                is_all_before = true;
                break;
            }
        }
        let until = moved(told.summary.ended_at, millis(AFTERWORDS_WAIT));
        for other in of_spool.iter().skip(here + 1).take(BEHIND_BATCHES_MAX) {
            let Some(lines) = self.read(&other.key)? else { continue };
            let begins_at = lines.split(|byte| *byte == b'\n').next().and_then(session_lines::time_of);
            if begins_at.is_some_and(|at| at > until) {
                break;
            }
            parts.take(other.key.sequence, &lines);
        }
        Ok(parts.record(told, is_all_before))
    }
}

/// The lines of one session, found in several batches.
struct Parts {
    session: String,
    flow: Option<u64>,
    marks: Vec<Finder<'static>>,
    /// Each with the number of its batch.
    found: Vec<(u64, SessionEvent, Vec<u8>)>,
    bytes: usize,
    is_full: bool,
}

impl Parts {
    fn of(told: &Told) -> Self {
        let session = told.summary.session.to_string();
        let marks = told.flow.map(|flow| flow.to_string()).into_iter().chain([session.clone()]);
        let marks = marks.map(|mark| Finder::new(mark.as_bytes()).into_owned()).collect();
        Self { session, flow: told.flow, marks, found: Vec::new(), bytes: 0, is_full: false }
    }

    fn take(&mut self, sequence: u64, lines: &[u8]) {
        for line in lines.split_inclusive(|byte| *byte == b'\n') {
            // Most lines are told apart by this, which is cheap.
            if self.marks.iter().all(|mark| mark.find(line).is_none()) {
                continue;
            }
            let Some(event) = session_lines::event(line, self.flow, &self.session) else { continue };
            if self.found.len() >= LINES_MAX || self.bytes + line.len() > LINES_BYTES_MAX {
                self.is_full = true;
                return;
            }
            self.bytes += line.len();
            self.found.push((sequence, event, line.to_vec()));
        }
    }

    fn record(mut self, told: Told, is_all_before: bool) -> SessionRecord {
        // What has the same time stays in the order in which it was written.
        self.found.sort_by_key(|(sequence, event, _)| (event.at, *sequence));
        let mut lines = Vec::with_capacity(self.bytes);
        let mut events = Vec::with_capacity(self.found.len());
        for (_, event, line) in self.found {
            lines.extend_from_slice(&line);
            // The summary is told apart from what happened.
            if event.kind != "honeypot" && event.kind != "flow" {
                events.push(event);
            }
        }
        let is_whole = is_all_before && !self.is_full && told.summary.lines_left_out == 0;
        if events.is_empty() {
            events = told.listed;
        }
        SessionRecord { summary: told.summary, events, lines, is_whole }
    }
}

/// How much is looked through still.
#[derive(Default)]
struct Budget {
    batches: u64,
    bytes: u64,
}

impl Budget {
    /// Whether one more batch may be read.
    fn take(&mut self, batch: &StoredBatch) -> bool {
        if self.batches >= SEARCH_BATCHES_MAX || self.bytes + batch.bytes > SEARCH_BYTES_MAX {
            return false;
        }
        self.batches += 1;
        self.bytes += batch.bytes;
        true
    }
}

impl SessionLog for RecordedSessions {
    fn find(
        &self,
        scope: &Scope,
        session: RecordedSession,
        hint: Option<&SessionHint>,
    ) -> Result<Looked<SessionRecord>, RecordsError> {
        Ok(match self.search(scope, session, hint)? {
            Looked::Found((batch, told)) => {
                self.remember(session, &batch);
                Looked::Found(self.put_together(&batch, told)?)
            }
            Looked::NotKept => Looked::NotKept,
            Looked::GaveUp { batches } => Looked::GaveUp { batches },
        })
    }

    fn sessions_at(&self, clue: &SessionClue) -> Result<Looked<Vec<RecordedSession>>, RecordsError> {
        let from = moved(clue.at, -millis(CLOCK_AHEAD_MAX));
        let (mut budget, mut found) = (Budget::default(), Vec::new());
        let mark = Finder::new("\"target\"");
        // An address of IPv4 is written in one way only.
        let source =
            matches!(clue.source, IpAddr::V4(_)).then(|| Finder::new(clue.source.to_string().as_bytes()).into_owned());
        for batch in self.records.batches(&clue.sensor).into_iter().filter(|batch| batch.received_at >= from) {
            if !budget.take(&batch) {
                return Ok(Looked::GaveUp { batches: budget.batches });
            }
            let Some(lines) = self.read(&batch.key)? else { continue };
            if source.as_ref().is_some_and(|source| source.find(&lines).is_none()) {
                continue;
            }
            for line in lines.split(|byte| *byte == b'\n').filter(|line| mark.find(line).is_some()) {
                if source.as_ref().is_some_and(|source| source.find(line).is_none()) {
                    continue;
                }
                let Some(told) = session_lines::summary(line, &clue.sensor) else { continue };
                let SessionSummary { session, began_at, source, port, .. } = &told.summary;
                // The lake takes the time of receipt where the sensor's clock is wrong beyond doubt.
                let is_then = *began_at == clue.at || batch.received_at == clue.at;
                let is_port = clue.port.is_none_or(|wanted| wanted == *port);
                if is_then && is_port && *source == clue.source.to_string() && found.len() < SAME_TIME_MAX {
                    self.remember(*session, &batch.key);
                    found.push(*session);
                }
            }
            if !found.is_empty() {
                return Ok(Looked::Found(found));
            }
        }
        Ok(Looked::NotKept)
    }

    fn latest(&self, sensor: &SensorKey, limit: usize) -> Result<Vec<SessionSummary>, RecordsError> {
        let mark = Finder::new("\"target\"");
        let (mut found, mut bytes) = (Vec::new(), 0);
        for batch in self.records.batches(sensor).into_iter().rev().take(LATEST_BATCHES_MAX) {
            bytes += batch.bytes;
            if found.len() >= limit || bytes > LATEST_BYTES_MAX {
                break;
            }
            let Some(lines) = self.read(&batch.key)? else { continue };
            let marked = lines.split(|byte| *byte == b'\n').filter(|line| mark.find(line).is_some());
            found.extend(marked.filter_map(|line| session_lines::summary(line, sensor)).map(|told| told.summary));
        }
        found.sort_by_key(|summary: &SessionSummary| std::cmp::Reverse((summary.ended_at, summary.session)));
        found.truncate(limit);
        Ok(found)
    }
}

/// The summary of a session in the lines of a batch.
fn summary_in(lines: &[u8], sensor: &SensorKey, session: RecordedSession) -> Option<Told> {
    let id = session.to_string();
    let mark = Finder::new(id.as_bytes());
    // Looked for in all at once: most batches do not have it.
    mark.find(lines)?;
    let marked = lines.split(|byte| *byte == b'\n').filter(|line| mark.find(line).is_some());
    marked.filter_map(|line| session_lines::summary(line, sensor)).find(|told| told.summary.session == session)
}

/// A time so many milliseconds later. Times that somebody asks for may be any.
fn moved(at: Timestamp, by_ms: i64) -> Timestamp {
    Timestamp::from_unix_millis(at.unix_millis().saturating_add(by_ms))
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

/// Batches, separated by 0x1E.
#[cfg(fuzzing)]
pub(super) fn fuzz(bytes: &[u8]) {
    use komainu_model::{AccountId, Region, ThingName};
    use komainu_ports::{MemoryRecords, RecordsLimits, SpoolEpoch};

    let scope = Scope {
        account: AccountId::parse("000000000000").expect("it is an account"),
        region: Region::parse("local").expect("it is a region"),
    };
    let sensor = SensorKey { scope: scope.clone(), name: ThingName::parse("tokyo").expect("it is a name") };
    let records = Arc::new(MemoryRecords::new(RecordsLimits::default()));
    for (sequence, lines) in (1..).zip(bytes.split(|byte| *byte == 0x1e)) {
        let batch = BatchKey { sensor: sensor.clone(), epoch: SpoolEpoch::new(1), sequence };
        let _ = records.put(&batch, lines, Timestamp::from_unix_seconds(1_800_000_000));
    }
    let log = RecordedSessions::new(records);
    let Ok(latest) = log.latest(&sensor, SAME_TIME_MAX) else { return };
    assert!(latest.len() <= SAME_TIME_MAX);
    for summary in latest {
        let Ok(Looked::Found(record)) = log.find(&scope, summary.session, None) else {
            panic!("a session that is listed is not found");
        };
        assert_eq!(record.summary.session, summary.session);
        assert!(record.events.len() <= LINES_MAX && record.lines.len() <= LINES_BYTES_MAX);
        assert!(record.events.is_sorted_by_key(|event| event.at), "what happened is not told in its order");
    }
}

#[cfg(test)]
mod tests;
