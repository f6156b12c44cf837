//! What the control plane holds in memory.

use std::collections::{BTreeMap, HashMap};

use komainu_detect::Profiles;
use komainu_model::{AccessKey, AccessKeyId, CertificateId, Change, Record, RecordKey, Scope, Timestamp};
use komainu_registry::Registry;
use komainu_respond::Topics;

use super::ControlRules;

/// The state of all scopes.
pub(super) struct State {
    rules: ControlRules,
    scopes: BTreeMap<Scope, ScopeState>,
    /// Where each certificate is registered: a device is known by its certificate alone. Only looked up, never walked.
    certificate_scopes: HashMap<CertificateId, Scope>,
    pub(super) access_keys: BTreeMap<AccessKeyId, AccessKey>,
}

/// The state of one scope.
pub(super) struct ScopeState {
    pub(super) registry: Registry,
    pub(super) profiles: Profiles,
    pub(super) topics: Topics,
}

/// The state of one scope as a decider or a reader sees it.
pub(crate) struct View<'a> {
    /// Things, groups, certificates and policies.
    pub(crate) registry: &'a Registry,
    /// Security profiles.
    pub(crate) profiles: &'a Profiles,
    /// Topics and subscriptions.
    pub(crate) topics: &'a Topics,
    /// The time of this look.
    pub(crate) now: Timestamp,
    certificate_scopes: &'a HashMap<CertificateId, Scope>,
}

impl View<'_> {
    /// In which scope a certificate is registered.
    pub(crate) fn certificate_scope(&self, certificate: &CertificateId) -> Option<&Scope> {
        self.certificate_scopes.get(certificate)
    }
}

impl State {
    pub(super) fn new(rules: ControlRules) -> Self {
        Self { rules, scopes: BTreeMap::new(), certificate_scopes: HashMap::default(), access_keys: BTreeMap::new() }
    }

    /// Carries a change into memory.
    pub(super) fn apply(&mut self, change: &Change) {
        let scope = match change {
            Change::Put(scope, record) => {
                match record {
                    Record::Certificate(certificate) => {
                        self.certificate_scopes.insert(certificate.id, scope.clone());
                    }
                    Record::AccessKey(key) => {
                        self.access_keys.insert(key.id.clone(), key.clone());
                        return;
                    }
                    _ => {}
                }
                scope
            }
            Change::Delete(scope, key) => {
                match key {
                    RecordKey::Certificate(id) => {
                        self.certificate_scopes.remove(id);
                    }
                    RecordKey::AccessKey(id) => {
                        self.access_keys.remove(id);
                        return;
                    }
                    _ => {}
                }
                scope
            }
            Change::PutDelivery(delivery) => &delivery.scope,
            Change::AppendViolationEvent(..)
            | Change::AppendDatapoint(..)
            | Change::DeleteDelivery(_)
            | Change::Indicators(_) => return,
        };
        let rules = &self.rules;
        let state = self.scopes.entry(scope.clone()).or_insert_with(|| ScopeState::new(scope.clone(), rules));
        state.registry.apply(change);
        state.profiles.apply(change);
        state.topics.apply(change);
    }

    /// Shows a scope to `see`; one without state is empty.
    pub(super) fn view<R>(&self, scope: &Scope, now: Timestamp, see: impl FnOnce(&View<'_>) -> R) -> R {
        let empty;
        let state = match self.scopes.get(scope) {
            Some(state) => state,
            None => {
                empty = ScopeState::new(scope.clone(), &self.rules);
                &empty
            }
        };
        see(&View {
            registry: &state.registry,
            profiles: &state.profiles,
            topics: &state.topics,
            now,
            certificate_scopes: &self.certificate_scopes,
        })
    }

    /// The state of a scope that has any.
    pub(super) fn scope(&self, scope: &Scope) -> Option<&ScopeState> {
        self.scopes.get(scope)
    }

    /// The topics of a scope that has state, to count what goes out.
    pub(super) fn topics_mut(&mut self, scope: &Scope) -> Option<&mut Topics> {
        self.scopes.get_mut(scope).map(|state| &mut state.topics)
    }

    /// Every scope that has state, in their order.
    pub(super) fn scopes(&self) -> impl Iterator<Item = (&Scope, &ScopeState)> {
        self.scopes.iter()
    }

    /// In which scope a certificate is registered.
    pub(super) fn certificate_scope(&self, certificate: &CertificateId) -> Option<(&Scope, &ScopeState)> {
        self.scopes.get_key_value(self.certificate_scopes.get(certificate)?)
    }
}

impl ScopeState {
    fn new(scope: Scope, rules: &ControlRules) -> Self {
        Self {
            registry: Registry::new(scope.clone()),
            profiles: Profiles::new(scope.clone(), rules.behaviors),
            topics: Topics::new(scope, rules.notifications.clone()),
        }
    }
}
