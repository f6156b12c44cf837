//! Rules in a subset of the language of Suricata: which flows they are for, and what was said in them.
//!
//! `docs/rules.md` says which keywords are known and what each means here. A rule that is not wholly understood is not
//! taken, and is listed with the reason: half a rule would say something that its author did not.

mod buffer;
mod classtype;
mod header;
mod http;
mod inspect;
mod parse;
mod run;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use aho_corasick::{AhoCorasick, MatchKind, nfa::contiguous};
use komainu_decode::Side;

pub(crate) use self::buffer::Buffer;
use self::buffer::{UNITS, Unit};
pub(crate) use self::header::Ends;
use self::header::Header;
pub(crate) use self::http::{request_buffers, response_buffers};
use self::inspect::Test;
use self::parse::BitsVerb;
pub(crate) use self::run::{Found, Run};
use crate::verdict::Label;

/// Rules that are taken. The largest published sets have about half of it.
pub const RULES_MAX: usize = 100_000;
/// One rule, in bytes, lines that continue it included.
pub const RULE_BYTES_MAX: usize = 64 * 1024;
/// Refusals that are listed; more are counted by the last one.
const UNSUPPORTED_MAX: usize = RULES_MAX;
/// Entries of `reference` and of `metadata` of one rule.
const ENTRIES_MAX: usize = 64;
/// Bytes of a content by which rules are sorted out at first. More would only make the automaton larger.
const PREFILTER_BYTES_MAX: usize = 32;

/// What a rule is: everything but what it looks for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct About {
    /// Whose numbers `sid` is from; 1 where the rule does not say.
    pub gid: u32,
    /// Its number.
    pub sid: u32,
    /// Its revision.
    pub rev: u32,
    /// `msg`.
    pub message: String,
    /// Its class, such as `attempted-admin`; empty where the rule has none.
    pub classtype: String,
    /// What the class is called.
    pub category: String,
    /// How bad it is: 1 is worst.
    pub severity: u8,
    /// `metadata`: keys and values, in their order.
    pub metadata: Vec<(String, String)>,
    /// `reference`: schemes and ids, in their order.
    pub references: Vec<(String, String)>,
    /// What it says about the label of the session.
    pub label: Option<Label>,
    /// CVE ids, such as `CVE-2017-17215`.
    pub cves: Vec<String>,
    /// ids of ATT&CK techniques.
    pub techniques: Vec<String>,
    /// How sure it is of the label, from 0 to 100, where the rule says so.
    pub confidence: Option<u8>,
}

/// A rule that is not taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unsupported {
    /// The line where it begins, from 1.
    pub line: usize,
    /// Its number, where that could be read.
    pub sid: Option<u32>,
    /// Why.
    pub reason: String,
}

/// Rules that were read.
#[derive(Debug, Clone, Default)]
pub struct RuleList {
    rules: Vec<Rule>,
    known: HashSet<(u32, u32)>,
    bits: HashMap<String, u32>,
}

/// Rules that can be asked.
#[derive(Debug)]
pub struct RuleSet {
    rules: Vec<Rule>,
    /// What each side says as it was sent.
    raw: [RawFilter; 2],
    filters: BTreeMap<Buffer, Filter>,
    /// Rules of a unit that have no content to be sorted out by.
    always: [Vec<u32>; UNITS],
    /// The buffers that rules ask for.
    used: u64,
}

/// A rule.
#[derive(Debug, Clone)]
pub(crate) struct Rule {
    pub(crate) about: Arc<About>,
    header: Header,
    /// Whose words it is about; none is either's.
    side: Option<Side>,
    unit: Unit,
    /// Whether it asks for the body of a request, which comes after the rest.
    needs_body: bool,
    groups: Vec<Group>,
    bits: Bits,
    limit: Option<Limit>,
    is_silent: bool,
}

/// The tests of one buffer.
#[derive(Debug, Clone)]
struct Group {
    buffer: Buffer,
    tests: Vec<Test>,
}

/// What a rule asks of the bits of its session, and does to them.
#[derive(Debug, Clone, Default)]
struct Bits {
    /// One of each list is set.
    set: Vec<Vec<u32>>,
    /// One of each list is not set.
    not_set: Vec<Vec<u32>>,
    then: Vec<(BitsVerb, u32)>,
}

