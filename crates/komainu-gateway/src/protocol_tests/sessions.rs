//! Sessions that outlive their connection, take-over, wills.

use std::time::Duration;

use komainu_model::ClientId;
use komainu_ports::QualityOfService as Qos;

use super::world::*;
use crate::limits::Limits;

/// Connects and says whether the session was there.
async fn resume(world: &World, connect: &Connect) -> (Client, bool) {
    let mut client = world.open();
    client.send(&connect.packet()).await;
    let connack = client.packet().await;
    assert_eq!((connack[0], connack[3]), (0x20, 0), "{connack:02x?}");
    client.version = connect.level;
    (client, connack[2] == 1)
}

async fn is_present(world: &World, connect: &Connect) -> bool {
    let (client, present) = resume(world, connect).await;
    client.disconnect().await;
    present
}

#[tokio::test]
async fn clean_sessions_end_with_their_connection() {
    let world = World::new().await;
    let (mut client, present) = resume(&world, &Connect::v3("c")).await;
    assert!(!present);
    client.subscribe("a", 1).await;
    client.disconnect().await;
    let (mut client, present) = resume(&world, &Connect::v3("c").resume()).await;
    assert!(!present);
    world.publish("a", "x", Qos::AtLeastOnce).await;
    client.expect_nothing().await;
}

#[tokio::test]
async fn clean_start_discards_the_session() {
    let world = World::new().await;
    for (keep, clean) in [
        (Connect::v3("c").resume(), Connect::v3("c")),
        (Connect::v5("c").resume().expiry(600), Connect::v5("c").expiry(600)),
    ] {
        let (mut client, _) = resume(&world, &keep).await;
        client.subscribe("a", 1).await;
        client.disconnect().await;
        world.publish("a", "x", Qos::AtLeastOnce).await;
        let (mut client, present) = resume(&world, &clean).await;
        assert!(!present);
        client.expect_nothing().await;
        client.disconnect().await;
        world.v3("c").await.disconnect().await;
    }
}

#[tokio::test]
async fn a_session_is_resumed_with_what_waited() {
    let world = World::new().await;
    for keep in [Connect::v3("c").resume(), Connect::v5("c").resume().expiry(600)] {
        let (mut client, present) = resume(&world, &keep).await;
        assert!(!present);
        client.subscribe("a", 2).await;
        client.lose().await;
        for (payload, qos) in [("0", Qos::AtMostOnce), ("1", Qos::AtLeastOnce), ("2", Qos::ExactlyOnce)] {
            world.publish("a", payload, qos).await;
        }
        let (mut client, present) = resume(&world, &keep).await;
        assert!(present);
        let version = keep.level;
        client.expect(&publish(version, 2, "a", 1, "1")).await;
        client.expect(&publish(version, 4, "a", 2, "2")).await;
        client.expect_nothing().await;
        client.disconnect().await;
        world.v3("c").await.disconnect().await;
    }
}

#[tokio::test]
async fn what_was_not_acknowledged_is_sent_again() {
    let world = World::new().await;
    let keep = Connect::v3("c").resume();
    let (mut client, _) = resume(&world, &keep).await;
    client.subscribe("a", 2).await;
    for payload in ["1", "2", "3", "4"] {
        world.publish("a", payload, if payload == "1" { Qos::AtLeastOnce } else { Qos::ExactlyOnce }).await;
        client.packet().await;
    }
    client.call(&ack(0x50, 3), &ack(0x62, 3)).await;
    // Not without a new connection. [MQTT-4.4.0-1]
    client.expect_nothing().await;
    client.lose().await;
    world.publish("a", "5", Qos::AtLeastOnce).await;
    let (mut client, _) = resume(&world, &keep).await;
    client.expect(&ack(0x62, 3)).await;
    client.expect(&publish(4, 10, "a", 1, "1")).await;
    client.expect(&publish(4, 12, "a", 2, "2")).await;
    client.expect(&publish(4, 12, "a", 4, "4")).await;
    client.expect(&publish(4, 2, "a", 5, "5")).await;
    client.call(&ack(0x50, 4), &ack(0x62, 4)).await;
    for done in [ack(0x40, 1), ack(0x70, 3), ack(0x70, 4), ack(0x40, 5)] {
        client.send(&done).await;
    }
    client.expect_nothing().await;
    client.lose().await;
    let (mut client, _) = resume(&world, &keep).await;
    client.expect(&publish(4, 12, "a", 2, "2")).await;
    client.expect_nothing().await;
}

