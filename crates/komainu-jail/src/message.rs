//! What a launcher is told and what it says: packets of JSON over a Unix socket of type `SOCK_SEQPACKET`, the program's
//! descriptors beside the first one.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{BorrowedFd, OwnedFd, RawFd};
use std::path::PathBuf;
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags, recvmsg, sendmsg,
};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::descriptors::DESCRIPTORS_MAX;
use crate::limits::Limits;
use crate::user::JailUser;

/// Bytes of a packet: a program with a hundred libraries and as many arguments needs a tenth.
const PACKET_BYTES_MAX: usize = 128 << 10;

/// What is to be started, and in what.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Order {
    pub(crate) program: PathBuf,
    pub(crate) arguments: Vec<String>,
    pub(crate) environment: Vec<(String, String)>,
    /// What can be read in the jail, where it lies outside.
    pub(crate) visible: Vec<PathBuf>,
    /// The numbers of the descriptors beside this packet, in their order.
    pub(crate) numbers: Vec<RawFd>,
    pub(crate) limits: Limits,
    /// Who to become when started by root.
    pub(crate) user: Option<JailUser>,
}

/// What whoever holds the jail says later.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Word {
    /// End the program now.
    Kill,
}

/// What the launcher says.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Said {
    /// The program runs, as this process.
    Started { pid: u32 },
    /// It does not.
    Failed { doing: String, reason: String },
    /// It has ended. The last word.
    Ended(JailEnd),
}

/// How the program of a jail ended, and what it used until then.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct JailEnd {
    /// How it ended.
    pub how: HowEnded,
    /// Who ended it.
    pub by: EndedBy,
    /// Processor time in the program, of all threads.
    pub user: Duration,
    /// Processor time in the kernel.
    pub system: Duration,
    /// The most bytes that it held in memory at a time.
    pub memory_bytes_max: u64,
}

/// How a program ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum HowEnded {
    /// With this exit status.
    Exited(i32),
    /// By this signal: 31 (`SIGSYS`) when it used a system call that a program which minds its business never uses, 9
    /// (`SIGKILL`) at the end of its time.
    Killed(i32),
}

/// Who ended a program.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum EndedBy {
    /// The program itself, or the kernel at one of its limits.
    Itself,
    /// Whoever holds the jail.
    Holder,
    /// Its time was over.
    TimeOver,
}

/// Sends a packet.
pub(crate) fn send(socket: BorrowedFd<'_>, packet: &impl Serialize, beside: &[BorrowedFd<'_>]) -> io::Result<()> {
    let bytes = serde_json::to_vec(packet)?;
    if bytes.len() > PACKET_BYTES_MAX {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it has too many files and arguments"));
    }
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS_MAX))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !beside.is_empty() && !control.push(SendAncillaryMessage::ScmRights(beside)) {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it has too many descriptors"));
    }
    sendmsg(socket, &[IoSlice::new(&bytes)], &mut control, SendFlags::NOSIGNAL)?;
    Ok(())
}

/// Receives a packet and the descriptors beside it; none when nobody sends any more. Waits, if there is none.
pub(crate) fn receive<T: DeserializeOwned>(socket: BorrowedFd<'_>) -> io::Result<Option<(T, Vec<OwnedFd>)>> {
    let mut bytes = vec![0; PACKET_BYTES_MAX];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS_MAX))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let received = recvmsg(socket, &mut [IoSliceMut::new(&mut bytes)], &mut control, RecvFlags::CMSG_CLOEXEC)?;
    let mut descriptors = Vec::new();
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(given) = message {
            descriptors.extend(given);
        }
    }
    if received.flags.intersects(ReturnFlags::TRUNC | ReturnFlags::CTRUNC) {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "a packet that is too long"));
    }
    if received.bytes == 0 {
        return Ok(None);
    }
    Ok(Some((serde_json::from_slice(&bytes[..received.bytes])?, descriptors)))
}

/// Waits until one of the descriptors has something to say (or is at its end), at most for so long. Says which.
pub(crate) fn wait_for<const N: usize>(what: [BorrowedFd<'_>; N], at_most: Duration) -> io::Result<[bool; N]> {
    let mut polled = what.map(|fd| PollFd::new(fd, PollFlags::POLLIN));
    // Rounded up: a wait of less than a millisecond is no wait at all, and would be one over and over.
    let at_most = at_most.as_nanos().div_ceil(1_000_000).min(i32::MAX as u128);
    let timeout = PollTimeout::try_from(at_most).unwrap_or(PollTimeout::MAX);
    match poll(&mut polled, timeout) {
        Ok(_) | Err(nix::errno::Errno::EINTR) => Ok(polled.map(|one| one.any().unwrap_or(true))),
        Err(error) => Err(error.into()),
    }
}

/// A pair of ends for packets.
pub(crate) fn pair() -> io::Result<(OwnedFd, OwnedFd)> {
    use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
    Ok(socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?)
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;

    use super::*;

    #[test]
    fn packets_and_descriptors_arrive() {
        let (one, other) = pair().unwrap();
        assert_eq!(wait_for([other.as_fd()], Duration::ZERO).unwrap(), [false]);
        let said = Said::Failed { doing: "this".into(), reason: "that".into() };
        send(one.as_fd(), &said, &[one.as_fd(), one.as_fd()]).unwrap();
        assert_eq!(wait_for([other.as_fd()], Duration::from_secs(5)).unwrap(), [true]);
        let (received, descriptors) = receive::<Said>(other.as_fd()).unwrap().unwrap();
        assert_eq!((format!("{received:?}"), descriptors.len()), (format!("{said:?}"), 2));
        drop((one, descriptors));
        assert!(receive::<Said>(other.as_fd()).unwrap().is_none(), "nobody sends any more");
    }

    #[test]
    fn a_packet_over_the_bound_is_an_error() {
        let (one, other) = pair().unwrap();
        assert!(send(one.as_fd(), &"a".repeat(PACKET_BYTES_MAX), &[]).is_err());
        rustix::net::send(&one, &vec![b'1'; PACKET_BYTES_MAX + 1], SendFlags::empty()).unwrap();
        assert_eq!(receive::<Word>(other.as_fd()).unwrap_err().kind(), io::ErrorKind::InvalidData);
        rustix::net::send(&one, b"\"Live\"", SendFlags::empty()).unwrap();
        assert!(receive::<Word>(other.as_fd()).is_err(), "no word that is known");
    }
}