/// How often a rule may be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Limit {
    kind: LimitKind,
    count: u32,
    seconds: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum LimitKind {
    /// At most so often.
    Limit,
    /// Each time it was so often.
    Threshold,
    /// Once when it was so often.
    Both,
    /// From then on (`detection_filter`).
    Above,
}

/// Sorts out rules by a content of theirs, in a buffer.
#[derive(Debug)]
struct Filter {
    automaton: AhoCorasick,
    /// The rules of each pattern.
    rules: Vec<Vec<u32>>,
}

/// The same in a stream, which comes in pieces.
#[derive(Debug, Default)]
struct RawFilter {
    automaton: Option<contiguous::NFA>,
    rules: Vec<Vec<u32>>,
    always: Vec<u32>,
    /// Whether any rule asks for what this side says as it was sent.
    is_used: bool,
}

impl About {
    fn reference(&mut self, value: &str) {
        let (scheme, id) = value.split_once(',').unwrap_or(("", value));
        if self.references.len() < ENTRIES_MAX {
            self.references.push((scheme.trim().to_ascii_lowercase(), id.trim().to_owned()));
        }
    }

    fn metadata(&mut self, value: &str) {
        for entry in value.split(',').map(str::trim).filter(|entry| !entry.is_empty()) {
            let (key, value) = entry.split_once(' ').unwrap_or((entry, ""));
            if self.metadata.len() < ENTRIES_MAX {
                self.metadata.push((key.to_owned(), value.trim().to_owned()));
            }
        }
    }

    /// Takes out of references and metadata what classification asks for.
    fn finish(&mut self) {
        let mut cves: Vec<String> = Vec::new();
        let of_references = self.references.iter().filter(|(scheme, _)| scheme == "cve").map(|(_, id)| id);
        let of_metadata = self.metadata.iter().filter(|(key, _)| key == "cve").map(|(_, id)| id);
        for id in of_references.chain(of_metadata) {
            let id = id.to_ascii_uppercase().replace('_', "-");
            let id = if id.starts_with("CVE-") { id } else { format!("CVE-{id}") };
            if is_cve(&id) && !cves.contains(&id) {
                cves.push(id);
            }
        }
        self.cves = cves;
        let value = |name: &str| self.metadata.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str());
        self.confidence =
            value("komainu_confidence").and_then(|value| value.parse().ok()).filter(|value| *value <= 100);
        self.label = match value("komainu_label") {
            Some(name) => Label::parse(name),
            None => self.label_of_class(),
        };
        let techniques = self.metadata.iter().filter(|(key, value)| key == "mitre_technique_id" && is_technique(value));
        self.techniques = techniques.map(|(_, value)| value.clone()).collect();
    }

    /// What a rule that was not written for us says about a session.
    fn label_of_class(&self) -> Option<Label> {
        if !self.cves.is_empty() {
            return Some(Label::Exploit);
        }
        match self.classtype.as_str() {
            "attempted-admin"
            | "attempted-user"
            | "successful-admin"
            | "successful-user"
            | "web-application-attack"
            | "shellcode-detect"
            | "exploit-kit" => Some(Label::Exploit),
            "trojan-activity" | "coin-mining" | "command-and-control" => Some(Label::Dropper),
            "default-login-attempt" | "suspicious-login" => Some(Label::Bruteforce),
            "attempted-recon" | "network-scan" | "web-application-activity" => Some(Label::Scan),
            _ => None,
        }
    }
}

pub(crate) fn is_cve(id: &str) -> bool {
    let digits = |text: &str| !text.is_empty() && text.len() <= 10 && text.bytes().all(|byte| byte.is_ascii_digit());
    id.strip_prefix("CVE-")
        .and_then(|rest| rest.split_once('-'))
        .is_some_and(|(year, number)| year.len() == 4 && digits(year) && number.len() >= 4 && digits(number))
}

pub(crate) fn is_technique(id: &str) -> bool {
    id.len() <= 9 && id.starts_with('T') && id[1..].bytes().all(|byte| byte.is_ascii_digit() || byte == b'.')
}

