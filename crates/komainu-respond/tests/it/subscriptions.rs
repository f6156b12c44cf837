use komainu_model::{Change, NotificationKind, Record, SubscriptionState, SubscriptionToken};
use komainu_respond::{RespondError, RespondRules, Unsubscriber, shown_endpoint};

use crate::{World, arn, say};

fn token(digit: char) -> SubscriptionToken {
    SubscriptionToken::parse(&digit.to_string().repeat(64)).unwrap()
}

#[test]
fn nobody_hears_anything_before_agreeing() {
    let (mut world, topic) = World::with_topic();
    let subscribed = world.subscribe(&topic, "email", "ops@example.com").unwrap();
    assert!(subscribed.pending);
    assert_eq!(world.outbox.len(), 1);
    let token = world.token_sent_to("ops@example.com");
    world.outbox.clear();
    world.publish(&topic, say("early")).unwrap();
    assert_eq!(world.sent(), []);

    let (confirmed, changes) = world.topics.confirm(&topic, &token, false, world.now).unwrap();
    assert_eq!(confirmed, subscribed.arn);
    world.carry_out(changes);
    world.publish(&topic, say("later")).unwrap();
    assert_eq!(world.sent(), [("ops@example.com".to_owned(), "later".to_owned())]);
    // Following the link again changes nothing.
    assert_eq!(world.topics.confirm(&topic, &token, false, world.now), Ok((confirmed, Vec::new())));
}

