//! PUBLISH in both directions: qualities of service, properties, aliases, flow control, retained messages.

use std::time::Duration;

use komainu_ports::QualityOfService as Qos;

use super::world::*;
use crate::limits::Limits;

#[tokio::test]
async fn each_quality_of_service_has_its_answer() {
    let world = World::new().await;
    for version in [4, 5] {
        let mut client = if version == 5 { world.v5("c").await } else { world.v3("c").await };
        client.send(&publish(version, 0, "a", 0, "x")).await;
        client.expect_nothing().await;
        client.call(&publish(version, 2, "a", 7, "x"), &ack(0x40, 7)).await;
        client.call(&publish(version, 4, "a", 8, "x"), &ack(0x50, 8)).await;
        client.call(&ack(0x62, 8), &ack(0x70, 8)).await;
        client.disconnect().await;
    }
}

#[tokio::test]
async fn a_message_is_delivered_with_the_lower_quality_of_service() {
    let world = World::new().await;
    for granted in 0..3 {
        for published in 0..3 {
            let mut subscriber = world.v3("s").await;
            subscriber.subscribe("a/+", granted).await;
            let mut publisher = world.v3("p").await;
            publisher.send(&publish(4, published << 1, "a/b", 9, "x")).await;
            let effective = granted.min(published);
            subscriber.expect(&publish(4, effective << 1, "a/b", 1, "x")).await;
        }
    }
}

#[tokio::test]
async fn exactly_once_in_both_directions() {
    let world = World::new().await;
    let mut subscriber = world.v3("s").await;
    subscriber.subscribe("a", 2).await;
    let mut publisher = world.v3("p").await;
    publisher.call(&publish(4, 4, "a", 5, "x"), &ack(0x50, 5)).await;
    // Sent again, it is acknowledged again and not delivered again.
    publisher.call(&publish(4, 4 | 8, "a", 5, "x"), &ack(0x50, 5)).await;
    publisher.call(&ack(0x62, 5), &ack(0x70, 5)).await;
    publisher.call(&ack(0x62, 5), &ack(0x70, 5)).await;
    // After its release, the packet id is a new message.
    publisher.call(&publish(4, 4, "a", 5, "y"), &ack(0x50, 5)).await;
    subscriber.expect(&publish(4, 4, "a", 1, "x")).await;
    subscriber.expect(&publish(4, 4, "a", 2, "y")).await;
    subscriber.call(&ack(0x50, 1), &ack(0x62, 1)).await;
    subscriber.call(&ack(0x50, 1), &ack(0x62, 1)).await;
    subscriber.send(&ack(0x70, 1)).await;
    subscriber.call(&ack(0x50, 2), &ack(0x62, 2)).await;
}

#[tokio::test]
async fn unknown_packet_ids_are_named_in_mqtt_5() {
    let world = World::new().await;
    let mut client = world.v5("c").await;
    client.call(&ack(0x62, 9), &[0x70, 3, 0, 9, 0x92]).await;
    client.call(&ack(0x50, 9), &[0x62, 3, 0, 9, 0x92]).await;
    client.send(&ack(0x40, 9)).await;
    client.send(&ack(0x70, 9)).await;
    client.expect_nothing().await;
}

#[tokio::test]
async fn malformed_publishes() {
    let world = World::new().await;
    let check = async |bytes: Vec<u8>, reason: u8| {
        let mut client = world.v5("c").await;
        client.send(&bytes).await;
        client.expect_ended(reason).await;
    };
    check(publish(5, 6, "a", 1, "x"), 0x81).await; // QoS 3
    check(publish(5, 8, "a", 0, "x"), 0x81).await; // DUP at QoS 0
    check(publish(5, 2, "a", 0, "x"), 0x82).await; // packet id 0
    check(publish(5, 0, "a/+", 0, "x"), 0x90).await;
    check(publish(5, 0, "#", 0, "x"), 0x90).await;
    check(publish(5, 0, "", 0, "x"), 0x82).await;
    check(publish(5, 0, "a\0", 0, "x"), 0x81).await;
    check(packet(0x30, &[0, 1, 0xff, 0]), 0x81).await; // not UTF-8
    check(packet(0x30, &[0, 9, b'a']), 0x81).await; // shorter than its topic
    check(packet(0x32, &[0, 1, b'a', 0]), 0x81).await; // shorter than its packet id
    check(publish_with(5, 0, "a", 0, &[0x0b, 1], "x"), 0x82).await; // subscription identifier
    check(publish_with(5, 0, "a", 0, &[0x02, 0, 0, 0, 1, 0x02, 0, 0, 0, 1], "x"), 0x82).await; // twice
    check(publish_with(5, 0, "a", 0, &[0x01, 2], "x"), 0x82).await; // payload format 2
    check(publish_with(5, 0, "a", 0, &[0x08, 0, 1, b'#'], "x"), 0x82).await; // response topic with a wildcard
    check(publish_with(5, 0, "a", 0, &[0x11, 0, 0, 0, 1], "x"), 0x82).await; // session expiry
    check(packet(0x30, &[0, 1, b'a', 0x80, 0x00]), 0x81).await; // padded property length
}

