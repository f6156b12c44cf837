//! What a sample does: rules of behaviour that hold, the timeline, the network, what changes on the device.

use komainu_intel::country;
use komainu_model::{DomainName, IndicatorValue, SampleDigest, Transport};
use maud::{Markup, html};

use super::contents::of_language;
use super::{and_more, line};
use crate::address::{address, defanged};
use crate::lab_report::{Behaviour, Endpoint, Evidenced, Report};
use crate::pages::samples;
use crate::visit::Visit;
use crate::watch::{Watch, brief, grouped};

/// Rules of behaviour that are shown, the worst.
const BEHAVIOURS_MAX: usize = 40;

/// Facts that are shown of one rule.
const EVIDENCE_MAX: usize = 4;

/// Lines of one page of the timeline.
const TIMELINE_MAX: usize = 40;

/// Endpoints, credentials, files and the like of one list.
const LISTED_MAX: usize = 20;

/// Categories of facts, in the order of the choice above the timeline.
const CATEGORIES: [&str; 7] = ["process", "file", "network", "dns", "http", "login", "finding"];

/// The rules that held, worst first.
pub(super) fn behaviours(visit: &Visit, report: &Report) -> Markup {
    html! {
        section.card #behaviours {
            h2 { (visit.text("sample.behaviours")) }
            @if report.behaviours.is_empty() { p.muted { (visit.text("sample.no-behaviours")) } }
            ul.rules {
                @for (number, behaviour) in report.behaviours.iter().take(BEHAVIOURS_MAX).enumerate() {
                    (one_behaviour(visit, number, behaviour))
                }
            }
            (and_more(visit, report.behaviours.len().saturating_sub(BEHAVIOURS_MAX)))
            @if let Some(run) = report.runs.first() {
                p.small.muted { (visit.filled("sample.run-on", &[("isa", &brief(&run.isa)), ("made", &brief(&report.made))])) }
            }
            (runs(visit, report))
        }
    }
}

fn one_behaviour(visit: &Visit, number: usize, behaviour: &Behaviour) -> Markup {
    html! {
        li id={ "b" (number) } {
            details {
                summary {
                    (level(visit, &behaviour.level)) " "
                    strong { (line(behaviour.title.of(visit.language))) } " "
                    @for technique in behaviour.attack.iter().take(6) { span.badge.mono { (brief(technique)) } " " }
                    span.small.muted { "×" (grouped(behaviour.count)) }
                }
                p.small { (line(behaviour.meaning.of(visit.language))) }
                @if !behaviour.attack.is_empty() {
                    p.small {
                        @for technique in behaviour.attack.iter().take(6) {
                            a href=(address("/observables/one", &[("kind", "technique"), ("value", technique), ("range", "90d")])) {
                                (visit.filled("sample.technique-in-attacks", &[("technique", &brief(technique))]))
                            } " "
                        }
                    }
                }
                ol.evidence { @for fact in behaviour.evidence.iter().take(EVIDENCE_MAX) { li { (evidence(fact)) } } }
            }
        }
    }
}

fn level(visit: &Visit, level: &str) -> Markup {
    let name = visit.texts.word("level", level).map_or_else(|| brief(level), str::to_owned);
    match level {
        "critical" | "high" => html! { span.badge.bad { (name) } },
        "medium" => html! { span.badge.warn { (name) } },
        _ => html! { span.badge { (name) } },
    }
}

fn evidence(fact: &Evidenced) -> Markup {
    html! { span.small.muted.nowrap { (moment(fact)) } " " bdi.mono.break { (line(&fact.text)) } }
}

/// In which run, and how many seconds after its start.
fn moment(fact: &Evidenced) -> String {
    match fact.run {
        Some(run) => format!("{run} · {}.{:03} s", fact.at_us / 1_000_000, fact.at_us / 1_000 % 1_000),
        None => "–".to_owned(),
    }
}

fn runs(visit: &Visit, report: &Report) -> Markup {
    html! {
        @if !report.runs.is_empty() {
            div.scroll tabindex="0" { table.rows.tight {
                thead { tr {
                    th.number { (visit.text("sample.run")) }
                    th { (visit.text("sample.rights")) }
                    th.number { (visit.text("sample.ran-for")) }
                    th { (visit.text("sample.end")) }
                    th.number { (visit.text("sample.facts")) }
                } }
                tbody {
                    @for run in report.runs.iter().take(LISTED_MAX) {
                        tr {
                            td.number { (run.number) }
                            td { (visit.texts.word("run-as", &run.run_as).map_or_else(|| brief(&run.run_as), str::to_owned)) }
                            td.number { (format!("{}.{} s", run.ran_for_ms / 1_000, run.ran_for_ms % 1_000 / 100)) }
                            td.wide {
                                (visit.texts.word("run-end", &run.end).map_or_else(|| brief(&run.end), str::to_owned))
                                @if let Some(reason) = &run.end_reason { " " span.muted { (line(reason)) } }
                            }
                            td.number { (grouped(run.facts)) }
                        }
                    }
                }
            } }
        }
    }
}

