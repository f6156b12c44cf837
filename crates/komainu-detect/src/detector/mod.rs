//! The detector: from values to alarms.
//!
//! It holds the open windows and the alarms of every device in memory. Time is the receipt time of what it is told;
//! [`Detector::advance`] says how far time has come when nothing is told, and closes windows. It is built anew at a
//! start from the stored alarms and a replay of the stored values ([`Detector::restore_violation`],
//! [`Detector::replay`], [`Detector::restored`]).

mod device;
mod input;
mod judge;
mod program;
mod slot;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use ahash::RandomState;
use komainu_model::{
    ActiveViolation, BehaviorName, Datapoint, IndicatorMatch, Metric, ProfileName, ReporterName, Scope,
    SecurityProfile, Timestamp, ViolationEventType,
};

pub use device::REPEAT_MS_MAX;
use device::{Device, IDLE_MS_MAX};
pub use input::{Fleet, Judged, Meter, Note, ReportOutcome, Sample, Sink, ValueRef, ViolationStep};
pub use program::Yardstick;
use program::{KEEP_WINDOW_MS, Program};
pub use slot::ALARM_WITHOUT_DATA_MS_MAX;
use slot::{Alarm, Turn, ended, raised};

/// So many devices are looked at to find one that can be forgotten for another.
const EVICTION_STEPS_MAX: usize = 64;
/// A device that was heard of within this time is not forgotten for another.
const EVICTION_IDLE_MS: i64 = 10 * 60 * 1000;

/// [`Detector::advance`] may be so far behind the newest value.
const ADVANCE_DELAY_MS_MAX: i64 = 60_000;

/// The bounds of a detector.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DetectorLimits {
    /// So many devices are known at a time. At the bound a new device takes the place of one that was not heard of
    /// for ten minutes and has no alarm; when there is none, the new one is not judged.
    pub devices_max: usize,
}

impl Default for DetectorLimits {
    /// A million devices: with ten behaviors each about half a gigabyte.
    fn default() -> Self {
        Self { devices_max: 1_000_000 }
    }
}

/// From values to alarms.
#[derive(Debug)]
pub struct Detector {
    limits: DetectorLimits,
    scopes: Vec<KnownScope>,
    scope_places: HashMap<Scope, u32, RandomState>,
    latest_scope: u32,
    devices: Vec<Option<Device>>,
    free: Vec<u32>,
    /// By registration and the addresses of the profiles, which the program keeps alive.
    programs: HashMap<(bool, Vec<usize>), Arc<Program>, RandomState>,
    programs_generation: u64,
    /// Devices by the second at which they have to be looked at. An entry whose device says another second is stale.
    timers: BTreeMap<i64, Vec<u32>>,
    /// Devices with an alarm.
    alarmed: BTreeSet<u32>,
    generation: u64,
    watermark_ms: i64,
    eviction_hand: usize,
    refused: u64,
    replay: Option<Replay>,
}

#[derive(Debug)]
struct KnownScope {
    scope: Scope,
    devices: HashMap<ReporterName, u32, RandomState>,
}

/// What is collected while stored values are replayed.
#[derive(Debug, Default)]
struct Replay {
    stored: BTreeMap<(u32, ReporterName), BTreeMap<(ProfileName, BehaviorName), ActiveViolation>>,
    newest_ms: i64,
}

impl Detector {
    /// A detector that knows nothing yet and waits for [`Detector::restored`].
    pub fn new(limits: DetectorLimits) -> Self {
        Self {
            limits,
            scopes: Vec::new(),
            scope_places: HashMap::default(),
            latest_scope: 0,
            devices: Vec::new(),
            free: Vec::new(),
            programs: HashMap::default(),
            programs_generation: 0,
            timers: BTreeMap::new(),
            alarmed: BTreeSet::new(),
            generation: 0,
            watermark_ms: i64::MIN,
            eviction_hand: 0,
            refused: 0,
            replay: Some(Replay { stored: BTreeMap::new(), newest_ms: i64::MIN }),
        }
    }

    /// How many devices are known.
    pub fn devices(&self) -> usize {
        self.devices.len() - self.free.len()
    }

    /// How many reports and readings were not judged because there was no place for another device.
    pub fn refused(&self) -> u64 {
        self.refused
    }

