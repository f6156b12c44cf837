//! What a profile that is not in force would have found in what devices reported.
//!
//! Stored values of its devices go through a [`Detector`] of their own, as they do at a start; so what is found here is what
//! detection finds in the same values. What was not stored cannot be judged, and some values are stored less finely than they
//! were judged: [`Fidelity`] says so for each behavior.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::ops::ControlFlow;
use std::sync::Arc;

use ahash::RandomState;
use komainu_model::{
    Behavior, BehaviorName, CloudMetric, Comparison, Datapoint, ExpectedValue, GroupName, IndicatorMatch, Metric,
    MetricValue, ReporterName, Scope, SecurityProfile, Timestamp, ViolationEventType, ViolationId,
};

use crate::detector::{Detector, DetectorLimits, Fleet, Judged, Muted, Sink, ValueRef, ViolationStep};
use crate::profiles::is_for;

/// So many devices are told apart, those of other profiles included: with their names and windows less than 100 MB.
pub const BACK_TEST_DEVICES_MAX: usize = 100_000;
/// So many values are looked at: a thousand devices that report ten metrics every five minutes give as many in two days, and
/// it takes some seconds.
pub const BACK_TEST_VALUES_MAX: u64 = 5_000_000;
/// So many firings are told one by one; the others are counted.
pub const BACK_TEST_FIRINGS_MAX: usize = 200;

/// The gateway's values are stored once in such a window.
const STORED_WINDOW_S: u32 = 300;

/// A back-test while values are told.
pub struct BackTest<'a> {
    detector: Detector,
    fleet: DraftFleet<'a>,
    scope: Scope,
    period: BackTestPeriod,
    /// Everybody who was heard of: their number when they are judged.
    devices: HashMap<ReporterName, Option<u32>, RandomState>,
    judged: u32,
    left_out: bool,
    /// Values that were looked at, those of other devices and other metrics included.
    looked_at: u64,
    values: u64,
    reached: Timestamp,
    stored: BTreeMap<Metric, Stored>,
    found: Found,
}

/// How a device stands in the fleet.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DevicePlace {
    /// Whether its name is a registered thing's.
    pub registered: bool,
    /// Its groups and those above them.
    pub groups: Vec<GroupName>,
}

/// Of what time firings are wanted, in how many equal slices they are counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct BackTestPeriod {
    /// Its beginning. Values before that only say in what state detection was then.
    pub from: Timestamp,
    /// Its end, not included.
    pub to: Timestamp,
    /// Equal parts of it.
    pub slices: usize,
}

impl BackTestPeriod {
    /// The slice that a time is in; `None` before its beginning.
    pub fn slice_of(&self, at: Timestamp) -> Option<usize> {
        if at < self.from || self.slices == 0 {
            return None;
        }
        let (offset_ms, whole_ms) = (at.since(self.from).as_millis(), self.to.since(self.from).as_millis().max(1));
        let slice = offset_ms.saturating_mul(self.slices as u128) / whole_ms;
        Some(usize::try_from(slice).unwrap_or(usize::MAX).min(self.slices - 1))
    }
}

/// What was found.
#[derive(Debug, Clone, PartialEq)]
pub struct BackTested {
    /// One for each behavior of the profile, in their order.
    pub behaviors: Vec<BehaviorBackTest>,
    /// The first of all firings, in the order in which they were raised.
    pub firings: Vec<Firing>,
    /// All firings.
    pub fired: u64,
    /// Devices of the profile of which a value is stored.
    pub devices: u64,
    /// Values of the period that were judged.
    pub values: u64,
    /// Whether there were more devices than can be told apart. The others were not judged.
    pub left_out: bool,
    /// Up to when values were judged; before the period's end when there were more than are looked at.
    pub until: Timestamp,
}

/// What one behavior would have done.
#[derive(Debug, Clone, PartialEq)]
pub struct BehaviorBackTest {
    /// Its name.
    pub name: BehaviorName,
    /// Alarms that it would have raised.
    pub fired: u64,
    /// On so many devices.
    pub devices: u64,
    /// Alarms that were on already when the period began.
    pub on_before: u64,
    /// Alarms raised in each slice of the period.
    pub slices: Vec<u64>,
    /// Devices of which a value of its metric is stored.
    pub devices_with_values: u64,
    /// The first stored value of its metric within the period.
    pub first_value_at: Option<Timestamp>,
    /// How far what is said here is what detection would have said.
    pub fidelity: Fidelity,
}

/// How far a back-test of a behavior is what detection would have said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fidelity {
    /// It is the same.
    Same,
    /// The alarms are the same; they are told when a stored window of five minutes ends, not within it.
    SameLater,
    /// Stored is less than what was judged: the largest message, or all addresses, of five minutes; or the behavior's windows
    /// do not consist of stored ones. Alarms may differ in number and time.
    Coarse,
    /// It is a lower bound of each message's size, and only the largest ones are stored. It was not judged.
    SmallestNotStored,
    /// No value of its metric is stored for any device of the profile. It was not judged.
    NothingStored,
    /// It has no criteria and judges nothing.
    NothingJudged,
}

