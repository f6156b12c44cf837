//! SUBSCRIBE, UNSUBSCRIBE and what reaches a subscription.

use komainu_ports::QualityOfService as Qos;

use super::world::*;
use crate::limits::Limits;

#[tokio::test]
async fn each_filter_has_its_code() {
    let world = World::new().await;
    world.gatekeeper.deny("subscribe secret");
    let filters = [("a", 0), ("b/#", 1), ("c/+/d", 2), ("secret", 1), ("bad/#/x", 1), ("a+", 0), ("$share/g", 0)];
    let mut v3 = world.v3("three").await;
    v3.call(&subscribe(4, 258, &filters), &[0x90, 9, 1, 2, 0, 1, 2, 0x80, 0x80, 0x80, 0x80]).await;
    let mut v5 = world.v5("five").await;
    v5.call(&subscribe(5, 258, &filters), &[0x90, 10, 1, 2, 0, 0, 1, 2, 0x87, 0x8f, 0x8f, 0x8f]).await;
    assert_eq!(world.told(), ["denied Subscribe secret", "denied Subscribe secret"]);
}

#[tokio::test]
async fn malformed_subscribes() {
    let world = World::new().await;
    let check = async |version: u8, bytes: Vec<u8>, reason: u8| {
        let mut client = if version == 5 { world.v5("c").await } else { world.v3("c").await };
        client.send(&bytes).await;
        client.expect_ended(reason).await;
    };
    for version in [4, 5] {
        check(version, subscribe(version, 1, &[]), 0x82).await;
        check(version, subscribe(version, 0, &[("a", 0)]), 0x82).await;
        check(version, subscribe(version, 1, &[("a", 3)]), 0x81).await;
        check(version, unsubscribe(version, 1, &[]), 0x82).await;
        check(version, unsubscribe(version, 0, &["a"]), 0x82).await;
        check(version, subscribe(version, 1, &[("a\0", 0)]), 0x81).await;
    }
    check(4, subscribe(4, 1, &[("a", 4)]), 0).await;
    check(5, subscribe(5, 1, &[("a", 0x40)]), 0x81).await;
    check(5, subscribe(5, 1, &[("a", 0x30)]), 0x82).await; // retain handling 3
    check(5, subscribe(5, 1, &[("$share/g/a", 4)]), 0x82).await; // no local, shared
    check(5, subscribe_with(5, 1, &[0x0b, 0], &[("a", 0)]), 0x82).await; // identifier 0
    check(5, subscribe_with(5, 1, &[0x0b, 1, 0x0b, 2], &[("a", 0)]), 0x82).await; // two identifiers
    check(5, packet(0x82, &[0, 1, 0, 0, 1, b'a']), 0x81).await; // options are missing
}

#[tokio::test]
async fn unsubscribing() {
    let world = World::new().await;
    let mut client = world.v5("c").await;
    client.subscribe("a", 1).await;
    client.subscribe("b", 0).await;
    client.call(&unsubscribe(5, 7, &["a", "nothing"]), &[0xb0, 5, 0, 7, 0, 0, 0x11]).await;
    world.publish("a", "x", Qos::AtLeastOnce).await;
    world.publish("b", "y", Qos::AtLeastOnce).await;
    client.expect(&publish(5, 0, "b", 0, "y")).await;
    let mut v3 = world.v3("d").await;
    v3.call(&unsubscribe(4, 9, &["nothing"]), &[0xb0, 2, 0, 9]).await;
}

#[tokio::test]
async fn delivery_that_began_is_completed_after_unsubscribing() {
    let world = World::new().await;
    let mut client = world.v5_with(&Connect::v5("c").property(&[0x21, 0, 1])).await;
    client.subscribe("a", 2).await;
    world.publish("a", "1", Qos::ExactlyOnce).await;
    world.publish("a", "2", Qos::AtLeastOnce).await;
    client.expect(&publish(5, 4, "a", 1, "1")).await;
    client.call(&unsubscribe(5, 7, &["a"]), &[0xb0, 4, 0, 7, 0, 0]).await;
    client.call(&ack(0x50, 1), &ack(0x62, 1)).await;
    client.send(&ack(0x70, 1)).await;
    client.expect(&publish(5, 2, "a", 2, "2")).await;
}

#[tokio::test]
async fn a_subscription_to_the_same_filter_replaces_the_first() {
    let world = World::new().await;
    let mut client = world.v5("c").await;
    client.send(&subscribe_with(5, 1, &[0x0b, 1], &[("a", 2)])).await;
    client.expect(&[0x90, 4, 0, 1, 0, 2]).await;
    client.send(&subscribe_with(5, 2, &[0x0b, 2], &[("a", 1)])).await;
    client.expect(&[0x90, 4, 0, 2, 0, 1]).await;
    world.publish("a", "x", Qos::ExactlyOnce).await;
    client.expect(&publish_with(5, 2, "a", 1, &[0x0b, 2], "x")).await;
    client.expect_nothing().await;
}

