//! What a publisher may say: subject, text, a text per protocol, message attributes.

use std::collections::BTreeMap;

use komainu_model::Protocol;
use serde_json::Value;

use crate::RespondError;
use crate::error::invalid;

/// The longest message in bytes, its attributes included (SNS Publish).
pub const MESSAGE_BYTES_MAX: usize = 262_144;
/// The longest subject in characters (SNS Publish).
pub const SUBJECT_CHARS_MAX: usize = 100;
/// The longest name of a message attribute in bytes.
const ATTRIBUTE_NAME_BYTES_MAX: usize = 256;

/// What a publisher says, as it came.
#[derive(Debug, Clone, Default)]
pub struct PublishRequest {
    /// The subject; mails show it.
    pub subject: Option<String>,
    /// The text, or with `message_structure` the JSON object of texts.
    pub message: String,
    /// `json` when `message` has a text for each protocol.
    pub message_structure: Option<String>,
    /// Message attributes: name to (type, value); the value of a `Binary` one in base64.
    pub attributes: BTreeMap<String, (String, String)>,
}

/// What a publisher says, checked.
pub(crate) struct Message {
    pub(crate) subject: Option<String>,
    pub(crate) attributes: BTreeMap<String, (String, String)>,
    texts: Texts,
}

enum Texts {
    Same(String),
    ByProtocol { default: String, others: BTreeMap<String, String> },
}

impl Message {
    pub(crate) fn parse(request: PublishRequest) -> Result<Self, RespondError> {
        let PublishRequest { subject, message, message_structure, attributes } = request;
        let subject = subject.filter(|subject| !subject.is_empty());
        if let Some(subject) = &subject {
            check_subject(subject).map_err(|reason| invalid("Subject", reason))?;
        }
        if message.is_empty() {
            return Err(invalid("Message", "it is empty"));
        }
        let mut bytes = message.len();
        for (name, (kind, value)) in &attributes {
            let in_attribute = |reason: &str| invalid("MessageAttributes", format!("attribute {name:?}: {reason}"));
            check_attribute(name, kind, value).map_err(in_attribute)?;
            bytes += name.len() + kind.len() + value.len();
        }
        if bytes > MESSAGE_BYTES_MAX {
            let reason = format!("with its attributes it has {bytes} bytes, at most {MESSAGE_BYTES_MAX} are allowed");
            return Err(invalid("Message", reason));
        }
        let texts = match message_structure.as_deref() {
            None | Some("") => Texts::Same(message),
            Some("json") => texts_by_protocol(&message).map_err(|reason| invalid("Message", reason))?,
            Some(_) => return Err(invalid("MessageStructure", "the only structure is json")),
        };
        Ok(Self { subject, attributes, texts })
    }

    /// What the server itself says. It is not refused for what a device put into it.
    pub(crate) fn of_alert(subject: String, text: String, attributes: BTreeMap<String, (String, String)>) -> Self {
        Self { subject: Some(subject), attributes, texts: Texts::Same(text) }
    }

    /// The text for subscriptions of this protocol.
    pub(crate) fn text_for(&self, protocol: Protocol) -> &str {
        match &self.texts {
            Texts::Same(text) => text,
            Texts::ByProtocol { default, others } => others.get(protocol.as_str()).unwrap_or(default),
        }
    }
}

/// At most `chars_max` characters of `text`, with an ellipsis when some are missing.
pub(crate) fn shortened(text: &str, chars_max: usize) -> String {
    if text.chars().count() <= chars_max {
        return text.to_owned();
    }
    text.chars().take(chars_max.saturating_sub(1)).chain(['…']).collect()
}

fn check_subject(subject: &str) -> Result<(), &'static str> {
    if subject.chars().count() > SUBJECT_CHARS_MAX {
        Err("it has more than 100 characters")
    } else if subject.chars().any(|c| c.is_control() || matches!(c, '\u{2028}' | '\u{2029}')) {
        Err("it has line breaks or control characters")
    } else if subject.starts_with(char::is_whitespace) {
        Err("it begins with white space")
    } else {
        Ok(())
    }
}

fn check_attribute(name: &str, kind: &str, value: &str) -> Result<(), &'static str> {
    let is_name_char = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
    if name.is_empty() || name.len() > ATTRIBUTE_NAME_BYTES_MAX || !name.chars().all(is_name_char) {
        return Err("a name has 1 to 256 characters of a-z A-Z 0-9 _ - .");
    }
    if name.starts_with('.') || name.ends_with('.') || name.contains("..") {
        return Err("a name neither begins nor ends with a period and has no two in a row");
    }
    let lower = name.to_ascii_lowercase();
    if ["aws.", "amazon.", "komainu."].iter().any(|reserved| lower.starts_with(reserved)) {
        return Err("names that begin with AWS. Amazon. or Komainu. are reserved");
    }
    if value.is_empty() {
        return Err("its value is empty");
    }
    match kind {
        "String.Array" => match serde_json::from_str(value) {
            Ok(Value::Array(items)) if items.iter().all(|item| !item.is_array() && !item.is_object()) => Ok(()),
            _ => Err("its value is not a JSON array of strings, numbers, booleans and nulls"),
        },
        "Number" if value.parse::<f64>().is_ok_and(f64::is_finite) => Ok(()),
        "Number" => Err("its value is not a number"),
        "String" | "Binary" => Ok(()),
        // SNS lets applications refine types: `Number.byte`, `Binary.gif`.
        _ if ["String.", "Number.", "Binary."].iter().any(|base| kind.starts_with(base)) && kind.len() <= 256 => Ok(()),
        _ => Err("its type is none of String, String.Array, Number and Binary"),
    }
}

