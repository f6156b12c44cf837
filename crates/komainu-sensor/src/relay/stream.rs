//! Connections of strangers to devices: bytes go both ways and are recorded on the way.

use std::cell::RefCell;
use std::io;
use std::net::SocketAddrV4;
use std::sync::Arc;
use std::time::Duration;

use komainu_decode::{Conversation, Side, Transport};
use komainu_model::{ApplianceIndex, RelayTransport};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tracing::{debug, warn};

use super::end::End;
use super::{Shared, v4};
use crate::events;
use crate::limits::Ticket;
use crate::session::{Ending, Flow, OutpostIdentity, Session};
use crate::tunnel::BreakOff;

/// Bytes that are read at once, and the most of each direction that waits for its receiver.
const READ_BYTES: usize = 16 * 1024;

/// How long a device may take to accept a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Bytes that one stranger may have from a device: minutes of a camera's video, or a whole share of small files.
const DEVICE_BYTES_MAX: u64 = 256 << 20;

/// How long the accepting loop rests when the kernel has no connection for us, for want of file descriptors mostly.
const ACCEPT_RETRY: Duration = Duration::from_millis(50);

thread_local! {
    /// A session that waits holds no buffer.
    static READ: RefCell<Vec<u8>> = RefCell::new(vec![0; READ_BYTES]);
}

/// Takes strangers' connections until the relay stops.
pub(super) async fn accept_all(shared: Arc<Shared>, listener: TcpListener) {
    loop {
        let accepted = tokio::select! {
            biased;
            () = shared.stopped() => return,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, client)) => take(&shared, stream, v4(client)),
            Err(error) => {
                warn!(event = events::ACCEPT_FAILED, port = 0, %error, "cannot accept connections");
                sleep(ACCEPT_RETRY).await;
            }
        }
    }
}

fn take(shared: &Arc<Shared>, stream: TcpStream, client: Option<SocketAddrV4>) {
    // What was not redirected by the packet filter came for no device.
    let original = stream.local_addr().ok().and_then(v4);
    let (Some(client), Some(original)) = (client, original) else { return };
    let Some((device, _)) = shared.called(RelayTransport::Tcp, original) else { return };
    shared.acquainted.meet(Instant::now(), (*client.ip()).into());
    match shared.doorkeeper.admit((*client.ip()).into()) {
        Ok(ticket) => {
            let _ = stream.set_nodelay(true);
            let visit = Visit { shared: shared.clone(), client, original, device, outpost: None };
            drop(tokio::spawn(serve(visit, End::Socket(stream), ticket)));
        }
        Err(limit) => shared.log_refused(limit, client),
    }
}

/// A stranger's connection to a device.
pub(super) struct Visit {
    pub(super) shared: Arc<Shared>,
    pub(super) client: SocketAddrV4,
    /// Whom the stranger called. The port is the device's.
    pub(super) original: SocketAddrV4,
    pub(super) device: ApplianceIndex,
    /// Where the stranger came in, when that was not at this sensor.
    pub(super) outpost: Option<Arc<OutpostIdentity>>,
}

/// Carries a connection to its end, and records it.
pub(super) async fn serve(visit: Visit, mut client: End, ticket: Ticket) {
    let shared = &visit.shared;
    let alive = shared.alive.clone();
    let Some(known) = shared.device(visit.device) else { return };
    let (began, began_at) = (Instant::now(), shared.now());
    let flow = Flow { transport: Transport::Tcp, client: visit.client.into(), server: visit.original.into() };
    let keeper = shared.recorder.begin(flow, known.target.clone(), began_at).through(visit.outpost.clone());
    let remembered = shared.visits.begin(visit.device, &keeper, (visit.client, visit.original), began_at);
    let (session, device) = (keeper.session_id(), &known.appliance.name);
    debug!(event = events::RELAYED, session, %device, address = %visit.client, "stranger is relayed");
    let mut relayed = Relayed {
        session: Session::new(keeper, Conversation::new(Transport::Tcp, visit.original.port())),
        began,
        began_at,
        idle: Duration::from_secs(shared.limits.idle_s),
        last: began + Duration::from_secs(shared.limits.connection_s_max),
        to_device: Way::new(Side::Client, shared.limits.bytes_in_max),
        to_client: Way::new(Side::Server, DEVICE_BYTES_MAX),
    };
    let mut leg = None;
    let ending = match visit.reach().await {
        Ok(device) => {
            leg = device.local_addr().ok();
            relayed.carry(client, End::Socket(device), shared).await
        }
        Err(ending) => {
            // As the device would have answered.
            client.break_off(BreakOff::Unreachable);
            ending
        }
    };
    let now = relayed.now();
    // The stranger is gone; what comes now is about the records.
    drop(ticket);
    if let Some(remembered) = remembered {
        remembered.end(now, relayed.session.keeper_of().app_proto(), relayed.to_device.bytes);
    }
    if let Some(leg) = leg {
        let keeper = relayed.session.keeper();
        if let Some(name) = shared.captures.cut(visit.device, leg, flow, keeper.session_id()).await {
            keeper.captured_in(name);
        }
    }
    relayed.session.end(now, ending);
    drop(alive);
}

