//! What tests of this crate share: a fleet that is made up.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use komainu_model::{
    AccountId, Certificate, CertificateId, CertificateMode, CertificateStatus, Region, ReporterName, Scope,
    SecurityProfile, Thing, ThingName, ThingPrincipalType, Timestamp,
};
use komainu_ports::{AttachedThing, DeviceProfiles, Directory, Principal};
use parking_lot::Mutex;

use crate::identity::certificate_id;

pub(crate) fn scope() -> Scope {
    Scope { account: AccountId::parse("123456789012").unwrap(), region: Region::parse("eu-west-1").unwrap() }
}

/// An active certificate of these bytes, valid for ever.
pub(crate) fn certificate(der: &[u8]) -> Certificate {
    Certificate {
        id: certificate_id(der),
        pem: "".into(),
        status: CertificateStatus::Active,
        mode: CertificateMode::Default,
        not_before: Timestamp::from_unix_millis(i64::MIN),
        not_after: Timestamp::from_unix_millis(i64::MAX),
        created_at: Timestamp::default(),
        modified_at: Timestamp::default(),
        version: 1,
    }
}

pub(crate) fn thing(name: &str) -> Thing {
    Thing {
        name: ThingName::parse(name).unwrap(),
        id: name.into(),
        type_name: None,
        attributes: BTreeMap::new(),
        version: 1,
        created_at: Timestamp::default(),
    }
}

pub(crate) fn principal(certificate: Certificate, things: &[&str], policies: &[&str]) -> Principal {
    let attach = |name: &&str| AttachedThing { thing: thing(name), kind: ThingPrincipalType::NonExclusiveThing };
    Principal {
        scope: scope(),
        certificate,
        things: things.iter().map(attach).collect(),
        policies: policies.iter().map(|policy| Arc::from(*policy)).collect(),
    }
}

/// A directory that a test writes into.
#[derive(Debug, Default)]
pub(crate) struct TestDirectory {
    generation: AtomicU64,
    principals: Mutex<BTreeMap<CertificateId, Arc<Principal>>>,
}

impl TestDirectory {
    pub(crate) fn put(&self, principal: Principal) {
        self.principals.lock().insert(principal.certificate.id, Arc::new(principal));
        self.generation.fetch_add(1, Ordering::SeqCst);
    }

    pub(crate) fn remove(&self, certificate: &CertificateId) {
        self.principals.lock().remove(certificate);
        self.generation.fetch_add(1, Ordering::SeqCst);
    }

    /// Changes what is known of a certificate.
    pub(crate) fn change(&self, certificate: &CertificateId, change: impl FnOnce(&mut Principal)) {
        let mut principal = Principal::clone(&self.principal(certificate).expect("registered"));
        change(&mut principal);
        self.put(principal);
    }
}

impl Directory for TestDirectory {
    fn generation(&self) -> u64 {
        self.generation.load(Ordering::SeqCst)
    }

    fn principal(&self, certificate: &CertificateId) -> Option<Arc<Principal>> {
        self.principals.lock().get(certificate).cloned()
    }

    fn device(&self, _: &Scope, _: &ReporterName) -> DeviceProfiles {
        DeviceProfiles::default()
    }

    fn profiles(&self) -> Vec<(Scope, Arc<SecurityProfile>)> {
        Vec::new()
    }
}
