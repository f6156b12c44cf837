//! Fetching what attackers tell a persona to fetch: off, unless the sensor's owner says otherwise.
//!
//! In: URLs, with the session that named them. Out: a line `fetch` for each, and the file as an artifact. A URL is
//! fetched once in 24 hours, a host asked so many times in an hour, so that nobody makes a weapon of a sensor; and only
//! hosts of the internet are asked. The address that was judged is the one that is connected to: a name is resolved once,
//! and every redirect is judged anew. Nothing is decompressed and nothing is run.
//!
//! One task owns the queue and starts the fetches; at most [`AT_ONCE_MAX`] run, and each holds one file in memory.

mod address;
mod dial;
mod ftp;
mod history;
mod http;
mod location;
mod tftp;
mod tls;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use komainu_ports::{BoxFuture, Clock, LogBudget};
use serde::Serialize;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};
use tracing::warn;

pub use self::address::AddressPolicy;
pub(crate) use self::address::is_global;
use self::dial::Dialer;
pub use self::dial::{Proxy, ProxyError, SystemResolver};
#[cfg(fuzzing)]
pub(crate) use self::ftp::check_bytes as check_ftp_reply;
use self::history::{History, Seen};
#[cfg(fuzzing)]
pub(crate) use self::location::check_bytes as check_url;
use self::location::{Location, Scheme};
use self::tls::Shown;
pub(crate) use self::tls::accepting_any_certificate;
use crate::artifact::{Kind, Sha256Digest, Stored};
use crate::eve::Text;
use crate::events;
use crate::session::Afterword;

/// URLs that wait: each is 3 KiB at most. A further one is refused and recorded as such.
const WAITING_MAX: usize = 256;

/// Fetches at the same time: bounds the memory for files, and how fast a sensor can be made to ask.
const AT_ONCE_MAX: usize = 4;

/// Requests to all hosts in an hour, redirects included: nobody scans a network by means of a sensor. A further one is
/// refused before its name is resolved.
const PER_HOUR_MAX: u32 = 1000;

/// Bytes of a redirect's target, or of another text of a server, that are recorded.
const SHOWN_BYTES_MAX: usize = 2048;

/// How a sensor fetches.
#[derive(Debug, Clone)]
pub struct FetchConfig {
    /// By which way.
    pub mode: FetchMode,
    /// Its bounds.
    pub limits: FetchLimits,
}

/// By which way files are fetched.
#[derive(Debug, Clone)]
pub enum FetchMode {
    /// From the server itself, from this address of the machine if there is one.
    Direct(Option<IpAddr>),
    /// Through a proxy, which then resolves names.
    Proxied(Proxy),
}

/// The bounds of fetches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FetchLimits {
    /// Requests to one address, or to one name through a proxy, in an hour. A dropper has its program for a dozen
    /// processors. A further one is refused.
    pub per_host_per_hour: u32,
    /// Bytes of a file. Nothing of a larger one is stored.
    pub bytes_max: usize,
    /// Seconds for all of a fetch: resolving, redirects, file.
    pub timeout_s: u64,
    /// Redirects that are followed.
    pub redirects_max: u32,
}

impl Default for FetchLimits {
    fn default() -> Self {
        Self { per_host_per_hour: 24, bytes_max: 32 << 20, timeout_s: 60, redirects_max: 3 }
    }
}

/// What fetching needs of the rest.
pub struct FetchPorts {
    /// Which addresses may be connected to.
    pub policy: AddressPolicy,
    /// Resolves names.
    pub resolver: Arc<dyn Resolver>,
    /// Tells the time.
    pub clock: Arc<dyn Clock>,
}

/// Resolves names.
pub trait Resolver: Send + Sync {
    /// The addresses of a host; none when there are none, for whatever reason.
    fn resolve<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Vec<IpAddr>>;
}

/// Fetches files.
#[derive(Debug)]
pub struct Fetcher {
    queue: FetchQueue,
    stop: watch::Sender<bool>,
    /// Ends when the last fetch has.
    gone: mpsc::Receiver<()>,
}

/// Takes URLs that are to be fetched.
#[derive(Debug, Clone)]
pub struct FetchQueue(Arc<Queue>);

