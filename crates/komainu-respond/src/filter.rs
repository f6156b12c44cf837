//! Filter policies: which messages a subscription wants, by their attributes.
//!
//! The operators are SNS's (developer guide, "Amazon SNS subscription filter policies"): exact strings, numbers,
//! booleans and null, `prefix`, `suffix`, `equals-ignore-case`, `anything-but` (with values, `prefix` or `suffix`),
//! `numeric`, `exists`, `cidr`. What is not among them (`$or`, `MessageBody`) is refused when the policy is set, never
//! ignored: a filter that lets too little through hides an alarm.

use std::collections::BTreeMap;
use std::net::IpAddr;

use serde_json::{Map, Value};

use crate::RespondError;
use crate::error::invalid;

/// The longest policy in bytes.
const POLICY_BYTES_MAX: usize = 256 * 1024;
/// The most attribute names in a policy.
const KEYS_MAX: usize = 5;
/// The most combinations of conditions: the product of the lengths of all lists.
const COMBINATIONS_MAX: usize = 150;
/// SNS compares numbers with five digits after the point.
const NUMBER_SCALE: f64 = 100_000.0;

/// A filter policy.
#[derive(Debug, Clone, PartialEq)]
pub struct FilterPolicy(BTreeMap<String, Vec<Condition>>);

#[derive(Debug, Clone, PartialEq)]
enum Condition {
    Is(Scalar),
    Prefix(String),
    Suffix(String),
    EqualsIgnoreCase(String),
    AnythingBut(Vec<Scalar>),
    AnythingButPrefix(String),
    AnythingButSuffix(String),
    Numeric(Vec<(Relation, Number)>),
    Exists(bool),
    Cidr(Network),
}

/// A value of an attribute, or of a policy.
#[derive(Debug, Clone, PartialEq)]
enum Scalar {
    Text(String),
    Number(Number),
    Bool(bool),
    Null,
}

/// A number in units of 0.00001.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd)]
struct Number(f64);

#[derive(Debug, Clone, Copy, PartialEq)]
enum Relation {
    Equal,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

#[derive(Debug, Clone, PartialEq)]
struct Network {
    address: IpAddr,
    prefix_bits: u32,
}

impl FilterPolicy {
    /// Reads a policy.
    pub fn parse(text: &str) -> Result<Self, RespondError> {
        parse(text).map_err(|reason| invalid("FilterPolicy", reason))
    }

    /// Whether a message with these attributes (name to type and value) is wanted: each name of the policy must have
    /// an attribute with a value that one of its conditions accepts.
    pub fn accepts(&self, attributes: &BTreeMap<String, (String, String)>) -> bool {
        self.0.iter().all(|(name, conditions)| {
            let values = attributes.get(name).map(|(kind, value)| scalars(kind, value));
            conditions.iter().any(|condition| condition.accepts(values.as_deref()))
        })
    }
}

/// The values of an attribute. SNS ignores binary ones.
fn scalars(kind: &str, value: &str) -> Vec<Scalar> {
    if kind == "String.Array" {
        let items: Vec<Value> = serde_json::from_str(value).unwrap_or_default();
        items.iter().filter_map(Scalar::of).collect()
    } else if kind == "Number" || kind.starts_with("Number.") {
        value.parse().ok().map(|number| Scalar::Number(Number::of(number))).into_iter().collect()
    } else if kind == "Binary" || kind.starts_with("Binary.") {
        Vec::new()
    } else {
        vec![Scalar::Text(value.to_owned())]
    }
}

impl Condition {
    /// `values` is `None` when the message has no such attribute.
    fn accepts(&self, values: Option<&[Scalar]>) -> bool {
        if let Self::Exists(wanted) = self {
            return values.is_some() == *wanted;
        }
        values.unwrap_or_default().iter().any(|value| self.accepts_value(value))
    }

