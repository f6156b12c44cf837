//! A socket for datagrams that knows at which of our addresses each one came, and answers from there.

use std::io::{self, IoSlice, IoSliceMut};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::os::fd::AsRawFd;

use nix::cmsg_space;
use nix::ifaddrs::getifaddrs;
use nix::libc::{in_addr, in_pktinfo, in6_addr, in6_pktinfo};
use nix::sys::socket::{
    ControlMessage, ControlMessageOwned, MsgFlags, SockaddrIn, SockaddrIn6, SockaddrStorage, recvmsg, sendmsg,
    setsockopt, sockopt,
};
use tokio::io::Interest;
use tokio::net::UdpSocket;

use super::budget::Permit;

/// Interfaces on which a group is joined. A device has a few.
const INTERFACES_MAX: usize = 64;

/// A socket for datagrams.
#[derive(Debug)]
pub(crate) struct DatagramSocket {
    socket: UdpSocket,
    address: SocketAddr,
}

/// A datagram that came.
#[derive(Debug, Clone, Copy)]
pub(super) struct Received {
    /// How long it is.
    pub(super) bytes: usize,
    pub(super) client: SocketAddr,
    /// The address of ours that was called.
    pub(super) local: IpAddr,
}

impl DatagramSocket {
    /// Opens a socket.
    pub(crate) fn bind(address: SocketAddr) -> io::Result<Self> {
        let socket = std::net::UdpSocket::bind(address)?;
        socket.set_nonblocking(true)?;
        if address.is_ipv4() {
            setsockopt(&socket, sockopt::Ipv4PacketInfo, &true)?;
        } else {
            setsockopt(&socket, sockopt::Ipv6RecvPacketInfo, &true)?;
        }
        let address = socket.local_addr()?;
        Ok(Self { socket: UdpSocket::from_std(socket)?, address })
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Hears, beside what is sent to it alone, what is sent to everybody in `group` on each network of this machine.
    /// Only a socket on all addresses can; an interface that cannot do it is left out.
    pub(crate) fn join(&self, group: Ipv4Addr) {
        if self.address.ip() != IpAddr::V4(Ipv4Addr::UNSPECIFIED) {
            return;
        }
        let Ok(interfaces) = getifaddrs() else { return };
        let addresses = interfaces.filter_map(|interface| Some(interface.address?.as_sockaddr_in()?.ip()));
        for address in addresses.take(INTERFACES_MAX) {
            let _ = self.socket.join_multicast_v4(group, address);
        }
    }

    /// The next datagram, whose bytes come into `buffer`.
    pub(super) async fn receive(&self, buffer: &mut [u8]) -> io::Result<Received> {
        self.socket.async_io(Interest::READABLE, || self.receive_now(buffer)).await
    }

    fn receive_now(&self, buffer: &mut [u8]) -> io::Result<Received> {
        let mut control = cmsg_space!(in6_pktinfo);
        let mut parts = [IoSliceMut::new(buffer)];
        let flags = MsgFlags::empty();
        let message = recvmsg::<SockaddrStorage>(self.socket.as_raw_fd(), &mut parts, Some(&mut control), flags)?;
        let client = message.address.as_ref().and_then(socket_address);
        let client = client.ok_or_else(|| io::Error::other("a datagram without a source"))?;
        let mut local = self.address.ip();
        for control in message.cmsgs()? {
            match control {
                // What is to be the source of an answer: of what came to a group, the address of the interface.
                ControlMessageOwned::Ipv4PacketInfo(info) => local = ipv4(info.ipi_spec_dst),
                ControlMessageOwned::Ipv6PacketInfo(info) => local = IpAddr::from(info.ipi6_addr.s6_addr),
                _ => {}
            }
        }
        Ok(Received { bytes: message.bytes, client, local })
    }

    /// Sends what may be sent from `local`, or drops it when the system has no room for it: datagrams get lost.
    pub(super) fn send(&self, local: IpAddr, permit: &Permit) {
        let parts = [IoSlice::new(permit.bytes())];
        let to = SockaddrStorage::from(permit.to());
        let send = |control: ControlMessage<'_>| {
            let send = || {
                sendmsg(self.socket.as_raw_fd(), &parts, &[control], MsgFlags::MSG_DONTWAIT, Some(&to))
                    .map_err(io::Error::from)
            };
            let _ = self.socket.try_io(Interest::WRITABLE, send);
        };
        match local {
            IpAddr::V4(local) => {
                let source = in_addr { s_addr: u32::from(local).to_be() };
                let info = in_pktinfo { ipi_ifindex: 0, ipi_spec_dst: source, ipi_addr: in_addr { s_addr: 0 } };
                send(ControlMessage::Ipv4PacketInfo(&info));
            }
            IpAddr::V6(local) => {
                let info = in6_pktinfo { ipi6_addr: in6_addr { s6_addr: local.octets() }, ipi6_ifindex: 0 };
                send(ControlMessage::Ipv6PacketInfo(&info));
            }
        }
    }
}

fn ipv4(address: in_addr) -> IpAddr {
    IpAddr::V4(Ipv4Addr::from(u32::from_be(address.s_addr)))
}

fn socket_address(address: &SockaddrStorage) -> Option<SocketAddr> {
    let v4 = |address: &SockaddrIn| SocketAddr::V4(SocketAddrV4::from(*address));
    let v6 = |address: &SockaddrIn6| SocketAddr::V6(SocketAddrV6::from(*address));
    address.as_sockaddr_in().map(v4).or_else(|| address.as_sockaddr_in6().map(v6))
}