#[derive(Debug)]
struct Queue {
    orders: mpsc::Sender<Order>,
    clock: ClockOf,
    refused: LogBudget,
}

/// A URL that is to be fetched.
#[derive(Debug)]
pub(crate) struct Order {
    /// Whose session named it.
    pub(crate) afterword: Afterword,
    pub(crate) url: Box<[u8]>,
    /// The program that was told to fetch it, if it was one.
    pub(crate) program: Option<String>,
}

/// A clock in microseconds since 1970.
#[derive(Clone)]
struct ClockOf(Arc<dyn Clock>);

impl ClockOf {
    fn now(&self) -> i64 {
        self.0.now().unix_millis().saturating_mul(1000)
    }
}

impl std::fmt::Debug for ClockOf {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("ClockOf")
    }
}

/// Why a file was not fetched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum WhyNot {
    /// It is no URL, or one that can be understood in two ways.
    Form,
    Scheme,
    UserInfo,
    HostName,
    /// An address that is not written as such, or with a zone.
    AddressSpelling,
    Port,
    AddressNotGlobal,
    OwnAddress,
    /// The address to fetch from is of IPv4, and that of the server of IPv6, or the other way round.
    AddressFamily,
    /// TFTP has no connections that a proxy could carry.
    NotByProxy,
    QueueFull,
    Rate,
    HostRate,
    Redirects,
    NotResolved,
    NotConnected,
    Proxy,
    Tls,
    Protocol,
    /// The connection ended before the file did.
    Closed,
    /// The server does not give the file.
    Status,
    TooLarge,
    TimedOut,
    Stopped,
}

impl WhyNot {
    /// Its name in `honeypot.json` (docs/sensors.md).
    const fn name(self) -> &'static str {
        match self {
            Self::Form => "form",
            Self::Scheme => "scheme",
            Self::UserInfo => "user_info",
            Self::HostName => "host_name",
            Self::AddressSpelling => "address_spelling",
            Self::Port => "port",
            Self::AddressNotGlobal => "address_not_global",
            Self::OwnAddress => "own_address",
            Self::AddressFamily => "address_family",
            Self::NotByProxy => "not_by_proxy",
            Self::QueueFull => "queue_full",
            Self::Rate => "per_hour",
            Self::HostRate => "per_host_per_hour",
            Self::Redirects => "redirects_max",
            Self::NotResolved => "not_resolved",
            Self::NotConnected => "not_connected",
            Self::Proxy => "proxy",
            Self::Tls => "tls",
            Self::Protocol => "protocol",
            Self::Closed => "closed",
            Self::Status => "status",
            Self::TooLarge => "bytes_max",
            Self::TimedOut => "timeout_s",
            Self::Stopped => "stopped",
        }
    }

    const fn outcome(self) -> Outcome {
        match self {
            Self::Form
            | Self::Scheme
            | Self::UserInfo
            | Self::HostName
            | Self::AddressSpelling
            | Self::Port
            | Self::AddressNotGlobal
            | Self::OwnAddress
            | Self::AddressFamily
            | Self::NotByProxy
            | Self::QueueFull
            | Self::Rate
            | Self::HostRate
            | Self::Redirects => Outcome::Refused,
            Self::TooLarge => Outcome::TooLarge,
            Self::NotResolved
            | Self::NotConnected
            | Self::Proxy
            | Self::Tls
            | Self::Protocol
            | Self::Closed
            | Self::Status
            | Self::TimedOut
            | Self::Stopped => Outcome::Failed,
        }
    }
}

/// What became of a URL.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Outcome {
    Fetched,
    /// It was asked for within the last 24 hours.
    Known,
    /// By a rule of ours.
    Refused,
    /// By the network or the server.
    Failed,
    TooLarge,
}

/// What was learned while fetching, as far as it came.
#[derive(Debug, Default)]
struct Trace {
    final_url: Option<String>,
    redirects: u32,
    status: Option<u16>,
    address: Option<IpAddr>,
    /// Bytes of the file.
    bytes: u64,
    certificate: Option<Shown>,
}

