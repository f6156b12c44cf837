//! The sensor's side of the tunnels: outposts come with strangers of other sites, and each stranger is relayed as one that
//! came here.
//!
//! An outpost is known by its certificate. What it says of a stranger is checked as far as it can be: whether the device
//! and the port may be reached through it, and whether the address can be a stranger's. That the stranger is there, and
//! whom it called, is the outpost's word.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use komainu_model::{ApplianceIndex, ApplianceName, RelayMode, RelayTransport};
use parking_lot::Mutex;
use quinn::{Connection, Incoming, RecvStream, SendStream, VarInt};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout};
use tracing::{info, warn};

use super::end::End;
use super::{Shared, datagrams, stream};
use crate::artifact::Sha256Digest;
use crate::datagrams::Acquainted;
use crate::events;
use crate::fetch::is_global;
use crate::session::OutpostIdentity;
use crate::tunnel::{
    self, BreakOff, Goodbye, Opening, TunnelDatagrams, TunnelKey, TunnelStream, VERSION, fingerprint_of, sensor_side,
};
use komainu_ports::LogBudget;

/// How long an outpost may take to show who it is, and to be greeted.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// Handshakes at the same time. Each is arithmetic for a stranger; more are refused.
const HANDSHAKES_MAX: usize = 16;

/// How long a stream may take to say what it is for. It says so in its first packet.
const OPENING_TIMEOUT: Duration = Duration::from_secs(10);

/// How long to see to it that outposts hear of the sensor's end. They find out by themselves.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);

/// Who brings strangers from other sites.
#[derive(Debug)]
pub struct OutpostsConfig {
    /// Where outposts reach this sensor, UDP.
    pub listen: SocketAddr,
    /// By what they know it.
    pub key: TunnelKey,
    /// Who they are.
    pub allowed: Vec<AllowedOutpost>,
    /// Whether strangers may have addresses that nobody on the internet has, as in a lab.
    pub lab_addresses: bool,
}

/// An outpost that may bring strangers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AllowedOutpost {
    /// What records say of it.
    pub identity: OutpostIdentity,
    /// The SHA-256 of its certificate.
    pub fingerprint: Sha256Digest,
    /// The devices that strangers reach through it.
    pub devices: Vec<ApplianceName>,
    /// Strangers' connections and conversations through it at the same time. A further one waits there.
    pub streams_max: u32,
}

/// An outpost, whether it is there or not.
struct Outpost {
    identity: Arc<OutpostIdentity>,
    fingerprint: Sha256Digest,
    devices: Vec<ApplianceIndex>,
    streams_max: u32,
    /// Who completed a TCP handshake there lately: it proves nothing about other places.
    acquainted: Acquainted,
    /// Its tunnel. There is one: when it comes again, the one before is cut and does not know yet.
    current: Mutex<Option<Connection>>,
    refused: LogBudget,
}

struct Outposts {
    shared: Arc<Shared>,
    known: Vec<Arc<Outpost>>,
    lab_addresses: bool,
    handshakes: Arc<Semaphore>,
    strange: LogBudget,
}

/// Begins to listen for outposts.
pub(super) fn start(shared: &Arc<Shared>, config: OutpostsConfig) -> io::Result<()> {
    let OutpostsConfig { listen, key, allowed, lab_addresses } = config;
    let server = sensor_side(&key, allowed.iter().map(|one| one.fingerprint).collect())?;
    let known = allowed.into_iter().map(|one| Outpost::new(one, shared).map(Arc::new)).collect::<io::Result<_>>()?;
    let endpoint = tunnel::endpoint(listen, Some(server))?;
    let (address, fingerprint) = (endpoint.local_addr()?, key.fingerprint());
    info!(event = events::OUTPOSTS_AWAITED, %address, %fingerprint, "outposts are awaited");
    let outposts = Outposts {
        shared: shared.clone(),
        known,
        lab_addresses,
        handshakes: Arc::new(Semaphore::new(HANDSHAKES_MAX)),
        strange: LogBudget::default(),
    };
    drop(tokio::spawn(accept_all(Arc::new(outposts), endpoint)));
    Ok(())
}

