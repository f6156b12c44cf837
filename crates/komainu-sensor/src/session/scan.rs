//! What rules say of a flow's payloads: asked as these come, and waited for when the flow ends.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use komainu_intel::PayloadRule;
use komainu_ports::PayloadMatch;
use parking_lot::Mutex;
use serde::Serialize;

use super::{Afterword, Ending, Keeper};
use crate::artifact::Sha256Digest;
use crate::eve::Log;
use crate::scan::{NotScanned, Order, Outcome};

/// The payloads of one flow.
#[derive(Debug, Default)]
pub(super) struct Scanned {
    /// Those that were scanned or wait: one that comes again is not told again.
    digests: Vec<Sha256Digest>,
    /// How many were too many.
    pub(super) left_out: u64,
    findings: Arc<Findings>,
}

/// What came of the payloads of one flow that were scanned elsewhere.
#[derive(Debug, Default)]
pub(crate) struct Findings(Mutex<FindingsState>);

#[derive(Debug, Default)]
struct FindingsState {
    waiting: usize,
    found: Vec<Arc<[PayloadMatch]>>,
    /// The flow, when it ended before the last of its payloads was scanned.
    ended: Option<Box<Ended>>,
}

#[derive(Debug)]
struct Ended {
    keeper: Keeper,
    at: i64,
    ending: Ending,
}

/// A line `yara` of `honeypot.json`.
#[derive(Debug, Serialize)]
struct YaraLine<'a> {
    session_id: &'a str,
    sha256: Sha256Digest,
    bytes: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    why_not: Option<&'static str>,
    #[serde(flatten)]
    rule: Option<RuleLine<'a>>,
}

/// The rule that holds.
#[derive(Debug, Serialize)]
struct RuleLine<'a> {
    namespace: &'a str,
    rule: &'a str,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    tags: &'a [String],
    /// Each name with all its values.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    meta: BTreeMap<&'a str, Vec<&'a str>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    places: Vec<PlaceLine<'a>>,
}

#[derive(Debug, Serialize)]
struct PlaceLine<'a> {
    pattern: &'a str,
    offset: u64,
    bytes: u64,
}

impl<'a> RuleLine<'a> {
    fn new(found: &'a PayloadMatch) -> Self {
        let mut meta: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for (name, value) in &found.meta {
            meta.entry(name).or_default().push(value);
        }
        let places = found.places.iter();
        Self {
            namespace: &found.namespace,
            rule: &found.rule,
            tags: &found.tags,
            meta,
            places: places
                .map(|place| PlaceLine { pattern: &place.pattern, offset: place.offset, bytes: place.bytes })
                .collect(),
        }
    }
}

