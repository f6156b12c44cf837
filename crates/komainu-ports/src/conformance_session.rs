//! The conformance suite of [`SessionStore`]: every engine passes it.

use std::sync::Arc;

use bytes::Bytes;
use komainu_model::{AccountId, ClientId, Region, Scope, Timestamp};

use crate::{
    QualityOfService, SessionNumber, SessionOperation as Op, SessionSnapshot, SessionState, SessionStore,
    StoredDelivery, StoredMessage, StoredSession, StoredSubscription, StoredWill,
};

/// Runs the whole suite. `open` gives the store of one name; the same name again gives what was written under it,
/// as after a restart, and each name starts empty.
///
/// # Panics
/// When the engine does not keep the contract.
pub fn session_store(open: &dyn Fn(&str) -> Arc<dyn SessionStore>) {
    starts_empty(open);
    keeps_everything_of_a_session(open);
    replaces_and_removes(open);
    releases_and_completes(open);
    removes_a_session_with_what_belongs_to_it(open);
    keeps_retained_messages_by_scope(open);
    ignores_what_does_not_exist(open);
    never_forgets_the_highest_number(open);
}

fn scope(region: &str) -> Scope {
    let account = AccountId::parse("123456789012").expect("twelve digits");
    Scope { account, region: Region::parse(region).expect("a region") }
}

fn head(number: u64, client: &str) -> StoredSession {
    StoredSession {
        number: SessionNumber(number),
        scope: scope("us-east-1"),
        client: ClientId::parse(client).expect("a client id"),
        expiry_s: 3600,
        disconnected_at: None,
        will: None,
    }
}

fn message(topic: &str, payload: &'static [u8]) -> Arc<StoredMessage> {
    Arc::new(StoredMessage {
        topic: topic.into(),
        payload: Bytes::from_static(payload),
        qos: QualityOfService::AtLeastOnce,
        properties: Bytes::from_static(&[0x01, 0x01]),
        expires_at: Some(Timestamp::from_unix_millis(1_700_000_000_123)),
    })
}

fn delivery(sequence: u64, message: Option<Arc<StoredMessage>>) -> StoredDelivery {
    StoredDelivery {
        sequence,
        qos: QualityOfService::ExactlyOnce,
        retain: sequence.is_multiple_of(2),
        subscription_identifiers: vec![7, 268_435_455],
        shared: (sequence == 3).then(|| "$share/g/a/+".into()),
        message,
    }
}

fn subscription(filter: &str, identifier: u32) -> StoredSubscription {
    StoredSubscription {
        filter: filter.into(),
        qos: QualityOfService::AtLeastOnce,
        no_local: true,
        retain_as_published: false,
        identifier,
    }
}

fn commit(store: &dyn SessionStore, operations: &[Op]) {
    store.commit(operations).expect("commit");
}

fn load(store: &dyn SessionStore) -> SessionSnapshot {
    store.load().expect("load")
}

fn starts_empty(open: &dyn Fn(&str) -> Arc<dyn SessionStore>) {
    assert_eq!(load(&*open("empty")), SessionSnapshot::default());
    commit(&*open("empty"), &[]);
    assert_eq!(load(&*open("empty")), SessionSnapshot::default());
}

fn keeps_everything_of_a_session(open: &dyn Fn(&str) -> Arc<dyn SessionStore>) {
    let mut session = head(1, "größe/+#");
    session.expiry_s = u32::MAX;
    session.disconnected_at = Some(Timestamp::from_unix_millis(-5));
    session.will = Some(StoredWill {
        delay_s: 9,
        qos: QualityOfService::ExactlyOnce,
        retain: true,
        message: message("will/t", b""),
        expiry_s: Some(u32::MAX),
    });
    let store = open("everything");
    let number = session.number;
    let plain = Arc::new(StoredMessage {
        topic: "".into(),
        payload: Bytes::from_static(&[0, 255, 128]),
        qos: QualityOfService::AtMostOnce,
        properties: Bytes::new(),
        expires_at: None,
    });
    commit(
        &*store,
        &[
            Op::PutSession(session.clone()),
            Op::PutSubscription { session: number, subscription: subscription("b/#", 0) },
            Op::PutSubscription { session: number, subscription: subscription("$share/g/a/+", 3) },
            Op::Enqueue { session: number, delivery: delivery(3, Some(message("a/b", b"three"))) },
            Op::Enqueue { session: number, delivery: delivery(2, Some(plain.clone())) },
            Op::SentThrough { session: number, sequence: 2 },
            Op::Received { session: number, packet_id: 65_535 },
            Op::Received { session: number, packet_id: 1 },
        ],
    );
    let expected = SessionSnapshot {
        sessions: vec![SessionState {
            session,
            subscriptions: vec![subscription("$share/g/a/+", 3), subscription("b/#", 0)],
            deliveries: vec![delivery(2, Some(plain)), delivery(3, Some(message("a/b", b"three")))],
            sent_through: 2,
            received: vec![1, 65_535],
        }],
        retained: vec![],
        number_max: 1,
    };
    assert_eq!(load(&*store), expected);
    drop(store);
    assert_eq!(load(&*open("everything")), expected, "after a restart");
}

