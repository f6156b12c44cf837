//! From a request to an operation's typed input.

use std::fmt;

use serde::de::value::MapAccessDeserializer;
use serde::de::{self, DeserializeOwned, DeserializeSeed, Deserializer, IntoDeserializer, MapAccess, Visitor};
use serde_json::Value;

use crate::form::Form;

/// What an operation's input is read from: a request that was routed, with path, query and headers decoded once.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// The path's labels and their values.
    pub labels: &'a [(&'static str, String)],
    /// The query string's names and values.
    pub query: &'a [(String, String)],
    /// The headers' names, in lower case, and values; only those that were signed.
    pub headers: &'a [(String, String)],
    /// The body: JSON, a form, or a payload.
    pub body: &'a [u8],
}

/// The input of an operation. Generated from the service models.
pub trait Input: Sized {
    /// Reads it from a request.
    fn read(request: &Request<'_>) -> Result<Self, InputError>;
}

/// Why an input cannot be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InputError {
    /// The member that is wrong, by AWS's name, when it is known.
    pub member: Option<String>,
    /// What is wrong with it.
    pub reason: String,
}

impl InputError {
    /// An error of the whole input.
    pub(crate) fn of_input(reason: impl Into<String>) -> Self {
        Self { member: None, reason: reason.into() }
    }
}

impl fmt::Display for InputError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.member {
            Some(member) => write!(f, "{member}: {}", self.reason),
            None => f.write_str(&self.reason),
        }
    }
}

impl std::error::Error for InputError {}

impl de::Error for InputError {
    fn custom<T: fmt::Display>(reason: T) -> Self {
        Self::of_input(reason.to_string())
    }
}

/// Where a member of an input stands when it does not stand in the body.
#[derive(Debug, Clone, Copy)]
pub struct Binding {
    /// The member.
    pub member: &'static str,
    /// The place.
    pub place: Place,
}

