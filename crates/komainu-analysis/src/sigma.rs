//! Rules in Sigma about facts.
//!
//! Read is what the Sigma specification 2.0 says of rules (detections with modifiers and conditions) and of correlations
//! (`event_count`, `value_count`, `temporal`, `temporal_ordered`). Fields are those of [`Field`], categories those of
//! [`crate::fact::Category`]; a few categories of common collections are taken for ours ([`rule`]). What a rule has that
//! is not understood refuses the rule, with its line, so that no rule silently means something else than it says.

mod condition;
mod correlation;
mod matcher;
mod rule;

use std::collections::{BTreeMap, HashMap};

pub use correlation::Correlation;
pub use rule::{Detection, Level, Logic, Own, Rule};

use crate::fact::{Category, Fact, FactNumber, Facts, Field};
use crate::yaml;

/// The most rules that are asked; SigmaHQ's whole collection has about 4000.
pub const RULES_MAX: usize = 8192;
/// The most facts that are kept as evidence of a match.
pub const EVIDENCE_MAX: usize = 12;

/// Why a rule is not taken.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Problem {
    /// The file.
    pub file: String,
    /// The line, from one; 0 if it is about the file.
    pub line: usize,
    /// The field of the rule, as a path with dots.
    pub field: String,
    /// What is wrong, and where it helps, what would be right.
    pub what: String,
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { file, line, field, what } = self;
        match field.is_empty() {
            true => write!(f, "{file}:{line}: {what}"),
            false => write!(f, "{file}:{line}: `{field}`: {what}"),
        }
    }
}

/// Rules that hold together: whatever a correlation names is among them.
#[derive(Debug, Default)]
pub struct Rules {
    rules: Vec<Rule>,
    /// Correlations, those first that others build on; with the places of what they name.
    correlations: Vec<(usize, Vec<usize>)>,
    /// Rules that stand only for the correlations that name them.
    silent: Vec<bool>,
}

/// A rule that holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Match {
    /// The place of the rule in [`Rules::all`].
    pub rule: usize,
    /// The run; none for what is known without running.
    pub run: Option<u16>,
    /// How often: facts, or what a correlation counted.
    pub count: u64,
    /// The first facts of it.
    pub evidence: Vec<FactNumber>,
}

