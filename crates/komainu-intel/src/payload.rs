//! What a rule about a payload, such as one of YARA, says about the session that brought it.

use crate::rules::{is_cve, is_technique};
use crate::verdict::Label;

/// A name in evidence, in bytes: what is longer is cut.
const NAME_BYTES_MAX: usize = 200;
/// CVE ids, and techniques, of one rule.
const IDS_MAX: usize = 16;

/// A rule that holds for a payload of a session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PayloadRule {
    /// What evidence calls it: `yara:NAMESPACE:RULE`.
    pub name: String,
    /// What it says about the label of the session.
    pub label: Option<Label>,
    /// How sure it is of the label, from 0 to 100, where it says so.
    pub confidence: Option<u8>,
    /// CVE ids, such as `CVE-2017-17215`.
    pub cves: Vec<String>,
    /// ids of ATT&CK techniques.
    pub techniques: Vec<String>,
}

impl PayloadRule {
    /// Reads what a rule of YARA says of itself: `komainu_label`, `komainu_confidence`, `cve` and `mitre_technique_id`,
    /// which may have several ids with commas between them. What is none of these, or cannot be read, says nothing.
    pub fn of_yara(namespace: &str, rule: &str, meta: &[(String, String)]) -> Self {
        let value = |name: &str| meta.iter().find(|(key, _)| key == name).map(|(_, value)| value.trim());
        let all = |name: &'static str| {
            let values = meta.iter().filter(move |(key, _)| key == name);
            values.flat_map(|(_, value)| value.split(',')).map(str::trim)
        };
        let mut name = format!("yara:{namespace}:{rule}");
        name.truncate(name.floor_char_boundary(NAME_BYTES_MAX));
        Self {
            name,
            label: value("komainu_label").and_then(Label::parse),
            confidence: value("komainu_confidence")
                .and_then(|value| value.parse().ok())
                .filter(|confidence| *confidence <= 100),
            cves: distinct(all("cve").map(str::to_ascii_uppercase).filter(|id| is_cve(id))),
            techniques: distinct(all("mitre_technique_id").map(str::to_owned).filter(|id| is_technique(id))),
        }
    }
}

fn distinct(ids: impl Iterator<Item = String>) -> Vec<String> {
    let mut kept = Vec::new();
    for id in ids {
        if kept.len() < IDS_MAX && !kept.contains(&id) {
            kept.push(id);
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(meta: &[(&str, &str)], label: Option<Label>, confidence: Option<u8>, cves: &[&str], techniques: &[&str]) {
        let meta: Vec<_> = meta.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        let rule = PayloadRule::of_yara("ours", "a_rule", &meta);
        assert_eq!(
            (rule.name.as_str(), rule.label, rule.confidence),
            ("yara:ours:a_rule", label, confidence),
            "{meta:?}"
        );
        assert_eq!((rule.cves, rule.techniques), (owned(cves), owned(techniques)), "{meta:?}");
    }

    fn owned(ids: &[&str]) -> Vec<String> {
        ids.iter().map(|id| (*id).to_owned()).collect()
    }

    #[test]
    fn what_a_rule_says_of_itself() {
        check(&[], None, None, &[], &[]);
        check(&[("komainu_label", "dropper"), ("komainu_confidence", "90")], Some(Label::Dropper), Some(90), &[], &[]);
        check(&[("komainu_label", "nonsense"), ("komainu_confidence", "101")], None, None, &[], &[]);
        check(
            &[("cve", "cve-2099-12345, CVE-2099-1"), ("cve", "CVE-2099-12345")],
            None,
            None,
            &["CVE-2099-12345"],
            &[],
        );
        check(&[("mitre_technique_id", "T1105, T1059.004,x")], None, None, &[], &["T1105", "T1059.004"]);
    }

    #[test]
    fn a_long_name_is_cut() {
        let name = PayloadRule::of_yara(&"\u{e9}".repeat(500), "rule", &[]).name;
        assert!(name.len() <= NAME_BYTES_MAX && name.starts_with("yara:\u{e9}"), "{name}");
    }
}
