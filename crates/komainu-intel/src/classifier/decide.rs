//! The table: which label follows from what was seen.

use std::collections::BTreeSet;
use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};

use komainu_decode::{Place, Protocol, Side};

use crate::payload::PayloadRule;
use crate::rules::{About, Ends};
use crate::scanners::{self, Scanner};
use crate::sources::Record;
use crate::verdict::{Evidence, Label};

/// Pieces of evidence of one session.
const EVIDENCE_MAX: usize = 16;
/// Different users, and different secrets, of one session that are told apart.
const GUESSES_MAX: usize = 32;
/// Failed logins of a source within ten minutes from which on it is guessing, not mistyping.
const GUESSING_FROM: u32 = 3;
/// So many more are a machine.
const GUESSING_SURELY_FROM: u32 = 10;
/// Ports of one source within ten minutes from which on it looks for what is there.
const SCANNING_FROM: usize = 5;
/// CVE ids, and techniques, of one session.
const IDS_MAX: usize = 32;

/// What a session showed.
#[derive(Debug, Default)]
pub(super) struct Seen {
    said: [u64; 2],
    pub(super) accepted: u32,
    pub(super) failed: u32,
    users: Vec<u64>,
    secrets: Vec<u64>,
    pub(super) commands: u32,
    pub(super) fetched: u32,
    pub(super) programs: u32,
    pub(super) ran: u32,
    pub(super) uploads: u32,
    pub(super) proxied: u32,
    reflections: u32,
    /// Something that is more than a look at what is there.
    pub(super) is_unusual: bool,
    pub(super) claimed_scanner: Option<Scanner>,
    notes: Vec<&'static str>,
    /// The first of each kind.
    evidence: Vec<(&'static str, Option<Place>)>,
}

/// A rule that holds, whatever it is about.
#[derive(Debug)]
pub(super) struct Held<'a> {
    label: Option<Label>,
    confidence: Option<u8>,
    cves: &'a [String],
    techniques: &'a [String],
    evidence: Evidence,
}

impl<'a> Held<'a> {
    /// A rule about what was said.
    pub(super) fn of_flow(rule: &'a About, place: Place) -> Self {
        let name = if rule.gid == 1 { rule.sid.to_string() } else { format!("{}:{}", rule.gid, rule.sid) };
        Self {
            label: rule.label,
            confidence: rule.confidence,
            cves: &rule.cves,
            techniques: &rule.techniques,
            evidence: Evidence { rule: name, place: Some(place) },
        }
    }

    /// A rule about what was brought. Where that stands in the flow is not known: it may have come in any encoding.
    pub(super) fn of_payload(rule: &'a PayloadRule) -> Self {
        Self {
            label: rule.label,
            confidence: rule.confidence,
            cves: &rule.cves,
            techniques: &rule.techniques,
            evidence: Evidence { rule: rule.name.clone(), place: None },
        }
    }
}

/// What follows.
#[derive(Debug)]
pub(super) struct Decision {
    pub(super) label: Label,
    pub(super) confidence: u8,
    pub(super) cves: Vec<String>,
    pub(super) techniques: Vec<String>,
    pub(super) evidence: Vec<Evidence>,
}

impl Seen {
    pub(super) fn said(&mut self, side: Side, bytes: usize) {
        let side = match side {
            Side::Client => 0,
            Side::Server => 1,
        };
        self.said[side] = self.said[side].saturating_add(bytes as u64);
    }

    /// Remembers where something of a kind was seen first.
    pub(super) fn note(&mut self, what: &'static str, place: Option<Place>) {
        if self.evidence.len() < EVIDENCE_MAX && !self.evidence.iter().any(|(known, _)| *known == what) {
            self.evidence.push((what, place));
        }
    }

    pub(super) fn noted(&mut self, what: &'static str) {
        if !self.notes.contains(&what) {
            self.notes.push(what);
        }
    }

    pub(super) fn reflection(&mut self, place: Place) {
        self.reflections = self.reflections.saturating_add(1);
        self.note("search_by_datagram", Some(place));
    }

    /// Counts different users and secrets, which are not kept.
    pub(super) fn guess(&mut self, user: &[u8], secret: &[u8]) {
        let hasher = BuildHasherDefault::<DefaultHasher>::default();
        for (known, new) in [(&mut self.users, user), (&mut self.secrets, secret)] {
            let hash = hasher.hash_one(new);
            if known.len() < GUESSES_MAX && !known.contains(&hash) {
                known.push(hash);
            }
        }
    }

    fn client_said(&self) -> u64 {
        self.said[0]
    }
}

