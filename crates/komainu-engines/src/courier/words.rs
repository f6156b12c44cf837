//! Values, limits and times in words that people read, and hostile text made visible.

use std::net::IpAddr;
use std::time::Duration;

use komainu_model::{
    Behavior, CloudMetric, Comparison, ConfidenceLevel, Criteria, DeviceMetric, ExpectedValue, KomainuMetric, Metric,
    MetricValue, Statistic, Timestamp,
};

/// So many items of a set are named; the rest is counted.
const ITEMS_MAX: usize = 12;
/// The longest item of a set that a device names itself, in characters.
const ITEM_CHARS_MAX: usize = 60;

/// What a metric counts: `bytes sent`.
pub(crate) fn metric_words(metric: &Metric) -> String {
    let words = match metric {
        Metric::Device(metric) => match metric {
            DeviceMetric::AllBytesIn => "bytes received",
            DeviceMetric::AllBytesOut => "bytes sent",
            DeviceMetric::AllPacketsIn => "packets received",
            DeviceMetric::AllPacketsOut => "packets sent",
            DeviceMetric::NumListeningTcpPorts => "open TCP ports",
            DeviceMetric::NumListeningUdpPorts => "open UDP ports",
            DeviceMetric::NumEstablishedTcpConnections => "TCP connections",
            DeviceMetric::ListeningTcpPorts => "open TCP ports",
            DeviceMetric::ListeningUdpPorts => "open UDP ports",
            DeviceMetric::DestinationIpAddresses => "addresses it talks to",
        },
        Metric::Cloud(metric) => match metric {
            CloudMetric::MessageByteSize => "bytes in a message",
            CloudMetric::NumMessagesSent => "messages sent",
            CloudMetric::NumMessagesReceived => "messages received",
            CloudMetric::NumAuthorizationFailures => "denied actions",
            CloudMetric::NumConnectionAttempts => "connection attempts",
            CloudMetric::NumDisconnects => "disconnects",
            CloudMetric::SourceIpAddress => "addresses it connects from",
        },
        Metric::Komainu(KomainuMetric::IndicatorMatches) => "known threats it was in contact with",
        Metric::Custom(name) => return name.as_str().to_owned(),
    };
    words.to_owned()
}

/// A measured value: `52,000`, or the items of a set.
pub(crate) fn value_words(value: &MetricValue) -> String {
    match value {
        MetricValue::Count(count) => grouped(*count),
        MetricValue::Number(number) => number.to_string(),
        MetricValue::Addresses(addresses) => list(addresses.iter().map(ToString::to_string), "no addresses"),
        MetricValue::Ports(ports) => list(ports.iter().map(ToString::to_string), "no ports"),
        MetricValue::Numbers(numbers) => list(numbers.iter().map(ToString::to_string), "no numbers"),
        MetricValue::Strings(strings) => list(strings.iter().map(|text| item(text)), "no strings"),
        MetricValue::Matches(matches) => list(matches.iter().map(|found| found.remote.to_string()), "none"),
    }
}

/// What is normal: `less than 10,000`.
pub(crate) fn limit_words(expected: &ExpectedValue) -> String {
    let set = |within: bool, items: String| {
        if within { format!("only {items}") } else { format!("none of {items}") }
    };
    match expected {
        ExpectedValue::Count(comparison, count) => format!("{} {}", comparison_words(*comparison), grouped(*count)),
        ExpectedValue::Number(comparison, number) => format!("{} {number}", comparison_words(*comparison)),
        ExpectedValue::Numbers { within, set: items } => {
            set(*within, list(items.iter().map(ToString::to_string), "nothing"))
        }
        ExpectedValue::Strings { within, set: items } => {
            set(*within, list(items.iter().map(|text| item(text)), "nothing"))
        }
        ExpectedValue::Cidrs { within, set: items } => {
            set(*within, list(items.iter().map(ToString::to_string), "nothing"))
        }
        ExpectedValue::Ports { within, set: items } => {
            set(*within, list(items.iter().map(ToString::to_string), "nothing"))
        }
        ExpectedValue::Statistical(comparison, statistic) => {
            format!("{} {} of the group", comparison_words(*comparison), statistic_words(*statistic))
        }
        ExpectedValue::Learned(confidence) => {
            let sureness = match confidence {
                ConfidenceLevel::Low => "low",
                ConfidenceLevel::Medium => "medium",
                ConfidenceLevel::High => "high",
            };
            format!("what was learned (confidence {sureness})")
        }
    }
}

