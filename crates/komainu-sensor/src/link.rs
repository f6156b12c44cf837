//! A connection as a persona sees it: what is said is bounded, and each byte of both sides is recorded.

use std::future::Future;
use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use komainu_decode::{Conversation, Side, Transport};
use rustls::{ServerConfig, ServerConnection};
use tokio::io::AsyncWrite;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout, timeout_at};

use crate::limits::SensorLimits;
use crate::receive::{poll_receive, receive};
use crate::session::{Ending, Flow, Keeper, Session};

/// How long a client may take nothing of what is said to it. A device's system waits longer; nobody notices.
pub(crate) const WRITE_TIMEOUT: Duration = Duration::from_secs(20);

/// How long a client may take for the handshake of TLS: two round trips, and a slow device's arithmetic.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(30);

/// Bytes of a client's part in the handshake of TLS. A hello has less than 2 KiB, with the largest keys 4 KiB.
const HANDSHAKE_BYTES_MAX: u64 = 64 * 1024;

/// Bytes that are encrypted, or said by whoever polls, at once: a record's of TLS (RFC 8446, 5.1).
const RECORD_BYTES: usize = 16 * 1024;

/// A connection. What is read and said is in the clear also where it is carried over TLS.
pub(crate) struct Link {
    stream: TcpStream,
    tls: Option<Box<Tls>>,
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

/// TLS on a connection. Its state takes about 20 KiB, which connections without it do not pay for.
struct Tls {
    connection: ServerConnection,
    /// What the client said in the clear and nobody has read: at most what one read from the connection carried.
    clear: Vec<u8>,
    /// Whether the client said that it has said everything.
    is_over: bool,
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
        Self {
            stream,
            tls: None,
            session,
            limits,
            stop,
            began,
            began_at,
            bytes_in: 0,
            bytes_out: 0,
            out_free_at: began,
        }
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

    /// The address at which the client reached it.
    pub(crate) fn server_address(&self) -> Option<SocketAddr> {
        self.stream.local_addr().ok()
    }

    /// Speaks TLS from here on, and returns when both sides can. What is said inside is decoded by `inside`.
    pub(crate) async fn start_tls(&mut self, server: Arc<ServerConfig>, inside: Conversation) -> Result<(), Ending> {
        let connection = ServerConnection::new(server).map_err(|_| Ending::Closed)?;
        self.tls = Some(Box::new(Tls { connection, clear: Vec::new(), is_over: false }));
        self.session.begin_inside(inside);
        match timeout(HANDSHAKE_TIMEOUT, self.shake_hands()).await {
            Ok(done) => done,
            Err(_elapsed) => Err(Ending::Idle),
        }
    }

    async fn shake_hands(&mut self) -> Result<(), Ending> {
        while self.tls.as_ref().is_some_and(|tls| tls.connection.is_handshaking()) {
            let records = self.read_raw(None).await?.unwrap_or_default();
            self.take_records(&records).await?;
            if self.bytes_in > HANDSHAKE_BYTES_MAX {
                return Err(Ending::Bound);
            }
        }
        Ok(())
    }

    /// What the client says next, or how the connection ended. The bytes are never none.
    pub(crate) async fn read(&mut self) -> Result<Vec<u8>, Ending> {
        loop {
            if let Some(bytes) = self.read_until(None).await? {
                return Ok(bytes);
            }
        }
    }

    /// The same, but none when the client says nothing before `until`.
    pub(crate) async fn read_before(&mut self, until: Instant) -> Result<Option<Vec<u8>>, Ending> {
        self.read_until(Some(until)).await
    }

    async fn read_until(&mut self, until: Option<Instant>) -> Result<Option<Vec<u8>>, Ending> {
        if self.tls.is_none() {
            return self.read_raw(until).await;
        }
        while let Some(tls) = &mut self.tls {
            if !tls.clear.is_empty() {
                let bytes = std::mem::take(&mut tls.clear);
                self.session.data_inside(self.now(), Side::Client, &bytes);
                return Ok(Some(bytes));
            }
            if tls.is_over {
                break;
            }
            match self.read_raw(until).await? {
                Some(records) => self.take_records(&records).await?,
                None => return Ok(None),
            }
        }
        Err(Ending::Closed)
    }

    /// Has TLS records read, and says what TLS answers to them: a part of the handshake, or an alert.
    async fn take_records(&mut self, records: &[u8]) -> Result<(), Ending> {
        let Some(tls) = &mut self.tls else { return Ok(()) };
        let taken = tls.take(records);
        self.write_records().await?;
        taken.map_err(|NotTls| Ending::Closed)
    }