impl Outpost {
    fn new(allowed: AllowedOutpost, shared: &Shared) -> io::Result<Self> {
        let AllowedOutpost { identity, fingerprint, devices, streams_max } = allowed;
        let index = |name: &ApplianceName| {
            let found = shared.indexed().find(|(_, known)| known.appliance.name == *name);
            let problem =
                || format!("outpost `{}` may reach `{name}`, which is no device of this sensor", identity.name);
            found.map(|(index, _)| index).ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, problem()))
        };
        let devices = devices.iter().map(index).collect::<io::Result<_>>()?;
        Ok(Self {
            identity: Arc::new(identity),
            fingerprint,
            devices,
            streams_max,
            acquainted: Acquainted::default(),
            current: Mutex::default(),
            refused: LogBudget::default(),
        })
    }
}

/// Takes outposts until the relay stops.
async fn accept_all(outposts: Arc<Outposts>, endpoint: quinn::Endpoint) {
    loop {
        let incoming = tokio::select! {
            biased;
            () = outposts.shared.stopped() => break,
            Some(incoming) = endpoint.accept() => incoming,
        };
        // Whoever forges a source makes us do no arithmetic (RFC 9000, 8.1.2).
        if !incoming.remote_address_validated() {
            // It was not validated, so it may be sent there.
            let _ = incoming.retry();
            continue;
        }
        match outposts.handshakes.clone().try_acquire_owned() {
            Ok(turn) => drop(tokio::spawn(welcome(outposts.clone(), incoming, turn))),
            Err(_) => {
                let address = incoming.remote_address();
                incoming.refuse();
                outposts.log_strange(address, &"too many come at once");
            }
        }
    }
    let (code, words) = Goodbye::Stopping.said();
    endpoint.close(code, words);
    let _ = timeout(CLOSE_TIMEOUT, endpoint.wait_idle()).await;
}

/// Sees who comes, and serves an outpost until its tunnel is over.
async fn welcome(outposts: Arc<Outposts>, incoming: Incoming, turn: OwnedSemaphorePermit) {
    let address = incoming.remote_address();
    let greeted = async {
        let connection = incoming.accept()?.await?;
        let shown = fingerprint_of(&connection);
        let outpost = outposts.known.iter().find(|known| Some(known.fingerprint) == shown).cloned();
        // TLS has let nobody else through.
        let outpost = outpost.ok_or(io::ErrorKind::PermissionDenied)?;
        connection.set_max_concurrent_bi_streams(VarInt::from_u32(outpost.streams_max));
        let mut greeting = connection.open_uni().await?;
        greeting.write_all(&[VERSION]).await?;
        // It ends with this.
        let _ = greeting.finish();
        Ok::<_, io::Error>((connection, outpost))
    };
    let (connection, outpost) = match timeout(HANDSHAKE_TIMEOUT, greeted).await {
        Ok(Ok(greeted)) => greeted,
        Ok(Err(error)) => return outposts.log_strange(address, &error),
        Err(_elapsed) => return outposts.log_strange(address, &"it took too long"),
    };
    drop(turn);
    let name = &outpost.identity.name;
    info!(event = events::OUTPOST_CAME, outpost = name, %address, "outpost is there");
    let before = outpost.current.lock().replace(connection.clone());
    if let Some(before) = before {
        tunnel::close(&before, Goodbye::Replaced);
    }
    let error = loop {
        match connection.accept_bi().await {
            Ok((to, from)) => {
                let (outposts, outpost) = (outposts.clone(), outpost.clone());
                drop(tokio::spawn(async move { outposts.serve(&outpost, to, from).await }));
            }
            Err(error) => break error,
        }
    };
    let mut current = outpost.current.lock();
    if current.as_ref().is_some_and(|current| current.stable_id() == connection.stable_id()) {
        *current = None;
    }
    drop(current);
    warn!(event = events::OUTPOST_GONE, outpost = name, %address, %error, "outpost is gone");
}