fn texts_by_protocol(message: &str) -> Result<Texts, String> {
    let value: Value = serde_json::from_str(message).map_err(|error| format!("it is not JSON: {error}"))?;
    let Value::Object(object) = value else { return Err("it is not a JSON object".to_owned()) };
    // SNS ignores keys whose value is not a string.
    let mut others: BTreeMap<String, String> = object
        .into_iter()
        .filter_map(|(protocol, text)| match text {
            Value::String(text) => Some((protocol, text)),
            _ => None,
        })
        .collect();
    let default = others.remove("default").ok_or("it has no string under the key `default`")?;
    Ok(Texts::ByProtocol { default, others })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(subject: &str, message: &str) -> PublishRequest {
        PublishRequest { subject: Some(subject.to_owned()), message: message.to_owned(), ..PublishRequest::default() }
    }

    #[test]
    fn subjects_and_sizes() {
        let check = |request: PublishRequest, expected: Option<&str>| match (Message::parse(request), expected) {
            (Ok(_), None) => {}
            (Err(error), Some(expected)) => assert!(error.to_string().contains(expected), "{error}"),
            (Ok(_), Some(expected)) => panic!("taken, expected {expected}"),
            (Err(error), None) => panic!("{error}"),
        };
        check(request("", "x"), None);
        check(request("Grüße", "x"), None);
        check(request(&"ü".repeat(100), "x"), None);
        check(request(&"x".repeat(101), "x"), Some("more than 100"));
        check(request("a\r\nBcc: x@example.com", "x"), Some("line breaks"));
        check(request("a\u{2028}b", "x"), Some("line breaks"));
        check(request(" a", "x"), Some("white space"));
        check(request("a", ""), Some("it is empty"));
        check(request("a", &"x".repeat(MESSAGE_BYTES_MAX)), None);
        check(request("a", &"x".repeat(MESSAGE_BYTES_MAX + 1)), Some("262145 bytes"));
    }

    #[test]
    fn attributes() {
        let check = |name: &str, kind: &str, value: &str, fine: bool| {
            let attributes = BTreeMap::from([(name.to_owned(), (kind.to_owned(), value.to_owned()))]);
            let request = PublishRequest { message: "x".to_owned(), attributes, ..PublishRequest::default() };
            assert_eq!(Message::parse(request).is_ok(), fine, "{name:?} {kind:?} {value:?}");
        };
        check("team", "String", "blue", true);
        check("team", "String.Array", "[\"a\", 1, true, null]", true);
        check("n", "Number", "-1.5e3", true);
        check("n", "Number.byte", "7", true);
        check("b", "Binary", "AAE=", true);
        check("", "String", "x", false);
        check(".a", "String", "x", false);
        check("a.", "String", "x", false);
        check("a..b", "String", "x", false);
        check("a b", "String", "x", false);
        check("AWS.x", "String", "x", false);
        check("Komainu.HeldBack", "Number", "1", false);
        check("a", "String", "", false);
        check("a", "Number", "one", false);
        check("a", "Number", "inf", false);
        check("a", "String.Array", "[[1]]", false);
        check("a", "String.Array", "{}", false);
        check("a", "Text", "x", false);
    }

    #[test]
    fn a_text_for_each_protocol() {
        let parse = |message: &str| {
            let structure = Some("json".to_owned());
            let request = PublishRequest { message_structure: structure, ..request("s", message) };
            Message::parse(request).map_err(|error| error.to_string())
        };
        let message = parse(r#"{"default":"d","email":"mail","http":7,"sms":"short"}"#).ok().unwrap();
        assert_eq!(message.text_for(Protocol::Email), "mail");
        assert_eq!(message.text_for(Protocol::EmailJson), "d");
        assert_eq!(message.text_for(Protocol::Http), "d");
        for bad in [r#"{"email":"mail"}"#, r#"{"default":7}"#, "[]", "{", ""] {
            assert!(parse(bad).is_err(), "{bad}");
        }
        let request = PublishRequest { message_structure: Some("xml".to_owned()), ..request("s", "x") };
        assert!(Message::parse(request).is_err());
    }

    #[test]
    fn shortening_keeps_characters_whole() {
        assert_eq!(shortened("äöü", 3), "äöü");
        assert_eq!(shortened("äöüß", 3), "äö…");
    }
}
