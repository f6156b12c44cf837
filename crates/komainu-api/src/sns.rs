//! The operations of the notification service: topics, subscriptions, publishing.
//!
//! The rules are in `komainu-respond`; here AWS's spelling is read and written. What people and programs do with the
//! links in messages, without a signature, is in [`links`].

pub(crate) mod links;

use std::collections::BTreeMap;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use komainu_aws::sns;
use komainu_model::{Arn, Change, Subscription, SubscriptionId, SubscriptionState, SubscriptionToken, TopicName};
use komainu_respond::{
    BatchEntry, BatchProblem, NewSubscription, PublishRequest, RespondError, SubscribeRequest, Unsubscriber,
    shown_endpoint, subscription_arn,
};

use crate::control::View;
use crate::dispatch::{Operations, blocking};
use crate::error::{ApiError, ErrorKind};
use crate::paging::{decode_token, encode_token};
use crate::{Api, Caller};

/// SNS's lists have 100 items in a page, and no parameter for it.
const PAGE_ITEMS: usize = 100;
/// What stands for the ARN of a subscription that is not confirmed: in the answer to Subscribe, and in lists.
const PENDING: &str = "pending confirmation";
const PENDING_IN_LISTS: &str = "PendingConfirmation";

/// Every operation of the service that Komainu has.
pub(crate) fn operations() -> Operations {
    vec![
        ("CreateTopic", blocking(create_topic)),
        ("DeleteTopic", blocking(delete_topic)),
        ("ListTopics", blocking(list_topics)),
        ("GetTopicAttributes", blocking(get_topic_attributes)),
        ("SetTopicAttributes", blocking(set_topic_attributes)),
        ("Subscribe", blocking(subscribe)),
        ("ConfirmSubscription", blocking(confirm_subscription)),
        ("Unsubscribe", blocking(unsubscribe)),
        ("ListSubscriptions", blocking(list_subscriptions)),
        ("ListSubscriptionsByTopic", blocking(list_subscriptions_by_topic)),
        ("GetSubscriptionAttributes", blocking(get_subscription_attributes)),
        ("SetSubscriptionAttributes", blocking(set_subscription_attributes)),
        ("Publish", blocking(publish)),
        ("PublishBatch", blocking(publish_batch)),
        ("TagResource", blocking(tag_resource)),
        ("UntagResource", blocking(untag_resource)),
        ("ListTagsForResource", blocking(list_tags_for_resource)),
    ]
}

fn create_topic(
    api: &Api,
    caller: &Caller,
    input: sns::CreateTopicInput,
) -> Result<sns::CreateTopicResponse, ApiError> {
    if input.data_protection_policy.is_some_and(|policy| !policy.is_empty()) {
        return Err(invalid("DataProtectionPolicy", "data protection policies are not supported"));
    }
    let attributes = input.attributes.unwrap_or_default();
    let tags = tag_map(input.tags.unwrap_or_default())?;
    let arn = api.control.decide(&caller.scope, |view| {
        Ok::<_, ApiError>(view.topics.create_topic(&input.name, &attributes, &tags, view.now)?)
    })?;
    Ok(sns::CreateTopicResponse { topic_arn: Some(arn.to_string()) })
}

fn delete_topic(api: &Api, caller: &Caller, input: sns::DeleteTopicInput) -> Result<(), ApiError> {
    let topic = topic_arn(&input.topic_arn)?;
    change(api, caller, |view| view.topics.delete_topic(&topic))
}

fn list_topics(api: &Api, caller: &Caller, input: sns::ListTopicsInput) -> Result<sns::ListTopicsResponse, ApiError> {
    let after = decode_token("NextToken", input.next_token.as_deref())?;
    let (arns, next) = api.control.read(&caller.scope, |view| view.topics.topics_after(after.as_deref(), PAGE_ITEMS));
    let topics = arns.into_iter().map(|arn| sns::Topic { topic_arn: Some(arn.to_string()) });
    let next_token = next.map(|name| encode_token(name.as_str()));
    Ok(sns::ListTopicsResponse { topics: Some(topics.collect()), next_token })
}

