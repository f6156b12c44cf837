//! A gateway with a fleet that a test writes down.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use komainu_gateway::{EdgeLimits, Gateway, GatewayConfig, GatewayPorts, Limits, ServerCertificate};
use komainu_model::{
    AccountId, Certificate, CertificateId, CertificateMode, CertificateStatus, Change, Record, RecordKey, Region,
    ReporterName, Scope, SecurityProfile, Thing, ThingName, ThingPrincipalType, ThingTypeName, Timestamp,
};
use komainu_ports::{
    AttachedThing, BoxFuture, Broker as _, ByteStream, ChangeObserver as _, DeviceProfiles, Directory, HttpHandoff,
    ManualClock, MemorySessionStore, MeterReading, PeerInfo, Principal, ReportMessage, ReportSink, ReportSinkError,
    SeededIds,
};
use rcgen::{CertificateParams, DnType, KeyPair, PKCS_ECDSA_P256_SHA256, SanType, SignatureAlgorithm};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{AlertDescription, CipherSuite, ClientConfig, RootCertStore, SupportedProtocolVersion};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::client::TlsStream;

use crate::mqtt::{Client, PATIENCE, Version};

/// When the tests happen.
pub(crate) const NOW_S: i64 = 1_800_000_000;

/// A policy that allows everything.
pub(crate) const ALL: &str =
    r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"iot:*","Resource":"*"}]}"#;

pub(crate) fn scope() -> Scope {
    Scope { account: AccountId::parse("123456789012").unwrap(), region: Region::parse("eu-west-1").unwrap() }
}

/// A certificate and its key, as a device has them.
pub(crate) struct Device {
    pub(crate) id: CertificateId,
    pub(crate) pem: String,
    der: CertificateDer<'static>,
    key: PrivateKeyDer<'static>,
}

impl Device {
    /// A device with a P-256 key.
    pub(crate) fn new(common_name: &str) -> Self {
        Self::with_key(common_name, &KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap())
    }

    pub(crate) fn with_algorithm(algorithm: &'static SignatureAlgorithm) -> Self {
        Self::with_key("device", &KeyPair::generate_for(algorithm).unwrap())
    }

    fn with_key(common_name: &str, key: &KeyPair) -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, common_name);
        params.distinguished_name.push(DnType::OrganizationName, "Pumps Ltd");
        let certificate = params.self_signed(key).unwrap();
        let der = certificate.der().clone();
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &der);
        let id = CertificateId::from_sha256(digest.as_ref().try_into().unwrap());
        Self { id, pem: certificate.pem(), der, key: PrivateKeyDer::try_from(key.serialize_der()).unwrap() }
    }

    /// Its certificate with somebody else's key.
    pub(crate) fn with_key_of(&self, other: &Self) -> Self {
        Self { id: self.id, pem: self.pem.clone(), der: self.der.clone(), key: other.key.clone_key() }
    }
}

/// How a client comes.
#[derive(Clone)]
pub(crate) struct Client443<'a> {
    pub(crate) device: Option<&'a Device>,
    pub(crate) alpn: &'a [&'a [u8]],
    pub(crate) versions: &'static [&'static SupportedProtocolVersion],
    pub(crate) server_name: &'static str,
    /// The cipher suite that it would rather have than others.
    pub(crate) first_suite: Option<CipherSuite>,
}

impl Default for Client443<'_> {
    fn default() -> Self {
        Self { device: None, alpn: &[], versions: rustls::ALL_VERSIONS, server_name: "localhost", first_suite: None }
    }
}

pub(crate) struct World {
    pub(crate) gateway: Arc<Gateway>,
    pub(crate) directory: Arc<TestDirectory>,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) http: Arc<HttpRecorder>,
    pub(crate) reports: Arc<ReportRecorder>,
    config: GatewayConfig,
    ports: GatewayPorts,
    roots: RootCertStore,
    log: Log,
}

impl World {
    pub(crate) async fn start() -> Self {
        Self::start_with(|_| {}).await
    }

    pub(crate) async fn start_with(adjust: impl FnOnce(&mut GatewayConfig)) -> Self {
        let log = Log::default();
        let (server_certificate, roots) = server_certificate();
        let directory = Arc::new(TestDirectory::default());
        let clock = Arc::new(ManualClock::new(Timestamp::from_unix_seconds(NOW_S)));
        let http = Arc::new(HttpRecorder::default());
        let reports = Arc::new(ReportRecorder::default());
        let anywhere: SocketAddr = "127.0.0.1:0".parse().unwrap();
        let mut config = GatewayConfig {
            scope: scope(),
            mqtts: Some(anywhere),
            tls: Some(anywhere),
            plain_test: None,
            server_certificate,
            edge: EdgeLimits::default(),
            broker: Limits::default(),
        };
        adjust(&mut config);
        let ports = GatewayPorts {
            directory: directory.clone(),
            sessions: Arc::new(MemorySessionStore::default()),
            reports: reports.clone(),
            http: http.clone(),
            clock: clock.clone(),
            ids: Arc::new(SeededIds::new(1)),
        };
        let gateway = Gateway::start(config.clone(), ports.clone()).await.unwrap();
        Self { gateway, directory, clock, http, reports, config, ports, roots, log }
    }

