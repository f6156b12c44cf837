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
use komainu_ports::StrangersDatagram;
use serde::Serialize;
use tokio::net::UdpSocket;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, sleep_until};
use tracing::warn;

use super::Shared;
use crate::events;
use crate::limits::Ticket;
use crate::session::{Ending, Flow, Session};

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
            drop(tokio::spawn(serve(visit, more, ended.clone(), ticket)));
        }
        Err(limit) => shared.log_refused(limit, client),
    }
}

struct Visit {
    shared: Arc<Shared>,
    client: SocketAddrV4,
    original: SocketAddrV4,
    device: ApplianceIndex,
}

/// What a device said and a stranger was not sent.
#[derive(Debug, Default, Serialize)]
struct Withheld {
    datagrams: u64,
    bytes: u64,
}

struct Relayed {
    client: IpAddr,
    session: Session,
    began: Instant,
    began_at: i64,
    to_device: UdpSocket,
    to_client: UdpSocket,
    bytes_in: u64,
    bytes_out: u64,
    withheld: Withheld,
}

async fn serve(visit: Visit, mut more: mpsc::Receiver<Vec<u8>>, ended: mpsc::Sender<Ends>, ticket: Ticket) {
    let shared = &visit.shared;
    let alive = shared.alive.clone();
    if let Some(known) = shared.device(visit.device) {
        let opened = async {
            let legs = shared.gate.datagrams(visit.device, visit.original, visit.client).await;
            let legs = legs.map_err(io::Error::other)?;
            let (to_device, to_client) = (UdpSocket::from_std(legs.to_device)?, UdpSocket::from_std(legs.to_client)?);
            // Before the runtime has seen that something can be sent, it refuses to try.
            to_device.writable().await?;
            to_client.writable().await?;
            Ok::<_, io::Error>((to_device, to_client))
        };
        match opened.await {
            Ok((to_device, to_client)) => {
                let began_at = shared.now();
                let flow =
                    Flow { transport: Transport::Udp, client: visit.client.into(), server: visit.original.into() };
                let keeper = shared.recorder.begin(flow, known.target.clone(), began_at);
                let mut relayed = Relayed {
                    client: (*visit.client.ip()).into(),
                    session: Session::new(keeper, Conversation::new(Transport::Udp, visit.original.port())),
                    began: Instant::now(),
                    began_at,
                    to_device,
                    to_client,
                    bytes_in: 0,
                    bytes_out: 0,
                    withheld: Withheld::default(),
                };
                let ending = relayed.carry(&mut more, shared).await;
                relayed.end(ending);
            }
            Err(error) => shared.log_unreachable(known, visit.original.port(), &error),
        }
    }
    more.close();
    let _ = ended.send((visit.client, visit.original)).await;
    drop((ticket, alive));
}

impl Relayed {
    fn now(&self) -> i64 {
        self.began_at.saturating_add(i64::try_from(self.began.elapsed().as_micros()).unwrap_or(i64::MAX))
    }

    async fn carry(&mut self, more: &mut mpsc::Receiver<Vec<u8>>, shared: &Shared) -> Ending {
        let mut stop = shared.stop.clone();
        let last = self.began + Duration::from_secs(shared.limits.connection_s_max);
        let idle = sleep_until(last.min(Instant::now() + IDLE));
        tokio::pin!(idle);
        loop {
            tokio::select! {
                _ = stop.wait_for(|stop| *stop) => return Ending::Stopped,
                () = &mut idle => return if Instant::now() >= last { Ending::Bound } else { Ending::Idle },
                Some(payload) = more.recv() => self.client_said(&payload),
                ready = self.to_client.readable() => {
                    if ready.is_err() {
                        return Ending::Closed;
                    }
                    // A stranger who is gone is told by ICMP, which shows as an error: nothing came.
                    if let Ok(payload) = receive(&self.to_client) {
                        self.client_said(&payload);
                    }
                }
                ready = self.to_device.readable() => {
                    if ready.is_err() {
                        return Ending::Closed;
                    }
                    if let Ok(payload) = receive(&self.to_device) {
                        self.device_said(&payload, shared);
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

    fn device_said(&mut self, payload: &[u8], shared: &Shared) {
        self.session.data(self.now(), Side::Server, payload);
        let bytes = payload.len() as u64;
        let is_acquainted = shared.acquainted.knows(Instant::now(), self.client);
        let factor = if is_acquainted { ACQUAINTED_ANSWER_FACTOR_MAX } else { 1 };
        if self.bytes_out + bytes > self.bytes_in.saturating_mul(factor) {
            self.withheld.datagrams += 1;
            self.withheld.bytes += bytes;
            return;
        }
        self.bytes_out += bytes;
        let _ = self.to_client.try_send(payload);
    }

    fn end(mut self, ending: Ending) {
        let now = self.now();
        if self.withheld.datagrams > 0 {
            self.session.keeper().note(now, "withheld", &self.withheld);
        }
        self.session.end(now, ending);
    }
}

fn receive(socket: &UdpSocket) -> io::Result<Vec<u8>> {
    READ.with_borrow_mut(|buffer| socket.try_recv(buffer).map(|bytes| buffer[..bytes].to_vec()))
}