impl RuleList {
    /// Reads rules, one a line; a `\` at its end continues a line. Gives back those that are not taken.
    pub fn add(&mut self, text: &str) -> Vec<Unsupported> {
        let mut unsupported = Vec::new();
        let mut left_out = 0usize;
        let mut refuse = |line, sid, reason: String| {
            if unsupported.len() < UNSUPPORTED_MAX {
                unsupported.push(Unsupported { line, sid, reason });
            } else {
                left_out += 1;
            }
        };
        let mut lines = text.lines().enumerate();
        while let Some((index, first)) = lines.next() {
            let number = index + 1;
            let mut rule = first.trim().to_owned();
            if rule.is_empty() || rule.starts_with('#') {
                continue;
            }
            let mut is_continued = rule.ends_with('\\');
            while is_continued {
                if rule.ends_with('\\') {
                    rule.pop();
                }
                let Some((_, next)) = lines.next() else { break };
                let next = next.trim();
                is_continued = next.ends_with('\\');
                // One byte more than is allowed is enough to refuse it.
                if rule.len() <= RULE_BYTES_MAX {
                    rule.push_str(next);
                }
            }
            if rule.len() > RULE_BYTES_MAX {
                refuse(number, None, format!("it has more than {RULE_BYTES_MAX} bytes"));
                continue;
            }
            match parse::parse(&rule) {
                Err(refusal) => refuse(number, refusal.sid, refusal.reason),
                Ok(parsed) => {
                    let (gid, sid) = (parsed.rule.about.gid, parsed.rule.about.sid);
                    if self.rules.len() == RULES_MAX {
                        refuse(number, Some(sid), format!("there are already {RULES_MAX} rules"));
                    } else if !self.known.insert((gid, sid)) {
                        refuse(number, Some(sid), "there is already a rule of this number".into());
                    } else {
                        let rule = self.with_bits(parsed);
                        self.rules.push(rule);
                    }
                }
            }
        }
        if left_out > 0 {
            unsupported.push(Unsupported { line: 0, sid: None, reason: format!("{left_out} more are not listed") });
        }
        unsupported
    }

    /// How many rules there are.
    pub fn len(&self) -> usize {
        self.rules.len()
    }

    /// Whether there is no rule.
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    fn with_bits(&mut self, parsed: parse::Parsed) -> Rule {
        let mut rule = parsed.rule;
        for (verb, names) in parsed.bits {
            let numbers: Vec<u32> = names
                .into_iter()
                .map(|name| {
                    let next = u32::try_from(self.bits.len()).unwrap_or(u32::MAX);
                    *self.bits.entry(name).or_insert(next)
                })
                .collect();
            match verb {
                BitsVerb::IsSet => rule.bits.set.push(numbers),
                BitsVerb::IsNotSet => rule.bits.not_set.push(numbers),
                BitsVerb::Set | BitsVerb::Unset | BitsVerb::Toggle => {
                    rule.bits.then.extend(numbers.into_iter().map(|number| (verb, number)));
                }
            }
        }
        rule
    }

    /// Makes rules that can be asked.
    pub fn compile(self) -> RuleSet {
        let mut rules = self.rules;
        // Who sets a bit is asked before who wants it set.
        rules.sort_by_key(|rule| rule.bits.then.is_empty());
        let mut raw: [Patterns; 2] = Default::default();
        let mut buffers: BTreeMap<Buffer, Patterns> = BTreeMap::new();
        let mut always: [Vec<u32>; UNITS] = Default::default();
        let mut raw_always: [Vec<u32>; 2] = Default::default();
        let mut raw_used = [false; 2];
        let mut used = 0;
        for (number, rule) in rules.iter().enumerate() {
            let number = u32::try_from(number).expect("there are at most RULES_MAX");
            used |= rule.groups.iter().fold(0, |bits, group| bits | group.buffer.bit());
            let sides =
                [Side::Client, Side::Server].into_iter().filter(|side| rule.side.is_none_or(|its| its == *side));
            if rule.groups.iter().any(|group| group.buffer == Buffer::Raw) {
                sides.clone().for_each(|side| raw_used[run::index(side)] = true);
            }
            match (rule.unit, rule.rarest()) {
                (Unit::Raw, Some((_, pattern))) => {
                    sides.for_each(|side| raw[run::index(side)].add(pattern, number));
                }
                (Unit::Raw, None) => sides.for_each(|side| raw_always[run::index(side)].push(number)),
                (_, Some((buffer, pattern))) => buffers.entry(buffer).or_default().add(pattern, number),
                (unit, None) => always[unit as usize].push(number),
            }
        }
        let [client, server] = raw;
        let [client_always, server_always] = raw_always;
        let raw =
            [client.into_raw_filter(client_always, raw_used[0]), server.into_raw_filter(server_always, raw_used[1])];
        let filters = buffers.into_iter().map(|(buffer, patterns)| (buffer, patterns.into_filter())).collect();
        RuleSet { rules, raw, filters, always, used }
    }
}

