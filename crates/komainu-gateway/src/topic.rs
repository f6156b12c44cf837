//! Topic names and filters: what is valid, what matches, what is reserved.

use komainu_ports::ReportEncoding;

use crate::limits::Limits;

/// The most levels of a topic, whatever the configuration says: the router descends one call per level.
pub(crate) const LEVELS_MAX: usize = 128;

/// Topics that belong to the service.
const RESERVED: &str = "$aws/";

/// Topics that are rights of Komainu's own, such as a sensor's to hand in records. Nothing is published there.
const RIGHTS: &str = "$komainu/";

/// Checks a topic name that is published to. The wire decoder has refused wildcards in packets already.
pub(crate) fn check_name(topic: &str, limits: &Limits) -> Result<(), &'static str> {
    if topic.is_empty() {
        return Err("topic is empty"); // [MQTT-4.7.3-1]
    }
    if topic.bytes().any(|byte| matches!(byte, b'+' | b'#' | 0)) {
        return Err("topic has a wildcard or U+0000");
    }
    if topic.starts_with("$share/") {
        return Err("topic begins with $share/");
    }
    check_size(topic, limits)
}

/// A filter of a SUBSCRIBE packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Filter<'a> {
    /// The group of a shared subscription.
    pub(crate) group: Option<&'a str>,
    /// The filter itself.
    pub(crate) filter: &'a str,
}

/// Checks a filter.
pub(crate) fn parse_filter<'a>(text: &'a str, limits: &Limits) -> Result<Filter<'a>, &'static str> {
    let parsed = match text.strip_prefix("$share/") {
        Some(shared) => {
            let (group, filter) = shared.split_once('/').ok_or("shared subscription without a filter")?;
            if group.is_empty() || group.contains(['+', '#']) {
                return Err("group of a shared subscription is empty or has a wildcard"); // [MQTT-4.8.2-1], -2
            }
            Filter { group: Some(group), filter }
        }
        None => Filter { group: None, filter: text },
    };
    if parsed.filter.is_empty() {
        return Err("topic filter is empty"); // [MQTT-4.7.3-1]
    }
    let mut levels = parsed.filter.split('/').peekable();
    while let Some(level) = levels.next() {
        match level {
            "#" if levels.peek().is_some() => return Err("# is not the last level"), // [MQTT-4.7.1-2]
            "#" | "+" => {}
            level if level.contains(['+', '#']) => return Err("wildcard beside other characters"), // [MQTT-4.7.1-3]
            _ => {}
        }
    }
    check_size(parsed.filter, limits)?;
    Ok(parsed)
}

fn check_size(topic: &str, limits: &Limits) -> Result<(), &'static str> {
    if topic.len() > limits.topic_bytes_max {
        return Err("topic is too long");
    }
    let slashes = topic.bytes().filter(|byte| *byte == b'/').count();
    let slashes_max = if topic.starts_with(RESERVED) { LEVELS_MAX - 1 } else { limits.topic_slashes_max };
    if slashes > slashes_max.min(LEVELS_MAX - 1) {
        return Err("topic has too many levels");
    }
    Ok(())
}

/// Whether `topic` is one that `filter` names. Wildcards in the first level do not match a `$`. [MQTT-4.7.2-1]
pub(crate) fn matches(filter: &str, topic: &str) -> bool {
    if topic.starts_with('$') && filter.starts_with(['+', '#']) {
        return false;
    }
    let mut levels = topic.split('/');
    for expected in filter.split('/') {
        if expected == "#" {
            return true;
        }
        match levels.next() {
            Some(level) if expected == "+" || expected == level => {}
            _ => return false,
        }
    }
    levels.next().is_none()
}

/// What a topic is to the service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose<'a> {
    /// A topic of the devices.
    Ordinary,
    /// Where a device sends its metric report.
    Report {
        /// The name in the topic.
        thing: &'a str,
        /// The encoding in the topic.
        encoding: ReportEncoding,
    },
    /// Reserved: only the service publishes here.
    ServiceOnly,
}

/// What publishing to `topic` means.
pub(crate) fn purpose(topic: &str) -> Purpose<'_> {
    if !topic.starts_with('$') {
        return Purpose::Ordinary;
    }
    let Some(reserved) = topic.strip_prefix(RESERVED) else {
        let is_service_only = topic.starts_with("$SYS/") || topic.starts_with(RIGHTS);
        return if is_service_only { Purpose::ServiceOnly } else { Purpose::Ordinary };
    };
    let report = reserved.strip_prefix("things/").and_then(|rest| rest.split_once('/'));
    match report {
        Some((thing, "defender/metrics/json")) => Purpose::Report { thing, encoding: ReportEncoding::Json },
        Some((thing, "defender/metrics/cbor")) => Purpose::Report { thing, encoding: ReportEncoding::Cbor },
        _ => Purpose::ServiceOnly,
    }
}

