//! The tunnel between a sensor and its outposts: QUIC (RFC 9000), where each side knows the other by its certificate.
//!
//! An outpost opens one stream for each connection or conversation of a stranger. The stream begins with an [`Opening`];
//! then bytes follow in both directions, or datagrams with their lengths. A sensor opens one stream towards an outpost, to
//! say in which version it speaks. Neither accepts anything else.

mod datagrams;
mod key;
mod opening;
mod stream;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use nix::sys::socket::setsockopt;
use nix::sys::socket::sockopt::{RcvBuf, SndBuf};
use quinn::{EndpointConfig, TransportConfig, VarInt};

pub(crate) use self::datagrams::TunnelDatagrams;
#[cfg(fuzzing)]
pub(crate) use self::datagrams::check_pieces;
pub use self::key::{TunnelKey, TunnelKeyError};
pub(crate) use self::key::{fingerprint_of, outpost_side, sensor_side};
pub(crate) use self::opening::Opening;
#[cfg(fuzzing)]
pub(crate) use self::opening::check_bytes;
pub(crate) use self::stream::TunnelStream;

/// What is said here; both sides must be of the same version. It stands in the handshake (ALPN, RFC 7301) as well.
pub(crate) const VERSION: u8 = 1;
const PROTOCOL: &[u8] = b"komainu-outpost/1";

/// How long a tunnel may be silent. Then it is taken to be cut: strangers are refused, and another one is opened.
const SILENCE: Duration = Duration::from_secs(10);

/// How often an outpost says something when there is nothing to say: three may be lost.
const KEEP_ALIVE: Duration = Duration::from_secs(3);

/// Bytes of one stream that may wait at a sensor, until the device takes them. Strangers say little.
const TO_SENSOR_BYTES_MAX: u32 = 32 * 1024;

/// Bytes of one stream that may wait at an outpost, until the stranger takes them: one camera's video over 200 ms.
const TO_OUTPOST_BYTES_MAX: u32 = 128 * 1024;

/// Bytes of a tunnel that are sent and not acknowledged: 40 MB a second over 100 ms.
const SENT_BYTES_MAX: u64 = 4 << 20;

/// Bytes that the kernel holds of what comes and goes: a burst of one tunnel. It gives less when its own bound is lower.
const SOCKET_BYTES: usize = 4 << 20;

/// Why one side breaks off a stream, as an application's error code (RFC 9000, 20.2). 0 means that everything was said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BreakOff {
    /// The connection that it carries was reset.
    Reset,
    /// The stream does not begin as it has to, or a datagram is longer than there are any.
    Malformed,
    /// The outpost may not reach this device, or there is none of this name.
    Device,
    /// The device does not show this port to strangers, or the sensor does not record it.
    Port,
    /// The source cannot be a stranger's address.
    Source,
    /// A bound of the sensor is reached.
    Bound,
    /// The device cannot be reached.
    Unreachable,
}

impl BreakOff {
    const ALL: [Self; 7] =
        [Self::Reset, Self::Malformed, Self::Device, Self::Port, Self::Source, Self::Bound, Self::Unreachable];

    /// The number on the wire.
    pub(crate) const fn code(self) -> VarInt {
        VarInt::from_u32(match self {
            Self::Reset => 1,
            Self::Malformed => 2,
            Self::Device => 3,
            Self::Port => 4,
            Self::Source => 5,
            Self::Bound => 6,
            Self::Unreachable => 7,
        })
    }

    /// What a number of the other side means.
    pub(crate) fn of_code(code: VarInt) -> Option<Self> {
        Self::ALL.into_iter().find(|one| one.code() == code)
    }

    /// The word in the log.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Reset => "reset",
            Self::Malformed => "malformed",
            Self::Device => "device",
            Self::Port => "port",
            Self::Source => "source",
            Self::Bound => "bound",
            Self::Unreachable => "unreachable",
        }
    }
}

/// Why a whole tunnel is closed, as an application's error code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Goodbye {
    /// Who says it stops.
    Stopping,
    /// Another tunnel of the same outpost has taken its place.
    Replaced,
    /// The other side did not say what it has to.
    Malformed,
}

