//! The listeners: they take connections and have them served and recorded.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use komainu_decode::{Conversation, Transport};
use komainu_ports::{Clock, LogBudget};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep};
use tracing::{debug, warn};

use crate::datagrams::{Acquainted, ReplyBudget};
use crate::events;
use crate::limits::{Doorkeeper, SensorLimits, Ticket};
use crate::link::Link;
use crate::persona::Door;
use crate::service;
use crate::session::{Flow, Recorder, Session, Target};

/// Connections that the kernel holds for us while we are busy.
const BACKLOG: u32 = 1024;

/// How long the accepting loop rests when the kernel has no connection for us, for want of file descriptors mostly.
const ACCEPT_RETRY: Duration = Duration::from_millis(50);

/// What the listeners share.
pub(crate) struct Edge {
    pub(crate) recorder: Arc<Recorder>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) doorkeeper: Arc<Doorkeeper>,
    /// The same for flows of datagrams.
    pub(crate) flow_doorkeeper: Arc<Doorkeeper>,
    pub(crate) acquainted: Arc<Acquainted>,
    pub(crate) replies: ReplyBudget,
    pub(crate) limits: Arc<SensorLimits>,
    pub(crate) refused: LogBudget,
    /// Becomes true when everything has to end.
    pub(crate) stop: watch::Receiver<bool>,
}

/// A port that is open.
pub(crate) struct Entrance {
    pub(crate) door: Door,
    pub(crate) target: Arc<Target>,
    /// Closes when everything that came in here is gone.
    pub(crate) alive: mpsc::Sender<()>,
}

/// Opens a listening socket.
pub(crate) fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// Takes connections until the sensor stops.
pub(crate) async fn accept_all(edge: Arc<Edge>, listener: TcpListener, entrance: Arc<Entrance>) {
    let mut stop = edge.stop.clone();
    loop {
        let accepted = tokio::select! {
            biased;
            _ = stop.wait_for(|stop| *stop) => return,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, client)) => take(&edge, stream, client, &entrance),
            Err(error) if is_about_one_connection(&error) => {}
            Err(error) => {
                let port = entrance.door.port;
                warn!(event = events::ACCEPT_FAILED, port, %error, "cannot accept connections");
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

fn take(edge: &Arc<Edge>, stream: TcpStream, client: SocketAddr, entrance: &Arc<Entrance>) {
    let admitted = if edge.recorder.log().has_room() {
        edge.doorkeeper.admit(client.ip())
    } else {
        edge.doorkeeper.note_refused();
        Err("spool_bytes_max")
    };
    match admitted {
        Ok(ticket) => drop(tokio::spawn(serve(edge.clone(), stream, client, entrance.clone(), ticket))),
        Err(limit) => {
            if let Some(suppressed) = edge.refused.take_now() {
                let address = client;
                warn!(event = events::LIMIT_REACHED, limit, %address, suppressed, "connection refused");
            }
        }
    }
}

async fn serve(edge: Arc<Edge>, stream: TcpStream, client: SocketAddr, entrance: Arc<Entrance>, ticket: Ticket) {
    let Ok(server) = stream.local_addr() else { return };
    // Who is here completed the handshake.
    edge.acquainted.meet(Instant::now(), client.ip());
    // A terminal's echo must not wait for more.
    let _ = stream.set_nodelay(true);
    let alive = entrance.alive.clone();
    let began_at = edge.clock.now().unix_millis().saturating_mul(1000);
    let flow = Flow { transport: Transport::Tcp, client, server };
    let keeper = edge.recorder.begin(flow, entrance.target.clone(), began_at);
    let seed = keeper.seed();
    let service = entrance.door.service.name();
    debug!(event = events::CONNECTED, session = keeper.session_id(), service, address = %client, "connection");
    // The port is the persona's, whatever it was mapped to: it says what is usually spoken there.
    let session = Session::new(keeper, Conversation::new(Transport::Tcp, entrance.door.port));
    let link = Box::new(Link::new(stream, session, edge.limits.clone(), edge.stop.clone(), began_at));
    converse(&entrance.door, link, seed).await;
    drop((ticket, alive));
}

async fn converse(door: &Door, mut link: Box<Link>, seed: u64) {
    if let Some(server) = door.tls.as_ref().and_then(|tls| tls.server()) {
        // A port for TLS says nothing of what is spoken inside.
        let inside = Conversation::new(Transport::Tcp, 0);
        if let Err(ending) = link.start_tls(server, inside).await {
            return link.end(ending);
        }
    }
    service::converse(&door.service, link, seed).await;
}
