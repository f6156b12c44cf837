//! TLS: which of our faces a client sees, and who it proves to be.
//!
//! The ClientHello decides (AWS IoT developer guide, "Device communication protocols"): `x-amzn-mqtt-ca` and `mqtt` are
//! MQTT with a client certificate, `x-amzn-http-ca`, `http/1.1` and everything else are HTTP. Nobody is refused for an
//! application protocol that we do not have: OpenSSL-like servers ignore what they do not know, and clients rely on it.
//!
//! A client certificate is not traced to an authority: it is known, byte for byte, or it is not. So what is checked is
//! that it is registered, that the client holds its key, and then that it opens the gate, in this order: only who holds
//! the key learns, or causes, more than that the certificate is known.
//!
//! Sessions are not resumed, neither by tickets nor by ids. A resumed session skips the certificate, so it would
//! outlive a revocation; and a handshake with P-256 costs a quarter of a millisecond.

use std::cell::Cell;
use std::fmt;
use std::io;
use std::sync::Arc;

use komainu_model::CertificateId;
use komainu_ports::{Clock, Directory};
use parking_lot::RwLock;
use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{Acceptor, ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{
    CertificateError, CipherSuite, DigitallySignedStruct, DistinguishedName, OtherError, ServerConfig, SignatureScheme,
};
use tokio::net::TcpStream;
use tokio_rustls::LazyConfigAcceptor;
use tokio_rustls::server::TlsStream;

use crate::identity::{CertificateProblem, certificate_id, check_certificate};

/// The application protocols that mean MQTT, in the order we prefer them.
const ALPN_MQTT: [&[u8]; 2] = [b"x-amzn-mqtt-ca", b"mqtt"];

/// The application protocols that mean HTTP, in the order we prefer them.
const ALPN_HTTP: [&[u8]; 2] = [b"x-amzn-http-ca", b"http/1.1"];

/// The signatures that prove the possession of a certificate's key: RSA from 2,048 bits on, P-256 and P-384. The bound
/// on RSA keys is in the algorithms themselves.
const SIGNATURE_SCHEMES: [SignatureScheme; 8] = [
    SignatureScheme::ECDSA_NISTP256_SHA256,
    SignatureScheme::ECDSA_NISTP384_SHA384,
    SignatureScheme::RSA_PSS_SHA256,
    SignatureScheme::RSA_PSS_SHA384,
    SignatureScheme::RSA_PSS_SHA512,
    SignatureScheme::RSA_PKCS1_SHA256,
    SignatureScheme::RSA_PKCS1_SHA384,
    SignatureScheme::RSA_PKCS1_SHA512,
];

/// A server certificate with its chain and its private key.
#[derive(Clone)]
pub struct ServerCertificate {
    /// The certificate and what leads to its root, PEM.
    pub chain_pem: String,
    /// The private key, PEM: PKCS#8, PKCS#1 or SEC1.
    pub key_pem: String,
}

impl fmt::Debug for ServerCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ServerCertificate(…)")
    }
}

/// Why a server certificate cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum BadServerCertificate {
    /// The chain has no certificate, or is not PEM.
    #[error("server certificate chain is not PEM with at least one certificate")]
    Chain,
    /// The key is not one, or not PEM.
    #[error("server private key is not PEM in the form PKCS#8, PKCS#1 or SEC1")]
    Key,
    /// The key is of a kind that is not supported, or is not the certificate's.
    #[error("server private key does not fit the server certificate")]
    Mismatch(#[source] rustls::Error),
}

/// Which listener a client came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Door {
    /// Port 8883: MQTT, whatever the client offers.
    Mqtts,
    /// Port 443: what the client offers.
    Tls,
}

/// What the client speaks over TLS, as far as the handshake says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Spoken {
    /// MQTT.
    Mqtt,
    /// HTTP.
    Http,
    /// The first byte will tell; HTTP unless it is a CONNECT's.
    Undeclared,
}

/// A finished handshake.
pub(crate) struct Accepted {
    pub(crate) stream: TlsStream<TcpStream>,
    pub(crate) spoken: Spoken,
    pub(crate) server_name: Option<Arc<str>>,
    /// The certificate that the client proved to hold.
    pub(crate) certificate: Option<CertificateId>,
}

/// A failed handshake.
#[derive(Debug)]
pub(crate) struct TlsFailure {
    pub(crate) reason: TlsFailureReason,
    /// What the TLS library or the network says; none when the reason says it all.
    pub(crate) error: Option<io::Error>,
    pub(crate) server_name: Option<Arc<str>>,
    /// The certificate that the client showed, proven or not.
    pub(crate) certificate: Option<CertificateId>,
    /// The connection, so that the alert can reach the client before it is closed.
    pub(crate) tcp: Option<TcpStream>,
}

