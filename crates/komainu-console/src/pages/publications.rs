//! What was published about weaknesses: the operator's files, what they say, and what in them could not be read.

use komainu_statistics::{CveId, Publication, Source};
use maud::{Markup, html};

use crate::address::address;
use crate::pages::search::{HITS_MAX, Hit};
use crate::problem::Problem;
use crate::published::{Published, PublishedFile, PublishedFileState, PublishedKind};
use crate::routes::Answered;
use crate::shown::shown;
use crate::visit::{SignedIn, Visit};
use crate::watch::{brief, grouped};
use crate::{problem_words, shell, time};

/// Publications of one page.
const ROWS_MAX: usize = 50;

/// Mistakes of one file that are shown; the log has all that were kept.
const PROBLEMS_MAX: usize = 10;

/// The page.
pub(crate) fn show(visit: &Visit, who: &SignedIn) -> Answered {
    let published = visit.console.publications.now();
    let wanted = visit.query.one("q").trim().to_lowercase();
    let found: Vec<&Publication> =
        published.publications.iter().filter(|publication| has(publication, &wanted)).collect();
    let from: usize = visit.query.one("from").parse().unwrap_or(0).min(found.len());
    let until = (from + ROWS_MAX).min(found.len());
    let at = |line: usize| {
        let line = if line == 0 { String::new() } else { line.to_string() };
        address("/publications", &[("q", visit.query.one("q")), ("from", &line)])
    };
    let content = html! {
        @if published.files.is_empty() {
            (nothing_yet(visit))
        } @else {
            form.card.line method="get" action="/publications" {
                label { span { (visit.text("published.part")) }
                    input name="q" value=(visit.query.one("q")) maxlength="256" autocomplete="off"; }
                button type="submit" { (visit.text("attacks.apply")) }
            }
            section.card {
                h2 { (visit.filled("published.count", &[("count", &grouped(found.len() as u64))])) }
                @if found.is_empty() { p.muted { (visit.text("published.none")) } }
                @else { (table(visit, &published, &found[from..until])) }
                nav.pages aria-label=(visit.text("audit.pages")) {
                    @if from > 0 { a.button href=(at(from.saturating_sub(ROWS_MAX))) rel="prev" { (visit.text("published.later")) } }
                    @if until < found.len() { a.button href=(at(until)) rel="next" { (visit.text("published.earlier")) } }
                }
            }
            (files(visit, &published))
        }
    };
    Ok(shell::page(visit, Some(who), visit.text("menu.publications"), content))
}

/// Publications about a weakness, when somebody searches for one.
pub(crate) fn find(visit: &Visit, _who: &SignedIn, wanted: &str) -> Result<Vec<Hit>, Problem> {
    let Some(cve) = CveId::parse(wanted) else { return Ok(Vec::new()) };
    let published = visit.console.publications.now();
    let of_cve = published.publications.iter().filter(|publication| publication.cve == Some(cve));
    let hit = |publication: &Publication| Hit {
        kind: visit.text("search.publication"),
        name: publication.title.clone(),
        path: address("/publications", &[("q", &cve.to_string())]),
    };
    Ok(of_cve.take(HITS_MAX).map(hit).collect())
}

/// Whether a publication has a text, in small letters.
fn has(publication: &Publication, wanted: &str) -> bool {
    let cve = publication.cve.map(|cve| cve.to_string()).unwrap_or_default();
    let mut texts = publication.concerns.iter().chain([&publication.title, &cve]);
    wanted.is_empty() || texts.any(|text| text.to_lowercase().contains(wanted))
}

fn nothing_yet(visit: &Visit) -> Markup {
    html! {
        section.card.empty {
            h2 { (visit.text("published.nothing")) }
            p { (visit.text("published.nothing-advice")) }
            p { code { "[statistics] kev = \"…\", epss = \"…\", notes = \"…\"" } }
        }
    }
}

