//! What a mail says, before it is laid out.
//!
//! A [`Letter`] has parts that every mail program can show; `text` and `html` lay it out. What devices and publishers
//! chose (names, values, messages) is made visible here and escaped there.

pub(crate) mod html;
pub(crate) mod text;

use std::time::Duration;

use komainu_model::{
    AlertContext, Delivery, HELD_BACK_ATTRIBUTE, Indicator, IndicatorMatch, IndicatorSource, KomainuMetric, Language,
    Metric, MetricValue, NotificationKind, Provenance, SightingWay, Threat, Timestamp, ViolationEvent,
    ViolationEventType,
};

use super::links::Links;
use super::words::{Words, is_hidden, shortened, time_iso, visible, visible_lines};

/// Lists of events in commands begin so long before the alarm.
const LOOK_BACK: Duration = Duration::from_secs(3600);
/// And end so long after it.
const LOOK_AHEAD: Duration = Duration::from_secs(24 * 3600);
/// The longest subject, in characters; SNS allows no longer ones.
const SUBJECT_CHARS_MAX: usize = 100;
/// Device and behavior get at most so many characters of a subject, as in what programs are told.
const SUBJECT_NAME_CHARS_MAX: usize = 34;

/// What a mail says.
#[derive(Debug, Clone)]
pub(crate) struct Letter {
    /// How it speaks.
    pub(crate) words: Words,
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
    /// What a delivery to a person says, in a language.
    pub(crate) fn of(delivery: &Delivery, links: &Links, language: Language) -> Self {
        let words = Words::of(language);
        let notification = &delivery.notification;
        let topic = visible(notification.topic.resource());
        match &notification.kind {
            NotificationKind::SubscriptionConfirmation { token, expires_at } => {
                let url = links.confirm(&notification.topic, token);
                confirmation(words, delivery, &topic, url, *expires_at)
            }
            NotificationKind::UnsubscribeConfirmation { token, expires_at } => {
                let url = links.confirm(&notification.topic, token);
                farewell(words, delivery, &topic, url, *expires_at)
            }
            NotificationKind::Message { subject, message, attributes, alert } => {
                let unsubscribe = Some(links.unsubscribe(delivery));
                let arn = notification.topic.to_string();
                let reason =
                    words.filled("mail.reason", &[("address", &delivery.endpoint), ("topic", &topic), ("arn", &arn)]);
                let letter = match alert {
                    Some(alert) => about_alert(words, alert, delivery, links),
                    None => {
                        let letter = published(words, &topic, message);
                        let held_back = attributes.get(HELD_BACK_ATTRIBUTE).and_then(|(_, count)| count.parse().ok());
                        let digest = held_back.and_then(|count| digest(words, &topic, message, count));
                        let subject = subject.as_deref().map(visible);
                        let subject = subject.unwrap_or_else(|| words.filled("mail.no-subject", &[("topic", &topic)]));
                        digest.unwrap_or(Self { subject, ..letter })
                    }
                };
                let title = if letter.title.is_empty() { letter.subject.clone() } else { letter.title };
                Self { title, reason, unsubscribe, ..letter }
            }
        }
    }

