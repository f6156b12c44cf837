//! Connections on which somebody must read what is sent to them.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep};

/// So many bytes, or all that is sent, must be taken within [`TAKE_WAIT_MAX`].
const PIECE_BYTES: usize = 16 * 1024;

/// How long that may take: 4 kbit/s, slower than any line on which somebody looks at pages.
const TAKE_WAIT_MAX: Duration = Duration::from_secs(30);

/// A connection that fails when the other side does not take what is sent.
pub(crate) struct Paced<S> {
    stream: S,
    /// Until when a piece must have been taken; none while nothing waits.
    deadline: Option<Pin<Box<Sleep>>>,
    /// Bytes that were taken of the piece.
    taken: usize,
}

impl<S> Paced<S> {
    pub(crate) fn new(stream: S) -> Self {
        Self { stream, deadline: None, taken: 0 }
    }

    /// Nothing waits; or it goes on waiting, unless that lasts too long.
    fn waits(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let deadline = self.deadline.get_or_insert_with(|| Box::pin(tokio::time::sleep(TAKE_WAIT_MAX)));
        ready!(deadline.as_mut().poll(context));
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "what was sent was not taken")))
    }

    fn took(&mut self, bytes: usize) {
        self.taken += bytes;
        if self.taken >= PIECE_BYTES {
            self.taken = 0;
            if let Some(deadline) = &mut self.deadline {
                deadline.as_mut().reset(Instant::now() + TAKE_WAIT_MAX);
            }
        }
    }

    fn took_all(&mut self) {
        self.deadline = None;
        self.taken = 0;
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Paced<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Paced<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match Pin::new(&mut self.stream).poll_write(context, bytes) {
            Poll::Ready(Ok(written)) => {
                self.took(written);
                Poll::Ready(Ok(written))
            }
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Pending => self.waits(context).map(|failed| failed.map(|()| 0)),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match Pin::new(&mut self.stream).poll_flush(context) {
            Poll::Ready(flushed) => {
                self.took_all();
                Poll::Ready(flushed)
            }
            Poll::Pending => self.waits(context),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match Pin::new(&mut self.stream).poll_shutdown(context) {
            Poll::Ready(done) => Poll::Ready(done),
            Poll::Pending => self.waits(context),
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    use super::*;

    /// Sends so many bytes to somebody who takes so many of them every so many seconds; says whether they were sent.
    async fn is_sent(bytes: usize, piece: usize, every_s: u64) -> bool {
        let (ours, mut theirs) = duplex(1024);
        let taking = tokio::spawn(async move {
            let mut buffer = vec![0; piece];
            loop {
                tokio::time::sleep(Duration::from_secs(every_s)).await;
                if theirs.read_exact(&mut buffer).await.is_err() {
                    return;
                }
            }
        });
        let mut paced = Paced::new(ours);
        let sent = paced.write_all(&vec![0; bytes]).await.is_ok() && paced.flush().await.is_ok();
        taking.abort();
        sent
    }

    #[tokio::test(start_paused = true)]
    async fn who_takes_nothing_is_cut_off() {
        assert!(is_sent(1024, 1, 1000).await, "what fits is sent");
        assert!(is_sent(1 << 20, 64 * 1024, 20).await);
        assert!(!is_sent(1 << 20, 1024, 20).await, "too slow");
        assert!(!is_sent(2048, 1, 1000).await, "not at all");
    }
}
