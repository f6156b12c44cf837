//! What a file is, without running it: headers, sections, packing, rules, strings.

use komainu_model::Language;
use komainu_triage::{Elf, Finding, Report, Sample};
use maud::{Markup, html};

use super::{and_more, line};
use crate::address::{address, defanged};
use crate::visit::Visit;
use crate::watch::{brief, grouped};

/// Members of a container whose details are shown.
const MEMBERS_MAX: usize = 4;

/// Sections and segments that are shown.
const REGIONS_MAX: usize = 24;

/// Rules, decoded pieces and words of one list that are shown.
const LISTED_MAX: usize = 16;

/// Findings of one kind that are shown.
const FINDINGS_MAX: usize = 10;

/// Kinds of findings in the order in which they matter.
const KINDS: [&str; 11] =
    ["url", "socket-address", "ipv4", "ipv6", "domain", "command", "user-agent", "path", "email", "wallet", "prompt"];

/// Reasons in the language of the page; reports that were made before there were Japanese ones have English ones.
pub(super) fn of_language<'r>(visit: &Visit, english: &'r [String], japanese: &'r [String]) -> &'r [String] {
    match visit.language {
        Language::Japanese if !japanese.is_empty() => japanese,
        Language::Japanese | Language::English => english,
    }
}

/// The file and its members.
pub(super) fn all(visit: &Visit, triage: &Report) -> Markup {
    let more = triage.samples.len().saturating_sub(MEMBERS_MAX);
    html! {
        h2.group #static { (visit.text("sample.static")) }
        @if !triage.verdict.reasons.is_empty() {
            section.card {
                h2 { (visit.text("sample.reasons")) }
                ul {
                    @for reason in of_language(visit, &triage.verdict.reasons, &triage.verdict.reasons_ja).iter().take(LISTED_MAX) {
                        li.break { (line(reason)) }
                    }
                }
            }
        }
        @for (number, file) in triage.samples.iter().take(MEMBERS_MAX).enumerate() {
            @if number > 0 {
                h2.group { (visit.text("sample.member")) " " span.mono { (brief(file.name.as_deref().unwrap_or("–"))) } }
            }
            div.columns {
                (header(visit, file))
                @if let Some(elf) = &file.elf { (regions(visit, elf)) }
                (rules(visit, file))
                (findings(visit, file))
                (decoded(visit, file))
                (credentials(visit, file))
                (strings(visit, file))
            }
        }
        (and_more(visit, more))
    }
}

fn header(visit: &Visit, file: &Sample) -> Markup {
    let entropy = format!("{}.{:02}", file.entropy_millibits / 1_000, file.entropy_millibits % 1_000 / 10);
    html! {
        section.card {
            h2 { (visit.text("sample.header")) }
            dl.facts {
                dt { (visit.text("sample.kind")) } dd { (line(&file.description)) }
                dt { (visit.text("samples.bytes")) } dd { (grouped(file.bytes)) }
                dt { (visit.text("sample.entropy")) } dd { (entropy) }
                @if let Some(container) = &file.container {
                    dt { (visit.text("sample.holds")) }
                    dd { (visit.filled("sample.holds-files", &[("count", &grouped(container.members))])) }
                }
                @if let Some(packing) = &file.packing {
                    dt { (visit.text("sample.packing")) }
                    dd {
                        @if packing.verdict == "none" { span.muted { (visit.text("sample.not-packed")) } }
                        @else {
                            span.badge.warn { (brief(packing.packer.as_deref().unwrap_or(&packing.verdict))) }
                            @for reason in of_language(visit, &packing.reasons, &packing.reasons_ja).iter().take(3) { " " span.small.muted { (line(reason)) } }
                        }
                    }
                }
                @if let Some(elf) = &file.elf { (program(visit, elf)) }
            }
        }
    }
}

fn program(visit: &Visit, elf: &Elf) -> Markup {
    let form = format!("ELF {} bit, {}-endian, {}", elf.class_bits, elf.byte_order, elf.file_type_name);
    let lists = [
        ("abi", elf.abi.join(", ")),
        ("toolchain", elf.toolchain.join(", ")),
        ("needed", elf.needed.join(", ")),
        ("libc", elf.libc.clone().unwrap_or_default()),
        ("language", elf.language.iter().chain(&elf.language_version).cloned().collect::<Vec<_>>().join(" ")),
        ("build-id", elf.build_id.clone().unwrap_or_default()),
        ("interpreter", elf.interpreter.clone().unwrap_or_default()),
    ];
    html! {
        dt { (visit.text("samples.processor")) } dd { (brief(&elf.isa)) " (" (brief(&elf.machine_name)) ")" }
        dt { (visit.text("sample.form")) } dd { (line(&form)) ", " (brief(&elf.linkage)) }
        dt { (visit.text("sample.symbols")) }
        dd { @if elf.is_stripped { (visit.text("sample.stripped")) } @else { (grouped(elf.symbols)) } }
        dt { (visit.text("sample.entry")) } dd.mono { (format!("{:#x}", elf.entry)) }
        @for (word, text) in lists.iter().filter(|(_, text)| !text.is_empty()) {
            dt { (visit.texts.word("sample-elf", word).unwrap_or(word)) } dd.break { (line(text)) }
        }
        dt { (visit.text("sample.functions")) } dd { (grouped(elf.functions.found)) }
    }
}

