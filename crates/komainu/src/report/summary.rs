//! A report in some lines, out of the published document.

use std::fmt::Write as _;

use anyhow::Context;
use serde::Deserialize;

use crate::report::LanguageName;

/// A report, as far as the lines need it.
#[derive(Deserialize)]
struct Document {
    verdict: Verdict,
    sample: Sample,
    runs: Vec<Run>,
    endpoints: Vec<Endpoint>,
    behaviours: Vec<Behaviour>,
    cut: Vec<String>,
}

#[derive(Deserialize)]
struct Phrase {
    en: String,
    ja: String,
}

#[derive(Deserialize)]
struct Verdict {
    title: Phrase,
    score: u8,
    sentence: Phrase,
}

#[derive(Deserialize)]
struct Sample {
    sha256: String,
}

#[derive(Deserialize)]
struct Run {
    number: u16,
    isa: String,
    run_as: String,
    ran_for_ms: u64,
    end: String,
}

#[derive(Deserialize)]
struct Endpoint {
    address: String,
    port: u16,
    protocol: String,
    names: Vec<String>,
    role: String,
    confidence: u8,
    beacon_ms: Option<u64>,
}

#[derive(Deserialize)]
struct Behaviour {
    title: Phrase,
    level: String,
    attack: Vec<String>,
    count: u64,
}

/// The lines of a report that is JSON (docs/reports.md).
pub(crate) fn of(json: &str, language: LanguageName) -> anyhow::Result<String> {
    let report: Document = serde_json::from_str(json).context("this is no report")?;
    let say = |phrase: &Phrase| match language {
        LanguageName::En => phrase.en.clone(),
        LanguageName::Ja => phrase.ja.clone(),
    };
    let mut text = String::new();
    // Writing to a string cannot fail.
    let Verdict { title, score, sentence } = &report.verdict;
    let _ = writeln!(text, "{} ({score}): {}", say(title), say(sentence));
    let _ = writeln!(text, "  {}", report.sample.sha256);
    for Run { number, isa, run_as, ran_for_ms, end } in &report.runs {
        let _ = writeln!(text, "  run {number}: {isa} as {run_as}, {ran_for_ms} ms, {end}");
    }
    for endpoint in report.endpoints.iter().filter(|endpoint| endpoint.role != "ordinary") {
        let Endpoint { address, port, protocol, names, role, confidence, beacon_ms } = endpoint;
        let host = names.first().unwrap_or(address);
        let every = beacon_ms.map(|every| format!(", every {:.1} s", every as f64 / 1000.0)).unwrap_or_default();
        let _ = writeln!(text, "  {role:8} {host}:{port}/{protocol} ({confidence} %{every})");
    }
    for Behaviour { title, level, attack, count } in &report.behaviours {
        let _ = writeln!(text, "  {level:13} {} {} ×{count}", say(title), attack.join(" "));
    }
    for cut in &report.cut {
        let _ = writeln!(text, "  note          {cut}");
    }
    Ok(text)
}