/// A line `fetch` of `honeypot.json`.
#[derive(Debug, Serialize)]
struct FetchLine<'a> {
    url: Text<'a>,
    session_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    program: Option<&'a str>,
    outcome: Outcome,
    #[serde(skip_serializing_if = "Option::is_none")]
    why_not: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    final_url: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    address: Option<IpAddr>,
    #[serde(skip_serializing_if = "Option::is_none")]
    bytes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sha256: Option<Sha256Digest>,
    #[serde(skip_serializing_if = "Option::is_none")]
    kind: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stored: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    certificate: Option<&'a Shown>,
    #[serde(skip_serializing_if = "Option::is_none")]
    duration_ms: Option<u64>,
}

impl<'a> FetchLine<'a> {
    fn new(order: &'a Order, outcome: Outcome) -> Self {
        Self {
            url: Text(&order.url),
            session_id: order.afterword.session_id(),
            program: order.program.as_deref(),
            outcome,
            why_not: None,
            final_url: None,
            status: None,
            address: None,
            bytes: None,
            sha256: None,
            kind: None,
            stored: None,
            certificate: None,
            duration_ms: None,
        }
    }

    fn refused(order: &'a Order, why: WhyNot) -> Self {
        Self { why_not: Some(why.name()), ..Self::new(order, why.outcome()) }
    }
}

impl FetchQueue {
    /// Takes a URL, or records that there is no room.
    pub(crate) fn offer(&self, order: Order) {
        let queue = &*self.0;
        let order = match queue.orders.try_send(order) {
            Ok(()) => return,
            Err(mpsc::error::TrySendError::Full(order) | mpsc::error::TrySendError::Closed(order)) => order,
        };
        let line = FetchLine::refused(&order, WhyNot::QueueFull);
        order.afterword.note(queue.clock.now(), "fetch", &line);
        if let Some(suppressed) = queue.refused.take_now() {
            let limit = "fetches_waiting_max";
            warn!(event = events::LIMIT_REACHED, limit, suppressed, "URL is not fetched");
        }
    }
}

impl Fetcher {
    /// Starts fetching what is put into its queue.
    pub fn start(config: FetchConfig, ports: FetchPorts) -> Self {
        let (orders, waiting) = mpsc::channel(WAITING_MAX);
        let (stop, stopped) = watch::channel(false);
        let (alive, gone) = mpsc::channel(1);
        let clock = ClockOf(ports.clock);
        let work = Arc::new(Work {
            dialer: Dialer::new(config.mode, ports.policy, ports.resolver),
            limits: config.limits,
            history: History::default(),
            clock: clock.clone(),
        });
        drop(tokio::spawn(fetch_all(work, waiting, stopped, alive)));
        let queue = FetchQueue(Arc::new(Queue { orders, clock, refused: LogBudget::default() }));
        Self { queue, stop, gone }
    }

    /// Where URLs are put.
    pub fn queue(&self) -> FetchQueue {
        self.queue.clone()
    }

    /// Gives up what is being fetched and what waits, and returns when each has its line.
    pub async fn shutdown(mut self) {
        let _ = self.stop.send(true);
        // Nothing is ever sent: this ends when the task has, which waits for nobody.
        let _ = self.gone.recv().await;
    }
}

/// What fetches share.
struct Work {
    dialer: Dialer,
    limits: FetchLimits,
    history: History,
    clock: ClockOf,
}

/// Starts a fetch for each URL that is not known, until the sensor stops.
async fn fetch_all(
    work: Arc<Work>,
    mut waiting: mpsc::Receiver<Order>,
    mut stop: watch::Receiver<bool>,
    alive: mpsc::Sender<()>,
) {
    let mut running = JoinSet::new();
    loop {
        let order = tokio::select! {
            biased;
            _ = stop.wait_for(|stop| *stop) => break,
            Some(_) = running.join_next(), if !running.is_empty() => continue,
            order = waiting.recv(), if running.len() < AT_ONCE_MAX => match order {
                Some(order) => order,
                None => break,
            },
        };
        match work.history.begin(&order.url, Instant::now()) {
            Seen::New => {
                running.spawn(fetch_one(work.clone(), order, stop.clone()));
            }
            Seen::Before(sha256) => {
                let line = FetchLine { sha256, ..FetchLine::new(&order, Outcome::Known) };
                order.afterword.note(work.clock.now(), "fetch", &line);
            }
        }
    }
    waiting.close();
    while let Some(order) = waiting.recv().await {
        order.afterword.note(work.clock.now(), "fetch", &FetchLine::refused(&order, WhyNot::Stopped));
    }
    while running.join_next().await.is_some() {}
    drop(alive);
}

