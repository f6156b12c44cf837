//! What goes to and from a device on its wire, frame by frame: kept in a ring on the disk, cut out for each session, and
//! read where the kernel carries it past the relay.
//!
//! Each device has a thread of its own, because it writes to the disk. It ends when nobody can ask it for anything any
//! more. Worst case for all devices together, in bytes: 64 MiB for the indexes, 256 MiB for connections of which segments
//! are missing, 640 KiB for each device.

mod frames;
mod index;
mod ring;

use std::collections::VecDeque;
use std::future::pending;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use komainu_decode::Transport;
use komainu_decode::capture::{Frame as DecodedFrame, PacketTime};
use komainu_decode::flows::{Flow as SeenFlow, FlowLimits, FlowTable};
use komainu_decode::packet::{self, Content, LinkType};
use komainu_model::{Appliance, ApplianceIndex, RelayMode, RelayTransport};
use komainu_ports::{Clock, DeviceGate, LogBudget, RecordedSession};
use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep_until, timeout};
use tracing::{error, info, warn};

use self::frames::{Frame, Frames};
use self::index::{Index, IndexLimits, Key, LeftOut};
pub use self::ring::RING_BYTES_MIN;
use self::ring::Ring;
use crate::capture_store::CaptureStore;
use crate::events;
use crate::flow_records::{Admit, EndedFlow, FlowRecords};
use crate::pcapng::{self, Packet};
use crate::session::{Ending, Flow, Recorder, Target, community_id};

/// Between the end of a session and its cut-out: both ends still say that they end, and have heard it.
const CUT_DELAY: Duration = Duration::from_millis(250);

/// How long a session's summary waits for the cut-out: a disk that hangs must not keep records back.
const CUT_TIMEOUT: Duration = Duration::from_secs(5);

/// Sessions of a device that wait to be cut out: a second's worth of the fastest relay. A further one is not.
const CUTS_WAITING_MAX: usize = 4_096;

/// Frames that are read before anything else gets its turn.
const FRAMES_AT_ONCE: usize = 256;

/// How often the disk is written to at least, and silent connections are looked for.
const TICK: Duration = Duration::from_secs(1);

/// How long after a socket could not be had it is asked for again.
const OPEN_RETRY: Duration = Duration::from_secs(10);

/// What all indexes together may hold, divided among the devices; and what each has at least.
const INDEXED_SESSIONS_MAX: usize = 65_536;
const INDEXED_PACKETS_MAX: usize = 1 << 20;
const INDEXED_SESSIONS_MIN: usize = 1_024;
const INDEXED_PACKETS_MIN: usize = 16_384;

/// Connections that are read as they pass by, of all devices together, divided among them; and what each has at least.
const PASSING_MAX: usize = 1_024;
const PASSING_MIN: usize = 16;

/// Bytes of such a connection that wait for missing segments, in each direction: what a window has in flight.
const PASSING_HELD_BYTES_MAX: usize = 128 * 1024;

/// Such connections of one device that begin in a second and are recorded. Each makes two lines at least, and nothing but
/// the device bounds how many strangers begin.
const PASSING_NEW_PER_S_MAX: u32 = 200;

/// What is kept of devices' frames.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CaptureConfig {
    /// The folder of all rings; each device has one below, with its name.
    pub folder: PathBuf,
    /// Bytes of the ring of each device, at least 8 MiB; 0 keeps no frames, and then cuts nothing out of them.
    pub ring_bytes_max: u64,
    /// Bytes of the frames of one session that are cut out; the rest is counted.
    pub session_bytes_max: u64,
}

/// What captures share.
pub(super) struct CaptureParts {
    pub(super) config: CaptureConfig,
    pub(super) store: Arc<CaptureStore>,
    pub(super) gate: Arc<dyn DeviceGate>,
    pub(super) recorder: Arc<Recorder>,
    pub(super) clock: Arc<dyn Clock>,
    /// Is dropped when a thread has ended.
    pub(super) _alive: mpsc::Sender<()>,
}

/// The way to the threads, by the devices' places.
pub(super) struct Captures {
    /// A thread ends when nobody can ask it.
    cuts: Vec<Option<mpsc::Sender<Cut>>>,
    /// Whether there is something to cut out of.
    has_rings: bool,
    refused: LogBudget,
}

/// Resolves when each device's frames are seen, or cannot be for now.
pub(super) type Begun = Vec<oneshot::Receiver<()>>;

/// A session that is over and is to be cut out.
struct Cut {
    key: Key,
    name: CutName,
    answer: oneshot::Sender<Option<String>>,
}