/// What happened, in the order of time, with the rules that rest on it.
pub(super) fn timeline(visit: &Visit, digest: &SampleDigest, report: &Report) -> Markup {
    let path = format!("/samples/{digest}");
    let chosen = CATEGORIES.into_iter().find(|category| *category == visit.query.one("category"));
    let is_chosen = |fact: &&Evidenced| chosen.is_none_or(|chosen| fact.category.starts_with(chosen));
    let lines: Vec<&Evidenced> = report.timeline.iter().filter(is_chosen).collect();
    let from: usize = visit.query.one("line").parse().unwrap_or(0).min(lines.len());
    let until = (from + TIMELINE_MAX).min(lines.len());
    let here = |category: &str, line: usize| {
        let line = if line == 0 { String::new() } else { line.to_string() };
        address(&path, &[("category", category), ("line", &line)]) + "#timeline"
    };
    let kept = chosen.unwrap_or_default();
    html! {
        @if !report.timeline.is_empty() {
            section.card #timeline {
                div.card-head {
                    h2 { (visit.text("sample.timeline")) }
                    nav.words aria-label=(visit.text("sample.timeline")) {
                        a href=(here("", 0)) aria-current=[chosen.is_none().then_some("true")] { (visit.text("observables.all")) }
                        @for category in CATEGORIES {
                            a href=(here(category, 0)) aria-current=[(chosen == Some(category)).then_some("true")] {
                                (visit.texts.word("fact", category).unwrap_or(category))
                            }
                        }
                    }
                }
                @if lines.is_empty() { p.muted { (visit.text("watch.nothing")) } }
                ol.timeline {
                    @for fact in &lines[from..until] { (moment_of_timeline(visit, report, fact)) }
                }
                nav.pages aria-label=(visit.text("audit.pages")) {
                    @if from > 0 { a.button href=(here(kept, from.saturating_sub(TIMELINE_MAX))) rel="prev" { (visit.text("sample.earlier")) } }
                    @if until < lines.len() { a.button href=(here(kept, until)) rel="next" { (visit.text("sample.later")) } }
                }
            }
        }
    }
}

fn moment_of_timeline(visit: &Visit, report: &Report, fact: &Evidenced) -> Markup {
    // `process_sandbox` and its like: the first word says it.
    let category = fact.category.split('_').next().unwrap_or_default();
    let name = visit.texts.word("fact", category).map_or_else(|| brief(category), str::to_owned);
    let rests = |behaviour: &Behaviour| behaviour.evidence.iter().any(|one| one.fact == fact.fact);
    let rules = report.behaviours.iter().take(BEHAVIOURS_MAX).enumerate().filter(|(_, behaviour)| rests(behaviour));
    html! {
        li {
            span.small.muted.nowrap { (moment(fact)) }
            span.badge { (name) }
            div {
                bdi.mono.break { (line(&fact.text)) }
                @for (number, behaviour) in rules.take(3) {
                    " " a.small href={ "#b" (number) } { (line(behaviour.title.of(visit.language))) }
                    @for technique in behaviour.attack.iter().take(2) { " " span.small.muted.mono { (brief(technique)) } }
                }
            }
        }
    }
}

/// With whom it spoke.
pub(super) fn network(visit: &Visit, report: &Report) -> Markup {
    let names = report.generated_names.as_ref();
    let is_silent = report.endpoints.is_empty()
        && report.scans.is_empty()
        && report.downloads.is_empty()
        && report.floods.is_empty()
        && report.credentials.is_empty()
        && names.is_none();
    html! {
        section.card #network {
            h2 { (visit.text("sample.network")) }
            @if is_silent { p.muted { (visit.text("sample.silent")) } }
            @if !report.endpoints.is_empty() { (endpoints(visit, report)) }
        }
        @if !is_silent {
            div.columns {
                (scans(visit, report))
                (downloads(visit, report))
                (credentials(visit, report))
                (floods(visit, report))
                @if let Some(names) = names {
                    section.card {
                        h2 { (visit.text("sample.generated")) }
                        p { (visit.filled("sample.generated-count", &[("count", &grouped(names.count)), ("missing", &grouped(names.missing))])) }
                        p.break { @for name in names.examples.iter().take(LISTED_MAX) { code { (brief(&defanged(name))) } " " } }
                    }
                }
            }
        }
    }
}

