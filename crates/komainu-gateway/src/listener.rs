//! The listeners: they take connections, see them through the handshake, and hand them to MQTT or HTTP.
//!
//! The accepting loop never waits for a peer. Each connection has a task of its own from its first moment, with a
//! deadline until it is in, and the bounds on those that are not in yet are in [`crate::pending`].

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use komainu_ports::{ByteStream, HttpHandoff, PeerInfo};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadBuf};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::{Instant, sleep, timeout, timeout_at};
use tracing::{debug, info, warn};

use crate::access::Gatekeeper;
use crate::broker::Broker;
use crate::events;
use crate::gatekeeper::Fleet;
use crate::gateway::EdgeLimits;
use crate::identity::reporter;
use crate::pending::{PendingPeers, Ticket, TurnedAway};
use crate::tls::{Accepted, Door, Spoken, Tls, TlsFailure, TlsFailureReason};

/// Connections that the kernel holds for us while we are busy: a whole fleet may come back at once.
const BACKLOG: u32 = 4096;

/// How long the accepting loop rests when the kernel has no connection for us, for want of file descriptors mostly.
const ACCEPT_RETRY: Duration = Duration::from_millis(50);

/// How long a refused client is listened to, so that the alert is not overtaken by a reset.
const LINGER: Duration = Duration::from_millis(500);

/// Bytes that are read from a refused client meanwhile.
const LINGER_BYTES_MAX: u64 = 64 * 1024;

/// How long HTTP connections may go on after the gateway was told to stop.
const HTTP_GRACE: Duration = Duration::from_secs(2);

/// How an MQTT CONNECT begins: packet type 1, no flags (MQTT 5 section 3.1.1).
const CONNECT_FIRST_BYTE: u8 = 0x10;

/// What the listeners share.
pub(crate) struct Edge {
    pub(crate) tls: Tls,
    pub(crate) broker: Arc<Broker>,
    pub(crate) fleet: Arc<Fleet>,
    pub(crate) devices: Arc<dyn Gatekeeper>,
    pub(crate) http: Arc<dyn HttpHandoff>,
    pub(crate) pending: Arc<PendingPeers>,
    pub(crate) connections: Arc<Semaphore>,
    pub(crate) limits: EdgeLimits,
    /// Connections since the start that a bound kept out.
    pub(crate) turned_away: AtomicU64,
    /// Handshakes since the start that failed.
    pub(crate) handshakes_failed: AtomicU64,
    /// Becomes true, or closes, when everything has to end.
    pub(crate) stop: watch::Receiver<bool>,
}

/// What a listener does with its connections.
#[derive(Clone)]
pub(crate) enum Entrance {
    /// TLS.
    Tls(Door),
    /// Plain MQTT for conformance suites.
    PlainTest(Arc<dyn Gatekeeper>),
}

impl Entrance {
    pub(crate) const fn name(&self) -> &'static str {
        match self {
            Self::Tls(Door::Mqtts) => "mqtts",
            Self::Tls(Door::Tls) => "tls",
            Self::PlainTest(_) => "plain_test",
        }
    }
}

/// Opens a listening socket.
pub(crate) fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// Takes connections until the gateway stops.
pub(crate) async fn accept_all(edge: Arc<Edge>, listener: TcpListener, entrance: Entrance) {
    let mut stop = edge.stop.clone();
    loop {
        let accepted = tokio::select! {
            biased;
            _ = stop.wait_for(|stop| *stop) => return,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((tcp, address)) => take(&edge, tcp, address, &entrance),
            Err(error) if is_about_one_connection(&error) => {}
            Err(error) => {
                warn!(event = events::ACCEPT_FAILED, listener = entrance.name(), %error, "cannot accept connections");
                sleep(ACCEPT_RETRY).await;
            }
        }
    }
}

fn is_about_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionRefused
    )
}

