//! Reading frames from the socket that the gate handed out (packet(7)).

use std::io::{self, IoSliceMut};
use std::os::fd::{AsRawFd, OwnedFd};

use nix::libc;
use nix::sys::socket::sockopt::{ReceiveTimestampns, RxqOvfl};
use nix::sys::socket::{ControlMessageOwned, LinkAddr, MsgFlags, recvmsg, setsockopt};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use crate::pcapng::Direction;

/// Bytes of a frame that are kept: more than a card or the kernel puts together into one (64 KiB and headers).
pub(super) const FRAME_BYTES_MAX: usize = 128 * 1024;

/// The kind of packet that the machine itself sends (packet(7), `PACKET_OUTGOING`).
const OUTGOING: u8 = 4;

/// The frames of a device.
#[derive(Debug)]
pub(super) struct Frames {
    socket: AsyncFd<OwnedFd>,
    buffer: Vec<u8>,
    /// For what the kernel says beside a frame.
    space: Vec<u8>,
    /// How many the kernel has dropped in all, as it said last. It counts modulo 2^32.
    dropped: u32,
}

/// A frame.
#[derive(Debug, Clone, Copy)]
pub(super) struct Frame<'a> {
    /// When the kernel saw it, in nanoseconds since 1970, if it says so.
    pub(super) at_unix_ns: Option<u64>,
    pub(super) direction: Direction,
    pub(super) bytes: &'a [u8],
    pub(super) wire_bytes: u32,
    /// Frames that the kernel dropped before this one, because nobody read them in time.
    pub(super) dropped_before: u64,
}

#[expect(deprecated, reason = "an `OwnedFd` stays open and the same, which is what this function does not demand")]
fn watched(socket: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    AsyncFd::with_interest(socket, Interest::READABLE)
}

impl Frames {
    pub(super) fn new(socket: OwnedFd) -> io::Result<Self> {
        setsockopt(&socket, ReceiveTimestampns, &true)?;
        setsockopt(&socket, RxqOvfl, &1)?;
        Ok(Self {
            socket: watched(socket)?,
            buffer: vec![0; FRAME_BYTES_MAX],
            space: nix::cmsg_space!(libc::timespec, u32),
            dropped: 0,
        })
    }

    /// Waits for frames.
    pub(super) async fn ready(&self) -> io::Result<()> {
        self.socket.readable().await.map(|mut ready| ready.retain_ready())
    }

    /// Has `take` take the frames that are there, `frames_max` at most.
    pub(super) fn take(&mut self, frames_max: usize, take: impl FnMut(Frame<'_>)) -> io::Result<()> {
        self.take_by(frames_max, take, |socket, buffer, space| {
            socket.try_io(Interest::READABLE, |socket| receive(socket, buffer, space))
        })
    }

    /// The same, also when the runtime has not noticed yet that there are some.
    pub(super) fn take_last(&mut self, frames_max: usize, take: impl FnMut(Frame<'_>)) -> io::Result<()> {
        self.take_by(frames_max, take, |socket, buffer, space| receive(socket.get_ref(), buffer, space))
    }

    fn take_by(
        &mut self,
        frames_max: usize,
        mut take: impl FnMut(Frame<'_>),
        read: impl Fn(&AsyncFd<OwnedFd>, &mut [u8], &mut [u8]) -> io::Result<Received>,
    ) -> io::Result<()> {
        let Self { socket, buffer, space, dropped } = self;
        for _ in 0..frames_max {
            let one = read(socket, buffer, space);
            let received = match one {
                Ok(received) => received,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            };
            let dropped_before = match received.dropped {
                Some(now) => u64::from(now.wrapping_sub(std::mem::replace(dropped, now))),
                None => 0,
            };
            take(Frame {
                at_unix_ns: received.at_unix_ns,
                direction: received.direction,
                bytes: &buffer[..received.wire_bytes.min(FRAME_BYTES_MAX)],
                wire_bytes: u32::try_from(received.wire_bytes).unwrap_or(u32::MAX),
                dropped_before,
            });
        }
        Ok(())
    }
}

struct Received {
    at_unix_ns: Option<u64>,
    direction: Direction,
    wire_bytes: usize,
    dropped: Option<u32>,
}

fn receive(socket: &OwnedFd, buffer: &mut [u8], space: &mut [u8]) -> io::Result<Received> {
    let mut parts = [IoSliceMut::new(buffer)];
    // With this flag the kernel says how long the frame was, not how much of it had room.
    let message = recvmsg::<LinkAddr>(socket.as_raw_fd(), &mut parts, Some(space), MsgFlags::MSG_TRUNC)?;
    let direction = match message.address.map(|address| address.pkttype()) {
        None => Direction::Unknown,
        Some(OUTGOING) => Direction::Outbound,
        Some(_) => Direction::Inbound,
    };
    let mut received = Received { at_unix_ns: None, direction, wire_bytes: message.bytes, dropped: None };
    for beside in message.cmsgs()? {
        match beside {
            ControlMessageOwned::ScmTimestampns(at) => {
                let (seconds, rest) = (u64::try_from(at.tv_sec()), u64::try_from(at.tv_nsec()));
                received.at_unix_ns =
                    seconds.ok().zip(rest.ok()).map(|(seconds, rest)| seconds.saturating_mul(1_000_000_000) + rest);
            }
            ControlMessageOwned::RxqOvfl(dropped) => received.dropped = Some(dropped),
            _ => {}
        }
    }
    Ok(received)
}
