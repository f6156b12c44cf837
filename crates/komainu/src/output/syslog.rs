//! Lines to a collector of syslog: RFC 5424 over TCP (RFC 6587, octet counting) or TLS (RFC 5425).

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use anyhow::{Context, anyhow};
use komainu_ports::{ByteStream, LogBudget};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsConnector;
use tracing::{info, warn};

use super::ecs::{ALARM_SEVERITY, ATTACK_SEVERITY, calendar};
use super::{Line, LineKind, Tally, events};

/// A connection with its handshake, and the writing of one line, may take so long.
const STEP_TIMEOUT: Duration = Duration::from_secs(10);
/// After a failure it is tried again after the first, then after twice as long, up to the last.
const PAUSE_FIRST: Duration = Duration::from_secs(1);
const PAUSE_MAX: Duration = Duration::from_secs(30);
/// The facility `local0` (RFC 5424, section 6.2.1).
const FACILITY: u8 = 16;
/// Characters of a host name in a header (RFC 5424, section 6).
const HOST_CHARS_MAX: usize = 255;

/// Who takes lines.
pub(super) struct Collector {
    host: String,
    port: u16,
    way: Way,
    /// As this machine calls itself.
    from: String,
}

enum Way {
    Tcp,
    /// TLS is asked for, and not set up yet.
    TlsToBe,
    Tls(TlsConnector, ServerName<'static>),
}

type Stream = Box<dyn ByteStream>;

impl Collector {
    /// Reads an address.
    pub(super) fn parse(address: &str) -> anyhow::Result<Self> {
        let wrong = || anyhow!("output.syslog is {address:?}: write tcp://HOST:PORT or tls://HOST:PORT");
        let (scheme, place) = address.split_once("://").ok_or_else(wrong)?;
        let way = match scheme {
            "tcp" => Way::Tcp,
            "tls" => Way::TlsToBe,
            _ => return Err(wrong()),
        };
        let (host, port) = place.rsplit_once(':').ok_or_else(wrong)?;
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        let port = port.parse().ok().filter(|port| *port != 0).ok_or_else(wrong)?;
        if host.is_empty() || host.contains(['/', '@']) {
            return Err(wrong());
        }
        Ok(Self { host, port, way, from: host_name() })
    }

    /// The same, ready to connect.
    pub(super) fn open(address: &str, ca: Option<&Path>) -> anyhow::Result<Self> {
        let mut collector = Self::parse(address)?;
        if let (true, Some(ca)) = (collector.is_tls(), ca) {
            let failed = || format!("cannot use {} (output.syslog_ca_file)", ca.display());
            let mut roots = RootCertStore::empty();
            for certificate in CertificateDer::pem_file_iter(ca).with_context(failed)? {
                roots.add(certificate.with_context(failed)?).with_context(failed)?;
            }
            let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
            let config = ClientConfig::builder_with_provider(provider)
                .with_safe_default_protocol_versions()
                .context("TLS cannot be set up")?
                .with_root_certificates(roots)
                .with_no_client_auth();
            let name = ServerName::try_from(collector.host.clone())
                .with_context(|| format!("output.syslog is {address:?}: its host is no name of a server"))?;
            collector.way = Way::Tls(TlsConnector::from(Arc::new(config)), name);
        }
        Ok(collector)
    }

    pub(super) const fn is_tls(&self) -> bool {
        match self.way {
            Way::Tcp => false,
            Way::TlsToBe | Way::Tls(..) => true,
        }
    }

    async fn connect(&self) -> anyhow::Result<Stream> {
        let connected = async {
            let tcp = TcpStream::connect((self.host.as_str(), self.port)).await.context("cannot connect")?;
            Ok(match &self.way {
                Way::Tcp => Box::new(tcp) as Stream,
                Way::Tls(connector, name) => {
                    Box::new(connector.connect(name.clone(), tcp).await.context("no TLS")?) as Stream
                }
                Way::TlsToBe => return Err(anyhow!("TLS was not set up")),
            })
        };
        timeout(STEP_TIMEOUT, connected).await.unwrap_or_else(|_| Err(anyhow!("it took too long to connect")))
    }

