//! What is known of one device.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::IpAddr;
use std::sync::Arc;

use komainu_model::{
    CloudMetric, Datapoint, IndicatorMatch, KomainuMetric, Metric, ReporterName, Timestamp, ViolationEventType,
};

use super::input::{Meter, Note, ReportOutcome, Sample, ValueRef};
use super::program::{Input, KEEP_WINDOW_MS, Program};
use super::slot::{Slot, Turn};

/// The same report within this time is a delivery that was tried again, not a new report. A device reconnects and
/// sends its unacknowledged messages again within seconds; a report that is the same to the byte and comes later is
/// taken for a new one, for simple devices do not count their reports.
pub const REPEAT_MS_MAX: i64 = 10_000;
/// A device is forgotten when nothing was heard of it for so long.
pub(crate) const IDLE_MS_MAX: i64 = 2 * 24 * 3600 * 1000;
/// After so many reports in which no counter fell and some grew, they look like totals. AWS's agents send one every
/// five minutes, so this is after three quarters of an hour.
pub(crate) const GROWING_REPORTS_MAX: u8 = 9;
const INDICATOR_MATCHES: Metric = Metric::Komainu(KomainuMetric::IndicatorMatches);

/// So many source addresses of one window are told apart; the gateway tells no more of one reading.
const SOURCE_ADDRESSES_MAX: usize = 64;

/// What is known of one device.
#[derive(Debug)]
pub(crate) struct Device {
    pub(crate) reporter: ReporterName,
    pub(crate) scope: u32,
    /// The fleet's generation at which `program` was right.
    pub(crate) generation: u64,
    pub(crate) program: Arc<Program>,
    /// One for each of the program's rules.
    pub(crate) slots: Box<[Slot]>,
    /// One for each of the program's kept cloud-side metrics.
    keeps: Box<[Keep]>,
    sources: Option<Box<Sources>>,
    source_matches: Option<Box<SourceMatches>>,
    last_report_ms: Option<i64>,
    /// Between the two latest reports.
    interval_ms: Option<i64>,
    last_report: Known,
    pub(crate) seen_ms: i64,
    /// The second at which the device is looked at again.
    pub(crate) deadline_s: i64,
    traffic: [u64; 4],
    growing_reports: u8,
}

/// By what the previous report is known again.
#[derive(Debug)]
enum Known {
    /// The number it came with.
    ByIdentity(u64),
    /// Its kept values, in a sum of their hashes: it was replayed, and its number was not kept.
    ByValues(u64),
}

/// A cloud-side metric whose values are kept.
#[derive(Debug, Default)]
struct Keep {
    /// When the window began; `None` when there was nothing since the last one.
    window_start_ms: Option<i64>,
    value: u64,
}

/// Where a device connected from in the current window.
#[derive(Debug, Default)]
struct Sources {
    window_start_ms: i64,
    addresses: Vec<IpAddr>,
}

/// The indicators among the addresses that a device connected from in one window.
#[derive(Debug)]
struct SourceMatches {
    window_start_ms: i64,
    matches: Vec<IndicatorMatch>,
}

impl Device {
    pub(crate) fn new(reporter: ReporterName, scope: u32, generation: u64, program: Arc<Program>, at_ms: i64) -> Self {
        let mut device = Self {
            reporter,
            scope,
            generation,
            slots: Box::default(),
            keeps: Box::default(),
            program,
            sources: None,
            source_matches: None,
            last_report_ms: None,
            interval_ms: None,
            last_report: Known::ByValues(0),
            seen_ms: at_ms,
            deadline_s: i64::MAX,
            traffic: [0; 4],
            growing_reports: 0,
        };
        device.slots = device.program.rules.iter().map(|_| Slot::new()).collect();
        device.keeps = device.program.kept_cloud.iter().map(|_| Keep::default()).collect();
        device
    }

