//! The attributes of topics and subscriptions.
//!
//! An attribute that would be kept and not obeyed is refused, with the reason: who sets a `Deny` or a dead-letter
//! queue relies on it.

use std::collections::BTreeMap;

use komainu_model::Protocol;
use serde_json::Value;

use crate::error::invalid;
use crate::{FilterPolicy, RespondError};

pub(crate) const DISPLAY_NAME: &str = "DisplayName";
pub(crate) const POLICY: &str = "Policy";
pub(crate) const SIGNATURE_VERSION: &str = "SignatureVersion";
pub(crate) const RAW_MESSAGE_DELIVERY: &str = "RawMessageDelivery";
pub(crate) const FILTER_POLICY: &str = "FilterPolicy";
pub(crate) const FILTER_POLICY_SCOPE: &str = "FilterPolicyScope";

/// The longest display name in characters (SNS CreateTopic).
const DISPLAY_NAME_CHARS_MAX: usize = 100;
/// The longest access policy in bytes (SNS CreateTopic).
const POLICY_BYTES_MAX: usize = 30_720;

/// Attributes by AWS's names.
pub(crate) type Attributes = BTreeMap<String, String>;

/// Sets one attribute of a topic. An empty or missing value removes it.
pub(crate) fn set_topic_attribute(
    attributes: &mut Attributes,
    name: &str,
    value: Option<&str>,
) -> Result<(), RespondError> {
    let refuse = |reason: &str| Err(invalid("AttributeName", format!("{name}: {reason}")));
    let value = value.unwrap_or_default();
    match name {
        DISPLAY_NAME => {
            if value.chars().count() > DISPLAY_NAME_CHARS_MAX || value.chars().any(char::is_control) {
                return refuse("a display name has at most 100 characters and no control characters");
            }
        }
        SIGNATURE_VERSION if matches!(value, "" | "1" | "2") => {}
        SIGNATURE_VERSION => return refuse("the versions are 1 (SHA-1) and 2 (SHA-256)"),
        POLICY if value.is_empty() => {}
        POLICY => check_policy(value).or_else(|reason| refuse(&reason))?,
        "TracingConfig" if matches!(value, "" | "PassThrough") => return Ok(()),
        "FifoTopic" | "ContentBasedDeduplication" if matches!(value, "" | "false") => return Ok(()),
        "KmsMasterKeyId" if value.is_empty() => return Ok(()),
        "FifoTopic" | "ContentBasedDeduplication" | "FifoThroughputScope" | "ArchivePolicy" => {
            return refuse("topics are standard topics here, not FIFO");
        }
        "DeliveryPolicy" => return refuse("the retry schedule is the server's own and cannot be set"),
        "KmsMasterKeyId" => return refuse("there is no key management service here"),
        "TracingConfig" => return refuse("there is no X-Ray here"),
        _ if name.contains("FeedbackRoleArn") || name.contains("FeedbackSampleRate") => {
            return refuse("there is no CloudWatch here; what became of deliveries is in the server's log and metrics");
        }
        _ => return refuse("there is no such attribute, or it is not supported"),
    }
    put(attributes, name, value);
    Ok(())
}

/// Sets one attribute of a subscription. An empty or missing value removes it.
pub(crate) fn set_subscription_attribute(
    attributes: &mut Attributes,
    protocol: Protocol,
    name: &str,
    value: Option<&str>,
) -> Result<(), RespondError> {
    let refuse = |reason: &str| Err(invalid("AttributeName", format!("{name}: {reason}")));
    let value = value.unwrap_or_default();
    match name {
        RAW_MESSAGE_DELIVERY => match (value, protocol) {
            ("" | "false", _) | ("true", Protocol::Http | Protocol::Https) => {}
            ("true", Protocol::Email | Protocol::EmailJson) => {
                return refuse("mails cannot be raw; use MessageStructure=json for a text of their own");
            }
            _ => return refuse("its value is true or false"),
        },
        FILTER_POLICY if matches!(value, "" | "{}") => {
            attributes.remove(FILTER_POLICY);
            return Ok(());
        }
        FILTER_POLICY => {
            FilterPolicy::parse(value)?;
        }
        FILTER_POLICY_SCOPE if matches!(value, "" | "MessageAttributes") => {}
        FILTER_POLICY_SCOPE => return refuse("only MessageAttributes is supported"),
        "DeliveryPolicy" => return refuse("the retry schedule is the server's own and cannot be set"),
        "RedrivePolicy" => return refuse("there are no queues here; what cannot be delivered stays in the outbox"),
        _ => return refuse("there is no such attribute, or it is not supported"),
    }
    put(attributes, name, value);
    Ok(())
}

