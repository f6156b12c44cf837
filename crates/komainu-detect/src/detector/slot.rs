//! One behavior of one device: its window, its datapoints in a row, its alarm.

use std::sync::Arc;

use komainu_model::{
    ActiveViolation, IndicatorMatch, ReporterName, Scope, SecurityProfile, Timestamp, VerificationState,
    ViolationEvent, ViolationEventType, ViolationId,
};
use uuid::Uuid;

use super::input::{Sink, ValueRef, ViolationStep};
use super::program::{Input, Program, Rule};

/// An alarm without data for so long is invalidated (AWS IoT developer guide, "Detect").
pub const ALARM_WITHOUT_DATA_MS_MAX: i64 = 2 * 24 * 3600 * 1000;

/// No window is open.
const NO_WINDOW: i64 = i64::MIN;

/// The window has data.
const ACTIVE: u8 = 1;
/// The window has given its datapoint before its end.
const JUDGED: u8 = 2;
/// The first report in the window had no known predecessor: what it covers is a guess.
const COVERAGE_GUESSED: u8 = 4;
/// The rule has come into force within the window, so the window was not seen whole.
const FRESH: u8 = 8;

/// What one rule knows of one device. Kept small: there is one for each behavior of each device.
#[derive(Debug)]
pub(crate) struct Slot {
    /// When the open window began.
    window_start_ms: i64,
    /// The sum so far, or the latest value: a count, or the bits of a double for a custom metric.
    value: u64,
    /// Where the run of violating datapoints began.
    first_bad_ms: i64,
    pub(crate) alarm: Option<Box<Alarm>>,
    /// How much of the window its reports speak for.
    covered_ms: u32,
    /// Violating datapoints in a row.
    bad: u8,
    /// Conforming datapoints in a row.
    good: u8,
    flags: u8,
}

/// An alarm of one behavior of one device.
#[derive(Debug)]
pub(crate) struct Alarm {
    pub(crate) active: ActiveViolation,
    /// The profile that judges the device; `None` between a start and the first judgement.
    pub(crate) profile: Option<Arc<SecurityProfile>>,
    pub(crate) last_data_ms: i64,
    /// Its end, while stored datapoints are replayed.
    pub(crate) ended: Option<ViolationEvent>,
    /// Its beginning, or its end if it has one, followed from the passing of time, not from a value just told.
    pub(crate) by_time: bool,
}

/// Whose turn it is, and who listens.
pub(crate) struct Turn<'a> {
    pub(crate) scope: &'a Scope,
    pub(crate) reporter: &'a ReporterName,
    pub(crate) program: &'a Program,
    pub(crate) sink: &'a mut dyn Sink,
    /// Stored datapoints are replayed: what follows has been told before.
    pub(crate) replaying: bool,
    /// Something is closed because its time has come.
    pub(crate) closing: bool,
    /// The earliest time at which the device has to be looked at again.
    pub(crate) deadline_ms: i64,
    /// Whether an alarm began or ended.
    pub(crate) alarms_changed: bool,
}

impl Slot {
    pub(crate) fn new() -> Self {
        Self {
            window_start_ms: NO_WINDOW,
            value: 0,
            first_bad_ms: 0,
            alarm: None,
            covered_ms: 0,
            bad: 0,
            good: 0,
            flags: FRESH,
        }
    }

    /// Nothing is known but the alarm.
    pub(crate) fn with_alarm(alarm: Option<Box<Alarm>>) -> Self {
        Self { alarm, ..Self::new() }
    }

    /// From now on the open window is not seen whole: the server was not there.
    pub(crate) fn mark_fresh(&mut self) {
        self.flags |= FRESH;
    }

