//! One session of a stranger with a sensor: what happened in it, what its terminal showed, what it left behind.

mod terminal;
mod transcript;

use std::net::IpAddr;

use hyper::StatusCode;
use hyper::header::CONTENT_DISPOSITION;
use komainu_model::{Confidentiality, Role, ThingName, Timestamp};
use komainu_ports::{
    AuditAction, CapturesError, LakeRows, Looked, RecordedSession, SensorKey, SessionClue, SessionHint, SessionRecord,
    SessionSummary, StoredCapture,
};
use maud::{Markup, html};

use crate::address::address;
use crate::pages::overview::label_badge;
use crate::pages::search::Hit;
use crate::problem::Problem;
use crate::reply::Reply;
use crate::routes::Answered;
use crate::shown::{shown, shown_briefly};
use crate::value::{shown_as, value};
use crate::visit::{SignedIn, Visit};
use crate::watch::{Watch, brief, grouped};
use crate::{shell, time};

/// Files that are listed; the records have all of them.
const FILES_MAX: usize = 50;

/// Characters of a fingerprint that are shown.
const FINGERPRINT_CHARS_MAX: usize = 160;

/// Fingerprints, weaknesses and techniques that are shown of each.
const FACTS_MAX: usize = 24;

/// The page.
pub(crate) fn show(visit: &Visit, who: &SignedIn) -> Answered {
    let session = session_of(visit)?;
    let title = visit.text("session.title");
    let record = match found(visit, session)? {
        Looked::Found(record) => record,
        Looked::NotKept => return Ok(nothing(visit, who, &html! { p { (visit.text("session.not-kept")) } })),
        Looked::GaveUp { batches } => return Ok(nothing(visit, who, &gave_up(visit, batches))),
    };
    let watch = Watch::of(visit);
    let content = html! {
        (notes(visit, &record))
        (head(&watch, &record.summary))
        (terminal::card(visit, &record.events))
        (transcript::card(visit, &record))
        div.columns {
            (files(visit, &record.summary)?)
            (facts(visit, &record.summary))
            (as_files(visit, who, &record.summary))
        }
    };
    Ok(shell::page(visit, Some(who), title, content))
}

/// From a row of attacks to its session.
pub(crate) fn show_at(visit: &Visit, who: &SignedIn) -> Answered {
    let query = &visit.query;
    let sensor = ThingName::parse(query.one("sensor")).map_err(|_| Problem::NotFound)?;
    let at = query.one("at").parse().map(Timestamp::from_unix_millis).map_err(|_| Problem::NotFound)?;
    let source = query.one("source").parse().map_err(|_| Problem::NotFound)?;
    let port = query.one("port").parse().ok();
    let key = SensorKey { scope: visit.console.scope.clone(), name: sensor.clone() };
    let path = |session: &RecordedSession| path_of(*session, sensor.as_str(), at);
    match visit.console.threat.sessions.sessions_at(&SessionClue { sensor: key, at, source, port })? {
        Looked::Found(sessions) if sessions.len() == 1 => Ok(Reply::on_to(&path(&sessions[0]))),
        Looked::Found(sessions) => {
            let content = html! {
                section.card {
                    p { (visit.text("session.several")) }
                    ul { @for session in &sessions { li { a.mono href=(path(session)) { (session) } } } }
                }
            };
            Ok(shell::page(visit, Some(who), visit.text("session.title"), content))
        }
        Looked::NotKept => Ok(nothing_there(visit, who, &html! { p { (visit.text("session.not-kept")) } })),
        Looked::GaveUp { batches } => Ok(nothing_there(visit, who, &gave_up(visit, batches))),
    }
}

/// The lines of a session as its sensor wrote them, as a file.
pub(crate) fn records(visit: &Visit, who: &SignedIn) -> Answered {
    let session = session_of(visit)?;
    match found(visit, session)? {
        Looked::Found(record) => {
            let reply = Reply::of(StatusCode::OK, "application/jsonl; charset=utf-8", record.lines.into());
            Ok(reply.with_text(CONTENT_DISPOSITION, &format!("attachment; filename=\"session-{session}.jsonl\"")))
        }
        Looked::NotKept => Ok(nothing(visit, who, &html! { p { (visit.text("session.not-kept")) } })),
        Looked::GaveUp { batches } => Ok(nothing(visit, who, &gave_up(visit, batches))),
    }
}