#[tokio::test]
async fn a_message_of_qos_2_is_recognised_after_a_resume() {
    let world = World::new().await;
    let mut subscriber = world.v3("s").await;
    subscriber.subscribe("a", 0).await;
    let keep = Connect::v3("c").resume();
    let (mut client, _) = resume(&world, &keep).await;
    client.call(&publish(4, 4, "a", 9, "x"), &ack(0x50, 9)).await;
    client.lose().await;
    subscriber.expect(&publish(4, 0, "a", 0, "x")).await;
    let (mut client, _) = resume(&world, &keep).await;
    client.call(&publish(4, 12, "a", 9, "x"), &ack(0x50, 9)).await;
    client.call(&ack(0x62, 9), &ack(0x70, 9)).await;
    subscriber.expect_nothing().await;
}

#[tokio::test(start_paused = true)]
async fn a_session_expires() {
    let world = World::with_limits(Limits { session_expiry_s_default: 100, ..Limits::default() }).await;
    let five = Connect::v5("five").resume().expiry(10);
    let three = Connect::v3("three").resume();
    for (connect, seconds) in [(five, 10), (three, 100)] {
        assert!(!is_present(&world, &connect).await);
        world.advance(Duration::from_secs(seconds - 1)).await;
        assert!(is_present(&world, &connect).await);
        world.advance(Duration::from_secs(seconds + 1)).await;
        tokio::time::sleep(Duration::from_millis(1)).await;
        assert!(!is_present(&world, &connect).await);
    }
}

#[tokio::test(start_paused = true)]
async fn session_expiry_is_for_ever_only_if_the_server_says_so() {
    let world = World::with_limits(Limits { session_expiry_s_max: u32::MAX, ..Limits::default() }).await;
    let connect = Connect::v5("c").resume().expiry(u32::MAX);
    assert!(!is_present(&world, &connect).await);
    world.advance(Duration::from_secs(40 * 365 * 24 * 3600)).await;
    tokio::time::sleep(Duration::from_millis(1)).await;
    assert!(is_present(&world, &connect).await);
}

#[tokio::test]
async fn the_last_word_on_session_expiry_is_in_disconnect() {
    let world = World::new().await;
    let connect = Connect::v5("c").resume().expiry(600);
    let (mut client, _) = resume(&world, &connect).await;
    client.send(&[0xe0, 7, 0, 5, 0x11, 0, 0, 0, 0]).await;
    client.expect_closed().await;
    assert!(!is_present(&world, &connect).await);
}

#[tokio::test]
async fn the_newcomer_takes_the_session_over() {
    let world = World::new().await;
    let keep = Connect::v5("c").resume().expiry(600);
    let (mut old, _) = resume(&world, &keep).await;
    old.subscribe("a", 1).await;
    world.publish("a", "x", Qos::AtLeastOnce).await;
    old.expect(&publish(5, 2, "a", 1, "x")).await;
    let (mut new, present) = resume(&world, &keep).await;
    assert!(present);
    new.expect(&publish(5, 10, "a", 1, "x")).await;
    old.expect_ended(0x8e).await;
    let (mut newest, present) = resume(&world, &Connect::v3("c")).await;
    assert!(!present);
    new.expect_ended(0x8e).await;
    newest.expect_nothing().await;
    assert_eq!(world.told(), ["c DUPLICATE_CLIENTID", "c DUPLICATE_CLIENTID"]);
}

