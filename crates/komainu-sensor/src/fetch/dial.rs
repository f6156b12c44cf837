//! From a host's name to a connection: resolved once, judged, and then that address and no other.

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use komainu_ports::BoxFuture;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream, UdpSocket};
use tokio::time::timeout;

use super::address::AddressPolicy;
use super::location::{Host, Location, Scheme};
use super::{FetchMode, Resolver, WhyNot};

/// How long a server may take to accept a connection. Those of droppers are there at once or never.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Addresses of a name that are looked at. A name with more is refused as one that does not resolve.
const ADDRESSES_MAX: usize = 64;

/// Bytes of a proxy's answer to CONNECT.
const PROXY_HEAD_BYTES_MAX: usize = 8 * 1024;

/// The system's resolver.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemResolver;

impl Resolver for SystemResolver {
    fn resolve<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Vec<IpAddr>> {
        Box::pin(async move {
            // With the dot it is the whole name: no search list of this machine is tried.
            match tokio::net::lookup_host((format!("{name}."), 0)).await {
                Ok(found) => found.map(|address| address.ip()).take(ADDRESSES_MAX + 1).collect(),
                Err(_) => Vec::new(),
            }
        })
    }
}

/// A proxy that asks for no password.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proxy {
    kind: ProxyKind,
    host: String,
    port: u16,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ProxyKind {
    /// SOCKS 5 (RFC 1928).
    Socks5,
    /// CONNECT (RFC 9110, 9.3.6).
    Http,
}

/// A text that is no proxy.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is no proxy: it must be socks5://HOST:PORT or http://HOST:PORT")]
pub struct ProxyError {
    text: String,
}

impl Proxy {
    /// Reads `socks5://HOST:PORT` or `http://HOST:PORT`.
    pub fn parse(text: &str) -> Result<Self, ProxyError> {
        let wrong = || ProxyError { text: text.to_owned() };
        let (scheme, rest) = text.split_once("://").ok_or_else(wrong)?;
        let kind = match scheme {
            "socks5" => ProxyKind::Socks5,
            "http" => ProxyKind::Http,
            _ => return Err(wrong()),
        };
        let (host, port) = rest.trim_end_matches('/').rsplit_once(':').ok_or_else(wrong)?;
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let port = port.parse().ok().filter(|port| *port != 0).ok_or_else(wrong)?;
        if host.is_empty() || host.contains(['@', '/']) {
            return Err(wrong());
        }
        Ok(Self { kind, host: host.to_owned(), port })
    }
}

impl fmt::Display for Proxy {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.kind {
            ProxyKind::Socks5 => "socks5",
            ProxyKind::Http => "http",
        };
        write!(formatter, "{kind}://{}:{}", self.host, self.port)
    }
}

/// Makes connections.
pub(super) struct Dialer {
    mode: FetchMode,
    policy: AddressPolicy,
    resolver: Arc<dyn Resolver>,
}

/// A server that may be connected to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Place {
    /// This address.
    Pinned(SocketAddr),
    /// Whatever address the proxy finds.
    Proxied(Host, u16),
}

impl Place {
    /// Its address, as far as it is known.
    pub(super) fn address(&self) -> Option<IpAddr> {
        match self {
            Self::Pinned(address) => Some(address.ip()),
            Self::Proxied(Host::Address(address), _) => Some(*address),
            Self::Proxied(Host::Name(_), _) => None,
        }
    }

    /// Under what its requests are counted: an address of IPv4, a /64 of IPv6, which is one customer, or a name.
    pub(super) fn host(&self) -> String {
        match (self.address(), self) {
            (Some(IpAddr::V4(address)), _) => address.to_string(),
            (Some(IpAddr::V6(address)), _) => format!("{:x}/64", u128::from(address) >> 64),
            (None, Self::Proxied(host, _)) => host.to_string(),
            (None, Self::Pinned(address)) => address.to_string(),
        }
    }

    /// Another port of the same host.
    pub(super) fn with_port(&self, port: u16) -> Self {
        match self {
            Self::Pinned(address) => Self::Pinned(SocketAddr::new(address.ip(), port)),
            Self::Proxied(host, _) => Self::Proxied(host.clone(), port),
        }
    }
}

impl Dialer {
    pub(super) fn new(mode: FetchMode, policy: AddressPolicy, resolver: Arc<dyn Resolver>) -> Self {
        Self { mode, policy, resolver }
    }

    /// Finds the server of a location and judges it. One address of a name that may not be connected to makes all of them
    /// suspect: that is what names for attacks on private networks look like.
    pub(super) async fn place(&self, location: &Location) -> Result<Place, WhyNot> {
        if let Host::Address(address) = location.host {
            self.policy.check(address)?;
        }
        let source = match &self.mode {
            FetchMode::Proxied(_) if location.scheme == Scheme::Tftp => return Err(WhyNot::NotByProxy),
            FetchMode::Proxied(_) => return Ok(Place::Proxied(location.host.clone(), location.port)),
            FetchMode::Direct(source) => *source,
        };
        let addresses = match &location.host {
            Host::Address(address) => vec![*address],
            Host::Name(name) => self.resolver.resolve(name).await,
        };
        if addresses.is_empty() || addresses.len() > ADDRESSES_MAX {
            return Err(WhyNot::NotResolved);
        }
        for address in &addresses {
            self.policy.check(*address)?;
        }
        // IPv4 first, as on most devices.
        let is_usable = |address: &&IpAddr| source.is_none_or(|source| source.is_ipv4() == address.is_ipv4());
        let mut usable = addresses.iter().filter(is_usable);
        let first = usable.clone().find(|address| address.is_ipv4()).or_else(|| usable.next());
        let address = first.ok_or(WhyNot::AddressFamily)?;
        Ok(Place::Pinned(SocketAddr::new(*address, location.port)))
    }