fn put(attributes: &mut Attributes, name: &str, value: &str) {
    if value.is_empty() {
        attributes.remove(name);
    } else {
        attributes.insert(name.to_owned(), value.to_owned());
    }
}

/// A policy that only allows is kept and shown: within one account it changes nothing, here as at SNS, for every
/// access key may use every topic of its account. A `Deny` would have to be obeyed, and is refused.
fn check_policy(text: &str) -> Result<(), String> {
    if text.len() > POLICY_BYTES_MAX {
        return Err(format!("it has {} bytes, at most {POLICY_BYTES_MAX} are allowed", text.len()));
    }
    let policy: Value = serde_json::from_str(text).map_err(|error| format!("it is not JSON: {error}"))?;
    let statements = match policy.get("Statement") {
        Some(Value::Array(statements)) => statements.as_slice(),
        Some(statement) => std::slice::from_ref(statement),
        None => return Err("it has no Statement".to_owned()),
    };
    for statement in statements {
        match statement.get("Effect").and_then(Value::as_str) {
            Some("Allow") => {}
            Some("Deny") => {
                return Err("statements that deny are not enforced here, so they are not accepted; every access key \
                            of the account may use its topics"
                    .to_owned());
            }
            _ => return Err("a statement has no Effect of Allow or Deny".to_owned()),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn topic_attributes() {
        let check = |name: &str, value: &str, expected: Result<Option<&str>, &str>| {
            let mut attributes = Attributes::new();
            match (set_topic_attribute(&mut attributes, name, Some(value)), expected) {
                (Ok(()), Ok(stored)) => assert_eq!(attributes.get(name).map(String::as_str), stored, "{name}"),
                (Err(error), Err(expected)) => assert!(error.to_string().contains(expected), "{error}"),
                (result, expected) => panic!("{name}={value}: {result:?}, expected {expected:?}"),
            }
        };
        check("DisplayName", "Ops ✓", Ok(Some("Ops ✓")));
        check("DisplayName", "", Ok(None));
        check("DisplayName", "a\r\nBcc: b", Err("no control characters"));
        check("DisplayName", &"x".repeat(101), Err("at most 100"));
        check("SignatureVersion", "2", Ok(Some("2")));
        check("SignatureVersion", "3", Err("the versions are"));
        check("TracingConfig", "PassThrough", Ok(None));
        check("TracingConfig", "Active", Err("no X-Ray"));
        check("FifoTopic", "true", Err("not FIFO"));
        check("FifoTopic", "false", Ok(None));
        check("DeliveryPolicy", "{}", Err("cannot be set"));
        check("HTTPSuccessFeedbackRoleArn", "arn", Err("no CloudWatch"));
        check("Colour", "red", Err("no such attribute"));
        let allow =
            r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":"*","Action":"sns:Publish"}]}"#;
        check("Policy", allow, Ok(Some(allow)));
        check("Policy", r#"{"Statement":{"Effect":"Deny"}}"#, Err("not enforced"));
        check("Policy", r#"{"Statement":[{}]}"#, Err("no Effect"));
        check("Policy", "{}", Err("no Statement"));
        check("Policy", "{", Err("not JSON"));
    }

    #[test]
    fn subscription_attributes() {
        let check = |protocol, name: &str, value: &str, expected: Result<Option<&str>, &str>| {
            let mut attributes = Attributes::new();
            match (set_subscription_attribute(&mut attributes, protocol, name, Some(value)), expected) {
                (Ok(()), Ok(stored)) => assert_eq!(attributes.get(name).map(String::as_str), stored, "{name}"),
                (Err(error), Err(expected)) => assert!(error.to_string().contains(expected), "{error}"),
                (result, expected) => panic!("{name}={value}: {result:?}, expected {expected:?}"),
            }
        };
        check(Protocol::Https, "RawMessageDelivery", "true", Ok(Some("true")));
        check(Protocol::Email, "RawMessageDelivery", "true", Err("mails cannot be raw"));
        check(Protocol::Email, "RawMessageDelivery", "false", Ok(Some("false")));
        check(Protocol::Https, "RawMessageDelivery", "yes", Err("true or false"));
        check(Protocol::Email, "FilterPolicy", r#"{"a":["b"]}"#, Ok(Some(r#"{"a":["b"]}"#)));
        check(Protocol::Email, "FilterPolicy", "{}", Ok(None));
        check(Protocol::Email, "FilterPolicy", r#"{"a":"b"}"#, Err("is not a list"));
        check(Protocol::Email, "FilterPolicyScope", "MessageBody", Err("only MessageAttributes"));
        check(Protocol::Https, "RedrivePolicy", "{}", Err("no queues"));
    }
}
