//! One sample: what it is, what it does, with whom it spoke, how it came, what it taught.

mod conduct;
mod contents;
mod origins;

use hyper::StatusCode;
use hyper::header::CONTENT_DISPOSITION;
use komainu_model::{Confidentiality, Role, SampleDigest};
use komainu_ports::{
    AuditAction, ElsewhereAnswer, KnownElsewhere, SampleDocument, SamplePriority, SampleState, StoredSample,
};
use maud::{Markup, html};

use crate::lab_report::{LabReport, Unreadable, VERSION};
use crate::pages::samples;
use crate::problem::Problem;
use crate::reply::Reply;
use crate::routes::Answered;
use crate::shown::shown;
use crate::visit::{SignedIn, Visit};
use crate::watch::{Watch, brief, grouped};
use crate::{shell, time};

/// Characters of a line of evidence, a string or a reason that a page shows; the documents have all of it.
const LINE_CHARS_MAX: usize = 180;

/// Names that scanners give a sample, as a page shows them.
const LABELS_MAX: usize = 8;

/// What the laboratory could not do or did not keep, in lines.
const PROBLEMS_MAX: usize = 30;

/// The page.
pub(crate) fn show(visit: &Visit, who: &SignedIn) -> Answered {
    page(visit, who, StatusCode::OK, None)
}

fn page(visit: &Visit, who: &SignedIn, status: StatusCode, wrong: Option<&str>) -> Answered {
    let digest = digest(visit)?;
    let sample = visit.console.threat.samples.sample(&digest)?.ok_or(Problem::NotFound)?;
    let lab = LabReport::read(&*visit.console.threat.samples, &digest)?;
    let watch = Watch::of(visit);
    let content = html! {
        (shell::said(visit))
        (shell::wrong(wrong))
        (head(visit, who, &sample, &lab))
        (tiles(visit, &sample, &lab))
        (problems(visit, &lab))
        @if let Some(report) = &lab.report {
            (conduct::behaviours(visit, report))
            (conduct::timeline(visit, &digest, report))
            (conduct::network(visit, report))
            (conduct::on_the_device(visit, report))
        }
        div.columns {
            (hashes(visit, &sample, &lab))
            (origins::came(&watch, &sample))
            (origins::taught(visit, &lab)?)
            @if let Some(report) = &lab.report { (conduct::similar(visit, report)) }
            (known(visit, &sample.elsewhere))
        }
        @if let Some(triage) = &lab.triage { (contents::all(visit, triage)) }
    };
    let title = visit.filled("sample.title", &[("digits", &digest.to_string()[..12])]);
    Ok(shell::page_with_status(status, visit, Some(who), &title, content))
}

fn digest(visit: &Visit) -> Result<SampleDigest, Problem> {
    SampleDigest::parse(visit.label("sha256")).map_err(|_| Problem::NotFound)
}

/// A document of the laboratory as a file.
pub(crate) fn document(visit: &Visit, _who: &SignedIn) -> Answered {
    let (kind, name) = match visit.label("document") {
        "report.json" => (SampleDocument::Report, "attachment; filename=\"report.json\""),
        "stix.json" => (SampleDocument::Stix, "attachment; filename=\"stix.json\""),
        "triage.json" => (SampleDocument::Triage, "attachment; filename=\"triage.json\""),
        _ => return Err(Problem::NotFound),
    };
    let text = visit.console.threat.samples.document(&digest(visit)?, kind)?.ok_or(Problem::NotFound)?;
    Ok(Reply::of(StatusCode::OK, "application/json", text.into()).with(CONTENT_DISPOSITION, name))
}

/// Has the sample looked at once more.
pub(crate) fn examine_again(visit: &Visit, who: &SignedIn) -> Answered {
    let digest = digest(visit)?;
    if !visit.console.threat.intake.again(&digest, SamplePriority::Urgent)? {
        let wrong = visit.text("sample.not-again");
        return page(visit, who, StatusCode::CONFLICT, Some(wrong));
    }
    visit.console.store().note(&visit.did(who, AuditAction::ExamineAgain, &digest.to_string()))?;
    Ok(Reply::on_to(&format!("/samples/{digest}?said=examine-again")))
}

