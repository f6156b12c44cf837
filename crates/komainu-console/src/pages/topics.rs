//! Topics: who is told what, and what became of it.

use hyper::StatusCode;
use komainu_model::{DeliveryState, Protocol, Role, SubscriptionId, SubscriptionState, TopicName};
use komainu_ports::{
    AuditAction, DeliveryContent, DeliverySummary, Page, PageToken, SubscriptionSummary, TopicDeskError, TopicSummary,
};
use maud::{Markup, html};

use crate::address::{address, part};
use crate::pages::search::{HITS_MAX, Hit};
use crate::problem::Problem;
use crate::reply::Reply;
use crate::routes::Answered;
use crate::shown::shown;
use crate::visit::{SignedIn, Visit};
use crate::watch::grouped;
use crate::{problem_words, shell, time};

/// Topics of one page.
const TOPICS_LISTED_MAX: usize = 25;

/// Subscriptions, and deliveries, of one page.
const LISTED_MAX: usize = 50;

/// The newest deliveries of a topic that are looked at for the list.
const LOOKED_AT_MAX: usize = 100;

/// Protocols that somebody can be subscribed with.
const PROTOCOLS: [Protocol; 4] = [Protocol::Email, Protocol::Https, Protocol::Http, Protocol::EmailJson];

/// All topics.
pub(crate) fn show(visit: &Visit, who: &SignedIn) -> Answered {
    all(visit, who, StatusCode::OK, None)
}

fn all(visit: &Visit, who: &SignedIn, status: StatusCode, wrong: Option<&str>) -> Answered {
    let after = TopicName::parse(visit.query.one("after")).ok();
    let mut topics = visit.console.topics.topics(&visit.console.scope, after.as_ref(), TOPICS_LISTED_MAX + 1);
    let has_more = topics.len() > TOPICS_LISTED_MAX;
    topics.truncate(TOPICS_LISTED_MAX);
    let rows = topics.iter().map(|topic| row(visit, topic)).collect::<Result<Vec<Markup>, Problem>>()?;
    let content = html! {
        (shell::said(visit))
        (shell::wrong(wrong))
        @if topics.is_empty() && after.is_none() {
            section.card.empty {
                h2 { (visit.text("topics.nothing")) }
                p { (visit.text("topics.nothing-advice")) }
                p { code.copy { "aws sns create-topic --name alarms" } }
            }
        } @else {
            section.card {
                div.scroll tabindex="0" { table.rows.fold {
                    thead { tr {
                        th { (visit.text("profiles.name")) }
                        th { (visit.text("topics.deliveries")) }
                        th.number { (visit.text("topics.confirmed")) }
                        th.number { (visit.text("topics.pending")) }
                        th { (visit.text("topics.made")) }
                    } }
                    tbody { @for row in &rows { (row) } }
                } }
                nav.pages aria-label=(visit.text("profiles.pages")) {
                    @if after.is_some() { a.button href="/topics" { (visit.text("profiles.first")) } }
                    @if let Some(last) = topics.last().filter(|_| has_more) {
                        a.button href={ "/topics?after=" (last.name) } rel="next" { (visit.text("profiles.next")) }
                    }
                }
            }
        }
        @if who.may(Role::Analyst) {
            section.card.narrow {
                h2 { (visit.text("topics.create-title")) }
                form.stack method="post" action="/topics" {
                    (shell::form_key_field(visit))
                    label { span { (visit.text("topics.name")) }
                        input name="name" value=(visit.form.one("name")) maxlength="256" autocomplete="off" spellcheck="false" required; }
                    button.primary type="submit" { (visit.text("topics.create")) }
                }
            }
        }
    };
    Ok(shell::page_with_status(status, visit, Some(who), visit.text("menu.topics"), content))
}

