//! The relay: strangers speak with real devices, and everything is recorded as with a persona; and what the devices do
//! themselves is answered, held back and written down.
//!
//! Rights are elsewhere: a [`DeviceGate`] opens the way to a device, towards which the stranger's own address is used,
//! and a packet filter holds the devices whether this runs or not (docs/relay.md).

mod capture;
mod cloud;
mod datagrams;
pub(crate) mod dns;
mod egress;
mod end;
pub(crate) mod ntp;
mod outposts;
mod reset;
mod share;
mod sinkhole;
mod stream;
mod visits;

use std::collections::{HashMap, HashSet};
use std::io;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use komainu_model::{Appliance, ApplianceIndex, EgressProfile, RelayTransport};
use komainu_ports::{Clock, DeviceGate, LogBudget};
use parking_lot::Mutex;
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::time::timeout;
use tracing::{info, warn};

use self::capture::{Begun, CaptureParts, Captures};
pub use self::capture::{CaptureConfig, RING_BYTES_MIN, read_ring};
use self::datagrams::Speaker;
use self::egress::EgressRecords;
pub use self::outposts::{AllowedOutpost, OutpostsConfig};
use self::visits::Visits;
use crate::capture_store::CaptureStore;
use crate::datagrams::Acquainted;
use crate::events;
use crate::limits::{Doorkeeper, SensorLimits};
use crate::session::{Recorder, Target, TargetKind};
use crate::share::SharesFolder;

/// How long sessions may take to end when the sensor stops.
const STOP_GRACE: Duration = Duration::from_secs(10);

/// Where every name is that a device may not reach: an address for documentation (RFC 5737), where nobody is.
const NOWHERE: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 53);

/// What a relay is made of.
#[derive(Debug)]
pub struct RelayConfig {
    /// The devices, each at the place that its index says.
    pub devices: Vec<Appliance>,
    /// The bounds of strangers' sessions.
    pub limits: SensorLimits,
    /// What follows when a device turns to somebody whom it has no reason to know.
    pub on_incident: OnIncident,
    /// What is kept of the devices' frames.
    pub capture: CaptureConfig,
    /// Where what is known of devices' shared folders outlasts a restart; none forgets it.
    pub shares_folder: Option<PathBuf>,
    /// Who brings strangers from other sites; none does without it.
    pub outposts: Option<OutpostsConfig>,
}

/// What follows from an incident.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnIncident {
    /// It is written down.
    Record,
    /// It is written down, and every way to and from the device is closed.
    Quarantine,
}

/// What a relay needs of the rest.
pub struct RelayPorts {
    /// Writes the records.
    pub recorder: Arc<Recorder>,
    /// Tells the time.
    pub clock: Arc<dyn Clock>,
    /// The way to the devices.
    pub gate: Arc<dyn DeviceGate>,
    /// Takes the packets of each session.
    pub captures: Arc<CaptureStore>,
    /// Strangers' connections; the local address of each says whom they called. Does not block.
    pub strangers: std::net::TcpListener,
    /// Devices' connections to anybody; the local address of each says to whom. Does not block.
    pub sinkhole: std::net::TcpListener,
    /// Devices' questions for names. Does not block.
    pub dns: std::net::UdpSocket,
    /// Devices' questions for the time. Does not block.
    pub ntp: std::net::UdpSocket,
}

/// Real devices that strangers reach.
#[derive(Debug)]
pub struct Relay {
    stop: watch::Sender<bool>,
    /// Ends when every session is gone.
    gone: mpsc::Receiver<()>,
    begun: Begun,
}

/// What the tasks of a relay share.
struct Shared {
    devices: Vec<Known>,
    gate: Arc<dyn DeviceGate>,
    captures: Captures,
    recorder: Arc<Recorder>,
    clock: Arc<dyn Clock>,
    doorkeeper: Arc<Doorkeeper>,
    limits: SensorLimits,
    egress: EgressRecords,
    /// Who completed a TCP handshake lately.
    acquainted: Acquainted,
    /// Who speaks with devices in datagrams.
    speakers: Mutex<HashSet<Speaker>>,
    /// The addresses of each name of a maker's cloud.
    cloud: Mutex<HashMap<String, Vec<Ipv4Addr>>>,
    /// Sessions that may have changed a shared folder.
    visits: Visits,
    shares: Option<SharesFolder>,
    /// Permits for looks at shared folders.
    looks: Arc<Semaphore>,
    refused: LogBudget,
    unreachable: LogBudget,
    stop: watch::Receiver<bool>,
    /// Closes when everything that holds it is gone.
    alive: mpsc::Sender<()>,
}

/// A device and what its records say of it.
struct Known {
    appliance: Appliance,
    target: Arc<Target>,
}

