//! The gatekeeper of devices: a client comes in with its certificate and may do what the certificate's policies allow.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use komainu_model::{CertificateId, ClientId, DisconnectReason, ReporterName, Scope};
use komainu_ports::{Clock, Directory, PeerInfo, Principal};
use komainu_registry::policy::{Action, CompiledPolicies, ConnectionContext, connection_thing};
use parking_lot::RwLock;
use tracing::warn;

use crate::access::{Access, ConnectRequest, DeniedAction, Gatekeeper, Refusal};
use crate::identity::{CertificateProblem, check_certificate, reporter};
use crate::log_budget::Budgets;
use crate::measured::{Connection, Measured};
use crate::meter::Meters;
use crate::policies::PolicyCache;
use crate::{events, facts};

/// What the gatekeepers of all listeners share.
pub(crate) struct Fleet {
    pub(crate) directory: Arc<dyn Directory>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) meters: Meters,
    pub(crate) policies: PolicyCache,
    pub(crate) budgets: Arc<Budgets>,
}

/// Lets devices in.
pub(crate) struct DeviceGatekeeper(pub(crate) Arc<Fleet>);

impl Gatekeeper for DeviceGatekeeper {
    fn admit(&self, peer: &PeerInfo, connect: &ConnectRequest<'_>) -> Result<Arc<dyn Access>, Refusal> {
        let access = DeviceAccess::admit(&self.0, peer, connect).inspect_err(|refusal| {
            if let Some(suppressed) = self.0.budgets.connect_refused.take_now() {
                let reason = match refusal {
                    Refusal::NotAuthenticated { reason } => reason,
                    Refusal::NotAuthorized { action } => action,
                };
                warn!(
                    event = events::CONNECT_REFUSED,
                    client = %connect.client_id,
                    reason,
                    address = %peer.address,
                    certificate = peer.certificate.map(tracing::field::display),
                    suppressed,
                    "connect refused"
                );
            }
        })?;
        access.measured.log_connected(peer, connect);
        Ok(Arc::new(access))
    }
}

/// What a device may do: in a connection, or in one request over HTTPS.
pub(crate) struct DeviceAccess {
    fleet: Arc<Fleet>,
    certificate: CertificateId,
    /// `None` over HTTPS.
    client: Option<ClientId>,
    source_ip: IpAddr,
    measured: Measured,
    /// The directory's generation that `granted` is of.
    generation: AtomicU64,
    granted: RwLock<Granted>,
}

/// What the directory says about the certificate.
struct Granted {
    principal: Arc<Principal>,
    policies: Arc<CompiledPolicies>,
    /// The certificate does not open the gate any more: nothing is allowed.
    is_withdrawn: bool,
}

impl DeviceAccess {
    fn admit(fleet: &Arc<Fleet>, peer: &PeerInfo, connect: &ConnectRequest<'_>) -> Result<Self, Refusal> {
        let (access, standing) = Self::look_up(fleet, peer, Some(connect.client_id))?;
        let meter = access.measured.meter();
        meter.count_attempt(access.source_ip);
        let judgement = standing
            .map_err(|problem| Refusal::NotAuthenticated { reason: problem.as_str() })
            .and_then(|()| access.may_connect(connect));
        match judgement {
            Ok(()) => {
                access.measured.begin();
                Ok(access)
            }
            Err(refusal) => {
                meter.count_denied();
                Err(refusal)
            }
        }
    }

    /// What the holder of `certificate` may do in one request over HTTPS. Not a connection, so no attempt is counted.
    pub(crate) fn for_request(fleet: &Arc<Fleet>, peer: &PeerInfo) -> Result<Self, Refusal> {
        let (access, standing) = Self::look_up(fleet, peer, None)?;
        match standing {
            Ok(()) => Ok(access),
            Err(problem) => {
                access.measured.meter().count_denied();
                Err(Refusal::NotAuthenticated { reason: problem.as_str() })
            }
        }
    }

    fn look_up(
        fleet: &Arc<Fleet>,
        peer: &PeerInfo,
        client: Option<&ClientId>,
    ) -> Result<(Self, Result<(), CertificateProblem>), Refusal> {
        let not_authenticated = |reason| Refusal::NotAuthenticated { reason };
        let certificate = peer.certificate.ok_or(not_authenticated("no client certificate"))?;
        // The generation is asked before the answer, so that the answer is never older than it is taken for.
        let generation = fleet.directory.generation();
        let principal = fleet
            .directory
            .principal(&certificate)
            .ok_or(not_authenticated(CertificateProblem::NotRegistered.as_str()))?;
        let standing = check_certificate(&principal.certificate, fleet.clock.now());
        let source_ip = peer.address.ip().to_canonical();
        let connection = Connection {
            scope: principal.scope.clone(),
            reporter: reporter(&principal, client),
            principal_id: certificate.to_string().into(),
            client: client.cloned(),
            address: peer.address,
        };
        let measured = Measured::new(&fleet.meters, fleet.budgets.clone(), connection);
        let policies = compile(fleet, &principal, client, source_ip);
        let access = Self {
            fleet: fleet.clone(),
            certificate,
            client: client.cloned(),
            source_ip,
            measured,
            generation: AtomicU64::new(generation),
            granted: RwLock::new(Granted { principal, policies, is_withdrawn: standing.is_err() }),
        };
        Ok((access, standing))
    }

