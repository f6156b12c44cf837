//! The control plane's state, and the one way in which it changes.
//!
//! A change is *decided* by a core on the state as it is, made durable by the store, and only then carried into memory.
//! Deciders take turns; readers never wait for the disk, for the state is locked against them only while a durable
//! change is carried over.

mod access_keys;
mod alerts;
mod announce;
mod directory;
mod fleet;
mod profile_desk;
mod state;
mod topic_desk;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use komainu_detect::ValidationRules;
use komainu_model::{AccessKeyId, AccountId, Change, Record, RecordKey, Scope, Timestamp};
use komainu_ports::{ChangeObserver, Clock, IdSource, Store, StoreError};
use komainu_respond::RespondRules;
use parking_lot::{Mutex, RwLock};
use tokio::sync::Notify;

use announce::Announcer;
use directory::PrincipalCache;
use state::State;
pub(crate) use state::View;

/// What holds for the whole installation.
#[derive(Debug, Clone)]
pub struct ControlRules {
    /// The account that everything belongs to.
    pub account: AccountId,
    /// Which behaviors are acceptable.
    pub behaviors: ValidationRules,
    /// Where notifications may go, and how many.
    pub notifications: RespondRules,
}

/// The state of all scopes.
pub struct ControlPlane {
    rules: ControlRules,
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    ids: Arc<dyn IdSource>,
    /// Held from the decision until its changes are in memory. Guards no data: the state has its own lock, so that
    /// readers need not wait for the store.
    turn: Mutex<()>,
    state: RwLock<State>,
    generation: AtomicU64,
    principals: PrincipalCache,
    /// When keys opened something last, since the start.
    access_keys_used: Mutex<BTreeMap<AccessKeyId, Timestamp>>,
    announcer: Announcer,
    outbox: Arc<Notify>,
}

impl ControlPlane {
    /// The control plane of what the store holds.
    pub fn open(
        rules: ControlRules,
        store: Arc<dyn Store>,
        clock: Arc<dyn Clock>,
        ids: Arc<dyn IdSource>,
    ) -> Result<Arc<Self>, StoreError> {
        let mut state = State::new(rules.clone());
        for (scope, record) in store.load()? {
            state.apply(&Change::Put(scope, record));
        }
        Ok(Arc::new(Self {
            rules,
            store,
            clock,
            ids,
            turn: Mutex::new(()),
            state: RwLock::new(state),
            generation: AtomicU64::new(1),
            principals: PrincipalCache::default(),
            access_keys_used: Mutex::default(),
            announcer: Announcer::default(),
            outbox: Arc::new(Notify::new()),
        }))
    }

    /// Lets `observer` hear of every batch from now on.
    pub fn observe(&self, observer: Arc<dyn ChangeObserver>) {
        self.announcer.add(observer);
    }

    /// Notified when a batch had messages for the outbox.
    pub fn outbox(&self) -> Arc<Notify> {
        self.outbox.clone()
    }

    /// The account that everything belongs to.
    pub fn account(&self) -> &AccountId {
        &self.rules.account
    }

    /// Which behaviors are acceptable.
    pub(crate) fn behavior_rules(&self) -> ValidationRules {
        self.rules.behaviors
    }

    /// Shows the state of a scope as it is now.
    pub(crate) fn read<R>(&self, scope: &Scope, read: impl FnOnce(&View<'_>) -> R) -> R {
        let now = self.clock.now();
        self.state.read().view(scope, now, read)
    }

    /// Lets `decide` decide on the state of a scope, makes the changes durable, carries them into memory, and tells
    /// everybody who needs to know. When the store cannot keep the changes, nothing has changed. Blocks.
    pub(crate) fn decide<R, E: From<StoreError>>(
        &self,
        scope: &Scope,
        decide: impl FnOnce(&View<'_>) -> Result<(R, Vec<Change>), E>,
    ) -> Result<R, E> {
        self.change(|state, now| state.view(scope, now, decide))
    }

    fn change<R, E: From<StoreError>>(
        &self,
        decide: impl FnOnce(&State, Timestamp) -> Result<(R, Vec<Change>), E>,
    ) -> Result<R, E> {
        let turn = self.turn.lock();
        let now = self.clock.now();
        // Nobody else changes the state during this turn: what is decided here still holds when it is carried out.
        let (value, changes) = decide(&self.state.read(), now)?;
        if changes.is_empty() {
            return Ok(value);
        }
        self.store.commit(&changes)?;
        let mut state = self.state.write();
        changes.iter().for_each(|change| state.apply(change));
        drop(state);
        if changes.iter().any(alters_directory) {
            self.generation.fetch_add(1, Ordering::Release);
        }
        let has_deliveries = changes.iter().any(|change| matches!(change, Change::PutDelivery(_)));
        self.announcer.queue(changes);
        drop(turn);
        if has_deliveries {
            self.outbox.notify_one();
        }
        self.announcer.announce();
        Ok(value)
    }
}

/// Whether a change could alter an answer of the directory.
fn alters_directory(change: &Change) -> bool {
    match change {
        Change::Put(_, record) => match record {
            Record::Thing(_)
            | Record::ThingGroup(_)
            | Record::GroupMembership(_)
            | Record::Certificate(_)
            | Record::ThingPrincipal(_)
            | Record::Policy(_)
            | Record::PolicyAttachment(_)
            | Record::SecurityProfile(_) => true,
            Record::ThingType(_)
            | Record::ResourceTags(_)
            | Record::Topic(_)
            | Record::Subscription(_)
            | Record::AccessKey(_)
            | Record::ActiveViolation(_) => false,
        },
        Change::Delete(_, key) => match key {
            RecordKey::Thing(_)
            | RecordKey::ThingGroup(_)
            | RecordKey::GroupMembership(_)
            | RecordKey::Certificate(_)
            | RecordKey::ThingPrincipal(..)
            | RecordKey::Policy(_)
            | RecordKey::PolicyAttachment(_)
            | RecordKey::SecurityProfile(_) => true,
            RecordKey::ThingType(_)
            | RecordKey::ResourceTags(_)
            | RecordKey::Topic(_)
            | RecordKey::Subscription(_)
            | RecordKey::AccessKey(_)
            | RecordKey::ActiveViolation(_) => false,
        },
        Change::AppendViolationEvent(..)
        | Change::AppendDatapoint(..)
        | Change::PutDelivery(_)
        | Change::DeleteDelivery(_)
        | Change::Indicators(_) => false,
    }
}

#[cfg(test)]
mod desk_tests;
#[cfg(test)]
mod tests;
