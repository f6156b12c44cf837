//! The meters are exact.

use std::net::IpAddr;

use komainu_model::ReporterName;
use komainu_ports::MeterReading;

use crate::world::{ALL, Device, World, scope};

fn reading(reporter: &str) -> MeterReading {
    MeterReading {
        scope: scope(),
        reporter: ReporterName::parse(reporter).unwrap(),
        connected: true,
        messages_sent: 0,
        messages_received: 0,
        message_bytes: None,
        authorization_failures: 0,
        connection_attempts: 1,
        disconnects: 0,
        source_addresses: vec![IpAddr::from([127, 0, 0, 1])],
    }
}

#[tokio::test]
async fn every_message_is_counted_where_it_belongs() {
    let world = World::start().await;
    let (pump, valve) = (Device::new("pump"), Device::new("valve"));
    world.register(&pump, &["pump"], &[ALL]);
    world.register(&valve, &["valve"], &[ALL]);
    let mut sending = world.connected(&pump, "pump").await;
    let mut receiving = world.connected(&valve, "valve").await;
    receiving.subscribe("t/#").await;
    for size in [10, 300, 20] {
        assert_eq!(sending.publish("t/x", &vec![b'x'; size], false).await, Some(0));
    }
    sending.publish_qos0("t/y", b"").await;
    for _ in 0..4 {
        receiving.message().await.unwrap();
    }
    sending.ping().await;
    let expected = [
        MeterReading { messages_sent: 4, message_bytes: Some((0, 300)), ..reading("pump") },
        MeterReading { messages_received: 4, message_bytes: Some((0, 300)), ..reading("valve") },
    ];
    assert_eq!(world.readings(), expected);

    sending.disconnect().await;
    let gone = MeterReading { connection_attempts: 0, disconnects: 1, connected: false, ..reading("pump") };
    let idle = MeterReading { connection_attempts: 0, ..reading("valve") };
    assert_eq!(world.readings(), [gone, idle.clone()]);
    assert_eq!(world.readings(), [idle]);
}

#[tokio::test]
async fn a_certificate_of_one_thing_is_measured_as_that_thing() {
    let world = World::start().await;
    let device = Device::new("pump");
    world.register(&device, &["pump"], &[ALL]);
    let _one = world.connected(&device, "some-client").await;
    assert_eq!(world.readings(), [reading("pump")]);
}

#[tokio::test]
async fn a_certificate_of_several_things_or_none_is_measured_by_client_id() {
    let world = World::start().await;
    let (shared, unattached) = (Device::new("shared"), Device::new("unattached"));
    world.register(&shared, &["pump", "valve"], &[ALL]);
    world.register(&unattached, &[], &[ALL]);
    let _one = world.connected(&shared, "valve").await;
    let _two = world.connected(&unattached, "stray").await;
    assert_eq!(world.readings(), [reading("stray"), reading("valve")]);
}

#[tokio::test]
async fn the_server_itself_is_not_measured_but_its_messages_are() {
    use komainu_ports::{Broker as _, OutboundMessage, QualityOfService};
    let world = World::start().await;
    let device = Device::new("pump");
    world.register(&device, &["pump"], &[ALL]);
    let mut client = world.connected(&device, "pump").await;
    client.subscribe("t").await;
    world.readings();
    world.gateway.publish(scope(), OutboundMessage::new("t", "four", QualityOfService::AtLeastOnce)).await.unwrap();
    assert_eq!(client.message().await.unwrap(), ("t".into(), b"four".into()));
    let expected =
        MeterReading { messages_received: 1, message_bytes: Some((4, 4)), connection_attempts: 0, ..reading("pump") };
    assert_eq!(world.readings(), [expected]);
}

#[tokio::test]
async fn a_metric_report_reaches_the_pipeline() {
    let world = World::start().await;
    let device = Device::new("pump");
    world.register(&device, &["pump"], &[ALL]);
    let mut client = world.connected(&device, "pump").await;
    assert_eq!(client.publish("$aws/things/pump/defender/metrics/json", b"{}", false).await, Some(0));
    let report = world.reports.taken().pop().unwrap();
    assert_eq!((report.scope, report.thing.as_ref(), report.payload.as_ref()), (scope(), "pump", b"{}".as_slice()));
    assert_eq!(world.readings()[0].messages_sent, 1, "a report is a message, too");
}