    /// A device counted `delta` since its previous report, `interval_ms` ago.
    ///
    /// A report counts in the window in which the server received it. When devices report about once a window, their
    /// reports drift across the windows' bounds, and now and then two of them, each for a whole window, fall into
    /// one. Added up they would be twice what is true; so a report that would bring what the window's reports speak
    /// for over one and a half windows closes the window and opens it anew. A window without a report gives no
    /// datapoint. Spreading a delta over its interval instead would halve a burst that one report shows whole.
    #[inline]
    pub(crate) fn report_sum(
        &mut self,
        rule: &Rule,
        turn: &mut Turn<'_>,
        delta: u64,
        at_ms: i64,
        interval_ms: Option<i64>,
    ) {
        let window_ms = rule.window_ms;
        self.enter_window(rule, turn, at_ms);
        let covers_ms = interval_ms.map_or(window_ms, |interval_ms| interval_ms.min(window_ms)) as u32;
        if self.flags & COVERAGE_GUESSED != 0 && interval_ms.is_some() {
            // Two reports tell how often the device reports; the first one, too, spoke for so long.
            self.covered_ms = covers_ms;
            self.flags &= !COVERAGE_GUESSED;
        }
        let is_long = i64::from(covers_ms) * 2 > window_ms;
        if self.flags & ACTIVE != 0 && is_long && i64::from(self.covered_ms + covers_ms) * 2 > window_ms * 3 {
            self.close_sum(rule, turn, at_ms);
        }
        if self.flags & ACTIVE == 0 && interval_ms.is_none() {
            self.flags |= COVERAGE_GUESSED;
        }
        self.covered_ms += covers_ms;
        self.add(rule, turn, delta, at_ms);
    }

    /// The gateway counted `delta` since its previous reading. Zero counts, too: the device was connected.
    #[inline]
    pub(crate) fn meter_sum(&mut self, rule: &Rule, turn: &mut Turn<'_>, delta: u64, at_ms: i64) {
        self.enter_window(rule, turn, at_ms);
        self.add(rule, turn, delta, at_ms);
    }

    fn add(&mut self, rule: &Rule, turn: &mut Turn<'_>, delta: u64, at_ms: i64) {
        self.value = self.value.saturating_add(delta);
        self.flags |= ACTIVE;
        // What is too much now is too much at the window's end: the same verdict, earlier.
        if self.flags & JUDGED == 0 && rule.judge.bounds_above() {
            let value = ValueRef::Count(self.value);
            if rule.judge.conforms(value) == Some(false) {
                self.flags |= JUDGED;
                self.datapoint(rule, turn, false, value, at_ms, self.window_start_ms);
            }
        }
    }

    /// A device reported a value of the moment. Without a window it is judged at once. With one, the last value in
    /// the window counts; it is judged as soon as no other is expected in it.
    #[inline]
    pub(crate) fn report_value(
        &mut self,
        rule: &Rule,
        turn: &mut Turn<'_>,
        value: ValueRef<'_>,
        at_ms: i64,
        interval_ms: Option<i64>,
    ) {
        let Some(conforms) = rule.judge.conforms(value) else { return };
        if rule.window_ms == 0 {
            return self.datapoint(rule, turn, conforms, value, at_ms, at_ms);
        }
        self.enter_window(rule, turn, at_ms);
        let next_ms = at_ms + interval_ms.unwrap_or(rule.window_ms);
        if next_ms >= self.window_start_ms + rule.window_ms {
            self.flags &= !ACTIVE;
            return self.datapoint(rule, turn, conforms, value, at_ms, at_ms);
        }
        self.flags |= ACTIVE;
        self.value = match value {
            ValueRef::Count(count) => count,
            ValueRef::Number(number) => number.to_bits(),
            ValueRef::Addresses(_)
            | ValueRef::Ports(_)
            | ValueRef::Numbers(_)
            | ValueRef::Strings(_)
            | ValueRef::Matches(_) => {
                unreachable!("rules for lists have no window")
            }
        };
    }

