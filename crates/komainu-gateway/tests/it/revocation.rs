//! A right that is withdrawn ends the connection at once.

use komainu_model::{
    AccessKey, AccessKeyId, AccessKeyNote, AccessKeyStatus, CertificateStatus, Change, Record, Role, SecretKey,
    Timestamp,
};
use komainu_ports::{Broker as _, ChangeObserver as _, PeerInfo, Principal, WebSocketIdentity};
use std::time::Duration;
use tokio::time::timeout;

use crate::mqtt::{Client, Version};
use crate::websocket::WebSocketClient;
use crate::world::{ALL, Client443, Device, World, scope};

/// What is promised of a revocation.
const AT_ONCE: Duration = Duration::from_secs(1);

#[tokio::test]
async fn connections_end_when_their_right_does() {
    let check = async |withdraw: &dyn Fn(&World, &Device), reason: &str| {
        let world = World::start().await;
        let (device, other) = (Device::new("pump"), Device::new("other"));
        world.register(&device, &["pump"], &[ALL]);
        world.register(&other, &["other"], &[ALL]);
        let mut bystander = world.connected(&other, "other").await;
        let mut client = world.connected(&device, "pump").await;
        withdraw(&world, &device);
        // 0x87: not authorized.
        assert_eq!(timeout(AT_ONCE, client.end()).await.expect("at once"), Some(0x87), "{reason}");
        let lines = world.logged("gateway.disconnected");
        assert_eq!((lines.len(), lines[0]["fields"]["reason"].as_str()), (1, Some(reason)));
        bystander.ping().await;
        world.gateway.shutdown().await;
    };
    let change = |world: &World, device: &Device, change: fn(&mut Principal)| world.change(device, change);
    check(&|world, device| change(world, device, |p| p.certificate.status = CertificateStatus::Inactive), "AUTH_ERROR")
        .await;
    check(&|world, device| change(world, device, |p| p.certificate.status = CertificateStatus::Revoked), "AUTH_ERROR")
        .await;
    check(&|world, device| world.unregister(device), "AUTH_ERROR").await;
    check(&|world, device| change(world, device, |p| p.policies.clear()), "FORBIDDEN_ACCESS").await;
}

#[tokio::test]
async fn an_operator_whose_key_is_revoked_is_disconnected() {
    let world = World::start().await;
    let key = |id: &str| AccessKeyId::parse(id).unwrap();
    let connect = async |id: &str, client_id: &str| {
        let identity = WebSocketIdentity::Operator { key: key(id), scope: scope() };
        let mut client = WebSocketClient::open(&world, identity).await;
        client.connect(client_id).await;
        client
    };
    let mut revoked = connect("AKIAREVOKEDREVOKED00", "one").await;
    let mut kept = connect("AKIAKEPTKEPTKEPT0000", "two").await;
    let record = AccessKey {
        id: key("AKIAREVOKEDREVOKED00"),
        secret: SecretKey::parse("not-a-secret-at-all").unwrap(),
        role: Role::Admin,
        note: AccessKeyNote::default(),
        status: AccessKeyStatus::Revoked,
        created_at: Timestamp::default(),
    };
    world.gateway.committed(&[Change::Put(scope(), Record::AccessKey(record))]);
    timeout(AT_ONCE, revoked.end()).await.expect("at once");
    kept.ping().await;
}

#[tokio::test]
async fn a_certificate_that_is_withdrawn_after_the_handshake_does_not_connect() {
    let world = World::start().await;
    let device = Device::new("pump");
    world.register(&device, &["pump"], &[ALL]);
    // With TLS 1.2 the client's handshake ends after the server's, so that the change comes between it and CONNECT.
    const V12: &[&rustls::SupportedProtocolVersion] = &[&rustls::version::TLS12];
    let how = Client443 { device: Some(&device), versions: V12, ..Client443::default() };
    let mut client = Client::new(world.handshake(world.mqtts(), how).await.unwrap(), Version::V5);
    world.change(&device, |principal| principal.certificate.status = CertificateStatus::Inactive);
    assert!(matches!(client.connect("pump").await, Some(0x86 | 0x87)));
    let reading = world.readings().pop().unwrap();
    assert_eq!((reading.connection_attempts, reading.authorization_failures), (1, 1));
}

#[tokio::test]
async fn the_control_plane_can_disconnect_a_client() {
    let world = World::start().await;
    let device = Device::new("pump");
    world.register(&device, &["pump"], &[ALL]);
    let mut client = world.connected(&device, "pump").await;
    let id = komainu_model::ClientId::parse("pump").unwrap();
    let reason = komainu_model::DisconnectReason::ApiInitiatedDisconnect;
    assert!(world.gateway.disconnect(&scope(), &id, reason));
    client.end().await;
    assert_eq!(world.logged("gateway.disconnected")[0]["fields"]["reason"], "API_INITIATED_DISCONNECT");
    assert!(!world.gateway.disconnect(&scope(), &id, reason), "it is not there any more");
}

#[tokio::test]
async fn a_newcomer_with_the_same_client_id_wins() {
    let world = World::start().await;
    let device = Device::new("pump");
    world.register(&device, &["pump"], &[ALL]);
    let mut first = world.connected(&device, "pump").await;
    let mut second = world.connected(&device, "pump").await;
    // 0x8e: session taken over.
    assert_eq!(first.end().await, Some(0x8e));
    second.ping().await;
    assert_eq!(world.logged("gateway.disconnected")[0]["fields"]["reason"], "DUPLICATE_CLIENTID");
    assert_eq!(world.logged("gateway.duplicate_client_id").len(), 1);
    let reading = world.readings().pop().unwrap();
    assert_eq!((reading.connection_attempts, reading.disconnects, reading.connected), (2, 1, true));
}

#[tokio::test]
async fn http_with_a_withdrawn_certificate_publishes_nothing() {
    let world = World::start().await;
    let device = Device::new("pump");
    world.register(&device, &["pump"], &[ALL]);
    world.change(&device, |principal| principal.certificate.status = CertificateStatus::Inactive);
    let peer = PeerInfo { address: "192.0.2.7:1".parse().unwrap(), tls: true, certificate: None, server_name: None };
    let message = komainu_ports::OutboundMessage::new("t", "x", komainu_ports::QualityOfService::AtLeastOnce);
    let error = world.gateway.publish_as(device.id, peer, message).await.unwrap_err();
    assert!(matches!(error, komainu_ports::BrokerError::NotAuthorized { .. }));
    assert_eq!(world.readings()[0].authorization_failures, 1);
}

#[tokio::test]
async fn an_expired_certificate_ends_with_the_next_change() {
    let world = World::start().await;
    let (device, other) = (Device::new("pump"), Device::new("other"));
    world.register(&device, &["pump"], &[ALL]);
    world.register(&other, &["other"], &[ALL]);
    let mut client = world.connected(&device, "pump").await;
    world.clock.advance(Duration::from_secs(2_000));
    client.ping().await;
    world.unregister(&other);
    assert_eq!(timeout(AT_ONCE, client.end()).await.expect("at once"), Some(0x87));
    assert_eq!(world.logged("gateway.disconnected")[0]["fields"]["reason"], "AUTH_ERROR");
}