/// An alarm that would have been raised.
#[derive(Debug, Clone, PartialEq)]
pub struct Firing {
    /// By which behavior.
    pub behavior: BehaviorName,
    /// For which device.
    pub reporter: ReporterName,
    /// What the violation would have been called.
    pub violation: ViolationId,
    /// The value that decided it.
    pub value: Option<MetricValue>,
    /// When it was raised.
    pub raised_at: Timestamp,
    /// How and when it ended, if it did.
    pub ended: Option<(ViolationEventType, Timestamp)>,
}

impl<'a> BackTest<'a> {
    /// A back-test of `profile`. `place` says how a device stands in the fleet now, and so it is judged.
    pub fn new(
        scope: &Scope,
        profile: &Arc<SecurityProfile>,
        place: &'a dyn Fn(&ReporterName) -> DevicePlace,
        period: BackTestPeriod,
    ) -> Self {
        let behaviors = profile.behaviors.iter();
        let stored = behaviors.clone().map(|behavior| (behavior.metric.clone(), Stored::default())).collect();
        let counts = behaviors.map(|behavior| (behavior.name.clone(), Counted::new(period.slices))).collect();
        let found = Found { period, counts, ..Found::default() };
        let fleet = DraftFleet { profile: profile.clone(), place };
        let mut detector = Detector::new(DetectorLimits { devices_max: BACK_TEST_DEVICES_MAX });
        let reads_from = reads_from(profile, period.from);
        // There is nothing to restore: from now on what is found is told.
        detector.restored(&fleet, reads_from, &mut Muted);
        Self {
            detector,
            fleet,
            scope: scope.clone(),
            period,
            devices: HashMap::default(),
            judged: 0,
            left_out: false,
            looked_at: 0,
            values: 0,
            reached: reads_from,
            stored,
            found,
        }
    }

    /// From when on values matter: those before the period say in what state detection was at its beginning.
    pub fn reads_from(&self) -> Timestamp {
        reads_from(&self.fleet.profile, self.period.from)
    }

    /// Takes a stored value of the scope, in the order of their times, and says whether another one is wanted.
    pub fn take(&mut self, datapoint: &Datapoint) -> ControlFlow<()> {
        if datapoint.at >= self.period.to || self.looked_at >= BACK_TEST_VALUES_MAX {
            return ControlFlow::Break(());
        }
        self.looked_at += 1;
        self.reached = datapoint.at;
        let Some(device) = self.device(&datapoint.reporter) else { return ControlFlow::Continue(()) };
        if let Some(stored) = self.stored.get_mut(&datapoint.metric).filter(|_| datapoint.at >= self.period.from) {
            self.values += 1;
            stored.devices.insert(device);
            stored.first_at.get_or_insert(datapoint.at);
        }
        // Values of other metrics tell when a device reported, which decides how its windows are read.
        self.detector.stored(&self.fleet, &self.scope, datapoint, &mut self.found);
        ControlFlow::Continue(())
    }

    /// What was found. `is_whole` says whether all values up to the period's end were told.
    pub fn end(mut self, is_whole: bool) -> BackTested {
        let until = if is_whole { self.period.to } else { self.reached };
        self.detector.advance(&self.fleet, until, &mut self.found);
        let behaviors = self.fleet.profile.behaviors.iter();
        let behaviors = behaviors.map(|behavior| {
            let stored = self.stored.get(&behavior.metric);
            let counted = self.found.counts.remove(&behavior.name).unwrap_or_else(|| Counted::new(self.period.slices));
            BehaviorBackTest {
                name: behavior.name.clone(),
                fired: counted.fired,
                devices: counted.devices.len() as u64,
                on_before: counted.on_before,
                slices: counted.slices,
                devices_with_values: stored.map_or(0, |stored| stored.devices.len() as u64),
                first_value_at: stored.and_then(|stored| stored.first_at),
                fidelity: fidelity(behavior, stored.is_some_and(|stored| !stored.devices.is_empty())),
            }
        });
        let behaviors: Vec<BehaviorBackTest> = behaviors.collect();
        BackTested {
            fired: behaviors.iter().map(|behavior| behavior.fired).sum(),
            behaviors,
            firings: self.found.firings,
            devices: u64::from(self.judged),
            values: self.values,
            left_out: self.left_out,
            until,
        }
    }

    /// The number of a device that is judged.
    fn device(&mut self, reporter: &ReporterName) -> Option<u32> {
        if let Some(known) = self.devices.get(reporter) {
            return *known;
        }
        if self.devices.len() >= BACK_TEST_DEVICES_MAX {
            self.left_out = true;
            return None;
        }
        let number = self.fleet.has(reporter).then_some(self.judged);
        self.judged += u32::from(number.is_some());
        self.devices.insert(reporter.clone(), number);
        number
    }
}

