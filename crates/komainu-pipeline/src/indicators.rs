//! The owner of the indicators: takes what is taught, lets go what is old, and hands detection what it judges by.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use komainu_detect::{INDICATORS_MAX, IndicatorSet};
use komainu_intel::{IndicatorPolicy, Lesson, expired, indicator_id, learn, revoked};
use komainu_model::{
    Change, Indicator, IndicatorCandidate, IndicatorChange, IndicatorId, IndicatorRefusal, IndicatorState,
    RefusedCandidate, Taught, Timestamp,
};
use komainu_ports::{Clock, IndicatorSink, IndicatorStore, OwnAddresses, Store, StoreError};
use parking_lot::{Mutex, RwLock};
use tokio::sync::Notify;

/// So many refused candidates are kept; of further ones it is only said how many they were. They go after 14 days.
const REFUSED_MAX: u64 = 100_000;
/// So many indicators whose time is over are let go in one step.
const OVER_MAX: usize = 1_000;
/// No indicator's time will be over.
const NEVER: i64 = i64::MAX;

/// The owner of the indicators.
pub struct Indicators {
    policy: IndicatorPolicy,
    store: Arc<dyn Store>,
    shelf: Arc<dyn IndicatorStore>,
    own: Arc<OwnAddresses>,
    clock: Arc<dyn Clock>,
    /// Held from a decision until detection judges by it. How many refused candidates are kept.
    turn: Mutex<u64>,
    /// What detection judges by. Replaced as a whole, so that whoever judges is never in the middle of a change.
    set: RwLock<Arc<IndicatorSet>>,
    /// When the time of an indicator is over next, in milliseconds since 1970.
    next_over_ms: AtomicI64,
    to_look_back: Notify,
}

impl Indicators {
    /// The indicators that are stored. Blocks.
    pub fn open(
        policy: IndicatorPolicy,
        store: Arc<dyn Store>,
        shelf: Arc<dyn IndicatorStore>,
        own: Arc<OwnAddresses>,
        clock: Arc<dyn Clock>,
    ) -> Result<Arc<Self>, StoreError> {
        let mut set = IndicatorSet::default();
        shelf.visit_active(&mut |id, value| {
            set.insert(&value, id);
        })?;
        let refused = shelf.refused_count()?;
        let indicators = Self {
            policy,
            store,
            shelf,
            own,
            clock,
            turn: Mutex::new(refused),
            set: RwLock::new(Arc::new(set)),
            next_over_ms: AtomicI64::new(NEVER),
            to_look_back: Notify::new(),
        };
        indicators.note_next_over()?;
        let active = indicators.set().len();
        tracing::info!(event = "pipeline.indicators_loaded", active, refused, "indicators loaded");
        if indicators.policy.documentation_allowed {
            let event = "pipeline.documentation_addresses_allowed";
            tracing::warn!(event, "addresses that only stand in documents may be indicators: for demonstrations");
        }
        // What was taught while no server ran waits for it.
        indicators.to_look_back.notify_one();
        Ok(Arc::new(indicators))
    }

    /// What devices are judged by at this moment.
    pub fn set(&self) -> Arc<IndicatorSet> {
        self.set.read().clone()
    }

    /// Where they are written down.
    pub fn store(&self) -> &dyn IndicatorStore {
        &*self.shelf
    }

    /// Has what devices reported before looked through once more; `None` when there is no such active indicator. Blocks.
    pub fn look_back_again(&self, id: IndicatorId) -> Result<Option<Indicator>, StoreError> {
        let _turn = self.turn.lock();
        let known = self.shelf.indicator(id)?.filter(|indicator| indicator.state == IndicatorState::Active);
        let Some(indicator) = known else { return Ok(None) };
        self.store.commit(&[Change::Indicators(IndicatorChange::PutToLookBack(indicator.clone()))])?;
        self.to_look_back.notify_one();
        Ok(Some(indicator))
    }

    /// Resolves when there may be something to look back for.
    pub(crate) async fn to_look_back(&self) {
        self.to_look_back.notified().await;
    }

    /// There is more to look back for.
    pub(crate) fn look_back_soon(&self) {
        self.to_look_back.notify_one();
    }

    /// Lets go of indicators whose time is over. Blocks; costs nothing while there is none.
    pub(crate) fn let_go_of_old(&self, now: Timestamp) -> Result<(), StoreError> {
        if now.unix_millis() < self.next_over_ms.load(Ordering::Acquire) {
            return Ok(());
        }
        let _turn = self.turn.lock();
        loop {
            let over: Vec<Indicator> = self.shelf.indicators_over(now, OVER_MAX)?;
            let over: Vec<Indicator> = over.iter().filter_map(|indicator| expired(indicator, now)).collect();
            if over.is_empty() {
                return self.note_next_over();
            }
            let changes = over.iter().map(|indicator| Change::Indicators(IndicatorChange::Put(indicator.clone())));
            self.store.commit(&changes.collect::<Vec<_>>())?;
            self.change_set(|set| over.iter().for_each(|indicator| set.remove(&indicator.value, indicator.id)));
            tracing::info!(event = "pipeline.indicators_expired", count = over.len(), "indicators have grown too old");
        }
    }

    /// A device of the fleet was seen to come from there. What is an indicator stays one.
    pub(crate) fn note_own(&self, set: &IndicatorSet, address: IpAddr) {
        let mut is_indicator = false;
        set.find_address(address, None, |_| is_indicator = true);
        if !is_indicator {
            self.own.note(address);
        }
    }