impl Outposts {
    /// Serves one stranger.
    async fn serve(&self, outpost: &Outpost, mut to: SendStream, mut from: RecvStream) {
        let opened = tokio::select! {
            biased;
            () = self.shared.stopped() => return,
            opened = timeout(OPENING_TIMEOUT, read_opening(&mut from)) => opened,
        };
        // A tunnel that is cut says so elsewhere.
        let admitted = match opened {
            Ok(Ok((opening, said))) => {
                self.admit(outpost, &opening).map(|(device, ticket)| (opening, said, device, ticket))
            }
            Ok(Err(why)) => Err(why),
            Err(_elapsed) => Err(BreakOff::Malformed),
        };
        let (opening, said, device, ticket) = match admitted {
            Ok(admitted) => admitted,
            Err(why) => {
                // What is over already cannot be broken off.
                let _ = to.reset(why.code());
                let _ = from.stop(why.code());
                return outpost.log_refused(why);
            }
        };
        let Opening { transport, client, called: original, device: _ } = opening;
        let (shared, tunnel) = (self.shared.clone(), TunnelStream::new(to, from, said));
        match transport {
            RelayTransport::Tcp => {
                outpost.acquainted.meet(Instant::now(), (*client.ip()).into());
                let identity = Some(outpost.identity.clone());
                let visit = stream::Visit { shared, client, original, device, outpost: identity };
                stream::serve(visit, End::Tunnel(Box::new(tunnel)), ticket).await;
            }
            RelayTransport::Udp => {
                let visit = datagrams::Visit { shared, client, original, device };
                let (identity, tunnel) = (outpost.identity.clone(), TunnelDatagrams::new(tunnel));
                datagrams::serve_outpost(visit, identity, &outpost.acquainted, tunnel, ticket).await;
            }
        }
    }

    /// Whether a stranger may reach what it called, through this outpost.
    fn admit(&self, outpost: &Outpost, opening: &Opening) -> Result<(ApplianceIndex, crate::limits::Ticket), BreakOff> {
        let Opening { transport, client, called, device } = opening;
        let mut devices = outpost.devices.iter().filter_map(|index| Some((*index, self.shared.device(*index)?)));
        let (index, known) = devices.find(|(_, known)| known.appliance.name == *device).ok_or(BreakOff::Device)?;
        let is_exposed = known.appliance.ports.iter().any(|exposed| {
            (exposed.port, exposed.transport, exposed.relay) == (called.port(), *transport, RelayMode::User)
        });
        if !is_exposed {
            return Err(BreakOff::Port);
        }
        if !self.is_strangers(*client) {
            return Err(BreakOff::Source);
        }
        let ticket = self.shared.doorkeeper.admit((*client.ip()).into()).map_err(|limit| {
            self.shared.log_refused(limit, *client);
            BreakOff::Bound
        })?;
        Ok((index, ticket))
    }

    /// Whether a stranger can have an address. The guard checks for itself that it is one host's and no device's.
    fn is_strangers(&self, client: SocketAddrV4) -> bool {
        let ip = *client.ip();
        let can_be = if self.lab_addresses { is_one_host(ip) } else { is_global(ip.into()) };
        can_be && self.shared.sender(ip).is_none()
    }

    fn log_strange(&self, address: SocketAddr, error: &dyn std::fmt::Display) {
        if let Some(suppressed) = self.strange.take_now() {
            warn!(event = events::OUTPOST_UNKNOWN, %address, %error, suppressed, "whoever came is no outpost");
        }
    }
}

impl Outpost {
    fn log_refused(&self, why: BreakOff) {
        if let Some(suppressed) = self.refused.take_now() {
            let (outpost, reason) = (&self.identity.name, why.as_str());
            warn!(
                event = events::OUTPOST_REFUSED,
                outpost, reason, suppressed, "what an outpost asked for was refused"
            );
        }
    }
}

/// Whether an address can be a host's in a lab.
fn is_one_host(ip: Ipv4Addr) -> bool {
    !(ip.is_unspecified() || ip.is_loopback() || ip.is_multicast() || ip.is_broadcast())
}

/// What a stream is for, and what was said after that.
async fn read_opening(from: &mut RecvStream) -> Result<(Opening, Bytes), BreakOff> {
    let mut begun = Vec::new();
    loop {
        let chunk = match from.read_chunk(Opening::BYTES_MAX, true).await {
            Ok(Some(chunk)) => chunk.bytes,
            Ok(None) => return Err(BreakOff::Malformed),
            Err(_) => return Err(BreakOff::Reset),
        };
        begun.extend_from_slice(&chunk);
        if let Some((opening, length)) = Opening::parse(&begun).map_err(|_| BreakOff::Malformed)? {
            return Ok((opening, Bytes::copy_from_slice(&begun[length..])));
        }
    }
}
