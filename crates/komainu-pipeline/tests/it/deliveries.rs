//! Messages on their way out of the house.

use komainu_model::DeliveryState;
use komainu_ports::{DeliveryOutcome, Store};

use crate::house::{House, delivery, pass, put};

fn retry() -> DeliveryOutcome {
    DeliveryOutcome::Retry { error: "no route".to_owned() }
}

/// What is due within a day.
fn in_outbox(house: &House) -> Vec<komainu_model::Delivery> {
    let later = house.ports.clock.now().plus(std::time::Duration::from_secs(86_400));
    house.store.deliveries_due(later, 100).unwrap()
}

#[tokio::test(start_paused = true)]
async fn messages_leave_at_once_and_in_order() {
    let house = House::new(&[]).await;
    let now = house.ports.clock.now();
    for number in 0..3 {
        put(&house, delivery(number, "a@example.com", &format!("m{number}"), now));
    }
    pass(10.0).await;
    assert_eq!(house.courier.tried(), ["a@example.com m0", "a@example.com m1", "a@example.com m2"]);
    assert_eq!(in_outbox(&house), []);
}

#[tokio::test(start_paused = true)]
async fn a_receiver_that_cannot_be_reached_does_not_hold_up_others() {
    let house = House::new(&[]).await;
    let now = house.ports.clock.now();
    house.courier.will(retry(), 1);
    put(&house, delivery(1, "a@example.com", "first", now));
    put(&house, delivery(2, "a@example.com", "second", now));
    pass(0.5).await;
    put(&house, delivery(3, "b@example.com", "other", now));
    pass(3.0).await;
    let tried = house.courier.tried();
    assert!(tried.contains(&"b@example.com other".to_owned()), "{tried:?}");
    assert!(!tried.contains(&"a@example.com second".to_owned()), "{tried:?}");
    let waiting = in_outbox(&house);
    assert_eq!((waiting.len(), waiting[0].attempts, waiting[1].attempts), (2, 1, 0));
    assert_eq!(waiting[0].last_error.as_deref(), Some("no route"));
    // After the pause both leave, in their order.
    pass(30.0).await;
    assert_eq!(house.courier.tried(), ["a@example.com first", "a@example.com second"]);
    assert_eq!(in_outbox(&house), []);
}

#[tokio::test(start_paused = true)]
async fn what_fails_for_hours_is_given_up_and_kept() {
    let house = House::new(&[]).await;
    house.courier.will(retry(), 1000);
    put(&house, delivery(1, "a@example.com", "m", house.ports.clock.now()));
    pass(5.0 * 3600.0).await;
    assert!(matches!(in_outbox(&house)[0].state, DeliveryState::Due(_)));
    pass(2.0 * 3600.0).await;
    assert_eq!(in_outbox(&house), []);
    let attempts = house.courier.tried().len();
    assert!((20..100).contains(&attempts), "{attempts} attempts");
    pass(3600.0).await;
    assert_eq!(house.courier.tried().len(), 0);
    let pruned = house.store.prune(house.ports.clock.now()).unwrap();
    assert_eq!(pruned.deliveries, 1, "it was kept for people to see");
}

#[tokio::test(start_paused = true)]
async fn what_is_refused_for_good_is_given_up_at_once() {
    let house = House::new(&[]).await;
    house.courier.will(DeliveryOutcome::Gone { error: "no such mailbox".to_owned() }, 1);
    let now = house.ports.clock.now();
    put(&house, delivery(1, "a@example.com", "first", now));
    put(&house, delivery(2, "a@example.com", "second", now));
    pass(10.0).await;
    assert_eq!(house.courier.tried(), ["a@example.com first", "a@example.com second"]);
    assert_eq!(in_outbox(&house), []);
}

#[tokio::test(start_paused = true)]
async fn messages_wait_for_their_time_and_survive_a_restart() {
    let mut house = House::new(&[]).await;
    let now = house.ports.clock.now();
    let mut later = delivery(1, "a@example.com", "later", now);
    later.state = DeliveryState::Due(now.plus(std::time::Duration::from_secs(100)));
    put(&house, later);
    pass(50.0).await;
    house.pipeline.shutdown().await;
    house.restart().await;
    pass(40.0).await;
    assert_eq!(house.courier.tried(), Vec::<String>::new());
    pass(15.0).await;
    assert_eq!(house.courier.tried(), ["a@example.com later"]);
}

#[tokio::test(start_paused = true)]
async fn a_broken_store_is_waited_for() {
    let house = House::new(&[]).await;
    put(&house, delivery(1, "a@example.com", "m", house.ports.clock.now()));
    house.store.break_medium();
    pass(30.0).await;
    house.store.mend_medium();
    pass(5.0).await;
    assert_eq!(house.courier.tried(), ["a@example.com m"]);
    assert_eq!(in_outbox(&house), []);
}
