//! The sensor: personas that listen.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use komainu_decode::Transport;
use komainu_ports::{Clock, LogBudget};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, timeout};
use tracing::{info, warn};

use crate::datagrams::{self, Acquainted, DatagramSocket, ReplyBudget};
use crate::events;
use crate::host_keys::{HostKeyError, HostKeys};
use crate::limits::{ConnectionCounts, Doorkeeper, SensorLimits};
use crate::listener::{self, Edge, Entrance};
use crate::persona::{Door, Persona};
use crate::service;
use crate::session::Recorder;

/// How long connections may take to end when the sensor stops. They have nothing to do but to write their records.
const STOP_GRACE: Duration = Duration::from_secs(10);

/// What a sensor is made of.
#[derive(Debug)]
pub struct SensorConfig {
    /// What listens where.
    pub personas: Vec<Placed>,
    /// How the personas' ports are opened.
    pub ports: PortMapping,
    /// The bounds of the listeners.
    pub limits: SensorLimits,
    /// Where the personas' secret keys are kept, so that a restart shows the same ones; none makes them anew.
    pub keys_folder: Option<PathBuf>,
}

/// A persona and its address.
#[derive(Debug)]
pub struct Placed {
    /// The persona.
    pub persona: Persona,
    /// Where its ports are opened.
    pub address: IpAddr,
}

/// How the personas' ports are opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PortMapping {
    /// So much higher: ports below 1024 need rights, behind a packet filter that redirects them a sensor needs none.
    Offset(u16),
    /// Whichever the system gives: for tests.
    Any,
}

/// What a sensor needs of the rest.
pub struct SensorPorts {
    /// Writes the records.
    pub recorder: Arc<Recorder>,
    /// Tells the time.
    pub clock: Arc<dyn Clock>,
}

/// A port that is open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listening {
    /// The persona's name.
    pub persona: String,
    /// What answers, such as `telnet`.
    pub service: &'static str,
    /// How it is carried: `tcp` or `udp`.
    pub transport: &'static str,
    /// The port that the persona has it on.
    pub port: u16,
    /// Where it is open.
    pub address: SocketAddr,
}

/// Why a sensor cannot start.
#[derive(Debug, thiserror::Error)]
pub enum SensorError {
    /// A port is too high to be mapped.
    #[error("port {port} of persona {persona} and an offset of {offset} are more than 65535")]
    PortTooHigh {
        /// Whose.
        persona: String,
        /// The persona's port.
        port: u16,
        /// What was to be added.
        offset: u16,
    },
    /// A port cannot be opened.
    #[error("cannot listen on {address} for {service} of persona {persona}")]
    Bind {
        /// Where.
        address: SocketAddr,
        /// What for.
        service: &'static str,
        /// Whose.
        persona: String,
        /// Why it failed.
        #[source]
        source: io::Error,
    },
    /// A persona has no secret key.
    #[error("{service} of persona {persona} has no key")]
    Key {
        /// What needs it.
        service: &'static str,
        /// Whose.
        persona: String,
        /// Why.
        #[source]
        source: HostKeyError,
    },
}

/// Personas that listen.
#[derive(Debug)]
pub struct Sensor {
    listening: Vec<Listening>,
    doorkeeper: Arc<Doorkeeper>,
    stop: watch::Sender<bool>,
    /// Ends when every connection and every flow is gone.
    gone: mpsc::Receiver<()>,
}

/// What a port of a persona is opened as.
enum Socket {
    Stream(TcpListener),
    Datagrams(DatagramSocket),
}

impl Socket {
    fn open(address: SocketAddr, door: &Door) -> io::Result<Self> {
        match door.transport {
            Transport::Tcp => listener::bind(address).map(Self::Stream),
            Transport::Udp => datagrams::bind(address, &door.service).map(Self::Datagrams),
        }
    }

    fn address(&self) -> io::Result<SocketAddr> {
        match self {
            Self::Stream(listener) => listener.local_addr(),
            Self::Datagrams(socket) => Ok(socket.address()),
        }
    }
}

impl Sensor {
    /// Opens every port, or none.
    pub fn start(config: SensorConfig, ports: SensorPorts) -> Result<Self, SensorError> {
        let (stop, stopped) = watch::channel(false);
        let (alive, gone) = mpsc::channel(1);
        let doorkeeper = Doorkeeper::of_connections(&config.limits);
        let acquainted = Arc::new(Acquainted::default());
        let edge = Arc::new(Edge {
            recorder: ports.recorder,
            clock: ports.clock,
            doorkeeper: doorkeeper.clone(),
            flow_doorkeeper: Doorkeeper::of_flows(&config.limits),
            replies: ReplyBudget::new(acquainted.clone(), Instant::now()),
            acquainted,
            limits: Arc::new(config.limits),
            refused: LogBudget::default(),
            stop: stopped,
        });
        let keys = HostKeys::new(config.keys_folder);
        let mut opened = Vec::new();
        for Placed { persona, address } in &config.personas {
            for door in persona.doors() {
                let made = match &door.tls {
                    Some(tls) => tls.make_key(persona.name(), &keys),
                    None => Ok(()),
                };
                made.and_then(|()| service::make_keys(&door.service, &keys)).map_err(|source| {
                    let (service, persona) = (door.service.name(), persona.name().to_owned());
                    SensorError::Key { service, persona, source }
                })?;
            }
            for door in persona.doors() {
                let name = || persona.name().to_owned();
                let service = door.service.name();
                let port = match config.ports {
                    PortMapping::Any => 0,
                    PortMapping::Offset(offset) => door
                        .port
                        .checked_add(offset)
                        .ok_or_else(|| SensorError::PortTooHigh { persona: name(), port: door.port, offset })?,
                };
                let wanted = SocketAddr::new(*address, port);
                let failed = |source| SensorError::Bind { address: wanted, service, persona: name(), source };
                let socket = Socket::open(wanted, door).map_err(failed)?;
                let address = socket.address().map_err(failed)?;
                let transport = match door.transport {
                    Transport::Tcp => "tcp",
                    Transport::Udp => "udp",
                };
                let listening = Listening { persona: name(), service, transport, port: door.port, address };
                let entrance = Entrance { door: door.clone(), target: persona.target().clone(), alive: alive.clone() };
                opened.push((socket, listening, entrance));
            }
        }
        let mut listening = Vec::new();
        for (socket, open, entrance) in opened {
            let Listening { persona, service, address, .. } = &open;
            info!(event = events::LISTENING, %persona, service, %address, "listener is open");
            let (edge, entrance) = (edge.clone(), Arc::new(entrance));
            match socket {
                Socket::Stream(listener) => drop(tokio::spawn(listener::accept_all(edge, listener, entrance))),
                Socket::Datagrams(socket) => drop(tokio::spawn(datagrams::receive_all(edge, socket, entrance))),
            }
            listening.push(open);
        }
        Ok(Self { listening, doorkeeper, stop, gone })
    }

    /// What is open where.
    pub fn listening(&self) -> &[Listening] {
        &self.listening
    }

    /// What counts the connections, for as long as it is kept.
    pub fn counter(&self) -> impl Fn() -> ConnectionCounts + Send + Sync + 'static {
        let doorkeeper = self.doorkeeper.clone();
        move || doorkeeper.counts()
    }

    /// Closes everything and returns when every record is with the log.
    pub async fn shutdown(mut self) {
        let _ = self.stop.send(true);
        if timeout(STOP_GRACE, self.gone.recv()).await.is_err() {
            warn!(event = events::STOP_TIMED_OUT, "connections did not end in time");
        }
        info!(event = events::STOPPED, "sensor has stopped");
    }
}
