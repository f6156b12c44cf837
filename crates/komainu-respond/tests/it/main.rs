//! Decisions on topics, made durable and applied as the control plane does it.

#![expect(clippy::unwrap_used, reason = "a test fails with the panic")]

mod alerts;
mod flood;
mod publishing;
mod subscriptions;
mod topics;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use komainu_model::{
    AccountId, Arn, Change, Delivery, NotificationKind, Protocol, Region, Scope, SubscriptionId, SubscriptionToken,
    Timestamp,
};
use komainu_respond::{
    NewSubscription, PublishRequest, RespondError, RespondRules, SubscribeRequest, Subscribed, Topics,
};

/// The state of one scope, its outbox, a clock, and ids that are counted.
struct World {
    topics: Topics,
    outbox: BTreeMap<String, Delivery>,
    now: Timestamp,
    ids: u64,
}

impl World {
    fn new() -> Self {
        Self::with(RespondRules::default())
    }

    fn with(rules: RespondRules) -> Self {
        let topics = Topics::new(scope(), rules);
        Self { topics, outbox: BTreeMap::new(), now: Timestamp::from_unix_seconds(1_795_400_000), ids: 0 }
    }

    /// A world with the topic `alarms`.
    fn with_topic() -> (Self, Arn) {
        let mut world = Self::new();
        let topic = world.create("alarms");
        (world, topic)
    }

    fn carry_out(&mut self, changes: Vec<Change>) {
        for change in &changes {
            self.topics.apply(change);
            if let Change::PutDelivery(delivery) = change {
                self.outbox.insert(delivery.id.to_string(), delivery.clone());
            }
        }
    }

    fn pass(&mut self, seconds: u64) {
        self.now = self.now.plus(Duration::from_secs(seconds));
    }

    fn uuid(&mut self) -> String {
        self.ids += 1;
        format!("00000000-0000-4000-8000-{:012x}", self.ids)
    }

    fn fresh(&mut self) -> NewSubscription {
        let id = SubscriptionId::parse(&self.uuid()).unwrap();
        let token = SubscriptionToken::parse(&format!("{:064x}", self.ids)).unwrap();
        NewSubscription { id, token, message_id: self.uuid().into() }
    }

    fn create(&mut self, name: &str) -> Arn {
        let (arn, changes) =
            self.topics.create_topic(name, &BTreeMap::new(), &BTreeMap::new(), self.now).expect("the topic is made");
        self.carry_out(changes);
        arn
    }

    fn subscribe(&mut self, topic: &Arn, protocol: &str, endpoint: &str) -> Result<Subscribed, RespondError> {
        self.subscribe_with(topic, protocol, endpoint, &[])
    }

    fn subscribe_with(
        &mut self,
        topic: &Arn,
        protocol: &str,
        endpoint: &str,
        attributes: &[(&str, &str)],
    ) -> Result<Subscribed, RespondError> {
        let new = self.fresh();
        let attributes = attributes.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let request = SubscribeRequest { protocol: protocol.to_owned(), endpoint: endpoint.to_owned(), attributes };
        let (subscribed, changes) = self.topics.subscribe(topic, request, new, self.now)?;
        self.carry_out(changes);
        Ok(subscribed)
    }

    /// Subscribes and confirms with the token that the message carried.
    fn subscribed(&mut self, topic: &Arn, protocol: &str, endpoint: &str, attributes: &[(&str, &str)]) -> Arn {
        let subscribed = self.subscribe_with(topic, protocol, endpoint, attributes).expect("it is subscribed");
        let token = self.token_sent_to(endpoint);
        let (arn, changes) = self.topics.confirm(topic, &token, false, self.now).expect("it is confirmed");
        assert_eq!(arn, subscribed.arn);
        self.carry_out(changes);
        self.outbox.clear();
        arn
    }

    /// The token of the confirmation that waits for `endpoint` in the outbox.
    fn token_sent_to(&self, endpoint: &str) -> SubscriptionToken {
        let tokens = self.outbox.values().filter(|delivery| delivery.endpoint == endpoint);
        let mut tokens = tokens.filter_map(|delivery| match &delivery.notification.kind {
            NotificationKind::SubscriptionConfirmation { token, .. }
            | NotificationKind::UnsubscribeConfirmation { token, .. } => Some(token.clone()),
            NotificationKind::Message { .. } => None,
        });
        tokens.next().expect("a confirmation was sent")
    }

    fn publish(&mut self, topic: &Arn, request: PublishRequest) -> Result<(), RespondError> {
        let message_id: Arc<str> = self.uuid().into();
        let changes = self.topics.publish(topic, request, message_id, self.now)?;
        self.carry_out(changes);
        Ok(())
    }

    /// Endpoint and text of each message in the outbox, which is then empty.
    fn sent(&mut self) -> Vec<(String, String)> {
        let mut sent: Vec<(String, String)> = Vec::new();
        for delivery in std::mem::take(&mut self.outbox).into_values() {
            if let NotificationKind::Message { message, .. } = delivery.notification.kind {
                sent.push((delivery.endpoint, message));
            }
        }
        sent.sort();
        sent
    }
}

fn scope() -> Scope {
    let account = AccountId::parse("123456789012").unwrap();
    Scope { account, region: Region::parse("us-east-1").unwrap() }
}

fn say(message: &str) -> PublishRequest {
    PublishRequest { message: message.to_owned(), ..PublishRequest::default() }
}

fn arn(text: &str) -> Arn {
    Arn::parse(text).unwrap()
}

fn map(list: &[(&str, &str)]) -> BTreeMap<String, String> {
    list.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

#[test]
fn deliveries_carry_what_a_courier_needs() {
    let mut world = World::new();
    let attributes = map(&[("DisplayName", "Fleet alarms"), ("SignatureVersion", "2")]);
    let (topic, changes) = world.topics.create_topic("alarms", &attributes, &BTreeMap::new(), world.now).unwrap();
    world.carry_out(changes);
    world.subscribed(&topic, "https", "https://example.com/hook", &[("RawMessageDelivery", "true")]);
    world.publish(&topic, say("hello")).unwrap();
    let (id, delivery) = world.outbox.pop_first().unwrap();
    assert_eq!(delivery.id.as_str(), id);
    assert_eq!(delivery.protocol, Protocol::Https);
    assert_eq!(delivery.notification.topic, topic);
    assert_eq!(delivery.notification.sender_name.as_deref(), Some("Fleet alarms"));
    assert_eq!(delivery.notification.signature, komainu_model::NotificationSignature::V2);
    assert!(delivery.raw);
    assert_eq!(delivery.subscription_token.as_str().len(), 64);
}