#[tokio::test]
async fn many_newcomers_with_one_client_id() {
    let world = World::new().await;
    let mut all = Vec::new();
    for _ in 0..20 {
        let mut client = world.open();
        client.send(&Connect::v3("c").packet()).await;
        all.push(client);
    }
    let mut alive = 0;
    for mut client in all {
        // One answer, then either the connection is open or it is not.
        if client.packet().await == [0x20, 2, 0, 0] {
            let _ = tokio::io::AsyncWriteExt::write_all(&mut client.stream, &PINGREQ).await;
            let mut answer = [0; 2];
            alive += usize::from(tokio::io::AsyncReadExt::read_exact(&mut client.stream, &mut answer).await.is_ok());
        }
    }
    assert_eq!(alive, 1);
}

#[tokio::test]
async fn a_client_that_does_not_listen_cannot_hold_its_session() {
    let world = World::new().await;
    let mut deaf = world.v3("c").await;
    deaf.subscribe("a", 0).await;
    // More than the pipe holds: the broker waits for the client to read.
    for _ in 0..3 {
        world.publish("a", &"x".repeat(100_000), Qos::AtMostOnce).await;
    }
    tokio::task::yield_now().await;
    world.v3("c").await.expect_nothing().await;
}

#[tokio::test(start_paused = true)]
async fn a_will_is_published_unless_the_client_says_goodbye() {
    let world = World::new().await;
    let mut watcher = world.v3("w").await;
    watcher.subscribe("will", 2).await;
    let with_will = |level: u8, qos, retain| {
        let connect = if level == 5 { Connect::v5("c") } else { Connect::v3("c") };
        connect.keep_alive(10).will("will", "gone", qos, retain, &[])
    };
    let mut id = 0;
    for level in [4, 5] {
        // Lost.
        for qos in 0..=2 {
            resume(&world, &with_will(level, qos, false)).await.0.lose().await;
            id += u16::from(qos > 0);
            watcher.expect(&publish(4, qos << 1, "will", id, "gone")).await;
        }
        // Silent for too long.
        let (mut silent, _) = resume(&world, &with_will(level, 0, false)).await;
        world.advance(Duration::from_secs(16)).await;
        silent.expect_ended(0x8d).await;
        watcher.expect(&publish(4, 0, "will", 0, "gone")).await;
        // A broken protocol.
        let (mut rude, _) = resume(&world, &with_will(level, 0, false)).await;
        rude.send(&[0, 0]).await;
        rude.expect_ended(0x81).await;
        watcher.expect(&publish(4, 0, "will", 0, "gone")).await;
        // Goodbye.
        resume(&world, &with_will(level, 0, false)).await.0.disconnect().await;
        watcher.expect_nothing().await;
    }
    // Goodbye, with will.
    let (mut client, _) = resume(&world, &with_will(5, 0, false)).await;
    client.send(&[0xe0, 1, 4]).await;
    client.expect_closed().await;
    watcher.expect(&publish(4, 0, "will", 0, "gone")).await;
}

