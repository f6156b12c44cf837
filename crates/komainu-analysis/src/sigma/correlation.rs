//! Correlations: what other rules found, counted or put in order within a time.

use std::collections::{BTreeMap, HashMap, VecDeque};

use super::matcher::Compare;
use super::{EVIDENCE_MAX, Match, value_of};
use crate::fact::{FactNumber, Facts, Field};
use crate::yaml::{Node, NodeKind};

/// The most groups that are counted of a correlation in one run.
pub(super) const GROUPS_MAX: usize = 10_000;
/// The most rules that a correlation names.
const RULES_MAX: usize = 32;
/// The most fields by which facts are grouped.
const GROUP_BY_MAX: usize = 4;

/// A correlation.
#[derive(Debug)]
pub struct Correlation {
    kind: Kind,
    /// The names of the rules.
    pub(super) rules: Vec<String>,
    group_by: Vec<Group>,
    timespan_us: u64,
    conditions: Vec<(Comparison, f64)>,
    /// Whether the rules that it names hold by themselves, too.
    pub(super) generate: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    EventCount,
    ValueCount(Field),
    Temporal,
    TemporalOrdered,
}

/// A field by which facts are grouped: the same of all rules, or one for each rule (`aliases`).
#[derive(Debug)]
enum Group {
    Field(Field),
    Alias(BTreeMap<String, Field>),
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Comparison {
    By(Compare),
    Equal,
    Unequal,
}

/// Why a correlation is not taken.
pub(super) struct CorrelationError {
    pub(super) line: usize,
    pub(super) field: String,
    pub(super) what: String,
}

/// What a correlation found.
pub(super) struct Found {
    pub(super) matches: Vec<Match>,
    /// The last fact of each group for which it holds, for correlations that build on this one.
    pub(super) hits: Vec<FactNumber>,
    pub(super) groups_left_out: u64,
}

impl Correlation {
    pub(super) fn read(node: &Node) -> Result<Self, CorrelationError> {
        let refuse = |line, field: &str, what: &str| CorrelationError {
            line,
            field: format!("correlation{}{field}", if field.is_empty() { "" } else { "." }),
            what: what.to_owned(),
        };
        let NodeKind::Map(entries) = &node.kind else {
            return Err(refuse(node.line, "", "is a map"));
        };
        const KNOWN: [&str; 7] = ["type", "rules", "group-by", "timespan", "condition", "aliases", "generate"];
        if let Some((key, node)) = entries.iter().find(|(key, _)| !KNOWN.contains(&key.as_str())) {
            return Err(refuse(node.line, key, "is not known of correlations"));
        }
        let rules = texts(node.get("rules"));
        if rules.is_empty() || rules.len() > RULES_MAX {
            return Err(refuse(node.line, "rules", &format!("names 1 to {RULES_MAX} rules")));
        }
        let mut aliases: BTreeMap<String, BTreeMap<String, Field>> = BTreeMap::new();
        if let Some(node) = node.get("aliases") {
            let NodeKind::Map(entries) = &node.kind else { return Err(refuse(node.line, "aliases", "is a map")) };
            for (alias, node) in entries {
                let NodeKind::Map(entries) = &node.kind else {
                    return Err(refuse(node.line, "aliases", "is a map of maps"));
                };
                let mut fields = BTreeMap::new();
                for (rule, field) in entries {
                    let known = field.text().and_then(|name| name.parse().ok());
                    let known = known.ok_or_else(|| refuse(field.line, "aliases", "no fact has such a field"))?;
                    fields.insert(rule.clone(), known);
                }
                aliases.insert(alias.clone(), fields);
            }
        }
        let mut group_by = Vec::new();
        for name in texts(node.get("group-by")) {
            if let Some(fields) = aliases.remove(&name) {
                group_by.push(Group::Alias(fields));
            } else {
                let field = name.parse().map_err(|_| {
                    refuse(node.line, "group-by", &format!("no fact has the field `{name}`, and no alias is called so"))
                })?;
                group_by.push(Group::Field(field));
            }
        }
        if group_by.len() > GROUP_BY_MAX {
            return Err(refuse(node.line, "group-by", &format!("more than {GROUP_BY_MAX} fields")));
        }
        let timespan = node.get("timespan").and_then(Node::scalar);
        let timespan_us = timespan
            .as_deref()
            .and_then(timespan_us)
            .ok_or_else(|| refuse(node.line, "timespan", "is a number with `s`, `m`, `h` or `d`"))?;
        let condition = node.get("condition");
        let kind =
            match node.get("type").and_then(Node::text) {
                Some("event_count") => Kind::EventCount,
                Some("value_count") => {
                    let name = condition.and_then(|node| node.get("field")).and_then(Node::text).unwrap_or_default();
                    Kind::ValueCount(name.parse().map_err(|_| {
                        refuse(node.line, "condition.field", &format!("no fact has the field `{name}`"))
                    })?)
                }
                Some("temporal") => Kind::Temporal,
                Some("temporal_ordered") => Kind::TemporalOrdered,
                _ => {
                    let what = "is one of event_count, value_count, temporal and temporal_ordered";
                    return Err(refuse(node.line, "type", what));
                }
            };
        let mut conditions = Vec::new();
        if let Some(node) = condition {
            let NodeKind::Map(entries) = &node.kind else { return Err(refuse(node.line, "condition", "is a map")) };
            for (key, node) in entries.iter().filter(|(key, _)| key != "field") {
                let comparison = match key.as_str() {
                    "gt" => Comparison::By(Compare::Greater),
                    "gte" => Comparison::By(Compare::GreaterOrEqual),
                    "lt" => Comparison::By(Compare::Less),
                    "lte" => Comparison::By(Compare::LessOrEqual),
                    "eq" => Comparison::Equal,
                    "neq" => Comparison::Unequal,
                    _ => return Err(refuse(node.line, &format!("condition.{key}"), "is no comparison")),
                };
                let NodeKind::Integer(number @ 0..) = node.kind else {
                    return Err(refuse(node.line, &format!("condition.{key}"), "is a number"));
                };
                conditions.push((comparison, number as f64));
            }
        }
        let counts = matches!(kind, Kind::EventCount | Kind::ValueCount(_));
        if counts && conditions.is_empty() {
            return Err(refuse(node.line, "condition", "is missing"));
        }
        if !counts && (rules.len() < 2 || !conditions.is_empty()) {
            return Err(refuse(node.line, "rules", "an order needs two rules at least, and no condition"));
        }
        let generate = match node.get("generate").map(|node| &node.kind) {
            None => false,
            Some(NodeKind::Bool(generate)) => *generate,
            Some(_) => return Err(refuse(node.line, "generate", "is true or false")),
        };
        Ok(Self { kind, rules, group_by, timespan_us, conditions, generate })
    }