    /// A letter that says nothing yet.
    fn blank(words: Words, tone: Tone, badge: &'static str) -> Self {
        Self {
            words,
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

fn confirmation(words: Words, delivery: &Delivery, topic: &str, url: String, expires_at: Timestamp) -> Letter {
    let scope = &delivery.scope;
    Letter {
        subject: words.filled("mail.confirm-subject", &[("topic", topic)]),
        title: words.filled("mail.confirm-title", &[("topic", topic)]),
        lead: words.filled("mail.confirm-lead", &[("topic", topic), ("address", &delivery.endpoint)]),
        button: Some(Button { label: words.text("mail.confirm-button"), url }),
        facts: vec![
            (words.text("mail.topic"), delivery.notification.topic.to_string()),
            (words.text("mail.account"), scope.account.to_string()),
            (words.text("mail.region"), scope.region.to_string()),
            (words.text("mail.offer-ends"), words.time(expires_at)),
        ],
        reason: words.text("mail.confirm-reason").to_owned(),
        ..Letter::blank(words, Tone::Neutral, words.text("mail.badge-confirm"))
    }
}

fn farewell(words: Words, delivery: &Delivery, topic: &str, url: String, expires_at: Timestamp) -> Letter {
    Letter {
        subject: words.filled("mail.farewell-subject", &[("topic", topic)]),
        title: words.filled("mail.farewell-title", &[("topic", topic)]),
        lead: words.filled("mail.farewell-lead", &[("topic", topic), ("address", &delivery.endpoint)]),
        button: Some(Button { label: words.text("mail.farewell-button"), url }),
        facts: vec![
            (words.text("mail.topic"), delivery.notification.topic.to_string()),
            (words.text("mail.possible-until"), words.time(expires_at)),
        ],
        reason: words.text("mail.farewell-reason").to_owned(),
        ..Letter::blank(words, Tone::Neutral, words.text("mail.badge-unsubscribed"))
    }
}

fn published(words: Words, topic: &str, message: &str) -> Letter {
    Letter {
        lead: words.filled("mail.message-lead", &[("topic", topic)]),
        message: Some(visible_lines(message)),
        ..Letter::blank(words, Tone::Neutral, words.text("mail.badge-message"))
    }
}

/// The mail about `count` messages that were held back. The outbox has it in English, an introduction and a line for
/// each of the first messages; in another language all is said anew but what publishers wrote. `None` in English, and for
/// what is no such text.
fn digest(words: Words, topic: &str, message: &str, count: u64) -> Option<Letter> {
    match words.language() {
        Language::English => return None,
        Language::Japanese => {}
    }
    let (_introduction, lines) = message.split_once("\n\n")?;
    let lines = lines.lines().filter(|line| line.starts_with("- ")).map(|line| digest_line(words, line));
    let lines: Vec<String> = lines.collect();
    let more = count.checked_sub(u64::try_from(lines.len()).unwrap_or(u64::MAX))?;
    let mut message = visible_lines(&lines.join("\n"));
    if more > 0 {
        message = format!("{message}\n{}", words.filled("mail.digest-more", &[("count", &more.to_string())]));
    }
    Some(Letter {
        subject: words.filled("mail.digest-subject", &[("count", &count.to_string()), ("topic", topic)]),
        lead: words.filled("mail.digest-lead", &[("topic", topic)]),
        message: Some(message),
        ..Letter::blank(words, Tone::Neutral, words.text("mail.badge-message"))
    })
}

/// A line of a digest, its time and a subject. Subjects of alerts are sentences of ours, in English, as programs get them.
fn digest_line(words: Words, line: &str) -> String {
    let said_anew = || {
        let (time, subject) = line.split_once("UTC  [Komainu] ")?;
        let (device, what) = subject.split_once(": ")?;
        let said = |behavior: &str, key: fn(Words, &[(&str, &str)]) -> String| {
            Some(format!("{time}UTC  {}", key(words, &[("device", device), ("behavior", behavior)])))
        };
        if let Some(behavior) = what.strip_suffix(" out of bounds") {
            return said(behavior, |words, places| words.filled("mail.subject-alarm", places));
        }
        if let Some(behavior) = what.strip_suffix(" in contact with a known threat") {
            return said(behavior, |words, places| words.filled("mail.subject-threat", places));
        }
        if let Some(behavior) = what.strip_suffix(" back to normal") {
            return said(behavior, |words, places| words.filled("mail.subject-cleared", places));
        }
        let behavior = what.strip_suffix(" no longer judged")?;
        said(behavior, |words, places| words.filled("mail.subject-ended", places))
    };
    said_anew().unwrap_or_else(|| line.to_owned())
}

fn about_alert(words: Words, alert: &AlertContext, delivery: &Delivery, links: &Links) -> Letter {
    let event = &alert.event;
    let device = visible(event.reporter.as_str());
    let behavior = visible(event.behavior.name.as_str());
    let (thread, subject) = (Some(event.violation.to_string()), alert_subject(words, event));
    let until = event.at.since(alert.started_at);
    if let (ViolationEventType::InAlarm, Some(MetricValue::Matches(matches))) = (event.kind, &event.value)
        && let Some(first) = matches.first()
    {
        let letter = about_threat(words, alert, &device, first, matches.len());
        return Letter { subject, steps: threat_steps(words, alert, delivery, links), thread, ..letter };
    }
    let letter = match event.kind {
        ViolationEventType::InAlarm => Letter {
            title: words.filled("mail.alarm-title", &[("device", &device)]),
            lead: alarm_lead(words, event, &device),
            figures: figures(words, event, words.text("mail.measured")),
            ..Letter::blank(words, Tone::Alarm, words.text("mail.badge-alarm"))
        },
        ViolationEventType::AlarmCleared => Letter {
            title: words.filled("mail.cleared-title", &[("device", &device)]),
            lead: words.filled("mail.cleared-lead", &[("behavior", &behavior), ("duration", &words.duration(until))]),
            figures: figures(words, event, words.text("mail.measured-now")),
            ..Letter::blank(words, Tone::Good, words.text("mail.badge-cleared"))
        },
        ViolationEventType::AlarmInvalidated => Letter {
            title: words.filled("mail.ended-title", &[("device", &device), ("behavior", &behavior)]),
            lead: words.text("mail.ended-lead").to_owned(),
            ..Letter::blank(words, Tone::Neutral, words.text("mail.badge-ended"))
        },
    };
    Letter { subject, facts: facts(words, alert), steps: steps(words, alert, delivery, links), thread, ..letter }
}

/// The subject of a mail about an alert; in English it is the one that programs get.
fn alert_subject(words: Words, event: &ViolationEvent) -> String {
    let device = shortened(&visible(event.reporter.as_str()), SUBJECT_NAME_CHARS_MAX);
    let behavior = shortened(&visible(event.behavior.name.as_str()), SUBJECT_NAME_CHARS_MAX);
    let places = [("device", device.as_str()), ("behavior", behavior.as_str())];
    let is_threat = event.behavior.metric == Metric::Komainu(KomainuMetric::IndicatorMatches);
    let subject = match event.kind {
        ViolationEventType::InAlarm if is_threat => words.filled("mail.subject-threat", &places),
        ViolationEventType::InAlarm => words.filled("mail.subject-alarm", &places),
        ViolationEventType::AlarmCleared => words.filled("mail.subject-cleared", &places),
        ViolationEventType::AlarmInvalidated => words.filled("mail.subject-ended", &places),
    };
    shortened(&subject, SUBJECT_CHARS_MAX)
}

/// A device was in contact with somebody whom malware taught.
fn about_threat(words: Words, alert: &AlertContext, device: &str, first: &IndicatorMatch, count: usize) -> Letter {
    let indicator = alert.indicators.iter().find(|indicator| indicator.id == first.indicator);
    let threat = threat(words, indicator.map_or(Threat::Unspecified, |indicator| indicator.threat));
    let (remote, seen_at) = (first.remote.to_string(), words.time(first.seen_at));
    let places = [("device", device), ("remote", remote.as_str()), ("threat", threat), ("time", seen_at.as_str())];
    let mut lead = vec![match first.way {
        SightingWay::Report => words.filled("mail.met-report", &places),
        SightingWay::Gateway => words.filled("mail.met-gateway", &places),
        SightingWay::LookingBack => words.filled("mail.met-looking-back", &places),
    }];
    lead.extend(match indicator.map(|indicator| (&indicator.source, indicator.provenance.first())) {
        Some((_, Some(Provenance { sample: Some(_), sensor: Some(sensor), .. }))) => {
            Some(words.filled("mail.taught-on-sensor", &[("sensor", sensor.as_str())]))
        }
        Some((_, Some(Provenance { sample: Some(_), .. }))) => Some(words.text("mail.taught-by-sample").to_owned()),
        Some((IndicatorSource::Feed(feed), _)) => {
            Some(words.filled("mail.taught-by-feed", &[("feed", &visible(&feed.to_string()))]))
        }
        Some((IndicatorSource::Operator, _)) => Some(words.text("mail.taught-by-operator").to_owned()),
        Some((IndicatorSource::Detonation(_), _)) | None => None,
    });
    if count > 1 {
        lead.push(words.filled("mail.met-more", &[("count", &(count - 1).to_string())]));
    }
    let mut facts = facts(words, alert);
    facts.push((words.text("mail.seen-with"), words.joined(&[remote.clone(), seen_at.clone()])));
    if let Some(indicator) = indicator {
        facts.extend(indicator_facts(words, indicator));
    }
    Letter {
        title: words.filled("mail.threat-title", &[("device", device)]),
        lead: words.sentences(&lead),
        facts,
        ..Letter::blank(words, Tone::Alarm, words.text("mail.badge-alarm"))
    }
}

fn threat(words: Words, threat: Threat) -> &'static str {
    match threat {
        Threat::CommandAndControl => words.text("mail.threat-command"),
        Threat::Distribution => words.text("mail.threat-distribution"),
        Threat::Exfiltration => words.text("mail.threat-exfiltration"),
        Threat::Mining => words.text("mail.threat-mining"),
        Threat::Unspecified => words.text("mail.threat-unspecified"),
    }
}

/// The indicator, and the way back to what taught it.
fn indicator_facts(words: Words, indicator: &Indicator) -> Vec<(&'static str, String)> {
    let (value, threat) = (indicator.value.to_string(), words.threat(indicator.threat));
    let confidence = indicator.confidence.percent().to_string();
    let places = [("value", value.as_str()), ("threat", threat), ("percent", confidence.as_str())];
    let mut facts = vec![
        (words.text("mail.indicator"), words.filled("mail.indicator-is", &places)),
        (words.text("mail.indicator-id"), indicator.id.to_string()),
        (words.text("mail.known-since"), words.time(indicator.first_seen)),
    ];
    if let Some(Provenance { sample, detonation, session, sensor, .. }) = indicator.provenance.first() {
        let origin = [
            (words.text("mail.sample"), sample.map(|sample| sample.to_string())),
            (words.text("mail.detonation"), detonation.as_ref().map(ToString::to_string)),
            (words.text("mail.session"), session.as_ref().map(ToString::to_string)),
            (words.text("mail.sensor"), sensor.as_ref().map(ToString::to_string)),
        ];
        facts.extend(origin.into_iter().filter_map(|(name, value)| Some((name, value?))));
    }
    let further = indicator.provenance.len().saturating_sub(1);
    if further > 0 {
        let more = words.filled("mail.taught-more", &[("count", &further.to_string())]);
        facts.push((words.text("mail.also-taught-by"), more));
    }
    facts
}

/// What to do about a device that was in contact with a threat: first how that is known, then as for every alarm.
fn threat_steps(words: Words, alert: &AlertContext, delivery: &Delivery, links: &Links) -> Vec<Step> {
    let mut steps = steps(words, alert, delivery, links);
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
        steps.insert(0, Step { text: words.text("mail.step-threat").to_owned(), commands });
    }
    steps
}

/// `52,000 bytes sent in 5 minutes. Normal is less than 10,000.`
fn alarm_lead(words: Words, event: &ViolationEvent, device: &str) -> String {
    let criteria = event.behavior.criteria.as_ref();
    let metric = words.metric(&event.behavior.metric);
    let said = match &event.value {
        Some(value) => match (words.offending(&event.behavior, value), value) {
            (Some(items), _) => words.filled("mail.unexpected", &[("metric", &metric), ("items", &items)]),
            (None, MetricValue::Count(_) | MetricValue::Number(_)) => {
                let value = words.value(value);
                let places = [("value", value.as_str()), ("metric", &metric)];
                match words.window(criteria) {
                    Some(window) => words.filled("mail.number-within", &[places[0], places[1], ("window", &window)]),
                    None => words.filled("mail.number", &places),
                }
            }
            (
                None,
                MetricValue::Addresses(_)
                | MetricValue::Ports(_)
                | MetricValue::Numbers(_)
                | MetricValue::Strings(_)
                | MetricValue::Matches(_),
            ) => {
                let value = words.value(value);
                words.filled("mail.set", &[("device", device), ("metric", &metric), ("value", &value)])
            }
        },
        None => {
            let profile = visible(event.profile.as_str());
            words.filled("mail.not-as", &[("device", device), ("profile", &profile)])
        }
    };
    let normal =
        criteria.map(|criteria| words.filled("mail.normal-is", &[("limit", &words.limit(&criteria.expected))]));
    words.sentences(&[said].into_iter().chain(normal).collect::<Vec<_>>())
}

/// The value beside the limit, for values that are one number.
fn figures(words: Words, event: &ViolationEvent, caption: &'static str) -> Vec<Figure> {
    let criteria = event.behavior.criteria.as_ref();
    let (Some(value @ (MetricValue::Count(_) | MetricValue::Number(_))), Some(criteria)) = (&event.value, criteria)
    else {
        return Vec::new();
    };
    let metric = words.metric(&event.behavior.metric);
    let unit = match words.window(Some(criteria)) {
        Some(window) => words.filled("mail.unit-within", &[("metric", &metric), ("window", &window)]),
        None => metric,
    };
    vec![
        Figure { caption, value: words.value(value), unit: unit.clone() },
        Figure { caption: words.text("mail.normal"), value: words.limit(&criteria.expected), unit },
    ]
}

fn facts(words: Words, alert: &AlertContext) -> Vec<(&'static str, String)> {
    let event = &alert.event;
    let behavior = visible(event.behavior.name.as_str());
    let behavior = words.filled("mail.behavior-of", &[("name", &behavior), ("metric", event.behavior.metric.as_str())]);
    let mut facts = vec![
        (words.text("mail.device"), visible(event.reporter.as_str())),
        (words.text("mail.profile"), visible(event.profile.as_str())),
        (words.text("mail.behavior"), behavior),
    ];
    if !alert.groups.is_empty() {
        let groups: Vec<String> = alert.groups.iter().map(|group| visible(group)).collect();
        facts.push((words.text("mail.groups"), words.joined(&groups)));
    }
    facts.push((words.text("mail.since"), words.time(alert.started_at)));
    match event.kind {
        ViolationEventType::InAlarm => {}
        ViolationEventType::AlarmCleared => facts.push((words.text("mail.normal-since"), words.time(event.at))),
        ViolationEventType::AlarmInvalidated => facts.push((words.text("mail.ended"), words.time(event.at))),
    }
    facts.push((words.text("mail.violation"), event.violation.to_string()));
    facts
}

/// What to do next, as commands that can be pasted into a shell.
fn steps(words: Words, alert: &AlertContext, delivery: &Delivery, links: &Links) -> Vec<Step> {
    let event = &alert.event;
    let step = |text: &str, commands: Vec<String>| Step { text: text.to_owned(), commands };
    // Commands are told only for names that look in the shell as they are.
    let Some(device) = shell_word(event.reporter.as_str()) else {
        return vec![step(words.text("mail.step-unseen"), Vec::new())];
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
    let verify = |state: &str| {
        vec![format!(
            "aws iot put-verification-state-on-violation --violation-id {} --verification-state {state}",
            event.violation
        )]
    };
    match event.kind {
        ViolationEventType::InAlarm => vec![
            step(words.text("mail.step-look"), look),
            step(
                words.text("mail.step-cut-off"),
                vec![
                    format!("aws iot list-thing-principals --thing-name={device}"),
                    "aws iot update-certificate --new-status INACTIVE --certificate-id=ID".to_owned(),
                ],
            ),
            step(words.text("mail.step-expected"), verify("BENIGN_POSITIVE")),
        ],
        ViolationEventType::AlarmCleared => vec![
            step(words.text("mail.step-nothing"), look),
            step(words.text("mail.step-say"), verify("TRUE_POSITIVE")),
        ],
        ViolationEventType::AlarmInvalidated => vec![step(words.text("mail.step-silent"), look)],
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