/// Why a handshake failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TlsFailureReason {
    /// The certificate is not registered: the client gets `unknown_ca`.
    NotRegistered,
    /// The client holds the certificate, and it does not open the gate.
    Certificate(CertificateProblem),
    /// The client showed no certificate where one is needed.
    NoCertificate,
    /// The client did not prove that it holds the certificate's key, or the key is too weak.
    NotProven,
    /// The client refused our certificate, or gave up, with an alert.
    AlertReceived,
    /// The client left.
    PeerLeft,
    /// It is not TLS, or not a TLS that we speak.
    Protocol,
}

impl TlsFailureReason {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::NotRegistered => CertificateProblem::NotRegistered.as_str(),
            Self::Certificate(problem) => problem.as_str(),
            Self::NoCertificate => "client certificate is missing",
            Self::NotProven => "client did not prove that it holds its certificate's key",
            Self::AlertReceived => "client gave up",
            Self::PeerLeft => "client left during the handshake",
            Self::Protocol => "client does not speak our TLS",
        }
    }
}

/// Our side of TLS.
pub(crate) struct Tls {
    server_certificate: Arc<ReloadableCertificate>,
    /// For clients that leave the cipher suite to us.
    ours: Faces,
    /// For clients that would rather have ChaCha20, which is to say that they have no hardware for AES.
    theirs: Faces,
}

/// What clients see of us.
struct Faces {
    mqtt: Arc<ServerConfig>,
    mqtt_undeclared: Arc<ServerConfig>,
    http: Arc<ServerConfig>,
    http_undeclared: Arc<ServerConfig>,
}