fn row(visit: &Visit, topic: &TopicSummary) -> Result<Markup, Problem> {
    let page = Page { after: None, limit: LOOKED_AT_MAX };
    let newest = visit.console.topics.deliveries(&visit.console.scope, &topic.name, &page)?;
    let more = if newest.next.is_some() { "+" } else { "" };
    let count = |wanted: fn(&DeliverySummary) -> bool| newest.items.iter().filter(|delivery| wanted(delivery)).count();
    let dead = count(|delivery| matches!(delivery.state, DeliveryState::Dead(_)));
    let retried = count(|delivery| matches!(delivery.state, DeliveryState::Due(_)) && delivery.attempts > 0);
    let waiting = newest.items.len() - dead - retried;
    let badge = |class: &str, count: usize, text: &str| {
        html! { @if count > 0 { span class=(class) { (text) " " (count) (more) } " " } }
    };
    Ok(html! {
        tr {
            td.head { a href={ "/topics/" (topic.name) } { (topic.name) } }
            td data-label=(visit.text("topics.deliveries")) {
                (badge("badge bad", dead, visit.text("topics.dead")))
                (badge("badge warn", retried, visit.text("topics.retried")))
                (badge("badge", waiting, visit.text("topics.waiting")))
                @if newest.items.is_empty() { span.muted { (visit.text("topics.all-delivered")) } }
            }
            td.number data-label=(visit.text("topics.confirmed")) { (grouped(topic.confirmed)) }
            td.number data-label=(visit.text("topics.pending")) { (grouped(topic.pending)) }
            td.nowrap data-label=(visit.text("topics.made")) { (time::time(topic.created_at)) }
        }
    })
}

/// Makes a topic.
pub(crate) fn create(visit: &Visit, who: &SignedIn) -> Answered {
    match visit.console.topics.create_topic(&visit.console.scope, visit.form.one("name").trim()) {
        Ok(name) => {
            visit.console.store().note(&visit.did(who, AuditAction::CreateTopic, name.as_str()))?;
            Ok(Reply::on_to(&format!("/topics/{name}?said=topic-made")))
        }
        Err(TopicDeskError::Refused(reason)) => {
            all(visit, who, StatusCode::UNPROCESSABLE_ENTITY, Some(&problem_words::of_topic(visit, &reason)))
        }
        Err(error) => Err(problem(error)),
    }
}

/// One topic.
pub(crate) fn show_one(visit: &Visit, who: &SignedIn) -> Answered {
    one(visit, who, StatusCode::OK, None)
}

fn one(visit: &Visit, who: &SignedIn, status: StatusCode, wrong: Option<&str>) -> Answered {
    let topic = asked_for(visit)?;
    let scope = &visit.console.scope;
    let path = format!("/topics/{}", topic.name);
    let after = SubscriptionId::parse(visit.query.one("after")).ok();
    let mut subscriptions = visit.console.topics.subscriptions(scope, &topic.name, after.as_ref(), LISTED_MAX + 1);
    let more_subscriptions = subscriptions.len() > LISTED_MAX;
    subscriptions.truncate(LISTED_MAX);
    let older = Some(visit.query.one("older")).filter(|older| !older.is_empty());
    let page = Page { after: older.map(|older| PageToken(older.to_owned())), limit: LISTED_MAX };
    let deliveries = visit.console.topics.deliveries(scope, &topic.name, &page)?;
    let content = html! {
        (shell::said(visit))
        (shell::wrong(wrong))
        p.muted.small.break { (visit.text("topics.arn")) " " code.copy { (topic.arn) } }
        section.card {
            h2 { (visit.text("topics.deliveries-title")) }
            p.muted.small { (visit.text("topics.deliveries-about")) }
            @if deliveries.items.is_empty() {
                p.muted { (visit.text("topics.no-deliveries")) }
            } @else {
                div.scroll tabindex="0" { table.rows.fold {
                    thead { tr {
                        th { (visit.text("topics.state")) }
                        th { (visit.text("topics.asked")) }
                        th { (visit.text("topics.to")) }
                        th { (visit.text("topics.content")) }
                        th.number { (visit.text("topics.attempts")) }
                        th { (visit.text("topics.last-error")) }
                    } }
                    tbody { @for delivery in &deliveries.items { (delivery_row(visit, delivery)) } }
                } }
            }
            nav.pages aria-label=(visit.text("profiles.pages")) {
                @if older.is_some() { a.button href=(path) { (visit.text("topics.newest")) } }
                @if let Some(next) = &deliveries.next {
                    a.button href=(address(&path, &[("older", &next.0)])) rel="next" { (visit.text("topics.older")) }
                }
            }
        }
        section.card {
            h2 { (visit.text("topics.subscriptions")) }
            @if subscriptions.is_empty() {
                p.muted { (visit.text("topics.no-subscriptions")) }
            } @else {
                div.scroll tabindex="0" { table.rows.fold {
                    thead { tr {
                        th { (visit.text("topics.to")) }
                        th { (visit.text("topics.protocol")) }
                        th { (visit.text("topics.state")) }
                        th { (visit.text("topics.asked")) }
                        th { span.visually-hidden { (visit.text("operators.actions")) } }
                    } }
                    tbody { @for subscription in &subscriptions { (subscription_row(visit, who, &path, subscription)) } }
                } }
            }
            nav.pages aria-label=(visit.text("profiles.pages")) {
                @if after.is_some() { a.button href=(path) { (visit.text("profiles.first")) } }
                @if let Some(last) = subscriptions.last().filter(|_| more_subscriptions) {
                    a.button href={ (path) "?after=" (last.id) } rel="next" { (visit.text("profiles.next")) }
                }
            }
        }
        @if who.may(Role::Analyst) {
            div.columns {
                (subscribe_form(visit, &path))
                section.card {
                    h2 { (visit.text("topics.test-title")) }
                    @if topic.confirmed == 0 {
                        p.muted { (visit.text("topics.test-nobody")) }
                    } @else {
                        p.muted { (visit.filled("topics.test-about", &[("count", &grouped(topic.confirmed))])) }
                        form.line method="post" action={ (path) "/test" } {
                            (shell::form_key_field(visit))
                            button type="submit" { (visit.text("topics.test")) }
                        }
                    }
                }
            }
        }
    };
    Ok(shell::page_with_status(status, visit, Some(who), topic.name.as_str(), content))
}