    /// Takes a report.
    pub fn report(
        &mut self,
        fleet: &dyn Fleet,
        scope: &Scope,
        reporter: &ReporterName,
        sample: &Sample<'_>,
        at: Timestamp,
        sink: &mut dyn Sink,
    ) -> ReportOutcome {
        let at_ms = at.unix_millis().max(self.watermark_ms);
        let Some(place) = self.place_of(fleet, scope, reporter, at_ms, sink) else {
            let reason = "is not judged: the server knows as many devices as it can".to_owned();
            let metric = "report".to_owned();
            return ReportOutcome { repeated: false, dropped: vec![Note { metric, reason }], warnings: Vec::new() };
        };
        self.with_device(place, sink, |device, turn| {
            if device.is_repeated(sample, at_ms) {
                return ReportOutcome { repeated: true, ..ReportOutcome::default() };
            }
            device.report(turn, sample, device.report_time_ms(at_ms))
        })
    }

    /// Takes a reading of the gateway.
    pub fn meter(
        &mut self,
        fleet: &dyn Fleet,
        scope: &Scope,
        reporter: &ReporterName,
        meter: &Meter<'_>,
        at: Timestamp,
        sink: &mut dyn Sink,
    ) {
        let at_ms = at.unix_millis().max(self.watermark_ms);
        if let Some(place) = self.place_of(fleet, scope, reporter, at_ms, sink) {
            self.with_device(place, sink, |device, turn| device.meter(turn, meter, at_ms));
        }
    }

    /// Takes what was found in what a device reported before: one violating datapoint where indicators are too many.
    pub fn looked_back(
        &mut self,
        fleet: &dyn Fleet,
        scope: &Scope,
        reporter: &ReporterName,
        matches: &[IndicatorMatch],
        at: Timestamp,
        sink: &mut dyn Sink,
    ) {
        let at_ms = at.unix_millis().max(self.watermark_ms);
        match self.place_of(fleet, scope, reporter, at_ms, sink) {
            Some(place) => self.with_device(place, sink, |device, turn| device.matched(turn, matches, at_ms)),
            // There is no place to judge it; that it was seen is known all the same.
            None => sink.sighted(scope, reporter, matches),
        }
    }

    /// Time has come to `now`: what ends then or before is closed, and nothing that is told later counts earlier.
    pub fn advance(&mut self, fleet: &dyn Fleet, now: Timestamp, sink: &mut dyn Sink) {
        let now_ms = now.unix_millis();
        if now_ms < self.watermark_ms {
            return;
        }
        self.watermark_ms = now_ms;
        let generation = fleet.generation();
        if generation != self.generation {
            self.generation = generation;
            // Other devices are looked at when they are next heard of; an alarm should not wait for that.
            for place in self.alarmed.clone() {
                self.refresh(place, fleet, now_ms, sink);
            }
        }
        self.run_timers(now_ms, sink);
    }