#[tokio::test]
async fn overlapping_subscriptions_deliver_once_with_all_identifiers() {
    let world = World::new().await;
    let mut client = world.v5("c").await;
    for (id, filter, qos) in [(1, "a/#", 0), (200, "a/+", 2), (3, "+/b", 1)] {
        client.send(&subscribe_with(5, 1, &[&[0x0b][..], &var(id)].concat(), &[(filter, qos)])).await;
        client.packet().await;
    }
    client.subscribe("a/b", 0).await;
    world.publish("a/b", "x", Qos::ExactlyOnce).await;
    client.expect(&publish_with(5, 4, "a/b", 1, &[0x0b, 1, 0x0b, 3, 0x0b, 200, 1], "x")).await;
    client.expect_nothing().await;
}

#[tokio::test]
async fn no_local() {
    let world = World::new().await;
    let mut client = world.v5("c").await;
    client.subscribe("a", 4).await;
    client.send(&publish(5, 0, "a", 0, "own")).await;
    client.expect_nothing().await;
    let mut other = world.v5("other").await;
    other.send(&publish(5, 0, "a", 0, "other")).await;
    client.expect(&publish(5, 0, "a", 0, "other")).await;
    // Another subscription without the option delivers it.
    client.subscribe("+", 0).await;
    client.send(&publish(5, 0, "a", 0, "own")).await;
    client.expect(&publish(5, 0, "a", 0, "own")).await;
}

#[tokio::test]
async fn retain_as_published() {
    let world = World::new().await;
    let mut keeps = world.v5("keeps").await;
    keeps.subscribe("a", 8).await;
    let mut clears = world.v5("clears").await;
    clears.subscribe("a", 0).await;
    let mut publisher = world.v5("p").await;
    publisher.send(&publish(5, 1, "a", 0, "x")).await;
    publisher.send(&publish(5, 0, "a", 0, "y")).await;
    keeps.expect(&publish(5, 1, "a", 0, "x")).await;
    keeps.expect(&publish(5, 0, "a", 0, "y")).await;
    clears.expect(&publish(5, 0, "a", 0, "x")).await;
    clears.expect(&publish(5, 0, "a", 0, "y")).await;
}

#[tokio::test]
async fn retain_handling() {
    let world = World::new().await;
    let mut publisher = world.v5("p").await;
    publisher.call(&publish(5, 3, "a", 1, "x"), &ack(0x40, 1)).await;
    let mut client = world.v5("c").await;
    let retained = publish(5, 1, "a", 0, "x");
    client.subscribe("a", 0x20).await; // never
    client.expect_nothing().await;
    client.subscribe("a", 0x10).await; // only when new: it is not
    client.expect_nothing().await;
    client.subscribe("a", 0x00).await; // always
    client.expect(&retained).await;
    client.subscribe("+", 0x10).await; // only when new: it is
    client.expect(&retained).await;
    client.expect_nothing().await;
}

#[tokio::test]
async fn a_retained_message_comes_with_the_identifier() {
    let world = World::new().await;
    let mut publisher = world.v5("p").await;
    publisher.call(&publish(5, 3, "a", 1, "x"), &ack(0x40, 1)).await;
    let mut client = world.v5("c").await;
    client.call(&subscribe_with(5, 1, &[0x0b, 5], &[("a", 1)]), &[0x90, 4, 0, 1, 0, 1]).await;
    client.expect(&publish_with(5, 3, "a", 1, &[0x0b, 5], "x")).await;
}

#[tokio::test]
async fn wildcards_do_not_match_dollar_topics() {
    let world = World::new().await;
    let mut client = world.v3("c").await;
    for filter in ["#", "+/a", "+/+"] {
        client.subscribe(filter, 0).await;
    }
    world.publish("$test/a", "x", Qos::AtMostOnce).await;
    client.expect_nothing().await;
    client.subscribe("$test/+", 0).await;
    world.publish("$test/a", "x", Qos::AtMostOnce).await;
    client.expect(&publish(4, 0, "$test/a", 0, "x")).await;
}

#[tokio::test]
async fn topics_are_not_normalised() {
    let world = World::new().await;
    let mut client = world.v3("c").await;
    for filter in ["/A", "a/", "e\u{301}"] {
        client.subscribe(filter, 0).await;
    }
    for topic in ["A", "/a", "a", "a//", "é"] {
        world.publish(topic, "no", Qos::AtMostOnce).await;
    }
    for topic in ["/A", "a/", "e\u{301}"] {
        world.publish(topic, "yes", Qos::AtMostOnce).await;
        client.expect(&publish(4, 0, topic, 0, "yes")).await;
    }
}

#[tokio::test]
async fn bounds_of_subscriptions() {
    let limits = Limits { filters_per_subscribe_max: 2, subscriptions_per_session_max: 2, ..Limits::default() };
    let world = World::with_limits(limits).await;
    let mut client = world.v5("c").await;
    let three = [("a", 0), ("b", 0), ("c", 0)];
    client.call(&subscribe(5, 1, &three), &[0x90, 6, 0, 1, 0, 0x97, 0x97, 0x97]).await;
    client.call(&subscribe(5, 2, &three[..2]), &[0x90, 5, 0, 2, 0, 0, 0]).await;
    // One that replaces is not one more.
    client.call(&subscribe(5, 3, &[("c", 0), ("a", 1)]), &[0x90, 5, 0, 3, 0, 0x97, 1]).await;
}

