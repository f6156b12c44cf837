//! An outpost: a light process at another site that carries strangers to the sensor which has the device.
//!
//! It listens where strangers call, and has nothing to say itself: each connection and each conversation in datagrams
//! becomes a stream of one tunnel to the sensor, with the stranger's address in front. It keeps nothing that strangers say.
//! While there is no tunnel, its ports are closed.

mod connections;
mod conversations;

use std::future::Future;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::sync::Arc;
use std::time::Duration;

use komainu_model::{ApplianceName, RelayTransport};
use quinn::{Connection, ConnectionError};
use tokio::net::{TcpListener, UdpSocket, lookup_host};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, timeout};
use tracing::{info, warn};

use crate::artifact::Sha256Digest;
use crate::events;
use crate::limits::{Doorkeeper, SensorLimits};
use crate::tunnel::{self, BreakOff, Goodbye, Opening, TunnelKey, VERSION, outpost_side};
use crate::uplink::pause_after;
use komainu_ports::LogBudget;

/// How long it may take to find the sensor's address.
const RESOLVE_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a sensor may take to greet. It does so at once when it knows the outpost.
const GREETING_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a sensor may take to let a stream be opened: it has its own bound of them.
const STREAM_TIMEOUT: Duration = Duration::from_secs(10);

/// How long to wait for what is under way when the outpost stops.
const STOP_GRACE: Duration = Duration::from_secs(3);

/// A tunnel that lasted so long was no failure.
const LASTED: Duration = Duration::from_secs(60);

/// The name in the handshake, which counts for nothing.
const SERVER_NAME: &str = "komainu";

/// What an outpost is made of.
#[derive(Debug)]
pub struct OutpostConfig {
    /// `HOST:PORT` of the sensor.
    pub sensor: String,
    /// The SHA-256 of the sensor's certificate.
    pub fingerprint: Sha256Digest,
    /// By what the sensor knows it.
    pub key: TunnelKey,
    /// What strangers reach here.
    pub exposed: Vec<Exposed>,
    /// How many of them.
    pub limits: OutpostLimits,
}

/// A port of this machine at which strangers reach a device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exposed {
    /// Where it listens.
    pub listen: SocketAddrV4,
    /// The address that strangers call, when that is not the same.
    pub called: Ipv4Addr,
    /// The device's port.
    pub port: u16,
    /// How it is carried.
    pub transport: RelayTransport,
    /// The device.
    pub device: ApplianceName,
}

/// How many strangers an outpost carries at the same time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OutpostLimits {
    /// Connections. A further one is reset.
    pub connections_max: usize,
    /// Connections of one source. A further one is reset.
    pub connections_per_source_max: usize,
    /// Conversations in datagrams. What would begin a further one is dropped.
    pub conversations_max: usize,
    /// Conversations of one source. What would begin a further one is dropped.
    pub conversations_per_source_max: usize,
}

impl Default for OutpostLimits {
    /// With 128 KiB that may wait for each, 192 MiB at most.
    fn default() -> Self {
        Self {
            connections_max: 1_024,
            connections_per_source_max: 64,
            conversations_max: 512,
            conversations_per_source_max: 32,
        }
    }
}