/// A place outside of the body.
#[derive(Debug, Clone, Copy)]
pub enum Place {
    /// A label of the path.
    Label(&'static str),
    /// A parameter of the query string.
    Query(&'static str),
    /// A header, by its name in lower case.
    Header(&'static str),
    /// A header that carries JSON in base64.
    JsonHeader(&'static str),
    /// The whole body as it is.
    Payload,
}

/// Reads an input of a rest-json service: bound members from their places, the others from the JSON body.
pub(crate) fn read_rest<T: DeserializeOwned>(bindings: &[Binding], request: &Request<'_>) -> Result<T, InputError> {
    let has_payload = bindings.iter().any(|binding| matches!(binding.place, Place::Payload));
    let body = if has_payload || request.body.is_empty() {
        serde_json::Map::new()
    } else {
        match serde_json::from_slice(request.body) {
            Ok(Value::Object(members)) => members,
            Ok(_) => return Err(InputError::of_input("request body is not a JSON object")),
            Err(error) => return Err(InputError::of_input(format!("request body is not JSON: {error}"))),
        }
    };
    let mut members: Vec<(String, Source<'_>)> = Vec::with_capacity(bindings.len() + body.len());
    for binding in bindings {
        if let Some(source) = find(binding, request)? {
            members.push((binding.member.to_owned(), source));
        }
    }
    // A bound member that stands in the body, too, does not count: its place is elsewhere.
    let is_bound = |name: &str| bindings.iter().any(|binding| binding.member == name);
    members
        .extend(body.into_iter().filter(|(name, _)| !is_bound(name)).map(|(name, value)| (name, Source::Json(value))));
    T::deserialize(MapAccessDeserializer::new(Members { members: members.into_iter(), next: None }))
}

/// Reads an input of a query service from the form in the body.
pub(crate) fn read_form<T: DeserializeOwned>(request: &Request<'_>) -> Result<T, InputError> {
    let form = Form::parse(request.body)?;
    T::deserialize(form.deserializer())
}

fn find<'a>(binding: &Binding, request: &'a Request<'_>) -> Result<Option<Source<'a>>, InputError> {
    let fail = |reason: &str| InputError { member: Some(binding.member.to_owned()), reason: reason.to_owned() };
    let header =
        |name: &str| request.headers.iter().find(|(header, _)| header == name).map(|(_, value)| value.as_str());
    Ok(match binding.place {
        Place::Label(name) => {
            request.labels.iter().find(|(label, _)| *label == name).map(|(_, value)| Source::Text(value))
        }
        Place::Query(name) => {
            let mut values = request.query.iter().filter(|(parameter, _)| parameter == name);
            let first = values.next();
            if values.next().is_some() {
                return Err(fail("is given twice"));
            }
            first.map(|(_, value)| Source::Text(value))
        }
        Place::Header(name) => header(name).map(Source::Text),
        Place::JsonHeader(name) => match header(name) {
            None => None,
            Some(encoded) => {
                use base64::Engine as _;
                let json =
                    base64::engine::general_purpose::STANDARD.decode(encoded).map_err(|_| fail("is not base64"))?;
                Some(Source::OwnedText(String::from_utf8(json).map_err(|_| fail("is not UTF-8"))?))
            }
        },
        Place::Payload => (!request.body.is_empty()).then_some(Source::Bytes(request.body)),
    })
}

/// What a member is read from.
enum Source<'a> {
    Text(&'a str),
    OwnedText(String),
    Bytes(&'a [u8]),
    Json(Value),
}

/// The members of an input, one after the other.
struct Members<'a> {
    members: std::vec::IntoIter<(String, Source<'a>)>,
    next: Option<(String, Source<'a>)>,
}

impl<'de> MapAccess<'de> for Members<'_> {
    type Error = InputError;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, InputError> {
        self.next = self.members.next();
        match &self.next {
            Some((name, _)) => seed.deserialize(name.as_str().into_deserializer()).map(Some),
            None => Ok(None),
        }
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, InputError> {
        let (name, source) = self.next.take().expect("serde asks for a value only after its key");
        let read = match source {
            Source::Text(text) => seed.deserialize(Text(text)),
            Source::OwnedText(text) => seed.deserialize(Text(&text)),
            Source::Bytes(bytes) => seed.deserialize(Payload(bytes)),
            Source::Json(value) => seed.deserialize(value).map_err(|error| InputError::of_input(error.to_string())),
        };
        read.map_err(|error| InputError { member: Some(error.member.unwrap_or(name)), reason: error.reason })
    }
}

/// Text that stands for whatever type the member has.
pub(crate) struct Text<'a>(pub(crate) &'a str);

impl Text<'_> {
    fn parse<T: std::str::FromStr>(&self, what: &str) -> Result<T, InputError> {
        self.0.parse().map_err(|_| InputError::of_input(format!("{:?} is not {what}", self.0)))
    }
}

impl<'de> Deserializer<'de> for Text<'_> {
    type Error = InputError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, InputError> {
        visitor.visit_str(self.0)
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, InputError> {
        match self.0 {
            "true" | "True" => visitor.visit_bool(true),
            "false" | "False" => visitor.visit_bool(false),
            other => Err(InputError::of_input(format!("{other:?} is not true or false"))),
        }
    }

    fn deserialize_i32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, InputError> {
        visitor.visit_i32(self.parse("a whole number")?)
    }

    fn deserialize_i64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, InputError> {
        visitor.visit_i64(self.parse("a whole number")?)
    }

    fn deserialize_f64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, InputError> {
        visitor.visit_f64(self.parse("a number")?)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, InputError> {
        visitor.visit_some(self)
    }

    serde::forward_to_deserialize_any! {
        i8 i16 i128 u8 u16 u32 u64 u128 f32 char str string bytes byte_buf unit unit_struct newtype_struct seq tuple
        tuple_struct map struct enum identifier ignored_any
    }
}

/// A request's whole body.
struct Payload<'a>(&'a [u8]);

impl<'de> Deserializer<'de> for Payload<'_> {
    type Error = InputError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, InputError> {
        visitor.visit_bytes(self.0)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, InputError> {
        visitor.visit_some(self)
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit unit_struct
        newtype_struct seq tuple tuple_struct map struct enum identifier ignored_any
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{iot, iot_data};

    fn pairs(of: &[(&str, &str)]) -> Vec<(String, String)> {
        of.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect()
    }

    fn read<T: Input>(
        labels: &[(&'static str, &str)],
        query: &[(&str, &str)],
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Result<T, InputError> {
        let labels: Vec<_> = labels.iter().map(|(label, value)| (*label, value.to_string())).collect();
        T::read(&Request { labels: &labels, query: &pairs(query), headers: &pairs(headers), body })
    }

    #[test]
    fn members_come_from_their_places() {
        let body = br#"{"behaviors":[{"name":"b","criteria":{"value":{"count":5},"durationSeconds":300}}],
                        "deleteBehaviors":false,"somethingNewer":1,"securityProfileName":"not-this-one"}"#;
        let input: iot::UpdateSecurityProfileRequest =
            read(&[("securityProfileName", "p")], &[("expectedVersion", "7")], &[], body).unwrap();
        assert_eq!(input.security_profile_name, "p");
        assert_eq!(input.expected_version, Some(7));
        assert_eq!(input.delete_behaviors, Some(false));
        let criteria = input.behaviors.as_ref().unwrap()[0].criteria.as_ref().unwrap();
        assert_eq!((criteria.duration_seconds, criteria.value.as_ref().unwrap().count), (Some(300), Some(5)));

        let input: iot::AttachThingPrincipalRequest =
            read(&[("thingName", "t")], &[], &[("x-amzn-principal", "arn:p")], b"").unwrap();
        assert_eq!((input.thing_name.as_str(), input.principal.as_str()), ("t", "arn:p"));

        let times =
            [("startTime", "2019-06-05T15:05:25Z"), ("endTime", "1559747126"), ("listSuppressedAlerts", "true")];
        let input: iot::ListViolationEventsRequest = read(&[], &times, &[], b"").unwrap();
        assert_eq!(input.start_time.unix_millis() + 1000, input.end_time.unix_millis());
        assert_eq!(input.list_suppressed_alerts, Some(true));
    }

    #[test]
    fn a_payload_is_the_body_as_it_is() {
        let headers = [("x-amz-mqtt5-user-properties", "W3siYSI6ImIifV0=")];
        let input: iot_data::PublishRequest =
            read(&[("topic", "a/b")], &[("qos", "1")], &headers, b"{\"x\":\xff").unwrap();
        assert_eq!(input.payload.unwrap().0, b"{\"x\":\xff");
        assert_eq!(input.user_properties.as_deref(), Some(r#"[{"a":"b"}]"#));
        assert_eq!((input.topic.as_str(), input.qos), ("a/b", Some(1)));
        let input: iot_data::PublishRequest = read(&[("topic", "a")], &[], &[], b"").unwrap();
        assert_eq!(input.payload, None);
    }

    #[test]
    fn errors_name_the_member() {
        let check = |query: &[(&str, &str)], body: &[u8], expected: &str| {
            let error = read::<iot::ListThingsRequest>(&[], query, &[], body).unwrap_err();
            assert_eq!(error.to_string(), expected);
        };
        check(&[("maxResults", "many")], b"", "maxResults: \"many\" is not a whole number");
        check(&[("maxResults", "1"), ("maxResults", "2")], b"", "maxResults: is given twice");
        check(&[("usePrefixAttributeValue", "1")], b"", "usePrefixAttributeValue: \"1\" is not true or false");
        check(&[], b"[1]", "request body is not a JSON object");
        let error = read::<iot::CreateThingRequest>(&[("thingName", "t")], &[], &[], br#"{"attributePayload":3}"#);
        assert_eq!(error.unwrap_err().member.as_deref(), Some("attributePayload"));
        let error = read::<iot::TagResourceRequest>(&[], &[], &[], b"{}").unwrap_err();
        assert_eq!(error.to_string(), "missing field `resourceArn`");
        let deep = [b"{\"tags\":".as_slice(), &b"[".repeat(100_000)].concat();
        assert!(read::<iot::TagResourceRequest>(&[], &[], &[], &deep).is_err());
    }
}
