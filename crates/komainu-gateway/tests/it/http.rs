//! Publishing over HTTPS in a device's name.

use komainu_model::{CertificateStatus, ThingPrincipalType};
use komainu_ports::{Broker as _, BrokerError, OutboundMessage, PeerInfo, QualityOfService};

use crate::world::{ALL, Device, World};

fn peer() -> PeerInfo {
    PeerInfo { address: "192.0.2.7:50000".parse().unwrap(), tls: true, certificate: None, server_name: None }
}

const MAY_PUBLISH: &str = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"iot:Publish",
    "Resource":"arn:aws:iot:eu-west-1:123456789012:topic/pump/*"}]}"#;

#[tokio::test]
async fn it_is_authorised_and_measured_like_mqtt() {
    let world = World::start().await;
    let (device, listener) = (Device::new("pump"), Device::new("listener"));
    world.register(&device, &["pump"], &[MAY_PUBLISH]);
    world.register(&listener, &["zlistener"], &[ALL]);
    let mut listening = world.connected(&listener, "zlistener").await;
    listening.subscribe("#").await;

    let message = |topic: &str| OutboundMessage::new(topic, "hello", QualityOfService::AtLeastOnce);
    world.gateway.publish_as(device.id, peer(), message("pump/status")).await.unwrap();
    assert_eq!(listening.message().await.unwrap(), ("pump/status".into(), b"hello".into()));

    let denied = world.gateway.publish_as(device.id, peer(), message("valve/status")).await.unwrap_err();
    assert!(matches!(&denied, BrokerError::NotAuthorized { topic } if topic == "valve/status"), "{denied:?}");
    let mut retained = message("pump/status");
    retained.retain = true;
    assert!(world.gateway.publish_as(device.id, peer(), retained).await.is_err(), "iot:RetainPublish is asked, too");

    let reading = world.readings().remove(0);
    assert_eq!(reading.reporter.as_str(), "pump");
    assert_eq!((reading.messages_sent, reading.authorization_failures, reading.connection_attempts), (1, 2, 0));
    assert_eq!(reading.message_bytes, Some((5, 5)));
    assert!(!reading.connected);
}

#[tokio::test]
async fn a_certificate_that_nobody_registered_publishes_nothing() {
    let world = World::start().await;
    let stranger = Device::new("stranger");
    let message = OutboundMessage::new("t", "x", QualityOfService::AtMostOnce);
    let error = world.gateway.publish_as(stranger.id, peer(), message).await.unwrap_err();
    assert!(matches!(error, BrokerError::NotAuthorized { .. }));
    assert_eq!(world.readings(), []);
}

const MAY_INGEST: &str = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"iot:Publish",
    "Resource":"arn:aws:iot:eu-west-1:123456789012:topic/$komainu/sensors/${iot:Connection.Thing.ThingName}/ingest"}]}"#;

#[tokio::test]
async fn a_right_is_asked_for_as_it_is_now_and_carries_no_message() {
    let world = World::start().await;
    let sensor = Device::new("tokyo");
    world.register(&sensor, &["tokyo"], &[MAY_INGEST]);
    // As enrolment attaches it: without a client id, only such a certificate has a thing.
    world.change(&sensor, |principal| principal.things[0].kind = ThingPrincipalType::ExclusiveThing);
    let may = |topic: &str| world.gateway.may_publish_as(sensor.id, &peer(), topic).is_ok();
    assert!(may("$komainu/sensors/tokyo/ingest"));
    assert!(!may("$komainu/sensors/osaka/ingest"));
    assert!(!may("tokyo/status"));
    assert!(
        world.gateway.may_publish_as(Device::new("stranger").id, &peer(), "$komainu/sensors/tokyo/ingest").is_err()
    );
    assert_eq!(world.readings().remove(0).authorization_failures, 2);

    let message = OutboundMessage::new("$komainu/sensors/tokyo/ingest", "x", QualityOfService::AtMostOnce);
    assert!(world.gateway.publish_as(sensor.id, peer(), message).await.is_err(), "nothing is published there");

    world.change(&sensor, |principal| principal.certificate.status = CertificateStatus::Revoked);
    assert!(!may("$komainu/sensors/tokyo/ingest"), "a certificate that was revoked opens nothing");
}