fn reads_from(profile: &SecurityProfile, from: Timestamp) -> Timestamp {
    from.minus(Detector::replay_horizon(std::iter::once(profile)))
}

fn fidelity(behavior: &Behavior, is_stored: bool) -> Fidelity {
    let Some(criteria) = &behavior.criteria else { return Fidelity::NothingJudged };
    let is_lower_bound = matches!(
        criteria.expected,
        ExpectedValue::Count(Comparison::GreaterThan | Comparison::GreaterThanEquals, _)
            | ExpectedValue::Number(Comparison::GreaterThan | Comparison::GreaterThanEquals, _)
    );
    match &behavior.metric {
        _ if !is_stored => Fidelity::NothingStored,
        Metric::Device(_) | Metric::Komainu(_) | Metric::Custom(_) => Fidelity::Same,
        Metric::Cloud(CloudMetric::MessageByteSize) if is_lower_bound => Fidelity::SmallestNotStored,
        Metric::Cloud(CloudMetric::MessageByteSize | CloudMetric::SourceIpAddress) => Fidelity::Coarse,
        Metric::Cloud(
            CloudMetric::NumMessagesSent
            | CloudMetric::NumMessagesReceived
            | CloudMetric::NumAuthorizationFailures
            | CloudMetric::NumConnectionAttempts
            | CloudMetric::NumDisconnects,
        ) => match criteria.duration_s {
            Some(duration_s) if duration_s % STORED_WINDOW_S != 0 => Fidelity::Coarse,
            Some(_) | None => Fidelity::SameLater,
        },
    }
}

/// The fleet as it would be judged by the profile alone.
struct DraftFleet<'a> {
    profile: Arc<SecurityProfile>,
    place: &'a dyn Fn(&ReporterName) -> DevicePlace,
}

impl DraftFleet<'_> {
    fn has(&self, reporter: &ReporterName) -> bool {
        let DevicePlace { registered, groups } = (self.place)(reporter);
        is_for(&self.profile.targets, registered, &groups)
    }
}

impl Fleet for DraftFleet<'_> {
    fn generation(&self) -> u64 {
        1
    }

    /// Only devices of the profile are asked for.
    fn device(&self, _: &Scope, reporter: &ReporterName) -> Judged {
        Judged { registered: (self.place)(reporter).registered, profiles: vec![self.profile.clone()] }
    }
}

/// What is stored of a metric within the period.
#[derive(Default)]
struct Stored {
    devices: HashSet<u32, RandomState>,
    first_at: Option<Timestamp>,
}

/// Counts and keeps what the detector tells.
#[derive(Default)]
struct Found {
    period: BackTestPeriod,
    counts: BTreeMap<BehaviorName, Counted>,
    firings: Vec<Firing>,
    /// Where firings that have not ended stand in the list.
    open: HashMap<ViolationId, usize, RandomState>,
    /// Alarms that were raised before the period and are still on: they count when it begins.
    before: HashMap<ViolationId, BehaviorName, RandomState>,
}

struct Counted {
    fired: u64,
    devices: HashSet<ReporterName, RandomState>,
    on_before: u64,
    slices: Vec<u64>,
}

impl Counted {
    fn new(slices: usize) -> Self {
        Self { fired: 0, devices: HashSet::default(), on_before: 0, slices: vec![0; slices] }
    }
}

impl Sink for Found {
    fn datapoint(&mut self, _: &Scope, _: &ReporterName, _: &Metric, _: ValueRef<'_>, _: Timestamp) {}

    fn sighted(&mut self, _: &Scope, _: &ReporterName, _: &[IndicatorMatch]) {}

    fn violation(&mut self, _: &Scope, step: ViolationStep) {
        match step {
            ViolationStep::Raised { event, .. } => {
                let Some(counted) = self.counts.get_mut(&event.behavior.name) else { return };
                let Some(slice) = self.period.slice_of(event.at) else {
                    counted.on_before += 1;
                    self.before.insert(event.violation, event.behavior.name);
                    return;
                };
                counted.fired += 1;
                counted.slices[slice] += 1;
                if !counted.devices.contains(&event.reporter) {
                    counted.devices.insert(event.reporter.clone());
                }
                if self.firings.len() < BACK_TEST_FIRINGS_MAX {
                    self.open.insert(event.violation.clone(), self.firings.len());
                    self.firings.push(Firing {
                        behavior: event.behavior.name,
                        reporter: event.reporter,
                        violation: event.violation,
                        value: event.value,
                        raised_at: event.at,
                        ended: None,
                    });
                }
            }
            ViolationStep::Continued { .. } => {}
            ViolationStep::Ended { event, .. } => {
                if let Some(place) = self.open.remove(&event.violation) {
                    self.firings[place].ended = Some((event.kind, event.at));
                } else if let Some(behavior) = self.before.remove(&event.violation)
                    && event.at < self.period.from
                    && let Some(counted) = self.counts.get_mut(&behavior)
                {
                    counted.on_before -= 1;
                }
            }
        }
    }
}
