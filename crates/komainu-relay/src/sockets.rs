//! The sockets that need rights: those that listen for what was sent to others, and those that speak with a
//! stranger's address.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddrV4, UdpSocket};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use nix::errno::Errno;
use nix::sys::socket::sockopt::{IpTransparent, Ipv4OrigDstAddr, RcvBuf, ReuseAddr};
use nix::sys::socket::{
    AddressFamily, Backlog, SockFlag, SockProtocol, SockType, SockaddrIn, bind, connect, listen, setsockopt, socket,
};

use crate::ruleset::{DNS_PORT, NTP_PORT, RELAY_PORT, SINKHOLE_PORT};

/// Connections that the kernel holds while the sensor is busy or starts again.
const BACKLOG: i32 = 4_096;

/// Bytes of strangers' datagrams that the kernel holds: they come in bursts when somebody scans.
const DATAGRAM_BUFFER_BYTES: usize = 4 * 1024 * 1024;

/// What the unprivileged process works with from its start. The same sockets outlast it.
#[derive(Debug)]
pub(crate) struct Shared {
    /// Strangers' connections to devices.
    pub(crate) relay_tcp: OwnedFd,
    /// Strangers' datagrams to devices.
    pub(crate) relay_udp: OwnedFd,
    /// Devices' connections to anybody.
    pub(crate) sinkhole: OwnedFd,
    /// Devices' questions for names.
    pub(crate) dns: OwnedFd,
    /// Devices' questions for the time.
    pub(crate) ntp: OwnedFd,
    /// What the packet filter tells.
    pub(crate) told: OwnedFd,
    /// The inventory, as text.
    pub(crate) inventory: OwnedFd,
}

impl Shared {
    /// How many there are.
    const COUNT: usize = 7;

    pub(crate) fn borrow(&self) -> [BorrowedFd<'_>; Self::COUNT] {
        [
            self.relay_tcp.as_fd(),
            self.relay_udp.as_fd(),
            self.sinkhole.as_fd(),
            self.dns.as_fd(),
            self.ntp.as_fd(),
            self.told.as_fd(),
            self.inventory.as_fd(),
        ]
    }

    /// From descriptors in the order of [`Self::borrow`].
    pub(crate) fn from_descriptors(descriptors: Vec<OwnedFd>) -> Option<Self> {
        let [relay_tcp, relay_udp, sinkhole, dns, ntp, told, inventory] =
            <[OwnedFd; Self::COUNT]>::try_from(descriptors).ok()?;
        Some(Self { relay_tcp, relay_udp, sinkhole, dns, ntp, told, inventory })
    }
}

/// The sockets for strangers and devices.
pub(crate) struct Listeners {
    pub(crate) relay_tcp: OwnedFd,
    pub(crate) relay_udp: OwnedFd,
    pub(crate) sinkhole: OwnedFd,
    pub(crate) dns: OwnedFd,
    pub(crate) ntp: OwnedFd,
}

/// Opens the sockets that listen. Nothing comes to them before there are rules.
pub(crate) fn listeners() -> io::Result<Listeners> {
    let here = |port| SocketAddrV4::new(Ipv4Addr::LOCALHOST, port);
    let anywhere = |port| SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, port);
    let stream = |port| -> io::Result<OwnedFd> {
        let socket = transparent(SockType::Stream)?;
        bind_to(&socket, here(port))?;
        listen(&socket, Backlog::new(BACKLOG)?)?;
        Ok(socket)
    };
    let relay_udp = transparent(SockType::Datagram)?;
    setsockopt(&relay_udp, Ipv4OrigDstAddr, &true)?;
    // The kernel gives less when its own bound is lower.
    setsockopt(&relay_udp, RcvBuf, &DATAGRAM_BUFFER_BYTES)?;
    bind_to(&relay_udp, here(RELAY_PORT))?;
    let plain = |port| -> io::Result<OwnedFd> {
        let socket = new(SockType::Datagram)?;
        bind_to(&socket, anywhere(port))?;
        Ok(socket)
    };
    Ok(Listeners {
        relay_tcp: stream(RELAY_PORT)?,
        relay_udp,
        sinkhole: stream(SINKHOLE_PORT)?,
        dns: plain(DNS_PORT)?,
        ntp: plain(NTP_PORT)?,
    })
}

/// A stream to a device that the device sees coming from `client`, or from another port of it when that one is in use.
/// It does not block, and need not be established yet.
pub(crate) fn stream_to(device: SocketAddrV4, client: SocketAddrV4) -> io::Result<OwnedFd> {
    let any_port = SocketAddrV4::new(*client.ip(), 0);
    match stream_from(device, client) {
        Err(error) if matches!(error.kind(), io::ErrorKind::AddrInUse | io::ErrorKind::AddrNotAvailable) => {
            stream_from(device, any_port)
        }
        done => done,
    }
}

fn stream_from(device: SocketAddrV4, client: SocketAddrV4) -> io::Result<OwnedFd> {
    let socket = transparent(SockType::Stream)?;
    bind_to(&socket, client)?;
    connect_to(&socket, device)?;
    Ok(socket)
}

/// Datagrams between two addresses, of which the first need not be ours.
pub(crate) fn datagrams_between(from: SocketAddrV4, to: SocketAddrV4) -> io::Result<OwnedFd> {
    let socket = transparent(SockType::Datagram)?;
    bind_to(&socket, from)?;
    connect_to(&socket, to)?;
    Ok(socket)
}

/// This machine's own address from which it reaches a device. No packet is sent.
pub(crate) fn own_address_towards(device: Ipv4Addr) -> io::Result<Ipv4Addr> {
    /// Which port does not matter; this one is for what is thrown away (RFC 863).
    const DISCARD: u16 = 9;
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
    socket.connect((device, DISCARD))?;
    match socket.local_addr()?.ip() {
        IpAddr::V4(own) => Ok(own),
        IpAddr::V6(_) => Err(io::ErrorKind::AddrNotAvailable.into()),
    }
}

fn transparent(kind: SockType) -> io::Result<OwnedFd> {
    let socket = new(kind)?;
    setsockopt(&socket, IpTransparent, &true)?;
    Ok(socket)
}

fn new(kind: SockType) -> io::Result<OwnedFd> {
    let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
    let protocol: Option<SockProtocol> = None;
    let socket = socket(AddressFamily::Inet, kind, flags, protocol)?;
    setsockopt(&socket, ReuseAddr, &true)?;
    Ok(socket)
}

fn bind_to(socket: &OwnedFd, address: SocketAddrV4) -> io::Result<()> {
    Ok(bind(socket.as_raw_fd(), &SockaddrIn::from(address))?)
}

fn connect_to(socket: &OwnedFd, address: SocketAddrV4) -> io::Result<()> {
    match connect(socket.as_raw_fd(), &SockaddrIn::from(address)) {
        Ok(()) | Err(Errno::EINPROGRESS) => Ok(()),
        Err(error) => Err(error.into()),
    }
}
