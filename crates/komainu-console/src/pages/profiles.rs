//! Security profiles: all of them, one with what it judges, and deleting it. They are written in
//! [`profile_editor`](super::profile_editor).

use std::collections::BTreeMap;
use std::sync::Arc;

use hyper::StatusCode;
use komainu_model::{Behavior, Criteria, ProfileName, Role, SecurityProfile, TopicName};
use komainu_ports::{ActiveViolationQuery, AuditAction, Page, ProfileDeskError};
use maud::{Markup, html};

use crate::behaviors::{normal_words, profile_path};
use crate::judged::{device_link, metric_name, target_words, value_words};
use crate::pages::search::{HITS_MAX, Hit};
use crate::problem::Problem;
use crate::reply::Reply;
use crate::routes::Answered;
use crate::shown::shown;
use crate::visit::{SignedIn, Visit};
use crate::watch::grouped;
use crate::{shell, time};

/// Profiles of one page.
const LISTED_MAX: usize = 50;

/// Alarms that are counted for the list. There are more only when most of a fleet is in alarm, and then the number is
/// no news.
const ALARMS_COUNTED_MAX: usize = 10_000;

/// Alarms and devices that are named on the page of a profile.
const NAMED_MAX: usize = 50;

/// All profiles.
pub(crate) fn show(visit: &Visit, who: &SignedIn) -> Answered {
    let after = visit.query.one("after");
    let all = of_scope(visit);
    let mut listed = all.iter().filter(|profile| profile.name.as_str() > after);
    let page: Vec<_> = listed.by_ref().take(LISTED_MAX).collect();
    let next = listed.next().and(page.last()).map(|last| last.name.as_str().to_owned());
    let alarms = alarms_by_profile(visit)?;
    let content = html! {
        (shell::said(visit))
        @if who.may(Role::Analyst) {
            div.line { a.button href="/profiles/new" { (visit.text("profiles.new")) } }
        }
        @if all.is_empty() {
            section.card.empty {
                h2 { (visit.text("profiles.nothing")) }
                p { (visit.text("profiles.nothing-advice")) }
                p { code.copy { "aws iot create-security-profile --security-profile-name …" } }
            }
        } @else {
            section.card {
                div.scroll tabindex="0" { table.rows.fold {
                    thead { tr {
                        th { (visit.text("profiles.name")) }
                        th.number { (visit.text("profiles.alarms")) }
                        th.number { (visit.text("profiles.behaviors")) }
                        th { (visit.text("profiles.targets")) }
                        th.number { (visit.text("profiles.devices")) }
                        th.number { (visit.text("profiles.version")) }
                        th { (visit.text("profiles.changed")) }
                    } }
                    tbody { @for profile in &page { (row(visit, profile, alarms.get(&profile.name).copied().unwrap_or(0))) } }
                } }
                nav.pages aria-label=(visit.text("profiles.pages")) {
                    @if !after.is_empty() { a.button href="/profiles" { (visit.text("profiles.first")) } }
                    @if let Some(next) = &next {
                        a.button href={ "/profiles?after=" (next) } rel="next" { (visit.text("profiles.next")) }
                    }
                }
            }
        }
    };
    Ok(shell::page(visit, Some(who), visit.text("menu.profiles"), content))
}

fn row(visit: &Visit, profile: &SecurityProfile, alarms: u64) -> Markup {
    let (_, devices) = visit.console.profiles.things_of(&visit.console.scope, &profile.targets, 0);
    html! {
        tr {
            td.head { a href=(profile_path(&profile.name)) { (profile.name) } }
            td.number data-label=(visit.text("profiles.alarms")) { (alarm_count(alarms)) }
            td.number data-label=(visit.text("profiles.behaviors")) { (profile.behaviors.len()) }
            td data-label=(visit.text("profiles.targets")) { (targets(visit, profile)) }
            td.number data-label=(visit.text("profiles.devices")) { (grouped(devices)) }
            td.number data-label=(visit.text("profiles.version")) { (profile.version) }
            td.nowrap data-label=(visit.text("profiles.changed")) { (time::time(profile.modified_at)) }
        }
    }
}

