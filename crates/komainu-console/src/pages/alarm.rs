//! One alarm: what it says, why, what happened, where a known threat was learned; and what people say about it.

use std::time::Duration;

use hyper::StatusCode;
use komainu_model::{
    Behavior, Indicator, IndicatorMatch, IndicatorSource, MetricValue, ProfileName, Provenance, ReporterName, Role,
    SessionId, Timestamp, VerificationState, ViolationEventType, ViolationId,
};
use komainu_ports::{AUDIT_SUBJECT_BYTES_MAX, AuditAction, FleetError, JudgedBehavior, ViolationLife};
use maud::{Markup, html};

use crate::address::part;
use crate::judged::{
    VERIFICATIONS, alarm_words, device_link, event_badge, is_threat, offending_words, profile_link, value_words,
    verification_badge, verification_of,
};
use crate::pages::device::{MetricChart, metric_chart};
use crate::period::Period;
use crate::problem::Problem;
use crate::reply::Reply;
use crate::request::cut;
use crate::routes::Answered;
use crate::shown::shown;
use crate::visit::{SignedIn, Visit};
use crate::{Console, shell, time};

/// The longest description of a verification, in characters (AWS IoT API reference, PutVerificationStateOnViolation).
const DESCRIPTION_CHARS_MAX: usize = 1_000;

/// Known threats that are told with their origin.
const THREATS_MAX: usize = 10;

/// What is shown of a metric before an alarm was raised, and after it ended.
const AROUND: Duration = Duration::from_secs(6 * 3600);

/// An alarm, from its active record or from its events.
struct Told {
    id: ViolationId,
    reporter: ReporterName,
    profile: ProfileName,
    behavior: Behavior,
    verification: VerificationState,
    description: Option<String>,
    /// When it was raised; none when that event is not kept any more.
    raised_at: Option<Timestamp>,
    /// When and how it ended; none while it is active.
    ended: Option<(Timestamp, ViolationEventType)>,
    /// The value that decided it.
    value: Option<MetricValue>,
    /// The latest violating value, while it is active.
    last: Option<(MetricValue, Timestamp)>,
}

impl Told {
    fn of(id: &ViolationId, life: &ViolationLife) -> Option<Self> {
        let raised = life.events.iter().find(|event| event.kind == ViolationEventType::InAlarm);
        let ended = life.events.iter().find(|event| event.kind != ViolationEventType::InAlarm);
        let first = life.events.first();
        let active = life.active.as_ref();
        let behavior = active.map(|active| &active.behavior).or(first.map(|event| &event.behavior))?;
        Some(Self {
            id: id.clone(),
            reporter: active.map(|active| &active.reporter).or(first.map(|event| &event.reporter))?.clone(),
            profile: active.map(|active| &active.profile).or(first.map(|event| &event.profile))?.clone(),
            behavior: behavior.clone(),
            verification: active.map(|active| active.verification).or(first.map(|event| event.verification))?,
            description: active
                .map(|active| &active.verification_description)
                .or(first.map(|event| &event.verification_description))?
                .clone(),
            raised_at: active.map(|active| active.started_at).or(raised.map(|event| event.at)),
            ended: ended.filter(|_| active.is_none()).map(|event| (event.at, event.kind)),
            value: raised.and_then(|event| event.value.clone()),
            last: active.and_then(|active| Some((active.last_value.clone()?, active.last_at))),
        })
    }
}

/// The page.
pub(crate) fn show(visit: &Visit, who: &SignedIn) -> Answered {
    page(visit, who, StatusCode::OK, None)
}

fn page(visit: &Visit, who: &SignedIn, status: StatusCode, wrong: Option<&str>) -> Answered {
    let (told, life) = told(visit)?;
    let title = format!("{}: {}", shown(told.reporter.as_str()), told.behavior.name);
    let content = html! {
        (shell::said(visit))
        (shell::wrong(wrong))
        (summary(visit, &told))
        (threats(visit, &told)?)
        div.wide-narrow.top {
            div.stack { (around(visit, &told)?) (timeline(visit, &told, &life)) }
            div.stack {
                @if who.may(Role::Analyst) { (verify_form(visit, &told)) (suppress_form(visit, &told)) }
                @else { section.card { p.muted { (visit.text("alarm.for-analysts")) } } }
            }
        }
    };
    Ok(shell::page_with_status(status, visit, Some(who), &title, content))
}

/// The alarm that the address names.
fn told(visit: &Visit) -> Result<(Told, ViolationLife), Problem> {
    let id = ViolationId::parse(visit.label("violation")).map_err(|_| Problem::NotFound)?;
    let life = visit.console.history.violation(&visit.console.scope, &id)?;
    let told = Told::of(&id, &life).ok_or(Problem::NotFound)?;
    Ok((told, life))
}

