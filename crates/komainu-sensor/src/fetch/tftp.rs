//! Fetching by TFTP (RFC 1350), in octets, without options.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::UdpSocket;
use tokio::time::timeout;

use super::dial::{Dialer, Place};
use super::location::Location;
use super::{Trace, WhyNot};

/// Bytes of a block; a shorter one is the last (RFC 1350, 2).
const BLOCK_BYTES: usize = 512;

/// How long a block may take before what was said last is said again.
const PATIENCE: Duration = Duration::from_secs(3);

/// How often something is said again in a row before it is given up.
const REPEATS_MAX: u32 = 4;

/// Datagrams of others, or twice the same, that are dropped in a row while a block is awaited: with them, nobody can keep
/// a fetch busy.
const STRAY_MAX: u32 = 64;

const READ: u16 = 1;
const DATA: u16 = 3;
const ACKNOWLEDGEMENT: u16 = 4;
const ERROR: u16 = 5;

/// Fetches a file.
pub(super) async fn get(
    dialer: &Dialer,
    place: &Place,
    location: &Location,
    bytes_max: usize,
    trace: &mut Trace,
) -> Result<Vec<u8>, WhyNot> {
    let file = location.file()?;
    let (socket, server) = dialer.datagrams(place).await?;
    let mut said = [&READ.to_be_bytes()[..], &file, b"\0octet\0"].concat();
    let mut peer: Option<SocketAddr> = None;
    let mut contents: Vec<u8> = Vec::new();
    let mut expected: u16 = 1;
    loop {
        let (from, block) = await_block(&socket, server, peer, &said, expected).await?;
        peer = Some(from);
        trace.bytes += block.len() as u64;
        if contents.len() + block.len() > bytes_max {
            return Err(WhyNot::TooLarge);
        }
        contents.extend_from_slice(&block);
        said = [ACKNOWLEDGEMENT.to_be_bytes(), expected.to_be_bytes()].concat();
        if block.len() < BLOCK_BYTES {
            // A lost acknowledgement of the last block is the server's trouble, not ours.
            let _ = socket.send_to(&said, from).await;
            return Ok(contents);
        }
        // Files of more than 32 MiB begin again with 0, as servers do.
        expected = expected.wrapping_add(1);
    }
}

/// Says something until the block that is expected comes: from the address that was asked, and from the one port with
/// which the server began to answer (RFC 1350, 4).
async fn await_block(
    socket: &UdpSocket,
    server: SocketAddr,
    peer: Option<SocketAddr>,
    said: &[u8],
    expected: u16,
) -> Result<(SocketAddr, Vec<u8>), WhyNot> {
    let mut buffer = [0; 4 + BLOCK_BYTES + 1];
    let mut strays = 0;
    for _ in 0..=REPEATS_MAX {
        socket.send_to(said, peer.unwrap_or(server)).await.map_err(|_| WhyNot::NotConnected)?;
        let heard = timeout(PATIENCE, async {
            loop {
                let (bytes, from) = socket.recv_from(&mut buffer).await.map_err(|_| WhyNot::NotConnected)?;
                let is_server = from.ip() == server.ip() && peer.is_none_or(|peer| peer == from);
                if is_server && let Some(heard) = understand(&buffer[..bytes], expected)? {
                    return Ok((from, heard.to_vec()));
                }
                strays += 1;
                if strays > STRAY_MAX {
                    return Err(WhyNot::Protocol);
                }
            }
        });
        if let Ok(heard) = heard.await {
            return heard;
        }
    }
    Err(WhyNot::NotConnected)
}

/// The block that is expected; none for another one.
fn understand(datagram: &[u8], expected: u16) -> Result<Option<&[u8]>, WhyNot> {
    let Some((head, rest)) = datagram.split_first_chunk::<4>() else { return Err(WhyNot::Protocol) };
    let [code, number] = [[head[0], head[1]], [head[2], head[3]]].map(u16::from_be_bytes);
    match code {
        DATA if number == expected && rest.len() <= BLOCK_BYTES => Ok(Some(rest)),
        DATA if number != expected => Ok(None),
        ERROR => Err(WhyNot::Status),
        _ => Err(WhyNot::Protocol),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn datagrams() {
        let check = |datagram: &[u8], expected| assert_eq!(understand(datagram, 2), expected, "{datagram:?}");
        check(b"\0\x03\0\x02abc", Ok(Some(b"abc".as_slice())));
        check(b"\0\x03\0\x02", Ok(Some(b"".as_slice())));
        check(b"\0\x03\0\x01abc", Ok(None));
        check(b"\0\x05\0\x01no such file\0", Err(WhyNot::Status));
        check(b"\0\x04\0\x02", Err(WhyNot::Protocol));
        check(b"\0\x03", Err(WhyNot::Protocol));
        check(&[b"\0\x03\0\x02".as_slice(), &[0; 513]].concat(), Err(WhyNot::Protocol));
    }
}
