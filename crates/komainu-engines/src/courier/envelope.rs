//! SNS's envelope: the JSON that programs get, and its signature.
//!
//! Members and the string that is signed are those of the SNS developer guide ("HTTP/HTTPS notification JSON format",
//! "Verifying the signatures of Amazon SNS messages"): name and value of certain members, each followed by a line
//! feed, in the order of the names.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use komainu_model::{Delivery, NotificationKind, NotificationSignature};
use komainu_ports::{Authority, AuthorityError};
use serde::Serialize;

use super::links::{Links, subscription_arn};
use super::words::time_iso_millis;

/// The envelope, in the order SNS writes its members.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Envelope<'a> {
    #[serde(rename = "Type")]
    kind: &'static str,
    message_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    token: Option<&'a str>,
    topic_arn: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    subject: Option<&'a str>,
    message: &'a str,
    #[serde(rename = "SubscribeURL", skip_serializing_if = "Option::is_none")]
    subscribe_url: Option<&'a str>,
    timestamp: &'a str,
    signature_version: &'static str,
    signature: &'a str,
    #[serde(rename = "SigningCertURL")]
    signing_cert_url: &'a str,
    #[serde(rename = "UnsubscribeURL", skip_serializing_if = "Option::is_none")]
    unsubscribe_url: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    message_attributes: Option<BTreeMap<&'a str, Attribute<'a>>>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Attribute<'a> {
    #[serde(rename = "Type")]
    kind: &'a str,
    value: &'a str,
}

/// The value of `Type`, which is also a header.
pub(crate) fn message_type(kind: &NotificationKind) -> &'static str {
    match kind {
        NotificationKind::SubscriptionConfirmation { .. } => "SubscriptionConfirmation",
        NotificationKind::Message { .. } => "Notification",
        NotificationKind::UnsubscribeConfirmation { .. } => "UnsubscribeConfirmation",
    }
}

/// The signed envelope of a delivery.
pub(crate) fn json(delivery: &Delivery, links: &Links, authority: &dyn Authority) -> Result<String, AuthorityError> {
    let notification = &delivery.notification;
    let kind = message_type(&notification.kind);
    let topic_arn = notification.topic.as_str();
    let timestamp = time_iso_millis(notification.at);

    let (token, subject, message, attributes) = match &notification.kind {
        NotificationKind::SubscriptionConfirmation { token, .. } => {
            let message = format!(
                "You have chosen to subscribe to the topic {topic_arn}.\nTo confirm the subscription, visit the \
                 SubscribeURL included in this message."
            );
            (Some(token), None, message, None)
        }
        NotificationKind::UnsubscribeConfirmation { token, .. } => {
            let message = format!(
                "You have chosen to deactivate subscription {}.\nTo cancel this operation and restore the \
                 subscription, visit the SubscribeURL included in this message.",
                subscription_arn(delivery)
            );
            (Some(token), None, message, None)
        }
        NotificationKind::Message { subject, message, attributes, .. } => {
            (None, subject.as_deref(), message.clone(), Some(attributes))
        }
    };
    let subscribe_url = token.map(|token| links.confirm(&notification.topic, token));
    let unsubscribe_url = token.is_none().then(|| links.unsubscribe(delivery));
    let token = token.map(|token| token.as_str());

    let signed = [
        ("Message", Some(message.as_str())),
        ("MessageId", Some(&*notification.message_id)),
        ("Subject", subject),
        ("SubscribeURL", subscribe_url.as_deref()),
        ("Timestamp", Some(timestamp.as_str())),
        ("Token", token),
        ("TopicArn", Some(topic_arn)),
        ("Type", Some(kind)),
    ];
    let present = signed.into_iter().filter_map(|(name, value)| Some((name, value?)));
    let string_to_sign: String = present.map(|(name, value)| format!("{name}\n{value}\n")).collect();
    let signature = authority.sign_notification(notification.signature, string_to_sign.as_bytes())?;

    let attributes = attributes.filter(|attributes| !attributes.is_empty()).map(|attributes| {
        attributes.iter().map(|(name, (kind, value))| (name.as_str(), Attribute { kind, value })).collect()
    });
    let envelope = Envelope {
        kind,
        message_id: &notification.message_id,
        token,
        topic_arn,
        subject,
        message: &message,
        subscribe_url: subscribe_url.as_deref(),
        timestamp: &timestamp,
        signature_version: match notification.signature {
            NotificationSignature::V1 => "1",
            NotificationSignature::V2 => "2",
        },
        signature: &STANDARD.encode(signature),
        signing_cert_url: &links.signing_certificate(&authority.notification_certificate_pem()),
        unsubscribe_url: unsubscribe_url.as_deref(),
        message_attributes: attributes,
    };
    serde_json::to_string_pretty(&envelope)
        .map_err(|error| AuthorityError::Failed { doing: "writing a notification", reason: error.to_string() })
}