/// Writes what came of a payload: a line for each rule that holds, or one that says why nothing is known.
fn write_outcome(
    session_id: &str,
    sha256: Sha256Digest,
    bytes: u64,
    outcome: &Outcome,
    mut write: impl FnMut(&YaraLine<'_>),
) {
    let line = YaraLine { session_id, sha256, bytes, why_not: None, rule: None };
    match outcome {
        Ok(found) => {
            for one in &**found {
                write(&YaraLine { rule: Some(RuleLine::new(one)), ..line });
            }
        }
        Err(why) => write(&YaraLine { why_not: Some(why.name()), ..line }),
    }
}

impl Keeper {
    /// Has a payload of the flow scanned, if anybody scans.
    pub(super) fn scan(&mut self, at: i64, sha256: Sha256Digest, contents: &[u8]) {
        let Some(scans) = self.recorder.parts.scans.clone() else { return };
        let Some(findings) = self.begin_scan(sha256) else { return };
        if let Some(outcome) = scans.outcome(sha256, contents) {
            return self.scanned(at, sha256, contents.len() as u64, &outcome);
        }
        let order = Order {
            afterword: Afterword::of(self),
            findings: Some(findings.clone()),
            sha256,
            contents: contents.into(),
            since: Instant::now(),
        };
        findings.wait_for_one();
        if let Err(why) = scans.offer(order) {
            findings.arrived(None);
            self.scanned(at, sha256, contents.len() as u64, &Err(why));
        }
    }

    /// Says that a payload cannot be scanned because its contents were not kept.
    pub(super) fn not_scanned(&mut self, at: i64, sha256: Sha256Digest, bytes: u64) {
        if self.recorder.parts.scans.is_some() && self.begin_scan(sha256).is_some() {
            self.scanned(at, sha256, bytes, &Err(NotScanned::NotKept));
        }
    }

    /// Where findings about a payload go; none when it is known or one too many.
    fn begin_scan(&mut self, sha256: Sha256Digest) -> Option<Arc<Findings>> {
        let most = self.recorder.parts.limits.artifacts_per_flow_max as usize;
        let scanned = self.scanned.get_or_insert_default();
        if scanned.digests.contains(&sha256) {
            return None;
        }
        if scanned.digests.len() >= most {
            scanned.left_out += 1;
            return None;
        }
        scanned.digests.push(sha256);
        Some(scanned.findings.clone())
    }

    fn scanned(&mut self, at: i64, sha256: Sha256Digest, bytes: u64, outcome: &Outcome) {
        let session_id = self.session_id.clone();
        write_outcome(&session_id, sha256, bytes, outcome, |line| self.write(at, Log::Honeypot, "yara", line));
        if let Ok(found) = outcome {
            self.note_rules(found);
        }
    }

    fn note_rules(&mut self, found: &[PayloadMatch]) {
        let Some(watch) = &mut self.watch else { return };
        for one in found {
            watch.payload_rule(PayloadRule::of_yara(&one.namespace, &one.rule, &one.meta));
        }
    }

    /// Ends the flow when nothing of it is to be scanned any more; until then whoever scans has it.
    pub(super) fn close_when_scanned(self, at: i64, ending: Ending) {
        match self.scanned.as_ref().map(|scanned| scanned.findings.clone()) {
            Some(findings) => findings.end(Ended { keeper: self, at, ending }),
            None => self.close(at, ending),
        }
    }
}

impl Findings {
    fn wait_for_one(&self) {
        self.0.lock().waiting += 1;
    }

    /// Takes what was found in a payload; if it was the last one of a flow that has ended, the flow is summed up.
    pub(crate) fn arrived(&self, found: Option<Arc<[PayloadMatch]>>) {
        let ended = {
            let mut state = self.0.lock();
            state.waiting -= 1;
            state.found.extend(found.filter(|found| !found.is_empty()));
            if state.waiting > 0 { None } else { state.ended.take() }
        };
        if let Some(ended) = ended {
            self.close(*ended);
        }
    }

    fn end(&self, ended: Ended) {
        let mut state = self.0.lock();
        if state.waiting > 0 {
            state.ended = Some(Box::new(ended));
            return;
        }
        drop(state);
        self.close(ended);
    }

    fn close(&self, ended: Ended) {
        let Ended { mut keeper, at, ending } = ended;
        let found = std::mem::take(&mut self.0.lock().found);
        for found in found {
            keeper.note_rules(&found);
        }
        keeper.close(at, ending);
    }
}

impl Afterword {
    /// Has a file scanned that came after whatever the flow's summary says.
    pub(super) fn scan(&self, at: i64, sha256: Sha256Digest, contents: &[u8]) {
        let Some(scans) = &self.recorder.parts.scans else { return };
        let outcome = match scans.outcome(sha256, contents) {
            Some(outcome) => outcome,
            None => {
                let (afterword, contents, since) = (self.clone(), contents.into(), Instant::now());
                match scans.offer(Order { afterword, findings: None, sha256, contents, since }) {
                    Ok(()) => return,
                    Err(why) => Err(why),
                }
            }
        };
        self.scanned(at, sha256, contents.len() as u64, &outcome);
    }

    /// Writes what came of a payload.
    pub(crate) fn scanned(&self, at: i64, sha256: Sha256Digest, bytes: u64, outcome: &Outcome) {
        write_outcome(self.session_id(), sha256, bytes, outcome, |line| self.note(at, "yara", line));
    }
}
