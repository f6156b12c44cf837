//! A control plane with everything around it in memory.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use komainu_api::{Api, ApiConfig, ApiParts, ControlPlane, ControlRules, Server};
use komainu_detect::ValidationRules;
use komainu_model::{
    AccessKeyId, AccessKeyNote, AccountId, Certificate, CertificateId, CertificateMode, CertificateStatus, Change,
    ClientId, DisconnectReason, NotificationSignature, Record, Region, ReporterName, Role, SampleDigest, Scope,
    SecretKey, Thing, ThingName, ThingPrincipal, ThingPrincipalType, Timestamp,
};
use komainu_ports::{
    AccessKeys, Authority, AuthorityError, BoxFuture, Broker, BrokerError, ByteStream, CapturesLimits,
    CertificateSubject, Clock, HttpHandoff, IssuedCertificate, IssuedKeyPair, Lake, LakeAnswer, LakeAppended,
    LakeBatchName, LakeError, LakeListing, LakeQuestion, LakeRows, LakeTableState, ManualClock, MemoryArtifacts,
    MemoryCaptures, MemoryLake, MemoryRecords, MemorySamples, MemoryStore, MeterReading, NewSample, OutboundMessage,
    PeerInfo, Presence, RecordsLimits, SampleIntake, SampleLimits, SampleMention, SamplePriority, SampleStore,
    SampleSubmitted, SamplesError, SeededIds, Store, WebSocketIdentity,
};
use komainu_respond::RespondRules;
use parking_lot::Mutex;
use tokio::io::DuplexStream;

use crate::client::{Answer, Ask};

/// What time it is at first, in seconds since the Unix epoch.
pub(crate) const NOW_S: i64 = 1_700_000_000;
pub(crate) const ACCOUNT: &str = "123456789012";
pub(crate) const KEY_ID: &str = "AKIDEXAMPLEEXAMPLE00";
pub(crate) const SECRET: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";

/// So many samples may wait.
pub(crate) const WAITING_MAX: u64 = 3;

/// The certificates of two sensors.
pub(crate) const TOKYO: CertificateId = CertificateId::from_sha256([1; 32]);
pub(crate) const OSAKA: CertificateId = CertificateId::from_sha256([2; 32]);

/// A control plane without a listener: connections are handed to it.
pub(crate) struct World {
    pub(crate) server: Arc<Server>,
    pub(crate) broker: Arc<RecordingBroker>,
    pub(crate) api: Arc<Api>,
    pub(crate) store: Arc<MemoryStore>,
    pub(crate) records: Arc<MemoryRecords>,
    pub(crate) artifacts: Arc<MemoryArtifacts>,
    pub(crate) captures: Arc<MemoryCaptures>,
    pub(crate) lake: Arc<BrittleLake>,
    pub(crate) samples: Arc<MemorySamples>,
    pub(crate) intake: Arc<Door>,
    pub(crate) control: Arc<ControlPlane>,
    pub(crate) clock: Arc<ManualClock>,
}

impl World {
    pub(crate) fn new() -> Self {
        Self::holding(&[])
    }

    /// A control plane in which the thing `tokyo` has the certificate [`TOKYO`] and may hand in its records; so has `osaka`.
    pub(crate) fn with_sensors() -> Self {
        let put = |record| Change::Put(Self::scope(), record);
        let mut changes = Vec::new();
        for (certificate, name) in [(TOKYO, "tokyo"), (OSAKA, "osaka")] {
            let thing = ThingName::parse(name).unwrap();
            changes.push(put(Record::Thing(Thing {
                name: thing.clone(),
                id: name.into(),
                type_name: None,
                attributes: Default::default(),
                version: 1,
                created_at: Timestamp::default(),
            })));
            changes.push(put(Record::Certificate(Certificate {
                id: certificate,
                pem: "pem".into(),
                status: CertificateStatus::Active,
                mode: CertificateMode::Default,
                not_before: Timestamp::default(),
                not_after: Timestamp::from_unix_seconds(i64::from(u32::MAX)),
                created_at: Timestamp::default(),
                modified_at: Timestamp::default(),
                version: 1,
            })));
            let kind = ThingPrincipalType::ExclusiveThing;
            changes.push(put(Record::ThingPrincipal(ThingPrincipal { thing, certificate, kind })));
        }
        let world = Self::holding(&changes);
        for (certificate, name) in [(TOKYO, "tokyo"), (OSAKA, "osaka")] {
            world.broker.allowed.lock().push((certificate, format!("$komainu/sensors/{name}/ingest")));
        }
        world
    }

