//! Visits to a device through a relay, and the device itself: both cost little, so that what is between them is measured.
//!
//! A visit is a connection, a request, the whole answer, and the end. Both programs are one thread each: the machine's
//! other processors belong to the relay.

use std::cell::{Cell, RefCell};
use std::convert::Infallible;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use clap::Args;
use serde::Serialize;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::task::{JoinSet, LocalSet};
use tokio::time::{sleep, timeout};

use super::latency::{Latency, micros};

const REQUEST: &[u8] = b"GET / HTTP/1.0\r\n\r\n";
const REQUEST_END: &[u8] = b"\r\n\r\n";
const ANSWER: &[u8] = b"HTTP/1.0 200 OK\r\nServer: ExampleCam\r\nContent-Type: text/html\r\nContent-Length: 27\r\n\r\n\
    <html>Example camera</html>";

/// Bytes of a request or an answer: more than either has.
const MESSAGE_BYTES_MAX: usize = 512;

/// How long a visit may take. One that takes longer has failed.
const VISIT_TIMEOUT: Duration = Duration::from_secs(20);

/// Connections that wait to be taken by the device.
const BACKLOG: u32 = 4_096;

/// How long the device rests when the system has no connection for it.
const ACCEPT_RETRY: Duration = Duration::from_millis(50);

#[derive(Debug, Clone, Args)]
pub(super) struct VisitsArgs {
    /// Where the device is reached.
    #[arg(long, value_name = "ADDR:PORT")]
    address: SocketAddr,
    /// So many visits.
    #[arg(long, default_value_t = 20_000, value_parser = clap::value_parser!(u64).range(1..=10_000_000))]
    visits: u64,
    /// So many of them at the same time.
    #[arg(long, default_value_t = 128, value_parser = clap::value_parser!(u64).range(1..=10_000))]
    at_once: u64,
}

#[derive(Debug, Clone, Args)]
pub(super) struct DeviceArgs {
    /// Where it listens.
    #[arg(long, value_name = "ADDR:PORT")]
    listen: SocketAddr,
}

#[derive(Debug, Serialize)]
pub(super) struct VisitsResult {
    visits: u64,
    failed: u64,
    first_error: Option<String>,
    per_second: f64,
    /// Of a visit that did not fail, from its first packet to its last.
    latency: Latency,
}

/// Visits the device. Fails when no visit succeeds.
pub(super) async fn visit(args: &VisitsArgs) -> anyhow::Result<VisitsResult> {
    let (left, first_error) = (Rc::new(Cell::new(args.visits)), Rc::new(RefCell::new(None)));
    let address = args.address;
    let start = Instant::now();
    let local = LocalSet::new();
    let mut visitors = JoinSet::new();
    for _ in 0..args.at_once.min(args.visits) {
        let (left, first_error) = (Rc::clone(&left), Rc::clone(&first_error));
        visitors.spawn_local_on(
            async move {
                let mut latencies = Vec::new();
                while let Some(rest) = left.get().checked_sub(1) {
                    left.set(rest);
                    let began = Instant::now();
                    let visited = timeout(VISIT_TIMEOUT, visit_once(address)).await;
                    match visited.unwrap_or(Err(io::ErrorKind::TimedOut.into())) {
                        Ok(()) => latencies.push(micros(began.elapsed())),
                        Err(error) => drop(first_error.borrow_mut().get_or_insert(error.to_string())),
                    }
                }
                latencies
            },
            &local,
        );
    }
    let latencies = local.run_until(visitors.join_all()).await.concat();
    let elapsed = start.elapsed();
    let first_error = first_error.take();
    if latencies.is_empty() {
        bail!("no visit succeeded: {}", first_error.unwrap_or_default());
    }
    let succeeded = latencies.len() as u64;
    Ok(VisitsResult {
        visits: args.visits,
        failed: args.visits - succeeded,
        first_error,
        per_second: succeeded as f64 / elapsed.as_secs_f64(),
        latency: Latency::of(latencies),
    })
}

async fn visit_once(address: SocketAddr) -> io::Result<()> {
    let mut stream = TcpStream::connect(address).await?;
    stream.write_all(REQUEST).await?;
    let mut answer = [0; MESSAGE_BYTES_MAX];
    let mut bytes = 0;
    loop {
        match stream.read(&mut answer[bytes..]).await? {
            0 if answer[..bytes] == *ANSWER => return Ok(()),
            0 => return Err(io::Error::other("the answer is not the device's")),
            more => bytes += more,
        }
    }
}

/// Answers whoever asks, until the process is ended.
pub(super) async fn be_device(args: &DeviceArgs) -> anyhow::Result<Infallible> {
    let cannot = || format!("cannot listen on {}", args.listen);
    let socket = if args.listen.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() };
    let socket = socket.with_context(cannot)?;
    socket.set_reuseaddr(true).with_context(cannot)?;
    socket.bind(args.listen).with_context(cannot)?;
    let listener = socket.listen(BACKLOG).with_context(cannot)?;
    Ok(LocalSet::new().run_until(answer_all(listener)).await)
}

async fn answer_all(listener: TcpListener) -> Infallible {
    loop {
        match listener.accept().await {
            // A visitor that breaks off has no answer.
            Ok((stream, _)) => drop(tokio::task::spawn_local(async { drop(answer(stream).await) })),
            Err(_) => sleep(ACCEPT_RETRY).await,
        }
    }
}

async fn answer(mut stream: TcpStream) -> io::Result<()> {
    let mut request = [0; MESSAGE_BYTES_MAX];
    let mut bytes = 0;
    while !request[..bytes].ends_with(REQUEST_END) {
        match timeout(VISIT_TIMEOUT, stream.read(&mut request[bytes..])).await?? {
            0 => return Ok(()),
            more => bytes += more,
        }
    }
    stream.write_all(ANSWER).await
}

impl fmt::Display for VisitsResult {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { visits, failed, per_second, latency, .. } = self;
        write!(f, "{visits} visits, {failed} failed, {per_second:.0} a second, {latency}")?;
        self.first_error.iter().try_for_each(|error| write!(f, " (the first: {error})"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_visit_is_answered() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let address = listener.local_addr().unwrap();
            let local = LocalSet::new();
            local.spawn_local(answer_all(listener));
            let result = local.run_until(visit(&VisitsArgs { address, visits: 40, at_once: 4 })).await.unwrap();
            assert_eq!((result.visits, result.failed, result.first_error), (40, 0, None));
        });
    }

    #[test]
    fn visits_to_nobody_are_an_error() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let address = listener.local_addr().unwrap();
            drop(listener);
            assert!(visit(&VisitsArgs { address, visits: 1, at_once: 1 }).await.is_err());
        });
    }
}
