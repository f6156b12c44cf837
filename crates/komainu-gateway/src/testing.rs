//! What tests of this crate share: a fleet that is made up.

use std::collections::BTreeMap;
use std::sync::Arc;

use komainu_model::{
    AccountId, Certificate, CertificateMode, CertificateStatus, Region, Scope, Thing, ThingName, ThingPrincipalType,
    Timestamp,
};
use komainu_ports::{AttachedThing, Principal};

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
