//! Which broker is loaded, and by whom.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use clap::Args;
use rustls::client::Resumption;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::wire::{Client, Connect};

/// How long a connection may take from its first packet to CONNACK. What takes longer is an error.
pub(super) const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Connections from one loopback address; a port can be used again only a minute after it was closed.
const CONNECTIONS_PER_ADDRESS: u64 = 200;

#[derive(Debug, Args)]
pub(super) struct TargetArgs {
    /// The broker.
    #[arg(long, value_name = "HOST:PORT", default_value = "localhost:8883")]
    broker: String,
    /// The broker's root certificate, PEM. Without it, MQTT is spoken without TLS.
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// The device's certificate, PEM.
    #[arg(long, value_name = "FILE", requires_all = ["key", "ca"])]
    certificate: Option<PathBuf>,
    /// The device's private key, PEM.
    #[arg(long, value_name = "FILE", requires = "certificate")]
    key: Option<PathBuf>,
    /// Speak TLS 1.2 instead of 1.3.
    #[arg(long, requires = "ca")]
    tls12: bool,
    /// Speak MQTT 5 instead of 3.1.1.
    #[arg(long)]
    v5: bool,
}

/// A broker that can be connected to. Cheap to clone.
#[derive(Clone)]
pub(super) struct Target {
    address: SocketAddr,
    tls: Option<(TlsConnector, ServerName<'static>)>,
    v5: bool,
}

impl TargetArgs {
    pub(super) async fn resolve(&self) -> anyhow::Result<Target> {
        let (host, _) = self.broker.rsplit_once(':').context("the broker is not of the form HOST:PORT")?;
        let mut addresses =
            tokio::net::lookup_host(&self.broker).await.with_context(|| format!("cannot resolve {}", self.broker))?;
        // IPv4 first: only its loopback network has addresses enough for many connections from one machine.
        let first = addresses.next().with_context(|| format!("{} has no address", self.broker))?;
        let address = if first.is_ipv4() { first } else { addresses.find(SocketAddr::is_ipv4).unwrap_or(first) };
        let tls = match &self.ca {
            Some(ca) => {
                let name = ServerName::try_from(host.to_owned()).with_context(|| format!("{host} is no host name"))?;
                Some((self.connector(ca)?, name))
            }
            None => None,
        };
        Ok(Target { address, tls, v5: self.v5 })
    }

    fn connector(&self, ca: &Path) -> anyhow::Result<TlsConnector> {
        let mut roots = RootCertStore::empty();
        for root in read_certificates(ca)? {
            roots.add(root).with_context(|| format!("{} is no root certificate", ca.display()))?;
        }
        let versions = if self.tls12 { [&rustls::version::TLS12] } else { [&rustls::version::TLS13] };
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&versions)
            .context("cannot speak TLS")?
            .with_root_certificates(roots);
        let mut config = match (&self.certificate, &self.key) {
            (Some(certificate), Some(key)) => {
                let private =
                    PrivateKeyDer::from_pem_file(key).with_context(|| format!("cannot read key {}", key.display()))?;
                builder
                    .with_client_auth_cert(read_certificates(certificate)?, private)
                    .context("the certificate and the key do not fit")?
            }
            _ => builder.with_no_client_auth(),
        };
        // Each connection is to cost what a device's first one costs.
        config.resumption = Resumption::disabled();
        Ok(TlsConnector::from(Arc::new(config)))
    }
}

impl Target {
    /// Whether MQTT 5 is spoken.
    pub(super) fn is_v5(&self) -> bool {
        self.v5
    }

    /// Opens a connection and exchanges CONNECT and CONNACK. `number` chooses the address it comes from.
    pub(super) async fn connect(&self, number: u64, connect: Connect<'_>) -> io::Result<Client> {
        let opening = async {
            let socket = self.open(number).await?;
            let stream: Box<dyn super::wire::Stream> = match &self.tls {
                Some((tls, name)) => Box::new(tls.connect(name.clone(), socket).await?),
                None => Box::new(socket),
            };
            Client::start(stream, self.v5, connect).await
        };
        match timeout(CONNECT_TIMEOUT, opening).await {
            Ok(result) => result,
            Err(_) => Err(io::Error::new(io::ErrorKind::TimedOut, "the broker did not answer in time")),
        }
    }

    /// Opens a TCP connection and says nothing over it.
    pub(super) async fn open(&self, number: u64) -> io::Result<TcpStream> {
        let socket = if self.address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
        if matches!(self.address.ip(), IpAddr::V4(address) if address.is_loopback()) {
            socket.set_reuseaddr(true)?;
            socket.bind(SocketAddr::new(loopback_address(number).into(), 0))?;
        }
        let stream = socket.connect(self.address).await?;
        stream.set_nodelay(true)?;
        Ok(stream)
    }
}

/// One of 40,000 loopback addresses.
fn loopback_address(number: u64) -> Ipv4Addr {
    let low = (number % CONNECTIONS_PER_ADDRESS) as u8;
    let high = (number / CONNECTIONS_PER_ADDRESS % 200) as u8;
    Ipv4Addr::new(127, 0, 1 + high, 1 + low)
}

fn read_certificates(path: &Path) -> anyhow::Result<Vec<CertificateDer<'static>>> {
    let certificates: Vec<_> = CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect)
        .with_context(|| format!("cannot read certificate {}", path.display()))?;
    if certificates.is_empty() {
        bail!("{} holds no certificate", path.display());
    }
    Ok(certificates)
}
