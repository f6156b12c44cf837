//! The form parameters of query services: `Tags.member.1.Key=..&Attributes.entry.1.key=..` as a tree.

use std::collections::BTreeMap;

use serde::de::value::{MapDeserializer, SeqDeserializer};
use serde::de::{Deserializer, IntoDeserializer, Visitor};

use crate::http::parse_form;
use crate::input::{InputError, Text};

/// At most so many parameters in one form. The largest legitimate one, PublishBatch with 10 entries of 10 attributes
/// each, has about 400.
pub const FORM_PARAMETERS_MAX: usize = 2_000;

/// At most so many parts in one parameter's name; `PublishBatchRequestEntries.member.1.MessageAttributes.entry.1.Value
/// .BinaryValue` has 8.
const NAME_PARTS_MAX: usize = 10;

/// A form as a tree of its parameters' names.
#[derive(Debug, Default)]
pub(crate) struct Form {
    value: Option<String>,
    children: BTreeMap<String, Form>,
}

impl Form {
    /// Reads a form body.
    pub(crate) fn parse(body: &[u8]) -> Result<Self, InputError> {
        let pairs = parse_form(body).ok_or_else(|| InputError::of_input("request body is not a UTF-8 form"))?;
        if pairs.len() > FORM_PARAMETERS_MAX {
            return Err(InputError::of_input(format!("request has more than {FORM_PARAMETERS_MAX} parameters")));
        }
        let mut root = Self::default();
        for (name, value) in pairs {
            let fail = |reason: &str| InputError { member: Some(name.clone()), reason: reason.to_owned() };
            if name.split('.').count() > NAME_PARTS_MAX {
                return Err(fail("has too many parts"));
            }
            let mut node = &mut root;
            for part in name.split('.') {
                node = node.children.entry(part.to_owned()).or_default();
            }
            if node.value.replace(value).is_some() {
                return Err(fail("is given twice"));
            }
        }
        Ok(root)
    }

    /// Reads a typed value from the tree.
    pub(crate) fn deserializer(&self) -> FormDeserializer<'_> {
        FormDeserializer { node: self, name: None }
    }

    /// The numbered children of `member` or `entry`, in the order of their numbers.
    fn numbered(&self, under: &str) -> Result<Vec<&Self>, InputError> {
        let Some(list) = self.children.get(under) else { return Ok(Vec::new()) };
        let mut items = Vec::with_capacity(list.children.len());
        for (number, item) in &list.children {
            let number: u32 =
                number.parse().map_err(|_| InputError::of_input(format!("{under}.{number} is not numbered")))?;
            items.push((number, item));
        }
        items.sort_by_key(|(number, _)| *number);
        Ok(items.into_iter().map(|(_, item)| item).collect())
    }
}

/// Reads what stands at one node; the type that is asked for says how.
pub(crate) struct FormDeserializer<'a> {
    node: &'a Form,
    /// The member the node is, for errors; the innermost one is named.
    name: Option<&'a str>,
}

impl<'a> FormDeserializer<'a> {
    fn of(node: &'a Form) -> Self {
        Self { node, name: None }
    }

    fn text(&self) -> Result<Text<'a>, InputError> {
        match &self.node.value {
            Some(value) => Ok(Text(value)),
            None => Err(InputError::of_input("has no value")),
        }
    }

    fn named<T>(name: Option<&str>, result: Result<T, InputError>) -> Result<T, InputError> {
        result.map_err(|error| InputError { member: error.member.or(name.map(str::to_owned)), reason: error.reason })
    }
}

impl<'de> IntoDeserializer<'de, InputError> for FormDeserializer<'_> {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

macro_rules! leaf {
    ($($method:ident)*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, InputError> {
            Self::named(self.name, self.text().and_then(|text| text.$method(visitor)))
        }
    )*};
}

