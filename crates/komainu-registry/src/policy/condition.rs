//! Conditions of statements. All keys a connection has stay the same while it lasts, so conditions are settled once.

use std::net::IpAddr;

use ipnet::IpNet;

use super::connection::{ConnectionContext, Variable};
use super::document::{Effect, MalformedPolicy};
use super::pattern::{Token, collapsed, glob_matches};
use super::template::{Syntax, Template};

/// One key of one operator: `"StringEquals": {"iot:ClientId": ["a", "b"]}`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Condition {
    test: Test,
    /// `...IfExists`: holds when the key has no value.
    if_exists: bool,
    quantifier: Option<Quantifier>,
    key: Variable,
}

/// How several values of a key count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Quantifier {
    /// `ForAllValues:`
    All,
    /// `ForAnyValue:`
    Any,
}

/// What is asked of a key's value.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Test {
    /// One of the templates matches; with `negated`, none does.
    Text { templates: Vec<Template>, any_case: bool, negated: bool },
    /// The value is `true` or `false`.
    Bool(Vec<bool>),
    /// The address is in one of the networks; with `negated`, in none.
    Address { networks: Vec<IpNet>, negated: bool },
    /// The key has no value (`true`) or has one (`false`).
    Null(Vec<bool>),
    /// An operator that is not known here.
    Unsupported { operator: String },
}

impl Condition {
    /// Reads one key of an operator. An operator that is not known is taken as such; see
    /// [`Condition::unsupported_operator`].
    pub(super) fn parse(
        operator: &str,
        key: &str,
        values: &[String],
        variables: bool,
    ) -> Result<Self, MalformedPolicy> {
        if values.is_empty() {
            return Err(MalformedPolicy::new(format!("condition on {key:?} has no values")));
        }
        let (quantifier, name) = match operator.split_once(':') {
            Some(("ForAllValues", name)) => (Some(Quantifier::All), name),
            Some(("ForAnyValue", name)) => (Some(Quantifier::Any), name),
            _ => (None, operator),
        };
        let (name, if_exists) = match name.strip_suffix("IfExists") {
            Some(name) => (name, true),
            None => (name, false),
        };
        let text = |wildcards, any_case, negated| {
            let syntax = Syntax { wildcards, variables };
            let templates = values.iter().map(|value| Template::parse(value, syntax)).collect::<Result<_, _>>()?;
            Ok(Test::Text { templates, any_case, negated })
        };
        let bools = || {
            values
                .iter()
                .map(|value| {
                    parse_bool(value).ok_or_else(|| {
                        MalformedPolicy::new(format!("{value:?} in condition {operator} is not a boolean"))
                    })
                })
                .collect::<Result<Vec<_>, _>>()
        };
        let address = |negated| {
            let networks = values
                .iter()
                .map(|value| {
                    parse_network(value).ok_or_else(|| {
                        MalformedPolicy::new(format!(
                            "{value:?} in condition {operator} is not an IP address or network"
                        ))
                    })
                })
                .collect::<Result<_, _>>()?;
            Ok(Test::Address { networks, negated })
        };
        let test = match name {
            "StringEquals" => text(false, false, false)?,
            "StringNotEquals" => text(false, false, true)?,
            "StringEqualsIgnoreCase" => text(false, true, false)?,
            "StringNotEqualsIgnoreCase" => text(false, true, true)?,
            "StringLike" => text(true, false, false)?,
            "StringNotLike" => text(true, false, true)?,
            "Bool" => Test::Bool(bools()?),
            "IpAddress" => address(false)?,
            "NotIpAddress" => address(true)?,
            "Null" if quantifier.is_none() && !if_exists => Test::Null(bools()?),
            _ => Test::Unsupported { operator: operator.to_owned() },
        };
        Ok(Self { test, if_exists, quantifier, key: Variable::parse(key) })
    }

    /// The operator, when it is not known here.
    pub(super) fn unsupported_operator(&self) -> Option<&str> {
        match &self.test {
            Test::Unsupported { operator } => Some(operator),
            Test::Text { .. } | Test::Bool(_) | Test::Address { .. } | Test::Null(_) => None,
        }
    }

    /// Whether the condition holds in this connection. Where that cannot be said, it holds for a statement that
    /// denies and does not for one that allows.
    pub(super) fn holds(&self, context: &ConnectionContext<'_>, effect: Effect) -> bool {
        let when_unclear = effect == Effect::Deny;
        let values = context.values(&self.key);
        let fits: Box<dyn Fn(&str) -> bool> = match &self.test {
            Test::Unsupported { .. } => return when_unclear,
            Test::Null(expected) => return expected.contains(&values.is_empty()),
            Test::Text { templates, any_case, negated } => {
                let fold = |tokens: Vec<Token>| if *any_case { lower_case(&tokens) } else { tokens };
                let filled: Vec<_> = templates.iter().map(|template| template.fill(context)).collect();
                // Without its value, a template matches nothing. Then "matches none of these" would hold for want of
                // knowledge.
                if *negated && filled.iter().any(Vec::is_empty) {
                    return when_unclear;
                }
                let patterns: Vec<_> = filled.into_iter().flatten().map(|tokens| fold(collapsed(&tokens))).collect();
                Box::new(move |value| {
                    let folded = if *any_case { value.to_lowercase() } else { value.to_owned() };
                    patterns.iter().any(|tokens| glob_matches(tokens, &folded)) != *negated
                })
            }
            Test::Bool(expected) => Box::new(|value| parse_bool(value).is_some_and(|value| expected.contains(&value))),
            Test::Address { networks, negated } => Box::new(|value| match value.parse::<IpAddr>() {
                Ok(address) => networks.iter().any(|network| network.contains(&address)) != *negated,
                Err(_) => when_unclear,
            }),
        };
        let is_negated = matches!(self.test, Test::Text { negated: true, .. } | Test::Address { negated: true, .. });
        match self.quantifier {
            _ if values.is_empty() && self.if_exists => true,
            Some(Quantifier::All) => values.iter().all(|value| fits(value)),
            Some(Quantifier::Any) => values.iter().any(|value| fits(value)),
            None if values.is_empty() => is_negated,
            None if is_negated => values.iter().all(|value| fits(value)),
            None => values.iter().any(|value| fits(value)),
        }
    }
}

/// The pattern of the same text in lower case.
fn lower_case(tokens: &[Token]) -> Vec<Token> {
    let lower = |token: &Token| match token {
        Token::Char(c) => c.to_lowercase().map(Token::Char).collect(),
        Token::One | Token::Any => vec![*token],
    };
    tokens.iter().flat_map(lower).collect()
}

fn parse_bool(text: &str) -> Option<bool> {
    if text.eq_ignore_ascii_case("true") {
        Some(true)
    } else if text.eq_ignore_ascii_case("false") {
        Some(false)
    } else {
        None
    }
}

/// A network in CIDR form, or one address.
fn parse_network(text: &str) -> Option<IpNet> {
    text.parse().ok().or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from))
}
