//! The MQTT that load needs: few packets, written and read many at a time.

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

const CONNECT: u8 = 0x10;
const CONNACK: u8 = 0x20;
const PUBLISH: u8 = 0x30;
const PUBACK: u8 = 0x40;
const SUBSCRIBE: u8 = 0x82;
const SUBACK: u8 = 0x90;
const DISCONNECT: u8 = 0xe0;

/// Bytes that are read at once while messages flow; a TLS record holds 16 KiB.
const READ_BYTES: usize = 64 * 1024;

/// Bytes that are read at once before: ten thousand idle clients should not need more memory than the broker does.
const QUIET_READ_BYTES: usize = 256;

/// Filters in one SUBSCRIBE, as many as AWS IoT takes.
pub(super) const FILTERS_PER_SUBSCRIBE: usize = 8;

pub(super) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// How a client introduces itself.
#[derive(Debug, Clone, Copy)]
pub(super) struct Connect<'a> {
    pub(super) client_id: &'a str,
    pub(super) clean: bool,
    pub(super) keep_alive_s: u16,
}

impl<'a> Connect<'a> {
    /// A client that leaves nothing behind.
    pub(super) fn clean(client_id: &'a str) -> Self {
        Self { client_id, clean: true, keep_alive_s: 300 }
    }
}

/// A connected client.
pub(super) struct Client {
    stream: Box<dyn Stream>,
    v5: bool,
    inbox: Vec<u8>,
    /// Where the unread part of `inbox` begins.
    read_at: usize,
    read_bytes: usize,
}

/// A received packet, as far as load needs it.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Packet<'a> {
    /// A message; with its packet id when it wants to be acknowledged.
    Publish { packet_id: Option<u16>, payload: &'a [u8] },
    /// An acknowledgement; `refused` when its reason code says so.
    PubAck { refused: bool },
    /// Anything else.
    Other(u8),
}

impl Client {
    /// Sends CONNECT over `stream` and waits for CONNACK.
    pub(super) async fn start(stream: Box<dyn Stream>, v5: bool, connect: Connect<'_>) -> io::Result<Self> {
        let mut client = Self { stream, v5, inbox: Vec::new(), read_at: 0, read_bytes: QUIET_READ_BYTES };
        let mut body = vec![0, 4, b'M', b'Q', b'T', b'T', if v5 { 5 } else { 4 }, u8::from(connect.clean) << 1];
        body.extend(connect.keep_alive_s.to_be_bytes());
        if v5 {
            // Session Expiry Interval: an hour for those who come back.
            let expiry_s: u32 = if connect.clean { 0 } else { 3600 };
            body.extend([5, 0x11]);
            body.extend(expiry_s.to_be_bytes());
        }
        push_text(&mut body, connect.client_id);
        client.send(&packet(CONNECT, &body)).await?;
        let (kind, body) = client.next().await?;
        if kind != CONNACK || body.get(1) != Some(&0) {
            return Err(io::Error::other(format!("the broker refused the connection: {kind:#04x} {body:02x?}")));
        }
        client.consume();
        Ok(client)
    }

    /// Subscribes to `filters` with QoS `qos` and waits for the answer.
    pub(super) async fn subscribe(&mut self, filters: &[String], qos: u8) -> io::Result<()> {
        for filters in filters.chunks(FILTERS_PER_SUBSCRIBE) {
            let mut body = vec![0, 1];
            if self.v5 {
                body.push(0);
            }
            for filter in filters {
                push_text(&mut body, filter);
                body.push(qos);
            }
            self.send(&packet(SUBSCRIBE, &body)).await?;
            // After the packet id, and after the length of no properties.
            let answers_at = if self.v5 { 3 } else { 2 };
            let (kind, body) = self.next().await?;
            let answers = body.get(answers_at..).unwrap_or_default();
            if kind != SUBACK || answers.len() != filters.len() || answers.iter().any(|answer| *answer >= 0x80) {
                return Err(io::Error::other(format!("the broker refused to subscribe: {kind:#04x} {body:02x?}")));
            }
            self.consume();
        }
        Ok(())
    }

