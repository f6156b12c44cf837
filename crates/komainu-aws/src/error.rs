//! Error bodies, as each protocol writes them.

use serde_json::{Map, Value};

use crate::xml::escape;

/// The JSON body of an error of a rest-json service: the message and further members of the error's shape. The error's
/// name goes into the header `x-amzn-errortype`.
pub fn rest_json(message: &str, members: &[(&str, &str)]) -> String {
    let mut body = Map::new();
    body.insert("message".to_owned(), Value::from(message));
    body.extend(members.iter().map(|(name, value)| ((*name).to_owned(), Value::from(*value))));
    Value::Object(body).to_string()
}

/// The XML body of an error of a query service. `is_sender_fault` tells whether the client is to blame.
pub fn query(namespace: &str, code: &str, message: &str, is_sender_fault: bool, request_id: &str) -> String {
    let fault = if is_sender_fault { "Sender" } else { "Receiver" };
    let mut body = format!("<ErrorResponse xmlns=\"{namespace}\"><Error><Type>{fault}</Type><Code>");
    escape(code, &mut body);
    body += "</Code><Message>";
    escape(message, &mut body);
    body += "</Message></Error><RequestId>";
    escape(request_id, &mut body);
    body += "</RequestId></ErrorResponse>";
    body
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_escape_what_the_client_sent() {
        assert_eq!(rest_json("a\"b", &[("resourceId", "x")]), r#"{"message":"a\"b","resourceId":"x"}"#);
        let expected = "<ErrorResponse xmlns=\"urn:x\"><Error><Type>Sender</Type><Code>C</Code><Message>&lt;m&gt;\
             </Message></Error><RequestId>r</RequestId></ErrorResponse>";
        assert_eq!(query("urn:x", "C", "<m>", true, "r"), expected);
    }
}
