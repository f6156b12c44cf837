//! A channel between the two processes: packets of bytes with descriptors beside them, over a Unix socket of type
//! `SOCK_SEQPACKET`, which keeps packets apart and tells when the other side is gone.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags, recvmsg, sendmsg,
};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use crate::message::MESSAGE_BYTES_MAX;

/// Descriptors beside one packet.
pub(crate) const DESCRIPTORS_MAX: usize = 8;

/// Has the runtime say when something can be done with a descriptor.
#[expect(deprecated, reason = "an `OwnedFd` stays open and the same, which is what this function does not demand")]
pub(crate) fn watched(descriptor: OwnedFd, interest: Interest) -> io::Result<AsyncFd<OwnedFd>> {
    AsyncFd::with_interest(descriptor, interest)
}

/// One end.
#[derive(Debug)]
pub(crate) struct Channel {
    socket: AsyncFd<OwnedFd>,
}

/// A packet that came.
#[derive(Debug)]
pub(crate) struct Packet {
    pub(crate) bytes: Vec<u8>,
    pub(crate) descriptors: Vec<OwnedFd>,
}

impl Channel {
    /// Takes an end, which must not block.
    pub(crate) fn new(socket: OwnedFd) -> io::Result<Self> {
        Ok(Self { socket: watched(socket, Interest::READABLE | Interest::WRITABLE)? })
    }

    /// Sends a packet; waits while the other side takes none.
    pub(crate) async fn send(&self, bytes: &[u8], descriptors: &[BorrowedFd<'_>]) -> io::Result<()> {
        self.socket
            .async_io(Interest::WRITABLE, |socket| {
                let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS_MAX))];
                let mut beside = SendAncillaryBuffer::new(&mut space);
                if !descriptors.is_empty() && !beside.push(SendAncillaryMessage::ScmRights(descriptors)) {
                    return Err(io::ErrorKind::InvalidInput.into());
                }
                sendmsg(socket.as_fd(), &[IoSlice::new(bytes)], &mut beside, SendFlags::NOSIGNAL)?;
                Ok(())
            })
            .await
    }

    /// The next packet; none when the other side is gone.
    pub(crate) async fn receive(&self) -> io::Result<Option<Packet>> {
        self.socket
            .async_io(Interest::READABLE, |socket| {
                let mut bytes = vec![0; MESSAGE_BYTES_MAX];
                let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS_MAX))];
                let mut beside = RecvAncillaryBuffer::new(&mut space);
                let received =
                    recvmsg(socket.as_fd(), &mut [IoSliceMut::new(&mut bytes)], &mut beside, RecvFlags::CMSG_CLOEXEC)?;
                let mut descriptors = Vec::new();
                for message in beside.drain() {
                    if let RecvAncillaryMessage::ScmRights(given) = message {
                        descriptors.extend(given);
                    }
                }
                if received.flags.intersects(ReturnFlags::TRUNC | ReturnFlags::CTRUNC) {
                    return Err(io::ErrorKind::InvalidData.into());
                }
                if received.bytes == 0 {
                    return Ok(None);
                }
                bytes.truncate(received.bytes);
                Ok(Some(Packet { bytes, descriptors }))
            })
            .await
    }
}

#[cfg(test)]
mod tests {
    use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};

    use super::*;

    fn pair() -> (Channel, Channel) {
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        let (one, other) = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None).unwrap();
        (Channel::new(one).unwrap(), Channel::new(other).unwrap())
    }

    #[tokio::test]
    async fn packets_and_descriptors_arrive_as_they_were_sent() {
        let (one, other) = pair();
        let file = tempfile::tempfile().unwrap();
        one.send(b"first", &[]).await.unwrap();
        one.send(b"second", &[file.as_fd(), file.as_fd()]).await.unwrap();
        let first = other.receive().await.unwrap().unwrap();
        assert_eq!((first.bytes.as_slice(), first.descriptors.len()), (&b"first"[..], 0));
        let second = other.receive().await.unwrap().unwrap();
        assert_eq!((second.bytes.as_slice(), second.descriptors.len()), (&b"second"[..], 2));
        drop(one);
        assert!(other.receive().await.unwrap().is_none());
    }

    #[tokio::test]
    async fn a_packet_over_the_bound_is_an_error() {
        let (one, other) = pair();
        one.send(&[0; MESSAGE_BYTES_MAX + 1], &[]).await.unwrap();
        assert_eq!(other.receive().await.unwrap_err().kind(), io::ErrorKind::InvalidData);
    }
}