async fn fetch_one(work: Arc<Work>, order: Order, mut stop: watch::Receiver<bool>) {
    let began = Instant::now();
    let mut trace = Trace::default();
    let fetched = tokio::select! {
        biased;
        _ = stop.wait_for(|stop| *stop) => Err(WhyNot::Stopped),
        fetched = timeout(Duration::from_secs(work.limits.timeout_s), fetch(&work, &order.url, &mut trace)) => {
            fetched.unwrap_or(Err(WhyNot::TimedOut))
        }
    };
    let now = work.clock.now();
    let (outcome, why_not) = match &fetched {
        Ok(_) => (Outcome::Fetched, None),
        Err(why) => (why.outcome(), Some(why.name())),
    };
    let kept = match &fetched {
        Ok(file) if !file.contents.is_empty() => {
            let (sha256, stored) = order.afterword.fetched(now, &file.name, &file.contents);
            work.history.fetched(&order.url, sha256);
            Some((sha256, stored != Stored::No, Kind::of(&file.contents).to_string()))
        }
        Ok(_) | Err(_) => None,
    };
    let line = FetchLine {
        why_not,
        final_url: trace.final_url.as_deref(),
        status: trace.status,
        address: trace.address,
        bytes: (fetched.is_ok() || trace.bytes > 0).then_some(trace.bytes),
        sha256: kept.as_ref().map(|(sha256, ..)| *sha256),
        stored: kept.as_ref().map(|(_, stored, _)| *stored),
        kind: kept.map(|(.., kind)| kind),
        certificate: trace.certificate.as_ref(),
        duration_ms: Some(u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX)),
        ..FetchLine::new(&order, outcome)
    };
    order.afterword.note(now, "fetch", &line);
}

/// A file that was fetched.
#[derive(Debug)]
struct Fetched {
    /// The last part of its path.
    name: String,
    contents: Vec<u8>,
}

/// What a server said to one request.
#[derive(Debug)]
enum Said {
    File(Vec<u8>),
    /// It has it elsewhere.
    Redirect(String),
}

async fn fetch(work: &Work, url: &[u8], trace: &mut Trace) -> Result<Fetched, WhyNot> {
    let mut location = Location::parse(url)?;
    loop {
        if !work.history.may_ask("every host".to_owned(), PER_HOUR_MAX, Instant::now()) {
            return Err(WhyNot::Rate);
        }
        // Each place is judged anew, however one came to it.
        let place = work.dialer.place(&location).await?;
        trace.address = place.address();
        if !work.history.may_ask(place.host(), work.limits.per_host_per_hour, Instant::now()) {
            return Err(WhyNot::HostRate);
        }
        let bytes_max = work.limits.bytes_max;
        let said = match location.scheme {
            Scheme::Http | Scheme::Https => http::get(&work.dialer, &place, &location, bytes_max, trace).await?,
            Scheme::Ftp => Said::File(ftp::get(&work.dialer, &place, &location, bytes_max, trace).await?),
            Scheme::Tftp => Said::File(tftp::get(&work.dialer, &place, &location, bytes_max, trace).await?),
        };
        match said {
            Said::File(contents) => return Ok(Fetched { name: location.file_name().to_owned(), contents }),
            Said::Redirect(to) => {
                trace.final_url = Some(to.chars().take(SHOWN_BYTES_MAX).collect());
                if trace.redirects >= work.limits.redirects_max {
                    return Err(WhyNot::Redirects);
                }
                trace.redirects += 1;
                location = location.redirected(&to)?;
                trace.final_url = Some(location.to_string());
                trace.address = None;
            }
        }
    }
}

#[cfg(test)]
mod tests;
