//! Who makes certificates.

use std::sync::Arc;

use komainu_model::{NotificationSignature, Timestamp};

/// The certificate authority of the installation.
pub trait Authority: Send + Sync {
    /// Makes a key pair (RSA, 2,048 bits, as CreateKeysAndCertificate does) and a certificate for it.
    fn issue_with_new_key(
        &self,
        subject: &CertificateSubject,
        now: Timestamp,
    ) -> Result<(IssuedCertificate, IssuedKeyPair), AuthorityError>;

    /// Makes a certificate for a PEM certificate signing request (RSA of 2,048 bits or more, or P-256 / P-384).
    fn issue_for_request(&self, request_pem: &str, now: Timestamp) -> Result<IssuedCertificate, AuthorityError>;

    /// The root certificate that devices should trust, PEM.
    fn root_pem(&self) -> Arc<str>;

    /// Signs `message` with the notification key (RSA PKCS#1 v1.5): SHA-1 for signature version 1, SHA-256 for 2.
    fn sign_notification(&self, version: NotificationSignature, message: &[u8]) -> Result<Vec<u8>, AuthorityError>;

    /// The certificate that belongs to the notification key, PEM.
    fn notification_certificate_pem(&self) -> Arc<str>;
}

/// A key pair that was made for a device. The private half is not kept.
#[derive(Clone)]
pub struct IssuedKeyPair {
    /// PEM.
    pub public_key_pem: Arc<str>,
    /// PEM, PKCS#8 or PKCS#1.
    pub private_key_pem: Arc<str>,
}

impl std::fmt::Debug for IssuedKeyPair {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("IssuedKeyPair(…)")
    }
}

/// Whom a certificate is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateSubject {
    /// The common name.
    pub common_name: String,
}

/// A certificate that was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IssuedCertificate {
    /// DER.
    pub der: Vec<u8>,
    /// PEM.
    pub pem: Arc<str>,
    /// Not valid before.
    pub not_before: Timestamp,
    /// Not valid after.
    pub not_after: Timestamp,
}

/// Why a certificate was not made.
#[derive(Debug, thiserror::Error)]
pub enum AuthorityError {
    /// The request cannot be read, or its signature or key is not acceptable.
    #[error("certificate signing request is not acceptable: {reason}")]
    BadRequest {
        /// What is wrong with it.
        reason: String,
    },
    /// The authority itself failed.
    #[error("certificate authority failed while {doing}: {reason}")]
    Failed {
        /// What was tried.
        doing: &'static str,
        /// Why it failed.
        reason: String,
    },
}