    /// A report names so many indicators. Without a window it is judged at once. With one, the largest number of the window
    /// counts: a device meets its master in one report and not in the next. Over an upper bound it alarms at once.
    pub(crate) fn report_matches(&mut self, rule: &Rule, turn: &mut Turn<'_>, matches: &[IndicatorMatch], at_ms: i64) {
        let value = ValueRef::Matches(matches);
        let Some(conforms) = rule.judge.conforms(value) else { return };
        if rule.window_ms == 0 {
            return self.datapoint(rule, turn, conforms, value, at_ms, at_ms);
        }
        self.enter_window(rule, turn, at_ms);
        self.flags |= ACTIVE;
        self.value = self.value.max(matches.len() as u64);
        if self.flags & JUDGED == 0 && !conforms && rule.judge.bounds_above() {
            self.flags |= JUDGED;
            self.datapoint(rule, turn, false, value, at_ms, self.window_start_ms);
        }
    }

    /// Makes the window that holds `at_ms` the open one.
    #[inline]
    fn enter_window(&mut self, rule: &Rule, turn: &mut Turn<'_>, at_ms: i64) {
        let start_ms = at_ms - at_ms.rem_euclid(rule.window_ms);
        if self.window_start_ms != start_ms {
            self.close_due(rule, turn, at_ms);
            self.window_start_ms = start_ms;
            turn.deadline_ms = turn.deadline_ms.min(start_ms + rule.window_ms);
        }
    }

    /// Closes what ends at `now_ms` or before, and invalidates an alarm that got no data for too long.
    pub(crate) fn close_due(&mut self, rule: &Rule, turn: &mut Turn<'_>, now_ms: i64) {
        turn.closing = true;
        while self.window_start_ms != NO_WINDOW && self.window_start_ms + rule.window_ms <= now_ms {
            let end_ms = self.window_start_ms + rule.window_ms;
            self.close(rule, turn, end_ms);
            self.flags = 0;
            self.window_start_ms = NO_WINDOW;
            if matches!(rule.input, Input::CloudSum(_)) && self.is_alarmed() {
                // A device that does nothing any more conforms to an upper bound; the alarm can clear. It does not
                // conform to a lower one, but what is not connected gives no data, and the alarm ends in two days.
                if rule.judge.conforms(ValueRef::Count(0)) == Some(true) {
                    self.window_start_ms = end_ms;
                }
            }
        }
        let silent_since = |alarm: &Alarm| now_ms - alarm.last_data_ms >= ALARM_WITHOUT_DATA_MS_MAX;
        if self.alarm.as_deref().is_some_and(|alarm| alarm.ended.is_none() && silent_since(alarm)) {
            self.end_alarm(turn, ViolationEventType::AlarmInvalidated, None, now_ms);
        }
        turn.closing = false;
    }

    fn close(&mut self, rule: &Rule, turn: &mut Turn<'_>, end_ms: i64) {
        match rule.input {
            Input::DeviceSum(_) | Input::CloudSum(_) => self.close_sum(rule, turn, end_ms),
            Input::DeviceValue(_) | Input::Custom(_) if self.flags & ACTIVE != 0 => {
                let value = match rule.input {
                    Input::Custom(_) => ValueRef::Number(f64::from_bits(self.value)),
                    _ => ValueRef::Count(self.value),
                };
                if let Some(conforms) = rule.judge.conforms(value) {
                    self.datapoint(rule, turn, conforms, value, end_ms, end_ms - rule.window_ms);
                }
            }
            Input::IndicatorMatches if self.flags & (ACTIVE | JUDGED) == ACTIVE => {
                let value = ValueRef::Count(self.value);
                if let Some(conforms) = rule.judge.conforms(value) {
                    self.datapoint(rule, turn, conforms, value, end_ms, end_ms - rule.window_ms);
                }
            }
            Input::DeviceValue(_)
            | Input::Custom(_)
            | Input::IndicatorMatches
            | Input::MessageSize
            | Input::SourceAddresses => {}
        }
        self.value = 0;
    }