fn endpoints(visit: &Visit, report: &Report) -> Markup {
    let watch = Watch::of(visit);
    html! {
        div.scroll tabindex="0" { table.rows.fold {
            thead { tr {
                th { (visit.text("sample.endpoint")) }
                th { (visit.text("sample.role")) }
                th.number { (visit.text("sample.confidence")) }
                th { (visit.text("column.country")) }
                th.number { (visit.text("sample.contacts")) }
                th { (visit.text("sample.why")) }
            } }
            tbody {
                @for endpoint in report.endpoints.iter().take(LISTED_MAX) {
                    tr {
                        td.head { (whom(endpoint)) }
                        td data-label=(visit.text("sample.role")) { (role(visit, &endpoint.role)) }
                        td.number data-label=(visit.text("sample.confidence")) { (endpoint.confidence) " %" }
                        td data-label=(visit.text("column.country")) {
                            @match endpoint.address.parse().ok().filter(|_| endpoint.address_is_real) {
                                Some(address) => (watch.country(country(address).unwrap_or_default())),
                                None => span.muted { (visit.text("sample.made-up")) },
                            }
                        }
                        td.number data-label=(visit.text("sample.contacts")) { (grouped(endpoint.contacts)) }
                        td.wide.small data-label=(visit.text("sample.why")) {
                            (reasons(visit, &endpoint.reasons, &endpoint.reasons_ja))
                            @if let Some(hello) = &endpoint.hello { " " bdi.mono.break { "“" (line(hello)) "”" } }
                        }
                    }
                }
            }
        } }
        (and_more(visit, report.endpoints.len().saturating_sub(LISTED_MAX)))
    }
}

/// The names and the address of an endpoint, each leading to the indicator that it would be.
fn whom(endpoint: &Endpoint) -> Markup {
    let names = endpoint.names.iter().take(4).filter_map(|name| DomainName::parse(name).ok());
    let address = endpoint.address.parse().ok().filter(|_| endpoint.address_is_real);
    let transport = match endpoint.protocol.as_str() {
        "tcp" => Some(Transport::Tcp),
        "udp" => Some(Transport::Udp),
        _ => None,
    };
    let port = Some(endpoint.port).filter(|port| *port != 0);
    let address = address.map(|address| IndicatorValue::Address { address, port, transport: port.and(transport) });
    let values: Vec<IndicatorValue> = names.map(IndicatorValue::Name).chain(address).collect();
    html! {
        @for value in &values {
            a.mono.break href=(address_of(value)) { (defanged(&value.to_string())) } " "
        }
        @if values.is_empty() { span.mono { (brief(&endpoint.address)) ":" (endpoint.port) } }
    }
}

/// The page of what may be an indicator; the list of indicators says so when it is none.
fn address_of(value: &IndicatorValue) -> String {
    address("/indicators", &[("q", &value.to_string())])
}

fn role(visit: &Visit, role: &str) -> Markup {
    let name = visit.texts.word("endpoint", role).map_or_else(|| brief(role), str::to_owned);
    match role {
        "command" => html! { span.badge.bad { (name) } },
        "download" | "report" => html! { span.badge.warn { (name) } },
        _ => html! { span.badge { (name) } },
    }
}

