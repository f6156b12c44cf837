//! Alarms of the fleet: raised, cleared and looked into.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use komainu_model::{
    ProfileName, ReporterName, Timestamp, VerificationState, ViolationEvent, ViolationEventType, ViolationId,
};
use komainu_ports::{ActiveViolationQuery, Page, StoreError, TimeRange, ViolationEventQuery};
use komainu_statistics::Day;
use maud::{Markup, html};

use crate::judged::is_threat;
use crate::monthly::table::{ROWS_MAX, bar, more, named, nothing};
use crate::monthly::{Edition, MonthlyParts, sheet};
use crate::watch::{brief, grouped};

/// So long the store keeps what happened to alarms.
const KEPT: Duration = Duration::from_secs(14 * 24 * 3_600);

/// Events of a month that are looked through, the latest: a fleet of ten thousand devices of which each is in alarm twice.
const EVENTS_MAX: usize = 40_000;

/// Alarms that are active now and that are looked through for those that were raised in the month.
const ACTIVE_MAX: usize = 10_000;

/// Read at once: as many as the store gives.
const STEP: usize = 1_000;

/// What is known of the alarms of a month.
pub(crate) struct FleetMonth {
    pub(crate) now: Alarms,
    /// The month before, when all of it is still kept.
    pub(crate) before: Option<Alarms>,
    /// Alarms that were raised in the month or before and still are, suppressed ones among them.
    pub(crate) active: u64,
    /// From when on events are still kept.
    kept_from: Timestamp,
    range: TimeRange,
}

/// Alarms of a part of the time.
#[derive(Default)]
pub(crate) struct Alarms {
    pub(crate) raised: u64,
    raised_ids: BTreeSet<ViolationId>,
    /// Of which devices.
    pub(crate) devices: BTreeMap<ReporterName, u64>,
    pub(crate) by_profile: BTreeMap<ProfileName, OfProfile>,
    /// When devices were in contact with what an indicator names, the latest first.
    pub(crate) threats: Vec<ViolationEvent>,
    /// Whether there are more events than were looked through.
    pub(crate) is_cut: bool,
}

/// Alarms by one profile.
#[derive(Default)]
pub(crate) struct OfProfile {
    raised: u64,
    cleared: u64,
    /// No longer judged.
    invalidated: u64,
    /// Of those raised: what people found out.
    verified: BTreeMap<u8, u64>,
}

/// What people found out, in the order of the table's columns.
const FOUND_OUT: [VerificationState; 4] = [
    VerificationState::TruePositive,
    VerificationState::BenignPositive,
    VerificationState::FalsePositive,
    VerificationState::Unknown,
];

impl FleetMonth {
    /// Reads the events of a month and of the one before. Blocks.
    pub(crate) fn of(
        parts: &MonthlyParts,
        range: TimeRange,
        before: TimeRange,
        now: Timestamp,
    ) -> Result<Self, StoreError> {
        let kept_from = now.minus(KEPT);
        let mut of_month = Alarms::of(parts, range)?;
        let mut active = 0;
        let query = ActiveViolationQuery { include_suppressed: true, ..ActiveViolationQuery::default() };
        let mut after = None;
        loop {
            let step = parts.history.active_violations(&parts.scope, &query, &Page { after, limit: STEP })?;
            for violation in step.items.iter().filter(|violation| violation.started_at < range.to) {
                active += 1;
                // Its events may be gone; that it was raised is known all the same.
                if violation.started_at >= range.from && !of_month.raised_ids.contains(&violation.id) {
                    of_month.add_raised(&violation.reporter, &violation.profile, violation.verification);
                }
            }
            after = step.next;
            if after.is_none() || active >= ACTIVE_MAX as u64 {
                break;
            }
        }
        let before = if before.from >= kept_from { Some(Alarms::of(parts, before)?) } else { None };
        Ok(Self { now: of_month, before, active, kept_from, range })
    }

    /// Whether anything is known of the month's alarms.
    pub(crate) fn is_known(&self) -> bool {
        self.range.to > self.kept_from || self.now.raised > 0
    }

    /// Whether all of them are.
    pub(crate) fn is_complete(&self) -> bool {
        self.range.from >= self.kept_from
    }

    /// From which day on they are known; empty when all are.
    pub(crate) fn since(&self, edition: &Edition<'_>) -> String {
        if self.is_complete() {
            return String::new();
        }
        edition.filled("monthly.known-from", &[("day", &Day::of(self.kept_from).to_string())])
    }
}

impl Alarms {
    fn of(parts: &MonthlyParts, range: TimeRange) -> Result<Self, StoreError> {
        let query = ViolationEventQuery {
            from: range.from,
            to: Timestamp::from_unix_millis(range.to.unix_millis() - 1),
            reporter: None,
            profile: None,
            criteria: None,
            include_suppressed: true,
            verification: None,
        };
        let (mut found, mut read, mut after) = (Self::default(), 0, None);
        loop {
            let step = parts.history.violation_events(&parts.scope, &query, &Page { after, limit: STEP })?;
            read += step.items.len();
            step.items.into_iter().for_each(|event| found.add(event));
            after = step.next;
            if after.is_none() {
                return Ok(found);
            }
            if read >= EVENTS_MAX {
                found.is_cut = true;
                return Ok(found);
            }
        }
    }

