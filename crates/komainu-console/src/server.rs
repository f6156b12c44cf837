//! Connections: the listener, TLS, bounds, and the end.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use komainu_ports::ByteStream;
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tracing::{debug, info, warn};

use crate::paced::Paced;
use crate::{Console, events, live, request};

/// So many connections are served at the same time; further ones are closed at once. A browser keeps six.
const CONNECTIONS_MAX: usize = 512;

/// A handshake must be done after this time.
const HANDSHAKE_WAIT_MAX: Duration = Duration::from_secs(10);

/// A request's header must be there after this time; it also bounds how long a connection may stay idle.
const HEADER_WAIT_MAX: Duration = Duration::from_secs(30);

/// The request line and all headers, in bytes. Addresses hold the state of filters; ours stay below 4 KiB.
const HEADER_BYTES_MAX: usize = 16 * 1024;

/// How long to wait after a failure to accept, for example because there are no more file descriptors.
const ACCEPT_RETRY: Duration = Duration::from_millis(100);

/// A certificate with its chain and its private key.
pub struct TlsCertificate {
    /// The certificate and what leads to its root, PEM.
    pub chain_pem: String,
    /// Its key, PEM.
    pub key_pem: String,
}

/// A certificate cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// It is no PEM.
    #[error("cannot read the certificate")]
    Unreadable(#[from] rustls::pki_types::pem::Error),
    /// The key does not belong to it, or TLS cannot use it.
    #[error("cannot use the certificate")]
    Unusable(#[from] rustls::Error),
}

/// Serves the console.
pub struct Server {
    console: Arc<Console>,
    tls: Option<TlsAcceptor>,
    connections: Arc<Semaphore>,
    stopping: watch::Sender<bool>,
}

impl Server {
    /// A server of this console, in clear text.
    pub fn plain(console: Arc<Console>) -> Arc<Self> {
        Self::of(console, None)
    }

    /// A server of this console, over TLS.
    pub fn tls(console: Arc<Console>, certificate: &TlsCertificate) -> Result<Arc<Self>, CertificateError> {
        let chain = CertificateDer::pem_slice_iter(certificate.chain_pem.as_bytes()).collect::<Result<_, _>>()?;
        let key = PrivateKeyDer::from_pem_slice(certificate.key_pem.as_bytes())?;
        let mut config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(chain, key)?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self::of(console, Some(TlsAcceptor::from(Arc::new(config)))))
    }

    fn of(console: Arc<Console>, tls: Option<TlsAcceptor>) -> Arc<Self> {
        let (stopping, _) = watch::channel(false);
        Arc::new(Self { console, tls, connections: Arc::new(Semaphore::new(CONNECTIONS_MAX)), stopping })
    }

    /// Serves connections until [`Server::stop`].
    pub async fn listen(self: Arc<Self>, listener: TcpListener) {
        if let Ok(address) = listener.local_addr() {
            info!(event = events::LISTENING, %address, tls = self.tls.is_some(), "the console can be reached");
        }
        let mut stopping = self.stopping.subscribe();
        // Dropped with this function, and with it the task ends.
        let mut looking = JoinSet::new();
        looking.spawn(live::look(self.console.clone()));
        loop {
            let accepted = tokio::select! {
                biased;
                () = is_told(&mut stopping) => return,
                accepted = listener.accept() => accepted,
            };
            match accepted {
                Ok((stream, address)) => self.take(stream, address),
                Err(error) => {
                    warn!(%error, "cannot accept connections");
                    tokio::time::sleep(ACCEPT_RETRY).await;
                }
            }
        }
    }

    /// Stops: no new connections, no further requests on old ones. Resolves when what was being answered is answered, or
    /// after `grace`.
    pub async fn stop(&self, grace: Duration) {
        self.stopping.send_replace(true);
        self.console.live.end();
        let all = u32::try_from(CONNECTIONS_MAX).expect("the bound is small");
        if tokio::time::timeout(grace, self.connections.acquire_many(all)).await.is_err() {
            warn!("connections to the console were cut off");
        }
    }

    fn take(self: &Arc<Self>, stream: TcpStream, address: SocketAddr) {
        let Ok(permit) = self.connections.clone().try_acquire_owned() else {
            if let Some(suppressed) = self.console.budgets.limit.take_now() {
                warn!(event = events::LIMIT_REACHED, limit = CONNECTIONS_MAX, %address, suppressed, "too many connections");
            }
            return;
        };
        // Pages are complete when they are sent; waiting for more only delays them.
        let _ = stream.set_nodelay(true);
        tokio::spawn(self.clone().serve(stream, address, permit));
    }

    async fn serve(self: Arc<Self>, stream: TcpStream, address: SocketAddr, _permit: OwnedSemaphorePermit) {
        let stream: Box<dyn ByteStream> = match &self.tls {
            None => Box::new(stream),
            Some(acceptor) => match tokio::time::timeout(HANDSHAKE_WAIT_MAX, acceptor.accept(stream)).await {
                Ok(Ok(stream)) => Box::new(stream),
                Ok(Err(error)) => return debug!(%address, %error, "handshake failed"),
                Err(_) => return debug!(%address, "handshake took too long"),
            },
        };
        let stream = Paced::new(stream);
        let service = service_fn(|request| request::answer(self.console.clone(), address.ip().to_canonical(), request));
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEADER_WAIT_MAX)
            .max_buf_size(HEADER_BYTES_MAX)
            .serve_connection(TokioIo::new(stream), service);
        tokio::pin!(connection);
        let mut stopping = self.stopping.subscribe();
        let ended = tokio::select! {
            biased;
            ended = connection.as_mut() => ended,
            () = is_told(&mut stopping) => {
                connection.as_mut().graceful_shutdown();
                connection.as_mut().await
            }
        };
        if let Err(error) = ended {
            debug!(%address, %error, "connection failed");
        }
    }
}

/// Resolves when the server is told to stop, or is gone.
async fn is_told(stopping: &mut watch::Receiver<bool>) {
    let _ = stopping.wait_for(|stop| *stop).await;
}
