//! A connection as a persona sees it: what is said is bounded, and each byte of both sides is recorded.

use std::cell::RefCell;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use komainu_decode::Side;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout_at};

use crate::limits::SensorLimits;
use crate::session::{Ending, Keeper, Session};

/// Bytes that are read at once.
const READ_BYTES: usize = 16 * 1024;

/// How long a client may take nothing of what is said to it. A device's system waits longer; nobody notices.
const WRITE_TIMEOUT: Duration = Duration::from_secs(20);

thread_local! {
    /// A connection that waits holds no buffer.
    static READ: RefCell<Vec<u8>> = RefCell::new(vec![0; READ_BYTES]);
}

/// A connection.
pub(crate) struct Link {
    stream: TcpStream,
    session: Session,
    limits: Arc<SensorLimits>,
    stop: watch::Receiver<bool>,
    began: Instant,
    /// The same moment, in microseconds since 1970.
    began_at: i64,
    bytes_in: u64,
    bytes_out: u64,
    /// When what was said so far may have been said.
    out_free_at: Instant,
}

impl Link {
    pub(crate) fn new(
        stream: TcpStream,
        session: Session,
        limits: Arc<SensorLimits>,
        stop: watch::Receiver<bool>,
        began_at: i64,
    ) -> Self {
        let began = Instant::now();
        Self { stream, session, limits, stop, began, began_at, bytes_in: 0, bytes_out: 0, out_free_at: began }
    }

    /// How long the connection has been there.
    pub(crate) fn age(&self) -> Duration {
        self.began.elapsed()
    }

    /// Now, in microseconds since 1970, by a clock that nobody sets while the connection is there.
    pub(crate) fn now(&self) -> i64 {
        self.began_at.saturating_add(i64::try_from(self.age().as_micros()).unwrap_or(i64::MAX))
    }

    /// Whoever writes the records of the connection.
    pub(crate) fn keeper(&mut self) -> &mut Keeper {
        self.session.keeper()
    }

    /// What the client says next, or how the connection ended. The bytes are never none.
    pub(crate) async fn read(&mut self) -> Result<Vec<u8>, Ending> {
        let idle = Duration::from_secs(self.limits.idle_s);
        let last = self.began + Duration::from_secs(self.limits.connection_s_max);
        let deadline = (Instant::now() + idle).min(last);
        loop {
            tokio::select! {
                biased;
                _ = self.stop.wait_for(|stop| *stop) => return Err(Ending::Stopped),
                ready = timeout_at(deadline, self.stream.readable()) => match ready {
                    Err(_elapsed) if deadline == last => return Err(Ending::Bound),
                    Err(_elapsed) => return Err(Ending::Idle),
                    Ok(Err(_)) => return Err(Ending::Closed),
                    Ok(Ok(())) => {}
                },
            }
            match self.read_now() {
                Ok(bytes) if bytes.is_empty() => {
                    self.session.finish(self.now(), Side::Client);
                    return Err(Ending::Closed);
                }
                Ok(bytes) => {
                    self.bytes_in += bytes.len() as u64;
                    self.session.data(self.now(), Side::Client, &bytes);
                    return if self.bytes_in > self.limits.bytes_in_max { Err(Ending::Bound) } else { Ok(bytes) };
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(_) => return Err(Ending::Closed),
            }
        }
    }

    fn read_now(&self) -> io::Result<Vec<u8>> {
        READ.with_borrow_mut(|buffer| self.stream.try_read(buffer).map(|bytes| buffer[..bytes].to_vec()))
    }

    /// Says something, no faster than the client may make it.
    pub(crate) async fn write(&mut self, bytes: &[u8]) -> Result<(), Ending> {
        self.bytes_out += bytes.len() as u64;
        if self.bytes_out > self.limits.bytes_out_max {
            return Err(Ending::Bound);
        }
        // A second's worth may be said at once: the pace is for those who make a persona talk on.
        let pace = Duration::from_secs(1).mul_f64(bytes.len() as f64 / self.limits.bytes_out_per_s_max.max(1) as f64);
        let now = Instant::now();
        self.out_free_at = self.out_free_at.max(now) + pace;
        let ahead = self.out_free_at.saturating_duration_since(now);
        if ahead > Duration::from_secs(1) {
            self.pause(ahead - Duration::from_secs(1)).await?;
        }
        self.session.data(self.now(), Side::Server, bytes);
        let mut rest = bytes;
        while !rest.is_empty() {
            match self.stream.try_write(rest) {
                Ok(written) => rest = &rest[written..],
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    let deadline = Instant::now() + WRITE_TIMEOUT;
                    tokio::select! {
                        biased;
                        _ = self.stop.wait_for(|stop| *stop) => return Err(Ending::Stopped),
                        ready = timeout_at(deadline, self.stream.writable()) => match ready {
                            Err(_elapsed) => return Err(Ending::Idle),
                            Ok(Err(_)) => return Err(Ending::Closed),
                            Ok(Ok(())) => {}
                        },
                    }
                }
                Err(_) => return Err(Ending::Closed),
            }
        }
        Ok(())
    }

    /// Lets time pass.
    pub(crate) async fn pause(&mut self, duration: Duration) -> Result<(), Ending> {
        tokio::select! {
            biased;
            _ = self.stop.wait_for(|stop| *stop) => Err(Ending::Stopped),
            () = sleep(duration) => Ok(()),
        }
    }

    /// Closes the connection and ends its record.
    pub(crate) fn end(self, ending: Ending) {
        let now = self.now();
        self.session.end(now, ending);
    }
}
