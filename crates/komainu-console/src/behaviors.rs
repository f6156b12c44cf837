//! What security profiles hold for normal, in the words of people.

use komainu_model::{Comparison, Criteria, ExpectedValue, ProfileName};

use crate::address::part;
use crate::judged::{duration_words, items_of, number, short};
use crate::visit::Visit;
use crate::watch::grouped;

/// What is normal: `< 10 000 in 5 min`.
pub(crate) fn normal_words(visit: &Visit, criteria: &Criteria) -> String {
    let words = expected_words(visit, &criteria.expected);
    match criteria.duration_s {
        Some(duration_s) => {
            visit.filled("behavior.within", &[("what", &words), ("duration", &duration_words(visit, duration_s))])
        }
        None => words,
    }
}

fn expected_words(visit: &Visit, expected: &ExpectedValue) -> String {
    let compared = |comparison: &Comparison, limit: String| {
        let operator = match comparison {
            Comparison::LessThan => "<",
            Comparison::LessThanEquals => "≤",
            Comparison::GreaterThan => ">",
            Comparison::GreaterThanEquals => "≥",
        };
        format!("{operator} {limit}")
    };
    let set = |within: bool, items: String| match within {
        true => visit.filled("behavior.only", &[("elements", &items)]),
        false => visit.filled("behavior.none-of", &[("elements", &items)]),
    };
    match expected {
        ExpectedValue::Count(comparison, limit) => compared(comparison, grouped(*limit)),
        ExpectedValue::Number(comparison, limit) => compared(comparison, number(*limit)),
        ExpectedValue::Numbers { within, set: items } => {
            set(*within, items_of(visit, items.iter().copied().map(number)))
        }
        ExpectedValue::Strings { within, set: items } => {
            set(*within, items_of(visit, items.iter().map(|item| short(item))))
        }
        ExpectedValue::Cidrs { within, set: items } => {
            set(*within, items_of(visit, items.iter().map(ToString::to_string)))
        }
        ExpectedValue::Ports { within, set: items } => {
            set(*within, items_of(visit, items.iter().map(ToString::to_string)))
        }
        ExpectedValue::Statistical(..) | ExpectedValue::Learned(_) => visit.text("behavior.not-judged").to_owned(),
    }
}

/// Where a profile is looked at.
pub(crate) fn profile_path(name: &ProfileName) -> String {
    match name.as_str() {
        // That is where a new one is written; in other letters it is only a name.
        "new" => "/profiles/%6eew".to_owned(),
        name => format!("/profiles/{}", part(name)),
    }
}
