//! One end of a connection that is relayed: a socket, or a stream of an outpost's tunnel.

use std::future::pending;
use std::io;

use tokio::io::{AsyncWriteExt, Interest};
use tokio::net::TcpStream;

use crate::tunnel::{BreakOff, TunnelStream};

/// The stranger's end, or the device's.
pub(super) enum End {
    Socket(TcpStream),
    Tunnel(Box<TunnelStream>),
}

impl End {
    /// Resolves when the end can do one of what is wanted of it. May be dropped while it waits.
    pub(super) async fn ready(&mut self, read: bool, write: bool) -> io::Result<()> {
        match self {
            Self::Socket(stream) => match (read, write) {
                (true, true) => stream.ready(Interest::READABLE | Interest::WRITABLE).await.map(drop),
                (true, false) => stream.readable().await,
                (false, true) => stream.writable().await,
                (false, false) => pending().await,
            },
            Self::Tunnel(stream) => stream.ready(read, write).await,
        }
    }

    pub(super) fn try_read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Socket(stream) => stream.try_read(buffer),
            Self::Tunnel(stream) => stream.try_read(buffer),
        }
    }

    pub(super) fn try_write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Socket(stream) => stream.try_write(bytes),
            Self::Tunnel(stream) => stream.try_write(bytes),
        }
    }

    /// Whether everything that was written is with the system, or with the tunnel.
    pub(super) fn is_flushed(&self) -> bool {
        match self {
            Self::Socket(_) => true,
            Self::Tunnel(stream) => stream.is_flushed(),
        }
    }

    /// Tells whoever is there that the other end has said everything.
    pub(super) async fn finish(&mut self) {
        match self {
            // Only this direction is shut; a listener that is gone is noticed when it is read from.
            Self::Socket(stream) => drop(stream.shutdown().await),
            Self::Tunnel(stream) => stream.finish(),
        }
    }

    /// Ends it as a reset does, once it is dropped.
    pub(super) fn break_off(&mut self, why: BreakOff) {
        match self {
            Self::Socket(stream) => drop(stream.set_zero_linger()),
            Self::Tunnel(stream) => stream.break_off(why),
        }
    }
}