impl Tls {
    pub(crate) fn new(
        certificate: &ServerCertificate,
        directory: Arc<dyn Directory>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, BadServerCertificate> {
        let provider = Arc::new(provider());
        let server_certificate = Arc::new(ReloadableCertificate(RwLock::new(certified_key(certificate, &provider)?)));
        let config = |is_certificate_mandatory, alpn: &[&[u8]], is_order_ours| {
            let verifier = DeviceVerifier {
                directory: directory.clone(),
                clock: clock.clone(),
                provider: provider.clone(),
                is_certificate_mandatory,
            };
            let mut config = ServerConfig::builder_with_provider(provider.clone())
                .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
                .expect("the provider has cipher suites for both versions")
                .with_client_cert_verifier(Arc::new(verifier))
                .with_cert_resolver(server_certificate.clone());
            config.alpn_protocols = alpn.iter().map(|protocol| protocol.to_vec()).collect();
            config.session_storage = Arc::new(rustls::server::NoServerSessionStorage {});
            config.send_tls13_tickets = 0;
            config.ignore_client_order = is_order_ours;
            Arc::new(config)
        };
        let faces = |is_order_ours| Faces {
            mqtt: config(true, &ALPN_MQTT, is_order_ours),
            mqtt_undeclared: config(true, &[], is_order_ours),
            http: config(false, &ALPN_HTTP, is_order_ours),
            http_undeclared: config(false, &[], is_order_ours),
        };
        let (ours, theirs) = (faces(true), faces(false));
        Ok(Self { server_certificate, ours, theirs })
    }

    /// Shows `certificate` to the clients that come from now on.
    pub(crate) fn replace_certificate(&self, certificate: &ServerCertificate) -> Result<(), BadServerCertificate> {
        let key = certified_key(certificate, &provider())?;
        *self.server_certificate.0.write() = key;
        Ok(())
    }

    /// Does the handshake. It has no deadline of its own. Calls `has_spoken` once, when the ClientHello is complete,
    /// before anything expensive is done.
    pub(crate) async fn accept(
        &self,
        tcp: TcpStream,
        door: Door,
        has_spoken: impl FnOnce(),
    ) -> Result<Accepted, Box<TlsFailure>> {
        NOTES.scope(Notes::default(), self.accept_noted(tcp, door, has_spoken)).await
    }

    async fn accept_noted(
        &self,
        tcp: TcpStream,
        door: Door,
        has_spoken: impl FnOnce(),
    ) -> Result<Accepted, Box<TlsFailure>> {
        let mut acceptor = LazyConfigAcceptor::new(Acceptor::default(), tcp);
        let start = match (&mut acceptor).await {
            Ok(start) => start,
            Err(error) => return Err(TlsFailure::new(error, None, acceptor.take_io())),
        };
        has_spoken();
        let hello = start.client_hello();
        let server_name: Option<Arc<str>> = hello.server_name().map(Arc::from);
        let (config, spoken) = self.face(door, &hello);
        match start.into_stream(config.clone()).into_fallible().await {
            Ok(stream) => {
                let (_, connection) = stream.get_ref();
                let leaf = connection.peer_certificates().and_then(|chain| chain.first());
                let certificate = leaf.map(|leaf| certificate_id(leaf));
                Ok(Accepted { stream, spoken, server_name, certificate })
            }
            Err((error, tcp)) => Err(TlsFailure::new(error, server_name, Some(tcp))),
        }
    }

    fn face(&self, door: Door, hello: &ClientHello<'_>) -> (&Arc<ServerConfig>, Spoken) {
        let offers = |protocols: &[&[u8]]| {
            hello.alpn().is_some_and(|mut offered| offered.any(|protocol| protocols.contains(&protocol)))
        };
        let faces = if hello.cipher_suites().first().is_some_and(is_chacha20) { &self.theirs } else { &self.ours };
        match door {
            _ if offers(&ALPN_MQTT) => (&faces.mqtt, Spoken::Mqtt),
            Door::Mqtts => (&faces.mqtt_undeclared, Spoken::Mqtt),
            Door::Tls if offers(&ALPN_HTTP) => (&faces.http, Spoken::Http),
            Door::Tls => (&faces.http_undeclared, Spoken::Undeclared),
        }
    }
}

impl TlsFailure {
    /// Works out what happened. Called within the handshake's scope of [`NOTES`].
    fn new(error: io::Error, server_name: Option<Arc<str>>, tcp: Option<TcpStream>) -> Box<Self> {
        let (certificate, problem) = NOTES.with(|notes| (notes.certificate.get(), notes.problem.get()));
        let tls_error = error.get_ref().and_then(|source| source.downcast_ref::<rustls::Error>());
        let reason = match (problem, tls_error) {
            (Some(CertificateProblem::NotRegistered), _) => TlsFailureReason::NotRegistered,
            (Some(problem), _) => TlsFailureReason::Certificate(problem),
            (None, Some(rustls::Error::NoCertificatesPresented)) => TlsFailureReason::NoCertificate,
            (None, Some(rustls::Error::InvalidCertificate(_))) => TlsFailureReason::NotProven,
            (None, Some(rustls::Error::AlertReceived(_))) => TlsFailureReason::AlertReceived,
            (None, Some(_)) => TlsFailureReason::Protocol,
            (None, None) => TlsFailureReason::PeerLeft,
        };
        let error = match reason {
            TlsFailureReason::NotRegistered | TlsFailureReason::Certificate(_) | TlsFailureReason::NoCertificate => {
                None
            }
            TlsFailureReason::NotProven
            | TlsFailureReason::AlertReceived
            | TlsFailureReason::PeerLeft
            | TlsFailureReason::Protocol => Some(error),
        };
        Box::new(Self { reason, error, server_name, certificate, tcp })
    }
}

/// Cryptography, with the cipher suites in the order we like them: AES-128 with SHA-256 first.
///
/// Most clients ask for AES-256 with SHA-384, out of habit. SHA-384 has no instructions of its own on most processors,
/// and TLS 1.3 hashes so much that it was a tenth of a handshake; small devices gain as much.
fn provider() -> CryptoProvider {
    let mut provider = aws_lc_rs::default_provider();
    // Stable: within each half, and among suites of one version, the order stays.
    provider.cipher_suites.sort_by_key(|suite| !is_aes128(suite.suite()));
    provider
}

fn is_aes128(suite: CipherSuite) -> bool {
    matches!(
        suite,
        CipherSuite::TLS13_AES_128_GCM_SHA256
            | CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256
            | CipherSuite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256
    )
}

fn is_chacha20(suite: &CipherSuite) -> bool {
    matches!(
        suite,
        CipherSuite::TLS13_CHACHA20_POLY1305_SHA256
            | CipherSuite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256
            | CipherSuite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256
    )
}

/// The server certificate of new connections.
struct ReloadableCertificate(RwLock<Arc<CertifiedKey>>);

impl fmt::Debug for ReloadableCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ReloadableCertificate(…)")
    }
}

impl ResolvesServerCert for ReloadableCertificate {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.read().clone())
    }
}

