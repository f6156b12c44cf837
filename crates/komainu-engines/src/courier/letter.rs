//! What a mail says, before it is laid out.
//!
//! A [`Letter`] has parts that every mail program can show; `text` and `html` lay it out. What devices and publishers
//! chose (names, values, messages) is made visible here and escaped there.

pub(crate) mod html;
pub(crate) mod text;

use std::time::Duration;

use komainu_model::{
    AlertContext, Delivery, Indicator, IndicatorMatch, IndicatorSource, MetricValue, NotificationKind, Provenance,
    SightingWay, Threat, Timestamp, ViolationEvent, ViolationEventType,
};

use super::links::Links;
use super::words::{
    duration_words, is_hidden, limit_words, metric_words, offending_words, time_iso, time_words, value_words, visible,
    visible_lines, window_words,
};

/// The subject of a message that has none.
const NO_SUBJECT: &str = "Message";
/// Lists of events in commands begin so long before the alarm.
const LOOK_BACK: Duration = Duration::from_secs(3600);
/// And end so long after it.
const LOOK_AHEAD: Duration = Duration::from_secs(24 * 3600);

/// What a mail says.
#[derive(Debug, Clone)]
pub(crate) struct Letter {
    pub(crate) subject: String,
    /// What kind of news it is.
    pub(crate) tone: Tone,
    /// The word for that, on the badge.
    pub(crate) badge: &'static str,
    pub(crate) title: String,
    /// One or two sentences under the title.
    pub(crate) lead: String,
    /// The measured value beside the normal one.
    pub(crate) figures: Vec<Figure>,
    /// What was published, for messages that are no alert of ours.
    pub(crate) message: Option<String>,
    /// The one thing to do.
    pub(crate) button: Option<Button>,
    pub(crate) facts: Vec<(&'static str, String)>,
    pub(crate) steps: Vec<Step>,
    /// Why this mail came.
    pub(crate) reason: String,
    /// Ends the subscription.
    pub(crate) unsubscribe: Option<String>,
    /// Mails about one alarm belong together; programs show them as one conversation.
    pub(crate) thread: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tone {
    Alarm,
    Good,
    Neutral,
}

#[derive(Debug, Clone)]
pub(crate) struct Figure {
    pub(crate) caption: &'static str,
    pub(crate) value: String,
    pub(crate) unit: String,
}

#[derive(Debug, Clone)]
pub(crate) struct Button {
    pub(crate) label: &'static str,
    pub(crate) url: String,
}

/// Something to do next, with the commands that do it.
#[derive(Debug, Clone)]
pub(crate) struct Step {
    pub(crate) text: String,
    pub(crate) commands: Vec<String>,
}

impl Letter {
    /// What a delivery to a person says.
    pub(crate) fn of(delivery: &Delivery, links: &Links) -> Self {
        let notification = &delivery.notification;
        let topic = visible(notification.topic.resource());
        match &notification.kind {
            NotificationKind::SubscriptionConfirmation { token, expires_at } => {
                let url = links.confirm(&notification.topic, token);
                confirmation(delivery, &topic, url, *expires_at)
            }
            NotificationKind::UnsubscribeConfirmation { token, expires_at } => {
                let url = links.confirm(&notification.topic, token);
                farewell(delivery, &topic, url, *expires_at)
            }
            NotificationKind::Message { subject, message, alert, .. } => {
                let subject = subject.as_deref().map(visible);
                let unsubscribe = Some(links.unsubscribe(delivery));
                let reason = format!(
                    "You get this mail because {} is subscribed to the topic {topic} ({}).",
                    delivery.endpoint, notification.topic
                );
                let letter = match alert {
                    Some(alert) => about_alert(alert, delivery, links),
                    None => published(&topic, message),
                };
                let subject = subject.unwrap_or_else(|| format!("[Komainu] {NO_SUBJECT} on {topic}"));
                let title = if letter.title.is_empty() { subject.clone() } else { letter.title };
                Self { subject, title, reason, unsubscribe, ..letter }
            }
        }
    }

    /// A letter that says nothing yet.
    fn blank(tone: Tone, badge: &'static str) -> Self {
        Self {
            subject: String::new(),
            tone,
            badge,
            title: String::new(),
            lead: String::new(),
            figures: Vec::new(),
            message: None,
            button: None,
            facts: Vec::new(),
            steps: Vec::new(),
            reason: String::new(),
            unsubscribe: None,
            thread: None,
        }
    }
}

fn confirmation(delivery: &Delivery, topic: &str, url: String, expires_at: Timestamp) -> Letter {
    let scope = &delivery.scope;
    Letter {
        subject: format!("[Komainu] Please confirm: messages from {topic}"),
        title: format!("Do you want messages from {topic}?"),
        lead: format!(
            "Somebody who operates Komainu asked to send the alerts and messages of the topic {topic} to {}. You will \
             get them only after you confirm.",
            delivery.endpoint
        ),
        button: Some(Button { label: "Confirm subscription", url }),
        facts: vec![
            ("Topic", delivery.notification.topic.to_string()),
            ("Account", scope.account.to_string()),
            ("Region", scope.region.to_string()),
            ("Offer ends", time_words(expires_at)),
        ],
        reason: "If you did not expect this mail, ignore it: nothing more will be sent to you, and the offer ends by \
                 itself."
            .to_owned(),
        ..Letter::blank(Tone::Neutral, "Please confirm")
    }
}

fn farewell(delivery: &Delivery, topic: &str, url: String, expires_at: Timestamp) -> Letter {
    Letter {
        subject: format!("[Komainu] You will get no more messages from {topic}"),
        title: format!("You left {topic}"),
        lead: format!(
            "The unsubscribe link in a message to {} was followed, so the alerts and messages of the topic {topic} no \
             longer come to you. Some mail filters follow links by themselves; if it was not you, subscribe again.",
            delivery.endpoint
        ),
        button: Some(Button { label: "Subscribe again", url }),
        facts: vec![("Topic", delivery.notification.topic.to_string()), ("Possible until", time_words(expires_at))],
        reason: "If you meant to leave, there is nothing to do. This is the last mail.".to_owned(),
        ..Letter::blank(Tone::Neutral, "Unsubscribed")
    }
}

fn published(topic: &str, message: &str) -> Letter {
    Letter {
        lead: format!("A message on the topic {topic}:"),
        message: Some(visible_lines(message)),
        ..Letter::blank(Tone::Neutral, "Message")
    }
}

fn about_alert(alert: &AlertContext, delivery: &Delivery, links: &Links) -> Letter {
    let event = &alert.event;
    let device = visible(event.reporter.as_str());
    let behavior = visible(event.behavior.name.as_str());
    let thread = Some(event.violation.to_string());
    let until = event.at.since(alert.started_at);
    if let (ViolationEventType::InAlarm, Some(MetricValue::Matches(matches))) = (event.kind, &event.value)
        && let Some(first) = matches.first()
    {
        let letter = about_threat(alert, &device, first, matches.len());
        return Letter { steps: threat_steps(alert, delivery, links), thread, ..letter };
    }
    let letter = match event.kind {
        ViolationEventType::InAlarm => Letter {
            title: format!("{device} is out of bounds"),
            lead: alarm_lead(event, &device),
            figures: figures(event, "Measured"),
            ..Letter::blank(Tone::Alarm, "Alarm")
        },
        ViolationEventType::AlarmCleared => Letter {
            title: format!("{device} is back to normal"),
            lead: format!("{behavior} was out of bounds for {} and is as it should be again.", duration_words(until)),
            figures: figures(event, "Measured now"),
            ..Letter::blank(Tone::Good, "Cleared")
        },
        ViolationEventType::AlarmInvalidated => Letter {
            title: format!("{device} is no longer judged by {behavior}"),
            lead: "The alarm ended without a return to normal: the device has sent no data for two days, or the \
                   security profile no longer applies to it."
                .to_owned(),
            ..Letter::blank(Tone::Neutral, "Ended")
        },
    };
    Letter { facts: facts(alert), steps: steps(alert, delivery, links), thread, ..letter }
}

/// A device was in contact with somebody whom malware taught.
fn about_threat(alert: &AlertContext, device: &str, first: &IndicatorMatch, count: usize) -> Letter {
    let indicator = alert.indicators.iter().find(|indicator| indicator.id == first.indicator);
    let threat = threat_words(indicator.map_or(Threat::Unspecified, |indicator| indicator.threat));
    let met = match first.way {
        SightingWay::Report => format!("{device} was connected to {}, {threat}.", first.remote),
        SightingWay::Gateway => format!("{device} connected to the server from {}, {threat}.", first.remote),
        SightingWay::LookingBack => format!(
            "Found looking back: {device} was connected to {}, {threat}. It was seen there last on {}, before that was \
             known.",
            first.remote,
            time_words(first.seen_at)
        ),
    };
    let taught = match indicator.map(|indicator| (&indicator.source, indicator.provenance.first())) {
        Some((_, Some(Provenance { sample: Some(_), sensor: Some(sensor), .. }))) => {
            format!(" A sample that was left on the sensor {sensor} taught that.")
        }
        Some((_, Some(Provenance { sample: Some(_), .. }))) => " A sample taught that.".to_owned(),
        Some((IndicatorSource::Feed(feed), _)) => format!(" The feed {feed} says so."),
        Some((IndicatorSource::Operator, _)) => " An operator says so.".to_owned(),
        Some((IndicatorSource::Detonation(_), _)) | None => String::new(),
    };
    let more = if count > 1 { format!(" It met {} more.", count - 1) } else { String::new() };
    let mut facts = facts(alert);
    facts.push(("Seen with it", format!("{}, {}", first.remote, time_words(first.seen_at))));
    if let Some(indicator) = indicator {
        facts.extend(indicator_facts(indicator));
    }
    Letter {
        title: format!("{device} was in contact with a known threat"),
        lead: format!("{met}{taught}{more}"),
        facts,
        ..Letter::blank(Tone::Alarm, "Alarm")
    }
}

fn threat_words(threat: Threat) -> &'static str {
    match threat {
        Threat::CommandAndControl => "where malware takes its orders",
        Threat::Distribution => "from where malware is fetched",
        Threat::Exfiltration => "where malware sends what it has stolen",
        Threat::Mining => "where malware sells computing power",
        Threat::Unspecified => "which is known as malicious",
    }
}

/// The indicator, and the way back to what taught it.
fn indicator_facts(indicator: &Indicator) -> Vec<(&'static str, String)> {
    let confidence = indicator.confidence.percent();
    let mut facts = vec![
        ("Indicator", format!("{} ({}, confidence {confidence} %)", indicator.value, indicator.threat.as_str())),
        ("Indicator's id", indicator.id.to_string()),
        ("Known since", time_words(indicator.first_seen)),
    ];
    if let Some(Provenance { sample, detonation, session, sensor, .. }) = indicator.provenance.first() {
        let origin = [
            ("Sample (SHA-256)", sample.map(|sample| sample.to_string())),
            ("Detonation", detonation.as_ref().map(ToString::to_string)),
            ("Session", session.as_ref().map(ToString::to_string)),
            ("Sensor", sensor.as_ref().map(ToString::to_string)),
        ];
        facts.extend(origin.into_iter().filter_map(|(name, value)| Some((name, value?))));
    }
    let further = indicator.provenance.len().saturating_sub(1);
    if further > 0 {
        facts.push(("Also taught by", format!("{further} more")));
    }
    facts
}

/// What to do about a device that was in contact with a threat: first how that is known, then as for every alarm.
fn threat_steps(alert: &AlertContext, delivery: &Delivery, links: &Links) -> Vec<Step> {
    let mut steps = steps(alert, delivery, links);
    if let Some(indicator) = alert.indicators.first() {
        let mut commands = vec![
            format!("komainu indicators show {}", indicator.id),
            format!("komainu indicators sightings --indicator {}", indicator.id),
        ];
        if let Some(Provenance { sample, session, .. }) = indicator.provenance.first() {
            let sample = sample.map(|sample| {
                [
                    format!("komainu samples report {sample}"),
                    format!("komainu sensors artifacts export {sample} --out sample.bin"),
                ]
            });
            let session = session.as_ref().and_then(|session| shell_word(session.as_str()));
            let session =
                session.map(|session| format!("komainu sensors captures export {session} --out session.pcapng"));
            commands.extend(sample.into_iter().flatten().chain(session));
        }
        let text = "On the server, see what taught it and which other devices were seen with it.";
        steps.insert(0, Step { text: text.to_owned(), commands });
    }
    steps
}

/// `52,000 bytes sent in 5 minutes. Normal is less than 10,000.`
fn alarm_lead(event: &ViolationEvent, device: &str) -> String {
    let criteria = event.behavior.criteria.as_ref();
    let metric = metric_words(&event.behavior.metric);
    let normal = criteria.map(|criteria| limit_words(&criteria.expected));
    let normal = normal.map(|limit| format!(" Normal is {limit}.")).unwrap_or_default();
    let window = window_words(criteria);
    match &event.value {
        Some(value) => match offending_words(&event.behavior, value) {
            Some(offending) => format!("Unexpected {metric}: {offending}.{normal}"),
            None => match value {
                MetricValue::Count(_) | MetricValue::Number(_) => {
                    format!("{} {metric}{window}.{normal}", value_words(value))
                }
                MetricValue::Addresses(_)
                | MetricValue::Ports(_)
                | MetricValue::Numbers(_)
                | MetricValue::Strings(_)
                | MetricValue::Matches(_) => format!("{device} has {metric}: {}.{normal}", value_words(value)),
            },
        },
        None => format!("{device} is not as {} says.{normal}", visible(event.profile.as_str())),
    }
}

/// The value beside the limit, for values that are one number.
fn figures(event: &ViolationEvent, caption: &'static str) -> Vec<Figure> {
    let criteria = event.behavior.criteria.as_ref();
    let (Some(value @ (MetricValue::Count(_) | MetricValue::Number(_))), Some(criteria)) = (&event.value, criteria)
    else {
        return Vec::new();
    };
    let unit = format!("{}{}", metric_words(&event.behavior.metric), window_words(Some(criteria)));
    vec![
        Figure { caption, value: value_words(value), unit: unit.clone() },
        Figure { caption: "Normal", value: limit_words(&criteria.expected), unit },
    ]
}

fn facts(alert: &AlertContext) -> Vec<(&'static str, String)> {
    let event = &alert.event;
    let mut facts = vec![
        ("Device", visible(event.reporter.as_str())),
        ("Security profile", visible(event.profile.as_str())),
        ("Behavior", format!("{} ({})", visible(event.behavior.name.as_str()), event.behavior.metric.as_str())),
    ];
    if !alert.groups.is_empty() {
        let groups: Vec<String> = alert.groups.iter().map(|group| visible(group)).collect();
        facts.push(("Groups", groups.join(", ")));
    }
    facts.push(("Out of bounds since", time_words(alert.started_at)));
    match event.kind {
        ViolationEventType::InAlarm => {}
        ViolationEventType::AlarmCleared => facts.push(("Normal since", time_words(event.at))),
        ViolationEventType::AlarmInvalidated => facts.push(("Ended", time_words(event.at))),
    }
    facts.push(("Violation", event.violation.to_string()));
    facts
}

/// What to do next, as commands that can be pasted into a shell.
fn steps(alert: &AlertContext, delivery: &Delivery, links: &Links) -> Vec<Step> {
    let event = &alert.event;
    let step = |text: &str, commands: Vec<String>| Step { text: text.to_owned(), commands };
    // Commands are told only for names that look in the shell as they are.
    let Some(device) = shell_word(event.reporter.as_str()) else {
        let text = "The device's name has characters that cannot be seen, so no commands are given here. Look at it \
                    with: aws iot list-active-violations";
        return vec![step(text, Vec::new())];
    };
    let reach = [
        format!("export AWS_ENDPOINT_URL={}", links.api()),
        format!("export AWS_DEFAULT_REGION={}", delivery.scope.region),
    ];
    let history = format!(
        "aws iot list-violation-events --thing-name={device} --start-time {} --end-time {}",
        time_iso(alert.started_at.minus(LOOK_BACK)),
        time_iso(event.at.plus(LOOK_AHEAD)),
    );
    let mut look = reach.to_vec();
    look.push(history);
    match event.kind {
        ViolationEventType::InAlarm => vec![
            step("See what the device did. The first two lines are needed once in a terminal.", look),
            step(
                "If nobody expects this, cut the device off. The first command names its certificates; the second \
                 disconnects whoever uses one, within a second, and can be taken back with ACTIVE.",
                vec![
                    format!("aws iot list-thing-principals --thing-name={device}"),
                    "aws iot update-certificate --new-status INACTIVE --certificate-id=ID".to_owned(),
                ],
            ),
            step(
                "If it was expected, say so, for those who look later.",
                vec![format!(
                    "aws iot put-verification-state-on-violation --violation-id {} --verification-state BENIGN_POSITIVE",
                    event.violation
                )],
            ),
        ],
        ViolationEventType::AlarmCleared => vec![
            step("Nothing has to be done now. To see what happened:", look),
            step(
                "Say what it was, for those who look later (TRUE_POSITIVE, BENIGN_POSITIVE or FALSE_POSITIVE).",
                vec![format!(
                    "aws iot put-verification-state-on-violation --violation-id {} --verification-state TRUE_POSITIVE",
                    event.violation
                )],
            ),
        ],
        ViolationEventType::AlarmInvalidated => {
            vec![step("If the device should be running, find out why it is silent. What was seen of it last:", look)]
        }
    }
}

/// A word for a POSIX shell. `None` for text that does not look as it is.
fn shell_word(text: &str) -> Option<String> {
    if text.chars().any(is_hidden) {
        return None;
    }
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, ':' | '_' | '-' | '.');
    if text.chars().all(is_plain) {
        return Some(text.to_owned());
    }
    Some(format!("'{}'", text.replace('\'', r"'\''")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shell_words_are_words() {
        let check = |text: &str, expected: Option<&str>| assert_eq!(shell_word(text).as_deref(), expected, "{text:?}");
        check("MyDevice", Some("MyDevice"));
        check("--x", Some("--x"));
        check("a b", Some("'a b'"));
        check("$(reboot)", Some("'$(reboot)'"));
        check("it's", Some(r"'it'\''s'"));
        check("`x`;y|z&\\", Some(r"'`x`;y|z&\'"));
        check("a\u{202e}b", None);
        check("a\u{2028}b", None);
    }
}