fn get_topic_attributes(
    api: &Api,
    caller: &Caller,
    input: sns::GetTopicAttributesInput,
) -> Result<sns::GetTopicAttributesResponse, ApiError> {
    let topic = topic_arn(&input.topic_arn)?;
    let attributes = api.control.read(&caller.scope, |view| view.topics.topic_attributes(&topic, view.now))?;
    Ok(sns::GetTopicAttributesResponse { attributes: Some(attributes) })
}

fn set_topic_attributes(api: &Api, caller: &Caller, input: sns::SetTopicAttributesInput) -> Result<(), ApiError> {
    let topic = topic_arn(&input.topic_arn)?;
    let (name, value) = (&input.attribute_name, input.attribute_value.as_deref());
    change(api, caller, |view| view.topics.set_topic_attribute(&topic, name, value))
}

fn subscribe(api: &Api, caller: &Caller, input: sns::SubscribeInput) -> Result<sns::SubscribeResponse, ApiError> {
    let topic = topic_arn(&input.topic_arn)?;
    let endpoint = input.endpoint.ok_or_else(|| invalid("Endpoint", "it is missing"))?;
    let attributes = input.attributes.unwrap_or_default();
    let request = SubscribeRequest { protocol: input.protocol, endpoint, attributes };
    let new = NewSubscription {
        id: SubscriptionId::parse(&api.ids.uuid()).map_err(ApiError::internal)?,
        token: SubscriptionToken::parse(&hex::encode(api.ids.secret())).map_err(ApiError::internal)?,
        message_id: api.ids.uuid().into(),
    };
    let subscribed = api
        .control
        .decide(&caller.scope, |view| Ok::<_, ApiError>(view.topics.subscribe(&topic, request, new, view.now)?))?;
    let is_told = !subscribed.pending || input.return_subscription_arn == Some(true);
    let arn = if is_told { subscribed.arn.to_string() } else { PENDING.to_owned() };
    Ok(sns::SubscribeResponse { subscription_arn: Some(arn) })
}

fn confirm_subscription(
    api: &Api,
    caller: &Caller,
    input: sns::ConfirmSubscriptionInput,
) -> Result<sns::ConfirmSubscriptionResponse, ApiError> {
    let topic = topic_arn(&input.topic_arn)?;
    let token = token(&input.token)?;
    let authenticate = match input.authenticate_on_unsubscribe.as_deref() {
        None | Some("" | "false") => false,
        Some("true") => true,
        Some(_) => return Err(invalid("AuthenticateOnUnsubscribe", "it is true or false")),
    };
    let arn = api.control.decide(&caller.scope, |view| {
        Ok::<_, ApiError>(view.topics.confirm(&topic, &token, authenticate, view.now)?)
    })?;
    Ok(sns::ConfirmSubscriptionResponse { subscription_arn: Some(arn.to_string()) })
}

fn unsubscribe(api: &Api, caller: &Caller, input: sns::UnsubscribeInput) -> Result<(), ApiError> {
    let subscription = subscription(&input.subscription_arn)?;
    change(api, caller, |view| view.topics.unsubscribe(&subscription, Unsubscriber::Operator, view.now))
}

fn list_subscriptions(
    api: &Api,
    caller: &Caller,
    input: sns::ListSubscriptionsInput,
) -> Result<sns::ListSubscriptionsResponse, ApiError> {
    let (subscriptions, next_token) =
        api.control.read(&caller.scope, |view| subscriptions_page(view, None, input.next_token.as_deref()))?;
    Ok(sns::ListSubscriptionsResponse { subscriptions: Some(subscriptions), next_token })
}