    /// Judges the device by another program from now on. What both programs have stays; alarms of what the new one
    /// does not have are invalidated.
    pub(crate) fn change_program(&mut self, turn: &mut Turn<'_>, program: Arc<Program>, at_ms: i64) {
        let old = std::mem::replace(&mut self.program, program);
        let mut slots: Vec<Option<Slot>> = std::mem::take(&mut self.slots).into_iter().map(Some).collect();
        // A registered thing and an unregistered device of the same name are two.
        let mut places: BTreeMap<(&str, &str), usize> = BTreeMap::new();
        if old.registered == self.program.registered {
            for (index, rule) in old.rules.iter().enumerate() {
                places.insert((old.profile(rule).name.as_str(), old.behavior(rule).name.as_str()), index);
            }
        }
        let new = self.program.clone();
        self.slots = new
            .rules
            .iter()
            .map(|rule| {
                let name = (new.profile(rule).name.as_str(), new.behavior(rule).name.as_str());
                let Some(index) = places.get(&name).copied() else { return Slot::new() };
                let before = &old.rules[index];
                if before.input != rule.input {
                    return Slot::new();
                }
                let Some(mut slot) = slots[index].take() else { return Slot::new() };
                if before.window_ms != rule.window_ms {
                    slot = Slot::with_alarm(slot.alarm);
                }
                if let Some(alarm) = slot.alarm.as_deref_mut() {
                    alarm.profile = Some(new.profile(rule).clone());
                    // Whether anybody is told is decided now; what was violated stays as it was.
                    alarm.active.behavior.suppress_alerts = new.behavior(rule).suppress_alerts;
                }
                slot
            })
            .collect();
        for slot in slots.iter_mut().flatten() {
            slot.end_alarm(turn, ViolationEventType::AlarmInvalidated, None, at_ms);
        }
        self.keeps = new.kept_cloud.iter().map(|_| Keep::default()).collect();
    }

    /// The time a report counts at: not before the previous one, so that each has its own.
    pub(crate) fn report_time_ms(&self, at_ms: i64) -> i64 {
        self.last_report_ms.map_or(at_ms, |last_ms| at_ms.max(last_ms + 1))
    }

    /// Whether it is the previous report again.
    pub(crate) fn is_repeated(&self, sample: &Sample<'_>, at_ms: i64) -> bool {
        if self.last_report_ms.is_none_or(|last_ms| at_ms - last_ms > REPEAT_MS_MAX) {
            return false;
        }
        match self.last_report {
            Known::ByIdentity(identity) => identity == sample.identity,
            Known::ByValues(replayed) => {
                let kept = self.program.kept.iter();
                let reported = kept.filter(|kept| !matches!(kept.metric, Metric::Komainu(_)));
                let values = reported.filter_map(|kept| Some(hash(&kept.metric, kept_value(sample, &kept.metric)?)));
                replayed == values.fold(0, u64::wrapping_add)
            }
        }
    }

    /// Takes a report.
    pub(crate) fn report(&mut self, turn: &mut Turn<'_>, sample: &Sample<'_>, at_ms: i64) -> ReportOutcome {
        let mut outcome = ReportOutcome::default();
        self.begin_report(at_ms);
        self.last_report = Known::ByIdentity(sample.identity);
        let program = turn.program;
        let at = Timestamp::from_unix_millis(at_ms);
        for kept in &program.kept {
            if let Some(value) = kept_value(sample, &kept.metric) {
                turn.sink.datapoint(turn.scope, turn.reporter, &kept.metric, value, at);
            }
        }
        if let Some(matches) = sample.matches {
            self.matched(turn, matches, at_ms);
        }
        let rules = &program.rules[..program.device_rules];
        for (rule, slot) in rules.iter().zip(&mut self.slots) {
            match &rule.input {
                Input::DeviceSum(metric) => {
                    if let Some(ValueRef::Count(delta)) = sample.device_value(*metric) {
                        slot.report_sum(rule, turn, delta, at_ms, self.interval_ms);
                    }
                }
                Input::DeviceValue(metric) => {
                    if let Some(value) = sample.device_value(*metric) {
                        slot.report_value(rule, turn, value, at_ms, self.interval_ms);
                    }
                }
                Input::Custom(name) => {
                    let Some(value) = sample.custom_value(name.as_str()) else { continue };
                    if rule.judge.conforms(value).is_some() {
                        slot.report_value(rule, turn, value, at_ms, self.interval_ms);
                    } else {
                        outcome.dropped.push(Note {
                            metric: format!("custom_metrics.{name}"),
                            reason: format!(
                                "is {}, but behavior {} of security profile {} compares {}",
                                value.kind(),
                                program.behavior(rule).name,
                                program.profile(rule).name,
                                rule.judge.kind(),
                            ),
                        });
                    }
                }
                Input::IndicatorMatches | Input::CloudSum(_) | Input::MessageSize | Input::SourceAddresses => {}
            }
        }
        if let Some(warning) = self.watch_counters(sample) {
            outcome.warnings.push(warning);
        }
        outcome
    }

