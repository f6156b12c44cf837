//! What the gateway and the pipeline ask about the fleet.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use komainu_model::{CertificateId, GroupName, ReporterName, Scope, SecurityProfile, ThingName};
use komainu_ports::{AttachedThing, DeviceProfiles, Directory, Principal};
use parking_lot::RwLock;

use super::ControlPlane;
use super::state::State;

/// Principals as they were put together at one generation.
#[derive(Default)]
pub(super) struct PrincipalCache(RwLock<CachedPrincipals>);

#[derive(Default)]
struct CachedPrincipals {
    generation: u64,
    principals: HashMap<CertificateId, Arc<Principal>>,
}

impl PrincipalCache {
    fn find(&self, generation: u64, certificate: &CertificateId) -> Option<Arc<Principal>> {
        let cached = self.0.read();
        (cached.generation == generation).then(|| cached.principals.get(certificate).cloned())?
    }

    fn keep(&self, generation: u64, principal: &Arc<Principal>) {
        let mut cached = self.0.write();
        if cached.generation < generation {
            cached.principals.clear();
            cached.generation = generation;
        }
        // What was put together from an older state is of no use to anybody who comes later.
        if cached.generation == generation {
            cached.principals.insert(principal.certificate.id, principal.clone());
        }
    }
}

impl Directory for ControlPlane {
    fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    fn principal(&self, certificate: &CertificateId) -> Option<Arc<Principal>> {
        // The generation is looked at before the state: a principal may be newer than its generation says, and is then
        // put together once more, but it is never older.
        let generation = self.generation();
        if let Some(principal) = self.principals.find(generation, certificate) {
            return Some(principal);
        }
        let principal = Arc::new(principal(&self.state.read(), certificate)?);
        self.principals.keep(generation, &principal);
        Some(principal)
    }

    fn device(&self, scope: &Scope, reporter: &ReporterName) -> DeviceProfiles {
        let state = self.state.read();
        let Some(state) = state.scope(scope) else { return DeviceProfiles::default() };
        let thing = ThingName::parse(reporter.as_str()).ok().filter(|name| state.registry.thing(name).is_ok());
        let groups: Vec<GroupName> =
            thing.iter().flat_map(|thing| state.registry.groups_over_thing(thing)).cloned().collect();
        let registered = thing.is_some();
        let profiles = state.profiles.of_device(registered, &groups);
        DeviceProfiles { registered, groups, profiles }
    }

    fn profiles(&self) -> Vec<(Scope, Arc<SecurityProfile>)> {
        let state = self.state.read();
        let of_scope = |(scope, state): (&Scope, &super::state::ScopeState)| {
            state.profiles.iter().map(|profile| (scope.clone(), profile.clone())).collect::<Vec<_>>()
        };
        state.scopes().flat_map(of_scope).collect()
    }
}

/// Puts together who stands behind a certificate.
fn principal(state: &State, certificate: &CertificateId) -> Option<Principal> {
    let (scope, state) = state.certificate_scope(certificate)?;
    let registry = &state.registry;
    let things = registry.things_of_principal(certificate);
    let policies = registry.policies_over_principal(certificate);
    Some(Principal {
        scope: scope.clone(),
        certificate: registry.certificate(certificate).ok()?.clone(),
        things: things.map(|(thing, kind)| AttachedThing { thing: thing.clone(), kind }).collect(),
        policies: policies.into_iter().filter_map(|name| registry.default_document(name)).cloned().collect(),
    })
}