    fn may_connect(&self, connect: &ConnectRequest<'_>) -> Result<(), Refusal> {
        let denied = |action: Action| Err(Refusal::NotAuthorized { action: action.as_str() });
        if !self.allows(Action::Connect, connect.client_id.as_str()) {
            return denied(Action::Connect);
        }
        match connect.will {
            Some((topic, _)) if !self.allows(Action::Publish, topic) => denied(Action::Publish),
            Some((topic, true)) if !self.allows(Action::RetainPublish, topic) => denied(Action::RetainPublish),
            Some(_) | None => Ok(()),
        }
    }

    fn allows(&self, action: Action, resource: &str) -> bool {
        self.refresh();
        let granted = self.granted.read();
        !granted.is_withdrawn && granted.policies.allows(action, resource)
    }

    /// Asks the directory anew when something has changed there.
    fn refresh(&self) {
        if self.fleet.directory.generation() == self.generation.load(Ordering::Acquire) {
            return;
        }
        let mut granted = self.granted.write();
        let generation = self.fleet.directory.generation();
        match self.fleet.directory.principal(&self.certificate) {
            None => granted.is_withdrawn = true,
            Some(principal) => {
                granted.is_withdrawn = check_certificate(&principal.certificate, self.fleet.clock.now()).is_err();
                if !is_same(&principal, &granted.principal) {
                    granted.policies = compile(&self.fleet, &principal, self.client.as_ref(), self.source_ip);
                    granted.principal = principal;
                }
            }
        }
        self.generation.store(generation, Ordering::Release);
    }
}

/// Whether the policies of two answers compile to the same. Most changes of a fleet are about somebody else.
fn is_same(one: &Arc<Principal>, other: &Arc<Principal>) -> bool {
    Arc::ptr_eq(one, other)
        || (one.scope == other.scope
            && one.policies == other.policies
            && one.things.len() == other.things.len()
            && one.things.iter().zip(&other.things).all(|(a, b)| a.thing == b.thing && a.kind == b.kind))
}

fn compile(
    fleet: &Fleet,
    principal: &Principal,
    client: Option<&ClientId>,
    source_ip: IpAddr,
) -> Arc<CompiledPolicies> {
    let set = fleet.policies.read(&principal.scope, &principal.policies);
    let certificate = if set.asks_for_certificate() {
        facts::of(&principal.certificate)
    } else {
        facts::identity_only(&principal.certificate)
    };
    let client_id = client.map(ClientId::as_str);
    let attached = principal.things.iter().map(|attached| (&attached.thing, attached.kind));
    let context = ConnectionContext {
        scope: &principal.scope,
        client_id,
        source_ip: Some(source_ip),
        thing: connection_thing(attached, client_id),
        certificate: Some(&certificate),
    };
    fleet.policies.compile(set, &context)
}

impl Access for DeviceAccess {
    fn scope(&self) -> &Scope {
        self.measured.scope()
    }

    fn reporter(&self) -> &ReporterName {
        self.measured.reporter()
    }

    fn principal_id(&self) -> &str {
        self.measured.principal_id()
    }

    fn may_publish(&self, topic: &str, retain: bool) -> bool {
        self.allows(Action::Publish, topic) && (!retain || self.allows(Action::RetainPublish, topic))
    }

    fn may_subscribe(&self, filter: &str) -> bool {
        self.allows(Action::Subscribe, filter)
    }

    fn may_receive(&self, topic: &str) -> bool {
        self.allows(Action::Receive, topic)
    }

    fn revoked(&self) -> Option<DisconnectReason> {
        self.refresh();
        let granted = self.granted.read();
        // The clock moves without a change in the directory: a certificate may have expired since.
        let has_ended = check_certificate(&granted.principal.certificate, self.fleet.clock.now()).is_err();
        let client = self.client.as_ref().map_or("", ClientId::as_str);
        if granted.is_withdrawn || has_ended {
            Some(DisconnectReason::AuthError)
        } else if !granted.policies.allows(Action::Connect, client) {
            Some(DisconnectReason::ForbiddenAccess)
        } else {
            None
        }
    }

    fn count_sent(&self, payload_bytes: usize) {
        self.measured.meter().count_sent(payload_bytes);
    }

    fn count_received(&self, payload_bytes: usize) {
        self.measured.meter().count_received(payload_bytes);
    }

    fn count_denied(&self, action: DeniedAction, subject: &str) {
        self.measured.count_denied(action, subject);
    }

    fn count_disconnect(&self, reason: DisconnectReason) {
        self.measured.count_disconnect(reason);
    }
}
