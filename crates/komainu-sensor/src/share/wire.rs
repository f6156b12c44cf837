//! What carries the messages of SMB: a stream that somebody else opened, with bounds on what comes.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use smb2::transport::{TransportReceive, TransportSend};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::Mutex;

/// Bytes of one message: more than is ever asked for. A device that sends more is cut off.
const MESSAGE_BYTES_MAX: usize = 1024 * 1024;

/// Bytes in front of each message: a zero and the length, big-endian (MS-SMB2, 2.1).
const LENGTH_BYTES: usize = 4;

/// How many more bytes may come over a connection.
#[derive(Debug, Clone)]
pub(super) struct Allowance(Arc<AtomicU64>);

impl Allowance {
    pub(super) fn new(bytes: u64) -> Self {
        Self(Arc::new(AtomicU64::new(bytes)))
    }

    pub(super) fn left(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    fn take(&self, bytes: u64) -> bool {
        self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(bytes)).is_ok()
    }
}

/// The two ways of a stream, which carries messages until the allowance is used up.
pub(super) fn halves(stream: TcpStream, allowance: Allowance) -> (Box<dyn TransportSend>, Box<dyn TransportReceive>) {
    let (reader, writer) = stream.into_split();
    (Box::new(Sender(Mutex::new(writer))), Box::new(Receiver { reader: Mutex::new(reader), allowance }))
}

struct Sender(Mutex<OwnedWriteHalf>);

struct Receiver {
    reader: Mutex<OwnedReadHalf>,
    allowance: Allowance,
}

impl TransportSend for Sender {
    fn send<'a, 'b, 'c>(&'a self, message: &'b [u8]) -> Pin<Box<dyn Future<Output = smb2::Result<()>> + Send + 'c>>
    where
        'a: 'c,
        'b: 'c,
        Self: 'c,
    {
        Box::pin(async move {
            let length = u32::try_from(message.len()).ok().filter(|length| length >> 24 == 0);
            let length = length.ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
            let mut writer = self.0.lock().await;
            writer.write_all(&[&length.to_be_bytes()[..], message].concat()).await?;
            Ok(())
        })
    }
}

impl TransportReceive for Receiver {
    fn receive<'a, 'c>(&'a self) -> Pin<Box<dyn Future<Output = smb2::Result<Vec<u8>>> + Send + 'c>>
    where
        'a: 'c,
        Self: 'c,
    {
        Box::pin(async move {
            let mut reader = self.reader.lock().await;
            let mut head = [0; LENGTH_BYTES];
            reader.read_exact(&mut head).await?;
            let bytes = message_bytes(head).map_err(io::Error::from)?;
            if !self.allowance.take((LENGTH_BYTES + bytes) as u64) {
                return Err(io::Error::from(io::ErrorKind::QuotaExceeded).into());
            }
            let mut message = vec![0; bytes];
            reader.read_exact(&mut message).await?;
            Ok(message)
        })
    }
}

/// The length of the message that follows.
fn message_bytes(head: [u8; LENGTH_BYTES]) -> Result<usize, io::ErrorKind> {
    let length = u32::from_be_bytes(head) as usize;
    // What is no message of a session begins with something else than 0, and is too long by that.
    if length <= MESSAGE_BYTES_MAX { Ok(length) } else { Err(io::ErrorKind::InvalidData) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_bounded() {
        let check = |head, expected| assert_eq!(message_bytes(head).ok(), expected, "{head:?}");
        check([0, 0, 0, 0], Some(0));
        check([0, 0x10, 0, 0], Some(MESSAGE_BYTES_MAX));
        check([0, 0x10, 0, 1], None);
        check([0x85, 0, 0, 0], None);
    }

    #[tokio::test]
    async fn what_comes_is_bounded_over_a_connection() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (near, far) = tokio::join!(TcpStream::connect(listener.local_addr().unwrap()), listener.accept());
        let (mut far, _) = far.unwrap();
        let (sender, receiver) = halves(near.unwrap(), Allowance::new(20));
        sender.send(b"hello").await.unwrap();
        let mut seen = [0; 9];
        far.read_exact(&mut seen).await.unwrap();
        assert_eq!(&seen, b"\0\0\0\x05hello");
        far.write_all(b"\0\0\0\x03abc\0\0\0\x09as far as\0\0\0\0").await.unwrap();
        assert_eq!(receiver.receive().await.unwrap(), b"abc");
        assert_eq!(receiver.receive().await.unwrap(), b"as far as");
        assert!(receiver.receive().await.is_err());
    }
}