    async fn write_records(&mut self) -> Result<(), Ending> {
        match self.tls.as_mut().map(|tls| tls.records()) {
            Some(records) if !records.is_empty() => self.write_raw(&records).await,
            Some(_) | None => Ok(()),
        }
    }

    /// What comes next over TCP; none when nothing comes before `until`.
    async fn read_raw(&mut self, until: Option<Instant>) -> Result<Option<Vec<u8>>, Ending> {
        let last = self.last_moment();
        let deadline = until.unwrap_or(Instant::now() + self.idle_max()).min(last);
        let heard = tokio::select! {
            biased;
            _ = self.stop.wait_for(|stop| *stop) => return Err(Ending::Stopped),
            heard = timeout_at(deadline, receive(&mut self.stream)) => match heard {
                Err(_elapsed) if deadline == last => return Err(Ending::Bound),
                Err(_elapsed) if until.is_some() => return Ok(None),
                Err(_elapsed) => return Err(Ending::Idle),
                Ok(heard) => heard,
            },
        };
        self.heard(heard).map(Some)
    }

    /// Records what came.
    fn heard(&mut self, heard: io::Result<Vec<u8>>) -> Result<Vec<u8>, Ending> {
        let bytes = heard.map_err(|_| Ending::Closed)?;
        if bytes.is_empty() {
            self.session.finish(self.now(), Side::Client);
            return Err(Ending::Closed);
        }
        self.bytes_in += bytes.len() as u64;
        self.session.data(self.now(), Side::Client, &bytes);
        if self.bytes_in > self.limits.bytes_in_max { Err(Ending::Bound) } else { Ok(bytes) }
    }

    /// What the client says next over a connection without TLS, for whoever polls. How long that may take is left to
    /// them: [`Self::idle_max`] and [`Self::last_moment`] say it.
    pub(crate) fn poll_read(&mut self, context: &mut Context<'_>) -> Poll<Result<Vec<u8>, Ending>> {
        let heard = ready!(poll_receive(&mut self.stream, context));
        Poll::Ready(self.heard(heard))
    }

    /// How long a client may say nothing.
    pub(crate) fn idle_max(&self) -> Duration {
        Duration::from_secs(self.limits.idle_s)
    }

    /// When the connection has lasted for as long as one may.
    pub(crate) fn last_moment(&self) -> Instant {
        self.began + Duration::from_secs(self.limits.connection_s_max)
    }

    /// Says something, no faster than the client may make it.
    pub(crate) async fn write(&mut self, bytes: &[u8]) -> Result<(), Ending> {
        if self.tls.is_none() {
            return self.write_raw(bytes).await;
        }
        self.session.data_inside(self.now(), Side::Server, bytes);
        for piece in bytes.chunks(RECORD_BYTES) {
            if let Some(tls) = &mut self.tls {
                tls.connection.writer().write_all(piece).expect("the buffer takes a record, and is empty");
            }
            self.write_records().await?;
        }
        Ok(())
    }