/// Why an outpost cannot begin.
#[derive(Debug, thiserror::Error)]
pub enum OutpostError {
    /// A port could not be opened.
    #[error("cannot open {transport} {address}")]
    Open {
        /// How it is carried.
        transport: &'static str,
        /// Where.
        address: SocketAddrV4,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// There can be no tunnel.
    #[error("cannot make the tunnel ready")]
    Tunnel(#[from] io::Error),
}

/// Why there is no tunnel, or no more.
#[derive(Debug, thiserror::Error)]
enum Lost {
    #[error("cannot find the sensor: {0}")]
    Resolve(io::Error),
    #[error("cannot reach the sensor: {0}")]
    Connect(#[from] quinn::ConnectError),
    #[error(transparent)]
    Cut(#[from] ConnectionError),
    #[error("the sensor did not say what it has to")]
    Greeting,
    #[error(transparent)]
    Open(#[from] OutpostError),
}

/// A process that carries strangers.
#[derive(Debug)]
pub struct Outpost {
    shared: Arc<Shared>,
    sensor: String,
    exposed: Vec<Exposed>,
    client: quinn::ClientConfig,
    /// What its pauses differ by from those of other outposts.
    seed: u64,
}

/// What all that is carried has in common.
#[derive(Debug)]
struct Shared {
    connections: Arc<Doorkeeper>,
    conversations: Arc<Doorkeeper>,
    limit: LogBudget,
    refused: LogBudget,
}

/// A port that is open.
struct Port {
    shared: Arc<Shared>,
    connection: Connection,
    exposed: Exposed,
    /// Closes when everything that is carried is over.
    _alive: mpsc::Sender<()>,
}

impl Outpost {
    /// Sees whether it has what it needs: each port is opened once and closed again.
    pub async fn new(config: OutpostConfig) -> Result<Self, OutpostError> {
        let OutpostConfig { sensor, fingerprint, key, exposed, limits } = config;
        open(&exposed).await?;
        let limits = SensorLimits {
            connections_max: limits.connections_max,
            connections_per_source_max: limits.connections_per_source_max,
            connections_per_network_max: limits.connections_max,
            flows_max: limits.conversations_max,
            flows_per_source_max: limits.conversations_per_source_max,
            flows_per_network_max: limits.conversations_max,
            ..SensorLimits::default()
        };
        let shared = Shared {
            connections: Doorkeeper::of_connections(&limits),
            conversations: Doorkeeper::of_flows(&limits),
            limit: LogBudget::default(),
            refused: LogBudget::default(),
        };
        let (client, seed) = (outpost_side(&key, fingerprint)?, key.fingerprint().first_bytes());
        Ok(Self { shared: Arc::new(shared), sensor, exposed, client, seed })
    }

    /// Carries strangers until `stop` resolves.
    pub async fn run(self, stop: impl Future<Output = ()>) -> Result<(), OutpostError> {
        let mut stop = std::pin::pin!(stop);
        let mut failures = 0;
        loop {
            let began = Instant::now();
            let lost = tokio::select! {
                biased;
                () = stop.as_mut() => break,
                joined = self.join() => match joined {
                    Err(lost) => lost,
                    Ok((connection, endpoint)) => match self.carry(&connection, stop.as_mut()).await {
                        None => {
                            // So that the sensor knows at once.
                            let _ = timeout(STOP_GRACE, endpoint.wait_idle()).await;
                            break;
                        }
                        Some(lost) => lost,
                    }
                },
            };
            failures = if began.elapsed() >= LASTED { 1 } else { failures + 1 };
            let pause = pause_after(failures, self.seed);
            let (sensor, retry_ms) = (&self.sensor, pause.as_millis());
            warn!(event = events::TUNNEL_CLOSED, sensor, error = %lost, retry_ms, "no tunnel to the sensor; ports are closed");
            tokio::select! {
                biased;
                () = stop.as_mut() => break,
                () = sleep(pause) => {}
            }
        }
        info!(event = events::STOPPED, "outpost has stopped");
        Ok(())
    }

    /// Opens a tunnel, and waits for the sensor to greet: before that it has not said that it knows this outpost.
    async fn join(&self) -> Result<(Connection, quinn::Endpoint), Lost> {
        let address = timeout(RESOLVE_TIMEOUT, lookup_host(&self.sensor)).await;
        let address =
            address.map_err(|_| Lost::Resolve(io::ErrorKind::TimedOut.into()))?.map_err(Lost::Resolve)?.next();
        let address = address.ok_or_else(|| Lost::Resolve(io::ErrorKind::NotFound.into()))?;
        let here = match address {
            SocketAddr::V4(_) => SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)),
            SocketAddr::V6(_) => SocketAddr::from((std::net::Ipv6Addr::UNSPECIFIED, 0)),
        };
        let endpoint = tunnel::endpoint(here, None).map_err(OutpostError::Tunnel)?;
        let connection = endpoint.connect_with(self.client.clone(), address, SERVER_NAME)?.await?;
        let mut version = [0; 1];
        let greeted = timeout(GREETING_TIMEOUT, async {
            let mut greeting = connection.accept_uni().await?;
            Ok::<_, ConnectionError>(greeting.read_exact(&mut version).await.is_ok())
        });
        match greeted.await {
            Ok(Ok(true)) if version == [VERSION] => Ok((connection, endpoint)),
            Ok(Err(cut)) => Err(cut.into()),
            Ok(Ok(_)) | Err(_) => {
                tunnel::close(&connection, Goodbye::Malformed);
                Err(Lost::Greeting)
            }
        }
    }

    /// Opens the ports while the tunnel is there; why it is no more, or none when the outpost stops.
    async fn carry(&self, connection: &Connection, stop: impl Future<Output = ()>) -> Option<Lost> {
        let (alive, mut gone) = mpsc::channel(1);
        let lost = match open(&self.exposed).await {
            Err(error) => Some(error.into()),
            Ok(opened) => {
                info!(event = events::TUNNEL_OPEN, sensor = self.sensor, ports = opened.len(), "strangers are carried");
                for (exposed, listener) in self.exposed.iter().zip(opened) {
                    let (shared, connection, alive) = (self.shared.clone(), connection.clone(), alive.clone());
                    let port = Arc::new(Port { shared, connection, exposed: exposed.clone(), _alive: alive });
                    match listener {
                        Listener::Tcp(listener) => drop(tokio::spawn(connections::accept_all(port, listener))),
                        Listener::Udp(socket) => drop(tokio::spawn(conversations::receive_all(port, socket))),
                    }
                }
                tokio::select! {
                    biased;
                    () = stop => None,
                    cut = connection.closed() => Some(cut.into()),
                }
            }
        };
        // Everything that is carried ends with the tunnel.
        tunnel::close(connection, Goodbye::Stopping);
        drop(alive);
        let _ = timeout(STOP_GRACE, gone.recv()).await;
        lost
    }
}

enum Listener {
    Tcp(TcpListener),
    Udp(UdpSocket),
}

/// Opens all ports, or none.
async fn open(exposed: &[Exposed]) -> Result<Vec<Listener>, OutpostError> {
    let mut opened = Vec::with_capacity(exposed.len());
    for one in exposed {
        let listener = match one.transport {
            RelayTransport::Tcp => TcpListener::bind(one.listen).await.map(Listener::Tcp),
            RelayTransport::Udp => UdpSocket::bind(one.listen).await.map(Listener::Udp),
        };
        let transport = one.transport.as_str();
        opened.push(listener.map_err(|source| OutpostError::Open { transport, address: one.listen, source })?);
    }
    Ok(opened)
}

impl Port {
    /// The first words of a stream for a stranger.
    fn opening(&self, client: SocketAddrV4) -> Opening {
        let Exposed { called, port, transport, device, .. } = &self.exposed;
        Opening { transport: *transport, client, called: SocketAddrV4::new(*called, *port), device: device.clone() }
    }

    /// A stream of the tunnel that begins with these words.
    async fn stream(&self, client: SocketAddrV4) -> Result<(quinn::SendStream, quinn::RecvStream), &'static str> {
        let opened = async {
            let (mut to, from) = self.connection.open_bi().await.map_err(|_| "tunnel")?;
            to.write_all(&self.opening(client).to_bytes()).await.map_err(|_| "tunnel")?;
            Ok((to, from))
        };
        timeout(STREAM_TIMEOUT, opened).await.map_err(|_| "sensor_streams_max")?
    }

    fn log_limit(&self, limit: &'static str, address: SocketAddrV4) {
        if let Some(suppressed) = self.shared.limit.take_now() {
            warn!(event = events::LIMIT_REACHED, limit, %address, suppressed, "stranger is not carried");
        }
    }

    /// Says why the sensor would not have a stranger. A connection that was reset is nothing to tell.
    fn log_refused(&self, reason: &'static str, address: SocketAddrV4) {
        if reason == BreakOff::Reset.as_str() {
            return;
        }
        if let Some(suppressed) = self.shared.refused.take_now() {
            let Exposed { device, port, .. } = &self.exposed;
            warn!(event = events::STRANGER_REFUSED, %device, port, %address, reason, suppressed, "stranger was refused");
        }
    }
}
