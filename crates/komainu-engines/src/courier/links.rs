//! The links in messages, and the names in them.

use aws_lc_rs::digest;
use komainu_model::{Arn, Delivery, SubscriptionToken};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// All but the unreserved characters of RFC 3986.
const QUERY_VALUE: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Where this server's API is, as its clients reach it.
#[derive(Debug, Clone)]
pub(crate) struct Links {
    /// Without a slash at the end.
    base: String,
}

impl Links {
    pub(crate) fn new(public_url: &str) -> Self {
        Self { base: public_url.trim_end_matches('/').to_owned() }
    }

    /// The API itself.
    pub(crate) fn api(&self) -> &str {
        &self.base
    }

    /// Confirms a subscription; nobody needs to sign in.
    pub(crate) fn confirm(&self, topic: &Arn, token: &SubscriptionToken) -> String {
        format!(
            "{}/?Action=ConfirmSubscription&TopicArn={}&Token={token}",
            self.base,
            encoded(topic.as_str()),
            token = token.as_str()
        )
    }

    /// Ends a subscription; nobody needs to sign in.
    pub(crate) fn unsubscribe(&self, delivery: &Delivery) -> String {
        let arn = subscription_arn(delivery);
        let token = delivery.subscription_token.as_str();
        format!("{}/?Action=Unsubscribe&SubscriptionArn={}&Token={token}", self.base, encoded(&arn))
    }

    /// The certificate that notifications are signed with. The API serves it under this path; both name it by the
    /// SHA-256 of its PEM form.
    pub(crate) fn signing_certificate(&self, pem: &str) -> String {
        let sha256 = digest::digest(&digest::SHA256, pem.as_bytes());
        format!("{}/SimpleNotificationService-{}.pem", self.base, hex::encode(sha256))
    }
}

/// The ARN of a delivery's subscription.
pub(crate) fn subscription_arn(delivery: &Delivery) -> String {
    format!("{}:{}", delivery.notification.topic, delivery.subscription)
}

fn encoded(value: &str) -> impl std::fmt::Display {
    utf8_percent_encode(value, QUERY_VALUE)
}
