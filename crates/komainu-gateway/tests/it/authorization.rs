//! What policies allow and deny, as a device sees it.

use crate::mqtt::Version;
use crate::world::{ALL, Device, World, attached};

/// A policy of these statements: effect, action, resource without the head of its ARN.
fn policy(statements: &[(&str, &str, &str)]) -> String {
    let statements: Vec<String> = statements
        .iter()
        .map(|(effect, action, resource)| {
            let resource = format!("arn:aws:iot:eu-west-1:123456789012:{resource}");
            format!(r#"{{"Effect":"{effect}","Action":"{action}","Resource":"{resource}"}}"#)
        })
        .collect();
    format!(r#"{{"Version":"2012-10-17","Statement":[{}]}}"#, statements.join(","))
}

const MAY_CONNECT: (&str, &str, &str) = ("Allow", "iot:Connect", "client/*");

/// The return code that says "not authorized".
fn not_authorized(version: Version) -> u8 {
    match version {
        Version::V3 => 5,
        Version::V5 => 0x87,
    }
}

#[tokio::test]
async fn connect_is_denied_by_default() {
    for version in [Version::V3, Version::V5] {
        let world = World::start().await;
        let device = Device::new("pump");
        world.register(&device, &["pump"], &[&policy(&[("Allow", "iot:Connect", "client/pump")])]);
        let refused = world.client(&device, version).await.connect("other").await.unwrap();
        // AWS answers 7 to clients of version 3, where the standard has 5.
        assert!(refused == not_authorized(version) || refused == 7, "{refused}");
        let lines = world.logged("gateway.connect_refused");
        assert_eq!(lines[0]["fields"]["reason"], "iot:Connect");
        assert_eq!(lines[0]["fields"]["client"], "other");

        let reading = world.readings().pop().unwrap();
        assert_eq!(reading.reporter.as_str(), "pump", "the certificate says who it was");
        assert_eq!((reading.connection_attempts, reading.authorization_failures, reading.connected), (1, 1, false));

        assert_eq!(world.client(&device, version).await.connect("pump").await, Some(0));
    }
}

#[tokio::test]
async fn a_will_is_a_publish_to_come() {
    let world = World::start().await;
    let device = Device::new("pump");
    let allowed = policy(&[MAY_CONNECT, ("Allow", "iot:Publish", "topic/gone/pump")]);
    world.register(&device, &["pump"], &[&allowed]);
    let check = async |will: (&str, bool), expected: u8| {
        let answer = world.client(&device, Version::V5).await.connect_with("pump", Some(will)).await;
        assert_eq!(answer, Some(expected), "{will:?}");
    };
    check(("gone/pump", false), 0).await;
    check(("gone/other", false), 0x87).await;
    check(("gone/pump", true), 0x87).await;
}

#[tokio::test]
async fn publish_is_denied_by_default_and_an_explicit_deny_wins() {
    let statements =
        [MAY_CONNECT, ("Allow", "iot:Publish", "topic/pump/*"), ("Deny", "iot:Publish", "topic/pump/secret")];
    let world = World::start().await;
    let device = Device::new("pump");
    world.register(&device, &["pump"], &[&policy(&statements)]);
    let check = async |topic: &str, retain: bool, is_allowed: bool| {
        let mut client = world.connected(&device, "pump").await;
        let answer = client.publish(topic, b"x", retain).await;
        // 0x10: nobody subscribed.
        assert_eq!(matches!(answer, Some(0 | 0x10)), is_allowed, "{topic} {answer:?}");
    };
    check("pump/status", false, true).await;
    check("pump/secret", false, false).await;
    check("valve/status", false, false).await;
    check("pump/status", true, false).await;
    let denied = world.logged("gateway.denied");
    let actions: Vec<_> = denied.iter().map(|line| line["fields"]["action"].as_str().unwrap()).collect();
    assert_eq!(actions.len(), 3, "{denied:?}");
    assert_eq!(world.readings()[0].authorization_failures, 3);
}

#[tokio::test]
async fn a_client_of_version_3_is_disconnected_for_a_denied_publish() {
    let world = World::start().await;
    let device = Device::new("pump");
    world.register(&device, &["pump"], &[&policy(&[MAY_CONNECT])]);
    let mut client = world.client(&device, Version::V3).await;
    assert_eq!(client.connect("pump").await, Some(0));
    assert_eq!(client.publish("pump/status", b"x", false).await, None);
    assert_eq!(world.logged("gateway.disconnected")[0]["fields"]["reason"], "FORBIDDEN_ACCESS");
}

#[tokio::test]
async fn subscribe_is_answered_for_each_filter() {
    let statements = [MAY_CONNECT, ("Allow", "iot:Subscribe", "topicfilter/pump/*")];
    for (version, denied) in [(Version::V3, 0x80), (Version::V5, 0x87)] {
        let world = World::start().await;
        let device = Device::new("pump");
        world.register(&device, &["pump"], &[&policy(&statements)]);
        let mut client = world.client(&device, version).await;
        client.connect("pump").await;
        assert_eq!(client.subscribe("pump/#").await, Some(1));
        assert_eq!(client.subscribe("#").await, Some(denied));
        // The connection goes on.
        client.ping().await;
        assert_eq!(world.readings()[0].authorization_failures, 1);
    }
}

#[tokio::test]
async fn receive_is_asked_for_each_message() {
    let world = World::start().await;
    let (listener, speaker) = (Device::new("listener"), Device::new("speaker"));
    // Wildcards of filters are plain characters for policies, so that denying a filter does not stop a wider one; to
    // deny the reception does.
    let statements = [
        MAY_CONNECT,
        ("Allow", "iot:Subscribe", "*"),
        ("Allow", "iot:Receive", "topic/*"),
        ("Deny", "iot:Subscribe", "topicfilter/a/restricted"),
        ("Deny", "iot:Receive", "topic/a/restricted"),
    ];
    world.register(
        &listener,
        &["listener"],
        &[&policy(&statements).replace("123456789012:*", "123456789012:topicfilter/*")],
    );
    world.register(&speaker, &["speaker"], &[ALL]);
    let mut listening = world.connected(&listener, "listener").await;
    assert_eq!(listening.subscribe("a/#").await, Some(1));
    let mut speaking = world.connected(&speaker, "speaker").await;
    speaking.publish("a/restricted", b"secret", false).await;
    speaking.publish("a/open", b"public", false).await;
    assert_eq!(listening.message().await.unwrap(), ("a/open".into(), b"public".into()));
    let denied = world.logged("gateway.denied");
    assert_eq!((denied.len(), denied[0]["fields"]["action"].as_str()), (1, Some("iot:Receive")));
}

#[tokio::test]
async fn variables_stand_for_what_the_connection_is() {
    let check = async |resource: &str, topic: &str, client_id: &str, is_allowed: bool| {
        let world = World::start().await;
        let device = Device::new("pump-7");
        let document = policy(&[MAY_CONNECT, ("Allow", "iot:Publish", resource)]);
        world.register(&device, &["pump", "valve"], &[&document]);
        let mut client = world.connected(&device, client_id).await;
        let answer = client.publish(topic, b"x", false).await;
        assert_eq!(matches!(answer, Some(0 | 0x10)), is_allowed, "{resource} {topic} {client_id}: {answer:?}");
    };
    check("topic/${iot:ClientId}/x", "pump/x", "pump", true).await;
    check("topic/${iot:ClientId}/x", "valve/x", "pump", false).await;
    check("topic/${aws:SourceIp}", "127.0.0.1", "pump", true).await;
    check("topic/${iot:Connection.Thing.ThingName}", "valve", "valve", true).await;
    check("topic/${iot:Connection.Thing.ThingName}", "other", "other", false).await;
    check("topic/${iot:Connection.Thing.ThingTypeName}", "pump", "valve", true).await;
    check("topic/${iot:Connection.Thing.Attributes[site]}", "north", "valve", true).await;
    check("topic/${iot:Connection.Thing.IsAttached}", "true", "valve", true).await;
    check("topic/${iot:Certificate.Subject.CommonName}", "pump-7", "pump", true).await;
    check("topic/${iot:Certificate.Subject.CommonName}", "pump-8", "pump", false).await;
    check("topic/${iot:Certificate.Issuer.Organization}", "Pumps Ltd", "pump", true).await;
}

#[tokio::test]
async fn a_change_of_policies_counts_from_the_next_packet_on() {
    let world = World::start().await;
    let device = Device::new("pump");
    world.register(&device, &["pump"], &[&policy(&[MAY_CONNECT])]);
    let mut client = world.connected(&device, "pump").await;
    assert_eq!(client.subscribe("pump/#").await, Some(0x87));
    world.change(&device, |principal| principal.policies = vec![ALL.into()]);
    assert_eq!(client.subscribe("pump/#").await, Some(1));
    world.change(&device, |principal| principal.policies = vec![policy(&[MAY_CONNECT]).into()]);
    assert_eq!(client.subscribe("pump/x").await, Some(0x87));
    // Variables, too.
    let own = policy(&[MAY_CONNECT, ("Allow", "iot:Subscribe", "topicfilter/${iot:Connection.Thing.ThingTypeName}")]);
    world.change(&device, |principal| principal.policies = vec![own.into()]);
    assert_eq!(client.subscribe("pump").await, Some(1));
    world.change(&device, |principal| principal.things = vec![attached("valve")]);
    assert_eq!(client.subscribe("pump").await, Some(0x87));
}
