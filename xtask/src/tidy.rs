//! `cargo xtask tidy`: what the compiler cannot check.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::Context;

use crate::programs::run_to_end;
use crate::{spans, workspace};

/// The crates of ours that a crate of ours may depend on; the table of ARCHITECTURE.md.
const ALLOWED: &[(&str, &[&str])] = &[
    ("komainu-model", &[]),
    ("komainu-report", &[]),
    ("komainu-aws", &[]),
    ("komainu-decode", &[]),
    ("komainu-registry", &["komainu-model"]),
    ("komainu-detect", &["komainu-model"]),
    ("komainu-respond", &["komainu-model"]),
    ("komainu-trace", &[]),
    ("komainu-statistics", &["komainu-model"]),
    ("komainu-ports", &["komainu-model", "komainu-trace"]),
    ("komainu-engines", &["komainu-model", "komainu-ports", "komainu-texts"]),
    ("komainu-gateway", &["komainu-model", "komainu-ports", "komainu-registry", "komainu-report"]),
    (
        "komainu-api",
        &[
            "komainu-aws",
            "komainu-detect",
            "komainu-model",
            "komainu-ports",
            "komainu-registry",
            "komainu-respond",
            "komainu-texts",
        ],
    ),
    (
        "komainu-pipeline",
        &[
            "komainu-detect",
            "komainu-intel",
            "komainu-model",
            "komainu-ports",
            "komainu-registry",
            "komainu-report",
            "komainu-respond",
        ],
    ),
    ("komainu-intel", &["komainu-decode", "komainu-model"]),
    ("komainu-jail", &[]),
    ("komainu-analysis", &["komainu-model", "komainu-trace"]),
    ("komainu-stix", &[]),
    ("komainu-charts", &["komainu-model"]),
    ("komainu-texts", &["komainu-model"]),
    (
        "komainu-lab",
        &["komainu-analysis", "komainu-model", "komainu-ports", "komainu-stix", "komainu-trace", "komainu-triage"],
    ),
    ("komainu-lake", &["komainu-model", "komainu-ports"]),
    (
        "komainu-console",
        &[
            "komainu-charts",
            "komainu-detect",
            "komainu-intel",
            "komainu-model",
            "komainu-ports",
            "komainu-registry",
            "komainu-statistics",
            "komainu-texts",
            "komainu-triage",
        ],
    ),
    ("komainu-relay", &["komainu-model", "komainu-ports"]),
    ("komainu-confined", &[]),
    ("komainu-triage", &[]),
    ("komainu-yara", &["komainu-confined", "komainu-ports"]),
    ("komainu-sandbox", &["komainu-confined", "komainu-model", "komainu-ports", "komainu-trace"]),
    ("komainu-netsim", &["komainu-decode", "komainu-trace"]),
    ("komainu-sensor", &["komainu-decode", "komainu-intel", "komainu-model", "komainu-ports"]),
    (
        "komainu",
        &[
            "komainu-analysis",
            "komainu-api",
            "komainu-aws",
            "komainu-confined",
            "komainu-console",
            "komainu-detect",
            "komainu-engines",
            "komainu-gateway",
            "komainu-intel",
            "komainu-jail",
            "komainu-lab",
            "komainu-lake",
            "komainu-model",
            "komainu-netsim",
            "komainu-pipeline",
            "komainu-ports",
            "komainu-registry",
            "komainu-relay",
            "komainu-report",
            "komainu-respond",
            "komainu-sandbox",
            "komainu-sensor",
            "komainu-statistics",
            "komainu-stix",
            "komainu-trace",
            "komainu-triage",
            "komainu-yara",
        ],
    ),
    ("xtask", &[]),
];

/// Words that say that something is unfinished. Written in two halves, so that this file may contain them.
const UNFINISHED: &[&str] =
    &[concat!("TO", "DO"), concat!("FIX", "ME"), concat!("todo", "!("), concat!("unimpl", "emented!(")];

/// Where folders of one machine begin; no tracked file may name one.
const MACHINE_FOLDERS: &[&str] = &["/root/", "/home/", "/work/", "/Users/"];

