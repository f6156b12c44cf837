//! Port 443, told apart by ALPN; and peers that say nothing, or too little.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::mqtt::{Client, PATIENCE, Version};
use crate::world::{ALL, Client443, Device, World};

/// What a client finds behind the door.
#[derive(Debug, PartialEq, Eq)]
enum Behind {
    Mqtt,
    /// HTTP, and whether the certificate was handed over.
    Http(bool),
}

async fn check(world: &World, device: Option<&Device>, alpn: &[&str], expected: (Option<&str>, Behind)) {
    let offered: Vec<&[u8]> = alpn.iter().map(|protocol| protocol.as_bytes()).collect();
    let how = Client443 { device, alpn: &offered, ..Client443::default() };
    let mut stream = world.handshake(world.tls(), how).await.unwrap();
    let (expected_alpn, behind) = expected;
    assert_eq!(stream.get_ref().1.alpn_protocol().map(|p| std::str::from_utf8(p).unwrap()), expected_alpn, "{alpn:?}");
    match behind {
        Behind::Mqtt => {
            let mut client = Client::new(stream, Version::V5);
            assert_eq!(client.connect("pump").await, Some(0), "{alpn:?}");
            client.disconnect().await;
        }
        Behind::Http(has_certificate) => {
            stream.write_all(b"GET /\n").await.unwrap();
            let mut answer = String::new();
            timeout(PATIENCE, stream.read_to_string(&mut answer)).await.unwrap().unwrap();
            assert_eq!(answer, "HTTP: GET /\n", "{alpn:?}");
            let peer = world.http.peers().pop().unwrap();
            assert_eq!(peer.certificate, device.filter(|_| has_certificate).map(|device| device.id), "{alpn:?}");
            assert!(peer.tls && peer.server_name.as_deref() == Some("localhost"));
        }
    }
}

#[tokio::test]
async fn alpn_tells_mqtt_from_http() {
    let world = World::start().await;
    let device = Device::new("pump");
    world.register(&device, &["pump"], &[ALL]);
    let certified = Some(&device);
    check(&world, certified, &["x-amzn-mqtt-ca"], (Some("x-amzn-mqtt-ca"), Behind::Mqtt)).await;
    check(&world, certified, &["mqtt"], (Some("mqtt"), Behind::Mqtt)).await;
    check(&world, certified, &["http/1.1", "x-amzn-mqtt-ca"], (Some("x-amzn-mqtt-ca"), Behind::Mqtt)).await;
    check(&world, certified, &["x-amzn-http-ca"], (Some("x-amzn-http-ca"), Behind::Http(true))).await;
    check(&world, None, &["h2", "http/1.1"], (Some("http/1.1"), Behind::Http(false))).await;
    check(&world, certified, &["http/1.1"], (Some("http/1.1"), Behind::Http(true))).await;
    // What we do not have is ignored, as OpenSSL-like servers do.
    check(&world, None, &["h2"], (None, Behind::Http(false))).await;
    // Nothing offered: the first byte tells.
    check(&world, None, &[], (None, Behind::Http(false))).await;
    check(&world, certified, &[], (None, Behind::Http(true))).await;
    check(&world, certified, &[], (None, Behind::Mqtt)).await;
}

#[tokio::test]
async fn mqtt_without_alpn_and_without_certificate_is_told_so() {
    let world = World::start().await;
    let stream = world.handshake(world.tls(), Client443::default()).await.unwrap();
    let mut client = Client::new(stream, Version::V5);
    // 0x87: not authorized; 0x86: bad user name or password.
    assert!(matches!(client.connect("pump").await, Some(0x86 | 0x87)));
    let lines = world.logged("gateway.connect_refused");
    assert_eq!(lines[0]["fields"]["reason"], "no client certificate");
}

