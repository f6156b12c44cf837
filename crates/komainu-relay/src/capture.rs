//! The socket that sees every frame of a device, in both directions. The guard opens it and reads nothing from it.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};

use komainu_model::InterfaceName;
use nix::errno::Errno;
use nix::ifaddrs::getifaddrs;
use nix::sys::socket::sockopt::{RcvBuf, RcvBufForce};
use nix::sys::socket::{AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, bind, recv, setsockopt, socket};
use socket2::{SockFilter, SockRef};

/// Bytes of frames that the kernel holds while the worker is busy, its own overhead among them: some thousand small
/// packets, a tenth of a second of a fast flood.
const BUFFER_BYTES: usize = 8 * 1024 * 1024;

/// The kernel counts every buffer twice, for its overhead (socket(7), `SO_RCVBUF`), so this is half of what it may hold
/// before it is known which interface the socket is for. It need not hold anything then.
const FIRST_BUFFER_BYTES: usize = 1;

/// `BPF_RET | BPF_K`: ends the filter and says how many bytes of the packet are wanted.
const FILTER_RETURN: u16 = 0x06;

/// Opens a socket for all frames at an interface (packet(7)): whole frames, all protocols, both directions. It does not
/// block, and is closed when another program is started.
///
/// Such a socket sees every interface from its first moment on, until it is bound to one. So it first wants nothing, is
/// bound, and what came before is thrown away unread: whoever gets it learns nothing about other interfaces.
pub(crate) fn open(interface: &InterfaceName) -> io::Result<OwnedFd> {
    let address = getifaddrs()?
        .filter(|one| one.interface_name == interface.as_str())
        .find_map(|one| one.address?.as_link_addr().copied())
        .ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, format!("there is no interface {interface}")))?;
    let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
    let socket = socket(AddressFamily::Packet, SockType::Raw, flags, SockProtocol::EthAll)?;
    setsockopt(&socket, RcvBuf, &FIRST_BUFFER_BYTES)?;
    SockRef::from(&socket).attach_filter(&[SockFilter::new(FILTER_RETURN, 0, 0, 0)])?;
    // The address names no protocol: the one of the socket stays.
    bind(socket.as_raw_fd(), &address)?;
    // Nothing more comes, so this ends.
    while discard(&socket)? {}
    setsockopt(&socket, RcvBufForce, &BUFFER_BYTES)?;
    SockRef::from(&socket).detach_filter()?;
    Ok(socket)
}

/// Throws the next packet away; says whether there may be another one.
fn discard(socket: &OwnedFd) -> io::Result<bool> {
    match recv(socket.as_raw_fd(), &mut [], MsgFlags::MSG_TRUNC) {
        // An interface that is down says so once, before what has come.
        Ok(_) | Err(Errno::ENETDOWN) => Ok(true),
        Err(Errno::EAGAIN) => Ok(false),
        Err(error) => Err(error.into()),
    }
}