/// Settings that would make a build depend on one machine's package mirror.
const MIRROR_SETTINGS: &[&str] = &[
    concat!("--index", "-url"),
    concat!("--extra-index", "-url"),
    concat!("--find", "-links"),
    concat!("replace", "-with"),
];

/// The only registry that Cargo.lock may name.
const CRATES_IO: &str = "registry+https://github.com/rust-lang/crates.io-index";

/// Runs every check and prints what is wrong.
pub(crate) fn run() -> anyhow::Result<ExitCode> {
    let problems = check(&workspace::root())?;
    for problem in &problems {
        println!("tidy: {problem}");
    }
    if problems.is_empty() {
        println!("tidy: everything is in its place");
        return Ok(ExitCode::SUCCESS);
    }
    println!("tidy: {} problems", problems.len());
    Ok(ExitCode::FAILURE)
}

fn check(root: &Path) -> anyhow::Result<Vec<String>> {
    let mut problems = Vec::new();
    let members = members(root)?;
    for member in &members {
        check_manifest(member, &mut problems);
        check_layout(member, &mut problems)?;
    }
    check_table(root, &members, &mut problems)?;
    check_fuzz_targets(root, &mut problems)?;
    let mut spans = BTreeMap::new();
    for path in tracked_files(root)? {
        // What is not text (a picture, a recorded packet) names no path and promises no work.
        if let Ok(text) = fs::read_to_string(root.join(&path)) {
            check_text(&path, &text, &mut problems);
            if path.starts_with("crates/") && path.ends_with(".rs") {
                spans::note(&path, &text, &mut spans, &mut problems);
            }
        }
    }
    let guide = fs::read_to_string(root.join("docs/traces.md")).unwrap_or_default();
    spans::compare(&spans, &guide, &mut problems);
    Ok(problems)
}

/// One package of the workspace.
struct Member {
    name: String,
    folder: PathBuf,
    manifest: toml::Table,
}

fn members(root: &Path) -> anyhow::Result<Vec<Member>> {
    let mut folders = vec![root.join("xtask")];
    for entry in fs::read_dir(root.join("crates")).context("cannot list crates/")? {
        folders.push(entry.context("cannot list crates/")?.path());
    }
    folders.sort();
    let mut members = Vec::new();
    for folder in folders {
        let path = folder.join("Cargo.toml");
        let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        let manifest: toml::Table = text.parse().with_context(|| format!("cannot parse {}", path.display()))?;
        let name = manifest["package"]["name"].as_str().unwrap_or_default().to_owned();
        members.push(Member { name, folder, manifest });
    }
    Ok(members)
}

fn check_manifest(member: &Member, problems: &mut Vec<String>) {
    let name = &member.name;
    if member.folder.file_name().is_none_or(|folder| folder.to_string_lossy() != **name) {
        problems.push(format!("{name} lies in {}: a folder has the name of its crate", member.folder.display()));
    }
    let inherits_lints =
        member.manifest.get("lints").and_then(|lints| lints.get("workspace")).and_then(toml::Value::as_bool);
    if inherits_lints != Some(true) {
        problems.push(format!("{name} does not have `[lints] workspace = true`"));
    }
    let allowed = ALLOWED.iter().find(|(of, _)| of == name).map(|(_, allowed)| *allowed);
    if allowed.is_none() {
        problems
            .push(format!("{name} is not in the table of allowed dependencies (xtask/src/tidy.rs, ARCHITECTURE.md)"));
    }
    for (kind, dependencies) in dependency_tables(&member.manifest) {
        for (dependency, entry) in dependencies {
            let keys: BTreeSet<&str> = entry.as_table().into_iter().flatten().map(|(key, _)| key.as_str()).collect();
            let from_workspace = entry.get("workspace").and_then(toml::Value::as_bool) == Some(true);
            // Tests may need a feature that the program must not have, such as a clock that can be stopped.
            let is_allowed_key = |key: &&str| {
                matches!(*key, "workspace" | "optional") || (kind == "dev-dependencies" && *key == "features")
            };
            if !from_workspace || !keys.iter().all(is_allowed_key) {
                problems.push(format!(
                    "{name}: `{dependency}` is not just `workspace = true`: versions and features stand in the root Cargo.toml"
                ));
            }
            let is_ours = dependency == "komainu" || dependency.starts_with("komainu-");
            let is_allowed = allowed.unwrap_or_default().contains(&dependency.as_str());
            if is_ours && !is_allowed {
                problems.push(format!(
                    "{name} may not depend on {dependency} ({kind}): see ARCHITECTURE.md, Allowed dependencies"
                ));
            }
        }
    }
}