    /// How far back stored values can matter for behaviors of `profiles`.
    pub fn replay_horizon<'a>(profiles: impl Iterator<Item = &'a SecurityProfile>) -> Duration {
        let spans_ms = profiles.flat_map(|profile| &profile.behaviors).filter_map(|behavior| {
            let criteria = behavior.criteria.as_ref()?;
            let window_ms = criteria.duration_s.map_or(KEEP_WINDOW_MS, |duration_s| i64::from(duration_s) * 1000);
            let datapoints = criteria.datapoints_to_alarm.max(criteria.datapoints_to_clear);
            // Two windows more: the open one, and one in which a device may have skipped its report.
            Some(window_ms.max(KEEP_WINDOW_MS) * (i64::from(datapoints) + 2))
        });
        Duration::from_millis(spans_ms.max().unwrap_or(0) as u64)
    }

    /// Before the replay: an alarm that is stored as active.
    pub fn restore_violation(&mut self, scope: &Scope, active: ActiveViolation) {
        let scope = self.scope_place(scope);
        if let Some(replay) = &mut self.replay {
            let device = replay.stored.entry((scope, active.reporter.clone())).or_default();
            device.insert((active.profile.clone(), active.behavior.name.clone()), active);
        }
    }

    /// A stored value, in the order of their times.
    pub fn replay(&mut self, fleet: &dyn Fleet, scope: &Scope, datapoint: &Datapoint) {
        if let Some(replay) = &mut self.replay {
            replay.newest_ms = replay.newest_ms.max(datapoint.at.unix_millis());
        }
        self.stored(fleet, scope, datapoint, &mut Muted);
    }

    /// Judges a stored value, in the order of their times; `sink` hears what follows, but for values that are replayed for a
    /// restart.
    pub(crate) fn stored(&mut self, fleet: &dyn Fleet, scope: &Scope, datapoint: &Datapoint, sink: &mut dyn Sink) {
        let at_ms = datapoint.at.unix_millis();
        // What the gateway measured was stored when its window had ended, and belongs before that.
        let reached_ms = if matches!(datapoint.metric, Metric::Cloud(_)) { at_ms - 1 } else { at_ms };
        self.watermark_ms = self.watermark_ms.max(reached_ms);
        self.run_timers(self.watermark_ms, sink);
        if let Some(place) = self.place_of(fleet, scope, &datapoint.reporter, at_ms, sink) {
            self.with_device(place, sink, |device, turn| device.replay(turn, datapoint));
        }
    }

    /// After the replay: brings what it gave and what is stored together, and tells what should have been told while
    /// the server was away.
    ///
    /// Whatever followed from a stored value was stored with it. So only what follows from the passing of time can be
    /// missing: windows that ended when [`Detector::advance`] was not there yet. Everything else that differs comes
    /// from profiles that were not yet in force then, and is let go.
    pub fn restored(&mut self, fleet: &dyn Fleet, now: Timestamp, sink: &mut dyn Sink) {
        let now_ms = now.unix_millis().max(self.watermark_ms);
        self.run_timers(now_ms, &mut Muted);
        let Some(Replay { mut stored, newest_ms }) = self.replay.take() else { return };
        self.watermark_ms = now_ms;
        self.generation = fleet.generation();
        for (scope, reporter) in stored.keys() {
            let scope = self.scopes[*scope as usize].scope.clone();
            self.place_of(fleet, &scope, reporter, now_ms, sink);
        }
        self.alarmed.clear();
        for place in 0..self.devices.len() as u32 {
            let Some(device) = &self.devices[place as usize] else { continue };
            let mut actives = stored.remove(&(device.scope, device.reporter.clone())).unwrap_or_default();
            self.with_device(place, sink, |device, turn| {
                for (rule, slot) in turn.program.rules.iter().zip(&mut device.slots) {
                    slot.mark_fresh();
                    let (profile, behavior) = (turn.program.profile(rule), turn.program.behavior(rule));
                    let active = actives.remove(&(profile.name.clone(), behavior.name.clone()));
                    let replayed = slot.alarm.take();
                    slot.alarm = reconcile(turn, profile, active, replayed, newest_ms);
                }
                // What is left is no longer judged.
                for active in std::mem::take(&mut actives).into_values() {
                    invalidate(turn, &active, now);
                }
                turn.alarms_changed = true;
            });
            self.reschedule(place, now_ms);
        }
        // Devices for which there was no place.
        for ((scope, _), actives) in stored {
            for active in actives.into_values() {
                let event = ended(&active, ViolationEventType::AlarmInvalidated, None, now);
                let step = ViolationStep::Ended { event, started_at: active.started_at, profile: None };
                sink.violation(&self.scopes[scope as usize].scope, step);
            }
        }
    }

    fn scope_place(&mut self, scope: &Scope) -> u32 {
        // Most installations have one scope, and what is told comes in runs of one.
        if self.scopes.get(self.latest_scope as usize).is_some_and(|known| known.scope == *scope) {
            return self.latest_scope;
        }
        self.latest_scope = self.find_scope(scope);
        self.latest_scope
    }

    fn find_scope(&mut self, scope: &Scope) -> u32 {
        if let Some(place) = self.scope_places.get(scope) {
            return *place;
        }
        let place = self.scopes.len() as u32;
        self.scope_places.insert(scope.clone(), place);
        self.scopes.push(KnownScope { scope: scope.clone(), devices: HashMap::default() });
        place
    }

    /// Where a device is kept, with the program that is right now. `None` when there is no place for it.
    #[inline]
    fn place_of(
        &mut self,
        fleet: &dyn Fleet,
        scope: &Scope,
        reporter: &ReporterName,
        at_ms: i64,
        sink: &mut dyn Sink,
    ) -> Option<u32> {
        let scope_place = self.scope_place(scope);
        if let Some(place) = self.scopes[scope_place as usize].devices.get(reporter).copied() {
            if self.devices[place as usize].as_ref().is_some_and(|device| device.generation != fleet.generation()) {
                self.refresh(place, fleet, at_ms, sink);
            }
            return Some(place);
        }
        self.add_device(fleet, scope_place, reporter, at_ms)
    }

    #[cold]
    fn add_device(&mut self, fleet: &dyn Fleet, scope_place: u32, reporter: &ReporterName, at_ms: i64) -> Option<u32> {
        if self.devices() >= self.limits.devices_max && !self.evict(at_ms) {
            self.refused += 1;
            return None;
        }
        let generation = fleet.generation();
        let judged = fleet.device(&self.scopes[scope_place as usize].scope, reporter);
        let program = self.program(generation, judged);
        let device = Device::new(reporter.clone(), scope_place, generation, program, at_ms);
        let place = match self.free.pop() {
            Some(place) => place,
            None => {
                self.devices.push(None);
                self.devices.len() as u32 - 1
            }
        };
        self.devices[place as usize] = Some(device);
        self.scopes[scope_place as usize].devices.insert(reporter.clone(), place);
        self.schedule(place, at_ms + IDLE_MS_MAX);
        Some(place)
    }

    /// Forgets a device that is not needed now; says whether there was one.
    fn evict(&mut self, now_ms: i64) -> bool {
        for _ in 0..EVICTION_STEPS_MAX.min(self.devices.len()) {
            let place = self.eviction_hand % self.devices.len();
            self.eviction_hand = place + 1;
            let is_idle = |device: &Device| now_ms - device.seen_ms >= EVICTION_IDLE_MS && !device.is_alarmed();
            if self.devices[place].as_ref().is_some_and(is_idle) {
                self.forget(place as u32);
                return true;
            }
        }
        false
    }

    fn forget(&mut self, place: u32) {
        if let Some(device) = self.devices[place as usize].take() {
            self.scopes[device.scope as usize].devices.remove(&device.reporter);
            self.free.push(place);
            self.alarmed.remove(&place);
        }
    }

    /// The program for these profiles; the same one for every device that has them.
    fn program(&mut self, generation: u64, judged: Judged) -> Arc<Program> {
        if generation != self.programs_generation {
            self.programs_generation = generation;
            self.programs.retain(|_, program| Arc::strong_count(program) > 1);
        }
        let addresses = judged.profiles.iter().map(|profile| Arc::as_ptr(profile).addr()).collect();
        let program = self.programs.entry((judged.registered, addresses));
        program.or_insert_with(|| Arc::new(Program::new(judged.registered, judged.profiles))).clone()
    }

    /// Asks the fleet anew how a device is judged.
    #[cold]
    fn refresh(&mut self, place: u32, fleet: &dyn Fleet, at_ms: i64, sink: &mut dyn Sink) {
        let Some(device) = &mut self.devices[place as usize] else { return };
        let generation = fleet.generation();
        device.generation = generation;
        let judged = fleet.device(&self.scopes[device.scope as usize].scope, &device.reporter);
        let program = self.program(generation, judged);
        self.with_device(place, sink, |device, turn| {
            if !Arc::ptr_eq(&program, &device.program) {
                device.change_program(turn, program, at_ms);
            }
        });
        self.reschedule(place, at_ms);
    }

    /// Lets `act` do something with a device, and notes what follows from it.
    #[inline]
    fn with_device<T>(
        &mut self,
        place: u32,
        sink: &mut dyn Sink,
        act: impl FnOnce(&mut Device, &mut Turn<'_>) -> T,
    ) -> T {
        let device = self.devices[place as usize].as_mut().expect("a place in use has a device");
        let (reporter, program) = (device.reporter.clone(), device.program.clone());
        let mut turn = Turn {
            scope: &self.scopes[device.scope as usize].scope,
            reporter: &reporter,
            program: &program,
            sink,
            replaying: self.replay.is_some(),
            closing: false,
            deadline_ms: i64::MAX,
            alarms_changed: false,
        };
        let result = act(device, &mut turn);
        let (deadline_ms, alarms_changed) = (turn.deadline_ms, turn.alarms_changed);
        if alarms_changed {
            if device.is_alarmed() {
                self.alarmed.insert(place);
            } else {
                self.alarmed.remove(&place);
            }
        }
        if deadline_ms != i64::MAX {
            self.schedule(place, deadline_ms);
        }
        result
    }

    /// Makes sure that the device is looked at when `deadline_ms` has come.
    fn schedule(&mut self, place: u32, deadline_ms: i64) {
        let Some(device) = &mut self.devices[place as usize] else { return };
        let second = deadline_ms.saturating_add(999).div_euclid(1000);
        if second < device.deadline_s {
            device.deadline_s = second;
            self.timers.entry(second).or_default().push(place);
        }
    }

    fn reschedule(&mut self, place: u32, now_ms: i64) {
        if let Some(device) = &mut self.devices[place as usize] {
            device.deadline_s = i64::MAX;
            let deadline_ms = device.deadline_ms(now_ms);
            self.schedule(place, deadline_ms);
        }
    }

    fn run_timers(&mut self, now_ms: i64, sink: &mut dyn Sink) {
        while let Some(entry) = self.timers.first_entry() {
            let second = *entry.key();
            if second.saturating_mul(1000) > now_ms {
                break;
            }
            for place in entry.remove() {
                if self.devices[place as usize].as_ref().is_none_or(|device| device.deadline_s != second) {
                    continue;
                }
                self.with_device(place, sink, |device, turn| device.close_due(turn, second * 1000));
                let is_idle = |device: &Device| second * 1000 - device.seen_ms >= IDLE_MS_MAX && !device.is_alarmed();
                if self.devices[place as usize].as_ref().is_some_and(is_idle) {
                    self.forget(place);
                } else {
                    self.reschedule(place, second * 1000);
                }
            }
        }
    }
}

