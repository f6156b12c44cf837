//! From a batch of reports and readings to changes in the store and answers to devices.

use std::collections::BTreeMap;
use std::hash::{BuildHasher, Hasher};
use std::ops::ControlFlow;
use std::sync::Arc;

use komainu_detect::{
    Detector, Fleet, IndicatorSet, Judged, Meter, Note, ReportOutcome, Sample, Sink, ValueRef, ViolationStep,
};
use komainu_model::{
    ActiveViolation, AlertContext, Change, Datapoint, Indicator, IndicatorChange, IndicatorId, IndicatorMatch, Metric,
    MetricValue, Record, RecordKey, Remote, RemoteHost, ReporterName, Scope, SecurityProfile, Sighting, SightingWay,
    Timestamp, ViolationEvent, ViolationEventType, ViolationId,
};
use komainu_ports::{
    ActiveViolationQuery, AlertRouter, ChangeObserver, Directory, MeterReading, Page, PageToken, ReportEncoding,
    ReportMessage, SightingQuery, Store, StoreError,
};
use komainu_report::{
    Accepted, CustomValue, Encoding, Parsed, Problem, Rejected, RejectionCode, Report, parse_cbor, parse_json,
};
use tracing::field::Empty;
use tracing::{Span, debug_span};

use crate::encounters::{Encounters, add_match};
use crate::indicators::Indicators;
use crate::pipeline::{PipelineConfig, PipelinePorts};
use crate::threads::Threads;

/// Of one batch, so many reports that were refused or not wholly understood are logged one by one.
const LOGGED_REPORTS_MAX: usize = 10;
/// So many active violations are asked for at a time.
const VIOLATIONS_PAGE: usize = 1000;

/// For so many new indicators what devices reported before is looked through in one step.
const LOOKED_BACK_MAX: usize = 256;
/// So many contacts are taken in one step, so that reports do not wait for it.
const CONTACTS_LOOKED_AT_MAX: usize = 1000;
/// An alert tells of so many indicators, and of so many origins of each.
const ALERT_INDICATORS_MAX: usize = 5;
const ALERT_ORIGINS_MAX: usize = 8;

/// The detector with what it needs to carry its decisions out. Blocks; it is moved to where blocking is allowed.
pub(crate) struct Evaluator {
    detector: Detector,
    store: Arc<dyn Store>,
    directory: Arc<dyn Directory>,
    router: Arc<dyn AlertRouter>,
    indicators: Arc<Indicators>,
    observers: Vec<Arc<dyn ChangeObserver>>,
    threads: Arc<Threads>,
    history: std::time::Duration,
    /// Where looking back stopped within the contacts of an indicator.
    looking_back: Option<(IndicatorId, PageToken)>,
    hasher: ahash::RandomState,
}

/// What follows from a batch once it is durable.
pub(crate) struct Evaluated {
    /// One for each report, in their order.
    pub(crate) answers: Vec<Answer>,
    /// Whether messages were put into the outbox.
    pub(crate) has_deliveries: bool,
}

/// What follows from looking back.
pub(crate) struct LookedBack {
    /// Whether nothing is left.
    pub(crate) is_done: bool,
    /// Whether messages were put into the outbox.
    pub(crate) has_deliveries: bool,
}

/// What a device is told about its report.
pub(crate) struct Answer {
    pub(crate) topic: String,
    pub(crate) payload: Vec<u8>,
}

impl Evaluator {
    /// [`Evaluator::open`] where blocking is allowed.
    pub(crate) async fn open_blocking(
        config: &PipelineConfig,
        ports: &PipelinePorts,
        threads: &Arc<Threads>,
    ) -> Result<Self, StoreError> {
        let (config, ports, threads) = (config.clone(), ports.clone(), threads.clone());
        let opened = tokio::task::spawn_blocking(move || Self::open(&config, &ports, threads)).await;
        opened.unwrap_or_else(|panicked| std::panic::resume_unwind(panicked.into_panic()))
    }