#[tokio::test]
async fn limits_of_topics_and_payloads() {
    let limits = Limits { payload_bytes_max: 4, topic_bytes_max: 5, topic_slashes_max: 1, ..Limits::default() };
    let world = World::with_limits(limits).await;
    let mut client = world.v5("c").await;
    client.call(&publish(5, 2, "a", 1, "12345"), &[0x40, 3, 0, 1, 0x97]).await;
    client.call(&publish(5, 2, "123456", 2, ""), &[0x40, 3, 0, 2, 0x90]).await;
    client.call(&publish(5, 4, "a/b/c", 3, ""), &[0x50, 3, 0, 3, 0x90]).await;
    client.call(&publish(5, 2, "a/b", 4, "1234"), &ack(0x40, 4)).await;
    let mut v3 = world.v3("d").await;
    v3.send(&publish(4, 2, "a", 1, "12345")).await;
    v3.expect_closed().await;
}

#[tokio::test]
async fn properties_are_passed_on_as_they_came() {
    let world = World::new().await;
    let mut subscriber = world.v5("s").await;
    subscriber.subscribe("a", 0).await;
    let mut old = world.v3("old").await;
    old.subscribe("a", 0).await;
    let mut publisher = world.v5("p").await;
    let user = |key: &str, value: &str| [&[0x26][..], &string(key), &string(value)].concat();
    let kept = [
        user("b", "2"),
        vec![0x01, 1],
        [&[0x08][..], &string("reply/to")].concat(),
        vec![0x09, 0, 2, 0, 255],
        user("a", ""),
        [&[0x03][..], &string("text/plain")].concat(),
        user("b", "2"),
    ]
    .concat();
    publisher.send(&publish_with(5, 0, "a", 0, &kept, "x")).await;
    subscriber.expect(&publish_with(5, 0, "a", 0, &kept, "x")).await;
    old.expect(&publish(4, 0, "a", 0, "x")).await;
    // An alias and the expiry in between are not part of what is passed on.
    let half = user("a", "1");
    let mixed = [&half[..], &[0x23, 0, 1], &half, &[0x02, 0, 0, 0, 9], &half].concat();
    publisher.send(&publish_with(5, 0, "a", 0, &mixed, "y")).await;
    let expected = [&[0x02, 0, 0, 0, 9][..], &half, &half, &half].concat();
    subscriber.expect(&publish_with(5, 0, "a", 0, &expected, "y")).await;
}

#[tokio::test]
async fn a_message_expires_while_it_waits() {
    let world = World::new().await;
    let resume = Connect::v5("s").resume().expiry(600);
    let mut subscriber = world.v5_with(&resume).await;
    subscriber.subscribe("a", 1).await;
    subscriber.lose().await;
    let mut publisher = world.v5("p").await;
    publisher.call(&publish_with(5, 2, "a", 1, &[0x02, 0, 0, 0, 10], "ten"), &ack(0x40, 1)).await;
    publisher.call(&publish_with(5, 2, "a", 2, &[0x02, 0, 0, 0, 3], "three"), &ack(0x40, 2)).await;
    world.clock.advance(Duration::from_millis(3_500));
    let mut subscriber = world.v5_with(&resume).await;
    subscriber.expect(&publish_with(5, 2, "a", 1, &[0x02, 0, 0, 0, 7], "ten")).await;
    subscriber.expect_nothing().await;
}

#[tokio::test]
async fn what_was_sent_once_does_not_expire() {
    let world = World::new().await;
    let resume = Connect::v5("s").resume().expiry(600);
    let mut subscriber = world.v5_with(&resume).await;
    subscriber.subscribe("a", 2).await;
    let mut publisher = world.v5("p").await;
    publisher.send(&publish_with(5, 4, "a", 1, &[0x02, 0, 0, 0, 1], "x")).await;
    subscriber.expect(&publish_with(5, 4, "a", 1, &[0x02, 0, 0, 0, 1], "x")).await;
    subscriber.lose().await;
    world.clock.advance(Duration::from_secs(5));
    let mut subscriber = world.v5_with(&resume).await;
    subscriber.expect(&publish_with(5, 12, "a", 1, &[], "x")).await;
}

