//! What people at the console do with topics.

use std::collections::BTreeMap;
use std::sync::Arc;

use komainu_model::{
    Arn, Change, Delivery, NotificationKind, Scope, Subscription, SubscriptionId, SubscriptionToken, Timestamp,
    TopicName,
};
use komainu_ports::{
    DeliveryContent, DeliverySummary, Page, Paged, StoreError, SubscriptionSummary, TopicDesk, TopicDeskError,
    TopicRefusal, TopicSummary,
};
use komainu_respond::{
    NewSubscription, PublishRequest, RespondError, SubscribeRequest, Topics, Unsubscriber, shown_endpoint,
};

use super::{ControlPlane, View};

impl TopicDesk for ControlPlane {
    fn topics(&self, scope: &Scope, after: Option<&TopicName>, limit: usize) -> Vec<TopicSummary> {
        self.read(scope, |view| {
            let (arns, _) = view.topics.topics_after(after.map(TopicName::as_str), limit);
            arns.iter().filter_map(|arn| summary(view.topics, arn, view.now)).collect()
        })
    }

    fn topic(&self, scope: &Scope, name: &TopicName) -> Option<TopicSummary> {
        self.read(scope, |view| summary(view.topics, &view.topics.topic_arn(name), view.now))
    }

    fn subscriptions(
        &self,
        scope: &Scope,
        topic: &TopicName,
        after: Option<&SubscriptionId>,
        limit: usize,
    ) -> Vec<SubscriptionSummary> {
        let after = after.map(SubscriptionId::as_str);
        let (page, _) = self.read(scope, |view| view.topics.subscriptions_after(Some(topic), after, limit, view.now));
        page.iter().map(|subscription| subscription_summary(subscription)).collect()
    }

    fn deliveries(&self, scope: &Scope, topic: &TopicName, page: &Page) -> Result<Paged<DeliverySummary>, StoreError> {
        let Paged { items, next } = self.store.deliveries_of_topic(&scope.arn("sns", topic), page)?;
        Ok(Paged { items: items.into_iter().map(delivery_summary).collect(), next })
    }

    fn create_topic(&self, scope: &Scope, name: &str) -> Result<TopicName, TopicDeskError> {
        let nothing = BTreeMap::new();
        let arn =
            self.decide(scope, |view| view.topics.create_topic(name, &nothing, &nothing, view.now).map_err(refused))?;
        TopicName::parse(arn.resource()).map_err(|error| TopicDeskError::Refused(TopicRefusal::Name(error)))
    }

    fn subscribe(
        &self,
        scope: &Scope,
        topic: &TopicName,
        protocol: &str,
        endpoint: &str,
    ) -> Result<SubscriptionId, TopicDeskError> {
        let request = SubscribeRequest {
            protocol: protocol.to_owned(),
            endpoint: endpoint.to_owned(),
            attributes: BTreeMap::new(),
        };
        let id = SubscriptionId::parse(&self.ids.uuid());
        let token = SubscriptionToken::parse(&hex::encode(self.ids.secret()));
        let new = NewSubscription {
            id: id.expect("a source of ids makes UUIDs"),
            token: token.expect("a secret has 32 bytes"),
            message_id: self.ids.uuid().into(),
        };
        let subscribed = self.decide(scope, |view| {
            let arn = view.topics.topic_arn(topic);
            view.topics.subscribe(&arn, request, new, view.now).map_err(refused)
        })?;
        let id = subscribed.arn.resource().rsplit(':').next().unwrap_or_default();
        SubscriptionId::parse(id).map_err(|error| TopicDeskError::Refused(TopicRefusal::Name(error)))
    }

    fn unsubscribe(&self, scope: &Scope, topic: &TopicName, id: &SubscriptionId) -> Result<(), TopicDeskError> {
        self.carry_out(scope, |view| {
            let arn = scope.arn("sns", format_args!("{topic}:{id}"));
            view.topics.unsubscribe(&arn, Unsubscriber::Operator, view.now)
        })
    }

    fn publish(&self, scope: &Scope, topic: &TopicName, subject: &str, message: &str) -> Result<(), TopicDeskError> {
        let request = PublishRequest {
            subject: Some(subject.to_owned()),
            message: message.to_owned(),
            ..PublishRequest::default()
        };
        let message_id: Arc<str> = self.ids.uuid().into();
        self.carry_out(scope, |view| view.topics.publish(&view.topics.topic_arn(topic), request, message_id, view.now))
    }
}

impl ControlPlane {
    fn carry_out(
        &self,
        scope: &Scope,
        decide: impl FnOnce(&View<'_>) -> Result<Vec<Change>, RespondError>,
    ) -> Result<(), TopicDeskError> {
        self.decide(scope, |view| Ok(((), decide(view).map_err(refused)?)))
    }
}

fn summary(topics: &Topics, arn: &Arn, now: Timestamp) -> Option<TopicSummary> {
    let topic = topics.topic(arn).ok()?;
    let (confirmed, pending) = topics.subscription_counts(&topic.name, now);
    let sender_name = topic.attributes.get("DisplayName").filter(|name| !name.is_empty()).cloned();
    let (name, arn, created_at) = (topic.name.clone(), arn.clone(), topic.created_at);
    Some(TopicSummary { name, arn, sender_name, confirmed, pending, created_at })
}

fn subscription_summary(subscription: &Subscription) -> SubscriptionSummary {
    SubscriptionSummary {
        id: subscription.id.clone(),
        protocol: subscription.protocol,
        endpoint: shown_endpoint(&subscription.endpoint),
        state: subscription.state,
        is_filtered: subscription.attributes.contains_key("FilterPolicy"),
        created_at: subscription.created_at,
    }
}

fn delivery_summary(delivery: Delivery) -> DeliverySummary {
    let content = match delivery.notification.kind {
        NotificationKind::SubscriptionConfirmation { .. } => DeliveryContent::Confirmation,
        NotificationKind::Message { subject, .. } => DeliveryContent::Message(subject),
        NotificationKind::UnsubscribeConfirmation { .. } => DeliveryContent::Ended,
    };
    DeliverySummary {
        id: delivery.id,
        protocol: delivery.protocol,
        endpoint: shown_endpoint(&delivery.endpoint),
        content,
        attempts: delivery.attempts,
        state: delivery.state,
        last_error: delivery.last_error,
        created_at: delivery.created_at,
    }
}

fn refused(error: RespondError) -> TopicDeskError {
    TopicDeskError::Refused(match error {
        RespondError::NotFound { .. } => return TopicDeskError::Missing,
        RespondError::TopicName(error) => TopicRefusal::Name(error),
        RespondError::Fifo => TopicRefusal::Fifo,
        RespondError::Endpoint(problem) => TopicRefusal::Endpoint(problem),
        RespondError::TopicLimitExceeded { topics_max } => TopicRefusal::TooManyTopics(topics_max),
        RespondError::SubscriptionLimitExceeded { subscriptions_max } => {
            TopicRefusal::TooManySubscriptions(subscriptions_max)
        }
        RespondError::Throttled { .. } => TopicRefusal::TooOften,
        error @ (RespondError::InvalidParameter { .. }
        | RespondError::TagLimitExceeded { .. }
        | RespondError::NotAuthorized { .. }
        | RespondError::Batch(_)) => TopicRefusal::Other(error.to_string()),
    })
}