fn summary(visit: &Visit, told: &Told) -> Markup {
    let state = told.ended.map_or(ViolationEventType::InAlarm, |(_, kind)| kind);
    let is_urgent = told.ended.is_none() && told.verification == VerificationState::Unknown;
    let value = |value: &MetricValue| {
        html! {
            strong { (value_words(visit, value)) }
            @if let Some(items) = offending_words(visit, &told.behavior, value) {
                " " span.small { (visit.text("alarm.not-allowed")) " " strong.alarm { (items) } }
            }
        }
    };
    html! {
        section.card.urgent[is_urgent] {
            div.card-head {
                p.sentence { (alarm_words(visit, &told.behavior)) }
                div.badges {
                    @if is_threat(&told.behavior) { span.badge.bad { (visit.text("alarms.threat")) } }
                    (event_badge(visit, state))
                    (verification_badge(visit, told.verification))
                }
            }
            dl.facts.inline {
                dt { (visit.text("alarms.device")) } dd { (device_link(told.reporter.as_str())) }
                dt { (visit.text("alarms.profile")) } dd { (profile_link(&told.profile)) " · " (told.behavior.name) }
                dt { (visit.text("alarm.decided-by")) }
                dd { @match &told.value { Some(decided) => (value(decided)), None => span.muted { (visit.text("alarm.not-kept")) } } }
                @if let Some((last, at)) = &told.last {
                    dt { (visit.text("alarm.last-value")) } dd { (value(last)) " " span.small.muted { (time::time(*at)) } }
                }
                @if let Some(description) = &told.description {
                    dt { (visit.text("alarm.found-out")) } dd.break { (shown(description)) }
                }
                dt { (visit.text("alarm.id")) } dd.mono.break { (told.id) }
            }
        }
    }
}

/// What happened, from the first to the last.
fn timeline(visit: &Visit, told: &Told, life: &ViolationLife) -> Markup {
    html! {
        section.card {
            h2 { (visit.text("alarm.timeline")) }
            ol.history {
                @if !life.events.iter().any(|event| event.kind == ViolationEventType::InAlarm) {
                    @if let Some(at) = told.raised_at { li { (time::time(at)) " " (event_badge(visit, ViolationEventType::InAlarm)) } }
                }
                @for event in &life.events {
                    li {
                        (time::time(event.at)) " " (event_badge(visit, event.kind))
                        @if let Some(value) = &event.value { div.small.muted { (value_words(visit, value)) } }
                    }
                }
                @if told.ended.is_none() { li.muted { (visit.text("alarm.goes-on")) } }
            }
            p.small.muted { (visit.text("alarms.kept")) }
        }
    }
}

/// The metric around the time of the alarm.
fn around(visit: &Visit, told: &Told) -> Result<Markup, Problem> {
    let ended_at = told.ended.map(|(at, _)| at);
    let begin = told.raised_at.or(ended_at).unwrap_or(visit.now);
    let end = ended_at.unwrap_or(visit.now).plus(AROUND).min(visit.now);
    let period = Period::between(begin.minus(AROUND), end.max(begin.plus(Duration::from_secs(60))), visit.now);
    metric_chart(
        visit,
        &MetricChart {
            reporter: &told.reporter,
            metric: &told.behavior.metric,
            behaviors: &[(&told.profile, &told.behavior)],
            period: &period,
        },
    )
}

/// Each known threat that the alarm names, with the way back to the attack that taught it, as one line.
fn threats(visit: &Visit, told: &Told) -> Result<Markup, Problem> {
    let last = told.last.as_ref().map(|(value, _)| value);
    let Some(MetricValue::Matches(matches)) = last.or(told.value.as_ref()) else { return Ok(html! {}) };
    let mut chains = Vec::new();
    for found in matches.iter().take(THREATS_MAX) {
        chains.push((found, visit.console.threat.indicators.indicator(found.indicator)?));
    }
    let more = matches.len().saturating_sub(THREATS_MAX);
    Ok(html! {
        section.card {
            h2 { (visit.text("alarm.from-attack")) }
            @for (found, indicator) in &chains { (chain(visit, told, found, indicator.as_ref())) }
            @if more > 0 { p.small.muted { (visit.filled("alarm.more-threats", &[("count", &more.to_string())])) } }
        }
    })
}