/// The items of a set that are not as they should be: the part of a long set that people need to see.
pub(crate) fn offending_words(behavior: &Behavior, value: &MetricValue) -> Option<String> {
    let expected = &behavior.criteria.as_ref()?.expected;
    let items: Vec<String> = match (expected, value) {
        (ExpectedValue::Ports { within, set }, MetricValue::Ports(ports)) => {
            ports.iter().filter(|port| set.contains(port) != *within).map(ToString::to_string).collect()
        }
        (ExpectedValue::Cidrs { within, set }, MetricValue::Addresses(addresses)) => {
            let is_in = |address: &IpAddr| set.iter().any(|network| network.contains(address));
            addresses.iter().filter(|address| is_in(address) != *within).map(ToString::to_string).collect()
        }
        (ExpectedValue::Strings { within, set }, MetricValue::Strings(strings)) => {
            strings.iter().filter(|text| set.contains(text) != *within).map(|text| item(text)).collect()
        }
        (ExpectedValue::Numbers { within, set }, MetricValue::Numbers(numbers)) => {
            numbers.iter().filter(|number| set.contains(number) != *within).map(ToString::to_string).collect()
        }
        _ => return None,
    };
    if items.is_empty() { None } else { Some(list(items.into_iter(), "")) }
}

/// Over which time a value is: ` in 5 minutes`. Empty for values of a moment.
pub(crate) fn window_words(criteria: Option<&Criteria>) -> String {
    match criteria.and_then(|criteria| criteria.duration_s) {
        Some(seconds) => format!(" in {}", duration_words(Duration::from_secs(u64::from(seconds)))),
        None => String::new(),
    }
}

/// The two largest units of a duration: `2 hours 5 minutes`.
pub(crate) fn duration_words(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let units = [("day", seconds / 86_400), ("hour", seconds / 3600 % 24), ("minute", seconds / 60 % 60)];
    let units = units.into_iter().chain([("second", seconds % 60)]);
    let words: Vec<String> = units
        .skip_while(|(_, count)| *count == 0)
        .take(2)
        .filter(|(_, count)| *count > 0)
        .map(|(unit, count)| format!("{count} {unit}{}", if count == 1 { "" } else { "s" }))
        .collect();
    if words.is_empty() { "less than a second".to_owned() } else { words.join(" ") }
}

/// A point in time as people write it: `23 November 2026, 03:48:42 UTC`.
pub(crate) fn time_words(at: Timestamp) -> String {
    format!("{} UTC", utc(at).strftime("%-d %B %Y, %H:%M:%S"))
}

/// A point in time as commands take it: `2026-11-23T03:48:42Z`.
pub(crate) fn time_iso(at: Timestamp) -> String {
    utc(at).strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// A point in time as SNS writes it: `2026-11-23T03:48:42.123Z`.
pub(crate) fn time_iso_millis(at: Timestamp) -> String {
    utc(at).strftime("%Y-%m-%dT%H:%M:%S.%3fZ").to_string()
}

fn utc(at: Timestamp) -> jiff::Timestamp {
    jiff::Timestamp::from_millisecond(at.unix_millis()).unwrap_or_default()
}

/// Text that others chose, for one line: characters that nobody sees, or that turn a line around, become `�`.
pub(crate) fn visible(text: &str) -> String {
    text.chars().map(|c| if is_hidden(c) { '\u{fffd}' } else { c }).collect()
}

/// Text that others chose, for a paragraph: as [`visible`], with its line breaks and tabs.
pub(crate) fn visible_lines(text: &str) -> String {
    let unified = text.replace("\r\n", "\n");
    unified.chars().map(|c| if is_hidden(c) && !matches!(c, '\n' | '\t') { '\u{fffd}' } else { c }).collect()
}

/// Controls, separators, bidirectional controls, zero-width characters, tags, interlinear marks.
pub(crate) fn is_hidden(c: char) -> bool {
    c.is_control()
        || matches!(
            c,
            '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180b}'..='\u{180f}'
                | '\u{200b}'..='\u{200f}'
                | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}'
                | '\u{3164}' | '\u{feff}' | '\u{ffa0}'
                | '\u{fff0}'..='\u{fffb}'
                | '\u{e0000}'..='\u{e0fff}'
        )
}