#[tokio::test]
async fn a_shared_subscription_delivers_to_one() {
    let world = World::new().await;
    let mut one = world.v5("one").await;
    let mut two = world.v5("two").await;
    let mut alone = world.v5("alone").await;
    one.subscribe("$share/g/a/+", 1).await;
    two.subscribe("$share/g/a/+", 1).await;
    alone.subscribe("$share/h/a/+", 0).await;
    for (id, payload) in (1u16..).zip(["1", "2", "3", "4"]) {
        world.publish("a/b", payload, Qos::AtLeastOnce).await;
        let turn = if id % 2 == 1 { &mut one } else { &mut two };
        turn.expect(&publish(5, 2, "a/b", id.div_ceil(2), payload)).await;
        alone.expect(&publish(5, 0, "a/b", 0, payload)).await;
    }
    one.expect_nothing().await;
    two.expect_nothing().await;
}

#[tokio::test]
async fn a_shared_subscription_gets_no_retained_messages() {
    let world = World::new().await;
    let mut publisher = world.v5("p").await;
    publisher.call(&publish(5, 3, "a", 1, "x"), &ack(0x40, 1)).await;
    let mut client = world.v5("c").await;
    client.subscribe("$share/g/a", 0).await;
    client.expect_nothing().await;
}

#[tokio::test]
async fn a_shared_subscription_prefers_members_that_are_connected() {
    let world = World::new().await;
    let away = Connect::v5("away").resume().expiry(600);
    let mut client = world.v5_with(&away).await;
    client.subscribe("$share/g/a", 1).await;
    client.lose().await;
    let mut here = world.v5("here").await;
    here.subscribe("$share/g/a", 1).await;
    for id in 1..=3 {
        world.publish("a", "x", Qos::AtLeastOnce).await;
        here.expect(&publish(5, 2, "a", id, "x")).await;
        here.send(&ack(0x40, id)).await;
    }
    here.disconnect().await;
    // Nobody is connected: it waits for the one that will be back.
    world.publish("a", "later", Qos::AtLeastOnce).await;
    let mut back = world.v5_with(&away).await;
    back.expect(&publish(5, 2, "a", 1, "later")).await;
}

#[tokio::test]
async fn what_a_lost_member_has_not_acknowledged_goes_to_another() {
    let world = World::new().await;
    let mut one = world.v5("one").await;
    one.subscribe("$share/g/a", 2).await;
    world.publish("a", "at least once", Qos::AtLeastOnce).await;
    world.publish("a", "exactly once", Qos::ExactlyOnce).await;
    one.expect(&publish(5, 2, "a", 1, "at least once")).await;
    one.expect(&publish(5, 4, "a", 2, "exactly once")).await;
    let mut two = world.v5("two").await;
    two.subscribe("$share/g/a", 2).await;
    one.lose().await;
    two.expect(&publish(5, 2, "a", 1, "at least once")).await;
    // What was sent with QoS 2 ends with its session.
    two.expect_nothing().await;
}

#[tokio::test]
async fn what_a_member_leaves_behind_waits_for_another_that_will_be_back() {
    let world = World::new().await;
    let away = Connect::v5("away").resume().expiry(600);
    let mut client = world.v5_with(&away).await;
    client.subscribe("$share/g/a", 1).await;
    client.lose().await;
    let mut here = world.v5("here").await;
    here.subscribe("$share/g/a", 1).await;
    world.publish("a", "x", Qos::AtLeastOnce).await;
    here.expect(&publish(5, 2, "a", 1, "x")).await;
    here.lose().await;
    world.v5_with(&away).await.expect(&publish(5, 2, "a", 1, "x")).await;
}

#[tokio::test]
async fn what_a_member_refuses_goes_to_nobody_else() {
    let world = World::new().await;
    let mut one = world.v5("one").await;
    one.subscribe("$share/g/a", 1).await;
    world.publish("a", "x", Qos::AtLeastOnce).await;
    one.expect(&publish(5, 2, "a", 1, "x")).await;
    let mut two = world.v5("two").await;
    two.subscribe("$share/g/a", 1).await;
    one.send(&[0x40, 3, 0, 1, 0x97]).await;
    one.expect_nothing().await;
    one.disconnect().await;
    two.expect_nothing().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_message_does_not_overtake_a_subscription_that_was_sent_before_it() {
    let world = World::new().await;
    // On the worker's own thread, tasks that are woken in turn run in the reverse order.
    tokio::spawn(async move {
        let (mut subscriber, mut publisher) = (world.v3("subscriber").await, world.v3("publisher").await);
        for round in 0..20 {
            let topic = format!("round/{round}");
            // Neither waits: there is room for both.
            subscriber.send(&subscribe(4, 1, &[(&topic, 0)])).await;
            publisher.send(&publish(4, 0, &topic, 0, "x")).await;
            subscriber.expect(&[0x90, 3, 0, 1, 0]).await;
            subscriber.expect(&publish(4, 0, &topic, 0, "x")).await;
        }
    })
    .await
    .unwrap();
}