#[tokio::test]
async fn port_8883_takes_any_alpn() {
    let world = World::start().await;
    let device = Device::new("pump");
    world.register(&device, &["pump"], &[ALL]);
    for alpn in [&[][..], &[b"x-amzn-mqtt-ca".as_slice()], &[b"mqtt".as_slice()], &[b"unheard-of".as_slice()]] {
        let how = Client443 { device: Some(&device), alpn, ..Client443::default() };
        let mut client = Client::new(world.handshake(world.mqtts(), how).await.unwrap(), Version::V3);
        assert_eq!(client.connect("pump").await, Some(0));
        client.disconnect().await;
    }
}

#[tokio::test]
async fn silent_peers_do_not_keep_devices_out() {
    let world = World::start_with(|config| config.edge.pending_peers_per_source_max = 20).await;
    let device = Device::new("pump");
    world.register(&device, &["pump"], &[ALL]);
    let mut silent = Vec::new();
    for _ in 0..100 {
        silent.push(TcpStream::connect(world.mqtts()).await.unwrap());
    }
    world.connected(&device, "pump").await.disconnect().await;
    // The first of them made room and were closed.
    let ended = timeout(PATIENCE, silent[0].read_u8()).await.expect("closed in time");
    assert!(ended.is_err());
}

#[tokio::test]
async fn who_does_not_finish_the_handshake_is_closed() {
    let world = World::start_with(|config| config.edge.handshake_timeout_ms = 100).await;
    let check = async |bytes: &[u8], logged: usize| {
        let mut tcp = TcpStream::connect(world.mqtts()).await.unwrap();
        tcp.write_all(bytes).await.unwrap();
        assert!(timeout(PATIENCE, tcp.read_u8()).await.expect("closed in time").is_err());
        assert_eq!(world.logged("gateway.tls_failed").len(), logged);
    };
    check(b"", 0).await;
    // The beginning of a record with a ClientHello.
    check(&[0x16, 3, 1, 2, 0, 1], 0).await;
}

#[tokio::test]
async fn a_client_that_stalls_in_the_handshake_is_closed_and_logged() {
    let world = World::start_with(|config| config.edge.handshake_timeout_ms = 100).await;
    // A ClientHello, and nothing after it.
    let provider = std::sync::Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(rustls::RootCertStore::empty())
        .with_no_client_auth();
    let name = rustls::pki_types::ServerName::try_from("localhost").unwrap();
    let mut connection = rustls::ClientConnection::new(std::sync::Arc::new(config), name).unwrap();
    let mut hello = Vec::new();
    connection.write_tls(&mut hello).unwrap();
    let mut tcp = TcpStream::connect(world.mqtts()).await.unwrap();
    // In two parts, because a large ClientHello does not fit into one segment.
    let (first, second) = hello.split_at(100);
    tcp.write_all(first).await.unwrap();
    tokio::task::yield_now().await;
    tcp.write_all(second).await.unwrap();
    let mut answer = Vec::new();
    timeout(PATIENCE, tcp.read_to_end(&mut answer)).await.expect("closed in time").unwrap();
    assert_eq!(answer.first(), Some(&0x16), "the server's part of the handshake");
    assert_eq!(world.logged("gateway.tls_failed")[0]["fields"]["reason"], "handshake took too long");
}

#[tokio::test]
async fn who_breaks_the_protocol_is_named() {
    let world = World::start().await;
    let (device, other) = (Device::new("pump"), Device::new("other"));
    world.register(&device, &["pump"], &[ALL]);
    world.register(&other, &["other"], &[ALL]);
    let mut bystander = world.connected(&other, "other").await;
    // The packet type 15 with flags; a second CONNECT; a PUBLISH of QoS 3.
    for bytes in [&[0xf1, 0][..], &[0x10, 0], &[0x36, 3, 0, 1, b't']] {
        let mut client = world.connected(&device, "pump").await;
        client.stream.write_all(bytes).await.unwrap();
        client.end().await;
        let line = world.logged("gateway.malformed_packet").pop().unwrap();
        assert_eq!(
            (line["fields"]["client"].as_str(), line["fields"]["address"].as_str()),
            (Some("pump"), Some("127.0.0.1"))
        );
        let line = world.logged("gateway.disconnected").pop().unwrap();
        assert_eq!(line["fields"]["reason"], "CLIENT_ERROR");
    }
    // Something else than a CONNECT at first.
    let mut client = world.client(&device, Version::V5).await;
    client.send(0x30, b"\0\x01t").await;
    client.end().await;
    bystander.ping().await;
}

