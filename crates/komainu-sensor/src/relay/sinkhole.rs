//! What devices are told instead of what they asked for: connections to anybody are taken and listened to, names are at
//! an address where nobody is, and the time is right.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep, timeout_at};
use tracing::warn;

use super::dns::{self, Answer};
use super::egress::{self, Attempt, Fate};
use super::{NOWHERE, Shared, ntp, v4};
use crate::events;
use crate::session::PacketEnds;

/// Bytes of a connection that are kept: a request, and the head of what follows it.
const FIRST_BYTES_MAX: usize = 4 * 1024;

/// How long a connection is listened to.
const LISTEN: Duration = Duration::from_secs(10);

/// Connections of all devices that are listened to at the same time. A further one is closed at once, and written down.
const CONNECTIONS_MAX: usize = 256;

/// How long to rest when the system gives us nothing.
const RETRY: Duration = Duration::from_millis(50);

/// The longest question: one over UDP has 512 bytes (RFC 1035, 2.3.4), with EDNS a few more. What is cut off is not
/// needed.
const QUESTION_BYTES_MAX: usize = 1_024;

/// The ports at which devices ask.
const DNS_PORT: u16 = 53;
const NTP_PORT: u16 = 123;

/// Takes devices' connections until the relay stops.
pub(super) async fn accept_all(shared: Arc<Shared>, listener: TcpListener) {
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let accepted = tokio::select! {
            biased;
            () = shared.stopped() => return,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, source)) => {
                let place = places.clone().try_acquire_owned().ok();
                let (shared, alive) = (shared.clone(), shared.alive.clone());
                drop(tokio::spawn(async move {
                    listen(&shared, stream, source, place.is_some()).await;
                    drop((place, alive));
                }));
            }
            Err(error) => {
                warn!(event = events::ACCEPT_FAILED, port = 0, %error, "cannot accept connections of devices");
                sleep(RETRY).await;
            }
        }
    }
}

async fn listen(shared: &Arc<Shared>, mut stream: TcpStream, source: SocketAddr, has_place: bool) {
    let Ok(destination) = stream.local_addr() else { return };
    let Some((index, known)) = v4(source).and_then(|source| shared.sender(*source.ip())) else { return };
    let at = shared.now();
    let mut first = Vec::new();
    if has_place {
        tokio::select! {
            biased;
            () = shared.stopped() => {}
            () = hear(&mut stream, &mut first) => {}
        }
    }
    let ends = PacketEnds { source, destination, proto: "TCP" };
    egress::record(shared, index, known, &Attempt { at, ends, fate: Fate::Sinkholed, name: None, first: Some(first) });
}

/// Hears what is said until it is enough, or over.
async fn hear(stream: &mut TcpStream, first: &mut Vec<u8>) {
    let deadline = Instant::now() + LISTEN;
    let mut buffer = [0; FIRST_BYTES_MAX];
    while first.len() < FIRST_BYTES_MAX {
        match timeout_at(deadline, stream.read(&mut buffer[first.len()..])).await {
            Ok(Ok(bytes)) if bytes > 0 => {
                let end = first.len() + bytes;
                first.extend_from_slice(&buffer[first.len()..end]);
            }
            Ok(Ok(_) | Err(_)) | Err(_) => return,
        }
    }
}

/// Answers questions for names until the relay stops.
pub(super) async fn answer_names(shared: Arc<Shared>, socket: UdpSocket) {
    let mut buffer = vec![0; QUESTION_BYTES_MAX];
    while let Some((bytes, source)) = next(&shared, &socket, &mut buffer).await {
        let Some((index, known)) = v4(source).and_then(|source| shared.sender(*source.ip())) else { continue };
        let Some(question) = dns::question(&buffer[..bytes]) else { continue };
        let is_of_cloud = known.appliance.vendor_names.iter().any(|name| name.as_str() == question.name);
        let answer = match (is_of_cloud, shared.cloud.lock().get(&question.name)) {
            (false, _) => Answer::At(vec![NOWHERE]),
            (true, Some(addresses)) => Answer::At(addresses.clone()),
            (true, None) => Answer::NotYet,
        };
        let fate = if is_of_cloud { Fate::Answered } else { Fate::Misled };
        let datagram = dns::answer(&question, &answer);
        let attempt = asked(&shared, &socket, source, DNS_PORT, fate, Some(question.name));
        egress::record(&shared, index, known, &attempt);
        // A device that does not hear it asks again.
        let _ = socket.send_to(&datagram, source).await;
    }
}

/// Answers questions for the time until the relay stops.
pub(super) async fn answer_time(shared: Arc<Shared>, socket: UdpSocket) {
    let mut buffer = vec![0; QUESTION_BYTES_MAX];
    while let Some((bytes, source)) = next(&shared, &socket, &mut buffer).await {
        let Some((index, known)) = v4(source).and_then(|source| shared.sender(*source.ip())) else { continue };
        let Some(answer) = ntp::answer(&buffer[..bytes], shared.clock.now()) else { continue };
        let attempt = asked(&shared, &socket, source, NTP_PORT, Fate::Answered, None);
        egress::record(&shared, index, known, &attempt);
        let _ = socket.send_to(&answer, source).await;
    }
}

/// Whom a device asked is not known: the packet filter has put us in that one's place.
fn asked(
    shared: &Shared,
    socket: &UdpSocket,
    source: SocketAddr,
    port: u16,
    fate: Fate,
    name: Option<String>,
) -> Attempt {
    let here = socket.local_addr().map_or(NOWHERE.into(), |address| address.ip());
    let ends = PacketEnds { source, destination: SocketAddr::new(here, port), proto: "UDP" };
    Attempt { at: shared.now(), ends, fate, name, first: None }
}

/// The next datagram; none when the relay stops.
async fn next(shared: &Shared, socket: &UdpSocket, buffer: &mut [u8]) -> Option<(usize, SocketAddr)> {
    loop {
        let received = tokio::select! {
            biased;
            () = shared.stopped() => return None,
            received = socket.recv_from(buffer) => received,
        };
        match received {
            Ok(received) => return Some(received),
            Err(error) => {
                warn!(event = events::ACCEPT_FAILED, port = 0, %error, "cannot receive questions of devices");
                sleep(RETRY).await;
            }
        }
    }
}
