//! The resets that run in the guard, and what the worker is told of them.

use std::collections::{BTreeMap, VecDeque};
use std::io::PipeReader;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;

use komainu_model::{ApplianceIndex, ApplianceName};
use komainu_ports::{Clock, ResetEnd};
use tokio::sync::mpsc;
use tokio::task::{Id, JoinSet};
use tracing::error;

use crate::events;
use crate::examination::{Begun, Case, ExaminerConfig, reset_after_incident};
use crate::ledger::Ledger;
use crate::message::Said;

/// What has begun and was not looked at yet: one for each device, and room for what is tried again.
const BEGUN_MAX: usize = 128;

/// What is kept for a worker that is not there. A device that is reset again and again makes three a day; what is over
/// is dropped, the oldest first, and stands in the log.
const UNTOLD_MAX: usize = 512;

/// The resets of a guard.
pub(crate) struct Resets {
    examiner: Arc<ExaminerConfig>,
    clock: Arc<dyn Clock>,
    running: JoinSet<ResetEnd>,
    devices: BTreeMap<Id, ApplianceIndex>,
    begin: mpsc::Sender<(ApplianceIndex, Begun)>,
    begun: mpsc::Receiver<(ApplianceIndex, Begun)>,
    tellings: VecDeque<Telling>,
}

/// What the worker is told.
struct Telling {
    device: ApplianceIndex,
    what: What,
    /// The worker that runs has it.
    is_told: bool,
}

enum What {
    Begun(PipeReader),
    Over(ResetEnd),
}

impl Resets {
    pub(crate) fn new(examiner: ExaminerConfig, clock: Arc<dyn Clock>) -> Self {
        let (begin, begun) = mpsc::channel(BEGUN_MAX);
        Self {
            examiner: Arc::new(examiner),
            clock,
            running: JoinSet::new(),
            devices: BTreeMap::new(),
            begin,
            begun,
            tellings: VecDeque::new(),
        }
    }

    /// Whether a device is reset now.
    pub(crate) fn is_at(&self, device: ApplianceIndex) -> bool {
        self.devices.values().any(|one| *one == device)
    }

    /// Notes that a device is put into quarantine after an incident, and begins its reset if that is to happen by itself.
    pub(crate) fn after_incident(&mut self, index: ApplianceIndex, name: &ApplianceName, case: Option<Case>) {
        if self.is_at(index) {
            return;
        }
        let is_wanted = case.is_some();
        let noted = Ledger::open(&self.examiner.data).and_then(|ledger| {
            ledger.with(name, |standing| {
                standing.generation += 1;
                standing.is_wanted = is_wanted;
            })
        });
        match (noted, case) {
            (Ok(()), Some(case)) => self.start(index, case),
            (Ok(()), None) => {}
            (Err(error), _) => {
                error!(event = events::LEDGER_NOT_WRITTEN, device = %name, %error, "a quarantine could not be noted");
            }
        }
    }

    /// Begins a reset that was due when the guard stopped.
    pub(crate) fn resume(&mut self, index: ApplianceIndex, case: Case) {
        let name = &case.device.name;
        let wanted =
            Ledger::open(&self.examiner.data).and_then(|ledger| ledger.with(name, |standing| standing.is_wanted));
        match wanted {
            Ok(true) => self.start(index, case),
            Ok(false) => {}
            Err(error) => {
                error!(event = events::LEDGER_NOT_WRITTEN, device = %name, %error, "a quarantine could not be looked up");
            }
        }
    }

    fn start(&mut self, index: ApplianceIndex, case: Case) {
        let (one, mut ones) = mpsc::channel(1);
        let begin = self.begin.clone();
        let (examiner, clock) = (self.examiner.clone(), self.clock.clone());
        let handle = self.running.spawn(async move {
            let tell = async {
                while let Some(begun) = ones.recv().await {
                    // The guard that would listen is gone.
                    let _ = begin.send((index, begun)).await;
                }
            };
            // The sender is gone when the reset is over.
            tokio::join!(reset_after_incident(examiner, clock, case, one), tell).0
        });
        self.devices.insert(handle.id(), index);
    }