#[tokio::test]
async fn connections_are_bounded() {
    let world = World::start_with(|config| config.edge.connections_max = 1).await;
    let device = Device::new("pump");
    world.register(&device, &["pump"], &[ALL]);
    let one = world.connected(&device, "one").await;
    let mut two = world.client(&device, Version::V5).await;
    assert_eq!(two.connect("two").await, None);
    assert_eq!(world.logged("gateway.limit_reached")[0]["fields"]["limit"], "connections_max");
    one.disconnect().await;
}

#[tokio::test]
async fn the_plain_listener_is_for_tests_on_this_machine_only() {
    let loopback = World::start_with(|config| config.plain_test = Some("127.0.0.1:0".parse().unwrap())).await;
    let to = loopback.gateway.local_addrs().plain_test.unwrap();
    let mut client = Client::new(TcpStream::connect(to).await.unwrap(), Version::V5);
    assert_eq!(client.connect("anybody").await, Some(0));
    assert_eq!(client.subscribe("test/#").await, Some(1));
    assert_eq!(client.subscribe("test/nosubscribe").await, Some(0x87));
    assert_eq!(client.publish("test/x", b"hello", false).await, Some(0));
    assert_eq!(loopback.logged("gateway.plain_test_listening").len(), 1);

    let (certificate, _) = crate::world::server_certificate();
    let world = World::start().await;
    let refused = world.start_another(|config| {
        config.plain_test = Some("0.0.0.0:0".parse().unwrap());
        config.server_certificate = certificate;
    });
    assert!(matches!(refused.await, Err(komainu_gateway::GatewayError::PlainTestNotLoopback(_))));
}

#[tokio::test]
async fn a_gateway_that_stops_closes_everything() {
    let world = World::start().await;
    let device = Device::new("pump");
    world.register(&device, &["pump"], &[ALL]);
    let mut client = world.connected(&device, "pump").await;
    let mut silent = TcpStream::connect(world.tls()).await.unwrap();
    let mut http = world.handshake(world.tls(), Client443::default()).await.unwrap();
    http.write_all(b"GET").await.unwrap();
    let addresses = world.gateway.local_addrs();
    timeout(PATIENCE, world.gateway.shutdown()).await.expect("stopped in time");
    // 0x8b: server shutting down.
    assert_eq!(client.end().await, Some(0x8b));
    assert!(timeout(PATIENCE, silent.read_u8()).await.unwrap().is_err());
    assert!(timeout(PATIENCE, http.read_u8()).await.unwrap().is_err());
    assert!(TcpStream::connect(addresses.mqtts.unwrap()).await.is_err());
    assert_eq!(world.logged("gateway.stopped").len(), 1);
}

#[tokio::test]
async fn a_client_that_is_still_sending_can_read_why_it_is_disconnected() {
    let world = World::start().await;
    let device = Device::new("pump");
    world.register(&device, &["pump"], &[ALL]);
    let mut client = world.client(&device, Version::V5).await;
    assert_eq!(client.connect("pump").await, Some(0));
    // A packet type that is not allowed, and much behind it that nobody will look at.
    let pings = [0xc0, 0].repeat(100_000);
    client.stream.write_all(&[&[0, 0], &pings[..]].concat()).await.unwrap();
    assert_eq!(client.end().await, Some(0x81), "malformed packet");
    // Without a reset, what is sent now is taken: a client that answers before it reads does not fail.
    client.stream.write_all(&pings).await.unwrap();
    client.stream.flush().await.unwrap();
}