/// What a cut-out says of its session.
struct CutName {
    session: String,
    community_id: String,
}

impl Captures {
    /// Begins to capture the frames of devices.
    pub(super) fn start(parts: CaptureParts, devices: &[(&Appliance, &Arc<Target>)]) -> io::Result<(Self, Begun)> {
        let passing = devices.iter().filter(|(appliance, _)| !kernel_ports(appliance).is_empty()).count();
        let (mut cuts, mut begun) = (Vec::new(), Vec::new());
        let parts = Arc::new(parts);
        for (index, (appliance, target)) in (0..).map(ApplianceIndex).zip(devices) {
            let kernel_ports = kernel_ports(appliance);
            if parts.config.ring_bytes_max == 0 && kernel_ports.is_empty() {
                cuts.push(None);
                continue;
            }
            let (sender, asked) = mpsc::channel(CUTS_WAITING_MAX);
            let (began, begins) = oneshot::channel();
            let kept = Kept::open(&parts.config, appliance, devices.len())?;
            let passing = (!kernel_ports.is_empty()).then(|| Passing::new(&parts, appliance, target, passing));
            let thread = Thread {
                parts: parts.clone(),
                device: index,
                appliance: (*appliance).clone(),
                frames: None,
                open_at: Instant::now(),
                is_told: false,
                asked,
                began: Some(began),
                kept,
                passing,
                kernel_ports,
                waiting: VecDeque::new(),
                tick_at: Instant::now() + TICK,
                dropped: 0,
                refused: LogBudget::default(),
            };
            let runtime = Handle::current();
            std::thread::Builder::new().name("komainu-capture".into()).spawn(move || runtime.block_on(thread.run()))?;
            cuts.push(Some(sender));
            begun.push(begins);
        }
        Ok((Self { cuts, has_rings: parts.config.ring_bytes_max > 0, refused: LogBudget::default() }, begun))
    }

    /// Cuts out a session that is over, whose leg to the device has the local address `leg`. Gives back the name of the
    /// file, if there is one.
    pub(super) async fn cut(
        &self,
        device: ApplianceIndex,
        leg: SocketAddr,
        flow: Flow,
        session: &str,
    ) -> Option<String> {
        let (SocketAddr::V4(leg), Some(Some(cuts))) = (leg, self.cuts.get(usize::from(device.0))) else { return None };
        if !self.has_rings {
            return None;
        }
        let name = CutName { session: session.to_owned(), community_id: community_id(flow) };
        let (answer, answered) = oneshot::channel();
        let key = (flow.transport, leg, flow.server.port());
        if cuts.try_send(Cut { key, name, answer }).is_err() {
            log_limit(&self.refused, "cuts_waiting_max", 1);
            return None;
        }
        match timeout(CUT_TIMEOUT, answered).await {
            // A thread that is gone cuts nothing out.
            Ok(answer) => answer.ok().flatten(),
            Err(_elapsed) => {
                log_limit(&self.refused, "cut_timeout", 1);
                None
            }
        }
    }
}

fn log_limit(budget: &LogBudget, limit: &'static str, count: u64) {
    if let Some(suppressed) = budget.take_now() {
        warn!(event = events::LIMIT_REACHED, limit, count, suppressed, "less is captured than there was");
    }
}

/// The TCP ports that strangers reach past the relay.
fn kernel_ports(appliance: &Appliance) -> Vec<u16> {
    let is_passing = |transport, relay| transport == RelayTransport::Tcp && relay == RelayMode::Kernel;
    appliance.ports.iter().filter(|one| is_passing(one.transport, one.relay)).map(|one| one.port).collect()
}

/// The frames that are kept.
struct Kept {
    ring: Ring,
    index: Index,
    /// Where a frame's block is read into.
    block: Vec<u8>,
}

impl Kept {
    fn open(config: &CaptureConfig, appliance: &Appliance, devices: usize) -> io::Result<Option<Self>> {
        if config.ring_bytes_max == 0 {
            return Ok(None);
        }
        let folder = config.folder.join(appliance.name.as_str());
        let ring = Ring::open(&folder, appliance.interface.as_str(), config.ring_bytes_max)?;
        let limits = IndexLimits {
            sessions_max: (INDEXED_SESSIONS_MAX / devices.max(1)).max(INDEXED_SESSIONS_MIN),
            packets_max: (INDEXED_PACKETS_MAX / devices.max(1)).max(INDEXED_PACKETS_MIN),
            session_bytes_max: config.session_bytes_max,
        };
        Ok(Some(Self { ring, index: Index::new(limits), block: Vec::new() }))
    }