impl Rule {
    /// The content by which the rule is sorted out at first: the longest one of the buffers of its unit, but the method
    /// of a request and the like only if there is nothing else, because everybody has them.
    fn rarest(&self) -> Option<(Buffer, &[u8])> {
        let contents = self.groups.iter().filter(|group| group.buffer.unit() == self.unit).flat_map(|group| {
            group.tests.iter().filter_map(move |test| match test {
                Test::Content(content) if !content.is_negated => Some((group.buffer, content.finder.needle())),
                _ => None,
            })
        });
        let rank = |buffer: Buffer, pattern: &[u8]| {
            let is_common = matches!(buffer, Buffer::HttpMethod | Buffer::HttpProtocol | Buffer::HttpStatCode);
            (!is_common, buffer != Buffer::HttpRequestBody && pattern.len() > 3, pattern.len())
        };
        contents.max_by_key(|(buffer, pattern)| rank(*buffer, pattern))
    }

    /// Whether it can be asked only while the beginning of the stream is there.
    fn is_anchored(&self) -> bool {
        self.groups
            .iter()
            .filter(|group| group.buffer == Buffer::Raw)
            .any(|group| group.tests.iter().any(Test::is_anchored))
    }
}

/// Patterns and the rules that have each of them.
#[derive(Debug, Default)]
struct Patterns(BTreeMap<Vec<u8>, Vec<u32>>);

impl Patterns {
    fn add(&mut self, pattern: &[u8], rule: u32) {
        let pattern = pattern[..pattern.len().min(PREFILTER_BYTES_MAX)].to_ascii_lowercase();
        self.0.entry(pattern).or_default().push(rule);
    }

    fn into_filter(self) -> Filter {
        let automaton = AhoCorasick::builder()
            .ascii_case_insensitive(true)
            .match_kind(MatchKind::Standard)
            .build(self.0.keys())
            .expect("RULES_MAX patterns of PREFILTER_BYTES_MAX are far fewer states than an automaton can have");
        Filter { automaton, rules: self.0.into_values().collect() }
    }

    fn into_raw_filter(self, always: Vec<u32>, is_used: bool) -> RawFilter {
        if self.0.is_empty() {
            return RawFilter { always, is_used, ..RawFilter::default() };
        }
        let automaton = contiguous::NFA::builder()
            .ascii_case_insensitive(true)
            .match_kind(MatchKind::Standard)
            .prefilter(false)
            .build(self.0.keys())
            .expect("RULES_MAX patterns of PREFILTER_BYTES_MAX are far fewer states than an automaton can have");
        RawFilter { automaton: Some(automaton), rules: self.0.into_values().collect(), always, is_used }
    }
}

impl RuleSet {
    /// How many rules there are.
    pub fn len(&self) -> usize {
        self.rules.len()
    }

    /// Whether there is no rule.
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    pub(crate) fn rule(&self, number: u32) -> &Rule {
        &self.rules[number as usize]
    }

    /// Whether a rule asks for one of these buffers.
    pub(crate) fn uses(&self, buffers: &[Buffer]) -> bool {
        buffers.iter().any(|buffer| self.used & buffer.bit() != 0)
    }
}