    /// Builds the detector from what is stored.
    fn open(config: &PipelineConfig, ports: &PipelinePorts, threads: Arc<Threads>) -> Result<Self, StoreError> {
        let now = ports.clock.now();
        let mut detector = Detector::new(config.detector);
        let mut alarms = 0usize;
        for (scope, record) in ports.store.load()? {
            if let Record::ActiveViolation(active) = record {
                detector.restore_violation(&scope, active);
                alarms += 1;
            }
        }
        let directory = ports.directory.as_ref();
        let profiles = directory.profiles();
        let horizon = Detector::replay_horizon(profiles.iter().map(|(_, profile)| profile.as_ref()));
        let mut values = 0u64;
        ports.store.replay_datapoints(now.minus(horizon), &mut |scope, datapoint| {
            detector.replay(&FleetOf(directory), &scope, &datapoint);
            values += 1;
            ControlFlow::Continue(())
        })?;
        let mut found = Found::default();
        detector.restored(&FleetOf(directory), now, &mut found);
        let mut evaluator = Self {
            detector,
            store: ports.store.clone(),
            directory: ports.directory.clone(),
            router: ports.router.clone(),
            indicators: ports.indicators.clone(),
            observers: ports.observers.clone(),
            threads,
            history: config.history,
            looking_back: None,
            hasher: ahash::RandomState::with_seeds(1, 2, 3, 4),
        };
        if evaluator.carry_out(found, now)? {
            ports.outbox.notify_one();
        }
        let devices = evaluator.detector.devices();
        tracing::info!(event = "pipeline.restored", devices, alarms, values, "detection restored");
        Ok(evaluator)
    }

    /// Judges reports and readings, and makes durable what follows. When that fails, the detector knows more than the
    /// store: it must be dropped.
    pub(crate) fn evaluate(
        &mut self,
        reports: &[(ReportMessage, Span)],
        readings: &[MeterReading],
        reached: Timestamp,
        now: Timestamp,
    ) -> Result<Evaluated, StoreError> {
        self.indicators.let_go_of_old(now)?;
        let set = self.indicators.set();
        let mut found = Found::default();
        let mut noisy = 0;
        let answers = reports
            .iter()
            .map(|(report, span)| span.in_scope(|| self.report(report, span, &set, &mut found, &mut noisy)))
            .collect();
        if found.contacts_dropped > 0 {
            let (event, count) = ("pipeline.contacts_dropped", found.contacts_dropped);
            tracing::info!(event, count, "reports name more contacts than are remembered");
        }
        if noisy > LOGGED_REPORTS_MAX {
            let suppressed = noisy - LOGGED_REPORTS_MAX;
            tracing::info!(
                event = "pipeline.reports_suppressed",
                suppressed,
                "more reports were refused or incomplete"
            );
        }
        let fleet = FleetOf(self.directory.as_ref());
        for reading in readings {
            let meter = Meter {
                messages_sent: reading.messages_sent,
                messages_received: reading.messages_received,
                message_bytes: reading.message_bytes,
                authorization_failures: reading.authorization_failures,
                connection_attempts: reading.connection_attempts,
                disconnects: reading.disconnects,
                source_addresses: &reading.source_addresses,
                matches: &source_matches(&self.indicators, &set, reading, now),
            };
            self.detector.meter(&fleet, &reading.scope, &reading.reporter, &meter, now, &mut found);
        }
        self.detector.advance(&fleet, reached, &mut found);
        let has_deliveries = self.carry_out(found, now)?;
        Ok(Evaluated { answers, has_deliveries })
    }