fn delivery_row(visit: &Visit, delivery: &DeliverySummary) -> Markup {
    html! {
        tr {
            td.head.nowrap {
                @match delivery.state {
                    DeliveryState::Dead(at) => { span.badge.bad { (visit.text("topics.dead")) } " " span.muted.small { (time::time(at)) } }
                    DeliveryState::Due(at) if delivery.attempts > 0 => {
                        span.badge.warn { (visit.text("topics.retried")) } " " span.muted.small { (visit.text("topics.again")) " " (time::time(at)) }
                    }
                    DeliveryState::Due(_) => span.badge { (visit.text("topics.waiting")) },
                }
            }
            td.nowrap data-label=(visit.text("topics.asked")) { (time::time(delivery.created_at)) }
            td.wide data-label=(visit.text("topics.to")) { (shown(&delivery.endpoint)) }
            td.wide data-label=(visit.text("topics.content")) {
                @match &delivery.content {
                    DeliveryContent::Confirmation => (visit.text("topics.confirmation")),
                    DeliveryContent::Message(Some(subject)) => (shown(subject)),
                    DeliveryContent::Message(None) => span.muted { (visit.text("topics.no-subject")) },
                    DeliveryContent::Ended => (visit.text("topics.ended")),
                }
            }
            td.number data-label=(visit.text("topics.attempts")) { (delivery.attempts) }
            td.wide data-label=(visit.text("topics.last-error")) { @if let Some(error) = &delivery.last_error { (shown(error)) } }
        }
    }
}

fn subscription_row(visit: &Visit, who: &SignedIn, path: &str, subscription: &SubscriptionSummary) -> Markup {
    html! {
        tr {
            td.head.wide {
                (shown(&subscription.endpoint))
                @if subscription.is_filtered { " " span.badge { (visit.text("topics.filtered")) } }
            }
            td data-label=(visit.text("topics.protocol")) { (subscription.protocol.as_str()) }
            td data-label=(visit.text("topics.state")) {
                @match subscription.state {
                    SubscriptionState::Confirmed { .. } => span.badge.ok { (visit.text("topics.confirmed-one")) },
                    SubscriptionState::Pending { expires_at } => {
                        span.badge.warn { (visit.text("topics.pending-one")) }
                        " " span.muted.small { (visit.text("topics.until")) " " (time::time(expires_at)) }
                    }
                }
            }
            td.nowrap data-label=(visit.text("topics.asked")) { (time::time(subscription.created_at)) }
            td.right {
                @if who.may(Role::Analyst) {
                    form method="post" action={ (path) "/unsubscribe" } {
                        (shell::form_key_field(visit))
                        input type="hidden" name="subscription" value=(subscription.id);
                        button.quiet.danger type="submit" { (visit.text("topics.unsubscribe")) }
                    }
                }
            }
        }
    }
}