impl Visit {
    /// Reaches the device with the stranger's address.
    async fn reach(&self) -> Result<TcpStream, Ending> {
        let shared = &self.shared;
        let port = self.original.port();
        let reached = async {
            let stream = shared.gate.connect(self.device, port, self.client).await.map_err(io::Error::other)?;
            let stream = TcpStream::from_std(stream)?;
            stream.writable().await?;
            match stream.take_error()? {
                None => Ok(stream),
                Some(error) => Err(error),
            }
        };
        let outcome = tokio::select! {
            biased;
            () = shared.stopped() => return Err(Ending::Stopped),
            outcome = timeout(CONNECT_TIMEOUT, reached) => outcome,
        };
        let error = match outcome {
            Ok(Ok(stream)) => {
                let _ = stream.set_nodelay(true);
                return Ok(stream);
            }
            Ok(Err(error)) => error,
            Err(_elapsed) => io::ErrorKind::TimedOut.into(),
        };
        if let Some(known) = shared.device(self.device) {
            shared.log_unreachable(known, port, &error);
        }
        Err(Ending::Closed)
    }
}

struct Relayed {
    session: Session,
    began: Instant,
    began_at: i64,
    idle: Duration,
    last: Instant,
    to_device: Way,
    to_client: Way,
}

/// One direction.
struct Way {
    /// Who speaks.
    side: Side,
    /// What was said and is not passed on yet. Nothing more is read meanwhile.
    waiting: Vec<u8>,
    /// How much of it is passed on.
    passed: usize,
    bytes: u64,
    bytes_max: u64,
    /// The speaker has said everything.
    has_ended: bool,
    /// The listener knows.
    is_told: bool,
}

impl Way {
    fn new(side: Side, bytes_max: u64) -> Self {
        Self { side, waiting: Vec::new(), passed: 0, bytes: 0, bytes_max, has_ended: false, is_told: false }
    }

    fn may_read(&self) -> bool {
        self.waiting.is_empty() && !self.has_ended
    }

    fn must_write(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Passes on what waits, as far as the listener takes it.
    fn write(&mut self, to: &mut End) -> io::Result<()> {
        while self.passed < self.waiting.len() {
            match to.try_write(&self.waiting[self.passed..]) {
                Ok(written) => self.passed += written,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        self.waiting = Vec::new();
        self.passed = 0;
        Ok(())
    }

    /// Tells the listener that the speaker has said everything, once everything is passed on.
    async fn tell_end(&mut self, to: &mut End) {
        if self.has_ended && !self.is_told && self.waiting.is_empty() && to.is_flushed() {
            to.finish().await;
            self.is_told = true;
        }
    }
}

impl Relayed {
    /// Now, in microseconds since 1970, by a clock that nobody sets meanwhile.
    fn now(&self) -> i64 {
        self.began_at.saturating_add(i64::try_from(self.began.elapsed().as_micros()).unwrap_or(i64::MAX))
    }

    async fn carry(&mut self, mut client: End, mut device: End, shared: &Shared) -> Ending {
        let mut stop = shared.stop.clone();
        let idle = sleep_until(self.last.min(Instant::now() + self.idle));
        tokio::pin!(idle);
        loop {
            self.to_device.tell_end(&mut device).await;
            self.to_client.tell_end(&mut client).await;
            if self.to_device.is_told && self.to_client.is_told {
                return Ending::Closed;
            }
            let step = tokio::select! {
                _ = stop.wait_for(|stop| *stop) => return Ending::Stopped,
                () = &mut idle => {
                    return if Instant::now() >= self.last { Ending::Bound } else { Ending::Idle };
                }
                ready = client.ready(self.to_device.may_read(), self.to_client.must_write()) => {
                    ready.and_then(|()| self.step(&mut client, &mut device))
                }
                ready = device.ready(self.to_client.may_read(), self.to_device.must_write()) => {
                    ready.and_then(|()| self.step(&mut client, &mut device))
                }
            };
            if step.is_err() {
                // One of them has broken off: so does the other.
                client.break_off(BreakOff::Reset);
                device.break_off(BreakOff::Reset);
                return Ending::Closed;
            }
            if [&self.to_device, &self.to_client].into_iter().any(|way| way.bytes > way.bytes_max) {
                return Ending::Bound;
            }
            idle.as_mut().reset(self.last.min(Instant::now() + self.idle));
        }
    }

    /// Carries what can be carried now.
    fn step(&mut self, client: &mut End, device: &mut End) -> io::Result<()> {
        let now = self.now();
        carry_way(&mut self.to_device, &mut self.session, now, client, device)?;
        carry_way(&mut self.to_client, &mut self.session, now, device, client)
    }
}

/// Reads at most once, so that neither direction keeps the other from its turn.
fn carry_way(way: &mut Way, session: &mut Session, now: i64, from: &mut End, to: &mut End) -> io::Result<()> {
    if way.must_write() {
        way.write(to)?;
    }
    if !way.may_read() {
        return Ok(());
    }
    match READ.with_borrow_mut(|buffer| from.try_read(buffer).map(|bytes| buffer[..bytes].to_vec())) {
        Ok(said) if said.is_empty() => {
            way.has_ended = true;
            session.finish(now, way.side);
            Ok(())
        }
        Ok(said) => {
            way.bytes += said.len() as u64;
            session.data(now, way.side, &said);
            way.waiting = said;
            way.write(to)
        }
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(()),
        Err(error) => Err(error),
    }
}
