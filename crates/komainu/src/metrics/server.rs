//! The listener of `GET /metrics`: nothing else is there, and nobody signs in. It is for the management network.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use komainu_ports::{Clock, VitalSigns};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

/// Connections at the same time: a few programs that collect metrics. Further ones are closed at once.
const CONNECTIONS_MAX: usize = 16;
/// A request's header must be there after this time, which also bounds how long a connection may be idle. Prometheus asks
/// once a minute at most, and opens another connection when it has to.
const HEADER_READ_TIMEOUT: Duration = Duration::from_secs(10);
/// Bytes of a request's header, the least that the server takes. Collectors send some hundred.
const HEADER_BYTES_MAX: usize = 8 * 1024;
/// How long to wait after a failure to accept.
const ACCEPT_RETRY: Duration = Duration::from_millis(100);

/// A listener for those who collect metrics.
pub(crate) struct MetricsServer {
    pub(crate) address: SocketAddr,
    listening: JoinHandle<()>,
}

/// What requests are answered from.
struct Source {
    vitals: Arc<dyn VitalSigns>,
    clock: Arc<dyn Clock>,
    /// Vital signs are read one after the other: each reading asks the stores.
    turn: Semaphore,
}

impl MetricsServer {
    /// Opens the listener, and answers until it is dropped or ended.
    pub(crate) fn start(
        listener: TcpListener,
        vitals: Arc<dyn VitalSigns>,
        clock: Arc<dyn Clock>,
    ) -> anyhow::Result<Self> {
        let address = listener.local_addr().context("cannot tell where metrics are")?;
        let source = Arc::new(Source { vitals, clock, turn: Semaphore::new(1) });
        Ok(Self { address, listening: tokio::spawn(listen(listener, source)) })
    }

    /// Closes the listener. Answers are complete when they are sent; who is being answered asks again.
    pub(crate) fn end(self) {
        self.listening.abort();
    }
}

async fn listen(listener: TcpListener, source: Arc<Source>) {
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                let Ok(place) = places.clone().try_acquire_owned() else { continue };
                let source = source.clone();
                tokio::spawn(async move {
                    serve(stream, source).await;
                    drop(place);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "cannot accept connections for metrics");
                tokio::time::sleep(ACCEPT_RETRY).await;
            }
        }
    }
}

async fn serve(stream: TcpStream, source: Arc<Source>) {
    let service = service_fn(|request| {
        let source = source.clone();
        async move { Ok::<_, Infallible>(answer(request, source).await) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_READ_TIMEOUT)
        .max_buf_size(HEADER_BYTES_MAX)
        .serve_connection(TokioIo::new(stream), service);
    if let Err(error) = connection.await {
        tracing::debug!(%error, "connection for metrics failed");
    }
}

async fn answer(request: Request<Incoming>, source: Arc<Source>) -> Response<Full<Bytes>> {
    let plain = |status, text: &'static str| respond(status, "text/plain; charset=utf-8", text.into());
    if request.uri().path() != "/metrics" {
        return plain(StatusCode::NOT_FOUND, "metrics are at /metrics\n");
    }
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        return plain(StatusCode::METHOD_NOT_ALLOWED, "metrics are for reading\n");
    }
    let Ok(_turn) = source.turn.acquire().await else {
        return plain(StatusCode::SERVICE_UNAVAILABLE, "the server is stopping\n");
    };
    let asked = source.clone();
    let read = tokio::task::spawn_blocking(move || super::text(&asked.vitals.vitals(), asked.clock.now()));
    match read.await {
        Ok(text) => respond(StatusCode::OK, "text/plain; version=0.0.4; charset=utf-8", text.into()),
        Err(error) => {
            tracing::error!(%error, "metrics were read up to a bug");
            plain(StatusCode::INTERNAL_SERVER_ERROR, "metrics cannot be read\n")
        }
    }
}

fn respond(status: StatusCode, content_type: &'static str, body: Bytes) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}
