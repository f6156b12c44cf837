//! MQTT over WebSocket: the binary frames of a WebSocket as one stream of bytes.
//!
//! MQTT packets may lie across frames in any way (MQTT 5 section 6.0, MQTT-6.0.0-2). Text frames end the connection
//! (MQTT-6.0.0-1).

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf as _, Bytes};
use futures_util::{Sink as _, Stream as _};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{self, Message};

/// The largest frame and message, in bytes, that a client may send. MQTT packets may lie across messages, so no client
/// needs larger ones; a larger one ends the connection.
const MESSAGE_BYTES_MAX: usize = 512 * 1024;

/// Bytes that are read at once; held for as long as the connection lasts.
const READ_BUFFER_BYTES: usize = 4 * 1024;

/// Bytes that wait for the network before the broker has to.
const WRITE_BUFFER_BYTES_MAX: usize = 1024 * 1024;

/// The largest frame that we send, in bytes.
const FRAME_BYTES_MAX: usize = 64 * 1024;

/// The bytes in a WebSocket's binary frames.
pub(crate) struct WebSocketBytes<S> {
    frames: WebSocketStream<S>,
    /// What is left of the message that was read last.
    unread: Bytes,
    /// The client sent a text frame; the close frame that says so has to go out.
    is_refusing: bool,
}

impl<S: AsyncRead + AsyncWrite + Unpin> WebSocketBytes<S> {
    /// Takes over a connection whose HTTP upgrade has been answered.
    pub(crate) async fn new(stream: S) -> Self {
        let config = WebSocketConfig::default()
            .read_buffer_size(READ_BUFFER_BYTES)
            .write_buffer_size(0)
            .max_write_buffer_size(WRITE_BUFFER_BYTES_MAX)
            .max_message_size(Some(MESSAGE_BYTES_MAX))
            .max_frame_size(Some(MESSAGE_BYTES_MAX));
        let frames = WebSocketStream::from_raw_socket(stream, Role::Server, Some(config)).await;
        Self { frames, unread: Bytes::new(), is_refusing: false }
    }

    fn poll_refuse(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let close = CloseFrame { code: CloseCode::Unsupported, reason: "MQTT is sent in binary frames".into() };
        let mut frames = Pin::new(&mut self.frames);
        if !std::mem::replace(&mut self.is_refusing, true) {
            frames.as_mut().start_send(Message::Close(Some(close))).map_err(io_error)?;
        }
        let _ = ready!(frames.poll_flush(cx));
        Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, "text frame in an MQTT connection")))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for WebSocketBytes<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.is_refusing {
            return self.poll_refuse(cx);
        }
        while self.unread.is_empty() {
            match ready!(Pin::new(&mut self.frames).poll_next(cx)) {
                Some(Ok(Message::Binary(bytes))) => self.unread = bytes,
                Some(Ok(Message::Text(_))) => return self.poll_refuse(cx),
                // Pings are answered by the library; a close ends the stream at the next turn.
                Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Close(_) | Message::Frame(_))) => {}
                Some(Err(tungstenite::Error::ConnectionClosed)) | None => return Poll::Ready(Ok(())),
                Some(Err(error)) => return Poll::Ready(Err(io_error(error))),
            }
        }
        let count = self.unread.len().min(into.remaining());
        into.put_slice(&self.unread[..count]);
        self.unread.advance(count);
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for WebSocketBytes<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, from: &[u8]) -> Poll<io::Result<usize>> {
        let mut frames = Pin::new(&mut self.frames);
        ready!(frames.as_mut().poll_ready(cx)).map_err(io_error)?;
        let count = from.len().min(FRAME_BYTES_MAX);
        frames.start_send(Message::Binary(Bytes::copy_from_slice(&from[..count]))).map_err(io_error)?;
        Poll::Ready(Ok(count))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.frames).poll_flush(cx).map_err(io_error)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.frames).poll_close(cx).map_err(io_error)
    }
}

fn io_error(error: tungstenite::Error) -> io::Error {
    match error {
        tungstenite::Error::Io(error) => error,
        tungstenite::Error::ConnectionClosed | tungstenite::Error::AlreadyClosed => io::ErrorKind::BrokenPipe.into(),
        other => io::Error::new(io::ErrorKind::InvalidData, other),
    }
}
