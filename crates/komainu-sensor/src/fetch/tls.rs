//! TLS to servers whose certificates prove nothing: what they are is recorded, and the connection goes on.

use std::sync::{Arc, LazyLock};

use parking_lot::Mutex;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};
use serde::Serialize;

use crate::artifact::Sha256Digest;

/// The system's root certificates, read once: they are a hundred files.
static ROOTS: LazyLock<Arc<RootCertStore>> = LazyLock::new(|| {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    Arc::new(roots)
});

/// A server's certificate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Shown {
    /// The digest of its DER form.
    pub(crate) sha256: Sha256Digest,
    /// Why nobody else would accept it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) error: Option<&'static str>,
    /// The certificate, DER.
    #[serde(skip)]
    pub(crate) der: Vec<u8>,
}

/// Takes every certificate, and remembers the one that was shown.
#[derive(Debug)]
pub(crate) struct AnyCertificate {
    shown: Mutex<Option<Shown>>,
    /// Says what others would say; none on a machine without root certificates.
    judge: Option<Arc<WebPkiServerVerifier>>,
    provider: Arc<CryptoProvider>,
}

/// A configuration for one connection, and what remembers its certificate.
pub(crate) fn accepting_any_certificate() -> (Arc<ClientConfig>, Arc<AnyCertificate>) {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let judge = WebPkiServerVerifier::builder_with_provider(ROOTS.clone(), provider.clone()).build().ok();
    let any = Arc::new(AnyCertificate { shown: Mutex::new(None), judge, provider: provider.clone() });
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("the provider has suites for both versions")
        .dangerous()
        .with_custom_certificate_verifier(any.clone())
        .with_no_client_auth();
    (Arc::new(config), any)
}

impl AnyCertificate {
    /// What the server showed.
    pub(crate) fn shown(&self) -> Option<Shown> {
        self.shown.lock().clone()
    }
}

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let error = match &self.judge {
            Some(judge) => {
                judge.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now).err().map(name)
            }
            None => Some("no_roots"),
        };
        let der = end_entity.to_vec();
        *self.shown.lock() = Some(Shown { sha256: Sha256Digest::of(&der), error, der });
        Ok(ServerCertVerified::assertion())
    }

    // A signature by a key that nobody vouches for proves nothing, and certificates of devices are too old for the checks.
    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

fn name(error: Error) -> &'static str {
    match error {
        Error::InvalidCertificate(error) => match error {
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => "expired",
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => "not_valid_yet",
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => "other_name",
            CertificateError::UnknownIssuer => "unknown_issuer",
            CertificateError::Revoked => "revoked",
            CertificateError::BadEncoding => "bad_encoding",
            _ => "not_valid",
        },
        _ => "not_valid",
    }
}
