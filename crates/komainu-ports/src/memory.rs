//! In-memory engines: the test doubles, held to the same conformance suites as the engines with a disk.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use komainu_model::{
    ActiveViolation, Arn, Behavior, Change, Contact, Datapoint, Delivery, DeliveryId, DeliveryState, Indicator,
    IndicatorChange, IndicatorId, IndicatorValue, Metric, MetricValue, Record, RecordKey, RefusedCandidate,
    ReporterName, Scope, Sighting, Timestamp, VerificationState, ViolationEvent, ViolationEventType, ViolationId,
};

use crate::indicators::{IndicatorKind, IndicatorStore, SightingQuery};
use crate::lake::LakeBatchName;
use crate::lake_feed::{FedBatch, LakeFeed, Reported};
use crate::memory_indicators::Shelf;
use crate::store::{
    ActiveViolationQuery, AlarmCounts, AlarmTotals, CriteriaKind, DatapointQuery, Page, PageToken, Paged, Pruned,
    Store, StoreError, ViolationEventQuery, ViolationLife,
};
use crate::vitals::StoreCounts;

/// A [`Store`] that forgets everything when it is dropped.
#[derive(Debug, Default)]
pub struct MemoryStore {
    state: Mutex<State>,
    broken: AtomicBool,
}

/// What a [`MemoryStore`] holds. The maps' orders are the orders the port promises.
#[derive(Debug, Default)]
struct State {
    records: BTreeMap<(Scope, RecordKey), Record>,
    events: BTreeMap<(Scope, EventKey), ViolationEvent>,
    /// By time, then by when it was appended.
    datapoints: BTreeMap<DatapointKey, (Scope, Datapoint)>,
    /// The second part of the next datapoint's key.
    next_datapoint: u64,
    deliveries: BTreeMap<DeliveryId, Delivery>,
    shelf: Shelf,
    /// What the lake has not taken yet.
    fed: Vec<FedBatch>,
    /// The number of the next batch for the lake.
    next_fed: u64,
    /// What the lake has to know of the batch that is being committed.
    reported: Vec<(Scope, Reported)>,
}

type EventKey = (Timestamp, ViolationId, ViolationEventType);
type DatapointKey = (Timestamp, u64);

impl MemoryStore {
    /// An empty store.
    pub fn new() -> Self {
        Self::default()
    }

    /// From now on every call fails as it would when the disk has failed, and changes nothing.
    pub fn break_medium(&self) {
        self.broken.store(true, Ordering::SeqCst);
    }

    /// Undoes [`Self::break_medium`].
    pub fn mend_medium(&self) {
        self.broken.store(false, Ordering::SeqCst);
    }