fn replaces_and_removes(open: &dyn Fn(&str) -> Arc<dyn SessionStore>) {
    let store = open("replaces");
    let one = SessionNumber(1);
    commit(
        &*store,
        &[
            Op::PutSession(head(1, "one")),
            Op::PutSubscription { session: one, subscription: subscription("a", 1) },
            Op::PutSubscription { session: one, subscription: subscription("b", 1) },
            Op::Received { session: one, packet_id: 4 },
        ],
    );
    let mut changed = head(1, "one");
    changed.expiry_s = 0;
    commit(
        &*store,
        &[
            Op::PutSession(changed.clone()),
            Op::PutSubscription { session: one, subscription: subscription("a", 2) },
            Op::RemoveSubscription { session: one, filter: "b".into() },
            Op::Released { session: one, packet_id: 4 },
        ],
    );
    let state = load(&*store).sessions.remove(0);
    assert_eq!(state.session, changed);
    assert_eq!(state.subscriptions, [subscription("a", 2)], "writing the head again keeps what belongs to it");
    assert!(state.received.is_empty());
}

fn releases_and_completes(open: &dyn Fn(&str) -> Arc<dyn SessionStore>) {
    let store = open("completes");
    let one = SessionNumber(1);
    let enqueue = |sequence| Op::Enqueue { session: one, delivery: delivery(sequence, Some(message("a", b"x"))) };
    commit(&*store, &[Op::PutSession(head(1, "one")), enqueue(1), enqueue(2), enqueue(3)]);
    commit(&*store, &[Op::Complete { session: one, sequence: 1 }, Op::Release { session: one, sequence: 2 }]);
    // What was enqueued and completed in the same commit is gone as well.
    commit(&*store, &[enqueue(4), Op::Complete { session: one, sequence: 4 }]);
    let state = load(&*store).sessions.remove(0);
    assert_eq!(state.deliveries, [delivery(2, None), delivery(3, Some(message("a", b"x")))]);
    // A release in the same commit as its message keeps the order.
    commit(&*store, &[enqueue(5), Op::Release { session: one, sequence: 5 }]);
    assert_eq!(load(&*store).sessions.remove(0).deliveries[2], delivery(5, None));
}

fn removes_a_session_with_what_belongs_to_it(open: &dyn Fn(&str) -> Arc<dyn SessionStore>) {
    let store = open("removes");
    let (one, two) = (SessionNumber(1), SessionNumber(2));
    for (number, client) in [(one, "one"), (two, "two")] {
        commit(
            &*store,
            &[
                Op::PutSession(head(number.0, client)),
                Op::PutSubscription { session: number, subscription: subscription("a", 0) },
                Op::Enqueue { session: number, delivery: delivery(1, Some(message("a", b"x"))) },
                Op::Received { session: number, packet_id: 1 },
            ],
        );
    }
    commit(&*store, &[Op::RemoveSession(one)]);
    assert_eq!(load(&*store).sessions.iter().map(|state| state.session.number).collect::<Vec<_>>(), [two]);
    // The same client again is another session.
    commit(&*store, &[Op::PutSession(head(3, "one"))]);
    let snapshot = load(&*store);
    let again = snapshot.sessions.iter().find(|state| state.session.number.0 == 3).expect("session 3");
    assert!(again.subscriptions.is_empty() && again.deliveries.is_empty() && again.received.is_empty());
}

fn keeps_retained_messages_by_scope(open: &dyn Fn(&str) -> Arc<dyn SessionStore>) {
    let store = open("retained");
    let (east, west) = (scope("us-east-1"), scope("us-west-2"));
    let retain = |scope: &Scope, topic, payload| Op::Retain { scope: scope.clone(), message: message(topic, payload) };
    commit(&*store, &[retain(&west, "a", b"w"), retain(&east, "b", b"1"), retain(&east, "a", b"1")]);
    commit(&*store, &[retain(&east, "b", b"2"), Op::Unretain { scope: east.clone(), topic: "a".into() }]);
    assert_eq!(load(&*store).retained, [(east, message("b", b"2")), (west, message("a", b"w"))]);
}

fn ignores_what_does_not_exist(open: &dyn Fn(&str) -> Arc<dyn SessionStore>) {
    let store = open("ignores");
    let none = SessionNumber(9);
    commit(
        &*store,
        &[
            Op::RemoveSession(none),
            Op::PutSubscription { session: none, subscription: subscription("a", 0) },
            Op::RemoveSubscription { session: none, filter: "a".into() },
            Op::Enqueue { session: none, delivery: delivery(1, Some(message("a", b"x"))) },
            Op::Release { session: none, sequence: 1 },
            Op::Complete { session: none, sequence: 1 },
            Op::SentThrough { session: none, sequence: 1 },
            Op::Received { session: none, packet_id: 1 },
            Op::Released { session: none, packet_id: 1 },
            Op::Unretain { scope: scope("us-east-1"), topic: "a".into() },
        ],
    );
    assert!(load(&*store).sessions.is_empty());
    // What was written for a session before it existed does not turn up in it.
    commit(&*store, &[Op::PutSession(head(9, "nine"))]);
    let state = load(&*store).sessions.remove(0);
    assert!(state.subscriptions.is_empty() && state.deliveries.is_empty() && state.received.is_empty());
    assert_eq!(state.sent_through, 0);
}

fn never_forgets_the_highest_number(open: &dyn Fn(&str) -> Arc<dyn SessionStore>) {
    let store = open("numbers");
    commit(&*store, &[Op::PutSession(head(41, "a")), Op::RemoveSession(SessionNumber(41))]);
    drop(store);
    assert_eq!(load(&*open("numbers")).number_max, 41);
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::sync::Mutex;

    use super::*;
    use crate::MemorySessionStore;

    #[test]
    fn memory_session_store_conforms() {
        let stores: Mutex<HashMap<String, Arc<MemorySessionStore>>> = Mutex::default();
        session_store(&|name| stores.lock().unwrap().entry(name.to_owned()).or_default().clone());
    }
}