    /// Takes the indicators that a report names, or that were found in another way. Those among the addresses that the
    /// device connects from now stay with it until their window ends: a report without any does not make them normal.
    pub(crate) fn matched(&mut self, turn: &mut Turn<'_>, matches: &[IndicatorMatch], at_ms: i64) {
        let of_sources = self.source_matches.as_deref();
        let of_sources = of_sources.filter(|sources| sources.window_start_ms + KEEP_WINDOW_MS > at_ms);
        let joined;
        let matches = match of_sources {
            None => matches,
            Some(sources) => {
                joined = join(matches, &sources.matches);
                &joined
            }
        };
        if !matches.is_empty() {
            turn.sink.sighted(turn.scope, turn.reporter, matches);
        }
        let program = turn.program;
        if program.kept.iter().any(|kept| kept.metric == INDICATOR_MATCHES) {
            let at = Timestamp::from_unix_millis(at_ms);
            let value = ValueRef::Matches(matches);
            turn.sink.datapoint(turn.scope, turn.reporter, &INDICATOR_MATCHES, value, at);
        }
        for (rule, slot) in program.rules[..program.device_rules].iter().zip(&mut self.slots) {
            if rule.input == Input::IndicatorMatches {
                slot.report_matches(rule, turn, matches, at_ms);
            }
        }
    }

    /// Takes one value of a report that was stored.
    pub(crate) fn replay(&mut self, turn: &mut Turn<'_>, datapoint: &Datapoint) {
        let at_ms = datapoint.at.unix_millis();
        let program = turn.program;
        let value = ValueRef::of(&datapoint.value);
        // What was found by the server came with a report or without one.
        let is_reported = matches!(datapoint.metric, Metric::Device(_) | Metric::Custom(_));
        if is_reported {
            if self.last_report_ms != Some(at_ms) {
                self.begin_report(at_ms);
                self.last_report = Known::ByValues(0);
            }
            if let Known::ByValues(sum) = &mut self.last_report {
                *sum = sum.wrapping_add(hash(&datapoint.metric, value));
            }
        }
        for (rule, slot) in program.rules.iter().zip(&mut self.slots) {
            if program.behavior(rule).metric != datapoint.metric {
                continue;
            }
            match (&rule.input, value) {
                (Input::DeviceSum(_), ValueRef::Count(delta)) => {
                    slot.report_sum(rule, turn, delta, at_ms, self.interval_ms);
                }
                (Input::DeviceValue(_) | Input::Custom(_), _) => {
                    slot.report_value(rule, turn, value, at_ms, self.interval_ms);
                }
                (Input::IndicatorMatches, ValueRef::Matches(matches)) => {
                    slot.report_matches(rule, turn, matches, at_ms)
                }
                // What was kept stands for the window that ended then.
                (Input::CloudSum(_), ValueRef::Count(delta)) => slot.meter_sum(rule, turn, delta, at_ms - 1),
                // The largest message was kept; it says nothing about the smallest.
                (Input::MessageSize, _) if !rule.judge.bounds_above() => {}
                (Input::MessageSize | Input::SourceAddresses, _) => {
                    if let Some(conforms) = rule.judge.conforms(value) {
                        slot.datapoint(rule, turn, conforms, value, at_ms, at_ms);
                    }
                }
                (Input::DeviceSum(_) | Input::IndicatorMatches | Input::CloudSum(_), _) => {}
            }
        }
    }

    fn begin_report(&mut self, at_ms: i64) {
        self.interval_ms = self.last_report_ms.map(|last_ms| at_ms - last_ms);
        self.last_report_ms = Some(at_ms);
        self.seen_ms = self.seen_ms.max(at_ms);
    }

    /// Traffic is counted from one report to the next. Some devices send totals since they started instead, which
    /// looks like traffic that only ever grows (aws-iot-device-defender-agent-sdk-python, issue 25).
    fn watch_counters(&mut self, sample: &Sample<'_>) -> Option<Note> {
        let given = [sample.bytes_in, sample.bytes_out, sample.packets_in, sample.packets_out];
        let traffic = given.map(Option::unwrap_or_default);
        let pairs = || traffic.iter().zip(&self.traffic);
        let grows = pairs().all(|(now, before)| now >= before) && pairs().any(|(now, before)| now > before);
        self.growing_reports = if grows { self.growing_reports.saturating_add(1) } else { 0 };
        self.traffic = traffic;
        (self.growing_reports >= GROWING_REPORTS_MAX).then(|| Note {
            metric: "metrics.network_stats".to_owned(),
            reason: format!(
                "has only grown in the last {} reports, as totals do; expected is the traffic since the previous report",
                self.growing_reports
            ),
        })
    }

