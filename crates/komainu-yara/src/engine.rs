//! Compiling rules and asking them, in this process.

use std::collections::{HashMap, HashSet};

use komainu_ports::{PatternPlace, PayloadMatch, PayloadScanner, ScanError};
use serde::{Deserialize, Serialize};
use yara_x::errors::CompileError;
use yara_x::{Compiler, IgnoredRuleReason, MetaValue, Rule, Rules, Scanner, SourceCode};

use crate::builtin::{BUILT_IN_NAMESPACE, BUILT_IN_RULES};
use crate::files::RuleFile;
use crate::limits::{
    MATCHES_MAX, META_MAX, NAME_BYTES_MAX, PATTERN_PLACES_MAX, PLACES_MAX, PLACES_PER_PATTERN_MAX, REFUSED_MAX,
    SCAN_BYTES_MAX, SCAN_TIME_MAX, TAGS_MAX, VALUE_BYTES_MAX,
};

/// Modules of YARA that are left out of this program: for formats that no connected device runs, and each with a parser
/// that samples could attack. A rule that needs one is refused with that reason; others of its file are taken.
const MODULES_LEFT_OUT: [&str; 13] =
    ["androguard", "crx", "cuckoo", "dex", "dotnet", "lnk", "macho", "magic", "msi", "olecf", "pe", "vba", "vt"];

/// Rules that can be asked.
pub struct Engine {
    rules: Rules,
}

/// Which rules were taken.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Taken {
    /// How many are built in.
    pub built_in: usize,
    /// How many of each file, in the order of the files.
    pub of_files: Vec<usize>,
    /// Those that were not, at most 5,000, in the order of the files.
    pub refused: Vec<Refused>,
    /// How many more were not.
    pub refused_more: usize,
}

/// A rule, or another part of a file, that is not taken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refused {
    /// The number of its file, from 0.
    pub file: usize,
    /// The line where it begins or where it is wrong, from 1.
    pub line: usize,
    /// Its name, if it is a rule.
    pub rule: Option<String>,
    /// Why.
    pub reason: String,
}

impl Engine {
    /// Compiles the built-in rules and those of files.
    pub fn compile(files: &[RuleFile]) -> (Self, Taken) {
        let mut compiler = Compiler::new();
        // A file would otherwise name others that nobody gave, wherever the process runs.
        compiler.enable_includes(false).switch_all_warnings(false);
        for module in MODULES_LEFT_OUT {
            compiler.ignore_module(module);
        }
        compiler.new_namespace(BUILT_IN_NAMESPACE);
        compiler.add_source(BUILT_IN_RULES).expect("the built-in rules are compiled by a test");
        let mut taken = Taken::default();
        for (number, file) in files.iter().enumerate() {
            let before = (compiler.errors().len(), compiler.ignored_rules().count());
            compiler.new_namespace(&file.namespace);
            // What is wrong is read below: other rules of the file may be right.
            let _ = compiler.add_source(SourceCode::from(&*file.text).with_origin(&file.name));
            for refused in refused(&compiler, before, number, file) {
                taken.refuse(refused);
            }
        }
        let rules = compiler.build();
        taken.count(&rules, files);
        (Self { rules }, taken)
    }
}

impl Taken {
    /// How many rules there are.
    pub fn rules(&self) -> usize {
        self.built_in + self.of_files.iter().sum::<usize>()
    }

    /// How many were not taken.
    pub fn refused(&self) -> usize {
        self.refused.len() + self.refused_more
    }

    /// Counts the rules of each file by its namespace.
    fn count(&mut self, rules: &Rules, files: &[RuleFile]) {
        let mut counts: HashMap<&str, usize> = HashMap::new();
        for rule in rules.iter() {
            *counts.entry(rule.namespace()).or_default() += 1;
        }
        let count = |namespace: &str| counts.get(namespace).copied().unwrap_or_default();
        self.built_in = count(BUILT_IN_NAMESPACE);
        self.of_files = files.iter().map(|file| count(&file.namespace)).collect();
    }

    fn refuse(&mut self, refused: Refused) {
        if self.refused.len() < REFUSED_MAX {
            self.refused.push(refused);
        } else {
            self.refused_more += 1;
        }
    }
}

