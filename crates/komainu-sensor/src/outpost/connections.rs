//! Connections of strangers, each in a stream of the tunnel.

use std::cell::RefCell;
use std::io;
use std::net::{SocketAddr, SocketAddrV4};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use quinn::{ReadError, RecvStream, SendStream, VarInt, WriteError};
use tokio::io::AsyncWriteExt;
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{sleep, timeout};
use tracing::warn;

use super::Port;
use crate::events;
use crate::limits::Ticket;
use crate::tunnel::BreakOff;

/// Bytes that are read at once.
const READ_BYTES: usize = 16 * 1024;

/// How long a stranger may take nothing of what it is answered: longer than a sensor waits.
const WRITE_TIMEOUT: Duration = Duration::from_secs(150);

/// How long the accepting loop rests when the kernel has no connection for us, for want of file descriptors mostly.
const ACCEPT_RETRY: Duration = Duration::from_millis(50);

thread_local! {
    /// A connection that waits holds no buffer.
    static READ: RefCell<Vec<u8>> = RefCell::new(vec![0; READ_BYTES]);
}

/// Takes strangers' connections while the tunnel is there. Then the port is closed.
pub(super) async fn accept_all(port: Arc<Port>, listener: TcpListener) {
    loop {
        let accepted = tokio::select! {
            biased;
            _ = port.connection.closed() => return,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, SocketAddr::V4(client))) => take(&port, stream, client),
            // It listens at an address of IPv4.
            Ok((_, SocketAddr::V6(_))) => {}
            Err(error) => {
                let number = port.exposed.listen.port();
                warn!(event = events::ACCEPT_FAILED, port = number, %error, "cannot accept connections");
                sleep(ACCEPT_RETRY).await;
            }
        }
    }
}

fn take(port: &Arc<Port>, stream: TcpStream, client: SocketAddrV4) {
    match port.shared.connections.admit((*client.ip()).into()) {
        Ok(ticket) => drop(tokio::spawn(serve(port.clone(), stream, client, ticket))),
        Err(limit) => {
            let _ = stream.set_zero_linger();
            port.log_limit(limit, client);
        }
    }
}

/// Why a connection is broken off.
enum Broken {
    /// By the stranger.
    Stranger,
    /// By the sensor, with its reason.
    Sensor(Option<BreakOff>),
    /// There is no tunnel any more.
    Tunnel,
}

async fn serve(port: Arc<Port>, mut stream: TcpStream, client: SocketAddrV4, ticket: Ticket) {
    let _ = stream.set_nodelay(true);
    let (mut to, mut from) = match port.stream(client).await {
        Ok(opened) => opened,
        Err(reason) => {
            let _ = stream.set_zero_linger();
            return port.log_refused(reason, client);
        }
    };
    let (mut said, mut answers) = stream.split();
    let carried = tokio::try_join!(carry_said(&mut said, &mut to), carry_answers(&mut from, &mut answers));
    if let Err(broken) = carried {
        // One of them has broken off: so does the other.
        let _ = stream.set_zero_linger();
        let _ = to.reset(BreakOff::Reset.code());
        let _ = from.stop(BreakOff::Reset.code());
        if let Broken::Sensor(Some(why)) = broken {
            port.log_refused(why.as_str(), client);
        }
    }
    drop((ticket, port));
}

/// Carries what the stranger says, until it has said everything or the sensor has heard enough.
async fn carry_said(from: &mut ReadHalf<'_>, to: &mut SendStream) -> Result<(), Broken> {
    let mut stopped = pin!(to.stopped());
    loop {
        let ready = tokio::select! {
            stopped = &mut stopped => return match stopped {
                Ok(None) => Ok(()),
                Ok(Some(code)) => of_stop(code),
                Err(_) => Err(Broken::Tunnel),
            },
            ready = from.readable() => ready,
        };
        ready.map_err(|_| Broken::Stranger)?;
        let read =
            READ.with_borrow_mut(|buffer| from.try_read(buffer).map(|bytes| Bytes::copy_from_slice(&buffer[..bytes])));
        let said = match read {
            Ok(said) => said,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => continue,
            Err(_) => return Err(Broken::Stranger),
        };
        if said.is_empty() {
            // A stream that the sensor has stopped is over as well.
            let _ = to.finish();
            return Ok(());
        }
        match to.write_chunk(said).await {
            Ok(()) => {}
            Err(WriteError::Stopped(code)) => return of_stop(code),
            Err(_) => return Err(Broken::Tunnel),
        }
    }
}

/// What it means that the sensor hears no more.
fn of_stop(code: VarInt) -> Result<(), Broken> {
    if code == VarInt::from_u32(0) { Ok(()) } else { Err(Broken::Sensor(BreakOff::of_code(code))) }
}

/// Carries what is answered to its end.
async fn carry_answers(from: &mut RecvStream, to: &mut WriteHalf<'_>) -> Result<(), Broken> {
    loop {
        match from.read_chunk(READ_BYTES, true).await {
            Ok(Some(chunk)) => match timeout(WRITE_TIMEOUT, to.write_all(&chunk.bytes)).await {
                Ok(Ok(())) => {}
                Ok(Err(_)) | Err(_) => return Err(Broken::Stranger),
            },
            Ok(None) => {
                // A stranger who is gone is noticed when it is read from.
                let _ = to.shutdown().await;
                return Ok(());
            }
            Err(ReadError::Reset(code)) => return Err(Broken::Sensor(BreakOff::of_code(code))),
            Err(_) => return Err(Broken::Tunnel),
        }
    }
}