    /// The line as it is sent: its length, a space, the message.
    fn framed(&self, line: &Line) -> Vec<u8> {
        let (severity, id) = match line.kind {
            LineKind::Alarm => (ALARM_SEVERITY, "alarm"),
            LineKind::Attack => (ATTACK_SEVERITY, "attack"),
        };
        let priority = FACILITY * 8 + severity;
        let header = format!("<{priority}>1 {} {} komainu - {id} - ", calendar(line.at), self.from);
        let mut framed = format!("{} {header}", header.len() + line.json.len()).into_bytes();
        framed.extend_from_slice(&line.json);
        framed
    }
}

/// Whether the collector has closed the connection. The system takes a line for such a connection without an error, and it would
/// be lost. A collector says nothing: what it says all the same is thrown away.
async fn has_left(stream: &mut Stream) -> bool {
    let mut said = [0; 512];
    loop {
        match timeout(Duration::ZERO, stream.read(&mut said)).await {
            Ok(Ok(0) | Err(_)) => return true,
            Ok(Ok(_)) => {}
            Err(_nothing) => return false,
        }
    }
}

/// What this machine calls itself, or `-` when that is no word of printable ASCII.
fn host_name() -> String {
    let name = nix::unistd::gethostname().ok().and_then(|name| name.into_string().ok()).unwrap_or_default();
    let is_word = !name.is_empty() && name.len() <= HOST_CHARS_MAX && name.bytes().all(|byte| byte.is_ascii_graphic());
    if is_word { name } else { "-".to_owned() }
}

/// Sends lines until nobody tells any more. A line whose sending failed is sent again, so that it may arrive twice.
pub(super) async fn send_all(collector: Collector, mut queue: mpsc::Receiver<Line>, tally: Arc<Tally>) {
    let budget = LogBudget::default();
    let (mut stream, mut pause): (Option<Stream>, _) = (None, PAUSE_FIRST);
    while let Some(line) = queue.recv().await {
        let framed = collector.framed(&line);
        loop {
            match send(&collector, &mut stream, &framed).await {
                Ok(()) => {
                    pause = PAUSE_FIRST;
                    tally.written.fetch_add(1, Ordering::Relaxed);
                    break;
                }
                Err(error) => {
                    stream = None;
                    if let Some(suppressed) = budget.take_now() {
                        let error = format!("{error:#}");
                        warn!(event = events::FAILED, way = "syslog", error, suppressed, "lines cannot be sent");
                    }
                    // At the end nobody is waited for: what is left is lost, and counted.
                    if queue.is_closed() {
                        tally.dropped.fetch_add(1 + queue.len() as u64, Ordering::Relaxed);
                        return;
                    }
                    sleep(pause).await;
                    pause = (pause * 2).min(PAUSE_MAX);
                }
            }
        }
    }
    if let Some(mut stream) = stream {
        let _ = timeout(STEP_TIMEOUT, stream.shutdown()).await;
    }
}

async fn send(collector: &Collector, stream: &mut Option<Stream>, framed: &[u8]) -> anyhow::Result<()> {
    if let Some(open) = stream
        && has_left(open).await
    {
        *stream = None;
    }
    if stream.is_none() {
        *stream = Some(collector.connect().await?);
        let (host, port) = (&collector.host, collector.port);
        info!(event = events::WORKS, way = "syslog", host, port, "the collector takes lines");
    }
    let Some(open) = stream else { return Ok(()) };
    let sent = async {
        open.write_all(framed).await?;
        open.flush().await
    };
    timeout(STEP_TIMEOUT, sent).await.context("it took too long")?.context("cannot send")
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use komainu_model::Timestamp;
    use tokio::io::AsyncReadExt;
    use tokio::net::TcpListener;

    use super::*;

    fn line(kind: LineKind) -> Line {
        Line { at: Timestamp::from_unix_millis(1_700_000_000_123), kind, json: Bytes::from_static(b"{\"a\":1}") }
    }

    #[test]
    fn messages_have_the_form_of_the_standards() {
        let mut collector = Collector::parse("tcp://[::1]:601").unwrap();
        assert_eq!((collector.host.as_str(), collector.port), ("::1", 601));
        collector.from = "hub".to_owned();
        let check = |kind, expected: &str| {
            assert_eq!(String::from_utf8(collector.framed(&line(kind))).unwrap(), expected);
        };
        check(LineKind::Alarm, "61 <132>1 2023-11-14T22:13:20.123Z hub komainu - alarm - {\"a\":1}");
        check(LineKind::Attack, "62 <134>1 2023-11-14T22:13:20.123Z hub komainu - attack - {\"a\":1}");
    }

    #[tokio::test]
    async fn a_collector_that_comes_back_gets_what_waited() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("tcp://{}", listener.local_addr().unwrap());
        let (way, queue) = mpsc::channel(10);
        let tally = Arc::new(Tally::default());
        let sending = tokio::spawn(send_all(Collector::open(&address, None).unwrap(), queue, tally.clone()));
        way.send(line(LineKind::Alarm)).await.unwrap();
        let (mut first, _) = listener.accept().await.unwrap();
        let mut begin = [0; 4];
        first.read_exact(&mut begin).await.unwrap();
        assert!(begin.starts_with(b"6") || begin.starts_with(b"7"), "{begin:?}");
        way.send(line(LineKind::Attack)).await.unwrap();
        drop(way);
        let mut rest = String::new();
        first.read_to_string(&mut rest).await.unwrap();
        assert!(rest.ends_with("komainu - attack - {\"a\":1}"), "{rest}");
        sending.await.unwrap();
        assert_eq!(tally.written.load(Ordering::Relaxed), 2);
    }

    #[tokio::test]
    async fn nothing_is_said_to_a_collector_that_has_left() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("tcp://{}", listener.local_addr().unwrap());
        let (way, queue) = mpsc::channel(10);
        let tally = Arc::new(Tally::default());
        let sending = tokio::spawn(send_all(Collector::open(&address, None).unwrap(), queue, tally.clone()));
        for kind in [LineKind::Alarm, LineKind::Attack] {
            way.send(line(kind)).await.unwrap();
            let (mut connection, _) = listener.accept().await.unwrap();
            let mut told = [0; 64];
            let bytes = connection.read(&mut told).await.unwrap();
            assert!(bytes > 0, "the line of {kind:?} came to nobody");
            // Closed before the next line is told.
            drop(connection);
        }
        drop(way);
        sending.await.unwrap();
        assert_eq!(tally.written.load(Ordering::Relaxed), 2);
    }
}