impl Goodbye {
    /// The number on the wire, and the words beside it.
    pub(crate) const fn said(self) -> (VarInt, &'static [u8]) {
        match self {
            Self::Stopping => (VarInt::from_u32(0), b"stopping"),
            Self::Replaced => (VarInt::from_u32(1), b"another tunnel has taken its place"),
            Self::Malformed => (VarInt::from_u32(2), b"the other side said something else"),
        }
    }
}

/// Closes a tunnel.
pub(crate) fn close(connection: &quinn::Connection, why: Goodbye) {
    let (code, words) = why.said();
    connection.close(code, words);
}

/// A socket for tunnels.
pub(crate) fn endpoint(address: SocketAddr, server: Option<quinn::ServerConfig>) -> io::Result<quinn::Endpoint> {
    let socket = std::net::UdpSocket::bind(address)?;
    // Less is slower, and nothing else.
    let _ = setsockopt(&socket, RcvBuf, &SOCKET_BYTES);
    let _ = setsockopt(&socket, SndBuf, &SOCKET_BYTES);
    let runtime = Arc::new(quinn::TokioRuntime);
    quinn::Endpoint::new(EndpointConfig::default(), server, socket, runtime)
}

/// What a sensor lets an outpost do: nothing before it is known which one it is.
fn sensor_transport() -> TransportConfig {
    let mut transport = common_transport();
    transport.max_concurrent_bidi_streams(VarInt::from_u32(0));
    transport.max_concurrent_uni_streams(VarInt::from_u32(0));
    transport.stream_receive_window(VarInt::from_u32(TO_SENSOR_BYTES_MAX));
    transport
}

/// What an outpost lets a sensor do: say its version, and answer.
fn outpost_transport() -> TransportConfig {
    let mut transport = common_transport();
    transport.keep_alive_interval(Some(KEEP_ALIVE));
    transport.max_concurrent_bidi_streams(VarInt::from_u32(0));
    transport.max_concurrent_uni_streams(VarInt::from_u32(1));
    transport.stream_receive_window(VarInt::from_u32(TO_OUTPOST_BYTES_MAX));
    transport
}