    /// A control plane whose store holds what these changes make.
    pub(crate) fn holding(changes: &[Change]) -> Self {
        let clock = Arc::new(ManualClock::new(Timestamp::from_unix_seconds(NOW_S)));
        let store = Arc::new(MemoryStore::new());
        store.commit(changes).unwrap();
        let records = Arc::new(MemoryRecords::new(RecordsLimits::default()));
        let artifacts = Arc::new(MemoryArtifacts::default());
        let captures = Arc::new(MemoryCaptures::new(CapturesLimits::default()));
        let lake = Arc::new(BrittleLake::default());
        let limits = SampleLimits { waiting_max: WAITING_MAX, ..SampleLimits::default() };
        let samples = Arc::new(MemorySamples::new(limits));
        let intake = Arc::new(Door::new(samples.clone(), clock.clone()));
        let broker = Arc::new(RecordingBroker::default());
        let ids = Arc::new(SeededIds::new(1));
        let rules = ControlRules {
            account: AccountId::parse(ACCOUNT).unwrap(),
            behaviors: ValidationRules::default(),
            notifications: RespondRules::default(),
        };
        let control = ControlPlane::open(rules, store.clone(), clock.clone(), ids.clone()).unwrap();
        let (id, secret) = (AccessKeyId::parse(KEY_ID).unwrap(), SecretKey::parse(SECRET).unwrap());
        control.create_as(id, secret, Role::Admin, AccessKeyNote::default()).unwrap();
        let api = Api::new(ApiParts {
            own: Default::default(),
            config: ApiConfig { device_endpoint: "localhost".to_owned(), region: Region::parse("us-east-1").unwrap() },
            control: control.clone(),
            store: store.clone(),
            records: records.clone(),
            indicators: store.clone(),
            artifacts: artifacts.clone(),
            captures: captures.clone(),
            lake: lake.clone(),
            samples: samples.clone(),
            intake: intake.clone(),
            broker: broker.clone(),
            authority: Arc::new(NoAuthority),
            clock: clock.clone(),
            ids,
        });
        let server = Server::new(api.clone());
        Self { server, api, broker, store, records, artifacts, captures, lake, samples, intake, control, clock }
    }

    /// A connection in clear text.
    pub(crate) fn connect(&self) -> DuplexStream {
        self.connect_as(None)
    }

    /// A connection over TLS with this certificate, as the gateway hands it over.
    pub(crate) fn connect_as(&self, certificate: Option<CertificateId>) -> DuplexStream {
        let (client, server) = tokio::io::duplex(64 * 1024);
        let address = "192.0.2.1:1234".parse().unwrap();
        let peer = PeerInfo { address, tls: certificate.is_some(), certificate, server_name: None };
        tokio::spawn(self.server.serve(Box::new(server), peer));
        client
    }

    /// Sends one request over a connection of its own.
    pub(crate) async fn ask(&self, ask: &Ask) -> Answer {
        ask.send(&mut self.connect()).await
    }

    /// The scope that requests are signed for.
    pub(crate) fn scope() -> Scope {
        Scope { account: AccountId::parse(ACCOUNT).unwrap(), region: Region::parse("eu-west-1").unwrap() }
    }
}

/// The door of the laboratory, with nobody behind it. It can be out of order.
pub(crate) struct Door {
    samples: Arc<MemorySamples>,
    clock: Arc<ManualClock>,
    is_broken: AtomicBool,
}

impl Door {
    fn new(samples: Arc<MemorySamples>, clock: Arc<ManualClock>) -> Self {
        Self { samples, clock, is_broken: AtomicBool::new(false) }
    }

    /// From now on the medium fails, or does not.
    pub(crate) fn set_broken(&self, is_broken: bool) {
        self.is_broken.store(is_broken, Ordering::Relaxed);
    }

    fn whole(&self) -> Result<(), SamplesError> {
        let failure = || SamplesError::Unavailable { doing: "writing", source: "the disk is gone".into() };
        if self.is_broken.load(Ordering::Relaxed) { Err(failure()) } else { Ok(()) }
    }
}

impl SampleIntake for Door {
    fn submit(&self, sample: &NewSample) -> Result<SampleSubmitted, SamplesError> {
        self.whole()?;
        self.samples.submit(sample, self.clock.now())
    }

    fn mention(&self, mentions: &[SampleMention]) -> Result<(), SamplesError> {
        self.whole()?;
        self.samples.mention(mentions, self.clock.now())
    }

    fn again(&self, sample: &SampleDigest, priority: SamplePriority) -> Result<bool, SamplesError> {
        self.whole()?;
        self.samples.again(sample, priority, self.clock.now())
    }
}

/// A lake that can be out of order.
#[derive(Default)]
pub(crate) struct BrittleLake {
    lake: MemoryLake,
    is_broken: AtomicBool,
}

impl BrittleLake {
    /// From now on the medium fails, or does not.
    pub(crate) fn set_broken(&self, is_broken: bool) {
        self.is_broken.store(is_broken, Ordering::Relaxed);
    }
}

