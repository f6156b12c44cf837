//! Which certificates open the gate, and what a client hears whose certificate does not.

use komainu_model::{CertificateStatus, Timestamp};
use rcgen::{PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, PKCS_ED25519, PKCS_RSA_SHA256};
use rustls::version::{TLS12, TLS13};
use rustls::{AlertDescription, CipherSuite};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::mqtt::{Client, Version};
use crate::world::{ALL, Client443, Device, NOW_S, World, server_certificate};

const V12: &[&rustls::SupportedProtocolVersion] = &[&TLS12];
const V13: &[&rustls::SupportedProtocolVersion] = &[&TLS13];

/// A device is let in after whatever went before.
async fn others_are_served(world: &World) {
    let device = Device::new("other");
    world.register(&device, &["other"], &[ALL]);
    world.connected(&device, "other").await.disconnect().await;
}

#[tokio::test]
async fn rsa_and_ec_keys_with_both_versions_of_tls() {
    let world = World::start().await;
    for algorithm in [&PKCS_RSA_SHA256, &PKCS_ECDSA_P256_SHA256, &PKCS_ECDSA_P384_SHA384] {
        let device = Device::with_algorithm(algorithm);
        world.register(&device, &["pump"], &[ALL]);
        for versions in [V12, V13] {
            let how = Client443 { device: Some(&device), versions, ..Client443::default() };
            let stream = world.handshake(world.mqtts(), how).await.unwrap();
            let mut client = Client::new(stream, Version::V3);
            assert_eq!(client.connect("pump").await, Some(0), "{algorithm:?}");
            client.disconnect().await;
        }
    }
}

#[tokio::test]
async fn aes_128_unless_the_client_would_rather_have_chacha20() {
    let world = World::start().await;
    let device = Device::new("pump");
    world.register(&device, &["pump"], &[ALL]);
    let check = async |versions, first: Option<CipherSuite>, expected| {
        let how = Client443 { device: Some(&device), versions, first_suite: first, ..Client443::default() };
        let stream = world.handshake(world.mqtts(), how).await.unwrap();
        let negotiated = stream.get_ref().1.negotiated_cipher_suite().unwrap().suite();
        assert_eq!(negotiated, expected, "{first:?} first");
    };
    use CipherSuite::*;
    check(V13, None, TLS13_AES_128_GCM_SHA256).await;
    check(V13, Some(TLS13_AES_256_GCM_SHA384), TLS13_AES_128_GCM_SHA256).await;
    check(V13, Some(TLS13_CHACHA20_POLY1305_SHA256), TLS13_CHACHA20_POLY1305_SHA256).await;
    let chacha20 = TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256;
    check(V12, Some(TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384), TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256).await;
    check(V12, Some(chacha20), chacha20).await;
}

#[tokio::test]
async fn wrong_certificates_are_refused_by_name() {
    let check = async |change: &dyn Fn(&mut komainu_model::Certificate), alert, reason: &str| {
        for versions in [V12, V13] {
            let world = World::start().await;
            let device = Device::new("pump");
            world.register(&device, &["pump"], &[ALL]);
            world.change(&device, |principal| change(&mut principal.certificate));
            let how = Client443 { device: Some(&device), versions, ..Client443::default() };
            assert_eq!(world.alert(world.mqtts(), how).await, Some(alert), "{reason}");
            let lines = world.logged("gateway.tls_failed");
            assert_eq!(lines.len(), 1, "{reason}");
            let fields = &lines[0]["fields"];
            assert_eq!(fields["reason"], reason);
            assert_eq!(fields["certificate"], device.id.to_string());
            assert_eq!(fields["server_name"], "localhost");
            let readings = world.readings();
            assert_eq!(readings.len(), 1, "{reason}");
            assert_eq!((readings[0].reporter.as_str(), readings[0].connection_attempts), ("pump", 1), "{reason}");
            others_are_served(&world).await;
        }
    };
    let at = Timestamp::from_unix_seconds;
    check(&|c| c.status = CertificateStatus::Inactive, AlertDescription::CertificateUnknown, "certificate is inactive")
        .await;
    check(&|c| c.status = CertificateStatus::Revoked, AlertDescription::CertificateRevoked, "certificate is revoked")
        .await;
    let waits = "certificate waits for activation";
    check(&|c| c.status = CertificateStatus::PendingActivation, AlertDescription::CertificateUnknown, waits).await;
    let early = "certificate is not valid yet";
    check(&|c| c.not_before = at(NOW_S + 1), AlertDescription::BadCertificate, early).await;
    check(&|c| c.not_after = at(NOW_S - 1), AlertDescription::CertificateExpired, "certificate has expired").await;
}

