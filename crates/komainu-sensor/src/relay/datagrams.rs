//! Datagrams of strangers to devices. One conversation is one pair of addresses; it ends when nobody says anything.
//!
//! Whoever sends a datagram may lie about where it comes from, and the answer goes to the victim. So a stranger gets
//! at most a small multiple of what it sent.

use std::cell::RefCell;
use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddrV4};
use std::sync::Arc;
use std::time::Duration;

use komainu_decode::{Conversation, Side, Transport};
use komainu_model::{ApplianceIndex, RelayTransport};
use komainu_ports::{DatagramLegs, StrangersDatagram};
use serde::Serialize;
use tokio::net::UdpSocket;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, sleep_until};
use tracing::warn;

use super::{Known, Shared, visits};
use crate::datagrams::Acquainted;
use crate::events;
use crate::limits::Ticket;
use crate::session::{Ending, Flow, OutpostIdentity, Session};
use crate::tunnel::TunnelDatagrams;

/// How long a conversation may rest. The kernel forgets one after 120 s, after 30 s when only one side spoke; an answer
/// that comes later than that looks as if the device began.
const IDLE: Duration = Duration::from_secs(25);

/// Datagrams that wait for their conversation to be opened. More are dropped, as the network may do.
const WAITING_MAX: usize = 16;

/// Ends of conversations that wait to be noticed.
const ENDED_MAX: usize = 1_024;

/// Bytes that a device may say for each that a stranger said, once the stranger has shown by a TCP handshake that it is
/// where it says. Before that a device says no more than it was told: whoever lies about an address gains nothing by it.
const ACQUAINTED_ANSWER_FACTOR_MAX: u64 = 10;

/// The longest datagram.
const DATAGRAM_BYTES_MAX: usize = 65_535;

/// How long to rest when the socket fails.
const RETRY: Duration = Duration::from_millis(50);

thread_local! {
    static READ: RefCell<Vec<u8>> = RefCell::new(vec![0; DATAGRAM_BYTES_MAX]);
}

/// The stranger, and whom it called.
type Ends = (SocketAddrV4, SocketAddrV4);

/// Takes strangers' datagrams until the relay stops.
pub(super) async fn receive_all(shared: Arc<Shared>) {
    let mut open: HashMap<Ends, mpsc::Sender<Vec<u8>>> = HashMap::new();
    let (ended, mut endings) = mpsc::channel::<Ends>(ENDED_MAX);
    loop {
        let received = tokio::select! {
            biased;
            () = shared.stopped() => return,
            Some(ends) = endings.recv() => {
                if open.get(&ends).is_some_and(mpsc::Sender::is_closed) {
                    open.remove(&ends);
                }
                continue;
            }
            received = shared.gate.datagram() => received,
        };
        match received {
            Ok(datagram) => take(&shared, &mut open, datagram, &ended),
            Err(error) => {
                warn!(event = events::ACCEPT_FAILED, port = 0, %error, "cannot receive datagrams");
                sleep(RETRY).await;
            }
        }
    }
}

fn take(
    shared: &Arc<Shared>,
    open: &mut HashMap<Ends, mpsc::Sender<Vec<u8>>>,
    datagram: StrangersDatagram,
    ended: &mpsc::Sender<Ends>,
) {
    let StrangersDatagram { client, original, payload } = datagram;
    if let Some(conversation) = open.get(&(client, original))
        && !conversation.is_closed()
    {
        // At the bound it is dropped.
        let _ = conversation.try_send(payload);
        return;
    }
    let Some((device, _)) = shared.called(RelayTransport::Udp, original) else { return };
    match shared.doorkeeper.admit((*client.ip()).into()) {
        Ok(ticket) => {
            let (first, more) = mpsc::channel(WAITING_MAX);
            let _ = first.try_send(payload);
            open.insert((client, original), first);
            let visit = Visit { shared: shared.clone(), client, original, device };
            drop(tokio::spawn(serve_here(visit, more, ended.clone(), ticket)));
        }
        Err(limit) => shared.log_refused(limit, client),
    }
}

/// A stranger's conversation with a device.
pub(super) struct Visit {
    pub(super) shared: Arc<Shared>,
    pub(super) client: SocketAddrV4,
    /// Whom the stranger called. The port is the device's.
    pub(super) original: SocketAddrV4,
    pub(super) device: ApplianceIndex,
}

/// How a stranger is answered.
enum ToClient {
    /// A socket with the address that it called, and its datagrams before that socket was open.
    Socket(UdpSocket, mpsc::Receiver<Vec<u8>>),
    /// The tunnel of the outpost that it called.
    Tunnel(Box<TunnelDatagrams>),
}