#[test]
fn an_endpoint_is_subscribed_once() {
    let (mut world, topic) = World::with_topic();
    let first = world.subscribe(&topic, "email", "ops@example.com").unwrap();
    let first_token = world.token_sent_to("ops@example.com");
    world.outbox.clear();
    world.pass(3600);
    let again = world.subscribe(&topic, "email", "ops@example.com").unwrap();
    assert_eq!(again, first);
    assert_eq!(world.token_sent_to("ops@example.com"), first_token);
    let (_, changes) = world.topics.confirm(&topic, &first_token, false, world.now).unwrap();
    world.carry_out(changes);
    world.outbox.clear();
    let third = world.subscribe(&topic, "email", "ops@example.com").unwrap();
    assert_eq!((third.arn, third.pending, world.outbox.len()), (first.arn, false, 0));
    let differing = world.subscribe_with(&topic, "email", "ops@example.com", &[("FilterPolicy", r#"{"a":["b"]}"#)]);
    assert!(differing.unwrap_err().to_string().contains("different attributes"));
    // Another protocol is another subscription.
    assert!(world.subscribe(&topic, "email-json", "ops@example.com").unwrap().pending);
}

#[test]
fn offers_end_after_three_days() {
    let (mut world, topic) = World::with_topic();
    let first = world.subscribe(&topic, "email", "ops@example.com").unwrap();
    let token = world.token_sent_to("ops@example.com");
    world.pass(3 * 24 * 3600 - 1);
    assert!(world.topics.confirm(&topic, &token, false, world.now).is_ok());
    assert_eq!(world.topics.expire(world.now), []);
    world.pass(1);
    let error = world.topics.confirm(&topic, &token, false, world.now).unwrap_err();
    assert!(error.to_string().contains("expired"), "{error}");
    assert_eq!(world.topics.subscriptions_after(None, None, 10, world.now).0, []);
    // Before anybody cleans up, the endpoint can be subscribed anew, with another secret.
    world.outbox.clear();
    let second = world.subscribe(&topic, "email", "ops@example.com").unwrap();
    assert_ne!(second.arn, first.arn);
    assert_ne!(world.token_sent_to("ops@example.com"), token);
    world.pass(3 * 24 * 3600);
    let changes = world.topics.expire(world.now);
    assert_eq!(changes.len(), 1);
    world.carry_out(changes);
    assert_eq!(world.topics.expire(world.now), []);
}

#[test]
fn tokens_open_their_own_subscription_only() {
    let (mut world, topic) = World::with_topic();
    let other = world.create("others");
    world.subscribe(&topic, "email", "ops@example.com").unwrap();
    let right = world.token_sent_to("ops@example.com");
    for (topic, token) in [(&topic, &token('f')), (&other, &right)] {
        let error = world.topics.confirm(topic, token, false, world.now).unwrap_err();
        assert!(matches!(error, RespondError::InvalidParameter { name: "Token", .. }), "{error}");
    }
}

#[test]
fn an_operator_ends_a_subscription_at_once() {
    let (mut world, topic) = World::with_topic();
    let subscription = world.subscribed(&topic, "email", "ops@example.com", &[]);
    let changes = world.topics.unsubscribe(&subscription, Unsubscriber::Operator, world.now).unwrap();
    world.carry_out(changes);
    world.publish(&topic, say("x")).unwrap();
    assert_eq!(world.outbox.len(), 0);
    assert_eq!(world.topics.unsubscribe(&subscription, Unsubscriber::Operator, world.now), Ok(Vec::new()));
    let error = world.topics.subscription_attributes(&subscription, world.now).unwrap_err();
    assert_eq!(error, RespondError::NotFound { what: "subscription" });
}

#[test]
fn a_link_ends_a_subscription_and_its_owner_can_take_that_back() {
    let (mut world, topic) = World::with_topic();
    let subscription = world.subscribed(&topic, "email", "ops@example.com", &[]);
    world.publish(&topic, say("x")).unwrap();
    let link = world.outbox.pop_first().unwrap().1.subscription_token;
    let by = |token, id: &str| Unsubscriber::Link { token, message_id: id.into() };
    let wrong = world.topics.unsubscribe(&subscription, by(token('f'), "m1"), world.now);
    assert_eq!(wrong, Err(RespondError::NotFound { what: "subscription" }));

    let changes = world.topics.unsubscribe(&subscription, by(link.clone(), "m2"), world.now).unwrap();
    world.carry_out(changes);
    world.publish(&topic, say("unheard")).unwrap();
    assert_eq!(world.outbox.len(), 1);
    let farewell = world.outbox.pop_first().unwrap().1;
    assert!(matches!(farewell.notification.kind, NotificationKind::UnsubscribeConfirmation { .. }));
    // Twice is once.
    assert_eq!(world.topics.unsubscribe(&subscription, by(link.clone(), "m3"), world.now), Ok(Vec::new()));

    let (again, changes) = world.topics.confirm(&topic, &link, false, world.now).unwrap();
    assert_eq!(again, subscription);
    world.carry_out(changes);
    world.publish(&topic, say("heard")).unwrap();
    assert_eq!(world.sent(), [("ops@example.com".to_owned(), "heard".to_owned())]);
}

#[test]
fn a_link_does_not_end_what_only_operators_may_end() {
    let (mut world, topic) = World::with_topic();
    let subscription = world.subscribe(&topic, "email", "ops@example.com").unwrap().arn;
    let token = world.token_sent_to("ops@example.com");
    let (_, changes) = world.topics.confirm(&topic, &token, true, world.now).unwrap();
    world.carry_out(changes);
    // Following the confirmation link afterwards does not weaken it.
    assert_eq!(world.topics.confirm(&topic, &token, false, world.now).unwrap().1, []);
    let by = Unsubscriber::Link { token, message_id: "m".into() };
    let error = world.topics.unsubscribe(&subscription, by, world.now).unwrap_err();
    assert!(matches!(error, RespondError::NotAuthorized { .. }), "{error}");
    assert_eq!(world.topics.unsubscribe(&subscription, Unsubscriber::Operator, world.now).unwrap().len(), 1);
}

#[test]
fn bad_requests_are_refused() {
    let (mut world, topic) = World::with_topic();
    let mut check = |protocol: &str, endpoint: &str, attributes: &[(&str, &str)], expected: &str| {
        let error = world.subscribe_with(&topic, protocol, endpoint, attributes).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    };
    check("sms", "+15550100", &[], "sms is a service of AWS");
    check("email", "not an address", &[], "Endpoint");
    check("https", "http://example.com", &[], "must begin with https://");
    check("http", "http://169.254.169.254/latest", &[], "link-local");
    check("email", "a@example.com", &[("RawMessageDelivery", "true")], "cannot be raw");
    check("email", "a@example.com", &[("FilterPolicy", "[]")], "not a JSON object");
    check("email", "a@example.com", &[("RedrivePolicy", "{}")], "no queues");
    let nowhere = arn("arn:aws:sns:us-east-1:123456789012:nowhere");
    let error = world.subscribe(&nowhere, "email", "a@example.com").unwrap_err();
    assert_eq!(error, RespondError::NotFound { what: "topic" });
}

#[test]
fn subscriptions_of_a_topic_are_bounded() {
    let mut world = World::with(RespondRules { subscriptions_per_topic_max: 2, ..RespondRules::default() });
    let topic = world.create("alarms");
    world.subscribe(&topic, "email", "a@example.com").unwrap();
    world.subscribe(&topic, "email", "b@example.com").unwrap();
    let error = world.subscribe(&topic, "email", "c@example.com").unwrap_err();
    assert_eq!(error, RespondError::SubscriptionLimitExceeded { subscriptions_max: 2 });
    // Known ones can still be asked again, and expired ones make room.
    world.subscribe(&topic, "email", "a@example.com").unwrap();
    world.pass(4 * 24 * 3600);
    world.subscribe(&topic, "email", "c@example.com").unwrap();
}

#[test]
fn asking_a_stranger_again_and_again_is_throttled() {
    let mut world = World::with(RespondRules { mails_per_hour_max: 3, ..RespondRules::default() });
    let topic = world.create("alarms");
    for _ in 0..3 {
        world.subscribe(&topic, "email", "stranger@example.com").unwrap();
    }
    let error = world.subscribe(&topic, "email", "stranger@example.com").unwrap_err();
    assert!(matches!(error, RespondError::Throttled { .. }), "{error}");
    world.pass(3600);
    world.subscribe(&topic, "email", "stranger@example.com").unwrap();
}

#[test]
fn attributes() {
    let (mut world, topic) = World::with_topic();
    let subscription = world.subscribed(&topic, "https", "https://user:secret@example.com/hook", &[]);
    let shown = world.topics.subscription_attributes(&subscription, world.now).unwrap();
    assert_eq!(shown["Endpoint"], "https://****:****@example.com/hook");
    assert_eq!(shown["PendingConfirmation"], "false");
    assert_eq!(shown["RawMessageDelivery"], "false");
    assert_eq!(shown["TopicArn"], topic.as_str());
    assert!(!shown.contains_key("FilterPolicyScope"));
    let set = |world: &mut World, name: &str, value: Option<&str>| {
        let changes = world.topics.set_subscription_attribute(&subscription, name, value, world.now).unwrap();
        world.carry_out(changes);
        world.topics.subscription_attributes(&subscription, world.now).unwrap()
    };
    assert_eq!(set(&mut world, "RawMessageDelivery", Some("true"))["RawMessageDelivery"], "true");
    let shown = set(&mut world, "FilterPolicy", Some(r#"{"a":["b"]}"#));
    assert_eq!((&*shown["FilterPolicy"], &*shown["FilterPolicyScope"]), (r#"{"a":["b"]}"#, "MessageAttributes"));
    assert!(!set(&mut world, "FilterPolicy", Some("{}")).contains_key("FilterPolicy"));

    let listed = world.topics.subscriptions_after(None, None, 10, world.now).0;
    assert_eq!(shown_endpoint(&listed[0].endpoint), "https://****:****@example.com/hook");
}

#[test]
fn lists_come_in_pages_and_by_topic() {
    let (mut world, topic) = World::with_topic();
    let other = world.create("others");
    for name in ["a", "b", "c"] {
        world.subscribe(&topic, "email", &format!("{name}@example.com")).unwrap();
    }
    world.subscribe(&other, "email", "a@example.com").unwrap();
    let name = world.topics.topic(&topic).unwrap().name.clone();
    let (page, next) = world.topics.subscriptions_after(Some(&name), None, 2, world.now);
    assert_eq!(page.len(), 2);
    let (page, next) = world.topics.subscriptions_after(Some(&name), Some(next.unwrap().as_str()), 2, world.now);
    assert_eq!((page.len(), next), (1, None));
    assert_eq!(world.topics.subscriptions_after(None, None, 10, world.now).0.len(), 4);
}

#[test]
fn state_is_what_was_applied_and_nothing_else() {
    let (mut world, topic) = World::with_topic();
    let before = world.topics.subscriptions_after(None, None, 10, world.now).0;
    let new = world.fresh();
    let request = komainu_respond::SubscribeRequest {
        protocol: "email".to_owned(),
        endpoint: "a@example.com".to_owned(),
        ..Default::default()
    };
    let (_, changes) = world.topics.subscribe(&topic, request, new, world.now).unwrap();
    assert_eq!(world.topics.subscriptions_after(None, None, 10, world.now).0, before);
    // The same change of another scope is another's business.
    let Change::Put(mut scope, Record::Subscription(subscription)) = changes[0].clone() else { panic!("a put") };
    assert!(matches!(subscription.state, SubscriptionState::Pending { .. }));
    scope.region = komainu_model::Region::parse("eu-west-1").unwrap();
    world.topics.apply(&Change::Put(scope, Record::Subscription(subscription)));
    assert_eq!(world.topics.subscriptions_after(None, None, 10, world.now).0, before);
    world.carry_out(changes);
    assert_eq!(world.topics.subscriptions_after(None, None, 10, world.now).0.len(), 1);
}