fn common_transport() -> TransportConfig {
    let mut transport = TransportConfig::default();
    transport.max_idle_timeout(Some(SILENCE.try_into().expect("ten seconds fit into a QUIC integer")));
    transport.datagram_receive_buffer_size(None);
    transport.send_window(SENT_BYTES_MAX);
    // Streams are bounded, in number and one by one: who takes nothing must not keep the others waiting.
    transport.receive_window(VarInt::MAX);
    transport
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use bytes::Bytes;
    use quinn::{Connection, ConnectionError, Endpoint};
    use tokio::time::timeout;

    use super::*;

    const WAIT: Duration = Duration::from_secs(20);
    const ANYWHERE: (Ipv4Addr, u16) = (Ipv4Addr::LOCALHOST, 0);

    type Joined = Result<Connection, ConnectionError>;

    fn key() -> TunnelKey {
        TunnelKey::read_or_make(tempfile::tempdir().unwrap().path()).unwrap()
    }

    /// A tunnel as each side has it, the sensor's first, and the sockets, which must stay open. `known` and `expected` are
    /// whom the sensor lets in and whom the outpost calls, if not each other.
    async fn tunnel(known: Option<&TunnelKey>, expected: Option<&TunnelKey>) -> ([Joined; 2], [Endpoint; 2]) {
        let (sensor, outpost) = (key(), key());
        let known = known.unwrap_or(&outpost).fingerprint();
        let expected = expected.unwrap_or(&sensor).fingerprint();
        let server = endpoint(ANYWHERE.into(), Some(sensor_side(&sensor, vec![known]).unwrap())).unwrap();
        let client = endpoint(ANYWHERE.into(), None).unwrap();
        let address = server.local_addr().unwrap();
        let config = outpost_side(&outpost, expected).unwrap();
        let call = async { client.connect_with(config, address, "komainu").unwrap().await };
        let answer = async { server.accept().await.unwrap().accept().unwrap().await };
        let (answered, called) = timeout(WAIT, async { tokio::join!(answer, call) }).await.unwrap();
        ([answered, called], [server, client])
    }

    #[tokio::test]
    async fn each_side_is_who_the_other_expects() {
        let ([sensor, outpost], _sockets) = tunnel(None, None).await;
        let (sensor, outpost) = (sensor.unwrap(), outpost.unwrap());
        assert_ne!(fingerprint_of(&sensor), None);
        assert_ne!(fingerprint_of(&sensor), fingerprint_of(&outpost));
        // Nothing may be opened before the sensor says so, and nothing ever towards the outpost.
        for opened in [outpost.open_bi(), sensor.open_bi()] {
            assert!(timeout(Duration::from_millis(50), opened).await.is_err());
        }
        assert!(timeout(Duration::from_millis(50), outpost.open_uni()).await.is_err());
    }

    #[tokio::test]
    async fn whoever_is_not_known_is_refused() {
        let other = key();
        let ([sensor, _], _sockets) = tunnel(Some(&other), None).await;
        assert!(sensor.is_err());
        let ([_, outpost], _sockets) = tunnel(None, Some(&other)).await;
        assert!(outpost.is_err());
    }

    /// More than waits on the way, towards a side that does not read at first.
    #[tokio::test]
    async fn what_is_not_taken_waits_and_nothing_is_lost() {
        let ([sensor, outpost], _sockets) = tunnel(None, None).await;
        let (sensor, outpost) = (sensor.unwrap(), outpost.unwrap());
        sensor.set_max_concurrent_bi_streams(VarInt::from_u32(1));
        let data: Vec<u8> = (0..1_000_000_u32).map(|number| number.to_be_bytes()[3]).collect();
        let talk = async {
            let (mut to, from) = outpost.open_bi().await.unwrap();
            to.write_all(b"?").await.unwrap();
            let mut here = TunnelStream::new(to, from, Bytes::new());
            let (to, from) = sensor.accept_bi().await.unwrap();
            let mut there = TunnelStream::new(to, from, Bytes::from_static(b"said before"));
            let mut first = [0; 100];
            assert_eq!(there.try_read(&mut first).unwrap(), 11);
            let mut rest = &data[..];
            while let Some((piece, more)) = rest.split_at_checked(10_000) {
                match there.try_write(piece) {
                    Ok(bytes) => assert_eq!(bytes, piece.len()),
                    Err(error) => {
                        assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
                        break;
                    }
                }
                rest = more;
            }
            assert!(!there.is_flushed() && data.len() - rest.len() <= 2 * TO_OUTPOST_BYTES_MAX as usize);
            let say = async {
                while !rest.is_empty() || !there.is_flushed() {
                    there.ready(false, true).await.unwrap();
                    if !rest.is_empty() {
                        there.try_write(&rest[..10_000]).unwrap();
                        rest = &rest[10_000..];
                    }
                }
                there.finish();
            };
            let hear = async {
                let (mut heard, mut buffer) = (Vec::new(), [0; 4_096]);
                loop {
                    here.ready(true, false).await.unwrap();
                    match here.try_read(&mut buffer) {
                        Ok(0) => return heard,
                        Ok(bytes) => heard.extend_from_slice(&buffer[..bytes]),
                        Err(error) => assert_eq!(error.kind(), io::ErrorKind::WouldBlock),
                    }
                }
            };
            let ((), heard) = tokio::join!(say, hear);
            assert!(heard == data);
            here.break_off(BreakOff::Unreachable);
            let error = loop {
                if let Err(error) = there.ready(true, false).await {
                    break error;
                }
                assert!(there.try_read(&mut first).unwrap() > 0);
            };
            assert_eq!(TunnelStream::why(&error), Some(BreakOff::Unreachable));
        };
        timeout(WAIT, talk).await.unwrap();
    }

    #[test]
    fn each_reason_has_its_own_number() {
        for one in BreakOff::ALL {
            assert_eq!(BreakOff::of_code(one.code()), Some(one));
        }
        assert_eq!(BreakOff::of_code(VarInt::from_u32(0)), None);
        assert_eq!(BreakOff::of_code(VarInt::MAX), None);
    }
}
