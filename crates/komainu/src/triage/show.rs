//! A report for a person: the verdict first, then why, then what the file is and what is in it.

use std::io::{self, Write};

use komainu_triage::{Report, Sample, shown};

use crate::triage::line::Line;

/// Lines of one kind that are shown; the JSON has more.
const SHOWN_MAX: usize = 8;

/// Members whose details are shown.
const MEMBERS_SHOWN_MAX: usize = 16;

/// Kinds of findings in the order in which they matter.
const KINDS: [(&str, &str); 11] = [
    ("url", "URLs"),
    ("ipv4", "addresses"),
    ("ipv6", "addresses (IPv6)"),
    ("socket-address", "socket addresses"),
    ("domain", "names"),
    ("email", "e-mail"),
    ("wallet", "wallets"),
    ("user-agent", "user agents"),
    ("command", "commands"),
    ("prompt", "prompts"),
    ("path", "paths"),
];

/// Writes what came of one file.
pub(super) fn line(out: &mut impl Write, line: &Line) -> io::Result<()> {
    let name = shown(line.file().as_bytes());
    match line.report() {
        Some(json) => of_report(out, &name, &serde_json::from_str(json)?),
        None => writeln!(out, "FAILED        {name}\n  {}\n", shown(line.error().unwrap_or_default().as_bytes())),
    }
}

fn of_report(out: &mut impl Write, name: &str, report: &Report) -> io::Result<()> {
    let verdict = &report.verdict;
    let mut what = Vec::new();
    what.extend(verdict.family.as_ref().map(|family| format!("family {}", shown(family.as_bytes()))));
    match &*verdict.iot {
        "iot" => what.push(format!("for devices ({} %)", verdict.iot_confidence)),
        "not-iot" => what.push(format!("not for devices ({} %)", verdict.iot_confidence)),
        _ => {}
    }
    if !matches!(&*verdict.device_class, "unknown" | "device" | "") {
        what.push(shown(verdict.device_class.as_bytes()));
    }
    let what = if what.is_empty() { String::new() } else { format!("  [{}]", what.join(", ")) };
    writeln!(out, "{:<13} {name}{what}", shown(verdict.level.to_uppercase().as_bytes()))?;
    for (number, reason) in verdict.reasons.iter().take(SHOWN_MAX).enumerate() {
        writeln!(out, "  {} {}", if number == 0 { "why: " } else { "     " }, shown(reason.as_bytes()))?;
    }
    for (number, sample) in report.samples.iter().take(1 + MEMBERS_SHOWN_MAX).enumerate() {
        if number > 0 {
            let name = sample.name.as_deref().unwrap_or("(no name)");
            let parent = sample.parent.unwrap_or_default();
            writeln!(
                out,
                "  member {number} of {parent}: {} [{}]",
                shown(name.as_bytes()),
                shown(sample.verdict.level.as_bytes())
            )?;
        }
        of_sample(out, sample)?;
    }
    let more = report.samples.len().saturating_sub(1 + MEMBERS_SHOWN_MAX) as u64 + report.members_left_out;
    if more > 0 {
        writeln!(out, "  {more} more members ({} not looked at)", report.members_left_out)?;
    }
    writeln!(out)
}

fn of_sample(out: &mut impl Write, sample: &Sample) -> io::Result<()> {
    let mut entry = |title: &str, text: &str| writeln!(out, "    {title:<16} {}", shown_whole(text));
    let entropy = sample.entropy_millibits;
    let bytes = sample.bytes;
    entry(
        "is",
        &format!("{}, {bytes} bytes, entropy {}.{:02}", sample.description, entropy / 1000, entropy % 1000 / 10),
    )?;
    if let Some(container) = &sample.container {
        entry("holds", &format!("{} files, {} bytes unpacked", container.members, container.unpacked_bytes))?;
    }
    if let Some(elf) = &sample.elf {
        let mut words = vec![
            format!("{} ({}, {} bits, {}-endian)", elf.isa, elf.machine_name, elf.class_bits, elf.byte_order),
            elf.file_type_name.clone(),
            elf.linkage.clone(),
            if elf.is_stripped { "stripped".into() } else { format!("{} symbols", elf.symbols) },
        ];
        words.extend(elf.libc.clone());
        words.extend(elf.language.clone().map(|name| format!("in {name}")));
        words.extend(elf.language_version.clone());
        entry("program", &words.join(", "))?;
        for (title, words) in [("abi", &elf.abi), ("made with", &elf.toolchain), ("needs", &elf.needed)] {
            if !words.is_empty() {
                entry(title, &words.join(", "))?;
            }
        }
        if let Some(id) = &elf.build_id {
            entry("build id", id)?;
        }
        if let Some(hash) = &elf.telfhash {
            entry("telfhash", hash)?;
        }
        if elf.functions.found > 0 {
            entry("functions", &elf.functions.found.to_string())?;
        }
    }
    if let Some(packing) = sample.packing.as_ref().filter(|packing| packing.verdict != "none") {
        entry("packing", &format!("{}: {}", packing.verdict, packing.reasons.join("; ")))?;
    }
    entry("sha256", &sample.digests.sha256)?;
    if let Some(tlsh) = &sample.digests.tlsh {
        entry("tlsh", tlsh)?;
    }
    for hit in sample.rules.iter().take(SHOWN_MAX) {
        entry("rule", &format!("{}:{}", hit.namespace, hit.rule))?;
    }
    for (kind, title) in KINDS {
        let of_kind: Vec<_> = sample.findings.iter().filter(|finding| finding.kind == kind).collect();
        for (number, finding) in of_kind.iter().take(SHOWN_MAX).enumerate() {
            let source = if finding.source == "plain" { String::new() } else { format!(" ({})", finding.source) };
            entry(
                if number == 0 { title } else { "" },
                &format!("{}{source} at {:#x}", finding.value, finding.offset),
            )?;
        }
        if of_kind.len() > SHOWN_MAX {
            entry("", &format!("and {} more", of_kind.len() - SHOWN_MAX))?;
        }
    }
    for (number, one) in sample.decoded.iter().take(SHOWN_MAX).enumerate() {
        let key = if one.key.is_empty() { String::new() } else { format!(" key {}", one.key) };
        let title = if number == 0 { "decoded" } else { "" };
        entry(title, &format!("{}{key} at {:#x}: {}", one.algorithm, one.offset, one.text))?;
    }
    if sample.decoded.len() > SHOWN_MAX {
        entry("", &format!("and {} more", sample.decoded.len() - SHOWN_MAX))?;
    }
    if let Some(list) = &sample.credentials {
        let first: Vec<_> = list.words.iter().take(2 * SHOWN_MAX).map(String::as_str).collect();
        entry("credentials", &format!("{} words at {:#x}: {}", list.words.len(), list.offset, first.join(" ")))?;
    }
    for problem in sample.problems.iter().take(SHOWN_MAX) {
        entry("problem", problem)?;
    }
    Ok(())
}

/// A whole line of ours with texts of a sample in it. They are printable already; a worker that was taken over may say
/// otherwise.
fn shown_whole(text: &str) -> String {
    text.chars().map(|letter| if letter.is_control() { '\u{fffd}' } else { letter }).collect()
}