fn take(edge: &Arc<Edge>, tcp: TcpStream, address: SocketAddr, entrance: &Entrance) {
    let ticket = match edge.pending.admit(address.ip(), Instant::now()) {
        Ok(ticket) => ticket,
        Err(TurnedAway::SourceFull) => return turn_away(edge, address, "pending_peers_per_source_max"),
        Err(TurnedAway::Full) => return turn_away(edge, address, "pending_peers_max"),
    };
    let edge = edge.clone();
    match entrance {
        Entrance::Tls(door) => drop(tokio::spawn(welcome(edge, tcp, address, *door, ticket))),
        Entrance::PlainTest(gatekeeper) => drop(tokio::spawn(welcome_plain(edge, tcp, address, gatekeeper.clone()))),
    }
}

/// Closes a connection that there is no room for.
fn turn_away(edge: &Edge, address: SocketAddr, limit: &'static str) {
    edge.turned_away.fetch_add(1, Ordering::Relaxed);
    if let Some(suppressed) = edge.fleet.budgets.limit_reached.take_now() {
        warn!(event = events::LIMIT_REACHED, limit, %address, suppressed, "connection refused");
    }
}

/// Sees a connection through its handshake and spawns its service. The service is another task, because a task keeps
/// the memory of its largest moment and a handshake needs much more than an idle connection.
async fn welcome(edge: Arc<Edge>, tcp: TcpStream, address: SocketAddr, door: Door, ticket: Ticket) {
    let deadline = Instant::now() + Duration::from_millis(edge.limits.handshake_timeout_ms);
    let mut stop = edge.stop.clone();
    tokio::select! {
        biased;
        _ = stop.wait_for(|stop| *stop) => {}
        () = ticket.displaced() => debug!(%address, "unfinished handshake displaced by a newcomer"),
        () = finish_handshake(&edge, tcp, address, door, &ticket, deadline) => {}
    }
}

async fn finish_handshake(
    edge: &Arc<Edge>,
    tcp: TcpStream,
    address: SocketAddr,
    door: Door,
    ticket: &Ticket,
    deadline: Instant,
) {
    // Small packets both ways: waiting for more to send would only add to their delay.
    let _ = tcp.set_nodelay(true);
    let accepted = match timeout_at(deadline, edge.tls.accept(tcp, door, || ticket.note_spoken())).await {
        Ok(Ok(accepted)) => accepted,
        Ok(Err(failure)) => return refuse(edge, *failure, address, door, ticket.has_spoken()).await,
        Err(_elapsed) => {
            if ticket.has_spoken() {
                log_tls_failure(edge, door, address, "handshake took too long", None, None);
            } else {
                debug!(%address, "client said nothing");
            }
            return;
        }
    };
    let Accepted { mut stream, spoken, server_name, certificate } = accepted;
    if server_name.is_none() {
        debug!(event = events::TLS_WITHOUT_SERVER_NAME, %address, "client named no server");
    }
    let peer = PeerInfo { address, tls: true, certificate, server_name };
    let service = match spoken {
        Spoken::Mqtt => Service::Mqtt(Box::new(stream)),
        Spoken::Http => Service::Http(Box::new(stream)),
        Spoken::Undeclared => match timeout_at(deadline, stream.read_u8()).await {
            Ok(Ok(first)) if first == CONNECT_FIRST_BYTE => Service::Mqtt(Rewound::boxed(first, stream)),
            Ok(Ok(first)) => Service::Http(Rewound::boxed(first, stream)),
            Ok(Err(_)) | Err(_) => {
                debug!(%address, "client said nothing after its handshake");
                return;
            }
        },
    };
    let Ok(permit) = edge.connections.clone().try_acquire_owned() else {
        return turn_away(edge, address, "connections_max");
    };
    tokio::spawn(serve(edge.clone(), service, peer, permit));
}

/// What a connection turned out to be.
enum Service {
    Mqtt(Box<dyn ByteStream>),
    Http(Box<dyn ByteStream>),
}

async fn serve(edge: Arc<Edge>, service: Service, peer: PeerInfo, permit: OwnedSemaphorePermit) {
    match service {
        Service::Mqtt(stream) => edge.broker.serve(stream, peer, edge.devices.clone()).await,
        Service::Http(stream) => {
            let mut stop = edge.stop.clone();
            tokio::select! {
                biased;
                () = edge.http.serve(stream, peer) => {}
                () = async { let _ = stop.wait_for(|stop| *stop).await; sleep(HTTP_GRACE).await } => {}
            }
        }
    }
    drop(permit);
}