    fn report(
        &mut self,
        message: &ReportMessage,
        span: &Span,
        set: &IndicatorSet,
        found: &mut Found,
        noisy: &mut usize,
    ) -> Answer {
        let (encoding, extension) = match message.encoding {
            ReportEncoding::Json => (Encoding::Json, "json"),
            ReportEncoding::Cbor => (Encoding::Cbor, "cbor"),
        };
        let thing = message.thing.as_ref();
        let timestamp_ms = message.received_at.unix_millis();
        let topic = |outcome| format!("$aws/things/{thing}/defender/metrics/{extension}/{outcome}");
        let mut log = |what: fn(&ReportMessage, &dyn std::fmt::Display), detail: &dyn std::fmt::Display| {
            *noisy += 1;
            if *noisy <= LOGGED_REPORTS_MAX {
                what(message, detail);
            }
        };
        let reject = |report_id, reason: &str| {
            span.record("komainu.outcome", "rejected");
            let code = RejectionCode::InvalidPayload;
            let answer = Rejected { thing, report_id, timestamp_ms, code, message: reason };
            Answer { topic: topic("rejected"), payload: answer.encode(encoding) }
        };
        let parsed = debug_span!("report.decode", komainu.encoding = extension).in_scope(|| match encoding {
            Encoding::Json => parse_json(&message.payload),
            Encoding::Cbor => parse_cbor(&message.payload),
        });
        let Parsed { report, problems: mut dropped } = match parsed {
            Ok(parsed) => parsed,
            Err(error) => {
                let reason = error.to_string();
                log(log_refused, &reason);
                return reject(error.report_id, &reason);
            }
        };
        let reporter = match ReporterName::parse(thing) {
            Ok(reporter) => reporter,
            Err(error) => {
                let reason = error.to_string();
                log(log_refused, &reason);
                return reject(Some(report.report_id), &reason);
            }
        };
        span.record("komainu.thing", reporter.as_str());
        let judged = debug_span!("report.judge").in_scope(|| self.judge(message, &reporter, &report, set, found));
        let ReportOutcome { dropped: unjudged, warnings, .. } = judged;
        span.record("komainu.outcome", "accepted");
        dropped.extend(unjudged.into_iter().map(problem));
        let warnings: Vec<Problem> = warnings.into_iter().map(problem).collect();
        if let Some(first) = dropped.first().or(warnings.first()) {
            log(log_incomplete, first);
        }
        let report_id = report.report_id;
        let answer = Accepted { thing, report_id, timestamp_ms, dropped: &dropped, warnings: &warnings };
        Answer { topic: topic("accepted"), payload: answer.encode(encoding) }
    }

