//! Connections: the listener, the hand-over from the gateway's TLS port, bounds, and the end.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use komainu_ports::{BoxFuture, ByteStream, HttpHandoff, PeerInfo};
use parking_lot::Mutex;
use tokio::net::TcpListener;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tracing::{debug, warn};

use crate::request::{self, Upgraded};
use crate::{Api, sensors};

/// So many connections are served at the same time; further ones are closed at once. Each may hold a body of
/// [`request::BODY_BYTES_MAX`].
const CONNECTIONS_MAX: usize = 512;

/// A request's header must be there after this time; it also bounds how long a connection may stay idle.
const HEADER_READ_S_MAX: u64 = 20;

/// The request line and all headers, in bytes. Presigned requests have about 1 KiB of query string.
const HEADER_BYTES_MAX: usize = 64 * 1024;

/// How long to wait after a failure to accept, for example because there are no more file descriptors.
const ACCEPT_RETRY_MS: u64 = 100;

/// Serves the control plane over HTTP.
pub struct Server {
    api: Arc<Api>,
    connections: Arc<Semaphore>,
    stopping: watch::Sender<bool>,
}

impl Server {
    /// A server of this control plane.
    pub fn new(api: Arc<Api>) -> Arc<Self> {
        let (stopping, _) = watch::channel(false);
        Arc::new(Self { api, connections: Arc::new(Semaphore::new(CONNECTIONS_MAX)), stopping })
    }

    /// Serves connections in clear text until [`Server::stop`].
    pub async fn listen(self: Arc<Self>, listener: TcpListener) {
        let mut stopping = self.stopping.subscribe();
        loop {
            let accepted = tokio::select! {
                biased;
                () = is_told(&mut stopping) => return,
                accepted = listener.accept() => accepted,
            };
            match accepted {
                Ok((stream, address)) => {
                    // Answers are small and complete; waiting for more to send only delays them.
                    let _ = stream.set_nodelay(true);
                    let peer = PeerInfo { address, tls: false, certificate: None, server_name: None };
                    tokio::spawn(self.serve(Box::new(stream), peer));
                }
                Err(error) => {
                    warn!(%error, "cannot accept connections");
                    tokio::time::sleep(Duration::from_millis(ACCEPT_RETRY_MS)).await;
                }
            }
        }
    }

    /// Has the lake catch up with the records of sensors that it could not take, or that came before there was one, until
    /// [`Server::stop`].
    pub async fn feed_lake(self: Arc<Self>) {
        sensors::feed_lake(self.api.clone(), self.stopping.subscribe()).await;
    }

    /// Stops: no new connections, no further requests on old ones. Resolves when what was being answered is answered,
    /// or after `grace`. Connections that became WebSockets are the gateway's to end.
    pub async fn stop(&self, grace: Duration) {
        self.stopping.send_replace(true);
        let all = u32::try_from(CONNECTIONS_MAX).expect("the bound is small");
        if tokio::time::timeout(grace, self.connections.acquire_many(all)).await.is_err() {
            warn!("control plane connections were cut off");
        }
    }
}

impl HttpHandoff for Server {
    fn serve(&self, stream: Box<dyn ByteStream>, peer: PeerInfo) -> BoxFuture<'static, ()> {
        let permit = match self.connections.clone().try_acquire_owned() {
            Ok(permit) if !*self.stopping.borrow() => permit,
            _ => {
                debug!(peer = %peer.address, "connection closed: too many, or stopping");
                return Box::pin(async {});
            }
        };
        Box::pin(serve(self.api.clone(), stream, peer, self.stopping.subscribe(), permit))
    }
}

async fn serve(
    api: Arc<Api>,
    stream: Box<dyn ByteStream>,
    peer: PeerInfo,
    mut stopping: watch::Receiver<bool>,
    permit: OwnedSemaphorePermit,
) {
    let address: SocketAddr = peer.address;
    let upgraded: Arc<Mutex<Option<Upgraded>>> = Arc::default();
    let service = service_fn(|request| {
        let (api, peer, upgraded) = (api.clone(), peer.clone(), upgraded.clone());
        async move { Ok::<_, Infallible>(request::answer(api, peer, request, &upgraded).await) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(Duration::from_secs(HEADER_READ_S_MAX))
        .max_buf_size(HEADER_BYTES_MAX)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    tokio::pin!(connection);
    let ended = tokio::select! {
        biased;
        ended = connection.as_mut() => ended,
        () = is_told(&mut stopping) => {
            connection.as_mut().graceful_shutdown();
            connection.as_mut().await
        }
    };
    if let Err(error) = ended {
        debug!(peer = %address, %error, "connection failed");
    }
    // From here on it is an MQTT connection, which the gateway counts and ends.
    drop(permit);
    let Some(Upgraded { stream, identity }) = upgraded.lock().take() else { return };
    match stream.await {
        Ok(stream) => api.broker.websocket(Box::new(TokioIo::new(stream)), peer, identity).await,
        Err(error) => debug!(peer = %address, %error, "websocket upgrade failed"),
    }
}

/// Resolves when the server is told to stop, or is gone.
async fn is_told(stopping: &mut watch::Receiver<bool>) {
    let _ = stopping.wait_for(|stop| *stop).await;
}