/// The broker's own deadline for CONNECT holds here; there is no handshake.
async fn welcome_plain(edge: Arc<Edge>, tcp: TcpStream, address: SocketAddr, gatekeeper: Arc<dyn Gatekeeper>) {
    let _ = tcp.set_nodelay(true);
    let Ok(_permit) = edge.connections.clone().try_acquire_owned() else {
        return turn_away(&edge, address, "connections_max");
    };
    let peer = PeerInfo { address, tls: false, certificate: None, server_name: None };
    let stream: Box<dyn ByteStream> = Box::new(tcp);
    edge.broker.serve(stream, peer, gatekeeper).await;
}

/// Logs and counts a failed handshake, and lets the client hear of it.
async fn refuse(edge: &Edge, failure: TlsFailure, address: SocketAddr, door: Door, has_spoken: bool) {
    if let (TlsFailureReason::Certificate(_), Some(certificate)) = (failure.reason, failure.certificate)
        && let Some(principal) = edge.fleet.directory.principal(&certificate)
        && let Some(meter) = edge.fleet.meters.of(&principal.scope, &reporter(&principal, None))
    {
        meter.count_attempt(address.ip().to_canonical());
    }
    let reason = failure.reason.as_str();
    if failure.reason == TlsFailureReason::PeerLeft && !has_spoken {
        // Health checks of load balancers, port scans.
        debug!(%address, "client left without a word");
    } else {
        let certificate = failure.certificate.map(|certificate| certificate.to_string());
        log_tls_failure(edge, door, address, reason, Some(&failure), certificate.as_deref());
    }
    if let Some(tcp) = failure.tcp {
        linger(tcp).await;
    }
}

fn log_tls_failure(
    edge: &Edge,
    door: Door,
    address: SocketAddr,
    reason: &'static str,
    failure: Option<&TlsFailure>,
    certificate: Option<&str>,
) {
    edge.handshakes_failed.fetch_add(1, Ordering::Relaxed);
    let Some(suppressed) = edge.fleet.budgets.tls_failed.take_now() else { return };
    warn!(
        event = events::TLS_FAILED,
        listener = Entrance::Tls(door).name(),
        reason,
        %address,
        server_name = failure.and_then(|failure| failure.server_name.as_deref()),
        certificate,
        error = failure.and_then(|failure| failure.error.as_ref()).map(tracing::field::display),
        suppressed,
        "TLS handshake failed"
    );
}

/// Closes our side and reads what the client still sends. Closing a socket with unread bytes sends a reset, and a
/// reset makes the client's system forget the alert that explains it.
async fn linger(mut tcp: TcpStream) {
    let drain = async {
        tcp.shutdown().await?;
        tokio::io::copy(&mut tcp.take(LINGER_BYTES_MAX), &mut tokio::io::sink()).await
    };
    let _ = timeout(LINGER, drain).await;
}

/// Says which listener is open where.
pub(crate) fn log_listening(entrance: &Entrance, address: SocketAddr) {
    match entrance {
        Entrance::Tls(_) => {
            info!(event = events::LISTENING, listener = entrance.name(), %address, "listener is open");
        }
        Entrance::PlainTest(_) => warn!(
            event = events::PLAIN_TEST_LISTENING,
            %address,
            "PLAIN TEST LISTENER IS OPEN: anonymous clients may do everything; never use it with devices"
        ),
    }
}

/// Whether a test listener may be opened on this address.
pub(crate) fn is_loopback(address: IpAddr) -> bool {
    address.to_canonical().is_loopback()
}

/// A stream whose first byte was read already.
struct Rewound<S> {
    first: Option<u8>,
    stream: S,
}

impl<S: ByteStream + 'static> Rewound<S> {
    fn boxed(first: u8, stream: S) -> Box<dyn ByteStream> {
        Box::new(Self { first: Some(first), stream })
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Rewound<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if into.remaining() > 0
            && let Some(first) = self.first.take()
        {
            into.put_slice(&[first]);
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut self.stream).poll_read(cx, into)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Rewound<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, from: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, from)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