impl Lake for BrittleLake {
    fn append(&self, name: &LakeBatchName, rows: &[LakeRows]) -> Result<LakeAppended, LakeError> {
        if self.is_broken.load(Ordering::Relaxed) {
            return Err(LakeError::Unavailable { doing: "writing", source: "the disk is gone".into() });
        }
        self.lake.append(name, rows)
    }

    fn holds(&self, name: &LakeBatchName) -> bool {
        self.lake.holds(name)
    }

    fn count(&self, question: &LakeQuestion) -> Result<LakeAnswer, LakeError> {
        self.lake.count(question)
    }

    fn list(&self, listing: &LakeListing) -> Result<LakeRows, LakeError> {
        self.lake.list(listing)
    }

    fn visit(
        &self,
        listing: &LakeListing,
        visit: &mut dyn FnMut(LakeRows) -> ControlFlow<()>,
    ) -> Result<(), LakeError> {
        self.lake.visit(listing, visit)
    }

    fn state(&self) -> Result<Vec<LakeTableState>, LakeError> {
        self.lake.state()
    }

    fn retain(&self, before: Timestamp) -> Result<u64, LakeError> {
        self.lake.retain(before)
    }
}

/// Remembers what it was asked for.
#[derive(Default)]
pub(crate) struct RecordingBroker {
    pub(crate) published: Mutex<Vec<(Publisher, OutboundMessage)>>,
    pub(crate) websockets: Mutex<Vec<WebSocketIdentity>>,
    pub(crate) connected: Mutex<Vec<ClientId>>,
    /// Which certificate may publish to which topic.
    pub(crate) allowed: Mutex<Vec<(CertificateId, String)>>,
}

/// In whose name something was published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Publisher {
    Scope(Scope),
    Certificate(CertificateId),
}

impl Presence for RecordingBroker {
    fn is_connected(&self, _: &Scope, reporter: &ReporterName) -> bool {
        self.connected.lock().iter().any(|client| client.as_str() == reporter.as_str())
    }
}

impl Broker for RecordingBroker {
    fn publish(&self, scope: Scope, message: OutboundMessage) -> BoxFuture<'_, Result<(), BrokerError>> {
        self.published.lock().push((Publisher::Scope(scope), message));
        Box::pin(async { Ok(()) })
    }

    fn publish_as(
        &self,
        certificate: CertificateId,
        _: PeerInfo,
        message: OutboundMessage,
    ) -> BoxFuture<'_, Result<(), BrokerError>> {
        self.published.lock().push((Publisher::Certificate(certificate), message));
        Box::pin(async { Ok(()) })
    }

    /// What is on the list `allowed`.
    fn may_publish_as(&self, certificate: CertificateId, _: &PeerInfo, topic: &str) -> Result<(), BrokerError> {
        let is_allowed = self.allowed.lock().iter().any(|(who, what)| *who == certificate && what == topic);
        is_allowed.then_some(()).ok_or_else(|| BrokerError::NotAuthorized { topic: topic.to_owned() })
    }

    /// Echoes what it reads.
    fn websocket(
        &self,
        mut stream: Box<dyn ByteStream>,
        _: PeerInfo,
        identity: WebSocketIdentity,
    ) -> BoxFuture<'static, ()> {
        self.websockets.lock().push(identity);
        Box::pin(async move {
            let (mut reader, mut writer) = tokio::io::split(&mut stream);
            let _ = tokio::io::copy(&mut reader, &mut writer).await;
        })
    }

    fn disconnect(&self, _: &Scope, client: &ClientId, _: DisconnectReason) -> bool {
        self.connected.lock().contains(client)
    }

    fn drain_meters(&self, _: &mut Vec<MeterReading>) {}
}

/// An authority that makes nothing; only its notification certificate is asked for here.
struct NoAuthority;

impl NoAuthority {
    fn failure<T>() -> Result<T, AuthorityError> {
        Err(AuthorityError::Failed { doing: "issuing", reason: "this authority makes nothing".to_owned() })
    }
}

impl Authority for NoAuthority {
    fn issue_with_new_key(
        &self,
        _: &CertificateSubject,
        _: Timestamp,
    ) -> Result<(IssuedCertificate, IssuedKeyPair), AuthorityError> {
        Self::failure()
    }

    fn issue_for_request(&self, _: &str, _: Timestamp) -> Result<IssuedCertificate, AuthorityError> {
        Self::failure()
    }

    fn root_pem(&self) -> Arc<str> {
        "root".into()
    }

    fn sign_notification(&self, _: NotificationSignature, _: &[u8]) -> Result<Vec<u8>, AuthorityError> {
        Self::failure()
    }

    fn notification_certificate_pem(&self) -> Arc<str> {
        "-----BEGIN CERTIFICATE-----\n".into()
    }
}