#[tokio::test]
async fn a_certificate_that_nobody_registered_is_refused() {
    let world = World::start().await;
    let device = Device::new("pump");
    for (to, alpn) in [(world.mqtts(), &[][..]), (world.tls(), &[b"x-amzn-mqtt-ca".as_slice()][..]), (world.tls(), &[])]
    {
        for versions in [V12, V13] {
            let how = Client443 { device: Some(&device), versions, alpn, ..Client443::default() };
            assert_eq!(world.alert(to, how).await, Some(AlertDescription::UnknownCA));
        }
    }
    let lines = world.logged("gateway.tls_failed");
    assert!(lines.iter().all(|line| line["fields"]["reason"] == "certificate is not registered"), "{lines:?}");
    assert_eq!(lines.len(), 6);
    assert_eq!(world.readings(), [], "a stranger is not a device");
    others_are_served(&world).await;
}

#[tokio::test]
async fn a_certificate_without_its_key_is_refused_and_tells_nothing() {
    let world = World::start().await;
    let (device, thief) = (Device::new("pump"), Device::new("thief"));
    world.register(&device, &["pump"], &[ALL]);
    // Inactive: who does not hold the key must not learn it, nor cause a count.
    world.change(&device, |principal| principal.certificate.status = CertificateStatus::Inactive);
    let stolen = device.with_key_of(&thief);
    for versions in [V12, V13] {
        let how = Client443 { device: Some(&stolen), versions, ..Client443::default() };
        assert_eq!(world.alert(world.mqtts(), how).await, Some(AlertDescription::DecryptError));
    }
    assert_eq!(world.readings(), []);
    others_are_served(&world).await;
}

#[tokio::test]
async fn kinds_of_keys_that_are_not_offered_are_refused() {
    let world = World::start().await;
    let device = Device::with_algorithm(&PKCS_ED25519);
    world.register(&device, &["pump"], &[ALL]);
    let how = Client443 { device: Some(&device), ..Client443::default() };
    // The client sees that its key fits no offered scheme and shows no certificate.
    assert_eq!(world.alert(world.mqtts(), how).await, Some(AlertDescription::CertificateRequired));
    others_are_served(&world).await;
}

#[tokio::test]
async fn mqtt_needs_a_certificate() {
    let world = World::start().await;
    let alpn: &[&[u8]] = &[b"mqtt"];
    for (to, alpn) in [(world.mqtts(), &[][..]), (world.tls(), alpn)] {
        for versions in [V12, V13] {
            let how = Client443 { versions, alpn, ..Client443::default() };
            assert_eq!(world.alert(to, how).await, Some(AlertDescription::CertificateRequired));
        }
    }
    let lines = world.logged("gateway.tls_failed");
    assert_eq!(lines.len(), 4);
    assert!(lines.iter().all(|line| line["fields"]["reason"] == "client certificate is missing"), "{lines:?}");
    others_are_served(&world).await;
}

#[tokio::test]
async fn what_is_not_tls_is_refused() {
    let world = World::start().await;
    let mut tcp = TcpStream::connect(world.mqtts()).await.unwrap();
    tcp.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
    let mut answer = Vec::new();
    tcp.read_to_end(&mut answer).await.unwrap();
    // A fatal TLS alert (type 21) is all that is said.
    assert_eq!((answer[0], answer.len()), (21, 7), "{answer:?}");
    assert_eq!(world.logged("gateway.tls_failed")[0]["fields"]["reason"], "client does not speak our TLS");
    others_are_served(&world).await;
}

#[tokio::test]
async fn a_client_may_name_no_server() {
    let world = World::start().await;
    let device = Device::new("pump");
    world.register(&device, &["pump"], &[ALL]);
    let how = Client443 { device: Some(&device), server_name: "127.0.0.1", ..Client443::default() };
    let mut client = Client::new(world.handshake(world.mqtts(), how).await.unwrap(), Version::V5);
    assert_eq!(client.connect("pump").await, Some(0));
    assert_eq!(world.logged("gateway.tls_without_server_name").len(), 1);
}

#[tokio::test]
async fn the_server_certificate_can_be_replaced() {
    let mut world = World::start().await;
    let device = Device::new("pump");
    world.register(&device, &["pump"], &[ALL]);
    let mut before = world.connected(&device, "before").await;
    let (certificate, roots) = server_certificate();
    world.gateway.replace_server_certificate(&certificate).unwrap();
    let how = Client443 { device: Some(&device), ..Client443::default() };
    assert!(world.handshake(world.mqtts(), how.clone()).await.is_err(), "the old root does not fit any more");
    world.trust(roots);
    assert!(world.handshake(world.mqtts(), how).await.is_ok());
    before.ping().await;

    let broken = komainu_gateway::ServerCertificate { chain_pem: String::new(), ..certificate };
    assert!(world.gateway.replace_server_certificate(&broken).is_err());
}