    fn state(&self, doing: &'static str) -> Result<MutexGuard<'_, State>, StoreError> {
        if self.broken.load(Ordering::SeqCst) {
            return Err(StoreError::Unavailable { doing, source: "the medium is broken".into() });
        }
        Ok(self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Store for MemoryStore {
    fn load(&self) -> Result<Vec<(Scope, Record)>, StoreError> {
        let state = self.state("loading records")?;
        Ok(state.records.iter().map(|((scope, _), record)| (scope.clone(), record.clone())).collect())
    }

    fn commit(&self, batch: &[Change]) -> Result<(), StoreError> {
        let mut state = self.state("committing")?;
        for change in batch {
            state.apply(change);
        }
        state.end_batch();
        Ok(())
    }

    fn active_violations(
        &self,
        scope: &Scope,
        query: &ActiveViolationQuery,
        page: &Page,
    ) -> Result<Paged<ActiveViolation>, StoreError> {
        let after = page.after.as_ref().map(parse_active_token).transpose()?;
        let state = self.state("listing active violations")?;
        let mut found: Vec<((Timestamp, &ViolationId), &ActiveViolation)> = state
            .active_violations(scope)
            .filter(|violation| wants_active(query, violation))
            .map(|violation| ((violation.started_at, &violation.id), violation))
            .filter(|(key, _)| after.as_ref().is_none_or(|(at, id)| *key < (*at, id)))
            .collect();
        found.sort_by(|(a, _), (b, _)| b.cmp(a));
        let rest = found.into_iter().map(|(key, violation)| (key, violation.clone()));
        Ok(paged(rest, page.limit, |(at, id)| format!("active/{}/{id}", at.unix_millis())))
    }

    fn violation_events(
        &self,
        scope: &Scope,
        query: &ViolationEventQuery,
        page: &Page,
    ) -> Result<Paged<ViolationEvent>, StoreError> {
        let after = page.after.as_ref().map(parse_event_token).transpose()?;
        let state = self.state("listing violation events")?;
        let rest = state
            .events
            .iter()
            .rev()
            .filter(|((of, key), event)| {
                of == scope && wants_event(query, event) && after.as_ref().is_none_or(|after| key < after)
            })
            .map(|((_, key), event)| (key, event.clone()));
        Ok(paged(rest, page.limit, |(at, violation, kind)| format!("event/{}/{violation}/{kind:?}", at.unix_millis())))
    }

    fn verify_violation(
        &self,
        scope: &Scope,
        violation: &ViolationId,
        state: VerificationState,
        description: Option<&str>,
    ) -> Result<bool, StoreError> {
        let mut stored = self.state("verifying a violation")?;
        let mut known = false;
        let active = (scope.clone(), RecordKey::ActiveViolation(violation.clone()));
        if let Some(Record::ActiveViolation(active)) = stored.records.get_mut(&active) {
            active.verification = state;
            active.verification_description = description.map(str::to_owned);
            known = true;
        }
        for ((of, _), event) in &mut stored.events {
            if of == scope && event.violation == *violation {
                event.verification = state;
                event.verification_description = description.map(str::to_owned);
                known = true;
            }
        }
        Ok(known)
    }

    fn violation(&self, scope: &Scope, violation: &ViolationId) -> Result<ViolationLife, StoreError> {
        let state = self.state("looking for a violation")?;
        let active = state.active_violations(scope).find(|active| active.id == *violation).cloned();
        let events = state.events.iter().filter(|((of, _), event)| of == scope && event.violation == *violation);
        Ok(ViolationLife { active, events: events.map(|(_, event)| event.clone()).collect() })
    }

    fn alarm_totals(&self, scope: &Scope, reporters_max: usize) -> Result<AlarmTotals, StoreError> {
        let state = self.state("counting active violations")?;
        let mut by_reporter: BTreeMap<&ReporterName, AlarmCounts> = BTreeMap::new();
        for violation in state.active_violations(scope) {
            let suppressed = violation.behavior.suppress_alerts;
            let unverified = violation.verification == VerificationState::Unknown && !suppressed;
            by_reporter.entry(&violation.reporter).or_default().add(&AlarmCounts {
                active: 1,
                unverified: u64::from(unverified),
                suppressed: u64::from(suppressed),
                latest_at: violation.started_at,
            });
        }
        let mut totals = AlarmTotals { reporters: by_reporter.len() as u64, ..AlarmTotals::default() };
        by_reporter.values().for_each(|counts| totals.all.add(counts));
        totals.of_reporters = by_reporter.into_iter().map(|(reporter, counts)| (reporter.clone(), counts)).collect();
        totals.of_reporters.sort_by_key(|(_, counts)| std::cmp::Reverse((counts.unverified, counts.latest_at)));
        totals.of_reporters.truncate(reporters_max);
        Ok(totals)
    }

    fn measured(
        &self,
        scope: &Scope,
        reporter: &ReporterName,
        limit: usize,
    ) -> Result<Vec<(Metric, Timestamp)>, StoreError> {
        let state = self.state("listing measured metrics")?;
        let mut latest: BTreeMap<&str, (&Metric, Timestamp)> = BTreeMap::new();
        // In the order of time, so that the latest stays.
        for (of, datapoint) in state.datapoints.values() {
            if of == scope && datapoint.reporter == *reporter {
                latest.insert(datapoint.metric.as_str(), (&datapoint.metric, datapoint.at));
            }
        }
        Ok(latest.into_values().take(limit).map(|(metric, at)| (metric.clone(), at)).collect())
    }

    fn datapoints(&self, scope: &Scope, query: &DatapointQuery, page: &Page) -> Result<Paged<Datapoint>, StoreError> {
        let after = page.after.as_ref().map(parse_datapoint_token).transpose()?;
        let state = self.state("listing values")?;
        let rest = state
            .datapoints
            .iter()
            .filter(|(key, (of, datapoint))| {
                of == scope
                    && datapoint.reporter == query.reporter
                    && datapoint.metric == query.metric
                    && (query.from..=query.to).contains(&datapoint.at)
                    && after.is_none_or(|after| **key > after)
            })
            .map(|(key, (_, datapoint))| (*key, datapoint.clone()));
        Ok(paged(rest, page.limit, |(at, number)| format!("value/{}/{number}", at.unix_millis())))
    }

    fn replay_datapoints(
        &self,
        since: Timestamp,
        visit: &mut dyn FnMut(Scope, Datapoint) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        // Cloned first, so that the visitor may call the store.
        let found: Vec<(Scope, Datapoint)> =
            self.state("replaying values")?.datapoints.range((since, 0)..).map(|(_, item)| item.clone()).collect();
        for (scope, datapoint) in found {
            if visit(scope, datapoint).is_break() {
                break;
            }
        }
        Ok(())
    }

    fn deliveries_due(&self, now: Timestamp, limit: usize) -> Result<Vec<Delivery>, StoreError> {
        let state = self.state("listing due deliveries")?;
        let mut due: Vec<(Timestamp, &Delivery)> = state
            .deliveries
            .values()
            .filter_map(|delivery| Some((due_at(delivery)?, delivery)))
            .filter(|(at, _)| *at <= now)
            .collect();
        due.sort_by_key(|(at, delivery)| (*at, delivery.created_at, delivery.id.clone()));
        Ok(due.into_iter().take(limit).map(|(_, delivery)| delivery.clone()).collect())
    }

    fn next_delivery_at(&self, now: Timestamp) -> Result<Option<Timestamp>, StoreError> {
        let state = self.state("asking for the next delivery")?;
        Ok(state.deliveries.values().filter_map(due_at).filter(|at| *at > now).min())
    }

    fn deliveries_of_topic(&self, topic: &Arn, page: &Page) -> Result<Paged<Delivery>, StoreError> {
        let after = page.after.as_ref().map(parse_delivery_token).transpose()?;
        let state = self.state("listing deliveries")?;
        let mut of_topic: Vec<((Timestamp, DeliveryId), &Delivery)> = state
            .deliveries
            .values()
            .filter(|delivery| delivery.notification.topic == *topic)
            .map(|delivery| ((delivery.created_at, delivery.id.clone()), delivery))
            .filter(|(key, _)| after.as_ref().is_none_or(|after| key < after))
            .collect();
        of_topic.sort_by(|(one, _), (other, _)| other.cmp(one));
        let rest = of_topic.into_iter().map(|(key, delivery)| (key, delivery.clone()));
        Ok(paged(rest, page.limit, |(at, id)| format!("delivery/{}/{id}", at.unix_millis())))
    }

    fn counts(&self) -> Result<StoreCounts, StoreError> {
        let state = self.state("counting")?;
        let violations = state.records.keys().filter(|(_, key)| matches!(key, RecordKey::ActiveViolation(_)));
        let waiting = state.deliveries.values().filter(|delivery| due_at(delivery).is_some());
        let deliveries_waiting = waiting.clone().count() as u64;
        Ok(StoreCounts {
            violations_active: violations.count() as u64,
            deliveries_waiting,
            deliveries_waiting_since: waiting.map(|delivery| delivery.created_at).min(),
            deliveries_dead: state.deliveries.len() as u64 - deliveries_waiting,
        })
    }

    fn prune(&self, before: Timestamp) -> Result<Pruned, StoreError> {
        let mut state = self.state("removing old history")?;
        let kept = |total: usize, left: usize| (total - left) as u64;
        let (events, datapoints, deliveries) = (state.events.len(), state.datapoints.len(), state.deliveries.len());
        state.events.retain(|(_, (at, ..)), _| *at >= before);
        state.datapoints.retain(|(at, _), _| *at >= before);
        state.deliveries.retain(|_, delivery| !matches!(delivery.state, DeliveryState::Dead(at) if at < before));
        let [contacts, sightings, refused] = state.shelf.prune(before);
        Ok(Pruned {
            violation_events: kept(events, state.events.len()),
            datapoints: kept(datapoints, state.datapoints.len()),
            deliveries: kept(deliveries, state.deliveries.len()),
            contacts,
            sightings,
            refused,
        })
    }
}

/// So many batches are shown to wait at the same time.
const SHOWN_MAX: usize = 256;

impl LakeFeed for MemoryStore {
    fn waiting(&self) -> Result<Vec<FedBatch>, StoreError> {
        Ok(self.state("feeding the lake")?.fed.iter().take(SHOWN_MAX).cloned().collect())
    }

    fn taken(&self, up_to: u64) -> Result<(), StoreError> {
        self.state("feeding the lake")?.fed.retain(|batch| batch.name.sequence > up_to);
        Ok(())
    }

    /// There is no bound, and no disk.
    fn lost(&self) -> Result<u64, StoreError> {
        Ok(0)
    }
}

impl IndicatorStore for MemoryStore {
    fn visit_active(&self, visit: &mut dyn FnMut(IndicatorId, IndicatorValue)) -> Result<(), StoreError> {
        // Copied first, so that the visitor may call the store.
        let active = self.state("loading indicators")?.shelf.visit_active();
        active.into_iter().for_each(|(id, value)| visit(id, value));
        Ok(())
    }

    fn indicator(&self, id: IndicatorId) -> Result<Option<Indicator>, StoreError> {
        Ok(self.state("looking for an indicator")?.shelf.indicator(id))
    }

    fn indicators(&self, kind: Option<IndicatorKind>, page: &Page) -> Result<Paged<Indicator>, StoreError> {
        self.state("listing indicators")?.shelf.indicators(kind, page)
    }

    fn indicators_over(&self, now: Timestamp, limit: usize) -> Result<Vec<Indicator>, StoreError> {
        Ok(self.state("listing old indicators")?.shelf.indicators_over(now, limit))
    }

    fn next_over(&self) -> Result<Option<Timestamp>, StoreError> {
        Ok(self.state("asking for the next old indicator")?.shelf.next_over())
    }

    fn indicators_to_look_back(&self, limit: usize) -> Result<Vec<Indicator>, StoreError> {
        Ok(self.state("listing new indicators")?.shelf.indicators_to_look_back(limit))
    }

    fn refused(&self, page: &Page) -> Result<Paged<RefusedCandidate>, StoreError> {
        self.state("listing refused candidates")?.shelf.refused(page)
    }

    fn refused_count(&self) -> Result<u64, StoreError> {
        Ok(self.state("counting refused candidates")?.shelf.refused_count())
    }

    fn sightings(&self, query: &SightingQuery, page: &Page) -> Result<Paged<(Scope, Sighting)>, StoreError> {
        self.state("listing sightings")?.shelf.sightings(query, page)
    }

    fn contacts(
        &self,
        value: &IndicatorValue,
        since: Timestamp,
        page: &Page,
    ) -> Result<Paged<(Scope, Contact)>, StoreError> {
        self.state("looking for contacts")?.shelf.contacts(value, since, page)
    }
}

impl State {
    fn apply(&mut self, change: &Change) {
        match change {
            Change::Put(scope, record) => {
                self.records.insert((scope.clone(), record.key()), record.clone());
            }
            Change::Delete(scope, key) => {
                self.records.remove(&(scope.clone(), key.clone()));
            }
            Change::AppendViolationEvent(scope, event) => {
                let key = (event.at, event.violation.clone(), event.kind);
                self.events.entry((scope.clone(), key)).or_insert_with(|| event.clone());
            }
            Change::AppendDatapoint(scope, datapoint) => self.append_datapoint(scope, datapoint),
            Change::PutDelivery(delivery) => {
                self.deliveries.insert(delivery.id.clone(), delivery.clone());
            }
            Change::DeleteDelivery(id) => {
                self.deliveries.remove(id);
            }
            Change::Indicators(change) => {
                if let IndicatorChange::AddContact(scope, contact) = change {
                    self.reported.push((scope.clone(), Reported::Contact(contact.clone())));
                }
                self.shelf.apply(change);
            }
        }
    }

    fn end_batch(&mut self) {
        if self.reported.is_empty() {
            return;
        }
        let name = LakeBatchName { stream: "fleet/memory".to_owned(), sequence: self.next_fed };
        self.fed.push(FedBatch { name, reported: std::mem::take(&mut self.reported) });
        self.next_fed += 1;
    }

    fn append_datapoint(&mut self, scope: &Scope, datapoint: &Datapoint) {
        let known = self.datapoints.range((datapoint.at, 0)..=(datapoint.at, u64::MAX)).any(|(_, (of, other))| {
            of == scope
                && other.reporter == datapoint.reporter
                && other.metric == datapoint.metric
                && is_same_value(&other.value, &datapoint.value)
        });
        if !known {
            self.datapoints.insert((datapoint.at, self.next_datapoint), (scope.clone(), datapoint.clone()));
            self.next_datapoint += 1;
            self.reported.push((scope.clone(), Reported::Value(datapoint.clone())));
        }
    }

    fn active_violations<'a>(&'a self, scope: &'a Scope) -> impl Iterator<Item = &'a ActiveViolation> {
        self.records.iter().filter_map(move |((of, _), record)| match record {
            Record::ActiveViolation(violation) if of == scope => Some(violation),
            _ => None,
        })
    }
}

fn wants_active(query: &ActiveViolationQuery, violation: &ActiveViolation) -> bool {
    query.reporter.as_ref().is_none_or(|reporter| *reporter == violation.reporter)
        && query.profile.as_ref().is_none_or(|profile| *profile == violation.profile)
        && wants_behavior(query.criteria, query.include_suppressed, &violation.behavior)
        && query.verification.is_none_or(|verification| verification == violation.verification)
}

fn wants_event(query: &ViolationEventQuery, event: &ViolationEvent) -> bool {
    (query.from..=query.to).contains(&event.at)
        && query.reporter.as_ref().is_none_or(|reporter| *reporter == event.reporter)
        && query.profile.as_ref().is_none_or(|profile| *profile == event.profile)
        && wants_behavior(query.criteria, query.include_suppressed, &event.behavior)
        && query.verification.is_none_or(|verification| verification == event.verification)
}

fn wants_behavior(criteria: Option<CriteriaKind>, include_suppressed: bool, behavior: &Behavior) -> bool {
    (include_suppressed || !behavior.suppress_alerts)
        && criteria.is_none_or(|kind| CriteriaKind::of(behavior) == Some(kind))
}

fn due_at(delivery: &Delivery) -> Option<Timestamp> {
    match delivery.state {
        DeliveryState::Due(at) => Some(at),
        DeliveryState::Dead(_) => None,
    }
}

/// Whether two values are the same, not-a-number included: a value that is appended twice is one.
fn is_same_value(a: &MetricValue, b: &MetricValue) -> bool {
    match (a, b) {
        (MetricValue::Number(a), MetricValue::Number(b)) => a.to_bits() == b.to_bits(),
        (MetricValue::Numbers(a), MetricValue::Numbers(b)) => {
            a.iter().map(|number| number.to_bits()).eq(b.iter().map(|number| number.to_bits()))
        }
        _ => a == b,
    }
}

/// The first `limit` items and, when there are more, where they ended.
pub(crate) fn paged<K, T>(rest: impl Iterator<Item = (K, T)>, limit: usize, token: impl Fn(&K) -> String) -> Paged<T> {
    let mut rest = rest.peekable();
    let (keys, items): (Vec<K>, Vec<T>) = rest.by_ref().take(limit.max(1)).unzip();
    let next = keys.last().filter(|_| rest.peek().is_some()).map(|last| PageToken(token(last)));
    Paged { items, next }
}

fn parse_active_token(token: &PageToken) -> Result<(Timestamp, ViolationId), StoreError> {
    let mut parts = parts_of(token, "active")?;
    Ok((parse_time(parts.next())?, parse_violation(parts.next())?))
}

fn parse_event_token(token: &PageToken) -> Result<EventKey, StoreError> {
    let mut parts = parts_of(token, "event")?;
    let (at, violation) = (parse_time(parts.next())?, parse_violation(parts.next())?);
    let kind = match parts.next() {
        Some("InAlarm") => ViolationEventType::InAlarm,
        Some("AlarmCleared") => ViolationEventType::AlarmCleared,
        Some("AlarmInvalidated") => ViolationEventType::AlarmInvalidated,
        _ => return Err(StoreError::BadPageToken),
    };
    Ok((at, violation, kind))
}

fn parse_datapoint_token(token: &PageToken) -> Result<DatapointKey, StoreError> {
    let mut parts = parts_of(token, "value")?;
    let at = parse_time(parts.next())?;
    let number = parts.next().and_then(|text| text.parse().ok()).ok_or(StoreError::BadPageToken)?;
    Ok((at, number))
}

fn parse_delivery_token(token: &PageToken) -> Result<(Timestamp, DeliveryId), StoreError> {
    let mut parts = parts_of(token, "delivery")?;
    let at = parse_time(parts.next())?;
    let id = parts.next().and_then(|text| DeliveryId::parse(text).ok()).ok_or(StoreError::BadPageToken)?;
    Ok((at, id))
}

fn parts_of<'a>(token: &'a PageToken, list: &str) -> Result<std::str::Split<'a, char>, StoreError> {
    let mut parts = token.0.split('/');
    if parts.next() == Some(list) { Ok(parts) } else { Err(StoreError::BadPageToken) }
}

fn parse_time(text: Option<&str>) -> Result<Timestamp, StoreError> {
    let millis = text.and_then(|text| text.parse().ok()).ok_or(StoreError::BadPageToken)?;
    Ok(Timestamp::from_unix_millis(millis))
}

fn parse_violation(text: Option<&str>) -> Result<ViolationId, StoreError> {
    text.and_then(|text| ViolationId::parse(text).ok()).ok_or(StoreError::BadPageToken)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_a_store() {
        crate::conformance::check_store(&|| Box::new(MemoryStore::new()));
    }

    #[test]
    fn keeps_indicators() {
        crate::conformance_indicators::check_indicator_store(&MemoryStore::new);
    }

    #[test]
    fn feeds_the_lake() {
        crate::conformance_lake_feed::check_lake_feed(&MemoryStore::new);
    }

    #[test]
    fn breaks_and_mends() {
        let store = MemoryStore::new();
        store.break_medium();
        assert!(matches!(store.commit(&[]), Err(StoreError::Unavailable { .. })));
        assert!(matches!(store.load(), Err(StoreError::Unavailable { .. })));
        store.mend_medium();
        assert_eq!(store.load().unwrap(), []);
    }
}