/// The label of a session, by the first line of the table that fits.
pub(super) fn decide(
    seen: &Seen,
    ends: &Ends,
    record: Record,
    scanner: Option<&Scanner>,
    held: &[Held<'_>],
) -> Decision {
    let (label, confidence) = label(seen, ends, record, scanner, held);
    let mut cves = Vec::new();
    for cve in held.iter().flat_map(|rule| rule.cves) {
        if cves.len() < IDS_MAX && !cves.contains(cve) {
            cves.push(cve.clone());
        }
    }
    Decision {
        label,
        confidence,
        cves,
        techniques: techniques(seen, ends, label, held),
        evidence: evidence(seen, label, held),
    }
}

fn label(seen: &Seen, ends: &Ends, record: Record, scanner: Option<&Scanner>, held: &[Held<'_>]) -> (Label, u8) {
    // How sure the surest rule is that says so.
    let by_rules = |label: Label, otherwise: u8| {
        let rules = held.iter().filter(|rule| rule.label == Some(label));
        rules.map(|rule| rule.confidence.unwrap_or(otherwise)).max()
    };
    if let Some(confidence) = by_rules(Label::Exploit, 80) {
        return (Label::Exploit, confidence);
    }
    let brought = seen.programs + seen.uploads + seen.fetched;
    let by_facts = match seen {
        _ if seen.ran > 0 && brought > 0 => Some(95),
        Seen { programs: 1.., .. } => Some(90),
        Seen { fetched: 1.., .. } => Some(80),
        Seen { uploads: 1.., .. } => Some(60),
        _ => None,
    };
    if let Some(confidence) = by_facts.max(by_rules(Label::Dropper, 70)) {
        return (Label::Dropper, confidence);
    }
    let proxied = (seen.proxied > 0).then_some(90);
    if let Some(confidence) = proxied.max(by_rules(Label::ProxyAbuse, 70)) {
        return (Label::ProxyAbuse, confidence);
    }
    if seen.accepted > 0 {
        return (Label::Login, if seen.commands > 0 { 95 } else { 85 });
    }
    let is_snmp = ends.protocol == Some(Protocol::Snmp);
    let guesses = seen.failed.max(if seen.failed > 0 { record.failed } else { 0 });
    let by_facts = match guesses {
        GUESSING_SURELY_FROM.. => Some(95),
        GUESSING_FROM.. => Some(80),
        // One community is how one asks an agent at all.
        1.. if !is_snmp => Some(40),
        _ => None,
    };
    if let Some(confidence) = by_facts.max(by_rules(Label::Bruteforce, 60)) {
        return (Label::Bruteforce, confidence);
    }
    let is_listed = scanner.is_some_and(|scanner| scanner.is_benign);
    let is_claimed = scanner.is_some_and(scanners::is_somebody) && !seen.is_unusual;
    let did_nothing = seen.commands == 0 && by_rules(Label::ReflectionProbe, 70).is_none();
    if did_nothing && is_listed && !seen.is_unusual {
        return (Label::Crawler, 95);
    }
    let by_facts = match seen.reflections {
        0 => None,
        1 => Some(50),
        _ => Some(75),
    };
    if let Some(confidence) = by_facts.max(by_rules(Label::ReflectionProbe, 70)) {
        return (Label::ReflectionProbe, confidence);
    }
    if did_nothing && is_claimed {
        return (Label::Crawler, 60);
    }
    let looks_around = record.ports >= SCANNING_FROM;
    let is_plain = !seen.is_unusual && seen.commands == 0 && ends.protocol.is_some();
    let by_facts = match seen.client_said() {
        0 => Some(90),
        _ if is_plain => Some(if looks_around { 85 } else { 70 }),
        _ if looks_around => Some(60),
        _ => None,
    };
    match by_facts.max(by_rules(Label::Scan, 60)) {
        Some(confidence) => (Label::Scan, confidence),
        None => (Label::Unknown, 0),
    }
}

fn techniques(seen: &Seen, ends: &Ends, label: Label, held: &[Held<'_>]) -> Vec<String> {
    let mut ids: BTreeSet<&str> = BTreeSet::new();
    for rule in held {
        ids.extend(rule.techniques.iter().map(String::as_str));
    }
    if seen.failed > 0 && label == Label::Bruteforce || seen.failed >= GUESSING_FROM {
        // One password for many users, or many passwords.
        let is_spraying = seen.users.len() >= 3 && seen.secrets.len() == 1;
        ids.insert(if is_spraying { "T1110.003" } else { "T1110.001" });
    }
    if seen.accepted > 0 {
        ids.insert("T1078.001");
        match ends.protocol {
            Some(Protocol::Ssh) => drop(ids.insert("T1021.004")),
            Some(Protocol::Smb) => drop(ids.insert("T1021.002")),
            _ => {}
        }
    }
    if seen.commands > 0 {
        ids.insert("T1059.004");
    }
    if seen.fetched + seen.uploads + seen.programs > 0 {
        ids.insert("T1105");
    }
    ids.extend(seen.notes.iter().filter_map(|note| technique_of(note)));
    match label {
        Label::Exploit => drop(ids.insert("T1190")),
        Label::ProxyAbuse => drop(ids.insert("T1090")),
        Label::ReflectionProbe => drop(ids.insert("T1498.002")),
        Label::Scan if seen.client_said() == 0 => drop(ids.insert("T1595.001")),
        Label::Scan | Label::Crawler => drop(ids.insert("T1595.002")),
        Label::Bruteforce | Label::Login | Label::Dropper | Label::Unknown => {}
    }
    ids.into_iter().take(IDS_MAX).map(str::to_owned).collect()
}

/// The technique that a note of a shell shows (ATT&CK for Enterprise).
fn technique_of(note: &str) -> Option<&'static str> {
    Some(match note {
        "killed_process" => "T1489",
        "removed_log" => "T1070.002",
        "cleared_history" => "T1070.003",
        "changed_firewall" => "T1562.004",
        "scheduled" => "T1053.003",
        "starts_at_boot" => "T1037.004",
        "added_key" => "T1098.004",
        "changed_password" => "T1531",
        "rebooted" => "T1529",
        "wrote_device" => "T1561",
        "changed_modules" => "T1547.006",
        _ => return None,
    })
}

/// The rules that say what the label says come first, then what was seen, then other rules.
fn evidence(seen: &Seen, label: Label, held: &[Held<'_>]) -> Vec<Evidence> {
    let (fitting, others): (Vec<_>, Vec<_>) = held.iter().partition(|rule| rule.label == Some(label));
    let of_rules = |rules: Vec<&Held<'_>>| rules.into_iter().map(|rule| rule.evidence.clone()).collect::<Vec<_>>();
    let facts = seen.evidence.iter().map(|(what, place)| Evidence { rule: (*what).to_owned(), place: *place });
    of_rules(fitting).into_iter().chain(facts).chain(of_rules(others)).take(EVIDENCE_MAX).collect()
}
