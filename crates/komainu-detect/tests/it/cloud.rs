//! What the gateway measures.

use komainu_detect::Meter;

use crate::world::World;

/// The first window a device is seen in is not seen whole; this is one before those that a test looks at.
fn world_with_a_past(behaviors: &[&str]) -> World {
    let mut world = World::new(behaviors);
    world.meter(10.0, Meter::default()).advance(300.0);
    world
}

#[test]
fn too_many_messages_alarm_at_once_and_clear_when_the_device_is_quiet() {
    let mut world = World::new(&["msgReceive aws:num-messages-received <= 100 300"]);
    for second in 0..50 {
        world.received(301.0 + f64::from(second), 2);
    }
    world.found(&[]);
    world.received(360.0, 1).found(&["360 in-alarm msgReceive Count(101)"]);
    for second in 0..100 {
        world.received(361.0 + f64::from(second), 1);
    }
    world.advance(600.0).found(&["360 still msgReceive Count(201)"]);
    // Still connected, and quiet.
    world.received(700.0, 3).advance(900.0).found(&["900 cleared msgReceive Count(3)"]);
}

#[test]
fn an_alarm_clears_although_the_device_is_gone() {
    let mut world = World::new(&["b aws:num-authorization-failures < 3 300 c2"]);
    world.meter(301.0, Meter { authorization_failures: 5, ..Meter::default() });
    world.found(&["301 in-alarm b Count(5)"]);
    world.advance(600.0).found(&[]);
    world.advance(1_199.0).found(&[]);
    world.advance(1_200.0).found(&["1200 cleared b Count(0)"]);
    world.advance(9_000.0).found(&[]);
}

#[test]
fn silence_is_judged_while_the_device_is_connected() {
    // AWS's own example: `greater-than 10` with the value 0 is in alarm.
    let mut world = world_with_a_past(&["b aws:num-messages-sent > 10 300"]);
    world.meter(301.0, Meter::default()).advance(600.0).found(&["600 in-alarm b Count(0)"]);
    // Gone: no data. After two days of it the alarm ends.
    world.advance(100_000.0).found(&[]);
    world.advance(600.0 + 2.0 * 86_400.0).found(&["173400 invalidated b Count(0)"]);
}

#[test]
fn a_window_that_was_not_seen_whole_says_nothing_about_a_lower_bound() {
    let mut world = World::new(&["b aws:num-messages-sent > 10 300"]);
    world.meter(599.0, Meter::default()).advance(600.0).found(&[]);
    world.meter(601.0, Meter::default()).advance(900.0).found(&["900 in-alarm b Count(0)"]);
}

#[test]
fn each_counter_is_its_own() {
    fn check(metric: &str, meter: Meter<'_>) {
        let mut world = World::new(&[&format!("b aws:{metric} < 1 300")]);
        world.meter(301.0, Meter { message_bytes: Some((1, 1)), ..Meter::default() }).found(&[]);
        world.meter(302.0, meter).found(&["302 in-alarm b Count(1)"]);
    }
    check("num-messages-sent", Meter { messages_sent: 1, ..Meter::default() });
    check("num-messages-received", Meter { messages_received: 1, ..Meter::default() });
    check("num-authorization-failures", Meter { authorization_failures: 1, ..Meter::default() });
    check("num-connection-attempts", Meter { connection_attempts: 1, ..Meter::default() });
    check("num-disconnects", Meter { disconnects: 1, ..Meter::default() });
}

#[test]
fn every_message_has_to_have_a_normal_size() {
    let mut world = World::new(&["small aws:message-byte-size < 1000", "large aws:message-byte-size >= 10 a2"]);
    let sizes = |smallest, largest| Meter { message_bytes: Some((smallest, largest)), ..Meter::default() };
    world.meter(1.0, sizes(10, 999)).found(&[]);
    world.meter(2.0, Meter::default()).found(&[]);
    world.meter(3.0, sizes(9, 1000)).found(&["3 in-alarm small Count(1000)"]);
    world.meter(4.0, sizes(8, 20)).found(&["4 cleared small Count(20)", "4 in-alarm large Count(8)"]);
    world.meter(5.0, Meter::default()).advance(290.0).found(&[]);
}

#[test]
fn source_addresses_are_judged_when_they_are_new() {
    let mut world = World::new(&["b aws:source-ip-address in-cidrs 10.0.0.0/8 c1"]);
    world.connected_from(301.0, &["10.0.0.1"]).found(&[]);
    let found = r#"302 in-alarm b Addresses([10.0.0.1, 198.51.100.7])"#;
    world.connected_from(302.0, &["10.0.0.1", "198.51.100.7"]).found(&[found]);
    world.connected_from(303.0, &["10.0.0.1"]).found(&[]);
    // The next window begins anew.
    world.connected_from(601.0, &["::ffff:10.0.0.1"]).found(&["601 cleared b Addresses([10.0.0.1])"]);
    assert_eq!(world.kept(), ["aws:source-ip-address=Addresses([10.0.0.1, 198.51.100.7])@600"]);
}

#[test]
fn values_are_kept_for_each_closed_window() {
    let mut world = World::new(&["b aws:num-messages-sent < 1000 60", "c aws:num-messages-sent < 1000 3600"])
        .retain("aws:num-disconnects")
        .retain("aws:message-byte-size");
    world.meter(301.0, Meter { messages_sent: 2, message_bytes: Some((5, 70)), ..Meter::default() });
    world.meter(330.0, Meter { messages_sent: 3, disconnects: 1, message_bytes: Some((5, 60)), ..Meter::default() });
    world.meter(361.0, Meter { messages_sent: 4, ..Meter::default() });
    world.advance(3_600.0);
    assert_eq!(
        world.kept(),
        [
            "aws:num-messages-sent=Count(5)@360",
            "aws:num-messages-sent=Count(4)@420",
            "aws:message-byte-size=Count(70)@600",
            "aws:num-disconnects=Count(1)@600",
        ]
    );
}