/// What the compiler did not take of a file, in the order of the lines; `before` are the errors and the rules that it had
/// not taken before this file.
fn refused(compiler: &Compiler<'_>, before: (usize, usize), number: usize, file: &RuleFile) -> Vec<Refused> {
    if (compiler.errors().len(), compiler.ignored_rules().count()) == before {
        return Vec::new();
    }
    let lines = Lines::of(&file.text);
    let mut refused = Vec::new();
    // An error belongs to the rule that it is about, or to none.
    let mut told: HashSet<*const CompileError> = HashSet::new();
    for (rule, reason) in compiler.ignored_rules().skip(before.1) {
        let (line, reason) = match reason {
            IgnoredRuleReason::IgnoredModule(module) => {
                (lines.of_rule(rule), format!("module `{module}` is not supported"))
            }
            IgnoredRuleReason::IgnoredRule(other) => {
                (lines.of_rule(rule), format!("it needs the rule `{other}`, which is not taken"))
            }
            IgnoredRuleReason::CompileError(error) => {
                told.insert(error);
                lines.describe(error)
            }
        };
        refused.push(Refused { file: number, line, rule: Some(cut(rule, NAME_BYTES_MAX)), reason });
    }
    for error in &compiler.errors()[before.0..] {
        if !told.contains(&std::ptr::from_ref(error)) {
            let (line, reason) = lines.describe(error);
            refused.push(Refused { file: number, line, rule: None, reason });
        }
    }
    refused.sort_by_key(|refused| refused.line);
    refused
}

/// Where the lines of a file begin, and its rules. Made once: a file may have thousands of rules that are refused.
struct Lines {
    starts: Vec<usize>,
    rules: HashMap<String, usize>,
}

impl Lines {
    fn of(text: &[u8]) -> Self {
        let mut lines = Self { starts: Vec::new(), rules: HashMap::new() };
        let mut start = 0;
        for line in text.split(|byte| *byte == b'\n') {
            lines.starts.push(start);
            start += line.len() + 1;
            let line = String::from_utf8_lossy(line);
            let words = line.split(|letter: char| letter.is_whitespace() || ":{".contains(letter));
            let mut words = words.filter(|word| !word.is_empty()).skip_while(|word| *word != "rule").skip(1);
            if let Some(rule) = words.next() {
                lines.rules.entry(rule.to_owned()).or_insert(lines.starts.len());
            }
        }
        lines
    }

    /// The line where a rule begins; the first one, when it is written too oddly to be found.
    fn of_rule(&self, rule: &str) -> usize {
        self.rules.get(rule).copied().unwrap_or(1)
    }

    /// The line where an error is, and what it is, on one line.
    fn describe(&self, error: &CompileError) -> (usize, String) {
        let mut line = 1;
        let mut reason = error.title().to_owned();
        if let Some(label) = error.labels().next() {
            line = self.starts.partition_point(|start| *start <= label.span().start());
            if !label.text().is_empty() && label.text() != reason {
                reason = format!("{reason}: {}", label.text());
            }
        }
        let reason = reason.split_whitespace().collect::<Vec<_>>().join(" ");
        (line, cut(&reason, VALUE_BYTES_MAX))
    }
}

impl PayloadScanner for Engine {
    fn scan(&self, contents: &[u8]) -> Result<Vec<PayloadMatch>, ScanError> {
        if contents.len() > SCAN_BYTES_MAX {
            return Err(ScanError::TooLarge { bytes: contents.len(), bytes_max: SCAN_BYTES_MAX });
        }
        let mut scanner = Scanner::new(&self.rules);
        scanner.set_timeout(SCAN_TIME_MAX).max_matches_per_pattern(PATTERN_PLACES_MAX);
        let results = scanner.scan(contents).map_err(|error| match error {
            yara_x::errors::ScanError::Timeout => {
                ScanError::TimedOut { limit_ms: u64::try_from(SCAN_TIME_MAX.as_millis()).unwrap_or(u64::MAX) }
            }
            other => ScanError::Failed { doing: "asking the rules", source: Box::new(other) },
        })?;
        Ok(results.matching_rules().take(MATCHES_MAX).map(|rule| match_of(&rule)).collect())
    }

    fn rest(&self) {}
}

fn match_of(rule: &Rule<'_, '_>) -> PayloadMatch {
    let mut places = Vec::new();
    for pattern in rule.patterns() {
        for found in pattern.matches().take(PLACES_PER_PATTERN_MAX) {
            if places.len() < PLACES_MAX {
                let range = found.range();
                places.push(PatternPlace {
                    pattern: cut(pattern.identifier(), NAME_BYTES_MAX),
                    offset: range.start as u64,
                    bytes: range.len() as u64,
                });
            }
        }
    }
    places.sort_by_key(|place| place.offset);
    let meta = rule.metadata().take(META_MAX);
    PayloadMatch {
        namespace: cut(rule.namespace(), NAME_BYTES_MAX),
        rule: cut(rule.identifier(), NAME_BYTES_MAX),
        tags: rule.tags().take(TAGS_MAX).map(|tag| cut(tag.identifier(), NAME_BYTES_MAX)).collect(),
        meta: meta.map(|(name, value)| (cut(name, NAME_BYTES_MAX), text_of(value))).collect(),
        places,
    }
}

fn text_of(value: MetaValue<'_>) -> String {
    match value {
        MetaValue::Integer(number) => number.to_string(),
        MetaValue::Float(number) => number.to_string(),
        MetaValue::Bool(is_so) => is_so.to_string(),
        MetaValue::String(text) => cut(text, VALUE_BYTES_MAX),
        MetaValue::Bytes(bytes) => cut(&String::from_utf8_lossy(bytes), VALUE_BYTES_MAX),
    }
}