impl<'de> Deserializer<'de> for FormDeserializer<'_> {
    type Error = InputError;

    leaf! { deserialize_any deserialize_bool deserialize_i32 deserialize_i64 deserialize_f64 }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, InputError> {
        visitor.visit_some(self)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, InputError> {
        let items = self.node.numbered("member").map(|items| items.into_iter().map(FormDeserializer::of));
        Self::named(self.name, items.and_then(|items| visitor.visit_seq(SeqDeserializer::new(items))))
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, InputError> {
        let read = || {
            let mut entries = Vec::new();
            for entry in self.node.numbered("entry")? {
                let part = |names: [&str; 2]| names.iter().find_map(|name| entry.children.get(*name));
                // SNS calls the parts of message attributes `Name` and `Value`.
                let key = part(["key", "Name"]).and_then(|key| key.value.as_deref());
                match (key, part(["value", "Value"])) {
                    (Some(key), Some(value)) => entries.push((key, FormDeserializer { node: value, name: Some(key) })),
                    _ => return Err(InputError::of_input("has an entry without key or value")),
                }
            }
            visitor.visit_map(MapDeserializer::new(entries.into_iter()))
        };
        Self::named(self.name, read())
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, InputError> {
        let members =
            self.node.children.iter().map(|(name, node)| (name.as_str(), FormDeserializer { node, name: Some(name) }));
        Self::named(self.name, visitor.visit_map(MapDeserializer::new(members)))
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, InputError> {
        visitor.visit_unit()
    }

    serde::forward_to_deserialize_any! {
        i8 i16 i128 u8 u16 u32 u64 u128 f32 char str string bytes byte_buf unit unit_struct newtype_struct tuple
        tuple_struct enum identifier
    }
}

#[cfg(test)]
mod tests {
    use crate::{Input, InputError, Request, sns};

    fn read<T: Input>(form: &str) -> Result<T, InputError> {
        T::read(&Request { labels: &[], query: &[], headers: &[], body: form.as_bytes() })
    }

    #[test]
    fn lists_maps_and_structures_are_read() {
        let input: sns::CreateTopicInput = read(
            "Action=CreateTopic&Version=2010-03-31&Name=t&Attributes.entry.1.key=DisplayName\
             &Attributes.entry.1.value=Two+words%21&Tags.member.2.Key=b&Tags.member.2.Value=2&Tags.member.1.Key=a\
             &Tags.member.1.Value=",
        )
        .unwrap();
        assert_eq!(input.name, "t");
        assert_eq!(input.attributes.unwrap()["DisplayName"], "Two words!");
        let tags: Vec<_> = input.tags.unwrap().into_iter().map(|tag| (tag.key, tag.value)).collect();
        assert_eq!(tags, [("a".to_owned(), String::new()), ("b".to_owned(), "2".to_owned())]);

        let input: sns::PublishBatchInput = read(
            "Action=PublishBatch&TopicArn=arn&PublishBatchRequestEntries.member.1.Id=one\
             &PublishBatchRequestEntries.member.1.Message=m\
             &PublishBatchRequestEntries.member.1.MessageAttributes.entry.1.Name=n\
             &PublishBatchRequestEntries.member.1.MessageAttributes.entry.1.Value.DataType=Binary\
             &PublishBatchRequestEntries.member.1.MessageAttributes.entry.1.Value.BinaryValue=AAE%3D",
        )
        .unwrap();
        let attributes = input.publish_batch_request_entries[0].message_attributes.as_ref().unwrap();
        assert_eq!(attributes["n"].binary_value.as_ref().unwrap().0, [0, 1]);
        let input: sns::SubscribeInput = read("TopicArn=a&Protocol=email&ReturnSubscriptionArn=true").unwrap();
        assert_eq!(input.return_subscription_arn, Some(true));
    }

    #[test]
    fn an_empty_list_is_an_empty_list() {
        let input: sns::UntagResourceRequest = read("ResourceArn=a&TagKeys=").unwrap();
        assert!(input.tag_keys.is_empty());
    }

    #[test]
    fn errors_name_the_parameter() {
        let check = |form: &str, expected: &str| {
            assert_eq!(read::<sns::SubscribeInput>(form).unwrap_err().to_string(), expected);
        };
        check("TopicArn=a", "missing field `Protocol`");
        check("TopicArn=a&TopicArn=b", "TopicArn: is given twice");
        check(
            "TopicArn=a&Protocol=p&ReturnSubscriptionArn=maybe",
            "ReturnSubscriptionArn: \"maybe\" is not true or false",
        );
        check("TopicArn.x=a&Protocol=p", "TopicArn: has no value");
        check("TopicArn=a&Protocol=p&Attributes.entry.x.key=k", "Attributes: entry.x is not numbered");
        check("TopicArn=a&Protocol=p&Attributes.entry.1.key=k", "Attributes: has an entry without key or value");
        check(&"a.".repeat(20), &format!("{}: has too many parts", "a.".repeat(20)));
        let many: String = (0..2_001).map(|n| format!("p{n}=&")).collect();
        check(&many, "request has more than 2000 parameters");
        check("a=%ff", "request body is not a UTF-8 form");
    }
}