    async fn write_raw(&mut self, bytes: &[u8]) -> Result<(), Ending> {
        self.count_out(bytes.len())?;
        let early = self.early(Instant::now());
        if early > Duration::ZERO {
            self.pause(early).await?;
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

    /// Counts bytes that are said.
    fn count_out(&mut self, bytes: usize) -> Result<(), Ending> {
        self.bytes_out += bytes as u64;
        if self.bytes_out > self.limits.bytes_out_max {
            return Err(Ending::Bound);
        }
        let pace = Duration::from_secs(1).mul_f64(bytes as f64 / self.limits.bytes_out_per_s_max.max(1) as f64);
        self.out_free_at = self.out_free_at.max(Instant::now()) + pace;
        Ok(())
    }

    /// How long it is until something may be said. A second's worth may be said at once: the pace is for those who make
    /// a persona talk on.
    fn early(&self, now: Instant) -> Duration {
        self.out_free_at.saturating_duration_since(now).saturating_sub(Duration::from_secs(1))
    }

    /// Says as much of `bytes` as the client takes now, over a connection without TLS, for whoever polls: they wait for
    /// [`Self::may_speak_at`] before, and for [`WRITE_TIMEOUT`] at the longest.
    pub(crate) fn poll_write(&mut self, context: &mut Context<'_>, bytes: &[u8]) -> Poll<Result<usize, Ending>> {
        let bytes = &bytes[..bytes.len().min(RECORD_BYTES)];
        if self.bytes_out + bytes.len() as u64 > self.limits.bytes_out_max {
            return Poll::Ready(Err(Ending::Bound));
        }
        let written = ready!(Pin::new(&mut self.stream).poll_write(context, bytes)).map_err(|_| Ending::Closed)?;
        self.session.data(self.now(), Side::Server, &bytes[..written]);
        Poll::Ready(self.count_out(written).map(|()| written))
    }

    /// When the next thing may be said.
    pub(crate) fn may_speak_at(&self) -> Instant {
        let now = Instant::now();
        now + self.early(now)
    }

    /// Lets time pass.
    pub(crate) async fn pause(&mut self, duration: Duration) -> Result<(), Ending> {
        tokio::select! {
            biased;
            _ = self.stop.wait_for(|stop| *stop) => Err(Ending::Stopped),
            () = sleep(duration) => Ok(()),
        }
    }

    /// Resolves when the sensor stops, whatever becomes of the connection.
    pub(crate) fn stop_signal(&self) -> impl Future<Output = ()> + use<> {
        let mut stop = self.stop.clone();
        async move {
            // An error would mean that the sensor is gone.
            let _ = stop.wait_for(|stop| *stop).await;
        }
    }

    /// Waits until the sensor stops.
    pub(crate) async fn stopped(&mut self) -> Ending {
        // An error would mean that the sensor is gone.
        let _ = self.stop.wait_for(|stop| *stop).await;
        Ending::Stopped
    }

    /// Learns that everything is said that will be.
    pub(crate) fn finish(&mut self) {
        let now = self.now();
        self.session.finish(now, Side::Server);
    }

    /// The client's end and ours.
    pub(crate) fn ends(&self) -> io::Result<(SocketAddr, SocketAddr)> {
        Ok((self.stream.peer_addr()?, self.stream.local_addr()?))
    }

    /// A further connection of the same client, with a record of its own that belongs to this one's.
    pub(crate) fn beside(&self, stream: TcpStream, conversation: Conversation) -> io::Result<Self> {
        let (client, server) = (stream.peer_addr()?, stream.local_addr()?);
        let now = self.now();
        let keeper = self.session.keeper_of().beside(Flow { transport: Transport::Tcp, client, server }, now);
        let session = Session::new(keeper, conversation);
        Ok(Self::new(stream, session, self.limits.clone(), self.stop.clone(), now))
    }

    /// Closes a further connection and ends its record. What went over it counts for this one's bounds.
    pub(crate) fn end_beside(&mut self, other: Self, ending: Ending) -> Result<(), Ending> {
        self.bytes_in += other.bytes_in;
        self.bytes_out += other.bytes_out;
        other.end(ending);
        let is_beyond = self.bytes_in > self.limits.bytes_in_max || self.bytes_out > self.limits.bytes_out_max;
        if is_beyond { Err(Ending::Bound) } else { Ok(()) }
    }

    /// Closes the connection and ends its record.
    pub(crate) fn end(mut self, ending: Ending) {
        let now = self.now();
        if let Some(tls) = &mut self.tls {
            tls.connection.send_close_notify();
            let records = tls.records();
            // Nobody waits for a client that takes nothing; what it would have got is not recorded then.
            if let Ok(written) = self.stream.try_write(&records) {
                self.session.data(now, Side::Server, &records[..written]);
            }
        }
        self.session.end(now, ending);
    }
}

/// What a client says is not TLS, or not as it has to be.
struct NotTls;

impl Tls {
    /// Decrypts what comes next.
    fn take(&mut self, records: &[u8]) -> Result<(), NotTls> {
        let mut rest = records;
        while !rest.is_empty() {
            if self.is_over {
                return Ok(());
            }
            self.connection.read_tls(&mut rest).map_err(|_| NotTls)?;
            let state = self.connection.process_new_packets().map_err(|_| NotTls)?;
            self.is_over = state.peer_has_closed();
            // rustls takes no more records while more than one is unread.
            let at = self.clear.len();
            self.clear.resize(at + state.plaintext_bytes_to_read(), 0);
            self.connection.reader().read_exact(&mut self.clear[at..]).map_err(|_| NotTls)?;
        }
        Ok(())
    }

    /// What is to be sent.
    fn records(&mut self) -> Vec<u8> {
        let mut records = Vec::new();
        while self.connection.wants_write() {
            self.connection.write_tls(&mut records).expect("a vector takes everything");
        }
        records
    }
}