    fn judge(
        &mut self,
        message: &ReportMessage,
        reporter: &ReporterName,
        report: &Report,
        set: &IndicatorSet,
        found: &mut Found,
    ) -> ReportOutcome {
        let at = message.received_at;
        let mut hasher = self.hasher.build_hasher();
        hasher.write(&message.payload);
        let custom: Vec<(&str, ValueRef<'_>)> =
            report.custom.iter().map(|metric| (metric.name.as_str(), custom_value(&metric.value))).collect();
        let mut encounters = Encounters::of(report, set, &self.indicators, at);
        if let Some(matches) = &mut encounters.matches {
            name_samples(&self.indicators, matches);
        }
        let sample = Sample { matches: encounters.matches.as_deref(), ..sample(report, &custom, hasher.finish()) };
        let fleet = FleetOf(self.directory.as_ref());
        let outcome = self.detector.report(&fleet, &message.scope, reporter, &sample, at, found);
        if !outcome.repeated {
            found.contacts_dropped += encounters.contacts_dropped;
            found.changes.extend(encounters.into_changes(&message.scope, reporter, at));
        }
        outcome
    }

    /// Looks through what devices reported before for indicators that are new: a part of it. What was seen is made durable
    /// together with that it was looked for, so that whatever happens in between, it is found once.
    pub(crate) fn look_back(&mut self, now: Timestamp) -> Result<LookedBack, StoreError> {
        let indicators = self.indicators.clone();
        let store = indicators.store();
        let wanted = store.indicators_to_look_back(LOOKED_BACK_MAX)?;
        let (mut is_done, mut room) = (wanted.len() < LOOKED_BACK_MAX, CONTACTS_LOOKED_AT_MAX);
        let mut found = Found { is_looking_back: true, ..Found::default() };
        let mut devices: BTreeMap<(Scope, ReporterName), Vec<IndicatorMatch>> = BTreeMap::new();
        for indicator in wanted {
            if room == 0 {
                is_done = false;
                break;
            }
            let after = self.looking_back.take().filter(|(id, _)| *id == indicator.id).map(|(_, token)| token);
            let page = Page { after, limit: room };
            let contacts = store.contacts(&indicator.value, now.minus(self.history), &page)?;
            room = room.saturating_sub(contacts.items.len());
            for (scope, contact) in contacts.items {
                let query = SightingQuery {
                    indicator: Some(indicator.id),
                    reporter: Some((scope.clone(), contact.reporter.clone())),
                };
                let matches = devices.entry((scope.clone(), contact.reporter.clone())).or_default();
                let is_known = matches.iter().any(|found| found.indicator == indicator.id)
                    || !store.sightings(&query, &Page { after: None, limit: 1 })?.items.is_empty();
                if !is_known {
                    add_match(matches, indicator.id, &contact.remote, SightingWay::LookingBack, contact.last_at);
                    let sighting = Sighting {
                        reporter: contact.reporter,
                        indicator: indicator.id,
                        remote: contact.remote,
                        way: SightingWay::LookingBack,
                        first_at: contact.first_at,
                        last_at: contact.last_at,
                        count: contact.count,
                    };
                    found.changes.push(Change::Indicators(IndicatorChange::AddSighting(scope, sighting)));
                }
            }
            match contacts.next {
                Some(token) => {
                    self.looking_back = Some((indicator.id, token));
                    is_done = false;
                    break;
                }
                None => found.changes.push(Change::Indicators(IndicatorChange::LookedBack(indicator.id))),
            }
        }
        let fleet = FleetOf(self.directory.as_ref());
        for ((scope, reporter), mut matches) in devices {
            if !matches.is_empty() {
                name_samples(&self.indicators, &mut matches);
                let (event, count) = ("pipeline.found_looking_back", matches.len());
                tracing::warn!(event, thing = %reporter, count, "a device was in contact with indicators before they were known");
                self.detector.looked_back(&fleet, &scope, &reporter, &matches, now, &mut found);
            }
        }
        let has_deliveries = self.carry_out(found, now)?;
        Ok(LookedBack { is_done, has_deliveries })
    }

    /// Makes durable what was found; says whether messages went into the outbox.
    fn carry_out(&mut self, found: Found, now: Timestamp) -> Result<bool, StoreError> {
        let Found { mut changes, steps, .. } = found;
        let mut deliveries = Vec::new();
        for (scope, mut step, cause) in steps {
            self.take_over_verification(&scope, &mut step)?;
            if let Some((alert, profile)) = alert(&step) {
                log_violation(alert.0);
                deliveries.extend(self.tell(&scope, alert, profile, &cause, now));
            }
            match step {
                ViolationStep::Raised { event, active, .. } => {
                    changes.push(Change::AppendViolationEvent(scope.clone(), event));
                    changes.push(Change::Put(scope, Record::ActiveViolation(active)));
                }
                ViolationStep::Continued { active } => {
                    changes.push(Change::Put(scope, Record::ActiveViolation(active)));
                }
                ViolationStep::Ended { event, .. } => {
                    let key = RecordKey::ActiveViolation(event.violation.clone());
                    changes.push(Change::AppendViolationEvent(scope.clone(), event));
                    changes.push(Change::Delete(scope, key));
                }
            }
        }
        let has_deliveries = !deliveries.is_empty();
        changes.extend(deliveries);
        if !changes.is_empty() {
            self.store.commit(&changes)?;
            self.observers.iter().for_each(|observer| observer.committed(&changes));
        }
        Ok(has_deliveries)
    }

    /// People say what they found out about a violation to the control plane, which writes it into the store. What is
    /// written next must say the same.
    fn take_over_verification(&self, scope: &Scope, step: &mut ViolationStep) -> Result<(), StoreError> {
        match step {
            ViolationStep::Raised { .. } => {}
            ViolationStep::Continued { active } => {
                if let Some(stored) = self.stored(scope, &active.reporter, &active.profile, &active.id)? {
                    active.verification = stored.verification;
                    active.verification_description = stored.verification_description;
                }
            }
            ViolationStep::Ended { event, .. } => {
                if let Some(stored) = self.stored(scope, &event.reporter, &event.profile, &event.violation)? {
                    event.verification = stored.verification;
                    event.verification_description = stored.verification_description;
                }
            }
        }
        Ok(())
    }

    fn stored(
        &self,
        scope: &Scope,
        reporter: &ReporterName,
        profile: &komainu_model::ProfileName,
        id: &ViolationId,
    ) -> Result<Option<ActiveViolation>, StoreError> {
        let query = ActiveViolationQuery {
            reporter: Some(reporter.clone()),
            profile: Some(profile.clone()),
            include_suppressed: true,
            ..ActiveViolationQuery::default()
        };
        // A profile has at most 100 behaviors, so one page holds all of a device's alarms under it.
        let page = Page { after: None, limit: VIOLATIONS_PAGE };
        let violations = self.store.active_violations(scope, &query, &page)?;
        Ok(violations.items.into_iter().find(|violation| violation.id == *id))
    }

    /// What is known of the indicators that an event names, the first of them.
    fn alert_indicators(&self, event: &ViolationEvent) -> Vec<Indicator> {
        let Some(MetricValue::Matches(matches)) = &event.value else { return Vec::new() };
        let known = |found: &IndicatorMatch| self.indicators.store().indicator(found.indicator).ok().flatten();
        let mut indicators: Vec<Indicator> = matches.iter().take(ALERT_INDICATORS_MAX).filter_map(known).collect();
        indicators.iter_mut().for_each(|indicator| indicator.provenance.truncate(ALERT_ORIGINS_MAX));
        indicators
    }

    /// The messages that tell of an alarm. Their deliveries go on in its trace.
    fn tell(
        &self,
        scope: &Scope,
        (event, started_at): (&ViolationEvent, Timestamp),
        profile: &SecurityProfile,
        cause: &Span,
        now: Timestamp,
    ) -> Vec<Change> {
        let span = debug_span!(
            parent: cause,
            "alarm",
            komainu.violation = %event.violation,
            komainu.thing = %event.reporter,
            komainu.profile = %event.profile,
            komainu.behavior = %event.behavior.name,
            komainu.deliveries = Empty,
        );
        let changes = span.in_scope(|| self.route(scope, event, started_at, profile, now));
        span.record("komainu.deliveries", changes.len() as i64);
        for change in &changes {
            if let Change::PutDelivery(delivery) = change {
                self.threads.keep(&delivery.id, &span);
            }
        }
        changes
    }

    fn route(
        &self,
        scope: &Scope,
        event: &ViolationEvent,
        started_at: Timestamp,
        profile: &SecurityProfile,
        now: Timestamp,
    ) -> Vec<Change> {
        if event.behavior.suppress_alerts || profile.alert_targets.is_empty() {
            return Vec::new();
        }
        let groups = self.directory.device(scope, &event.reporter).groups;
        let groups = groups.iter().map(|group| group.as_str().to_owned()).collect();
        let indicators = self.alert_indicators(event);
        let context = AlertContext { event: event.clone(), started_at, groups, indicators };
        let targets = profile.alert_targets.iter();
        let deliveries = targets.flat_map(|target| self.router.route(scope, &target.target, &context, now));
        deliveries.map(Change::PutDelivery).collect()
    }
}

/// Which addresses of a reading are indicators. The others are the fleet's own.
fn source_matches(
    indicators: &Indicators,
    set: &IndicatorSet,
    reading: &MeterReading,
    now: Timestamp,
) -> Vec<IndicatorMatch> {
    let mut matches = Vec::new();
    for address in &reading.source_addresses {
        let address = address.to_canonical();
        let remote = Remote { host: RemoteHost::Address(address), port: None };
        set.find_address(address, None, |id| add_match(&mut matches, id, &remote, SightingWay::Gateway, now));
        indicators.note_own(set, address);
    }
    name_samples(indicators, &mut matches);
    matches
}

/// Says with each match which sample taught its indicator. An alarm does not wait for a store that does not answer.
fn name_samples(indicators: &Indicators, matches: &mut [IndicatorMatch]) {
    for found in matches {
        let indicator = indicators.store().indicator(found.indicator).ok().flatten();
        found.sample = indicator.and_then(|indicator| indicator.provenance.iter().find_map(|origin| origin.sample));
    }
}

/// The event that people are told about, when the alarm was raised, and the profile that says who they are.
fn alert(step: &ViolationStep) -> Option<((&ViolationEvent, Timestamp), &SecurityProfile)> {
    match step {
        ViolationStep::Raised { event, active, profile } => Some(((event, active.started_at), profile)),
        ViolationStep::Ended { event, started_at, profile: Some(profile) } => Some(((event, *started_at), profile)),
        ViolationStep::Ended { profile: None, .. } | ViolationStep::Continued { .. } => None,
    }
}

fn log_violation(event: &ViolationEvent) {
    let ViolationEvent { reporter, profile, behavior, violation, .. } = event;
    let behavior = &behavior.name;
    match event.kind {
        ViolationEventType::InAlarm => {
            tracing::warn!(event = "pipeline.alarm_raised", thing = %reporter, %profile, %behavior, %violation, "alarm raised");
        }
        ViolationEventType::AlarmCleared => {
            tracing::info!(event = "pipeline.alarm_cleared", thing = %reporter, %profile, %behavior, %violation, "alarm cleared");
        }
        ViolationEventType::AlarmInvalidated => {
            tracing::info!(event = "pipeline.alarm_invalidated", thing = %reporter, %profile, %behavior, %violation, "alarm invalidated");
        }
    }
}

fn log_refused(message: &ReportMessage, reason: &dyn std::fmt::Display) {
    tracing::info!(event = "pipeline.report_refused", thing = ?message.thing, %reason, "report refused");
}

fn log_incomplete(message: &ReportMessage, problem: &dyn std::fmt::Display) {
    tracing::info!(event = "pipeline.report_incomplete", thing = ?message.thing, %problem, "report taken, with problems");
}

fn problem(note: Note) -> Problem {
    Problem { metric: note.metric, reason: note.reason }
}

/// A report in the detector's terms. What both call a metric is the same.
fn sample<'a>(report: &'a Report, custom: &'a [(&'a str, ValueRef<'a>)], identity: u64) -> Sample<'a> {
    Sample {
        identity,
        bytes_in: report.network.bytes_in,
        bytes_out: report.network.bytes_out,
        packets_in: report.network.packets_in,
        packets_out: report.network.packets_out,
        listening_tcp_port_count: report.listening_tcp_port_count,
        listening_udp_port_count: report.listening_udp_port_count,
        connection_count: report.connection_count,
        listening_tcp_ports: report.listening_tcp_ports.as_deref(),
        listening_udp_ports: report.listening_udp_ports.as_deref(),
        destinations: report.destinations.as_deref(),
        matches: None,
        custom,
    }
}

fn custom_value(value: &CustomValue) -> ValueRef<'_> {
    match value {
        CustomValue::Number(value) => ValueRef::Number(*value),
        CustomValue::Numbers(values) => ValueRef::Numbers(values),
        CustomValue::Strings(values) => ValueRef::Strings(values),
        CustomValue::Addresses(values) => ValueRef::Addresses(values),
    }
}

