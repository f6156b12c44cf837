//! What belongs to the service: rights, reserved topics, reports, lifecycle events, and the broker's own doings.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use komainu_model::{ClientId, DisconnectReason};
use komainu_ports::{BrokerError, OutboundMessage, QualityOfService as Qos};
use serde_json::Value;

use super::world::*;
use crate::limits::Limits;

#[tokio::test]
async fn a_denied_publish() {
    let world = World::new().await;
    world.gatekeeper.deny("publish secret");
    world.gatekeeper.deny("retain a");
    let mut subscriber = world.v3("s").await;
    subscriber.subscribe("#", 0).await;
    let mut v5 = world.v5("five").await;
    v5.call(&publish(5, 2, "secret", 1, "x"), &[0x40, 3, 0, 1, 0x87]).await;
    v5.call(&publish(5, 4, "secret", 2, "x"), &[0x50, 3, 0, 2, 0x87]).await;
    v5.call(&publish(5, 3, "a", 3, "x"), &[0x40, 3, 0, 3, 0x87]).await;
    v5.send(&publish(5, 0, "secret", 0, "x")).await;
    v5.expect_ended(0x87).await;
    for flags in [0, 2, 4] {
        let mut v3 = world.v3("three").await;
        v3.send(&publish(4, flags, "secret", 1, "x")).await;
        v3.expect_closed().await;
    }
    subscriber.expect_nothing().await;
    let told = world.told();
    assert_eq!(
        told[..4],
        ["denied Publish secret", "denied Publish secret", "denied RetainPublish a", "denied Publish secret"]
    );
    assert_eq!(told[4], "five FORBIDDEN_ACCESS");
    assert_eq!(world.gatekeeper.sent.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn a_right_that_is_lost_counts_for_the_next_message() {
    let world = World::new().await;
    let mut client = world.v5("c").await;
    client.call(&publish(5, 2, "a", 1, "x"), &ack(0x40, 1)).await;
    world.gatekeeper.deny("publish a");
    client.call(&publish(5, 2, "a", 2, "x"), &[0x40, 3, 0, 2, 0x87]).await;
}

#[tokio::test]
async fn a_message_that_may_not_be_received_is_not_delivered() {
    let world = World::new().await;
    world.gatekeeper.deny("receive a/secret");
    let mut client = world.v3("c").await;
    client.subscribe("a/#", 1).await;
    world.publish("a/secret", "x", Qos::AtLeastOnce).await;
    world.publish("a/open", "y", Qos::AtLeastOnce).await;
    client.expect(&publish(4, 2, "a/open", 2, "y")).await;
    assert_eq!(world.told(), ["denied Receive a/secret"]);
    assert_eq!(world.gatekeeper.received.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn revocation_ends_the_connection() {
    let world = World::new().await;
    let mut client = world.v5("c").await;
    world.broker.recheck();
    client.expect_nothing().await;
    world.gatekeeper.revoked.store(true, Ordering::SeqCst);
    world.broker.recheck();
    client.expect_ended(0x87).await;
    assert_eq!(world.told(), ["c AUTH_ERROR"]);
}

#[tokio::test]
async fn a_revoked_clients_will_is_not_published() {
    let world = World::new().await;
    let mut watcher = world.v3("w").await;
    watcher.subscribe("will", 0).await;
    let other = Arc::new(TestGatekeeper::default());
    let mut client = world.open_as(other.clone());
    client.call(&Connect::v3("c").will("will", "gone", 0, false, &[]).packet(), &[0x20, 2, 0, 0]).await;
    other.revoked.store(true, Ordering::SeqCst);
    world.broker.recheck();
    client.expect_closed().await;
    watcher.expect_nothing().await;
    assert_eq!(*other.told.lock(), ["c AUTH_ERROR", "denied Publish will"]);
}

#[tokio::test]
async fn kicking() {
    let world = World::new().await;
    let mut one = world.v5("one").await;
    let mut two = world.v3("two").await;
    let id = ClientId::parse("one").unwrap();
    assert!(world.broker.kick(&scope(), &id, DisconnectReason::ApiInitiatedDisconnect));
    one.expect_ended(0x98).await;
    assert!(!world.broker.kick(&scope(), &id, DisconnectReason::ApiInitiatedDisconnect));
    let matching = |client: &ClientId, access: &dyn crate::access::Access| {
        client.as_str() == "two" && access.principal_id() == "principal"
    };
    assert_eq!(world.broker.kick_matching(&matching, DisconnectReason::AuthError), 1);
    two.expect_closed().await;
    assert_eq!(world.told(), ["one API_INITIATED_DISCONNECT", "two AUTH_ERROR"]);
}

#[tokio::test]
async fn reserved_topics_are_the_services() {
    let world = World::new().await;
    let mut client = world.v5("c").await;
    client.subscribe("$aws/events/presence/#", 0).await;
    for topic in
        ["$aws/events/presence/connected/c", "$aws/x", "$aws/things/T/defender/metrics/json/accepted", "$SYS/x"]
    {
        client.call(&publish(5, 2, topic, 1, "x"), &[0x40, 3, 0, 1, 0x87]).await;
    }
    client.call(&publish(5, 3, "$aws/things/T/defender/metrics/json", 1, "x"), &[0x40, 3, 0, 1, 0x87]).await;
    client.expect_nothing().await;
    assert!(world.reports.taken.lock().is_empty());
    client.call(&subscribe(5, 2, &[("$aws/things/+/defender/metrics/cbor", 0)]), &[0x90, 4, 0, 2, 0, 0x87]).await;
}

#[tokio::test]
async fn a_report_goes_to_the_sink() {
    let world = World::new().await;
    let mut curious = world.v3("curious").await;
    curious.subscribe("$aws/things/#", 1).await;
    let mut device = world.v3("d").await;
    device.send(&publish(4, 0, "$aws/things/T/defender/metrics/json", 0, "{}")).await;
    device.call(&publish(4, 2, "$aws/things/U/defender/metrics/cbor", 3, "x"), &ack(0x40, 3)).await;
    device.call(&publish(4, 4, "$aws/things/V/defender/metrics/cbor", 4, "y"), &ack(0x50, 4)).await;
    device.call(&publish(4, 12, "$aws/things/V/defender/metrics/cbor", 4, "y"), &ack(0x50, 4)).await;
    device.call(&ack(0x62, 4), &ack(0x70, 4)).await;
    curious.expect_nothing().await;
    let taken: Vec<String> =
        world.reports.taken.lock().iter().map(|r| format!("{} {:?} {:?}", r.thing, r.encoding, r.payload)).collect();
    assert_eq!(taken, ["T Json b\"{}\"", "U Cbor b\"x\"", "V Cbor b\"y\""]);
}

#[tokio::test]
async fn a_report_is_acknowledged_when_it_was_taken() {
    let world = World::new().await;
    let gate = Arc::new(tokio::sync::Semaphore::new(0));
    *world.reports.gate.lock() = Some(gate.clone());
    let mut device = world.v5("d").await;
    device.send(&publish(5, 2, "$aws/things/T/defender/metrics/json", 1, "{}")).await;
    device.send(&publish(5, 2, "a", 2, "x")).await;
    // Other packets pass; acknowledgements keep their order.
    device.expect_nothing().await;
    gate.add_permits(1);
    device.expect(&ack(0x40, 1)).await;
    device.expect(&ack(0x40, 2)).await;
}

#[tokio::test]
async fn a_report_that_is_not_taken_is_not_acknowledged() {
    let world = World::new().await;
    world.reports.busy.store(true, Ordering::SeqCst);
    let mut v5 = world.v5("five").await;
    v5.call(&publish(5, 2, "$aws/things/T/defender/metrics/json", 1, "{}"), &[0x40, 3, 0, 1, 0x97]).await;
    let mut v3 = world.v3("three").await;
    v3.send(&publish(4, 2, "$aws/things/T/defender/metrics/json", 1, "{}")).await;
    v3.expect_closed().await;
}

#[tokio::test]
async fn reports_of_qos_0_are_bounded() {
    let world = World::with_limits(Limits { reports_pending_max: 2, ..Limits::default() }).await;
    let gate = Arc::new(tokio::sync::Semaphore::new(0));
    *world.reports.gate.lock() = Some(gate.clone());
    let mut device = world.v3("d").await;
    for _ in 0..4 {
        device.send(&publish(4, 0, "$aws/things/T/defender/metrics/json", 0, "{}")).await;
    }
    device.expect_nothing().await;
    assert_eq!(world.reports.taken.lock().len(), 2);
    assert_eq!(world.broker.context.refused.load(Ordering::SeqCst), 2);
}

/// The next message on a topic that ends so, as JSON.
async fn event(watcher: &mut Client, topic: &str) -> Value {
    let packet = watcher.packet().await;
    let end = 4 + usize::from(packet[packet.len().min(3)]);
    let text = String::from_utf8_lossy(&packet).into_owned();
    assert!(text.contains(topic), "{text} {end}");
    serde_json::from_str(&text[text.find('{').unwrap()..]).unwrap()
}

#[tokio::test]
async fn lifecycle_events() {
    let world = World::new().await;
    let mut watcher = world.v3("slash/watcher").await;
    watcher.subscribe("$aws/events/#", 0).await;
    let mut device = world.v5_with(&Connect::v5("d").resume().expiry(60)).await;
    let connected = event(&mut watcher, "$aws/events/presence/connected/d").await;
    assert_eq!(connected["clientId"], "d");
    assert_eq!(connected["timestamp"], 1_700_000_000_000_i64);
    assert_eq!(connected["eventType"], "connected");
    assert_eq!(connected["principalIdentifier"], "principal");
    assert_eq!(connected["ipAddress"], "192.0.2.7");
    assert_eq!(connected["versionNumber"], 0);
    device.call(&subscribe(5, 1, &[("a", 0), ("b/#/c", 0), ("c", 1)]), &[0x90, 6, 0, 1, 0, 0, 0x8f, 1]).await;
    let subscribed = event(&mut watcher, "$aws/events/subscriptions/subscribed/d").await;
    assert_eq!(subscribed["topics"], serde_json::json!(["a", "c"]));
    assert_eq!(subscribed["eventType"], "subscribed");
    assert_eq!(subscribed["sessionIdentifier"], connected["sessionIdentifier"]);
    device.call(&unsubscribe(5, 2, &["c"]), &[0xb0, 4, 0, 2, 0, 0]).await;
    let unsubscribed = event(&mut watcher, "$aws/events/subscriptions/unsubscribed/d").await;
    assert_eq!(unsubscribed["topics"], serde_json::json!(["c"]));
    device.disconnect().await;
    let disconnected = event(&mut watcher, "$aws/events/presence/disconnected/d").await;
    assert_eq!(disconnected["clientInitiatedDisconnect"], true);
    assert_eq!(disconnected["disconnectReason"], "CLIENT_INITIATED_DISCONNECT");
    let device = world.v5_with(&Connect::v5("d").resume().expiry(60)).await;
    let again = event(&mut watcher, "$aws/events/presence/connected/d").await;
    assert_eq!(again["versionNumber"], 1);
    assert_ne!(again["sessionIdentifier"], connected["sessionIdentifier"]);
    device.lose().await;
    let lost = event(&mut watcher, "$aws/events/presence/disconnected/d").await;
    assert_eq!(
        (&lost["clientInitiatedDisconnect"], &lost["disconnectReason"]),
        (&false.into(), &"CONNECTION_LOST".into())
    );
    // Client ids that cannot be one level of a topic have no events.
    for id in ["a/b", "a+", "#"] {
        world.v3(id).await;
    }
    watcher.expect_nothing().await;
}

#[tokio::test]
async fn publishing_in_the_servers_name() {
    let world = World::new().await;
    let mut client = world.v5("c").await;
    client.subscribe("$aws/things/#", 1).await;
    let mut message = OutboundMessage::new("$aws/things/T/x", "hi", Qos::AtLeastOnce);
    message.payload_is_utf8 = Some(true);
    message.content_type = Some("text/plain".into());
    message.user_properties = vec![("k".to_owned(), "v".to_owned())];
    world.broker.publish(&scope(), message).await.unwrap();
    let properties = [&[0x01, 1][..], &[0x03], &string("text/plain"), &[0x26], &string("k"), &string("v")].concat();
    client.expect(&publish_with(5, 2, "$aws/things/T/x", 1, &properties, "hi")).await;
    let check = async |message: OutboundMessage| world.broker.publish(&scope(), message).await.unwrap_err();
    let bad_topic = check(OutboundMessage::new("a/#", "", Qos::AtMostOnce)).await;
    assert!(matches!(bad_topic, BrokerError::BadTopic { .. }));
    let too_large = check(OutboundMessage::new("a", vec![0; 128 * 1024 + 1], Qos::AtMostOnce)).await;
    assert!(matches!(too_large, BrokerError::PayloadTooLarge { .. }));
}

#[tokio::test]
async fn publishing_in_a_clients_name() {
    let world = World::new().await;
    world.gatekeeper.deny("publish secret");
    world.gatekeeper.deny("retain a");
    let access = {
        use crate::access::{ConnectRequest, Gatekeeper};
        let client = ClientId::parse("http").unwrap();
        let connect = ConnectRequest { client_id: &client, user_name: None, will: None };
        let peer = komainu_ports::PeerInfo {
            address: ([192, 0, 2, 7], 1).into(),
            tls: true,
            certificate: None,
            server_name: None,
        };
        world.gatekeeper.admit(&peer, &connect).unwrap()
    };
    let mut client = world.v3("c").await;
    client.subscribe("#", 1).await;
    let send = async |topic: &str, retain: bool| {
        let message = OutboundMessage { retain, ..OutboundMessage::new(topic, "x", Qos::AtLeastOnce) };
        world.broker.publish_as(&*access, message).await
    };
    send("a", false).await.unwrap();
    client.expect(&publish(4, 2, "a", 1, "x")).await;
    send("$aws/things/T/defender/metrics/json", false).await.unwrap();
    assert_eq!(world.reports.taken.lock().len(), 1);
    for (topic, retain) in [("secret", false), ("a", true), ("$aws/events/x", false)] {
        assert!(matches!(send(topic, retain).await, Err(BrokerError::NotAuthorized { .. })), "{topic}");
    }
    client.expect_nothing().await;
    assert_eq!(world.told(), ["denied Publish secret", "denied RetainPublish a", "denied Publish $aws/events/x"]);
    assert_eq!(world.gatekeeper.sent.load(Ordering::SeqCst), 2);
}