impl Relay {
    /// Begins to relay.
    pub fn start(config: RelayConfig, ports: RelayPorts) -> io::Result<Self> {
        let strangers = tokio::net::TcpListener::from_std(ports.strangers)?;
        let sinkhole = tokio::net::TcpListener::from_std(ports.sinkhole)?;
        let dns = tokio::net::UdpSocket::from_std(ports.dns)?;
        let ntp = tokio::net::UdpSocket::from_std(ports.ntp)?;
        let (stop, stopped) = watch::channel(false);
        let (alive, gone) = mpsc::channel(1);
        let devices: Vec<Known> = config.devices.into_iter().map(Known::new).collect();
        let parts = CaptureParts {
            config: config.capture,
            store: ports.captures,
            gate: ports.gate.clone(),
            recorder: ports.recorder.clone(),
            clock: ports.clock.clone(),
            _alive: alive.clone(),
        };
        let captured: Vec<_> = devices.iter().map(|known| (&known.appliance, &known.target)).collect();
        let (captures, begun) = Captures::start(parts, &captured)?;
        let now = in_micros(&*ports.clock);
        let shared = Arc::new(Shared {
            egress: EgressRecords::new(config.on_incident, devices.len()),
            visits: Visits::new(&devices, now),
            shares: config.shares_folder.map(SharesFolder::new),
            looks: Arc::new(Semaphore::new(share::LOOKS_MAX)),
            devices,
            gate: ports.gate,
            captures,
            recorder: ports.recorder,
            clock: ports.clock,
            doorkeeper: Doorkeeper::of_connections(&config.limits),
            limits: config.limits,
            acquainted: Acquainted::default(),
            speakers: Mutex::default(),
            cloud: Mutex::default(),
            refused: LogBudget::default(),
            unreachable: LogBudget::default(),
            stop: stopped,
            alive,
        });
        for known in &shared.devices {
            let (device, address) = (&known.appliance.name, known.appliance.address);
            info!(event = events::DEVICE_RELAYED, %device, %address, "device is relayed");
        }
        if let Some(config) = config.outposts {
            outposts::start(&shared, config)?;
        }
        drop(tokio::spawn(stream::accept_all(shared.clone(), strangers)));
        drop(tokio::spawn(datagrams::receive_all(shared.clone())));
        drop(tokio::spawn(sinkhole::accept_all(shared.clone(), sinkhole)));
        drop(tokio::spawn(sinkhole::answer_names(shared.clone(), dns)));
        drop(tokio::spawn(sinkhole::answer_time(shared.clone(), ntp)));
        drop(tokio::spawn(egress::write_told(shared.clone())));
        drop(tokio::spawn(reset::write_news(shared.clone())));
        for (index, known) in shared.indexed() {
            if known.appliance.egress == EgressProfile::VendorCloud {
                drop(tokio::spawn(cloud::keep_open(shared.clone(), index)));
            }
            if known.appliance.share.is_some() {
                drop(tokio::spawn(share::watch(shared.clone(), index)));
            }
        }
        Ok(Self { stop, gone, begun })
    }

    /// Resolves when the devices' frames are captured, as far as they can be: who comes before may be missed there.
    pub async fn capturing(&mut self) {
        for begun in self.begun.drain(..) {
            // A thread that is gone captures nothing.
            let _ = begun.await;
        }
    }

    /// Ends every session and returns when every record is with the log.
    pub async fn shutdown(mut self) {
        let _ = self.stop.send(true);
        if timeout(STOP_GRACE, self.gone.recv()).await.is_err() {
            warn!(event = events::STOP_TIMED_OUT, "connections did not end in time");
        }
    }
}

impl Known {
    fn new(appliance: Appliance) -> Self {
        let target = Target {
            device: Some(appliance.name.to_string()),
            device_type: Some(appliance.device_type.clone()),
            maker: Some(appliance.maker.clone()),
            model: Some(appliance.model.clone()),
            firmware: appliance.firmware.clone(),
            release_state: Some(appliance.release_state.as_str()),
            ..Target::of_kind(TargetKind::Real)
        };
        Self { appliance, target: Arc::new(target) }
    }
}

impl Shared {
    fn indexed(&self) -> impl Iterator<Item = (ApplianceIndex, &Known)> {
        (0..).map(ApplianceIndex).zip(&self.devices)
    }

    fn device(&self, index: ApplianceIndex) -> Option<&Known> {
        self.devices.get(usize::from(index.0))
    }

    /// The device that strangers reach as `original`.
    fn called(&self, transport: RelayTransport, original: SocketAddrV4) -> Option<(ApplianceIndex, &Known)> {
        self.indexed().find(|(_, known)| known.appliance.relays(transport, original))
    }

    /// The device with this address.
    fn sender(&self, address: Ipv4Addr) -> Option<(ApplianceIndex, &Known)> {
        self.indexed().find(|(_, known)| known.appliance.address == address)
    }

    /// Now, in microseconds since 1970.
    fn now(&self) -> i64 {
        in_micros(&*self.clock)
    }

    async fn stopped(&self) {
        // A sender that is gone has stopped it as well.
        let _ = self.stop.clone().wait_for(|stop| *stop).await;
    }

    fn log_refused(&self, limit: &'static str, client: SocketAddrV4) {
        if let Some(suppressed) = self.refused.take_now() {
            let address = client;
            warn!(event = events::LIMIT_REACHED, limit, %address, suppressed, "stranger is not relayed");
        }
    }

    fn log_unreachable(&self, known: &Known, port: u16, error: &dyn std::fmt::Display) {
        if let Some(suppressed) = self.unreachable.take_now() {
            let device = &known.appliance.name;
            warn!(event = events::DEVICE_UNREACHABLE, %device, port, %error, suppressed, "device cannot be reached");
        }
    }
}

/// Now, in microseconds since 1970.
fn in_micros(clock: &dyn Clock) -> i64 {
    clock.now().unix_millis().saturating_mul(1000)
}

fn v4(address: SocketAddr) -> Option<SocketAddrV4> {
    match address {
        SocketAddr::V4(address) => Some(address),
        SocketAddr::V6(_) => None,
    }
}
