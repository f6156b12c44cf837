use komainu_model::{DeliveryState, NotificationKind, Timestamp};
use komainu_respond::{BatchEntry, PublishRequest, RespondRules};

use crate::{World, say};

fn world() -> (World, komainu_model::Arn) {
    let mut world = World::with(RespondRules { mails_per_hour_max: 3, ..RespondRules::default() });
    let topic = world.create("alarms");
    world.subscribed(&topic, "email", "ops@example.com", &[]);
    // The confirmation was a mail, too.
    world.pass(3600);
    (world, topic)
}

fn publish(world: &mut World, topic: &komainu_model::Arn, subject: &str) {
    let request = PublishRequest { subject: Some(subject.to_owned()), ..say("text") };
    world.publish(topic, request).unwrap();
}

/// Subject, text and due time of every message in the outbox.
fn outbox(world: &World) -> Vec<(String, String, Timestamp)> {
    let mut messages: Vec<(String, String, Timestamp)> = Vec::new();
    for delivery in world.outbox.values() {
        let NotificationKind::Message { subject, message, .. } = &delivery.notification.kind else { continue };
        let DeliveryState::Due(due) = delivery.state else { panic!("it is due") };
        messages.push((subject.clone().unwrap(), message.clone(), due));
    }
    messages.sort();
    messages
}

#[test]
fn what_is_too_much_is_told_in_one_mail_at_the_end_of_the_hour() {
    let (mut world, topic) = world();
    let start = world.now;
    for n in 1..=5 {
        publish(&mut world, &topic, &format!("alarm {n}"));
        world.pass(60);
    }
    let messages = outbox(&world);
    let subjects: Vec<&str> = messages.iter().map(|(subject, ..)| &**subject).collect();
    assert_eq!(subjects, ["[Komainu] 2 more messages on alarms", "alarm 1", "alarm 2", "alarm 3"]);
    let (_, text, due) = &messages[0];
    assert_eq!(due.since(start).as_secs(), 3600);
    assert!(text.starts_with("3 mails went to you on this topic within an hour."), "{text}");
    assert!(text.contains("UTC  alarm 4\n- ") && text.ends_with("UTC  alarm 5"), "{text}");

    // The next hour is a new one; the digest of the last is left alone.
    world.now = start;
    world.pass(3600);
    for n in 6..=9 {
        publish(&mut world, &topic, &format!("alarm {n}"));
    }
    let subjects: Vec<String> = outbox(&world).into_iter().map(|(subject, ..)| subject).collect();
    assert_eq!(
        subjects,
        [
            "[Komainu] 1 more message on alarms",
            "[Komainu] 2 more messages on alarms",
            "alarm 1",
            "alarm 2",
            "alarm 3",
            "alarm 6",
            "alarm 7",
            "alarm 8"
        ]
    );
}

#[test]
fn a_digest_stays_short() {
    let (mut world, topic) = world();
    for n in 1..=1003 {
        publish(&mut world, &topic, &format!("alarm {n}"));
    }
    let (subject, text, _) = outbox(&world).remove(0);
    assert_eq!(subject, "[Komainu] 1000 more messages on alarms");
    assert_eq!(text.lines().filter(|line| line.starts_with("- ")).count(), 50);
    assert!(text.ends_with("\n… and 950 more."), "{text}");
    assert!(text.contains("alarm 53\n… and"), "{text}");
}

#[test]
fn a_batch_is_counted_message_by_message() {
    let (mut world, topic) = world();
    let entries = (0..10).map(|n| BatchEntry {
        id: n.to_string(),
        request: say(&format!("text\nof {n}")),
        message_id: format!("m{n}").into(),
    });
    let (_, changes) = world.topics.publish_batch(&topic, entries.collect(), world.now).unwrap();
    world.carry_out(changes);
    assert_eq!(world.outbox.len(), 4);
    let digest = world.sent().into_iter().find(|(_, text)| text.starts_with("3 mails")).unwrap();
    // Without a subject the text is listed, on one line.
    assert!(digest.1.contains("UTC  text of 9"), "{}", digest.1);
}

#[test]
fn programs_get_each_message() {
    let mut world = World::with(RespondRules { mails_per_hour_max: 3, ..RespondRules::default() });
    let topic = world.create("alarms");
    world.subscribed(&topic, "email-json", "siem@example.com", &[]);
    world.subscribed(&topic, "https", "https://example.com/", &[]);
    for n in 0..10 {
        publish(&mut world, &topic, &format!("alarm {n}"));
    }
    assert_eq!(world.outbox.len(), 20);
}

#[test]
fn retries_are_not_counted_and_a_clock_that_goes_back_holds_nothing_up() {
    let (mut world, topic) = world();
    publish(&mut world, &topic, "alarm 1");
    let mut retried = world.outbox.values().next().unwrap().clone();
    for attempts in 1..10 {
        retried.attempts = attempts;
        world.topics.apply(&komainu_model::Change::PutDelivery(retried.clone()));
    }
    publish(&mut world, &topic, "alarm 2");
    publish(&mut world, &topic, "alarm 3");
    assert_eq!(outbox(&world).len(), 3);
    world.now = Timestamp::from_unix_seconds(1_000);
    publish(&mut world, &topic, "alarm 4");
    assert!(outbox(&world).iter().any(|(subject, ..)| subject == "alarm 4"));
}
