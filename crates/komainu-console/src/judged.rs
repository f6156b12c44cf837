//! What detection says, in the words of people: behaviors, values, and what became of alarms.

use std::net::IpAddr;

use komainu_detect::Yardstick;
use komainu_model::{
    Behavior, CertificateStatus, Comparison, DetectTarget, ExpectedValue, GroupName, KomainuMetric, Metric,
    MetricValue, ProfileName, Statistic, VerificationState, ViolationEventType,
};
use maud::{Markup, html};

use crate::behaviors::profile_path;
use crate::shown::shown;
use crate::value::{leading_to, shown_as};
use crate::visit::Visit;
use crate::watch::{brief, grouped};

/// So many items of a set are named; the rest is counted.
const ITEMS_MAX: usize = 12;

/// Bytes of the items that are named: values of devices and sets of behaviors stand in each row of tables, and a page has
/// 150 KB.
const ITEMS_BYTES_MAX: usize = 160;

/// Characters of a word of a set; a character that cannot be seen is written as up to nine.
const ITEM_CHARS_MAX: usize = 20;

/// Groups of a device that are named in a list.
const GROUPS_MAX: usize = 3;

/// All states, in the order in which people choose.
pub(crate) const VERIFICATIONS: [VerificationState; 4] = [
    VerificationState::Unknown,
    VerificationState::TruePositive,
    VerificationState::BenignPositive,
    VerificationState::FalsePositive,
];

/// What a metric counts: `open TCP ports`.
pub(crate) fn metric_name(visit: &Visit, metric: &Metric) -> String {
    match metric {
        Metric::Device(_) | Metric::Cloud(_) | Metric::Komainu(_) => {
            let name = metric.as_str();
            let word = name.split_once(':').map_or(name, |(_, word)| word);
            visit.texts.word("metric", word).unwrap_or(word).to_owned()
        }
        Metric::Custom(name) => brief(name.as_str()),
    }
}

/// Whether a behavior is about known threats.
pub(crate) fn is_threat(behavior: &Behavior) -> bool {
    behavior.metric == Metric::Komainu(KomainuMetric::IndicatorMatches)
}

/// What raises the alarm: `open TCP ports: more than 5 within 5 min, twice in a row`. Criteria say what is normal; this is
/// the opposite of it.
pub(crate) fn alarm_words(visit: &Visit, behavior: &Behavior) -> String {
    let metric = metric_name(visit, &behavior.metric);
    match behavior.criteria {
        Some(_) => visit.filled("judged.alarm", &[("metric", &metric), ("what", &breach_words(visit, behavior))]),
        None => visit.filled("judged.nothing", &[("metric", &metric)]),
    }
}

/// The same without the metric; empty when nothing is judged.
pub(crate) fn breach_words(visit: &Visit, behavior: &Behavior) -> String {
    let Some(criteria) = &behavior.criteria else { return String::new() };
    let mut words = unexpected_words(visit, &criteria.expected);
    if let Some(seconds) = criteria.duration_s {
        words = visit.filled("judged.within", &[("what", &words), ("duration", &duration_words(visit, seconds))]);
    }
    match criteria.datapoints_to_alarm {
        0 | 1 => {}
        2 => words = visit.filled("judged.twice", &[("what", &words)]),
        times => words = visit.filled("judged.times", &[("what", &words), ("count", &times.to_string())]),
    }
    words
}

/// What is not normal.
fn unexpected_words(visit: &Visit, expected: &ExpectedValue) -> String {
    let opposite = |comparison: Comparison| match comparison {
        Comparison::LessThan => Comparison::GreaterThanEquals,
        Comparison::LessThanEquals => Comparison::GreaterThan,
        Comparison::GreaterThan => Comparison::LessThanEquals,
        Comparison::GreaterThanEquals => Comparison::LessThan,
    };
    let set = |within: bool, items: String| match within {
        true => visit.filled("judged.others-than", &[("items", &items)]),
        false => visit.filled("judged.one-of", &[("items", &items)]),
    };
    match expected {
        ExpectedValue::Count(comparison, limit) => comparison_words(visit, opposite(*comparison), &grouped(*limit)),
        ExpectedValue::Number(comparison, limit) => comparison_words(visit, opposite(*comparison), &number(*limit)),
        ExpectedValue::Statistical(comparison, statistic) => {
            comparison_words(visit, opposite(*comparison), &statistic_words(visit, *statistic))
        }
        ExpectedValue::Learned(_) => visit.text("judged.not-learned").to_owned(),
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
    }
}

