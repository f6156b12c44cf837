//! Conversations of strangers in datagrams, each in a stream of the tunnel. The sensor ends them.

use std::collections::HashMap;
use std::net::{SocketAddr, SocketAddrV4};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::net::UdpSocket;
use tokio::sync::mpsc;
use tokio::time::sleep;
use tracing::warn;

use super::Port;
use crate::events;
use crate::limits::Ticket;
use crate::tunnel::{TunnelDatagrams, TunnelStream};

/// Datagrams that wait for their conversation to be opened. More are dropped, as the network may do.
const WAITING_MAX: usize = 16;

/// Ends of conversations that wait to be noticed.
const ENDED_MAX: usize = 1_024;

/// The longest datagram, in bytes.
const DATAGRAM_BYTES_MAX: usize = 65_535;

/// How long to rest when the socket fails.
const RETRY: Duration = Duration::from_millis(50);

/// Takes strangers' datagrams while the tunnel is there. Then the port is closed.
pub(super) async fn receive_all(port: Arc<Port>, socket: UdpSocket) {
    let socket = Arc::new(socket);
    let mut buffer = vec![0; DATAGRAM_BYTES_MAX];
    let mut open: HashMap<SocketAddrV4, mpsc::Sender<Vec<u8>>> = HashMap::new();
    let (ended, mut endings) = mpsc::channel::<SocketAddrV4>(ENDED_MAX);
    loop {
        let received = tokio::select! {
            biased;
            _ = port.connection.closed() => return,
            Some(client) = endings.recv() => {
                if open.get(&client).is_some_and(mpsc::Sender::is_closed) {
                    open.remove(&client);
                }
                continue;
            }
            received = socket.recv_from(&mut buffer) => received,
        };
        let (bytes, client) = match received {
            Ok((bytes, SocketAddr::V4(client))) => (bytes, client),
            // It listens at an address of IPv4.
            Ok((_, SocketAddr::V6(_))) => continue,
            Err(error) => {
                let number = port.exposed.listen.port();
                warn!(event = events::RECEIVE_FAILED, port = number, %error, "cannot receive datagrams");
                sleep(RETRY).await;
                continue;
            }
        };
        let datagram = buffer[..bytes].to_vec();
        if let Some(conversation) = open.get(&client)
            && !conversation.is_closed()
        {
            // At the bound it is dropped.
            let _ = conversation.try_send(datagram);
            continue;
        }
        match port.shared.conversations.admit((*client.ip()).into()) {
            Ok(ticket) => {
                let (first, more) = mpsc::channel(WAITING_MAX);
                let _ = first.try_send(datagram);
                open.insert(client, first);
                drop(tokio::spawn(serve(port.clone(), socket.clone(), client, more, ended.clone(), ticket)));
            }
            Err(limit) => port.log_limit(limit, client),
        }
    }
}

async fn serve(
    port: Arc<Port>,
    socket: Arc<UdpSocket>,
    client: SocketAddrV4,
    mut more: mpsc::Receiver<Vec<u8>>,
    ended: mpsc::Sender<SocketAddrV4>,
    ticket: Ticket,
) {
    match port.stream(client).await {
        Ok((to, from)) => {
            let mut tunnel = TunnelDatagrams::new(TunnelStream::new(to, from, Bytes::new()));
            if let Err(error) = carry(&mut tunnel, &socket, client, &mut more).await
                && let Some(why) = TunnelStream::why(&error)
            {
                port.log_refused(why.as_str(), client);
            }
        }
        Err(reason) => port.log_refused(reason, client),
    }
    drop(more);
    // Who hears of it is gone with the tunnel.
    let _ = ended.send(client).await;
    drop((ticket, port));
}

async fn carry(
    tunnel: &mut TunnelDatagrams,
    socket: &UdpSocket,
    client: SocketAddrV4,
    more: &mut mpsc::Receiver<Vec<u8>>,
) -> std::io::Result<()> {
    loop {
        tokio::select! {
            Some(datagram) = more.recv() => tunnel.send(&datagram)?,
            answer = tunnel.receive() => match answer? {
                // What the socket does not take now is lost, as the network may do.
                Some(answer) => drop(socket.try_send_to(&answer, client.into())),
                None => return Ok(()),
            },
        }
    }
}
