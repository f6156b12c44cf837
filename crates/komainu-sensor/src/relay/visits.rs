//! Which sessions were there when something changed on a device.

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddrV4};
use std::sync::Arc;

use komainu_model::ApplianceIndex;
use parking_lot::Mutex;

use super::Known;
use crate::session::{Afterword, Keeper};

/// Sessions of a device that are remembered: those of minutes when worms are about. What is remembered of one takes about
/// 800 bytes.
const VISITS_MAX: usize = 1_024;

/// What SMB is called in records.
const SMB: &str = "smb";

/// A session of a device.
#[derive(Debug)]
pub(super) struct Visit {
    pub(super) source: IpAddr,
    /// Where the stranger reached the device.
    port: u16,
    began_at: i64,
    /// Writes further lines about it.
    pub(super) afterword: Afterword,
    end: Mutex<Option<End>>,
}

#[derive(Debug, Clone, Copy)]
struct End {
    at: i64,
    /// What the stranger said.
    bytes: u64,
    is_smb: bool,
}

/// The sessions of devices whose shared folders are watched.
#[derive(Debug)]
pub(super) struct Visits {
    devices: Vec<Option<Mutex<Remembered>>>,
}

#[derive(Debug)]
struct Remembered {
    visits: VecDeque<Arc<Visit>>,
    /// From when on every session is there, in microseconds since 1970.
    complete_from: i64,
    /// The port of the shared folders.
    port: u16,
}

/// The sessions that may have changed something, those that are most likely to first.
#[derive(Debug, Default)]
pub(super) struct Suspects {
    pub(super) visits: Vec<Arc<Visit>>,
    /// There may have been others, which are forgotten.
    pub(super) are_incomplete: bool,
    /// The first of them is the only one that can have brought a file, as far as is known.
    pub(super) is_certain: bool,
}

impl Visits {
    /// Remembers sessions from `now` on, in microseconds since 1970.
    pub(super) fn new(devices: &[Known], now: i64) -> Self {
        let remembered = |known: &Known| {
            let port = known.appliance.share.as_ref()?.port;
            Some(Mutex::new(Remembered { visits: VecDeque::new(), complete_from: now, port }))
        };
        Self { devices: devices.iter().map(remembered).collect() }
    }

    /// Learns of a session that begins; none where nobody will ask.
    pub(super) fn begin(
        &self,
        index: ApplianceIndex,
        keeper: &Keeper,
        (client, original): (SocketAddrV4, SocketAddrV4),
        at: i64,
    ) -> Option<Arc<Visit>> {
        let remembered = self.devices.get(usize::from(index.0))?.as_ref()?;
        let (source, port) = ((*client.ip()).into(), original.port());
        let visit = Visit { source, port, began_at: at, afterword: keeper.afterword(), end: Mutex::default() };
        let visit = Arc::new(visit);
        remembered.lock().add(visit.clone(), at);
        Some(visit)
    }

    /// The sessions that were there between two times and may have written a file of so many bytes.
    pub(super) fn suspects(&self, index: ApplianceIndex, from: i64, to: i64, bytes: u64) -> Suspects {
        match self.devices.get(usize::from(index.0)) {
            Some(Some(remembered)) => remembered.lock().suspects(from, to, bytes),
            Some(None) | None => Suspects::default(),
        }
    }
}

impl Visit {
    /// Learns that the session ended, what it was about and how much the stranger said.
    pub(super) fn end(&self, at: i64, app_proto: Option<&'static str>, bytes: u64) {
        *self.end.lock() = Some(End { at, bytes, is_smb: app_proto == Some(SMB) });
    }

    /// How likely it is that a session wrote a file of so many bytes: 0 is most likely.
    fn rank(&self, port: u16, bytes: u64) -> u8 {
        let (is_smb, is_enough) = match *self.end.lock() {
            Some(end) => (end.is_smb, end.bytes >= bytes),
            // What it is about is known when it is over.
            None => (self.port == port, true),
        };
        match (is_enough, is_smb) {
            (true, true) => 0,
            (true, false) => 1,
            (false, true) => 2,
            (false, false) => 3,
        }
    }

    fn was_there(&self, from: i64, to: i64) -> bool {
        self.began_at <= to && self.end.lock().is_none_or(|end| end.at >= from)
    }
}

impl Remembered {
    fn add(&mut self, visit: Arc<Visit>, now: i64) {
        if self.visits.len() >= VISITS_MAX
            && let Some(oldest) = self.visits.pop_front()
        {
            let end = oldest.end.lock().map_or(now, |end| end.at);
            self.complete_from = self.complete_from.max(end.saturating_add(1));
        }
        self.visits.push_back(visit);
    }