#[tokio::test]
async fn aliases_of_the_client() {
    let world = World::with_limits(Limits { topic_alias_max: 2, ..Limits::default() }).await;
    let mut subscriber = world.v5("s").await;
    subscriber.subscribe("#", 0).await;
    let mut publisher = world.v5("p").await;
    for (topic, alias, payload, expected) in [
        ("a", 1, "1", "a"),
        ("b", 2, "2", "b"),
        ("", 1, "3", "a"),
        ("c", 1, "4", "c"),
        ("", 1, "5", "c"),
        ("", 2, "6", "b"),
    ] {
        publisher.send(&publish_with(5, 0, topic, 0, &[0x23, 0, alias], payload)).await;
        subscriber.expect(&publish(5, 0, expected, 0, payload)).await;
    }
    publisher.disconnect().await;
    let check = async |topic: &str, alias: u8, reason: u8| {
        let mut client = world.v5("p").await;
        client.send(&publish_with(5, 0, topic, 0, &[0x23, 0, alias], "x")).await;
        client.expect_ended(reason).await;
    };
    check("a", 0, 0x94).await;
    check("a", 3, 0x94).await;
    // An alias belongs to its connection.
    check("", 1, 0x82).await;
}

#[tokio::test]
async fn aliases_of_the_server() {
    let world = World::new().await;
    let mut subscriber = world.v5_with(&Connect::v5("s").property(&[0x22, 0, 1])).await;
    subscriber.subscribe("#", 0).await;
    for (topic, sent, properties) in
        [("a", "a", &[0x23, 0, 1][..]), ("a", "", &[0x23, 0, 1]), ("b", "b", &[]), ("a", "", &[0x23, 0, 1])]
    {
        world.publish(topic, "x", Qos::AtMostOnce).await;
        subscriber.expect(&publish_with(5, 0, sent, 0, properties, "x")).await;
    }
}

#[tokio::test]
async fn receive_maximum_of_the_server() {
    let world = World::with_limits(Limits { receive_max: 2, ..Limits::default() }).await;
    let mut client = world.v5("c").await;
    for packet_id in 1..=2 {
        client.call(&publish(5, 4, "a", packet_id, "x"), &ack(0x50, packet_id)).await;
    }
    // Other packets pass, and one that is sent again is not another one.
    client.expect_nothing().await;
    client.call(&publish(5, 12, "a", 2, "x"), &ack(0x50, 2)).await;
    client.call(&ack(0x62, 1), &ack(0x70, 1)).await;
    client.call(&publish(5, 2, "a", 3, "x"), &ack(0x40, 3)).await;
    client.call(&publish(5, 4, "a", 4, "x"), &ack(0x50, 4)).await;
    client.send(&publish(5, 2, "a", 5, "x")).await;
    client.expect_ended(0x93).await;
}

#[tokio::test]
async fn receive_maximum_of_the_client() {
    let world = World::new().await;
    let mut subscriber = world.v5_with(&Connect::v5("s").property(&[0x21, 0, 2])).await;
    subscriber.subscribe("a", 2).await;
    for payload in ["1", "2", "3", "4", "5"] {
        world.publish("a", payload, if payload == "2" { Qos::ExactlyOnce } else { Qos::AtLeastOnce }).await;
    }
    subscriber.expect(&publish(5, 2, "a", 1, "1")).await;
    subscriber.expect(&publish(5, 4, "a", 2, "2")).await;
    subscriber.expect_nothing().await;
    subscriber.send(&ack(0x40, 1)).await;
    subscriber.expect(&publish(5, 2, "a", 3, "3")).await;
    // PUBREC alone does not make room, PUBCOMP does, as does a PUBREC that refuses.
    subscriber.call(&ack(0x50, 2), &ack(0x62, 2)).await;
    subscriber.expect_nothing().await;
    subscriber.send(&ack(0x70, 2)).await;
    subscriber.expect(&publish(5, 2, "a", 4, "4")).await;
}

#[tokio::test]
async fn a_refused_message_is_not_sent_again() {
    let world = World::new().await;
    let mut subscriber = world.v5_with(&Connect::v5("s").property(&[0x21, 0, 1])).await;
    subscriber.subscribe("a", 2).await;
    world.publish("a", "1", Qos::ExactlyOnce).await;
    world.publish("a", "2", Qos::AtLeastOnce).await;
    world.publish("a", "3", Qos::AtLeastOnce).await;
    subscriber.expect(&publish(5, 4, "a", 1, "1")).await;
    subscriber.send(&[0x50, 3, 0, 1, 0x83]).await;
    subscriber.expect(&publish(5, 2, "a", 2, "2")).await;
    subscriber.send(&[0x40, 3, 0, 2, 0x97]).await;
    subscriber.expect(&publish(5, 2, "a", 3, "3")).await;
    subscriber.send(&[0x40, 3, 0, 3, 0x42]).await;
    subscriber.expect_ended(0x81).await;
}