    /// Connects.
    pub(super) async fn connect(&self, place: &Place) -> Result<TcpStream, WhyNot> {
        match (place, &self.mode) {
            (Place::Pinned(address), FetchMode::Direct(source)) => {
                let connected = timeout(CONNECT_TIMEOUT, connect_from(*source, *address)).await;
                connected.map_err(|_elapsed| WhyNot::NotConnected)?.map_err(|_| WhyNot::NotConnected)
            }
            (Place::Proxied(host, port), FetchMode::Proxied(proxy)) => {
                let connected = TcpStream::connect((proxy.host.as_str(), proxy.port));
                let connected = timeout(CONNECT_TIMEOUT, connected).await.map_err(|_elapsed| WhyNot::Proxy)?;
                let mut stream = connected.map_err(|_| WhyNot::Proxy)?;
                match proxy.kind {
                    ProxyKind::Socks5 => socks5(&mut stream, host, *port).await?,
                    ProxyKind::Http => http_connect(&mut stream, host, *port).await?,
                }
                Ok(stream)
            }
            (Place::Pinned(_), FetchMode::Proxied(_)) | (Place::Proxied(..), FetchMode::Direct(_)) => {
                unreachable!("a place is found in the mode in which it is connected to")
            }
        }
    }

    /// A socket for datagrams to a server. It is not connected: who answers is looked at.
    pub(super) async fn datagrams(&self, place: &Place) -> Result<(UdpSocket, SocketAddr), WhyNot> {
        let (Place::Pinned(server), FetchMode::Direct(source)) = (place, &self.mode) else {
            return Err(WhyNot::NotByProxy);
        };
        let any = if server.is_ipv4() { IpAddr::from([0; 4]) } else { IpAddr::from([0; 16]) };
        let socket = UdpSocket::bind((source.unwrap_or(any), 0)).await.map_err(|_| WhyNot::NotConnected)?;
        Ok((socket, *server))
    }
}

async fn connect_from(source: Option<IpAddr>, address: SocketAddr) -> io::Result<TcpStream> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    if let Some(source) = source {
        socket.bind(SocketAddr::new(source, 0))?;
    }
    socket.connect(address).await
}

async fn socks5(stream: &mut TcpStream, host: &Host, port: u16) -> Result<(), WhyNot> {
    /// Version, how many methods, and the one without authentication.
    const GREETING: [u8; 3] = [5, 1, 0];
    const CONNECT: u8 = 1;
    let failed = |_: io::Error| WhyNot::Proxy;
    stream.write_all(&GREETING).await.map_err(failed)?;
    let mut chosen = [0; 2];
    stream.read_exact(&mut chosen).await.map_err(failed)?;
    if chosen != [5, 0] {
        return Err(WhyNot::Proxy);
    }
    let mut request = vec![5, CONNECT, 0];
    match host {
        Host::Address(IpAddr::V4(address)) => {
            request.push(1);
            request.extend_from_slice(&address.octets());
        }
        Host::Address(IpAddr::V6(address)) => {
            request.push(4);
            request.extend_from_slice(&address.octets());
        }
        Host::Name(name) => {
            request.push(3);
            request.push(u8::try_from(name.len()).map_err(|_| WhyNot::HostName)?);
            request.extend_from_slice(name.as_bytes());
        }
    }
    request.extend_from_slice(&port.to_be_bytes());
    stream.write_all(&request).await.map_err(failed)?;
    let mut reply = [0; 4];
    stream.read_exact(&mut reply).await.map_err(failed)?;
    let address_bytes = match reply {
        [5, 0, _, 1] => 4,
        [5, 0, _, 4] => 16,
        [5, 0, _, 3] => usize::from(stream.read_u8().await.map_err(failed)?),
        [5, 2..=8, ..] => return Err(WhyNot::NotConnected),
        _ => return Err(WhyNot::Proxy),
    };
    let mut bound = vec![0; address_bytes + 2];
    stream.read_exact(&mut bound).await.map_err(failed)?;
    Ok(())
}

async fn http_connect(stream: &mut TcpStream, host: &Host, port: u16) -> Result<(), WhyNot> {
    let failed = |_: io::Error| WhyNot::Proxy;
    let request = format!("CONNECT {host}:{port} HTTP/1.1\r\nHost: {host}:{port}\r\n\r\n");
    stream.write_all(request.as_bytes()).await.map_err(failed)?;
    // Byte by byte: what is behind the head is the server's.
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        if head.len() >= PROXY_HEAD_BYTES_MAX {
            return Err(WhyNot::Proxy);
        }
        head.push(stream.read_u8().await.map_err(failed)?);
    }
    let status = head.split(|byte| *byte == b' ').nth(1).unwrap_or_default();
    match status.first() {
        Some(b'2') => Ok(()),
        Some(b'5') => Err(WhyNot::NotConnected),
        _ => Err(WhyNot::Proxy),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn proxies() {
        let shown = |text| Proxy::parse(text).map(|proxy| proxy.to_string()).ok();
        assert_eq!(shown("socks5://127.0.0.1:9050").as_deref(), Some("socks5://127.0.0.1:9050"));
        assert_eq!(shown("http://proxy.example:3128/").as_deref(), Some("http://proxy.example:3128"));
        for text in ["", "127.0.0.1:9050", "https://a:1", "socks5://a", "socks5://a:0", "http://u:p@a:1", "http://:1"] {
            assert_eq!(shown(text), None, "{text}");
        }
    }
}