fn head(visit: &Visit, who: &SignedIn, sample: &StoredSample, lab: &LabReport) -> Markup {
    let digest = &sample.digests.sha256;
    let is_over = matches!(sample.state, SampleState::Done { .. } | SampleState::Failed { .. });
    let sentence = lab.report.as_ref().map(|report| report.verdict.sentence.of(visit.language));
    let name = lab.report.as_ref().and_then(|report| report.sample.name.as_deref());
    html! {
        section.card {
            div.line {
                (samples::state(visit, sample))
                @if let Some(report) = &lab.report {
                    span.muted { (visit.filled("sample.score", &[("score", &report.verdict.score.to_string())])) }
                }
                @if !sample.essentials.family.is_empty() { (samples::family(visit, &sample.essentials.family)) }
                @if sample.confidentiality == Confidentiality::Confidential {
                    span.badge.warn { (visit.texts.word("sample-access", "confidential").unwrap_or("confidential")) }
                }
                @if let Some(name) = name { span.mono.break { (brief(name)) } }
            }
            @if let Some(sentence) = sentence { p { (line(sentence)) } }
            @else if matches!(sample.state, SampleState::Waiting { .. } | SampleState::Working { .. }) {
                p.muted { (visit.text("sample.no-report-yet")) " " code { "KOMAINU__LAB__RUN=true komainu serve" } }
            }
            div.line {
                @if lab.report.is_some() {
                    a.button href={ "/samples/" (digest) "/report.json" } { (visit.text("sample.as-json")) }
                    a.button href={ "/samples/" (digest) "/stix.json" } { "STIX 2.1" }
                }
                @if lab.triage.is_some() { a.button href={ "/samples/" (digest) "/triage.json" } { (visit.text("sample.triage-json")) } }
                @if is_over && who.may(Role::Analyst) {
                    form method="post" action={ "/samples/" (digest) "/again" } {
                        (shell::form_key_field(visit))
                        button type="submit" { (visit.text("sample.again")) }
                    }
                }
            }
        }
    }
}

fn tiles(visit: &Visit, sample: &StoredSample, lab: &LabReport) -> Markup {
    let tile = |title: &str, value: Markup, note: Markup| {
        html! { section.card.tile { h2 { (title) } (value) p.small.muted { (note) } } }
    };
    let known = komainu_ports::SampleBrief::of(sample).known_elsewhere;
    let kind = lab.triage.as_ref().and_then(|triage| triage.samples.first()).map(|file| brief(&file.kind));
    let processor = &sample.essentials.processor;
    let what = if processor.is_empty() { kind.unwrap_or_else(|| "–".to_owned()) } else { brief(processor) };
    html! {
        div.tiles {
            (tile(visit.text("sample.what"), html! { p.big { (what) } }, html! {
                (grouped(sample.bytes)) " B"
                @match sample.essentials.iot {
                    Some(true) => { " · " (visit.text("sample.for-devices")) }
                    Some(false) => { " · " (visit.text("sample.not-for-devices")) }
                    None => {}
                }
            }))
            (tile(visit.text("samples.first"), html! { p.big-time { (time::time(sample.first_at)) } }, html! {
                (visit.filled("sample.times", &[("count", &grouped(sample.times))]))
            }))
            (tile(visit.text("sample.last"), html! { p.big-time { (time::time(sample.last_at)) } }, html! {}))
            (tile(visit.text("samples.elsewhere"), html! { p.big-time { (samples::elsewhere(visit, known)) } }, html! {
                (visit.text("sample.elsewhere-note"))
            }))
        }
    }
}

/// Why a document cannot be read.
fn unreadable(visit: &Visit, why: &Unreadable) -> String {
    match why {
        Unreadable::Version(version) => {
            let places = [("version", &*version.to_string()), ("understood", &*VERSION.to_string())];
            visit.filled("sample.other-version", &places)
        }
        Unreadable::Shape(said) => visit.filled("sample.other-shape", &[("said", &line(said))]),
    }
}