fn cut(text: &str, bytes_max: usize) -> String {
    text[..text.floor_char_boundary(bytes_max)].to_owned()
}

#[cfg(test)]
mod tests {
    use komainu_ports::conformance_payload::{CONFORMANCE_RULE, CONFORMANCE_WORD, check_payload_scanner};

    use super::*;

    pub(crate) fn file(namespace: &str, text: &str) -> RuleFile {
        RuleFile { name: format!("{namespace}.yar"), namespace: namespace.into(), text: text.into() }
    }

    /// What is said of each refused part of one file, and how many rules are taken.
    fn check(text: &str, expected: &[&str], rules: usize) {
        let (_, taken) = Engine::compile(&[file("ours", text)]);
        let seen: Vec<_> = taken
            .refused
            .iter()
            .map(|one| format!("{}: {}: {}", one.line, one.rule.as_deref().unwrap_or("-"), one.reason))
            .collect();
        assert_eq!(seen, expected, "{text}");
        assert_eq!(taken.of_files, [rules], "{text}");
    }

    #[test]
    fn the_engine_scans_payloads() {
        let rule = format!(
            "rule {CONFORMANCE_RULE} : tag {{ meta: komainu_label = \"dropper\" strings: $a = \"{CONFORMANCE_WORD}\" condition: $a }}"
        );
        let (engine, taken) = Engine::compile(&[file("conformance", &rule)]);
        assert_eq!((taken.of_files, taken.refused), (vec![1], Vec::new()));
        check_payload_scanner(&engine, SCAN_BYTES_MAX);
    }

    #[test]
    fn what_is_not_supported_is_listed_and_the_rest_is_taken() {
        let good = "rule good { condition: filesize > 3 }";
        check(good, &[], 1);
        check("", &[], 0);
        check(
            &format!("import \"pe\"\nimport \"elf\"\n{good}\nrule of_windows : tag\n{{ condition: pe.is_dll() }}"),
            &["4: of_windows: module `pe` is not supported"],
            1,
        );
        check(
            "import \"pe\"\nrule a { condition: pe.is_dll() }\nrule b { condition: a and filesize > 1 }",
            &["2: a: module `pe` is not supported", "3: b: it needs the rule `a`, which is not taken"],
            0,
        );
        check(
            &format!("{good}\nrule bad {{ condition: filename == \"x\" }}"),
            &["2: bad: unknown identifier `filename`: this identifier has not been declared"],
            1,
        );
        check(&format!("import \"nobody\"\n{good}"), &["1: -: unknown module `nobody`: module `nobody` not found"], 1);
        check(
            &format!("include \"/etc/passwd\"\n{good}"),
            &["1: -: include statements not allowed: includes are disabled for this compilation"],
            1,
        );
        check(&format!("{good}\n{good}"), &["2: good: duplicate rule `good`: duplicate declaration of `good`"], 1);
    }

    #[test]
    fn refusals_are_bounded() {
        let many: String = (0..REFUSED_MAX + 3).map(|n| format!("rule r{n} {{ condition: nobody }}\n")).collect();
        let (_, taken) = Engine::compile(&[file("ours", &many)]);
        assert_eq!(taken.refused(), REFUSED_MAX + 3);
        assert_eq!((taken.refused.len(), taken.refused_more, taken.of_files), (REFUSED_MAX, 3, vec![0]));
    }

    #[test]
    fn what_is_told_of_a_payload_is_bounded() {
        let meta: String = (0..100).map(|n| format!("m{n} = \"{}\" ", "v".repeat(2000))).collect();
        let tags: String = (0..100).map(|n| format!("t{n} ")).collect();
        let rules: String = (0..MATCHES_MAX + 10)
            .map(|n| {
                format!(
                    "rule r{n} : {tags} {{ meta: {meta} strings: $a = \"aa\" $b = \"aaa\" condition: any of them }}\n"
                )
            })
            .collect();
        let (engine, taken) = Engine::compile(&[file("ours", &rules)]);
        assert_eq!(taken.of_files, [MATCHES_MAX + 10]);
        let found = engine.scan(&vec![b'a'; 100_000]).unwrap();
        assert_eq!(found.len(), MATCHES_MAX);
        for one in &found {
            assert_eq!(
                (one.tags.len(), one.meta.len(), one.places.len()),
                (TAGS_MAX, META_MAX, 2 * PLACES_PER_PATTERN_MAX)
            );
            assert!(one.meta.iter().all(|(_, value)| value.len() == VALUE_BYTES_MAX));
        }
        assert!(crate::message::matches_json(&found).len() < crate::limits::ANSWER_BYTES_MAX);
    }
}
