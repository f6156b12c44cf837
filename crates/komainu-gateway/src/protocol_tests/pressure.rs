//! Queues that are full: who waits, who is disconnected, what is refused and said.

use std::sync::atomic::Ordering;
use std::time::Duration;

use komainu_ports::QualityOfService as Qos;

use super::world::*;
use crate::limits::Limits;

/// Payloads that fill the pipe of a client that does not read after a few of them.
const LARGE: usize = 40_000;

fn tight() -> Limits {
    Limits { queue_messages_max: 4, stall_ms: 2_000, ..Limits::default() }
}

#[tokio::test(start_paused = true)]
async fn a_publisher_waits_for_a_full_queue_and_goes_on() {
    let world = World::with_limits(tight()).await;
    let mut subscriber = world.v3("s").await;
    subscriber.subscribe("a", 1).await;
    let mut publisher = world.v3("p").await;
    let payload = "x".repeat(LARGE);
    let mut acknowledged = 0;
    for id in 1..=20 {
        publisher.send(&publish(4, 2, "b", id, "")).await;
        publisher.expect(&ack(0x40, id)).await;
        publisher.send(&publish(4, 2, "a", 100 + id, &payload)).await;
        // Once the queue is full there is no answer until the subscriber reads.
        let answer = tokio::time::timeout(Duration::from_millis(500), publisher.packet()).await;
        if answer.is_err() {
            break;
        }
        acknowledged += 1;
    }
    assert!((4..12).contains(&acknowledged), "{acknowledged}");
    for id in 1..=acknowledged + 1 {
        assert_eq!(subscriber.packet().await.len(), 9 + LARGE, "{id}");
        subscriber.send(&ack(0x40, id)).await;
    }
    publisher.expect(&ack(0x40, 100 + acknowledged + 1)).await;
    assert_eq!(world.told(), Vec::<String>::new(), "nobody was disconnected");
}

#[tokio::test(start_paused = true)]
async fn a_client_that_floods_is_slowed_down_and_loses_nothing() {
    let limits = Limits { publishes_per_s_max: 10, publishes_burst_max: 5, ..Limits::default() };
    let world = World::with_limits(limits).await;
    let mut flooding = world.v3("flooding").await;
    let mut other = world.v3("other").await;
    let began = tokio::time::Instant::now();
    for id in 1..=25 {
        flooding.call(&publish(4, 2, "a", id, "x"), &ack(0x40, id)).await;
        other.call(&PINGREQ, &PINGRESP).await;
    }
    let waited = began.elapsed();
    // Five at once, then ten a second.
    assert!((Duration::from_millis(1_800)..Duration::from_millis(2_200)).contains(&waited), "{waited:?}");
    assert_eq!(world.told(), Vec::<String>::new(), "nobody was disconnected");
}

