//! Devices and MQTT clients that come over HTTP.

use komainu_model::{AccessKeyId, CertificateId};
use komainu_ports::{QualityOfService, WebSocketIdentity};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::client::Ask;
use crate::world::{KEY_ID, Publisher, World};

const CERTIFICATE: CertificateId = CertificateId::from_sha256([7; 32]);

fn websocket() -> Ask {
    Ask::new("GET", "/mqtt", b"")
        .header("connection", "Upgrade")
        .header("upgrade", "websocket")
        .header("sec-websocket-version", "13")
        .header("sec-websocket-protocol", "mqtt")
        .header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==")
}

#[tokio::test]
async fn an_operator_publishes() {
    let world = World::new();
    let ask = Ask::new("POST", "/topics/a%2Fb?qos=1&retain=true", b"\x00payload").signed("iotdata");
    assert_eq!(world.ask(&ask).await.status, 200);
    let published = world.broker.published.lock();
    let (publisher, message) = &published[0];
    assert_eq!(*publisher, Publisher::Scope(World::scope()));
    assert_eq!((message.topic.as_ref(), message.qos, message.retain), ("a/b", QualityOfService::AtLeastOnce, true));
    assert_eq!(&message.payload[..], b"\x00payload");
}

#[tokio::test]
async fn a_device_publishes_with_its_certificate() {
    let world = World::new();
    for target in ["/topics/a%2Fb?qos=1", "/topics/a/b?qos=1"] {
        let answer = Ask::new("POST", target, b"{}").send(&mut world.connect_as(Some(CERTIFICATE))).await;
        assert_eq!((answer.status, answer.json()["message"].as_str()), (200, Some("OK")));
        let (publisher, message) = world.broker.published.lock().pop().unwrap();
        assert_eq!((publisher, message.topic.as_ref()), (Publisher::Certificate(CERTIFICATE), "a/b"));
    }
    let answer = Ask::new("POST", "/topics/a?qos=2", b"").send(&mut world.connect_as(Some(CERTIFICATE))).await;
    assert_eq!((answer.status, answer.code().as_str()), (400, "invalidrequestexception"));
    let answer = Ask::new("POST", "/topics/a", b"").send(&mut world.connect_as(None)).await;
    assert_eq!((answer.status, answer.code().as_str()), (403, "missingauthenticationtokenexception"));
    let answer = Ask::new("GET", "/things", b"").send(&mut world.connect_as(Some(CERTIFICATE))).await;
    assert_eq!(answer.status, 403, "a certificate opens nothing of the control plane");
    assert!(world.broker.published.lock().is_empty());
}

#[tokio::test]
async fn a_signed_websocket_is_an_operators() {
    let world = World::new();
    let mut stream = world.connect();
    let answer = websocket().presigned("iotdevicegateway").send(&mut stream).await;
    assert_eq!(answer.status, 101, "{answer:?}");
    // Example of RFC 6455, section 1.3.
    assert_eq!(answer.header("sec-websocket-accept"), Some("s3pplmbitxaq9kygzzhzrbk+xoo="));
    assert_eq!(answer.header("sec-websocket-protocol"), Some("mqtt"));
    stream.write_all(b"through").await.unwrap();
    let mut echo = [0; 7];
    stream.read_exact(&mut echo).await.unwrap();
    assert_eq!(&echo, b"through");
    let key = AccessKeyId::parse(KEY_ID).unwrap();
    let expected = WebSocketIdentity::Operator { key, scope: World::scope() };
    assert_eq!(format!("{:?}", world.broker.websockets.lock()[0]), format!("{expected:?}"));
}

#[tokio::test]
async fn a_websocket_with_a_certificate_is_the_devices() {
    let world = World::new();
    let mut stream = world.connect_as(Some(CERTIFICATE));
    assert_eq!(websocket().send(&mut stream).await.status, 101);
    stream.write_all(b"x").await.unwrap();
    stream.read_exact(&mut [0]).await.unwrap();
    assert!(matches!(world.broker.websockets.lock()[0], WebSocketIdentity::Certificate(CERTIFICATE)));
}

#[tokio::test]
async fn other_websockets_are_refused() {
    let world = World::new();
    let check = async |ask: Ask, status: u16, code: &str| {
        let answer = world.ask(&ask).await;
        assert_eq!((answer.status, answer.code().as_str()), (status, code), "{answer:?}");
    };
    check(websocket(), 403, "missingauthenticationtokenexception").await;
    check(websocket().presigned("iot"), 403, "invalidsignatureexception").await;
    let mut tampered = websocket().presigned("iotdevicegateway");
    tampered.target = tampered.target.replace("X-Amz-Expires=900", "X-Amz-Expires=901");
    check(tampered, 403, "invalidsignatureexception").await;
    let mut without_protocol = websocket().presigned("iotdevicegateway");
    without_protocol.headers.retain(|(name, _)| name != "sec-websocket-protocol");
    check(without_protocol, 400, "invalidrequestexception").await;
    assert!(world.broker.websockets.lock().is_empty());
}

#[tokio::test]
async fn connections_can_be_ended() {
    let world = World::new();
    world.broker.connected.lock().push(komainu_model::ClientId::parse("device/1").unwrap());
    let delete = |client: &str| Ask::new("DELETE", &format!("/connections/{client}"), b"").signed("iotdata");
    assert_eq!(world.ask(&delete("device%2F1")).await.status, 200);
    assert_eq!(world.ask(&delete("device2")).await.status, 404);
}