    fn close_sum(&mut self, rule: &Rule, turn: &mut Turn<'_>, end_ms: i64) {
        let value = ValueRef::Count(self.value);
        let is_whole = match rule.input {
            Input::DeviceSum(_) => i64::from(self.covered_ms) * 2 >= rule.window_ms,
            _ => self.flags & FRESH == 0,
        };
        if self.flags & ACTIVE == 0 {
            // A window in which the device was not there. It is here only for an alarm that may clear.
            if self.is_alarmed() {
                self.datapoint(rule, turn, true, ValueRef::Count(0), end_ms, self.window_start_ms);
            }
        } else if self.flags & JUDGED != 0 {
            self.settle_last_value(turn, value);
        } else if rule.judge.bounds_above() || is_whole {
            // A window that was not seen whole says nothing about a lower bound.
            if let Some(conforms) = rule.judge.conforms(value) {
                self.datapoint(rule, turn, conforms, value, end_ms, self.window_start_ms);
            }
        }
        (self.value, self.covered_ms) = (0, 0);
        self.flags &= FRESH;
    }

    /// The window that raised or prolonged the alarm before its end has ended: its sum is known now.
    fn settle_last_value(&mut self, turn: &mut Turn<'_>, value: ValueRef<'_>) {
        let Some(alarm) = self.alarm.as_deref_mut().filter(|alarm| alarm.ended.is_none()) else { return };
        let value = value.to_value();
        if alarm.active.last_value.as_ref() != Some(&value) {
            alarm.active.last_value = Some(value);
            if !turn.replaying {
                turn.sink.violation(turn.scope, ViolationStep::Continued { active: alarm.active.clone() });
            }
        }
    }

    pub(crate) fn is_alarmed(&self) -> bool {
        self.alarm.as_deref().is_some_and(|alarm| alarm.ended.is_none())
    }

    /// When the slot has to be looked at again.
    pub(crate) fn deadline_ms(&self, rule: &Rule) -> i64 {
        let window_end_ms =
            if self.window_start_ms == NO_WINDOW { i64::MAX } else { self.window_start_ms + rule.window_ms };
        let invalid_ms = match self.alarm.as_deref() {
            Some(alarm) if alarm.ended.is_none() => alarm.last_data_ms + ALARM_WITHOUT_DATA_MS_MAX,
            _ => i64::MAX,
        };
        window_end_ms.min(invalid_ms)
    }

    /// Counts a datapoint. `key_ms` is the window it stands for, or its own time when there is none: it becomes part
    /// of the violation's identity.
    pub(crate) fn datapoint(
        &mut self,
        rule: &Rule,
        turn: &mut Turn<'_>,
        conforms: bool,
        value: ValueRef<'_>,
        at_ms: i64,
        key_ms: i64,
    ) {
        let is_alarmed = self.is_alarmed();
        if conforms {
            self.bad = 0;
            self.good = self.good.saturating_add(1);
            if is_alarmed {
                if let Some(alarm) = self.alarm.as_deref_mut() {
                    alarm.last_data_ms = at_ms;
                }
                if self.good >= rule.datapoints_to_clear {
                    self.end_alarm(turn, ViolationEventType::AlarmCleared, Some(value), at_ms);
                }
            }
            return;
        }
        if self.bad == 0 {
            self.first_bad_ms = key_ms;
        }
        self.good = 0;
        self.bad = self.bad.saturating_add(1);
        if is_alarmed {
            if let Some(alarm) = self.alarm.as_deref_mut() {
                alarm.last_data_ms = at_ms;
                alarm.active.last_at = Timestamp::from_unix_millis(at_ms);
                alarm.active.last_value = Some(value.to_value());
                if !turn.replaying {
                    turn.sink.violation(turn.scope, ViolationStep::Continued { active: alarm.active.clone() });
                }
            }
        } else if self.bad >= rule.datapoints_to_alarm {
            self.raise_alarm(rule, turn, value, at_ms);
        }
    }

