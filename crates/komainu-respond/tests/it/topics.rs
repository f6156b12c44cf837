use std::collections::BTreeMap;

use komainu_respond::{RespondError, RespondRules};

use crate::{World, arn, map};

#[test]
fn creating_twice_is_creating_once() {
    let (world, topic) = World::with_topic();
    assert_eq!(topic.as_str(), "arn:aws:sns:us-east-1:123456789012:alarms");
    let again = |attributes: &[(&str, &str)], tags: &[(&str, &str)]| {
        world.topics.create_topic("alarms", &map(attributes), &map(tags), world.now).map_err(|error| error.to_string())
    };
    assert_eq!(again(&[], &[]).unwrap(), (topic, Vec::new()));
    assert!(again(&[("DisplayName", "x")], &[]).unwrap_err().contains("different attributes"));
    assert!(again(&[], &[("a", "b")]).unwrap_err().contains("different tags"));
}

#[test]
fn names_and_limits() {
    let mut world = World::with(RespondRules { topics_max: 2, ..RespondRules::default() });
    for bad in ["", "a b", "a.fifo", "ä", &"x".repeat(257)] {
        let made = world.topics.create_topic(bad, &BTreeMap::new(), &BTreeMap::new(), world.now);
        assert!(matches!(made, Err(RespondError::TopicName(_) | RespondError::Fifo)), "{bad:?}");
    }
    world.create("a");
    world.create("b");
    let third = world.topics.create_topic("c", &BTreeMap::new(), &BTreeMap::new(), world.now);
    assert_eq!(third, Err(RespondError::TopicLimitExceeded { topics_max: 2 }));
}

#[test]
fn deleting_takes_subscriptions_and_tags_along() {
    let (mut world, topic) = World::with_topic();
    world.subscribed(&topic, "email", "a@example.com", &[]);
    world.subscribe(&topic, "email", "b@example.com").unwrap();
    let changes = world.topics.tag_topic(&topic, &map(&[("team", "blue")])).unwrap();
    world.carry_out(changes);
    let changes = world.topics.delete_topic(&topic).unwrap();
    world.carry_out(changes);
    assert_eq!(world.topics.topic(&topic).unwrap_err(), RespondError::NotFound { what: "topic" });
    assert_eq!(world.topics.subscriptions_after(None, None, 100, world.now).0, []);
    assert_eq!(world.topics.delete_topic(&topic), Ok(Vec::new()));
    // A new topic of that name starts empty.
    world.create("alarms");
    assert_eq!(world.topics.topic_tags(&topic), Ok(BTreeMap::new()));
    assert_eq!(world.topics.topic_attributes(&topic, world.now).unwrap()["SubscriptionsConfirmed"], "0");
}

#[test]
fn arns_of_elsewhere_are_told_apart_from_nonsense() {
    let (world, _) = World::with_topic();
    let check = |text: &str, is_malformed: bool| {
        let error = world.topics.topic(&arn(text)).unwrap_err();
        assert_eq!(matches!(error, RespondError::InvalidParameter { .. }), is_malformed, "{text}: {error}");
    };
    check("arn:aws:sns:us-east-1:123456789012:others", false);
    check("arn:aws:sns:eu-west-1:123456789012:alarms", false);
    check("arn:aws:sns:us-east-1:999999999999:alarms", false);
    check("arn:aws:iot:us-east-1:123456789012:alarms", true);
    check("arn:aws:sns:us-east-1:123456789012:alarms:x", true);
    check("arn:aws:sns:us-east-1:123456789012:a b", true);
}

#[test]
fn attributes_are_shown_as_sns_shows_them() {
    let (mut world, topic) = World::with_topic();
    world.subscribed(&topic, "email", "a@example.com", &[]);
    world.subscribe(&topic, "email", "b@example.com").unwrap();
    let changes = world.topics.set_topic_attribute(&topic, "DisplayName", Some("Alarms")).unwrap();
    world.carry_out(changes);
    let shown = world.topics.topic_attributes(&topic, world.now).unwrap();
    assert_eq!(shown["TopicArn"], topic.as_str());
    assert_eq!(shown["Owner"], "123456789012");
    assert_eq!(shown["DisplayName"], "Alarms");
    assert_eq!((&*shown["SubscriptionsConfirmed"], &*shown["SubscriptionsPending"]), ("1", "1"));
    assert!(shown["Policy"].contains("SNS:*"));
    let changes = world.topics.set_topic_attribute(&topic, "DisplayName", None).unwrap();
    world.carry_out(changes);
    assert_eq!(world.topics.topic_attributes(&topic, world.now).unwrap()["DisplayName"], "");
}

#[test]
fn lists_come_in_pages() {
    let mut world = World::new();
    for name in ["c", "a", "d", "b"] {
        world.create(name);
    }
    let (page, next) = world.topics.topics_after(None, 3);
    let names: Vec<&str> = page.iter().map(|arn| arn.resource()).collect();
    assert_eq!(names, ["a", "b", "c"]);
    let next = next.unwrap();
    world.create("bb");
    let (page, next) = world.topics.topics_after(Some(next.as_str()), 3);
    assert_eq!((page.len(), page[0].resource(), next), (1, "d", None));
}

#[test]
fn tags() {
    let (mut world, topic) = World::with_topic();
    let changes = world.topics.tag_topic(&topic, &map(&[("team", "blue"), ("stage", "test")])).unwrap();
    world.carry_out(changes);
    let changes = world.topics.tag_topic(&topic, &map(&[("team", "red")])).unwrap();
    world.carry_out(changes);
    let changes = world.topics.untag_topic(&topic, &["stage".to_owned(), "absent".to_owned()]).unwrap();
    world.carry_out(changes);
    assert_eq!(world.topics.topic_tags(&topic), Ok(map(&[("team", "red")])));
    let changes = world.topics.untag_topic(&topic, &["team".to_owned()]).unwrap();
    world.carry_out(changes);
    assert_eq!(world.topics.topic_tags(&topic), Ok(BTreeMap::new()));
    for bad in [("", "x"), ("aws:x", "x"), ("a\n", "x")] {
        assert!(world.topics.tag_topic(&topic, &map(&[bad])).is_err(), "{bad:?}");
    }
    let many: BTreeMap<String, String> = (0..51).map(|n| (n.to_string(), String::new())).collect();
    assert_eq!(world.topics.tag_topic(&topic, &many), Err(RespondError::TagLimitExceeded { tags_max: 50 }));
}