    /// The frames of a session as a file; none when there are none.
    fn cut(&mut self, key: &Key, name: &CutName, appliance: &Appliance) -> Option<Vec<u8>> {
        let mut session = self.index.take(key)?;
        self.ring.flush();
        let (mut blocks, mut first, mut packets) = (Vec::new(), Vec::new(), 0u64);
        for place in &session.places {
            if !self.ring.read(*place, &mut self.block) {
                session.left_out.add(u64::from(place.bytes));
                continue;
            }
            packets += 1;
            if packets == 1 {
                first.clone_from(&self.block);
            } else {
                blocks.extend_from_slice(&self.block);
            }
        }
        self.ring.end_reading();
        if packets == 0 {
            return None;
        }
        let CutName { session: id, community_id } = name;
        let LeftOut { packets: left_out, bytes } = session.left_out;
        let comment = format!(
            "Komainu session {id}, community id {community_id}, device {}: {packets} packets; left out {left_out} \
             packets with {bytes} bytes",
            appliance.name
        );
        let mut file = pcapng::beginning(appliance.interface.as_str(), Some(&comment));
        // Also with a packet, for programs that merge files forget what stands in front.
        pcapng::add_commented(&mut file, &first, &format!("Komainu session {id}"));
        file.extend_from_slice(&blocks);
        Some(file)
    }
}

/// Connections that the kernel carries past the relay.
struct Passing {
    table: FlowTable,
    records: FlowRecords,
}

impl Passing {
    fn new(parts: &CaptureParts, appliance: &Appliance, target: &Arc<Target>, devices: usize) -> Self {
        let flows_max = (PASSING_MAX / devices.max(1)).max(PASSING_MIN);
        let limits = FlowLimits { flows_max, held_bytes_max: PASSING_HELD_BYTES_MAX, ..FlowLimits::default() };
        let admit = admit(appliance);
        let records = FlowRecords::new(parts.recorder.clone(), target.clone(), Ending::Stopped, admit);
        Self { table: FlowTable::new(limits), records }
    }
}

/// Admits connections of strangers to the ports that the kernel relays, at the address that strangers call.
fn admit(appliance: &Appliance) -> Admit {
    let ports = kernel_ports(appliance);
    let (address, called) = (appliance.address, appliance.public_address.unwrap_or(appliance.address));
    let budget = LogBudget::default();
    let (mut second, mut begun, mut left_out) = (0, 0, 0);
    Box::new(move |flow: &SeenFlow| {
        let port = flow.server.port();
        if flow.transport != Transport::Tcp || flow.server.ip() != address || !ports.contains(&port) {
            return None;
        }
        let now = flow.begin.unix_micros() / 1_000_000;
        if now != second {
            if left_out > 0 {
                log_limit(&budget, "passing_new_per_s_max", std::mem::take(&mut left_out));
            }
            (second, begun) = (now, 0);
        }
        begun += 1;
        if begun > PASSING_NEW_PER_S_MAX {
            left_out += 1;
            return None;
        }
        Some(Flow { transport: Transport::Tcp, client: flow.client, server: SocketAddr::new(called.into(), port) })
    })
}

/// The capture of one device.
struct Thread {
    parts: Arc<CaptureParts>,
    device: ApplianceIndex,
    appliance: Appliance,
    /// None while they cannot be had.
    frames: Option<Frames>,
    /// When they are asked for next, while they cannot be had.
    open_at: Instant,
    /// Whether it was told that they cannot be had.
    is_told: bool,
    asked: mpsc::Receiver<Cut>,
    began: Option<oneshot::Sender<()>>,
    kept: Option<Kept>,
    passing: Option<Passing>,
    kernel_ports: Vec<u16>,
    /// Sessions that are over, the first one first.
    waiting: VecDeque<Waiting>,
    tick_at: Instant,
    /// Frames that the kernel dropped since the last tick.
    dropped: u64,
    refused: LogBudget,
}

/// A session that is cut out when it is due.
struct Waiting {
    due: Instant,
    key: Key,
    name: CutName,
    then: Then,
}

/// What follows when a session is cut out.
enum Then {
    /// Whoever relayed it writes its summary.
    Tell(oneshot::Sender<Option<String>>),
    /// Its summary is written.
    Write(Box<EndedFlow>),
}

/// What wakes a thread.
enum Wake {
    Asked(Option<Cut>),
    Ready(io::Result<()>),
    Due,
}