#[tokio::test]
async fn a_will_is_retained_if_it_says_so() {
    let world = World::new().await;
    for (retain, expected) in [(false, 0), (true, 1)] {
        let mut watcher = world.v3("w").await;
        watcher.subscribe("will", 0).await;
        let connect = Connect::v3("c").will("will", "gone", 0, retain, &[]);
        resume(&world, &connect).await.0.lose().await;
        watcher.expect(&publish(4, 0, "will", 0, "gone")).await;
        let mut late = world.v3("late").await;
        late.subscribe("will", 0).await;
        if expected == 1 {
            late.expect(&publish(4, 1, "will", 0, "gone")).await;
        }
        late.expect_nothing().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_delayed_will() {
    let world = World::new().await;
    let mut watcher = world.v5("w").await;
    watcher.subscribe("will", 0).await;
    let connect = |expiry_s| {
        let properties = [&[0x18, 0, 0, 0, 20][..], &[0x01, 1], &[0x02, 0, 0, 0, 7]].concat();
        Connect::v5("c").resume().expiry(expiry_s).will("will", "gone", 0, false, &properties)
    };
    let expected = publish_with(5, 0, "will", 0, &[0x02, 0, 0, 0, 7, 0x01, 1], "gone");
    // Back in time: no will.
    resume(&world, &connect(600)).await.0.lose().await;
    world.advance(Duration::from_secs(19)).await;
    let (client, present) = resume(&world, &connect(600)).await;
    assert!(present);
    world.advance(Duration::from_secs(30)).await;
    watcher.expect_nothing().await;
    // Not back in time.
    client.lose().await;
    world.advance(Duration::from_secs(19)).await;
    watcher.expect_nothing().await;
    world.advance(Duration::from_secs(2)).await;
    watcher.expect(&expected).await;
    // The session ends before the delay.
    resume(&world, &connect(5)).await.0.lose().await;
    world.advance(Duration::from_secs(6)).await;
    watcher.expect(&expected).await;
    // A clean start ends the session at once.
    resume(&world, &connect(600)).await.0.lose().await;
    watcher.expect_nothing().await;
    world.v5("c").await;
    watcher.expect(&expected).await;
    watcher.expect_nothing().await;
}

#[tokio::test]
async fn wills_that_cannot_be() {
    let world = World::with_limits(Limits { payload_bytes_max: 3, ..Limits::default() }).await;
    for (topic, payload, reason) in
        [("a/+", "x", 0x90), ("", "x", 0x90), ("$aws/events/x", "x", 0x90), ("a", "long", 0x95)]
    {
        let mut client = world.open();
        client.send(&Connect::v5("c").will(topic, payload, 0, false, &[]).packet()).await;
        client.expect(&[0x20, 3, 0, reason, 0]).await;
        client.expect_closed().await;
        let mut client = world.open();
        client.send(&Connect::v3("c").will(topic, payload, 0, false, &[]).packet()).await;
        client.expect_closed().await;
    }
}

#[tokio::test]
async fn as_many_persistent_sessions_as_there_may_be() {
    let world = World::with_limits(Limits { sessions_max: 1, ..Limits::default() }).await;
    let one = Connect::v3("one").resume();
    assert!(!is_present(&world, &one).await);
    for (connect, refusal) in
        [(Connect::v3("two").resume(), &[0x20, 2, 0, 3][..]), (Connect::v5("two").expiry(1), &[0x20, 3, 0, 0x97, 0])]
    {
        let mut client = world.open();
        client.send(&connect.packet()).await;
        client.expect(refusal).await;
        client.expect_closed().await;
    }
    world.v3("two").await;
    assert!(is_present(&world, &one).await);
    // A session that ended makes room.
    world.v3("one").await;
    assert!(!is_present(&world, &Connect::v3("three").resume()).await);
}

#[tokio::test]
async fn scopes_do_not_meet() {
    let world = World::new().await;
    let elsewhere = std::sync::Arc::new(TestGatekeeper { other_scope: true, ..TestGatekeeper::default() });
    let mut there = world.open_as(elsewhere.clone());
    there.call(&Connect::v3("c").packet(), &[0x20, 2, 0, 0]).await;
    there.subscribe("#", 1).await;
    // The same client id is another client.
    let mut here = world.v3("c").await;
    here.call(&publish(4, 3, "a", 1, "x"), &ack(0x40, 1)).await;
    there.expect_nothing().await;
    let mut late = world.open_as(elsewhere);
    late.call(&Connect::v3("late").packet(), &[0x20, 2, 0, 0]).await;
    late.subscribe("#", 1).await;
    late.expect_nothing().await;
    assert!(world.broker.kick(
        &scope(),
        &ClientId::parse("c").unwrap(),
        komainu_model::DisconnectReason::ApiInitiatedDisconnect
    ));
    here.expect_closed().await;
    there.expect_nothing().await;
}