fn certified_key(
    certificate: &ServerCertificate,
    provider: &CryptoProvider,
) -> Result<Arc<CertifiedKey>, BadServerCertificate> {
    let chain: Vec<_> = CertificateDer::pem_slice_iter(certificate.chain_pem.as_bytes())
        .collect::<Result<_, _>>()
        .map_err(|_| BadServerCertificate::Chain)?;
    if chain.is_empty() {
        return Err(BadServerCertificate::Chain);
    }
    let key = PrivateKeyDer::from_pem_slice(certificate.key_pem.as_bytes()).map_err(|_| BadServerCertificate::Key)?;
    CertifiedKey::from_der(chain, key, provider).map(Arc::new).map_err(BadServerCertificate::Mismatch)
}

tokio::task_local! {
    /// What the verifier found out in the handshake that runs now. The verifier is shared by all connections and can
    /// tell its caller only the alert; this is how the log learns of the certificate and the cause.
    static NOTES: Notes;
}

#[derive(Debug, Default)]
struct Notes {
    certificate: Cell<Option<CertificateId>>,
    problem: Cell<Option<CertificateProblem>>,
}

/// Checks client certificates against the directory.
struct DeviceVerifier {
    directory: Arc<dyn Directory>,
    clock: Arc<dyn Clock>,
    provider: Arc<CryptoProvider>,
    is_certificate_mandatory: bool,
}

impl DeviceVerifier {
    /// What is checked once the client has proven to hold the key.
    fn check_standing(&self, certificate: &CertificateDer<'_>) -> Result<(), rustls::Error> {
        let id = certificate_id(certificate);
        let Some(principal) = self.directory.principal(&id) else {
            return Err(refusal(CertificateProblem::NotRegistered));
        };
        check_certificate(&principal.certificate, self.clock.now()).map_err(refusal)
    }
}

/// Notes the problem and says it in TLS's terms.
fn refusal(problem: CertificateProblem) -> rustls::Error {
    let _ = NOTES.try_with(|notes| notes.problem.set(Some(problem)));
    rustls::Error::InvalidCertificate(match problem {
        // Alert unknown_ca.
        CertificateProblem::NotRegistered => CertificateError::UnknownIssuer,
        // Alert certificate_revoked.
        CertificateProblem::Revoked => CertificateError::Revoked,
        // Alert certificate_unknown.
        CertificateProblem::Inactive | CertificateProblem::PendingActivation => {
            CertificateError::Other(OtherError(Arc::new(NotActive)))
        }
        // Alert bad_certificate: rustls would say certificate_expired, which sends people the wrong way.
        CertificateProblem::NotYetValid => CertificateError::BadEncoding,
        // Alert certificate_expired.
        CertificateProblem::Expired => CertificateError::Expired,
    })
}

/// The certificate is registered and not active.
#[derive(Debug, thiserror::Error)]
#[error("certificate is not active")]
struct NotActive;

impl fmt::Debug for DeviceVerifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DeviceVerifier").field("is_certificate_mandatory", &self.is_certificate_mandatory).finish()
    }
}

impl ClientCertVerifier for DeviceVerifier {
    fn client_auth_mandatory(&self) -> bool {
        self.is_certificate_mandatory
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        // Certificates of any issuer can be registered, so the client should send the one it has.
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        let id = certificate_id(end_entity);
        let _ = NOTES.try_with(|notes| notes.certificate.set(Some(id)));
        match self.directory.principal(&id) {
            Some(_) => Ok(ClientCertVerified::assertion()),
            None => Err(refusal(CertificateProblem::NotRegistered)),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        check_scheme(signature)?;
        let algorithms = &self.provider.signature_verification_algorithms;
        let proven = rustls::crypto::verify_tls12_signature(message, certificate, signature, algorithms)?;
        self.check_standing(certificate)?;
        Ok(proven)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        check_scheme(signature)?;
        let algorithms = &self.provider.signature_verification_algorithms;
        let proven = rustls::crypto::verify_tls13_signature(message, certificate, signature, algorithms)?;
        self.check_standing(certificate)?;
        Ok(proven)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        SIGNATURE_SCHEMES.to_vec()
    }
}

/// rustls leaves it to the verifier that a client signs with nothing else than what was offered.
fn check_scheme(signature: &DigitallySignedStruct) -> Result<(), rustls::Error> {
    if SIGNATURE_SCHEMES.contains(&signature.scheme) {
        Ok(())
    } else {
        Err(rustls::PeerMisbehaved::SignedHandshakeWithUnadvertisedSigScheme.into())
    }
}