/// `[dependencies]`, `[dev-dependencies]`, `[build-dependencies]`, and those under `[target.…]`.
fn dependency_tables(manifest: &toml::Table) -> Vec<(&'static str, &toml::Table)> {
    let mut tables = Vec::new();
    let targets = manifest.get("target").and_then(toml::Value::as_table).into_iter().flatten();
    let places = std::iter::once(manifest).chain(targets.filter_map(|(_, table)| table.as_table()));
    for place in places {
        for kind in ["dependencies", "dev-dependencies", "build-dependencies"] {
            if let Some(table) = place.get(kind).and_then(toml::Value::as_table) {
                tables.push((kind, table));
            }
        }
    }
    tables
}

fn check_layout(member: &Member, problems: &mut Vec<String>) -> anyhow::Result<()> {
    let name = &member.name;
    for file in ["src/lib.rs", "src/main.rs"] {
        let Ok(text) = fs::read_to_string(member.folder.join(file)) else { continue };
        let opening = text.lines().next().unwrap_or_default();
        if opening.strip_prefix("//! ").is_none_or(|words| words.split_whitespace().count() < 3) {
            problems.push(format!("{name}/{file} does not open with what it is for (`//! …`)"));
        }
    }
    let tests = member.folder.join("tests");
    if tests.is_dir() {
        for entry in fs::read_dir(&tests).with_context(|| format!("cannot list {}", tests.display()))? {
            let path = entry.with_context(|| format!("cannot list {}", tests.display()))?.path();
            if path.extension().is_some_and(|extension| extension == "rs") {
                problems.push(format!(
                    "{name}/tests/{} is a test binary of its own: one for each crate, tests/it/main.rs",
                    path.file_name().unwrap_or_default().to_string_lossy()
                ));
            }
        }
    }
    Ok(())
}

/// The table and ARCHITECTURE.md name the same crates.
fn check_table(root: &Path, members: &[Member], problems: &mut Vec<String>) -> anyhow::Result<()> {
    let architecture = fs::read_to_string(root.join("ARCHITECTURE.md")).context("cannot read ARCHITECTURE.md")?;
    let exists: BTreeMap<&str, &Member> = members.iter().map(|member| (member.name.as_str(), member)).collect();
    for (name, _) in ALLOWED {
        if !exists.contains_key(name) {
            problems.push(format!("{name} is in the table of allowed dependencies and nowhere else"));
        }
        if !architecture.contains(&format!("`{name}`")) {
            problems.push(format!("ARCHITECTURE.md does not say what `{name}` is"));
        }
    }
    Ok(())
}

fn check_fuzz_targets(root: &Path, problems: &mut Vec<String>) -> anyhow::Result<()> {
    let folder = root.join("fuzz/src/bin");
    if !folder.is_dir() {
        return Ok(());
    }
    let guide = fs::read_to_string(root.join("docs/fuzzing.md")).unwrap_or_default();
    for entry in fs::read_dir(&folder).context("cannot list fuzz/src/bin/")? {
        let path = entry.context("cannot list fuzz/src/bin/")?.path();
        let target = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        if !guide.contains(&format!("`{target}`")) {
            problems.push(format!("docs/fuzzing.md does not tell of the fuzz target `{target}`"));
        }
    }
    Ok(())
}

fn tracked_files(root: &Path) -> anyhow::Result<Vec<String>> {
    // New files count before they are added, so that a problem is seen before it is committed.
    let listed = run_to_end(Command::new("git").current_dir(root).args([
        "ls-files",
        "-z",
        "--cached",
        "--others",
        "--exclude-standard",
    ]))?;
    Ok(listed.split('\0').filter(|path| !path.is_empty()).map(str::to_owned).collect())
}

