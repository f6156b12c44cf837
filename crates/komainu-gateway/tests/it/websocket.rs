//! MQTT over WebSocket.

use bytes::Bytes;
use futures_util::{SinkExt as _, StreamExt as _};
use komainu_model::AccessKeyId;
use komainu_ports::{Broker as _, PeerInfo, WebSocketIdentity};
use tokio::io::DuplexStream;
use tokio::time::timeout;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::Role;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;

use crate::mqtt::{PATIENCE, packet, text};
use crate::world::{ALL, Device, World, scope};

/// A client after the HTTP upgrade, which is not the gateway's business.
pub(crate) struct WebSocketClient {
    frames: WebSocketStream<DuplexStream>,
    unread: Vec<u8>,
}

impl WebSocketClient {
    pub(crate) async fn open(world: &World, identity: WebSocketIdentity) -> Self {
        let (ours, theirs) = tokio::io::duplex(1024);
        let peer =
            PeerInfo { address: "192.0.2.9:50000".parse().unwrap(), tls: true, certificate: None, server_name: None };
        tokio::spawn(world.gateway.websocket(Box::new(theirs), peer, identity));
        Self { frames: WebSocketStream::from_raw_socket(ours, Role::Client, None).await, unread: Vec::new() }
    }

    async fn send(&mut self, bytes: &[u8]) {
        self.frames.send(Message::Binary(Bytes::copy_from_slice(bytes))).await.unwrap();
    }

    /// The next `count` bytes of whatever frames.
    async fn receive(&mut self, count: usize) -> Vec<u8> {
        while self.unread.len() < count {
            match timeout(PATIENCE, self.frames.next()).await.expect("an answer in time") {
                Some(Ok(Message::Binary(bytes))) => self.unread.extend_from_slice(&bytes),
                other => panic!("{other:?}"),
            }
        }
        self.unread.drain(..count).collect()
    }

    pub(crate) async fn connect(&mut self, client_id: &str) {
        self.send(&connect_packet(client_id)).await;
        assert_eq!(self.receive(4).await, [0x20, 2, 0, 0]);
    }

    pub(crate) async fn ping(&mut self) {
        self.send(&[0xc0, 0]).await;
        assert_eq!(self.receive(2).await, [0xd0, 0]);
    }

    /// Waits for the end of the connection; the code of the close frame, if there was one.
    pub(crate) async fn end(&mut self) -> Option<CloseCode> {
        let mut code = None;
        while let Some(Ok(message)) = self.frames.next().await {
            if let Message::Close(Some(close)) = message {
                code = Some(close.code);
            }
        }
        code
    }
}

/// CONNECT of MQTT 3.1.1 with a clean session.
fn connect_packet(client_id: &str) -> Vec<u8> {
    packet(0x10, &[text("MQTT"), vec![4, 2, 0, 0], text(client_id)].concat())
}

fn operator() -> WebSocketIdentity {
    WebSocketIdentity::Operator { key: AccessKeyId::parse("AKIAEXAMPLEEXAMPLE00").unwrap(), scope: scope() }
}

#[tokio::test]
async fn packets_may_lie_across_frames() {
    let world = World::start().await;
    let mut client = WebSocketClient::open(&world, operator()).await;
    for byte in connect_packet("browser") {
        client.send(&[byte]).await;
    }
    assert_eq!(client.receive(4).await, [0x20, 2, 0, 0]);
    // Two packets in one frame.
    let subscribe = packet(0x82, &[vec![0, 1], text("t"), vec![0]].concat());
    let publish = packet(0x30, &[text("t"), b"hello".to_vec()].concat());
    client.send(&[subscribe, publish.clone()].concat()).await;
    assert_eq!(client.receive(5).await, [0x90, 3, 0, 1, 0]);
    assert_eq!(client.receive(publish.len()).await, publish);
    // A message larger than the pipe between the two.
    let large = packet(0x30, &[text("t"), vec![7; 100_000]].concat());
    client.send(&large).await;
    assert_eq!(client.receive(large.len()).await, large);

    let reading = world.readings().remove(0);
    assert_eq!((reading.reporter.as_str(), reading.messages_sent, reading.messages_received), ("browser", 2, 2));
    assert_eq!(world.logged("gateway.connected")[0]["fields"]["principal"], "AKIAEXAMPLEEXAMPLE00");
}

#[tokio::test]
async fn a_device_has_its_policies_here_as_well() {
    let world = World::start().await;
    let (device, stranger) = (Device::new("pump"), Device::new("stranger"));
    world.register(&device, &["pump"], &[ALL]);
    let mut client = WebSocketClient::open(&world, WebSocketIdentity::Certificate(device.id)).await;
    client.connect("pump").await;
    client.ping().await;

    let mut refused = WebSocketClient::open(&world, WebSocketIdentity::Certificate(stranger.id)).await;
    refused.send(&connect_packet("pump")).await;
    assert_ne!(refused.receive(4).await[3], 0);
    refused.end().await;
}

#[tokio::test]
async fn text_frames_end_the_connection() {
    let world = World::start().await;
    let mut client = WebSocketClient::open(&world, operator()).await;
    client.connect("browser").await;
    client.frames.send(Message::Text("hello".into())).await.unwrap();
    assert_eq!(timeout(PATIENCE, client.end()).await.unwrap(), Some(CloseCode::Unsupported));
}

#[tokio::test]
async fn frames_are_bounded() {
    let world = World::start().await;
    let mut client = WebSocketClient::open(&world, operator()).await;
    client.connect("browser").await;
    // The server may close before all of it is written.
    let _ = client.frames.send(Message::Binary(Bytes::from(vec![0x30; 2 * 1024 * 1024]))).await;
    timeout(PATIENCE, client.end()).await.expect("closed in time");
    assert_eq!(world.logged("gateway.disconnected").len(), 1);
}

#[tokio::test]
async fn a_client_that_closes_is_gone() {
    let world = World::start().await;
    let mut client = WebSocketClient::open(&world, operator()).await;
    client.connect("browser").await;
    client.frames.close(None).await.unwrap();
    timeout(PATIENCE, client.end()).await.expect("closed in time");
    // The runtime of the test has one thread; the connection's task may not have had its turn yet.
    timeout(PATIENCE, async {
        while world.logged("gateway.disconnected").is_empty() {
            tokio::task::yield_now().await;
        }
    })
    .await
    .expect("the end is logged");
}

#[tokio::test]
async fn an_operator_has_to_sign_anew_in_time() {
    let world = World::start_with(|config| config.edge.operator_websocket_ms_max = 100).await;
    let mut client = WebSocketClient::open(&world, operator()).await;
    client.connect("browser").await;
    timeout(PATIENCE, client.end()).await.expect("closed in time");
    assert_eq!(world.logged("gateway.disconnected")[0]["fields"]["reason"], "WEBSOCKET_TTL_EXPIRATION");
}
