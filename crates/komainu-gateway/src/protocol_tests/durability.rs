//! What survives the end of the process: everything that was acknowledged, and nothing that was completed.

use std::sync::Arc;

use komainu_ports::{
    MemorySessionStore, QualityOfService as Qos, SessionOperation, SessionSnapshot, SessionStore, SessionStoreError,
};
use parking_lot::{Condvar, Mutex};

use super::world::*;
use crate::limits::Limits;

/// The state that a broker finds after its predecessor was killed: what had been committed by then, and no word from
/// anybody since.
fn killed(world: &World) -> Arc<dyn SessionStore> {
    let snapshot = world.store.load().unwrap();
    let copy = MemorySessionStore::default();
    let mut operations = Vec::new();
    for state in snapshot.sessions {
        let session = state.session.number;
        operations.push(SessionOperation::PutSession(state.session));
        operations.extend(
            state
                .subscriptions
                .into_iter()
                .map(|subscription| SessionOperation::PutSubscription { session, subscription }),
        );
        operations.extend(state.deliveries.into_iter().map(|delivery| SessionOperation::Enqueue { session, delivery }));
        operations.push(SessionOperation::SentThrough { session, sequence: state.sent_through });
        operations
            .extend(state.received.into_iter().map(|packet_id| SessionOperation::Received { session, packet_id }));
    }
    operations
        .extend(snapshot.retained.into_iter().map(|(scope, message)| SessionOperation::Retain { scope, message }));
    copy.commit(&operations).unwrap();
    Arc::new(copy)
}

async fn restart(world: &World) -> World {
    World::with_store(Limits::default(), killed(world)).await
}

async fn resume(world: &World, connect: &Connect) -> Client {
    let mut client = world.open();
    client.send(&connect.packet()).await;
    let connack = client.packet().await;
    assert_eq!((connack[2], connack[3]), (1, 0), "the session is not there: {connack:02x?}");
    client.version = connect.level;
    client
}

#[tokio::test]
async fn what_was_acknowledged_survives() {
    let world = World::new().await;
    let keep = Connect::v5("s").resume().expiry(600);
    let mut subscriber = world.v5_with(&keep).await;
    let packet = subscribe_with(5, 1, &[0x0b, 7], &[("a/+", 1), ("$share/g/c", 1)]);
    subscriber.call(&packet, &[0x90, 5, 0, 1, 0, 1, 1]).await;
    subscriber.lose().await;
    let mut publisher = world.v5("p").await;
    let properties = [&[0x26][..], &string("k"), &string("v")].concat();
    publisher.call(&publish_with(5, 2, "a/b", 1, &properties, "one"), &ack(0x40, 1)).await;
    publisher.call(&publish(5, 4, "a/b", 2, "two"), &ack(0x50, 2)).await;
    publisher.call(&publish(5, 3, "r", 3, "kept"), &ack(0x40, 3)).await;
    publisher.call(&publish(5, 3, "q", 4, "not kept"), &ack(0x40, 4)).await;
    publisher.call(&publish(5, 3, "q", 5, ""), &ack(0x40, 5)).await;

    let world = restart(&world).await;
    let mut subscriber = resume(&world, &keep).await;
    let with_id = [&[0x0b, 7][..], &properties].concat();
    subscriber.expect(&publish_with(5, 2, "a/b", 1, &with_id, "one")).await;
    subscriber.expect(&publish_with(5, 2, "a/b", 2, &[0x0b, 7], "two")).await;
    // Its subscriptions are back as well.
    world.publish("a/c", "three", Qos::AtLeastOnce).await;
    subscriber.expect(&publish_with(5, 2, "a/c", 3, &[0x0b, 7], "three")).await;
    world.publish("c", "four", Qos::AtLeastOnce).await;
    subscriber.expect(&publish_with(5, 2, "c", 4, &[0x0b, 7], "four")).await;
    let mut other = world.v3("o").await;
    other.subscribe("#", 0).await;
    other.expect(&publish(4, 1, "r", 0, "kept")).await;
    other.expect_nothing().await;
}

