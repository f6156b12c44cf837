//! What the gateway and the pipeline ask the control plane about the fleet.

use std::sync::Arc;

use komainu_model::{
    Certificate, CertificateId, Change, GroupName, ReporterName, Scope, SecurityProfile, Thing, ThingPrincipalType,
};

/// The fleet as the control plane knows it now. Answers come from memory and do not block.
pub trait Directory: Send + Sync {
    /// Grows with every change that could alter an answer below: what was asked at one generation may be kept until
    /// the next.
    fn generation(&self) -> u64;

    /// Who stands behind a certificate, whatever its status; `None` when it is not registered.
    fn principal(&self, certificate: &CertificateId) -> Option<Arc<Principal>>;

    /// How a device is judged.
    fn device(&self, scope: &Scope, reporter: &ReporterName) -> DeviceProfiles;

    /// Every profile of every scope.
    fn profiles(&self) -> Vec<(Scope, Arc<SecurityProfile>)>;
}

/// Who stands behind a certificate.
#[derive(Debug, Clone)]
pub struct Principal {
    /// Where the certificate is registered.
    pub scope: Scope,
    /// The certificate.
    pub certificate: Certificate,
    /// The things it speaks for, in the order of their names.
    pub things: Vec<AttachedThing>,
    /// The default versions' documents of every policy that counts for it: its own, and those of the groups of its
    /// things and of the groups above them. Each policy once.
    pub policies: Vec<Arc<str>>,
}

/// A thing that a certificate speaks for.
#[derive(Debug, Clone)]
pub struct AttachedThing {
    /// The thing.
    pub thing: Thing,
    /// Whether the certificate speaks for it only.
    pub kind: ThingPrincipalType,
}

/// How a device is judged.
#[derive(Debug, Clone, Default)]
pub struct DeviceProfiles {
    /// Whether its name is a registered thing's.
    pub registered: bool,
    /// Its groups and the groups above them, in the order of their names.
    pub groups: Vec<GroupName>,
    /// The profiles whose targets include it, in the order of their names, each once.
    pub profiles: Vec<Arc<SecurityProfile>>,
}

/// Hears of every committed batch, in order, after it is durable and visible in the [`Directory`].
pub trait ChangeObserver: Send + Sync {
    /// Called with no lock held; must not block.
    fn committed(&self, batch: &[Change]);
}
