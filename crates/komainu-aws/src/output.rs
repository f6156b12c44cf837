//! From an operation's typed output to a response body.

use serde::Serialize;

use crate::xml;

/// The output of an operation. Generated from the service models.
pub trait Output {
    /// The body of the response, or of its `XResult` element; `None` for operations without output.
    fn write(&self) -> Option<String>;
}

impl Output for () {
    fn write(&self) -> Option<String> {
        None
    }
}

/// The JSON body of a rest-json service.
pub(crate) fn write_json<T: Serialize>(output: &T) -> Option<String> {
    Some(serde_json::to_string(output).expect("generated shapes have string keys and no failing members"))
}

/// The members of an `XResult` element of a query service.
pub(crate) fn write_xml<T: Serialize>(output: &T) -> Option<String> {
    Some(xml::members(output).expect("generated shapes have only members that the XML writer knows"))
}

/// The whole XML response of a query service: `result` is what [`Output::write`] gave.
pub fn query_response(namespace: &str, operation: &str, result: Option<&str>, request_id: &str) -> String {
    let mut body = format!("<{operation}Response xmlns=\"{namespace}\">");
    if let Some(result) = result {
        body += &format!("<{operation}Result>{result}</{operation}Result>");
    }
    body += "<ResponseMetadata><RequestId>";
    xml::escape(request_id, &mut body);
    body += &format!("</RequestId></ResponseMetadata></{operation}Response>");
    body
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::{EpochSeconds, iot, sns};

    #[test]
    fn absent_members_are_not_written() {
        let output = iot::DescribeSecurityProfileResponse {
            security_profile_name: Some("p".into()),
            creation_date: Some(EpochSeconds::from_unix_millis(1_500)),
            behaviors: Some(Vec::new()),
            ..Default::default()
        };
        let json: serde_json::Value = serde_json::from_str(&output.write().unwrap()).unwrap();
        let expected = serde_json::json!({"securityProfileName": "p", "creationDate": 1.5, "behaviors": []});
        assert_eq!(json, expected);
    }

    #[test]
    fn query_responses_have_aws_form() {
        let attributes = BTreeMap::from([("DisplayName".to_owned(), "a<b>&\"c\"\u{0}\r".to_owned())]);
        let output = sns::GetTopicAttributesResponse { attributes: Some(attributes) };
        let body = query_response("urn:x", "GetTopicAttributes", output.write().as_deref(), "r-1");
        let expected = "<GetTopicAttributesResponse xmlns=\"urn:x\"><GetTopicAttributesResult><Attributes><entry>\
             <key>DisplayName</key><value>a&lt;b&gt;&amp;&quot;c&quot;\u{fffd}&#xD;</value></entry></Attributes>\
             </GetTopicAttributesResult><ResponseMetadata><RequestId>r-1</RequestId></ResponseMetadata>\
             </GetTopicAttributesResponse>";
        assert_eq!(body, expected);

        let topics = ["arn:1", "arn:2"].map(|arn| sns::Topic { topic_arn: Some(arn.into()) });
        let output = sns::ListTopicsResponse { topics: Some(topics.into()), next_token: None };
        let expected =
            "<Topics><member><TopicArn>arn:1</TopicArn></member><member><TopicArn>arn:2</TopicArn></member></Topics>";
        assert_eq!(output.write().as_deref(), Some(expected));

        let body = query_response("urn:x", "DeleteTopic", ().write().as_deref(), "r");
        let expected = "<DeleteTopicResponse xmlns=\"urn:x\"><ResponseMetadata><RequestId>r</RequestId>\
             </ResponseMetadata></DeleteTopicResponse>";
        assert_eq!(body, expected);
    }
}