fn subscribe_form(visit: &Visit, path: &str) -> Markup {
    let chosen = visit.form.one("protocol");
    html! {
        section.card {
            h2 { (visit.text("topics.subscribe-title")) }
            p.muted { (visit.text("topics.subscribe-about")) }
            form.stack method="post" action={ (path) "/subscribe" } {
                (shell::form_key_field(visit))
                label { span { (visit.text("topics.protocol")) }
                    select name="protocol" {
                        @for protocol in PROTOCOLS.map(Protocol::as_str) {
                            option value=(protocol) selected[protocol == chosen] { (visit.texts.word("protocol", protocol).unwrap_or(protocol)) }
                        }
                    }
                }
                label { span { (visit.text("topics.endpoint")) }
                    input name="endpoint" value=(visit.form.one("endpoint")) maxlength="2048" autocomplete="off" spellcheck="false" required; }
                button.primary type="submit" { (visit.text("topics.subscribe")) }
            }
        }
    }
}

/// Subscribes an address; its owner is asked.
pub(crate) fn subscribe(visit: &Visit, who: &SignedIn) -> Answered {
    let topic = asked_for(visit)?.name;
    let (protocol, endpoint) = (visit.form.one("protocol"), visit.form.one("endpoint").trim());
    match visit.console.topics.subscribe(&visit.console.scope, &topic, protocol, endpoint) {
        Ok(id) => {
            visit.console.store().note(&visit.did(who, AuditAction::Subscribe, &format!("{topic} {id}")))?;
            Ok(Reply::on_to(&format!("/topics/{topic}?said=subscribed")))
        }
        Err(TopicDeskError::Refused(reason)) => {
            one(visit, who, StatusCode::UNPROCESSABLE_ENTITY, Some(&problem_words::of_topic(visit, &reason)))
        }
        Err(error) => Err(problem(error)),
    }
}

/// Ends a subscription.
pub(crate) fn unsubscribe(visit: &Visit, who: &SignedIn) -> Answered {
    let topic = asked_for(visit)?.name;
    let Ok(id) = SubscriptionId::parse(visit.form.one("subscription")) else { return Err(Problem::FormUnreadable) };
    visit.console.topics.unsubscribe(&visit.console.scope, &topic, &id).map_err(problem)?;
    visit.console.store().note(&visit.did(who, AuditAction::Unsubscribe, &format!("{topic} {id}")))?;
    Ok(Reply::on_to(&format!("/topics/{topic}?said=unsubscribed")))
}

/// Says something to everybody who has agreed, so that it is seen whether it arrives.
pub(crate) fn test(visit: &Visit, who: &SignedIn) -> Answered {
    let topic = asked_for(visit)?.name;
    let message =
        visit.filled("topics.test-message", &[("topic", topic.as_str()), ("name", who.operator.name.as_str())]);
    let subject = visit.text("topics.test-subject");
    match visit.console.topics.publish(&visit.console.scope, &topic, subject, &message) {
        Ok(()) => {
            visit.console.store().note(&visit.did(who, AuditAction::TestTopic, topic.as_str()))?;
            Ok(Reply::on_to(&format!("/topics/{topic}?said=test-sent")))
        }
        Err(TopicDeskError::Refused(reason)) => {
            one(visit, who, StatusCode::UNPROCESSABLE_ENTITY, Some(&problem_words::of_topic(visit, &reason)))
        }
        Err(error) => Err(problem(error)),
    }
}

/// The topic that the path names, by its name or its ARN.
fn asked_for(visit: &Visit) -> Result<TopicSummary, Problem> {
    let label = visit.label("name");
    let name = label.rsplit(':').next().unwrap_or(label);
    let name = TopicName::parse(name).map_err(|_| Problem::NotFound)?;
    let topic = visit.console.topics.topic(&visit.console.scope, &name).ok_or(Problem::NotFound)?;
    if label == name.as_str() || label == topic.arn.as_str() { Ok(topic) } else { Err(Problem::NotFound) }
}

fn problem(error: TopicDeskError) -> Problem {
    match error {
        TopicDeskError::Missing => Problem::NotFound,
        TopicDeskError::Unavailable(error) => error.into(),
        TopicDeskError::Refused(_) => Problem::FormUnreadable,
    }
}

