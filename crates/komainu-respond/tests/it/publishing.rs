use std::collections::BTreeMap;

use komainu_respond::{BatchEntry, BatchProblem, PublishRequest, RespondError};

use crate::{World, arn, say};

#[test]
fn each_protocol_gets_its_text() {
    let (mut world, topic) = World::with_topic();
    world.subscribed(&topic, "email", "a@example.com", &[]);
    world.subscribed(&topic, "https", "https://example.com/hook", &[]);
    let message_structure = Some("json".to_owned());
    let request = PublishRequest { message_structure, ..say(r#"{"default": "for all", "email": "for people"}"#) };
    world.publish(&topic, request).unwrap();
    let expected = [("a@example.com", "for people"), ("https://example.com/hook", "for all")];
    assert_eq!(world.sent(), expected.map(|(endpoint, text)| (endpoint.to_owned(), text.to_owned())));
}

#[test]
fn filters_keep_out_what_is_not_wanted() {
    let (mut world, topic) = World::with_topic();
    world.subscribed(&topic, "email", "all@example.com", &[]);
    world.subscribed(&topic, "email", "blue@example.com", &[("FilterPolicy", r#"{"team": ["blue"]}"#)]);
    let mut check = |team: Option<&str>, expected: &[&str]| {
        let attributes = team.map(|team| ("team".to_owned(), ("String".to_owned(), team.to_owned())));
        world.publish(&topic, PublishRequest { attributes: attributes.into_iter().collect(), ..say("x") }).unwrap();
        let heard: Vec<String> = world.sent().into_iter().map(|(endpoint, _)| endpoint).collect();
        assert_eq!(heard, expected, "{team:?}");
    };
    check(Some("blue"), &["all@example.com", "blue@example.com"]);
    check(Some("red"), &["all@example.com"]);
    check(None, &["all@example.com"]);
}

#[test]
fn publishing_the_same_message_again_is_the_same_deliveries() {
    let (mut world, topic) = World::with_topic();
    world.subscribed(&topic, "email", "a@example.com", &[]);
    let publish = |id: &str| world.topics.publish(&topic, say("x"), id.into(), world.now).unwrap();
    assert_eq!(publish("m1"), publish("m1"));
    assert_ne!(publish("m1"), publish("m2"));
}

#[test]
fn what_is_not_acceptable_is_refused_as_a_whole() {
    let (mut world, topic) = World::with_topic();
    assert!(matches!(world.publish(&topic, say("")), Err(RespondError::InvalidParameter { name: "Message", .. })));
    let nowhere = arn("arn:aws:sns:us-east-1:123456789012:nowhere");
    assert_eq!(world.publish(&nowhere, say("x")), Err(RespondError::NotFound { what: "topic" }));
}

fn entry(id: &str, message: &str) -> BatchEntry {
    BatchEntry { id: id.to_owned(), request: say(message), message_id: format!("m-{id}").into() }
}

#[test]
fn a_bad_entry_does_not_hold_up_the_others() {
    let (mut world, topic) = World::with_topic();
    world.subscribed(&topic, "email", "a@example.com", &[]);
    let entries = vec![entry("one", "1"), entry("two", ""), entry("three", "3")];
    let (outcomes, changes) = world.topics.publish_batch(&topic, entries, world.now).unwrap();
    let ids: BTreeMap<&str, bool> = outcomes.iter().map(|outcome| (&*outcome.id, outcome.result.is_ok())).collect();
    assert_eq!(ids, BTreeMap::from([("one", true), ("two", false), ("three", true)]));
    world.carry_out(changes);
    let texts: Vec<String> = world.sent().into_iter().map(|(_, text)| text).collect();
    assert_eq!(texts, ["1", "3"]);
}

#[test]
fn batches_have_their_form() {
    let (world, topic) = World::with_topic();
    let check = |entries: Vec<BatchEntry>, expected: BatchProblem| {
        let error = world.topics.publish_batch(&topic, entries, world.now).unwrap_err();
        assert_eq!(error, RespondError::Batch(expected));
    };
    check(vec![], BatchProblem::Empty);
    check((0..11).map(|n| entry(&n.to_string(), "x")).collect(), BatchProblem::TooManyEntries);
    check(vec![entry("a", "x"), entry("b", "x"), entry("a", "x")], BatchProblem::IdsNotDistinct);
    for id in ["", "a b", &"x".repeat(81)] {
        check(vec![entry(id, "x")], BatchProblem::InvalidId);
    }
    check(vec![entry("a", &"x".repeat(200_000)), entry("b", &"x".repeat(70_000))], BatchProblem::TooLong);
}