    /// Counts. `parts` are what the rules found, in the order of [`Self::rules`], each in the order of facts.
    ///
    /// A comparison is made with the largest count of a group in any window of the timespan.
    pub(super) fn evaluate(&self, place: usize, parts: &[(&str, &[FactNumber])], facts: &Facts) -> Found {
        // The hits of all rules in the order of facts, which is that of times within a run.
        let mut events: Vec<(FactNumber, usize)> = Vec::new();
        for (part, (_, hits)) in parts.iter().enumerate() {
            events.extend(hits.iter().map(|hit| (*hit, part)));
        }
        events.sort_unstable();
        let mut groups: BTreeMap<Option<u16>, Vec<Window>> = BTreeMap::new();
        let mut places: HashMap<(Option<u16>, Vec<String>), usize> = HashMap::new();
        let mut groups_left_out = 0;
        for (number, part) in events {
            let Some(fact) = facts.get(number) else { continue };
            let rule = parts.get(part).map_or("", |(name, _)| *name);
            let key: Option<Vec<String>> = self
                .group_by
                .iter()
                .map(|group| match group {
                    Group::Field(field) => value_of(fact, *field),
                    Group::Alias(fields) => fields.get(rule).and_then(|field| value_of(fact, *field)),
                })
                .collect();
            // What lacks a field is in no group.
            let Some(key) = key else { continue };
            let of_run = groups.entry(fact.run).or_default();
            let window = match places.get(&(fact.run, key.clone())) {
                Some(window) => *window,
                None if of_run.len() == GROUPS_MAX => {
                    groups_left_out += 1;
                    continue;
                }
                None => {
                    of_run.push(Window::new(parts.len()));
                    places.insert((fact.run, key), of_run.len() - 1);
                    of_run.len() - 1
                }
            };
            let value = match self.kind {
                Kind::ValueCount(field) => match value_of(fact, field) {
                    Some(value) => value,
                    None => continue,
                },
                Kind::EventCount | Kind::Temporal | Kind::TemporalOrdered => String::new(),
            };
            of_run[window].add(self, Event { number, at_us: fact.at_us, part, value });
        }
        let mut matches = Vec::new();
        let mut hits = Vec::new();
        for (run, windows) in groups {
            let holding: Vec<&Window> = windows.iter().filter(|window| self.holds(window.most)).collect();
            hits.extend(holding.iter().filter_map(|window| window.last));
            // The first of the largest groups speaks for the run.
            let Some(largest) = holding.iter().map(|window| window.most).max() else { continue };
            let Some(window) = holding.iter().find(|window| window.most == largest) else { continue };
            matches.push(Match { rule: place, run, count: largest, evidence: window.evidence.clone() });
        }
        hits.sort_unstable();
        Found { matches, hits, groups_left_out }
    }