fn alarm_count(alarms: u64) -> Markup {
    html! { @if alarms > 0 { span.badge.bad { (grouped(alarms)) } } @else { span.muted { "0" } } }
}

/// The targets, the first of them.
fn targets(visit: &Visit, profile: &SecurityProfile) -> Markup {
    /// What fits into a line of the table.
    const TARGETS_MAX: usize = 3;
    html! {
        @if profile.targets.is_empty() { span.badge.warn { (visit.text("profiles.for-nobody")) } }
        @for (place, target) in profile.targets.iter().take(TARGETS_MAX).enumerate() {
            @if place > 0 { ", " }
            (target_words(visit, target))
        }
        @if profile.targets.len() > TARGETS_MAX { " +" (profile.targets.len() - TARGETS_MAX) }
    }
}

/// The profiles of this installation's scope, in the order of their names.
fn of_scope(visit: &Visit) -> Vec<Arc<SecurityProfile>> {
    let all = visit.console.profiles.profiles();
    all.into_iter().filter(|(scope, _)| *scope == visit.console.scope).map(|(_, profile)| profile).collect()
}

/// How many alarms are on, by profile; suppressed ones, too.
fn alarms_by_profile(visit: &Visit) -> Result<BTreeMap<ProfileName, u64>, Problem> {
    let query = ActiveViolationQuery { include_suppressed: true, ..ActiveViolationQuery::default() };
    let mut counts = BTreeMap::new();
    let (mut page, mut seen) = (Page { after: None, limit: 1_000 }, 0);
    loop {
        let part = visit.console.history.active_violations(&visit.console.scope, &query, &page)?;
        seen += part.items.len();
        for active in part.items {
            *counts.entry(active.profile).or_insert(0) += 1;
        }
        match part.next {
            Some(next) if seen < ALARMS_COUNTED_MAX => page.after = Some(next),
            Some(_) | None => return Ok(counts),
        }
    }
}