fn check_text(path: &str, text: &str, problems: &mut Vec<String>) {
    let is_rust = path.ends_with(".rs");
    for (number, line) in (1..).zip(text.lines()) {
        for word in UNFINISHED {
            if holds_word(line, word) {
                problems.push(format!("{path}:{number}: `{word}`: finish it or open an issue"));
            }
        }
        for folder in MACHINE_FOLDERS {
            if names_folder(line, folder) && path != "xtask/src/tidy.rs" {
                problems.push(format!("{path}:{number}: names a folder of one machine ({folder}…)"));
            }
        }
        for setting in MIRROR_SETTINGS {
            if line.contains(setting) {
                problems.push(format!("{path}:{number}: `{setting}` ties the build to one machine's mirror"));
            }
        }
        if path == "Cargo.lock" && line.starts_with("source = ") && !line.contains(CRATES_IO) {
            problems.push(format!("{path}:{number}: a package that is not from crates.io"));
        }
        let silences = is_rust && line.starts_with("#![allow(");
        if silences && (line.contains("dead_code") || !line.contains("reason =")) {
            problems
                .push(format!("{path}:{number}: switches a lint off for a whole file, for no reason that is given"));
        }
    }
}

/// Whether `line` holds `word` by itself, not as a part of a longer word.
fn holds_word(line: &str, word: &str) -> bool {
    line.match_indices(word).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        let after = line[at + word.len()..].chars().next();
        let joins = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric() || c == '_');
        !joins(before) && (word.ends_with('(') || !joins(after))
    })
}

/// Whether `line` names something below `folder`, where `folder` is not the middle of a longer path or URL.
fn names_folder(line: &str, folder: &str) -> bool {
    line.match_indices(folder).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        !before.is_some_and(|c| c.is_ascii_alphanumeric() || "._-/}~$".contains(c))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems_in(path: &str, text: &str) -> Vec<String> {
        let mut problems = Vec::new();
        check_text(path, text, &mut problems);
        problems
    }

    #[test]
    fn unfinished_work_is_found() {
        let todo = UNFINISHED[0];
        assert_eq!(problems_in("a.rs", &format!("// {todo}: later")).len(), 1);
        assert_eq!(problems_in("a.rs", &format!("const MASTO{todo}N: u8 = 1;")).len(), 0);
        assert_eq!(problems_in("a.rs", &format!("fn f() {{ {}\"x\") }}", UNFINISHED[2])).len(), 1);
    }

    #[test]
    fn folders_of_one_machine_are_found() {
        assert_eq!(problems_in("README.md", "run it in /home/jane/src").len(), 1);
        assert_eq!(problems_in("README.md", "see https://example.org/home/page").len(), 0);
        assert_eq!(problems_in("README.md", "the folder ./work/x").len(), 0);
    }

    #[test]
    fn a_dependency_that_is_not_in_the_table_is_found() {
        let check = |manifest: &str| {
            let manifest: toml::Table = manifest.parse().unwrap();
            let name = manifest["package"]["name"].as_str().unwrap().to_owned();
            let mut problems = Vec::new();
            check_manifest(&Member { folder: PathBuf::from(&name), name, manifest }, &mut problems);
            problems
        };
        let model = "[package]\nname = \"komainu-model\"\n[lints]\nworkspace = true\n";
        assert_eq!(check(model), Vec::<String>::new());
        assert_eq!(check(&format!("{model}[dependencies]\nserde.workspace = true\n")), Vec::<String>::new());
        assert_eq!(check(&format!("{model}[dependencies]\nkomainu-detect.workspace = true\n")).len(), 1);
        assert_eq!(check(&format!("{model}[dependencies]\nserde = \"1\"\n")).len(), 1);
        assert_eq!(
            check(&format!("{model}[target.'cfg(unix)'.dependencies]\nkomainu-api.workspace = true\n")).len(),
            1
        );
        assert_eq!(check("[package]\nname = \"komainu-model\"\n").len(), 1);
        assert_eq!(check("[package]\nname = \"komainu-new\"\n[lints]\nworkspace = true\n").len(), 1);
    }
}