fn comparison_words(visit: &Visit, comparison: Comparison, limit: &str) -> String {
    let places = [("limit", limit)];
    match comparison {
        Comparison::LessThan => visit.filled("judged.less-than", &places),
        Comparison::LessThanEquals => visit.filled("judged.at-most", &places),
        Comparison::GreaterThan => visit.filled("judged.more-than", &places),
        Comparison::GreaterThanEquals => visit.filled("judged.at-least", &places),
    }
}

fn statistic_words(visit: &Visit, statistic: Statistic) -> String {
    let percentile = match statistic {
        Statistic::Average => return visit.text("judged.average").to_owned(),
        Statistic::P0 => "0",
        Statistic::P0_1 => "0.1",
        Statistic::P0_01 => "0.01",
        Statistic::P1 => "1",
        Statistic::P10 => "10",
        Statistic::P50 => "50",
        Statistic::P90 => "90",
        Statistic::P99 => "99",
        Statistic::P99_9 => "99.9",
        Statistic::P99_99 => "99.99",
        Statistic::P100 => "100",
    };
    visit.filled("judged.percentile", &[("percent", percentile)])
}

/// A measured value: `52 000`, or the items of a set.
pub(crate) fn value_words(visit: &Visit, value: &MetricValue) -> String {
    match value {
        MetricValue::Count(count) => grouped(*count),
        MetricValue::Number(value) => number(*value),
        MetricValue::Addresses(items) => items_of(visit, items.iter().map(ToString::to_string)),
        MetricValue::Ports(items) => items_of(visit, items.iter().map(ToString::to_string)),
        MetricValue::Numbers(items) => items_of(visit, items.iter().copied().map(number)),
        MetricValue::Strings(items) => items_of(visit, items.iter().map(|item| short(item))),
        MetricValue::Matches(items) => items_of(visit, items.iter().map(|found| found.remote.to_string())),
    }
}

/// The items of a set that are not as they should be, of a behavior that judges items; the part that people need to see.
pub(crate) fn offending_words(visit: &Visit, behavior: &Behavior, value: &MetricValue) -> Option<String> {
    let yardstick = Yardstick::new(behavior)?;
    let violates = |item: &MetricValue| yardstick.is_violated_by(item);
    let items: Vec<String> = match value {
        MetricValue::Addresses(items) => {
            let of = |item: &IpAddr| violates(&MetricValue::Addresses(vec![*item]));
            items.iter().filter(|item| of(item)).map(ToString::to_string).collect()
        }
        MetricValue::Ports(items) => {
            let of = |item: &u16| violates(&MetricValue::Ports(vec![*item]));
            items.iter().filter(|item| of(item)).map(ToString::to_string).collect()
        }
        MetricValue::Numbers(items) => {
            let of = |item: &f64| violates(&MetricValue::Numbers(vec![*item]));
            items.iter().filter(|item| of(item)).copied().map(number).collect()
        }
        MetricValue::Strings(items) => {
            let of = |item: &String| violates(&MetricValue::Strings(vec![item.clone()]));
            items.iter().filter(|item| of(item)).map(|item| short(item)).collect()
        }
        MetricValue::Count(_) | MetricValue::Number(_) | MetricValue::Matches(_) => return None,
    };
    (!items.is_empty()).then(|| items_of(visit, items.into_iter()))
}

/// A value as a chart draws it: of a set, how many there are.
pub(crate) fn height(value: &MetricValue) -> f64 {
    match value {
        MetricValue::Count(count) => *count as f64,
        MetricValue::Number(number) => *number,
        MetricValue::Addresses(items) => items.len() as f64,
        MetricValue::Ports(items) => items.len() as f64,
        MetricValue::Numbers(items) => items.len() as f64,
        MetricValue::Strings(items) => items.len() as f64,
        MetricValue::Matches(items) => items.len() as f64,
    }
}

/// The line in a chart that must not be crossed, when there is one.
pub(crate) fn limit(behavior: &Behavior) -> Option<f64> {
    match behavior.criteria.as_ref()?.expected {
        ExpectedValue::Count(_, limit) => Some(limit as f64),
        ExpectedValue::Number(_, limit) => Some(limit),
        ExpectedValue::Numbers { .. }
        | ExpectedValue::Strings { .. }
        | ExpectedValue::Cidrs { .. }
        | ExpectedValue::Ports { .. }
        | ExpectedValue::Statistical(..)
        | ExpectedValue::Learned(_) => None,
    }
}

/// At most two digits after the point.
pub(crate) fn number(value: f64) -> String {
    let text = format!("{value:.2}");
    let text = text.trim_end_matches('0').trim_end_matches('.').to_owned();
    // A float can have three hundred digits.
    if text.len() > 24 { format!("{value:e}") } else { text }
}

/// The beginning of a word of a set.
pub(crate) fn short(item: &str) -> String {
    match item.char_indices().nth(ITEM_CHARS_MAX) {
        Some((end, _)) => shown(&item[..end]) + "…",
        None => shown(item),
    }
}