fn list_subscriptions_by_topic(
    api: &Api,
    caller: &Caller,
    input: sns::ListSubscriptionsByTopicInput,
) -> Result<sns::ListSubscriptionsByTopicResponse, ApiError> {
    let topic = topic_arn(&input.topic_arn)?;
    let (subscriptions, next_token) = api.control.read(&caller.scope, |view| {
        let topic = view.topics.topic(&topic)?;
        subscriptions_page(view, Some(&topic.name), input.next_token.as_deref())
    })?;
    Ok(sns::ListSubscriptionsByTopicResponse { subscriptions: Some(subscriptions), next_token })
}

fn subscriptions_page(
    view: &View<'_>,
    topic: Option<&TopicName>,
    next_token: Option<&str>,
) -> Result<(Vec<sns::Subscription>, Option<String>), ApiError> {
    let after = decode_token("NextToken", next_token)?;
    let (page, next) = view.topics.subscriptions_after(topic, after.as_deref(), PAGE_ITEMS, view.now);
    let shown = page.iter().map(|subscription| shown_subscription(view, subscription)).collect();
    Ok((shown, next.map(|id| encode_token(id.as_str()))))
}

fn shown_subscription(view: &View<'_>, subscription: &Subscription) -> sns::Subscription {
    let arn = match subscription.state {
        SubscriptionState::Pending { .. } => PENDING_IN_LISTS.to_owned(),
        SubscriptionState::Confirmed { .. } => subscription_arn(view.topics.scope(), subscription).to_string(),
    };
    sns::Subscription {
        subscription_arn: Some(arn),
        owner: Some(view.topics.scope().account.to_string()),
        protocol: Some(subscription.protocol.as_str().to_owned()),
        endpoint: Some(shown_endpoint(&subscription.endpoint)),
        topic_arn: Some(view.topics.topic_arn(&subscription.topic).to_string()),
    }
}

fn get_subscription_attributes(
    api: &Api,
    caller: &Caller,
    input: sns::GetSubscriptionAttributesInput,
) -> Result<sns::GetSubscriptionAttributesResponse, ApiError> {
    let arn = subscription(&input.subscription_arn)?;
    let attributes = api.control.read(&caller.scope, |view| view.topics.subscription_attributes(&arn, view.now))?;
    Ok(sns::GetSubscriptionAttributesResponse { attributes: Some(attributes) })
}

fn set_subscription_attributes(
    api: &Api,
    caller: &Caller,
    input: sns::SetSubscriptionAttributesInput,
) -> Result<(), ApiError> {
    let arn = subscription(&input.subscription_arn)?;
    let (name, value) = (&input.attribute_name, input.attribute_value.as_deref());
    change(api, caller, |view| view.topics.set_subscription_attribute(&arn, name, value, view.now))
}

fn publish(api: &Api, caller: &Caller, input: sns::PublishInput) -> Result<sns::PublishResponse, ApiError> {
    if input.phone_number.is_some() {
        return Err(invalid("PhoneNumber", "there is no SMS here; publish to a topic"));
    }
    let arn = input.topic_arn.or(input.target_arn).ok_or_else(|| invalid("TopicArn", "it is missing"))?;
    let topic = topic_arn(&arn)?;
    check_deduplication(input.message_deduplication_id.as_deref())?;
    let request = PublishRequest {
        subject: input.subject,
        message: input.message,
        message_structure: input.message_structure,
        attributes: message_attributes(input.message_attributes.unwrap_or_default())?,
    };
    let message_id: Arc<str> = api.ids.uuid().into();
    let id = message_id.clone();
    change(api, caller, |view| view.topics.publish(&topic, request, id, view.now))?;
    Ok(sns::PublishResponse { message_id: Some(message_id.to_string()), sequence_number: None })
}