/// The packets of a session, as a file. That somebody took them stands in the audit trail.
pub(crate) fn capture(visit: &Visit, who: &SignedIn) -> Answered {
    let session = session_of(visit)?;
    let capture = capture_of(visit, session, visit.form.one("sensor")).ok_or(Problem::NotFound)?;
    let pcapng = match visit.console.threat.captures.read(&capture) {
        Ok(pcapng) => pcapng,
        Err(CapturesError::Missing { .. }) => return Err(Problem::NotFound),
        Err(error @ CapturesError::Unavailable { .. }) => return Err(Problem::OutOfOrder(Box::new(error))),
    };
    visit.console.store().note(&visit.did(who, AuditAction::TakeCapture, &session.to_string()))?;
    let reply = Reply::of(StatusCode::OK, "application/x-pcapng", pcapng.into());
    Ok(reply.with_text(CONTENT_DISPOSITION, &format!("attachment; filename=\"session-{session}.pcapng\"")))
}

/// A session's id, when somebody searches for one.
pub(crate) fn find(visit: &Visit, _who: &SignedIn, wanted: &str) -> Result<Vec<Hit>, Problem> {
    let Some(session) = RecordedSession::parse(&wanted.to_ascii_lowercase()) else { return Ok(Vec::new()) };
    let path = format!("/sessions/{session}");
    Ok(vec![Hit { kind: visit.text("session.title"), name: session.to_string(), path }])
}

/// Where a session is looked at, with what finds it quickly.
pub(crate) fn path_of(session: RecordedSession, sensor: &str, at: Timestamp) -> String {
    let at = at.unix_millis().to_string();
    address(&format!("/sessions/{session}"), &[("sensor", sensor), ("at", &at)])
}

/// The time of a row of attacks, with its session behind it. A row that was made up, or
/// names no sensor or no address, has none.
pub(crate) fn time_of_row(watch: &Watch<'_>, rows: &LakeRows, row: usize) -> Markup {
    let value = |name: &str| rows.value(row, crate::watch::column(rows.table(), name)).to_string();
    let at = rows.times()[row];
    let shown = time::in_year(Timestamp::from_unix_millis(at));
    let (sensor, source) = (ThingName::parse(&value("sensor")), value("source").parse::<IpAddr>());
    match sensor.ok().zip(source.ok()).filter(|_| !watch.is_made_up) {
        Some((sensor, source)) => {
            let (at, source, port) = (at.to_string(), source.to_string(), value("port"));
            let fields = [("sensor", sensor.as_str()), ("at", &at), ("source", &source), ("port", &port)];
            html! { a href=(address("/sessions/at", &fields)) { (shown) } }
        }
        None => shown,
    }
}

fn session_of(visit: &Visit) -> Result<RecordedSession, Problem> {
    RecordedSession::parse(visit.label("session")).ok_or(Problem::NotFound)
}

fn found(visit: &Visit, session: RecordedSession) -> Result<Looked<SessionRecord>, Problem> {
    let sensor = ThingName::parse(visit.query.one("sensor")).ok();
    let at = visit.query.one("at").parse().ok().map(Timestamp::from_unix_millis);
    let hint = sensor.zip(at).map(|(sensor, at)| SessionHint { sensor, at });
    Ok(visit.console.threat.sessions.find(&visit.console.scope, session, hint.as_ref())?)
}

fn capture_of(visit: &Visit, session: RecordedSession, sensor: &str) -> Option<StoredCapture> {
    let is_it = |capture: &StoredCapture| {
        let StoredCapture { sensor: of, session: its, .. } = capture;
        *its == session && of.name.as_str() == sensor && of.scope == visit.console.scope
    };
    visit.console.threat.captures.captures().into_iter().find(is_it)
}