/// One line from an attack to this alarm.
fn chain(visit: &Visit, told: &Told, found: &IndicatorMatch, indicator: Option<&Indicator>) -> Markup {
    let origins = indicator.map_or(&[][..], |indicator| &indicator.provenance);
    let is_whole = |origin: &&Provenance| origin.session.is_some() && origin.sample.is_some();
    // The origin that leads the furthest back.
    let origin = origins.iter().find(is_whole).or_else(|| origins.iter().find(|origin| !origin.is_empty()));
    let step = |label: &str, content: Markup| html! { li { span.small.muted { (label) } span { (content) } } };
    let known = indicator.map_or_else(|| found.indicator.to_string(), |indicator| indicator.value.to_string());
    let labelled = |label: &str, word: Option<&str>| match word {
        Some(word) => format!("{label} · {word}"),
        None => label.to_owned(),
    };
    let threat = indicator.and_then(|indicator| visit.texts.word("threat", indicator.threat.as_str()));
    let indicator_label = labelled(visit.text("chain.indicator"), threat);
    let way = visit.texts.word("sighting-way", found.way.as_str());
    let contact_label = labelled(visit.text("chain.contact"), way);
    html! {
        ol.trail.inline {
            @if let Some(origin) = origin {
                @if origin.session.is_some() || origin.sensor.is_some() {
                    (step(visit.text("chain.attack"), html! {
                        @if let Some(session) = &origin.session { (session_link(session)) }
                        @if let Some(sensor) = &origin.sensor {
                            @if origin.session.is_some() { " @ " }
                            a href={ "/sensors/" (part(sensor.as_str())) } { (sensor) }
                        }
                    }))
                }
                @if let Some(sample) = origin.sample {
                    @let digest = sample.to_string();
                    (step(visit.text("chain.sample"), html! {
                        a.mono href={ "/samples/" (digest) } title=(digest) { (digest.get(..12).unwrap_or(&digest)) "…" }
                    }))
                }
                @if let Some(detonation) = &origin.detonation {
                    (step(visit.text("chain.detonation"), html! { span.mono { (detonation) } }))
                }
            }
            // Who taught it is the beginning when no attack is known.
            @match indicator.filter(|_| origin.is_none()).map(|indicator| &indicator.source) {
                Some(IndicatorSource::Operator) => (step(visit.text("chain.teacher"), html! { (visit.text("chain.operator")) })),
                Some(IndicatorSource::Feed(feed)) => (step(visit.text("chain.feed"), html! { (feed) })),
                Some(IndicatorSource::Detonation(_)) | None => {}
            }
            (step(&indicator_label, html! { a.mono href={ "/indicators/" (found.indicator) } { (known) } }))
            (step(&contact_label, html! {
                (device_link(told.reporter.as_str())) " → "
                span.mono title=(time::text(found.seen_at)) { (found.remote.to_string()) }
            }))
            (step(visit.text("chain.alarm"), html! { strong.alarm { (visit.text("chain.this")) } }))
        }
    }
}

/// A session of a sensor, which has a page when its id is one of ours.
fn session_link(session: &SessionId) -> Markup {
    let text = session.as_str();
    let is_ours = text.len() == 32 && text.bytes().all(|digit| digit.is_ascii_hexdigit());
    html! {
        @if is_ours { a.mono href={ "/sessions/" (text) } title=(text) { (text.get(..8).unwrap_or(text)) "…" } }
        @else { span.mono { (text) } }
    }
}

fn verify_form(visit: &Visit, told: &Told) -> Markup {
    let typed = visit.form.one("description");
    let description = if typed.is_empty() { told.description.as_deref().unwrap_or_default() } else { typed };
    html! {
        section.card {
            h2 { (visit.text("alarm.verify")) }
            form.stack method="post" action={ "/alarms/" (told.id) "/verify" } {
                (shell::form_key_field(visit))
                fieldset.choices {
                    legend.small.muted { (visit.text("alarm.what-is-it")) }
                    @for state in VERIFICATIONS {
                        @let word = state.as_str();
                        label.check {
                            input type="radio" name="state" value=(word) required checked[told.verification == state];
                            " " (visit.texts.word("verification", word).unwrap_or(word))
                            " " span.small.muted { (visit.texts.word("verification-about", word).unwrap_or_default()) }
                        }
                    }
                }
                label { span { (visit.text("alarm.description")) }
                    textarea name="description" rows="3" maxlength=(DESCRIPTION_CHARS_MAX) { (description) } }
                button.primary type="submit" { (visit.text("alarm.save")) }
            }
        }
    }
}

fn suppress_form(visit: &Visit, told: &Told) -> Markup {
    let console = &visit.console;
    let Some(profile) = console.fleet.security_profile(&console.scope, &told.profile) else {
        return html! { section.card { h2 { (visit.text("alarm.suppress")) } p.muted { (visit.text("alarm.no-behavior")) } } };
    };
    let Some(behavior) = profile.behaviors.iter().find(|behavior| behavior.name == told.behavior.name) else {
        return html! { section.card { h2 { (visit.text("alarm.suppress")) } p.muted { (visit.text("alarm.no-behavior")) } } };
    };
    let (action, about, button) = match behavior.suppress_alerts {
        false => ("suppress", visit.text("alarm.suppress-about"), visit.text("alarm.suppress")),
        true => ("resume", visit.text("alarm.resume-about"), visit.text("alarm.resume")),
    };
    html! {
        section.card {
            h2 { (button) }
            p.small.muted { (about) }
            form.stack method="post" action={ "/alarms/" (told.id) "/" (action) } {
                (shell::form_key_field(visit))
                input type="hidden" name="version" value=(profile.version);
                label { span { (visit.text("alarm.reason")) }
                    textarea name="reason" rows="2" maxlength=(DESCRIPTION_CHARS_MAX) required { (visit.form.one("reason")) } }
                button.danger[!behavior.suppress_alerts] type="submit" { (button) }
            }
        }
    }
}