fn publish_batch(
    api: &Api,
    caller: &Caller,
    input: sns::PublishBatchInput,
) -> Result<sns::PublishBatchResponse, ApiError> {
    let topic = topic_arn(&input.topic_arn)?;
    // An entry whose attributes cannot be read fails alone, as one that the core refuses.
    let mut failed: Vec<(String, ApiError)> = Vec::new();
    let mut entries: Vec<BatchEntry> = Vec::new();
    let count = input.publish_batch_request_entries.len();
    for entry in input.publish_batch_request_entries {
        let read = check_deduplication(entry.message_deduplication_id.as_deref())
            .and_then(|()| message_attributes(entry.message_attributes.unwrap_or_default()));
        let attributes = read.unwrap_or_else(|error| {
            failed.push((entry.id.clone(), error));
            BTreeMap::new()
        });
        let request = PublishRequest {
            subject: entry.subject,
            message: entry.message,
            message_structure: entry.message_structure,
            attributes,
        };
        entries.push(BatchEntry { id: entry.id, request, message_id: api.ids.uuid().into() });
    }
    let mut successful: Vec<sns::PublishBatchResultEntry> = Vec::new();
    entries.retain(|entry| failed.iter().all(|(id, _)| *id != entry.id));
    if count == 0 || !entries.is_empty() {
        let outcomes = api
            .control
            .decide(&caller.scope, |view| Ok::<_, ApiError>(view.topics.publish_batch(&topic, entries, view.now)?))?;
        for outcome in outcomes {
            match outcome.result {
                Ok(message_id) => successful.push(sns::PublishBatchResultEntry {
                    id: Some(outcome.id),
                    message_id: Some(message_id.to_string()),
                    sequence_number: None,
                }),
                Err(error) => failed.push((outcome.id, error.into())),
            }
        }
    }
    let failed = failed.into_iter().map(|(id, error)| sns::BatchResultErrorEntry {
        code: error.code_and_status(komainu_aws::Service::Sns).0.to_owned(),
        id,
        message: Some(error.message),
        sender_fault: true,
    });
    Ok(sns::PublishBatchResponse { successful: Some(successful), failed: Some(failed.collect()) })
}

fn tag_resource(
    api: &Api,
    caller: &Caller,
    input: sns::TagResourceRequest,
) -> Result<sns::TagResourceResponse, ApiError> {
    let (topic, tags) = (topic_arn(&input.resource_arn)?, tag_map(input.tags)?);
    change(api, caller, |view| view.topics.tag_topic(&topic, &tags)).map_err(of_resource)?;
    Ok(sns::TagResourceResponse {})
}

fn untag_resource(
    api: &Api,
    caller: &Caller,
    input: sns::UntagResourceRequest,
) -> Result<sns::UntagResourceResponse, ApiError> {
    let topic = topic_arn(&input.resource_arn)?;
    change(api, caller, |view| view.topics.untag_topic(&topic, &input.tag_keys)).map_err(of_resource)?;
    Ok(sns::UntagResourceResponse {})
}

fn list_tags_for_resource(
    api: &Api,
    caller: &Caller,
    input: sns::ListTagsForResourceRequest,
) -> Result<sns::ListTagsForResourceResponse, ApiError> {
    let topic = topic_arn(&input.resource_arn)?;
    let tags = api.control.read(&caller.scope, |view| view.topics.topic_tags(&topic));
    let tags = tags.map_err(|error| of_resource(error.into()))?;
    let tags = tags.into_iter().map(|(key, value)| sns::Tag { key, value }).collect();
    Ok(sns::ListTagsForResourceResponse { tags: Some(tags) })
}