/// There is no such session.
fn nothing(visit: &Visit, who: &SignedIn, why: &Markup) -> Reply {
    shell::page_with_status(StatusCode::NOT_FOUND, visit, Some(who), visit.text("session.title"), no_records(why))
}

/// Looking for it found nothing, which is an answer.
fn nothing_there(visit: &Visit, who: &SignedIn, why: &Markup) -> Reply {
    shell::page(visit, Some(who), visit.text("session.title"), no_records(why))
}

fn no_records(why: &Markup) -> Markup {
    html! { section.card.empty { (why) p { code { "komainu sensors records NAME" } } } }
}

fn gave_up(visit: &Visit, batches: u64) -> Markup {
    html! { p { (visit.filled("session.gave-up", &[("count", &grouped(batches))])) } }
}

fn notes(visit: &Visit, record: &SessionRecord) -> Markup {
    let summary = &record.summary;
    html! {
        @if summary.confidentiality == Confidentiality::Confidential {
            p.note.bad role="note" { (visit.text("session.confidential")) }
        }
        @if !record.is_whole { p.note.warn role="note" { (visit.text("session.not-whole")) } }
        @if let Some(parent) = summary.parent {
            p.note {
                (visit.text("session.part-of")) " "
                a.mono href=(path_of(parent, summary.sensor.name.as_str(), summary.began_at)) { (parent) }
            }
        }
    }
}

fn head(watch: &Watch<'_>, summary: &SessionSummary) -> Markup {
    let visit = watch.visit;
    let SessionSummary { sensor, target, .. } = summary;
    let protocol = if summary.protocol.is_empty() { &summary.transport } else { &summary.protocol };
    html! {
        div.tiles {
            section.card.tile {
                h2 { (visit.text("column.source")) }
                p.big-time { (crate::watch::source(&summary.source)) }
                p.small.muted { (shown_as("country", &summary.country, html! { (brief(&watch.country(&summary.country))) })) @if !summary.network.is_empty() { " · " (brief(&summary.network)) } }
            }
            section.card.tile {
                h2 { (visit.text("column.sensor")) }
                p.big-time { (value("sensor", sensor.name.as_str())) }
                p.small.muted { (value("protocol", protocol)) " · " (value("port", &summary.port.to_string())) "/" (value("transport", &summary.transport)) }
            }
            section.card.tile {
                h2 { (visit.text("session.target")) }
                p.big-time {
                    @if target.model.is_empty() { (brief(&target.name)) }
                    @else { (value("model", &target.model)) }
                }
                p.small.muted {
                    (brief(&target.appliance)) " · " (brief(&target.name)) " · "
                    (visit.texts.word("session-target", &target.kind).map_or_else(|| brief(&target.kind), str::to_owned))
                }
            }
            section.card.tile {
                h2 { (visit.text("session.began")) }
                p.big-time { (time::time(summary.began_at)) }
                p.small.muted { (visit.text("session.length")) " " (length(summary)) }
            }
            section.card.tile {
                h2 { (visit.text("column.label")) }
                p.big-time { @if summary.label.is_empty() { "–" } @else { (shown_as("label", &summary.label, label_badge(watch, &summary.label))) } }
                @if summary.confidence > 0 {
                    p.small.muted { (visit.filled("session.confidence", &[("percent", &summary.confidence.to_string())])) }
                }
            }
        }
    }
}

/// How long it was: to the tenth of a second, or in minutes.
fn length(summary: &SessionSummary) -> String {
    let millis = summary.ended_at.since(summary.began_at).as_millis();
    match millis {
        ..60_000 => format!("{}.{} s", millis / 1000, millis % 1000 / 100),
        _ => format!("{} min {} s", millis / 60_000, millis % 60_000 / 1000),
    }
}