/// Writes down what somebody found out.
pub(crate) fn verify(visit: &Visit, who: &SignedIn) -> Answered {
    let (told, _) = told(visit)?;
    let Some(state) = verification_of(visit.form.one("state")) else { return Err(Problem::FormUnreadable) };
    let Some(description) = description(visit.form.one("description")) else {
        return page(visit, who, StatusCode::UNPROCESSABLE_ENTITY, Some(&too_long(visit)));
    };
    let console = &visit.console;
    if !console.history.verify_violation(&console.scope, &told.id, state, description.as_deref())? {
        return Err(Problem::NotFound);
    }
    let said = description.unwrap_or_default();
    note(visit, who, AuditAction::VerifyAlarm, &format!("{} {} {said}", told.id, state.as_str()))?;
    Ok(Reply::on_to(&format!("/alarms/{}?said=saved", told.id)))
}

/// Lets nobody be told of the behavior any more.
pub(crate) fn suppress(visit: &Visit, who: &SignedIn) -> Answered {
    change(visit, who, AuditAction::SuppressAlerts, |console, behavior, version| {
        console.fleet.suppress_alerts(&console.scope, behavior, version)
    })
}

/// Lets people be told of the behavior again.
pub(crate) fn resume(visit: &Visit, who: &SignedIn) -> Answered {
    change(visit, who, AuditAction::ResumeAlerts, |console, behavior, version| {
        console.fleet.resume_alerts(&console.scope, behavior, version)
    })
}

fn change(
    visit: &Visit,
    who: &SignedIn,
    action: AuditAction,
    carry_out: impl FnOnce(&Console, &JudgedBehavior, u64) -> Result<(), FleetError>,
) -> Answered {
    let (told, _) = told(visit)?;
    let again = |status, text: &str| page(visit, who, status, Some(text));
    let Ok(version) = visit.form.one("version").parse::<u64>() else { return Err(Problem::FormUnreadable) };
    let reason = match description(visit.form.one("reason")) {
        Some(Some(reason)) => reason,
        Some(None) => return again(StatusCode::UNPROCESSABLE_ENTITY, visit.text("alarm.no-reason")),
        None => return again(StatusCode::UNPROCESSABLE_ENTITY, &too_long(visit)),
    };
    let behavior = JudgedBehavior { profile: told.profile.clone(), behavior: told.behavior.name.clone() };
    let console = &visit.console;
    match carry_out(console, &behavior, version) {
        Ok(()) => {}
        Err(FleetError::Changed { .. }) => return again(StatusCode::CONFLICT, visit.text("alarm.changed")),
        Err(FleetError::Missing(_)) => return again(StatusCode::CONFLICT, visit.text("alarm.no-behavior")),
        Err(FleetError::Refused(reason)) => return again(StatusCode::CONFLICT, &shown(&reason)),
        Err(FleetError::Store(error)) => return Err(error.into()),
    }
    note(visit, who, action, &format!("{}/{} {reason}", behavior.profile, behavior.behavior))?;
    // The reason stands with the alarm as well, whose state stays as it is.
    console.history.verify_violation(&console.scope, &told.id, told.verification, Some(&reason))?;
    Ok(Reply::on_to(&format!("/alarms/{}?said=saved", told.id)))
}

/// What somebody wrote: nothing when it is too long, nothing in it when it is empty.
fn description(text: &str) -> Option<Option<String>> {
    // Browsers send line ends as CRLF (HTML, "form submission").
    let text = text.replace("\r\n", "\n");
    let text = text.trim();
    (text.chars().count() <= DESCRIPTION_CHARS_MAX).then(|| (!text.is_empty()).then(|| text.to_owned()))
}

fn too_long(visit: &Visit) -> String {
    visit.filled("alarm.too-long", &[("count", &DESCRIPTION_CHARS_MAX.to_string())])
}

fn note(visit: &Visit, who: &SignedIn, action: AuditAction, subject: &str) -> Result<(), Problem> {
    let entry = visit.did(who, action, cut(subject.trim_end(), AUDIT_SUBJECT_BYTES_MAX));
    Ok(visit.console.store().note(&entry)?)
}