/// What could not be read, was not done, or was not kept.
fn problems(visit: &Visit, lab: &LabReport) -> Markup {
    let mut told: Vec<Markup> = lab
        .unreadable
        .iter()
        .map(|(document, why)| html! { code { (document) } ": " (unreadable(visit, why)) })
        .collect();
    if let Some(triage) = &lab.triage {
        told.extend(triage.samples.iter().flat_map(|file| &file.problems).map(|problem| html! { (line(problem)) }));
        if triage.members_left_out > 0 {
            let count = grouped(triage.members_left_out);
            told.push(html! { (visit.filled("sample.members-left-out", &[("count", &count)])) });
        }
    }
    if let Some(report) = &lab.report {
        told.extend(report.cut.iter().map(|cut| html! { (line(cut)) }));
        let left_out = report.left_out.iter();
        told.extend(left_out.map(|(what, count)| {
            html! { (visit.filled("sample.left-out", &[("what", &line(what)), ("count", &grouped(*count))])) }
        }));
    }
    let more = told.len().saturating_sub(PROBLEMS_MAX);
    html! {
        @if !told.is_empty() {
            section.card {
                h2 { (visit.text("sample.problems")) }
                ul { @for problem in told.iter().take(PROBLEMS_MAX) { li.break { (problem) } } }
                (and_more(visit, more))
            }
        }
    }
}

fn hashes(visit: &Visit, sample: &StoredSample, lab: &LabReport) -> Markup {
    let file = lab.report.as_ref().map(|report| &report.sample);
    let of_report = |text: Option<&String>| text.cloned().unwrap_or_default();
    let digests = [
        ("SHA-256", sample.digests.sha256.to_string()),
        ("SHA-1", hex::encode(sample.digests.sha1)),
        ("MD5", hex::encode(sample.digests.md5)),
        ("TLSH", of_report(file.and_then(|file| file.tlsh.as_ref()))),
        ("telfhash", of_report(file.and_then(|file| file.telfhash.as_ref()))),
    ];
    html! {
        section.card {
            h2 { (visit.text("sample.hashes")) }
            dl.facts {
                @for (name, text) in digests.iter().filter(|(_, text)| !text.is_empty()) {
                    dt { (name) }
                    dd { code.copy data-copy title=(visit.text("value.copy")) { (brief_digest(text)) } }
                }
            }
        }
    }
}

/// A digest as it is copied. The longest, TLSH, has 72 characters; a document that says more is not believed.
fn brief_digest(text: &str) -> String {
    shown(&text.chars().take(160).collect::<String>())
}

/// What others said.
fn known(visit: &Visit, elsewhere: &[KnownElsewhere]) -> Markup {
    html! {
        @if !elsewhere.is_empty() {
            section.card {
                h2 { (visit.text("sample.known-to")) }
                div.scroll tabindex="0" {
                    table.rows {
                        tbody {
                            @for one in elsewhere {
                                tr {
                                    td.nowrap { (brief(&one.source)) }
                                    td.wide { (answer(visit, &one.answer)) }
                                    td.nowrap.muted { (time::day(one.asked_at)) }
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn answer(visit: &Visit, answer: &ElsewhereAnswer) -> Markup {
    match answer {
        ElsewhereAnswer::Unknown => samples::elsewhere(visit, Some(false)),
        ElsewhereAnswer::Known { first_seen, labels, detections } => html! {
            @if let Some((bad, asked)) = detections { strong { (bad) " / " (asked) } " " }
            @if let Some(at) = first_seen { span.muted { (visit.text("sample.known-since")) " " (time::day(*at)) } " " }
            @for label in labels.iter().take(LABELS_MAX) { span.badge { (brief(label)) } " " }
        },
    }
}

/// A line of somebody else's text, as far as it has room.
pub(super) fn line(text: &str) -> String {
    match text.char_indices().nth(LINE_CHARS_MAX) {
        Some((end, _)) => shown(&text[..end]) + "…",
        None => shown(text),
    }
}

/// How many more there are than the page shows.
pub(super) fn and_more(visit: &Visit, more: usize) -> Markup {
    html! {
        @if more > 0 { p.small.muted { (visit.filled("sample.more", &[("count", &grouped(more as u64))])) } }
    }
}

#[cfg(test)]
mod tests;
