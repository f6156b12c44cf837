//! One file after the other, from its first byte to its verdict.

use crate::container::{Budget, Unpacking};
use crate::decode;
use crate::digest;
use crate::elf::{self, Parsed};
use crate::entropy;
use crate::findings::{CREDENTIAL_LETTERS_MIN, Findings, Words};
use crate::kind;
use crate::limits::{DEPTH_MAX, RULES_MAX, SAMPLE_BYTES_MAX, STRING_LETTERS_MIN};
use crate::packing;
use crate::problems::Problems;
use crate::report::{Container, REPORT_VERSION, Report, RuleHit, Sample};
use crate::strings::{Listing, Writing, each_plain, each_wide};
use crate::text::shown;
use crate::verdict::{self, Marks, Outside};

/// Asks the rules of YARA.
pub trait Rules {
    /// The rules that hold, or why nothing can be said.
    fn ask(&self, contents: &[u8]) -> Result<Vec<RuleHit>, String>;
}

/// No rules.
#[derive(Debug)]
pub struct NoRules;

impl Rules for NoRules {
    fn ask(&self, _contents: &[u8]) -> Result<Vec<RuleHit>, String> {
        Ok(Vec::new())
    }
}

/// Says what a file is. Equal bytes, rules and words from outside get equal reports.
pub fn triage(bytes: &[u8], rules: &dyn Rules, outside: &Outside) -> Report {
    let mut report =
        Report { version: REPORT_VERSION, samples: Vec::new(), members_left_out: 0, verdict: Default::default() };
    let mut budget = Budget::new();
    let file = Piece { bytes, parent: None, name: None, depth: 0 };
    analyse(&mut report, &mut budget, &file, rules, Some(outside));
    report.members_left_out = budget.left_out;
    report.verdict = verdict::of_all(&report.samples);
    report
}

/// A file, or a member.
struct Piece<'a> {
    bytes: &'a [u8],
    parent: Option<usize>,
    name: Option<String>,
    depth: u32,
}

fn analyse(report: &mut Report, budget: &mut Budget, piece: &Piece<'_>, rules: &dyn Rules, outside: Option<&Outside>) {
    let bytes = piece.bytes;
    let mut problems = Problems::default();
    if bytes.len() > SAMPLE_BYTES_MAX {
        problems.tell(format!("the file has more than {SAMPLE_BYTES_MAX} bytes: only its digests are made"));
    }
    let kind = kind::kind(bytes);
    let mut sample = Sample {
        parent: piece.parent,
        name: piece.name.clone(),
        bytes: bytes.len() as u64,
        digests: digest::digests(bytes),
        kind: kind.slug.into(),
        description: kind.description.into(),
        entropy_millibits: entropy::of(bytes),
        container: None,
        elf: None,
        packing: None,
        strings: Default::default(),
        findings: Vec::new(),
        findings_left_out: 0,
        credentials: None,
        decoded: Vec::new(),
        rules: Vec::new(),
        verdict: Default::default(),
        problems: Vec::new(),
    };
    if bytes.len() > SAMPLE_BYTES_MAX {
        sample.problems = problems.into_told();
        report.samples.push(sample);
        return;
    }
    match rules.ask(bytes) {
        Ok(hits) => sample.rules = hits.into_iter().take(RULES_MAX).collect(),
        Err(why) => problems.tell(format!("the rules of YARA were not asked: {}", shown(why.as_bytes()))),
    }
    let mut marks = Marks::default();
    if kind.format.is_none() {
        let parsed = elf::read(bytes, &mut problems);
        look_at_texts(&mut sample, bytes, parsed.as_ref(), &mut marks);
        if let Some(parsed) = parsed {
            sample.packing = Some(packing::packing(bytes, &parsed));
            sample.elf = Some(parsed.told);
        }
    }
    let number = report.samples.len();
    report.samples.push(sample);
    if let Some(format) = kind.format {
        let container = if piece.depth >= DEPTH_MAX {
            problems.tell(format!("containers are more than {DEPTH_MAX} deep: this one is not unpacked"));
            budget.left_out += 1;
            Container { members: 0, unpacked_bytes: 0 }
        } else {
            let mut take = |budget: &mut Budget, name: Option<&[u8]>, bytes: &[u8]| {
                let member = Piece { bytes, parent: Some(number), name: name.map(shown), depth: piece.depth + 1 };
                analyse(report, budget, &member, rules, None);
            };
            let mut unpacking = Unpacking { budget, problems: &mut problems, take: &mut take, members: 0, bytes: 0 };
            unpacking.run(format, bytes);
            Container { members: unpacking.members, unpacked_bytes: unpacking.bytes }
        };
        report.samples[number].container = Some(container);
    }
    let sample = &mut report.samples[number];
    sample.problems = problems.into_told();
    sample.verdict = verdict::of(sample, &marks, outside);
}