/// Who speaks with a device: a port of a stranger's with a port of the device's.
pub(super) type Speaker = (ApplianceIndex, u16, SocketAddrV4);

/// That nobody else may be it. The device sees the same source whichever way a stranger comes, and its answer would go to
/// one of them.
struct SpeakerGuard {
    shared: Arc<Shared>,
    speaker: Speaker,
}

impl SpeakerGuard {
    fn claim(visit: &Visit) -> Option<Self> {
        let speaker = (visit.device, visit.original.port(), visit.client);
        let is_new = visit.shared.speakers.lock().insert(speaker);
        is_new.then(|| Self { shared: visit.shared.clone(), speaker })
    }
}

impl Drop for SpeakerGuard {
    fn drop(&mut self) {
        self.shared.speakers.lock().remove(&self.speaker);
    }
}

/// What a device said and a stranger was not sent.
#[derive(Debug, Default, Serialize)]
struct Withheld {
    datagrams: u64,
    bytes: u64,
}

struct Relayed {
    client: IpAddr,
    flow: Flow,
    remembered: Option<Arc<visits::Visit>>,
    session: Session,
    began: Instant,
    began_at: i64,
    to_device: UdpSocket,
    to_client: ToClient,
    bytes_in: u64,
    bytes_out: u64,
    withheld: Withheld,
}

async fn serve_here(visit: Visit, more: mpsc::Receiver<Vec<u8>>, ended: mpsc::Sender<Ends>, ticket: Ticket) {
    let alive = visit.shared.alive.clone();
    converse_here(&visit, more).await;
    let _ = ended.send((visit.client, visit.original)).await;
    drop((ticket, alive));
}

async fn converse_here(visit: &Visit, more: mpsc::Receiver<Vec<u8>>) {
    let shared = &visit.shared;
    let Some(known) = shared.device(visit.device) else { return };
    let Some(_guard) = SpeakerGuard::claim(visit) else {
        return shared.log_refused("conversations_per_port_max", visit.client);
    };
    let legs = async {
        let legs = shared.gate.datagrams(visit.device, visit.original, visit.client).await;
        let DatagramLegs { to_device, to_client } = legs.map_err(io::Error::other)?;
        Ok::<_, io::Error>((opened(to_device).await?, opened(to_client).await?))
    };
    match legs.await {
        Ok((to_device, to_client)) => {
            let to_client = ToClient::Socket(to_client, more);
            let mut relayed = Relayed::begin(visit, known, None, to_device, to_client);
            let ending = relayed.carry(shared, &shared.acquainted).await;
            relayed.end(visit, ending).await;
        }
        Err(error) => shared.log_unreachable(known, visit.original.port(), &error),
    }
}

/// Carries a conversation that came through an outpost to its end, and records it. `acquainted` knows who completed a TCP
/// handshake there.
pub(super) async fn serve_outpost(
    visit: Visit,
    outpost: Arc<OutpostIdentity>,
    acquainted: &Acquainted,
    to_client: TunnelDatagrams,
    ticket: Ticket,
) {
    let shared = &visit.shared;
    let alive = shared.alive.clone();
    let Some(known) = shared.device(visit.device) else { return };
    let Some(_guard) = SpeakerGuard::claim(&visit) else {
        return shared.log_refused("conversations_per_port_max", visit.client);
    };
    let port = visit.original.port();
    let leg = async {
        let leg = shared.gate.datagrams_to_device(visit.device, port, visit.client).await;
        opened(leg.map_err(io::Error::other)?).await
    };
    match leg.await {
        Ok(to_device) => {
            let to_client = ToClient::Tunnel(Box::new(to_client));
            let mut relayed = Relayed::begin(&visit, known, Some(outpost), to_device, to_client);
            let ending = relayed.carry(shared, acquainted).await;
            relayed.end(&visit, ending).await;
        }
        Err(error) => shared.log_unreachable(known, port, &error),
    }
    drop((ticket, alive));
}

async fn opened(socket: std::net::UdpSocket) -> io::Result<UdpSocket> {
    let socket = UdpSocket::from_std(socket)?;
    // Before the runtime has seen that something can be sent, it refuses to try.
    socket.writable().await?;
    Ok(socket)
}

impl Relayed {
    fn begin(
        visit: &Visit,
        known: &Known,
        outpost: Option<Arc<OutpostIdentity>>,
        to_device: UdpSocket,
        to_client: ToClient,
    ) -> Self {
        let Visit { shared, client, original, .. } = visit;
        let began_at = shared.now();
        let flow = Flow { transport: Transport::Udp, client: (*client).into(), server: (*original).into() };
        let keeper = shared.recorder.begin(flow, known.target.clone(), began_at).through(outpost);
        let remembered = shared.visits.begin(visit.device, &keeper, (*client, *original), began_at);
        Self {
            flow,
            remembered,
            client: (*client.ip()).into(),
            session: Session::new(keeper, Conversation::new(Transport::Udp, original.port())),
            began: Instant::now(),
            began_at,
            to_device,
            to_client,
            bytes_in: 0,
            bytes_out: 0,
            withheld: Withheld::default(),
        }
    }