impl Rules {
    /// Reads files, given as name and text. What is not taken is told; the rest is.
    pub fn read<'t>(files: impl IntoIterator<Item = (&'t str, &'t str)>) -> (Self, Vec<Problem>) {
        let mut problems = Vec::new();
        let mut rules: Vec<Rule> = Vec::new();
        for (file, text) in files {
            let documents = match yaml::read(text) {
                Ok(documents) => documents,
                Err(error) => {
                    problems.push(Problem {
                        file: file.to_owned(),
                        line: error.line,
                        field: String::new(),
                        what: format!("no YAML that is read: {}", error.what),
                    });
                    continue;
                }
            };
            for document in documents {
                match Rule::read(file, &document) {
                    Ok(_) if rules.len() == RULES_MAX => problems.push(Problem {
                        file: file.to_owned(),
                        line: document.line,
                        field: String::new(),
                        what: format!("more than {RULES_MAX} rules"),
                    }),
                    Ok(rule) => rules.push(rule),
                    Err(problem) => problems.push(problem),
                }
            }
        }
        (Self::resolve(rules, &mut problems), problems)
    }

    /// All rules.
    pub fn all(&self) -> &[Rule] {
        &self.rules
    }

    /// Whether a rule only serves the correlations that name it.
    pub fn is_silent(&self, rule: usize) -> bool {
        self.silent.get(rule).copied().unwrap_or_default()
    }

    /// Finds what correlations name, and takes out those that name nothing, or each other in a circle.
    fn resolve(mut rules: Vec<Rule>, problems: &mut Vec<Problem>) -> Self {
        let mut names: HashMap<String, usize> = HashMap::new();
        let mut twice = vec![false; rules.len()];
        for (place, rule) in rules.iter().enumerate() {
            for name in [rule.name.as_deref(), rule.id.as_deref()].into_iter().flatten() {
                if names.insert(name.to_owned(), place).is_some_and(|other| other != place) {
                    problems.push(rule.problem("id", format!("another rule is called `{name}`, too")));
                    twice[place] = true;
                }
            }
        }
        // What was said twice is taken once, the first time; the names are read again without the others.
        let mut keep = twice.into_iter().map(|twice| !twice);
        rules.retain(|_| keep.next().unwrap_or_default());
        names.clear();
        for (place, rule) in rules.iter().enumerate() {
            for name in [rule.name.as_deref(), rule.id.as_deref()].into_iter().flatten() {
                names.entry(name.to_owned()).or_insert(place);
            }
        }
        let mut named: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        for (place, rule) in rules.iter().enumerate() {
            let Logic::Correlation(correlation) = &rule.logic else { continue };
            let places: Option<Vec<usize>> = correlation.rules.iter().map(|name| names.get(name).copied()).collect();
            match places {
                Some(places) => {
                    named.insert(place, places);
                }
                None => {
                    let missing: Vec<&str> = correlation
                        .rules
                        .iter()
                        .map(String::as_str)
                        .filter(|name| !names.contains_key(*name))
                        .collect();
                    problems
                        .push(rule.problem("correlation.rules", format!("no rule is called {}", missing.join(", "))));
                }
            }
        }
        // Each pass takes those whose parts are taken; what is left names each other in a circle, or something refused.
        let mut order: Vec<(usize, Vec<usize>)> = Vec::new();
        let mut done: Vec<bool> = rules.iter().map(|rule| matches!(rule.logic, Logic::Detection(_))).collect();
        loop {
            let ready: Vec<usize> = named
                .iter()
                .filter(|(place, parts)| !done[**place] && parts.iter().all(|part| done[*part]))
                .map(|(place, _)| *place)
                .collect();
            if ready.is_empty() {
                break;
            }
            for place in ready {
                done[place] = true;
                if let Some(parts) = named.remove(&place) {
                    order.push((place, parts));
                }
            }
        }
        for place in named.keys() {
            problems.push(rules[*place].problem(
                "correlation.rules",
                "names itself by way of others, or a correlation that is not taken".into(),
            ));
        }
        // What is refused goes, and the others move up.
        let place_of: Vec<usize> = done
            .iter()
            .scan(0, |next, done| {
                let place = *next;
                *next += usize::from(*done);
                Some(place)
            })
            .collect();
        let mut keep = done.into_iter();
        rules.retain(|_| keep.next().unwrap_or_default());
        for (place, parts) in &mut order {
            *place = place_of[*place];
            parts.iter_mut().for_each(|part| *part = place_of[*part]);
        }
        let mut silent = vec![false; rules.len()];
        for (place, parts) in &order {
            let Logic::Correlation(correlation) = &rules[*place].logic else { continue };
            if !correlation.generate {
                parts.iter().for_each(|part| silent[*part] = true);
            }
        }
        Self { rules, correlations: order, silent }
    }

    /// Asks all rules about all facts.
    ///
    /// The matches are in the order of the rules, those of a rule in the order of the runs. The second is what a bound
    /// kept from being counted, in words.
    pub fn matches(&self, facts: &Facts) -> (Vec<Match>, Vec<String>) {
        let mut hits: Vec<Vec<FactNumber>> = vec![Vec::new(); self.rules.len()];
        let mut index = Index { rules: &self.rules, of_action: HashMap::new() };
        for (number, fact) in facts.numbered() {
            for &(place, detection) in index.asked_about(fact) {
                if detection.holds(fact) {
                    hits[place].push(number);
                }
            }
        }
        let mut found: Vec<Vec<Match>> = vec![Vec::new(); self.rules.len()];
        for (place, hits) in hits.iter().enumerate() {
            let mut of_run: BTreeMap<Option<u16>, Match> = BTreeMap::new();
            for number in hits {
                let Some(fact) = facts.get(*number) else { continue };
                let seen = of_run.entry(fact.run).or_insert_with(|| Match {
                    rule: place,
                    run: fact.run,
                    count: 0,
                    evidence: Vec::new(),
                });
                seen.count += 1;
                if seen.evidence.len() < EVIDENCE_MAX {
                    seen.evidence.push(*number);
                }
            }
            found[place] = of_run.into_values().collect();
        }
        let mut bounds = Vec::new();
        for (place, parts) in &self.correlations {
            let Logic::Correlation(correlation) = &self.rules[*place].logic else { continue };
            let parts: Vec<(&str, &[FactNumber])> = correlation
                .rules
                .iter()
                .zip(parts)
                .map(|(name, part)| (name.as_str(), hits[*part].as_slice()))
                .collect();
            let result = correlation.evaluate(*place, &parts, facts);
            if result.groups_left_out > 0 {
                bounds.push(format!(
                    "{}: {} groups beyond the first {} were not counted",
                    self.rules[*place].title,
                    result.groups_left_out,
                    correlation::GROUPS_MAX
                ));
            }
            hits[*place] = result.hits;
            found[*place] = result.matches;
        }
        let matches = found
            .into_iter()
            .enumerate()
            .filter(|(place, _)| !self.silent[*place])
            .flat_map(|(_, found)| found)
            .collect();
        (matches, bounds)
    }
}

/// Rules with their places.
type Asked<'r> = Vec<(usize, &'r Detection)>;

/// Which rules can hold for a fact, by what it is about and what was done.
struct Index<'r> {
    rules: &'r [Rule],
    of_action: HashMap<Category, HashMap<String, Asked<'r>>>,
}

impl<'r> Index<'r> {
    fn asked_about(&mut self, fact: &Fact) -> &[(usize, &'r Detection)] {
        let rules = self.rules;
        let of_category = self.of_action.entry(fact.category).or_default();
        if !of_category.contains_key(fact.action()) {
            let about = Fact::new(fact.category, fact.action());
            let detections = rules.iter().enumerate().filter_map(|(place, rule)| match &rule.logic {
                Logic::Detection(detection) => Some((place, detection)),
                Logic::Correlation(_) => None,
            });
            let asked = detections.filter(|(_, detection)| detection.can_hold(&about)).collect();
            of_category.insert(fact.action().to_owned(), asked);
        }
        of_category.get(fact.action()).map(Vec::as_slice).unwrap_or_default()
    }
}

/// A text that groups facts: the value of a field.
fn value_of(fact: &Fact, field: Field) -> Option<String> {
    fact.value(field).map(ToString::to_string)
}

#[cfg(test)]
mod tests;