    fn accepts_value(&self, value: &Scalar) -> bool {
        match (self, value) {
            (Self::Is(wanted), value) => wanted == value,
            (Self::Prefix(prefix), Scalar::Text(text)) => text.starts_with(prefix),
            (Self::Suffix(suffix), Scalar::Text(text)) => text.ends_with(suffix),
            (Self::EqualsIgnoreCase(wanted), Scalar::Text(text)) => wanted.to_lowercase() == text.to_lowercase(),
            (Self::AnythingBut(unwanted), value) => !unwanted.contains(value),
            (Self::AnythingButPrefix(prefix), Scalar::Text(text)) => !text.starts_with(prefix),
            (Self::AnythingButSuffix(suffix), Scalar::Text(text)) => !text.ends_with(suffix),
            (Self::Numeric(relations), Scalar::Number(number)) => {
                relations.iter().all(|(relation, bound)| relation.holds(*number, *bound))
            }
            (Self::Cidr(network), Scalar::Text(text)) => text.parse().is_ok_and(|address| network.contains(address)),
            (
                Self::Prefix(_)
                | Self::Suffix(_)
                | Self::EqualsIgnoreCase(_)
                | Self::AnythingButPrefix(_)
                | Self::AnythingButSuffix(_)
                | Self::Numeric(_)
                | Self::Cidr(_)
                | Self::Exists(_),
                _,
            ) => false,
        }
    }
}

impl Scalar {
    fn of(value: &Value) -> Option<Self> {
        match value {
            Value::String(text) => Some(Self::Text(text.clone())),
            Value::Number(number) => number.as_f64().map(|number| Self::Number(Number::of(number))),
            Value::Bool(is) => Some(Self::Bool(*is)),
            Value::Null => Some(Self::Null),
            Value::Array(_) | Value::Object(_) => None,
        }
    }
}

impl Number {
    fn of(number: f64) -> Self {
        Self((number * NUMBER_SCALE).round())
    }
}

impl Relation {
    fn parse(text: &str) -> Option<Self> {
        match text {
            "=" => Some(Self::Equal),
            "<" => Some(Self::Less),
            "<=" => Some(Self::LessOrEqual),
            ">" => Some(Self::Greater),
            ">=" => Some(Self::GreaterOrEqual),
            _ => None,
        }
    }

    fn holds(self, number: Number, bound: Number) -> bool {
        match self {
            Self::Equal => number == bound,
            Self::Less => number < bound,
            Self::LessOrEqual => number <= bound,
            Self::Greater => number > bound,
            Self::GreaterOrEqual => number >= bound,
        }
    }
}

impl Network {
    fn parse(text: &str) -> Option<Self> {
        let (address, prefix_bits) = text.split_once('/')?;
        let address: IpAddr = address.parse().ok()?;
        let prefix_bits: u32 = prefix_bits.parse().ok()?;
        (prefix_bits <= if address.is_ipv4() { 32 } else { 128 }).then_some(Self { address, prefix_bits })
    }