    /// Takes a reading of the gateway.
    pub(crate) fn meter(&mut self, turn: &mut Turn<'_>, meter: &Meter<'_>, at_ms: i64) {
        self.seen_ms = self.seen_ms.max(at_ms);
        let program = turn.program;
        let new_sources = self.take_sources(turn, meter.source_addresses, at_ms);
        self.take_source_matches(turn, meter.matches, at_ms);
        for (kept, keep) in program.kept_cloud.iter().zip(&mut self.keeps) {
            keep.close_due(turn, &kept.metric, kept.window_ms, at_ms);
            let value = match cloud_count(kept.cloud, meter) {
                Some(count) => keep.value.saturating_add(count),
                None => match (kept.cloud, meter.message_bytes) {
                    (CloudMetric::MessageByteSize, Some((_, largest))) => keep.value.max(largest),
                    _ => continue,
                },
            };
            if keep.window_start_ms.is_none() {
                let start_ms = at_ms - at_ms.rem_euclid(kept.window_ms);
                keep.window_start_ms = Some(start_ms);
                turn.deadline_ms = turn.deadline_ms.min(start_ms + kept.window_ms);
            }
            keep.value = value;
        }
        let rules = program.rules.iter().zip(&mut self.slots).skip(program.device_rules);
        for (rule, slot) in rules {
            match &rule.input {
                Input::CloudSum(metric) => {
                    let count = cloud_count(*metric, meter).unwrap_or_default();
                    slot.meter_sum(rule, turn, count, at_ms);
                }
                Input::MessageSize => {
                    // Each message is judged; the largest decides over an upper bound, the smallest over a lower.
                    let Some((smallest, largest)) = meter.message_bytes else { continue };
                    let value = ValueRef::Count(if rule.judge.bounds_above() { largest } else { smallest });
                    if let Some(conforms) = rule.judge.conforms(value) {
                        slot.datapoint(rule, turn, conforms, value, at_ms, at_ms);
                    }
                }
                Input::SourceAddresses => {
                    let Some(sources) = self.sources.as_deref().filter(|_| new_sources) else { continue };
                    let value = ValueRef::Addresses(&sources.addresses);
                    if let Some(conforms) = rule.judge.conforms(value) {
                        slot.datapoint(rule, turn, conforms, value, at_ms, at_ms);
                    }
                }
                Input::DeviceSum(_) | Input::DeviceValue(_) | Input::Custom(_) | Input::IndicatorMatches => {}
            }
        }
    }

    /// Notes where the device connects from; says whether that is a datapoint: the first reading of a window, and
    /// each that has an address the window did not have.
    fn take_sources(&mut self, turn: &mut Turn<'_>, addresses: &[IpAddr], at_ms: i64) -> bool {
        let wanted = turn.program.kept_cloud.iter().any(|kept| kept.cloud == CloudMetric::SourceIpAddress);
        if !wanted || addresses.is_empty() {
            return false;
        }
        let start_ms = at_ms - at_ms.rem_euclid(KEEP_WINDOW_MS);
        let sources = self.sources.get_or_insert_default();
        if sources.window_start_ms != start_ms {
            keep_sources(turn, sources);
            **sources = Sources { window_start_ms: start_ms, addresses: Vec::new() };
            turn.deadline_ms = turn.deadline_ms.min(start_ms + KEEP_WINDOW_MS);
        }
        let before = sources.addresses.len();
        for address in addresses {
            let address = address.to_canonical();
            if sources.addresses.len() < SOURCE_ADDRESSES_MAX && !sources.addresses.contains(&address) {
                sources.addresses.push(address);
            }
        }
        sources.addresses.len() > before
    }

    /// Takes the indicators among the addresses that the device connects from: once in a window, and when there is one more.
    fn take_source_matches(&mut self, turn: &mut Turn<'_>, matches: &[IndicatorMatch], at_ms: i64) {
        if matches.is_empty() {
            return;
        }
        let start_ms = at_ms - at_ms.rem_euclid(KEEP_WINDOW_MS);
        let known = self.source_matches.as_deref().filter(|sources| sources.window_start_ms == start_ms);
        let joined = join(known.map_or(&[], |sources| &sources.matches), matches);
        if known.is_some_and(|sources| sources.matches.len() == joined.len()) {
            return;
        }
        self.source_matches = Some(Box::new(SourceMatches { window_start_ms: start_ms, matches: joined }));
        self.matched(turn, &[], at_ms);
    }

    /// Closes what ends at `now_ms` or before.
    pub(crate) fn close_due(&mut self, turn: &mut Turn<'_>, now_ms: i64) {
        let program = turn.program;
        for (kept, keep) in program.kept_cloud.iter().zip(&mut self.keeps) {
            keep.close_due(turn, &kept.metric, kept.window_ms, now_ms);
        }
        if self.sources.as_deref().is_some_and(|sources| sources.window_start_ms + KEEP_WINDOW_MS <= now_ms)
            && let Some(sources) = self.sources.take()
        {
            keep_sources(turn, &sources);
        }
        for (rule, slot) in program.rules.iter().zip(&mut self.slots) {
            slot.close_due(rule, turn, now_ms);
        }
    }