    #[cold]
    fn raise_alarm(&mut self, rule: &Rule, turn: &mut Turn<'_>, value: ValueRef<'_>, at_ms: i64) {
        let profile = turn.program.profile(rule);
        let at = Timestamp::from_unix_millis(at_ms);
        let active = ActiveViolation {
            id: violation_id(turn, rule, self.first_bad_ms),
            reporter: turn.reporter.clone(),
            profile: profile.name.clone(),
            behavior: turn.program.behavior(rule).clone(),
            last_value: Some(value.to_value()),
            confidence: None,
            verification: VerificationState::Unknown,
            verification_description: None,
            last_at: at,
            started_at: at,
        };
        if !turn.replaying {
            turn.sink.violation(turn.scope, raised(&active, profile.clone()));
        }
        turn.alarms_changed = true;
        turn.deadline_ms = turn.deadline_ms.min(at_ms + ALARM_WITHOUT_DATA_MS_MAX);
        let (profile, by_time) = (Some(profile.clone()), turn.closing);
        self.alarm = Some(Box::new(Alarm { active, profile, last_data_ms: at_ms, ended: None, by_time }));
    }

    /// Ends the alarm, if there is one.
    #[cold]
    pub(crate) fn end_alarm(
        &mut self,
        turn: &mut Turn<'_>,
        kind: ViolationEventType,
        value: Option<ValueRef<'_>>,
        at_ms: i64,
    ) {
        let Some(mut alarm) = self.alarm.take() else { return };
        if alarm.ended.is_some() {
            return;
        }
        let at = Timestamp::from_unix_millis(at_ms);
        let event = ended(&alarm.active, kind, value.map(ValueRef::to_value), at);
        (self.bad, self.good) = (0, 0);
        turn.alarms_changed = true;
        if turn.replaying {
            alarm.ended = Some(event);
            alarm.by_time = turn.closing;
            self.alarm = Some(alarm);
        } else {
            let (started_at, profile) = (alarm.active.started_at, alarm.profile);
            turn.sink.violation(turn.scope, ViolationStep::Ended { event, started_at, profile });
        }
    }
}

/// The step of raising an alarm.
pub(crate) fn raised(active: &ActiveViolation, profile: Arc<SecurityProfile>) -> ViolationStep {
    let event = event(active, ViolationEventType::InAlarm, active.last_value.clone(), active.started_at);
    ViolationStep::Raised { event, active: active.clone(), profile }
}

/// The event of ending an alarm. An invalidated alarm ends without a value; the latest one is shown.
pub(crate) fn ended(
    active: &ActiveViolation,
    kind: ViolationEventType,
    value: Option<komainu_model::MetricValue>,
    at: Timestamp,
) -> ViolationEvent {
    event(active, kind, value.or_else(|| active.last_value.clone()), at)
}

fn event(
    active: &ActiveViolation,
    kind: ViolationEventType,
    value: Option<komainu_model::MetricValue>,
    at: Timestamp,
) -> ViolationEvent {
    ViolationEvent {
        violation: active.id.clone(),
        reporter: active.reporter.clone(),
        profile: active.profile.clone(),
        behavior: active.behavior.clone(),
        value,
        confidence: active.confidence,
        kind,
        verification: active.verification,
        verification_description: active.verification_description.clone(),
        at,
    }
}

/// The same for the same cause, so that what happens twice is told once.
fn violation_id(turn: &Turn<'_>, rule: &Rule, first_bad_ms: i64) -> ViolationId {
    const NAMESPACE: Uuid = Uuid::from_u128(0x6b6f_6d61_696e_7500_8000_7669_6f6c_6174);
    let Turn { scope, reporter, program, .. } = turn;
    // Only the last part can hold a space.
    let cause = format!(
        "{} {} {} {} {} {first_bad_ms} {reporter}",
        scope.account,
        scope.region,
        program.profile(rule).name,
        program.behavior(rule).name,
        if program.registered { "registered" } else { "unregistered" },
    );
    let id = Uuid::new_v5(&NAMESPACE, cause.as_bytes()).to_string();
    ViolationId::parse(&id).expect("a UUID shows itself in lower case with hyphens")
}
