//! By what the two sides of a tunnel know each other: a key and a certificate that each made for itself, and the SHA-256 of
//! the other's. No authority, no name and no date counts.

use std::io;
use std::path::Path;
use std::sync::Arc;

use quinn::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use rcgen::{CertificateParams, KeyPair, PKCS_ECDSA_P256_SHA256};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::version::TLS13;
use rustls::{CertificateError, DigitallySignedStruct, DistinguishedName, Error, PeerMisbehaved, SignatureScheme};

use super::{PROTOCOL, outpost_transport, sensor_transport};
use crate::artifact::Sha256Digest;
use crate::host_keys::{HostKeyError, HostKeys};

/// The key's file is `tunnel.tls.key` in its folder.
const OWNER: &str = "tunnel";
const PURPOSE: &str = "tls";

/// Tunnels that are being opened and wait for their turn. More are refused: outposts are few.
const INCOMING_MAX: usize = 64;

/// Bytes of each of them that may wait: a handshake has less than 8 KiB.
const INCOMING_BYTES_MAX: u64 = 16 * 1024;

/// The key and the certificate of one side of a tunnel.
#[derive(Debug)]
pub struct TunnelKey {
    certificate: CertificateDer<'static>,
    key: PrivateKeyDer<'static>,
}

/// Why there is no key for a tunnel.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct TunnelKeyError(#[from] HostKeyError);

impl TunnelKey {
    /// The key in a folder; makes one, for its owner only, when there is none.
    pub fn read_or_make(folder: &Path) -> Result<Self, TunnelKeyError> {
        Self::of_folder(folder, pem)
    }

    /// The key in a folder.
    pub fn read(folder: &Path) -> Result<Self, TunnelKeyError> {
        Self::of_folder(folder, || Err(io::ErrorKind::NotFound.into()))
    }

    fn of_folder(folder: &Path, make: impl FnOnce() -> io::Result<Vec<u8>>) -> Result<Self, TunnelKeyError> {
        let keys = HostKeys::new(Some(folder.to_owned()));
        let pem = keys.read_or_make(OWNER, PURPOSE, make)?;
        let parsed = PrivateKeyDer::from_pem_slice(&pem)
            .and_then(|key| Ok(Self { certificate: CertificateDer::from_pem_slice(&pem)?, key }));
        Ok(parsed.map_err(|why| keys.damaged(OWNER, PURPOSE, why))?)
    }

    /// By what the other side knows it: the SHA-256 of its certificate.
    pub fn fingerprint(&self) -> Sha256Digest {
        Sha256Digest::of(&self.certificate)
    }
}

/// A new key, and a certificate signed with it, both as PEM.
fn pem() -> io::Result<Vec<u8>> {
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(io::Error::other)?;
    let params = CertificateParams::new(vec![OWNER.to_owned()]).map_err(io::Error::other)?;
    let certificate = params.self_signed(&key).map_err(io::Error::other)?;
    Ok((key.serialize_pem() + &certificate.pem()).into_bytes())
}

/// How a sensor answers outposts: those with these certificates, and nobody else.
pub(crate) fn sensor_side(key: &TunnelKey, known: Vec<Sha256Digest>) -> io::Result<quinn::ServerConfig> {
    let provider = provider();
    let verifier = Arc::new(Known { fingerprints: known, algorithms: provider.signature_verification_algorithms });
    let mut tls = rustls::ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&TLS13])
        .map_err(io::Error::other)?
        .with_client_cert_verifier(verifier)
        .with_single_cert(vec![key.certificate.clone()], key.key.clone_key())
        .map_err(io::Error::other)?;
    tls.alpn_protocols = vec![PROTOCOL.to_vec()];
    // Whoever comes again shows its certificate again.
    tls.send_tls13_tickets = 0;
    let tls = QuicServerConfig::try_from(tls).map_err(io::Error::other)?;
    let mut config = quinn::ServerConfig::with_crypto(Arc::new(tls));
    config.transport_config(Arc::new(sensor_transport()));
    config.max_incoming(INCOMING_MAX);
    config.incoming_buffer_size(INCOMING_BYTES_MAX);
    config.incoming_buffer_size_total(INCOMING_BYTES_MAX * INCOMING_MAX as u64);
    Ok(config)
}

/// How an outpost calls its sensor, which has this certificate.
pub(crate) fn outpost_side(key: &TunnelKey, sensor: Sha256Digest) -> io::Result<quinn::ClientConfig> {
    let provider = provider();
    let algorithms = provider.signature_verification_algorithms;
    let verifier = Arc::new(Known { fingerprints: vec![sensor], algorithms });
    let mut tls = rustls::ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&TLS13])
        .map_err(io::Error::other)?
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_client_auth_cert(vec![key.certificate.clone()], key.key.clone_key())
        .map_err(io::Error::other)?;
    tls.alpn_protocols = vec![PROTOCOL.to_vec()];
    tls.resumption = rustls::client::Resumption::disabled();
    let tls = QuicClientConfig::try_from(tls).map_err(io::Error::other)?;
    let mut config = quinn::ClientConfig::new(Arc::new(tls));
    config.transport_config(Arc::new(outpost_transport()));
    Ok(config)
}

/// The certificate that the other side of a tunnel has shown.
pub(crate) fn fingerprint_of(connection: &quinn::Connection) -> Option<Sha256Digest> {
    let shown = connection.peer_identity()?.downcast::<Vec<CertificateDer<'static>>>().ok()?;
    Some(Sha256Digest::of(shown.first()?))
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}

/// Accepts certificates by what they are, and whoever has their keys.
#[derive(Debug)]
struct Known {
    fingerprints: Vec<Sha256Digest>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl Known {
    fn check(&self, certificate: &CertificateDer<'_>) -> Result<(), Error> {
        if self.fingerprints.contains(&Sha256Digest::of(certificate)) {
            Ok(())
        } else {
            Err(CertificateError::ApplicationVerificationFailure.into())
        }
    }

    /// QUIC has no older version of TLS (RFC 9001, 4.2).
    fn refuse_tls12() -> Result<HandshakeSignatureValid, Error> {
        Err(PeerMisbehaved::SelectedUnofferedCipherSuite.into())
    }
}

impl ServerCertVerifier for Known {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        self.check(certificate).map(|()| ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Self::refuse_tls12()
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signature, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

impl ClientCertVerifier for Known {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        certificate: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        self.check(certificate).map(|()| ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Self::refuse_tls12()
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signature, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_key_is_made_once_and_for_its_owner_only() {
        let folder = tempfile::tempdir().unwrap();
        assert!(TunnelKey::read(folder.path()).is_err());
        let made = TunnelKey::read_or_make(folder.path()).unwrap().fingerprint();
        assert_eq!(TunnelKey::read_or_make(folder.path()).unwrap().fingerprint(), made);
        assert_eq!(TunnelKey::read(folder.path()).unwrap().fingerprint(), made);
        let file = folder.path().join("tunnel.tls.key");
        assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        std::fs::write(&file, "no key").unwrap();
        assert!(TunnelKey::read(folder.path()).unwrap_err().to_string().ends_with("tunnel.tls.key"));
    }
}