    /// When the device has to be looked at again, after `now_ms`.
    pub(crate) fn deadline_ms(&self, now_ms: i64) -> i64 {
        let slots = self.program.rules.iter().zip(&self.slots).map(|(rule, slot)| slot.deadline_ms(rule));
        let keeps = self
            .program
            .kept_cloud
            .iter()
            .zip(&self.keeps)
            .filter_map(|(kept, keep)| keep.window_start_ms.map(|start_ms| start_ms + kept.window_ms));
        let sources = self.sources.as_deref().map(|sources| sources.window_start_ms + KEEP_WINDOW_MS);
        // A silent device with an alarm is kept until the alarm ends.
        let idle = Some(self.seen_ms + IDLE_MS_MAX).filter(|idle| *idle > now_ms).unwrap_or(now_ms + IDLE_MS_MAX);
        slots.chain(keeps).chain(sources).fold(idle, i64::min)
    }

    pub(crate) fn is_alarmed(&self) -> bool {
        self.slots.iter().any(Slot::is_alarmed)
    }
}

impl Keep {
    fn close_due(&mut self, turn: &mut Turn<'_>, metric: &Metric, window_ms: i64, now_ms: i64) {
        let Some(end_ms) = self.window_start_ms.map(|start_ms| start_ms + window_ms) else { return };
        if end_ms <= now_ms {
            let at = Timestamp::from_unix_millis(end_ms);
            turn.sink.datapoint(turn.scope, turn.reporter, metric, ValueRef::Count(self.value), at);
            *self = Self::default();
        }
    }
}

/// The matches of both, those about one indicator once; the first ones count. Both are short.
fn join(first: &[IndicatorMatch], second: &[IndicatorMatch]) -> Vec<IndicatorMatch> {
    let mut joined = first.to_vec();
    for found in second {
        if joined.iter().all(|known| known.indicator != found.indicator) {
            joined.push(found.clone());
        }
    }
    joined
}

/// The value of a device-side metric in a report.
#[inline]
fn kept_value<'a>(sample: &Sample<'a>, metric: &Metric) -> Option<ValueRef<'a>> {
    match metric {
        Metric::Device(metric) => sample.device_value(*metric),
        Metric::Custom(name) => sample.custom_value(name.as_str()),
        // It is kept where it is judged.
        Metric::Komainu(KomainuMetric::IndicatorMatches) => None,
        Metric::Cloud(_) => None,
    }
}

/// Tells values apart. Only compared with other results of the same process.
fn hash(metric: &Metric, value: ValueRef<'_>) -> u64 {
    let mut hasher = DefaultHasher::new();
    metric.hash(&mut hasher);
    match value {
        ValueRef::Count(value) => value.hash(&mut hasher),
        ValueRef::Addresses(values) => values.hash(&mut hasher),
        ValueRef::Ports(values) => values.hash(&mut hasher),
        ValueRef::Number(value) => value.to_bits().hash(&mut hasher),
        ValueRef::Numbers(values) => values.iter().for_each(|value| value.to_bits().hash(&mut hasher)),
        ValueRef::Strings(values) => values.hash(&mut hasher),
        ValueRef::Matches(values) => values.iter().for_each(|found| found.indicator.hash(&mut hasher)),
    }
    hasher.finish()
}

fn keep_sources(turn: &mut Turn<'_>, sources: &Sources) {
    const METRIC: Metric = Metric::Cloud(CloudMetric::SourceIpAddress);
    if !sources.addresses.is_empty() {
        let at = Timestamp::from_unix_millis(sources.window_start_ms + KEEP_WINDOW_MS);
        let value = ValueRef::Addresses(&sources.addresses);
        turn.sink.datapoint(turn.scope, turn.reporter, &METRIC, value, at);
    }
}

/// A counter of a reading; `None` for what is no counter.
#[inline]
fn cloud_count(metric: CloudMetric, meter: &Meter<'_>) -> Option<u64> {
    match metric {
        CloudMetric::NumMessagesSent => Some(meter.messages_sent),
        CloudMetric::NumMessagesReceived => Some(meter.messages_received),
        CloudMetric::NumAuthorizationFailures => Some(meter.authorization_failures),
        CloudMetric::NumConnectionAttempts => Some(meter.connection_attempts),
        CloudMetric::NumDisconnects => Some(meter.disconnects),
        CloudMetric::MessageByteSize | CloudMetric::SourceIpAddress => None,
    }
}
