//! An MQTT client that is as small as the tests allow: packets are put together by hand, so that it shares no mistake
//! with the library that the gateway uses.

use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::time::timeout;

/// Much longer than anything takes here; a test that waits for it has failed.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Version {
    V3,
    V5,
}

pub(crate) struct Client<S> {
    pub(crate) stream: S,
    pub(crate) version: Version,
}

/// A packet as it came: the first byte and what follows the length.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Packet {
    pub(crate) head: u8,
    pub(crate) body: Vec<u8>,
}

impl Packet {
    pub(crate) fn kind(&self) -> u8 {
        self.head >> 4
    }
}

pub(crate) fn text(text: &str) -> Vec<u8> {
    [&u16::try_from(text.len()).unwrap().to_be_bytes(), text.as_bytes()].concat()
}

pub(crate) fn packet(head: u8, body: &[u8]) -> Vec<u8> {
    let mut bytes = vec![head];
    let mut rest = body.len();
    loop {
        let low = (rest % 128) as u8;
        rest /= 128;
        bytes.push(if rest > 0 { low | 0x80 } else { low });
        if rest == 0 {
            break;
        }
    }
    bytes.extend(body);
    bytes
}

impl<S: AsyncRead + AsyncWrite + Unpin> Client<S> {
    pub(crate) fn new(stream: S, version: Version) -> Self {
        Self { stream, version }
    }

    /// Properties of MQTT 5, none.
    fn no_properties(&self) -> &'static [u8] {
        match self.version {
            Version::V3 => &[],
            Version::V5 => &[0],
        }
    }

    pub(crate) async fn send(&mut self, head: u8, body: &[u8]) {
        self.stream.write_all(&packet(head, body)).await.unwrap();
        self.stream.flush().await.unwrap();
    }

    /// The next packet; `None` when the connection has ended.
    pub(crate) async fn receive(&mut self) -> Option<Packet> {
        timeout(PATIENCE, async {
            let head = self.stream.read_u8().await.ok()?;
            let (mut length, mut shift) = (0usize, 0);
            loop {
                let byte = self.stream.read_u8().await.ok()?;
                length |= usize::from(byte & 0x7f) << shift;
                shift += 7;
                if byte & 0x80 == 0 {
                    break;
                }
            }
            let mut body = vec![0; length];
            self.stream.read_exact(&mut body).await.ok()?;
            Some(Packet { head, body })
        })
        .await
        .expect("a packet or the end of the connection in time")
    }

    /// Sends CONNECT with a clean session; the return code of CONNACK, `None` when there was no CONNACK.
    pub(crate) async fn connect(&mut self, client_id: &str) -> Option<u8> {
        self.connect_with(client_id, None).await
    }

    /// The same with a will: its topic and whether it is retained.
    pub(crate) async fn connect_with(&mut self, client_id: &str, will: Option<(&str, bool)>) -> Option<u8> {
        let level = match self.version {
            Version::V3 => 4,
            Version::V5 => 5,
        };
        let flags = 0b10 | will.map_or(0, |(_, retain)| 0b100 | u8::from(retain) << 5);
        let mut body =
            [text("MQTT"), vec![level, flags, 0, 0], self.no_properties().to_vec(), text(client_id)].concat();
        if let Some((topic, _)) = will {
            body.extend([self.no_properties().to_vec(), text(topic), text("gone")].concat());
        }
        self.send(0x10, &body).await;
        let connack = self.receive().await?;
        assert_eq!(connack.kind(), 2, "{connack:?}");
        Some(connack.body[1])
    }

    /// Sends SUBSCRIBE with QoS 1; the return code, `None` when the connection ended instead.
    pub(crate) async fn subscribe(&mut self, filter: &str) -> Option<u8> {
        let body = [vec![0, 7], self.no_properties().to_vec(), text(filter), vec![1]].concat();
        self.send(0x82, &body).await;
        loop {
            let answer = self.receive().await?;
            match answer.kind() {
                9 => return answer.body.last().copied(),
                14 => return None,
                _ => {}
            }
        }
    }

    /// Publishes with QoS 1; the reason code of PUBACK (0 in version 3), `None` when the connection ended instead.
    pub(crate) async fn publish(&mut self, topic: &str, payload: &[u8], retain: bool) -> Option<u8> {
        let body = [text(topic), vec![0, 9], self.no_properties().to_vec(), payload.to_vec()].concat();
        self.send(0x32 | u8::from(retain), &body).await;
        loop {
            let answer = self.receive().await?;
            match answer.kind() {
                4 => return Some(answer.body.get(2).copied().unwrap_or(0)),
                14 => return None,
                _ => {}
            }
        }
    }

    pub(crate) async fn publish_qos0(&mut self, topic: &str, payload: &[u8]) {
        let body = [text(topic), self.no_properties().to_vec(), payload.to_vec()].concat();
        self.send(0x30, &body).await;
    }

    /// The next message: topic and payload. Other packets are skipped; `None` when the connection has ended.
    pub(crate) async fn message(&mut self) -> Option<(String, Vec<u8>)> {
        loop {
            let packet = self.receive().await?;
            if packet.kind() != 3 {
                continue;
            }
            let (length, rest) = packet.body.split_at(2);
            let (topic, rest) = rest.split_at(usize::from(u16::from_be_bytes([length[0], length[1]])));
            let is_acknowledged = packet.head & 0b110 != 0;
            let rest = if is_acknowledged { &rest[2..] } else { rest };
            let rest = match self.version {
                Version::V3 => rest,
                Version::V5 => &rest[1 + usize::from(rest[0])..],
            };
            return Some((String::from_utf8(topic.to_vec()).unwrap(), rest.to_vec()));
        }
    }

    /// Waits until a PINGREQ is answered: all that was sent before has been looked at.
    pub(crate) async fn ping(&mut self) {
        self.send(0xc0, &[]).await;
        while self.receive().await.expect("the connection is there").kind() != 13 {}
    }

    /// Sends DISCONNECT and waits until the server has closed.
    pub(crate) async fn disconnect(mut self) {
        self.send(0xe0, &[]).await;
        while self.receive().await.is_some() {}
    }

    /// Waits for the end of the connection; the reason of the DISCONNECT before it, if there was one.
    pub(crate) async fn end(&mut self) -> Option<u8> {
        let mut reason = None;
        while let Some(packet) = self.receive().await {
            if packet.kind() == 14 {
                reason = packet.body.first().copied();
            }
        }
        reason
    }
}