#[tokio::test]
async fn what_was_completed_is_gone() {
    let world = World::new().await;
    let keep = Connect::v3("s").resume();
    let mut subscriber = world.open();
    subscriber.call(&keep.packet(), &[0x20, 2, 0, 0]).await;
    subscriber.subscribe("a", 2).await;
    subscriber.subscribe("b", 1).await;
    for (payload, qos) in
        [("1", Qos::AtLeastOnce), ("2", Qos::ExactlyOnce), ("3", Qos::ExactlyOnce), ("4", Qos::AtLeastOnce)]
    {
        world.publish("a", payload, qos).await;
        subscriber.packet().await;
    }
    subscriber.send(&ack(0x40, 1)).await;
    subscriber.call(&ack(0x50, 2), &ack(0x62, 2)).await;
    subscriber.send(&ack(0x70, 2)).await;
    subscriber.call(&ack(0x50, 3), &ack(0x62, 3)).await;
    // UNSUBACK is durable, and with it everything before it.
    subscriber.call(&unsubscribe(4, 9, &["b"]), &[0xb0, 2, 0, 9]).await;

    let world = restart(&world).await;
    let mut subscriber = resume(&world, &keep).await;
    subscriber.expect(&ack(0x62, 3)).await;
    subscriber.expect(&publish(4, 10, "a", 4, "4")).await;
    world.publish("b", "x", Qos::AtLeastOnce).await;
    subscriber.expect_nothing().await;
    // Packet ids go on where they were.
    world.publish("a", "5", Qos::AtLeastOnce).await;
    subscriber.expect(&publish(4, 2, "a", 5, "5")).await;
}

#[tokio::test]
async fn a_received_message_of_qos_2_is_recognised() {
    let world = World::new().await;
    let keep = Connect::v3("p").resume();
    let mut publisher = world.open();
    publisher.call(&keep.packet(), &[0x20, 2, 0, 0]).await;
    publisher.call(&publish(4, 4, "a", 7, "x"), &ack(0x50, 7)).await;
    publisher.call(&publish(4, 4, "a", 8, "y"), &ack(0x50, 8)).await;
    publisher.call(&ack(0x62, 8), &ack(0x70, 8)).await;

    let world = restart(&world).await;
    let mut subscriber = world.v3("s").await;
    subscriber.subscribe("a", 0).await;
    let mut publisher = resume(&world, &keep).await;
    publisher.call(&publish(4, 12, "a", 7, "x"), &ack(0x50, 7)).await;
    subscriber.expect_nothing().await;
    publisher.call(&publish(4, 4, "a", 8, "z"), &ack(0x50, 8)).await;
    subscriber.expect(&publish(4, 0, "a", 0, "z")).await;
}

#[tokio::test]
async fn a_will_survives_the_process() {
    let world = World::new().await;
    let keep = Connect::v5("c").resume().expiry(600).will("will", "gone", 1, true, &[]);
    let mut client = world.v5_with(&keep).await;
    client.subscribe("x", 1).await;

    let world = restart(&world).await;
    // The connection was lost with the process; its will is published and stays.
    let mut watcher = world.v3("w").await;
    watcher.subscribe("will", 0).await;
    let packet = watcher.packet().await;
    assert_eq!(packet[1..], publish(4, 0, "will", 0, "gone")[1..]);
}

#[tokio::test]
async fn an_ended_session_does_not_come_back() {
    let world = World::new().await;
    let keep = Connect::v3("c").resume();
    let mut client = world.open();
    client.call(&keep.packet(), &[0x20, 2, 0, 0]).await;
    client.subscribe("a", 1).await;
    client.disconnect().await;
    // A clean session of the same client ends it.
    world.v3("c").await.disconnect().await;
    let mut barrier = world.open();
    barrier.call(&Connect::v3("barrier").resume().packet(), &[0x20, 2, 0, 0]).await;
    barrier.subscribe("b", 1).await;

    let world = restart(&world).await;
    let mut client = world.open();
    client.call(&keep.packet(), &[0x20, 2, 0, 0]).await;
}