    fn contains(&self, address: IpAddr) -> bool {
        match (self.address, address) {
            (IpAddr::V4(network), IpAddr::V4(address)) => {
                let differing = u32::from(network) ^ u32::from(address);
                differing.leading_zeros() >= self.prefix_bits
            }
            (IpAddr::V6(network), IpAddr::V6(address)) => {
                let differing = u128::from(network) ^ u128::from(address);
                differing.leading_zeros() >= self.prefix_bits
            }
            (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => false,
        }
    }
}

fn parse(text: &str) -> Result<FilterPolicy, String> {
    if text.len() > POLICY_BYTES_MAX {
        return Err(format!("it has {} bytes, at most {POLICY_BYTES_MAX} are allowed", text.len()));
    }
    let value: Value = serde_json::from_str(text).map_err(|error| format!("it is not JSON: {error}"))?;
    let Value::Object(policy) = value else { return Err("it is not a JSON object".to_owned()) };
    if policy.len() > KEYS_MAX {
        return Err(format!("it has more than {KEYS_MAX} keys"));
    }
    let mut combinations = 1usize;
    let mut conditions_by_name = BTreeMap::new();
    for (name, list) in policy {
        if name == "$or" {
            return Err("$or is not supported; make a subscription for each branch".to_owned());
        }
        let Value::Array(list) = list else { return Err(format!("the value of {name:?} is not a list")) };
        if list.is_empty() {
            return Err(format!("the list of {name:?} is empty"));
        }
        combinations = combinations.saturating_mul(list.len());
        let conditions = list.iter().map(condition).collect::<Result<Vec<_>, _>>();
        conditions_by_name.insert(name.clone(), conditions.map_err(|reason| format!("under {name:?}: {reason}"))?);
    }
    if combinations > COMBINATIONS_MAX {
        return Err(format!("it has {combinations} combinations of values, at most {COMBINATIONS_MAX} are allowed"));
    }
    Ok(FilterPolicy(conditions_by_name))
}

fn condition(value: &Value) -> Result<Condition, String> {
    let operator = match value {
        Value::Object(operator) => operator,
        _ => return Scalar::of(value).map(Condition::Is).ok_or_else(|| "a list within a list".to_owned()),
    };
    let (name, operand) = only_member(operator)?;
    match (name, operand) {
        ("prefix", Value::String(text)) => Ok(Condition::Prefix(text.clone())),
        ("suffix", Value::String(text)) => Ok(Condition::Suffix(text.clone())),
        ("equals-ignore-case", Value::String(text)) => Ok(Condition::EqualsIgnoreCase(text.clone())),
        ("exists", Value::Bool(wanted)) => Ok(Condition::Exists(*wanted)),
        ("numeric", Value::Array(relations)) => numeric(relations),
        ("cidr", Value::String(text)) => {
            Network::parse(text).map(Condition::Cidr).ok_or_else(|| format!("{text:?} is not a CIDR"))
        }
        ("anything-but", Value::Object(inner)) => match only_member(inner)? {
            ("prefix", Value::String(text)) => Ok(Condition::AnythingButPrefix(text.clone())),
            ("suffix", Value::String(text)) => Ok(Condition::AnythingButSuffix(text.clone())),
            (inner, _) => Err(format!("anything-but does not go with {inner:?}")),
        },
        ("anything-but", Value::Array(values)) if !values.is_empty() => values
            .iter()
            .map(|value| Scalar::of(value).ok_or_else(|| "anything-but takes plain values".to_owned()))
            .collect::<Result<Vec<_>, _>>()
            .map(Condition::AnythingBut),
        ("anything-but", value) => Scalar::of(value)
            .map(|value| Condition::AnythingBut(vec![value]))
            .ok_or_else(|| "anything-but takes plain values".to_owned()),
        ("prefix" | "suffix" | "equals-ignore-case" | "exists" | "numeric" | "cidr", _) => {
            Err(format!("the operand of {name} has another type"))
        }
        _ => Err(format!("{name:?} is not an operator")),
    }
}

fn only_member(object: &Map<String, Value>) -> Result<(&str, &Value), String> {
    let mut members = object.iter();
    match (members.next(), members.next()) {
        (Some((name, value)), None) => Ok((name, value)),
        _ => Err("a condition has one operator".to_owned()),
    }
}

/// `["=", 1]` or `[">", 0, "<=", 100]`.
fn numeric(relations: &[Value]) -> Result<Condition, String> {
    let form = || "numeric takes one or two pairs of an operator (= < <= > >=) and a number".to_owned();
    if !matches!(relations.len(), 2 | 4) {
        return Err(form());
    }
    let pairs = relations.chunks_exact(2).map(|pair| {
        let relation = pair[0].as_str().and_then(Relation::parse).ok_or_else(form)?;
        let bound = pair[1].as_f64().ok_or_else(form)?;
        if bound.abs() > 1e9 {
            return Err("numbers are between -1000000000 and 1000000000".to_owned());
        }
        Ok((relation, Number::of(bound)))
    });
    pairs.collect::<Result<Vec<_>, _>>().map(Condition::Numeric)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attributes(list: &[(&str, &str, &str)]) -> BTreeMap<String, (String, String)> {
        list.iter().map(|(name, kind, value)| ((*name).to_owned(), ((*kind).to_owned(), (*value).to_owned()))).collect()
    }

    #[test]
    fn conditions() {
        let check = |conditions: &str, kind: &str, value: &str, expected: bool| {
            let policy = FilterPolicy::parse(&format!("{{\"x\": {conditions}}}")).unwrap();
            let accepted = policy.accepts(&attributes(&[("x", kind, value)]));
            assert_eq!(accepted, expected, "{conditions} on {kind} {value}");
        };
        check(r#"["a", "b"]"#, "String", "b", true);
        check(r#"["a", "b"]"#, "String", "B", false);
        check("[1.5]", "Number", "1.50", true);
        check("[1.5]", "String", "1.5", false);
        check("[0.000001]", "Number", "0", true);
        check(r#"["1"]"#, "Number", "1", false);
        check(r#"[{"prefix": "in-"}]"#, "String", "in-alarm", true);
        check(r#"[{"prefix": "in-"}]"#, "String", "alarm-cleared", false);
        check(r#"[{"suffix": "cleared"}]"#, "String", "alarm-cleared", true);
        check(r#"[{"equals-ignore-case": "ÄPFEL"}]"#, "String", "äpfel", true);
        check(r#"[{"anything-but": "a"}]"#, "String", "b", true);
        check(r#"[{"anything-but": "a"}]"#, "String", "a", false);
        check(r#"[{"anything-but": ["a", 1]}]"#, "Number", "1", false);
        check(r#"[{"anything-but": {"prefix": "test-"}}]"#, "String", "test-7", false);
        check(r#"[{"anything-but": {"suffix": "-7"}}]"#, "String", "test-8", true);
        check(r#"[{"anything-but": ["rugby"]}]"#, "String.Array", r#"["rugby", "tennis"]"#, true);
        check(r#"[{"anything-but": ["rugby", "tennis"]}]"#, "String.Array", r#"["rugby", "tennis"]"#, false);
        check(r#"[{"numeric": ["=", 301.5]}]"#, "Number", "301.5", true);
        check(r#"[{"numeric": [">", 0, "<=", 150]}]"#, "Number", "150", true);
        check(r#"[{"numeric": [">", 0, "<=", 150]}]"#, "Number", "0", false);
        check(r#"[{"numeric": ["<", -1]}]"#, "Number", "-2", true);
        check(r#"[{"numeric": [">=", 5]}]"#, "String", "7", false);
        check(r#"["b"]"#, "String.Array", r#"["a", "b"]"#, true);
        check("[true, null]", "String.Array", "[false, null]", true);
        check("[true]", "String.Array", "[false]", false);
        check(r#"[{"cidr": "10.0.0.0/24"}]"#, "String", "10.0.0.255", true);
        check(r#"[{"cidr": "10.0.0.0/24"}]"#, "String", "10.0.1.0", false);
        check(r#"[{"cidr": "0.0.0.0/0"}]"#, "String", "10.0.1.0", true);
        check(r#"[{"cidr": "2001:db8::/32"}]"#, "String", "2001:db8:1::1", true);
        check(r#"[{"cidr": "2001:db8::/32"}]"#, "String", "10.0.0.1", false);
        check(r#"["AAE="]"#, "Binary", "AAE=", false);
        check(r#"[{"exists": true}]"#, "Binary", "AAE=", true);
    }

    #[test]
    fn every_name_must_match_and_others_do_not_matter() {
        let policy = FilterPolicy::parse(r#"{"a": ["1"], "b": [{"exists": false}, "2"]}"#).unwrap();
        let check =
            |list: &[(&str, &str, &str)], expected| assert_eq!(policy.accepts(&attributes(list)), expected, "{list:?}");
        check(&[("a", "String", "1")], true);
        check(&[("a", "String", "1"), ("c", "String", "x")], true);
        check(&[("a", "String", "1"), ("b", "String", "2")], true);
        check(&[("a", "String", "1"), ("b", "String", "3")], false);
        check(&[("b", "String", "2")], false);
        check(&[], false);
        assert!(FilterPolicy::parse("{}").unwrap().accepts(&attributes(&[])));
    }

    #[test]
    fn what_is_not_understood_is_refused() {
        let many = format!(r#"{{"x": [{}]}}"#, vec!["1"; 151].join(","));
        for (policy, expected) in [
            ("", "not JSON"),
            ("[]", "not a JSON object"),
            (r#"{"x": "a"}"#, "is not a list"),
            (r#"{"x": []}"#, "is empty"),
            (r#"{"x": [["a"]]}"#, "a list within a list"),
            (r#"{"x": {"y": ["a"]}}"#, "is not a list"),
            (r#"{"$or": [{"x": ["a"]}]}"#, "$or is not supported"),
            (r#"{"x": [{"wildcard": "a*"}]}"#, "is not an operator"),
            (r#"{"x": [{"prefix": 7}]}"#, "another type"),
            (r#"{"x": [{"prefix": "a", "suffix": "b"}]}"#, "one operator"),
            (r#"{"x": [{}]}"#, "one operator"),
            (r#"{"x": [{"numeric": [">"]}]}"#, "one or two pairs"),
            (r#"{"x": [{"numeric": ["~", 1]}]}"#, "one or two pairs"),
            (r#"{"x": [{"numeric": [">", 1e10]}]}"#, "between"),
            (r#"{"x": [{"cidr": "10.0.0.0/33"}]}"#, "is not a CIDR"),
            (r#"{"x": [{"anything-but": []}]}"#, "plain values"),
            (r#"{"x": [{"anything-but": {"numeric": ["=", 1]}}]}"#, "does not go with"),
            (r#"{"a":[1],"b":[1],"c":[1],"d":[1],"e":[1],"f":[1]}"#, "more than 5 keys"),
            (&many, "151 combinations"),
        ] {
            let error = FilterPolicy::parse(policy).expect_err(policy).to_string();
            assert!(error.contains(expected), "{policy}: {error}");
        }
    }
}
