//! What a sample leaves behind, takes away and looks for: lists for the report, out of behaviours and facts.

use std::collections::{BTreeMap, BTreeSet};

use crate::behaviour::Behaviour;
use crate::evidence::{Evidence, RunAs};
use crate::fact::{Category, Fact, FactNumber, Facts, Field};

/// The most entries of each list.
const LIST_MAX: usize = 128;

/// What a sample does to the device.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Conduct {
    /// Files through which it survives a restart.
    pub(crate) persistence: Vec<String>,
    /// Files that it wrote.
    pub(crate) dropped: Vec<Dropped>,
    /// Files that it removed to leave no trace.
    pub(crate) erased: Vec<String>,
    /// Processes of others that it ended, by number.
    pub(crate) killed: Vec<String>,
    /// What it looked at to notice an analysis.
    pub(crate) evasion: Vec<String>,
    /// Behaviours that only the owner's rights made possible, or only an account's; if it ran as both.
    pub(crate) difference: Option<Difference>,
    /// What did not fit.
    pub(crate) left_out: u64,
}

/// A file that a sample wrote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Dropped {
    pub(crate) path: String,
    pub(crate) made_executable: bool,
    pub(crate) was_run: bool,
    pub(crate) sha256: Option<String>,
    pub(crate) bytes: Option<i64>,
}

/// What differs between a run with an account's rights and one with the owner's.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Difference {
    pub(crate) only_root: Vec<String>,
    pub(crate) only_user: Vec<String>,
}

/// Puts the lists together.
pub(crate) fn of(evidence: &Evidence, facts: &Facts, behaviours: &[Behaviour]) -> Conduct {
    let mut left_out = 0;
    let mut told = |kind: &str, say: &dyn Fn(&Fact) -> Option<String>| {
        let numbers =
            behaviours.iter().filter(|behaviour| behaviour.kind == kind).flat_map(|behaviour| &behaviour.evidence);
        let texts: BTreeSet<String> = numbers.filter_map(|number: &FactNumber| say(facts.get(*number)?)).collect();
        left_out += texts.len().saturating_sub(LIST_MAX) as u64;
        texts.into_iter().take(LIST_MAX).collect::<Vec<_>>()
    };
    let file = |fact: &Fact| fact.text(Field::TargetFilename).map(str::to_owned);
    let persistence = told("persistence", &file);
    let erased = told("traces", &file);
    let killed = told("rivals", &|fact| {
        let target = fact.number(Field::TargetProcessId)?;
        Some(match fact.text(Field::TargetImage) {
            Some(image) => format!("process {target} ({image})"),
            None => format!("process {target}"),
        })
    });
    let evasion = told("analysis", &|fact| Some(fact.line()));
    let (dropped, more) = dropped(facts);
    Conduct {
        persistence,
        dropped,
        erased,
        killed,
        evasion,
        difference: difference(evidence, behaviours),
        left_out: left_out + more,
    }
}

fn dropped(facts: &Facts) -> (Vec<Dropped>, u64) {
    let mut files: BTreeMap<&str, Dropped> = BTreeMap::new();
    let mut run_files: BTreeSet<&str> = BTreeSet::new();
    for fact in facts.all() {
        let Some(path) = fact.text(Field::TargetFilename) else { continue };
        if (fact.category, fact.action()) == (Category::Process, "exec") {
            run_files.insert(path);
            continue;
        }
        let is_write = fact.category == Category::File && matches!(fact.action(), "write" | "left-behind" | "move");
        let is_change = (fact.category, fact.action()) == (Category::File, "chmod");
        // Devices and the kernel's own files are no files that stay.
        let stays = !["/dev/", "/proc/", "/sys/"].iter().any(|folder| path.starts_with(folder));
        if !stays || !(is_write || (is_change && files.contains_key(path))) {
            continue;
        }
        let dropped = files.entry(path).or_insert_with(|| Dropped {
            path: path.to_owned(),
            made_executable: false,
            was_run: false,
            sha256: None,
            bytes: None,
        });
        dropped.made_executable |= fact.text(Field::Executable) == Some("true");
        if let Some(sha256) = fact.text(Field::Sha256) {
            dropped.sha256 = Some(sha256.to_owned());
            dropped.bytes = fact.number(Field::Bytes);
        }
    }
    let more = files.len().saturating_sub(LIST_MAX) as u64;
    let mut files: Vec<Dropped> = files.into_values().collect();
    for file in &mut files {
        file.was_run = run_files.contains(file.path.as_str());
    }
    files.sort_by_key(|file| std::cmp::Reverse((file.was_run, file.made_executable)));
    files.truncate(LIST_MAX);
    (files, more)
}

fn difference(evidence: &Evidence, behaviours: &[Behaviour]) -> Option<Difference> {
    let of = |wanted: RunAs| -> BTreeSet<u16> {
        let runs = (0..).zip(&evidence.runs).filter(|(_, run)| run.run_as == wanted);
        runs.map(|(number, _)| number).collect()
    };
    let (user, root) = (of(RunAs::User), of(RunAs::Root));
    if user.is_empty() || root.is_empty() {
        return None;
    }
    let mut difference = Difference::default();
    for behaviour in behaviours.iter().filter(|behaviour| !behaviour.runs.is_empty()) {
        let (by_user, by_root) =
            (behaviour.runs.iter().any(|run| user.contains(run)), behaviour.runs.iter().any(|run| root.contains(run)));
        match (by_user, by_root) {
            (true, false) => difference.only_user.push(behaviour.key.clone()),
            (false, true) => difference.only_root.push(behaviour.key.clone()),
            _ => {}
        }
    }
    Some(difference)
}
