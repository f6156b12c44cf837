//! What a stream has for us, without a buffer for each that waits.

use std::cell::RefCell;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, ReadBuf};

/// Bytes that are read at once.
const READ_BYTES: usize = 16 * 1024;

thread_local! {
    /// Of the thread, because most connections wait most of the time.
    static READ: RefCell<Vec<u8>> = RefCell::new(vec![0; READ_BYTES]);
}

/// What comes next; nothing when there will be no more.
pub(crate) async fn receive(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<Vec<u8>> {
    std::future::poll_fn(|context| poll_receive(stream, context)).await
}

/// The same for whoever polls.
///
/// Where less came than was asked for, the next attempt waits at once instead of asking the system in vain; that is why
/// nobody here waits for a stream to be readable and then tries.
pub(crate) fn poll_receive(
    stream: &mut (impl AsyncRead + Unpin),
    context: &mut Context<'_>,
) -> Poll<io::Result<Vec<u8>>> {
    READ.with_borrow_mut(|buffer| {
        let mut read = ReadBuf::new(buffer);
        ready!(Pin::new(stream).poll_read(context, &mut read))?;
        Poll::Ready(Ok(read.filled().to_vec()))
    })
}