    /// Waits until something has begun or is over; says what is over. It may be dropped at any time.
    pub(crate) async fn next(&mut self) -> Option<(ApplianceIndex, ResetEnd)> {
        tokio::select! {
            biased;
            Some((device, Begun { findings })) = self.begun.recv() => {
                self.tellings.retain(|telling| telling.device != device || !telling.is_told);
                self.tell(device, What::Begun(findings));
                None
            }
            Some(joined) = self.running.join_next_with_id(), if !self.running.is_empty() => {
                let (id, end) = match joined {
                    Ok((id, end)) => (id, end),
                    // A bug of ours; the device stays in quarantine.
                    Err(failed) => (failed.id(), ResetEnd::Impossible),
                };
                let device = self.devices.remove(&id)?;
                self.over(device, end);
                Some((device, end))
            }
        }
    }

    /// That a quarantine or its reset is over.
    pub(crate) fn over(&mut self, device: ApplianceIndex, end: ResetEnd) {
        self.tell(device, What::Over(end));
    }

    fn tell(&mut self, device: ApplianceIndex, what: What) {
        if self.tellings.len() >= UNTOLD_MAX {
            self.tellings.pop_front();
        }
        self.tellings.push_back(Telling { device, what, is_told: false });
    }

    /// Another worker knows nothing yet.
    pub(crate) fn forget_worker(&mut self) {
        for telling in &mut self.tellings {
            telling.is_told = false;
        }
    }

    /// What the worker is to be told next.
    pub(crate) fn untold(&self) -> Option<(Said, Option<BorrowedFd<'_>>)> {
        let telling = self.tellings.iter().find(|telling| !telling.is_told)?;
        let device = telling.device.0;
        Some(match &telling.what {
            What::Begun(findings) => (Said::ResetBegun { device }, Some(findings.as_fd())),
            What::Over(end) => (Said::ResetOver { device, end: end.as_str().to_owned() }, None),
        })
    }

    /// The worker has it.
    pub(crate) fn told(&mut self) {
        let Some(place) = self.tellings.iter().position(|telling| !telling.is_told) else { return };
        self.tellings[place].is_told = true;
        // What has begun is told to the next worker, too, until it is over.
        if let Telling { device, what: What::Over(_), .. } = self.tellings[place] {
            self.tellings.retain(|telling| telling.device != device || !telling.is_told);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use komainu_ports::ManualClock;

    use super::*;
    use crate::rights::ExaminerUids;

    const FIRST: ApplianceIndex = ApplianceIndex(0);
    const SECOND: ApplianceIndex = ApplianceIndex(1);

    fn resets() -> Resets {
        let uids = ExaminerUids::new(61_044, 65_534).unwrap();
        let examiner = ExaminerConfig { uids, arguments: Vec::new(), data: "nowhere".into() };
        Resets::new(examiner, Arc::new(ManualClock::default()))
    }

    fn all_told(resets: &mut Resets) -> Vec<Said> {
        let mut all = Vec::new();
        while let Some((said, _)) = resets.untold() {
            all.push(said);
            resets.told();
        }
        all
    }

    #[test]
    fn what_runs_is_told_to_each_worker_and_what_is_over_once() {
        let mut resets = resets();
        let begun = |device| Said::ResetBegun { device };
        let over = |device| Said::ResetOver { device, end: "released".into() };
        for device in [FIRST, SECOND] {
            resets.tell(device, What::Begun(io::pipe().unwrap().0));
        }
        assert_eq!(all_told(&mut resets), [begun(0), begun(1)]);
        resets.forget_worker();
        resets.over(FIRST, ResetEnd::Released);
        assert_eq!(all_told(&mut resets), [begun(0), begun(1), over(0)]);
        resets.forget_worker();
        assert_eq!(all_told(&mut resets), [begun(1)]);
    }

    #[test]
    fn what_nobody_takes_is_bounded() {
        let mut resets = resets();
        for _ in 0..2 * UNTOLD_MAX {
            resets.over(FIRST, ResetEnd::GivenUp);
        }
        assert_eq!(resets.tellings.len(), UNTOLD_MAX);
    }
}