fn item(text: &str) -> String {
    let text = visible(text);
    if text.chars().count() <= ITEM_CHARS_MAX {
        return format!("“{text}”");
    }
    format!("“{}…”", text.chars().take(ITEM_CHARS_MAX).collect::<String>())
}

fn list(items: impl ExactSizeIterator<Item = String>, none: &str) -> String {
    let count = items.len();
    let named: Vec<String> = items.take(ITEMS_MAX).collect();
    match count.saturating_sub(ITEMS_MAX) {
        _ if count == 0 => none.to_owned(),
        0 => named.join(", "),
        more => format!("{} and {more} more", named.join(", ")),
    }
}

/// `52000` as `52,000`.
fn grouped(count: u64) -> String {
    let digits = count.to_string();
    let mut grouped = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

fn comparison_words(comparison: Comparison) -> &'static str {
    match comparison {
        Comparison::LessThan => "less than",
        Comparison::LessThanEquals => "at most",
        Comparison::GreaterThan => "more than",
        Comparison::GreaterThanEquals => "at least",
    }
}

fn statistic_words(statistic: Statistic) -> &'static str {
    match statistic {
        Statistic::Average => "the average",
        Statistic::P0 => "the smallest value",
        Statistic::P0_1 => "the 0.1st percentile",
        Statistic::P0_01 => "the 0.01st percentile",
        Statistic::P1 => "the 1st percentile",
        Statistic::P10 => "the 10th percentile",
        Statistic::P50 => "the median",
        Statistic::P90 => "the 90th percentile",
        Statistic::P99 => "the 99th percentile",
        Statistic::P99_9 => "the 99.9th percentile",
        Statistic::P99_99 => "the 99.99th percentile",
        Statistic::P100 => "the largest value",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_durations() {
        for (count, expected) in
            [(0, "0"), (999, "999"), (1_000, "1,000"), (52_000, "52,000"), (1_234_567, "1,234,567")]
        {
            assert_eq!(grouped(count), expected);
        }
        for (seconds, expected) in [
            (0, "less than a second"),
            (1, "1 second"),
            (60, "1 minute"),
            (61, "1 minute 1 second"),
            (300, "5 minutes"),
            (7_500, "2 hours 5 minutes"),
            (3_601, "1 hour"),
            (172_800, "2 days"),
        ] {
            assert_eq!(duration_words(Duration::from_secs(seconds)), expected);
        }
    }

    #[test]
    fn times() {
        let at = Timestamp::from_unix_millis(1_795_400_000_123);
        assert_eq!(time_words(at), "23 November 2026, 02:13:20 UTC");
        assert_eq!(time_iso(at), "2026-11-23T02:13:20Z");
        assert_eq!(time_iso_millis(at), "2026-11-23T02:13:20.123Z");
        assert_eq!(time_iso(Timestamp::from_unix_millis(i64::MAX)), "1970-01-01T00:00:00Z");
    }

    #[test]
    fn hidden_characters_are_shown() {
        assert_eq!(visible("a\r\nb\u{202e}c\u{200b}d"), "a��b�c�d");
        assert_eq!(visible("Grüße 你好"), "Grüße 你好");
        assert_eq!(visible_lines("a\r\nb\tc\u{7}"), "a\nb\tc�");
    }

    #[test]
    fn long_sets_are_counted() {
        let ports = MetricValue::Ports((1..=20).collect());
        assert_eq!(value_words(&ports), "1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12 and 8 more");
        assert_eq!(value_words(&MetricValue::Ports(vec![])), "no ports");
        let long = MetricValue::Strings(vec!["x".repeat(100)]);
        assert_eq!(value_words(&long), format!("“{}…”", "x".repeat(60)));
    }
}