/// Whether nobody may subscribe to `filter`: it names the topic that devices publish their reports to. Reports go to
/// the pipeline and never to a subscriber, so a filter with `#` above it is harmless.
pub(crate) fn is_subscription_forbidden(filter: &str) -> bool {
    let mut levels = filter.split('/');
    let head = (levels.next(), levels.next(), levels.next(), levels.next(), levels.next());
    let tail = (levels.next(), levels.next());
    matches!(head, (Some("$aws"), Some("things" | "+"), Some(_), Some("defender" | "+"), Some("metrics" | "+")))
        && matches!(tail, (Some("json" | "cbor" | "+"), None))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        let limits = Limits { topic_bytes_max: 20, topic_slashes_max: 3, ..Limits::default() };
        let check = |topic: &str, ok: bool| assert_eq!(check_name(topic, &limits).is_ok(), ok, "{topic}");
        check("a", true);
        check("/", true);
        check("a//b", true);
        check(" ", true);
        check("größe", true);
        check("", false);
        check("a/+", false);
        check("a/#", false);
        check("a\0", false);
        check("$share/g/a", false);
        check("a/b/c/d", true);
        check("a/b/c/d/e", false);
        check("$aws/b/c/d/e/f", true);
        check("123456789012345678901", false);
    }

    #[test]
    fn filters() {
        let check = |text: &str, expected: Option<(Option<&str>, &str)>| {
            let parsed = parse_filter(text, &Limits::default()).ok();
            assert_eq!(parsed, expected.map(|(group, filter)| Filter { group, filter }), "{text}");
        };
        check("a", Some((None, "a")));
        check("#", Some((None, "#")));
        check("+", Some((None, "+")));
        check("+/a/#", Some((None, "+/a/#")));
        check("/", Some((None, "/")));
        check("a/#/b", None);
        check("a#", None);
        check("a/b+", None);
        check("", None);
        check("$share/g/a/+", Some((Some("g"), "a/+")));
        check("$share/g//", Some((Some("g"), "/")));
        check("$share/g", None);
        check("$share/g/", None);
        check("$share//a", None);
        check("$share/+/a", None);
        check("$share/g/a#", None);
        check("$shared/g", Some((None, "$shared/g")));
        check(&"/".repeat(600), None);
    }

    #[test]
    fn matching() {
        let check = |filter: &str, topic: &str, expected: bool| {
            assert_eq!(matches(filter, topic), expected, "{filter} {topic}");
        };
        // The examples of the specification, section 4.7.
        for topic in ["sport/tennis/player1", "sport/tennis/player1/ranking", "sport/tennis/player1/score/wimbledon"] {
            check("sport/tennis/player1/#", topic, true);
        }
        check("sport/#", "sport", true);
        check("#", "a/b", true);
        check("sport/tennis/+", "sport/tennis/player1", true);
        check("sport/tennis/+", "sport/tennis/player1/ranking", false);
        check("sport/+", "sport", false);
        check("sport/+", "sport/", true);
        check("+/+", "/finance", true);
        check("/+", "/finance", true);
        check("+", "/finance", false);
        check("#", "$SYS/a", false);
        check("+/monitor/Clients", "$SYS/monitor/Clients", false);
        check("$SYS/#", "$SYS/monitor/Clients", true);
        check("$SYS/monitor/+", "$SYS/monitor/Clients", true);
        check("ACCOUNTS", "Accounts", false);
        check("/A", "A", false);
        check("a/b", "a", false);
        check("a", "a/b", false);
    }

    #[test]
    fn purposes() {
        let check = |topic, expected| assert_eq!(purpose(topic), expected, "{topic}");
        let report = |thing, encoding| Purpose::Report { thing, encoding };
        check("a/$aws/x", Purpose::Ordinary);
        check("$aws/things/T/defender/metrics/json", report("T", ReportEncoding::Json));
        check("$aws/things//defender/metrics/cbor", report("", ReportEncoding::Cbor));
        check("$aws/things/T/defender/metrics/json/accepted", Purpose::ServiceOnly);
        check("$aws/things/T/x/defender/metrics/json", Purpose::ServiceOnly);
        check("$aws/events/presence/connected/T", Purpose::ServiceOnly);
        check("$SYS/x", Purpose::ServiceOnly);
        check("$komainu/sensors/T/ingest", Purpose::ServiceOnly);
        check("$other", Purpose::Ordinary);
    }

    #[test]
    fn forbidden_subscriptions() {
        let check = |filter, expected| assert_eq!(is_subscription_forbidden(filter), expected, "{filter}");
        check("$aws/things/T/defender/metrics/json", true);
        check("$aws/things/+/defender/metrics/cbor", true);
        check("$aws/things/T/defender/metrics/+", true);
        check("$aws/things/T/defender/metrics/json/accepted", false);
        check("$aws/things/T/defender/metrics/json/+", false);
        check("$aws/things/T/#", false);
        check("things/T/defender/metrics/json", false);
    }
}