/// The alarm that a behavior has after a restart.
fn reconcile(
    turn: &mut Turn<'_>,
    profile: &Arc<SecurityProfile>,
    stored: Option<ActiveViolation>,
    replayed: Option<Box<Alarm>>,
    newest_ms: i64,
) -> Option<Box<Alarm>> {
    let by_time = replayed.as_deref().is_some_and(|alarm| alarm.by_time);
    let is_missing = |at: Timestamp| by_time && at.unix_millis() > newest_ms.saturating_sub(ADVANCE_DELAY_MS_MAX);
    let replayed_end = replayed.as_deref().and_then(|alarm| alarm.ended.as_ref());
    match (stored, replayed_end) {
        (Some(active), Some(end)) if is_missing(end.at) => {
            let event = ended(&active, end.kind, end.value.clone(), end.at);
            let step = ViolationStep::Ended { event, started_at: active.started_at, profile: Some(profile.clone()) };
            turn.sink.violation(turn.scope, step);
            None
        }
        (Some(active), _) => {
            let last_ms = active.last_at.unix_millis();
            let last_data_ms = replayed.map_or(last_ms, |alarm| alarm.last_data_ms.max(last_ms));
            Some(Box::new(Alarm { active, profile: Some(profile.clone()), last_data_ms, ended: None, by_time: false }))
        }
        (None, Some(_)) => None,
        (None, None) => {
            let alarm = replayed.filter(|alarm| is_missing(alarm.active.started_at))?;
            turn.sink.violation(turn.scope, raised(&alarm.active, profile.clone()));
            Some(alarm)
        }
    }
}

/// Tells that a stored alarm is over because nothing judges its device by its behavior any more.
fn invalidate(turn: &mut Turn<'_>, active: &ActiveViolation, now: Timestamp) {
    let event = ended(active, ViolationEventType::AlarmInvalidated, None, now);
    let step = ViolationStep::Ended { event, started_at: active.started_at, profile: None };
    turn.sink.violation(turn.scope, step);
}

/// Listens to a replay: what it hears has been told before.
pub(crate) struct Muted;

impl Sink for Muted {
    fn datapoint(&mut self, _: &Scope, _: &ReporterName, _: &Metric, _: ValueRef<'_>, _: Timestamp) {}

    fn sighted(&mut self, _: &Scope, _: &ReporterName, _: &[IndicatorMatch]) {}

    fn violation(&mut self, _: &Scope, _: ViolationStep) {}
}
