//! Certificates.

use std::ops::Bound;
use std::sync::Arc;

use komainu_model::{
    Certificate, CertificateId, CertificateMode, CertificateStatus, Change, PolicyAttachment, PolicyTarget, Record,
    RecordKey, Timestamp,
};

use crate::listing::Listed;
use crate::{Decision, Registry, RegistryError, ResourceKind};

/// A certificate that should be registered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewCertificate {
    /// The SHA-256 of its DER form.
    pub id: CertificateId,
    /// Its PEM form.
    pub pem: Arc<str>,
    /// Its status from the beginning.
    pub status: CertificateStatus,
    /// How it comes here.
    pub mode: CertificateMode,
    /// Not valid before.
    pub not_before: Timestamp,
    /// Not valid after.
    pub not_after: Timestamp,
}

/// A place in the list of certificates, which is in the order of their age.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CertificateMarker {
    /// When the certificate was registered.
    pub created_at: Timestamp,
    /// The certificate.
    pub id: CertificateId,
}

impl Registry {
    /// Registers a certificate.
    pub fn register_certificate(&self, new: &NewCertificate, now: Timestamp) -> Decision<Certificate> {
        if self.certificates.contains_key(&new.id) {
            return Err(RegistryError::AlreadyExists {
                kind: ResourceKind::Certificate,
                name: new.id.to_string(),
                id: new.id.to_string(),
                arn: self.certificate_arn(&new.id),
                differs: false,
            });
        }
        let certificate = Certificate {
            id: new.id,
            pem: new.pem.clone(),
            status: new.status,
            mode: new.mode,
            not_before: new.not_before,
            not_after: new.not_after,
            created_at: now,
            modified_at: now,
            version: 1,
        };
        let changes = vec![self.put_change(Record::Certificate(certificate.clone()))];
        Ok((certificate, changes))
    }

    /// Sets the status of a certificate. The same status again changes nothing; a revoked certificate stays revoked.
    pub fn update_certificate(&self, id: &CertificateId, status: CertificateStatus, now: Timestamp) -> Decision<()> {
        let present = self.certificate(id)?;
        if present.status == status {
            return Ok(((), Vec::new()));
        }
        if present.status == CertificateStatus::Revoked {
            return Err(RegistryError::CertificateState {
                id: id.to_string(),
                status: present.status,
                reason: "a revoked certificate stays revoked",
            });
        }
        let mut certificate = present.clone();
        certificate.status = status;
        certificate.modified_at = now;
        certificate.version += 1;
        Ok(((), vec![self.put_change(Record::Certificate(certificate))]))
    }

    /// Deletes a certificate that is not active and that neither policies nor things are attached to.
    pub fn delete_certificate(&self, id: &CertificateId) -> Decision<()> {
        let target = PolicyTarget::Certificate(*id);
        self.check_certificate_is_out_of_use(id)?;
        if let Some(policies) = self.target_policies.get(&target) {
            let reason = format!("{} policies are attached to it; detach them first", policies.len());
            return Err(self.certificate_conflict(id, reason));
        }
        Ok(((), vec![self.delete_change(RecordKey::Certificate(*id))]))
    }

    /// Deletes a certificate that is not active and that no things are attached to, and detaches its policies
    /// (DeleteCertificate, `forceDelete`).
    pub fn delete_certificate_with_attachments(&self, id: &CertificateId) -> Decision<()> {
        let target = PolicyTarget::Certificate(*id);
        self.check_certificate_is_out_of_use(id)?;
        let attachments = self.target_policies.get(&target).into_iter().flatten().map(|policy| {
            RecordKey::PolicyAttachment(PolicyAttachment { policy: policy.clone(), target: target.clone() })
        });
        let keys = attachments.chain([RecordKey::Certificate(*id)]);
        Ok(((), keys.map(|key| self.delete_change(key)).collect::<Vec<Change>>()))
    }

    fn check_certificate_is_out_of_use(&self, id: &CertificateId) -> Result<(), RegistryError> {
        let status = self.certificate(id)?.status;
        match status {
            CertificateStatus::Active | CertificateStatus::PendingActivation => {
                return Err(RegistryError::CertificateState {
                    id: id.to_string(),
                    status,
                    reason: "only an inactive or revoked certificate can be deleted",
                });
            }
            CertificateStatus::Inactive | CertificateStatus::Revoked => {}
        }
        match self.principal_things.get(id) {
            Some(things) => {
                let reason = format!("{} things are attached to it; detach them first", things.len());
                Err(self.certificate_conflict(id, reason))
            }
            None => Ok(()),
        }
    }

    fn certificate_conflict(&self, id: &CertificateId, reason: String) -> RegistryError {
        RegistryError::DeleteConflict { kind: ResourceKind::Certificate, name: id.to_string(), reason }
    }

    /// Certificates, the latest first.
    pub fn list_certificates_latest_first(
        &self,
        after: Option<CertificateMarker>,
        limit: usize,
    ) -> Listed<&Certificate> {
        let end = after.map_or(Bound::Unbounded, |marker| Bound::Excluded((marker.created_at, marker.id)));
        let by_age = self.certificates_by_age.range((Bound::Unbounded, end)).rev();
        Listed::first(by_age.filter_map(|(_, id)| self.certificates.get(id)), limit)
    }

    /// Certificates, the oldest first.
    pub fn list_certificates_oldest_first(
        &self,
        after: Option<CertificateMarker>,
        limit: usize,
    ) -> Listed<&Certificate> {
        let start = after.map_or(Bound::Unbounded, |marker| Bound::Excluded((marker.created_at, marker.id)));
        let by_age = self.certificates_by_age.range((start, Bound::Unbounded));
        Listed::first(by_age.filter_map(|(_, id)| self.certificates.get(id)), limit)
    }
}