/// Strings, what is found in them, and what is encoded.
fn look_at_texts(sample: &mut Sample, bytes: &[u8], elf: Option<&Parsed<'_>>, marks: &mut Marks) {
    let mut listing = Listing::default();
    let mut findings = Findings::default();
    let mut words = Words::default();
    let data = data(bytes, elf);
    // Compilers put arrays of bytes at any place on m68k, and at multiples of four or more on all others of devices.
    let alignment = if elf.is_some_and(|elf| elf.told.isa == "m68k") { 1 } else { 4 };
    let mut decoder = decode::decode(bytes, &data, alignment);
    each_plain(bytes, CREDENTIAL_LETTERS_MIN, |offset, text| {
        words.look(text, offset);
        if text.len() >= STRING_LETTERS_MIN {
            listing.add(offset, Writing::Plain, text);
            findings.look(text, offset, Writing::Plain.name());
            decoder.armoured(text, offset);
            marks.look(text);
        }
    });
    each_wide(bytes, |offset, writing, letters| {
        listing.add(offset, writing, letters);
        findings.look(letters, offset, writing.name());
        marks.look(letters);
    });
    sample.credentials = words.list(bytes, Writing::Plain.name());
    let mut of_decoded = Words::default();
    let mut joined = Vec::new();
    for (number, (one, text)) in decoder.decoded.iter().zip(&decoder.texts).enumerate() {
        let offset = usize::try_from(one.offset).unwrap_or(usize::MAX);
        findings.look(text, offset, &format!("decoded:{number}"));
        marks.look_at_hidden(text);
        // Lists are looked for in the texts as if they stood beside each other.
        of_decoded.look(text, joined.len());
        joined.extend_from_slice(text);
        joined.push(0);
    }
    if sample.credentials.is_none() {
        sample.credentials = of_decoded.list(&joined, "decoded");
    }
    if elf.is_some() {
        decode::socket_addresses(&data, elf.is_some_and(|elf| elf.is_big), &mut findings);
    }
    sample.strings = listing.strings;
    sample.findings = findings.found;
    sample.findings_left_out = findings.left_out;
    sample.decoded = decoder.decoded;
}

/// The pieces of a program that hold data rather than code, and where they begin. Where sections say nothing, all of it.
fn data<'a>(bytes: &'a [u8], elf: Option<&Parsed<'a>>) -> Vec<(usize, &'a [u8])> {
    let Some(elf) = elf else { return Vec::new() };
    let piece = |offset: u64, length: u64| {
        let start = usize::try_from(offset).ok().filter(|start| *start < bytes.len())?;
        let end = start.saturating_add(usize::try_from(length).unwrap_or(usize::MAX)).min(bytes.len());
        Some((start, &bytes[start..end]))
    };
    let of_sections = elf
        .sections
        .iter()
        .filter(|section| {
            section.name.starts_with(b".rodata")
                || section.name.starts_with(b".data")
                || section.name.starts_with(b".sdata")
        })
        .filter_map(|section| piece(section.offset, section.bytes));
    let pieces: Vec<_> = of_sections.take(16).collect();
    if !pieces.is_empty() {
        return pieces;
    }
    let of_programs = elf.programs.iter().filter(|program| program.is_load());
    of_programs.filter_map(|program| piece(program.offset, program.file_bytes)).take(4).collect()
}