    fn holds(&self, most: u64) -> bool {
        match self.kind {
            Kind::Temporal | Kind::TemporalOrdered => most > 0,
            Kind::EventCount | Kind::ValueCount(_) => {
                self.conditions.iter().all(|(comparison, number)| match comparison {
                    Comparison::By(compare) => compare.holds(most as f64, *number),
                    Comparison::Equal => most as f64 == *number,
                    Comparison::Unequal => most as f64 != *number,
                })
            }
        }
    }
}

struct Event {
    number: FactNumber,
    at_us: u64,
    part: usize,
    value: String,
}

/// The events of a group within the timespan.
struct Window {
    events: VecDeque<Event>,
    values: HashMap<String, u32>,
    /// For an order: of the chains that end with each rule, the one that begins last: when it began, and its facts.
    chains: Vec<Option<(u64, Vec<FactNumber>)>>,
    /// For "all of them": the last event of each rule.
    latest: Vec<Option<(u64, FactNumber)>>,
    most: u64,
    last: Option<FactNumber>,
    evidence: Vec<FactNumber>,
}

impl Window {
    fn new(rules: usize) -> Self {
        Self {
            events: VecDeque::new(),
            values: HashMap::new(),
            chains: vec![None; rules],
            latest: vec![None; rules],
            most: 0,
            last: None,
            evidence: Vec::new(),
        }
    }

    fn add(&mut self, correlation: &Correlation, event: Event) {
        let begins_us = event.at_us.saturating_sub(correlation.timespan_us);
        match correlation.kind {
            Kind::EventCount | Kind::ValueCount(_) => self.count(correlation.kind, event, begins_us),
            Kind::Temporal => {
                self.latest[event.part] = Some((event.at_us, event.number));
                let all: Option<Vec<FactNumber>> = self
                    .latest
                    .iter()
                    .map(|latest| latest.filter(|(at_us, _)| *at_us >= begins_us).map(|(_, number)| number))
                    .collect();
                if let Some(mut all) = all {
                    all.sort_unstable();
                    all.dedup();
                    self.found(all, event.number);
                }
            }
            Kind::TemporalOrdered => {
                let chain = match event.part.checked_sub(1) {
                    None => Some((event.at_us, vec![event.number])),
                    // A fact that two rules found is not before itself.
                    Some(before) => self.chains[before]
                        .as_ref()
                        .filter(|(began_us, facts)| *began_us >= begins_us && facts.last() != Some(&event.number))
                        .map(|(began_us, facts)| (*began_us, [facts.as_slice(), &[event.number]].concat())),
                };
                let Some(chain) = chain else { return };
                if event.part + 1 == self.chains.len() {
                    self.found(chain.1.clone(), event.number);
                }
                if self.chains[event.part].as_ref().is_none_or(|(began_us, _)| *began_us <= chain.0) {
                    self.chains[event.part] = Some(chain);
                }
            }
        }
    }

    fn found(&mut self, facts: Vec<FactNumber>, last: FactNumber) {
        if self.most == 0 {
            self.evidence = facts;
            self.evidence.truncate(EVIDENCE_MAX);
            self.last = Some(last);
        }
        self.most += 1;
    }

    fn count(&mut self, kind: Kind, event: Event, begins_us: u64) {
        while let Some(first) = self.events.front()
            && first.at_us < begins_us
        {
            if let Some(seen) = self.values.get_mut(&first.value) {
                *seen -= 1;
                if *seen == 0 {
                    self.values.remove(&first.value);
                }
            }
            self.events.pop_front();
        }
        let number = event.number;
        // A fact that several rules found is one event.
        if self.events.back().is_some_and(|last| last.number == number) {
            return;
        }
        if matches!(kind, Kind::ValueCount(_)) {
            *self.values.entry(event.value.clone()).or_default() += 1;
        }
        self.events.push_back(event);
        let count = match kind {
            Kind::ValueCount(_) => self.values.len() as u64,
            Kind::EventCount | Kind::Temporal | Kind::TemporalOrdered => self.events.len() as u64,
        };
        if count > self.most {
            self.most = count;
            self.last = Some(number);
            if self.evidence.len() < EVIDENCE_MAX {
                self.evidence = self.events.iter().map(|event| event.number).take(EVIDENCE_MAX).collect();
            }
        }
    }
}

fn texts(node: Option<&Node>) -> Vec<String> {
    match node.map(|node| &node.kind) {
        Some(NodeKind::List(list)) => list.iter().filter_map(Node::scalar).collect(),
        Some(NodeKind::Text(text)) => vec![text.clone()],
        _ => Vec::new(),
    }
}

/// A time such as `30s`, `5m`, `1h` or `1d`, in microseconds.
fn timespan_us(text: &str) -> Option<u64> {
    let unit = text.chars().next_back()?;
    let seconds: u64 = match unit {
        's' => 1,
        'm' => 60,
        'h' => 3600,
        'd' => 86_400,
        _ => return None,
    };
    let number: u64 = text.strip_suffix(unit)?.parse().ok()?;
    number.checked_mul(seconds)?.checked_mul(1_000_000)
}