fn regions(visit: &Visit, elf: &Elf) -> Markup {
    html! {
        @if !elf.regions.is_empty() {
            section.card {
                h2 { (visit.text("sample.regions")) }
                div.scroll tabindex="0" { table.rows.tight {
                    thead { tr {
                        th { (visit.text("field.name")) }
                        th { (visit.text("sample.access")) }
                        th.number { (visit.text("sample.offset")) }
                        th.number { (visit.text("samples.bytes")) }
                        th.number { (visit.text("sample.entropy")) }
                    } }
                    tbody {
                        @for region in elf.regions.iter().take(REGIONS_MAX) {
                            tr {
                                td.mono { (brief(&region.name)) }
                                td.mono { (brief(&region.access)) }
                                td.number { (format!("{:#x}", region.offset)) }
                                td.number { (grouped(region.bytes)) }
                                td.number { (format!("{}.{:02}", region.entropy_millibits / 1_000, region.entropy_millibits % 1_000 / 10)) }
                            }
                        }
                    }
                } }
                (and_more(visit, elf.regions.len().saturating_sub(REGIONS_MAX)))
            }
        }
    }
}

/// Rules of YARA that hold.
fn rules(visit: &Visit, file: &Sample) -> Markup {
    html! {
        @if !file.rules.is_empty() {
            section.card {
                h2 { (visit.text("sample.yara")) }
                ul.told {
                    @for hit in file.rules.iter().take(LISTED_MAX) {
                        li {
                            span.muted { (brief(&hit.namespace)) }
                            strong.break { (brief(&hit.rule)) }
                            @if let Some((_, text)) = hit.meta.iter().find(|(name, _)| name == "description") {
                                span.small.muted { (line(text)) }
                            }
                        }
                    }
                }
                (and_more(visit, file.rules.len().saturating_sub(LISTED_MAX)))
            }
        }
    }
}

/// What can be looked for elsewhere.
fn findings(visit: &Visit, file: &Sample) -> Markup {
    let of_kind = |kind: &str| -> Vec<&Finding> { file.findings.iter().filter(|found| found.kind == kind).collect() };
    let kinds: Vec<(&str, Vec<&Finding>)> =
        KINDS.into_iter().map(|kind| (kind, of_kind(kind))).filter(|(_, found)| !found.is_empty()).collect();
    html! {
        @if !kinds.is_empty() {
            section.card {
                h2 { (visit.text("sample.findings")) }
                table.rows.counts {
                    tbody {
                        @for (kind, found) in &kinds {
                            @for (number, one) in found.iter().take(FINDINGS_MAX).enumerate() {
                                tr {
                                    td.nowrap.muted { @if number == 0 { (visit.texts.word("sample-finding", kind).unwrap_or(kind)) } }
                                    td.value-cell { (finding(visit, one)) }
                                    td.nowrap.small.muted { @if one.source != "plain" { (brief(&one.source)) } }
                                }
                            }
                            @if found.len() > FINDINGS_MAX {
                                tr { td {} td.small.muted { (visit.filled("sample.more", &[("count", &grouped((found.len() - FINDINGS_MAX) as u64))])) } td {} }
                            }
                        }
                    }
                }
                @if file.findings_left_out > 0 {
                    p.small.muted { (visit.filled("sample.more", &[("count", &grouped(file.findings_left_out))])) }
                }
            }
        }
    }
}

/// A finding as it is passed on; addresses and names lead to the indicators with them.
fn finding(visit: &Visit, found: &Finding) -> Markup {
    // Nothing makes a link of a path.
    let is_path = matches!(found.kind.as_str(), "path" | "command" | "prompt" | "wallet");
    let text = if is_path { line(&found.value) } else { line(&defanged(&found.value)) };
    let is_searched = matches!(found.kind.as_str(), "ipv4" | "ipv6" | "socket-address" | "domain");
    html! {
        @if is_searched {
            a.mono href=(address("/indicators", &[("q", &brief(&found.value))])) { bdi { (text) } }
        } @else {
            bdi.mono data-copy title=(visit.text("value.copy")) { (text) }
        }
    }
}

fn decoded(visit: &Visit, file: &Sample) -> Markup {
    html! {
        @if !file.decoded.is_empty() {
            section.card {
                h2 { (visit.text("sample.decoded")) }
                ul.told {
                    @for piece in file.decoded.iter().take(LISTED_MAX) {
                        li {
                            span.muted { (brief(&piece.algorithm)) @if !piece.key.is_empty() { " " (brief(&piece.key)) } }
                            bdi.mono.break { (line(&piece.text)) }
                        }
                    }
                }
                (and_more(visit, file.decoded.len().saturating_sub(LISTED_MAX)))
            }
        }
    }
}

fn credentials(visit: &Visit, file: &Sample) -> Markup {
    html! {
        @if let Some(list) = &file.credentials {
            section.card {
                h2 { (visit.text("sample.words")) }
                p.break { @for word in list.words.iter().take(LISTED_MAX * 2) { code { (brief(word)) } " " } }
                (and_more(visit, list.words.len().saturating_sub(LISTED_MAX * 2)))
            }
        }
    }
}

fn strings(visit: &Visit, file: &Sample) -> Markup {
    html! {
        @if !file.strings.listed.is_empty() {
            section.card {
                h2 { (visit.text("sample.strings")) }
                details.filter {
                    summary { (visit.filled("sample.strings-shown", &[("count", &grouped(file.strings.plain))])) }
                    ul.told.mono {
                        @for (offset, text) in file.strings.listed.iter().take(LISTED_MAX * 4) {
                            li { span.muted { (format!("{offset:#x}")) } bdi.break { (line(text)) } }
                        }
                    }
                }
            }
        }
    }
}