/// As many items of a set as there is room for, and how many more there are.
pub(crate) fn items_of(visit: &Visit, items: impl ExactSizeIterator<Item = String>) -> String {
    let count = items.len();
    if count == 0 {
        return visit.text("judged.no-items").to_owned();
    }
    let mut named = String::new();
    let mut told = 0;
    for item in items.take(ITEMS_MAX) {
        // The first one is always told; it is a text of a bounded length itself.
        if told > 0 && named.len() + item.len() > ITEMS_BYTES_MAX {
            break;
        }
        named.push_str(if told > 0 { ", " } else { "" });
        named.push_str(&item);
        told += 1;
    }
    match count.saturating_sub(told) {
        0 => named,
        more => visit.filled("judged.and-more", &[("items", &named), ("count", &grouped(more as u64))]),
    }
}

/// A window: `5 min`.
pub(crate) fn duration_words(visit: &Visit, seconds: u32) -> String {
    let (key, count) = match seconds {
        3600 => ("judged.hours", 1),
        seconds if seconds >= 60 && seconds.is_multiple_of(60) => ("judged.minutes", seconds / 60),
        seconds => ("judged.seconds", seconds),
    };
    let count = count.to_string();
    match key {
        "judged.hours" => visit.filled("judged.hours", &[("count", &count)]),
        "judged.minutes" => visit.filled("judged.minutes", &[("count", &count)]),
        _ => visit.filled("judged.seconds", &[("count", &count)]),
    }
}

/// The state of a word.
pub(crate) fn verification_of(word: &str) -> Option<VerificationState> {
    VERIFICATIONS.into_iter().find(|state| state.as_str() == word)
}

/// What people found out.
pub(crate) fn verification_badge(visit: &Visit, state: VerificationState) -> Markup {
    let word = state.as_str();
    let text = visit.texts.word("verification", word).unwrap_or(word);
    let class = match state {
        VerificationState::Unknown => "badge bad",
        VerificationState::TruePositive => "badge warn",
        VerificationState::BenignPositive | VerificationState::FalsePositive => "badge",
    };
    html! { span class=(class) { (text) } }
}

/// What happened to an alarm.
pub(crate) fn event_badge(visit: &Visit, kind: ViolationEventType) -> Markup {
    let (word, class) = match kind {
        ViolationEventType::InAlarm => ("in-alarm", "badge bad"),
        ViolationEventType::AlarmCleared => ("alarm-cleared", "badge ok"),
        ViolationEventType::AlarmInvalidated => ("alarm-invalidated", "badge"),
    };
    html! { span class=(class) { (visit.texts.word("alarm-event", word).unwrap_or(word)) } }
}

/// Whether a certificate opens the gate.
pub(crate) fn certificate_badge(visit: &Visit, status: CertificateStatus) -> Markup {
    let (word, class) = match status {
        CertificateStatus::Active => ("active", "badge ok"),
        CertificateStatus::Inactive => ("inactive", "badge warn"),
        CertificateStatus::Revoked => ("revoked", "badge bad"),
        CertificateStatus::PendingActivation => ("pending", "badge warn"),
    };
    html! { span class=(class) { (visit.texts.word("certificate", word).unwrap_or(word)) } }
}

/// What a profile is attached to.
pub(crate) fn target_words(visit: &Visit, target: &DetectTarget) -> Markup {
    match target {
        DetectTarget::AllThings => html! { (visit.text("judged.all-things")) },
        DetectTarget::RegisteredThings => html! { (visit.text("judged.registered-things")) },
        DetectTarget::UnregisteredThings => html! { (visit.text("judged.unregistered-things")) },
        DetectTarget::Group(name) => html! { (group_link(name.as_str())) },
    }
}

/// A device, with where it leads. Its name may be anybody's text.
pub(crate) fn device_link(name: &str) -> Markup {
    shown_as("device", name, html! { (shown(name)) })
}

/// A group.
pub(crate) fn group_link(name: &str) -> Markup {
    shown_as("group", name, html! { (name) })
}

/// The first of a device's groups.
pub(crate) fn group_links(visit: &Visit, groups: &[GroupName]) -> Markup {
    html! {
        @for (place, group) in groups.iter().take(GROUPS_MAX).enumerate() {
            @if place > 0 { ", " }
            (group_link(group.as_str()))
        }
        @if groups.len() > GROUPS_MAX {
            " " span.small.muted { (visit.filled("judged.more-groups", &[("count", &(groups.len() - GROUPS_MAX).to_string())])) }
        }
    }
}

/// A security profile.
pub(crate) fn profile_link(name: &ProfileName) -> Markup {
    leading_to(&profile_path(name), "profile", name.as_str(), html! { (name) })
}