    /// Whether it is worth remembering that a device was in contact with somebody: whether that may become an indicator.
    pub(crate) fn is_worth_remembering(&self, address: IpAddr) -> bool {
        self.policy.is_of_a_stranger(address) && !self.own.contains(address)
    }

    fn change_set(&self, change: impl FnOnce(&mut IndicatorSet)) {
        // Copying a million takes tens of milliseconds, in which nobody waits: readers keep the one that they have.
        let mut next = IndicatorSet::clone(&self.set.read());
        change(&mut next);
        *self.set.write() = Arc::new(next);
    }

    fn note_next_over(&self) -> Result<(), StoreError> {
        let next_ms = self.shelf.next_over()?.map_or(NEVER, Timestamp::unix_millis);
        self.next_over_ms.store(next_ms, Ordering::Release);
        Ok(())
    }
}

impl IndicatorSink for Indicators {
    fn teach(&self, candidates: &[IndicatorCandidate]) -> Result<Vec<Taught>, StoreError> {
        let mut refused_kept = self.turn.lock();
        let now = self.clock.now();
        let mut lessons = Lessons { room: INDICATORS_MAX.saturating_sub(self.set().len()), ..Lessons::default() };
        let is_own = |address| self.own.contains(address);
        let mut taught = Vec::with_capacity(candidates.len());
        for candidate in candidates {
            let id = indicator_id(&candidate.value);
            let stored;
            let known = match lessons.drafts.get(&id) {
                Some(draft) => Some(&draft.indicator),
                None => {
                    stored = self.shelf.indicator(id)?;
                    stored.as_ref()
                }
            };
            let lesson = learn(&self.policy, &is_own, known, candidate, now);
            taught.push(lessons.take(id, candidate, lesson, now));
        }
        let Lessons { drafts, refused, .. } = lessons;
        let refused_count = refused.len();
        let room = usize::try_from(REFUSED_MAX.saturating_sub(*refused_kept)).unwrap_or(usize::MAX);
        let refused_dropped = refused_count.saturating_sub(room);
        let mut changes: Vec<Change> = drafts.values().map(Draft::change).collect();
        changes.extend(refused.into_values().take(room).map(IndicatorChange::PutRefused).map(Change::Indicators));
        self.store.commit(&changes)?;
        *refused_kept += (refused_count - refused_dropped) as u64;
        let new: Vec<&Indicator> = drafts.values().filter(|draft| draft.is_new).map(|draft| &draft.indicator).collect();
        if !new.is_empty() {
            self.change_set(|set| {
                for indicator in &new {
                    set.insert(&indicator.value, indicator.id);
                }
            });
            self.to_look_back.notify_one();
        }
        self.note_next_over()?;
        let (new, known) = (new.len(), drafts.len() - new.len());
        let event = "pipeline.indicators_taught";
        tracing::info!(event, new, known, refused = refused_count, refused_dropped, "indicators taught");
        Ok(taught)
    }

    fn revoke(&self, id: IndicatorId, reason: Option<&str>) -> Result<Option<Indicator>, StoreError> {
        let _turn = self.turn.lock();
        let Some(known) = self.shelf.indicator(id)? else { return Ok(None) };
        let indicator = revoked(&known, reason, self.clock.now());
        self.store.commit(&[Change::Indicators(IndicatorChange::Put(indicator.clone()))])?;
        self.change_set(|set| set.remove(&indicator.value, id));
        self.note_next_over()?;
        tracing::info!(event = "pipeline.indicator_revoked", indicator = %id, value = %indicator.value, "indicator revoked");
        Ok(Some(indicator))
    }
}

/// What candidates lead to, before it is written down.
#[derive(Default)]
struct Lessons {
    drafts: std::collections::BTreeMap<IndicatorId, Draft>,
    refused: std::collections::BTreeMap<IndicatorId, RefusedCandidate>,
    /// So many may become new.
    room: usize,
}

/// An indicator as it will be.
struct Draft {
    indicator: Indicator,
    is_new: bool,
}

impl Draft {
    fn change(&self) -> Change {
        let indicator = self.indicator.clone();
        Change::Indicators(if self.is_new {
            IndicatorChange::PutToLookBack(indicator)
        } else {
            IndicatorChange::Put(indicator)
        })
    }
}

impl Lessons {
    fn take(
        &mut self,
        id: IndicatorId,
        candidate: &IndicatorCandidate,
        lesson: Result<Lesson, IndicatorRefusal>,
        now: Timestamp,
    ) -> Taught {
        let reason = match lesson {
            Ok(Lesson::Known(indicator)) => {
                let is_new = self.drafts.get(&id).is_some_and(|draft| draft.is_new);
                self.drafts.insert(id, Draft { indicator, is_new });
                return Taught::Known(id);
            }
            Ok(Lesson::New(indicator)) if self.room > 0 => {
                self.room -= 1;
                self.drafts.insert(id, Draft { indicator, is_new: true });
                return Taught::New(id);
            }
            Ok(Lesson::New(_)) => IndicatorRefusal::TooMany(INDICATORS_MAX),
            Err(reason) => reason,
        };
        let IndicatorCandidate { value, source, provenance, .. } = candidate.clone();
        self.refused.insert(id, RefusedCandidate { id, value, source, provenance, reason: reason.clone(), at: now });
        Taught::Refused { reason }
    }
}