#[tokio::test(start_paused = true)]
async fn a_subscriber_that_stalls_is_disconnected_and_its_publishers_go_on() {
    let world = World::with_limits(tight()).await;
    let mut stalled = world.v5("stalled").await;
    stalled.subscribe("a", 1).await;
    let mut other = world.v3("other").await;
    other.subscribe("b", 0).await;
    let mut publisher = world.v3("p").await;
    let payload = "x".repeat(LARGE);
    let began = tokio::time::Instant::now();
    for id in 1..=12 {
        publisher.call(&publish(4, 2, "a", id, &payload), &ack(0x40, id)).await;
    }
    let waited = began.elapsed();
    assert!((Duration::from_millis(2_000)..Duration::from_millis(4_000)).contains(&waited), "{waited:?}");
    publisher.send(&publish(4, 0, "b", 0, "x")).await;
    other.expect(&publish(4, 0, "b", 0, "x")).await;
    assert_eq!(world.told(), ["stalled THROTTLED"]);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_does_not_acknowledge_stalls_as_well() {
    let world = World::with_limits(tight()).await;
    let mut lazy = world.v5_with(&Connect::v5("lazy").property(&[0x21, 0, 1])).await;
    lazy.subscribe("a", 1).await;
    let mut publisher = world.v3("p").await;
    for id in 1..=10 {
        publisher.call(&publish(4, 2, "a", id, "x"), &ack(0x40, id)).await;
    }
    lazy.expect(&publish(5, 2, "a", 1, "x")).await;
    lazy.expect_ended(0x97).await;
}

#[tokio::test(start_paused = true)]
async fn who_does_not_publish_there_is_not_held_up() {
    let world = World::with_limits(tight()).await;
    let mut stalled = world.v3("stalled").await;
    stalled.subscribe("a", 0).await;
    let mut flooder = world.v3("flooder").await;
    let payload = "x".repeat(LARGE);
    let flood = tokio::spawn(async move {
        for _ in 0..12 {
            flooder.send(&publish(4, 0, "a", 0, &payload)).await;
        }
        flooder
    });
    let mut other = world.v3("other").await;
    let began = tokio::time::Instant::now();
    for id in 1..=5 {
        other.call(&publish(4, 2, "b", id, "x"), &ack(0x40, id)).await;
    }
    assert!(began.elapsed() < Duration::from_millis(100), "{:?}", began.elapsed());
    flood.await.unwrap().expect_nothing().await;
}

#[tokio::test(start_paused = true)]
async fn a_publisher_that_waits_still_gets_its_messages() {
    let world = World::with_limits(tight()).await;
    let mut stalled = world.v3("stalled").await;
    stalled.subscribe("a", 0).await;
    let mut publisher = world.v3("p").await;
    publisher.subscribe("mine", 0).await;
    let payload = "x".repeat(LARGE);
    for _ in 0..9 {
        publisher.send(&publish(4, 0, "a", 0, &payload)).await;
    }
    world.publish("mine", "hello", Qos::AtMostOnce).await;
    let began = tokio::time::Instant::now();
    publisher.expect(&publish(4, 0, "mine", 0, "hello")).await;
    assert!(began.elapsed() < Duration::from_millis(100), "{:?}", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn two_clients_that_flood_each_other_do_not_deadlock() {
    let world = World::with_limits(tight()).await;
    let mut clients = Vec::new();
    for (me, you) in [("one", "two"), ("two", "one")] {
        let mut client = world.v3(me).await;
        client.subscribe(me, 1).await;
        clients.push((client, you));
    }
    let mut tasks = Vec::new();
    for (client, you) in clients {
        let (mut read, mut write) = tokio::io::split(client.stream);
        let bytes: Vec<u8> = (1..=200).flat_map(|id| publish(4, 2, you, id, "x")).collect();
        tasks.push(tokio::spawn(async move {
            tokio::io::AsyncWriteExt::write_all(&mut write, &bytes).await.unwrap();
            write
        }));
        tasks.push(tokio::spawn(async move {
            // 200 acknowledgements and, without acknowledging, at least as many messages as the window holds.
            let mut all = vec![0; 200 * 4];
            tokio::io::AsyncReadExt::read_exact(&mut read, &mut all).await.unwrap();
            unreachable_write(read)
        }));
    }
    for task in tasks {
        tokio::time::timeout(Duration::from_secs(60), task).await.expect("no deadlock").unwrap();
    }
}

/// Keeps the reading half alive until the test is over.
fn unreachable_write(
    read: tokio::io::ReadHalf<tokio::io::DuplexStream>,
) -> tokio::io::WriteHalf<tokio::io::DuplexStream> {
    let (_, write) = tokio::io::split(tokio::io::duplex(1).0);
    std::mem::forget(read);
    write
}

#[tokio::test]
async fn a_full_queue_of_a_disconnected_session_refuses() {
    let world = World::with_limits(Limits { offline_messages_max: 2, ..Limits::default() }).await;
    let keep = Connect::v5("s").resume().expiry(600);
    let mut subscriber = world.v5_with(&keep).await;
    subscriber.subscribe("a", 1).await;
    subscriber.lose().await;
    let mut v5 = world.v5("p").await;
    v5.call(&publish(5, 2, "a", 1, "1"), &ack(0x40, 1)).await;
    v5.call(&publish(5, 4, "a", 2, "2"), &ack(0x50, 2)).await;
    v5.call(&publish(5, 2, "a", 3, "3"), &[0x40, 3, 0, 3, 0x97]).await;
    v5.call(&publish(5, 4, "a", 4, "4"), &[0x50, 3, 0, 4, 0x97]).await;
    assert_eq!(world.broker.context.refused.load(Ordering::SeqCst), 2);
    // Somebody else takes it: then it is delivered, and the refusal is counted.
    let mut other = world.v3("other").await;
    other.subscribe("a", 1).await;
    v5.call(&publish(5, 2, "a", 5, "5"), &ack(0x40, 5)).await;
    other.expect(&publish(4, 2, "a", 1, "5")).await;
    assert_eq!(world.broker.context.refused.load(Ordering::SeqCst), 3);
    // 3.1.1 has no way to refuse.
    other.call(&unsubscribe(4, 1, &["a"]), &[0xb0, 2, 0, 1]).await;
    other.call(&publish(4, 2, "a", 6, "6"), &ack(0x40, 6)).await;
    let mut subscriber = world.v5_with(&keep).await;
    subscriber.expect(&publish(5, 2, "a", 1, "1")).await;
    subscriber.expect(&publish(5, 2, "a", 2, "2")).await;
    subscriber.expect_nothing().await;
}

#[tokio::test]
async fn the_bytes_of_all_disconnected_sessions_are_bounded() {
    let world = World::with_limits(Limits { offline_total_bytes_max: 3_000, ..Limits::default() }).await;
    for id in ["one", "two"] {
        let mut client = world.v5_with(&Connect::v5(id).resume().expiry(600)).await;
        client.subscribe(id, 1).await;
        client.lose().await;
    }
    let mut publisher = world.v5("p").await;
    let payload = "x".repeat(1_000);
    publisher.call(&publish(5, 2, "one", 1, &payload), &ack(0x40, 1)).await;
    publisher.call(&publish(5, 2, "two", 2, &payload), &ack(0x40, 2)).await;
    publisher.call(&publish(5, 2, "two", 3, &payload), &[0x40, 3, 0, 3, 0x97]).await;
    // A session that is gone gives its share back.
    world.v5("one").await;
    publisher.call(&publish(5, 2, "two", 4, &payload), &ack(0x40, 4)).await;
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_takes_nothing_is_lost() {
    let world = World::with_limits(Limits { write_timeout_ms: 30_000, ..Limits::default() }).await;
    let mut deaf = world.v3("deaf").await;
    deaf.subscribe("a", 0).await;
    for _ in 0..3 {
        world.publish("a", &"x".repeat(LARGE), Qos::AtMostOnce).await;
    }
    tokio::time::sleep(Duration::from_secs(29)).await;
    assert_eq!(world.told(), Vec::<String>::new());
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(world.told(), ["deaf CONNECTION_LOST"]);
}