    fn now(&self) -> i64 {
        self.began_at.saturating_add(i64::try_from(self.began.elapsed().as_micros()).unwrap_or(i64::MAX))
    }

    async fn carry(&mut self, shared: &Shared, acquainted: &Acquainted) -> Ending {
        let mut stop = shared.stop.clone();
        let last = self.began + Duration::from_secs(shared.limits.connection_s_max);
        let idle = sleep_until(last.min(Instant::now() + IDLE));
        tokio::pin!(idle);
        loop {
            tokio::select! {
                _ = stop.wait_for(|stop| *stop) => return Ending::Stopped,
                () = &mut idle => return if Instant::now() >= last { Ending::Bound } else { Ending::Idle },
                said = self.to_client.said() => match said {
                    Ok(Some(payload)) => self.client_said(&payload),
                    // A stranger who is gone is told by ICMP, which shows as an error: nothing came.
                    Ok(None) => {}
                    Err(_) => return Ending::Closed,
                },
                ready = self.to_device.readable() => {
                    if ready.is_err() {
                        return Ending::Closed;
                    }
                    if let Ok(payload) = receive(&self.to_device) {
                        self.device_said(&payload, acquainted);
                    }
                }
            }
            if self.bytes_in > shared.limits.bytes_in_max {
                return Ending::Bound;
            }
            idle.as_mut().reset(last.min(Instant::now() + IDLE));
        }
    }

    fn client_said(&mut self, payload: &[u8]) {
        self.bytes_in += payload.len() as u64;
        self.session.data(self.now(), Side::Client, payload);
        // What the socket does not take now is lost, as the network may do.
        let _ = self.to_device.try_send(payload);
    }

    fn device_said(&mut self, payload: &[u8], acquainted: &Acquainted) {
        self.session.data(self.now(), Side::Server, payload);
        let bytes = payload.len() as u64;
        let is_acquainted = acquainted.knows(Instant::now(), self.client);
        let factor = if is_acquainted { ACQUAINTED_ANSWER_FACTOR_MAX } else { 1 };
        if self.bytes_out + bytes > self.bytes_in.saturating_mul(factor) {
            self.withheld.datagrams += 1;
            self.withheld.bytes += bytes;
            return;
        }
        self.bytes_out += bytes;
        self.to_client.say(payload);
    }

    async fn end(self, visit: &Visit, ending: Ending) {
        let now = self.now();
        let Self { mut session, withheld, bytes_in, remembered, flow, to_device, .. } = self;
        if let Some(remembered) = remembered {
            remembered.end(now, session.keeper_of().app_proto(), bytes_in);
        }
        if withheld.datagrams > 0 {
            session.keeper().note(now, "withheld", &withheld);
        }
        if let Ok(leg) = to_device.local_addr() {
            let keeper = session.keeper();
            if let Some(name) = visit.shared.captures.cut(visit.device, leg, flow, keeper.session_id()).await {
                keeper.captured_in(name);
            }
        }
        session.end(now, ending);
    }
}

impl ToClient {
    /// The next datagram of the stranger; none when something else happened, an error when there will be no more. May be
    /// dropped while it waits.
    async fn said(&mut self) -> io::Result<Option<Vec<u8>>> {
        match self {
            Self::Socket(socket, more) => tokio::select! {
                Some(payload) = more.recv() => Ok(Some(payload)),
                ready = socket.readable() => ready.map(|()| receive(socket).ok()),
            },
            Self::Tunnel(tunnel) => match tunnel.receive().await? {
                Some(payload) => Ok(Some(payload)),
                None => Err(io::ErrorKind::UnexpectedEof.into()),
            },
        }
    }

    /// Answers. What is not taken now is lost, as the network may do; a tunnel that is cut is noticed when it is heard.
    fn say(&mut self, payload: &[u8]) {
        match self {
            Self::Socket(socket, _) => drop(socket.try_send(payload)),
            Self::Tunnel(tunnel) => drop(tunnel.send(payload)),
        }
    }
}

fn receive(socket: &UdpSocket) -> io::Result<Vec<u8>> {
    READ.with_borrow_mut(|buffer| socket.try_recv(buffer).map(|bytes| buffer[..bytes].to_vec()))
}