fn scans(visit: &Visit, report: &Report) -> Markup {
    html! {
        @if !report.scans.is_empty() {
            section.card {
                h2 { (visit.text("sample.scans")) }
                div.scroll tabindex="0" {
                    table.rows {
                        thead { tr {
                            th { (visit.text("column.port")) }
                            th.number { (visit.text("sample.addresses")) }
                            th.number { (visit.text("sample.per-second")) }
                            th { (visit.text("sample.generator")) }
                        } }
                        tbody {
                            @for scan in report.scans.iter().take(LISTED_MAX) {
                                tr {
                                    td { a href=(address("/attacks", &[("port", &scan.port.to_string())])) { (scan.port) "/" (brief(&scan.protocol)) } }
                                    td.number { (grouped(scan.addresses)) }
                                    td.number { (format!("{}.{:02}", scan.per_second_hundredths / 100, scan.per_second_hundredths % 100)) }
                                    td { (visit.texts.word("generator", &scan.generator).map_or_else(|| brief(&scan.generator), str::to_owned)) }
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn downloads(visit: &Visit, report: &Report) -> Markup {
    html! {
        @if !report.downloads.is_empty() {
            section.card {
                h2 { (visit.text("sample.downloads")) }
                ul.told {
                    @for download in report.downloads.iter().take(LISTED_MAX) {
                        li {
                            span.muted { @if download.by_sample { (visit.text("sample.by-itself")) } @else { (visit.text("sample.by-others")) } }
                            bdi.mono.break data-copy title=(visit.text("value.copy")) { (line(&defanged(&download.url))) }
                            @if let Some(status) = download.status { span.small.muted { "HTTP " (status) } }
                        }
                    }
                }
            }
        }
    }
}

fn credentials(visit: &Visit, report: &Report) -> Markup {
    html! {
        @if !report.credentials.is_empty() {
            section.card {
                h2 { (visit.filled("sample.credentials", &[("count", &grouped(report.credentials_tried))])) }
                table.rows.counts {
                    tbody {
                        @for one in report.credentials.iter().take(LISTED_MAX) {
                            tr {
                                td.muted { (brief(&one.service)) }
                                td.value-cell.mono { bdi { (brief(&one.user)) ":" (brief(&one.password)) } }
                                td.number { (grouped(one.count)) }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn floods(visit: &Visit, report: &Report) -> Markup {
    html! {
        @if !report.floods.is_empty() {
            section.card {
                h2 { (visit.text("sample.floods")) }
                div.scroll tabindex="0" {
                    table.rows {
                        thead { tr {
                            th { (visit.text("sample.kind")) }
                            th { (visit.text("sample.target")) }
                            th.number { (visit.text("sample.packets")) }
                            th.number { (visit.text("sample.per-second")) }
                        } }
                        tbody {
                            @for flood in report.floods.iter().take(LISTED_MAX) {
                                tr {
                                    td { (brief(&flood.kind)) }
                                    td.mono { (brief(&defanged(flood.target.as_deref().unwrap_or("–")))) @if let Some(port) = flood.port { ":" (port) } }
                                    td.number { (grouped(flood.packets)) }
                                    td.number { (grouped(flood.per_second)) }
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// What stays, what is gone, what ran.
pub(super) fn on_the_device(visit: &Visit, report: &Report) -> Markup {
    let lists: [(&str, &[String]); 4] = [
        (visit.text("sample.persistence"), &report.persistence),
        (visit.text("sample.erased"), &report.erased),
        (visit.text("sample.killed"), &report.killed),
        (visit.text("sample.evasion"), &report.evasion),
    ];
    html! {
        @if !report.processes.is_empty() || !report.dropped.is_empty() || lists.iter().any(|(_, list)| !list.is_empty()) {
            div.columns {
                @for (title, list) in lists.iter().filter(|(_, list)| !list.is_empty()) {
                    section.card {
                        h2 { (title) }
                        ul { @for entry in list.iter().take(LISTED_MAX) { li { bdi.mono.break { (line(entry)) } } } }
                        (and_more(visit, list.len().saturating_sub(LISTED_MAX)))
                    }
                }
                (dropped(visit, report))
                (processes(visit, report))
            }
        }
    }
}

fn dropped(visit: &Visit, report: &Report) -> Markup {
    html! {
        @if !report.dropped.is_empty() {
            section.card {
                h2 { (visit.text("sample.dropped")) }
                ul.told {
                    @for file in report.dropped.iter().take(LISTED_MAX) {
                        li {
                            span { @if file.was_run { span.badge.warn { (visit.text("sample.was-run")) } } }
                            bdi.mono.break { (line(&file.path)) }
                            @if let Some(digest) = file.sha256.as_deref().and_then(|text| SampleDigest::parse(text).ok()) {
                                span.small { (samples::link(&digest)) }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// Reasons in the language of the page, in one line.
fn reasons(visit: &Visit, english: &[String], japanese: &[String]) -> String {
    line(&of_language(visit, english, japanese).join("; "))
}

fn processes(visit: &Visit, report: &Report) -> Markup {
    html! {
        @if !report.processes.is_empty() {
            section.card {
                h2 { (visit.text("sample.processes")) }
                ul.told.mono {
                    @for process in report.processes.iter().take(LISTED_MAX * 2) {
                        li {
                            span.muted { (process.run) " · " (process.pid) }
                            bdi.break {
                                // Eight steps have room; deeper ones stand where the eighth does.
                                (" ".repeat(process.depth.min(8) as usize * 2))
                                @if process.command_line.is_empty() { (line(&process.image)) } @else { (line(&process.command_line)) }
                            }
                        }
                    }
                }
                (and_more(visit, report.processes.len().saturating_sub(LISTED_MAX * 2)))
            }
        }
    }
}

/// Earlier samples that are alike.
pub(super) fn similar(visit: &Visit, report: &Report) -> Markup {
    html! {
        section.card {
            h2 { (visit.text("sample.similar")) }
            @if report.similar.is_empty() { p.muted { (visit.text("sample.none-similar")) } }
            @else {
                ul.told {
                    @for one in report.similar.iter().take(LISTED_MAX) {
                        li {
                            @match SampleDigest::parse(&one.sha256) {
                                Ok(digest) => (samples::link(&digest)),
                                Err(_) => span.mono { (brief(&one.sha256)) },
                            }
                            span { (one.percent) " % " (samples::family(visit, one.family.as_deref().unwrap_or_default())) }
                            span.small.muted.break { (reasons(visit, &one.reasons, &one.reasons_ja)) }
                        }
                    }
                }
            }
        }
    }
}
