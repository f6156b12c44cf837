//! How alerts and verdicts are written down.

use std::collections::BTreeMap;

use komainu_decode::Side;
use komainu_intel::{About, Evidence, Verdict};
use serde::Serialize;

/// `alert` of Suricata's schema.
#[derive(Debug, Serialize)]
pub(super) struct AlertLine<'a> {
    /// Nothing is ever held up.
    action: &'static str,
    gid: u32,
    signature_id: u32,
    rev: u32,
    signature: &'a str,
    category: &'a str,
    severity: u8,
    /// Each key with all its values.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    metadata: BTreeMap<&'a str, Vec<&'a str>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    references: Vec<String>,
}

impl<'a> AlertLine<'a> {
    pub(super) fn new(rule: &'a About) -> Self {
        let mut metadata: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for (key, value) in &rule.metadata {
            metadata.entry(key).or_default().push(value);
        }
        Self {
            action: "allowed",
            gid: rule.gid,
            signature_id: rule.sid,
            rev: rule.rev,
            signature: &rule.message,
            category: &rule.category,
            severity: rule.severity,
            metadata,
            references: rule.references.iter().filter_map(|(scheme, id)| reference(scheme, id)).collect(),
        }
    }
}

/// A reference as an address, by the prefixes of Suricata's `reference.config`.
fn reference(scheme: &str, id: &str) -> Option<String> {
    let prefix = match scheme {
        "url" => "http://",
        "cve" => "https://cve.mitre.org/cgi-bin/cvename.cgi?name=",
        _ => return None,
    };
    Some(format!("{prefix}{id}"))
}

/// What a session was, in its summary.
#[derive(Debug, Serialize)]
pub(super) struct VerdictLine<'a> {
    label: &'static str,
    confidence: u8,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    cves: &'a [String],
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    attack_techniques: &'a [String],
    #[serde(skip_serializing_if = "Vec::is_empty")]
    evidence: Vec<EvidenceLine<'a>>,
    #[serde(skip_serializing_if = "GeoLine::is_empty")]
    geo: GeoLine<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    scanner: Option<ScannerLine<'a>>,
}

#[derive(Debug, Serialize)]
struct EvidenceLine<'a> {
    rule: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    side: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    offset: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    bytes: Option<u64>,
}

#[derive(Debug, Serialize)]
struct GeoLine<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    country: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    asn: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    as_org: Option<&'a str>,
}

#[derive(Debug, Serialize)]
struct ScannerLine<'a> {
    name: &'a str,
    benign: bool,
}

impl<'a> VerdictLine<'a> {
    pub(super) fn new(verdict: &'a Verdict) -> Self {
        Self {
            label: verdict.label.name(),
            confidence: verdict.confidence,
            cves: &verdict.cves,
            attack_techniques: &verdict.techniques,
            evidence: verdict.evidence.iter().map(EvidenceLine::new).collect(),
            geo: GeoLine {
                country: verdict.origin.country,
                asn: verdict.origin.asn,
                as_org: verdict.origin.organisation.as_deref(),
            },
            scanner: verdict
                .scanner
                .as_ref()
                .map(|scanner| ScannerLine { name: &scanner.name, benign: scanner.is_benign }),
        }
    }
}

impl<'a> EvidenceLine<'a> {
    fn new(evidence: &'a Evidence) -> Self {
        let place = evidence.place.as_ref();
        Self {
            rule: &evidence.rule,
            side: place.map(|place| match place.side {
                Side::Client => "client",
                Side::Server => "server",
            }),
            offset: place.map(|place| place.offset),
            bytes: place.map(|place| place.bytes),
        }
    }
}

impl GeoLine<'_> {
    fn is_empty(&self) -> bool {
        self.country.is_none() && self.asn.is_none() && self.as_org.is_none()
    }
}