/// One profile.
pub(crate) fn show_one(visit: &Visit, who: &SignedIn) -> Answered {
    let profile = asked_for(visit)?;
    let scope = &visit.console.scope;
    let query = ActiveViolationQuery {
        profile: Some(profile.name.clone()),
        include_suppressed: true,
        ..ActiveViolationQuery::default()
    };
    let active = visit.console.history.active_violations(scope, &query, &Page { after: None, limit: NAMED_MAX })?;
    let (things, count) = visit.console.profiles.things_of(scope, &profile.targets, NAMED_MAX);
    let path = profile_path(&profile.name);
    let content = html! {
        (shell::said(visit))
        @if who.may(Role::Analyst) {
            div.line {
                a.button href={ (path) "/edit" } { (visit.text("profile.edit")) }
                a.button href={ (path) "/delete" } { (visit.text("profile.delete")) }
            }
        }
        @if let Some(description) = &profile.description {
            @if !description.is_empty() { p.break { (shown(description)) } }
        }
        div.tiles {
            section.card.tile.alarm[!active.items.is_empty()] {
                h2 { (visit.text("profiles.alarms")) }
                p.big { (active.items.len()) @if active.next.is_some() { "+" } }
            }
            section.card.tile { h2 { (visit.text("profiles.devices")) } p.big { (grouped(count)) } }
            section.card.tile {
                h2 { (visit.text("profiles.version")) }
                p.big { (profile.version) }
                p.small.muted { (visit.text("profiles.changed")) " " (time::time(profile.modified_at)) }
            }
        }
        @if !active.items.is_empty() {
            section.card {
                h2 { (visit.text("profile.on")) }
                div.scroll tabindex="0" { table.rows.fold {
                    thead { tr {
                        th { (visit.text("profile.device")) }
                        th { (visit.text("profile.behavior")) }
                        th { (visit.text("profile.latest")) }
                        th { (visit.text("profile.since")) }
                    } }
                    tbody { @for alarm in &active.items { tr {
                        td.head { (device_link(alarm.reporter.as_str())) }
                        td data-label=(visit.text("profile.behavior")) {
                            (alarm.behavior.name)
                            @if alarm.behavior.suppress_alerts { " " span.badge { (visit.text("profile.suppressed")) } }
                        }
                        td.wide data-label=(visit.text("profile.latest")) {
                            @if let Some(value) = &alarm.last_value { (value_words(visit, value)) }
                        }
                        td.nowrap data-label=(visit.text("profile.since")) {
                            a href={ "/alarms/" (alarm.id) } { (time::time(alarm.started_at)) }
                        }
                    } } }
                } }
            }
        }
        section.card {
            h2 { (visit.text("profiles.behaviors")) }
            (behaviors(visit, &profile.behaviors))
        }
        div.columns {
            section.card {
                h2 { (visit.text("profiles.targets")) }
                @if profile.targets.is_empty() { p.muted { (visit.text("profile.no-targets")) } }
                @else { p.break { (separated(profile.targets.iter().take(NAMED_MAX).map(|target| target_words(visit, target)))) } }
                @if !things.is_empty() {
                    details {
                        summary { (visit.filled("profile.things", &[("count", &grouped(count))])) }
                        p.break { (separated(things.iter().map(|thing| device_link(thing.as_str())))) }
                        @if count > things.len() as u64 {
                            p.muted.small { (visit.filled("profile.more-things", &[("count", &grouped(count - things.len() as u64))])) }
                        }
                    }
                }
            }
            section.card {
                h2 { (visit.text("profile.told")) }
                @if profile.alert_targets.is_empty() { p.muted { (visit.text("profile.nobody-told")) } }
                @for target in &profile.alert_targets {
                    @match TopicName::parse(target.target.resource()) {
                        Ok(topic) => p { a href={ "/topics/" (topic) } { (topic) } },
                        Err(_) => p.mono.break { (shown(target.target.as_str())) },
                    }
                }
                h2 { (visit.text("profile.retained")) }
                @if profile.metrics_to_retain.is_empty() { p.muted { (visit.text("profile.nothing-retained")) } }
                @else {
                    p.break { (separated(profile.metrics_to_retain.iter().map(|retained| html! { (metric_name(visit, &retained.metric)) }))) }
                }
                @if let Some((topic, _)) = &profile.metrics_export {
                    p.muted.small.break { (visit.text("profile.exported")) " " (shown(topic)) }
                }
            }
        }
    };
    Ok(shell::page(visit, Some(who), profile.name.as_str(), content))
}

fn separated(parts: impl Iterator<Item = Markup>) -> Markup {
    html! { @for (place, part) in parts.enumerate() { @if place > 0 { ", " } (part) } }
}

fn behaviors(visit: &Visit, behaviors: &[Behavior]) -> Markup {
    let datapoints = |count: u8| match count {
        1 => visit.text("profile.one-datapoint").to_owned(),
        count => visit.filled("profile.datapoints", &[("count", &count.to_string())]),
    };
    let criteria = |criteria: &Criteria| {
        html! {
            td.wide data-label=(visit.text("profile.normal")) { (normal_words(visit, criteria)) }
            td data-label=(visit.text("profile.alarms-after")) { (datapoints(criteria.datapoints_to_alarm)) }
            td data-label=(visit.text("profile.clears-after")) { (datapoints(criteria.datapoints_to_clear)) }
        }
    };
    html! {
        @if behaviors.is_empty() { p.muted { (visit.text("profile.no-behaviors")) } }
        @else {
            div.scroll tabindex="0" { table.rows.fold {
                thead { tr {
                    th { (visit.text("profiles.name")) }
                    th { (visit.text("profile.metric")) }
                    th { (visit.text("profile.normal")) }
                    th { (visit.text("profile.alarms-after")) }
                    th { (visit.text("profile.clears-after")) }
                } }
                tbody { @for behavior in behaviors { tr {
                    td.head {
                        (behavior.name)
                        @if behavior.suppress_alerts { " " span.badge { (visit.text("profile.suppressed")) } }
                    }
                    td data-label=(visit.text("profile.metric")) title=(behavior.metric.as_str()) { (metric_name(visit, &behavior.metric)) }
                    @match &behavior.criteria {
                        Some(found) => (criteria(found)),
                        None => td colspan="3" data-label=(visit.text("profile.normal")) { span.muted { (visit.text("profile.no-criteria")) } },
                    }
                } } }
            } }
        }
    }
}

