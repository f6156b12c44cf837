//! One stream of a tunnel, used like a socket that does not block.

use std::future::poll_fn;
use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};

use bytes::{Buf, Bytes};
use quinn::{ReadError, RecvStream, SendStream, WriteError};

use super::BreakOff;

/// Bytes that are taken from the tunnel at once.
const READ_BYTES: usize = 16 * 1024;

/// Both directions of a stream. Of each at most one piece waits here, besides what waits in the tunnel.
pub(crate) struct TunnelStream {
    to: SendStream,
    from: RecvStream,
    heard: Heard,
    /// What is to be said and the tunnel does not take yet.
    unsent: Bytes,
}

/// What the other side said and nobody has read.
enum Heard {
    Nothing,
    Bytes(Bytes),
    End,
}

impl TunnelStream {
    /// A stream of which `heard` was read already.
    pub(crate) fn new(to: SendStream, from: RecvStream, heard: Bytes) -> Self {
        let heard = if heard.is_empty() { Heard::Nothing } else { Heard::Bytes(heard) };
        Self { to, from, heard, unsent: Bytes::new() }
    }

    /// Resolves when something can be read, if that is wanted, or written, if that is wanted; may resolve when it
    /// cannot. What is to be said is passed on meanwhile. May be dropped while it waits.
    pub(crate) async fn ready(&mut self, read: bool, write: bool) -> io::Result<()> {
        poll_fn(|context| {
            let had_unsent = !self.unsent.is_empty();
            let is_sent = self.poll_send(context)?.is_ready();
            let is_heard = read && self.poll_hear(context)?.is_ready();
            if is_heard || is_sent && (write || had_unsent) { Poll::Ready(Ok(())) } else { Poll::Pending }
        })
        .await
    }

    /// Reads what is there; 0 when the other side has said everything.
    pub(crate) fn try_read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match &mut self.heard {
            Heard::Nothing => Err(io::ErrorKind::WouldBlock.into()),
            Heard::End => Ok(0),
            Heard::Bytes(heard) => {
                let bytes = heard.len().min(buffer.len());
                heard.copy_to_slice(&mut buffer[..bytes]);
                if heard.is_empty() {
                    self.heard = Heard::Nothing;
                }
                Ok(bytes)
            }
        }
    }

    /// Takes all of `bytes`, or nothing while there is something that was not passed on.
    pub(crate) fn try_write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // Whoever waits for this stream does so with a waker of its own.
        let mut context = Context::from_waker(Waker::noop());
        if self.poll_send(&mut context)?.is_pending() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        self.unsent = Bytes::copy_from_slice(bytes);
        // What is left is passed on later.
        let _ = self.poll_send(&mut context)?;
        Ok(bytes.len())
    }

    /// Whether everything that was written is with the tunnel.
    pub(crate) fn is_flushed(&self) -> bool {
        self.unsent.is_empty()
    }

    /// Tells the other side that everything is said, which must be with the tunnel.
    pub(crate) fn finish(&mut self) {
        debug_assert!(self.is_flushed(), "what is to be said is not with the tunnel yet");
        // A stream that the other side has stopped is over as well.
        let _ = self.to.finish();
    }

    /// Breaks off both directions.
    pub(crate) fn break_off(&mut self, why: BreakOff) {
        // What is over already cannot be broken off, which is as well.
        let _ = self.to.reset(why.code());
        let _ = self.from.stop(why.code());
    }

    /// Why the other side has broken off, of an error of this stream.
    pub(crate) fn why(error: &io::Error) -> Option<BreakOff> {
        let inner = error.get_ref()?;
        let code = match (inner.downcast_ref(), inner.downcast_ref()) {
            (Some(ReadError::Reset(code)), _) | (_, Some(WriteError::Stopped(code))) => *code,
            _ => return None,
        };
        BreakOff::of_code(code)
    }

    fn poll_send(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.unsent.is_empty() {
            match Pin::new(&mut self.to).poll_write(context, &self.unsent) {
                Poll::Ready(Ok(bytes)) => self.unsent.advance(bytes),
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error.into())),
                Poll::Pending => return Poll::Pending,
            }
        }
        Poll::Ready(Ok(()))
    }

    fn poll_hear(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if let Heard::Nothing = self.heard {
            let chunk = match pin!(self.from.read_chunk(READ_BYTES, true)).poll(context) {
                Poll::Ready(chunk) => chunk,
                Poll::Pending => return Poll::Pending,
            };
            self.heard = match chunk {
                Ok(Some(chunk)) => Heard::Bytes(chunk.bytes),
                Ok(None) => Heard::End,
                Err(error) => return Poll::Ready(Err(error.into())),
            };
        }
        Poll::Ready(Ok(()))
    }
}