/// A store that commits only while it is open.
#[derive(Default)]
struct Gated {
    inner: MemorySessionStore,
    closed: Mutex<bool>,
    opened: Condvar,
}

impl Gated {
    fn close(&self) {
        *self.closed.lock() = true;
    }

    fn open(&self) {
        *self.closed.lock() = false;
        self.opened.notify_all();
    }
}

impl SessionStore for Gated {
    fn load(&self) -> Result<SessionSnapshot, SessionStoreError> {
        self.inner.load()
    }

    fn commit(&self, operations: &[SessionOperation]) -> Result<(), SessionStoreError> {
        let mut closed = self.closed.lock();
        while *closed {
            self.opened.wait(&mut closed);
        }
        self.inner.commit(operations)
    }
}

#[tokio::test]
async fn acknowledgements_wait_for_the_store_and_only_where_it_matters() {
    let store = Arc::new(Gated::default());
    let world = World::with_store(Limits::default(), store.clone()).await;
    store.close();
    let mut subscriber = world.open();
    subscriber.call(&Connect::v3("s").resume().packet(), &[0x20, 2, 0, 0]).await;
    subscriber.send(&subscribe(4, 1, &[("a", 1)])).await;
    subscriber.expect_nothing().await;
    store.open();
    subscriber.expect(&[0x90, 3, 0, 1, 1]).await;

    store.close();
    let mut publisher = world.v3("p").await;
    // Nobody persistent is concerned: no wait, although the store stands still.
    publisher.call(&publish(4, 2, "b", 1, "x"), &ack(0x40, 1)).await;
    publisher.send(&publish(4, 2, "a", 2, "x")).await;
    publisher.send(&publish(4, 4, "b", 3, "x")).await;
    // The subscriber, which is connected, has it at once; the publisher is told when it is durable.
    subscriber.expect(&publish(4, 2, "a", 1, "x")).await;
    publisher.expect_nothing().await;
    assert!(store.load().unwrap().sessions[0].deliveries.is_empty());
    store.open();
    publisher.expect(&ack(0x40, 2)).await;
    publisher.expect(&ack(0x50, 3)).await;
    assert_eq!(store.load().unwrap().sessions[0].deliveries.len(), 1);
}

#[tokio::test]
async fn retained_messages_and_their_removal_wait_for_the_store() {
    let store = Arc::new(Gated::default());
    let world = World::with_store(Limits::default(), store.clone()).await;
    let mut publisher = world.v3("p").await;
    for (id, payload, kept) in [(1, "x", 1), (2, "", 0)] {
        store.close();
        publisher.send(&publish(4, 3, "a", id, payload)).await;
        publisher.expect_nothing().await;
        store.open();
        publisher.expect(&ack(0x40, id)).await;
        assert_eq!(store.load().unwrap().retained.len(), kept);
    }
}

#[tokio::test]
async fn shutting_down_writes_everything() {
    let world = World::new().await;
    let keep = Connect::v3("s").resume();
    let mut subscriber = world.open();
    subscriber.call(&keep.packet(), &[0x20, 2, 0, 0]).await;
    subscriber.subscribe("a", 1).await;
    world.publish("a", "x", Qos::AtLeastOnce).await;
    subscriber.expect(&publish(4, 2, "a", 1, "x")).await;
    subscriber.send(&ack(0x40, 1)).await;
    subscriber.expect_nothing().await;
    world.broker.shutdown().await;
    let snapshot = world.store.load().unwrap();
    assert!(snapshot.sessions[0].deliveries.is_empty());
    assert!(snapshot.sessions[0].session.disconnected_at.is_some());
}