/// The directory in the detector's terms.
struct FleetOf<'a>(&'a dyn Directory);

impl Fleet for FleetOf<'_> {
    fn generation(&self) -> u64 {
        self.0.generation()
    }

    fn device(&self, scope: &Scope, reporter: &ReporterName) -> Judged {
        let device = self.0.device(scope, reporter);
        Judged { registered: device.registered, profiles: device.profiles }
    }
}

/// What the detector found in one batch.
#[derive(Default)]
struct Found {
    changes: Vec<Change>,
    /// Each with the span in which it was found.
    steps: Vec<(Scope, ViolationStep, Span)>,
    /// Contacts that are not remembered.
    contacts_dropped: usize,
    /// What is found was seen before; whoever looks back notes when.
    is_looking_back: bool,
}

impl Sink for Found {
    fn datapoint(
        &mut self,
        scope: &Scope,
        reporter: &ReporterName,
        metric: &Metric,
        value: ValueRef<'_>,
        at: Timestamp,
    ) {
        let datapoint = Datapoint { reporter: reporter.clone(), metric: metric.clone(), value: value.to_value(), at };
        self.changes.push(Change::AppendDatapoint(scope.clone(), datapoint));
    }

    fn sighted(&mut self, scope: &Scope, reporter: &ReporterName, matches: &[IndicatorMatch]) {
        if self.is_looking_back {
            return;
        }
        self.changes.extend(matches.iter().map(|found| {
            let sighting = Sighting {
                reporter: reporter.clone(),
                indicator: found.indicator,
                remote: found.remote.clone(),
                way: found.way,
                first_at: found.seen_at,
                last_at: found.seen_at,
                count: 1,
            };
            Change::Indicators(IndicatorChange::AddSighting(scope.clone(), sighting))
        }));
    }

    fn violation(&mut self, scope: &Scope, step: ViolationStep) {
        self.steps.push((scope.clone(), step, Span::current()));
    }
}