/// Topics whose name begins with a text, or whose ARN it is.
pub(crate) fn find(visit: &Visit, _who: &SignedIn, wanted: &str) -> Result<Vec<Hit>, Problem> {
    let kind = visit.text("search.topic");
    let scope = &visit.console.scope;
    let wanted = wanted.strip_prefix(scope.arn("sns", "").as_str()).unwrap_or(wanted);
    let Ok(name) = TopicName::parse(wanted) else { return Ok(Vec::new()) };
    let mut found: Vec<TopicSummary> = visit.console.topics.topic(scope, &name).into_iter().collect();
    // What begins with a text comes right after it.
    let after = visit.console.topics.topics(scope, Some(&name), HITS_MAX);
    found.extend(after.into_iter().take_while(|topic| topic.name.as_str().starts_with(wanted)));
    let hit = |topic: TopicSummary| Hit {
        kind,
        path: format!("/topics/{}", part(topic.name.as_str())),
        name: topic.name.to_string(),
    };
    Ok(found.into_iter().take(HITS_MAX).map(hit).collect())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use hyper::Method;
    use komainu_ports::MemoryLake;

    use super::*;
    use crate::request::tests::{ask, console_with, english_of_japanese, form_of};

    #[test]
    fn what_became_of_messages_is_shown_as_text() {
        let console = console_with(Arc::new(MemoryLake::default()));
        let check = |path: &str, status: u16, texts: &[&str]| {
            let (found, page) = ask(&console, Some(Role::Viewer), Method::GET, path, "");
            assert_eq!(found, status, "{path}: {page}");
            for text in texts {
                assert!(page.contains(text), "{path} has no {text:?}: {page}");
            }
            assert!(!page.contains("<script>") && !page.contains('\u{202e}'), "{path}: {page}");
            assert_eq!(english_of_japanese(&console, Some(Role::Analyst), Method::GET, path, ""), [""; 0], "{path}");
        };
        check("/topics", 200, &["/topics/alarms", "given up 1"]);
        check(
            "/topics/alarms",
            200,
            &["status 500: &lt;script&gt;", "Alarm &lt;i&gt;", "&lt;b&gt;\\u{202e}", "given up"],
        );
        check("/topics/arn:aws:sns:local:000000000000:alarms", 200, &["confirmed"]);
        check("/topics/arn:aws:sns:local:111111111111:alarms", 404, &[]);
        check("/topics/others", 404, &[]);
        check("/topics/%3Cb%3E", 404, &[]);
        check("/topics/alarms?older=made-up", 404, &[]);
        check("/search?q=alar", 200, &["/topics/alarms"]);
        let (_, page) = ask(&console, Some(Role::Viewer), Method::GET, "/topics/alarms", "");
        assert!(!page.contains("/topics/alarms/test"), "viewers are offered what they may not: {page}");
    }

    #[test]
    fn analysts_change_who_is_told() {
        let console = console_with(Arc::new(MemoryLake::default()));
        let check = |role: Role, path: &str, fields: &str, status: u16, has: &str| {
            let form = form_of(role) + fields;
            let (found, page) = ask(&console, Some(role), Method::POST, path, &form);
            assert!(page.contains(has), "{path} {fields} has no {has:?}: {page}");
            assert_eq!(found, status, "{path} {fields}: {page}");
        };
        check(Role::Viewer, "/topics/alarms/test", "", 403, "analyst");
        check(Role::Analyst, "/topics", "&name=night+shift", 200, "night shift");
        check(Role::Analyst, "/topics", "&name=alarms", 303, "/topics/alarms?said=topic-made");
        check(
            Role::Analyst,
            "/topics/alarms/subscribe",
            "&protocol=email&endpoint=%3Cb%3E",
            200,
            "value=\"&lt;b&gt;\"",
        );
        check(
            Role::Analyst,
            "/topics/alarms/subscribe",
            "&protocol=email&endpoint=a%40example.com",
            303,
            "?said=subscribed",
        );
        let id = "00000000-0000-4000-8000-000000000001";
        check(Role::Analyst, "/topics/alarms/unsubscribe", &format!("&subscription={id}"), 303, "?said=unsubscribed");
        check(Role::Analyst, "/topics/alarms/unsubscribe", "&subscription=x", 400, "");
        check(Role::Analyst, "/topics/alarms/test", "", 303, "?said=test-sent");
        let (_, trail) = ask(&console, Some(Role::Admin), Method::GET, "/admin/audit", "");
        for line in ["topic made", "subscribed", "subscription ended", "test message sent", id] {
            assert!(trail.contains(line), "the audit trail has no {line:?}: {trail}");
        }
        assert_eq!(trail.matches("topic made").count(), 1, "what was refused was not done");
    }
}