impl Thread {
    async fn run(mut self) {
        loop {
            if self.frames.is_none() && Instant::now() >= self.open_at {
                self.open().await;
            }
            if let Some(began) = self.began.take() {
                // Nobody need wait for it.
                let _ = began.send(());
            }
            let due = self.waiting.front().map_or(self.tick_at, |first| first.due.min(self.tick_at));
            let wake = tokio::select! {
                biased;
                asked = self.asked.recv(), if self.waiting.len() < CUTS_WAITING_MAX => Wake::Asked(asked),
                ready = ready(self.frames.as_ref()) => Wake::Ready(ready),
                () = sleep_until(due) => Wake::Due,
            };
            match wake {
                Wake::Asked(Some(Cut { key, name, answer })) => self.wait_for(key, name, Then::Tell(answer)),
                Wake::Asked(None) => break,
                Wake::Ready(ready) => {
                    if let Err(error) = ready.and_then(|()| self.take_frames()) {
                        self.close(&error);
                    }
                }
                Wake::Due => {}
            }
            // Also when there are always frames.
            let now = Instant::now();
            self.carry_out(Some(now));
            if now >= self.tick_at {
                self.tick(now);
            }
        }
        self.finish();
    }

    async fn open(&mut self) {
        let opened = self.parts.gate.capture(self.device).await.map_err(io::Error::other).and_then(Frames::new);
        let device = &self.appliance.name;
        match opened {
            Ok(frames) => {
                info!(event = events::CAPTURE_BEGAN, %device, "frames of a device are captured");
                (self.frames, self.is_told) = (Some(frames), false);
            }
            Err(error) => {
                self.open_at = Instant::now() + OPEN_RETRY;
                if !std::mem::replace(&mut self.is_told, true) {
                    warn!(event = events::CAPTURE_FAILED, %device, %error, "frames of a device are not captured");
                }
            }
        }
    }

    /// A socket whose interface went down or away says so, and would see nothing of one that comes in its place.
    fn close(&mut self, error: &io::Error) {
        let device = &self.appliance.name;
        warn!(event = events::CAPTURE_FAILED, %device, %error, "frames of a device are not captured");
        (self.frames, self.is_told) = (None, true);
        self.open_at = Instant::now() + TICK;
    }

    fn take_frames(&mut self) -> io::Result<()> {
        let Some(mut frames) = self.frames.take() else { return Ok(()) };
        let taken = frames.take(FRAMES_AT_ONCE, |frame| self.take_frame(&frame));
        self.frames = Some(frames);
        self.wait_for_ended();
        taken
    }

    fn take_last_frames(&mut self) {
        let Some(mut frames) = self.frames.take() else { return };
        // What goes wrong here would have been asked for again.
        let _ = frames.take_last(FRAMES_AT_ONCE, |frame| self.take_frame(&frame));
    }

    fn take_frame(&mut self, frame: &Frame<'_>) {
        self.dropped += frame.dropped_before;
        let now_ns = || u64::try_from(self.parts.clock.now().unix_millis()).unwrap_or(0).saturating_mul(1_000_000);
        let at_unix_ns = frame.at_unix_ns.unwrap_or_else(now_ns);
        let place = self.kept.as_mut().and_then(|kept| {
            let Frame { direction, bytes, wire_bytes, dropped_before, .. } = *frame;
            kept.ring.add(&Packet { at_unix_ns, direction, bytes, wire_bytes, dropped_before })
        });
        let Ok(packet) = packet::parse(LinkType::Ethernet, frame.bytes) else { return };
        let key = self.key(&packet);
        if let (Some(key), Some(kept)) = (key, &mut self.kept) {
            kept.index.add(key, place, frame.bytes.len() as u64);
        }
        // A piece of a packet does not say of which port it is; the table puts it together and finds out.
        let is_piece = matches!(packet.content, Content::Fragment(_));
        let is_passing =
            key.is_some_and(|(transport, _, port)| transport == Transport::Tcp && self.kernel_ports.contains(&port));
        if let Some(passing) = self.passing.as_mut().filter(|_| is_piece || is_passing) {
            let at = PacketTime::from_unix_micros(i64::try_from(at_unix_ns / 1_000).unwrap_or(i64::MAX));
            let frame = DecodedFrame { at, link: Some(LinkType::Ethernet), bytes: frame.bytes };
            passing.table.frame(&frame, &mut passing.records);
        }
    }