/// Carries out what the core decides, for operations without an answer of their own.
fn change(
    api: &Api,
    caller: &Caller,
    decide: impl FnOnce(&View<'_>) -> Result<Vec<Change>, RespondError>,
) -> Result<(), ApiError> {
    api.control.decide(&caller.scope, |view| Ok(((), decide(view)?)))
}

fn topic_arn(text: &str) -> Result<Arn, ApiError> {
    Arn::parse(text).map_err(|error| invalid("TopicArn", error))
}

fn subscription(text: &str) -> Result<Arn, ApiError> {
    Arn::parse(text).map_err(|error| invalid("SubscriptionArn", error))
}

fn token(text: &str) -> Result<SubscriptionToken, ApiError> {
    SubscriptionToken::parse(text).map_err(|error| invalid("Token", error))
}

fn tag_map(list: Vec<sns::Tag>) -> Result<BTreeMap<String, String>, ApiError> {
    let mut tags = BTreeMap::new();
    for sns::Tag { key, value } in list {
        if tags.contains_key(&key) {
            return Err(invalid("Tags", format_args!("the key {key:?} is there twice")));
        }
        tags.insert(key, value);
    }
    Ok(tags)
}

fn message_attributes(
    list: BTreeMap<String, sns::MessageAttributeValue>,
) -> Result<BTreeMap<String, (String, String)>, ApiError> {
    let read = |(name, attribute): (String, sns::MessageAttributeValue)| {
        let kind = attribute.data_type;
        let value = match (attribute.string_value, attribute.binary_value) {
            (Some(text), None) if !kind.starts_with("Binary") => text,
            (None, Some(bytes)) if kind.starts_with("Binary") => STANDARD.encode(bytes.0),
            _ => {
                let reason = format_args!("attribute {name:?} must have the one value that its type asks for");
                return Err(invalid("MessageAttributes", reason));
            }
        };
        Ok((name, (kind, value)))
    };
    list.into_iter().map(read).collect()
}

fn check_deduplication(id: Option<&str>) -> Result<(), ApiError> {
    match id {
        None | Some("") => Ok(()),
        Some(_) => Err(invalid("MessageDeduplicationId", "it is not valid for this topic type")),
    }
}

fn invalid(parameter: &str, reason: impl std::fmt::Display) -> ApiError {
    ApiError::invalid(format_args!("Invalid parameter: {parameter} Reason: {reason}"))
}

/// Tag operations have another word for what is not there.
fn of_resource(error: ApiError) -> ApiError {
    match error.kind {
        ErrorKind::NotFound => ApiError { kind: ErrorKind::ResourceNotFound, ..error },
        _ => error,
    }
}

impl From<RespondError> for ApiError {
    fn from(error: RespondError) -> Self {
        let kind = match &error {
            RespondError::InvalidParameter { name, reason } => return invalid(name, reason),
            RespondError::TopicName(error) => return invalid("Name", error),
            RespondError::Fifo => return invalid("Name", "topics are standard topics here, not FIFO"),
            RespondError::Endpoint(problem) => return invalid("Endpoint", problem),
            RespondError::NotFound { what: "topic" } => return Self::not_found("Topic does not exist"),
            RespondError::NotFound { .. } => return Self::not_found("Subscription does not exist"),
            RespondError::TopicLimitExceeded { .. } => ErrorKind::TopicLimitExceeded,
            RespondError::SubscriptionLimitExceeded { .. } => ErrorKind::SubscriptionLimitExceeded,
            RespondError::TagLimitExceeded { .. } => ErrorKind::TagLimitExceeded,
            RespondError::NotAuthorized { .. } => ErrorKind::Unauthorized,
            RespondError::Throttled { .. } => ErrorKind::Throttled,
            RespondError::Batch(problem) => match problem {
                BatchProblem::Empty => ErrorKind::EmptyBatchRequest,
                BatchProblem::TooManyEntries => ErrorKind::TooManyEntriesInBatchRequest,
                BatchProblem::IdsNotDistinct => ErrorKind::BatchEntryIdsNotDistinct,
                BatchProblem::InvalidId => ErrorKind::InvalidBatchEntryId,
                BatchProblem::TooLong => ErrorKind::BatchRequestTooLong,
            },
        };
        Self::new(kind, error)
    }
}