/// Asks whether a profile is to be deleted.
pub(crate) fn ask_to_delete(visit: &Visit, who: &SignedIn) -> Answered {
    let profile = asked_for(visit)?;
    Ok(deletion(visit, who, StatusCode::OK, &profile, None))
}

fn deletion(
    visit: &Visit,
    who: &SignedIn,
    status: StatusCode,
    profile: &SecurityProfile,
    wrong: Option<&str>,
) -> Reply {
    let (_, devices) = visit.console.profiles.things_of(&visit.console.scope, &profile.targets, 0);
    let places = [("name", profile.name.as_str()), ("count", &grouped(devices))];
    let content = html! {
        (shell::wrong(wrong))
        section.card.narrow {
            h2 { (visit.filled("profile.delete-title", &places)) }
            p { (visit.filled("profile.delete-what", &places)) }
            form.line method="post" action={ (profile_path(&profile.name)) "/delete" } {
                (shell::form_key_field(visit))
                input type="hidden" name="version" value=(profile.version);
                button.danger type="submit" { (visit.text("profile.delete")) }
                a.button href=(profile_path(&profile.name)) { (visit.text("profile.keep")) }
            }
        }
    };
    shell::page_with_status(status, visit, Some(who), visit.text("profile.delete"), content)
}

/// Deletes it.
pub(crate) fn delete(visit: &Visit, who: &SignedIn) -> Answered {
    let profile = asked_for(visit)?;
    let Ok(version) = visit.form.one("version").parse() else { return Err(Problem::FormUnreadable) };
    match visit.console.profiles.delete_profile(&visit.console.scope, &profile.name, version) {
        Ok(()) => {
            visit.console.store().note(&visit.did(who, AuditAction::DeleteProfile, profile.name.as_str()))?;
            Ok(Reply::on_to("/profiles?said=profile-deleted"))
        }
        Err(ProfileDeskError::Missing) => Err(Problem::NotFound),
        Err(ProfileDeskError::Unavailable(error)) => Err(error.into()),
        Err(ProfileDeskError::Changed(_) | ProfileDeskError::Exists | ProfileDeskError::Invalid(_)) => {
            let now = asked_for(visit)?;
            Ok(deletion(visit, who, StatusCode::CONFLICT, &now, Some(visit.text("profile.changed-meanwhile"))))
        }
    }
}

/// The profile that the path names.
pub(super) fn asked_for(visit: &Visit) -> Result<Arc<SecurityProfile>, Problem> {
    let name = ProfileName::parse(visit.label("name")).map_err(|_| Problem::NotFound)?;
    visit.console.profiles.profile(&visit.console.scope, &name).ok_or(Problem::NotFound)
}

/// Profiles whose name has a text.
pub(crate) fn find(visit: &Visit, _who: &SignedIn, wanted: &str) -> Result<Vec<Hit>, Problem> {
    let wanted = wanted.to_lowercase();
    let kind = visit.text("search.profile");
    let found = of_scope(visit).into_iter().filter(|profile| profile.name.as_str().to_lowercase().contains(&wanted));
    let hit =
        |profile: Arc<SecurityProfile>| Hit { kind, name: profile.name.to_string(), path: profile_path(&profile.name) };
    Ok(found.take(HITS_MAX).map(hit).collect())
}
