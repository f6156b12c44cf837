use std::fs;
use std::path::{Path, PathBuf};

use super::*;
use crate::fact::Facts;
use crate::trace::evidence_of;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("rules")
}

/// The names of the rules that hold for a trace.
fn rules_of(set: &RuleSet, trace: &str) -> Vec<String> {
    let evidence = evidence_of(trace);
    let mut facts = Facts::of(&evidence);
    let (_, concluded) = crate::c2::judge(&facts, &evidence.sample);
    facts.conclude(concluded);
    set.behaviours(&facts).0.into_iter().map(|behaviour| behaviour.key).collect()
}

#[test]
fn every_rule_holds_for_its_trace_and_not_for_the_one_that_is_nearly_so() {
    let set = RuleSet::own();
    let mut wrong = Vec::new();
    for (file, _) in OWN {
        let name = file.trim_end_matches(".yml");
        for (kind, expected) in [("hit", true), ("miss", false)] {
            let path = folder().join("traces").join(format!("{name}.{kind}"));
            let trace = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            let rules = rules_of(&set, &trace);
            // A trace that shows nothing would pass as one that nearly does.
            let facts = Facts::of(&evidence_of(&trace));
            let shows_something = facts.all().iter().any(|fact| fact.run.is_some()) || trace.contains("static ");
            if rules.contains(&name.to_owned()) != expected || (!shows_something && trace.contains("guest")) {
                wrong.push(format!("{name}.{kind}: {rules:?}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_folder_and_the_list_have_the_same_rules() {
    let mut files: Vec<String> = fs::read_dir(folder())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
        .filter(|name| name.ends_with(".yml"))
        .collect();
    files.sort();
    assert_eq!(files, OWN.iter().map(|(name, _)| (*name).to_owned()).collect::<Vec<_>>());
    let traces = fs::read_dir(folder().join("traces")).unwrap().count();
    assert_eq!(traces, files.len() * 2);
}

#[test]
fn every_rule_says_what_it_means_in_both_languages() {
    let set = RuleSet::own();
    for (place, rule) in set.rules().iter().enumerate() {
        if set.rules.is_silent(place) {
            continue;
        }
        let kind = rule.own.kind.as_deref().unwrap_or_default();
        assert!(KINDS.iter().any(|(name, ..)| *name == kind), "{}: kind {kind}", rule.file);
        assert!(rule.own.score.is_some(), "{}: score", rule.file);
        assert!(!rule.techniques().is_empty(), "{}: ATT&CK", rule.file);
        assert!(rule.description.ends_with('.') && rule.description.len() > 20, "{}: description", rule.file);
        let japanese = rule.own.description_ja.as_deref().unwrap_or_default();
        assert!(japanese.ends_with('。') && rule.own.title_ja.is_some(), "{}: Japanese", rule.file);
    }
}

#[test]
fn the_list_in_the_documentation_is_the_rules() {
    let mut table = String::from("| rule | level | score | ATT&CK | what it finds |\n|---|---|---|---|---|\n");
    let set = RuleSet::own();
    for (kind, title, _) in KINDS {
        let mut of_kind: Vec<&Rule> = set
            .rules()
            .iter()
            .enumerate()
            .filter(|(place, rule)| !set.rules.is_silent(*place) && rule.own.kind.as_deref() == Some(kind))
            .map(|(_, rule)| rule)
            .collect();
        of_kind.sort_by_key(|rule| rule.key());
        if !of_kind.is_empty() {
            table.push_str(&format!("| **{title}** | | | | |\n"));
        }
        for rule in of_kind {
            table.push_str(&format!(
                "| `{}` | {} | {} | {} | {} |\n",
                rule.key(),
                rule.level.name(),
                rule.score(),
                rule.techniques().join(", "),
                rule.title
            ));
        }
    }
    let path = folder().join("../../../docs/behaviours.md");
    let page = fs::read_to_string(&path).unwrap();
    if std::env::var_os("KOMAINU_UPDATE").is_some() {
        let before = page.split("| rule |").next().unwrap();
        fs::write(&path, format!("{before}{table}")).unwrap();
        return;
    }
    assert!(page.ends_with(&table), "run this test with KOMAINU_UPDATE=1 to write docs/behaviours.md anew");
}

#[test]
fn rules_of_an_operator_are_asked_beside_ours() {
    let files = [RuleFile {
        name: "mine.yml".into(),
        text: "title: Mine\nlogsource: {category: process_creation, product: linux}\n\
               detection: {s: {Image|endswith: /nc}, condition: s}\nlevel: critical\n"
            .into(),
    }];
    let (set, problems) = RuleSet::with(&files);
    assert_eq!(problems, []);
    assert!(rules_of(&set, "guest 0 100 exec /usr/bin/nc nc").contains(&"Mine".to_owned()));
    let (_, problems) = RuleSet::with(&[RuleFile { name: "b.yml".into(), text: "title: X\nlevel: bad\n".into() }]);
    assert_eq!(problems[0].to_string(), "b.yml:2: `level`: is one of informational, low, medium, high and critical");
}
