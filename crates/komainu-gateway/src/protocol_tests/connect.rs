//! CONNECT, CONNACK, keep-alive, DISCONNECT, and packets that break the protocol.

use std::sync::atomic::Ordering;
use std::time::Duration;

use super::world::*;
use crate::access::Refusal;
use crate::limits::Limits;

/// What one CONNECT gets: nothing but the end of the connection, or this first.
async fn check(bytes: &[u8], expected: Option<&[u8]>) {
    let world = World::new().await;
    let mut client = world.open();
    client.send(bytes).await;
    if let Some(expected) = expected {
        client.expect(expected).await;
    }
    client.expect_closed().await;
}

#[tokio::test]
async fn the_first_packet_is_connect() {
    check(&PINGREQ, None).await;
    check(&publish(4, 0, "a", 0, "x"), None).await;
    check(&[0xf0, 0], None).await;
    // Its flags are reserved.
    let mut connect = Connect::v3("c").packet();
    connect[0] |= 1;
    check(&connect, None).await;
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_does_not_connect_is_closed() {
    let world = World::with_limits(Limits { connect_timeout_ms: 1_000, ..Limits::default() }).await;
    let mut silent = world.open();
    let mut slow = world.open();
    slow.send(&Connect::v3("c").packet()[..9]).await;
    silent.expect_closed().await;
    slow.expect_closed().await;
}

#[tokio::test]
async fn a_second_connect_breaks_the_protocol() {
    let world = World::new().await;
    let mut v3 = world.v3("three").await;
    v3.send(&Connect::v3("three").packet()).await;
    v3.expect_ended(0).await;
    let mut v5 = world.v5("five").await;
    v5.send(&Connect::v5("five").packet()).await;
    v5.expect_ended(0x82).await;
}

#[tokio::test]
async fn protocol_name_and_version() {
    let with = |name: &str, level: u8| {
        let mut body = string(name);
        body.extend([level, 2, 0, 0]);
        body.extend(string("c"));
        packet(0x10, &body)
    };
    check(&with("MQTS", 4), None).await;
    check(&with("", 4), None).await;
    check(&with("MQTT", 3), Some(&[0x20, 2, 0, 1])).await;
    check(&with("MQIsdp", 3), Some(&[0x20, 2, 0, 1])).await;
    check(&with("MQTT", 6), Some(&[0x20, 3, 0, 0x84, 0])).await;
}

#[tokio::test]
async fn connect_flags() {
    let refused_v5 = [0x20, 3, 0, 0x81, 0];
    for (flags, what) in [
        (0b0000_0011, "reserved flag"),
        (0b0000_1010, "will QoS without will"),
        (0b0010_0010, "will retain without will"),
        (0b0001_1110, "will QoS 3"),
        (0b1000_0010, "user name that is not there"),
        (0b0100_0010, "password that is not there"),
        (0b0000_0110, "will that is not there"),
    ] {
        println!("{what}");
        check(&Connect { flags, ..Connect::v3("c") }.packet(), None).await;
        check(&Connect { flags, ..Connect::v5("c") }.packet(), Some(&refused_v5)).await;
    }
    // Bytes after the last field that the flags announce.
    check(&Connect { rest: string("user"), ..Connect::v3("c") }.packet(), None).await;
    check(&Connect { rest: string("user"), ..Connect::v5("c") }.packet(), Some(&refused_v5)).await;
    // A password needs a user name in 3.1.1 only.
    check(&Connect { flags: 0x42, rest: string("secret"), ..Connect::v3("c") }.packet(), None).await;
    let world = World::new().await;
    world.v5_with(&Connect { flags: 0x42, rest: string("secret"), ..Connect::v5("c") }).await;
    let both = [string("user"), string("secret")].concat();
    world.v5_with(&Connect { flags: 0xc2, rest: both, ..Connect::v5("d") }).await;
}

#[tokio::test]
async fn connect_properties() {
    let malformed: &[&[u8]] = &[
        &[0x11, 0, 0, 0, 1, 0x11, 0, 0, 0, 1], // session expiry twice
        &[0x21, 0, 0],                         // receive maximum 0
        &[0x27, 0, 0, 0, 0],                   // maximum packet size 0
        &[0x19, 2],                            // request response information is neither 0 nor 1
        &[0x17, 2],                            // request problem information is neither 0 nor 1
        &[0x16, 0, 1, 7],                      // authentication data without a method
        &[0x23, 0, 1],                         // topic alias belongs to PUBLISH
    ];
    for property in malformed {
        check(&Connect::v5("c").property(property).packet(), Some(&[0x20, 3, 0, 0x82, 0])).await;
    }
    for property in [&[0x7e_u8, 0][..], &[0x11, 0, 0], &[0x26, 0, 1, b'k']] {
        check(&Connect::v5("c").property(property).packet(), Some(&[0x20, 3, 0, 0x81, 0])).await;
    }
    let known = [&[0x19, 1, 0x17, 0][..], &[0x26, 0, 1, b'k', 0, 1, b'v', 0x26, 0, 1, b'k', 0, 1, b'w']].concat();
    World::new().await.v5_with(&Connect::v5("c").property(&known)).await;
}

#[tokio::test]
async fn extended_authentication_is_refused() {
    let method = [&[0x15][..], &string("SCRAM-SHA-1")].concat();
    check(&Connect::v5("c").property(&method).packet(), Some(&[0x20, 3, 0, 0x8c, 0])).await;
    let world = World::new().await;
    let mut client = world.v5("c").await;
    client.send(&[0xf0, 0]).await;
    client.expect_ended(0x82).await;
}

#[tokio::test]
async fn client_ids() {
    let world = World::new().await;
    for id in ["0123456789abcdefghijkABCDEFG", "größe", " ", "\u{feff}bom"] {
        world.v3(id).await.disconnect().await;
    }
    // Malformed: not UTF-8, U+0000, surrogates.
    for id in [&[0xff][..], b"a\0b", &[0xed, 0xa0, 0x80]] {
        let mut body = string("MQTT");
        body.extend([4, 2, 0, 0, 0, id.len() as u8]);
        body.extend(id);
        check(&packet(0x10, &body), None).await;
    }
    let long = "x".repeat(129);
    check(&Connect::v3(&long).packet(), Some(&[0x20, 2, 0, 2])).await;
    check(&Connect::v5(&long).packet(), Some(&[0x20, 3, 0, 0x85, 0])).await;
}

#[tokio::test]
async fn an_empty_client_id_is_assigned() {
    let world = World::new().await;
    world.v3("").await;
    check(&Connect::v3("").resume().packet(), Some(&[0x20, 2, 0, 2])).await;
    let mut ids = Vec::new();
    for _ in 0..2 {
        let mut client = world.open();
        client.send(&Connect::v5("").resume().packet()).await;
        let connack = client.packet().await;
        let at = connack.iter().position(|byte| *byte == 0x12).unwrap();
        ids.push(connack[at + 3..at + 3 + 36].to_vec());
    }
    assert_ne!(ids[0], ids[1]);
}

#[tokio::test]
async fn connack_tells_what_the_server_takes() {
    let limits = Limits {
        receive_max: 7,
        topic_alias_max: 3,
        packet_bytes_max: 0x1_0000,
        session_expiry_s_max: 60,
        keep_alive_s_max: 30,
        ..Limits::default()
    };
    let world = World::with_limits(limits).await;
    let mut client = world.open();
    client.send(&Connect::v5("c").keep_alive(31).expiry(61).packet()).await;
    let properties =
        [&[0x11, 0, 0, 0, 60][..], &[0x21, 0, 7], &[0x27, 0, 1, 0, 0], &[0x22, 0, 3], &[0x13, 0, 30]].concat();
    let expected = [&[0x20, 3 + properties.len() as u8, 0, 0, properties.len() as u8][..], &properties].concat();
    client.expect(&expected).await;
    // What was asked for and is granted is not repeated.
    let mut modest = world.open();
    modest.send(&Connect::v5("d").keep_alive(30).expiry(60).packet()).await;
    modest.expect(&[0x20, 14, 0, 0, 11, 0x21, 0, 7, 0x27, 0, 1, 0, 0, 0x22, 0, 3]).await;
}

#[tokio::test]
async fn refusals_of_the_gatekeeper() {
    let world = World::new().await;
    for (refusal, v5) in [
        (Refusal::NotAuthorized { action: "iot:Connect" }, 0x87),
        (Refusal::NotAuthenticated { reason: "revoked" }, 0x86),
    ] {
        *world.gatekeeper.refusal.lock() = Some(refusal);
        for (connect, expected) in [(Connect::v3("c"), &[0x20, 2, 0, 5][..]), (Connect::v5("c"), &[0x20, 3, 0, v5, 0])]
        {
            let mut client = world.open();
            // What follows a refused CONNECT is not looked at.
            client.send(&[connect.packet(), publish(connect.level, 1, "a", 0, "x")].concat()).await;
            client.expect(expected).await;
            client.expect_closed().await;
        }
    }
    assert_eq!(world.gatekeeper.sent.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn packets_behind_connect_need_not_wait() {
    let world = World::new().await;
    let mut client = world.open();
    let all = [Connect::v3("c").packet(), subscribe(4, 1, &[("a", 0)]), publish(4, 0, "a", 0, "x"), PINGREQ.to_vec()];
    client.send(&all.concat()).await;
    client.expect(&[0x20, 2, 0, 0]).await;
    // The specification orders none of the three before another.
    let mut answers = [client.packet().await, client.packet().await, client.packet().await];
    answers.sort();
    assert_eq!(answers, [publish(4, 0, "a", 0, "x"), vec![0x90, 3, 0, 1, 0], PINGRESP.to_vec()]);
}

#[tokio::test]
async fn packets_in_pieces() {
    let world = World::new().await;
    let mut client = world.open();
    for byte in Connect::v3("c").packet() {
        client.send(&[byte]).await;
        tokio::task::yield_now().await;
    }
    client.expect(&[0x20, 2, 0, 0]).await;
    for byte in publish(4, 2, "a", 9, "hello") {
        client.send(&[byte]).await;
        tokio::task::yield_now().await;
    }
    client.expect(&ack(0x40, 9)).await;
}

#[tokio::test(start_paused = true)]
async fn silence_for_one_and_a_half_keep_alives_ends_the_connection() {
    let world = World::new().await;
    let mut client = world.open();
    client.send(&Connect::v3("c").keep_alive(10).packet()).await;
    client.expect(&[0x20, 2, 0, 0]).await;
    for _ in 0..3 {
        world.advance(Duration::from_millis(14_900)).await;
        client.expect_nothing().await;
    }
    world.advance(Duration::from_millis(15_100)).await;
    client.expect_closed().await;
    let mut five = world.v5_with(&Connect::v5("five").keep_alive(10)).await;
    world.advance(Duration::from_millis(15_100)).await;
    five.expect_ended(0x8d).await;
    assert_eq!(world.told(), ["c MQTT_KEEP_ALIVE_TIMEOUT", "five MQTT_KEEP_ALIVE_TIMEOUT"]);
    // Without a keep-alive nobody has to speak.
    let mut patient = world.v3("patient").await;
    world.advance(Duration::from_secs(1_000_000)).await;
    patient.expect_nothing().await;
}

#[tokio::test(start_paused = true)]
async fn part_of_a_packet_is_no_sign_of_life() {
    let world = World::new().await;
    let mut client = world.open();
    client.send(&Connect::v3("c").keep_alive(10).packet()).await;
    client.expect(&[0x20, 2, 0, 0]).await;
    let packet = publish(4, 0, "a", 0, "hello");
    client.send(&packet[..4]).await;
    world.advance(Duration::from_secs(9)).await;
    client.send(&packet[4..6]).await;
    world.advance(Duration::from_secs(7)).await;
    client.expect_closed().await;
}

#[tokio::test(start_paused = true)]
async fn the_servers_keep_alive_counts() {
    let world = World::with_limits(Limits { keep_alive_s_max: 10, ..Limits::default() }).await;
    let mut client = world.v5_with(&Connect::v5("c").keep_alive(100)).await;
    world.advance(Duration::from_millis(15_100)).await;
    client.expect_ended(0x8d).await;
}

#[tokio::test]
async fn reserved_flags_and_packet_types() {
    let world = World::new().await;
    for (at, bytes) in [
        &[0x00, 0][..],                     // type 0
        &[0xc1, 0],                         // PINGREQ
        &[0x80, 6, 0, 1, 0, 1, b'a', 0],    // SUBSCRIBE
        &[0xa0, 5, 0, 1, 0, 1, b'a'],       // UNSUBSCRIBE
        &[0x60, 2, 0, 1],                   // PUBREL
        &[0x41, 2, 0, 1],                   // PUBACK
        &[0xe1, 0],                         // DISCONNECT
        &[0xc0, 1, 0],                      // PINGREQ with a body
        &[0x30, 0xff, 0xff, 0xff, 0xff, 1], // remaining length of five bytes
    ]
    .iter()
    .enumerate()
    {
        let mut v5 = world.v5(&format!("five{at}")).await;
        v5.send(bytes).await;
        v5.expect_ended(0x81).await;
        let mut v3 = world.v3(&format!("three{at}")).await;
        v3.send(bytes).await;
        v3.expect_ended(0).await;
    }
    assert!(world.told().iter().all(|line| line.ends_with("CLIENT_ERROR")));
}

#[tokio::test]
async fn packets_that_only_a_server_sends() {
    let world = World::new().await;
    for first in [0x20, 0x90, 0xb0, 0xd0] {
        let mut client = world.v5("c").await;
        client.send(&[first, 2, 0, 0]).await;
        client.expect_ended(0x82).await;
    }
}

#[tokio::test]
async fn a_packet_that_is_too_large_ends_the_connection_before_it_is_read() {
    let world = World::with_limits(Limits { packet_bytes_max: 100, ..Limits::default() }).await;
    let mut client = world.v5("c").await;
    client.send(&[0x30, 0xff, 0x7f]).await;
    client.expect_ended(0x95).await;
    let mut fits = world.v5("d").await;
    let whole = publish(5, 0, "a", 0, &"x".repeat(100 - 6));
    assert_eq!(whole.len(), 100);
    fits.send(&whole).await;
    fits.expect_nothing().await;
}

#[tokio::test]
async fn disconnect() {
    let world = World::new().await;
    world.v3("a").await.disconnect().await;
    world.v5("b").await.disconnect().await;
    world.v5("c").await.lose().await;
    let mut rude = world.v5("d").await;
    rude.send(&[0xe0, 1, 0x05]).await;
    rude.expect_ended(0x81).await;
    assert_eq!(
        world.told(),
        ["a CLIENT_INITIATED_DISCONNECT", "b CLIENT_INITIATED_DISCONNECT", "c CONNECTION_LOST", "d CLIENT_ERROR",]
    );
}

#[tokio::test]
async fn nothing_follows_a_disconnect() {
    let world = World::new().await;
    let mut other = world.v3("other").await;
    other.subscribe("a", 0).await;
    let mut client = world.v3("c").await;
    client.send(&[&[0xe0, 0][..], &publish(4, 0, "a", 0, "x")].concat()).await;
    client.expect_closed().await;
    other.expect_nothing().await;
}

#[tokio::test]
async fn session_expiry_cannot_appear_at_the_end() {
    let world = World::new().await;
    let mut client = world.v5("c").await;
    client.send(&[0xe0, 7, 0, 5, 0x11, 0, 0, 0, 1]).await;
    client.expect_ended(0x82).await;
}

#[tokio::test]
async fn a_reason_string_is_left_out_when_it_is_not_wanted() {
    let world = World::new().await;
    let mut client = world.v5_with(&Connect::v5("c").property(&[0x17, 0])).await;
    client.send(&[0x00, 0]).await;
    client.expect(&[0xe0, 1, 0x81]).await;
    client.expect_closed().await;
}

#[tokio::test]
async fn a_farewell_fits_the_client() {
    let world = World::new().await;
    let farewell = async |bytes_max: u8| {
        let mut client = world.v5_with(&Connect::v5("c").property(&[0x27, 0, 0, 0, bytes_max])).await;
        client.send(&publish(5, 6, "a", 1, "")).await;
        client.packet().await
    };
    let whole = farewell(255).await;
    assert!(whole.ends_with(b"QoS 3"), "{whole:02x?}");
    assert_eq!(farewell(whole.len() as u8).await, whole);
    assert_eq!(farewell(whole.len() as u8 - 1).await, [0xe0, 1, 0x81]);
}

#[tokio::test]
async fn a_suback_that_the_client_cannot_take_ends_the_connection() {
    let world = World::new().await;
    let mut client = world.v5_with(&Connect::v5("c").property(&[0x27, 0, 0, 0, 6])).await;
    client.call(&subscribe(5, 1, &[("a", 0)]), &[0x90, 4, 0, 1, 0, 0]).await;
    client.send(&subscribe(5, 1, &[("a", 0), ("b", 0)])).await;
    client.expect_closed().await;
}

#[tokio::test]
async fn shutting_down_says_so() {
    let world = World::new().await;
    let mut v5 = world.v5("five").await;
    let mut v3 = world.v3("three").await;
    let broker = world.broker.clone();
    let down = tokio::spawn(async move { broker.shutdown().await });
    v5.expect_ended(0x8b).await;
    v3.expect_ended(0).await;
    down.await.unwrap();
    let mut late = world.open();
    late.expect_closed().await;
}
