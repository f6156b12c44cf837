//! Policy documents as they are written.

use std::fmt;
use std::marker::PhantomData;

use serde::Deserialize;
use serde::de::{Error as _, MapAccess, SeqAccess, Visitor};

use super::Action;
use super::condition::Condition;
use super::pattern::{Token, collapsed, glob_matches};
use super::template::{Syntax, Template};

/// So many characters that are not white space a document may have (AWS IoT quotas, "policy document size").
const DOCUMENT_CHARS_MAX: usize = 2048;

/// So many bytes a document may have in all (CreatePolicy, `policyDocument`).
const DOCUMENT_BYTES_MAX: usize = 404_600;

/// A policy document that was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyDocument {
    pub(super) statements: Vec<Statement>,
}

/// One statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Statement {
    pub(super) effect: Effect,
    /// For each of [`Action::ALL`], whether it is about it.
    pub(super) actions: [bool; Action::ALL.len()],
    pub(super) resources: Vec<Resource>,
    pub(super) conditions: Vec<Condition>,
}

/// What a statement does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Effect {
    Allow,
    Deny,
}

/// What a statement is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Resource {
    /// `*`
    Everything,
    /// `arn:PARTITION:SERVICE:REGION:ACCOUNT:RESOURCE`. A part does not reach over its colon, so that `*` for the
    /// account does not also take the beginning of the resource.
    Arn {
        /// The five parts before the resource.
        head: [Template; 5],
        /// The resource; its `*` takes everything.
        resource: Template,
    },
}

/// Why a text is not a policy document.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("policy document is malformed: {reason}")]
pub struct MalformedPolicy {
    /// What is wrong with it.
    pub reason: String,
}

impl MalformedPolicy {
    pub(super) fn new(reason: impl Into<String>) -> Self {
        Self { reason: reason.into() }
    }
}

impl PolicyDocument {
    /// Reads a document that somebody wants to use. What is not known here is an error, so that nobody trusts in a
    /// condition that is never looked at.
    pub fn parse(text: &str) -> Result<Self, MalformedPolicy> {
        let document = Self::parse_tolerant(text)?;
        let conditions = document.statements.iter().flat_map(|statement| &statement.conditions);
        match conditions.filter_map(Condition::unsupported_operator).next() {
            Some(operator) => Err(MalformedPolicy::new(format!("condition operator {operator:?} is not supported"))),
            None => Ok(document),
        }
    }

    /// Reads a document that is in use. What is not known here never allows anything, and denies where it stands in a
    /// statement that denies; a text that cannot be read at all denies everything.
    pub fn parse_in_use(text: &str) -> Self {
        Self::parse_tolerant(text).unwrap_or_else(|_| Self::denying_everything())
    }

    fn denying_everything() -> Self {
        let statement = Statement {
            effect: Effect::Deny,
            actions: [true; Action::ALL.len()],
            resources: vec![Resource::Everything],
            conditions: Vec::new(),
        };
        Self { statements: vec![statement] }
    }