    /// Starts another gateway over the same fleet.
    pub(crate) async fn start_another(
        &self,
        adjust: impl FnOnce(&mut GatewayConfig),
    ) -> Result<Arc<Gateway>, komainu_gateway::GatewayError> {
        let mut config = self.config.clone();
        adjust(&mut config);
        Gateway::start(config, self.ports.clone()).await
    }

    /// Makes clients trust other roots from now on.
    pub(crate) fn trust(&mut self, roots: RootCertStore) {
        self.roots = roots;
    }

    pub(crate) fn mqtts(&self) -> SocketAddr {
        self.gateway.local_addrs().mqtts.unwrap()
    }

    pub(crate) fn tls(&self) -> SocketAddr {
        self.gateway.local_addrs().tls.unwrap()
    }

    /// Registers a device's certificate, active, attached to these things, with these policies.
    pub(crate) fn register(&self, device: &Device, things: &[&str], policies: &[&str]) {
        let at = Timestamp::from_unix_seconds;
        let certificate = Certificate {
            id: device.id,
            pem: device.pem.as_str().into(),
            status: CertificateStatus::Active,
            mode: CertificateMode::Default,
            not_before: at(NOW_S - 1000),
            not_after: at(NOW_S + 1000),
            created_at: at(NOW_S),
            modified_at: at(NOW_S),
            version: 1,
        };
        self.directory.put(Principal {
            scope: scope(),
            certificate,
            things: things.iter().map(|name| attached(name)).collect(),
            policies: policies.iter().map(|policy| Arc::from(*policy)).collect(),
        });
    }

    /// Changes what is registered and tells the gateway, as the control plane does.
    pub(crate) fn change(&self, device: &Device, change: impl FnOnce(&mut Principal)) {
        let mut principal = Principal::clone(&self.directory.principal(&device.id).unwrap());
        change(&mut principal);
        let certificate = principal.certificate.clone();
        self.directory.put(principal);
        self.gateway.committed(&[Change::Put(scope(), Record::Certificate(certificate))]);
    }

    /// Removes a certificate and tells the gateway.
    pub(crate) fn unregister(&self, device: &Device) {
        self.directory.remove(&device.id);
        self.gateway.committed(&[Change::Delete(scope(), RecordKey::Certificate(device.id))]);
    }

    /// Does a handshake. With TLS 1.3 a client takes it for finished before the server has seen its certificate, so a
    /// refusal shows at the first read.
    pub(crate) async fn handshake(&self, to: SocketAddr, how: Client443<'_>) -> io::Result<TlsStream<TcpStream>> {
        let mut provider = rustls::crypto::aws_lc_rs::default_provider();
        provider.cipher_suites.sort_by_key(|suite| how.first_suite != Some(suite.suite()));
        let signing_keys = provider.key_provider;
        let builder = ClientConfig::builder_with_provider(Arc::new(provider))
            .with_protocol_versions(how.versions)
            .unwrap()
            .with_root_certificates(self.roots.clone());
        let mut config = match how.device {
            None => builder.with_no_client_auth(),
            Some(device) => {
                // Not checked for being a pair, so that a thief can be played.
                let key = signing_keys.load_private_key(device.key.clone_key()).unwrap();
                let certified = CertifiedKey::new(vec![device.der.clone()], key);
                builder.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(certified)))
            }
        };
        config.alpn_protocols = how.alpn.iter().map(|protocol| protocol.to_vec()).collect();
        let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
        let tcp = TcpStream::connect(to).await?;
        let name = ServerName::try_from(how.server_name).unwrap();
        timeout(PATIENCE, connector.connect(name, tcp)).await.expect("a handshake in time")
    }

    /// What a client hears that is not let in.
    pub(crate) async fn alert(&self, to: SocketAddr, how: Client443<'_>) -> Option<AlertDescription> {
        let error = match self.handshake(to, how).await {
            Err(error) => error,
            Ok(mut stream) => {
                // Nobody answers a CONNECT's first byte, so this ends with the alert or not at all.
                timeout(PATIENCE, stream.read_u8()).await.expect("an alert in time").err()?
            }
        };
        match error.get_ref()?.downcast_ref::<rustls::Error>()? {
            rustls::Error::AlertReceived(alert) => Some(*alert),
            other => panic!("not an alert: {other}"),
        }
    }

    /// A client on 8883 after its handshake.
    pub(crate) async fn client(&self, device: &Device, version: Version) -> Client<TlsStream<TcpStream>> {
        let how = Client443 { device: Some(device), ..Client443::default() };
        Client::new(self.handshake(self.mqtts(), how).await.unwrap(), version)
    }

    /// A client that is connected.
    pub(crate) async fn connected(&self, device: &Device, client_id: &str) -> Client<TlsStream<TcpStream>> {
        let mut client = self.client(device, Version::V5).await;
        assert_eq!(client.connect(client_id).await, Some(0));
        client
    }

    pub(crate) fn readings(&self) -> Vec<MeterReading> {
        let mut readings = Vec::new();
        self.gateway.drain_meters(&mut readings);
        readings
    }

    /// The log lines of an event so far.
    pub(crate) fn logged(&self, event: &str) -> Vec<serde_json::Value> {
        self.log.lines().into_iter().filter(|line| line["fields"]["event"] == event).collect()
    }
}