#[tokio::test]
async fn maximum_packet_size_of_the_client() {
    let world = World::new().await;
    let mut subscriber = world.v5_with(&Connect::v5("s").property(&[0x27, 0, 0, 0, 20])).await;
    subscriber.subscribe("a", 1).await;
    world.publish("a", &"x".repeat(12), Qos::AtLeastOnce).await;
    let fits = publish(5, 2, "a", 1, &"x".repeat(12));
    assert_eq!(fits.len(), 20);
    subscriber.expect(&fits).await;
    world.publish("a", &"x".repeat(13), Qos::AtLeastOnce).await;
    world.publish("a", "next", Qos::AtLeastOnce).await;
    subscriber.expect(&publish(5, 2, "a", 3, "next")).await;
}

#[tokio::test]
async fn messages_and_acknowledgements_keep_their_order() {
    let world = World::new().await;
    let mut subscriber = world.v3("s").await;
    subscriber.subscribe("a", 2).await;
    let mut publisher = world.v3("p").await;
    let all: Vec<Vec<u8>> =
        (1..=30).map(|id| publish(4, if id % 3 == 0 { 4 } else { 2 }, "a", id, &id.to_string())).collect();
    publisher.send(&all.concat()).await;
    for id in 1..=30 {
        publisher.expect(&ack(if id % 3 == 0 { 0x50 } else { 0x40 }, id)).await;
        let flags = if id % 3 == 0 { 4 } else { 2 };
        subscriber.expect(&publish(4, flags, "a", id, &id.to_string())).await;
    }
}

#[tokio::test]
async fn a_message_is_acknowledged_also_when_nobody_wants_it() {
    let world = World::new().await;
    let mut client = world.v5("c").await;
    client.call(&publish(5, 2, "nobody", 1, ""), &ack(0x40, 1)).await;
}

#[tokio::test]
async fn retained_messages() {
    let world = World::new().await;
    let mut publisher = world.v3("p").await;
    publisher.call(&publish(4, 3, "a/1", 1, "old"), &ack(0x40, 1)).await;
    publisher.call(&publish(4, 3, "a/1", 2, "new"), &ack(0x40, 2)).await;
    publisher.call(&publish(4, 3, "a/2", 3, "gone"), &ack(0x40, 3)).await;
    publisher.call(&publish(4, 3, "a/2", 4, ""), &ack(0x40, 4)).await;
    // A message that is not to be retained changes nothing, empty or not.
    publisher.call(&publish(4, 2, "a/1", 5, "passing"), &ack(0x40, 5)).await;
    publisher.call(&publish(4, 2, "a/1", 6, ""), &ack(0x40, 6)).await;
    let mut subscriber = world.v3("s").await;
    subscriber.call(&subscribe(4, 1, &[("a/#", 1)]), &[0x90, 3, 0, 1, 1]).await;
    subscriber.expect(&publish(4, 3, "a/1", 1, "new")).await;
    subscriber.expect_nothing().await;
    // To a subscription that exists it comes without the flag.
    publisher.call(&publish(4, 3, "a/1", 7, "live"), &ack(0x40, 7)).await;
    subscriber.expect(&publish(4, 2, "a/1", 2, "live")).await;
    // Subscribing again brings it again.
    subscriber.call(&subscribe(4, 2, &[("a/#", 0)]), &[0x90, 3, 0, 2, 0]).await;
    subscriber.expect(&publish(4, 1, "a/1", 0, "live")).await;
}

#[tokio::test]
async fn a_retained_message_expires() {
    let world = World::new().await;
    let mut publisher = world.v5("p").await;
    publisher.call(&publish_with(5, 3, "a", 1, &[0x02, 0, 0, 0, 5], "x"), &ack(0x40, 1)).await;
    world.clock.advance(Duration::from_secs(2));
    let mut one = world.v5("one").await;
    one.subscribe("a", 0).await;
    one.expect(&publish_with(5, 1, "a", 0, &[0x02, 0, 0, 0, 3], "x")).await;
    world.clock.advance(Duration::from_secs(3));
    let mut two = world.v5("two").await;
    two.subscribe("a", 0).await;
    two.expect_nothing().await;
}

#[tokio::test]
async fn too_many_retained_messages_are_refused() {
    let world = World::with_limits(Limits { retained_messages_max: 1, ..Limits::default() }).await;
    let mut client = world.v5("c").await;
    client.call(&publish(5, 3, "a", 1, "x"), &ack(0x40, 1)).await;
    client.call(&publish(5, 3, "b", 2, "x"), &[0x40, 3, 0, 2, 0x97]).await;
    client.call(&publish(5, 3, "a", 3, "y"), &ack(0x40, 3)).await;
}