    pub(super) async fn disconnect(mut self) -> io::Result<()> {
        self.send(&[DISCONNECT, 0]).await?;
        self.stream.shutdown().await
    }

    pub(super) async fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes).await?;
        self.stream.flush().await
    }

    /// Waits until at least one packet is there and shows every whole packet to `visit`.
    pub(super) async fn receive(&mut self, visit: &mut (dyn FnMut(Packet<'_>) + Send)) -> io::Result<()> {
        self.read_bytes = READ_BYTES;
        self.next().await?;
        let v5 = self.v5;
        while let Some((kind, body, end)) = frame(&self.inbox[self.read_at..])? {
            let body = &self.inbox[self.read_at..][body..end];
            visit(read_packet(kind, body, v5).ok_or_else(|| io::Error::other("a packet of the broker is malformed"))?);
            self.read_at += end;
        }
        self.compact();
        Ok(())
    }

    /// Waits for a packet and leaves it in the inbox.
    async fn next(&mut self) -> io::Result<(u8, &[u8])> {
        loop {
            if frame(&self.inbox[self.read_at..])?.is_some() {
                break;
            }
            self.inbox.reserve(self.read_bytes);
            if self.stream.read_buf(&mut self.inbox).await? == 0 {
                return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the broker closed the connection"));
            }
        }
        let (kind, body, end) = frame(&self.inbox[self.read_at..])?.expect("the loop ends with a whole packet");
        Ok((kind, &self.inbox[self.read_at..][body..end]))
    }

    /// Drops the packet that `next` showed.
    fn consume(&mut self) {
        if let Ok(Some((.., end))) = frame(&self.inbox[self.read_at..]) {
            self.read_at += end;
        }
        self.compact();
    }

    fn compact(&mut self) {
        self.inbox.drain(..self.read_at);
        self.read_at = 0;
    }
}

/// Writes a PUBLISH. QoS 0 has no packet id.
pub(super) fn push_publish(out: &mut Vec<u8>, v5: bool, topic: &str, packet_id: Option<u16>, payload: &[u8]) {
    let length = 2 + topic.len() + if packet_id.is_some() { 2 } else { 0 } + usize::from(v5) + payload.len();
    out.push(PUBLISH | if packet_id.is_some() { 2 } else { 0 });
    push_length(out, length);
    push_text(out, topic);
    if let Some(packet_id) = packet_id {
        out.extend(packet_id.to_be_bytes());
    }
    if v5 {
        out.push(0);
    }
    out.extend_from_slice(payload);
}

/// Writes a PUBACK.
pub(super) fn push_puback(out: &mut Vec<u8>, packet_id: u16) {
    out.extend([PUBACK, 2]);
    out.extend(packet_id.to_be_bytes());
}

fn packet(kind: u8, body: &[u8]) -> Vec<u8> {
    let mut packet = vec![kind];
    push_length(&mut packet, body.len());
    packet.extend(body);
    packet
}

fn push_length(out: &mut Vec<u8>, mut length: usize) {
    loop {
        let low = (length & 127) as u8;
        length >>= 7;
        out.push(if length == 0 { low } else { low | 128 });
        if length == 0 {
            return;
        }
    }
}

fn push_text(out: &mut Vec<u8>, text: &str) {
    let length = u16::try_from(text.len()).expect("topics and client ids of a load are short");
    out.extend(length.to_be_bytes());
    out.extend_from_slice(text.as_bytes());
}

/// The first packet in `bytes`: its first byte, where its body begins and where it ends. `None` when it is not whole.
fn frame(bytes: &[u8]) -> io::Result<Option<(u8, usize, usize)>> {
    let Some((&kind, rest)) = bytes.split_first() else { return Ok(None) };
    let mut length = 0;
    for (at, byte) in rest.iter().take(4).enumerate() {
        length |= usize::from(byte & 127) << (7 * at);
        if byte & 128 == 0 {
            let body = at + 2;
            return Ok((bytes.len() >= body + length).then_some((kind, body, body + length)));
        }
    }
    if rest.len() < 4 { Ok(None) } else { Err(io::Error::other("a packet of the broker has no length")) }
}

fn read_packet(kind: u8, body: &[u8], v5: bool) -> Option<Packet<'_>> {
    match kind & 0xf0 {
        PUBLISH => {
            let topic_bytes = usize::from(u16::from_be_bytes(*body.first_chunk()?));
            let mut rest = body.get(2 + topic_bytes..)?;
            let mut packet_id = None;
            if kind & 0x06 != 0 {
                let (id, after) = rest.split_first_chunk()?;
                packet_id = Some(u16::from_be_bytes(*id));
                rest = after;
            }
            if v5 {
                // Properties of a load's own messages are shorter than 128 bytes.
                let (&length, after) = rest.split_first()?;
                rest = after.get(usize::from(length)..)?;
            }
            Some(Packet::Publish { packet_id, payload: rest })
        }
        PUBACK => Some(Packet::PubAck { refused: body.get(2).is_some_and(|reason| *reason >= 0x80) }),
        _ => Some(Packet::Other(kind)),
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::duplex;

    use super::*;

    #[test]
    fn reads_what_it_writes() {
        for v5 in [false, true] {
            for payload_bytes in [0, 1, 120, 127, 128, 16_384, 100_000] {
                let payload = vec![7; payload_bytes];
                let mut bytes = Vec::new();
                push_publish(&mut bytes, v5, "t/1", Some(513), &payload);
                for cut in [0, 1, 2, bytes.len() - 1] {
                    assert_eq!(frame(&bytes[..cut]).unwrap(), None, "{cut} of {}", bytes.len());
                }
                let (kind, body, end) = frame(&bytes).unwrap().unwrap();
                assert_eq!(end, bytes.len());
                let expected = Packet::Publish { packet_id: Some(513), payload: &payload };
                assert_eq!(read_packet(kind, &bytes[body..end], v5), Some(expected));
            }
        }
    }

    #[test]
    fn malformed_packets_are_refused() {
        assert!(frame(&[PUBLISH, 0xff, 0xff, 0xff, 0xff, 0x01]).is_err());
        assert_eq!(read_packet(PUBLISH, &[0], false), None);
        assert_eq!(read_packet(PUBLISH, &[0, 9, b'a'], false), None);
        assert_eq!(read_packet(PUBLISH | 2, &[0, 1, b'a', 0], false), None);
    }

    #[tokio::test]
    async fn takes_several_packets_at_once() {
        let (near, mut far) = duplex(1 << 16);
        let mut bytes = vec![CONNACK, 2, 0, 0];
        push_publish(&mut bytes, false, "t/1", None, b"one");
        push_publish(&mut bytes, false, "t/2", Some(2), b"two");
        push_puback(&mut bytes, 3);
        far.write_all(&bytes).await.unwrap();
        let mut client = Client::start(Box::new(near), false, Connect::clean("c")).await.unwrap();
        let mut seen = Vec::new();
        client.receive(&mut |packet| seen.push(format!("{packet:?}"))).await.unwrap();
        assert_eq!(
            seen,
            [
                format!("{:?}", Packet::Publish { packet_id: None, payload: b"one" }),
                format!("{:?}", Packet::Publish { packet_id: Some(2), payload: b"two" }),
                format!("{:?}", Packet::PubAck { refused: false }),
            ]
        );
    }

    #[tokio::test]
    async fn a_refused_connection_is_an_error() {
        let (near, mut far) = duplex(1 << 16);
        far.write_all(&[CONNACK, 2, 0, 5]).await.unwrap();
        let refused = Client::start(Box::new(near), false, Connect::clean("c")).await;
        assert!(refused.err().unwrap().to_string().contains("refused"));
    }
}