    fn add(&mut self, event: ViolationEvent) {
        match event.kind {
            ViolationEventType::InAlarm => {
                self.raised_ids.insert(event.violation.clone());
                self.add_raised(&event.reporter, &event.profile, event.verification);
                if is_threat(&event.behavior) {
                    self.threats.push(event);
                }
            }
            ViolationEventType::AlarmCleared => self.by_profile.entry(event.profile).or_default().cleared += 1,
            ViolationEventType::AlarmInvalidated => self.by_profile.entry(event.profile).or_default().invalidated += 1,
        }
    }

    fn add_raised(&mut self, reporter: &ReporterName, profile: &ProfileName, verification: VerificationState) {
        self.raised += 1;
        *self.devices.entry(reporter.clone()).or_default() += 1;
        let of_profile = self.by_profile.entry(profile.clone()).or_default();
        of_profile.raised += 1;
        *of_profile.verified.entry(place_of(verification)).or_default() += 1;
    }
}

fn place_of(state: VerificationState) -> u8 {
    match state {
        VerificationState::TruePositive => 0,
        VerificationState::BenignPositive => 1,
        VerificationState::FalsePositive => 2,
        VerificationState::Unknown => 3,
    }
}

/// Alarms by profile, and the devices with most of them.
pub(super) fn section(edition: &Edition<'_>) -> Markup {
    let fleet = &edition.fleet;
    let mut profiles: Vec<(&ProfileName, &OfProfile)> = fleet.now.by_profile.iter().collect();
    profiles.sort_by_key(|(name, of)| (std::cmp::Reverse(of.raised), *name));
    sheet::section(
        edition,
        sheet::Of::Fleet,
        edition.text("monthly.fleet"),
        html! {
            @if !fleet.is_known() { p.none { (edition.text("monthly.alarms-not-kept")) } }
            @else {
                @if !fleet.is_complete() { p.caution { (edition.text("monthly.kept-days")) " " (fleet.since(edition)) } }
                @if fleet.now.is_cut { p.caution { (edition.filled("monthly.alarms-cut", &[("count", &grouped(EVENTS_MAX as u64))])) } }
                @if profiles.is_empty() { p.none { (edition.text("monthly.no-alarms")) } }
                @else {
                    (by_profile(edition, &profiles))
                    (by_device(edition))
                }
            }
        },
    )
}

fn by_profile(edition: &Edition<'_>, profiles: &[(&ProfileName, &OfProfile)]) -> Markup {
    let word = |state: VerificationState| {
        let word = state.as_str();
        edition.asker.texts.word("verification", word).unwrap_or(word)
    };
    html! {
        div.keep {
            h3 { (edition.text("monthly.by-profile")) }
            table.counts.many {
                thead { tr {
                    th { (edition.text("alarms.profile")) }
                    th.number { (edition.text("monthly.raised")) }
                    th.number { (edition.text("monthly.cleared")) }
                    th.number { (edition.text("monthly.invalidated")) }
                    @for state in FOUND_OUT { th.number { (word(state)) } }
                } }
                tbody {
                    @for (name, of) in profiles.iter().take(ROWS_MAX) {
                        tr {
                            td.name { (brief(&named(name.as_str()))) }
                            td.number { strong { (grouped(of.raised)) } }
                            td.number { (grouped(of.cleared)) }
                            td.number { (grouped(of.invalidated)) }
                            @for state in FOUND_OUT {
                                td.number { (grouped(of.verified.get(&place_of(state)).copied().unwrap_or(0))) }
                            }
                        }
                    }
                }
            }
            (more(edition, profiles.len()))
            p.note { (edition.filled("monthly.active-now", &[("count", &grouped(edition.fleet.active))])) }
        }
    }
}

fn by_device(edition: &Edition<'_>) -> Markup {
    let mut devices: Vec<(&ReporterName, u64)> =
        edition.fleet.now.devices.iter().map(|(name, count)| (name, *count)).collect();
    devices.sort_by_key(|(name, count)| (std::cmp::Reverse(*count), *name));
    let most = devices.first().map_or(0, |(_, count)| *count);
    html! {
        div.keep {
            h3 { (edition.text("monthly.devices")) }
            @if devices.is_empty() { (nothing(edition)) }
            @else {
                table.counts {
                    tbody {
                        @for (name, count) in devices.iter().take(ROWS_MAX) {
                            tr {
                                td.name { bdi { (brief(&named(name.as_str()))) } }
                                td.bar-cell { (bar(*count, most)) }
                                td.number { (grouped(*count)) }
                            }
                        }
                    }
                }
                (more(edition, devices.len()))
            }
        }
    }
}