    /// The session that a packet is of: one with a port that the device exposes.
    fn key(&self, packet: &packet::Packet<'_>) -> Option<Key> {
        let (transport, exposed, source, destination) = match &packet.content {
            Content::Tcp(segment) => {
                (Transport::Tcp, RelayTransport::Tcp, segment.source_port, segment.destination_port)
            }
            Content::Udp(datagram) => {
                (Transport::Udp, RelayTransport::Udp, datagram.source_port, datagram.destination_port)
            }
            Content::Fragment(_) | Content::Other(_) => return None,
        };
        let (stranger, port) = if packet.destination == self.appliance.address {
            (SocketAddr::new(packet.source, source), destination)
        } else if packet.source == self.appliance.address {
            (SocketAddr::new(packet.destination, destination), source)
        } else {
            return None;
        };
        let is_exposed = self.appliance.ports.iter().any(|one| (one.port, one.transport) == (port, exposed));
        match stranger {
            SocketAddr::V4(stranger) if is_exposed => Some((transport, stranger, port)),
            SocketAddr::V4(_) | SocketAddr::V6(_) => None,
        }
    }

    /// Has those that passed by and are over cut out like any other.
    fn wait_for_ended(&mut self) {
        let Some(passing) = &mut self.passing else { return };
        for ended in passing.records.take_ended() {
            // The device's end is IPv4, so this one is as well.
            let SocketAddr::V4(client) = ended.seen.client else { continue };
            let key = (ended.seen.transport, client, ended.seen.server.port());
            let name = CutName {
                session: ended.keeper.session_id().to_owned(),
                community_id: community_id(ended.keeper.flow()),
            };
            self.wait_for(key, name, Then::Write(Box::new(ended)));
        }
    }

    fn wait_for(&mut self, key: Key, name: CutName, then: Then) {
        self.waiting.push_back(Waiting { due: Instant::now() + CUT_DELAY, key, name, then });
    }

    /// Cuts out the sessions that are due; all of them without a time.
    fn carry_out(&mut self, now: Option<Instant>) {
        while self.waiting.front().is_some_and(|first| now.is_none_or(|now| first.due <= now)) {
            let Some(Waiting { key, name, then, .. }) = self.waiting.pop_front() else { return };
            let file = self.kept.as_mut().and_then(|kept| kept.cut(&key, &name, &self.appliance));
            let stored = file.zip(RecordedSession::parse(&name.session)).and_then(|(file, session)| {
                let confidentiality = self.appliance.release_state.confidentiality();
                let is_stored = self.parts.store.add(session, confidentiality, &file);
                is_stored.then(|| CaptureStore::file_name(session, confidentiality))
            });
            match then {
                // Whoever asked may have gone.
                Then::Tell(answer) => drop(answer.send(stored)),
                Then::Write(mut ended) => {
                    if let Some(name) = stored {
                        ended.keeper.captured_in(name);
                    }
                    ended.write();
                }
            }
        }
    }

    fn tick(&mut self, now: Instant) {
        self.tick_at = now + TICK;
        let device = &self.appliance.name;
        let dropped = std::mem::take(&mut self.dropped);
        if dropped > 0 {
            warn!(event = events::FRAMES_DROPPED, %device, frames = dropped, "frames came faster than they were read");
        }
        if let Some(kept) = &mut self.kept {
            if let Some(lost) = kept.ring.try_again() {
                let (frames, error) = (lost.frames, lost.error.as_ref().map(tracing::field::display));
                error!(event = events::FRAMES_NOT_WRITTEN, %device, frames, error, "frames of a device are not kept");
            }
            let swept = kept.index.take_swept();
            if swept > 0 {
                log_limit(&self.refused, "indexed_sessions_max", swept);
            }
        }
        if let Some(passing) = &mut self.passing {
            let now = self.parts.clock.now().unix_millis().saturating_mul(1_000);
            passing.table.pass_time(PacketTime::from_unix_micros(now), &mut passing.records);
            self.wait_for_ended();
        }
    }

    /// Takes what has come, and writes down everything.
    fn finish(mut self) {
        self.take_last_frames();
        if let Some(passing) = &mut self.passing {
            passing.table.finish(&mut passing.records);
        }
        self.wait_for_ended();
        self.carry_out(None);
        self.tick(Instant::now());
    }
}

/// Waits for frames; for ever while there is no socket.
async fn ready(frames: Option<&Frames>) -> io::Result<()> {
    match frames {
        Some(frames) => frames.ready().await,
        None => pending().await,
    }
}

/// The ring of a device as one file from `since` to `until`, in microseconds since 1970, while a sensor may write to it.
/// `add` is given the file piece by piece, and says how many frames are in it.
pub fn read_ring(
    folder: &Path,
    since: i64,
    until: i64,
    add: &mut dyn FnMut(&[u8]) -> io::Result<()>,
) -> io::Result<u64> {
    ring::read(folder, since, until, add)
}