pub(crate) fn attached(name: &str) -> AttachedThing {
    let thing = Thing {
        name: ThingName::parse(name).unwrap(),
        id: name.into(),
        type_name: Some(ThingTypeName::parse("pump").unwrap()),
        attributes: BTreeMap::from([("site".to_owned(), "north".to_owned())]),
        version: 1,
        created_at: Timestamp::from_unix_seconds(NOW_S),
    };
    AttachedThing { thing, kind: ThingPrincipalType::NonExclusiveThing }
}

/// A self-signed server certificate, and the roots of clients that trust it.
pub(crate) fn server_certificate() -> (ServerCertificate, RootCertStore) {
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
    let mut params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    params.subject_alt_names.push(SanType::IpAddress("127.0.0.1".parse().unwrap()));
    let certificate = params.self_signed(&key).unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(certificate.der().clone()).unwrap();
    (ServerCertificate { chain_pem: certificate.pem(), key_pem: key.serialize_pem() }, roots)
}

/// A directory that a test writes into.
#[derive(Debug, Default)]
pub(crate) struct TestDirectory {
    generation: AtomicU64,
    principals: Mutex<BTreeMap<CertificateId, Arc<Principal>>>,
}

impl TestDirectory {
    pub(crate) fn put(&self, principal: Principal) {
        self.principals.lock().unwrap().insert(principal.certificate.id, Arc::new(principal));
        self.generation.fetch_add(1, Ordering::SeqCst);
    }

    pub(crate) fn remove(&self, certificate: &CertificateId) {
        self.principals.lock().unwrap().remove(certificate);
        self.generation.fetch_add(1, Ordering::SeqCst);
    }
}

impl Directory for TestDirectory {
    fn generation(&self) -> u64 {
        self.generation.load(Ordering::SeqCst)
    }

    fn principal(&self, certificate: &CertificateId) -> Option<Arc<Principal>> {
        self.principals.lock().unwrap().get(certificate).cloned()
    }

    fn device(&self, _: &Scope, _: &ReporterName) -> DeviceProfiles {
        DeviceProfiles::default()
    }

    fn profiles(&self) -> Vec<(Scope, Arc<SecurityProfile>)> {
        Vec::new()
    }
}

/// Stands for the HTTP server: remembers who came, reads one line and sends it back.
#[derive(Default)]
pub(crate) struct HttpRecorder(Mutex<Vec<PeerInfo>>);

impl HttpRecorder {
    pub(crate) fn peers(&self) -> Vec<PeerInfo> {
        self.0.lock().unwrap().clone()
    }
}

impl HttpHandoff for HttpRecorder {
    fn serve(&self, mut stream: Box<dyn ByteStream>, peer: PeerInfo) -> BoxFuture<'static, ()> {
        self.0.lock().unwrap().push(peer);
        Box::pin(async move {
            let mut line = Vec::new();
            while line.last() != Some(&b'\n') {
                match stream.read_u8().await {
                    Ok(byte) => line.push(byte),
                    Err(_) => return,
                }
            }
            let _ = stream.write_all(&[b"HTTP: ", line.as_slice()].concat()).await;
            let _ = stream.shutdown().await;
        })
    }
}

/// Takes every report.
#[derive(Default)]
pub(crate) struct ReportRecorder(Mutex<Vec<ReportMessage>>);

impl ReportRecorder {
    pub(crate) fn taken(&self) -> Vec<ReportMessage> {
        self.0.lock().unwrap().clone()
    }
}

impl ReportSink for ReportRecorder {
    fn submit(&self, report: ReportMessage) -> BoxFuture<'static, Result<(), ReportSinkError>> {
        self.0.lock().unwrap().push(report);
        Box::pin(std::future::ready(Ok(())))
    }
}

/// What is logged on the thread of the test; its runtime has no other.
struct Log {
    bytes: Arc<Mutex<Vec<u8>>>,
    _guard: tracing::subscriber::DefaultGuard,
}

impl Default for Log {
    fn default() -> Self {
        let bytes = Arc::new(Mutex::new(Vec::new()));
        let into = bytes.clone();
        let subscriber = tracing_subscriber::fmt()
            .json()
            .with_max_level(tracing::Level::DEBUG)
            .with_writer(move || LogWriter(into.clone()))
            .finish();
        Self { bytes, _guard: tracing::subscriber::set_default(subscriber) }
    }
}

impl Log {
    fn lines(&self) -> Vec<serde_json::Value> {
        let bytes = self.bytes.lock().unwrap();
        bytes.split(|byte| *byte == b'\n').filter_map(|line| serde_json::from_slice(line).ok()).collect()
    }
}

struct LogWriter(Arc<Mutex<Vec<u8>>>);

impl io::Write for LogWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