fn files(visit: &Visit, summary: &SessionSummary) -> Result<Markup, Problem> {
    let files = &summary.files;
    let artifacts = &visit.console.threat.artifacts;
    Ok(html! {
        section.card {
            h2 { (visit.text("session.files")) }
            @if files.is_empty() { p.muted { (visit.text("session.no-files")) } }
            @else {
                ul.told {
                    @for file in files.iter().take(FILES_MAX) {
                        @let digest = file.sha256.to_string();
                        li {
                            span.nowrap { (grouped(file.bytes)) " B" }
                            div {
                                span.mono.break { (shown_as("sample", &digest, html! { (digest) })) }
                                p.small.muted {
                                    (shown_briefly(&file.name, FINGERPRINT_CHARS_MAX)) " · " (brief(&file.kind)) " · " (brief(&file.via)) " "
                                    @match artifacts.holds(file.sha256.sha256()) {
                                        Some(Confidentiality::Confidential) => span.badge.bad { (visit.text("session.confidential-short")) },
                                        Some(Confidentiality::Open) => {},
                                        None => span.badge { (visit.text("session.file-not-kept")) },
                                    }
                                }
                            }
                        }
                    }
                }
                @if files.len() > FILES_MAX {
                    p.small.muted { (visit.filled("session.more", &[("count", &grouped((files.len() - FILES_MAX) as u64))])) }
                }
            }
        }
    })
}

fn facts(visit: &Visit, summary: &SessionSummary) -> Markup {
    let ended = visit.texts.word("session-ended", &summary.ended).map_or_else(|| brief(&summary.ended), str::to_owned);
    html! {
        section.card {
            h2 { (visit.text("session.facts")) }
            ul.told {
                li { span.muted { (visit.text("session.id")) } code.break { (summary.session) } }
                li { span.muted { (visit.text("session.ended")) } span { (time::time(summary.ended_at)) " " (ended) } }
                li { span.muted { (visit.text("session.source-port")) } span { (summary.source_port) } }
                li { span.muted { (visit.text("session.bytes")) } span { (grouped(summary.bytes_to_server)) " / " (grouped(summary.bytes_to_client)) } }
                @if !summary.target.firmware.is_empty() {
                    li { span.muted { (visit.text("session.firmware")) } span { (brief(&summary.target.firmware)) } }
                }
                @for (kind, values) in [("cve", &summary.cves), ("technique", &summary.techniques)] {
                    @if !values.is_empty() {
                        li {
                            span.muted { (visit.texts.word("kind", kind).unwrap_or(kind)) }
                            span { @for one in values.iter().take(FACTS_MAX) { (value(kind, one)) " " } }
                        }
                    }
                }
                @for (name, value) in summary.fingerprints.iter().take(FACTS_MAX) {
                    li { span.muted { (brief(name)) } span.mono.break { (shown_briefly(value, FINGERPRINT_CHARS_MAX)) } }
                }
            }
        }
    }
}

/// What can be taken along.
fn as_files(visit: &Visit, who: &SignedIn, summary: &SessionSummary) -> Markup {
    let (session, sensor) = (summary.session, summary.sensor.name.as_str());
    let at = summary.began_at.unix_millis().to_string();
    let raw = address(&format!("/sessions/{session}/records"), &[("sensor", sensor), ("at", &at)]);
    let capture = capture_of(visit, session, sensor);
    html! {
        section.card {
            h2 { (visit.text("session.as-files")) }
            div.stack {
                p { a.button href=(raw) download { (visit.text("session.raw")) } }
                @match capture {
                    Some(capture) if who.may(Role::Analyst) => {
                        form method="post" action=(format!("/sessions/{session}/capture")) {
                            (shell::form_key_field(visit))
                            input type="hidden" name="sensor" value=(sensor);
                            button type="submit" { (visit.text("session.packets")) " · " (grouped(capture.bytes)) " B" }
                        }
                        p.small.muted { (visit.text("session.packets-audited")) }
                    }
                    Some(_) => p.small.muted { (visit.text("session.packets-for-analysts")) },
                    None => p.small.muted { (visit.text("session.no-packets")) },
                }
                p.small.muted { code { "komainu sensors records " (shown(sensor)) } }
            }
        }
    }
}

#[cfg(test)]
mod tests;