    fn suspects(&self, from: i64, to: i64, bytes: u64) -> Suspects {
        let there = self.visits.iter().filter(|visit| visit.was_there(from, to));
        let mut ranked: Vec<(u8, Arc<Visit>)> =
            there.map(|visit| (visit.rank(self.port, bytes), visit.clone())).collect();
        // Of equal ones, the younger.
        ranked.sort_by_key(|(rank, visit)| (*rank, std::cmp::Reverse(visit.began_at)));
        let are_incomplete = from < self.complete_from;
        let likely = ranked.iter().filter(|(rank, _)| *rank < 2).count();
        let is_certain = likely == 1 && !are_incomplete && ranked.first().is_some_and(|(rank, _)| *rank == 0);
        Suspects { visits: ranked.into_iter().map(|(_, visit)| visit).collect(), are_incomplete, is_certain }
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use komainu_decode::Transport;

    use super::*;
    use crate::log::EventLog;
    use crate::session::{Flow, Passwords, RecordLimits, Recorder, RecorderParts, SensorIdentity, Target, TargetKind};

    const BEFORE: u16 = 1;
    const WEB: u16 = 80;
    const SHORT_SMB: u16 = 139;
    const LONG_SMB: u16 = 4_450;
    const RUNNING: u16 = 445;
    const AFTER: u16 = 9;

    /// A session on port `port`, and when it ended, whether it was of SMB, and how much the stranger said.
    fn visit(port: u16, began_at: i64, end: Option<(i64, bool, u64)>) -> Arc<Visit> {
        let recorder = Recorder::new(RecorderParts {
            log: Arc::new(EventLog::to_writer(std::io::sink())),
            artifacts: None,
            sensor: SensorIdentity { id: "test".into(), site: None, country: None },
            passwords: Passwords::Clear,
            classifier: None,
            limits: RecordLimits::default(),
            fetches: None,
            scans: None,
        });
        let (client, server) = ("192.0.2.1:1000".parse().unwrap(), SocketAddr::from(([198, 51, 100, 1], port)));
        let flow = Flow { transport: Transport::Tcp, client, server };
        let keeper = recorder.begin(flow, Arc::new(Target::of_kind(TargetKind::Real)), began_at);
        let end = end.map(|(at, is_smb, bytes)| End { at, bytes, is_smb });
        let end = Mutex::new(end);
        Arc::new(Visit { source: client.ip(), port, began_at, afterword: keeper.afterword(), end })
    }

    fn remembered(visits: &[Arc<Visit>]) -> Remembered {
        Remembered { visits: visits.iter().cloned().collect(), complete_from: 0, port: 445 }
    }

    #[test]
    fn likely_sessions_come_first() {
        let visits = [
            visit(BEFORE, 1, Some((9, true, 1_000))),
            visit(WEB, 5, Some((15, false, 1_000))),
            visit(SHORT_SMB, 11, Some((12, true, 10))),
            visit(LONG_SMB, 12, Some((13, true, 1_000))),
            visit(RUNNING, 13, None),
            visit(AFTER, 31, None),
        ];
        let remembered = remembered(&visits);
        let check = |from, to, bytes, expected: &[u16], is_certain| {
            let suspects = remembered.suspects(from, to, bytes);
            let ports: Vec<u16> = suspects.visits.iter().map(|visit| visit.port).collect();
            assert_eq!((ports.as_slice(), suspects.is_certain), (expected, is_certain), "{from} {to} {bytes}");
        };
        check(10, 30, 500, &[RUNNING, LONG_SMB, WEB, SHORT_SMB], false);
        check(10, 12, 500, &[LONG_SMB, WEB, SHORT_SMB], false);
        check(16, 30, 2_000, &[RUNNING], true);
        check(1, 4, 500, &[BEFORE], true);
        check(1, 4, 5_000, &[BEFORE], false);
        check(10, 30, 0, &[RUNNING, LONG_SMB, SHORT_SMB, WEB], false);
    }

    #[test]
    fn what_is_forgotten_is_told() {
        let mut remembered = remembered(&[]);
        for n in 0..VISITS_MAX as i64 + 1 {
            remembered.add(visit(RUNNING, n, Some((n, true, 1))), n);
        }
        assert_eq!(remembered.visits.len(), VISITS_MAX);
        assert!(remembered.suspects(0, 10, 1).are_incomplete);
        assert!(!remembered.suspects(1, 10, 1).are_incomplete);
    }
}