    fn parse_tolerant(text: &str) -> Result<Self, MalformedPolicy> {
        if text.len() > DOCUMENT_BYTES_MAX {
            let bytes = text.len();
            return Err(MalformedPolicy::new(format!(
                "it has {bytes} bytes, at most {DOCUMENT_BYTES_MAX} are allowed"
            )));
        }
        let chars = text.chars().filter(|c| !c.is_whitespace()).count();
        if chars > DOCUMENT_CHARS_MAX {
            return Err(MalformedPolicy::new(format!(
                "it has {chars} characters without white space, at most {DOCUMENT_CHARS_MAX} are allowed"
            )));
        }
        let json: DocumentJson = serde_json::from_str(text).map_err(|error| MalformedPolicy::new(error.to_string()))?;
        // Policy variables are newer than the older version, in which they were plain text.
        let variables = match json.version.as_deref() {
            Some("2012-10-17") => true,
            Some("2008-10-17") | None => false,
            Some(other) => return Err(MalformedPolicy::new(format!("version {other:?} is not known"))),
        };
        let statements =
            json.statements.0.iter().map(|statement| statement.parse(variables)).collect::<Result<_, _>>()?;
        Ok(Self { statements })
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct DocumentJson {
    #[serde(rename = "Version")]
    version: Option<String>,
    #[serde(rename = "Id")]
    _id: Option<String>,
    #[serde(rename = "Statement")]
    statements: OneOrMany<StatementJson>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct StatementJson {
    #[serde(rename = "Sid")]
    _sid: Option<String>,
    #[serde(rename = "Effect")]
    effect: String,
    #[serde(rename = "Action")]
    actions: OneOrMany<Text>,
    #[serde(rename = "Resource")]
    resources: OneOrMany<Text>,
    #[serde(rename = "Condition", default)]
    conditions: Members<Members<OneOrMany<Text>>>,
}

impl StatementJson {
    fn parse(&self, variables: bool) -> Result<Statement, MalformedPolicy> {
        let effect = match self.effect.as_str() {
            "Allow" => Effect::Allow,
            "Deny" => Effect::Deny,
            other => return Err(MalformedPolicy::new(format!("effect {other:?} is neither Allow nor Deny"))),
        };
        let mut actions = [false; Action::ALL.len()];
        for pattern in &self.actions.0 {
            add_actions(&pattern.0, &mut actions)?;
        }
        let resources = self
            .resources
            .0
            .iter()
            .map(|resource| Resource::parse(&resource.0, variables))
            .collect::<Result<_, _>>()?;
        let mut conditions = Vec::new();
        for (operator, keys) in &self.conditions.0 {
            for (key, values) in &keys.0 {
                let values: Vec<String> = values.0.iter().map(|value| value.0.clone()).collect();
                conditions.push(Condition::parse(operator, key, &values, variables)?);
            }
        }
        Ok(Statement { effect, actions, resources, conditions })
    }
}

/// Adds the actions that `pattern` (`iot:Publish`, `iot:*`, `*`) is about. Actions of other services and of other
/// parts of IoT are well-formed and none of ours.
fn add_actions(pattern: &str, actions: &mut [bool; Action::ALL.len()]) -> Result<(), MalformedPolicy> {
    let is_word = |word: &str| {
        !word.is_empty() && word.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '*' | '?' | '-'))
    };
    let well_formed =
        pattern == "*" || pattern.split_once(':').is_some_and(|(service, name)| is_word(service) && is_word(name));
    if !well_formed {
        return Err(MalformedPolicy::new(format!("action {pattern:?} is not of the form iot:NAME")));
    }
    let tokens: Vec<Token> = pattern
        .chars()
        .map(|c| match c {
            '*' => Token::Any,
            '?' => Token::One,
            c => Token::Char(c.to_ascii_lowercase()),
        })
        .collect();
    let tokens = collapsed(&tokens);
    for action in Action::ALL {
        actions[action.index()] |= glob_matches(&tokens, &action.as_str().to_ascii_lowercase());
    }
    Ok(())
}

impl Resource {
    fn parse(text: &str, variables: bool) -> Result<Self, MalformedPolicy> {
        if text == "*" {
            return Ok(Self::Everything);
        }
        let malformed = || MalformedPolicy::new(format!("resource {text:?} is neither an ARN nor *"));
        let mut parts = split_outside_variables(text, variables);
        // `arn:aws:iot:*` is short for `*` in the remaining parts.
        if parts.len() < 6 && parts.last().is_some_and(|last| last.ends_with('*')) {
            parts.resize(6, "*");
        }
        let [head @ .., resource] = parts.as_slice() else { return Err(malformed()) };
        if head.len() != 5 || resource.is_empty() || head[0] != "arn" {
            return Err(malformed());
        }
        let parse = |part: &&str| Template::parse(part, Syntax { wildcards: true, variables });
        let head = head.iter().map(parse).collect::<Result<Vec<_>, _>>()?;
        let head = head.try_into().map_err(|_| malformed())?;
        Ok(Self::Arn { head, resource: parse(resource)? })
    }
}

/// The six parts of an ARN, or fewer. Colons inside variables (`${iot:ClientId}`) do not part.
fn split_outside_variables(text: &str, variables: bool) -> Vec<&str> {
    let mut parts = Vec::with_capacity(6);
    let (mut start, mut inside) = (0, false);
    for (at, c) in text.char_indices() {
        match c {
            '{' if variables && text[..at].ends_with('$') => inside = true,
            '}' => inside = false,
            ':' if !inside && parts.len() < 5 => {
                parts.push(&text[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&text[start..]);
    parts
}

/// A string; in conditions also a boolean or a number, taken as it is written.
struct Text(String);

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TextVisitor;

        impl Visitor<'_> for TextVisitor {
            type Value = Text;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }

            fn visit_str<E>(self, text: &str) -> Result<Text, E> {
                Ok(Text(text.to_owned()))
            }

            fn visit_bool<E>(self, value: bool) -> Result<Text, E> {
                Ok(Text(value.to_string()))
            }

            fn visit_i64<E>(self, value: i64) -> Result<Text, E> {
                Ok(Text(value.to_string()))
            }

            fn visit_u64<E>(self, value: u64) -> Result<Text, E> {
                Ok(Text(value.to_string()))
            }

            fn visit_f64<E>(self, value: f64) -> Result<Text, E> {
                Ok(Text(value.to_string()))
            }
        }

        deserializer.deserialize_any(TextVisitor)
    }
}

/// A value, or a list of at least one.
struct OneOrMany<T>(Vec<T>);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for OneOrMany<T> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OneOrManyVisitor<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for OneOrManyVisitor<T> {
            type Value = OneOrMany<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a value or a list of values")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<OneOrMany<T>, A::Error> {
                let mut items = Vec::new();
                while let Some(item) = seq.next_element()? {
                    items.push(item);
                }
                if items.is_empty() { Err(A::Error::custom("empty list")) } else { Ok(OneOrMany(items)) }
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<OneOrMany<T>, A::Error> {
                let one = T::deserialize(serde::de::value::MapAccessDeserializer::new(map))?;
                Ok(OneOrMany(vec![one]))
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<OneOrMany<T>, E> {
                let one = T::deserialize(serde::de::value::StrDeserializer::new(text))?;
                Ok(OneOrMany(vec![one]))
            }

            fn visit_bool<E: serde::de::Error>(self, value: bool) -> Result<OneOrMany<T>, E> {
                let one = T::deserialize(serde::de::value::BoolDeserializer::new(value))?;
                Ok(OneOrMany(vec![one]))
            }

            fn visit_i64<E: serde::de::Error>(self, value: i64) -> Result<OneOrMany<T>, E> {
                let one = T::deserialize(serde::de::value::I64Deserializer::new(value))?;
                Ok(OneOrMany(vec![one]))
            }

            fn visit_u64<E: serde::de::Error>(self, value: u64) -> Result<OneOrMany<T>, E> {
                let one = T::deserialize(serde::de::value::U64Deserializer::new(value))?;
                Ok(OneOrMany(vec![one]))
            }

            fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<OneOrMany<T>, E> {
                let one = T::deserialize(serde::de::value::F64Deserializer::new(value))?;
                Ok(OneOrMany(vec![one]))
            }
        }

        deserializer.deserialize_any(OneOrManyVisitor(PhantomData))
    }
}

/// An object whose member names are data. The same name twice is an error: readers would differ in what they see.
struct Members<T>(Vec<(String, T)>);

impl<T> Default for Members<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Members<T> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct MembersVisitor<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for MembersVisitor<T> {
            type Value = Members<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members<T>, A::Error> {
                let mut members: Vec<(String, T)> = Vec::new();
                while let Some((name, value)) = map.next_entry::<String, T>()? {
                    if members.iter().any(|(present, _)| *present == name) {
                        return Err(A::Error::custom(format!("{name:?} stands twice")));
                    }
                    members.push((name, value));
                }
                Ok(Members(members))
            }
        }

        deserializer.deserialize_map(MembersVisitor(PhantomData))
    }
}