fn table(visit: &Visit, published: &Published, found: &[&Publication]) -> Markup {
    html! {
        div.scroll tabindex="0" { table.rows.fold {
            thead { tr {
                th { (visit.text("published.day")) }
                th { (visit.text("published.title")) }
                th { "CVE" }
                th { (visit.text("published.concerns")) }
                th.number { (visit.text("published.likelihood")) }
                th { (visit.text("published.source")) }
            } }
            tbody {
                @for publication in found {
                    tr {
                        td.head.nowrap { (publication.day) }
                        td.wide data-label=(visit.text("published.title")) {
                            @match &publication.url {
                                Some(url) => a href=(url) rel="noopener noreferrer" { (brief(&publication.title)) },
                                None => (brief(&publication.title)),
                            }
                        }
                        td.nowrap data-label="CVE" {
                            @if let Some(cve) = publication.cve {
                                a href=(address("/observables/one", &[("kind", "cve"), ("value", &cve.to_string()), ("range", "90d")])) { (cve) }
                            }
                        }
                        td.wide data-label=(visit.text("published.concerns")) { (brief(&publication.concerns.join(", "))) }
                        td.number data-label=(visit.text("published.likelihood")) {
                            @if let Some(likelihood) = publication.cve.and_then(|cve| published.epss.of(cve)) {
                                (format!("{:.1} %", likelihood.probability * 100.0))
                            }
                        }
                        td data-label=(visit.text("published.source")) {
                            @match publication.source {
                                Source::Kev { by_ransomware: true } => { "KEV " span.badge.bad { (visit.text("published.ransomware")) } }
                                Source::Kev { by_ransomware: false } => "KEV",
                                Source::Note => (visit.text("published.note")),
                            }
                        }
                    }
                }
            }
        } }
    }
}

fn files(visit: &Visit, published: &Published) -> Markup {
    html! {
        section.card #files {
            h2 { (visit.text("published.files")) }
            div.scroll tabindex="0" { table.rows {
                thead { tr {
                    th { (visit.text("published.file")) }
                    th.number { (visit.text("published.entries")) }
                    th { (visit.text("published.read")) }
                } }
                tbody { @for file in &published.files { (file_row(visit, file)) } }
            } }
            @for file in &published.files { (mistakes(visit, file)) }
        }
    }
}

fn file_row(visit: &Visit, file: &PublishedFile) -> Markup {
    let name = match file.kind {
        PublishedKind::Kev => "KEV",
        PublishedKind::Epss => "EPSS",
        PublishedKind::Notes => visit.text("published.notes"),
    };
    html! {
        tr {
            td.wide { (name) " " span.mono.muted.break { (shown(&file.path)) } }
            @match &file.state {
                PublishedFileState::Read { at, entries, .. } => {
                    td.number { (grouped(*entries as u64)) }
                    td.nowrap { (time::time(*at)) }
                }
                PublishedFileState::Unreadable { .. } => {
                    td.number { "–" }
                    td { span.badge.bad { (visit.text("published.unreadable")) } }
                }
            }
        }
    }
}

/// What is wrong with a file, with its lines.
fn mistakes(visit: &Visit, file: &PublishedFile) -> Markup {
    let problems: Vec<String> = match &file.state {
        PublishedFileState::Read { problems, .. } => {
            problems.iter().map(|problem| problem_words::of_published(visit, file.kind, problem)).collect()
        }
        PublishedFileState::Unreadable { reason } => vec![problem_words::quoted(visit, reason)],
    };
    html! {
        @if !problems.is_empty() {
            div.note.warn role="note" {
                p { (visit.filled("published.mistakes", &[("file", &shown(&file.path))])) }
                ul { @for problem in problems.iter().take(PROBLEMS_MAX) { li.break { (problem) } } }
                @if problems.len() > PROBLEMS_MAX {
                    p.small { (visit.filled("sample.more", &[("count", &(problems.len() - PROBLEMS_MAX).to_string())])) }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
