//! Behaviours: rules that hold, with what they mean.
//!
//! Our rules lie in `rules/` as files of Sigma, each with two traces in `rules/traces/`: one that shows the behaviour and
//! one that nearly does. Operators' rules are read the same way and asked beside ours.

use std::collections::BTreeMap;

use crate::fact::{FactNumber, Facts};
use crate::sigma::{EVIDENCE_MAX, Level, Problem, Rule, Rules};

/// A file of rules.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuleFile {
    /// Its name, for what is said of it.
    pub name: String,
    /// Its text.
    pub text: String,
}

/// The rules that are asked.
#[derive(Debug)]
pub struct RuleSet {
    rules: Rules,
}

/// Something that the sample does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Behaviour {
    /// The name of the rule.
    pub key: String,
    /// What it is, in a few words.
    pub title: Phrase,
    /// What it means, in a sentence.
    pub description: Phrase,
    /// How bad it is.
    pub level: Level,
    /// What it adds to the verdict.
    pub score: u8,
    /// Under which heading it stands ([`KINDS`]); `other` for rules that do not say.
    pub kind: String,
    /// Techniques of ATT&CK.
    pub techniques: Vec<String>,
    /// The numbers of the runs that show it; none of them if it is known without running.
    pub runs: Vec<u16>,
    /// How often it was seen, in all runs.
    pub count: u64,
    /// The first facts that show it.
    pub evidence: Vec<FactNumber>,
}

/// A text in both languages.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Phrase {
    /// English.
    pub en: String,
    /// Japanese.
    pub ja: String,
}

/// The headings of behaviours: name, English, Japanese; in the order of reports.
pub const KINDS: &[(&str, &str, &str)] = &[
    ("command", "Command and control", "指令サーバーとの通信"),
    ("spread", "Spreading", "感染の拡大"),
    ("download", "Downloads and dropped programs", "ダウンロードと設置"),
    ("impact", "Harm to others and to the device", "他者や機器への被害"),
    ("persistence", "Survives a restart", "再起動後も残る仕組み"),
    ("rivals", "Other programs are stopped", "他のプログラムの停止"),
    ("defence", "Protection is switched off", "保護機能の無効化"),
    ("traces", "Traces are erased", "痕跡の消去"),
    ("disguise", "Disguise", "偽装"),
    ("access", "Secrets and rights", "秘密情報と権限"),
    ("analysis", "Looks for analysis", "解析環境の検知"),
    ("discovery", "Looks around", "環境の調査"),
    ("other", "Others", "その他"),
];

macro_rules! files {
    ($($name:literal),* $(,)?) => {
        /// Our rules, by the names of their files.
        const OWN: &[(&str, &str)] = &[$(($name, include_str!(concat!("../rules/", $name)))),*];
    };
}

include!("../rules/files.in");

impl RuleSet {
    /// Our rules.
    pub fn own() -> Self {
        let (rules, problems) = Rules::read(OWN.iter().copied());
        assert!(problems.is_empty(), "our own rules are whole, which a test shows: {problems:?}");
        Self { rules }
    }

    /// Our rules and those of an operator. What is not taken of the latter is told.
    pub fn with(files: &[RuleFile]) -> (Self, Vec<Problem>) {
        let theirs = files.iter().map(|file| (file.name.as_str(), file.text.as_str()));
        let (rules, problems) = Rules::read(OWN.iter().copied().chain(theirs));
        (Self { rules }, problems)
    }

    /// All rules that are asked.
    pub fn rules(&self) -> &[Rule] {
        self.rules.all()
    }

    /// What the sample does, worst first; and what a bound kept from being counted.
    pub fn behaviours(&self, facts: &Facts) -> (Vec<Behaviour>, Vec<String>) {
        let (matches, bounds) = self.rules.matches(facts);
        let mut behaviours: BTreeMap<usize, Behaviour> = BTreeMap::new();
        for found in matches {
            let Some(rule) = self.rules.all().get(found.rule) else { continue };
            let behaviour = behaviours.entry(found.rule).or_insert_with(|| of_rule(rule));
            behaviour.runs.extend(found.run);
            behaviour.count += found.count;
            let room = EVIDENCE_MAX.saturating_sub(behaviour.evidence.len());
            behaviour.evidence.extend(found.evidence.into_iter().take(room));
        }
        let mut behaviours: Vec<Behaviour> = behaviours.into_values().collect();
        // The sort is stable, so equals stay in the order of the rules.
        behaviours.sort_by_key(|behaviour| std::cmp::Reverse((behaviour.level, behaviour.score)));
        (behaviours, bounds)
    }
}

fn of_rule(rule: &Rule) -> Behaviour {
    let phrase =
        |en: &str, ja: &Option<String>| Phrase { en: en.to_owned(), ja: ja.clone().unwrap_or_else(|| en.to_owned()) };
    let kind = rule.own.kind.as_deref().filter(|kind| KINDS.iter().any(|(name, ..)| name == kind));
    Behaviour {
        key: rule.key().to_owned(),
        title: phrase(&rule.title, &rule.own.title_ja),
        description: phrase(&rule.description, &rule.own.description_ja),
        level: rule.level,
        score: rule.score(),
        kind: kind.unwrap_or("other").to_owned(),
        techniques: rule.techniques(),
        runs: Vec::new(),
        count: 0,
        evidence: Vec::new(),
    }
}

#[cfg(test)]
mod tests;
